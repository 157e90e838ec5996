"""Before anything is spent: is the program there, is the key taken, is the model known?

Asked once in a session for each agent and judge, by the first run that needs it; all others take
its answer. So a wrong key is one error, in seconds, and not one for every run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from .errors import NotRun, RunError
from .store import read_json, write_json


def preflight(folder: Path, key: str, name: str, check: Callable[[], object]) -> None:
    """Make the check of `key`, unless another run of the session has.

    `folder` is the session's; `name` is what people call it. Raises RunError where the check that
    this call made fails, and NotRun with the same reason where another's did.
    """
    path = folder / f"{key}.json"
    found = read_json(path)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = read_json(path)
            if found is None:
                _make(path, name, check)
                return
    if found["error"]:
        raise NotRun(f"preflight of {name} failed: {str(found['error']).splitlines()[0]}")


def _make(path: Path, name: str, check: Callable[[], object]) -> None:
    try:
        check()
    except RunError as error:
        write_json(path, {"name": name, "error": str(error)})
        raise
    write_json(path, {"name": name, "error": None})
