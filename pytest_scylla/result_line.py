"""The line of JSON in which a program reports on its own work: agents and judges that are commands.

The form is that of Claude Code (`--output-format json`). Every field counts by itself:

    {"type": "result", "result": TEXT, "usage": {...}, "total_cost_usd": USD, "num_turns": N,
     "model": NAME, "is_error": false, "subtype": "success", "api_error_status": null}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import LIMITS, STATUSES, RunError
from .store import parse_json

REPORTING = frozenset(
    {"usage", "total_cost_usd", "num_turns", "is_error", "api_error_status", "modelUsage"}
)
"""An object with one of these fields, or of the type `result`, is a report and no answer."""


def is_report(value: Any) -> bool:
    """Whether a JSON value reports on a program's work."""
    return isinstance(value, dict) and (
        value.get("type") == "result" or not REPORTING.isdisjoint(value)
    )


def last_report(stdout: str) -> tuple[dict[str, Any] | None, str]:
    """The last line of `stdout` that is a report, if any, and the other lines."""
    lines = stdout.split("\n")
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number].strip()
        if line.startswith("{") and line.endswith("}"):
            try:
                value = parse_json(line)
            except ValueError:
                continue
            if is_report(value):
                return value, "\n".join(lines[:number] + lines[number + 1 :])
    return None, stdout


def limit_of(report: Mapping[str, Any]) -> str | None:
    """The limit that ended the work, which is judged on what is there; None: no limit did."""
    return LIMITS.get(str(report.get("subtype")))


def error_of(report: Mapping[str, Any]) -> RunError | None:
    """The failure that a report tells of; a limit is none."""
    status, subtype = report.get("api_error_status"), str(report.get("subtype") or "")
    refused = isinstance(status, int) and not isinstance(status, bool) and status >= 400
    failed = bool(report.get("is_error")) or refused or subtype.startswith("error")
    if limit_of(report) or not failed:
        return None
    said = str(report.get("result") or report.get("error") or subtype or "no reason given")[:500]
    if refused:
        return RunError.of(
            STATUSES.get(int(str(status)), "api_error"), f"the API answered {status}: {said}"
        )
    return RunError.of("agent_error", f"the program reports an error: {said}")
