"""The files that an Erlang or Elixir program implies: OTP applications, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import list_added_paths

from slimtrace.builder.closure.rules import erlang
from slimtrace.builder.closure.rules.app import language_package
from slimtrace.builder.packages.index import PackageIndex
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RULES = (*erlang.RULES, language_package.RULE)
OTP = "/usr/lib/erlang"


def make_application(
    folder: str, requires: str = "[kernel,stdlib]", **files: str
) -> dict[str, str]:
    name = folder.rpartition("/")[2].partition("-")[0]
    return {
        f"{folder}/ebin/{name}.app": f'{{application, {name},\n [{{vsn, "1.0"}}, % {{x}}\n'
        f"  {{modules, [{name}]}},\n  {{applications, {requires}}}]}}.\n",
        f"{folder}/ebin/{name}.beam": "",
        f"{folder}/src/{name}.erl": "",
        **{f"{folder}/{path}": text for path, text in files.items()},
    }


WORLD: dict[str, str] = {
    **make_application(f"{OTP}/lib/kernel-8.5", "[]", **{"ebin/late.beam": ""}),
    **make_application(f"{OTP}/lib/stdlib-4.2", "[kernel]"),
    **make_application(f"{OTP}/lib/crypto-5.1", **{"priv/lib/crypto.so": "", "doc/x.html": ""}),
    **make_application(f"{OTP}/lib/ssl-10.9", "[crypto, kernel,\n   'stdlib']"),
    **make_application(f"{OTP}/lib/wx-2.2"),
    "/usr/lib/elixir/lib/elixir/ebin/elixir.app": "{application,elixir,[{applications,[kernel]}]}.",
    "/usr/lib/elixir/lib/elixir/ebin/Elixir.Enum.beam": "",
    f"{OTP}/erts-13.1/bin/beam.smp": "",
    f"{OTP}/erts-13.1/bin/inet_gethost": "",
    f"{OTP}/erts-13.1/bin/epmd": "",
    f"{OTP}/bin/start_clean.boot": "",
    f"{OTP}/bin/erlc": "",
    f"{OTP}/releases/start_erl.data": "",
    f"{OTP}/releases/25/OTP_VERSION": "",
    f"{OTP}/releases/app-1.tar.gz": "",
}


def add(tmp_path: Path, tree: Mapping[str, str], *touched: str) -> dict[str, str]:
    make_root(tmp_path / "root", {**WORLD, **tree})
    return list_added_paths(tmp_path / "root", touched, RULES)


def applications(added: Mapping[str, str]) -> set[str]:
    """The names of the applications whose code was added."""
    paths = [path for path in added if path.endswith(".beam")]
    return {path.split("/ebin/")[0].rpartition("/")[2] for path in paths}


def test_an_application_is_kept_whole_with_what_it_requires(tmp_path: Path) -> None:
    added = add(tmp_path, {}, f"{OTP}/lib/ssl-10.9/ebin/ssl.app")
    assert applications(added) == {"ssl-10.9", "crypto-5.1", "kernel-8.5", "stdlib-4.2"}
    assert f"{OTP}/lib/crypto-5.1/priv/lib/crypto.so" in added
    assert f"{OTP}/lib/kernel-8.5/ebin/late.beam" in added
    assert not [path for path in added if "/src/" in path or "/doc/" in path]


@pytest.mark.parametrize(
    "library",
    [
        "/app/_build/prod/lib",
        "/app/_build/default/lib",
        "/opt/shop/lib",
        "/app/_build/prod/rel/shop/lib",
    ],
)
def test_layouts_of_mix_rebar3_and_releases(tmp_path: Path, library: str) -> None:
    """What mix and rebar3 build has links to the folders of sources for static files."""
    tree = {
        **make_application(f"{library}/shop", "[kernel,elixir,cowlib]"),
        f"{library}/shop/priv": "-> /app/priv",
        "/app/priv/static/late.css": "",
        f"{library}/shop/consolidated/Elixir.Enumerable.beam": "",
        **make_application(f"{library}/cowlib-2.9.1"),
        **make_application(f"{library}/cowlib-2.12.0"),
        **make_application(f"{library}/unused"),
    }
    added = add(tmp_path, tree, f"{library}/shop/ebin/shop.beam")
    assert "/app/priv/static/late.css" in added
    assert f"{library}/shop/consolidated/Elixir.Enumerable.beam" in added
    assert {"elixir", "kernel-8.5", "cowlib-2.12.0"} <= applications(added)
    assert not {"unused", "cowlib-2.9.1", "wx-2.2"} & applications(added)


def test_parts_of_the_runtime_system(tmp_path: Path) -> None:
    added = add(tmp_path, {}, f"{OTP}/erts-13.1/bin/beam.smp")
    assert set(added) == {
        f"{OTP}/erts-13.1/bin/inet_gethost",
        f"{OTP}/bin/start_clean.boot",
        f"{OTP}/releases/start_erl.data",
        f"{OTP}/releases/25/OTP_VERSION",
    }


def test_a_damaged_description(tmp_path: Path) -> None:
    """Then the application requires nothing, and is kept."""
    tree = {"/opt/x/lib/odd/ebin/odd.app": "{applic\0", "/opt/x/lib/odd/ebin/odd.beam": ""}
    assert applications(add(tmp_path, tree, "/opt/x/lib/odd/ebin/odd.app")) == {"odd"}


def test_what_an_application_says_of_itself(tmp_path: Path) -> None:
    make_root(tmp_path / "root", WORLD)
    index = PackageIndex(Root(str(tmp_path / "root")))
    (ssl,) = index.owners(f"{OTP}/lib/ssl-10.9/ebin/ssl.beam")
    assert (ssl.kind, ssl.name, ssl.version) == ("otp", "ssl", "1.0")
    assert ssl.requires == ("crypto", "kernel", "stdlib")
    assert not index.owners(f"{OTP}/bin/start_clean.boot")
