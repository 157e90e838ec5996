"""Programs of somebody else's: limits, evidence, environment, orphans, secrets."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import UserDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_scylla.processes import (
    ALLOWED,
    MARKER,
    Finished,
    Invocation,
    clean_environment,
    redact,
    run,
    secrets,
    sweep,
    terminate,
)
from tests.support.examples import alive, law, law_on_disk, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and prctl of Linux")


def run_in(
    folder: Path,
    *argv: str,
    stdin: str = "",
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    invocation = Invocation(argv, folder, clean_environment(env), stdin, timeout)
    return run(invocation, folder / "stdout.log", folder / "stderr.log")


def shell(
    folder: Path,
    script: str,
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    return run_in(folder, "/bin/sh", "-c", script, timeout=timeout, env=env)


# -- how a program ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("instead", ["true", "mkfifo stdout.log", "mkdir stdout.log"])
def test_a_program_that_takes_its_logs_away_is_heard_all_the_same(
    tmp_path: Path, instead: str
) -> None:
    finished = shell(tmp_path, f"echo out; rm stdout.log stderr.log; {instead}; echo err >&2")
    assert (finished.stdout, finished.stderr) == ("out\n", "err\n")
    assert (tmp_path / "stdout.log").read_text() == "out\n"
    assert (tmp_path / "stderr.log").read_text() == "err\n"


def test_output_and_exit_status_are_kept_apart(tmp_path: Path) -> None:
    finished = shell(tmp_path, "echo out; echo err >&2; exit 3")
    assert (finished.stdout, finished.stderr, finished.exit_code) == ("out\n", "err\n", 3)
    assert not finished.timed_out
    assert finished.duration > 0
    assert (tmp_path / "stdout.log").read_text() == "out\n"
    assert (tmp_path / "stderr.log").read_text() == "err\n"


def test_a_program_that_a_signal_ended_has_a_negative_status(tmp_path: Path) -> None:
    assert shell(tmp_path, "kill -USR1 $$").exit_code == -signal.SIGUSR1


def test_a_program_works_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    assert run_in(tmp_path / "place", "pwd").stdout.strip() == str(tmp_path / "place")


@pytest.mark.parametrize("program", ["no-such-program", "/", "./not-a-program"])
def test_a_program_that_cannot_be_started_is_an_os_error(tmp_path: Path, program: str) -> None:
    (tmp_path / "not-a-program").write_text("only words")
    with pytest.raises(OSError):
        run_in(tmp_path, program)


def test_output_that_is_not_utf8_is_kept_as_it_is(tmp_path: Path) -> None:
    finished = shell(tmp_path, r"printf 'a\377b'")
    assert finished.stdout == "a\ufffdb"
    assert (tmp_path / "stdout.log").read_bytes() == b"a\xffb"


def test_output_without_a_newline_is_whole(tmp_path: Path) -> None:
    assert shell(tmp_path, "printf 'no newline'").stdout == "no newline"


def test_three_megabytes_of_output_are_whole(tmp_path: Path) -> None:
    finished = shell(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2")
    assert finished.stdout == "x" * 3_000_000
    assert finished.stderr == "end\n"


def test_a_program_that_closes_its_output_is_waited_for(tmp_path: Path) -> None:
    code = "import os; os.close(0); os.close(1); os.close(2); open('later', 'w'); os._exit(4)"
    assert run_in(tmp_path, sys.executable, "-c", code).exit_code == 4
    assert (tmp_path / "later").exists()


# -- standard input --------------------------------------------------------------------------------


def test_standard_input_may_be_larger_than_a_pipe(tmp_path: Path) -> None:
    text = "".join(f"{number} ü\n" for number in range(200_000))
    assert run_in(tmp_path, "cat", stdin=text).stdout == text


def test_a_program_that_never_reads_its_input_is_not_waited_for(tmp_path: Path) -> None:
    assert run_in(tmp_path, "echo", "done", stdin="x" * 3_000_000).stdout == "done\n"


def test_a_program_that_reads_its_input_only_in_part_ends_well(tmp_path: Path) -> None:
    finished = run_in(tmp_path, "head", "-c", "5", stdin="x" * 3_000_000)
    assert (finished.stdout, finished.exit_code) == ("xxxxx", 0)


def test_without_input_a_program_reads_the_end_at_once(tmp_path: Path) -> None:
    assert run_in(tmp_path, "cat").exit_code == 0


# -- time limits -----------------------------------------------------------------------------------


def test_a_time_limit_keeps_all_that_was_said_also_after_the_signal(tmp_path: Path) -> None:
    code = """
import signal, sys, time
def say(*_):
    sys.stdout.write("x" * 300_000)
    sys.exit(5)
signal.signal(signal.SIGTERM, say)
print("before", flush=True)
time.sleep(600)
"""
    finished = run_in(tmp_path, sys.executable, "-S", "-c", code, timeout=2)
    assert finished.timed_out
    assert finished.stdout == "before\n" + "x" * 300_000
    assert finished.exit_code == 5


def test_a_program_that_ignores_the_limit_is_killed_with_its_children(tmp_path: Path) -> None:
    deaf = "trap '' TERM; (while :; do sleep 1; done) & echo $!; "
    finished = shell(tmp_path, deaf + "while :; do sleep 1; done", timeout=1)
    assert finished.timed_out
    assert finished.exit_code == -signal.SIGKILL
    wait_until(lambda: not alive(int(finished.stdout)))


def test_a_program_that_ends_in_time_is_not_timed_out(tmp_path: Path) -> None:
    assert not shell(tmp_path, "exit 1", timeout=600).timed_out


def popen(script: str) -> subprocess.Popen[bytes]:
    """A shell in a process group of its own, that has said that it is ready."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done", 7),
        ("trap '' TERM; echo ready; while :; do sleep 0.05; done", -signal.SIGKILL),
        ("echo ready; exec sleep 600", -signal.SIGTERM),
    ],
)
def test_a_program_is_asked_to_end_before_it_is_killed(script: str, status: int) -> None:
    process = popen(script)
    terminate(process, 60 if status != -signal.SIGKILL else 0.2)
    assert process.returncode == status
    process.communicate()


# -- nothing is left behind ------------------------------------------------------------------------


@linux
def test_what_a_program_leaves_running_in_its_group_ends_with_it(tmp_path: Path) -> None:
    finished = shell(tmp_path, "sleep 600 & echo $!")
    assert finished.exit_code == 0
    wait_until(lambda: not alive(int(finished.stdout)))


def orphan(folder: Path, run_dir: Path, script: str = "exec sleep 600") -> int:
    """The process id of a program that left its group; its run, and its session, are over."""
    (folder / "pid").unlink(missing_ok=True)
    left = "setsid /bin/sh -c " + f'"echo \\$\\$ > pid; {script}" > /dev/null 2>&1 &'
    waits = ["/bin/sh", "-c", f"{left} while ! [ -s pid ]; do :; done"]
    subprocess.run(waits, cwd=folder, env={**os.environ, MARKER: str(run_dir)}, check=True)
    return int((folder / "pid").read_text())


@linux
def test_what_hides_in_sessions_and_empty_environments_ends_with_the_program(
    tmp_path: Path,
) -> None:
    own = subprocess.Popen(["sleep", "600"], start_new_session=True)
    hides = "env -i setsid /bin/sh -c 'env -i setsid sleep 600 & echo $! > two; sleep 600' &"
    finished = shell(tmp_path, f"{hides} echo $!; while ! [ -s two ]; do :; done")
    left = [int(finished.stdout), int((tmp_path / "two").read_text())]
    assert not any(alive(pid) for pid in left)
    assert alive(own.pid)
    own.kill()
    own.wait()


@linux
def test_a_program_that_left_its_group_is_swept_by_its_marker(tmp_path: Path) -> None:
    pid = orphan(tmp_path, tmp_path / "run_01")
    assert alive(pid)
    assert sweep(tmp_path / "run_01") >= 1
    assert not alive(pid)


@linux
def test_an_orphan_that_ignores_the_signal_is_swept_too(tmp_path: Path) -> None:
    pid = orphan(tmp_path, tmp_path, "trap '' TERM; while :; do sleep 0.1; done")
    sweep(tmp_path, grace=0.2)
    wait_until(lambda: not alive(pid))


@linux
def test_a_sweep_takes_what_belongs_to_the_directory_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARKER, str(tmp_path / "run_1"))
    others = [orphan(tmp_path, tmp_path / name) for name in ("run_10", "run_2")]
    inside = orphan(tmp_path, tmp_path / "run_1" / "attempts" / "attempt_01")
    sweep(tmp_path / "run_1")
    assert not alive(inside)
    assert all(alive(pid) for pid in others)
    assert sweep(tmp_path) >= 2
    assert not any(alive(pid) for pid in others)
    assert sweep(tmp_path) == 0


WAITING = "trap 'echo > ended; exit' TERM; echo > ready; while :; do sleep 0.05; done"
PARENT = f"""
import sys
from pathlib import Path
from pytest_scylla.processes import Invocation, clean_environment, run
here = Path(sys.argv[1])
run(Invocation(["/bin/sh", "-c", {WAITING!r}], here, clean_environment()), here / "o", here / "e")
"""


@linux
@pytest.mark.parametrize("accident", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("tools", ["all", "few"])
def test_a_program_does_not_outlive_the_process_that_started_it(
    tmp_path: Path, accident: signal.Signals, tools: str
) -> None:
    env = dict(os.environ)
    if tools == "few":  # no setpriv among them
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "sleep").symlink_to(shutil.which("sleep") or "/bin/sleep")
        env["PATH"] = str(tmp_path / "bin")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env=env, stderr=subprocess.DEVNULL
    )
    wait_until((tmp_path / "ready").exists)
    parent.send_signal(accident)
    wait_until((tmp_path / "ended").exists)
    assert parent.wait() != 0


@linux
class Interrupting(UserDict[str, str]):
    """An environment that interrupts whoever reads it: Ctrl-C while a program is being started."""

    def __iter__(self) -> Iterator[str]:
        signal.raise_signal(signal.SIGINT)
        return super().__iter__()


def test_an_interruption_while_a_program_is_being_started_loses_no_program(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    env = Interrupting({MARKER: str(tmp_path)})
    invocation = Invocation(["/bin/sleep", "60"], tmp_path, env)
    with pytest.raises(KeyboardInterrupt):
        run(invocation, tmp_path / "stdout.log", tmp_path / "stderr.log")
    assert (tmp_path / "stdout.log").exists()  # it had begun, and was watched to its end
    assert sweep(tmp_path) == 0
    assert signal.getsignal(signal.SIGINT) is handler


def test_no_file_stays_open(tmp_path: Path) -> None:
    shell(tmp_path, "exit 0")
    before = len(os.listdir("/proc/self/fd"))
    for script in ("echo out", "exit 1", "kill -9 $$", "exec >&- 2>&- <&-"):
        run_in(tmp_path, "/bin/sh", "-c", script, stdin="x" * 100_000)
    assert len(os.listdir("/proc/self/fd")) == before


# -- environment -----------------------------------------------------------------------------------


def test_a_program_sees_only_what_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "GIT_DIR", "PYTHONPATH", "MY_OWN", "HOME", "PYTEST_X"):
        monkeypatch.setenv(name, "from outside")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    seen = dict(
        line.split("=", 1)
        for line in run_in(tmp_path, "env", env={"MINE": "1"}).stdout.splitlines()
    )
    assert set(seen) <= {*ALLOWED, "MINE"}
    assert "from outside" not in seen.values()
    assert (seen["MINE"], seen["TZ"]) == ("1", "Europe/Berlin")


def test_what_is_named_goes_before_what_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert clean_environment({"LANG": "C"})["LANG"] == "C"
    assert clean_environment()["LANG"] == "de_DE.UTF-8"


# -- secrets ---------------------------------------------------------------------------------------

HIDDEN = {"FIRST_KEY": "s3cret.one", "LONGER_TOKEN": "s3cret.one.more", "A_SECRET": "an0ther-two"}
pieces = st.sampled_from([*HIDDEN.values(), "s3cre", "t.one", ".mo", "an0", "-two", "x", " ", "\n"])
texts = st.lists(pieces, max_size=12).map("".join)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("ANTHROPIC_API_KEY", "sk-123456", True),
        ("github_token", "ghp_123456", True),
        ("DB_PASSWORD", "hunter22", True),
        ("AWS_CREDENTIALS", "abcdefgh", True),
        ("API_KEY", "", False),
        ("PATH", "/usr/bin:/bin", False),
    ],
)
def test_a_variable_is_secret_by_its_name(name: str, value: str, secret: bool) -> None:
    assert secrets({name: value}) == ({name: value} if secret else {})


@law
@given(texts)
def test_no_secret_stays_in_a_redacted_text(text: str) -> None:
    clean = redact(text, HIDDEN)
    assert not any(value in clean for value in HIDDEN.values())
    assert (clean == text) == (not any(value in text for value in HIDDEN.values()))


def test_a_secret_is_replaced_by_its_name_also_where_another_begins_like_it() -> None:
    said = "use s3cret.one.more and s3cret.one!"
    assert redact(said, HIDDEN) == "use [LONGER_TOKEN] and [FIRST_KEY]!"


@settings(law_on_disk, max_examples=60)
@given(texts, st.integers(1, 20))
def test_output_in_pieces_is_redacted_as_a_whole(text: str, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        argv = ("dd", f"bs={size}", "status=none")
        finished = run_in(Path(folder), *argv, stdin=text, env=HIDDEN)
        assert finished.stdout == redact(text, HIDDEN)


def test_a_secret_in_standard_error_is_redacted(tmp_path: Path) -> None:
    finished = shell(tmp_path, "echo key $FIRST_KEY >&2", env=HIDDEN)
    assert finished.stderr == "key [FIRST_KEY]\n"
    assert (tmp_path / "stderr.log").read_text() == "key [FIRST_KEY]\n"


def test_not_even_half_a_secret_is_on_disk_while_the_program_is_at_it(tmp_path: Path) -> None:
    script = "printf 'this is s3cre'; while ! [ -e go ]; do sleep 0.01; done; echo t.one"
    log = tmp_path / "stdout.log"
    found: list[Finished] = []
    worker = threading.Thread(target=lambda: found.append(shell(tmp_path, script, env=HIDDEN)))
    worker.start()
    wait_until(lambda: log.exists() and log.read_text().startswith("this is"))
    seen = log.read_text()
    (tmp_path / "go").touch()
    worker.join()
    assert "s3c" not in seen
    assert found[0].stdout == "this is [FIRST_KEY]\n"


def test_output_reaches_the_log_while_the_program_works(tmp_path: Path) -> None:
    script = "echo first; while ! [ -e go ]; do sleep 0.01; done; echo second"
    log = tmp_path / "stdout.log"
    worker = threading.Thread(target=shell, args=(tmp_path, script))
    worker.start()
    wait_until(lambda: log.exists() and log.read_text() == "first\n")
    (tmp_path / "go").touch()
    worker.join()
    assert log.read_text() == "first\nsecond\n"
