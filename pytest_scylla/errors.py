"""What can go wrong, by what it means for a run: an error is never a score.

Every message is complete in itself: what happened, where (file and key), and the next step.
"""

from __future__ import annotations

from pathlib import Path


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


class NotRun(ScyllaError):
    """The run is deliberately left out (pytest: SKIPPED); the message is the reason."""


class VerdictFailed(ScyllaError):
    """The judges said no (pytest: FAILED, or XFAIL for a frontier subtest)."""


class ScyllaWarning(UserWarning):
    """Something in the inputs or results that deserves a look but stops nothing."""
