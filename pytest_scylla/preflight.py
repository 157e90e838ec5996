"""Before anything is spent: is the program there, is the key taken, is the model known?

Asked once in a session for each agent and judge, by the first run that needs it; all others take
its answer. So a wrong key is one error, in seconds, and not one for every run.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from .errors import NotRun, RunError
from .store import digest, read_json, write_json


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


def first_to_say(folder: Path, text: str) -> bool:
    """Whether no other run of the session has said this; `folder` is the session's."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(folder / f"said-{digest(text)}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


# -- the model's page ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ApiError:
    """An error as an API spells it: `{"error": {"type", "code", "message"}}`."""

    status: int
    """Of HTTP."""
    type: str
    code: str
    message: str


def ask_for_model(models: str, model: str, headers: Mapping[str, str]) -> ApiError | None:
    """Ask an API for the page of a model, below the URL `models`; that costs nothing.

    None where the page is there, and where the answer is no error of an API's form: a gateway may
    lack the page. Raises OSError where nobody answers.
    """
    page = f"{models}/{urllib.parse.quote(model, safe='')}"
    try:
        _open(urllib.request.Request(page, headers=dict(headers)))
    except urllib.error.HTTPError as answer:
        return _read(answer)
    except (ValueError, http.client.HTTPException) as error:  # no URL, or no HTTP
        raise OSError(str(error) or type(error).__name__) from None
    return None


def _open(request: urllib.request.Request) -> None:
    """A passing fault of the network is not the last word."""
    for left in (2, 1, 0):
        try:
            urllib.request.urlopen(request, timeout=15).close()
        except urllib.error.HTTPError:
            raise
        except OSError:
            if not left:
                raise
            time.sleep(0.5)
        else:
            return


def _read(answer: urllib.error.HTTPError) -> ApiError | None:
    try:
        error = json.loads(answer.read())["error"]
        words = (str(error.get(name)) for name in ("type", "code", "message"))
        return ApiError(answer.code, *words)
    except (ValueError, LookupError, TypeError, AttributeError, OSError):
        return None
