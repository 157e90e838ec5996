"""An agent kept in its place: what it sees, where it writes, what it reaches, how much it stores.

With `bubblewrap` the workspace and its repository can be written, the system is there read-only,
and the results, the rubric, other runs, the home directory and keys are not there at all. With
`container` the same places are mounted into a container of an image that the user names.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from . import bubblewrap, relay
from .errors import RunError
from .experiment import IsolationConfig
from .processes import MARKER, Invocation, secrets

NAMED_FILES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
"""Variables that name a file which a program needs to see."""

ENGINES = ("podman", "docker")
LABEL = "pytest-scylla.run"


@dataclass(frozen=True)
class Grounds:
    """Where one run's agent works."""

    workspace: Path
    repository: Path
    """The workspace's own repository."""
    borrowed: tuple[Path, ...]
    """Repositories whose objects it borrows."""
    home: Path
    """Its HOME; `home/tmp` is its /tmp."""
    readable: tuple[Path, ...] = ()
    """What else it needs to see: MCP servers of the tier, what the experiment names."""
    endpoint: str | None = None
    """URL of the model's API, where the adapter knows it."""


def unavailable(config: IsolationConfig) -> str | None:
    """Why this isolation cannot be had on this machine; None where it can."""
    if config.kind == "bubblewrap":
        return bubblewrap.unavailable()
    return no_engine(config.engine) if config.kind == "container" else None


@contextlib.contextmanager
def isolated(
    config: IsolationConfig, invocation: Invocation, grounds: Grounds
) -> Iterator[Invocation]:
    """The invocation that runs the same program in its place.

    Raises RunError (kind `isolation`) where the provider's address is not known.
    """
    if config.kind == "none":
        yield invocation
        return
    invocation = replace(invocation, argv=_at_home(invocation.argv))
    with contextlib.ExitStack() as stack:
        if config.kind == "container":
            stack.callback(_remove_container, config.engine, grounds.workspace)
            yield _in_container(config, invocation, grounds)
        else:
            way = stack.enter_context(_way_out(config, grounds))
            yield replace(invocation, argv=_in_bubblewrap(config, invocation, grounds, way))


# -- bubblewrap ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Way:
    """The way to the provider out of a network of its own."""

    socket: Path
    port: int
    hosts: Path


@contextlib.contextmanager
def _way_out(config: IsolationConfig, grounds: Grounds) -> Iterator[_Way | None]:
    if config.network in ("on", "off"):
        yield None
        return
    host, port = _address(config, grounds)
    way = _Way(grounds.home / ".way-out", port, grounds.home / ".hosts")
    way.hosts.write_text(f"127.0.0.1 localhost {host}\n")
    with relay.way_out(way.socket, host, port):
        yield way


def _address(config: IsolationConfig, grounds: Grounds) -> tuple[str, int]:
    url = grounds.endpoint if config.network == "provider" else config.network
    parts = urlsplit(url or "")
    if not parts.hostname:
        raise RunError(
            "isolation",
            "isolation.network: the address of the model's API is not known for this agent\n"
            "  next: name it in experiment.yaml, `network: https://host`, or use `on` or `off`",
        )
    return parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)


def _in_bubblewrap(
    config: IsolationConfig, invocation: Invocation, grounds: Grounds, way: _Way | None
) -> list[str]:
    argv = list(invocation.argv)
    readable = tuple(_needed(invocation, grounds))
    view = bubblewrap.View(
        writable=(grounds.workspace, grounds.repository, grounds.home),
        readable=readable,
        temporary=grounds.home / "tmp",
        network=config.network == "on",
    )
    if way is not None:
        script = Path(relay.__file__)
        argv = [sys.executable, "-I", str(script), str(way.socket), str(way.port), *argv]
        view = replace(
            view, readable=(*readable, script), instead={"/etc/hosts": way.hosts}, low_ports=True
        )
    return [*_file_limit(config), *bubblewrap.wrapped(argv, invocation.cwd, view)]


def _file_limit(config: IsolationConfig) -> list[str]:
    """No single file may be larger than what all may hold together."""
    return ["prlimit", f"--fsize={config.disk_bytes}", "--"] if config.disk_bytes else []


def _needed(invocation: Invocation, grounds: Grounds) -> Iterator[Path]:
    """What must be seen: objects, the program and the files it is given, what the user adds."""
    for repository in grounds.borrowed:
        yield repository / "objects"
    yield from grounds.readable
    named = [Path(word) for word in invocation.argv if word.startswith("/")]
    files = [path for path in named if _is_file(path)]
    files += [Path(invocation.env[name]) for name in NAMED_FILES if name in invocation.env]
    files += _interpreter(invocation)
    for path in files:
        for place in {_installation(path), _installation(path.resolve())}:
            if place.exists() and not _is_shown(place):
                yield place


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a word that is too long for a name
        return False


def _installation(path: Path) -> Path:
    """The packages that a program of npm needs beside it; else the file alone."""
    folders = [folder for folder in path.parents if folder.name == "node_modules"]
    return folders[-1] if folders else path


def _at_home(argv: Sequence[str]) -> list[str]:
    """A program of npm is called where its packages are: inside, a link to it is a file."""
    program = Path(argv[0])
    real = program.resolve() if program.is_absolute() else program
    linked = _installation(real) != real and _installation(program) == program
    return [str(real if linked else program), *argv[1:]]


def _interpreter(invocation: Invocation) -> list[Path]:
    """What `#!/usr/bin/env NAME` in the program's first line leads to."""
    try:
        with open(invocation.argv[0], "rb") as file:
            words = file.readline(256).split()
    except OSError:
        return []
    if len(words) != 2 or words[0] != b"#!/usr/bin/env":
        return []
    found = shutil.which(os.fsdecode(words[1]), path=invocation.env.get("PATH"))
    return [Path(found)] if found else []


def _is_shown(path: Path) -> bool:
    shown = (*bubblewrap.SYSTEM, sys.prefix, sys.base_prefix)
    return any(path.is_relative_to(place) for place in shown)


# -- container -----------------------------------------------------------------------------------


@functools.cache
def no_engine(wanted: str | None) -> str | None:
    """Why there is no container engine to use; None where there is."""
    for engine in [wanted] if wanted else ENGINES:
        if shutil.which(engine):
            tried = subprocess.run([engine, "info"], capture_output=True, text=True)
            if tried.returncode == 0:
                return None
            return f"`{engine} info` fails: {tried.stderr.strip()[:300]} (next: start the engine)"
    return f"there is no {wanted or 'podman or docker'} (next: install it)"


def _engine(wanted: str | None) -> str:
    return wanted or next(engine for engine in ENGINES if shutil.which(engine))


def _in_container(config: IsolationConfig, invocation: Invocation, grounds: Grounds) -> Invocation:
    """The engine's own program needs the user's environment, and the agent must not get it."""
    words = [_engine(config.engine), "run", "--rm", "--interactive", "--pull=never"]
    words += ["--name", _name(grounds.workspace), "--label", f"{LABEL}={invocation.env[MARKER]}"]
    words += ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only"]
    words += ["--user", f"{os.getuid()}:{os.getgid()}", "--workdir", str(invocation.cwd)]
    words += ["--network", {"on": "host", "off": "none"}[config.network]]
    if config.disk_bytes:
        words += ["--ulimit", f"fsize={config.disk_bytes}:{config.disk_bytes}"]
    for place in sorted(set(_needed(invocation, grounds))):
        words += ["--volume", f"{place}:{place}:ro"]
    for place in (grounds.workspace, grounds.repository, grounds.home):
        words += ["--volume", f"{place}:{place}"]
    words += ["--volume", f"{grounds.home / 'tmp'}:/tmp"]
    hidden = secrets(invocation.env)
    for name, value in invocation.env.items():
        # A secret is handed on by its name: command lines are for all to see.
        words += ["--env", name if name in hidden else f"{name}={value}"] if name != "PATH" else []
    env = {**os.environ, **hidden, MARKER: invocation.env[MARKER]}
    return replace(invocation, argv=[*words, str(config.image), *invocation.argv], env=env)


def _name(workspace: Path) -> str:
    parts = workspace.parent.parts[-4:]
    return "scylla-" + "-".join("".join(c if c.isalnum() else "_" for c in p) for p in parts)


def _remove_container(engine: str | None, workspace: Path) -> None:
    """A client that was killed leaves its container running."""
    subprocess.run([_engine(engine), "rm", "--force", _name(workspace)], capture_output=True)


def remove_containers(config: IsolationConfig, results: Path) -> None:
    """End the containers that a dead session left in a results directory: they go on spending."""
    if config.kind != "container" or unavailable(config):
        return
    engine = _engine(config.engine)
    found = _printed([engine, "ps", "--quiet", "--filter", f"label={LABEL}"]).split()
    for name in found:
        label = '{{index .Config.Labels "' + LABEL + '"}}'
        run = _printed([engine, "inspect", "--format", label, name]).strip()
        if Path(run).is_relative_to(results):
            subprocess.run([engine, "rm", "--force", name], capture_output=True)


def _printed(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


# -- disk ----------------------------------------------------------------------------------------


class DiskGuard:
    """Watches how much the places of a run hold, and ends the agent that stores too much.

    Between two looks an agent can go over: by what it writes in that time, file by file within
    the limit.
    """

    INTERVAL = 0.2
    """Seconds between two looks; more where a look takes long."""

    def __init__(self, limit: int | None, places: Sequence[Path], end: Callable[[], object]):
        self.limit = limit
        """Bytes more than at the start; None: no limit."""
        self.exceeded = False
        self._places = places
        self._end = end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> DiskGuard:
        if self.limit is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self.limit is not None:
            self._thread.join()

    def _watch(self) -> None:
        start = stored = self._stored()
        pause = self.INTERVAL
        while not self._stop.wait(pause):
            before = time.monotonic()
            stored = self._stored()
            pause = max(self.INTERVAL, 4 * (time.monotonic() - before))
            if stored - start > (self.limit or 0):
                self.exceeded = True
                self._end()
                return

    def _stored(self) -> int:
        return sum(stored_in(place) for place in self._places)


def stored_in(place: str | os.PathLike[str]) -> int:
    """Bytes on disk at and below a directory; what vanishes meanwhile is not counted."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    total += stored_in(entry.path)
    return total
