"""Bases: repositories that hold what a task starts from, and nothing that no agent may see.

A base is made from a clone of the task's source, or from plain files. It has the history of the
task's commit and the tags in that history. Where something must be left out of it (the rubric of an
experiment that lies in the repository it tests), it has one commit: no history shows it either.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from .columns import counted
from .errors import RunError
from .gitcommand import OF_THE_NETWORK, git, run_git
from .reading import read_bytes
from .scratch import making, scratch
from .source import IGNORED_IN_DIRECTORIES, Private, local_place
from .store import READ_UP_TO, entries_below, text_of, write_text

if TYPE_CHECKING:
    from .experiment import Source, Task

BRANCH = "main"
MAIN = f"refs/heads/{BRANCH}"
ALTERNATES = "objects/info/alternates"
HEAD = "refs/scylla/head"
"""In a clone: what HEAD of the source named when it was last asked."""

IDENTITY = {"name": "pytest-scylla", "email": "scylla@localhost"}
SNAPSHOT_DATE = "946684800 +0000"
MESSAGE = "The task's files"
HANDED_ON = ("packed-refs", "shallow")
"""Files of a base that repositories which borrow its objects have as well: tags, and where a
shallow history ends."""

LAYOUT = 2
"""What bases hold; those of an earlier version are made again."""

ATTRIBUTES = "* -text -ident -filter !eol !working-tree-encoding\n"
"""Files are the blobs, byte for byte, whatever a .gitattributes says: patches restore exactly."""


@dataclass(frozen=True)
class Base:
    """A repository that holds what a task starts from, and nothing else."""

    repository: Path
    commit: str

    @property
    def object_format(self) -> str:
        """`sha1` or `sha256`."""
        return _object_format(self.repository)


def make_aside(path: Path, make: Callable[[Path], None]) -> None:
    """Let `make` fill a directory and move it to `path` when it is whole, in the place of what was
    there. What a killed process left half made has another name, and is never found."""
    with making(path.parent) as folder:
        made = folder / "made"
        make(made)
        if path.is_dir():
            os.replace(path, folder / "before")
        os.replace(made, path)


def uncommitted(task: Task, hidden: Private) -> list[str]:
    """A warning where a task's source is a repository on this machine with changes that are not
    committed: no run sees them. None where another commit than that of HEAD is named."""
    source = task.source
    place = local_place(source.repo, task.directory)
    if place is None or source.hash or source.branch or not (place / ".git").exists():
        return []
    try:
        said = git(["-C", str(place), "status", "--porcelain", "-z"], {"GIT_OPTIONAL_LOCKS": "0"})
    except RunError:  # what is wrong with it is said where it is used
        return []
    mine = hidden.within(place)
    paths = [entry[3:] for entry in said.split("\0") if entry[2:3] == " "]
    changed = [path for path in paths if not any(_is_or_holds(path, one) for one in mine)]
    if not changed:
        return []
    names = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
    return [
        f"{place}: {counted(len(changed), 'change')} not committed ({names}), and not seen by any "
        "run, which starts from the last commit (next: commit, or name the commit by source.hash)"
    ]


def _is_or_holds(path: str, folder: str) -> bool:
    """A path is `folder`, lies in it, or (as git names new directories) holds it."""
    path = path.rstrip("/")
    return path == folder or path.startswith(f"{folder}/") or folder.startswith(f"{path}/")


def is_whole(repository: Path) -> bool:
    """A repository of ours has its commit, and those whose objects it borrows are there."""
    lines = text_of(repository / ALTERNATES).splitlines()
    lenders = all((repository / "objects" / line).is_dir() for line in lines)
    return (repository / MAIN).is_file() and lenders


def init(path: Path, object_format: str = "sha1") -> None:
    """Make an empty repository of ours."""
    options = ["--bare", "--template=", f"--initial-branch={BRANCH}"]
    git(["init", "-q", *options, f"--object-format={object_format}", str(path)])
    (path / "objects" / "info").mkdir(exist_ok=True)
    write_text(path / "info" / "attributes", ATTRIBUTES)


def tip(repository: Path) -> str:
    """The commit of the only branch of a repository of ours."""
    return read_bytes(repository / MAIN).decode().strip()


def hand_on(base: Path, to: Path) -> None:
    """Give a repository that borrows a base's objects the base's tags, too."""
    for name in HANDED_ON:
        if (base / name).exists():
            shutil.copyfile(base / name, to / name)


def _object_format(repository: Path) -> str:
    return git([f"--git-dir={repository}", "rev-parse", "--show-object-format"])


# -- from a clone ----------------------------------------------------------------------------------


class Clone:
    """The one clone of a source (URL, path or bundle), in `<folder>/clone.git`."""

    def __init__(self, folder: Path, origin: str) -> None:
        self.folder = folder
        self.origin = origin
        self.path = folder / "clone.git"

    def make_base(self, source: Source, place: Path | None, hidden: Private, to: Path) -> None:
        """Make the base of a source in `to`; `place` is where its files are, on this machine.

        Raises RunError (kind `source`).
        """
        self.folder.mkdir(exist_ok=True)
        with FileLock(self.folder / "clone.lock"):
            commit = self._find(source) if self.path.is_dir() else None
            if commit is None or not source.hash:
                self._update(asks_for_head=not (source.hash or source.branch))
                commit = self._find(source)
            if commit is None:
                raise self._lacks(source)
            try:
                self._fill(to, commit, place, hidden)
            except RunError as error:
                if error.kind == "source":
                    raise
                step = "check the repository (git fsck)"
                raise self._unreadable(f"take commit {commit} of", error, step) from None

    def _git(self, *arguments: str, stdin: str | None = None) -> str:
        return git([f"--git-dir={self.path}", *arguments], stdin=stdin)

    def _find(self, source: Source) -> str | None:
        wanted = source.hash or (f"refs/heads/{source.branch}" if source.branch else HEAD)
        with suppress(RunError):
            return self._git("rev-parse", "-q", "--verify", f"{wanted}^{{commit}}")
        return None

    def _update(self, asks_for_head: bool) -> None:
        """Fetch what is new, with the user's own git configuration (credentials, proxies).

        Where that fails, the clone is made again: a kill may have left locks in it.
        """
        try:
            try:
                if not self.path.is_dir():
                    raise RunError("git", "there is no clone yet")
                self._fetch(self.path, "--prune")
            except RunError:
                make_aside(self.path, self._mirror)
        except RunError as error:
            raise self._unreadable("clone", error, "check source.repo in test.yaml") from None
        if asks_for_head:
            with suppress(RunError):  # it may name no commit
                self._fetch(self.path, f"+HEAD:{HEAD}")

    def _fetch(self, clone: Path, *arguments: str) -> None:
        options = [word for word in arguments if word.startswith("--")]
        refs = [word for word in arguments if not word.startswith("--")]
        options += ["--update-shallow", *(["--unshallow"] if _is_shallow(clone) else [])]
        fetch = [f"--git-dir={clone}", "fetch", "-q", *options, *self._ungrafted, "origin", *refs]
        run_git(fetch, {"GIT_TERMINAL_PROMPT": "0"}, keep=OF_THE_NETWORK)

    def _mirror(self, to: Path) -> None:
        # Not by linking files: what a partial clone or a broken repository lacks shows now.
        options = ["--mirror", "--no-local", "--origin=origin", "--template="]
        clone = ["clone", "-q", *options, *self._ungrafted, "--", self.origin, str(to)]
        run_git(clone, {"GIT_TERMINAL_PROMPT": "0"}, keep=OF_THE_NETWORK)
        git([f"--git-dir={to}", "config", "uploadpack.allowAnySHA1InWant", "true"])

    @property
    def _ungrafted(self) -> list[str]:
        """A repository on this machine is read without the parents that its user gave commits."""
        local = os.path.isdir(self.origin)
        return [f"--upload-pack=env GIT_GRAFT_FILE={os.devnull} git upload-pack"] if local else []

    def _unreadable(self, what: str, error: RunError, step: str) -> RunError:
        place = Path(self.origin)
        partial = any(place.glob("objects/pack/*.promisor")) or any(
            place.glob(".git/objects/pack/*.promisor")
        )
        if partial:
            return RunError(
                "source",
                f"cannot {what} {self.origin}: it is a partial clone that lacks objects\n"
                f"  next: fetch them (git -C {self.origin} fetch --refetch --no-filter)",
            )
        return RunError("source", f"cannot {what} {self.origin}: {error}\n  next: {step}")

    def _lacks(self, source: Source) -> RunError:
        """Why a source's commit is not there, and what to do."""
        listed = self._git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
        branches = listed.splitlines()
        if not self._git("for-each-ref", "--count=1"):
            problem, step = "has no commit yet", "commit the task's files"
        elif source.hash or source.branch:
            problem = f"has no commit {source.hash or source.branch}"
            step = f"correct source.{'hash' if source.hash else 'branch'} in test.yaml"
            if _is_shallow(self.path):
                problem += ", for its history is cut off (a shallow clone)"
                step = f"fetch all of it (git fetch --unshallow), or {step}"
        else:
            problem = "is on a branch without a commit"
            step = f"name source.branch in test.yaml: {', '.join(branches[:5]) or 'a branch'}"
        return RunError("source", f"{self.origin} {problem}\n  next: {step}")

    def _fill(self, to: Path, commit: str, place: Path | None, hidden: Private) -> None:
        left_out = self._left_out(commit, place, hidden)
        tags = self._tags(commit)
        if left_out is not None:
            commit, tags = self._squashed(commit, left_out), self._nearest_tag(commit)
        self._require_files(commit)
        init(to, _object_format(self.path))
        refs = {MAIN: commit, **{name: id or commit for name, id in tags.items()}}
        lines = "".join(f"{id}:{name}\n" for name, id in refs.items())
        fetch = [f"--git-dir={to}", "fetch", "-q", "--no-tags", "--update-shallow", "--stdin"]
        git([*fetch, str(self.path)], stdin=lines)
        git([f"--git-dir={to}", "pack-refs"])

    # -- tags

    def _tags(self, commit: str) -> dict[str, str]:
        """The tags in the history of a commit: name -> object. What a tag says that is newer than
        the commit is left away; the name stays."""
        date = int(self._git("show", "-s", "--format=%ct", commit))
        fields = "%(refname) %(objectname) %(taggerdate:unix)"
        listed = self._git("for-each-ref", f"--merged={commit}", f"--format={fields}", "refs/tags")
        found = {}
        for line in listed.splitlines():
            name, id, *tagged = line.split()
            newer = bool(tagged) and int(tagged[0]) > date
            found[name] = self._git("rev-parse", f"{id}^{{commit}}") if newer else id
        return found

    def _nearest_tag(self, commit: str) -> dict[str, str]:
        """The tag that a version is read from, for a base without history."""
        with suppress(RunError):
            name = self._git("describe", "--tags", "--abbrev=0", commit)
            return {f"refs/tags/{name}": ""}
        return {}

    # -- what no agent may see

    def _left_out(self, commit: str, place: Path | None, hidden: Private) -> tuple[str, ...] | None:
        """The paths that a commit's files are taken without; None: its whole history may be seen.

        What is private lies there, or did; or there is a copy of it.
        """
        paths = list(hidden.within(place)) if place is not None else []
        paths += self._in_own_repository(commit, hidden)
        was_there = any(self._changed(commit, path) for path in paths)
        copies, had_copy = self._copies(commit, hidden)
        return (*paths, *copies) if was_there or had_copy else None

    def _changed(self, commit: str, path: str = ".", *options: str) -> bool:
        """Whether a commit's history has a change of a path, or with options one of their kind."""
        log = ["log", "-1", "--format=%H", "--full-history", *options, commit, "--"]
        return bool(self._git(*log, f":(literal){path}"))

    def _in_own_repository(self, commit: str, hidden: Private) -> tuple[str, ...]:
        """What is private, as the repository that holds the task calls it, where this is a clone
        of that repository: it has a test.yaml where the task has its own."""
        if hidden.task is None:
            return ()
        top = next((place for place in hidden.task.parents if (place / ".git").exists()), None)
        if top is None:
            return ()
        same = self._changed(commit, str(hidden.task.relative_to(top) / "test.yaml"))
        return hidden.within(top) if same else ()

    def _copies(self, commit: str, hidden: Private) -> tuple[list[str], bool]:
        """Where a commit has a copy of the rubric: the task's directory, as far as that is copied
        as well; and whether it, or its history, has one at all."""
        if hidden.rubric is None or hidden.task is None or not hidden.rubric.stat().st_size:
            return [], False
        blob = self._git("hash-object", "--no-filters", "--", str(hidden.rubric))
        try:
            self._git("cat-file", "-e", blob)
        except RunError:
            return [], False
        paths = [path for path, (_, id) in self._files(commit).items() if id == blob]
        own = os.path.relpath(hidden.rubric, hidden.task)
        found = [path.removesuffix(f"/{own}") for path in paths]
        had = bool(paths) or self._changed(commit, ".", f"--find-object={blob}")
        return found, had

    def _files(self, commit: str) -> dict[str, tuple[str, str]]:
        """Path -> mode and object, of all files of a commit."""
        entries = self._git("ls-tree", "-r", "-z", commit).split("\0")
        parts = (entry.partition("\t") for entry in entries if entry)
        return {path: (said.split()[0], said.split()[2]) for said, _, path in parts}

    def _squashed(self, commit: str, left_out: Sequence[str]) -> str:
        """A commit without a history: the files of `commit`, without what is left out."""
        with scratch("base") as folder:
            env = {"GIT_DIR": str(self.path), "GIT_INDEX_FILE": str(folder / "index")}
            git(["read-tree", commit], env)
            inside = [p for p in self._files(commit) if _is_in(p, left_out)]
            gone = "".join(f"0 {'0' * len(commit)}\t{path}\0" for path in inside)
            git(["update-index", "-z", "--index-info"], env, gone)
            date = git(["show", "-s", "--format=%ct +0000", commit], env)
            return commit_tree(git(["write-tree"], env), [], MESSAGE, date, env)

    # -- what is not in the clone

    def _require_files(self, commit: str) -> None:
        """Raise RunError where some of a commit's files are elsewhere: in submodules, or in the
        store of Git LFS. An agent would work on a task that is not whole."""
        elsewhere = {p: "a submodule" for p, (mode, _) in self._files(commit).items()
                     if mode == "160000"}  # fmt: skip
        elsewhere |= dict.fromkeys(self._pointers(commit), "a pointer of Git LFS")
        if elsewhere:
            path, what = next(iter(elsewhere.items()))
            more = f" (and {len(elsewhere) - 1} more)" if len(elsewhere) > 1 else ""
            raise RunError(
                "source",
                f"{self.origin}: {path} is {what}{more}: its files are not in the commit\n"
                "  next: name a directory of files as source.repo in test.yaml: a clone with all "
                "files (git clone --recurse-submodules, git lfs pull) whose .git is removed",
            )

    def _pointers(self, commit: str) -> list[str]:
        """The files that Git LFS keeps elsewhere."""
        attributes = ":(glob)**/.gitattributes"
        with suppress(RunError):  # nothing is found
            self._git("grep", "-q", "filter=lfs", commit, "--", attributes)
            pattern = "^version https://git-lfs.github.com/spec/v1$"
            found = self._git("grep", "-l", "-z", "-e", pattern, commit)
            return [name.removeprefix(f"{commit}:") for name in found.split("\0") if name]
        return []


def _is_shallow(repository: Path) -> bool:
    """Its history is cut off."""
    return (repository / "shallow").exists()


def _is_in(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


# -- from plain files ------------------------------------------------------------------------------


def snapshot(files: Path, left_out: Sequence[str], to: Path) -> None:
    """Make a repository with one commit in `to`: the files of a plain directory.

    Repositories within it count as plain files. Raises RunError (kind `source`) where something in
    it is no file, or cannot be read.
    """
    init(to)
    env = {"GIT_DIR": str(to), "GIT_WORK_TREE": str(files), "GIT_INDEX_FILE": str(to / "index")}
    plain: list[str] = []
    links: list[str] = []
    for path in entries_below(files, IGNORED_IN_DIRECTORIES, left_out, _cannot_read):
        kind = _kind(path)
        (links if kind == "link" else plain).append(os.path.relpath(path, files))
    entries = [*file_entries(files, plain, env), *link_entries(files, links, env)]
    git(["update-index", "--add", "-z", "--index-info"], env, "".join(entries))
    commit = commit_tree(git(["write-tree"], env), [], MESSAGE, SNAPSHOT_DATE, env)
    git(["update-ref", MAIN, commit], env)
    (to / "index").unlink(missing_ok=True)


def _cannot_read(error: OSError) -> None:
    raise _unfit(Path(error.filename), f"cannot be read: {error.strerror}", "make it readable")


def _kind(path: Path) -> str:
    """`file` or `link`. Raises RunError where it is something else, or cannot be taken."""
    facts = path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        return "link"
    if not stat.S_ISREG(facts.st_mode):
        raise _unfit(path, "is a pipe, socket or device, and no file", "remove it")
    if not os.access(path, os.R_OK):
        raise _unfit(path, "cannot be read: Permission denied", "make it readable")
    if facts.st_size > READ_UP_TO:
        raise _unfit(path, f"is larger than {READ_UP_TO >> 30} GiB", "make it smaller")
    return "file"


def _unfit(path: Path, problem: str, step: str) -> RunError:
    """One error of a name that may be no text."""
    name = os.fsencode(path).decode("utf-8", "replace")
    return RunError("source", f"{name} {problem}\n  next: {step}, or move it out of source.repo")


def commit_tree(
    tree: str, parents: list[str], message: str, date: str, env: Mapping[str, str]
) -> str:
    """Make a commit that is the same wherever it is made; `date` as git writes it."""
    who = {
        f"GIT_{role}_{key.upper()}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in {**IDENTITY, "date": date}.items()
    }
    options = [word for parent in parents for word in ("-p", parent)]
    return git(["commit-tree", tree, *options, "-m", message], {**env, **who})


# -- entries of an index ---------------------------------------------------------------------------

BATCH = 200
"""Paths in one command line."""


def file_entries(workspace: Path, paths: list[str], env: Mapping[str, str]) -> Iterator[str]:
    """Store files as they are, and say them as `update-index --index-info` reads them."""
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        command = ["-C", str(workspace), "hash-object", "-w", "--no-filters", "--", *batch]
        for path, id in zip(batch, git(command, env).split(), strict=True):
            mode = "100755" if (workspace / path).stat().st_mode & 0o100 else "100644"
            yield f"{mode} {id}\t{path}\0"


def link_entries(workspace: Path, paths: list[str], env: Mapping[str, str]) -> Iterator[str]:
    """The same for links."""
    for path in paths:
        target = os.readlink(workspace / path)
        id = git(["hash-object", "-w", "--no-filters", "--stdin"], env, target)
        yield f"120000 {id}\t{path}\0"
