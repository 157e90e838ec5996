"""Two set-ups on the same task: by how much do they differ, and is that more than chance?

Their runs are not matched: run 3 of one set-up has no more to do with run 3 of another one than
with its run 4. (Two sets of results with the same cells are another thing: see `comparison`.)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

from .figures import Unknown, wilson
from .inference import FEWEST_IN_PAIR

MOST_SPLITS = 20_000
"""Up to so many ways to split the runs into two groups, p goes through all of them: 8 and 8 runs
have 12,870."""

DRAWS = 9_999
"""Splits that are drawn where there are more: then p is at least 2 / (DRAWS + 1)."""

MOST_VALUES = 400
"""Of both groups together: with more, Student's distribution is as good."""

SEED = 0

Groups = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Contrast:
    """A figure of one group of runs, less that of another one."""

    change: float | None
    """Difference of the means, or of the rates; None where a group has no values."""
    interval: tuple[float, float] | Unknown
    """95 % interval of `change`."""
    p: float | Unknown
    """Chance of such a difference or a greater one, if there were none: two-sided, of this pair
    alone."""


def contrasts_of_means(pairs: Sequence[Groups]) -> list[Contrast]:
    """Means of unmatched groups of four values or more.

    p is of the permutation test of Welch's t (A. Janssen, "Studentized permutation tests for
    non-i.i.d. hypotheses", Statistics & Probability Letters 36, 1997): the share of all splits of
    the values into groups of these sizes whose t is as extreme, doubled. It is what scipy's
    `permutation_test` gives, for thousands of pairs at once. The interval is Welch's; where all
    values of a group are equal there is none, because its spread is not known.
    """
    found = [_untested(*pair) for pair in pairs]
    by_sizes: dict[tuple[int, int], list[int]] = {}
    for place, (one, other) in enumerate(pairs):
        if min(len(one), len(other)) >= FEWEST_IN_PAIR:
            by_sizes.setdefault((len(one), len(other)), []).append(place)
    for sizes, places in by_sizes.items():
        tested = _tested([pairs[place] for place in places], sizes[0])
        for place, contrast in zip(places, tested, strict=True):
            found[place] = contrast
    return found


def _untested(one: Sequence[float], other: Sequence[float]) -> Contrast:
    change = math.fsum(one) / len(one) - math.fsum(other) / len(other) if one and other else None
    few = _too_few(len(one), len(other))
    return Contrast(change, few, few)


def _too_few(one: int, other: int) -> Unknown:
    return Unknown(f"each needs {FEWEST_IN_PAIR} judged runs, there are {one} and {other}")


def _tested(pairs: Sequence[Groups], size: int) -> Iterator[Contrast]:
    """Of pairs whose groups have the same sizes, `size` the first."""
    import numpy as np
    from scipy import stats

    values = np.array([[*one, *other] for one, other in pairs], dtype=float)
    first, second = values[:, :size], values[:, size:]
    spread = (np.ptp(first, axis=1) > 0) & (np.ptp(second, axis=1) > 0)
    ps = np.ones(len(values))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        welch = stats.ttest_ind(first, second, axis=1, equal_var=False)
        limits = welch.confidence_interval()
    differ = np.ptp(values, axis=1) > 0
    if values.shape[1] > MOST_VALUES:
        ps[differ] = np.nan_to_num(welch.pvalue[differ])
    else:
        ps[differ] = _permutation_test(values[differ], size)
    changes = first.mean(axis=1) - second.mean(axis=1)
    for change, low, high, p, known in zip(changes, *limits, ps, spread, strict=True):
        interval = (float(low), float(high)) if known else Unknown(FLAT)
        yield Contrast(float(change), interval, float(p))


FLAT = "all runs of one of them have the same value"


def _permutation_test(values: Any, size: int) -> Any:
    """Of every line of values, the first `size` of which are one group."""
    import numpy as np

    if not len(values):
        return []
    splits = _splits(size, values.shape[1])
    step = max(1, 2_000_000 // len(splits))
    chunks = [values[start : start + step] for start in range(0, len(values), step)]
    return np.concatenate([_share_as_extreme(_welch(chunk, splits, size)) for chunk in chunks])


@lru_cache(maxsize=16)
def _splits(size: int, total: int) -> Any:
    """A line for each split, with 1 for what is in the first group; the first is the observed."""
    import numpy as np

    if math.comb(total, size) <= MOST_SPLITS:
        chosen = np.array(list(combinations(range(total), size)))
    else:
        drawn = np.random.default_rng(SEED).random((DRAWS, total)).argsort(axis=1)[:, :size]
        chosen = np.vstack([np.arange(size), drawn])
    found = np.zeros((len(chosen), total))
    np.put_along_axis(found, chosen, 1.0, axis=1)
    return found


def _welch(values: Any, splits: Any, size: int) -> Any:
    """Welch's t of every line of values, under every split. Scaled to a range of 1; what is added
    to the variance is above the error of the arithmetic, and keeps t finite without any spread."""
    import numpy as np

    values = (values - values.mean(axis=1, keepdims=True)) / np.ptp(values, axis=1, keepdims=True)
    squares, rest = values**2, values.shape[1] - size
    first, first_squares = values @ splits.T, squares @ splits.T
    second = values.sum(axis=1, keepdims=True) - first
    second_squares = squares.sum(axis=1, keepdims=True) - first_squares
    spread = (first_squares - first**2 / size).clip(0) / (size * (size - 1))
    spread += (second_squares - second**2 / rest).clip(0) / (rest * (rest - 1))
    return (first / size - second / rest) / np.sqrt(spread + 1e-9)


def _share_as_extreme(found: Any) -> Any:
    import numpy as np

    observed = found[:, :1]
    slack = 1e-6 * abs(observed) + 1e-9
    above = (found >= observed - slack).mean(axis=1)
    below = (found <= observed + slack).mean(axis=1)
    return np.minimum(1.0, 2 * np.minimum(above, below))


def contrast_of_rates(one: tuple[int, int], other: tuple[int, int]) -> Contrast:
    """Pass rates, each as (passed, judged), of four runs or more.

    p is of Fisher's exact test (R. A. Fisher, "Statistical Methods for Research Workers", 1934).
    The interval is method 10 of R. G. Newcombe, "Interval estimation for the difference between
    independent proportions", Statistics in Medicine 17, 1998: from Wilson's intervals of both.
    """
    first, second = wilson(*one), wilson(*other)
    if first is None or second is None:
        few = _too_few(one[1], other[1])
        return Contrast(None, few, few)
    rate, base = one[0] / one[1], other[0] / other[1]
    if min(one[1], other[1]) < FEWEST_IN_PAIR:
        few = _too_few(one[1], other[1])
        return Contrast(rate - base, few, few)
    low = rate - base - math.hypot(rate - first[0], second[1] - base)
    high = rate - base + math.hypot(first[1] - rate, base - second[0])
    return Contrast(rate - base, (max(-1.0, low), min(1.0, high)), _fisher(*one, *other))


@lru_cache(maxsize=4096)
def _fisher(passed: int, judged: int, others: int, of: int) -> float:
    from scipy import stats

    table = [[passed, judged - passed], [others, of - others]]
    return float(stats.fisher_exact(table).pvalue)
