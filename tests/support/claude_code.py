"""The real Claude Code binary that the claude-agent-sdk package bundles, for tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

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
