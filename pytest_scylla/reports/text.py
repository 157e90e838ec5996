"""Text that agents, judges and users wrote, made harmless for the place where it is shown."""

from __future__ import annotations

import re
from urllib.parse import quote

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?"  # OSC and its kin: titles, links
    r"|\x1b[ -/]*[0-~]?"  # two characters
)
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def plain(text: str) -> str:
    """Text without ANSI sequences; other controls, and those that turn the direction of writing,
    are named: they would show something else than what is there."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return _CONTROLS.sub(lambda found: _named(ord(found[0])), text)


def _named(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else f"⟨U+{code:04X}⟩"


class Markup(str):
    """Text that is Markdown already: `markdown` and tables leave it as it is."""

    __slots__ = ()


_ACTIVE = re.compile(r"<(?=[a-zA-Z/!?])|\\(?=[<(:|])|(?<=\])[(:]|\|")


def markdown(text: str) -> Markup:
    """Words within a line of Markdown: no HTML, no link, no cell of a table comes of them, and
    code is still read as code."""
    if isinstance(text, Markup):
        return text
    flat = " ".join(plain(text).splitlines())
    return Markup(_ACTIVE.sub(lambda found: f"\\{found[0]}", flat))


def quoted(text: str) -> str:
    """Paragraphs of somebody else's, as a quotation in Markdown: it has no headings of ours."""
    lines = plain(text).splitlines()
    return "".join(f"> {markdown(line)}".rstrip() + "\n" for line in lines)


def fenced(text: str) -> str:
    """Text as a block of code in Markdown, which nothing in it can end."""
    text = plain(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}\n"


def linked(text: str, path: str, mark: str = "") -> Markup:
    """A link in Markdown to a relative path, with a mark after it."""
    return Markup(f"[{markdown(text)}]({quote(path)}){mark}")


def for_spreadsheet(text: str) -> str:
    """Text for a spreadsheet, which would take what begins like a formula for one: with an
    apostrophe before it, as OWASP advises."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
