"""What blocks, skills, agents and tools add: the set-ups that have one, beside those without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..results import ConfigManifest
from ..statistics import Unknown, mean
from ..store import read_model
from .summary import ExperimentSummary, SubtestSummary

TOOLS = "tool"


@dataclass(frozen=True)
class Component:
    """One part of set-ups, and what goes with it. A subtest counts once, with its mean."""

    kind: str
    """`block`, `skill`, `agent`, `tool` or `MCP server`."""
    name: str
    having: int
    """Judged subtests that have it."""
    lacking: int
    """Judged subtests that have it not; those that leave it to the agent are in neither."""
    score: float
    """Mean score with it, less without."""
    interval: tuple[float, float] | Unknown
    """95 % interval of that."""
    cost: float | None
    """USD: mean cost of a run with it, less without."""


def components(experiment: ExperimentSummary) -> list[Component]:
    """All that some subtests have and others lack, the largest difference first."""
    subtests = [s for tier in experiment.tiers for s in tier.subtests if s.figures.judged]
    said = [(subtest, _resources(subtest)) for subtest in subtests]
    names = dict.fromkeys(part for _, resources in said for part in _parts(resources))
    found = [_component(kind, name, said) for kind, name in names]
    return sorted((c for c in found if c is not None), key=lambda c: -abs(c.score))


def parts_of(subtest: SubtestSummary) -> dict[str, list[str]] | None:
    """What a set-up puts into the workspace, by kind; None where that is not recorded."""
    manifest = read_model(subtest.path / "config_manifest.json", ConfigManifest)
    if manifest is None:
        return None
    found: dict[str, list[str]] = {}
    for kind, name in _parts(manifest.resources):
        found.setdefault(kind, []).append(name)
    return found


def _resources(subtest: SubtestSummary) -> Mapping[str, Any]:
    manifest = read_model(subtest.path / "config_manifest.json", ConfigManifest)
    return manifest.resources if manifest else {}


def _parts(resources: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from (("block", name) for name in _names(resources, "claude_md", "blocks"))
    yield from (("skill", f"{name}/") for name in _names(resources, "skills", "categories"))
    yield from (("skill", name) for name in _names(resources, "skills", "names"))
    yield from (("agent", f"level {name}") for name in _names(resources, "agents", "levels"))
    yield from (("agent", name) for name in _names(resources, "agents", "names"))
    yield from ((TOOLS, name) for name in _names(resources, "tools", "enabled"))
    for server in resources.get("mcp_servers") or ():
        yield "MCP server", str(server.get("name") if isinstance(server, dict) else server)


def _names(resources: Mapping[str, Any], group: str, key: str) -> list[str]:
    found = (resources.get(group) or {}).get(key)
    return [str(name) for name in found] if isinstance(found, list) else []


def _has(resources: Mapping[str, Any], kind: str, name: str) -> bool | None:
    """None: the set-up leaves it to the agent."""
    if kind == TOOLS:
        enabled = (resources.get("tools") or {}).get("enabled")
        if enabled is None:
            return None
        return enabled == "all" or name in enabled
    return (kind, name) in _parts(resources)


def _component(
    kind: str, name: str, said: list[tuple[SubtestSummary, Mapping[str, Any]]]
) -> Component | None:
    having = [subtest for subtest, resources in said if _has(resources, kind, name)]
    lacking = [s for s, resources in said if _has(resources, kind, name) is False]
    one, other = _scores(having), _scores(lacking)
    first, second = mean(one), mean(other)
    if first is None or second is None:
        return None
    with_it, without = _cost(having), _cost(lacking)
    return Component(
        kind,
        name,
        len(having),
        len(lacking),
        first - second,
        _interval(one, other),
        None if with_it is None or without is None else with_it - without,
    )


def _scores(subtests: list[SubtestSummary]) -> list[float]:
    return [s.figures.mean_score for s in subtests if s.figures.mean_score is not None]


def _cost(subtests: list[SubtestSummary]) -> float | None:
    costs = [subtest.figures.mean_cost for subtest in subtests]
    known = [cost for cost in costs if cost is not None]
    return mean(known) if len(known) == len(costs) else None


def _interval(one: list[float], other: list[float]) -> tuple[float, float] | Unknown:
    from ..statistics.inference import difference_of_means

    found = difference_of_means(one, other)
    return found if isinstance(found, Unknown) else (found.low, found.high)
