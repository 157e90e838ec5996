"""Whether an API takes a key and knows a model: asked at no cost, and only clear answers count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from pytest_scylla.agents import Agent
from pytest_scylla.agents.codex import Codex
from pytest_scylla.agents.opencode import OpenCode
from pytest_scylla.errors import RunError
from pytest_scylla.openai import check_access
from tests.support.messages_server import MessagesServer

KEY = "a-key-for-tests"


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    """An API with one model and one key."""
    with MessagesServer([]) as server:
        server.key, server.models = KEY, ["gpt-5.5", "claude-haiku-4-5"]
        yield server


def program(path: Path, version: str) -> str:
    """Something that tells a version, and nothing else."""
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


def agents(place: Path, server: MessagesServer, key: str, known: bool) -> list[Agent]:
    """An agent for every way to ask."""
    openai = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"{server.url()}/v1"}
    anthropic = {"ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": server.url()}
    gpt, haiku = ("gpt-5.5", "claude-haiku-4-5") if known else ("gpt-none", "claude-none")
    opencode = program(place / "opencode", "1.18.33")
    return [
        Codex(model=gpt, executable=program(place / "codex", "codex-cli 0.169.0"), env=openai),
        OpenCode(model=f"openai/{gpt}", executable=opencode, env=openai),
        OpenCode(model=f"anthropic/{haiku}", executable=opencode, env=anthropic),
    ]


def refused(agent: Agent) -> RunError:
    with pytest.raises(RunError) as caught:
        agent.preflight()
    return caught.value


def test_a_key_and_a_model_that_are_known_are_no_error_and_cost_nothing(
    tmp_path: Path, server: MessagesServer
) -> None:
    for agent in agents(tmp_path, server, KEY, known=True):
        agent.preflight()
    assert [request.method for request in server.requests] == ["GET"] * 3


def test_a_wrong_key_and_an_unknown_model_are_errors_with_the_next_step(
    tmp_path: Path, server: MessagesServer
) -> None:
    for agent in agents(tmp_path, server, "another", known=True):
        error = refused(agent)
        assert error.kind == "auth"
        assert "_API_KEY" in str(error).splitlines()[1]
    for agent in agents(tmp_path, server, KEY, known=False):
        error = refused(agent)
        assert error.kind == "model_unknown"
        assert "agent.model" in str(error).splitlines()[1]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, "<html>no such page</html>"),
        (404, json.dumps({"detail": "Not Found"})),
        (404, json.dumps({"error": "not found"})),
        (404, json.dumps({"error": {"code": "model_not_found", "message": "no such route"}})),
        (403, json.dumps({"error": {"type": "invalid_request_error", "code": None,
                                    "message": "Missing scopes: api.model.read"}})),
        (500, json.dumps({"error": {"type": "server_error", "message": "gpt-5.5"}})),
    ],
)  # fmt: skip
def test_an_answer_that_says_nothing_of_key_or_model_is_no_error(
    httpserver: HTTPServer, status: int, body: str
) -> None:
    httpserver.expect_request("/v1/models/gpt-5.5").respond_with_data(body, status)
    check_access({"K": "k", "OPENAI_BASE_URL": httpserver.url_for("/v1/")}, "K", "gpt-5.5")
    assert len(httpserver.log) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "not-a-url"])
def test_an_address_where_nobody_answers_is_an_error_of_the_network(url: str) -> None:
    with pytest.raises(RunError) as caught:
        check_access({"K": "k", "OPENAI_BASE_URL": url}, "K", "gpt-5.5")
    assert caught.value.kind == "network"
    assert url in str(caught.value)
