"""The workspaces that agents work in: made once, private, and diffed from outside.

    .sources/clone-<source>/clone.git    one clone of a source (URL, path or bundle)
    .sources/base-<key>.git              only what the task's commit starts from (see bases.py)
    .sources/setup-<key>.git             one commit on top: the files of a tier's subtest
    <run>/workspace.git, <run>/workspace a small repository of the run's own, and its worktree

A run's repository borrows all objects and owns its refs, config, hooks and reflog. No command in
the workspace shows another run, or anything newer than the task's commit; nothing that an agent
does to its repository reaches a sibling; and runs need no lock among each other.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from .bases import (
    ALTERNATES,
    BRANCH,
    LAYOUT,
    MAIN,
    Base,
    Clone,
    commit_tree,
    file_entries,
    hand_on,
    init,
    is_whole,
    link_entries,
    make_aside,
    snapshot,
    tip,
)
from .errors import RunError
from .gitcommand import git, git_bytes
from .scratch import scratch
from .source import NOTHING, Private, directory_digest, local_place, plain_directory
from .store import digest, own_directory, remove_tree, write_text
from .tiers import OWNED, Setup

if TYPE_CHECKING:
    from .experiment import Source

LARGEST = 100 * 2**20
"""Bytes of the largest file that a patch takes up; a larger one may be nothing but a hole."""


class Sources:
    """The clones and bases of a results root, shared by its experiments and all workers."""

    def __init__(self, root: Path) -> None:
        self.root = root / ".sources"

    def base(self, source: Source, directory: Path, pin: str, hidden: Private = NOTHING) -> Base:
        """The base repository of a task's source, made on first use under a lock.

        `directory` is what relative paths start from; `pin` keeps a source without a `hash` at
        one commit (the results directory's name); what is `hidden` is left out. Raises RunError
        (kind `source`).
        """
        plain = plain_directory(source, directory)
        if plain is not None:
            left_out = hidden.within(plain)
            key = f"files-{LAYOUT}-{directory_digest(plain, left_out)}"
            return self._base(key, lambda to: snapshot(plain, left_out, to))
        place = local_place(source.repo, directory)
        left_out = hidden.within(place) if place is not None else ()
        origin = str(place) if place is not None else source.repo
        wanted = source.hash or source.branch or "HEAD"
        key = digest([LAYOUT, origin, wanted, None if source.hash else pin, *left_out])
        clone = Clone(self.root / f"clone-{digest(origin)}", origin)
        return self._base(key, lambda to: clone.make_base(source, place, hidden, to))

    def _base(self, key: str, make: Callable[[Path], None]) -> Base:
        path = self._made(f"base-{key}", make)
        return Base(path, tip(path))

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        """The repository `<name>.git`; `make` fills it where it is not there yet, or not whole."""
        path = self.root / f"{name}.git"
        if not is_whole(path):
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f"{name}.lock"):
                if not is_whole(path):
                    make_aside(path, make)
        return path

    def setup(self, base: Base, setup: Setup) -> SetupRepository:
        """The repository with the tier's files committed on top of `base`, made on first use."""
        files = digest({path: digest(data) for path, (data, _) in setup.files.items()})
        key = digest([base.repository.name, base.commit, setup.digest, files])
        made = self._made(f"setup-{key}", lambda to: _commit_setup(base, setup, to))
        return SetupRepository(made, base)


@dataclass(frozen=True)
class SetupRepository:
    """What the workspaces of a subtest start from; agents never write to it."""

    path: Path
    base: Base

    @property
    def commit(self) -> str:
        """The commit that an agent starts from, and that its patch is taken against."""
        return tip(self.path)


def _commit_setup(base: Base, setup: Setup, to: Path) -> None:
    """One commit on top of the base: exactly the tier's files in the places a tier owns."""
    init(to, base.object_format)
    # As it will lie beside the base, and not in the directory where it is made: so a project can
    # be moved with its results.
    write_text(to / ALTERNATES, f"../../{base.repository.name}/objects\n")
    (to.parent / base.repository.name).symlink_to(base.repository)
    hand_on(base.repository, to)
    with scratch("setup") as folder:
        files = folder / "files"
        files.mkdir()
        _write_files(files, setup)
        index = str(folder / "index")
        env = {"GIT_DIR": str(to), "GIT_WORK_TREE": str(files), "GIT_INDEX_FILE": index}
        git(["read-tree", base.commit], env)
        tracked = git(["ls-files", "--", *OWNED], env).splitlines()
        present = {path.split("/")[0] for path in [*tracked, *setup.files]}
        if present:
            git(["-C", str(files), "add", "-A", "-f", "--", *sorted(present)], env)
        tree = git(["write-tree"], env)
    commit = base.commit
    if tree != git(["rev-parse", f"{base.commit}^{{tree}}"], {"GIT_DIR": str(to)}):
        date = git(["show", "-s", "--format=%ct +0000", commit], {"GIT_DIR": str(to)})
        commit = commit_tree(tree, [commit], "Set up the agent", date, {"GIT_DIR": str(to)})
    git(["update-ref", MAIN, commit], {"GIT_DIR": str(to)})
    _configure(to)


def _write_files(folder: Path, setup: Setup) -> None:
    for name, (data, executable) in setup.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if executable else 0o644)


def _borrow(repository: Path, lenders: Sequence[Path]) -> None:
    """By whole paths: `git clone` of a worktree misreads others."""
    lines = "".join(f"{lender / 'objects'}\n" for lender in lenders)
    write_text(repository / ALTERNATES, lines)


def _quoted(path: Path) -> str:
    """A path as git reads it in a list with colons between."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _configure(repository: Path) -> None:
    """An identity for the agent's own commits, and no housekeeping in the background."""
    config = (repository / "config").read_text()
    own = "[user]\n\tname = agent\n\temail = agent@localhost\n[gc]\n\tauto = 0\n"
    write_text(repository / "config", config + own + "[maintenance]\n\tauto = false\n")


class Checkout:
    """A workspace on disk: `<place>/workspace` and the repository beside it."""

    def __init__(self, place: Path, setup: SetupRepository) -> None:
        self.path = place / "workspace"
        self.repository = place / "workspace.git"
        self.index = place / "workspace.index"
        """Copy of the index as it was before the agent came: what the patch starts from."""
        self.setup = setup
        self._unfinished = self.repository / "unfinished"

    @property
    def exists(self) -> bool:
        """There is a whole workspace."""
        return _is_directory(self.path) and not self._unfinished.exists()

    def create(self) -> None:
        """Make the workspace afresh; what was there before is removed."""
        self.remove()
        self.path.mkdir(parents=True)
        self._new_repository()
        self._attach()
        git(["-C", str(self.path), "read-tree", "-u", "--reset", "HEAD"])
        self._done()

    def reset(self) -> None:
        """Put everything back as `create` makes it, and keep the unchanged files in place.

        The repository is replaced whole, so that config, hooks, refs and stash are new as well.
        """
        if self.path.is_symlink() or not self.path.is_dir():
            self.create()
            return
        remove_tree(self.index)
        remove_tree(self.repository)
        self._new_repository()
        self._attach()
        here = ["-C", str(self.path)]
        try:
            git([*here, "read-tree", "HEAD"])
            with suppress(RunError):  # says with its exit status that some files differ
                git([*here, "update-index", "-q", "--refresh"])
            git([*here, "reset", "-q", "--hard"])
            git([*here, "clean", "-ffdxq"])
        except RunError:
            self.create()
            return
        if _has_strange_files(self.path, self.path / ".git"):
            self.create()
        else:
            self._done()

    def restore(self, patch: Path) -> None:
        """Make the workspace anew as an agent left it: the start and its patch."""
        self.create()
        if patch.stat().st_size:
            write_text(self._unfinished, "")
            git(["-C", str(self.path), "apply", "--binary", "--whitespace=nowarn", str(patch)])
            self._unfinished.unlink()

    def remove(self) -> None:
        """Delete the workspace and its repository. A directory of files without a repository of
        ours beside it is somebody else's, and gets another name."""
        if _is_directory(self.path) and not _is_directory(self.repository):
            _set_aside(self.path)
        remove_tree(self.path)
        remove_tree(self.repository)
        remove_tree(self.index)

    def relocate(self, here: Path, place: Path) -> None:
        """Tell a workspace that lies in `here` with its repository that it will be in `place`.

        What was cut off in the middle of a git command has left its locks.
        """
        moved = Checkout(here, self.setup)
        if _is_directory(moved.path) and _is_directory(moved.repository):
            for folder, _, names in os.walk(moved.repository):
                for name in names:
                    if name.endswith(".lock"):
                        Path(folder, name).unlink()
            moved._attach(place)

    def patch(self) -> bytes:
        """What the agent changed against the start, whatever it committed.

        Files that a .gitignore hides are left out, as `git add -A` does, and changes of files
        above `LARGEST`. An agent that removed
        its workspace, or put a link in its place, has removed all files.
        Taken with a repository of ours, an index and an object directory of its own: the
        agent's git configuration (filters, hooks, flags in its index) has no say.
        """
        if self.path.is_symlink() or not self.path.is_dir():
            remove_tree(self.path)
            self.path.mkdir()
        with scratch("patch") as folder:
            index = folder / "index"
            env = {
                "GIT_DIR": str(self.setup.path),
                "GIT_WORK_TREE": str(self.path),
                "GIT_INDEX_FILE": str(index),
                "GIT_OBJECT_DIRECTORY": str(folder),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(self.setup.path / "objects"),
            }
            try:
                shutil.copy2(self.index, index)
                patch = _staged(self.path, env)
            except (RunError, OSError):  # the copy is gone, or the agent has spoilt it
                index.unlink(missing_ok=True)
                git(["read-tree", MAIN], env)
                patch = _staged(self.path, env)
        remove_tree(self.index)
        return patch

    def _new_repository(self) -> None:
        for folder in ("refs/heads", "refs/tags", "info", "objects/info"):
            (self.repository / folder).mkdir(parents=True)
        for name in ("HEAD", "config", "info/attributes", MAIN):
            shutil.copyfile(self.setup.path / name, self.repository / name)
        hand_on(self.setup.path, self.repository)
        write_text(self._unfinished, "")
        _borrow(self.repository, [self.setup.path, self.setup.base.repository])

    def _attach(self, place: Path | None = None) -> None:
        """Join worktree and repository (see gitrepository-layout(5)), which lie in `place`."""
        at = Checkout(place, self.setup) if place else self
        admin = Path("worktrees", self.path.name)
        here = self.repository / admin
        own_directory(here.parent)
        own_directory(here)
        write_text(here / "gitdir", f"{at.path}/.git\n")
        write_text(here / "commondir", "../..\n")
        if not (here / "HEAD").exists():
            write_text(here / "HEAD", f"ref: refs/heads/{BRANCH}\n")
        link = self.path / ".git"
        if link.is_dir() and not link.is_symlink():
            remove_tree(link)
        write_text(link, f"gitdir: {at.repository / admin}\n")

    def _done(self) -> None:
        shutil.copy2(self.repository / "worktrees" / self.path.name / "index", self.index)
        self._unfinished.unlink()


def _is_directory(path: Path) -> bool:
    """A directory, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _set_aside(path: Path) -> None:
    """Give a directory another name, unless it is empty."""
    if os.listdir(path):
        place = path.with_name(f"{path.name}.before")
        while os.path.lexists(place):
            place = place.with_name(f"{place.name}_")
        os.replace(path, place)


def _staged(workspace: Path, env: Mapping[str, str]) -> bytes:
    _add_all(workspace, env)
    patch = _diff(env)
    if b" 160000" in patch:  # the mode of another repository's commit
        _stage_nested(workspace, env)
        patch = _diff(env)
    return patch


def _diff(env: Mapping[str, str]) -> bytes:
    options = ["--binary", "--no-ext-diff", "--no-textconv", "--no-color"]
    return git_bytes(["diff", "--cached", *options, MAIN], env)


def _has_strange_files(folder: Path, link: Path) -> bool:
    """What `git clean` does not see: sockets, pipes, devices, and other repositories' `.git`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == ".git" and entry.path != str(link):
                return True
            if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                continue
            if not entry.is_dir(follow_symlinks=False):
                return True
            if _has_strange_files(Path(entry.path), link):
                return True
    return False


def _add_all(workspace: Path, env: Mapping[str, str]) -> None:
    """Stage everything; git refuses where there are repositories without a commit inside."""
    with suppress(RunError):
        git(["-C", str(workspace), "add", "-A", "--", ".", *_without_large(workspace)], env)
        return
    _stage_nested(workspace, env)


def _stage_nested(workspace: Path, env: Mapping[str, str]) -> None:
    """Stage everything, the files of repositories within the workspace too."""
    _make_readable(workspace)
    nested = _nested_repositories(workspace)
    exclude = [f":(exclude,literal){path}" for path in nested] + _without_large(workspace)
    git(["-C", str(workspace), "add", "-A", "--", ".", *exclude], env)
    for path in nested:
        _add_files(workspace, path, env)


def large_files(workspace: Path) -> list[str]:
    """The files that are too large for a patch; git alone knows which of them were there before."""
    found = []
    for folder, folders, names in os.walk(workspace):
        folders[:] = [name for name in folders if name != ".git"]
        paths = (os.path.join(folder, name) for name in names)
        found += [os.path.relpath(path, workspace) for path in paths if _size(path) > LARGEST]
    return found


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def _without_large(workspace: Path) -> list[str]:
    return [f":(exclude,literal){path}" for path in large_files(workspace)]


def _is_kept(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= LARGEST


def _make_readable(workspace: Path) -> None:
    """An agent may have taken away the permission to read what it made."""
    for folder, _, names in os.walk(workspace):
        with suppress(OSError):
            os.chmod(folder, os.stat(folder).st_mode | 0o500)
        for path in (os.path.join(folder, name) for name in names):
            if not os.path.islink(path) and not os.access(path, os.R_OK):
                with suppress(OSError):
                    os.chmod(path, os.stat(path).st_mode | 0o400)


def _nested_repositories(workspace: Path) -> list[str]:
    found = []
    for folder, folders, names in os.walk(workspace):
        if folder != str(workspace) and ".git" in [*folders, *names]:
            found.append(os.path.relpath(folder, workspace))
            folders.clear()
    return found


def _add_files(workspace: Path, below: str, env: Mapping[str, str]) -> None:
    """Stage the files below a nested repository one by one, as if it were a plain directory."""
    files, links = [], []
    for folder, folders, names in os.walk(workspace / below):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*names, *folders]:
            path = os.path.relpath(os.path.join(folder, name), workspace)
            if os.path.islink(workspace / path):
                links.append(path)
            elif name in names and name != ".git" and _is_kept(workspace / path):
                files.append(path)
    entries = [*file_entries(workspace, files, env), *link_entries(workspace, links, env)]
    listed = ["-C", str(workspace), "ls-files", "-z", "--", f":(literal){below}"]
    none = "0" * len(git(["rev-parse", MAIN], env))
    gone = [f"0 {none}\t{path}\0" for path in git(listed, env).split("\0") if path]
    git(["update-index", "--add", "-z", "--index-info"], env, "".join([*gone, *entries]))
