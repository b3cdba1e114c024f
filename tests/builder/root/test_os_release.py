"""os-release(5): which fields a text has."""

from __future__ import annotations

import platform

import pytest
from requirements import skip_missing

from slimtrace.builder.root.os_release import OS_RELEASE_PATHS, parse_os_release


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("ID=debian\nVERSION_ID=12\n", {"ID": "debian", "VERSION_ID": "12"}),
        ("NAME=\"Alpine Linux\"\nID='alpine'", {"NAME": "Alpine Linux", "ID": "alpine"}),
        ("ID=fedora\r\n", {"ID": "fedora"}),
        ("  ID=arch  ", {"ID": "arch"}),
        ("VARIANT=", {"VARIANT": ""}),
        (r'NAME="the \"best\" \$5 \\ one"', {"NAME": 'the "best" $5 \\ one'}),
        ('NAME="one\'s"', {"NAME": "one's"}),
        ('NAME="open\nID=x', {"NAME": '"open', "ID": "x"}),
        ("#ID=none\n\nno assignment\nMY-ID=x\nID=y", {"ID": "y"}),
        ("ID=first\nID=last", {"ID": "last"}),
    ],
)
def test_fields(text: str, fields: dict[str, str]) -> None:
    assert parse_os_release(text) == fields


def test_this_machine_as_python_reads_it() -> None:
    for path in OS_RELEASE_PATHS:
        try:
            with open(path) as file:
                text = file.read()
        except FileNotFoundError:
            continue
        assert platform.freedesktop_os_release() == {
            "NAME": "Linux",
            "ID": "linux",
            "PRETTY_NAME": "Linux",
            **parse_os_release(text),
        }
        return
    skip_missing("os-release")
