"""A results directory as a tree: where its runs lie, and whose it is.

A run is in `<tier>/<subtest>/run_NN/`. Newer trees of ProjectScylla have that twice, below
`in_progress/` and `completed/`; a run that is in both counts as completed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from .store import RunDir, read_json

PHASES = ("completed", "in_progress")
OTHERS = frozenset({"config", "charts", "export", *PHASES})
"""Directories beside the tiers."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-")
_RUN = re.compile(r"run_\d+")


class ResultsTree:
    """The results directory at `path`, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def roots(self) -> tuple[Path, ...]:
        """Where tiers are: the directory itself, or the phases in it."""
        phases = tuple(self.path / phase for phase in PHASES)
        return tuple(phase for phase in phases if phase.is_dir()) or (self.path,)

    @cached_property
    def config(self) -> dict[str, Any]:
        """config/experiment.json; empty where there is none."""
        return read_json(self.path / "config" / "experiment.json") or {}

    @cached_property
    def checkpoint(self) -> dict[str, Any]:
        """checkpoint.json; empty where there is none."""
        return read_json(self.path / "checkpoint.json") or {}

    @cached_property
    def foreign(self) -> bool:
        """Made by ProjectScylla: what is there of it stays as it is."""
        if self.config:
            return "plugin_version" not in self.config
        return str(self.checkpoint.get("experiment_dir", ".")) != "."

    @property
    def experiment_id(self) -> str:
        """The experiment's id, as the tree says it; else as the directory's name does."""
        said = self.config.get("experiment_id") or self.checkpoint.get("experiment_id")
        agents = () if said else trees_of_agents(self.path)
        if agents:
            return ResultsTree(agents[0]).experiment_id.rpartition("/")[0]
        return str(said or _title(self.path))

    def tiers(self) -> list[str]:
        """The tiers: in the order of the configuration, then what else is there."""
        there = {name for root in self.roots for name in own_folders(root)} - OTHERS
        known = [str(tier) for tier in self.config.get("tiers_to_run") or ()]
        return [t for t in known if t in there] + sorted(there - set(known))

    def tier(self, tier: str) -> Path:
        """The directory of a tier."""
        return self._first(tier)

    def subtests(self, tier: str) -> list[str]:
        """The directory names of a tier's subtests."""
        return sorted({name for root in self.roots for name in own_folders(root / tier)})

    def subtest(self, tier: str, subtest: str) -> Path:
        """The directory of a subtest."""
        return self._first(f"{tier}/{self._name(tier, subtest)}")

    def runs(self, tier: str, subtest: str) -> list[RunDir]:
        """The runs of a subtest that are on disk, by number."""
        place = f"{tier}/{self._name(tier, subtest)}"
        found: dict[str, RunDir] = {}
        for root in self.roots:
            above = root / place
            for name in own_folders(above):
                if _RUN.fullmatch(name):
                    found.setdefault(name, RunDir(above / name))
        return [found[name] for name in sorted(found, key=lambda name: int(name[4:]))]

    def run(self, tier: str, subtest: str, name: str) -> RunDir:
        """The directory of a run, there or not."""
        return RunDir(self._first(f"{tier}/{self._name(tier, subtest)}/{name}"))

    def all_runs(self) -> Iterator[tuple[str, str, RunDir]]:
        """Tier, subtest and directory of every run that is on disk."""
        for tier in self.tiers():
            for subtest in self.subtests(tier):
                for run in self.runs(tier, subtest):
                    yield tier, subtest, run

    def _first(self, place: str) -> Path:
        if len(self.roots) == 1:
            return self.roots[0] / place
        found = (root / place for root in self.roots)
        return next((path for path in found if path.is_dir()), self.roots[0] / place)

    def _name(self, tier: str, subtest: str) -> str:
        """A subtest's directory name: its id. ProjectScylla's older trees have the number alone,
        and say in the manifest which file of the library it was."""
        if not self.foreign or any((root / tier / subtest).is_dir() for root in self.roots):
            return subtest
        number = subtest.partition("-")[0]
        for root in self.roots:
            manifest = read_json(root / tier / number / "config_manifest.json") or {}
            if Path(str(manifest.get("fixture_config_path"))).stem == subtest:
                return number
        return subtest


def _title(path: Path) -> str:
    """What a directory's name says of the experiment; one of several agents lies below it."""
    above = _STAMP.sub("", path.parent.name)
    one_of_several = above != path.parent.name and not _STAMP.match(path.name)
    return f"{above}/{path.name}" if one_of_several else _STAMP.sub("", path.name)


def is_results_tree(path: Path) -> bool:
    """Whether a directory is a results directory, and not one that holds such."""
    tree = ResultsTree(path)
    if tree.checkpoint.keys() >= {"experiment_id", "completed_runs"}:
        return True
    if "experiment_id" in tree.config:
        return True
    return any(_is_run(run) for _, _, run in tree.all_runs())


def _is_run(run: RunDir) -> bool:
    """There is something of an agent or a verdict: other programs have a `run_01`, too."""
    return run.agent.is_dir() or run.run_result.is_file()


def trees_of_agents(path: Path) -> list[Path]:
    """The results directories in that of an experiment with several agents: one for each, and
    named as it is. None where it is no such directory."""
    inner = (path / name for name in folders(path))
    return [place for place in inner if _is_of_agent(place)]


def _is_of_agent(place: Path) -> bool:
    said = str(ResultsTree(place).config.get("experiment_id"))
    return said.endswith(f"/{place.name}")


def own_folders(path: Path | str) -> list[str]:
    """As `folders`, without links: what a session writes goes nowhere else."""
    return [name for name in folders(path) if not os.path.islink(f"{path}/{name}")]


def folders(path: Path | str) -> list[str]:
    """Names of the directories in a directory, sorted; none where there is none."""
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.name[0] != "." and e.is_dir())
    except OSError:
        return []
