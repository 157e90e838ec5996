"""An agent that attacks what is around it gets nothing, and does its work all the same."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_scylla.bubblewrap import unavailable
from pytest_scylla.isolation import ENGINES, no_engine
from tests.support.experiments import MODES, Experiment, check, read, rubric, wait_until
from tests.support.messages_server import MessagesServer, Reply, call, tool_results
from tests.support.npm import codex_binary, opencode_binary

pytestmark = pytest.mark.skipif(
    bool(unavailable()) and not os.environ.get("CI"), reason=str(unavailable())
)

RUN = "T0/00-empty/run_01"
ATTACKS = {
    "rubric": "cat {experiment}/task/expected/rubric.yaml",
    "task": "ls {experiment}/task",
    "sibling": "cat $here/../../*/agent/prompt.md",
    "results": "cat {results}/*/rubric.yaml",
    "home": "cat {home}/.profile-of-the-user",
    "system": "echo no > /usr/bin/no && rm /usr/bin/no",
    "environment": "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep ^KEY_OF_THE_SESSION",
    "signal": "kill -0 {pid}",
    "password": "cat /etc/shadow",
    "memory": "echo no > /no && rm /no",
}
"""What is tried: a command that ends well where the attack succeeds."""

REST = """
echo {} > ../run_result.json
setsid sh -c 'exec sleep 600' >/dev/null 2>&1 &
git add -A && git commit -qm mine && git log -1 --format=%s > log.txt
"""


def attacking(pytester: pytest.Pytester, **isolation: str) -> Experiment:
    """Two runs of an agent that tries every attack, writes down what it got, and works."""
    toy = Experiment(pytester, runs=2, rubric=rubric(check("grep mine log.txt")))
    toy.configure(isolation={"kind": "bubblewrap", **isolation})
    (pytester.path / ".profile-of-the-user").write_text("secret")
    places = {
        "experiment": toy.directory,
        "results": pytester.path / "results",
        "home": pytester.path,
        "pid": os.getpid(),
    }
    tries = [
        f"( {attack.format(**places)} ) >/dev/null 2>&1 && echo '{name}' >> got.txt"
        for name, attack in ATTACKS.items()
    ]
    # Not by `write_agent`: its log lies where an isolated agent cannot write.
    toy.write("agent.sh", "\n".join(["here=$PWD; : > got.txt", *tries, REST]))
    return toy


def loot(toy: Experiment, run: str) -> list[str]:
    return (toy.path(run) / "workspace/got.txt").read_text().splitlines()


def marked(run: Path) -> list[str]:
    """The processes that carry the run's marker."""
    marker, found = f"SCYLLA_RUN_DIR={run}\0".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


@MODES
def test_an_isolated_agent_works_and_gets_nothing(
    pytester: pytest.Pytester, mode: tuple[str, ...]
) -> None:
    toy = attacking(pytester)
    result = toy.run(*mode, env={"KEY_OF_THE_SESSION": "hidden"})
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*agent command, isolation bubblewrap, network on*"])
    for run in (RUN, "T0/00-empty/run_02"):
        assert loot(toy, run) == []
        assert read(toy.path(run) / "run_result.json")["tampering"] == []
        wait_until(lambda run=run: not marked(toy.path(run)))  # type: ignore[misc]


def test_without_isolation_the_same_attacks_succeed(pytester: pytest.Pytester) -> None:
    toy = attacking(pytester, kind="none")
    result = toy.run("--scylla-runs", "1", env={"KEY_OF_THE_SESSION": "hidden"})
    result.stdout.fnmatch_lines(["*agent command, isolation none*"])
    harmless = {"password", "memory", "system"} if os.geteuid() else set()
    assert {*loot(toy, RUN)} >= ATTACKS.keys() - harmless
    assert read(toy.path(RUN) / "run_result.json")["tampering"] == ["run_result.json"]


def test_changing_the_isolation_makes_results_stale(pytester: pytest.Pytester) -> None:
    toy = attacking(pytester)
    toy.run("--scylla-runs", "1").assert_outcomes(passed=1)
    toy.configure(isolation={"kind": "bubblewrap", "network": "off"})
    explained = toy.run("--scylla-explain", "--scylla-runs", "1")
    explained.stdout.fnmatch_lines(["*agent * again * changed: isolation"])


def test_a_program_of_npm_has_its_packages_and_its_interpreter(pytester: pytest.Pytester) -> None:
    """As nvm lays them out, below the home directory: a link to the script, which needs a file
    beside it, and an interpreter found by PATH."""
    place = pytester.mkdir("nvm")
    package = place / "lib/node_modules/tool"
    package.mkdir(parents=True)
    (package / "part.txt").write_text("done")
    (package / "tool.js").write_text(f"#!/usr/bin/env sh-{os.getpid()}\n{TOOL}")
    (place / "bin").mkdir()
    (place / "bin/tool").symlink_to("../lib/node_modules/tool/tool.js")
    interpreter = place / f"bin/sh-{os.getpid()}"
    interpreter.write_text('#!/bin/sh\nexec sh "$@"\n')
    for path in (package / "tool.js", interpreter):
        path.chmod(0o755)
    toy = Experiment(pytester, isolation="bubblewrap", rubric=rubric(check("grep done log.txt")))
    toy.configure(agent={"adapter": "command", "command": [f"{place}/bin/tool"], "paid": False})
    toy.run(env={"PATH": f"{place}/bin:{os.environ['PATH']}"}).assert_outcomes(passed=1)


TOOL = 'cat "$(dirname "$(realpath "$0")")/part.txt" > log.txt\n'

# -- network ---------------------------------------------------------------------------------------


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"answer")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[list[str]]:
    """The addresses of two servers."""
    both = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) for _ in range(2)]
    for server in both:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_port}" for server in both]
    for server in both:
        server.shutdown()


FETCH = """
import sys, urllib.request
for place, url in enumerate(sys.argv[1:]):
    try:
        print(place, urllib.request.urlopen(url, timeout=30).read().decode())
    except OSError:
        print(place, "refused")
"""


def test_the_network_is_on_or_off_or_one_address(
    pytester: pytest.Pytester, servers: list[str]
) -> None:
    expected = {
        "on": "0 answer\n1 answer\n",
        "off": "0 refused\n1 refused\n",
        servers[0]: "0 answer\n1 refused\n",
    }
    toy = Experiment(pytester)
    toy.write("fetch.py", FETCH)
    toy.configure(agent={"adapter": "command", "command": ["{python}", "{experiment}/fetch.py",
                         *servers], "paid": False})  # fmt: skip
    for network, printed in expected.items():
        toy.configure(isolation={"kind": "bubblewrap", "network": network})
        toy.run("--scylla-fresh")
        assert (toy.path(RUN) / "agent/output.txt").read_text() == printed, network


def test_an_unknown_address_is_an_error_that_says_what_to_do(pytester: pytest.Pytester) -> None:
    toy = Experiment(pytester, isolation={"kind": "bubblewrap", "network": "provider"})
    result = toy.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*isolation.network: the address*", "*next: name it in*"])


@pytest.mark.parametrize(
    ("isolation", "said"),
    [
        ("jail", "*isolation: *bubblewrap*"),
        ({"kind": "bubblewrap", "network": "some"}, "*expected on, off, provider, or a URL*"),
        ({"kind": "container"}, "*a container needs an `image`*"),
        ({"kind": "bubblewrap", "read": ["nowhere"]}, "*isolation.read: there is no */nowhere*"),
    ],
)
def test_a_wrong_isolation_is_an_error_of_that_file(
    pytester: pytest.Pytester, isolation: object, said: str
) -> None:
    toy = Experiment(pytester, isolation=isolation)
    result = toy.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])


# -- disk ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fill",
    [
        "dd if=/dev/zero of=one bs=1M count=1000",
        "n=0; while [ $n -lt 1000 ]; do n=$((n+1)); dd if=/dev/zero of=f$n bs=1M count=2; done",
        "cd $HOME; while :; do head -c 2000000 /dev/zero >> f; sleep 0.05; done",
    ],
    ids=["one file", "many files", "home"],
)
def test_an_agent_that_fills_the_disk_is_ended_and_judged(
    pytester: pytest.Pytester, fill: str
) -> None:
    toy = Experiment(pytester, isolation={"kind": "bubblewrap", "disk_mb": 20})
    toy.write("agent.sh", f"touch answer.txt; {fill} 2>/dev/null; sleep 600")
    toy.configure(agent={**toy.settings["agent"], "timeout": 60})
    toy.run().assert_outcomes(passed=1)
    result = read(toy.path(RUN) / "agent/result.json")
    assert result["timed_out"]
    held = sum(p.stat().st_blocks * 512 for p in (toy.path(RUN) / "workspace").iterdir())
    assert held < 1_000_000_000, "ended long before the disk was full"
    assert result["stop_reason"] == "disk_limit"


# -- real agents -----------------------------------------------------------------------------------

Agents = tuple[dict[str, Any], str, str]
"""An agent as experiment.yaml has it, its tool that is a shell, and that tool's argument."""


def claude_code() -> Agents:
    return {"adapter": "claude-code", "model": "claude-haiku-4-5"}, "Bash", "command"


def codex() -> Agents:
    agent = {"adapter": "codex", "model": "gpt-5.5", "executable": str(codex_binary())}
    return agent, "exec_command", "cmd"


def opencode() -> Agents:
    agent = {"adapter": "opencode", "model": "anthropic/claude-haiku-4-5"}
    return {**agent, "executable": str(opencode_binary())}, "bash", "command"


@pytest.mark.parametrize(
    "which", [claude_code, codex, pytest.param(opencode, marks=pytest.mark.slow)]
)
def test_a_real_agent_works_in_its_place_and_reaches_its_provider_alone(
    pytester: pytest.Pytester,
    servers: list[str],
    monkeypatch: pytest.MonkeyPatch,
    which: Callable[[], Agents],
) -> None:
    """Its shell tool looks for another server, the rubric, and the session's process."""
    agent, tool, argument = which()
    look = f"curl -s -m 5 {servers[0]} || echo nobody; cat {pytester.path}/results/*/rubric.yaml"
    replies = [
        call(tool, **{argument: f"{look}; ls /proc/{os.getpid()}"}),
        call(tool, **{argument: "echo hi > answer.txt"}),
        Reply("ok"),
    ]
    toy = Experiment(pytester, isolation={"kind": "bubblewrap", "network": "provider"})
    toy.configure(agent=agent, prices={"gpt-5.5": {"input": 1, "output": 8}})
    for name in ("ANTHROPIC", "OPENAI"):
        monkeypatch.setenv(f"{name}_API_KEY", "a-key-for-tests")
    with MessagesServer(replies) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url())
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url()}/v1")
        toy.run().assert_outcomes(passed=1)
        results = [text for request in server.messages() for text in tool_results(request.body)]
        server.check()
    assert "nobody" in results[0], results
    assert results[0].count("No such file") == 2, results


ENGINE_CONFIG = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=100:100"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
"""


@pytest.mark.slow
@pytest.mark.skipif(bool(no_engine(None)), reason=str(no_engine(None)))
def test_an_agent_works_in_a_container(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "containers.conf").write_text(ENGINE_CONFIG)
    monkeypatch.setenv("CONTAINERS_CONF", str(pytester.path / "containers.conf"))
    image = make_image(pytester.path)
    toy = attacking(pytester, kind="container", image=image, network="off")
    toy.configure(isolation={**toy.settings["isolation"], "read": ["/usr"]})
    toy.run().assert_outcomes(passed=2)
    assert loot(toy, RUN) == []
    assert not containers()
    label = f"--label=pytest-scylla.run={toy.path(RUN)}"
    sleeping = [engine(), "run", "-d", label, "-v/usr:/usr:ro", image, "/bin/sleep", "600"]
    subprocess.run(sleeping, check=True)
    assert containers()
    toy.run().assert_outcomes(passed=2)
    assert not containers(), "what a dead session left is ended"


def containers() -> str:
    listed = [engine(), "ps", "-aq", "--filter", "label=pytest-scylla.run"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def engine() -> str:
    return next(name for name in ENGINES if shutil.which(name))


def make_image(place: Path) -> str:
    """An image of empty directories: the programs are this machine's."""
    root = place / "root"
    for name in ("usr", "etc", "proc", "sys", "dev", "tmp", "root"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    subprocess.run(["tar", "-C", root, "-cf", place / "root.tar", "."], check=True)
    subprocess.run([engine(), "import", place / "root.tar", "scylla-tests"], check=True)
    return "scylla-tests"
