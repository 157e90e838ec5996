"""What options take, and what they refuse."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

import pytest

from pytest_scylla.arguments import minutes, run_numbers, share, usd


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (usd, "0", 0.0),
        (usd, "2.5", 2.5),
        (minutes, "0", 0.0),
        (share, "0.05", 0.05),
        (run_numbers, "1,3-5,4", {1, 3, 4, 5}),
        (run_numbers, "2-2", {2}),
        (run_numbers, "999", {999}),
    ],
)
def test_a_value_is_taken(kind: Callable[[str], Any], text: str, value: Any) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (usd, ["", "nan", "inf", "-1", "much", "$5"]),
        (minutes, ["nan", "inf", "-5", "1h"]),
        (share, ["0", "1", "5", "nan", "-0.1", "half"]),
        (run_numbers, ["", "one", "0", "3-1", "1,", "1-", "-2", "1000", "1-999999999"]),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    kind: Callable[[str], Any], texts: list[str]
) -> None:
    for text in texts:
        with pytest.raises(ArgumentTypeError, match=r"^expected .* found "):
            kind(text)
