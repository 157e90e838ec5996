"""The programs that a shell command runs for sure."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_scylla.shell_words import programs
from tests.support.examples import law, law_on_disk


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pytset -q tests", "pytset"),
        ("test -d tests && pytset -q", "test pytset"),
        ("test -d tests; pytset|tee log & wait", "test pytset tee wait"),
        ("[[ -f x ]]", "[["),
        ("! grepp -q x file", "grepp"),
        ("if test -f a; then pytset; else rufff; fi", "test pytset rufff"),
        ("while false\ndo pytset\ndone", "false pytset"),
        ("(cd src && pytset)", "cd pytset"),
        ("{ pytset; }", "pytset"),
        ("for f in a b; do pytset $f; done", "pytset"),
        ("X=1 Y='a b' pytset", "pytset"),
        ("env X=1 -u Y pytset", "env pytset"),
        ("timeout -k 5 60 pytset", "timeout pytset"),
        ("nice -n 5 timeout 1m env A=b pytset", "nice timeout env pytset"),
        ("sh -c 'cd a; pytset'", "sh cd pytset"),
        ('sh -c "cd a && pytset"', "sh cd pytset"),
        ("bash -c '[[ -f x ]] && pytset'", "bash pytset"),
        ("pytset > out 2>&1 < in && test -s out", "pytset test"),
        ("2> log pytset", "pytset"),
        ("'pytset' -q", "pytset"),
        ("pytset \\\n  -q", "pytset"),
        ("# pytset\ntest 1", "test"),
        ('test "$(pytset | wc -l)" -le 10', "test"),
        ("test `pytset` -le 10", "test"),
        ("python -c 'import os; os.x()'", "python"),
        ("python -c \"print('a; b && c')\"", "python"),
        ("echo ';' rufff", "echo"),
        ("echo $((1 + 2)); pytset", "echo pytset"),
        ("set -e; cd src\npytset", "set cd pytset"),
        # no doubt is resolved
        ("pytset -q || true", "true"),
        ("a | pytset || true", "true"),
        ("pytset && rufff || true", "true"),
        ("command -v pytset > /dev/null && pytset", "command"),
        ("if which pytset; then pytset; fi", "which"),
        ("./run.sh; bin/pytset; $TOOL x; ~/bin/x; *.sh", ""),
        ("PATH=bin:$PATH pytset", ""),
        ("export PATH=bin:$PATH; pytset", ""),
        (". ./functions.sh; pytset", "."),
        ("check() { true; }; check", ""),
        ("eval x; pytset", "eval"),
        ("case $x in a) pytset;; esac", ""),
        ("cat <<EOF\npytset\nEOF", ""),
        ("echo 'open; pytset", ""),
        ("", ""),
    ],
)
def test_the_programs_of_a_command(command: str, expected: str) -> None:
    assert programs(command) == expected.split()


@law
@given(st.text("ab '\"$`\\;&|()<>{}[]!#\n=~*-0", max_size=30))
def test_any_text_is_read_to_its_end(text: str) -> None:
    assert all(name and "/" not in name for name in programs(text))


@law_on_disk
@given(
    st.lists(st.sampled_from(["aa", "b;b", "c'c", "$d", "e e", "&&", "(", ")", "x=y"]), max_size=5)
)
def test_what_is_quoted_is_no_command(words: list[str]) -> None:
    command = shlex.join(["echo", *words])
    assert programs(command) == ["echo"]
    shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert shown.stdout == " ".join(words) + "\n"
