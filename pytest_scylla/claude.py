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
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import STATUSES, RunError
from .preflight import ask_for_model
from .prices import Usage, plain_name
from .processes import clean_environment
from .providers import REFUSALS
from .results import TokenStats, ToolCall, Turn, cut, token_stats, usd
from .store import parse_json

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
"""One of these must be set; all that are set are handed on, and taken out of every log."""

HANDED_ON = (*KEYS, "ANTHROPIC_BASE_URL")

QUIET = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}

KEY_STEP = f"correct {KEYS[0]}"

WORDS = {
    "authentication_failed": "auth",
    "billing_error": "quota",
    "model_not_found": "model_unknown",
    "overloaded": "overloaded",
    "rate_limit": "rate_limit",
}
"""What Claude Code's field `error` says -> kind of error."""


def keyless(env: Mapping[str, str], names: Sequence[str] = KEYS) -> str | None:
    """Why the API cannot be asked with these variables: none of the keys `names` is set."""
    return None if any(env.get(name) for name in names) else f"no key: set {names[0]}"


def access(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that lead to the API, as far as they are set."""
    return {name: env[name] for name in HANDED_ON if env.get(name)}


def api_error(
    status: int | None, text: str, whose: str = "agent.", word: str | None = None
) -> RunError:
    """What an answer of the API other than a message means; None: it gave no answer.

    `whose` begins the name of the key `model` in the next step; `word` is what Claude Code
    calls the error, and tells more than the status where it is a known one.
    """
    kind = WORDS.get(str(word)) or STATUSES.get(status or 0, "api_error" if status else "network")
    steps = {"auth": KEY_STEP, "model_unknown": f"correct {whose}model in experiment.yaml"}
    said = f"the API answered {status}" if status else "the API gave no answer"
    return RunError.of(kind, f"{said}: {text}", steps.get(kind))


def endpoint(env: Mapping[str, str]) -> str:
    """URL of the API."""
    return env.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com"


def check_access(env: Mapping[str, str], model: str, whose: str = "agent.") -> None:
    """Ask the API, at no cost, whether it takes the key and knows the model.

    Raises RunError (kinds `auth`, `model_unknown`, `network`). What else it answers says nothing:
    a gateway may lack the page, and another key is the program's own affair.
    """
    key, token = env.get("ANTHROPIC_API_KEY"), env.get("ANTHROPIC_AUTH_TOKEN")
    if not (key or token):
        return
    headers = {"x-api-key": key} if key else {"authorization": f"Bearer {token}"}
    headers["anthropic-version"] = "2023-06-01"
    try:
        error = ask_for_model(f"{endpoint(env).rstrip('/')}/v1/models", model, headers)
    except OSError as fault:
        raise api_error(None, f"{endpoint(env)}: {fault}", whose) from None
    if error is None:
        return
    if error.type in ("authentication_error", "permission_error"):
        raise api_error(error.status, error.message, whose)
    named = model.startswith("claude-") and model in error.message  # `haiku` is no page's name
    if error.type == "not_found_error" and named:
        raise api_error(404, error.message, whose)


# -- the program -----------------------------------------------------------------------------------


def find_program(executable: str, key: str) -> str:
    """Where Claude Code is; `key` of experiment.yaml names it. Raises RunError (kind `no_cli`).

    Only `claude` may be the package's: whoever names another program wants no other.
    """
    found = shutil.which(executable) or (_bundled() if executable == "claude" else None)
    if found is None:
        raise RunError(
            "no_cli",
            f"{key}: there is no program {executable!r}\n  next: install "
            "Claude Code (pip install claude-agent-sdk), or correct "
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
        self.events = list(events(stdout))
        self.init = next((e for e in self.events if e.get("subtype") == "init"), {})
        self.results = [e for e in self.events if e.get("type") == "result"]
        self.last = self.results[-1] if self.results else {}
        self.said = [e for e in self.events if e.get("type") == "assistant"]
        after = list(itertools.takewhile(lambda e: e is not self.last, reversed(self.events)))
        later = [e.get("message", {}) for e in reversed(after) if e.get("type") == "assistant"]
        # A message comes once per content block, with the same usage.
        self.later = {str(message.get("id")): message.get("usage") or {} for message in later}

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
        return self._with_hours(sum(usages, TokenStats()))

    def _with_hours(self, total: TokenStats) -> TokenStats:
        """`modelUsage` does not say how long a cache entry stays: the messages and `usage` do."""
        said = sum((usage.tokens for usage in self._messages().values()), TokenStats())
        main = token_stats(self.last.get("usage") or {})
        hours = max(said.cache_creation_1h_tokens, main.cache_creation_1h_tokens)
        kept = min(hours, total.cache_creation_tokens)
        return total.model_copy(update={"cache_creation_1h_tokens": kept})

    @property
    def cost(self) -> float | None:
        """USD; None where the run was cut off, or a model has no known price."""
        models = (self.last.get("modelUsage") or {}).values()
        unpriced = any(usage.get("costBasis") == "unknown" for usage in models)
        return None if self.later or unpriced else usd(self.last.get("total_cost_usd"))

    @property
    def usages(self) -> tuple[Usage, ...]:
        """The same tokens by model, to be priced: of each message as far as it is told (every
        one has its own length of prompt), and what the result says beyond that."""
        messages = self._messages()
        told = [usage for id, usage in messages.items() if id not in self.later]
        totals = (self.last.get("modelUsage") or {}).items()
        rest = (_rest(model, _short(total), told) for model, total in totals)
        return tuple(usage for usage in (*messages.values(), *rest) if usage.tokens.total)

    def _messages(self) -> dict[str, Usage]:
        """By message id. The usage of a message is told when it begins: of an answer that was cut
        off, a token for every four letters is assumed where that is more."""
        parts: dict[str, list[dict[str, Any]]] = {}
        for event in self.said:
            message = event.get("message") or {}
            parts.setdefault(str(message.get("id")), []).append(message)
        found = {}
        for id, messages in parts.items():
            tokens = token_stats(messages[-1].get("usage") or {})
            letters = sum(len(json.dumps(part.get("content") or "")) for part in messages)
            if id in self.later and letters // 4 > tokens.output_tokens:
                tokens = tokens.model_copy(update={"output_tokens": letters // 4})
            found[id] = Usage(str(messages[-1].get("model")), tokens)
        return found

    @property
    def turns(self) -> int:
        """Turns of all results; messages where the run was cut off."""
        return sum(int(r.get("num_turns") or 0) for r in self.results) + len(self.later)

    @property
    def error_word(self) -> str | None:
        """What the program calls the API's last error: `rate_limit`, `billing_error` ..."""
        return next((e["error"] for e in reversed(self.said) if e.get("error")), None)

    @property
    def refused(self) -> bool:
        """The model would not do the task."""
        return self.last.get("stop_reason") == "refusal"

    @property
    def retry(self) -> dict[str, Any] | None:
        """The API's last error, where the program was still waiting to ask again."""
        kinds = ("assistant", "user", "result")
        told = [e for e in self.events if e.get("type") in kinds or e.get("subtype") == "api_retry"]
        return told[-1] if told and told[-1].get("subtype") == "api_retry" else None


def _rest(model: str, total: TokenStats, told: Sequence[Usage]) -> Usage:
    """What a model used beyond its messages; priced as if in prompts of their mean length."""
    own = [usage.tokens for usage in told if plain_name(usage.model) == plain_name(model)]
    length = sum(tokens.prompt for tokens in own) // len(own) if own else 0
    return Usage(model, total.less(sum(own, TokenStats())), length)


def refusal(line: str) -> tuple[int, float | None] | None:
    """What a line of output says of a request that the API refused for now: status, and seconds
    until it may be sent again."""
    if '"api_retry"' not in line and '"rate_limit_event"' not in line:
        return None
    event = next(events(line), {})
    if event.get("type") == "rate_limit_event":
        return _used_up(event.get("rate_limit_info") or {})
    status, delay = int(event.get("error_status") or 0), event.get("retry_delay_ms")
    if event.get("subtype") != "api_retry" or status not in REFUSALS.values():
        return None
    return status, delay / 1000 if isinstance(delay, (int, float)) else None


def _used_up(limit: Mapping[str, Any]) -> tuple[int, float | None] | None:
    """A limit of hours or days that is used up; the program gives up on it."""
    if limit.get("status") != "rejected" or limit.get("isUsingOverage"):
        return None
    reset = limit.get("resetsAt")  # seconds since the epoch
    wait = reset - time.time() if isinstance(reset, (int, float)) else 0.0
    return REFUSALS["rate_limit"], wait if wait > 0 else None


def events(stdout: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in the lines of what the program printed."""
    for line in stdout.split("\n"):  # splitlines would break at signs that JSON leaves as they are
        try:
            event = parse_json(line)
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


# -- the transcript --------------------------------------------------------------------------------


def turns(stdout: str) -> list[Turn]:
    """The messages in a stream of events, with the results of the tools that they called."""
    messages: dict[str, list[dict[str, Any]]] = {}
    results: dict[str, dict[str, Any]] = {}
    for event in events(stdout):
        message = event.get("message") or {}
        if event.get("type") == "assistant":
            messages.setdefault(str(message.get("id")), []).append(event)
        elif event.get("type") == "user":
            blocks = message.get("content")
            found = [b for b in blocks if isinstance(b, dict)] if isinstance(blocks, list) else []
            results.update((str(b.get("tool_use_id")), b) for b in found if b.get("tool_use_id"))
    return [_turn(n, events, results) for n, events in enumerate(messages.values(), 1)]


def _turn(number: int, events: list[dict[str, Any]], results: Mapping[str, dict[str, Any]]) -> Turn:
    """A message; it comes in one event for each of its content blocks."""
    message = events[-1]["message"]
    blocks = [block for event in events for block in event["message"].get("content") or ()]
    texts = [block["text"] for block in blocks if block.get("type") == "text"]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    return Turn(
        number=number,
        agent=events[0].get("parent_tool_use_id"),
        model=message.get("model"),
        text=cut("\n".join(texts)),
        tools=tuple(_tool_call(block, results.get(str(block.get("id")))) for block in calls),
        token_stats=token_stats(message.get("usage") or {}),
        stop_reason=message.get("stop_reason"),
    )


def _tool_call(block: Mapping[str, Any], result: Mapping[str, Any] | None) -> ToolCall:
    return ToolCall(
        id=str(block.get("id")),
        name=str(block.get("name")),
        input=cut(block.get("input")),
        output=None if result is None else cut(_plain(result.get("content"))),
        failed=bool(result and result.get("is_error")),
    )


def _plain(content: Any) -> str:
    """The text of a tool's result: a text, or blocks of which some are."""
    if not isinstance(content, list):
        return str(content or "")
    return "\n".join(str(b.get("text", f"[{b.get('type')}]")) for b in content)
