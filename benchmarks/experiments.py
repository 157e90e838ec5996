"""Experiments of any size for the benchmarks: written into a directory, with agents of no cost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ABLATION = {"T0": 24, "T1": 10, "T2": 15, "T3": 41, "T4": 7, "T5": 15, "T6": 1}
"""Subtests of the tiers of a usual library: 113."""

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
EXPERIMENT = "experiment/experiment.yaml"


def environment() -> dict[str, str]:
    """The environment for pytest, without PYTHON* and PYTEST_*: they change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PY")}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write text files below a directory."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def write_experiment(
    folder: Path,
    *,
    runs: int,
    tiers: Mapping[str, int] = ABLATION,
    agent: Mapping[str, object] | None = None,
    source: str = "source",
    prompt: str = "Do nothing, and do it well.\n",
    check: str = "test -f README.md",
    files: Mapping[str, str] | None = None,
) -> Path:
    """An experiment with `runs` runs of every subtest; returns its experiment.yaml.

    The task's source is `source`: by default a directory of ten small files, or of `files`.
    """
    agent = agent or {"adapter": "command", "command": ["/bin/true"], "paid": False}
    settings = {
        "id": "bench",
        "task": "task",
        "tiers": "tiers",
        "runs": runs,
        "agent": agent,
        "judges": [{"adapter": "rubric-checks"}],
    }
    root = folder / "experiment"
    write_files(folder, {"pytest.ini": "[pytest]\n", EXPERIMENT: json.dumps(settings, indent=1)})
    write_files(root / "task", _task(source, prompt, check, tiers))
    write_files(root / "task" / "source", files or small_source(10))
    write_files(root / "tiers", library(tiers))
    return folder / EXPERIMENT


def small_source(size: int) -> dict[str, str]:
    """The files of a small repository."""
    modules = {f"package/module_{n}.py": f"VALUE = {n}\n" * 40 for n in range(size - 1)}
    return {"README.md": "# A package\n", **modules}


def _task(source: str, prompt: str, check: str, tiers: Mapping[str, int]) -> dict[str, str]:
    test = {
        "id": "bench",
        "name": "A task of no cost",
        "source": {"repo": source},
        "task": {"prompt_file": "prompt.md", "timeout_seconds": 300},
        "validation": {"criteria_file": "expected/criteria.md"},
        "tiers": list(tiers),
    }
    item = {"id": "one", "check": "it is there", "points": 1, "run": check}
    category = {"weight": 1.0, "scoring_type": "checklist", "items": [item]}
    scale = {"S": 1.0, "A": 0.8, "B": 0.6, "C": 0.4, "D": 0.2, "F": 0.0}
    rubric = {
        "categories": {"all": category},
        "grading": {"pass_threshold": 0.6, "grade_scale": scale},
    }
    return {
        "test.yaml": json.dumps(test, indent=1),
        "prompt.md": prompt,
        "expected/criteria.md": "Nothing is changed.\n",
        "expected/rubric.yaml": json.dumps(rubric, indent=1),
    }


def library(tiers: Mapping[str, int]) -> dict[str, str]:
    """The files of a tier library with so many subtests per tier, no two of them the same."""
    entries = {tier: {"name": tier, "description": f"tier {tier}"} for tier in tiers}
    files = {"tiers.yaml": json.dumps({"tiers": entries}, indent=1)}
    for tier, count in tiers.items():
        for number in range(count):
            files |= _subtest(tier, number, tiers)
    return files


def _subtest(tier: str, number: int, tiers: Mapping[str, int]) -> dict[str, str]:
    """A subtest with a part of its own kind in the library: block, skill, tools or agent."""
    name = f"{tier.lower()}-{number:02d}"
    files, resources = _part(tier, name, number)
    parents = {"T5": ["T0", "T1", "T2", "T3", "T4"], "T6": ["T5"]}.get(tier, [])
    lines = [
        f"name: subtest {name}",
        f"description: the set-up number {number} of {tier}",
        "extends_previous: false",
        f"inherit_best_from: {json.dumps([p for p in parents if p in tiers])}",
        "resources:",
        *(f"  {key}: {json.dumps(value)}" for key, value in resources.items()),
    ]
    return {f"subtests/{tier.lower()}/{number:02d}-{name}.yaml": "\n".join(lines) + "\n", **files}


def _part(tier: str, name: str, number: int) -> tuple[dict[str, str], dict[str, object]]:
    text = f"# Part {name}\n\n" + f"Rule {number}: measure before you change anything.\n" * 10
    if tier == "T1":
        skill = f"---\nname: {name}\ndescription: skill {name}\n---\n{text}"
        return {f"skills/{name}/{name}/SKILL.md": skill}, {"skills": {"categories": [name]}}
    if tier == "T2":
        tools = ["Bash", "Edit", "Read", "Write"]
        chosen = [tool for bit, tool in enumerate(tools) if (number + 1) >> bit & 1]
        return {}, {"tools": {"enabled": chosen}}
    if tier in ("T3", "T4"):
        agent = f"---\nname: {name}\ndescription: agent {name}\n---\n{text}"
        return {f"agents/L{tier[1]}/{name}.md": agent}, {"agents": {"names": [name]}}
    return {f"blocks/{name}-block.md": text}, {"claude_md": {"blocks": [name]}}
