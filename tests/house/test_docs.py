"""The documentation names what there is: commands, options, gaps, rules, statuses, files."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import redirect_stdout
from functools import cache
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
import source_tree
from repository import ROOT

from slimtrace.builder.check.rule_set import RULES as CHECK_RULES
from slimtrace.builder.check.target_platform import TargetPlatform
from slimtrace.builder.closure.rules import RULES as CLOSURE_RULES
from slimtrace.builder.model import Keep, Reason
from slimtrace.main import main
from slimtrace.tracer import errors
from slimtrace.tracer.engines.choice import AUTO, ENGINES
from slimtrace.tracer.trace.gaps import LOSES_FILES
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_README_LINES = 199
SLIM_IS = ("slim", "run", "build", "verify")
"""The commands whose options ``slim`` has; its section refers to theirs."""
FOREIGN_OPTIONS = frozenset(
    """
    --tmpfs --rm --security-opt --user --read-only --cap-drop --entrypoint --network
    --slimtrace --slimtrace-append --add-modules --draft --version --yes --group --dist
    --help --verbose --quiet --install-completion --show-completion
    --from --build-context --isolation --privileged
    """.split()  # noqa: SIM905
)
"""Options of podman, builders, pytest, java, towncrier, pip and of slimtrace before the command."""


def _pages() -> list[str]:
    """Every page, relative to the root of the repository."""
    pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "samples/README.md"]
    for folder, _, names in os.walk(os.path.join(ROOT, "docs")):
        pages += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(page for page in pages if page.endswith(".md"))


def _read(page: str) -> str:
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        return file.read()


@cache
def _help(*words: str) -> str:
    """What ``slimtrace WORDS --help`` prints, on lines that are not wrapped."""
    with (
        patch.dict(os.environ, {"COLUMNS": "200"}),
        patch.object(sys, "argv", ["slimtrace", *words, "--help"]),
        redirect_stdout(io.StringIO()) as printed,
        pytest.raises(SystemExit),
    ):
        main()
    return printed.getvalue()


def _commands() -> list[str]:
    return re.findall(r"^  ([a-z]+) ", _help().partition("\nCommands:\n")[2], re.MULTILINE)


def _options(command: str) -> set[str]:
    """The long options of a command, but for ``--help``."""
    listed = _help(command).partition("\nOptions:\n")[2]
    found = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", listed, re.MULTILINE)
    return {*found} - {"--help"}


def _section(text: str, title: str) -> str:
    """What stands below a heading of level 2, up to the next one."""
    return re.split(
        r"^## .*$", text.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE
    )[0]


def _first_cells(text: str) -> Iterator[str]:
    """The first cell of each row of each table."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield re.split(r"(?<!\\)\|", line)[1].strip()


def _code_cells(page: str) -> set[str]:
    """What the first cells of a page's tables name as code."""
    return {name for cell in _first_cells(_read(page)) for name in re.findall(r"`([^`]+)`", cell)}


def _missing(names: Collection[str], page: str) -> set[str]:
    return {*names} - _code_cells(page)


def test_there_is_something_to_check() -> None:
    assert {"run", "build", "verify"} <= {*_commands()}
    assert {"--output", "--ready"} <= _options("run")
    assert "docs/reference/commands.md" in _pages()


def test_every_command_has_a_section() -> None:
    text = _read("docs/reference/commands.md")
    assert [name for name in _commands() if f"\n## {name}\n" not in text] == []


@pytest.mark.parametrize("command", _commands())
def test_options_of_a_command(command: str) -> None:
    """Its section names each option; the first cells of its tables name no other option."""
    text = _read("docs/reference/commands.md")
    sections = SLIM_IS if command == "slim" else (command,)
    named = {
        name
        for section in sections
        for cell in _first_cells(_section(text, section))
        for name in re.findall(r"--[a-z][a-z-]+", cell)
    }
    assert _options(command) - named == set()
    own = re.findall(r"--[a-z][a-z-]+", "\n".join(_first_cells(_section(text, command))))
    assert {*own} - _options(command) == set()


@pytest.mark.parametrize("page", sorted({*_pages()} - {"CHANGELOG.md"}))
def test_no_page_names_an_option_that_is_none(page: str) -> None:
    """But the changelog, which tells of older versions too."""
    known = {*FOREIGN_OPTIONS, *(name for command in _commands() for name in _options(command))}
    code = "\n".join(re.findall(r"`[^`\n]+`", _read(page)))
    named = re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", code)
    assert {*named} - known == set()


@pytest.mark.parametrize("page", _pages())
def test_commands_in_examples_exist(page: str) -> None:
    """Each line of a code block that begins with ``slimtrace``: its command and its options."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", _read(page), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    for line in lines:
        words = line.removeprefix("$ ").split(" -- ")[0].partition(" && ")[0].split()
        if not words or words[0] != "slimtrace":
            continue
        command = words[1]
        assert command in _commands(), line
        options = re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", re.sub(r"'[^']*'", "", " ".join(words)))
        assert {*options} - _options(command) == set(), line


def test_environment_variables() -> None:
    """Those that begin with our name: the page names them all, and no others."""
    name = re.compile(r"(?<![A-Z_])SLIMTRACE_[A-Z_]+")
    code = {
        found
        for module in source_tree.modules()
        for found in name.findall(source_tree.text(module))
    }
    assert code == {*name.findall(_read("docs/reference/commands.md"))}


def test_gaps() -> None:
    assert _missing(LOSES_FILES, "docs/reference/gaps.md") == set()
    assert _code_cells("docs/reference/gaps.md") - {*LOSES_FILES} == set()
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (yes|no) \|", _read("docs/reference/gaps.md"), re.MULTILINE
    )
    assert {kind: answer == "yes" for kind, answer in rows} == LOSES_FILES


def test_reasons() -> None:
    """Every reason, the rules of the closure and the levels stand in the page of rules."""
    page = "docs/reference/rules.md"
    names = {*map(str, Reason), *map(str, Keep), *(rule.reason.value for rule in CLOSURE_RULES)}
    assert _missing(names, page) == set()
    assert _code_cells(page) - names == set()


def test_rules_are_described_as_in_the_code() -> None:
    """The table of rules in the page is made of the rules' summaries, level by level."""
    page = _read("docs/reference/rules.md")
    for level in (Keep.CLOSURE, Keep.APP, Keep.PACKAGE):
        rules = [rule for rule in CLOSURE_RULES if rule.level is level]
        wanted = "".join(f"| `{rule.reason}` | {rule.summary} |\n" for rule in rules)
        assert f"| rule | keeps |\n|---|---|\n{wanted}\n" in page, f"write this table:\n{wanted}"


def test_checks() -> None:
    page = "docs/reference/checks.md"
    names = {*(rule.name for rule in CHECK_RULES), *map(str, TargetPlatform)}
    assert _missing(names, page) == set()
    assert _code_cells(page) - names == set()


def test_engines() -> None:
    names = {AUTO, *ENGINES}
    assert _missing(names, "docs/reference/engines.md") == set()


def test_uses() -> None:
    text = _read("docs/reference/trace-schema.md")
    assert [use for use in Use if f"`{use}`" not in text] == []


def test_exit_statuses() -> None:
    """Every status that an error class has is in the table."""
    statuses = {
        value.exit_status
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.SlimtraceError)
    }
    cells = {*_first_cells(_read("docs/reference/exit-statuses.md"))}
    assert {str(status) for status in statuses} - cells == set()


@pytest.mark.parametrize("page", _pages())
def test_links_lead_somewhere(page: str) -> None:
    """Relative links: the file exists, and has the heading."""
    text = re.sub(r"^```.*?^```", "", _read(page), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(ROOT, os.path.dirname(page), path))
        target = os.path.join(ROOT, page) if not path else target
        assert os.path.exists(target), link
        if anchor:
            with open(target, encoding="utf-8") as file:
                titles = re.findall(r"^#+ (.*)$", file.read(), re.MULTILINE)
            assert anchor in [_anchor(title) for title in titles], link


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    kept = "".join(char for char in title.lower() if char.isalnum() or char in " -_")
    return kept.replace(" ", "-")


@pytest.mark.parametrize("page", _pages())
def test_files_that_are_named_exist(page: str) -> None:
    """Paths of this repository in code spans, and tests as ``tests/FILE.py::FUNCTION``."""
    tops = "tracer|builder|slimtrace|tests|benchmarks|samples|docs|changelog.d"
    for name in re.findall(rf"`((?:{tops})/[\w./-]*(?:::\w+)?)`", _read(page)):
        path, _, function = name.partition("::")
        assert os.path.exists(os.path.join(ROOT, path)), name
        if function:
            assert re.search(rf"^def {function}\(", _read(path), re.MULTILINE), name


def test_settings_of_the_pytest_plugin() -> None:
    plugin = _read("tracer/pytest_plugin/plugin.py")
    names = re.findall(r"""add(?:ini|option)\(\s*"([\w-]+)\"""", plugin)
    cells = " ".join(_code_cells("docs/reference/pytest-plugin.md"))
    assert len(names) >= 7
    assert [name for name in names if name not in cells] == []


def test_the_map_has_every_folder() -> None:
    """CONTRIBUTING.md's map names each folder of the two halves."""
    page = _read("CONTRIBUTING.md")
    for half in ("tracer", "builder"):
        folders = {
            path.split("/")[1]
            for path in source_tree.modules().values()
            if path.count("/") > 1 and path.startswith(f"{half}/")
        }
        assert folders
        assert [name for name in sorted(folders) if f" {name}/" not in page] == []


def test_the_readme_is_short() -> None:
    assert len(_read("README.md").splitlines()) <= MAX_README_LINES
