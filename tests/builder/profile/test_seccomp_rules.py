"""The rules of seccomp profiles, and messages for traces that give no profile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from traces import check_failure, run_slimtrace

from slimtrace.builder.profile.seccomp.architectures import find_architectures
from slimtrace.builder.profile.seccomp.required_calls import (
    COMMON_CALLS,
    PRIVILEGED_RUNTIME_CALLS,
    RUNTIME_CALLS,
    SENSITIVE_CALLS,
)
from slimtrace.builder.profile.seccomp.seccomp_profile import to_profile
from slimtrace.builder.profile.seccomp.seccomp_rules import find_families, make_rules
from slimtrace.tracer.syscalls.classes import HOT, classify
from slimtrace.tracer.trace.trace import Gap, Run, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNIX, INET, INET6, NETLINK, PACKET, VSOCK = 1, 2, 10, 16, 17, 40
NEW_USER, NEW_NET = 0x10000000, 0x40000000  # sched.h
ALL_NEW = 0x7E020000
EQUAL, MASKED = "SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"


def trace(
    *observed: str,
    has_unseen: bool = False,
    arguments: Mapping[str, tuple[int, ...]] | None = None,
    machines: tuple[str, ...] = ("x86_64",),
    gaps: tuple[Gap, ...] = (),
    is_narrow: bool = False,
) -> Trace:
    runs = tuple(
        Run(("/app",), "/", "0:0", {}, "rootfs:/", None, "", machine, "notify", gaps=gaps)
        for machine in machines
    )
    return Trace(
        runs,
        observed_syscalls=tuple(sorted(observed)),
        has_unseen_syscalls=has_unseen,
        arguments=arguments or {},
        is_narrow=is_narrow,
    )


def profile(of: Trace, **options: Any) -> dict[str, Any]:
    machines = find_architectures(of)
    return to_profile(machines, make_rules(of, machines.calls, **options))


def rules(of: Trace, name: str, **options: Any) -> list[tuple[Any, ...]]:
    """A profile's rules for one call: ``(allow or errno, argument, operator, values…)``."""
    found: list[tuple[Any, ...]] = []
    for rule in profile(of, **options)["syscalls"]:
        if name not in rule["names"]:
            continue
        answer = "allow" if rule["action"] == "SCMP_ACT_ALLOW" else rule["errnoRet"]
        tests = [
            (test["index"], test["op"], test["value"], *([two] if two is not None else []))
            for test in rule.get("args", [])
            for two in [test.get("valueTwo")]
        ]
        found += [(answer, *test) for test in tests] or [(answer,)]
    return found


@pytest.mark.parametrize(
    ("summary", "of", "name", "expected"),
    [
        ("observed", trace("mount"), "mount", [("allow",)]),
        ("assumed", trace(has_unseen=True), "sendmsg", [("allow",)]),
        ("neither", trace(), "mount", []),
        ("a runtime's", trace(), "setgroups", [("allow",)]),
        ("any program's", trace(), "rt_sigreturn", [("allow",)]),
        ("no such call here", trace("open", machines=("aarch64",)), "open", []),
        ("ioctl stays open", trace(has_unseen=True), "ioctl", [("allow",)]),
        ("clone", trace(), "clone", [("allow", 0, MASKED, ALL_NEW, 0)]),
        (
            "clone with namespaces that were seen",
            trace("clone", arguments={"clone": (NEW_USER, NEW_USER | NEW_NET)}),
            "clone",
            [("allow", 0, MASKED, ALL_NEW & ~NEW_USER & ~NEW_NET, 0)],
        ),
        ("clone3, seen or not", trace("clone3", has_unseen=True), "clone3", [(38,)]),
        ("a ring, refused as it was", trace("io_uring_setup"), "io_uring_setup", [(38,)]),
        ("no ring", trace(), "io_uring_setup", []),
        ("no personality", trace(), "personality", []),
        (
            "personality",
            trace("personality"),
            "personality",
            [("allow", 0, EQUAL, each) for each in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)],
        ),
        ("no socket", trace(has_unseen=True), "socket", []),
        (
            "a family",
            trace("socket", arguments={"socket": (VSOCK,)}),
            "socket",
            [("allow", 0, EQUAL, VSOCK)],
        ),
    ],
)
def test_what_a_profile_says_of_a_call(
    summary: str, of: Trace, name: str, expected: list[tuple[Any, ...]]
) -> None:
    assert rules(of, name) == expected, summary


@pytest.mark.parametrize(
    ("summary", "of", "expected"),
    [
        ("none", trace("openat"), set()),
        ("those seen", trace("socket", arguments={"socket": (UNIX, PACKET)}), {UNIX, PACKET}),
        ("IPv4 is IPv6", trace("socket", arguments={"socket": (INET,)}), {INET, INET6}),
        ("IPv6 is IPv4", trace("socket", arguments={"socket": (INET6,)}), {INET, INET6}),
        ("an older trace", trace("connect"), {UNIX, INET, INET6, NETLINK}),
        (
            "sockets from before the trace",
            trace("openat", gaps=(Gap("attached", ""),)),
            {UNIX, INET, INET6, NETLINK},
        ),
    ],
)
def test_families_of_sockets(summary: str, of: Trace, expected: set[int]) -> None:
    assert find_families(of) == expected, summary


def test_what_is_asked_for_has_no_conditions() -> None:
    also = ("clone", "clone3", "socket", "personality", "io_uring_setup")
    of = trace("socket", "personality", "io_uring_setup", arguments={"socket": (INET,)})
    assert [rules(of, name, also=also) for name in also] == [[("allow",)]] * len(also)


def test_what_only_privileged_starts_need() -> None:
    names = ("setuid", "setresgid", "capset", "setgroups")
    assert not any(rules(trace(), name, no_new_privileges=True) for name in names)
    assert rules(trace("setuid"), "setuid", no_new_privileges=True) == [("allow",)]


def test_a_call_stands_in_one_rule() -> None:
    of = trace("openat", "futex", "setuid", has_unseen=True)
    plain = [rule for rule in profile(of)["syscalls"] if "args" not in rule]
    names = [name for rule in plain for name in rule["names"]]
    assert len(names) == len(set(names))
    assert [rule["comment"].split()[0] for rule in plain][:2] == ["the", "assumed:"]


@pytest.mark.parametrize(
    ("machines", "is_narrow", "expected"),
    [
        (("x86_64",), False, ["SCMP_ARCH_X86_64"]),
        (("x86_64",), True, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        (("aarch64",), False, ["SCMP_ARCH_AARCH64"]),
        (("aarch64",), True, ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
        (("aarch64", "x86_64"), False, ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]),
    ],
)
def test_architectures(machines: tuple[str, ...], is_narrow: bool, expected: list[str]) -> None:
    of = trace(machines=machines, is_narrow=is_narrow)
    messages = profile(of)
    assert messages["architectures"] == expected
    assert (messages["defaultAction"], messages["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)


def test_what_is_allowed_unseen_is_harmless() -> None:
    """The calls exist, none can escape a container, and few take a path."""
    unseen = RUNTIME_CALLS | PRIVILEGED_RUNTIME_CALLS | COMMON_CALLS | HOT
    assert {name for name in unseen | SENSITIVE_CALLS if classify(name) is None} == set()
    assert unseen & SENSITIVE_CALLS == set()
    assert {name for name in COMMON_CALLS if classify(name) != "hot"} == {"statx"}
    assert RUNTIME_CALLS.isdisjoint(PRIVILEGED_RUNTIME_CALLS)


HEADER = '{"slimtrace":1,"version":"0"}\n'
RUN = (
    '{"run":{"command":["app"],"cwd":"/","user":"0:0","env":{},"image":"rootfs:/",'
    '"image_digest":null,"started":"","machine":"%s","engine":"notify"}}\n'
)
X86 = HEADER + RUN % "x86_64"


@pytest.mark.parametrize(
    ("trace", "argv", "status", "lines"),
    [
        (X86, (), 2, ("cannot write a profile: no FILE is given", "add --seccomp FILE")),
        (
            X86,
            ("--seccomp", "-", "--json"),
            2,
            ("cannot write two documents to stdout", "name a FILE"),
        ),
        (
            X86,
            ("--seccomp", "x", "--allow", "teleport"),
            2,
            ("cannot use --allow teleport: there is no such system call",),
        ),
        (X86, ("--seccomp", "no/x"), 125, ("cannot write no/x: the folder ", "make it first")),
        (
            X86,
            ("--seccomp", "/proc"),
            125,
            ("cannot write /proc: it is a directory", "name a file"),
        ),
        (
            X86,
            ("--apparmor", "x", "--name", "a b"),
            2,
            ("cannot use --name a b: it is not a plain word", "use letters, digits"),
        ),
        (
            HEADER,
            ("--seccomp", "x"),
            125,
            ("cannot make a profile: the trace has no run", "trace the app again"),
        ),
        (
            HEADER,
            ("--apparmor", "x"),
            125,
            ("cannot make a profile: the trace has no run", "trace the app again"),
        ),
        (
            HEADER + RUN % "riscv64",
            ("--seccomp", "x"),
            125,
            ("cannot make a profile for riscv64: its calls are not known", "trace on one of"),
        ),
        (
            "",
            ("--seccomp", "x"),
            125,
            ("cannot read app.trace: it is empty", "trace the app again"),
        ),
    ],
)
def test_bad_input(
    tmp_path: Path, trace: str, argv: tuple[str, ...], status: int, lines: tuple[str, ...]
) -> None:
    (tmp_path / "app.trace").write_text(trace)
    done = run_slimtrace("profile", "app.trace", *argv, cwd=str(tmp_path))
    check_failure(done, status, *lines)
    assert not (tmp_path / "x").exists()


def test_what_is_said(tmp_path: Path) -> None:
    """Warn of calls that engines would refuse, and of a trace that ended early."""
    lines = '{"syscall":"mount"}\n{"syscall":"socket"}\n{"argument":"socket","value":2}\n'
    (tmp_path / "app.trace").write_text(X86 + lines)
    done = run_slimtrace("profile", "app.trace", "--seccomp", "x.json", "--json", cwd=str(tmp_path))
    assert done.returncode == 0
    messages = done.stderr.splitlines()
    assert [line.partition(":")[2].split(":")[0].strip() for line in messages] == [
        *("wrote x.json", "warning", "warning")
    ]
    assert messages[0].endswith("; sockets: AF_INET, AF_INET6")
    assert "it allows mount, because a run made these calls; if the app does" in messages[1]
    assert "the trace may be incomplete: the profile refuses what it lacks; " in messages[2]
    document = json.loads(done.stdout)["seccomp"]
    assert (document["file"], document["telling"]) == ("x.json", ["mount"])
    assert document["families"] == ["AF_INET", "AF_INET6"]
    assert "mount" in document["allowed"]
    assert "clone3" not in document["allowed"]
