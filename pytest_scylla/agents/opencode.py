"""OpenCode, headless: one run of `opencode run --format json` in the workspace.

What a tier gives is put where OpenCode looks for it: CLAUDE.md as AGENTS.md, skills and sub-agents
below .opencode; tools, MCP servers and the way to the API come in one configuration, by a variable.
Tokens and cost of every answer, those of sub-agents included, are read from the database that
OpenCode keeps in the run's HOME.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from .. import claude, openai
from ..errors import STATUSES, RunError
from ..opencode import steps, tokens_of
from ..prices import Usage
from ..processes import Finished, Invocation
from ..reading import read_within
from ..results import TokenStats, ToolCall, Turn, cut
from ..scratch import scratch
from ..tiers import Files, Setup
from . import Agent, Answer, Job, ask_version, crash, find_program, json_lines, markdown_head

OWN, DATABASE = ".local/share/opencode", "opencode.db"
"""Where OpenCode keeps its own in HOME, and what its database is called there."""

KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY"}
"""Provider -> the variable with its key."""

URLS = {
    "anthropic": ("ANTHROPIC_BASE_URL", "https://api.anthropic.com"),
    "openai": (openai.BASE_URL, openai.DEFAULT_URL),
}
"""Provider -> the variable with the way to its API, and where that is without."""

CONFIG = "OPENCODE_CONFIG_CONTENT"
GREETING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "pytest-scylla", "version": "1"},
    },
}
GREETING_TIME = 30.0
"""Seconds that an MCP server has to answer."""

QUIET = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
SKILLS, AGENTS = ".claude/skills/", ".claude/agents/"

TOOLS = {
    "bash": {"Bash"},
    "edit": {"Edit", "MultiEdit", "NotebookEdit", "Write"},
    "read": {"Read"},
    "glob": {"Glob", "LS"},
    "grep": {"Grep"},
    "webfetch": {"WebFetch"},
    "todowrite": {"TodoWrite"},
    "skill": {"Skill"},
    "task": {"Task", "Agent"},
}
"""Its permissions -> the tools of a tier that leave each on; `edit` is for all that write."""


ERRORS = {
    "ProviderAuthError": "auth",
    "ContextOverflowError": "prompt_too_long",
    "ContentFilterError": "refusal",
}
"""What OpenCode calls an error -> kind of error."""


class OpenCode(Agent):
    """Options of `adapter: opencode`."""

    adapter: ClassVar = "opencode"
    asks_nobody: ClassVar = True
    supported: ClassVar = ("1.18", "2")
    install: ClassVar = "npm install --global opencode-ai@1.18.33"

    model: str = Field(pattern=r"^(anthropic|openai)/.+")
    """`anthropic/…` or `openai/…`, as `opencode run --model` takes it."""
    executable: str = "opencode"
    """The program."""
    args: tuple[str, ...] = ()
    """Further arguments of `opencode run`."""

    def identity(self) -> Mapping[str, Any]:
        """Model, arguments and variables; not the time limit, the program's place, or the way to
        the API."""
        chosen = self.model_dump(exclude={"paid", "timeout", "executable"})
        away = {*KEYS.values(), *(name for name, _ in URLS.values())}
        env = {name: value for name, value in self.env.items() if name not in away}
        return {"adapter": self.adapter, **chosen, "env": env}

    @property
    def _provider(self) -> str:
        return self.model.partition("/")[0]

    def _known(self, name: str) -> str | None:
        return self.env.get(name) or os.environ.get(name)

    def unready(self) -> str | None:
        """No key."""
        key = KEYS[self._provider]
        return None if self._known(key) else f"no key: set {key}"

    @property
    def endpoint(self) -> str:
        """URL of the API."""
        variable, default = URLS[self._provider]
        return self._known(variable) or default

    def preflight(self) -> None:
        """The program, the key and the model."""
        self.version()
        env, (provider, _, model) = {**os.environ, **self.env}, self.model.partition("/")
        if provider == "anthropic":
            claude.check_access(env, model)
        else:
            openai.check_access(env, KEYS[provider], model)

    @cached_property
    def program(self) -> str:
        """Where the program is. Raises RunError (kind `no_cli`)."""
        return find_program(self.executable, self.install)

    @cached_property
    def told_version(self) -> str:
        """What `opencode --version` says."""
        return ask_version(self.program, self.install)

    # -- what the tier gives

    def files(self, setup: Setup) -> Files:
        """AGENTS.md, .opencode/skills and .opencode/agents."""
        found: Files = {}
        for path, (data, executable) in setup.files.items():
            if path == "CLAUDE.md":
                found["AGENTS.md"] = (data, executable)
            elif path.startswith(SKILLS):
                found[f".opencode/skills/{path.removeprefix(SKILLS)}"] = (data, executable)
            elif path.startswith(AGENTS) and path.endswith(".md"):
                name, text = _sub_agent(path, data)
                found[f".opencode/agents/{name}.md"] = (text.encode(), False)
        return found

    def not_taken(self, setup: Setup) -> Sequence[str]:
        """A missing system prompt, agent teams, tools of sub-agents, tools that it lacks."""
        lost = []
        if setup.system_prompt_mode == "none":
            lost.append("`system_prompt_mode: none`")
        if setup.agent_teams:
            lost.append("`agent_teams`")
        unknown = set(setup.tools or ()).difference(*TOOLS.values())
        lost += [f"the tool {name}" for name in sorted(unknown)]
        heads = [markdown_head(d) for p, (d, _) in setup.files.items() if p.startswith(AGENTS)]
        if any(head.get("tools") for head in heads):
            lost.append("`tools` of a sub-agent")
        return lost

    # -- the command

    def invocation(self, job: Job) -> Invocation:
        """The command; the prompt goes to standard input. Without a title it would ask the model
        for one, and tell nobody what that cost."""
        key = KEYS[self._provider]
        handed = {key: self._known(key) or ""}
        config = json.dumps(self._config(job.setup))
        env = {**job.env, **QUIET, CONFIG: config, **self.env, **handed}
        _check_skills(job.setup, env)
        _check_servers(job)
        words = ["run", "--format", "json", "--model", self.model, "--title", "run"]
        return Invocation(
            argv=[self.program, *words, *self.args],
            cwd=job.workspace,
            env=env,
            stdin=job.prompt,
            timeout=job.timeout,
        )

    def _config(self, setup: Setup) -> dict[str, Any]:
        provider, _, model = self.model.partition("/")
        url = self.endpoint if provider == "openai" else f"{self.endpoint.rstrip('/')}/v1"
        options = {"apiKey": f"{{env:{KEYS[provider]}}}", "baseURL": url}
        config: dict[str, Any] = {
            "autoupdate": False,
            "share": "disabled",
            "permission": "allow",
            "enabled_providers": [provider],
            "provider": {provider: {"options": options, "models": {model: {}}}},
            "mcp": {name: _server(one) for name, one in setup.servers.items()},
        }
        if setup.tools is not None:
            needed = {*setup.tools, *_needed(setup)}
            denied = [name for name, on in TOOLS.items() if not on & needed]
            config["permission"] = {"*": "allow", **dict.fromkeys(denied, "deny")}
        return config

    # -- what came back

    def transcript(self, stdout: str) -> list[Turn]:
        """A turn for each request to the model."""
        turns: list[Turn] = []
        texts: list[str] = []
        tools: list[ToolCall] = []
        for event in json_lines(stdout):
            part = event.get("part") or {}
            if event.get("type") == "text":
                texts.append(str(part.get("text") or ""))
            elif event.get("type") == "tool_use":
                tools.append(_tool_call(part))
            elif event.get("type") == "step_finish":
                turn = Turn(
                    number=len(turns) + 1,
                    model=self.model,
                    text=cut("\n".join(texts)),
                    tools=tuple(tools),
                    token_stats=tokens_of(part),
                    stop_reason=part.get("reason"),
                )
                turns.append(turn)
                texts, tools = [], []
        if texts or tools:
            said = cut("\n".join(texts))
            turns.append(
                Turn(number=len(turns) + 1, model=self.model, text=said, tools=tuple(tools))
            )
        return turns

    def answer(self, finished: Finished, job: Job) -> Answer:
        """What the events say, and the database in HOME; without it, as far as events go."""
        events = list(json_lines(finished.stdout))
        said = [e.get("part") or {} for e in events if e.get("type") == "text"]
        delegated = any((e.get("part") or {}).get("tool") == "task" for e in events)
        stored = [message for message in _messages(job.home) if tokens_of(message).total]
        asked = stored or steps(events)
        tokens = [tokens_of(one) for one in asked]
        answer = Answer(
            text=str(said[-1].get("text") or "") if said else "",
            tokens=sum(tokens, TokenStats()),
            cost_usd=None if delegated and not stored else _cost(asked),
            usages=tuple(map(Usage, map(self._model_of, asked), tokens)),
            turns=len(asked),
            model=self.model,
        )
        error = _error(events, finished, job)
        if error is not None:
            return replace(answer, stop_reason=error.kind, error=error)
        if finished.timed_out:
            return replace(answer, stop_reason="time_limit", limited=True)
        return answer

    def _model_of(self, message: Mapping[str, Any]) -> str:
        """A sub-agent may have a model of its own."""
        named = f"{message.get('providerID')}/{message.get('modelID')}"
        return named if message.get("modelID") else self.model


def _messages(home: Path) -> list[dict[str, Any]]:
    """The model's answers in OpenCode's database, of the agent and of all sub-agents."""
    try:
        with scratch("opencode") as copy:
            _copy_database(home, copy)
            with contextlib.closing(sqlite3.connect(copy / DATABASE)) as base:
                rows = base.execute("SELECT data FROM message ORDER BY time_created").fetchall()
        found = [json.loads(data) for (data,) in rows]
    except (OSError, sqlite3.Error, ValueError):
        return []
    return [one for one in found if isinstance(one, dict) and one.get("role") == "assistant"]


def _copy_database(home: Path, to: Path) -> None:
    """The database and what is not merged into it yet: HOME is the agent's to write, and sqlite
    would follow a link there, or wait at a pipe."""
    for suffix in ("", "-wal"):
        name = f"{DATABASE}{suffix}"
        with contextlib.suppress(FileNotFoundError):
            (to / name).write_bytes(read_within(home, f"{OWN}/{name}"))


def _check_skills(setup: Setup, env: Mapping[str, str]) -> None:
    """OpenCode's tool `skill` lists a skill's files with ripgrep. It would fetch that from GitHub,
    for every HOME anew; where it cannot, the model is told of skills that it cannot read.

    Raises RunError (kind `tools`).
    """
    given = any(path.startswith(".opencode/skills/") for path in setup.files)
    if given and shutil.which("rg", path=env.get("PATH")) is None:
        raise RunError.of(
            "tools",
            "OpenCode reads skills with ripgrep, and there is no program rg on PATH",
            "install ripgrep (apt install ripgrep)",
        )


def _needed(setup: Setup) -> set[str]:
    """The tools that the tier's skills and sub-agents need to be there."""
    folders = {".opencode/skills/": "Skill", ".opencode/agents/": "Task"}
    return {
        tool for start, tool in folders.items() if any(p.startswith(start) for p in setup.files)
    }


def _sub_agent(path: str, data: bytes) -> tuple[str, str]:
    """Name and Markdown of a sub-agent of OpenCode, from one of Claude Code."""
    head = markdown_head(data)
    name = str(head.get("name") or Path(path).stem)
    body = data.decode("utf-8", "replace").split("---\n", 2)[-1] if head else data.decode("utf-8")
    about = json.dumps(str(head.get("description") or name), ensure_ascii=False)
    return name, f"---\ndescription: {about}\nmode: subagent\n---\n{body}"


def _check_servers(job: Job) -> None:
    """Greet every MCP server that is a program: OpenCode says nothing of one that does not start.

    Raises RunError (kind `mcp`).
    """
    for name, server in job.setup.servers.items():
        if not server.get("url") and not _answers(server, job):
            command = " ".join([str(server.get("command")), *(server.get("args") or ())])
            raise RunError.of("mcp", f"the MCP server {name} did not answer: {command}")


def _answers(server: Mapping[str, Any], job: Job) -> bool:
    """Whether a server's program answers the greeting of the protocol."""
    try:
        done = subprocess.run(
            [str(server.get("command")), *(server.get("args") or ())],
            input=json.dumps(GREETING) + "\n",
            cwd=job.workspace,
            env={**job.env, **(server.get("env") or {})},
            capture_output=True,
            text=True,
            timeout=GREETING_TIME,
            check=False,
        )
        said = done.stdout
    except subprocess.TimeoutExpired as waiting:  # it does not end with its input: that is no fault
        said = (waiting.stdout or b"").decode("utf-8", "replace")
    except OSError:
        return False
    return any("result" in line for line in json_lines(said))


def _server(server: Mapping[str, Any]) -> dict[str, Any]:
    """An MCP server in OpenCode's words."""
    if server.get("url"):
        return {"type": "remote", "url": server["url"], "enabled": True}
    command = [server.get("command"), *(server.get("args") or ())]
    env = server.get("env") or {}
    return {"type": "local", "command": command, "environment": env, "enabled": True}


def _cost(asked: Sequence[Mapping[str, Any]]) -> float | None:
    """USD; 0 means that OpenCode has no price for the model."""
    costs = [float(one.get("cost") or 0.0) for one in asked]
    return sum(costs) if costs and all(costs) else None


def _tool_call(part: Mapping[str, Any]) -> ToolCall:
    state = part.get("state") or {}
    failed = state.get("status") == "error"
    output = state.get("error") if failed else state.get("output")
    return ToolCall(
        id=str(part.get("callID")),
        name=str(part.get("tool")),
        input=cut(state.get("input")),
        output=None if output is None else cut(str(output)),
        failed=failed,
    )


def _error(events: Sequence[Mapping[str, Any]], finished: Finished, job: Job) -> RunError | None:
    """Why there is nothing to judge, if so: from events, OpenCode's own log and exit status."""
    if finished.timed_out and (said := _last_refusal(job.home)):
        asking = "OpenCode was waiting to ask the API again when the time was up"
        return RunError.of("api_error", f"{asking}: {said[:500]}")
    if not events:
        if finished.timed_out:
            return RunError.of("not_started", "OpenCode had not begun in time")
        return crash("OpenCode", finished)
    errors = [e.get("error") or {} for e in events if e.get("type") == "error"]
    if errors:
        return _api_error(errors[-1])
    if finished.exit_code and not finished.timed_out:
        return crash("OpenCode", finished)
    return None


def _last_refusal(home: Path) -> str | None:
    """What the API answered to the last request, where that failed: it writes a line when it asks,
    and one when that comes to nothing."""
    try:
        log = read_within(home, f"{OWN}/log/opencode.log").decode("utf-8", "replace")
    except OSError:
        return None
    asked = re.findall(r'^timestamp=.* message=(stream|"stream error") (.*)$', log, re.M)
    if not asked or asked[-1][0] == "stream":
        return None
    return str(asked[-1][1].partition("error.error=")[2])


def _api_error(error: Mapping[str, Any]) -> RunError:
    data = error.get("data") or {}
    status = data.get("statusCode")
    kind = ERRORS.get(str(error.get("name"))) or (
        STATUSES.get(status, "api_error") if isinstance(status, int) else "agent_error"
    )
    return RunError.of(kind, f"OpenCode gave up: {str(data.get('message'))[:500]}")
