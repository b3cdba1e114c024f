"""The samples' Dockerfiles: parsed as by buildah, and with the packages of their bases."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path

import dockerfile
import pytest
from dockerfile_build import BuildError, build_tree
from full_image import build_app_tree, make_full_image
from requirements import need, need_root
from sample import list_samples, load_base, load_sample

SAMPLES = {name: load_sample(name) for name in list_samples()}
BASES = sorted({sample.image for sample in SAMPLES.values()})


@pytest.mark.parametrize("base", BASES)
def test_a_base_has_the_packages_and_users_of_its_dockerfiles_and_no_other(base: str) -> None:
    stages = [sample.stages[-1] for sample in SAMPLES.values() if sample.image == base]
    expected = frozenset[str]().union(*(stage.packages for stage in stages))
    assert frozenset(load_base(base).packages) == expected
    assert set(load_base(base).setup) == {user for stage in stages for user in stage.users}


def test_a_port_is_in_all_words() -> None:
    sample = load_sample("postgres-alembic", port=20001)
    assert (sample.port, sample.exposed) == (20001, "5432")
    assert sample.command[3:5] == ("-p", "20001")
    assert sample.env == (
        "LANG=C.UTF-8",
        "DATABASE_URL=postgresql://postgres@127.0.0.1:20001/postgres",
    )
    assert "-p 20001 " in (sample.probes[-1].exec or "")


DOCKERFILE = r"""# what a user writes
FROM golang:1.19 AS build
WORKDIR /src
COPY main.txt ./
ENV GREETING="good day" NAME=you
RUN apt-get update && apt-get install -y make \
    && echo "$GREETING, $NAME" >made/greeting \
    && cat main.txt >made/main

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 nginx-light \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 app
WORKDIR /app
COPY --from=build /src/made/main /src/made/greeting ./
COPY pages /srv/www
USER app
EXPOSE 8080
ENTRYPOINT ["/app/start"]
CMD ["serve", "a word"]
"""


def test_a_dockerfile_is_read_and_built(tmp_path: Path) -> None:
    context, folder = tmp_path / "context", tmp_path / "trees"
    (context / "pages").mkdir(parents=True)
    (context / "Dockerfile").write_text(DOCKERFILE.replace("apt-get install -y make", "mkdir made"))
    (context / "main.txt").write_text("main\n")
    (context / "pages" / "index.html").write_text("hello\n")
    folder.mkdir()
    stages = dockerfile.read_dockerfile(context / "Dockerfile")
    image = stages[-1]
    assert (stages[0].name, image.name) == ("build", None)
    assert image.packages == {"python3", "nginx-light"}
    assert image.users == ("useradd --uid 1000 app",)
    assert (image.get_argv("ENTRYPOINT"), image.get_argv("CMD")) == (
        ("/app/start",),
        ("serve", "a word"),
    )
    assert (image.get_value("USER"), image.get_value("EXPOSE")) == ("app", "8080")
    tree = build_tree(stages, context, folder, tmp_path / "caches")
    assert files(tree) == {
        "app/greeting": "good day, you\n",
        "app/main": "main\n",
        "srv/www/index.html": "hello\n",
    }


@pytest.mark.parametrize("line", ["HEALTHCHECK NONE", "ADD x /x", "cmd x"])
def test_what_is_not_known_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM debian\n{line}\n")
    with pytest.raises(ValueError, match="cannot read"):
        dockerfile.read_dockerfile(tmp_path / "Dockerfile")


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "trees").mkdir()
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN echo no such luck >&2 && exit 3\n")
    with pytest.raises(BuildError, match=r"(?s)exit status 3.*no such luck"):
        build_tree(
            dockerfile.read_dockerfile(tmp_path / "Dockerfile"),
            tmp_path,
            tmp_path / "trees",
            tmp_path,
        )


def test_buildah_makes_the_same_of_a_dockerfile(tmp_path: Path, shared: Path) -> None:
    """Its base replaces debian:bookworm-slim, so that no registry is used; apt-get is real."""
    need_root()
    need("mmdebstrap", "umoci", "buildah", "skopeo", "apt-get")
    sample = load_sample("nginx-errors", port=8080)
    layout, _, _ = make_full_image(sample, shared / "samples").rpartition(":")
    base, made = (f"localhost/slimtrace-sample:{uuid.uuid4().hex}" for _ in range(2))
    try:
        run("skopeo", "copy", "-q", f"{layout}:base", f"containers-storage:{base}")
        options = ("--isolation", "chroot", "--network", "host", "--from", base)
        run("buildah", "bud", "-q", *options, "-t", made, str(sample.folder))
        config = json.loads(run("buildah", "inspect", "--type", "image", made))["OCIv1"]["config"]
        assert config["Cmd"] == list(sample.command)
        assert list(config["ExposedPorts"]) == [f"{sample.exposed}/tcp"]
        with_tree = run("buildah", "from", made).strip()
        top = run("buildah", "mount", with_tree).strip()
        tree = build_app_tree(sample, tmp_path, shared / "samples/caches")
        assert files(Path(top, "app")) == files(tree / "app")
        run("buildah", "rm", with_tree)
    finally:
        subprocess.run(["buildah", "rmi", "--force", made, base], check=False, capture_output=True)


def files(top: Path) -> dict[str, str]:
    """The contents of all files in a folder."""
    found = (path for path in top.rglob("*") if path.is_file())
    return {str(path.relative_to(top)): path.read_text() for path in found}


def run(*argv: str) -> str:
    """Run a command that must succeed; returns its output."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
