"""The tier library: which set-ups of an agent are compared, and what each puts into a workspace.

A subtest names *resources* (blocks of CLAUDE.md, skills, agents, tools, MCP servers). Composed,
they become a `Setup`: the files of the workspace and a digest of them all. A tier owns the
agent's set-up completely: what the task's repository brings along in those places is removed,
so that an "empty" subtest is empty.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from .errors import InputError
from .experiment import NAME
from .reading import read_bytes
from .store import digest
from .yamlfile import Shared, accept_unknown, did_you_mean, parse, read_mapping, unknown_keys

OWNED = (
    "CLAUDE.md",
    "CLAUDE.local.md",
    "AGENTS.md",
    "AGENTS.override.md",
    ".agents",
    ".claude",
    ".codex",
    ".mcp.json",
    ".opencode",
    "opencode.json",
    "opencode.jsonc",
)
"""Places in a workspace that belong to the tier alone."""

MCP_FILE = ".mcp.json"

Files = dict[str, tuple[bytes, bool]]
"""Path in the workspace -> content, and whether it is executable."""

_PLAIN = re.compile(r"[A-Za-z0-9_][^/]*")

TEAMS = {"CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS": "1"}


class _Blocks(Shared):
    blocks: tuple[str, ...] = ()
    file: str | None = None
    """A file that stands before the blocks: a path from the subtest's file."""


class _Skills(Shared):
    categories: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Folders with a SKILL.md, or with such folders: paths from the subtest's file."""


class _Agents(Shared):
    levels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Folders with Markdown files: paths from the subtest's file."""


class _Tools(Shared):
    enabled: tuple[str, ...] | Literal["all"] = "all"


class McpServer(Shared):
    """An MCP server, by name (defined in the library's `mcp/<name>.json`) or in full."""

    name: str
    source: str | None = None
    config_path: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    url: str | None = None


class Resources(Shared):
    """What a subtest gives to the agent."""

    claude_md: _Blocks | None = None
    skills: _Skills | None = None
    agents: _Agents | None = None
    tools: _Tools | None = None
    mcp_servers: tuple[McpServer, ...] = ()

    @field_validator("mcp_servers", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [{"name": one} if isinstance(one, str) else one for one in value]
        return value


class _SubtestFile(Resources):
    name: str = ""
    description: str = ""
    extends_previous: bool = False
    system_prompt_mode: Literal["none", "default", "custom"] = "custom"
    inherit_best_from: tuple[str, ...] = ()
    agent_teams: bool = False
    frontier: bool = False
    resources: Resources = Resources()


class _TierEntry(Shared):
    name: str = ""
    description: str = ""
    tools_enabled: bool | None = None
    delegation_enabled: bool | None = None


class _TiersFile(Shared):
    tiers: dict[str, _TierEntry]


class Subtest(Shared):
    """One set-up of a tier, as its file describes it."""

    tier: str
    id: str = Field(pattern=NAME)
    path: Path
    name: str
    description: str
    frontier: bool
    inherit_best_from: tuple[str, ...]
    system_prompt_mode: Literal["none", "default", "custom"]
    agent_teams: bool
    resources: Resources
    unknown: tuple[str, ...] = ()
    """Keys of its file that mean nothing, each with a hint; a run of it is an ERROR: what they ask
    for would be missing."""


class Tier(Shared):
    """A tier with its subtests, in the order of their file names."""

    id: str = Field(pattern=NAME)
    name: str
    description: str
    subtests: tuple[Subtest, ...]


@dataclass(frozen=True)
class Library:
    """A tier library, read once; the contents of its parts are read when they are composed."""

    path: Path
    tiers: dict[str, Tier]
    warnings: tuple[str, ...]
    _contents: dict[Path, bytes] = field(default_factory=dict)
    _listings: dict[Path, tuple[str, ...]] = field(default_factory=dict)

    def content(self, path: Path) -> bytes:
        """The bytes of one of the library's files, read once."""
        if path not in self._contents:
            self._contents[path] = read_bytes(path)
        return self._contents[path]

    def names(self, folder: str) -> tuple[str, ...]:
        """The names in one of the library's folders, sorted, listed once; none where it lacks."""
        path = self.path / folder
        if not all(map(_PLAIN.fullmatch, folder.split("/"))):
            return ()
        if path not in self._listings:
            found = sorted(os.listdir(path)) if path.is_dir() else []
            self._listings[path] = tuple(name for name in found if not name.startswith("."))
        return self._listings[path]


@dataclass(frozen=True)
class Setup:
    """A composed subtest: what is put into the workspace before the agent starts."""

    resources: Resources
    system_prompt_mode: str
    agent_teams: bool
    files: Files
    missing: tuple[str, ...]
    """Resources that the library lacks; a run with any is an ERROR, never a poorer tier."""
    inherited_from: Mapping[str, str] | None
    digest: str
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """MCP servers by name, as `.mcp.json` defines them."""
    not_taken: tuple[str, ...] = ()
    """What of it the agent cannot take, in words."""

    @property
    def tools(self) -> tuple[str, ...] | None:
        """Names of the tools that the agent may use; None = all that it has."""
        enabled = self.resources.tools.enabled if self.resources.tools else "all"
        return None if enabled == "all" else enabled


def load_library(path: Path) -> Library:
    """Read tiers.yaml and all subtests of a tier library.

    Raises InputError with file, key and next step.
    """
    file = path / "tiers.yaml"
    raw = read_mapping(file)
    entries = parse(file, _TiersFile, raw).tiers
    warnings = accept_unknown(file, _TiersFile, raw)
    tiers = {}
    for id, entry in entries.items():
        tiers[id] = parse(
            file,
            Tier,
            {
                "id": id,
                "name": entry.name or id,
                "description": entry.description,
                "subtests": _read_subtests(path, id),
            },
            f"tiers.{id}",
        )
    library = Library(path, tiers, tuple(warnings))
    _check_parents(library)
    return library


def _read_subtests(library: Path, tier: str) -> list[Subtest]:
    folder = library / "subtests" / tier.lower()
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    subtests = []
    for path, other in pairwise(files):
        if path.stem == other.stem:
            raise InputError(other, "", f"{path.name} has the same name", "rename one of them")
    for path in files:
        raw = read_mapping(path)
        file = parse(path, _SubtestFile, raw)
        unknown = unknown_keys(_SubtestFile, raw)
        subtests.append(parse(path, Subtest, _values(library, tier, path, file, unknown)))
    return subtests


def _values(
    library: Path, tier: str, path: Path, file: _SubtestFile, unknown: list[str]
) -> dict[str, Any]:
    hints = [f"{key} ({did_you_mean(_SubtestFile, key) or 'unknown key'})" for key in unknown]
    return {
        "unknown": tuple(hints),
        "tier": tier,
        "id": path.stem,
        "path": path,
        "name": file.name or path.stem,
        "description": file.description,
        "frontier": file.frontier,
        "inherit_best_from": file.inherit_best_from,
        "system_prompt_mode": file.system_prompt_mode,
        "agent_teams": file.agent_teams,
        "resources": _located(_effective(file), path.parent, library),
    }


def _effective(file: _SubtestFile) -> Resources:
    """The resources of a subtest file: those under `resources` and those at its root."""
    if not file.model_fields_set & Resources.model_fields.keys():
        return file.resources
    root = Resources.model_construct(
        **{name: getattr(file, name) for name in Resources.model_fields}
    )
    return merge(file.resources, root)


def _located(resources: Resources, folder: Path, library: Path) -> Resources:
    """With all paths from the library on: so they also hold for those who inherit them."""

    def place(path: str) -> str:
        return os.path.relpath(folder / path, library)

    claude_md, skills, agents = resources.claude_md, resources.skills, resources.agents
    if claude_md and claude_md.file:
        claude_md = claude_md.model_copy(update={"file": place(claude_md.file)})
    if skills and skills.folders:
        skills = skills.model_copy(update={"folders": tuple(map(place, skills.folders))})
    if agents and agents.folders:
        agents = agents.model_copy(update={"folders": tuple(map(place, agents.folders))})
    changed = {"claude_md": claude_md, "skills": skills, "agents": agents}
    return resources.model_copy(update=changed)


def _check_parents(library: Library) -> None:
    order = {tier: place for place, tier in enumerate(library.tiers)}
    for tier in library.tiers.values():
        for subtest in tier.subtests:
            for parent in subtest.inherit_best_from:
                if parent not in order:
                    problem = f"there is no tier {parent!r}"
                elif order[parent] >= order[tier.id]:
                    problem = f"{tier.id} cannot inherit from {parent}, which does not come before"
                else:
                    continue
                step = f"name tiers before {tier.id}: {', '.join(library.tiers)}"
                raise InputError(subtest.path, "inherit_best_from", problem, step)


def merge(first: Resources, second: Resources) -> Resources:
    """Both resources together: claude_md replaced, skills and agents united, tools `all` wins
    else united, MCP servers united by name (the first definition stays)."""
    names = {server.name for server in first.mcp_servers}
    return Resources(
        claude_md=second.claude_md or first.claude_md,
        skills=_unite_skills(first.skills, second.skills),
        agents=_unite_agents(first.agents, second.agents),
        tools=_unite_tools(first.tools, second.tools),
        mcp_servers=first.mcp_servers
        + tuple(server for server in second.mcp_servers if server.name not in names),
    )


def _unite_skills(first: _Skills | None, second: _Skills | None) -> _Skills | None:
    if first is None or second is None:
        return first or second
    return _Skills(
        categories=_union(first.categories, second.categories),
        names=_union(first.names, second.names),
        folders=_union(first.folders, second.folders),
    )


def _unite_agents(first: _Agents | None, second: _Agents | None) -> _Agents | None:
    if first is None or second is None:
        return first or second
    return _Agents(
        levels=tuple(sorted({*first.levels, *second.levels})),
        names=_union(first.names, second.names),
        folders=_union(first.folders, second.folders),
    )


def _unite_tools(first: _Tools | None, second: _Tools | None) -> _Tools | None:
    if first is None or second is None:
        return first or second
    if first.enabled == "all" or second.enabled == "all":
        return _Tools(enabled="all")
    return _Tools(enabled=_union(first.enabled, second.enabled))


def _union(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


@dataclass(frozen=True)
class Parent:
    """The best subtest of a tier, and the resources that its manifest recorded."""

    tier: str
    subtest: str
    resources: Resources


def inherit(subtest: Subtest, parents: Iterable[Parent]) -> Resources:
    """A subtest's resources on top of its parents', merged in the order of the tiers."""
    merged = Resources()
    for parent in sorted(parents, key=lambda p: p.tier):
        merged = merge(merged, parent.resources)
    return merge(merged, subtest.resources)


def compose(library: Library, subtest: Subtest, parents: Iterable[Parent] = ()) -> Setup:
    """The files that `subtest` puts into a workspace.

    What the library lacks is named in `Setup.missing`.
    """
    parents = tuple(parents)
    resources = inherit(subtest, parents)
    parts = _Parts(library)
    parts.claude_md(resources)
    parts.skills(resources)
    parts.agents(resources)
    parts.mcp(resources)
    parts.settings(resources, subtest.agent_teams)
    identity = {path: (digest(data), mode) for path, (data, mode) in sorted(parts.files.items())}
    mode = subtest.system_prompt_mode
    if mode == "custom" and "CLAUDE.md" not in parts.files:
        mode = "default"
    files = _filled(parts.files, library)
    return Setup(
        resources=resources,
        system_prompt_mode=mode,
        agent_teams=subtest.agent_teams,
        files=files,
        servers=json.loads(files[MCP_FILE][0])["mcpServers"] if MCP_FILE in files else {},
        missing=tuple(dict.fromkeys(parts.missing)),
        inherited_from={p.tier: p.subtest for p in parents} or None,
        digest=digest([identity, mode]),
    )


def _filled(files: Files, library: Library) -> Files:
    """The files, with the placeholders of MCP definitions filled in for this machine."""
    if MCP_FILE not in files:
        return files
    data, mode = files[MCP_FILE]
    for name, value in {"{library}": str(library.path), "{python}": sys.executable}.items():
        data = data.replace(name.encode(), json.dumps(value)[1:-1].encode())
    return {**files, MCP_FILE: (data, mode)}


class _Parts:
    """Collects the files of a set-up, and what the library lacks."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.files: Files = {}
        self.missing: list[str] = []

    def claude_md(self, resources: Resources) -> None:
        texts = []
        file = resources.claude_md.file if resources.claude_md else None
        if file and (self.library.path / file).is_file():
            texts.append(self.library.content(self.library.path / file).strip())
        elif file:
            self.missing.append(f"file {file!r} for CLAUDE.md")
        for block in resources.claude_md.blocks if resources.claude_md else ():
            names = [name for name in self.library.names("blocks") if name.endswith(".md")]
            found = [n for n in names if n == f"{block}.md" or n.startswith(f"{block}-")]
            if found:
                path = self.library.path / "blocks" / found[0]
                texts.append(self.library.content(path).strip())
            else:
                self.missing.append(f"block {block!r} (blocks/{block}-*.md)")
        if texts:
            self.files["CLAUDE.md"] = (b"\n\n".join(texts) + b"\n", False)

    def skills(self, resources: Resources) -> None:
        wanted = resources.skills or _Skills()
        for category in wanted.categories:
            names = self.library.names(f"skills/{category}")
            if not any(self._has_skill(category, name) for name in names):
                self.missing.append(f"skill category {category!r} (skills/{category}/*/SKILL.md)")
            for name in names:
                self._skill(category, name)
        for name in wanted.names:
            having = [c for c in self.library.names("skills") if self._has_skill(c, name)]
            if not having:
                self.missing.append(f"skill {name!r} (skills/*/{name}/SKILL.md)")
            for category in having[:1]:
                self._skill(category, name)

        for folder in wanted.folders:
            self._skills_of(folder)

    def _skills_of(self, name: str) -> None:
        """A skill of the user's own, or a folder of them."""
        folder = self.library.path / name
        inner = sorted(folder.iterdir()) if folder.is_dir() else []
        places = [folder] if (folder / "SKILL.md").is_file() else inner
        skills = [place for place in places if (place / "SKILL.md").is_file()]
        if not skills:
            self.missing.append(f"skill in {name!r} ({name}/SKILL.md or {name}/*/SKILL.md)")
        for skill in skills:
            self._folder(skill, f".claude/skills/{skill.resolve().name}")

    def _has_skill(self, category: str, name: str) -> bool:
        listed = name in self.library.names(f"skills/{category}")
        return listed and (self.library.path / "skills" / category / name / "SKILL.md").is_file()

    def _skill(self, category: str, name: str) -> None:
        folder = self.library.path / "skills" / category / name
        place = f".claude/skills/{name}"
        if folder.is_dir() and not any(path.startswith(f"{place}/") for path in self.files):
            self._folder(folder, place)

    def agents(self, resources: Resources) -> None:
        wanted = resources.agents or _Agents()
        for level in wanted.levels:
            files = self._agent_files(f"L{level}")
            if not files:
                self.missing.append(f"agents of level {level} (agents/L{level}/*.md)")
            for file in files:
                self._agent(f"L{level}", file)
        for name in wanted.names:
            file = name if name.endswith(".md") else f"{name}.md"
            having = [n for n in self.library.names("agents") if file in self._agent_files(n)]
            if not having:
                self.missing.append(f"agent {name!r} (agents/L*/{file})")
            for level_name in having[:1]:
                self._agent(level_name, file)

        for folder in wanted.folders:
            found = sorted((self.library.path / folder).glob("*.md"))
            if not found:
                self.missing.append(f"agent in {folder!r} ({folder}/*.md)")
            for path in found:
                self._file(path, f".claude/agents/{path.name}")

    def _agent_files(self, level: str) -> list[str]:
        return [name for name in self.library.names(f"agents/{level}") if name.endswith(".md")]

    def _agent(self, level: str, file: str) -> None:
        self._file(self.library.path / "agents" / level / file, f".claude/agents/{file}")

    def mcp(self, resources: Resources) -> None:
        servers = {}
        for server in resources.mcp_servers:
            definition = self._mcp_definition(server)
            if definition is None:
                self.missing.append(
                    f"MCP server {server.name!r} (mcp/{server.name}.json, or `command`/`url`)"
                )
            else:
                servers[server.name] = definition
        if servers:
            text = json.dumps({"mcpServers": servers}, indent=2) + "\n"
            self.files[MCP_FILE] = (text.encode(), False)

    def _mcp_definition(self, server: McpServer) -> dict[str, Any] | None:
        if server.command or server.url:
            return server.model_dump(
                include={"command", "args", "env", "url"}, exclude_defaults=True
            )
        for name in (server.config_path, f"mcp/{server.name}.json"):
            if name and (self.library.path / name).is_file():
                path = self.library.path / name
                try:
                    value = json.loads(self.library.content(path))
                except ValueError as error:
                    step = "correct the JSON"
                    raise InputError(path, "", f"not valid JSON: {error}", step) from None
                if not isinstance(value, dict) or not value:
                    problem = "expected an object"
                    raise InputError(path, "", problem, 'write {"command": ..., "args": [...]}')
                return value
        return None

    def settings(self, resources: Resources, teams: bool) -> None:
        settings: dict[str, Any] = {}
        tools = resources.tools.enabled if resources.tools else "all"
        if tools != "all":
            settings["permissions"] = {"allow": list(tools)}
        if teams:
            settings["env"] = dict(TEAMS)
        if settings:
            text = json.dumps(settings, indent=2) + "\n"
            self.files[".claude/settings.json"] = (text.encode(), False)

    def _folder(self, folder: Path, place: str) -> None:
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(root, name)
                self._file(path, f"{place}/{path.relative_to(folder).as_posix()}")

    def _file(self, path: Path, place: str) -> None:
        executable = bool(path.stat().st_mode & 0o100)
        self.files.setdefault(place, (self.library.content(path), executable))


def unknown_in(subtest: Subtest) -> str:
    """What a subtest's file asks for and does not get."""
    return f"{subtest.path}: unknown: {', '.join(subtest.unknown)}"


def placed(setup: Setup, files: Files, not_taken: Iterable[str] = ()) -> Setup:
    """A set-up whose files lie where an agent looks for them; the digest covers what is new."""
    setup = replace(setup, not_taken=tuple(not_taken))
    if files == setup.files:
        return setup
    content = {path: (digest(data), mode) for path, (data, mode) in sorted(files.items())}
    return replace(setup, files=files, digest=digest([setup.digest, content]))


def check_setups(
    library: Library,
    tiers: Iterable[str],
    not_taken: Callable[[Setup], Iterable[str]] = lambda _: (),
) -> list[str]:
    """Warnings about subtests: what the library lacks, what the agent cannot take, and set-ups
    that are the same."""
    lacking: dict[str, list[str]] = {}
    refused: dict[str, list[str]] = {}
    same: dict[Any, list[str]] = {}
    warnings = []
    for tier in tiers:
        for subtest in library.tiers[tier].subtests:
            setup = compose(library, subtest)
            name = f"{tier}/{subtest.id}"
            if subtest.unknown:
                warnings.append(unknown_in(subtest) + "; those runs will be ERRORs")
            for part in setup.missing:
                lacking.setdefault(part, []).append(name)
            for part in not_taken(setup):
                refused.setdefault(part, []).append(name)
            if not setup.missing and not subtest.unknown:
                parents = tuple(sorted(subtest.inherit_best_from))
                same.setdefault((setup.digest, parents), []).append(name)
    warnings += [
        f"{library.path}: the library has no {part}, named by {', '.join(names)}; "
        "those runs will be ERRORs (next: add it, or take it out of the subtests)"
        for part, names in lacking.items()
    ]
    warnings += [
        f"{library.path}: the agent cannot take {part}, given by {', '.join(names)}; those runs go "
        "without it (next: leave these subtests out, or take another agent)"
        for part, names in refused.items()
    ]
    warnings += [
        f"{library.path}: the effective configuration of {' and '.join(names)} is the same: "
        "each is paid for and they cannot differ (next: remove or change one)"
        for names in same.values()
        if len(names) > 1
    ]
    return warnings
