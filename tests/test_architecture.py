"""The rules of docs/architecture.md, held."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import pytest_scylla

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_scylla"
GROUPS = ("data", "small tools", "do things", "know pytest")
"""From the bottom to the top."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def statements(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module, those for the type checker alone left out."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def imported(path: Path) -> set[str]:
    """Whole names of the modules that a module imports."""
    found = set()
    for node in statements(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            base = absolute(path, node)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return found


def absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def own_imports(name: str) -> set[str]:
    return {other for other in imported(MODULES[name]) if other in MODULES} - {"pytest_scylla"}


def imports_any(path: Path, package: str) -> bool:
    return any(name.split(".")[0] == package for name in imported(path))


# -- who knows pytest ------------------------------------------------------------------------------


def rooms_that_know_pytest() -> set[str]:
    """The modules that the lint rule lets import pytest."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ignores = config["tool"]["ruff"]["lint"]["per-file-ignores"]
    (rule,) = [rule for rule in ignores if rule.startswith("pytest_scylla/")]
    assert ignores[rule] == ["TID251"]
    names = re.fullmatch(r"pytest_scylla/\{(.*)\}\.py", rule)
    assert names
    return {f"pytest_scylla.{name}" for name in names[1].split(",")}


def test_only_the_rooms_that_the_lint_rule_names_import_pytest() -> None:
    knowing = {name for name, path in MODULES.items() if imports_any(path, "pytest")}
    assert knowing <= rooms_that_know_pytest() <= set(MODULES)


def test_nothing_imports_the_inside_of_pytest() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "conftest.py"]
    assert [path for path in files if imports_any(path, "_pytest")] == []


# -- imports point down ----------------------------------------------------------------------------


def rooms() -> dict[str, str]:
    """Room -> its group, as the table in docs/architecture.md has them."""
    found: dict[str, str] = {}
    group = ""
    for line in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines():
        heading = re.match(r"\| \*\*(.+?)\*\* \|", line)
        if heading or not line.startswith("|"):
            group = heading[1] if heading else ""
        elif group and line.startswith("| `"):
            first = line.split("|")[1]
            found |= dict.fromkeys(re.findall(r"`([\w/]+?)(?:\.py|/)`", first), group)
    return found


def room(name: str) -> str:
    return name.split(".")[1]


def test_every_module_has_a_room_in_the_architecture() -> None:
    named = rooms()
    assert set(named.values()) == set(GROUPS)
    lacking = {room(name) for name in MODULES if "." in name} - named.keys()
    assert lacking == set(), "name them in the table of docs/architecture.md"
    assert {name for name, group in named.items() if group == "know pytest"} == {
        room(name) for name in rooms_that_know_pytest()
    }


def test_imports_point_down() -> None:
    level = {name: GROUPS.index(group) for name, group in rooms().items()}
    upwards = [
        f"{name} imports {other}"
        for name in MODULES
        if "." in name
        for other in own_imports(name)
        if level[room(other)] > level[room(name)]
    ]
    assert upwards == []


def test_below_the_rooms_that_know_pytest_no_imports_go_in_a_circle() -> None:
    known = rooms_that_know_pytest()
    waiting = {name: own_imports(name) - {name} for name in MODULES if name not in known}
    while waiting:
        ready = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert ready, f"a circle among {sorted(waiting)}"
        for name in ready:
            del waiting[name]


@pytest.mark.parametrize("kind", ["agents", "judges"])
def test_adapters_do_not_know_each_other(kind: str) -> None:
    adapters = {name for name in MODULES if name.startswith(f"pytest_scylla.{kind}.")}
    assert adapters
    for name in adapters:
        assert own_imports(name) & adapters == set()


# -- nothing heavy at the start --------------------------------------------------------------------

HEAVY = ("anthropic", "git", "numpy", "pydantic", "scipy", "yaml")
LOADED = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"


def loaded_after(code: str, folder: Path) -> list[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(shown.stdout.splitlines()[-1])
    return found


def test_the_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_after("import pytest_scylla.plugin", tmp_path) == []
    assert "yaml" in loaded_after("import yaml", tmp_path)


def test_a_session_without_experiments_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "pytest_scylla.plugin", str(tmp_path)]
    start = f"import os, pytest; os.environ['PYTEST_DISABLE_PLUGIN_AUTOLOAD'] = '1'; \
assert pytest.main({arguments!r}) == 0"
    assert loaded_after(start, tmp_path) == []


def test_the_package_has_a_version() -> None:
    assert re.fullmatch(r"\d+\.\d+.*", pytest_scylla.__version__)


def test_the_reaper_needs_no_package_but_this_one() -> None:
    """It starts without site-packages, and a reaper that does not start lets agents go on."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pytest_scylla import reaper"
    subprocess.run([sys.executable, "-S", "-E", "-c", code], cwd="/", env={}, check=True)


# -- one way to read what others may have made -----------------------------------------------------

OF_THE_SYSTEM = {"reading", "processes", "workspace", "isolation", "limits", "recorder"}
OF_THE_SYSTEM |= {"scratch", "store"}
"""Rooms that open what the kernel or this package itself writes, programs, and what they append."""


def test_files_of_users_and_agents_are_read_in_one_room() -> None:
    """Elsewhere a pipe in a file's place would hang a session."""
    calls = [
        f"{name}:{node.lineno}"
        for name, path in MODULES.items()
        if name.partition(".")[2] not in OF_THE_SYSTEM and ".indoors" not in name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _opens_by_itself(node.func)
    ]
    assert calls == []


def _opens_by_itself(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr in ("read_text", "read_bytes")
    return isinstance(function, ast.Name) and function.id == "open"
