"""The options of ``run --image``: from them come the image to run in and the command."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.image.accounts import check_user
from slimtrace.tracer.image.run_config import (
    check_variables,
    choose_command,
    make_image_run,
    parse_entrypoint,
    parse_image_stop_signal,
)
from slimtrace.tracer.image.runtime import NETWORKS, parse_volume
from slimtrace.tracer.rerun_options import parse_security_options

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from slimtrace.tracer.image.opened_image import OpenedImage
    from slimtrace.tracer.image.runtime import ImageRun


_MAX_HOSTNAME_LENGTH = 64
_HOSTNAME = re.compile(rf"[\w.-]{{1,{_MAX_HOSTNAME_LENGTH}}}", re.ASCII)
"""What sethostname(2) takes, without characters that no name service knows."""


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """The options of ``run`` for an image, unparsed."""

    image: str | None = None
    platform: str | None = None
    workdir: str | None = None
    user: str | None = None
    entrypoint: str | None = None
    network: str | None = None
    hostname: str | None = None
    volumes: Sequence[str] = ()
    env: Sequence[str] = ()
    exec_in: Sequence[str] = ()
    cap_add: Sequence[str] = ()
    security_opt: Sequence[str] = ()
    init: bool = False

    def check(
        self, ready: str | None, http_get: Sequence[str] | None = None, *, asks_port: bool
    ) -> None:
        """Check the options before the image is opened.

        :param ready: the value of ``--ready``; ``http_get`` likewise.
        :param asks_port: whether ``ready`` is a URL or a port.
        :raises UsageError: the options contradict each other.
        """
        if self.image is None:
            self._check_without()
        parse_security_options(self.security_opt)
        self._check_values()
        if self.network not in (None, *NETWORKS):
            raise UsageError(f"cannot use --network {self.network}: choose {' or '.join(NETWORKS)}")
        if self.network == "none" and asks_port:
            raise UsageError(
                f"cannot use --ready {ready} with --network none: nothing outside reaches the app",
                "give a number of seconds, or ask from inside with --exec-in",
            )

        if self.network == "none" and http_get and not (ready or "").startswith("unix:"):
            raise UsageError(
                "cannot use --http-get with --network none: nothing outside reaches the app",
                "ask from inside with --exec-in, or by a unix socket with --ready unix:PATH",
            )

    def _check_values(self) -> None:
        check_variables(self.env)
        for volume in self.volumes:
            parse_volume(volume)
        if self.user is not None:
            check_user(self.user)
        if self.workdir is not None and not self.workdir.startswith("/"):
            raise UsageError(
                f"cannot use --workdir {self.workdir}: it is not absolute", "as in --workdir /srv"
            )
        if self.entrypoint is not None:
            parse_entrypoint(self.entrypoint)
        if self.hostname is not None and not _HOSTNAME.fullmatch(self.hostname):
            raise UsageError(
                f"cannot use --hostname {self.hostname!r}: it is not a host name",
                f"letters, digits, dots and dashes, at most {_MAX_HOSTNAME_LENGTH}",
            )

    def _check_without(self) -> None:
        if self.exec_in:
            raise UsageError(
                "cannot use --exec-in without --image",
                "trace another command on this machine's root with slimtrace run --append",
            )
        given = {
            "--platform": self.platform,
            "--volume": self.volumes,
            "--env": self.env,
            "--cap-add": self.cap_add,
            "--workdir": self.workdir,
            "--user": self.user,
            "--entrypoint": self.entrypoint is not None,
            "--network": self.network,
            "--hostname": self.hostname,
            "--init": self.init,
            "--security-opt": self.security_opt,
        }
        for name, value in given.items():
            if value:
                raise UsageError(
                    f"cannot use {name} without --image: on this machine's root the app runs as "
                    "and where slimtrace does",
                    "add --image IMAGE, or leave it out",
                )

    def commands_inside(self) -> tuple[tuple[str, ...], ...]:
        """The commands of ``--exec-in``, split here because an image need not have a shell.

        :raises UsageError: a quote is not closed, or the command is empty.
        """
        found = []
        for command in self.exec_in:
            try:
                words = tuple(shlex.split(command))
            except ValueError as error:
                raise UsageError(f"cannot use --exec-in {command}: {error}") from error
            if not words:
                raise UsageError("cannot use --exec-in with nothing to run")
            found.append(words)
        return tuple(found)

    def in_image(
        self, opened: OpenedImage, words: Sequence[str]
    ) -> tuple[tuple[str, ...], ImageRun]:
        """The command, and the image to run it in.

        :raises SlimtraceError: as choose_command, make_image_run and parse_volume do.
        """
        inside = make_image_run(
            opened.source,
            opened.root,
            opened.digest,
            opened.config,
            env=self.env,
            user=self.user,
            workdir=self.workdir,
            volumes=tuple(map(parse_volume, self.volumes)),
            network=self.network or "host",
            hostname=self.hostname,
            no_new_privileges=parse_security_options(self.security_opt),
            has_reaper=self.init,
        )
        inside = replace(inside, cap_add=tuple(self.cap_add))
        return choose_command(opened.config, words, self.entrypoint), inside

    @staticmethod
    def stop_signal(opened: OpenedImage) -> signal.Signals | None:
        """The StopSignal of the image's config."""
        return parse_image_stop_signal(opened.config)
