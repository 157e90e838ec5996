"""An experiment with several agents: one more level of nodes, directories and reports."""

from __future__ import annotations

import html
from collections import Counter

import pytest

from pytest_scylla.reports.regression import find_regressions
from pytest_scylla.reports.table import read_table
from tests.support.experiments import (
    MODES,
    Experiment,
    check,
    claude_md,
    read,
    rubric,
    run_pytest,
)

TIERS = {
    "T0": {"00-empty": {}, "01-rules": claude_md("B01")},
    "T5": {"00-heir": {"inherit_best_from": ["T0"]}},
}
SCRIPT = """
case "$1 $run" in
  plain*T0/01*|keen*T0/00*) ;;
  *) echo "$1" > answer.txt ;;
esac
"""


def with_two_agents(pytester: pytest.Pytester) -> Experiment:
    """`plain` passes its empty subtest, `keen` the one with rules: their best differ."""
    toy = Experiment(pytester, agent=SCRIPT, tiers=TIERS, rubric=rubric(check()))
    del toy.settings["agent"]
    command = ["/bin/sh", "{experiment}/agent.sh"]
    common = {"adapter": "command", "paid": False}
    toy.configure(
        agents=[
            {**common, "name": "plain", "command": [*command, "plain"]},
            {**common, "name": "keen", "command": [*command, "keen"]},
        ]
    )
    return toy


@MODES
def test_every_agent_has_all_runs_and_its_own_best(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = with_two_agents(pytester)
    page = pytester.path / "page.html"
    html_options = ("-p", "html", "-p", "html_fixtures", "-p", "metadata", f"--html={page}")
    done = toy.run(*mode, *html_options)
    done.assert_outcomes(passed=4, failed=2)
    shown = html.unescape(page.read_text()).replace('\\"', '"')
    assert ">Agent</th>" in shown
    assert shown.count('col-agent">keen<') == 3
    for agent, best, other in (("plain", "00-empty", "01-rules"), ("keen", "01-rules", "00-empty")):
        tier = toy.path(f"{agent}/T0")
        assert read(tier / "best_subtest.json")["winning_subtest"] == best
        assert not read(tier / other / "run_01" / "run_result.json")["judge_passed"]
        heir = read(toy.path(f"{agent}/T5/00-heir/config_manifest.json"))
        assert heir["inherited_from"] == {"T0": best}
        assert read(toy.path(f"{agent}/config/experiment.json"))["experiment_id"] == f"toy/{agent}"
        said = toy.path(f"{agent}/T5/00-heir/run_01/workspace/answer.txt").read_text()
        assert said == f"{agent}\n"
    done.stdout.fnmatch_lines(["*scylla: toy/plain*", "*scylla: toy/keen*", "all agents: *"])
    assert toy.executions.total() == 6

    report = read(toy.path("report.json"))
    passed = {c["agent"]: c["tiers"]["T0"]["pass_rate"] for c in report["children"]}
    assert passed == {"keen": 0.5, "plain": 0.5}
    text = toy.path("report.md").read_text()
    assert "[keen](keen/report.md)" in text
    assert "[T0](plain/T0/report.md)" in text
    assert "[all agents](../report.md)" in toy.path("keen/report.md").read_text()
    overview = toy.path("report.html").read_text()
    assert '<a href="keen/report.html">keen</a>' in overview
    assert "Highest median score so far: <strong><bdi>keen/T0/01-rules</bdi></strong>" in overview
    assert '<a href="../report.html">all agents</a>' in toy.path("keen/report.html").read_text()
    before, after = (read_table(toy.path(agent)) for agent in ("plain", "keen"))
    compared = find_regressions(before, after)
    assert [(t.tier, t.difference.cells, t.passed) for t in compared.tiers] == [
        ("T0", 2, (1, 1)),
        ("T5", 1, (1, 1)),
    ]
    assert compared.agents == ("plain (command)", "keen (command)")

    again = toy.run("--lf", *mode)
    again.assert_outcomes(failed=2)
    assert toy.executions.total() == 8


def test_one_agent_is_selected_by_its_node_and_its_results_go_on(pytester: pytest.Pytester) -> None:
    toy = with_two_agents(pytester)
    node = f"{toy.file}::keen::T0::01-rules::run_01"
    run_pytest(pytester, node.removesuffix("::run_01"), "-v").stdout.fnmatch_lines(
        [f"{node} PASSED*"]
    )
    assert set(toy.executions) == {"keen/T0/01-rules/run_01"}
    assert toy.path("report.json").exists()
    done = toy.run("-k", "keen and T0", "-v")
    done.stdout.fnmatch_lines([f"{node} CACHED*"])
    assert toy.executions == Counter(["keen/T0/00-empty/run_01", "keen/T0/01-rules/run_01"])


def test_a_budget_counts_each_agent(pytester: pytest.Pytester) -> None:
    toy = with_two_agents(pytester)
    toy.run("--scylla-budget", "5", "-k", "T0").assert_outcomes(passed=2, failed=2)
    assert toy.executions.total() == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agent": {"adapter": "command", "command": "true"}}, "both `agent` and `agents`"),
        ({"agents": [{"adapter": "command", "command": "a"}] * 2}, "there are two agents"),
        ({"agents": [{"adapter": "nope"}]}, "agents.0.adapter: there is no adapter 'nope'"),
        ({"agents": [{"adapter": "command"}]}, "agents.0.command"),
        ({"agents": []}, "agent"),
    ],
)
def test_what_is_wrong_with_agents_is_said_with_its_key(
    pytester: pytest.Pytester, changes: dict[str, object], said: str
) -> None:
    toy = with_two_agents(pytester)
    toy.configure(**changes)
    done = toy.run("--collect-only")
    assert done.ret != 0
    assert said in done.stdout.str()


def test_an_experiment_that_gets_a_second_agent_begins_a_new_directory(
    pytester: pytest.Pytester,
) -> None:
    toy = with_two_agents(pytester)
    several = toy.settings.pop("agents")
    toy.configure(agent={k: v for k, v in several[0].items() if k != "name"})
    toy.run("-k", "00-empty")
    alone = toy.results
    del toy.settings["agent"]
    toy.configure(agents=several)
    toy.run("-k", "plain and 00-empty")
    assert toy.results != alone
    assert (toy.results / "plain" / "T0").is_dir()
    assert not (toy.results / "config").exists()


def test_an_agent_that_cannot_start_is_in_the_report_with_its_errors(
    pytester: pytest.Pytester,
) -> None:
    toy = with_two_agents(pytester)
    lost = {"adapter": "codex", "model": "m", "executable": "/no/such/codex"}
    toy.configure(agents=[toy.settings["agents"][0], lost], prices={"m": {"input": 1, "output": 1}})
    done = toy.run("-k", "00-empty", env={"OPENAI_API_KEY": "a-key-for-tests"})
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["*scylla: toy/codex*"])
    children = {
        c["agent"]: c["summary"]["errors"] for c in read(toy.path("report.json"))["children"]
    }
    assert children == {"codex": 1, "plain": 0}


def test_the_directory_of_all_agents_is_named_as_any_other(pytester: pytest.Pytester) -> None:
    toy = with_two_agents(pytester)
    toy.run("-k", "00-empty").assert_outcomes(passed=1, failed=1)
    mine = toy.results.rename(pytester.path / "mine")
    assert toy.executions.total() == 2

    again = toy.run("-k", "00-empty", "--scylla-results", "mine")
    again.assert_outcomes(passed=1, failed=1)
    assert toy.executions.total() == 2, "nothing is paid twice"
    assert {path.name for path in mine.iterdir() if path.is_dir()} == {"plain", "keen"}

    for lost in ("plain/T0/00-empty/run_01/report.json", "report.html"):
        (mine / lost).unlink()
    alone = run_pytest(pytester, "--scylla-results", "mine", "--scylla-rebuild")
    assert alone.ret == 0
    alone.stdout.fnmatch_lines(["*scylla rebuild: mine/plain*", "*scylla rebuild: mine/keen*"])
    assert (mine / "plain/T0/00-empty/run_01/report.json").exists()
    assert (mine / "report.html").exists()
    file = pytester.path / toy.file
    file.rename(pytester.path / "elsewhere.yaml")
    looked = run_pytest(pytester, "--scylla-results", "mine")
    looked.stdout.fnmatch_lines(["toy/keen T0 * 1 *", "*scylla: toy/keen*", "*scylla: toy/plain*"])
    (pytester.path / "elsewhere.yaml").rename(file)
    wrong = toy.run("--scylla-results", "mine/plain")
    wrong.stderr.fnmatch_lines(["*results of experiment 'toy/plain'*", "*name the directory that*"])
