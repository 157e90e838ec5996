"""The pipeline: build, format, test, pre-commit, before any agent (the baseline) and after each.

It runs on what is recorded of an agent's work, as checks do (see checks.py). Steps are commands in
experiment.yaml, or those of a language (the hook `pytest_scylla_pipeline`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from filelock import FileLock

from .bases import Base
from .checks import NOT_FOUND, Check, first_word, is_there, run_check
from .experiment import StepConfig
from .recorded import TESTS, Recorded, recorded
from .results import PipelineResult, StepResult
from .store import digest, read_model, write_json

PIPELINE_BASELINE = "pipeline_baseline.json"
"""The pipeline on the task's untouched files, in the results directory."""

TEST_STEP = "test"
"""Before the step of this name, the task's own tests are put back."""

PYTHON = (
    StepConfig(
        name="build",
        needs=("python",),
        run='PYTHONPYCACHEPREFIX="$TMPDIR/pyc" python -m compileall -q .',
    ),
    StepConfig(
        name="format",
        needs=("ruff",),
        when="grep -qs '^\\[tool\\.ruff' pyproject.toml || test -f ruff.toml -o -f .ruff.toml",
        run="ruff format --check --no-cache .",
    ),
    StepConfig(
        name="format-black",
        needs=("black",),
        when="grep -qs '^\\[tool\\.black' pyproject.toml",
        run="black --check --quiet .",
    ),
    StepConfig(
        name="pre-commit",
        needs=("pre-commit", "git"),
        when="test -f .pre-commit-config.yaml",
        run="git init -q . && git add -A -f && pre-commit run --all-files; "
        "status=$?; rm -rf .git; exit $status",
    ),
    StepConfig(
        name=TEST_STEP,
        needs=("pytest",),
        when="find . -name 'test_*.py' -o -name '*_test.py' | grep -q .",
        run="python -m pytest -q",
        timeout=900,
    ),
)
"""The steps of `pipeline: python`."""

Read = Callable[[Path, type[PipelineResult]], PipelineResult | None]


def pipeline_inputs(
    steps: Sequence[StepConfig], protected: Sequence[str] | None = None
) -> dict[str, str]:
    """What a pipeline's result depends on, beside the files."""
    said = [step.model_dump() for step in steps]
    return {"steps": digest(said if protected is None else [said, list(protected)])}


def run_pipeline(
    steps: Sequence[StepConfig], left: Recorded, protected: Sequence[str] | None = None
) -> PipelineResult:
    """Run all steps, one after the other, on the same files."""
    results: list[StepResult] = []
    for step in steps:
        if results:  # within a step the work may have run
            left.undo()
        if step.name == TEST_STEP:
            left.put_back(TESTS if protected is None else protected)
        results.append(_run_step(step, left))
    return PipelineResult(steps=tuple(results), inputs=pipeline_inputs(steps, protected))


def _run_step(step: StepConfig, left: Recorded) -> StepResult:
    # Asked before it is run: the exit status 127 may be that of a command within it.
    for tool in step.needs or (first_word(step.run),):
        if tool and not is_there(tool):
            return _result(
                step, "not_applicable", Check(NOT_FOUND, f"{tool} was not found\n", 0, False)
            )
    own = {"PRE_COMMIT_HOME": _pre_commit_home()}
    place = (left.files, step.timeout, own, left.origin)
    if step.when is not None and run_check(step.when, *place).exit_code != 0:
        said = f"does not apply: {step.when}\n"
        return _result(step, "not_applicable", Check(1, said, 0, False))
    check = run_check(step.run, *place)
    return _result(step, "passed" if check.exit_code == 0 else "failed", check)


def _result(
    step: StepConfig, status: Literal["passed", "failed", "not_applicable"], check: Check
) -> StepResult:
    return StepResult(
        name=step.name,
        status=status,
        exit_code=check.exit_code,
        output=check.output,
        duration_seconds=check.duration,
        tests=dict(check.tests),
        timed_out=check.timed_out,
        command=step.run,
    )


def _pre_commit_home() -> str:
    """Where pre-commit keeps the environments of its hooks: they are not made for every run."""
    return os.environ.get("PRE_COMMIT_HOME") or os.path.expanduser("~/.cache/pre-commit")


def baseline(
    steps: Sequence[StepConfig],
    base: Base,
    results: Path,
    protected: Sequence[str] | None = None,
    read: Read = read_model,
    sealed: Callable[[PipelineResult], PipelineResult] = lambda result: result,
) -> PipelineResult:
    """The pipeline on the task's untouched files, once per results directory.

    `read` and `sealed` see to it that a result that an agent put there is not believed.
    """
    path = results / PIPELINE_BASELINE
    inputs = {**pipeline_inputs(steps, protected), "commit": base.commit}
    if not steps:
        return PipelineResult(steps=(), inputs=inputs)
    with FileLock(results / ".pipeline_baseline.lock"):
        kept = read(path, PipelineResult)
        if kept is not None and kept.inputs == inputs:
            return kept
        with recorded(base.repository, base.commit) as files:
            result = run_pipeline(steps, files).model_copy(update={"inputs": inputs})
        result = sealed(result)
        write_json(path, result)
        return result


def compared(after: PipelineResult, before: PipelineResult) -> PipelineResult:
    """`after`, with what is different from `before`: per step, and per test where pytest ran."""
    old, new = dict(_outcomes(before)), dict(_outcomes(after))
    regressions, existing, improvements = [], [], []
    for name, outcome in old.items():
        now_is = new.get(name, "gone")
        if outcome == "passed" and now_is != "passed":
            regressions.append(name if now_is == "failed" else f"{name} ({now_is})")
        elif outcome == "failed" and now_is == "failed":
            existing.append(name)
        elif outcome == "failed" and now_is == "passed":
            improvements.append(name)
    found = {
        "regressions": tuple(regressions),
        "existing_failures": tuple(existing),
        "improvements": tuple(improvements),
    }
    return after.model_copy(update=found)


def _outcomes(result: PipelineResult) -> Iterator[tuple[str, str]]:
    for step in result.steps:
        yield step.name, step.status
        yield from ((f"{step.name}: {test}", outcome) for test, outcome in step.tests.items())
