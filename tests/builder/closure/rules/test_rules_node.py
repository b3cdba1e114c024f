"""The files that a Node.js app implies: in generated trees, as Node resolves them, in an app."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from build_fixtures import compile_library, make_root
from closure_runs import ENV, build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import node
from slimtrace.builder.closure.rules.node.specifiers import find_specifiers
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from slimtrace.builder.closure.rule import ClosureRule

Tree = dict[str, str | bytes | None]

REQUIRE = [rule for rule in node.RULES if rule.reason is Reason.NODE_REQUIRE]
PACKAGE = [rule for rule in node.RULES if rule.reason is Reason.NODE_PACKAGE_JSON]

SOURCES = {
    "require('a')": "a!",
    'if (x) require ( "a" )': "a!",
    "require(`a`)": "a!",
    "require.resolve('a', {paths: []})": "a!",
    "const {b} = require('a'), c = require('./c').d": "a! ./c!",
    "require(__dirname + '/a.json')": "./a.json!",
    "import 'a'": "a",
    "import a from 'a'": "a",
    "import{b as c}from'a'": "a",
    "import a, * as b\n  from 'a'": "a",
    "export * from './a.js'": "./a.js",
    "await import('a')": "a",
    "import(/* webpackChunkName: 'x' */ 'a')": "a",
    "import.meta.resolve('a')": "a",
    "// require('a')": "",
    "x = 'a//b'; /* require('c') */ require('a')": "a!",
    "x = {'x-import':require('./a')}": ":require( ./a!",
    "/* require('a')\n import 'b' */ require('c')": "c!",
    "x = 'http://x'; require('a')": "a!",
    "x = `//${y}`; require('a') // require('b')": "a!",
    "x = glob('src/**/*.js'); require('a') /* b */": "a!",
    "if (/[/*]/.test(x)) require('a') // /*/": "a!",
    r"x = y.replace(/\//g, '') ; require('a')": "a!",
    "x = /'/; require('a')": "a!",
    "require(a)": "",
    "require('a' + b)": "",
    "require(`a${b}`)": "",
    "Array.from('a')": "",
    "my_require('a'); $require('b')": "",
    "x.important('a')": "",
}


@pytest.mark.parametrize("source", SOURCES)
def test_specifiers(source: str) -> None:
    found = [f"{name}{'!' * is_required}" for name, is_required in find_specifiers(source)]
    assert found == SOURCES[source].split()


EXPORTS = {
    "string": "./main.js",
    "map": {".": "./main.js", "./sub": "./lib/sub.js"},
    "pattern": {".": "./main.js", "./*": "./lib/*.js", "./in/*": None, "./x/*.js": "./lib/*.js"},
    "folder": {"./": "./lib/"},
    "conditions": {"import": "./main.mjs", "node": {"require": "./main.js"}, "default": "./no.js"},
    "browser": {"browser": "./no.js", "default": "./main.js"},
    "list": {".": [{"deno": "./no.js"}, "./main.js"]},
    "nowhere": {"import": "./gone.mjs", "require": "./gone.js"},
}
WORLD: Tree = {
    "/app/a.js": "",
    "/app/a.cjs": "",
    "/app/data.json": "{}",
    "/app/addon.node": "",
    "/app/lib/index.js": "",
    "/app/main/package.json": '{"main": "./src"}',
    "/app/main/src.js": "",
    "/app/gone/package.json": '{"main": "gone.js"}',
    "/app/gone/index.js": "",
    "/app/package.json": json.dumps(
        {
            "name": "app",
            "exports": {"./self": "./a.js"},
            "imports": {"#a": "./a.js", "#b/*": "./lib/*.js", "#c": {"node": "plain"}},
        }
    ),
    "/app/node_modules/plain/index.js": "",
    "/app/node_modules/plain/sub/x.js": "",
    "/app/node_modules/@scope/it/package.json": '{"main": "it"}',
    "/app/node_modules/@scope/it/it.js": "",
    "/app/node_modules/broken/package.json": "{",
    "/app/node_modules/broken/index.js": "",
    "/app/node_modules/linked": "-> .store/linked",
    "/app/node_modules/.store/linked/index.js": "",
    "/node_modules/high/index.js": "",
    "/paths/of/env/index.js": "",
    "/usr/share/nodejs/debian/index.js": "",
    "/usr/lib/x86_64-linux-gnu/nodejs/native/index.js": "",
    **{
        f"/app/node_modules/{name}/{file}": content
        for name, exports in EXPORTS.items()
        for file, content in {
            "package.json": json.dumps({"exports": exports, "main": "./no.js"}),
            **dict.fromkeys(("main.js", "main.mjs", "no.js", "lib/sub.js"), ""),
        }.items()
    },
}
RESOLVED = {
    "./a": "a.js",
    "./a.js": "a.js",
    "./a.cjs": "a.cjs",
    "./data": "data.json",
    "./addon": "addon.node",
    "./lib": "lib/index.js",
    "./lib/": "lib/index.js",
    "./lib/..": "",
    "/app/a": "a.js",
    "./main": "main/package.json main/src.js",
    "./gone": "gone/index.js gone/package.json",
    "plain": "node_modules/plain/index.js",
    "plain/sub/x": "node_modules/plain/sub/x.js",
    "@scope/it": "node_modules/@scope/it/it.js node_modules/@scope/it/package.json",
    "broken": "node_modules/broken/index.js node_modules/broken/package.json",
    "linked": "node_modules/.store/linked/index.js",
    "high": "/node_modules/high/index.js",
    "env": "/paths/of/env/index.js",
    "debian": "/usr/share/nodejs/debian/index.js",
    "native": "/usr/lib/x86_64-linux-gnu/nodejs/native/index.js",
    "string": "node_modules/string/main.js node_modules/string/package.json",
    "string/main.js": "",
    "map": "node_modules/map/main.js node_modules/map/package.json",
    "map/sub": "node_modules/map/lib/sub.js node_modules/map/package.json",
    "map/lib/sub.js": "",
    "pattern/sub": "node_modules/pattern/lib/sub.js node_modules/pattern/package.json",
    "pattern/x/sub.js": "node_modules/pattern/lib/sub.js node_modules/pattern/package.json",
    "pattern/in/sub": "",
    "folder/sub.js": "node_modules/folder/lib/sub.js node_modules/folder/package.json",
    "conditions": "node_modules/conditions/main.js node_modules/conditions/package.json",
    "browser": "node_modules/browser/main.js node_modules/browser/package.json",
    "list": "node_modules/list/main.js node_modules/list/package.json",
    "nowhere": "",
    "app/self": "a.js package.json",
    "#a": "a.js package.json",
    "#b/index": "lib/index.js package.json",
    "#c": "node_modules/plain/index.js package.json",
    "#d": "",
    "fs": "",
    "node:fs": "",
    "absent": "",
}


@pytest.mark.parametrize("name", RESOLVED)
def test_require_leads_where_node_goes(tmp_path: Path, name: str) -> None:
    make_root(tmp_path, {**WORLD, "/app/start.js": f"require('{name}')"})
    found = list_implied(tmp_path, REQUIRE, {"NODE_PATH": "/paths/of"})
    assert found == RESOLVED[name].split()


def list_implied(top: Path, rules: Sequence[ClosureRule], env: Mapping[str, str]) -> list[str]:
    """The files that /app/start.js implies, without links; those below /app as relative paths."""
    found = list_added_paths(top, ["/app/start.js"], rules, env)
    return sorted(path.removeprefix("/app/") for path in found if found[path] != "symlink")


def test_node_says_the_same(tmp_path: Path) -> None:
    """For the names in the table, except those that only Debian or an old Node resolves."""
    need("node")
    make_root(tmp_path, WORLD)
    others = {"debian", "native", "folder/sub.js", "broken", "/app/a", "fs", "node:fs"}
    names = [name for name in RESOLVED if name not in others]
    script = """
        const top = process.cwd(), {createRequire} = require('module');
        const find = createRequire(top + '/app/start.js').resolve;
        const tell = name => { try { return find(name).slice(top.length) } catch { return null } };
        console.log(JSON.stringify(NAMES.map(name => [name, tell(name)])));
    """.replace("NAMES", json.dumps(names))
    env = {**ENV, "NODE_PATH": f"{tmp_path}/paths/of"}
    done = subprocess.run(
        ["node", "-e", script], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
    )
    for name, file in json.loads(done.stdout):
        listed = [f"/app/{path}".replace("/app//", "/") for path in RESOLVED[name].split()]
        assert (file in listed) if listed else file is None, name


def test_import_has_conditions_of_its_own(tmp_path: Path) -> None:
    make_root(tmp_path, {**WORLD, "/app/start.mjs": "import 'conditions'"})
    assert list_added_paths(tmp_path, ["/app/start.mjs"], REQUIRE) == {
        "/app/node_modules/conditions/main.mjs": "node-require",
        "/app/node_modules/conditions/package.json": "node-require",
    }


def test_what_is_implied_implies(tmp_path: Path) -> None:
    tree: Tree = {
        "/app/cli": "#!/usr/bin/env node\nrequire('./one')",
        "/app/one.js": "import('./two.mjs')",
        "/app/two.mjs": "export {x} from './three.mjs'",
        "/app/three.mjs": "import './one.js'",
        "/app/python": "#!/usr/bin/python3\nrequire('./four')",
        "/app/four.js": "",
        "/usr/bin/env": "",
    }
    make_root(tmp_path, tree)
    assert list_added_paths(tmp_path, ["/app/cli", "/app/python"], REQUIRE) == {
        "/app/one.js": "node-require",
        "/app/two.mjs": "node-require",
        "/app/three.mjs": "node-require",
    }


def test_package_json(tmp_path: Path) -> None:
    deep = "/app/node_modules/@scope/it/dist/esm"
    tree: Tree = {
        "/package.json": "",
        "/app/package.json": '{"name": "app"}',
        "/app/src/package.json": '{"type": "module"}',
        "/app/src/deep/x.js": "",
        "/app/node_modules/package.json": "",
        "/app/node_modules/@scope/package.json": "",
        "/app/node_modules/@scope/it/package.json": "{}",
        f"{deep}/package.json": "{}",
        f"{deep}/x.mjs": "",
        "/usr/share/nodejs/package.json": "",
        "/usr/share/nodejs/debian/package.json": "",
        "/usr/share/nodejs/debian/data.json": "",
        "/srv/package.json": "",
        "/srv/x.txt": "",
    }
    make_root(tmp_path, tree)
    debian = "/usr/share/nodejs/debian"
    touched = ["/app/src/deep/x.js", f"{deep}/x.mjs", f"{debian}/data.json", "/srv/x.txt"]
    folders = ("/app", "/app/src", "/app/node_modules/@scope/it", deep, debian)
    expected = {f"{folder}/package.json": "node-package-json" for folder in folders}
    assert list_added_paths(tmp_path, touched, PACKAGE) == expected


def test_addons_that_are_looked_for(tmp_path: Path) -> None:
    """The package's addons that this machine can load, and the libraries that they need."""
    top = "/app/node_modules/fast"
    tree: Tree = {
        f"{top}/package.json": "{}",
        f"{top}/index.js": "require('node-gyp-build')(__dirname)",
        f"{top}/prebuilds/darwin-x64/fast.node": b"\xcf\xfa\xed\xfe",
        f"{top}/build/Release/fast.txt": "",
        "/usr/lib/libfast.so.1": "",
    }
    make_root(tmp_path, tree)
    prebuilt = f"{top}/prebuilds/linux-x64/fast.node"
    compile_library(tmp_path / "usr/lib/libfast.so.1", "-Wl,-soname,libfast.so.1")
    compile_library(tmp_path / prebuilt[1:], str(tmp_path / "usr/lib/libfast.so.1"))
    compile_library(tmp_path / "app/node", "-pie")
    assert list_added_paths(tmp_path, [f"{top}/index.js", "/app/node"], REQUIRE) == {
        prebuilt: "node-require",
        "/usr/lib/libfast.so.1": "needed-library",
    }


APP: dict[str, str] = {
    "app.js": """
        const word = process.argv[2];
        if (word === 'plain') require('./lib/late');
        if (word === 'package') require('late-package').run();
        if (word === 'module') import('late-module/sub').then(({run}) => run());
        else console.log(word + ' done');
    """,
    "lib/late.js": "require('./later.json')",
    "lib/later.json": "{}",
    "node_modules/late-package/package.json": '{"main": "dist"}',
    "node_modules/late-package/dist/index.js": "exports.run = () => require('deep')",
    "node_modules/late-package/node_modules/deep/index.js": "",
    "node_modules/late-module/package.json": json.dumps(
        {"type": "module", "exports": {"./sub": {"import": "./esm/sub.js"}}}
    ),
    "node_modules/late-module/esm/sub.js": "export const run = () => console.log('module done');",
    "node_modules/unused/index.js": "",
}
BRANCHES = ("none", "plain", "package", "module")


def test_branches_that_the_run_did_not_take(tmp_path: Path) -> None:
    need("node")
    make_root(tmp_path, {f"/{name}": content for name, content in APP.items()})
    images = build_images(tmp_path, ("node", "app.js", "none"))
    outputs = {
        keep: {word: image.read_last_line("node", "app.js", word) for word in BRANCHES}
        for keep, image in images.items()
    }
    assert outputs["closure"] == {word: f"{word} done" for word in BRANCHES}
    works = [word for word in BRANCHES if outputs["touched"][word] == f"{word} done"]
    assert works == ["none"]
    assert images["closure"].report["reasons"]["node-require"] == 5
