"""What the page shows of one run: prompt, transcript, patch, pipeline, judges, attempts, files.

All of it was written by agents and judges. It is shown as text: what would steer a terminal or turn
the direction of writing is taken out or named, and what is long is cut, with a mark.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..reading import opened
from ..results import JudgeVote, PipelineResult, cut
from ..store import RunDir, read_model
from .markdown_report import FILES as REPORTED
from .summary import RunSummary
from .text import plain

LONGEST = 20_000
"""Characters of one text."""

MOST_TURNS = 200
MOST_OF_A_FILE = 2_000_000
"""Bytes of a file that are read; what is longer is cut in its middle."""

FILES = {
    "report": "report.md",
    **REPORTED,
    "transcript": "agent/transcript.jsonl",
    "prompt": "agent/prompt.md",
    "verdict": "run_result.json",
    "pipeline": "pipeline.json",
    "error": "error.json",
}


def shown(value: Any) -> Any:
    """A value with all its texts plain and cut."""
    if isinstance(value, str):
        return cut(plain(value), LONGEST)
    if isinstance(value, dict):
        return {str(name): shown(part) for name, part in value.items()}
    return [shown(part) for part in value] if isinstance(value, list) else value


def text_in(path: Path) -> str:
    """The text of a file, plain and cut; nothing where there is none."""
    return str(shown(_read(path)))


def _read(path: Path) -> str:
    try:
        with os.fdopen(opened(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= MOST_OF_A_FILE:
                return file.read().decode("utf-8", "replace")
            half = MOST_OF_A_FILE // 2
            head = file.read(half)
            file.seek(-half, os.SEEK_END)
            tail = file.read(half)
    except OSError:
        return ""
    missing = f"[… {size - 2 * half} bytes cut …]\n"
    return head.decode("utf-8", "replace") + "\n" + missing + tail.decode("utf-8", "replace")


def evidence(run: RunSummary) -> dict[str, Any]:
    """All that the page shows of a run, as JSON; empty parts are left out."""
    there = RunDir(run.path)
    found = {
        "reason": shown(run.result.judge_reasoning) if run.result else "",
        "error": shown(run.failure.model_dump()) if run.failure else None,
        "prompt": text_in(there.agent / "prompt.md"),
        "answer": text_in(there.agent_output),
        "transcript": _transcript(there.transcript),
        "patch": text_in(there.patch),
        "pipeline": _pipeline(there.pipeline),
        "judges": [_judge(vote) for vote in run.votes],
        "tampering": list(run.result.tampering) if run.result else [],
        "attempts": [f"attempts/attempt_{number:02d}" for number in there.attempt_numbers()],
        "files": {name: file for name, file in FILES.items() if (run.path / file).exists()},
    }
    return {name: value for name, value in found.items() if value}


def _transcript(path: Path) -> list[dict[str, Any]]:
    turns = list(_turns(path))
    if len(turns) <= MOST_TURNS:
        return turns
    half = MOST_TURNS // 2
    mark = {"text": f"[… {len(turns) - 2 * half} turns left out …]"}
    return [*turns[:half], mark, *turns[-half:]]


def _turns(path: Path) -> Iterator[dict[str, Any]]:
    for line in _read(path).splitlines():
        try:
            turn = json.loads(line)
        except ValueError:
            continue
        if isinstance(turn, dict):
            yield {
                "agent": shown(turn.get("agent")),
                "text": shown(str(turn.get("text") or "")),
                "tools": [
                    _tool(tool) for tool in turn.get("tools") or () if isinstance(tool, dict)
                ],
            }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    given = tool.get("input")
    said = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, indent=1)
    return {
        "name": shown(str(tool.get("name"))),
        "input": shown(said),
        "output": shown(str(tool.get("output") or "")),
        "failed": bool(tool.get("failed")),
    }


def _pipeline(path: Path) -> dict[str, Any] | None:
    result = read_model(path, PipelineResult)
    if result is None:
        return None
    steps = [
        [s.name, s.status.replace("_", " "), s.duration_seconds, shown(s.output)]
        for s in result.steps
    ]
    return {"steps": steps, "findings": shown(result.findings(most=100))}


def _judge(vote: JudgeVote) -> dict[str, Any]:
    items = [
        [shown(category), shown(id), item.achieved, item.max, shown(item.reason)]
        for category, score in vote.criteria_scores.items()
        for id, item in score.items.items()
    ]
    return {
        "number": vote.judge_number,
        "model": shown(vote.model),
        "score": vote.score,
        "passed": vote.passed,
        "grade": vote.grade,
        "asked": vote.asked,
        "valid": vote.is_valid,
        "error": shown(vote.error or ""),
        "cost": vote.cost_usd,
        "reason": shown(vote.reasoning),
        "items": items,
    }
