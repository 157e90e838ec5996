"""Agents: what an adapter must offer, and what adapters share.

An adapter is a frozen pydantic model, made from its options in experiment.yaml and registered by
the hook `pytest_scylla_agents`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import Field

from ..errors import RunError
from ..named_files import Surroundings, file_inputs
from ..prices import Usage
from ..processes import MARKER, SESSION, Finished, Invocation, clean_environment
from ..result_line import error_of, last_report, limit_of
from ..results import Inputs, TokenStats, Turn, count, token_stats, usd
from ..store import parse_json
from ..tiers import Files, Setup
from ..yamlfile import Strict


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
    home: Path = Path(os.devnull)
    """HOME of the program; still there when its answer is read, and removed after that."""


@dataclass(frozen=True)
class Answer:
    """What an agent's output says. `error` is set where the agent did not do its work."""

    text: str
    tokens: TokenStats = field(default_factory=TokenStats)
    cost_usd: float | None = None
    """USD; None where the agent does not say: then the price list does."""
    usages: tuple[Usage, ...] = ()
    """The tokens by model and request, where the agent tells more than `model` and `tokens`."""
    turns: int = 0
    model: str | None = None
    stop_reason: str = "completed"
    limited: bool = False
    """A limit of turns or time ended the work; it is judged on what is there."""
    error: RunError | None = None


class Agent(Strict):
    """An agent adapter: its fields are its options in experiment.yaml.

    Inherit from it, add options as fields, and say what differs: `invocation` and `answer` in any
    case, the rest where the defaults are not right.
    """

    adapter: ClassVar[str] = ""
    """The adapter's name, as experiment.yaml says it."""
    supported: ClassVar[tuple[str, str] | None] = None
    """The oldest version of the program that this adapter knows, and the first that it does not."""
    install: ClassVar[str] = "install it"
    """How the program is installed: the next step where it is not there."""
    asks_nobody: ClassVar[bool] = False
    """It works without asking for permission."""

    model: str | None = None
    """The model's name."""
    paid: bool = True
    """Whether a run costs money; `false` lets plain `pytest` run it without being asked."""
    timeout: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds; default: as the task says. At the limit the agent is judged on what it left."""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables to set."""

    def identity(self) -> Mapping[str, Any]:
        """What distinguishes this agent's work from another's; its digest goes into results.

        All options but the time limit, and whether it is paid.
        """
        name = self.adapter or type(self).__name__
        return {"adapter": name, **self.model_dump(exclude={"timeout", "paid"})}

    def depends_on(self, at: Surroundings) -> Inputs:
        """Digests of the user's files that the options name: a change makes results stale."""
        given = (getattr(self, name, ()) for name in ("command", "args"))
        words = [str(word) for words in given if isinstance(words, (list, tuple)) for word in words]
        return file_inputs(words, self.listed, self.env, at)

    @property
    def listed(self) -> Sequence[str]:
        """Patterns of further files that the program reads, relative to experiment.yaml."""
        return ()

    def unready(self) -> str | None:
        """Why this agent cannot be used here (no key, say): the runs are skipped with it."""
        return None

    def preflight(self) -> None:
        """What can be found out before anything is spent, once in a session: is the program
        there, does the API take the key and know the model. Raises RunError."""
        self.version()

    def files(self, setup: Setup) -> Files:
        """What the tier puts into the workspace, where this agent looks for it.

        The library's own places are those of Claude Code: CLAUDE.md, .claude/, .mcp.json.
        """
        return setup.files

    def not_taken(self, setup: Setup) -> Sequence[str]:
        """What this agent cannot take of a tier, in words: a warning when runs are collected."""
        return ()

    @property
    def endpoint(self) -> str | None:
        """URL of the model's API, which an isolated agent may reach; None: it is not known."""
        return None

    def refusal(self, line: str) -> tuple[int, float | None] | None:
        """What a line of the program's output says of a request that the API refused for now:
        status (429 or 529), and seconds until it may be repeated, where it says."""
        return None

    @property
    def told_version(self) -> str:
        """What the program says of its version; "" where nobody knows."""
        return ""

    def version(self) -> str:
        """The program's version.

        Raises RunError (kind `no_cli`) where there is no program, or one that is not supported.
        """
        told = self.told_version
        found = re.search(r"\d+(\.\d+)+", told)
        if self.supported and found:
            oldest, beyond = map(_numbers, self.supported)
            if not oldest <= _numbers(found[0]) < beyond:
                known = f"{self.supported[0]} and later, before {self.supported[1]}"
                raise RunError.of(
                    "no_cli", f"{told} is not supported (supported: {known})", self.install
                )
        return told

    def invocation(self, job: Job) -> Invocation:
        """The command for a job. Raises RunError where it cannot be made."""
        raise NotImplementedError

    def answer(self, finished: Finished, job: Job) -> Answer:
        """What the program's output says, beside what the job asked for."""
        raise NotImplementedError

    def transcript(self, stdout: str) -> Sequence[Turn]:
        """What the model said and did, from the program's output, as far as it tells."""
        return ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def find_program(name: str, install: str) -> str:
    """Where a program is. Raises RunError (kind `no_cli`) with how to install it."""
    found = shutil.which(name)
    if found is None:
        raise RunError.of(
            "no_cli",
            f"agent.executable: there is no program {name!r}",
            f"{install}, or correct agent.executable in experiment.yaml",
        )
    return found


def ask_version(program: str, install: str) -> str:
    """What `program --version` says. Raises RunError (kind `no_cli`) where it says nothing."""
    try:
        answer = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError.of("no_cli", f"{program} --version: {error}", install) from None
    return answer.stdout.strip()


def crash(name: str, finished: Finished) -> RunError:
    """The error of a program that ended without a result."""
    said = finished.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    ended = f"{name} ended with {finished.exit_code} and no result"
    return RunError.of("crash", f"{ended}: {said[0][:500]}")


def json_lines(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects that stand in lines of their own."""
    for line in text.split("\n"):  # splitlines would break at signs that JSON leaves as they are
        try:
            value = parse_json(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def markdown_head(data: bytes) -> dict[str, Any]:
    """The YAML between the two `---` that begin a Markdown file; {} where there is none."""
    parts = data.decode("utf-8", "replace").split("---\n", 2)
    try:
        head = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}


def reported_answer(stdout: str) -> Answer | None:
    """The answer of a program that reports on its work in a line of its own (see result_line.py);
    None where there is no such line."""
    report, rest = last_report(stdout)
    if report is None:
        return None
    usage, model = report.get("usage"), report.get("model")
    limit, error = limit_of(report), error_of(report)
    return Answer(
        text=str(report.get("result") or "") if "result" in report else rest,
        tokens=token_stats(usage) if isinstance(usage, dict) else TokenStats(),
        cost_usd=usd(report.get("total_cost_usd")),
        turns=count(report.get("num_turns")),
        model=model if isinstance(model, str) else None,
        stop_reason=limit or (error.kind if error else "completed"),
        limited=limit is not None,
        error=error,
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
