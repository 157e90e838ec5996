"""Errors: what they say, and what they mean for a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_scylla.errors import InputError, NotRun, RunError, ScyllaError, VerdictFailed


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
