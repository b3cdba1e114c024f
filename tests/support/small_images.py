"""Small full images with a shell, made by umoci, and what is in the slim images of them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from requirements import need
from roots import busybox_root
from traces import environment, run_slimtrace
from umoci_images import make_layout, run_command

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path


def small_image(
    folder: Path,
    tree: Mapping[str, str],
    *config: str,
    prepare: Callable[[Path], object] = lambda _: None,
) -> str:
    """A full image with busybox and these files, all root's.

    :param tree: as :func:`busybox_root` takes it.
    :param config: options of ``umoci config``, without ``--config.``: ``cmd=/job``.
    :param prepare: changes the tree before it is packed, for owners and modes.
    """
    need("umoci")
    root = busybox_root(folder / "tree", tree)
    os.chmod(root, 0o755)  # noqa: S103 -- whatever the umask
    prepare(root)
    run_command("tar", "-C", str(root), "--numeric-owner", "-cf", str(folder / "tree.tar"), ".")
    options = [f"--config.{word}" for word in config]
    return make_layout([folder / "tree.tar"], str(folder / "full"), *options)


def slimtrace_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run slimtrace in a folder, with its image cache there."""
    env = environment(XDG_CACHE_HOME=str(folder / "cache"))
    return run_slimtrace(*arguments, cwd=str(folder), env=env)


def make_slim(folder: Path, image: str, *arguments: str, build: tuple[str, ...] = ()) -> str:
    """Trace an image and build ``oci:slim:v1``; return the messages of ``build``.

    :param arguments: options of ``run``, and the command after ``--``.
    """
    traced = slimtrace_in(folder, "-q", "run", "--image", image, "-o", "app.trace", *arguments)
    assert traced.returncode == 0, traced.stderr
    built = slimtrace_in(folder, "build", "app.trace", "-o", "oci:slim:v1", *build)
    assert built.returncode == 0, built.stderr
    return built.stderr


def read_config(image: str) -> dict[str, Any]:
    """Read the ``config`` object of an image."""
    document: dict[str, Any] = json.loads(run_command("skopeo", "inspect", "--config", image))
    return document["config"]  # type: ignore[no-any-return]
