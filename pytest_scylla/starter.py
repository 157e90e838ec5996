"""A small experiment to start from: it runs at once, without a key, network or cost."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError
from .store import write_text

FILES = {
    "experiment.yaml": """\
id: {id}
task: task               # what is asked: prompt, source, rubric
tiers: tiers             # the set-ups that are compared
runs: 2                  # of every set-up
agent:                   # a small program that stands for an agent; see docs/how-to/add-an-agent.md
  adapter: command
  command: ["{{python}}", "-B", "{{experiment}}/agent.py"]
  paid: false
judges: [{{adapter: rubric-checks}}]
""",
    "agent.py": '''\
"""Stands for an agent: the prompt on stdin, CLAUDE.md of its tier in the workspace."""

import json
import sys
from pathlib import Path

prompt = sys.stdin.read()
rules = Path("CLAUDE.md").read_text() if Path("CLAUDE.md").exists() else ""

code = "def greet(name):\\n"
if "ValueError" in rules:
    code += "    if not name:\\n        raise ValueError('a name is needed')\\n"
Path("greet.py").write_text(code + "    return f'Hello, {name}!'\\n")

tokens = len((prompt + rules).split())
answer = {"result": "done", "total_cost_usd": tokens * 1e-5, "usage": {"input_tokens": tokens}}
print(json.dumps(answer))
''',
    "task/test.yaml": """\
id: greet
name: Greetings
source: {repo: source}
tiers: [T0, T1]
""",
    "task/source/greet.py": """\
def greet(name):
    return name
""",
    "task/prompt.md": """\
`greet` in greet.py should greet: greet("Ada") is "Hello, Ada!". Nobody has an empty name.
""",
    "task/expected/rubric.yaml": """\
categories:
  works:
    weight: 1.0
    items:
      - id: W1
        check: It greets
        points: 2
        run: python3 -B -c "from greet import greet; assert greet('Ada') == 'Hello, Ada!'"
      - id: W2
        check: An empty name is refused
        points: 1
        run: |
          python3 -B - <<'END'
          from greet import greet
          try:
              greet("")
          except ValueError:
              raise SystemExit(0)
          raise SystemExit("no ValueError")
          END
grading:
  pass_threshold: 0.6
""",
    "tiers/tiers.yaml": """\
tiers:
  T0: {name: Nothing}
  T1: {name: Prompts}
""",
    "tiers/subtests/t0/00-empty.yaml": "name: Nothing at all\n",
    "tiers/subtests/t1/01-careful.yaml": """\
name: Asked to be careful
resources:
  claude_md: {blocks: [B01]}
""",
    "tiers/blocks/B01-careful.md": "Refuse what makes no sense with a ValueError.\n",
}
"""Path -> content."""


def write_starter(folder: Path) -> list[Path]:
    """Write the experiment; its id is the folder's name.

    Raises InputError where the folder has something of it already.
    """
    there = [name for name in FILES if (folder / name).exists()]
    if there:
        raise InputError(folder / there[0], "", "it is there already", "name an empty folder")
    id = "".join(c if c.isalnum() and c.isascii() else "-" for c in folder.resolve().name)
    id = id.strip("-") or "start"
    for name, text in FILES.items():
        content = text.format(id=id) if name == "experiment.yaml" else text
        write_text(folder / name, content)
    return [folder / name for name in FILES]
