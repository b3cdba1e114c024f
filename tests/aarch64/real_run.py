"""Real runs on other kernels than this machine's: aarch64, and before 6.6 (no sync wake-up).

``make test-aarch64`` runs the first; ``pytest tests/aarch64/real_run.py`` runs all (select with
``-k``). They are not part of ``make test``: they download a kernel, a Python and qemu, and the
emulation keeps two cores busy for a minute or more, so tests with time limits would fail.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from machine import AARCH64, X86_64, Machine, VirtualMachine

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 600.0
SCRIPT = r"""
uname -rm
run() {
    python3 -m slimtrace -q run --append -o /app.trace -- "$@"
    echo "@status $?"
}
echo data >/etc/data
echo before >/etc/changed
run /bin/cat /etc/data /etc/changed
run ls -l /opt/slimtrace/tracer
run sh -c '
    cat /etc/data | tr a-z A-Z | sort >out
    mkdir folder; ln -s out link; mv out folder/moved; cd folder
    readlink ../link; cp -p moved copy; rm copy; test -e nowhere; chmod 600 moved
    echo after >/etc/changed'
echo @document
python3 -m slimtrace show --json /app.trace
echo @end
python3 -m slimtrace -q build /app.trace -o rootfs:/slim
echo "@status $?"
echo "@slim" $(chroot /slim /bin/cat /etc/data /etc/changed)
"""


@dataclass(frozen=True)
class Case:
    machine: Machine
    suite: str
    said: str
    loader: str


CASES = {
    "aarch64-bookworm": Case(
        AARCH64, "bookworm", r"6\.1\..* aarch64", "/lib/ld-linux-aarch64.so.1"
    ),
    "aarch64-trixie": Case(AARCH64, "trixie", r"6\.12\..* aarch64", "/lib/ld-linux-aarch64.so.1"),
    "x86_64-bookworm": Case(X86_64, "bookworm", r"6\.1\..* x86_64", "/lib64/ld-linux-x86-64.so.2"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_a_real_run(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    console = _boot(VirtualMachine(str(tmp_path), case.machine, case.suite))
    before, _, rest = console.partition("@document\n")
    document, _, after = rest.partition("@end\n")
    assert re.search(case.said, before), console
    assert re.findall(r"@status (\d+)", before + after) == ["0"] * 4, before + after
    _check(json.loads(document), case.loader)
    assert "@slim data before\n" in after, after


def _boot(world: VirtualMachine) -> str:
    try:
        return world.boot(SCRIPT, SECONDS)
    except subprocess.TimeoutExpired as error:
        output = error.output or b""
        pytest.fail(f"it did not end in {SECONDS} s: {output.decode(errors='replace')}")


def _check(document: dict[str, Any], loader: str) -> None:
    assert [(run["exit_status"], run["complete"], run["gaps"]) for run in document["runs"]] == [
        *[(0, True, [])] * 3
    ]
    assert {run["engine"] for run in document["runs"]} == {"notify"}
    programs = [image["argv"][0] for image in document["processes"]]
    assert programs[:3] == ["/bin/cat", "ls", "sh"]
    assert sorted(programs[3:]) == sorted(
        "cat tr sort mkdir ln mv readlink cp rm chmod".split()  # noqa: SIM905
    )
    uses = {
        entry["path"]: (state, set(entry["uses"]))
        for state in ("files", "missing", "created")
        for entry in document[state]
    }
    assert uses["/bin/cat"] == ("files", {"exec"})
    assert uses[loader] == ("files", {"read"})
    assert uses["/etc/data"] == ("files", {"read"})
    assert uses["/etc/changed"] == ("files", {"read", "write"})
    assert uses["/opt/slimtrace/tracer"] == ("files", {"list", "stat"})
    assert uses["/root/folder/nowhere"] == ("missing", {"stat"})
    assert uses["/root/folder"][0] == "created"
    assert uses["/root/link"] == ("created", {"create"})
    assert uses["/root/out"][1] >= {"create", "write", "delete"}
    assert uses["/root/folder/copy"][1] >= {"create", "delete"}
    assert {"execve", "openat", "newfstatat"} <= set(document["syscalls"]["observed"])
