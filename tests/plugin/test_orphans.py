"""The real Claude Code while its Bash tool works: whatever is killed, nothing of it survives.

Its Bash children live in sessions of their own; no signal to a process group reaches them.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.experiments import (
    TWO_WORKERS,
    Experiment,
    alive,
    read,
    signal_group,
    start_pytest,
    wait_until,
)
from tests.support.messages_server import MessagesServer, call

WORK = "trap '' TERM INT HUP; echo begun; while :; do sleep 0.2; done"


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    with MessagesServer([call("Bash", command=WORK, timeout=600000)]) as server:
        yield server


def children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def marked(toy: Experiment) -> dict[int, str]:
    """Process id -> command of everything that works for one of the runs."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
                command = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if f"SCYLLA_RUN_DIR={toy.pytester.path}".encode() in environ:
                found[int(name)] = command.replace(b"\0", b" ").decode("utf-8", "replace")
    return found


def kill_worker(session: subprocess.Popen[bytes], toy: Experiment) -> None:
    """The worker that the agent belongs to; then no other one shall take the run up."""
    (agent,) = [pid for pid, words in marked(toy).items() if "--output-format" in words]
    worker = int(Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()[1])
    assert worker in children(session.pid)
    first = set(marked(toy))
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not first & set(marked(toy)))
    signal_group(session, signal.SIGINT)


def ctrl_c(session: subprocess.Popen[bytes], toy: Experiment) -> None:
    signal_group(session, signal.SIGINT)


def hang_up(session: subprocess.Popen[bytes], toy: Experiment) -> None:
    """The terminal closes."""
    signal_group(session, signal.SIGHUP)


def kill_session(session: subprocess.Popen[bytes], toy: Experiment) -> None:
    session.kill()


def kill_group(session: subprocess.Popen[bytes], toy: Experiment) -> None:
    """The session and all its workers."""
    signal_group(session, signal.SIGKILL)


WAYS = [
    kill_group,
    *(
        pytest.param(way, marks=pytest.mark.slow)
        for way in (kill_session, kill_worker, hang_up, ctrl_c)
    ),
]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_a_real_agent_survives(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    server: MessagesServer,
    way: Callable[[subprocess.Popen[bytes], Experiment], None],
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-a-key-for-tests-0123456789")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
    toy = Experiment(pytester)
    toy.configure(agent={"adapter": "claude-code", "model": "claude-haiku-4-5", "timeout": 600})
    session = start_pytest(pytester, toy.file, *TWO_WORKERS)
    wait_until(lambda: any("echo begun" in words for words in marked(toy).values()))
    groups = {os.getsid(pid) for pid in marked(toy)}
    assert len(groups) > 1  # what this is about
    way(session, toy)
    session.wait(60)
    wait_until(lambda: not marked(toy))
    agent = toy.path("T0/00-empty/run_01/agent")
    assert read(agent / "started.json")
    assert not (agent / "result.json").exists()
    assert '"tool_use"' in (agent / "stdout.log").read_text()
