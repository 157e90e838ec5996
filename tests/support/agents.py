"""What an agent adapter is given: jobs, and programs that have ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_scylla.agents import Job
from pytest_scylla.processes import Finished
from pytest_scylla.tiers import Resources, Setup


def make_setup(
    files: Mapping[str, str] | None = None, *, mode: str = "default", **resources: Any
) -> Setup:
    """A composed tier: files of the workspace, and resources as a subtest file names them."""
    return Setup(
        resources=Resources.model_validate(resources),
        system_prompt_mode=mode,
        agent_teams=False,
        files={name: (text.encode(), False) for name, text in (files or {}).items()},
        missing=(),
        inherited_from=None,
        digest="",
    )


def make_job(
    place: Path = Path("/nowhere"),
    setup: Setup | None = None,
    *,
    prompt: str = "Do it.\n",
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
) -> Job:
    """A job in `place/workspace`; nothing is made on disk."""
    return Job(
        prompt=prompt,
        prompt_file=place / "agent" / "prompt.md",
        workspace=place / "workspace",
        setup=setup or make_setup(),
        experiment=place / "experiment",
        env={"PATH": "/usr/bin:/bin"} if env is None else env,
        timeout=timeout,
    )


def ended(
    stdout: str = "", *, stderr: str = "", exit_code: int = 0, timed_out: bool = False
) -> Finished:
    """A program that ended like this."""
    return Finished(exit_code, stdout, stderr, duration=1.0, timed_out=timed_out)
