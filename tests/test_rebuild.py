"""Result files are made anew from what else is there, equal to what they were."""

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_scylla import status
from pytest_scylla.recovery import rebuild
from pytest_scylla.results import AgentResult, RunResult
from pytest_scylla.status import agent_status, tree_counts
from pytest_scylla.store import RunDir
from pytest_scylla.tree import ResultsTree, is_results_tree
from tests.support.experiments import read, snapshot
from tests.support.projectscylla import RUNS, below, write_tree

PHASES = {
    "flat": ("", ""),
    "phases": ("completed", "in_progress"),
    "completed": ("completed", "completed"),
}
CANNOT = {"experiment_dir", "started_at", "last_updated_at", "pid", "generated_at"}
"""Of checkpoint.json: the tree has moved, and nothing else in it says the others."""


@pytest.fixture(params=PHASES)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> ResultsTree:
    """A tree of ProjectScylla, in each of its layouts."""
    return ResultsTree(write_tree(tmp_path / "tree", PHASES[request.param]))


def lose(paths: list[Path]) -> dict[Path, Any]:
    """Delete files; says what was in them."""
    before = {path: read(path) for path in paths}
    for path in paths:
        path.unlink()
    assert before
    return before


LOST = {
    "agent": ["agent/result.json"],
    "verdict": ["run_result.json"],
    "both": ["agent/result.json", "run_result.json"],
}


@pytest.mark.parametrize("names", LOST.values(), ids=LOST)
def test_lost_results_come_back_in_one_pass_field_by_field(
    tree: ResultsTree, names: list[str]
) -> None:
    counts = tree_counts(tree)
    before = lose([run.path / name for _, _, run in tree.all_runs() for name in names])
    assert {agent_status(run) for _, _, run in tree.all_runs()} == {"results"}
    rest = snapshot(tree.path)
    said, summary = rebuild(tree.path)
    assert all(f"2 {name}" in said for name in names)
    assert {path: below(value, read(path)) for path, value in before.items()} == before
    assert tree_counts(tree).table() == counts.table()
    assert (summary.figures.judged, summary.figures.cost) == (2, 0.75)
    after = snapshot(tree.path)
    files = {name for name in rest if not (tree.path / name).is_dir()}
    assert {name for name in files if after[name] != rest[name]} == set(), "the rest is untouched"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"judge_score": 1}', "\0" * 9])
def test_what_is_not_whole_is_made_anew(tmp_path: Path, content: str) -> None:
    tree = ResultsTree(write_tree(tmp_path))
    path = tmp_path / "T0/00/run_01/run_result.json"
    before = read(path)
    path.write_text(content)
    rebuild(tree.path)
    assert below(before, read(path)) == before


def test_checkpoint_and_reports_come_back_as_far_as_the_runs_know(tmp_path: Path) -> None:
    tree = ResultsTree(write_tree(tmp_path))
    paths = [*tmp_path.rglob("report.json"), tmp_path / "checkpoint.json"]
    assert len(paths) == 8
    before = lose(paths)
    rebuild(tree.path)
    for path, value in before.items():
        expected = {name: field for name, field in value.items() if name not in CANNOT}
        assert below(expected, read(path)) == expected, path


def test_links_between_reports_lead_somewhere_in_a_tree_with_phases(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, PHASES["phases"])
    rebuild(tree)
    for path in tmp_path.rglob("report.json"):
        report = read(path)
        found = [child["report"] for child in report.get("children", ())]
        found += [report[name] for name in ("parent",) if name in report]
        assert found
        assert [name for name in found if not (path.parent / name).is_file()] == [], path


def test_a_verdict_is_made_of_judgments_where_there_is_a_quorum(tmp_path: Path) -> None:
    tree = ResultsTree(write_tree(tmp_path))
    for tier, subtest in RUNS.items():
        judge = tmp_path / tier / subtest / "run_01/judge"
        lose([judge / "result.json", judge.parent / "run_result.json"])
    for number in (1, 2):
        lose([tmp_path / f"T1/01/run_01/judge/judge_0{number}/judgment.json"])
    rebuild(tree.path)
    assert read(tmp_path / "T0/00/run_01/run_result.json")["judge_score"] == 0.75
    assert not (tmp_path / "T1/01/run_01/run_result.json").exists()
    assert read(tmp_path / "checkpoint.json")["completed_runs"]["T1"] == {"01": {"1": "passed"}}


def test_an_agent_that_was_cut_off_gets_no_result(tmp_path: Path) -> None:
    tree = ResultsTree(write_tree(tmp_path))
    run = RunDir(tmp_path / "T0/00/run_01")
    run.started.write_text("{}")
    lose([run.agent_result, run.run_result])
    rebuild(tree.path)
    assert not run.agent_result.exists()
    assert not run.run_result.exists()


def test_a_whole_file_has_the_fields_of_its_record() -> None:
    for fields, model in ((status.AGENT_FIELDS, AgentResult), (status.RUN_FIELDS, RunResult)):
        assert fields == {n for n, field in model.model_fields.items() if field.is_required()}


def test_a_results_directory_is_known_from_one_that_holds_such(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "root/tree")
    assert is_results_tree(tree)
    assert not is_results_tree(tree.parent)
    assert not is_results_tree(tree / "T0")
    assert not is_results_tree(tmp_path / "nowhere")
    (tree / "checkpoint.json").unlink()
    assert is_results_tree(tree)


def test_rubbish_in_a_tree_is_no_run(tmp_path: Path) -> None:
    tree = write_tree(tmp_path)
    for name in ("T0/00/run_x", "T0/notes", "T9", "T0/00/run_02/agent", "logs/today"):
        (tree / name).mkdir(parents=True)
    (tree / "config/experiment.json").write_text(json.dumps([1]))
    names = [run.path.name for _, _, run in ResultsTree(tree).all_runs()]
    assert names == ["run_01", "run_02", "run_01"]
