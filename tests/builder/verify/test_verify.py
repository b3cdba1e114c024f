"""``slimtrace verify``: missing files, healing, and images that it refuses."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from requirements import need, need_root, skip_missing
from roots import busybox_root
from traces import allow_all_users, check_failure, environment, run_slimtrace, show
from umoci_images import run_command

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

APP = {
    "app/job": "#!/bin/sh\nread -r name </given/which\ncat /app/$name && exec cat /app/first\n",
    "app/first": "first\n",
    "app/second": "second\n",
    "app/third": "third\n",
}
FORMS = (
    *("{}/app.tar", "oci:{}/app", "oci:{}/app:v1", "oci-archive:{}/app.oci"),
    *("docker-archive:{}/app.docker", "rootfs:{}/tree", "tar:{}/root.tar"),
)


@dataclass(frozen=True)
class Workspace:
    """A full image whose app reads the file named in ``given/which``.

    :ivar prefix: a command that runs slimtrace as another user.
    """

    folder: Path
    prefix: tuple[str, ...] = ()

    def slimtrace(self, *argv: str) -> subprocess.CompletedProcess[str]:
        env = environment(
            XDG_CACHE_HOME=str(self.folder / "cache"),
            XDG_STATE_HOME=str(self.folder / f"state-{'setpriv' in self.prefix}"),  # of each user
            TMPDIR=str(self.folder),
        )
        return run_slimtrace(*argv, cwd=str(self.folder), env=env, prefix=self.prefix)

    def give(self, name: str) -> None:
        (self.folder / "given" / "which").write_text(f"{name}\n")

    def trace(self, *argv: str) -> None:
        image = ("--image", f"rootfs:{self.folder}/full", "-v", f"{self.folder}/given:/given:ro")
        done = self.slimtrace("-q", "run", *image, *argv, "--", "/app/job")
        assert done.returncode == 0, done.stderr

    def build(self, to: str, *argv: str, keep: str = "closure") -> None:
        """Build an image without the files beside those that the app used."""
        done = self.slimtrace("-q", "build", "slimtrace.trace", "-o", to, "--keep", keep, *argv)
        assert done.returncode == 0, done.stderr

    def verify(self, image: str, *argv: str) -> tuple[int, dict[str, Any]]:
        """The exit status and the document of ``--json``."""
        done = self.slimtrace("verify", image, "--trace", "slimtrace.trace", "--json", *argv)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path
    (folder / "given").mkdir()
    busybox_root(folder / "full", {**APP, "given/which": ""})
    here = Workspace(folder)
    here.give("first")
    return here


def list_missing(verdict: dict[str, Any]) -> dict[str, str]:
    """Each missing path to the programs that looked it up."""
    return {
        item["path"]: " ".join(process.split()[0] for process in item["processes"])
        for item in verdict["missing"]
    }


@pytest.mark.parametrize("form", FORMS)
def test_an_image_in_any_form_that_build_writes(workspace: Workspace, form: str) -> None:
    image = form.format(workspace.folder)
    workspace.trace()
    workspace.build(image)
    status, verdict = workspace.verify(image)
    assert (status, verdict["verified"], verdict["missing"]) == (0, True, [])
    assert verdict["runs"][0]["exit_status"] == {"traced": 0, "now": 0}
    workspace.give("second")
    status, verdict = workspace.verify(image)
    assert (status, list_missing(verdict)) == (1, {"/app/second": "cat"})
    assert verdict["runs"][0]["exit_status"] == {"traced": 0, "now": 1}


def test_what_people_are_told(workspace: Workspace) -> None:
    workspace.trace()
    workspace.build("app.tar")
    done = workspace.slimtrace("verify", "app.tar", "--trace", "slimtrace.trace")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.endswith(
        "slimtrace: verified app.tar: nothing is missing, all went as traced\n"
    )
    workspace.give("second")
    done = workspace.slimtrace("-q", "verify", "app.tar", "--trace", "slimtrace.trace")
    messages = [line for line in done.stderr.splitlines() if line.startswith("slimtrace: ")]
    assert (done.returncode, messages) == (
        1,
        [
            "slimtrace: /app/job: exit status 1, but 0 when traced",
            "slimtrace: missing: /app/second (cat /app/second)",
            "slimtrace: warning: not verified: app.tar; --heal adds what is missing",
        ],
    )


@pytest.mark.parametrize("form", FORMS[:5])
def test_healing_adds_builds_and_remembers(workspace: Workspace, form: str) -> None:
    image = form.format(workspace.folder)
    workspace.trace()
    named = () if image.endswith(":v1") else ("-t", "name:v7")
    workspace.build(image, *named, "--label", "kept=yes")
    before = read_names(image)
    workspace.give("second")
    status, verdict = workspace.verify(image, "--heal")
    assert (status, verdict["missing"], verdict["healed"]) == (0, [], ["/app/second"])
    assert verdict["rounds"] == 2
    assert workspace.verify(image)[0] == 0
    assert read_names(image) == before
    assert show(f"{workspace.folder}/slimtrace.trace")["healed"] == ["/app/second"]
    done = workspace.slimtrace(
        "build", "slimtrace.trace", "-o", "rootfs:again", "--keep", "closure", "--json"
    )
    assert json.loads(done.stdout)["reasons"]["healed"] == 1
    assert (workspace.folder / "again/app/second").read_text() == "second\n"
    assert workspace.slimtrace("cache").stdout == "", "verify removes what it unpacked"


def test_healing_that_does_not_help_changes_nothing(workspace: Workspace) -> None:
    """The app fails as soon as the missing file exists."""
    shutil.copy(workspace.folder / "full/bin/busybox", workspace.folder / "full/bin/test")
    script = "#!/bin/sh\nread -r name </given/which\n"
    script += "test $name = first || test ! -e /app/second && cat /app/first\n"
    (workspace.folder / "full/app/job").write_text(script)
    workspace.trace()
    workspace.build("app.tar")
    files = [workspace.folder / name for name in ("slimtrace.trace", "app.tar")]
    before = [path.read_bytes() for path in files]
    workspace.give("second")
    done = workspace.slimtrace(
        "verify", "app.tar", "--trace", "slimtrace.trace", "--heal", "--json"
    )
    verdict = json.loads(done.stdout)
    assert (done.returncode, list_missing(verdict)) == (1, {"/app/second": "/bin/sh"})
    assert verdict["runs"][0]["exit_status"] == {"traced": 0, "now": 0}
    assert (verdict["healed"], verdict["rounds"]) == ([], 2)
    assert "adding 1 missing did not help: left out of the image and the trace" in done.stderr
    assert [path.read_bytes() for path in files] == before


def test_healing_keeps_what_helped_before_it_failed(workspace: Workspace) -> None:
    """The app gets further with the first file, and fails with the next."""
    script = "#!/bin/sh\nread -r name </given/which\ncat /app/$name || exit 0\n"
    script += "test $name = first || ! test -e /app/third\n"
    shutil.copy(workspace.folder / "full/bin/busybox", workspace.folder / "full/bin/test")
    (workspace.folder / "full/app/job").write_text(script)
    workspace.trace()
    workspace.build("app.tar")
    workspace.give("second")
    status, verdict = workspace.verify("app.tar", "--heal")
    assert (status, list_missing(verdict)) == (1, {"/app/third": "/bin/sh"})
    assert (verdict["healed"], verdict["rounds"]) == (["/app/second"], 3)
    assert verdict["runs"][0]["differences"] == []
    assert show(f"{workspace.folder}/slimtrace.trace")["healed"] == ["/app/second"]
    assert workspace.verify("app.tar")[1]["missing"] == verdict["missing"]


def read_names(image: str) -> str:
    """Whether the image has its name, and its label."""
    transport, colon, rest = image.partition(":")
    reference = image if colon and not rest.startswith("/") else f"docker-archive:{image}"
    if transport in {"oci", "oci-archive", "docker-archive"}:
        reference = image
    if transport in {"docker-archive", "oci-archive"} or not colon:
        path = rest or image
        table = "index.json" if transport == "oci-archive" else "manifest.json"
        text = run_command("tar", "xOf", path, table)
    else:
        with open(os.path.join(rest.partition(":")[0], "index.json")) as file:
            text = file.read()
    label = json.loads(run_command("skopeo", "inspect", "--config", reference))["config"]["Labels"][
        "kept"
    ]
    return f"{'name:v7' in text or ':v1' in image} {label}"


def test_what_was_excluded_is_left_out_on_purpose(workspace: Workspace) -> None:
    workspace.trace()
    workspace.build("app.tar", "--exclude", "/app/second")
    workspace.give("second")
    for argv in ((), ("--heal",)):
        status, verdict = workspace.verify("app.tar", *argv)
        assert (status, verdict["missing"], verdict["healed"]) == (1, [], [])
        assert [item["path"] for item in verdict["left_out"]] == ["/app/second"]
        assert verdict["runs"][0]["differences"] == ["exit status 1, but 0 when traced"]


def test_what_may_be_missing(workspace: Workspace) -> None:
    workspace.trace()
    workspace.build("app.tar")
    workspace.give("third")
    status, verdict = workspace.verify("app.tar", "--ignore", "/app/third")
    assert (status, verdict["missing"]) == (1, [])


def test_what_the_full_image_lacked_too_is_not_missing(workspace: Workspace) -> None:
    """Files that the app creates are not missing, even if the full image has them now."""
    script = "#!/bin/sh\ncat /app/none /work/made; echo x >/work/made\ncat /app/first\n"
    (workspace.folder / "full/app/job").write_text(script)
    workspace.trace()
    workspace.build("app.tar")
    (workspace.folder / "full/app/none").write_text("now it is there")
    (workspace.folder / "full/work/made").write_text("this too")
    assert workspace.verify("app.tar")[1]["missing"] == []


HARDENED = (
    ("--read-only", "echo x >/var/lib/x", "wrote in /var/lib: mount something there"),
    ("--read-only", "echo x >/tmp/x && echo x >/run/x && echo x >/var/lib/db/x", None),
    ("--cap-drop=all", "chmod 0 /app/first && cat /app/first", "it may be DAC_OVERRIDE"),
    ("--cap-drop=all", "cat /app/closed", "used /app/closed, which its mode denies to root"),
    ("--cap-drop=all --cap-add=dac_override", "cat /app/closed", None),
    (
        "--cap-drop=all",
        "chroot / /bin/sh -c :",
        "it had no SYS_CHROOT; when traced, the app called",
    ),
    ("--cap-drop=net_bind_service", "chmod 0 /app/first && cat /app/first", None),
    ("--user=1000:1001", "test $(id -u) = 0", ""),
)


@pytest.mark.parametrize(("options", "script", "hint"), HARDENED)
def test_hardened_runs_are_verified_too(
    workspace: Workspace, options: str, script: str, hint: str | None
) -> None:
    """Where a run then fails, a hint says what it lacked; ``/var/lib/db`` is a declared volume."""
    need_root()
    for name in ("test", "chroot"):
        (workspace.folder / "full/bin" / name).symlink_to("busybox")
    for name in ("var/lib/db", "run"):
        (workspace.folder / "full" / name).mkdir(parents=True)
    (workspace.folder / "full/app/closed").touch(0)
    (workspace.folder / "full/app/job").write_text(f"#!/bin/sh\n{script}\n")
    workspace.trace()
    more = ("--include", "/var/lib", "--volume", "/var/lib/db", "--user", "0:0")
    workspace.build("app.tar", *more)
    status, verdict = workspace.verify("app.tar", *options.split())
    assert (status, bool(verdict["hints"])) == (int(hint is not None), bool(hint))
    assert hint is None or hint in " ".join(verdict["hints"])


NET_RAW = 13  # linux/capability.h; no container has it by default
HAS_NET_RAW = f"""#!/bin/sh
while read -r name value; do
    test $name != CapBnd: || exec test $((0x$value >> {NET_RAW} & 1)) = 1
done </proc/self/status
"""


def test_a_capability_that_the_run_was_given(workspace: Workspace) -> None:
    """The trace says so, and the repeat has it, too."""
    with open("/proc/self/status") as file:
        bounding = next(line.split()[1] for line in file if line.startswith("CapBnd:"))
    if not int(bounding, 16) >> NET_RAW & 1:
        skip_missing("the capability NET_RAW")
    (workspace.folder / "full/bin/test").symlink_to("busybox")
    (workspace.folder / "full/app/job").write_text(HAS_NET_RAW)
    workspace.trace("--cap-add", "net_raw")
    image = f"rootfs:{workspace.folder}/full"
    assert workspace.verify(image)[0] == 0
    assert workspace.verify(image, "--cap-drop", "CAP_NET_RAW")[0] == 1
    assert workspace.verify(image, "--cap-drop", "all", "--cap-add", "net_raw")[0] == 0
    both = ("--cap-drop", "net_raw", "--cap-add", "net_raw")
    check_failure(
        workspace.slimtrace("-q", "verify", image, "--trace", "slimtrace.trace", *both),
        2,
        "cannot use --cap-add NET_RAW: --cap-drop has it, too",
    )


def test_a_need_of_root_that_no_trace_tells(workspace: Workspace) -> None:
    """The image then runs as another user, and the verdict says so."""
    need_root()
    shutil.copy(workspace.folder / "full/bin/busybox", workspace.folder / "full/bin/test")
    (workspace.folder / "full/app/job").write_text("#!/bin/sh\ntest $(id -u) = 0\n")
    workspace.trace()
    workspace.build("app.tar")
    done = workspace.slimtrace("verify", "app.tar", "--trace", "slimtrace.trace")
    assert done.returncode == 1
    assert "it ran as 65532:65532, but as 0:0 when traced" in done.stderr
    assert "build with --user 0:0" in done.stderr


def test_an_ordinary_user_verifies_and_heals(
    tmp_path: Path, workspace: Workspace, unprivileged: tuple[str, ...]
) -> None:
    allow_all_users(tmp_path)
    user = Workspace(tmp_path, unprivileged)
    user.trace()
    user.build("app.tar")
    user.give("second")
    assert user.verify("app.tar")[0] == 1
    status, verdict = user.verify("app.tar", "--heal")
    assert (status, verdict["healed"]) == (0, ["/app/second"])


def test_a_second_run_is_verified_with_the_first(workspace: Workspace) -> None:
    workspace.trace()
    workspace.give("second")
    workspace.trace("--append")
    workspace.build("app.tar")
    status, verdict = workspace.verify("app.tar")
    assert (status, len(verdict["runs"])) == (0, 2)


def test_runs_of_different_users(workspace: Workspace) -> None:
    """The image has the user of its default run; --user is for all runs."""
    need_root()
    (workspace.folder / "full/app/job").write_text(
        "#!/bin/sh\ntest $(id -u) = $(cat /given/which)\n"
    )
    shutil.copy(workspace.folder / "full/bin/busybox", workspace.folder / "full/bin/test")
    shutil.rmtree(workspace.folder / "given")
    for number, (user, argv) in enumerate((("0", ()), ("1000", ("--append",)))):
        (workspace.folder / f"is-{number}").mkdir()
        (workspace.folder / f"is-{number}/which").write_text(user)
        shown = ("-v", f"{workspace.folder}/is-{number}:/given", "--user", f"{user}:{user}")
        image = ("--image", f"rootfs:{workspace.folder}/full")
        done = workspace.slimtrace("-q", "run", *image, *shown, *argv, "--", "/app/job")
        assert done.returncode == 0, done.stderr
    workspace.build("app.tar")
    status, verdict = workspace.verify("app.tar")
    assert status == 0, verdict
    status, verdict = workspace.verify("app.tar", "--user", "1000")
    assert [run["exit_status"]["now"] for run in verdict["runs"]] == [1, 0]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(workspace: Workspace, closed: str) -> None:
    workspace.trace()
    workspace.build("app.tar")
    shell = ("sh", "-c", f'exec "$@" {closed}', "sh")
    here = Workspace(workspace.folder, shell)
    done = here.slimtrace("-q", "verify", "app.tar", "--trace", "slimtrace.trace")
    assert done.returncode == 0, done.stderr


LAZY = """
import os, sys
name = open(sys.argv[1]).read().strip()
print(__import__(name).__name__)
"""


def test_a_module_whose_name_python_does_not_find_in_its_listing(tmp_path: Path) -> None:
    """The import system looks up only names that the directory listing contains."""
    here = Workspace(tmp_path)
    (tmp_path / "app.py").write_text(LAZY)
    (tmp_path / "name").write_text("this_one")
    for name in ("this_one", "other"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").write_text("from package import inner")
    (tmp_path / "package/inner.py").write_text("")
    python = os.path.realpath(shutil.which("python3", path="/usr/bin") or need_python())
    argv = ("-o", "slimtrace.trace", "--", python, "-IB", "app.py", str(tmp_path / "name"))
    script = LAZY.replace(
        "import os, sys", f"import os, sys; sys.path.insert(0, {str(tmp_path)!r})"
    )
    (tmp_path / "app.py").write_text(script)
    done = here.slimtrace("-q", "run", *argv)
    assert done.returncode == 0, done.stderr
    here.build("app.tar", "--include", str(tmp_path / "name"), keep="touched")
    for name, file in (("other", "other.py"), ("package", "package/__init__.py")):
        (tmp_path / "name").write_text(name)
        here.build("app.tar", "--allow-changed", keep="touched")
        status, verdict = here.verify("app.tar")
        assert status == 1
        assert f"{tmp_path}/{file}" in list_missing(verdict)
    status, verdict = here.verify("app.tar", "--heal")
    assert (status, verdict["missing"]) == (0, []), verdict
    assert f"{tmp_path}/package/inner.py" in verdict["healed"]


def need_python() -> str:
    need("python3")
    return "python3"


def test_an_image_of_other_runs_than_the_trace_has(workspace: Workspace) -> None:
    """All runs of the trace are repeated; healing keeps what the image has."""
    workspace.trace()
    workspace.build("app.tar", "--label", "kept=yes")
    (workspace.folder / "full/app/other").write_text("#!/bin/sh\ncat /app/third\n")
    (workspace.folder / "full/app/other").chmod(0o755)
    image = f"rootfs:{workspace.folder}/full"
    done = workspace.slimtrace("-q", "run", "--image", image, "-o", "b.trace", "--", "/app/other")
    assert done.returncode == 0, done.stderr
    argv = ("verify", "app.tar", "--trace", "b.trace")
    done = workspace.slimtrace(*argv)
    assert done.returncode == 1
    assert "app.tar was built from other runs than the 1 run of the trace\n" in done.stderr
    assert "slimtrace: /app/other: cannot run /app/other" in done.stderr
    done = workspace.slimtrace(*argv, "--heal")
    assert done.returncode == 0, done.stderr
    assert "healing keeps its files and adds to them, with the options that it records" in (
        done.stderr
    )
    assert read_names(f"{workspace.folder}/app.tar").endswith("yes")
    assert workspace.slimtrace(*argv).returncode == 0
    assert workspace.verify("app.tar")[0] == 0


def test_a_trace_with_more_runs_than_the_image_was_built_from(workspace: Workspace) -> None:
    workspace.trace()
    workspace.build("app.tar")
    workspace.trace("--append")
    status, verdict = workspace.verify("app.tar")
    assert (status, len(verdict["runs"])) == (0, 2)


def test_an_image_that_another_tool_made_or_changed(workspace: Workspace) -> None:
    """Its config says how to build it again; the rest are the defaults."""
    need("umoci")
    workspace.trace()
    workspace.build(f"oci:{workspace.folder}/app:v1")
    layout = f"{workspace.folder}/app:v1"
    run_command("umoci", "config", "--image", layout, "--config.label", "kept=yes")
    image = f"oci:{layout}"
    assert workspace.verify(image)[0] == 0
    workspace.give("second")
    done = workspace.slimtrace("verify", image, "--trace", "slimtrace.trace", "--heal")
    assert done.returncode == 0, done.stderr
    assert f"{image} does not say how it was built: healing keeps its files" in done.stderr
    assert "the user, command, variables and labels of its config" in done.stderr
    assert read_names(image) == "True yes"
    assert workspace.verify(image)[0] == 0


def test_trees_that_nobody_says_anything_of(workspace: Workspace) -> None:
    workspace.trace()
    os.makedirs(f"{workspace.folder}/empty")
    status, verdict = workspace.verify("rootfs:empty")
    assert (status, verdict["verified"], verdict["runs"][0]["exit_status"]["now"]) == (
        1,
        False,
        None,
    )
    workspace.build("tar:root.tar")
    workspace.give("second")
    status, verdict = workspace.verify("tar:root.tar", "--heal")
    assert (status, verdict["healed"]) == (0, ["/app/second"])
    workspace.build("rootfs:tree")
    check_failure(
        workspace.slimtrace("-q", "verify", "rootfs:tree", "--trace", "slimtrace.trace", "--heal"),
        2,
        "cannot heal rootfs:tree: build writes only to a new or empty folder",
        "slimtrace slim",
    )


def test_what_was_not_tried(workspace: Workspace) -> None:
    """Input was read from a pipe, and requests came from outside."""
    (workspace.folder / "full/app/job").write_text("#!/bin/sh\nread -r line\ncat /app/first\n")
    shell = Workspace(workspace.folder, ("sh", "-c", 'echo input | "$@"', "sh"))
    shell.trace()
    image = f"rootfs:{workspace.folder}/full"
    done = workspace.slimtrace("verify", image, "--trace", "slimtrace.trace")
    assert done.returncode == 0, done.stderr
    assert "not tried: /app/job: its input from a pipe was not repeated" in done.stderr
    assert "nothing is missing, what was tried went as traced\n" in done.stderr
    assert len(workspace.verify(image)[1]["not_repeated"]) == 1


def test_a_full_image_that_is_gone(workspace: Workspace) -> None:
    workspace.trace()
    workspace.build("app.tar")
    os.rename(workspace.folder / "full", workspace.folder / "moved")
    done = workspace.slimtrace("verify", "app.tar", "--trace", "slimtrace.trace")
    assert done.returncode == 125
    assert f"cannot read the full image {workspace.folder}/full" in done.stderr
    assert workspace.verify("app.tar", "--image", f"rootfs:{workspace.folder}/moved")[0] == 0


def test_a_volume_that_is_not_here_can_be_given_anew(workspace: Workspace) -> None:
    workspace.trace()
    workspace.build("app.tar")
    os.rename(workspace.folder / "given", workspace.folder / "elsewhere")
    done = workspace.slimtrace("-q", "verify", "app.tar", "--trace", "slimtrace.trace")
    check_failure(
        done,
        125,
        f"cannot mount /given: {workspace.folder}/given does not exist on this machine",
        "mount something else there: --volume HOST:/given",
    )
    assert workspace.verify("app.tar", "-v", "elsewhere:/given")[0] == 0


def test_an_app_whose_program_is_not_in_the_image(workspace: Workspace) -> None:
    workspace.trace()
    workspace.build("app.tar", "--exclude", "/app/job")
    status, verdict = workspace.verify("app.tar")
    assert status == 1
    assert "/app/job" in verdict["runs"][0]["differences"][0]
    assert verdict["runs"][0]["exit_status"]["now"] is None
