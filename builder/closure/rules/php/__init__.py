"""The files that a PHP app's files imply (php.net: include, autoloading, ini files)."""

from __future__ import annotations

from slimtrace.builder.closure.rules.php import autoload, composer, extension, include

RULES = (
    extension.RULE,
    include.INCLUDE_RULE,
    autoload.RULE,
    include.NAMED_FILE_RULE,
    composer.RULE,
)
