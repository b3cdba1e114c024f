"""The parser of ld.so.cache, compared with ldconfig."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from build_fixtures import compile_library, make_root

from slimtrace.builder.closure.elf.ldcache import HWCAP_EXTENSION, parse_ld_cache

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(r"\t(\S+) \(.*\) => (\S+)$", re.MULTILINE)


@pytest.mark.parametrize("form", ["new", "compat"])
def test_as_ldconfig_prints_it(tmp_path: Path, form: str) -> None:
    top = make_root(tmp_path / "root", {"/etc": None})
    for place in ("lib/libx.so", "lib/liby.so", "lib/glibc-hwcaps/x86-64-v2/libx.so"):
        compile_library(top / place, f"-Wl,-soname,{place.rpartition('/')[2]}")
    subprocess.run(["/sbin/ldconfig", "-r", str(top), "-c", form, "/lib"], check=True)
    data = (top / "etc/ld.so.cache").read_bytes()
    assert data.startswith(b"ld.so-1.7.0" if form == "compat" else b"glibc-ld.so.cache1.1")
    printed = subprocess.run(
        ["/sbin/ldconfig", "-p", "-C", str(top / "etc/ld.so.cache")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    parsed = parse_ld_cache(data)
    assert [(library.name, library.path) for library in parsed] == _LINE.findall(printed)
    assert len(parsed) == 3
    variants = [library for library in parsed if library.hwcap & HWCAP_EXTENSION]
    assert [library.path for library in variants] == ["/lib/glibc-hwcaps/x86-64-v2/libx.so"]
    if form == "new":
        assert variants[0].hwcaps_name == "x86-64-v2"


@pytest.mark.parametrize("data", [b"", b"ld.so-1.7.0", b"glibc-ld.so.cache1.1", b"text" * 99])
def test_a_damaged_cache_is_empty(data: bytes) -> None:
    assert parse_ld_cache(data) == ()
    cut = b"glibc-ld.so.cache1.1" + b"\xff" * 60
    assert parse_ld_cache(cut) == ()
