"""The order of the work: a pure state machine, without pytest, xdist or files.

An item is blocked -> ready -> running -> done, or lost (ready again, at most twice, then given
up). Items come in groups; an item waits for whole groups. A group that is finished releases those
who wait, whatever its outcomes: each of them sees for itself whether its parents are usable. So
nothing ever sticks.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """An item of the plan."""

    id: str
    group: str = ""
    after: tuple[str, ...] = ()
    """Groups that must be finished first; a group without items is."""
    cost: float = 1.0
    """How long it will take, in any one unit."""
    holds: tuple[str, ...] = ()
    """Things of which only so many may be held at a time, while the item runs."""


class Plan:
    """Which item is next. `limits`: how many may hold a thing at once (default 1)."""

    MAX_LOST = 2

    def __init__(self, specs: Iterable[Spec], limits: Mapping[str, int] | None = None) -> None:
        self.specs = {spec.id: spec for spec in specs}
        self.limits = dict(limits or {})
        self.running: set[str] = set()
        self.finished: set[str] = set()
        self.lost: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._left = Counter(spec.group for spec in self.specs.values())
        self._waiting = {
            spec.id: {group for group in spec.after if self._left[group]}
            for spec in self.specs.values()
        }
        self._place = {id: place for place, id in enumerate(self.specs)}
        self._tails = self._longest_tails()
        self._ready: list[tuple[float, int, str]] = []
        for id, groups in self._waiting.items():
            if not groups:
                self._push(id)

    def _longest_tails(self) -> dict[str, float]:
        """Group -> cost of the longest chain of items that waits for it.

        Raises ValueError where groups wait for each other in a circle.
        """
        waiters: dict[str, dict[str, float]] = {}
        for spec in self.specs.values():
            for group in spec.after:
                costs = waiters.setdefault(group, {})
                costs[spec.group] = max(costs.get(spec.group, 0.0), spec.cost)
        tails: dict[str, float] = {}

        def tail(group: str, path: tuple[str, ...]) -> float:
            if group in path:
                raise ValueError(f"groups wait for each other: {' > '.join((*path, group))}")
            if group not in tails:
                tails[group] = max(
                    (cost + tail(g, (*path, group)) for g, cost in waiters.get(group, {}).items()),
                    default=0.0,
                )
            return tails[group]

        for group in list(self._left):
            tail(group, ())
        return tails

    def _push(self, id: str) -> None:
        spec = self.specs[id]
        rank = spec.cost + self._tails[spec.group]
        heapq.heappush(self._ready, (-rank, self._place[id], id))

    def next(self) -> str | None:
        """The ready item with the longest way to go; it is running now. None: none may start."""
        passed_over = []
        found = None
        while self._ready and found is None:
            entry = heapq.heappop(self._ready)
            if entry[2] in self.finished:
                continue
            if self._free(entry[2]):
                found = entry[2]
            else:
                passed_over.append(entry)
        for entry in passed_over:
            heapq.heappush(self._ready, entry)
        if found is not None:
            self.running.add(found)
            self._held.update(self.specs[found].holds)
        return found

    def _free(self, id: str) -> bool:
        return all(self._held[thing] < self.limits.get(thing, 1) for thing in self.specs[id].holds)

    def finish(self, id: str) -> None:
        """The item is done, whatever its outcome."""
        if id in self.finished:
            return
        self._stop(id)
        self.finished.add(id)
        group = self.specs[id].group
        self._left[group] -= 1
        if not self._left[group]:
            self._release(group)

    def _release(self, group: str) -> None:
        for id, groups in self._waiting.items():
            if group in groups:
                groups.discard(group)
                if not groups:
                    self._push(id)

    def lose(self, id: str) -> bool:
        """The worker that had the item died. True: it is ready again. False: given up."""
        if id in self.finished:
            return False
        self.lost[id] += 1
        if self.lost[id] > self.MAX_LOST:
            self.finish(id)
            return False
        self.unstart(id)
        return True

    def unstart(self, id: str) -> None:
        """The item was handed out and never began: ready again."""
        if id in self.running:
            self._stop(id)
            self._push(id)

    def _stop(self, id: str) -> None:
        if id in self.running:
            self.running.discard(id)
            self._held.subtract(self.specs[id].holds)

    @property
    def done(self) -> bool:
        """Every item is finished."""
        return len(self.finished) == len(self.specs)
