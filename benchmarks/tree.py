"""Classify and rebuild a results directory of 1,130 runs with three judge slots each.

One run is executed for real; its directory is copied until there are 1,130 in 113 subtests. Each
task stands beside a plain scan-and-read of the files that it needs, in this same process.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.experiments import ABLATION, EXPERIMENT, PYTEST, environment, write_experiment
from benchmarks.timing import Sample, called, interleaved, rounds_argument, show, timed
from pytest_scylla.rebuild import rebuild_runs
from pytest_scylla.status import agent_status, judge_status
from pytest_scylla.store import RunDir
from pytest_scylla.tree import ResultsTree

RUNS = 10
SLOTS = 3
READ_TO_CLASSIFY = ("agent/result.json", "run_result.json")
READ_TO_REBUILD = ("agent/result.json", "agent/command_log.json", "judge/result.json")


def main() -> None:
    """Make the tree, then measure or show a profile."""
    parser = rounds_argument(__doc__ or "", 9)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--keep", type=Path, help="directory to make, and to use again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        tree = _made(options.keep or Path(name))
        runs = [str(run.path) for _, _, run in tree.all_runs()]
        files = sum(len(names) for _, _, names in os.walk(tree.path))
        print(f"{len(runs)} runs, {files} files")
        if options.profile:
            _profile(tree, runs)
        else:
            _measure(tree, runs, options.rounds)


def _made(folder: Path) -> ResultsTree:
    results = folder / "results" / "tree"
    if not results.exists():
        file = write_experiment(folder / "one", runs=1, tiers={"T0": 1})
        settings = json.loads(file.read_text())
        settings["judges"] = [{"adapter": "rubric-checks"}] * SLOTS
        file.write_text(json.dumps(settings))
        timed([*PYTEST, "-q", EXPERIMENT], folder / "one", environment())
        (made,) = (folder / "one" / "results").glob("*-bench")
        _copy(made, results.with_name("tree.new"))
        results.with_name("tree.new").rename(results)
    return ResultsTree(results)


def _copy(made: Path, results: Path) -> None:
    (run,) = made.glob("T0/*/run_01")
    shutil.copytree(made / "config", results / "config")
    shutil.copy(made / "rubric.yaml", results)
    for tier, subtests in ABLATION.items():
        for subtest in range(subtests):
            for number in range(1, RUNS + 1):
                shutil.copytree(run, results / tier / f"{subtest:02}" / f"run_{number:02}")


def _measure(tree: ResultsTree, runs: list[str], rounds: int) -> None:
    def compare(title: str, aim: str, sides: dict[str, Callable[[], object]]) -> None:
        samples = interleaved({name: _side(call) for name, call in sides.items()}, rounds)
        show(title, samples, next(iter(sides)), aim)

    directories = [RunDir(Path(run)) for run in runs]
    slots = [Path(run, "judge", f"judge_{n:02}") for run in runs for n in range(1, SLOTS + 1)]
    classify: dict[str, Callable[[], object]] = {
        "scan and read": lambda: _scan(runs, 4, READ_TO_CLASSIFY),
        "4 stats a run, nothing read": lambda: _scan(runs, 4, ()),
        "agent_status": lambda: [agent_status(run) for run in directories],
    }
    compare("status of 1,130 runs", "1.5 x scan and read", classify)
    judged: dict[str, Callable[[], object]] = {
        "list and read": lambda: [(os.listdir(s), _read(f"{s}/judgment.json")) for s in slots],
        "judge_status": lambda: [judge_status(slot, True) for slot in slots],
    }
    compare("status of 3,390 judge slots", "1.5 x", judged)
    samples = interleaved(
        {
            "scan and read": _side(lambda: _read_for_rebuilding(runs)),
            "rebuild_runs": lambda: _rebuilt(tree, runs),
        },
        rounds,
    )
    show("1,130 run_result.json made anew", samples, "scan and read", "2 x")


def _side(call: Callable[[], object]) -> Callable[[], Sample]:
    return lambda: called(call)


def _scan(runs: list[str], stats: int, names: tuple[str, ...]) -> int:
    """What must be asked of every run at least: some stats, and the content of some files."""
    size = 0
    for run in runs:
        for name in ("agent", "agent/output.txt", "agent/result.json", "judge")[:stats]:
            size += os.stat(f"{run}/{name}").st_size
        size += sum(len(_read(f"{run}/{name}")) for name in names)
    return size


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _read_for_rebuilding(runs: list[str]) -> int:
    size = _scan(runs, 4, READ_TO_REBUILD)
    for run in runs:
        for slot in range(1, SLOTS + 1):
            size += len(_read(f"{run}/judge/judge_{slot:02}/judgment.json"))
            size += len(_read(f"{run}/judge/judge_{slot:02}/timing.json"))
    return size


def _rebuilt(tree: ResultsTree, runs: list[str]) -> Sample:
    for run in runs:
        os.unlink(f"{run}/run_result.json")
    sample = called(lambda: rebuild_runs(tree))
    missing = [run for run in runs if not os.path.exists(f"{run}/run_result.json")]
    if missing:
        raise SystemExit(f"{len(missing)} runs were not rebuilt")
    return sample


def _profile(tree: ResultsTree, runs: list[str]) -> None:
    profile = cProfile.Profile()
    profile.runcall(_rebuilt, tree, runs)
    pstats.Stats(profile).strip_dirs().sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
