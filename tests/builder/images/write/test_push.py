"""Registries with and without TLS and logins, as destination and as source."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import pytest
from certificates import make_certificate
from engine import compile_static
from layouts import paths
from registry import USERS, run_registry
from requirements import need
from traces import run_slimtrace
from tree_images import make_file_entry, make_tree_image

from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.registry_access import (
    TlsVerification,
    choose_registry_access,
    registry_access,
)

if TYPE_CHECKING:
    from pathlib import Path

    from slimtrace.builder.model import Image

HELPER = """#!/bin/sh
read -r server
[ "$1 $server" = "get {host}" ] || exit 1
echo '{{"ServerURL": "{host}", "Username": "me", "Secret": "secret"}}'
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: str) -> None:
    """No settings or logins of this machine's user, and none of another test."""
    need("skopeo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "")
    monkeypatch.delenv("REGISTRY_AUTH_FILE")
    monkeypatch.setattr(registry_access, "verifies_tls", None)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "file").write_text("hello")
    return make_tree_image([make_file_entry(tmp_path / "file", "/a")], tmp_path / "work")


def push(image: Image, name: str) -> None:
    destination = parse_destination(f"docker://{name}")
    destination.prepare()
    destination.write(image, ())
    opened = open_image(f"docker://{name}")
    assert (opened.digest, paths(opened.index)) == (image.digest, ["a"])


def fail(name: str) -> tuple[set[str], str | None]:
    """The causes and the hint of a push that is refused early, and of a pull."""
    messages, hints = set(), set()
    for verb, attempt in (
        ("write", parse_destination(f"docker://{name}").prepare),
        ("read", lambda: open_image(f"docker://{name}")),
    ):
        with pytest.raises(SlimtraceError) as caught:
            attempt()
        start = f"cannot {verb} docker://{name}: "
        assert caught.value.message.startswith(start)
        messages.add(caught.value.message.removeprefix(start))
        hints.add(caught.value.hint)
    assert len(hints) == 1, hints
    return messages, hints.pop()


def test_a_host_that_does_not_exist() -> None:
    causes, _ = fail("registry.invalid/app")
    assert causes == {"registry.invalid: there is no such host"}


def test_a_port_where_nothing_listens() -> None:
    causes, hint = fail("127.0.0.1:9/app")
    assert causes == {"127.0.0.1:9: connection refused"}
    assert hint == "check that the registry runs, and its port"


def test_a_registry_without_tls(tmp_path: Path, image: Image) -> None:
    with run_registry(tmp_path, trusted=False) as host:
        causes, hint = fail(f"{host}/app")
        assert causes == {f"{host} answers without TLS"}
        assert hint == "if you trust the network: --tls-verify=false"
        choose_registry_access(TlsVerification.FALSE, None)
        push(image, f"{host}/app:1")


def test_a_certificate_of_nobody(tmp_path: Path, image: Image) -> None:
    make_certificate(tmp_path / "tls")
    with run_registry(tmp_path, certificate=tmp_path / "tls", trusted=False) as host:
        causes, hint = fail(f"{host}/app")
        assert causes == {f"the certificate of {host} cannot be verified"}
        assert hint is not None
        assert f"certs.d/{host}/ca.crt" in hint
        choose_registry_access(TlsVerification.FALSE, None)
        push(image, f"{host}/app:1")
        choose_registry_access(TlsVerification.TRUE, None)
        authorities = tmp_path / "home/.config/containers/certs.d" / host
        authorities.mkdir(parents=True)
        (authorities / "ca.crt").write_bytes((tmp_path / "tls/cert.pem").read_bytes())
        push(image, f"{host}/app:2")


def save_login(path: Path, host: str, password: str) -> None:
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_logins(tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_registry(tmp_path, users=USERS) as host:
        causes, hint = fail(f"{host}/app")
        assert causes == {f"{host} wants a login"}
        assert hint is not None
        assert f"skopeo login {host}" in hint
        save_login(tmp_path / "auth.json", host, "wrong")
        choose_registry_access(None, "auth.json")
        assert fail(f"{host}/app")[0] <= {f"{host} wants a login", f"{host} refuses the login"}
        save_login(tmp_path / "auth.json", host, "secret")
        push(image, f"{host}/app:1")
        (tmp_path / "auth.json").write_text(json.dumps({"credHelpers": {host: "ours"}}))
        (tmp_path / "docker-credential-ours").write_text(HELPER.format(host=host))
        (tmp_path / "docker-credential-ours").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        push(image, f"{host}/app:2")


def test_an_authfile_that_does_not_exist() -> None:
    with pytest.raises(UsageError) as caught:
        choose_registry_access(None, "none.json")
    assert caught.value.message == "cannot use --authfile none.json: No such file or directory"


def test_an_image_that_the_registry_does_not_have(registry: str) -> None:
    with pytest.raises(SlimtraceError) as caught:
        open_image(f"docker://{registry}/team/app:1")
    assert caught.value.message == (
        f"cannot read docker://{registry}/team/app:1: {registry} has no team/app:1"
    )
    assert caught.value.hint == f"list what it has: skopeo list-tags docker://{registry}/team/app"


def test_a_push_that_fails_leaves_a_file(tmp_path: Path, image: Image) -> None:
    for path in ("app.tar", "app-2.tar"):
        (tmp_path / f"of-{path}").mkdir()
        with run_registry(tmp_path / f"of-{path}") as host:
            destination = parse_destination(f"docker://{host}/team/app:1")
            choose_registry_access(TlsVerification.FALSE, None)
            destination.prepare()
        with pytest.raises(SlimtraceError) as caught:
            destination.write(image, ())
        assert caught.value.message == (
            f"cannot write docker://{host}/team/app:1: {host}: connection refused"
        )
        command = (
            f"skopeo copy --dest-tls-verify=false oci-archive:{path} docker://{host}/team/app:1"
        )
        assert caught.value.hint is not None
        assert caught.value.hint.endswith(f"the image is in {path}; to write it later: {command}")
        assert open_image(path).digest == image.digest


def test_the_destination_is_checked_before_the_run(tmp_path: Path) -> None:
    tried = run_slimtrace(
        "slim", "-o", "docker://127.0.0.1:9/app", "--", "touch", "ran", cwd=str(tmp_path)
    )
    assert tried.returncode == 125
    assert "cannot write docker://127.0.0.1:9/app: 127.0.0.1:9: connection refused" in tried.stderr
    assert not (tmp_path / "ran").exists()


def test_the_options_of_commands(tmp_path: Path) -> None:
    with run_registry(tmp_path, trusted=False) as host:
        (tmp_path / "auth.json").write_text("{}")
        name = f"docker://{host}/app:1"
        options = ("--tls-verify=false", "--authfile", "auth.json")
        (tmp_path / "tree").mkdir()
        compile_static(str(tmp_path / "tree"), "int main(void) { return 0; }")
        traced = run_slimtrace("run", "--image", "./tree", "--", "/program", cwd=str(tmp_path))
        assert traced.returncode == 0, traced.stderr
        argv = ("build", "slimtrace.trace", "-o", name)
        assert run_slimtrace(*argv, cwd=str(tmp_path)).returncode == 125
        built = run_slimtrace(*argv, *options, cwd=str(tmp_path))
        assert built.returncode == 0, built.stderr
        for command in (
            ("run", "-o", "other.trace", "--image", name),
            ("sbom", name, "-o", "x.json"),
            ("verify", name, "--trace", "slimtrace.trace"),
        ):
            done = run_slimtrace(*command, *options, cwd=str(tmp_path))
            assert done.returncode == 0, done.stderr
