"""From experiment.yaml to test items: ExperimentFile > TierNode > SubtestNode > RunItem."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .errors import InputError, ScyllaError, ScyllaWarning, VerdictFailed
from .session import EXPERIMENT_FILE, Session, inputs_of, load

if TYPE_CHECKING:
    from .evaluation import Evaluation, Run
    from .tiers import Subtest, Tier

SESSION = pytest.StashKey[Session]()
EVALUATIONS = pytest.StashKey[dict[Path, "Sequence[Evaluation]"]]()
SCYLLA_MARK = pytest.mark.scylla
WARNED = pytest.StashKey[set[str]]()


def experiment_run(verdict: Any) -> None:
    """The judges say that the run passed."""
    verdict.require_pass()


class ExperimentFile(pytest.File):
    """An experiment.yaml."""

    fixtureinfo: Any = None

    def collect(self) -> Iterator[pytest.Collector]:
        """The selected tiers; where there are several agents, the agents."""
        if self.path.name != EXPERIMENT_FILE:
            step = f"rename it {EXPERIMENT_FILE}"
            raise InputError(self.path, "", "an experiment has another name", step)
        for found in evaluations(self.config, self.path, self.ihook):
            if getattr(self.config, "workerinput", {}).get("workerid", "gw0") == "gw0":
                self._warn(found)
            name = found.experiment.agent_name
            if name:
                yield AgentNode.from_parent(self, name=name, evaluation=found, file=self)
            else:
                self.add_marker(agent_marker(self.config, found))
                yield from tier_nodes(self, found, self)

    def _warn(self, loaded: Evaluation) -> None:
        from .bases import uncommitted
        from .evaluation import left_out
        from .tiers import check_setups

        said = self.config.stash.setdefault(WARNED, set())
        texts = [*loaded.experiment.task.warnings, *loaded.library.warnings]
        texts += left_out(loaded.experiment, loaded.library)
        texts += uncommitted(loaded.experiment.task, loaded.private)
        adapter = loaded.experiment.settings.agent.adapter
        checked = f"{loaded.library.path} {loaded.tiers} {adapter}"
        if checked not in said:
            said.add(checked)
            texts += check_setups(loaded.library, loaded.tiers, loaded.agent.not_taken)
        for text in texts:
            if text not in said:
                said.add(text)
                warnings.warn_explicit(ScyllaWarning(text), None, str(self.path), 1)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """An input error, or a warning under -W error, in its own words."""
        if isinstance(excinfo.value, (ScyllaError, ScyllaWarning)):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class AgentNode(pytest.Collector):
    """One of several agents of an experiment."""

    def __init__(self, *, evaluation: Evaluation, file: ExperimentFile, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evaluation = evaluation
        self.file = file
        self.add_marker(agent_marker(self.config, evaluation))

    def collect(self) -> Iterator[TierNode]:
        """The selected tiers."""
        yield from tier_nodes(self, self.evaluation, self.file)


def tier_nodes(
    parent: pytest.Collector, evaluation: Evaluation, file: ExperimentFile
) -> Iterator[TierNode]:
    """A node for each selected tier."""
    for name in evaluation.tiers:
        tier = evaluation.library.tiers[name]
        yield TierNode.from_parent(parent, name=name, tier=tier, evaluation=evaluation, file=file)


class TierNode(pytest.Collector):
    """A tier of an experiment."""

    def __init__(
        self, *, tier: Tier, evaluation: Evaluation, file: ExperimentFile, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.tier = tier
        self.evaluation = evaluation
        self.file = file
        self.add_marker(marker(self.config, f"tier_{tier.id}"))

    def collect(self) -> Iterator[SubtestNode]:
        """The tier's subtests."""
        shared = {"evaluation": self.evaluation, "file": self.file}
        for subtest in self.tier.subtests:
            yield SubtestNode.from_parent(self, name=subtest.id, subtest=subtest, **shared)


class SubtestNode(pytest.Collector):
    """A subtest of a tier."""

    def __init__(
        self, *, subtest: Subtest, evaluation: Evaluation, file: ExperimentFile, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.subtest = subtest
        self.evaluation = evaluation
        self.file = file
        if subtest.inherit_best_from:
            self.add_marker(pytest.mark.inherits)
        if subtest.frontier:
            self.add_marker(frontier_mark())

    def collect(self) -> Iterator[RunItem]:
        """The subtest's runs."""
        from .evaluation import Run

        for number in range(1, self.evaluation.experiment.settings.runs + 1):
            run = Run(self.evaluation, self.subtest, number)
            item = RunItem.from_parent(
                self, name=run.name, run=run, fixtureinfo=self.file.fixtureinfo
            )
            # The fixtures are the same for all runs of a file: resolved once, as pytest does
            # for the items of a parametrized function.
            self.file.fixtureinfo = getattr(item, "_fixtureinfo", None)
            yield item


def frontier_mark() -> pytest.MarkDecorator:
    """A verdict "failed" is expected; anything else that goes wrong stays an ERROR."""
    reason = "frontier: expected to be beyond today's agents"
    return pytest.mark.xfail(raises=VerdictFailed, reason=reason, strict=False)


class RunItem(pytest.Function):
    """One run: a test whose fixtures are the pipeline and whose outcome is the verdict."""

    def __init__(self, *, run: Run, **kwargs: Any) -> None:
        self.run_spec = run
        super().__init__(callobj=experiment_run, **kwargs)
        subtest = run.subtest
        self.add_marker(
            SCYLLA_MARK(
                experiment=run.evaluation.experiment.id,
                tier=subtest.tier,
                subtest=subtest.id,
                run=run.number,
            )
        )

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The run is at home in its experiment.yaml."""
        run = self.run_spec
        agent = run.evaluation.experiment.agent_name
        parts = [*([agent] if agent else []), run.subtest.tier, run.subtest.id, run.name]
        return self.path, 0, "::".join(parts)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]
        """What happened, for people: no traceback of ours for a verdict or a run's error."""
        if isinstance(excinfo.value, ScyllaError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


def evaluations(config: pytest.Config, path: Path, hooks: Any) -> Sequence[Evaluation]:
    """The experiment at `path` in this session, read once; an evaluation for each agent.

    Raises InputError with file, key and next step.
    """
    known = config.stash.setdefault(EVALUATIONS, {})
    if path not in known:
        loaded = load(path, hooks, inputs_of(config), config.getoption("scylla_judge_model"))
        known[path] = [one.evaluation(config.stash[SESSION]) for one in loaded]
        if not config.getoption("collectonly"):
            for found in known[path]:  # as they are before the first agent starts
                _ = found.checks_digest
                _ = found.files
                if _is_first_worker(config) and found.results.is_dir():
                    with contextlib.suppress(ScyllaError):
                        found.remember_asked()
    return known[path]


def _is_first_worker(config: pytest.Config) -> bool:
    """The one process of a session that writes what all of them know."""
    return bool(getattr(config, "workerinput", {}).get("workerid", "gw0") == "gw0")


def agent_marker(config: pytest.Config, evaluation: Evaluation) -> pytest.MarkDecorator:
    """The marker of an evaluation's agent: `agent_<adapter>`."""
    adapter = evaluation.experiment.settings.agent.adapter
    return marker(config, f"agent_{adapter.replace('-', '_')}")


def marker(config: pytest.Config, name: str) -> pytest.MarkDecorator:
    """A marker by name, registered so that --strict-markers knows it."""
    if name not in _registered(config):
        config.addinivalue_line("markers", f"{name}: runs of that tier or agent (pytest-scylla)")
    mark: pytest.MarkDecorator = getattr(pytest.mark, name)
    return mark


def _registered(config: pytest.Config) -> set[str]:
    return {line.split(":")[0].split("(")[0].strip() for line in config.getini("markers")}


def order(items: list[pytest.Item]) -> None:
    """Runs that inherit come after the runs they inherit from; all else keeps its place.

    Tiers are collected in the library's order, in which parents come first; this puts right
    what the order of arguments or another plugin has turned around.
    """
    runs = [item for item in items if isinstance(item, RunItem)]
    places = [place for place, item in enumerate(items) if isinstance(item, RunItem)]
    if any(item.run_spec.subtest.inherit_best_from for item in runs):
        for place, item in zip(places, sorted(runs, key=_rank), strict=True):
            items[place] = item


def _rank(item: RunItem) -> int:
    """0 for a run that inherits nothing; else the place of its tier in the library."""
    subtest = item.run_spec.subtest
    if not subtest.inherit_best_from:
        return 0
    return list(item.run_spec.evaluation.library.tiers).index(subtest.tier) + 1


def run_param_ids(runs: Sequence[Run]) -> list[str]:
    """Ids of parametrized runs in a Python test module."""
    agents = [run.evaluation.experiment.agent_name for run in runs]
    return [
        f"{agent and agent + '-'}{run.subtest.tier}-{run.subtest.id}-{run.name}"
        for agent, run in zip(agents, runs, strict=True)
    ]


def parametrize(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.scylla("experiment.yaml")`: the test function gets every run in turn."""
    node = metafunc.definition
    mark = node.get_closest_marker("scylla")
    if mark is None:
        return
    from .evaluation import Run

    try:
        path = _named_by(mark, node.path, node.name, metafunc.fixturenames)
        found = evaluations(metafunc.config, path, node.ihook)
    except InputError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    runs = [
        Run(one, subtest, number)
        for one in found
        for tier in one.tiers
        for subtest in one.subtests(tier)
        for number in range(1, one.experiment.settings.runs + 1)
    ]
    params = [
        pytest.param(run, marks=_marks(metafunc.config, run), id=id)
        for run, id in zip(runs, run_param_ids(runs), strict=True)
    ]
    metafunc.parametrize("run", params, indirect=True)


def _named_by(mark: pytest.Mark, module: Path, function: str, fixtures: Sequence[str]) -> Path:
    """The experiment that the marker of a test function names. Raises InputError."""
    if len(mark.args) != 1 or mark.kwargs or not isinstance(mark.args[0], (str, Path)):
        problem = "@pytest.mark.scylla takes one path of an experiment.yaml"
        step = "write @pytest.mark.scylla('path/to/experiment.yaml'), relative to this file"
        raise InputError(module, function, problem, step)
    if "run" not in fixtures:
        problem = "@pytest.mark.scylla is on a test that asks for no fixture of a run"
        raise InputError(module, function, problem, "add the argument `run`")
    return (module.parent / mark.args[0]).resolve()


def _marks(config: pytest.Config, run: Run) -> list[pytest.MarkDecorator]:
    marks = [marker(config, f"tier_{run.subtest.tier}")]
    if run.subtest.inherit_best_from:
        marks.append(pytest.mark.inherits)
    if run.subtest.frontier:
        marks.append(frontier_mark())
    return marks
