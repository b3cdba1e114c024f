"""The files that Lua and Tcl programs imply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import app, lua, tcl
from slimtrace.builder.model import Reason
from slimtrace.builder.packages.languages.luarocks_packages import parse_manifest

if TYPE_CHECKING:
    from pathlib import Path

Tree = dict[str, str | bytes | None]

WHOLE = [rule for rule in app.RULES if rule.reason is Reason.LANGUAGE_PACKAGE]

LUA_TREE: Tree = dict.fromkeys(
    (
        "/usr/share/lua/5.4/json.lua",
        "/usr/share/lua/5.4/socket/http.lua",
        "/usr/share/lua/5.4/socket/init.lua",
        "/usr/lib/x86_64-linux-gnu/lua/5.4/lpeg.so",
        "/usr/lib/x86_64-linux-gnu/lua/5.4/socket/core.so",
        "/usr/share/lua/5.1/old.lua",
        "/app/lib/plugins/one.lua",
        "/app/lib/plugins/notes.txt",
        "/app/lib/util.lua",
        "/app/conf.lua",
        "/usr/bin/lua5.4",
    ),
    "",
)
LUA_SOURCES = {
    "require 'json'": "/usr/share/lua/5.4/json.lua",
    'local http = require("socket.http")': "/usr/share/lua/5.4/socket/http.lua",
    "require[[socket]]": "/usr/share/lua/5.4/socket/init.lua",
    "pcall(require, 'lpeg')": "/usr/lib/x86_64-linux-gnu/lua/5.4/lpeg.so",
    "require 'socket.core'": "/usr/lib/x86_64-linux-gnu/lua/5.4/socket/core.so",
    "require 'util'": "/app/lib/util.lua",
    "require('plugins.' .. name)": "/app/lib/plugins/one.lua",
    "package.path = 'plugins/?.lua;' .. package.path; require 'one'": "/app/lib/plugins/one.lua",
    "dofile('../conf.lua')": "/app/conf.lua",
    "require 'old'": "",
    "-- require 'json'": "",
    "--[[ require 'json'\n ]] x.require('json')": "",
    "require(name)": "",
}


@pytest.mark.parametrize("source", LUA_SOURCES)
def test_lua(source: str, tmp_path: Path) -> None:
    make_root(tmp_path, LUA_TREE | {"/app/lib/main.lua": source})
    found = list_added_paths(tmp_path, ["/app/lib/main.lua", "/usr/bin/lua5.4"], lua.RULES)
    assert list(found) == LUA_SOURCES[source].split()


MANIFEST = """rock_manifest = {
   doc = { ["README.md"] = "0a" },
   lua = { ["pl.lua"] = "0b", pl = { ["late.lua"] = "0c", deep = { ["x.lua"] = "0d" } } },
   lib = { ["pl_core.so"] = "0e" },
   ["penlight-1.0-1.rockspec"] = "0f"
}"""


def test_rocks_come_whole(tmp_path: Path) -> None:
    assert parse_manifest(MANIFEST) == [
        *("doc/README.md", "lua/pl.lua", "lua/pl/late.lua", "lua/pl/deep/x.lua"),
        *("lib/pl_core.so", "penlight-1.0-1.rockspec"),
    ]
    rocks = "/usr/local/lib/luarocks/rocks-5.4"
    spec = 'dependencies = { "lua >= 5.1", "luafilesystem ~> 1", "gone" }'
    lfs = 'rock_manifest = { lib = { ["lfs.so"] = "00" } }'
    lua_folder = "/usr/local/share/lua/5.4"
    tree: Tree = {
        f"{rocks}/penlight/1.0-1/rock_manifest": MANIFEST,
        f"{rocks}/penlight/1.0-1/penlight-1.0-1.rockspec": spec,
        f"{rocks}/luafilesystem/1.8-1/rock_manifest": lfs,
        f"{rocks}/other/1-1/rock_manifest": 'rock_manifest = { lua = { ["other.lua"] = "0" } }',
        f"{lua_folder}/pl.lua": "",
        f"{lua_folder}/pl/late.lua": "",
        f"{lua_folder}/other.lua": "",
        "/usr/local/lib/lua/5.4/lfs.so": "",
    }
    make_root(tmp_path, tree)
    assert sorted(list_added_paths(tmp_path, [f"{lua_folder}/pl.lua"], WHOLE)) == [
        "/usr/local/lib/lua/5.4/lfs.so",
        f"{rocks}/luafilesystem/1.8-1/rock_manifest",
        f"{rocks}/penlight/1.0-1/penlight-1.0-1.rockspec",
        f"{rocks}/penlight/1.0-1/rock_manifest",
        f"{lua_folder}/pl/late.lua",
    ]


TCL_TREE: Tree = {
    "/usr/share/tcltk/tcllib/pkgIndex.tcl": "",
    "/usr/share/tcltk/json/pkgIndex.tcl": (
        "if {![package vsatisfies 8.6 8.5]} {return}\n"
        "package ifneeded json 1.3 [list source [file join $dir json.tcl]]\n"
        "package ifneeded json::write 1.0 \\\n  [list source [file join $dir write.tcl]]\n"
    ),
    "/usr/share/tcltk/json/json.tcl": "package require later",
    "/usr/share/tcltk/json/write.tcl": "",
    "/usr/share/tcltk/json/data.txt": "",
    "/usr/share/tcltk/later/pkgIndex.tcl": "package ifneeded later 1 [list load $dir/later.so]",
    "/usr/share/tcltk/later/later.so": "",
    "/usr/share/tcltk/tcl8/8.5/tcltest-2.5.tm": "",
    "/usr/share/tcltk/tcl8.6/tclIndex": (
        "set auto_index(parray) [list source [file join $dir parray.tcl]]"
    ),
    "/usr/share/tcltk/tcl8.6/init.tcl": "",
    "/usr/share/tcltk/tcl8.6/parray.tcl": "",
    "/usr/share/tcltk/tcl8.6/encoding/cp1252.enc": "",
    "/usr/share/tcltk/tcl8.6/tzdata/UTC": "",
    "/app/lib/more.tcl": "",
    "/app/next.tcl": "",
}
TCL_SOURCES = {
    "package require json": "json/json.tcl json/pkgIndex.tcl later/later.so later/pkgIndex.tcl",
    "package require -exact json::write 1.0": "json/pkgIndex.tcl json/write.tcl",
    "package require tcltest": "tcl8/8.5/tcltest-2.5.tm",
    "source [file join [file dirname [info script]] lib more.tcl]": "/app/lib/more.tcl",
    "source $here/lib/more.tcl": "/app/lib/more.tcl",
    "source next.tcl": "/app/next.tcl",
    "# package require json": "",
    "package require $name": "",
}


@pytest.mark.parametrize("source", TCL_SOURCES)
def test_tcl(source: str, tmp_path: Path) -> None:
    make_root(tmp_path, TCL_TREE | {"/app/main.tcl": source})
    found = list_added_paths(tmp_path, ["/app/main.tcl"], tcl.RULES[:1])
    expected = [
        name if name.startswith("/") else f"/usr/share/tcltk/{name}"
        for name in TCL_SOURCES[source].split()
    ]
    assert sorted(found) == expected


def test_tcl_folders(tmp_path: Path) -> None:
    """The rest of a package's folder, and of Tcl's own library without time zones."""
    make_root(tmp_path, TCL_TREE)
    top = "/usr/share/tcltk"
    touched = [f"{top}/json/pkgIndex.tcl", f"{top}/json/json.tcl", f"{top}/tcl8.6/init.tcl"]
    touched.append(f"{top}/later/pkgIndex.tcl")
    assert sorted(list_added_paths(tmp_path, touched, tcl.RULES[1:])) == [
        f"{top}/json/data.txt",
        f"{top}/json/write.tcl",
        f"{top}/tcl8.6/encoding/cp1252.enc",
        f"{top}/tcl8.6/parray.tcl",
        f"{top}/tcl8.6/tclIndex",
    ]


PROGRAMS = {
    "lua5.4": {
        "/main.lua": """
            package.path = 'lib/?.lua;' .. package.path
            local word = arg[1]
            if word == 'module' then print(require('late').word)
            elseif word == 'plugin' then print(require('plugins.' .. word).word)
            else print('none') end""",
        "/lib/late.lua": "return { word = 'module' }",
        "/lib/plugins/plugin.lua": "return { word = 'plugin' }",
    },
    "tclsh": {
        "/main.tcl": """
            lappend auto_path [file join [file dirname [info script]] lib]
            set word [lindex $argv 0]
            switch $word {
                module { source [file join [file dirname [info script]] lib late.tcl] }
                plugin { puts [encoding convertfrom cp1252 plugin] }
                default { puts none }
            }""",
        "/lib/late.tcl": "puts module",
    },
}


@pytest.mark.parametrize("interpreter", PROGRAMS)
def test_branches_that_the_run_did_not_take(interpreter: str, tmp_path: Path) -> None:
    need(interpreter)
    make_root(tmp_path, PROGRAMS[interpreter])
    command = (interpreter, next(iter(PROGRAMS[interpreter]))[1:])
    image = build_images(tmp_path, (*command, "none"), keeps=("app",))["app"]
    words = ["none", "module", "plugin"]
    assert [image.read_last_line(*command, word) for word in words] == words
