"""A picture of a terminal: `python docs/terminal.py "COMMAND" >docs/images/terminal.svg`.

The command is run, and what it prints becomes an SVG, in colour and with selectable text.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape

COLUMNS = 110
WIDTH, HEIGHT = 8, 17
"""Of a character, in pixels."""
MARGIN = 14
COLOURS = {"31": "#f7768e", "32": "#9ece6a", "33": "#e0af68", "34": "#7aa2f7", "36": "#7dcfff"}
STYLE = (
    "text{font:13.3px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;"
    "fill:#c0caf5;white-space:pre}.b{font-weight:bold}"
)
SGR = re.compile(r"\x1b\[([\d;]*)m")


def spans(line: str) -> Iterator[tuple[str, set[str]]]:
    """Pieces of a line with the codes (SGR, see ECMA-48) that hold for each."""
    codes: set[str] = set()
    at = 0
    for found in SGR.finditer(line):
        yield line[at : found.start()], set(codes)
        new = set(found[1].split(";")) - {""}
        codes = set() if not new or "0" in new else codes | new
        at = found.end()
    yield line[at:], codes


def text(row: int, line: str) -> str:
    """One line of the picture."""
    pieces = []
    for piece, codes in spans(line):
        if piece:
            colour = next((f' fill="{COLOURS[c]}"' for c in codes if c in COLOURS), "")
            bold = ' class="b"' if "1" in codes else ""
            pieces.append(f'<tspan style="white-space:pre"{bold}{colour}>{escape(piece)}</tspan>')
    y = MARGIN + HEIGHT * (row + 1) - 5
    length = len(SGR.sub("", line)) * WIDTH
    return f'<text x="{MARGIN}" y="{y}" textLength="{length}">{"".join(pieces)}</text>'


def wrapped(line: str) -> list[str]:
    """A line as a terminal breaks it; only plain ones are too long."""
    if SGR.search(line):
        return [line]
    return [line[at : at + COLUMNS] for at in range(0, max(len(line), 1), COLUMNS)]


def picture(lines: list[str]) -> str:
    """The whole picture."""
    width, height = COLUMNS * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN
    rows = [text(row, line) for row, line in enumerate(lines) if line.strip()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#1a1b26"/>\n{chr(10).join(rows)}\n</svg>\n'
    )


def main(command: str) -> None:
    """Run the command and print its picture."""
    env = {**os.environ, "COLUMNS": str(COLUMNS), "PY_COLORS": "1"}
    shown = subprocess.run(command, shell=True, env=env, stdout=subprocess.PIPE, text=True).stdout
    lines = [f"\x1b[1m$ {command}\x1b[0m", *shown.rstrip().splitlines()]
    print(picture([part for line in lines for part in wrapped(line.rstrip())]), end="")


if __name__ == "__main__":
    main(sys.argv[1])
