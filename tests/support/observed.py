"""Experiments with real agents, whose model is a script on a local server, and what it saw.

What the model was told is read from the recorded requests. A larger experiment is run once for all
tests of a module, also where xdist spreads these over several workers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.support.examples import write_experiment, write_files, write_library, write_task
from tests.support.experiments import command, rubric
from tests.support.messages_server import (
    Answer,
    Body,
    MessagesServer,
    reported_cwd,
    tool_names,
)

KEY = "sk-ant-a-key-for-tests-0123456789"
PROMPT = "Write hello.py, which prints Hello, World!\n"
GREETER = 'def greet(name):\n    """MCP-ANSWER greets."""\n'
GREETING = 'print("Hello, World!")\n'
RUBRIC = rubric({"id": "F1", "check": "it greets", "points": 1, "run": "python -B hello.py"})

TIERS = Path(__file__).parents[2] / "experiments" / "tiers"

LIBRARY = {
    "blocks/B01-small.md": "RULE-ONE: small programs.\n",
    "blocks/B02-plain.md": "RULE-TWO: plain words.\n",
    "skills/testing/corner-cases/SKILL.md": (
        "---\nname: corner-cases\ndescription: SKILL-ABOUT finds corner cases\n---\nSKILL-BODY\n"
    ),
    "agents/L3/helper.md": (
        "---\nname: code-helper\ndescription: AGENT-ABOUT helps\ntools: Read\n---\nAGENT-BODY\n"
    ),
    **{f"mcp/{path.name}": path.read_text() for path in (TIERS / "mcp").glob("outline.*")},
}

FOREIGN_FILES = {
    "CLAUDE.md": "FOREIGN\n",
    "CLAUDE.local.md": "FOREIGN\n",
    "AGENTS.md": "FOREIGN\n",
    ".claude/CLAUDE.md": "FOREIGN\n",
    ".claude/rules/deep/rule.md": "FOREIGN\n",
    ".claude/settings.json": '{"env": {"FOREIGN_VARIABLE": "1"}}\n',
    ".claude/commands/foreign.md": "---\ndescription: FOREIGN\n---\n",
    ".claude/skills/foreign/SKILL.md": "---\nname: foreign\ndescription: FOREIGN\n---\n",
    ".claude/agents/foreign.md": "---\nname: foreign\ndescription: FOREIGN\n---\n",
    ".mcp.json": '{"mcpServers": {"foreign": {"command": "/nowhere"}}}\n',
    "AGENTS.override.md": "FOREIGN\n",
    ".agents/skills/foreign/SKILL.md": "---\nname: foreign\ndescription: FOREIGN\n---\n",
    ".codex/config.toml": '[mcp_servers.foreign]\ncommand = "/nowhere"\nrequired = true\n',
    ".codex/agents/foreign.toml": 'name = "foreign"\ndescription = "FOREIGN"\n',
    "opencode.json": '{"mcp": {"foreign": {"type": "local", "command": ["/nowhere"]}}}\n',
}
"""What no tier gives: it lies above the results, and in the task's own repository."""


# Sessions


def session(place: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A pytest session in `place`, with an environment in which only `env` is added."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    variables = {**kept, "HOME": str(place), "LANG": "C.UTF-8", **env}
    return subprocess.run(
        command(*args), cwd=place, env=variables, text=True, capture_output=True, check=False
    )


def access(server: MessagesServer, prefix: str = "") -> dict[str, str]:
    """What a session needs to reach a server, by either API."""
    url = server.url(prefix)
    keys = dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY"), KEY)
    return {**keys, "ANTHROPIC_BASE_URL": url, "OPENAI_BASE_URL": f"{url}/v1"}


def outcomes(said: str) -> dict[str, int]:
    """passed, failed, errors ... of a session, by what it printed."""
    return pytest.RunResult.parse_summary_nouns(said.splitlines())


def make_experiment(
    place: Path,
    name: str,
    subtests: Mapping[str, Mapping[str, Any]],
    prices: Mapping[str, Any] | None = None,
    **agent: Any,
) -> Path:
    """An experiment in `place/experiments/name`; `agent` is all that says which agent it is."""
    folder = place / "experiments" / name
    write_files(place, {"pytest.ini": "[pytest]\n"})
    write_task(folder / "task", {"id": name}, rubric=RUBRIC)
    write_files(folder / "task", {"prompt.md": PROMPT})
    write_files(folder / "task" / "files", {**FOREIGN_FILES, "greeting.py": GREETER})
    write_library(folder / "tiers", subtests, LIBRARY)
    return write_experiment(
        folder,
        id=name,
        runs=1,
        prices=dict(prices or {}),
        select=sorted({subtest.split("/")[0] for subtest in subtests}),
        agent=agent,
    )


def subtest_of(body: Body) -> str:
    """`T0/00-empty` and the like: which subtest a request belongs to."""
    return "/".join(Path(reported_cwd(body) or "").parts[-4:-2])


@dataclass(frozen=True)
class Observed:
    """Sessions over one experiment, and all that the model was asked in them."""

    place: Path
    said: list[str]
    """What each session printed."""
    asked: list[int]
    """How many requests there were after each session."""
    requests: list[Body]

    def results(self, name: str) -> Path:
        """The results directory of an experiment."""
        (found,) = (self.place / "results").glob(f"*-{name}")
        return found

    @cached_property
    def by_subtest(self) -> dict[str, list[Body]]:
        """Subtest -> the requests of its only run, in order."""
        found: dict[str, list[Body]] = {}
        for body in self.requests:
            found.setdefault(subtest_of(body), []).append(body)
        return found

    def seen(self, subtest: str) -> list[Body]:
        """The requests of a subtest's only run, in order."""
        return self.by_subtest[subtest]

    def told(self, subtest: str) -> str:
        """All that the model was told in that run."""
        return json.dumps(self.seen(subtest), ensure_ascii=False)

    def tools(self, subtest: str) -> set[str]:
        """The tools that the agent itself was offered at first."""
        return set(tool_names(self.seen(subtest)[0]))


def observe(
    place: Path, answer: Callable[[Body, str], Answer], sessions: Iterable[tuple[str, ...]]
) -> Observed:
    """Run pytest sessions, one after the other, against a server with that script."""
    said, asked = [], []
    with MessagesServer(answer) as server:
        for arguments in sessions:
            said.append(session(place, *arguments, **access(server)).stdout)
            asked.append(len(server.requests))
        return Observed(place, said, asked, [request.body for request in server.messages()])


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Observed]) -> Observed:
    """What `make` observes, made by the first worker that needs it."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    stored = place / "observed.json"
    with FileLock(f"{place}.lock"):
        if not stored.exists():
            shutil.rmtree(place, ignore_errors=True)
            stored.write_text(json.dumps({**vars(make(place)), "place": str(place)}))
    values = json.loads(stored.read_text())
    return Observed(**{**values, "place": place})
