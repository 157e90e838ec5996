"""How far a run has come, and each of its judges, from the files in its directory.

A file counts where its content is whole: it parses, and holds its fields. Nothing but the run's
directory is asked, and the workspace is never entered.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Literal, get_args

from .columns import in_columns, within
from .results import AskedInputs, Inputs
from .store import RunDir, read_json, read_model
from .tree import ResultsTree

AgentStatus = Literal["completed", "results", "failed", "partial", "missing", "stale"]
JudgeStatus = Literal[
    "complete", "not_asked", "missing", "failed", "partial", "waiting", "agent_failed"
]

AGENT_STATUSES: tuple[AgentStatus, ...] = get_args(AgentStatus)
"""`stale` is for those who know what is asked now: complete, but an input has changed since."""

JUDGE_STATUSES: tuple[JudgeStatus, ...] = get_args(JudgeStatus)

AGENT_FIELDS = frozenset({"exit_code", "stdout", "stderr", "token_stats", "cost_usd", "api_calls"})
"""What agent/result.json must hold."""

RUN_FIELDS = frozenset(
    {
        *("run_number", "exit_code", "token_stats", "tokens_input", "tokens_output", "cost_usd"),
        *("duration_seconds", "agent_duration_seconds", "judge_duration_seconds"),
        *("judge_score", "judge_passed", "judge_grade", "judge_reasoning", "judges"),
        *("workspace_path", "logs_path", "command_log_path"),
    }
)
"""What run_result.json must hold."""


def agent_status(run: RunDir) -> AgentStatus:
    """Status of a run; the first that fits.

    missing: nothing there. completed: answer, agent result, judges and verdict. results: an
    answer and its logs, from which what lacks can be rebuilt. failed: stderr but no answer.
    partial: begun. A run whose agent was cut off is never more than `failed` or `partial`.
    """
    agent = f"{run.path}/agent"
    answered = has_answered(run)
    if answered and os.path.isdir(f"{run.path}/judge") and _is_complete(run):
        return "completed"
    logged = _size(f"{agent}/timing.json") > 0 and _size(f"{agent}/command_log.json") > 0
    if answered and logged:
        return "results"
    if os.path.exists(f"{agent}/stderr.log") and not answered:
        return "failed"
    if os.path.isdir(agent) and not answered and not logged:
        return "partial"
    return "missing"


def _is_complete(run: RunDir) -> bool:
    return run_is_valid(run) and has_fields(f"{run.path}/agent/result.json", AGENT_FIELDS)


def run_is_valid(run: RunDir) -> bool:
    """The run's verdict is there, and whole."""
    return has_fields(f"{run.path}/run_result.json", RUN_FIELDS)


def agent_is_valid(run: RunDir) -> bool:
    """The agent has answered, and its result is whole."""
    return has_answered(run) and has_fields(f"{run.path}/agent/result.json", AGENT_FIELDS)


def has_answered(run: RunDir) -> bool:
    """The agent's answer is there, and the agent was not cut off."""
    agent = f"{run.path}/agent"
    return _size(f"{agent}/output.txt") > 0 and not os.path.exists(f"{agent}/started.json")


def judge_status(slot: Path, agent_valid: bool) -> JudgeStatus:
    """Status of a judge slot.

    waiting: the agent has not been started yet. agent_failed: it left nothing to judge.
    missing: never asked. complete: a valid judgment.
    not_asked: a sequential panel did not need it.
    partial: begun, with neither judgment nor error. failed: anything else.
    """
    if not agent_valid:
        agent = slot.parent.parent / "agent"
        return "agent_failed" if agent.is_dir() else "waiting"
    try:
        names = os.listdir(slot)
    except OSError:
        return "missing"
    if not names:
        return "missing"
    if "judgment.json" in names and _is_valid_judgment(f"{slot}/judgment.json"):
        return "complete"
    if was_not_asked(slot):
        return "not_asked"
    return "failed" if "judgment.json" in names or "error.log" in names else "partial"


def slot_statuses(run: RunDir, count: int) -> list[JudgeStatus]:
    """The statuses of a run's judge slots 1 to `count`."""
    valid = agent_is_valid(run)
    return [judge_status(run.judge_slot(number), valid) for number in range(1, count + 1)]


class StatusCounts:
    """How many runs of each tier, and how many judge slots, have which status."""

    def __init__(self) -> None:
        self.tiers: dict[str, Counter[AgentStatus]] = {}
        self.slots: Counter[JudgeStatus] = Counter()

    def add(self, tier: str, run: AgentStatus, slots: Iterable[JudgeStatus]) -> None:
        """Count a run."""
        self.tiers.setdefault(tier, Counter())[run] += 1
        self.slots.update(slots)

    def table(self, width: int | None = None) -> list[str]:
        """A line for each tier, their sum, and the slots; nothing where there are no runs. Where
        it is more than `width` characters, statuses that no run has are left out."""
        if not self.tiers:
            return []
        total = sum(self.tiers.values(), Counter[AgentStatus]())
        rows = [
            [name, *(str(counts[status]) for status in AGENT_STATUSES)]
            for name, counts in [*self.tiers.items(), ("all", total)]
        ]
        judged = ", ".join(f"{self.slots[s]} {s}" for s in JUDGE_STATUSES if self.slots[s])
        unseen = [status for status in AGENT_STATUSES if not total[status]]
        lines = in_columns([["tier", *AGENT_STATUSES], *rows], width=width, spare=unseen)
        return [*lines, *within([f"judge slots: {judged or 'none'}"], width)]


def tree_counts(tree: ResultsTree) -> StatusCounts:
    """The statuses of all runs that a results directory holds; a run is `stale` by what its
    experiment asked for when it was last read (config/asked.json)."""
    asked = read_model(tree.path / "config" / "asked.json", AskedInputs)
    counts = StatusCounts()
    for tier, subtest, run in tree.all_runs():
        slots = max([len(tree.config.get("judge_models") or ()), *run.slot_numbers()])
        status = agent_status(run)
        if asked and status == "completed" and not asked.accepts(f"{tier}/{subtest}", _inputs(run)):
            status = "stale"
        counts.add(f"{tree.experiment_id} {tier}", status, slot_statuses(run, slots))
    return counts


def _inputs(run: RunDir) -> dict[str, Inputs]:
    """What a run's verdict was made from."""
    return (read_json(f"{run.path}/run_result.json") or {}).get("inputs") or {}


def was_not_asked(slot: Path) -> bool:
    """The slots before this one agreed, and nothing is there but the note of it."""
    judgment = read_json(f"{slot}/judgment.json")
    return judgment is not None and judgment.get("asked") is False


def _is_valid_judgment(path: str) -> bool:
    judgment = read_json(path)
    if judgment is None or judgment.get("is_valid") is False:
        return False
    score = judgment.get("score")
    return isinstance(score, (int, float)) and not isinstance(score, bool)


def has_fields(path: str, fields: Set[str]) -> bool:
    """A JSON object with these fields is in the file."""
    value = read_json(path)
    return value is not None and fields <= value.keys()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
