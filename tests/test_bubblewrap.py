"""What a program sees in namespaces of its own; with the real bwrap."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_scylla.bubblewrap import View, unavailable, wrapped
from tests.support.experiments import wait_until

needs_bwrap = pytest.mark.skipif(
    bool(unavailable()) and not os.environ.get("CI"), reason=str(unavailable())
)


def run(script: str, cwd: Path, view: View) -> subprocess.CompletedProcess[str]:
    command = wrapped(["/bin/sh", "-c", script], cwd, view)
    return subprocess.run(command, capture_output=True, text=True)


def free(path: Path) -> bool:
    """Nobody holds the lock."""
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@needs_bwrap
def test_what_is_named_is_there_and_nothing_else(tmp_path: Path) -> None:
    for name in ("work", "read", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    view = View(writable=(tmp_path / "work",), readable=(tmp_path / "read",))
    done = run(
        f"ls {tmp_path}; cat {tmp_path}/read/file; echo new > {tmp_path}/work/new;"
        f"echo no > {tmp_path}/read/file; echo no > /usr/no; echo no > /no; ls {Path.home()}",
        tmp_path / "work",
        view,
    )
    assert done.stdout.split()[:3] == ["read", "work", "read"]
    assert done.stderr.count("Read-only file system") == 3
    assert [path.name for path in sorted((tmp_path / "work").iterdir())] == ["file", "new"]
    assert (tmp_path / "read" / "file").read_text() == "read"


@needs_bwrap
def test_the_interpreter_of_pytest_runs_in_it(tmp_path: Path) -> None:
    command = wrapped([sys.executable, "-c", "import pytest, os; print(os.getcwd())"], tmp_path,
                      View(writable=(tmp_path,)))  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{tmp_path}\n", "")


@needs_bwrap
def test_other_processes_and_their_variables_are_not_there(tmp_path: Path) -> None:
    done = run("cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -c ^SECRET_OF_ANOTHER=; ls /proc",
               tmp_path, View(writable=(tmp_path,)))  # fmt: skip
    assert done.stdout.splitlines()[0] == "0"
    assert str(os.getpid()) not in done.stdout.split()


@needs_bwrap
def test_what_is_left_behind_ends_with_the_program(tmp_path: Path) -> None:
    held = tmp_path / "held"
    script = (
        f"setsid flock {held} sleep 600 >/dev/null 2>&1 & while flock -n {held} true; do :; done"
    )
    run(script, tmp_path, View(writable=(tmp_path,)))
    wait_until(lambda: free(held))


@needs_bwrap
def test_the_network_is_that_of_the_machine_or_none(tmp_path: Path) -> None:
    seen = {
        network: run("cat /proc/net/dev", tmp_path, View((tmp_path,), network=network)).stdout
        for network in (True, False)
    }
    devices = {n: [line.split()[0] for line in text.splitlines()[2:]] for n, text in seen.items()}
    here = [line.split()[0] for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    assert devices == {True: here, False: ["lo:"]}


@needs_bwrap
def test_sigterm_reaches_the_program_itself_and_its_status_is_passed_on(tmp_path: Path) -> None:
    script = "trap 'echo ended; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    command = wrapped(["/bin/sh", "-c", script], tmp_path, View(writable=(tmp_path,)))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, 15)
    assert process.communicate(timeout=30)[0] == "ended\n"
    assert process.returncode == 7


@needs_bwrap
def test_something_else_is_seen_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 here\n")
    view = View(writable=(tmp_path,), instead={"/etc/hosts": tmp_path / "hosts"})
    assert run("cat /etc/hosts", tmp_path, view).stdout == "127.0.0.1 here\n"


@needs_bwrap
def test_nothing_of_the_kernel_can_be_written(tmp_path: Path) -> None:
    """Also where root runs the tests, as in a container of CI."""
    done = run("find /proc/sys /proc/irq /proc/bus /proc/fs /sys -type f -writable 2>/dev/null;"
               "for name in kernel/core_pattern kernel/panic vm/swappiness; do"
               " (: > /proc/sys/$name) 2>/dev/null && echo $name; done; (: > /proc/sysrq-trigger) "
               "2>/dev/null && echo sysrq; find /dev -type b; grep ^Cap /proc/self/status",
               tmp_path, View(writable=(tmp_path,)))  # fmt: skip
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
    ]
    assert {line.split()[1] for line in lines} == {"0" * 16}


@needs_bwrap
def test_a_program_is_in_a_user_namespace_of_its_own(tmp_path: Path) -> None:
    done = run("readlink /proc/self/ns/user", tmp_path, View(writable=(tmp_path,)))
    assert done.stdout.strip() not in ("", os.readlink("/proc/self/ns/user"))
