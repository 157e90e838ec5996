"""The one way out of a network of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from pytest_scylla import relay

ASKS = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as asked:
    print(asked.recv(100).decode())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_temporary_directory_with_a_long_name_leaves_the_way_out_open(tmp_path: Path) -> None:
    place = tmp_path / ("long" * 30)
    place.mkdir()
    inside = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        outside = server.getsockname()[1]

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(b"hello")

        threading.Thread(target=answer, daemon=True).start()
        with relay.way_out(place / "way", "127.0.0.1", outside):
            program = [sys.executable, "-c", ASKS, str(inside)]
            command = [sys.executable, "-I", relay.__file__, str(place / "way"), str(inside)]
            shown = subprocess.run([*command, *program], capture_output=True, text=True, timeout=60)
    assert shown.stdout == "hello\n", shown.stderr
