"""Cached runs the short way: without their fixtures, where all of them are ours.

Setting up six fixtures takes pytest most of the time that a cached run needs. Where a conftest.py
or plugin has a stage of its own, a run goes the whole way.
"""

from __future__ import annotations

import dataclasses
import logging

import pytest

from . import fixtures
from .collection import RunItem
from .errors import ScyllaError
from .fixtures import RUN, note_verdict
from .selection import asked

log = logging.getLogger("pytest_scylla")

STAGES = ("run", "workspace", "agent_result", "pipeline_result", "judgments", "verdict")
SHOW_FIXTURES = ("setupshow", "setuponly", "setupplan")


class Replay:
    """Replays cached runs."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._asked_for_all = config.getoption("scylla_from") == "report" or any(
            config.getoption(name, False) for name in SHOW_FIXTURES
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Give a cached run its verdict, so that no stage is set up for it."""
        if isinstance(item, RunItem) and self._may_be_short(item):
            run = dataclasses.replace(item.run_spec, asked=asked(self.config, item.nodeid))
            try:
                result = run.replayed
            except ScyllaError:
                return  # said again, and kept, by the whole way
            if result is not None:
                log.info("%s: cached, replayed from %s", item.nodeid, run.dir.path)
                item.stash[RUN] = run
                verdict = note_verdict(item, run, result, cached=True)
                item.funcargs.update({**dict.fromkeys(STAGES), "run": run, "verdict": verdict})

    def _may_be_short(self, item: RunItem) -> bool:
        return not self._asked_for_all and all(_is_ours(item, stage) for stage in STAGES)


def _is_ours(item: RunItem, stage: str) -> bool:
    """All fixtures that a run would set up for a stage are ours, and there is one."""
    info = getattr(item, "_fixtureinfo", None)
    found = info.name2fixturedefs.get(stage, ()) if info else ()
    return bool(found) and all(one.func.__module__ == fixtures.__name__ for one in found)
