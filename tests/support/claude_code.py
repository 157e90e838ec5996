"""The real Claude Code binary that claude-agent-sdk bundles, and events like its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MISSING = (
    "the tests need the Claude Code binary bundled with claude-agent-sdk==0.2.186: "
    "install the project's test dependencies"
)


def claude_binary() -> Path:
    """Return the bundled binary; fail (never skip) if it is not installed."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        raise AssertionError(f"{MISSING} (no package claude_agent_sdk)")
    binary = Path(spec.origin).parent / "_bundled" / "claude"
    if not os.access(binary, os.X_OK):
        raise AssertionError(f"{MISSING} (no executable _bundled/claude in the package)")
    return binary


def claude_environment(home: Path, base_url: str) -> dict[str, str]:
    """Return a whole environment for one run that speaks to ``base_url`` only."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        "IS_SANDBOX": "1",
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": base_url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
    }


def run_claude(
    prompt: str,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    flags: Sequence[str] = (),
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run the binary headless with the prompt on its standard input; events come on stdout."""
    command = [str(claude_binary()), "-p", "--output-format", "stream-json", "--verbose"]
    command += ["--dangerously-skip-permissions", "--max-turns", "20", *flags]
    return subprocess.run(
        command,
        input=prompt,
        cwd=cwd,
        env=dict(environment),
        text=True,
        capture_output=True,
        timeout=timeout,
        check=False,
    )


# Events of --output-format stream-json, as the binary writes them, shortened

Event = dict[str, Any]
MODEL = "claude-haiku-4-5"
BUILT_IN_AGENTS = ["claude", "Explore", "general-purpose", "Plan", "statusline-setup"]


def stream(*events: Event) -> str:
    """Standard output with these events."""
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)


def init(**changes: Any) -> Event:
    """The first event: what the program offers to the model."""
    return {
        "type": "system",
        "subtype": "init",
        "tools": ["Task", "Bash", "Edit", "Read", "Skill", "TaskStop", "Write"],
        "mcp_servers": [],
        "model": MODEL,
        "permissionMode": "bypassPermissions",
        "agents": BUILT_IN_AGENTS,
        "skills": ["debug"],
        **changes,
    }


def message(text: str = "I work.", *, id: str = "msg_1", **usage: int) -> Event:
    """A message of the model, with the usage that its first stream event told."""
    return {
        "type": "assistant",
        "message": {
            "id": id,
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [{"type": "text", "text": text}],
            "usage": {"input_tokens": 10, "output_tokens": 1, **usage},
        },
        "parent_tool_use_id": None,
    }


def tool_result(text: str = "hi") -> Event:
    """What a tool answered."""
    block = {"type": "tool_result", "tool_use_id": "toolu_1", "content": text}
    return {"type": "user", "message": {"role": "user", "content": [block]}}


def api_retry(status: int | None, error: str) -> Event:
    """The API refused, and the program waits to ask again."""
    return {
        "type": "system",
        "subtype": "api_retry",
        "attempt": 1,
        "max_retries": 10,
        "retry_delay_ms": 567,
        "error_status": status,
        "error": error,
    }


def model_usage(
    input: int = 10, output: int = 5, created: int = 0, read: int = 0, basis: str = "list"
) -> dict[str, Any]:
    """What one model used, sub-agents included."""
    return {
        "inputTokens": input,
        "outputTokens": output,
        "cacheReadInputTokens": read,
        "cacheCreationInputTokens": created,
        "costUSD": 0.001,
        "costBasis": basis,
    }


def result(text: str | None = "Done.", **changes: Any) -> Event:
    """How a turn of the conversation ended."""
    event = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "api_error_status": None,
        "terminal_reason": "completed",
        "stop_reason": "end_turn",
        "num_turns": 1,
        "total_cost_usd": 0.001,
        "usage": {"input_tokens": 10, "output_tokens": 5},
        "modelUsage": {MODEL: model_usage()},
        **changes,
    }
    return event if text is None else {**event, "result": text}


def api_error(status: int | None, text: str, **changes: Any) -> Event:
    """The program gave up on the API; its subtype says "success" all the same."""
    failed = {"is_error": True, "terminal_reason": "api_error", "stop_reason": "stop_sequence"}
    nothing = {"total_cost_usd": 0, "modelUsage": {}, "usage": {"input_tokens": 0}}
    return result(text, **{**failed, **nothing, "api_error_status": status, **changes})
