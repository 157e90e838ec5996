"""The results tree: a file appears whole or not at all, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla import store
from pytest_scylla.reading import names_within, read_bytes, read_within
from pytest_scylla.results import RunFailure, TokenStats
from pytest_scylla.store import (
    TEMPORARY,
    RunDir,
    clean_temporary,
    digest,
    digest_tree,
    parse_json,
    read_json,
    read_model,
    remove_tree,
    text_of,
    write_bytes,
    write_json,
    write_text,
)
from tests.support.examples import law, law_on_disk, read_tree, write_files

text = st.text(max_size=5)
number = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | number | text
values = plain | st.lists(plain, max_size=3) | st.dictionaries(text, plain, max_size=3)
objects = st.dictionaries(text, values, max_size=4)


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


# -- files -----------------------------------------------------------------------------------------


@law_on_disk
@given(objects)
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    with folder() as root:
        write_json(root / "new" / "file.json", value)
        assert read_json(root / "new" / "file.json") == value


@law_on_disk
@given(objects, st.data())
def test_a_part_of_a_file_is_never_taken_for_the_file(
    value: dict[str, Any], data: st.DataObject
) -> None:
    with folder() as root:
        path = root / "file.json"
        write_json(path, value)
        whole = path.read_bytes().rstrip()
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        assert read_json(path) is None


@law_on_disk
@given(st.binary())
def test_reading_never_raises(content: bytes) -> None:
    with folder() as root:
        (root / "file.json").write_bytes(content)
        assert isinstance(read_json(root / "file.json"), dict | None)
        assert isinstance(read_model(root / "file.json", TokenStats), TokenStats | None)


def test_half_an_emoji_is_marked_and_the_record_is_written_and_read(tmp_path: Path) -> None:
    """Programs in JavaScript cut texts by UTF-16 units, and no file in UTF-8 takes such a half."""
    said = '{"a\\ud83d": ["\\ud83d\\ude00 \\uD83D", {"x": 1}]}'
    expected = {"a�": ["😀 �", {"x": 1}]}
    assert parse_json(said) == expected
    write_json(tmp_path / "value.json", json.loads(said))
    assert read_json(tmp_path / "value.json") == expected
    failure = RunFailure(kind="crash", message="no \udcff 😀", stage="agent", at="now")
    write_json(tmp_path / "record.json", failure)
    written = read_model(tmp_path / "record.json", RunFailure)
    assert written is not None
    assert written.message == "no � 😀"


def test_what_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "missing.json") is None
    assert read_json(tmp_path) is None
    assert read_model(tmp_path / "missing.json", TokenStats) is None


def test_a_record_that_lacks_a_field_reads_as_none(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"input_tokens": "many"})
    assert read_model(tmp_path / "file.json", TokenStats) is None


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_lacks_is_refused_and_the_old_file_stays(
    tmp_path: Path, number: float
) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"score": 1.0})
    with pytest.raises(ValueError):
        write_json(path, {"score": number})
    assert read_json(path) == {"score": 1.0}
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with pytest.raises(OSError):
        write_bytes(tmp_path / "place", b"content")
    assert os.listdir(tmp_path) == ["place"]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "file").symlink_to("target")
    write_text(tmp_path / "file", "new", sync=True)
    assert (tmp_path / "target").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new"
    assert not (tmp_path / "file").is_symlink()


WRITER = """
import itertools, sys
from pathlib import Path
from pytest_scylla.store import write_bytes
for letter in itertools.cycle(b"abc"):
    write_bytes(Path(sys.argv[1]), bytes([letter]) * 1_000_000)
"""


def test_a_reader_never_sees_half_a_file_while_its_writers_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for reads in (1, 10, 60, 300):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        try:
            while not path.exists():
                assert writer.poll() is None
            for _ in range(reads):
                assert_whole(path)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert_whole(path)
    clean_temporary(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


def assert_whole(path: Path) -> None:
    content = path.read_bytes()
    assert len(content) == 1_000_000
    assert content == content[:1] * len(content)


def test_there_may_be_nothing_to_clean(tmp_path: Path) -> None:
    clean_temporary(tmp_path / "missing")


# -- digests ---------------------------------------------------------------------------------------


@law
@given(objects)
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@law
@given(st.dictionaries(text, text, max_size=3), st.dictionaries(text, text, max_size=3))
def test_different_values_have_different_digests(a: dict[str, str], b: dict[str, str]) -> None:
    assert (digest(a) == digest(b)) == (a == b)


@law
@given(text | st.binary() | values)
def test_a_digest_is_short_plain_text(value: Any) -> None:
    assert len(digest(value)) == 16
    assert set(digest(value)) <= set("0123456789abcdef")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = write_files(tmp_path / "tree", {"a": "1", "sub/b": "2", "sub/c": "3", ".git/x": "4"})
    (root / "link").symlink_to("a")
    return root


def test_a_copy_of_a_directory_has_its_digest(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "copy", symlinks=True)
    os.utime(tmp_path / "copy" / "a", (1, 1))
    assert digest_tree(tmp_path / "copy") == digest_tree(tree)


@pytest.mark.parametrize(
    "change",
    [
        "echo other > sub/b",
        "rm a",
        "mv a z",
        "mv sub/b b",
        "chmod +x a",
        "touch new",
        "ln -sfn sub/b link",
        "ln -s sub folder",
        "ln -s nowhere dangling",
    ],
)
def test_every_change_of_a_directory_changes_its_digest(tree: Path, change: str) -> None:
    before = digest_tree(tree)
    subprocess.run(change, shell=True, cwd=tree, check=True)
    assert digest_tree(tree) != before


def test_another_target_of_a_link_to_a_directory_changes_the_digest(tree: Path) -> None:
    (tree / "folder").symlink_to("sub")
    before = digest_tree(tree)
    (tree / "folder").unlink()
    (tree / "folder").symlink_to(".git")
    assert digest_tree(tree) != before


def test_ignored_names_do_not_count(tree: Path) -> None:
    before = digest_tree(tree, [".git"])
    write_files(tree, {".git/y": "5", "sub/.git/z": "6"})
    assert digest_tree(tree, [".git"]) == before
    assert digest_tree(tree) != before


# -- directories -----------------------------------------------------------------------------------


def test_a_tree_without_write_permission_is_removed(tree: Path) -> None:
    (tree / "sub").chmod(0o500)
    (tree / "a").chmod(0o400)
    remove_tree(tree)
    assert not tree.exists()


def test_removing_a_tree_leaves_alone_what_its_links_point_to(tree: Path, tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside", {"keep": "1"})
    (tree / "sub" / "way-out").symlink_to(outside)
    remove_tree(tree)
    assert (outside / "keep").read_text() == "1"


def test_a_link_in_the_place_of_a_tree_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside", {"keep": "1"})
    link = tmp_path / "link"
    for target in (outside, tmp_path / "nowhere"):
        link.symlink_to(target)
        remove_tree(link)
        assert not link.is_symlink()
    assert (outside / "keep").read_text() == "1"


def test_a_file_in_the_place_of_a_tree_is_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    remove_tree(tmp_path / "file")
    remove_tree(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")
    assert (text_of(tmp_path / "pipe"), read_json(tmp_path / "pipe")) == ("", None)
    remove_tree(tmp_path / "pipe")
    assert os.listdir(tmp_path) == []


names = st.text("abc", min_size=1, max_size=3)
paths = st.builds(
    lambda first, more: "/".join([first, *more]),
    st.sampled_from(["agent", "judge", "workspace", "run_result.json", "tampering_"]),
    st.lists(names, max_size=2),
)
trees = st.dictionaries(paths, st.binary(max_size=20), min_size=1, max_size=6).filter(
    lambda tree: not any(a.startswith(f"{b}/") for a in tree for b in tree)
)


@law_on_disk
@given(st.lists(trees, max_size=4))
def test_setting_a_run_aside_keeps_all_that_every_execution_left(
    executions: list[dict[str, bytes]],
) -> None:
    with folder() as root:
        run = RunDir(root / "run_01")
        for number, files in enumerate(executions, 1):
            write_files(run.path, files)
            assert run.set_aside() == run.attempts / f"attempt_{number:02d}"
        assert run.set_aside() is None
        assert run.attempt_numbers() == list(range(1, len(executions) + 1))
        for number, files in enumerate(executions, 1):
            kept = read_tree(run.attempts / f"attempt_{number:02d}")
            assert {name: content for name, (_, _, content) in kept.items()} == files


def test_a_run_directory_that_is_not_there_has_nothing_to_set_aside(tmp_path: Path) -> None:
    assert RunDir(tmp_path / "run_01").set_aside() is None
    assert RunDir(tmp_path / "run_01").attempt_numbers() == []
    assert not (tmp_path / "run_01").exists()


def test_half_written_files_are_no_attempt(tmp_path: Path) -> None:
    run = RunDir(write_files(tmp_path / "run_01", {f"{TEMPORARY}7-run_result.json": "{"}))
    assert run.set_aside() is None


def cut_off_while_writing(folder: Path, name: str) -> None:
    """What a process leaves that is killed before it moves a file into place."""
    child = os.fork()
    if not child:
        os.replace = lambda *_: os._exit(0)
        write_text(folder / name, "half")
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_only_half_written_files_of_ours_are_removed(tmp_path: Path) -> None:
    mine = {
        f"{TEMPORARY}7-a.json": "mine", ".writing-notes": "mine",
        f"{TEMPORARY}7-01234567-a.json": "mine", f"{TEMPORARY}7-01234567-a/b": "mine",
    }  # fmt: skip
    write_files(tmp_path, mine)
    before = read_tree(tmp_path)
    for name in ("result.json", "ü\n"):
        cut_off_while_writing(tmp_path, name)
    assert len(os.listdir(tmp_path)) == len(mine) + 2
    clean_temporary(tmp_path)
    assert read_tree(tmp_path) == before


def test_a_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    """The name under which it is written can be foretold."""
    write_files(tmp_path, {"mine": "mine"})
    (tmp_path / store._temporary(os.getpid(), "result.json")).symlink_to("mine")
    write_text(tmp_path / "result.json", "ours")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "result.json").read_text() == "ours"


def test_what_is_not_of_an_execution_stays_when_a_run_is_set_aside(tmp_path: Path) -> None:
    run = RunDir(write_files(tmp_path / "run_01", {"agent/a": "1", "notes.txt": "mine"}))
    assert run.set_aside() == run.attempts / "attempt_01"
    assert (run.path / "notes.txt").read_text() == "mine"


def test_a_new_attempt_never_takes_the_place_of_one_that_is_there(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run_01")
    write_files(
        run.path, {"attempts/attempt_07/a": "old", "attempts/notes": "x", "error.json": "new"}
    )
    assert run.set_aside() == run.attempts / "attempt_08"
    assert run.attempt_numbers() == [7, 8]
    assert (run.attempts / "attempt_07" / "a").read_text() == "old"


def test_judge_slots_are_counted_from_one(tmp_path: Path) -> None:
    assert RunDir(tmp_path).judge_slot(1) == tmp_path / "judge" / "judge_01"


# -- what an agent may have put there --------------------------------------------------------------


@law_on_disk
@given(st.binary(max_size=300_000), st.integers(0, 300_000))
def test_a_file_is_read_whole_or_is_too_large(data: bytes, most: int) -> None:
    with folder() as root:
        (root / "file").write_bytes(data)
        if len(data) <= most:
            assert read_bytes(root / "file", most) == data
        else:
            with pytest.raises(OSError, match="larger than"):
                read_bytes(root / "file", most)


def planted(root: Path, outside: Path) -> list[str]:
    """Places below `root` that are no files of its own."""
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "socket"))
    (root / "device").symlink_to("/dev/zero")
    (root / "link").symlink_to(outside / "secret")
    (root / "folder").mkdir()
    (root / "way").symlink_to(outside)
    return ["pipe", "socket", "device", "link", "folder", "way/secret", "way/deep/secret", "none"]


def test_nothing_but_a_file_of_its_own_is_read_of_a_place_that_an_agent_wrote(
    tmp_path: Path,
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_files(root, {"own/deep/file": "mine"})
    write_files(outside, {"secret": "not yours", "deep/secret": "not yours"})
    for name in planted(root, outside):
        with pytest.raises(OSError):
            read_within(root, name, 1000)
    assert read_within(root, "own/deep/file") == b"mine"
    assert names_within(root, "own") == ["own/deep/file"]
    assert names_within(root, "way") == names_within(root, "none") == []
    (root / "own" / "way").symlink_to(outside)
    assert names_within(root, "own") == ["own/deep/file", "own/way"]


def test_a_reader_waits_for_no_writer_and_takes_no_endless_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device", "."):
        with pytest.raises(OSError):
            read_bytes(tmp_path / name)
        assert (text_of(tmp_path / name), read_json(tmp_path / name)) == ("", None)
