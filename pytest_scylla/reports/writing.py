"""Write the reports of a results directory; a report that already says it is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..evaluation import write_if_changed
from ..store import now, read_json, write_json
from . import json_report, markdown_report
from .spending import spent
from .summary import ExperimentSummary, summarise, summarise_run


def write_reports(results: Path) -> ExperimentSummary:
    """Reports and checkpoint.json of an experiment, its tiers and subtests, from what is there."""
    experiment = summarise(results)
    money = spent(results)
    for tier in experiment.tiers:
        for subtest in tier.subtests:
            _write(
                subtest.path,
                json_report.subtest_report(subtest, tier.id),
                markdown_report.subtest_report(subtest, tier.id),
            )
            for run in subtest.runs:
                if not (run.path / "report.md").exists():
                    write_run_report(run.path)
        _write(tier.path, json_report.tier_report(tier), markdown_report.tier_report(tier))
        _write_json(tier.path / "result.json", json_report.tier_result(tier))
        _write_json(tier.path / "best_subtest.json", json_report.best_subtest(tier))
    _write(
        results,
        json_report.experiment_report(experiment, money),
        markdown_report.experiment_report(experiment, money),
    )
    _write_json(results / "checkpoint.json", checkpoint(experiment), "last_updated_at")
    return experiment


def write_run_report(path: Path) -> None:
    """report.json and report.md of one run."""
    run = summarise_run(path)
    _write(path, json_report.run_report(run), markdown_report.run_report(run))


def _write(folder: Path, data: dict[str, Any], text: str) -> None:
    _write_json(folder / "report.json", data)
    write_if_changed(folder / "report.md", text)


def _write_json(path: Path, data: dict[str, Any], time: str = "generated_at") -> None:
    kept = read_json(path)
    if kept is None or {k: v for k, v in kept.items() if k != time} != data:
        write_json(path, {**data, time: now()})


def checkpoint(experiment: ExperimentSummary) -> dict[str, Any]:
    """checkpoint.json: derived from the run directories, and never read by the plugin."""
    config = read_json(experiment.path / "config" / "experiment.json") or {}
    completed: dict[str, dict[str, dict[str, str]]] = {}
    for tier in experiment.tiers:
        for subtest in tier.subtests:
            for run in subtest.runs:
                status = _status(run.path, run.result.judge_passed if run.result else None)
                if status:
                    runs = completed.setdefault(tier.id, {}).setdefault(subtest.id, {})
                    runs[str(run.number)] = status
    return {
        "version": "3.0",
        "experiment_id": experiment.id,
        "experiment_dir": ".",
        "config_hash": str(config.get("config_hash", "")),
        "completed_runs": completed,
        "started_at": config.get("created_at"),
        "status": "completed" if experiment.figures.errors == 0 else "interrupted",
    }


def _status(path: Path, passed: bool | None) -> str | None:
    if passed is not None:
        return "passed" if passed else "failed"
    output = path / "agent" / "output.txt"
    return "agent_complete" if output.exists() and output.stat().st_size else None
