"""Runs as rows of a table: of results directories, and of the CSV files that are made from them.

The key of a cell is experiment, agent, tier, subtest and run: without all five, runs of different
experiments would be taken for one another.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict

from ..errors import InputError
from ..reading import read_bytes
from ..results import Record
from ..store import RunDir, read_json
from ..tree import ResultsTree, folders, is_results_tree
from ..yamlfile import parse
from .summary import ExperimentSummary, RunSummary, summarise


class Key(NamedTuple):
    """What a cell is."""

    experiment: str
    agent_model: str
    tier: str
    subtest: str
    run_number: int


class Row(Record):
    """One run. The columns of runs.csv; those up to `pr_revert_rate` are ProjectScylla's.

    What is not known is None, and an empty cell: never 0.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    experiment: str
    agent_model: str = ""
    tier: str
    subtest: str
    run_number: int
    score: float | None = None
    """0 to 1; None without a verdict."""
    impl_rate: float | None = None
    """Points achieved of those that could be: the median of the judges."""
    passed: bool | None = None
    grade: str | None = None
    cost_usd: float | None = None
    duration_seconds: float | None = None
    agent_duration_seconds: float | None = None
    judge_duration_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_tokens: int | None = None
    cache_read_tokens: int | None = None
    total_tokens: int | None = None
    exit_code: int | None = None
    api_calls: int | None = None
    """Turns, as the agent counts them."""
    num_turns: int | None = None
    num_models: int | None = None
    delegation_cost_ratio: float | None = None
    r_prog: float | None = None
    strategic_drift: float | None = None
    cfp: float | None = None
    pr_revert_rate: float | None = None
    error: str | None = None
    """Why there is no verdict: the kind of the error."""
    attempts: int | None = None
    agent_digest: str | None = None
    """Of what the agent left: its answer and its patch."""

    @property
    def key(self) -> Key:
        """The cell."""
        return Key(self.experiment, self.agent_model, self.tier, self.subtest, self.run_number)


COLUMNS = tuple(Row.model_fields)


def rows_of(summary: ExperimentSummary) -> list[Row]:
    """The runs of an experiment."""
    return [
        _row(summary, tier.id, subtest.id, run)
        for tier in summary.tiers
        for subtest in tier.subtests
        for run in subtest.runs
    ]


def _row(summary: ExperimentSummary, tier: str, subtest: str, run: RunSummary) -> Row:
    agent = read_json(run.path / "agent" / "result.json") or {}
    result = run.result
    verdict: dict[str, Any] = {}
    if result is not None:
        tokens = result.token_stats
        verdict = {
            "score": result.judge_score,
            "impl_rate": run.implementation_rate,
            "passed": result.judge_passed,
            "grade": result.judge_grade,
            "duration_seconds": result.duration_seconds,
            "agent_duration_seconds": result.agent_duration_seconds,
            "judge_duration_seconds": result.judge_duration_seconds,
            "input_tokens": tokens.input_tokens,
            "output_tokens": tokens.output_tokens,
            "cache_creation_tokens": tokens.cache_creation_tokens,
            "cache_read_tokens": tokens.cache_read_tokens,
            "total_tokens": tokens.total,
            "exit_code": result.exit_code,
        }
    return Row(
        experiment=summary.id,
        agent_model=summary.agent,
        tier=tier,
        subtest=subtest,
        run_number=run.number,
        cost_usd=run.cost_usd,
        api_calls=agent.get("api_calls") if run.attempts == 1 else None,
        error=run.failure.kind if run.failure else None,
        attempts=run.attempts,
        agent_digest=_agent_digest(run),
        **verdict,
    )


def _agent_digest(run: RunSummary) -> str | None:
    """As the judges' slots recorded it; of the files, where they did not."""
    stages = run.result.inputs if run.result else {}
    said = [
        inputs["agent"]
        for stage, inputs in stages.items()
        if stage.startswith("judge_") and "agent" in inputs
    ]
    if said or run.attempts > 1:
        return said[0] if said else None
    there = RunDir(run.path)
    return there.execution if there.agent_output.exists() else None


# -- reading ---------------------------------------------------------------------------------------


def read_table(path: Path) -> list[Row]:
    """The runs of a results directory, of a directory of such (the newest of each experiment), or
    of a table of runs: CSV, or JSON with a list of runs (alone, or under `runs`).

    Raises InputError where it is none of them.
    """
    if path.is_dir():
        return [row for tree in results_below(path) for row in rows_of(summarise(tree))]
    records = _of_json(path) if path.suffix == ".json" else _of_csv(path)
    rows = [_parsed(path, number, record) for number, record in enumerate(records, 1)]
    if not rows:
        raise InputError(path, "", "no runs in it", "name a table with a row for every run")
    _no_cell_twice(path, rows)
    return rows


def results_below(path: Path) -> list[Path]:
    """A results directory itself, or the newest of each experiment in a directory of such.

    Raises InputError where there is none.
    """
    if is_results_tree(path):
        return [path]
    newest: dict[str, Path] = {}
    for place in _places(path):
        newest[ResultsTree(place).experiment_id] = place
    if not newest:
        raise InputError(
            path, "", "no results in it", "name a results directory: results/<time>-<experiment>"
        )
    return list(newest.values())


def _places(path: Path) -> Iterator[Path]:
    """Results directories in a directory, and in those of experiments with several agents."""
    for name in folders(path):
        if is_results_tree(path / name):
            yield path / name
        else:
            inner = (path / name / agent for agent in folders(path / name))
            yield from (place for place in inner if is_results_tree(place))


def _of_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
        yield from csv.DictReader(io.StringIO(text, newline=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from None


def _of_json(path: Path) -> Sequence[Mapping[str, Any]]:
    try:
        value = json.loads(read_bytes(path))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    runs = value.get("runs") if isinstance(value, dict) else value
    if isinstance(runs, list) and all(isinstance(run, dict) for run in runs):
        return runs
    raise InputError(path, "runs", "no list of runs", "name runs.csv, or a results directory")


def _unreadable(path: Path, error: Exception) -> InputError:
    problem = getattr(error, "strerror", None) or f"it cannot be read: {error}"
    step = "name a results directory, or a table of runs (CSV or JSON)"
    return InputError(path, "", problem, step)


EMPTY = frozenset({"", "nan", "none", "null", "n/a"})
"""What an empty cell may look like."""


def _parsed(path: Path, number: int, record: Mapping[str, Any]) -> Row:
    known = {
        name: value
        for name, value in record.items()
        if name in Row.model_fields and str(value).strip().lower() not in EMPTY
    }
    return parse(path, Row, known, f"run {number}")


def _no_cell_twice(path: Path, rows: Sequence[Row]) -> None:
    seen: set[Key] = set()
    for row in rows:
        if row.key in seen:
            name = "/".join(map(str, row.key))
            raise InputError(path, "", f"{name} is in it twice", "keep one row for every run")
        seen.add(row.key)
