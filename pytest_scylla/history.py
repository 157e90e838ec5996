"""What was executed in a results directory, and what each of it cost: attempts, judge slots that
were set aside and executions that were cut off included.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .claude import Stream
from .errors import JUDGED
from .experiment import Price
from .prices import PriceList, UnknownModel, built_in_prices
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


def executions(results: Path) -> Iterator[Execution]:
    """All executions that have left something in a results directory."""
    reader = _Reader(ResultsTree(results))
    for tier, subtest, run in reader.tree.all_runs():
        yield from reader.run(tier, subtest, str(run.path))
        for attempt in folders(f"{run.path}/attempts"):
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
    def free(self) -> bool:
        """The agent costs nothing, whatever it says of it."""
        agent = (self.tree.config.get("settings") or {}).get("agent") or {}
        return agent.get("paid") is False

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
            return None
        if told is not None:
            usd, seconds = told.get("cost_usd", 0.0), told.get("duration_seconds")
            valid = told.get("is_valid") is not False
            args = (_number(usd), _tokens(told), seconds, valid)
            return Execution(tier, subtest, stage, slot, *args)
        if not os.path.exists(f"{slot}/prompt.md"):
            return None  # no model was asked
        logs = sorted(Path(slot).glob("*stdout*.log"))
        costs = [cost for cost in map(self._cut_off, map(str, logs)) if cost is not None]
        usd = sum(costs) if costs else None
        return Execution(tier, subtest, stage, slot, usd, whole=False, cut_off=True)

    def _cut_off(self, log: str) -> float | None:
        """USD of a program that was cut off, as far as its output shows."""
        stream = Stream(text_of(Path(log)))
        if stream.cost is not None:
            return stream.cost
        try:
            return self.prices.cost_of(stream.usages) if stream.usages else None
        except UnknownModel:
            return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _tokens(told: Mapping[str, Any]) -> int:
    stats = told.get("token_stats")
    if not isinstance(stats, dict):
        return 0
    kinds = set(TokenStats.model_fields) - {"cache_creation_1h_tokens"}
    return sum(int(stats.get(kind) or 0) for kind in kinds)


# -- what has been learnt from it ------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """Executions that are alike."""

    where: str
    """`subtest`, `tier` or `experiment`: how near they are."""
    usd: tuple[float, ...]
    tokens: tuple[float, ...]
    seconds: tuple[float, ...]


class History:
    """Earlier executions, by how near they are to one that is to come."""

    def __init__(self, found: Iterable[Execution]) -> None:
        self.executions = tuple(found)
        self._groups: defaultdict[tuple[str, ...], list[Execution]] = defaultdict(list)
        for one in self.executions:
            if one.whole:
                for place in ((one.tier, one.subtest), (one.tier,), ()):
                    self._groups[one.stage, *place].append(one)
        self._samples: dict[tuple[str, ...], Sample] = {}

    def sample(self, tier: str, subtest: str, stage: str) -> Sample | None:
        """The executions of a stage in this subtest; where there are none, in its tier, else in
        the experiment."""
        places = {"subtest": (tier, subtest), "tier": (tier,), "experiment": ()}
        for where, place in places.items():
            key = (stage, *place)
            if key in self._groups:
                if key not in self._samples:
                    self._samples[key] = _sample(where, self._groups[key])
                return self._samples[key]
        return None


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


def _sample(where: str, found: Iterable[Execution]) -> Sample:
    found = tuple(found)
    return Sample(
        where,
        tuple(one.usd for one in found if one.usd is not None),
        tuple(float(one.tokens) for one in found),
        tuple(one.seconds for one in found if one.seconds is not None),
    )
