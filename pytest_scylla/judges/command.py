"""Any program as a judge.

The prompt comes on standard input and as a file (`{prompt}`); the answer is a JSON object on
standard output, in the form that the prompt asks for. It, or another object, may also hold `usage`
(tokens), `total_cost_usd` and `is_error` (see result_line.py). A bad answer is asked for once more:
then the input is the prompt, the answer, and what was wrong with it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ..errors import RunError
from ..judge_answer import answer_schema, json_objects
from ..named_files import Surroundings, file_inputs
from ..processes import Finished, Invocation, clean_environment, run
from ..result_line import error_of, is_report
from ..results import Inputs, token_stats, usd
from ..scratch import scratch
from ..store import write_text
from ..yamlfile import Strict
from . import MOST_EVIDENCE, Account, BadAnswer, Evidence, Grading, converse


class Command(Strict):
    """Options of `adapter: command`, as a judge."""

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments. `{python}`: the interpreter that runs pytest;
    `{experiment}`: the directory of experiment.yaml; `{prompt}`: the file that holds what is on
    standard input; `{workspace}`: the workspace's copy; `{schema}`: a file with the JSON Schema of
    the answer."""
    paid: bool = True
    """Whether a judgment costs money; `false` lets plain `pytest` ask without being told to."""
    model: str = "command"
    """A name for reports."""
    evidence: Literal["inline", "paths"] = "inline"
    """Whether the prompt holds the evidence, or the paths of it."""
    timeout: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """Seconds for one answer. A repair round has as much again."""
    max_evidence: int = Field(default=MOST_EVIDENCE, ge=1_000)
    """Characters of a run's evidence in the prompt; what is cut is marked."""
    env: dict[str, str] = Field(default_factory=dict)
    """Variables to set."""
    pass_env: tuple[str, ...] = ()
    """Names of variables to hand on from the environment of pytest (keys, say)."""
    inputs: tuple[str, ...] = ()
    """Further files and directories that the program reads: patterns (`prompts/*.md`), relative to
    experiment.yaml. A change of one makes results stale, as one of a file that `command` names."""

    @field_validator("command", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return shlex.split(value) if isinstance(value, str) else value

    @property
    def prompted(self) -> bool:
        """It is asked by the template."""
        return True

    @property
    def tells_cost(self) -> bool:
        """The program's own figure counts, not a price list."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """Everything but the time limit, whether it is paid, and files."""
        return {"adapter": "command", **self.model_dump(exclude={"timeout", "paid", "inputs"})}

    @property
    def listed(self) -> tuple[str, ...]:
        """Patterns of further files that the program reads."""
        return self.inputs

    def depends_on(self, at: Surroundings) -> Inputs:
        """Digests of the user's files that the options name."""
        return file_inputs(self.command, self.inputs, self.env, at)

    def unready(self) -> str | None:
        """A variable to hand on that is not set."""
        missing = [name for name in self.pass_env if name not in os.environ]
        return f"{', '.join(missing)} is not set" if missing else None

    def grade(self, evidence: Evidence) -> Grading:
        """Run the program. Raises NotGraded where it gives no valid answer."""
        with scratch("judge") as folder:
            return converse(evidence, self.model, _Program(self, evidence, folder).ask)


class _Program:
    """One grading: the program is started for every round, in an empty directory."""

    def __init__(self, judge: Command, evidence: Evidence, place: Path) -> None:
        self.judge, self.evidence = judge, evidence
        self.place, self.desk = place, place / "evidence"
        self.desk.mkdir()
        self.said: list[str] = []

    def ask(self, complaint: str | None, account: Account) -> str:
        """The program's answer. Raises BadAnswer or RunError."""
        self.said.append(complaint or self._prompt())
        finished = self._run("\n\n".join(self.said))
        self.said.append(f"# Your answer was\n\n{finished.stdout}")
        error = self._count(finished, account)
        if error is not None:
            raise error
        if finished.timed_out:
            raise BadAnswer(f"no answer within {self.judge.timeout:g} s", finished.stdout)
        if finished.exit_code:
            last = finished.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            problem = f"the program ended with {finished.exit_code}: {last[0][:500]}"
            raise BadAnswer(problem, finished.stdout)
        return finished.stdout

    def _prompt(self) -> str:
        if self.judge.evidence == "paths":
            return self.evidence.prompt_by_paths(self.desk).text
        return self.evidence.prompt(self.judge.max_evidence).text

    def _run(self, said: str) -> Finished:
        slot, number = self.evidence.slot, (len(self.said) + 1) // 2
        prompt, schema = self.place / "prompt.md", self.place / "schema.json"
        write_text(prompt, said)
        write_text(schema, json.dumps(answer_schema(self.evidence.task.rubric), indent=2))
        values = {
            "{python}": sys.executable,
            "{experiment}": str(self.evidence.experiment),
            "{prompt}": str(prompt),
            "{schema}": str(schema),
        }
        if any("{workspace}" in word for word in self.judge.command):
            values["{workspace}"] = str(self.evidence.copy)
        argv = [_filled(word, values) for word in self.judge.command]
        handed = {name: os.environ[name] for name in self.judge.pass_env if name in os.environ}
        own = {"HOME": str(self.place), "TMPDIR": str(self.place)}
        env = clean_environment({**own, **handed, **self.judge.env})
        if shutil.which(argv[0], path=env.get("PATH")) is None:
            raise RunError(
                "no_cli",
                f"there is no program {argv[0]!r}\n  next: install it, or correct the judge's "
                "command in experiment.yaml",
            )
        invocation = Invocation(argv, self.desk, env, stdin=said, timeout=self.judge.timeout)
        return run(invocation, slot / f"stdout_{number}.log", slot / f"stderr_{number}.log")

    def _count(self, finished: Finished, account: Account) -> RunError | None:
        """Tokens and cost, as far as the program tells them; the failure that it tells of."""
        told: dict[str, Any] = {}
        with suppress(ValueError):  # the answer is a bad one: that is said when it is read
            for value in filter(is_report, json_objects(finished.stdout)):
                told.update(value)
        usage, cost = told.get("usage"), usd(told.get("total_cost_usd"))
        tokens = token_stats(usage if isinstance(usage, dict) else {})
        free = None if self.judge.paid else 0.0
        account.add(tokens, free if cost is None else cost)
        return error_of(told)


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word
