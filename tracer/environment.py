"""Environment variables: those that a trace records, and limits that users set.

A trace records those on a list, never all: environments carry secrets. The list has variables that
are known to be harmless and that change how an app runs. The user adds others at the build.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = frozenset(
    """
    PATH LANG LANGUAGE TZ PORT LD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR
    PYTHONPATH PYTHONHOME PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONOPTIMIZE PYTHONUTF8
    PYTHONIOENCODING PYTHONHASHSEED PYTHONWARNINGS PYTHONNOUSERSITE PYTHONSAFEPATH
    VIRTUAL_ENV FLASK_APP DJANGO_SETTINGS_MODULE WEB_CONCURRENCY
    NODE_ENV NODE_PATH JAVA_HOME CLASSPATH JAVA_VERSION
    GOMAXPROCS GOGC GODEBUG GEM_HOME GEM_PATH RUBYLIB BUNDLE_GEMFILE BUNDLE_PATH RAILS_ENV
    RACK_ENV PERL5LIB PERLLIB PHPRC PHP_INI_SCAN_DIR TERMINFO FONTCONFIG_PATH FONTCONFIG_FILE
    R_HOME R_LIBS R_LIBS_SITE R_LIBS_USER R_DEFAULT_PACKAGES RENV_PATHS_LIBRARY ERL_LIBS MIX_ENV
    GCONV_PATH LOCPATH MALLOC_ARENA_MAX OMP_NUM_THREADS
    """.split()  # noqa: SIM905
)
_PREFIXES = ("LC_",)
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH in a container whose image sets none, as container engines define it."""


def read_limit(name: str, default: int) -> int:
    """Read a whole number from an environment variable.

    :raises UsageError: it is not one.
    """
    value = os.environ.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        raise UsageError(f"cannot use {name}={value}: it is not a whole number")
    return int(value)


def select_recorded(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables on the list, sorted by name."""
    return {
        name: environment[name]
        for name in sorted(environment)
        if name in _NAMES or name.startswith(_PREFIXES)
    }
