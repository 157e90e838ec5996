"""Make result files anew from what else is in a run's directory; nothing is executed.

agent/result.json comes from the logs; run_result.json from the agent's result, the judgments and
the timings. Trees of ProjectScylla have other names for some logs, and are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .agents import answer_from_event, result_event
from .results import AgentResult, JudgeVote, Judgment, RunResult
from .store import RunDir, read_json, read_model, write_json

LONGEST_OUTPUT = 200_000
"""Characters of output that agent/result.json repeats; the logs have all of it."""


def rebuild_agent_result(run: RunDir) -> AgentResult | None:
    """agent/result.json, where it is missing or broken and the logs are there.

    Returns what was written, or None where nothing was missing or it cannot be rebuilt.
    """
    if run.started.exists() or read_model(run.agent_result, AgentResult) is not None:
        return None
    result = agent_result_from_logs(run)
    if result is not None:
        write_json(run.agent_result, result, sync=True)
    return result


def agent_result_from_logs(run: RunDir) -> AgentResult | None:
    """What agent/result.json must say, from command_log.json and the output logs."""
    log = read_json(run.agent / "command_log.json") or {}
    commands = log.get("commands")
    if not isinstance(commands, list) or not commands or not _text(run.agent_output):
        return None
    output: dict[str, Any] = {
        "stdout": _text(run.agent / "stdout.log")[-LONGEST_OUTPUT:],
        "stderr": _text(run.agent / "stderr.log")[-LONGEST_OUTPUT:],
    }
    try:
        if isinstance(log.get("result"), dict):
            return AgentResult.model_validate({**log["result"], **output})
        return _from_event(commands[-1], output)
    except ValueError:
        return None


def _from_event(command: dict[str, Any], output: dict[str, Any]) -> AgentResult | None:
    event = result_event(output["stdout"])
    if event is None:
        return None
    answer = answer_from_event(event)
    return AgentResult(
        exit_code=int(command.get("exit_code", 0)),
        token_stats=answer.tokens,
        cost_usd=answer.cost_usd,
        api_calls=answer.turns,
        **output,
    )


def rebuild_run_result(run: RunDir) -> RunResult | None:
    """run_result.json, where it is missing or broken and its parts are there; what was written."""
    if run.started.exists() or read_model(run.run_result, RunResult) is not None:
        return None
    result = run_result_from_parts(run)
    if result is not None:
        write_json(run.run_result, result, sync=True)
    return result


def run_result_from_parts(run: RunDir) -> RunResult | None:
    """What run_result.json must say, from the agent's result, the judges' and the timings."""
    agent = read_model(run.agent_result, AgentResult)
    verdict = read_json(run.judge / "result.json")
    seconds = _seconds(run.agent / "timing.json", "agent_duration_seconds")
    if agent is None or verdict is None or seconds is None:
        return None
    votes = tuple(_votes(run))
    judged = _judge_seconds(run)
    place = _place(run)
    try:
        return RunResult(
            run_number=int(run.path.name.removeprefix("run_")),
            exit_code=agent.exit_code,
            token_stats=agent.token_stats,
            tokens_input=agent.token_stats.tokens_input,
            tokens_output=agent.token_stats.output_tokens,
            cost_usd=agent.cost_usd,
            duration_seconds=seconds + judged,
            agent_duration_seconds=seconds,
            judge_duration_seconds=judged,
            judge_score=verdict["score"],
            judge_passed=verdict["passed"],
            judge_grade=verdict["grade"],
            judge_reasoning=verdict["reasoning"],
            judges=votes,
            workspace_path=f"{place}/workspace",
            logs_path=f"{place}/agent",
            command_log_path=f"{place}/agent/command_log.json",
            timed_out=agent.timed_out,
            tampering=agent.tampering,
        )
    except (KeyError, ValueError):
        return None


def _place(run: RunDir) -> str:
    """The run's directory as its paths are written: where the agent worked, less `workspace`."""
    log = read_json(run.agent / "command_log.json") or {}
    commands = log.get("commands") or [{}]
    cwd = str(commands[-1].get("cwd") or run.path / "workspace")
    return cwd.removesuffix("/workspace")


def _votes(run: RunDir) -> Iterator[JudgeVote]:
    for slot in sorted(run.judge.glob("judge_*")):
        judgment = read_model(slot / "judgment.json", Judgment)
        if judgment is not None:
            yield JudgeVote(
                model=judgment.model or _model(slot),
                score=judgment.score,
                passed=judgment.passed,
                grade=judgment.grade,
                reasoning=judgment.reasoning,
                judge_number=int(slot.name.removeprefix("judge_")),
                is_valid=judgment.is_valid,
            )


def _model(slot: Path) -> str:
    found = re.search(r"\*\*Model\*\*: *(\S+)", _text(slot / "MODEL.md"))
    return found[1] if found else ""


def _judge_seconds(run: RunDir) -> float:
    """The judges' time together: as it was written, else the sum of the slots."""
    total = _seconds(run.judge / "timing.json", "judge_duration_seconds")
    if total is not None:
        return total
    slots = [
        _seconds(slot / "timing.json", "judge_duration_seconds")
        for slot in sorted(run.judge.glob("judge_*"))
    ]
    return sum(seconds for seconds in slots if seconds is not None)


def _seconds(path: Path, name: str) -> float | None:
    value = (read_json(path) or {}).get(name)
    return float(value) if isinstance(value, (int, float)) else None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
