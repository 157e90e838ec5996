"""Bad input is a collection error of its file alone: file, key and next step, no traceback."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.experiments import (
    MODES,
    Experiment,
    check,
    claude_md,
    rubric,
    run_pytest,
)

Spoil = Callable[[Experiment], object]

RUBRIC = "task/expected/rubric.yaml"
SUBTEST = "tiers/subtests/t0/00-empty.yaml"


def settings(**changes: Any) -> Spoil:
    return lambda toy: toy.configure(**changes)


def without(key: str) -> Spoil:
    def spoil(toy: Experiment) -> None:
        del toy.settings[key]
        toy.configure()

    return spoil


def file(name: str, content: Any) -> Spoil:
    return lambda toy: toy.write(name, content)


def gone(name: str) -> Spoil:
    return lambda toy: (toy.directory / name).unlink()


def not_text(name: str) -> Spoil:
    return lambda toy: (toy.directory / name).write_bytes(b"\xff\xfe broken \x80")


def renamed_subtest(to: str) -> Spoil:
    return lambda toy: (toy.directory / SUBTEST).rename(toy.directory / f"tiers/subtests/t0/{to}")


COMMAND = {"adapter": "command", "command": "true"}
TASK = {"id": "t", "source": {"repo": "files"}}
TWICE = rubric(check(), check())

CASES: list[tuple[str, Spoil, str, str, str]] = [
    # name, what is wrong, the file and the key that are named, a word of the next step
    ("unknown key", settings(run=3), "experiment.yaml", "run:", "did you mean `runs`"),
    ("unknown key inside", settings(workspace={"scop": "run"}), "experiment.yaml",
     "workspace.scop:", "did you mean `scope`"),
    ("unknown option of the agent", settings(agent={**COMMAND, "comand": "x"}), "experiment.yaml",
     "agent.comand:", "did you mean `command`"),
    ("no number", settings(runs="many"), "experiment.yaml", "runs:", "correct the value"),
    ("no run", settings(runs=0), "experiment.yaml", "runs:", "correct the value"),
    ("a truth as a number", settings(runs=True), "experiment.yaml", "runs:", "correct"),
    ("a word that is not one of these", settings(workspace={"retention": "some"}),
     "experiment.yaml", "workspace.retention:", "correct"),
    ("an id that is no name", settings(id="a/b"), "experiment.yaml", "id:", "correct"),
    ("a missing key", without("judges"), "experiment.yaml", "judges:", "add this key"),
    ("a missing key of the task", file("task/test.yaml", {"id": "t"}), "test.yaml", "source:",
     "add this key"),
    ("a missing task", settings(task="nowhere"), "experiment.yaml", "task:", "test.yaml"),
    ("a task without test.yaml", gone("task/test.yaml"), "experiment.yaml", "task:", "test.yaml"),
    ("a missing library", settings(tiers="nowhere"), "experiment.yaml", "tiers:", "tiers.yaml"),
    ("a missing prompt", gone("task/prompt.md"), "test.yaml", "task.prompt_file:", "create it"),
    ("a prompt that is no text", not_text("task/prompt.md"), "prompt.md", "", "UTF-8"),
    ("a missing rubric", gone(RUBRIC), "test.yaml", "validation.rubric_file:", "create it"),
    ("a threshold above 1", file(RUBRIC, rubric(check(), threshold=7)), "rubric.yaml",
     "grading.pass_threshold:", "correct"),
    ("a rubric of nothing", file(RUBRIC, {"grading": {}}), "rubric.yaml", "categories:", "add"),
    ("an item twice", file(RUBRIC, TWICE), "rubric.yaml", "categories.work:", "id of its own"),
    ("an item of no worth", file(RUBRIC, rubric(check(points=-1))), "rubric.yaml",
     "categories.work.items.0.points:", "correct"),
    ("an unknown agent", settings(agent={"adapter": "robot"}), "experiment.yaml",
     "agent.adapter:", "command"),
    ("an unknown judge", settings(judges=[{"adapter": "oracle"}]), "experiment.yaml",
     "judges.0.adapter:", "rubric-checks"),
    ("a quorum that cannot be", settings(quorum=2), "experiment.yaml", "quorum:", "lower"),
    ("a tier that is not there", settings(select=["T9"]), "experiment.yaml", "select:", "T0"),
    ("no list of tiers", settings(select="T0"), "experiment.yaml", "select:", "write a list: [T0]"),
    ("an agent by its name", settings(agent="claude-code"), "experiment.yaml", "agent:",
     "write a mapping: {adapter: claude-code}"),
    ("judges by their names", settings(judges=["rubric-checks"]), "experiment.yaml", "judges.0:",
     "write a mapping: {adapter: rubric-checks}"),
    ("broken YAML", file("experiment.yaml", "id: [toy\ntask: task\n"), "experiment.yaml", "",
     "correct the syntax"),
    ("YAML that is no text", not_text("task/test.yaml"), "test.yaml", "", "correct"),
    ("a library without tiers", file("tiers/tiers.yaml", {}), "tiers.yaml", "tiers:", "add"),
    ("a list for a mapping", file(SUBTEST, "- a\n"), "00-empty.yaml", "", "key: value"),
    ("an unknown parent", file(SUBTEST, {"inherit_best_from": ["T8"]}), "00-empty.yaml",
     "inherit_best_from:", "name tiers before"),
    ("a tier that inherits from itself", file(SUBTEST, {"inherit_best_from": ["T0"]}),
     "00-empty.yaml", "inherit_best_from:", "name tiers before"),
    ("brackets in a subtest's name", renamed_subtest("00-a[b].yaml"), "00-a[b].yaml", "id:",
     "correct"),
    ("a space in a subtest's name", renamed_subtest("00 a.yaml"), "00 a.yaml", "id:", "correct"),
    ("blocks that are no list", file(SUBTEST, claude_md() | {"claude_md": {"blocks": 3}}),
     "00-empty.yaml", "claude_md.blocks:", "write a list: [3]"),
    ("a path for CLAUDE.md", file(SUBTEST, {"claude_md": "CLAUDE.md"}), "00-empty.yaml",
     "claude_md:", "write a mapping with blocks or file"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "path", "key", "step"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_is_wrong_is_said_with_file_key_and_next_step(
    pytester: pytest.Pytester, spoil: Spoil, path: str, key: str, step: str
) -> None:
    toy = Experiment(pytester)
    pytester.makepyfile(test_ordinary="def test_it():\n    pass\n")
    spoil(toy)
    result = run_pytest(pytester, toy.file, "test_ordinary.py", "--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    said = result.stdout.str()
    assert f"ERROR collecting {toy.file}" in said
    assert f"/{path}: {key}" in said
    assert "next: " in said
    assert step in said.split("next: ")[1].splitlines()[0]
    for trace in ("Traceback", "pytest_scylla/", "INTERNALERROR", "pydantic"):
        assert trace not in said + result.stderr.str()


@MODES
def test_only_the_file_that_is_wrong_is_an_error(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    Experiment(pytester, "bad", run=3)
    good = Experiment(pytester, "good")
    args = ("experiments", *mode, "--continue-on-collection-errors")
    result = run_pytest(pytester, *args)
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ERROR collecting experiments/bad/experiment.yaml*"])
    assert good.executions.total() == 1


@MODES
def test_two_experiments_of_one_id_are_not_mixed_up(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    Experiment(pytester, "one")
    two = Experiment(pytester, "two", id="one")
    result = run_pytest(pytester, "experiments", *mode, "--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*two/experiment.yaml: id: 'one' is also the id of*one*", "*next:*"]
    )
    assert not two.executions


def test_all_that_is_wrong_in_a_file_is_said_at_once(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    toy.configure(run=3, runs="many", jugdes=[])
    toy.run().stdout.fnmatch_lines(["*experiment.yaml: *", *["*also *"] * 2, "*next: *"])


def test_a_broken_mcp_definition_is_said_with_its_file(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, tiers={"T0": {"00-mcp": {"mcp_servers": ["git"]}}})
    toy.write("tiers/mcp/git.json", "{")
    result = toy.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*mcp/git.json: not valid JSON*", "*next: correct the JSON*"])
    result.stdout.no_fnmatch_line("*Traceback*")


MARKED = {
    "nothing there": (
        '@pytest.mark.scylla("nowhere.yaml")\ndef test_it(run): ...',
        "nowhere.yaml: ",
    ),
    "no path": ("@pytest.mark.scylla\ndef test_it(run): ...", "takes one path"),
    "no text": ("@pytest.mark.scylla(3)\ndef test_it(run): ...", "takes one path"),
    "no run": ('@pytest.mark.scylla("{file}")\ndef test_it(): ...', "add the argument `run`"),
    "no marker": ("def test_it(run): ...", "nothing says which run"),
}
HOOKS = {
    "a list": ('def pytest_scylla_agents(): return ["a"]', "return a mapping of names"),
    "no agent": ('def pytest_scylla_agents(): return {"command": str}', "no `invocation`"),
    "no judge": ('def pytest_scylla_judges(): return {"rubric-checks": str}', "no `grade`"),
    "no steps": ('def pytest_scylla_pipeline(): return {"mine": ["make"]}', "lists of StepConfig"),
}


def test_mistakes_in_markers_hooks_and_sources_are_said_without_a_traceback(
    pytester: pytest.Pytester,
) -> None:
    toy = Experiment(pytester)
    for number, (text, _) in enumerate(MARKED.values()):
        code = text.replace("{file}", toy.file)
        pytester.makepyfile(**{f"test_{number}": f"import pytest\n\n{code}\n"})
    for number, (hook, _) in enumerate(HOOKS.values()):
        Experiment(pytester, f"x{number}", pipeline="mine").write("conftest.py", hook + "\n")
    source = {"repo": "files", "hash": "abc"}
    Experiment(pytester, "dated").write("task/test.yaml", {"id": "t", "source": source})
    said = run_pytest(pytester, ".", "--continue-on-collection-errors").stdout.str()
    for words in [step for _, step in (*MARKED.values(), *HOOKS.values())]:
        assert words in said
    assert "test.yaml: source.hash: " in said
    for trace in ("Traceback", "pytest_scylla/", "INTERNALERROR", "pydantic"):
        assert trace not in said
    assert toy.executions.total() == 1
