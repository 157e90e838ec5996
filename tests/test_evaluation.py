"""An experiment in one session: what is best, what is inherited, what a verdict rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.agents.command import Command
from pytest_scylla.errors import NotRun, RunError
from pytest_scylla.evaluation import (
    CLOSE,
    Cell,
    Evaluation,
    Run,
    best_cell,
    counted_result,
    selected_tiers,
)
from pytest_scylla.experiment import load_experiment
from pytest_scylla.judges.rubric_checks import RubricChecks
from pytest_scylla.store import RunDir, read_json
from pytest_scylla.tiers import Subtest, load_library
from tests.support.examples import (
    law,
    make_result,
    write_experiment,
    write_files,
    write_library,
    write_result,
    write_task,
    write_yaml,
)

# -- the best subtest ------------------------------------------------------------------------------


def cell(name: str, *scores: float, tokens: int = 0) -> Cell:
    return Cell("T0", name, tuple(make_result(score, tokens) for score in scores))


def best(*cells: Cell) -> str | None:
    found = best_cell(cells)
    return found.subtest if found else None


def test_the_highest_median_wins_and_not_the_highest_mean() -> None:
    assert best(cell("steady", 0.6, 0.6, 0.6), cell("lucky", 0.5, 0.5, 1.0)) == "steady"


def test_of_two_that_are_close_the_one_with_fewer_tokens_wins() -> None:
    assert best(cell("dear", 0.9, tokens=200), cell("cheap", 0.85, tokens=100)) == "cheap"
    assert best(cell("dear", 0.9, tokens=200), cell("cheap", 0.84, tokens=100)) == "dear"


def test_of_two_that_are_close_and_as_cheap_the_lower_id_wins() -> None:
    assert best(cell("02", 0.9), cell("01", 0.88)) == "01"


def test_a_third_that_is_close_does_not_take_part_in_the_tie() -> None:
    third = cell("third", 0.82, tokens=1)
    assert best(cell("a", 0.9, tokens=300), cell("b", 0.87, tokens=200), third) == "b"


def test_a_subtest_without_a_verdict_does_not_take_part() -> None:
    assert best(cell("01"), cell("02", 0.0)) == "02"
    assert best(cell("01"), cell("02")) is None
    assert best() is None


twentieths = st.integers(0, 20).map(lambda n: n / 20)


@st.composite
def tiers(draw: st.DrawFn) -> list[Cell]:
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5))
    scores = st.lists(twentieths, max_size=3)
    return [cell(name, *draw(scores), tokens=draw(st.integers(0, 3))) for name in names]


@law
@given(tiers(), st.data())
def test_the_best_does_not_depend_on_the_order_and_is_within_reach_of_the_highest(
    cells: list[Cell], data: st.DataObject
) -> None:
    judged = [one for one in cells if one.results]
    found = best_cell(cells)
    assert (found is None) == (not judged)
    if found:
        assert best_cell(data.draw(st.permutations(cells))) == found
        assert max(one.median for one in judged) - found.median <= CLOSE + 1e-9


# -- the attempt that counts -----------------------------------------------------------------------


def run_dir(folder: Path, *attempts: dict[str, Any], newest: dict[str, Any] | None) -> RunDir:
    """A run directory with results of earlier attempts; {} is one that had no verdict."""
    run = RunDir(folder / "run_01")
    for number, values in enumerate(attempts, 1):
        place = run.attempts / f"attempt_{number:02d}"
        place.mkdir(parents=True)
        if values:
            write_result(place, **values)
    if newest:
        write_result(run.path, **newest)
    return run


def counted(run: RunDir) -> float | None:
    result = counted_result(run)
    return result.judge_score if result else None


def test_the_first_judged_attempt_counts_and_not_the_second_chance(tmp_path: Path) -> None:
    earlier: tuple[dict[str, Any], ...] = ({}, {"score": 0.1}, {"score": 0.5})
    assert counted(run_dir(tmp_path, *earlier, newest={"score": 0.9})) == 0.1


def test_a_run_without_earlier_verdicts_counts_itself(tmp_path: Path) -> None:
    assert counted(run_dir(tmp_path, {}, {}, newest={"score": 0.9})) == 0.9


def test_an_attempt_from_before_an_edit_does_not_count(tmp_path: Path) -> None:
    old = {"score": 0.1, "inputs": {"agent": {"prompt": "old"}}}
    new = {"inputs": {"agent": {"prompt": "new"}}}
    again = {**new, "score": 0.5}
    assert counted(run_dir(tmp_path, old, again, newest={**new, "score": 0.9})) == 0.5


def test_a_run_without_any_verdict_has_no_score(tmp_path: Path) -> None:
    assert counted(run_dir(tmp_path, {}, newest=None)) is None
    assert counted(RunDir(tmp_path / "missing")) is None


def test_a_broken_verdict_is_none(tmp_path: Path) -> None:
    run = run_dir(tmp_path, newest={"score": 0.9})
    text = run.run_result.read_text()
    run.run_result.write_text(text[: len(text) // 2])
    assert counted(run) is None


# -- an experiment's tiers and inheritance ---------------------------------------------------------

SUBTESTS: dict[str, dict[str, Any]] = {
    "T0/01-rules": {"claude_md": {"blocks": ["B01"]}},
    "T0/02-other": {"claude_md": {"blocks": ["B02"]}},
    "T1/01-skills": {"skills": {"names": ["naming"]}},
    "T2/01-lacking": {"skills": {"categories": ["cicd"]}},
    "T5/01-best": {"inherit_best_from": ["T0", "T1"], "tools": {"enabled": ["Read"]}},
}
PARTS: dict[str, str | bytes] = {
    "blocks/B01-rules.md": "Rules.",
    "blocks/B02-other.md": "Other.",
    "skills/quality/naming/SKILL.md": "Name it.",
}


def evaluate(folder: Path, **changes: Any) -> Evaluation:
    """An experiment in a session that begins now, with results in `folder`/results/now."""
    if not (folder / "tiers").exists():
        write_library(folder / "tiers", SUBTESTS, PARTS)
    experiment = load_experiment(write_experiment(folder, **changes))
    options = experiment.settings.agent.options
    return Evaluation(
        experiment=experiment,
        library=load_library(experiment.library),
        agent=Command.model_validate(options),
        judges=tuple(RubricChecks() for _ in experiment.settings.judges),
        results=folder / "results" / "now",
        started_at=0.0,
    )


def subtest(evaluation: Evaluation, name: str) -> Subtest:
    tier, id = name.split("/")
    return next(one for one in evaluation.subtests(tier) if one.id == id)


def finished(evaluation: Evaluation, name: str, scores: Iterable[float]) -> None:
    """A subtest whose runs have verdicts."""
    one = subtest(evaluation, name)
    evaluation.write_manifest(one, evaluation.setup(one))
    for number, score in enumerate(scores, 1):
        write_result(evaluation.results / name / f"run_{number:02d}", score)


def test_a_verdict_is_not_replayed_where_another_execution_was_cut_off(tmp_path: Path) -> None:
    evaluation = dataclasses.replace(evaluate(tmp_path), started_at=2.0**40)
    finished(evaluation, "T0/01-rules", [0.5])
    run = Run(evaluation, subtest(evaluation, "T0/01-rules"), 1)
    assert run.replayed is not None
    run.dir.agent.mkdir()
    run.dir.started.write_text("{}")
    assert dataclasses.replace(run).replayed is None


@pytest.mark.parametrize(
    ("select", "tiers", "expected"),
    [
        (["T5", "T0"], [], ("T0", "T5")),
        (None, ["T1", "T0"], ("T0", "T1")),
        (None, [], ("T0", "T1", "T2", "T5")),
        (["T2"], ["T0"], ("T2",)),
    ],
)
def test_tiers_are_compared_in_the_librarys_order(
    tmp_path: Path, select: list[str] | None, tiers: list[str], expected: tuple[str, ...]
) -> None:
    write_task(tmp_path / "task", {"tiers": tiers})
    evaluation = evaluate(tmp_path, select=select)
    assert evaluation.tiers == expected
    assert selected_tiers(evaluation.experiment, evaluation.library) == expected


def test_a_subtest_inherits_from_the_best_of_each_tier_it_names(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path)
    finished(evaluation, "T0/01-rules", [0.2, 0.3])
    finished(evaluation, "T0/02-other", [0.9, 0.8])
    finished(evaluation, "T1/01-skills", [0.0])
    setup = evaluation.setup(subtest(evaluation, "T5/01-best"))
    assert setup.inherited_from == {"T0": "02-other", "T1": "01-skills"}
    assert setup.files["CLAUDE.md"][0] == b"Other.\n"
    assert ".claude/skills/naming/SKILL.md" in setup.files
    assert setup.tools == ("Read",)


def test_a_tier_whose_verdicts_are_all_failed_is_still_a_parent(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path)
    for name in ("T0/01-rules", "T1/01-skills"):
        finished(evaluation, name, [0.0, 0.0])
    setup = evaluation.setup(subtest(evaluation, "T5/01-best"))
    assert setup.inherited_from == {"T0": "01-rules", "T1": "01-skills"}


def test_without_a_usable_parent_a_run_is_left_out_with_the_tier_that_lacks(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path)
    finished(evaluation, "T0/01-rules", [1.0])
    write_files(evaluation.results / "T1/01-skills/run_01", {"error.json": "{}"})
    with pytest.raises(NotRun, match=r"\bT1\b") as caught:
        evaluation.setup(subtest(evaluation, "T5/01-best"))
    assert "T0" not in str(caught.value)


def test_a_parent_that_gets_its_verdict_later_is_found_then(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path)
    finished(evaluation, "T0/01-rules", [1.0])
    with pytest.raises(NotRun):
        evaluation.setup(subtest(evaluation, "T5/01-best"))
    finished(evaluation, "T1/01-skills", [1.0])
    assert evaluation.setup(subtest(evaluation, "T5/01-best")).inherited_from


def test_the_best_is_found_once_for_all_workers_and_no_agent_can_say_it(tmp_path: Path) -> None:
    shared = {"choices": tmp_path / "choices", "secret": "of this session"}

    def worker(**others: Any) -> Evaluation:
        return dataclasses.replace(evaluate(tmp_path), **{**shared, **others}, _best={})

    first = worker()
    finished(first, "T0/01-rules", [0.5])
    assert first.best("T0") == "01-rules"
    finished(first, "T0/02-other", [1.0])
    assert worker().best("T0") == "01-rules"
    assert worker(results=tmp_path / "results" / "elsewhere").best("T0") is None
    forger = worker(secret="a guess", choices=tmp_path / "forged")
    assert forger.best("T0") == "02-other"
    [told] = (tmp_path / "forged").glob("*.json")
    (tmp_path / "choices" / told.name).write_bytes(told.read_bytes().replace(b"02-", b"01-"))
    assert worker().best("T0") == "02-other"


def test_what_a_child_inherits_is_what_its_parent_had_and_not_what_it_says_today(
    tmp_path: Path,
) -> None:
    evaluation = evaluate(tmp_path)
    finished(evaluation, "T0/01-rules", [1.0])
    finished(evaluation, "T1/01-skills", [1.0])
    edited = {"name": "edited", "claude_md": {"blocks": ["B02"]}}
    write_yaml(tmp_path / "tiers/subtests/t0/01-rules.yaml", edited)
    later = evaluate(tmp_path)
    setup = later.setup(subtest(later, "T5/01-best"))
    assert setup.files["CLAUDE.md"][0] == b"Rules.\n"


def test_a_library_that_lacks_something_is_an_error_of_those_runs(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path)
    with pytest.raises(RunError, match="skills/cicd/") as caught:
        evaluation.setup(subtest(evaluation, "T2/01-lacking"))
    assert caught.value.kind == "setup"
    assert "next: " in str(caught.value)


# -- what results rest on --------------------------------------------------------------------------


def inputs(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "task": evaluation.task_inputs,
        "judges": evaluation.judge_inputs,
        "verdict": evaluation.verdict_inputs,
    }


def test_the_same_experiment_rests_on_the_same_inputs_wherever_it_lies(tmp_path: Path) -> None:
    first, second = (inputs(evaluate(tmp_path / name)) for name in ("here", "there"))
    assert first == second


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"task/prompt.md": "Something else."}, "task"),
        ({"task/files/README.md": "Another task."}, "task"),
        ({"task/files/new": ""}, "task"),
        ({"task/expected/criteria.md": "Stricter."}, "judges"),
        ({"task/expected/checks/new.py": ""}, "judges"),
    ],
)
def test_an_edit_changes_the_inputs_of_what_depends_on_it_alone(
    tmp_path: Path, changed: dict[str, str], part: str
) -> None:
    before = inputs(evaluate(tmp_path))
    write_files(tmp_path, changed)
    after = inputs(evaluate(tmp_path))
    assert [name for name in before if before[name] != after[name]] == [part]


def test_criteria_that_do_not_lie_beside_the_rubric_are_an_input_of_judges_too(
    tmp_path: Path,
) -> None:
    place = {"criteria_file": "criteria.md", "rubric_file": "expected/rubric.yaml"}
    write_task(tmp_path / "task", {"validation": place})
    seen = []
    for text in ("Good work.", "Better work."):
        write_files(tmp_path, {"task/criteria.md": text})
        seen.append(inputs(evaluate(tmp_path)))
    before, after = seen
    assert [name for name in before if before[name] != after[name]] == ["judges"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"agent": {"adapter": "command", "command": ["false"]}}, "task"),
        ({"isolation": "bubblewrap"}, "task"),
        ({"pipeline": [{"name": "test", "run": "true"}]}, "judges"),
        ({"quorum": 1}, "verdict"),
        ({"consensus": "min"}, "verdict"),
        ({"scores": "own"}, "verdict"),
        ({"description": "other words"}, None),
        ({"runs": 9}, None),
    ],
)
def test_a_setting_changes_the_inputs_of_what_depends_on_it_alone(
    tmp_path: Path, change: dict[str, Any], part: str | None
) -> None:
    judges = [{"adapter": "rubric-checks"}] * 2
    before = inputs(evaluate(tmp_path, judges=judges))
    after = inputs(evaluate(tmp_path, judges=judges, **change))
    assert [name for name in before if before[name] != after[name]] == ([part] if part else [])


# -- what is written for the whole experiment ------------------------------------------------------


def test_the_results_directory_has_copies_of_what_was_asked(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path)
    evaluation.prepare()
    for copy, original in {
        "prompt.md": "prompt.md",
        "criteria.md": "expected/criteria.md",
        "rubric.yaml": "expected/rubric.yaml",
    }.items():
        assert (evaluation.results / copy).read_text() == (tmp_path / "task" / original).read_text()
    config = read_json(evaluation.results / "config" / "experiment.json")
    assert config is not None
    assert (config["experiment_id"], config["tiers_to_run"]) == ("example", ["T0", "T1"])


def test_to_prepare_again_rewrites_nothing(tmp_path: Path) -> None:
    evaluate(tmp_path).prepare()
    results = tmp_path / "results" / "now"
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    evaluate(tmp_path).prepare()
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_no_secret_of_an_agent_reaches_the_configuration(tmp_path: Path) -> None:
    env = {"MY_API_KEY": "sk-very-secret", "MODE": "fast"}
    agent = {"adapter": "command", "command": ["true"], "env": env}
    evaluation = evaluate(tmp_path, agent=agent)
    evaluation.prepare()
    text = (evaluation.results / "config" / "experiment.json").read_text()
    assert "sk-very-secret" not in text
    assert "fast" in text


def test_a_manifest_says_what_was_put_into_the_workspace(tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path)
    finished(evaluation, "T0/01-rules", [])
    manifest = read_json(evaluation.results / "T0" / "01-rules" / "config_manifest.json")
    assert manifest is not None
    assert manifest["resources"]["claude_md"] == {"blocks": ["B01"]}
    assert list(manifest["files"]) == ["CLAUDE.md"]
    assert manifest["inherited_from"] is None
    assert manifest["fixture_config_path"] == "subtests/t0/01-rules.yaml"


def test_the_judges_are_asked_about_every_item_of_the_rubric(tmp_path: Path) -> None:
    text = evaluate(tmp_path).template.text
    for part in (
        "Write hello.py.",
        "It says hello.",
        "F1 (1 points)",
        "`test -f f`",
        "0.6 or more",
    ):
        assert part in text
