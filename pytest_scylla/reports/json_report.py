"""report.json at every level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..evaluation import is_close
from ..statistics import mean
from ..store import digest
from .panel import PanelFigures, Seat
from .spending import Spending
from .summary import KS, ExperimentSummary, Figures, RunSummary, SubtestSummary, TierSummary, link


def run_report(run: RunSummary) -> dict[str, Any]:
    """One run."""
    result = run.result
    report: dict[str, Any] = {
        "made_from": run.digest,
        "run_number": run.number,
        "score": result.judge_score if result else None,
        "grade": result.judge_grade if result else None,
        "passed": result.judge_passed if result else None,
        "implementation_rate": run.implementation_rate,
        "cost_usd": run.cost_usd,
        "agent_cost_usd": result.agent_cost_usd if result else None,
        "agent_list_cost_usd": result.agent_list_cost_usd if result else None,
        "list_difference": result.list_difference if result else None,
        "duration_seconds": result.duration_seconds if result else None,
        "token_stats": result.token_stats.model_dump() if result else None,
        "attempts": run.attempts,
        "counted_attempt": run.counts,
        "parent": "../report.json",
    }
    if run.failure is not None:
        report["error"] = {"kind": run.failure.kind, "message": run.failure.message}
    return report


def subtest_report(subtest: SubtestSummary, tier: str) -> dict[str, Any]:
    """One subtest."""
    figures = subtest.figures
    return {
        "made_from": subtest.digest,
        "subtest_id": subtest.id,
        "tier_id": tier,
        "summary": {
            **_summary(figures),
            "pass_at_k": _several(figures, figures.pass_at_k),
            "pass_hat_k": _several(figures, figures.pass_hat_k),
            "grade_distribution": figures.grades,
            "modal_grade": figures.modal_grade,
            "min_grade": _by_score(figures, lowest=True),
            "max_grade": _by_score(figures, lowest=False),
        },
        "token_stats": figures.tokens.model_dump(),
        "best": _best_run(subtest),
        "children": [
            {
                "run_number": run.number,
                "score": run.result.judge_score if run.result else None,
                "passed": run.result.judge_passed if run.result else None,
                "error": run.failure.kind if run.failure else None,
                "attempts": run.attempts,
                "report": f"./{link(run.path, subtest.path)}/report.json",
            }
            for run in subtest.runs
        ],
        "stale": [run.name for run in subtest.stale],
        "parent": "../report.json",
    }


def tier_report(tier: TierSummary) -> dict[str, Any]:
    """One tier."""
    best = tier.best
    return {
        "made_from": tier.digest,
        "tier": tier.id,
        "summary": {
            "total_subtests": len(tier.subtests),
            "best_subtest": best.id if best else None,
            "best_score": best.figures.median_score if best else None,
            "tiebreaker_needed": best_subtest(tier)["tiebreaker_needed"],
            **_summary(tier.figures),
        },
        "token_stats": tier.figures.tokens.model_dump(),
        "best": {
            "subtest": best.id,
            "score": best.figures.median_score,
            "report": f"./{link(best.path, tier.path)}/report.json",
        }
        if best
        else None,
        "children": [
            {
                "id": subtest.id,
                "score": subtest.figures.median_score,
                "pass_rate": subtest.figures.pass_rate,
                "cost": subtest.figures.cost,
                "errors": subtest.figures.errors,
                "selected": best is not None and subtest.id == best.id,
                "report": f"./{link(subtest.path, tier.path)}/report.json",
            }
            for subtest in tier.subtests
        ],
        "parent": f"{tier.above}/report.json",
    }


def judges(panel: PanelFigures) -> dict[str, Any]:
    """What the judges gave and cost, and how far they agree."""
    return {
        "slots": [_slot(seat) for seat in panel.seats],
        "alpha_scores": panel.alpha_scores(),
        "alpha_passes": panel.alpha_passes(),
        "pairs": [
            {
                "slots": list(pair.slots),
                "runs": pair.runs,
                "mean_difference": pair.mean_difference,
                "same_verdict": pair.same_verdict,
            }
            for pair in panel.pairs
        ],
        "saved": {"calls": panel.saved_calls, "usd": panel.saved_usd},
    }


def _slot(seat: Seat) -> dict[str, Any]:
    totals = seat.own_totals
    return {
        "judge_number": seat.number,
        "model": seat.models,
        "asked": len(seat.asked),
        "valid": len(seat.valid),
        "not_asked": seat.not_asked,
        "mean_score": seat.mean_score,
        "cost_usd": seat.cost_usd,
        "mean_cost_usd": seat.mean_cost_usd,
        "own_totals": {
            "given": len(totals),
            "off": len(seat.own_totals_off),
            "mean_difference": mean(totals),
            "max_difference": max(map(abs, totals), default=None),
        },
        "own_votes": {
            "given": len(seat.own_votes),
            "against_threshold": sum(not agrees for agrees in seat.own_votes),
        },
    }


def experiment_report(
    experiment: ExperimentSummary,
    money: Spending,
    panel: PanelFigures,
    decision: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole experiment; `decision`: how sure the choice of the best is, as statistics.json has
    it."""
    tier, subtest = experiment.cheapest or (None, None)
    return {
        "made_from": digest([experiment.digest, money.usd, money.unknown]),
        "experiment_id": experiment.id,
        "summary": {
            "total_tiers": len(experiment.tiers),
            "best_tier": tier.id if tier else None,
            "best_subtest": subtest.id if subtest else None,
            "frontier_cop": experiment.frontier,
            "spent_usd": money.usd,
            "executions_of_unknown_cost": money.unknown,
            "stale": experiment.stale,
            **_summary(experiment.figures),
        },
        "judges": judges(panel),
        "token_stats": experiment.figures.tokens.model_dump(),
        "best": {
            "tier": tier.id,
            "subtest": subtest.id,
            "report": f"./{link(tier.path, experiment.path)}/report.json",
            **{name: (decision or {}).get(name) for name in ("says", "decided", "how_sure")},
        }
        if tier and subtest
        else None,
        "children": [
            {
                "tier": tier.id,
                "best_subtest": tier.best.id if tier.best else None,
                "best_score": tier.best.figures.median_score if tier.best else None,
                "cost": tier.figures.cost,
                "report": f"./{link(tier.path, experiment.path)}/report.json",
            }
            for tier in experiment.tiers
        ],
        **({"parent": "../report.json"} if experiment.agent_name else {}),
    }


def agents_report(agents: Sequence[ExperimentSummary]) -> dict[str, Any]:
    """The agents of an experiment side by side: all their runs, and tier by tier."""
    return {
        "made_from": digest([one.digest for one in agents]),
        "experiment_id": agents[0].id.partition("/")[0],
        "children": [
            {
                "agent": one.agent_name,
                "summary": _summary(one.figures),
                "tiers": {tier.id: _summary(tier.figures) for tier in one.tiers},
                "best_tier": one.cheapest[0].id if one.cheapest else None,
                "report": f"./{one.agent_name}/report.json",
            }
            for one in agents
        ],
    }


def tier_result(tier: TierSummary) -> dict[str, Any]:
    """result.json of a tier."""
    return {
        "made_from": tier.digest,
        "tier_id": tier.id,
        "subtest_results": {
            subtest.id: {
                "subtest_id": subtest.id,
                "tier_id": tier.id,
                **_summary(subtest.figures),
                "token_stats": subtest.figures.tokens.model_dump(),
                "selected_as_best": tier.best is not None and subtest.id == tier.best.id,
            }
            for subtest in tier.subtests
        },
        "best_subtest": tier.best.id if tier.best else None,
        "best_subtest_score": tier.best.figures.median_score if tier.best else None,
        "total_cost": tier.figures.cost,
        "total_duration": tier.figures.duration,
        "cost_of_pass": tier.figures.cost_of_pass,
        "token_stats": tier.figures.tokens.model_dump(),
    }


def best_subtest(tier: TierSummary) -> dict[str, Any]:
    """best_subtest.json of a tier: which set-up the tiers that inherit take, and why."""
    ranked = sorted(
        (s for s in tier.subtests if s.figures.judged),
        key=lambda s: -(s.figures.median_score or 0.0),
    )
    scores = [subtest.figures.median_score or 0.0 for subtest in ranked]
    return {
        "made_from": tier.digest,
        "winning_subtest": tier.best.id if tier.best else None,
        "winning_score": tier.best.figures.median_score if tier.best else None,
        "votes": [
            {
                "subtest_id": subtest.id,
                "score": subtest.figures.median_score,
                "tokens": subtest.figures.tokens.total,
            }
            for subtest in ranked
        ],
        "margin": scores[0] - scores[1] if len(scores) > 1 else None,
        "tiebreaker_needed": len(scores) > 1 and is_close(scores[0], scores[1]),
    }


def _summary(figures: Figures) -> dict[str, Any]:
    interval = figures.interval
    return {
        "total_runs": len(figures.runs),
        "judged": figures.judged,
        "passed": figures.passed,
        "failed": figures.failed,
        "errors": figures.errors,
        "repeated": len(figures.repeated),
        "pass_rate": figures.pass_rate,
        "pass_rate_interval": list(interval) if interval else None,
        "mean_score": figures.mean_score,
        "median_score": figures.median_score,
        "std_dev": figures.deviation,
        "consistency": figures.consistency,
        "implementation_rate": mean(figures.implementation_rates),
        "total_cost": figures.cost,
        "mean_cost": figures.mean_cost,
        "cost_of_pass": figures.cost_of_pass,
        "list_differences": len(figures.list_differences),
        "total_duration": figures.duration,
        "mean_duration": mean(figures.durations),
    }


def _several(figures: Figures, estimate: Callable[[int], float | None]) -> dict[str, float | None]:
    """For as many runs at once as there are."""
    return {str(k): estimate(k) for k in KS if k <= figures.judged}


def _by_score(figures: Figures, lowest: bool) -> str | None:
    if not figures.results:
        return None
    pick = min if lowest else max
    return pick(figures.results, key=lambda result: result.judge_score).judge_grade


def _best_run(subtest: SubtestSummary) -> dict[str, Any] | None:
    judged = [run for run in subtest.runs if run.result is not None]
    if not judged:
        return None
    best = max(judged, key=lambda run: (run.result.judge_score if run.result else 0.0, -run.number))
    assert best.result is not None
    return {
        "run_number": best.number,
        "score": best.result.judge_score,
        "report": f"./{link(best.path, subtest.path)}/report.json",
    }
