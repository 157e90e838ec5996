"""Run a program of somebody else's: time limit, evidence, clean environment, no orphans.

The program gets its own process group and, on Linux, a signal when its parent dies. Its output
is written to files as it comes, with secrets taken out, so that it survives a kill.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

MARKER = "SCYLLA_RUN_DIR"
"""Environment variable that everything below an agent inherits: the run's directory."""

SESSION = "SCYLLA_SESSION"
"""Environment variable that everything below a session inherits: its name."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

INTERRUPT_GRACE = 2.0
"""The same after Ctrl-C: whoever pressed it waits."""

ALLOWED = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "TZ", "TMPDIR", "SYSTEMROOT",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "HTTPS_PROXY", "HTTP_PROXY",
    "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", SESSION,
)  # fmt: skip
"""Variables that a program inherits; all others only where a configuration names them."""

_SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


@dataclass(frozen=True)
class Invocation:
    """What to run. `cwd` is a directory; `stdin` the text the program reads; `timeout` seconds."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    stdin: str = ""
    timeout: float | None = None
    watched: bool = True
    """Whether it gets SIGTERM when its parent dies; what ends soon by itself need not."""
    heard: Callable[[str], object] | None = None
    """Called with every line of the program's standard output, as it comes."""
    ended: Callable[[], object] | None = None
    """Called when it has ended, before its output is looked at again."""


@dataclass(frozen=True)
class Finished:
    """How a program ended. `exit_code` is negative where a signal ended it."""

    exit_code: int
    stdout: str
    stderr: str
    duration: float
    """Seconds."""
    timed_out: bool
    silence: float = 0.0
    """Seconds between its last output and its end."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The allowed part of this process's environment, and `extra`."""
    kept = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    return {**kept, **(extra or {})}


def secrets(env: Mapping[str, str]) -> dict[str, str]:
    """Name -> value of the variables whose value must not reach a log."""
    return {
        name: value
        for name, value in env.items()
        if len(value) >= 6
        and not value.isdigit()
        and any(word in name.upper() for word in _SECRET_WORDS)
    }


def redact(text: str, hidden: Mapping[str, str]) -> str:
    """`text` with the value of every secret replaced by its name."""
    for name, value in _longest_first(hidden):
        text = text.replace(value, f"[{name}]")
    return text


def redact_bytes(data: bytes, hidden: Mapping[str, str]) -> bytes:
    """As `redact`, for bytes."""
    for name, value in _longest_first(hidden):
        data = data.replace(value.encode(), f"[{name}]".encode())
    return data


def _longest_first(hidden: Mapping[str, str]) -> list[tuple[str, str]]:
    """A secret may begin with another one."""
    return sorted(hidden.items(), key=lambda pair: -len(pair[1]))


def run(invocation: Invocation, stdout: Path, stderr: Path) -> Finished:
    """Run a program to its end or to its time limit; its output goes to two files.

    Raises FileNotFoundError or PermissionError where the program cannot be started.
    An exception in the meantime (Ctrl-C) ends the program before it passes on.
    """
    started = time.monotonic()
    watcher = _watcher() if invocation.watched else Watcher()
    if watcher.prefix:
        _require(invocation)
    with (
        open(stdout, "wb") as out,
        open(stderr, "wb") as err,
        _no_escape(),
        _HeldBack() as interruptions,
    ):
        process = subprocess.Popen(
            [*watcher.prefix, *invocation.argv],
            cwd=invocation.cwd,
            env=dict(invocation.env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=watcher.hook,
        )
        try:
            pump = _Pump(process, invocation, out, err)
            deadline = _deadline(started, invocation.timeout)
            timed_out = _watch(process, pump, deadline, interruptions)
        finally:
            if process.returncode is None:
                terminate(process, 0)
    ended = time.monotonic()
    said, errors = pump.output
    if invocation.ended is not None:
        invocation.ended()
    for path, data in ((stdout, said), (stderr, errors)):
        _keep(path, data)
    return Finished(
        exit_code=process.wait(),
        stdout=_text(said),
        stderr=_text(errors),
        duration=ended - started,
        timed_out=timed_out,
        silence=ended - pump.last_output,
    )


@contextlib.contextmanager
def _no_escape() -> Iterator[None]:
    """End what a program has left behind in whatever session, and with whatever environment.

    While it runs this process is the "child subreaper" (prctl(2), Linux): it becomes the parent of
    all that lose theirs below it. None of its own children is touched: they are known, or in its
    own session.
    """
    if sys.platform != "linux":
        yield
        return
    before = _children()
    _adopt(True)
    try:
        yield
    finally:
        limit = time.monotonic() + GRACE
        while left := [pid for pid in _children() - before if _in_another_session(pid)]:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > limit:
                break
            time.sleep(0.002)
        _adopt(False)


def _adopt(on: bool) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(36, int(on), 0, 0, 0)


def _children() -> set[int]:
    """The processes whose parent is this one, dead ones that nobody has reaped included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # the usual case, and cheap
        return set()
    return {int(name) for name in os.listdir("/proc") if name.isdigit() and _is_ours(name)}


def _is_ours(pid: str) -> bool:
    with contextlib.suppress(OSError):
        return (
            int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
        )
    return False


def _in_another_session(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return os.getsid(pid) != os.getsid(0)
    return False


def _keep(path: Path, data: bytes) -> None:
    """The log of a program's output, made anew where the program took it away."""
    try:
        facts = os.lstat(path)
        if stat.S_ISREG(facts.st_mode) and facts.st_size == len(data):
            return
    except OSError:
        pass
    from .store import remove_tree, write_bytes  # not above: the reaper has no packages

    remove_tree(path)
    write_bytes(path, data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")


class _HeldBack:
    """Ctrl-C and signals that act like it wait until they are let through.

    A program that has begun, and that nobody watches yet, would be lost with all that it says.
    Only handlers written in Python are replaced: what is ignored stays so for the program, too.
    """

    def __init__(self) -> None:
        self.came: list[int] = []
        self.kept: dict[int, Callable[[int, FrameType | None], object]] = {}

    def __enter__(self) -> _HeldBack:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                handler = signal.getsignal(number)
                if callable(handler):
                    self.kept[number] = handler
                    signal.signal(number, lambda number, frame: self.came.append(number))
        return self

    def let_through(self) -> None:
        """Put the handlers back, and hand them what came."""
        while self.kept:
            signal.signal(*self.kept.popitem())
        while self.came:
            signal.raise_signal(self.came.pop())

    def __exit__(self, *exception: object) -> None:
        self.let_through()


def _watch(
    process: subprocess.Popen[bytes],
    pump: _Pump,
    deadline: float | None,
    interruptions: _HeldBack,
) -> bool:
    """Until a program and its group have ended, and their output is stored; True: it was late.

    A second Ctrl-C, while the program is given its time to end, kills it at once.
    """
    try:
        interruptions.let_through()
        timed_out = not pump.until_ended(deadline)
        if timed_out:
            _signal_group(process.pid, signal.SIGTERM)
            pump.until_ended(time.monotonic() + GRACE)
    except BaseException:
        _signal_group(process.pid, signal.SIGTERM)
        pump.until_ended(time.monotonic() + INTERRUPT_GRACE)
        raise
    finally:
        terminate(process, 0)
        pump.drain()
    return timed_out


def _require(invocation: Invocation) -> None:
    """Raise the OSError of a program that cannot be started, before another one is to start it."""
    program = invocation.argv[0]
    if "/" not in program:
        if shutil.which(program, path=invocation.env.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
        return
    path = invocation.cwd / program
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), program)


def _deadline(started: float, timeout: float | None) -> float | None:
    return None if timeout is None else started + timeout


def terminate(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """End a program and its process group: SIGTERM, `grace` seconds, SIGKILL.

    With a grace of 0 the group is killed at once (the program itself has ended).
    """
    if grace:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    # The leader's number stays the group's while any member lives.
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def sweep(run_dir: Path, grace: float = 1.0) -> int:
    """End every process that carries the marker of `run_dir` or of a directory below it.

    For children that left the process group, and for agents whose worker was killed.
    Returns how many there were.
    """
    start = f"\0{MARKER}={run_dir}".encode()
    return _sweep((start + b"\0", start + b"/"), grace)


def sweep_session(name: str, grace: float) -> int:
    """End every process below a session: its workers, and whatever they started.

    Returns how many there were.
    """
    return _sweep((f"\0{SESSION}={name}\0".encode(),), grace)


def _sweep(marks: tuple[bytes, ...], grace: float) -> int:
    first = found = _marked(marks)
    for stop in (signal.SIGTERM, signal.SIGKILL):
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, stop)
        limit = time.monotonic() + grace
        while time.monotonic() < limit and any(alive(pid) for pid in found):
            time.sleep(0.02)
        # Asked anew: the number of one that has ended may be another's by now.
        found = _marked(marks) if found else []
    return len(first)


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waiting to be reaped."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    except OSError:  # no /proc, or gone in the meantime
        return sys.platform != "linux"
    return state != "Z"


def _marked(marks: tuple[bytes, ...]) -> list[int]:
    found = []
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        if name.isdigit() and int(name) != os.getpid():
            variables = _environ(name)
            if any(mark in variables for mark in marks):
                found.append(int(name))
    return found


def _environ(pid: str) -> bytes:
    """A process's environment, each variable between two NULs; empty where it is not ours."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return b"\0" + file.read()
    except OSError:
        return b""


@dataclass(frozen=True)
class Watcher:
    """How a program is told of its parent's death: by a program in front of it, or a hook."""

    prefix: tuple[str, ...] = ()
    hook: Callable[[], None] | None = None


def _watcher() -> Watcher:
    """`setpriv` of util-linux where it is there: a hook makes Python copy the whole process."""
    if sys.platform != "linux":
        return Watcher()
    program = _setpriv()
    if program:
        return Watcher(prefix=(program, "--pdeathsig", "TERM", "--"))
    return Watcher(hook=_die_with_parent())


@functools.cache
def _setpriv() -> str | None:
    return shutil.which("setpriv")


def _die_with_parent() -> Callable[[], None]:
    """For the child, before it becomes the program: SIGTERM when its parent dies (prctl(2))."""
    import ctypes

    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def arm() -> None:
        libc.prctl(1, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arm


class _Pump:
    """Moves bytes between a process and two files until it ends."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        invocation: Invocation,
        out: IO[bytes],
        err: IO[bytes],
    ) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.process = process
        self.last_output = time.monotonic()
        self.pending = memoryview(invocation.stdin.encode())
        self.listener = _Listener(invocation.heard) if invocation.heard else None
        hidden = secrets(invocation.env)
        self.filters = {
            process.stdout: _Redactor(out, hidden),
            process.stderr: _Redactor(err, hidden),
        }
        self.selector = selectors.DefaultSelector()
        for stream in self.filters:
            os.set_blocking(stream.fileno(), False)
            self.selector.register(stream, selectors.EVENT_READ)
        os.set_blocking(process.stdin.fileno(), False)
        self.selector.register(process.stdin, selectors.EVENT_WRITE)
        # Readable once the program has ended, while its children may still hold the pipes open.
        self.ended = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None
        if self.ended is not None:
            self.selector.register(self.ended, selectors.EVENT_READ)

    @property
    def output(self) -> tuple[bytes, bytes]:
        """Standard output and error, as they were stored: the program can reach its logs."""
        out, err = (b"".join(redactor.passed_on) for redactor in self.filters.values())
        return out, err

    def until_ended(self, deadline: float | None) -> bool:
        """Work until the program has ended; False where the deadline came first."""
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            if self._once(left):
                return True

    def drain(self) -> None:
        """Take what is left in the pipes: the group is dead, so they end."""
        if self.ended is not None:
            self.selector.unregister(self.ended)
            os.close(self.ended)
            self.ended = None
        limit = time.monotonic() + 2.0
        while self.selector.get_map() and time.monotonic() < limit:
            self._once(0.1)
        for redactor in self.filters.values():
            redactor.close()
        self.selector.close()
        for stream in (self.process.stdin, *self.filters):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()

    def _once(self, timeout: float | None) -> bool:
        """Move what is ready; True where the program has ended."""
        if self.ended is None:
            timeout = 0.02 if timeout is None else min(timeout, 0.02)
        ready = [key.fileobj for key, _ in self.selector.select(timeout)]
        for file in ready:
            if file is self.process.stdin:
                self._feed()
            elif file in self.filters:
                self._take(file)
        return self.ended in ready if self.ended is not None else self.process.poll() is not None

    def _feed(self) -> None:
        assert self.process.stdin
        try:
            sent = os.write(self.process.stdin.fileno(), self.pending[:65536])
            self.pending = self.pending[sent:]
        except BlockingIOError:
            return
        except OSError:
            self.pending = self.pending[:0]
        if not self.pending:
            self.selector.unregister(self.process.stdin)
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def _take(self, stream: IO[bytes]) -> None:
        try:
            data = os.read(stream.fileno(), 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.last_output = time.monotonic()
            self.filters[stream].write(data)
            if self.listener and stream is self.process.stdout:
                self.listener.take(data)
        else:
            self.selector.unregister(stream)


class _Listener:
    """Hands on whole lines."""

    def __init__(self, heard: Callable[[str], object]) -> None:
        self.heard = heard
        self.begun = b""

    def take(self, data: bytes) -> None:
        *lines, self.begun = (self.begun + data).split(b"\n")
        for line in lines:
            self.heard(line.decode("utf-8", "replace"))


class _Redactor:
    """Writes bytes on to a file without the secrets, also where one comes in two pieces."""

    def __init__(self, file: IO[bytes], hidden: Mapping[str, str]) -> None:
        self.file = file
        self.hidden = hidden
        self.secrets = [value.encode() for value in hidden.values()]
        self.held = b""
        self.passed_on: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.held += data
        safe = len(self.held) - self._unsure()
        if safe > 0:
            self._pass_on(self.held[:safe])
            self.held = self.held[safe:]

    def close(self) -> None:
        self._pass_on(self.held)
        self.held = b""

    def _unsure(self) -> int:
        """How many bytes at the end may be the beginning of a secret, or lie within one."""
        longest = max(map(len, self.secrets), default=0)
        for start in range(max(0, len(self.held) - longest), len(self.held)):
            end = self.held[start:]
            if any(secret.startswith(end) for secret in self.secrets):
                return self._back_over(len(end))
        return 0

    def _back_over(self, count: int) -> int:
        """Where the cut would go through a whole secret, cut before it."""
        cut = len(self.held) - count
        for secret in self.secrets:
            found = self.held.find(secret, max(0, cut - len(secret) + 1), cut + len(secret) - 1)
            if 0 <= found < cut < found + len(secret):
                return len(self.held) - found
        return count

    def _pass_on(self, data: bytes) -> None:
        clean = redact_bytes(data, self.hidden)
        self.passed_on.append(clean)
        self.file.write(clean)
        self.file.flush()
