"""Agents: what an adapter must offer, and what adapters share.

An adapter is a class that is made from its options in experiment.yaml (a frozen pydantic model
does it all: the options are its fields), registered by the hook `pytest_scylla_agents`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import RunError
from ..processes import MARKER, SESSION, Finished, Invocation
from ..results import TokenStats, token_stats
from ..tiers import Setup


@dataclass(frozen=True)
class Job:
    """What an agent is asked to do, and where."""

    prompt: str
    """The task, in words; also in `prompt_file`, and on the program's standard input."""
    prompt_file: Path
    workspace: Path
    """The worktree that the agent works in; the tier's files are committed in it."""
    setup: Setup
    """What the tier gives to the agent."""
    experiment: Path
    """The directory of experiment.yaml."""
    env: Mapping[str, str]
    """The clean environment: allowed variables, HOME, TMPDIR, PORT and our marker."""
    timeout: float | None
    """Seconds."""


@dataclass(frozen=True)
class Answer:
    """What an agent's output says. `error` is set where the agent did not do its work."""

    text: str
    tokens: TokenStats = field(default_factory=TokenStats)
    cost_usd: float | None = None
    """USD; None where the agent does not say."""
    turns: int = 0
    model: str | None = None
    stop_reason: str = "completed"
    limited: bool = False
    """A limit of turns or time ended the work; it is judged on what is there."""
    error: RunError | None = None


class Agent(Protocol):
    """An agent adapter with its options."""

    @property
    def model(self) -> str | None:
        """The model's name, where the adapter knows it beforehand."""

    @property
    def paid(self) -> bool:
        """Whether a run costs money: paid runs start only when they were asked for."""

    @property
    def timeout(self) -> float | None:
        """Seconds a run may take; None: as the task says."""

    def identity(self) -> Mapping[str, Any]:
        """What distinguishes this agent's work from another's; its digest goes into results."""

    def unready(self) -> str | None:
        """Why this agent cannot be used here (no key, say): the runs are skipped with it."""

    def version(self) -> str:
        """The program's version. Raises RunError (kind `no_cli`) where there is no program."""

    def invocation(self, job: Job) -> Invocation:
        """The command for a job. Raises RunError where it cannot be made."""

    def answer(self, finished: Finished, job: Job) -> Answer:
        """What the program's output says, beside what the job asked for."""


def result_event(stdout: str) -> dict[str, Any] | None:
    """The last line of `stdout` that is a JSON object with a result or a usage, if any.

    The form is that of Claude Code: {"type": "result", "result": text, "usage": {...},
    "total_cost_usd": USD, "num_turns": n}.
    """
    for line in reversed(stdout.split("\n")):
        line = line.strip()
        if line.startswith("{") and line.endswith("}"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and (value.get("type") == "result" or "usage" in value):
                return value
    return None


def answer_from_event(event: Mapping[str, Any]) -> Answer:
    """An answer from a result event."""
    usage = event.get("usage")
    cost = event.get("total_cost_usd")
    return Answer(
        text=str(event.get("result") or ""),
        tokens=token_stats(usage) if isinstance(usage, dict) else TokenStats(),
        cost_usd=float(cost) if isinstance(cost, (int, float)) else None,
        turns=int(event.get("num_turns") or 0),
        model=event.get("model"),
    )


def replay_script(invocation: Invocation, setup_repository: Path, hidden: Mapping[str, str]) -> str:
    """A shell script that runs the agent again in a fresh workspace; secrets stay outside."""
    variables = []
    for name, value in sorted(invocation.env.items()):
        if name in (MARKER, SESSION):
            continue
        if name in hidden:
            variables.append(f'{name}="${{{name}:?set {name}}}"')
        elif name in ("HOME", "TMPDIR"):
            variables.append(f'{name}="$place/home"')
        else:
            variables.append(f"{name}={shlex.quote(value)}")
    words = [_replayed(word, invocation.cwd) for word in invocation.argv]
    return f"""#!/bin/sh
# Runs this agent again, with the same prompt, in a fresh workspace: replay.sh [DIRECTORY]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=${{1:-$(mktemp -d)}}
mkdir -p "$place/home"
place=$(cd "$place" && pwd)
git clone -q {shlex.quote(str(setup_repository))} "$place/workspace"
cd "$place/workspace"
echo "workspace: $place/workspace" >&2
exec env -i {" ".join(variables)} \\
  {" ".join(words)} < "$here/prompt.md"
"""


def _replayed(word: str, workspace: Path) -> str:
    """A shell word; the run's own workspace in it becomes the replay's."""
    return '"$PWD"'.join(part and shlex.quote(part) for part in word.split(str(workspace))) or "''"
