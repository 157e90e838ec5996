"""What a session may spend, shared by all its workers in one small file."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from .errors import NotRun
from .processes import alive

SUFFIX = ".budget.jsonl"


class NoRoomYet(NotRun):
    """There may be room when what other workers have reserved is settled."""


class Budget:
    """An amount of USD. What is going to be spent is reserved first, and settled afterwards.

    The file is a journal: every worker appends to it under a lock and reads only what is new to
    it, so that a reservation costs the same in a session of ten runs and of ten thousand. Any
    worker may die beside it: what a dead one had reserved and never settled counts as spent.
    """

    def __init__(self, path: Path, limit: float) -> None:
        self.path = path
        self.limit = limit
        """USD."""
        self._lock = FileLock(path.with_suffix(".lock"))
        self._ledger = _Ledger()
        self._read_up_to = 0

    def reserve(self, key: str, assumed: float) -> float:
        """Reserve what `key` (experiment::tier::subtest::run::stage) is expected to cost.

        That is the mean of what the nearest of its kind have cost in this session, else `assumed`
        USD. Returns the amount. Raises NotRun where it does not fit any more, and NoRoomYet where
        it may fit when other workers' reservations come out cheaper than expected.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._read()
            expected = self._ledger.expected(key, assumed)
            committed = self._ledger.committed
            if expected > 0 and committed + expected > self.limit:
                spent = committed - self._ledger.in_flight()
                kind = NoRoomYet if spent + expected <= self.limit else NotRun
                raise kind(self._no_room(committed, expected))
            self._append({"reserve": key, "usd": expected, "pid": os.getpid()})
            return expected

    def _no_room(self, committed: float, expected: float) -> str:
        if expected > self.limit:
            return (
                f"budget: this alone would cost about ${expected:.4f}, and all of the budget is "
                f"${self.limit:.4f} (next: raise it; before a run has told what it costs, "
                "max_cost_usd in the task's config.yaml is what is expected of an agent)"
            )
        return (
            f"budget: ${committed:.4f} of ${self.limit:.4f} are spent or reserved and this "
            f"would cost about ${expected:.4f}; it stays for the next session"
        )

    def settle(self, key: str, actual: float | None) -> None:
        """Say what `key` has cost; None: not known, so that what was expected stands."""
        self._say({"settle": key, "usd": actual})

    def release(self, key: str) -> None:
        """`key` has not begun: its reservation is void, and says nothing of others like it."""
        self._say({"release": key})

    def _say(self, event: dict[str, Any]) -> None:
        if self.path.exists():  # else the session has ended, and nobody asks any more
            with self._lock:
                self._append(event)

    @property
    def committed(self) -> float:
        """USD that are spent or reserved."""
        self._read()
        return self._ledger.committed

    def _read(self) -> None:
        """Take in what others have appended; a line that a dead worker left unfinished is none."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._read_up_to)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._read_up_to += len(whole)
        for event in _events(whole):
            self._ledger.add(event)

    def _append(self, event: dict[str, Any]) -> None:
        self._read()
        with open(self.path, "ab") as file:
            torn = b" torn\n" if file.tell() > self._read_up_to else b""
            file.write(torn + json.dumps(event).encode() + b"\n")
        self._read()


def _events(lines: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


class _Ledger:
    """The sums over a journal."""

    def __init__(self) -> None:
        self.committed = 0.0
        self._open: dict[str, float] = {}
        self._holders: dict[str, int] = {}
        """Key -> process of whoever has reserved last."""
        self._settled: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        """Place and stage -> sum and number of what was settled there."""

    def add(self, event: dict[str, Any]) -> None:
        """Take in one line. What is reserved twice was lost by a dead worker: both count."""
        if "reserve" in event:
            self._open[event["reserve"]] = event["usd"]
            self._holders[event["reserve"]] = event["pid"]
            self.committed += event["usd"]
        elif "release" in event:
            self.committed -= self._open.pop(event["release"], 0.0)
        elif "settle" in event:
            expected, actual = self._open.pop(event["settle"], 0.0), event["usd"]
            if actual is not None:
                self.committed += actual - expected
                self._learn(event["settle"], actual)

    def in_flight(self) -> float:
        """USD that other processes hold, and that they will settle: they are alive."""
        held = ((self._holders[key], usd) for key, usd in self._open.items())
        return sum(usd for pid, usd in held if pid != os.getpid() and alive(pid))

    def _learn(self, key: str, actual: float) -> None:
        for place in _places(key):
            self._settled[place][0] += actual
            self._settled[place][1] += 1

    def expected(self, key: str, assumed: float) -> float:
        """Mean of what was settled in the same subtest, else tier, else experiment."""
        for place in _places(key):
            if place in self._settled:
                total, number = self._settled[place]
                return total / number
        return assumed


def _places(key: str) -> Iterator[tuple[str, str]]:
    """Subtest, tier and experiment of a key, each with the stage."""
    *place, _, stage = key.split("::")
    while place:
        yield "::".join(place), stage
        place.pop()


def reserve_all(budgets: Sequence[Budget], key: str, assumed: float) -> None:
    """Reserve in every budget that holds; none is kept where one has no room.

    Raises NotRun.
    """
    done: list[Budget] = []
    try:
        for budget in budgets:
            budget.reserve(key, assumed)
            done.append(budget)
    except NotRun:
        for budget in done:
            budget.release(key)
        raise


def budget_path(folder: Path, name: str) -> Path:
    """Where a session keeps a budget; `folder` is the session's own."""
    return folder / f"{name}{SUFFIX}"
