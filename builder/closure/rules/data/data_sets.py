"""Data beside data: a run loaded one part, month or country of several."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.data.family import (
    Family,
    get_owner,
    make_family_rule,
    take_data,
    walk_files,
)
from slimtrace.builder.model import Keep, Reason
from slimtrace.builder.packages.languages.library_folders import is_library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext

_SUFFIXES = """
    .sql .csv .tsv .psv .json .jsonl .ndjson .geojson .xml .xsd .dtd .yaml .yml .toml .ini .dat
    .data .tab .lst .list .txt .db .sqlite .sqlite3 .parquet .feather .arrow .avro .rds .rda .rdata
    .npy .npz .h5 .hdf5 .pkl .joblib .bin .onnx .shp .mmdb .cdb .lmdb .bib
"""
_FOLDERS = re.compile(
    r"data-?sets?|fixtures?|seeds?|migrations?|sql|schemas?|initdb|docker-entrypoint-initdb\.d"
)
_DIGITS = re.compile(r"\d+")

FAMILY = Family(Reason.DATA_SET, frozenset(_SUFFIXES.split()), _FOLDERS)
_FAMILY_RULE = make_family_rule(FAMILY, "")


def find_data_sets(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find the data files beside one that a run read.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path not in context.read or not FAMILY.has(path) or is_library(path):
        return
    yield from _FAMILY_RULE.find_needs(context, path)
    folder, _, name = path.rpartition("/")
    shape = _get_shape(name)
    if shape == name or get_owner(context, path) is None:
        return
    done = context.get_done(FAMILY.reason)
    if (folder, shape) not in done:
        done.add((folder, shape))
        numbered = _index_shapes(context, folder).get(shape, ())
        owner = get_owner(context, path)
        files = (file for file in numbered if get_owner(context, file) is owner)
        yield from take_data(context, FAMILY.reason, folder, files)


def _get_shape(name: str) -> str:
    return _DIGITS.sub("#", name)


@lru_cache(maxsize=256)
def _index_shapes(context: RuleContext, folder: str) -> dict[str, list[str]]:
    """Name with each number as # → the files directly in a folder that have it."""
    found: dict[str, list[str]] = {}
    for file in walk_files(context, folder, is_deep=False):
        found.setdefault(_get_shape(file.rpartition("/")[2]), []).append(file)
    return found


RULE = ClosureRule(
    Reason.DATA_SET,
    find_data_sets,
    "the other data files (SQL, CSV, JSON, models and so on) in a folder such as `migrations` or "
    "`datasets` from which a run read one; elsewhere those with the same suffix in the same folder "
    "or, if a package of the system owns them, those whose names differ in numbers alone",
    Keep.APP,
)
