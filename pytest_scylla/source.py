"""Where a task's code comes from: what its source names, and a digest of it without git."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from .errors import RunError
from .store import digest, digest_tree

if TYPE_CHECKING:
    from .experiment import Source

IGNORED_IN_DIRECTORIES = ("__pycache__", ".git")
"""What Python or git leave in a plain directory; it is not the task's."""


def local_place(repo: str, directory: Path) -> Path | None:
    """The path that `repo` names, or None where it is a URL."""
    if "://" in repo or (":" in repo and "/" not in repo.split(":")[0] and "@" in repo):
        return None
    return (directory / repo).resolve()


def is_repository(path: Path) -> bool:
    """Whether a directory is a git repository, bare or not."""
    bare = (path / "HEAD").is_file() and (path / "objects").is_dir()
    return bare or (path / ".git").exists()


def left_out(place: Path, hidden: Iterable[Path]) -> tuple[str, ...]:
    """Of `hidden` (what an agent must not see: the task, its rubric, the tier library, results),
    what lies in the source at `place`: sorted paths from there."""
    inside = (path.resolve() for path in hidden)
    found = {str(path.relative_to(place)) for path in inside if place in path.parents}
    return tuple(sorted(path for path in found if not found & _above(path)))


def _above(path: str) -> set[str]:
    return {str(parent) for parent in PurePath(path).parents}


def source_digest(source: Source, directory: Path, hidden: Iterable[Path] = ()) -> str | None:
    """Digest of what a task's source names: its text, or for plain files their contents but those
    that are `hidden`; None where it is gone: there is nothing to compare with.

    Raises RunError (kind `source`) where a file cannot be read.
    """
    place = local_place(source.repo, directory)
    if place is not None and not place.exists():
        return None
    if place is not None and place.is_dir() and not is_repository(place):
        return directory_digest(place, left_out(place, hidden))
    return digest([source.repo, source.hash, source.branch])


def directory_digest(path: Path, without: Sequence[str] = ()) -> str:
    """Digest of a plain directory, without what Python or git leave in it, and without some of its
    files and directories. Raises RunError (kind `source`) where a file cannot be read."""
    try:
        return digest_tree(path, IGNORED_IN_DIRECTORIES, without)
    except OSError as error:
        raise RunError.of("source", f"{error.filename}: {error.strerror}") from None
