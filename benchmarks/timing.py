"""Time alternatives against each other: interleaved, repeated, compared round by round.

A machine that does other things as well makes every duration doubtful. What two commands took
right after one another can still be compared, so all ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """What one execution took: seconds on the clock, and of all its processes' CPU time."""

    wall: float
    cpu: float

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.wall + other.wall, self.cpu + other.cpu)


Side = Callable[[], Sample]
Samples = dict[str, list[Sample]]


def timed(
    argv: Sequence[str | Path],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    allowed: Sequence[int] = (0,),
) -> Sample:
    """Run a command to its end; its CPU time includes that of the children it waited for."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in argv],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in allowed:
            output.seek(0)
            said = output.read().decode("utf-8", "replace")[-3000:]
            sys.exit(f"{said}\n{argv} ended with {process.returncode}")
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def called(function: Callable[[], object]) -> Sample:
    """Call a function of this process; its CPU time includes that of its children."""
    before, started = _cpu(), time.perf_counter()
    function()
    return Sample(time.perf_counter() - started, _cpu() - before)


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def interleaved(sides: Mapping[str, Side], rounds: int) -> Samples:
    """Execute every side once a round, in turning order; a first round only warms up."""
    samples: Samples = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds + 1):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            sample = sides[name]()
            if number:
                samples[name].append(sample)
    return samples


def added(first: Sequence[Sample], second: Sequence[Sample]) -> list[Sample]:
    """Two sides one after the other, round by round."""
    return [one + other for one, other in zip(first, second, strict=True)]


def show(title: str, samples: Samples, against: str, aim: str = "") -> None:
    """Print medians, spreads, and the ratios and differences to the side `against`."""
    print(f"\n{title}" + (f"   (aim: {aim})" if aim else ""))
    print(f"  {'':34}{'wall s: median (min-max)':28}{'CPU s':>8}   ratio of wall (min-max), of CPU")
    for name, found in samples.items():
        walls = [sample.wall for sample in found]
        cpu = statistics.median(sample.cpu for sample in found)
        line = f"  {name:34}{_spread(walls):28}{cpu:8.2f}"
        if name != against:
            line += "   " + _compared(found, samples[against])
        print(line, flush=True)


def _compared(found: Sequence[Sample], base: Sequence[Sample]) -> str:
    pairs = list(zip(found, base, strict=True))
    walls = [one.wall / other.wall for one, other in pairs]
    cpus = [one.cpu / other.cpu for one, other in pairs if other.cpu]
    more = statistics.median(one.wall - other.wall for one, other in pairs)
    ratio = f"{statistics.median(cpus):.2f}" if cpus else "-"
    return f"{_spread(walls, 2)}, {ratio}   {more:+.3f} s"


def _spread(values: Sequence[float], digits: int = 3) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def rounds_argument(description: str, rounds: int) -> argparse.ArgumentParser:
    """A parser of the script's arguments, with `--rounds`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    return parser
