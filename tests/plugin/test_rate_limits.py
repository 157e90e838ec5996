"""Runs of the real Claude Code under a provider's limits: nothing fails that can be waited for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.experiments import Experiment, read
from tests.support.messages_server import (
    Answer,
    Body,
    Failure,
    MessagesServer,
    Reply,
    Usage,
    call,
    turn_of,
)
from tests.support.npm import codex_binary

RUN = "T0/00-empty/run_01"
WORK = (call("Bash", command="echo done > answer.txt"), Reply("done", usage=Usage(100, 50)))


class Narrow:
    """A model that takes so many requests at a time, and answers the rest with 429."""

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.busy, self.refused_at = 0, list[float]()
        self.lock, self.started = threading.Lock(), time.monotonic()

    def __call__(self, body: Body, prefix: str) -> Answer:
        with self.lock:
            if self.busy >= self.most:
                self.refused_at.append(time.monotonic() - self.started)
                return Failure(429, headers={"retry-after": "1"})
            self.busy += 1
        time.sleep(self.seconds)
        with self.lock:
            self.busy -= 1
        return WORK[min(turn_of(body), len(WORK) - 1)]


@contextmanager
def serving(script: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesServer]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-for-tests")
    with MessagesServer(script) as server:  # type: ignore[arg-type]
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        yield server
        server.check()


def claude(pytester: pytest.Pytester, runs: int = 1) -> Experiment:
    toy = Experiment(pytester, runs=runs)
    env = {"CLAUDE_CODE_MAX_RETRIES": "2"}
    toy.configure(agent={"adapter": "claude-code", "model": "claude-haiku-4-5", "env": env})
    return toy


def narrow_session(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    runs: int,
    workers: int,
    most: int,
    seconds: float = 0.3,
) -> Narrow:
    toy, model = claude(pytester, runs), Narrow(most, seconds)
    with serving(model, monkeypatch):
        result = toy.run("-p", "xdist", "-n", str(workers))
    result.assert_outcomes(passed=runs)
    assert len(toy.verdicts()) == runs
    assert not list(toy.results.glob("T*/*/run_*/attempts/*/agent/result.json"))
    assert not list(toy.results.glob("../.locks/*"))
    return model


def test_a_narrow_provider_fails_no_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = narrow_session(pytester, monkeypatch, runs=8, workers=4, most=2)
    assert model.refused_at, "the server was never asked too much"


@pytest.mark.slow
def test_sixty_four_runs_at_a_server_that_takes_four_at_a_time(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = narrow_session(pytester, monkeypatch, runs=64, workers=8, most=4, seconds=3.0)
    late = [second for second in model.refused_at if second > 60]
    assert time.monotonic() - model.started > 90, "there was a second minute"
    with capsys.disabled():
        print(f"\nrefused: {len(model.refused_at)}, of these after the first minute: {len(late)}")
    assert len(late) <= 16


def test_what_the_program_gives_up_is_tried_again_and_is_no_second_chance(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [Failure(429, headers={"x-should-retry": "false", "retry-after": "1"})] * 2

    def script(body: Body, prefix: str) -> Answer:
        return left.pop() if left else WORK[min(turn_of(body), len(WORK) - 1)]

    toy = claude(pytester)
    with serving(script, monkeypatch):
        toy.run().assert_outcomes(passed=1)
    assert read(toy.path(RUN) / "report.json")["attempts"] == 1


def test_codex_that_was_refused_is_tried_again_too(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [Failure(429)] * 2
    write = call("exec_command", cmd="echo done > answer.txt")

    def script(body: Body, prefix: str) -> Answer:
        return left.pop() if left else (write, Reply("done"))[min(turn_of(body), 1)]

    agent = {"adapter": "codex", "model": "gpt-5.5", "executable": str(codex_binary())}
    toy = Experiment(pytester)
    toy.configure(agent={**agent, "max_retries": 0})
    toy.configure(prices={"gpt-5.5": {"input": 1, "output": 8}})
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-tests")
    with serving(script, monkeypatch) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url()}/v1")
        toy.run().assert_outcomes(passed=1)
    assert not left
    assert read(toy.path(RUN) / "report.json")["attempts"] == 1


@pytest.mark.slow
def test_a_provider_that_never_recovers_is_not_asked_for_ever(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Failure(429, headers={"x-should-retry": "false"}, delay=1.5)
    toy = claude(pytester)
    with serving(lambda body, prefix: refusal, monkeypatch) as server:
        result = toy.run("--scylla-max-wait", "0.05")
        asked = len(server.messages())
    result.assert_outcomes(errors=1)
    result.stdout.re_match_lines([r".*--scylla-max-wait is 0\.05 min, of which \d+ s are over"])
    assert asked <= 2, "what the program takes to be refused is waiting, too"


def resets_at_four() -> Failure:
    return Failure(429, headers={"x-should-retry": "false"}, message="resets 4am (UTC)")


def used_up_for_days() -> Failure:
    """A subscription's week: Claude Code names the day in words, and the time in an event."""
    start = "anthropic-ratelimit-unified"
    reset = {f"{start}-status": "rejected", f"{start}-reset": str(int(time.time()) + 4 * 86_400)}
    return Failure(429, headers={**reset, f"{start}-representative-claim": "seven_day"})


@pytest.mark.parametrize(
    "refuse", [resets_at_four, pytest.param(used_up_for_days, marks=pytest.mark.slow)]
)
def test_a_long_pause_is_an_error_of_every_run_at_once_and_the_next_session_goes_on(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, refuse: Callable[[], Failure]
) -> None:
    toy, refusal = claude(pytester, runs=6), refuse()
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-a-token-for-tests")
    with serving(lambda body, prefix: refusal, monkeypatch) as server:
        monkeypatch.delenv("ANTHROPIC_API_KEY")
        result = toy.run("--scylla-max-wait", "0.01")
        asked = len(server.messages())
    result.assert_outcomes(errors=6)
    found = re.search(r"takes no requests before .*\((\d+) s\).* is 0.01 min", result.stdout.str())
    assert found is not None
    assert int(found[1]) > (3 * 86_400 if refuse is used_up_for_days else 0)
    assert asked <= 2, "one run finds out, for all"
    assert toy.verdicts() == {}
    with serving(lambda body, prefix: WORK[min(turn_of(body), 1)], monkeypatch):
        toy.run("-p", "xdist", "-n", "2").assert_outcomes(passed=6)
    assert read(toy.path(RUN) / "report.json")["attempts"] == 1
