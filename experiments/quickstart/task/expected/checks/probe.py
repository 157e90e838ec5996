"""What all checks share: they use the package that the agent left in the working directory.

A check says in one line why its item is not met. Whatever the package does to it, exit included,
counts as not met; what the package or its tests print counts for nothing.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FunctionType
from typing import NoReturn

sys.dont_write_bytecode = True
WORKSPACE = Path.cwd()


def check(met: Callable[[], None]) -> None:
    """Exit 0 if `met` returns, 1 with a line if it raises anything at all."""
    sys.path.insert(0, str(WORKSPACE))
    leave, os._exit = os._exit, _refuse
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            met()
            reason = None
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
    print(reason or "met", flush=True)
    leave(1 if reason else 0)


def _refuse(status: int) -> NoReturn:
    raise AssertionError(f"the package called os._exit({status})")


def expect(what: str, got: object, wanted: object) -> None:
    """Raise unless `got` equals `wanted`."""
    if got != wanted:
        raise AssertionError(f"{what} gave {got!r}, not {wanted!r}")


def execute(code: str, names: dict[str, object]) -> None:
    """Run `code` with `names`."""
    exec(code, names)


def failing_tests(folder: Path) -> set[str]:
    """The names of the tests in `folder` that fail, with the package as it is loaded now."""
    failing = set()
    for path in sorted(folder.rglob("test_*.py")):
        try:
            tests = dict(_tests(path))
        except Exception as error:
            failing.add(f"{path.stem} ({type(error).__name__})")
            continue
        for name, test in tests.items():
            try:
                test()
            except Exception:
                failing.add(f"{path.stem}::{name}")
    return failing


def _tests(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    names: dict[str, object] = {"__name__": path.stem, "__file__": str(path)}
    execute(path.read_text(encoding="utf-8"), names)
    for name, value in names.items():
        if isinstance(value, FunctionType) and name.startswith("test"):
            yield name, value
        elif isinstance(value, type) and hasattr(value, "debug"):  # unittest.TestCase
            for method in dir(value):
                if method.startswith("test"):
                    yield f"{name}::{method}", value(method).debug
