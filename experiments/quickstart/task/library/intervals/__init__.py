"""Busy and free time of a day, as pairs of minutes since midnight."""

from intervals.clock import parse, show
from intervals.gaps import free, load
from intervals.merging import clip, merge, total

__all__ = ["clip", "free", "load", "merge", "parse", "show", "total"]
