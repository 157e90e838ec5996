"""A disk that is full or cannot be written to: one clear message, and what was there is intact."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.experiments import (
    IN_PROCESS,
    TWO_WORKERS,
    WORKS,
    Experiment,
    command,
    read,
    snapshot,
)


def can_mount() -> bool:
    """Whether a file system of our own can be had, in a mount namespace of our own."""
    tried = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return not subprocess.run(tried, capture_output=True, check=False).returncode


own_disk = pytest.mark.skipif(not can_mount(), reason="mounting needs root: see the other tests")


def on_a_disk_of_its_own(toy: Experiment, *steps: str) -> list[tuple[int, str]]:
    """Shell commands, one after the other, that see `results` on a disk of 12 MB.

    Returns the exit status and the output of each; the results are copied back at the end.
    """
    place = toy.pytester.path
    (place / "results").mkdir()
    lines = ["mount -t tmpfs -o size=12m tmpfs results"]
    for number, step in enumerate(steps):
        lines.append(f"{{ {step}; }} > {number}.out 2>&1; echo $? > {number}.rc")
    lines.append("cp -a results after")
    words = ["unshare", "-m", "sh", "-c", "\n".join(lines)]
    subprocess.run(words, cwd=place, timeout=300, check=True)
    (place / "results").rmdir()
    (place / "after").rename(place / "results")
    return [
        (int((place / f"{n}.rc").read_text()), (place / f"{n}.out").read_text())
        for n in range(len(steps))
    ]


FILL = "dd if=/dev/zero of=results/fill bs=1k; sync"


@own_disk
def test_a_full_disk_starts_no_agent_and_spoils_nothing(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, runs=2)
    session = shlex.join(command(toy.file, *TWO_WORKERS))
    listing = "find results -name run_01 -prune -exec find {} -type f -printf '%i %p %T@ %s\\n' ';'"
    (first, _, before, full, after, _, again, _, listed, (status, nothing)) = on_a_disk_of_its_own(
        toy,
        f"{session} --scylla-runs=1",
        f"{FILL}; truncate -s -2M results/fill; echo filled",
        listing,
        session,
        listing,
        "rm results/fill",
        session,
        "mount -o remount,ro results",
        f"{session} --collect-only -q",
        session,
    )
    assert first[0] == again[0] == listed[0] == 0
    assert full[0] == pytest.ExitCode.TESTS_FAILED
    assert "no agent is started with" in full[1]
    assert "next: make room or make it writable, then give the same command" in full[1]
    assert "Traceback" not in full[1]
    assert before[1] == after[1]
    assert toy.executions == {"T0/00-empty/run_01": 1, "T0/00-empty/run_02": 1}
    assert toy.verdicts() == {"T0/00-empty/run_01": 1.0, "T0/00-empty/run_02": 1.0}
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "cannot write to" in nothing
    assert "Read-only file system" in nothing
    assert "next: make room or make it writable, or name another place" in nothing
    assert "Traceback" not in nothing


@own_disk
def test_a_disk_without_a_byte_left_is_told_before_anything_is_done(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(pytester)
    session = shlex.join(command(toy.file, *IN_PROCESS))
    _, (status, said) = on_a_disk_of_its_own(toy, FILL, session)
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert not toy.executions


def test_results_that_cannot_be_stored_are_an_error_and_stay_for_the_next_session(
    pytester: pytest.Pytester,
) -> None:
    """Files may have 24 KiB here: the agent prints more."""
    much = "head -c 100000 /dev/zero | tr '\\0' x"
    tiers = {"T0": {"00-a": {}, "01-much": {"claude_md": {"blocks": ["B01"]}}}}
    toy = Experiment(pytester, tiers=tiers)
    toy.write_agent(f'case "$run" in *much*) {much};; esac; {WORKS}')
    limited = ["sh", "-c", 'ulimit -f 48; exec "$@"', "sh", *command(toy.file, *TWO_WORKERS)]
    result = pytester.run(*limited, timeout=120)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, errors=1)
    said = result.stdout.str()
    assert "cannot write: File too large" in said
    assert "next: make room" in said
    assert "Traceback" not in said
    assert read(toy.path("T0/01-much/run_01/error.json"))["kind"] == "disk"
    kept = snapshot(toy.path("T0/00-a/run_01/agent"))
    toy.run().assert_outcomes(passed=2)
    assert snapshot(toy.path("T0/00-a/run_01/agent")) == kept
    assert toy.executions == {"T0/00-a/run_01": 1, "T0/01-much/run_01": 2}


@pytest.mark.skipif(os.getuid() == 0, reason="permissions do not hold for root")
def test_a_directory_without_permission_is_told_before_anything_is_done(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(pytester)
    results: Path = pytester.mkdir("results")
    results.chmod(0o500)
    result = toy.run()
    results.chmod(0o700)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("*cannot write to *: Permission denied")
