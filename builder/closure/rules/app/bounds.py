"""Limits of the rules of the level ``app``: what is larger is data, and is kept by evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import LimitMet
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.model import Reason


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a rule may add for one folder or package.

    :ivar files: their number.
    :ivar size: their bytes.
    """

    files: int
    size: int


def take_within(
    context: RuleContext, reason: Reason, folder: str, files: Iterable[str], bound: Bound
) -> Iterator[Need | LimitMet]:
    """Make the needs of all files, or say that there are too many of them and make none.

    :param folder: what the files are in, for the warning.
    :param files: paths in the full image; those that do not exist are skipped.
    """
    kept = [file for file in files if context.root.resolve(file, follow=False).exists]
    size = sum(measure(context, file) for file in kept)
    if len(kept) > bound.files or size > bound.size:
        yield LimitMet(reason, folder, len(kept), size)
        return
    for file in kept:
        yield Need(file, reason, load=may_be_loaded(context, file))


def measure(context: RuleContext, path: str) -> int:
    """The bytes of the file at a path; 0 if there is none."""
    fingerprint = context.root.fingerprint(context.root.resolve(path, follow=False).path)
    return 0 if fingerprint is None else fingerprint.size


def may_be_loaded(context: RuleContext, path: str) -> bool:
    """Whether a file is a program or, by its name, a library: then what it needs counts."""
    own = context.root.resolve(path)
    if not own.exists or context.root.kind(own.path) is not Kind.FILE:
        return False
    return context.root.is_executable(own.path) or ".so" in own.path.rpartition("/")[2]
