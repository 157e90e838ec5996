"""The results tree: where things lie, and how they are written so that a kill loses nothing.

One directory, one writer. A file appears whole or not at all: it is written under a temporary
name and moved into place. What was paid for is also synced to disk.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from .reading import opened, read_bytes

Model = TypeVar("Model", bound=BaseModel)

TEMPORARY = ".writing-"
"""Prefix of half-written files; a crash may leave some, and they mean nothing."""

_TEMPORARY = re.compile(r"\.writing-(\d+)-([0-9a-f]{8})-(.+)", re.DOTALL)


def _temporary(process: int, name: str) -> str:
    """What `name` is called while a process writes it: no file of a user's is called so."""
    mark = hashlib.sha256(f"pytest-scylla {process} {name}".encode("utf-8", "surrogateescape"))
    return f"{TEMPORARY}{process}-{mark.hexdigest()[:8]}-{name}"


def _is_temporary(name: str) -> bool:
    found = _TEMPORARY.fullmatch(name)
    return found is not None and name == _temporary(int(found[1]), found[3])


def now() -> str:
    """The current time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()


def write_bytes(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write `data` to `path` atomically; with `sync`, also flush it to the disk."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, _temporary(os.getpid(), name))
    try:
        file = _created(temporary)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
            if sync:
                os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _created(path: str) -> int:
    """A new file, open to be written, and its directory where there is none yet.

    What is there of that name is an earlier process's, or leads elsewhere: it is not written to.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except FileExistsError:
        os.unlink(path)
    return os.open(path, flags, 0o666)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write `text` (UTF-8) to `path` atomically; with `sync`, also flush it to the disk."""
    write_bytes(path, text.encode("utf-8", "replace"), sync=sync)


def write_json(path: Path, value: Mapping[str, Any] | BaseModel, *, sync: bool = False) -> None:
    """Write a JSON object atomically (strict JSON: no NaN, no Infinity)."""
    if isinstance(value, BaseModel):
        try:
            text = value.model_dump_json(indent=2)
        except PydanticSerializationError:
            text = _dumps(value.model_dump())
    else:
        text = _dumps(value)
    write_text(path, text + "\n", sync=sync)


def _dumps(value: Any) -> str:
    text = json.dumps(value, indent=2, allow_nan=False)
    return json.dumps(whole(value), indent=2, allow_nan=False) if _has_surrogates(text) else text


def parse_json(text: str) -> Any:
    """What a program wrote as JSON, with `whole` texts. Raises ValueError where it is none."""
    try:
        value = json.loads(text)
        return whole(value) if _has_surrogates(text) else value
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _has_surrogates(text: str) -> bool:
    return "\\ud" in text or "\\uD" in text


_SURROGATE = re.compile("[\ud800-\udfff]")


def whole(value: Any) -> Any:
    """A JSON value in whose texts U+FFFD stands for every half of a sign. Programs that cut a text
    between the two halves of an emoji leave one, and no file in UTF-8 takes it."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {whole(name): whole(part) for name, part in value.items()}
    return [whole(part) for part in value] if isinstance(value, (list, tuple)) else value


def text_of(path: Path) -> str:
    """The text in a file; nothing where there is none."""
    try:
        return read_bytes(path).decode("utf-8", "replace")
    except OSError:
        return ""


def read_json(path: Path | str) -> dict[str, Any] | None:
    """The JSON object in `path`, or None where there is no such file or no whole object in it."""
    try:
        value = from_json(read_bytes(path))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_model(path: Path | str, model: type[Model]) -> Model | None:
    """The record in `path`; None where it is missing, broken or lacks a field."""
    try:
        return model.model_validate_json(read_bytes(path))
    except (OSError, ValidationError):
        return None


def digest(value: Any) -> str:
    """SHA-256 of `value` (bytes, text, or anything JSON can say), hexadecimal, 16 digits."""
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        value = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(value).hexdigest()[:16]


def digest_tree(root: Path, ignored: Sequence[str] = (), left_out: Sequence[str] = ()) -> str:
    """Digest of all names, modes and contents below a directory, of what `entries_below` finds.

    Pipes, sockets and devices count by their kind; nothing waits for what they hold.
    """
    entries = []
    for path in entries_below(root, ignored, left_out):
        with contextlib.suppress(FileNotFoundError):
            facts = path.lstat()
            executable = bool(facts.st_mode & 0o100)
            entries.append((str(path.relative_to(root)), executable, _digest_of(path, facts)))
    return digest(entries)


def entries_below(
    root: Path,
    ignored: Sequence[str] = (),
    left_out: Sequence[str] = (),
    onerror: Callable[[OSError], object] | None = None,
) -> Iterator[Path]:
    """All files, links and the like below a directory, in a fixed order; no link is followed.

    Without what is called as one of `ignored`, and without the paths `left_out` (relative to
    `root`). `onerror` hears of directories that cannot be read.
    """
    for folder, folders, names in os.walk(root, onerror=onerror):
        above = os.path.relpath(folder, root)
        skipped = set(ignored)
        skipped |= {os.path.basename(path) for path in left_out if _above(path) == above}
        folders[:] = sorted(name for name in folders if name not in skipped)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*names, *links]):
            if name not in skipped:
                yield Path(folder, name)


def _above(path: str) -> str:
    return os.path.dirname(path) or "."


READ_UP_TO = 4 * 2**30
"""Bytes of the largest file that is read for a digest; a larger one counts by size and time."""


def _digest_of(path: Path, facts: os.stat_result) -> str:
    if stat.S_ISLNK(facts.st_mode):
        return digest(os.fsencode(os.readlink(path)))
    if not stat.S_ISREG(facts.st_mode):
        return digest(["neither file nor link", stat.S_IFMT(facts.st_mode)])
    if facts.st_size > READ_UP_TO:
        return digest([facts.st_size, facts.st_mtime_ns])
    try:
        with os.fdopen(opened(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except PermissionError:
        return digest("cannot be read")


def remove_tree(path: Path) -> None:
    """Delete a tree (or file, link, pipe), also where an agent took away its write permission.

    Raises OSError where a file system is mounted in it: what is on that is not ours.
    """

    def force(function: Any, failed: str, _error: Any) -> None:
        os.chmod(os.path.dirname(failed), 0o700)
        if not os.path.islink(failed):
            os.chmod(failed, 0o700)
        function(failed)

    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    if _is_mounted_in(path):
        raise OSError(errno.EBUSY, "a file system is mounted in it", str(path))
    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=force)
    else:
        shutil.rmtree(path, onerror=force)


_OCTAL = re.compile(rb"\\([0-7]{3})")


def _is_mounted_in(path: Path) -> bool:
    """Whether something is mounted at a directory or below it (Linux: proc(5), mountinfo)."""
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return False
    place = os.fsencode(os.path.realpath(path))
    points = (_OCTAL.sub(lambda sign: bytes([int(sign[1], 8)]), line.split()[4]) for line in lines)
    return any(point == place or point.startswith(place + b"/") for point in points)


def left_digest(answer: str, patch: str) -> str:
    """Digest of what an agent left."""
    return digest([answer, patch])


def own_directory(path: Path) -> None:
    """Make a directory of ours, with those above it, where there is none. A link in its place goes
    away: nothing is written to where it leads."""
    if path.is_symlink():
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)


def links_on_the_way(root: Path, path: Path) -> list[Path]:
    """The links among the directories from below `root` down to `path`."""
    way = [path, *path.parents]
    return [place for place in reversed(way[: way.index(root)]) if place.is_symlink()]


class RunDir:
    """The directory of one run: `results/<experiment>/<tier>/<subtest>/run_NN/`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def agent(self) -> Path:
        """What the agent did."""
        return self.path / "agent"

    @property
    def judge(self) -> Path:
        """What the judges said."""
        return self.path / "judge"

    @property
    def attempts(self) -> Path:
        """Earlier executions, whole."""
        return self.path / "attempts"

    @property
    def run_result(self) -> Path:
        """The verdict."""
        return self.path / "run_result.json"

    @property
    def timing(self) -> Path:
        """How long the agent took."""
        return self.path / "agent" / "timing.json"

    @property
    def pipeline(self) -> Path:
        """The pipeline after the agent."""
        return self.path / "pipeline.json"

    @property
    def error(self) -> Path:
        """Why there is no verdict."""
        return self.path / "error.json"

    @property
    def agent_result(self) -> Path:
        """What the agent's work came to."""
        return self.path / "agent" / "result.json"

    @property
    def agent_output(self) -> Path:
        """The agent's answer."""
        return self.path / "agent" / "output.txt"

    @property
    def transcript(self) -> Path:
        """What the agent's model said and did, a line for each of its messages."""
        return self.path / "agent" / "transcript.jsonl"

    @property
    def patch(self) -> Path:
        """What the agent changed."""
        return self.path / "agent" / "changes.patch"

    @property
    def started(self) -> Path:
        """There while an agent works; found later, it says that the agent was cut off."""
        return self.path / "agent" / "started.json"

    @property
    def executed(self) -> Path:
        """What commands have decided of the rubric."""
        return self.path / "judge" / "executed.json"

    @property
    def execution(self) -> str:
        """Digest of what the agent left: its answer and its patch."""
        return left_digest(text_of(self.agent_output), text_of(self.patch))

    def __fspath__(self) -> str:
        return str(self.path)

    def judge_slot(self, number: int) -> Path:
        """The directory of judge slot `number` (counted from 1)."""
        return self.judge / f"judge_{number:02d}"

    @property
    def number(self) -> int:
        """N of `run_NN`."""
        return int(self.path.name.removeprefix("run_"))

    def slot_numbers(self) -> list[int]:
        """Numbers of the judge slots that are on disk."""
        try:
            names = os.listdir(f"{self.path}/judge")
        except OSError:
            return []
        return sorted(int(n[6:]) for n in names if n.startswith("judge_") and n[6:].isdigit())

    def attempt_numbers(self) -> list[int]:
        """Numbers of the earlier executions that are kept, oldest first."""
        try:
            names = os.listdir(f"{self.path}/attempts")
        except OSError:
            return []
        return sorted(int(n[8:]) for n in names if n.startswith("attempt_") and n[8:].isdigit())

    @property
    def moving(self) -> Path:
        """Where an earlier execution is while it is set aside; a kill may leave it there."""
        return self.path / "attempts" / ".moving"

    def set_aside(
        self, before: Callable[[Path, Path], None] = lambda here, place: None
    ) -> Path | None:
        """Move what an earlier execution left to `attempts/attempt_NN/`, whole; files of others
        stay where they are.

        Returns the new place, or None where there was nothing to keep.
        `before` is called with where all lies and where it will, before it gets that name.
        What a kill has interrupted goes on; the verdict moves first, so that nobody takes what is
        left for a whole run.
        """
        entries = self._to_set_aside()
        if not entries and not self.moving.is_dir():
            return None
        place = self.attempts / f"attempt_{max(self.attempt_numbers(), default=0) + 1:02d}"
        own_directory(self.attempts)
        own_directory(self.moving)
        for name in entries:
            os.replace(self.path / name, self.moving / name)
        before(self.moving, place)
        os.replace(self.moving, place)
        return place

    def _to_set_aside(self) -> list[str]:
        try:
            names = [name for name in os.listdir(self.path) if is_of_run(name)]
        except FileNotFoundError:
            return []
        return sorted(names, key=lambda name: name != self.run_result.name)

    def discard_agent(self) -> None:
        """Remove what an execution left in agent/ that came to nothing."""
        if self.agent.is_symlink():
            self.agent.unlink()
            return
        for name in OF_AGENT:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                remove_tree(self.agent / name)
        with contextlib.suppress(OSError):
            self.agent.rmdir()

    @property
    def ended(self) -> Path:
        """How the agent ended, until its work is stored."""
        return self.path / "agent" / "ended.json"


OF_RUN = frozenset(
    {
        *("agent", "judge", "workspace", "workspace.git", "workspace.index"),
        *("pipeline.json", "run_result.json", "error.json", "report.json", "report.md"),
        *("task_prompt.md", "judge_prompt.md"),  # ProjectScylla's
    }
)
"""What an execution leaves in a run's directory; anything else there is somebody else's."""

OF_AGENT = frozenset(
    {
        *("prompt.md", "replay.sh", "started.json", "ended.json", "stdout.log", "stderr.log"),
        *("timing.json", "MODEL.md", "output.txt", "changes.patch", "command_log.json"),
        *("transcript.jsonl", "result.json"),
    }
)
"""What an execution leaves in agent/."""


def is_of_run(name: str) -> bool:
    """Whether an execution has left it in the run's directory."""
    return name in OF_RUN or name.rstrip("_") == "tampering"


def clean_temporary(root: Path) -> None:
    """Remove half-written files below `root` (a killed process leaves them), but in workspaces."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in ("workspace", "workspace.git")]
        for name in names:
            path = os.path.join(folder, name)
            if _is_temporary(name) and os.path.isfile(path) and not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.unlink(path)
