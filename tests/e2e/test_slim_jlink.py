"""``--jlink``: Java runtimes with only the recorded modules, made by the full image's jlink."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from engine import need_engine, podman, podman_run
from jdk import compile_java, java_home
from traces import check_failure, environment, run_slimtrace
from umoci_images import run_command, unpack_image

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

HOME = "usr/lib/jvm/java-17-openjdk-amd64"
MOST = 70 * 10**6
RETRY = ("-sS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1")


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="module")
def service(
    full: str, cached: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Trace the service with requests for / and /zip; return the folder and the port."""
    folder, port = tmp_path_factory.mktemp("jlink"), free_port()
    drive = ("--ready", f"http://127.0.0.1:{port}/", "--http-get", "/zip")
    arguments = ("-q", "run", "--image", full, "-o", f"{folder}/trace", "--user", "65534", *drive)
    app = ("java", "-jar", "/app/asked.jar", port)
    done = run_slimtrace(*arguments, "--", *app, env=cached)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, port


def build(
    folder: Path, env: dict[str, str], *arguments: str, to: str = "oci:slim:v1"
) -> subprocess.CompletedProcess[str]:
    return run_slimtrace("build", "trace", "--json", "-o", to, *arguments, cwd=str(folder), env=env)


def test_a_runtime_with_the_recorded_modules(
    service: tuple[Path, str], cached: dict[str, str]
) -> None:
    folder, _ = service
    first = build(folder, cached, "--jlink")
    assert first.returncode == 0, first.stderr
    assert "repeating java to see which Java modules it uses" in first.stderr
    used = "java.base, java.logging, jdk.crypto.ec, jdk.httpserver, jdk.net, jdk.zipfs"
    assert f"linking a Java runtime of {used}\n" in first.stderr
    document = json.loads(first.stdout)
    assert document["kept"]["bytes"] < MOST
    assert document["reasons"]["jlink"] == 1

    again = build(folder, cached, "--jlink", to="oci:again:v1")
    assert json.loads(again.stdout)["image"]["digest"] == document["image"]["digest"]
    assert "repeating" not in again.stderr, "the trace contains the modules"

    image = f"oci:{folder}/slim:v1"
    verified = run_slimtrace("verify", image, "--trace", f"{folder}/trace", env=cached)
    assert verified.returncode == 0, verified.stderr

    tree = unpack_image(image, folder / "tree")
    libraries = {os.path.basename(path) for path in (tree / HOME / "lib").rglob("*")}
    assert {"libjava.so", "libnet.so", "libextnet.so", "libjvm.so", "modules"} <= libraries
    assert not {"libprefs.so", "libawt.so", "libj2pcsc.so", "classes.jsa"} & libraries
    for package, has in {"openjdk-17-jre-headless": ("bin/java", "lib/libjava.so")}.items():
        sums = next((tree / "var/lib/dpkg/status.d").glob(f"{package}*.md5sums")).read_text()
        assert all(f" {HOME}/{name}\n" in sums for name in has)
        assert "lib/modules" not in sums, "the checksum would be of another file"


@contextmanager
def running(folder: Path, image: str, *arguments: str) -> Iterator[None]:
    """Run the image in a podman container."""
    need_engine()
    name = "slimtrace-jlink"
    assert podman("load", "-q", "-i", f"{folder}/{image}.tar").returncode == 0
    try:
        started = podman_run("-d", "--read-only", "--name", name, f"localhost/{image}", *arguments)
        assert started.returncode == 0, started.stderr
        yield
    finally:
        podman("rm", "-f", "-t", "0", name)
        podman("rmi", "-f", f"localhost/{image}")


@pytest.mark.parametrize(
    ("modules", "answer"),
    [((), "java.lang.ClassNotFoundException: java.rmi.Naming"), (("java.rmi",), "module java.rmi")],
)
def test_a_module_that_no_run_used(
    service: tuple[Path, str], cached: dict[str, str], modules: tuple[str, ...], answer: str
) -> None:
    """Java's error names the missing module, and the user can add it."""
    folder, port = service
    image = "-".join(("slim-jlink", *modules))
    options = [word for name in modules for word in ("--jlink-modules", name)] or ["--jlink"]
    done = build(folder, cached, "-t", f"localhost/{image}", *options, to=f"{image}.tar")
    assert done.returncode == 0, done.stderr
    with running(folder, image):
        url = f"http://127.0.0.1:{port}"
        assert run_command("curl", *RETRY, f"{url}/zip") == "module jdk.zipfs\n"
        assert run_command("curl", "-sS", f"{url}/late") == f"{answer}\n"


JOB = """
public class Job {
    public static void main(String[] words) throws Exception {
        if (!"set".equals(System.getProperty("job.option"))) System.exit(7);
        System.out.println(Class.forName(words[0]).getModule().getName());
        new java.io.FileOutputStream("ran", true).write('x');
    }
}
"""


def job(folder: Path, *java: str) -> None:
    """Trace a Java job on this machine's root."""
    java_home()
    compile_java(folder, {"Job.java": JOB})
    env = environment(JAVA_TOOL_OPTIONS="-Djob.option=set")
    arguments = (*java, "-cp", str(folder), "Job", "java.sql.Driver")
    done = run_slimtrace(
        "-q", "run", "-o", "trace", "--", "java", *arguments, cwd=str(folder), env=env
    )
    assert (done.returncode, done.stdout) == (0, "java.sql\n"), done.stderr


def test_on_this_machines_root(tmp_path: Path) -> None:
    """The run is repeated in the same folder, with the current environment."""
    job(tmp_path)
    env = environment(JAVA_TOOL_OPTIONS="-Djob.option=set")
    done = build(tmp_path, env, "--jlink", to="rootfs:slim")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ran").read_text() == "xx"
    assert "linking a Java runtime of java.base, java.sql, jdk.crypto.ec\n" in done.stderr
    image = shutil.copytree(tmp_path / "slim", tmp_path / "image", symlinks=True)
    modules = next(image.glob("usr/lib/jvm/*/lib/modules"))
    listed = run_command(f"{java_home()}/bin/jimage", "list", str(modules))
    linked = set(re.findall(r"^Module: (\S+)$", listed, re.MULTILINE))
    required = {"java.logging", "java.transaction.xa", "java.xml"}
    assert linked == {"java.base", "java.sql", "jdk.crypto.ec"} | required


def test_a_jvm_without_a_log(tmp_path: Path) -> None:
    job(tmp_path, "-Xlog:disable")
    env = environment(JAVA_TOOL_OPTIONS="-Djob.option=set")
    done = build(tmp_path, env, "--jlink", to="rootfs:slim")
    assert done.returncode == 125
    assert done.stderr.endswith(
        "slimtrace: cannot see which Java modules java uses: its JVM did not log it\n"
        "slimtrace: name them with --jlink-modules\n"
    )
    wrong = build(tmp_path, env, "--jlink-modules", "java.sqll", to="rootfs:other")
    assert wrong.returncode == 2
    assert "cannot use --jlink-modules java.sqll: " in wrong.stderr


def test_nothing_to_link(tmp_path: Path) -> None:
    run_slimtrace("-q", "run", "-o", "trace", "--", "true", cwd=str(tmp_path))
    check_failure(
        build(tmp_path, environment(), "--jlink", to="rootfs:slim"),
        125,
        "cannot link a Java runtime: no JVM ran in the traced runs",
        "build without --jlink",
    )
