"""YAML files of the user's: what is wrong in them is said with file, key and next step."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import Field

from pytest_scylla.errors import InputError
from pytest_scylla.yamlfile import Shared, Strict, parse, read_mapping, unknown_keys
from tests.support.examples import law, law_on_disk


class Inner(Shared):
    size: int = 0
    label: str = ""


class Outer(Shared):
    name: str = ""
    one: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)


class Ours(Strict):
    name: str
    count: int = 1
    inner: Inner | None = None
    words: tuple[str, ...] = Field(default=("a",), min_length=1)
    either: bool | Inner | tuple[Inner, ...] = False


# -- reading ---------------------------------------------------------------------------------------


def test_a_mapping_is_read(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text("a: 1\nb: [x, ü]\n", encoding="utf-8")
    assert read_mapping(tmp_path / "file.yaml") == {"a": 1, "b": ["x", "ü"]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# only a comment\n",
        b"- a list\n",
        b"just words\n",
        b"a: [1\n",
        b"a: 1\n b: 2\n",
        b"a: \xff\n",
        b"a: !!python/object/apply:os.getcwd []\n",
        b"a: 2024-13-45\n",
        b"a: !!int many\n",
        b"a: !!float many\n",
        b"a: !!bool many\n",
        b"a: !!timestamp soon\n",
        b"a: " + b"9" * 5000 + b"\n",
        b"? [a, list]\n: 1\n",
        b"a: *nobody\n",
    ],
)
def test_what_is_no_mapping_is_an_error_of_that_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_mapping(path)
    assert str(path) in str(caught.value)
    assert "next: " in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read_mapping(path)


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", "1 and 3"),
        ("a: {b: 1, b: 1}\n", "a.b", "1 and 1"),
        ("a:\n  - b: {c: 1,\n      c: 2}\n", "a.0.b.c", "2 and 3"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(
    tmp_path: Path, text: str, key: str, lines: str
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_mapping(path)
    assert (caught.value.key, caught.value.problem) == (key, f"is there twice, in lines {lines}")


def test_a_key_that_takes_the_place_of_a_merged_one_is_no_second_one(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\nd: [*b, *b]\n")
    assert read_mapping(path)["c"] == {"x": 3}


yaml_like = st.lists(
    st.sampled_from([*"abc01:-,.[]{}&*!|>'\"#?% \n\t\0", ": ", "\n  ", "!!int ", "2024-", "&a "])
).map("".join)


@law_on_disk
@given(st.binary() | yaml_like.map(str.encode))
@example(b"a: 2024-13-45")
def test_any_bytes_are_a_mapping_or_an_input_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.yaml")
        path.write_bytes(content)
        with suppress(InputError):
            assert isinstance(read_mapping(path), dict)


@pytest.mark.parametrize("levels", [2, 8, 40])
def test_aliases_that_stand_for_more_than_fits_are_refused(tmp_path: Path, levels: int) -> None:
    path = tmp_path / "file.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    path.write_text("\n".join(lines))
    if levels == 2:
        assert len(read_mapping(path)["a1"]) == 9
        return
    with pytest.raises(InputError, match="aliases stand for more"):
        read_mapping(path)


def test_an_alias_that_stands_for_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a: &a [1, {b: [*a]}]\n")
    with pytest.raises(InputError, match="an alias stands for itself"):
        read_mapping(path)


plain = st.text("abcdef", min_size=1, max_size=3) | st.integers(-9, 9) | st.booleans() | st.none()


@law_on_disk
@given(st.dictionaries(st.text("abcdef", min_size=1), plain | st.lists(plain)))
def test_what_yaml_writes_is_read(value: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.yaml")
        path.write_text(yaml.safe_dump(value))
        assert read_mapping(path) == value


# -- parsing ---------------------------------------------------------------------------------------


def problem(model: type[Strict], value: Any, prefix: str = "") -> InputError:
    with pytest.raises(InputError) as caught:
        parse(Path("file.yaml"), model, value, prefix)
    return caught.value


def test_an_unknown_key_of_ours_is_an_error_with_the_key_that_was_meant() -> None:
    error = problem(Ours, {"name": "a", "coutn": 2})
    assert (error.key, error.problem) == ("coutn", "unknown key")
    assert "did you mean `count`?" in error.next_step


def test_an_unknown_key_that_is_like_no_other_brings_the_list_of_keys() -> None:
    assert (
        "known keys: name, count, inner, words" in problem(Ours, {"name": "a", "zzz": 2}).next_step
    )


def test_a_missing_key_is_named() -> None:
    error = problem(Ours, {})
    assert (error.key, error.problem, error.next_step) == ("name", "missing", "add this key")


def test_a_wrong_value_is_shown_with_its_whole_key() -> None:
    error = problem(Ours, {"name": "a", "inner": {"size": "big"}}, "outer")
    assert error.key == "outer.inner.size"
    assert "'big'" in error.problem


@pytest.mark.parametrize(
    ("value", "key", "said", "step"),
    [
        ({"name": 7}, "name", "expected text (found 7)", "put it in quotes"),
        ({"name": ["a"]}, "name", "expected text (found ['a'])", "correct the value"),
        ({"inner": "big"}, "inner", "expected a mapping (found 'big')", "write a mapping"),
        (
            {"inner": None, "words": "a"},
            "words",
            "expected a list (found 'a')",
            "write a list: [a]",
        ),
        ({"words": []}, "words", "expected at least one (found [])", "correct the value"),
        ({"either": {"size": "x"}}, "either.size", "found 'x'", "correct the value"),
        ({"either": [{"size": "x"}]}, "either.0.size", "found 'x'", "correct the value"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_yaml(
    value: dict[str, Any], key: str, said: str, step: str
) -> None:
    error = problem(Ours, {"name": "a", **value})
    assert error.key == key
    assert said in error.problem
    assert "\n" not in error.problem
    assert step in error.next_step


def test_everything_that_is_wrong_is_said_at_once() -> None:
    error = problem(Ours, {"count": "many", "zzz": 1})
    assert all(key in str(error) for key in ("name", "count", "zzz"))


def test_a_record_cannot_be_changed() -> None:
    record = parse(Path("file.yaml"), Ours, {"name": "a"})
    with pytest.raises(ValueError):
        record.name = "b"


# -- unknown keys of files that other tools read too -----------------------------------------------

KNOWN: dict[str, Any] = {
    "name": "a",
    "one": {"size": 1},
    "maybe": {"label": "b"},
    "many": [{"size": 1}, {"label": "b"}],
    "named": {"x": {"size": 1}, "size": {"label": "a record that is called like a key"}},
}


def test_known_keys_are_not_reported() -> None:
    assert unknown_keys(Outer, KNOWN) == []
    assert unknown_keys(Outer, {}) == []


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"extra": 1}, "extra"),
        ({"one": {"size": 1, "extra": 1}}, "one.extra"),
        ({"one": {"extra": 1}}, "one.extra"),
        ({"one": {"extra": {"size": 1}}}, "one.extra"),
        ({"maybe": {"extra": 1}}, "maybe.extra"),
        ({"named": {"x": {"extra": 1}}}, "named.x.extra"),
        ({"named": {"size": {"extra": 1}}}, "named.size.extra"),
    ],
)
def test_an_unknown_key_is_reported_at_any_depth(value: dict[str, Any], key: str) -> None:
    assert unknown_keys(Outer, value) == [key]
    assert unknown_keys(Outer, {**KNOWN, **value}) == [key]


def test_an_unknown_key_in_a_list_is_reported() -> None:
    (key,) = unknown_keys(Outer, {"many": [{"size": 1}, {"extra": 1}]})
    assert key.startswith("many.")
    assert key.endswith("extra")


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(plain, inner, max_size=3)


@law
@given(st.recursive(plain, nested, max_leaves=6))
def test_looking_for_unknown_keys_never_raises(value: Any) -> None:
    for place in ("one", "maybe", "many", "named"):
        unknown_keys(Outer, {place: value})
    unknown_keys(Outer, value)
