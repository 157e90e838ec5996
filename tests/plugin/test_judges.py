"""Panels of models: the real SDK in real sessions, against a local server that fails at will."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_scylla.results import TokenStats, token_stats
from tests.support.experiments import (
    IN_PROCESS,
    TWO_WORKERS,
    WORKS,
    Experiment,
    command,
    read,
    rubric,
)
from tests.support.judges import KEY, USAGE, graded
from tests.support.messages_server import Answer, Body, Failure, MessagesServer, Reply, Usage, judge

HAIKU, SONNET, OPUS = "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8"
ROOT = Path(__file__).parents[2]
RUN = "T0/00-empty/run_01"
RUBRIC = rubric({"id": "F1", "check": "it is done", "points": 2})


def model(name: str, **options: Any) -> dict[str, Any]:
    return {"adapter": "anthropic", "model": name, "attempts": 2, **options}


def panel(pytester: pytest.Pytester, *judges: dict[str, Any], **settings: Any) -> Experiment:
    return Experiment(pytester, rubric=RUBRIC, judges=list(judges), **settings)


def session(toy: Experiment, server: MessagesServer, *args: str) -> pytest.RunResult:
    access = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url()}
    return toy.run(*args, env=access)


def unless(*broken: str) -> Callable[[Body, str], Answer]:
    """Models that grade well; the broken ones refuse every request."""

    def answer(body: Body, prefix: str) -> Answer:
        if body["model"] in broken:
            return Failure(400, "this one is broken")
        return Reply(graded(body, 1.0 if body["model"] == HAIKU else 0.5), usage=USAGE)

    return answer


def used(toy: Experiment) -> TokenStats:
    """Tokens of all judge slots, their earlier attempts with them."""
    found = [*toy.results.rglob("judge_*/judgment.json")]
    stats = [TokenStats.model_validate(read(path)["token_stats"]) for path in found]
    return sum(stats, TokenStats())


def asked(server: MessagesServer) -> list[str]:
    """The models that were asked for a message, in order."""
    return [request.body["model"] for request in server.requests if request.is_message]


def told(server: MessagesServer) -> TokenStats:
    return token_stats(vars(server.told))


def test_a_panel_with_a_judge_that_always_fails_gives_verdicts_by_the_others(
    pytester: pytest.Pytester,
) -> None:
    toy = panel(pytester, model(HAIKU), model(SONNET), model(OPUS), runs=2)
    with MessagesServer(unless(OPUS), script_all=True) as server:
        session(toy, server, *IN_PROCESS).assert_outcomes(passed=2)
        assert used(toy) == told(server)
        first = asked(server)
        session(toy, server, *IN_PROCESS).assert_outcomes(passed=2)
        assert asked(server) == first  # the verdicts are kept
    assert toy.verdicts() == {RUN: 0.75, "T0/00-empty/run_02": 0.75}
    result = read(toy.path(RUN) / "run_result.json")
    assert [judge["score"] for judge in result["judges"]] == [1.0, 0.5, None]
    assert [judge["is_valid"] for judge in result["judges"]] == [True, True, False]
    slots = sorted(toy.path(RUN).glob("judge/judge_*/judgment.json"))
    costs = [read(path)["cost_usd"] for path in slots]  # input, output, read from the cache
    assert costs == pytest.approx([0.0002003, 0.0006009, 0])
    slot = toy.path(RUN) / "judge/judge_03"
    assert "this one is broken" in (slot / "error.log").read_text()
    assert "it is done" in (slot / "prompt.md").read_text()


def test_without_a_quorum_there_is_an_error_and_later_only_the_missing_slots_are_asked(
    pytester: pytest.Pytester,
) -> None:
    free = """echo '{"result": "done", "usage": {}, "total_cost_usd": 0}'"""
    toy = panel(pytester, model(HAIKU), model(SONNET), model(OPUS), agent=f"{WORKS}; {free}")
    with MessagesServer(unless(SONNET, OPUS), script_all=True) as server:
        result = session(toy, server, *IN_PROCESS)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*1 of 3 judgments are valid and 2 are needed*"])
    assert toy.verdicts() == {}
    report = json.dumps(read(toy.results / "report.json"))
    assert "$0.0002" in (toy.results / "report.md").read_text()  # what the one judgment has cost
    assert not any(f'"{key}": 0' in report for key in ("score", "mean_score", "median_score"))
    first = told(server)
    with MessagesServer(unless(), script_all=True) as server:
        session(toy, server, *IN_PROCESS).assert_outcomes(passed=1)
        assert asked(server) == [SONNET, OPUS]
    assert used(toy) == first + told(server)
    assert len(list((toy.path(RUN) / "judge/attempts").iterdir())) == 2


def test_a_fallback_is_kept_and_marked_and_counts_only_if_asked(pytester: pytest.Pytester) -> None:
    toy = panel(pytester, model(SONNET, fallback=model(HAIKU)))
    with MessagesServer(unless(SONNET), script_all=True) as server:
        session(toy, server, *IN_PROCESS).assert_outcomes(errors=1)
        assert asked(server) == [SONNET, HAIKU]
        result = session(toy, server, *IN_PROCESS)
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*--scylla-judge-status failed*"])
        assert len(asked(server)) == 2  # it is not asked for ever
        judgment = read(toy.path(RUN) / "judge/judge_01/judgment.json")
        assert (judgment["fallback"], judgment["is_valid"]) == (True, False)
        assert (judgment["score"], judgment["model"]) == (1.0, HAIKU)
        assert "this one is broken" in judgment["fallback_reason"]
        toy.configure(count_fallback=True)
        session(toy, server, *IN_PROCESS).assert_outcomes(passed=1)
        assert len(asked(server)) == 2
        (vote,) = read(toy.path(RUN) / "run_result.json")["judges"]
        assert vote["fallback"] is True
        assert used(toy) == told(server)
    with MessagesServer(unless(), script_all=True) as server:
        again = ("--scylla-judge-status", "failed", *IN_PROCESS)
        session(toy, server, *again).assert_outcomes(failed=1)  # 0.5 of its own judge
        assert asked(server) == [SONNET]
    assert read(toy.path(RUN) / "judge/judge_01/judgment.json")["fallback"] is False
    assert toy.executions.total() == 1


def moody() -> Callable[[Body, str], Answer]:
    """A third of the answers is bad; requests fail and streams are cut besides."""
    numbers = itertools.count()

    def answer(body: Body, prefix: str) -> Answer:
        number = next(numbers)
        usage = Usage(input_tokens=100 + number, output_tokens=7, cache_read_input_tokens=number)
        if number % 4 == 1:
            status = (429, 500, 529)[number % 3]
            return Failure(status, headers={"retry-after": "0"} if number % 8 == 1 else {})
        if number % 7 == 3:
            return Reply(graded(body), cut_after=number % 5, usage=usage)
        bad = ("Well.", graded(body, score=3), '{"items": {')[number % 3]
        return Reply(bad if number % 3 == 0 else graded(body), usage=usage)

    return answer


def test_faults_at_random_end_in_verdicts_or_errors_and_every_token_is_counted(
    pytester: pytest.Pytester,
) -> None:
    judges = [model(HAIKU, attempts=3), model(SONNET, attempts=3)]
    toy = panel(pytester, *judges, runs=4, quorum=2)
    with MessagesServer(moody(), script_all=True) as server:
        result = session(toy, server, *TWO_WORKERS)
        counts = result.parseoutcomes()
        assert counts.get("passed", 0) + counts.get("errors", 0) == 4, result.outlines
        assert set(toy.verdicts().values()) <= {1.0}
        assert used(toy) == told(server)
        session(toy, server, *IN_PROCESS)
        assert used(toy) == told(server)


def test_an_edited_prompt_asks_those_again_who_are_asked_by_it(pytester: pytest.Pytester) -> None:
    toy = panel(pytester, model(HAIKU), {"adapter": "rubric-checks"})
    both = rubric({"id": "F1", "check": "seen", "points": 2}, {**CHECK, "points": 1})
    toy.write("task/expected/rubric.yaml", both)
    with MessagesServer(unless(), script_all=True) as server:
        session(toy, server, *IN_PROCESS).assert_outcomes(passed=1)
        kept = (toy.path(RUN) / "judge/judge_02/judgment.json").read_text()
        toy.write("judge_prompt.md", "Mine.\n{rubric}\n{answer_format}\n{patch}\n")
        session(toy, server, *IN_PROCESS).assert_outcomes(passed=1)
        assert len(asked(server)) == 2
    assert (toy.results / "judge_prompt.md").read_text().startswith("Mine.\n## work")
    assert (toy.path(RUN) / "judge/judge_01/prompt.md").read_text().startswith("Mine.\n")
    assert (toy.path(RUN) / "judge/judge_02/judgment.json").read_text() == kept


CHECK = {"id": "F2", "check": "a file", "run": "test -f answer.txt"}

PROGRAM = """\
import json, os, pathlib, sys
said = sys.stdin.read()
assert pathlib.Path(sys.argv[1]).read_text() == said
assert pathlib.Path(sys.argv[2], "answer.txt").read_text() == "done\\n"
assert json.loads(pathlib.Path(sys.argv[3]).read_text())["required"]
assert os.environ["OURS"] == "1" and "FOREIGN" not in os.environ
item = {"achieved": 2 if "cannot be used" in said else 9, "reason": "run"}
answer = {"items": {"F1": item}, "reasoning": "so", "score": 1, "passed": True}
usage = {"input_tokens": 5, "output_tokens": 1}
print("Here it is:", json.dumps({**answer, "usage": usage, "total_cost_usd": 0.25}))
"""


def test_any_program_can_judge_and_is_asked_once_more(pytester: pytest.Pytester) -> None:
    words = ["{python}", "{experiment}/judge.py", "{prompt}", "{workspace}", "{schema}"]
    program = {"adapter": "command", "command": words, "paid": False, "env": {"OURS": "1"}}
    toy = panel(pytester, program, {**program, "evidence": "paths", "model": "by-paths"})
    toy.write("judge.py", PROGRAM)
    toy.run(*IN_PROCESS, env={"FOREIGN": "1"}).assert_outcomes(passed=1)
    result = read(toy.path(RUN) / "run_result.json")
    assert [vote["model"] for vote in result["judges"]] == ["command", "by-paths"]
    first, second = (toy.path(RUN) / f"judge/judge_{n:02d}" for n in (1, 2))
    judgment = read(first / "judgment.json")
    assert judgment["token_stats"]["input_tokens"] == 10
    assert judgment["cost_usd"] == 0.5
    assert (first / "response.txt").read_text().count("Here it is") == 2
    assert "answer.txt" in (first / "prompt.md").read_text()
    assert "patch.patch` (" in (second / "prompt.md").read_text()
    nonsense = '{"a": 1, "a": 2, "usage": {"input_tokens": "many"}, "total_cost_usd": -1}'
    dear = '{"items": {}, "usage": {"input_tokens": 5, "output_tokens": 1}, "total_cost_usd": 0.25}'
    toy.write(
        "judge.py",
        f"import os, sys; os.listdir() and (print({dear!r}), sys.exit()); "
        f"print({nonsense!r}); sys.exit('it broke')",
    )
    broken = toy.run(*IN_PROCESS, "--scylla-from", "judge")
    broken.assert_outcomes(errors=1)
    assert "it broke" in (first / "error.log").read_text()
    useless = read(second / "judgment.json")
    assert (useless["is_valid"], useless["score"], useless["cost_usd"]) == (False, None, 0.5)
    assert useless["token_stats"]["input_tokens"] == 10, "what was of no use was paid for as well"
    failed = {"type": "result", "is_error": True, "api_error_status": 429, "total_cost_usd": 0.5}
    toy.write("judge.py", f"{PROGRAM}\nprint({json.dumps(json.dumps(failed))})")
    toy.run(*IN_PROCESS, "--scylla-from", "judge").assert_outcomes(errors=1)
    refused = read(first / "judgment.json")
    assert (refused["is_valid"], refused["cost_usd"]) == (False, 0.5)
    assert refused["error"].startswith("the API answered 429")
    toy.configure(judges=[{**program, "command": ["no-such-program"]}])
    toy.run(*IN_PROCESS).stdout.fnmatch_lines(["*there is no program 'no-such-program'*"])


def test_the_example_with_a_panel_works_offline(tmp_path: Path) -> None:
    node = "experiments/hello-judges/experiment.yaml::T0::00-empty::run_01"
    with MessagesServer(judge, script_all=True) as server:
        env = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url()}
        words = command(node, *IN_PROCESS, "--scylla-results", str(tmp_path), env=env)
        subprocess.run([*words, "-p", "no:cacheprovider"], cwd=ROOT, check=True)
    (path,) = tmp_path.glob("*/T0/00-empty/run_01/run_result.json")
    result = read(path)
    assert [vote["score"] for vote in result["judges"]] == [1.0] * 3
    assert result["criteria_scores"]["functional"]["items"]["F1"]["reason"] == "met (exit status 0)"
    assert result["cost_usd"] > 0
    slots = [read(path.parent / f"judge/judge_{n:02d}/judgment.json") for n in (1, 2, 3)]
    assert sum(slot["token_stats"]["input_tokens"] for slot in slots) == told(server).input_tokens
