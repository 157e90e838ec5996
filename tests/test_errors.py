"""Errors: what they say, and what they mean for a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_scylla.errors import (
    JUDGED,
    KINDS,
    InputError,
    NotRun,
    RunError,
    ScyllaError,
    VerdictFailed,
)

ROOT = Path(__file__).parent.parent


def test_an_input_error_names_the_file_the_key_and_the_next_step() -> None:
    error = InputError(Path("task/test.yaml"), "source.repo", "missing", "add this key")
    assert str(error) == "task/test.yaml: source.repo: missing\n  next: add this key"


def test_an_input_error_about_a_whole_file_names_no_key() -> None:
    error = InputError("test.yaml", "", "no such file", "create it")
    assert str(error) == "test.yaml: no such file\n  next: create it"


@pytest.mark.parametrize("kind", [InputError, RunError, NotRun, VerdictFailed])
def test_every_error_is_one_that_is_answered_with_a_message(kind: type[Exception]) -> None:
    assert issubclass(kind, ScyllaError)


def test_an_error_is_not_a_verdict() -> None:
    assert not issubclass(RunError, VerdictFailed)
    assert not issubclass(NotRun, VerdictFailed)


def test_a_run_error_keeps_its_kind() -> None:
    error = RunError("no_cli", "cannot start agent")
    assert (error.kind, str(error)) == ("no_cli", "cannot start agent")


def test_a_run_error_of_a_kind_says_the_next_step_of_the_kind_or_a_better_one() -> None:
    assert str(RunError.of("auth", "no")) == "no\n  next: correct the key"
    assert str(RunError.of("auth", "no", "set KEY")) == "no\n  next: set KEY"


def test_every_kind_of_error_that_the_code_raises_is_in_the_table() -> None:
    raised = set()
    for path in (ROOT / "pytest_scylla").rglob("*.py"):
        raised |= set(re.findall(r"RunError(?:\.of)?\(\s*\"(\w+)\"", path.read_text("utf-8")))
    assert len(raised) > 8
    assert raised <= KINDS.keys()
    assert set(JUDGED) <= KINDS.keys()


def test_the_documentation_has_every_kind_with_its_meaning_and_next_step() -> None:
    page = (ROOT / "docs/reference/outcomes.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", page.split("is an ERROR\n")[1], re.M)
    assert rows == [(name, kind.meaning, kind.step) for name, kind in KINDS.items()]
