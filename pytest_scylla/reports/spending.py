"""What an experiment has cost so far, over all sessions: attempts and unfinished work included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..agents import result_event
from ..store import read_json
from ..tree import ResultsTree, folders


@dataclass(frozen=True)
class Spending:
    """USD over all sessions."""

    usd: float
    unknown: int
    """Executions whose cost nobody knows (cut off, or their agent does not say)."""

    def __str__(self) -> str:
        more = f" and {self.unknown} executions of unknown cost" if self.unknown else ""
        return f"${self.usd:.4f}{more}"


def spent(results: Path) -> Spending:
    """Add up what agents and judges have cost in a results directory."""
    costs = [cost for run in _executions(results) for cost in _costs(run)]
    known = [cost for cost in costs if cost is not None]
    return Spending(sum(known), len(costs) - len(known))


def _executions(results: Path) -> Iterator[str]:
    """Every run directory, and every attempt in one."""
    for _, _, run in ResultsTree(results).all_runs():
        yield str(run.path)
        yield from _within(f"{run.path}/attempts")


def _within(path: str) -> list[str]:
    return [f"{path}/{name}" for name in folders(Path(path))]


def _costs(run: str) -> Iterator[float | None]:
    if os.path.isdir(f"{run}/agent"):
        yield _agent_cost(run)
    slots = [*_within(f"{run}/judge"), *_within(f"{run}/judge/attempts")]
    for slot in slots:
        judgment = read_json(Path(slot, "judgment.json"))
        if judgment is not None:
            cost = judgment.get("cost_usd", 0.0)
            yield float(cost) if isinstance(cost, (int, float)) else None


def _agent_cost(run: str) -> float | None:
    """From the result, else from what the program had printed when it was cut off."""
    result = read_json(Path(run, "agent", "result.json"))
    if result is None:
        try:
            printed = Path(run, "agent", "stdout.log").read_text("utf-8", "replace")
        except OSError:
            return 0.0 if not os.path.exists(f"{run}/agent/started.json") else None
        cost = (result_event(printed) or {}).get("total_cost_usd")
    else:
        cost = result.get("cost_usd")
    return float(cost) if isinstance(cost, (int, float)) else None
