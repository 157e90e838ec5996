"""experiment.yaml and the task that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.errors import InputError
from pytest_scylla.experiment import Experiment, ExperimentFile, load_experiment, load_task
from tests.support.examples import (
    EXPERIMENT,
    RUBRIC,
    TEST,
    law,
    write_experiment,
    write_files,
    write_task,
    write_yaml,
)


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        load_experiment(path)
    assert "next: " in str(caught.value)
    return caught.value


# -- experiment.yaml -------------------------------------------------------------------------------


def test_an_experiment_has_sensible_defaults(tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    path.write_text(path.read_text().replace("runs: 2\n", ""))
    settings = load_experiment(path).settings
    assert settings.runs == 10
    assert settings.select is None
    assert (settings.workspace.scope, settings.workspace.retention) == ("run", "all")
    assert settings.pipeline == ()


def test_every_key_is_understood(tmp_path: Path) -> None:
    keys = {
        "description": "All keys.",
        "select": ["T0"],
        "runs": 3,
        "quorum": 2,
        "agent": {"adapter": "claude-code", "model": "a-model", "max_turns": 5, "timeout": 60},
        "judges": [{"adapter": "rubric-checks", "timeout": 5}, {"adapter": "of-mine"}],
        "workspace": {"scope": "subtest", "retention": "failed"},
        "pipeline": [{"name": "test", "run": "pytest", "needs": ["pytest"], "timeout": 10}],
    }
    settings = load_experiment(write_experiment(tmp_path, **keys)).settings
    written = settings.model_dump(mode="json", include=set(keys), exclude_none=True)
    assert written == keys


def test_an_adapter_gets_its_own_options(tmp_path: Path) -> None:
    agent = {"adapter": "of-mine", "anything": [1, {"deep": None}]}
    settings = load_experiment(write_experiment(tmp_path, agent=agent)).settings
    assert settings.agent.adapter == "of-mine"
    assert settings.agent.options == {"anything": [1, {"deep": None}]}


def test_paths_start_from_the_file_that_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_experiment(tmp_path)
    monkeypatch.chdir("/")
    experiment = load_experiment(tmp_path / "experiment.yaml")
    assert experiment.library == tmp_path / "tiers"
    assert experiment.task.directory == tmp_path / "task"
    assert experiment.directory == tmp_path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "with space"),
        ("id", "with[bracket]"),
        ("id", "with/slash"),
        ("id", "with::colons"),
        ("id", ".hidden"),
        ("id", "ümlaut"),
        ("id", ""),
        ("id", "line\n"),
        ("id", 7),
        ("select", "T0"),
        ("runs", 0),
        ("runs", 1000),
        ("runs", "many"),
        ("runs", True),
        ("runs", 1.5),
        ("agent", {"command": ["true"]}),
        ("agent", "command"),
        ("judges", []),
        ("judges", {"adapter": "rubric-checks"}),
        ("quorum", 0),
        ("quorum", 2),
        ("quorum", True),
        ("workspace", {"scope": "session"}),
        ("workspace", {"retention": "some"}),
        ("workspace", {"keep": "all"}),
        ("pipeline", [{"name": "a b", "run": "true"}]),
        ("pipeline", [{"name": "a", "run": ""}]),
        ("pipeline", [{"name": "a", "run": "true", "timeout": 0}]),
        ("pipeline", [{"name": "a", "run": "true", "timeout": float("inf")}]),
        ("pipeline", [{"name": "a", "run": "true"}, {"name": "a", "run": "false"}]),
        ("task", "elsewhere"),
        ("tiers", "elsewhere"),
        ("tiers", "task"),
        ("surprise", 1),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_its_key(
    tmp_path: Path, key: str, value: Any
) -> None:
    path = write_experiment(tmp_path, **{key: value})
    error = refused(path)
    assert error.path == str(path)
    assert error.key.split(".")[0] == key


@pytest.mark.parametrize("key", ["id", "task", "tiers", "agent", "judges"])
def test_a_missing_key_is_refused_by_name(tmp_path: Path, key: str) -> None:
    path = write_experiment(tmp_path)
    write_yaml(path, {name: value for name, value in EXPERIMENT.items() if name != key})
    assert refused(path).key == key


def test_a_misspelt_key_brings_the_one_that_was_meant(tmp_path: Path) -> None:
    assert "`judges`" in refused(write_experiment(tmp_path, judgs=[])).next_step


@law
@given(st.integers(1, 50))
def test_the_default_quorum_is_a_strict_majority_of_the_slots(slots: int) -> None:
    settings = ExperimentFile.model_validate(
        {**EXPERIMENT, "judges": [{"adapter": "rubric-checks"}] * slots}
    )
    quorum = Experiment.model_construct(settings=settings).panel.needed(slots)
    assert 2 * quorum > slots >= 2 * (quorum - 1)


def test_a_quorum_that_is_given_is_kept(tmp_path: Path) -> None:
    judges = [{"adapter": "rubric-checks"}] * 3
    experiment = load_experiment(write_experiment(tmp_path, judges=judges, quorum=3))
    assert experiment.panel.needed(3) == 3


@pytest.mark.parametrize(
    ("slots", "settings", "key"),
    [
        (2, {"sequential": True}, "sequential"),
        (3, {"sequential": True, "quorum": 3}, "quorum"),
        (3, {"sequential": {"margin": 1.5}}, "sequential"),
        (3, {"consensus": "best"}, "consensus"),
        (3, {"scores": "mine"}, "scores"),
    ],
)
def test_a_panel_that_cannot_be_is_refused_by_the_key(
    tmp_path: Path, slots: int, settings: dict[str, Any], key: str
) -> None:
    judges = [{"adapter": "rubric-checks"}] * slots
    found = refused(write_experiment(tmp_path, judges=judges, **settings))
    assert found.key.split(".")[0] == key


def test_a_sequential_panel_has_a_margin_of_a_fifth_unless_it_says_otherwise(
    tmp_path: Path,
) -> None:
    judges = [{"adapter": "rubric-checks"}] * 3
    found = [
        load_experiment(write_experiment(tmp_path, judges=judges, sequential=value)).panel.margin
        for value in (False, True, {"margin": 0.5})
    ]
    assert found == [None, 0.2, 0.5]


# -- the task --------------------------------------------------------------------------------------


def test_a_task_of_projectscylla_loads_unchanged(tmp_path: Path) -> None:
    source = {"repo": "https://example.org/hello.git", "hash": "7fd1a60b01f9", "branch": "main"}
    tiers = ["T0", "T1", "T2", "T3", "T4", "T5", "T6"]
    directory = write_task(tmp_path, {"source": source, "tiers": tiers})
    write_yaml(directory / "config.yaml", {"timeout_seconds": 7200, "max_cost_usd": 5.0})
    task = load_task(directory)
    assert task.warnings == ()
    assert task.source.model_dump() == source
    assert task.tiers == tuple(tiers)
    assert (task.id, task.name, task.language) == ("test-001", "Hello", "python")
    assert (task.prompt, task.criteria) == ("Write hello.py.\n", "It says hello.\n")
    assert task.max_cost_usd == 5.0


def test_the_time_limit_of_config_yaml_goes_before_that_of_test_yaml(tmp_path: Path) -> None:
    assert load_task(write_task(tmp_path)).timeout == 180
    write_yaml(tmp_path / "config.yaml", {"timeout_seconds": 60})
    assert load_task(tmp_path).timeout == 60


def test_a_task_need_not_say_more_than_its_id_and_source(tmp_path: Path) -> None:
    write_task(tmp_path)
    write_yaml(tmp_path / "test.yaml", {"id": "test-001", "source": {"repo": "files"}})
    task = load_task(tmp_path)
    assert (task.name, task.criteria, task.timeout, task.tiers) == ("test-001", "", None, ())


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"surprise": 1}, "surprise"),
        ({"source": {"repo": "files", "surprise": 1}}, "source.surprise"),
        ({"task": {"surprise": 1}}, "task.surprise"),
        ({"validation": {"surprise": 1}}, "validation.surprise"),
    ],
)
def test_an_unknown_key_of_test_yaml_is_only_a_warning(
    tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    (warning,) = load_task(write_task(tmp_path, change)).warnings
    assert str(tmp_path / "test.yaml") in warning
    assert key in warning


def test_warnings_about_the_rubric_are_warnings_about_the_task(tmp_path: Path) -> None:
    (warning,) = load_task(write_task(tmp_path, rubric={**RUBRIC, "surprise": 1})).warnings
    assert "rubric.yaml" in warning


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"id": None}, "id"),
        ({"source": {}}, "source.repo"),
        ({"source": {"repo": "files", "hash": 1234567}}, "source.hash"),
        ({"task": {"timeout_seconds": -1}}, "task.timeout_seconds"),
        ({"task": {"prompt_file": "missing.md"}}, "task.prompt_file"),
        ({"task": {"prompt_file": "expected"}}, "task.prompt_file"),
        ({"validation": {"criteria_file": "missing.md"}}, "validation.criteria_file"),
        ({"validation": {"rubric_file": "missing.yaml"}}, "validation.rubric_file"),
    ],
)
def test_a_wrong_value_in_test_yaml_is_refused_with_file_and_key(
    tmp_path: Path, change: dict[str, Any], key: str
) -> None:
    with pytest.raises(InputError) as caught:
        load_task(write_task(tmp_path, change))
    assert (caught.value.path, caught.value.key) == (str(tmp_path / "test.yaml"), key)


@pytest.mark.parametrize("name", ["prompt.md", "expected/criteria.md"])
def test_text_that_is_not_utf8_is_refused_with_the_name_of_its_file(
    tmp_path: Path, name: str
) -> None:
    write_files(write_task(tmp_path), {name: b"caf\xe9"})
    with pytest.raises(InputError, match=name):
        load_task(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("timeout_seconds", "long"), ("max_cost_usd", float("inf"))]
)
def test_a_wrong_config_yaml_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    write_yaml(write_task(tmp_path) / "config.yaml", {key: value})
    with pytest.raises(InputError) as caught:
        load_task(tmp_path)
    assert (Path(caught.value.path).name, caught.value.key) == ("config.yaml", key)


def test_an_unknown_key_of_config_yaml_is_a_warning(tmp_path: Path) -> None:
    write_yaml(write_task(tmp_path) / "config.yaml", {"owner": "me"})
    (warning,) = load_task(tmp_path).warnings
    assert warning.endswith("config.yaml: owner: unknown key, ignored")


MISSPELT: dict[str, Any] = {
    "config.yaml": {"timeout": 60},
    "test.yaml": {**TEST, "source": {"repo": "files", "brnch": "main"}},
    "expected/rubric.yaml": {**RUBRIC, "grading": {"pass_treshold": 0.9}},
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_key_is_refused_with_the_one_that_is_meant(tmp_path: Path, name: str) -> None:
    write_yaml(write_task(tmp_path) / name, MISSPELT[name])
    with pytest.raises(InputError, match=r"unknown key\n  next: did you mean `"):
        load_task(tmp_path)


def test_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    write_files(write_task(tmp_path), {"prompt.md": b" \n"})
    with pytest.raises(InputError, match=r"task\.prompt_file: .*prompt\.md is empty"):
        load_task(tmp_path)


def test_a_mistake_in_the_task_is_an_error_of_the_experiment_that_names_it(tmp_path: Path) -> None:
    path = write_experiment(tmp_path)
    write_yaml(tmp_path / "task" / "test.yaml", {**TEST, "source": "files"})
    assert Path(refused(path).path).name == "test.yaml"
