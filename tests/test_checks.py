"""Commands of the experiment's author, in a copy of what an agent left."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from pytest_scylla.checks import CUT_OFF, LONGEST_OUTPUT, Check, run_check
from pytest_scylla.recorded import copied
from tests.support.examples import read_tree, write_files


def check(cwd: Path, command: str, timeout: float = 600, **env: str) -> Check:
    return run_check(command, cwd, timeout, env)


@pytest.mark.parametrize("status", [0, 1, 127])
def test_the_exit_status_decides_and_not_what_is_printed(tmp_path: Path, status: int) -> None:
    result = check(tmp_path, f"echo 'score: 1.0, all passed'; exit {status}")
    assert result.exit_code == status
    assert result.output == "score: 1.0, all passed\n"


def test_both_kinds_of_output_are_kept(tmp_path: Path) -> None:
    assert check(tmp_path, "echo out; echo err >&2").output == "out\nerr\n"


def test_of_a_long_output_the_end_is_kept(tmp_path: Path) -> None:
    result = check(tmp_path, "head -c 100000 /dev/zero | tr '\\0' x; echo the end")
    assert len(result.output) == LONGEST_OUTPUT
    assert result.output.endswith("xthe end\n")


def test_a_check_that_does_not_end_is_ended(tmp_path: Path) -> None:
    result = check(tmp_path, "sleep 600", timeout=0.2)
    assert result.timed_out
    assert result.exit_code != 0


def test_python_in_a_check_is_the_one_that_runs_pytest(tmp_path: Path) -> None:
    code = "import sys; print(sys.prefix)"
    assert check(tmp_path, f"python -c '{code}'").output.strip() == sys.prefix


def test_a_check_leaves_no_bytecode(tmp_path: Path) -> None:
    write_files(tmp_path, {"module.py": "", "run.py": "import module"})
    assert check(tmp_path, "python run.py").exit_code == 0
    assert sorted(read_tree(tmp_path)) == ["module.py", "run.py"]


def test_a_check_has_a_home_of_its_own_that_goes_away(tmp_path: Path) -> None:
    result = check(tmp_path, 'touch "$HOME/file" && printf %s "$HOME"')
    assert result.exit_code == 0
    assert result.output != os.environ.get("HOME")
    assert not Path(result.output).exists()


def test_a_check_gets_the_variables_it_is_given_and_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-123456")
    assert check(tmp_path, 'echo "$TASK:$ANTHROPIC_API_KEY"', TASK="here").output == "here:\n"


# -- the copy --------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = write_files(
        tmp_path / "workspace",
        {"a.py": "1", "sub/b.sh": "2", ".git": "gitdir: elsewhere", "nested/.git/HEAD": "ref"},
    )
    (root / "sub" / "b.sh").chmod(0o755)
    (root / "link").symlink_to("a.py")
    (root / "dangling").symlink_to("nowhere")
    (root / "folder").symlink_to("sub")
    return root


def test_a_copy_has_the_files_links_and_modes_of_the_workspace(workspace: Path) -> None:
    with copied(workspace) as left:
        assert read_tree(left.files) == read_tree(workspace)
        assert (left.files / "folder").is_symlink()


def test_a_copy_is_not_joined_to_the_workspaces_repository(workspace: Path) -> None:
    with copied(workspace) as left:
        assert not (left.files / ".git").exists()
        assert (left.files / "nested" / ".git" / "HEAD").read_text() == "ref"


def test_what_happens_in_a_copy_does_not_reach_the_workspace(workspace: Path) -> None:
    before = read_tree(workspace)
    with copied(workspace) as left:
        check(left.files, "echo changed > a.py; echo changed > link; rm -r sub; touch new")
    assert read_tree(workspace) == before


def test_a_copy_goes_away_whatever_was_done_to_it(workspace: Path) -> None:
    with copied(workspace) as left:
        check(left.files, "mkdir -p deep/er; touch deep/er/file; chmod -R 500 deep")
    assert not left.files.parent.exists()
    with pytest.raises(KeyError), copied(workspace) as left:
        raise KeyError
    assert not left.files.parent.exists()


def test_sockets_and_pipes_of_an_agent_are_not_copied(workspace: Path) -> None:
    os.mkfifo(workspace / "sub" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(workspace / "socket"))
        with copied(workspace) as left:
            assert not (left.files / "sub" / "pipe").exists()
            assert not (left.files / "socket").exists()
            assert (left.files / "a.py").exists()


# -- pytest ----------------------------------------------------------------------------------------


def test_a_pytest_that_is_ended_from_within_is_no_success(tmp_path: Path) -> None:
    """The C library's own exit: no Python in between could see it."""
    leaves = "import ctypes\nctypes.CDLL(None)._exit(0)\n"
    write_files(tmp_path / "workspace", {"work.py": leaves, "test_it.py": "import work\n"})
    result = check(tmp_path / "workspace", "pytest -q test_it.py")
    assert result.exit_code == CUT_OFF
    assert "ended from within" in result.output


def test_a_check_knows_how_every_test_went(tmp_path: Path) -> None:
    tests = "def test_a(): pass\ndef test_b(): assert 0\n"
    tests += "import pytest\ndef test_c(): pytest.skip()\n"
    write_files(tmp_path / "workspace", {"test_it.py": tests})
    result = check(tmp_path / "workspace", "python -m pytest -q || true")
    assert result.exit_code == 0
    outcomes = {"a": "passed", "b": "failed", "c": "skipped"}
    assert result.tests == {f"test_it.py::test_{name}": said for name, said in outcomes.items()}
