"""Records of the results tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.results import (
    AgentResult,
    ConfigManifest,
    ItemScore,
    Judgment,
    Record,
    RunResult,
    TokenStats,
    token_stats,
    usd,
)
from pytest_scylla.store import read_model, write_json
from tests.support.examples import law, make_judgment, make_result

counts = st.integers(0, 10**9)
tokens = st.builds(
    TokenStats,
    input_tokens=counts,
    output_tokens=counts,
    cache_creation_tokens=counts,
    cache_read_tokens=counts,
)


# -- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["many", -5, float("nan"), float("inf"), 10**400, True, [], {}])
def test_what_is_no_amount_is_none(told: Any) -> None:
    assert usd(told) is None
    assert token_stats({"input_tokens": told, "cache_creation": {"x": told}}) == TokenStats()


def test_what_was_read_from_the_cache_is_input_too() -> None:
    stats = token_stats({"input_tokens": 33, "cache_read_input_tokens": 195_735})
    assert stats.tokens_input == 195_768


@law
@given(tokens)
def test_the_long_names_of_the_api_and_the_short_ones_mean_the_same(stats: TokenStats) -> None:
    short = stats.model_dump()
    long = {
        "input_tokens": stats.input_tokens,
        "output_tokens": stats.output_tokens,
        "cache_creation_input_tokens": stats.cache_creation_tokens,
        "cache_read_input_tokens": stats.cache_read_tokens,
        "service_tier": "standard",
    }
    assert token_stats(short) == token_stats(long) == stats


@law
@given(tokens, tokens, tokens)
def test_tokens_are_added_up(a: TokenStats, b: TokenStats, c: TokenStats) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + TokenStats() == a
    assert (a + b).total == a.total + b.total
    assert a.total == sum(a.model_dump().values())


@pytest.mark.parametrize("usage", [{}, {"input_tokens": None}, {"output_tokens": None}])
def test_tokens_that_are_not_said_are_none(usage: dict[str, Any]) -> None:
    assert token_stats(usage) == TokenStats()


# -- records ---------------------------------------------------------------------------------------

AGENT: dict[str, Any] = {
    "exit_code": 0,
    "stdout": "done",
    "stderr": "",
    "token_stats": {"input_tokens": 1},
    "cost_usd": None,
    "api_calls": 3,
}
MANIFEST: dict[str, Any] = {
    "tier_id": "T0",
    "subtest_id": "00-empty",
    "fixture_config_path": "subtests/t0/00-empty.yaml",
    "resources": {},
    "composed_at": "2026-01-01T00:00:00+00:00",
    "claude_md_hash": None,
    "inherited_from": None,
}


@pytest.mark.parametrize(
    "record",
    [
        make_result(0.25, tokens=7),
        make_judgment(0.5),
        make_judgment(None, error="no answer"),
        AgentResult.model_validate(AGENT),
        ConfigManifest.model_validate(MANIFEST),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_is_read_as_it_was_written(record: Record, tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", record)
    assert read_model(tmp_path / "record.json", type(record)) == record


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (RunResult, make_result().model_dump(mode="json")),
        (AgentResult, AGENT),
        (ConfigManifest, MANIFEST),
        (Judgment, {"score": 1.0, "passed": True, "grade": "S", "reasoning": "r"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_record_that_lacks_a_field_is_no_record(
    model: type[Record], value: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    needed = [name for name, field in model.model_fields.items() if field.is_required()]
    assert needed
    for name in needed:
        write_json(path, {key: one for key, one in value.items() if key != name})
        assert read_model(path, model) is None
    write_json(path, {**value, "of_a_later_version": 1})
    assert read_model(path, model) is not None


def test_a_verdict_always_has_a_score(tmp_path: Path) -> None:
    for score in (None, "good"):
        write_json(tmp_path / "it.json", {**make_result().model_dump(), "judge_score": score})
        assert read_model(tmp_path / "it.json", RunResult) is None


def test_a_judgment_of_projectscylla_is_understood() -> None:
    judgment = Judgment.model_validate(
        {
            "score": 0.96,
            "passed": True,
            "grade": "A",
            "reasoning": "Minimal and idiomatic.",
            "is_valid": True,
            "criteria_scores": {
                "functional": {
                    "achieved": 3.5,
                    "max": 3.5,
                    "score": 1.0,
                    "items": {
                        "F1": {"achieved": 1.0, "max": 1.0, "reason": "it exists"},
                        "F2": {"achieved": "N/A", "max": "N/A", "reason": "no ruff"},
                    },
                    "na_items": ["F2"],
                }
            },
        }
    )
    category = judgment.criteria_scores["functional"]
    assert category.na_items == ("F2",)
    assert category.items["F2"].achieved == "N/A"
    assert not judgment.fallback


@pytest.mark.parametrize("value", ["n/a", "most", None, [1]])
def test_a_score_is_a_number_or_not_applicable(value: Any) -> None:
    with pytest.raises(ValueError):
        ItemScore.model_validate({"achieved": value, "max": 1})


def test_a_record_cannot_be_changed() -> None:
    result = make_result()
    with pytest.raises(ValueError):
        result.judge_score = 1.0
