"""SBOMs attached to an image in a real registry, and the registry's list of them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from registry import USERS, run_registry
from tree_images import make_file_entry, make_tree_image
from umoci_images import run_command

from slimtrace.builder.images.reference import parse_reference
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.builder.images.write.registry_auth import find_login, is_insecure
from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.builder.sbom.referrer import attach
from slimtrace.builder.sbom.sbom_files import Sbom
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slimtrace.builder.model import Image

SPDX = Sbom(SbomFormat.SPDX, "app.spdx.json", b'{"spdxVersion":"SPDX-2.3"}')
CYCLONEDX = Sbom(SbomFormat.CYCLONEDX, "app.cdx.json", b'{"bomFormat":"CycloneDX"}')


def push_image(folder: Path, name: str) -> Image:
    (folder / "file").write_text(name)
    image = make_tree_image([make_file_entry(folder / "file")], folder / "work")
    parse_destination(name).write(image, ())
    return image


def raw(name: str) -> Any:
    return json.loads(run_command("skopeo", "inspect", "--raw", name))


def list_referrers(repository: str, image: Image) -> list[tuple[str, str]]:
    """Digests and types in the index that replaces the registry's own list."""
    index = raw(f"{repository}:{image.digest.replace(':', '-')}")
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    return [(each["digest"], each["artifactType"]) for each in index["manifests"]]


def test_an_artifact_refers_to_the_image(tmp_path: Path, registry: str) -> None:
    name = f"docker://{registry}/team/app"
    image = push_image(tmp_path, f"{name}:1")
    spdx, cyclonedx = attach(image, parse_reference(f"{name}:1"), [SPDX, CYCLONEDX])
    assert list_referrers(name, image) == [
        (spdx.attached, "application/spdx+json"),
        (cyclonedx.attached, "application/vnd.cyclonedx+json"),
    ]
    manifest = raw(f"{name}@{spdx.attached}")
    assert manifest["artifactType"] == "application/spdx+json"
    subject = manifest["subject"]
    assert (subject["digest"], subject["size"]) == (image.digest, len(image.manifest))
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
        "size": 2,
    }
    run_command("skopeo", "copy", "-q", f"{name}@{spdx.attached}", f"dir:{tmp_path}/pulled")
    (layer,) = manifest["layers"]
    assert layer["annotations"] == {"org.opencontainers.image.title": "sbom.spdx.json"}
    document = tmp_path / "pulled" / layer["digest"].removeprefix("sha256:")
    assert document.read_bytes() == SPDX.data


def test_the_list_grows_and_names_each_once(tmp_path: Path, registry: str) -> None:
    name = f"docker://{registry}/app"
    image = push_image(tmp_path, f"{name}:1")
    for sboms in ([SPDX], [SPDX, CYCLONEDX], [CYCLONEDX]):
        attach(image, parse_reference(f"{name}:1"), sboms)
    assert [kind for _, kind in list_referrers(name, image)] == [
        "application/spdx+json",
        "application/vnd.cyclonedx+json",
    ]
    assert raw(f"{name}:1") == json.loads(image.manifest)


def test_with_a_login_of_skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with run_registry(tmp_path, users=USERS) as host:  # it reads REGISTRY_… as settings
        monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{tmp_path}/auth.json")
        name = f"docker://{host}/team/app:1"
        run_command("skopeo", "login", "-u", "me", "-p", "secret", host)
        image = push_image(tmp_path, name)
        attach(image, parse_reference(name), [SPDX])
        assert len(list_referrers(f"docker://{host}/team/app", image)) == 1
        run_command("skopeo", "logout", host)
        with pytest.raises(SlimtraceError) as caught:
            attach(image, parse_reference(name), [CYCLONEDX])
    assert caught.value.message == (f"cannot attach the SBOM to {name}: {host} wants a login")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"log in with: skopeo login {host}")


def test_a_registry_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    image = make_tree_image([make_file_entry(tmp_path / "file")], tmp_path / "work")
    with pytest.raises(SlimtraceError, match=r"127\.0\.0\.1:9: connection refused$"):
        attach(image, parse_reference("docker://127.0.0.1:9/app:1"), [SPDX])


@pytest.fixture
def listing(registry: str, tmp_path: Path) -> Iterator[str]:
    """A registry that lists referrers itself, as its ``OCI-Subject`` shows.

    No registry in Debian does (distribution-spec 1.1, "Pushing Manifests with Subject").
    """
    host, _, port = registry.partition(":")

    class Front(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(size)
            back = http.client.HTTPConnection(host, int(port))
            back.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for key, value in self.headers.items():  # some more than once
                back.putheader(key, value)
            back.endheaders(sent)
            answer = back.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                self.send_header(key, value)
            if self.command == "PUT" and "/manifests/" in self.path:
                subject = json.loads(sent).get("subject")
                if subject:
                    self.send_header("OCI-Subject", subject["digest"])
            self.end_headers()
            self.wfile.write(body)
            back.close()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815 -- http.server's

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        conf = tmp_path / "home/.config/containers/registries.conf"
        trusted = f'[[registry]]\nlocation = "{address}"\ninsecure = true\n'
        conf.write_text(conf.read_text() + trusted)
        yield address
        server.shutdown()


def test_a_registry_that_lists_referrers_gets_no_index(tmp_path: Path, listing: str) -> None:
    name = f"docker://{listing}/app"
    image = push_image(tmp_path, f"{name}:1")
    (sbom,) = attach(image, parse_reference(f"{name}:1"), [SPDX])
    assert raw(f"{name}@{sbom.attached}")["subject"]["digest"] == image.digest
    assert json.loads(run_command("skopeo", "list-tags", name))["Tags"] == ["1"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x.org/team/app", "team:1"),
        ("x.org/other", "x:2"),
        ("y.org/app", None),
        ("docker.io/library/app", "hub:3"),
    ],
)
def test_the_nearest_login_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, found: str | None
) -> None:
    saved = {"x.org/team": "team:1", "x.org": "x:2", "https://index.docker.io/v1/": "hub:3"}
    auths = {key: {"auth": base64.b64encode(word.encode()).decode()} for key, word in saved.items()}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {**auths, "y.org": {}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", f"{tmp_path}/auth.json")
    assert find_login(name) == found


def test_only_what_is_said_to_be_insecure_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "registries.conf"
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(conf))
    conf.write_text(
        '[[registry]]\nlocation = "x.org"\ninsecure = true\n'
        '[[registry]]\nprefix = "x.org/safe"\nlocation = "z.org"\n'
    )
    names = ("x.org/app", "x.org/safe/app", "x.orgs/app", "y.org/app")
    assert [is_insecure(name) for name in names] == [True, False, False, False]
    conf.write_text("[[[")
    assert not is_insecure("x.org/app")
