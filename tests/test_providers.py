"""What a provider takes, as the workers of a session find it out together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla import providers
from pytest_scylla.errors import RunError
from pytest_scylla.providers import (
    PLACES,
    Patience,
    Provider,
    provider_name,
    seconds_until_reset,
    states,
)
from tests.support.examples import law
from tests.support.experiments import wait_until

NAME = "api.example.com"


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(tmp_path, NAME)


def patient() -> Patience:
    return Patience(60.0)


def test_nothing_is_limited_and_nothing_written_before_the_first_refusal(
    provider: Provider, tmp_path: Path
) -> None:
    with provider.turn(patient()), provider.turn(patient()):
        provider.answered()
    assert provider.state == providers.State(NAME)
    assert not list(tmp_path.rglob("state.json"))


def test_a_refusal_halves_what_was_under_way_once(provider: Provider) -> None:
    patience = patient()
    with provider.turn(patience), provider.turn(patience), provider.turn(patience):
        with provider.turn(patience):
            provider.refused(429, 0.0)
            assert provider.state.limit == 2
            provider.refused(429, 0.0)  # those who are too many still ask
            assert provider.state.limit == 2
        assert provider.state.refused == 2


@pytest.mark.parametrize("status", [529, 500])
def test_a_server_error_pauses_and_lowers_nothing(provider: Provider, status: int) -> None:
    with provider.turn(patient()):
        provider.refused(status, 5.0)
    assert provider.state.limit == PLACES
    assert provider.state.paused_until > time.time() + 4


def test_pauses_without_a_time_grow_until_there_is_an_answer(provider: Provider) -> None:
    waits = []
    for _ in range(8):
        provider.refused(529)
        waits.append(round(provider.state.paused_until - time.time()))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    provider.answered()
    provider.refused(529)
    assert provider.state.in_a_row == 1


def test_one_more_is_let_in_after_a_quiet_time_and_less_often_after_each_failure(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    patience = patient()
    with provider.turn(patience), provider.turn(patience):
        provider.refused(429, 0.0)
    assert provider.state.limit == 1
    provider.answered()
    assert provider.state.limit == 1, "too early"
    now += 21
    provider.answered()
    provider.answered()
    assert provider.state.limit == 2, "only one more at a time"
    now += 1
    with provider.turn(patience):
        now += 1
        with provider.turn(patience):
            provider.refused(429, 0.0)
    assert provider.state.limit == 1
    now += 21
    provider.answered()
    assert provider.state.limit == 1, "twice as long this time"
    now += 21
    provider.answered()
    assert provider.state.limit == 2


def test_a_later_refusal_shortens_no_pause(provider: Provider) -> None:
    provider.refused(529, 60.0)
    provider.refused(529, 1.0)
    assert provider.state.paused_until > time.time() + 50


class HasToWait(Exception):
    """There is no place now."""


def test_after_a_refusal_only_so_many_are_let_in_and_one_by_one(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    patience = patient()
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(provider.turn(patience))
        provider.refused(429, 0.0)

    def wait(self: Provider, patience: Patience) -> None:
        raise HasToWait

    monkeypatch.setattr(Provider, "rest", wait)
    with provider.turn(patience):
        with pytest.raises(HasToWait), provider.turn(patience):
            pass
        now += providers.SPACING
        with provider.turn(patience):
            now += providers.SPACING
            with pytest.raises(HasToWait), provider.turn(patience):
                pass
        with provider.turn(patience):
            pass


def test_a_pause_is_for_everybody_and_is_waited_for(provider: Provider, tmp_path: Path) -> None:
    Provider(tmp_path, NAME).refused(429, 0.6)
    patience, started = patient(), time.monotonic()
    with provider.turn(patience):
        assert time.monotonic() - started > 0.5
    assert patience.used > 0.5


def test_a_pause_beyond_patience_is_an_error_that_says_until_when(provider: Provider) -> None:
    provider.refused(429, 3600.0)
    with pytest.raises(RunError, match=r"takes no requests before .* \(3600 s\)") as error:
        provider.rest(Patience(1800.0))
    assert error.value.kind == "rate_limit"
    assert "next: run the same command then" in str(error.value)


def holding(folder: Path, ready: Path) -> None:
    with Provider(folder, NAME).turn(Patience(60.0)):
        ready.touch()
        time.sleep(600)


def test_a_place_of_a_killed_process_is_free_again(provider: Provider, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=holding, args=(tmp_path, tmp_path / "ready"))
    process.start()
    wait_until((tmp_path / "ready").exists)
    provider.refused(429, 0.0)
    assert provider.state.limit == 1
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with provider.turn(patient()):
        pass


def busy(folder: Path, log: Path, turns: int) -> None:
    provider = Provider(folder, NAME)
    for _ in range(turns):
        with provider.turn(Patience(60.0)):
            with open(log, "a") as file:
                file.write("+\n")
            time.sleep(0.01)
            with open(log, "a") as file:
                file.write("-\n")


def test_no_more_than_the_limit_are_ever_under_way(provider: Provider, tmp_path: Path) -> None:
    patience, log = patient(), tmp_path / "log"
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(provider.turn(patience))
        provider.refused(429, 0.0)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=busy, args=(tmp_path, log, 3)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    signs = log.read_text().split()
    under_way = [signs[: n + 1].count("+") - signs[: n + 1].count("-") for n in range(len(signs))]
    assert signs.count("+") == 12
    assert max(under_way) <= provider.state.limit == 2


def test_what_is_known_of_all_providers_can_be_listed(tmp_path: Path) -> None:
    Provider(tmp_path, "one.example.com").refused(429, 1.0)
    Provider(tmp_path, "127.0.0.1:8080").refused(529, 1.0)
    assert {name: state.status for name, state in states(tmp_path).items()} == {
        "127.0.0.1:8080": 529,
        "one.example.com": 429,
    }


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.example.com", "api.example.com"),
        ("http://127.0.0.1:8080/run-17", "127.0.0.1:8080"),
        ("https://user:key@api.example.com:8443/v1", "api.example.com:8443"),
    ],
)
def test_a_provider_is_host_and_port(url: str, name: str) -> None:
    assert provider_name(url) == name


NOON = datetime(2026, 3, 2, 12, 0, tzinfo=ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("You've hit your limit · resets 4pm (UTC)", 4),
        ("limit reached, resets at 16:30", 4.5),
        ("resets 4pm (Europe/Berlin)", 3),
        ("resets 4pm (Nowhere/Zone)", 4),
        ("resets 11am", 23),
        ("resets 12am", 12),
        ("resets 12pm", 24),
    ],
)
def test_the_time_that_a_limit_names_is_understood(text: str, hours: float) -> None:
    assert seconds_until_reset(text, NOON) == hours * 3600


@pytest.mark.parametrize("text", ["", "too many requests", "resets soon", "resets 77pm 99:99"])
def test_no_time_is_none(text: str) -> None:
    assert seconds_until_reset(text, NOON) is None


@law
@given(st.integers(0, 23), st.integers(0, 59))
def test_a_reset_is_within_a_day_and_not_over(hour: int, minute: int) -> None:
    seconds = seconds_until_reset(f"resets {hour}:{minute:02d}", NOON)
    assert seconds is not None
    assert 0 < seconds <= 86_400
