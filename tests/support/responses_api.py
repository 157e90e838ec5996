"""The Responses API on the server of messages_server.py: `POST <prefix>/v1/responses`, streamed.

A script answers as it does for the Messages API, with a `Reply` of text and calls of tools or a
`Failure`; here it is spelled in the other API's words. A call's input under the one key `input`
is for a tool that takes free text (`custom` in the request).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.messages_server import Reply, ToolUse, Usage

Body = dict[str, Any]


# What a request holds


def items(body: Body, *kinds: str) -> list[Body]:
    """Return the items of a request's input that are of one of these kinds, in order."""
    return [item for item in body.get("input") or [] if item.get("type", "message") in kinds]


def texts(body: Body, *roles: str) -> list[str]:
    """Return the text of each message of these roles, in order."""
    return [
        "\n".join(part.get("text", "") for part in _parts(message))
        for message in items(body, "message")
        if message.get("role") in roles
    ]


def _parts(message: Body) -> list[Body]:
    content = message.get("content")
    return [{"text": content}] if isinstance(content, str) else list(content or [])


def instructions(body: Body) -> str:
    """Return what the request says to the model before the user speaks."""
    return "\n".join([str(body.get("instructions") or ""), *texts(body, "developer", "system")])


def names_of_tools(body: Body) -> list[str]:
    """Return the names of the tools that a request offers, also those that a search has found;
    those of a namespace (an MCP server, say) with its name in front."""
    return list(_names(_tools(body)))


def _tools(body: Body) -> list[Body]:
    found = [tool for item in items(body, "tool_search_output") for tool in item["tools"]]
    return [*(body.get("tools") or []), *found]


def _names(tools: list[Body], space: str = "") -> Iterator[str]:
    for tool in tools:
        name = f"{space}{tool.get('name') or tool['type']}"
        if tool["type"] == "namespace":
            yield from _names(tool.get("tools") or [], name)
        else:
            yield name


def turn(body: Body) -> int:
    """Return how often the model has answered in the conversation already."""
    before, count = "user", 0
    for item in body.get("input") or []:
        own = item.get("role") == "assistant" or item.get("type", "").endswith("_call")
        count += own and before != "model"
        before = "model" if own else "user"
    return count


def outputs(body: Body) -> list[str]:
    """Return the text of every tool's output in a request, in its order."""
    found = [
        i.get("output") for i in items(body, "function_call_output", "custom_tool_call_output")
    ]
    return [
        output if isinstance(output, str) else "\n".join(p.get("text", "") for p in output or [])
        for output in found
    ]


# The wire


def response(reply: Reply, body: Body) -> Body:
    """Return the whole response that a reply becomes."""
    output: list[Body] = []
    if reply.text:
        content = [{"type": "output_text", "text": reply.text, "annotations": []}]
        output.append(
            {"type": "message", "role": "assistant", "id": _id("msg"), "content": content}
        )
    output += [_call(tool, body) for tool in reply.tools]
    ends = {"max_tokens": "incomplete", "refusal": "failed"}
    status = ends.get(str(reply.stop_reason), "completed")
    refused = {"code": "content_policy_violation", "message": reply.text}
    return {
        "id": _id("resp"),
        "object": "response",
        "model": body.get("model", ""),
        "status": status,
        "error": refused if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "output": output,
        "usage": _usage(reply.usage),
    }


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


def _call(tool: ToolUse, body: Body) -> Body:
    call: Body = {"id": _id("item"), "call_id": _id("call"), "status": "completed"}
    if tool.name == "tool_search":
        search = {"type": "tool_search_call", "execution": "client"}
        return {**call, **search, "arguments": dict(tool.input)}
    space, name = _space_of(tool.name, _tools(body))
    call["name"] = name
    if any(one["type"] == "custom" and one.get("name") == name for one in _tools(body)):
        return {**call, "type": "custom_tool_call", "input": str(tool.input.get("input", ""))}
    if space:
        call["namespace"] = space
    return {**call, "type": "function_call", "arguments": json.dumps(dict(tool.input))}


def _space_of(name: str, tools: list[Body]) -> tuple[str, str]:
    for tool in tools:
        if tool["type"] == "namespace" and name in _names([tool]):
            return tool["name"], name.removeprefix(tool["name"])
    return "", name


def _usage(usage: Usage) -> Body:
    """Here the cached tokens are part of the input."""
    whole = usage.input_tokens + usage.cache_read_input_tokens
    return {
        "input_tokens": whole,
        "input_tokens_details": {"cached_tokens": usage.cache_read_input_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": whole + usage.output_tokens,
    }


def events(whole: Body) -> Iterator[Body]:
    """Yield the stream events that spell out a whole response."""
    yield {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}
    for index, item in enumerate(whole["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


def error(status: int, kind: str, message: str) -> Body:
    """Return the body of a failed request."""
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    return {"error": {"type": kind, "code": codes.get(status), "message": message}}
