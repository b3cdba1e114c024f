"""Makes the steps of a drive from the options that name them, in the order of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.trace.drive_steps import DriveStep, StepKind
from slimtrace.tracer.trace.step_changes import make_step_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slimtrace.tracer.trace.http_request import HttpRequest

_MAX_CRAWL_DEPTH = 100
_NAMES = ("http_get", "http", "http_file", "openapi", "replay", "exec_", "exec_in")
"""The parameters that name steps, in the default order."""


@dataclass(frozen=True, slots=True)
class StepOptions:
    """The options of ``run`` that name requests and commands, by the names of its parameters.

    :ivar exec_in: commands that were parsed.
    """

    http_get: Sequence[str] = ()
    http: Sequence[str] = ()
    http_file: Sequence[str] = ()
    openapi: Sequence[str] = ()
    replay: Sequence[str] = ()
    exec_: Sequence[str] = ()
    exec_in: Sequence[tuple[str, ...]] = ()
    replay_unsafe: bool = False

    @property
    def asks(self) -> bool:
        """Whether there is a request."""
        return bool(self.http_get or self.http or self.http_file or self.openapi or self.replay)

    @property
    def is_empty(self) -> bool:
        return not (self.asks or self.exec_ or self.exec_in)

    def check(self, http_header: Sequence[str], http_status: str | None, crawl: int | None) -> None:
        """Check the options that refine requests.

        :raises UsageError: there is no request, or a value is wrong.
        """
        refining = {
            "--http-header": bool(http_header),
            "--http-status": http_status is not None,
            "--crawl": crawl is not None,
        }
        for option, is_given in refining.items():
            if is_given and not self.asks:
                raise UsageError(
                    f"cannot use {option} without --http-get or another request",
                    "add --http-get PATH",
                )
        if self.replay_unsafe and not self.replay:
            raise UsageError(
                "cannot use --replay-unsafe without --replay", "add --replay FILE, or leave it out"
            )
        if crawl is not None and crawl > _MAX_CRAWL_DEPTH:
            raise UsageError(
                f"cannot use --crawl {crawl}: {_MAX_CRAWL_DEPTH} links are followed at most",
                "as in --crawl 2",
            )
        if any(not each.strip() for each in self.exec_):
            raise UsageError("cannot use --exec with nothing to run")
        for path in self.http_get:
            if not path.startswith("/"):
                raise UsageError(f"cannot use --http-get {path}: it is a path, which begins with /")

    def read(self, order: Sequence[str]) -> dict[str, Any]:
        """Return the steps as fields of DriveOptions.

        :param order: the names of all parameters, once for each value.
        :raises UsageError: a request cannot be read.
        """
        values = {name: list(getattr(self, name)) for name in _NAMES}
        found: list[DriveStep] = []
        for name in (*(each for each in order if each in values), *_sort_names(values)):
            if values[name]:  # else all of its values had a place in the order
                found += self._read_value(name, values[name].pop(0))
        return make_step_fields(found)

    def _read_value(self, name: str, value: Any) -> Iterator[DriveStep]:
        """Yield the steps of one option."""
        match name:
            case "http_get":
                yield DriveStep(StepKind.GET, value)
            case "exec_":
                yield DriveStep(StepKind.EXEC, value)
            case "exec_in":
                yield DriveStep(StepKind.EXEC_IN, value)
            case "openapi" if value.startswith(("http://", "https://")):
                from slimtrace.tracer.drive.requests.openapi import find_document_path  # noqa: PLC0415 -- as below

                yield DriveStep(StepKind.OPENAPI, find_document_path(value))
            case _:
                for request in self._read_requests(name, value):
                    yield DriveStep(StepKind.REQUEST, request)

    def _read_requests(self, name: str, value: str) -> Sequence[HttpRequest]:
        from slimtrace.tracer.drive.requests.openapi import read_openapi_file  # noqa: PLC0415
        from slimtrace.tracer.drive.requests.request_files import read_http_file, read_replay  # noqa: PLC0415
        from slimtrace.tracer.drive.requests.request_line import parse_request_line  # noqa: PLC0415 -- most runs have none

        match name:
            case "http":
                return [parse_request_line(value)]
            case "http_file":
                return read_http_file(value)
            case "replay":
                return read_replay(value, unsafe=self.replay_unsafe)
        return read_openapi_file(value)


def _sort_names(values: Mapping[str, Sequence[object]]) -> Iterator[str]:
    """Yield the name of each value in the default order."""
    return (name for name in _NAMES for _ in values[name])
