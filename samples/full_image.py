"""Makes full images without a registry: layers of Debian and of the app, joined by umoci."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from commands import SampleError, call
from debian_base import lock, make_debian_layers
from dockerfile_build import BuildError, build_tree
from sample import load_base

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sample import Base, Sample

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_full_image(sample: Sample, folder: Path) -> str:
    """Make the sample's full image, and its base if ``folder`` has none; returns ``oci:DIR:TAG``.

    Samples with the same base share a layout, in which each has a tag. The app's layer is always
    made again.

    :raises SampleError: it cannot be made.
    """
    base = load_base(sample.image)
    layout = folder / f"{base.name}-{zlib.crc32(repr(base).encode()):08x}"
    with lock(layout.with_suffix(".lock")):
        if not layout.exists():
            _make_base(base, layout)
        _add_app(sample, layout)
    return f"oci:{layout}:{_make_tag(sample)}"


def make_layout(layers: Sequence[Path], layout: str, tag: str, *config: str) -> None:
    """Make a layout with one image of these layers."""
    call("umoci", "init", "--layout", layout)
    image = f"{layout}:{tag}"
    call("umoci", "new", "--image", image)
    for tar in layers:
        call("umoci", "raw", "add-layer", "--image", image, str(tar))
    if config:
        call("umoci", "config", "--image", image, *config)


def _make_base(base: Base, layout: Path) -> None:
    work, part = layout.with_suffix(".work"), f"{layout}.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(work, ignore_errors=True)
    layers = make_debian_layers(base.packages, work, layout.parent, base.setup)
    make_layout(layers, part, "base", "--config.env", f"PATH={PATH}")
    shutil.rmtree(work)
    os.rename(part, layout)


def _add_app(sample: Sample, layout: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        tar = Path(name) / "app.tar"
        image = f"{layout}:{_make_tag(sample)}"
        source = ("--image", f"{layout}:base", "--tag", _make_tag(sample))
        call("umoci", "config", *source, *_make_config_options(sample))
        tree = build_app_tree(sample, Path(name), layout.parent / "caches")
        if entries := sorted(os.listdir(tree)):
            options = ("--exclude=__pycache__", "--mode=u+rwX,go+rX,go-w", "--sort=name")
            owner = ("--owner=0", "--group=0", "--mtime=@1700000000")
            call("tar", *owner, *options, "-C", str(tree), "-cf", str(tar), *entries)
            call("umoci", "raw", "add-layer", "--image", image, str(tar))


def build_app_tree(sample: Sample, folder: Path, caches: Path) -> Path:
    """Build what the sample's Dockerfile adds to its base, with the sample's port in ``*.conf``.

    :param folder: an empty folder for the trees of its stages.
    :param caches: as for :func:`build_tree`.
    :raises SampleError: a command of the Dockerfile failed.
    """
    try:
        tree = build_tree(sample.stages, sample.folder, folder, caches.resolve())
    except BuildError as error:
        raise SampleError(f"{sample.name}: {error}") from error
    for path in tree.rglob("*.conf"):
        path.write_text(sample.with_port(path.read_text()))
    return tree


def _make_tag(sample: Sample) -> str:
    """The tag depends on the ports, because another process may use other ports."""
    return f"{sample.name}-{zlib.crc32(repr(sample).encode()):08x}"


def _make_config_options(sample: Sample) -> Iterator[str]:
    for argument in sample.entrypoint:
        yield from ("--config.entrypoint", argument)
    for argument in sample.command:
        yield from ("--config.cmd", argument)
    for pair in sample.env:
        yield from ("--config.env", pair)
    if sample.user is not None:
        yield from ("--config.user", sample.user)
    if sample.workdir is not None:
        yield from ("--config.workingdir", sample.workdir)
    if sample.exposed is not None:
        yield from ("--config.exposedports", f"{sample.port}/tcp")
