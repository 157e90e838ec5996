"""Kills at random moments: whatever they hit, nothing that is stored is paid for again.

Agents and judges write a line when they begin and one when they are through, into a log outside
of the results: that is how often they were paid, whatever the results say.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_scylla.scratch import clean
from pytest_scylla.store import read_json
from tests.support.experiments import (
    IN_PROCESS,
    TWO_WORKERS,
    Experiment,
    alive,
    claude_md,
    read,
    signal_group,
    start_pytest,
    wait_until,
)

TIERS: dict[str, Any] = {
    "T0": {"00-a": claude_md("B01"), "01-b": claude_md("B02")},
    "T1": {"00-c": claude_md("B03"), "01-d": claude_md("B04")},
    "T5": {"00-heir": {"inherit_best_from": ["T0", "T1"], **claude_md("B05")}},
}
RUNS = 2
ALL = {f"{t}/{s}/run_{n:02}" for t in TIERS for s in TIERS[t] for n in range(1, RUNS + 1)}

AGENT = """\
(setsid sleep 30 > /dev/null 2>&1 &)
mkdir -p made; date > made/by-the-agent.txt
git add -A; git commit -qm half
sleep 0.1
echo done > answer.txt
echo '{"type": "result", "result": "done", "total_cost_usd": 0.01, "usage": {"output_tokens": 1}}'
echo "through $run $$" >> LOG
"""

JUDGE = """\
import os, time
from pydantic import BaseModel
from pytest_scylla.judges import Grading
from pytest_scylla.results import ItemScore


def note(*words):
    with open(LOG, "a") as log:
        print(*words, file=log)


class Stub(BaseModel, frozen=True, extra="forbid"):
    model: str = "stub"
    paid: bool = True

    def identity(self):
        return {"adapter": "stub"}

    def unready(self):
        return None

    def grade(self, evidence):
        run = "/".join(evidence.slot.parts[-5:-2])
        note("judging", run, os.getpid())
        time.sleep(0.05)
        items = evidence.task.rubric.items()
        scores = {i.id: ItemScore(achieved=i.points, max=i.points, reason="yes") for i in items}
        note("judged", run, os.getpid())
        return Grading(scores, reasoning="yes", response="yes", model="stub", cost_usd=0.001)


def pytest_scylla_judges():
    return {"stub": Stub}
"""

BEGUN, THROUGH, JUDGING, JUDGED = "begun", "through", "judging", "judged"


class Storm(Experiment):
    """An experiment whose agents and judge are paid, and count it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.calls = pytester.path / "calls.log"
        self.temporary = pytester.mkdir("tmp")
        super().__init__(
            pytester,
            "storm",
            tiers=TIERS,
            runs=RUNS,
            paid=True,
            judges=[{"adapter": "rubric-checks"}, {"adapter": "stub"}],
            prices={"stub": {"input": 1, "output": 1}},
        )
        self.write("conftest.py", JUDGE.replace("LOG", repr(str(self.calls))))

    def write_agent(self, script: str) -> None:
        begun = f'run="${{SCYLLA_RUN_DIR##*-storm/}}"\necho "begun $run $$" >> {self.calls}\n'
        self.write("agent.sh", begun + AGENT.replace("LOG", str(self.calls)))

    def lines(self) -> list[list[str]]:
        """[what, run, process id] of everything that agents and judges have noted."""
        text = self.calls.read_text() if self.calls.exists() else ""
        return [line.split() for line in text.split("\n")[:-1]]

    def count(self, what: str) -> Counter[str]:
        """Run -> how often."""
        return Counter(run for word, run, _ in self.lines() if word == what)

    def stored(self) -> dict[str, set[str]]:
        """The runs whose agent's result, and those whose paid judgment, is on disk."""
        agents, judged = set(), set()
        for run in ALL:
            if not self.exists(run):
                continue
            place = self.path(run)
            result = read_json(place / "agent" / "result.json")  # a live session may move it
            if result and not result["exit_code"] and not (place / "agent/started.json").exists():
                agents.add(run)
            if (place / "judge" / "judge_02" / "judgment.json").exists():
                judged.add(run)
        return {BEGUN: agents, JUDGING: judged}


@dataclass
class Ledger:
    """What must not grow any more, and what the kills may have cost."""

    frozen: dict[tuple[str, str], int] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def note(self, storm: Storm) -> None:
        """Whatever is stored by now was paid for the last time."""
        stored = storm.stored()
        for what, runs in stored.items():
            paid = storm.count(what)
            for run in runs:
                assert paid[run] == self.frozen.setdefault((what, run), paid[run]), (what, run)


def children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def targets(storm: Storm, session: subprocess.Popen[bytes]) -> Iterator[tuple[str, int]]:
    """What can be killed now: the session, its workers, the agents."""
    yield "session", session.pid
    yield from (("worker", pid) for pid in children(session.pid) if "exec(eval" in command_of(pid))
    begun = [int(pid) for what, _, pid in storm.lines() if what == BEGUN]
    yield from (("agent", pid) for pid in begun if alive(pid))


def kill_something(
    storm: Storm, session: subprocess.Popen[bytes], dice: random.Random, ledger: Ledger
) -> str:
    ledger.note(storm)
    found: Mapping[str, list[int]] = {"session": [], "worker": [], "agent": []}
    for kind, pid in targets(storm, session):
        found[kind].append(pid)
    kind = dice.choice([kind for kind, pids in found.items() if pids])
    if kind == "session" and dice.random() < 0.5:
        signal_group(session, signal.SIGKILL)
    else:
        os.kill(dice.choice(found[kind]), signal.SIGKILL)
    ledger.kills[kind] += 1
    return kind


def check_after_death(storm: Storm, ledger: Ledger) -> None:
    """What holds as soon as a killed session's workers and reaper are through."""
    wait_until(lambda: not left_over(storm))
    ledger.note(storm)
    results = storm.pytester.path / "results"
    for path in results.rglob("*.json"):
        if "workspace" not in path.parts and not path.name.startswith(".writing-"):
            read(path)


def left_over(storm: Storm) -> list[str]:
    """Processes that carry the mark of one of our runs."""
    mark = f"SCYLLA_RUN_DIR={storm.pytester.path}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                marked = mark in Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if marked and alive(int(name)):
                found.append(f"{name} {command_of(int(name))}")
    return found


def check_lf(storm: Storm) -> None:
    """`--lf` takes up exactly what has no verdict, once a session has got so far as to say so."""
    said = storm.run("--lf", "--collect-only", "-q").stdout.str()
    listed = {run for run in ALL if storm.node(run) in said}
    without = ALL - set(storm.verdicts())
    assert without <= listed


def check_clean(storm: Storm) -> None:
    """What holds after the next session: no lock, no stray file, no broken worktree."""
    for place in storm.temporary.iterdir():
        clean(place)  # what was killed may have died after the last session began
        assert [*place.iterdir()] == []
    assert not list(storm.results.rglob(".writing-*"))
    repositories = [*storm.results.rglob("workspace.git")]
    assert len(repositories) >= len(ALL)
    for repository in repositories:
        assert not [*repository.rglob("*.lock"), *repository.rglob("locked")]
        listed = subprocess.run(
            ["git", f"--git-dir={repository}", "worktree", "list", "--porcelain"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert "prunable" not in listed
        assert f"worktree {repository.parent / 'workspace'}\n" in listed


def weather(storm: Storm, seed: int, kills: int) -> Ledger:
    """Sessions of which none ends by itself, until there were so many kills."""
    dice, ledger, fresh = random.Random(seed), Ledger(), 0
    print(f"seed {seed}, {kills} kills")
    while ledger.kills.total() < kills:
        if storm.exists("T0") and set(storm.verdicts()) == ALL:
            finish(storm, ledger)
            ledger, fresh = Ledger(kills=ledger.kills), fresh + 1
            for path in (storm.pytester.path / "results").iterdir():
                path.rename(storm.pytester.path / f"done-{fresh}-{path.name}")
            storm.calls.unlink()
        mode = dice.choice([TWO_WORKERS, TWO_WORKERS, IN_PROCESS])
        begun = len(storm.lines())
        session = start_pytest(storm.pytester, storm.file, *mode)
        wait_until(lambda: len(storm.lines()) > begun or session.poll() is not None)  # noqa: B023
        while session.poll() is None and ledger.kills.total() < kills:
            time.sleep(dice.uniform(0, 0.5))
            if session.poll() is None:
                kill_something(storm, session, dice, ledger)
        signal_group(session, signal.SIGKILL)
        session.wait()
        check_after_death(storm, ledger)
        if dice.random() < 0.1 and storm.exists("T0"):
            check_lf(storm)
    return ledger


def finish(storm: Storm, ledger: Ledger) -> None:
    """The same command completes everything, and nothing was paid for without a reason."""
    for _ in range(3):  # a run that lost its workers may want another session
        if storm.run(*TWO_WORKERS).ret == 0:
            break
    assert storm.verdicts() == dict.fromkeys(ALL, 1.0)
    ledger.note(storm)
    check_after_death(storm, ledger)
    check_clean(storm)
    begun, through = storm.count(BEGUN), storm.count(THROUGH)
    cut_off = (begun - through).total()
    again = {run: n - 1 for run, n in through.items() if n > 1}
    kills = ledger.kills
    print(dict(kills), f"{begun.total()} executions, {cut_off} cut off; done again: {again}")
    assert cut_off + sum(again.values()) <= kills["agent"] + kills["worker"] + 2 * kills["session"]


@pytest.fixture
def storm(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Storm:
    storm = Storm(pytester)
    monkeypatch.setenv("TMPDIR", str(storm.temporary))
    return storm


def test_eight_kills_cost_what_they_hit_and_nothing_else(storm: Storm) -> None:
    finish(storm, weather(storm, seed=20, kills=8))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_storm_of_kills_costs_what_it_hits_and_nothing_else(storm: Storm, seed: int) -> None:
    finish(storm, weather(storm, seed, kills=55))
