"""Archives as the docker versions of all times save them."""

from __future__ import annotations

import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from layouts import OCI, Layout, entry, paths, sha256, tar

from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache_folder")

LAYER = tar(entry("a"))
INDEX = f"{OCI}.index.v1+json"
OWN, OTHER = ("arm64", "amd64") if os.uname().machine == "aarch64" else ("amd64", "arm64")
ATTESTED = "vnd.docker.reference.type"


def archive(folder: Path, form: str) -> str:
    """Save one image; ``form`` is what its ``index.json`` lists."""
    layout = Layout(folder / form)
    image = layout.image([LAYER], OWN)
    image["platform"] = {"os": "linux", "architecture": OWN}
    about = layout.image([LAYER], annotations={ATTESTED: "attestation-manifest"})
    about |= {"annotations": {ATTESTED: "attestation-manifest"}}
    about["platform"] = {"os": "unknown", "architecture": "unknown"}
    absent = {**image, "digest": sha256(b"not fetched")}
    absent["platform"] = {"os": "linux", "architecture": OTHER}
    listed: list[dict[str, Any]] | None = [image]
    match form:
        case "null":
            listed = None
        case "empty":
            listed = []
        case "attested":
            listed = [about, image]
        case "nested":
            inner = [absent, image, about]
            listed = [layout.document({"schemaVersion": 2, "manifests": inner}, INDEX)]
        case "two names":
            name = "org.opencontainers.image.ref.name"
            listed = [{**image, "annotations": {name: tag}} for tag in ("1", "2")]
    layout.index({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed})
    manifest = json.loads((layout.folder / blob(image["digest"])).read_text())
    saved = {
        "Config": blob(manifest["config"]["digest"]),
        "RepoTags": ["app:1"],
        "Layers": [blob(layer["digest"]) for layer in manifest["layers"]],
    }
    (layout.folder / "manifest.json").write_text(json.dumps([saved]))
    with tarfile.open(f"{layout.folder}.tar", "w") as file:
        file.add(layout.folder, ".")
    return f"{layout.folder}.tar"


def blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


@pytest.mark.parametrize("form", ["flat", "attested", "nested", "two names", "null", "empty"])
@pytest.mark.parametrize("prefix", ["", "docker-archive:"])
def test_an_archive(tmp_path: Path, form: str, prefix: str) -> None:
    assert paths(open_image(f"{prefix}{archive(tmp_path, form)}").index) == ["a"]


@pytest.mark.parametrize("form", ["null", "empty"])
def test_an_index_of_nothing_is_no_layout(tmp_path: Path, form: str) -> None:
    path = archive(tmp_path, form)
    with pytest.raises(SlimtraceError) as caught:
        open_image(f"oci-archive:{path}")
    assert caught.value.message == f"cannot read {path}: its index.json lists no image"
    assert caught.value.hint == f"read it as docker-archive:{path}"
