"""Temporary directories: only what we made ourselves, and can prove it, is ever removed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.errors import RunError
from pytest_scylla.scratch import SUFFIX, clean, clean_scratch, held, scratch, trouble
from tests.support.examples import law_on_disk, read_tree, write_files


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary directory."""
    return use(tmp_path / "tmp", monkeypatch)


def use(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place.mkdir(exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def own_place(temporary: Path) -> Path:
    return temporary / f"pytest-scylla-{os.getuid()}"


def killed_in(folder: Path) -> None:
    """A process that held `folder`, and ended before it could remove it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if not child:
        with held(folder):
            write_files(folder, {"files/a": "ours"})
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_temporary_directory_is_its_users_alone_and_goes_away(temporary: Path) -> None:
    with scratch("home") as folder:
        assert folder.parent == own_place(temporary)
        assert folder.name.startswith("home-")
        assert folder.parent.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "a").write_text("a")
    assert os.listdir(own_place(temporary)) == []


def test_what_a_killed_process_held_is_removed_and_what_is_held_stays(tmp_path: Path) -> None:
    killed_in(tmp_path / "dead")
    with held(tmp_path / "alive") as folder:
        (folder / "a").write_text("a")
        assert clean(tmp_path) == [tmp_path / "dead"]
        assert (folder / "a").read_text() == "a"
    assert os.listdir(tmp_path) == []


NAMES = st.sampled_from(
    ["scylla-demo", "home-1", "dead", "dead.scylla", "x.scylla", ".making-base-1.git", "1-session"]
)
RECORDS = st.sampled_from(
    ["", "{}", "[]", "null", "nonsense", '{"made_by": "pytest-scylla"}', '{"inode": 1}']
)


@law_on_disk
@given(st.dictionaries(NAMES, st.one_of(st.none(), RECORDS)), st.booleans())
def test_what_has_no_record_of_ours_is_never_removed(
    there: dict[str, str | None], whole: bool
) -> None:
    """Files of a user, and directories (None) with something in them."""
    with tempfile.TemporaryDirectory() as root:
        for name, content in there.items():
            files = {name: content} if content is not None else {f"{name}/a": "mine"}
            write_files(Path(root), files)
        if whole:  # of another directory than the one that is there
            folder = Path(root, "moved")
            killed_in(folder)
            folder.rename(Path(root, "theirs"))
            write_files(folder, {"a": "mine"})
        before = read_tree(Path(root))
        assert clean(Path(root)) == []
        after = read_tree(Path(root))
        assert after == {n: f for n, f in before.items() if n in after}
        assert set(before) - set(after) <= {f"moved{SUFFIX}"}


@pytest.mark.parametrize(
    "changes",
    [{"made_by": "somebody"}, {"inode": 1}, {"host": "another", "boot": "another"}, {"pid": None}],
)
def test_a_record_that_is_not_of_this_directory_and_machine_proves_nothing(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    killed_in(tmp_path / "dead")
    record = tmp_path / f"dead{SUFFIX}"
    record.write_text(json.dumps({**json.loads(record.read_text()), **changes}))
    assert clean(tmp_path) == []
    assert (tmp_path / "dead" / "files" / "a").read_text() == "ours"


def test_a_directory_from_before_the_machine_was_started_again_is_removed(tmp_path: Path) -> None:
    killed_in(tmp_path / "dead")
    record = tmp_path / f"dead{SUFFIX}"
    record.write_text(json.dumps({**json.loads(record.read_text()), "boot": "earlier"}))
    assert clean(tmp_path) == [tmp_path / "dead"]


def replace_by_a_link(folder: Path, outside: Path) -> None:
    folder.rename(folder.with_name("moved"))
    folder.symlink_to(outside)


def replace_by_a_directory(folder: Path, outside: Path) -> None:
    folder.rename(folder.with_name("moved"))
    outside.rename(folder)


def link_from_within(folder: Path, outside: Path) -> None:
    (folder / "link").symlink_to(outside)


@pytest.mark.parametrize("plant", [replace_by_a_link, replace_by_a_directory, link_from_within])
@pytest.mark.parametrize("how", ["ended", "killed"])
def test_nothing_is_removed_through_what_an_agent_planted(
    tmp_path: Path, plant: Callable[[Path, Path], None], how: str
) -> None:
    outside = write_files(tmp_path / "outside", {"a": "mine", "b/c": "mine"})
    folder = tmp_path / "place" / "home"
    before = read_tree(outside)
    if how == "killed":
        killed_in(folder)
        plant(folder, outside)
        clean(folder.parent)
    else:
        folder.parent.mkdir()
        with held(folder):
            plant(folder, outside)
    there = outside if outside.exists() else folder
    assert read_tree(there) == before


def can_mount() -> bool:
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return not subprocess.run(tried, capture_output=True, check=False).returncode


def in_a_mount_namespace(script: str, code: str) -> str:
    """What Python code prints after a shell script has mounted something."""
    words = f"set -e\n{script}\n{shlex.join([sys.executable, '-c', code])}"
    shown = subprocess.run(
        ["unshare", "-m", "sh", "-c", words], capture_output=True, text=True, check=True
    )
    return shown.stdout


own_mounts = pytest.mark.skipif(not can_mount(), reason="mounting needs root")


@own_mounts
def test_a_file_system_that_is_mounted_in_a_tree_is_not_emptied(tmp_path: Path) -> None:
    outside = write_files(tmp_path / "outside", {"a": "mine"})
    write_files(tmp_path / "tree", {"b/c": "ours", "b/m/d": "ours"})
    code = (
        "import sys, pathlib; from pytest_scylla.store import remove_tree\n"
        f"try: remove_tree(pathlib.Path({str(tmp_path / 'tree')!r}))\n"
        "except OSError as error: print(error)"
    )
    said = in_a_mount_namespace(f"mount --bind {outside} {tmp_path}/tree/b/m", code)
    assert "a file system is mounted in it" in said
    assert (outside / "a").read_text() == "mine"


# -- the place -------------------------------------------------------------------------------------


def as_link(place: Path) -> None:
    place.with_name("elsewhere").mkdir(mode=0o700)
    place.symlink_to("elsewhere")


def as_file(place: Path) -> None:
    place.write_text("mine")


def open_to_others(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


def of_another_user(place: Path) -> None:
    place.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(place, 12345, 12345)
    else:
        place.chmod(0o750)


@pytest.mark.parametrize("squat", [as_link, as_file, open_to_others, of_another_user])
def test_a_place_that_is_not_ours_is_neither_used_nor_cleaned(
    temporary: Path, squat: Callable[[Path], None]
) -> None:
    squat(own_place(temporary))
    if own_place(temporary).is_dir():
        killed_in(own_place(temporary).resolve() / "home-1")
    before = read_tree(temporary)
    with scratch("home") as folder:
        assert folder.parent == temporary
        assert folder.stat().st_mode & 0o777 == 0o700
    assert clean_scratch() == []
    assert read_tree(temporary) == before
    said = trouble()
    assert said
    assert str(own_place(temporary)) in said
    assert "next:" in said


def test_a_directory_in_which_anybody_may_replace_anything_is_no_place(temporary: Path) -> None:
    temporary.chmod(0o777)
    with scratch("home") as folder:
        assert folder.parent == temporary
    assert "anyone" in str(trouble())
    temporary.chmod(0o1777)
    assert trouble() is None


def test_a_tmpdir_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(tmp_path / "tmp", monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    said = trouble()
    assert said
    assert f"TMPDIR={tmp_path / 'nowhere'} cannot be written to" in said
    with scratch("home") as folder:
        assert folder.is_dir()


def test_no_directory_for_temporary_files_at_all_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(RunError, match=r"next: .*TMPDIR"), scratch("home"):
        pass
    assert clean_scratch() == []
    assert "TMPDIR" in str(trouble())


@own_mounts
def test_where_no_program_may_be_started_another_place_is_taken(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    code = (
        f"import os; os.environ['TMPDIR'] = {str(tmp_path / 'tmp')!r}\n"
        "from pytest_scylla.scratch import scratch, trouble\n"
        "with scratch('copy') as folder: print(folder)\n"
        "print(trouble())"
    )
    folder, *said = in_a_mount_namespace(
        f"mount -t tmpfs -o noexec tmpfs {tmp_path}/tmp", code
    ).splitlines()
    assert not folder.startswith(str(tmp_path))
    assert "noexec" in said[0]


def test_what_tmpreaper_took_is_made_again(temporary: Path) -> None:
    with scratch("home"):
        pass
    own_place(temporary).rmdir()
    with scratch("home") as folder:
        assert folder.is_dir()
