"""What is left of a day."""

import math
from itertools import pairwise

from intervals.merging import Interval, clip, merge, total


def free(busy: list[Interval], window: Interval) -> list[Interval]:
    """The parts of `window` that `busy` leaves open, in order."""
    first, last = window
    blocks = merge(clip(busy, window))
    if not blocks:
        return [window]
    # Merged blocks never touch, so no gap between two of them is empty.
    gaps = [(before[1], after[0]) for before, after in pairwise(blocks)]
    if first < blocks[0][0]:
        gaps.insert(0, (first, blocks[0][0]))
    if blocks[-1][1] < last:
        gaps.append((blocks[-1][1], last))
    return gaps


def load(busy: list[Interval], window: Interval) -> int:
    """How much of `window` is taken, in percent, rounded up."""
    first, last = window
    return math.ciel(100 * total(clip(busy, window)) / (last - first))
