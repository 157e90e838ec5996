"""What a model's provider takes: pauses and parallelism, shared by all workers of a session.

A provider that refuses (429) or has too much to do (529) is left alone by all workers until the
time that it asks for. How many may ask at once is found out as TCP finds out what a network
takes: down at once, up slowly (additive increase, multiplicative decrease: Chiu and Jain, 1989).
A server error lowers nothing.

All state is in files, which any worker may die beside: a place is a lock of the operating system,
so a dead worker holds none.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from filelock import FileLock, Timeout

from .errors import RunError
from .store import read_json, write_json

PLACES = 256
"""Most that may be under way at once, whatever the number of workers."""

REFUSALS = {"rate_limit": 429, "overloaded": 529}
"""Kinds of error that are waited for, and what the API answers then."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds of a pause where the provider does not say; doubled with every refusal in a row."""

SPACING = 0.25
"""Seconds between two starts after a pause, so that its end is no storm."""

QUIET = 20.0
"""Seconds without a refusal before one more is let in; doubled each time that it was too many."""

POLL = 0.1
"""Seconds between two looks at what others do."""


@dataclass(frozen=True)
class State:
    """What is known of a provider."""

    name: str = ""
    """Host and port of its address."""
    limit: float = PLACES
    """How many may be under way."""
    paused_until: float = 0.0
    """Seconds since the epoch."""
    next_start: float = 0.0
    """Nobody starts before (seconds since the epoch)."""
    refused: int = 0
    """Refusals in this session."""
    in_a_row: int = 0
    """Refusals since the last answer."""
    last_refusal: float = 0.0
    quiet: float = QUIET
    """Seconds without a refusal after which one more is let in."""
    raised: float = 0.0
    """When one more was let in last."""
    status: int = 0
    """What the provider answered when it refused last."""


@dataclass
class Patience:
    """How long somebody is ready to wait for a provider, in all."""

    most: float
    """Seconds."""
    used: float = 0.0
    """Seconds that have been waited, by us or by a program that was refused in the end."""

    @property
    def left(self) -> float:
        """Seconds that one is still ready to wait."""
        return self.most - self.used


class Provider:
    """A provider, as the workers of a session see it together."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        """Host and port of its address."""
        self._folder = folder / re.sub(r"[^\w.-]", "_", name)
        self._path = self._folder / "state.json"
        self._lock = FileLock(self._folder / "state.lock")

    @property
    def state(self) -> State:
        """What is known now."""
        found = read_json(self._path) or {}
        known = {name: found[name] for name in asdict(State()) if name in found}
        return State(**{"name": self.name, **known})

    @contextlib.contextmanager
    def turn(self, patience: Patience) -> Iterator[None]:
        """A place among those who ask; waits for one, and for the end of a pause.

        Raises RunError where a pause would take longer than there is patience.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            while not self._take(stack):
                self.rest(patience)
            yield

    def rest(self, patience: Patience) -> None:
        """Wait a little: for the end of a pause, or for others. Raises RunError, as `turn`."""
        pause = self.state.paused_until - time.time()
        if pause <= 0:
            time.sleep(POLL * random.uniform(0.5, 1.5))
            return
        if pause > patience.left:
            raise self._too_long(pause, patience)
        step = min(pause, 1.0)
        time.sleep(step)
        patience.used += step

    def _too_long(self, pause: float, patience: Patience) -> RunError:
        state = self.state
        kind = next((k for k, status in REFUSALS.items() if status == state.status), "overloaded")
        until = datetime.fromtimestamp(state.paused_until).astimezone()
        over = f", of which {patience.used:.0f} s are over" if patience.used >= 1 else ""
        return RunError.of(
            kind,
            f"{self.name} takes no requests before {until:%Y-%m-%d %H:%M:%S %Z} ({pause:.0f} s), "
            f"and --scylla-max-wait is {patience.most / 60:g} min{over}",
            "run the same command then; it goes on with what is missing",
        )

    def _take(self, stack: contextlib.ExitStack) -> bool:
        """Take a place, if one is free and it is time to start."""
        with self._lock:
            state = self.state
            if time.time() < max(state.next_start, state.paused_until):
                return False
            for number in range(int(state.limit)):
                place = FileLock(self._folder / f"{number:03d}.lock")
                with contextlib.suppress(Timeout):
                    place.acquire(timeout=0)
                    stack.callback(place.release)
                    self._started(state)
                    return True
        return False

    def _started(self, state: State) -> None:
        if time.time() - state.last_refusal < state.quiet:
            self._write(replace(state, next_start=time.time() + SPACING))

    def _under_way(self) -> int:
        """How many places are held."""
        held = 0
        for path in self._folder.glob("[0-9][0-9][0-9].lock"):
            place = FileLock(path)
            try:
                place.acquire(timeout=0)
                place.release()
            except Timeout:
                held += 1
        return held

    def refused(self, status: int, wait: float | None = None) -> None:
        """The provider refused a request; it asks to be left alone for `wait` seconds, if it says.

        Only 429 lowers how many may ask, and only once for all that were under way.
        """
        with self._lock:
            state, now, busy = self.state, time.time(), self._under_way()
            if wait is None:
                wait = min(FIRST_PAUSE * 2**state.in_a_row, LONGEST_PAUSE)
            limit, quiet = state.limit, state.quiet
            if status == REFUSALS["rate_limit"] and busy <= limit:
                limit = max(1.0, busy // 2) if not state.raised else max(1.0, limit - 1)
                quiet = quiet * 2 if state.raised else quiet
            self._write(
                replace(
                    state,
                    limit=limit,
                    quiet=quiet,
                    paused_until=max(state.paused_until, now + wait),
                    refused=state.refused + 1,
                    in_a_row=state.in_a_row + 1,
                    last_refusal=now,
                    status=status,
                )
            )

    def answered(self) -> None:
        """The provider took a request."""
        state, now = self.state, time.time()
        if not state.refused:
            return
        with self._lock:
            state = replace(self.state, in_a_row=0)
            if now - max(state.last_refusal, state.raised) > state.quiet:
                state = replace(state, limit=min(state.limit + 1, PLACES), raised=now)
            self._write(state)

    def _write(self, state: State) -> None:
        write_json(self._path, asdict(state))


Turn = Callable[[str | None, Patience], AbstractContextManager[Provider | None]]
"""Takes the URL of a provider and gives a place among those who ask it; None: nobody shares it."""


@contextlib.contextmanager
def no_turn(endpoint: str | None, patience: Patience) -> Iterator[None]:
    """A turn that nobody else takes part in."""
    yield None


def provider_name(url: str) -> str:
    """Host and port of a URL: what is behind it has one limit."""
    return urlsplit(url).netloc.rpartition("@")[2] or url


def states(folder: Path) -> dict[str, State]:
    """Provider -> what is known of it, of all in a session's folder."""
    found = [Provider(folder, path.parent.name).state for path in folder.glob("*/state.json")]
    return {state.name: state for state in sorted(found, key=lambda state: state.name)}


_RESET = re.compile(
    r"\bresets?\s+(?:at\s+)?(\d{1,2})(?::(\d{2}))?\s*(am|pm)?\s*(?:\(([\w/+-]+)\))?", re.IGNORECASE
)


def seconds_until_reset(text: str, now: datetime) -> float | None:
    """Seconds until the time that a limit's message names ("resets 4pm (Europe/Berlin)").

    `now` has a time zone; a time without one is in that zone. None where no time is named.
    """
    found = _RESET.search(text)
    if found is None:
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    half = (found[3] or "").lower()
    if hour > (12 if half else 23) or minute > 59:
        return None
    hour = hour % 12 + 12 * (half == "pm") if half else hour
    with contextlib.suppress(ZoneInfoNotFoundError, ValueError):
        now = now.astimezone(ZoneInfo(found[4])) if found[4] else now
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (then if then > now else then + timedelta(days=1)).timestamp() - now.timestamp()
