"""A model as a judge, asked by Anthropic's SDK with the evidence in the prompt.

The part of the prompt that all runs share is marked for the API's cache. The answer is held to a
JSON Schema by the API, and checked here all the same. Requests that fail for a time are sent
again by this module alone, within the judge's own time limit.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..claude import api_error, check_access, endpoint, keyless
from ..errors import RunError
from ..judge_answer import answer_schema
from ..providers import REFUSALS, Patience, Provider
from ..results import token_stats
from ..yamlfile import Strict
from . import MOST_EVIDENCE, Account, BadAnswer, Evidence, Grading, converse

if TYPE_CHECKING:
    from anthropic import Anthropic as Client

KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
"""One of these must be set. The base URL is taken from ANTHROPIC_BASE_URL."""

ERROR_STATUSES = {"rate_limit_error": 429, "overloaded_error": 529, "authentication_error": 401}
"""What an error that comes in the middle of a stream would have been as a status; else 500."""

FIRST_WAIT, MOST_WAIT = 0.5, 20.0
"""Seconds between two attempts where the API does not say; doubled each time."""


YEAR = 365 * 86_400.0
"""Seconds; a longer wait is none that anybody asks for."""


class Anthropic(Strict):
    """Options of `adapter: anthropic`."""

    model: str
    """The model, as the API names it."""
    max_tokens: int = Field(default=8_000, ge=1)
    """Tokens of one answer at most."""
    timeout: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """Seconds for one answer, with all attempts and the waiting between them, but for a provider
    that takes no requests (`--scylla-max-wait`). A repair round has as much again."""
    attempts: int = Field(default=8, ge=1)
    """Requests for one answer at most."""
    max_evidence: int = Field(default=MOST_EVIDENCE, ge=1_000)
    """Characters of a run's evidence in the prompt; what is cut is marked."""

    @property
    def paid(self) -> bool:
        """Every judgment costs money."""
        return True

    @property
    def prompted(self) -> bool:
        """It is asked by the template."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """Model and lengths; not the times, or the way to the API."""
        chosen = self.model_dump(include={"model", "max_tokens", "max_evidence"})
        return {"adapter": "anthropic", **chosen}

    def unready(self) -> str | None:
        """No key."""
        return keyless(os.environ, KEYS)

    @property
    def endpoint(self) -> str:
        """URL of the model's API."""
        return endpoint(os.environ)

    def preflight(self) -> None:
        """The key and the model. Raises RunError."""
        check_access(os.environ, self.model, whose="the judge's ")

    def grade(self, evidence: Evidence) -> Grading:
        """Ask the model. Raises NotGraded where it gives no valid answer."""
        return converse(evidence, self.model, _Conversation(self, evidence).ask, structured=True)

    @cached_property
    def client(self) -> Client:
        """The SDK's client. It repeats nothing by itself: it would wait as long as it is told."""
        import anthropic

        return anthropic.Anthropic(max_retries=0)


@dataclass
class _Reply:
    """One message of the model, as far as it came."""

    text: str = ""
    usage: Mapping[str, Any] | None = None
    stop_reason: str | None = None


class _Failed(Exception):
    """A request that came to nothing; `wait` seconds are asked for by the API, if any."""

    def __init__(self, status: int | None, text: str, again: bool, wait: float | None) -> None:
        super().__init__(text)
        self.status, self.again, self.wait = status, again, wait


class _Conversation:
    """One grading: the messages so far."""

    def __init__(self, judge: Anthropic, evidence: Evidence) -> None:
        self.judge = judge
        self.evidence = evidence
        self.schema = answer_schema(evidence.task.rubric)
        self.messages: list[dict[str, Any]] = []

    def ask(self, complaint: str | None, account: Account) -> str:
        """The model's next answer. Raises BadAnswer or RunError."""
        self._say("user", complaint or self._prompt())
        deadline = time.monotonic() + self.judge.timeout
        try:
            reply = self._answered(deadline, account)
        except BadAnswer as error:
            self._say("assistant", error.text or "(no answer)")
            raise
        self._say("assistant", reply.text.rstrip() or "(no text)")
        if reply.stop_reason == "refusal":
            raise BadAnswer("the model refused to answer (stop_reason: refusal)", reply.text)
        if reply.stop_reason == "max_tokens":
            problem = f"the answer was cut off at {self.judge.max_tokens} tokens: be briefer"
            raise BadAnswer(problem, reply.text)
        return reply.text

    def _say(self, role: str, content: Any) -> None:
        self.messages.append({"role": role, "content": content})

    def _prompt(self) -> list[dict[str, Any]]:
        """The prompt in two blocks: the first is the same for all runs, and is cached."""
        prompt = self.evidence.prompt(self.judge.max_evidence)
        own = {"type": "text", "text": prompt.own}
        if not prompt.shared:
            return [own]
        cached = {"cache_control": {"type": "ephemeral"}}
        return [{"type": "text", "text": prompt.shared, **cached}, own]

    def _answered(self, deadline: float, account: Account) -> _Reply:
        """A whole answer; requests that fail for a time are sent again until the deadline.

        What is waited for the provider does not count. This is the one place that knows of every
        request how it ended.
        """
        patience, attempt = Patience(self.evidence.max_wait), 0
        while True:
            reply = _Reply()
            try:
                with self.evidence.turn(self.judge.endpoint, patience) as provider:
                    if self._took(provider, reply, deadline + patience.used):
                        return reply
            except _Failed as failed:
                self._wait(failed, attempt, deadline + patience.used)
                attempt += 1
            finally:
                self._count(reply, account)

    def _took(self, provider: Provider | None, reply: _Reply, deadline: float) -> bool:
        """Ask once; False where the provider refused, and all who ask it know that now."""
        try:
            self._request(reply, deadline)
        except _Failed as failed:
            status = failed.status
            if provider is None or status is None or not _waited_for(failed):
                raise
            provider.refused(status, failed.wait)
            return False
        if provider is not None:
            provider.answered()
        return True

    def _request(self, reply: _Reply, deadline: float) -> None:
        """Send the messages once, and fill `reply` as the answer comes.

        Raises _Failed for whatever the API or the way to it did, and BadAnswer at the deadline.
        """
        import anthropic
        import httpx2

        request: dict[str, Any] = {
            "model": self.judge.model,
            "max_tokens": self.judge.max_tokens,
            "messages": self.messages,
            "output_config": {"format": {"type": "json_schema", "schema": self.schema}},
            "timeout": max(deadline - time.monotonic(), 0.01),
        }
        try:
            with self.judge.client.messages.create(**request, stream=True) as stream:
                for event in stream:
                    _take(_fields(event), reply)
                    if time.monotonic() > deadline:
                        raise self._too_late(reply)
        except anthropic.APIStatusError as error:
            raise _refused(error) from None
        except BadAnswer:
            raise
        except (anthropic.APIError, httpx2.HTTPError, ValueError) as error:
            if time.monotonic() > deadline:
                raise self._too_late(reply) from None
            raise _Failed(None, str(error) or type(error).__name__, True, None) from None
        if reply.stop_reason is None:
            raise _Failed(None, "the answer ended in the middle", True, None)

    def _too_late(self, reply: _Reply) -> BadAnswer:
        return BadAnswer(f"no whole answer within {self.judge.timeout:g} s", reply.text)

    def _wait(self, failed: _Failed, attempt: int, deadline: float) -> None:
        """Wait before the next attempt. Raises RunError where there is to be none."""
        wait = failed.wait
        if wait is not None and wait > min(self.evidence.max_wait, deadline - time.monotonic()):
            until = datetime.now(UTC) + timedelta(seconds=wait)
            said = f"{failed}; it asks to wait until {until:%Y-%m-%d %H:%M:%S} UTC ({wait:.0f} s)"
            raise _hopeless(failed.status, said)
        if wait is None:
            wait = min(FIRST_WAIT * 2**attempt, MOST_WAIT) * random.uniform(0.5, 1.0)
        last = attempt + 1 == self.judge.attempts
        if not failed.again or last or time.monotonic() + wait > deadline:
            tries = f" (asked {attempt + 1} times)" * bool(attempt)
            raise _hopeless(failed.status, f"{failed}{tries}")
        time.sleep(wait)

    def _count(self, reply: _Reply, account: Account) -> None:
        """What the API has told of a request's tokens: also of one that was cut off."""
        if reply.usage is None and reply.stop_reason is None:
            return
        tokens = token_stats(reply.usage or {})
        whole = "input_tokens" in (reply.usage or {})
        account.add(tokens, self.evidence.cost_usd(self.judge.model, tokens) if whole else None)


def _waited_for(failed: _Failed) -> bool:
    return failed.again and failed.status in REFUSALS.values()


def _take(event: Mapping[str, Any], reply: _Reply) -> None:
    """One event of the stream; gateways leave fields out."""
    told: Any = event.get("usage")
    if event.get("type") == "message_start":
        told = _fields(event.get("message")).get("usage")
    elif event.get("type") == "content_block_delta":
        reply.text += str(_fields(event.get("delta")).get("text") or "")
    elif event.get("type") == "message_delta":
        reply.stop_reason = _fields(event.get("delta")).get("stop_reason") or reply.stop_reason
    if told:
        known = {name: value for name, value in _fields(told).items() if value is not None}
        reply.usage = {**(reply.usage or {}), **known}


def _fields(said: Any) -> dict[str, Any]:
    """What the API said, as a plain object; an empty one where it is none."""
    plain = said.to_dict() if hasattr(said, "to_dict") else said
    return plain if isinstance(plain, dict) else {}


def _refused(error: Any) -> _Failed:
    """What an error of the API means; one may also come in the middle of a stream."""
    status = error.status_code
    if status < 400:
        status = ERROR_STATUSES.get(_inner(error).get("type", ""), 500)
    headers = error.response.headers
    again = status in (408, 409, 429) or status >= 500
    if headers.get("x-should-retry") in ("true", "false"):
        again = headers["x-should-retry"] == "true"
    said = str(_inner(error).get("message") or error)[:500]
    return _Failed(status, said, again, _asked_wait(headers) if again else None)


def _inner(error: Any) -> dict[str, Any]:
    """The object `error` in an error's body."""
    return _fields(_fields(error.body).get("error"))


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the API asks to wait: a number, or a date; None for a time that is over."""
    said = headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(seconds, YEAR) if seconds > 0 else None


def _hopeless(status: int | None, said: str) -> RunError:
    return api_error(status, said, whose="the judge's ")
