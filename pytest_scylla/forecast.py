"""What a session is going to do, and what that will cost, take and need; before anything is done.

The sum of n executions that are like m earlier ones, with mean x and deviation s, is taken to be
normal, with mean n·x and variance s²·n·(1 + n/m): they differ among each other, and x is itself
only known from m. (Hahn and Meeker, Statistical Intervals, Wiley 1991, chapter 4: prediction
of the mean of future observations.) s is larger by what Student's t is above the normal quantile
for m - 1 degrees of freedom (Abramowitz and Stegun, 26.7.5). p50 is the mean, p90 is 1.2816
deviations above it. With one earlier execution, or an assumption, s is taken to be as large as x.

A run takes as long as its stages: making the workspace and storing what the agent did are part of
the agent's, copies and commands of the rubric part of the judges'. The session takes as long as
the plan needs to give these runs to its workers, from the first run's start to the last one's
end. Before and after that pytest starts its workers, and reports are written.
"""

from __future__ import annotations

import heapq
import math
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .columns import counted, in_columns
from .errors import ScyllaError
from .evaluation import Evaluation, Run
from .experiment import Experiment
from .history import (
    ASSUMED,
    ASSUMED_PROMPT,
    Execution,
    History,
    Sample,
    assumed_cost,
    assumed_tokens,
    pipeline_seconds,
)
from .plan import Plan, Spec
from .prices import PriceList
from .stagewise import outlook

Z90 = 1.2816
"""The 90 % quantile of the standard normal distribution."""

ASSUMED_SECONDS = {"agent": 60.0, "pipeline": 10.0, "judge": 5.0}
"""Of one run of an agent, of a pipeline after it, and of one judgment, where nothing is known of
earlier ones."""

ALWAYS_ASKED = 2
"""Slots of a sequential panel that are asked in any case; those after them if these disagree."""

SAMPLED_RUNS = 5
"""How many earlier runs are measured for the size of one."""


class Cell(NamedTuple):
    """What is executed, and where."""

    tier: str
    subtest: str
    stage: str
    """`agent` or `judge_NN`."""
    sure: bool = True
    """False: a slot of a sequential panel, which may not need it."""


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
    sequential: bool = False
    """The judges are asked one after the other, and no more of them than are needed."""
    baseline: float | None = None
    """Seconds of the pipeline on the task's untouched files; None where it has not run."""

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
        sample = self.sample(cell)
        if sample and sample.seconds:
            return statistics.fmean(sample.seconds)
        return ASSUMED_SECONDS["agent" if cell.stage == "agent" else "judge"]

    def pipeline_seconds(self, tier: str, subtest: str) -> float:
        """Seconds of the pipeline after one run of an agent, in the mean; before there was one,
        those of the pipeline on the task's untouched files."""
        sample = self.history.sample(tier, subtest, "agent")
        if sample and sample.pipeline_seconds:
            return statistics.fmean(sample.pipeline_seconds)
        return ASSUMED_SECONDS["pipeline"] if self.baseline is None else self.baseline

    def sample(self, cell: Cell) -> Sample | None:
        """The earlier executions that a cell is like."""
        found = self.history.sample if cell.sure else self.history.turns
        return found(cell.tier, cell.subtest, cell.stage)

    def foresees(self, cell: Cell) -> bool:
        """Something is known of what the cell costs: it was seen before, or it is paid."""
        sample = self.sample(cell)
        return bool(sample and sample.usd) or self.assumed_usd(cell.stage) > 0

    def cell(self, tier: str, subtest: str, stage: str) -> Cell:
        """The cell of a stage."""
        return Cell(tier, subtest, stage, not (self.sequential and is_spare(stage)))

    def _sum(
        self,
        cells: Mapping[Cell, int],
        of: Callable[[Sample], tuple[float, ...]],
        assumed: Callable[[str], float],
    ) -> Sum:
        """Cells that rest on the same earlier executions are one sum: they err together."""
        together: Counter[str] = Counter()
        like: dict[str, tuple[float, ...]] = {}
        for cell, number in cells.items():
            sample = self.sample(cell)
            values = of(sample) if sample else ()
            key = f"{id(sample)}" if values else f"assumed {cell.stage}"
            like[key] = values or (assumed(cell.stage),)
            together[key] += number
        return sum((sum_of(number, like[key]) for key, number in together.items()), Sum())


def is_spare(stage: str) -> bool:
    """A sequential panel asks this slot only where those before it do not agree."""
    return stage != "agent" and int(stage[6:]) > ALWAYS_ASKED


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
    """What is executed: `agent`, `pipeline`, `judge_NN`."""

    @property
    def cells(self) -> list[Cell]:
        """The agent and the judges, with their place."""
        run, asked = self.run, [stage for stage in self.stages if stage != "pipeline"]
        known = basis(run.evaluation)
        cells = [known.cell(run.subtest.tier, run.subtest.id, stage) for stage in asked]
        return [cell._replace(sure=True) if self._selected(cell) else cell for cell in cells]

    def _selected(self, cell: Cell) -> bool:
        """A slot that the user has asked for is asked, whatever the others say."""
        return cell.stage != "agent" and self.run.slot_selected(int(cell.stage[6:]))


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
    piped = run.evaluation.steps and run.asked.until != "agent"
    work = ("agent", "pipeline") if piped else ("agent",)
    stages = [line.stage for line in again if line.stage in work]
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

    return _basis(evaluation.experiment, evaluation.results, evaluation.history, assumed)


def _basis(
    experiment: Experiment, results: Path, history: History, assumed: Callable[[str], float]
) -> Basis:
    sequential = experiment.panel.margin is not None
    baseline = pipeline_seconds(f"{results}/pipeline_baseline.json")
    return Basis(history, assumed, sequential, baseline)


PAID = ("command", "anthropic", "claude-code", "codex", "opencode")
"""Adapters that cost money unless their options say otherwise."""


def basis_of(experiment: Experiment, results: Path, history: History, prices: PriceList) -> Basis:
    """The same, for those who know experiment.yaml alone: an adapter's own word on whether it is
    paid is not asked."""
    settings, limit = experiment.settings, experiment.task.max_cost_usd

    def assumed(stage: str) -> float:
        adapter = settings.agent if stage == "agent" else settings.judges[int(stage[6:]) - 1]
        model = adapter.options.get("model")
        if not adapter.options.get("paid", model is not None or adapter.adapter in PAID):
            return 0.0
        return assumed_cost(stage, model, prices, limit)

    return _basis(experiment, results, history, assumed)


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

HEAD = ["tier", "runs", "cached", "to run", "to judge", "stale", "tokens p50", "tokens p90",
        "cost p50", "cost p90"]  # fmt: skip
SPARE = ("tokens p50", "tokens p90")
"""Columns that a narrow terminal has no room for: the first goes first."""


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


def heirs(todos: Iterable[Todo]) -> Iterator[str]:
    """Cached runs whose inputs are not known before the session has done its work."""
    todos = tuple(todos)
    busy = {_tier(one, one.run.subtest.tier) for one in todos if one.kind != "cached"}
    number = sum(
        any(_tier(one, tier) in busy for tier in one.run.subtest.inherit_best_from)
        for one in todos
        if one.kind == "cached"
    )
    if number:
        yield (
            f"not known yet: {number} cached runs inherit from tiers with work to do; where the "
            "best subtest there changes, they are run again"
        )


def _tier(one: Todo, tier: str) -> tuple[str, str]:
    return one.run.evaluation.experiment.title, tier


def grounds(todos: Iterable[Todo]) -> list[str]:
    """What the figures rest on: how many executions on history, and each assumption."""
    known: Counter[str] = Counter()
    assumed: dict[str, None] = {}
    for evaluation, found in _by_results(todos).values():
        rests_on = basis(evaluation)
        for cell, number in cells_of(found).items():
            sample = rests_on.sample(cell)
            known[f"earlier ones of the same {sample.where}" if sample else "assumptions"] += number
            if sample is None or not sample.usd:
                usd = rests_on.assumed_usd(cell.stage)
                assumed[_assumption(evaluation, cell, usd)] = None
        assumed.update(dict.fromkeys(_assumed_pipelines(rests_on, found)))
    lines = [f"basis: {where}, for {number} executions" for where, number in known.items()]
    return [*lines, *(f"assumed: {text}" for text in assumed)]


def _assumed_pipelines(rests_on: Basis, todos: Iterable[Todo]) -> Iterator[str]:
    for one in todos:
        sample = rests_on.history.sample(one.run.subtest.tier, one.run.subtest.id, "agent")
        measured = rests_on.baseline is not None or (sample and sample.pipeline_seconds)
        if "pipeline" in one.stages and not measured:
            yield f"the pipeline after a run takes {ASSUMED_SECONDS['pipeline']:g} s"


def _assumption(evaluation: Evaluation, cell: Cell, usd: float) -> str:
    stage = cell.stage
    who = "an agent's run" if stage == "agent" else f"a judgment of {stage}"
    took = ASSUMED_SECONDS["agent" if stage == "agent" else "judge"]
    if not cell.sure:
        who += ", which the sequential panel is taken to ask for each time,"
    if not usd:
        return f"{who} costs nothing (it is not paid) and takes {took:g} s"
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
    runs: Mapping[str, Run],
    specs: Sequence[Spec],
    workers: int,
    budget: float | None,
    width: int | None = None,
) -> list[str]:
    """The plan of a session in lines of `width`: `runs` by node id, `specs` of all items."""
    by_id = {id: todo(run) for id, run in runs.items()}
    todos = list(by_id.values())
    if not todos:
        return []
    lines = [*in_columns(rows(todos), width=width, spare=SPARE), *reasons(todos), *heirs(todos)]
    if all(one.kind == "cached" for one in todos):
        return [*lines, "nothing is left to do: the next session costs nothing"]
    seconds = {id: _seconds(one) for id, one in by_id.items()}
    took = said_duration(duration(specs, seconds, workers))
    lines += [*grounds(todos), f"duration: about {took} at -n {workers}", *disk(todos)]
    return [*lines, *_budgets(todos, budget)]


def _seconds(one: Todo) -> float:
    known, subtest = basis(one.run.evaluation), one.run.subtest
    pipeline = "pipeline" in one.stages and known.pipeline_seconds(subtest.tier, subtest.id)
    return sum(known.seconds(cell) for cell in one.cells) + pipeline


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


@dataclass(frozen=True)
class Outcome:
    """Forecast against actual, of what a session has executed."""

    agents: int = 0
    """Executions of agents that did their work."""
    judgments: int = 0
    """Valid judgments."""
    usd: Sum = Sum()
    """What those of them had to cost whose cost was foreseen and is known."""
    spent: float = 0.0
    """What these did cost: USD."""
    told: float = 0.0
    """USD that others tell of, which are not paid: nobody foresaw it."""
    unknown: int = 0
    """Those whose cost nobody knows."""
    lost: int = 0
    """Executions that were cut off, or ended in an error: no forecast is made of such."""
    lost_usd: float = 0.0
    """What these did cost, as far as it is known."""
    cut_off: bool = False
    """Some of them did not come to their end, so that time was not spent as planned."""
    seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Tier and subtest -> seconds that agents and judges had to take there, added up."""


def outcome(known: Basis, done: Iterable[Execution]) -> Outcome:
    """What was executed, against the basis of a forecast from before it."""
    done = tuple(done)
    cell = {one: known.cell(one.tier, one.subtest, one.stage) for one in done}
    whole = [one for one in done if one.whole]
    foreseen = [one for one in whole if one.usd is not None and known.foresees(cell[one])]
    told = [one.usd for one in whole if one.usd is not None and not known.foresees(cell[one])]
    lost = [one for one in done if not one.whole]
    seconds: dict[tuple[str, str], float] = {}
    for one in done:
        place = one.tier, one.subtest
        seconds[place] = seconds.get(place, 0.0) + known.seconds(cell[one])
    return Outcome(
        agents=sum(one.stage == "agent" for one in whole),
        judgments=sum(one.stage != "agent" and one.asked for one in whole),
        usd=known.usd(Counter(cell[one] for one in foreseen)),
        spent=sum(one.usd or 0.0 for one in foreseen),
        told=sum(told),
        unknown=sum(one.usd is None for one in whole),
        lost=len(lost),
        lost_usd=sum(one.usd or 0.0 for one in lost),
        cut_off=any(one.cut_off for one in lost),
        seconds=seconds,
    )


def comparison(outcomes: Sequence[Outcome], expected: float | None, took: float) -> str:
    """Forecast against actual in a line; `expected` and `took` are seconds of all runs, and
    nothing was expected where all that was known were assumptions."""
    agents = sum(one.agents for one in outcomes)
    judgments = sum(one.judgments for one in outcomes)
    cut_off = any(one.cut_off for one in outcomes)
    time = said_duration(took)
    if expected is not None and not cut_off:
        time += f" (forecast {said_duration(expected)})"
    money = ", ".join([*_foreseen(outcomes), *_not_foreseen(outcomes), time])
    return f"{counted(agents, 'agent run')} and {counted(judgments, 'judgment')}: {money}"


def _foreseen(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What had to cost something, or did not cost anything."""
    usd = sum((one.usd for one in outcomes), Sum())
    spent = sum(one.spent for one in outcomes)
    if spent or usd.p50 or not any(one.told for one in outcomes):
        yield f"${spent:.4f} (forecast ${usd.p50:.4f}, p90 ${usd.p90:.4f})"


def _not_foreseen(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What is in no forecast."""
    told, lost = sum(one.told for one in outcomes), sum(one.lost for one in outcomes)
    unknown = sum(one.unknown for one in outcomes)
    if told:
        yield f"${told:.4f} reported by free adapters (not forecast)"
    if unknown:
        yield f"{unknown} of unknown cost"
    if lost:
        usd = sum(one.lost_usd for one in outcomes)
        yield f"{lost} more interrupted or failed (known cost: ${usd:.4f})"
