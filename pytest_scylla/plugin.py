"""The plugin: options, markers, hooks. Every hook is a switchboard; the work is done elsewhere.

Nothing heavy is imported before there is an experiment among the arguments.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import collection, gate, hookspecs, recovery, reporting, selection, session
from .arguments import minutes, usd
from .collection import SESSION, ExperimentFile
from .fixtures import agent_result, judgments, pipeline_result, run, verdict, workspace

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from .agents import Agent
    from .experiment import StepConfig
    from .judges import Judge
    from .recorder import Recorder

__all__ = ["agent_result", "judgments", "pipeline_result", "run", "verdict", "workspace"]

MARKERS = (
    *(f"tier_T{n}: runs of tier T{n}" for n in range(7)),
    "inherits: runs of subtests that inherit from the best of other tiers",
    "scylla(experiment, tier, subtest, run): what a run is; on a test function: "
    "@pytest.mark.scylla('path/to/experiment.yaml') calls it for every run of that experiment",
)
WORKER_INPUT = "scylla"
SELECTED_INPUT = "scylla_selected"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini names; `--help` shows them in the group `scylla`."""
    group = parser.getgroup("scylla", "runs of AI coding agents (pytest-scylla)")
    group.addoption(
        "--scylla-results",
        metavar="DIR",
        help="directory that holds the results directories (ini: scylla_results; default: results)",
    )
    group.addoption(
        "--scylla-fresh",
        action="store_true",
        help="start a new results directory instead of continuing the newest one",
    )
    group.addoption(
        "--scylla-budget",
        type=usd,
        metavar="USD",
        help="spending limit of the session, across all workers; runs over it are skipped until "
        "next time",
    )
    group.addoption(
        "--scylla-max-wait",
        type=minutes,
        default=30.0,
        metavar="MINUTES",
        help="minutes to wait for a rate-limited provider before the run errors (default: 30); it "
        "is retried in the next session",
    )
    group.addoption(
        "--scylla-live",
        choices=("auto", "no"),
        default="auto",
        help="a line for each finished run, and on a terminal a status area (default: auto); `no`: "
        "pytest's normal progress output",
    )
    selection.add_options(group)
    recovery.add_options(group)
    gate.add_options(group)
    parser.addini(
        "scylla_results", "directory that holds the results directories", default="results"
    )
    parser.addini(
        "scylla_prices",
        "price files (YAML, paths relative to the ini file) that add to or override the built-in "
        "list",
        type="paths",
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Our own hooks."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Markers, and the session's decisions: made here, or in the process that started us."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        reporting.open_worker(config, worker_input[WORKER_INPUT], worker_input[SELECTED_INPUT])
    else:
        reporting.open_controller(config)


class XdistHooks:
    """Hooks of pytest-xdist; registered only where it is there."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hand the session's decisions to a worker."""
        node.workerinput[WORKER_INPUT] = node.config.stash[SESSION].to_json()
        node.workerinput[SELECTED_INPUT] = self.recorder.selected


class _Adapters(Mapping[str, Any]):
    """Adapter classes by name; a module is imported when its adapter is asked for."""

    def __init__(self, package: str, classes: Mapping[str, str]) -> None:
        self._package = package
        self._classes = classes

    def __getitem__(self, name: str) -> Any:
        adapter = self._classes[name]
        module = f".{self._package}.{name.replace('-', '_')}"
        return getattr(importlib.import_module(module, __package__), adapter)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


@pytest.hookimpl(trylast=True)
def pytest_scylla_agents() -> Mapping[str, type[Agent]]:
    """The built-in agents, by the same door as everybody's."""
    classes = {
        "command": "Command",
        "claude-code": "ClaudeCode",
        "codex": "Codex",
        "opencode": "OpenCode",
    }
    return _Adapters("agents", classes)


@pytest.hookimpl(trylast=True)
def pytest_scylla_judges() -> Mapping[str, type[Judge]]:
    """The built-in judges, by the same door as everybody's."""
    classes = {
        "rubric-checks": "RubricChecks",
        "anthropic": "Anthropic",
        "claude-code": "ClaudeCode",
        "command": "Command",
    }
    return _Adapters("judges", classes)


@pytest.hookimpl(trylast=True)
def pytest_scylla_pipeline() -> Mapping[str, Sequence[StepConfig]]:
    """The built-in languages, by the same door as everybody's."""
    from .pipeline import PYTHON

    return {"python": PYTHON}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What lies in results, task directories and tier libraries is no test."""
    return session.is_ignored(collection_path, config) or None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ExperimentFile | None:
    """An experiment.yaml is a file of tests."""
    if file_path.name.lower() not in session.ALMOST:
        return None
    if not (parent.session.isinitpath(file_path) or session.looks_like_experiment(file_path)):
        return None
    return ExperimentFile.from_parent(parent, path=file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.scylla(path)` on a test function."""
    collection.parametrize(metafunc)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Which runs are selected; those that inherit come after those they inherit from."""
    selection.select(config, items)
    collection.order(items)
    reporting.limit_reruns(config, items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a report says of a run, and why a run has no verdict."""
    report = yield
    reporting.annotate(item, call, report)
    return report


def pytest_report_teststatus(
    report: pytest.CollectReport | pytest.TestReport,
) -> tuple[str, str, str | tuple[str, Mapping[str, bool]]] | None:
    """Letters and words of our own, for runs only."""
    return reporting.status(report)
