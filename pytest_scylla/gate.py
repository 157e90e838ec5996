"""--scylla-baseline: the session fails where a tier got worse than in earlier results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .arguments import share
from .columns import terminal_width
from .errors import EXIT_NOT_COMPARED, EXIT_REGRESSION, InputError

if TYPE_CHECKING:
    from .recorder import Recorder
    from .reports.regression import Regression
    from .reports.summary import ExperimentSummary
    from .reports.table import Row


def add_options(group: pytest.OptionGroup) -> None:
    """What the gate can be told."""
    group.addoption(
        "--scylla-baseline",
        metavar="DIR_OR_FILE",
        help="compare with earlier results (a results directory, a directory of such, or a table "
        f"of runs); exit status {EXIT_REGRESSION} if a tier got worse, {EXIT_NOT_COMPARED} if "
        "nothing could be compared",
    )
    group.addoption(
        "--scylla-alpha",
        type=share,
        default=0.05,
        metavar="P",
        help="chance of a false alarm of --scylla-baseline, over all tiers (default: 0.05)",
    )


class Gate:
    """Only in the process that the user started: reads the baseline before anything is paid."""

    def __init__(self, config: pytest.Config, recorder: Recorder) -> None:
        self.config = config
        self.recorder = recorder
        self.baseline = Path(
            config.invocation_params.dir, config.getoption("scylla_baseline")
        ).resolve()
        self.alpha: float = config.getoption("scylla_alpha")
        self.before: list[Row] = []
        self.regression: Regression | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Read the baseline as it is now; what cannot be compared is a usage error."""
        from .reports.table import read_table, results_below

        try:
            places = results_below(self.baseline) if self.baseline.is_dir() else []
            self._refuse_own({place.resolve() for place in places})
            self.before = read_table(self.baseline)
        except InputError as error:
            raise pytest.UsageError(f"--scylla-baseline: {error}") from None

    def _refuse_own(self, places: set[Path]) -> None:
        own = places & {known.results.resolve() for known in self.recorder.known.values()}
        for place in own:
            raise pytest.UsageError(
                f"--scylla-baseline: this session goes on with {place}: it cannot be compared with "
                "itself\n  next: name earlier results, or start new ones with --scylla-fresh"
            )

    def compare(self, summaries: Sequence[ExperimentSummary]) -> None:
        """Compare what the session leaves; comparison.json of each experiment is for its reports.

        Raises OSError where it cannot be written.
        """
        from .reports.comparison import NAME
        from .reports.regression import comparison, find_regressions
        from .reports.table import rows_of
        from .store import write_json

        after = [row for summary in summaries for row in rows_of(summary)]
        names = {row.experiment for row in after}
        before = [row for row in self.before if row.experiment in names] or self.before
        self.regression = find_regressions(before, after, self.alpha)
        for summary in summaries:
            found = comparison(self.regression, str(self.baseline), summary.digest)
            write_json(summary.path / NAME, found)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A tier that got worse fails the session, and so does a gate that compared nothing."""
        if session.exitstatus in (0, 1) and self.recorder.selected:
            status = self.regression.exit_status if self.regression else EXIT_NOT_COMPARED
            session.exitstatus = status or session.exitstatus

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """A section of its own."""
        if self.regression is None and not self.recorder.selected:
            return
        from .reports.regression import lines_of

        terminalreporter.write_sep("=", f"scylla: against {self.baseline}")
        none = ["nothing was compared: this session has no results"]
        width = terminal_width()
        *lines, verdict = lines_of(self.regression, width) if self.regression else none
        for line in lines:
            terminalreporter.write_line(line)
        bad = self.regression is None or self.regression.exit_status != 0
        terminalreporter.write_line(verdict, red=bad, bold=bad)
