"""Where a task's code comes from: sources of all kinds, and what is kept back of them."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_scylla.errors import RunError
from pytest_scylla.experiment import Source
from pytest_scylla.source import source_digest
from pytest_scylla.store import remove_tree
from pytest_scylla.tiers import Setup
from pytest_scylla.workspace import Checkout, Sources, git
from tests.support.examples import only_subtest, read_tree, write_files, write_library


def make_setup(folder: Path) -> Setup:
    """A set-up that puts a file into the workspace."""
    subtest = {"claude_md": {"blocks": ["B01"]}}
    return only_subtest(write_library(folder, {"T0/01-it": subtest}, {"blocks/B01.md": "x"}))[1]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task directory with a plain directory of files as its source."""
    write_files(tmp_path / "task/files", {"a": "a"})
    return tmp_path / "task"


@pytest.fixture
def checkout(task: Path, tmp_path: Path) -> Checkout:
    """A workspace."""
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="files"), task, "pin")
    checkout = Checkout(tmp_path / "run", sources.setup(base, make_setup(tmp_path)))
    checkout.create()
    return checkout


def evaluated_repository(root: Path) -> Path:
    """A repository that holds the evaluation of itself: task, rubric and tier library."""
    files = {
        "src/app.py": "print(1)\n",
        "evals/demo/experiment.yaml": "id: demo\n",
        "evals/demo/task/test.yaml": "id: t\n",
        "evals/demo/task/expected/rubric.yaml": "the solution\n",
        "evals/demo/task/expected/check.py": "hidden\n",
        "evals/tiers/blocks/B01-x.md": "what tiers say\n",
        "docs/copy-of-rubric.yaml": "the solution\n",
    }
    write_files(root, files)
    make_repository(root)
    return root


def make_repository(root: Path) -> None:
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"], ["tag", "v1.0"]):
        run_git(root, *command)


def run_git(place: Path, *words: str) -> str:
    who = ["-c", "user.name=u", "-c", "user.email=u@localhost"]
    done = subprocess.run(["git", *who, *words], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def hidden_of(root: Path) -> tuple[Path, ...]:
    task = root / "evals/demo/task"
    rubric = task / "expected/rubric.yaml"
    library = root / "evals/tiers"
    return (task, rubric.parent, library, root / "results", rubric, root / "evals/demo/x.yaml")


@pytest.mark.parametrize("form", ["repository", "plain directory"])
def test_what_an_agent_must_not_see_is_neither_in_a_source_nor_in_its_history(
    tmp_path: Path, form: str
) -> None:
    root = evaluated_repository(tmp_path / "r")
    if form == "plain directory":
        remove_tree(root / ".git")
    task = root / "evals/demo/task"
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="../../.."), task, "pin", hidden_of(root))
    names = git([f"--git-dir={base.repository}", "ls-tree", "-r", "--name-only", base.commit])
    assert {"src/app.py", "evals/demo/experiment.yaml"} <= set(names.split())
    assert not any(n.startswith(("evals/demo/task", "evals/tiers")) for n in names.split())
    everything = git([f"--git-dir={base.repository}", "cat-file", "--batch-all-objects",
                      "--batch-check=%(objectname) %(objecttype)"])  # fmt: skip
    blobs = [line.split()[0] for line in everything.splitlines() if line.endswith(" blob")]
    shown = "".join(git([f"--git-dir={base.repository}", "cat-file", "blob", b]) for b in blobs)
    assert "hidden" not in shown
    assert "what tiers say" not in shown
    if form == "repository":
        assert "the solution" not in shown, "nor under another name"
        again = Sources(tmp_path / "others")
        same = again.base(Source(repo="../../.."), task, "another pin", hidden_of(root))
        assert same.commit == base.commit
    edited = task / "expected/rubric.yaml"
    before = source_digest(Source(repo="../../.."), task, hidden_of(root))
    edited.write_text("another solution\n")
    assert source_digest(Source(repo="../../.."), task, hidden_of(root)) == before


def test_where_nothing_is_hidden_a_source_keeps_its_history_and_its_older_tags(
    tmp_path: Path,
) -> None:
    root = evaluated_repository(tmp_path / "r")
    (root / "new").write_text("")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-qm", "second")
    second = run_git(root, "rev-parse", "HEAD").strip()
    (root / "newer").write_text("")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-qm", "third")
    run_git(root, "tag", "v2.0")
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="r", hash=second), tmp_path, "pin", hidden_of(tmp_path / "z"))
    setup = sources.setup(base, make_setup(tmp_path))
    checkout = Checkout(tmp_path / "run", setup)
    checkout.create()
    assert run_git(checkout.path, "tag").split() == ["v1.0"]
    assert run_git(checkout.path, "describe", "--tags", "HEAD~1" if setup.commit != second else
                   "HEAD").startswith("v1.0-1-g")  # fmt: skip
    assert "third" not in run_git(checkout.path, "log", "--all", "--format=%s")


def shallow(root: Path, to: Path) -> None:
    run_git_clone(root, to, "--depth=1", f"file://{root}")


def worktree(root: Path, to: Path) -> None:
    run_git(root, "worktree", "add", "-q", "--detach", str(to))


def bare(root: Path, to: Path) -> None:
    run_git_clone(root, to, "--bare", str(root))


def detached(root: Path, to: Path) -> None:
    run_git_clone(root, to, str(root))
    run_git(to, "checkout", "-q", "--detach")


def partial(root: Path, to: Path) -> None:
    run_git(root, "config", "uploadpack.allowFilter", "true")
    run_git_clone(root, to, "--filter=blob:none", f"file://{root}")


def run_git_clone(root: Path, to: Path, *words: str) -> None:
    run_git(root.parent, "clone", "-q", *words, str(to))


@pytest.mark.parametrize("made", [shallow, worktree, bare, detached, partial])
def test_a_repository_of_any_kind_is_a_source(
    tmp_path: Path, made: Callable[[Path, Path], None]
) -> None:
    root = evaluated_repository(tmp_path / "r")
    (root / "later").write_text("")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-qm", "second")
    made(root, tmp_path / "source")
    sources = Sources(tmp_path / "results")
    for _ in range(2):
        base = sources.base(Source(repo="source"), tmp_path, "pin")
        checkout = Checkout(tmp_path / "run", sources.setup(base, make_setup(tmp_path)))
        checkout.create()
        assert (checkout.path / "src/app.py").read_text() == "print(1)\n"
        assert (checkout.path / "later").exists()
        run_git(checkout.path, "log", "--stat")
        assert run_git(checkout.path, "fsck", "--no-dangling") == ""


@pytest.mark.parametrize("kind", ["no commit", "no repository", "a file"])
def test_what_is_no_source_is_one_message_and_leaves_nothing_half_made(
    tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "source"
    if kind == "a file":
        place.write_text("x")
    elif kind == "no commit":
        place.mkdir()
        run_git(place, "init", "-q")
    sources = Sources(tmp_path / "results")
    for _ in range(2):
        with pytest.raises(RunError) as caught:
            sources.base(Source(repo="source"), tmp_path, "pin")
        assert caught.value.kind == "source"
        assert str(place) in str(caught.value)
        assert "next: " in str(caught.value)
        assert not list(sources.root.glob("*base-*.git"))
    if kind == "a file":
        place.unlink()
    write_files(place, {"f": "x"})
    if kind == "no commit":
        make_repository(place)
    assert sources.base(Source(repo="source"), tmp_path, "pin").commit


def test_a_base_that_is_not_whole_is_made_again(task: Path, tmp_path: Path) -> None:
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="files"), task, "pin")
    setup = sources.setup(base, make_setup(tmp_path))
    (base.repository / "refs/heads/main").unlink()
    assert sources.base(Source(repo="files"), task, "pin") == base
    remove_tree(base.repository)
    base = sources.base(Source(repo="files"), task, "pin")
    assert sources.setup(base, make_setup(tmp_path)).commit == setup.commit


def test_results_can_be_moved_with_their_sources(task: Path, tmp_path: Path) -> None:
    sources = Sources(tmp_path / "project/results")
    sources.setup(sources.base(Source(repo="files"), task, "pin"), make_setup(tmp_path))
    (tmp_path / "project").rename(tmp_path / "elsewhere")
    moved = Sources(tmp_path / "elsewhere/results")
    setup = moved.setup(moved.base(Source(repo="files"), task, "pin"), make_setup(tmp_path))
    checkout = Checkout(tmp_path / "run", setup)
    checkout.create()
    assert run_git(checkout.path, "status", "--short") == ""


def test_a_plain_directory_with_other_repositories_and_odd_files_is_taken_whole(
    tmp_path: Path,
) -> None:
    place = tmp_path / "files"
    write_files(place, {"a": "a", "own/b": "b", "none/c": "c", "deep/er/d": "d"})
    for nested in ("own", "deep/er"):
        make_repository(place / nested)
    run_git(place / "none", "init", "-q")
    write_files(place, {"own/uncommitted": "u"})
    os.mkfifo(place / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place / "own" / "socket"))
    (place / "lost").symlink_to("nowhere")
    before = read_tree(place)
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="files"), tmp_path, "pin")
    checkout = Checkout(tmp_path / "run", sources.setup(base, make_setup(tmp_path)))
    checkout.create()
    expected = {name: entry for name, entry in before.items() if "pipe" not in name}
    (checkout.path / "CLAUDE.md").unlink()
    assert read_tree(checkout.path) == {n: e for n, e in expected.items() if "socket" not in n}
    assert read_tree(place) == before


def test_a_link_beside_the_workspace_leads_nowhere(checkout: Checkout, tmp_path: Path) -> None:
    """An agent puts links where the session makes its own directories afterwards."""
    outside = write_files(tmp_path / "outside", {"gitdir": "mine", "HEAD": "mine", "x.lock": "l",
                                                 "workspace/HEAD": "mine"})  # fmt: skip
    before = read_tree(outside)
    for place in ("worktrees/workspace", "worktrees"):
        remove_tree(checkout.repository / place)
        (checkout.repository / place).symlink_to(outside)
        checkout.relocate(checkout.path.parent, checkout.path.parent)
        assert read_tree(outside) == before
    remove_tree(checkout.repository)
    checkout.repository.symlink_to(outside)
    checkout.relocate(checkout.path.parent, tmp_path / "attempt_01")
    assert read_tree(outside) == before
    checkout.create()
    assert read_tree(outside) == before
