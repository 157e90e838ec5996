"""Any program as an agent.

The prompt comes on standard input and as a file (`{prompt}`); the working directory is the
workspace. Exit status 0 means that the work was done, anything else is an ERROR. Standard output
is the answer. A line of JSON in it may report on the work (see result_line.py): the answer, tokens,
cost (USD), turns, and an error, each where it is told.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator

from ..errors import RunError
from ..processes import Finished, Invocation
from . import Agent, Answer, Job, reported_answer


class Command(Agent):
    """Options of `adapter: command`."""

    adapter: ClassVar = "command"

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments. `{python}`: the interpreter that runs pytest;
    `{experiment}`: the directory of experiment.yaml; `{prompt}`: the prompt's file."""
    pass_env: tuple[str, ...] = ()
    """Names of variables to hand on from the environment of pytest (keys, say)."""
    inputs: tuple[str, ...] = ()
    """Further files and directories that the program reads: patterns (`prompts/*.md`), relative to
    experiment.yaml. A change of one makes results stale, as one of a file that `command` names."""

    @field_validator("command", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return shlex.split(value) if isinstance(value, str) else value

    def identity(self) -> Mapping[str, Any]:
        """All options but the time limit, whether it is paid, and files (see `depends_on`)."""
        return {name: value for name, value in super().identity().items() if name != "inputs"}

    @property
    def listed(self) -> tuple[str, ...]:
        """Those of `inputs`."""
        return self.inputs

    def unready(self) -> str | None:
        """A variable to hand on that is not set."""
        missing = [name for name in self.pass_env if name not in os.environ]
        return f"{', '.join(missing)} is not set" if missing else None

    def invocation(self, job: Job) -> Invocation:
        """The command with its placeholders filled in."""
        values = {
            "{python}": sys.executable,
            "{experiment}": str(job.experiment),
            "{prompt}": str(job.prompt_file),
        }
        argv = [_filled(word, values) for word in self.command]
        handed = {name: os.environ[name] for name in self.pass_env if name in os.environ}
        env = {**job.env, **handed, **self.env}
        place = Path(argv[0])
        found = shutil.which(argv[0], path=env.get("PATH"))
        if found is None and not (job.workspace / place).is_file():
            raise RunError(
                "no_cli",
                f"agent.command: there is no program {argv[0]!r}\n  next: install it, or correct "
                "agent.command in experiment.yaml",
            )
        return Invocation(
            argv=argv, cwd=job.workspace, env=env, stdin=job.prompt, timeout=job.timeout
        )

    def answer(self, finished: Finished, job: Job) -> Answer:
        """The standard output, and usage where it is given."""
        answer = reported_answer(finished.stdout) or Answer(text=finished.stdout)
        if answer.error is not None:
            return answer
        if finished.timed_out:
            return replace(answer, stop_reason="time_limit", limited=True)
        if finished.exit_code:
            error = _crash(finished)
            return replace(answer, stop_reason=error.kind, limited=False, error=error)
        return answer


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _crash(finished: Finished) -> RunError:
    how = (
        f"was ended by signal {-finished.exit_code}"
        if finished.exit_code < 0
        else f"ended with exit status {finished.exit_code}"
    )
    last = next((line for line in reversed(finished.stderr.splitlines()) if line.strip()), "")
    return RunError.of("crash", f"the agent {how}{': ' + last.strip() if last else ''}")
