"""What a session is going to do, and what that will cost, take and need; before anything is done.

The sum of n executions that are like m earlier ones, with mean x and deviation s, is taken to be
normal, with mean n·x and variance s²·n·(1 + n/m): they differ among each other, and x is itself
only known from m. (Hahn and Meeker, Statistical Intervals, Wiley 1991, chapter 4: prediction
of the mean of future observations.) s is larger by what Student's t is above the normal quantile
for m - 1 degrees of freedom (Abramowitz and Stegun, 26.7.5). p50 is the mean, p90 is 1.2816
deviations above it. With one earlier execution, or an assumption, s is taken to be as large as x.
"""

from __future__ import annotations

import heapq
import math
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ScyllaError
from .evaluation import Evaluation, Run
from .experiment import Experiment
from .history import ASSUMED, ASSUMED_PROMPT, History, Sample, assumed_cost, assumed_tokens
from .plan import Plan, Spec
from .prices import PriceList
from .stagewise import outlook

Z90 = 1.2816
"""The 90 % quantile of the standard normal distribution."""

ASSUMED_SECONDS = {"agent": 60.0, "judge": 5.0}
"""Of one run of an agent and of one judgment, where nothing is known of earlier ones."""

SAMPLED_RUNS = 5
"""How many earlier runs are measured for the size of one."""

Cell = tuple[str, str, str]
"""Tier, subtest, stage (`agent` or `judge_NN`)."""


@dataclass(frozen=True)
class Sum:
    """A sum that is not known yet."""

    mean: float = 0.0
    variance: float = 0.0

    @property
    def p50(self) -> float:
        """As likely to be above as below."""
        return self.mean

    @property
    def p90(self) -> float:
        """Above it one time in ten."""
        return self.mean + Z90 * math.sqrt(self.variance)

    def __add__(self, other: Sum) -> Sum:
        """Both together; they must not rest on the same earlier executions."""
        return Sum(self.mean + other.mean, self.variance + other.variance)


def sum_of(number: int, like: Sequence[float]) -> Sum:
    """The sum of `number` values that are like earlier ones (at least one)."""
    mean = statistics.fmean(like)
    deviation = mean
    if len(like) > 1:
        deviation = statistics.stdev(like) * _student(len(like) - 1) / Z90
    return Sum(number * mean, deviation**2 * number * (1 + number / len(like)))


def _student(degrees: int) -> float:
    """The 90 % quantile of Student's t."""
    z = Z90
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )


@dataclass(frozen=True)
class Basis:
    """What a forecast for an experiment rests on."""

    history: History
    assumed_usd: Callable[[str], float]
    """Stage -> USD, where there is no history of it."""

    def usd(self, cells: Mapping[Cell, int]) -> Sum:
        """USD of so many executions of each cell."""
        return self._sum(cells, lambda sample: sample.usd, self.assumed_usd)

    def tokens(self, cells: Mapping[Cell, int]) -> Sum:
        """Tokens of so many executions of each cell."""
        return self._sum(cells, lambda sample: sample.tokens, self._assumed_tokens)

    def _assumed_tokens(self, stage: str) -> float:
        return assumed_tokens(stage).total if self.assumed_usd(stage) else 0.0

    def seconds(self, cell: Cell) -> float:
        """Seconds of one execution, in the mean."""
        sample = self.history.sample(*cell)
        if sample and sample.seconds:
            return statistics.fmean(sample.seconds)
        return ASSUMED_SECONDS["agent" if cell[2] == "agent" else "judge"]

    def _sum(
        self,
        cells: Mapping[Cell, int],
        of: Callable[[Sample], tuple[float, ...]],
        assumed: Callable[[str], float],
    ) -> Sum:
        """Cells that rest on the same earlier executions are one sum: they err together."""
        together: Counter[str] = Counter()
        like: dict[str, tuple[float, ...]] = {}
        for (tier, subtest, stage), number in cells.items():
            sample = self.history.sample(tier, subtest, stage)
            values = of(sample) if sample else ()
            key = f"{id(sample)}" if values else f"assumed {stage}"
            like[key] = values or (assumed(stage),)
            together[key] += number
        return sum((sum_of(number, like[key]) for key, number in together.items()), Sum())


# -- what is going to be done ----------------------------------------------------------------------


@dataclass(frozen=True)
class Todo:
    """What a session does for one run."""

    run: Run
    kind: str
    """`cached`, `to run` or `to judge`."""
    stale: bool = False
    """It was complete, and an input has changed."""
    reason: str = ""
    stages: tuple[str, ...] = ()
    """What is executed: `agent`, `judge_NN`."""

    @property
    def cells(self) -> list[Cell]:
        """The stages with their place."""
        return [(self.run.subtest.tier, self.run.subtest.id, stage) for stage in self.stages]


JUDGED_TOO = ("report", "judge", None)
"""Values of --scylla-until that leave the judges in."""


def todo(run: Run) -> Todo:
    """What a session does for a run, by the outlook on its stages."""
    if run.replayed is not None:
        return Todo(run, "cached")
    try:
        again = [line for line in outlook(run) if line.todo]
    except ScyllaError as error:
        return Todo(run, "to run", reason=str(error).splitlines()[0])
    stages = [line.stage for line in again if line.stage == "agent"]
    if run.asked.until in JUDGED_TOO:
        asked = [line for line in again if line.stage.startswith("judge_")]
        stages += [line.stage for line in asked if not line.free]
    first = next((line for line in again if line.stage != "workspace"), None)
    if first is None:  # another session has finished it meanwhile
        return Todo(run, "cached")
    return Todo(
        run=run,
        kind="to run" if "agent" in stages else "to judge",
        stale=run.dir.run_result.exists() and first.reason.startswith("changed"),
        reason=f"{first.stage}: {first.reason}",
        stages=tuple(stages),
    )


def basis(evaluation: Evaluation) -> Basis:
    """What is known of an experiment's cost before it is run."""

    def assumed(stage: str) -> float:
        judge = evaluation.agent if stage == "agent" else evaluation.judges[int(stage[6:]) - 1]
        return evaluation.assumed_cost(stage) if judge.paid else 0.0

    return Basis(evaluation.history, assumed)


PAID = ("command", "anthropic", "claude-code", "codex", "opencode")
"""Adapters that cost money unless their options say otherwise."""


def basis_of(experiment: Experiment, history: History, prices: PriceList) -> Basis:
    """The same, for those who know experiment.yaml alone: an adapter's own word on whether it is
    paid is not asked."""
    settings, limit = experiment.settings, experiment.task.max_cost_usd

    def assumed(stage: str) -> float:
        adapter = settings.agent if stage == "agent" else settings.judges[int(stage[6:]) - 1]
        model = adapter.options.get("model")
        if not adapter.options.get("paid", model is not None or adapter.adapter in PAID):
            return 0.0
        return assumed_cost(stage, model, prices, limit)

    return Basis(history, assumed)


def cells_of(todos: Iterable[Todo]) -> Counter[Cell]:
    """How often each cell is executed."""
    return Counter(cell for one in todos for cell in one.cells)


# -- how long it takes -----------------------------------------------------------------------------


def duration(specs: Iterable[Spec], seconds: Mapping[str, float], workers: int) -> float:
    """Seconds that the plan takes with so many workers, each item as long as `seconds` says."""
    plan, now = Plan(specs), 0.0
    busy: list[tuple[float, str]] = []
    while not plan.done:
        while len(busy) < workers and (id := plan.next()) is not None:
            heapq.heappush(busy, (now + seconds.get(id, 0.0), id))
        if not busy:
            break
        now, id = heapq.heappop(busy)
        plan.finish(id)
    return now


# -- what it needs on the disk ---------------------------------------------------------------------


def size_of_a_run(evaluation: Evaluation) -> tuple[float, str] | None:
    """Bytes of one run, and where that is from: earlier runs, else the source's files."""
    sizes: list[int] = []
    for _, _, run in evaluation.tree.all_runs():
        if run.run_result.exists():
            sizes.append(_size(run.path))
        if len(sizes) == SAMPLED_RUNS:
            break
    if sizes:
        return statistics.fmean(sizes), f"as {len(sizes)} earlier runs"
    source = Path(evaluation.experiment.task.directory, evaluation.experiment.task.source.repo)
    if not source.is_dir():
        return None
    return _size(source, ignored=".git"), "the size of the source, without what agents add"


def _size(folder: Path, ignored: str = "") -> int:
    """Bytes on the disk."""
    found = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ignored]
        for name in names:
            try:
                found += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return found


# -- in words --------------------------------------------------------------------------------------

LONGEST = 8
"""Reasons that get a line of their own."""

HEAD = ["tier", "runs", "cached", "to run", "to judge", "stale", "tokens p50", "p90", "cost p50",
        "p90"]  # fmt: skip


def rows(todos: Sequence[Todo]) -> list[list[str]]:
    """Head, a row for each tier, and one for all."""
    tiers: dict[str, list[Todo]] = {}
    for one in todos:
        name = f"{one.run.evaluation.experiment.title} {one.run.subtest.tier}"
        tiers.setdefault(name, []).append(one)
    return [HEAD, *(_row(name, found) for name, found in tiers.items()), _row("all", todos)]


def _row(name: str, todos: Sequence[Todo]) -> list[str]:
    kinds = Counter(one.kind for one in todos)
    usd, tokens = costs(todos)
    return [
        name,
        str(len(todos)),
        *(str(kinds[kind]) for kind in ("cached", "to run", "to judge")),
        str(sum(one.stale for one in todos)),
        f"{tokens.p50:,.0f}",
        f"{tokens.p90:,.0f}",
        f"${usd.p50:.4f}",
        f"${usd.p90:.4f}",
    ]


def costs(todos: Iterable[Todo]) -> tuple[Sum, Sum]:
    """USD and tokens of all that is to be done."""
    usd, tokens = Sum(), Sum()
    for evaluation, found in _by_results(todos).values():
        cells, known = cells_of(found), basis(evaluation)
        usd, tokens = usd + known.usd(cells), tokens + known.tokens(cells)
    return usd, tokens


def _by_results(todos: Iterable[Todo]) -> dict[Path, tuple[Evaluation, list[Todo]]]:
    found: dict[Path, tuple[Evaluation, list[Todo]]] = {}
    for one in todos:
        evaluation = one.run.evaluation
        found.setdefault(evaluation.results, (evaluation, []))[1].append(one)
    return found


def reasons(todos: Iterable[Todo]) -> list[str]:
    """Why runs are not cached, the most frequent reason first."""
    found = Counter(one.reason for one in todos if one.kind != "cached").most_common()
    lines = [f"why: {number} × {reason}" for reason, number in found[:LONGEST]]
    more = sum(number for _, number in found[LONGEST:])
    return [*lines, f"why: {more} × other reasons (--scylla-explain)"] if more else lines


def grounds(todos: Iterable[Todo]) -> list[str]:
    """What the figures rest on: how many executions on history, and each assumption."""
    known: Counter[str] = Counter()
    assumed: dict[str, None] = {}
    for evaluation, found in _by_results(todos).values():
        rests_on = basis(evaluation)
        for (tier, subtest, stage), number in cells_of(found).items():
            sample = evaluation.history.sample(tier, subtest, stage)
            known[f"earlier ones of the same {sample.where}" if sample else "assumptions"] += number
            if sample is None or not sample.usd:
                assumed[_assumption(evaluation, stage, rests_on.assumed_usd(stage))] = None
    lines = [f"basis: {where}, for {number} executions" for where, number in known.items()]
    return [*lines, *(f"assumed: {text}" for text in assumed)]


def _assumption(evaluation: Evaluation, stage: str, usd: float) -> str:
    who = "an agent's run" if stage == "agent" else f"a judgment of {stage}"
    took = ASSUMED_SECONDS["agent" if stage == "agent" else "judge"]
    if not usd:
        return f"{who} costs nothing and takes {took:g} s"
    tokens = ASSUMED["agent" if stage == "agent" else "judge"]
    return (
        f"{who} costs ${usd:.4f} ({_priced_by(evaluation, stage)}) and takes {took:g} s; "
        f"{tokens.input_tokens:,} tokens of input, {tokens.cache_read_tokens:,} read from the "
        f"cache, {tokens.cache_creation_tokens:,} written into it, {tokens.output_tokens:,} of "
        "output"
    )


def _priced_by(evaluation: Evaluation, stage: str) -> str:
    model, limit = evaluation.model_of(stage), evaluation.experiment.task.max_cost_usd
    listed = bool(model) and evaluation.prices.known(str(model))
    if limit is not None and (stage == "agent" or not listed):
        return "max_cost_usd of the task"
    if not listed:
        return "its model has no price"
    prompts = f", in prompts of {ASSUMED_PROMPT:,}" if stage == "agent" else ""
    return f"{model} at prices of {evaluation.prices.dated}{prompts}"


def disk(todos: Iterable[Todo]) -> list[str]:
    """What the new runs need on the disk."""
    lines = []
    for evaluation, found in _by_results(todos).values():
        new = sum("agent" in one.stages for one in found)
        size = size_of_a_run(evaluation) if new else None
        kept = evaluation.experiment.settings.workspace.retention
        if size is not None:
            lines.append(
                f"disk: about {new * size[0] / 1e6:,.1f} MB ({new} runs, {size[1]}; "
                f"workspaces kept: {kept})"
            )
        elif new:
            lines.append("disk: not known before the first run (the source is not on this machine)")
    return lines


def said_duration(seconds: float) -> str:
    """A duration for people."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{seconds:.1f} s"


def forecast(
    runs: Mapping[str, Run], specs: Sequence[Spec], workers: int, budget: float | None
) -> list[str]:
    """The plan of a session in lines: `runs` by node id, `specs` of all items."""
    from .reports.terminal import columns

    by_id = {id: todo(run) for id, run in runs.items()}
    todos = list(by_id.values())
    if not todos:
        return []
    lines = [*columns(rows(todos)), *reasons(todos)]
    if all(one.kind == "cached" for one in todos):
        return [*lines, "nothing is left to do: the next session costs nothing"]
    seconds = {id: _seconds(one) for id, one in by_id.items()}
    took = said_duration(duration(specs, seconds, workers))
    lines += [*grounds(todos), f"duration: about {took} at -n {workers}", *disk(todos)]
    return [*lines, *_budgets(todos, budget)]


def _seconds(one: Todo) -> float:
    known = basis(one.run.evaluation)
    return sum(known.seconds(cell) for cell in one.cells)


def _budgets(todos: Sequence[Todo], budget: float | None) -> list[str]:
    lines = [_enough("--scylla-budget", budget, costs(todos)[0])] if budget is not None else []
    experiments = {one.run.evaluation.experiment.path: one.run.evaluation for one in todos}
    for path, evaluation in experiments.items():  # its agents share its budget
        own = evaluation.experiment.settings.budget_usd
        if own is not None:
            found = [one for one in todos if one.run.evaluation.experiment.path == path]
            name = f"budget_usd of {evaluation.experiment.id}"
            lines.append(_enough(name, own, costs(found)[0]))
    return lines


def _enough(name: str, limit: float, usd: Sum) -> str:
    word = "enough" if usd.p90 <= limit else "perhaps not enough"
    if usd.p50 > limit:
        word = f"enough for about {limit / usd.p50:.0%} of it; the rest stays for another session"
    return f"budget: ${limit:.4f} ({name}): {word}"


# -- afterwards ------------------------------------------------------------------------------------


def executed(before: History, after: History) -> Counter[Cell]:
    """How often each cell was executed between two looks at a results directory."""

    def count(history: History) -> Counter[Cell]:
        return Counter((one.tier, one.subtest, one.stage) for one in history.executions)

    return count(after) - count(before)


@dataclass(frozen=True)
class Outcome:
    """Forecast against actual, of what a session has executed."""

    cells: Counter[Cell]
    """How often each cell was executed."""
    usd: Sum
    """What that had to cost."""
    spent: float
    """What it did cost: USD."""
    seconds: Mapping[tuple[str, str], float]
    """Tier and subtest -> seconds that all that was executed there had to take, added up."""


def outcome(known: Basis, after: History) -> Outcome:
    """What was executed since the history that a forecast rests on."""
    cells = executed(known.history, after)

    def total(history: History) -> float:
        return sum(one.usd for one in history.executions if one.usd is not None)

    seconds: Counter[tuple[str, str]] = Counter()
    for (tier, subtest, stage), number in cells.items():
        seconds[tier, subtest] += number * known.seconds((tier, subtest, stage))  # type: ignore[assignment]
    spent = total(after) - total(known.history)
    return Outcome(cells, known.usd(cells), spent, seconds)


def comparison(outcomes: Sequence[Outcome], expected: float, took: float) -> str:
    """Forecast against actual in a line; `expected` and `took` are seconds of the session."""
    usd = sum((one.usd for one in outcomes), Sum())
    agents = sum(n for one in outcomes for cell, n in one.cells.items() if cell[2] == "agent")
    judgments = sum(one.cells.total() for one in outcomes) - agents
    spent = sum(one.spent for one in outcomes)
    return (
        f"{agents} agents' runs and {judgments} judgments: ${spent:.4f} (forecast "
        f"${usd.p50:.4f}, p90 ${usd.p90:.4f}), {said_duration(took)} (forecast "
        f"{said_duration(expected)})"
    )
