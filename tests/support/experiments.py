"""Small experiments in a pytester directory, pytest sessions over them, and what came of it.

The agent is a shell script. Every execution first appends a line to a log outside of all
workspaces, so that a test can count executions whatever the results directory says.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

IN_PROCESS = ("-p", "xdist", "-n", "0")
TWO_WORKERS = ("-p", "xdist", "-n", "2")
NO_XDIST = ("-p", "no:xdist")

MODES = pytest.mark.parametrize("mode", [IN_PROCESS, TWO_WORKERS], ids=["n0", "n2"])
NO_WORKERS = pytest.mark.parametrize("mode", [IN_PROCESS, NO_XDIST], ids=["n0", "no-xdist"])

SLACK = 4
"""A loaded machine may take so many times as long."""

WORKS = "echo done > answer.txt"
ONE_TIER: Mapping[str, Any] = {"T0": {"00-empty": {}}}
"""Tier -> subtest id -> what the subtest's file holds."""


def command(*args: str, env: Mapping[str, str] | None = None) -> list[str]:
    """A pytest session with our plugin (by its entry point) and few others: it starts fast."""
    variables = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(env or {})}
    words = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *words, sys.executable, "-m", "pytest", "-p", "scylla", *args]


def run_pytest(
    pytester: pytest.Pytester,
    *args: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> pytest.RunResult:
    """A session from its start to its end."""
    return pytester.run(*command(*args, env=env), timeout=timeout)


def start_pytest(pytester: pytest.Pytester, *args: str) -> subprocess.Popen[bytes]:
    """A session in a process group of its own, to be waited for, interrupted or killed."""
    with open(pytester.path / "session.log", "w") as log:
        process: subprocess.Popen[bytes] = pytester.popen(
            command(*args), stdout=log, stderr=log, start_new_session=True, preexec_fn=heed_ctrl_c
        )
    return process


def heed_ctrl_c() -> None:
    """In a new process: a shell makes those that it starts in the background ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to a session and its workers; agents are in groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; fail if it does not come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"it did not happen in {seconds} s"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text())


def snapshot(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything at and below a directory: inode, mode, time of change, content."""
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        facts = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
        key = str(path.relative_to(root))
        found[key] = (facts.st_ino, facts.st_mode, facts.st_mtime_ns, content)
    return found


def check(run: str = "test -f answer.txt", id: str = "R1", points: float = 1) -> dict[str, Any]:
    """A rubric item that a command decides."""
    return {"id": id, "check": f"{id} is met", "points": points, "run": run}


def rubric(*items: Mapping[str, Any], threshold: float = 0.6) -> dict[str, Any]:
    """A rubric of one category."""
    categories = {"work": {"weight": 1.0, "items": [dict(item) for item in items]}}
    return {"categories": categories, "grading": {"pass_threshold": threshold}}


class Experiment:
    """An experiment folder `experiments/<name>` with task and tier library inside.

    `agent` is shell, `paid` what it is said to be; `settings` are further keys of experiment.yaml.
    """

    def __init__(
        self,
        pytester: pytest.Pytester,
        name: str = "toy",
        *,
        agent: str = WORKS,
        paid: bool = False,
        tiers: Mapping[str, Any] = ONE_TIER,
        rubric: Mapping[str, Any] | None = None,
        runs: int = 1,
        **settings: Any,
    ) -> None:
        self.pytester = pytester
        self.name = name
        self.directory = pytester.path / "experiments" / name
        self.file = f"experiments/{name}/experiment.yaml"
        self.log = pytester.path / f"{name}.log"
        self.settings: dict[str, Any] = {
            "id": name,
            "task": "task",
            "tiers": "tiers",
            "runs": runs,
            "agent": {
                "adapter": "command",
                "command": ["/bin/sh", "{experiment}/agent.sh"],
                "paid": paid,
            },
            "judges": [{"adapter": "rubric-checks"}],
            **settings,
        }
        if not (pytester.path / "pytest.ini").exists():
            pytester.makefile(".ini", pytest="[pytest]\n")
        self.configure()
        self.write_agent(agent)
        self.write_task(tiers, rubric if rubric is not None else _RUBRIC)
        self.write_tiers(tiers)

    # -- inputs

    def write(self, name: str, content: str | Mapping[str, Any]) -> Path:
        """Write a file of the experiment folder: text, or a mapping as YAML."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (
            content if isinstance(content, str) else yaml.safe_dump(dict(content), sort_keys=False)
        )
        path.write_text(text)
        return path

    def configure(self, **settings: Any) -> None:
        """Write experiment.yaml, with some settings changed."""
        self.settings.update(settings)
        self.write("experiment.yaml", self.settings)

    def write_agent(self, script: str) -> None:
        """The agent; $run is set to `T0/00-empty/run_01` and the like."""
        lines = [f'run="${{SCYLLA_RUN_DIR##*-{self.name}/}}"', f'echo "$run $$" >> {self.log}']
        self.write("agent.sh", "\n".join([*lines, script, ""]))

    def write_task(self, tiers: Mapping[str, Any], rubric: Mapping[str, Any]) -> None:
        """The task: one file, a prompt, a rubric."""
        self.write("task/files/hello.txt", "hello\n")
        self.write("task/prompt.md", "Write answer.txt.\n")
        self.write("task/expected/rubric.yaml", rubric)
        self.write("task/test.yaml", {"id": "t", "source": {"repo": "files"}, "tiers": [*tiers]})

    def write_tiers(self, tiers: Mapping[str, Any]) -> None:
        """The tier library; a block B<nn> exists for each that a subtest names."""
        self.write("tiers/tiers.yaml", {"tiers": {tier: {"name": tier} for tier in tiers}})
        for tier, subtests in tiers.items():
            for name, content in subtests.items():
                self.write(f"tiers/subtests/{tier.lower()}/{name}.yaml", content)
                for block in content.get("claude_md", {}).get("blocks", []):
                    self.write(f"tiers/blocks/{block}-text.md", f"{block}\n")

    # -- sessions

    def run(self, *args: str, env: Mapping[str, str] | None = None) -> pytest.RunResult:
        """A session over this experiment, with further arguments."""
        return run_pytest(self.pytester, self.file, *args, env=env)

    # -- what came of it

    @property
    def results(self) -> Path:
        """The newest results directory."""
        return max((self.pytester.path / "results").glob(f"*-{self.name}"))

    def path(self, place: str) -> Path:
        """A place in the results: `T0/00-empty/run_01`, say."""
        return self.results / place

    def exists(self, place: str) -> bool:
        """Whether a place in the results is there, and whether there are results."""
        return any((self.pytester.path / "results").glob(f"*-{self.name}/{place}"))

    def node(self, place: str) -> str:
        """The node id of a place in the results."""
        return "::".join([self.file, *place.split("/")])

    @property
    def executions(self) -> Counter[str]:
        """Run -> how often its agent was started."""
        return Counter(line.split()[0] for line in self._lines())

    @property
    def pids(self) -> list[int]:
        """The process ids of all agents that were started."""
        return [int(line.split()[1]) for line in self._lines()]

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def verdicts(self) -> dict[str, float]:
        """Run -> score, of all runs that have a verdict."""
        found = self.results.glob("T*/*/run_*/run_result.json")
        return {
            str(path.parent.relative_to(self.results)): read(path)["judge_score"] for path in found
        }


_RUBRIC = rubric(check())


def claude_md(*blocks: str, **other: Any) -> dict[str, Any]:
    """A subtest that puts blocks into CLAUDE.md."""
    return {"claude_md": {"blocks": list(blocks)}, **other}


def once_each(*runs: str) -> Counter[str]:
    """Every one of these runs was executed once."""
    return Counter(runs)
