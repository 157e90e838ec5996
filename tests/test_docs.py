"""What README and docs say is true: links, generated pages, examples, names."""

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped, unused-ignore]
import pytest
import yaml
from markdown_it import MarkdownIt

import pytest_scylla
from docs.files import FILE, files, write
from pytest_scylla import rubric, source, tiers
from pytest_scylla.schema import experiment_schema
from tests.support.experiments import run_pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "experiments/*/README.md", "changes/*.md")
    for path in ROOT.glob(pattern)
)
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")


# -- links ---------------------------------------------------------------------------------------


def links(page: Path) -> list[str]:
    text = CODE.sub("", page.read_text("utf-8"))
    return [link for link in LINK.findall(text) if not link.startswith(("http:", "https:"))]


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_and_image_leads_somewhere(page: str) -> None:
    lost = []
    for link in links(ROOT / page):
        name, _, anchor = link.partition("#")
        target = ROOT / page if not name else (ROOT / page).parent / name
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        todo += [page.parent / link.partition("#")[0] for link in links(page)]
    assert set(DOCS.rglob("*.md")) <= seen


# -- the README's commands -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["main command", "test command"])
def test_the_readme_has_the_command_once_and_as_ci_takes_it_out(name: str) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert text.count(f"<!-- {name} -->") == 1
    block = re.search(rf"^<!-- {name} -->\n```sh\n(.*)\n```$", text, re.M)
    assert block, f"one line in a fenced block after <!-- {name} -->"
    assert text.count(block[1]) == 1
    taken = f"sed -n '/<!-- {name} -->/,/^```$/p' README.md | sed '1,2d;$d'"
    shown = subprocess.run(taken, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == block[1]


# -- generated pages -----------------------------------------------------------------------------


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DOCS / "generate.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_generated_pages_are_up_to_date() -> None:
    found = generate("--check")
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_generated_page_that_is_out_of_date_is_named_and_mended(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    shutil.copytree(DOCS, docs)
    page = docs / "reference" / "options.md"
    text = page.read_text("utf-8")
    page.write_text(text.replace("--scylla-fresh", "--scylla-stale"), "utf-8")
    found = generate("--check", "--docs", str(docs))
    assert found.returncode == 1
    assert f"{page}: out of date" in found.stdout
    assert generate("--docs", str(docs)).returncode == 0
    assert page.read_text("utf-8") == text


# -- examples ------------------------------------------------------------------------------------


EXPERIMENTS = [
    pytest.param(body, id=f"{page}-{name}")
    for page in PAGES
    for name, _, body in FILE.findall((ROOT / page).read_text("utf-8"))
    if name.endswith("experiment.yaml")
]


@pytest.mark.parametrize("text", EXPERIMENTS)
def test_every_whole_experiment_in_the_documentation_is_valid(text: str) -> None:
    jsonschema.validate(yaml.safe_load(text), experiment_schema())


RENDERED = [page for page in PAGES if page.startswith(("docs/", "README"))]


@pytest.mark.parametrize("page", RENDERED)
def test_a_page_says_all_in_what_a_reader_sees(page: str) -> None:
    """Comments are not rendered: they may mark places for programs, and tell a reader nothing."""
    text = (ROOT / page).read_text("utf-8")
    tokens = MarkdownIt("commonmark").enable("table").parse(CODE.sub("", text))
    comments = [t.content for t in tokens if t.type == "html_block" and "<!--" in t.content]
    allowed = ("<!-- Generated by ", "<!-- main command -->", "<!-- test command -->")
    assert [one for one in comments if not one.startswith(allowed)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_every_file_to_be_written_has_its_name_above_it(page: str) -> None:
    """As it is rendered: a paragraph in bold code, and the block below it."""
    tokens = MarkdownIt("commonmark").parse((ROOT / page).read_text("utf-8"))
    named = {
        tokens[place - 2].content.removesuffix(" (later)").strip("*`"): token.content
        for place, token in enumerate(tokens)
        if token.type == "fence" and tokens[place - 2].content.startswith("**`")
    }
    own = files(ROOT / page, later=True)
    assert {name: body for name, body in own.items() if name in named} == named
    said = FILE.findall((ROOT / page).read_text("utf-8"))
    assert {name for name, *_ in said} == named.keys()


def test_the_files_of_a_page_are_written_by_the_command_that_pages_name(tmp_path: Path) -> None:
    script, page = DOCS / "files.py", DOCS / "how-to/add-a-judge.md"
    subprocess.run([sys.executable, script, page, tmp_path], check=True)
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == files(page).keys()
    assert {"slug/task/test.yaml", "slug/conftest.py"} <= found


@pytest.mark.parametrize(
    ("page", "arguments", "expected", "expected_later"),
    [
        ("tutorial.md", ["slug"], {"failed": 2, "passed": 6}, {"failed": 2, "passed": 8}),
        ("how-to/write-a-rubric-with-checks.md", ["slug"], {"failed": 4, "passed": 4}, None),
        ("how-to/add-an-agent.md", ["slug"], {"failed": 4}, None),
        ("how-to/add-a-judge.md", ["slug"], {"passed": 4}, None),
        (
            "how-to/use-fixtures-in-a-test-module.md",
            ["slug", "test_slug.py"],
            {"failed": 2, "passed": 16, "skipped": 6},
            {"failed": 0, "passed": 16, "skipped": 8},
        ),
    ],
)
def test_the_example_of_a_page_does_what_the_page_says(
    pytester: pytest.Pytester,
    page: str,
    arguments: list[str],
    expected: dict[str, int],
    expected_later: dict[str, int] | None,
) -> None:
    write(files(DOCS / page), pytester.path)
    run_pytest(pytester, *arguments).assert_outcomes(**expected)
    if expected_later:
        write(files(DOCS / page, later=True), pytester.path)
        run_pytest(pytester, *arguments).assert_outcomes(**expected_later)


def test_the_page_about_ones_own_repository_collects_as_it_says(
    pytester: pytest.Pytester,
) -> None:
    write(files(DOCS / "how-to/evaluate-your-own-repository.md"), pytester.path)
    own = {"CLAUDE.md": "Be brief.\n", ".claude/skills/a/SKILL.md": "a\n", "dates.py": "",
           ".gitignore": "std*\n"}  # fmt: skip
    write(own, pytester.path)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=u", "-c", "user.email=u@localhost"]
        subprocess.run(["git", *who, *words], cwd=pytester.path, check=True)
    result = run_pytest(pytester, "evals", "--collect-only", "-q", "-W", "error")
    assert result.ret == 0
    assert len([line for line in result.outlines if "::run_0" in line]) == 18


# -- names ---------------------------------------------------------------------------------------


def said(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


OTHERS = {"settings", "resources", "inherited_from", "files", "env_vars", "grade_distribution"}
OTHERS |= {"completed_runs", "inputs", "pass_at_k", "pass_hat_k", "setups", "stages", "stale"}
"""Mappings whose keys are no fields of ours, or are looked at elsewhere."""
BY_ID = {"subtest_results", "criteria_scores", "items", "by_model", "by_tier", "effects"}
"""Mappings from ids to records."""


def fields(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            yield from fields(one)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name in BY_ID and isinstance(inner, dict):
                yield from fields(list(inner.values()))
            elif name not in OTHERS:
                yield from fields(inner)


def inputs(value: Any) -> Iterator[str]:
    """Names of input digests: those below any `inputs`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "inputs":
                yield from (key for key, digest in inner.items() if isinstance(digest, str))
                stages = [stage for stage in inner.values() if isinstance(stage, dict)]
                yield from (key for stage in stages for key in stage)
            else:
                yield from inputs(inner)


def result_files(results: Path) -> list[Path]:
    """The files of a results directory, without workspaces and what begins with a dot."""
    found = [path.relative_to(results) for path in results.rglob("*") if path.is_file()]
    own = [p for p in found if not any(part.startswith((".", "workspace")) for part in p.parts)]
    return [results / path for path in own]


def test_every_file_field_and_digest_of_a_real_run_is_described(pytester: pytest.Pytester) -> None:
    found = files(DOCS / "tutorial.md")
    found["slug/experiment.yaml"] += "pipeline: [{name: lint, run: 'true'}]\n"
    found["tiers/subtests/t1/02-gone.yaml"] = "resources: {skills: {categories: [gone]}}\n"
    write(found, pytester.path)
    run_pytest(pytester, "slug").assert_outcomes(failed=2, passed=6, errors=2, warnings=1)
    run_pytest(pytester, "slug", "--lf")
    paths = result_files(pytester.path / "results")
    records = [json.loads(path.read_bytes()) for path in paths if path.suffix == ".json"]
    names = {path.name for path in paths}
    assert {"error.json", "run_result.json", "pipeline_baseline.json", "best_subtest.json"} <= names
    results, digests = said("reference/results.md"), said("reference/what-a-digest-covers.md")
    assert sorted(name for name in names if name not in results) == []
    keys = {key for record in records for key in fields(record)}
    assert len(keys) > 100
    assert sorted(key for key in keys if f"`{key}`" not in results) == []
    covered = {key for record in records for key in inputs(record)}
    assert {"source", "tier", "rubric", "quorum", "steps"} <= covered
    assert sorted(key for key in covered if f"`{key}`" not in digests) == []


def sources() -> list[Path]:
    return sorted(Path(pytest_scylla.__file__).parent.rglob("*.py"))


def test_every_room_has_its_place_in_the_architecture() -> None:
    package = Path(pytest_scylla.__file__).parent
    rooms = {path.relative_to(package).parts[0] for path in sources()} - {"__init__.py"}
    names = {room if room.endswith(".py") else f"{room}/" for room in rooms}
    table = said("architecture.md").partition("## Rooms")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.M)
    assert {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)} == names


def constants() -> Iterator[tuple[str, bool]]:
    """Every string in the code, and whether it is called the kind of an error there."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value, False
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kinds: list[ast.expr] = node.args[:1] if node.func.id == "RunError" else []
                kinds += [word.value for word in node.keywords if word.arg == "kind"]
                for kind in kinds:
                    if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                        yield kind.value, True


def test_every_kind_of_error_is_described_and_no_other() -> None:
    table = said("reference/outcomes.md").partition("## Why a run is an ERROR")[2]
    cells = re.findall(r"^\| (`.*?) \|", table, re.M)
    described = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    found = set(constants())
    assert {"crash", "no_cli", "setup"} <= described
    assert sorted({kind for kind, is_kind in found if is_kind} - described) == []
    assert sorted(described - {text for text, _ in found}) == []


def test_every_key_of_rubrics_and_subtests_is_described() -> None:
    text = said("reference/task-and-library.md")
    models = (rubric.Item, rubric.Category, rubric.Requirement, rubric.Grading, tiers.McpServer)
    keys = {key for model in models for key in model.model_fields}
    keys |= set(tiers.Resources.model_fields) | set(tiers.Subtest.model_fields) - {
        "tier",
        "path",
        "unknown",
    }
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", text))))
    assert sorted(keys - words) == []
    for name in source.IGNORED_IN_DIRECTORIES:
        assert f"`{name}`" in said("reference/what-a-digest-covers.md")
    assert all(f"`{name}" in text for name in tiers.OWNED)


# -- the rest ------------------------------------------------------------------------------------


def test_every_changelog_fragment_has_a_kind_that_towncrier_knows() -> None:
    settings = tomllib.loads((ROOT / "towncrier.toml").read_text("utf-8"))["tool"]["towncrier"]
    kinds = {kind["directory"] for kind in settings["type"]}
    fragments = [path for path in ROOT.joinpath("changes").iterdir() if path.suffix == ".md"]
    assert [path.name for path in fragments if path.name.split(".")[-2] not in kinds] == []
    assert settings["start_string"] in (ROOT / settings["filename"]).read_text("utf-8")


def test_the_pictures_are_small() -> None:
    pictures = list((DOCS / "images").iterdir())
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > 200_000] == []


def workflow(name: str) -> tuple[dict[str, Any], list[str]]:
    """A workflow's jobs, and all commands in them."""
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text("utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    return jobs, [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


def test_ci_runs_our_checks_from_the_oldest_python_on() -> None:
    jobs, commands = workflow("ci")
    assert commands == [".ci/run"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = jobs["tests"]["strategy"]["matrix"]["python"][0]
    assert project["requires-python"] == f">={oldest}"


def test_the_experiment_in_ci_exists_and_is_compared_and_its_reports_are_kept() -> None:
    jobs, commands = workflow("experiment")
    lines = [line.strip() for command in commands for line in command.splitlines()]
    (command,) = [line.split() for line in lines if line.startswith("pytest ")]
    assert (ROOT / command[1] / "experiment.yaml").is_file()
    assert "--html=report.html" in command
    assert "--junitxml=junit.xml" in command
    assert "${gate:+--scylla-baseline=$gate}" in command
    assert any("gh pr comment" in line and "--body-file table.md" in line for line in lines)
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all("run" in step or "uses" in step for step in steps)
    kept = [s["with"]["path"] for s in steps if "upload-artifact" in s.get("uses", "")]
    assert any("report.html" in path for path in kept)
    for shell in commands:
        checked = subprocess.run(["bash", "-n"], input=shell, text=True, check=False)
        assert checked.returncode == 0


def test_every_public_hook_has_an_example_that_is_python() -> None:
    from pytest_scylla import hookspecs

    examples = re.findall(r"```python\n(.*?)```", said("reference/options.md"), re.S)
    defined = {
        node.name
        for example in examples
        for node in ast.parse(example).body
        if isinstance(node, ast.FunctionDef)
    }
    hooks = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction)}
    assert {name for name in hooks if name.startswith("pytest_")} == defined
