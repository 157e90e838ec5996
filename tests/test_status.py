"""How far a judge slot has come, from its files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_scylla.status import judge_status

VALID = {"score": 0.5, "passed": False}

SLOTS: list[tuple[str, dict[str, Any]]] = [
    ("complete", {"judgment.json": VALID}),
    ("complete", {"judgment.json": {**VALID, "score": 1}, "error.log": "of an earlier round"}),
    ("failed", {"judgment.json": {**VALID, "is_valid": False, "fallback": True}}),
    ("failed", {"judgment.json": {**VALID, "score": None}}),
    ("failed", {"judgment.json": {**VALID, "score": True}}),
    ("failed", {"judgment.json": {**VALID, "score": "0.5"}}),
    ("failed", {"judgment.json": [VALID]}),
    ("failed", {"error.log": "the API refused the key"}),
    ("not_asked", {"judgment.json": {"score": None, "is_valid": False, "asked": False}}),
    ("partial", {"prompt.md": "what it was asked"}),
    ("missing", {}),
]


@pytest.mark.parametrize(("status", "files"), SLOTS)
def test_a_slot_is_what_its_files_say(tmp_path: Path, status: str, files: dict[str, Any]) -> None:
    slot = tmp_path / "run_01/judge/judge_01"
    assert judge_status(slot, True) == "missing"
    slot.mkdir(parents=True)
    for name, content in files.items():
        (slot / name).write_text(json.dumps(content))
    assert judge_status(slot, True) == status
    assert judge_status(slot, False) == "waiting"
    (slot.parent.parent / "agent").mkdir()
    assert judge_status(slot, False) == "agent_failed"
