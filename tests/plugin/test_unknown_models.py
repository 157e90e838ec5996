"""A paid model without a price is refused before anything is spent."""

import pytest
import yaml

from tests.support.experiments import Experiment

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
