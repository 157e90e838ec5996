"""The experiment of Claude Code's tests, unchanged but for its agent, with the real OpenCode."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.examples import write_files
from tests.support.experiments import TWO_WORKERS, read
from tests.support.messages_server import (
    Answer,
    Body,
    Failure,
    Reply,
    ToolUse,
    Usage,
    call,
    reported_cwd,
    system_text,
    turn_of,
)
from tests.support.npm import opencode_binary, ripgrep
from tests.support.observed import (
    FOREIGN_FILES,
    GREETING,
    Observed,
    make_experiment,
    observe,
    once,
    outcomes,
    subtest_of,
)

pytestmark = pytest.mark.slow

SUBTESTS: dict[str, dict[str, Any]] = {
    "T0/00-empty": {},
    "T0/01-rules": {"claude_md": {"blocks": ["B01", "B02"]}},
    "T0/02-refused": {"claude_md": {"blocks": ["B02"]}},
    "T1/01-skills": {"skills": {"categories": ["testing"]}},
    "T2/01-outline": {"mcp_servers": ["outline"], "tools": {"enabled": ["Write", "Bash"]}},
    "T2/02-lost": {"mcp_servers": [{"name": "lost", "command": "/no/such/server"}]},
    "T3/01-helper": {"agents": {"names": ["helper"]}},
}
TIME = 45
"""Seconds: time enough to begin, on a busy machine too."""
KINDS = {"T0/02-refused": "auth", "T2/02-lost": "mcp"}
FIRST_STEPS = {
    "T1/01-skills": Reply(tools=(ToolUse("skill", {"name": "corner-cases"}),)),
    "T2/01-outline": call("outline_outline", path="greeting.py"),
    "T3/01-helper": call(
        "task", description="help", prompt="HELP-WANTED", subagent_type="code-helper"
    ),
}
MARKS = {
    "RULE-ONE": {"T0/01-rules"},
    "SKILL-ABOUT": {"T1/01-skills"},
    "SKILL-BODY": {"T1/01-skills"},
    "AGENT-ABOUT": {"T3/01-helper"},
    "AGENT-BODY": {"T3/01-helper"},
    "The helper helped.": {"T3/01-helper"},
    "outline_outline": {"T2/01-outline"},
    "MCP-ANSWER": {"T2/01-outline"},
    "FOREIGN": set(),
}
"""What a tier gives -> the only subtests whose model may learn of it."""


def model(body: Body, prefix: str) -> Answer:
    """Some first step that the tier makes possible, then hello.py, then a word."""
    subtest = subtest_of(body)
    if subtest == "T0/02-refused":
        return Failure(401, "invalid key", {"x-should-retry": "false"})
    if subtest == "T0/03-late" and turn_of(body):
        return Failure(429, headers={"retry-after": "600"})
    if "AGENT-BODY" in system_text(body):
        return Reply("The helper helped.", usage=Usage(100, 50, 30, 70))
    first = FIRST_STEPS.get(subtest)
    write = call("write", filePath=f"{reported_cwd(body)}/hello.py", content=GREETING)
    steps = [*([first] if first else []), write, Reply("Written.")]
    step = steps[turn_of(body)]
    return Reply(step.text, step.tools, usage=Usage(10, 5, 3, 7))


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """One run of every set-up on two workers."""

    def make(place: Path) -> Observed:
        options: dict[str, Any] = {"model": "anthropic/claude-haiku-4-5"}
        options["executable"] = str(opencode_binary())
        options["env"] = {"PATH": f"{os.environ['PATH']}:{ripgrep().parent}"}
        make_experiment(place, "open", SUBTESTS, adapter="opencode", **options)
        late: dict[str, Any] = {"adapter": "opencode", "timeout": TIME}
        make_experiment(place, "late", {"T0/03-late": {}}, **options, **late)
        write_files(place, FOREIGN_FILES)
        return observe(place, model, [("experiments", *TWO_WORKERS)])

    return once(tmp_path_factory, "opencode", make)


def test_every_set_up_passes_and_a_refused_key_is_an_error(ablation: Observed) -> None:
    found = outcomes(ablation.said[0])
    assert (found["passed"], found["errors"]) == (len(SUBTESTS) - 2, 3), ablation.said[0]
    for subtest, kind in KINDS.items():
        run = ablation.results("open") / subtest / "run_01"
        assert read(run / "error.json")["kind"] == kind


@pytest.mark.parametrize("mark", MARKS)
def test_what_a_tier_gives_reaches_the_model_there_and_nowhere_else(
    ablation: Observed, mark: str
) -> None:
    assert {subtest for subtest in ablation.by_subtest if mark in ablation.told(subtest)} == MARKS[
        mark
    ]


def test_tools_tokens_and_transcript(ablation: Observed) -> None:
    assert ablation.tools("T2/01-outline") == {"write", "edit", "bash", "outline_outline"}
    agent = ablation.results("open") / "T2/01-outline/run_01/agent"
    found = read(agent / "result.json")["token_stats"]
    assert (found["input_tokens"], found["cache_read_tokens"]) == (30, 21)
    assert read(agent / "result.json")["api_calls"] == 3
    lines = (agent / "transcript.jsonl").read_text().splitlines()
    first, second, last = [json.loads(line) for line in lines]
    assert first["tools"][0]["name"] == "outline_outline"
    assert "MCP-ANSWER" in first["tools"][0]["output"]
    assert second["tools"][0]["name"] == "write"
    assert last["text"] == "Written."


def test_what_sub_agents_used_is_counted_and_nothing_is_asked_that_nobody_counts(
    ablation: Observed,
) -> None:
    found = read(ablation.results("open") / "T3/01-helper/run_01/agent/result.json")
    tokens = found["token_stats"]
    assert (tokens["input_tokens"], tokens["output_tokens"]) == (130, 65)
    assert (tokens["cache_creation_tokens"], tokens["cache_read_tokens"]) == (39, 91)
    assert found["api_calls"] == len(ablation.seen("T3/01-helper"))
    usd = (130 * 1.0 + 65 * 5.0 + 39 * 1.25 + 91 * 0.10) / 1e6
    assert found["cost_usd"] == pytest.approx(usd)
    assert found["list_cost_usd"] == pytest.approx(usd)


def test_a_time_limit_while_the_api_refused_is_an_error_of_the_api(ablation: Observed) -> None:
    run = ablation.results("late") / "T0/03-late/run_01"
    assert read(run / "error.json")["kind"] == "api_error"
    assert not (run / "run_result.json").exists()
    assert read(run / "agent/result.json")["token_stats"]["input_tokens"] == 10
