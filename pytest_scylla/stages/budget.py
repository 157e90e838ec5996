"""What a stage is expected to cost is reserved before it starts, and settled afterwards."""

from __future__ import annotations

import time

from ..evaluation import Run
from ..limits import NoRoomYet, reserve_all
from .ending import heed_the_end

PAUSE = 0.2
"""Seconds between two looks at a budget that other workers may leave room in."""


def reserve(run: Run, stage: str, paid: bool) -> None:
    """Set aside what a stage is expected to cost. Raises NotRun where a budget has no room.

    This session says it best; then earlier ones, the task's max_cost_usd, and the price list.
    Where only what other workers have reserved takes the room, it waits until they have settled:
    so nobody reserves while holding what those others wait for (a provider's turn, a workspace).
    """
    budgets = run.evaluation.budgets
    while budgets:
        try:
            reserve_all(budgets, _budget_key(run, stage), run.expected_cost(stage, paid))
            return
        except NoRoomYet:
            heed_the_end(run)
            time.sleep(PAUSE)


def settle(run: Run, stage: str, cost: float | None) -> None:
    """Say what a stage has cost (USD); None: nobody knows, and what was expected stands.

    One that has cost nothing (it never began, the API refused) says nothing of others like it.
    """
    for budget in run.evaluation.budgets:
        if cost == 0:
            budget.release(_budget_key(run, stage))
        else:
            budget.settle(_budget_key(run, stage), cost)


def _budget_key(run: Run, stage: str) -> str:
    parts = (run.evaluation.experiment.title, run.subtest.tier, run.subtest.id, run.name, stage)
    return "::".join(parts)
