"""Experiments with the real Claude Code, whose model is a script on a local server.

The two larger experiments are run once for all tests here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.claude_code import claude_binary
from tests.support.examples import git, write_files
from tests.support.experiments import IN_PROCESS, TWO_WORKERS, read
from tests.support.messages_server import (
    Answer,
    Body,
    Failure,
    MessagesServer,
    Reply,
    Usage,
    call,
    reported_cwd,
    system_text,
    tool_names,
    tool_results,
    turn_of,
)
from tests.support.observed import (
    FOREIGN_FILES,
    GREETING,
    KEY,
    PROMPT,
    Observed,
    access,
    make_experiment,
    observe,
    once,
    outcomes,
    session,
    subtest_of,
)

MODEL = "claude-haiku-4-5"
PRICES = {"input": 1.0, "output": 5.0, "created": 1.25, "read": 0.10}
"""USD per million tokens of that model."""


def make_claude(
    place: Path, name: str, subtests: Mapping[str, Mapping[str, Any]], **agent: Any
) -> Path:
    """An experiment with the real Claude Code."""
    options = {"adapter": "claude-code", "model": MODEL, "executable": str(claude_binary())}
    return make_experiment(place, name, subtests, **{**options, **agent})


# The model


def write_greeting(body: Body) -> Reply:
    return call("Write", file_path=f"{reported_cwd(body)}/hello.py", content=GREETING)


FIRST_STEPS = {
    "T0/01-rules": call("Bash", command="env; git log --oneline; git status --short"),
    "T1/01-skills": call("Skill", skill="corner-cases"),
    "T2/01-outline": call("mcp__outline__outline", path="greeting.py"),
    "T3/01-helper": call(
        "Agent",
        description="help",
        prompt="HELP-WANTED",
        subagent_type="code-helper",
        run_in_background=False,
    ),
    "T4/01-team": call("Bash", command="env"),
}
USED = Usage(10, 5, 3, 7)
USED_BY_HELPER = Usage(100, 50, 30, 70)


def model(body: Body, prefix: str) -> Answer:
    """Some first step that the tier makes possible, then hello.py, then a word."""
    if "AGENT-BODY" in system_text(body):
        return Reply("The helper helped.", usage=USED_BY_HELPER)
    first = FIRST_STEPS.get(subtest_of(body))
    steps = [*([first] if first else []), write_greeting(body), Reply("Written.")]
    step = steps[turn_of(body)]
    return Reply(step.text, step.tools, usage=USED)


# An ablation: seven tiers' set-ups, run, and run again

SUBTESTS: dict[str, dict[str, Any]] = {
    "T0/00-empty": {"system_prompt_mode": "none"},
    "T0/01-rules": {"claude_md": {"blocks": ["B01", "B02"]}},
    "T0/02-bare": {"system_prompt_mode": "none", "claude_md": {"blocks": ["B02"]}},
    "T1/01-skills": {"skills": {"categories": ["testing"]}},
    "T2/01-outline": {"mcp_servers": ["outline"], "tools": {"enabled": ["Write", "Bash"]}},
    "T3/01-helper": {"agents": {"names": ["helper"]}, "tools": {"enabled": ["Write", "Read"]}},
    "T4/01-team": {"agent_teams": True},
}
TURNS = {**dict.fromkeys(SUBTESTS, 3), "T0/00-empty": 2, "T0/02-bare": 2}


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """One run of every set-up on two workers, and the same session a second time."""

    def make(place: Path) -> Observed:
        make_claude(place, "ablation", SUBTESTS, thinking=2048)
        write_files(place, FOREIGN_FILES)
        arguments = ("experiments/ablation", *TWO_WORKERS)
        return observe(place, model, [arguments, arguments])

    return once(tmp_path_factory, "ablation", make)


def test_every_set_up_passes(ablation: Observed) -> None:
    assert outcomes(ablation.said[0]) == {"passed": len(SUBTESTS)}, ablation.said[0]
    assert set(ablation.by_subtest) == set(SUBTESTS)


@pytest.mark.parametrize("subtest", SUBTESTS)
def test_the_real_program_writes_the_file_in_the_worktree(ablation: Observed, subtest: str) -> None:
    run = ablation.results("ablation") / subtest / "run_01"
    assert (run / "workspace" / "hello.py").read_text() == GREETING
    assert git(run / "workspace", "status", "--short") == "?? hello.py"
    assert '+print("Hello, World!")' in (run / "agent" / "changes.patch").read_text()
    assert (run / "agent" / "output.txt").read_text() == "Written."


@pytest.mark.parametrize("subtest", SUBTESTS)
def test_tokens_and_cost_arrive_with_those_of_sub_agents_once(
    ablation: Observed, subtest: str
) -> None:
    helped = subtest == "T3/01-helper"
    used = [USED] * TURNS[subtest] + [USED_BY_HELPER] * helped
    total = {
        "input": sum(u.input_tokens for u in used),
        "output": sum(u.output_tokens for u in used),
        "created": sum(u.cache_creation_input_tokens for u in used),
        "read": sum(u.cache_read_input_tokens for u in used),
    }
    found = read(ablation.results("ablation") / subtest / "run_01" / "run_result.json")
    assert found["token_stats"] == {
        "input_tokens": total["input"],
        "output_tokens": total["output"],
        "cache_creation_tokens": total["created"],
        "cache_read_tokens": total["read"],
        "cache_creation_1h_tokens": 0,
    }
    assert found["tokens_input"] == total["input"] + total["read"]
    price = sum(total[kind] * PRICES[kind] for kind in PRICES) / 1e6
    assert found["cost_usd"] == pytest.approx(price)
    assert found["agent_list_cost_usd"] == pytest.approx(price)


@pytest.mark.parametrize("subtest", SUBTESTS)
def test_the_prompt_is_the_task(ablation: Observed, subtest: str) -> None:
    assert PROMPT.strip() in ablation.told(subtest)


MARKS = {
    "RULE-ONE": {"T0/01-rules"},
    "RULE-TWO": {"T0/01-rules", "T0/02-bare"},
    "SKILL-ABOUT": {"T1/01-skills"},
    "SKILL-BODY": {"T1/01-skills"},
    "AGENT-ABOUT": {"T3/01-helper"},
    "HELP-WANTED": {"T3/01-helper"},
    "MCP-ANSWER": {"T2/01-outline"},
    "mcp__outline__outline": {"T2/01-outline"},
    "CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS=1": {"T4/01-team"},
    "FOREIGN": set(),
}
"""What a tier gives -> the only subtests whose model may learn of it."""


@pytest.mark.parametrize("mark", MARKS)
def test_what_a_tier_gives_reaches_the_model_there_and_nowhere_else(
    ablation: Observed, mark: str
) -> None:
    assert {subtest for subtest in SUBTESTS if mark in ablation.told(subtest)} == MARKS[mark]


def test_skills_and_agents_are_told_by_name_with_their_description(ablation: Observed) -> None:
    assert "- corner-cases: SKILL-ABOUT finds corner cases" in ablation.told("T1/01-skills")
    assert "- code-helper: AGENT-ABOUT helps" in ablation.told("T3/01-helper")


def test_claude_md_is_told_from_the_first_request_on(ablation: Observed) -> None:
    first = json.dumps(ablation.seen("T0/01-rules")[0])
    assert "RULE-ONE: small programs." in first
    assert "RULE-TWO: plain words." in first


def test_a_sub_agent_works_with_its_own_prompt_and_tools(ablation: Observed) -> None:
    (helper,) = [b for b in ablation.seen("T3/01-helper") if "AGENT-BODY" in system_text(b)]
    assert "HELP-WANTED" in json.dumps(helper["messages"])
    assert set(tool_names(helper)) == {"Read"}


def test_the_tools_are_those_of_the_tier_and_what_its_agents_need(ablation: Observed) -> None:
    assert ablation.tools("T3/01-helper") == {"Write", "Read", "Agent"}
    builtin = {tool for tool in ablation.tools("T2/01-outline") if not tool.startswith("mcp__")}
    assert builtin - {"ToolSearch"} == {"Write", "Bash"}
    assert {"Bash", "Edit", "Read", "Write", "Skill", "Agent"} <= ablation.tools("T0/00-empty")


def test_agent_teams_give_names_to_sub_agents(ablation: Observed) -> None:
    def names_them(subtest: str) -> bool:
        (tool,) = [t for t in ablation.seen(subtest)[0]["tools"] if t["name"] == "Agent"]
        return "name" in tool["input_schema"]["properties"]

    assert {s for s in SUBTESTS if "Agent" in ablation.tools(s) and names_them(s)} == {"T4/01-team"}


def test_without_a_system_prompt_only_one_line_says_who_it_is(ablation: Observed) -> None:
    for subtest in SUBTESTS:
        said = system_text(ablation.seen(subtest)[0])
        assert (len(said) < 100) == ("none" in SUBTESTS[subtest].values()), said
        assert "billing" not in said or subtest not in ("T0/00-empty", "T0/02-bare")


def test_a_budget_for_thinking_reaches_the_request(ablation: Observed) -> None:
    for subtest in SUBTESTS:
        thinking = ablation.seen(subtest)[0]["thinking"]
        assert (thinking["type"], thinking["budget_tokens"]) == ("enabled", 2048)


def test_a_run_has_a_home_and_a_temporary_directory_of_its_own(ablation: Observed) -> None:
    told = [tool_results(ablation.seen(s)[1])[0] for s in ("T0/01-rules", "T4/01-team")]
    homes = [re.findall(r"^(?:HOME|TMPDIR)=(.+)$", text, re.M) for text in told]
    assert [len(found) for found in homes] == [2, 2]
    places = {Path(path) for found in homes for path in found}
    assert len(places) == 4
    assert not any(path.exists() for path in places)


def test_git_in_the_workspace_is_clean_when_the_agent_starts(ablation: Observed) -> None:
    told = tool_results(ablation.seen("T0/01-rules")[1])[0]
    assert "Set up the agent" in told
    assert not re.search(r"^(?:\?\?| M|A ) ", told, re.M)


def test_a_second_session_asks_the_model_nothing(ablation: Observed) -> None:
    assert outcomes(ablation.said[1]) == {"passed": len(SUBTESTS)}, ablation.said[1]
    assert ablation.asked[1] == ablation.asked[0] > 0


def test_a_key_is_nowhere_below_the_results(ablation: Observed) -> None:
    files = [path for path in (ablation.place / "results").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    log = ablation.results("ablation") / "T0/01-rules/run_01/agent/stdout.log"
    assert "ANTHROPIC_API_KEY=[ANTHROPIC_API_KEY]" in log.read_text()


def test_the_version_of_the_program_is_kept(ablation: Observed) -> None:
    version = subprocess.check_output([claude_binary(), "--version"], text=True).strip()
    model_md = ablation.results("ablation") / "T0/00-empty/run_01/agent/MODEL.md"
    assert f"**Version**: {version}" in model_md.read_text()
    assert f"**Model**: {MODEL}" in model_md.read_text()


# Trouble: each run ends in a way of its own

TROUBLES: dict[str, dict[str, Any]] = {
    "T0/01-key": {"claude_md": {"blocks": ["B01"]}},
    "T0/02-model": {"claude_md": {"blocks": ["B02"]}},
    "T0/03-turns": {},
    "T0/04-tool": {"tools": {"enabled": ["Write", "TodoWrite"]}},
    "T0/05-mcp": {"mcp_servers": [{"name": "lost", "command": "/no/such/server"}]},
    "T0/06-agent": {"agents": {"names": ["nameless"]}},
}
KINDS = {
    "T0/01-key": "auth",
    "T0/02-model": "model_unknown",
    "T0/04-tool": "tools",
    "T0/05-mcp": "mcp",
    "T0/06-agent": "agents",
}
TIME = 12
"""Seconds after which the slow run is ended: time enough to begin, on a busy machine too."""


def troubles(ended: threading.Event) -> Callable[[Body, str], Answer]:
    """A model that writes hello.py where it is let, and then never ends by itself."""

    def answer(body: Body, prefix: str) -> Answer:
        subtest = subtest_of(body)
        if subtest == "T0/01-key":
            return Failure(401, "invalid x-api-key")
        if subtest == "T0/02-model":
            return Failure(404, f"model: {body['model']}")
        if turn_of(body) == 0:
            return write_greeting(body)
        if subtest == "T0/03-turns":
            return call("Bash", command="echo again")
        if subtest == "T0/07-slow":
            ended.wait(60)
        return Reply("Written.")

    return answer


@pytest.fixture(scope="module")
def trouble(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """A session over runs that all go wrong, but for those that a limit ends."""

    def make(place: Path) -> Observed:
        options = {"max_turns": 3, "env": {"CLAUDE_CODE_MAX_RETRIES": "0"}, "thinking": "low"}
        file = make_claude(place, "trouble", TROUBLES, model="claude-sonnet-5-5", **options)
        write_files(file.parent / "tiers", {"agents/L1/nameless.md": "---\ndescription: x\n---\n"})
        make_claude(place, "slow", {"T0/07-slow": {}}, timeout=TIME)
        ended = threading.Event()
        try:
            return observe(place, troubles(ended), [("experiments", *TWO_WORKERS)])
        finally:
            ended.set()

    return once(tmp_path_factory, "trouble", make)


def test_limits_are_judged_and_everything_else_that_goes_wrong_is_an_error(
    trouble: Observed,
) -> None:
    assert outcomes(trouble.said[0]) == {"passed": 2, "errors": len(KINDS)}, trouble.said[0]


@pytest.mark.parametrize("subtest", KINDS)
def test_an_error_has_its_kind_and_no_score(trouble: Observed, subtest: str) -> None:
    run = trouble.results("trouble") / subtest / "run_01"
    assert read(run / "error.json")["kind"] == KINDS[subtest]
    assert not (run / "run_result.json").exists()
    assert (run / "agent" / "stdout.log").read_text()


def test_the_next_step_is_said(trouble: Observed) -> None:
    for step in (
        "correct ANTHROPIC_API_KEY",
        "correct agent.model",
        "take it out of tools.enabled",
    ):
        assert f"next: {step}" in trouble.said[0]
    for name in ("TodoWrite", "lost (failed)", ".claude/agents/nameless.md"):
        assert name in trouble.said[0]


def test_a_limit_of_turns_is_judged_on_what_is_there(trouble: Observed) -> None:
    run = trouble.results("trouble") / "T0/03-turns/run_01"
    found = read(run / "run_result.json")
    assert (found["judge_passed"], found["timed_out"], found["exit_code"]) == (True, True, 1)
    assert read(run / "agent" / "result.json")["stop_reason"] == "turn_limit"
    assert len(trouble.seen("T0/03-turns")) == 3


def test_a_time_limit_is_judged_and_its_evidence_is_kept(trouble: Observed) -> None:
    run = trouble.results("slow") / "T0/07-slow/run_01"
    found = read(run / "run_result.json")
    assert (found["judge_passed"], found["timed_out"]) == (True, True)
    assert found["tokens_input"] == 10
    assert 0 < found["cost_usd"] == found["agent_list_cost_usd"] < 0.01
    assert read(run / "agent" / "result.json")["stop_reason"] == "time_limit"
    assert "hello.py" in (run / "agent" / "stdout.log").read_text()
    assert '+print("Hello, World!")' in (run / "agent" / "changes.patch").read_text()


def test_an_effort_by_name_reaches_the_request(trouble: Observed) -> None:
    assert trouble.seen("T0/03-turns")[0]["output_config"]["effort"] == "low"
    assert trouble.seen("T0/03-turns")[0]["model"] == "claude-sonnet-5-5"


# Alone


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer(model) as running:
        yield running


def test_a_replay_does_the_work_again_in_a_place_of_its_own(
    tmp_path: Path, server: MessagesServer
) -> None:
    place = tmp_path / "it's an odd [place] {x,y}"
    make_claude(place, "alone", {"T0/01-rules": SUBTESTS["T0/01-rules"]})
    write_files(place, FOREIGN_FILES)
    done = session(place, "experiments/alone", *IN_PROCESS, **access(server, "run"))
    assert outcomes(done.stdout) == {"passed": 1}, done.stdout
    (run,) = (place / "results").glob("*-alone/T0/01-rules/run_01")
    (run / "workspace" / "hello.py").unlink()

    again = replay(run, tmp_path, "again", ANTHROPIC_API_KEY=KEY)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "workspace" / "hello.py").read_text() == GREETING
    assert not (run / "workspace" / "hello.py").exists()

    keyless = replay(run, tmp_path, "third")
    assert keyless.returncode != 0
    assert "set ANTHROPIC_API_KEY" in keyless.stderr

    home = tmp_path / "again" / "home"
    assert str(home) in told_in(server, home.parent / "workspace")  # its memory is there
    for workspace in (run / "workspace", home.parent / "workspace"):
        told = told_in(server, workspace)
        assert "RULE-ONE" in told
        assert PROMPT.strip() in told
        assert "FOREIGN" not in told


def told_in(server: MessagesServer, workspace: Path) -> str:
    """All that the model was told of work in that directory."""
    bodies = [request.body for request in server.messages()]
    return json.dumps([body for body in bodies if reported_cwd(body) == str(workspace)])


def replay(run: Path, cwd: Path, to: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a run's replay.sh in `cwd`, with the directory `to` as its place."""
    return subprocess.run(
        [run / "agent" / "replay.sh", to],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **env},
        text=True,
        capture_output=True,
        check=False,
    )


HELLO = "experiments/hello-claude/experiment.yaml"
ROOT = Path(__file__).parents[2]


def test_without_a_key_runs_are_skipped_and_nothing_is_made(tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = session(ROOT, HELLO, "-rs", "-p", "no:cacheprovider", "--scylla-results", str(results))
    assert set(outcomes(done.stdout)) == {"skipped"}, done.stdout
    assert "agent claude-code: no key: set ANTHROPIC_API_KEY" in done.stdout
    assert list(tmp_path.rglob("run_01")) == []


def test_hello_claude_runs_offline_against_the_server_that_its_readme_names(
    tmp_path: Path,
) -> None:
    serve = [sys.executable, "-m", "tests.support.messages_server", "--script", "hello"]
    with subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.stdout.readline().strip()}
        nodes = [f"{HELLO}::T0::00-empty", f"{HELLO}::T1::01-testing"]
        options = ["-p", "no:cacheprovider", "--scylla-results", str(tmp_path)]
        done = session(ROOT, *nodes, *options, *TWO_WORKERS, **env)
        server.terminate()
    assert outcomes(done.stdout) == {"passed": 2}, done.stdout
