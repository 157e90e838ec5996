"""Small things to test with: task directories, tier libraries, repositories, results."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, settings

from pytest_scylla.results import Judgment, RunResult, TokenStats
from pytest_scylla.rubric import Category, Grading, Item, Rubric
from pytest_scylla.store import write_json
from pytest_scylla.tiers import Setup, Subtest, compose, load_library

law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties: nothing is timed."""

law_on_disk = settings(law, max_examples=40)
"""For properties whose every example makes files."""

RUBRIC: dict[str, Any] = {
    "categories": {
        "functional": {
            "weight": 1.0,
            "scoring_type": "checklist",
            "items": [{"id": "F1", "check": "the file is there", "points": 1, "run": "test -f f"}],
        }
    },
    "grading": {"pass_threshold": 0.6},
}

TEST: dict[str, Any] = {
    "id": "test-001",
    "name": "Hello",
    "description": "Say hello.",
    "language": "python",
    "source": {"repo": "files"},
    "task": {"prompt_file": "prompt.md", "timeout_seconds": 180},
    "validation": {
        "criteria_file": "expected/criteria.md",
        "rubric_file": "expected/rubric.yaml",
    },
    "tiers": ["T0", "T1"],
}

EXPERIMENT: dict[str, Any] = {
    "id": "example",
    "task": "task",
    "tiers": "tiers",
    "runs": 2,
    "agent": {"adapter": "command", "command": ["true"]},
    "judges": [{"adapter": "rubric-checks"}],
}


def write_files(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below `root`, with their directories."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def write_yaml(path: Path, value: Any) -> Path:
    """Write `value` as a YAML file."""
    write_files(path.parent, {path.name: yaml.safe_dump(value, sort_keys=False)})
    return path


def write_task(
    root: Path, test: Mapping[str, Any] | None = None, rubric: Mapping[str, Any] = RUBRIC
) -> Path:
    """A task directory in ProjectScylla's format, with a plain directory of files as its source."""
    write_yaml(root / "test.yaml", {**TEST, **(test or {})})
    write_yaml(root / "expected" / "rubric.yaml", dict(rubric))
    return write_files(
        root,
        {
            "prompt.md": "Write hello.py.\n",
            "expected/criteria.md": "It says hello.\n",
            "files/README.md": "A task.\n",
        },
    )


def write_library(
    root: Path,
    subtests: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """A tier library. `subtests`: "T0/00-empty" -> what its file says."""
    tiers = dict.fromkeys(name.split("/")[0] for name in subtests)
    write_yaml(root / "tiers.yaml", {"tiers": {tier: {"name": f"Tier {tier}"} for tier in tiers}})
    for name, content in subtests.items():
        tier, subtest = name.split("/")
        write_yaml(root / "subtests" / tier.lower() / f"{subtest}.yaml", {"name": name, **content})
    return write_files(root, files or {})


def write_experiment(root: Path, **changes: Any) -> Path:
    """A whole experiment in `root`; returns its experiment.yaml."""
    if not (root / "task").exists():
        write_task(root / "task")
    if not (root / "tiers").exists():
        write_library(root / "tiers", {"T0/00-empty": {}, "T1/01-other": {"agent_teams": True}})
    return write_yaml(root / "experiment.yaml", {**EXPERIMENT, **changes})


def only_subtest(library: Path) -> tuple[Subtest, Setup]:
    """The one subtest of a library, and what it composes."""
    loaded = load_library(library)
    (subtest,) = [one for tier in loaded.tiers.values() for one in tier.subtests]
    return subtest, compose(loaded, subtest)


def make_rubric(
    weights: Mapping[str, float],
    points: Mapping[str, Mapping[str, float]],
    threshold: float = 0.6,
) -> Rubric:
    """A rubric: category -> weight, and category -> item -> points."""
    categories = {
        name: Category(
            weight=weight,
            items=tuple(Item(id=i, check=i, points=p) for i, p in points[name].items()),
        )
        for name, weight in weights.items()
    }
    return Rubric(categories=categories, grading=Grading(pass_threshold=threshold), source={})


def make_judgment(score: float | None, **changes: Any) -> Judgment:
    """A judgment; with a score it is valid, without one it is not."""
    values = {
        "score": score,
        "passed": None if score is None else score >= 0.6,
        "grade": None if score is None else "B",
        "reasoning": f"because {score}",
        "is_valid": score is not None,
    }
    return Judgment.model_validate({**values, **changes})


def make_result(score: float = 1.0, tokens: int = 0, **changes: Any) -> RunResult:
    """A verdict."""
    values = {
        "run_number": 1,
        "exit_code": 0,
        "token_stats": TokenStats(input_tokens=tokens),
        "tokens_input": tokens,
        "tokens_output": 0,
        "cost_usd": 0.5,
        "duration_seconds": 2.0,
        "agent_duration_seconds": 1.5,
        "judge_duration_seconds": 0.5,
        "judge_score": score,
        "judge_passed": score >= 0.6,
        "judge_grade": "B",
        "judge_reasoning": "because",
        "judges": [],
        "workspace_path": "T0/00-empty/run_01/workspace",
        "logs_path": "T0/00-empty/run_01/agent",
        "command_log_path": "T0/00-empty/run_01/agent/command_log.json",
    }
    return RunResult.model_validate({**values, **changes})


def write_result(run: Path, score: float = 1.0, **changes: Any) -> Path:
    """A run directory with a verdict."""
    run.mkdir(parents=True, exist_ok=True)
    number = int(run.name.rpartition("_")[2])
    write_json(run / "run_result.json", make_result(score, **{"run_number": number, **changes}))
    return run


def git(directory: Path, *arguments: str) -> str:
    """Run git in `directory` as a user would, with no configuration but the repository's own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {"HOME": os.devnull, "XDG_CONFIG_HOME": os.devnull}
    finished = subprocess.run(
        ["git", *arguments], cwd=directory, env=env, capture_output=True, check=False
    )
    assert finished.returncode == 0, finished.stderr.decode("utf-8", "replace")
    return finished.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


def make_repository(path: Path) -> Path:
    """A new git repository with an identity, on branch `main`."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    git(path, "config", "user.name", "author")
    git(path, "config", "user.email", "author@localhost")
    return path


def commit(repository: Path, message: str, files: Mapping[str, str | bytes]) -> str:
    """Commit files; returns the commit's hash."""
    write_files(repository, files)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", message)
    return git(repository, "rev-parse", "HEAD")


Entry = tuple[str, bool, bytes]


def read_tree(root: Path) -> dict[str, Entry]:
    """Files and links below `root` as git sees them: kind, executable bit, content.

    What is called .git is left out, and so are empty directories.
    """
    found: dict[str, Entry] = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*names, *folders]:
            path = Path(folder, name)
            place = os.path.relpath(path, root)
            if path.is_symlink():
                found[place] = ("link", False, os.fsencode(os.readlink(path)))
            elif path.is_file() and name != ".git":
                executable = bool(path.stat().st_mode & 0o100)
                found[place] = ("file", executable, path.read_bytes())
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what another process does; fail where it does not do it."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
