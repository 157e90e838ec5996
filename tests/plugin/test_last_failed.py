"""`--lf`, `--ff`, and where results live."""

import subprocess

import pytest

from tests.support.experiments import (
    MODES,
    Experiment,
    claude_md,
    once_each,
    read,
    run_pytest,
    snapshot,
)

TIERS = {"T0": {"00-good": claude_md("B01"), "01-late": claude_md("B02")}}
GOOD, LATE = "T0/00-good/run_01", "T0/01-late/run_01"

SECOND_TIME_LUCKY = """
once={log}.$(echo $run | tr / -)
case $run in *good*) touch $once ;; esac
if [ -e $once ]; then echo done > answer.txt; else touch $once leftover.txt; git add .; fi
"""


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    """One run passes; the other one fails at first and passes when it is executed again."""
    toy = Experiment(pytester, tiers=TIERS)
    toy.write_agent(SECOND_TIME_LUCKY.format(log=toy.log))
    return toy


@pytest.fixture
def done(toy: Experiment) -> Experiment:
    """The same, executed."""
    toy.run().assert_outcomes(passed=1, failed=1)
    return toy


@MODES
def test_a_failed_run_is_executed_again_and_a_passed_one_is_left_alone(
    done: Experiment, mode: tuple[str, ...]
) -> None:
    before = snapshot(done.path(GOOD))
    run_pytest(done.pytester, "experiments", "--lf", *mode).assert_outcomes(passed=1)
    assert done.executions == {GOOD: 1, LATE: 2}
    assert snapshot(done.path(GOOD)) == before
    assert not (done.path(LATE) / "workspace/leftover.txt").exists()
    done.run(*mode).assert_outcomes(passed=2)
    assert done.executions == {GOOD: 1, LATE: 2}


def test_an_earlier_attempt_is_kept_whole(done: Experiment) -> None:
    before = snapshot(done.path(LATE))
    done.run("--lf").assert_outcomes(passed=1)
    attempt = done.path(LATE) / "attempts/attempt_01"
    after = snapshot(attempt)
    assert after.keys() == before.keys()
    moved = {"."} | {name for name in before if name.endswith("workspace/gitdir")}
    linked = {name for name in before if name == "workspace/.git" or name == "workspace"}
    for name in before.keys() - moved - linked:
        if not name.startswith("workspace.git"):
            assert after[name] == before[name], name
    assert "leftover.txt" in subprocess.check_output(
        ["git", "-C", str(attempt / "workspace"), "status", "--short"], text=True
    )


def test_the_first_judged_attempt_is_the_one_that_counts(done: Experiment) -> None:
    done.run("--lf").assert_outcomes(passed=1)
    assert done.verdicts()[LATE] == 1.0
    summary = read(done.path("report.json"))["summary"]
    assert (summary["total_runs"], summary["passed"], summary["mean_score"]) == (2, 1, 0.5)
    report = read(done.path(LATE) / "report.json")
    assert (report["attempts"], report["score"]) == (2, 0.0)
    assert "2 executions" in (done.path(LATE) / "report.md").read_text()


def test_the_latest_attempt_counts_where_that_is_asked_for(done: Experiment) -> None:
    done.run("--lf")
    latest = done.run("--scylla-attempt", "latest")
    latest.stdout.fnmatch_lines(
        "↻ 1 run had more than one execution: the latest judged one counts, *"
    )
    assert read(done.path("report.json"))["summary"]["mean_score"] == 1.0
    assert read(done.path("report.json"))["summary"]["repeated"] == 1
    report = read(done.path(LATE) / "report.json")
    assert (report["counted_attempt"], report["score"]) == ("latest", 1.0)
    assert read(done.path("T0/best_subtest.json"))["winning_subtest"] == "00-good"
    first = done.run()
    first.stdout.fnmatch_lines(
        "↻ 1 run had more than one execution: the first judged one counts, *"
    )
    assert read(done.path(LATE) / "report.json")["score"] == 0.0


def test_an_errored_run_is_executed_again(toy: Experiment) -> None:
    toy.write_agent("case $run in *late*) exit 1 ;; esac; echo done > answer.txt")
    toy.run().assert_outcomes(passed=1, errors=1)
    toy.write_agent("touch answer.txt")
    toy.run("--lf").assert_outcomes(passed=1)
    assert toy.executions == {GOOD: 1, LATE: 2}
    assert (toy.path(LATE) / "attempts/attempt_01/agent/stderr.log").exists()


def test_every_further_attempt_is_numbered(done: Experiment) -> None:
    done.write_agent("echo nothing")
    for _ in range(2):
        done.run("--lf").assert_outcomes(failed=1)
    names = {path.name for path in (done.path(LATE) / "attempts").iterdir()}
    assert names == {"attempt_01", "attempt_02"}


@MODES
def test_lf_without_a_path_finds_what_failed_wherever_it_is(
    toy: Experiment, mode: tuple[str, ...]
) -> None:
    toy.pytester.makefile(".ini", pytest="[pytest]\ntestpaths = tests\n")
    toy.configure(agent={**toy.settings["agent"], "paid": True})
    (toy.pytester.mkdir("tests") / "test_ordinary.py").write_text(
        "def test_good(): pass\ndef test_bad(): assert False\n"
    )
    run_pytest(toy.pytester, "experiments", "tests", *mode).assert_outcomes(passed=2, failed=2)
    run_pytest(toy.pytester, "--lf", *mode).assert_outcomes(passed=1, failed=1)
    assert toy.executions == {GOOD: 1, LATE: 2}


def test_lf_finds_what_failed_from_another_directory(done: Experiment) -> None:
    below = done.pytester.mkdir("below")
    done.pytester.chdir()
    result = done.pytester.run("env", "-C", str(below), *_session(done.pytester, "--lf"))
    result.assert_outcomes(passed=1)
    assert done.executions == {GOOD: 1, LATE: 2}


def _session(pytester: pytest.Pytester, *args: str) -> list[str]:
    from tests.support.experiments import command

    return command(f"--rootdir={pytester.path}", "-c", str(pytester.path / "pytest.ini"), *args)


def test_lf_with_nothing_failed_replays_everything(toy: Experiment) -> None:
    toy.write_agent("touch answer.txt")
    toy.run().assert_outcomes(passed=2)
    toy.run("--lf").assert_outcomes(passed=2)
    assert toy.executions == once_each(GOOD, LATE)


def test_ff_executes_what_failed_first_and_replays_the_rest(done: Experiment) -> None:
    result = done.run("--ff", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*01-late::run_01 PASSED*", "*00-good::run_01 CACHED*"])
    assert done.executions == {GOOD: 1, LATE: 2}


@MODES
def test_fresh_starts_new_results_and_keeps_the_old(
    done: Experiment, mode: tuple[str, ...]
) -> None:
    old = done.results
    before = snapshot(old)
    done.run(*mode, "--scylla-fresh").assert_outcomes(passed=2)
    assert done.results != old
    assert snapshot(old) == before
    assert done.executions == {GOOD: 2, LATE: 2}
    done.run(*mode).assert_outcomes(passed=2)
    assert done.executions == {GOOD: 2, LATE: 2}


def test_sessions_within_a_second_are_as_fresh_as_any(toy: Experiment) -> None:
    toy.configure(select=["T0"], runs=1)
    for _ in range(4):
        toy.run("-k", "good", "--scylla-fresh").assert_outcomes(passed=1)
    assert toy.executions == {GOOD: 4}
    assert len([*(toy.pytester.path / "results").glob("*-toy")]) == 4


def test_results_live_where_the_option_or_the_ini_file_says(toy: Experiment) -> None:
    toy.pytester.makefile(".ini", pytest="[pytest]\nscylla_results = from-ini\n")
    toy.run("-k", "good")
    toy.run("-k", "good", "--scylla-results", "from-option")
    for name in ("from-ini", "from-option"):
        assert [*toy.pytester.path.glob(f"{name}/*-toy/{GOOD}/run_result.json")]
    assert not (toy.pytester.path / "results").exists()
    assert toy.executions == {GOOD: 2}
