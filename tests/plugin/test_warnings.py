"""What deserves a look but stops nothing, and resources that the library lacks."""

import re
from typing import Any

import pytest

from tests.support.experiments import MODES, Experiment, check, claude_md, rubric, run_pytest


@MODES
def test_each_doubt_is_a_warning_once(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    tiers: dict[str, Any] = {
        "T0": {
            "00-a": claude_md("B01"),
            "01-b": claude_md("B02"),
            "02-c": claude_md("B02"),
        }
    }
    odd = rubric(check(), check(id="R2"))
    odd["categories"]["work"] |= {"weight": 0.7, "zzz": 1}
    del odd["categories"]["work"]["items"][1]["run"]
    toy = Experiment(pytester, tiers=tiers, rubric=odd)
    task = {"id": "t", "source": {"repo": "files", "xyz": "x"}, "tiers": ["T0", "T7"], "extra": 1}
    toy.write("task/test.yaml", task)
    result = toy.run(*mode)
    result.assert_outcomes(passed=3, warnings=7)
    for line in (
        "*ScyllaWarning: *test.yaml: extra: unknown key, ignored",
        "*ScyllaWarning: *test.yaml: source.xyz: unknown key, ignored",
        "*ScyllaWarning: *rubric.yaml: categories.work.zzz: unknown key, ignored",
        "*ScyllaWarning: *rubric.yaml: categories: the weights add up to 0.7, not 1*",
        "*ScyllaWarning: *rubric.yaml: no judge grades R2: without `run:` *",
        "*ScyllaWarning: *test.yaml: tiers: T7 is left out: *subtests/t7/*",
        "*ScyllaWarning: *configuration of T0/01-b and T0/02-c is the same*",
    ):
        result.stdout.fnmatch_lines([line])


def test_a_clean_experiment_has_no_warning(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    doubtful = Experiment(pytester, "doubtful")
    doubtful.write("task/config.yaml", {"owner": 5})
    arguments = (toy.file, doubtful.file, "-W", "error", "--continue-on-collection-errors")
    result = run_pytest(pytester, *arguments)
    result.assert_outcomes(passed=1, warnings=0, errors=1)
    result.stdout.fnmatch_lines(["*config.yaml: owner: unknown key, ignored"])
    assert "collection.py" not in result.stdout.str()


LACKING: list[tuple[dict[str, Any], str]] = [
    (claude_md("B77"), "block 'B77'"),
    ({"resources": {"skills": {"categories": ["magic"]}}}, "skill category 'magic'"),
    ({"skills": {"names": ["levitate"]}}, "skill 'levitate'"),
    ({"agents": {"levels": [4]}}, "agents of level 4"),
    ({"agents": {"names": ["boss"]}}, "agent 'boss'"),
    ({"mcp_servers": ["git"]}, "MCP server 'git'"),
]


MEANINGLESS: list[tuple[dict[str, Any], str]] = [
    ({"claude_md": {"block": ["B01"]}}, "claude_md.block (did you mean `blocks`?)"),
    ({"resource": {"claude_md": {"blocks": ["B01"]}}}, "resource (did you mean `resources`?)"),
    ({"resources": {"hooks": {"Stop": []}}}, "resources.hooks (unknown key)"),
    ({"commands": ["review"]}, "commands (unknown key)"),
]


@MODES
def test_what_a_set_up_asks_for_and_does_not_get_is_an_error_of_those_runs(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    poor = [*LACKING, *MEANINGLESS]
    subtests = {f"{n:02d}-poor": subtest for n, (subtest, _) in enumerate(poor, 1)}
    toy = Experiment(pytester, tiers={"T0": {"00-empty": {}, **subtests}}, paid=True)
    for block in (toy.directory / "tiers").glob("blocks/*"):
        block.unlink()
    result = toy.run(*mode)
    result.assert_outcomes(passed=1, errors=len(poor), warnings=len(poor))
    text = result.stdout.str()
    for number, (_, what) in enumerate(LACKING, 1):
        assert re.search(rf"ScyllaWarning: .*no {re.escape(what)}.*T0/{number:02d}-poor", text)
        assert re.search(rf"{number:02d}-poor.yaml: the library.*has no {re.escape(what)}", text)
    for number, (_, what) in enumerate(MEANINGLESS, len(LACKING) + 1):
        line = rf"{number:02d}-poor.yaml: unknown: {re.escape(what)}"
        assert re.search(f"ScyllaWarning: .*{line}", text)
        assert len(re.findall(line, text)) >= 2, "a warning, and an ERROR"
    assert "Traceback" not in text
    assert [*toy.verdicts()] == [*toy.executions] == ["T0/00-empty/run_01"]


@MODES
def test_a_repaired_library_ends_the_error(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    tiers = {"T0": {"00-plain": claude_md("B01"), "01-poor": claude_md("B02")}}
    toy = Experiment(pytester, tiers=tiers)
    block = toy.directory / "tiers/blocks/B02-text.md"
    block.rename(block.with_name("B99-text.md"))
    toy.run(*mode).assert_outcomes(passed=1, errors=1, warnings=1)
    block.with_name("B99-text.md").rename(block)
    toy.run(*mode).assert_outcomes(passed=2)
    assert [*toy.executions.values()] == [1, 1]
