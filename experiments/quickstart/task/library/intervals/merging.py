"""Joining intervals."""

Interval = tuple[int, int]


def merge(intervals: list[Interval]) -> list[Interval]:
    """The same time in as few intervals as possible, in order."""
    intervals.sort()
    merged: list[Interval] = []
    for start, end in intervals:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def clip(intervals: list[Interval], window: Interval) -> list[Interval]:
    """The parts of `intervals` that lie within `window`."""
    first, last = window
    inside = [(start, end) for start, end in intervals if start < last and end > first]
    return [(max(start, first), min(end, last)) for start, end in inside]


def total(intervals: list[Interval]) -> int:
    """The minutes that `intervals` cover; what two of them share counts once."""
    return sum(end - start for start, end in merge(intervals))
