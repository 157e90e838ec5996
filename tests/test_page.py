"""The page: figures as everywhere else, advice as sure as the runs are many, text as text."""

from __future__ import annotations

import base64
import csv
import html
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.live import line_of
from pytest_scylla.reports.advice import advice
from pytest_scylla.reports.charts import charts
from pytest_scylla.reports.components import components
from pytest_scylla.reports.markdown_report import money, number, percent, signed
from pytest_scylla.reports.pairs import MOST, pairs_of
from pytest_scylla.reports.panel import panel_figures
from pytest_scylla.reports.summary import summarise
from pytest_scylla.reports.terminal import closing_table
from pytest_scylla.reports.terminal import rows as terminal_rows
from pytest_scylla.reports.text import plain
from pytest_scylla.reports.writing import write_reports
from pytest_scylla.results import AgentResult, ConfigManifest, RunFailure, TokenStats
from pytest_scylla.rounding import rounded
from pytest_scylla.statistics import Unknown
from pytest_scylla.statistics.inference import fewest_in_pair, mann_whitney
from pytest_scylla.store import write_json
from tests.support.examples import law, write_result
from tests.support.experiments import read, snapshot
from tests.support.many_runs import write_many_runs


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 runs in three tiers, some without a verdict, with reports."""
    made = write_many_runs(tmp_path_factory.mktemp("many"), runs=120, subtests=6, tiers=3)
    write_reports(made)
    return made


def text_of(cell: str) -> str:
    return html.unescape(re.sub("<.*?>", "", cell)).strip()


def table_below(page: str, title: str) -> list[list[str]]:
    """The first table after a heading."""
    found = re.search(rf"<h2>{title}</h2>.*?<table.*?>(.*?)</table>", page, re.DOTALL)
    assert found is not None
    lines = re.findall(r"<tr>(.*?)</tr>", found[1])
    return [[text_of(c) for c in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line)] for line in lines]


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    value = json.loads(found[1])
    assert isinstance(value, dict)
    return value


def records(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_terminal_markdown_json_csv_and_page_say_the_same_of_every_tier(results: Path) -> None:
    page = (results / "report.html").read_text()
    shown = table_below(page, "Tiers")
    assert shown == terminal_rows(summarise(results))
    markdown = (results / "report.md").read_text()
    cells = [re.sub(r"\[([^\[\]]*)\]\([^)]*\)", r"\1", line) for line in markdown.splitlines()]
    in_markdown = [[c.strip() for c in line.strip("|").split("|")] for line in cells]
    exported = read(results / "export" / "summary.json")
    for line in shown[1:-1]:
        assert line in in_markdown
        report = read(results / line[0] / "report.json")["summary"]
        counts = [report[name] for name in ("total_runs", "passed", "failed", "errors")]
        assert line[1:5] == list(map(str, counts))
        low, high = report["pass_rate_interval"]
        assert line[5] == f"{percent(report['pass_rate'])} [{percent(low)}–{percent(high)}]"
        assert line[6] == number(report["mean_score"])
        assert line[7:9] == [money(report["total_cost"]), money(report["cost_of_pass"])]
        assert line[9] == report["best_subtest"]
        of_tier = exported["by_tier"][line[0]]
        for name, other in {"mean_score": "mean_score", "total_cost": "total_cost",
                            "cop": "cost_of_pass", "pass_rate": "pass_rate"}.items():  # fmt: skip
            assert of_tier[name] == report[other]
    (agree,) = read(results / "export" / "statistics.json")["judge_agreement"]
    judges = read(results / "report.json")["judges"]
    assert agree["alpha_score"] == pytest.approx(judges["alpha_scores"])
    assert agree["alpha_vote"] == pytest.approx(judges["alpha_passes"])


def test_the_runs_and_subtests_of_the_page_are_those_of_the_csv_files(results: Path) -> None:
    data = data_of((results / "report.html").read_text())
    lines, runs = records(results / "export" / "runs.csv"), data["runs"]
    assert len(lines) == len(runs["number"]) == 120
    for place, line in enumerate(lines):
        subtest = data["subtests"][runs["subtest"][place]]
        assert (line["tier"], line["subtest"]) == (data["tiers"][subtest["tier"]], subtest["id"])
        assert line["run_number"] == str(runs["number"][place])
        assert line["score"] == ("" if runs["score"][place] is None else str(runs["score"][place]))
        assert line["cost_usd"] == ("" if runs["cost"][place] is None else str(runs["cost"][place]))
        passed = {"True": "passed", "False": "failed", "": f"error: {line['error']}"}
        assert runs["outcome"][place] == passed[line["passed"]]
        assert line["total_tokens"] == str(runs["tokens"][place] or "")
    for subtest, line in zip(data["subtests"], records(results / "export" / "subtests.csv"),
                             strict=True):  # fmt: skip
        figures = dict(zip(data["figures"], subtest["figures"], strict=True))
        assert figures["mean score"] == number(float(line["mean_score"]))
        assert figures["median score"] == number(float(line["median_score"]))
        assert figures["standard deviation"] == number(float(line["std_score"]))
        assert figures["mean cost"] == money(float(line["mean_cost"]))
        assert figures["cost of pass"] == money(float(line["cop"]) if line["cop"] else None)
        assert figures["runs"] == line["total_runs"]


def test_what_was_written_in_every_run_is_in_the_page(results: Path) -> None:
    page = (results / "report.html").read_text()
    where = data_of(page)["runs"]["where"]
    chunks = re.findall(r'<script type="text/plain" id="chunk-\d+">(.*?)</script>', page)
    unpacked = [json.loads(zlib.decompress(base64.b64decode(chunk))) for chunk in chunks]
    found = [unpacked[chunk][str(place)] for place, chunk in enumerate(where)]
    assert len(found) == 120
    assert all(len(one["transcript"]) == 12 and one["patch"] and one["files"] for one in found)
    assert sum("error" in one for one in found) == 3
    assert all(len(one["judges"][0]["items"]) == 8 for one in found if "error" not in one)


def test_a_page_that_is_current_is_left_alone(results: Path) -> None:
    before = snapshot(results)
    write_reports(results)
    assert snapshot(results) == before


# -- advice ----------------------------------------------------------------------------------------


def scored(root: Path, cell: str, scores: list[float], cost: float) -> None:
    for place, score in enumerate(scores, 1):
        write_result(root / cell / f"run_{place:02d}", score, cost_usd=cost + place / 1000)


def said_everywhere(root: Path) -> dict[str, str]:
    """What terminal, report.md, report.json and the page say of the set-up that leads."""
    summary = write_reports(root)
    (top,) = re.findall('<p class="adopt">(.*?)</p>', (root / "report.html").read_text())
    (said,) = re.findall(r"^\*\*(.*?)\*\*", (root / "report.md").read_text(), re.MULTILINE)
    lines = closing_table(summary)
    return {
        "terminal": next(line for line in lines if "so far" in line),
        "markdown": said,
        "json": read(root / "report.json")["best"]["says"],
        "page": text_of(top),
    }


def test_a_clearly_better_score_at_a_higher_cost_leaves_it_undecided(tmp_path: Path) -> None:
    scored(tmp_path, "T0/00-empty", [0.6, 0.61, 0.62, 0.63, 0.64, 0.65], 0.1)
    scored(tmp_path, "T1/01-it", [0.9, 0.91, 0.92, 0.93, 0.94, 0.95], 0.5)
    found = advice(summarise(tmp_path))
    assert found is not None
    assert found.chosen.name == "T0/00-empty"
    assert not found.decided
    assert found.highest is not None
    assert found.highest.score.clear
    assert str(found.highest.score).startswith("higher (p 0.002")
    says = "Cheapest pass so far: T0/00-empty, $0.1035"
    everywhere = said_everywhere(tmp_path)
    assert everywhere.pop("page") == says.partition(",")[0]
    assert set(everywhere.values()) == {says}
    page = text_of((tmp_path / "report.html").read_text().split("</main>")[0])
    assert "T1/01-it has a mean score of 0.925 instead of 0.625" in page
    assert "Adopt" not in page


def test_what_beats_every_other_set_up_is_to_be_adopted(tmp_path: Path) -> None:
    scored(tmp_path, "T0/00-empty", [0.6, 0.61, 0.62, 0.63, 0.64, 0.65], 0.5)
    scored(tmp_path, "T0/01-it", [0.9, 0.91, 0.92, 0.93, 0.94, 0.95], 0.1)
    scored(tmp_path, "T1/00-as-good", [0.9, 0.91, 0.92, 0.93, 0.94, 0.95], 0.3)
    found = advice(summarise(tmp_path))
    assert found is not None
    assert found.decided
    everywhere = said_everywhere(tmp_path)
    assert everywhere["terminal"] == "Cheapest pass so far: T0/01-it, $0.1035"
    assert everywhere["page"] == "Adopt: T0/01-it"
    assert everywhere["markdown"] == everywhere["json"] == "Adopt: T0/01-it, $0.1035"
    assert read(tmp_path / "report.json")["best"]["decided"] is True


def test_the_cheapest_pass_is_of_all_set_ups_and_the_sum_names_the_best_score(
    tmp_path: Path,
) -> None:
    scored(tmp_path, "T0/00-empty", [0.7, 0.7], 0.1)
    scored(tmp_path, "T0/01-best", [1.0, 1.0], 0.4)
    scored(tmp_path, "T1/01-it", [0.9, 0.9], 0.2)
    write_reports(tmp_path)
    summary = summarise(tmp_path)
    assert terminal_rows(summary)[-1][-1] == "T0/01-best"
    assert "Cheapest pass so far: T0/00-empty, $0.1015" in closing_table(summary)
    report = read(tmp_path / "report.json")
    assert report["summary"]["best_subtest"] == report["best"]["subtest"] == "00-empty"
    assert "| T0/01-best | 2 | 0 | +0.300 | – | – |" in (tmp_path / "report.md").read_text()
    for file in ("report.md", "report.html"):
        assert "Least cost" not in (tmp_path / file).read_text()


# -- two set-ups -----------------------------------------------------------------------------------


def test_two_subtests_of_one_tier_are_compared_in_every_report(tmp_path: Path) -> None:
    """Six runs each, 1.000 against 0.667, and one error: 2 of 924 splits are as extreme."""
    scored(tmp_path, "T0/00-empty", [0.667] * 6, 0.1)
    scored(tmp_path, "T0/01-careful", [1.0] * 6, 0.1)
    failure = RunFailure(kind="crash", message="", stage="agent", at="")
    write_json(tmp_path / "T0" / "01-careful" / "run_07" / "error.json", failure)
    write_reports(tmp_path)
    (pair,) = read(tmp_path / "export" / "statistics.json")["pairs"]
    assert (pair["set_up1"], pair["set_up2"]) == ("T0/00-empty", "T0/01-careful")
    assert (pair["n1"], pair["n2"], pair["errors1"], pair["errors2"]) == (6, 6, 0, 1)
    assert pair["score"]["difference"] == pytest.approx(-0.333)
    assert pair["score"]["p_value"] == pytest.approx(2 / 924)
    assert pair["score"]["reason"] == "all runs of one of them have the same value"
    low, high = pair["pass_rate"]["ci_low"], pair["pass_rate"]["ci_high"]
    assert low == -high == pytest.approx(-0.390, abs=0.001)
    page, report = ((tmp_path / f"report.{end}").read_text() for end in ("html", "md"))
    assert "| T0/00-empty | 6 | 0 | -0.333 | – | 0.002 | +0 points |" in report
    assert "The other set-up differs from it in score or cost by more than chance." in report
    assert "Whether tiers differ" not in report
    assert "-0.333, lower (p 0.002)" in page
    ((one, other, score, rate, _cost),) = data_of(page)["pairs"]
    assert (one, other) == (0, 1)
    assert score.startswith("-0.333, lower (p 0.002); no interval: all runs of one")
    assert rate == "+0 points [-39 to +39 points], not more than chance (p 1.000)"


def test_with_too_few_runs_a_pair_says_so_and_why(tmp_path: Path) -> None:
    scored(tmp_path, "T0/00-empty", [0.6, 0.7, 0.7], 0.1)
    scored(tmp_path, "T0/01-it", [1.0, 1.0, 1.0, 1.0], 0.5)
    write_reports(tmp_path)
    why = "not enough runs to tell: each needs 4 judged runs, there are 4 and 3"
    for file in ("report.md", "report.html"):
        assert why in (tmp_path / file).read_text()
    (pair,) = read(tmp_path / "export" / "statistics.json")["pairs"]
    assert "p_value" not in pair["score"]


def test_pairs_with_the_cheapest_pass_come_first_and_are_corrected(tmp_path: Path) -> None:
    for place, cell in enumerate(("T0/00-a", "T0/01-b", "T1/00-c", "T1/01-d")):
        scores = [0.6 + place / 10 + n / 1000 for n in range(6)]
        scored(tmp_path, cell, scores, 0.1 + place)
    known = pairs_of(summarise(tmp_path))
    names = [(pair.one.name, pair.other.name) for pair in known.pairs]
    assert names == [
        *(("T0/01-b", "T0/00-a"), ("T1/00-c", "T0/00-a"), ("T1/01-d", "T0/00-a")),
        *(("T1/01-d", "T1/00-c"), ("T1/00-c", "T0/01-b"), ("T1/01-d", "T0/01-b")),
    ]
    raw = 2 / 924
    assert [known.p_of("score", place) for place in range(4)] == [
        *[pytest.approx(3 * raw)] * 3,
        None,
    ]
    assert all(pair.score.p == pytest.approx(raw) for pair in known.pairs)


def test_of_very_many_pairs_those_with_the_cheapest_pass_and_within_tiers_are_computed(
    tmp_path: Path,
) -> None:
    for place in range(80):
        scored(tmp_path, f"T{place % 4}/{place:02d}-x", [0.6, 0.8, 0.9, 1.0], 0.1 + place)
    known = pairs_of(summarise(tmp_path))
    assert len(known.pairs) == MOST
    assert {pair.other.name for pair in known.pairs[:79]} == {"T0/00-x"}
    assert len({pair.one.name for pair in known.pairs[:79]}) == 79
    within = 4 * 20 * 19 // 2 - 19
    for pair in known.pairs[79 : 79 + within]:
        assert pair.one.name[:2] == pair.other.name[:2]


def test_with_few_runs_it_says_that_they_are_not_enough(tmp_path: Path) -> None:
    scored(tmp_path, "T0/00-empty", [0.6, 0.7], 0.1)
    scored(tmp_path, "T1/01-it", [0.9, 1.0], 0.5)
    found = advice(summarise(tmp_path))
    assert found is not None
    assert found.how_sure().startswith("Not enough runs to tell")


def test_without_a_pass_or_a_verdict_nothing_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "T0" / "00-empty" / "run_01").mkdir(parents=True)
    write_reports(tmp_path)
    assert "No answer yet" in (tmp_path / "report.html").read_text()
    scored(tmp_path, "T0/01-other", [0.1, 0.2], 0.1)
    write_reports(tmp_path)
    said = "No set-up has passed yet; highest median score so far: T0/01-other, 0.150"
    assert said in (tmp_path / "report.html").read_text()
    assert said in (tmp_path / "report.md").read_text()


# -- components ------------------------------------------------------------------------------------


def set_up(root: Path, cell: str, score: float, **resources: Any) -> None:
    scored(root, cell, [score], 0.1)
    tier, subtest = cell.split("/")
    manifest = ConfigManifest(
        tier_id=tier, subtest_id=subtest, fixture_config_path="", resources=resources,
        composed_at="", claude_md_hash=None, inherited_from=None,
    )  # fmt: skip
    write_json(root / cell / "config_manifest.json", manifest)


def test_a_component_is_worth_the_mean_with_it_less_the_mean_without(tmp_path: Path) -> None:
    set_up(tmp_path, "T0/00-none", 0.2, tools={"enabled": ["Read"]})
    set_up(tmp_path, "T0/01-one", 0.8, claude_md={"blocks": ["B01"]}, tools={"enabled": "all"})
    set_up(tmp_path, "T0/02-two", 0.6, claude_md={"blocks": ["B01", "B02"]})
    set_up(tmp_path, "T0/03-no", 0.4, tools={"enabled": ["Read", "Bash"]})
    found = {f"{one.kind} {one.name}": one for one in components(summarise(tmp_path))}
    block = found["block B01"]
    assert block.score == pytest.approx(0.7 - 0.3)
    assert (block.having, block.lacking) == (2, 2)
    assert not isinstance(block.interval, Unknown)
    assert block.interval == pytest.approx((-0.2085, 1.0085), abs=1e-3)
    assert isinstance(found["block B02"].interval, Unknown)
    bash = found["tool Bash"]
    assert (bash.having, bash.lacking) == (2, 1)
    assert bash.score == pytest.approx((0.8 + 0.4) / 2 - 0.2)
    assert "tool Read" not in found


@pytest.mark.parametrize("scores", [(-0.03, -0.03), (-0.03, -0.2), (0.3, 0.1), (0.3, -0.2), (0, 0)])
def test_the_bars_of_components_are_within_their_axis(
    tmp_path: Path, scores: tuple[float, ...]
) -> None:
    for place, score in enumerate(scores):
        for time in (0, 1):
            blocks = {"claude_md": {"blocks": [f"B{place}"]}}
            set_up(tmp_path, f"T0/{place}{time}-x", 0.5 + score + time / 50, **blocks)
    set_up(tmp_path, "T0/99-empty", 0.5)
    parts = [replace(one, interval=Unknown("none")) for one in components(summarise(tmp_path))]
    parts = [replace(one, score=value) for one, value in zip(parts, scores, strict=True)]
    summary = summarise(tmp_path)
    svg = charts(summary, panel_figures(summary), parts)["components"]
    (width,) = re.findall(r'class="plot"><rect x="0" y="0" width="([\d.]+)"', svg)
    bars = re.findall(r'<rect x="([-\d.]+)"[^>]*class="rect ', svg)
    widths = re.findall(r'width="([-\d.]+)"[^>]*class="rect ', svg) or ["0"] * len(bars)
    assert len(bars) == len(scores)
    for left, wide in zip(bars, widths, strict=True):
        assert 0 <= float(left) <= float(left) + float(wide) <= float(width)


def test_the_lines_of_components_are_said_only_where_there_are_lines(tmp_path: Path) -> None:
    set_up(tmp_path, "T0/00-none", 0.2)
    set_up(tmp_path, "T0/01-one", 0.8, claude_md={"blocks": ["B01"]})
    write_reports(tmp_path)
    assert "The lines are" not in (tmp_path / "report.html").read_text()
    set_up(tmp_path, "T0/02-two", 0.7, claude_md={"blocks": ["B01"]})
    set_up(tmp_path, "T0/03-three", 0.3)
    write_reports(tmp_path)
    assert "The lines are 95 % intervals." in (tmp_path / "report.html").read_text()


# -- decimals --------------------------------------------------------------------------------------


@law
@given(st.integers(-(10**7), 10**7), st.integers(0, 4))
def test_decimals_are_rounded_half_up_and_away_from_zero(number_: int, digits: int) -> None:
    """Of every number with five decimals, whatever binary digits it has."""
    half = 10 ** (5 - digits) // 2
    units = (abs(number_) + half) // 10 ** (5 - digits)
    sign = "-" if number_ < 0 and units else ""
    text = f"{units:0{digits + 1}d}"
    expected = f"{text[:-digits]}.{text[-digits:]}" if digits else text
    assert rounded(number_ / 100_000, digits) == f"{sign}{expected}"


def test_two_means_of_the_same_value_are_rounded_alike() -> None:
    below, above = 0.8374999999999999, 0.8375
    assert below != above
    assert number(below) == number(above) == "0.838"
    assert (number(0.5625), number(1.0005), money(0.00005)) == ("0.563", "1.001", "$0.0001")
    assert (signed(-0.5625), signed(0.0), signed(-0.0001)) == ("-0.563", "+0.000", "+0.000")
    assert rounded(1e300, 3)[-4:] == ".000"
    assert (rounded(float("inf"), 2), rounded(float("nan"), 2)) == ("inf", "nan")


def test_a_score_is_rounded_alike_in_every_place(tmp_path: Path) -> None:
    scored(tmp_path, "T0/00-empty", [0.5625, 0.5625], 0.1)
    write_reports(tmp_path)
    summary = summarise(tmp_path)
    facts = {"score": 0.5625, "grade": "C", "tokens_total": 0, "duration_seconds": 2.25}
    assert "score 0.563 (C)" in line_of("x::T0::00-empty::run_01", "PASSED", facts)
    assert terminal_rows(summary)[1][6] == "0.563"
    for file in ("report.md", "T0/00-empty/report.md", "T0/00-empty/run_01/report.md"):
        said = (tmp_path / file).read_text()
        assert "0.563" in said
        assert "0.562" not in said
    page = (tmp_path / "report.html").read_text().partition("<script")[0]
    assert "0.563" in page
    assert "0.562" not in page


# -- text ------------------------------------------------------------------------------------------


@law
@given(st.text())
def test_no_text_keeps_what_steers_a_terminal_or_turns_the_writing(text: str) -> None:
    shown = plain(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert plain(shown) == shown


def test_colours_and_titles_of_a_terminal_are_taken_out() -> None:
    assert plain("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link") == "red link"
    assert plain("a\x00b\u202ec\r\n") == "a␀b⟨U+202E⟩c\n"


def test_a_run_without_a_verdict_is_in_the_cost_of_pass_of_every_file(tmp_path: Path) -> None:
    scored(tmp_path, "T0/00-empty", [0.8, 0.9], 0.1)
    lost = tmp_path / "T0" / "00-empty" / "run_03"
    write_json(lost / "error.json", RunFailure(kind="no_quorum", message="", stage="judge", at=""))
    spent = AgentResult(exit_code=0, stdout="", stderr="", token_stats=TokenStats(),
                        cost_usd=1.0, api_calls=1)  # fmt: skip
    write_json(lost / "agent" / "result.json", spent)
    write_reports(tmp_path)
    costs = [
        read(tmp_path / "T0" / "report.json")["summary"]["cost_of_pass"],
        read(tmp_path / "export" / "statistics.json")["tier_descriptives"][0]["cop"],
        read(tmp_path / "export" / "summary.json")["by_tier"]["T0"]["cop"],
        float(records(tmp_path / "export" / "subtests.csv")[0]["cop"]),
    ]
    assert costs == pytest.approx([1.203 / 2] * 4)


def test_what_others_wrote_makes_no_markdown(tmp_path: Path) -> None:
    hostile = "a | b\n# Head <script>x</script> [c](javascript:x) \x1b[31m`code[0]`\n```\n[d]: x"
    item = {"achieved": 0.5, "max": 1, "reason": hostile}
    scores = {"work": {"achieved": 0.5, "max": 1, "score": 0.5, "items": {"R1": item}}}
    vote = {"model": "m", "judge_number": 1, "score": 0.5, "reasoning": f"={hostile}",
            "passed": False, "grade": "C", "criteria_scores": scores}  # fmt: skip
    run = tmp_path / "T0" / "00-a|b [c](d)" / "run_01"
    write_result(run, 0.5, judge_reasoning=hostile, criteria_scores=scores, judges=[vote])
    failure = RunFailure(kind="crash", message=hostile, stage="agent", at="")
    write_json(run.with_name("run_02") / "error.json", failure)
    write_reports(tmp_path)
    judged, crashed = (run.with_name(f"run_0{n}") / "report.md" for n in (1, 2))
    flat = r"a \| b # Head \<script>x\</script> [c]\(javascript:x) `code[0]` ``` [d]\: x"
    assert f"| work | R1 | 0.5 | 1.0 | – | {flat} |" in judged.read_text()
    lines = judged.read_text().splitlines()
    assert r"> # Head \<script>x\</script> [c]\(javascript:x) `code[0]`" in lines
    assert "````\na | b\n# Head <script>x</script>" in crashed.read_text()
    subtest = r"[00-a\|b [c]\(d)](00-a%7Cb%20%5Bc%5D%28d%29/report.md)"
    assert subtest in (tmp_path / "T0" / "report.md").read_text()
    (line,) = records(tmp_path / "export" / "judges.csv")
    assert line["judge_reasoning"] == f"'={hostile}"


def test_the_runs_that_a_comparison_takes_are_those_of_the_test_of_ranks() -> None:
    """Five of each, among six set-ups besides the adopted one: 2/252 * 6 is below 0.05."""
    assert [fewest_in_pair(n, 0.05) for n in (1, 2, 6)] == [4, 5, 5]
    for n in (4, 5):
        p = mann_whitney([1 + place for place in range(n)], [-place for place in range(n)])
        assert not isinstance(p, Unknown)
        assert (p.p * 6 < 0.05) == (n >= fewest_in_pair(6, 0.05))
