"""What the plugin adds to agents that cost nothing: 200 runs of /bin/true with one check.

Beside it a bare shell loop (bare_loop.sh) that makes the same isolated workspaces with git, runs
agent and check and takes the patch, plus an empty pytest session with as many workers.
With --processes: which programs one run starts (counted with strace). With --profile: where the
time goes in one process.
"""

from __future__ import annotations

import pstats
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.experiments import (
    EXPERIMENT,
    PYTEST,
    environment,
    small_source,
    write_experiment,
    write_files,
)
from benchmarks.timing import Sample, added, interleaved, rounds_argument, show, timed

LOOP = Path(__file__).with_name("bare_loop.sh")
SUBTESTS = 4
WORK = ("test -f README.md", "/bin/true", "Do nothing, and do it well.")

Words = list[str | Path]


def main() -> None:
    """Measure, count processes, or show a profile."""
    parser = rounds_argument(__doc__ or "", 5)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    runs = options.runs // SUBTESTS
    if options.processes:
        _show_processes("bare loop", bare_loop)
        _show_processes("runs of an experiment", experiment)
    elif options.profile:
        _profile(runs)
    else:
        for workers in options.workers:
            _compare(runs, workers, options.rounds)


def bare_loop(folder: Path, runs: int, jobs: int) -> Words:
    """Prepare the bare loop's repositories; returns its command."""
    write_files(folder / "source", small_source(10))
    words: Words = ["sh", LOOP, "prepare", folder / "bare", folder / "source", str(SUBTESTS)]
    timed(words, folder)
    return ["sh", LOOP, "loop", folder / "bare", str(runs), str(jobs), *WORK]


def experiment(folder: Path, runs: int, workers: int) -> Words:
    """Write the experiment; returns the pytest command."""
    write_experiment(folder, runs=runs, tiers={"T0": SUBTESTS})
    return [*PYTEST, "-q", "-n", str(workers), EXPERIMENT]


def empty_session(folder: Path, runs: int, workers: int) -> Words:
    """The pytest command that finds nothing."""
    return [*PYTEST, "-q", "-n", str(workers), "-p", "no:scylla", folder]


def _compare(runs: int, workers: int, rounds: int) -> None:
    def side(prepare: Callable[[Path, int, int], Words]) -> Sample:
        with tempfile.TemporaryDirectory() as name:
            words = prepare(Path(name), runs, workers)
            return timed(words, Path(name), environment(), allowed=(0, 5))

    sides = {
        "bare loop": lambda: side(bare_loop),
        "empty pytest session": lambda: side(empty_session),
        "runs of an experiment": lambda: side(experiment),
    }
    samples = interleaved(sides, rounds)
    both = "bare loop + empty session"
    samples[both] = added(samples["bare loop"], samples["empty pytest session"])
    show(f"{runs * SUBTESTS} agents of no cost at -n {workers}", samples, both, "1.3 x")


def _show_processes(title: str, prepare: Callable[[Path, int, int], Words]) -> None:
    """Print what a run starts: the difference between 60 and 20 runs, so without set-up."""
    few, many = (_programs(prepare, runs) for runs in (5, 15))
    more = {name: (many[name] - few[name]) / (10 * SUBTESTS) for name in many}
    print(f"\n{title}: processes of one run")
    for name, count in sorted(more.items(), key=lambda pair: -pair[1]):
        if count >= 0.1:
            print(f"  {count:5.2f}  {name}")


def _programs(prepare: Callable[[Path, int, int], Words], runs: int) -> Counter[str]:
    """The programs that a command executes, with the git command where it is git."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = prepare(folder, runs, 2)
        trace = folder / "trace"
        strace: Words = ["strace", "-f", "-q", "-s", "200", "-e", "trace=execve", "-o", trace]
        timed([*strace, *words], folder, environment())
        return Counter(_program(line) for line in trace.read_text().splitlines() if _begins(line))


def _begins(line: str) -> bool:
    """A successful execve, also where strace shows its end on a line of its own."""
    return 'execve("' in line and "= -1" not in line


def _program(line: str) -> str:
    words = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    name = words[0].rpartition("/")[2] if words else "?"
    if name != "git":
        return name
    command = [word for word in words[2:] if not word.startswith(("-", "/"))]
    return f"git {command[0]}" if command else "git"


def _profile(runs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = experiment(folder, runs, 0)
        profiled: Words = [words[0], "-m", "cProfile", "-o", folder / "profile", *words[1:]]
        subprocess.run(
            [str(word) for word in profiled],
            cwd=folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        stats = pstats.Stats(str(folder / "profile")).strip_dirs()
        stats.sort_stats("tottime").print_stats(30)
        stats.sort_stats("cumtime").print_stats(90)


if __name__ == "__main__":
    main()
