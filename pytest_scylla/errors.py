"""What can go wrong, by what it means for a run: an error is never a score.

Every message is complete in itself: what happened, where (file and key), and the next step.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EXIT_REGRESSION = 8
EXIT_NOT_COMPARED = 9
"""Exit status where a tier got worse than in earlier results; pytest's own are 0 to 5."""


class ScyllaError(Exception):
    """Base of all errors that are answered with one clear message and no traceback."""


class InputError(ScyllaError):
    """A file that the user wrote cannot be used: a collection error of that file alone.

    `path` is the file, `key` the dotted place in it, `next_step` what to do about it.
    """

    def __init__(self, path: Path | str, key: str, problem: str, next_step: str) -> None:
        self.path, self.key, self.problem, self.next_step = str(path), key, problem, next_step
        place = f"{path}: {key}" if key else str(path)
        super().__init__(f"{place}: {problem}\n  next: {next_step}")


class RunError(ScyllaError):
    """No verdict could be reached (pytest: ERROR). `kind` groups errors in reports."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)

    @classmethod
    def of(cls, kind: str, said: str, step: str | None = None) -> RunError:
        """An error of a kind in `KINDS`: what was said, and the next step (the kind's own one
        where `step` names no better)."""
        return cls(kind, f"{said}\n  next: {step or KINDS[kind].step}")


class NotRun(ScyllaError):
    """The run is deliberately left out (pytest: SKIPPED); the message is the reason."""


class VerdictFailed(ScyllaError):
    """The judges said no (pytest: FAILED, or XFAIL for a frontier subtest)."""


class ScyllaWarning(UserWarning):
    """Something in the inputs or results that deserves a look but stops nothing."""


class UntouchedTaskWarning(ScyllaWarning):
    """An agent that does nothing gets points."""


@dataclass(frozen=True)
class Kind:
    """What a kind of error means, and what to do about it."""

    meaning: str
    step: str
    """The next step, where the message knows no better one."""


_LATER = "run the same command later: it goes on when the API takes requests again"
_LOGS = "read stdout.log and stderr.log in the run's agent directory"

KINDS: Mapping[str, Kind] = {
    "rate_limit": Kind("the API takes no more requests for now (429)", _LATER),
    "quota": Kind("the account has no credit left", "add credit to the account, then run again"),
    "overloaded": Kind("the API has too much to do (503, 529)", _LATER),
    "auth": Kind("the API refused the key (401, 403)", "correct the key"),
    "model_unknown": Kind(
        "the API knows no such model (404)", "correct agent.model in experiment.yaml"
    ),
    "refusal": Kind(
        "the model refused the task",
        "read agent/transcript.jsonl; reword the task's prompt, or take another model",
    ),
    "prompt_too_long": Kind(
        "the conversation outgrew what the model can take",
        "shorten the prompt or what the tier gives, or take another model",
    ),
    "network": Kind("the API could not be reached", "check the network, then run again"),
    "api_error": Kind("the API answered with another error", _LATER),
    "turn_limit": Kind("the agent came to its limit of turns", "raise agent.max_turns"),
    "budget_limit": Kind("the agent came to its own limit of cost", "raise it in agent.args"),
    "time_limit": Kind(
        "the time was up: `silent_seconds` in result.json tells whether it was still at work",
        "give it more time: agent.timeout in experiment.yaml",
    ),
    "not_started": Kind(
        "the time was up before the agent began",
        "give it more time: agent.timeout in experiment.yaml",
    ),
    "crash": Kind("the agent ended with an error and without a result", _LOGS),
    "agent_error": Kind("the agent gave up for a reason of its own", _LOGS),
    "no_cli": Kind(
        "the agent's program is not there, or of a version that is not supported",
        "install it, or correct the agent in experiment.yaml",
    ),
    "mcp": Kind(
        "an MCP server that the tier gives did not start", "run the server's command by hand"
    ),
    "tools": Kind("the agent lacks a tool that the tier names", "correct tools.enabled"),
    "agents": Kind(
        "the agent did not take up a sub-agent that the tier gives",
        "give it a frontmatter: name, description",
    ),
    "setup": Kind(
        "the library lacks something that the subtest names",
        "add it to the library, or take it out of the subtest",
    ),
    "source": Kind("the task's source could not be had", "check source in test.yaml"),
    "workspace": Kind(
        "the workspace is gone, and cannot be made again",
        "put back the task's source and agent/changes.patch, or run the agent again "
        "(--scylla-from agent)",
    ),
    "damaged": Kind(
        "what the agent left was changed or lost after it was stored",
        "put back output.txt and changes.patch, or run the agent again (--scylla-from agent)",
    ),
    "git": Kind("the workspace could not be made", "read what git says"),
    "no_quorum": Kind(
        "too few valid judgments; the message has every slot's reason",
        "run again: only slots without a valid judgment are asked",
    ),
    "checks_changed": Kind(
        "what decides was changed while the session ran: by you, or by an agent",
        "put the files back if it was not you, then run again",
    ),
    "rubric": Kind(
        "the rubric has nothing that the judges can grade, or a `run:` of it cannot work here",
        "correct the rubric, or add another judge",
    ),
    "pipeline": Kind(
        "a step of the pipeline cannot work here, not even on the untouched task",
        "correct the step in experiment.yaml, or say with `needs` and `when` where it applies",
    ),
    "isolation": Kind(
        "what is to keep the agent in its place is not to be had here",
        "install it, or correct isolation in experiment.yaml",
    ),
    "disk_limit": Kind("the agent stored more than it may", "raise isolation.disk_mb"),
    "bad_answer": Kind(
        "in a judge slot: no valid answer, asked twice", "read error.log in the slot's directory"
    ),
    "disk": Kind(
        "there is no room on the disk, or it cannot be written to",
        "make room or make it writable, then give the same command: what is stored is kept, and "
        "only the rest is done",
    ),
    "lost": Kind("the run's worker died three times", "look for what ends it: memory, say"),
}
"""Every kind of our own; an adapter of somebody else's may have others."""

_OF_THE_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
)


def disk_error(error: BaseException | None) -> RunError | None:
    """The error `disk` with its next step, where an OSError says that something was not stored."""
    if not isinstance(error, OSError) or error.errno not in _OF_THE_DISK:
        return None
    where = f" {error.filename}" if error.filename else ""
    return RunError.of("disk", f"cannot write{where}: {error.strerror}")


JUDGED = ("turn_limit", "budget_limit", "time_limit", "disk_limit")
"""Kinds that end the agent's work and are no error: what is there is judged."""

LIMITS: Mapping[str, str] = {
    "error_max_turns": "turn_limit",
    "error_max_budget_usd": "budget_limit",
}
"""What Claude Code calls a limit (`subtype` of its result) -> one of `JUDGED`."""

STATUSES: Mapping[int, str] = {
    401: "auth",
    402: "quota",
    403: "auth",
    404: "model_unknown",
    413: "prompt_too_long",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}
"""HTTP status of a model's API -> kind of error; any other failure is an `api_error`."""
