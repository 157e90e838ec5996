"""What a results directory says, level by level."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .. import __version__
from ..evaluation import Cell, best_cell, counted_result, latest_result
from ..results import AgentResult, JudgeVote, Judgment, RunFailure, RunResult, TokenStats
from ..statistics import (
    Unknown,
    consistency,
    cost_of_pass,
    deviation,
    implementation_rate,
    mean,
    median,
    pass_at_k,
    pass_hat_k,
    quantile,
    total,
    wilson,
)
from ..store import RunDir, digest, read_model
from ..tree import PHASES, ResultsTree

KS = (1, 2, 3, 5, 10)
"""Runs at once that pass@k and pass^k are given for, as far as there are as many."""


def link(to: Path, start: Path) -> str:
    """From the report of one level to the directory of another: relative, as links are written."""
    return Path(os.path.relpath(to, start)).as_posix()


@dataclass(frozen=True)
class RunSummary:
    """One run: its verdict, or why it has none."""

    number: int
    path: Path
    result: RunResult | None
    failure: RunFailure | None
    attempts: int
    """Executions in all; more than one marks a second chance."""
    cost_usd: float | None
    """USD of the execution that counts; also known for some runs without a verdict."""
    counts: str = "first"
    """Which judged attempt counts: the first, or the latest."""

    @property
    def name(self) -> str:
        """`run_NN`."""
        return f"run_{self.number:02d}"

    @cached_property
    def votes(self) -> tuple[JudgeVote, ...]:
        """The judge slots; items that ProjectScylla keeps in the slots alone are read there."""
        votes = self.result.judges if self.result else ()
        if self.attempts > 1 or any(vote.criteria_scores for vote in votes):
            return votes
        return tuple(self._with_items(vote) for vote in votes)

    def _with_items(self, vote: JudgeVote) -> JudgeVote:
        slot = RunDir(self.path).judge_slot(vote.judge_number)
        judgment = read_model(slot / "judgment.json", Judgment)
        items = judgment.criteria_scores if judgment else {}
        return vote.model_copy(update={"criteria_scores": items}) if items else vote

    @cached_property
    def implementation_rate(self) -> float | None:
        """Points achieved of those that could be: the median of the valid slots."""
        rates = [implementation_rate(vote.criteria_scores) for vote in self.votes if vote.is_valid]
        return median([rate for rate in rates if rate is not None])

    @cached_property
    def digest(self) -> str:
        """Of all that reports say of this run."""
        result = self.result.model_dump_json() if self.result else None
        failure = self.failure.model_dump_json() if self.failure else None
        votes = "" if self.result is None or self.votes == self.result.judges else str(self.votes)
        parts = [result, failure, self.attempts, self.counts, self.cost_usd, votes]
        return digest([__version__, self.number, *parts])


@dataclass(frozen=True)
class Figures:
    """Figures over some runs; what has no verdict is counted as an error and in no mean."""

    runs: tuple[RunSummary, ...]

    @cached_property
    def results(self) -> list[RunResult]:
        """The verdicts."""
        return [run.result for run in self.runs if run.result is not None]

    @property
    def judged(self) -> int:
        """Runs with a verdict."""
        return len(self.results)

    @property
    def passed(self) -> int:
        """Runs that passed."""
        return sum(result.judge_passed for result in self.results)

    @property
    def failed(self) -> int:
        """Runs that the judges turned down."""
        return self.judged - self.passed

    @property
    def repeated(self) -> tuple[RunSummary, ...]:
        """Runs with more than one execution."""
        return tuple(run for run in self.runs if run.attempts > 1)

    @property
    def errors(self) -> int:
        """Runs without a verdict."""
        return len(self.runs) - self.judged

    @property
    def pass_rate(self) -> float | None:
        """Passed of judged."""
        return self.passed / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the pass rate."""
        return wilson(self.passed, self.judged)

    @property
    def scores(self) -> list[float]:
        """Scores of the judged runs."""
        return [result.judge_score for result in self.results]

    @property
    def mean_score(self) -> float | None:
        """Mean score."""
        return mean(self.scores)

    @property
    def median_score(self) -> float | None:
        """Median score."""
        return median(self.scores)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the scores."""
        return deviation(self.scores)

    @property
    def consistency(self) -> float | None:
        """1 - standard deviation / mean of the scores, not below 0."""
        return consistency(self.scores)

    @cached_property
    def implementation_rates(self) -> list[float]:
        """Implementation rates of the judged runs that have one."""
        rates = [run.implementation_rate for run in self.runs if run.result is not None]
        return [rate for rate in rates if rate is not None]

    @property
    def implementation_deviation(self) -> float | None:
        """Standard deviation of the implementation rates."""
        return deviation(self.implementation_rates)

    def quartile(self, number: int) -> float | None:
        """Quartile 1, 2 or 3 of the scores, interpolated (type 7); None without scores."""
        return quantile(self.scores, number / 4)

    def pass_at_k(self, k: int) -> float | None:
        """Of the runs of one subtest: chance that one of `k` passes; None with fewer runs."""
        found = pass_at_k(self.passed, self.judged, k)
        return None if isinstance(found, Unknown) else found

    def pass_hat_k(self, k: int) -> float | None:
        """Of the runs of one subtest: chance that all of `k` pass; None with fewer runs."""
        found = pass_hat_k(self.passed, self.judged, k)
        return None if isinstance(found, Unknown) else found

    @cached_property
    def cost(self) -> float | None:
        """USD of all these runs, with those that have no verdict as far as it is known."""
        judged = [result.cost_usd for result in self.results]
        others = [run.cost_usd or 0.0 for run in self.runs if run.result is None]
        return total([*judged, *others])

    @property
    def list_differences(self) -> list[RunResult]:
        """Runs whose agent's own figure of its cost is more than 1 % off the price list."""
        return [result for result in self.results if result.list_difference is not None]

    @property
    def mean_cost(self) -> float | None:
        """USD of a judged run on average; None where a part is not known."""
        costs = total([result.cost_usd for result in self.results])
        return costs / self.judged if self.judged and costs is not None else None

    @property
    def cost_of_pass(self) -> float | None:
        """USD for each run that passed."""
        return cost_of_pass(self.cost, self.passed)

    @cached_property
    def tokens(self) -> TokenStats:
        """Tokens of the judged runs."""
        return sum((result.token_stats for result in self.results), TokenStats())

    @property
    def duration(self) -> float:
        """Seconds of agents and judges, added up."""
        return sum(result.duration_seconds for result in self.results)

    @property
    def durations(self) -> list[float]:
        """Seconds of agent and judges, of each judged run."""
        return [result.duration_seconds for result in self.results]

    @cached_property
    def digest(self) -> str:
        """Of all that reports say of these runs."""
        return digest([run.digest for run in self.runs])

    @property
    def grades(self) -> dict[str, int]:
        """Grade -> how many runs."""
        return dict(Counter(result.judge_grade for result in self.results))

    @property
    def modal_grade(self) -> str | None:
        """The grade of most runs."""
        return max(self.grades, key=lambda grade: self.grades[grade], default=None)


@dataclass(frozen=True)
class SubtestSummary:
    """The runs of a subtest."""

    id: str
    path: Path
    figures: Figures

    @property
    def runs(self) -> tuple[RunSummary, ...]:
        """Its runs, by number."""
        return self.figures.runs


@dataclass(frozen=True)
class TierSummary:
    """The subtests of a tier, and the best of them."""

    id: str
    name: str
    path: Path
    subtests: tuple[SubtestSummary, ...]
    best: SubtestSummary | None

    @property
    def above(self) -> str:
        """The way to the experiment's directory; in a tree with phases it is two up."""
        return "../.." if self.path.parent.name in PHASES else ".."

    @cached_property
    def figures(self) -> Figures:
        """Over all runs of the tier."""
        return Figures(tuple(run for subtest in self.subtests for run in subtest.runs))

    @cached_property
    def digest(self) -> str:
        """Of all that reports say of this tier."""
        subtests = [(subtest.id, subtest.figures.digest) for subtest in self.subtests]
        return digest([self.id, self.best.id if self.best else None, subtests])


@dataclass(frozen=True)
class ExperimentSummary:
    """An experiment: its tiers, the best of all set-ups, and the one that passes at the least
    cost."""

    id: str
    path: Path
    tiers: tuple[TierSummary, ...]
    agent: str = ""
    """The agent's model, or its adapter where it has none."""

    @property
    def agent_name(self) -> str:
        """Which of the experiment's several agents this is; empty where it has one."""
        return self.id.partition("/")[2]

    @cached_property
    def figures(self) -> Figures:
        """Over all runs of the experiment."""
        return Figures(tuple(run for tier in self.tiers for run in tier.figures.runs))

    @cached_property
    def digest(self) -> str:
        """Of all that derived files say; with it they name what they are made from."""
        tiers = [tier.digest for tier in self.tiers]
        return digest([__version__, self.id, self.agent, tiers])

    @cached_property
    def best(self) -> tuple[TierSummary, SubtestSummary] | None:
        """Of the tiers' best subtests the best one, chosen as each of them was in its tier."""
        of = {(tier.id, tier.best.id): (tier, tier.best) for tier in self.tiers if tier.best}
        cells = (Cell(*key, tuple(best.figures.results)) for key, (_, best) in of.items())
        found = best_cell(cells)
        return of[found.tier, found.subtest] if found else None

    @cached_property
    def cheapest(self) -> tuple[TierSummary, SubtestSummary] | None:
        """Of all subtests the one with the lowest cost of pass; then the higher median score, then
        the earlier one. Without any known cost of pass: the highest median score."""
        judged = [(t, s) for t in self.tiers for s in t.subtests if s.figures.judged]
        return min(judged, key=lambda place: rank(place[1]), default=None)

    @property
    def frontier(self) -> float | None:
        """USD: the lowest cost of pass of the tiers' best subtests."""
        found = [t.best.figures.cost_of_pass for t in self.tiers if t.best is not None]
        return min((cost for cost in found if cost is not None), default=None)


def rank(subtest: SubtestSummary) -> tuple[float, float]:
    """By the least cost of pass, then by the highest median score."""
    cost = subtest.figures.cost_of_pass
    return (float("inf") if cost is None else cost, -(subtest.figures.median_score or 0.0))


def summarise(results: Path, *, latest: bool = False) -> ExperimentSummary:
    """Read a results directory.

    Of a run with several attempts the first judged one counts, or with `latest` the latest. The
    best subtests are those of the first ones all the same: that is what other tiers inherit.
    """
    tree = ResultsTree(results)
    there = tree.tiers()
    tiers = [tier for tier in tree.config.get("tiers_to_run") or there if tier in there]
    return ExperimentSummary(
        id=tree.experiment_id,
        path=results,
        tiers=tuple(_tier(tree, tier, latest) for tier in tiers),
        agent=str(next(iter(tree.config.get("models") or ()), "")),
    )


def _tier(tree: ResultsTree, tier: str, latest: bool) -> TierSummary:
    runs = {name: tree.runs(tier, name) for name in tree.subtests(tier)}
    subtests = tuple(
        SubtestSummary(
            name,
            tree.subtest(tier, name),
            Figures(tuple(summarise_run(run, latest=latest) for run in there)),
        )
        for name, there in runs.items()
    )
    best = best_cell(_cell(tier, subtest, runs[subtest.id], latest) for subtest in subtests)
    return TierSummary(
        id=tier,
        name=tier,
        path=tree.tier(tier),
        subtests=tuple(s for s in subtests if s.runs),
        best=next((s for s in subtests if best and s.id == best.subtest), None),
    )


def _cell(tier: str, subtest: SubtestSummary, runs: Sequence[RunDir], latest: bool) -> Cell:
    results = subtest.figures.results
    if latest and subtest.figures.repeated:
        results = [result for run in runs if (result := counted_result(run))]
    return Cell(tier, subtest.id, tuple(results))


def summarise_run(run: RunDir, *, latest: bool = False) -> RunSummary:
    """Read a run directory; `latest`: which attempt counts."""
    attempts = run.attempt_numbers()
    result = latest_result(run) if latest else counted_result(run)
    return RunSummary(
        number=run.number,
        path=run.path,
        result=result,
        failure=None if result else read_model(run.error, RunFailure),
        attempts=len(attempts) + 1,
        counts="latest" if latest else "first",
        cost_usd=result.cost_usd if result else _unjudged_cost(run),
    )


def _unjudged_cost(run: RunDir) -> float | None:
    """USD of a run without a verdict: of its agent, and of the judgments that were not enough."""
    agent = read_model(run.agent_result, AgentResult)
    if agent is None:
        return None
    slots = [run.judge_slot(number) / "judgment.json" for number in run.slot_numbers()]
    judged = [read_model(path, Judgment) for path in slots]
    return total([agent.cost_usd, *(judgment.cost_usd for judgment in judged if judgment)])
