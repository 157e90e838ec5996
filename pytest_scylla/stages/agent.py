"""The agent's work: the stored result, or a new execution in a fresh workspace."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from ..agents import Agent, Answer, Job, replay_script
from ..errors import NotRun, RunError, disk_error
from ..evaluation import Run
from ..isolation import DiskGuard, Grounds, isolated, unavailable
from ..judge_prompt import printable
from ..judges import Judge
from ..named_files import matches
from ..preflight import preflight
from ..prices import UnknownModel, Usage
from ..processes import (
    MARKER,
    Finished,
    Invocation,
    clean_environment,
    redact,
    redact_bytes,
    secrets,
    sweep,
)
from ..processes import (
    run as run_program,
)
from ..providers import REFUSALS, Patience, Provider, seconds_until_reset
from ..rebuild import LONGEST_OUTPUT, agent_result_from_logs
from ..results import AgentEnd, AgentResult, RunResult, changed_inputs
from ..scratch import scratch
from ..store import (
    digest,
    left_digest,
    links_on_the_way,
    now,
    own_directory,
    read_json,
    read_model,
    text_of,
    write_bytes,
    write_json,
    write_text,
)
from ..tiers import MCP_FILE
from ..workspace import large_files
from .budget import reserve, settle
from .ending import heed_the_end
from .evidence import Clock, timing
from .judging import require_quorum, will_ask
from .pipeline import baseline_of
from .tried import require_working_checks
from .workspace import Workspace

log = logging.getLogger("pytest_scylla")

LEAST_ROOM = 8 * 2**20
"""Bytes that must be free before an agent starts: what it does is worth nothing if not stored."""

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


def agent_result(run: Run, workspace: Workspace) -> AgentResult:
    """What the agent did: the stored result, or a new execution in a fresh workspace.

    What an earlier execution left moves to attempts/ whole.
    Raises RunError where the agent did not do its work, NotRun where the budget is spent.
    """
    if run.replayed is not None:
        return read_model(run.dir.agent_result, AgentResult) or _agent_of(run.replayed)
    if run.dir.moving.is_dir():
        clear(run)
    _rebuild(run)
    kept = run.kept_agent_result() or _finish_ended(run, workspace)
    if kept is not None and not run.rejected:
        _require_whole(run, workspace, kept)
        return kept
    patience = Patience(run.evaluation.max_wait)
    while True:
        result = _tried(run, workspace, patience)
        if result is not None:
            return result


def _tried(run: Run, workspace: Workspace, patience: Patience) -> AgentResult | None:
    """A new execution, when budget and provider allow; None: it is to be tried again."""
    workspace.hold()
    reserve(run, "agent", run.evaluation.agent.paid)
    cost: float | None = 0.0
    try:
        with run.evaluation.turn(run.evaluation.agent.endpoint, patience) as provider:
            started = time.monotonic()
            try:
                result = _executed(run, workspace, provider)
            finally:
                cost = _cost_on_disk(run)
            if result is None:  # the program has waited too, and may have spent: not for ever
                patience.used += time.monotonic() - started
            return result
    finally:
        settle(run, "agent", cost)


def _require_whole(run: Run, workspace: Workspace, kept: AgentResult) -> None:
    """See to it that answer and patch are as they were stored; a lost patch is taken again.

    Raises RunError where they are not: what somebody has damaged is not judged.
    """
    if kept.left in ("", run.dir.execution):
        return
    if workspace.is_as_left:
        patch = run.checkout().patch()
        answer = text_of(run.dir.agent_output)
        if left_digest(answer, patch.decode("utf-8", "replace")) == kept.left:
            write_bytes(run.dir.patch, patch, sync=run.evaluation.agent.paid)
            return
    raise RunError.of(
        "damaged", f"{run.dir.agent}: output.txt or changes.patch is not what the agent left"
    )


def _executed(run: Run, workspace: Workspace, provider: Provider | None) -> AgentResult | None:
    """A new execution; None where the provider refused it, so that it is to be tried again."""
    setup, clock = run.setup, Clock()
    try:
        clear(run)
        run.evaluation.write_manifest(run.subtest, setup)
        baseline_of(run)
        result = _execute(run, workspace.fresh(), provider)
        write_json(run.dir.timing, timing("agent", result.duration_seconds, clock.seconds))
    except RunError as error:
        if provider is None or error.kind not in REFUSALS:
            raise
        wait = seconds_until_reset(str(error), datetime.now().astimezone())
        provider.refused(REFUSALS[error.kind], wait)
        log.warning("%s: %s: tried again when the provider allows", run.dir.path, error.kind)
        return None
    if provider is not None:
        provider.answered()
    return result


def _cost_on_disk(run: Run) -> float | None:
    """What the execution has cost: nothing where it never began, None where nobody knows."""
    result = read_model(run.dir.agent_result, AgentResult)
    if result is not None:
        return result.cost_usd
    return None if run.dir.started.exists() else 0.0


def check_ready(run: Run) -> None:
    """Before anything is made or paid for the run: all that it will need is there.

    Raises NotRun with the reason where it is not (no key, no parent to inherit from), and
    RunError where the tier cannot be composed.
    """
    settings = run.evaluation.experiment.settings
    _rebuild(run)
    again = run.rejected or run.kept_agent_result() is None
    if again:
        reason = run.evaluation.agent.unready()
        if reason:
            raise NotRun(f"agent {settings.agent.adapter}: {reason}")
        reason = unavailable(settings.isolation)
        if reason:
            raise RunError("isolation", f"isolation {settings.isolation.kind}: {reason}")
        _ = run.setup
        require_quorum(run)
        _preflight(run, f"agent {settings.agent.adapter}", run.evaluation.agent)
    judges = [*enumerate(run.evaluation.judges, 1), *run.evaluation.fallbacks.items()]
    for number, judge in judges:
        if again or will_ask(run, number):
            reason = judge.unready()
            if reason:
                raise NotRun(f"judge {number} ({judge.model}): {reason}")
            _preflight(run, f"judge {number} ({judge.model})", judge)
    if again:
        require_working_checks(run)


def _preflight(run: Run, name: str, adapter: Agent | Judge) -> None:
    """What the adapter can find out before anything is spent; once in a session."""
    check, folder = getattr(adapter, "preflight", None), run.evaluation.preflights
    if check is not None and folder is not None:
        key = digest([run.evaluation.experiment.id, name, dict(adapter.identity())])
        preflight(folder, key, name, check)


def _rebuild(run: Run) -> None:
    """Make agent/result.json and the transcript anew from the logs, where they are missing and the
    logs are ours."""
    directory = run.dir
    if directory.started.exists():
        return
    if directory.agent_result.exists() and not directory.transcript.exists():
        _write_transcript(run, text_of(directory.agent / "stdout.log"))
    if read_model(directory.agent_result, AgentResult) is not None:
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
        if had_agent(run) and not _was_refused(run):
            run.dir.set_aside(run.checkout().relocate)
        else:
            run.dir.discard_agent()
            run.dir.error.unlink(missing_ok=True)


def _was_refused(run: Run) -> bool:
    """The provider took no request of the execution: nothing was done, and nothing paid for."""
    result = read_model(run.dir.agent_result, AgentResult)
    refused = result is not None and result.stop_reason in REFUSALS
    return refused and result is not None and not result.token_stats.total and not result.cost_usd


def _execute(run: Run, workspace: Path, provider: Provider | None) -> AgentResult:
    directory = run.dir
    write_text(directory.agent / "prompt.md", run.evaluation.experiment.task.prompt)
    with _own_home() as home:
        job = _job(run, workspace, home)
        invocation = run.evaluation.agent.invocation(job)
        version = run.evaluation.agent.version()
        heed_the_end(run)
        _require_room(run)
        replaced: list[str] = []
        own_files = _announce(run, invocation)
        beside = tuple(os.listdir(run.dir.path))
        with _kept_if_cut_off(run, invocation), _disk_guard(run, home) as guard:
            finished = _run(_heard(invocation, run, provider), run, home, replaced)
            heed_the_end(run)
        if guard.exceeded:
            finished = replace(finished, timed_out=True)  # as any limit of ours
        end = AgentEnd(
            exit_code=finished.exit_code,
            duration_seconds=finished.duration,
            timed_out=finished.timed_out,
            disk_limit=guard.exceeded,
            silence_seconds=finished.silence,
            version=version,
            own_files=own_files,
            beside=beside,
            inputs=run.agent_inputs(),
            replaced=tuple(replaced),
        )
        write_json(directory.ended, run.sealed(end), sync=run.evaluation.agent.paid)
        return _conclude(run, job, invocation, finished, end)


def _require_room(run: Run) -> None:
    free = shutil.disk_usage(run.dir.agent).free
    if free < LEAST_ROOM:
        raise RunError.of(
            "disk", f"{run.evaluation.results}: no agent is started with {free >> 10} KiB free"
        )


_STORED = ("timing.json", "MODEL.md", "output.txt", "changes.patch", "command_log.json",
           "transcript.jsonl", "result.json")  # fmt: skip
"""What `_record` writes: it may have been cut off in the middle."""


def _finish_ended(run: Run, workspace: Workspace) -> AgentResult | None:
    """The result of an agent that had ended when its worker died, before the result was stored."""
    end = run.read(run.dir.ended, AgentEnd)
    if end is None or run.rejected or changed_inputs(end.inputs, run.agent_inputs()):
        return None
    if not workspace.is_as_left:
        return None
    agent = run.dir.agent
    for name in _STORED:
        (agent / name).unlink(missing_ok=True)
    log.info("%s: the agent had ended; its work is stored now", run.dir.path)
    finished = Finished(
        exit_code=end.exit_code,
        stdout=text_of(agent / "stdout.log"),
        stderr=text_of(agent / "stderr.log"),
        duration=end.duration_seconds,
        timed_out=end.timed_out,
        silence=end.silence_seconds,
    )
    with _own_home() as home:
        job = _job(run, run.checkout().path, home)
        return _conclude(run, job, run.evaluation.agent.invocation(job), finished, end)


def _conclude(
    run: Run, job: Job, invocation: Invocation, finished: Finished, end: AgentEnd
) -> AgentResult:
    sweep(run.dir.path)
    answer = run.evaluation.agent.answer(finished, job)
    if end.disk_limit and answer.limited:
        answer = replace(answer, stop_reason="disk_limit")
    tampering = _set_tampering_aside(run, end)
    return _record(run, invocation, finished, answer, end.version, tampering)


def _job(run: Run, workspace: Path, home: Path) -> Job:
    experiment = run.evaluation.experiment
    return Job(
        prompt=experiment.task.prompt,
        prompt_file=run.dir.agent / "prompt.md",
        workspace=workspace,
        setup=run.setup,
        experiment=experiment.directory,
        env=_environment(run, home),
        timeout=_time_limit(run),
        home=home,
    )


def _heard(invocation: Invocation, run: Run, provider: Provider | None) -> Invocation:
    """Refusals that the program meets itself are told to all workers as they come."""
    if provider is None:
        return invocation

    def hear(line: str) -> None:
        refusal = run.evaluation.agent.refusal(line)
        if refusal:
            provider.refused(*refusal)

    return replace(invocation, heard=hear)


@contextlib.contextmanager
def _kept_if_cut_off(run: Run, invocation: Invocation) -> Iterator[None]:
    """Ctrl-C: keep what the agent had changed until then; `started.json` stays, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        sweep(run.dir.path)
        _write_patch(run, secrets(invocation.env), sync=False)
        write_json(run.dir.started, {**(read_json(run.dir.started) or {}), "cut_off_at": now()})
        raise


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
    with scratch("home") as home:
        (home / "tmp").mkdir()
        yield home


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


def _announce(run: Run, invocation: Invocation) -> tuple[str, ...]:
    """Write what is known before the agent starts, so that it is there if we are killed.

    Returns the names of what is in agent/ by our own doing.
    """
    directory = run.dir.agent
    hidden = secrets(invocation.env)
    script = replay_script(invocation, run.checkout().setup.path, hidden)
    write_text(directory / "replay.sh", redact(script, hidden))
    (directory / "replay.sh").chmod(0o755)
    write_json(run.dir.started, {"at": now(), "pid": os.getpid()})
    return (*os.listdir(directory), "stdout.log", "stderr.log", run.dir.ended.name)


def _run(invocation: Invocation, run: Run, home: Path, replaced: list[str]) -> Finished:
    """The program in its place, to its end. `replaced` gets the directories of the run that it put
    links in the place of."""
    isolation, directory = run.evaluation.experiment.settings.isolation, run.dir.agent
    try:
        with isolated(isolation, invocation, _grounds(run, home)) as placed:
            placed = replace(placed, ended=lambda: replaced.extend(_own_again(run)))
            return run_program(placed, directory / "stdout.log", directory / "stderr.log")
    except OSError as error:
        full = disk_error(error) if error.filename is None else None
        if full is not None:  # its output could not be stored
            raise full from None
        program = invocation.argv[0]
        raise RunError.of("no_cli", f"cannot start {program}: {error.strerror}") from None


def _own_again(run: Run) -> list[str]:
    """Put a directory in the place of every link that an agent put on the way to its logs."""
    found = []
    for path in (run.dir.agent, run.dir.judge, run.dir.attempts):
        for place in links_on_the_way(run.evaluation.results, path):
            log.warning("%s: a link to %s, not made by us", place, os.readlink(place))
            found.append(os.path.relpath(place, run.dir.path))
            own_directory(place)
    own_directory(run.dir.agent)
    return found


def _grounds(run: Run, home: Path) -> Grounds:
    """What an isolated agent may see and change."""
    checkout, experiment = run.checkout(), run.evaluation.experiment
    readable = [experiment.directory / place for place in experiment.settings.isolation.read]
    for pattern in getattr(run.evaluation.agent, "listed", ()):
        readable += matches(pattern, experiment.directory)
    if MCP_FILE in run.setup.files:
        readable.append(experiment.library / "mcp")
    return Grounds(
        workspace=checkout.path,
        repository=checkout.repository,
        borrowed=(checkout.setup.path, checkout.setup.base.repository),
        home=home,
        readable=tuple(place.resolve() for place in readable if place.exists()),
        endpoint=run.evaluation.agent.endpoint,
    )


def _disk_guard(run: Run, home: Path) -> DiskGuard:
    limit = run.evaluation.experiment.settings.isolation.disk_bytes
    checkout = run.checkout()
    places = (checkout.path, checkout.repository, home)
    return DiskGuard(limit, places, end=lambda: sweep(run.dir.path))


def _set_tampering_aside(run: Run, end: AgentEnd) -> tuple[str, ...]:
    """Move what the agent left above its workspace out of the way: it is reported, never read."""
    known = OWN_FILES.union(end.beside)
    strange = [n for n in sorted(os.listdir(run.dir.path)) if n not in known]
    inside = sorted(set(os.listdir(run.dir.agent)) - set(end.own_files))
    found = [*strange, *(f"agent/{name}" for name in inside)]
    place = run.dir.path / "tampering"
    if found:
        while os.path.lexists(place):
            place = place.with_name(place.name + "_")
        for name in found:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(run.dir.path / name, place / name)
    names = (*end.replaced, *map(printable, found))
    if names:
        log.warning("%s: set aside, not written by us: %s", run.dir.path, ", ".join(names))
    return names


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
    write_json(run.dir.timing, timing("agent", finished.duration))
    write_text(directory / "MODEL.md", redact(_model_md(run, answer, version), hidden))
    if answer.error is None:
        write_text(run.dir.agent_output, redact(answer.text, hidden) or NO_OUTPUT, sync=paid)
    _write_transcript(run, finished.stdout)
    checkout = run.checkout()
    _write_patch(run, hidden, sync=paid)
    listed = _list_cost(run, answer)
    result = AgentResult(
        exit_code=finished.exit_code,
        stdout=finished.stdout[-LONGEST_OUTPUT:],
        stderr=finished.stderr[-LONGEST_OUTPUT:],
        token_stats=answer.tokens,
        cost_usd=listed if answer.cost_usd is None else answer.cost_usd,
        list_cost_usd=listed,
        api_calls=answer.turns,
        timed_out=answer.limited,
        stop_reason=answer.stop_reason,
        silent_seconds=round(finished.silence, 3),
        model=answer.model or run.evaluation.agent.model,
        duration_seconds=finished.duration,
        tampering=tampering,
        left_out=_left_out(run),
        base_commit=checkout.setup.commit,
        left=run.dir.execution,
        inputs=run.evaluation.unspoilt(run.agent_inputs(), "agent"),
    )
    result = run.sealed(result)
    log_of_it = command_log(invocation, finished, hidden, result)
    write_json(directory / "command_log.json", log_of_it, sync=paid)
    write_json(run.dir.agent_result, result, sync=paid)
    run.dir.started.unlink(missing_ok=True)
    run.dir.ended.unlink(missing_ok=True)
    if answer.error is not None:
        raise answer.error
    return result


def _list_cost(run: Run, answer: Answer) -> float | None:
    """USD by the price list; None where a model has no price, or no tokens are told."""
    model = answer.model or run.evaluation.agent.model
    usages = answer.usages
    if not usages and model and answer.tokens.total:
        usages = (Usage(model, answer.tokens, answer.tokens.prompt // max(answer.turns, 1)),)
    with contextlib.suppress(UnknownModel):
        return run.evaluation.prices.cost_of(usages) if usages else None
    return None


def _write_transcript(run: Run, stdout: str) -> None:
    turns = run.evaluation.agent.transcript(stdout)
    lines = "".join(f"{turn.model_dump_json()}\n" for turn in turns)
    write_text(run.dir.transcript, lines)


def _left_out(run: Run) -> tuple[str, ...]:
    found = tuple(map(printable, large_files(run.checkout().path)))
    if found:
        log.warning("%s: too large for the patch: %s", run.dir.path, ", ".join(found))
    return found


def _write_patch(run: Run, hidden: Mapping[str, str], sync: bool) -> None:
    write_bytes(run.dir.patch, _without(run.checkout().patch(), hidden, run), sync=sync)


def _without(patch: bytes, hidden: Mapping[str, str], run: Run) -> bytes:
    """A patch without the secrets that an agent wrote into its files."""
    clean = redact_bytes(patch, hidden)
    if clean != patch:
        log.warning("%s: the agent wrote a key into its workspace", run.dir.path)
    return clean


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


def had_agent(run: Run) -> bool:
    """An execution has begun in the run's directory, whatever is left of it."""
    signs = (run.dir.started, run.dir.agent_result, run.dir.agent / "stdout.log", run.dir.moving)
    return any(sign.exists() for sign in signs)
