"""The command `scylla`, as a user types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_scylla.reports.summary import summarise
from pytest_scylla.reports.terminal import closing_table
from tests.support.examples import write_result
from tests.support.experiments import read, run_pytest

SCYLLA = Path(sys.executable).parent / "scylla"


def scylla(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [str(SCYLLA), *map(str, arguments)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_a_new_experiment_runs_at_once_and_is_looked_at(pytester: pytest.Pytester) -> None:
    folder = pytester.path
    made = scylla(folder, "init", "demo")
    assert made.returncode == 0, made.stderr
    assert "next: pytest demo" in made.stdout
    assert "is there already" in scylla(folder, "init", "demo").stderr
    run_pytest(pytester, "demo").assert_outcomes(passed=4)
    (results,) = (folder / "results").glob("*-demo")
    summary = summarise(results)
    scores = {tier.id: tier.figures.mean_score for tier in summary.tiers}
    assert scores == {"T0": pytest.approx(2 / 3), "T1": 1.0}
    status = scylla(folder, "status", "results")
    assert status.returncode == 0, status.stderr
    for line in [*closing_table(summary), "judge slots: 4 complete"]:
        assert line in status.stdout.splitlines()
    before = read(results / "report.json")
    (results / "report.json").unlink()
    report = scylla(folder, "report", results, "--parquet")
    assert report.returncode == 0, report.stderr
    after = read(results / "report.json")
    assert {**after, "generated_at": ""} == {**before, "generated_at": ""}
    assert (results / "export" / "runs.parquet").exists()
    same = scylla(folder, "compare", "results", results / "export" / "runs.csv")
    assert same.returncode == 0, same.stderr
    assert "not enough runs to tell" in same.stdout


def test_a_loss_has_an_exit_status_of_its_own(tmp_path: Path) -> None:
    for number in range(1, 7):
        write_result(tmp_path / "a" / "T0" / "00-x" / f"run_{number:02d}", 0.9)
        write_result(tmp_path / "b" / "T0" / "00-x" / f"run_{number:02d}", 0.1)
    for side in "ab":
        (tmp_path / side / "config").mkdir()
        (tmp_path / side / "config" / "experiment.json").write_text('{"experiment_id": "x"}')
    worse = scylla(tmp_path, "compare", "a", "b")
    assert worse.returncode == 8, worse.stderr
    assert "T0: worse" in worse.stdout
    assert scylla(tmp_path, "compare", "b", "a").returncode == 0


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    write_result(tmp_path / "a" / "T0" / "00-x" / "run_01", 0.9)
    piped = f"exec {SCYLLA} status {tmp_path / 'a'} > >(exec true); wait"
    found = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, check=False)
    assert found.stderr == ""


def test_bad_input_gets_one_message_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    for arguments, said in (
        (["status", "nowhere"], "scylla: nowhere: "),
        (["report", "."], "scylla: .: no results in it\n  next: name a results directory"),
        (["compare", "notes.csv", "notes.csv"], "scylla: notes.csv: run 1.experiment: missing"),
        (["compare", ".", "."], "no results in it"),
        (["compare", "a", "b", "--alpha", "3"], "expected a number between 0 and 1"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "COMMAND"),
    ):
        found = scylla(tmp_path, *arguments)
        assert found.returncode == 2
        assert said in found.stderr
        assert "Traceback" not in found.stderr
