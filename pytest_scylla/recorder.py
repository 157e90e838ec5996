"""In the process that the user started: header, the plan's facts, reports, the closing table."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .collection import SESSION
from .columns import terminal_width, within
from .errors import InputError, ScyllaError, ScyllaWarning, UntouchedTaskWarning, disk_error
from .plan import Spec
from .reporting import facts_of
from .selection import workers
from .session import inputs_of, merged

if TYPE_CHECKING:
    from .experiment import Experiment
    from .forecast import Basis, Outcome
    from .history import History
    from .reports.summary import ExperimentSummary
    from .tenancy import Tenancy
    from .tiers import Library, Subtest

LASTFAILED = "cache/lastfailed"

UNKNOWN_COST = 60.0
"""Seconds that a run is assumed to take where neither history nor a time limit says."""


@dataclass(frozen=True)
class Known:
    """An experiment as the controller sees it."""

    experiment: Experiment
    library: Library
    results: Path

    def subtest(self, tier: str, id: str) -> Subtest | None:
        """A subtest by its ids."""
        found = self.library.tiers[tier].subtests if tier in self.library.tiers else ()
        return next((subtest for subtest in found if subtest.id == id), None)


def _restore(name: str, value: str | None) -> None:
    """Give an environment variable the value that it had."""
    os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value


class Recorder:
    """Keeps the controller's view of the session's experiments."""

    def __init__(self, config: pytest.Config, paths: Iterable[Path]) -> None:
        self.config = config
        self.known = dict(self._load(paths))
        self.selected: list[str] = []
        self.todo: list[str] = []
        """Those that had no verdict when the session began."""
        self.collected: list[pytest.Item] = []
        self.held: list[Tenancy] = []
        self.ending = contextlib.ExitStack()
        self.reported: set[str] = set()
        self.told: set[str] = set()
        """Warnings that were shown at once."""
        self.results: dict[Path, bool] = {}
        """Directory -> something in it is new."""
        self.summaries: list[ExperimentSummary] = []
        self.earlier: dict[Path, History] = {}
        """Results directory -> what was executed there before this session."""
        self.worked: list[str] = []
        """Runs that were not merely replayed."""
        self.began = self.ended = 0.0
        """When the first run could begin, and when the last one was through (seconds since the
        epoch)."""
        self.compared: str | None = None
        """Forecast against actual."""
        self.overviews: list[Path] = []
        """Reports that show several agents side by side."""
        self.trouble: str | None = None
        """Why there are no reports of the session."""

    def _load(self, paths: Iterable[Path]) -> Iterator[tuple[str, Known]]:
        """Experiments by node id, or their agents where they have several; what cannot be read is
        reported where it is collected."""
        session = self.config.stash[SESSION]
        inputs = inputs_of(self.config)
        for path in paths:
            try:
                experiment, library = inputs.read(path)
                places = [session.directory(one) for one in experiment.variants]
            except InputError:
                continue
            file = Path(os.path.relpath(path, self.config.rootpath)).as_posix()
            for one, place in zip(experiment.variants, places, strict=True):
                home = f"{file}::{one.agent_name}" if one.agent_name else file
                yield home, Known(one, library, place)

    # -- what the scheduler asks

    def is_run(self, id: str) -> bool:
        """Whether a node id is that of a run."""
        home, *parts = id.rsplit("::", 3)
        return home in self.known and len(parts) == 3

    def place(self, id: str) -> Path:
        """The directory of a run."""
        home, *parts = id.rsplit("::", 3)
        return self.known[home].results.joinpath(*parts)

    def name(self, id: str) -> str:
        """What a run is called in a session: with its experiment where there are several."""
        home, *parts = id.rsplit("::", 3)
        if home not in self.known:  # a test in a module of the user's
            return "/".join(id.split("::")[1:])
        experiment = self.known[home].experiment
        several = len({known.experiment.path for known in self.known.values()}) > 1
        agent = [experiment.agent_name] if experiment.agent_name else []
        return f"{experiment.id} " * several + "/".join([*agent, *parts])

    def has_verdict(self, id: str) -> bool:
        """A verdict is on disk."""
        return (self.place(id) / "run_result.json").exists()

    def specs(self, ids: Sequence[str]) -> list[Spec]:
        """What the plan needs to know of every item."""
        costs: dict[tuple[str, str, str], float] = {}
        return [self._spec(id, costs) if self.is_run(id) else Spec(id, cost=0.0) for id in ids]

    def _spec(self, id: str, costs: dict[tuple[str, str, str], float]) -> Spec:
        home, tier, name, _ = id.rsplit("::", 3)
        known = self.known[home]
        subtest = known.subtest(tier, name)
        if (home, tier, name) not in costs:
            costs[home, tier, name] = self._cost(known, tier, name)
        shared = known.experiment.settings.workspace.scope == "subtest"
        return Spec(
            id,
            group=f"{home}::{tier}",
            after=tuple(f"{home}::{t}" for t in subtest.inherit_best_from) if subtest else (),
            cost=costs[home, tier, name],
            holds=(f"{home}::{tier}::{name}",) if shared else (),
        )

    def _cost(self, known: Known, tier: str, subtest: str) -> float:
        """Seconds that an agent took with this subtest before, or may take at most."""
        from .store import read_json

        timing = read_json(known.results / tier / subtest / "run_01" / "agent" / "timing.json")
        measured = (timing or {}).get("agent_duration_seconds")
        return float(measured or known.experiment.task.timeout or UNKNOWN_COST)

    def clean_after_loss(self, id: str) -> None:
        """End what a dead worker's run has left behind: nobody else will."""
        from .processes import sweep
        from .store import clean_temporary

        sweep(self.place(id))
        clean_temporary(self.place(id))

    def give_up(self, id: str, why: str) -> None:
        """A run that killed its worker too often gets a durable reason, before others go on."""
        from .results import RunFailure
        from .store import now, write_json

        failure = RunFailure(kind="lost", message=why, stage="agent", at=now())
        write_json(self.place(id) / "error.json", failure, sync=True)

    # -- what pytest tells

    def pytest_report_header(self) -> list[str] | None:
        """Where results go, and who works and judges: a line for each experiment; what decides a
        score if that is mixed."""
        if not self.known:
            return None
        from .reports.spending import spending

        parts = []
        for known in self.known.values():
            settings = known.experiment.settings
            state = "continued" if known.results.is_dir() else "new"
            judges = ", ".join(judge.adapter for judge in settings.judges)
            place = self._shown(known.results)
            if known.results.is_dir():
                state += f", spent so far {spending(self._earlier(known).executions)}"
            agent = f"agent {settings.agent.adapter}, {self._isolation(known)}"
            parts.append(f"{place} ({state}; {agent}, judges {judges}{self._left_out(known)})")
        mixed = [line for known in self.known.values() for line in self._shares(known, mixed=True)]
        lines = [*(f"scylla: {part}" for part in parts), *dict.fromkeys(mixed)]
        return within(lines, terminal_width())

    def _shares(self, known: Known, mixed: bool = False) -> list[str]:
        """What decides which share of a score; with `mixed` only where a slot has no vote."""
        from .results import BY_COMMANDS
        from .scoring import shares

        names = [judge.adapter for judge in known.experiment.settings.judges]
        found = shares(known.experiment.task.rubric, [(n, n == BY_COMMANDS) for n in names])
        lines = found if len(found) == 3 or not mixed else []
        return [f"scylla: {known.experiment.id}: {line}" for line in lines]

    def _left_out(self, known: Known) -> str:
        """What of the source's directory no agent sees: the experiment itself lies there."""
        from .source import local_place, private

        task = known.experiment.task
        place = local_place(task.source.repo, task.directory)
        if place is None or not place.is_dir():
            return ""
        root = Path(self.config.stash[SESSION].results)
        paths = private(known.experiment, known.results, root).within(place)
        return f", source without {' and '.join(paths)}" if paths else ""

    def _isolation(self, known: Known) -> str:
        """What keeps the agent in its place, and whether nothing does where something should."""
        settings = known.experiment.settings
        isolation = settings.isolation
        if isolation.kind != "none":
            return f"isolation {isolation.kind}, network {isolation.network}"
        adapters = merged(self.config.hook.pytest_scylla_agents())
        if getattr(adapters.get(settings.agent.adapter), "asks_nobody", False):
            return "isolation NONE: the agent has your full permissions and never asks for approval"
        return "isolation none"

    def _earlier(self, known: Known) -> History:
        """What was executed before this session."""
        from .history import History, executions
        from .results import BY_COMMANDS

        if known.results not in self.earlier:
            judges = known.experiment.settings.judges
            own = {BY_COMMANDS: BY_COMMANDS}
            models = [str(one.options.get("model") or own.get(one.adapter, "")) for one in judges]
            self.earlier[known.results] = History(executions(known.results), models)
        return self.earlier[known.results]

    def _shown(self, path: Path) -> str:
        return os.path.relpath(path, self.config.invocation_params.dir)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without xdist: what is selected."""
        if self.config.getoption("collectonly"):
            self.collected = session.items
        else:
            self.expect([item.nodeid for item in session.items])

    def expect(self, ids: Iterable[str]) -> None:
        """These items will run: until they have, they count as failed, should we be killed."""
        self.began = time.time()
        self.selected = [id for id in ids if self.is_run(id)]
        self.todo = [id for id in self.selected if not self.has_verdict(id)]
        self._add_lastfailed(self.todo)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Hold the experiments' results directories for this session, before any worker starts."""
        if not self.known or self.config.getoption("collectonly"):
            return
        from .isolation import remove_containers
        from .tenancy import Tenancy

        for known in {known.results: known for known in self.known.values()}.values():
            tenancy = Tenancy(known.results)
            try:
                tenancy.take()
            except ScyllaError as error:
                raise pytest.UsageError(str(error)) from None
            self.held.append(tenancy)
            remove_containers(known.experiment.settings.isolation, known.results)
            self._earlier(known)
        self._leave_nothing_behind()

    def _leave_nothing_behind(self) -> None:
        """Remove what a dead session left, and see to it that this one leaves nothing."""
        from . import interruption
        from .processes import SESSION as NAME
        from .reaper import Reaper
        from .scratch import clean, clean_scratch, held, trouble

        clean_scratch()
        self._warn(trouble())
        own_files = self.config.stash[SESSION].own_files
        own_files.parent.mkdir(parents=True, exist_ok=True)
        clean(own_files.parent)
        self.ending.enter_context(held(own_files))
        name = f"{self.config.stash[SESSION].stamp}-{os.getpid()}"
        outer = os.environ.get(NAME)
        os.environ[NAME] = name
        self.ending.callback(_restore, NAME, outer)
        self.ending.callback(Reaper(name).dismiss)
        interruption.heed()
        self.ending.callback(interruption.unheed)

    def _warn(self, said: str | None) -> None:
        """Show a warning that belongs to no test; a message alone where warnings are errors."""
        if said is not None:
            try:
                self.config.issue_config_time_warning(ScyllaWarning(said), stacklevel=2)
            except ScyllaWarning:
                raise pytest.UsageError(said) from None

    def pytest_keyboard_interrupt(self) -> None:
        """Ctrl-C: end the agents of all workers; a second one does not wait for them."""
        from .interruption import stop_at_once_next_time
        from .processes import INTERRUPT_GRACE, sweep

        places = [tenancy.results for tenancy in self.held]
        if places:
            self.ending.callback(stop_at_once_next_time(places))
        for tenancy in self.held:
            tenancy.end()
        for place in places:
            sweep(place, grace=INTERRUPT_GRACE)

    def pytest_unconfigure(self) -> None:
        """Let go of the results directories."""
        self.ending.close()
        if self.held:
            from .tenancy import ignore_by_git

            ignore_by_git(Path(self.config.stash[SESSION].results))
        for tenancy in self.held:
            tenancy.leave()

    def _add_lastfailed(self, ids: Iterable[str]) -> None:
        cache = getattr(self.config, "cache", None)
        added = dict.fromkeys(ids, True)
        if cache is None or not added or not self.config.stash[SESSION].named:
            return
        cache.set(LASTFAILED, {**cache.get(LASTFAILED, {}), **added})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which runs are through, and where their results are."""
        facts = facts_of(report)
        if facts or report.when == "teardown":  # --setup-plan has nothing else to tell
            self.reported.add(report.nodeid)
        if facts:
            self.ended = time.time()
            if not facts.get("cached") and not report.skipped:
                self.worked.append(report.nodeid)
            path = Path(facts["results"])
            new = not facts.get("cached") and not report.skipped
            self.results[path] = self.results.get(path, False) or new

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """What is of use before money is spent is shown at once, and once for all workers."""
        text = str(warning_message.message)
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if warning_message.category is UntouchedTaskWarning and text not in self.told and reporter:
            self.told.add(text)
            begun = self.config.get_terminal_writer().width_of_current_line
            capture = self.config.pluginmanager.get_plugin("capturemanager")
            with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
                reporter.write_line(f"\n{text}" if begun else text, yellow=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports of every results directory that this session touched."""
        if not self.results:
            return
        try:
            self._write_reports()
            self.compared = self._compare()
        except OSError as error:
            self.trouble = str(disk_error(error) or error)
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _write_reports(self) -> None:
        from .evaluation import set_forgeries_aside
        from .reports.summary import summarise
        from .reports.writing import report, write_agents_report

        session = self.config.stash[SESSION]
        latest = self.config.getoption("scylla_attempt") == "latest"
        for path in self.results:
            set_forgeries_aside(path, session.started_at, session.secret)
        afresh = self.config.getoption("scylla_from") == "report"
        found = [summarise(path, latest=latest) for path in self.results if path.is_dir()]
        gate = self.config.pluginmanager.get_plugin("scylla-gate")
        if gate and found:
            gate.compare(found)
        self.summaries = [report(one, self.results[one.path], afresh=afresh) for one in found]
        for top in dict.fromkeys(one.path.parent for one in self.summaries if one.agent_name):
            write_agents_report(top, latest=latest)
            self.overviews.append(top / "report.html")
        self._name_suite()

    def _name_suite(self) -> None:
        """The tiers' figures as properties of the suite, where a JUnit file is written."""
        from .reports.ci import suite_properties

        for plugin in self.config.pluginmanager.get_plugins():
            if not hasattr(plugin, "add_global_property"):
                continue
            for summary in self.summaries:
                for name, value in suite_properties(summary):
                    plugin.add_global_property(name, value)

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_publish(self) -> None:
        """The tables in the summary of a GitHub job, where this is one."""
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if not path or not self.summaries:
            return
        from .reports.ci import step_summary

        gate = self.config.pluginmanager.get_plugin("scylla-gate")
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(step_summary(self.summaries, gate.regression if gate else None))
        except OSError as error:
            self.trouble = f"GITHUB_STEP_SUMMARY: {error}"

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_sessionfinish_remember(self) -> None:
        """After pytest has saved what failed: add what was selected and never finished."""
        self._add_lastfailed(self._unfinished())

    def _unfinished(self) -> list[str]:
        """What was selected and has neither told its outcome nor left a verdict on disk."""
        return [i for i in self.selected if i not in self.reported and not self.has_verdict(i)]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The closing table of every experiment, and what was left undone."""
        self._dry_run(terminalreporter)
        if self.summaries:
            from .reports.terminal import closing_table
        for summary in self.summaries:
            terminalreporter.write_sep("=", f"scylla: {summary.id}")
            for line in closing_table(summary, terminal_width()):
                terminalreporter.write_line(line)
            terminalreporter.write_line(f"report: {self._shown(summary.path / 'report.md')}")
            terminalreporter.write_line(f"page: {self._shown(summary.path / 'report.html')}")
        if self.compared:
            for line in within([self.compared], terminal_width()):
                terminalreporter.write_line(line)
        for path in self.overviews:
            terminalreporter.write_line(f"all agents: {self._shown(path)}")
        if self.trouble:
            terminalreporter.write_line(f"scylla: not written: {self.trouble}", red=True)
        left = self._unfinished()
        if left:
            terminalreporter.write_line(
                f"{len(left)} of {len(self.selected)} runs did not finish; "
                "rerun the same command to resume",
                yellow=True,
            )

    def _compare(self) -> str | None:
        """What was executed, what it cost and how long it took, against the forecast of it."""
        from .forecast import basis_of, comparison, duration, outcome
        from .history import executions

        inputs, since = inputs_of(self.config), self.config.stash[SESSION].started_at
        seconds: dict[str, float] = {}
        outcomes: list[Outcome] = []
        for home, known in self.known.items():
            if self.results.get(known.results):
                prices = inputs.prices.with_models(known.experiment.settings.prices)
                earlier = self._earlier(known)
                basis = basis_of(known.experiment, known.results, earlier, prices)
                done = (one for one in executions(known.results) if one.is_since(since))
                outcomes.append(outcome(basis, done))
                seconds.update(self._expected(home, basis, outcomes[-1]))
        if not any(one.seconds for one in outcomes):
            return None
        known_before = any(self._earlier(known).executions for known in self.known.values())
        expected = (
            duration(self.specs(self.worked), seconds, workers(self.config))
            if known_before
            else None
        )
        return comparison(outcomes, expected, self.ended - self.began)

    def _expected(self, home: str, basis: Basis, found: Outcome) -> Iterator[tuple[str, float]]:
        """Node id -> seconds that a run had to take, of those that were not merely replayed."""
        from .history import changed_since

        since = self.config.stash[SESSION].started_at
        for (tier, subtest), total in found.seconds.items():
            ids = [i for i in self.worked if i.startswith(f"{home}::{tier}::{subtest}::")]
            for id in ids:
                again = changed_since(self.place(id) / "pipeline.json", since)
                more = basis.pipeline_seconds(tier, subtest) if again else 0.0
                yield id, total / len(ids) + more

    def _dry_run(self, terminalreporter: Any) -> None:
        """With --collect-only: what is there of the collected runs, and what would be done."""
        if not self.collected:
            return
        from .selection import explain, plan, status_table

        width = terminal_width()
        lines = status_table(self.collected, width) if self.config.get_verbosity() >= 0 else []
        if self.config.getoption("scylla_explain"):
            lines = explain(self.config, self.collected)
        elif self.config.get_verbosity() > 0:
            lines += [line for known in self.known.values() for line in self._shares(known)]
        if self.config.getoption("scylla_plan"):
            specs = self.specs([item.nodeid for item in self.collected])
            lines += plan(self.config, self.collected, specs)
        if lines:
            terminalreporter.write_sep("=", "scylla")
        for line in within(lines, width):
            terminalreporter.write_line(line)
