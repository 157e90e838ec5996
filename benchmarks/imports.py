"""What the plugin costs a session that has no experiment, and what it imports there.

Ordinary sessions with the plugin and with `-p no:scylla`: `pytest -VV`, one test, and one
test in a project of 2,000 directories (the plugin looks for experiments before the workers start).
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.experiments import PYTEST, environment, write_files
from benchmarks.timing import Sample, interleaved, rounds_argument, show, timed

HEAVY = ("anthropic", "git", "pydantic", "yaml", "filelock")
TEST = {"test_one.py": "def test_one():\n    assert True\n"}


def main() -> None:
    """Measure all sessions."""
    options = rounds_argument(__doc__ or "", 15).parse_args()
    with tempfile.TemporaryDirectory() as name:
        small, wide = Path(name, "small"), Path(name, "wide")
        write_files(small, TEST)
        write_files(wide, TEST | _directories(2000))
        print("heavy modules imported:", ", ".join(_heavy(small)) or "none")
        _compare("pytest -VV", small, ["-VV"], options.rounds)
        _compare("a session of one test", small, ["-q"], options.rounds)
        _compare("one test among 2,000 directories", wide, ["-q"], options.rounds)


def _directories(count: int) -> dict[str, str]:
    names = [f"package_{n % 40}/part_{n}/notes" for n in range(count // 2)]
    return {f"{name}/text_{n}.md": "" for name in names for n in range(4)}


def _session(folder: Path, *options: str) -> Sample:
    return timed([*PYTEST, *options], folder, environment())


def _compare(title: str, folder: Path, words: list[str], rounds: int) -> None:
    sides = {
        "without the plugin": partial(_session, folder, *words, "-p", "no:scylla"),
        "with the plugin": partial(_session, folder, *words),
    }
    show(title, interleaved(sides, rounds), "without the plugin", "30 ms more")


def _heavy(folder: Path) -> list[str]:
    """Which of the heavy modules a session of one test imports."""
    words = [PYTEST[0], "-X", "importtime", *PYTEST[1:], "-q"]
    said = subprocess.run(
        words, cwd=folder, env=environment(), capture_output=True, text=True, check=True
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    return [name for name in HEAVY if name in names]


if __name__ == "__main__":
    main()
