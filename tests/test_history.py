"""What was executed, what it cost, and what that says of what is to come."""

import contextlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.history import Execution, History, assumed_cost, executions
from pytest_scylla.prices import built_in_prices
from pytest_scylla.reports.spending import spent
from pytest_scylla.store import RunDir, write_json
from tests.support.claude_code import init, message, model_usage, result, stream
from tests.support.examples import law_on_disk, write_files

MODEL = "claude-haiku-4-5"


def agent(place: Path, usd: float | None, **more: Any) -> Path:
    """A run directory whose agent has ended."""
    stats = {"input_tokens": 10, "output_tokens": 5, "cache_creation_1h_tokens": 3}
    told = {"exit_code": 0, "cost_usd": usd, "token_stats": stats, "duration_seconds": 2.0}
    write_json(place / "agent" / "result.json", {**told, **more})
    return place


def judgment(slot: Path, usd: float | None, **more: Any) -> None:
    write_json(slot / "judgment.json", {"score": 1.0, "cost_usd": usd, **more})


def cut_off(place: Path, output: str) -> None:
    write_files(place / "agent", {"stdout.log": output, "started.json": "{}"})


def one(results: Path) -> Execution:
    (found,) = executions(results)
    return found


def test_runs_attempts_and_judge_slots_that_were_set_aside_are_all_counted(tmp_path: Path) -> None:
    run = agent(tmp_path / "T0/00-a/run_01", 1.0)
    judgment(run / "judge/judge_01", 0.5)
    judgment(run / "judge/attempts/judge_01_attempt_01", 0.25)
    agent(run / "attempts/.moving", 16.0)  # a kill met it on its way
    earlier = agent(run / "attempts/attempt_01", 2.0)
    judgment(earlier / "judge/judge_01", 0.125)
    judgment(earlier / "judge/attempts/judge_02_attempt_01", None)
    agent(tmp_path / "T1/01-b/run_10", 4.0)
    money = spent(tmp_path)
    assert (money.usd, money.unknown) == (23.875, 1)
    stages = sorted((found.tier, found.subtest, found.stage) for found in executions(tmp_path))
    assert stages.count(("T0", "00-a", "judge_01")) == 3
    assert ("T1", "01-b", "agent") in stages


DEEDS = st.tuples(st.sampled_from(["run", "judge", "killed"]), st.integers(1, 2), st.integers(0, 9))


@law_on_disk
@given(st.lists(DEEDS, max_size=8))
def test_whatever_is_run_judged_and_set_aside_is_counted_once(
    deeds: list[tuple[str, int, int]],
) -> None:
    with TemporaryDirectory() as folder:
        run, paid = RunDir(Path(folder) / "T0/00-a/run_01"), 0
        for number, (deed, slot, usd) in enumerate(deeds):
            if deed == "killed":
                with contextlib.suppress(KeyboardInterrupt):
                    run.set_aside(_killed)
            elif deed == "run":
                run.set_aside()
                paid += usd
                agent(run.path, float(usd))
            else:
                if run.moving.is_dir():  # the next session goes on with that first
                    run.set_aside()
                paid += usd
                _aside(run.judge_slot(slot), number)
                judgment(run.judge_slot(slot), float(usd))
            assert spent(Path(folder)).usd == paid


def _killed(here: Path, place: Path) -> None:
    raise KeyboardInterrupt


def _aside(slot: Path, number: int) -> None:
    place = slot.parent / "attempts" / f"{slot.name}_attempt_{number:02d}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(slot, place)


def test_a_verdict_says_it_all_and_the_large_file_is_not_read(tmp_path: Path) -> None:
    run = agent(tmp_path / "T0/00-a/run_01", 1.0)
    told = {"agent_cost_usd": 0.5, "judge_score": 1.0, "agent_duration_seconds": 7.0}
    write_json(run / "run_result.json", {**told, "token_stats": {"cache_read_tokens": 9}})
    (run / "agent/result.json").unlink()
    found = one(tmp_path)
    assert (found.usd, found.seconds, found.tokens, found.whole) == (0.5, 7.0, 9, True)


def test_of_a_stream_that_was_cut_its_messages_are_priced_once(tmp_path: Path) -> None:
    def said(text: str, id: str = "msg_1") -> Any:
        return message(
            text, id=id, input_tokens=1000, output_tokens=200, cache_read_input_tokens=5000
        )

    blocks = [said("One."), said("Two."), said("Three.", "msg_2")]
    cut_off(tmp_path / "T0/00-a/run_01", stream(init(), *blocks) + '{"type": "assis')
    usd = 2 * (1000 * 1 + 200 * 5 + 5000 * 0.1) / 1e6
    found = one(tmp_path)
    assert found.usd == pytest.approx(usd)
    assert not found.whole
    assert str(spent(tmp_path)) == f"${usd:.4f} (1 cut off: as far as their logs show)"


def test_of_an_opencode_that_was_cut_off_the_steps_that_ended_are_priced(tmp_path: Path) -> None:
    used = {"input": 1000, "output": 150, "reasoning": 50, "cache": {"write": 0, "read": 5000}}
    step = {"type": "step_finish", "part": {"reason": "tool-calls", "tokens": used, "cost": 0}}
    cut_off(tmp_path / "T0/00-a/run_01", stream({"type": "step_start"}, step, step))
    assert one(tmp_path).usd is None
    agent = {"adapter": "opencode", "model": f"anthropic/{MODEL}"}
    config = {"plugin_version": "1", "tiers_to_run": ["T0"], "settings": {"agent": agent}}
    write_json(tmp_path / "config/experiment.json", config)
    assert one(tmp_path).usd == pytest.approx(2 * (1000 * 1 + 200 * 5 + 5000 * 0.1) / 1e6)


def test_a_program_that_was_ended_after_its_result_says_its_cost_itself(tmp_path: Path) -> None:
    usage = {MODEL: model_usage(100, 50)}
    cut_off(tmp_path / "T0/00-a/run_01", stream(init(), result(modelUsage=usage)))
    assert one(tmp_path).usd == 0.001


def test_the_prices_of_the_experiment_hold_for_its_logs(tmp_path: Path) -> None:
    said = message("One.", input_tokens=1_000_000, output_tokens=100)
    said["message"]["model"] = "ours-1"
    cut_off(tmp_path / "T0/00-a/run_01", stream(init(), said))
    assert one(tmp_path).usd is None
    prices = {
        "dated": "2026-11-01",
        "usd_per_million_tokens": {"ours-1": {"input": 3, "output": 0}},
    }
    config = {"plugin_version": "1", "tiers_to_run": ["T0"], "prices": prices}
    write_json(tmp_path / "config/experiment.json", config)
    assert one(tmp_path).usd == pytest.approx(3.0)


def test_an_error_is_paid_for_and_is_not_called_cut_off(tmp_path: Path) -> None:
    agent(tmp_path / "T0/00-a/run_01", 0.5, stop_reason="crash")
    assert str(spent(tmp_path)) == "$0.5000"
    slot = tmp_path / "T0/00-a/run_01/judge/judge_01"
    usage = {MODEL: model_usage(100, 50)}
    write_files(slot, {"prompt.md": "x", "stdout_1.log": stream(init(), result(modelUsage=usage))})
    assert str(spent(tmp_path)) == "$0.5010 (1 cut off: as far as their logs show)"


def test_what_nobody_knows_is_counted_and_what_is_free_is_not(tmp_path: Path) -> None:
    agent(tmp_path / "T0/00-a/run_01", None)
    cut_off(tmp_path / "T0/00-a/run_02", "it prints prose\n")
    (tmp_path / "T0/00-a/run_03/agent").mkdir(parents=True)  # it never began
    write_files(tmp_path / "T0/00-a/run_01/judge/judge_01", {"prompt.md": "asked, then killed"})
    write_files(tmp_path / "T0/00-a/run_01/judge/judge_02", {"MODEL.md": "nobody was asked"})
    assert (spent(tmp_path).usd, spent(tmp_path).unknown) == (0.0, 3)
    free = {"plugin_version": "1", "settings": {"agent": {"paid": False}}, "tiers_to_run": ["T0"]}
    write_json(tmp_path / "config/experiment.json", free)
    assert spent(tmp_path).unknown == 1, "the judge's is not known all the same"


@pytest.mark.parametrize("content", ["", "[]", '{"cost_usd": "x"}', '{"token_stats": 3}', "\x00"])
def test_broken_files_are_no_reason_to_stop(tmp_path: Path, content: str) -> None:
    write_files(tmp_path / "T0/00-a/run_01", {"agent/result.json": content, "run_result.json": "{"})
    write_files(tmp_path / "T0/00-a/run_01/judge/judge_01", {"judgment.json": content})
    write_files(tmp_path, {"config/experiment.json": '{"prices": 3, "settings": {"prices": [1]}}'})
    assert spent(tmp_path).usd == 0.0


def test_the_nearest_executions_are_the_sample_and_those_that_went_wrong_are_not(
    tmp_path: Path,
) -> None:
    agent(tmp_path / "T0/00-a/run_01", 1.0)
    agent(tmp_path / "T0/01-b/run_01", 3.0)
    agent(tmp_path / "T1/02-c/run_01", 5.0)
    agent(tmp_path / "T0/00-a/run_02", 0.0, stop_reason="rate_limit")
    agent(tmp_path / "T0/00-a/run_03", 9.0, stop_reason="time_limit")
    cut_off(tmp_path / "T0/00-a/run_04", stream(init(), message()))
    history = History(executions(tmp_path))

    def sample(tier: str, subtest: str) -> tuple[str, list[float]]:
        found = history.sample(tier, subtest, "agent")
        assert found
        return found.where, sorted(found.usd)

    assert sample("T0", "00-a") == ("subtest", [1.0, 9.0])
    assert sample("T0", "99-new") == ("tier", [1.0, 3.0, 9.0])
    assert sample("T6", "99-new") == ("experiment", [1.0, 3.0, 5.0, 9.0])
    assert history.sample("T0", "00-a", "judge_01") is None


def test_without_history_the_tasks_limit_or_the_price_list_says_what_to_expect() -> None:
    prices = built_in_prices()
    listed = assumed_cost("agent", MODEL, prices, None)
    assert listed == pytest.approx((20 * 1 + 8 * 5 + 40 * 1.25 + 400 * 0.1) / 1000)
    assert assumed_cost("agent", MODEL, prices, 7.0) == 7.0
    assert assumed_cost("judge_01", MODEL, prices, 7.0) == pytest.approx(0.02)
    assert assumed_cost("judge_01", None, prices, 7.0) == 7.0
    assert assumed_cost("agent", "no-such-model", prices, None) == 1.0


def test_a_stage_takes_what_its_timing_says_and_is_of_the_session_in_which_it_ended(
    tmp_path: Path,
) -> None:
    run = agent(tmp_path / "T0/00-a/run_01", 1.0)
    assert one(tmp_path).took == 2.0, "as an earlier version has stored it"
    write_json(run / "agent/timing.json", {"agent_duration_seconds": 2.0, "stage_seconds": 3.5})
    write_json(run / "pipeline.json", {"steps": [{"duration_seconds": 1.0}, {"name": "old"}]})
    assert (one(tmp_path).took, one(tmp_path).pipeline_took) == (3.5, 1.0)
    write_json(run / "pipeline.json", {"steps": [], "duration_seconds": 4.0})
    assert one(tmp_path).pipeline_took == 4.0
    ended = (run / "agent/timing.json").stat().st_mtime
    write_json(run / "agent/result.json", {"cost_usd": 1.0})  # made anew from its logs
    assert one(tmp_path).is_since(ended)
    assert not one(tmp_path).is_since(ended + 1e-3)


def test_a_turn_at_which_nobody_was_asked_costs_nothing_and_is_no_example(tmp_path: Path) -> None:
    run = agent(tmp_path / "T0/00-a/run_01", 1.0)
    judgment(run / "judge/judge_03", 0.0, asked=False, is_valid=False)
    found = History(executions(tmp_path))
    turns = found.turns("T0", "00-a", "judge_03")
    assert turns
    assert (turns.usd, turns.seconds) == ((0.0,), (0.0,))
    assert found.sample("T0", "00-a", "judge_03") is None
    assert (spent(tmp_path).usd, spent(tmp_path).unknown) == (1.0, 0)


def test_what_a_judge_cost_is_known_of_its_model_not_of_its_slot() -> None:
    def judgment(stage: str, model: str, usd: float) -> Execution:
        return Execution("T0", "a", stage, f"{stage}-{model}", usd, model=model)

    found = [judgment("judge_01", "rubric-checks", 0.0), judgment("judge_02", "big", 0.25)]
    moved = History(found, ["big"])
    sample = moved.sample("T0", "a", "judge_01")
    assert sample is not None
    assert [*sample.usd] == [0.25]
    assert History(found, ["small"]).sample("T0", "a", "judge_01") is None
    twice = History(found, ["big", "big"])
    for history, slot in ((twice, "judge_01"), (twice, "judge_02"), (History(found), "judge_02")):
        known = history.sample("T0", "a", slot)
        assert known is not None
        assert [*known.usd] == [0.25]
