"""A deterministic program that stands for an AI agent: the quickstart needs no key and no network.

It knows nothing of the task's hidden checks. By itself it can do one thing: it takes the examples
of a bug report (`>>> call`, then a line with `# expected value`) and tries one-token changes of the
code until they come out right. All else it learns from the files that its tier put into the
workspace: CLAUDE.md, .claude/skills, .claude/agents. There it follows the blocks fenced as
```recipe GLOB: hunks of a diff in which <x> stands for any name; `$ command` means the tests.

.claude/settings.json (permissions.allow) lists its tools; without that list it has all of them.
It runs the tests if a recipe says so or if that list names Bash. What they show it mends if it is a
misspelt name, which Python calls an AttributeError.

Without an orchestrator it hands work to one sub-agent, the one whose description fits the prompt
best; an orchestrator (`delegates_to:` in its frontmatter) says who else is asked. A sub-agent has
its own list of tools and reads everything afresh.

Prompt on stdin; at the end one line on stdout, shaped as Claude Code's `--output-format json`.
A token is a word read or written. The prices are SIMULATED: nothing is bought.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

USD_PER_WORD_READ = 0.00001
USD_PER_WORD_WRITTEN = 0.00005

EXAMPLE = re.compile(r"^ *>>> (?P<call>.+)\n.*# expected (?P<value>.+)$", re.MULTILINE)
RECIPE = re.compile(r"^```recipe ?(?P<files>\S*)\n(?P<hunk>.*?)^```$", re.MULTILINE | re.DOTALL)
RUNS_TESTS = re.compile(r"^```recipe\n\$ ", re.MULTILINE)
HOLE = re.compile(r"<([a-z]+)>")
SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "+": "-", "-": "+", "=": "+="}
TOKEN = re.compile(r"(?<= )(<=?|>=?|==?|\+|-)(?= )")


class Session:
    """One agent at work: what it may use, and what it has read, written and done."""

    def __init__(self, root: Path, tools: set[str] | None) -> None:
        self.root, self.tools = root, tools
        self.words_read = self.words_written = 0
        self.done: list[str] = []

    def may(self, *names: str) -> bool:
        return self.tools is None or not self.tools.isdisjoint(names)

    def hear(self, text: str) -> str:
        self.words_read += len(text.split())
        return text

    def read(self, path: Path) -> str:
        return self.hear(path.read_text(encoding="utf-8")) if path.is_file() else ""

    def write(self, path: Path, text: str, new: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.words_written += len(new.split())
        self.done.append(f"changed {path.relative_to(self.root).as_posix()}")

    def sources(self) -> list[Path]:
        return sorted(path for path in self.root.glob("*/*.py") if path.parent.name != "tests")


# What it can do by itself


def repair(session: Session, prompt: str) -> None:
    """Find the one-token change that makes the prompt's examples come out right, and make it."""
    examples = [(found["call"], found["value"]) for found in EXAMPLE.finditer(prompt)]
    for path in session.sources():
        source = session.read(path)
        if not session.may("Edit") or not examples or behaves(source, examples):
            continue
        for token in TOKEN.finditer(source):
            changed = source[: token.start()] + SWAPS[token[0]] + source[token.end() :]
            if behaves(changed, examples):
                return session.write(path, changed, SWAPS[token[0]])


def behaves(source: str, examples: list[tuple[str, str]]) -> bool:
    names: dict[str, object] = {}
    with contextlib.suppress(Exception):
        load(source, "draft", names)
        return all(eval(call, names) == ast.literal_eval(value) for call, value in examples)
    return False


def load(source: str, filename: str, names: dict[str, object]) -> None:
    exec(compile(source, filename, "exec"), names)


def test_and_mend(session: Session) -> None:
    """Run the tests; as long as one fails for a misspelt attribute, spell it as one that exists."""
    for _ in range(5):
        failures = run_tests(session.root)
        report = "; ".join(f"{name} failed: {error!r}" for name, error in failures) or "they pass"
        session.done.append(f"ran the tests: {session.hear(report)}")
        if not any(session.may("Edit") and respell(session, error) for _, error in failures):
            return


def run_tests(root: Path) -> list[tuple[str, Exception]]:
    """What fails of the functions test_* in tests/test_*.py."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(root)):
            del sys.modules[name]  # read again what was edited
    outcomes: list[tuple[str, Exception | None]] = []
    for path in sorted(root.glob("tests/test_*.py")):
        names: dict[str, object] = {}
        outcomes.append((path.stem, attempt(load, path.read_text("utf-8"), str(path), names)))
        tests = [name for name in names if name.startswith("test_")]
        outcomes += [(name, attempt(names[name])) for name in tests]
    return [(name, error) for name, error in outcomes if error]


def attempt(action: Any, *arguments: object) -> Exception | None:
    try:
        action(*arguments)
    except Exception as error:
        return error
    return None


def respell(session: Session, error: Exception) -> bool:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None or not isinstance(error, AttributeError):
        return False
    path, number = Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno - 1
    nearest = difflib.get_close_matches(error.name or "", dir(error.obj), 1)
    if not nearest or session.root not in path.parents:
        return False
    lines = session.read(path).splitlines(keepends=True)
    lines[number] = lines[number].replace(f".{error.name}", f".{nearest[0]}")
    session.write(path, "".join(lines), lines[number])
    return True


# What it is told


def follow(session: Session, text: str) -> None:
    """Make the edits of the recipes in `text` that fit a file and that the tools allow."""
    for recipe in RECIPE.finditer(text):
        old, new = sides(recipe["hunk"])
        if old and session.may("Edit"):
            for path in sorted(session.root.glob(recipe["files"] or "*/*.py")):
                replace(session, path, old, new)
        elif new and session.may("Write") and not (session.root / recipe["files"]).exists():
            session.write(session.root / recipe["files"], "\n".join([*new, ""]), "\n".join(new))


def sides(hunk: str) -> tuple[list[str], list[str]]:
    """The lines before and after, without the indentation that all of them share."""
    lines = [line for line in hunk.splitlines() if line[:1] in ("+", "-", " ")]
    margin = 1 + min(
        (len(line[1:]) - len(line[1:].lstrip()) for line in lines if line[1:]), default=0
    )
    old = [line[margin:] for line in lines if line[0] != "+"]
    return old, [line[margin:] for line in lines if line[0] != "-"]


def replace(session: Session, path: Path, old: list[str], new: list[str]) -> None:
    source = path.read_text(encoding="utf-8")
    found = pattern(old).search(source)
    if found:
        names = found.groupdict()
        lines = [HOLE.sub(lambda hole: names.get(hole[1], hole[0]), line) for line in new]
        text = "\n".join(names["indent"] + line for line in lines)
        session.write(path, source[: found.start()] + text + source[found.end() :], text)


def pattern(lines: list[str]) -> re.Pattern[str]:
    """Matches `lines` at any indentation, with the same name wherever the same <x> stands."""
    seen = {"indent"}

    def named(hole: re.Match[str]) -> str:
        again = hole[1] in seen
        seen.add(hole[1])
        return f"(?P={hole[1]})" if again else rf"(?P<{hole[1]}>\w+)"

    body = r"\n(?P=indent)".join(HOLE.sub(named, re.escape(line)) for line in lines)
    return re.compile(rf"^(?P<indent>[ \t]*){body}$", re.MULTILINE)


# Whom it asks


def field(text: str, name: str) -> str:
    """A value in the frontmatter of `text`, or nothing."""
    found = re.search(rf"^{name}: *(.*)$", text.partition("\n---")[0], re.MULTILINE)
    return found[1] if found else ""


def delegate(session: Session, helpers: dict[str, str], prompt: str) -> None:
    """Ask the orchestrators that no other one asks; without any, the helper that fits best."""
    about = {name: session.hear(field(text, "description")) for name, text in helpers.items()}
    staff = {name: re.findall(r"[\w-]+", field(helpers[name], "delegates_to")) for name in helpers}
    words = set(re.findall(r"\w{4,}", prompt.lower()))
    fits_best = max(about, key=lambda name: len(words.intersection(about[name].lower().split())))
    asked = {name for names in staff.values() for name in names}
    for lead in [name for name in helpers if staff[name] and name not in asked] or [fits_best]:
        ask(session, lead, dict(helpers), staff, prompt)


def ask(
    session: Session, name: str, free: dict[str, str], staff: dict[str, list[str]], prompt: str
) -> None:
    """Have `name`, and whom it delegates to, work in sessions of their own; none is asked twice."""
    text = free.pop(name, None)
    if text is None:
        return
    own = set(re.findall(r"\w+", field(text, "tools"))) or session.tools
    sub = Session(
        session.root, own if session.tools is None or own is None else own & session.tools
    )
    sub.hear(prompt + text)
    for path in sub.sources():
        sub.read(path)
    follow(sub, text)
    session.words_read += sub.words_read
    session.words_written += sub.words_written
    session.done.append(f"{name} {' and '.join(sub.done) or 'changed nothing'}")
    for other in staff[name]:
        ask(session, other, free, staff, prompt)


def work(session: Session, prompt: str) -> None:
    """All that the main agent does, in order."""
    claude = session.root / ".claude"
    skills = sorted(claude.glob("skills/*/SKILL.md")) if session.may("Skill") else []
    told = "\n".join(map(session.read, [session.root / "CLAUDE.md", *skills]))
    session.read(session.root / ".mcp.json")
    repair(session, session.hear(prompt))
    follow(session, told)
    if session.may("Task", "Agent") and (paths := sorted(claude.glob("agents/*.md"))):
        texts = [path.read_text(encoding="utf-8") for path in paths]
        delegate(session, {field(text, "name"): text for text in texts}, prompt)
    if session.may("Bash") and (session.tools is not None or RUNS_TESTS.search(told)):
        test_and_mend(session)


def allowed(root: Path) -> set[str] | None:
    """The tools that .claude/settings.json allows; None means all."""
    path = root / ".claude" / "settings.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    names = settings.get("permissions", {}).get("allow")
    return None if names is None else {name.partition("(")[0] for name in names}


def main() -> None:
    sys.dont_write_bytecode = True
    root = Path.cwd()
    sys.path.insert(0, str(root))
    session = Session(root, allowed(root))
    with contextlib.redirect_stdout(io.StringIO()):  # the workspace's code may print
        work(session, sys.stdin.read())
    said = "; ".join(session.done) or "I changed nothing"
    read, written = session.words_read, session.words_written + len(said.split())
    result = {"type": "result", "subtype": "success", "is_error": False, "result": f"{said}."}
    result["num_turns"] = 1 + len(session.done)
    result["usage"] = {"input_tokens": read, "output_tokens": written} | {
        f"cache_{kind}_input_tokens": 0 for kind in ("creation", "read")
    }
    result["total_cost_usd"] = round(read * USD_PER_WORD_READ + written * USD_PER_WORD_WRITTEN, 6)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
