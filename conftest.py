"""For the suite and for `pytest experiments/`: what is data here, and the suite's guards."""

from __future__ import annotations

pytest_plugins = ["pytester"]

# Task directories hold the files of a task, tests included: data, also with `-p no:scylla`.
collect_ignore_glob = ["experiments/*/task/*", "results/*"]
