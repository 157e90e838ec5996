"""Two sets of results on the cells that both have: did it get worse, and are there enough runs?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from .figures import Unknown

FEWEST_TASKS = 6
"""Tasks from which on a task is the unit: with fewer, no difference could reach p < 0.05 one-sided
after a correction, however clear."""

RESAMPLES = 9999
POWER = 0.8
"""Chance that a real difference is found, which `more_runs` aims at."""

SEED = 0


@dataclass(frozen=True)
class Pair:
    """A cell that both sets have judged."""

    task: str
    before: float
    after: float


@dataclass(frozen=True)
class Difference:
    """What changed from one set to the other, over matched cells."""

    cells: int
    tasks: int
    before: float
    """Mean over the cells."""
    after: float
    change: float
    """after - before."""
    interval: tuple[float, float] | Unknown
    """95 % interval of the change, clustered by unit."""
    p: float
    """One-sided: of such a loss or a greater one, had nothing changed."""
    unit: Literal["run", "task"]
    units: tuple[float, ...]
    """The sum of the changes within each unit."""


def compare(pairs: Sequence[Pair]) -> Difference | Unknown:
    """Paired comparison, clustered by task where there are enough tasks, else by run.

    p is of the sign-flip test (R. A. Fisher, "The Design of Experiments", 1935): exact for few
    units, by 9,999 seeded draws for many. The interval has the clustered standard error of E.
    Miller, "Adding Error Bars to Evals", 2024, and Student's t. With fewer than six tasks what is
    said holds for these tasks alone.
    """
    if not pairs:
        return Unknown("no cell is judged in both")
    tasks = sorted({pair.task for pair in pairs})
    by_task = len(tasks) >= FEWEST_TASKS
    groups = _by_task(pairs, tasks) if by_task else [[pair] for pair in pairs]
    changes = [[pair.after - pair.before for pair in group] for group in groups]
    before = math.fsum(pair.before for pair in pairs) / len(pairs)
    after = math.fsum(pair.after for pair in pairs) / len(pairs)
    return Difference(
        cells=len(pairs),
        tasks=len(tasks),
        before=before,
        after=after,
        change=after - before,
        interval=_interval(changes),
        p=_sign_flip([math.fsum(group) for group in changes]),
        unit="task" if by_task else "run",
        units=tuple(math.fsum(group) for group in changes),
    )


def _by_task(pairs: Sequence[Pair], tasks: Sequence[str]) -> list[list[Pair]]:
    groups: dict[str, list[Pair]] = {task: [] for task in tasks}
    for pair in pairs:
        groups[pair.task].append(pair)
    return list(groups.values())


def _interval(changes: Sequence[Sequence[float]]) -> tuple[float, float] | Unknown:
    count, cells = len(changes), sum(map(len, changes))
    if count < 2:
        return Unknown("2 matched runs are needed, there is 1")
    middle = math.fsum(change for group in changes for change in group) / cells
    squares = [math.fsum(change - middle for change in group) ** 2 for group in changes]
    error = math.sqrt(count / (count - 1) * math.fsum(squares)) / cells
    if error < _TINY:
        return Unknown("all changes are equal")
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return middle - half, middle + half


_TINY = 1e-12


def _sign_flip(sums: Sequence[float]) -> float:
    """Units without a change say nothing, and leave p as it is; scipy wants two at least."""
    moved = [change for change in sums if abs(change) > _TINY]
    if not moved:
        return 1.0
    moved += [0.0] if len(moved) == 1 else []
    found = stats.permutation_test(
        (np.array(moved),),
        np.sum,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="less",
        rng=SEED,
    )
    return float(found.pvalue)


def fewest_units(alpha: float) -> int:
    """Units with which the sign-flip test can reach p < alpha, if all of them got worse."""
    return math.floor(-math.log2(alpha)) + 1


def more_runs(units: Sequence[float], alpha: float, power: float = POWER) -> int | Unknown:
    """How many more units decide, if they go on like these: 80 % power, one-sided.

    n = ((z(1 - alpha) + z(power)) * sd / mean)^2 for paired differences (Chow, Shao and Wang,
    "Sample Size Calculations in Clinical Research", 2003, chapter 3), and never fewer than the
    sign-flip test needs to reach alpha at all. 0: there are enough.
    """
    least = fewest_units(alpha)
    average = math.fsum(units) / len(units) if units else 0.0
    if abs(average) < _TINY:
        if len(units) < least:
            return least - len(units)
        return Unknown("there is no difference to decide on")
    spread = float(np.std(units, ddof=1)) if len(units) > 1 else 0.0
    z = float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(power))
    return max(0, max(least, math.ceil((z * spread / average) ** 2)) - len(units))
