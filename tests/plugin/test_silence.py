"""Where there is no experiment, there is no plugin: nothing said, written or loaded."""

import sys

import pytest

from tests.support.experiments import MODES, Experiment, run_pytest

HEAVY = {"anthropic", "filelock", "git", "pydantic", "yaml"}

FOREIGN = """\
# @package _global_
defaults:
  - override /model: resnet
task_name: train
trainer: {max_epochs: 10}
"""


@pytest.fixture
def ordinary(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with one test, and a check of what each of its processes has loaded."""
    pytester.makeini("[pytest]\n")
    pytester.makepyfile(test_ordinary="def test_it():\n    pass\n")
    pytester.makeconftest(
        f"""
        import sys

        def pytest_unconfigure():
            loaded = {HEAVY} & sys.modules.keys()
            assert not loaded, f"loaded: {{loaded}}"
        """
    )
    return pytester


def files(pytester: pytest.Pytester) -> set[str]:
    return {path.name for path in pytester.path.iterdir()}


@MODES
def test_without_an_experiment_nothing_is_said_written_or_loaded(
    ordinary: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    before = files(ordinary)
    result = run_pytest(ordinary, *mode, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    said = [line for line in result.outlines if not line.startswith(("plugins:", "rootdir:"))]
    assert "scylla" not in "\n".join([*said, *result.errlines])
    assert "loaded:" not in result.stderr.str()
    assert files(ordinary) - {"__pycache__", "stdout", "stderr"} == before


@MODES
def test_another_programs_experiment_yaml_is_left_alone(
    ordinary: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    (ordinary.mkdir("conf") / "experiment.yaml").write_text(FOREIGN)
    result = run_pytest(ordinary, *mode)
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert "loaded:" not in result.stderr.str()


def test_the_plugin_can_be_switched_off_by_its_name(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    pytester.makepyfile(test_ordinary="def test_it():\n    pass\n")
    result = pytester.run(sys.executable, "-m", "pytest", "-p", "no:scylla")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert not toy.executions
    assert not (pytester.path / "results").exists()


def test_an_installed_plugin_needs_no_option_to_be_there(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    result = pytester.run(sys.executable, "-m", "pytest", "experiments", "-n", "2")
    result.assert_outcomes(passed=1)
    assert toy.executions.total() == 1


@MODES
def test_every_marker_of_a_run_is_registered(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    inheriting = {"inherit_best_from": ["Tx"]}
    tiers = {"Tx": {"00-a": {"frontier": True}}, "T9": {"01": inheriting}}
    toy = Experiment(pytester, tiers=tiers)
    result = toy.run(*mode, "--strict-markers", "--strict-config", "-m", "tier_Tx or inherits")
    result.assert_outcomes(xpassed=1, passed=1)


def test_the_help_has_a_group_of_our_options(pytester: pytest.Pytester) -> None:
    said = run_pytest(pytester, "--help").stdout
    said.fnmatch_lines(
        ["*(pytest-scylla):", "*--scylla-results*DIR*", "*--scylla-fresh*", "*scylla_results*"]
    )


def test_the_list_of_markers_has_ours(pytester: pytest.Pytester) -> None:
    said = run_pytest(pytester, "--markers").stdout
    for name in [*(f"tier_T{number}" for number in range(7)), "inherits"]:
        said.fnmatch_lines([f"@pytest.mark.{name}: *"])
    said.fnmatch_lines(["@pytest.mark.scylla(*)*"])
