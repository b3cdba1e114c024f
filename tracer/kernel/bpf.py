"""Assembles the filter that stops the calls a tracer wants to see (bpf(4), seccomp(2)).

When a filter is installed, the kernel finds the call numbers that it always allows, and keeps them
in a bitmap (Linux 5.11). So these calls cost nothing more; the others cost the walk down a binary
tree of comparisons.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Verdict = Mapping[int, "Condition | None"]
    """Call numbers to stop: always, or where the arguments meet a condition."""

ALLOW = 0x7FFF0000
TRACE = 0x7FF00000
NOTIFY = 0x7FC00000

_LD_ABS = 0x20
_JA = 0x05
_JEQ = 0x15
_JGE = 0x35
_JSET = 0x45
_RET = 0x06
_OFFSET_NUMBER = 0  # struct seccomp_data
_OFFSET_ARCH = 4
_OFFSET_ARGS = 16
_MAX_JUMP = 255  # a conditional jump has an offset of one byte


@dataclass(frozen=True, slots=True)
class FirstIsOneOf:
    """The low half of the first argument is one of these."""

    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FirstHasAnyOf:
    """The low half of the first argument has one of these bits."""

    bits: int


@dataclass(frozen=True, slots=True)
class IsNotNull:
    """The argument of this number, from 0, is not a null pointer."""

    argument: int


Condition = FirstIsOneOf | FirstHasAnyOf | IsNotNull


def assemble_filter(verdicts: Mapping[int, Verdict], action: int = NOTIFY) -> bytes:
    """The filter that answers ``action`` for the numbers of each audit arch, else ALLOW.

    :param verdicts: AUDIT_ARCH_* to call numbers.
    """
    code = [_instruction(_LD_ABS, 0, 0, _OFFSET_ARCH)]
    for arch, verdict in verdicts.items():
        body = [_instruction(_LD_ABS, 0, 0, _OFFSET_NUMBER), *_tree(_intervals(verdict, action))]
        code += [
            _instruction(_JEQ, 1, 0, arch),
            _instruction(_JA, 0, 0, len(body)),
            *body,
        ]
    code.append(_instruction(_RET, 0, 0, ALLOW))
    return b"".join(code)


def _intervals(verdict: Verdict, action: int) -> list[tuple[int, list[bytes]]]:
    """The intervals of call numbers with one answer: first number, and the code that answers."""
    allow = [_instruction(_RET, 0, 0, ALLOW)]
    intervals = [(0, allow)]
    for number in sorted(verdict):
        if intervals[-1][0] == number:
            intervals.pop()
        answer = _answer(verdict[number], action)
        if not intervals or intervals[-1][1] != answer:
            intervals.append((number, answer))
        intervals.append((number + 1, allow))
    return intervals


def _tree(intervals: Sequence[tuple[int, list[bytes]]]) -> list[bytes]:
    if len(intervals) == 1:
        return intervals[0][1]
    middle = len(intervals) // 2
    left, right = _tree(intervals[:middle]), _tree(intervals[middle:])
    start = intervals[middle][0]
    if len(left) <= _MAX_JUMP:
        return [_instruction(_JGE, len(left), 0, start), *left, *right]
    return [_instruction(_JGE, 0, 1, start), _instruction(_JA, 0, 0, len(left)), *left, *right]


def _answer(condition: Condition | None, action: int) -> list[bytes]:
    stop = _instruction(_RET, 0, 0, action)
    allow = _instruction(_RET, 0, 0, ALLOW)
    match condition:
        case None:
            return [stop]
        case FirstIsOneOf(values):
            ordered = sorted(values)
            tests = [_instruction(_JEQ, len(ordered) - i, 0, v) for i, v in enumerate(ordered)]
            return [_instruction(_LD_ABS, 0, 0, _OFFSET_ARGS), *tests, allow, stop]
        case FirstHasAnyOf(bits):
            test = _instruction(_JSET, 1, 0, bits)
            return [_instruction(_LD_ABS, 0, 0, _OFFSET_ARGS), test, allow, stop]
        case IsNotNull(argument):
            halves = _OFFSET_ARGS + 8 * argument, _OFFSET_ARGS + 8 * argument + 4
            return [
                _instruction(_LD_ABS, 0, 0, halves[0]),
                _instruction(_JEQ, 0, 3, 0),
                _instruction(_LD_ABS, 0, 0, halves[1]),
                _instruction(_JEQ, 0, 1, 0),
                allow,
                stop,
            ]


def _instruction(code: int, jump_true: int, jump_false: int, operand: int) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, operand)
