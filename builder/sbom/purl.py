"""Package URLs (package-url/purl-spec), the names that vulnerability databases use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packageurl import PackageURL

from slimtrace.tracer.text import replace_surrogates

if TYPE_CHECKING:
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.sbom.bom import Distribution

_SYSTEM_KINDS = {"deb", "apk", "rpm"}


def make_package_purl(package: Package, distribution: Distribution | None) -> str:
    """The package's URL.

    That of an OS package names the distribution (``distro``) and the source package (``upstream``,
    as syft writes it), because advisories name the source package.
    """
    package = replace(
        package,
        name=replace_surrogates(package.name),
        version=replace_surrogates(package.version),
        architecture=replace_surrogates(package.architecture),
        source=replace_surrogates(package.source),
        source_version=replace_surrogates(package.source_version),
    )
    if package.kind in _SYSTEM_KINDS:
        return _make_system_purl(package, distribution)
    namespace, _, name = package.name.rpartition("/")  # @scope/name, of npm
    if not name:
        namespace, name = "", package.name
    qualifiers = {"platform": package.architecture} if package.architecture else {}
    version = package.version or None
    return PackageURL(package.kind, namespace or None, name, version, qualifiers).to_string()


def _make_system_purl(package: Package, distribution: Distribution | None) -> str:
    version = package.version
    qualifiers = {"arch": package.architecture}
    if package.kind == "rpm" and ":" in version:
        qualifiers["epoch"], _, version = version.partition(":")
    if distribution is not None:
        qualifiers["distro"] = "-".join(filter(None, (distribution.id, distribution.version)))
    if package.source not in {"", package.name}:
        same = package.source_version == package.version
        source = package.source if same else f"{package.source}@{package.source_version}"
        qualifiers["upstream"] = source
    qualifiers = {key: value for key, value in qualifiers.items() if value}
    namespace = distribution.id if distribution else None
    return PackageURL(package.kind, namespace, package.name, version, qualifiers).to_string()


def make_image_purl(name: str, digest: str, architecture: str, repository: str, tag: str) -> str:
    """The URL of an image by its manifest's digest.

    :param name: the last component of ``repository``, which includes the registry and may be "".
    """
    qualifiers = {"arch": architecture, "repository_url": repository, "tag": tag}
    qualifiers = {key: value for key, value in qualifiers.items() if value}
    return PackageURL("oci", None, name.lower(), digest, qualifiers).to_string()
