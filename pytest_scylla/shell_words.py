"""Which programs a shell command runs, as far as its text says so for sure.

A small lexer of sh: where the text leaves doubt (functions, `eval`, `case`, another PATH), what
comes after is not looked at. A command that guards itself (`command -v x`, `x || y`) needs no x.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_NAME = re.compile(r"[\w.+-]+|\[\[?")
_OPERATOR = re.compile(r"&&|\|\||;;|[;|&()\n]")
_REDIRECTION = re.compile(r"\d*(?:<<-?|>>|<>|>\||[<>]&?|&>>?)")
_GOES_ON = frozenset({"!", "{", "if", "then", "else", "elif", "while", "until", "do", "time"})
_CLOSES = frozenset({"}", "fi", "done", "esac"})
_DOUBTFUL = frozenset({".", "alias", "case", "eval", "function", "source"})
_ASKS = frozenset({"command", "hash", "type", "which"})
_BASH = frozenset(
    {"[[", "declare", "let", "mapfile", "popd", "pushd", "readarray", "shopt", "source", "typeset"}
)
_TAKES_VALUE = {
    "env": ("-u", "-C", "--unset", "--chdir"),
    "timeout": ("-k", "-s", "--kill-after", "--signal"),
    "nice": ("-n", "--adjustment"),
    "nohup": (),
    "exec": ("-a",),
}
"""Programs that run another one -> their options that take a value."""


@dataclass(frozen=True)
class Word:
    """A word of a command; `plain`: it has no expansion, so its text is what the shell takes."""

    text: str
    plain: bool
    operator: bool = False
    quoted: bool = False


class _Doubt(Exception):
    """The text is not for this lexer."""


def programs(command: str, shell: str = "sh") -> list[str]:
    """The names (without a slash) of the programs and builtins that a command runs for sure."""
    found: list[str] = []
    asked: set[str] = set()
    try:
        for words, guarded in _simple_commands(command):
            if not guarded:
                _add(words, shell, found, asked)
            elif words and words[0].text in _ASKS:
                asked |= {word.text for word in words[1:]}
            _require_sure(words)
    except _Doubt:
        pass
    return [name for name in dict.fromkeys(found) if name not in asked]


def _require_sure(words: list[Word]) -> None:
    """Raise _Doubt after a command that may change what the names of programs mean."""
    first = next((word for word in words if not _ASSIGNMENT.match(word.text)), None)
    if first is not None and first.text in _DOUBTFUL:
        raise _Doubt
    if any(word.text.startswith("PATH=") for word in words):
        raise _Doubt


def _add(words: list[Word], shell: str, found: list[str], asked: set[str]) -> None:
    """The program of one simple command, past those that only start another one."""
    if any(word.text.startswith("PATH=") for word in words):
        return
    words = [*words]
    while words and _ASSIGNMENT.match(words[0].text):
        words.pop(0)
    if not words or not words[0].plain or not _NAME.fullmatch(words[0].text):
        return
    name = words[0].text
    if name in _ASKS and (name != "command" or any(w.text in ("-v", "-V") for w in words)):
        asked |= {word.text for word in words[1:]}
    if name in _CLOSES or (shell == "bash" and name in _BASH):
        return
    found.append(name)
    if name in _TAKES_VALUE:
        _add(_started(name, words[1:]), shell, found, asked)
    elif name in ("sh", "bash", "dash") and [w.text for w in words[1:2]] == ["-c"]:
        found += [other for word in words[2:3] if word.plain for other in programs(word.text, name)]


def _started(name: str, words: list[Word]) -> list[Word]:
    """What is left of a command for the program that `name` starts."""
    while words and (words[0].text.startswith("-") or _ASSIGNMENT.match(words[0].text)):
        if words[0].text in ("-S", "--split-string", "--"):
            return []
        words = words[2:] if words[0].text in _TAKES_VALUE[name] else words[1:]
    return words[1:] if name == "timeout" else words


def _simple_commands(command: str) -> Iterator[tuple[list[Word], bool]]:
    """Each simple command without its redirections, and whether another one stands in for it
    (`x || y`), so that it need not be there."""
    words: list[Word] = []
    waiting: list[list[Word]] = []
    skipped = False
    for word in [*_words(command), Word(";", True, operator=True)]:
        if not word.operator:
            plain = word.plain and not word.quoted
            if not words and plain and word.text in _GOES_ON:
                continue
            if not words and plain and word.text == "for":
                skipped = True
            words.append(word)
            continue
        if word.text == "(" and words:
            raise _Doubt  # a function
        if words and not skipped:
            waiting.append(words)
        words, skipped = [], False
        if word.text not in ("|", "&&"):  # what stands before `||` is guarded as a whole
            for one in waiting:
                yield one, word.text == "||"
            waiting = []


def _words(text: str) -> Iterator[Word]:
    """Words and operators; redirections and comments are left out. Raises _Doubt."""
    place = 0
    while place < len(text):
        sign = text[place]
        if sign in " \t" or text.startswith("\\\n", place):
            place += 1 if sign != "\\" else 2
        elif sign == "#":
            place = text.find("\n", place) if "\n" in text[place:] else len(text)
        elif redirection := _REDIRECTION.match(text, place):
            if "<<" in redirection[0]:
                raise _Doubt
            place = _skip_blanks(text, redirection.end())
            _, place = _word(text, place)
        elif operator := _OPERATOR.match(text, place):
            if operator[0] == ";;":
                raise _Doubt
            yield Word(operator[0], True, operator=True)
            place = operator.end()
        else:
            word, place = _word(text, place)
            yield word


def _skip_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t":
        place += 1
    return place


def _word(text: str, place: int) -> tuple[Word, int]:
    """The word that begins at a place, without its quotes, and where it ends."""
    made, plain, quoted = "", True, False
    while place < len(text) and text[place] not in " \t\n;|&()<>":
        sign = text[place]
        if sign == "'":
            end = _found(text, "'", place + 1)
            made, quoted, place = made + text[place + 1 : end], True, end + 1
        elif sign == '"':
            inner, place, sure = _double_quoted(text, place + 1)
            made, quoted, plain = made + inner, True, plain and sure
        elif sign == "\\":
            made, quoted, place = made + text[place + 1 : place + 2], True, place + 2
        elif sign in "$`":
            plain, place = False, _expansion(text, place)
        else:
            plain = plain and sign not in "*?~"
            made, place = made + sign, place + 1
    return Word(made, plain, quoted=quoted), place


def _double_quoted(text: str, place: int) -> tuple[str, int, bool]:
    made, sure = "", True
    while place < len(text) and text[place] != '"':
        if text[place] == "\\":
            made, place = made + text[place + 1 : place + 2], place + 2
        elif text[place] in "$`":
            sure, place = False, _expansion(text, place)
        else:
            made, place = made + text[place], place + 1
    if place >= len(text):
        raise _Doubt
    return made, place + 1, sure


def _expansion(text: str, place: int) -> int:
    """Where `$…` or a command in backquotes ends."""
    if text[place] == "`":
        return _found(text, "`", place + 1) + 1
    if text.startswith(("$(", "${"), place):
        return _closed(text, place + 1)
    found = re.compile(r"\$(\w+|.)?", re.S).match(text, place)
    return found.end() if found else place + 1


def _closed(text: str, place: int) -> int:
    """Past the bracket that closes the one at a place; quotes within are skipped."""
    pairs = {"(": ")", "{": "}"}
    opening, closing, depth = text[place], pairs[text[place]], 0
    while place < len(text):
        sign = text[place]
        if sign == "'":
            place = _found(text, "'", place + 1)
        elif sign == '"':
            place = _double_quoted(text, place + 1)[1] - 1
        elif sign == "\\":
            place += 1
        depth += (sign == opening) - (sign == closing)
        place += 1
        if depth == 0:
            return place
    raise _Doubt


def _found(text: str, sign: str, place: int) -> int:
    end = text.find(sign, place)
    if end < 0:
        raise _Doubt
    return end
