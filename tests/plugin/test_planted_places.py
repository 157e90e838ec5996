"""Pipes, devices and links where a session expects files of its own: it waits for none of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.experiments import MODES, Experiment, once_each, run_pytest

RUN = "T0/00-empty/run_01"
PLACES = (
    "rubric.yaml",
    "prompt.md",
    "report.md",
    "report.html",
    "report.json",
    "config/experiment.json",
    "T0/00-empty/report.md",
    "T0/00-empty/config_manifest.json",
    f"{RUN}/report.md",
    f"{RUN}/error.json",
    f"{RUN}/judge/judge_01/error.log",
    f"{RUN}/agent/stderr.log",
)


def a_pipe(place: Path) -> None:
    os.mkfifo(place)


def an_endless_device(place: Path) -> None:
    place.symlink_to("/dev/zero")


@pytest.mark.parametrize("plant", [a_pipe, an_endless_device])
@MODES
def test_what_stands_in_the_place_of_a_file_hangs_no_session(
    pytester: pytest.Pytester, mode: tuple[str, ...], plant: Callable[[Path], None]
) -> None:
    toy = Experiment(pytester)
    toy.run(*mode).assert_outcomes(passed=1)
    for name in PLACES:
        place = toy.path(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        plant(place)
    run_pytest(pytester, toy.file, *mode, timeout=120).assert_outcomes(passed=1)
    assert toy.executions == once_each(RUN)
    for name in ("report.md", "report.html"):
        assert toy.path(name).is_file(), f"{name} is made again"
        assert not toy.path(name).is_symlink()


def test_a_pipe_among_the_inputs_is_one_message(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    (rubric,) = toy.directory.rglob("rubric.yaml")
    rubric.unlink()
    os.mkfifo(rubric)
    result = run_pytest(pytester, toy.file, timeout=60)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*rubric.yaml*"])
