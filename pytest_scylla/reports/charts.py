"""The page's charts, as SVG: drawn by pygal, for the page and for papers.

They take their colours from where they stand (`currentColor`), so that they are readable on light
and on dark ground, and what they say by colour they say by place or by name too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..history import finished_at
from ..statistics import Unknown, mean
from .components import Component
from .markdown_report import number, percent, rate, signed
from .panel import PanelFigures
from .summary import ExperimentSummary, SubtestSummary

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#7f7f7f", "#e69f00")
"""Told apart by most people who see colours otherwise: M. Okabe and K. Ito, 2008."""

ROOM_X, ROOM_Y = 0.055, 0.06
"""Of a chart's width and height: what the name beside a point takes."""

MOST_POINTS = 400
"""Of one series: more make a file heavy, and a picture no clearer."""


def charts(
    experiment: ExperimentSummary, panel: PanelFigures, components: Sequence[Component]
) -> dict[str, str]:
    """Name -> SVG, of those for which there is something to show."""
    drawn = {
        "tiers": _tiers(experiment),
        "cost-and-score": _cost_and_score(experiment),
        "components": _components(components),
        "criteria": _criteria(experiment),
        "cost-over-time": _over_time(experiment),
        "judges": _judges(panel),
    }
    return {name: _rendered(name, chart) for name, chart in drawn.items() if chart is not None}


def charts_of_agents(agents: Sequence[ExperimentSummary]) -> dict[str, str]:
    """Name -> SVG, for the page of an experiment with several agents."""
    places = [(one.agent_name, s, c, score) for one in agents for _, s, c, score in _places(one)]
    drawn = {"tiers": _tiers_of_agents(agents), "cost-and-score": _scatter(places, ())}
    return {name: _rendered(name, chart) for name, chart in drawn.items() if chart is not None}


def _chart(kind: str, title: str, x: str, y: str, **settings: Any) -> Any:
    import pygal
    from pygal.style import Style

    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="currentColor",
        foreground_strong="currentColor",
        foreground_subtle="currentColor",
        guide_stroke_color="currentColor",
        major_guide_stroke_color="currentColor",
        opacity=".75",
        opacity_hover="1",
        transition="0s",
        colors=COLOURS,
        font_family="system-ui, sans-serif",
        label_font_size=12,
        major_label_font_size=12,
        title_font_size=15,
        legend_font_size=12,
        value_font_size=11,
    )
    return getattr(pygal, kind)(
        title=title,
        x_title=x,
        y_title=y,
        style=style,
        width=760,
        height=380,
        js=(),
        explicit_size=False,
        disable_xml_declaration=True,
        legend_at_bottom=False,
        truncate_legend=-1,
        truncate_label=-1,
        show_minor_x_labels=True,
        **settings,
    )


_SCRIPT = re.compile(r"<script\b.*?</script>|<script\b[^>]*/>", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def _rendered(name: str, chart: Any) -> str:
    chart.uuid = name
    here = f"#chart-{name}"
    rules = f"{here} .guide.line{{stroke-opacity:.2}}{here} .ci{{stroke-width:2}}"
    rules += f"{here} .text-overlay text.label{{fill:currentColor}}"
    chart.config.css.append(f"inline:{rules}")
    text = chart.render(is_unicode=True)
    text = _COMMENT.sub("", _SCRIPT.sub("", text))
    return text.replace("<svg ", '<svg role="img" ', 1)


def _tiers(experiment: ExperimentSummary) -> Any:
    tiers = [tier for tier in experiment.tiers if tier.figures.judged]
    if not tiers:
        return None
    chart = _chart(
        "Bar",
        "Pass rate of each tier, with 95 % interval",
        "tier",
        "pass rate",
        range=(0, 1),
        show_legend=False,
        value_formatter=_percent,
    )
    chart.x_labels = [tier.id for tier in tiers]
    chart.add("pass rate", [_with_interval(tier.figures) for tier in tiers])
    return chart


def _tiers_of_agents(agents: Sequence[ExperimentSummary]) -> Any:
    names = list(dict.fromkeys(tier.id for one in agents for tier in one.tiers))
    if not any(one.figures.judged for one in agents):
        return None
    chart = _chart(
        "Bar",
        "Pass rate of each tier and agent, with 95 % interval",
        "tier",
        "pass rate",
        range=(0, 1),
        value_formatter=_percent,
    )
    chart.x_labels = names
    for one in agents:
        found = {tier.id: tier.figures for tier in one.tiers if tier.figures.judged}
        values = [_with_interval(found[name]) if name in found else None for name in names]
        chart.add(one.agent_name, values)
    return chart


def _with_interval(figures: Any) -> dict[str, Any]:
    low, high = figures.interval
    return {
        "value": figures.pass_rate,
        "ci": {"low": low, "high": high},
        "label": f"{rate(figures)}, {figures.judged} judged",
    }


def _percent(value: float) -> str:
    return percent(value)


# -- cost and score --------------------------------------------------------------------------------


def pareto(experiment: ExperimentSummary) -> list[tuple[str, SubtestSummary]]:
    """Tier and subtest of the set-ups that no other beats in mean cost without a lower mean score,
    the cheapest first."""
    found, best = [], float("-inf")
    for tier, subtest, _, score in sorted(_places(experiment), key=lambda p: (p[2], -p[3])):
        if score > best:
            best = score
            found.append((tier, subtest))
    return found


Place = tuple[str, SubtestSummary, float, float]
"""Tier or agent, subtest, mean cost, mean score."""


def _places(experiment: ExperimentSummary) -> Iterator[Place]:
    for tier in experiment.tiers:
        for subtest in tier.subtests:
            cost, score = subtest.figures.mean_cost, subtest.figures.mean_score
            if cost is not None and score is not None:
                yield tier.id, subtest, cost, score


def _cost_and_score(experiment: ExperimentSummary) -> Any:
    front = [(s.figures.mean_cost, s.figures.mean_score) for _, s in pareto(experiment)]
    return _scatter(list(_places(experiment)), front)


def _scatter(places: Sequence[Place], front: Sequence[tuple[Any, Any]]) -> Any:
    """A point for each set-up; the first of a place names its series."""
    if not places:
        return None
    chart = _chart(
        "XY",
        "Mean cost and mean score of every set-up",
        "mean cost of a run, USD",
        "mean score",
        stroke=False,
        dots_size=5,
        print_labels=True,
        x_value_formatter=_usd,
        value_formatter=_score,
    )
    named = _with_room(places)
    for name in dict.fromkeys(series for series, *_ in places):
        points = [
            {"value": (cost, score), **({"label": name} if at in named else {})}
            for at, (series, _, cost, score) in enumerate(places)
            if series == name
        ]
        chart.add(name, points[:MOST_POINTS])
    if front:
        style = {"width": 2, "dasharray": "6, 4"}
        one = len(front) < 2
        chart.add("Pareto front", front, stroke=True, show_dots=one, stroke_style=style)
    return chart


def _with_room(places: Sequence[Place]) -> set[int]:
    """The points with a name beside them: none where it would be written over another one."""
    costs, scores = [place[2] for place in places], [place[3] for place in places]
    width = (max(costs) - min(costs)) or 1.0
    height = (max(scores) - min(scores)) or 1.0
    found: list[int] = []
    for at, (_, _, cost, score) in enumerate(places):
        near = (
            abs(cost - costs[other]) / width < ROOM_X
            and abs(score - scores[other]) / height < ROOM_Y
            for other in found
        )
        if not any(near):
            found.append(at)
    return set(found)


def _usd(value: float) -> str:
    return f"${value:.4g}"


def _score(value: float) -> str:
    return number(value, 2)


# -- what each component adds, criteria, time, judges ----------------------------------------------

MOST_COMPONENTS = 30


def _components(components: Sequence[Component]) -> Any:
    shown = components[:MOST_COMPONENTS]
    if not shown:
        return None
    points = [_difference(one) for one in reversed(shown)]
    ends = [0.0, *(end for p in points for end in (p["value"], *p.get("ci", {}).values()))]
    room = max(0.05, 0.03 * (max(ends) - min(ends)))  # an end of 0 is none to pygal
    chart = _chart(
        "HorizontalBar",
        "Mean score with a component, less without",
        "difference",
        "",
        show_legend=False,
        value_formatter=lambda value: signed(value, 2),
        range=(min(ends) - room, max(ends) + room),
    )
    chart.height = 110 + 24 * len(shown)
    chart.x_labels = [f"{one.kind} {one.name}" for one in reversed(shown)]
    chart.add("difference", points)
    return chart


def _difference(component: Component) -> dict[str, Any]:
    point: dict[str, Any] = {"value": component.score}
    if not isinstance(component.interval, Unknown):
        low, high = component.interval
        point["ci"] = {"low": max(-1.0, low), "high": min(1.0, high)}  # no score is outside 0 to 1
    return point


def criteria(experiment: ExperimentSummary) -> dict[str, list[float | None]]:
    """Category -> mean score in every tier, over the valid judgments; None where it is N/A."""
    names: dict[str, None] = {}
    by_tier: list[dict[str, list[float]]] = []
    for tier in experiment.tiers:
        found: dict[str, list[float]] = {}
        for run in tier.figures.runs:
            for vote in run.votes:
                for name, category in vote.criteria_scores.items() if vote.is_valid else ():
                    names.setdefault(name)
                    if category.score != "N/A":
                        found.setdefault(name, []).append(category.score)
        by_tier.append(found)
    return {name: [mean(found.get(name, [])) for found in by_tier] for name in names}


def _criteria(experiment: ExperimentSummary) -> Any:
    found = criteria(experiment)
    if not found:
        return None
    chart = _chart(
        "Bar",
        "Mean score in every category of the rubric",
        "tier",
        "mean score",
        range=(0, 1),
        value_formatter=_score,
    )
    chart.x_labels = [tier.id for tier in experiment.tiers]
    for name, values in found.items():
        chart.add(name.replace("_", " "), values)
    return chart


def _over_time(experiment: ExperimentSummary) -> Any:
    known = [run for run in experiment.figures.runs if run.cost_usd is not None]
    done = sorted((finished_at(run.path), run.cost_usd or 0.0) for run in known)
    costs = [cost for at, cost in done if at]
    if len(costs) < 2:
        return None
    sums, spent = [], 0.0
    for place, cost in enumerate(costs, 1):
        spent += cost
        sums.append((place, spent))
    step = -(-len(sums) // MOST_POINTS)
    points = [(0, 0.0), *sums[step - 1 :: step]]
    points += [sums[-1]] if points[-1] != sums[-1] else []
    chart = _chart(
        "XY",
        "Cost of the runs that count, in the order in which they ended",
        "runs",
        "USD",
        show_legend=False,
        show_dots=False,
        fill=True,
        range=(0, spent or 1.0),
        x_value_formatter=lambda value: f"{value:.0f}",
        value_formatter=_usd,
    )
    chart.add("cost", points)
    return chart


def _judges(panel: PanelFigures) -> Any:
    pairs = panel.pairs
    if not pairs:
        return None
    chart = _chart(
        "XY",
        "Two judges on the same run",
        "score by the first",
        "score by the second",
        stroke=False,
        dots_size=3,
        range=(0, 1),
        xrange=(0, 1),
        x_value_formatter=_score,
        value_formatter=_score,
    )
    for pair in pairs:
        points = list(panel.both_scores(*pair.slots))[: MOST_POINTS // len(pairs)]
        chart.add(f"judges {pair.slots[0]} and {pair.slots[1]}", points)
    style = {"width": 1, "dasharray": "4, 4"}
    chart.add("the same", [(0, 0), (1, 1)], stroke=True, show_dots=False, stroke_style=style)
    return chart
