"""Arbitrary documents: each gives an image or one clear error."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from slimtrace.builder.images.read import document_parser
from slimtrace.builder.images.read.platform_choice import Platform, choose_best
from slimtrace.tracer.errors import SlimtraceError

HEX = "0" * 64
strings = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *("application/vnd.oci.image.manifest.v1+json", f"sha256:{HEX}", "linux", "amd64"),
            *("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.layer.v1.tar"),
            *("application/vnd.oci.image.config.v1+json", document_parser.DOCKER_LIST),
        ]
    ),
)
KEYS = (
    *("schemaVersion", "mediaType", "manifests", "config", "layers", "digest", "size", "platform"),
    *("os", "architecture", "variant", "annotations", "artifactType", "rootfs", "diff_ids"),
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 1 << 63), st.floats(), strings),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=8)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=10), st.none() | strings)
def test_any_document(document: dict[str, Any], media_type: str | None) -> None:
    parsed = document_parser.parse_document(orjson.dumps(document), "x")
    for read in (
        lambda: document_parser.is_index(parsed, media_type, "x"),
        lambda: document_parser.parse_index(parsed, "x"),
        lambda: document_parser.parse_manifest(parsed, "x"),
        lambda: document_parser.parse_diff_ids(parsed, 1, "x"),
    ):
        try:
            read()
        except SlimtraceError:
            continue


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=100))
def test_any_bytes(data: bytes) -> None:
    try:
        assert isinstance(document_parser.parse_document(data, "x"), dict)
    except SlimtraceError:
        return


def test_the_best_platform() -> None:
    arm64, v8, v9 = (Platform("linux", "arm64", variant) for variant in ("", "v8", "v9"))
    other = Platform("windows", "arm64")
    assert choose_best(arm64, [None, other, v8]) == 2
    assert choose_best(v8, [v9, arm64]) == 1
    assert choose_best(arm64, [v9, v8]) == 1
    assert choose_best(v8, [v9, other]) is None
    assert choose_best(arm64, []) is None
