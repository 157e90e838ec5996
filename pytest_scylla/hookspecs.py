"""The hooks of pytest-scylla. Implement them in a conftest.py or a plugin.

A conftest.py in an experiment's folder speaks for that experiment alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .agents import Agent
    from .evaluation import Run
    from .experiment import StepConfig
    from .judges import Judge
    from .results import RunResult


@pytest.hookspec
def pytest_scylla_agents() -> Mapping[str, type[Agent]]:  # type: ignore[empty-body]
    """Agent adapters by name; the class is made from the options in experiment.yaml.

    Example::

        def pytest_scylla_agents():
            return {"my-agent": MyAgent}
    """


@pytest.hookspec
def pytest_scylla_judges() -> Mapping[str, type[Judge]]:  # type: ignore[empty-body]
    """Judge adapters by name; the class is made from the options in experiment.yaml.

    Example::

        def pytest_scylla_judges():
            return {"line-counter": LineCounter}
    """


@pytest.hookspec
def pytest_scylla_pipeline() -> Mapping[str, Sequence[StepConfig]]:  # type: ignore[empty-body]
    """Languages by name, for `pipeline:` in experiment.yaml, each with the steps of its pipeline.

    Example::

        def pytest_scylla_pipeline():
            return {"rust": [StepConfig(name="test", run="cargo test --offline")]}
    """


@pytest.hookspec
def pytest_scylla_run_finished(run: Run, result: RunResult, cached: bool) -> Any:
    """Called in the process that had the run, once its verdict is there (also a replayed one).

    Example::

        def pytest_scylla_run_finished(run, result, cached):
            if not cached:
                print(run.subtest.id, result.judge_score, result.cost_usd)
    """
