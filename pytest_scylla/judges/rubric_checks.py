"""The judge without a model: rubric items with `run:` decide by their exit status.

The commands are executed once for a run, whoever judges it, and their results are in every slot:
this one adds nothing to them. Items without `run:` are N/A for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ..results import ItemScore
from ..yamlfile import Strict
from . import Evidence, Grading

UNDECIDED = ItemScore(achieved="N/A", max="N/A", reason="no command decides this item")


class RubricChecks(Strict):
    """Options of `adapter: rubric-checks`."""

    timeout: float = Field(default=120.0, gt=0, allow_inf_nan=False)
    """Seconds for one check; of several slots the longest."""

    @property
    def model(self) -> str:
        """It needs none."""
        return "rubric-checks"

    @property
    def paid(self) -> bool:
        """Running a check costs nothing."""
        return False

    @property
    def by_commands(self) -> bool:
        """It says what the rubric's commands say."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """The adapter alone."""
        return {"adapter": "rubric-checks"}

    def unready(self) -> str | None:
        """Always ready."""
        return None

    def grade(self, evidence: Evidence) -> Grading:
        """Take over what the commands decided."""
        items = evidence.task.rubric.items()
        scores = {item.id: evidence.executed.get(item.id, UNDECIDED) for item in items}
        met = [name for name, score in scores.items() if score.achieved not in (0.0, "N/A")]
        unmet = [name for name, score in scores.items() if score.achieved == 0.0]
        reasoning = f"{len(met)} of {len(met) + len(unmet)} checks met"
        if unmet:
            reasoning += "; not met: " + ", ".join(unmet)
        lines = [f"{name}: {score.achieved} ({score.reason})" for name, score in scores.items()]
        return Grading(scores, reasoning, "\n".join(lines) + "\n", self.model)
