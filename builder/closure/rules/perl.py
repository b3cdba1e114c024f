"""The files that a Perl program's files imply (perlfunc: require; perlmod)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_file, is_source, read_source
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.closure.rule import RuleContext

_SOURCES = (".pm", ".pl", ".al", ".ph", ".PL", ".t", ".psgi", ".cgi")

_NAME = r"[A-Za-z_]\w*(?:(?:::|')\w+)*"
_POD = re.compile(r"^=[A-Za-z].*?(?:^=cut\b[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_END = re.compile(r"^__(?:END|DATA)__$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_LOADS = re.compile(rf"(?<![\w$@%&>:-])(?:use|no|require)\s+(?P<name>{_NAME})")
_FILES = re.compile(r"""(?<![\w$@%&>:-])(?:require|do)\s*\(?\s*(?:"([^"$@\n]+)"|'([^'\n]+)')""")
_PARENTS = re.compile(
    rf"(?<![\w$@%&>:-])(?:use\s+(?:base|parent|aliased|autouse)|extends|with)\b\s*\(?"
    rf"""(?P<names>(?:\s|,|=>|-norequire|qw\s*[(/\[{{<|!]|[)/\]}}>|!]|['"]|{_NAME})+)""",
)
_IF = re.compile(rf"""\buse\s+if\b[^;]*?,\s*['"]?(?P<name>{_NAME})""")
_PACKAGE = re.compile(rf"^\s*package\s+({_NAME})", re.MULTILINE)

_IMPLICIT = {
    r"[%]!|\$!\s*\{": "Errno.pm",
    r"%[+-](?!\w)|\$[+-]\{": "Tie/Hash/NamedCapture.pm",
    r"\bglob\b|<[^<>\n;]*\*": "File/Glob.pm",
    r"->\s*(?:autoflush|binmode|blocking|close|fileno|getlines?|printf?|say)\b": "IO/File.pm",
    r":encoding\(": "PerlIO.pm PerlIO/encoding.pm",
    r"\bopen\b[^;]*\\": "PerlIO.pm PerlIO/scalar.pm",
    r"\\N\{": "_charnames.pm",
    r"\brequire\s+\"File/Spec/\$": "File/Spec/Unix.pm",
}
"""Modules that perl loads itself when code uses such a feature (perlvar, perlfunc, IO::Handle,
PerlIO), and that File::Spec loads on Unix.
"""

_PATHS = re.compile(rb"\0(/[\x21-\x7e]*perl[\x21-\x7e]*)(?=\0)")
"""The directories of @INC that are compiled into perl, as C strings."""

_PERL = re.compile(r"(?:.*/)?(?:perl[\d.]*|libperl\.so[\d.]*)")
_MAX_PERL_BYTES = 16 << 20

_UNICODE = ("/Unicode/UCD.pm", "/utf8_heavy.pl")
"""Modules that read tables of ``unicore/`` by computed names. Perl itself did until 5.30."""


def find_required_files(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules and files that Perl code loads by constant names, in any branch.

    It cannot know computed names. Text in a string or in a trailing comment may add a module that
    is not needed.
    """
    if not is_source(context, path, _SOURCES, "perl"):
        return
    for name in sorted(set(scan_loads(read_source(context, path)))):
        for file in _find_files(context, path, name):
            yield Need(file, Reason.PERL_REQUIRE)
    if path.endswith(_UNICODE):
        for root in _list_roots(context):
            for file in list_files(context.root, f"{root}/unicore"):
                yield Need(file, Reason.PERL_REQUIRE)


def find_module_libraries(context: RuleContext, path: str) -> Iterator[Need]:
    """Find a module's native library, and the parts that AutoSplit moved to other files."""
    if not path.endswith(".pm") or context.root.kind(path) is not Kind.FILE:
        return
    for root, own in _list_roots(context).items():
        if path.startswith(f"{own}/"):
            module = path.removeprefix(f"{own}/").removesuffix(".pm")
            beside = [*_find_auto_files(context, root, module)]
            yield from beside or (
                need
                for other in _list_roots(context)
                for need in _find_auto_files(context, other, module)
            )


def _find_auto_files(context: RuleContext, root: str, module: str) -> Iterator[Need]:
    """Find the files that XSLoader and AutoLoader load for a module in one root."""
    folder = f"{root}/auto/{module}"
    native = f"{folder}/{module.rpartition('/')[2]}.so"
    if is_file(context, native):
        yield Need(native, Reason.PERL_LIBRARY, load=True)
    own = context.root.resolve(folder)
    for name in context.root.listdir(own.path) if own.exists else ():
        if name.endswith((".al", ".ix")):
            yield Need(f"{folder}/{name}", Reason.PERL_LIBRARY)


def scan_loads(source: str) -> Iterator[str]:
    """Find the files that code loads by constant names, relative to @INC."""
    code = _COMMENT.sub("", _POD.sub("", _END.split(source, maxsplit=1)[0]))
    for pattern in (_LOADS, _IF):
        for match in pattern.finditer(code):
            yield _make_file_name(match["name"])
    for match in _FILES.finditer(code):
        yield match[1] or match[2]
    for match in _PARENTS.finditer(code):
        names = re.findall(_NAME, match["names"])
        yield from (_make_file_name(name) for name in names if name not in {"qw", "norequire"})
    for feature, files in _IMPLICIT.items():
        if re.search(feature, code):
            yield from files.split()


def _make_file_name(module: str) -> str:
    return re.sub("::|'", "/", module) + ".pm"


def _find_files(context: RuleContext, path: str, name: str) -> Iterable[str]:
    """Find a file to load: in the roots of @INC, by its path, or beside the script.

    The order of @INC is not known. So all files with the name count, unless one was touched, or one
    is in Debian's perl-base, which comes before perl's other directories.
    """
    if name.startswith(("/", "./", "../")):
        return [name if name.startswith("/") else context.environment.make_absolute(name)]
    files = [
        f"{root}/{name}" for root in _list_roots(context) if is_file(context, f"{root}/{name}")
    ]
    touched = [file for file in files if context.root.resolve(file).path in context.touched]
    beside = f"{path.rpartition('/')[0]}/{name}"
    if any("/perl-base/" in file for file in files):
        files = [file for file in files if not re.search(r"/perl/5\.", file)]
    return touched or files or ([beside] if is_file(context, beside) else [])


@lru_cache(maxsize=4)
def _list_roots(context: RuleContext) -> Mapping[str, str]:
    """List the directories of @INC, each with its own path.

    They come from PERL5LIB, from the paths of touched modules, and from perl itself.
    """
    roots: dict[str, None] = {}
    for folder in context.environment.read_search_path(
        "PERL5LIB"
    ) or context.environment.read_search_path("PERLLIB"):
        roots.update(dict.fromkeys(_list_arch_folders(context, folder)))
    for path in sorted(context.touched):
        if path.endswith(".pm"):
            for package in _PACKAGE.findall(read_source(context, path)):
                if path.endswith(f"/{_make_file_name(package)}"):
                    roots[path.removesuffix(f"/{_make_file_name(package)}")] = None
        elif _PERL.fullmatch(path) and context.root.kind(path) is Kind.FILE:
            compiled = _PATHS.findall(context.root.head(path, _MAX_PERL_BYTES))
            roots.update(dict.fromkeys(name.decode() for name in compiled))
    own = {root: context.root.resolve(root) for root in roots}
    return {root: resolved.path for root, resolved in own.items() if resolved.exists}


def _list_arch_folders(context: RuleContext, folder: str) -> Iterator[str]:
    """List a directory of PERL5LIB and its subdirectories for a version or machine (perlrun)."""
    yield folder
    for name in context.root.listdir(context.root.resolve(folder).path):
        if re.match(r"5\.\d+", name) or "-linux" in name:
            yield from _list_arch_folders(context, f"{folder}/{name}")


RULES = (
    ClosureRule(
        Reason.PERL_REQUIRE,
        find_required_files,
        "what Perl code loads by a constant name, and what perl itself then loads",
    ),
    ClosureRule(
        Reason.PERL_LIBRARY,
        find_module_libraries,
        "the native half of a Perl module, and its split files",
    ),
)
