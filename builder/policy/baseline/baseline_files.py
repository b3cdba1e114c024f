"""The baseline's files of the full image: one function for each part, which names them.

They need not exist there: what is not in the full image cannot be in the slim one.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.baseline_parts import choose_parts, make_baseline_cause
from slimtrace.builder.model import Reason, Seed
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root

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


def add_baseline_files(selection: Selection, context: Context) -> Selection:
    """Add the baseline's files that the full image has."""
    parts = choose_parts(context.options)
    seeds = [
        Seed(path, make_baseline_cause(reason))
        for reason, paths_of in _PARTS.items()
        if reason in parts
        for path in paths_of(context)
        if context.root.resolve(path).exists
    ]
    return replace(selection, seeds=(*selection.seeds, *seeds))


def _release(context: Context) -> Iterable[str]:
    return release_files(context.root)


def _certificates(_: Context) -> Iterable[str]:
    """The bundles in which TLS libraries look, and programs that bring their own."""
    return _BUNDLES


def _time_zones(context: Context) -> Iterator[str]:
    """The system's zone, and those that TZ names (tzset(3)): ``:Asia/Tokyo`` or a path."""
    yield from ("/etc/localtime", "/etc/timezone")
    for run in context.trace.runs:
        zone = run.env.get("TZ", "").removeprefix(":")
        if zone:
            yield os.path.join(_ZONES, zone)
    if context.options.all_zones:
        yield from list_files(context.root, _ZONES)


def _switch(_: Context) -> Iterable[str]:
    return (_SWITCH,)


def _network_names(context: Context) -> Iterable[str]:
    """Names of ports and protocols, where the run resolved names (services(5), protocols(5))."""
    is_resolver = any(
        path in _OF_RESOLVERS or _RESOLVER.match(path) for path in context.trace.paths
    )
    return _NETWORK_NAMES if is_resolver else ()


_PARTS: Mapping[Reason, Callable[[Context], Iterable[str]]] = {
    Reason.RELEASE: _release,
    Reason.CA_CERTIFICATES: _certificates,
    Reason.TIME_ZONE: _time_zones,
    Reason.NSSWITCH: _switch,
    Reason.NETWORK_NAMES: _network_names,
}
