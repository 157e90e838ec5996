"""What a judge with a model must answer, and reading its answer: every doubt is an error.

A model grades the items that no command decides. Its own total and vote are asked for too; they
are kept as data and decide nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .results import ItemScore, Number
from .rubric import Item, Rubric
from .store import whole


@dataclass(frozen=True)
class JudgeAnswer:
    """An answer that holds what was asked for."""

    items: dict[str, ItemScore]
    reasoning: str
    score: float
    """The model's own total, 0 to 1."""
    passed: bool
    """The model's own vote."""
    fields: dict[str, Any]
    """The whole object, as it was written."""


def asked_items(rubric: Rubric) -> list[Item]:
    """The items that a model grades: those that no command decides."""
    return [item for item in rubric.items() if item.run is None]


def answer_schema(rubric: Rubric) -> dict[str, Any]:
    """JSON Schema of an answer, in the part of it that APIs support."""
    items = asked_items(rubric)
    grades = {item.id: {"$ref": f"#/$defs/{_kind(item)}"} for item in items}
    schema = _object(
        items=_object(**grades),
        reasoning={"type": "string"},
        score={"type": "number"},
        passed={"type": "boolean"},
    )
    return {**schema, "$defs": {_kind(item): _grade(item) for item in items}}


def _kind(item: Item) -> str:
    kind = f"binary_{_points(item)}" if item.evaluation == "binary" else "scaled"
    return f"{kind}_or_na" if item.na_condition else kind


def _grade(item: Item) -> dict[str, Any]:
    binary = item.evaluation == "binary"
    achieved: dict[str, Any] = {"enum": [0, item.points]} if binary else {"type": "number"}
    if item.na_condition:
        achieved = {"anyOf": [achieved, {"type": "string", "enum": ["N/A"]}]}
    return _object(achieved=achieved, reason={"type": "string"})


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def answer_format(rubric: Rubric) -> str:
    """The form of an answer, in words."""
    ranges = "\n".join(f"- {item.id}: {_range(item)}" for item in asked_items(rubric))
    return f"""\
Answer with one JSON object, and nothing before or after it:

    {{"items": {{"ID": {{"achieved": POINTS, "reason": "WHY"}}, …}},
     "reasoning": "WHAT DECIDED", "score": TOTAL, "passed": true or false}}

`items` has each of these ids, and no other:

{ranges}

`score` is your own total from 0 to 1, and `passed` whether you would let the run pass. Both are
kept beside the score that is computed from your items."""


def _points(item: Item) -> str:
    """What an item is worth, in all its digits: an answer must hit it exactly."""
    return f"{item.points:g}" if float(f"{item.points:g}") == item.points else repr(item.points)


def _range(item: Item) -> str:
    points = (
        f"0 or {_points(item)}, nothing between"
        if item.evaluation == "binary"
        else f"a number from 0 to {_points(item)}"
    )
    return points + (f'; "N/A" if {item.na_condition.strip()}' if item.na_condition else "")


def read_answer(
    text: str, rubric: Rubric, evidence: Iterable[str] = (), structured: bool = False
) -> JudgeAnswer:
    """The answer in a model's text, with or without a fence or words around it.

    `evidence` is what the agent wrote: an object that stands there is a quotation, never the
    judge's own answer. `structured`: the provider holds the model to a schema, so the text is one
    object (a fence around it is allowed) and nothing else.

    Raises ValueError that says all that is wrong with it, a line for each.
    """
    answer = _whole_object(text) if structured else _the_object(text)
    if _is_quoted(answer.source, evidence):
        raise ValueError("the only answer is a quotation: it stands in the evidence word for word")
    return _read(answer.fields, rubric)


def _read(answer: dict[str, Any], rubric: Rubric) -> JudgeAnswer:
    wrong: list[str] = []
    items = answer.get("items")
    if not isinstance(items, dict):
        raise ValueError("`items` is missing or no object")
    asked = {item.id: item for item in asked_items(rubric)}
    wrong += [f"item {name!r} is none of the rubric's" for name in items if name not in asked]
    graded = {name: _item(item, items.get(name), wrong) for name, item in asked.items()}
    reasoning, passed = answer.get("reasoning"), answer.get("passed")
    score: Any = answer.get("score")
    if not isinstance(reasoning, str):
        wrong.append("`reasoning` is missing or no text")
    if not _is_number(score) or not 0 <= score <= 1:
        wrong.append(f"`score` must be a number from 0 to 1, not {_shown(score)}")
    if not isinstance(passed, bool):
        wrong.append(f"`passed` must be true or false, not {_shown(passed)}")
    if wrong:
        raise ValueError("\n".join(wrong))
    return JudgeAnswer(graded, _clean(str(reasoning)), float(score), bool(passed), answer)


def _item(item: Item, grade: Any, wrong: list[str]) -> ItemScore:
    """One grade; what is wrong with it goes to `wrong`."""
    nothing = ItemScore(achieved="N/A", max="N/A")
    if not isinstance(grade, dict):
        wrong.append(f"item {item.id} is missing or no object")
        return nothing
    achieved: Any = grade.get("achieved")
    reason = grade.get("reason")
    if not isinstance(reason, str):
        wrong.append(f"item {item.id}: `reason` is missing or no text")
    if not _is_allowed(item, achieved):
        wrong.append(f"item {item.id}: `achieved` must be {_range(item)}, not {_shown(achieved)}")
        return nothing
    most: Number = "N/A" if achieved == "N/A" else item.points
    return ItemScore(achieved=achieved, max=most, reason=_clean(str(reason)))


def _is_allowed(item: Item, achieved: Any) -> bool:
    if achieved == "N/A":
        return item.na_condition is not None
    if not _is_number(achieved) or not 0 <= achieved <= item.points:
        return False
    return item.evaluation == "scaled" or achieved in (0, item.points)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _clean(text: str) -> str:
    """Text that can be stored: JSON may spell half a character."""
    return text.encode("utf-8", "replace").decode()


def _shown(value: Any) -> str:
    return json.dumps(value)[:80]


# -- the object in the text ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A JSON object, and the text that it was read from."""

    fields: dict[str, Any]
    source: str


_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)

_BEGINS_LIKE_JSON = re.compile(r'\{\s*"')

_NOT_COMPARED = re.compile(r"^[+ ]|\s|\\", re.MULTILINE)
"""What a quotation may lose or gain: white space, the signs of a patch, backslashes."""


def _whole_object(text: str) -> _Found:
    """The object that a text consists of."""
    if not text.strip():
        raise ValueError("the answer is empty")
    fenced = _FENCED.fullmatch(text)
    source = (fenced[1] if fenced else text).strip()
    try:
        value = json.loads(source, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise ValueError(f"there is no JSON object alone: {_place(error)}") from None
    except RecursionError:
        raise ValueError("there is no JSON object: it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("there is no JSON object: it is another value")
    return _Found(whole(value), source)


def _the_object(text: str) -> _Found:
    """The one JSON object with items in a text.

    One that begins and cannot be read may have been the answer: then no other one is taken.
    """
    if not text.strip():
        raise ValueError("the answer is empty")
    found: list[_Found] = []
    for one in _objects(text):
        if isinstance(one, str):
            raise ValueError(f"there is a JSON object in the answer that cannot be read ({one})")
        if "items" in one.fields and all(one.fields != other.fields for other in found):
            found.append(one)
    if not found:
        raise ValueError("there is no JSON object with `items` in the answer")
    if len(found) > 1:
        raise ValueError(f"there are {len(found)} different JSON objects with `items`: give one")
    return found[0]


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text. Raises ValueError for a key that is there twice."""
    yield from (one.fields for one in _objects(text) if isinstance(one, _Found))


def _objects(text: str) -> Iterator[_Found | str]:
    """The outermost JSON objects in a text; of what begins like one, why it is none."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    place = text.find("{")
    while place >= 0:
        try:
            value, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            end = place + 1
            if _BEGINS_LIKE_JSON.match(text, place):
                yield _place(error)
        except RecursionError:
            yield "it is nested too deeply"
            return
        else:
            yield _Found(whole(value), text[place:end])
        place = text.find("{", end)


def _is_quoted(source: str, evidence: Iterable[str]) -> bool:
    """Whether an object stands in one of the texts, however it is laid out or escaped there."""
    wanted = _NOT_COMPARED.sub("", source)
    return any(wanted in _NOT_COMPARED.sub("", text) for text in evidence)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"the key {min(twice)!r} is there twice")
    return dict(pairs)


def _place(error: json.JSONDecodeError) -> str:
    return f"{error.msg} at line {error.lineno}, column {error.colno}"
