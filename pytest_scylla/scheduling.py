"""Between pytest-xdist and the plan: one run per worker at a time, parents before children.

A worker of xdist needs the item after next before it runs the next one, because pytest's teardown
wants to know it. That would bind a paid run to a busy worker. So every worker has one idle item at
the end of its list, that the controller never hears of, and is always sent `[run, idle]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from .plan import Plan

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from .recorder import Recorder

BATCH = 8
"""How many ordinary tests a worker is sent at once."""


class IdleItem(pytest.Item):
    """An item that is never run: the `nextitem` of whatever comes before it."""

    def runtest(self) -> None:
        """Nothing."""


class WorkerSide:
    """In a worker: the idle item."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Add the idle item, after the ids of the others were sent."""
        session.items.append(IdleItem.from_parent(session, name="idle"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Let the idle item pass."""
        return True if isinstance(item, IdleItem) else None


class Scheduling:
    """Implements xdist's scheduler protocol on top of a plan."""

    def __init__(self, config: pytest.Config, recorder: Recorder) -> None:
        from xdist.workermanage import parse_tx_spec_config

        self.config = config
        self.recorder = recorder
        self.workers = len(parse_tx_spec_config(config))
        self.pending: dict[WorkerController, list[int]] = {}
        self.collected: dict[WorkerController, list[str]] = {}
        self.ids: list[str] = []
        self.index: dict[str, int] = {}
        self.plan: Plan | None = None
        self.broken = False

    # what xdist asks

    @property
    def nodes(self) -> list[WorkerController]:
        """The live workers."""
        return list(self.pending)

    @property
    def collection_is_completed(self) -> bool:
        """All workers of the start have said what they collected."""
        return self.plan is not None or len(self.collected) >= self.workers

    @property
    def tests_finished(self) -> bool:
        """Nothing is left to do."""
        return self.broken or (self.plan is not None and self.plan.done)

    @property
    def has_pending(self) -> bool:
        """Something is left to do."""
        return self.plan is not None and not self.plan.done

    # what xdist tells

    def add_node(self, node: WorkerController) -> None:
        """A worker is there."""
        self.pending[node] = []

    def add_node_collection(self, node: WorkerController, collection: Sequence[str]) -> None:
        """A worker says what it collected; a late one must see what the others saw."""
        if self.plan is not None and list(collection) != self.ids:
            node.shutdown()
            return
        self.collected[node] = list(collection)

    def schedule(self) -> None:
        """All collections are there: make the plan, and send the first work."""
        if self.plan is None:
            collections = list(self.collected.values())
            if any(ids != collections[0] for ids in collections):
                self._report_difference()
                return
            self.ids = collections[0]
            self.index = {id: place for place, id in enumerate(self.ids)}
            self.plan = Plan(self.recorder.specs(self.ids))
            self.recorder.expect(self.ids)
        self._send()

    def _report_difference(self) -> None:
        self.broken = True
        report = pytest.CollectReport(
            "scylla", "failed", "the workers collected different tests: nothing was run", []
        )
        self.config.hook.pytest_collectreport(report=report)

    def _send(self) -> None:
        assert self.plan is not None
        for node, pending in self.pending.items():
            if node.shutting_down or node not in self.collected or self._busy(pending):
                continue
            batch = self._batch(self.plan)
            if not batch:
                return
            pending += [*batch, self._idle]
            node.send_runtest_some([*batch, self._idle])

    @property
    def _idle(self) -> int:
        return len(self.ids)

    def _busy(self, pending: list[int]) -> bool:
        return any(index != self._idle for index in pending)

    def _batch(self, plan: Plan) -> list[int]:
        """One run, or a few ordinary tests."""
        batch: list[int] = []
        while len(batch) < BATCH:
            id = plan.next()
            if id is None:
                break
            if self.recorder.is_run(id):
                if batch:
                    plan.unstart(id)
                else:
                    batch.append(self.index[id])
                break
            batch.append(self.index[id])
        return batch

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """A worker is through with an item."""
        assert self.plan is not None
        self.pending[node].remove(item_index)
        if item_index != self._idle:
            self.plan.finish(self.ids[item_index])
            self._send()

    def mark_test_pending(self, item: str) -> None:
        """An item is to be run again (asked for by other plugins)."""
        assert self.plan is not None
        self.plan.unstart(item)
        self._send()

    def remove_pending_tests_from_node(
        self, node: WorkerController, indices: Sequence[int]
    ) -> None:
        """Never called: this scheduler does not steal."""
        raise NotImplementedError

    def remove_node(self, node: WorkerController) -> str | None:
        """A worker is gone; returns the item that it was at."""
        pending = [index for index in self.pending.pop(node) if index != self._idle]
        self.collected.pop(node, None)
        if self.plan is None or not pending:
            return None
        for index in pending[1:]:
            self.plan.unstart(self.ids[index])
        return self.ids[pending[0]]

    def lost(self, id: str, report: pytest.TestReport) -> None:
        """The worker that had an item died: a run is run again, on another worker."""
        assert self.plan is not None
        said = report.longrepr
        if not self.recorder.is_run(id):
            self.plan.finish(id)
        elif self.recorder.has_verdict(id):
            report.outcome = "rerun"  # type: ignore[assignment]
            report.longrepr = f"{said}; its verdict is there and will be read"
            self.plan.unstart(id)
        elif self.plan.lose(id):
            report.outcome = "rerun"  # type: ignore[assignment]
            report.longrepr = f"{said}; it will run again on another worker"
            self.recorder.clean_after_loss(id)
        else:
            report.longrepr = f"{said}, for the third time: given up"
            self.recorder.clean_after_loss(id)
            self.recorder.give_up(id, str(report.longrepr))
        self._send()


class ControllerSide:
    """In the controller: our scheduler instead of xdist's."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.scheduling: Scheduling | None = None

    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Any:
        """Replace the scheduler; before xdist's own, which comes last."""
        self.scheduling = Scheduling(config, self.recorder)
        return self.scheduling

    @pytest.hookimpl(tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """A worker died."""
        if isinstance(sched, Scheduling):
            sched.lost(crashitem, report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Runs that never finished must not look green."""
        plan = self.scheduling.plan if self.scheduling else None
        if plan is not None and not plan.done and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
