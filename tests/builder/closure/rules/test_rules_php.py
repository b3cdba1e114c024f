"""The files that a PHP app implies: includes, classes, settings, packages of Composer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import build_images, list_added_paths
from requirements import need

from slimtrace.builder.closure.rules import app, php
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN
from slimtrace.builder.closure.rules.php.class_names import find_class_names
from slimtrace.builder.closure.rules.php.php_source import read_map, read_php_names
from slimtrace.builder.model import Keep, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Tree = dict[str, str | bytes | None]

WHOLE = [rule for rule in app.RULES if rule.reason is Reason.LANGUAGE_PACKAGE]
AT_CLOSURE = [rule for rule in php.RULES if rule.level is Keep.CLOSURE]

SOURCES = {
    "require __DIR__ . '/x.php';": ("/app/src/x.php", ""),
    'include_once(dirname(__FILE__) . "/x.php");': ("/app/src/x.php", ""),
    "require dirname(__DIR__, 2) . '/x.php';": ("/x.php", ""),
    "require 'inc/x.php';": ("inc/x.php", ""),
    'include "pages/$page.php";': ("pages/?.php", ""),
    "include 'pages/' . $_GET['p'] . '.php';": ("pages/?.php", ""),
    "const INC = 'inc'; require ROOT . '/' . INC . '/x.php';": ("/app/inc/x.php", ""),
    "$d = __DIR__ . '/t'; include $d . \"/{$name}.phtml\";": ("/app/src/t/?.phtml", "/app/src/t"),
    "new View(__DIR__ . '/../views');": ("", "/app/src/../views"),
    "f('home/' . $x);": ("", ""),
    "// require 'x.php';": ("", ""),
    "$x = 'require __DIR__';": ("", ""),
    "require $x;": ("?", ""),
    "require __DIR__ . '/x.php'; broken((": ("/app/src/x.php", ""),
}


@pytest.mark.parametrize("source", SOURCES)
def test_names_in_sources(source: str) -> None:
    constants = {"ROOT": frozenset({"\1/app"})}
    names = read_php_names(f"<?php\n{source}\n", "/app/src/a.php", constants)
    found = [" ".join(sorted(each)).replace(UNKNOWN, "?") for each in (names.included, names.paths)]
    assert tuple(found) == SOURCES[source]


CLASSES = {
    "new Foo;": "App\\Foo",
    "new \\Foo; namespace\\Bar::x();": "App\\Bar Foo",
    "Other::x(); Alias\\Deep::Y;": "Some\\Other Some\\Thing\\Deep",
    "class A extends B implements C, D {}": "App\\B App\\C App\\D",
    "try {} catch (E | \\F $e) {} $x instanceof G;": "App\\E App\\G F",
    "self::x(); static::y(); $a->b::c();\n// new No": "",
    "$c = 'Vendor\\\\Late'; Grouped::class;": "In\\Grouped Vendor\\Late",
}


@pytest.mark.parametrize("source", CLASSES)
def test_classes_in_sources(source: str) -> None:
    head = "<?php\nnamespace App;\nuse Some\\Other; use Some\\Thing as Alias;\nuse In\\{Grouped};\n"
    imported = {"App\\Some\\Other", "App\\Some\\Thing", "App\\In"}
    assert sorted(find_class_names(head + source) - imported) == CLASSES[source].split()


def test_maps_of_autoloaders() -> None:
    source = """<?php $vendorDir = dirname(__DIR__); $baseDir = dirname($vendorDir);
        return array('A\\\\' => array($baseDir . '/src', $vendorDir . '/a'),
                     'B' => $baseDir . '/b.php', 'c' => '/C.php', 'd' => 'text', 'n' => $x);"""
    assert read_map(source, "/app/vendor/composer/autoload_psr4.php") == {
        "A\\": ["/app/src", "/app/vendor/a"],
        "B": ["/app/b.php"],
        "c": ["/app/vendor/composer/C.php"],
    }


APP: Mapping[str, str] = {
    "/vendor/autoload.php": "<?php require_once __DIR__ . '/composer/autoload_real.php';",
    "/vendor/composer/autoload_real.php": """<?php
        spl_autoload_register(function ($c) {
            $map = require __DIR__ . '/autoload_classmap.php';
            if (isset($map[$c])) { require $map[$c]; return; }
            foreach (require __DIR__ . '/autoload_psr4.php' as $p => $folders)
                if (strpos($c, $p) === 0) foreach ($folders as $folder)
                    require $folder . '/' . strtr(substr($c, strlen($p)), '\\\\', '/') . '.php';
        });""",
    "/vendor/composer/autoload_classmap.php": """<?php
        $baseDir = dirname(dirname(__DIR__));
        return array('App\\\\Lost' => $baseDir . '/src/errors.php');""",
    "/vendor/composer/autoload_psr4.php": """<?php
        $vendorDir = dirname(__DIR__); $baseDir = dirname($vendorDir);
        return array('Acme\\\\' => array($vendorDir . '/acme/lib/src'),
                     'App\\\\' => array($baseDir . '/src'));""",
    "/vendor/composer/installed.json": json.dumps(
        {
            "packages": [
                {
                    "name": "acme/lib",
                    "version": "1.2.0",
                    "install-path": "../acme/lib",
                    "require": {"php": ">=8", "acme/log": "*"},
                },
                {"name": "acme/log", "version": "2.0.0", "install-path": "../acme/log"},
                {"name": "acme/dev", "version": "3.0.0", "install-path": "../acme/dev"},
            ],
            "dev-package-names": ["acme/dev"],
        }
    ),
    "/vendor/acme/lib/composer.json": "{}",
    "/vendor/acme/lib/src/Two.php": "<?php namespace Acme; class Two { const X = 'computed'; }",
    "/vendor/acme/lib/tests/TwoTest.php": "",
    "/vendor/acme/log/composer.json": "{}",
    "/vendor/acme/log/res/head.txt": "",
    "/vendor/acme/dev/composer.json": "{}",
    "/src/errors.php": "<?php namespace App; class Lost { const X = 'map'; }",
    "/src/Deep/Late.php": "<?php namespace App\\Deep; class Late { const X = 'psr4'; }",
    "/inc/late.php": "<?php return 'include';",
    "/pages/page.php": "<?php return 'page';",
    "/views/deep/view.phtml": "",
    "/index.php": """<?php
        define('ROOT', __DIR__);
        require ROOT . '/vendor/autoload.php';
        $word = $argv[1] ?? 'none';
        $class = 'Acme\\\\' . ucfirst($word === 'computed' ? 'two' : '');
        switch ($word) {
            case 'map': echo App\\Lost::X; break;
            case 'psr4': echo (new App\\Deep\\Late)::X; break;
            case 'include': echo require ROOT . '/inc/late.php'; break;
            case 'page': echo require __DIR__ . "/pages/$word.php"; break;
            case 'computed': echo $class::X; break;
            default: echo 'none';
        }""",
}
BRANCHES = ("none", "map", "psr4", "include", "page", "computed")


def test_branches_that_the_run_did_not_take(tmp_path: Path) -> None:
    need("php")
    make_root(tmp_path, APP)
    image = build_images(tmp_path, ("php", "index.php"), keeps=("app",))["app"]
    found = [image.read_last_line("php", "index.php", word) for word in BRANCHES]
    assert found == [*BRANCHES]


def test_names_with_a_computed_part_and_folders(tmp_path: Path) -> None:
    tree = {f"/app{name}": text for name, text in APP.items()} | {
        "/app/index.php": """<?php include "pages/$page.php"; new View(__DIR__ . '/views');""",
    }
    make_root(tmp_path, tree)
    assert list_added_paths(tmp_path, ["/app/index.php"], php.RULES) == {
        "/app/pages/page.php": "php-named-file",
        "/app/views/deep/view.phtml": "php-named-file",
    }


def test_packages_of_composer(tmp_path: Path) -> None:
    """The app's packages come whole, without tests, and without those for developers."""
    make_root(tmp_path, {f"/app{name}": text for name, text in APP.items()})
    loader = "/app/vendor/composer/autoload_real.php"
    rules = [rule for rule in php.RULES if rule.reason is Reason.PHP_COMPOSER]
    assert sorted(list_added_paths(tmp_path, [loader], [*rules, *WHOLE])) == [
        "/app/vendor/acme/lib/composer.json",
        "/app/vendor/acme/lib/src/Two.php",
        "/app/vendor/acme/log/composer.json",
        "/app/vendor/acme/log/res/head.txt",
    ]
    of_lib = list_added_paths(tmp_path, ["/app/vendor/acme/lib/src/Two.php"], WHOLE)
    assert "/app/vendor/acme/log/res/head.txt" in of_lib
    assert "/app/vendor/acme/dev/composer.json" not in of_lib


def test_settings_and_their_extensions(tmp_path: Path) -> None:
    tree: Tree = {
        "/etc/php/8.2/fpm/php.ini": "",
        "/etc/php/8.2/fpm/conf.d/10-pdo.ini": "-> ../../mods-available/pdo.ini",
        "/etc/php/8.2/fpm/conf.d/README": "",
        "/etc/php/8.2/mods-available/pdo.ini": "; priority=10\nextension=pdo.so\n",
        "/etc/php/8.2/mods-available/gone.ini": "extension=gone\n",
        "/usr/lib/php/20220829/pdo.so": "",
        "/usr/lib/php/20220829/other.so": "",
    }
    make_root(tmp_path, tree)
    found = list_added_paths(tmp_path, ["/etc/php/8.2/fpm/php.ini"], AT_CLOSURE)
    assert sorted(found) == [
        "/etc/php/8.2/fpm/conf.d/10-pdo.ini",
        "/etc/php/8.2/mods-available/pdo.ini",
        "/usr/lib/php/20220829/pdo.so",
    ]
