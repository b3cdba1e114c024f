"""An image's configuration as lines of a Dockerfile, for a tree that carries none itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SAFE = re.compile(r"[\w./:@%+,=-]*")
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Characters that no quotes let into a line of a Dockerfile; a tab is none of them."""
_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1, "ns"))
_HEALTH_OPTIONS = {
    "Interval": "--interval",
    "Timeout": "--timeout",
    "StartPeriod": "--start-period",
    "StartInterval": "--start-interval",
}


def render_dockerfile(config: bytes, source: str) -> tuple[str, ...]:
    """Render the lines that make an image of this configuration.

    What no Dockerfile can say, as a variable with a line break, is named in a comment.

    :param config: the image's configuration, as JSON.
    :param source: the line that brings the files.
    """
    fields: Mapping[str, Any] = orjson.loads(config)["config"]
    return ("FROM scratch", source, *_render_fields(fields))


def copy_line(folder: str) -> str:
    """Render the line that copies a tree, with its owners, from a stage called ``build``."""
    return "COPY --from=build " + _render_source(folder.rstrip("/") + "/")


def add_line(file: str) -> str:
    """Render the line that unpacks a tarball of the build's context."""
    return f"ADD {_render_source(file)}"


def _render_source(path: str) -> str:
    if _SAFE.fullmatch(path):
        return f"{path} /"
    return _to_json([path.replace("$", "\\$"), "/"])


def _render_fields(fields: Mapping[str, Any]) -> Iterator[str]:
    for pair in fields.get("Env", ()):
        yield _render_pair("ENV", *pair.split("=", 1))
    for name, value in sorted(fields.get("Labels", {}).items()):
        yield _render_pair("LABEL", name, value)
    yield from (f"EXPOSE {port}" for port in fields.get("ExposedPorts", ()))
    if volumes := sorted(fields.get("Volumes", ())):
        yield "VOLUME " + _to_json([volume.replace("$", "\\$") for volume in volumes])
    if signal := fields.get("StopSignal"):
        yield f"STOPSIGNAL {signal}"
    if check := fields.get("Healthcheck"):
        yield _render_healthcheck(check)
    if user := fields.get("User"):
        yield f"USER {user}"
    if folder := fields.get("WorkingDir"):
        yield f"WORKDIR {_quote(folder)}"
    # In this order: ENTRYPOINT clears the Cmd that was set before it.
    if entrypoint := fields.get("Entrypoint"):
        yield f"ENTRYPOINT {_to_json(entrypoint)}"
    if cmd := fields.get("Cmd"):
        yield f"CMD {_to_json(cmd)}"


def _render_pair(instruction: str, name: str, value: str) -> str:
    shown = name if _NAME.fullmatch(name) else _quote(name)
    if _CONTROL.search(name) or _CONTROL.search(value):
        shown = _CONTROL.sub("?", name)
        return f"# {instruction} {shown}: a Dockerfile cannot have a line break in a value"
    if instruction == "ENV" and shown != name:
        return f"# ENV {shown}: a Dockerfile cannot have this name"
    return f"{instruction} {shown}={_quote(value)}"


def _quote(text: str) -> str:
    """Quote a word so that old and new parsers read the same.

    Inside quotes they disagree about backslashes; outside, one takes away the meaning of the
    character after it, everywhere. One at the end of a line would continue it.
    """
    if _SAFE.fullmatch(text) and text:
        return text
    if "\\" not in text:
        return '"' + re.sub(r'(["$])', r"\\\1", text) + '"'
    return re.sub(r"([^\w./:@%+,=-])", r"\\\1", text) + '""'


def _render_healthcheck(check: Mapping[str, Any]) -> str:
    kind, *argv = check.get("Test") or ("",)
    if kind == "NONE":
        return "HEALTHCHECK NONE"
    options = [
        f"{option}={_duration(check[key])} "
        for key, option in _HEALTH_OPTIONS.items()
        if check.get(key)
    ]
    if retries := check.get("Retries"):
        options.append(f"--retries={retries} ")
    command = _to_json(argv) if kind == "CMD" else " ".join(argv)
    if kind not in {"CMD", "CMD-SHELL"} or _CONTROL.search(command):
        return "# HEALTHCHECK: a Dockerfile cannot have this one"
    return f"HEALTHCHECK {''.join(options)}CMD {command}"


def _duration(nanoseconds: int) -> str:
    factor, unit = next(each for each in _UNITS if nanoseconds % each[0] == 0)
    return f"{nanoseconds // factor}{unit}"


def _to_json(words: Sequence[str]) -> str:
    return orjson.dumps(list(words)).decode()
