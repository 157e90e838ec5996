"""What an agent left, as commands and judges get it: base and patch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_scylla.checks import run_check
from pytest_scylla.gitcommand import git
from pytest_scylla.recorded import recorded
from tests.support.examples import commit, make_repository, read_tree, write_files

Changed = Callable[[Path], None]

FILES = {
    "pkg/__init__.py": "",
    "src/lib.py": "x = 1\n",
    "tests/conftest.py": "# the task's\n",
    "tests/test_a.py": "# the task's\n",
    "tox.ini": "[pytest]\naddopts = -q\n",
}


@pytest.fixture
def base(tmp_path: Path) -> tuple[Path, str]:
    repository = make_repository(tmp_path / "source")
    return repository, commit(repository, "one", FILES)


def left(base: tuple[Path, str], patch: Path, change: Changed) -> tuple[Path, str, Path]:
    repository, id = base
    change(repository)
    git(["-C", str(repository), "add", "-A"])
    patch.write_text(git(["-C", str(repository), "diff", "--cached", "--binary"]) + "\n")
    return repository / ".git", id, patch


def test_it_is_the_base_and_the_patch(base: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Path) -> None:
        write_files(files, {"new.py": "2\n", "src/lib.py": "x = 2\n"})
        (files / "tests/test_a.py").unlink()

    made = left(base, tmp_path / "patch", change)
    with recorded(*made) as found:
        assert (found.files / "src/lib.py").read_text() == "x = 2\n"
        assert (found.files / "new.py").exists()
        assert not (found.files / "tests/test_a.py").exists()
        found.put_back(["tests/**"])
        assert (found.files / "tests/test_a.py").read_text() == FILES["tests/test_a.py"]
        known = found.origin
    assert {"pkg", "src", "lib"} <= set(known.modules)
    assert "new" not in known.modules
    assert (known.pytest_config, known.pytest_suffix) == (FILES["tox.ini"], ".ini")
    assert not found.files.exists()


def test_what_steers_pytest_and_python_is_the_tasks(base: tuple[Path, str], tmp_path: Path) -> None:
    def change(files: Path) -> None:
        planted = ("conftest.py", "tests/conftest.py", "pytest.ini", "a b/sitecustomize.py")
        write_files(files, dict.fromkeys(planted, "# the agent's\n"))
        write_files(files, {"usercustomize.py/a.txt": "a directory\n"})

    with recorded(*left(base, tmp_path / "patch", change)) as found:
        assert (found.files / "tests/conftest.py").read_text() == "# the task's\n"
        there = set(read_tree(found.files))
    assert {name for name in there if ".ini" in name or "customize" in name} == {"tox.ini"}
    assert "conftest.py" not in there


@pytest.mark.parametrize(
    ("target", "stays"),
    [
        ("src/lib.py", True),
        ("nowhere", True),
        ("/etc/passwd", False),
        ("../../outside", False),
        ("way/../../outside", False),
        ("src/../../outside", False),
    ],
)
def test_a_link_stays_where_it_leads_to_something_within(
    base: tuple[Path, str], tmp_path: Path, target: str, stays: bool
) -> None:
    def change(files: Path) -> None:
        (files / "way").symlink_to("src")
        (files / "link").symlink_to(target)

    with recorded(*left(base, tmp_path / "patch", change)) as found:
        assert (found.files / "link").is_symlink() == stays
        assert (found.files / "way").is_symlink()


def test_a_task_module_comes_first_and_one_that_was_added_last(
    base: tuple[Path, str], tmp_path: Path
) -> None:
    """`packaging` is there in every environment that has pytest."""

    def change(files: Path) -> None:
        write_files(files, {"packaging.py": "", "json.py": "", "mine.py": ""})

    shows = "import packaging, json, lib, mine; print(packaging, json, lib, mine)"
    repository, id, patch = left(base, tmp_path / "patch", change)
    with recorded(repository, id, patch) as found:
        said = run_check(f'python -c "{shows}"', found.files, 60, {}, found.origin).output
        assert said.count(os.path.realpath(found.files)) == 2, said
    changed = commit(base[0], "two", {})
    with recorded(repository, changed) as found:
        shows = 'python -c "import packaging; print(packaging)"'
        shown = run_check(shows, found.files, 60, {}, found.origin)
        assert os.path.realpath(found.files) in shown.output


@pytest.mark.parametrize("place", ["tests", "src"])
def test_nothing_is_written_where_links_of_the_work_lead(
    base: tuple[Path, str], tmp_path: Path, place: str
) -> None:
    outside = write_files(tmp_path / "outside", {"conftest.py": "mine", "test_a.py": "mine"})
    before = read_tree(outside)

    def change(files: Path) -> None:
        shutil.rmtree(files / place)
        (files / place).symlink_to(outside)
        write_files(files, {"conftest.py": "the agent's"})

    def again(files: Path) -> None:
        shutil.rmtree(files / place, ignore_errors=True)
        (files / place).symlink_to(outside)

    with recorded(*left(base, tmp_path / "patch", change)) as found:
        assert read_tree(outside) == before
        again(found.files)  # as the work may do within a check
        found.undo_steering()
        found.put_back(["tests/**", "src/**"])
        assert (found.files / "tests/conftest.py").read_text() == "# the task's\n"
    assert read_tree(outside) == before
