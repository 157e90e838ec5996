"""What OpenCode says of its steps: as far as its adapter and the history of executions share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .results import TokenStats


def steps(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The steps that have ended, each a request to the model; not those of sub-agents."""
    found = [event.get("part") for event in events if event.get("type") == "step_finish"]
    return [part for part in found if isinstance(part, dict)]


def tokens_of(step: Mapping[str, Any]) -> TokenStats:
    """Tokens of a step, or of a message in its database; what the model thought is output."""
    tokens = step.get("tokens") or {}
    cache = tokens.get("cache") or {}
    return TokenStats(
        input_tokens=int(tokens.get("input") or 0),
        output_tokens=int(tokens.get("output") or 0) + int(tokens.get("reasoning") or 0),
        cache_creation_tokens=int(cache.get("write") or 0),
        cache_read_tokens=int(cache.get("read") or 0),
    )
