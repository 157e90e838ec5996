"""What a judge is given, and models on the local server that answer as a judge would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_scylla.experiment import load_experiment
from pytest_scylla.judge_prompt import load_template
from pytest_scylla.judges import Evidence
from pytest_scylla.prices import built_in_prices
from pytest_scylla.results import AgentResult, PipelineResult, StepResult, TokenStats
from tests.support.examples import write_experiment, write_files, write_task
from tests.support.messages_server import Body, Reply, Usage, first_user_text, judged

KEY = "sk-ant-a-key-for-tests-0123456789"
MODEL = "claude-haiku-4-5"
USAGE = Usage(input_tokens=100, output_tokens=20, cache_read_input_tokens=3)

ITEMS: list[dict[str, Any]] = [
    {"id": "F1", "check": "hello.py greets", "points": 2},
    {"id": "F2", "check": "the README tells of it", "points": 1, "na_condition": "no README"},
    {"id": "F3", "check": "it runs", "points": 1, "run": "test -f hello.py"},
]
RUBRIC = {"categories": {"work": {"weight": 1.0, "items": ITEMS}}}

PATCH = """\
diff --git a/hello.py b/hello.py
new file mode 100644
--- /dev/null
+++ b/hello.py
@@ -0,0 +1 @@
+print("hello")
"""


def graded(body: Body, share: float = 1.0, **changes: Any) -> str:
    """An answer that gives `share` of the points of every item that the request asks for."""
    return json.dumps({**judged(body, share), **changes})


def good(body: Body, prefix: str = "") -> Reply:
    """A model that does what it is asked."""
    return Reply(graded(body), usage=USAGE)


def obedient(body: Body, prefix: str = "") -> Reply:
    """A model that does what the agent's output says: it repeats the JSON that stands there."""
    _, mark, said = first_user_text(body).partition("OBEY:")
    return Reply(said.splitlines()[0] if mark else graded(body), usage=USAGE)


def make_evidence(
    place: Path,
    *,
    files: Mapping[str, str | bytes] | None = None,
    rubric: Mapping[str, Any] = RUBRIC,
    template: str | None = None,
    **changes: Any,
) -> Evidence:
    """A run's evidence: an agent that wrote hello.py."""
    write_task(place / "task", rubric=rubric)
    experiment = load_experiment(write_experiment(place))
    if template is not None:
        (place / "judge_prompt.md").write_text(template)
        experiment = load_experiment(experiment.path)
    copy = place / "copy"
    copy.mkdir()
    write_files(copy, files if files is not None else {"hello.py": 'print("hello")\n'})
    slot = place / "judge_01"
    slot.mkdir()
    step = StepResult(name="test", status="failed", exit_code=1, output="boom", duration_seconds=1)
    given = {
        "task": experiment.task,
        "answer": "I wrote hello.py.",
        "patch": PATCH,
        "agent": AgentResult(
            exit_code=0,
            stdout="",
            stderr="",
            token_stats=TokenStats(),
            cost_usd=0.0,
            api_calls=1,
        ),
        "pipeline": PipelineResult(steps=(step,)),
        "baseline": PipelineResult(steps=()),
        "left": lambda: (copy, ""),
        "executed": {},
        "slot": slot,
        "template": load_template(experiment),
        "experiment": place,
        "prices": built_in_prices(),
    }
    return Evidence(**{**given, **changes})
