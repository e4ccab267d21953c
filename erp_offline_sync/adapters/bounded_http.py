"""One HTTP call with an end: a deadline over everything, a cap on the answer, and a word on what left.

`requests` bounds each wait, not the call: a peer that sends a byte a second holds it for ever, every address of a
host gets a connect timeout of its own, and name resolution none. Here a timer shuts the connection at the deadline,
whatever it is doing. `Guard` also looks at each address before it is connected to, and knows whether a byte of the
request may have left: only a call that certainly sent nothing may be repeated without asking.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests import Response, Session
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

__all__ = ["Address", "Guard", "GuardedSession"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_SMALLEST_WAIT = 0.01
"""Seconds; a socket timeout of 0 would mean something else."""


class Guard:
    """The bounds of the call that is going on, at most one at a time.

    `refuse` answers why an address must not be connected to, or None. `monotonic` gives seconds.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        refuse: Callable[[Address], str | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._connect_timeout = connect_timeout
        self._refuse = refuse
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._until = 0.0
        self._line: socket.socket | None = None
        self._serial = 0
        self.expired = False
        """The deadline passed, and the connection was shut for it."""
        self.sending = False
        """Bytes of the request may have left."""
        self.refused = False
        """An address was refused; nothing was connected to."""
        self.trouble = ""
        """Why no connection was made, without names or values."""

    @contextmanager
    def call(self, seconds: float) -> Iterator[None]:
        """Bound everything inside by so many seconds from now."""
        with self._lock:
            self._serial += 1
            self.expired = self.sending = self.refused = False
        self._until = self._monotonic() + seconds
        self.trouble = ""
        timer = threading.Timer(seconds, self._expire, (self._serial,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._let_go()

    @property
    def left(self) -> float:
        """Seconds until the deadline, never less than what a socket can wait."""
        return max(self._until - self._monotonic(), _SMALLEST_WAIT)

    def _expire(self, serial: int) -> None:
        with self._lock:
            if serial != self._serial:  # a timer that was late: its call is over
                return
            self.expired = True
            if self._line is not None:
                with suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def _watch(self, sock: socket.socket) -> None:
        """Hold a second handle on the connection: TLS takes the first one away while it shakes hands."""
        with self._lock:
            if self._line is None:
                self._line = socket.socket(fileno=os.dup(sock.fileno()))
            if self.expired:
                with suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        # Kept any longer, the handle would keep a connection open that was closed.
        with self._lock:
            self._serial += 1
            if self._line is not None:
                self._line.close()
                self._line = None

    def begin_sending(self, sock: socket.socket) -> None:
        self.sending = True
        self._watch(sock)
        # A large body over a slow line needs longer than a connection takes to be made.
        sock.settimeout(self.left)

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """A connected socket. Raises NewConnectionError, with `trouble` or `refused` set."""
        until = self._monotonic() + min(self._connect_timeout, self.left)
        for family, address in self._addresses(connection, until):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                for option in connection.socket_options or ():
                    sock.setsockopt(*option)
                sock.settimeout(max(until - self._monotonic(), _SMALLEST_WAIT))
                sock.connect(address)
            except TimeoutError:
                self.trouble = "no connection in time"
                sock.close()
            except OSError as error:
                self.trouble = f"no connection: {error.strerror or type(error).__name__}"
                sock.close()
            else:
                self._watch(sock)
                return sock
        raise NewConnectionError(connection, self.trouble)

    def _addresses(self, connection: HTTPConnection, until: float) -> list[tuple[int, Any]]:
        host = connection.host.strip("[]")
        found = self._resolve(host, connection.port, max(until - self._monotonic(), _SMALLEST_WAIT))
        allowed = []
        for family, address in found:
            reason = self._refuse(ipaddress.ip_address(address[0].partition("%")[0]))
            if reason is None:
                allowed.append((family, address))
            else:
                self.trouble = reason
        if found and not allowed:
            self.refused = True
        return allowed

    def _resolve(self, host: str, port: int, seconds: float) -> list[tuple[int, Any]]:
        if host == "localhost" or host.endswith(".localhost"):
            # Always this machine (RFC 6761), though not every resolver knows it.
            return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
        found: list[tuple[int, Any]] = []

        def look_up() -> None:
            # UnicodeError: a label that is too long or empty.
            with suppress(OSError, UnicodeError):
                answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                found.extend((family, address) for family, _, _, _, address in answers)

        # The system's resolver knows no timeout; a thread that hangs in it ends by itself.
        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(seconds)
        if not found:
            self.trouble = "the host's name was not resolved"
        return list(found)


class _Guarded:
    """What both kinds of connection do otherwise.

    A request leaves in one piece. Head and body would go one after the other, and where the line or the process ends
    between them the central takes the request for one without a body: it makes an empty document.
    """

    guard: Guard
    sock: Any
    _has_body = False
    _head: bytes | None = None

    def _new_conn(self) -> socket.socket:
        return self.guard.connect(self)  # type: ignore[arg-type]

    def request(self, method: str, url: str, body: Any = None, *args: Any, **options: Any) -> None:
        self._has_body, self._head = bool(body), None
        super().request(method, url, body, *args, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self._has_body and self._head is None:
            self._head = bytes(data)
            return
        if self._head is not None:
            data, self._head, self._has_body = self._head + data, None, False
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        self.guard.begin_sending(self.sock)
        super().send(data)  # type: ignore[misc]


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        held = {"guard": self._guard}
        plain = type("GuardedHTTPConnection", (_Guarded, HTTPConnection), held)
        secure = type("GuardedHTTPSConnection", (_Guarded, HTTPSConnection), held)
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("GuardedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("GuardedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }


class _NoCookies(RequestsCookieJar):
    """The central knows us by the token; a session's cookie beside it would bring CSRF checks."""

    def set_cookie(self, cookie: Any, *args: Any, **kwargs: Any) -> None:
        return None


class GuardedSession(Session):
    """A session that takes nothing from the environment, keeps no cookie and follows no redirect."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies = _NoCookies()
        adapter = _GuardedAdapter(guard)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: Response) -> str | None:
        """None, always: `requests` reads a redirect's whole body even where it is told not to follow."""
        return None
