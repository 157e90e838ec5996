"""Claude Code as a judge: the real program, whose model is a script on a local server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_scylla.judges import Grading, NotGraded
from pytest_scylla.judges.claude_code import ClaudeCode
from pytest_scylla.results import token_stats
from tests.support.claude_code import claude_binary
from tests.support.judges import KEY, MODEL, make_evidence
from tests.support.messages_server import (
    Answer,
    Body,
    Failure,
    MessagesServer,
    Reply,
    Usage,
    call,
    first_user_text,
    tool_names,
    tool_results,
    turn_of,
)

USAGE = Usage(input_tokens=100, output_tokens=20, cache_read_input_tokens=3)
FOREIGN = {
    "CLAUDE.md": "FOREIGN\n",
    ".claude/CLAUDE.md": "FOREIGN\n",
    ".claude/settings.json": '{"env": {"FOREIGN": "1"}, "permissions": {"allow": ["Bash"]}}',
    ".claude/skills/foreign/SKILL.md": "---\nname: foreign\ndescription: FOREIGN\n---\n",
    ".mcp.json": '{"mcpServers": {"foreign": {"command": "/nowhere"}}}',
    "hello.py": 'print("hello")\n',
}
ITEMS = {"F1": {"achieved": 2, "reason": "hello.py:1"}, "F2": {"achieved": "N/A", "reason": "-"}}
GOOD = {"items": ITEMS, "reasoning": "I read it.", "score": 1, "passed": True}


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> ClaudeCode:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return ClaudeCode(
        model=MODEL, executable=str(claude_binary()), env={"CLAUDE_CODE_MAX_RETRIES": "1"}
    )


def test_it_reads_by_itself_writes_nothing_and_takes_up_nothing_of_the_workspace(
    tmp_path: Path, judge: ClaudeCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = make_evidence(tmp_path, files={**FOREIGN, "big.txt": "x" * 3_000_000})
    (tmp_path / "secret.txt").write_text("TOP-SECRET")

    def reader(body: Body, prefix: str) -> Answer:
        turn = turn_of(body)
        turns = [
            call("Read", file_path=str(tmp_path / "copy/hello.py")),
            call("Read", file_path=str(tmp_path / "secret.txt")),
            call("Grep", pattern="hello", path=str(tmp_path / "copy")),
            call("Write", file_path=str(tmp_path / "copy/new.py"), content="x"),
        ]
        last = {**GOOD, "score": 1 if "cannot be used" in json.dumps(body) else 9}
        answer = turns[turn] if turn < len(turns) else call("StructuredOutput", **last)
        return Reply(answer.text, answer.tools, usage=USAGE)

    with MessagesServer(reader) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        came = judge.grade(evidence)
        requests = [request.body for request in server.messages()]
        assert came.tokens == token_stats(vars(server.told))
    assert isinstance(came, Grading)
    assert {name: score.achieved for name, score in came.items.items()} == {
        "F1": 2,
        "F2": "N/A",
        "F3": "N/A",
    }
    assert (came.own_score, came.passed) == (1, True)
    assert came.cost_usd == pytest.approx(len(requests) * (100 + 20 * 5 + 3 * 0.1) / 1e6)
    assert all({*tool_names(b)} == {"Read", "Grep", "Glob", "StructuredOutput"} for b in requests)
    results = tool_results(requests[-1])
    assert 'print("hello")' in results[0]
    assert "TOP-SECRET" not in json.dumps(requests)
    assert "hello.py" in results[2]
    assert not (tmp_path / "copy/new.py").exists()
    assert "FOREIGN" not in json.dumps(requests)
    assert str(tmp_path / "copy") in first_user_text(requests[0])
    assert len(first_user_text(requests[0])) < 20_000
    # The second round went on in the same conversation, and said what was wrong.
    assert "`score` must be a number from 0 to 1, not 9" in json.dumps(requests[-1])
    assert came.response.count("--- round") == 2


def test_an_api_that_refuses_for_ever_is_said(
    tmp_path: Path, judge: ClaudeCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MessagesServer(lambda body, prefix: Failure(404, "no such model")) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        with pytest.raises(NotGraded) as caught:
            judge.grade(make_evidence(tmp_path))
    assert caught.value.kind == "model_unknown"
    assert "correct the judge's model in experiment.yaml" in str(caught.value)


def test_a_program_that_is_not_there_or_says_nothing_is_no_judgment(
    tmp_path: Path, judge: ClaudeCode
) -> None:
    mute = judge.model_copy(update={"executable": "/bin/true"})
    with pytest.raises(NotGraded, match="Claude Code ended with 0 and no result"):
        mute.grade(make_evidence(tmp_path))
    assert judge.identity() == ClaudeCode(model=MODEL, timeout=5).identity()
