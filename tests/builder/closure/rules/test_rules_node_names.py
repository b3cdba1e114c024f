"""What JavaScript names by its own place and constants, and the npm packages that come whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import app, node
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN
from slimtrace.builder.closure.rules.node.named_paths import find_named_paths
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from pathlib import Path

Tree = dict[str, str | bytes | None]

NAMED = [rule for rule in node.RULES if rule.reason is Reason.NODE_NAMED_FILE]
WHOLE = [rule for rule in app.RULES if rule.reason is Reason.LANGUAGE_PACKAGE]

SOURCES = {
    "f(path.join(__dirname, 'jobs', 'work.js'))": "/app/src/jobs/work.js",
    "path.join(__dirname, '..', 'views', name + '.pug')": "/app/views/?.pug",
    "path.resolve(__dirname, './data/a.txt')": "/app/src/data/a.txt",
    "express.static(__dirname + '/public')": "/app/src/public",
    "`${__dirname}/locales/${lang}.json`": "/app/src/locales/?.json",
    "const at = path.join(__dirname, 'x'); f = () => join(at, y)": "/app/src/x /app/src/x/?",
    "f = () => join(later, y); const later = __dirname + '/x'": "/app/src/x /app/src/x/?",
    "join(__dirname, dev ? 'a' : 'b', x)": "/app/src/a/? /app/src/b/?",
    "new URL('./w.mjs', import.meta.url)": "/app/src/w.mjs",
    "join(import.meta.dirname, 'a')": "/app/src/a",
    "const d = dirname(fileURLToPath(import.meta.url)); join(d, 'a')": "/app/src /app/src/a",
    "require('./locales/' + x)": "/app/src/locales/?!",
    "require(`../${x}/index.js`)": "/app/?/index.js!",
    "import(`dayjs/locale/${x}.js`)": "dayjs/locale/?.js!",
    "require(path.join(__dirname, x))": "/app/src/?!",
    "new Worker('./jobs/w.js')": "/app/src/jobs/w.js! /srv/jobs/w.js!",
    "new Worker(new URL('./w.js', import.meta.url))": "/app/src/w.js!",
    "child.fork(path.join(__dirname, 'c'))": "/app/src/c!",
    "// path.join(__dirname, 'x')": "",
    "'path.join(__dirname, \"x\")'": "",
    "require('./' + x) ; broken((": "/app/src/?!",
    "new Worker(script, { eval: true })": "",
    "require(x + '/y')": "",
    "path.join(process.cwd(), 'x')": "",
    "app.get('/etc' + x)": "",
}


@pytest.mark.parametrize("source", SOURCES)
def test_names_in_sources(source: str) -> None:
    found = [
        f"{text.replace(UNKNOWN, '?')}{'!' * is_module}"
        for text, is_module in sorted(find_named_paths(source, "/app/src/a.js", "/srv"))
    ]
    assert found == SOURCES[source].split()


PLACES: Tree = {
    **dict.fromkeys(
        (
            "/app/views/index.pug",
            "/app/views/mail/late.pug",
            "/app/views/README.md",
            "/app/src/jobs/one.js",
            "/app/src/jobs/notes.txt",
            "/app/src/lib/index.js",
            "/app/src/beside.js",
            "/app/src/beside.txt",
            "/app/public/css/a.css",
            "/app/public/node_modules/x/a.css",
            "/app/other/x.js",
            "/app/node_modules/dayjs/package.json",
            "/app/node_modules/dayjs/locale/de.js",
        ),
        "",
    ),
    "/app/large": None,
}
FOUND = {
    "join(__dirname, '../views', name + '.pug')": "views/index.pug views/mail/late.pug",
    "join(__dirname, '..', 'public')": "public/css/a.css",
    "require('./jobs/' + x)": "src/jobs/notes.txt src/jobs/one.js",
    "require(`./jobs/${x}.js`)": "src/jobs/one.js",
    "require(`./jobs/o${x}`)": "src/jobs/one.js",
    "require(__dirname + '/' + x)": "src/beside.js",
    "require(`./${x}/index.js`)": "src/lib/index.js",
    "require('./b' + x)": "src/beside.js",
    "fork(join(__dirname, 'lib'))": "src/lib/index.js",
    "join(__dirname, '../other/x.js')": "other/x.js",
    "import(`dayjs/locale/${x}.js`)": "node_modules/dayjs/package.json",
    "join(__dirname, '..')": "",
    "join(__dirname, '../node_modules')": "",
    "join(__dirname, '../gone', x)": "",
}


@pytest.mark.parametrize("source", FOUND)
def test_files_that_fit(source: str, tmp_path: Path) -> None:
    make_root(tmp_path, PLACES | {"/app/src/a.js": source})
    found = list_added_paths(tmp_path, ["/app/src/a.js"], NAMED)
    assert sorted(found) == [f"/app/{name}" for name in FOUND[source].split()]
    assert set(found.values()) <= {"node-named-file"}


def _package(folder: str, **fields: object) -> Tree:
    return {f"{folder}/package.json": json.dumps(fields), f"{folder}/index.js": ""}


def test_packages_of_npm_come_whole(tmp_path: Path) -> None:
    top = "/app/node_modules"
    tree: Tree = {
        **_package(
            f"{top}/used", dependencies={"near": "*", "gone": "*"}, devDependencies={"d": 1}
        ),
        **_package(f"{top}/used/node_modules/near", peerDependencies={"peer": "*"}),
        **_package(f"{top}/peer", optionalDependencies={"@scope/native": "*"}),
        **_package(f"{top}/@scope/native"),
        **_package(f"{top}/near"),
        **_package(f"{top}/d"),
        f"{top}/@scope/native/prebuilds/linux-x64/a.node": "",
        f"{top}/@scope/native/prebuilds/darwin-arm64/a.node": "",
        f"{top}/used/src/late.js": "",
        f"{top}/used/src/late.ts": "",
        f"{top}/used/dist/late.js.map": "",
        f"{top}/used/test/test.js": "",
        f"{top}/used/README.md": "",
    }
    make_root(tmp_path, tree)
    found = list_added_paths(tmp_path, [f"{top}/used/index.js"], WHOLE)
    assert sorted(found) == [
        f"{top}/@scope/native/index.js",
        f"{top}/@scope/native/package.json",
        f"{top}/@scope/native/prebuilds/linux-x64/a.node",
        f"{top}/peer/index.js",
        f"{top}/peer/package.json",
        f"{top}/used/node_modules/near/index.js",
        f"{top}/used/node_modules/near/package.json",
        f"{top}/used/package.json",
        f"{top}/used/src/late.js",
    ]


def test_packages_that_pnpm_links(tmp_path: Path) -> None:
    """Node.js finds a dependency by the link beside the package, so links are kept too."""
    store = "/app/node_modules/.pnpm"
    tree: Tree = {
        **_package(f"{store}/a@1.0.0/node_modules/a", dependencies={"b": "*"}),
        **_package(f"{store}/b@2.0.0/node_modules/b"),
        f"{store}/a@1.0.0/node_modules/b": "-> ../../b@2.0.0/node_modules/b",
        "/app/node_modules/a": "-> .pnpm/a@1.0.0/node_modules/a",
    }
    make_root(tmp_path, tree)
    found = list_added_paths(tmp_path, [f"{store}/a@1.0.0/node_modules/a/index.js"], WHOLE)
    assert sorted(found) == [
        f"{store}/a@1.0.0/node_modules/a/package.json",
        f"{store}/a@1.0.0/node_modules/b",
        f"{store}/b@2.0.0/node_modules/b/index.js",
        f"{store}/b@2.0.0/node_modules/b/package.json",
    ]


APP = {
    "/app.js": """
        const path = require('path'), { fork } = require('child_process');
        const { Worker } = require('worker_threads');
        const word = process.argv[2];
        const say = (text) => console.log(text);
        const actions = {
            none: () => say('none done'),
            route: () => require('./routes/' + word).run(),
            data: () => say(require('late').read()),
            worker: () => new Worker(path.join(__dirname, 'jobs', `${word}.js`)).on('message', say),
            fork: () => fork(path.join(__dirname, 'jobs/fork.js')),
            module: () => import(`./esm/${word}.mjs`),
        };
        actions[word]();
        if (word === 'none') require('late');
    """,
    "/routes/route.js": "exports.run = () => console.log('route done')",
    "/jobs/worker.js": "require('worker_threads').parentPort.postMessage('worker done')",
    "/jobs/fork.js": "console.log('fork done')",
    "/esm/module.mjs": "console.log('module done')",
    "/node_modules/late/package.json": '{"name": "late", "version": "1.0.0"}',
    "/node_modules/late/index.js": """
        const name = (x) => __dirname + '/files/' + x;
        exports.read = () => require('fs').readFileSync(name('text'), 'utf8');
    """,
    "/node_modules/late/files/text": "data done",
}
BRANCHES = ("none", "route", "data", "worker", "fork", "module")


def test_branches_with_names_that_are_put_together(tmp_path: Path) -> None:
    need("node")
    make_root(tmp_path, APP)
    image = build_images(tmp_path, ("node", "app.js", "none"), keeps=("app",))["app"]
    found = {word: image.read_last_line("node", "app.js", word) for word in BRANCHES}
    assert found == {word: f"{word} done" for word in BRANCHES}
