"""The files that an adapter's options name: what it does depends on what is in them.

A command names its script, `{experiment}/agent.py`; `inputs` lists what else it reads. The
interpreter, and programs and files of the system, are not looked at.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .reading import opened
from .results import FILE, Inputs
from .store import digest

PLACEHOLDER = "{experiment}"

LEFT_OUT = frozenset(
    {"__pycache__", ".git", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv", "node_modules"}
)
"""Directories that programs make for themselves, or packages."""

SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/opt", "/proc", "/run", "/sbin", "/sys",
          "/usr", sys.prefix, sys.base_prefix)  # fmt: skip


@dataclass(frozen=True)
class Surroundings:
    """Where an experiment lies, for options that name files of it."""

    experiment: Path
    """The directory of experiment.yaml."""
    task: Path
    library: Path
    results: Path
    """The results root: what is written there is nobody's input."""

    def is_too_much(self, folder: Path) -> bool:
        """A directory that holds the experiment, its task or results: far more than a program's
        own files."""
        parts = (self.experiment, self.task, self.library, self.results)
        return any(part.is_relative_to(folder) for part in parts)


def file_inputs(
    words: Iterable[str], listed: Iterable[str], env: Mapping[str, str], at: Surroundings
) -> Inputs:
    """`file NAME` -> digest: of each file or directory that a word of a command (or a variable)
    names, of a module of the experiment that `python -m` runs, and of what each pattern of
    `listed` matches."""
    words = list(words)
    paths = [path for word in [*words, *env.values()] for path in _paths(word, at)]
    paths += _modules(words, env, at)
    named = {path: [path] for path in paths if _counts(path, at)}
    found = {FILE + os.path.relpath(path, at.experiment): of for path, of in named.items()}
    found |= {FILE + pattern: matches(pattern, at.experiment) for pattern in listed}
    return {name: _digest(places, at) for name, places in found.items()}


def matches(pattern: str, experiment: Path) -> list[Path]:
    """The files and directories that a pattern of `inputs` names, relative to experiment.yaml."""
    full = os.path.join(experiment, pattern.replace(PLACEHOLDER, str(experiment)))
    return [Path(path) for path in sorted(glob.glob(full, recursive=True, include_hidden=True))]


def _paths(word: str, at: Surroundings) -> Iterator[Path]:
    """The absolute paths in a word: all of it, the value of `--option=`, or words of a script."""
    pieces = [word, *word.split("=", 1)[1:]]
    if any(sign in word for sign in " \n\t;"):
        try:
            pieces += shlex.split(word, comments=True)
        except ValueError:
            pieces += word.split()
    for piece in pieces:
        path = piece.replace(PLACEHOLDER, str(at.experiment)).strip(";&|()\"'")
        if os.path.isabs(path) and "\0" not in path:
            yield Path(os.path.normpath(path))


def _counts(path: Path, at: Surroundings) -> bool:
    """A file of the user's, or a directory of the experiment's or the task's."""
    own = path.is_relative_to(at.experiment) or path.is_relative_to(at.task)
    try:
        if path.is_dir():
            return own and not at.is_too_much(path)
        return path.is_file() and (own or not any(path.is_relative_to(place) for place in SYSTEM))
    except OSError:  # no name of a file: too long
        return False


def _modules(words: Sequence[str], env: Mapping[str, str], at: Surroundings) -> list[Path]:
    """The experiment's own module or package that `python -m NAME` runs."""
    names = [name for option, name in itertools.pairwise(words) if option == "-m"]
    search = env.get("PYTHONPATH", "").replace(PLACEHOLDER, str(at.experiment))
    places = [at.experiment, *(Path(place) for place in search.split(os.pathsep) if place)]
    found = [place / name.replace(".", "/") for name in names for place in places]
    return [path for base in found for path in (base, base.with_name(f"{base.name}.py"))]


def _digest(places: Sequence[Path], at: Surroundings) -> str:
    return digest([entry for place in places for entry in _entries(place, at)])


def _entries(place: Path, at: Surroundings) -> Iterator[tuple[str, bool, str]]:
    """Name, mode and content of a file, or of all files below a directory; links are followed
    where they lead to a file."""
    if not place.is_dir():
        yield from _entry(place, place.name)
        return
    for folder, folders, names in os.walk(place):
        kept = (name for name in sorted(folders) if name not in LEFT_OUT)
        folders[:] = [name for name in kept if not _is_results(Path(folder, name), at)]
        for name in sorted(names):
            if not name.endswith(".pyc"):
                path = Path(folder, name)
                yield from _entry(path, os.path.relpath(path, place))


def _is_results(folder: Path, at: Surroundings) -> bool:
    return folder == at.results or (folder / "config" / "experiment.json").is_file()


def _entry(path: Path, name: str) -> Iterator[tuple[str, bool, str]]:
    try:
        if path.is_file():
            with os.fdopen(opened(path), "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            yield name, os.access(path, os.X_OK), content
    except OSError:
        yield name, False, "unreadable"
