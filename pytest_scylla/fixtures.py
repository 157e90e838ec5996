"""The pipeline as fixtures: run > workspace > agent_result > pipeline_result > judgments > verdict.

Each can be overridden in an experiment's conftest.py. Each stage does only what is missing; a run
that has its verdict is replayed from its directory, and its workspace is not touched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .collection import SESSION, RunItem
from .errors import NotRun, UntouchedTaskWarning, VerdictFailed
from .selection import asked

if TYPE_CHECKING:
    from .evaluation import Run
    from .results import AgentResult, Judgment, PipelineResult, RunResult
    from .stages import Workspace

log = logging.getLogger("pytest_scylla")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of a run, as a test sees it."""

    run: Run
    result: RunResult
    """The stored record: score, grade, votes, cost, tokens, durations."""
    cached: bool
    """It was replayed from an earlier session, at no cost."""
    nodeid: str

    @property
    def score(self) -> float:
        """0 to 1."""
        return self.result.judge_score

    @property
    def passed(self) -> bool:
        """The score is at or above the rubric's pass threshold."""
        return self.result.judge_passed

    def require_pass(self) -> None:
        """Raise VerdictFailed, with an explanation for people, where the judges said no."""
        if not self.passed:
            from .explanation import explain

            raise VerdictFailed(explain(self.run, self.result, self.nodeid))


@contextlib.contextmanager
def _skipping() -> Iterator[None]:
    """A run that is deliberately left out is a skipped test."""
    try:
        yield
    except NotRun as reason:
        pytest.skip(str(reason))


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """The run: its experiment, tier, subtest, number and directory (pytest_scylla)."""
    from .stages import check_ready, reserved

    item = request.node
    if not isinstance(item, RunItem) and not hasattr(request, "param"):
        pytest.fail(
            f"{item.nodeid}: nothing says which run\n"
            "  next: write @pytest.mark.scylla('path/to/experiment.yaml') above the function",
            pytrace=False,
        )
    spec: Run = item.run_spec if isinstance(item, RunItem) else request.param
    session = request.config.stash[SESSION]
    spec = dataclasses.replace(spec, asked=asked(request.config, item.nodeid))
    item.stash[RUN] = spec
    with contextlib.ExitStack() as stack:
        if spec.replayed is not None:
            log.info("%s: cached, replayed from %s", item.nodeid, spec.dir.path)
        else:
            _refuse_unasked(spec, session.named)
            with _skipping():
                check_ready(spec)
            _tell_of_given_points(request.config, spec)
            stack.enter_context(reserved(spec))
            # Another test of this session may have had the run in the meantime.
            spec = item.stash[RUN] = dataclasses.replace(spec)
            if spec.replayed is None:
                spec.evaluation.prepare()
        yield spec


def _tell_of_given_points(config: pytest.Config, run: Run) -> None:
    """Once in a session, before the first agent starts; from a worker by way of pytest's hook for
    warnings."""
    from .preflight import first_to_say
    from .stages import given_points

    given, folder = given_points(run), run.evaluation.preflights
    text = f"scylla: {run.evaluation.experiment.title}: {given}"
    if not given or (folder is not None and not first_to_say(folder, text)):
        return
    place = str(run.evaluation.experiment.path)
    message = warnings.WarningMessage(UntouchedTaskWarning(text), UntouchedTaskWarning, place, 1)
    told = {"warning_message": message, "when": "runtest", "nodeid": "", "location": None}
    config.hook.pytest_warning_recorded.call_historic(kwargs=told)


RUN = pytest.StashKey["Run"]()


def _stop_after(run: Run, stage: str) -> None:
    """`--scylla-until`: leave a run that has no verdict yet as it is after `stage`."""
    if run.asked.until == stage and run.replayed is None:
        pytest.skip(f"stopped after {stage}")


def _refuse_unasked(run: Run, named: bool) -> None:
    from .stages import counted_again

    evaluation = run.evaluation
    if named or counted_again(run) is not None:
        return
    if evaluation.agent.paid or any(judge.paid for judge in evaluation.all_judges):
        pytest.skip(
            f"paid run: name the experiment to run it (pytest {evaluation.experiment.path})"
        )


@pytest.fixture
def workspace(run: Run) -> Iterator[Workspace]:
    """The run's git worktree, made when its `path` is first asked for (pytest_scylla)."""
    from .stages import Workspace

    handle = Workspace(run)
    yield handle
    handle.release()


@pytest.fixture
def agent_result(run: Run, workspace: Workspace) -> AgentResult:
    """What the agent did; executed once, and never again while its answer is there."""
    from . import stages

    with _skipping():
        result = stages.agent_result(run, workspace)
    _stop_after(run, "agent")
    return result


@pytest.fixture
def pipeline_result(run: Run, workspace: Workspace, agent_result: AgentResult) -> PipelineResult:
    """The experiment's build and test commands after the agent (pytest_scylla)."""
    from . import stages

    result = stages.pipeline_result(run, workspace, agent_result)
    _stop_after(run, "pipeline")
    return result


@pytest.fixture
def judgments(
    run: Run,
    workspace: Workspace,
    agent_result: AgentResult,
    pipeline_result: PipelineResult,
) -> tuple[Judgment, ...]:
    """One judgment for each judge slot; a slot that failed is there as not valid."""
    from . import stages

    with _skipping():
        found = stages.judgments(run, workspace, agent_result, pipeline_result)
    _stop_after(run, "judge")
    return found


@pytest.fixture
def verdict(
    request: pytest.FixtureRequest,
    run: Run,
    workspace: Workspace,
    agent_result: AgentResult,
    judgments: tuple[Judgment, ...],
) -> Verdict:
    """The verdict over the judgments; its absence is an error, never a score."""
    from . import stages

    result = stages.verdict(run, agent_result, judgments)
    cached = run.replayed is not None
    if not cached:
        workspace.retire(result.judge_passed)
    if not cached or run.asked.since == "report":
        from .reports.writing import write_run_report

        write_run_report(run.dir.path)
    return note_verdict(request.node, run, result, cached)


def note_verdict(item: pytest.Item, run: Run, result: RunResult, cached: bool) -> Verdict:
    """Put a verdict where reports look for it, and tell everybody who wants to know."""
    found = Verdict(run, result, cached, item.nodeid)
    item.stash[VERDICT] = found
    item.ihook.pytest_scylla_run_finished(run=run, result=result, cached=cached)
    return found


VERDICT = pytest.StashKey[Verdict]()
