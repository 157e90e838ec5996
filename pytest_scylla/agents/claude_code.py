"""Claude Code, headless: one run of the `claude` program in the workspace.

What a tier gives arrives by the program's own ways: CLAUDE.md, .claude/skills, .claude/agents and
.claude/settings.json from the worktree, tools by `--tools`, MCP servers by `--mcp-config`. Output
is stream-json, so that the events so far survive a kill. What the program says that it offers to
the model is compared with what the tier gave: a difference is an ERROR, never a poorer tier.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from ..claude import (
    HANDED_ON,
    QUIET,
    Stream,
    access,
    api_error,
    check_access,
    endpoint,
    find_program,
    keyless,
    program_version,
    refusal,
    turns,
)
from ..errors import KINDS, LIMITS, RunError
from ..processes import Finished, Invocation
from ..results import Turn
from ..tiers import Setup
from . import Agent, Answer, Job, crash

MEMORIES = ("CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", ".claude/CLAUDE.md", ".claude/AGENTS.md",
            ".claude/rules/**")  # fmt: skip
"""Instructions that the program reads in every directory from the root to the workspace."""

OTHER_NAMES = {"Agent": "Task", "KillShell": "TaskStop", "KillBash": "TaskStop"}
"""Tools that the program takes by one name and reports by another."""


class ClaudeCode(Agent):
    """Options of `adapter: claude-code`."""

    adapter: ClassVar = "claude-code"
    supported: ClassVar = ("2.1", "3")
    install: ClassVar = "pip install claude-agent-sdk"
    asks_nobody: ClassVar = True

    model: str
    """The model, as `claude --model` takes it."""
    thinking: (
        Literal["off", "low", "medium", "high", "xhigh", "max"]
        | Annotated[int, Field(ge=1024)]
        | None
    ) = None
    """Effort by name, or a budget in tokens (for models that take one)."""
    max_turns: int | None = Field(default=None, ge=1)
    """The agent stops after so many turns and is judged on what is there."""
    executable: str = "claude"
    """The program; where PATH has no `claude`, that of the package claude-agent-sdk is used."""
    args: tuple[str, ...] = ()
    """Further arguments."""

    @field_validator("thinking", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # `off` is false in YAML 1.1

    @property
    def endpoint(self) -> str:
        """URL of the model's API."""
        return endpoint({**os.environ, **self.env})

    def preflight(self) -> None:
        """The program, the key and the model."""
        self.version()
        check_access({**os.environ, **self.env}, self.model)

    def refusal(self, line: str) -> tuple[int, float | None] | None:
        """An event `api_retry`, or a `rate_limit_event` of a limit that is used up."""
        return refusal(line)

    def identity(self) -> Mapping[str, Any]:
        """Model, thinking, turn limit, arguments and variables; not the time limit, the program's
        place, or the way to the API."""
        chosen = self.model_dump(exclude={"paid", "timeout", "executable"})
        env = {name: value for name, value in self.env.items() if name not in HANDED_ON}
        return {"adapter": self.adapter, **chosen, "env": env}

    def unready(self) -> str | None:
        """No key."""
        return keyless({**os.environ, **self.env})

    @cached_property
    def program(self) -> str:
        """Where the program is. Raises RunError (kind `no_cli`)."""
        return find_program(self.executable, "agent.executable")

    @cached_property
    def told_version(self) -> str:
        """What `claude --version` says. Raises RunError (kind `no_cli`) where it says nothing."""
        return program_version(self.program, "agent.executable")

    def invocation(self, job: Job) -> Invocation:
        """The command; the prompt goes to standard input."""
        env = {**job.env, **QUIET, **self._thinking_variables(), **access(os.environ), **self.env}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # As root it refuses to skip permissions, unless told that this is a sandbox.
            env.setdefault("IS_SANDBOX", "1")
        if job.setup.system_prompt_mode == "none":
            env.setdefault("CLAUDE_CODE_ATTRIBUTION_HEADER", "0")
        return Invocation(
            argv=[self.program, *self._arguments(job.setup, job.workspace)],
            cwd=job.workspace,
            env=env,
            stdin=job.prompt,
            timeout=job.timeout,
        )

    def _arguments(self, setup: Setup, workspace: Path) -> list[str]:
        words = ["-p", "--model", self.model, "--output-format", "stream-json", "--verbose"]
        words += ["--dangerously-skip-permissions", "--strict-mcp-config"]
        words += ["--setting-sources", "project" if setup.files else ""]
        if ".mcp.json" in setup.files:
            words += ["--mcp-config", ".mcp.json"]
        if setup.system_prompt_mode == "none":
            words += ["--system-prompt", ""]
        if setup.tools is not None:
            words += ["--tools", ",".join(named_tools(setup))]
        outer = memories_above(workspace)
        if setup.files and outer:
            words += ["--settings", json.dumps({"claudeMdExcludes": outer})]
        if self.max_turns is not None:
            words += ["--max-turns", str(self.max_turns)]
        if isinstance(self.thinking, str) and self.thinking != "off":
            words += ["--effort", self.thinking]
        return [*words, *self.args]

    def _thinking_variables(self) -> dict[str, str]:
        if self.thinking == "off":
            return {"CLAUDE_CODE_DISABLE_THINKING": "1"}
        if isinstance(self.thinking, int):
            return {"MAX_THINKING_TOKENS": str(self.thinking)}
        return {}

    def transcript(self, stdout: str) -> list[Turn]:
        """The messages of the model, sub-agents included, with what its tools gave back."""
        return turns(stdout)

    def answer(self, finished: Finished, job: Job) -> Answer:
        """What the stream of events says."""
        stream = Stream(finished.stdout)
        answer = Answer(
            text=stream.text,
            tokens=stream.tokens,
            cost_usd=stream.cost,
            usages=stream.usages,
            turns=stream.turns,
            model=stream.init.get("model"),
            stop_reason=str(stream.last.get("terminal_reason") or "completed"),
        )
        limit = "time_limit" if finished.timed_out else LIMITS.get(str(stream.last.get("subtype")))
        if limit:
            answer = replace(answer, stop_reason=limit, limited=True)
        error = _error(stream, finished, job.setup)
        return replace(answer, stop_reason=error.kind, error=error) if error else answer


# -- what is asked for ---------------------------------------------------------------------------


def named_tools(setup: Setup) -> list[str]:
    """The tools to name: those of the tier, and the ones its skills and agents need to be there."""
    names = list(setup.tools or ())
    for folder, tool in ((".claude/skills/", "Skill"), (".claude/agents/", "Agent")):
        if any(path.startswith(folder) for path in setup.files) and tool not in names:
            names.append(tool)
    return names


def memories_above(workspace: Path) -> list[str]:
    """Patterns for the instructions in directories above: they would be read, and are no tier's."""
    found = []
    for folder in workspace.resolve().parents:
        # Signs that a pattern could take for its own are not spelled out.
        place = re.sub(r"[^\w./-]+", "*", str(folder), flags=re.ASCII).rstrip("/")
        there = [n for n in MEMORIES if os.path.exists(folder / n.removesuffix("/**"))]
        found += [f"{place}/{name}" for name in there]
    return found


def _agent_names(setup: Setup) -> Iterator[tuple[str, str]]:
    """The tier's agents: the name that the file gives to each ("" for none), and the file."""
    for path, (data, _) in setup.files.items():
        if path.startswith(".claude/agents/") and path.endswith(".md"):
            head = data.decode("utf-8", "replace").split("\n---", 1)[0]
            name = re.search(r"^name:[ \t]*(['\"]?)(.+?)\1[ \t\r]*(?:#.*)?$", head, re.M)
            yield (name.group(2) if name else ""), path


# -- what went wrong -----------------------------------------------------------------------------


def _error(stream: Stream, finished: Finished, setup: Setup) -> RunError | None:
    """Why there is nothing to judge, if so: from events and exit status, never from prose."""
    last = stream.last
    lacking = _not_offered(stream.init, setup) if stream.init else None
    if lacking:
        return lacking
    if finished.timed_out:
        return _never_answered(stream)
    if not last:
        return crash("Claude Code", finished)
    if last.get("subtype") in LIMITS:
        return None
    if stream.refused:
        return RunError.of("refusal", f"the model refused the task: {stream.text[:500]}")
    if last.get("is_error") or finished.exit_code:
        return _gave_up(stream, stream.text[:500])
    return None


def _never_answered(stream: Stream) -> RunError | None:
    """The time was up before the program began, or while it waited for an API that refused."""
    if not stream.init:
        return RunError.of("not_started", "Claude Code had not begun in time")
    if stream.retry:
        status, error = stream.retry.get("error_status"), stream.retry.get("error")
        return api_error(status, f"{error}, until the time was up", word=error)
    return None


def _gave_up(stream: Stream, text: str) -> RunError:
    reason = str(stream.last.get("terminal_reason"))
    if reason == "api_error":
        return api_error(stream.last.get("api_error_status"), text, word=stream.error_word)
    kind = reason if reason in KINDS else "agent_error"
    return RunError.of(kind, f"Claude Code gave up ({reason}): {text}")


def _not_offered(init: Mapping[str, Any], setup: Setup) -> RunError | None:
    """What the tier gives and the program did not take up."""
    servers = {one.get("name"): one.get("status") for one in init.get("mcp_servers") or ()}
    mcp = json.loads(setup.files.get(".mcp.json", (b"{}", False))[0]).get("mcpServers", {})
    broken = [f"{n} ({servers.get(n, 'refused')})" for n in mcp if servers.get(n) != "connected"]
    if broken:
        return _lacking("mcp", "MCP server", broken)
    offered = init.get("tools") or ()
    named = named_tools(setup) if setup.tools is not None else ()
    tools = [tool for tool in named if OTHER_NAMES.get(tool, tool) not in offered]
    if tools:
        step = f"take it out of tools.enabled; there are {', '.join(offered)}"
        return _lacking("tools", "tool", tools, step)
    known = init.get("agents") or ()
    agents = [path for name, path in _agent_names(setup) if name not in known]
    if agents:
        return _lacking("agents", "agent", agents)
    return None


def _lacking(kind: str, what: str, names: list[str], step: str | None = None) -> RunError:
    said = f"Claude Code did not take up what the tier gives: {what} {', '.join(names)}"
    return RunError.of(kind, said, step)
