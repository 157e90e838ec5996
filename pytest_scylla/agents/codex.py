"""Codex, headless: one run of `codex exec --json` in the workspace.

What a tier gives is put where Codex looks for it: CLAUDE.md as AGENTS.md, skills below
.agents/skills, sub-agents as roles below .codex/agents; MCP servers and tools come by `-c`. What
went wrong, and the tokens of every request (those of sub-agents, and of a run that was cut off),
are read from the session files that Codex keeps in the run's HOME.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..errors import STATUSES, RunError
from ..openai import BASE_URL, check_access, endpoint
from ..prices import Usage
from ..processes import Finished, Invocation
from ..providers import REFUSALS
from ..reading import names_within, read_within
from ..results import TokenStats, ToolCall, Turn, cut
from ..tiers import Files, Setup
from . import Agent, Answer, Job, ask_version, crash, find_program, json_lines, markdown_head

MOST_OF_A_SESSION = 2**28
"""Bytes of the largest session file that is read."""

KEYS = ("OPENAI_API_KEY", "CODEX_API_KEY")
"""The first of these that is set is the key; it is taken out of every log."""

SKILLS, AGENTS = ".claude/skills/", ".claude/agents/"

SWITCHES = {
    "web_search": ('"disabled"', {"WebSearch", "WebFetch"}),
    "features.view_image": ("false", {"Read", "view_image"}),
    "features.goals": ("false", {"TodoWrite"}),
}
"""What turns a tool off -> the tools of a tier that leave it on."""

ERRORS = {
    "context_window_exceeded": "prompt_too_long",
    "usage_limit_exceeded": "quota",
    "session_budget_exceeded": "budget_limit",
    "rate_limit_exceeded": "rate_limit",
    "server_overloaded": "overloaded",
    "model_not_found": "model_unknown",
    "unauthorized": "auth",
    "cyber_policy": "refusal",
    "invalid_prompt": "refusal",
    "misalignment_policy_violation": "refusal",
    "policy": "refusal",
}
"""What Codex calls an error (`codex_error_info`) -> kind of error."""


LAST_STATUS = re.compile(r"^Reconnecting\.\.\. .*\blast status: (\d{3})\b")


class Codex(Agent):
    """Options of `adapter: codex`."""

    adapter: ClassVar = "codex"
    asks_nobody: ClassVar = True
    supported: ClassVar = ("0.169", "1")
    install: ClassVar = "npm install --global @openai/codex@0.169.0"

    model: str
    """The model, as `codex --model` takes it."""
    thinking: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    """Reasoning effort."""
    executable: str = "codex"
    """The program."""
    args: tuple[str, ...] = ()
    """Further arguments of `codex exec`."""
    max_retries: int | None = Field(default=None, ge=0)
    """How often a request is tried again; default: as Codex has it."""

    def identity(self) -> Mapping[str, Any]:
        """Model, thinking, arguments and variables; not the limits, the program's place, or the
        way to the API."""
        away = {"paid", "timeout", "executable", "max_retries"}
        chosen = self.model_dump(exclude=away)
        env = {name: value for name, value in self.env.items() if name not in (*KEYS, BASE_URL)}
        return {"adapter": self.adapter, **chosen, "env": env}

    def unready(self) -> str | None:
        """No key."""
        return None if self._key else f"no key: set {KEYS[0]}"

    @property
    def _key(self) -> str | None:
        """The name of the variable that holds the key."""
        known = {**os.environ, **self.env}
        return next((name for name in KEYS if known.get(name)), None)

    @property
    def endpoint(self) -> str:
        """URL of the API."""
        return endpoint({**os.environ, **self.env})

    def preflight(self) -> None:
        """The program, the key and the model."""
        self.version()
        check_access({**os.environ, **self.env}, self._key or KEYS[0], self.model)

    @cached_property
    def program(self) -> str:
        """Where the program is. Raises RunError (kind `no_cli`)."""
        return find_program(self.executable, self.install)

    @cached_property
    def told_version(self) -> str:
        """What `codex --version` says."""
        return ask_version(self.program, self.install)

    # -- what the tier gives

    def files(self, setup: Setup) -> Files:
        """AGENTS.md, .agents/skills and .codex/agents; servers and tools are no files here."""
        found: Files = {}
        for path, (data, executable) in setup.files.items():
            if path == "CLAUDE.md":
                found["AGENTS.md"] = (data, executable)
            elif path.startswith(SKILLS):
                found[f".agents/skills/{path.removeprefix(SKILLS)}"] = (data, executable)
            elif path.startswith(AGENTS) and path.endswith(".md"):
                name, role = _role(path, data)
                found[f".codex/agents/{name}.toml"] = (role.encode(), False)
        return found

    def not_taken(self, setup: Setup) -> Sequence[str]:
        """A missing system prompt, agent teams, tools that its shell cannot be parted from."""
        lost = []
        if setup.system_prompt_mode == "none":
            lost.append("`system_prompt_mode: none`")
        if setup.agent_teams:
            lost.append("`agent_teams`")
        if setup.tools is not None and not _takes_tools(setup.tools):
            lost.append("`tools.enabled` without Bash (it reads files with its shell)")
        heads = [markdown_head(d) for p, (d, _) in setup.files.items() if p.startswith(AGENTS)]
        if any(head.get("tools") for head in heads):
            lost.append("`tools` of a sub-agent")
        return lost

    # -- the command

    def invocation(self, job: Job) -> Invocation:
        """The command; the prompt goes to standard input."""
        known = {**os.environ, **self.env}
        key = self._key or KEYS[0]
        handed = {key: known[key]} if known.get(key) else {}
        words = ["exec", "--json", "--skip-git-repo-check", "--model", self.model]
        words += ["--dangerously-bypass-approvals-and-sandbox"]
        for name, value in self._settings(job, key).items():
            words += ["-c", f"{name}={value}"]
        return Invocation(
            argv=[self.program, *words, *self.args],
            cwd=job.workspace,
            env={**job.env, **self.env, **handed},
            stdin=job.prompt,
            timeout=job.timeout,
        )

    def _settings(self, job: Job, key: str) -> dict[str, str]:
        """Keys of Codex's configuration with values in TOML."""
        provider: dict[str, Any] = {
            "name": "OpenAI",
            "base_url": self.endpoint,
            "env_key": key,
            "wire_api": "responses",
        }
        if self.max_retries is not None:
            provider["request_max_retries"] = self.max_retries
            provider["stream_max_retries"] = self.max_retries
        found = {
            "model_provider": toml("scylla"),
            "model_providers.scylla": toml(provider),
            "skills.bundled.enabled": "false",
        }
        if self.thinking is not None:
            found["model_reasoning_effort"] = toml(self.thinking)
        for name, server in job.setup.servers.items():
            given = {k: v for k, v in server.items() if k in ("command", "args", "env", "url")}
            found[f"mcp_servers.{name}"] = toml({**given, "required": True})
        if any(path.startswith(".codex/") for path in job.setup.files):
            found["features.multi_agent_v2"] = "true"
            found["projects"] = toml({str(job.workspace.resolve()): {"trust_level": "trusted"}})
        tools = job.setup.tools
        if tools is not None and _takes_tools(tools):
            off = {n: v for n, (v, on) in SWITCHES.items() if not on.intersection(tools)}
            found.update(off)
        return found

    # -- what came back

    def refusal(self, line: str) -> tuple[int, float | None] | None:
        """An event `error` while it works: the program repeats a request. Of how it was refused
        there is no field: the status stands in the program's own sentence."""
        event = next(json_lines(line), {}) if '"error"' in line else {}
        found = (
            LAST_STATUS.search(str(event.get("message"))) if event.get("type") == "error" else None
        )
        status = int(found[1]) if found else 0
        return (status, None) if status in REFUSALS.values() else None

    def transcript(self, stdout: str) -> list[Turn]:
        """What it said and did, in one turn for each message."""
        return list(_turns(json_lines(stdout), self.model))

    def answer(self, finished: Finished, job: Job) -> Answer:
        """What the events say, and the session files in HOME."""
        events = list(json_lines(finished.stdout))
        session = Session(job.home)
        answer = Answer(
            text=next(reversed(list(_messages(events))), ""),
            tokens=sum(session.requests, TokenStats()) if session.requests else _usage(events),
            usages=tuple(Usage(self.model, tokens) for tokens in session.requests),
            turns=len(session.requests),
            model=self.model,
        )
        error = _error(events, session, finished, job.setup)
        if error is not None:
            return replace(answer, stop_reason=error.kind, error=error)
        if finished.timed_out:
            return replace(answer, stop_reason="time_limit", limited=True)
        return answer


def _takes_tools(tools: Sequence[str]) -> bool:
    return "Bash" in tools


def toml(value: Any) -> str:
    """A value in TOML, in one line. A text of JSON is one of TOML too, but for one sign."""
    if isinstance(value, Mapping):
        pairs = (f"{toml(str(name))}={toml(part)}" for name, part in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _role(path: str, data: bytes) -> tuple[str, str]:
    """Name and TOML of a role of Codex, from a sub-agent's Markdown."""
    head = markdown_head(data)
    name = head.get("name") or Path(path).stem
    text = data.decode("utf-8", "replace")
    body = re.sub(r"\A---\n.*?\n---\n?", "", text, count=1, flags=re.S)
    lines = {
        "name": name,
        "description": head.get("description") or name,
        "developer_instructions": body.strip() or name,
    }
    return name, "".join(f"{key} = {toml(value)}\n" for key, value in lines.items())


# -- the session files -------------------------------------------------------------------------


class Session:
    """What Codex keeps of a run in HOME: a file for the agent, and one for each sub-agent."""

    def __init__(self, home: Path) -> None:
        records = [record for text in _session_files(home) for record in json_lines(text)]
        told = _payloads(records, "token_usage_record")
        by_request = {str(p.get("response_id")): _stats(p.get("usage") or {}) for p in told}
        self.requests = list(by_request.values())
        """Tokens of every answer of the model, those of sub-agents included."""
        ends = [p for p in _payloads(records, "event_msg") if p.get("type") == "task_complete"]
        self.error: dict[str, Any] = next((p["error"] for p in ends if p.get("error")), {})

    @property
    def kind(self) -> str | None:
        """The kind of the error that ended the run, if any."""
        info = self.error.get("codex_error_info")
        name, status = _info(info)
        if not self.error:
            return None
        if status:
            return STATUSES.get(status, "api_error")
        if name in ("http_connection_failed", "response_stream_disconnected"):
            return "network"
        if name in ("response_stream_connection_failed", "response_too_many_failed_attempts"):
            return "network"
        return ERRORS.get(name, "api_error" if info else "agent_error")


def _session_files(home: Path) -> Iterator[str]:
    """Their texts; the agent may have put other things there."""
    for name in names_within(home, ".codex/sessions"):
        if name.endswith(".jsonl"):
            with contextlib.suppress(OSError):
                yield read_within(home, name, MOST_OF_A_SESSION).decode("utf-8", "replace")


def _info(info: Any) -> tuple[str, int | None]:
    """Name and HTTP status of a `codex_error_info`: a word, or a word with fields."""
    if isinstance(info, dict) and info:
        name, fields = next(iter(info.items()))
        status = fields.get("http_status_code") if isinstance(fields, dict) else None
        return str(name), status
    return str(info), None


def _payloads(records: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    for record in records:
        payload = record.get("payload")
        if record.get("type") == kind and isinstance(payload, dict):
            yield payload


def _stats(usage: Mapping[str, Any]) -> TokenStats:
    """Tokens; Codex counts what came from the cache, or went into it, as input too."""
    read = int(usage.get("cached_input_tokens") or 0)
    written = int(usage.get("cache_write_input_tokens") or 0)
    return TokenStats(
        input_tokens=max(0, int(usage.get("input_tokens") or 0) - read - written),
        output_tokens=int(usage.get("output_tokens") or 0),
        cache_creation_tokens=written,
        cache_read_tokens=read,
    )


# -- the events --------------------------------------------------------------------------------


def _usage(events: list[dict[str, Any]]) -> TokenStats:
    """Tokens as the last event tells them: of the agent alone, over all its requests."""
    done = [e["usage"] for e in events if e.get("type") == "turn.completed" and e.get("usage")]
    return _stats(done[-1]) if done else TokenStats()


def _messages(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        item = event.get("item") or {}
        if event.get("type") == "item.completed" and item.get("type") == "agent_message":
            yield str(item.get("text") or "")


def _turns(events: Iterator[dict[str, Any]], model: str | None) -> Iterator[Turn]:
    """A turn ends with what the agent says; the tools before it belong to it."""
    tools: list[ToolCall] = []
    last: dict[str, dict[str, Any]] = {}
    number = 1
    for event in events:
        item = event.get("item") or {}
        if event.get("type") in ("item.started", "item.updated"):
            last[str(item.get("id"))] = item
        elif event.get("type") == "item.completed" and item.get("type") == "agent_message":
            text = cut(str(item.get("text") or ""))
            yield Turn(number=number, model=model, text=text, tools=tuple(tools))
            number, tools = number + 1, []
        elif event.get("type") == "item.completed":
            last.pop(str(item.get("id")), None)
            tools += _tool_call(item)
    tools += [call for item in last.values() for call in _tool_call(item, ended=False)]
    if tools:
        yield Turn(number=number, model=model, tools=tuple(tools))


def _tool_call(item: Mapping[str, Any], ended: bool = True) -> list[ToolCall]:
    """The call that an item stands for; none for thoughts and notes."""
    kind = str(item.get("type"))
    output: Any = None
    if kind == "command_execution":
        name, given, output = "exec_command", item.get("command"), item.get("aggregated_output")
    elif kind == "file_change":
        name, given, output = "apply_patch", item.get("changes"), item.get("status")
    elif kind == "mcp_tool_call":
        name = f"mcp__{item.get('server')}__{item.get('tool')}"
        given, output = item.get("arguments"), _plain(item)
    elif kind == "collab_tool_call":
        name, given = str(item.get("tool")), item.get("prompt")
        output = json.dumps(item.get("agents_states") or {})
    elif kind == "web_search":
        name, given = "web_search", item.get("query")
    else:
        return []
    return [
        ToolCall(
            id=str(item.get("id")),
            name=name,
            input=cut(given),
            output=cut(str(output)) if ended and output is not None else None,
            failed=item.get("status") == "failed" or bool(item.get("exit_code")),
        )
    ]


def _plain(item: Mapping[str, Any]) -> str | None:
    """What an MCP tool gave back, as text."""
    if item.get("error"):
        return str(item["error"].get("message"))
    blocks = (item.get("result") or {}).get("content") or ()
    return "\n".join(str(b.get("text", f"[{b.get('type')}]")) for b in blocks)


# -- what went wrong ---------------------------------------------------------------------------


def _error(
    events: list[dict[str, Any]], session: Session, finished: Finished, setup: Setup
) -> RunError | None:
    """Why there is nothing to judge, if so: from events, session files and exit status."""
    began = any(event.get("type") == "thread.started" for event in events)
    if not began and finished.timed_out:
        return RunError.of("not_started", "Codex had not begun in time")
    if not began and setup.servers and finished.exit_code:
        # It begins only when every server that it requires has started.
        names = ", ".join(setup.servers)
        said = finished.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return RunError.of("mcp", f"Codex did not begin with the MCP servers {names}: {said[0]}")
    failed = [event for event in events if event.get("type") == "turn.failed"]
    kind = session.kind
    if failed or kind:
        message = str(session.error.get("message") or (failed and failed[-1]["error"]["message"]))
        return RunError.of(kind or "agent_error", f"Codex gave up: {message[:500]}", _step(kind))
    if finished.timed_out and events[-1].get("type") == "error":
        return _still_asking(str(events[-1].get("message")))
    done = any(event.get("type") == "turn.completed" for event in events)
    if finished.timed_out or (done and not finished.exit_code):
        return None
    return crash("Codex", finished)


def _still_asking(said: str) -> RunError:
    """The time was up while it repeated a request that the API had refused."""
    found = LAST_STATUS.search(said)
    kind = STATUSES.get(int(found[1]), "api_error") if found else "api_error"
    return RunError.of(kind, f"Codex was asking the API again when the time was up: {said[:500]}")


def _step(kind: str | None) -> str | None:
    return f"correct {KEYS[0]}" if kind == "auth" else None
