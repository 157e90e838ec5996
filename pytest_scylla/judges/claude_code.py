"""Claude Code as a judge: it reads the workspace's copy by itself, and can change nothing.

The prompt names paths, so that no workspace is too large for it. The program has the tools Read,
Grep and Glob alone, may look into the copy and the evidence and nowhere else, and takes up no
instructions, settings, skills or servers that it finds there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic import Field

from ..claude import (
    QUIET,
    Stream,
    access,
    api_error,
    check_access,
    endpoint,
    find_program,
    keyless,
    program_version,
    refusal,
)
from ..errors import LIMITS, RunError
from ..judge_answer import answer_schema
from ..processes import Finished, Invocation, clean_environment, run
from ..providers import REFUSALS, Patience, Provider, seconds_until_reset
from ..result_line import error_of
from ..scratch import scratch
from ..yamlfile import Strict
from . import NO_TOKENS, Account, BadAnswer, Evidence, Grading, converse

TOOLS = "Read,Grep,Glob"

ALONE = ("--safe-mode", "--restricted", "--strict-mcp-config", "--setting-sources", "",
         "--tools", TOOLS, "--permission-prompts", "none")  # fmt: skip
"""Nothing of the workspace speaks to the program, and the program writes nothing."""


class ClaudeCode(Strict):
    """Options of `adapter: claude-code`, as a judge."""

    model: str
    """The model, as `claude --model` takes it."""
    max_turns: int = Field(default=50, ge=1)
    """Turns of one answer at most: it reads files in them."""
    timeout: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    """Seconds for one answer. A repair round has as much again."""
    executable: str = "claude"
    """The program; where PATH has no `claude`, that of the package claude-agent-sdk is used."""
    env: dict[str, str] = Field(default_factory=dict)
    """Further variables."""

    @property
    def paid(self) -> bool:
        """Every judgment costs money."""
        return True

    @property
    def prompted(self) -> bool:
        """It is asked by the template."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """The model and the limit of turns."""
        return {"adapter": "claude-code", "model": self.model, "max_turns": self.max_turns}

    def unready(self) -> str | None:
        """No key."""
        return keyless({**os.environ, **self.env})

    @property
    def endpoint(self) -> str:
        """URL of the model's API."""
        return endpoint({**os.environ, **self.env})

    def preflight(self) -> None:
        """The program, the key and the model. Raises RunError."""
        program_version(self.program, "the judge's executable")
        check_access({**os.environ, **self.env}, self.model, whose="the judge's ")

    @cached_property
    def program(self) -> str:
        """Where the program is. Raises RunError (kind `no_cli`)."""
        return find_program(self.executable, "the judge's executable")

    def grade(self, evidence: Evidence) -> Grading:
        """Let the program read and answer. Raises NotGraded where it gives no valid answer."""
        with scratch("judge") as folder:
            session = _Session(self, evidence, folder)
            return converse(evidence, self.model, session.ask, structured=True)

    def arguments(self, evidence: Evidence, session: str | None) -> list[str]:
        """The command; `session` is the conversation that goes on."""
        schema = json.dumps(answer_schema(evidence.task.rubric))
        words = [self.program, "-p", "--model", self.model, *ALONE]
        words += ["--output-format", "stream-json", "--verbose", "--json-schema", schema]
        words += ["--max-turns", str(self.max_turns)]
        if evidence.files:
            words += ["--add-dir", str(evidence.files)]
        return [*words, "--resume", session] if session else words


class _Session:
    """One grading: the program's home, and the conversation that it keeps there."""

    def __init__(self, judge: ClaudeCode, evidence: Evidence, place: Path) -> None:
        self.judge, self.evidence = judge, evidence
        self.home, self.desk = place / "home", place / "evidence"
        self.home.mkdir()
        self.desk.mkdir()
        self.session: str | None = None
        self.told = False
        """The round before told its usage."""
        self.rounds = 0

    def ask(self, complaint: str | None, account: Account) -> str:
        """The program's next answer. Raises BadAnswer or RunError."""
        said = complaint or self.evidence.prompt_by_paths(self.desk).text
        patience = Patience(self.evidence.max_wait)
        while True:
            with self.evidence.turn(self.judge.endpoint, patience) as provider:
                finished = self._run(said, provider)
                stream = Stream(finished.stdout)
                self._count(stream, account)
                error = _error(stream, finished)
                if provider is None or error is None or error.kind not in REFUSALS:
                    break
                wait = seconds_until_reset(str(error), datetime.now().astimezone())
                provider.refused(REFUSALS[error.kind], wait)
                patience.used += finished.duration
        if error:
            raise error
        if provider is not None:
            provider.answered()
        self.session = stream.init.get("session_id", self.session)
        _check(stream, finished, self.judge)
        answer = stream.last.get("structured_output")
        return json.dumps(answer) if isinstance(answer, dict) else stream.text

    def _count(self, stream: Stream, account: Account) -> None:
        if self.told and stream.last:
            # A conversation that goes on tells the sum of all its rounds.
            account.tokens, account.cost_usd = NO_TOKENS, 0.0
        if stream.events:
            account.add(stream.tokens, stream.cost)
        self.told = bool(stream.last)

    def _run(self, said: str, provider: Provider | None) -> Finished:
        self.rounds += 1
        own = {"HOME": str(self.home), "TMPDIR": str(self.home), **QUIET}
        env = clean_environment({**own, **access(os.environ), **self.judge.env})
        slot = self.evidence.slot
        return run(
            Invocation(
                argv=self.judge.arguments(self.evidence, self.session),
                cwd=self.desk,
                env=env,
                stdin=said,
                timeout=self.judge.timeout,
                heard=None if provider is None else partial(_hear, provider),
            ),
            slot / f"stdout_{self.rounds}.log",
            slot / f"stderr_{self.rounds}.log",
        )


def _hear(provider: Provider, line: str) -> None:
    """Refusals that the program meets itself are told to all who ask the provider."""
    told = refusal(line)
    if told:
        provider.refused(*told)


def _check(stream: Stream, finished: Finished, judge: ClaudeCode) -> None:
    """Raise BadAnswer for an end that asking again may mend."""
    if finished.timed_out:
        raise BadAnswer(f"no answer within {judge.timeout:g} s", stream.text)
    limit = LIMITS.get(str(stream.last.get("subtype")))
    if limit:
        raise BadAnswer(f"no answer within its limit ({limit}): read less", stream.text)
    if stream.last.get("stop_reason") == "refusal":
        raise BadAnswer("the model refused to answer (stop_reason: refusal)", stream.text)


def _error(stream: Stream, finished: Finished) -> RunError | None:
    """Why there is no use in asking again, if so."""
    last = stream.last
    if finished.timed_out and stream.retry:
        status = stream.retry.get("error_status")
        return api_error(
            status, f"{stream.retry.get('error')}, until the time was up", "the judge's "
        )
    if finished.timed_out or str(last.get("subtype")) in LIMITS:
        return None
    if not last:
        said = finished.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        ended = f"Claude Code ended with {finished.exit_code} and no result: {said[0][:500]}"
        return RunError("crash", f"{ended}\n  next: read the slot's logs")
    if last.get("terminal_reason") == "api_error":
        return api_error(last.get("api_error_status"), stream.text[:500], "the judge's ")
    return None if stream.refused else error_of(last)
