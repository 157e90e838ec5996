"""What the stages keep of an execution, and how it is told from another."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ..errors import RunError
from ..evaluation import Run
from ..history import STAGE_SECONDS
from ..recorded import Recorded, copied, recorded
from ..store import now


def execution(run: Run) -> str:
    """Digest of what an agent left: its answer and its patch."""
    return run.dir.execution


@contextlib.contextmanager
def left_by_agent(run: Run) -> Iterator[Recorded]:
    """The files that an agent left, as they are recorded: for one judge or one pipeline.

    Raises RunError where they can no longer be made: nothing of the agent's work is made up.
    """
    checkout = run.checkout()
    protected = run.evaluation.experiment.settings.protected or ()
    if run.dir.patch.exists():
        setup = checkout.setup
        with recorded(setup.path, setup.commit, run.dir.patch) as left:
            left.put_back(protected)
            yield left
    elif checkout.exists:
        with copied(checkout.path) as left:
            yield left
    else:
        raise RunError.of(
            "workspace", f"{run.dir.path} has neither workspace/ nor agent/changes.patch"
        )


def timing(what: str, seconds: float, stage: float | None = None) -> dict[str, object]:
    """timing.json of an agent or a judge; `stage`: seconds of all that was done for it."""
    whole = {} if stage is None else {STAGE_SECONDS: stage}
    return {f"{what}_duration_seconds": seconds, **whole, "measured_at": now()}


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """So far."""
        return time.monotonic() - self._start
