"""Where a task's code comes from: what its source names, and a digest of it without git."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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


def source_digest(source: Source, directory: Path) -> str | None:
    """Digest of what a task's source names: its text, or for plain files their contents; None
    where it is gone: there is nothing to compare with."""
    place = local_place(source.repo, directory)
    if place is not None and not place.exists():
        return None
    if place is not None and place.is_dir() and not is_repository(place):
        return directory_digest(place)
    return digest([source.repo, source.hash, source.branch])


def directory_digest(path: Path) -> str:
    """Digest of a plain directory, without what Python or git leave in it."""
    return digest_tree(path, IGNORED_IN_DIRECTORIES)
