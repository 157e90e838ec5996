"""Real agents from npm, each of one version, installed once for this user by the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-scylla"
CODEX = "@openai/codex@0.169.0"
OPENCODE = "opencode-ai@1.18.33"


def codex_binary() -> Path:
    """The program `codex`."""
    return installed(CODEX, "codex")


def opencode_binary() -> Path:
    """The program `opencode`."""
    return installed(OPENCODE, "opencode")


def ripgrep() -> Path:
    """The program `rg`, which Codex brings along."""
    found = codex_binary().parents[1].glob("@openai/*/vendor/*/codex-path/rg")
    return next(found)


def installed(package: str, name: str) -> Path:
    """A program of a package; from npm where it is not there yet.

    Where it cannot be had, a test fails in CI (the variable CI is set), and is skipped elsewhere.
    """
    place = CACHE / f"{name}-{package.rpartition('@')[2]}"
    program = place / "node_modules" / ".bin" / name
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):
            if not program.exists():
                _install(package, place)
    return program


def _install(package: str, place: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        _lack(package, "there is no npm: install Node.js 20 or later, or run .ci/install-system")
    aside = place.with_name(f"{place.name}.making")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    command = [str(npm), "install", "--no-audit", "--no-fund", "--prefix", str(aside), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        _lack(package, f"npm install: {done.stderr[-500:]}")
    os.replace(aside, place)


def _lack(package: str, why: str) -> None:
    text = f"the tests need {package}: {why}"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)
