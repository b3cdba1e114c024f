"""What the caller of a sandbox tells its launcher, and the launcher its caller."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import (
    CannotExecuteError,
    CommandNotFoundError,
    SlimtraceError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_ERRORS = {126: CannotExecuteError, 127: CommandNotFoundError}


class User(NamedTuple):
    """Who the program is inside."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Spec:
    """One program to run; ``parent`` is the process whose end must be its end."""

    root: str
    argv: tuple[str, ...]
    user: User
    workdir: str
    env: Mapping[str, str]
    read_only: bool
    parent: int

    def encode(self) -> bytes:
        """As JSON; surrogates for bytes that are not UTF-8 survive as escapes."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Spec:
        fields = json.loads(data)
        fields["argv"] = tuple(fields["argv"])
        fields["user"] = User(*fields["user"])
        return cls(**fields)


def encode_failure(error: SlimtraceError) -> bytes:
    """A failure as one line of JSON."""
    fields = {"exit_status": error.exit_status, "message": error.message, "hint": error.hint}
    return json.dumps(fields).encode() + b"\n"


def decode_failure(line: bytes) -> SlimtraceError:
    """The other way round."""
    fields = json.loads(line)
    kind = _ERRORS.get(fields["exit_status"], SlimtraceError)
    return kind(fields["message"], fields["hint"])


def parse_user(user: str) -> User:
    """``uid:gid`` or ``uid``.

    :raises UsageError: it is not numeric.
    """
    uid, _, gid = user.partition(":")
    if not (uid.isdecimal() and (gid or "0").isdecimal()):
        raise UsageError(f"cannot run as {user}: not a numeric uid:gid", "for example 65532:65532")
    return User(int(uid), int(gid or "0"))
