"""What a continuous integration shows of an experiment: a job's summary, a suite's properties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .markdown_report import HEAD, NONE, against_baseline, best_set_up, row, stale, table
from .summary import ExperimentSummary, Figures
from .text import markdown

if TYPE_CHECKING:
    from .regression import Regression


def step_summary(experiments: Sequence[ExperimentSummary], regression: Regression | None) -> str:
    """The tables of tiers, in Markdown and without links, and the comparison with a baseline."""
    parts = [_experiment(experiment) for experiment in experiments]
    if regression is not None:
        from .regression import notes, table_of, verdict

        found = verdict(regression), table_of(regression), notes(regression)
        parts.append(against_baseline(*found))
    return "\n".join(parts)


def _experiment(experiment: ExperimentSummary) -> str:
    lines = [
        [tier.id, *row(tier.figures), tier.best.id if tier.best else NONE]
        for tier in experiment.tiers
    ]
    total = ["all", *row(experiment.figures), best_set_up(experiment)]
    found = table(["tier", *HEAD, "best"], [*lines, total])
    remark = f"\n{markdown(stale(experiment).strip())}\n" if experiment.stale else ""
    return f"## {markdown(experiment.id)}\n\n{found}{remark}"


def suite_properties(experiment: ExperimentSummary) -> Iterator[tuple[str, str]]:
    """Name and value of what a JUnit file says of each tier; what is not known is left out."""
    if experiment.stale:
        yield f"scylla.{experiment.id}.stale_runs", str(sum(experiment.stale.values()))
    for tier in experiment.tiers:
        for name, value in _figures(tier.figures).items():
            if value is not None:
                yield f"scylla.{experiment.id}.{tier.id}.{name}", str(value)
        if tier.best is not None:
            yield f"scylla.{experiment.id}.{tier.id}.best_subtest", tier.best.id


def _figures(figures: Figures) -> dict[str, float | None]:
    return {
        "total_runs": len(figures.runs),
        "passed": figures.passed,
        "failed": figures.failed,
        "errors": figures.errors,
        "pass_rate": figures.pass_rate,
        "mean_score": figures.mean_score,
        "total_cost": figures.cost,
        "cost_of_pass": figures.cost_of_pass,
    }
