"""What pytest shows of runs: annotations on reports, letters and words, skips and errors."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import recovery, session
from .collection import SESSION, RunItem
from .errors import NotRun, RunError, ScyllaError, disk_error
from .fixtures import RUN, VERDICT, Verdict
from .selection import SELECTED

if TYPE_CHECKING:
    from .evaluation import Run
    from .recorder import Recorder

PARSED = "scylla_facts"
"""The same, parsed once in the process that shows it."""

ATTRIBUTE = "scylla"
"""Name of the attribute on a report: one JSON string, so that it travels from any worker."""


def open_controller(config: pytest.Config) -> None:
    """In the process that the user started: decide, and register what this session needs."""
    if config.getoption("scylla_explain") or config.getoption("scylla_plan"):
        config.option.collectonly = True
    added = _lastfailed_experiments(config)
    config.args.extend(added)
    again = _selected_by_lastfailed(config)
    config.stash[SESSION] = session.open_session(config, again, added)
    from .recorder import Recorder

    recorder = Recorder(config, session.discover(config))
    recovery.register(config, recorder)
    config.pluginmanager.register(recorder, "scylla-recorder")
    if recorder.known:
        from .html import HtmlColumns

        config.pluginmanager.register(HtmlColumns(config, recorder), "scylla-html")
        _register_gate(config, recorder)
        _register_replay(config)
        _register_live(config, recorder)
    _register_xdist_hooks(config, recorder)


def _register_live(config: pytest.Config, recorder: Recorder) -> None:
    from .live import Live, wants_area

    if config.getoption("scylla_live") == "auto" and not config.getoption("collectonly"):
        config.pluginmanager.register(Live(config, recorder, wants_area(config)), "scylla-live")


def _register_gate(config: pytest.Config, recorder: Recorder) -> None:
    if config.getoption("scylla_baseline") and not config.getoption("collectonly"):
        from .gate import Gate

        config.pluginmanager.register(Gate(config, recorder), "scylla-gate")


def open_worker(config: pytest.Config, text: str, selected: list[str]) -> None:
    """In a worker of xdist: take over what was decided."""
    decided = config.stash[SESSION] = session.Session.from_json(text)
    config.args.extend(decided.added)
    if selected:
        config.stash[SELECTED] = frozenset(selected)
    if decided.scheduled:
        from .interruption import heed
        from .scheduling import WorkerSide

        _register_replay(config)
        heed()
        config.pluginmanager.register(WorkerSide(), "scylla-worker")


def _register_replay(config: pytest.Config) -> None:
    from .replay import Replay

    config.pluginmanager.register(Replay(config), "scylla-replay")


def _register_xdist_hooks(config: pytest.Config, recorder: Recorder) -> None:
    if not config.pluginmanager.hasplugin("xdist"):
        return
    from .plugin import XdistHooks

    config.pluginmanager.register(XdistHooks(recorder), "scylla-xdist")
    if recorder.known and config.getoption("dist", "no") != "no":
        from .scheduling import ControllerSide

        _refuse_other_dist(config)
        config.stash[SESSION] = dataclasses.replace(config.stash[SESSION], scheduled=True)
        config.pluginmanager.register(ControllerSide(recorder), "scylla-controller")


def _refuse_other_dist(config: pytest.Config) -> None:
    dist = config.getoption("dist")
    if dist != "load":
        raise pytest.UsageError(
            f"--dist {dist} cannot run experiments: their runs have an order of their own "
            "(tiers that inherit come after their parents).\n  next: leave --dist away"
        )


def _lastfailed(config: pytest.Config) -> list[str]:
    cache = getattr(config, "cache", None)
    found = cache.get("cache/lastfailed", {}) if cache else {}
    return [nodeid for nodeid in found if session.EXPERIMENT_FILE in nodeid]


def _selecting(config: pytest.Config) -> bool:
    return bool(config.getoption("lf", False) or config.getoption("failedfirst", False))


def _selected_by_lastfailed(config: pytest.Config) -> list[str]:
    return _lastfailed(config) if _selecting(config) else []


def _lastfailed_experiments(config: pytest.Config) -> list[str]:
    """`pytest --lf` without a path means what failed last, wherever it is: what to add."""
    if config.args_source == pytest.Config.ArgsSource.ARGS or not _selecting(config):
        return []
    added = []
    here = [Path(config.invocation_params.dir, a.split("::")[0]).resolve() for a in config.args]
    for name in dict.fromkeys(nodeid.split("::")[0] for nodeid in _lastfailed(config)):
        path = (config.rootpath / name).resolve()
        covered = any(path == place or place in path.parents for place in here)
        if path.is_file() and not covered:
            added.append(str(path))
    return added


def limit_reruns(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`--reruns` draws a paid sample again and biases it: for runs it holds for errors only."""
    reruns = config.getoption("reruns", None)
    runs = [item for item in items if isinstance(item, RunItem)]
    if not reruns or not runs or not config.pluginmanager.hasplugin("rerunfailures"):
        return
    for item in runs:
        item.add_marker(pytest.mark.flaky(reruns=reruns, rerun_except=["VerdictFailed"]))
    config.issue_config_time_warning(
        pytest.PytestWarning("--reruns repeats runs that ended in ERROR, never a verdict"), 2
    )


def annotate(item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport) -> None:
    """Put on a run's report what reporters need, and keep the reason of an error on disk."""
    run = item.stash.get(RUN, None)
    if run is None:
        return
    error = call.excinfo.value if call.excinfo else None
    error = disk_error(error) or error
    if isinstance(error, ScyllaError):
        from .reports.text import plain

        report.longrepr = plain(str(error))
    if report.skipped and isinstance(item, RunItem) and isinstance(report.longrepr, tuple):
        report.longrepr = (item.nodeid.split("::")[0], 0, report.longrepr[2])
    verdict = item.stash.get(VERDICT, None)
    if report.when == "setup" and report.failed and verdict is None and error is not None:
        _keep_error(run, error)
    if report.when == "call" or (report.when == "setup" and not report.passed):
        facts = _facts(run, verdict, report, error)
        setattr(report, ATTRIBUTE, json.dumps(facts))
        properties = [(f"scylla_{name}", v) for name, v in facts.items() if v is not None]
        item.user_properties += properties
        report.user_properties += properties


def _keep_error(run: Run, error: BaseException) -> None:
    if isinstance(error, NotRun):
        return
    from .reports.writing import write_run_report
    from .stages import record_failure
    from .store import links_on_the_way

    if links_on_the_way(run.evaluation.results, run.dir.path):
        return
    kind = error.kind if isinstance(error, RunError) else type(error).__name__
    record_failure(run, kind, str(error))
    with contextlib.suppress(OSError):
        write_run_report(run.dir.path)


def _facts(
    run: Run, verdict: Verdict | None, report: pytest.TestReport, error: BaseException | None
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "experiment": run.evaluation.experiment.id,
        "agent": run.evaluation.experiment.agent_name or None,
        "tier": run.subtest.tier,
        "subtest": run.subtest.id,
        "run": run.number,
        "attempts": len(run.dir.attempt_numbers()) + 1,
        "directory": str(run.dir.path),
        "results": str(run.evaluation.results),
    }
    if verdict is not None:
        result = verdict.result
        facts |= {
            "cached": verdict.cached,
            "score": result.judge_score,
            "grade": result.judge_grade,
            "passed": result.judge_passed,
            "cost_usd": result.cost_usd,
            "tokens_input": result.tokens_input,
            "tokens_output": result.tokens_output,
            "tokens_total": result.token_stats.total,
            "turns": None if verdict.cached else _turns(run),
            "duration_seconds": result.duration_seconds,
        }
    elif report.skipped and isinstance(report.longrepr, tuple):
        facts["skipped"] = report.longrepr[2].removeprefix("Skipped: ")
    elif report.failed:
        facts["error"] = error.kind if isinstance(error, RunError) else type(error).__name__
    return facts


def _turns(run: Run) -> int | None:
    """As the agent counts them."""
    from .results import AgentResult
    from .store import read_model

    result = read_model(run.dir.agent_result, AgentResult)
    return result.api_calls if result else None


def facts_of(report: Any) -> dict[str, Any] | None:
    """What `annotate` put on a report, if anything."""
    if not hasattr(report, ATTRIBUTE):
        return None
    if not hasattr(report, PARSED):
        setattr(report, PARSED, json.loads(getattr(report, ATTRIBUTE)))
    facts: dict[str, Any] = getattr(report, PARSED)
    return facts


def status(report: Any) -> tuple[str, str, str | tuple[str, Mapping[str, bool]]] | None:
    """Category, letter and word of a run's report; None: as pytest has it."""
    if report.outcome == "rerun" and report.when == "???":
        return "rerun", "R", ("LOST, RUN AGAIN", {"yellow": True})
    facts = facts_of(report) if report.when == "call" else None
    if not facts or not facts.get("cached") or hasattr(report, "wasxfail"):
        return None
    if report.passed:
        return "passed", "c", ("CACHED", {"green": True})
    if report.failed:
        return "failed", "F", ("FAILED (cached)", {"red": True})
    return None
