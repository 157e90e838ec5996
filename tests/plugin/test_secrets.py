"""What an agent is given, what of it is written down, and how it is played again."""

import os
import subprocess
from pathlib import Path

import pytest

from pytest_scylla.processes import ALLOWED
from tests.support.experiments import (
    IN_PROCESS,
    MODES,
    TWO_WORKERS,
    WORKS,
    Experiment,
    check,
    claude_md,
    read,
    rubric,
    run_pytest,
)

KEY = "sk-live-0123456789abcdef"
RUN = "T0/00-empty/run_01"


def pass_key(toy: Experiment) -> None:
    toy.configure(agent={**toy.settings["agent"], "pass_env": ["MODEL_API_KEY"]})


def files_with(text: str, root: Path) -> list[str]:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return [str(path.relative_to(root)) for path in paths if text.encode() in path.read_bytes()]


TALKATIVE = f"""
{WORKS}
echo "the key is $MODEL_API_KEY"; echo "again: $MODEL_API_KEY" >&2
printf "%.10s" $MODEL_API_KEY; printf "%s\\n" $MODEL_API_KEY | cut -c 11-
echo "$MODEL_API_KEY" | sed 's/^/{{"result": "/; s/$/"}}/'
"""


@MODES
@pytest.mark.parametrize("end", ["", "exit 1"], ids=["passed", "crashed"])
def test_a_key_appears_in_no_file(
    pytester: pytest.Pytester, mode: tuple[str, ...], end: str
) -> None:
    toy = Experiment(pytester, agent=TALKATIVE + end)
    pass_key(toy)
    result = toy.run(*mode, "--junitxml=junit.xml", env={"MODEL_API_KEY": KEY})
    assert result.ret == bool(end)
    assert files_with(KEY, pytester.path / "results") == []
    assert KEY not in result.stdout.str() + (pytester.path / "junit.xml").read_text()
    agent = toy.path(RUN) / "agent"
    assert "the key is [MODEL_API_KEY]" in (agent / "stdout.log").read_text()
    assert "again: [MODEL_API_KEY]" in (agent / "stderr.log").read_text()
    command = read(agent / "command_log.json")["commands"][0]
    assert command["env_vars"]["MODEL_API_KEY"] == "[MODEL_API_KEY]"


def test_without_the_variable_the_runs_are_skipped(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester)
    pass_key(toy)
    result = toy.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *MODEL_API_KEY is not set*"])


def test_a_key_is_of_no_use_to_a_check_and_to_another_agent(pytester: pytest.Pytester) -> None:
    clean = rubric(check('test -z "$MODEL_API_KEY" && test -f answer.txt'))
    keyed = Experiment(pytester, "keyed", rubric=clean)
    pass_key(keyed)
    Experiment(pytester, "plain", rubric=clean, agent=f'[ -z "$MODEL_API_KEY" ] && {WORKS}')
    result = run_pytest(pytester, "experiments", env={"MODEL_API_KEY": KEY})
    result.assert_outcomes(passed=2)


def environment(run: Path) -> dict[str, str]:
    lines = (run / "workspace/env.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


@MODES
def test_the_environment_is_an_allow_list_with_a_home_and_a_port_of_ones_own(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = Experiment(pytester, agent=f"env > env.txt; ls -A $HOME > home.txt; {WORKS}", runs=3)
    toy.configure(agent={**toy.settings["agent"], "env": {"OURS": "1"}})
    toy.run(*mode, env={"FOREIGN": "1", "AWS_SECRET": KEY, "LC_ALL": "C.UTF-8"})
    found = [environment(run) for run in toy.results.glob("T0/*/run_*")]
    own = {"HOME", "TMPDIR", "PORT", "SCYLLA_RUN_DIR", "OURS"}
    shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    for variables in found:
        assert set(variables) <= {*ALLOWED, *own, *shell}
        assert variables["LC_ALL"] == "C.UTF-8"
        assert variables["PATH"] == os.environ["PATH"]
        assert 1024 <= int(variables["PORT"]) < 65536
        assert not Path(variables["HOME"]).exists()
        assert variables["TMPDIR"].startswith(variables["HOME"])
    assert len({variables["HOME"] for variables in found}) == 3
    homes = [(run / "workspace/home.txt").read_text() for run in toy.results.glob("T0/*/run_*")]
    assert set(homes) == {"tmp\n"}


@MODES
def test_replay_does_the_same_again_elsewhere(
    pytester: pytest.Pytester, mode: tuple[str, ...], tmp_path: Path
) -> None:
    toy = Experiment(
        pytester,
        agent='cat > asked.txt; cat CLAUDE.md > answer.txt; env | grep -c "^PORT=" > port.txt',
        tiers={"T0": {"00-empty": claude_md("B01")}},
    )
    toy.run(*mode).assert_outcomes(passed=1)
    place = tmp_path / "a replay"
    subprocess.run([toy.path(RUN) / "agent/replay.sh", place], check=True, capture_output=True)
    for name in ("asked.txt", "answer.txt", "port.txt", "hello.txt", "CLAUDE.md"):
        replayed = (place / "workspace" / name).read_text()
        assert replayed == (toy.path(RUN) / "workspace" / name).read_text()
    assert toy.executions.total() == 2


@pytest.mark.parametrize("mode", [IN_PROCESS, TWO_WORKERS], ids=["n0", "n2"])
def test_replay_asks_for_the_key_that_it_does_not_hold(
    pytester: pytest.Pytester, mode: tuple[str, ...], tmp_path: Path
) -> None:
    toy = Experiment(pytester, agent='test "$MODEL_API_KEY" = ' + f"{KEY} && {WORKS}")
    pass_key(toy)
    toy.run(*mode, env={"MODEL_API_KEY": KEY}).assert_outcomes(passed=1)
    script = [toy.path(RUN) / "agent/replay.sh", tmp_path / "replay"]
    without = {name: value for name, value in os.environ.items() if name != "MODEL_API_KEY"}
    refused = subprocess.run(script, env=without, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "set MODEL_API_KEY" in refused.stderr
    script[1] = tmp_path / "second"
    subprocess.run(script, env={**without, "MODEL_API_KEY": KEY}, check=True, capture_output=True)
    assert (tmp_path / "second/workspace/answer.txt").exists()
