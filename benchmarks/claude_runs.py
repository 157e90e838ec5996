"""Real Claude Code runs through the plugin, beside a bare shell loop of the same command.

32 runs, 8 at a time, against the local server of the tests (no network, nothing is paid). Claude
Code is the program `claude` on PATH, or the one that the package claude-agent-sdk brings along.
The server needs the test dependencies: name another interpreter that has them with
--server-python, where the one that runs this has only the plugin's own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.experiments import (
    EXPERIMENT,
    PYTEST,
    environment,
    small_source,
    write_experiment,
    write_files,
)
from benchmarks.timing import Sample, interleaved, rounds_argument, show, timed

LOOP = Path(__file__).with_name("claude_loop.sh")
MODEL = "claude-sonnet-4-6"
PROMPT = 'Write hello.py, which prints "Hello, World!".\n'
ARGUMENTS = (
    *("-p", "--model", MODEL, "--output-format", "stream-json", "--verbose"),
    *("--dangerously-skip-permissions", "--strict-mcp-config", "--setting-sources", "project"),
)


def main() -> None:
    """Measure against a server of our own."""
    parser = rounds_argument(__doc__ or "", 3)
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--claude", help="the program; default: as described above")
    parser.add_argument("--server-python", default=sys.executable)
    options = parser.parse_args()
    claude = options.claude or _claude(options.server_python)
    with tempfile.TemporaryDirectory() as name, _server(options.server_python) as url:
        env = environment() | {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": url}
        size = (options.runs, options.workers)
        sides = {
            "bare loop": partial(_bare, Path(name), env, claude, *size),
            "runs of an experiment": partial(_experiment, env, claude, *size),
        }
        title = f"{options.runs} runs of Claude Code at -n {options.workers}"
        show(title, interleaved(sides, options.rounds), "bare loop", "1.1 x")


def _claude(python: str) -> str:
    script = "import claude_agent_sdk as sdk; print(sdk.__path__[0] + '/_bundled/claude')"
    found = shutil.which("claude")
    return found or subprocess.check_output([python, "-c", script], text=True).strip()


@contextmanager
def _server(python: str) -> Iterator[str]:
    """The server of the tests; its CPU time is on nobody's account."""
    words = [python, "-m", "tests.support.messages_server"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        words, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _bare(folder: Path, env: dict[str, str], claude: str, runs: int, jobs: int) -> Sample:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        repository = place / "repository"
        write_files(place, {"prompt.md": PROMPT})
        write_files(repository, small_source(10))
        for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "The files")):
            who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
            timed(["git", *who, *command], repository)
        sizes = (str(runs), str(jobs))
        return timed(
            ["sh", LOOP, "loop", place, repository, *sizes, claude, *ARGUMENTS], place, env
        )


def _experiment(env: dict[str, str], claude: str, runs: int, workers: int) -> Sample:
    agent = {"adapter": "claude-code", "model": MODEL, "executable": claude}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_experiment(
            place,
            runs=runs // 2,
            tiers={"T0": 2},
            agent=agent,
            prompt=PROMPT,
            check="test -f hello.py",
        )
        words = [*PYTEST, "-q", "-n", str(workers), EXPERIMENT]
        return timed(words, place, env)


if __name__ == "__main__":
    main()
