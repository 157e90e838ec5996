"""Workspaces, with real git: private, made from any source, and diffed from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_scylla.errors import RunError
from pytest_scylla.experiment import Source
from pytest_scylla.processes import clean_environment
from pytest_scylla.tiers import Setup
from pytest_scylla.workspace import Checkout, SetupRepository, Sources
from tests.support.examples import (
    commit,
    git,
    law_on_disk,
    make_repository,
    only_subtest,
    read_tree,
    write_files,
    write_library,
)

FILES: dict[str, str | bytes] = {
    "README.md": "A task.\n",
    "data.bin": bytes(range(256)),
    "dos.txt": "one\r\ntwo\r\n",
    "empty": "",
    "src/a.py": "print('a')\n",
    "src/b.py": "print('b')",
    "src/deep/run.sh": "#!/bin/sh\n",
    "name with ü and space": "odd\n",
}


def agent(workspace: Path, script: str) -> None:
    """What an agent does in its workspace: a shell script that must succeed."""
    subprocess.run(
        ["/bin/sh", "-e", "-c", script],
        cwd=workspace,
        env=clean_environment({"HOME": str(workspace.parent)}),
        check=True,
        capture_output=True,
    )


def make_setup(folder: Path, claude_md: str = "", **subtest: Any) -> Setup:
    """A set-up whose CLAUDE.md says `claude_md`."""
    if claude_md:
        subtest["claude_md"] = {"blocks": ["B01"]}
    blocks = {"blocks/B01.md": claude_md}
    return only_subtest(write_library(folder, {"T0/01-it": subtest}, blocks))[1]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task directory with a plain directory of files as its source."""
    folder = tmp_path_factory.mktemp("task")
    files = write_files(folder / "files", FILES)
    (files / "src" / "deep" / "run.sh").chmod(0o755)
    (files / "link").symlink_to("src/a.py")
    (files / "folder").symlink_to("src")
    return folder


@pytest.fixture(scope="module")
def start(task: Path, tmp_path_factory: pytest.TempPathFactory) -> SetupRepository:
    """What workspaces start from: the task's files and a CLAUDE.md."""
    sources = Sources(tmp_path_factory.mktemp("results"))
    setup = make_setup(tmp_path_factory.mktemp("tiers"), "Mind the gap.")
    return sources.setup(sources.base(Source(repo="files"), task, "pin"), setup)


@pytest.fixture
def checkout(start: SetupRepository, tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "run_01", start)
    made.create()
    return made


# -- sources ---------------------------------------------------------------------------------------

HIDDEN = ("NEWER", "SIDE", "TAGGED", "STASHED", "DROPPED", "NOTED")
"""Words of what a workspace must not show: everything beside the history of the task's commit."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one history in many forms; the task's commit is no branch's tip."""
    folder = tmp_path_factory.mktemp("history")
    source = make_repository(folder / "source")
    commit(source, "OLD", {"a": "OLD\n", "CLAUDE.md": "of the repository\n"})
    wanted = commit(source, "TASK", {"a": "TASK\n", "sub/b": "TASK\n"})
    git(source, "checkout", "-q", "-b", "side")
    commit(source, "SIDE", {"a": "SIDE\n"})
    git(source, "checkout", "-q", "main")
    commit(source, "TAGGED", {"a": "TAGGED\n"})
    git(source, "tag", "-a", "-m", "TAGGED", "v2")
    commit(source, "DROPPED", {"a": "DROPPED\n"})
    git(source, "reset", "-q", "--hard", "HEAD~1")
    commit(source, "NEWER", {"a": "NEWER\n"})
    git(source, "notes", "add", "-m", "NOTED", wanted)
    write_files(source, {"a": "STASHED\n"})
    git(source, "stash", "-q")
    git(source, "clone", "-q", "--mirror", ".", str(folder / "bare.git"))
    git(source, "bundle", "create", "-q", str(folder / "source.bundle"), "--all")
    git(source, "worktree", "add", "-q", str(folder / "worktree"), "side")
    write_files(folder, {"wanted": wanted})
    return folder


def wanted(history: Path) -> str:
    return (history / "wanted").read_text()


FORMS = ["source", "bare.git", "source.bundle", "worktree", "url", "absolute"]


def repo(history: Path, form: str) -> str:
    named = {"url": f"file://{history}/source", "absolute": f"{history}/source"}
    return named.get(form, form)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_source_gives_a_commit_that_is_no_branchs_tip(
    history: Path, tmp_path: Path, form: str
) -> None:
    source = Source(repo=repo(history, form), hash=wanted(history))
    base = Sources(tmp_path).base(source, history, "pin")
    assert base.commit == wanted(history)
    assert git(base.repository, "log", "--all", "--format=%s").split() == ["TASK", "OLD"]


@pytest.mark.parametrize(
    ("source", "subject"),
    [({}, "NEWER"), ({"branch": "side"}, "SIDE"), ({"branch": "main"}, "NEWER")],
)
def test_without_a_hash_a_source_starts_from_the_tip_of_its_branch(
    history: Path, tmp_path: Path, source: Mapping[str, str], subject: str
) -> None:
    base = Sources(tmp_path).base(Source(repo="source", **source), history, "pin")
    assert git(base.repository, "show", "-s", "--format=%s", base.commit) == subject


def test_a_short_hash_names_the_commit_too(history: Path, tmp_path: Path) -> None:
    source = Source(repo="source", hash=wanted(history)[:9])
    assert Sources(tmp_path).base(source, history, "pin").commit == wanted(history)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", ["hash", "branch"])
def test_what_a_source_lacks_is_an_error_that_names_it_and_the_key(
    history: Path, tmp_path: Path, form: str, key: str
) -> None:
    source = Source.model_validate({"repo": repo(history, form), key: "0" * 40})
    with pytest.raises(RunError) as caught:
        Sources(tmp_path).base(source, history, "pin")
    assert caught.value.kind == "source"
    assert "0" * 40 in str(caught.value)
    assert f"source.{key} in test.yaml" in str(caught.value)
    assert list((tmp_path / ".sources").glob("*base*.git")) == []


@pytest.mark.parametrize("repo", ["nowhere", "file:///nowhere", "wanted", "--all"])
def test_a_source_that_cannot_be_cloned_is_an_error_that_names_it(
    history: Path, tmp_path: Path, repo: str
) -> None:
    with pytest.raises(RunError) as caught:
        Sources(tmp_path).base(Source(repo=repo), history, "pin")
    assert caught.value.kind == "source"
    assert repo in str(caught.value)
    assert "source.repo in test.yaml" in str(caught.value)


def test_a_source_without_a_hash_stays_at_one_commit_for_one_results_directory(
    tmp_path: Path,
) -> None:
    repository = make_repository(tmp_path / "source")
    first = commit(repository, "first", {"a": "1"})
    sources = Sources(tmp_path / "results")
    assert sources.base(Source(repo="source"), tmp_path, "monday").commit == first
    second = commit(repository, "second", {"a": "2"})
    assert sources.base(Source(repo="source"), tmp_path, "monday").commit == first
    assert sources.base(Source(repo="source"), tmp_path, "tuesday").commit == second


@pytest.mark.parametrize("configuration", ["", "[clone]\n\tdefaultRemoteName = upstream\n"])
def test_a_commit_that_is_newer_than_the_clone_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    repository = make_repository(tmp_path / "source")
    write_files(tmp_path, {"config": configuration})
    sources = Sources(tmp_path / "results")
    for text in ("1", "2", "3"):
        hash = commit(repository, text, {"a": text})
        assert sources.base(Source(repo="source", hash=hash), tmp_path, "pin").commit == hash


def test_what_is_there_is_used_also_when_the_source_has_gone(history: Path, tmp_path: Path) -> None:
    shutil.copytree(history / "bare.git", tmp_path / "source.git")
    sources = Sources(tmp_path / "results")
    source = Source(repo="source.git", hash=wanted(history))
    first = sources.base(source, tmp_path, "pin")
    shutil.rmtree(tmp_path / "source.git")
    assert sources.base(source, tmp_path, "pin") == first


def test_a_plain_directory_becomes_a_repository_of_one_commit(
    task: Path, start: SetupRepository, checkout: Checkout
) -> None:
    assert git(start.base.repository, "log", "--all", "--format=%s") == "The task's files"
    expected = {**read_tree(task / "files"), "CLAUDE.md": ("file", False, b"Mind the gap.\n")}
    assert read_tree(checkout.path) == expected


def test_of_a_plain_directory_what_python_pytest_and_git_leave_is_not_taken(
    tmp_path: Path,
) -> None:
    kept = {".gitignore": "*.log\n", "a.log": "kept", "sub/.hidden": "kept"}
    left = {"__pycache__/a.pyc": "", "sub/__pycache__/b.pyc": "", ".pytest_cache/v/c": ""}
    write_files(tmp_path / "files", {**kept, **left})
    base = Sources(tmp_path / "results").base(Source(repo="files"), tmp_path, "pin")
    names = git(base.repository, "ls-tree", "-r", "--name-only", base.commit).split()
    assert sorted(names) == sorted(kept)


def test_a_plain_directory_that_was_edited_is_another_source(tmp_path: Path) -> None:
    sources = Sources(tmp_path / "results")
    commits = set()
    for text in ("1", "2", "1"):
        write_files(tmp_path / "files", {"a": text})
        commits.add(sources.base(Source(repo="files"), tmp_path, "pin").commit)
    assert len(commits) == 2


def test_the_same_inputs_give_the_same_commits_everywhere(
    task: Path, start: SetupRepository, tmp_path: Path
) -> None:
    sources = Sources(tmp_path / "elsewhere")
    base = sources.base(Source(repo="files"), task, "another")
    again = sources.setup(base, make_setup(tmp_path / "tiers", "Mind the gap."))
    assert (base.commit, again.commit) == (start.base.commit, start.commit)


# -- what a tier puts into a workspace -------------------------------------------------------------


def of_history(history: Path, folder: Path, setup: Setup) -> Checkout:
    sources = Sources(folder / "results")
    base = sources.base(Source(repo="source", hash=wanted(history)), history, "pin")
    made = Checkout(folder / "run_01", sources.setup(base, setup))
    made.create()
    return made


def test_the_tiers_files_are_committed_before_the_agent_starts(
    history: Path, tmp_path: Path
) -> None:
    made = of_history(history, tmp_path, make_setup(tmp_path / "tiers", "Mind the gap."))
    assert (made.path / "CLAUDE.md").read_text() == "Mind the gap.\n"
    assert git(made.path, "status", "--porcelain", "--ignored") == ""
    assert git(made.path, "log", "--format=%s").splitlines() == ["Set up the agent", "TASK", "OLD"]
    assert git(made.path, "rev-parse", "HEAD") == made.setup.commit
    assert git(made.path, "branch", "--show-current") == "main"


def test_an_empty_tier_takes_away_what_the_repository_brings_along(
    history: Path, tmp_path: Path
) -> None:
    made = of_history(history, tmp_path, make_setup(tmp_path / "tiers"))
    assert sorted(read_tree(made.path)) == ["a", "sub/b"]


def test_a_tier_that_changes_nothing_adds_no_commit(task: Path, tmp_path: Path) -> None:
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="files"), task, "pin")
    assert sources.setup(base, make_setup(tmp_path / "tiers")).commit == base.commit


def test_what_the_task_ignores_does_not_keep_the_tiers_files_out(tmp_path: Path) -> None:
    write_files(tmp_path / "files", {".gitignore": "CLAUDE.md\n.claude\n", "a": "1"})
    sources = Sources(tmp_path / "results")
    setup = make_setup(tmp_path / "tiers", "Mind the gap.", agent_teams=True)
    base = sources.base(Source(repo="files"), tmp_path, "pin")
    made = Checkout(tmp_path / "run_01", sources.setup(base, setup))
    made.create()
    assert {"CLAUDE.md", ".claude/settings.json"} <= set(read_tree(made.path))
    assert git(made.path, "status", "--porcelain") == ""
    agent(made.path, "echo more >> CLAUDE.md")
    assert b"+more" in made.patch()


def test_an_agent_can_commit_without_configuring_anything(checkout: Checkout) -> None:
    agent(checkout.path, "echo more >> README.md; git commit -qam 'I was here'; git log | cat")
    assert git(checkout.path, "log", "-1", "--format=%s") == "I was here"


# -- secrecy ---------------------------------------------------------------------------------------

SHOWING = [
    "git log --all -p",
    "git branch -a -v",
    "git reflog show --all",
    "git reflog",
    "git stash list -p",
    "git tag -n",
    "git fsck --lost-found --no-progress",
    "git worktree list --porcelain",
    "git for-each-ref",
    "git rev-list --all --reflog --objects",
    "git log -p --notes refs/heads/main",
    "git remote -v",
    "git config --local --list",
    "git ls-remote .",
    "git rev-parse --all --tags --branches --remotes",
    "git cat-file --batch-all-objects --batch-check",
    "git lost-found 2>&1 || true",
]


@pytest.fixture(scope="module")
def siblings(history: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Checkout]:
    """Three workspaces, the first untouched; in the others agents have left all they could.

    The second has the same set-up as the first, the third another one.
    """
    folder = tmp_path_factory.mktemp("siblings")
    sources = Sources(folder / "results")
    source = Source(repo="source", hash=wanted(history))
    base = sources.base(source, history, "pin")
    setups = [make_setup(folder / f"tiers{n}", text) for n, text in enumerate(["A", "A", "B"])]
    made = [Checkout(folder / f"run{n}", sources.setup(base, s)) for n, s in enumerate(setups)]
    for one in made:
        one.create()
    for one in made[1:]:
        agent(one.path, LEAVE_TRACES)
    return made


LEAVE_TRACES = """
echo OTHER-RUN > a; git commit -qam OTHER-RUN; git tag -a -m OTHER-RUN OTHER-RUN
echo OTHER-RUN2 > a; git stash -q -m OTHER-RUN
git checkout -q -b OTHER-RUN; git commit -q --allow-empty -m OTHER-RUN
git reset -q --hard HEAD~1; git worktree add -q ../OTHER-RUN HEAD; git notes add -m OTHER-RUN
git config alias.OTHER-RUN status; git remote add OTHER-RUN ../OTHER-RUN
git gc -q
"""


@pytest.mark.parametrize("command", SHOWING)
def test_no_git_command_shows_another_run_or_anything_newer_than_the_task(
    siblings: list[Checkout], history: Path, command: str
) -> None:
    shown = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=siblings[0].path,
        env=clean_environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    said = shown.stdout + shown.stderr
    unwanted = [*HIDDEN, "OTHER-RUN", *hidden_objects(history), *left_objects(siblings)]
    assert [word for word in unwanted if word in said] == []


def hidden_objects(history: Path) -> set[str]:
    """Objects of the source that are not in the history of the task's commit."""
    source = history / "source"
    shown = git(source, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    known = git(source, "rev-list", "--objects", wanted(history))
    return set(shown.split()) - {line.split()[0] for line in known.splitlines()}


def left_objects(siblings: list[Checkout]) -> set[str]:
    """Objects that the other agents made."""
    found = set()
    for one in siblings[1:]:
        found |= set(git(one.path, "rev-list", "--all", "--objects", "--format=%T").split())
    known = git(siblings[0].path, "rev-list", "--all", "--objects")
    ours = {line.split()[0] for line in known.splitlines()}
    return {id for id in found if len(id) == 40} - ours - left_by_the_tier(siblings)


def left_by_the_tier(siblings: list[Checkout]) -> set[str]:
    return {one.setup.commit for one in siblings}


def test_the_history_of_the_task_itself_can_be_read(siblings: list[Checkout]) -> None:
    assert "TASK" in git(siblings[0].path, "log", "--all", "-p")


DESTRUCTION = """
D=$(git rev-parse --git-common-dir); G=$(git rev-parse --git-dir)
git checkout -q --detach; git branch -q -D main; git worktree prune --expire now
echo 'exit 1' > $D/hooks-x; git config core.hooksPath $D; git config core.bare maybe || true
git reflog expire --expire=now --all || true; git gc -q --prune=now || true
rm -rf $D/refs $D/objects $D/HEAD $D/worktrees
"""


def test_nothing_an_agent_does_to_its_repository_reaches_a_sibling(
    start: SetupRepository, tmp_path: Path
) -> None:
    first, second, later = (Checkout(tmp_path / name, start) for name in ("a", "b", "c"))
    first.create()
    second.create()
    agent(first.path, DESTRUCTION)
    later.create()
    for one in (second, later):
        assert git(one.path, "status", "--porcelain") == ""
        assert git(one.path, "fsck", "--no-progress", "--no-dangling") == ""
        assert one.patch() == b""


# -- many at once ----------------------------------------------------------------------------------

WORKERS, EACH = 8, 25


def wait_for(everybody: Barrier) -> None:
    everybody.wait()


def make_many(results: Path, history: Path, worker: int) -> None:
    """One of several processes that start with nothing there yet."""
    sources = Sources(results)
    setups = [make_setup(results / f"tiers-{worker}-{n}", text) for n, text in enumerate("AB")]
    for number in range(EACH):
        source = Source(repo="source", hash=wanted(history))
        base = sources.base(source, history, "pin")
        setup = sources.setup(base, setups[number % 2])
        Checkout(results / f"{worker}-{number}", setup).create()


def test_eight_processes_make_two_hundred_workspaces_at_once(history: Path, tmp_path: Path) -> None:
    context = get_context("spawn")
    everybody = context.Barrier(WORKERS)
    with ProcessPoolExecutor(
        WORKERS, mp_context=context, initializer=wait_for, initargs=(everybody,)
    ) as pool:
        made = [pool.submit(make_many, tmp_path, history, worker) for worker in range(WORKERS)]
        for one in made:
            one.result()
    places = [p for p in tmp_path.iterdir() if (p / "workspace").exists()]
    assert len(places) == WORKERS * EACH
    trees = {tuple(sorted(read_tree(place / "workspace").items())) for place in places}
    assert len(trees) == 2
    shared = list((tmp_path / ".sources").glob("*.git"))
    assert len(shared) == 3
    for repository in [*shared, *(place / "workspace" for place in places[::10])]:
        assert git(repository, "fsck", "--no-progress") == ""
    for place in places[::10]:
        assert git(place / "workspace", "status", "--porcelain") == ""


# -- the patch -------------------------------------------------------------------------------------


def round_trip(checkout: Checkout) -> bytes:
    """Take the patch, and make the workspace anew from it: it must be the same."""
    left = read_tree(checkout.path)
    patch = checkout.patch()
    assert read_tree(checkout.path) == left, "to take the patch changed the workspace"
    assert checkout.patch() == patch
    path = checkout.path.parent / "changes.patch"
    path.write_bytes(patch)
    checkout.restore(path)
    assert checkout.exists
    assert read_tree(checkout.path) == left
    return patch


EDITS = {
    "nothing": "true",
    "text": "echo more >> README.md; echo new > new.txt",
    "no newline at the end": "printf x > README.md; printf y >> src/b.py",
    "crlf": "printf 'a\\r\\nb\\r\\n' > new.txt; printf 'one\\ntwo\\n' > dos.txt",
    "binary": "printf '\\0\\1\\377' > data.bin; head -c 70000 /dev/urandom > new.bin",
    "a mode": "chmod +x README.md; chmod -x src/deep/run.sh",
    "a mode and text": "chmod +x README.md; echo more >> README.md",
    "a deletion": "rm README.md; rm -r src/deep",
    "everything deleted": "rm -rf -- * .claude",
    "a rename": "mv src lib; mv README.md READ.ME",
    "a copy": "cp -r src lib",
    "an empty file": ": > README.md; : > new",
    "a large file": "seq 300000 > new.txt",
    "trailing spaces": "printf 'a  \\n\\t\\n \\n\\n\\n' > new.txt",
    "staged": "echo more >> README.md; git add -A; rm README.md",
    "intent to add": "echo more > new; git add -N new",
    "committed": "echo more >> README.md; git add -A; git commit -qm more; echo yet > more",
    "on a branch": "git checkout -q -b other; echo more > new; git add -A; git commit -qm more",
    "an orphan branch": "git checkout -q --orphan other; echo more > new",
    "history thrown away": "rm -rf .git; git init -q; echo more > new",
    "no repository": "rm -rf .git; echo more > new",
    "reset to nothing": "git read-tree --empty; echo more > new",
    "index locked": "touch $(git rev-parse --git-dir)/index.lock; echo more > new",
    "assume unchanged": "git update-index --assume-unchanged README.md; echo more >> README.md",
    "skip worktree": "git update-index --skip-worktree README.md; rm README.md",
    "fsmonitor": "git config core.fsmonitor true; echo more >> README.md",
    "file modes ignored": "git config core.fileMode false; chmod +x README.md",
    "excluded": "D=$(git rev-parse --git-common-dir); mkdir -p $D/info; "
    "echo '*' > $D/info/exclude; echo more > new",
    "old times": "echo 'Not task.' | head -c 8 > README.md; touch -d 2001-01-01 README.md",
    "links": "ln -s nowhere dangling; ln -sfn src/deep folder; ln -s / root",
    "a file becomes a link": "rm README.md; ln -s src README.md",
    "a link becomes a file": "rm link; echo text > link",
    "a file becomes a directory": "rm README.md; mkdir README.md; echo text > README.md/x",
    "a directory becomes a file": "rm -r src; echo text > src",
    "a directory becomes a link": "rm -r src; ln -s . src",
    "a link becomes a directory": "rm folder; mkdir folder; echo text > folder/x",
    "odd names": "for n in 'sp ace' 'q\"uote' '\"first' \"'single\" ü -dash ':(top)x' '*' '[a]' "
    "'back\\slash' ' lead' 'trail ' \"$(printf 'new\\nline')\" \"$(printf 'tab\\tx')\" "
    "\"$(printf '\\377')\" 'a;b' '$(x)' '#hash' '~'; do echo 1 > \"./$n\"; mkdir -p d; "
    'echo 2 > "d/$n"; done',
    "names that git for windows minds": "mkdir git~1; echo x > git~1/a; echo x > 'aux'; "
    "echo x > 'trailing.'; echo x > 'a:b'",
    "files that configure git": "echo '[submodule \"x\"]' > .gitmodules; echo 'a b <c>' > .mailmap",
    "nested repositories, one in the place of the task's folder": "git init -q n; echo x > n/f; "
    "rm -r src; git init -q src",
    "the tier's own files": "rm CLAUDE.md; mkdir .claude; echo {} > .claude/settings.json",
    "a nested repository": "git init -q n; echo x > n/f; mkdir n/s; echo y > n/s/g; chmod +x n/f",
    "a nested repository with a commit": "git init -q n; cd n; git config user.name a; "
    "git config user.email a; echo x > f; git add f; git commit -qm x; echo y > g",
    "a clone": "git clone -q . n; echo more > n/new",
    "a nested repository in the task's folder": "cd src; git init -q; rm a.py; echo x > c.py",
    "a nested repository in the index": "git init -q n; cd n; git config user.name a; "
    "git config user.email a; echo x > f; git add f; git commit -qm x; cd ..; git add n",
    "nested repositories in each other": "git init -q n; git init -q n/m; echo x > n/m/f",
    "a nested repository with links and odd names": "git init -q n; cd n; ln -s f l; ln -s . d; "
    "for n in '\"first' 'sp ace' ü \"$(printf 'new\\nline')\" -dash; do echo 1 > \"./$n\"; done",
    "a nested repository with an odd name": 'N="$(printf \'n *[x]\\n"l\')"; git init -q "$N"; '
    'echo x > "$N/f"',
    "a nested repository with a pipe": "git init -q n; echo x > n/f; mkfifo n/p",
    "a broken nested repository": "mkdir n; echo nonsense > n/.git; echo x > n/f",
    "many files in a nested repository": "git init -q n; cd n; for i in $(seq 450); do "
    "echo $i > f$i; done",
    "a submodule": "git init -q ../n; cd ../n; git config user.name a; git config user.email a; "
    "echo x > f; git add f; git commit -qm x; cd ../workspace; "
    "git -c protocol.file.allow=always submodule --quiet add ../n n",
    "pipes and sockets": "mkfifo p; mkdir s; mkfifo s/p; echo more > s/new",
    "no permissions": "echo x > new; mkdir d; echo y > d/f; chmod 000 new d/f; chmod 500 d",
    "a filter": "echo '* filter=evil' > .gitattributes; git config filter.evil.clean 'echo evil'; "
    "git config filter.evil.smudge 'echo evil'; git config filter.evil.required true; echo x > new",
    "a diff driver": "echo '* diff=evil' > .gitattributes; echo x >> README.md; "
    "git config diff.evil.command 'echo evil'; git config diff.evil.textconv 'echo evil'",
    "a merge driver": "echo '* merge=union -diff' > .gitattributes; echo x >> README.md",
    "text by attribute": "echo '* text' > .gitattributes; printf 'a\\r\\n' > n; echo x >> dos.txt",
    "text by guess": "echo '* text=auto eol=crlf' > .gitattributes; echo x > new",
    "ident": "echo '* ident' > .gitattributes; echo '$Id: 1 $' > new",
    "another encoding": "echo '* working-tree-encoding=UTF-16' > .gitattributes; echo x > new",
    "binary by attribute": "echo '* binary' > .gitattributes; echo x >> README.md",
    "attributes of the repository": "D=$(git rev-parse --git-common-dir); mkdir -p $D/info; "
    "echo '* text eol=crlf' > $D/info/attributes; echo x > new",
    "settings of the repository": "git config core.autocrlf true; git config diff.noprefix true; "
    "git config core.quotePath false; git config diff.renames copies; "
    "git config core.hooksPath .; git config apply.whitespace error; printf 'x  \\r\\n' > ü",
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_workspace_is_made_anew_from_its_patch(checkout: Checkout, edit: str) -> None:
    agent(checkout.path, EDITS[edit])
    patch = round_trip(checkout)
    assert (patch == b"") == (edit == "nothing")


def test_files_that_a_gitignore_hides_are_not_in_the_patch(checkout: Checkout) -> None:
    agent(checkout.path, "echo '*.log' > .gitignore; echo x > a.log; echo y > b.txt")
    patch = checkout.patch()
    assert b"b.txt" in patch
    assert b"a.log" not in patch


def test_a_gitignore_does_not_hide_changes_of_the_tasks_files(checkout: Checkout) -> None:
    agent(checkout.path, "echo '*' > .gitignore; echo more >> README.md; rm src/a.py")
    patch = checkout.patch()
    assert b"+more" in patch
    assert b"src/a.py" in patch


def test_a_socket_of_an_agent_is_no_part_of_the_patch(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout.path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert checkout.patch() == b""


def test_to_take_the_patch_leaves_the_agents_repository_alone(checkout: Checkout) -> None:
    agent(checkout.path, "echo a > staged; git add staged; echo b > unstaged; git stash -q -u")
    before = state(checkout)
    checkout.patch()
    assert state(checkout) == before


def test_an_agent_that_removed_its_workspace_has_removed_all_files(checkout: Checkout) -> None:
    agent(checkout.path.parent, "rm -rf workspace")
    patch = checkout.patch()
    assert patch.count(b"deleted file mode") == len(FILES) + 3


def test_a_link_in_the_place_of_a_workspace_is_not_followed(
    checkout: Checkout, tmp_path: Path
) -> None:
    outside = write_files(tmp_path / "outside", {"private.txt": "private"})
    agent(checkout.path.parent, f"rm -rf workspace; ln -s {outside} workspace")
    assert b"private" not in checkout.patch()
    assert (outside / "private.txt").read_text() == "private"


ATTRIBUTES = [
    "* text=auto",
    "* text eol=crlf",
    "*.txt filter=lfs diff=lfs merge=lfs -text",
    "* ident",
]


@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_the_tasks_own_attributes_do_not_change_its_files(tmp_path: Path, attributes: str) -> None:
    files = {".gitattributes": attributes, "dos.txt": "a\r\n", "unix.txt": "a\n$Id$\n"}
    write_files(tmp_path / "files", files)
    sources = Sources(tmp_path / "results")
    base = sources.base(Source(repo="files"), tmp_path, "pin")
    made = Checkout(tmp_path / "run_01", sources.setup(base, make_setup(tmp_path / "tiers")))
    made.create()
    assert read_tree(made.path) == read_tree(tmp_path / "files")
    assert git(made.path, "status", "--porcelain") == ""
    assert made.patch() == b""
    agent(made.path, "printf 'b\\r\\n' >> unix.txt; printf 'b\\n' >> dos.txt; echo c > new.txt")
    round_trip(made)


def test_a_patch_that_does_not_fit_leaves_no_workspace_that_looks_whole(
    checkout: Checkout, tmp_path: Path
) -> None:
    agent(checkout.path, "echo more >> README.md")
    patch = checkout.patch().replace(b" A task.", b" Another task.")
    (tmp_path / "patch").write_bytes(patch)
    with pytest.raises(RunError):
        checkout.restore(tmp_path / "patch")
    assert not checkout.exists
    checkout.create()
    assert checkout.exists


def test_a_workspace_that_was_never_made_does_not_exist(
    start: SetupRepository, tmp_path: Path
) -> None:
    assert not Checkout(tmp_path, start).exists


def test_a_workspace_that_was_moved_still_works(
    checkout: Checkout, start: SetupRepository, tmp_path: Path
) -> None:
    agent(checkout.path, "echo more >> README.md; git commit -qam kept; echo yet >> README.md")
    place = tmp_path / "attempts" / "attempt_01"
    place.mkdir(parents=True)
    for name in ("workspace", "workspace.git"):
        os.replace(checkout.path.parent / name, place / name)
    checkout.relocate(place, place)
    checkout.create()
    assert git(place / "workspace", "log", "-1", "--format=%s") == "kept"
    assert git(place / "workspace", "status", "--porcelain") == " M README.md"
    assert git(checkout.path, "log", "--all", "--format=%s").split("\n")[0] == "Set up the agent"


@pytest.mark.parametrize(
    "name", ["with space", "with:colon", "ünï", "with'quote", 'with"quote', "#a"]
)
def test_results_may_lie_in_a_folder_of_any_name(task: Path, tmp_path: Path, name: str) -> None:
    sources = Sources(tmp_path / name)
    base = sources.base(Source(repo="files"), task, "pin")
    setup = make_setup(tmp_path / name / "tiers", "Mind the gap.")
    made = Checkout(tmp_path / name / "run_01", sources.setup(base, setup))
    made.create()
    agent(made.path, "echo more >> README.md; git commit -qam more; echo new > new")
    round_trip(made)
    made.reset()
    assert made.patch() == b""


# -- any edits -------------------------------------------------------------------------------------

parts = st.sampled_from(
    ["a", "b", "src", "README.md", " x", "ü", 'q"', "n\nl", "-d", ":(top)", "*", "\udcff", "b\\s"]
)
places = st.lists(parts, min_size=1, max_size=3).map("/".join)
data = st.sampled_from(
    [b"", b"x", b"x\n", b"a\r\nb\r\n", b"\0\1\377", b"A task.\n", b"line\n" * 99]
)
attributes = st.sampled_from(
    [line.encode() for line in (*ATTRIBUTES, "* binary", "* -diff", "* eol=lf")]
)


def write(place: str, content: bytes, mode: int = 0o644) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        clear(root, place)
        (root / place).write_bytes(content)
        (root / place).chmod(mode)

    return edit


def link(place: str, target: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        clear(root, place)
        (root / place).symlink_to(target)

    return edit


def move(old: str, new: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        if os.path.lexists(root / old) and not f"{new}/".startswith(f"{old}/"):
            with tempfile.TemporaryDirectory(dir=root.parent) as aside:
                os.replace(root / old, Path(aside, "it"))
                clear(root, new)
                os.replace(Path(aside, "it"), root / new)

    return edit


def clear(root: Path, place: str) -> None:
    """Make room for something at `place`, with all directories above it."""
    above = Path(place).parts[:-1]
    for count in range(1, len(above) + 1):
        folder = root.joinpath(*above[:count])
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        folder.mkdir(exist_ok=True)
    remove(place)(root)


def remove(place: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        path = root / place
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()

    return edit


def nest(place: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        clear(root, place)
        git(root, "init", "-q", "--", place)

    return edit


def run_git(*arguments: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        with contextlib.suppress(AssertionError):
            git(root, *arguments)

    return edit


edits = st.one_of(
    st.builds(write, places, data, st.sampled_from([0o644, 0o755])),
    st.builds(link, places, places | st.just("../..")),
    st.builds(move, places, places),
    st.builds(remove, places),
    st.builds(nest, places),
    st.builds(write, st.sampled_from([".gitattributes", "src/.gitattributes"]), attributes),
    st.sampled_from(
        [
            run_git("add", "-A"),
            run_git("commit", "-q", "-a", "-m", "x"),
            run_git("stash", "-q", "-u"),
            run_git("checkout", "-q", "-b", "x"),
            run_git("checkout", "-q", "--detach"),
            run_git("update-index", "--assume-unchanged", "README.md", "src/a.py"),
            run_git("update-index", "--skip-worktree", "README.md", "src/a.py"),
            run_git("config", "core.autocrlf", "true"),
            run_git("tag", "x"),
        ]
    ),
)


@contextlib.contextmanager
def edited(start: SetupRepository, edits: list[Callable[[Path], None]]) -> Iterator[Checkout]:
    """A workspace in which an agent did all this."""
    with tempfile.TemporaryDirectory() as folder:
        made = Checkout(Path(folder), start)
        made.create()
        for edit in edits:
            edit(made.path)
        yield made


@law_on_disk
@given(st.lists(edits, max_size=8))
def test_whatever_an_agent_does_is_in_its_patch(
    start: SetupRepository, edits: list[Callable[[Path], None]]
) -> None:
    with edited(start, edits) as made:
        round_trip(made)


# -- reset -----------------------------------------------------------------------------------------


def state(checkout: Checkout) -> object:
    """All that an agent can see of its workspace and its repository, but times."""
    asked = [
        ("status", "--porcelain", "--ignored"),
        ("for-each-ref",),
        ("symbolic-ref", "HEAD"),
        ("ls-files", "-s", "-v"),
        ("worktree", "list"),
        ("rev-list", "--all", "--reflog"),
    ]
    place = str(checkout.path.parent)
    answers = [git(checkout.path, *words).replace(place, "HERE") for words in asked]
    config = (checkout.repository / "config").read_text()
    hooks = checkout.repository / "hooks"
    return listing(checkout.path), answers, config, listing(hooks) if hooks.exists() else None


def listing(root: Path) -> dict[str, tuple[str, bytes]]:
    """Everything below `root`, empty directories and pipes included; but what .git says."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            content = b""
            if stat.S_ISLNK(mode):
                content = os.fsencode(os.readlink(path))
            elif stat.S_ISREG(mode) and name != ".git":
                content = path.read_bytes()
            found[os.path.relpath(path, root)] = (kind(mode), content)
    return found


def kind(mode: int) -> str:
    executable = stat.S_ISREG(mode) and bool(mode & 0o100)
    return f"{stat.S_IFMT(mode):o}{'x' if executable else ''}"


@pytest.fixture(scope="module")
def fresh(start: SetupRepository, tmp_path_factory: pytest.TempPathFactory) -> object:
    made = Checkout(tmp_path_factory.mktemp("fresh"), start)
    made.create()
    return state(made)


EDITS_TO_UNDO = [
    "committed",
    "staged",
    "everything deleted",
    "history thrown away",
    "reset to nothing",
    "index locked",
    "assume unchanged",
    "skip worktree",
    "file modes ignored",
    "links",
    "a directory becomes a link",
    "a file becomes a directory",
    "odd names",
    "a nested repository with a commit",
    "a nested repository in the task's folder",
    "pipes and sockets",
    "no permissions",
    "a filter",
    "text by guess",
    "another encoding",
    "attributes of the repository",
    "settings of the repository",
]
TRACES = {
    **{name: EDITS[name] for name in EDITS_TO_UNDO},
    "ignored files": "echo '*' > .gitignore; echo x > hidden; mkdir -p d/e; echo y > d/e/f",
    "empty directories": "mkdir -p d/e; mkdir src/d",
    "hooks": "D=$(git rev-parse --git-common-dir)/hooks; mkdir -p $D; "
    "printf '#!/bin/sh\\nexit 1' > $D/post-checkout; chmod +x $D/post-checkout",
    "configuration": "git config core.autocrlf true; git config core.worktree /; git config a.b c",
    "refs": "git tag t; git branch b; git checkout -q --detach; git branch -q -D main",
    "stash": "echo x >> README.md; git stash -q; git notes add -m n",
    "a rebase under way": "git checkout -q -b x; echo 1 > README.md; git commit -qam 1; "
    "git checkout -q main; echo 2 > README.md; git commit -qam 2; git rebase x || true",
    "no .git": "rm .git",
    "another .git": "rm .git; ln -s /tmp .git",
    "the repository removed": "rm -rf ../workspace.git",
    "the repository a link": "rm -rf ../workspace.git; mkdir ../x; ln -s x ../workspace.git",
    "the repository a file": "rm -rf ../workspace.git; echo x > ../workspace.git",
    "the workspace removed": "rm -rf ../workspace",
    "the workspace a file": "cd ..; rm -rf workspace; echo x > workspace",
    "a replaced object": "git replace -f HEAD~1 $(git commit-tree -m x HEAD^{tree}); git log | cat",
    "sparse": "git sparse-checkout set --no-cone /README.md",
    "a shallow history": "echo $(git rev-parse HEAD) > $(git rev-parse --git-common-dir)/shallow",
}


@pytest.mark.parametrize("traces", TRACES)
def test_a_reset_workspace_is_like_a_new_one(
    checkout: Checkout, fresh: object, traces: str
) -> None:
    agent(checkout.path, TRACES[traces])
    checkout.reset()
    assert checkout.exists
    assert state(checkout) == fresh
    assert checkout.patch() == b""


@settings(law_on_disk, max_examples=25)
@given(st.lists(edits, max_size=8))
def test_a_reset_workspace_is_like_a_new_one_whatever_was_done(
    start: SetupRepository, fresh: object, edits: list[Callable[[Path], None]]
) -> None:
    with edited(start, edits) as made:
        made.reset()
        assert state(made) == fresh


@pytest.mark.parametrize("again", [Checkout.reset, Checkout.create, Checkout.remove])
def test_what_links_of_an_agent_point_to_is_left_alone(
    checkout: Checkout, tmp_path: Path, again: Callable[[Checkout], None]
) -> None:
    outside = write_files(tmp_path / "outside", {"a.py": "mine", "deep/run.sh": "mine"})
    before = read_tree(outside)
    agent(
        checkout.path, f"rm -r src README.md; ln -s {outside} src; ln -s {outside}/a.py README.md"
    )
    again(checkout)
    assert read_tree(outside) == before
    if checkout.path.exists():
        shutil.rmtree(checkout.path)
    checkout.path.symlink_to(outside)
    again(checkout)
    assert read_tree(outside) == before


def relocated(checkout: Checkout) -> None:
    place = checkout.path.parent.with_name("attempt")
    place.mkdir()
    for name in ("workspace", "workspace.git"):
        if os.path.lexists(checkout.path.parent / name):
            os.replace(checkout.path.parent / name, place / name)
    checkout.relocate(place, place)


BESIDE = [
    *("workspace", "workspace.index", "workspace.git", "workspace.git/worktrees"),
    *("workspace.git/worktrees/workspace", "workspace.git/refs", "workspace.git/objects"),
]


@pytest.mark.parametrize(
    "again", [Checkout.reset, Checkout.create, Checkout.remove, Checkout.patch, relocated]
)
@pytest.mark.parametrize("place", BESIDE)
def test_what_lies_beside_a_workspace_is_made_again_and_never_followed(
    checkout: Checkout, tmp_path: Path, place: str, again: Callable[[Checkout], object]
) -> None:
    names = ("gitdir", "HEAD", "index", "a.lock", "heads/main", "workspace/gitdir", ".git")
    mine = dict.fromkeys((*names, "worktrees/workspace/HEAD"), "mine")
    outside = write_files(tmp_path / "outside", mine)
    before = listing(outside)
    target = outside / "index" if place == "workspace.index" else outside
    agent(checkout.path.parent, f"rm -rf {place}; ln -s {target} {place}")
    again(checkout)
    assert listing(outside) == before
    assert sorted(outside.rglob(".git")) == [outside / ".git"]
    assert (outside / ".git").read_text() == "mine"
    if again in (Checkout.reset, Checkout.create):
        assert checkout.exists
        assert checkout.patch() == b""
        assert git(checkout.path, "status", "--porcelain") == ""


def test_a_directory_called_workspace_that_is_not_ours_gets_another_name(
    start: SetupRepository, tmp_path: Path
) -> None:
    mine = write_files(tmp_path / "run_01" / "workspace", {"a": "mine"})
    before = read_tree(mine)
    made = Checkout(tmp_path / "run_01", start)
    made.create()
    assert read_tree(tmp_path / "run_01" / "workspace.before") == before
    assert made.exists
    made.remove()
    assert os.listdir(tmp_path / "run_01") == ["workspace.before"]


def test_unchanged_files_stay_in_place_when_a_workspace_is_reset(checkout: Checkout) -> None:
    agent(checkout.path, "echo more >> README.md; git commit -qam more; echo new > new")
    before = (checkout.path / "src" / "a.py").stat()
    checkout.reset()
    after = (checkout.path / "src" / "a.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_removed_workspace_leaves_nothing(checkout: Checkout) -> None:
    agent(checkout.path, "mkdir d; echo x > d/f; chmod -R 500 d")
    checkout.remove()
    assert not checkout.exists
    assert os.listdir(checkout.path.parent) == []


# -- the user's own git ----------------------------------------------------------------------------

USERS_CONFIG = """
[core]
	autocrlf = true
	hooksPath = {home}/hooks
	excludesFile = {home}/everything
	attributesFile = {home}/crlf
	fileMode = false
	quotePath = false
	fsmonitor = true
[commit]
	gpgSign = true
	template = /nowhere
[tag]
	gpgSign = true
[user]
	signingKey = nobody
	useConfigOnly = true
[init]
	defaultBranch = trunk
	templateDir = {home}/template
[clone]
	defaultRemoteName = upstream
[diff]
	noprefix = true
	mnemonicPrefix = true
	renames = copies
	context = 0
	external = false
[apply]
	whitespace = error
[color]
	ui = always
[status]
	showUntrackedFiles = no
[log]
	showSignature = true
[checkout]
	defaultRemote = upstream
[alias]
	add = !false
"""
HOOK = "#!/bin/sh\nexit 1\n"


def users_home(folder: Path) -> Path:
    """A home directory with every git habit that could get in the way."""
    hooks = ("post-checkout", "pre-commit", "commit-msg", "post-index-change", "fsmonitor-watchman")
    return write_files(
        folder,
        {
            ".gitconfig": USERS_CONFIG.format(home=folder),
            ".config/git/ignore": "*\n",
            ".config/git/attributes": "* text eol=crlf\n",
            "everything": "*\n",
            "crlf": "* text eol=crlf\n",
            "template/description": "of the user",
            "template/hooks/post-checkout": HOOK,
            **{f"hooks/{name}": HOOK for name in hooks},
        },
    )


SURROUNDINGS: dict[str, dict[str, str]] = {
    "a home": {"HOME": "{home}"},
    "a home by xdg": {"HOME": "/nowhere", "XDG_CONFIG_HOME": "{home}/.config"},
    "a named file": {"GIT_CONFIG_GLOBAL": "{home}/.gitconfig"},
    "a system's file": {"GIT_CONFIG_SYSTEM": "{home}/.gitconfig"},
    "counted settings": {
        "GIT_CONFIG_COUNT": "4",
        "GIT_CONFIG_KEY_0": "core.autocrlf",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_CONFIG_KEY_1": "core.hooksPath",
        "GIT_CONFIG_VALUE_1": "{home}/hooks",
        "GIT_CONFIG_KEY_2": "diff.noprefix",
        "GIT_CONFIG_VALUE_2": "true",
        "GIT_CONFIG_KEY_3": "core.excludesFile",
        "GIT_CONFIG_VALUE_3": "{home}/everything",
    },
    "settings of a caller": {"GIT_CONFIG_PARAMETERS": "'diff.noprefix=true' 'core.autocrlf=true'"},
    "a template": {"GIT_TEMPLATE_DIR": "{home}/template"},
    "a hook's repository": {
        "GIT_DIR": "{outer}/.git",
        "GIT_WORK_TREE": "{outer}",
        "GIT_INDEX_FILE": "{outer}/.git/index",
        "GIT_PREFIX": "sub/",
        "GIT_COMMON_DIR": "{outer}/.git",
        "GIT_OBJECT_DIRECTORY": "{outer}/.git/objects",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "{outer}/.git/objects",
        "GIT_REFLOG_ACTION": "commit",
        "GIT_INTERNAL_SUPER_PREFIX": "sub/",
    },
    "a push": {"GIT_QUARANTINE_PATH": "{outer}/.git/objects/x"},
    "options of diff": {"GIT_DIFF_OPTS": "-u0", "GIT_EXTERNAL_DIFF": "false"},
    "another hash": {"GIT_DEFAULT_HASH": "sha256"},
    "pathspecs": {"GIT_LITERAL_PATHSPECS": "1"},
    "pathspecs without case": {"GIT_ICASE_PATHSPECS": "1"},
    "an author": {"GIT_AUTHOR_NAME": "me", "GIT_AUTHOR_DATE": "2001-01-01", "EMAIL": "me"},
    "a committer": {"GIT_COMMITTER_NAME": "me", "GIT_COMMITTER_DATE": "2001-01-01"},
    "a namespace": {"GIT_NAMESPACE": "other"},
    "a trace": {"GIT_TRACE": "1", "GIT_TRACE_SETUP": "1"},
    "a language": {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"},
    "a pager": {"GIT_PAGER": "false", "PAGER": "false", "GIT_PAGER_IN_USE": "1"},
}


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """A repository of the user's, with something staged, in whose hook pytest may run."""
    repository = make_repository(tmp_path / "outer")
    commit(repository, "mine", {"mine": "1"})
    write_files(repository, {"mine": "2", "untracked": "3"})
    git(repository, "add", "mine")
    return repository


def glance(repository: Path) -> list[str]:
    asked = [("status", "--porcelain"), ("for-each-ref",), ("stash", "list"), ("ls-files", "-s")]
    return [git(repository, *words) for words in asked]


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_neither_the_users_git_nor_an_outer_repository_matters(
    surroundings: str,
    task: Path,
    start: SetupRepository,
    history: Path,
    outer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = users_home(tmp_path / "home")
    for hook in [*home.glob("hooks/*"), *home.glob("template/hooks/*")]:
        hook.chmod(0o755)
    before = glance(outer)
    for name, value in SURROUNDINGS[surroundings].items():
        monkeypatch.setenv(name, value.format(home=home, outer=outer))
    sources = Sources(tmp_path / "results")
    setup = make_setup(tmp_path / "tiers", "Mind the gap.")
    base = sources.base(Source(repo="files"), task, "pin")
    clone = sources.base(Source(repo="source", hash=wanted(history)), history, "pin")
    made = Checkout(tmp_path / "run_01", sources.setup(base, setup))
    made.create()
    assert (base.commit, clone.commit) == (start.base.commit, wanted(history))
    assert made.setup.commit == start.commit
    write_files(made.path, {"new.log": "x\n", "README.md": "A task.\nmore  \n", "dos": "a\r\n"})
    assert read_tree(made.path).keys() == {*FILES, "link", "folder", "CLAUDE.md", "new.log", "dos"}
    assert made.patch().count(b"diff --git a/") == 3
    round_trip(made)
    made.reset()
    assert read_tree(made.path).keys() == {*FILES, "link", "folder", "CLAUDE.md"}
    assert glance(outer) == before


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_nothing_of_git_stays_running(checkout: Checkout) -> None:
    agent(checkout.path, "git config core.fsmonitor true; git config core.untrackedCache true")
    round_trip(checkout)
    place = str(checkout.path.parent).encode()
    running = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if words.startswith(b"git\0") and place in words:
                running.append(words)
    assert running == []
