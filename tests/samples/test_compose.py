"""Two services of a compose file: traced together, slimmed, and run together again."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]
from commands import run_slimtrace
from full_image import make_full_image
from requirements import need, need_root
from sample import Sample, load_peer, load_sample
from sample_runner import run_sample

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

WEB = "guestbook-web"


def test_the_compose_file_is_of_the_two_samples() -> None:
    web = load_sample(WEB)
    store = load_peer(web)
    assert store is not None
    services = yaml.safe_load((web.folder / "compose.yaml").read_text())["services"]
    for service, sample in (("web", web), ("store", store)):
        assert (web.folder / services[service]["build"]).resolve() == sample.folder
    assert services["web"]["ports"] == [f"{web.exposed}:{web.exposed}"]
    assert services["web"]["depends_on"] == ["store"]
    # The samples use ports of one machine; the compose file uses the services' names.
    variables = dict(pair.split("=", 1) for pair in web.env)
    here = f"127.0.0.1:{store.port}"
    assert services["web"]["environment"] == {
        "STORE": variables["STORE"].replace(here, f"store:{store.exposed}")
    }


def test_services_are_traced_together_and_their_slim_images_serve_together(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_root()
    need("mmdebstrap", "umoci", "curl")
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
    web = load_sample(WEB)
    store = load_peer(web)
    assert store is not None
    services = (store, web)
    full = [make_full_image(sample, shared / "samples") for sample in services]
    traces = [str(tmp_path / f"{sample.name}.trace") for sample in services]
    with run_sample(store, full[0], traces[0]), run_sample(web, full[1], traces[1]):
        assert guests(web, "anna") == "anna\n"
    slim = [
        build_slim_image(tmp_path, sample, trace)
        for sample, trace in zip(services, traces, strict=True)
    ]
    with run_sample(store, slim[0]), run_sample(web, slim[1]):
        assert guests(web, "berta") == "berta\n"
        assert guests(web, "carla") == "berta\ncarla\n"


def guests(web: Sample, name: str) -> str:
    """Sign the guest book of the web service, and read it."""
    argv = ("curl", "-fsS", "-L", "-m", "30", "-d", f"name={name}")
    url = f"http://127.0.0.1:{web.port}/"
    done = subprocess.run([*argv, url], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build_slim_image(folder: Path, sample: Sample, trace: str) -> str:
    """Build a slim image; returns ``oci:DIR:TAG``."""
    image = f"oci:{folder}/{sample.name}:slim"
    done = run_slimtrace("build", trace, "-o", image)
    assert done.returncode == 0, done.stderr
    return image
