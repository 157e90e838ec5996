"""What a session may spend, shared by all its workers in one small file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from .errors import NotRun
from .statistics import mean
from .store import read_json, write_json


class Budget:
    """An amount of USD. What is going to be spent is reserved first, and settled afterwards.

    The lock protects the file, which any worker may die beside: what a dead one had reserved and
    never settled counts as spent.
    """

    def __init__(self, path: Path, limit: float) -> None:
        self.path = path
        self.limit = limit
        """USD."""
        self._lock = FileLock(path.with_suffix(".lock"))

    def reserve(self, key: str, assumed: float) -> float:
        """Reserve what `key` (experiment::tier::subtest::run::stage) is expected to cost.

        That is the mean of what the nearest of its kind have cost in this session, else `assumed`
        USD. Returns the amount. Raises NotRun where it does not fit any more.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            entries = self._entries()
            expected = _expected(entries, key, assumed)
            committed = _committed(entries)
            if committed >= self.limit or committed + expected > self.limit:
                raise NotRun(
                    f"budget: ${committed:.4f} of ${self.limit:.4f} are spent or reserved and this "
                    f"would cost about ${expected:.4f}; it stays for the next session"
                )
            if key in entries:  # its worker died, and it is done again
                entries[f"{key} (lost)"] = entries[key]
            entries[key] = {"expected": expected, "actual": None}
            self._write(entries)
            return expected

    def settle(self, key: str, actual: float | None) -> None:
        """Say what `key` has cost; None: not known, so that what was expected stands."""
        with self._lock:
            entries = self._entries()
            entry = entries.setdefault(key, {"expected": 0.0, "actual": None})
            entry["actual"] = entry["expected"] if actual is None else actual
            self._write(entries)

    @property
    def committed(self) -> float:
        """USD that are spent or reserved."""
        return _committed(self._entries())

    def _entries(self) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = (read_json(self.path) or {}).get("entries", {})
        return entries

    def _write(self, entries: dict[str, dict[str, Any]]) -> None:
        write_json(self.path, {"limit_usd": self.limit, "entries": entries})


def _committed(entries: dict[str, dict[str, Any]]) -> float:
    amounts = (e["expected"] if e["actual"] is None else e["actual"] for e in entries.values())
    return float(sum(amounts))


def _expected(entries: dict[str, dict[str, Any]], key: str, assumed: float) -> float:
    """Mean of the settled entries of the same subtest, else tier, else experiment."""
    *place, _, stage = key.split("::")
    settled = {k: e["actual"] for k, e in entries.items() if e["actual"] is not None}
    while place:
        start = "::".join(place) + "::"
        alike = [v for k, v in settled.items() if k.startswith(start) and k.endswith(f"::{stage}")]
        found = mean(alike)
        if found is not None:
            return found
        place.pop()
    return assumed


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
            budget.settle(key, 0.0)
        raise


def settle_all(budgets: Sequence[Budget], key: str, actual: float | None) -> None:
    """Settle in every budget that holds."""
    for budget in budgets:
        budget.settle(key, actual)
