"""What a stage is expected to cost is reserved before it starts, and settled afterwards."""

from __future__ import annotations

from ..evaluation import Run
from ..limits import reserve_all, settle_all

ASSUMED_COST = 1.0
"""USD that a paid execution is assumed to cost, where neither this session nor the task's
config.yaml (max_cost_usd) says more."""


def reserve(run: Run, stage: str, paid: bool) -> None:
    """Set aside what a stage is expected to cost. Raises NotRun where a budget has no room."""
    limit = run.evaluation.experiment.task.max_cost_usd
    assumed = (limit or ASSUMED_COST) if paid else 0.0
    reserve_all(run.evaluation.budgets, _budget_key(run, stage), assumed)


def settle(run: Run, stage: str, cost: float | None) -> None:
    """Say what a stage has cost (USD); None: nobody knows, and what was expected stands."""
    settle_all(run.evaluation.budgets, _budget_key(run, stage), cost)


def _budget_key(run: Run, stage: str) -> str:
    parts = (run.evaluation.experiment.id, run.subtest.tier, run.subtest.id, run.name, stage)
    return "::".join(parts)
