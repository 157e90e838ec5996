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


# -- its repository --------------------------------------------------------------------------------


def worked(files: Path) -> None:
    write_files(files, {"new/test_b.py": "2\n", "src/lib.py": "x = 2\n", "conftest.py": "evil\n"})
    (files / "tests/test_a.py").unlink()


SHOWN = {"git diff --name-status HEAD", "git diff --name-status"}
WORK = "A\tnew/test_b.py\nM\tsrc/lib.py\nD\ttests/test_a.py\n"


def shell(files: Path, command: str) -> str:
    found = run_check(command, files, 60, {})
    assert found.exit_code == 0, found.output
    return found.output


def test_the_work_is_uncommitted_in_a_repository_of_its_own(
    base: tuple[Path, str], tmp_path: Path
) -> None:
    git(["-C", str(base[0]), "tag", "v1.2"])
    repository, id, patch = left(base, tmp_path / "patch", worked)
    with recorded(repository, id, patch) as found:
        for command in SHOWN:
            assert sorted(shell(found.files, command)) == sorted(WORK)
        status = shell(found.files, "git status --porcelain").splitlines()
        assert status == [" A new/test_b.py", " M src/lib.py", " D tests/test_a.py"]
        assert shell(found.files, "git log --format=%H; git describe --tags") == f"{id}\nv1.2\n"
        found.put_back(["tests/**"])
        assert "test_a.py" not in shell(found.files, "git diff --name-only HEAD")
    with recorded(repository, id) as found:
        assert shell(found.files, "git status --porcelain; git diff HEAD") == ""


def test_what_a_command_does_to_the_repository_reaches_no_other(
    base: tuple[Path, str], tmp_path: Path
) -> None:
    """Neither the shared one nor the next command."""
    made = left(base, tmp_path / "patch", worked)
    before = read_tree(base[0])
    with recorded(*made) as found:
        spoils = (
            "git add -A && git commit -qm mine && git tag mine && git gc -q --prune=now && "
            "git config diff.external 'touch pwned' && git config core.fsmonitor 'touch pwned' && "
            "echo 'touch pwned' > .git/hooks-x && rm -rf .git/refs && echo junk > .git/index"
        )
        shell(found.files, spoils)
        assert read_tree(base[0]) == before
        found.undo()
        assert sorted(shell(found.files, "git diff --name-status HEAD")) == sorted(WORK)
        assert shell(found.files, "git tag; git log --format=%H") == f"{made[1]}\n"
        assert not (found.files / "pwned").exists()
        shell(found.files, "rm -rf .git && ln -s / .git || mkdir .git")
        found.undo()
        assert sorted(shell(found.files, "git diff --name-status HEAD")) == sorted(WORK)


def test_attributes_that_the_agent_left_turn_no_line_ends(
    base: tuple[Path, str], tmp_path: Path
) -> None:
    def change(files: Path) -> None:
        write_files(files, {".gitattributes": "* text=auto eol=crlf\n*.py filter=x\n"})
        write_files(files, {"a.txt": "1\n"})

    with recorded(*left(base, tmp_path / "patch", change)) as found:
        assert shell(found.files, "git diff --name-only HEAD") == ".gitattributes\na.txt\n"
        files = read_tree(found.files / "src")
        shell(found.files, "git add -A && git stash -q && git stash pop -q")
        assert (found.files / "a.txt").read_bytes() == b"1\n"
        assert read_tree(found.files / "src") == files


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
