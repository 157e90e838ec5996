"""One way out of a network of its own: bytes to one address, and to no other.

Outside, `way_out` listens on a socket file and connects to that address. Inside, this file is the
program that starts another one, and listens where that one looks for the address:

    python -I relay.py SOCKET PORT PROGRAM [ARGUMENT ...]

Nothing is decrypted: the program speaks with the address itself. Standard library only, because
inside there may be nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


class _Handler(socketserver.BaseRequestHandler):
    """Moves bytes both ways between a client and a new connection."""

    def handle(self) -> None:
        try:
            other: socket.socket = self.server.connect()  # type: ignore[attr-defined]
        except OSError:
            return
        with other:
            back = threading.Thread(target=_move, args=(other, self.request), daemon=True)
            back.start()
            _move(self.request, other)
            back.join()


def _move(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Inside(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Outside(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def _serving(
    server: socketserver.BaseServer, connect: Callable[[], socket.socket]
) -> Iterator[None]:
    server.connect = connect  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def way_out(path: Path, host: str, port: int) -> Iterator[None]:
    """Connect whoever comes to the socket file `path` with `host`:`port`."""
    with _short(str(path)) as name:
        server = _Outside(name, _Handler)
    with _serving(server, lambda: socket.create_connection((host, port))):
        yield


@contextlib.contextmanager
def _short(path: str) -> Iterator[str]:
    """A path by way of its open directory: the name of a socket has at most 107 bytes."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(path)}"
    finally:
        os.close(folder)


def _unix(path: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    with _short(path) as name:
        found.connect(name)
    return found


def main(arguments: list[str]) -> int:
    """Inside: listen on the loopback port, run the program, and end as it does."""
    path, port, *argv = arguments
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the program decides when it ends
    with _serving(_Inside(("127.0.0.1", int(port)), _Handler), lambda: _unix(path)):
        code = subprocess.run(["env", "--default-signal=TERM", *argv]).returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
