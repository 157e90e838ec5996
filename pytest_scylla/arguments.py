"""What options take: text into a value, or words of what is wrong with it."""

from __future__ import annotations

from argparse import ArgumentTypeError

MOST_RUNS = 999
"""The highest number of a run (experiment.yaml: runs)."""


def usd(text: str) -> float:
    """An amount of money: no "nan", which no sum would ever reach, and nothing below 0."""
    return _number(text, "an amount in USD")


def minutes(text: str) -> float:
    """How long to wait, in minutes."""
    return _number(text, "a number of minutes")


def share(text: str) -> float:
    """A number between 0 and 1, neither of them."""
    found = _number(text, "a number between 0 and 1")
    if not 0 < found < 1:
        raise ArgumentTypeError(f"expected a number between 0 and 1, found {text!r}")
    return found


def _number(text: str, what: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not 0 <= found < float("inf"):
        raise ArgumentTypeError(f"expected {what}, found {text!r}")
    return found


def run_numbers(text: str) -> frozenset[int]:
    """`1,3-5` as a set of run numbers."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            numbers = range(int(first), int(last if dash else first) + 1)
        except ValueError:
            numbers = range(0)
        if not numbers or numbers[0] < 1 or numbers[-1] > MOST_RUNS:
            raise ArgumentTypeError(
                f"expected numbers of runs, such as 1,3,5 or 2-4, found {part!r} in {text!r}"
            )
        found.update(numbers)
    return frozenset(found)
