"""Making the workspaces of runs, beside plain `git worktree add` and `git clone --shared`.

Twenty workspaces one after the other, of a small repository (10 files) and of one of 10 MB. The
plugin's are isolated from one another; worktrees share refs, config and hooks, and a shared clone
shows all branches.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.experiments import small_source, write_experiment
from benchmarks.timing import Sample, called, interleaved, rounds_argument, show
from pytest_scylla.experiment import load_experiment
from pytest_scylla.tiers import compose, load_library
from pytest_scylla.workspace import Checkout, SetupRepository, Sources

COUNT = 20


def main() -> None:
    """Measure both repositories."""
    options = rounds_argument(__doc__ or "", 7).parse_args()
    large = {f"data/part_{n}.txt": _noise(n) for n in range(1000)}
    for title, files in {"10 files": small_source(10), "1,000 files, 10 MB": large}.items():
        with tempfile.TemporaryDirectory() as name:
            _compare(title, Path(name), files, options.rounds)


def _noise(seed: int) -> str:
    """10 KB of text that does not compress to nothing."""
    words = random.Random(seed)
    return "".join(f"{words.getrandbits(256):064x}\n" for _ in range(157))


def _compare(title: str, folder: Path, files: dict[str, str], rounds: int) -> None:
    repository = _repository(folder, files)
    setup = _setup(folder)
    sides = {
        "git worktree add": partial(_worktrees, repository),
        "git clone --shared": partial(_clones, repository),
        "the plugin's workspaces": partial(_checkouts, setup),
    }
    show(f"{COUNT} workspaces, {title}", interleaved(sides, rounds), "git worktree add")


def _git(*words: str | Path) -> None:
    subprocess.run(["git", *map(str, words)], check=True, capture_output=True)


def _repository(folder: Path, files: dict[str, str]) -> Path:
    """A repository for plain git, which is the task's source as well."""
    write_experiment(folder, runs=1, tiers={"T0": 1}, files=files)
    path = folder / "repository"
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    _git("init", "-q", "--initial-branch=main", path)
    _git("-C", path, f"--work-tree={folder / 'experiment/task/source'}", "add", "-A")
    _git("-C", path, *identity, "commit", "-q", "-m", "The task's files")
    return path


def _setup(folder: Path) -> SetupRepository:
    experiment = load_experiment(folder / "experiment" / "experiment.yaml")
    library = load_library(experiment.library)
    sources = Sources(folder / "results")
    base = sources.base(experiment.task.source, experiment.task.directory, "bench")
    return sources.setup(base, compose(library, library.tiers["T0"].subtests[0]))


def _timed(make: Callable[[Path], None]) -> Sample:
    """Make all workspaces in a directory that goes away again."""
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name, str(number)) for number in range(COUNT)]

        def make_all() -> None:
            for place in places:
                make(place)

        return called(make_all)


def _worktrees(repository: Path) -> Sample:
    sample = _timed(lambda to: _git("-C", repository, "worktree", "add", "-q", "--detach", to))
    _git("-C", repository, "worktree", "prune")
    return sample


def _clones(repository: Path) -> Sample:
    return _timed(lambda to: _git("clone", "-q", "--shared", repository, to))


def _checkouts(setup: SetupRepository) -> Sample:
    return _timed(lambda to: Checkout(to, setup).create())


if __name__ == "__main__":
    main()
