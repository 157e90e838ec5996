"""Figures over runs. A run without a verdict enters none of them as 0: it is left out."""

from __future__ import annotations

import math
import statistics as _statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

Z95 = 1.959963984540054
"""97.5th percentile of the standard normal distribution."""


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


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation of a sample (n - 1); 0 for one value, None without values."""
    if not values:
        return None
    return _statistics.stdev(values) if len(values) > 1 else 0.0


def total(values: Sequence[float | None]) -> float | None:
    """The sum; None where a part of it is not known, for a sum without it would be false."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


Scale = Literal["nominal", "interval"]


def krippendorff_alpha(units: Iterable[Sequence[float]], scale: Scale) -> float | None:
    """Agreement of judges: 1 is full, 0 what chance would give, below 0 less than that.

    Each unit holds the values that one thing got, from whichever judges graded it; one with fewer
    than two values says nothing. None where nothing can be compared, or all values are the same.

    alpha = 1 - observed / expected disagreement, where two values disagree by 1 if they differ
    (nominal), or by the square of their difference (interval): K. Krippendorff, "Computing
    Krippendorff's Alpha-Reliability", University of Pennsylvania, 2011.
    """
    paired = [list(unit) for unit in units if len(unit) > 1]
    values = [value for unit in paired for value in unit]
    expected = _disagreement(values, scale)
    if not expected:
        return None
    observed = math.fsum(_disagreement(unit, scale) / (len(unit) - 1) for unit in paired)
    return 1 - (len(values) - 1) * observed / expected


def _disagreement(values: Sequence[float], scale: Scale) -> float:
    """Of all ordered pairs of values, together; without going through the pairs."""
    if scale == "nominal":
        return float(sum(n * (len(values) - n) for n in Counter(values).values()))
    if len(set(values)) < 2:
        return 0.0
    middle = math.fsum(values) / len(values)
    return 2 * len(values) * math.fsum((value - middle) ** 2 for value in values)


def cost_of_pass(cost: float | None, passed: int) -> float | None:
    """USD spent for each run that passed; None where none did or the cost is not known.

    Expected cost of one success: mean cost of a run / pass rate (Erol et al., "Cost-of-Pass",
    2025), here with the runs' totals.
    """
    return cost / passed if cost is not None and passed else None
