"""How far judges agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

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
