"""Attaches SBOMs to an image in a registry (image-spec manifest.md, "artifactType", "subject")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.images.documents import INDEX_TYPE, MANIFEST_TYPE, compute_digest, to_json
from slimtrace.builder.images.write.oci import make_index
from slimtrace.builder.images.write.registry import Repository
from slimtrace.builder.sbom.subject import find_subject_name
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.model import Image
    from slimtrace.builder.sbom.sbom_files import Sbom

_EMPTY = b"{}"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_ANNOTATION = "org.opencontainers.image."


def attach(image: Image, reference: ImageReference, sboms: Iterable[Sbom]) -> list[Sbom]:
    """Push the SBOMs as artifacts that refer to the image, and add their digests.

    A registry without a referrers API does not answer with ``OCI-Subject``. Then the referrers
    are listed in the index with the tag ``sha256-HEX`` (distribution-spec, "Referrers Tag
    Schema"). If another client changes that index at the same time, its change may be lost.

    :param reference: ``docker://NAME``, to which the image was pushed.
    :raises SlimtraceError: the registry refuses.
    """
    failure = f"cannot attach the SBOM to {reference}"
    repository = Repository(find_subject_name(reference).repository, failure)
    attached = []
    for sbom in sboms:
        manifest = make_artifact(image, sbom)
        for blob in (_EMPTY, sbom.data):
            repository.put_blob(blob)
        name = compute_digest(manifest)
        answer = repository.put_manifest(name, MANIFEST_TYPE, manifest)
        if "OCI-Subject" not in answer:
            _add_to_index(repository, image, _make_referrer(manifest), failure)
        attached.append(sbom._replace(attached=name))
    return attached


def make_artifact(image: Image, sbom: Sbom) -> bytes:
    """The artifact's manifest; its only layer is the document."""
    kind = sbom.format.media_type
    title = {f"{_ANNOTATION}title": f"sbom{sbom.format.suffix}"}
    created = orjson.loads(image.config)["created"]
    return to_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": kind,
            "config": _make_descriptor(_EMPTY_TYPE, _EMPTY),
            "layers": [{**_make_descriptor(kind, sbom.data), "annotations": title}],
            "subject": _make_descriptor(MANIFEST_TYPE, image.manifest),
            "annotations": {f"{_ANNOTATION}created": created},
        }
    )


def _make_descriptor(kind: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": compute_digest(data), "size": len(data)}


def _make_referrer(manifest: bytes) -> dict[str, Any]:
    """The descriptor for a list of referrers, with the artifact's type and annotations."""
    document = orjson.loads(manifest)
    copied = {key: document[key] for key in ("artifactType", "annotations")}
    return {**_make_descriptor(MANIFEST_TYPE, manifest), **copied}


def _add_to_index(
    repository: Repository, image: Image, fresh: dict[str, Any], failure: str
) -> None:
    tag = image.digest.replace(":", "-")
    found = repository.get_manifest(tag, INDEX_TYPE)
    try:
        document = make_index([]) if found is None else orjson.loads(found)
        listed = list(document.get("manifests") or ())
        known = {each["digest"] for each in listed}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SlimtraceError(f"{failure}: the index {tag} is damaged") from error
    if fresh["digest"] not in known:
        data = to_json({**document, "manifests": [*listed, fresh]})
        repository.put_manifest(tag, INDEX_TYPE, data)
