"""The judge that asks by the real SDK, over HTTP, from a server that fails in every way."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_scylla.judges import Grading, NotGraded
from pytest_scylla.judges.anthropic import Anthropic
from pytest_scylla.results import TokenStats, token_stats
from tests.support.judges import KEY, MODEL, USAGE, good, graded, make_evidence
from tests.support.messages_server import (
    Answer,
    Body,
    Failure,
    MessagesServer,
    Reply,
    Script,
    Usage,
    block_texts,
)


def grade(
    place: Path, script: Script, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Grading | NotGraded, list[Body], TokenStats]:
    """What came of a grading, the requests, and the tokens that the server told."""
    with MessagesServer(script, script_all=True) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        judge = Anthropic(model=MODEL, **{"timeout": 60, **options})
        evidence = make_evidence(place)
        try:
            came: Grading | NotGraded = judge.grade(evidence)
        except NotGraded as error:
            came = error
        return came, [r.body for r in server.requests], token_stats(vars(server.told))


def answers(*given: Answer) -> Iterator[Answer]:
    """These answers, then good ones."""
    text = json.dumps(GOOD)
    return itertools.chain(given, itertools.repeat(Reply(text, usage=USAGE)))


GOOD = {
    "items": {
        "F1": {"achieved": 2, "reason": "seen"},
        "F2": {"achieved": "N/A", "reason": "none"},
    },
    "reasoning": "I looked.",
    "score": 0.4,
    "passed": False,
}


def test_a_grading_is_asked_with_a_schema_and_a_part_to_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, requests, told = grade(tmp_path, good, monkeypatch, max_tokens=77)
    assert isinstance(came, Grading)
    assert {name: score.achieved for name, score in came.items.items()} == {
        "F1": 2,
        "F2": 1,
        "F3": "N/A",  # a command decides it
    }
    assert (came.passed, came.own_score, came.model) == (True, 1.0, MODEL)
    assert came.tokens == told == token_stats(vars(USAGE))
    assert came.cost_usd == pytest.approx((100 * 1 + 20 * 5 + 3 * 0.1) / 1e6)
    (body,) = requests
    assert (body["model"], body["max_tokens"], body["stream"]) == (MODEL, 77, True)
    asked = body["output_config"]["format"]["schema"]["properties"]["items"]
    assert asked["required"] == ["F1", "F2"]
    shared, own = body["messages"][0]["content"]
    assert shared["cache_control"] == {"type": "ephemeral"}
    assert "Write hello.py." in shared["text"]
    assert "cache_control" not in own
    assert 'print("hello")' in own["text"]
    saved = (tmp_path / "judge_01/prompt.md").read_text()
    assert saved == "".join(block_texts(body["messages"][0]["content"]))


PASSING = {
    "429 that says when": [Failure(429, headers={"retry-after": "0.1"})],
    "429 until a time that is over": [Failure(429, headers={"retry-after": "0"})],
    "429 that does not": [Failure(429)],
    "529": [Failure(529), Failure(529)],
    "500": [Failure(500)],
    "told to try again": [Failure(400, headers={"x-should-retry": "true"})],
    "cut before it began": [Reply("x", cut_after=0, usage=USAGE)],
    "cut in the middle": [Reply("x", cut_after=2, usage=USAGE)],
    "cut at its end": [Reply("x", cut_after=5, usage=USAGE)],
}


@pytest.mark.parametrize("failures", PASSING.values(), ids=PASSING)
def test_what_fails_for_a_time_is_asked_again_and_all_tokens_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: list[Answer]
) -> None:
    came, requests, told = grade(tmp_path, answers(*failures), monkeypatch)
    assert isinstance(came, Grading), came
    assert len(requests) == len(failures) + 1
    assert all(request == requests[0] for request in requests)
    assert came.tokens == told


def without(*names: str) -> Callable[[Any], Any]:
    """An event of a gateway that leaves fields out, wherever they stand."""

    def changed(event: Any) -> Any:
        if not isinstance(event, dict):
            return event
        return {name: changed(value) for name, value in event.items() if name not in names}

    return changed


GATEWAYS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "tells no usage": (without("usage"), False),
    "tells no input": (without("input_tokens"), False),
    "begins with nothing": (lambda e: None if e["type"] == "message_start" else e, True),
    "sends what is no object": (lambda e: [] if e["type"] == "content_block_stop" else e, True),
    "has no names for types": (lambda e: {**e, "message": None, "content_block": None}, True),
}


@pytest.mark.parametrize(("changed", "known"), GATEWAYS.values(), ids=GATEWAYS)
def test_what_a_gateway_leaves_out_costs_no_judgment_and_is_no_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: Callable[[Any], Any], known: bool
) -> None:
    reply = Reply(json.dumps(GOOD), usage=USAGE, changed=changed)
    came, requests, told = grade(tmp_path, answers(reply), monkeypatch)
    assert isinstance(came, Grading), came
    assert len(requests) == 1
    assert (came.cost_usd is not None) is known
    assert (came.tokens == told) is known


LASTING = {
    "an hour": (Failure(429, headers={"retry-after": "3600"}), "rate_limit", "(3600 s)"),
    "a bad key": (Failure(401), "auth", "correct ANTHROPIC_API_KEY"),
    "no such model": (Failure(404), "model_unknown", "correct the judge's model"),
    "a bad request": (Failure(400, "schema too large"), "api_error", "schema too large"),
    "told not to": (Failure(500, headers={"x-should-retry": "false"}), "api_error", "500"),
}


@pytest.mark.parametrize(("failure", "kind", "said"), LASTING.values(), ids=LASTING)
def test_what_will_not_pass_is_given_up_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Failure, kind: str, said: str
) -> None:
    came, requests, _ = grade(tmp_path, answers(failure), monkeypatch)
    assert isinstance(came, NotGraded)
    assert (came.kind, len(requests)) == (kind, 1)
    assert said in str(came)
    assert came.cost_usd == 0


def test_a_failure_for_ever_ends_after_the_last_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = itertools.repeat(Failure(529))
    came, requests, _ = grade(tmp_path, iter(endless), monkeypatch, attempts=2)
    assert isinstance(came, NotGraded)
    assert (came.kind, len(requests)) == ("overloaded", 2)
    assert "asked 2 times" in str(came)


def bad(text: str, **changes: Any) -> Reply:
    return Reply(text, usage=USAGE, **changes)


MENDED = {
    "no JSON": (bad("It is good."), "no JSON object"),
    "out of range": (
        bad(json.dumps({**GOOD, "score": 7})),
        "`score` must be a number from 0 to 1, not 7",
    ),
    "empty": (bad(""), "the answer is empty"),
    "a refusal": (bad("I will not.", stop_reason="refusal"), "the model refused to answer"),
    "too long": (bad('{"items": {', stop_reason="max_tokens"), "was cut off at 8000 tokens"),
}


@pytest.mark.parametrize(("first", "said"), MENDED.values(), ids=MENDED)
def test_a_bad_answer_is_mended_in_one_round_that_says_what_was_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Reply, said: str
) -> None:
    came, requests, told = grade(tmp_path, answers(first), monkeypatch)
    assert isinstance(came, Grading)
    assert came.tokens == told
    before, after = requests
    assert after["messages"][0] == before["messages"][0]
    assert [message["role"] for message in after["messages"]] == ["user", "assistant", "user"]
    assert after["messages"][1]["content"] == (first.text or "(no text)")
    assert said in after["messages"][2]["content"]
    assert after["output_config"] == before["output_config"]
    assert came.response == f"--- round 1 ---\n{first.text}\n--- round 2 ---\n{json.dumps(GOOD)}"


@pytest.mark.parametrize(("first", "said"), MENDED.values(), ids=MENDED)
def test_two_bad_answers_are_none_and_what_was_said_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Reply, said: str
) -> None:
    came, requests, told = grade(tmp_path, answers(first, first), monkeypatch)
    assert isinstance(came, NotGraded)
    assert (came.kind, len(requests)) == ("bad_answer", 2)
    assert came.tokens == told
    assert said in str(came)
    assert came.log.count(said) == 2
    assert came.log.count(first.text or "(nothing)") >= 2
    assert (tmp_path / "judge_01/response.txt").read_text() == came.response


def test_an_answer_that_does_not_end_in_time_is_asked_for_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Reply(json.dumps(GOOD), event_delay=1.0, usage=USAGE)
    started = time.monotonic()
    came, requests, _ = grade(tmp_path, answers(slow, slow), monkeypatch, timeout=1.5)
    assert isinstance(came, NotGraded)
    assert len(requests) == 2
    assert "no whole answer within 1.5 s" in str(came)
    assert came.tokens.input_tokens in (0, 100, 200)  # what was told before the cut
    assert time.monotonic() - started < 30


def test_a_third_of_bad_answers_and_failures_at_random_lose_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count()

    def moody(body: Body, prefix: str) -> Answer:
        number = next(numbers)
        usage = Usage(input_tokens=1000 + number, output_tokens=10, cache_read_input_tokens=number)
        if number % 5 == 1:
            return Failure(529)
        if number % 7 == 2:
            return Reply(graded(body), cut_after=number % 4, usage=usage)
        return Reply("no" if number % 3 == 0 else graded(body), usage=usage)

    spent = TokenStats()
    with MessagesServer(moody, script_all=True) as server:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        monkeypatch.setattr("pytest_scylla.judges.anthropic.FIRST_WAIT", 0.01)
        judge = Anthropic(model=MODEL)
        for number in range(8):
            try:
                spent += judge.grade(make_evidence(tmp_path / str(number))).tokens
            except NotGraded as error:
                spent += error.tokens
        assert spent == token_stats(vars(server.told))
        assert spent.input_tokens > 8000


def test_without_a_key_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    judge = Anthropic(model=MODEL, timeout=5)
    assert judge.unready() == "no key: set ANTHROPIC_API_KEY"
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", KEY)
    assert judge.unready() is None
    assert judge.identity() == Anthropic(model=MODEL, timeout=9, attempts=1).identity()
    assert judge.identity() != Anthropic(model="claude-opus-5-5").identity()
