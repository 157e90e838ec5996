"""The Codex adapter without the program: its files, its command, what session files mean."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.agents import Answer
from pytest_scylla.agents.codex import Codex, Session, toml
from pytest_scylla.results import TokenStats
from tests.support.agents import ended, make_job, make_setup
from tests.support.examples import law

AGENT = Codex(model="gpt-5.5")
BEGAN = {"type": "thread.started", "thread_id": "1"}
GAVE_UP = {"type": "turn.failed", "error": {"message": "429 refusal: words are not believed"}}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    texts | st.booleans() | st.integers(-(2**40), 2**40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def usage(id: str, **counts: int) -> dict[str, Any]:
    """What a session file says of an answer of the model."""
    return {"type": "token_usage_record", "payload": {"response_id": id, "usage": counts}}


def end(info: Any) -> dict[str, Any]:
    """What a session file says of an end by an error."""
    error = {"message": "No.", "codex_error_info": info}
    return {"type": "event_msg", "payload": {"type": "task_complete", "error": error}}


def answer(place: Path, stdout: str, *records: dict[str, Any], **ending: Any) -> Answer:
    """What the adapter makes of an output, and of a session file in HOME."""
    folder = place / ".codex" / "sessions" / "2026" / "11" / "24"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rollout-1.jsonl").write_text(lines(*records))
    job = make_job(place)
    return AGENT.answer(ended(stdout, **ending), type(job)(**{**vars(job), "home": place}))


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        ({"response_too_many_failed_attempts": {"http_status_code": 429}}, "rate_limit"),
        ({"http_connection_failed": {"http_status_code": 401}}, "auth"),
        ({"http_connection_failed": {"http_status_code": 529}}, "overloaded"),
        ({"http_connection_failed": {"http_status_code": 500}}, "api_error"),
        ({"http_connection_failed": {"http_status_code": None}}, "network"),
        ({"response_stream_disconnected": {"http_status_code": None}}, "network"),
        ("model_not_found", "model_unknown"),
        ("context_window_exceeded", "prompt_too_long"),
        ("usage_limit_exceeded", "quota"),
        ("server_overloaded", "overloaded"),
        ("cyber_policy", "refusal"),
        ("other", "api_error"),
        (None, "agent_error"),
    ],
)
def test_the_kind_of_an_error_is_what_the_session_file_calls_it(
    tmp_path: Path, info: Any, kind: str
) -> None:
    found = answer(tmp_path, lines(BEGAN, GAVE_UP), end(info), exit_code=1)
    assert found.error is not None
    assert (found.error.kind, found.stop_reason) == (kind, kind)


def test_an_error_without_a_session_file_is_never_read_from_words(tmp_path: Path) -> None:
    found = AGENT.answer(ended(lines(BEGAN, GAVE_UP), exit_code=1), make_job(tmp_path))
    assert found.error is not None
    assert found.error.kind == "agent_error"


def test_tokens_are_counted_once_for_each_answer_and_the_cached_ones_apart(tmp_path: Path) -> None:
    counts = {"input_tokens": 20, "cached_input_tokens": 7, "cache_write_input_tokens": 3}
    told = usage("a", **counts, output_tokens=5)
    found = answer(tmp_path, lines(BEGAN), told, told, usage("b", output_tokens=1), timed_out=True)
    assert found.tokens == TokenStats(
        input_tokens=10, output_tokens=6, cache_creation_tokens=3, cache_read_tokens=7
    )
    assert (found.turns, found.limited, found.error) == (2, True, None)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ({"timed_out": True}, "not_started"),
        ({"exit_code": 2}, "crash"),
        ({"exit_code": 0}, "crash"),
    ],
)
def test_without_a_beginning_there_is_nothing_to_judge(
    tmp_path: Path, ending: dict[str, Any], kind: str
) -> None:
    found = answer(tmp_path, "", **ending)
    assert found.error is not None
    assert found.error.kind == kind


def test_a_command_that_was_cut_off_is_in_the_transcript_without_an_output() -> None:
    item = {"id": "1", "type": "command_execution", "command": "sleep 9", "status": "in_progress"}
    (turn,) = AGENT.transcript(lines(BEGAN, {"type": "item.started", "item": item}))
    (call,) = turn.tools
    assert (call.name, call.input, call.output) == ("exec_command", "sleep 9", None)


@law
@given(values)
def test_any_value_comes_back_from_toml(value: Any) -> None:
    assert tomllib.loads(f"key = {toml(value)}")["key"] == value


def test_a_sub_agent_becomes_a_role_and_what_cannot_be_taken_is_said() -> None:
    head = '---\nname: code-helper\ndescription: "helps: a lot"\ntools: Read\n---\n'
    files = {".claude/agents/x.md": f'{head}Be "kind".\n', "CLAUDE.md": "Rules.\n"}
    setup = make_setup(files, mode="none", tools={"enabled": ["Read"]})
    placed = AGENT.files(setup)
    assert set(placed) == {".codex/agents/code-helper.toml", "AGENTS.md"}
    role = tomllib.loads(placed[".codex/agents/code-helper.toml"][0].decode())
    assert role == {
        "name": "code-helper",
        "description": "helps: a lot",
        "developer_instructions": 'Be "kind".',
    }
    assert AGENT.not_taken(setup) == [
        "`system_prompt_mode: none`",
        "`tools.enabled` without Bash (it reads files with its shell)",
        "`tools` of a sub-agent",
    ]
    assert AGENT.not_taken(make_setup()) == []


RECONNECTING = "Reconnecting... 1/5 (exceeded retry limit, last status: {})"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"type": "error", "message": RECONNECTING.format("429 Too Many Requests")}, (429, None)),
        ({"type": "error", "message": RECONNECTING.format("500 No")}, None),
        ({"type": "error", "message": "exceeded retry limit, last status: 429"}, None),
        ({"type": "agent_message", "message": RECONNECTING.format(429), "is": "error"}, None),
    ],
)
def test_a_request_that_it_repeats_is_told_by_its_own_event_alone(event: Any, told: Any) -> None:
    assert AGENT.refusal(json.dumps(event)) == told


@pytest.mark.parametrize(
    ("why", "kind"), [("429 Too Many Requests", "rate_limit"), ("500 No", "api_error")]
)
def test_a_time_limit_while_the_api_refused_is_an_error_of_the_api(
    tmp_path: Path, why: str, kind: str
) -> None:
    refused = {"type": "error", "message": RECONNECTING.format(why)}
    found = answer(tmp_path, lines(BEGAN, refused), usage("1", input_tokens=9), timed_out=True)
    assert found.error is not None
    assert (found.error.kind, found.tokens.input_tokens) == (kind, 9)
    went_on = {"type": "item.completed", "item": {"type": "agent_message", "text": "Done."}}
    found = answer(tmp_path, lines(BEGAN, refused, went_on), timed_out=True)
    assert (found.error, found.limited) == (None, True)


def test_what_an_agent_put_among_the_session_files_hangs_nothing(tmp_path: Path) -> None:
    """HOME is the agent's to write: it is read without following links, or waiting."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (home / ".codex/sessions/2026/01", outside):
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text(json.dumps(usage(folder.name, output_tokens=7)) + "\n")
    own = Session(home).requests
    assert len(own) == 1
    os.mkfifo(home / ".codex/sessions/2026/b.jsonl")
    (home / ".codex/sessions/c.jsonl").symlink_to("/dev/zero")
    (home / ".codex/sessions/d.jsonl").symlink_to(outside / "a.jsonl")
    (home / ".codex/sessions/e").symlink_to(outside)
    assert Session(home).requests == own
    (home / ".codex/sessions").rename(outside / "sessions")
    (home / ".codex/sessions").symlink_to(outside / "sessions")
    assert Session(home).requests == []
