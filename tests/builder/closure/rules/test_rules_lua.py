"""The modules that a Lua program requires: in generated trees, and in an untaken branch of one."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import lua

if TYPE_CHECKING:
    from pathlib import Path

SHARE = "/usr/share/lua/5.4"
NATIVE = "/usr/lib/x86_64-linux-gnu/lua/5.4"
WORLD: dict[str, str] = {
    "/usr/bin/lua5.4": "",
    f"{SHARE}/a/b.lua": 'require "deep"',
    f"{SHARE}/deep.lua": "",
    f"{SHARE}/c/init.lua": "",
    "/usr/share/lua/5.1/old.lua": "",
    f"{NATIVE}/n.so": "",
    f"{NATIVE}/big/core.so": "",
    "/srv/app/lib/own.lua": "",
    "/srv/app/main.lua": "",
    "/opt/rocks/share/lua/5.4/used.lua": "",
    "/opt/rocks/share/lua/5.4/other.lua": "",
}
SOURCES = {
    'local x = require "a.b"': f"{SHARE}/a/b.lua {SHARE}/deep.lua",
    "if rare then require('c') end": f"{SHARE}/c/init.lua",
    'local ok = pcall(require, "n")': f"{NATIVE}/n.so",
    "require [[n]]": f"{NATIVE}/n.so",
    'require "n.sub"': f"{NATIVE}/n.so",
    'require("big.core")': f"{NATIVE}/big/core.so",
    'require "lib.own"': "/srv/app/lib/own.lua",
    'require "other"': "/opt/rocks/share/lua/5.4/other.lua",
    'require "old"': "",
    '-- require "n"': "",
    '--[==[ require "n" ]] ]==] require "c"': f"{SHARE}/c/init.lua",
    'x = "-- " require "n" -- "': f"{NATIVE}/n.so",
    "require(name); my.require 'n'; xrequire 'n'": "",
}


@pytest.mark.parametrize("source", SOURCES)
def test_required_modules(tmp_path: Path, source: str) -> None:
    make_root(tmp_path, {**WORLD, "/srv/app/main.lua": source})
    touched = ["/usr/bin/lua5.4", "/srv/app/main.lua", "/opt/rocks/share/lua/5.4/used.lua"]
    assert sorted(list_added_paths(tmp_path, touched, lua.RULES)) == SOURCES[source].split()


def test_lua_finds_the_same_files(tmp_path: Path) -> None:
    need("lua5.4")
    root = make_root(tmp_path / "root", WORLD)
    for name in ("a.b", "c", "deep"):
        path = f"{root}{SHARE}/?.lua;{root}{SHARE}/?/init.lua"
        code = f'print(package.searchpath("{name}", "{path}"))'
        found = subprocess.run(
            ["lua5.4", "-e", code], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()
        make_root(root, {"/srv/app/main.lua": f'require "{name}"'})
        touched = ["/usr/bin/lua5.4", "/srv/app/main.lua"]
        assert found.removeprefix(str(root)) in list_added_paths(root, touched, lua.RULES)
