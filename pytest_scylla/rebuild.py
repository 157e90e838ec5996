"""Make result files anew from what else is in a results directory; nothing is executed.

agent/result.json comes from the logs; run_result.json from the agent's result, the judgments and
the timings. A verdict is recorded by the same function, so what is rebuilt is what was there.
Trees of ProjectScylla have other names for some logs, and are read as well.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .agents import reported_answer
from .consensus import agree, counted, settled, slot_score, voters
from .errors import ScyllaError
from .evaluation import sealed
from .experiment import COMMANDS, PanelRules
from .results import AgentResult, CategoryScore, Inputs, JudgeVote, Judgment, RunResult
from .rubric import Rubric, load_rubric
from .status import agent_is_valid, has_answered, run_is_valid
from .store import RunDir, read_json, read_model, text_of, write_json
from .tree import ResultsTree

LONGEST_OUTPUT = 200_000
"""Characters of output that agent/result.json repeats; the logs have all of it."""


def rebuild_runs(tree: ResultsTree, secret: str = "") -> Counter[str]:
    """Make what is missing or broken in every run and can be made; one pass over the tree.

    `secret` seals what is written, so that the session that does it believes it.
    Returns how many files of each name were written.
    """
    written: Counter[str] = Counter()
    panel = Panel(tree)
    for _, _, run in tree.all_runs():
        written.update(rebuild_run(run, panel, secret))
    return written


def rebuild_run(run: RunDir, panel: Panel, secret: str) -> list[str]:
    """agent/result.json, judge/result.json and run_result.json of a run, each where it is missing
    or broken and its parts are there. Returns the names of what was written."""
    written: list[str] = []
    if not has_answered(run):
        return written
    agent = read_model(f"{run.path}/agent/result.json", AgentResult)
    if agent is None and not agent_is_valid(run):
        agent = agent_result_from_logs(run)
        if agent is None:
            return written
        write_json(run.agent_result, sealed(agent, secret) if secret else agent)
        written.append("agent/result.json")
    if agent is not None and not run_is_valid(run):
        written += _rebuild_verdict(run, agent, panel, secret)
    return written


def _rebuild_verdict(run: RunDir, agent: AgentResult, panel: Panel, secret: str) -> list[str]:
    written: list[str] = []
    judged = stored_judgments(run)
    said = read_json(f"{run.path}/judge/result.json")
    if said is None:
        said = panel.verdict(judged)
        if said is None:
            return written
        write_json(run.judge / "result.json", said)
        written.append("judge/result.json")
    result = run_result_from_parts(run, agent, judged, said, panel.tree)
    if result is None:
        return written
    write_json(run.run_result, sealed(result, secret) if secret else result)
    if os.path.exists(f"{run.path}/error.json"):
        run.error.unlink()
    return [*written, "run_result.json"]


# -- the agent's result --------------------------------------------------------------------------


def agent_result_from_logs(run: RunDir) -> AgentResult | None:
    """What agent/result.json must say, from command_log.json and the output logs."""
    log = read_json(run.agent / "command_log.json") or {}
    commands = log.get("commands")
    if not isinstance(commands, list) or not commands or not text_of(run.agent_output):
        return None
    output: dict[str, Any] = {
        "stdout": text_of(run.agent / "stdout.log")[-LONGEST_OUTPUT:],
        "stderr": text_of(run.agent / "stderr.log")[-LONGEST_OUTPUT:],
    }
    try:
        if isinstance(log.get("result"), dict):
            return AgentResult.model_validate({**log["result"], **output})
        return _from_event(commands[-1], output)
    except ValueError:
        return None


def _from_event(command: dict[str, Any], output: dict[str, Any]) -> AgentResult | None:
    answer = reported_answer(output["stdout"])
    if answer is None:
        return None
    return AgentResult(
        exit_code=int(command.get("exit_code", 0)),
        token_stats=answer.tokens,
        cost_usd=answer.cost_usd,
        api_calls=answer.turns,
        duration_seconds=float(command.get("duration_seconds") or 0.0),
        **output,
    )


# -- the verdict ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """Where things are, as run_result.json says it: relative to the results directory."""

    workspace: str
    logs: str


def run_result(
    number: int,
    agent: AgentResult,
    judged: Mapping[int, Judgment],
    said: Mapping[str, Any],
    seconds: float,
    places: Places,
) -> RunResult:
    """run_result.json, from the agent's result, the judgment of each slot, what judge/result.json
    says of them together, and the judges' time (seconds). Raises KeyError or ValueError where
    judge/result.json is not whole."""
    tokens = agent.token_stats
    inputs = {f"judge_{slot:02d}": judgment.inputs for slot, judgment in judged.items()}
    return RunResult(
        run_number=number,
        exit_code=agent.exit_code,
        token_stats=tokens,
        tokens_input=tokens.tokens_input,
        tokens_output=tokens.output_tokens,
        cost_usd=_sum([agent.cost_usd, *(judgment.cost_usd for judgment in judged.values())]),
        agent_cost_usd=agent.cost_usd,
        agent_list_cost_usd=agent.list_cost_usd,
        duration_seconds=agent.duration_seconds + seconds,
        agent_duration_seconds=agent.duration_seconds,
        judge_duration_seconds=seconds,
        judge_score=said["score"],
        judge_passed=said["passed"],
        judge_grade=said["grade"],
        judge_reasoning=said["reasoning"],
        judges=tuple(vote(slot, judgment) for slot, judgment in judged.items()),
        workspace_path=places.workspace,
        logs_path=places.logs,
        command_log_path=f"{places.logs}/command_log.json",
        criteria_scores=_nearest(said, judged),
        timed_out=agent.timed_out,
        pass_threshold=said.get("pass_threshold"),
        tampering=agent.tampering,
        inputs={"agent": agent.inputs, "verdict": _verdict_inputs(said), **inputs},
    )


def _verdict_inputs(said: Mapping[str, Any]) -> Inputs:
    inputs = said.get("inputs")
    return {str(k): str(v) for k, v in inputs.items()} if isinstance(inputs, dict) else {}


def _sum(costs: list[float | None]) -> float | None:
    """The sum; None where any part is not known, for a sum without it would be false."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def vote(number: int, judgment: Judgment) -> JudgeVote:
    """A judgment as run_result.json shows it."""
    return JudgeVote.model_validate({**judgment.__dict__, "judge_number": number})


def _nearest(said: Mapping[str, Any], judged: Mapping[int, Judgment]) -> dict[str, CategoryScore]:
    """What the slot nearest the verdict's score gave."""
    every = tuple(judged.values())
    valid = counted(every) or counted(every, fallbacks=True)
    valid = voters(valid, COMMANDS in _verdict_inputs(said)) or valid
    rules = _rules(_verdict_inputs(said).get("scores", "computed"), len(judged))
    score = float(said["score"])
    near = min(valid, key=lambda j: abs((slot_score(j, rules) or 0) - score), default=None)
    return dict(near.criteria_scores) if near else {}


@functools.cache
def _rules(scores: str, slots: int) -> PanelRules:
    return PanelRules.of({"scores": scores}, slots)


def stored_judgments(run: RunDir) -> dict[int, Judgment]:
    """Slot -> judgment, of all slots that have a whole one (which may be not valid)."""
    found = {}
    for number in run.slot_numbers():
        slot = f"{run.path}/judge/judge_{number:02d}"
        judgment = read_model(f"{slot}/judgment.json", Judgment)
        if judgment is not None:
            if not judgment.model:
                judgment = judgment.model_copy(update={"model": _model(Path(slot))})
            found[number] = judgment
    return found


def run_result_from_parts(
    run: RunDir,
    agent: AgentResult,
    judged: Mapping[int, Judgment],
    said: Mapping[str, Any],
    tree: ResultsTree,
) -> RunResult | None:
    """What run_result.json must say; None where parts are missing."""
    seconds = _seconds(f"{run.path}/agent/timing.json", "agent_duration_seconds")
    if seconds is None or not judged:
        return None
    if agent.duration_seconds != seconds:
        agent = agent.model_copy(update={"duration_seconds": seconds})
    log = read_json(f"{run.path}/agent/command_log.json") or {}
    foreign = tree.foreign and "result" not in log
    try:
        places = _places(run, log, None if foreign else tree.path)
        result = run_result(run.number, agent, judged, said, _judge_seconds(run), places)
    except (KeyError, ValueError):
        return None
    return _plain(result) if foreign else result


def _plain(result: RunResult) -> RunResult:
    """As ProjectScylla has it: no category scores beside those of the judgments, no inputs."""
    votes = tuple(v.model_copy(update={"criteria_scores": {}}) for v in result.judges)
    return result.model_copy(update={"judges": votes, "criteria_scores": {}, "inputs": {}})


def _places(run: RunDir, log: Mapping[str, Any], root: Path | None) -> Places:
    """Where the agent worked, as its log says it, relative to `root` where there is one."""
    commands = log.get("commands") or [{}]
    cwd = str(commands[-1].get("cwd") or run.path / "workspace")
    if root is None:
        return Places(cwd, f"{cwd.removesuffix('/workspace')}/agent")
    here = str(run.path).removeprefix(f"{root}/")
    shared = os.path.basename(os.path.dirname(cwd)) != run.path.name
    return Places(f"{os.path.dirname(here) if shared else here}/workspace", f"{here}/agent")


def _model(slot: Path) -> str:
    found = re.search(r"\*\*Model\*\*: *(\S+)", text_of(slot / "MODEL.md"))
    return found[1] if found else ""


def _judge_seconds(run: RunDir) -> float:
    """The judges' time together: as it was written, else the sum of the slots."""
    total = _seconds(f"{run.path}/judge/timing.json", "judge_duration_seconds")
    if total is not None:
        return total
    slots = [
        _seconds(f"{run.path}/judge/judge_{number:02d}/timing.json", "judge_duration_seconds")
        for number in run.slot_numbers()
    ]
    return sum(seconds for seconds in slots if seconds is not None)


_MISSING = {"score": None, "passed": None, "grade": None, "reasoning": "", "is_valid": False}
"""A slot that has no judgment, or none that is whole."""


class Panel:
    """How the judges of a tree come to one verdict, as the tree itself says it."""

    def __init__(self, tree: ResultsTree) -> None:
        self.tree = tree

    def verdict(self, judged: Mapping[int, Judgment]) -> dict[str, Any] | None:
        """judge/result.json, from the judgments of a run; None where there is no verdict, or the
        rubric is gone."""
        settings = self.tree.config.get("settings") or {}
        slots = len(settings.get("judges") or self.tree.config.get("judge_models") or judged)
        try:
            rubric = load_rubric(self.tree.path / "rubric.yaml")
            rules = PanelRules.of({**settings, "mixed": _is_mixed(judged, rubric)}, slots)
            asked = not settled(rubric, list(judged.values()), rules)
            missing = Judgment.model_validate({**_MISSING, "asked": asked})
            slots_of_it = [judged.get(number, missing) for number in range(1, slots + 1)]
            consensus = agree(rubric, slots_of_it, rules)
        except (ScyllaError, ValueError):
            return None
        said = consensus.model_dump(include={"score", "passed", "grade", "reasoning"})
        if self.tree.foreign:
            return said
        return {**said, "pass_threshold": rubric.pass_threshold, "inputs": rules.inputs}


def _is_mixed(judged: Mapping[int, Judgment], rubric: Rubric) -> bool:
    """Some slots repeat what commands decided, and others were to grade the rest."""
    undecided = any(item.run is None for item in rubric.items())
    return undecided and len({judgment.graded_nothing for judgment in judged.values()}) > 1


def _seconds(path: Path | str, name: str) -> float | None:
    value = (read_json(path) or {}).get(name)
    return float(value) if isinstance(value, (int, float)) else None
