"""Temporary folders: made and removed with signals that arrive at any moment."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Never

import pytest

from slimtrace.tracer.temporary_folder import make_temporary_folder

if TYPE_CHECKING:
    from pathlib import Path


class Stopped(BaseException):
    pass


def stop(_number: int, _frame: object) -> Never:
    raise Stopped


def test_it_is_removed_with_its_files(tmp_path: Path) -> None:
    with make_temporary_folder(str(tmp_path), "x-") as folder:
        assert os.listdir(tmp_path) == [os.path.basename(folder)]
        assert os.path.basename(folder).startswith("x-")
        (tmp_path / folder / "file").write_text("x")
    assert os.listdir(tmp_path) == []


def test_a_signal_while_it_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives right after mkdir(2), when nothing knows the folder's name."""
    make = os.mkdir

    def make_and_signal(path: str, mode: int = 0o777) -> None:
        make(path, mode)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    monkeypatch.setattr(os, "mkdir", make_and_signal)
    try:
        with pytest.raises(Stopped), make_temporary_folder(str(tmp_path)):
            pass
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGTERM, before)
    assert os.listdir(tmp_path) == []


def test_where_none_can_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), make_temporary_folder(str(tmp_path / "missing")):
        pass
