"""Which runs a session takes on, by what is already there of them, and what is done again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from .arguments import run_numbers
from .collection import SESSION, RunItem
from .columns import terminal_width

if TYPE_CHECKING:
    from .evaluation import Asked, Run
    from .plan import Spec
    from .status import AgentStatus, JudgeStatus

AGENT_STATUSES = ("completed", "results", "failed", "partial", "missing", "stale")
JUDGE_STATUSES = ("complete", "not_asked", "missing", "failed", "partial", "waiting",
                  "agent_failed")  # fmt: skip
FROM = ("workspace", "agent", "pipeline", "judge", "report")
UNTIL = ("agent", "pipeline", "judge")


def add_options(group: pytest.OptionGroup) -> None:
    """Options that select runs and say what is done again."""
    group.addoption(
        "--scylla-status",
        action="append",
        choices=AGENT_STATUSES,
        default=[],
        help="select runs with this status (repeatable)",
    )
    group.addoption(
        "--scylla-judge-status",
        action="append",
        choices=JUDGE_STATUSES,
        default=[],
        help="select runs that have a judge slot with this status (repeatable), and judge only "
        "those slots",
    )
    group.addoption(
        "--scylla-runs",
        type=run_numbers,
        metavar="N,N",
        help="select runs by number, for example 1,3,5 or 2-4",
    )
    group.addoption(
        "--scylla-from",
        choices=FROM,
        help="rerun the selected runs from this stage on; earlier stages are kept",
    )
    group.addoption(
        "--scylla-until", choices=UNTIL, help="stop after this stage; the run shows as skipped"
    )
    group.addoption(
        "--scylla-judge-model",
        metavar="MODEL",
        help="judge with this model in every slot whose adapter takes one; judgments by other "
        "models are kept and reused for free when you drop the option",
    )
    group.addoption(
        "--scylla-plan",
        action="store_true",
        help="show what a session would do with the selected runs and why, and forecast tokens, "
        "cost (p50, p90), duration at the given -n, and disk space; runs nothing",
    )
    group.addoption(
        "--scylla-explain",
        action="store_true",
        help="show for each stage of the selected runs whether it is kept or rerun, and why; runs "
        "nothing",
    )


def plan(config: pytest.Config, items: Iterable[pytest.Item], specs: Sequence[Spec]) -> list[str]:
    """`--scylla-plan`: what the next session does, and what it costs, takes and needs."""
    from .forecast import forecast

    runs = {
        item.nodeid: dataclasses.replace(item.run_spec, asked=asked(config, item.nodeid))
        for item in items
        if isinstance(item, RunItem)
    }
    budget = config.stash[SESSION].budget
    return forecast(runs, specs, workers(config), budget, terminal_width())


def workers(config: pytest.Config) -> int:
    """How many workers `-n` asks for; 1 without any."""
    if not config.getoption("tx", None):
        return 1
    from xdist.workermanage import parse_tx_spec_config

    return len(parse_tx_spec_config(config))


def explain(config: pytest.Config, items: Iterable[pytest.Item]) -> list[str]:
    """`--scylla-explain`: what the next session does with each stage of the collected runs."""
    from .stagewise import outlook

    lines = []
    for item in items:
        if isinstance(item, RunItem):
            run = dataclasses.replace(item.run_spec, asked=asked(config, item.nodeid))
            lines += [item.nodeid, *(f"  {line}" for line in outlook(run))]
    return lines


def asked(config: pytest.Config, nodeid: str) -> Asked:
    """What the options say of a run."""
    from .evaluation import Asked

    return Asked(
        again=nodeid in config.stash[SESSION].again,
        since=config.getoption("scylla_from"),
        slots=frozenset(config.getoption("scylla_judge_status")),
        until=config.getoption("scylla_until"),
    )


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the runs that the options do not select; ordinary tests stay.

    A worker that replaces a dead one takes the selection of the others: statuses have changed.
    """
    wanted = Wanted(config)
    if SELECTED in config.stash:
        selected = config.stash[SELECTED]
        items[:] = [i for i in items if not isinstance(i, RunItem) or i.nodeid in selected]
    elif wanted.anything:
        kept = [item for item in items if not isinstance(item, RunItem) or wanted.run(item)]
        dropped = [item for item in items if isinstance(item, RunItem) and not wanted.run(item)]
        items[:] = kept
        if dropped:
            config.hook.pytest_deselected(items=dropped)


SELECTED = pytest.StashKey[frozenset[str]]()


class Wanted:
    """The selection that the options make."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.statuses = frozenset(config.getoption("scylla_status"))
        self.slots = frozenset(config.getoption("scylla_judge_status"))
        self.numbers: frozenset[int] | None = config.getoption("scylla_runs")
        self._known: dict[str, bool] = {}

    @property
    def anything(self) -> bool:
        """Some option selects."""
        return bool(self.statuses or self.slots or self.numbers is not None)

    def run(self, item: RunItem) -> bool:
        """Whether a run is selected; decided once."""
        if item.nodeid not in self._known:
            self._known[item.nodeid] = self._selects(item.run_spec)
        return self._known[item.nodeid]

    def _selects(self, run: Run) -> bool:
        if self.numbers is not None and run.number not in self.numbers:
            return False
        if self.statuses and status_of(run) not in self.statuses:
            return False
        return not self.slots or any(s in self.slots for s in slots_of(run))


def status_of(run: Run) -> AgentStatus:
    """The run's agent status; `stale` where it is complete, but not of what is asked now."""
    from .errors import ScyllaError
    from .status import agent_status

    found = agent_status(run.dir)
    if found == "completed":
        try:
            plain = dataclasses.replace(run, asked=type(run.asked)())
            return found if plain.replayed is not None else "stale"
        except ScyllaError:
            return "stale"
    return found


def slots_of(run: Run) -> list[JudgeStatus]:
    """The statuses of the run's judge slots."""
    from .status import slot_statuses

    return slot_statuses(run.dir, len(run.evaluation.judges))


def status_table(items: Iterable[Any], width: int | None = None) -> list[str]:
    """Runs per tier and status, and their judge slots: the dry run."""
    from .status import StatusCounts

    counts = StatusCounts()
    for run in (item.run_spec for item in items if isinstance(item, RunItem)):
        name = f"{run.evaluation.experiment.title} {run.subtest.tier}"
        counts.add(name, status_of(run), slots_of(run))
    return counts.table(width)
