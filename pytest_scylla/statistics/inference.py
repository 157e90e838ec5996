"""How sure the figures are, on scipy. Where the data do not allow an answer, it says why.

scipy takes most of a second to import: it is, once there is something to compute.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, variance
from typing import Any

from .figures import Unknown

RESAMPLES = 2000
"""Of a bootstrap: enough for 95 % limits (Efron and Tibshirani, 1993, chapter 14)."""

FEWEST = 5
"""Values that an interval, or a group, needs: with fewer the approximations do not hold."""

FEWEST_IN_PAIR = 4
"""Values in each of two groups: with fewer, no difference could reach p < 0.05."""

FEWEST_RANKED = 10
"""Runs from which on Student's t describes Spearman's rho (Zar, JASA 67, 1972)."""

SHAPIRO_MOST = 5000
"""Values up to which the p-value of Shapiro and Wilk is accurate (Royston, 1995)."""


@dataclass(frozen=True)
class Interval:
    """An estimate and where it may lie."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Test:
    """The outcome of a test of significance."""

    __test__ = False
    """No test of pytest's, for all its name."""

    statistic: float
    p: float
    """Not corrected for the number of tests."""


@dataclass(frozen=True)
class Effect:
    """Cliff's delta: -1 to 1."""

    delta: float
    interval: tuple[float, float] | Unknown


def bca(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval | Unknown:
    """The mean, with its bias-corrected and accelerated bootstrap interval.

    B. Efron, "Better Bootstrap Confidence Intervals", JASA 82, 1987. The same seed gives the same.
    """
    if len(values) < FEWEST:
        return Unknown(f"{FEWEST} values are needed, there are {len(values)}")
    if min(values) == max(values):
        return Unknown(_EQUAL)
    import numpy as np
    from scipy import stats

    found = stats.bootstrap(
        (np.asarray(values, dtype=float),),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, 2_000_000 // len(values)),
        confidence_level=confidence,
        method="BCa",
        rng=seed,
    ).confidence_interval
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Unknown("the resampled means have no spread")
    return Interval(math.fsum(values) / len(values), float(found.low), float(found.high))


_EQUAL = "all values are equal"


def shapiro_wilk(values: Sequence[float]) -> Test | Unknown:
    """Whether values may be normally distributed (Shapiro and Wilk, Biometrika 52, 1965)."""
    if len(values) < FEWEST:
        return Unknown(f"{FEWEST} values are needed, there are {len(values)}")
    if len(values) > SHAPIRO_MOST:
        return Unknown(f"with more than {SHAPIRO_MOST} values its p is not accurate")
    if min(values) == max(values):
        return Unknown(_EQUAL)
    from scipy import stats

    return _test(stats.shapiro(values))


def kruskal_wallis(groups: Sequence[Sequence[float]]) -> Test | Unknown:
    """Whether groups have one distribution (Kruskal and Wallis, JASA 47, 1952); the statistic is H.

    Needs two groups, of five values each.
    """
    if len(groups) < 2:
        return Unknown(f"2 groups are needed, there are {len(groups)}")
    if any(len(group) < FEWEST for group in groups):
        return Unknown(f"every group needs {FEWEST} values")
    if _one_value(groups):
        return Unknown(_EQUAL)
    from scipy import stats

    return _test(stats.kruskal(*groups))


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> Test | Unknown:
    """Whether one of two groups tends to larger values, two-sided; the statistic is U of `first`.

    Mann and Whitney, Annals of Mathematical Statistics 18, 1947. Exact for small groups without
    ties, else by the normal approximation.
    """
    if min(len(first), len(second)) < FEWEST_IN_PAIR:
        there = f"{len(first)} and {len(second)}"
        return Unknown(f"{FEWEST_IN_PAIR} values in each are needed, there are {there}")
    if _one_value([first, second]):
        return Unknown(_EQUAL)
    from scipy import stats

    return _test(stats.mannwhitneyu(first, second, alternative="two-sided"))


def fewest_in_pair(comparisons: int, alpha: float) -> int:
    """Values in each of two groups from which on `mann_whitney` can find p < alpha at all.

    Corrected (Holm) for so many comparisons: of the C(2n, n) orders of their values, two are the
    clearest.
    """
    values = FEWEST_IN_PAIR
    while 2 / math.comb(2 * values, values) * comparisons >= alpha:
        values += 1
    return values


def cliffs_delta(
    first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95
) -> Effect | Unknown:
    """How much more often a value of `first` is above one of `second` than below it.

    N. Cliff, Psychological Bulletin 114, 1993; the asymmetric interval of Feng and Cliff, Journal
    of Modern Applied Statistical Methods 3, 2004.
    """
    if not len(first) or not len(second):
        return Unknown("a group has no values")
    rows, columns = _dominance(first, second), _dominance(second, first)
    delta = math.fsum(rows) / len(rows)
    return Effect(delta, _delta_interval(delta, rows, columns, confidence))


def _dominance(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """For each value: the share of `others` below it less the share above it."""
    ordered = sorted(others)
    size = len(ordered)
    return [(bisect_left(ordered, v) + bisect_right(ordered, v) - size) / size for v in values]


def _delta_interval(
    delta: float, rows: Sequence[float], columns: Sequence[float], confidence: float
) -> tuple[float, float] | Unknown:
    n, m = len(rows), len(columns)
    if n < 2 or m < 2:
        return Unknown(f"2 values in each are needed, there are {n} and {m}")
    if abs(delta) == 1:
        return Unknown("the groups do not overlap")
    spread = variance(rows) / n + variance(columns) / m
    if spread == 0:
        return Unknown(_EQUAL)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rest = 1 - delta**2
    root = z * math.sqrt(spread) * math.sqrt(rest**2 + z * z * spread)
    scale = rest + z * z * spread
    low, high = (delta - delta**3 - root) / scale, (delta - delta**3 + root) / scale
    return max(-1.0, low), min(1.0, high)


def spearman(first: Sequence[float], second: Sequence[float]) -> Test | Unknown:
    """Whether two figures of the same runs rise together; the statistic is rho.

    C. Spearman, American Journal of Psychology 15, 1904; p by Student's t.
    """
    if len(first) < FEWEST_RANKED:
        return Unknown(f"{FEWEST_RANKED} runs are needed, there are {len(first)}")
    if min(first) == max(first) or min(second) == max(second):
        return Unknown("all values of one of them are equal")
    from scipy import stats

    return _test(stats.spearmanr(first, second))


def difference_of_means(first: Sequence[float], second: Sequence[float]) -> Interval | Unknown:
    """Mean of `first` less mean of `second`, with its 95 % interval for unequal variances.

    B. L. Welch, "The Generalization of 'Student's' Problem", Biometrika 34, 1947.
    """
    if min(len(first), len(second)) < 2:
        return Unknown(f"2 values in each are needed, there are {len(first)} and {len(second)}")
    if min(first) == max(first) and min(second) == max(second):
        return Unknown("neither group has any spread")
    from scipy import stats

    found = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    change = math.fsum(first) / len(first) - math.fsum(second) / len(second)
    return Interval(change, float(found.low), float(found.high))


def scheirer_ray_hare(
    values: Sequence[float], first: Sequence[str], second: Sequence[str]
) -> dict[str, Test] | Unknown:
    """Effects of two factors and of their interaction on ranks: keys first, second, interaction.

    Scheirer, Ray and Hare, Biometrics 32, 1976: H = sum of squares / mean square of all ranks,
    against chi-square. Sums of squares are of type II, which for cells of equal size are the
    published ones. Needs two levels of each factor, and two values in every cell.
    """
    levels = sorted(set(first)), sorted(set(second))
    if min(map(len, levels)) < 2:
        return Unknown("2 levels of each factor are needed")
    cells = list(zip(first, second, strict=True))
    counts = Counter(cells)
    if any(counts[one, other] < 2 for one in levels[0] for other in levels[1]):
        return Unknown("every combination of the two factors needs 2 values")
    if min(values) == max(values):
        return Unknown(_EQUAL)
    import numpy as np
    from scipy import stats

    ranks = stats.rankdata(values)
    one, two, both = _dummies(first), _dummies(second), _dummies([f"{a}\0{b}" for a, b in cells])
    rest = {
        "first": _unexplained(ranks, two),
        "second": _unexplained(ranks, one),
        "interaction": _unexplained(ranks, np.hstack([one, two])),
    }
    main, full = rest["interaction"], _unexplained(ranks, both)
    a, b = len(levels[0]) - 1, len(levels[1]) - 1
    return {
        name: _chi_square((before - after) / ranks.var(ddof=1), df)
        for name, before, after, df in (
            ("first", rest["first"], main, a),
            ("second", rest["second"], main, b),
            ("interaction", main, full, a * b),
        )
    }


def _dummies(labels: Sequence[str]) -> Any:
    """A column of 0 and 1 for every level."""
    import numpy as np

    levels, places = np.unique(np.asarray(labels), return_inverse=True)
    return np.eye(len(levels))[places]


def _unexplained(ranks: Any, columns: Any) -> float:
    """Sum of squares that a least-squares fit leaves."""
    import numpy as np

    fitted = columns @ np.linalg.lstsq(columns, ranks, rcond=None)[0]
    return float(((ranks - fitted) ** 2).sum())


def _chi_square(h: float, df: int) -> Test:
    from scipy import stats

    h = max(0.0, h)
    return Test(h, float(stats.chi2.sf(h, df)))


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected for their number: the chance of any false alarm stays below alpha.

    S. Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted(range(len(ps)), key=lambda place: ps[place])
    found, highest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        found[place] = highest
    return found


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """P-values corrected so that alpha bounds the share of false alarms among the alarms.

    Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 1995.
    """
    order = sorted(range(len(ps)), key=lambda place: -ps[place])
    found, lowest = [0.0] * len(ps), 1.0
    for rank, place in enumerate(order):
        lowest = min(lowest, len(ps) / (len(ps) - rank) * ps[place])
        found[place] = lowest
    return found


def _one_value(groups: Sequence[Sequence[float]]) -> bool:
    return len({value for group in groups for value in group}) == 1


def _test(found: Any) -> Test | Unknown:
    statistic, p = float(found.statistic), float(found.pvalue)
    if not (math.isfinite(statistic) and math.isfinite(p)):
        return Unknown("the values have too little spread")
    return Test(statistic, p)
