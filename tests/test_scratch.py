"""Temporary directories: what is left over goes, and nothing else ever does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_scylla.scratch import RECORD, clean_scratch, own_place, scratch
from tests.support.examples import write_files


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary directory, for this process and those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


HOLDS = """
from pytest_scylla.scratch import scratch
with scratch("home") as folder:
    print(folder, flush=True)
    input()
"""


def killed_in_the_middle() -> Path:
    """What a process leaves that is killed while it uses a temporary directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    (folder / "file").write_text("left over")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return folder


def test_a_temporary_directory_is_private_and_goes_away(temporary: Path) -> None:
    with scratch("home") as folder:
        assert folder.is_relative_to(own_place())
        assert own_place().stat().st_mode & 0o777 == 0o700
        (folder / "file").write_text("x")
        assert clean_scratch() == []
        assert (folder / "file").exists()
    assert list(own_place().iterdir()) == []


def test_what_a_killed_process_left_is_removed(temporary: Path) -> None:
    folder = killed_in_the_middle()
    assert folder.exists()
    assert clean_scratch() == [folder.parent]
    assert not folder.exists()


def test_nothing_of_the_users_is_ever_removed(temporary: Path) -> None:
    """Names that look like ours, in the temporary directory and in our place in it."""
    left = killed_in_the_middle()
    record = (left.parent / RECORD).read_text()
    names = ("scylla-demo", "scylla-results", "scylla-home-abc", "pytest-scylla-demo", ".scylla-x")
    inside = own_place().relative_to(temporary)
    files = {f"{name}/{part}": part for name in names for part in ("file", "files/file", RECORD)}
    files |= {f"{inside}/home-mine/file": "mine", f"{inside}/file": "mine"}
    files |= {f"{inside}/home-copied/{RECORD}": record, f"{inside}/home-copied/files/f": "mine"}
    write_files(temporary, files)
    (own_place() / "home-link").symlink_to(temporary / "scylla-demo")
    clean_scratch()
    assert {name: (temporary / name).read_text() for name in files} == files
    assert (own_place() / "home-link").is_symlink()
    assert not left.exists()


@pytest.mark.parametrize("taken", ["link", "open", "file"])
def test_a_place_that_is_not_ours_alone_is_neither_used_nor_cleaned(
    temporary: Path, taken: str
) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    if taken == "link":
        own_place().symlink_to(elsewhere)
    elif taken == "open":
        own_place().mkdir()
        own_place().chmod(0o777)
    else:
        own_place().write_text("mine")
    with scratch("home") as folder:
        assert not folder.resolve().is_relative_to(own_place())
        assert not folder.is_relative_to(elsewhere)
    with scratch("copy") as other:
        assert other.parents[2] == folder.parents[2], "one place for a process"
    assert clean_scratch() == []
    assert os.listdir(elsewhere) == []
