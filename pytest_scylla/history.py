"""What was executed in a results directory, and what each of it cost: attempts, judge slots that
were set aside and executions that were cut off included.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .errors import JUDGED
from .experiment import Price
from .opencode import steps, tokens_of
from .prices import PriceList, UnknownModel, Usage, built_in_prices
from .results import TokenStats
from .store import read_json, text_of
from .tree import ResultsTree, folders

ENDS = frozenset({"completed", *JUDGED})
"""Stop reasons of agents that did their work; all others are errors."""

ASSUMED = {
    "agent": TokenStats(
        input_tokens=20_000,
        output_tokens=8_000,
        cache_creation_tokens=40_000,
        cache_read_tokens=400_000,
    ),
    "judge": TokenStats(input_tokens=10_000, output_tokens=2_000),
}
"""Tokens of one run of an agent (in prompts of 30,000) and of one judgment, where nothing is known
of earlier ones: an assumption, which the plan prints, and nothing measured."""

ASSUMED_PROMPT = 30_000
ASSUMED_COST = 1.0
"""USD of what is paid for, where not even the model is known."""


@dataclass(frozen=True)
class Execution:
    """One execution of an agent, or one question to a judge."""

    tier: str
    subtest: str
    stage: str
    """`agent` or `judge_NN`."""
    path: str
    """The run's (or attempt's) directory, or the judge slot's."""
    usd: float | None
    """None: nobody knows."""
    tokens: int = 0
    seconds: float | None = None
    whole: bool = True
    """It did its work. Anything else is paid for, and says little of others."""
    cut_off: bool = False
    """It did not end by itself: `usd` is what its logs show."""
    asked: bool = True
    """False: a sequential panel came to this slot, and did not need it."""
    model: str = ""
    """The judge's model; empty where it is not known."""

    @property
    def took(self) -> float | None:
        """Seconds of the whole stage: with the workspace or the copy that was made for it, and
        with commands that decide items of the rubric. Where that was not measured: `seconds`."""
        said = (read_json(self._files[0]) or {}).get(STAGE_SECONDS)
        return float(said) if isinstance(said, (int, float)) else self.seconds

    @property
    def pipeline_took(self) -> float | None:
        """Seconds of the pipeline on what this agent left."""
        return pipeline_seconds(f"{self.path}/pipeline.json")

    def is_since(self, moment: float) -> bool:
        """It ended (where it was cut off: it began) at `moment` or later; seconds since the
        epoch."""
        found = next((path for path in self._files if os.path.exists(path)), None)
        return found is not None and changed_since(found, moment)

    @property
    def _files(self) -> list[str]:
        """What it left, the last one first; attempts keep the times of their files."""
        if self.stage == "agent":
            names = ["agent/timing.json", "agent/started.json", "agent/stdout.log"]
        else:
            names = ["timing.json", "judgment.json", "prompt.md"]
        return [f"{self.path}/{name}" for name in names]


def changed_since(path: Path | str, moment: float) -> bool:
    """There is such a file, and it was written at `moment` (seconds since the epoch) or later."""
    try:
        return os.stat(path).st_mtime >= moment
    except OSError:
        return False


STAGE_SECONDS = "stage_seconds"
"""What a timing.json says of a whole stage."""


def pipeline_seconds(path: str) -> float | None:
    """Seconds that a pipeline has taken, as its file says; before that was measured as a whole,
    the sum of its steps."""
    told = read_json(path) or {}
    if told.get("duration_seconds"):
        return _number(told["duration_seconds"])
    steps = told.get("steps")
    if not isinstance(steps, list):
        return None
    return sum(_number(s.get("duration_seconds")) or 0.0 for s in steps if isinstance(s, dict))


def executions(results: Path) -> Iterator[Execution]:
    """All executions that have left something in a results directory."""
    reader = _Reader(ResultsTree(results))
    for tier, subtest, run in reader.tree.all_runs():
        yield from reader.run(tier, subtest, str(run.path))
        for attempt in (*folders(f"{run.path}/attempts"), run.moving.name):
            yield from reader.run(tier, subtest, f"{run.path}/attempts/{attempt}")


def cost_so_far(run: Path) -> float | None:
    """USD of an execution that is under way in a run's directory, as far as its output shows."""
    log = run / "agent" / "stdout.log"
    return _Reader(ResultsTree(run.parents[2]))._cut_off(str(log)) if log.exists() else None


def finished_at(run: Path) -> str:
    """When a run's agent ended, ISO 8601; nothing where that is not known."""
    told = read_json(f"{run}/agent/timing.json") or {}
    return str(told.get("measured_at") or "")


class _Reader:
    def __init__(self, tree: ResultsTree) -> None:
        self.tree = tree

    @cached_property
    def prices(self) -> PriceList:
        """The built-in prices, and those that the experiment was run with."""
        said = self.tree.config.get("prices") or {}
        own = (self.tree.config.get("settings") or {}).get("prices") or {}
        try:
            models = {**(said.get("usd_per_million_tokens") or {}), **own}
            found = {str(name): Price.model_validate(price) for name, price in models.items()}
        except (AttributeError, ValidationError):
            found = {}
        return built_in_prices().with_models(found)

    @cached_property
    def agent(self) -> Mapping[str, Any]:
        """The agent, as experiment.yaml has it."""
        return (self.tree.config.get("settings") or {}).get("agent") or {}

    @property
    def free(self) -> bool:
        """The agent costs nothing, whatever it says of it."""
        return self.agent.get("paid") is False

    @property
    def model(self) -> str:
        """The agent's model; "" where it names none."""
        return str(self.agent.get("model") or "")

    def run(self, tier: str, subtest: str, place: str) -> Iterator[Execution]:
        """An execution of the agent and those of its judges."""
        if os.path.isdir(f"{place}/agent"):
            yield self._agent(tier, subtest, place)
        for folder in (f"{place}/judge", f"{place}/judge/attempts"):
            for name in folders(folder):
                if name.startswith("judge_"):
                    found = self._slot(tier, subtest, f"{folder}/{name}", name[:8])
                    if found is not None:
                        yield found

    def _agent(self, tier: str, subtest: str, place: str) -> Execution:
        told = read_json(f"{place}/run_result.json") or {}
        if "agent_cost_usd" in told:  # small, and says all of it
            usd, seconds = told["agent_cost_usd"], told.get("agent_duration_seconds")
        else:
            told = read_json(f"{place}/agent/result.json") or {}
            usd, seconds = told.get("cost_usd"), told.get("duration_seconds")
        whole = "judge_score" in told or told.get("stop_reason", "completed") in ENDS
        if not told:
            whole = False
            usd = self._cut_off(f"{place}/agent/stdout.log")
            if usd is None and not os.path.exists(f"{place}/agent/started.json"):
                usd = 0.0  # it never began
        if usd is None and self.free:
            usd = 0.0
        tokens, cut = _tokens(told), not told
        return Execution(tier, subtest, "agent", place, _number(usd), tokens, seconds, whole, cut)

    def _slot(self, tier: str, subtest: str, slot: str, stage: str) -> Execution | None:
        told = read_json(f"{slot}/judgment.json")
        if told is not None and told.get("asked") is False:
            return Execution(tier, subtest, stage, slot, 0.0, seconds=0.0, asked=False)
        if told is not None:
            usd, seconds = told.get("cost_usd", 0.0), told.get("duration_seconds")
            valid = told.get("is_valid") is not False
            args = (_number(usd), _tokens(told), seconds, valid)
            model = str(told.get("model") or "")
            return Execution(tier, subtest, stage, slot, *args, model=model)
        if not os.path.exists(f"{slot}/prompt.md"):
            return None  # no model was asked
        logs = sorted(Path(slot).glob("*stdout*.log"))
        costs = [cost for cost in map(self._cut_off, map(str, logs)) if cost is not None]
        usd = sum(costs) if costs else None
        return Execution(tier, subtest, stage, slot, usd, whole=False, cut_off=True)

    def _cut_off(self, log: str) -> float | None:
        """USD of a program that was cut off, as far as its output shows."""
        from .claude import Stream

        stream = Stream(text_of(Path(log)))
        if stream.cost is not None:
            return stream.cost
        usages = stream.usages or [Usage(self.model, tokens_of(s)) for s in steps(stream.events)]
        try:
            return self.prices.cost_of(usages) if usages else None
        except UnknownModel:
            return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _tokens(told: Mapping[str, Any]) -> int:
    stats = told.get("token_stats")
    if not isinstance(stats, dict):
        return 0
    return sum(int(stats.get(kind) or 0) for kind in _KINDS)


_KINDS = TokenStats.model_fields.keys() - {"cache_creation_1h_tokens"}
"""Kinds of tokens that are not part of another kind."""


# -- what has been learnt from it ------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Executions that are alike."""

    where: str
    """`subtest`, `tier` or `experiment`: how near they are."""
    like: tuple[Execution, ...]

    @cached_property
    def usd(self) -> tuple[float, ...]:
        """What each has cost, as far as it is known."""
        return tuple(one.usd for one in self.like if one.usd is not None)

    @cached_property
    def tokens(self) -> tuple[float, ...]:
        """Tokens of each."""
        return tuple(float(one.tokens) for one in self.like)

    @cached_property
    def seconds(self) -> tuple[float, ...]:
        """How long each has taken, the whole stage; files are read for it."""
        return tuple(took for one in self.like if (took := one.took) is not None)

    @cached_property
    def pipeline_seconds(self) -> tuple[float, ...]:
        """How long the pipeline has taken on what each agent left; files are read for it."""
        return tuple(took for one in self.like if (took := one.pipeline_took) is not None)


Groups = dict[tuple[str, ...], list[Execution]]
"""Stage, tier and subtest (or stage and tier, or stage alone) -> executions."""


class History:
    """Earlier executions, by how near they are to one that is to come."""

    def __init__(self, found: Iterable[Execution], judges: Sequence[str] = ()) -> None:
        """`judges`: the models of the slots that are to be asked, empty where one is not known. A
        judgment says something of all slots with its model, whichever slot it was made in, and
        nothing of others."""
        self.executions = tuple(found)
        whole = [slot for one in self.executions if one.whole for slot in _as_of(one, judges)]
        self._turns = _groups(whole)
        self._asked = _groups(one for one in whole if one.asked)
        self._samples: dict[tuple[str, ...], Sample] = {}

    def sample(self, tier: str, subtest: str, stage: str) -> Sample | None:
        """The executions of a stage in this subtest; where there are none, in its tier, else in
        the experiment."""
        return self._nearest(self._asked, "asked", (stage, tier, subtest))

    def turns(self, tier: str, subtest: str, stage: str) -> Sample | None:
        """The same of a slot of a sequential panel: with the times that it was not asked, which
        cost nothing."""
        return self._nearest(self._turns, "turns", (stage, tier, subtest))

    def _nearest(self, groups: Groups, kind: str, place: tuple[str, ...]) -> Sample | None:
        for length, where in ((3, "subtest"), (2, "tier"), (1, "experiment")):
            found = groups.get(place[:length])
            if found:
                key = (kind, *place[:length])
                return self._samples.setdefault(key, Sample(where, tuple(found)))
        return None


def _as_of(one: Execution, judges: Sequence[str]) -> list[Execution]:
    """An execution as one of the stages that it says something of."""
    if one.stage == "agent" or not judges or not one.model:
        return [one]
    slots = {f"judge_{n:02d}": model for n, model in enumerate(judges, 1)}
    return [
        replace(one, stage=slot)
        for slot, model in slots.items()
        if model == one.model or (not model and slot == one.stage)
    ]


def _groups(found: Iterable[Execution]) -> Groups:
    groups: Groups = {}
    for one in found:
        place = (one.stage, one.tier, one.subtest)
        for length in (3, 2, 1):
            groups.setdefault(place[:length], []).append(one)
    return groups


def assumed_tokens(stage: str) -> TokenStats:
    """Tokens of a stage of which nothing is known."""
    return ASSUMED["agent" if stage == "agent" else "judge"]


def assumed_cost(stage: str, model: str | None, prices: PriceList, limit: float | None) -> float:
    """USD of a paid stage of which there is no history. For an agent the task's max_cost_usd
    (`limit`), else what the price list says of its model and an assumed number of tokens; for a
    judge the other way round."""
    listed = None
    if model and prices.known(model):
        length = ASSUMED_PROMPT if stage == "agent" else None
        listed = prices.cost_usd(model, assumed_tokens(stage), prompt_tokens=length)
    found = (limit, listed) if stage == "agent" else (listed, limit)
    return next((usd for usd in found if usd is not None), ASSUMED_COST)
