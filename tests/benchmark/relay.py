"""A line on loopback that counts what the branch sends: every byte on the socket, heads of requests included."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["Relay"]

_PIECE = 64 * 1024


class Relay:
    """Hands bytes on to the server at `upstream`. `sent`: bytes towards it so far."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._upstream)
            for one, other, counted in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._hand_on, args=(one, other, counted), daemon=True).start()

    def _hand_on(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while piece := one.recv(_PIECE):
                if counted:
                    with self._lock:
                        self.sent += len(piece)
                other.sendall(piece)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)
