"""Claude Code, headless: one run of the `claude` program in the workspace.

What a tier gives arrives by the program's own ways: CLAUDE.md, .claude/skills, .claude/agents and
.claude/settings.json from the worktree, tools by `--tools`, MCP servers by `--mcp-config`. Output
is stream-json, so that the events so far survive a kill.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..errors import RunError
from ..processes import Finished, Invocation, clean_environment
from ..results import TokenStats
from ..tiers import Setup
from ..yamlfile import Strict
from . import Answer, Job

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
"""One of these must be set; all that are set are handed on, and taken out of every log."""

HANDED_ON = (*KEYS, "ANTHROPIC_BASE_URL")

QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}

LIMITS = {"error_max_turns": "max_turns", "error_max_budget_usd": "budget_exhausted"}
"""Ends that are judged on what the agent left: subtype -> stop reason."""

STATUS_KINDS = {401: "auth", 403: "auth", 404: "model_unknown", 429: "rate_limit",
                529: "overloaded"}  # fmt: skip


class ClaudeCode(Strict):
    """Options of `adapter: claude-code`."""

    model: str
    """The model, as `claude --model` takes it."""
    thinking: Literal["off", "low", "medium", "high", "xhigh", "max"] | int | None = None
    """Effort by name, or a budget in tokens (for models that take one)."""
    max_turns: int | None = Field(default=None, ge=1)
    """The agent stops after so many turns and is judged on what is there."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds; default: as the task says."""
    executable: str = "claude"
    """The program; where PATH has none, that of the package claude-agent-sdk is used."""
    args: tuple[str, ...] = ()
    """Further arguments."""
    env: dict[str, str] = Field(default_factory=dict)
    """Further variables."""

    @property
    def paid(self) -> bool:
        """Every run costs money."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """Model, thinking, turn limit and arguments; not the time limit or the program's place."""
        chosen = self.model_dump(exclude={"timeout", "executable"})
        return {"adapter": "claude-code", **chosen}

    def unready(self) -> str | None:
        """No key."""
        if any(os.environ.get(name) for name in KEYS):
            return None
        return f"no key: set {KEYS[0]}"

    @cached_property
    def program(self) -> str:
        """Where the program is. Raises RunError (kind `no_cli`)."""
        found = shutil.which(self.executable) or _bundled()
        if found is None:
            raise RunError(
                "no_cli",
                f"agent.executable: there is no program {self.executable!r}\n  next: install "
                "Claude Code (pip install 'pytest-scylla[claude-code]'), or correct "
                "agent.executable in experiment.yaml",
            )
        return found

    def version(self) -> str:
        """What `claude --version` says."""
        answer = subprocess.run(
            [self.program, "--version"],
            capture_output=True,
            text=True,
            env=clean_environment(QUIET),
            timeout=60,
            check=False,
        )
        return answer.stdout.strip()

    def invocation(self, job: Job) -> Invocation:
        """The command; the prompt goes to standard input."""
        handed = {name: os.environ[name] for name in HANDED_ON if os.environ.get(name)}
        env = {**job.env, **QUIET, **self._thinking_variables(), **handed, **self.env}
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
            words += ["--tools", ",".join(offered_tools(setup))]
        outer = _memories_above(workspace)
        if outer:
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

    def answer(self, finished: Finished, job: Job) -> Answer:
        """What the stream of events says; the last result event decides."""
        events = list(_events(finished.stdout))
        results = [event for event in events if event.get("type") == "result"]
        last = results[-1] if results else {}
        answer = Answer(
            text=str(last.get("result") or ""),
            tokens=_tokens(last) if results else _tokens_so_far(events),
            cost_usd=last.get("total_cost_usd"),
            turns=sum(int(event.get("num_turns") or 0) for event in results),
            model=_init(events).get("model"),
            stop_reason=str(last.get("terminal_reason") or "completed"),
        )
        return _judged_or_error(answer, finished, events, last)


def offered_tools(setup: Setup) -> list[str]:
    """The tools to name: those of the tier, and the ones its skills and agents need to be there."""
    names = list(setup.tools or ())
    for folder, tool in ((".claude/skills/", "Skill"), (".claude/agents/", "Agent")):
        if any(path.startswith(folder) for path in setup.files) and tool not in names:
            names.append(tool)
    return names


def _memories_above(workspace: Path) -> list[str]:
    """CLAUDE.md files in the directories above: they would be read, and are not the tier's."""
    names = ("CLAUDE.md", "CLAUDE.local.md", ".claude/CLAUDE.md")
    places = [folder / name for folder in workspace.parents for name in names]
    return [str(place) for place in places if place.is_file()]


def _bundled() -> str | None:
    """The program that the package claude-agent-sdk brings along."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "_bundled" / "claude"
    return str(path) if path.is_file() else None


def _events(stdout: str) -> Iterator[dict[str, Any]]:
    for line in stdout.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _init(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return next((event for event in events if event.get("subtype") == "init"), {})


def _tokens(result: Mapping[str, Any]) -> TokenStats:
    """Tokens of all models: `usage` leaves sub-agents out, `modelUsage` does not."""
    total = TokenStats()
    for usage in (result.get("modelUsage") or {}).values():
        total += TokenStats(
            input_tokens=usage.get("inputTokens", 0),
            output_tokens=usage.get("outputTokens", 0),
            cache_creation_tokens=usage.get("cacheCreationInputTokens", 0),
            cache_read_tokens=usage.get("cacheReadInputTokens", 0),
        )
    return total


def _tokens_so_far(events: Sequence[Mapping[str, Any]]) -> TokenStats:
    """Tokens of a run that was cut off, from its messages; an id comes once per content block."""
    from ..results import token_stats

    messages = [event.get("message") or {} for event in events if event.get("type") == "assistant"]
    usages = {message.get("id"): message.get("usage") or {} for message in messages}
    return sum((token_stats(usage) for usage in usages.values()), TokenStats())


def _judged_or_error(
    answer: Answer,
    finished: Finished,
    events: Sequence[Mapping[str, Any]],
    last: Mapping[str, Any],
) -> Answer:
    from dataclasses import replace

    broken = [
        s["name"] for s in _init(events).get("mcp_servers", []) if s.get("status") == "failed"
    ]
    if broken:
        error = RunError("mcp", f"MCP server {', '.join(broken)} did not start")
        return replace(answer, stop_reason="mcp", error=error)
    if finished.timed_out:
        return replace(answer, stop_reason="timeout", limited=True)
    limit = LIMITS.get(str(last.get("subtype")))
    if limit:
        return replace(answer, stop_reason=limit, limited=True)
    if last and not last.get("is_error") and finished.exit_code == 0:
        return answer
    return replace(answer, error=_error(answer, finished, last))


def _error(answer: Answer, finished: Finished, last: Mapping[str, Any]) -> RunError:
    """What kind of error it was, from exit status and fields, never from prose."""
    status = last.get("api_error_status")
    reason = answer.stop_reason
    if status is not None:
        kind = STATUS_KINDS.get(int(status), "api_error")
        return RunError(kind, f"the API answered {status}: {answer.text[:500]}")
    if last:
        kind = reason if reason != "completed" else "agent_error"
        return RunError(kind, f"Claude Code gave up ({reason}): {answer.text[:500]}")
    said = finished.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    return RunError(
        "crash", f"Claude Code ended with {finished.exit_code} and no result: {said[0][:500]}"
    )
