"""What models cost, and how users add to the list."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.claude import Stream
from pytest_scylla.errors import InputError
from pytest_scylla.experiment import Price, PriceStep
from pytest_scylla.prices import (
    UnknownModel,
    Usage,
    built_in_prices,
    cost_usd,
    known,
    read_prices,
)
from pytest_scylla.results import TokenStats, token_stats
from tests.support.examples import law, write_yaml

MILLION = 1_000_000
PRICES = built_in_prices()

NAMES = {
    "claude-opus-5-5": 4,
    "claude-opus-5-5-20260901": 4,
    "claude-opus-5-5@20260901": 4,
    "claude-opus-5-5-latest": 4,
    "anthropic/claude-opus-5-5": 4,
    "openrouter/anthropic/claude-opus-5-5": 4,
    "us.anthropic.claude-opus-5-5-20260901-v1:0": 4,
    "opus": 4,
    "claude-fable-5-2": 8,
    "fable": 8,
    "claude-mythos-5-2": 8,
    "claude-opus-5": 5,
    "claude-opus-4-8": 5,
    "claude-sonnet-5-5[1m]": 2,
    "claude-sonnet-4-6": 3,
    "claude-haiku-4-5": 1,
    "gpt-5.5": 5,
    "openai/gpt-5.5-2026-04-23": 5,
    "gpt-5.4-mini": 0.75,
}


@pytest.mark.parametrize("model", NAMES)
def test_a_model_is_found_by_names_with_a_day_a_provider_or_a_window(model: str) -> None:
    one = TokenStats(input_tokens=MILLION)
    assert known(model)
    assert cost_usd(model, one, prompt_tokens=1000) == pytest.approx(NAMES[model])


@pytest.mark.parametrize("model", ["gpt-9", "claude-opus", "claude-opus-5-6", "", "claude-opus-55"])
def test_an_unknown_model_has_no_price_and_the_message_says_what_to_do(model: str) -> None:
    assert not known(model)
    with pytest.raises(UnknownModel, match=r"(?s)no price for.*next: .*`prices`.*scylla_prices"):
        cost_usd(model, TokenStats())


@pytest.mark.parametrize(
    ("kind", "usd"),
    [
        ({"input_tokens": MILLION}, 4),
        ({"output_tokens": MILLION}, 20),
        ({"cache_read_tokens": MILLION}, 0.2),
        ({"cache_creation_tokens": MILLION}, 5),
        ({"cache_creation_tokens": MILLION, "cache_creation_1h_tokens": MILLION}, 8),
    ],
)
def test_every_kind_of_token_has_its_own_price(kind: dict[str, int], usd: float) -> None:
    tokens = TokenStats.model_validate(kind)
    assert cost_usd("claude-opus-5-5", tokens) == pytest.approx(usd)
    assert cost_usd("claude-opus-5-5", tokens, batch=True) == pytest.approx(usd / 2)


def test_a_long_prompt_costs_another_price_for_the_whole_request() -> None:
    def cost(prompt: int) -> float:
        tokens = TokenStats(input_tokens=prompt, output_tokens=1000)
        return cost_usd("claude-haiku-5-5", tokens) * MILLION

    assert cost(100_000) == pytest.approx(0.1 * 100_000 + 0.5 * 1000)
    assert cost(100_001) == pytest.approx(0.5 * 100_001 + 2.5 * 1000)
    cached = TokenStats(cache_read_tokens=100_001)
    assert cost_usd("claude-haiku-5-5", cached) * MILLION == pytest.approx(0.05 * 100_001)


@pytest.mark.parametrize("model", [name for name in PRICES.models if name.startswith("gpt-")])
def test_what_comes_from_openais_cache_is_cheap_and_long_prompts_are_dear(model: str) -> None:
    price = PRICES.price(model)
    assert price.cache_read in (pytest.approx(price.input / 10), pytest.approx(price.input / 20))
    for step in price.steps:  # as OpenAI's pages say: twice for what goes in, half as much again
        assert step.above == 272_000
        assert step.output == pytest.approx(1.5 * price.output)
        for kind in ("input", "cache_read"):
            assert getattr(step, kind) == pytest.approx(2 * getattr(price, kind))


def test_a_sum_over_many_requests_is_priced_by_the_length_of_each() -> None:
    many = TokenStats(input_tokens=MILLION)
    assert cost_usd("claude-haiku-5-5", many, prompt_tokens=20_000) == pytest.approx(0.1)
    assert cost_usd("claude-haiku-5-5", many) == pytest.approx(0.5)
    both = [Usage("claude-haiku-5-5", many, 20_000), Usage("claude-opus-5-5", many, 20_000)]
    assert PRICES.cost_of(both) == pytest.approx(4.1)


counts = st.integers(0, 10**7)
tokens = st.builds(
    lambda i, o, r, w, share: TokenStats(
        input_tokens=i,
        output_tokens=o,
        cache_read_tokens=r,
        cache_creation_tokens=w,
        cache_creation_1h_tokens=int(w * share),
    ),
    *[counts] * 4,
    st.floats(0, 1),
)


@law
@given(st.sampled_from(sorted(PRICES.models)), tokens, tokens, st.integers(0, 10**6))
def test_costs_add_up_and_a_batch_is_half(
    model: str, one: TokenStats, two: TokenStats, prompt: int
) -> None:
    def cost(stats: TokenStats) -> float:
        return cost_usd(model, stats, prompt_tokens=prompt)

    assert cost(one) + cost(two) == pytest.approx(cost(one + two))
    assert cost_usd(model, one, prompt_tokens=prompt, batch=True) == pytest.approx(cost(one) / 2)
    assert cost(one) >= 0


def test_tokens_kept_for_an_hour_are_read_from_the_usage_of_the_api() -> None:
    usage = {
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    found = token_stats(usage)
    assert (found.cache_creation_tokens, found.cache_creation_1h_tokens) == (30, 20)
    assert token_stats(found.model_dump()) == found


# -- users' prices ---------------------------------------------------------------------------------


def test_a_file_of_the_user_adds_models_and_replaces_prices(tmp_path: Path) -> None:
    mine = {"ours-1": {"input": 7, "output": 9, "aliases": ["ours"]}}
    mine["claude-opus-5-5"] = {"input": 3, "output": 9}
    prices = read_prices([write_yaml(tmp_path / "p.yaml", {"dated": "2026-11-01", "models": mine})])
    one = TokenStats(input_tokens=MILLION)
    assert prices.cost_usd("ours", one) == prices.cost_usd("ours-1-20260101", one) == 7
    assert prices.cost_usd("claude-opus-5-5", one) == 3
    assert prices.cost_usd("claude-sonnet-5-5", one) == 2
    assert not known("ours"), "the built-in list is as it was"


def test_cache_prices_that_are_not_given_are_those_of_the_input() -> None:
    prices = PRICES.with_models({"plain": Price(input=2, output=4)})
    stats = TokenStats(cache_read_tokens=MILLION, cache_creation_tokens=MILLION)
    assert prices.cost_usd("plain", stats) == 4


def test_the_highest_step_that_a_prompt_is_longer_than_counts() -> None:
    steps = tuple(PriceStep(above=n, input=n, output=0) for n in (300, 100, 200))
    prices = PRICES.with_models({"steps": Price(input=1, output=0, steps=steps)})
    one = TokenStats(input_tokens=MILLION)
    found = [prices.cost_usd("steps", one, prompt_tokens=n) for n in (100, 101, 201, 999)]
    assert found == [1, 100, 200, 300]


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({"dated": "2026-11-01"}, "models"),
        ({"dated": "someday", "models": {}}, "dated"),
        ({"dated": "2026-11-01", "models": {"m": {"input": 1}}}, "models.m.output"),
        ({"dated": "2026-11-01", "models": {"m": {"input": -1, "output": 1}}}, "models.m.input"),
        ({"dated": "2026-11-01", "models": {"m": {"input": 1, "ouput": 1}}}, "models.m"),
    ],
)
def test_a_wrong_price_file_is_refused_with_file_key_and_next_step(
    tmp_path: Path, content: dict[str, object], key: str
) -> None:
    path = write_yaml(tmp_path / "p.yaml", content)
    with pytest.raises(InputError, match="next: ") as error:
        read_prices([path])
    assert str(error.value).startswith(f"{path}: {key}")


def test_what_claude_code_kept_for_an_hour_is_priced_as_such() -> None:
    """Its `modelUsage` counts sub-agents and says nothing of hours; messages say them."""

    def message(id: str, hour: int, minutes: int) -> dict[str, Any]:
        usage = {
            "input_tokens": 5,
            "output_tokens": 7,
            "cache_creation_input_tokens": hour + minutes,
            "cache_creation": {
                "ephemeral_1h_input_tokens": hour,
                "ephemeral_5m_input_tokens": minutes,
            },
        }
        return {
            "type": "assistant",
            "message": {"id": id, "model": "claude-fable-5-2", "usage": usage},
        }

    total = {"inputTokens": 15, "outputTokens": 20, "cacheCreationInputTokens": 1_700}
    events = [
        message("m1", 1_000, 0),
        message("m1", 1_000, 0),  # a second block of the same message
        message("m2", 400, 100),
        {"type": "result", "modelUsage": {"claude-fable-5-2": total}, "total_cost_usd": 0.1},
    ]
    stream = Stream("\n".join(map(json.dumps, events)))
    tokens = stream.tokens
    assert (tokens.cache_creation_tokens, tokens.cache_creation_1h_tokens) == (1_700, 1_400)
    usd = (15 * 8 + 20 * 40 + 300 * 10 + 1_400 * 16) / MILLION
    assert PRICES.cost_of(stream.usages) == pytest.approx(usd)
    assert cost_usd("claude-fable-5-2", tokens, prompt_tokens=0) == pytest.approx(usd)
