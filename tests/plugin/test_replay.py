"""Cached runs the short way: what others see of them is the same."""

from __future__ import annotations

import pytest

from tests.support.experiments import TWO_WORKERS, Experiment

WATCHER = """\
import pytest


def note(*words):
    with open(LOG, "a") as log:
        print(*words, file=log)


@pytest.fixture(autouse=True)
def ours(request):
    note("autouse", request.node.name)
    yield
    note("torn down", request.node.name)


def pytest_scylla_run_finished(run, result, cached):
    note("finished", run.name, result.judge_score, cached)
"""

OVERRIDE = """

@pytest.fixture
def judgments(judgments):
    note("judgments", len(judgments))
    return judgments
"""


@pytest.mark.parametrize("override", ["", OVERRIDE], ids=["all-ours", "overridden"])
def test_hooks_and_fixtures_of_others_see_every_cached_run(
    pytester: pytest.Pytester, override: str
) -> None:
    toy = Experiment(pytester, runs=4)
    log = pytester.path / "seen.log"
    toy.write("conftest.py", WATCHER.replace("LOG", repr(str(log))) + override)
    toy.run(*TWO_WORKERS).assert_outcomes(passed=4)
    assert ("judgments 1" in log.read_text()) == bool(override)
    log.unlink()
    said = toy.run("-p", "no:xdist", "-v", "-rA")
    said.assert_outcomes(passed=4)
    said.stdout.fnmatch_lines(["*run_04 CACHED*", "*cost*", "all *4 *"])
    seen = log.read_text().splitlines()
    for number in range(1, 5):
        name = f"run_0{number}"
        assert {f"autouse {name}", f"torn down {name}", f"finished {name} 1.0 True"} <= set(seen)
    assert seen.count("judgments 1") == (4 if override else 0)
    assert toy.executions.total() == 4
    whole = toy.run("-p", "no:xdist", "--setup-show").stdout.str()
    assert whole.count("SETUP    F judgments") >= 4
