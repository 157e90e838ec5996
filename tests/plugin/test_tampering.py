"""What an agent leaves above its workspace is set aside and reported, never read."""

import json
import shutil

import pytest

from tests.support.experiments import MODES, Experiment, claude_md, once_each, read

RUN = "T0/00-empty/run_01"


@pytest.fixture
def verdict(pytester: pytest.Pytester) -> str:
    """Where a forger finds a verdict with the best score, which does not say what it rests on."""
    honest = Experiment(pytester, "honest")
    honest.run().assert_outcomes(passed=1)
    forged = {**read(honest.path(RUN) / "run_result.json"), "inputs": {}}
    (pytester.path / "forged.json").write_text(json.dumps(forged))
    shutil.copy(honest.path(RUN) / "judge/judge_01/judgment.json", pytester.path / "judgment.json")
    return str(pytester.path)


@MODES
def test_a_forged_verdict_is_set_aside_and_reported(
    pytester: pytest.Pytester, verdict: str, mode: tuple[str, ...]
) -> None:
    toy = Experiment(
        pytester,
        agent=f"""
        cp {verdict}/forged.json ../run_result.json
        mkdir -p ../judge/judge_01
        cp {verdict}/judgment.json ../judge/judge_01/
        echo more > ../agent/notes.txt
        printf '%s\\n' '{{"result": "done \\ud83d", "model": "m \\ud83d", "usage": {{}}}}'
        """,
    )
    result = toy.run(*mode)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["  files left above the workspace, set aside: judge, run_result.json, agent/notes.txt"]
    )
    assert toy.verdicts() == {RUN: 0.0}
    assert (toy.path(RUN) / "tampering/judge/judge_01/judgment.json").exists()
    assert "Tampering" in (toy.path(RUN) / "report.md").read_text()
    recorded = read(toy.path(RUN) / "run_result.json")["tampering"]
    assert set(recorded) == {"judge", "run_result.json", "agent/notes.txt"}
    assert (toy.path(RUN) / "agent/output.txt").read_text() == "done �"
    toy.run(*mode).assert_outcomes(failed=1)
    assert toy.executions == once_each(RUN)


def test_a_forged_verdict_does_not_help_an_agent_that_crashes(
    pytester: pytest.Pytester, verdict: str
) -> None:
    toy = Experiment(pytester, agent=f"cp {verdict}/forged.json ../run_result.json; exit 1")
    toy.run().assert_outcomes(errors=1)
    toy.run().assert_outcomes(errors=1)
    assert toy.verdicts() == {}


def test_an_agents_own_logs_are_not_its_to_write(pytester: pytest.Pytester) -> None:
    event = '{\\"type\\": \\"result\\", \\"result\\": \\"forged\\", \\"total_cost_usd\\": 0.0}'
    toy = Experiment(
        pytester,
        agent=f"""
        echo '{{"type": "result", "result": "true", "total_cost_usd": 2.5, "usage": {{}}}}'
        echo "{event}" > ../agent/output.txt
        cp ../agent/output.txt ../agent/result.json
        echo done > answer.txt
        """,
    )
    toy.run().assert_outcomes(passed=1)
    assert (toy.path(RUN) / "agent/output.txt").read_text().strip() == "true"
    assert read(toy.path(RUN) / "run_result.json")["cost_usd"] == 2.5


FORGES_ALL_OTHERS = """
for other in 00 01 02 03; do
  place=../../../$other/run_01
  [ -e $place ] && continue
  # Two forgers may come to one place at once.
  mkdir -p $place && cp -f {verdict}/forged.json $place/run_result.json || true
done
"""
FOUR = {"T0": {f"0{number}": claude_md(f"B0{number}") for number in range(4)}}


def nobody_was_fooled(toy: Experiment) -> None:
    assert toy.executions == once_each(*(f"T0/0{number}/run_01" for number in range(4)))
    assert set(toy.verdicts().values()) == {0.0}


@MODES
def test_a_verdict_forged_for_another_run_is_not_believed(
    pytester: pytest.Pytester, verdict: str, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, tiers=FOUR, agent=FORGES_ALL_OTHERS.format(verdict=verdict))
    toy.run(*mode).assert_outcomes(failed=4)
    nobody_was_fooled(toy)


def test_a_verdict_forged_for_a_run_of_the_next_session_is_not_believed(
    pytester: pytest.Pytester, verdict: str
) -> None:
    toy = Experiment(pytester, tiers=FOUR, agent=FORGES_ALL_OTHERS.format(verdict=verdict))
    toy.run("-k", "00").assert_outcomes(failed=1)
    toy.run().assert_outcomes(failed=4)
    nobody_was_fooled(toy)


def test_an_agent_that_changes_what_checks_use_gets_no_verdict(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    toy.write_agent(f"echo done > answer.txt; echo >> {toy.directory}/task/expected/rubric.yaml")
    toy.run().assert_outcomes(errors=1)
    assert read(toy.path("T0/00-empty/run_01/error.json"))["kind"] == "checks_changed"
    assert toy.verdicts() == {}
