"""What an agent left, as it is recorded: the commit it started from, and its patch.

Commands and judges look at this, never at the workspace. What a process that outlived its agent
does there changes nothing, and a judgment today is one of the same files as tomorrow's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .bases import ATTRIBUTES, BRANCH
from .gitcommand import git, git_bytes
from .reading import read_bytes
from .scratch import scratch
from .store import remove_tree, text_of, write_bytes

STEERING = ("conftest.py", "pytest.ini", ".pytest.ini", "sitecustomize.py", "usercustomize.py")
"""Files that steer pytest and Python. They are the task's: as it has them, or not there."""

TESTS = ("**/test_*.py", "**/*_test.py", "test/**", "tests/**")
"""The tests that a task's source has, where `protected` does not say."""

PYTEST_CONFIG = {
    "pytest.ini": r"",
    ".pytest.ini": r"",
    "pyproject.toml": r"(?m)^\[tool\.pytest\b",
    "tox.ini": r"(?m)^\[pytest\]",
    "setup.cfg": r"(?m)^\[tool:pytest\]",
}
"""Where pytest looks for its configuration, in its order, and what is in the file then."""


@dataclass(frozen=True)
class Origin:
    """What commands must know of a task's own files, as they were before the agent."""

    modules: tuple[str, ...] = ()
    """What Python can import of them: names at the top, and in `src` where there is one."""
    pytest_config: str = "[pytest]\n"
    """Text of the configuration that pytest would find."""
    pytest_suffix: str = ""
    """How the name of its file ends; nothing where the task has none."""


@dataclass(frozen=True)
class Recorded:
    """Files in a folder of their own; commands may change them, and whatever lies beside them."""

    files: Path
    origin: Origin
    _env: Mapping[str, str]
    _commit: str = ""
    _git: dict[str, bytes] = field(default_factory=dict)
    """The small repository in the folder, file by file: in memory no command reaches it."""

    def add_repository(self, changed: bool) -> None:
        """Put a repository of the files' own beside them: HEAD is the commit that the agent started
        from, its work is not committed, and `git diff HEAD` shows all of it, new files too.

        It borrows the objects, and has neither hooks nor settings of anybody's.
        """
        place = self.files / ".git"
        self._git.update(_repository(Path(self._env["GIT_DIR"]), self._commit))
        self._git["index"] = read_bytes(self._env["GIT_INDEX_FILE"])
        self._write_repository()
        if changed:
            own = {"GIT_DIR": str(place), "GIT_WORK_TREE": str(self.files)}
            git(["-C", str(self.files), "add", "--intent-to-add", "--ignore-removal", "."], own)
            paths = (path for path in place.rglob("*") if path.is_file())
            self._git.update({str(p.relative_to(place)): read_bytes(p) for p in paths})

    def _write_repository(self) -> None:
        place = self.files / ".git"
        remove_tree(place)
        for folder in ("refs/heads", "objects/info"):
            (place / folder).mkdir(parents=True)
        for name, content in self._git.items():
            write_bytes(place / name, content)

    def undo(self) -> None:
        """Make what steers commands, and the repository, what they were before the first command:
        the work may have run within it."""
        self.undo_steering()
        if self._git:
            self._write_repository()

    def undo_steering(self) -> None:
        """Make the files that steer pytest and Python what they are in the task, or none."""
        if not self._env:
            return
        for path in _named(self.files, STEERING):
            remove_tree(path)
        for name, content in self._steering.items():
            self._make_room(name)
            write_bytes(self.files / name, content)

    def _make_room(self, name: str) -> None:
        """Directories above a file of the task's: no link or file of the work in their place."""
        for above in list(Path(name).parents)[-2::-1]:
            folder = self.files / above
            if folder.is_symlink() or not folder.is_dir():
                remove_tree(folder)
                folder.mkdir()

    @cached_property
    def _steering(self) -> Mapping[str, bytes]:
        """Of the task: path -> content."""
        listed = git(["ls-tree", "-r", "-z", self._commit], self._env)
        files = (entry for entry in listed.split("\0") if entry.startswith("100"))
        entries = (entry.partition("\t") for entry in files)
        found = {name: facts.split()[2] for facts, _, name in entries if _steers(name)}
        return {name: git_bytes(["cat-file", "blob", id], self._env) for name, id in found.items()}

    def put_back(self, globs: Sequence[str]) -> None:
        """Make the files that match one of `globs` what they are in the task, where they are."""
        if not globs or not self._env:
            return
        # Anew: a command that the work had a hand in may have been at the index.
        git(["read-tree", self._commit], self._env)
        listed = ["ls-files", "-z", "--", *(f":(glob){glob}" for glob in globs)]
        paths = git(["-C", str(self.files), *listed], self._env)
        if paths:
            command = ["-C", str(self.files), "checkout-index", "-q", "-f", "-z", "--stdin"]
            git(command, self._env, paths)


@contextlib.contextmanager
def recorded(repository: Path, commit: str, patch: Path | None = None) -> Iterator[Recorded]:
    """The files of a commit with a patch on them, in a folder that goes away again, which is a
    repository of its own.

    Files that steer pytest and Python are as the commit has them, and links that lead out of the
    folder are left out. Raises RunError (kind `git`) where the patch does not apply.
    """
    with scratch("copy") as folder:
        files = folder / "workspace"
        files.mkdir()
        env = {
            "GIT_DIR": str(repository),
            "GIT_WORK_TREE": str(files),
            "GIT_INDEX_FILE": str(folder / "index"),
        }
        git(["-C", str(files), "read-tree", "-u", "--reset", commit], env)
        found = Recorded(files, _origin(files), env, commit)
        changes = read_bytes(patch) if patch else b""
        if changes:
            git(["-C", str(files), "apply", "--binary", "--whitespace=nowarn", str(patch)], env)
            _neutralize(found, changes)
        found.add_repository(bool(changes))
        yield found


@contextlib.contextmanager
def copied(workspace: Path) -> Iterator[Recorded]:
    """A copy of a workspace, without its git link and any repository, that goes away again.

    For results from elsewhere that have a workspace and no patch.
    """
    with scratch("copy") as folder:
        files = folder / "workspace"
        shutil.copytree(
            workspace, files, symlinks=True, ignore=lambda w, names: _left_out(w, names, workspace)
        )
        yield Recorded(files, Origin(), {})


def _left_out(where: str, names: list[str], workspace: Path) -> set[str]:
    """The git link, and what is neither file, directory nor link (sockets, pipes)."""
    found = {n for n in names if not _copyable(os.lstat(os.path.join(where, n)).st_mode)}
    return found | {".git"} if Path(where) == workspace else found


def _copyable(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


_CONFIG = b"""[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = false
[user]
\tname = check
\temail = check@localhost
[gc]
\tauto = 0
[maintenance]
\tauto = false
"""


def _config(lender: Path) -> bytes:
    """The configuration of a repository whose objects are in the form of the lender's."""
    if "objectformat = sha256" not in text_of(lender / "config"):
        return _CONFIG
    first, rest = _CONFIG.split(b" = 0\n", 1)
    return first + b" = 1\n" + rest + b"[extensions]\n\tobjectformat = sha256\n"


def _repository(lender: Path, commit: str) -> dict[str, bytes]:
    """The files of a repository with one branch at `commit`, and the tags that are there."""
    refs = {f"refs/heads/{BRANCH}": commit, **dict(sorted(_tags(lender).items()))}
    shallow = text_of(lender / "shallow").encode()
    return {
        **({"shallow": shallow} if shallow else {}),
        "HEAD": f"ref: refs/heads/{BRANCH}\n".encode(),
        "config": _config(lender),
        "info/attributes": ATTRIBUTES.encode(),
        "objects/info/alternates": os.fsencode(f"{lender / 'objects'}\n"),
        "packed-refs": "".join(f"{id} {name}\n" for name, id in refs.items()).encode(),
    }


def _tags(lender: Path) -> dict[str, str]:
    """Name of a tag (`refs/tags/v1`) -> id, of a repository and those that it borrows from."""
    found: dict[str, str] = {}
    for place in (lender, *_lenders(lender)):
        for line in text_of(place / "packed-refs").splitlines():
            id, _, name = line.partition(" ")
            if name.startswith("refs/tags/"):
                found.setdefault(name, id)
        loose = (path for path in place.glob("refs/tags/**/*") if path.is_file())
        found |= {str(path.relative_to(place)): text_of(path).strip() for path in loose}
    return found


def _lenders(repository: Path) -> list[Path]:
    lines = text_of(repository / "objects" / "info" / "alternates").splitlines()
    return [Path(line).parent for line in lines]


def _neutralize(found: Recorded, changes: bytes) -> None:
    """Undo what a patch does to the files that steer, and its links to elsewhere."""
    if any(name.encode() in changes for name in STEERING):
        found.undo_steering()
    if b" 120000" in changes:  # the mode of a link
        for path in list(_links(found.files)):
            if not _within(path, found.files):
                path.unlink()


def _steers(name: str) -> bool:
    return os.path.basename(name) in STEERING


def _named(root: Path, wanted: Sequence[str]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        yield from (Path(folder, name) for name in [*names, *folders] if name in wanted)


def _links(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        paths = (Path(folder, name) for name in [*names, *folders])
        yield from (path for path in paths if path.is_symlink())


def _within(link: Path, root: Path) -> bool:
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(root))


def _origin(files: Path) -> Origin:
    names = [*os.listdir(files), *(os.listdir(files / "src") if (files / "src").is_dir() else ())]
    modules = tuple({name.partition(".")[0]: None for name in names if name[0] != "."})
    for name, pattern in PYTEST_CONFIG.items():
        path = files / name
        text = text_of(path) if path.is_file() else None
        if text is not None and re.search(pattern, text):
            suffix = path.suffix or ".ini"
            return Origin(modules=modules, pytest_config=text, pytest_suffix=suffix)
    return Origin(modules=modules)
