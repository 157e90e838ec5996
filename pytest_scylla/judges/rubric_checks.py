"""The judge without a model: rubric items with `run:` decide by their exit status.

Each command runs with a shell in a copy of the agent's workspace, with SCYLLA_TASK set to the
task's directory. Exit status 0 = met, all points; anything else, or no end in time = not met.
Items without `run:` are N/A for this judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ..checks import Check, run_check
from ..errors import RunError
from ..results import ItemScore
from ..rubric import Item
from ..yamlfile import Strict
from . import Evidence, Grading


class RubricChecks(Strict):
    """Options of `adapter: rubric-checks`."""

    timeout: float = Field(default=120.0, gt=0)
    """Seconds for one check."""

    @property
    def model(self) -> str:
        """It needs none."""
        return "rubric-checks"

    @property
    def paid(self) -> bool:
        """Running a check costs nothing."""
        return False

    def identity(self) -> Mapping[str, Any]:
        """The adapter alone."""
        return {"adapter": "rubric-checks"}

    def unready(self) -> str | None:
        """Always ready."""
        return None

    def grade(self, evidence: Evidence) -> Grading:
        """Run the checks of all items, in the order of the rubric.

        Raises RunError (kind `rubric`) where no item has a `run:`.
        """
        items = evidence.task.rubric.items()
        if not any(item.run for item in items):
            raise RunError(
                "rubric",
                "rubric-checks: no item of the rubric has a `run:` command\n"
                "  next: add `run:` to items of the rubric, or use a judge with a model",
            )
        scores = {item.id: self._item(item, evidence) for item in items}
        met = [name for name, score in scores.items() if score.achieved not in (0.0, "N/A")]
        unmet = [name for name, score in scores.items() if score.achieved == 0.0]
        reasoning = f"{len(met)} of {len(met) + len(unmet)} checks met"
        if unmet:
            reasoning += "; not met: " + ", ".join(unmet)
        lines = [f"{name}: {score.achieved} ({score.reason})" for name, score in scores.items()]
        return Grading(scores, reasoning, "\n".join(lines) + "\n", self.model)

    def _item(self, item: Item, evidence: Evidence) -> ItemScore:
        if item.run is None:
            return ItemScore(achieved="N/A", max="N/A", reason="no command decides this item")
        check = run_check(
            item.run, evidence.copy, self.timeout, {"SCYLLA_TASK": str(evidence.task.directory)}
        )
        met = check.exit_code == 0
        return ItemScore(
            achieved=item.points if met else 0.0, max=item.points, reason=_reason(check)
        )


def _reason(check: Check) -> str:
    if check.timed_out:
        return "no end in time"
    if check.exit_code == 0:
        return "met (exit status 0)"
    lines = [line.strip() for line in check.output.splitlines() if line.strip()]
    return f"exit status {check.exit_code}" + (f": {lines[-1][:200]}" if lines else "")
