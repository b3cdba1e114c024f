"""The baseline's files of the full image: one function for each part, which names them.

They need not exist there: what is not in the full image cannot be in the slim one.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.closure import Seed
from slimtrace.builder.model import Reason
from slimtrace.builder.root.walk import files_below

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_ENDING = "-release"


def release_files(root: Root) -> list[str]:
    """Paths that may lead to one; not all exist.

    Scanners know Debian by ``debian_version`` alone, others by ``alpine-release``,
    ``rocky-release``, ``lsb-release`` and so on, or by os-release in either place.
    """
    named = [f"/etc/{name}" for name in root.listdir("/etc") if name.endswith(_ENDING)]
    return [*named, "/usr/lib/os-release", "/etc/debian_version"]


_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_ZONES = "/usr/share/zoneinfo"
_SWITCH = "/etc/nsswitch.conf"
_NETWORK_NAMES = ("/etc/services", "/etc/protocols")
_RESOLVER = re.compile(r".*/lib(nss_\w+|resolv)[-.][^/]*so[^/]*")
_OF_RESOLVERS = frozenset(
    {_SWITCH, "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", *_NETWORK_NAMES}
)


class BaselineContext(NamedTuple):
    """What the parts are found for.

    :ivar all_zones: whether all time zones are wanted.
    """

    trace: Trace
    root: Root
    all_zones: bool


def baseline_files(case: BaselineContext, parts: Collection[Reason]) -> list[Seed]:
    """The files of these parts that the full image has."""
    return [
        Seed(path, reason)
        for reason, paths_of in _PARTS.items()
        if reason in parts
        for path in paths_of(case)
        if case.root.resolve(path).exists
    ]


def _release(case: BaselineContext) -> Iterable[str]:
    return release_files(case.root)


def _certificates(_: BaselineContext) -> Iterable[str]:
    """The bundles in which TLS libraries look, and programs that bring their own."""
    return _BUNDLES


def _time_zones(case: BaselineContext) -> Iterator[str]:
    """The system's zone, and those that TZ names (tzset(3)): ``:Asia/Tokyo`` or a path."""
    yield from ("/etc/localtime", "/etc/timezone")
    for run in case.trace.runs:
        zone = run.env.get("TZ", "").removeprefix(":")
        if zone:
            yield os.path.join(_ZONES, zone)
    if case.all_zones:
        yield from files_below(case.root, _ZONES)


def _switch(_: BaselineContext) -> Iterable[str]:
    return (_SWITCH,)


def _network_names(case: BaselineContext) -> Iterable[str]:
    """Names of ports and protocols, where the run resolved names (services(5), protocols(5))."""
    is_resolver = any(path in _OF_RESOLVERS or _RESOLVER.match(path) for path in case.trace.paths)
    return _NETWORK_NAMES if is_resolver else ()


_PARTS: Mapping[Reason, Callable[[BaselineContext], Iterable[str]]] = {
    Reason.RELEASE: _release,
    Reason.CA_CERTIFICATES: _certificates,
    Reason.TIME_ZONE: _time_zones,
    Reason.NSSWITCH: _switch,
    Reason.NETWORK_NAMES: _network_names,
}
