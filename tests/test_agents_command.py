"""The command adapter: any program as an agent, run for real."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_scylla.agents import Answer, Job, replay_script
from pytest_scylla.agents.command import Command
from pytest_scylla.errors import RunError
from pytest_scylla.processes import MARKER, Finished, Invocation, run
from pytest_scylla.results import TokenStats
from tests.support.agents import ended, make_job
from tests.support.examples import law, law_on_disk, write_files

SH = ("/bin/sh", "-c")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job whose workspace and prompt are there."""
    write_files(tmp_path, {"workspace/hello.txt": "hello\n", "agent/prompt.md": "Do it.\n"})
    return make_job(tmp_path)


def execute(agent: Command, job: Job) -> Finished:
    logs = job.prompt_file.parent
    return run(agent.invocation(job), logs / "stdout.log", logs / "stderr.log")


def work(job: Job, *command: str, **options: Any) -> Answer:
    """What comes of a program that is run as the agent."""
    agent = Command(command=command, **options)
    return agent.answer(execute(agent, job), job)


def shell(job: Job, script: str, **options: Any) -> Answer:
    return work(job, *SH, script, **options)


# What the program gets


def test_the_prompt_comes_on_standard_input_and_as_a_file(job: Job) -> None:
    assert work(job, "cat").text == "Do it.\n"
    assert work(job, "cat", "{prompt}").text == "Do it.\n"


def test_it_works_in_the_workspace(job: Job) -> None:
    assert shell(job, "pwd; cat hello.txt; echo new > answer.txt").text == (
        f"{job.workspace}\nhello\n"
    )
    assert (job.workspace / "answer.txt").read_text() == "new\n"


def test_placeholders_are_filled_in_wherever_they_stand(job: Job) -> None:
    script = "import sys; print(sys.argv[1:])"
    words = ["a={experiment}/x:{experiment}", "{other}", "{prompt}"]
    expected = [f"a={job.experiment}/x:{job.experiment}", "{other}", str(job.prompt_file)]
    assert work(job, "{python}", "-c", script, *words).text == f"{expected}\n"
    assert Command(command=("{python}",)).invocation(job).argv == [sys.executable]


def test_a_command_may_be_one_line_as_a_shell_would_read_it() -> None:
    agent = Command.model_validate({"command": "prog --flag 'two words'"})
    assert agent.command == ("prog", "--flag", "two words")
    with pytest.raises(ValidationError):
        Command.model_validate({"command": ""})


def test_only_variables_that_were_named_are_handed_on(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "named")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not named")
    options: dict[str, Any] = {"pass_env": ("OPENAI_API_KEY",), "env": {"LEVEL": "3"}}
    lines = work(job, "env", **options).text.splitlines()
    assert {"OPENAI_API_KEY=named", "LEVEL=3"} <= set(lines)
    assert "not named" not in "\n".join(lines)


def test_without_a_variable_to_hand_on_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    agent = Command(command=("true",), pass_env=("SOME_KEY",))
    assert agent.unready() == "SOME_KEY is not set"
    monkeypatch.setenv("SOME_KEY", "k")
    assert agent.unready() is None


def test_a_program_that_is_not_there_is_an_error_that_names_it(job: Job) -> None:
    with pytest.raises(RunError, match="'no-such-program'") as caught:
        Command(command=("no-such-program",)).invocation(job)
    assert caught.value.kind == "no_cli"
    assert "next:" in str(caught.value)


def test_a_program_of_the_workspace_can_be_the_agent(job: Job) -> None:
    script = job.workspace / "agent.sh"
    script.write_text("#!/bin/sh\necho from the workspace\n")
    script.chmod(0o755)
    assert work(job, "./agent.sh").text == "from the workspace\n"


# What comes of it


def test_what_it_prints_is_the_answer(job: Job) -> None:
    found = shell(job, "echo one; echo two; echo not this >&2")
    assert found == Answer(text="one\ntwo\n")


def test_usage_and_cost_are_taken_from_the_last_json_line(job: Job) -> None:
    first = {"type": "result", "result": "early", "usage": {"input_tokens": 1}}
    usage = {
        "input_tokens": 33,
        "output_tokens": 5,
        "cache_creation_input_tokens": 7,
        "cache_read_input_tokens": 195_735,
    }
    last = {"result": "late", "usage": usage, "total_cost_usd": 0.25, "num_turns": 4, "model": "m"}
    lines = [json.dumps(first), json.dumps(last), '{"other": 1}', "bye"]
    found = work(job, "printf", "%s\\n", *lines)
    assert (found.text, found.cost_usd, found.turns, found.model) == ("late", 0.25, 4, "m")
    assert found.tokens.tokens_input == 195_768
    assert found.tokens.total == 195_780


REPORT: dict[str, tuple[Any, str, Any]] = {
    "usage": ({"input_tokens": 5}, "tokens", TokenStats(input_tokens=5)),
    "total_cost_usd": (0.01, "cost_usd", 0.01),
    "num_turns": (3, "turns", 3),
    "model": ("m", "model", "m"),
    "result": ("ok", "text", "ok"),
}
"""Field of a report -> its value, the field of an answer, and the value there."""


@pytest.mark.parametrize("telling", ["usage", "total_cost_usd", "num_turns"])
@given(fields=st.sets(st.sampled_from([*REPORT])))
def test_every_field_of_a_report_counts_by_itself(telling: str, fields: set[str]) -> None:
    """Also where the program says nothing of its tokens."""
    told = {**{name: REPORT[name][0] for name in sorted(fields)}, telling: REPORT[telling][0]}
    output = f"thinking\n{json.dumps(told)}\nbye\n"
    found = Command(command=("true",)).answer(ended(output), make_job())
    nothing = Answer(text="thinking\nbye\n")
    for name, (_, field, value) in REPORT.items():
        expected = value if name in told else getattr(nothing, field)
        assert getattr(found, field) == expected, name


def test_an_object_without_a_field_of_a_report_is_the_answer() -> None:
    for output in ('{"result": "ok"}\n', '{"answer": 42}\n'):
        assert Command(command=("true",)).answer(ended(output), make_job()) == Answer(text=output)


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        ({"type": "result", "is_error": True, "api_error_status": 429}, "rate_limit"),
        ({"api_error_status": 401, "result": "no key"}, "auth"),
        ({"is_error": True, "usage": {"input_tokens": 5}}, "agent_error"),
        ({"type": "result", "subtype": "error_during_execution"}, "agent_error"),
    ],
)
@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_program_that_reports_an_error_has_failed_whatever_its_exit_status(
    report: dict[str, Any], kind: str, exit_code: int
) -> None:
    output = json.dumps({"total_cost_usd": 0.25, **report})
    found = Command(command=("true",)).answer(ended(output, exit_code=exit_code), make_job())
    assert found.error is not None
    assert (found.error.kind, found.stop_reason, found.cost_usd) == (kind, kind, 0.25)
    assert "next:" in str(found.error)


def test_a_limit_that_a_program_reports_is_no_error() -> None:
    report = {"type": "result", "subtype": "error_max_turns", "is_error": True, "num_turns": 9}
    found = Command(command=("true",)).answer(ended(json.dumps(report)), make_job())
    assert (found.error, found.limited, found.stop_reason) == (None, True, "turn_limit")


@law
@given(st.text(), st.integers(min_value=0, max_value=10**9))
def test_any_result_arrives_as_it_was(text: str, tokens: int) -> None:
    event = {"type": "result", "result": text, "usage": {"input_tokens": tokens}}
    output = "noise\n" + json.dumps(event, ensure_ascii=False) + "\n{broken\n"
    found = Command(command=("true",)).answer(ended(output), make_job())
    assert (found.text, found.tokens) == (text, TokenStats(input_tokens=tokens))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "ended with exit status 3"),
        ("echo why >&2; echo >&2; exit 1", "ended with exit status 1: why"),
        ("kill -9 $$", "was ended by signal 9"),
    ],
)
def test_any_other_end_is_an_error_with_its_last_words(job: Job, script: str, said: str) -> None:
    found = shell(job, f"echo so far; {script}")
    assert found.error is not None
    assert (found.error.kind, found.stop_reason) == ("crash", "crash")
    assert said in str(found.error)
    assert found.text == "so far\n"


def test_a_time_limit_is_no_error() -> None:
    found = Command(command=("true",)).answer(
        ended("so far\n", exit_code=-15, timed_out=True), make_job()
    )
    assert (found.error, found.limited, found.stop_reason) == (None, True, "time_limit")
    assert found.text == "so far\n"


def test_time_limit_and_price_do_not_change_its_identity() -> None:
    agent = Command(command=("a",))
    assert Command(command=("a",), paid=False, timeout=3).identity() == agent.identity()
    assert Command(command=("a",), inputs=("lib",)).identity() == agent.identity()
    assert agent.identity().keys() == {"adapter", "command", "model", "env", "pass_env"}
    for other in ({"command": ("b",)}, {"env": {"A": "1"}}, {"model": "m"}):
        changed = Command.model_validate({"command": ("a",), **other})
        assert changed.identity() != agent.identity()


# Replay


def test_a_replay_needs_the_secrets_from_outside_and_has_its_own_place(tmp_path: Path) -> None:
    env = {"HOME": "/its/home", "TMPDIR": "/its/tmp", "THE_KEY": "a secret", MARKER: "/a/run"}
    made = Invocation(["echo", str(tmp_path), "it's"], tmp_path, {**env, "LEVEL": "$3"})
    script = replay_script(made, Path("/setup.git"), {"THE_KEY": "a secret"})
    assert "a secret" not in script
    assert 'THE_KEY="${THE_KEY:?' in script
    for gone in ("/its/home", "/its/tmp", MARKER, str(tmp_path)):
        assert gone not in script
    assert "LEVEL='$3'" in script


words = st.text(st.sampled_from("ab '\"$`\\{}*?é"), min_size=1, max_size=8)


@law_on_disk
@given(words)
def test_the_words_of_a_replay_are_those_of_the_run_with_its_own_workspace(word: str) -> None:
    place = Path("/work place/it's/workspace")
    made = Invocation(["printf", "%s\\n", word, f"{word}{place}{word}"], place, {"A": word})
    line = replay_script(made, Path("/setup.git"), {}).partition("exec env -i ")[2]
    command = line.rpartition(" < ")[0]
    shown = os.popen(f"cd / && env -i {command}").read()
    assert shown == f"{word}\n{word}/{word}\n"
