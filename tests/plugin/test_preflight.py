"""A wrong key, model or program is one error, before anything is made or spent."""

from __future__ import annotations

import pytest

from tests.support.experiments import MODES, Experiment, read
from tests.support.messages_server import MessagesServer, Reply, call, turn_of
from tests.support.npm import codex_binary

KEY = "a-key-for-tests"
WORK = (call("Bash", command="echo done > answer.txt"), Reply("done"))


@pytest.fixture
def toy(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Six runs of Claude Code."""
    toy = Experiment(pytester, runs=6)
    toy.configure(agent={"adapter": "claude-code", "model": "claude-haiku-4-5"})
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return toy


@MODES
def test_a_wrong_key_is_one_error_and_the_other_runs_are_skipped(
    toy: Experiment, monkeypatch: pytest.MonkeyPatch, mode: tuple[str, ...]
) -> None:
    with MessagesServer(lambda body, prefix: WORK[min(turn_of(body), 1)]) as server:
        server.key = "another"
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        result = toy.run(*mode, "-rs")
        assert not server.messages()
        assert len([r for r in server.requests if r.path.startswith("/v1/models/")]) == 1
        result.assert_outcomes(errors=1, skipped=5)
        result.stdout.fnmatch_lines(["the API answered 401: invalid x-api-key", "  next: correct*"])
        result.stdout.fnmatch_lines(["*preflight of agent claude-code failed: the API answered*"])
        result.stdout.fnmatch_lines(["*= scylla: toy =*"])
        assert not toy.verdicts()
        server.key = KEY
        toy.run(*mode).assert_outcomes(passed=6)


def test_codex_is_asked_for_too(toy: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = {"adapter": "codex", "model": "gpt-5.5", "executable": str(codex_binary())}
    toy.configure(agent=agent, prices={"gpt-5.5": {"input": 1, "output": 8}})
    with MessagesServer([]) as server:
        server.models = []
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url()}/v1")
        result = toy.run()
        assert [request.path for request in server.requests] == ["/v1/models/gpt-5.5"]
    result.assert_outcomes(errors=1, skipped=5)
    result.stdout.fnmatch_lines(["the API answered 404: model: gpt-5.5", "  next: correct agent.*"])


def test_an_unknown_model_of_a_judge_is_found_before_the_agent_is_paid(
    toy: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = {"adapter": "anthropic", "model": "claude-opus-5"}
    toy.configure(judges=[{"adapter": "rubric-checks"}, judge], quorum=1)
    with MessagesServer([]) as server:
        server.models = ["claude-haiku-4-5"]
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        result = toy.run()
        assert not server.messages()
    result.assert_outcomes(errors=1, skipped=5)
    result.stdout.fnmatch_lines(["the API answered 404: model: claude-opus-5"])
    result.stdout.fnmatch_lines(["*next: correct the judge's model in experiment.yaml"])
    kinds = [read(path)["kind"] for path in toy.results.glob("T*/*/run_*/error.json")]
    assert kinds == ["model_unknown"]


def test_a_server_that_nobody_answers_at_is_one_error(
    toy: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    toy.run().assert_outcomes(errors=1, skipped=5)


def test_a_gateway_without_the_page_is_not_in_the_way(
    toy: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MessagesServer(lambda body, prefix: WORK[min(turn_of(body), 1)]) as server:
        server.models = ()
        toy.configure(agent={"adapter": "claude-code", "model": "haiku"})
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        toy.run("--scylla-runs", "1").assert_outcomes(passed=1)
