"""The command `scylla`: looks at results without running tests, and writes a first experiment."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from .arguments import share
from .columns import in_columns, terminal_width, within
from .errors import ScyllaError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status: 0, 2 for bad input; of `compare` 8 where a tier got worse,
    and 9 where nothing could be compared."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.does(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ScyllaError, OSError) as error:
        print(f"scylla: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scylla", description="Look at results of pytest-scylla. `pytest` runs experiments."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, does: object, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.set_defaults(does=does)
        return command

    results = "a results directory, or one that holds several: then the newest of each experiment"
    status = add("status", _status, "how far runs and judgments have come, and the figures")
    status.add_argument("directory", type=Path, metavar="DIR", help=results)
    report = add("report", _report, "regenerate reports and exports that are out of date")
    report.add_argument("directory", type=Path, metavar="DIR", help=results)
    report.add_argument("--parquet", action="store_true", help="also write the tables as Parquet")
    compare = add(
        "compare",
        _compare,
        "compare two sets of results on the runs that both have, or two set-ups of one",
    )
    tables = f"{results}; or a table of runs (CSV, JSON)"
    compare.add_argument("before", type=Path, metavar="A", help=f"the earlier results: {tables}")
    compare.add_argument(
        "after", type=Path, metavar="B", nargs="?", help="the later ones, likewise"
    )
    compare.add_argument(
        "--between",
        nargs=2,
        metavar=("TIER/SUBTEST", "TIER/SUBTEST"),
        help="compare these two set-ups of A, without B",
    )
    compare.add_argument(
        "--alpha", type=share, default=0.05, help="chance of a false alarm over all tiers (0.05)"
    )
    init = add("init", _init, "write a small experiment that runs at once with `pytest DIR`")
    init.add_argument("directory", type=Path, metavar="DIR", help="a new or empty folder")
    return parser


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _status(options: argparse.Namespace) -> int:
    from .reports.summary import summarise
    from .reports.table import results_below
    from .reports.terminal import closing_table
    from .status import tree_counts
    from .tree import ResultsTree

    for place in results_below(options.directory):
        print(os.path.relpath(place))
        _say(tree_counts(ResultsTree(place)).table(terminal_width()))
        _say(["", *closing_table(summarise(place), terminal_width()), ""])
    return 0


def _report(options: argparse.Namespace) -> int:
    from .reports.export import write_parquet
    from .reports.table import results_below
    from .reports.terminal import closing_table
    from .reports.writing import write_agents_report, write_reports
    from .tenancy import Tenancy
    from .tree import ResultsTree

    places, tops = results_below(options.directory), dict[Path, None]()
    for place in places:
        tenancy = Tenancy(place)
        tenancy.take()
        try:
            summary = write_reports(place, keep=ResultsTree(place).foreign)
            if summary.agent_name:
                tops.setdefault(place.parent)
            if options.parquet:
                write_parquet(summary)
        finally:
            tenancy.leave()
        files = {"report": place / "report.md", "page": place / "report.html"}
        named = [f"{name}: {os.path.relpath(path)}" for name, path in files.items()]
        _say([*closing_table(summary, terminal_width()), *named, ""])
    for top in tops:
        write_agents_report(top)
        _say([f"all agents: {os.path.relpath(top / 'report.html')}"])
    return 0


def _compare(options: argparse.Namespace) -> int:
    if (options.after is None) == (options.between is None):
        raise ScyllaError(
            "compare: name two sets of results, or one and --between TIER/SUBTEST TIER/SUBTEST"
        )
    return _compare_set_ups(options) if options.between else _compare_results(options)


def _compare_set_ups(options: argparse.Namespace) -> int:
    from .reports.pairs import between, compare, named, notes_of
    from .reports.table import read_table

    rows = read_table(options.before)
    one, other = (named(rows, name) for name in options.between)
    (pair,) = compare([(one, other)])
    table = between(pair)
    _say(in_columns(table, words=(0, -1), width=terminal_width()))
    _say(within(notes_of(pair), terminal_width()))
    return 0


def _compare_results(options: argparse.Namespace) -> int:
    from .reports.regression import find_regressions, lines_of
    from .reports.table import read_table

    before, after = read_table(options.before), read_table(options.after)
    regression = find_regressions(before, after, options.alpha)
    _say(lines_of(regression, terminal_width()))
    return regression.exit_status


def _init(options: argparse.Namespace) -> int:
    from .starter import write_starter

    written = write_starter(options.directory)
    _say(os.path.relpath(path) for path in written)
    print(f"next: pytest {options.directory}")
    print(f"then: read {os.path.relpath(written[0])}, which says how to make it yours")
    return 0
