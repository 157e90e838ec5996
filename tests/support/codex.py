"""The real Codex, of one version, installed once for this user by the tests themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

VERSION = "0.169.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-scylla"
PLACE = CACHE / f"codex-{VERSION}"


def codex_binary() -> Path:
    """The program; from npm where it is not there yet.

    Where it cannot be had, a test fails in CI (the variable CI is set), and is skipped elsewhere.
    """
    program = PLACE / "node_modules" / ".bin" / "codex"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with FileLock(CACHE / f"codex-{VERSION}.lock"):
            if not program.exists():
                _install()
    return program


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        _lack("there is no npm: install Node.js 20 or later, or run .ci/install-system")
    aside = PLACE.with_name(f"{PLACE.name}.making")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    options = ["--no-audit", "--no-fund", "--prefix", str(aside)]
    done = subprocess.run(
        [str(npm), "install", *options, f"@openai/codex@{VERSION}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        _lack(f"npm install @openai/codex@{VERSION}: {done.stderr[-500:]}")
    os.replace(aside, PLACE)


def _lack(why: str) -> None:
    text = f"no Codex for the tests: {why}"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
