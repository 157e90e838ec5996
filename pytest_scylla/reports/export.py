"""export/: the runs as tables, for notebooks and other programs. Columns are ProjectScylla's."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import ScyllaError
from ..statistics import implementation_rate, mean, median
from ..store import now, own_directory, read_json, write_bytes, write_json, write_text
from .summary import ExperimentSummary, Figures, RunSummary, SubtestSummary
from .table import COLUMNS, Row, rows_of
from .text import for_spreadsheet

Table = tuple[Sequence[str], list[Sequence[Any]]]
"""Names of the columns, and the rows."""

CELL = ("experiment", "agent_model", "tier", "subtest")
JUDGE = (*CELL, "run_number", "judge_model", "judge_number")
JUDGES = (
    *JUDGE,
    *("judge_score", "judge_impl_rate", "judge_passed", "judge_grade", "judge_is_valid"),
    "judge_reasoning",
)
CRITERIA = (*JUDGE, "criterion", "criterion_score", "criterion_achieved", "criterion_max")
GRADES = ("S", "A", "B", "C", "D", "F")
SUBTESTS = (
    *CELL,
    *("pass_rate", "mean_score", "median_score", "std_score"),
    *("mean_impl_rate", "median_impl_rate", "std_impl_rate", "consistency"),
    *("mean_cost", "total_cost", "mean_duration", "cop"),
    *(f"grade_{grade}" for grade in GRADES),
    *("modal_grade", "total_runs", "judged", "errors"),
)
FILES = ("runs", "judges", "criteria", "subtests")
INSTALL_PARQUET = "pip install 'pyarrow>=18,<27'"


def write_exports(experiment: ExperimentSummary, *, keep: bool = False) -> list[Row] | None:
    """Write export/ of a results directory, unless it is made from these runs already.

    Returns the rows of runs.csv, or None where nothing was written. With `keep`, files that are
    there stay as they are.
    """
    folder = experiment.path / "export"
    if is_current(folder / "summary.json", experiment) and all(
        (folder / f"{name}.csv").exists() for name in FILES
    ):
        return None
    rows = rows_of(experiment)
    own_directory(folder)
    for name, (head, lines) in tables(experiment, rows).items():
        path = folder / f"{name}.csv"
        if not (keep and path.exists()):
            write_text(path, _csv(head, lines))
    if not (keep and (folder / "summary.json").exists()):
        write_json(folder / "summary.json", summary(experiment))
    return rows


def is_current(path: Path, experiment: ExperimentSummary) -> bool:
    """Whether a derived file says that it was made from the runs as they are."""
    return (read_json(path) or {}).get("made_from") == experiment.digest


def write_parquet(experiment: ExperimentSummary) -> list[Path]:
    """The same tables as Parquet, beside the CSV files; needs pyarrow (the extra `parquet`).

    Raises ScyllaError where it is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ScyllaError(f"{error}\n  next: {INSTALL_PARQUET}") from None

    written = []
    for name, (head, lines) in tables(experiment, rows_of(experiment)).items():
        columns = {column: [line[place] for line in lines] for place, column in enumerate(head)}
        target = io.BytesIO()
        metadata = {"made_from": experiment.digest}
        parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), target)
        path = experiment.path / "export" / f"{name}.parquet"
        write_bytes(path, target.getvalue())
        written.append(path)
    return written


def tables(experiment: ExperimentSummary, rows: Sequence[Row]) -> dict[str, Table]:
    """Name of the file -> table; `rows` are those of the experiment."""
    return {
        "runs": (COLUMNS, [[getattr(row, name) for name in COLUMNS] for row in rows]),
        "judges": (JUDGES, list(_judges(experiment))),
        "criteria": (CRITERIA, list(_criteria(experiment))),
        "subtests": (SUBTESTS, [line for _, line in _subtests(experiment)]),
    }


def _csv(head: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return target.getvalue()


def _runs(experiment: ExperimentSummary) -> Iterator[tuple[list[Any], RunSummary]]:
    for tier in experiment.tiers:
        for subtest in tier.subtests:
            for run in subtest.runs:
                yield [experiment.id, experiment.agent, tier.id, subtest.id, run.number], run


def _judges(experiment: ExperimentSummary) -> Iterator[list[Any]]:
    for cell, run in _runs(experiment):
        for vote in run.votes:
            rate = implementation_rate(vote.criteria_scores)
            judge = [vote.model, vote.judge_number, vote.score, rate, vote.passed, vote.grade]
            yield [*cell, *judge, vote.is_valid, for_spreadsheet(vote.reasoning)]


def _criteria(experiment: ExperimentSummary) -> Iterator[list[Any]]:
    for cell, run in _runs(experiment):
        for vote in run.votes:
            for name, category in vote.criteria_scores.items():
                score = None if category.score == "N/A" else category.score
                points = [name, score, category.achieved, category.max]
                yield [*cell, vote.model, vote.judge_number, *points]


def _subtests(experiment: ExperimentSummary) -> Iterator[tuple[SubtestSummary, list[Any]]]:
    for tier in experiment.tiers:
        for subtest in tier.subtests:
            cell = [experiment.id, experiment.agent, tier.id, subtest.id]
            figures = subtest.figures
            grades = [figures.grades.get(grade, 0) for grade in GRADES]
            counts = [len(figures.runs), figures.judged, figures.errors]
            yield (
                subtest,
                [*cell, *_subtest(figures).values(), *grades, figures.modal_grade, *counts],
            )


def _subtest(figures: Figures) -> dict[str, Any]:
    return {
        "pass_rate": figures.pass_rate,
        "mean_score": figures.mean_score,
        "median_score": figures.median_score,
        "std_score": figures.deviation,
        "mean_impl_rate": mean(figures.implementation_rates),
        "median_impl_rate": median(figures.implementation_rates),
        "std_impl_rate": figures.implementation_deviation,
        "consistency": figures.consistency,
        "mean_cost": figures.mean_cost,
        "total_cost": figures.cost,
        "mean_duration": mean(figures.durations),
        "cop": figures.cost_of_pass,
    }


# -- summary.json ----------------------------------------------------------------------------------


def summary(experiment: ExperimentSummary) -> dict[str, Any]:
    """summary.json: the figures of the experiment, of its agent and of every tier."""
    figures = experiment.figures
    votes = [vote for run in figures.runs for vote in run.votes]
    subtests = sum(len(tier.subtests) for tier in experiment.tiers)
    tiers = [tier.id for tier in experiment.tiers]
    return {
        "made_from": experiment.digest,
        "generated_at": now(),
        "plugin_version": __version__,
        "experiment_id": experiment.id,
        "total_experiments": 1,
        "total_runs": len(figures.runs),
        "total_judge_evaluations": len(votes),
        "total_criteria_scores": sum(len(vote.criteria_scores) for vote in votes),
        "total_subtests": subtests,
        "models": [experiment.agent],
        "tiers": tiers,
        "overall_stats": _overall(figures),
        "by_model": {
            experiment.agent: {
                **_overall(figures),
                **_spread(figures),
                "frontier_cop": experiment.frontier,
                "n_subtests": subtests,
                "tiers": tiers,
            }
        },
        "by_tier": {
            tier.id: {**_overall(tier.figures), "n_subtests": len(tier.subtests)}
            for tier in experiment.tiers
        },
    }


def _overall(figures: Figures) -> dict[str, Any]:
    return {
        "total_runs": len(figures.runs),
        "judged": figures.judged,
        "errors": figures.errors,
        **_subtest(figures),
        "mean_cost_per_run": figures.mean_cost,
        "total_tokens": figures.tokens.total,
    }


def _spread(figures: Figures) -> dict[str, Any]:
    rates = figures.implementation_rates
    return {
        "min_score": min(figures.scores, default=None),
        "max_score": max(figures.scores, default=None),
        "q1_score": figures.quartile(1),
        "q3_score": figures.quartile(3),
        "min_impl_rate": min(rates, default=None),
        "max_impl_rate": max(rates, default=None),
        "median_cost": median([r.cost_usd for r in figures.results if r.cost_usd is not None]),
    }
