"""What got worse between two sets of results, and why."""

from __future__ import annotations

import pytest

from pytest_scylla.errors import EXIT_NOT_COMPARED
from pytest_scylla.reports.regression import Regression, find_regressions, lines_of, verdict
from pytest_scylla.reports.table import Row


def rows(
    scores: list[float | None],
    tier: str = "T0",
    experiment: str = "toy",
    agent: str = "m",
    work: str | None = "",
) -> list[Row]:
    """Runs 1, 2, … of one subtest; None is an error. `work`: what the agents did, or None."""
    return [
        Row(
            experiment=experiment,
            agent_model=agent,
            tier=tier,
            subtest="00-empty",
            run_number=number,
            score=score,
            passed=None if score is None else score >= 0.6,
            error="crash" if score is None else None,
            agent_digest=None if work is None else f"{work}{number}",
        )
        for number, score in enumerate(scores, 1)
    ]


def only(found: Regression) -> tuple[str, str]:
    (tier,) = found.tiers
    return tier.standing, tier.said


def test_a_clear_loss_is_worse() -> None:
    found = find_regressions(rows([1.0] * 6), rows([0.2] * 6))
    assert only(found) == ("worse", "worse")
    assert found.worse
    assert found.tiers[0].p == pytest.approx(1 / 64)
    assert lines_of(found)[-1] == "T0: worse (p < 0.05, corrected for the number of tiers)"


def test_a_gain_and_no_change_are_no_loss() -> None:
    for after in ([1.0] * 6, [0.5] * 6):
        found = find_regressions(rows([0.5] * 6), rows(list(after)))
        assert only(found) == ("no worse", "no worse")
        assert verdict(found) == "no tier got worse"


def test_too_few_runs_say_how_many_more_would_decide() -> None:
    found = find_regressions(rows([1.0] * 3), rows([0.2] * 3))
    assert only(found) == ("undecided", "not enough runs to tell: 2 more runs would decide")
    assert not found.worse
    equal = find_regressions(rows([1.0]), rows([1.0]))
    assert only(equal) == ("undecided", "not enough runs to tell: 4 more runs would decide")


def test_a_loss_that_may_be_chance_is_undecided() -> None:
    found = find_regressions(rows([0.5] * 8), rows([0.1, 0.9, 0.2, 0.8, 0.1, 0.9, 0.5, 0.4]))
    standing, said = only(found)
    assert standing == "undecided"
    assert "more runs would decide" in said
    assert verdict(found) == "T0: not enough runs to tell"


def test_many_tiers_are_corrected_for() -> None:
    """p = 1/32 alone is below 0.05, and among three tiers it is not."""
    before, after = rows([1.0] * 5), rows([0.2] * 5)
    assert find_regressions(before, after).worse
    for tier in ("T1", "T2"):
        before += rows([0.5] * 5, tier)
        after += rows([0.5] * 5, tier)
    found = find_regressions(before, after)
    assert not found.worse
    assert found.tiers[0].p == pytest.approx(3 / 32)
    assert find_regressions(before, after, alpha=0.2).worse


def test_only_cells_of_both_count_and_the_others_are_counted() -> None:
    before = rows([1.0, 1.0, None, 0.9]) + rows([0.0] * 9, experiment="other")
    after = rows([1.0, None, 0.8, 0.9, 0.1]) + rows([0.0] * 2, "T3")
    found = find_regressions(before, after)
    assert [(tier.tier, tier.difference.cells) for tier in found.tiers] == [("T0", 2)]
    assert (sum(found.only_before.values()), found.unjudged) == (9, 2)
    assert found.only_after == {"toy/T0/00-empty": 1, "toy/T3/00-empty": 2}
    said = lines_of(found)
    assert "only before: other/T0/00-empty (9 runs)" in said
    assert "only now: toy/T0/00-empty (1 run), toy/T3/00-empty (2 runs)" in said
    assert found.exit_status == 0


def test_a_cell_of_another_experiment_is_another_cell() -> None:
    found = find_regressions(rows([1.0], experiment="a"), rows([0.0], experiment="b"))
    assert found.tiers == ()
    assert found.exit_status == EXIT_NOT_COMPARED
    assert verdict(found).startswith("nothing was compared: no run is judged in both")
    assert lines_of(found)[:3] == [
        "runs left out: 1 only before, 1 only now",
        "only before: a/T0/00-empty (1 run)",
        "only now: b/T0/00-empty (1 run)",
    ]


def test_of_many_unmatched_set_ups_the_first_are_named() -> None:
    before = [row for n in range(30) for row in rows([1.0], tier=f"T{n}")]
    (line,) = [one for one in lines_of(find_regressions(before, [])) if one[:12] == "only before:"]
    assert line.count("00-empty (1 run)") == 20
    assert line.endswith(", and 10 more")


def test_two_agents_are_compared_and_it_is_said() -> None:
    found = find_regressions(rows([1.0] * 5, agent="old"), rows([1.0] * 5, agent="new"))
    assert found.tiers[0].difference.cells == 5
    assert "the agents are not the same: old before, new now" in lines_of(found)
    both = rows([1.0], agent="old") + rows([0.5], agent="new")
    assert find_regressions(both, both).agents is None


def test_a_flipped_verdict_is_attributed() -> None:
    before = rows([1.0, 1.0, 1.0, 0.0, 1.0], work="x")
    after = rows([0.1, 1.0, None, 1.0, 0.9], work="x")
    after[3] = after[3].model_copy(update={"agent_digest": "something else"})
    flips = find_regressions(before, after).flips
    assert [(flip.after.run_number, flip.cause) for flip in flips] == [
        (1, "judge"),
        (3, "infrastructure"),
        (4, "agent"),
    ]
    assert str(flips[0]).endswith("run_01: passed → failed: the same work was judged differently")
    assert str(flips[1]).endswith("passed → error: infrastructure (crash)")
    (unknown,) = find_regressions(rows([1.0], work=None), rows([0.1])).flips
    assert unknown.cause == "unknown"


def test_a_run_that_has_not_come_to_its_end_has_not_flipped() -> None:
    after = [rows([None])[0].model_copy(update={"error": None})]
    assert find_regressions(rows([1.0]), after).flips == ()


def test_of_many_flips_the_first_are_shown() -> None:
    found = find_regressions(rows([1.0] * 30), rows([0.1] * 30))
    assert "flipped verdicts: 30" in lines_of(found)
    assert "  and 10 more" in lines_of(found)
