"""From options and image configs to a run: accounts, configs, options, paths."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from roots import ACCOUNTS
from traces import check_failure, run_slimtrace

from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.image.run_config import (
    choose_command,
    make_image_run,
    parse_image_stop_signal,
)
from slimtrace.tracer.image.runtime import Volume, parse_volume
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.process.root_view import HOST_VIEW, SandboxView, resolve_parent
from slimtrace.tracer.sandbox.users import Account, find_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

# ---- the command and the environment

BOTH = {"Entrypoint": ["/entry", "-x"], "Cmd": ["serve", "80"]}


@pytest.mark.parametrize(
    ("config", "words", "entrypoint", "expected"),
    [
        (BOTH, [], None, "/entry -x serve 80"),
        (BOTH, ["other"], None, "/entry -x other"),
        (BOTH, ["other"], "", "other"),
        (BOTH, [], "/bin/sh", "/bin/sh"),
        (BOTH, ["-c", "ls"], "/bin/sh", "/bin/sh -c ls"),
        (BOTH, ["c"], '["/a", "b"]', "/a b c"),
        ({"Cmd": ["python", "app.py"]}, [], None, "python app.py"),
        ({"Cmd": ["sh"]}, ["python", "app.py"], None, "python app.py"),
        ({"Entrypoint": None, "Cmd": None}, ["ls"], None, "ls"),
    ],
)
def test_command(
    config: dict[str, Any], words: Sequence[str], entrypoint: str | None, expected: str
) -> None:
    assert " ".join(choose_command(config, words, entrypoint)) == expected


@pytest.mark.parametrize(("config", "entrypoint"), [({}, None), (BOTH, "")])
def test_no_command(config: dict[str, Any], entrypoint: str | None) -> None:
    with pytest.raises(SlimtraceError, match="neither Entrypoint nor Cmd"):
        choose_command(config, [], entrypoint)


@pytest.mark.parametrize("entrypoint", ["[1]", '["a"', "[{}]"])
def test_an_entrypoint_that_is_not_a_list(entrypoint: str) -> None:
    with pytest.raises(UsageError, match="not a JSON list of strings"):
        choose_command({}, [], entrypoint)


def test_the_image_config_sets_the_run() -> None:
    config = {"Env": ["A=1", "B=x=y", "broken"], "User": "web:www", "WorkingDir": "/app/"}
    inside = make_image_run("oci:x", "/tree", "sha256:0", config)
    assert inside.env == {"A": "1", "B": "x=y"}
    assert (inside.user, inside.workdir, inside.digest) == ("web:www", "/app", "sha256:0")


def test_options_override_the_image_config() -> None:
    config = {"Env": ["A=1", "B=2"], "User": "web", "WorkingDir": "/app"}
    inside = make_image_run(
        "oci:x",
        "/tree",
        None,
        config,
        env=["A=", "HOME", "ABSENT", "C=3"],
        user="0",
        workdir="/srv/../work",
        machine={"HOME": "/home/of-the-machine"},
    )
    assert inside.env == {"A": "", "B": "2", "HOME": "/home/of-the-machine", "C": "3"}
    assert (inside.user, inside.workdir) == ("0", "/work")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Env", 5),
        ("Env", "A=1"),
        ("Env", ["A=\0"]),
        ("Cmd", "id"),
        ("Entrypoint", ["id", 1]),
        ("Cmd", ["\0"]),
        ("WorkingDir", "/a\0"),
        ("User", ["web"]),
    ],
)
def test_an_invalid_image_config(name: str, value: object) -> None:
    config = {"Cmd": ["id"], name: value}
    with pytest.raises(
        SlimtraceError, match=f"its {name} is not a (list of )?strings? without NUL"
    ):
        choose_command(config, [], None), make_image_run("oci:x", "/tree", None, config)


def test_an_image_whose_directory_is_relative() -> None:
    with pytest.raises(SlimtraceError, match="cannot run oci:x: its WorkingDir rel is not"):
        make_image_run("oci:x", "/tree", None, {"WorkingDir": "rel"})


@pytest.mark.parametrize("given", [{"env": ["=x"]}, {"workdir": "here"}])
def test_invalid_options(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make_image_run("oci:x", "/tree", None, {}, **given)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("SIGQUIT", signal.SIGQUIT),
        ("int", signal.SIGINT),
        ("3", signal.SIGQUIT),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("SIGNOTHING", None),
        ("999", None),
        (None, None),
    ],
)
def test_stop_signal(said: str | None, expected: signal.Signals | None) -> None:
    assert parse_image_stop_signal({"StopSignal": said}) is expected


# ---- accounts


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    for name, text in ACCOUNTS.items():
        (tmp_path / name).write_text(text + "broken:x\n:::::\n")
    return tmp_path


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Account(0, 0, (50,), "/root")),
        ("0", Account(0, 0, (50,), "/root")),
        ("web", Account(1000, 1001, (50,), "/srv")),
        ("1000", Account(1000, 1001, (50,), "/srv")),
        ("web:other", Account(1000, 60, (), "/srv")),
        ("web:7", Account(1000, 7, (), "/srv")),
        ("1234", Account(1234, 0, (), "/")),
        ("1234:extra", Account(1234, 50, (), "/")),
    ],
)
def test_account(tree: Path, user: str, expected: Account) -> None:
    assert find_account(str(tree), user) == expected


@pytest.mark.parametrize(
    ("user", "said"), [("nobody", "no such user"), ("web:nobody", "no such group")]
)
def test_unknown_accounts(tree: Path, user: str, said: str) -> None:
    with pytest.raises(SlimtraceError, match=said):
        find_account(str(tree), user)


def test_accounts_are_read_from_the_tree_only(tree: Path, tmp_path: Path) -> None:
    """An absolute symlink is resolved in the tree; without tables, only numbers are accepted."""
    (tree / "etc/passwd").unlink()
    (tree / "etc/passwd").symlink_to("/etc/elsewhere")
    assert find_account(str(tree), "0") == Account(0, 0, (), "/")
    (tree / "etc/elsewhere").write_text("root:x:0:9::/r:\n")
    assert find_account(str(tree), "root") == Account(0, 9, (50,), "/r")


@pytest.mark.parametrize("user", ["4294967295", "4294967296", "0:4294967296", "9" * 5000])
def test_invalid_ids(tree: Path, user: str) -> None:
    with pytest.raises(SlimtraceError, match="IDs are numbers from 0 to 4294967294"):
        find_account(str(tree), user)


@pytest.mark.parametrize("user", ["0", "web"])
def test_a_table_with_an_invalid_id(tree: Path, user: str) -> None:
    (tree / "etc/passwd").write_text(f"web:x:{'9' * 5000}:0::/:\nroot:x:0:4294967296::/r:\n")
    with pytest.raises(SlimtraceError, match="IDs are numbers from 0 to 4294967294"):
        find_account(str(tree), user)


def test_a_table_that_is_a_pipe_is_ignored(tree: Path) -> None:
    (tree / "etc/passwd").unlink()
    os.mkfifo(tree / "etc/passwd")
    assert find_account(str(tree), "0") == Account(0, 0, (), "/")


# ---- options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}:/a", Volume("{}", "/a")),
        ("{}:/a/../b/:ro", Volume("{}", "/b", read_only=True)),
        ("{}:/a:rw", Volume("{}", "/a")),
        ("{}://a//b", Volume("{}", "/a/b")),
    ],
)
def test_volume(tmp_path: Path, text: str, expected: Volume) -> None:
    wanted = expected._replace(source=str(tmp_path))
    assert parse_volume(text.format(tmp_path)) == wanted


@pytest.mark.parametrize("text", ["/tmp", "/tmp:a", ":/a", "/tmp:/a:z", "/tmp:/a:", "/tmp:/a/.."])
def test_invalid_volumes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_volume(text)


IMAGE = ("--image", "rootfs:/")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "cannot run: COMMAND is missing"),
        (["--exec-in", "ls", "--", "true"], 2, "cannot use --exec-in without --image"),
        (["-v", "/a:/b", "--", "true"], 2, "cannot use --volume without --image"),
        (["--init", "--", "true"], 2, "cannot use --init without --image"),
        ([*IMAGE, "--security-opt", "label=disable"], 2, "only no-new-privileges is known"),
        (["--entrypoint", "", "--", "true"], 2, "cannot use --entrypoint without --image"),
        ([*IMAGE, "--network", "bridge"], 2, "cannot use --network bridge: choose host or none"),
        ([*IMAGE, "--exec-in", "a 'b"], 2, "cannot use --exec-in a 'b: No closing quotation"),
        ([*IMAGE, "--exec-in", ""], 2, "cannot use --exec-in with nothing to run"),
        (["--image", "rootfs:/no/such"], 125, "cannot read rootfs:/no/such: it is not a directory"),
        (["--image", "What:x"], 2, "it is not an image reference"),
        (
            [*IMAGE, "--network", "none", "--ready", "tcp:80"],
            2,
            "cannot use --ready tcp:80 with --network none: nothing outside reaches the app",
        ),
    ],
)
def test_options(tmp_path: Path, words: Sequence[str], status: int, said: str) -> None:
    done = run_slimtrace("run", "-o", str(tmp_path / "t"), *words, cwd=str(tmp_path))
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# ---- looking into a root


@pytest.fixture
def there() -> Iterator[SandboxView]:
    """Return a view of our own root as if it were another root."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    yield SandboxView(fd, os.getpid(), os.getpid(), grants_privileges=True)
    os.close(fd)


def _state(look: Callable[[], os.stat_result]) -> tuple[int, int] | None:
    try:
        status = look()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def test_both_views_agree(there: SandboxView, tmp_path: Path) -> None:
    """On this machine's root, openat2 and plain calls give the same results."""
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/f").write_text("")
    links = {"up": "..", "f": "d/f", "abs": f"{tmp_path}/d", "gone": "d/none", "loop": "loop"}
    links |= {"far": "gone/x", "twice": "abs/e/../f", "root": "/", "self": "/proc/self/cwd"}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    names = [
        "",
        "d",
        "d/f",
        "d/f/x",
        "abs/e",
        "abs/none/x",
        "gone/y",
        "up/..",
        "abs/../f",
        "loop/x",
    ]
    paths = [os.fsencode(f"{tmp_path}/{name}".rstrip("/")) for name in (*names, *links)]
    with open(tmp_path / "d/f", "rb") as file:
        fd = file.fileno()
        own = b"/proc/%d" % os.getpid()
        paths += [own + b"/exe", own + b"/cwd/none", own + b"/fd/%d" % fd, own + b"/status"]
        paths += [b"/", b"/proc/self/fd/%d" % fd, b"/dev/null", b"/dev/stdin", b"/etc/mtab"]
        for path in paths:
            here_view, view = (
                HOST_VIEW.replace_self(os.getpid(), path),
                there.replace_self(os.getpid(), path),
            )
            for follow in (True, False):
                assert _state(lambda: there.stat(view, follow_symlinks=follow)) == _state(  # noqa: B023
                    lambda: HOST_VIEW.stat(here_view, follow_symlinks=follow)  # noqa: B023
                ), (path, follow)
            assert there.resolve_magic_link(os.getpid(), path) == HOST_VIEW.resolve_magic_link(
                os.getpid(), path
            ), path
            if not path.startswith((b"/proc/", b"/dev/")) and b"self" not in path:
                assert there.resolve_path(path) == HOST_VIEW.resolve_path(path), path
                assert resolve_parent(there, path) == resolve_parent(HOST_VIEW, path), path
    assert not there.has_other_root(os.getpid())


def test_a_link_whose_target_ends_with_deleted(tmp_path: Path) -> None:
    """d_path appends " (deleted)" to a deleted file's path, but a real name can end so too."""
    named = tmp_path / "x (deleted)"
    named.write_text("")
    with open(named, "rb") as file:
        link = b"/proc/%d/fd/%d" % (os.getpid(), file.fileno())
        assert magic_links.read_link(link) == os.fsencode(named)
        named.unlink()
        assert magic_links.read_link(link) is None


def test_both_views_fail_alike(tmp_path: Path) -> None:
    done = run_slimtrace("run", "-v", "/no/such:/b", *IMAGE, "--", "true", cwd=str(tmp_path))
    check_failure(
        done,
        125,
        "slimtrace: cannot use --volume /no/such:/b: /no/such does not exist",
        "slimtrace: HOST is a file or directory of this machine: there are no named volumes",
    )
