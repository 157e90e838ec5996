"""The workspaces that agents work in: made once, private, and diffed from outside.

    .sources/<source>/clone.git          one clone of a source (URL, path or bundle)
    .sources/<source>/base-<key>.git     only the history of the task's commit
    .sources/setup-<key>.git             one commit on top: the files of a tier's subtest
    <run>/workspace.git, <run>/workspace a small repository of the run's own, and its worktree

A run's repository borrows all objects and owns its refs, config, hooks and reflog. No command in
the workspace shows another run, or anything newer than the task's commit; nothing that an agent
does to its repository reaches a sibling; and runs need no lock among each other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from .errors import RunError
from .scratch import scratch
from .source import IGNORED_IN_DIRECTORIES, directory_digest, is_repository, left_out, local_place
from .store import digest, remove_tree, text_of, write_text
from .tiers import OWNED, Setup

if TYPE_CHECKING:
    from .experiment import Source

BRANCH = "main"
IDENTITY = {"name": "pytest-scylla", "email": "scylla@localhost"}
SNAPSHOT_DATE = "946684800 +0000"

_CONFIG = {
    "core.excludesFile": os.devnull,
    "core.attributesFile": os.devnull,
    "core.protectNTFS": "false",
    "core.protectHFS": "false",
}

_ISOLATED = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    **{f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(_CONFIG)},
    **{f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(_CONFIG.values())},
}
"""The user's own git configuration (hooks, signing, ignored files) must not reach a workspace."""

ATTRIBUTES = "* -text -ident -filter !eol !working-tree-encoding\n"
"""Files are the blobs, byte for byte, whatever a .gitattributes says: patches restore exactly."""

LARGEST = 100 * 2**20
"""Bytes of the largest file that a patch takes up; a larger one may be nothing but a hole."""

_OF_THE_NETWORK = ("GIT_SSH", "GIT_ASKPASS", "GIT_TERMINAL_PROMPT", "GIT_PROXY", "GIT_SSL",
                   "GIT_CONFIG")  # fmt: skip


def git(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: str | None = None
) -> str:
    """Run git without the user's configuration and return what it printed, as text.

    Raises RunError (kind `git`) with git's own words.
    """
    output = git_bytes(arguments, env, stdin)
    return output.decode("utf-8", "surrogateescape").rstrip("\n")


def git_bytes(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: str | None = None
) -> bytes:
    """As `git`, and return what it printed byte for byte."""
    return _git(arguments, {**_ISOLATED, **(env or {})}, stdin)


def _git(
    arguments: Sequence[str],
    env: Mapping[str, str],
    stdin: str | None = None,
    keep: tuple[str, ...] = (),
) -> bytes:
    try:
        from git import Git
        from git.exc import GitCommandError, GitCommandNotFound
    except ImportError:  # GitPython looks for git when it is imported
        raise RunError("git", "git was not found on PATH\n  next: install git") from None

    with contextlib.ExitStack() as stack:
        stack.enter_context(_without_outer_variables(keep))
        istream = None
        if stdin is not None:
            istream = stack.enter_context(tempfile.TemporaryFile())
            istream.write(stdin.encode("utf-8", "surrogateescape"))
            istream.seek(0)
        try:
            output = Git().execute(
                ["git", *arguments],
                env=dict(env),
                istream=istream,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except GitCommandNotFound:
            raise RunError("git", "git was not found on PATH\n  next: install git") from None
        except GitCommandError as error:
            said = str(error.stderr).strip().removeprefix("stderr:").strip().strip("'")
            said = said.encode("utf-8", "replace").decode()
            words = " ".join(arguments[:6])
            raise RunError("git", f"`git {words} …` failed: {said}") from None
    assert isinstance(output, bytes)
    return output


@contextlib.contextmanager
def _without_outer_variables(keep: tuple[str, ...]) -> Iterator[None]:
    """Without the caller's GIT_ variables (git sets some for its hooks) but those to keep."""
    names = [n for n in os.environ if n.startswith("GIT_") and not n.startswith(keep or ("-",))]
    outer = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(outer)


@dataclass(frozen=True)
class Base:
    """A repository that holds the history of a task's commit, and nothing else."""

    repository: Path
    commit: str

    @classmethod
    def of(cls, repository: Path) -> Base:
        """The base in a repository that is whole."""
        return cls(repository, _tip(repository))


@dataclass(frozen=True)
class _Secret:
    """What an agent must not see of a source."""

    paths: tuple[str, ...]
    files: tuple[Path, ...]
    """Files that are not shown under any name, in no directory."""


class Sources:
    """The clones and bases of a results root, shared by its experiments and all workers."""

    def __init__(self, root: Path) -> None:
        self.root = root / ".sources"

    def base(self, source: Source, directory: Path, pin: str, hidden: Iterable[Path] = ()) -> Base:
        """The base repository of a task's source, made on first use under a lock.

        `directory` is what relative paths start from; `pin` keeps a source without a `hash` at
        one commit (the results directory's name). Of `hidden` nothing is in it, nor in its
        history. Raises RunError (kind `source`).
        """
        place = local_place(source.repo, directory)
        without = left_out(place, hidden) if place is not None else ()
        if place is not None and place.is_dir() and not is_repository(place):
            key = f"files-{directory_digest(place, without)}"
            return Base.of(self._made(f"base-{key}", lambda to: _snapshot(place, to, without)))
        origin = str(place) if place is not None else source.repo
        wanted = source.hash or source.branch or "HEAD"
        key = digest(
            [origin, wanted, None if source.hash else pin, *([without] if without else [])]
        )
        secret = _Secret(without, tuple(path for path in hidden if path.is_file()))
        return Base.of(
            self._made(f"base-{key}", lambda to: self._from_clone(origin, source, to, secret))
        )

    def _made(self, name: str, make: Callable[[Path], None]) -> Path:
        """The repository `<name>.git`; `make` fills it where it is not there yet, or not whole."""
        path = self.root / f"{name}.git"
        if not _is_whole(path):
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f"{name}.lock"):
                if not _is_whole(path):
                    remove_tree(path)
                    _make_aside(path, make)
        return path

    def _from_clone(self, origin: str, source: Source, to: Path, secret: _Secret) -> None:
        folder = self.root / f"clone-{digest(origin)}"
        clone = folder / "clone.git"
        folder.mkdir(exist_ok=True)
        with FileLock(folder / "clone.lock"):
            commit = _find(clone, source) if clone.is_dir() else None
            if commit is None or not source.hash:
                _clone(origin, clone)
                commit = _find(clone, source)
            if commit is None:
                wanted = source.hash or source.branch or "HEAD"
                raise RunError(
                    "source",
                    f"{origin} has no commit {wanted}\n"
                    f"  next: correct source.{'hash' if source.hash else 'branch'} in test.yaml",
                )
            shown = _without(clone, commit, secret)
            _fetch(clone, shown, _tags(clone, commit) if shown == commit else [], to)

    def setup(self, base: Base, setup: Setup) -> SetupRepository:
        """The repository with the tier's files committed on top of `base`, made on first use."""
        files = digest({path: digest(data) for path, (data, _) in setup.files.items()})
        key = digest([base.repository.name, base.commit, setup.digest, files])
        path = self._made(f"setup-{key}", lambda to: _commit_setup(base, setup, to))
        return SetupRepository(path, base)


@dataclass(frozen=True)
class SetupRepository:
    """What the workspaces of a subtest start from; agents never write to it."""

    path: Path
    base: Base

    @property
    def commit(self) -> str:
        """The commit that an agent starts from, and that its patch is taken against."""
        return _tip(self.path)


def _make_aside(path: Path, make: Callable[[Path], None]) -> None:
    """Let `make` fill a temporary directory and move it into place when it is whole."""
    aside = path.with_name(f".making-{path.name}")
    remove_tree(aside)
    try:
        make(aside)
        os.replace(aside, path)
    finally:
        remove_tree(aside)


def _init(path: Path) -> None:
    git(["init", "-q", "--bare", "--template=", f"--initial-branch={BRANCH}", str(path)])
    (path / "objects" / "info").mkdir(exist_ok=True)
    write_text(path / "info" / "attributes", ATTRIBUTES)


def _clone(origin: str, clone: Path) -> None:
    """A mirror of `origin`, with the user's own git configuration (credentials, proxies)."""
    env = {"GIT_TERMINAL_PROMPT": "0"}
    try:
        if clone.is_dir():
            fetch = [f"--git-dir={clone}", "fetch", "-q", "--prune", "origin"]
            _git(fetch, env, keep=_OF_THE_NETWORK)
        else:
            _make_aside(clone, lambda to: _mirror(origin, to, env))
    except RunError as error:
        raise RunError(
            "source", f"cannot clone {origin}: {error}\n  next: check source.repo in test.yaml"
        ) from None


def _mirror(origin: str, to: Path, env: Mapping[str, str]) -> None:
    clone = ["clone", "-q", "--mirror", "--origin=origin", "--template=", origin, str(to)]
    _git(clone, env, keep=_OF_THE_NETWORK)
    git([f"--git-dir={to}", "config", "uploadpack.allowAnySHA1InWant", "true"])


def _find(clone: Path, source: Source) -> str | None:
    wanted = source.hash or (f"refs/heads/{source.branch}" if source.branch else "HEAD")
    with suppress(RunError):
        return git([f"--git-dir={clone}", "rev-parse", "-q", "--verify", f"{wanted}^{{commit}}"])
    return None


def _tip(repository: Path) -> str:
    return (repository / "refs" / "heads" / BRANCH).read_text().strip()


def _is_whole(repository: Path) -> bool:
    """It has its commit, and those whose objects it borrows are where they were."""
    alternates = text_of(repository / "objects" / "info" / "alternates").splitlines()
    lenders = (repository / "objects" / line for line in alternates)
    tip = repository / "refs" / "heads" / BRANCH
    return tip.is_file() and all(lender.is_dir() for lender in lenders)


def _tags(clone: Path, commit: str) -> list[str]:
    """The tags that are not newer than a commit: programs read their version from them."""
    asked = ["for-each-ref", f"--merged={commit}", "--format=%(refname)", "refs/tags"]
    return git([f"--git-dir={clone}", *asked]).split()


def _fetch(clone: Path, commit: str, tags: list[str], to: Path) -> None:
    """A repository with a commit of a clone, its history, and tags of that."""
    _init(to)
    wanted = [f"{commit}:refs/heads/{BRANCH}", *(f"{tag}:{tag}" for tag in tags)]
    fetch = [f"--git-dir={to}", "fetch", "-q", "--no-tags", "--stdin", str(clone)]
    git(fetch, stdin="".join(f"{one}\n" for one in wanted))
    if tags:  # into one file, which those who borrow from the repository copy
        git([f"--git-dir={to}", "pack-refs", "--prune"])


def _without(clone: Path, commit: str, secret: _Secret) -> str:
    """The commit, or where something of it must not be seen one without that, and without history:
    there it could still be read. So it is where the clone has not all of the history."""
    listed = git([f"--git-dir={clone}", "ls-tree", "-r", "-t", "-z", "--full-tree", commit])
    entries = [entry.partition("\t") for entry in listed.split("\0") if entry]
    ids = set(git(["hash-object", "--no-filters", *map(str, secret.files)]).split())
    gone = [
        path
        for facts, _, path in entries
        if path in secret.paths or (facts.split()[1] == "blob" and facts.split()[2] in ids)
    ]
    if not gone and not (clone / "shallow").exists():
        return commit
    with scratch("source") as folder:
        env = {"GIT_DIR": str(clone), "GIT_INDEX_FILE": str(folder / "index")}
        git(["read-tree", commit], env)
        paths = "".join(f"{path}\0" for path in gone)
        if gone:
            git(["rm", "-r", "-q", "--cached", "--pathspec-from-file=-", "--pathspec-file-nul"],
                {**env, "GIT_LITERAL_PATHSPECS": "1"}, paths)  # fmt: skip
        date = git(["show", "-s", "--format=%ct +0000", commit], env)
        return _commit(git(["write-tree"], env), [], "The task's files", date, env)


def _snapshot(files: Path, to: Path, without: Sequence[str] = ()) -> None:
    """A repository with one commit: the files of a plain directory, those of other repositories
    in it too."""
    _init(to)
    env = {"GIT_DIR": str(to), "GIT_WORK_TREE": str(files), "GIT_INDEX_FILE": str(to / "index")}
    nested = _nested_repositories(files)
    ignored = [f":(exclude,glob)**/{name}/**" for name in IGNORED_IN_DIRECTORIES]
    ignored += [f":(exclude,literal){path}" for path in [*nested, *without]]
    git(["-C", str(files), "add", "-A", "-f", "--", ".", *ignored], env)
    for path in nested:
        _add_files(files, path, env, without)
    commit = _commit(git(["write-tree"], env), [], "The task's files", SNAPSHOT_DATE, env)
    git(["update-ref", f"refs/heads/{BRANCH}", commit], env)
    (to / "index").unlink()


def _commit(tree: str, parents: list[str], message: str, date: str, env: Mapping[str, str]) -> str:
    who = {
        f"GIT_{role}_{key.upper()}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in {**IDENTITY, "date": date}.items()
    }
    options = [word for parent in parents for word in ("-p", parent)]
    return git(["commit-tree", tree, *options, "-m", message], {**env, **who})


def _commit_setup(base: Base, setup: Setup, to: Path) -> None:
    """One commit on top of the base: exactly the tier's files in the places a tier owns."""
    _init(to)
    _borrow(to, [base.repository], relative=True)  # results can be moved as a whole
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
        commit = _commit(tree, [commit], "Set up the agent", date, {"GIT_DIR": str(to)})
    git(["update-ref", f"refs/heads/{BRANCH}", commit], {"GIT_DIR": str(to)})
    _configure(to)
    _copy_tags(base.repository, to)


def _copy_tags(base: Path, to: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.copyfile(base / "packed-refs", to / "packed-refs")


def _write_files(folder: Path, setup: Setup) -> None:
    for name, (data, executable) in setup.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if executable else 0o644)


def _borrow(repository: Path, lenders: Sequence[Path], relative: bool = False) -> None:
    """Read the objects of others too."""
    places = [str(lender / "objects") for lender in lenders]
    if relative:
        places = [os.path.relpath(place, repository / "objects") for place in places]
    write_text(repository / "objects" / "info" / "alternates", "".join(f"{n}\n" for n in places))


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
        return self.path.is_dir() and not self._unfinished.exists()

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
        """Delete the workspace and its repository."""
        remove_tree(self.path)
        remove_tree(self.repository)
        remove_tree(self.index)

    def relocate(self, here: Path, place: Path) -> None:
        """Tell a workspace that lies in `here` with its repository that it will be in `place`.

        What was cut off in the middle of a git command has left its locks.
        """
        moved = Checkout(here, self.setup)
        if _is_folder(moved.path) and _is_folder(moved.repository):
            for lock in moved.repository.rglob("*.lock"):
                lock.unlink()
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
                git(["read-tree", BRANCH], env)
                patch = _staged(self.path, env)
        remove_tree(self.index)
        return patch

    def _new_repository(self) -> None:
        for folder in ("refs/heads", "refs/tags", "info", "objects/info"):
            (self.repository / folder).mkdir(parents=True)
        for name in ("HEAD", "config", "info/attributes", f"refs/heads/{BRANCH}"):
            shutil.copyfile(self.setup.path / name, self.repository / name)
        _copy_tags(self.setup.base.repository, self.repository)
        write_text(self._unfinished, "")
        # By whole paths: `git clone` of a worktree misreads others.
        _borrow(self.repository, [self.setup.path, self.setup.base.repository])

    def _attach(self, place: Path | None = None) -> None:
        """Join worktree and repository (see gitrepository-layout(5)), which lie in `place`."""
        at = Checkout(place, self.setup) if place else self
        admin = Path("worktrees", self.path.name)
        here = self.repository / admin
        for folder in (here.parent, here):
            if not _is_folder(folder):  # an agent may have put a link there
                remove_tree(folder)
                folder.mkdir()
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


def _is_folder(path: Path) -> bool:
    """It is a directory, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _staged(workspace: Path, env: Mapping[str, str]) -> bytes:
    _add_all(workspace, env)
    patch = _diff(env)
    if b" 160000" in patch:  # the mode of another repository's commit
        _stage_nested(workspace, env)
        patch = _diff(env)
    return patch


def _diff(env: Mapping[str, str]) -> bytes:
    options = ["--binary", "--no-ext-diff", "--no-textconv", "--no-color"]
    return git_bytes(["diff", "--cached", *options, BRANCH], env)


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


def _add_files(
    workspace: Path, below: str, env: Mapping[str, str], without: Sequence[str] = ()
) -> None:
    """Stage the files below a nested repository one by one, as if it were a plain directory."""
    files, links = [], []
    for folder, folders, names in os.walk(workspace / below):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*names, *folders]:
            path = os.path.relpath(os.path.join(folder, name), workspace)
            if any(path == hidden or path.startswith(f"{hidden}/") for hidden in without):
                continue
            if os.path.islink(workspace / path):
                links.append(path)
            elif name in names and name != ".git" and _is_kept(workspace / path):
                files.append(path)
    entries = [*_file_entries(workspace, files, env), *_link_entries(workspace, links, env)]
    listed = ["-C", str(workspace), "ls-files", "-z", "--", f":(literal){below}"]
    gone = [f"0 {'0' * 40}\t{path}\0" for path in git(listed, env).split("\0") if path]
    git(["update-index", "--add", "-z", "--index-info"], env, "".join([*gone, *entries]))


BATCH = 200
"""Paths in one command line."""


def _file_entries(workspace: Path, paths: list[str], env: Mapping[str, str]) -> Iterator[str]:
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        command = ["-C", str(workspace), "hash-object", "-w", "--no-filters", "--", *batch]
        for path, id in zip(batch, git(command, env).split(), strict=True):
            mode = "100755" if (workspace / path).stat().st_mode & 0o100 else "100644"
            yield f"{mode} {id}\t{path}\0"


def _link_entries(workspace: Path, paths: list[str], env: Mapping[str, str]) -> Iterator[str]:
    for path in paths:
        target = os.readlink(workspace / path)
        id = git(["hash-object", "-w", "--no-filters", "--stdin"], env, target)
        yield f"120000 {id}\t{path}\0"
