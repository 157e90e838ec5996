"""Our columns and the experiments' tables inside pytest-html."""

from __future__ import annotations

import os
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .reporting import facts_of
from .rounding import rounded

if TYPE_CHECKING:
    from .recorder import Recorder
    from .reports.summary import ExperimentSummary

COLUMNS = ("tier", "subtest", "run", "score", "grade", "cost", "tokens", "work", "files")
HEADS = {"work": "Agent + judges", "cost": "Cost ($)", "score": "Score"}
PLACE = 2
"""Where our columns come: after the result and the test's id."""


class HtmlColumns:
    """Hooks of pytest-html; never called where it is not installed."""

    def __init__(self, config: pytest.Config, recorder: Recorder) -> None:
        page = config.getoption("htmlpath", None)
        self.folder = Path(page).absolute().parent if page else Path.cwd()
        self.recorder = recorder

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Ours; with the agent where an experiment has several."""
        known = self.recorder.known.values()
        several = any(one.experiment.agent_name for one in known)
        return ("agent", *COLUMNS) if several else COLUMNS

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Our column heads."""
        cells[PLACE:PLACE] = [
            f'<th class="sortable" data-column-type="{name}">'
            f"{escape(HEADS.get(name, name.capitalize()))}</th>"
            for name in self.columns
        ]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        """Our cells of one row; empty for ordinary tests."""
        if cells:
            facts = facts_of(report)
            texts = self._texts(facts) if facts else dict.fromkeys(self.columns, "")
            cells[PLACE:PLACE] = [
                f'<td class="col-{name}">{texts[name]}</td>' for name in self.columns
            ]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_html(self, report: Any, data: list[str]) -> None:
        """Why a run was skipped, as text; pytest keeps it with a place in a file."""
        facts = facts_of(report)
        if facts and facts.get("skipped"):
            data[:] = [escape(facts["skipped"])]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str]) -> None:
        """The experiments' tables on top."""
        prefix += [self._table(summary) for summary in self.recorder.summaries]

    def _texts(self, facts: dict[str, Any]) -> dict[str, str]:
        tokens, seconds = facts.get("tokens_total"), facts.get("duration_seconds")
        score, cost = facts.get("score"), facts.get("cost_usd")
        run = f"run_{facts['run']:02d}" + (" ↻" if facts.get("attempts", 1) > 1 else "")
        return {
            "agent": escape(facts.get("agent") or ""),
            "tier": escape(facts["tier"]),
            "subtest": escape(facts["subtest"]),
            "run": run + (" (cached)" if facts.get("cached") else ""),
            "score": "" if score is None else rounded(score, 3),
            "grade": escape(facts.get("grade") or ""),
            "cost": "" if cost is None else rounded(cost, 4),
            "tokens": "" if tokens is None else f"{tokens:,}",
            "work": "" if seconds is None else f"{rounded(seconds, 1)} s",
            "files": self._files(Path(facts["directory"])),
        }

    def _files(self, run: Path) -> str:
        found = {"report": run / "report.md", "patch": run / "agent" / "changes.patch"}
        return " ".join(self._link(path, name) for name, path in found.items() if path.exists())

    def _link(self, path: Path, name: str) -> str:
        return f'<a href="{escape(os.path.relpath(path, self.folder))}">{escape(name)}</a>'

    def _table(self, summary: ExperimentSummary) -> str:
        from .reports.markdown_report import stale
        from .reports.terminal import rows

        head, *body = rows(summary)
        lines = [_line("th", head), *(_line("td", row) for row in body)]
        links = {"page": summary.path / "report.html", "report": summary.path / "report.md"}
        there = [self._link(path, name) for name, path in links.items() if path.exists()]
        title = f"{escape(summary.id)} ({', '.join(there)})"
        style = "border-collapse:collapse;font-variant-numeric:tabular-nums"
        remark = f"<p>{escape(stale(summary))}</p>" if summary.stale else ""
        return f'<h3>{title}</h3><table style="{style}">{"".join(lines)}</table>{remark}'


def _line(tag: str, cells: list[str]) -> str:
    """A row of the table: words to the left, figures to the right."""
    texts = []
    for place, cell in enumerate(cells):
        side = "left" if place in (0, len(cells) - 1) else "right"
        style = f"padding:2px 10px;text-align:{side}"
        texts.append(f'<{tag} style="{style}">{escape(cell)}</{tag}>')
    return f"<tr>{''.join(texts)}</tr>"
