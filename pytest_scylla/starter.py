"""A small experiment to start from: it runs at once, without a key, network or cost."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError
from .store import write_text

README = """\
# {id}

An experiment for pytest-scylla: three set-ups of an agent, two runs of each. The agent is a small
stand-in for a real one; it needs no API key, no network access, and costs nothing.

    pytest {folder}                          run it; run it again: every result is replayed
    pytest {folder} --collect-only -q        look before you run
    pytest {folder}/experiment.yaml::T0      one tier
    scylla status results                    the figures so far

Results are in `results/` of the directory in which you start pytest. Each session prints the path
of its `report.html`: open it in a browser.

## Make it yours

1. `task/`: `source` in test.yaml is the code to start from, a folder or a git repository, relative
   to test.yaml. prompt.md is what the agent is asked to do. expected/rubric.yaml is what is graded;
   the agent never sees it.
2. `tiers/`: each file in subtests/ is one set-up. It names blocks of CLAUDE.md (blocks/) and skills
   (skills/). Copy a file to add a set-up; only its runs are new.
3. `experiment.yaml`: replace `agent` with a real one, and delete agent.py. For example:

       agent: {{adapter: claude-code, model: claude-haiku-4-5}}

   It needs ANTHROPIC_API_KEY and costs money: `pytest {folder} --scylla-plan` forecasts how much,
   `--scylla-budget USD` limits it. Paid runs start only if you name the experiment.

To continue, see docs/how-to/evaluate-your-own-repository.md in the documentation of pytest-scylla.
"""

FILES = {
    "README.md": README,
    "experiment.yaml": """\
id: {id}
task: task               # prompt, source, rubric
tiers: tiers             # the set-ups that are compared
runs: 2                  # of every set-up
agent:                   # a small stand-in for a real agent, see README.md
  adapter: command
  command: ["{{python}}", "-B", "{{experiment}}/agent.py"]
  paid: false
judges: [{{adapter: rubric-checks}}]
""",
    "agent.py": '''\
"""Stand-in for an agent: prompt on stdin, CLAUDE.md and skills of its set-up in the workspace."""

import json
import sys
from pathlib import Path

prompt = sys.stdin.read()
rules = Path("CLAUDE.md").read_text() if Path("CLAUDE.md").exists() else ""
rules += "".join(path.read_text() for path in Path(".claude/skills").glob("*/SKILL.md"))

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
  T0: {name: Prompts}
  T1: {name: Skills}
""",
    "tiers/subtests/t0/00-empty.yaml": "name: Nothing at all\n",
    "tiers/subtests/t0/01-careful.yaml": """\
name: Asked to be careful
resources:
  claude_md: {blocks: [B01]}
""",
    "tiers/blocks/B01-careful.md": "Refuse what makes no sense with a ValueError.\n",
    "tiers/subtests/t1/01-edge-cases.yaml": """\
name: A skill about edge cases
resources:
  skills: {categories: [edge-cases]}
""",
    "tiers/skills/edge-cases/empty-text/SKILL.md": """\
---
name: empty-text
description: What to do when a function gets an empty text
---
Raise a ValueError that says what is missing.
""",
}
"""Path -> content; README.md and experiment.yaml are templates."""


def write_starter(folder: Path) -> list[Path]:
    """Write the experiment; its id is the folder's name. What is there stays as it is.

    Raises InputError where the folder has something in the place of a file or folder of it.
    """
    places = dict.fromkeys(folder / name.partition("/")[0] for name in FILES)
    there = [place for place in places if os.path.lexists(place)]
    if there:
        raise InputError(there[0], "", "already exists", "name a new or empty folder")
    id = "".join(c if c.isalnum() and c.isascii() else "-" for c in folder.resolve().name)
    words = {"id": id.strip("-") or "start", "folder": folder.as_posix()}
    for name, text in FILES.items():
        is_template = name in ("README.md", "experiment.yaml")
        write_text(folder / name, text.format(**words) if is_template else text)
    return [folder / name for name in FILES]
