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


def test_two_sets_without_a_run_in_common_have_an_exit_status_of_their_own(tmp_path: Path) -> None:
    write_result(tmp_path / "a" / "T0" / "00" / "run_01", 0.9)
    write_result(tmp_path / "b" / "T0" / "00-empty" / "run_01", 0.9)
    found = scylla(tmp_path, "compare", "a", "b")
    assert found.returncode == 9, found.stderr
    assert "nothing was compared: no run is judged in both" in found.stdout
    assert "only before: a/T0/00 (1 run)" in found.stdout
    assert "only now: b/T0/00-empty (1 run)" in found.stdout


def test_two_set_ups_of_one_directory_are_compared(tmp_path: Path) -> None:
    for number in range(1, 7):
        write_result(tmp_path / "a" / "T0" / "00-x" / f"run_{number:02d}", 0.667)
        score = 1.0 if number < 6 else 0.9
        write_result(tmp_path / "a" / "T0" / "01-y" / f"run_{number:02d}", score)
    write_result(tmp_path / "a" / "T1" / "00-x" / "run_01", 0.667)
    found = scylla(tmp_path, "compare", "a", "--between", "T0/01-y", "T0/00-x")
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].split() == ["T0/01-y", "T0/00-x", "difference", "95", "%", "so"]
    assert lines[1].split()[:5] == ["mean", "score", "0.983", "0.667", "+0.316"]
    assert lines[1].endswith("higher (p 0.002)")
    assert "-39 to +39 points" in lines[2]
    assert "T0/01-y: 6 judged runs, 0 without a verdict" in lines
    assert "mean score: no interval: all runs of one of them have the same value" in lines
    few = scylla(tmp_path, "compare", "a", "--between", "T0/01-y", "T1/00-x")
    assert "not enough runs to tell: each needs 4 judged runs, there are 6 and 1" in few.stdout
    for names, said in (
        (("00-x", "T0/01-y"), "00-x: more than one set-up is meant\n  next: name one of a/T0/00-x"),
        (("T9/00-x", "T0/01-y"), "T9/00-x: there is no such set-up\n  next: name one of a/T0/00-x"),
    ):
        wrong = scylla(tmp_path, "compare", "a", "--between", *names)
        assert wrong.returncode == 2
        assert said in wrong.stderr
    for arguments in (["a"], ["a", "a", "--between", "T0/01-y", "T0/00-x"]):
        assert (
            "name two sets of results, or one and --between"
            in scylla(tmp_path, "compare", *arguments).stderr
        )


def test_looking_at_results_loads_no_statistics(tmp_path: Path) -> None:
    write_result(tmp_path / "a" / "T0" / "00-x" / "run_01", 0.9)
    code = "from pytest_scylla.command import main; import sys; main(['status', 'a'])"
    code += "; print('scipy' in sys.modules, 'numpy' in sys.modules)"
    words = [sys.executable, "-c", code]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Cheapest pass so far: T0/00-x" in found.stdout
    assert found.stdout.splitlines()[-1] == "False False"


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
