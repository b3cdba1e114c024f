"""The same image and command give the same digest, for any user and in any environment."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from entries import find_difference, read_entries
from requirements import need_root
from traces import command, environment
from umoci_images import run_command, unpack_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

APP = """
import os, secrets, subprocess, tempfile, threading, sqlite3, uuid
for module in {"json", "csv", "decimal", "email.mime.text", "html.parser"}:
    __import__(module)
names = "xml.dom.minidom", "wave"
threads = [threading.Thread(target=__import__, args=(name,)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with tempfile.NamedTemporaryFile("w", delete=False) as file:
    file.write(secrets.token_hex())
os.mkdir(f"/tmp/{uuid.uuid4()}")
open(f"/proc/{os.getpid()}/status").read()
open(f"/var/tmp/{os.getpid()}.lock", "w").close()
subprocess.run(["/bin/true"], check=True)
sqlite3.connect(f"/tmp/{os.getpid()}.db").execute("create table t (x)")
print("done")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every user can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as name:
        run_command("chmod", "755", name)
        yield Path(name)
        subprocess.run(["chmod", "-R", "u+rwX", name], check=False, capture_output=True)


def test_the_environment_does_not_matter(
    full: str, open_folder: Path, unprivileged: Sequence[str]
) -> None:
    """As root and as an ordinary user, in another directory, time zone, locale and umask."""
    need_root()
    image = full.removeprefix("oci:").removesuffix(":latest")
    shutil.copytree(image, open_folder / "full")
    subprocess.run(["chmod", "-R", "a+rX", str(open_folder / "full")], check=True)
    settings = (
        (0o022, "UTC", "C.UTF-8", "0", ()),
        (0o077, "Asia/Kathmandu", "C", "4711", unprivileged),
        (0o007, "America/St_Johns", "POSIX", "random", ("setarch", "-R")),
    )
    made = []
    for number, (umask, zone, locale, seed, prefix) in enumerate(settings):
        path = open_folder / f"place-{number}" / ("deep" * number)
        path.mkdir(parents=True)
        run_command("chmod", "777", str(path), str(path.parent))
        shutil.copytree(open_folder / "full", path / f"full{number}")
        env = {
            **environment(),
            "TZ": zone,
            "LC_ALL": locale,
            "PYTHONHASHSEED": seed,
            "HOME": str(path),
            "XDG_CACHE_HOME": f"{path}/cache",
            "LANG": locale,
            "USER": f"user{number}",
        }
        for arguments in (
            ("-q", "run", "--image", f"oci:full{number}:latest", "--", "python3", "-c", APP),
            ("-q", "build", "slimtrace.trace", "-o", "oci:slim:latest"),
        ):
            done = subprocess.run(
                [*prefix, *command(*arguments)],
                check=False,
                capture_output=True,
                text=True,
                cwd=path,
                env=env,
                umask=umask,
            )
            assert done.returncode == 0, done.stderr
        made.append(f"oci:{path}/slim:latest")
    trees = [
        read_entries(unpack_image(image, open_folder / f"tree-{number}"))
        for number, image in enumerate(made)
    ]
    for other in trees[1:]:
        assert find_difference(trees[0], other) is None
        assert find_difference(other, trees[0]) is None
    assert len({run_command("skopeo", "inspect", "--raw", image) for image in made}) == 1
