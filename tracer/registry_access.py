"""How this process reaches registries: the options that every command with an image has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from slimtrace.tracer.errors import UsageError

AUTH_FILE_VARIABLE = "REGISTRY_AUTH_FILE"


class TlsVerification(StrEnum):
    """The values of ``--tls-verify``, which podman and skopeo take too."""

    TRUE = "true"
    FALSE = "false"


@dataclass(slots=True)
class _RegistryAccess:
    """The choices, as ``console.verbosity`` has those of ``-q`` and ``-v``.

    :ivar verifies_tls: None where registries.conf(5) decides.
    """

    verifies_tls: bool | None = None


registry_access = _RegistryAccess()


def choose_registry_access(tls_verify: TlsVerification | None, authfile: str | None) -> None:
    """Use the options of this command; None leaves what was chosen before.

    skopeo, and the programs that it starts, read the file's name from a variable.

    :raises UsageError: the file cannot be read.
    """
    if tls_verify is not None:
        registry_access.verifies_tls = tls_verify is TlsVerification.TRUE
    if authfile is None:
        return
    if not os.access(authfile, os.R_OK):
        cause = "Permission denied" if os.path.exists(authfile) else "No such file or directory"
        raise UsageError(
            f"cannot use --authfile {authfile}: {cause}",
            f"make it with: skopeo login --authfile {authfile} REGISTRY",
        )
    os.environ[AUTH_FILE_VARIABLE] = os.path.abspath(authfile)
