"""Judges: what an adapter must offer. A judge grades items; the program computes the score.

An adapter is a class made from its options in experiment.yaml, registered by the hook
`pytest_scylla_judges`. One entry of `judges:` is one slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..experiment import Task
from ..results import AgentResult, ItemScore, PipelineResult, TokenStats


@dataclass(frozen=True)
class Evidence:
    """What a judge may look at."""

    task: Task
    answer: str
    """What the agent said at the end."""
    patch: str
    """What the agent changed, as a git patch."""
    agent: AgentResult
    pipeline: PipelineResult
    baseline: PipelineResult
    copy: Path
    """A copy of the workspace, for this judge alone; it may be changed."""
    slot: Path
    """The judge slot's directory, for logs."""


@dataclass(frozen=True)
class Grading:
    """A judge's answer: a score for each rubric item, and why."""

    items: Mapping[str, ItemScore]
    reasoning: str
    response: str
    """The raw answer, kept as response.txt."""
    model: str
    tokens: TokenStats = field(default_factory=TokenStats)
    cost_usd: float | None = 0.0
    """USD; None where it is not known."""
    passed: bool | None = None
    """The judge's own vote; None: score against threshold."""


class Judge(Protocol):
    """A judge adapter with its options."""

    @property
    def model(self) -> str:
        """The name that reports show for this judge."""

    @property
    def paid(self) -> bool:
        """Whether a judgment costs money."""

    def identity(self) -> Mapping[str, Any]:
        """What distinguishes this judge from another; its digest goes into results."""

    def unready(self) -> str | None:
        """Why this judge cannot be used here: the runs are skipped with it."""

    def grade(self, evidence: Evidence) -> Grading:
        """Grade every item. Raises RunError or ValueError: the slot is then not valid."""
