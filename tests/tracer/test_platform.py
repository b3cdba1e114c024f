"""Messages on unsupported systems, kernels and architectures."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.platform import check_platform
from slimtrace.tracer.syscalls.abi import MACHINES


@pytest.mark.parametrize(
    ("system", "release", "machine", "said"),
    [
        ("Darwin", "24.0.0", "arm64", "cannot trace on Darwin: slimtrace needs Linux"),
        ("Linux", "5.2.0-216-generic", "x86_64", "cannot trace on Linux 5.2.0-216-generic"),
        ("Linux", "4.18.0", "aarch64", "cannot trace on Linux 4.18.0: 5.3 or later is needed"),
        ("Linux", "6.1.0", "riscv64", "cannot trace on riscv64: slimtrace knows aarch64, x86_64"),
    ],
)
def test_unsupported_platforms(
    monkeypatch: pytest.MonkeyPatch, system: str, release: str, machine: str, said: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "release", lambda: release)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(SlimtraceError, match="cannot trace") as caught:
        check_platform()
    assert caught.value.message.startswith(said)
    assert caught.value.exit_status == 125


@pytest.mark.parametrize(
    "release", ["5.3.0", "5.5.0", "5.10.0-28-amd64", "6.18.44-fc-v657", "7.0-rc1"]
)
def test_supported_platforms(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    monkeypatch.setattr(platform, "release", lambda: release)
    check_platform()


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_all_modules_load_on_every_architecture(machine: str) -> None:
    """Names that python-ptrace does not have on one of them must not be used there."""
    code = f"""
import importlib, os, pkgutil
machine = "{machine}"
own = os.uname()
os.uname = lambda: os.uname_result((*own[:4], machine))
import slimtrace.tracer
for module in pkgutil.walk_packages(slimtrace.tracer.__path__, "slimtrace.tracer."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stderr == ""
