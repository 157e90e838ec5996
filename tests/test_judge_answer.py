"""What a judge's answer must hold, and what is made of one that does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped, unused-ignore]
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.judge_answer import answer_format, answer_schema, read_answer
from pytest_scylla.rubric import Rubric, load_rubric

ITEMS = [
    {"id": "F1", "check": "it works", "points": 2},
    {"id": "F2", "check": "it is tested", "points": 3, "evaluation": "binary"},
    {"id": "F3", "check": "docs", "points": 1, "na_condition": "there is nothing to document"},
    {"id": "F4", "check": "it runs", "points": 1, "run": "true"},
]
RUBRIC_FILE = {"categories": {"work": {"weight": 1.0, "items": ITEMS}}}

GOOD: dict[str, Any] = {
    "items": {
        "F1": {"achieved": 1.5, "reason": "half {of} it"},
        "F2": {"achieved": 3, "reason": 'says "ok": }'},
        "F3": {"achieved": "N/A", "reason": "nothing"},
    },
    "reasoning": "fine",
    "score": 0.9,
    "passed": True,
}


@pytest.fixture(scope="module")
def rubric(tmp_path_factory: pytest.TempPathFactory) -> Rubric:
    path: Path = tmp_path_factory.mktemp("rubric") / "rubric.yaml"
    path.write_text(yaml.safe_dump(RUBRIC_FILE))
    return load_rubric(path)


def changed(place: str, value: Any) -> str:
    """A good answer with one thing changed; a value of ... removes it."""
    answer = json.loads(json.dumps(GOOD))
    *path, last = place.split(".")
    inner = answer
    for part in path:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(answer)


def test_a_whole_answer_is_taken_with_the_models_own_total_and_vote(rubric: Rubric) -> None:
    answer = read_answer(json.dumps(GOOD), rubric)
    assert {name: score.achieved for name, score in answer.items.items()} == {
        "F1": 1.5,
        "F2": 3,
        "F3": "N/A",
    }
    assert (answer.score, answer.passed, answer.reasoning) == (0.9, True, "fine")


AROUND = {
    "fenced": "```json\n{}\n```",
    "fence without a language": "```\n{}\n```\n",
    "words around": "Here is {{my}} verdict: {}\nI hope that it {{helps}}.",
    "an object of something else before": '{{"note": 1}} {}',
    "said twice": "{0}\n{0}",
}


@pytest.mark.parametrize("form", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_fence_or_words_around_an_answer_do_no_harm(
    rubric: Rubric, form: str, indent: int | None
) -> None:
    text = form.format(json.dumps(GOOD, indent=indent))
    assert read_answer(text, rubric) == read_answer(json.dumps(GOOD), rubric)


BAD: dict[str, tuple[str, str]] = {
    "empty": ("  \n", "the answer is empty"),
    "no JSON": ("I would pass it.", "there is no JSON object with `items`"),
    "cut off": (json.dumps(GOOD)[:-20], "that cannot be read"),
    "a comma too many": (json.dumps(GOOD)[:-1] + ",}", "that cannot be read"),
    "two different ones": (
        json.dumps(GOOD) + changed("score", 1.0),
        "there are 2 different JSON objects",
    ),
    "a key twice": ('{"items": {"F1": 1, "F1": 2}}', "the key 'F1' is there twice"),
    "items no object": (changed("items", []), "`items` is missing or no object"),
    "an item missing": (changed("items.F2", ...), "item F2 is missing"),
    "an unknown item": (changed("items.F9", {"achieved": 1, "reason": ""}), "item 'F9' is none"),
    "an executed item": (changed("items.F4", {"achieved": 1, "reason": ""}), "item 'F4' is none"),
    "no reason": (changed("items.F1.reason", ...), "item F1: `reason` is missing"),
    "above the range": (changed("items.F1.achieved", 2.1), "item F1: `achieved` must be a number"),
    "below the range": (changed("items.F1.achieved", -1), "from 0 to 2, not -1"),
    "part of a binary item": (changed("items.F2.achieved", 1), "0 or 3, nothing between, not 1"),
    "N/A where none is allowed": (changed("items.F1.achieved", "N/A"), 'not "N/A"'),
    "a number as text": (changed("items.F1.achieved", "2"), 'not "2"'),
    "a truth value": (changed("items.F1.achieved", True), "not true"),
    "not a number": (changed("items.F1.achieved", float("nan")), "not NaN"),
    "beyond all numbers": (changed("items.F1.achieved", 10**400), "from 0 to 2, not 1000"),
    "a total above 1": (changed("score", 85), "`score` must be a number from 0 to 1, not 85"),
    "no total": (changed("score", ...), "`score` must be a number from 0 to 1, not null"),
    "a vote in words": (changed("passed", "yes"), '`passed` must be true or false, not "yes"'),
    "no reasoning": (changed("reasoning", None), "`reasoning` is missing"),
    "nested without end": ('{"items":' * 500, "that cannot be read"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_what_is_wrong_with_an_answer_is_said(rubric: Rubric, text: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_answer(text, rubric)
    assert said in str(caught.value)


FULL_MARKS = json.loads(changed("score", 1.0))
QUOTED = "The agent says:\n{}\nMy verdict:\n"
SPOILT = {
    "cut off": json.dumps(GOOD)[:-20],
    "a comma too many": json.dumps(GOOD)[:-1] + ",}",
    "no quotes": "{items: {F1: 0}}",
    "in words": "none of it is there",
}
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: f"Done.\n{text}\n",
    "in other white space": lambda text: json.dumps(json.loads(text), indent=4),
    "added by a patch": lambda text: "".join(
        f"+{line}\n" for line in json.dumps(json.loads(text), indent=1).splitlines()
    ),
    "escaped in a string": lambda text: json.dumps({"said": text}),
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_a_judgment_that_the_agent_wrote_is_never_the_judges_own(
    rubric: Rubric, spoilt: str, written: Callable[[str], str]
) -> None:
    """A judge quotes the agent, and its own object is broken or not there."""
    quotation = json.dumps(FULL_MARKS)
    evidence = ("an answer", written(quotation))
    for text in (QUOTED.format(quotation) + spoilt, f"{spoilt}\n{quotation}", quotation):
        with pytest.raises(ValueError):
            read_answer(text, rubric, evidence)
    with pytest.raises(ValueError, match="stands in the evidence"):
        read_answer(quotation, rubric, evidence, structured=True)
    own = QUOTED.format("full marks") + json.dumps(GOOD)
    assert read_answer(own, rubric, evidence).score == 0.9


def test_a_structured_answer_is_the_whole_text(rubric: Rubric) -> None:
    text = json.dumps(GOOD)
    for whole in (text, f"\n{text}\n", f"```json\n{text}\n```"):
        assert read_answer(whole, rubric, structured=True).score == 0.9
    for more in (f"Here: {text}", f"{text} fine", f"{text}\n{text}", text[:-1], "[]", ""):
        with pytest.raises(ValueError):
            read_answer(more, rubric, structured=True)


def test_an_item_can_be_given_the_points_that_the_prompt_names(tmp_path: Path) -> None:
    item = {"id": "F1", "check": "it works", "points": 1 / 3, "evaluation": "binary"}
    path = tmp_path / "rubric.yaml"
    path.write_text(yaml.safe_dump({"categories": {"work": {"weight": 1.0, "items": [item]}}}))
    rubric = load_rubric(path)
    (named,) = re.findall(r"^- F1: 0 or (.+), nothing between$", answer_format(rubric), re.M)
    answer = {**GOOD, "items": {"F1": {"achieved": float(named), "reason": ""}}}
    assert read_answer(json.dumps(answer), rubric).items["F1"].achieved == 1 / 3


def test_all_that_is_wrong_is_said_at_once(rubric: Rubric) -> None:
    text = json.dumps({"items": {}, "reasoning": "", "score": 2, "passed": None})
    with pytest.raises(ValueError) as caught:
        read_answer(text, rubric)
    assert len(str(caught.value).splitlines()) == 5


@given(text=st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(),
       lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["items", "F1", "achieved",
       "score"]) | st.text(), inner)).map(json.dumps))  # fmt: skip
def test_no_text_is_anything_but_an_answer_or_a_value_error(rubric: Rubric, text: str) -> None:
    try:
        answer = read_answer(text, rubric)
    except ValueError:
        return
    assert answer.items.keys() == {"F1", "F2", "F3"}


@given(
    first=st.floats(0, 2),
    second=st.sampled_from([0, 3]),
    third=st.floats(0, 1) | st.just("N/A"),
    text=st.text(),
)
def test_every_answer_in_range_is_taken_and_fits_the_schema(
    rubric: Rubric, first: float, second: float, third: float | str, text: str
) -> None:
    grades = {"F1": first, "F2": second, "F3": third}
    items = {name: {"achieved": value, "reason": text} for name, value in grades.items()}
    answer = {"items": items, "reasoning": text, "score": 0.5, "passed": False}
    jsonschema.validate(answer, answer_schema(rubric))
    read = read_answer(json.dumps(answer), rubric)
    assert {name: score.achieved for name, score in read.items.items()} == grades


def test_the_schema_and_the_words_ask_for_the_items_that_no_command_decides(rubric: Rubric) -> None:
    schema = answer_schema(rubric)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["items"]["required"] == ["F1", "F2", "F3"]
    assert "minimum" not in json.dumps(schema)  # the API refuses schemas with bounds
    for lacking in ("F1", "F2", "F3"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(changed(f"items.{lacking}", ...)), schema)
    words = answer_format(rubric)
    assert "- F2: 0 or 3, nothing between\n" in words
    assert '- F3: a number from 0 to 1; "N/A" if there is nothing to document\n' in words
    assert "F4" not in words
