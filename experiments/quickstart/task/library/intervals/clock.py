"""Intervals as people write them."""

from intervals.merging import Interval


def parse(text: str) -> Interval:
    """The interval that a text such as `09:00-10:30` stands for."""
    start, _, end = text.partition("-")
    interval = (_minutes(start), _minutes(end))
    if interval[1] < interval[0]:
        raise ValueError(f"interval ends before it starts: {text}")
    return interval


def show(interval: Interval) -> str:
    """The text that `parse` reads."""
    return "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in interval)


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.strip().partition(":")
    return int(hours) * 60 + int(minutes)
