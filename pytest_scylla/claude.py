"""Claude's API and the program Claude Code, as far as agents and judges share them.

Keys and ways to the API, the program and its version, the events that it writes, and what a
status of the API means.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import RunError
from .processes import clean_environment
from .results import TokenStats, token_stats

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
"""One of these must be set; all that are set are handed on, and taken out of every log."""

HANDED_ON = (*KEYS, "ANTHROPIC_BASE_URL")

QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}

LIMITS = {"error_max_turns": "max_turns", "error_max_budget_usd": "budget_exhausted"}
"""Ends that are judged on what the agent left: subtype -> stop reason."""

KEY_STEP = f"correct {KEYS[0]}"
KEY_STEP = f"correct {KEYS[0]}"
LATER_STEP = "the same command goes on when the API takes requests again"


def keyless(env: Mapping[str, str]) -> str | None:
    """Why the API cannot be asked with these variables: no key is set."""
    return None if any(env.get(name) for name in KEYS) else f"no key: set {KEYS[0]}"


def access(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead to the API, as far as they are set."""
    return {name: env[name] for name in HANDED_ON if env.get(name)}


def api_error(status: int | None, text: str, whose: str = "agent.") -> RunError:
    """What an answer of the API other than a message means; None: it gave no answer.

    `whose` begins the name of the key `model` in the next step.
    """
    kinds = {
        401: ("auth", KEY_STEP),
        403: ("auth", KEY_STEP),
        404: ("model_unknown", f"correct {whose}model in experiment.yaml"),
        429: ("rate_limit", LATER_STEP),
        529: ("overloaded", LATER_STEP),
    }
    kind, step = kinds.get(status or 0, ("api_error", LATER_STEP))
    said = f"the API answered {status}" if status else "the API gave no answer"
    return RunError(kind, f"{said}: {text}\n  next: {step}")


# -- the program -----------------------------------------------------------------------------------


def find_program(executable: str, key: str) -> str:
    """Where Claude Code is; `key` of experiment.yaml names it. Raises RunError (kind `no_cli`)."""
    found = shutil.which(executable) or _bundled()
    if found is None:
        raise RunError(
            "no_cli",
            f"{key}: there is no program {executable!r}\n  next: install "
            "Claude Code (pip install 'pytest-scylla[claude-code]'), or correct "
            f"{key} in experiment.yaml",
        )
    return found


def program_version(program: str, key: str) -> str:
    """What `claude --version` says. Raises RunError (kind `no_cli`) where it says nothing."""
    env = clean_environment(QUIET)
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, env=env, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(
            "no_cli",
            f"{program} --version: {error}\n  next: install Claude Code anew, or correct "
            f"{key} in experiment.yaml",
        ) from None
    return answer.stdout.strip()


def _bundled() -> str | None:
    """The program that the package claude-agent-sdk brings along."""
    spec = importlib.util.find_spec("claude_agent_sdk")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "_bundled" / "claude"
    return str(path) if path.is_file() else None


# -- its events ------------------------------------------------------------------------------------


class Stream:
    """The events of a run of the program (stream-json), as far as they go.

    There may be several results: a background task that ends makes the model speak again. Cost
    and `modelUsage` (which counts sub-agents, as `usage` does not) go on over all of them.
    """

    def __init__(self, stdout: str) -> None:
        self.events = list(_events(stdout))
        self.init = next((e for e in self.events if e.get("subtype") == "init"), {})
        self.results = [e for e in self.events if e.get("type") == "result"]
        self.last = self.results[-1] if self.results else {}
        self.said = [e for e in self.events if e.get("type") == "assistant"]
        after = list(itertools.takewhile(lambda e: e is not self.last, reversed(self.events)))
        later = [e.get("message", {}) for e in reversed(after) if e.get("type") == "assistant"]
        # A message comes once per content block, with the same usage.
        self.later = {message.get("id"): message.get("usage") or {} for message in later}

    @property
    def text(self) -> str:
        """The last result, or what was said last where the run was cut off."""
        texts = [text for event in self.said for text in _texts(event)]
        return str(self.last.get("result") or "".join(texts[-1:]))

    @property
    def tokens(self) -> TokenStats:
        """Tokens of all models; of messages after the last result, as far as they are told."""
        models = (self.last.get("modelUsage") or {}).values()
        usages = [_short(usage) for usage in models] or [token_stats(self.last.get("usage") or {})]
        usages += [token_stats(usage) for usage in self.later.values()]
        return sum(usages, TokenStats())

    @property
    def cost(self) -> float | None:
        """USD; None where the run was cut off, or a model has no known price."""
        models = (self.last.get("modelUsage") or {}).values()
        unpriced = any(usage.get("costBasis") == "unknown" for usage in models)
        cost = self.last.get("total_cost_usd")
        return None if self.later or unpriced or cost is None else float(cost)

    @property
    def turns(self) -> int:
        """Turns of all results; messages where the run was cut off."""
        return sum(int(r.get("num_turns") or 0) for r in self.results) + len(self.later)

    @property
    def retry(self) -> dict[str, Any] | None:
        """The API's last error, where the program was still waiting to ask again."""
        kinds = ("assistant", "user", "result")
        told = [e for e in self.events if e.get("type") in kinds or e.get("subtype") == "api_retry"]
        return told[-1] if told and told[-1].get("subtype") == "api_retry" else None


def _events(stdout: str) -> Iterator[dict[str, Any]]:
    for line in stdout.split("\n"):  # splitlines would break at signs that JSON leaves as they are
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _texts(event: Mapping[str, Any]) -> Iterator[str]:
    """What the agent itself says in a message, not a sub-agent."""
    if not event.get("parent_tool_use_id"):
        for block in event.get("message", {}).get("content") or ():
            if block.get("type") == "text":
                yield block["text"]


def _short(usage: Mapping[str, Any]) -> TokenStats:
    return TokenStats(
        input_tokens=usage.get("inputTokens", 0),
        output_tokens=usage.get("outputTokens", 0),
        cache_creation_tokens=usage.get("cacheCreationInputTokens", 0),
        cache_read_tokens=usage.get("cacheReadInputTokens", 0),
    )
