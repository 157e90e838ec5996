"""Only what we made is ever removed: a user's files stay, whatever they are called and lie in."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.experiments import (
    IN_PROCESS,
    TWO_WORKERS,
    WORKS,
    Experiment,
    run_pytest,
    signal_group,
    start_pytest,
    wait_until,
)

RUN = "T0/00-empty/run_01"
NAMES = (
    *("notes.txt", "scylla-demo", "scylla-home-x", "home-1", "home-1.scylla", ".making-base.git"),
    *(".writing-1-a.json", ".writing-notes", "1-session", "2024-session", "1-a.budget.jsonl"),
    *("session-1", "1.lock", "run_01.bak", "workspace.old", "tampering.txt", "result.txt"),
)
MOVES = ("agent", "judge", "judge/judge_01")
"""Set aside whole, with all that lies in there."""


def plant(places: list[Path]) -> dict[Path, str]:
    """A file and a directory with a file of every name, in every place."""
    made = {}
    for place in places:
        for name in NAMES:
            for path in (place / name, place / f"{name}.d" / "file"):
                path.parent.mkdir(parents=True, exist_ok=True)
                made[path] = f"mine: {path}"
                path.write_text(made[path])
        for name in ("scylla-env", ".making-env", "7-session", "home-env"):
            path = place / name / "bin" / "python"
            path.parent.mkdir(parents=True, exist_ok=True)
            made[path] = f"mine: {path}"
            path.write_text(made[path])
    return made


def contents(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder, name).read_text(errors="replace")


def test_a_users_files_survive_every_kind_of_session(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    toy = Experiment(pytester, agent="exit 3", workspace={"retention": "none"})
    toy.run(*IN_PROCESS)
    toy.write_agent(WORKS)
    toy.run(*IN_PROCESS).assert_outcomes(passed=1)
    results = pytester.path / "results"
    inside = ["", "config", "charts", "export", "T0", "T0/00-empty", RUN, f"{RUN}/attempts"]
    places = [temporary, temporary / f"pytest-scylla-{os.getuid()}", results]
    places += [results / ".locks", results / ".sources"]
    places += [toy.results / place for place in inside]
    staying = plant(places)
    moving = plant([toy.path(RUN) / place for place in MOVES])

    toy.write_agent(f"touch {tmp_path}/works; sleep 300")
    session = start_pytest(pytester, toy.file, "--scylla-from", "agent", *TWO_WORKERS)
    wait_until((tmp_path / "works").exists)
    signal_group(session, signal.SIGKILL)
    session.wait()
    toy.write_agent(WORKS)
    toy.run("--lf", *IN_PROCESS, "-p", "cacheprovider").assert_outcomes(passed=1)
    toy.run("--scylla-from", "judge", *IN_PROCESS).assert_outcomes(passed=1)
    (toy.path(RUN) / "run_result.json").unlink()
    toy.run("--scylla-rebuild")
    run_pytest(pytester, "--scylla-results", str(toy.results), "--scylla-rebuild")
    toy.run("--scylla-fresh", *IN_PROCESS).assert_outcomes(passed=1)

    assert [p for p, text in staying.items() if not p.is_file() or p.read_text() != text] == []
    assert set(moving.values()) - set(contents(results)) == set()
    agent = next(results.glob(f"*/{RUN}/agent/result.json"))
    assert "tampering" not in agent.read_text() or '"tampering": []' in agent.read_text()


@pytest.mark.parametrize("option", [(), ("--scylla-rebuild",)])
def test_a_directory_of_somebody_elses_is_no_results_directory(
    pytester: pytest.Pytester, option: tuple[str, ...]
) -> None:
    """Other programs write a checkpoint.json, a config/experiment.json or a run_01, too."""
    mine = {
        "checkpoint.json": '{"epoch": 3}', "config/experiment.json": '{"lr": 0.1}',
        "report.html": "mine", "report.json": "{}", "charts/a.svg": "mine", "export/runs.csv": "x",
        "case/one/run_01/out.txt": "mine", "toy/T0/run_01/report.md": "mine",
    }  # fmt: skip
    toy = Experiment(pytester)
    place = pytester.mkdir("toy")
    for name, text in mine.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    toy.run("--scylla-results", "toy", *IN_PROCESS, *option)
    run_pytest(pytester, "--scylla-results", "toy", *option)
    assert {name: (place / name).read_text() for name in mine} == mine


PLANTS = [
    *("agent", "judge", "attempts", "", "../../00-empty", "../../../T0"),
    *("../../../charts", "../../../export", "../../../config"),
]


@pytest.mark.parametrize("place", PLANTS)
def test_what_an_agent_links_in_the_place_of_its_runs_directories_is_not_followed(
    pytester: pytest.Pytester, tmp_path: Path, place: str
) -> None:
    outside = tmp_path / "outside"
    below = {"": "agent", "../../00-empty": "run_01/agent", "../../../T0": "00-empty/run_01/agent"}
    mine = outside / below.get(place, "")
    mine.mkdir(parents=True)
    names = ("stdout.log", "output.txt", "result.json", "report.md", "changes.patch")
    for name in names:
        (mine / name).write_text("mine")
    before = {p: p.read_text() for p in outside.rglob("*") if p.is_file()}
    path = f'"$SCYLLA_RUN_DIR/{place}"' if place else '"$SCYLLA_RUN_DIR"'
    toy = Experiment(pytester, agent=f"{WORKS}; mv {path} {tmp_path}/moved; ln -s {outside} {path}")
    result = toy.run(*IN_PROCESS)
    assert "Traceback" not in result.stdout.str()
    toy.write_agent(WORKS)
    toy.configure(description="another")
    result = toy.run("--scylla-from", "agent", *IN_PROCESS)
    assert "Traceback" not in result.stdout.str()
    assert {p: p.read_text() for p in outside.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("option", [(), ("-W", "error")])
def test_temporary_files_that_are_not_cleaned_are_told_once(
    pytester: pytest.Pytester,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: tuple[str, ...],
) -> None:
    (tmp_path / f"pytest-scylla-{os.getuid()}").mkdir(mode=0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    result = Experiment(pytester).run(*TWO_WORKERS, *option)
    said = result.stdout.str() + result.stderr.str()
    assert said.count("is not a directory of yours with mode 700") == 1
    assert "Traceback" not in said
    assert result.ret == (pytest.ExitCode.USAGE_ERROR if option else pytest.ExitCode.OK)
