"""Collecting runs beside collecting as many parametrized functions, as whole processes.

`pytest --collect-only -q` on a library of 113 subtests with 10 and with 100 runs each.
With --profile: where the time of the collection goes.
"""

from __future__ import annotations

import io
import pstats
import subprocess
import tempfile
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

AIMS = {10: "1,130 runs in 0.5 s", 100: "11,300 runs in 1.5 s"}
FUNCTIONS = "import pytest\n\n@pytest.mark.parametrize('n', range({}))\ndef test_one(n): ...\n"


def main() -> None:
    """Measure, or show a profile."""
    parser = rounds_argument(__doc__ or "", 9)
    parser.add_argument("--profile", action="store_true", help="profile 11,300 runs instead")
    options = parser.parse_args()
    for runs, aim in AIMS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _write(folder, runs)
            if options.profile:
                print(f"\n{aim.partition(' in')[0]}\n{_profile(folder)}")
            else:
                _compare(folder, options.rounds, aim)


def _write(folder: Path, runs: int) -> None:
    write_experiment(folder, runs=runs)
    (folder / "empty").mkdir()
    count = runs * sum(ABLATION.values())
    write_files(folder, {"functions/test_functions.py": FUNCTIONS.format(count)})


def _compare(folder: Path, rounds: int, aim: str) -> None:
    def collect(argument: str, *options: str) -> Sample:
        words = [*PYTEST, "--collect-only", "-q", *options, argument]
        return timed(words, folder, environment(), allowed=(0, 5))

    samples = interleaved(
        {
            "pytest, nothing to collect": lambda: collect("empty", "-p", "no:scylla"),
            "parametrized functions": lambda: collect("functions", "-p", "no:scylla"),
            "runs of an experiment": lambda: collect(EXPERIMENT),
        },
        rounds,
    )
    show("collection", samples, "parametrized functions", aim)


def _profile(folder: Path) -> str:
    """The most costly functions of a collection, by their own and by their total time."""
    target = folder / "profile"
    words = [PYTEST[0], "-m", "cProfile", "-o", str(target), *PYTEST[1:]]
    subprocess.run(
        [*words, "--collect-only", "-q", EXPERIMENT],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    text = io.StringIO()
    stats = pstats.Stats(str(target), stream=text).strip_dirs()
    stats.sort_stats("tottime").print_stats(25)
    stats.sort_stats("cumtime").print_stats(60)
    return text.getvalue()


if __name__ == "__main__":
    main()
