"""The words of the builder: what a selection, a layer and an image are."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.tracer.trace.trace import Fingerprint


class Kind(StrEnum):
    """What an entry is, by the tar typeflag's meaning (POSIX ustar)."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "fifo"


class Reason(StrEnum):
    """Why an entry is in the image, the strongest first. Users read these words in ``--json``.

    Asked for; needed to load; implied by a rule (builder/closure/rules), or expected of any image
    (builder/baseline), which can be switched off by this name; on the way.
    """

    TOUCHED = "touched"
    INCLUDED = "included"
    HEALED = "healed"
    JLINK = "jlink"

    SCRIPT_INTERPRETER = "script-interpreter"
    ELF_INTERPRETER = "elf-interpreter"
    NEEDED_LIBRARY = "needed-library"
    BASELINE_LIBRARY = "baseline-library"

    DLOPENED_LIBRARY = "dlopened-library"
    NSS_MODULE = "nss-module"
    LOCALE = "locale"
    GCONV = "gconv"
    TERMINFO = "terminfo"
    CERTIFICATE = "certificate"
    LISTED = "listed"
    PYTHON_IMPORT = "python-import"
    PYTHON_STRING_IMPORT = "python-string-import"
    PYTHON_TWIN = "python-twin"
    PYTHON_METADATA = "python-metadata"
    NODE_PACKAGE_JSON = "node-package-json"
    NODE_REQUIRE = "node-require"
    JAVA_CLASS_PATH = "java-class-path"
    JAVA_LIBRARY = "java-library"
    JAVA_SECURITY = "java-security"
    JAVA_TIME_ZONES = "java-time-zones"
    RUBY_GEMSPEC = "ruby-gemspec"
    PERL_REQUIRE = "perl-require"
    PERL_LIBRARY = "perl-library"
    PACKAGE = "package"

    RELEASE = "release"
    ACCOUNTS = "accounts"
    NONROOT_HOME = "nonroot-home"
    NSSWITCH = "nsswitch"
    CA_CERTIFICATES = "ca-certificates"
    TIME_ZONE = "time-zone"
    NETWORK_NAMES = "network-names"

    PACKAGE_METADATA = "package-metadata"
    SBOM = "sbom"
    SYMLINK = "symlink"
    PARENT_OF_CREATED = "parent-of-created"
    DIRECTORY = "directory"
    SKELETON = "skeleton"
    DEBUG = "debug"


class Keep(StrEnum):
    """How much is kept beside what was touched; each level holds the one before it."""

    TOUCHED = "touched"
    """What was touched, and what that needs to load."""
    CLOSURE = "closure"
    """And what the touched files imply, by rules."""
    PACKAGE = "package"
    """And the rest of every package that something was touched of."""


class Zones(StrEnum):
    """Which time zones an image has beside those that were touched."""

    IN_USE = "in-use"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class KeptPath:
    """Another file of the image needs, implies or leads to this one.

    :ivar path: its own path.
    """

    path: str


@dataclass(frozen=True, slots=True)
class ProcessImages:
    """Processes of the runs used the file.

    :ivar ids: of the process images, as the trace has them.
    """

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BuildPart:
    """The build itself adds the file.

    :ivar name: an option as the user wrote it, a part of the baseline, or a step.
    """

    name: str


Because = KeptPath | ProcessImages | BuildPart


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an entry is in the image: by which rule, and because of what."""

    reason: Reason
    because: Because


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the image, with the metadata it had in the full image.

    :ivar path: its own absolute path (every symlink above it resolved), ``/`` for the root.
    :ivar mode: permission bits with setuid, setgid and sticky (``st_mode & 07777``).
    :ivar size: bytes; 0 for all but files.
    :ivar mtime_ns: nanoseconds since the epoch.
    :ivar target: where a symlink points, as written.
    :ivar source: the file on this machine that holds the bytes (a file put aside, or the file
        in the full root); None for what has none.
    :ivar content: the bytes of a file that no file holds, because the build made it.
    :ivar xattrs: extended attributes, sorted by name; ``security.capability`` among them.
    :ivar hardlink: identifies the inode (device, number) where it has more than one link.
    :ivar causes: why it is there, the strongest first; one for each reason.
    """

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    target: str = ""
    source: str | None = None
    content: bytes | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()
    hardlink: tuple[int, int] | None = None
    causes: tuple[Cause, ...] = ()

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The rules that keep it, the strongest first."""
        return tuple(cause.reason for cause in self.causes)


@dataclass(frozen=True, slots=True)
class Seed:
    """A path that the build starts from, as it was looked up; the closure adds what it needs.

    :ivar follow: whether the target of a symlink is kept too.
    :ivar load: whether it was, or may be, loaded as a program or library.
    :ivar execute: whether it was, or may be, executed: only then does a ``#!`` line count.
    :ivar override: kept even if images do not contain such paths (``--include``).
    :ivar is_listed: whether it is a directory whose names were read.
    :ivar fingerprint: of a directory that can have changed since: how the run saw it.
    """

    path: str
    cause: Cause
    follow: bool = True
    load: bool = False
    execute: bool = False
    override: bool = False
    is_listed: bool = False
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A path that is not in the image.

    :ivar why: the reason, as users read it.
    :ivar causes: why it was in the selection before; none if it never was.
    """

    path: str
    why: str
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes into the slim image; each step of the build makes a new one from the last.

    :ivar entries: by path.
    :ivar dropped: what was left out on purpose.
    :ivar warnings: for the user, in the order of the steps.
    :ivar seeds: where the closure starts.
    """

    entries: Mapping[str, Entry]
    dropped: tuple[Dropped, ...] = ()
    warnings: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer blob that lies on disk: a gzip-compressed tar.

    :ivar blob: path of the compressed file; whoever asked for it removes it.
    :ivar digest: ``sha256:…`` of the compressed bytes; ``diff_id`` of the tar.
    :ivar size: compressed bytes; ``uncompressed`` those of the tar.
    """

    blob: str
    digest: str
    diff_id: str
    size: int
    uncompressed: int


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What the image runs, in the OCI image configuration's terms (image-spec config.md).

    :ivar created: RFC 3339 in UTC.
    :ivar architecture: a GOARCH name, as ``amd64``.
    :ivar user: ``uid:gid``.
    :ivar exposed_ports: as ``8080/tcp``; ``volumes`` are paths.
    :ivar variant: of the architecture, as ``v8``.
    :ivar comment: of its one step of history.
    :ivar healthcheck: as Docker and podman keep it beside OCI's fields.
    """

    created: str
    architecture: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    working_dir: str
    user: str
    env: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    healthcheck: Mapping[str, Any] | None = None
    variant: str | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """A whole image: its layer and the exact bytes of its configuration and manifest."""

    layer: Layer
    config: bytes
    config_digest: str
    manifest: bytes
    digest: str
