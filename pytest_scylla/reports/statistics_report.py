"""statistics.json: how sure the figures are, and which differences are more than chance.

Every group is of one experiment and one agent; factors across them are tested as such. What the
runs do not allow has a `reason` in the place of figures.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..results import JudgeVote
from ..statistics import (
    Unknown,
    cost_of_pass,
    mean,
    median,
    pass_at_k,
    pass_hat_k,
    total,
    wilson,
)
from ..store import digest, now
from .advice import advice
from .markdown_report import leading, table
from .pairs import limits, lines_for_json, p_in_words, shown
from .panel import PanelFigures, panel_figures
from .summary import KS, ExperimentSummary
from .table import Key, Row, rows_of
from .text import markdown

if TYPE_CHECKING:
    from ..statistics import inference

ALPHA = 0.05
Votes = Mapping[Key, Sequence[JudgeVote]]
Group = tuple[dict[str, Any], list[Row]]
"""What the runs of a group have in common, and the runs."""

METRICS: dict[str, Callable[[Row], float | None]] = {
    "pass_rate": lambda row: None if row.passed is None else float(row.passed),
    "score": lambda row: row.score,
    "impl_rate": lambda row: row.impl_rate,
    "cost_usd": lambda row: row.cost_usd,
}
CORRELATED = (
    ("score", "cost_usd"),
    ("score", "total_tokens"),
    ("score", "duration_seconds"),
    ("score", "impl_rate"),
    ("impl_rate", "cost_usd"),
    ("impl_rate", "duration_seconds"),
    ("cost_usd", "total_tokens"),
)


def statistics_of(experiments: Sequence[ExperimentSummary]) -> dict[str, Any]:
    """statistics.json of one experiment, or of several together."""
    rows: list[Row] = []
    votes: dict[Key, Sequence[JudgeVote]] = {}
    for experiment in experiments:
        own = rows_of(experiment)
        rows += own
        given = panel_figures(experiment).runs
        votes |= {row.key: panel for row, panel in zip(own, given, strict=True)}
    digests = [experiment.digest for experiment in experiments]
    made_from = digests[0] if len(digests) == 1 else digest(digests)
    return {
        "made_from": made_from,
        "generated_at": now(),
        "decisions": [line for one in experiments if (line := _decision(one))],
        **statistics(rows, votes),
        "pairs": [line for one in experiments for line in lines_for_json(one)],
    }


def _decision(experiment: ExperimentSummary) -> dict[str, Any] | None:
    """The cheapest pass, and how sure that is."""
    found = advice(experiment)
    if found is None:
        return None
    return {
        "experiment": experiment.id,
        "model": experiment.agent,
        "set_up": found.chosen.name,
        "says": found.says,
        "decided": found.decided,
        "how_sure": found.how_sure(),
    }


def statistics(rows: Sequence[Row], votes: Votes) -> dict[str, Any]:
    """All of it."""
    judged = _judged(rows)
    wholes = list(_groups(judged, "experiment", "agent_model"))
    found: dict[str, Any] = {
        "alpha": ALPHA,
        "tier_descriptives": [_described(group) for group in _tiers(rows) if _judged(group[1])],
        "pass_at_k": [_several(group) for group in _subtests(judged)],
        "judge_agreement": [
            _agreement(group, votes) for group in _groups(rows, "experiment", "agent_model")
        ],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return found | _tested(judged, wholes)


def decision_of(statistics: Mapping[str, Any]) -> dict[str, Any] | None:
    """The line of the one experiment that it is of; None without a verdict."""
    return next(iter(statistics.get("decisions", ())), None)


def set_ups_compared(experiment: ExperimentSummary, statistics: Mapping[str, Any]) -> str:
    """In Markdown: the cheapest pass, how sure that is, and what it is compared with: the other
    set-ups of its tier, and the best of each other tier."""
    decision = decision_of(statistics)
    if decision is None:
        return f"**{markdown(leading(experiment))}**.\n\n" if experiment.cheapest else ""
    mine = experiment.cheapest[0] if experiment.cheapest else None
    near = {
        f"{tier.id}/{subtest.id}"
        for tier in experiment.tiers
        for subtest in tier.subtests
        if tier is mine or subtest is tier.best
    }
    led = [line for line in statistics.get("pairs", ()) if line["set_up2"] == decision["set_up"]]
    rows = [_compared(line) for line in led if line["set_up1"] in near]
    found = f"**{markdown(decision['says'])}**. {markdown(decision['how_sure'])}\n"
    if not rows:
        return f"{found}\n"
    head = ["set-up", "judged", "errors", "score", "95 %", "p", "pass rate", "95 %", "p", "note"]
    return (
        f"{found}\n{table(head, rows)}\n"
        f"Differences: the set-up less {markdown(decision['set_up'])}; p is corrected (Holm) for "
        f"the number of set-ups compared with it ({len(led)}). More pairs are in "
        "export/statistics.json.\n\n"
    )


def _compared(line: Mapping[str, Any]) -> list[str]:
    figures = [
        cell
        for name in ("score", "pass_rate")
        for cell in (
            shown(name, line[name]["difference"]),
            limits(name, line[name].get("ci_low"), line[name].get("ci_high")),
            p_in_words(line[name].get("p_value")),
        )
    ]
    reason, known = line["score"].get("reason"), "p_value" in line["score"]
    note = f"{'no interval' if known else 'not enough runs to tell'}: {reason}" if reason else ""
    return [line["set_up1"], str(line["n1"]), str(line["errors1"]), *figures, note]


def differences(statistics: Mapping[str, Any]) -> str:
    """In words, whether the scores of an experiment's tiers differ beyond chance; nothing where
    there is one tier."""
    tiers = {one["tier"] for one in statistics.get("tier_descriptives", ())}
    omnibus = [one for one in statistics.get("omnibus_tests", ()) if one["metric"] == "score"]
    lines = []
    for one in omnibus if len(tiers) > 1 else ():
        if "p_value" not in one:
            few = f"2 tiers with 5 judged runs are needed, there {_there(one['n_groups'])}"
            reason = few if one["n_groups"] < 2 else one["reason"]
            lines.append(f"Whether tiers differ cannot be told: {reason}.\n")
            continue
        pairs = [
            f"{pair['tier1']} and {pair['tier2']}"
            for pair in statistics["pairwise_comparisons"]
            if pair["metric"] == "score" and pair.get("is_significant")
        ]
        apart = (
            f"apart, corrected for all pairs: {', '.join(pairs)}" if pairs else "no pair is apart"
        )
        word = "differ" if one["is_significant"] else "do not differ beyond chance"
        lines.append(f"Scores of tiers {word} (Kruskal-Wallis p {one['p_value']:.2g}); {apart}.\n")
    return "".join(lines)


def _there(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def _judged(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.passed is not None]


def _groups(rows: Sequence[Row], *names: str) -> Iterator[Group]:
    """The runs that have these columns in common, in the order of the table."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(getattr(row, name) for name in names), []).append(row)
    labels = {"agent_model": "model"}
    for values, group in found.items():
        yield {labels.get(n, n): v for n, v in zip(names, values, strict=True)}, group


def _tiers(rows: Sequence[Row]) -> Iterator[Group]:
    return _groups(rows, "experiment", "agent_model", "tier")


def _subtests(rows: Sequence[Row]) -> Iterator[Group]:
    return _groups(rows, "experiment", "agent_model", "tier", "subtest")


def _values(rows: Sequence[Row], metric: str) -> list[float]:
    values = [METRICS[metric](row) for row in rows]
    return [value for value in values if value is not None]


# -- figures -------------------------------------------------------------------------------------


def _described(group: Group) -> dict[str, Any]:
    """As in report.json: a run without a verdict is in the cost of pass, as far as its own cost is
    known, and in nothing else."""
    place, rows = group[0], _judged(group[1])
    passed = sum(bool(row.passed) for row in rows)
    known, whole = _values(rows, "cost_usd"), total([row.cost_usd for row in rows])
    others = [row.cost_usd or 0.0 for row in group[1] if row.passed is None]
    return {
        **place,
        "n": len(rows),
        "pass_rate": passed / len(rows),
        "pass_rate_interval": wilson(passed, len(rows)),
        "mean_score": mean(_values(rows, "score")),
        "mean_cost": None if whole is None else whole / len(rows),
        "median_cost": median(known) if len(known) == len(rows) else None,
        "cop": cost_of_pass(total([whole, *others]), passed),
    }


def _several(group: Group) -> dict[str, Any]:
    place, rows = group
    passed = sum(bool(row.passed) for row in rows)
    ks = [k for k in KS if k <= len(rows)]
    return {
        **place,
        "n": len(rows),
        "pass_at_k": {str(k): pass_at_k(passed, len(rows), k) for k in ks},
        "pass_hat_k": {str(k): pass_hat_k(passed, len(rows), k) for k in ks},
    }


def _agreement(group: Group, votes: Votes) -> dict[str, Any]:
    """As the report's table of judges has it: of all judged runs, with a verdict or without."""
    place, rows = group
    figures = PanelFigures(tuple(tuple(votes.get(row.key, ())) for row in rows))
    found = {"alpha_score": figures.alpha_scores(), "alpha_vote": figures.alpha_passes()}
    reason = "no run has two judges, or all of them said the same"
    return {**place, "n": figures.compared, **found, **_because(found, reason)}


def _because(found: Mapping[str, Any], reason: str) -> dict[str, str]:
    return {"reason": reason} if all(value is None for value in found.values()) else {}


# -- tests ---------------------------------------------------------------------------------------


def _tested(rows: Sequence[Row], wholes: Sequence[Group]) -> dict[str, Any]:
    tiers = list(_tiers(rows))
    return {
        "intervals": [_interval(group, metric) for group in tiers for metric in METRICS],
        "normality_tests": [_normality(group, metric) for group in tiers for metric in METRICS],
        "omnibus_tests": [_omnibus(group, metric) for group in wholes for metric in METRICS],
        "pairwise_comparisons": [
            line for group in wholes for metric in METRICS for line in _pairwise(group, metric)
        ],
        "effect_sizes": [
            line for group in wholes for metric in METRICS for line in _effects(group, metric)
        ],
        "correlations": [_correlation(group, *pair) for group in wholes for pair in CORRELATED],
        "interaction_tests": [
            _interaction(rows, factor, metric)
            for factor in ("experiment", "agent_model")
            for metric in METRICS
        ],
    }


def _interval(group: Group, metric: str) -> dict[str, Any]:
    from ..statistics.inference import bca

    place, rows = group
    values = _values(rows, metric)
    found = bca(values)
    line = {**place, "metric": metric, "n": len(values)}
    if isinstance(found, Unknown):
        return {**line, "reason": found.reason}
    return {**line, "mean": found.value, "low": found.low, "high": found.high}


def _outcome(found: inference.Test | Unknown, statistic: str) -> dict[str, Any]:
    if isinstance(found, Unknown):
        return {"reason": found.reason}
    return {
        statistic: found.statistic,
        "p_value": found.p,
        "is_significant": found.p < ALPHA,
    }


def _normality(group: Group, metric: str) -> dict[str, Any]:
    from ..statistics.inference import shapiro_wilk

    place, rows = group
    values = _values(rows, metric)
    line = {**place, "metric": metric, "n": len(values)}
    return {**line, **_outcome(shapiro_wilk(values), "w_statistic")}


def _by_tier(rows: Sequence[Row], metric: str, least: int) -> dict[str, list[float]]:
    """Tier -> values; a tier with too few takes no part in tests between tiers."""
    found = {place["tier"]: _values(group, metric) for place, group in _groups(rows, "tier")}
    return {tier: values for tier, values in found.items() if len(values) >= least}


def _omnibus(group: Group, metric: str) -> dict[str, Any]:
    from ..statistics.inference import FEWEST, kruskal_wallis

    place, rows = group
    tiers = _by_tier(rows, metric, FEWEST)
    line = {**place, "metric": metric, "n_groups": len(tiers), "tiers": list(tiers)}
    return {**line, **_outcome(kruskal_wallis(list(tiers.values())), "h_statistic")}


def _pairwise(group: Group, metric: str) -> Iterator[dict[str, Any]]:
    """All pairs of tiers, corrected for the number of them."""
    from ..statistics.inference import FEWEST_IN_PAIR, benjamini_hochberg, holm, mann_whitney

    place, rows = group
    tiers = _by_tier(rows, metric, FEWEST_IN_PAIR)
    pairs = list(itertools.combinations(tiers, 2))
    found = [mann_whitney(tiers[one], tiers[other]) for one, other in pairs]
    raw = [test.p for test in found if not isinstance(test, Unknown)]
    corrected = iter(zip(holm(raw), benjamini_hochberg(raw), strict=True))
    for (one, other), test in zip(pairs, found, strict=True):
        sizes = {"n1": len(tiers[one]), "n2": len(tiers[other])}
        line = {**place, "metric": metric, "tier1": one, "tier2": other, **sizes}
        if isinstance(test, Unknown):
            yield {**line, "reason": test.reason}
            continue
        strict, loose = next(corrected)
        yield {
            **line,
            "u_statistic": test.statistic,
            "p_value_raw": test.p,
            "p_value": strict,
            "p_value_bh": loose,
            "is_significant": strict < ALPHA,
        }


def _effects(group: Group, metric: str) -> Iterator[dict[str, Any]]:
    """How far the later of two tiers is above the earlier one."""
    from ..statistics.inference import FEWEST_IN_PAIR, cliffs_delta

    place, rows = group
    tiers = _by_tier(rows, metric, FEWEST_IN_PAIR)
    for one, other in itertools.combinations(tiers, 2):
        line = {**place, "metric": metric, "tier1": one, "tier2": other}
        found = cliffs_delta(tiers[other], tiers[one])
        if isinstance(found, Unknown):
            yield {**line, "reason": found.reason}
        elif isinstance(found.interval, Unknown):
            yield {**line, "cliffs_delta": found.delta, "reason": found.interval.reason}
        else:
            low, high = found.interval
            significant = low > 0 or high < 0
            bounds = {"ci_low": low, "ci_high": high, "is_significant": significant}
            yield {**line, "cliffs_delta": found.delta, **bounds}


def _correlation(group: Group, one: str, other: str) -> dict[str, Any]:
    from ..statistics.inference import spearman

    place, rows = group
    pairs = [(getattr(row, one), getattr(row, other)) for row in rows]
    known = [pair for pair in pairs if None not in pair]
    line = {**place, "metric1": one, "metric2": other, "n": len(known)}
    found = spearman([first for first, _ in known], [second for _, second in known])
    return {**line, **_outcome(found, "spearman_rho")}


def _interaction(rows: Sequence[Row], factor: str, metric: str) -> dict[str, Any]:
    """Whether tiers differ in the same way for every experiment, or every agent."""
    from ..statistics.inference import scheirer_ray_hare

    known = [(METRICS[metric](row), getattr(row, factor), row.tier) for row in rows]
    known = [line for line in known if line[0] is not None]
    name = "model" if factor == "agent_model" else factor
    line = {"factor1": name, "factor2": "tier", "metric": metric, "n": len(known)}
    values = [value for value, _, _ in known if value is not None]
    found = scheirer_ray_hare(values, [first for _, first, _ in known], [t for *_, t in known])
    if isinstance(found, Unknown):
        return {**line, "reason": found.reason}
    names = {"first": name, "second": "tier", "interaction": "interaction"}
    return {**line, "effects": {names[k]: _outcome(v, "h_statistic") for k, v in found.items()}}
