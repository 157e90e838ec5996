"""The quickstart's agent by itself: what it achieves follows from what its workspace holds."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"
TASK = EXPERIMENTS / "quickstart" / "task"
TIERS = EXPERIMENTS / "tiers"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TASK / "library", tmp_path / "workspace"))


@pytest.fixture
def run_agent(tmp_path: Path, workspace: Path) -> Run:
    """Run a copy of the agent that has nothing but the workspace; return its result."""
    agent = shutil.copy(EXPERIMENTS / "quickstart" / "agent.py", tmp_path / "agent.py")

    def run(prompt: str = (TASK / "prompt.md").read_text(encoding="utf-8")) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, agent],
            cwd=workspace,
            env={
                name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"
            },
            input=prompt,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        [line] = done.stdout.splitlines()
        result: dict[str, Any] = json.loads(line)
        return result

    return run


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def give_tools(workspace: Path, *names: str) -> None:
    put(workspace / ".claude/settings.json", json.dumps({"permissions": {"allow": names}}))


def give_block(workspace: Path, name: str) -> None:
    [block] = TIERS.glob(f"blocks/{name}-*.md")
    shutil.copy(block, workspace / "CLAUDE.md")


def give_skill(workspace: Path, name: str) -> None:
    [skill] = TIERS.glob(f"skills/*/{name}")
    shutil.copytree(skill, workspace / ".claude/skills" / name)


def give_helpers(workspace: Path, *names: str) -> None:
    for name in names:
        [helper] = TIERS.glob(f"agents/L*/{name}.md")
        put(workspace / ".claude/agents" / helper.name, helper.read_text(encoding="utf-8"))


def changed(workspace: Path) -> set[str]:
    """What the agent changed of the library, or added to it."""
    names = {
        path.relative_to(workspace).as_posix() for path in workspace.rglob("*") if path.is_file()
    }
    own = {name for name in names if not name.startswith((".", "CLAUDE.md"))}
    library = {
        path.relative_to(TASK / "library").as_posix()
        for path in (TASK / "library").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert library <= own, "the agent removed a file"
    return {
        name
        for name in own
        if name not in library
        or (workspace / name).read_bytes() != (TASK / "library" / name).read_bytes()
    }


def value_of(workspace: Path, expression: str) -> Any:
    """What the package in the workspace gives, or the name of what it raises."""
    code = f"import intervals, json\ntry: value = intervals.{expression}\n"
    code += "except Exception as error: value = type(error).__name__\nprint(json.dumps(value))"
    command = [sys.executable, "-B", "-c", code]
    return json.loads(
        subprocess.run(command, cwd=workspace, capture_output=True, check=True).stdout
    )


TOUCHING = "merge([(540, 600), (600, 660)])"
NESTED = "merge([(540, 720), (560, 580)])"
LOAD = "load([(540, 600)], (540, 660))"


def test_with_an_empty_tier_it_mends_what_was_reported_and_nothing_else(
    run_agent: Run, workspace: Path
) -> None:
    assert value_of(workspace, TOUCHING) == [[540, 600], [600, 660]]
    run_agent()
    assert changed(workspace) == {"intervals/merging.py"}
    assert value_of(workspace, TOUCHING) == [[540, 660]]
    assert value_of(workspace, NESTED) == [[540, 580]]
    assert value_of(workspace, LOAD) == "AttributeError"


def test_without_an_example_in_the_prompt_it_changes_nothing(
    run_agent: Run, workspace: Path
) -> None:
    assert "changed nothing" in run_agent("Please mend the package.\n")["result"]
    assert changed(workspace) == set()


def test_a_report_that_does_not_hold_changes_nothing(run_agent: Run, workspace: Path) -> None:
    run_agent(">>> merge([(1, 3), (2, 4)])\n[(1, 2)]  # expected [(1, 4)]\n")
    assert changed(workspace) == set()


@pytest.mark.parametrize("value", ["what the README says", "[(540, 660"])
def test_an_expectation_that_is_no_value_changes_nothing(
    run_agent: Run, workspace: Path, value: str
) -> None:
    run_agent(f">>> {TOUCHING}\n[]  # expected {value}\n")
    assert changed(workspace) == set()


def test_the_result_has_the_shape_of_claude_codes(run_agent: Run) -> None:
    result = run_agent()
    assert (result["type"], result["subtype"], result["is_error"]) == ("result", "success", False)
    assert "intervals/merging.py" in result["result"]
    assert result["num_turns"] == 2
    usage = result["usage"]
    assert usage["input_tokens"] > 100
    assert usage["output_tokens"] > 0
    assert usage["cache_creation_input_tokens"] == usage["cache_read_input_tokens"] == 0
    cost = usage["input_tokens"] * 0.00001 + usage["output_tokens"] * 0.00005
    assert result["total_cost_usd"] == pytest.approx(cost)


def test_it_does_the_same_every_time_and_leaves_no_caches(
    run_agent: Run, workspace: Path, tmp_path: Path
) -> None:
    before = shutil.copytree(workspace, tmp_path / "before")
    give_tools(workspace, "Read", "Edit", "Bash")
    first = run_agent()
    source = (workspace / "intervals/merging.py").read_bytes()
    shutil.copytree(before, workspace, dirs_exist_ok=True)
    assert run_agent() == first
    assert (workspace / "intervals/merging.py").read_bytes() == source
    assert not list(workspace.rglob("__pycache__"))


def test_what_the_package_prints_does_not_reach_the_result(run_agent: Run, workspace: Path) -> None:
    with (workspace / "intervals/clock.py").open("a", encoding="utf-8") as module:
        module.write('\n\nprint("hello")\n')
    give_tools(workspace, "Read", "Edit", "Bash")
    assert "hello" not in run_agent()["result"]


def test_with_tools_for_reading_only_it_edits_nothing(run_agent: Run, workspace: Path) -> None:
    give_tools(workspace, "Read", "Glob", "Grep", "Skill", "Task")
    give_block(workspace, "B02")
    give_skill(workspace, "boundary-cases")
    give_helpers(workspace, "test-specialist")
    run_agent()
    assert changed(workspace) == set()


def test_a_rule_in_claude_md_is_followed(run_agent: Run, workspace: Path) -> None:
    give_block(workspace, "B02")
    run_agent()
    assert "sorted(intervals)" in (workspace / "intervals/merging.py").read_text(encoding="utf-8")


def test_a_skill_mends_what_the_report_does_not_mention(run_agent: Run, workspace: Path) -> None:
    give_skill(workspace, "boundary-cases")
    run_agent()
    assert value_of(workspace, NESTED) == [[540, 720]]
    assert value_of(workspace, TOUCHING) == [[540, 660]]


def test_a_skill_is_no_use_without_the_tool_for_it(run_agent: Run, workspace: Path) -> None:
    give_skill(workspace, "boundary-cases")
    give_tools(workspace, "Read", "Edit")
    run_agent()
    assert value_of(workspace, NESTED) == [[540, 580]]


def test_another_skill_refuses_bad_input(run_agent: Run, workspace: Path) -> None:
    give_skill(workspace, "input-validation")
    run_agent()
    assert value_of(workspace, "merge([(600, 540)])") == "ValueError"


def test_a_recipe_whose_lines_are_not_there_changes_nothing(
    run_agent: Run, workspace: Path
) -> None:
    put(workspace / "CLAUDE.md", "```recipe */*.py\n-<x> = frobnicate(<x>)\n+<x> = 1\n```\n")
    run_agent("No example.\n")
    assert changed(workspace) == set()


def test_a_recipe_keeps_indentation_and_names(run_agent: Run, workspace: Path) -> None:
    put(
        workspace / "pkg/one.py",
        "def f(a):\n    if a:\n        a.sort()\n        b.sort()\n        c = a\n",
    )
    recipe = "-<x>.sort()\n <y>.sort()\n-<z> = <x>\n+if <y>:\n+    <z> = sorted(<x>)\n"
    put(workspace / "CLAUDE.md", f"```recipe pkg/*.py\n{recipe}```\n")
    run_agent("No example.\n")
    assert (workspace / "pkg/one.py").read_text(encoding="utf-8") == (
        "def f(a):\n    if a:\n        b.sort()\n        if b:\n            c = sorted(a)\n"
    )


@pytest.mark.parametrize(("tools", "made"), [(["Write"], {"notes.md"}), (["Edit"], set())])
def test_a_new_file_needs_the_tool_write(
    run_agent: Run, workspace: Path, tools: list[str], made: set[str]
) -> None:
    put(workspace / "CLAUDE.md", "```recipe notes.md\n+One\n+\n+Two\n```\n")
    give_tools(workspace, *tools)
    run_agent("No example.\n")
    assert changed(workspace) == made
    assert not made or (workspace / "notes.md").read_text(encoding="utf-8") == "One\n\nTwo\n"


def test_with_a_shell_it_runs_the_tests_and_mends_what_they_show(
    run_agent: Run, workspace: Path
) -> None:
    give_tools(workspace, "Read", "Edit", "Bash")
    result = run_agent()["result"]
    assert "test_a_fully_booked_morning_has_no_gaps failed: AttributeError" in result
    assert result.endswith("they pass.")
    assert value_of(workspace, LOAD) == 50


def test_told_to_run_the_tests_it_does(run_agent: Run, workspace: Path) -> None:
    give_block(workspace, "B03")
    run_agent()
    assert value_of(workspace, LOAD) == 50


def test_told_to_run_the_tests_without_a_shell_it_cannot(run_agent: Run, workspace: Path) -> None:
    give_block(workspace, "B03")
    give_tools(workspace, "Read", "Edit")
    assert "ran the tests" not in run_agent()["result"]
    assert value_of(workspace, LOAD) == "AttributeError"


def test_tests_that_cannot_be_loaded_are_reported(run_agent: Run, workspace: Path) -> None:
    put(workspace / "tests/test_broken.py", "import nothing_of_this_name\n")
    give_tools(workspace, "Read", "Edit", "Bash")
    assert "test_broken failed: ModuleNotFoundError" in run_agent()["result"]


def test_a_sub_agent_does_its_part(run_agent: Run, workspace: Path) -> None:
    give_helpers(workspace, "test-specialist")
    run_agent()
    assert changed(workspace) == {"intervals/merging.py", "tests/test_boundaries.py"}


def test_a_sub_agent_is_not_asked_without_the_tool_for_it(run_agent: Run, workspace: Path) -> None:
    give_helpers(workspace, "test-specialist")
    give_tools(workspace, "Read", "Edit", "Write")
    run_agent()
    assert changed(workspace) == {"intervals/merging.py"}


def test_a_sub_agent_has_its_own_tools(run_agent: Run, workspace: Path) -> None:
    give_helpers(workspace, "test-specialist")
    path = workspace / ".claude/agents/test-specialist.md"
    put(path, path.read_text(encoding="utf-8").replace("Write, Edit, ", ""))
    run_agent()
    assert changed(workspace) == {"intervals/merging.py"}


def test_without_an_orchestrator_one_sub_agent_is_asked_and_with_one_all_are(
    run_agent: Run, workspace: Path
) -> None:
    own, tests, docs = "intervals/merging.py", "tests/test_boundaries.py", "README.md"
    give_helpers(workspace, "test-specialist", "docs-specialist")
    run_agent()
    assert changed(workspace) in ({own, tests}, {own, docs})
    give_helpers(workspace, "delivery-lead")
    run_agent()
    assert changed(workspace) == {own, tests, docs}


def test_orchestrators_that_delegate_in_a_circle_come_to_an_end(
    run_agent: Run, workspace: Path
) -> None:
    for name, others in (("lead", "a"), ("a", "b, nobody"), ("b", "a, lead")):
        text = f"---\nname: {name}\ndescription: x\ndelegates_to: [{others}]\n---\n"
        put(workspace / f".claude/agents/{name}.md", text)
    result = run_agent()["result"]
    assert [result.count(f"{name} changed nothing") for name in ("lead", "a", "b")] == [1, 1, 1]


def test_more_instructions_cost_more(run_agent: Run, workspace: Path) -> None:
    empty = run_agent()
    shutil.copytree(TASK / "library", workspace, dirs_exist_ok=True)
    give_block(workspace, "B05")
    told = run_agent()
    assert told["result"] == empty["result"]
    assert told["usage"]["input_tokens"] > empty["usage"]["input_tokens"]
    assert told["total_cost_usd"] > empty["total_cost_usd"]


def test_a_sub_agent_that_changes_nothing_costs_what_it_reads(
    run_agent: Run, workspace: Path
) -> None:
    alone = run_agent()
    shutil.copytree(TASK / "library", workspace, dirs_exist_ok=True)
    give_helpers(workspace, "junior-engineer")
    helped = run_agent()
    assert changed(workspace) == {"intervals/merging.py"}
    assert helped["usage"]["input_tokens"] > 1.9 * alone["usage"]["input_tokens"]
