"""A session in which every run already has its verdict, beside a session of no-op tests.

1,130 runs of an agent of no cost are executed once (this takes a minute or two); then the session
is repeated, in which each is replayed from its directory. With --profile: where the time goes in
one process.
"""

from __future__ import annotations

import pstats
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.experiments import (
    ABLATION,
    EXPERIMENT,
    PYTEST,
    environment,
    write_experiment,
    write_files,
)
from benchmarks.timing import Sample, interleaved, rounds_argument, show, timed

RUNS = 10
NO_OP = "import pytest\n\n@pytest.mark.parametrize('n', range({}))\ndef test_one(n): ...\n"


def main() -> None:
    """Make the results, then measure or show a profile."""
    parser = rounds_argument(__doc__ or "", 5)
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 0])
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--keep", type=Path, help="directory to make, and to use again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        _prepare(folder)
        if options.profile:
            _profile(folder)
            return
        for workers in options.workers:
            sides = {
                "no-op tests": partial(_session, folder, "no_op", workers, "no:scylla"),
                "cached runs": partial(_session, folder, EXPERIMENT, workers),
            }
            title = f"1,130 cached runs at -n {workers}"
            show(title, interleaved(sides, options.rounds), "no-op tests", "2 s more")


def _prepare(folder: Path) -> None:
    if not (folder / EXPERIMENT).exists():
        write_experiment(folder, runs=RUNS)
        count = RUNS * sum(ABLATION.values())
        write_files(folder, {"no_op/test_no_op.py": NO_OP.format(count)})
    first = _session(folder, EXPERIMENT, 4)
    print(f"executing the runs, or what was left of them: {first.wall:.1f} s", flush=True)


def _session(folder: Path, argument: str, workers: int, without: str = "no:name") -> Sample:
    words = [*PYTEST, "-q", "-p", without, "-n", str(workers), argument]
    return timed(words, folder, environment())


def _profile(folder: Path) -> None:
    target = folder / "profile"
    words = [PYTEST[0], "-m", "cProfile", "-o", str(target), *PYTEST[1:], "-q", EXPERIMENT]
    subprocess.run(words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, check=True)
    stats = pstats.Stats(str(target)).strip_dirs()
    stats.sort_stats("tottime").print_stats(25)
    stats.sort_stats("cumtime").print_stats("pytest_scylla|stages|evaluation|store|recorder|report")
    stats.sort_stats("cumtime").print_stats(70)


if __name__ == "__main__":
    main()
