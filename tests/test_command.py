"""The command `scylla`, as a user types it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pytest_scylla.reports.summary import summarise
from pytest_scylla.reports.terminal import closing_table
from pytest_scylla.starter import FILES
from tests.support.examples import git, write_files, write_result
from tests.support.experiments import read, run_pytest

ROOT = Path(__file__).parent.parent
SCYLLA = Path(sys.executable).parent / "scylla"


def scylla(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [str(SCYLLA), *map(str, arguments)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_a_new_experiment_runs_at_once_and_is_looked_at(pytester: pytest.Pytester) -> None:
    folder = pytester.path
    made = scylla(folder, "init", "demo")
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-2:] == [
        "next: pytest demo",
        "then: read demo/README.md, which says how to make it yours",
    ]
    run_pytest(pytester, "demo").assert_outcomes(passed=6)
    (results,) = (folder / "results").glob("*-demo")
    summary = summarise(results)
    scores = {tier.id: tier.figures.mean_score for tier in summary.tiers}
    assert scores == {"T0": pytest.approx((2 / 3 + 1) / 2), "T1": 1.0}
    status = scylla(folder, "status", "results")
    assert status.returncode == 0, status.stderr
    for line in [*closing_table(summary), "judge slots: 6 complete"]:
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


def test_a_starter_names_its_tiers_as_the_shared_library_does() -> None:
    shared = yaml.safe_load((ROOT / "experiments/tiers/tiers.yaml").read_text("utf-8"))["tiers"]
    own = yaml.safe_load(FILES["tiers/tiers.yaml"])["tiers"]
    assert {tier: it["name"] for tier, it in own.items()} == {
        tier: shared[tier]["name"] for tier in own
    }
    assert len(own) > 1


def test_the_commands_in_a_starters_readme_work_in_a_repository(pytester: pytest.Pytester) -> None:
    folder = pytester.path
    write_files(folder, {"README.md": "mine", "task": "mine", "src/a.py": ""})
    git(folder, "init", "-q")
    assert scylla(folder, "init", "evals/first").returncode == 0
    text = (folder / "evals/first/README.md").read_text("utf-8")
    commands = re.findall(r"^    (pytest|scylla) (.*?)(?:  .*)?$", text, re.M)
    assert len(commands) == 4
    for program, arguments in commands:
        words = arguments.split()
        done = (
            run_pytest(pytester, *words).ret
            if program == "pytest"
            else scylla(folder, *words).returncode
        )
        assert done == 0, arguments
    (results,) = (folder / "results").glob("*-first")
    assert summarise(results).figures.judged == 6


@pytest.mark.parametrize("place", ["README.md", "task", "tiers"])
def test_a_starter_overwrites_nothing_and_writes_no_half(tmp_path: Path, place: str) -> None:
    (tmp_path / place).symlink_to("nowhere")
    refused = scylla(tmp_path, "init", ".")
    assert refused.returncode == 2
    assert f"{place}: already exists" in refused.stderr
    assert "next: name a new or empty folder" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == [place]


def test_parquet_without_pyarrow_is_one_message(tmp_path: Path) -> None:
    write_result(tmp_path / "a" / "T0" / "00-x" / "run_01", 0.9)
    (tmp_path / "a" / "config").mkdir()
    (tmp_path / "a" / "config" / "experiment.json").write_text('{"experiment_id": "x"}')
    code = "import sys; sys.modules['pyarrow'] = None; import pytest_scylla.command as c; "
    code += "sys.exit(c.main(['report', '--parquet', 'a']))"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "pyarrow" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "  next: pip install 'pyarrow>=18,<27'"


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
