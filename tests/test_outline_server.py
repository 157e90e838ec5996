"""The MCP server of the shared tier library, spoken to over its standard input and output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SERVER = Path(__file__).parent.parent / "experiments" / "tiers" / "mcp" / "outline.py"

CODE = '''
class Greeter:
    """Says hello."""

    def greet(self, name, *, loud=False):
        """Greets somebody.

        At length.
        """

async def main(): ...
'''


def talk(place: Path, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """The server's answers to these requests, in a directory."""
    lines = "".join(json.dumps({"jsonrpc": "2.0", **request}) + "\n" for request in requests)
    done = subprocess.run(
        [sys.executable, "-B", SERVER], cwd=place, input=lines, text=True, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask(id: int, path: str) -> dict[str, Any]:
    params = {"name": "outline", "arguments": {"path": path}}
    return {"id": id, "method": "tools/call", "params": params}


def test_it_says_what_it_is_and_what_it_offers(tmp_path: Path) -> None:
    hello, tools, unknown = talk(
        tmp_path,
        {"id": 1, "method": "initialize", "params": {"protocolVersion": "2024-11-05"}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {"id": "three", "method": "resources/list"},
    )
    assert hello["result"]["protocolVersion"] == "2024-11-05"
    assert [tool["name"] for tool in tools["result"]["tools"]] == ["outline"]
    assert (unknown["id"], unknown["error"]["code"]) == ("three", -32601)


def test_it_lists_classes_and_functions(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(CODE)
    (answer,) = talk(tmp_path, ask(1, "code.py"))
    (block,) = answer["result"]["content"]
    assert block["text"].splitlines() == [
        "2: class Greeter - Says hello.",
        "  5: def greet(self, name, *, loud=False) - Greets somebody.",
        "11: def main()",
    ]


def test_what_it_cannot_read_is_said_to_the_model_and_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / "good.py").write_text("")
    answers = talk(
        tmp_path,
        *(ask(n, p) for n, p in enumerate(["/etc/passwd", "no.py", "broken.py", "good.py"])),
    )
    assert [answer["result"]["isError"] for answer in answers] == [True, True, True, False]
    assert "is not in the workspace" in answers[0]["result"]["content"][0]["text"]
