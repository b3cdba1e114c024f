"""Rules that read an image, each with images that pass and images that fail."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from check_images import CAPABILITY, File, check, make_layer, make_layout
from requirements import need

from slimtrace.builder.check.rule_set import RULES
from slimtrace.builder.check.target_platform import TargetPlatform

if TYPE_CHECKING:
    from pathlib import Path

KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----\n"
GOOD: dict[str, File | str] = {
    "etc/passwd": "root:x:0:0::/root:/sbin/nologin\nweb:x:1000:1001::/:/sbin/nologin\n"
    "envoy:x:1337:1337::/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nweb:x:1001:\n",
    "etc/os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "etc/ssl/certs/ca-certificates.crt": "-----BEGIN CERTIFICATE-----\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nweb:!:19000:0:99999:7:::\n",
    "tmp/": File(mode=0o1777),
    "data/": File(mode=0o700, uid=65532, gid=65532),
    "bin": File(link="usr/bin"),
    "usr/bin/script": File("#!/app/serve\n", 0o755),
}
CONFIG: dict[str, Any] = {
    "Entrypoint": ["/app/serve"],
    "User": "65532:65532",
    "Env": ["PATH=/usr/bin:/bin"],
    "ExposedPorts": {"8080/tcp": {}},
    "Volumes": {"/data": {}},
    "Healthcheck": {"Test": ["CMD", "script"]},
}
OPTIONS = ("--no-run", *(word for platform in TargetPlatform for word in ("--platform", platform)))


@pytest.fixture
def program() -> bytes:
    """A static program."""
    need("busybox")
    with open(shutil.which("busybox") or "", "rb") as file:
        return file.read()


def image(
    folder: Path,
    program: bytes,
    tree: dict[str, File | str] | None = None,
    without: str = "",
    **config: Any,
) -> str:
    whole = {"app/serve": File(program, 0o755), **GOOD, **(tree or {})}
    kept = {name: file for name, file in whole.items() if name != without}
    architecture = config.pop("architecture", "amd64")
    given = {name: value for name, value in {**CONFIG, **config}.items() if value is not None}
    return make_layout(folder / "image", [make_layer(kept)], given, architecture)


def test_a_good_image_breaks_no_rule(tmp_path: Path, program: bytes) -> None:
    found = check(tmp_path, image(tmp_path, program), *OPTIONS)
    assert (found.status, found.broken()) == (0, {})
    read = {rule.name for rule in RULES if rule.start is None}
    assert {each["rule"] for each in found.document["rules"] if each["status"] == "pass"} == read
    assert all(not each["measured"] for each in found.document["rules"])
    assert {each["detail"] for each in found.document["rules"] if each["status"] == "skip"} == {
        "not started: --no-run"
    }


SETUID, SETGID = File("x", 0o4755), File("x", 0o2755)
CLOSED = File("x", 0o644)
CASES: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    # summary: the rule and a part of its detail, how the image is made, the rules that fail
    "a user by name": (
        "web, a name",
        {"User": "web", "Volumes": None},
        {"numeric-user": "fail"},
    ),
    "a group by name": ("", {"User": "65532:web"}, {}),
    "a user that nobody knows": (
        "no nobody",
        {"User": "nobody"},
        {"known-user": "fail", "numeric-user": "fail", "volumes-writable": ""},
    ),
    "a user above the kernel's": (
        "IDs are numbers from 0 to 4294967294",
        {"User": "4294967295", "Volumes": None},
        {"known-user": "fail"},
    ),
    "no user": ("names no user", {"User": None}, {"numeric-user": "fail", "not-root": "fail"}),
    "root by number": ("as root", {"User": "0:0"}, {"not-root": "fail"}),
    "the sidecar's user": (
        "1337",
        {"User": "1337", "Volumes": None},
        {"not-the-sidecar": "fail"},
    ),
    "the sidecar's group": ("1337", {"User": "65532:1337"}, {"not-the-sidecar": "fail"}),
    "setuid": ("", {"tree": {"usr/bin/su": SETUID}}, {"no-setuid": "fail"}),
    "setgid": ("", {"tree": {"usr/bin/wall": SETGID}}, {"no-setuid": "fail"}),
    "a setgid folder": ("", {"tree": {"srv/": File(mode=0o2775)}}, {}),
    "capabilities": (
        "",
        {"tree": {"usr/bin/ping": File("x", 0o755, capability=CAPABILITY)}},
        {"no-file-capabilities": "warn"},
    ),
    "a shell": ("", {"tree": {"usr/bin/sh": SETUID._replace(mode=0o755)}}, {"no-shell": "warn"}),
    "a shell by a link": (
        "",
        {"tree": {"usr/bin/sh": File(link="/app/serve")}},
        {"no-shell": "warn"},
    ),
    "a dangling shell": ("", {"tree": {"usr/bin/sh": File(link="dash")}}, {}),
    "a package manager": (
        "",
        {"tree": {"usr/bin/apt-get": File("x", 0o755)}},
        {"no-package-manager": "warn"},
    ),
    "a key": ("a private key", {"tree": {"app/tls.key": KEY}}, {"no-secrets": "fail"}),
    "a password": (
        "passwords",
        {"tree": {"etc/shadow": "root:$y$j9T$x:19000:::::\n"}},
        {"no-secrets": "fail"},
    ),
    "no /tmp": ("no /tmp", {"without": "tmp/"}, {"tmp": "fail"}),
    "a closed /tmp": ("0755", {"tree": {"tmp/": File(mode=0o755)}}, {"tmp": "fail"}),
    "no certificates": (
        "no bundle",
        {"without": "etc/ssl/certs/ca-certificates.crt"},
        {"ca-certificates": "warn"},
    ),
    "certificates elsewhere": ("", {"Env": ["SSL_CERT_FILE=/etc/os-release"]}, {}),
    "certificates nowhere": (
        "no /etc/none",
        {"Env": ["SSL_CERT_FILE=/etc/none"]},
        {"ca-certificates": "warn"},
    ),
    "no release": ("no os-release", {"without": "etc/os-release"}, {"os-release": "warn"}),
    "a volume of root's": (
        "/data",
        {"tree": {"data/": File(mode=0o755)}},
        {"volumes-writable": "warn"},
    ),
    "no volume": ("", {"Volumes": None}, {}),
    "no command": ("neither", {"Entrypoint": None}, {"command-runs": "fail"}),
    "a command that is not there": (
        "/app/none is not in the image",
        {"Entrypoint": ["/app/none"]},
        {"command-runs": "fail"},
    ),
    "a command by PATH": ("", {"Entrypoint": ["script"]}, {}),
    "a command below WorkingDir": ("", {"Entrypoint": ["./serve"], "WorkingDir": "/app"}, {}),
    "a command of root's alone": (
        "may not execute /app/tool",
        {"tree": {"app/tool": File("x", 0o700)}, "Entrypoint": ["/app/tool"]},
        {"command-runs": "fail"},
    ),
    "a command in root's folder": (
        "may not execute",
        {"tree": {"app/": File(mode=0o700)}},
        {"command-runs": "fail", "probe-programs": "fail"},
    ),
    "a command that is data": (
        "neither an ELF program nor a script",
        {"tree": {"app/tool": File("x", 0o755)}, "Entrypoint": ["/app/tool"]},
        {"command-runs": "fail"},
    ),
    "a script without its interpreter": (
        "/bin/none is not in the image, which /app/tool names",
        {"tree": {"app/tool": File("#!/bin/none\n", 0o755)}, "Entrypoint": ["/app/tool"]},
        {"command-runs": "fail"},
    ),
    "a shell's command": (
        "process 1 is a shell",
        {"Entrypoint": ["/bin/sh", "-c", "serve $X"]},
        {"command-runs": "fail", "exec-form": "warn"},
    ),
    "a probe by a shell": (
        "/bin/sh is not in the image",
        {"Healthcheck": {"Test": ["CMD-SHELL", "script"]}},
        {"probe-programs": "fail"},
    ),
    "no probe": ("", {"Healthcheck": {"Test": ["NONE"]}}, {}),
    "another machine": ("linux/arm64", {"architecture": "arm64"}, {"amd64": "fail"}),
    "no port": ("exposes no port", {"ExposedPorts": None}, {"exposed-port": "warn"}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_breaks_a_rule(tmp_path: Path, program: bytes, name: str) -> None:
    """The worst status on any platform. A rule with an empty status may have any."""
    detail_part, made, expected = CASES[name]
    found = check(tmp_path, image(tmp_path, program, **made), *OPTIONS)
    worst: dict[str, str] = {}
    for each in found.document["rules"]:
        if each["status"] in {"warn", "fail"}:
            worst[each["rule"]] = min(worst.get(each["rule"], "warn"), each["status"])
    assert worst.keys() == expected.keys()
    assert all(status in {"", worst[rule]} for rule, status in expected.items())
    details = [each["detail"] for each in found.document["rules"] if each["rule"] in expected]
    assert not detail_part or any(detail_part in detail for detail in details), details
    assert found.status == (1 if "fail" in worst.values() else 0)


def test_a_level_is_the_platform_s(tmp_path: Path, program: bytes) -> None:
    made = image(tmp_path, program, User="web")
    for platform, status in (("docker", "warn"), ("edge", "warn"), ("kubernetes", "fail")):
        found = check(tmp_path, made, "--no-run", "--platform", platform)
        assert found.of("numeric-user")["status"] == status
        assert found.status == (1 if status == "fail" else 0)
    both = check(tmp_path, made, *OPTIONS[:1], "--platform", "docker", "--platform", "istio")
    found_both = {
        (each["status"], *each["platforms"])
        for each in both.document["rules"]
        if each["rule"] == "numeric-user"
    }
    assert found_both == {("warn", "docker"), ("fail", "istio")}


def test_probes_that_the_platform_runs(tmp_path: Path, program: bytes) -> None:
    made = image(tmp_path, program)
    for probe, status in (("script --deep", "pass"), ("curl -f localhost", "fail")):
        found = check(tmp_path, made, "--no-run", "--probe", probe)
        assert found.of("probe-programs")["status"] == status


def test_a_budget(tmp_path: Path, program: bytes) -> None:
    made = image(tmp_path, program)
    for most, status in (("100", "pass"), ("0.1", "fail")):
        found = check(tmp_path, made, "--no-run", "--platform", "edge", "--max-size", most)
        assert found.of("size")["status"] == status


def test_a_library_that_is_missing(tmp_path: Path) -> None:
    true = shutil.which("true") or ""
    with open(true, "rb") as file:
        found = check(tmp_path, image(tmp_path, file.read()), "--no-run")
    assert found.of("command-runs")["status"] == "fail"
    assert "its loader /lib" in found.of("command-runs")["detail"]


@pytest.mark.parametrize("form", ["rootfs:{}", "tar:{}.tar"])
def test_a_tree_says_nothing_of_how_it_runs(tmp_path: Path, program: bytes, form: str) -> None:
    (tmp_path / "tree/app").mkdir(parents=True)
    (tmp_path / "tree/app/serve").write_bytes(program)
    (tmp_path / "tree.tar").write_bytes(make_layer({"app/serve": File(program, 0o755)}))
    found = check(tmp_path, form.format(tmp_path / "tree"), *OPTIONS[1:])
    skipped = {each["rule"] for each in found.document["rules"] if each["status"] == "skip"}
    assert {"numeric-user", "not-root", "command-runs", "amd64", "exposed-port"} <= skipped
    assert "it has no command" in found.of("starts")["detail"]
