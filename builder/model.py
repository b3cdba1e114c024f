"""The builder's data types: entries, selections, layers and images."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.tracer.caution import Caution
    from slimtrace.tracer.trace.trace import Fingerprint


class Kind(StrEnum):
    """The type of an entry, as tar's typeflag distinguishes them (POSIX ustar)."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "fifo"


class Reason(StrEnum):
    """Why an entry is in the image, the strongest first. ``--json`` shows these names.

    The groups are: requested; needed to load; implied by a rule (builder/closure/rules); part of
    the baseline (builder/policy/baseline); added by the build, or on the path to another entry.
    Users can disable a rule and a part of the baseline by its name.
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
    PYTHON_DEFERRED_IMPORT = "python-deferred-import"
    PYTHON_NAME_PATTERN = "python-name-pattern"
    PYTHON_DATA = "python-data"
    PYTHON_NATIVE_HALF = "python-native-half"
    PYTHON_ENTRY_POINT = "python-entry-point"
    PYTHON_CODEC = "python-codec"
    PYTHON_TWIN = "python-twin"
    PYTHON_METADATA = "python-metadata"
    NODE_PACKAGE_JSON = "node-package-json"
    NODE_REQUIRE = "node-require"
    NODE_NAMED_FILE = "node-named-file"
    PHP_EXTENSION = "php-extension"
    PHP_INCLUDE = "php-include"
    PHP_AUTOLOAD = "php-autoload"
    PHP_NAMED_FILE = "php-named-file"
    PHP_COMPOSER = "php-composer"
    LUA_MODULE_NAME = "lua-module-name"
    TCL_PACKAGE = "tcl-package"
    TCL_PACKAGE_FOLDER = "tcl-package-folder"
    JAVA_CLASS_PATH = "java-class-path"
    JAVA_LIBRARY = "java-library"
    JAVA_SECURITY = "java-security"
    JAVA_TIME_ZONES = "java-time-zones"
    RUBY_GEMSPEC = "ruby-gemspec"
    RUBY_REQUIRE = "ruby-require"
    RUBY_PATH = "ruby-path"
    RUBY_ENCODING = "ruby-encoding"
    PERL_REQUIRE = "perl-require"
    PERL_LIBRARY = "perl-library"
    JAVA_NATIVE = "java-native"
    LUA_REQUIRE = "lua-require"
    R_LIBRARY = "r-library"
    R_RUNTIME = "r-runtime"
    ERLANG_RUNTIME = "erlang-runtime"
    SCRIPT_COMMAND = "script-command"
    CONFIG_PATH = "config-path"
    PERL_PLUGIN = "perl-plugin"
    PERL_PATH = "perl-path"
    OWN_FOLDER = "own-folder"
    LANGUAGE_PACKAGE = "language-package"
    TEMPLATE = "template"
    MESSAGE_CATALOG = "message-catalog"
    ZONEINFO = "zoneinfo"
    CHARSET_TABLE = "charset-table"
    STATIC_FILE = "static-file"
    THEME = "theme"
    ERROR_TEXT = "error-text"
    DATA_SET = "data-set"
    DICTIONARY = "dictionary"
    FONT = "font"
    MIME_TABLE = "mime-table"
    PLUGIN_SIBLING = "plugin-sibling"
    PLUGIN_FOLDER = "plugin-folder"
    PLUGIN_REGISTRY = "plugin-registry"
    PLUGIN_DATA = "plugin-data"
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
    VOLUME = "volume"
    DIRECTORY = "directory"
    SKELETON = "skeleton"
    DEBUG = "debug"


class Keep(StrEnum):
    """How much is kept. Each level includes the one before it."""

    TOUCHED = "touched"
    """The touched files, and what they need to load."""
    CLOSURE = "closure"
    """Also files that these imply, by rules."""
    APP = "app"
    """Also the whole application: its own folders, and the language packages that it uses."""
    PACKAGE = "package"
    """Also all files of each package of which a file was touched."""


class Zones(StrEnum):
    """Which time zones an image has, in addition to touched ones."""

    IN_USE = "in-use"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class KeptPath:
    """Another file of the image needs, implies or leads to this one.

    :ivar path: the own path of the other file.
    """

    path: str


@dataclass(frozen=True, slots=True)
class ProcessImages:
    """Processes of the runs used the file.

    :ivar ids: ids of the process images in the trace.
    """

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BuildPart:
    """The build itself adds the file.

    :ivar name: an option as written by the user, a part of the baseline, or a step.
    """

    name: str


Because = KeptPath | ProcessImages | BuildPart


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an entry is in the image: by which rule, and because of which path or process."""

    reason: Reason
    because: Because


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or link of the image, with its metadata in the full image.

    :ivar path: its own absolute path (every symlink above it resolved), ``/`` for the root.
    :ivar mode: permission bits with setuid, setgid and sticky (``st_mode & 07777``).
    :ivar size: bytes; 0 for all but files.
    :ivar mtime_ns: nanoseconds since the epoch.
    :ivar target: the target of a symlink, as written.
    :ivar source: the file on this machine with the content (a saved copy, or the file in the full
        root); None if there is none.
    :ivar content: the content of a file that the build made.
    :ivar xattrs: extended attributes, sorted by name; with ``security.capability``.
    :ivar hardlink: the inode (device, number), if it has more than one link.
    :ivar causes: why it is in the image, the strongest first; one for each reason.
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
    """A path from which the build starts, before symlinks are resolved.

    The closure adds what it needs.

    :ivar follow: whether the target of a symlink is kept too.
    :ivar load: whether it was, or may be, loaded as a program or library.
    :ivar execute: whether it was, or may be, executed: only then does a ``#!`` line count.
    :ivar override: kept even if images do not contain such paths (``--include``).
    :ivar is_listed: whether it is a directory that a run listed.
    :ivar fingerprint: the metadata that the run saw, for a directory that may have changed since.
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

    :ivar why: the reason, in a form for users.
    :ivar causes: why it was in the selection before; empty if it never was.
    """

    path: str
    why: str
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The content of the slim image. Each step of the build makes a new selection.

    :ivar entries: the image's entries by path.
    :ivar dropped: paths that were left out on purpose.
    :ivar warnings: warnings for the user, in the order of the steps.
    :ivar notes: facts that the user should know although nothing is wrong.
    :ivar seeds: the paths from which the closure starts.
    """

    entries: Mapping[str, Entry]
    dropped: tuple[Dropped, ...] = ()
    warnings: tuple[Caution, ...] = ()
    seeds: tuple[Seed, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer blob on disk: a gzip-compressed tar.

    :ivar blob: path of the compressed file; the caller of ``write_layer`` removes it.
    :ivar digest: ``sha256:…`` of the compressed file.
    :ivar diff_id: ``sha256:…`` of the tar.
    :ivar size: bytes of the compressed file.
    :ivar uncompressed: bytes of the tar.
    """

    blob: str
    digest: str
    diff_id: str
    size: int
    uncompressed: int


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The configuration of the image, in terms of the OCI image-spec (config.md).

    :ivar created: RFC 3339 in UTC.
    :ivar architecture: a GOARCH name, as ``amd64``.
    :ivar user: ``uid:gid``.
    :ivar exposed_ports: as ``8080/tcp``.
    :ivar volumes: paths.
    :ivar variant: variant of the architecture, as ``v8``.
    :ivar comment: the comment of its only history entry.
    :ivar healthcheck: Docker's field, which is not in the OCI specification.
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
    """An image: its layer, and the exact bytes of its configuration and manifest."""

    layer: Layer
    config: bytes
    config_digest: str
    manifest: bytes
    digest: str
