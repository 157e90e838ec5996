"""The files of a documentation page's example: `python docs/files.py docs/tutorial.md DIRECTORY`.

A line of a page that is nothing but a file's name in bold code names the fenced block below it.
With "(later)" in it, the file comes at a later step of the page. "These files go on top of" names
the page whose example a page continues.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

FILE = re.compile(r"^\*\*`([^`\n]+)`\*\*( \(later\))?\n\n```\w*\n(.*?)^```$", re.M | re.S)
ON_TOP = re.compile(r"^These files go on top of those of \[[^]]+\]\(([^)]+)\)", re.M)


def files(page: Path, later: bool = False) -> dict[str, str]:
    """Path -> text of the files of a page's example, with those that it goes on top of; `later`:
    also those of its later steps."""
    text = page.read_text("utf-8")
    before = ON_TOP.search(text)
    found = files(page.parent / before[1]) if before else {}
    return found | {name: body for name, late, body in FILE.findall(text) if bool(late) <= later}


def write(found: dict[str, str], directory: Path) -> None:
    """Write the files below a directory."""
    for name, body in found.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/files.py PAGE DIRECTORY")
    write(files(Path(sys.argv[1])), Path(sys.argv[2]))
