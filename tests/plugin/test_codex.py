"""The experiment of Claude Code's tests, unchanged but for its agent, with the real Codex."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import git, write_files
from tests.support.experiments import TWO_WORKERS, read
from tests.support.messages_server import (
    Answer,
    Body,
    Failure,
    Reply,
    Usage,
    call,
    message_texts,
    system_text,
    tool_names,
    tool_results,
    turn_of,
)
from tests.support.npm import codex_binary
from tests.support.observed import (
    FOREIGN_FILES,
    GREETING,
    KEY,
    PROMPT,
    Observed,
    make_experiment,
    observe,
    once,
    outcomes,
    subtest_of,
)

MODEL = "gpt-5.5"
PATCH = "*** Begin Patch\n*** Add File: hello.py\n+" + GREETING + "*** End Patch\n"
WRITE = call("apply_patch", input=PATCH)


def make_codex(place: Path, name: str, subtests: dict[str, Any], **agent: Any) -> Path:
    """An experiment with the real Codex, which asks nothing twice."""
    options: dict[str, Any] = {"adapter": "codex", "model": MODEL}
    options["executable"] = str(codex_binary())
    options |= {"max_retries": 0, "prices": {MODEL: PRICE}}
    return make_experiment(place, name, subtests, **{**options, **agent})


# An ablation

SUBTESTS: dict[str, dict[str, Any]] = {
    "T0/00-empty": {},
    "T0/01-rules": {"claude_md": {"blocks": ["B01", "B02"]}},
    "T1/01-skills": {"skills": {"categories": ["testing"]}},
    "T2/01-outline": {"mcp_servers": ["outline"], "tools": {"enabled": ["Write", "Bash"]}},
    "T3/01-helper": {"agents": {"names": ["helper"]}},
}
FIRST_STEPS = {
    "T0/01-rules": [call("exec_command", cmd="env; git log --oneline; git status --short")],
    "T1/01-skills": [call("exec_command", cmd="cat .agents/skills/corner-cases/SKILL.md")],
    "T2/01-outline": [
        call("tool_search", query="outline of a file"),
        call("mcp__outlineoutline", path="greeting.py"),
    ],
    "T3/01-helper": [
        call(
            "collaborationspawn_agent",
            task_name="help",
            message="HELP-WANTED",
            agent_type="code-helper",
        ),
        call("collaborationwait_agent"),
    ],
}
USED = Usage(10, 5, 0, 7)
PRICE = {"input": 1, "output": 8, "cache_read": 0.5}
"""USD per million tokens."""


def model(body: Body, prefix: str) -> Answer:
    """Some first steps that the tier makes possible, then hello.py, then a word."""
    if "AGENT-BODY" in system_text(body):
        return Reply("The helper helped.", usage=USED)
    steps = [*FIRST_STEPS.get(subtest_of(body), ()), WRITE, Reply("Written.")]
    step = steps[turn_of(body)]
    return Reply(step.text, step.tools, usage=USED)


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """One run of every set-up on two workers."""

    def make(place: Path) -> Observed:
        make_codex(place, "ablation", SUBTESTS, thinking="high")
        write_files(place, FOREIGN_FILES)
        return observe(place, model, [("experiments/ablation", *TWO_WORKERS)])

    return once(tmp_path_factory, "codex", make)


def run_of(observed: Observed, subtest: str, name: str = "ablation") -> Path:
    return observed.results(name) / subtest / "run_01"


def test_every_set_up_passes(ablation: Observed) -> None:
    assert outcomes(ablation.said[0])["passed"] == len(SUBTESTS), ablation.said[0]
    assert set(ablation.by_subtest) == set(SUBTESTS)
    for subtest in SUBTESTS:
        run = run_of(ablation, subtest)
        assert (run / "workspace" / "hello.py").read_text() == GREETING
        assert git(run / "workspace", "status", "--short") == "?? hello.py"
        assert (run / "agent" / "output.txt").read_text() == "Written."
        assert PROMPT.strip() in ablation.told(subtest)


MARKS = {
    "RULE-ONE": {"T0/01-rules"},
    "SKILL-ABOUT": {"T1/01-skills"},
    "SKILL-BODY": {"T1/01-skills"},
    "AGENT-ABOUT": {"T3/01-helper"},
    "AGENT-BODY": {"T3/01-helper"},
    "HELP-WANTED": {"T3/01-helper"},
    "The helper helped.": {"T3/01-helper"},
    "Lists the classes and functions": {"T2/01-outline"},
    "MCP-ANSWER": {"T2/01-outline"},
    "imagegen": set(),
    "FOREIGN": set(),
}
"""What a tier gives -> the only subtests whose model may learn of it."""


@pytest.mark.parametrize("mark", MARKS)
def test_what_a_tier_gives_reaches_the_model_there_and_nowhere_else(
    ablation: Observed, mark: str
) -> None:
    assert {subtest for subtest in SUBTESTS if mark in ablation.told(subtest)} == MARKS[mark]


def test_rules_are_told_from_the_first_request_on(ablation: Observed) -> None:
    (rules, _) = message_texts(ablation.seen("T0/01-rules")[0], "user")
    assert "AGENTS.md" in rules
    assert "RULE-ONE: small programs.\n\nRULE-TWO: plain words." in rules


def test_the_tool_of_an_mcp_server_is_offered_and_its_answer_reaches_the_model(
    ablation: Observed,
) -> None:
    _, searched, answered, _ = ablation.seen("T2/01-outline")
    assert "mcp__outlineoutline" in tool_names(searched)
    assert "1: def greet(name) - MCP-ANSWER greets." in tool_results(answered)[0]


def test_the_tools_that_a_tier_leaves_out_are_not_offered(ablation: Observed) -> None:
    rest = {"web_search", "view_image", "get_goal"}
    assert rest <= ablation.tools("T0/00-empty")
    assert not rest & ablation.tools("T2/01-outline")
    spawning = {s for s in SUBTESTS if "collaborationspawn_agent" in ablation.tools(s)}
    assert spawning == {"T3/01-helper"}


def test_tokens_are_those_of_all_requests_and_the_price_list_says_what_they_cost(
    ablation: Observed,
) -> None:
    for subtest in SUBTESTS:
        asked = len(ablation.seen(subtest))
        found = read(run_of(ablation, subtest) / "agent" / "result.json")
        assert found["api_calls"] == asked
        assert found["token_stats"] == {
            "cache_creation_1h_tokens": 0,
            "input_tokens": 10 * asked,
            "output_tokens": 5 * asked,
            "cache_creation_tokens": 0,
            "cache_read_tokens": 7 * asked,
        }
        assert found["cost_usd"] == pytest.approx(asked * (10 * 1 + 5 * 8 + 7 * 0.5) / 1e6)


def test_the_effort_reaches_the_request(ablation: Observed) -> None:
    assert {body["reasoning"]["effort"] for body in ablation.requests} == {"high"}


def test_the_transcript_has_the_tools_with_what_they_gave_back(ablation: Observed) -> None:
    text = (run_of(ablation, "T2/01-outline") / "agent" / "transcript.jsonl").read_text()
    (turn,) = [json.loads(line) for line in text.splitlines()]
    assert (turn["number"], turn["text"], turn["model"]) == (1, "Written.", MODEL)
    outline, patch = turn["tools"]
    assert (outline["name"], outline["input"]) == ("mcp__outline__outline", {"path": "greeting.py"})
    assert "MCP-ANSWER" in outline["output"]
    assert (patch["name"], patch["failed"]) == ("apply_patch", False)


def test_a_key_is_nowhere_below_the_results(ablation: Observed) -> None:
    files = [path for path in (ablation.place / "results").rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    log = run_of(ablation, "T0/01-rules") / "agent" / "stdout.log"
    assert "OPENAI_API_KEY=[OPENAI_API_KEY]" in log.read_text()


# Trouble

TROUBLES: dict[str, dict[str, Any]] = {
    "T0/01-key": {"claude_md": {"blocks": ["B01"]}},
    "T0/02-model": {"claude_md": {"blocks": ["B02"]}},
    "T0/04-refusal": {"skills": {"categories": ["testing"]}},
    "T0/05-mcp": {"mcp_servers": [{"name": "lost", "command": "/no/such/server"}]},
    "T0/06-wishes": {"tools": {"enabled": ["Read"]}, "agent_teams": True},
}
KINDS = {
    "T0/01-key": "auth",
    "T0/02-model": "model_unknown",
    "T0/04-refusal": "refusal",
    "T0/05-mcp": "mcp",
}
TIME = 12
"""Seconds after which the slow run is ended: time enough to begin, on a busy machine too."""


def troubles(ended: threading.Event) -> Callable[[Body, str], Answer]:
    """A model that fails, and one that never ends by itself."""
    answers: dict[str, Answer] = {
        "T0/01-key": Failure(401, "invalid key"),
        "T0/02-model": Failure(404, "there is no such model"),
        "T0/04-refusal": Reply("I will not.", stop_reason="refusal"),
    }

    def answer(body: Body, prefix: str) -> Answer:
        subtest = subtest_of(body)
        if subtest in answers:
            return answers[subtest]
        if turn_of(body) == 0:
            return Reply(tools=WRITE.tools, usage=USED)
        if subtest == "T0/07-slow":
            ended.wait(60)
        return Reply("Written.")

    return answer


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """A session over runs that go wrong, but for one that a limit ends."""

    def make(place: Path) -> Observed:
        make_codex(place, "trouble", TROUBLES)
        make_codex(place, "slow", {"T0/07-slow": {}}, timeout=TIME)
        ended = threading.Event()
        try:
            return observe(
                place,
                troubles(ended),
                [("experiments", "-rw", *TWO_WORKERS)],
            )
        finally:
            ended.set()

    return once(tmp_path_factory, "codex-trouble", make)


def test_what_goes_wrong_is_an_error_of_its_kind_and_limits_are_judged(trouble: Observed) -> None:
    found = outcomes(trouble.said[0])
    assert (found["passed"], found["errors"]) == (2, len(KINDS)), trouble.said[0]
    errors = {s: read(run_of(trouble, s, "trouble") / "error.json")["kind"] for s in KINDS}
    assert errors == KINDS
    assert not any((run_of(trouble, s, "trouble") / "run_result.json").exists() for s in KINDS)
    assert "correct OPENAI_API_KEY" in trouble.said[0]


def test_a_time_limit_is_judged_and_the_tokens_so_far_are_kept(trouble: Observed) -> None:
    found = read(run_of(trouble, "T0/07-slow", "slow") / "agent" / "result.json")
    assert (found["stop_reason"], found["timed_out"]) == ("time_limit", True)
    assert found["token_stats"]["input_tokens"] == 10
    assert found["token_stats"]["cache_read_tokens"] == 7
    assert 0 < found["silent_seconds"] < TIME + 10


def test_what_codex_cannot_take_is_a_warning_at_collection_and_in_the_manifest(
    trouble: Observed,
) -> None:
    lost = ["`agent_teams`", "`tools.enabled` without Bash (it reads files with its shell)"]
    for part in lost:
        assert f"the agent cannot take {part}, given by T0/06-wishes" in trouble.said[0]
    manifest = read(run_of(trouble, "T0/06-wishes", "trouble").parent / "config_manifest.json")
    assert manifest["not_taken"] == lost
