"""A small results tree in the format of ProjectScylla (checkpoint 2.0), written by hand.

Two tiers of one subtest and one run, three judges each. Its places are of another machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ELSEWHERE = "/home/somebody/fullruns/2026-01-20T06-13-07-test-001"
RUNS = {"T0": "00", "T1": "01"}
"""Tier -> its subtest."""
SCORES = {"T0": (0.75, 1.0, 0.5), "T1": (1.0, 1.0, 0.25)}
MEANS = {"T0": 0.75, "T1": 0.75}
COSTS = {"T0": 0.5, "T1": 0.25}
MODELS = ("opus", "sonnet", "haiku")
CONFIG = {
    "experiment_id": "test-001",
    "task_repo": "https://example.com/hello",
    "models": ["sonnet"],
    "runs_per_subtest": 1,
    "tiers_to_run": ["T0", "T1"],
    "judge_models": list(MODELS),
    "parallel_subtests": 6,
    "max_subtests": 1,
}
CONFIG_HASH = "ef10167321a4b729"
RUBRIC = """
categories: {work: {weight: 1.0, items: [{id: R1, check: it works, points: 1.0}]}}
grading: {pass_threshold: 0.6}
"""


def write_tree(root: Path, phases: tuple[str, str] = ("", "")) -> Path:
    """Write the tree; `phases` says where the runs of T0 and of T1 are (`completed`, say)."""
    _json(root / "config/experiment.json", CONFIG)
    (root / "rubric.yaml").write_text(RUBRIC)
    for (tier, subtest), phase in zip(RUNS.items(), phases, strict=True):
        _write_run(root / phase / tier / subtest, tier, subtest)
    _json(root / "checkpoint.json", checkpoint())
    if not any(phases):
        for path, report in reports().items():
            _json(root / path, report)
    return root


def checkpoint() -> dict[str, Any]:
    """checkpoint.json."""
    return {
        "version": "2.0",
        "experiment_id": "test-001",
        "experiment_dir": ELSEWHERE,
        "config_hash": CONFIG_HASH,
        "completed_runs": {tier: {subtest: {"1": "passed"}} for tier, subtest in RUNS.items()},
        "started_at": "2026-01-20T06:13:07+00:00",
        "last_updated_at": "2026-01-20T06:22:17+00:00",
        "status": "completed",
        "rate_limit_source": None,
        "rate_limit_until": None,
        "pause_count": 0,
        "pid": 275043,
    }


def event(tier: str) -> str:
    """What the agent printed."""
    usage = {
        "input_tokens": 33,
        "output_tokens": 700,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 195_735,
    }
    said = {"type": "result", "result": f"done {tier}", "num_turns": 6, "usage": usage}
    return json.dumps({**said, "total_cost_usd": COSTS[tier], "is_error": False}) + "\n"


TOKENS = {
    "input_tokens": 33,
    "output_tokens": 700,
    "cache_creation_tokens": 20,
    "cache_read_tokens": 195_735,
}


def agent_result(tier: str) -> dict[str, Any]:
    """agent/result.json."""
    return {
        "exit_code": 0,
        "stdout": event(tier),
        "stderr": "+ claude\n",
        "token_stats": TOKENS,
        "cost_usd": COSTS[tier],
        "api_calls": 6,
    }


def run_result(tier: str) -> dict[str, Any]:
    """run_result.json."""
    place = f"{ELSEWHERE}/{tier}/{RUNS[tier]}/run_01"
    return {
        "run_number": 1,
        "exit_code": 0,
        "token_stats": TOKENS,
        "tokens_input": 195_768,
        "tokens_output": 700,
        "cost_usd": COSTS[tier],
        "duration_seconds": 42.5,
        "agent_duration_seconds": 36.5,
        "judge_duration_seconds": 6.0,
        "judge_score": MEANS[tier],
        "judge_passed": True,
        "judge_grade": "B",
        "judge_reasoning": "said together",
        "judges": [
            {
                "model": model,
                "score": score,
                "passed": score >= 0.6,
                "grade": "X",
                "reasoning": f"{model} says {score}",
                "judge_number": number,
            }
            for number, (model, score) in enumerate(zip(MODELS, SCORES[tier], strict=True), 1)
        ],
        "workspace_path": f"{place}/workspace",
        "logs_path": f"{place}/agent",
        "command_log_path": f"{place}/agent/command_log.json",
        "criteria_scores": {},
    }


def _write_run(subtest: Path, tier: str, id: str) -> None:
    manifest: dict[str, Any] = {
        "tier_id": tier,
        "subtest_id": id,
        "fixture_config_path": f"shared/subtests/{tier.lower()}/{id}-plain.yaml",
        "resources": {},
        "composed_at": "2026-01-20T06:13:08+00:00",
        "claude_md_hash": None,
        "inherited_from": None,
    }
    _json(subtest / "config_manifest.json", manifest)
    run = subtest / "run_01"
    agent = run / "agent"
    cwd = f"{ELSEWHERE}/{tier}/{id}/run_01/workspace"
    command = {"command": ["claude"], "cwd": cwd, "exit_code": 0, "duration_seconds": 36.5}
    _json(agent / "command_log.json", {"total_commands": 1, "commands": [command]})
    _json(agent / "timing.json", {"agent_duration_seconds": 36.5, "measured_at": "t"})
    _json(agent / "result.json", agent_result(tier))
    for name in ("output.txt", "stdout.log"):
        (agent / name).write_text(event(tier))
    (agent / "stderr.log").write_text("+ claude\n")
    result = run_result(tier)
    for vote in result["judges"]:
        slot = run / f"judge/judge_{vote['judge_number']:02d}"
        said = {name: vote[name] for name in ("score", "passed", "grade", "reasoning")}
        item = {"achieved": vote["score"], "max": 1.0, "reason": ""}
        work = {
            "achieved": vote["score"],
            "max": 1.0,
            "score": vote["score"],
            "items": {"R1": item},
        }
        _json(slot / "judgment.json", {**said, "is_valid": True, "criteria_scores": {"work": work}})
        _json(slot / "timing.json", {"judge_duration_seconds": 2.0, "measured_at": "t"})
        (slot / "MODEL.md").write_text(f"# Judge Model\n\n**Model**: {vote['model']}\n")
        (slot / "response.txt").write_text(json.dumps(said))
    names = ("score", "passed", "grade", "reasoning")
    _json(run / "judge/result.json", {name: result[f"judge_{name}"] for name in names})
    _json(run / "judge/timing.json", {"judge_duration_seconds": 6.0, "measured_at": "t"})
    _json(run / "run_result.json", result)


def reports() -> dict[str, dict[str, Any]]:
    """Path -> report.json of every level."""
    found: dict[str, dict[str, Any]] = {}
    for tier, id in RUNS.items():
        known = {"score": MEANS[tier], "passed": True}
        run = {"run_number": 1, **known, "grade": "B", "cost_usd": COSTS[tier]}
        found[f"{tier}/{id}/run_01/report.json"] = {**run, "duration_seconds": 42.5}
        child = {"run_number": 1, **known, "report": "./run_01/report.json"}
        summary = {"total_runs": 1, "passed": 1, "pass_rate": 1.0, "median_score": MEANS[tier]}
        figures = {"total_cost": COSTS[tier], "grade_distribution": {"B": 1}}
        found[f"{tier}/{id}/report.json"] = {
            "subtest_id": id,
            "tier_id": tier,
            "summary": {**summary, **figures},
            "token_stats": TOKENS,
            "children": [child],
        }
        best = {"total_subtests": 1, "best_subtest": id, "best_score": MEANS[tier]}
        found[f"{tier}/report.json"] = {
            "tier": tier,
            "summary": {**best, "total_cost": COSTS[tier], "tiebreaker_needed": False},
            "best": {"subtest": id, "score": MEANS[tier], "report": f"./{id}/report.json"},
        }
    found["report.json"] = {
        "experiment_id": "test-001",
        "summary": {"best_tier": "T1", "frontier_cop": 0.25, "total_cost": 0.75},
        "best": {"tier": "T1", "subtest": "01", "report": "./T1/report.json"},
    }
    return found


def below(original: Any, made: Any) -> Any:
    """Of `made`, the fields that `original` has."""
    if isinstance(original, dict) and isinstance(made, dict):
        return {name: below(value, made.get(name)) for name, value in original.items()}
    if isinstance(original, list) and isinstance(made, list) and len(original) == len(made):
        return [below(a, b) for a, b in zip(original, made, strict=True)]
    return made


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2))
