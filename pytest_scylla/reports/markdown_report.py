"""report.md at every level: the same figures as report.json, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..columns import counted
from ..errors import ScyllaError
from ..results import CHECKS_BASELINE, CategoryScore, JudgeVote, PipelineResult, TriedChecks
from ..rounding import rounded
from ..rubric import load_rubric
from ..scoring import item_weights
from ..statistics import mean, wilson
from ..store import read_model
from .comparison import Comparison
from .panel import PanelFigures, own_totals
from .spending import Spending
from .summary import (
    KS,
    ExperimentSummary,
    Figures,
    RunSummary,
    SubtestSummary,
    TierSummary,
    link,
)
from .text import fenced, linked, markdown, quoted

NONE = "–"


def number(value: float | None, digits: int = 3) -> str:
    """A figure with a fixed number of decimals; a dash where there is none."""
    return NONE if value is None else rounded(value, digits)


def money(value: float | None) -> str:
    """USD with four decimals."""
    return NONE if value is None else f"${rounded(value, 4)}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: with its sign."""
    return NONE if value is None else rounded(value, digits, "+")


def percent(value: float) -> str:
    """A share, in whole percent."""
    return f"{rounded(100 * value, 0)}%"


def rate(figures: Figures) -> str:
    """Pass rate with its 95 % interval, in percent."""
    return rate_of(figures.passed, figures.judged)


def rate_of(passed: int, judged: int) -> str:
    """The same, of so many runs."""
    limits = wilson(passed, judged)
    if limits is None:
        return NONE
    return f"{percent(passed / judged)} [{percent(limits[0])}–{percent(limits[1])}]"


def says(name: str, figures: Figures, decided: bool = False) -> str:
    """What the set-up with the cheapest pass is, in the same words everywhere."""
    if not figures.passed:
        score = number(figures.median_score)
        return f"No set-up has passed yet; highest median score so far: {name}, {score}"
    cost = figures.cost_of_pass
    what = f"{number(figures.median_score)}" if cost is None else money(cost)
    if decided:
        return f"Adopt: {name}, {what}"
    return f"{'Highest median score' if cost is None else 'Cheapest pass'} so far: {name}, {what}"


def leading(experiment: ExperimentSummary) -> str:
    """The same of an experiment, without any test of its surety; empty without a verdict."""
    if experiment.cheapest is None:
        return ""
    tier, subtest = experiment.cheapest
    return says(f"{tier.id}/{subtest.id}", subtest.figures)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(markdown, line)) + " |" for line in lines) + "\n"


def run_report(run: RunSummary) -> str:
    """One run."""
    parts = [f"# {run.name}\n", "[subtest](../report.md)\n"]
    result = run.result
    if result is None:
        reason = run.failure.message if run.failure else "it has not run to its end"
        kind = f" ({markdown(run.failure.kind)})" if run.failure else ""
        parts += [f"**No verdict**{kind}: this run counts in no score.\n", fenced(reason)]
    else:
        word = "passed" if result.judge_passed else "failed"
        if run.stale:
            parts.append("**Stale**: made from other inputs than the experiment has now.\n")
        parts += [
            f"**{word}**, score {number(result.judge_score)} (grade {result.judge_grade}"
            + (f", threshold {result.pass_threshold:g}" if result.pass_threshold else "")
            + f"), cost {money(result.cost_usd)}\n",
            quoted(result.judge_reasoning),
            table(
                ["judge", "model", "score", "passed", "grade", "own total", "own vote", "cost"],
                [_judge(vote) for vote in result.judges],
            ),
            _criteria(run),
            _pipeline(run),
        ]
        if result.list_difference is not None:
            parts.append(
                f"The agent says that it cost {money(result.agent_cost_usd)}; by the price list it "
                f"is {money(result.agent_list_cost_usd)} ({result.list_difference:+.1%}).\n"
            )
        if result.timed_out:
            parts.append("The agent reached its limit and was judged on what it left.\n")
        if result.tampering:
            files = ", ".join(markdown(name) for name in result.tampering)
            parts.append(f"**Tampering**: left above the workspace and set aside: {files}\n")
    if run.attempts > 1:
        parts.append(
            f"**{run.attempts} executions**; the {run.counts} judged one counts "
            "(earlier ones: `attempts/`)\n"
        )
    links = [f"[{name}]({file})" for name, file in FILES.items() if (run.path / file).exists()]
    if links:
        parts.append(f"Files: {', '.join(links)}\n")
    return "\n".join(parts)


FILES = {
    "answer": "agent/output.txt",
    "patch": "agent/changes.patch",
    "stdout": "agent/stdout.log",
    "stderr": "agent/stderr.log",
    "replay": "agent/replay.sh",
}
"""What a run's page links to, where it is there."""


def _vote(passed: bool | None) -> str:
    return NONE if passed is None else ("passed" if passed else "failed")


def _pipeline(run: RunSummary) -> str:
    """The pipeline's steps, and what is different from before the agent."""
    result = read_model(run.path / "pipeline.json", PipelineResult)
    if result is None:
        return ""
    rows = [
        [s.name, s.status.replace("_", " "), f"{number(s.duration_seconds, 1)} s"]
        for s in result.steps
    ]
    found = "".join(f"- {markdown(line)}\n" for line in result.findings(most=100))
    return f"{table(['step', 'status', 'duration'], rows)}\n{found}"


def _judge(vote: JudgeVote) -> list[str]:
    """The row of a judge slot."""
    if not vote.asked:
        score = "not asked"
    else:
        score = number(vote.score) if vote.score is not None else f"not valid: {vote.error or ''}"
    return [
        str(vote.judge_number),
        vote.model,
        score,
        _vote(vote.passed),
        vote.grade or NONE,
        number(vote.own_score),
        _vote(vote.own_passed),
        money(vote.cost_usd) if vote.asked else NONE,
    ]


def _criteria(run: RunSummary) -> str:
    """The items of the slot nearest the score, and the share of the score that each decides."""
    assert run.result is not None
    weights = _weights(run, run.result.criteria_scores)
    rows = [
        [name, id, str(item.achieved), str(item.max), number(weights.get(id)), item.reason]
        for name, category in run.result.criteria_scores.items()
        for id, item in category.items.items()
    ]
    head = ["category", "item", "achieved", "max", "weight", "reason"]
    return table(head, rows) if rows else ""


def _weights(run: RunSummary, categories: Mapping[str, CategoryScore]) -> dict[str, float]:
    """By the rubric that the run was judged by; nothing where it is gone or another one now."""
    try:
        rubric = load_rubric(run.path.parents[2] / "rubric.yaml")
    except (ScyllaError, IndexError):
        return {}
    ids = {id for category in categories.values() for id in category.items}
    if ids != {item.id for item in rubric.items()}:
        return {}
    left_out = {id for category in categories.values() for id in category.na_items}
    return item_weights(rubric, left_out)


def subtest_report(subtest: SubtestSummary, tier: str) -> str:
    """One subtest."""
    rows = [
        [
            linked(
                run.name,
                f"{link(run.path, subtest.path)}/report.md",
                " ↻" if run.attempts > 1 else "",
            ),
            number(run.result.judge_score) if run.result else NONE,
            run.result.judge_grade if run.result else NONE,
            outcome(run),
            money(run.cost_usd),
            f"{number(run.result.duration_seconds, 1)} s" if run.result else NONE,
            f"{run.result.token_stats.total:,}" if run.result else NONE,
        ]
        for run in subtest.runs
    ]
    head = ["run", "score", "grade", "verdict", "cost", "duration", "tokens"]
    return (
        f"# {markdown(tier)} / {markdown(subtest.id)}\n\n"
        f"[tier](../report.md) · [what it puts into the workspace]"
        f"(config_manifest.json)\n\n{_figures(subtest.figures)}\n{table(head, rows)}"
        "\n↻: more than one execution.\n"
        f"{_several(subtest.figures)}" + _stale_runs(subtest)
    )


def _stale_runs(subtest: SubtestSummary) -> str:
    names = ", ".join(run.name for run in subtest.stale)
    return f"\nStale, and left out: {names}.\n" if names else ""


def outcome(run: RunSummary) -> str:
    """`passed` or `failed`; `error` with its kind, or `not finished`, without a verdict."""
    if run.result is not None:
        return _vote(run.result.judge_passed)
    return f"error: {run.failure.kind}" if run.failure else "not finished"


def tier_report(tier: TierSummary) -> str:
    """One tier."""
    rows = [
        [
            linked(
                s.id,
                f"{link(s.path, tier.path)}/report.md",
                " ★" if tier.best and s.id == tier.best.id else "",
            ),
            *row(s.figures),
        ]
        for s in tier.subtests
    ]
    return (
        f"# {markdown(tier.id)}\n\n[experiment]({tier.above}/report.md)\n\n"
        f"{_figures(tier.figures)}\n"
        f"{table(['subtest', *HEAD], rows)}\n★: the best subtest, which others inherit.\n"
    )


def experiment_report(
    experiment: ExperimentSummary,
    money_spent: Spending,
    panel: PanelFigures,
    surety: str = "",
    against: Comparison | None = None,
) -> str:
    """The whole experiment; `surety` says which set-up leads and how sure its differences are,
    `against` what became of earlier results."""
    rows = [
        [
            linked(tier.id, f"{link(tier.path, experiment.path)}/report.md"),
            *row(tier.figures),
            _best_link(tier, experiment),
        ]
        for tier in experiment.tiers
    ]
    up = "[all agents](../report.md)\n\n" if experiment.agent_name else ""
    return (
        f"# {markdown(experiment.id)}\n\n{up}{_note(stale(experiment))}"
        f"{_figures(experiment.figures)}\n"
        f"{table(['tier', *HEAD, 'best'], rows)}\n{surety}"
        f"Spent so far, over all sessions and attempts: {money_spent}.\n"
        f"{_list_differences(experiment.figures)}"
        f"{_given_points(experiment)}{judges(panel)}"
        + (against_baseline(against.verdict, against.table, against.notes) if against else "")
    )


def _note(text: str) -> str:
    return f"**{markdown(text.strip())}**\n\n" if text else ""


def _given_points(experiment: ExperimentSummary) -> str:
    given = untouched(experiment)
    return f"\nNote: {given}. An agent that does nothing gets as much.\n" if given else ""


def untouched(experiment: ExperimentSummary) -> str:
    """What the task's untouched files score already; nothing where that is nothing."""
    tried = read_model(experiment.path / CHECKS_BASELINE, TriedChecks)
    return tried.given if tried else ""


def against_baseline(verdict: str, lines: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """A session's results against earlier ones: the verdict, the tiers, what else is to be known.

    `lines`: head and a line for each tier.
    """
    head, *rows = lines
    listed = "".join(f"- {markdown(note.strip())}\n" for note in notes)
    tiers = f"{table(head, rows)}\n" if rows else ""
    return f"\n## Against the baseline\n\n**{markdown(verdict)}**\n\n{tiers}{listed}"


SEATS = ["judge", "model", "asked", "valid", "not asked", "mean score", "cost", "each"]


def seat_rows(panel: PanelFigures) -> list[list[str]]:
    """The figures under SEATS, as text."""
    return [
        [
            str(seat.number),
            seat.models,
            str(len(seat.asked)),
            str(len(seat.valid)),
            str(seat.not_asked),
            number(seat.mean_score),
            money(seat.cost_usd),
            money(seat.mean_cost_usd),
        ]
        for seat in panel.seats
    ]


def judges(panel: PanelFigures) -> str:
    """What the judges gave and cost, and how far they agree."""
    if not panel.seats:
        return ""
    parts = [f"\n## Judges\n\n{table(SEATS, seat_rows(panel))}"]
    pairs = [
        [
            f"{pair.slots[0]} and {pair.slots[1]}",
            str(pair.runs),
            number(pair.mean_difference),
            percent(pair.same_verdict),
        ]
        for pair in panel.pairs
    ]
    if pairs:
        parts.append(table(["judges", "runs", "mean difference", "same verdict"], pairs))
        parts.append(
            f"Krippendorff's alpha: {number(panel.alpha_scores())} of the scores (interval), "
            f"{number(panel.alpha_passes())} of passed or failed (nominal).\n"
        )
    if panel.saved_calls:
        parts.append(
            f"Two judges agreed before the others were asked: {panel.saved_calls} judgments saved, "
            f"{money(panel.saved_usd)} at the mean cost of their slots.\n"
        )
    arithmetic = own_totals(panel.seats)
    if arithmetic:
        parts.append(f"{arithmetic[0].upper()}{arithmetic[1:]}.\n")
    against = sum(vote is False for seat in panel.seats for vote in seat.own_votes)
    if against:
        parts.append(f"In {against} judgments the judge's own vote is not what its score says.\n")
    return "\n".join(parts)


def agents_report(agents: Sequence[ExperimentSummary]) -> str:
    """The agents of an experiment side by side: all their runs, and tier by tier."""
    rows = [
        [
            linked(one.agent_name, f"{one.agent_name}/report.md"),
            *row(one.figures),
            best_set_up(one),
        ]
        for one in agents
    ]
    tiers = [
        [
            linked(tier.id, f"{one.agent_name}/{tier.id}/report.md"),
            one.agent_name,
            *row(tier.figures),
        ]
        for one, tier in by_tier(agents)
    ]
    return (
        f"# {agents[0].id.partition('/')[0]}\n\n{table(['agent', *HEAD, 'best'], rows)}\n"
        f"## Tier by tier\n\n{table(['tier', 'agent', *HEAD], tiers)}"
    )


def by_tier(agents: Sequence[ExperimentSummary]) -> list[tuple[ExperimentSummary, TierSummary]]:
    """The tiers of all agents: every tier beside that of the other agents."""
    names = dict.fromkeys(tier.id for one in agents for tier in one.tiers)
    return [
        (one, tier) for name in names for one in agents for tier in one.tiers if tier.id == name
    ]


def best_set_up(experiment: ExperimentSummary) -> str:
    """The best subtest of all tiers: `T0/00-empty`."""
    if experiment.best is None:
        return NONE
    tier, subtest = experiment.best
    return f"{tier.id}/{subtest.id}"


def _list_differences(figures: Figures) -> str:
    found = figures.list_differences
    if not found:
        return ""
    own = sum(result.agent_cost_usd or 0.0 for result in found)
    listed = sum(result.agent_list_cost_usd or 0.0 for result in found)
    return (
        f"\nIn {len(found)} of {figures.judged} runs the agent's own figure of its cost is more "
        f"than 1 % off the price list: together {money(own)}, by the list {money(listed)}.\n"
    )


def _best_link(tier: TierSummary, experiment: ExperimentSummary) -> str:
    best = tier.best
    return linked(best.id, f"{link(best.path, experiment.path)}/report.md") if best else NONE


HEAD = ["runs", "passed", "failed", "errors", "pass rate", "mean score", "cost", "cost of pass"]


def row(figures: Figures) -> list[str]:
    """The figures under HEAD, as text."""
    return [
        str(len(figures.runs)),
        str(figures.passed),
        str(figures.failed),
        str(figures.errors),
        rate(figures),
        number(figures.mean_score),
        money(figures.cost),
        money(figures.cost_of_pass),
    ]


def _figures(figures: Figures) -> str:
    return (
        f"{figures.passed} of {figures.judged} judged runs passed ({rate(figures)}); "
        f"{figures.errors} without a verdict. Mean score {number(figures.mean_score)}, "
        f"cost {money(figures.cost)}, cost of pass {money(figures.cost_of_pass)}, "
        f"{figures.tokens.total:,} tokens.\n\n{_spread(figures)}" + repeated(figures)
    )


def _spread(figures: Figures) -> str:
    rate, seconds = mean(figures.implementation_rates), mean(figures.durations)
    return (
        f"Median score {number(figures.median_score)}, deviation {number(figures.deviation)}, "
        f"consistency {number(figures.consistency)}, implementation rate {number(rate)}; "
        f"a run costs {money(figures.mean_cost)} and takes {number(seconds, 1)} s.\n"
    )


def _several(figures: Figures) -> str:
    """Of a subtest: the chance that one of k runs passes, and that all of them do."""
    rows = [
        [str(k), number(figures.pass_at_k(k)), number(figures.pass_hat_k(k))]
        for k in KS
        if 1 < k <= figures.judged
    ]
    return f"\n{table(['runs at once', 'one passes', 'all pass'], rows)}" if rows else ""


def stale(experiment: ExperimentSummary) -> str:
    """Says which results count nowhere, for they were made from other inputs; nothing where there
    are none."""
    if not experiment.stale:
        return ""
    number = sum(experiment.stale.values())
    named = [f"{name} {count}" for name, count in list(experiment.stale.items())[:MOST_NAMED]]
    more = len(experiment.stale) - len(named)
    where = ", ".join(named) + (f" and {more} more set-ups" if more else "")
    return (
        f"{counted(number, 'stale run')} left out ({where}): made from other inputs than the "
        "experiment has now, or no longer in it; rerun the same command to replace them.\n"
    )


MOST_NAMED = 6
"""Set-ups whose stale runs are named one by one."""


def repeated(figures: Figures) -> str:
    """Says where runs had more than one execution, and which of them counts."""
    runs = figures.repeated
    if not runs:
        return ""
    had = f"{len(runs)} run{'s' if len(runs) > 1 else ''} had more than one execution"
    which = f"the {runs[0].counts} judged one counts, of those from the newest inputs"
    return f"↻ {had}: {which}.\n"
