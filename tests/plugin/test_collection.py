"""Node ids, and everything that selects by them."""

from typing import Any

import pytest

from tests.support.experiments import (
    IN_PROCESS,
    MODES,
    TWO_WORKERS,
    Experiment,
    claude_md,
    once_each,
    run_pytest,
)

TIERS: dict[str, Any] = {
    "T0": {"00-empty": {}, "01-rules": claude_md("B01")},
    "T5": {"00-best": {"inherit_best_from": ["T0"]}},
}
EMPTY = {"T0/00-empty/run_01", "T0/00-empty/run_02"}
RULES = {"T0/01-rules/run_01", "T0/01-rules/run_02"}
BEST = {"T5/00-best/run_01", "T5/00-best/run_02"}
ALL = EMPTY | RULES | BEST


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    return Experiment(pytester, tiers=TIERS, runs=2)


def collected(toy: Experiment, *args: str) -> set[str]:
    """The node ids that a session would run."""
    result = run_pytest(toy.pytester, *args, "--collect-only", "-q")
    return {line for line in result.outlines if line.startswith(toy.file)}


def nodes(toy: Experiment, places: set[str]) -> set[str]:
    return {toy.node(place) for place in places}


@MODES
def test_a_node_id_is_the_path_of_the_results(toy: Experiment, mode: tuple[str, ...]) -> None:
    expected = nodes(toy, ALL)
    assert collected(toy, "experiments") == expected
    toy.run(*mode).assert_outcomes(passed=6)
    made = {str(p.relative_to(toy.results)) for p in toy.results.glob("T*/*/run_*")}
    assert nodes(toy, made) == expected
    for node in expected:
        assert node.isascii()
        assert not {"[", "]"} & set(node)


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("", ALL),
        ("::T5", BEST),
        ("::T0", EMPTY | RULES),
        ("::T0::00-empty", EMPTY),
        ("::T0::01-rules::run_02", {"T0/01-rules/run_02"}),
    ],
)
def test_a_part_of_a_node_id_selects_what_is_below_it(
    toy: Experiment, suffix: str, expected: set[str]
) -> None:
    assert collected(toy, toy.file + suffix) == nodes(toy, expected)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("-k", "run_01", {run for run in ALL if run.endswith("run_01")}),
        ("-k", "T0 and not rules", EMPTY),
        ("-m", "tier_T5", BEST),
        ("-m", "not inherits", EMPTY | RULES),
        ("-m", "agent_command and tier_T0", EMPTY | RULES),
        ("--deselect", "experiments/toy/experiment.yaml::T0", BEST),
        ("--deselect", "experiments/toy/experiment.yaml::T5::00-best::run_02",
         ALL - {"T5/00-best/run_02"}),
    ],
)  # fmt: skip
def test_pytests_own_options_select_runs(
    toy: Experiment, option: str, value: str, expected: set[str]
) -> None:
    assert collected(toy, "experiments", option, value) == nodes(toy, expected)


@pytest.mark.parametrize("mode", [IN_PROCESS, TWO_WORKERS], ids=["n0", "n2"])
def test_only_what_is_selected_is_executed(toy: Experiment, mode: tuple[str, ...]) -> None:
    toy.run(*mode, "-m", "not inherits", "-k", "run_01").assert_outcomes(passed=2)
    assert toy.executions == once_each("T0/00-empty/run_01", "T0/01-rules/run_01")


def test_a_run_carries_what_it_is_in_its_marker(toy: Experiment) -> None:
    toy.pytester.makeconftest(
        """
        def pytest_collection_modifyitems(items):
            for item in items:
                print("MARK", item.get_closest_marker("scylla").kwargs)
        """
    )
    toy.run("--collect-only", "-s", "-k", "best and run_02").stdout.fnmatch_lines(
        ["MARK {'experiment': 'toy', 'tier': 'T5', 'subtest': '00-best', 'run': 2}"]
    )


@pytest.mark.parametrize("mode", [IN_PROCESS, TWO_WORKERS], ids=["n0", "n2"])
def test_collecting_writes_no_results(toy: Experiment, mode: tuple[str, ...]) -> None:
    assert toy.run(*mode, "--collect-only").ret == 0
    assert not (toy.pytester.path / "results").exists()
    assert not toy.executions


def test_the_setup_plan_shows_the_pipeline_and_executes_nothing(toy: Experiment) -> None:
    result = toy.run("--setup-plan", "-k", "T0 and empty and run_01")
    stages = ["run", "workspace", "agent_result", "pipeline_result", "judgments", "verdict"]
    result.stdout.fnmatch_lines([f"*SETUP    F {stage}*" for stage in stages])
    assert not (toy.pytester.path / "results").exists()
    assert not toy.executions


def test_a_setup_plan_leaves_nothing_for_the_last_failed_option(toy: Experiment) -> None:
    toy.run("--setup-plan")
    result = run_pytest(toy.pytester, "--lf", "--collect-only")
    result.stdout.no_fnmatch_line("*rerun previous*")


@MODES
def test_runs_and_ordinary_tests_share_a_session(toy: Experiment, mode: tuple[str, ...]) -> None:
    names = "\n".join(f"def test_{number}(): pass" for number in range(20))
    toy.pytester.makepyfile(test_ordinary=names)
    run_pytest(toy.pytester, *mode).assert_outcomes(passed=26)
    assert toy.executions == once_each(*ALL)
