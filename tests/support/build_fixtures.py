"""Small root trees, traces of them, and selections as summary strings."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.context import Context
from slimtrace.builder.model import Cause, Kind, ProcessImages, Reason
from slimtrace.builder.root.root import Root
from slimtrace.tracer.trace.trace import Run, State, Trace, TracedPath, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from slimtrace.builder.model import Entry, Selection
    from slimtrace.tracer.trace.trace import SavedFile

TIME = 1_700_000_000
TOUCHED = Cause(Reason.TOUCHED, ProcessImages((1,)))


def make_root(root: Path, tree: Mapping[str, str | bytes | None], **modes: int) -> Path:
    """Make a tree: ``None`` is a directory, ``-> x`` a symlink, other text a file's content.

    Modes are given as ``**{"/etc/x": 0o600}``; all times are TIME.
    """
    root.mkdir(exist_ok=True)
    for path, content in tree.items():
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            place.mkdir(exist_ok=True)
        elif isinstance(content, str) and content.startswith("-> "):
            place.symlink_to(content[3:])
        else:
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
            place.chmod(0o644)
    for folder, names, files in os.walk(root, topdown=False):
        for name in (*names, *files, "."):
            path = os.path.join(folder, name)
            if not os.path.islink(path) and os.path.isdir(path):
                os.chmod(path, 0o755)  # noqa: S103 -- whatever the umask
            os.utime(path, (TIME, TIME), follow_symlinks=False)
    for path, mode in modes.items():
        (root / path.lstrip("/")).chmod(mode)
    return root


def make_run(root: Path, **changes: object) -> Run:
    values = {
        "command": ("/app",),
        "cwd": "/",
        "user": "0:0",
        "env": {"PATH": "/usr/bin:/bin"},
        "image": f"rootfs:{root}",
        "image_digest": None,
        "started": "2024-01-01T00:00:00Z",
        "machine": "x86_64",
        "engine": "notify",
        "exit_status": 0,
        "complete": True,
        **changes,
    }
    return Run(**values)  # type: ignore[arg-type]


def make_trace(
    root: Path,
    touched: Mapping[str, Iterable[Use]] | Iterable[str],
    *,
    created: Iterable[str] = (),
    saved: Mapping[str, SavedFile] | None = None,
    **changes: object,
) -> Trace:
    """Make a trace of files in their current state; without uses, each path was ``read``."""
    if not hasattr(touched, "items"):
        touched = dict.fromkeys(touched, (Use.READ,))
    root_now = Root(str(root))
    paths = {}
    for path, uses in touched.items():
        found = root_now.resolve(path, follow=set(uses) != {Use.READLINK})
        fingerprint = root_now.fingerprint(found.path) if found.exists else None
        paths[path] = TracedPath(path, State.FILE, frozenset(uses), (1,), 0.0, fingerprint)
    for path in created:
        paths[path] = TracedPath(path, State.CREATED, frozenset({Use.CREATE}), (1,), 0.0, None)
    return Trace((make_run(root, **changes),), (), paths, dict(saved or {}))


def make_context(
    root: Path, options: BuildOptions | None = None, user: tuple[int, int] = (65532, 65532)
) -> Context:
    """Make the context of a build's steps, with a trace in which nothing was touched."""
    return Context(make_trace(root, []), Root(str(root)), options or BuildOptions(), user)


_EVERYWHERE = {Reason.SKELETON, Reason.DIRECTORY, Reason.ACCOUNTS, Reason.NONROOT_HOME}


def describe_selection(selection: Selection) -> dict[str, str]:
    """Return ``{"/etc/x": "file 0644 touched"}``, without the entries that every image has."""
    return {
        path: describe_entry(entry)
        for path, entry in selection.entries.items()
        if path != "/" and entry.reasons[0] not in _EVERYWHERE
    }


def describe_entry(entry: Entry) -> str:
    reasons = ",".join(entry.reasons)
    if entry.kind is Kind.SYMLINK:
        return f"-> {entry.target} {reasons}"
    return f"{entry.kind} {entry.mode:04o} {reasons}"


def compile_library(path: Path, *flags: str) -> None:
    """Compile a shared library (with ``-pie``: a program) at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = () if "-pie" in flags else ("-shared", "-fPIC")
    source = ("-x", "c", "-", "-x", "none", "-o", str(path))
    subprocess.run(
        ["gcc", *kind, *source, "-nostartfiles", "-nodefaultlibs", "-Wl,--no-as-needed", *flags],
        input=b"",
        check=True,
    )
