"""Full images without any registry: Debian by mmdebstrap, an app above it by umoci."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from buildfile import BuildError, build
from sample import load_base

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sample import Base, Sample

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SampleError(Exception):
    """Something that a sample needs did not work, in one line and what was said."""


def full_image(sample: Sample, folder: Path) -> str:
    """The sample's image ``oci:DIR:TAG``; its base is made where it is not in ``folder`` yet.

    Samples of one base share a layout, in which each has a tag. The app is laid into it anew.

    :raises SampleError: it cannot be made.
    """
    base = load_base(sample.image)
    layout = folder / f"{base.name}-{zlib.crc32(repr(base).encode()):08x}"
    with _alone(layout.with_suffix(".lock")):
        if not layout.exists():
            _make_base(base, layout)
        _add_app(sample, layout)
    return f"oci:{layout}:{_tag(sample)}"


def debian(packages: Sequence[str], tar: Path, setup: Sequence[str] = ()) -> None:
    """A tarball of Debian's minimal base and these packages."""
    hooks = [f'--customize-hook=chroot "$1" {command}' for command in setup]
    # Without fsync after each file, of which the image is to know nothing.
    hooks.append('--customize-hook=rm -f "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"')
    options = ("--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io")
    call("mmdebstrap", *options, f"--include={','.join(packages)}", *hooks, "bookworm", str(tar))


def layout_of(layers: Sequence[Path], layout: str, tag: str, *config: str) -> None:
    """A new layout with one image of these tars."""
    call("umoci", "init", "--layout", layout)
    image = f"{layout}:{tag}"
    call("umoci", "new", "--image", image)
    for tar in layers:
        call("umoci", "raw", "add-layer", "--image", image, str(tar))
    if config:
        call("umoci", "config", "--image", image, *config)


def call(*words: str) -> str:
    """What a command that must succeed printed.

    :raises SampleError: it did not succeed.
    """
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SampleError(f"{' '.join(words)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def _make_base(base: Base, layout: Path) -> None:
    tar, part = layout.with_suffix(".tar"), f"{layout}.part"
    shutil.rmtree(part, ignore_errors=True)
    debian(base.packages, tar, base.setup)
    layout_of([tar], part, "base", "--config.env", f"PATH={PATH}")
    tar.unlink()
    os.rename(part, layout)


def _add_app(sample: Sample, layout: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        tar = Path(name) / "app.tar"
        image = f"{layout}:{_tag(sample)}"
        changed = ("--image", f"{layout}:base", "--tag", _tag(sample))
        call("umoci", "config", *changed, *_config(sample))
        tree = app_tree(sample, Path(name), layout.parent / "caches")
        if entries := sorted(os.listdir(tree)):
            kept = ("--exclude=__pycache__", "--mode=u+rwX,go+rX,go-w", "--sort=name")
            owner = ("--owner=0", "--group=0", "--mtime=@1700000000")
            call("tar", *owner, *kept, "-C", str(tree), "-cf", str(tar), *entries)
            call("umoci", "raw", "add-layer", "--image", image, str(tar))


def app_tree(sample: Sample, folder: Path, caches: Path) -> Path:
    """What the sample's Dockerfile puts above its base; the port is in its place in *.conf.

    :param folder: for the trees of its stages; ``caches`` as build has it.
    :raises SampleError: a command of it did not succeed.
    """
    try:
        tree = build(sample.stages, sample.folder, folder, caches.resolve())
    except BuildError as error:
        raise SampleError(f"{sample.name}: {error}") from error
    for path in tree.rglob("*.conf"):
        path.write_text(sample.with_port(path.read_text()))
    return tree


def _tag(sample: Sample) -> str:
    """Its own for each choice of ports: another process may have chosen others."""
    return f"{sample.name}-{zlib.crc32(repr(sample).encode()):08x}"


def _config(sample: Sample) -> Iterator[str]:
    for word in sample.entrypoint:
        yield from ("--config.entrypoint", word)
    for word in sample.command:
        yield from ("--config.cmd", word)
    for pair in sample.env:
        yield from ("--config.env", pair)
    if sample.user is not None:
        yield from ("--config.user", sample.user)
    if sample.workdir is not None:
        yield from ("--config.workingdir", sample.workdir)
    if sample.exposed is not None:
        yield from ("--config.exposedports", f"{sample.port}/tcp")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
