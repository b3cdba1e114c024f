"""Our filter and libseccomp's for the same policy give the same action for every call."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import struct
import tempfile
from typing import TYPE_CHECKING

import pytest
from bpf_machine import run
from requirements import skip_missing

from slimtrace.tracer.kernel import bpf
from slimtrace.tracer.syscalls import abi

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Verdicts = Mapping[int, bpf.Verdict]

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
X32_BIT = 0x40000000
MAX_NUMBER = 700  # above all call numbers of any kernel
ARGUMENTS = (0, 1, 2, 3, 4, 5, 17, 1 << 17 | 17, 1 << 28, 1 << 31, (1 << 32) - 1)

# seccomp.h; libseccomp has its own token for x32, which has the token of x86_64 in the kernel
TOKENS = {
    "x86_64": 0xC000003E,
    "x32": 0x4000003E,
    "i386": 0x40000003,
    "arm64": 0xC00000B7,
    "arm": 0x40000028,
}
ABIS = {"x86_64": ("x86_64", "x32", "i386"), "aarch64": ("arm64", "arm")}
NATIVE = 0
ACT_ALLOW, ACT_NOTIFY = 0x7FFF0000, 0x7FC00000
BAD_ARCH = 2  # SCMP_FLTATR_ACT_BADARCH
NO_SUCH_CALL = -1
MULTIPLEXED = 1000  # numbers down to here are libseccomp's, for parts of socketcall and ipc


@pytest.fixture(scope="module", params=sorted(abi.MACHINES))
def policy(request: pytest.FixtureRequest) -> Verdicts:
    """The tracer's policy on one machine."""
    return abi.group_by_arch(
        abi.select_calls(request.param, handlers=True, reapers=True, births=True, exits=True)
    )


def test_the_kernel_accepts_the_program(policy: Verdicts) -> None:
    program = bpf.assemble_filter(policy)
    length, rest = divmod(len(program), 8)
    assert rest == 0
    assert length <= MAX_INSTRUCTIONS
    for position, (operation, yes, no, operand) in enumerate(struct.iter_unpack("=HBBI", program)):
        if operation & 7 == 5:
            furthest = operand if operation == 5 else max(yes, no)
            assert position + 1 + furthest < length, "every jump must end inside the program"
    assert program[-8:-6] == struct.pack("=H", 6), "the last instruction must return"


def test_the_action_for_every_call(policy: Verdicts) -> None:
    """Compare with the policy itself, for all call numbers and some that do not exist."""
    program = bpf.assemble_filter(policy)
    for arch, number, argument in _every_call(policy):
        calls = policy.get(arch, {})
        arguments: tuple[int, ...] = (argument,)
        match calls.get(number):
            case bpf.FirstIsOneOf(values):
                stops = argument in values
            case bpf.FirstHasAnyOf(bits):
                stops = bool(argument & bits)
            case bpf.IsNotNull(place):
                stops, arguments = argument != 0, (*(0,) * place, argument)
            case None:
                stops = number in calls
        assert run(program, arch, number, *arguments) == (ACT_NOTIFY if stops else ACT_ALLOW)


@pytest.mark.parametrize("arch", [0, 0xFFFFFFFF, 0x28])
def test_an_unknown_abi_is_allowed(policy: Verdicts, arch: int) -> None:
    program = bpf.assemble_filter(policy)
    assert {run(program, arch, number) for number in range(MAX_NUMBER)} == {ACT_ALLOW}


def test_another_action_can_be_chosen(policy: Verdicts) -> None:
    program = bpf.assemble_filter(policy, bpf.TRACE)
    answers = {run(program, arch, number, 2) for arch, number, _ in _every_call(policy)}
    assert answers == {ACT_ALLOW, 0x7FF00000}


@pytest.mark.parametrize(
    ("summary", "numbers"),
    [
        ("none", []),
        ("the first", [0]),
        ("the last", [0xFFFFFFFE]),
        ("neighbours", [7, 8, 9]),
        ("every other", list(range(0, 1200, 2))),
        ("a thousand in a row", list(range(1000))),
    ],
)
def test_shapes_of_policies(summary: str, numbers: list[int]) -> None:
    policy: Verdicts = {
        1: dict.fromkeys(numbers),
        2: {5: bpf.FirstIsOneOf((1, 2)), 6: bpf.IsNotNull(2), 7: bpf.FirstHasAnyOf(6)},
    }
    program = bpf.assemble_filter(policy)
    probes = {*numbers, *(number + 1 for number in numbers), 0, 1, 1200} - {1 << 32}
    stopped = {number for number in probes if run(program, 1, number) == ACT_NOTIFY}
    assert stopped == set(numbers), summary
    assert [run(program, 2, 5, argument) == ACT_NOTIFY for argument in range(4)] == [
        *(False, True, True, False)
    ]
    assert [run(program, 2, 7, argument) == ACT_NOTIFY for argument in (0, 1, 2, 9, 12)] == [
        *(False, False, True, False, True)
    ]
    pointers = (0, 1, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1)
    notified = {p for p in pointers if run(program, 2, 6, 9, 9, p) == ACT_NOTIFY}
    assert notified == set(pointers) - {0}


@pytest.mark.parametrize("machine", list(ABIS))
def test_libseccomp_gives_the_same_actions(libseccomp: Library, machine: str) -> None:
    calls = abi.select_calls(machine)
    ours = bpf.assemble_filter(abi.group_by_arch(calls))
    theirs = libseccomp.program({call.name for call in calls.values()}, ABIS[machine])
    unknown = {
        key
        for key, call in calls.items()
        # these are stopped by their arguments, and libseccomp's filter has no argument rules
        if not libseccomp.has_call(key, call.name) or call.name in {"sendto", "clone"}
    }
    assert len(unknown) < len(calls) / 5, "libseccomp is too old to compare most calls"
    differing = [
        (hex(arch), number, argument)
        for arch, number, argument in _every_call(abi.group_by_arch(calls))
        if arch << 32 | number not in unknown
        and run(ours, arch, number, argument) != run(theirs, arch, number, argument)
    ]
    assert differing == []


@pytest.mark.parametrize("abi_name", list(TOKENS))
def test_libseccomp_has_the_same_numbers(libseccomp: Library, abi_name: str) -> None:
    theirs = {
        name: libseccomp.number(name, TOKENS[abi_name]) for name in abi.read_call_numbers(abi_name)
    }
    known = {name: number for name, number in theirs.items() if number >= 0}
    assert len(known) > 250
    assert known == {name: abi.read_call_numbers(abi_name)[name] for name in known}


@pytest.fixture(scope="module")
def libseccomp() -> Library:
    name = ctypes.util.find_library("seccomp")
    if name is None:
        skip_missing("libseccomp")
    return Library(name)


class Library:
    """The functions of libseccomp that build and export a filter."""

    def __init__(self, name: str) -> None:
        self.library = ctypes.CDLL(name)
        self.library.seccomp_init.restype = ctypes.c_void_p

    def number(self, name: str, token: int) -> int:
        """Return the number of a call in one ABI.

        It is negative if libseccomp is too old to know the call, or if i386 multiplexes it.
        """
        resolve = self.library.seccomp_syscall_resolve_name_arch
        return int(resolve(ctypes.c_uint32(token), name.encode()))

    def has_call(self, key: int, name: str) -> bool:
        token = TOKENS["x32"] if key & X32_BIT else key >> 32
        return -MULTIPLEXED < self.number(name, token) != NO_SUCH_CALL

    def program(self, names: Iterable[str], abis: Iterable[str]) -> bytes:
        """Build a filter that notifies of these calls in some ABIs and allows all others."""
        context = ctypes.c_void_p(self.library.seccomp_init(ctypes.c_uint32(ACT_ALLOW)))
        try:
            self._must(self.library.seccomp_attr_set(context, BAD_ARCH, ctypes.c_uint32(ACT_ALLOW)))
            self._must(self.library.seccomp_arch_remove(context, ctypes.c_uint32(NATIVE)))
            for abi in abis:
                self._must(self.library.seccomp_arch_add(context, ctypes.c_uint32(TOKENS[abi])))
            for name in sorted(names):
                number = self.library.seccomp_syscall_resolve_name(name.encode())
                if (
                    number == NO_SUCH_CALL or name == "socketcall"
                ):  # bind, connect and listen may add it
                    continue
                action = ctypes.c_uint32(ACT_NOTIFY)
                self._must(self.library.seccomp_rule_add_array(context, action, number, 0, None))
            with tempfile.TemporaryFile() as file:
                self._must(self.library.seccomp_export_bpf(context, file.fileno()))
                return os.pread(file.fileno(), 1 << 20, 0)
        finally:
            self.library.seccomp_release(context)

    @staticmethod
    def _must(result: int) -> None:
        assert result == 0, os.strerror(-result)


def _every_call(policy: Verdicts) -> Iterator[tuple[int, int, int]]:
    """Yield arch, number and first argument: every number, with every argument that is compared."""
    for arch, calls in policy.items():
        numbers = [*range(MAX_NUMBER), *range(X32_BIT, X32_BIT + MAX_NUMBER), 0x7FFFFFFF]
        for number in numbers:
            for argument in (0,) if calls.get(number) is None else ARGUMENTS:
                yield arch, number, argument
