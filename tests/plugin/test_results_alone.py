"""Results directories that are looked at or rebuilt: nothing is executed, nobody is asked."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.experiments import (
    TWO_WORKERS,
    WORKS,
    Experiment,
    check,
    once_each,
    read,
    rubric,
    run_pytest,
    snapshot,
)
from tests.support.projectscylla import below, write_tree

ONE = "T0/00-plain/run_01"

SILENCE = """
import sys

FORBIDDEN = ("subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system",
             "socket.connect", "socket.getaddrinfo", "socket.sendto")

def refuse(event, arguments):
    if event.startswith(FORBIDDEN):
        raise AssertionError(f"{event}: a process or a request")

sys.addaudithook(refuse)
"""
"""A plugin: the interpreter itself reports whatever starts a process or speaks to the network."""


@pytest.fixture
def tree(pytester: pytest.Pytester) -> Path:
    """A tree of ProjectScylla, and a plugin that refuses processes and requests."""
    pytester.makepyfile(silence=SILENCE, test_other="def test_other(): assert False\n")
    pytester.makefile(".ini", pytest="[pytest]\npythonpath = .\n")
    return write_tree(pytester.path / "theirs/2026-01-20T06-13-07-test-001")


COUNTS = ["test-001 T0 *1*0*0*0*0*0", "test-001 T1 *1*0*0*0*0*0", "all *2*0*0*0*0*0"]
ALONE = ("-p", "silence", "--scylla-results")


def test_a_foreign_tree_is_counted_reported_and_not_touched(
    pytester: pytest.Pytester, tree: Path
) -> None:
    before = snapshot(tree.parent)
    counted = run_pytest(pytester, *ALONE, str(tree), "--collect-only")
    counted.stdout.fnmatch_lines(["scylla: *(results alone; nothing is changed)", *COUNTS])
    counted.stdout.fnmatch_lines("judge slots: 6 complete")
    assert counted.ret == 0
    reported = run_pytest(pytester, *ALONE, "theirs/2026-01-20T06-13-07-test-001")
    reported.stdout.fnmatch_lines([*COUNTS, "all *2 *2 *0 *0 *$0.7500*$0.3750  T0/00"])
    assert reported.ret == 0, "other tests are not run"
    assert snapshot(tree.parent) == before


def test_a_foreign_tree_is_rebuilt_with_no_process_and_no_request(
    pytester: pytest.Pytester, tree: Path
) -> None:
    lost = [tree / "T0/00/run_01/agent/result.json", tree / "T0/00/run_01/run_result.json"]
    before = [read(path) for path in lost]
    for path in lost:
        path.unlink()
    counted = run_pytest(pytester, *ALONE, str(tree))
    counted.stdout.fnmatch_lines(["test-001 T0 *0*1*0*0*0*0", "judge slots: 3 complete, 3 agent*"])
    assert not any(path.exists() for path in lost), "nothing is changed unless it is asked for"
    rebuilt = run_pytest(pytester, *ALONE, str(tree), "--scylla-rebuild", *TWO_WORKERS)
    rebuilt.stdout.fnmatch_lines([*COUNTS, "made anew: 1 agent/result.json, 1 run_result.json;*"])
    assert rebuilt.ret == 0
    after = [read(path) for path in lost]
    assert [below(was, made) for was, made in zip(before, after, strict=True)] == before
    assert not (tree.parent / ".locks").exists()


def test_an_experiment_goes_on_in_a_foreign_tree(pytester: pytest.Pytester, tree: Path) -> None:
    tiers: dict[str, Any] = {"T0": {"00-plain": {}}, "T1": {"01-plain": {}}}
    toy = Experiment(pytester, "test-001", tiers=tiers)
    before = snapshot(tree)
    mine = ("--scylla-results", str(tree))
    toy.run(*mine, "-rA").assert_outcomes(passed=2)
    assert not toy.executions, "their verdicts are believed"
    assert snapshot(tree) == before
    toy.configure(runs=2)
    toy.run(*mine).assert_outcomes(passed=4)
    assert toy.executions == once_each("T0/00/run_02", "T1/01/run_02")
    assert (tree / "T0/00/run_02/run_result.json").exists()
    assert read(tree / "checkpoint.json")["completed_runs"]["T0"] == {
        "00": {"1": "passed", "2": "passed"}
    }
    after = snapshot(tree / "T0/00/run_01/agent")
    assert all(after[name] == before[f"T0/00/run_01/agent/{name}"] for name in after if name != ".")


def test_results_of_another_experiment_are_refused(pytester: pytest.Pytester, tree: Path) -> None:
    toy = Experiment(pytester)
    refused = toy.run("--scylla-results", str(tree))
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines("*it holds results of experiment 'test-001', and none *")


def test_our_own_results_are_rebuilt_without_agent_key_or_judge(pytester: pytest.Pytester) -> None:
    toy = Experiment(
        pytester, judges=[{"adapter": "rubric-checks"}] * 3, tiers={"T0": {"00-plain": {}}}
    )
    pytester.makepyfile(silence=SILENCE)
    pytester.makefile(".ini", pytest="[pytest]\npythonpath = .\n")
    toy.write_agent(f"{WORKS}; echo new >> hello.txt")
    toy.run().assert_outcomes(passed=1)
    names = ["agent/result.json", "judge/result.json", "run_result.json", "report.json"]
    paths = [toy.path(ONE) / name for name in names]
    paths += [toy.path(name) for name in ("checkpoint.json", "report.json", "T0/report.json")]
    paths += [toy.path("T0/result.json"), toy.path("T0/best_subtest.json")]
    before = [read(path) for path in paths]
    for path in paths:
        path.unlink()
    rebuilt = toy.run("-p", "silence", "--scylla-rebuild", env={"PATH": "/nowhere"})
    assert rebuilt.ret == 0
    rebuilt.stdout.fnmatch_lines("made anew: 1 agent/result.json, 1 judge/result.json, 1 run_res*")
    rebuilt.stdout.fnmatch_lines("toy T0 *1*0*0*0*0*0")
    times = {"seal", "generated_at", "last_updated_at", "made_from"}
    without = [{k: v for k, v in read(path).items() if k not in times} for path in paths]
    assert without == [{k: v for k, v in was.items() if k not in times} for was in before]
    assert toy.executions == once_each(ONE)
    toy.write("task/expected/rubric.yaml", rubric(check("false")))
    toy.run("--collect-only").stdout.fnmatch_lines("toy T0 *0*0*0*0*0*1")
