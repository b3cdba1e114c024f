"""Real programs take branches in their slim images that the traced run did not take."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from build_fixtures import compile_library
from closure_runs import BuiltImage, build_images
from requirements import need, need_root
from traces import make_tree

if TYPE_CHECKING:
    from pathlib import Path

LATE = """
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void *sleeper(void *unused) { for (;;) pause(); return unused; }
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "cancel")) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, 0, sleeper, 0);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        puts(result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
    } else if (argc > 1) {
        puts(dlopen("libplugged.so.1", RTLD_NOW) ? "plugged" : dlerror());
    } else {
        puts("ready");
    }
    return 0;
}
"""
DISCOVERY = """
import os, sys
import jinja2
here = os.path.dirname(os.path.abspath(__file__))
names = [name for _, _, files in os.walk(os.path.join(here, "conf.d")) for name in sorted(files)]
loader = jinja2.FileSystemLoader(os.path.join(here, "templates"))
print(loader.list_templates(), names)
if len(sys.argv) > 1:
    print(jinja2.Environment(loader=loader).get_template(sys.argv[1]).render(name="you"))
"""
TREE = {
    "app.py": DISCOVERY,
    "templates/index.html": "hello {{ name }}",
    "templates/rare.html": "rarely {{ name }}",
    "templates/mail/rare.txt": "mail for {{ name }}",
    "conf.d/one.conf": "1",
    "unrelated.txt": "not listed: code lies beside it",
}


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, BuiltImage]]:
    """A C program whose traced run did nothing, and its images."""
    need("gcc")
    need_root()
    folder = tmp_path_factory.mktemp("late")
    compile_library(folder / "lib/libplugged.so.1")
    program = str(folder / "late")
    flags = ["-pthread", "-Wl,-rpath,$ORIGIN/lib", "-x", "c", "-", "-o", program]
    subprocess.run(["gcc", *flags], input=LATE.encode(), check=True)
    return program, build_images(folder, [program])


@pytest.mark.parametrize(
    ("action", "output", "without"),
    [
        ("cancel", "cancelled", "libgcc_s.so.1 must be installed"),
        ("plugin", "plugged", "libplugged.so.1: cannot open shared object file"),
    ],
)
def test_a_library_that_is_opened_late(
    late: tuple[str, dict[str, BuiltImage]], action: str, output: str, without: str
) -> None:
    program, images = late
    assert images["touched"].read_last_line(program) == "ready"
    assert images["closure"].read_last_line(program, action) == output
    assert without in images["touched"].read_last_line(program, action)
    assert images["closure"].report["reasons"]["dlopened-library"] >= 2


def test_templates_that_an_app_lists(tmp_path: Path) -> None:
    need_root()
    make_tree(str(tmp_path), TREE)
    app = [sys.executable, str(tmp_path / "app.py")]
    images = build_images(tmp_path, [*app, "index.html"])
    closure, touched = images["closure"], images["touched"]
    assert (
        closure.read_last_line(*app) == "['index.html', 'mail/rare.txt', 'rare.html'] ['one.conf']"
    )
    assert closure.read_last_line(*app, "rare.html") == "rarely you"
    assert closure.read_last_line(*app, "mail/rare.txt") == "mail for you"
    assert touched.read_last_line(*app, "index.html") == "hello you"
    assert "rare.html" in touched.read_last_line(
        *app, "rare.html"
    )  # jinja2.exceptions.TemplateNotFound
    assert "rarely" not in touched.read_last_line(*app, "rare.html")
    assert not (tmp_path / "image-closure" / str(tmp_path)[1:] / "unrelated.txt").exists()


def test_a_name_is_looked_up_by_a_service_that_the_run_did_not_ask(tmp_path: Path) -> None:
    """The run looks up a user, and so reads nsswitch.conf; later it looks up a host."""
    need_root()
    need("getent")
    images = build_images(tmp_path, ["getent", "passwd", "root"])
    assert "nss-module" in images["closure"].report["reasons"]
    assert "nss-module" not in images["touched"].report["reasons"]
    assert images["closure"].read_last_line("/usr/bin/getent", "passwd", "root").startswith("root:")
