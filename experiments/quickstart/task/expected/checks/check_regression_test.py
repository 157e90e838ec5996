"""Put a right and two wrong `merge` in the place of the package's own: do its tests notice?

How good the package's own `merge` is does not matter here.
"""

import importlib
import sys
from collections.abc import Callable

from probe import WORKSPACE, check, failing_tests

Merge = Callable[[list[tuple[int, int]]], list[tuple[int, int]]]


def merge_within(minutes: int) -> Merge:
    """A `merge` that joins what is up to `minutes` apart; with 0 it is right."""

    def merge(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
        merged: list[tuple[int, int]] = []
        for start, end in sorted(intervals):
            if merged and start <= merged[-1][1] + minutes:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        return merged

    return merge


def failing_with(merge: Merge) -> set[str]:
    for name in [name for name in sys.modules if name.split(".")[0] == "intervals"]:
        del sys.modules[name]
    own = importlib.import_module("intervals").merge
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "intervals" and getattr(module, "merge", None) is own:
            vars(module)["merge"] = merge
    return failing_tests(WORKSPACE / "tests")


def met() -> None:
    anyway = failing_with(merge_within(0))
    for minutes, fault in ((-1, "leaves touching intervals apart"), (1, "joins a minute apart")):
        if not failing_with(merge_within(minutes)) - anyway:
            raise AssertionError(f"no test notices a merge that {fault}")


check(met)
