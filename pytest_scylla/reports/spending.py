"""What an experiment has cost so far, over all sessions: attempts and unfinished work included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..history import Execution, executions
from ..rounding import rounded


@dataclass(frozen=True)
class Spending:
    """USD over all sessions."""

    usd: float
    unknown: int
    """Executions whose cost nobody knows (their agent does not say, nor do their logs)."""
    cut_off: int = 0
    """Executions that were cut off: `usd` has of them what their logs show."""

    def __str__(self) -> str:
        more = f" and {self.unknown} executions of unknown cost" if self.unknown else ""
        cut = f" ({self.cut_off} cut off: as far as their logs show)" if self.cut_off else ""
        return f"${rounded(self.usd, 4)}{cut}{more}"


def spending(found: Iterable[Execution]) -> Spending:
    """Add up what executions have cost."""
    found = tuple(found)
    known = [one.usd for one in found if one.usd is not None]
    cut = sum(1 for one in found if one.cut_off and one.usd)
    return Spending(sum(known), len(found) - len(known), cut)


def spent(results: Path) -> Spending:
    """Add up what agents and judges have cost in a results directory."""
    return spending(executions(results))
