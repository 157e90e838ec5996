"""Run one shell command of the experiment's author on what an agent left, out of its reach."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .processes import Invocation, clean_environment, run
from .recorded import Origin
from .scratch import scratch
from .shell_words import programs
from .store import read_json, remove_tree

LONGEST_OUTPUT = 20_000
"""Characters of a check's output that are kept (its end)."""


NO_ORIGIN = Origin()

INDOORS = Path(__file__).parent / "indoors"
"""What runs within the processes of a check."""

SESSIONS, LENGTH = 64, 32
"""How many sessions of pytest a check may have; characters of the number that each one takes."""

CUT_OFF = 70
"""Exit status of a check in which a pytest was ended from within."""

CUT_OFF_MESSAGE = "\npytest was ended from within, before it had seen all tests\n"

NOT_FOUND = 127
"""Exit status of the shell where it does not know a command."""

_BARE = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Check:
    """How a check ended; its exit status decides, never what it prints."""

    exit_code: int
    output: str
    """Standard output and error, the last part of each."""
    duration: float
    """Seconds."""
    timed_out: bool
    tests: Mapping[str, str] = field(default_factory=dict)
    """Node id -> `passed`, `failed` or `skipped`, of every pytest that the command ran."""


def run_check(
    command: str,
    cwd: Path,
    timeout: float,
    env: Mapping[str, str],
    origin: Origin = NO_ORIGIN,
) -> Check:
    """Run `command` with /bin/sh in `cwd` for at most `timeout` seconds.

    `cwd` holds what an agent left, and `origin` says what of it is the task's own: nothing else
    takes the place of a program, of a module of the environment, or of a test run's configuration.
    A pytest that was ended from within is no success, whatever its exit status.
    """
    with scratch("check") as folder, _Pytest(folder / "pytest", cwd, env, origin) as pytest:
        own = {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PATH": search_path(),
            "GIT_CEILING_DIRECTORIES": str(cwd.parent),
            **_python(cwd, origin),
            **pytest.variables(command),
            **env,
        }
        invocation = Invocation(
            ["/bin/sh", "-c", command],
            cwd,
            clean_environment(own),
            timeout=timeout,
            watched=False,
        )
        finished = run(invocation, folder / "stdout", folder / "stderr")
        cut_off, tests = pytest.outcome()
    output = finished.stdout[-LONGEST_OUTPUT:] + finished.stderr[-LONGEST_OUTPUT:]
    if cut_off and finished.exit_code == 0:
        return Check(CUT_OFF, output + CUT_OFF_MESSAGE, finished.duration, finished.timed_out)
    return Check(finished.exit_code, output, finished.duration, finished.timed_out, tests)


def search_path() -> str:
    """PATH for commands: the interpreter that runs pytest first, then the session's.

    Without relative entries, which would be within what an agent left.
    """
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    own = os.path.dirname(sys.executable)
    return os.pathsep.join([own, *(entry for entry in entries if os.path.isabs(entry))])


def _python(cwd: Path, origin: Origin) -> dict[str, str]:
    return {
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": str(INDOORS),
        "SCYLLA_WORKSPACE": str(cwd),
        "SCYLLA_TASK_MODULES": os.pathsep.join(origin.modules),
    }


def first_word(command: str) -> str:
    """The program of a command, where it is a plain name; what has a slash is the task's own."""
    word = command.split()[0] if command.split() else ""
    return word if _BARE.fullmatch(word) else ""


def is_there(tool: str) -> bool:
    """Whether the shell knows a command, outside of what an agent left."""
    asked = ["/bin/sh", "-c", 'command -v -- "$1" > /dev/null', "sh", tool]
    return subprocess.run(asked, env={"PATH": search_path()}, cwd="/").returncode == 0


def missing_programs(command: str) -> list[str]:
    """The programs that a command names for sure, and the shell does not know."""
    return [name for name in programs(command) if not is_there(name)]


class _Pytest:
    """What every pytest below a check is told, and what it records (see indoors/)."""

    def __init__(self, folder: Path, cwd: Path, env: Mapping[str, str], origin: Origin) -> None:
        self._folder = folder
        self._cwd = cwd
        self._task = env.get("SCYLLA_TASK")
        self._numbers = [secrets.token_hex(LENGTH // 2) for _ in range(SESSIONS)]
        self._origin = origin
        # In the workspace where the task has one: pytest reads the paths in it from where it is.
        place, suffix = (
            (cwd, self._origin.pytest_suffix) if self._origin.pytest_suffix else (folder, ".ini")
        )
        self._config = place / f".scylla-pytest{suffix}"

    def __enter__(self) -> _Pytest:
        self._folder.mkdir()
        (self._folder / "numbers").write_text("".join(f"{n}\n" for n in self._numbers))
        remove_tree(self._config)
        self._config.write_text(self._origin.pytest_config, encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        remove_tree(self._config)

    def variables(self, command: str) -> dict[str, str]:
        """Options in the environment: they hold however pytest is started."""
        hidden = self._task is not None and "SCYLLA_TASK" in command
        options = [
            *("-p", "scylla_outcomes", "-p", "no:cacheprovider", "-c", str(self._config)),
            f"--rootdir={self._cwd}",
            f"--confcutdir={self._task if hidden else self._cwd}",
        ]
        return {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": shlex.join(options),
            "SCYLLA_OUTCOMES": str(self._folder),
        }

    def outcome(self) -> tuple[bool, dict[str, str]]:
        """Whether a pytest did not come to its end; how the tests of all of them went."""
        tests: dict[str, str] = {}
        cut_off = False
        for path in sorted(self._folder.glob("taken-*")):
            slot = path.name.removeprefix("taken-")
            record = read_json(self._folder / f"record-{slot}") or {}
            number = self._numbers[int(slot)] if slot.isdigit() and int(slot) < SESSIONS else ""
            if number and record.get("number") == number:
                # Work that has found the next number cannot take back a failure with it.
                lost = {name for name, outcome in tests.items() if outcome == "failed"}
                tests |= {name: how for name, how in record["tests"].items() if name not in lost}
            else:
                cut_off = True
        return cut_off, tests
