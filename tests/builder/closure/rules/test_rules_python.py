"""The files that Python's files imply: twins, metadata, and imported modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, compile_library, describe_selection, make_root
from requirements import need, need_root
from traces import run_slimtrace

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.closure.rules.python.source import parse_source
from slimtrace.builder.closure.rules.python.source_scan import scan_source, scan_strings
from slimtrace.builder.model import Keep, Reason, Seed
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def find_implied(
    top: Path,
    touched: Iterable[str],
    reason: Reason | None = None,
    *,
    listed: Iterable[str] = (),
    without: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
    looked_at: Iterable[str] = (),
) -> set[str]:
    """The untouched files that are kept for this reason, or for any reason.

    :param touched: the files that were read.
    :param looked_at: the files that were only looked up.
    """
    wanted = [Seed(path, TOUCHED, load=True) for path in touched]
    wanted += [Seed(path, TOUCHED) for path in looked_at]
    wanted += [Seed(path, TOUCHED, is_listed=True) for path in listed]
    around = RunEnvironment(("/usr/bin",), (), "/", env or {})
    selection = expand(Root(str(top)), wanted, around, choose_rules(Keep.CLOSURE, without))
    found = {path: line.split()[-1] for path, line in describe_selection(selection).items()}
    reasons = {path: why.split(",") for path, why in found.items()}
    return {
        path
        for path, why in reasons.items()
        if Reason.TOUCHED not in why and (reason is None or reason in why)
    }


SITE = "/usr/lib/python3.11/site-packages"

# summary, files in the folder, touched files, implied files
TWINS: list[tuple[str, str, str, str]] = [
    ("a source", "a.py __pycache__/a.cpython-311.pyc", "a.py", "__pycache__/a.cpython-311.pyc"),
    (
        "a compiled file",
        "a.py __pycache__/a.cpython-311.pyc",
        "__pycache__/a.cpython-311.pyc",
        "a.py",
    ),
    ("an interpreter that did not run", "a.py __pycache__/a.cpython-312.pyc", "a.py", ""),
    ("an optimization that did not run", "a.py __pycache__/a.cpython-311.opt-1.pyc", "a.py", ""),
    (
        "optimized",
        "a.py __pycache__/a.cpython-311.opt-2.pyc",
        "__pycache__/a.cpython-311.opt-2.pyc",
        "a.py",
    ),
    ("PyPy's", "a.py __pycache__/a.pypy39.pyc", "__pycache__/a.pypy39.pyc", "a.py"),
    ("beside its source", "a.py a.pyc", "a.pyc", "a.py"),
    (
        "a dot in the name",
        "a.b.py __pycache__/a.b.cpython-311.pyc",
        "a.b.py",
        "__pycache__/a.b.cpython-311.pyc",
    ),
    ("no twin", "a.py", "a.py", ""),
    ("no source", "__pycache__/a.cpython-311.pyc", "__pycache__/a.cpython-311.pyc", ""),
]


@pytest.mark.parametrize(
    ("files", "touched", "brought"), [case[1:] for case in TWINS], ids=[case[0] for case in TWINS]
)
def test_twins(tmp_path: Path, files: str, touched: str, brought: str) -> None:
    tree = {f"/app/{name}": "" for name in files.split()}
    ran = "/lib/__pycache__/site.cpython-311.pyc"
    top = make_root(tmp_path / "root", {**tree, ran: ""})
    found = find_implied(top, [f"/app/{touched}", ran], Reason.PYTHON_TWIN)
    assert found == {f"/app/{name}" for name in brought.split()}


DISTRIBUTIONS: list[tuple[str, Mapping[str, str], str, str]] = [
    (
        "RECORD names the file",
        {"Big-1.dist-info/RECORD": "b/a.py,sha256=x,1\nb/c.py\n", "o-1.dist-info/RECORD": "o.py,,"},
        "b/a.py",
        "Big-1.dist-info Big-1.dist-info/RECORD",
    ),
    (
        "two distributions in one namespace",
        {"g-x-1.dist-info/RECORD": "g/x.py,,\n", "g-y-1.dist-info/RECORD": "g/y.py,,\n"},
        "g/y.py",
        "g-y-1.dist-info g-y-1.dist-info/RECORD",
    ),
    (
        "a comma and quotes in the name",
        {"x-1.dist-info/RECORD": '"x/a,b.py",,\n'},
        "x/a,b.py",
        "x-1.dist-info x-1.dist-info/RECORD",
    ),
    (
        "all of it, and what lies deeper",
        {"x-1.dist-info/RECORD": "x.py,,\n", "x-1.dist-info/licenses/MIT": ""},
        "x.py",
        "x-1.dist-info x-1.dist-info/RECORD x-1.dist-info/licenses x-1.dist-info/licenses/MIT",
    ),
    (
        "installed-files.txt of an egg",
        {"X-1.egg-info/installed-files.txt": "../odd/x.py\na\n", "X-1.egg-info/PKG-INFO": "x"},
        "odd/x.py",
        "X-1.egg-info X-1.egg-info/installed-files.txt X-1.egg-info/PKG-INFO",
    ),
    (
        "Debian: no list of files, names of modules",
        {"PyYAML-6.egg-info/top_level.txt": "_yaml\nyaml\n", "PyYAML-6.egg-info/PKG-INFO": ""},
        "yaml/a.py",
        "PyYAML-6.egg-info PyYAML-6.egg-info/PKG-INFO PyYAML-6.egg-info/top_level.txt",
    ),
    ("a file, by its name", {"my.x-1-py3.11.egg-info": "x"}, "my_x.py", "my.x-1-py3.11.egg-info"),
    ("another's", {"other-1.dist-info/RECORD": "other.py,,\n"}, "x.py", ""),
    (
        "metadata that is only read",
        {"x-1.dist-info/RECORD": "x-1.dist-info/METADATA,,\n", "x-1.dist-info/METADATA": ""},
        "x-1.dist-info/METADATA",
        "",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "touched", "brought"),
    [case[1:] for case in DISTRIBUTIONS],
    ids=[case[0] for case in DISTRIBUTIONS],
)
def test_metadata(tmp_path: Path, files: Mapping[str, str], touched: str, brought: str) -> None:
    tree = {f"{SITE}/{touched}": "", **{f"{SITE}/{name}": text for name, text in files.items()}}
    top = make_root(tmp_path / "root", tree)
    selection = expand(
        Root(str(top)),
        [Seed(f"{SITE}/{touched}", TOUCHED)],
        RunEnvironment((), (), "/"),
        choose_rules(Keep.CLOSURE),
    )
    found = {
        path for path, each in selection.entries.items() if Reason.PYTHON_METADATA in each.reasons
    }
    assert found == {f"{SITE}/{name}" for name in brought.split()}


LIB = "/usr/lib/python3.11"
WORLD = {
    f"{LIB}/os.py": "",
    f"{LIB}/code.py": "",
    f"{LIB}/lib-dynload/readline.cpython-311-x86_64.so": "",
    f"{LIB}/lazy.py": "",
    f"{LIB}/doctest.py": "",
    f"{LIB}/encodings/__init__.py": "",
    f"{LIB}/encodings/utf_16.py": "",
    f"{LIB}/lib-dynload/_c.cpython-311-x86_64.so": "",
    f"{LIB}/lib-dynload/_c.cpython-312-x86_64.so": "",
    f"{SITE}/pkg/__init__.py": "import deep.under",
    f"{SITE}/pkg/mod.py": "def f():\n    import never\nclass C:\n    from . import sub\n",
    f"{SITE}/pkg/sub/__init__.py": "",
    f"{SITE}/pkg/sub/leaf.py": "",
    f"{SITE}/pkg/tests/__init__.py": "",
    f"{SITE}/pkg/testing.py": "",
    f"{SITE}/deep/under.py": "",
    f"{SITE}/never.py": "",
    f"{SITE}/abi.abi3.so": "",
    f"{SITE}/plain.so": "",
    "/app/own.py": "",
    "/usr/lib/python3.12/lazy.py": "",
}
UTF_16 = f"{LIB}/encodings/__init__.py {LIB}/encodings/utf_16.py"
IN_PKG = "pkg/__init__.py deep/under.py"

# summary, code of the touched /app/main.py, implied files (relative ones in site-packages)
IMPORTS: list[tuple[str, str, str]] = [
    ("at the top", "import own", "/app/own.py"),
    ("a module of no package, and its attribute", "import lazy.path", f"{LIB}/lazy.py"),
    ("one that Python holds in itself", "import os.path", ""),
    ("in a function", "def f():\n    import lazy", f"{LIB}/lazy.py"),
    ("behind a condition, on one line", "if x: import lazy", f"{LIB}/lazy.py"),
    ("after a semicolon", "x = 1; import lazy", f"{LIB}/lazy.py"),
    ("a list over lines", "from pkg import (\n a,  # b\n sub)", f"{IN_PKG} pkg/sub/__init__.py"),
    ("a line that goes on", "import \\\n  lazy", f"{LIB}/lazy.py"),
    ("a package, and what that needs to load", "import pkg", IN_PKG),
    ("all packages above", "import pkg.sub.leaf", f"{IN_PKG} pkg/sub/__init__.py pkg/sub/leaf.py"),
    ("implied: not functions", "import pkg.mod", f"{IN_PKG} pkg/mod.py pkg/sub/__init__.py"),
    ("a namespace", "from deep import under", "deep/under.py"),
    ("a name that is no module", "from own import thing", "/app/own.py"),
    ("one that is not there", "import nowhere.at.all", ""),
    ("the extension that fits", "import _c", f"{LIB}/lib-dynload/_c.cpython-311-x86_64.so"),
    ("extensions of any version", "import abi, plain", "abi.abi3.so plain.so"),
    ("import_module", "importlib.import_module('pkg.sub')", f"{IN_PKG} pkg/sub/__init__.py"),
    ("relative to a package", "import_module('.sub', 'pkg')", f"{IN_PKG} pkg/sub/__init__.py"),
    ("__import__", "f(__import__('lazy'))", f"{LIB}/lazy.py"),
    ("a codec", "b.decode('UTF-16')", UTF_16),
    ("by another name", "f(encoding='u16')", UTF_16),
    ("a codec in a string", "'b.decode(\\'utf-16\\')'", ""),
    ("a name that is made", "__import__('la' + x)", ""),
    ("for type checkers", "if TYPE_CHECKING:\n  import lazy\nelse:\n  import own", "/app/own.py"),
    ("for another system", "if sys.platform == 'win32':\n    import lazy", ""),
    ("for another by its name", "if platform.system() == 'Windows':\n    import lazy", ""),
    ("for a start of a name", "if osname[:6] == 'darwin':\n    import lazy", ""),
    ("not for a system", "if word == 'darwin':\n    import lazy", f"{LIB}/lazy.py"),
    ("for this system", "if sys.platform == 'linux':\n    import lazy", f"{LIB}/lazy.py"),
    ("as the main module", "if __name__ == '__main__':\n    import lazy", f"{LIB}/lazy.py"),
    ("in a docstring", 'def f():\n    """\n    import lazy\n    """', ""),
    ("no Python 3", "print 'x'\nimport own\n", "/app/own.py"),
    ("the app wants tools", "def f():\n    import doctest", f"{LIB}/doctest.py"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "brought"), [case[1:] for case in IMPORTS], ids=[case[0] for case in IMPORTS]
)
def test_imports(tmp_path: Path, code: str, brought: str) -> None:
    found = find_implied(*plant_app(tmp_path, code), Reason.PYTHON_IMPORT, listed=LISTED)
    assert found == {os.path.join(SITE, name) for name in brought.split()}


LISTED = ("/app", LIB, f"{LIB}/lib-dynload", SITE)
RAN = f"{LIB}/__pycache__/site.cpython-311.pyc"


def plant_app(tmp_path: Path, code: str, place: str = "/app/main.py") -> tuple[Path, list[str]]:
    tree = {**WORLD, RAN: "", f"{SITE}/ran.py": "", place: f"{code}\n"}
    return make_root(tmp_path / "root", tree), [place, RAN, f"{SITE}/ran.py"]


# summary, code of the touched pkg/mod.py in site-packages, implied files
INSTALLED = [
    ("beside", "def f():\n    from . import sub", "pkg/sub/__init__.py"),
    ("below", "def f():\n    from .sub import leaf", "pkg/sub/__init__.py pkg/sub/leaf.py"),
    ("by a call", "import_module('.sub')", "pkg/sub/__init__.py"),
    ("above all", "from .. import own", ""),
    ("tests", "def f():\n    import pkg.tests", ""),
    ("tools", "def f():\n    import doctest", ""),
    ("a console", "def f():\n    import code, readline", ""),
    ("helpers for tests", "def f():\n    from . import testing", ""),
    ("what it ran past", "if x:\n    import lazy", f"{LIB}/lazy.py"),
    ("what was there", "try:\n  import _x\nexcept ImportError:\n  import lazy", ""),
    ("for another version", "if sys.version_info < (3, 11):\n    import lazy", ""),
    ("for this one", "if sys.version_info > (3, 11):\n    import lazy", f"{LIB}/lazy.py"),
    ("for what is no version", "if sys.version_info < (3, 'x'):\n import lazy", f"{LIB}/lazy.py"),
    ("for some", "if sys.version_info < (3, 11, 4):\n    import lazy", f"{LIB}/lazy.py"),
    ("not the main module", "if __name__ == '__main__':\n    import lazy", ""),
]


@pytest.mark.parametrize(
    ("code", "brought"), [case[1:] for case in INSTALLED], ids=[case[0] for case in INSTALLED]
)
def test_imports_of_a_library(tmp_path: Path, code: str, brought: str) -> None:
    top, touched = plant_app(tmp_path, code, f"{SITE}/pkg/mod.py")
    found = find_implied(top, touched, Reason.PYTHON_IMPORT, listed=LISTED)
    assert found == {os.path.join(SITE, name) for name in f"{IN_PKG} {brought}".split()}


# summary, code of the implied pkg/late.py in site-packages, files that it implies
IMPLIED = [
    ("tools that it needs to load", "import doctest", f"{LIB}/doctest.py"),
    ("what is lacking", "import lazy, nowhere", None),
    ("what may be lacking", "try:\n    import nowhere\nexcept ImportError:\n    pass", ""),
    ("what is built in", "import sys, _thread", ""),
    ("in a docstring", '"""\nimport nowhere\n"""', ""),
    ("instead of what is there", "try:\n import _c\nexcept ImportError:\n import lazy", "_c"),
    ("of what a name is taken", "try:\n from lazy import x\nexcept ImportError:\n import never",
     f"{LIB}/lazy.py never.py"),
    ("for more than what lacks", "try:\n import _c\nexcept Exception:\n import never",
     "_c never.py"),
    ("instead of another's", "try:\n import never\nexcept ImportError:\n import lazy",
     f"never.py {LIB}/lazy.py"),
    ("in a function that it calls", "def f():\n import lazy\nf()", f"{LIB}/lazy.py"),
    ("in one that this calls", "def f():\n import lazy\ndef g():\n f()\nx = [g()]",
     f"{LIB}/lazy.py"),
    ("in a decorator", "def f(g):\n import lazy\n@f\ndef h(): pass", f"{LIB}/lazy.py"),
    ("in an inner function", "def f():\n def g():\n  import lazy\n g()\nf()", f"{LIB}/lazy.py"),
    ("in an inner one that is returned", "def f():\n def g():\n  import lazy\n return g\nf()", ""),
    ("to make an object", "class C:\n def __init__(self):\n  import lazy\nx = C()",
     f"{LIB}/lazy.py"),
    ("in a method", "class C:\n def m(self):\n  import lazy\nC().m()", f"{LIB}/lazy.py"),
    ("to derive a class", "class C:\n def __init_subclass__(cls):\n  import lazy\nclass D(C): 0",
     f"{LIB}/lazy.py"),
    ("in another's method", "class C:\n def m(self):\n  import lazy\nd.m()", ""),
    ("in one that the command calls", "def f():\n import lazy\nif __name__ == '__main__': f()", ""),
    ("in one that nothing calls", "def f():\n import lazy\ndef g():\n f()", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "brought"), [case[1:] for case in IMPLIED], ids=[case[0] for case in IMPLIED]
)
def test_imports_of_an_implied_module(tmp_path: Path, code: str, brought: str | None) -> None:
    """A module whose first imports are missing cannot be loaded: it is left out."""
    top, touched = plant_app(tmp_path, "def f():\n    import pkg.late")
    make_root(top, {f"{SITE}/pkg/late.py": f"{code}\n"})
    found = find_implied(top, touched, Reason.PYTHON_IMPORT, listed=LISTED)
    names = (brought or "").replace("_c", EXTENSION).split()
    late = [] if brought is None else ["pkg/late.py"]
    assert found == {os.path.join(SITE, name) for name in [*IN_PKG.split(), *late, *names]}


EXTENSION = f"{LIB}/lib-dynload/_c.cpython-311-x86_64.so"


def test_what_the_standard_library_does_when_it_is_loaded_it_did_in_the_run(
    tmp_path: Path,
) -> None:
    """Its source was looked up and its compiled file read; or only the source, if that is all."""
    code = "if x:\n    import lazy\ndef f():\n    import never\n"
    source, cache = f"{LIB}/ran.py", f"{LIB}/__pycache__/ran.cpython-311.pyc"
    top, _ = plant_app(tmp_path, code, source)
    make_root(top, {cache: "", f"{LIB}/never.py": ""})

    def found(read: list[str], looked_at: list[str]) -> set[str]:
        paths = [RAN, *read]
        return find_implied(
            top, paths, Reason.PYTHON_IMPORT, listed=LISTED[:2], looked_at=looked_at
        )

    assert found([cache], [source]) == {f"{LIB}/never.py"}
    assert found([], [source]) == {f"{LIB}/lazy.py", f"{LIB}/never.py"}
    (top / cache.lstrip("/")).unlink()
    assert found([source], []) == {f"{LIB}/never.py"}


# summary, code of the touched LIB/command.py, whether imports in its functions count
COMMANDS = [
    ("for others", "def work():\n    import lazy\n", True),
    ("a command", "def main():\n    import lazy\nif __name__ == '__main__':\n    main()", False),
    (
        "what only a command calls",
        "def _a():\n    import lazy\ndef main():\n    _a()\nif __name__ == '__main__':\n    main()",
        False,
    ),
    (
        "what others may call too",
        "__all__ = ['main']\ndef main():\n    import lazy\nif __name__ == '__main__':\n    main()",
        True,
    ),
    (
        "what something else calls too",
        "def a():\n    import lazy\ndef b():\n    a()\nif __name__ == '__main__':\n    a()",
        True,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "counts"), [case[1:] for case in COMMANDS], ids=[case[0] for case in COMMANDS]
)
def test_a_module_of_the_standard_library_as_a_command(
    tmp_path: Path, code: str, counts: bool
) -> None:
    top, touched = plant_app(tmp_path, code, f"{LIB}/command.py")
    found = find_implied(top, touched, Reason.PYTHON_IMPORT, listed=LISTED)
    assert found == ({f"{LIB}/lazy.py"} if counts else set())


def test_an_extension_of_the_standard_library_imports_by_constants(tmp_path: Path) -> None:
    """Only modules of its library. Constants of other modules are names of methods."""
    need("gcc")
    top, touched = plant_app(tmp_path, "def f():\n    import _c, abi")
    shutil.rmtree(top / f"{LIB}/lib-dynload".lstrip("/"))
    for path, names in ((EXTENSION, ("lazy", "own")), (f"{SITE}/abi.abi3.so", ("never",))):
        place = top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        argv = ["gcc", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-", "-o", str(place)]
        code = "".join(f'const char c_{name}[] = "{name}";' for name in names)
        subprocess.run(argv, input=code.encode(), check=True)
    found = find_implied(top, touched, Reason.PYTHON_IMPORT, listed=LISTED)
    assert found == {EXTENSION, f"{SITE}/abi.abi3.so", f"{LIB}/lazy.py"}


STRINGS: list[tuple[str, str, str]] = [
    ("a module", "A = ['pkg.sub.leaf']", f"{IN_PKG} pkg/sub/__init__.py pkg/sub/leaf.py"),
    ("an attribute", "A = 'pkg.sub:run'", f"{IN_PKG} pkg/sub/__init__.py"),
    ("an attribute after a dot", "A = {'class': 'pkg.sub.Klass'}", f"{IN_PKG} pkg/sub/__init__.py"),
    ("a word", "A = 'lazy'", ""),
    ("of a package that was not touched", "A = 'deep.under'", ""),
    ("in a docstring", "def f():\n    '''\n    'pkg.sub.leaf'\n    '''", ""),
]


@pytest.mark.parametrize(
    ("code", "brought"), [case[1:] for case in STRINGS], ids=[case[0] for case in STRINGS]
)
def test_strings(tmp_path: Path, code: str, brought: str) -> None:
    top, touched = plant_app(tmp_path, code)
    touched.append(f"{SITE}/pkg/__init__.py")
    found = find_implied(top, touched, Reason.PYTHON_STRING_IMPORT, listed=LISTED)
    names = set(brought.split()) - set(IN_PKG.split())
    assert found == {os.path.join(SITE, name) for name in names}


@pytest.mark.parametrize("name", ["env", "venv", "tests", "unittest"])
def test_the_folders_above_have_any_name(tmp_path: Path, name: str) -> None:
    """A virtual environment is often called venv, as the standard library's module."""
    site = f"/opt/{name}/lib/python3.11/site-packages"
    code = "def f():\n    from . import other\n    import venv, pkg.tests\n"
    tree = {f"{site}/pkg/__init__.py": code, f"{site}/pkg/other.py": "", RAN: ""}
    tree |= {f"{site}/pkg/tests/__init__.py": "", f"{LIB}/venv/__init__.py": ""}
    top = make_root(tmp_path / "root", tree)
    touched = [f"{site}/pkg/__init__.py", RAN]
    found = find_implied(top, touched, Reason.PYTHON_IMPORT, listed=LISTED)
    assert found == {f"{site}/pkg/other.py"}


def test_pythonpath(tmp_path: Path) -> None:
    top, touched = plant_app(tmp_path, "def f():\n    import far")
    make_root(top, {"/opt/lib/far.py": ""})
    assert find_implied(top, touched, listed=LISTED) == set()
    env = {"PYTHONPATH": ":/nowhere:opt/lib"}
    assert find_implied(top, touched, listed=LISTED, env=env) == {"/opt/lib/far.py"}
    assert find_implied(top, touched, listed=("/opt/lib",)) == {"/opt/lib/far.py"}


def test_each_rule_can_be_switched_off(tmp_path: Path) -> None:
    top, touched = plant_app(tmp_path, "import own\nA = 'pkg.sub'")
    found = {"/app/own.py", f"{SITE}/deep/under.py", f"{SITE}/pkg/sub/__init__.py"}

    def implied_without(*rules: str) -> set[str]:
        package = [f"{SITE}/pkg/__init__.py"]
        return find_implied(top, touched, listed=LISTED, looked_at=package, without=rules)

    assert implied_without() == found
    off = implied_without("python-import")
    assert off == {f"{SITE}/pkg/sub/__init__.py"}
    off = implied_without("python-string-import")
    assert off == {"/app/own.py", f"{SITE}/deep/under.py"}


def test_an_implied_extension_brings_its_libraries(tmp_path: Path) -> None:
    """As in wheels: in a folder next to the package, found by RUNPATH."""
    top, touched = plant_app(tmp_path, "def f():\n    import pkg.fast")
    folder = top / SITE.lstrip("/")
    compile_library(folder / "wheel.libs" / "libx-1.so", "-Wl,-soname,libx-1.so")
    flags = [str(folder / "wheel.libs" / "libx-1.so"), "-Wl,-rpath,$ORIGIN/../wheel.libs"]
    compile_library(folder / "pkg" / "fast.cpython-311-x86_64-linux-gnu.so", *flags)
    found = find_implied(top, touched, Reason.NEEDED_LIBRARY, listed=LISTED)
    assert found == {f"{SITE}/wheel.libs/libx-1.so"}


def test_a_rough_look_misses_nothing_of_the_standard_library() -> None:
    """Parsing decides; the quick search only selects the files to parse."""
    for source in sorted(Path(os.__file__).parent.glob("[a-m]*.py")):
        text = source.read_text("utf-8", "replace")
        there, roughly = parse_source(text), scan_source(text)
        assert there is not None
        plain = {what._replace(instead_of=()) for what in there.loads | there.calls}
        assert plain <= roughly.loads | roughly.calls, source
        assert scan_strings(text) >= there.strings, source


APP = """
import importlib.metadata, logging, sys
def rarely(path):
    import ctypes, sqlite3
    from decimal import Decimal
    found = sqlite3.connect(":memory:").execute("select 1").fetchone()[0]
    return Decimal(found) + ctypes.c_int(1).value, importlib.metadata.version("planted")
HANDLER = "logging.handlers:RotatingFileHandler"
import planted
if len(sys.argv) > 1:
    module, _, name = HANDLER.partition(":")
    print(rarely("x"), getattr(importlib.import_module(module), name).__name__)
"""


def test_a_real_python_goes_the_other_way_in_the_slim_image(tmp_path: Path) -> None:
    """The traced run imports none of it; a run in the slim image needs all of it."""
    need_root()
    folder = tmp_path / "app"
    make_root(folder, {"/main.py": APP, "/planted/__init__.py": "", "/other.py": ""})
    make_root(folder, {"/planted-1.dist-info/METADATA": "Name: planted\nVersion: 1.0\n"})
    python = os.path.realpath(sys.executable)
    trace = str(tmp_path / "app.trace")
    argv = ["-q", "run", "-o", trace, "--", python, "-I", "-c", START.format(folder)]
    assert run_slimtrace(*argv).returncode == 0
    for level, status in (("closure", 0), ("touched", 1)):
        slim = tmp_path / level
        built = run_slimtrace("build", trace, "-o", f"rootfs:{slim}", "--keep", level)
        assert built.returncode == 0, built.stderr
        argv = ["chroot", str(slim), python, "-I", "-c", START.format(folder), "rarely"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        if status == 0:
            assert done.stdout == "(Decimal('2'), '1.0') RotatingFileHandler\n"
        assert not (slim / str(folder).lstrip("/") / "other.py").exists()


START = "import sys; sys.path.insert(0, '{0}'); import main"
