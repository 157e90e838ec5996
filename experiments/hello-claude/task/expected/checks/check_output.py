"""Run hello.py and compare all that it writes, to the byte (a Windows line end aside)."""

import subprocess
import sys

run = subprocess.run(
    [sys.executable, "-B", "hello.py"], capture_output=True, timeout=30, check=False
)
met = run.returncode == 0 and run.stdout.replace(b"\r\n", b"\n") == b"Hello, World!\n"
if not met:
    print(f"hello.py printed {run.stdout!r} and exited with {run.returncode}")
sys.exit(0 if met else 1)
