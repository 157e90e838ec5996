"""The Claude Code adapter without the program: its options, its command, what events mean."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_scylla.agents import Answer
from pytest_scylla.agents.claude_code import ClaudeCode, memories_above
from pytest_scylla.claude import KEYS
from pytest_scylla.errors import RunError
from pytest_scylla.results import TokenStats
from pytest_scylla.tiers import Setup
from tests.support.agents import ended, make_job, make_setup
from tests.support.claude_code import (
    BUILT_IN_AGENTS,
    MODEL,
    api_error,
    api_retry,
    init,
    message,
    model_usage,
    result,
    stream,
    tool_result,
)
from tests.support.examples import law, law_on_disk

AGENT = ClaudeCode(model=MODEL)


def answer(stdout: str, setup: Setup | None = None, **ending: Any) -> Answer:
    return AGENT.answer(ended(stdout, **ending), make_job(setup=setup))


def error(stdout: str, setup: Setup | None = None, **ending: Any) -> RunError:
    found = answer(stdout, setup, **ending).error
    assert found is not None
    return found


# What the events say


def test_a_success_gives_text_tokens_cost_turns_and_model() -> None:
    usage = {MODEL: model_usage(7, 11, 13, 17)}
    found = answer(stream(init(), message(), result("All done.", modelUsage=usage, num_turns=3)))
    assert found == Answer(
        text="All done.",
        tokens=TokenStats(
            input_tokens=7, output_tokens=11, cache_creation_tokens=13, cache_read_tokens=17
        ),
        cost_usd=0.001,
        usages=found.usages,
        turns=3,
        model=MODEL,
        stop_reason="completed",
    )


@law
@given(st.text())
def test_any_text_arrives_as_it_was(text: str) -> None:
    noise = "a warning\n[1]\n\n{broken"
    found = answer(stream(init(), message(text), result(text)) + noise)
    assert (found.text, found.error) == (text, None)


def test_sub_agents_count_once_although_usage_leaves_them_out() -> None:
    models = {MODEL: model_usage(110, 55), "claude-sonnet-5-5": model_usage(1000, 500)}
    found = answer(stream(init(), message(), message(id="msg_sub"), result(modelUsage=models)))
    assert found.tokens == TokenStats(input_tokens=1110, output_tokens=555)


def test_of_several_results_the_last_has_text_tokens_and_cost_and_turns_add_up() -> None:
    first = result("Started.", num_turns=2, modelUsage={MODEL: model_usage(20, 10)})
    last = result("Ended.", total_cost_usd=0.004, modelUsage={MODEL: model_usage(30, 15)})
    found = answer(stream(init(), message(), first, init(), message(id="msg_2"), last))
    assert (found.text, found.cost_usd, found.turns) == ("Ended.", 0.004, 3)
    assert found.tokens == TokenStats(input_tokens=30, output_tokens=15)


def test_a_model_without_a_known_price_has_no_cost() -> None:
    usage = {"some-model": model_usage(basis="unknown"), MODEL: model_usage()}
    assert answer(stream(init(), result(modelUsage=usage))).cost_usd is None


def test_a_result_without_usage_by_model_still_has_its_usage() -> None:
    found = answer(stream(init(), result(modelUsage={})))
    assert found.tokens == TokenStats(input_tokens=10, output_tokens=5)


# Tokens to be priced


def priced(*events: Any, **ending: Any) -> dict[str, int]:
    """Model -> fresh input and output in all usages."""
    found: dict[str, int] = {}
    for usage in answer(stream(init(), *events), **ending).usages:
        tokens = usage.tokens.input_tokens + 1000 * usage.tokens.output_tokens
        found[usage.model] = found.get(usage.model, 0) + tokens
    return found


def test_all_tokens_are_priced_once_by_model() -> None:
    models = {MODEL: model_usage(110, 55), "claude-sonnet-5-5": model_usage(1000, 500)}
    blocks = [message("One."), message("Two."), message(id="msg_2")]
    assert priced(*blocks, result(modelUsage=models)) == {
        MODEL: 55_110,
        "claude-sonnet-5-5": 501_000,
    }


def test_every_message_has_its_own_length_of_prompt() -> None:
    short, long = message(id="msg_1"), message(id="msg_2", cache_read_input_tokens=150_000)
    usage = {MODEL: model_usage(20, 1000, read=150_000)}
    found = answer(stream(init(), short, long, result(modelUsage=usage))).usages
    assert [u.tokens.prompt for u in found] == [10, 150_010, 0]
    assert found[2].tokens.output_tokens == 998
    assert found[2].prompt_tokens == 75_010, "the mean of those that are told"


def test_of_an_answer_that_was_cut_off_its_length_is_priced() -> None:
    cut = priced(message("x" * 4000), timed_out=True)
    assert 1000 < cut[MODEL] // 1000 < 1030
    first = result(modelUsage={MODEL: model_usage(20, 10)})
    later = priced(message(), first, message("x" * 4000, id="msg_2"), timed_out=True)
    assert 1010 < later[MODEL] // 1000 < 1040


# Limits are judged


@pytest.mark.parametrize(
    ("subtype", "reason"),
    [("error_max_turns", "turn_limit"), ("error_max_budget_usd", "budget_limit")],
)
def test_a_limit_of_turns_or_money_is_judged(subtype: str, reason: str) -> None:
    last = result(None, subtype=subtype, is_error=True, terminal_reason=reason)
    found = answer(stream(init(), message("As far as I came."), last), exit_code=1)
    assert (found.error, found.limited, found.stop_reason) == (None, True, reason)
    assert (found.text, found.cost_usd) == ("As far as I came.", 0.001)


def test_a_time_limit_is_judged_and_its_cost_is_not_known() -> None:
    blocks = [message("One."), message("Two."), message("Three.", id="msg_2")]
    found = answer(stream(init(), *blocks, tool_result()), exit_code=143, timed_out=True)
    assert (found.error, found.limited, found.stop_reason) == (None, True, "time_limit")
    assert (found.text, found.cost_usd, found.turns) == ("Three.", None, 2)
    assert found.tokens == TokenStats(input_tokens=20, output_tokens=2)


def test_after_a_result_the_messages_of_a_run_that_was_cut_off_are_added() -> None:
    first = result("Started.", modelUsage={MODEL: model_usage(20, 10)})
    events = [init(), message(), first, init(), message(id="msg_2"), message(id="msg_2")]
    found = answer(stream(*events), timed_out=True)
    assert found.tokens == TokenStats(input_tokens=30, output_tokens=11)
    assert (found.cost_usd, found.turns) == (None, 2)


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_refusal_of_the_model_is_an_error_that_says_what_to_do(exit_code: int) -> None:
    last = api_error(None, "I can't help with this.", stop_reason="refusal")
    found = error(stream(init(), message(), last), exit_code=exit_code)
    assert found.kind == "refusal"
    assert "I can't help with this." in str(found)
    assert "next: read agent/transcript.jsonl; reword" in str(found)


def test_a_text_that_looks_like_an_error_is_none() -> None:
    said = "429 rate_limit: I refuse, overloaded, invalid API key"
    found = answer(stream(init(), message(said), result(said)))
    assert (found.error, found.text) == (None, said)


# The transcript


def test_the_transcript_has_messages_tools_and_what_they_gave_back() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "x" * 20_001}}
    said = message("I look.", output_tokens=7)
    called = {**said, "message": {**said["message"], "content": [call], "stop_reason": "tool_use"}}
    helper = {**message("I help.", id="msg_2"), "parent_tool_use_id": "toolu_1"}
    events = [init(), said, called, tool_result("y" * 20_001), helper, result()]
    first, second = AGENT.transcript(stream(*events))
    assert (first.number, first.text, first.stop_reason) == (1, "I look.", "tool_use")
    assert first.token_stats == TokenStats(input_tokens=10, output_tokens=7)
    (tool,) = first.tools
    assert (tool.name, tool.id, tool.failed) == ("Bash", "toolu_1", False)
    mark = "[… 10001 characters cut …]"
    assert tool.output == "y" * 5000 + mark + "y" * 5000
    assert tool.input == {"command": "x" * 5000 + mark + "x" * 5000}
    assert (second.agent, second.text) == ("toolu_1", "I help.")


@law
@given(st.integers(min_value=0), st.booleans())
def test_a_stream_that_is_cut_anywhere_says_no_more_than_the_whole(
    cut: int, timed_out: bool
) -> None:
    first = result("First.", num_turns=2, modelUsage={MODEL: model_usage(20, 10, 6, 14)})
    last = result("Last.", modelUsage={MODEL: model_usage(30, 15, 9, 21)})
    whole = stream(init(), message("é\u2028"), tool_result(), first, message(id="msg_3"), last)
    part = answer(whole[: cut % (len(whole) + 1)], timed_out=timed_out)
    assert part.tokens.total <= answer(whole).tokens.total
    assert part.turns <= 3
    assert part.cost_usd in (None, 0.001)


# Errors are not


@pytest.mark.parametrize(
    ("status", "kind", "step"),
    [
        (401, "auth", "ANTHROPIC_API_KEY"),
        (403, "auth", "ANTHROPIC_API_KEY"),
        (404, "model_unknown", "agent.model"),
        (429, "rate_limit", "goes on"),
        (500, "api_error", "goes on"),
        (529, "overloaded", "goes on"),
        (None, "network", "check the network"),
    ],
)
def test_an_error_of_the_api_is_an_error_of_its_kind(
    status: int | None, kind: str, step: str
) -> None:
    found = error(stream(init(), message(), api_error(status, "It said no.")), exit_code=1)
    assert found.kind == kind
    assert "It said no." in str(found)
    assert step in str(found).split("next:")[1]


@pytest.mark.parametrize(
    ("word", "kind"),
    [("billing_error", "quota"), ("rate_limit", "rate_limit"), ("new", "api_error")],
)
def test_what_the_program_calls_the_error_tells_more_than_the_status(word: str, kind: str) -> None:
    told = {**message(), "error": word}
    assert error(stream(init(), told, api_error(400, "No.")), exit_code=1).kind == kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("prompt_too_long", "prompt_too_long"),
        ("aborted_streaming", "agent_error"),
        ("completed", "agent_error"),
        (None, "agent_error"),
    ],
)
def test_any_other_giving_up_is_an_error(reason: str | None, kind: str) -> None:
    last = api_error(400, "Too much.", terminal_reason=reason)
    found = answer(stream(init(), last))
    assert (found.error and found.error.kind, found.stop_reason) == (kind, kind)


def test_a_failing_exit_status_is_an_error_whatever_the_result_says() -> None:
    assert error(stream(init(), result()), exit_code=137).kind == "agent_error"


def test_no_result_is_a_crash_that_quotes_the_last_line_of_stderr() -> None:
    found = error("", stderr="loading\nerror: unknown option '--nonsense'\n", exit_code=1)
    assert found.kind == "crash"
    assert "ended with 1 and no result: error: unknown option '--nonsense'" in str(found)
    assert "it said nothing" in str(error(stream(init(), message()), exit_code=143))


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (429, "rate_limit", "rate_limit"),
        (529, "overloaded", "overloaded"),
        (None, "unknown", "network"),
    ],
)
def test_a_time_limit_while_the_api_refused_is_an_error_of_the_api(
    status: int | None, name: str, kind: str
) -> None:
    events = [init(), message(), tool_result(), api_retry(status, name), api_retry(status, name)]
    assert error(stream(*events), timed_out=True).kind == kind
    went_on = answer(stream(*events, message(id="msg_2")), timed_out=True)
    assert (went_on.error, went_on.limited) == (None, True)


def test_a_time_limit_before_the_program_began_is_an_error() -> None:
    assert error("", timed_out=True, exit_code=143).kind == "not_started"


@pytest.mark.parametrize(
    ("version", "good"),
    [("2.1.329 (Claude Code)", True), ("2.0.99", False), ("3.0.0", False), ("", True)],
)
def test_a_version_out_of_the_supported_range_is_refused(
    tmp_path: Path, version: str, good: bool
) -> None:
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    agent = ClaudeCode(model=MODEL, executable=str(program))
    if good:
        assert agent.version() == version
        return
    with pytest.raises(
        RunError, match=r"is not supported .supported: 2.1 and later, before 3."
    ) as e:
        agent.version()
    assert (e.value.kind, "next: pip install" in str(e.value)) == ("no_cli", True)


# What the tier gives must be offered

MCP = make_setup({".mcp.json": json.dumps({"mcpServers": {"clock": {}, "notes": {}}})})


@pytest.mark.parametrize("status", ["failed", "pending", "needs-auth", None])
def test_an_mcp_server_that_is_not_connected_is_an_error(status: str | None) -> None:
    servers = [{"name": "clock", "status": "connected"}]
    if status:
        servers.append({"name": "notes", "status": status})
    found = error(stream(init(mcp_servers=servers), message(), result()), MCP)
    assert found.kind == "mcp"
    assert f"notes ({status or 'refused'})" in str(found)
    assert "clock" not in str(found)


def test_mcp_servers_that_are_connected_are_fine() -> None:
    servers = [{"name": name, "status": "connected"} for name in ("clock", "notes")]
    assert answer(stream(init(mcp_servers=servers), result()), MCP).error is None


def tools(*names: str) -> Setup:
    return make_setup(tools={"enabled": names})


def test_a_tool_that_was_asked_for_and_is_not_offered_is_an_error() -> None:
    found = error(stream(init(tools=["Read"]), result()), tools("Read", "TodoWrite"))
    assert found.kind == "tools"
    assert "tool TodoWrite" in str(found)
    assert "there are Read" in str(found)


@pytest.mark.parametrize(("asked", "told"), [("Agent", "Task"), ("KillShell", "TaskStop")])
def test_a_tool_may_be_offered_under_its_other_name(asked: str, told: str) -> None:
    assert answer(stream(init(tools=["Read", told]), result()), tools("Read", asked)).error is None


def test_without_a_list_of_tools_none_is_missed() -> None:
    assert answer(stream(init(tools=[]), result()), make_setup()).error is None


HEADS = [
    "---\nname: helper\ndescription: Helps.\n---\nYou help.\n",
    "---\r\nname: helper\r\ndescription: Helps.\r\n---\r\nYou help.\r\n",
    "---\ndescription: Helps.\nname: 'helper'  # who helps\n---\nname: other\n",
    '---\nname: "helper"\ndescription: Helps.\n---\n',
]


@pytest.mark.parametrize("text", HEADS)
def test_an_agent_of_the_tier_is_known_by_the_name_in_its_file(text: str) -> None:
    setup = make_setup({".claude/agents/a-file.md": text})
    assert answer(stream(init(agents=[*BUILT_IN_AGENTS, "helper"]), result()), setup).error is None
    found = error(stream(init(), result()), setup)
    assert found.kind == "agents"
    assert ".claude/agents/a-file.md" in str(found)


def test_an_agent_file_without_a_name_is_an_error() -> None:
    setup = make_setup({".claude/agents/nobody.md": "You help.\n---\nname: claude\n"})
    assert "nobody.md" in str(error(stream(init(), result()), setup))


def test_what_is_not_offered_is_an_error_also_where_the_time_was_up() -> None:
    found = answer(stream(init(tools=[]), message()), tools("Read"), timed_out=True)
    assert (found.stop_reason, found.limited) == ("tools", True)
    assert found.error is not None


# The command


def words(agent: ClaudeCode = AGENT, setup: Setup | None = None, **job: Any) -> list[str]:
    return list(agent.invocation(make_job(setup=setup, **job)).argv[1:])


def after(flag: str, argv: list[str]) -> str:
    return argv[argv.index(flag) + 1]


def test_the_prompt_comes_on_standard_input_and_the_place_is_the_workspace() -> None:
    made = AGENT.invocation(make_job(prompt="-- $(odd) 'prompt'\n", timeout=7))
    assert (made.stdin, made.timeout) == ("-- $(odd) 'prompt'\n", 7)
    assert made.cwd == Path("/nowhere/workspace")
    assert not any("odd" in word for word in made.argv)


def test_an_empty_tier_reads_no_settings_and_any_other_those_of_the_project() -> None:
    assert after("--setting-sources", words()) == ""
    setup = make_setup({"CLAUDE.md": "Be brief.\n"})
    assert after("--setting-sources", words(setup=setup)) == "project"


def test_mcp_servers_come_from_the_tier_alone() -> None:
    assert "--strict-mcp-config" in words()
    assert "--mcp-config" not in words()
    assert after("--mcp-config", words(setup=MCP)) == ".mcp.json"
    assert "--strict-mcp-config" in words(setup=MCP)


def test_all_tools_are_there_unless_the_tier_names_some() -> None:
    assert "--tools" not in words()
    assert after("--tools", words(setup=tools("Read", "Bash"))) == "Read,Bash"
    assert after("--tools", words(setup=tools())) == ""


def test_skills_and_sub_agents_keep_the_tools_that_they_need() -> None:
    files = {".claude/skills/x/SKILL.md": "", ".claude/agents/y.md": ""}
    assert after("--tools", words(setup=make_setup(files, tools={"enabled": ["Read"]}))) == (
        "Read,Skill,Agent"
    )
    named = make_setup(files, tools={"enabled": ["Agent", "Skill"]})
    assert after("--tools", words(setup=named)) == "Agent,Skill"


def test_without_a_system_prompt_none_is_sent_and_no_header() -> None:
    made = AGENT.invocation(make_job(setup=make_setup(mode="none")))
    assert after("--system-prompt", list(made.argv)) == ""
    assert made.env["CLAUDE_CODE_ATTRIBUTION_HEADER"] == "0"
    assert "--system-prompt" not in words()


def test_options_become_flags_and_further_arguments_come_last() -> None:
    agent = ClaudeCode(model="m", max_turns=3, thinking="high", args=("--debug", "api"))
    argv = words(agent)
    assert (after("--model", argv), after("--max-turns", argv)) == ("m", "3")
    assert after("--effort", argv) == "high"
    assert argv[-2:] == ["--debug", "api"]


@pytest.mark.parametrize(
    ("thinking", "variable", "value"),
    [
        ("off", "CLAUDE_CODE_DISABLE_THINKING", "1"),
        (False, "CLAUDE_CODE_DISABLE_THINKING", "1"),
        (4096, "MAX_THINKING_TOKENS", "4096"),
    ],
)
def test_thinking_can_be_off_or_have_a_budget(thinking: Any, variable: str, value: str) -> None:
    agent = ClaudeCode(model="m", thinking=thinking)
    assert agent.invocation(make_job()).env[variable] == value
    assert "--effort" not in words(agent)


@pytest.mark.parametrize("thinking", ["hard", 0, 5, True, -1])
def test_any_other_thinking_is_refused(thinking: Any) -> None:
    with pytest.raises(ValidationError, match="thinking"):
        ClaudeCode(model="m", thinking=thinking)


def test_keys_of_this_agent_are_handed_on_and_its_own_variables_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from outside")
    monkeypatch.setenv("OPENAI_API_KEY", "of somebody else")
    agent = ClaudeCode(
        model="m", env={"ANTHROPIC_BASE_URL": "http://here", "DISABLE_AUTOUPDATER": ""}
    )
    env = agent.invocation(make_job(env={"HOME": "/its/own"})).env
    assert env["ANTHROPIC_API_KEY"] == "from outside"
    assert (env["ANTHROPIC_BASE_URL"], env["DISABLE_AUTOUPDATER"]) == ("http://here", "")
    assert env["HOME"] == "/its/own"
    assert "OPENAI_API_KEY" not in env


def test_it_is_ready_with_any_key_wherever_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    assert AGENT.unready() == "no key: set ANTHROPIC_API_KEY"
    assert ClaudeCode(model="m", env={"ANTHROPIC_API_KEY": "k"}).unready() is None
    for name in KEYS:
        with monkeypatch.context() as context:
            context.setenv(name, "a-key")
            assert AGENT.unready() is None


def test_a_program_that_is_named_and_not_there_is_not_another_one() -> None:
    with pytest.raises(RunError, match="there is no program '/nowhere/claude'"):
        _ = ClaudeCode(model="m", executable="/nowhere/claude").program


def test_a_program_that_has_no_version_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        ClaudeCode(model="m", executable="/bin/false").version()
    assert caught.value.kind == "no_cli"
    broken = tmp_path / "claude"
    broken.write_text("no script\n")
    broken.chmod(0o755)
    with pytest.raises(RunError, match="next:"):
        ClaudeCode(model="m", executable=str(broken)).version()


def test_only_what_may_change_its_work_changes_its_identity() -> None:
    env = {"ANTHROPIC_API_KEY": "a new key", "ANTHROPIC_BASE_URL": "http://here"}
    other = ClaudeCode(model=MODEL, timeout=5, executable="/opt/claude", env=env)
    assert other.identity() == AGENT.identity()
    for changed in (
        {"model": "m"},
        {"thinking": "low"},
        {"max_turns": 2},
        {"args": ("--x",)},
        {"env": {"CLAUDE_CODE_DISABLE_WORKFLOWS": "1"}},
    ):
        assert ClaudeCode.model_validate({"model": MODEL, **changed}).identity() != AGENT.identity()


# Instructions in directories above

NAMES = ("CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", ".claude/CLAUDE.md", ".claude/AGENTS.md")
folder_names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=9
).filter(lambda name: name not in (".", "..", ".claude"))


def matches(pattern: str, path: Path) -> bool:
    """As picomatch does, for the signs that our patterns have."""
    parts = re.split(r"(\*\*|\*)", pattern)
    signs = {"**": ".+", "*": "[^/]*"}
    return bool(re.fullmatch("".join(signs.get(p, re.escape(p)) for p in parts), str(path), re.S))


@law_on_disk
@given(st.lists(folder_names, min_size=1, max_size=2))
def test_all_instructions_above_the_workspace_are_left_out_and_none_below(
    tmp_path_factory: pytest.TempPathFactory, folders: list[str]
) -> None:
    top = tmp_path_factory.mktemp("top")
    workspace = top.joinpath(*folders, "workspace")
    workspace.mkdir(parents=True)
    above = [workspace.parent / name for name in NAMES] + [top / ".claude/rules/deep/rule.md"]
    below = [workspace / name for name in (*NAMES, ".claude/rules/rule.md", "docs/CLAUDE.md")]
    for path in (*above, *below):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("rules\n")
    patterns = memories_above(workspace)
    assert all(re.fullmatch(r"[A-Za-z0-9_./*-]+", pattern) for pattern in patterns)
    assert all(any(matches(p, path) for p in patterns) for path in above)
    assert not any(matches(p, path) for p in patterns for path in below)


def test_instructions_above_are_found_where_the_directories_really_are(tmp_path: Path) -> None:
    (tmp_path / "real" / "workspace").mkdir(parents=True)
    (tmp_path / "real" / "CLAUDE.md").write_text("rules\n")
    (tmp_path / "link").symlink_to("real/workspace")
    (pattern,) = memories_above(tmp_path / "link")
    assert matches(pattern, (tmp_path / "real" / "CLAUDE.md").resolve())


def test_where_nothing_lies_above_nothing_is_said_of_it(tmp_path: Path) -> None:
    assert memories_above(tmp_path / "workspace") == []


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"status": "rejected", "resetsAt": 4_000_000_000, "isUsingOverage": False}, True),
        ({"status": "rejected", "rateLimitType": "seven_day"}, True),
        ({"status": "rejected", "resetsAt": 4_000_000_000, "isUsingOverage": True}, False),
        ({"status": "allowed_warning", "resetsAt": 4_000_000_000}, False),
    ],
)
def test_a_limit_that_is_used_up_is_a_refusal_until_its_reset(limit: Any, told: bool) -> None:
    found = AGENT.refusal(json.dumps({"type": "rate_limit_event", "rate_limit_info": limit}))
    assert (found is not None) == told
    if found is not None:
        status, wait = found
        assert status == 429
        reset = limit.get("resetsAt")
        assert wait == (None if reset is None else pytest.approx(reset - time.time(), abs=600))
