"""An MCP server with one tool: the outline of a Python file in the directory it is started in.

It speaks JSON-RPC, a message a line, on standard input and output (modelcontextprotocol.io,
transport stdio), and needs nothing but Python.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

PROTOCOL = "2025-06-18"
TOOL = {
    "name": "outline",
    "description": "Lists the classes and functions of a Python file, with their line numbers, "
    "signatures and what their docstrings say first.",
    "inputSchema": {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "The file, from the root."}},
        "required": ["path"],
    },
}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def outline(path: Path) -> str:
    """A line for each class and function; methods are indented."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return "\n".join(lines(tree, "")) or "no classes or functions"


def lines(node: ast.AST, indent: str) -> list[str]:
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            found += [f"{indent}{child.lineno}: {head(child)}", *lines(child, indent + "  ")]
    return found


def head(node: Definition) -> str:
    kind = "class" if isinstance(node, ast.ClassDef) else "def"
    arguments = "" if isinstance(node, ast.ClassDef) else f"({ast.unparse(node.args)})"
    said = (ast.get_docstring(node) or "").split("\n")[0]
    return f"{kind} {node.name}{arguments}{' - ' + said if said else ''}"


def call(arguments: dict[str, Any]) -> dict[str, Any]:
    """What the tool gives back; a file that it cannot read is the model's to know of."""
    root = Path.cwd()
    path = (root / str(arguments.get("path", ""))).resolve()
    try:
        if not path.is_relative_to(root.resolve()):
            raise OSError(f"{path} is not in the workspace")
        text, failed = outline(path), False
    except (OSError, SyntaxError, ValueError) as error:
        text, failed = str(error), True
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; None where there is no such method."""
    if method == "initialize":
        return {
            "protocolVersion": params.get("protocolVersion") or PROTOCOL,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "outline", "version": "1.0"},
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call" and params.get("name") == TOOL["name"]:
        return call(params.get("arguments") or {})
    return {} if method == "ping" else None


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue  # a notification
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        result = answer(str(request.get("method")), request.get("params") or {})
        if result is None:
            reply["error"] = {"code": -32601, "message": "no such method or tool"}
        else:
            reply["result"] = result
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
