"""Rules of the level ``app``: what is the application is kept whole."""

from __future__ import annotations

from slimtrace.builder.closure.rules.app import config_path, language_package, own_folder

RULES = (own_folder.RULE, language_package.RULE, config_path.RULE)
