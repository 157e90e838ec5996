"""Tables and sentences in a terminal: in columns, and within its width."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Collection, Iterable, Sequence

GAP = "  "

LEAST = 8
"""Characters of a column of words that stay when it is shortened."""


def terminal_width() -> int | None:
    """Characters in a line of the terminal that is written to; None for a file or a pipe."""
    stdout = sys.__stdout__
    if stdout is None or not stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def in_columns(
    rows: Sequence[Sequence[str]],
    *,
    words: Collection[int] = (0,),
    width: int | None = None,
    spare: Iterable[str] = (),
) -> list[str]:
    """Lines of a table whose first row is its head: words to the left, figures to the right.

    If that is more than `width` characters, the columns named in `spare` are left out one after
    the other, then the longest column of `words` (by number) is shortened. Figures never are.
    """
    words = {number % len(rows[0]) for number in words}
    kept = list(range(len(rows[0])))
    for name in spare:
        if width is None or _width(rows, kept) <= width:
            break
        kept = [column for column in kept if rows[0][column] != name]
    table = [[row[column] for column in kept] for row in rows]
    left = [place for place, column in enumerate(kept) if column in words]
    while width is not None and _width(table, range(len(kept))) > width:
        longest = max(left, key=lambda place: _widths(table)[place], default=None)
        if longest is None or _widths(table)[longest] <= LEAST:
            break
        most = _widths(table)[longest] - 1
        for line in table:
            line[longest] = shortened(line[longest], most)
    return [_line(line, _widths(table), left) for line in table]


def _width(rows: Sequence[Sequence[str]], columns: Collection[int]) -> int:
    widths = _widths(rows)
    return sum(widths[column] for column in columns) + len(GAP) * (len(columns) - 1)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _line(cells: Sequence[str], widths: Sequence[int], left: Collection[int]) -> str:
    return GAP.join(
        cell.ljust(width) if place in left else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def shortened(text: str, most: int) -> str:
    """A text of at most `most` characters; what is left out at its end is marked."""
    return text if len(text) <= most else text[: most - 1] + "…"


def within(lines: Iterable[str], width: int | None) -> list[str]:
    """Sentences of at most `width` characters a line; what goes on is indented."""
    if width is None:
        return list(lines)
    return [
        part
        for line in lines
        for part in textwrap.wrap(
            line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        or [line]
    ]


def counted(number: int, word: str, plural: str = "") -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
