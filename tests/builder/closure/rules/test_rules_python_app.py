"""What Python's files imply at the level ``app``: late imports, codecs, plugins, native halves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from build_fixtures import TOUCHED, make_root

from slimtrace.builder.closure.closure import expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rules import choose_rules
from slimtrace.builder.model import Keep, Reason, Seed
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LIB = "/usr/lib/python3.11"
SITE = "/opt/venv/lib/python3.11/site-packages"
RAN = f"{LIB}/__pycache__/site.cpython-311.pyc"
MAIN = "/srv/app/main.py"


def find_added(
    top: Path,
    touched: Iterable[str],
    *,
    without: tuple[str, ...] = (),
    keep: Keep = Keep.APP,
) -> dict[str, set[Reason]]:
    """The files that the rules add, and why."""
    seeds = [Seed(path, TOUCHED, load=True) for path in touched]
    seeds += [Seed(path, TOUCHED, is_listed=True) for path in (LIB, SITE)]
    around = RunEnvironment(("/usr/bin",), (), "/srv/app", {})
    selection = expand(Root(str(top)), seeds, around, choose_rules(keep, without))
    return {
        path: set(entry.reasons)
        for path, entry in selection.entries.items()
        if not {Reason.TOUCHED, Reason.DIRECTORY} & set(entry.reasons)
    }


def plant(tmp_path: Path, tree: Mapping[str, str]) -> Path:
    library = {f"{LIB}/{name}.py": "" for name in ("os", "lazy", "deep", "doctest", "never")}
    return make_root(tmp_path / "root", {RAN: "", MAIN: "import pkg\n", **library, **tree})


def list_files(names: str) -> set[str]:
    """``lazy`` is in the standard library, other paths are in ``site-packages``."""
    return {
        f"{LIB}/{name}.py" if "." not in name else os.path.join(SITE, name)
        for name in names.split()
    }


# summary, code of the implied pkg/late.py, files that it implies by deferred imports
DEFERRED = [
    ("in a function", "def f():\n    import lazy", "lazy"),
    ("and what this imports later", "def f():\n    import chain", "chain.py lazy"),
    ("by a call", "def f():\n    return importlib.import_module('lazy')", "lazy"),
    ("tools", "def f():\n    import doctest", ""),
    ("in its distribution, which has no list", "def f():\n    from . import other", "pkg/other.py"),
    ("another distribution's", "def f():\n    import stranger", ""),
    ("for another system", "if sys.platform == 'win32':\n    def f():\n        import lazy", ""),
]


@pytest.mark.parametrize(
    ("code", "brought"), [case[1:] for case in DEFERRED], ids=[case[0] for case in DEFERRED]
)
def test_deferred_imports(tmp_path: Path, code: str, brought: str) -> None:
    tree = {"pkg/__init__.py": "def f():\n    from . import late\n", "pkg/late.py": f"{code}\n"}
    tree |= {"pkg/other.py": "", "stranger.py": ""}
    top = plant(tmp_path, {f"{SITE}/{name}": text for name, text in tree.items()})
    make_root(top, {f"{LIB}/chain.py": "def g():\n    import lazy\n"})
    touched = [MAIN, RAN, f"{SITE}/pkg/__init__.py"]
    found = find_added(top, touched)
    expected = list_files(brought.replace("chain.py", "chain"))
    reason = Reason.PYTHON_DEFERRED_IMPORT
    assert {path for path, reasons in found.items() if reason in reasons} == expected
    assert f"{SITE}/pkg/late.py" in found
    without = find_added(top, touched, without=("python-deferred-import",))
    assert found.keys() - without.keys() == expected
    assert find_added(top, touched, keep=Keep.CLOSURE).keys() == without.keys()


def test_what_the_interpreter_imports_by_itself(tmp_path: Path) -> None:
    """Its frozen modules have sources, from which no run reads."""
    frozen = "def get_resource_reader():\n    from importlib.readers import FileReader\n"
    top = plant(
        tmp_path,
        {
            f"{LIB}/encodings/__init__.py": "",
            f"{LIB}/importlib/_bootstrap_external.py": frozen,
            f"{LIB}/importlib/readers.py": "import deep\n",
            f"{LIB}/_strptime.py": "",
        },
    )
    found = find_added(top, [MAIN, RAN, f"{LIB}/encodings/__init__.py"])
    late = [f"{LIB}/_strptime.py", f"{LIB}/importlib/readers.py"]
    assert {*late, f"{LIB}/deep.py"} <= found.keys()
    assert all(found[path] == {Reason.PYTHON_DEFERRED_IMPORT} for path in late)
    assert f"{LIB}/importlib/_bootstrap_external.py" not in found


def test_a_default_in_a_string_of_the_standard_library(tmp_path: Path) -> None:
    """As xml.sax names its parser; a name in another package is no such default."""
    top = plant(
        tmp_path,
        {
            f"{LIB}/sax/__init__.py": "PARSERS = ['sax.reader', 'wsgi.server']\n",
            f"{LIB}/sax/reader.py": "",
            f"{LIB}/wsgi/server.py": "",
            MAIN: "def f():\n    import sax\n",
        },
    )
    found = find_added(top, [MAIN, RAN])
    assert found[f"{LIB}/sax/reader.py"] == {Reason.PYTHON_DEFERRED_IMPORT}
    assert f"{LIB}/wsgi/server.py" not in found


def test_all_codecs_of_an_interpreter(tmp_path: Path) -> None:
    names = ("__init__", "cp1252", "big5", "mbcs")
    top = plant(tmp_path, {f"{LIB}/encodings/{name}.py": "" for name in names})
    make_root(top, {f"{LIB}/encodings/big5.py": "import _codecs_tw\n"})
    native = f"{LIB}/lib-dynload/_codecs_tw.cpython-311-x86_64-linux-gnu.so"
    make_root(top, {native: "", f"{SITE}/pkg/encodings/__init__.py": ""})
    make_root(top, {f"{SITE}/pkg/encodings/own.py": ""})
    touched = [MAIN, RAN, f"{LIB}/encodings/__init__.py", f"{SITE}/pkg/encodings/__init__.py"]
    touched.append(f"{LIB}/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so")
    make_root(top, {touched[-1]: ""})
    locale = "/usr/lib/locale/C.utf8"
    make_root(top, {f"{locale}/LC_CTYPE": "", f"{locale}/LC_MESSAGES/SYS_LC_MESSAGES": ""})
    make_root(top, {"/usr/lib/locale/de_DE.utf8/LC_CTYPE": ""})
    found = find_added(top, touched)
    codecs = {path for path, reasons in found.items() if Reason.PYTHON_CODEC in reasons}
    expected = {f"{LIB}/encodings/cp1252.py", f"{LIB}/encodings/big5.py", f"{locale}/LC_CTYPE"}
    assert codecs == {*expected, f"{locale}/LC_MESSAGES/SYS_LC_MESSAGES"}
    assert Reason.PYTHON_IMPORT in found[native]
    assert not codecs & find_added(top, touched, without=("python-codec",)).keys()


def test_an_extension_that_another_names(tmp_path: Path) -> None:
    half = f"{SITE}/_half_backend.cpython-311-x86_64-linux-gnu.so"
    other = f"{SITE}/_other.cpython-311-x86_64-linux-gnu.so"
    fast = f"{SITE}/pkg/fast.abi3.so"
    top = plant(tmp_path, {half: "", other: "", fast: "x\0_half_backend\0", f"{SITE}/far.py": ""})
    touched = [MAIN, RAN, f"{SITE}/far.py", fast]
    found = find_added(top, touched)
    assert found.get(half) == {Reason.PYTHON_NATIVE_HALF}
    assert other not in found
    assert half not in find_added(top, touched, without=("python-native-half",))


# summary, code of the kept pkg/__init__.py, whether the plugin is kept
READERS = [
    ("a group that it reads", "import x\nfor p in x.entry_points(group='pkg.colours'): 0", True),
    ("by another library", 'from stevedore import driver\nA = "pkg.colours"', True),
    ("another group", "import x\nfor p in x.entry_points(group='pkg.sounds'): 0", False),
    ("no entry points", "A = 'pkg.colours'", False),
]


@pytest.mark.parametrize(
    ("code", "is_kept"), [case[1:] for case in READERS], ids=[case[0] for case in READERS]
)
def test_entry_points(tmp_path: Path, code: str, is_kept: bool) -> None:
    points = "[console_scripts]\nred = red.command:main\n\n[pkg.colours]\nred=red.plugin:Red [x]\n"
    tree = {
        "pkg/__init__.py": f"{code}\n",
        "red/__init__.py": "",
        "red/plugin.py": "",
        "red/command.py": "",
        "red-1.dist-info/entry_points.txt": points,
    }
    top = plant(tmp_path, {f"{SITE}/{name}": text for name, text in tree.items()})
    touched = [MAIN, RAN, f"{SITE}/pkg/__init__.py"]
    found = find_added(top, touched)
    expected = {f"{SITE}/red/__init__.py", f"{SITE}/red/plugin.py"} if is_kept else set()
    reason = Reason.PYTHON_ENTRY_POINT
    assert {path for path, reasons in found.items() if reason in reasons} == expected
    assert not expected & find_added(top, touched, without=("python-entry-point",)).keys()


@pytest.mark.parametrize("site", [SITE, "/deps", "/srv/app/vendor"])
def test_a_distribution_is_kept_whole_with_those_that_it_requires(
    tmp_path: Path, site: str
) -> None:
    """Also where ``pip --target`` put it into a folder of any name."""
    tree = {
        "one/__init__.py": "",
        "one/late.py": "",
        "one/data/table.csv": "",
        "one/tests/test_one.py": "",
        "one-1.dist-info/METADATA": "Name: one\nRequires-Dist: two; python_version > '3'\n\n",
        "one-1.dist-info/RECORD": "one/__init__.py,,\none/late.py,,\none/data/table.csv,,\n"
        "one/tests/test_one.py,,\n",
        "two.py": "",
        "two-1.dist-info/METADATA": "Name: two\n",
        "two-1.dist-info/RECORD": "two.py,,\ntwo-1.dist-info/METADATA,,\n",
        "three.py": "",
        "three-1.dist-info/METADATA": "Name: three\n",
        "three-1.dist-info/RECORD": "three.py,,\n",
    }
    top = plant(tmp_path, {f"{site}/{name}": text for name, text in tree.items()})
    found = find_added(top, [MAIN, RAN, f"{site}/one/__init__.py"], without=("own-folder",))
    whole = {path for path, reasons in found.items() if Reason.LANGUAGE_PACKAGE in reasons}
    names = ("one/late.py", "one/data/table.csv", "two.py", "two-1.dist-info/METADATA")
    assert whole == {f"{site}/{name}" for name in names}
    assert f"{site}/three.py" not in found


def test_what_python_runs_at_each_start_is_no_use_of_a_distribution(tmp_path: Path) -> None:
    tree = {
        "distutils-precedence.pth": "import _distutils_hack\n",
        "_distutils_hack/__init__.py": "",
        "tools/__init__.py": "",
        "tools-1.dist-info/METADATA": "Name: tools\n",
        "tools-1.dist-info/RECORD": "distutils-precedence.pth,,\n_distutils_hack/__init__.py,,\n"
        "tools/__init__.py,,\n",
    }
    top = plant(tmp_path, {f"{SITE}/{name}": text for name, text in tree.items()})
    read = ["distutils-precedence.pth", "_distutils_hack/__init__.py", "tools-1.dist-info/METADATA"]
    assert f"{SITE}/tools/__init__.py" not in find_added(
        top, [MAIN, RAN, *(f"{SITE}/{name}" for name in read)]
    )


# summary, code of a touched source, files that it implies by patterns; those of the app begin by /
PATTERNS = [
    ("an f-string", 'import_module(f"pkg.backends._{x}")', "_one _two"),
    ("a percent sign", '__import__("pkg.backends._%s" % x)', "_one _two"),
    ("a sum", '__import__("pkg.backends." + x)', "_one _two plain"),
    ("format", 'import_module("{}.backends.{}".format("pkg", x))', "_one _two plain"),
    ("join", 'import_module(".".join(["pkg", "backends", x]))', "_one _two plain"),
    ("an end", 'import_module(f"pkg.backends._{x}o")', "_two"),
    ("a variable", 'P = "pkg.backends"\nname = P + "._" + x\nimport_module(name)', "_one _two"),
    ("a default", 'import_module(env.get("B", "pkg.backends.plain"))', "plain"),
    ("a function", 'def f():\n    return f"pkg.backends._{x}"\nimport_module(f())', "_one _two"),
    ("relative", 'import_module(f".backends._{x}", package="pkg")', "_one _two"),
    ("a computed package", 'import_module(f"{x}.backends._one")', ""),
    ("nothing constant", "import_module(x)", ""),
    ("a circle", "x = y + x\ny = x + y\nimport_module(x)", ""),
    ("a string", "'import_module(f\"pkg.backends._{x}\")'", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "brought"), [case[1:] for case in PATTERNS], ids=[case[0] for case in PATTERNS]
)
def test_modules_whose_name_is_put_together(tmp_path: Path, code: str, brought: str) -> None:
    names = ("__init__", "_one", "_two", "plain")
    tree = {f"{SITE}/pkg/backends/{name}.py": "" for name in names}
    top = plant(tmp_path, {**tree, f"{SITE}/pkg/__init__.py": "", MAIN: f"{code}\n"})
    touched = [MAIN, RAN, f"{SITE}/pkg/__init__.py"]
    found = find_added(top, touched)
    reason = Reason.PYTHON_NAME_PATTERN
    expected = ["__init__", *brought.split()] if brought else []
    assert {path for path, reasons in found.items() if reason in reasons} == {
        f"{SITE}/pkg/backends/{name}.py" for name in expected
    }
    rules = ("python-name-pattern", "python-string-import")
    without = find_added(top, touched, without=rules)
    assert not [path for path in without if "/backends/" in path]


HERE = "import os\nfrom pathlib import Path\nHERE = os.path.dirname(os.path.abspath(__file__))\n"
# summary, code of the touched /opt/tool/lib/tool/main.py, files that it names
PLACES = [
    ("a file", 'open(os.path.join(HERE, "data", "a.txt"))', "lib/tool/data/a.txt"),
    ("a computed name", 'open(os.path.join(HERE, "data", x + ".txt"))',
     "lib/tool/data/a.txt lib/tool/data/b.txt"),
    ("a folder", 'T = Path(__file__).parent / "data"',
     "lib/tool/data/a.txt lib/tool/data/b.txt lib/tool/data/c.bin"),
    ("above", 'B = Path(__file__).resolve().parents[2]\nopen(B / "share" / "x.cfg")',
     "share/x.cfg"),
    ("a name between", 'open(os.path.join(HERE, "../..", "share", f"{x}.cfg"))', "share/x.cfg"),
    ("a package's", 'files("tool.data").joinpath("c.bin")', "lib/tool/data/c.bin"),
    ("a program", 'run(os.path.join(HERE, "data", "helper"))', ""),
    ("its own folder", "os.listdir(HERE)", ""),
    ("all around it", 'os.listdir(os.path.join(HERE, "..", "tool"))', ""),
    ("what it did not put together", 'open("data/a.txt")', ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "brought"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES]
)
def test_files_whose_path_is_put_together(tmp_path: Path, code: str, brought: str) -> None:
    top = "/opt/tool"
    names = ("a.txt", "b.txt", "c.bin", "helper", "__init__.py")
    tree = {f"{top}/lib/tool/data/{name}": "" for name in names}
    tree |= {f"{top}/share/x.cfg": "", f"{top}/lib/tool/__init__.py": ""}
    source = f"{top}/lib/tool/main.py"
    root = plant(tmp_path, {**tree, source: f"{HERE}{code}\n"})
    (root / f"{top}/lib/tool/data/helper"[1:]).chmod(0o755)
    (root / f"{top}/lib/tool/data/__init__.py"[1:]).unlink()
    touched = [source, RAN]
    without = ("own-folder", "template", "data-set", "static-file")
    found = find_added(root, touched, without=without)
    reason = Reason.PYTHON_DATA
    assert {path for path, reasons in found.items() if reason in reasons} == {
        f"{top}/{name}" for name in brought.split()
    }
    none = (*without, "python-data")
    assert not [each for each in find_added(root, touched, without=none) if "data/" in each]


def test_a_folder_that_is_too_large_is_left_out(tmp_path: Path) -> None:
    source = "/opt/tool/lib/tool/main.py"
    code = f'{HERE}A = os.path.join(HERE, "many")\n'
    top = plant(tmp_path, {source: code, "/opt/tool/lib/tool/__init__.py": ""})
    folder = top / "opt/tool/lib/tool/many"
    folder.mkdir()
    for number in range(2001):
        (folder / str(number)).touch()

    def count() -> int:
        found = find_added(top, [source, RAN], without=("own-folder",))
        return len([path for path in found if "/many/" in path])

    assert count() == 0
    (folder / "0").unlink()
    assert count() == 2000


@pytest.mark.parametrize("is_imported", [False, True])
def test_a_package_that_is_kept_whole_brings_no_builder(tmp_path: Path, is_imported: bool) -> None:
    """Its command for setuptools is kept, and setuptools only if something imports the command."""
    tree = {
        "one/__init__.py": "def f():\n    from . import command\n" if is_imported else "",
        "one/command.py": "import setuptools\nimport other\n",
        "other.py": "",
        "one-1.dist-info/RECORD": "one/__init__.py,,\none/command.py,,\n",
        "setuptools/__init__.py": "",
        "setuptools/late.py": "",
        "setuptools-1.dist-info/RECORD": "setuptools/__init__.py,,\nsetuptools/late.py,,\n",
    }
    top = plant(tmp_path, {f"{SITE}/{name}": text for name, text in tree.items()})
    found = find_added(top, [MAIN, RAN, f"{SITE}/one/__init__.py"])
    assert {f"{SITE}/one/command.py", f"{SITE}/other.py"} <= found.keys()
    assert (f"{SITE}/setuptools/late.py" in found) == is_imported
