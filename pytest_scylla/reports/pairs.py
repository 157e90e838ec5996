"""Two set-ups of an experiment beside each other: how far apart, and is that more than chance?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..errors import ScyllaError
from ..statistics import Unknown, mean
from ..statistics.contrast import Contrast, contrast_of_rates, contrasts_of_means
from ..statistics.inference import holm
from .markdown_report import NONE, money, number, rate_of, signed
from .summary import ExperimentSummary, Figures
from .table import Row

ALPHA = 0.05

MOST = 2000
"""Pairs of an experiment that are computed: with 63 set-ups all of them."""


@dataclass(frozen=True)
class Sample:
    """The runs of a set-up on its task."""

    name: str
    """`T0/00-empty`, with several agents `<agent>/T0/00-empty`."""
    scores: tuple[float, ...]
    costs: tuple[float, ...]
    """USD of the judged runs, as far as they are known."""
    passed: int
    errors: int
    """Runs without a verdict: they are in no comparison."""

    @property
    def judged(self) -> int:
        """Runs with a verdict."""
        return len(self.scores)

    @classmethod
    def of(cls, name: str, figures: Figures) -> Sample:
        """Of a subtest."""
        costs = [result.cost_usd for result in figures.results]
        known = tuple(cost for cost in costs if cost is not None)
        return cls(name, tuple(figures.scores), known, figures.passed, figures.errors)


@dataclass(frozen=True)
class Pair:
    """The figures of one set-up, less those of another one."""

    one: Sample
    other: Sample
    score: Contrast
    pass_rate: Contrast
    cost: Contrast
    """USD of a run."""

    @property
    def contrasts(self) -> dict[str, Contrast]:
        """By the name of the figure in statistics.json."""
        return {"score": self.score, "pass_rate": self.pass_rate, "cost_usd": self.cost}


def compare(pairs: Sequence[tuple[Sample, Sample]]) -> list[Pair]:
    """All of these pairs."""
    scores = contrasts_of_means([(one.scores, other.scores) for one, other in pairs])
    costs = contrasts_of_means([(one.costs, other.costs) for one, other in pairs])
    return [
        Pair(one, other, score, contrast_of_rates(_passes(one), _passes(other)), cost)
        for (one, other), score, cost in zip(pairs, scores, costs, strict=True)
    ]


def _passes(sample: Sample) -> tuple[int, int]:
    return sample.passed, sample.judged


def corrected(contrasts: Sequence[Contrast]) -> list[float | None]:
    """Their p by Holm, over as many as there are; None where a pair has none."""
    ps = iter(holm([found.p for found in contrasts if not isinstance(found.p, Unknown)]))
    return [None if isinstance(found.p, Unknown) else next(ps) for found in contrasts]


# -- which pairs of an experiment ------------------------------------------------------------------


@dataclass(frozen=True)
class PairsOf:
    """The pairs of an experiment: at first those with its cheapest pass, then those within a
    tier, then all others, as many as `MOST`."""

    set_ups: tuple[Sample, ...]
    pairs: tuple[Pair, ...]
    adjusted: dict[str, tuple[float | None, ...]]
    """Figure -> p of the pairs with the cheapest pass (the first ones), corrected for all of
    these; the others are not corrected."""

    def p_of(self, figure: str, place: int) -> float | None:
        """Of the pair at a place, corrected; None where it has none."""
        known = self.adjusted[figure]
        return known[place] if place < len(known) else None


def pairs_of(experiment: ExperimentSummary) -> PairsOf:
    """Of judged set-ups; the later one of a tier less the earlier one, and any less the cheapest
    pass."""
    places = [(t, s) for t in experiment.tiers for s in t.subtests if s.figures.judged]
    samples = [Sample.of(f"{tier.id}/{s.id}", s.figures) for tier, s in places]
    leads = places.index(experiment.cheapest) if experiment.cheapest else -1
    first = [(at, leads) for at in range(len(places)) if at != leads]
    rest = [(b, a) for a, b in combinations(range(len(places)), 2) if leads not in (a, b)]
    rest.sort(key=lambda pair: places[pair[0]][0].id != places[pair[1]][0].id)
    chosen = [*first, *rest][: max(MOST, len(first))]
    found = compare([(samples[one], samples[other]) for one, other in chosen])
    names = ("score", "pass_rate", "cost_usd")
    led = found[: len(first)]
    adjusted = {name: tuple(corrected([pair.contrasts[name] for pair in led])) for name in names}
    return PairsOf(tuple(samples), tuple(found), adjusted)


def lines_for_json(experiment: ExperimentSummary) -> Iterator[dict[str, Any]]:
    """`pairs` of statistics.json."""
    known = pairs_of(experiment)
    for place, pair in enumerate(known.pairs):
        yield {
            "experiment": experiment.id,
            "model": experiment.agent,
            "set_up1": pair.one.name,
            "set_up2": pair.other.name,
            "n1": pair.one.judged,
            "n2": pair.other.judged,
            "errors1": pair.one.errors,
            "errors2": pair.other.errors,
            **{
                name: _figures(contrast, known.p_of(name, place))
                for name, contrast in pair.contrasts.items()
            },
        }


def _figures(contrast: Contrast, p: float | None) -> dict[str, Any]:
    if isinstance(contrast.p, Unknown):
        return {"difference": contrast.change, "reason": contrast.p.reason}
    found = {"difference": contrast.change, "p_value_raw": contrast.p, "p_value": p}
    if isinstance(contrast.interval, Unknown):
        return {**found, "reason": contrast.interval.reason}
    low, high = contrast.interval
    return {**found, "ci_low": low, "ci_high": high}


# -- in words --------------------------------------------------------------------------------------

FIGURES = {"score": "mean score", "pass_rate": "pass rate", "cost_usd": "mean cost"}


def shown(figure: str, value: float | None) -> str:
    """A difference of a figure, with its sign: of pass rates in percentage points."""
    if figure == "pass_rate":
        return NONE if value is None else f"{signed(100 * value, 0)} points"
    return signed(value, 4 if figure == "cost_usd" else 3)


def interval_of(figure: str, contrast: Contrast) -> str:
    """Its 95 % interval; a dash where there is none."""
    return NONE if isinstance(contrast.interval, Unknown) else limits(figure, *contrast.interval)


def limits(figure: str, low: float | None, high: float | None) -> str:
    """The limits of a difference; a dash where they are not known."""
    return NONE if low is None else f"{shown(figure, low).split()[0]} to {shown(figure, high)}"


def p_in_words(p: float | None) -> str:
    """Three decimals; a smaller one is not known so exactly."""
    return NONE if p is None else ("< 0.001" if p < 0.001 else number(p))


def standing(contrast: Contrast, p: float | None = None) -> str:
    """Whether the first one is higher, in words; `p` instead of that of the pair alone."""
    if isinstance(contrast.p, Unknown):
        return f"not enough runs to tell: {contrast.p.reason}"
    p = contrast.p if p is None else p
    if p >= ALPHA:
        return f"not more than chance (p {p_in_words(p)})"
    return f"{'higher' if (contrast.change or 0) > 0 else 'lower'} (p {p_in_words(p)})"


def between(pair: Pair) -> list[list[str]]:
    """Head, and a line for each figure."""
    lines = [["", pair.one.name, pair.other.name, "difference", "95 %", "so"]]
    values = {
        "score": [number(mean(sample.scores)) for sample in (pair.one, pair.other)],
        "pass_rate": [rate_of(*_passes(sample)) for sample in (pair.one, pair.other)],
        "cost_usd": [money(mean(sample.costs)) for sample in (pair.one, pair.other)],
    }
    for figure, contrast in pair.contrasts.items():
        difference = shown(figure, contrast.change), interval_of(figure, contrast)
        lines.append([FIGURES[figure], *values[figure], *difference, standing(contrast)])
    return lines


def notes_of(pair: Pair) -> Iterator[str]:
    """What else is to be known: how many runs, and why an interval is missing."""
    for sample in (pair.one, pair.other):
        yield f"{sample.name}: {sample.judged} judged runs, {sample.errors} without a verdict"
    for figure, contrast in pair.contrasts.items():
        if not isinstance(contrast.p, Unknown) and isinstance(contrast.interval, Unknown):
            yield f"{FIGURES[figure]}: no interval: {contrast.interval.reason}"


# -- by name, from a table -------------------------------------------------------------------------


def named(rows: Iterable[Row], name: str) -> Sample:
    """The set-up of a table of runs that is meant by `tier/subtest`, where needed with
    `<agent>/` or `<experiment>/` before it.

    Raises ScyllaError where none, or more than one, is meant.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        name_of = f"{row.experiment}/{row.tier}/{row.subtest}"
        found.setdefault((name_of, row.agent_model), []).append(row)
    meant = [key for key in found if f"/{key[0]}".endswith(f"/{name}")]
    if len(meant) != 1:
        names = meant or list(found)
        listed = ", ".join(dict.fromkeys(full for full, _ in names[:20]))
        problem = "more than one set-up is meant" if meant else "there is no such set-up"
        raise ScyllaError(f"{name}: {problem}\n  next: name one of {listed}")
    return _sample(name, found[meant[0]])


def _sample(name: str, rows: Sequence[Row]) -> Sample:
    judged = [row for row in rows if row.score is not None]
    return Sample(
        name,
        tuple(row.score for row in judged if row.score is not None),
        tuple(row.cost_usd for row in judged if row.cost_usd is not None),
        sum(bool(row.passed) for row in judged),
        len(rows) - len(judged),
    )
