"""report.html: one file for people, that opens offline and asks for nothing.

What it says is written into it as text, by the functions that report.md uses too. The runs are
beside it as data: figures of all of them, and of as many as the file has room for what agents and
judges wrote. page.js shows those as text alone, and the page's policy lets no other script run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple
from urllib.parse import quote

from ..statistics import Unknown
from ..statistics.contrast import Contrast
from ..store import digest, own_directory, text_of, write_text
from . import charts as drawn
from .advice import Advice, Rival, advice, advice_on_agents
from .comparison import Comparison
from .components import Component, components, parts_of
from .evidence import evidence
from .markdown_report import (
    HEAD,
    NONE,
    SEATS,
    best_set_up,
    by_tier,
    money,
    number,
    outcome,
    percent,
    rate,
    repeated,
    row,
    seat_rows,
    signed,
    stale,
)
from .pairs import interval_of, p_in_words, pairs_of, shown, standing
from .panel import PanelFigures, own_totals
from .spending import Spending
from .summary import ExperimentSummary, Figures, RunSummary, SubtestSummary, link
from .text import plain

NAME = "report.html"
CHARTS = "charts"

ROOM = 9_000_000
"""Characters that what agents and judges wrote may take, compressed."""

CHUNK = 400_000
"""Characters of JSON that are compressed together: what is unpacked to open one run."""

QUICK = 4
"""Level of compression: a fifth of the time of the usual 6, for a tenth more of room."""

LONGEST_REASON = 300
"""Characters of an error in the table of failures."""

Places = list[tuple[str, SubtestSummary, RunSummary]]


def write_page(
    experiment: ExperimentSummary,
    money_spent: Spending,
    panel: PanelFigures,
    against: Comparison | None = None,
    *,
    keep: bool = False,
) -> None:
    """report.html and charts/ of a results directory, unless they are made from these runs."""
    path = experiment.path / NAME
    said = against.model_dump() if against else None
    made_from = digest([experiment.digest, money_spent.usd, money_spent.unknown, said])
    if path.exists() and (keep or _made_from(path) == made_from):
        return
    parts = components(experiment)
    pictures = drawn.charts(experiment, panel, parts)
    own_directory(experiment.path / CHARTS)
    for name, svg in pictures.items():
        write_text(experiment.path / CHARTS / f"{name}.svg", svg)
    write_text(path, page(experiment, money_spent, panel, against, parts, pictures, made_from))


def write_agents_page(results: Path, agents: Sequence[ExperimentSummary]) -> None:
    """The page of an experiment with several agents, unless it is made from these runs."""
    path = results / NAME
    made_from = digest([one.digest for one in agents])
    if path.exists() and _made_from(path) == made_from:
        return
    write_text(path, agents_page(agents, drawn.charts_of_agents(agents), made_from))


_MARK = "<!-- made from: "


def _made_from(path: Path) -> str:
    return text_of(path)[:200].partition(_MARK)[2].partition(" ")[0]


FILES = ("report.md", "report.json")
EXPORTS = ("export/runs.csv", "export/statistics.json")


def page(
    experiment: ExperimentSummary,
    money_spent: Spending,
    panel: PanelFigures,
    against: Comparison | None,
    parts: Sequence[Component],
    pictures: dict[str, str],
    made_from: str,
) -> str:
    """The whole file."""
    places = [(t.id, s, run) for t in experiment.tiers for s in t.subtests for run in s.runs]
    data, chunks = _data(experiment, places)
    up = ("../report.html",) if experiment.agent_name else ()
    sections = list(_sections(experiment, money_spent, panel, against, parts, pictures))
    return _whole(
        title=experiment.id,
        about=_about(experiment, panel),
        files=(*up, *FILES, *EXPORTS),
        answer=_stale(experiment) + _answer(advice(experiment), experiment.figures),
        contents=[*((s.id, s.title) for s in sections if s.body), *RUN_SECTIONS],
        main="\n".join(map(str, sections)) + _file("runs.html"),
        tail=_embedded(data, chunks),
        made_from=made_from,
    )


RUN_SECTIONS = (("map", "Every run"), ("runs", "Runs"), ("compare", "Side by side"))
"""Of runs.html."""


def agents_page(
    agents: Sequence[ExperimentSummary], pictures: dict[str, str], made_from: str
) -> str:
    """The page of an experiment with several agents: they side by side; each has its own page."""
    figures = Figures(tuple(run for one in agents for run in one.figures.runs))
    sections = [
        _section("agents", "Agents", _agents(agents)),
        _section("tiers", "Tier by tier", _by_agent(agents), _drawn(pictures.get("tiers"))),
        _section("cost-and-score", "Cost and score", _drawn(pictures.get("cost-and-score"))),
    ]
    count = sum(len(tier.subtests) for one in agents for tier in one.tiers)
    about = [f"{len(agents)} agents", f"{len(figures.runs)} runs of {count} set-ups"]
    return _whole(
        title=agents[0].id.partition("/")[0],
        about=" · ".join(about),
        files=FILES,
        answer=_answer(advice_on_agents(agents), figures),
        contents=[(s.id, s.title) for s in sections if s.body],
        main="\n".join(map(str, sections)),
        tail="",
        made_from=made_from,
    )


def _whole(
    *,
    title: str,
    about: str,
    files: Sequence[str],
    answer: str,
    contents: Sequence[tuple[str, str]],
    main: str,
    tail: str,
    made_from: str,
) -> str:
    script = _file("page.js")
    secret = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    names = {"../report.html": "all agents"}
    return Template(_file("page.html")).substitute(
        made_from=f"{_MARK}{made_from} -->",
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{secret}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        title=_text(title),
        about=_text(about),
        files="\n".join(
            f'<a href="{path}">{names.get(path, path.rpartition("/")[2])}</a>' for path in files
        ),
        answer=answer,
        contents="".join(f'<a href="#{id}">{name}</a>' for id, name in contents),
        main=main,
        tail=tail,
        style=_file("page.css"),
        script=script,
    )


def _embedded(data: dict[str, Any], chunks: Sequence[str]) -> str:
    """The runs, for page.js."""
    packed = [
        f'<script type="text/plain" id="chunk-{place}">{text}</script>'
        for place, text in enumerate(chunks)
    ]
    return "\n".join([f'<script type="application/json" id="data">{_json(data)}</script>', *packed])


def _about(experiment: ExperimentSummary, panel: PanelFigures) -> str:
    """What was run, in a line."""
    judges = ", ".join(dict.fromkeys(seat.models for seat in panel.seats if seat.models))
    subtests = sum(len(tier.subtests) for tier in experiment.tiers)
    found = [
        f"agent {experiment.agent}" if experiment.agent else "",
        f"judged by {judges}" if judges else "",
        f"{_count(len(experiment.figures.runs), 'run')} of {_count(subtests, 'set-up')} in "
        f"{_count(len(experiment.tiers), 'tier')}",
    ]
    return " · ".join(filter(None, found))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def _file(name: str) -> str:
    return text_of(Path(__file__).with_name(name))


def _json(value: Any) -> str:
    """JSON that cannot end its script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(text: object) -> str:
    return escape(plain(str(text)))


# -- the answer ------------------------------------------------------------------------------------


def _stale(experiment: ExperimentSummary) -> str:
    """Which results count nowhere on this page."""
    return f'<p class="stale">{_text(stale(experiment))}</p>' if experiment.stale else ""


def _answer(found: Advice | None, all: Figures) -> str:
    if found is None:
        return _paragraphs(
            "<strong>No answer yet: no run has a verdict.</strong>",
            f"{_count(len(all.runs), 'run')}, {all.errors} without a verdict"
            + (': <a href="#failures">why</a>.' if all.errors else "."),
        )
    if not found.chosen.figures.passed:
        said = _paragraphs(f"<strong>{_text(found.says)}.</strong>", _text(found.how_sure()))
        return said + _rivals(found)
    return _headline(found) + _rivals(found)


def _headline(found: Advice) -> str:
    figures, what = found.chosen.figures, found.says.partition(":")[0]
    return (
        f'<p class="adopt">{what}: <strong>{_set_up(found.chosen.name)}</strong></p>'
        f'<p class="what">{_text(_what(found.chosen.subtest))}</p>'
        '<dl class="facts">'
        f"<div><dt>What it costs</dt><dd>{money(figures.cost_of_pass)}"
        f"<small>for each pass; {money(figures.mean_cost)} a run</small></dd></div>"
        f"<div><dt>How often it passes</dt><dd>{_text(rate(figures))}"
        f"<small>{figures.passed} of {_count(figures.judged, 'judged run')}; 95 % interval"
        "</small></dd></div>"
        f"<div><dt>Mean score</dt><dd>{number(figures.mean_score)}"
        f"<small>of 1; standard deviation {number(figures.deviation)}</small></dd></div></dl>"
        + _paragraphs(
            f"<strong>Why:</strong> {_why(found)}",
            f"<strong>How sure:</strong> {_text(found.how_sure())}"
            + (
                " It was picked by these same runs, which makes it look a little better than it is."
                if found.rivals
                else ""
            ),
        )
    )


RULE = (
    "It is to be adopted once it beats every other set-up by more than chance, in score or in "
    "cost, without being worse in the other."
)
"""When `Cheapest pass so far` becomes `Adopt`."""


def _why(found: Advice) -> str:
    figures, better = found.chosen.figures, found.highest
    least = (
        f"the highest median score of all {found.among}s"
        if figures.cost_of_pass is None
        else f"the lowest cost of pass of all {found.among}s"
    )
    said = [f"{least}."]
    if better:
        said.append(
            f"If the score matters more: {_set_up(better.set_up.name)} has a mean score of "
            f"{number(better.set_up.figures.mean_score)} instead of {number(figures.mean_score)}, "
            f"for {money(better.set_up.figures.mean_cost)} a run ({_sure(better)})."
        )
    elif found.rivals:
        said.append(f"No other {found.among} has a higher mean score.")
    if found.rivals and not found.decided:
        said.append(RULE)
    return " ".join(said)


def _what(subtest: SubtestSummary) -> str:
    """What the set-up consists of, from its manifest."""
    parts = parts_of(subtest)
    if parts is None:
        return ""
    said = [
        f"{kind}{'s' if len(names) > 1 and not kind.endswith('s') else ''} {', '.join(names)}"
        for kind, names in parts.items()
    ]
    return f"The set-up: {'; '.join(said)}." if said else "The set-up: nothing but the prompt."


def _sure(rival: Rival) -> str:
    return "not enough runs to tell" if rival.too_few else _text(rival.score)


def _set_up(name: str) -> str:
    return f"<bdi>{_text(name)}</bdi>"


def _rivals(found: Advice) -> str:
    if not found.rivals:
        return ""
    head = [
        "set-up",
        "judged",
        "errors",
        "pass rate",
        "mean score",
        "mean cost",
        "cost of pass",
        "score, less the first",
        "pass rate, less the first",
        "cost, less the first",
    ]
    lines = [[found.chosen.name, *_beside(found.chosen.figures), "", "", ""]]
    lines += [_rival(rival) for rival in found.rivals]
    title = f"Compared with {_count(len(found.rivals), f'other {found.among}')}"
    return _folded(title, _table(head, lines, "words"))


def _beside(figures: Figures) -> list[str]:
    return [
        str(figures.judged),
        str(figures.errors),
        rate(figures),
        number(figures.mean_score),
        money(figures.mean_cost),
        money(figures.cost_of_pass),
    ]


def _rival(rival: Rival) -> list[str]:
    told = {"score": rival.score, "pass_rate": rival.pass_rate, "cost_usd": rival.cost}
    said = [
        _difference(name, one.contrast, "too few runs" if one.p is None else str(one))
        for name, one in told.items()
    ]
    return [rival.set_up.name, *_beside(rival.set_up.figures), *said]


def _difference(figure: str, contrast: Contrast, standing: str) -> str:
    """`+0.333 [+0.100 to +0.500], higher (p 0.002)`."""
    limits = interval_of(figure, contrast)
    interval = "" if limits == NONE else f" [{limits}]"
    return f"{shown(figure, contrast.change)}{interval}, {standing}"


def _paragraphs(*parts: str) -> str:
    return "".join(f"<p>{part}</p>" for part in parts)


# -- sections --------------------------------------------------------------------------------------


class Section(NamedTuple):
    """A part of the page with a heading; without a body it is left out."""

    id: str
    title: str
    body: str

    def __str__(self) -> str:
        if not self.body:
            return ""
        return f'<section id="{self.id}"><h2>{self.title}</h2>{self.body}</section>'


def _section(id: str, title: str, *parts: str) -> Section:
    return Section(id, title, "".join(parts))


def _sections(
    experiment: ExperimentSummary,
    money_spent: Spending,
    panel: PanelFigures,
    against: Comparison | None,
    parts: Sequence[Component],
    pictures: dict[str, str],
) -> Iterator[Section]:
    yield _section("baseline", "Against the baseline", _against(against) if against else "")
    tiers = _tiers(experiment, money_spent)
    yield _section("tiers", "Tiers", tiers, _picture(pictures, "tiers"), _words())
    scatter = _picture(pictures, "cost-and-score")
    yield _section("cost-and-score", "Cost and score", scatter, _set_ups(experiment))
    yield _section("components", "What each component adds", _components(parts, pictures))
    yield _section("failures", "Failures", _failures(experiment))
    criteria = _criteria(experiment)
    yield _section("criteria", "Criteria by tier", _picture(pictures, "criteria"), criteria)
    yield _section("judges", "Judges", _judges(panel), _picture(pictures, "judges"))
    yield _section("time", "Cost over time", _picture(pictures, "cost-over-time"))


def _picture(pictures: dict[str, str], name: str) -> str:
    file = f'<figcaption><a href="{CHARTS}/{name}.svg">as SVG</a></figcaption>'
    return _drawn(pictures.get(name), file)


def _drawn(svg: str | None, caption: str = "") -> str:
    return f'<figure class="chart">{svg}{caption}</figure>' if svg else ""


WORDS = {
    "tier": "a kind of set-up: prompts, skills, tools, sub-agents, and combinations of them",
    "set-up": "tier/subtest: what an agent was given to work with",
    "best subtest": "the set-up of the tier, or of all, with the highest median score; near ties "
    "go to the one with fewer tokens",
    "best": "the set-up of this agent with the highest median score; near ties go to the one with "
    "fewer tokens",
    "runs": "how often an agent was given the task, with these set-ups",
    "judged": "runs with a verdict; the others count in no rate and in no mean",
    "errors": "runs without a verdict: they have no score",
    "pass rate": "passed of the judged runs; in brackets its 95 % interval (Wilson)",
    "mean score": "of the judged runs; 1 is all that the rubric asks for",
    "mean cost": "USD of a judged run, agent and judges",
    "cost": "USD of all these runs, agents and judges",
    "cost of pass": "USD for each run that passed: cost / passed",
    "front": "no other set-up has a higher mean score at the same mean cost or less",
    "cells": "runs that both sides have judged: the same experiment, tier, subtest and number",
    "95 %": "interval of the change",
    "p": "chance of such a loss or a greater one, had nothing changed; corrected (Holm) for the "
    "number of tiers",
    "score, less the first": "difference of the mean scores, its 95 % interval (Welch), and p of a "
    "permutation test, corrected (Holm) for the number of set-ups",
    "pass rate, less the first": "in percentage points, its 95 % interval (Newcombe), and p of "
    "Fisher's exact test, corrected alike",
    "cost, less the first": "the same test as of the scores, in USD of a run",
    "own total": "what the judge itself added up; the program computes the score from the items",
    "valid": "judgments that could be read and count",
    "not asked": "two judges before it agreed",
}
"""Head of a column -> what it means."""


def _words() -> str:
    shown = ("tier", "errors", "pass rate", "mean score", "cost", "cost of pass", "best subtest")
    said = "".join(f"<dt>{word}</dt><dd>{WORDS[word]}</dd>" for word in shown)
    return _folded("What the columns mean", f'<dl class="words-of">{said}</dl>')


def _against(against: Comparison) -> str:
    """A session's results beside earlier ones: as in the terminal."""
    head, *lines = against.table
    notes = [_text(note) for note in against.notes if not note.startswith(" ")]
    flips = "".join(f"<li>{_text(n.strip())}</li>" for n in against.notes if n.startswith(" "))
    listed = _folded("Which verdicts flipped, and why", f"<ul>{flips}</ul>") if flips else ""
    said = f'<p class="verdict {"failed" if against.worse else ""}">{_text(against.verdict)}</p>'
    where = _paragraphs(
        f"Compared with <code>{_text(against.baseline)}</code>, cell by cell. The chance of a "
        f"false alarm over all tiers is {against.alpha:g}."
    )
    table = _table(head, lines, "words") if lines else ""
    return said + table + where + _paragraphs(*notes) + listed


def _agents(agents: Sequence[ExperimentSummary]) -> str:
    lines = [
        [_linked(one.agent_name, f"{one.agent_name}/{NAME}"), *row(one.figures), best_set_up(one)]
        for one in agents
    ]
    return _table(["agent", *HEAD, "best"], lines, "words") + _paragraphs(
        "Each agent has a page of its own, with its runs. <code>scylla compare</code> with the "
        "directories of two agents compares them run by run."
    )


def _by_agent(agents: Sequence[ExperimentSummary]) -> str:
    lines = [
        [tier.id, _linked(one.agent_name, f"{one.agent_name}/{NAME}#tiers"), *row(tier.figures)]
        for one, tier in by_tier(agents)
    ]
    return _table(["tier", "agent", *HEAD], lines, "second")


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _linked(text: str, path: str) -> str:
    return _Html(f'<a href="{quote(path, safe="/#")}">{_text(text)}</a>')


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>{body}</details>"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], kind: str = "") -> str:
    """`kind`: `words` where the last column is text, `sum` where the last line is a sum."""
    heads = "".join(map(_head, head))
    rows = ["".join(_cell(place, cell) for place, cell in enumerate(line)) for line in lines]
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    return (
        f'<div class="wide" tabindex="0"><table class="{kind}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _head(text: str) -> str:
    meaning = WORDS.get(text)
    title = f' title="{_text(meaning)}"' if meaning else ""
    return f'<th scope="col"{title}>{_text(text)}</th>'


def _cell(place: int, text: str) -> str:
    said = text if isinstance(text, _Html) else _text(text)
    if place == 0:
        return f'<th scope="row"><bdi>{said}</bdi></th>'
    return f"<td><bdi>{said}</bdi></td>"


def _tiers(experiment: ExperimentSummary, money_spent: Spending) -> str:
    lines = [
        [tier.id, *row(tier.figures), tier.best.id if tier.best else NONE]
        for tier in experiment.tiers
    ]
    lines.append(["all", *row(experiment.figures), best_set_up(experiment)])
    return _table(["tier", *HEAD, "best subtest"], lines, "sum words") + _paragraphs(
        f"Spent so far, over all sessions and attempts: {_text(money_spent)}. "
        f"{_text(repeated(experiment.figures))}"
    )


def _set_ups(experiment: ExperimentSummary) -> str:
    """Every subtest, and which of them are on the Pareto front."""
    front = {(tier, s.id) for tier, s in drawn.pareto(experiment)}
    lines = [
        [
            f"{tier.id}/{s.id}",
            *row(s.figures),
            money(s.figures.mean_cost),
            "✓" if (tier.id, s.id) in front else "",
        ]
        for tier in experiment.tiers
        for s in tier.subtests
    ]
    said = _paragraphs(
        "On the dashed line, the Pareto front, are the set-ups that no other beats: none has a "
        "higher mean score at the same mean cost or less."
    )
    head = ["set-up", *HEAD, "mean cost", "front"]
    return (said if front else "") + _folded("Every set-up, as a table", _table(head, lines))


def _components(parts: Sequence[Component], pictures: dict[str, str]) -> str:
    if not parts:
        return ""
    lines = [
        [
            f"{one.kind} {one.name}",
            signed(one.score),
            _limits(one),
            str(one.having),
            str(one.lacking),
            signed(one.cost, 4),
        ]
        for one in parts
    ]
    head = [
        "component",
        "score with, less without",
        "95 % interval",
        "subtests with",
        "without",
        "USD a run with, less without",
    ]
    return (
        _paragraphs(
            "Mean score of the subtests that have a component, less that of those without it. "
            "It is a comparison, not a cause: subtests that have one component have others too. "
            f"{_lines(parts)}"
        )
        + _picture(pictures, "components")
        + _folded("As a table", _table(head, lines))
    )


def _lines(parts: Sequence[Component]) -> str:
    """What the lines of the chart are, as far as there are any."""
    known = [not isinstance(one.interval, Unknown) for one in parts[: drawn.MOST_COMPONENTS]]
    if not any(known):
        return "None has an interval: one side has a single subtest, or none of them any spread."
    return "The lines are 95 % intervals" + ("." if all(known) else ", where there is one.")


def _limits(one: Component) -> str:
    if isinstance(one.interval, Unknown):
        return one.interval.reason
    low, high = one.interval
    return f"{signed(low)} to {signed(high)}"


def _criteria(experiment: ExperimentSummary) -> str:
    found = drawn.criteria(experiment)
    head = ["category", *(tier.id for tier in experiment.tiers)]
    lines = [[name, *map(number, values)] for name, values in found.items()]
    return _folded("As a table", _table(head, lines)) if lines else ""


def _judges(panel: PanelFigures) -> str:
    if not panel.seats:
        return ""
    pairs = [
        [
            f"{pair.slots[0]} and {pair.slots[1]}",
            str(pair.runs),
            number(pair.mean_difference),
            percent(pair.same_verdict),
        ]
        for pair in panel.pairs
    ]
    agree = (
        _table(["judges", "runs", "mean difference", "same verdict"], pairs)
        + _paragraphs(
            f"Krippendorff's alpha: {number(panel.alpha_scores())} of the scores (interval), "
            f"{number(panel.alpha_passes())} of passed or failed (nominal)."
        )
        if pairs
        else _paragraphs("One judge: how far judges agree cannot be said.")
    )
    return _table(SEATS, seat_rows(panel)) + agree + _paragraphs(_text(own_totals(panel.seats)))


def _failures(experiment: ExperimentSummary) -> str:
    """Runs without a passing verdict, by type: errors by kind, and what the judges missed."""
    runs = experiment.figures.runs
    kinds = Counter(outcome(run) for run in runs if run.result is None)
    failed = [run for run in runs if run.result and not run.result.judge_passed]
    lines = [[kind, str(count), _first(kind, runs)] for kind, count in kinds.most_common()]
    if failed:
        lines.append(["failed: the judges said no", str(len(failed)), _lost(failed)])
    limit = [run for run in runs if run.result and run.result.timed_out]
    if limit:
        lines.append(["judged at its limit of time or turns", str(len(limit)), ""])
    altered = [run for run in runs if run.result and run.result.tampering]
    if altered:
        lines.append(["left files above its workspace", str(len(altered)), ""])
    if not lines:
        return _paragraphs("None: every run has a verdict, and passed.")
    return _table(["type", "runs", "what it says"], lines, "words")


def _first(kind: str, runs: Iterable[RunSummary]) -> str:
    found = next(run for run in runs if run.result is None and outcome(run) == kind)
    said = found.failure.message if found.failure else "it has not run to its end"
    return next(iter(said.splitlines()), "")[:LONGEST_REASON]


def _lost(failed: Iterable[RunSummary]) -> str:
    """The rubric's items that they lost most often."""
    lost = Counter(
        f"{category} {id}"
        for run in failed
        for category, score in (run.result.criteria_scores if run.result else {}).items()
        for id, item in score.items.items()
        if item.achieved != "N/A" and item.max != "N/A" and item.achieved < item.max
    )
    said = [f"{name} ({count})" for name, count in lost.most_common(5)]
    return f"most often lost: {', '.join(said)}" if said else ""


# -- the runs as data ------------------------------------------------------------------------------


def _data(experiment: ExperimentSummary, places: Places) -> tuple[dict[str, Any], list[str]]:
    tiers = [tier.id for tier in experiment.tiers]
    subtests = [(tier.id, subtest) for tier in experiment.tiers for subtest in tier.subtests]
    index = {(tier, subtest.id): place for place, (tier, subtest) in enumerate(subtests)}
    prompts: dict[str, int] = {}
    where, chunks = _packed(places, prompts)
    data = {
        "tiers": [plain(tier) for tier in tiers],
        "subtests": [
            {
                "tier": tiers.index(tier),
                "id": plain(subtest.id),
                "path": link(subtest.path, experiment.path),
                "figures": _compared(subtest),
            }
            for tier, subtest in subtests
        ],
        "figures": COMPARED,
        "pairs": list(_pairs(experiment, index)),
        "paths": _elsewhere(experiment, places),
        "runs": {
            "subtest": [index[tier, subtest.id] for tier, subtest, _ in places],
            **_columns([run for *_, run in places]),
            "where": where,
        },
        "prompts": list(prompts),
    }
    return data, chunks


def _pairs(
    experiment: ExperimentSummary, index: Mapping[tuple[str, str], int]
) -> Iterator[list[Any]]:
    """One and other (places in `subtests`), and of each figure the difference in words."""
    places = {f"{tier}/{subtest}": place for (tier, subtest), place in index.items()}
    known = pairs_of(experiment)
    for at, pair in enumerate(known.pairs):
        said = []
        for name, contrast in pair.contrasts.items():
            p = known.p_of(name, at)
            many = len(known.adjusted[name])
            more = f"; corrected for {many} set-ups: p {p_in_words(p)}" if p and many > 1 else ""
            said.append(f"{_difference(name, contrast, standing(contrast))}{more}")
            if isinstance(contrast.interval, Unknown) and not isinstance(contrast.p, Unknown):
                said[-1] += f"; no interval: {contrast.interval.reason}"
        yield [places[pair.one.name], places[pair.other.name], *map(plain, said)]


def _elsewhere(experiment: ExperimentSummary, places: Places) -> dict[int, str]:
    """The directories of the runs that are not in that of their subtest."""
    return {
        place: link(run.path, experiment.path)
        for place, (_, subtest, run) in enumerate(places)
        if run.path.parent != subtest.path
    }


COMPARED = [*HEAD, "median score", "standard deviation", "mean cost", "tokens"]


def _compared(subtest: SubtestSummary) -> list[str]:
    figures = subtest.figures
    more = [number(figures.median_score), number(figures.deviation), money(figures.mean_cost)]
    return [*row(figures), *more, f"{figures.tokens.total:,}"]


def _columns(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    results = [run.result for run in runs]
    return {
        "number": [run.number for run in runs],
        "outcome": [outcome(run) for run in runs],
        "score": [r.judge_score if r else None for r in results],
        "grade": [r.judge_grade if r else None for r in results],
        "cost": [run.cost_usd for run in runs],
        "seconds": [round(r.duration_seconds, 3) if r else None for r in results],
        "tokens": [r.token_stats.total if r else None for r in results],
        "attempts": [run.attempts for run in runs],
    }


def _packed(places: Places, prompts: dict[str, int]) -> tuple[list[int], list[str]]:
    """What was written in the runs, compressed in chunks, as far as there is room; and the chunk of
    every run, -1 where it has none."""
    where, chunks, used = [-1] * len(places), list[str](), 0
    waiting: dict[int, Any] = {}
    size = 0
    for place in _by_interest(places):
        found = evidence(places[place][2])
        prompt = found.pop("prompt", None)
        if prompt is not None:
            found["prompt"] = prompts.setdefault(prompt, len(prompts))
        text = json.dumps(found)
        waiting[place], size = text, size + len(text)
        if size >= CHUNK:
            used += _close(waiting, where, chunks)
            waiting, size = {}, 0
            if used >= ROOM:
                return where, chunks
    if waiting:
        _close(waiting, where, chunks)
    return where, chunks


def _close(waiting: dict[int, str], where: list[int], chunks: list[str]) -> int:
    joined = "{" + ",".join(f'"{place}":{text}' for place, text in waiting.items()) + "}"
    packed = base64.b64encode(zlib.compress(joined.encode(), QUICK)).decode()
    for place in waiting:
        where[place] = len(chunks)
    chunks.append(packed)
    return len(packed)


def _by_interest(places: Places) -> list[int]:
    """Runs without a verdict, those that failed, the best of each subtest, then all others."""
    best = {
        max((r for r in s.runs if r.result), key=_score, default=s.runs[0]).path
        for s in {subtest.path: subtest for _, subtest, _ in places}.values()
    }

    def interest(place: int) -> tuple[int, int]:
        run = places[place][2]
        if run.path in best:
            return 0, place
        return (1 if run.result is None or not run.result.judge_passed else 2), place

    return sorted(range(len(places)), key=interest)


def _score(run: RunSummary) -> float:
    return run.result.judge_score if run.result else -1.0
