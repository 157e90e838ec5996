"""A local stand-in for the Anthropic Messages API, with scripted replies.

It serves ``POST <prefix>/v1/messages`` (streaming or not, as the request asks) and
``POST <prefix>/v1/messages/count_tokens`` on loopback, for tests that drive a real command line
agent or the real SDK with no internet. Every request is recorded: that is how a test proves what
the model would have seen.

A script is one of

* a callable ``(body, prefix) -> Reply | Failure``: the general form. It should decide from the
  request alone, because several conversations run in parallel;
* a sequence: the answer at the index of the conversation's turn (the number of assistant messages
  in the request), which is also decided from the request alone;
* an iterator: one answer per request in order of arrival, whoever asks.

Only requests that carry tools reach the script, because a command line agent may make side
requests without tools: those get a short text. ``script_all=True`` gives the script every request.

``POST <prefix>/v1/responses`` is served too (see responses_api.py): the same scripts answer it, and
the questions to a request's body below (`tool_names`, `turn_of`, ...) hold for either API.

By hand::

    python -m tests.support.messages_server --port 0 --script hello
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.support import responses_api

Body = dict[str, Any]
"""A decoded JSON object: a request's body, or a part of one."""

HOST = "127.0.0.1"
SIDE_TEXT = "ok"
SECRET_HEADERS = frozenset({"authorization", "x-api-key", "proxy-authorization", "cookie"})
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


# What a script answers


@dataclass(frozen=True)
class Usage:
    """Token counts that a reply reports."""

    input_tokens: int = 10
    output_tokens: int = 5
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


@dataclass(frozen=True)
class ToolUse:
    """One call of a tool inside a reply."""

    name: str
    input: Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """A message of the model: text, then calls of tools.

    ``stop_reason`` follows from the content unless given. ``cut_after=n`` breaks the connection
    after n stream events. ``delay`` is waited before the first byte, ``event_delay`` before each
    stream event. ``changed`` is told every stream event, and returns what is sent in its place.
    """

    text: str = ""
    tools: tuple[ToolUse, ...] = ()
    stop_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    cut_after: int | None = None
    delay: float = 0.0
    event_delay: float = 0.0
    changed: Callable[[Body], object] = lambda event: event


@dataclass(frozen=True)
class Failure:
    """An error instead of a message: an HTTP status, headers such as ``retry-after``."""

    status: int
    message: str = "scripted failure"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0


Answer = Reply | Failure
ScriptFunction = Callable[[Body, str], Answer]
Script = ScriptFunction | Sequence[Answer] | Iterator[Answer]


def call(name: str, **arguments: Any) -> Reply:
    """Return a reply that calls one tool."""
    return Reply(tools=(ToolUse(name, arguments),))


def as_function(script: Script) -> ScriptFunction:
    """Return the script, in whichever form it was given, as a function of the request."""
    if isinstance(script, Sequence):
        return _by_turn(script)
    if isinstance(script, Iterator):
        return _by_arrival(script)
    return script


def _by_turn(answers: Sequence[Answer]) -> ScriptFunction:
    def choose(body: Body, prefix: str) -> Answer:
        turn = turn_of(body)
        if turn < len(answers):
            return answers[turn]
        return _exhausted(f"the script has {len(answers)} answers, turn {turn} asks for more")

    return choose


def _by_arrival(answers: Iterator[Answer]) -> ScriptFunction:
    lock = threading.Lock()

    def choose(body: Body, prefix: str) -> Answer:
        with lock:
            return next(answers, _exhausted("the script has no answer left"))

    return choose


def _exhausted(message: str) -> Failure:
    # Clients give up at once on this header; they would repeat a plain 500, and Claude Code
    # repeats a 400 five times while it strips its beta features.
    return Failure(500, message, {"x-should-retry": "false"})


# What a request holds


def is_response(body: Body) -> bool:
    """Whether a request is one of the Responses API."""
    return "input" in body and "messages" not in body


def block_texts(content: object) -> list[str]:
    """Return the texts of a content field, which is a string or a list of blocks."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    return [block["text"] for block in content if block.get("type") == "text"]


def system_text(body: Body) -> str:
    """Return the text of the request's ``system`` field; its blocks are joined by newlines."""
    if is_response(body):
        return responses_api.instructions(body)
    return "\n".join(block_texts(body.get("system")))


def message_texts(body: Body, role: str) -> list[str]:
    """Return the text of each message of one role, in order.

    The role ``system`` exists too: there Claude Code tells its environment and describes agents
    and skills.
    """
    if is_response(body):
        return responses_api.texts(body, role)
    messages = [message for message in body.get("messages", []) if message["role"] == role]
    return ["\n".join(block_texts(message["content"])) for message in messages]


def first_user_text(body: Body) -> str:
    """Return the text of the first user message of a request, or "" if there is none."""
    return next(iter(message_texts(body, "user")), "")


def tool_names(body: Body) -> list[str]:
    """Return the names of the tools that a request offers, in its order."""
    if is_response(body):
        return responses_api.names_of_tools(body)
    return [tool["name"] for tool in body.get("tools") or []]


def turn_of(body: Body) -> int:
    """Return how many assistant messages the conversation holds already."""
    if is_response(body):
        return responses_api.turn(body)
    return sum(message["role"] == "assistant" for message in body.get("messages", []))


def tool_results(body: Body) -> list[str]:
    """Return the text of every tool result in a request, in its order."""
    if is_response(body):
        return responses_api.outputs(body)
    results: list[str] = []
    for message in body.get("messages", []):
        content = message["content"]
        blocks = content if isinstance(content, list) else []
        found = [block for block in blocks if block.get("type") == "tool_result"]
        results += ["\n".join(block_texts(block.get("content"))) for block in found]
    return results


def reported_cwd(body: Body) -> str | None:
    """Return the working directory that a command line agent reports in its prompt, or None."""
    told = "\n".join([system_text(body), *message_texts(body, "system"), first_user_text(body)])
    found = re.search(r"(?:working directory|\bcwd): *(\S.*)|<cwd>(.+)</cwd>", told, re.IGNORECASE)
    return (found.group(1) or found.group(2)).strip() if found else None


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived; headers have lower-case names and no keys or cookies."""

    method: str
    prefix: str
    path: str
    headers: Mapping[str, str]
    body: Body

    @property
    def is_message(self) -> bool:
        """Whether the request asks for a message, not for a count of tokens or else."""
        return self.method == "POST" and self.path in ("/v1/messages", "/v1/responses")


# The wire


def _message(reply: Reply, body: Body) -> Body:
    stop_reason = reply.stop_reason or ("tool_use" if reply.tools else "end_turn")
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", ""),
        "content": _content(reply),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": dict(vars(reply.usage)),
    }


def _content(reply: Reply) -> list[Body]:
    texts: list[Body] = [{"type": "text", "text": reply.text}] if reply.text else []
    return texts + [
        {
            "type": "tool_use",
            "id": f"toolu_{uuid.uuid4().hex}",
            "name": tool.name,
            "input": dict(tool.input),
        }
        for tool in reply.tools
    ]


def stream_events(message: Body) -> Iterator[Body]:
    """Yield the stream events that spell out a complete message."""
    usage = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": start}
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def _block_events(index: int, block: Body) -> Iterator[Body]:
    if block["type"] == "text":
        empty = {**block, "text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def _sse(reply: Reply, events: Iterator[Body]) -> Iterator[str]:
    yield ""  # sends the headers, so that a cut before the first event ends the connection too
    for number, event in enumerate(events):
        if number == reply.cut_after:
            # The HTTP server takes this for a client that went away: it ends the connection
            # without the last chunk, so that the client sees a cut body.
            raise ConnectionAbortedError("cut by the script")
        time.sleep(reply.event_delay)
        yield f"event: {event['type']}\ndata: {json.dumps(reply.changed(event))}\n\n"


def _json_response(
    body: Body, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(json.dumps(body), status, dict(headers or {}), content_type="application/json")


def _failure_response(failure: Failure, body: Body | None = None) -> Response:
    kind = ERROR_TYPES.get(failure.status, "api_error")
    error: Body = {"type": "error", "error": {"type": kind, "message": failure.message}}
    if body and is_response(body):
        error = responses_api.error(failure.status, kind, failure.message)
    return _json_response(error, failure.status, failure.headers)


def _response(answer: Answer, body: Body) -> Response:
    time.sleep(answer.delay)
    if isinstance(answer, Failure):
        return _failure_response(answer, body)
    if is_response(body):
        message = responses_api.response(answer, body)
        events = responses_api.events(message)
    else:
        message = _message(answer, body)
        events = stream_events(message)
    if body.get("stream"):
        return Response(_sse(answer, events), content_type="text/event-stream")
    if answer.cut_after is not None:
        return Response(_broken_body(message), content_type="application/json")
    return _json_response(message)


def _told(answer: Answer, body: Body) -> list[Usage]:
    """What an answer says of its tokens, as far as it goes."""
    if isinstance(answer, Failure) or answer.cut_after == 0:
        return []
    if answer.cut_after is None:
        return [answer.usage]
    if not body.get("stream"):
        return []
    kinds = [event["type"] for event in stream_events(_message(answer, body))]
    whole = answer.cut_after > kinds.index("message_delta")
    return [answer.usage if whole else replace(answer.usage, output_tokens=1)]


def _broken_body(message: Body) -> Iterator[str]:
    text = json.dumps(message)
    yield text[: len(text) // 2]
    raise ConnectionAbortedError("cut by the script")


class _Server(HTTPServer):
    def thread_target(self) -> None:
        # As in the base class, but `stop` need not wait up to half a second for the next poll.
        assert self.server is not None
        self.server.serve_forever(poll_interval=0.01)


class MessagesServer:
    """The server: a context manager that listens while it is entered.

    ``script_all=True`` gives the script the requests without tools too (for an SDK client that
    offers none).
    """

    def __init__(self, script: Script, *, port: int = 0, script_all: bool = False) -> None:
        self._script = as_function(script)
        self._script_all = script_all
        self.models: Sequence[str] | None = None
        """The models that it says it knows; None: every one."""
        self.key: str | None = None
        """The key that it takes where it is asked for a model; None: every one."""
        self._lock = threading.Lock()
        self._requests: list[Recorded] = []
        self._told: list[Usage] = []
        self._http = _Server(host=HOST, port=port, threaded=True)
        self._http.expect_request(re.compile(".*")).respond_with_handler(self._handle)

    def __enter__(self) -> MessagesServer:
        self._http.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.stop()
        if error is None:
            self.check()

    def url(self, prefix: str = "") -> str:
        """Return the base URL for clients; the prefix tells their requests apart."""
        base = f"http://{HOST}:{self._http.port}"
        return f"{base}/{prefix.strip('/')}".rstrip("/")

    @property
    def requests(self) -> list[Recorded]:
        """A copy of all requests so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    def messages(self, prefix: str | None = None) -> list[Recorded]:
        """Return the requests for a message that carry tools: the agent's own turns."""
        return [
            request
            for request in self.requests
            if request.is_message and tool_names(request.body) and prefix in (None, request.prefix)
        ]

    @property
    def told(self) -> Usage:
        """The tokens that the answers so far have told their clients, added up."""
        with self._lock:
            counts = [vars(usage) for usage in self._told]
        return Usage(**{name: sum(c[name] for c in counts) for name in vars(Usage())})

    def check(self) -> None:
        """Raise the first exception that the script raised, if any."""
        self._http.check_handler_errors()

    def _handle(self, http_request: Request) -> Response:
        request = _recorded(http_request)
        with self._lock:
            self._requests.append(request)
        if request.path.startswith("/v1/models/"):
            return self._model(request.path.rpartition("/")[2], http_request.headers)
        if request.method != "POST":
            return _failure_response(Failure(404, f"no {request.method} {request.path} here"))
        if request.is_message:
            answer = self._answer(request)
            with self._lock:
                self._told += _told(answer, request.body)
            return _response(answer, request.body)
        if request.path == "/v1/messages/count_tokens":
            return _json_response({"input_tokens": len(json.dumps(request.body)) // 4})
        return _failure_response(Failure(404, f"no {request.path} here"))

    def _model(self, model: str, headers: Any) -> Response:
        """The page of a model, in the words of the API that the client knows."""
        words: Body = {} if "anthropic-version" in headers else {"input": []}
        keys = {headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer ")}
        if self.key is not None and self.key not in keys:
            return _failure_response(Failure(401, "invalid x-api-key"), words)
        if self.models is not None and model not in self.models:
            return _failure_response(Failure(404, f"model: {model}"), words)
        return _json_response({"type": "model", "id": model})

    def _answer(self, request: Recorded) -> Answer:
        if self._script_all or tool_names(request.body):
            return self._script(request.body, request.prefix)
        return Reply(SIDE_TEXT)


def _recorded(request: Request) -> Recorded:
    before, mark, after = request.path.partition("/v1/")
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = request.get_json(force=True, silent=True)
    return Recorded(
        method=request.method,
        prefix=before.strip("/"),
        path=mark + after if mark else request.path,
        headers={name: headers[name] for name in headers.keys() - SECRET_HEADERS},
        body=body if isinstance(body, dict) else {},
    )


# Built-in scripts


def hello(body: Body, prefix: str) -> Answer:
    """Write hello.py through the Write tool where the agent works, then say so."""
    if "Write" not in tool_names(body):
        return Reply("I was given no Write tool.")
    results = tool_results(body)
    if results:
        return Reply(f"Done. The tool said: {results[-1]}")
    folder = reported_cwd(body)
    path = f"{folder}/hello.py" if folder else "hello.py"
    return call("Write", file_path=path, content='print("Hello, World!")\n')


def judged(body: Body, share: float = 1.0) -> Body:
    """What a judge answers who gives this share of every item's points, by the request's words."""
    asked = r"^- (\S+): (?:a number from 0 to|0 or) ([\d.]+)"
    found = re.findall(asked, first_user_text(body), re.MULTILINE)
    items = {name: {"achieved": float(most) * share, "reason": "I saw it."} for name, most in found}
    return {"items": items, "reasoning": "I looked.", "score": share, "passed": share >= 0.6}


def judge(body: Body, prefix: str) -> Answer:
    """Grade all items with full points: as text, or by the tool that Claude Code gives for it."""
    if "StructuredOutput" in tool_names(body):
        return call("StructuredOutput", **judged(body))
    return Reply(json.dumps(judged(body)), usage=Usage(input_tokens=1_200, output_tokens=150))


SCRIPTS: dict[str, ScriptFunction] = {"hello": hello, "judge": judge}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a built-in script until interrupted or terminated; print the URL first."""
    parser = argparse.ArgumentParser(description="Serve scripted Messages API replies.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--script", choices=sorted(SCRIPTS), default="hello")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    script, for_all = SCRIPTS[options.script], options.script == "judge"
    with MessagesServer(script, port=options.port, script_all=for_all) as server:
        print(server.url(), flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
