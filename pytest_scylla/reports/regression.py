"""An earlier set of results against a later one: what got worse, and why verdicts flipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..columns import in_columns, within
from ..errors import EXIT_NOT_COMPARED, EXIT_REGRESSION
from ..statistics import Unknown
from ..statistics.comparison import Difference, Pair, compare, fewest_units, more_runs
from ..statistics.inference import holm
from .comparison import Comparison
from .markdown_report import NONE, number, signed
from .table import Key, Row

Standing = Literal["worse", "undecided", "no worse"]
Cause = Literal["agent", "judge", "infrastructure", "unknown"]

CAUSES: dict[Cause, str] = {
    "agent": "the agent did something else",
    "judge": "the same work was judged differently",
    "infrastructure": "infrastructure",
    "unknown": "one side does not record what the agent did",
}
LONGEST = 20
"""Flipped verdicts, and set-ups of one side alone, that are shown one by one."""


@dataclass(frozen=True)
class Flip:
    """A cell whose verdict is another one now."""

    before: Row
    after: Row
    cause: Cause

    def __str__(self) -> str:
        row = self.after
        error = f" ({row.error})" if self.cause == "infrastructure" and row.error else ""
        place = f"{row.experiment}/{row.tier}/{row.subtest}/run_{row.run_number:02d}"
        return f"{place}: {_word(self.before)} → {_word(row)}: {CAUSES[self.cause]}{error}"


@dataclass(frozen=True)
class TierChange:
    """A tier in both sets."""

    tier: str
    passed: tuple[int, int]
    """Of the matched cells, before and after."""
    difference: Difference
    p: float
    """Corrected for the number of tiers."""
    standing: Standing
    more: int | Unknown
    """Units (runs or tasks) that would decide, where it is undecided."""

    @property
    def said(self) -> str:
        """The standing, in words."""
        if self.standing != "undecided":
            return self.standing
        if isinstance(self.more, Unknown):
            return f"not enough runs to tell: {self.more.reason}"
        if not self.more:
            return "not enough runs to tell"
        return f"not enough runs to tell: {self.more} more {self.difference.unit}s would decide"


@dataclass(frozen=True)
class Regression:
    """Two sets of results, cell by cell."""

    alpha: float
    tiers: tuple[TierChange, ...]
    flips: tuple[Flip, ...]
    only_before: Mapping[str, int]
    """Set-up -> how many of its cells the later set does not have."""
    only_after: Mapping[str, int]
    unjudged: int
    """Cells of both that lack a verdict on one side."""
    agents: tuple[str, str] | None = None
    """The agents, where cells were matched although they are not the same."""

    @property
    def worse(self) -> bool:
        """Some tier got worse, beyond chance."""
        return any(tier.standing == "worse" for tier in self.tiers)

    @property
    def exit_status(self) -> int:
        """0 where something was compared and no tier got worse."""
        if not self.tiers:
            return EXIT_NOT_COMPARED
        return EXIT_REGRESSION if self.worse else 0


def find_regressions(
    before: Sequence[Row], after: Sequence[Row], alpha: float = 0.05
) -> Regression:
    """Compare on the cells that both have; `alpha`: chance of any false alarm over all tiers."""
    agents = _other_agents(before, after)
    old, new = _by_key(before, agents is not None), _by_key(after, agents is not None)
    both = [(old[key], row) for key, row in new.items() if key in old]
    judged = [(b, a) for b, a in both if b.score is not None and a.score is not None]
    flips = tuple(Flip(b, a, cause) for b, a in both if (cause := _cause(b, a)) is not None)
    return Regression(
        alpha=alpha,
        tiers=tuple(_tiers(judged, alpha)),
        flips=flips,
        only_before=_set_ups([row for key, row in old.items() if key not in new]),
        only_after=_set_ups([row for key, row in new.items() if key not in old]),
        unjudged=len(both) - len(judged),
        agents=agents,
    )


def _set_ups(rows: Iterable[Row]) -> Mapping[str, int]:
    return Counter(f"{row.experiment}/{row.tier}/{row.subtest}" for row in rows)


def _other_agents(before: Sequence[Row], after: Sequence[Row]) -> tuple[str, str] | None:
    """Where each side has one agent, and not the same: the comparison is of the agents."""
    old, new = ({_agent(row) for row in rows} for rows in (before, after))
    if len(old) == len(new) == 1 and old != new:
        return old.pop(), new.pop()
    return None


def _agent(row: Row) -> str:
    """Its model; with its name, where it is one of several of an experiment."""
    name = row.experiment.partition("/")[2]
    return f"{name} ({row.agent_model})" if name else row.agent_model


def _by_key(rows: Sequence[Row], any_agent: bool) -> dict[Key, Row]:
    """`any_agent`: agents of one experiment (`<experiment>/<agent>`) have the same cells."""
    if not any_agent:
        return {row.key: row for row in rows}
    return {row.key._replace(experiment=task_of(row), agent_model=""): row for row in rows}


def task_of(row: Row) -> str:
    """The experiment, of whichever of its agents the run is: they have one task."""
    return row.experiment.partition("/")[0]


def _cause(before: Row, after: Row) -> Cause | None:
    """Why a verdict is another one; None where it is not."""
    if before.passed is None or before.passed == after.passed:
        return None
    if after.passed is None:
        return "infrastructure" if after.error else None
    if before.agent_digest is None or after.agent_digest is None:
        return "unknown"
    return "judge" if before.agent_digest == after.agent_digest else "agent"


def _tiers(pairs: Sequence[tuple[Row, Row]], alpha: float) -> Iterator[TierChange]:
    names = sorted({after.tier for _, after in pairs})
    groups = {name: [pair for pair in pairs if pair[1].tier == name] for name in names}
    found = {name: compare([_pair(*pair) for pair in group]) for name, group in groups.items()}
    known = {name: diff for name, diff in found.items() if not isinstance(diff, Unknown)}
    corrected = holm([difference.p for difference in known.values()])
    for (name, difference), p in zip(known.items(), corrected, strict=True):
        share = alpha / len(known)
        standing = _standing(difference, p, alpha, share)
        yield TierChange(
            tier=name,
            passed=(
                sum(bool(before.passed) for before, _ in groups[name]),
                sum(bool(after.passed) for _, after in groups[name]),
            ),
            difference=difference,
            p=p,
            standing=standing,
            more=more_runs(difference.units, share) if standing == "undecided" else 0,
        )


def _pair(before: Row, after: Row) -> Pair:
    assert before.score is not None
    assert after.score is not None
    return Pair(task_of(after), before.score, after.score)


def _standing(difference: Difference, p: float, alpha: float, share: float) -> Standing:
    if p < alpha:
        return "worse"
    too_few = len(difference.units) < fewest_units(share)
    return "undecided" if too_few or difference.change < 0 else "no worse"


def _word(row: Row) -> str:
    return "error" if row.passed is None else ("passed" if row.passed else "failed")


# -- in words ------------------------------------------------------------------------------------

HEAD = ["tier", "cells", "passed", "score before", "after", "change", "95 %", "p", "so"]


def table_of(regression: Regression) -> list[list[str]]:
    """Head and a line for each tier."""
    return [HEAD, *map(_line, regression.tiers)]


def _line(tier: TierChange) -> list[str]:
    found = tier.difference
    interval = NONE
    if not isinstance(found.interval, Unknown):
        low, high = found.interval
        interval = f"{signed(low)} to {signed(high)}"
    return [
        tier.tier,
        str(found.cells),
        f"{tier.passed[0]} → {tier.passed[1]}",
        number(found.before),
        number(found.after),
        signed(found.change),
        interval,
        number(tier.p),
        tier.said,
    ]


def notes(regression: Regression) -> list[str]:
    """What else is to be known of the comparison."""
    lines = []
    if regression.agents:
        before, after = regression.agents
        lines.append(f"the agents are not the same: {before or '?'} before, {after or '?'} now")
        if regression.tiers:
            lines.append("cells were matched by experiment, tier, subtest and run")
    sides = {"only before": regression.only_before, "only now": regression.only_after}
    counts = {where: sum(names.values()) for where, names in sides.items()}
    counts["without a verdict on one side"] = regression.unjudged
    left = [f"{count} {where}" for where, count in counts.items() if count]
    if left:
        lines.append(f"runs left out: {', '.join(left)}")
    lines += [f"{where}: {_listed(names)}" for where, names in sides.items() if names]
    if regression.flips:
        lines.append(f"flipped verdicts: {len(regression.flips)}")
        lines += [f"  {flip}" for flip in regression.flips[:LONGEST]]
    if len(regression.flips) > LONGEST:
        lines.append(f"  and {len(regression.flips) - LONGEST} more")
    return lines


def _listed(names: Mapping[str, int]) -> str:
    shown = [f"{name} ({count} run{'s' * (count > 1)})" for name, count in names.items()]
    more = [f"and {len(shown) - LONGEST} more"] if len(shown) > LONGEST else []
    return ", ".join([*shown[:LONGEST], *more])


NOTHING = (
    "nothing was compared: no run is judged in both (a run is matched by the names of experiment, "
    "tier and subtest, and by its number; next: name results of the same experiment, or rename)"
)


def verdict(regression: Regression) -> str:
    """The comparison in one line."""
    for standing, said in (
        ("worse", f"worse (p < {regression.alpha:g}, corrected for the number of tiers)"),
        ("undecided", "not enough runs to tell"),
    ):
        names = [tier.tier for tier in regression.tiers if tier.standing == standing]
        if names:
            return f"{', '.join(names)}: {said}"
    return "no tier got worse" if regression.tiers else NOTHING


SPARE = ("cells", "score before", "after")
"""Columns that a narrow terminal has no room for: the first goes first."""


def lines_of(regression: Regression, width: int | None = None) -> list[str]:
    """All of it, for a terminal of `width`; the last line is the verdict."""
    table = table_of(regression) if regression.tiers else []
    lines = in_columns(table, words=(0, -1), width=width, spare=SPARE) if table else []
    return [*lines, *within(notes(regression), width), verdict(regression)]


def comparison(regression: Regression, baseline: str, made_from: str) -> Comparison:
    """The record of it for the files of one experiment, which was read as `made_from`."""
    return Comparison(
        made_from=made_from,
        baseline=baseline,
        alpha=regression.alpha,
        worse=regression.worse,
        verdict=verdict(regression),
        table=table_of(regression),
        notes=notes(regression),
        tiers=[_figures(tier) for tier in regression.tiers],
        flips=[
            {
                **flip.after.key._asdict(),
                "before": _word(flip.before),
                "after": _word(flip.after),
                "cause": flip.cause,
            }
            for flip in regression.flips
        ],
    )


def _figures(tier: TierChange) -> dict[str, Any]:
    found = tier.difference
    interval = None if isinstance(found.interval, Unknown) else list(found.interval)
    return {
        "tier": tier.tier,
        "cells": found.cells,
        "tasks": found.tasks,
        "passed_before": tier.passed[0],
        "passed_after": tier.passed[1],
        "score_before": found.before,
        "score_after": found.after,
        "change": found.change,
        "interval": interval,
        "p_value": tier.p,
        "standing": tier.standing,
        "said": tier.said,
    }
