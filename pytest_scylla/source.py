"""Where a task's code comes from: what its source names, what of that no agent may see, and a
digest of it without git."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .store import digest, digest_tree

if TYPE_CHECKING:
    from .experiment import Experiment, Source, Task

IGNORED_IN_DIRECTORIES = ("__pycache__", ".pytest_cache", ".git")
"""What Python, pytest or git leave in a plain directory; it is not the task's."""


def local_place(repo: str, directory: Path) -> Path | None:
    """The path that `repo` names, or None where it is a URL."""
    if "://" in repo or (":" in repo and "/" not in repo.split(":")[0] and "@" in repo):
        return None
    return (directory / repo).resolve()


def is_repository(path: Path) -> bool:
    """Whether a directory is a git repository, bare or not."""
    bare = (path / "HEAD").is_file() and (path / "objects").is_dir()
    return bare or (path / ".git").exists()


def plain_directory(source: Source, directory: Path) -> Path | None:
    """The plain directory of files that a source names; None where it names something else."""
    place = local_place(source.repo, directory)
    plain = place is not None and place.is_dir() and not is_repository(place)
    return place if plain else None


@dataclass(frozen=True)
class Private:
    """What of an experiment no agent may see, should it lie within the task's source. Paths are
    absolute and without links."""

    folders: tuple[Path, ...] = ()
    """Left out whole, where the source holds them."""
    files: tuple[Path, ...] = ()
    """Left out where one of those folders is the source itself, or holds it."""
    task: Path | None = None
    """The task's directory, which is one of the folders."""
    rubric: Path | None = None
    """Found by its content as well, wherever a source has a copy."""

    def within(self, place: Path) -> tuple[str, ...]:
        """The paths below the directory `place` that are left out of it, relative to it."""
        held = [path for path in self.folders if _is_below(path, place)]
        held += [path for path in self.files if _is_below(path, place)]
        found = (path for path in held if not any(_is_below(path, other) for other in held))
        return tuple(sorted({str(path.relative_to(place)) for path in found}))


NOTHING = Private()


def _is_below(path: Path, other: Path) -> bool:
    return path != other and path.is_relative_to(other)


def private(experiment: Experiment, results: Path, root: Path) -> Private:
    """What of an experiment no agent may see: its directory, the task's, the tier library, and the
    results in the results root `root`."""
    task = experiment.task
    folders = (task.directory, experiment.directory, experiment.library, root)
    own = [experiment.path, experiment.judge_prompt, *_files_of(task)]
    own += [results, root / ".sources", root / ".locks"]
    return Private(
        folders=tuple(folder.resolve() for folder in folders),
        files=tuple(path.resolve() for path in own if path is not None),
        task=task.directory.resolve(),
        rubric=task.rubric_file.resolve(),
    )


def _files_of(task: Task) -> list[Path]:
    """The files of a task that are not its source: the rubric with all that lies beside it."""
    beside = task.rubric_file.parent
    rubric = beside if beside.resolve() != task.directory.resolve() else task.rubric_file
    names = ("test.yaml", "config.yaml", "prompt.md", "expected")
    return [rubric, *(task.directory / name for name in names)]


def source_digest(source: Source, directory: Path, hidden: Private = NOTHING) -> str | None:
    """Digest of what a task's source names: its text, or for plain files their contents; None
    where it is gone: there is nothing to compare with."""
    place = local_place(source.repo, directory)
    if place is not None and not place.exists():
        return None
    plain = plain_directory(source, directory)
    if plain is not None:
        return directory_digest(plain, hidden.within(plain))
    return digest([source.repo, source.hash, source.branch])


def directory_digest(path: Path, left_out: tuple[str, ...] = ()) -> str:
    """Digest of a plain directory, without what Python, pytest or git leave in it."""
    return digest_tree(path, IGNORED_IN_DIRECTORIES, left_out)
