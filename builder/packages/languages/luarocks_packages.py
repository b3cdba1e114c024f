"""Rocks that LuaRocks installed: a folder with a manifest for each, modules in Lua's folders."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

_MODULE = re.compile(r"(?P<tree>.*)/(?:share|lib|lib64)/lua/(?P<version>5\.\d)/.+")
_TOKEN = re.compile(r"""\[?["']([^"'\n]*)["']\]?|([A-Za-z_]\w*)|([{}=])""")
_DEPENDENCIES = re.compile(r"\bdependencies\s*=\s*\{([^}]*)\}")
_NAME = re.compile(r"""["']\s*(?:[\w-]+/)?([\w.-]+)""")


class LuaRocksPackages:
    """The rocks of one full image; each tree is read once."""

    kind = "luarocks"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._tree = lru_cache(maxsize=None)(self._read_tree)

    def owners(self, path: str) -> Iterator[Package]:
        """The rock whose manifest lists the file."""
        match = _MODULE.fullmatch(path)
        if match and (found := self._tree(match["tree"], match["version"])[0].get(path)):
            yield found

    def required(self, package: Package) -> Iterator[Package]:
        """The rocks of the same tree that its rockspec requires."""
        tree, _, version = package.records[0].partition("/lib/luarocks/rocks-")
        by_name = self._tree(tree, version.partition("/")[0])[1]
        yield from (by_name[name] for name in package.requires if name in by_name)

    def _read_tree(
        self, tree: str, version: str
    ) -> tuple[Mapping[str, Package], Mapping[str, Package]]:
        """The rocks of a tree by file, and by name."""
        by_file: dict[str, Package] = {}
        by_name: dict[str, Package] = {}
        top = f"{tree}/lib/luarocks/rocks-{version}"
        for name in self._root.listdir(self._root.resolve(top).path):
            for release in self._root.listdir(self._root.resolve(f"{top}/{name}").path):
                rock = f"{top}/{name}/{release}"
                if (package := self._read_rock(tree, version, name, rock)) is not None:
                    by_name[name] = package
                    by_file.update(dict.fromkeys(package.files, package))
        return by_file, by_name

    def _read_rock(self, tree: str, version: str, name: str, rock: str) -> Package | None:
        record = f"{rock}/rock_manifest"
        listed = parse_manifest(read_text(self._root, record))
        if not listed:
            return None
        release = rock.rpartition("/")[2]
        spec = read_text(self._root, f"{rock}/{name}-{release}.rockspec")
        requires = [each for text in _DEPENDENCIES.findall(spec) for each in _NAME.findall(text)]
        folders = {"lua": f"{tree}/share/lua/{version}", "lib": f"{tree}/lib/lua/{version}"}
        files = [
            f"{folders.get(first, f'{rock}/{first}')}/{rest}" if rest else f"{rock}/{first}"
            for first, _, rest in (file.partition("/") for file in listed)
            if first not in {"doc", "bin"}
        ]
        return Package(
            self.kind,
            name,
            release,
            source=name,
            files=(record, *files),
            records=(record,),
            requires=tuple(each for each in requires if each != "lua"),
        )


def parse_manifest(text: str) -> list[str]:
    """Parse a rock_manifest: a Lua table of tables, whose leaves are files with their MD5."""
    files: list[str] = []
    above: list[str] = []
    key, is_value = "", False
    for quoted, word, sign in _TOKEN.findall(text):
        if sign == "=":
            is_value = True
        elif sign == "{":
            above.append(key)
            is_value = False
        elif sign == "}":
            above[-1:] = []
        elif is_value:
            files.append("/".join([*above[1:], key]))
            is_value = False
        else:
            key = quoted or word
    return files
