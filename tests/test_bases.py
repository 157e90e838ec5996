"""Bases, with real git: from every kind of source, whole or not at all, and without the rubric."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_scylla.bases import Base
from pytest_scylla.errors import RunError
from pytest_scylla.experiment import Source
from pytest_scylla.source import NOTHING, Private, directory_digest
from pytest_scylla.workspace import Checkout, Sources
from tests.support.examples import (
    commit,
    git,
    make_repository,
    only_subtest,
    read_tree,
    wait_until,
    write_files,
    write_library,
)


def make_base(
    folder: Path, repo: str = "source", hidden: Private = NOTHING, hash: str | None = None
) -> Base:
    """The base of a source in `folder`, made in results of its own beside it."""
    source = Source(repo=repo, hash=hash)
    return Sources(folder / "results").base(source, folder, "pin", hidden)


def workspace(folder: Path, base: Base) -> Checkout:
    """A workspace of a tier that gives nothing."""
    setup = only_subtest(write_library(folder / "tiers", {"T0/00-empty": {}}))[1]
    made = Checkout(folder / "run_01", Sources(folder / "results").setup(base, setup))
    made.create()
    return made


def refused(folder: Path, repo: str = "source", hash: str | None = None) -> str:
    """The one message of a source that cannot be used; nothing of it is found afterwards."""
    said = []
    for _ in range(2):
        with pytest.raises(RunError) as caught:
            make_base(folder, repo, hash=hash)
        assert caught.value.kind == "source"
        assert "\n  next: " in str(caught.value)
        said.append(str(caught.value))
    assert said[0] == said[1]
    sources = folder / "results" / ".sources"
    assert [p for p in sources.rglob("*") if p.name.startswith((".making", "base-"))
            and p.suffix != ".lock"] == []  # fmt: skip
    return said[0]


def subjects(base: Base) -> list[str]:
    return git(base.repository, "log", "--all", "--format=%s").splitlines()


# -- repositories that are not as usual ------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    made = make_repository(tmp_path / "source")
    for number in "123":
        commit(made, f"commit {number}", {"a": f"a{number}", f"f{number}": number})
    return made


def as_the_user(*arguments: str, cwd: Path) -> None:
    git(cwd, "-c", "protocol.file.allow=always", *arguments)


@pytest.mark.parametrize("url", ["shallow", "file://{}/shallow"])
def test_a_shallow_clone_is_a_source(repository: Path, tmp_path: Path, url: str) -> None:
    as_the_user("clone", "-q", "--depth=2", f"file://{repository}", "shallow", cwd=tmp_path)
    base = make_base(tmp_path, url.format(tmp_path))
    assert subjects(base) == ["commit 3", "commit 2"]
    made = workspace(tmp_path, base)
    assert read_tree(made.path) == read_tree(repository)
    assert git(made.path, "log", "--format=%s").splitlines() == ["commit 3", "commit 2"]
    assert git(made.path, "fsck", "--no-progress") == ""
    write_files(made.path, {"new": "new"})
    assert b"+new" in made.patch()


def test_a_commit_that_a_shallow_clone_lacks_is_told_with_the_way_to_it(
    repository: Path, tmp_path: Path
) -> None:
    first = git(repository, "rev-parse", "HEAD~2")
    as_the_user("clone", "-q", "--depth=2", f"file://{repository}", "shallow", cwd=tmp_path)
    said = refused(tmp_path, "shallow", hash=first)
    assert "a shallow clone" in said
    assert "git fetch --unshallow" in said
    as_the_user("fetch", "-q", "--unshallow", cwd=tmp_path / "shallow")
    assert make_base(tmp_path, "shallow", hash=first).commit == first


def test_a_partial_clone_is_a_source_once_it_has_all_objects(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    partial = ["clone", "-q", "--filter=blob:none", f"file://{repository}", "partial"]
    as_the_user(*partial, cwd=tmp_path)
    repository.rename(tmp_path / "moved")
    assert f"git -C {tmp_path / 'partial'} fetch --refetch" in refused(tmp_path, "partial")
    (tmp_path / "moved").rename(repository)
    as_the_user("fetch", "-q", "--refetch", "--no-filter", cwd=tmp_path / "partial")
    made = workspace(tmp_path, make_base(tmp_path, "partial"))
    assert read_tree(made.path) == read_tree(repository)


def test_a_worktree_of_a_bare_repository_is_a_source(repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", "source", "bare.git")
    add = ["worktree", "add", "-q", "--detach", str(tmp_path / "tree"), "HEAD~1"]
    git(tmp_path / "bare.git", *add)
    assert subjects(make_base(tmp_path, "tree")) == ["commit 2", "commit 1"]


def test_head_is_asked_again_whatever_it_is_on(repository: Path, tmp_path: Path) -> None:
    """It was on a branch when the clone was made; then it is detached, then on another one."""

    def head(pin: str) -> str:
        return Sources(tmp_path / "results").base(Source(repo="source"), tmp_path, pin).commit

    third = git(repository, "rev-parse", "HEAD")
    assert head("1") == third
    git(repository, "checkout", "-q", "--detach", "HEAD~1")
    assert head("2") == git(repository, "rev-parse", "HEAD") != third
    git(repository, "checkout", "-q", "-b", "other", "HEAD~1")
    assert head("3") == git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "main")
    assert head("4") == third


def test_a_commit_that_only_a_tag_holds_is_found(repository: Path, tmp_path: Path) -> None:
    git(repository, "tag", "kept")
    git(repository, "reset", "-q", "--hard", "HEAD~1")
    wanted = git(repository, "rev-parse", "kept")
    assert make_base(tmp_path, hash=wanted).commit == wanted
    assert make_base(tmp_path, hash="kept").commit == wanted


def test_replaced_objects_and_grafts_change_nothing(repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    other = git(repository, "commit-tree", "-m", "another", "HEAD~2^{tree}")
    git(repository, "replace", head, other)
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "grafts").write_text(f"{head}\n")
    base = make_base(tmp_path)
    assert base.commit == head
    assert subjects(base) == ["commit 3", "commit 2", "commit 1"]
    assert (workspace(tmp_path, base).path / "a").read_text() == "a3"


def test_a_repository_with_sha256_is_a_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "-q", "-b", "main", "--object-format=sha256")
    git(source, "config", "user.name", "author")
    git(source, "config", "user.email", "author@localhost")
    wanted = commit(source, "one", {"a": "1", "n/b": "2"})
    base = make_base(tmp_path)
    assert base.commit == wanted
    made = workspace(tmp_path, base)
    nested = made.path / "n"
    git(nested, "init", "-q")
    write_files(made.path, {"a": "2\n", "n/b": "3\n", "n/c": "4\n"})
    patch = tmp_path / "changes.patch"
    patch.write_bytes(made.patch())
    before = read_tree(made.path)
    made.restore(patch)
    assert read_tree(made.path) == before


def empty(source: Path) -> str:
    return "has no commit yet"


def unborn(source: Path) -> str:
    commit(source, "one", {"a": "1"})
    git(source, "checkout", "-q", "--orphan", "new")
    return "name source.branch in test.yaml: main"


def submodule(source: Path) -> str:
    make_repository(source.parent / "library")
    commit(source.parent / "library", "one", {"f": "1"})
    as_the_user("submodule", "--quiet", "add", f"{source.parent}/library", "lib", cwd=source)
    commit(source, "one", {"a": "1"})
    shutil.rmtree(source.parent / "library")
    shutil.rmtree(source / ".git" / "modules")
    shutil.rmtree(source / "lib")
    return "lib is a submodule"


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"


def lfs(source: Path) -> str:
    commit(source, "one", {".gitattributes": "*.bin filter=lfs diff=lfs -text\n", "a": "1"})
    write_files(source, {"sub/big.bin": POINTER})
    git(source, "-c", "filter.lfs.clean=cat", "add", "-A")
    git(source, "commit", "-q", "-m", "two")
    return "sub/big.bin is a pointer of Git LFS"


@pytest.mark.parametrize("make", [empty, unborn, submodule, lfs])
def test_a_source_that_is_not_whole_is_one_clear_error(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    assert make(make_repository(tmp_path / "source")) in refused(tmp_path)


def test_what_a_pointer_of_git_lfs_is_without_its_attributes_is_a_file(tmp_path: Path) -> None:
    commit(make_repository(tmp_path / "source"), "one", {"a": POINTER})
    assert (workspace(tmp_path, make_base(tmp_path)).path / "a").read_text() == POINTER


# -- cut off ---------------------------------------------------------------------------------------

MAKES = """
import sys
from pathlib import Path
from pytest_scylla.experiment import Source
from pytest_scylla.workspace import Sources
folder = Path(sys.argv[1])
Sources(folder / "results").base(Source(repo="source"), folder, sys.argv[2])
"""


@pytest.mark.parametrize("stops", ["clone", "fetch"])
def test_nothing_half_made_is_found_after_a_kill(
    repository: Path, tmp_path: Path, stops: str
) -> None:
    """A git that hangs in the middle of making; its session is killed."""
    real = shutil.which("git")
    script = f'#!/bin/sh\ncase " $* " in *" {stops} "*) touch {tmp_path}/there; sleep 60;; esac\n'
    write_files(tmp_path / "bin", {"git": f'{script}exec {real} "$@"\n'})
    (tmp_path / "bin" / "git").chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    child = subprocess.Popen(
        [sys.executable, "-c", MAKES, str(tmp_path), "pin"],
        env={**os.environ, "PATH": path},
        start_new_session=True,
    )
    wait_until((tmp_path / "there").exists)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert make_base(tmp_path).commit == git(repository, "rev-parse", "HEAD")
    left = [p.name for p in (tmp_path / "results" / ".sources").rglob(".making*")]
    assert left == []


def test_locks_that_a_killed_fetch_left_in_the_clone_are_no_hindrance(
    repository: Path, tmp_path: Path
) -> None:
    make_base(tmp_path)
    new = commit(repository, "commit 4", {"a": "4"})
    (clone,) = (tmp_path / "results" / ".sources").glob("*/clone.git")
    for name in ("packed-refs.lock", "shallow.lock", "refs/heads/main.lock", "config.lock"):
        (clone / name).touch()
    assert make_base(tmp_path, hash=new).commit == new


# -- versions --------------------------------------------------------------------------------------


def test_a_version_is_read_from_the_tags_before_the_tasks_commit(
    repository: Path, tmp_path: Path
) -> None:
    git(repository, "tag", "v1.0", "HEAD~2")
    git(repository, "tag", "-a", "-m", "TOLD", "v1.1", "HEAD~1")
    git(repository, "tag", "-a", "-m", "NEWER", "v2.0")
    git(repository, "tag", "main", "HEAD~2")  # a tag may be called as a branch
    wanted = git(repository, "rev-parse", "HEAD~1")
    base = make_base(tmp_path, hash=wanted)
    made = workspace(tmp_path, base)
    for place in (base.repository, made.setup.path, made.path):
        assert git(place, "tag").split() == ["main", "v1.0", "v1.1"]
        assert git(place, "describe", "--tags", "--long", "refs/heads/main").startswith("v1.1-0-")
    write_files(made.path, {"a": "new\n"})
    assert b"-a2" in made.patch()


def test_what_a_later_tag_says_of_an_earlier_commit_is_not_told(
    repository: Path, tmp_path: Path
) -> None:
    wanted = git(repository, "rev-parse", "HEAD~1")
    later = {"GIT_COMMITTER_DATE": "2036-01-01T00:00:00"}
    subprocess.run(
        ["git", "tag", "-a", "-m", "HIDDEN", "v1.0", wanted],
        cwd=repository, env={**os.environ, **later}, check=True,
    )  # fmt: skip
    base = make_base(tmp_path, hash=wanted)
    assert git(base.repository, "rev-parse", "v1.0") == wanted
    objects = git(base.repository, "cat-file", "--batch-all-objects", "--batch-check")
    assert " tag " not in objects


# -- what no agent may see -------------------------------------------------------------------------

RUBRIC = "the answer is 42\n"
TASK: Mapping[str, str] = {
    "test.yaml": "id: t\n",
    "prompt.md": "Do it.\n",
    "expected/rubric.yaml": RUBRIC,
    "expected/checks/check.py": "secret check\n",
}
PROJECT: Mapping[str, str] = {"src/code.py": "code\n", "tests/test_code.py": "test\n"}


def experiment_in(directory: Path) -> Private:
    """An experiment in a directory: task and tier library inside, results beside."""
    write_files(directory / "task", TASK)
    write_files(directory / "tiers", {"tiers.yaml": "tiers\n"})
    write_files(directory, {"experiment.yaml": "id: e\n"})
    return private_of(directory)


def private_of(directory: Path, task: str = "task") -> Private:
    place = (directory / task).resolve()
    return Private(
        folders=(place, directory, directory / "tiers", directory.parent / "results"),
        files=(directory / "experiment.yaml", place / "expected", place / "test.yaml",
               place / "prompt.md"),
        task=place,
        rubric=place / "expected" / "rubric.yaml",
    )  # fmt: skip


def shows_nothing(folder: Path, base: Base, *words: str) -> Checkout:
    """Neither files nor objects of a workspace have one of the words."""
    made = workspace(folder / "w", base)
    seen = "".join(
        git(made.path, "cat-file", "-p", line.split()[0]) + line
        for place in (base.repository, made.path)
        for line in git(place, "cat-file", "--batch-all-objects", "--batch-check").splitlines()
    )
    for word in (RUBRIC.strip(), "secret check", *words):
        assert word not in seen
    assert not (made.path / "evals").exists()
    assert read_tree(made.path) == {
        name: ("file", False, text.encode()) for name, text in PROJECT.items()
    }
    return made


@pytest.fixture
def natural(tmp_path: Path) -> tuple[Path, Private]:
    """A repository that holds the experiment that tests it, and the rubric's history."""
    source = make_repository(tmp_path / "source")
    commit(source, "code", PROJECT)
    git(source, "tag", "v1.0")
    hidden = experiment_in(source / "evals" / "demo")
    write_files(source, {"evals/demo/task/expected/rubric.yaml": "an older rubric\n"})
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "an experiment")
    commit(source, "rubric", {"evals/demo/task/expected/rubric.yaml": RUBRIC})
    return source, hidden


FORMS: Mapping[str, Callable[[Path], str]] = {
    "directory": lambda source: "source",
    "url": lambda source: f"file://{source}",
    "bare": lambda source: git(source, "clone", "-q", "--bare", ".", "../bare.git") or "bare.git",
    "bundle": lambda source: (
        git(source, "bundle", "create", "-q", "../a.bundle", "--all") or "a.bundle"
    ),
    "shallow": lambda source: (
        git(source, "clone", "-q", "--depth=1", f"file://{source}", "../shallow") or "shallow"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_rubric_is_in_no_workspace_of_the_repository_that_holds_it(
    natural: tuple[Path, Private], tmp_path: Path, form: str
) -> None:
    source, hidden = natural
    base = make_base(tmp_path, FORMS[form](source), hidden)
    made = shows_nothing(tmp_path, base, "an older rubric", "tiers.yaml", "experiment.yaml")
    assert subjects(base) == ["The task's files"]
    if form != "shallow":
        assert git(made.path, "describe", "--tags") == "v1.0"
    again = Sources(tmp_path / "elsewhere").base(
        Source(repo=FORMS["directory"](source)), tmp_path, "another", hidden
    )
    assert again.commit == base.commit


def test_a_rubric_that_only_the_history_has_is_not_shown_either(
    natural: tuple[Path, Private], tmp_path: Path
) -> None:
    source, _ = natural
    git(source, "rm", "-r", "-q", "evals")
    git(source, "commit", "-q", "-m", "moved out")
    hidden = experiment_in(tmp_path / "elsewhere" / "demo")
    shows_nothing(tmp_path, make_base(tmp_path, "source", hidden))


def test_a_commit_from_before_the_experiment_keeps_its_history(
    natural: tuple[Path, Private], tmp_path: Path
) -> None:
    source, hidden = natural
    first = git(source, "rev-parse", "v1.0")
    base = make_base(tmp_path, "source", hidden, hash=first)
    assert base.commit == first
    shows_nothing(tmp_path, base)


def test_an_experiment_that_is_not_committed_changes_nothing(tmp_path: Path) -> None:
    source = make_repository(tmp_path / "source")
    first = commit(source, "code", PROJECT)
    base = make_base(tmp_path, "source", experiment_in(source / "evals" / "demo"))
    assert base.commit == first


def test_a_copy_of_the_task_under_another_name_is_left_out(tmp_path: Path) -> None:
    source = make_repository(tmp_path / "source")
    copied = {f"benchmarks/x/{name}": text for name, text in TASK.items()}
    commit(source, "all", {**PROJECT, **copied, "notes/rubric": RUBRIC})
    hidden = experiment_in(tmp_path / "elsewhere" / "demo")
    shows_nothing(tmp_path, make_base(tmp_path, f"file://{source}", hidden), "prompt.md")


def test_a_plain_directory_that_holds_the_experiment_is_taken_without_it(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", PROJECT)
    hidden = experiment_in(source / "evals" / "demo")
    write_files(source / "evals" / "results" / "x", {"report.md": "earlier results\n"})
    base = make_base(tmp_path, "source", hidden)
    shows_nothing(tmp_path, base, "earlier results", "tiers.yaml")
    before = directory_digest(source, hidden.within(source))
    write_files(source / "evals", {"results/x/report.md": "later", "demo/task/test.yaml": "id: u"})
    assert directory_digest(source, hidden.within(source)) == before
    assert make_base(tmp_path, "source", hidden) == base


@pytest.mark.parametrize("repo", [".", "..", "../..", "../../..", "link"])
@pytest.mark.parametrize("kind", ["plain", "repository"])
def test_whatever_place_around_the_task_is_its_source_its_rubric_is_left_out(
    tmp_path: Path, repo: str, kind: str
) -> None:
    top = tmp_path / "top"
    directory = top / "evals" / "demo"
    hidden = experiment_in(directory)
    task = directory / "task"
    (task / "link").symlink_to("../../..")
    place = (task / repo).resolve()
    write_files(place, PROJECT)
    if kind == "repository":
        make_repository(tmp_path / "made")
        (tmp_path / "made" / ".git").rename(place / ".git")
        git(place, "add", "-A")
        git(place, "commit", "-q", "-m", "all")
    base = Sources(tmp_path / "results").base(Source(repo=repo), task, "pin", hidden)
    names = git(base.repository, "ls-tree", "-r", "--name-only", base.commit).splitlines()
    assert set(PROJECT) <= set(names)
    assert not [n for n in names if "rubric" in n or "check.py" in n or "experiment.yaml" in n]


def test_a_source_below_the_task_is_taken_as_it_is(tmp_path: Path) -> None:
    hidden = experiment_in(tmp_path / "demo")
    write_files(tmp_path / "demo" / "task" / "files", {**PROJECT, "test.yaml": "of the project"})
    task = tmp_path / "demo" / "task"
    base = Sources(tmp_path / "results").base(Source(repo="files"), task, "pin", hidden)
    names = git(base.repository, "ls-tree", "-r", "--name-only", base.commit).splitlines()
    assert sorted(names) == sorted([*PROJECT, "test.yaml"])


# -- plain directories -----------------------------------------------------------------------------


def test_repositories_within_a_plain_directory_are_plain_files(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", PROJECT)
    make_repository(source / "vendor" / "lib")
    commit(source / "vendor" / "lib", "one", {"a": "1", "deep/b": "2"})
    make_repository(source / "vendor" / "lib" / "inner")
    write_files(source, {"vendor/lib/inner/c": "3", "vendor/lib/not-committed": "4"})
    write_files(source, {"module/.git": "gitdir: ../.git/modules/x\n", "module/d": "5"})
    git(source / "vendor", "init", "-q")
    made = workspace(tmp_path, make_base(tmp_path))
    assert read_tree(made.path) == read_tree(source)
    assert "vendor/lib/inner/c" in read_tree(source)


def test_odd_names_and_links_of_a_plain_directory_are_taken_as_they_are(tmp_path: Path) -> None:
    source = write_files(tmp_path / "source", PROJECT)
    for name in (
        b"new\nline",
        b"\xff",
        b'quote"',
        b"-dash",
        b":(top)x",
        b" lead",
        b"tab\t",
    ):
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_text("odd")
    (source / "broken").symlink_to("nowhere")
    (source / "out").symlink_to("/etc")
    (source / "odd-target").symlink_to(os.fsdecode(b"\xff\n"))
    (source / "loop").symlink_to("loop")
    digest = directory_digest(source)
    made = workspace(tmp_path, make_base(tmp_path))
    assert read_tree(made.path) == read_tree(source)
    (source / "broken").unlink()
    assert directory_digest(source) != digest


def pipe(source: Path) -> None:
    os.mkfifo(source / "sub" / "odd")


def listening(source: Path) -> None:
    here = os.getcwd()
    os.chdir(source / "sub")
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("odd")
    finally:
        os.chdir(here)


def huge(source: Path) -> None:
    with open(source / "sub" / "odd", "wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize("plant", [pipe, listening, huge])
def test_what_cannot_be_taken_of_a_plain_directory_is_named(
    tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    write_files(tmp_path / "source" / "sub", {"a": "1"})
    plant(tmp_path / "source")
    assert f"{tmp_path}/source/sub/odd" in refused(tmp_path)


NO_PRIVILEGES = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
"""Permissions hold for root as well then."""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_cannot_be_read_of_a_plain_directory_is_named(tmp_path: Path, kind: str) -> None:
    odd = tmp_path / "source" / "sub" / "odd"
    write_files(odd if kind == "folder" else odd.parent, {"a": "1", odd.name: "1"})
    odd.chmod(0)
    command = [sys.executable, "-c", MAKES, str(tmp_path), "pin"]
    shown = subprocess.run(
        [*(NO_PRIVILEGES if os.getuid() == 0 else []), *command], capture_output=True, text=True
    )
    odd.chmod(0o700)
    assert f"{odd} cannot be read: Permission denied" in shown.stderr
    assert "next: make it readable, or move it out of source.repo" in shown.stderr


def test_a_base_that_is_not_whole_is_made_again(tmp_path: Path) -> None:
    write_files(tmp_path / "files", {"a": "a"})
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="files"), tmp_path, "pin")
    (base.repository / "refs/heads/main").unlink()
    assert sources.base(Source(repo="files"), tmp_path, "pin") == base


def test_results_can_be_moved_with_their_sources(tmp_path: Path) -> None:
    write_files(tmp_path / "project/files", {"a": "a"})
    setup = only_subtest(write_library(tmp_path / "tiers", {"T0/00-empty": {}}))[1]
    for place in ("project", "elsewhere"):
        sources = Sources(tmp_path / place / "results")
        base = sources.base(Source(repo="files"), tmp_path / place, "pin")
        checkout = Checkout(tmp_path / place / "run", sources.setup(base, setup))
        checkout.create()
        assert (checkout.path / "a").exists()
        assert git(checkout.path, "status", "--short") == ""
        if place == "project":
            (tmp_path / place).rename(tmp_path / "elsewhere")
