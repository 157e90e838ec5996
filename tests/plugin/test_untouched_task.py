"""Checks are tried on the untouched task, before any agent is paid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.experiments import (
    IN_PROCESS,
    MODES,
    TWO_WORKERS,
    WORKS,
    Experiment,
    check,
    once_each,
    read,
    rubric,
    snapshot,
)

RUN = "T0/00-empty/run_01"

LACKING = {
    "R1": "test -d tests && pytset -q",
    "R2": "[[ -f answer.txt ]]",
    "R3": "! grepp -q x hello.txt",
    "R4": "pytset | cat",
}
"""Programs that are not there: by their exit statuses two of these would be met."""

CANNOT = {
    "R1": 'sh "$SCYLLA_TASK/expected/own.sh"',
    "R2": 'bash "$SCYLLA_TASK/expected/none.sh"',
    "R3": "sleep 600",
    "R4": "x=pytset; $x -q",
}


def items(commands: dict[str, str]) -> dict[str, object]:
    return rubric(*(check(run, id) for id, run in commands.items()))


def test_a_check_that_cannot_work_is_an_error_before_any_agent_is_paid(
    pytester: pytest.Pytester,
) -> None:
    judges = [{"adapter": "rubric-checks", "timeout": 1}]
    toy = Experiment(pytester, rubric=items(LACKING), judges=judges, runs=2, paid=True)
    toy.write("task/expected/own.sh", "cd .\npytset -q\n")
    found = toy.run(*IN_PROCESS)
    found.assert_outcomes(errors=2)
    lacking = [
        f"*item {id}: {name}, *"
        for id, name in zip(LACKING, ("pytset", "[[][[]", "grepp", "pytset"), strict=True)
    ]
    for line in lacking:
        found.stdout.fnmatch_lines([line])
    found.stdout.fnmatch_lines(["*next: install pytset, [[][[], grepp, or correct the item's *"])
    toy.write("task/expected/rubric.yaml", items(CANNOT))
    found = toy.run(*TWO_WORKERS)
    found.assert_outcomes(errors=2)
    for id, why in {
        "R1": "cannot work: exit status 127 on the untouched task: *: pytset: not found",
        "R2": "cannot work: exit status 127 on the untouched task: bash: *none.sh: No such file*",
        "R3": "does not end within 1 s on the untouched task",
        "R4": "cannot work: exit status 127 on the untouched task: /bin/sh: 1: pytset: not found",
    }.items():
        found.stdout.fnmatch_lines([f"*item {id} {why}*"])
    assert not toy.executions
    assert read(toy.path(RUN) / "error.json")["kind"] == "rubric"
    programs = pytester.mkdir("programs")
    toy.write("task/expected/rubric.yaml", items({"R1": CANNOT["R1"], "R4": CANNOT["R4"]}))
    toy.run(*IN_PROCESS).assert_outcomes(errors=2)
    (programs / "pytset").write_text("#!/bin/sh\ntest -f answer.txt\n")
    (programs / "pytset").chmod(0o755)
    toy.run(*IN_PROCESS, env={"PATH": f"{programs}:/usr/bin:/bin"}).assert_outcomes(passed=2)


def test_a_step_of_the_pipeline_that_cannot_work_is_one_as_well(pytester: pytest.Pytester) -> None:
    steps = [
        {"name": "gone", "run": "no-such-linter ."},
        {"name": "build", "run": "cd . && no-such-builder"},
        {"name": "slow", "run": "sleep 600", "timeout": 0.5},
        {"name": "own", "run": "./build.sh"},
    ]
    toy = Experiment(pytester, pipeline=steps)
    found = toy.run(*IN_PROCESS)
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(
        [
            "*experiment.yaml: pipeline: step build needs no-such-builder, not found; "
            "step slow does not end in time on the untouched task",
        ]
    )
    assert not toy.executions
    toy.configure(pipeline=[steps[0], steps[3]])
    toy.run(*IN_PROCESS).assert_outcomes(passed=1)


FORGED = '#!/bin/sh\\necho "/bin/sh: 1: pytest: not found" >&2\\nexit'


@pytest.mark.parametrize("there", [True, False], ids=["task's own", "agent's"])
def test_the_work_turns_no_failed_check_into_an_error(
    pytester: pytest.Pytester, there: bool
) -> None:
    """Nor does a task whose own program is to be made, or mended."""
    commands = {"R1": "./run.sh", "R2": "sh lib/own.sh", "R3": "bash other.sh", "R4": "./run.sh -q"}
    writes = (
        f"printf '{FORGED} 127\\n' > run.sh; printf '{FORGED} 126\\n' > other.sh; chmod +x *.sh"
    )
    toy = Experiment(
        pytester, agent=f"{writes}; mkdir -p lib; cp run.sh lib/own.sh", rubric=items(commands)
    )
    if there:
        toy.write("task/files/run.sh", "#!/bin/sh\npytset -q\n").chmod(0o755)
        toy.write("task/files/lib/own.sh", "cd .\npytset\n")
    found = toy.run(*IN_PROCESS)
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(["  -1 work.R1: exit status 127: /bin/sh: 1: pytest: not found"])
    assert toy.verdicts() == {RUN: 0.0}


@MODES
def test_checks_are_tried_once_and_what_they_give_away_is_told_before_an_agent_starts(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    log = pytester.path / "tried.log"
    tried = f"test -f answer.txt || echo x >> {log}; test -f answer.txt"
    commands = {
        "R1": "test -f hello.txt",
        "R2": tried,
        "R3": "grep -q hello hello.txt",
        "R4": "false",
    }
    toy = Experiment(pytester, agent=WORKS, rubric=items(commands), runs=3)
    given = "scylla: toy: the untouched task already scores 0.500: items R1, R3"
    found = toy.run(*mode)
    found.assert_outcomes(passed=3)
    lines = found.outlines
    assert lines.count(given) == 1
    assert lines.index(given) < next(n for n, line in enumerate(lines) if line.startswith(RUN))
    found.stdout.fnmatch_lines(["*= scylla: toy =*", "the untouched task already scores 0.500: *"])
    report = (toy.results / "report.md").read_text()
    assert "Note: the untouched task already scores 0.500: items R1, R3." in report
    stored = toy.results / "checks_baseline.json"
    before = snapshot(stored)
    assert given not in toy.run(*mode).outlines
    toy.configure(runs=4)
    more = toy.run(*mode)
    more.assert_outcomes(passed=4)
    assert more.outlines.count(given) == 1
    assert (snapshot(stored), log.read_text()) == (before, "x\n")
    toy.write("task/expected/rubric.yaml", items({"R2": tried}))
    toy.configure(runs=5)
    assert "the untouched task" not in toy.run(*mode).stdout.str()
    assert log.read_text() == "x\nx\n"
    assert toy.executions == once_each(*(f"T0/00-empty/run_0{n}" for n in range(1, 6)))


def test_a_dry_run_that_an_agent_forges_is_not_believed(pytester: pytest.Pytester) -> None:
    forges = 'sed -i \'s/"score": 0.0/"score": 1.0/\' ../../../../checks_baseline.json'
    toy = Experiment(pytester, agent=f"{WORKS}; {forges}", runs=2)
    toy.run(*IN_PROCESS).assert_outcomes(passed=2)
    assert Path(toy.results / "checks_baseline.json").exists()
    assert set(toy.verdicts().values()) == {1.0}
