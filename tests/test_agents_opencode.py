"""The OpenCode adapter without the program: what events, its log and its database mean."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pytest_scylla.agents import Answer
from pytest_scylla.agents.opencode import OpenCode
from pytest_scylla.errors import RunError
from tests.support.agents import ended, make_job, make_setup

AGENT = OpenCode(model="anthropic/claude-haiku-4-5")
STEP = {"type": "step_finish", "part": {"tokens": {"input": 10, "output": 5}, "cost": 0.5}}
ASKS = "timestamp=2026-11-25T01:00:00Z level=INFO message=stream providerID=anthropic"
FAILED = 'timestamp=2026-11-25T01:00:01Z level=ERROR message="stream error" error.error="No: 429"'


def data(place: Path) -> Path:
    folder = place / ".local" / "share" / "opencode"
    (folder / "log").mkdir(parents=True, exist_ok=True)
    return folder


def answer(place: Path, *events: dict[str, Any], **ending: Any) -> Answer:
    """What the adapter makes of these events, and of what is in HOME."""
    job = make_job(place)
    stdout = "".join(json.dumps(event) + "\n" for event in events)
    return AGENT.answer(ended(stdout, **ending), type(job)(**{**vars(job), "home": place}))


def store(place: Path, *messages: dict[str, Any]) -> None:
    """The database, as far as it is read."""
    with contextlib.closing(sqlite3.connect(data(place) / "opencode.db")) as base:
        base.execute("CREATE TABLE message (data TEXT, time_created INTEGER)")
        rows = [(json.dumps(message), n) for n, message in enumerate(messages)]
        base.executemany("INSERT INTO message VALUES (?, ?)", rows)
        base.commit()


def message(model: str, input: int, cost: float) -> dict[str, Any]:
    told = {"tokens": {"input": input, "output": 1, "cache": {"read": 2, "write": 3}}}
    return {"role": "assistant", "providerID": "anthropic", "modelID": model, "cost": cost, **told}


def test_the_database_tells_of_sub_agents_and_their_models(tmp_path: Path) -> None:
    own, helper = message("claude-haiku-4-5", 100, 0.25), message("claude-opus-5", 1000, 2.0)
    store(tmp_path, {"role": "user"}, own, helper, message("claude-haiku-4-5", 0, 0.0))
    found = answer(tmp_path, STEP)
    assert (found.tokens.input_tokens, found.tokens.cache_read_tokens) == (1100, 6)
    used = ["anthropic/claude-haiku-4-5", "anthropic/claude-opus-5", "anthropic/claude-haiku-4-5"]
    assert [usage.model for usage in found.usages] == used
    assert found.cost_usd is None, "one has no cost of its own: the price list says it"


@pytest.mark.parametrize("content", [None, b"", b"no database" * 1000])
def test_without_a_database_there_are_the_events(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (data(tmp_path) / "opencode.db").write_bytes(content)
    found = answer(tmp_path, STEP, STEP)
    assert (found.tokens.total, found.cost_usd, found.turns) == (30, 1.0, 2)
    delegated = {"type": "tool_use", "part": {"tool": "task"}}
    assert answer(tmp_path, STEP, delegated, STEP).cost_usd is None
    assert answer(tmp_path, {"type": "step_start"}).cost_usd is None


@pytest.mark.parametrize(
    ("log", "kind"), [((ASKS, FAILED), "api_error"), ((ASKS, FAILED, ASKS), None), ((), None)]
)
def test_a_time_limit_while_the_api_refused_is_an_error_of_the_api(
    tmp_path: Path, log: tuple[str, ...], kind: str | None
) -> None:
    (data(tmp_path) / "log" / "opencode.log").write_text("".join(f"{line}\n" for line in log))
    found = answer(tmp_path, STEP, timed_out=True)
    assert (found.error.kind if found.error else None) == kind
    assert found.limited == (kind is None)
    assert answer(tmp_path, STEP).error is None, "it ended by itself"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"name": "ContentFilterError", "data": {"message": "blocked"}}, "refusal"),
        ({"name": "APIError", "data": {"message": "no", "statusCode": 429}}, "rate_limit"),
        ({"name": "ProviderAuthError", "data": {"message": "no"}}, "auth"),
        ({"name": "UnknownError"}, "agent_error"),
    ],
)
def test_an_error_has_its_kind_by_name_or_status(tmp_path: Path, error: Any, kind: str) -> None:
    found = answer(tmp_path, STEP, {"type": "error", "error": error}, exit_code=1).error
    assert found is not None
    assert found.kind == kind


def test_skills_without_ripgrep_are_an_error_before_anything_is_spent(tmp_path: Path) -> None:
    program = tmp_path / "opencode"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    agent = OpenCode(model="anthropic/claude-haiku-4-5", executable=str(program))
    setup = make_setup({".opencode/skills/a/SKILL.md": "x"})
    job = make_job(tmp_path, setup, env={"PATH": str(tmp_path)})
    with pytest.raises(RunError, match="there is no program rg on PATH") as caught:
        agent.invocation(job)
    assert caught.value.kind == "tools"
    (tmp_path / "rg").write_text("#!/bin/sh\n")
    (tmp_path / "rg").chmod(0o755)
    assert "--title" in agent.invocation(job).argv
