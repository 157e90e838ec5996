"""What an edited input affects is done again, exactly that, and the rest is replayed."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.experiments import (
    MODES,
    WORKS,
    Experiment,
    check,
    claude_md,
    once_each,
    read,
    rubric,
)

TIERS: dict[str, Any] = {
    "T0": {
        "00-blocks": claude_md("B01"),
        "01-skills": {"skills": {"categories": ["testing"]}},
    },
    "T5": {"00-heir": {"inherit_best_from": ["T0"]}},
}
BLOCKS, SKILLS, HEIR = "T0/00-blocks/run_01", "T0/01-skills/run_01", "T5/00-heir/run_01"
ALL = {BLOCKS, SKILLS, HEIR}

AGENT = f"""
touch ran.txt
case $run in *blocks*|*heir*) cat > asked.txt; {WORKS} ;; esac
"""


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """T0 is won by the subtest with blocks, so T5 inherits these; judging is counted as well."""
    toy = Experiment(pytester, agent=AGENT, tiers=TIERS)
    toy.write("lib/words.txt", "a word\n")
    toy.write("notes.txt", "nothing reads this\n")
    toy.configure(agent={**toy.settings["agent"], "inputs": ["lib/*.txt"]})
    toy.write("tiers/skills/testing/example/SKILL.md", "Test.\n")
    toy.write("task/expected/check.sh", "test -f answer.txt\n")
    toy.write("task/expected/rubric.yaml", counting_rubric(toy))
    toy.run().assert_outcomes(passed=2, failed=1)
    assert (judged(toy), toy.executions) == (3, once_each(*ALL))
    return toy


def counting_rubric(toy: Experiment, **options: Any) -> dict[str, Any]:
    log = toy.pytester.path / "judged.log"
    counted = f"test ! -f ran.txt || echo x >> {log}"  # not on the untouched task
    run = f'{counted}; sh "$SCYLLA_TASK/expected/check.sh"'
    return rubric(check(run), **options)


def judged(toy: Experiment) -> int:
    return len((toy.pytester.path / "judged.log").read_text().splitlines())


def edit(name: str, text: str) -> Callable[[Experiment], object]:
    return lambda toy: toy.write(name, text)


def setting(**changes: Any) -> Callable[[Experiment], object]:
    return lambda toy: toy.configure(**changes)


def agent_option(**options: Any) -> Callable[[Experiment], object]:
    return lambda toy: toy.configure(agent={**toy.settings["agent"], **options})


def edit_agent(toy: Experiment) -> None:
    toy.write_agent(AGENT + "echo new >> answer.txt\n")


EDITS: list[tuple[str, Callable[[Experiment], object], set[str], set[str]]] = [
    # what is edited, how, which agents work again, which runs are judged again
    ("a block", edit("tiers/blocks/B01-text.md", "new\n"), {BLOCKS, HEIR}, {BLOCKS, HEIR}),
    ("a skill", edit("tiers/skills/testing/example/SKILL.md", "new\n"), {SKILLS}, {SKILLS}),
    ("the prompt", edit("task/prompt.md", "Do it.\n"), ALL, ALL),
    ("the task's files", edit("task/files/hello.txt", "hi\n"), ALL, ALL),
    ("an option of the agent", agent_option(env={"X": "1"}), ALL, ALL),
    ("the agent's program", edit_agent, ALL, ALL),
    ("a file that it reads", edit("lib/words.txt", "new\n"), ALL, ALL),
    ("a file that nothing reads", edit("notes.txt", "new\n"), set(), set()),
    ("a check", edit("task/expected/check.sh", "test -f answer.txt # new\n"), set(), ALL),
    ("the rubric", lambda toy: toy.write("task/expected/rubric.yaml",
     counting_rubric(toy, threshold=0.7)), set(), ALL),
    ("the agent's time limit", agent_option(timeout=100), set(), set()),
    ("words for people", setting(description="a toy"), set(), set()),
    ("another subtest", edit("tiers/subtests/t0/02-new.yaml", "frontier: true\n"),
     {"T0/02-new/run_01"}, {"T0/02-new/run_01"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "executed", "rejudged"), [e[1:] for e in EDITS], ids=[e[0] for e in EDITS]
)
def test_an_edit_repeats_what_it_affects_and_only_once(
    toy: Experiment,
    change: Callable[[Experiment], object],
    executed: set[str],
    rejudged: set[str],
) -> None:
    change(toy)
    toy.run()
    assert toy.executions - once_each(*ALL) == once_each(*executed)
    assert judged(toy) - 3 == len(rejudged)
    assert toy.verdicts().keys() == ALL | executed
    for run in executed & ALL:
        assert (toy.path(run) / "attempts/attempt_01/run_result.json").exists()
    toy.run()
    assert toy.executions == once_each(*ALL) + once_each(*executed)
    assert judged(toy) - 3 == len(rejudged)


@MODES
def test_who_inherits_follows_the_edit_in_the_same_session(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.write("tiers/blocks/B01-text.md", "new\n")
    toy.run(*mode).assert_outcomes(passed=2, failed=1)
    assert toy.executions == once_each(*ALL, BLOCKS, HEIR)
    assert (toy.path(HEIR) / "workspace/CLAUDE.md").read_text() == "new\n"


def test_more_runs_are_added_to_those_that_are_there(toy: Experiment) -> None:
    toy.configure(runs=2)
    toy.run().assert_outcomes(passed=4, failed=2)
    more = {run.replace("run_01", "run_02") for run in ALL}
    assert toy.executions == once_each(*ALL, *more)
    toy.configure(runs=1)
    toy.run().assert_outcomes(passed=2, failed=1)
    assert toy.executions == once_each(*ALL, *more)


def test_the_newest_inputs_count_in_the_reports(toy: Experiment) -> None:
    assert read(toy.path("T0/report.json"))["summary"]["passed"] == 1
    toy.write("task/expected/check.sh", "grep -q again asked.txt\n")
    toy.write("task/prompt.md", "Once again.\n")
    toy.run().assert_outcomes(passed=2, failed=1)
    assert read(toy.path("T0/report.json"))["summary"]["passed"] == 1
    toy.write("task/prompt.md", "Never more.\n")
    toy.run().assert_outcomes(failed=3)
    summary = read(toy.path("report.json"))["summary"]
    assert (summary["total_runs"], summary["passed"], summary["mean_score"]) == (3, 0, 0.0)


JUDGE = """
import json
print(json.dumps({"items": {"Q1": {"achieved": 1, "reason": "r"}}, "reasoning": "r",
                  "score": 1, "passed": True}))
"""
RUN = "T0/00-empty/run_01"


def test_a_judges_program_that_is_edited_judges_again_and_runs_no_agent(
    pytester: pytest.Pytester,
) -> None:
    """Neither does a result from before programs were covered, as long as nothing is edited."""
    words = ["{python}", "{experiment}/judge.py"]
    judges = [{"adapter": "command", "command": words, "paid": False}]
    quality = {"id": "Q1", "check": "good", "points": 2}
    toy = Experiment(pytester, judges=judges, rubric=rubric(quality, threshold=0.4))
    toy.write("judge.py", JUDGE)
    toy.run().assert_outcomes(passed=1)
    assert toy.verdicts() == {RUN: 0.5}
    judgment = toy.path(RUN) / "judge/judge_01/judgment.json"
    assert "file judge.py" in read(judgment)["inputs"]
    for path in (judgment, toy.path(RUN) / "run_result.json", toy.path(RUN) / "agent/result.json"):
        path.write_text(
            re.sub(r'"file \S+": "\w+",?\s*', "", path.read_text()).replace(",\n  }", "}")
        )
    assert "file " not in judgment.read_text()
    toy.run("--scylla-status", "stale").assert_outcomes()
    toy.run("--scylla-judge-status", "failed").assert_outcomes()
    toy.run("--scylla-from", "judge").assert_outcomes(passed=1)
    toy.write("judge.py", JUDGE.replace('"achieved": 1', '"achieved": 2'))
    shown = toy.run("--scylla-explain")
    shown.stdout.fnmatch_lines(["*judge_01 * again * changed: file judge.py"])
    toy.run().assert_outcomes(passed=1)
    assert (toy.verdicts(), toy.executions) == ({RUN: 1.0}, once_each(RUN))


def test_a_file_that_the_agent_writes_itself_makes_no_run_stale(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, agent=f'{WORKS}; echo "$run" >> "$1"', runs=2)
    toy.write("agent.log", "")
    words = [*toy.settings["agent"]["command"], "{experiment}/agent.log"]
    toy.configure(agent={**toy.settings["agent"], "command": words})
    toy.run().assert_outcomes(passed=2)
    assert "file agent.sh" in read(toy.path(RUN) / "agent/result.json")["inputs"]
    toy.run("--scylla-status", "stale").assert_outcomes()


def test_inputs_that_match_nothing_are_an_input_error(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    toy.configure(agent={**toy.settings["agent"], "inputs": ["agent.sh", "promts/*.md"]})
    found = toy.run()
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*experiment.yaml: agent.inputs: nothing matches 'promts/[*].md'*"])


VERSIONED = """
from pathlib import Path
from pytest_scylla.agents.command import Command
from pytest_scylla.errors import RunError

PROGRAM = Path(__file__).parent / "program"

class Versioned(Command):
    @property
    def told_version(self):
        if not PROGRAM.exists():
            raise RunError.of("no_cli", "there is no program")
        return PROGRAM.read_text()

def pytest_scylla_agents():
    return {"versioned": Versioned}
"""


def test_another_version_of_the_agents_program_is_another_agent(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    toy.write("conftest.py", VERSIONED)
    toy.configure(agent={**toy.settings["agent"], "adapter": "versioned"})
    toy.write("program", "1.0")
    toy.run().assert_outcomes(passed=1)
    toy.run().assert_outcomes(passed=1)
    (toy.directory / "program").unlink()
    toy.run().assert_outcomes(passed=1)
    assert toy.executions == once_each("T0/00-empty/run_01"), "what is there needs no program"
    toy.write("program", "1.1")
    toy.run("--scylla-explain").stdout.fnmatch_lines(["*agent * again * changed: version"])
    toy.run().assert_outcomes(passed=1)
    assert toy.executions == {"T0/00-empty/run_01": 2}
