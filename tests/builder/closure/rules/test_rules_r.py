"""The files that an R program implies: names in its code, and packages in its libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root
from closure_runs import list_added_paths

from slimtrace.builder.closure.rules import r
from slimtrace.builder.closure.rules.app import language_package, own_folder
from slimtrace.builder.closure.rules.r.r_source import find_package_names
from slimtrace.builder.packages.index import PackageIndex
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RULES = (*r.RULES, language_package.RULE)

SOURCES = {
    "library(jsonlite)": "jsonlite",
    "library('jsonlite', quietly = TRUE); require(\"xml2\")": "jsonlite xml2",
    "if (bad) suppressMessages(library( ggplot2 ))": "ggplot2",
    "if (requireNamespace('svglite', quietly = TRUE)) 1": "svglite",
    "loadNamespace(package = 'R6')": "R6",
    "x <- dplyr::filter(y); z <- data.table:::f": "data.table dplyr",
    "`my pkg`::x; a::`b`": "pkg",
    "data(cars, package = 'datasets')": "datasets",
    "pacman::p_load(dplyr, tidyr)": "dplyr pacman tidyr",
    "import::from('magrittr', '%>%')": "import magrittr",
    "for (p in c('aa', 'b b', \"cc\")) library(p, character.only = TRUE)": "aa cc",
    "# library(no)\nlibrary(yes) # require(no)": "yes",
    'cat(\'library(no)\', "x::y", r"(library(no))")': "",
    "cat('it\\'s'); library(a1) # '": "a1",
    "mylibrary(no); x.library(no); library(x$no); library(no, yes": "no",
    "library(1x); x:y; 'a:b'": "",
}

LIB = "/usr/lib/R/library"
SITE = "/usr/local/lib/R/site-library"
BUILT = "Built: R 4.2.2; ; 2023-01-20; unix\n"


def make_package(library: str, name: str, requires: str = "", **files: str) -> dict[str, str]:
    """The files of an installed package; it requires others by lines of its DESCRIPTION."""
    folder = f"{library}/{name}"
    return {
        f"{folder}/DESCRIPTION": f"Package: {name}\nVersion: 1.2\n{requires}{BUILT}",
        f"{folder}/Meta/package.rds": "",
        f"{folder}/R/{name}.rdb": "",
        f"{folder}/help/AnIndex": "",
        f"{folder}/html/00Index.html": "",
        **{f"{folder}/{path}": text for path, text in files.items()},
    }


WORLD: dict[str, str] = {
    **make_package(LIB, "stats"),
    **make_package(LIB, "tools"),
    **make_package(LIB, "grid"),
    **make_package(LIB, "translations"),
    **make_package(SITE, "plot", "Depends: R (>= 4)\nImports: grid, scales (>= 1.0),\n  colour\n"),
    **make_package(
        SITE, "scales", "Suggests: hexbin\n", **{"libs/scales.so": "", "data/a.rds": ""}
    ),
    **make_package(SITE, "colour", "LinkingTo: cpp\n"),
    **make_package(SITE, "cpp", **{"include/cpp.h": ""}),
    **make_package(SITE, "hexbin"),
    **make_package(SITE, "unused"),
    f"{LIB}/translations/DESCRIPTION": "Package: translations\nVersion: 4.2.2\n",
    f"{LIB}/translations/de/LC_MESSAGES/R.mo": "",
    "/usr/lib/R/lib/libR.so": "",
    "/usr/lib/R/modules/internet.so": "",
    "/usr/lib/R/etc/repositories": "",
    "/usr/lib/R/bin/Rcmd": "",
}


def add(tmp_path: Path, tree: Mapping[str, str], *touched: str, **env: str) -> dict[str, str]:
    make_root(tmp_path / "root", {**WORLD, **tree})
    return list_added_paths(tmp_path / "root", touched, RULES, env)


def packages(added: Mapping[str, str]) -> set[str]:
    """The names of the packages whose code was added."""
    return {path.rpartition("/")[2][:-4] for path in added if path.endswith(".rdb")}


@pytest.mark.parametrize("source", SOURCES)
def test_names_in_code(source: str) -> None:
    assert sorted(find_package_names(source)) == SOURCES[source].split()


def test_a_package_is_kept_whole_with_what_it_requires(tmp_path: Path) -> None:
    added = add(tmp_path, {"/srv/a.R": "if (rare) library(plot)"}, "/srv/a.R")
    assert packages(added) == {"plot", "grid", "scales", "colour", "cpp"}
    assert {f"{SITE}/scales/libs/scales.so", f"{SITE}/scales/data/a.rds"} <= added.keys()
    assert not [path for path in added if "/help/" in path or "/html/" in path]
    assert f"{SITE}/cpp/include/cpp.h" not in added
    assert added[f"{SITE}/plot/DESCRIPTION"] == "r-library,language-package"


@pytest.mark.parametrize("name", ["/srv/x.r", "/srv/x.Rmd", "/srv/.Rprofile", "/usr/bin/tool"])
def test_files_that_are_r_code(tmp_path: Path, name: str) -> None:
    added = add(tmp_path, {name: "#!/usr/bin/env Rscript\nhexbin::f()"}, name)
    assert packages(added) == {"hexbin"}


def test_no_r_code(tmp_path: Path) -> None:
    assert add(tmp_path, {"/srv/x.txt": "hexbin::f()"}, "/srv/x.txt") == {}


def test_an_app_that_is_a_package(tmp_path: Path) -> None:
    """Its DESCRIPTION names what it requires; it is not installed in a library."""
    tree = {"/srv/DESCRIPTION": "Package: app\nImports: hexbin\nSuggests: unused\n"}
    assert packages(add(tmp_path, tree, "/srv/DESCRIPTION")) == {"hexbin"}


def test_libraries_of_the_environment_and_of_renv(tmp_path: Path) -> None:
    cache = "/root/.cache/R/renv/cache/v5/R-4.2/x86_64/inner/1.2/0123"
    tree = {
        **make_package("/opt/r", "own", "Imports: hexbin\n"),
        **make_package(cache, "inner", "Imports: deeper\n"),
        **make_package("/srv/renv/library/R-4.2/x86_64", "deeper"),
        "/srv/renv/library/R-4.2/x86_64/inner": f"-> {cache}/inner",
        "/srv/renv/activate.R": "",
        **make_package("/opt/renv/R-4.2/x86_64", "elsewhere"),
        "/srv/a.R": "library(own); library(inner); library(elsewhere)",
    }
    touched = ("/srv/a.R", "/srv/renv/activate.R")
    env = {"R_LIBS": "/nothing:/opt/r", "RENV_PATHS_LIBRARY": "/opt/renv"}
    added = add(tmp_path, tree, *touched, **env)
    assert packages(added) == {"own", "hexbin", "inner", "deeper", "elsewhere"}
    assert "/srv/renv/library/R-4.2/x86_64/inner" in added


def test_a_library_from_which_a_package_was_used(tmp_path: Path) -> None:
    tree = {
        **make_package("/data/lib", "one"),
        **make_package("/data/lib", "other"),
        "/srv/a.R": "library(other)",
    }
    added = add(tmp_path, tree, "/srv/a.R", "/data/lib/one/Meta/package.rds")
    assert packages(added) == {"one", "other"}


def test_parts_of_r_itself(tmp_path: Path) -> None:
    added = add(tmp_path, {}, "/usr/lib/R/lib/libR.so", f"{LIB}/translations/DESCRIPTION")
    assert {"/usr/lib/R/modules/internet.so", "/usr/lib/R/etc/repositories"} <= added.keys()
    assert packages(added) == {"stats", "tools"}
    assert "/usr/lib/R/bin/Rcmd" not in added
    assert f"{LIB}/translations/de/LC_MESSAGES/R.mo" not in added


def test_what_a_package_says_of_itself(tmp_path: Path) -> None:
    make_root(tmp_path / "root", WORLD)
    index = PackageIndex(Root(str(tmp_path / "root")))
    (plot,) = index.owners(f"{SITE}/plot/R/plot.rdb")
    assert (plot.kind, plot.name, plot.version) == ("cran", "plot", "1.2")
    assert plot.requires == ("grid", "scales", "colour")
    assert not index.owners("/usr/lib/R/lib/libR.so")


def test_a_folder_of_r_code_in_the_app(tmp_path: Path) -> None:
    """A folder R is not R itself, if it is not in a folder for libraries."""
    tree = {
        "/srv/app/main.R": "",
        "/srv/app/R/late.R": "",
        "/usr/local/lib/R/etc/late": "",
        "/usr/local/lib/R/etc/used": "",
    }
    make_root(tmp_path / "root", {**WORLD, **tree})
    touched = ["/srv/app/main.R", "/usr/local/lib/R/etc/used"]
    added = list_added_paths(tmp_path / "root", touched, (own_folder.RULE,))
    assert {*added} == {"/srv/app/R/late.R"}


def test_a_library_of_links_to_a_cache(tmp_path: Path) -> None:
    """As renv and pak make them: the link that a run followed tells where the library is."""
    tree = {
        **make_package("/cache/1", "one"),
        **make_package("/cache/2", "two"),
        "/data/lib/one": "-> /cache/1/one",
        "/data/lib/two": "-> /cache/2/two",
        "/srv/a.R": "library(two)",
    }
    added = add(tmp_path, tree, "/srv/a.R", "/data/lib/one/Meta/package.rds")
    assert packages(added) == {"one", "two"}
    assert "/data/lib/two" in added
