import ast
import re

from probe import WORKSPACE, check, execute, expect

EXAMPLE = re.compile(r"^ *>>> (?P<code>.+)\n(?P<shown> *(?!>>>|```)\S.*)?", re.MULTILINE)


def met() -> None:
    names: dict[str, object] = {}
    called = ""
    readme = WORKSPACE / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    for example in EXAMPLE.finditer(text):
        code, shown = example["code"], example["shown"]
        if shown:
            expect(code, eval(code, names), ast.literal_eval(shown.strip()))
            called += code
        else:
            execute(code, names)
    if "merge(" not in called or "free(" not in called:
        raise AssertionError("the README has no example of merge and free any more")


check(met)
