"""Write the reports of a results directory; a report that already says it is left alone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ..evaluation import write_if_changed
from ..store import RunDir, now, read_json, write_json
from ..tree import ResultsTree, folders
from . import json_report, markdown_report
from .comparison import comparison_of
from .export import write_exports
from .page import write_agents_page, write_page
from .panel import panel_figures
from .spending import spent
from .statistics_report import decision_of, differences, set_ups_compared, statistics_of
from .summary import ExperimentSummary, RunSummary, summarise, summarise_run


def report(experiment: ExperimentSummary, new: bool, *, afresh: bool = False) -> ExperimentSummary:
    """Reports after a session. In a tree of ProjectScylla in which nothing is `new` the reports
    stay as they are. `afresh`: as for `write_reports`."""
    if new or not ResultsTree(experiment.path).foreign:
        _write_all(experiment, keep=False, afresh=afresh)
    return experiment


def write_reports(
    results: Path,
    *,
    keep: bool = False,
    latest: bool = False,
    afresh: bool = True,
) -> ExperimentSummary:
    """Reports and checkpoint.json of an experiment, its tiers and subtests, from what is there.

    With `keep`, what is there of them stays as it is, and only what is missing is written.
    `latest`: of several attempts the latest counts, and not the first. Without `afresh`, reports
    of subtests that name the runs they would be made from are left alone.
    """
    experiment = summarise(results, latest=latest)
    _write_all(experiment, keep=keep, afresh=afresh)
    return experiment


def _write_all(experiment: ExperimentSummary, *, keep: bool, afresh: bool) -> None:
    results = experiment.path
    money, panel = spent(results), panel_figures(experiment)
    against = comparison_of(experiment)
    write_exports(experiment, keep=keep)
    statistics = write_statistics(experiment, keep=keep)
    surety = set_ups_compared(experiment, statistics) + differences(statistics)
    for tier in (*experiment.tiers, *experiment.left_out):
        for subtest in tier.all_subtests:
            if afresh or not _is_current(subtest.path, subtest.digest, keep):
                _write(
                    subtest.path,
                    json_report.subtest_report(subtest, tier.id),
                    markdown_report.subtest_report(subtest, tier.id),
                    keep,
                )
            for run in (*subtest.runs, *subtest.stale):
                if not _is_current(run.path, run.digest, keep):
                    _write_run_report(run, keep)
        _write(tier.path, json_report.tier_report(tier), markdown_report.tier_report(tier), keep)
        _write_json(tier.path / "result.json", json_report.tier_result(tier), keep)
        _write_json(tier.path / "best_subtest.json", json_report.best_subtest(tier), keep)
    _write(
        results,
        json_report.experiment_report(experiment, money, panel, decision_of(statistics)),
        markdown_report.experiment_report(experiment, money, panel, surety, against),
        keep,
    )
    path = results / "checkpoint.json"
    _write_json(path, checkpoint(experiment, ResultsTree(results)), keep, "last_updated_at")
    write_page(experiment, money, panel, against, keep=keep)


def write_agents_report(results: Path, *, latest: bool = False) -> list[ExperimentSummary]:
    """Reports and page of an experiment with several agents, each with a directory in `results`.

    Returns their summaries, also of those that the session did not touch.
    """
    trees = [results / name for name in folders(results)]
    found = [summarise(tree, latest=latest) for tree in trees if ResultsTree(tree).tiers()]
    agents = [one for one in found if one.agent_name]
    if agents:
        data, text = json_report.agents_report(agents), markdown_report.agents_report(agents)
        _write(results, data, text, keep=False)
        write_agents_page(results, agents)
    return agents


def write_run_report(path: Path, *, keep: bool = False) -> None:
    """report.json and report.md of one run."""
    _write_run_report(summarise_run(RunDir(path)), keep)


def write_statistics(experiment: ExperimentSummary, *, keep: bool = False) -> dict[str, Any]:
    """export/statistics.json, unless it is made from these runs already; returns what it says."""
    path = experiment.path / "export" / "statistics.json"
    kept = read_json(path)
    if kept is not None and (keep or _is_whole(kept, experiment)):
        return kept
    made = statistics_of([experiment])
    write_json(path, made)
    return made


def _is_whole(kept: dict[str, Any], experiment: ExperimentSummary) -> bool:
    """It is made from these runs; files of earlier versions may lack a part."""
    return kept.get("made_from") == experiment.digest and "pairs" in kept


def _is_current(folder: Path, made_from: str, keep: bool) -> bool:
    """The reports in a folder are there, and name this digest."""
    if not os.path.exists(f"{folder}/report.md"):
        return False
    kept = read_json(f"{folder}/report.json")
    return kept is not None and (keep or kept.get("made_from") == made_from)


def _write_run_report(run: RunSummary, keep: bool) -> None:
    _write(run.path, json_report.run_report(run), markdown_report.run_report(run), keep)


def _write(folder: Path, data: dict[str, Any], text: str, keep: bool) -> None:
    _write_json(folder / "report.json", data, keep)
    if not (keep and (folder / "report.md").exists()):
        write_if_changed(folder / "report.md", f"{text}\n<!-- made from: {data['made_from']} -->\n")


def _write_json(path: Path, data: dict[str, Any], keep: bool, time: str = "generated_at") -> None:
    kept = read_json(path)
    if kept is not None and (keep or {k: v for k, v in kept.items() if k != time} == data):
        return
    write_json(path, {**data, time: now()})


def checkpoint(experiment: ExperimentSummary, tree: ResultsTree) -> dict[str, Any]:
    """checkpoint.json: derived from the run directories, and never read by the plugin."""
    completed: dict[str, dict[str, dict[str, str]]] = {}
    for tier in experiment.tiers:
        for subtest in tier.subtests:
            for run in subtest.runs:
                status = _status(run.path, run.result.judge_passed if run.result else None)
                if status:
                    runs = completed.setdefault(tier.id, {}).setdefault(subtest.id, {})
                    runs[str(run.number)] = status
    own = {"version": "3.0", "experiment_dir": ".", "made_from": experiment.digest}
    return {
        **(_of_projectscylla(tree) if tree.foreign else own),
        "experiment_id": experiment.id,
        "config_hash": str(tree.config.get("config_hash") or _config_hash(tree)),
        "completed_runs": completed,
        "started_at": tree.config.get("created_at") or _started_at(tree),
        "status": "completed" if experiment.figures.errors == 0 else "interrupted",
    }


def _of_projectscylla(tree: ResultsTree) -> dict[str, Any]:
    """What only its own checkpoint has; its version 2.0 is read by all later ones."""
    limits = {"rate_limit_source": None, "rate_limit_until": None, "pause_count": 0, "pid": None}
    return {"version": "2.0", "experiment_dir": str(tree.path), **limits}


def _config_hash(tree: ResultsTree) -> str:
    """ProjectScylla's: SHA-256 over the configuration less what does not change results."""
    if not tree.foreign or not tree.config:
        return ""
    left_out = ("parallel_subtests", "max_subtests")
    config = {name: value for name, value in tree.config.items() if name not in left_out}
    text = json.dumps(config, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _started_at(tree: ResultsTree) -> str | None:
    report = read_json(tree.path / "report.json") or {}
    said = report.get("summary", {}).get("started_at")
    return said if isinstance(said, str) else None


def _status(path: Path, passed: bool | None) -> str | None:
    if passed is not None:
        return "passed" if passed else "failed"
    output = path / "agent" / "output.txt"
    return "agent_complete" if output.exists() and output.stat().st_size else None
