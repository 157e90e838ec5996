"""comparison.json: what `--scylla-baseline` found, for all that is written of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..results import Record
from ..store import read_model
from .summary import ExperimentSummary

NAME = "comparison.json"


class Comparison(Record):
    """A session's results against earlier ones, as the terminal shows them."""

    made_from: str
    """Digest of the experiment's runs, as they were then."""
    baseline: str
    """Path of the earlier results."""
    alpha: float
    worse: bool
    """Some tier got worse, beyond chance."""
    verdict: str
    """The comparison in one line."""
    table: list[list[str]]
    """Head and a line for each tier."""
    notes: list[str]
    """What was left out, and the verdicts that flipped."""
    tiers: list[dict[str, Any]]
    """The figures of `table`."""
    flips: list[dict[str, Any]]
    """Every cell whose verdict is another one, with its cause."""


def comparison_of(experiment: ExperimentSummary) -> Comparison | None:
    """The last comparison; None where there is none, or the runs have changed since."""
    found = read_model(Path(experiment.path, NAME), Comparison)
    return found if found is not None and found.made_from == experiment.digest else None
