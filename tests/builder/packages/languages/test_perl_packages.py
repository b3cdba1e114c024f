"""Distributions that came from CPAN: their files, and what their metadata requires."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from build_fixtures import make_root

from slimtrace.builder.packages.index import PackageIndex
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = "/app/local/lib/perl5"
MACHINE = f"{LOCAL}/x86_64-linux"
SITE = "/usr/local/lib/perl5/site_perl/5.36.0"
DEBIAN = "/usr/local/share/perl/5.36.0"
DEBIAN_MACHINE = "/usr/local/lib/x86_64-linux-gnu/perl/5.36.0"
META = {
    "name": "Shop-Web",
    "version": "1.5",
    "prereqs": {"runtime": {"requires": {"Deep::Er": "0", "perl": "5.010", "Gone": "1"}}},
}

PACKLIST = """\
/build/local/bin/shop
/build/local/lib/perl5/Shop/Web.pm
/build/local/lib/perl5/auto/share/dist/Shop-Web/page.html type=file
/build/local/lib/perl5/x86_64-linux/Shop/Web/XS.pm
/build/local/lib/perl5/x86_64-linux/auto/Shop/Web/XS/XS.so
/build/local/man/man3/Shop::Web.3
"""

TREE: dict[str, str | bytes | None] = {
    f"{LOCAL}/Shop/Web.pm": "",
    f"{LOCAL}/auto/share/dist/Shop-Web/page.html": "",
    f"{MACHINE}/Shop/Web/XS.pm": "",
    f"{MACHINE}/auto/Shop/Web/XS/XS.so": "",
    f"{MACHINE}/auto/Shop/Web/.packlist": PACKLIST,
    f"{MACHINE}/.meta/Shop-Web-1.5/MYMETA.json": json.dumps(META),
    f"{MACHINE}/.meta/Broken-1/MYMETA.json": "{",
    f"{MACHINE}/Deep/Er.pm": "",
    f"{MACHINE}/auto/Deep/Er/.packlist": f"{MACHINE}/Deep/Er.pm\n",
    f"{SITE}/Plain.pm": "",
    f"{SITE}/x86_64-linux/auto/Plain/.packlist": f"{SITE}/Plain.pm\n",
    f"{DEBIAN}/Own.pm": "",
    f"{DEBIAN_MACHINE}/auto/Own/.packlist": f"{DEBIAN}/Own.pm\n",
    "/usr/local/lib/perl5/5.36.0/strict.pm": "",
    "/usr/local/lib/perl5/5.36.0/x86_64-linux/.packlist": "/usr/local/lib/perl5/5.36.0/strict.pm\n",
}
OWNERS = {
    f"{LOCAL}/Shop/Web.pm": ["Shop-Web 1.5"],
    f"{MACHINE}/auto/Shop/Web/XS/XS.so": ["Shop-Web 1.5"],
    f"{SITE}/Plain.pm": ["Plain "],
    f"{DEBIAN}/Own.pm": ["Own "],
    "/usr/local/lib/perl5/5.36.0/strict.pm": [],
}


@pytest.mark.parametrize("path", OWNERS)
def test_owners(tmp_path: Path, path: str) -> None:
    make_root(tmp_path, TREE)
    found = PackageIndex(Root(str(tmp_path))).library_owners(path)
    assert [f"{package.name} {package.version}" for package in found] == OWNERS[path]


def test_files_and_requirements_of_a_folder_that_was_moved(tmp_path: Path) -> None:
    make_root(tmp_path, TREE)
    index = PackageIndex(Root(str(tmp_path)))
    (package,) = index.library_owners(f"{LOCAL}/Shop/Web.pm")
    assert package.files == (
        f"{LOCAL}/Shop/Web.pm",
        f"{LOCAL}/auto/share/dist/Shop-Web/page.html",
        f"{MACHINE}/Shop/Web/XS.pm",
        f"{MACHINE}/auto/Shop/Web/XS/XS.so",
    )
    assert [each.name for each in index.required_libraries(package)] == ["Deep-Er"]
