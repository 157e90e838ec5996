"""For every Python that a check starts: what an agent added to its workspace shadows nothing.

Modules of the task itself are taken from the workspace first. Any other name is looked for outside
first, so a `json.py` or a second library of the same name that the agent left is never reached.
A module of the workspace cannot end the program with success while it is imported.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

MYPY = False
if MYPY:  # without the time that it takes to import typing
    from typing import Any

WORKSPACE = os.environ.get("SCYLLA_WORKSPACE", "")
TASK = frozenset(os.environ.get("SCYLLA_TASK_MODULES", "").split(os.pathsep))
PROCESS = os.getpid()
OWN = [WORKSPACE, os.path.join(WORKSPACE, "src")]


KNOWN: dict[str, bool] = {}


def inside(path: Any) -> bool:
    """Whether a path (an entry of sys.path, a file) lies in the workspace."""
    path = str(path) or os.getcwd()
    if path not in KNOWN:
        real = os.path.realpath(path)
        KNOWN[path] = real == WORKSPACE or real.startswith(WORKSPACE + os.sep)
    return KNOWN[path]


class TaskFirst:
    """A finder in front of Python's own."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        """The spec of a module; None leaves it to the next finder."""
        if path is None:
            spec = _top_level(name, target)
        else:
            spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        return _guarded(spec) if inside(spec.origin or os.sep) else spec


def _top_level(name: str, target: Any) -> Any:
    outside = [path for path in sys.path if not inside(path)]
    within = [path for path in sys.path if inside(path)]
    within += [path for path in OWN if path not in within]
    for place in (within, outside) if name in TASK else (outside, within):
        spec = PathFinder.find_spec(name, place, target)
        if spec is not None and spec.loader is not None and not _is_namespace(spec):
            return spec
    return None


def _is_namespace(spec: Any) -> bool:
    return spec.origin is None and spec.submodule_search_locations is not None


def _guarded(spec: Any) -> Any:
    execute: Any = getattr(spec.loader, "exec_module", None)

    def guarded(module: Any) -> None:
        try:
            execute(module)
        except SystemExit as ended:
            text = f"{spec.name} ended the program while it was imported ({ended})"
            raise ImportError(text) from None

    if execute is not None and hasattr(spec.loader, "__dict__"):
        spec.loader.exec_module = guarded
    return spec


def _of_the_work() -> bool:
    """The check's own process, in which the work was only imported, is told what to do by it."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if os.getpid() != PROCESS or (main and inside(main)):
        return False
    frame = sys._getframe(1)
    files = [frame.f_code.co_filename for frame in _frames(frame)]
    # Called by no code at all: left to be done at the exit.
    return len(files) < 2 or any(inside(file) for file in files if not file.startswith("<"))


def _frames(frame: Any) -> Any:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _no_way_out() -> None:
    """The work cannot end the check's process with success, or put another in its place."""
    system: Any = sys.modules["posix"]
    leave = system._exit

    def _exit(status: int = 0) -> None:
        leave(70 if status == 0 and _of_the_work() else status)

    def refusing(name: str) -> Any:
        replace = getattr(system, name)

        def refuse(*arguments: Any) -> None:
            if _of_the_work():
                leave(70)
            replace(*arguments)

        return refuse

    for name, instead in {
        "_exit": _exit,
        "execv": refusing("execv"),
        "execve": refusing("execve"),
    }.items():
        setattr(system, name, instead)
        vars(os)[name] = instead


if WORKSPACE:
    WORKSPACE = os.path.realpath(WORKSPACE)
    OWN = [WORKSPACE, os.path.join(WORKSPACE, "src")]
    place = [getattr(finder, "__name__", "") for finder in sys.meta_path].index("PathFinder")
    sys.meta_path.insert(place, TaskFirst)
    sys.path += [path for path in OWN if os.path.isdir(path)]
    _no_way_out()
    if "SCYLLA_OUTCOMES" in os.environ:  # while nothing of the workspace can be in its place
        import scylla_outcomes  # type: ignore[import-not-found]  # noqa: F401
