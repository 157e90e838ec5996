"""git as we run it: without the user's configuration, and with errors in git's own words."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from .errors import RunError

_CONFIG = {
    "core.excludesFile": os.devnull,
    "core.attributesFile": os.devnull,
    "core.protectNTFS": "false",
    "core.protectHFS": "false",
}

_ISOLATED = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    **{f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(_CONFIG)},
    **{f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(_CONFIG.values())},
    "GIT_NO_REPLACE_OBJECTS": "1",
}
"""The user's own git configuration (hooks, signing, ignored files) must not reach a workspace."""

OF_THE_NETWORK = ("GIT_SSH", "GIT_ASKPASS", "GIT_TERMINAL_PROMPT", "GIT_PROXY", "GIT_SSL",
                  "GIT_CONFIG")  # fmt: skip
"""What the names of variables begin with that git needs to reach a repository elsewhere."""


def git(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: str | None = None
) -> str:
    """Run git without the user's configuration and return what it printed, as text.

    Raises RunError (kind `git`) with git's own words.
    """
    output = git_bytes(arguments, env, stdin)
    return output.decode("utf-8", "surrogateescape").rstrip("\n")


def git_bytes(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: str | None = None
) -> bytes:
    """As `git`, and return what it printed byte for byte."""
    return run_git(arguments, {**_ISOLATED, **(env or {})}, stdin)


def run_git(
    arguments: Sequence[str],
    env: Mapping[str, str],
    stdin: str | None = None,
    keep: tuple[str, ...] = (),
) -> bytes:
    """Run git with `env`, and of the caller's own GIT_ variables those that begin as `keep` says.

    Raises RunError (kind `git`) with git's own words.
    """
    try:
        from git import Git
        from git.exc import GitCommandError, GitCommandNotFound
    except ImportError:  # GitPython looks for git when it is imported
        raise RunError("git", "git was not found on PATH\n  next: install git") from None

    with contextlib.ExitStack() as stack:
        stack.enter_context(_without_outer_variables(keep))
        istream = None
        if stdin is not None:
            istream = stack.enter_context(tempfile.TemporaryFile())
            istream.write(stdin.encode("utf-8", "surrogateescape"))
            istream.seek(0)
        try:
            output = Git().execute(
                ["git", *arguments],
                env=dict(env),
                istream=istream,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
            )
        except GitCommandNotFound:
            raise RunError("git", "git was not found on PATH\n  next: install git") from None
        except GitCommandError as error:
            said = str(error.stderr).strip().removeprefix("stderr:").strip().strip("'")
            said = said.encode("utf-8", "replace").decode()
            words = " ".join(arguments[:6])
            raise RunError("git", f"`git {words} …` failed: {said}") from None
    assert isinstance(output, bytes)
    return output


@contextlib.contextmanager
def _without_outer_variables(keep: tuple[str, ...]) -> Iterator[None]:
    """Without the caller's GIT_ variables (git sets some for its hooks) but those to keep."""
    names = [n for n in os.environ if n.startswith("GIT_") and not n.startswith(keep or ("-",))]
    outer = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(outer)
