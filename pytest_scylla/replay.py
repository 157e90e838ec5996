"""Cached runs the short way: without their fixtures, where all of them are ours.

Setting up six fixtures takes pytest most of the time that a cached run needs. The first run of an
experiment goes the whole way; should a conftest.py or plugin have a stage of its own, all do.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

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
    """Replays cached runs; knows which stages of each experiment are somebody else's."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._ours: defaultdict[Path, dict[str, bool]] = defaultdict(dict)
        """experiment.yaml -> stage -> whether all that was set up of it is ours."""
        self._asked_for_all = config.getoption("scylla_from") == "report" or any(
            config.getoption(name, False) for name in SHOW_FIXTURES
        )

    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> None:
        """Note whose a stage is."""
        name, node = fixturedef.argname, request.node
        if name in STAGES and isinstance(node, RunItem):
            ours = self._ours[node.path]
            is_ours = fixturedef.func.__module__ == fixtures.__name__
            ours[name] = is_ours and ours.get(name, True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Give a cached run its verdict, so that no stage is set up for it."""
        if isinstance(item, RunItem) and self._may_be_short(item.path):
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

    def _may_be_short(self, path: Path) -> bool:
        ours = self._ours[path]
        return not self._asked_for_all and len(ours) == len(STAGES) and all(ours.values())
