"""Sessions that execute nothing: a results directory is looked at, or its files are made anew."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .collection import SESSION
from .columns import terminal_width
from .errors import ScyllaError

if TYPE_CHECKING:
    from .recorder import Recorder
    from .reports.summary import ExperimentSummary
    from .tenancy import Tenancy


def add_options(group: pytest.OptionGroup) -> None:
    """Options of such sessions."""
    group.addoption(
        "--scylla-rebuild",
        action="store_true",
        help="regenerate missing result files, checkpoint.json and all reports; runs no agents, "
        "calls no judges",
    )
    group.addoption(
        "--scylla-attempt",
        choices=("first", "latest"),
        default="first",
        help="which judged attempt of a run counts in this session's reports (default: first)",
    )


def register(config: pytest.Config, recorder: Recorder) -> None:
    """Register what this session does with results directories that are there, if anything.

    Raises UsageError where a results directory is named that is none of the experiments'.
    """
    tree = config.stash[SESSION].tree
    own = [known.results for known in recorder.known.values()]
    alone = tree is not None and not any(Path(tree) in (path, path.parent) for path in own)
    rebuild = config.getoption("scylla_rebuild")
    figures = alone and not config.option.collectonly
    if alone and tree:
        from .tree import trees_of_agents

        _check_alone(config, recorder, Path(tree))
        own = trees_of_agents(Path(tree)) or [Path(tree)]
    if rebuild:
        config.option.collectonly = True
    if alone or rebuild:
        there = [path for path in own if path.is_dir()]
        config.pluginmanager.register(
            Recovery(config, there, rebuild, alone, figures), "scylla-recovery"
        )


def _check_alone(config: pytest.Config, recorder: Recorder, tree: Path) -> None:
    """A results directory without its experiment: it is all that this session is about, unless
    other tests are named."""
    if config.args_source != pytest.Config.ArgsSource.ARGS:
        config.args.clear()
        config.option.collectonly = True
        recorder.known.clear()
    elif recorder.known:
        from .tree import ResultsTree

        raise pytest.UsageError(
            f"--scylla-results {tree}: it holds results of experiment "
            f"{ResultsTree(tree).experiment_id!r}, and none of the experiments named has that id\n"
            "  next: name that experiment, or no test at all to look at the results alone; of an "
            "experiment with several agents, name the directory that holds all of them"
        )


class Recovery:
    """Looks at results directories after a session, and with `rebuild` mends them before that."""

    def __init__(
        self,
        config: pytest.Config,
        trees: Sequence[Path],
        rebuild: bool,
        alone: bool,
        figures: bool,
    ) -> None:
        self.config = config
        self.trees = trees
        self.rebuild = rebuild
        self.alone = alone
        self.figures = figures
        self.latest = config.getoption("scylla_attempt") == "latest"
        self.held: list[Tenancy] = []
        self.done: list[tuple[str, ExperimentSummary]] = []

    def pytest_report_header(self) -> str | None:
        """What is looked at, where no experiment says it."""
        if not self.alone:
            return None
        does = "lost files are made anew" if self.rebuild else "nothing is changed"
        return f"scylla: {', '.join(map(self._shown, self.trees))} (results alone; {does})"

    def _shown(self, path: Path) -> str:
        return os.path.relpath(path, self.config.invocation_params.dir)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Hold the directories that will be written to."""
        if not self.rebuild:
            return
        from .tenancy import Tenancy

        for path in self.trees:
            tenancy = Tenancy(path)
            try:
                tenancy.take()
            except ScyllaError as error:
                raise pytest.UsageError(str(error)) from None
            self.held.append(tenancy)

    def pytest_unconfigure(self) -> None:
        """Let go of them."""
        for tenancy in self.held:
            tenancy.leave()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Rebuild; a session that looks at results alone has no tests, and that is right."""
        if self.rebuild:
            secret = self.config.stash[SESSION].secret
            self.done = [rebuild(path, secret, latest=self.latest) for path in self.trees]
            self._report_agents()
        if self.alone and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK

    def _report_agents(self) -> None:
        """What stands above the directories of several agents of an experiment."""
        from .reports.writing import write_agents_report

        agents = [one.path.parent for _, one in self.done if one.agent_name]
        for top in dict.fromkeys(agents):
            write_agents_report(top, latest=self.latest)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """What was made anew, what is there, and the figures."""
        if self.alone:
            self._show(terminalreporter, "scylla", self._statuses())
        for path, (said, summary) in zip(self.trees, self.done, strict=False):
            self._show(terminalreporter, f"scylla rebuild: {self._shown(path)}", [said])
            self._figures(terminalreporter, summary)
        if self.figures and not self.done:
            from .reports.summary import summarise

            for path in self.trees:
                self._figures(terminalreporter, summarise(path, latest=self.latest))

    def _statuses(self) -> list[str]:
        from .status import tree_counts
        from .tree import ResultsTree

        width = terminal_width()
        return [ln for path in self.trees for ln in tree_counts(ResultsTree(path)).table(width)]

    def _figures(self, terminalreporter: Any, summary: ExperimentSummary) -> None:
        from .reports.terminal import closing_table

        table = closing_table(summary, terminal_width())
        self._show(terminalreporter, f"scylla: {summary.id}", table)

    def _show(self, terminalreporter: Any, title: str, lines: Sequence[str]) -> None:
        terminalreporter.write_sep("=", title)
        for line in lines:
            terminalreporter.write_line(line)


def rebuild(path: Path, secret: str = "", *, latest: bool = False) -> tuple[str, ExperimentSummary]:
    """Make lost files of a results directory anew; says what was made, and what there is now."""
    from .rebuild import rebuild_runs
    from .reports.writing import write_reports
    from .tree import ResultsTree

    tree = ResultsTree(path)
    written = rebuild_runs(tree, secret)
    summary = write_reports(path, keep=tree.foreign, latest=latest)
    said = ", ".join(f"{count} {name}" for name, count in sorted(written.items()))
    return f"made anew: {said or 'no result file'}; checkpoint.json and reports", summary
