"""Gems: what owns a file, what it requires, and which version is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root

from slimtrace.builder.packages.index import PackageIndex
from slimtrace.builder.packages.languages.gem_version import is_allowed, parse_dependencies
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

HOME = "/app/vendor/bundle/ruby/3.1.0"
DEBIAN = "/usr/share/rubygems-integration/all"
VENDOR = "/usr/lib/ruby/vendor_ruby"

INSTALLED = """
  s.add_runtime_dependency(%q<plain>.freeze, ["~> 1.2"])
  s.add_development_dependency(%q<minitest>.freeze, [">= 0"])
  else
  s.add_dependency(%q<plain>.freeze, ["~> 1.2"])
  s.add_dependency(%q<minitest>.freeze, [">= 0"])
"""
WRITTEN = """
  spec.add_dependency "plain", ">= 1", "< 2"
  spec.add_dependency('other')
  spec.add_development_dependency "minitest"
"""

TILT = 's.files = ["COPYING", "lib/tilt.rb", "lib/tilt/a.rb"]'

TREE: dict[str, str | bytes | None] = {
    f"{HOME}/gems/top-1.0/lib/top.rb": "",
    f"{HOME}/gems/plain-1.1/lib/plain.rb": "",
    f"{HOME}/gems/plain-1.10/lib/plain.rb": "",
    f"{HOME}/gems/plain-2.0/lib/plain.rb": "",
    f"{HOME}/gems/minitest-5.0/lib/minitest.rb": "",
    f"{HOME}/specifications/top-1.0.gemspec": INSTALLED,
    f"{HOME}/specifications/plain-1.1.gemspec": "",
    f"{HOME}/specifications/plain-1.10.gemspec": "",
    f"{HOME}/specifications/plain-2.0.gemspec": "",
    f"{HOME}/specifications/minitest-5.0.gemspec": "",
    f"{HOME}/extensions/x86_64-linux/3.1.0/top-1.0/top.so": "",
    f"{HOME}/bundler/gems/edge-0123456789ab/edge.gemspec": WRITTEN,
    f"{HOME}/bundler/gems/edge-0123456789ab/lib/edge.rb": "",
    f"{HOME}/bundler/gems/edge-0123456789ab/.git/HEAD": "",
    f"{DEBIAN}/gems/web-3.0/lib/web.rb": "",
    f"{DEBIAN}/specifications/web-3.0.gemspec": 's.add_dependency "tilt"; s.add_dependency "net-x"',
    f"{DEBIAN}/specifications/tilt-2.0.gemspec": TILT,
    f"{DEBIAN}/specifications/net-x-1.gemspec": "",
    f"{VENDOR}/tilt.rb": "",
    f"{VENDOR}/tilt/a.rb": "",
    f"{VENDOR}/net/x.rb": "",
    f"{VENDOR}/net/x/deep.rb": "",
    f"{VENDOR}/net/y.rb": "",
}


def find_package(top: Path, path: str) -> tuple[str, list[str], list[str]]:
    index = PackageIndex(Root(str(top)))
    (package,) = index.library_owners(path)
    existing = [file for file in package.files if (top / file[1:]).exists()]
    required = index.required_libraries(package)
    return package.name, existing, [f"{each.name} {each.version}" for each in required]


def test_an_installed_gem(tmp_path: Path) -> None:
    make_root(tmp_path, TREE)
    name, files, required = find_package(tmp_path, f"{HOME}/gems/top-1.0/lib/top.rb")
    assert (name, required) == ("top", ["plain 1.10"])
    assert files == [
        f"{HOME}/specifications/top-1.0.gemspec",
        f"{HOME}/gems/top-1.0/lib/top.rb",
        f"{HOME}/extensions/x86_64-linux/3.1.0/top-1.0/top.so",
    ]


def test_a_gem_that_bundler_checked_out(tmp_path: Path) -> None:
    make_root(tmp_path, TREE)
    top = f"{HOME}/bundler/gems/edge-0123456789ab"
    name, files, required = find_package(tmp_path, f"{top}/lib/edge.rb")
    assert (name, required) == ("edge", ["plain 1.10"])
    assert files == [f"{top}/edge.gemspec", f"{top}/lib/edge.rb"]


def test_gems_that_debian_put_into_vendor_ruby(tmp_path: Path) -> None:
    """By the list in the specification; without one by the gem's name."""
    make_root(tmp_path, TREE)
    index = PackageIndex(Root(str(tmp_path)))
    (web,) = index.library_owners(f"{DEBIAN}/gems/web-3.0/lib/web.rb")
    files = {each.name: each.files[1:] for each in index.required_libraries(web)}
    assert files == {
        "tilt": (f"{VENDOR}/tilt.rb", f"{VENDOR}/tilt/a.rb"),
        "net-x": (
            *(f"{VENDOR}/net-x.rb", f"{VENDOR}/net/x.rb", f"{VENDOR}/net/x/deep.rb"),
            f"{VENDOR}/net_x.rb",
        ),
    }


def test_dependencies() -> None:
    assert parse_dependencies(INSTALLED) == ("plain\n~> 1.2",)
    assert parse_dependencies(WRITTEN) == ("plain\n>= 1\n< 2", "other")


@pytest.mark.parametrize(
    ("version", "limits", "allowed"),
    [
        ("1.10", ["~> 1.9"], True),
        ("2.0", ["~> 1.9"], False),
        ("1.9.5", ["~> 1.9.3"], True),
        ("1.10", ["~> 1.9.3"], False),
        ("1.0", [">= 1", "< 2"], True),
        ("2.0.0", ["= 2"], True),
        ("2.0.rc1", [">= 2.0"], False),
        ("1.16-x86_64-linux", ["~> 1.15"], True),
        ("1.0", ["!= 1.0"], False),
        ("1.0", [], True),
    ],
)
def test_versions(version: str, limits: list[str], allowed: bool) -> None:
    assert is_allowed(version, limits) is allowed
