"""A paid model without a price is refused before anything is spent."""

import pytest
import yaml

from tests.support.experiments import Experiment, read

PAID = {"adapter": "command", "command": ["sh", "{experiment}/agent.sh"], "model": "ours-1"}


@pytest.fixture
def toy(pytester: pytest.Pytester) -> Experiment:
    return Experiment(pytester, agent="echo done > answer.txt", runs=2)


def test_an_unknown_model_is_one_error_of_its_file_unless_a_price_is_given(
    toy: Experiment,
) -> None:
    toy.configure(agent=PAID)
    result = toy.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*experiment.yaml: agent.model: there is no price for the model 'ours-1'*",
            "*next: give its price under `prices` in experiment.yaml*scylla_prices*",
        ]
    )
    assert not toy.executions
    prices = {"dated": "2026-11-01", "models": {"ours-1": {"input": 1, "output": 2}}}
    toy.pytester.makefile(".ini", pytest="[pytest]\nscylla_prices = prices.yaml\n")
    (toy.pytester.path / "prices.yaml").write_text(yaml.safe_dump(prices))
    toy.run("-p", "xdist", "-n", "2").assert_outcomes(passed=2)


def test_an_experiment_may_give_the_price_itself(toy: Experiment) -> None:
    toy.configure(agent=PAID, prices={"ours-1": {"input": 1, "output": 2, "cache": 3}})
    toy.run().stdout.fnmatch_lines("*experiment.yaml: prices.ours-1.cache: unknown key*")
    toy.configure(prices={"ours-1": {"input": 1, "output": 2}})
    toy.run("--collect-only", "-q").stdout.fnmatch_lines("*::run_02")


def test_a_model_that_costs_nothing_needs_no_price(toy: Experiment) -> None:
    toy.configure(agent={**PAID, "paid": False})
    toy.run("--collect-only", "-q").stdout.fnmatch_lines("*::run_02")


def test_the_agents_own_figure_and_the_price_lists_are_both_kept_and_compared(
    toy: Experiment,
) -> None:
    usage = '{"input_tokens": 1000, "output_tokens": 500}'
    toy.write_agent(f"""echo done > answer.txt
case $run in *run_01) cost=', "total_cost_usd": 0.0021';; esac
echo '{{"result": "ok", "usage": {usage}'"$cost}}"
""")
    toy.configure(agent=PAID, prices={"ours-1": {"input": 1, "output": 2}})
    toy.run().assert_outcomes(passed=2)
    for run, own, apart in (("run_01", 0.0021, 0.002 / 0.0021 - 1), ("run_02", 0.002, None)):
        place = toy.path(f"T0/00-empty/{run}")
        agent = read(place / "agent" / "result.json")
        assert (agent["cost_usd"], agent["list_cost_usd"]) == (own, pytest.approx(0.002))
        report = read(place / "report.json")["list_difference"]
        assert report == (None if apart is None else pytest.approx(apart))
    said = (toy.results / "report.md").read_text()
    assert "In 1 of 2 runs the agent's own figure" in said
    assert "together $0.0021, by the list $0.0020" in said
    used = read(toy.results / "config" / "experiment.json")["prices"]
    assert used["usd_per_million_tokens"] == {"ours-1": {"input": 1, "output": 2}}
