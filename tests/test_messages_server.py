"""The local Messages API server, spoken to by the real SDK and the real Claude Code binary."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types import ToolUseBlock

from tests.support import claude_code
from tests.support.messages_server import (
    HOST,
    SIDE_TEXT,
    Answer,
    Body,
    Failure,
    MessagesServer,
    Reply,
    Script,
    Usage,
    call,
    first_user_text,
    hello,
    message_texts,
    reported_cwd,
    system_text,
    tool_names,
    tool_results,
    turn_of,
)

MODEL = "claude-sonnet-5-5"
KEY = "a-secret-key"
TOOLS: Any = [{"name": "Write", "input_schema": {"type": "object"}}]
USAGE = Usage(
    input_tokens=7,
    output_tokens=11,
    cache_creation_input_tokens=13,
    cache_read_input_tokens=17,
)
Start = Callable[..., MessagesServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start servers that stop at the end of the test."""
    with ExitStack() as stack:

        def enter(script: Script, **options: Any) -> MessagesServer:
            return stack.enter_context(MessagesServer(script, **options))

        yield enter


def client(
    server: MessagesServer, prefix: str = "run-1", timeout: float = 10
) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key=KEY, base_url=server.url(prefix), max_retries=0, timeout=timeout
    )


def ask(server: MessagesServer, prefix: str = "run-1", **more: Any) -> anthropic.types.Message:
    arguments = {"tools": TOOLS, "messages": [{"role": "user", "content": "hi"}], **more}
    message: anthropic.types.Message = client(server, prefix).messages.create(
        model=MODEL, max_tokens=64, **arguments
    )
    return message


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def usage_of(message: anthropic.types.Message) -> Usage:
    usage = message.usage
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens or 0,
        cache_read_input_tokens=usage.cache_read_input_tokens or 0,
    )


def stream(server: MessagesServer) -> anthropic.types.Message:
    with client(server).messages.stream(
        model=MODEL, max_tokens=64, tools=TOOLS, messages=[{"role": "user", "content": "hi"}]
    ) as events:
        return events.get_final_message()


# Replies


def test_a_reply_without_streaming(start: Start) -> None:
    server = start([Reply("hello", usage=USAGE)])
    message = ask(server)
    assert (text_of(message), message.stop_reason, message.model) == ("hello", "end_turn", MODEL)
    assert usage_of(message) == USAGE


def test_a_streamed_reply(start: Start) -> None:
    answer = Reply("I write.", call("Write", file_path="/a", content="é").tools, usage=USAGE)
    message = stream(start([answer]))
    tool = message.content[1]
    assert isinstance(tool, ToolUseBlock)
    assert (tool.name, tool.input) == ("Write", {"file_path": "/a", "content": "é"})
    assert (text_of(message), message.stop_reason) == ("I write.", "tool_use")
    assert usage_of(message) == USAGE


def test_a_given_stop_reason_wins(start: Start) -> None:
    server = start([Reply("hel", stop_reason="max_tokens")])
    assert ask(server).stop_reason == "max_tokens"
    assert stream(server).stop_reason == "max_tokens"


def test_count_tokens_grows_with_the_request(start: Start) -> None:
    server = start([])
    counts = [
        client(server).messages.count_tokens(
            model=MODEL, messages=[{"role": "user", "content": "x" * length}]
        )
        for length in (10, 1000)
    ]
    assert 0 < counts[0].input_tokens < counts[1].input_tokens


# Failures


def test_a_429_has_its_type_and_headers(start: Start) -> None:
    server = start([Failure(429, "slow down", {"retry-after": "15"})])
    with pytest.raises(anthropic.RateLimitError, match="slow down") as caught:
        ask(server)
    assert caught.value.response.headers["retry-after"] == "15"
    assert caught.value.body == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
    }


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (500, anthropic.InternalServerError),
        (529, anthropic.APIStatusError),
    ],
)
def test_an_error_status_arrives(
    start: Start, status: int, error: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(error) as caught:
        stream(start([Failure(status)]))
    assert caught.value.status_code == status


@pytest.mark.parametrize("events", [0, 1, 3])
def test_a_cut_stream_breaks_off_after_so_many_events(start: Start, events: int) -> None:
    server = start([Reply("hello", cut_after=events)])
    seen = []

    def read() -> None:
        for event in client(server).messages.create(
            model=MODEL,
            max_tokens=64,
            tools=TOOLS,
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
        ):
            seen.append(event.type)

    with pytest.raises(Exception, match="incomplete chunked read"):
        read()
    order = ["message_start", "content_block_start", "content_block_delta"]
    assert seen == order[:events]


def test_a_cut_body_breaks_off_without_streaming(start: Start) -> None:
    with pytest.raises(anthropic.APIConnectionError):
        ask(start([Reply("hello", cut_after=1)]))


def test_a_late_reply_meets_the_clients_own_deadline(start: Start) -> None:
    server = start([Reply("late", delay=1.0)])
    with pytest.raises(anthropic.APITimeoutError):
        client(server, timeout=0.2).messages.create(
            model=MODEL, max_tokens=1, tools=TOOLS, messages=[{"role": "user", "content": "hi"}]
        )


# Scripts


def test_a_sequence_answers_by_the_turn_of_each_conversation(start: Start) -> None:
    server = start([call("Write"), Reply("done")])
    first = [{"role": "user", "content": "hi"}]
    second = [*first, {"role": "assistant", "content": "x"}, {"role": "user", "content": "go on"}]
    for prefix in ("a", "b", "a"):
        assert ask(server, prefix, messages=first).stop_reason == "tool_use"
        assert text_of(ask(server, prefix, messages=second)) == "done"


def test_an_iterator_answers_in_order_of_arrival(start: Start) -> None:
    server = start(iter([Failure(429), Reply("then")]))
    with pytest.raises(anthropic.RateLimitError):
        ask(server, "a")
    assert text_of(ask(server, "b")) == "then"


@pytest.mark.parametrize("script", [[], iter([])], ids=["sequence", "iterator"])
def test_a_script_that_ran_out_is_an_error_no_client_retries(start: Start, script: Script) -> None:
    server = start(script)
    patient = client(server).with_options(max_retries=3)
    with pytest.raises(anthropic.InternalServerError, match="the script has"):
        patient.messages.create(
            model=MODEL, max_tokens=1, tools=TOOLS, messages=[{"role": "user", "content": "hi"}]
        )
    assert len(server.requests) == 1


def test_a_callable_sees_the_request_and_the_prefix(start: Start) -> None:
    def script(body: Body, prefix: str) -> Answer:
        return Reply(f"{prefix} {first_user_text(body)} {tool_names(body)}")

    assert text_of(ask(start(script), "deep/run-7")) == "deep/run-7 hi ['Write']"


def test_only_requests_with_tools_reach_the_script(start: Start) -> None:
    server = start([Reply("scripted")])
    assert text_of(ask(server, tools=[])) == SIDE_TEXT
    assert text_of(ask(server)) == "scripted"
    assert [len(tool_names(request.body)) for request in server.messages()] == [1]


def test_script_all_gives_the_script_every_request(start: Start) -> None:
    assert text_of(ask(start([Reply("scripted")], script_all=True), tools=[])) == "scripted"


def test_an_exception_in_a_script_fails_the_test() -> None:
    def script(body: Body, prefix: str) -> Answer:
        raise LookupError("a mistake in the script")

    def play() -> None:
        with MessagesServer(script) as server, pytest.raises(anthropic.InternalServerError):
            ask(server)

    with pytest.raises(LookupError, match="a mistake"):
        play()


# Records


def test_requests_are_recorded_without_the_key(start: Start) -> None:
    server = start([Reply("x")])
    ask(server, "run-1", extra_headers={"Authorization": f"Bearer {KEY}", "X-Mine": "1"})
    [request] = server.requests
    assert (request.method, request.prefix, request.path) == ("POST", "run-1", "/v1/messages")
    assert request.headers["x-mine"] == "1"
    assert request.body["model"] == MODEL
    assert KEY not in repr(request)


def test_requests_without_a_prefix_and_to_other_places_are_recorded(start: Start) -> None:
    server = start([Reply("x")])
    ask(server, "")
    with pytest.raises(anthropic.NotFoundError):
        client(server, "a").models.list()
    paths = [(request.prefix, request.path) for request in server.requests]
    assert paths == [("", "/v1/messages"), ("a", "/v1/models")]


def test_parallel_runs_are_told_apart_by_prefix(start: Start) -> None:
    server = start(lambda body, prefix: Reply(prefix))
    names = [f"run-{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda name: text_of(ask(server, name)), names))
    assert replies == names
    assert [len(server.messages(name)) for name in names] == [1] * 40


def test_what_a_request_holds() -> None:
    body: Body = {
        "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "CWD: /src/x\nDate: d"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "one"}]},
            {"role": "system", "content": "two"},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "Write"}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "content": "plain"},
                    {"type": "tool_result", "content": [{"type": "text", "text": "block"}]},
                    {"type": "tool_result"},
                ],
            },
        ],
    }
    assert system_text(body) == "a\nCWD: /src/x\nDate: d"
    assert first_user_text(body) == "one"
    assert message_texts(body, "system") == ["two"]
    assert tool_results(body) == ["plain", "block", ""]
    assert (turn_of(body), reported_cwd(body)) == (1, "/src/x")
    assert (system_text({}), first_user_text({}), tool_names({}), reported_cwd({})) == (
        "",
        "",
        [],
        None,
    )


# The built-in script and processes


def test_hello_says_so_when_it_cannot_write(start: Start) -> None:
    tools = [{"name": "Bash", "input_schema": {"type": "object"}}]
    assert text_of(ask(start(hello), tools=tools)) == "I was given no Write tool."


def test_it_runs_as_a_process_of_its_own() -> None:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "tests.support.messages_server", "--script", "hello"]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith(f"http://{HOST}:")
        reply = anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0).messages.create(
            model=MODEL,
            max_tokens=64,
            system="Working directory: /src",
            tools=TOOLS,
            messages=[{"role": "user", "content": "hi"}],
        )
        process.terminate()
    [tool] = reply.content
    assert isinstance(tool, ToolUseBlock)
    assert tool.input == {"file_path": "/src/hello.py", "content": 'print("Hello, World!")\n'}
    assert process.returncode == 0


def test_claude_code_works_against_it(start: Start, tmp_path: Path) -> None:
    server = start(hello)

    def run(name: str) -> list[Any]:
        cwd = tmp_path / name
        home = tmp_path / f"home-{name}"
        cwd.mkdir()
        home.mkdir()
        environment = claude_code.claude_environment(home, server.url(name))
        flags = ["--model", MODEL, "--setting-sources", "project"]
        done = claude_code.run_claude("Greet me.", cwd=cwd, environment=environment, flags=flags)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(run, ["run-1", "run-2"]))
    for name, events in zip(["run-1", "run-2"], both, strict=True):
        result = events[-1]
        assert (tmp_path / name / "hello.py").read_text() == 'print("Hello, World!")\n'
        assert (result["type"], result["is_error"], result["num_turns"]) == ("result", False, 2)
        assert (result["usage"]["input_tokens"], result["usage"]["output_tokens"]) == (20, 10)
        first, second = server.messages(name)
        assert first_user_text(first.body).endswith("Greet me.")
        assert "Write" in tool_names(first.body)
        assert reported_cwd(first.body) == str(tmp_path / name)
        assert (turn_of(second.body), len(tool_results(second.body))) == (1, 1)


def test_a_missing_binary_fails_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssertionError, match="claude-agent-sdk"):
        claude_code.claude_binary()
