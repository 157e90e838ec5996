"""Compare the workspace with the task's source; what the tier put there does not count."""

import os
import sys
from pathlib import Path

source, workspace = Path(os.environ["SCYLLA_TASK"]) / "source", Path.cwd()


def contents(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def wrong() -> str | None:
    names = [
        path.relative_to(workspace).as_posix() for path in workspace.rglob("*") if path.is_file()
    ]
    own = {name for name in names if not name.startswith(".") and name != "CLAUDE.md"}
    if "hello.py" not in own:
        return "there is no hello.py"
    if extra := sorted(own - {"hello.py", "README.md"}):
        return f"created beside hello.py: {', '.join(extra)}"
    if contents(workspace / "README.md") != contents(source / "README.md"):
        return "README.md was changed"
    return None


print(wrong() or "met")
sys.exit(1 if wrong() else 0)
