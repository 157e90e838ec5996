"""The closing table in the terminal."""

from __future__ import annotations

from ..columns import in_columns, within
from .markdown_report import HEAD, NONE, best_set_up, leading, repeated, row, stale, untouched
from .panel import own_totals, panel_figures
from .summary import ExperimentSummary

LONGEST = 12
"""Tiers that get a line of their own."""


def rows(experiment: ExperimentSummary) -> list[list[str]]:
    """Head, one row for each tier, and their sum."""
    found = [["tier", *HEAD, "best subtest"]]
    for tier in experiment.tiers[:LONGEST]:
        found.append([tier.id, *row(tier.figures), tier.best.id if tier.best else NONE])
    return [*found, ["all", *row(experiment.figures), best_set_up(experiment)]]


SPARE = ("failed", "passed", "cost", "cost of pass")
"""Columns that a narrow terminal has no room for: the first goes first."""


def closing_table(experiment: ExperimentSummary, width: int | None = None) -> list[str]:
    """The lines of the table, in columns, the cheapest pass, and what else is to be known."""
    remarks = (
        leading(experiment),
        untouched(experiment),
        stale(experiment),
        repeated(experiment.figures),
        own_totals(panel_figures(experiment).seats),
    )
    table = in_columns(rows(experiment), words=(0, -1), width=width, spare=SPARE)
    lines = [line for remark in remarks for line in remark.splitlines()]
    return [*table, *within(lines, width)]
