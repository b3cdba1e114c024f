"""Families of data at the level ``app``: one module for each kind."""

from __future__ import annotations

from slimtrace.builder.closure.rules.data import (
    charset_tables,
    data_sets,
    dictionaries,
    error_texts,
    fonts,
    message_catalogs,
    mime_tables,
    static_files,
    templates,
    themes,
    time_zones,
)

RULES = (
    templates.RULE,
    message_catalogs.RULE,
    time_zones.RULE,
    charset_tables.RULE,
    static_files.RULE,
    themes.RULE,
    error_texts.RULE,
    data_sets.RULE,
    dictionaries.RULE,
    fonts.RULE,
    mime_tables.RULE,
)
