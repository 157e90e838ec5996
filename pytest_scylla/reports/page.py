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
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..statistics import Unknown
from ..store import digest, write_text
from . import charts as drawn
from .advice import Advice, Rival, advice
from .components import Component, components
from .evidence import evidence, plain
from .markdown_report import (
    HEAD,
    NONE,
    SEATS,
    money,
    number,
    outcome,
    rate,
    repeated,
    row,
    seat_rows,
)
from .panel import PanelFigures, own_totals
from .spending import Spending
from .summary import ExperimentSummary, RunSummary, SubtestSummary, link

NAME = "report.html"
CHARTS = "charts"

ROOM = 9_000_000
"""Characters that what agents and judges wrote may take, compressed."""

CHUNK = 400_000
"""Characters of JSON that are compressed together: what is unpacked to open one run."""

LONGEST_REASON = 300
"""Characters of an error in the table of failures."""

Places = list[tuple[str, SubtestSummary, RunSummary]]


def write_page(
    experiment: ExperimentSummary, money_spent: Spending, panel: PanelFigures, *, keep: bool = False
) -> None:
    """report.html and charts/ of a results directory, unless they are made from these runs."""
    path = experiment.path / NAME
    made_from = digest([experiment.digest, money_spent.usd, money_spent.unknown])
    if path.exists() and (keep or _made_from(path) == made_from):
        return
    parts = components(experiment)
    pictures = drawn.charts(experiment, panel, parts)
    for name, svg in pictures.items():
        write_text(experiment.path / CHARTS / f"{name}.svg", svg)
    write_text(path, page(experiment, money_spent, panel, parts, pictures, made_from))


_MARK = "<!-- made from: "


def _made_from(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        start = file.read(200)
    return start.partition(_MARK)[2].partition(" ")[0]


def page(
    experiment: ExperimentSummary,
    money_spent: Spending,
    panel: PanelFigures,
    parts: Sequence[Component],
    pictures: dict[str, str],
    made_from: str,
) -> str:
    """The whole file."""
    script, style = _file("page.js"), _file("page.css")
    places = [(t.id, s, run) for t in experiment.tiers for s in t.subtests for run in s.runs]
    data, chunks = _data(experiment, places)
    secret = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_file("page.html")).substitute(
        made_from=f"{_MARK}{made_from} -->",
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{secret}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        title=_text(experiment.id),
        agent=_text(experiment.agent),
        answer=_answer(advice(experiment), experiment),
        sections="\n".join(_sections(experiment, money_spent, panel, parts, pictures)),
        style=style,
        script=script,
        data=_json(data),
        chunks="\n".join(
            f'<script type="text/plain" id="chunk-{place}">{text}</script>'
            for place, text in enumerate(chunks)
        ),
    )


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that cannot end its script element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(text: object) -> str:
    return escape(plain(str(text)))


# -- the answer ------------------------------------------------------------------------------------


def _answer(found: Advice | None, experiment: ExperimentSummary) -> str:
    if found is None:
        return _paragraphs(
            "<strong>No answer yet: no run has a verdict.</strong>",
            f"{len(experiment.figures.runs)} runs, {experiment.figures.errors} without a verdict: "
            '<a href="#failures">why</a>.',
        )
    figures = found.adopted.figures
    if not figures.passed:
        return _paragraphs(
            "<strong>Adopt none of them yet: no set-up has passed.</strong>",
            f"The highest median score is that of {_set_up(found.adopted.name)}: "
            f"{number(figures.median_score)}, with {figures.judged} judged runs.",
        )
    return _headline(found) + _rivals(found)


def _headline(found: Advice) -> str:
    figures = found.adopted.figures
    why = "the lowest cost of pass" if found.by_cost else "the highest median score"
    better = found.highest
    other = (
        f"If the score matters more than the money: {_set_up(better.set_up.name)} has a mean score "
        f"of {number(better.set_up.figures.mean_score)} instead of {number(figures.mean_score)}, "
        f"for {money(better.set_up.figures.mean_cost)} a run ({_sure(better)})."
        if better
        else "No other tier's best has a higher mean score."
    )
    return (
        f'<p class="adopt">Adopt <strong>{_set_up(found.adopted.name)}</strong></p>'
        '<dl class="facts">'
        f"<div><dt>What it costs</dt><dd>{money(figures.cost_of_pass)}"
        f"<small>for each pass; {money(figures.mean_cost)} a run</small></dd></div>"
        f"<div><dt>How often it passes</dt><dd>{_text(rate(figures))}"
        f"<small>of {figures.judged} judged runs, with 95 % interval</small></dd></div>"
        f"<div><dt>Mean score</dt><dd>{number(figures.mean_score)}"
        f"<small>standard deviation {number(figures.deviation)}</small></dd></div></dl>"
        + _paragraphs(
            f"Why: {why} among the best set-ups of the tiers. {other}",
            f"<strong>How sure:</strong> {_text(found.how_sure())} The best of each tier was "
            "picked by these same runs, which flatters it a little.",
        )
    )


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
        "pass rate",
        "mean score",
        "mean cost",
        "cost of pass",
        "score beside the adopted",
        "cost beside the adopted",
    ]
    figures = found.adopted.figures
    mine = [found.adopted.name + " (adopted)", *_beside(figures), "", ""]
    lines = [mine, *(_rival(rival) for rival in found.rivals)]
    return _folded("Beside the best of the other tiers", _table(head, lines, "words"))


def _beside(figures: Any) -> list[str]:
    return [
        str(figures.judged),
        rate(figures),
        number(figures.mean_score),
        money(figures.mean_cost),
        money(figures.cost_of_pass),
    ]


def _rival(rival: Rival) -> list[str]:
    figures = rival.set_up.figures
    return [rival.set_up.name, *_beside(figures), str(rival.score), str(rival.cost)]


def _paragraphs(*parts: str) -> str:
    return "".join(f"<p>{part}</p>" for part in parts)


# -- sections --------------------------------------------------------------------------------------


def _sections(
    experiment: ExperimentSummary,
    money_spent: Spending,
    panel: PanelFigures,
    parts: Sequence[Component],
    pictures: dict[str, str],
) -> Iterator[str]:
    picture = {name: _figure(name, svg) for name, svg in pictures.items()}
    yield _section("tiers", "Tiers", _tiers(experiment, money_spent), picture.get("tiers", ""))
    yield _section(
        "cost-and-score", "Cost and score", picture.get("cost-and-score", ""), _front(experiment)
    )
    yield _section("components", "What each component adds", _components(parts, picture))
    yield _section("failures", "Failures", _failures(experiment))
    yield _section(
        "criteria", "Criteria by tier", picture.get("criteria", ""), _criteria(experiment)
    )
    yield _section("judges", "Judges", _judges(panel), picture.get("judges", ""))
    yield _section("time", "Cost over time", picture.get("cost-over-time", ""))


def _section(id: str, title: str, *parts: str) -> str:
    body = "".join(parts)
    return f'<section id="{id}"><h2>{title}</h2>{body}</section>' if body else ""


def _figure(name: str, svg: str) -> str:
    file = f'<a href="{CHARTS}/{name}.svg">as SVG</a>'
    return f'<figure class="chart">{svg}<figcaption>{file}</figcaption></figure>'


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>{body}</details>"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], kind: str = "") -> str:
    """`kind`: `words` where the last column is text, `sum` where the last line is a sum."""
    heads = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    rows = ["".join(_cell(place, cell) for place, cell in enumerate(line)) for line in lines]
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    return (
        f'<div class="wide" tabindex="0"><table class="{kind}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(place: int, text: str) -> str:
    if place == 0:
        return f'<th scope="row"><bdi>{_text(text)}</bdi></th>'
    return f"<td><bdi>{_text(text)}</bdi></td>"


def _tiers(experiment: ExperimentSummary, money_spent: Spending) -> str:
    lines = [
        [tier.id, *row(tier.figures), tier.best.id if tier.best else NONE]
        for tier in experiment.tiers
    ]
    best = experiment.best
    adopted = f"{best.id}/{best.best.id}" if best and best.best else NONE
    lines.append(["all", *row(experiment.figures), adopted])
    return _table(["tier", *HEAD, "best subtest"], lines, "sum words") + _paragraphs(
        f"Spent so far, over all sessions and attempts: {_text(money_spent)}. "
        f"{_text(repeated(experiment.figures))}"
    )


def _front(experiment: ExperimentSummary) -> str:
    lines = [
        [
            f"{tier}/{s.id}",
            number(s.figures.mean_score),
            money(s.figures.mean_cost),
            rate(s.figures),
            str(s.figures.judged),
        ]
        for tier, s in drawn.pareto(experiment)
    ]
    if not lines:
        return ""
    head = ["on the Pareto front", "mean score", "mean cost", "pass rate", "judged"]
    return _paragraphs(
        "On the dashed line are the subtests that no other beats: none has a higher mean score at "
        "the same mean cost or less."
    ) + _folded("As a table", _table(head, lines))


def _components(parts: Sequence[Component], picture: dict[str, str]) -> str:
    if not parts:
        return ""
    lines = [
        [
            f"{one.kind} {one.name}",
            f"{one.score:+.3f}",
            _limits(one),
            str(one.having),
            str(one.lacking),
            NONE if one.cost is None else f"{one.cost:+.4f}",
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
            "It is a comparison, not a cause: subtests that have one component have others too."
        )
        + picture.get("components", "")
        + _folded("As a table", _table(head, lines))
    )


def _limits(one: Component) -> str:
    if isinstance(one.interval, Unknown):
        return one.interval.reason
    low, high = one.interval
    return f"{low:+.3f} to {high:+.3f}"


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
            f"{pair.same_verdict:.0%}",
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
        "paths": _elsewhere(experiment, places),
        "runs": {
            "subtest": [index[tier, subtest.id] for tier, subtest, _ in places],
            **_columns([run for *_, run in places]),
            "where": where,
        },
        "prompts": list(prompts),
    }
    return data, chunks


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
    packed = base64.b64encode(zlib.compress(joined.encode(), 6)).decode()
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
