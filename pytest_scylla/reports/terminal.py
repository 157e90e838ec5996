"""The closing table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from .markdown_report import HEAD, NONE, best_set_up, leading, repeated, row
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


def closing_table(experiment: ExperimentSummary) -> list[str]:
    """The lines of the table, in columns, the cheapest pass, and where the judges' own arithmetic
    differs."""
    table = rows(experiment)
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    remarks = repeated(experiment.figures) + own_totals(panel_figures(experiment).seats)
    leads = leading(experiment)
    return [*(_line(line, widths) for line in table), *filter(None, [leads]), *remarks.splitlines()]


def columns(table: Sequence[Sequence[str]]) -> list[str]:
    """A table in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
        for first, *others in table
    ]


def _line(cells: list[str], widths: list[int]) -> str:
    """Words to the left, figures to the right."""
    first, *figures, last = cells
    middle = [cell.rjust(width) for cell, width in zip(figures, widths[1:-1], strict=True)]
    return "  ".join([first.ljust(widths[0]), *middle, last]).rstrip()
