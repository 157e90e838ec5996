"""Figures over runs. A run without a verdict enters none of them as 0: it is left out."""

from __future__ import annotations

import math
import statistics as _statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..results import CategoryScore

Z95 = 1.959963984540054
"""97.5th percentile of the standard normal distribution."""


@dataclass(frozen=True)
class Unknown:
    """A figure that the runs do not give."""

    reason: str
    """Why not: too few runs, no spread, no verdict."""


def wilson(passed: int, judged: int, z: float = Z95) -> tuple[float, float] | None:
    """Wilson's score interval for a pass rate (E. B. Wilson, JASA 22, 1927); None without runs.

    `z` is the normal quantile, by default for 95 %.
    """
    if judged == 0:
        return None
    rate = passed / judged
    scale = 1 + z * z / judged
    middle = (rate + z * z / (2 * judged)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / judged + z * z / (4 * judged * judged))
    low = 0.0 if passed == 0 else max(0.0, middle - half)
    high = 1.0 if passed == judged else min(1.0, middle + half)
    return low, high


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; None without values."""
    return math.fsum(values) / len(values) if values else None


def median(values: Sequence[float]) -> float | None:
    """Median; None without values."""
    return _statistics.median(values) if values else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` (0 to 1) of a sample lies; None without values.

    Linear between neighbours: type 7 of Hyndman and Fan, The American Statistician 50, 1996.
    """
    if not values:
        return None
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1); None with fewer than two values."""
    return _statistics.stdev(values) if len(values) > 1 else None


def consistency(values: Sequence[float]) -> float | None:
    """1 - standard deviation / mean, not below 0: 1 less the coefficient of variation.

    None with fewer than two values, and where their mean is 0.
    """
    average, spread = mean(values), deviation(values)
    return max(0.0, 1 - spread / average) if average and spread is not None else None


def total(values: Sequence[float | None]) -> float | None:
    """The sum; None where a part of it is not known, for a sum without it would be false."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


def cost_of_pass(cost: float | None, passed: int) -> float | None:
    """USD spent for each run that passed; None where none did or the cost is not known.

    Expected cost of one success: mean cost of a run / pass rate (Erol et al., "Cost-of-Pass",
    2025), here with the runs' totals.
    """
    return cost / passed if cost is not None and passed else None


def pass_at_k(passed: int, judged: int, k: int) -> float | Unknown:
    """Probability that at least one of `k` runs passes, estimated without bias.

    1 - C(n - c, k) / C(n, k), for c passes in n judged runs of one set-up on one task (Chen et
    al., "Evaluating Large Language Models Trained on Code", 2021).
    """
    if k > judged:
        return Unknown(f"{k} judged runs are needed, there are {judged}")
    return 1 - math.comb(judged - passed, k) / math.comb(judged, k)


def pass_hat_k(passed: int, judged: int, k: int) -> float | Unknown:
    """Probability that all of `k` runs pass ("pass^k"), estimated without bias.

    C(c, k) / C(n, k), for c passes in n judged runs of one set-up on one task (Yao et al.,
    "tau-bench", 2024).
    """
    if k > judged:
        return Unknown(f"{k} judged runs are needed, there are {judged}")
    return math.comb(passed, k) / math.comb(judged, k)


def implementation_rate(categories: Mapping[str, CategoryScore]) -> float | None:
    """Points achieved of those that could be, over all items of a judgment, without weights.

    N/A items are left out; None where nothing is left.
    """
    achieved = math.fsum(category.achieved for category in categories.values())
    most = math.fsum(category.max for category in categories.values())
    return achieved / most if most else None
