"""What a results directory says, level by level."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from .. import __version__
from ..consensus import graded
from ..evaluation import Cell, best_cell, counted_result, latest_result
from ..results import (
    AgentResult,
    AskedInputs,
    JudgeVote,
    Judgment,
    RunFailure,
    RunResult,
    TokenStats,
)
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
from ..store import RunDir, digest, read_json, read_model
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
    stale: bool = False
    """Its verdict was made from other inputs than are asked for now: it counts nowhere."""

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
        valid = graded([vote for vote in self.votes if vote.is_valid])
        rates = [implementation_rate(vote.criteria_scores) for vote in valid]
        return median([rate for rate in rates if rate is not None])

    @cached_property
    def digest(self) -> str:
        """Of all that reports say of this run."""
        result = self.result.model_dump_json() if self.result else None
        failure = self.failure.model_dump_json() if self.failure else None
        votes = "" if self.result is None or self.votes == self.result.judges else str(self.votes)
        parts = [result, failure, self.attempts, self.counts, self.cost_usd, votes]
        return digest([__version__, self.number, *parts, *([True] if self.stale else [])])


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
    stale: tuple[RunSummary, ...] = ()
    """Its runs that count nowhere: made from other inputs than are asked for now."""

    @property
    def runs(self) -> tuple[RunSummary, ...]:
        """Its runs that count, by number."""
        return self.figures.runs

    @cached_property
    def digest(self) -> str:
        """Of all that reports say of this subtest."""
        stale = [run.digest for run in self.stale]
        return digest([self.figures.digest, stale]) if stale else self.figures.digest


@dataclass(frozen=True)
class TierSummary:
    """The subtests of a tier, and the best of them."""

    id: str
    name: str
    path: Path
    subtests: tuple[SubtestSummary, ...]
    best: SubtestSummary | None
    left_out: tuple[SubtestSummary, ...] = ()
    """Subtests of which no run counts: all are stale, or they are no longer in the experiment."""

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
        subtests = [(subtest.id, subtest.digest) for subtest in self.all_subtests]
        return digest([self.id, self.best.id if self.best else None, subtests])

    @property
    def all_subtests(self) -> tuple[SubtestSummary, ...]:
        """Those with runs that count, and those without."""
        return (*self.subtests, *self.left_out)


@dataclass(frozen=True)
class ExperimentSummary:
    """An experiment: its tiers, the best of all set-ups, and the one that passes at the least
    cost."""

    id: str
    path: Path
    tiers: tuple[TierSummary, ...]
    agent: str = ""
    """The agent's model, or its adapter where it has none."""
    left_out: tuple[TierSummary, ...] = ()
    """Tiers of which no run counts."""

    @cached_property
    def stale(self) -> dict[str, int]:
        """`<tier>/<subtest>` -> how many of its runs are stale, and count nowhere."""
        return {
            f"{tier.id}/{subtest.id}": len(subtest.stale)
            for tier in (*self.tiers, *self.left_out)
            for subtest in tier.all_subtests
            if subtest.stale
        }

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
        tiers = [tier.digest for tier in (*self.tiers, *self.left_out)]
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
    best subtests are those of the first ones all the same: that is what other tiers inherit. Stale
    results, as far as it is known what is asked (config/asked.json), count nowhere.
    """
    tree = ResultsTree(results)
    there = tree.tiers()
    asked = read_model(results / "config" / "asked.json", AskedInputs)
    best: dict[str, str] = {}
    tiers = []
    for tier in tree.config.get("tiers_to_run") or there:
        if tier in there:
            found = _tier(tree, tier, Counting(latest, asked, best))
            tiers.append(found)
            best.update({tier: found.best.id} if found.best else {})
    return ExperimentSummary(
        id=tree.experiment_id,
        path=results,
        tiers=tuple(tier for tier in tiers if tier.subtests or not tier.left_out),
        agent=str(next(iter(tree.config.get("models") or ()), "")),
        left_out=tuple(tier for tier in tiers if tier.left_out and not tier.subtests),
    )


@dataclass(frozen=True)
class Counting:
    """What decides which results of a directory count."""

    latest: bool
    asked: AskedInputs | None
    """None: it is not known what is asked, and all results count."""
    best: Mapping[str, str]
    """Tier -> its best subtest, of the tiers before."""

    def is_stale(self, tree: ResultsTree, setup: str, result: RunResult | None) -> bool:
        """A verdict of a set-up (`<tier>/<subtest>`) is not one of what is asked now."""
        if result is None or self.asked is None:
            return False
        if not self.asked.accepts(setup, result.inputs):
            return True
        return self.asked.setups[setup] is None and self._has_other_parents(tree, setup)

    def _has_other_parents(self, tree: ResultsTree, setup: str) -> bool:
        """It inherited from subtests that are not the best of their tiers any more."""
        manifest = read_json(tree.subtest(*setup.split("/", 1)) / "config_manifest.json") or {}
        parents = manifest.get("inherited_from") or {}
        return any(self.best.get(tier, one) != one for tier, one in parents.items())


def _tier(tree: ResultsTree, tier: str, counting: Counting) -> TierSummary:
    runs = {name: tree.runs(tier, name) for name in tree.subtests(tier)}
    subtests = [_subtest(tree, tier, name, runs[name], counting) for name in runs]
    best = best_cell(_cell(tier, subtest, counting) for subtest in subtests)
    return TierSummary(
        id=tier,
        name=tier,
        path=tree.tier(tier),
        subtests=tuple(s for s in subtests if s.runs),
        best=next((s for s in subtests if best and s.id == best.subtest), None),
        left_out=tuple(s for s in subtests if s.stale and not s.runs),
    )


def _subtest(
    tree: ResultsTree, tier: str, name: str, runs: Sequence[RunDir], counting: Counting
) -> SubtestSummary:
    found = [summarise_run(run, latest=counting.latest) for run in runs]
    found = [
        replace(run, stale=True) if counting.is_stale(tree, f"{tier}/{name}", run.result) else run
        for run in found
    ]
    figures = Figures(tuple(run for run in found if not run.stale))
    stale = tuple(run for run in found if run.stale)
    return SubtestSummary(name, tree.subtest(tier, name), figures, stale)


def _cell(tier: str, subtest: SubtestSummary, counting: Counting) -> Cell:
    results = subtest.figures.results
    if counting.latest and subtest.figures.repeated:
        runs = [RunDir(run.path) for run in subtest.runs]
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
