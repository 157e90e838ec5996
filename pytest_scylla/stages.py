"""The stages of a run, each of which does only what is missing.

    workspace > agent > pipeline > judge_NN > verdict

Every stage stores its result in the run's directory before the next one starts, and keeps what is
there if it is whole and made from the same inputs. Resuming, rerunning, judging again and
replaying are therefore one thing: going through the stages.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from .agents import Answer, Job, replay_script
from .checks import copied
from .consensus import Consensus, agree
from .errors import NotRun, RunError, ScyllaError
from .evaluation import Run
from .judges import Evidence, Grading, Judge
from .limits import reserve_all, settle_all
from .pipeline import baseline, pipeline_inputs, run_pipeline
from .processes import (
    MARKER,
    Finished,
    Invocation,
    clean_environment,
    redact,
    redact_bytes,
    secrets,
    sweep,
)
from .processes import (
    run as run_program,
)
from .rebuild import LONGEST_OUTPUT, agent_result_from_logs
from .results import (
    AgentResult,
    CategoryScore,
    Inputs,
    JudgeVote,
    Judgment,
    PipelineResult,
    RunFailure,
    RunResult,
    TokenStats,
)
from .scoring import score_categories, total_score
from .store import (
    digest,
    now,
    read_json,
    read_model,
    remove_tree,
    write_bytes,
    write_json,
    write_text,
)

log = logging.getLogger("pytest_scylla")

NO_OUTPUT = "(the agent printed nothing)\n"
OWN_FILES = frozenset(
    {
        "agent",
        "workspace",
        "workspace.git",
        "workspace.index",
        "attempts",
        "error.json",
        "tampering",
    }
)
"""What the run's directory may hold while an agent works; anything else was not put there by us."""


class Workspace:
    """The run's workspace: made when it is first needed, and not before.

    A run that has its verdict is replayed without its workspace being looked at.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock: FileLock | None = None

    @property
    def path(self) -> Path:
        """The worktree as the agent left it; made anew from base and patch where it is gone.

        Before the agent has worked: a fresh one. Raises RunError where it cannot be made.
        """
        checkout = self._run.checkout()
        self.hold()
        if self._run.kept_agent_result() is None:
            if not checkout.exists:
                checkout.create()
        elif not checkout.exists or not self._holds_this_run():
            log.info("%s: workspace made anew from base and patch", self._run.dir.path)
            checkout.restore(self._run.dir.patch)
            self._claim()
        return checkout.path

    def fresh(self) -> Path:
        """A workspace in which no agent has worked."""
        checkout = self._run.checkout()
        self.hold()
        if self._run.shares_workspace and checkout.exists:
            checkout.reset()
        else:
            checkout.create()
        self._claim()
        return checkout.path

    def hold(self) -> None:
        """Keep a workspace that several runs share for this run, until `release`."""
        if self._run.shares_workspace and self._lock is None:
            self._lock = FileLock(_lock_path(self._run, "workspace"))
            self._lock.acquire()

    def release(self) -> None:
        """Let the next run have a shared workspace."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def retire(self, passed: bool) -> None:
        """Delete the workspace where the experiment does not retain it; the patch stays."""
        retention = self._run.evaluation.experiment.settings.workspace.retention
        if retention == "none" or (retention == "failed" and passed):
            self._run.checkout().remove()

    def _holder(self) -> Path:
        return self._run.checkout().repository / "run"

    def _claim(self) -> None:
        if self._run.shares_workspace:
            write_text(self._holder(), self._run.name)

    def _holds_this_run(self) -> bool:
        if not self._run.shares_workspace:
            return True
        try:
            return self._holder().read_text() == self._run.name
        except OSError:
            return False


def _lock_path(run: Run, name: str) -> Path:
    folder = run.evaluation.results / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{run.subtest.tier}-{run.subtest.id}-{name}"


@contextlib.contextmanager
def reserved(run: Run) -> Iterator[None]:
    """Hold the run's directory for this process: one directory, one writer.

    Waits for another worker that works on the same run (a session holds its results directories
    for itself, so it is never another session's).
    """
    with FileLock(_lock_path(run, run.name)):
        yield


# -- agent ---------------------------------------------------------------------------------------


def agent_result(run: Run, workspace: Workspace) -> AgentResult:
    """What the agent did: the stored result, or a new execution in a fresh workspace.

    What an earlier execution left moves to attempts/ whole.
    Raises RunError where the agent did not do its work, NotRun where the budget is spent.
    """
    if run.replayed is not None:
        return read_model(run.dir.agent_result, AgentResult) or _agent_of(run.replayed)
    _rebuild(run)
    kept = run.kept_agent_result()
    if kept is not None and not run.rejected:
        return kept
    setup = run.setup
    _reserve(run, "agent", run.evaluation.agent.paid)
    clear(run)
    run.evaluation.write_manifest(run.subtest, setup)
    try:
        return _execute(run, workspace.fresh())
    finally:
        _settle(run, "agent", _cost_on_disk(run))


ASSUMED_COST = 1.0
"""USD that a paid execution is assumed to cost, where neither this session nor the task's
config.yaml (max_cost_usd) says more."""


def _reserve(run: Run, stage: str, paid: bool) -> None:
    limit = run.evaluation.experiment.task.max_cost_usd
    assumed = (limit or ASSUMED_COST) if paid else 0.0
    reserve_all(run.evaluation.budgets, _budget_key(run, stage), assumed)


def _settle(run: Run, stage: str, cost: float | None) -> None:
    settle_all(run.evaluation.budgets, _budget_key(run, stage), cost)


def _cost_on_disk(run: Run) -> float | None:
    """What the execution has cost: nothing where it never began, None where nobody knows."""
    result = read_model(run.dir.agent_result, AgentResult)
    if result is not None:
        return result.cost_usd
    return None if run.dir.started.exists() else 0.0


def _budget_key(run: Run, stage: str) -> str:
    parts = (run.evaluation.experiment.id, run.subtest.tier, run.subtest.id, run.name, stage)
    return "::".join(parts)


def check_ready(run: Run) -> None:
    """Before anything is made or paid for the run: all that it will need is there.

    Raises NotRun with the reason where it is not (no key, no parent to inherit from), and
    RunError where the tier cannot be composed.
    """
    settings = run.evaluation.experiment.settings
    _rebuild(run)
    if run.rejected or run.kept_agent_result() is None:
        reason = run.evaluation.agent.unready()
        if reason:
            raise NotRun(f"agent {settings.agent.adapter}: {reason}")
        _ = run.setup
    for number, judge in enumerate(run.evaluation.judges, 1):
        kept = read_model(run.dir.judge_slot(number) / "judgment.json", Judgment)
        reason = judge.unready()
        if reason and (kept is None or not kept.is_valid):
            raise NotRun(f"judge {number} ({judge.model}): {reason}")


def _rebuild(run: Run) -> None:
    """Make agent/result.json anew from the logs, where it is missing and they are ours."""
    directory = run.dir
    if directory.started.exists() or read_model(directory.agent_result, AgentResult) is not None:
        return
    result = agent_result_from_logs(directory)
    if result is not None and run.trusts(directory.agent / "command_log.json", result):
        write_json(directory.agent_result, run.sealed(result), sync=True)


def _agent_of(result: RunResult) -> AgentResult:
    """What a verdict still says of an agent whose own result is gone."""
    fields = {"exit_code", "token_stats", "cost_usd", "timed_out", "tampering"}
    return AgentResult(
        stdout="",
        stderr="",
        api_calls=0,
        duration_seconds=result.agent_duration_seconds,
        inputs=result.inputs.get("agent", {}),
        **result.model_dump(include=fields),
    )


def clear(run: Run) -> None:
    """Make room for a new execution: keep what an earlier one left as an attempt."""
    if run.dir.path.is_dir():
        sweep(run.dir.path)
        if had_agent(run):
            checkout = run.checkout()
            place = run.dir.set_aside()
            if place and not run.shares_workspace:
                checkout.relocate(place)
        else:
            remove_tree(run.dir.agent)
            run.dir.error.unlink(missing_ok=True)


def _execute(run: Run, workspace: Path) -> AgentResult:
    evaluation, directory = run.evaluation, run.dir
    with _own_home() as home:
        prompt = evaluation.experiment.task.prompt
        write_text(directory.agent / "prompt.md", prompt)
        job = Job(
            prompt=prompt,
            prompt_file=directory.agent / "prompt.md",
            workspace=workspace,
            setup=run.setup,
            experiment=evaluation.experiment.directory,
            env=_environment(run, home),
            timeout=_time_limit(run),
        )
        invocation = evaluation.agent.invocation(job)
        version = evaluation.agent.version()
        started = _announce(run, invocation)
        finished = _run(invocation, directory.agent)
    sweep(directory.path)
    tampering = _set_tampering_aside(run, started)
    answer = evaluation.agent.answer(finished, job)
    return _record(run, invocation, finished, answer, version, tampering)


def _time_limit(run: Run) -> float | None:
    """Seconds: the agent's own limit or the task's, and in any case below an outer one, so that
    the evidence is saved before something else ends the test."""
    evaluation = run.evaluation
    own = evaluation.agent.timeout or evaluation.experiment.task.timeout
    outer = evaluation.outer_timeout
    if not outer:
        return own
    bound = max(outer / 2, outer - 10)
    return min(own, bound) if own else bound


@contextlib.contextmanager
def _own_home() -> Iterator[Path]:
    """A HOME of the run's own; outside the results, where a path can be short."""
    home = Path(tempfile.mkdtemp(prefix="scylla-home-"))
    try:
        (home / "tmp").mkdir()
        yield home
    finally:
        remove_tree(home)


def _environment(run: Run, home: Path) -> dict[str, str]:
    return clean_environment(
        {
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "PORT": str(_free_port()),
            MARKER: str(run.dir.path),
        }
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class _Started:
    at: str
    agent_files: frozenset[str]


def _announce(run: Run, invocation: Invocation) -> _Started:
    """Write what is known before the agent starts, so that it is there if we are killed."""
    directory = run.dir.agent
    hidden = secrets(invocation.env)
    script = replay_script(invocation, run.checkout().setup.path, hidden)
    write_text(directory / "replay.sh", redact(script, hidden))
    (directory / "replay.sh").chmod(0o755)
    started = now()
    write_json(run.dir.started, {"at": started, "pid": os.getpid()})
    names = {*os.listdir(directory), "stdout.log", "stderr.log"}
    return _Started(started, frozenset(names))


def _run(invocation: Invocation, directory: Path) -> Finished:
    try:
        return run_program(invocation, directory / "stdout.log", directory / "stderr.log")
    except OSError as error:
        program = invocation.argv[0]
        raise RunError("no_cli", f"cannot start {program}: {error.strerror}") from None


def _set_tampering_aside(run: Run, started: _Started) -> tuple[str, ...]:
    """Move what the agent left above its workspace out of the way: it is reported, never read."""
    strange = [n for n in sorted(os.listdir(run.dir.path)) if n not in OWN_FILES]
    inside = sorted(set(os.listdir(run.dir.agent)) - started.agent_files)
    found = [*strange, *(f"agent/{name}" for name in inside)]
    place = run.dir.path / "tampering"
    if found:
        while place.exists():
            place = place.with_name(place.name + "_")
        for name in found:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(run.dir.path / name, place / name)
        log.warning("%s: set aside, not written by us: %s", run.dir.path, ", ".join(found))
    return tuple(found)


def _record(
    run: Run,
    invocation: Invocation,
    finished: Finished,
    answer: Answer,
    version: str,
    tampering: tuple[str, ...],
) -> AgentResult:
    directory = run.dir.agent
    hidden = secrets(invocation.env)
    paid = run.evaluation.agent.paid
    write_json(directory / "timing.json", _timing("agent", finished.duration))
    write_text(directory / "MODEL.md", redact(_model_md(run, answer, version), hidden))
    if answer.error is None:
        write_text(run.dir.agent_output, redact(answer.text, hidden) or NO_OUTPUT, sync=paid)
    checkout = run.checkout()
    write_bytes(run.dir.patch, _without(checkout.patch(), hidden, run), sync=paid)
    result = AgentResult(
        exit_code=finished.exit_code,
        stdout=finished.stdout[-LONGEST_OUTPUT:],
        stderr=finished.stderr[-LONGEST_OUTPUT:],
        token_stats=answer.tokens,
        cost_usd=answer.cost_usd,
        api_calls=answer.turns,
        timed_out=answer.limited,
        stop_reason=answer.stop_reason,
        model=answer.model or run.evaluation.agent.model,
        duration_seconds=finished.duration,
        tampering=tampering,
        base_commit=checkout.setup.commit,
        inputs=run.agent_inputs(),
    )
    result = run.sealed(result)
    log_of_it = command_log(invocation, finished, hidden, result)
    write_json(directory / "command_log.json", log_of_it, sync=paid)
    write_json(run.dir.agent_result, result, sync=paid)
    run.dir.started.unlink()
    if answer.error is not None:
        raise answer.error
    return result


def _without(patch: bytes, hidden: Mapping[str, str], run: Run) -> bytes:
    """A patch without the secrets that an agent wrote into its files."""
    clean = redact_bytes(patch, hidden)
    if clean != patch:
        log.warning("%s: the agent wrote a key into its workspace", run.dir.path)
    return clean


def _timing(what: str, seconds: float) -> dict[str, object]:
    return {f"{what}_duration_seconds": seconds, "measured_at": now()}


def command_log(
    invocation: Invocation, finished: Finished, hidden: Mapping[str, str], result: AgentResult
) -> dict[str, object]:
    """command_log.json: what was run, and what result.json is rebuilt from beside the logs."""
    command = {
        "timestamp": now(),
        "command": [redact(word, hidden) for word in invocation.argv],
        "cwd": str(invocation.cwd),
        "env_vars": {name: redact(value, hidden) for name, value in invocation.env.items()},
        "exit_code": finished.exit_code,
        "stdout_file": "stdout.log",
        "stderr_file": "stderr.log",
        "duration_seconds": finished.duration,
    }
    return {
        "generated_at": now(),
        "total_commands": 1,
        "commands": [command],
        "result": result.model_dump(mode="json", exclude={"stdout", "stderr"}),
    }


def _model_md(run: Run, answer: Answer, version: str) -> str:
    settings = run.evaluation.experiment.settings.agent
    options = "".join(f"- {name}: {value}\n" for name, value in settings.options.items())
    model = answer.model or run.evaluation.agent.model or "(none named)"
    lines = ["# Agent", "", f"**Model**: {model}", f"**Adapter**: {settings.adapter}"]
    if version:
        lines.append(f"**Version**: {version}")
    lines += [f"**Timestamp**: {now()}", "", "## Configuration", "", options]
    return "\n".join(lines)


# -- pipeline ------------------------------------------------------------------------------------


def pipeline_result(run: Run, workspace: Workspace, agent: AgentResult) -> PipelineResult:
    """The pipeline after the agent: the stored result, or a new one in a copy."""
    steps = run.evaluation.experiment.settings.pipeline
    if run.replayed is not None:
        kept = read_model(run.dir.pipeline, PipelineResult)
        return kept or PipelineResult(steps=(), inputs=pipeline_inputs(steps))
    inputs: Inputs = {**pipeline_inputs(steps), "agent": execution(run)}
    kept = read_model(run.dir.pipeline, PipelineResult)
    if kept is not None and kept.inputs == inputs and not run.forgets("pipeline", run.dir.pipeline):
        return kept
    if not steps:
        return PipelineResult(steps=(), inputs=inputs)
    result = run_pipeline(steps, workspace.path).model_copy(update={"inputs": inputs})
    write_json(run.dir.pipeline, result)
    return result


def execution(run: Run) -> str:
    """Digest of what an agent left: its answer and its patch."""
    return digest([_text(run.dir.agent_output), _text(run.dir.patch)])


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


# -- judges --------------------------------------------------------------------------------------


def judgments(
    run: Run, workspace: Workspace, agent: AgentResult, pipeline: PipelineResult
) -> tuple[Judgment, ...]:
    """The judgments of all slots: the stored ones, and new ones where they are missing.

    A slot that fails is kept as an invalid judgment; it is asked again next time.
    """
    if run.replayed is not None:
        return tuple(_judgment_of(vote) for vote in run.replayed.judges)
    return tuple(
        _judgment(run, workspace, agent, pipeline, number, judge)
        for number, judge in enumerate(run.evaluation.judges, 1)
    )


def _judgment_of(vote: JudgeVote) -> Judgment:
    return Judgment(**vote.model_dump(exclude={"judge_number"}))


def _judgment(
    run: Run,
    workspace: Workspace,
    agent: AgentResult,
    pipeline: PipelineResult,
    number: int,
    judge: Judge,
) -> Judgment:
    slot = run.dir.judge_slot(number)
    inputs = {**run.evaluation.judge_inputs[number - 1], "agent": execution(run)}
    kept = _kept_judgment(run, number, inputs)
    if kept is not None:
        return kept
    if run.asked.slots and not run.slot_selected(number):
        return _invalid(judge, "this slot was not selected", 0.0, inputs)
    if judge.paid:
        _reserve(run, slot.name, judge.paid)
    _set_slot_aside(run, slot)
    slot.mkdir(parents=True, exist_ok=True)
    judgment = _judge(run, workspace, agent, pipeline, slot, judge, inputs)
    if judge.paid:
        _settle(run, slot.name, judgment.cost_usd)
    return judgment


def _kept_judgment(run: Run, number: int, inputs: Inputs) -> Judgment | None:
    """The stored judgment of a slot, if it is valid, current, and not asked for again."""
    path = run.dir.judge_slot(number) / "judgment.json"
    kept = run.read(path, Judgment)
    if kept is None or not kept.is_valid or kept.inputs not in ({}, inputs):
        return None
    return None if run.forgets("judge", path) or run.slot_selected(number) else kept


def _set_slot_aside(run: Run, slot: Path) -> None:
    """What an earlier judgment of the slot left moves to judge/attempts/, whole."""
    if not slot.is_dir() or not os.listdir(slot):
        return
    place = run.dir.judge / "attempts"
    place.mkdir(exist_ok=True)
    number = len([name for name in os.listdir(place) if name.startswith(slot.name)]) + 1
    os.replace(slot, place / f"{slot.name}_attempt_{number:02d}")


def _judge(
    run: Run,
    workspace: Workspace,
    agent: AgentResult,
    pipeline: PipelineResult,
    slot: Path,
    judge: Judge,
    inputs: Inputs,
) -> Judgment:
    settings = run.evaluation.experiment.settings
    base = run.checkout().setup.base
    started = _Clock()
    write_text(slot / "MODEL.md", f"# Judge\n\n**Model**: {judge.model}\n**Timestamp**: {now()}\n")
    try:
        with copied(workspace.path) as copy:
            evidence = Evidence(
                task=run.evaluation.experiment.task,
                answer=_text(run.dir.agent_output),
                patch=_text(run.dir.patch),
                agent=agent,
                pipeline=pipeline,
                baseline=baseline(settings.pipeline, base, run.evaluation.results),
                copy=copy,
                slot=slot,
            )
            grading = judge.grade(evidence)
        judgment = _scored(run, grading, started.seconds, inputs)
    except (ScyllaError, ValueError, OSError) as error:
        judgment = _invalid(judge, str(error), started.seconds, inputs)
        write_text(slot / "error.log", f"{error}\n")
    else:
        write_text(slot / "response.txt", grading.response, sync=judge.paid)
    write_json(slot / "timing.json", _timing("judge", judgment.duration_seconds))
    write_json(slot / "judgment.json", run.sealed(judgment), sync=judge.paid)
    return judgment


class _Clock:
    def __init__(self) -> None:
        import time

        self._now = time.monotonic
        self._start = self._now()

    @property
    def seconds(self) -> float:
        return self._now() - self._start


def _scored(run: Run, grading: Grading, seconds: float, inputs: Inputs) -> Judgment:
    rubric = run.evaluation.experiment.task.rubric
    categories = score_categories(rubric, grading.items)
    score = total_score(rubric, categories)
    passed = score >= rubric.pass_threshold if grading.passed is None else grading.passed
    return Judgment(
        score=score,
        passed=passed,
        grade=rubric.grade(score),
        reasoning=grading.reasoning,
        criteria_scores=categories,
        model=grading.model,
        token_stats=grading.tokens,
        cost_usd=grading.cost_usd,
        duration_seconds=seconds,
        inputs=inputs,
    )


def _invalid(judge: Judge, error: str, seconds: float, inputs: Inputs) -> Judgment:
    return Judgment(
        score=None,
        passed=None,
        grade=None,
        reasoning="",
        is_valid=False,
        model=judge.model,
        error=error,
        duration_seconds=seconds,
        inputs=inputs,
    )


# -- verdict -------------------------------------------------------------------------------------


def verdict(run: Run, agent: AgentResult, judged: tuple[Judgment, ...]) -> RunResult:
    """The verdict over the judgments, stored as run_result.json.

    Raises RunError (kind `no_quorum`) where too few judgments are valid.
    """
    if run.replayed is not None:
        return run.replayed
    rubric = run.evaluation.experiment.task.rubric
    consensus = agree(rubric, judged, run.evaluation.experiment.quorum)
    seconds = sum(judgment.duration_seconds for judgment in judged)
    write_json(run.dir.judge / "timing.json", _timing("judge", seconds))
    write_json(
        run.dir.judge / "result.json",
        consensus.model_dump(include={"score", "passed", "grade", "reasoning"}),
    )
    result = run.sealed(_run_result(run, agent, judged, consensus, seconds))
    write_json(run.dir.run_result, result)
    run.dir.error.unlink(missing_ok=True)
    return result


def _run_result(
    run: Run,
    agent: AgentResult,
    judged: tuple[Judgment, ...],
    consensus: Consensus,
    judge_seconds: float,
) -> RunResult:
    votes = tuple(_vote(number, judgment) for number, judgment in enumerate(judged, 1))
    inputs = {f"judge_{n:02d}": judgment.inputs for n, judgment in enumerate(judged, 1)}
    here = os.path.relpath(run.dir.path, run.evaluation.results)
    place = os.path.relpath(run.checkout().path, run.evaluation.results)
    tokens: TokenStats = agent.token_stats
    return RunResult(
        run_number=run.number,
        exit_code=agent.exit_code,
        token_stats=tokens,
        tokens_input=tokens.tokens_input,
        tokens_output=tokens.output_tokens,
        cost_usd=_sum([agent.cost_usd, *(judgment.cost_usd for judgment in judged)]),
        duration_seconds=agent.duration_seconds + judge_seconds,
        agent_duration_seconds=agent.duration_seconds,
        judge_duration_seconds=judge_seconds,
        judge_score=consensus.score,
        judge_passed=consensus.passed,
        judge_grade=consensus.grade,
        judge_reasoning=consensus.reasoning,
        judges=votes,
        workspace_path=place,
        logs_path=f"{here}/agent",
        command_log_path=f"{here}/agent/command_log.json",
        criteria_scores=_nearest(consensus, judged),
        timed_out=agent.timed_out,
        pass_threshold=run.evaluation.experiment.task.rubric.pass_threshold,
        tampering=agent.tampering,
        inputs={"agent": agent.inputs, "verdict": run.evaluation.verdict_inputs, **inputs},
    )


def _sum(costs: list[float | None]) -> float | None:
    """The sum; None where any part is not known, for a sum without it would be false."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _vote(number: int, judgment: Judgment) -> JudgeVote:
    fields = set(JudgeVote.model_fields) - {"judge_number"}
    return JudgeVote(judge_number=number, **judgment.model_dump(include=fields))


def _nearest(consensus: Consensus, judged: tuple[Judgment, ...]) -> dict[str, CategoryScore]:
    valid = [j for j in judged if j.is_valid and not j.fallback and j.score is not None]
    nearest = min(valid, key=lambda j: abs(float(j.score or 0) - consensus.score))
    return dict(nearest.criteria_scores)


def record_failure(run: Run, kind: str, message: str) -> None:
    """Keep why a run has no verdict, as error.json; an error is never a score."""
    stage = "agent" if not run.dir.agent_output.exists() else "judge"
    failure = RunFailure(kind=kind, message=message, stage=stage, at=now())
    with contextlib.suppress(OSError):
        write_json(run.dir.error, failure, sync=True)


def had_agent(run: Run) -> bool:
    """An execution has begun in the run's directory."""
    return read_json(run.dir.agent_result) is not None or run.dir.started.exists()
