"""A line on loopback that fails on order: TCP between a client and a server that speaks plain HTTP.

It hands bytes on as they are, one exchange (a request and its answer) after another on each connection, so that a
fault strikes a whole exchange and the test knows what went through. What is drawn comes from the seed and the
number of the exchange. Requests and answers are read whole before they are handed on.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

__all__ = ["POINTS", "Exchange", "FaultProxy", "Hold", "Mishap"]

POINTS = ("connected", "body sent", "answer begun", "answer read")
"""Where an exchange can be held: a connection was made and nothing read; the request has left the client whole and
nothing of it reached the server; the first half of the answer is with the client; the whole of it is."""

_PIECE = 64 * 1024
_PATIENCE = 300.0
"""Seconds that the server may take, and that an exchange is held at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """What befalls one exchange.

    | kind | the server gets | the client gets |
    |---|---|---|
    | `reset` | nothing | a reset connection |
    | `lost` | nothing | nothing, until it hangs up |
    | `cut request` | the first `after` bytes, then the end | nothing, and the end |
    | `swallow` | the request | the end instead of the answer |
    | `reset answer` | the request | a reset instead of the answer |
    | `silent` | the request | nothing, until it hangs up |
    | `cut` | the request | the first `after` bytes of the answer, then the end |
    | `slow` | the request | the head at once, the body over `seconds` |
    | `repeat` | the request twice | the first answer |
    | `late` | the request, `seconds` after the client's connection was ended | the end |
    """

    kind: str
    after: int | None = None
    """Bytes; None: drawn, anywhere within."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One exchange as it was: `fault` is the kind of its mishap, empty where there was none."""

    number: int
    method: str
    path: str
    fault: str = ""


class Hold:
    """An exchange is stopped at a point, once, until it is released."""

    def __init__(self, point: str, matches: Callable[[str, str], bool]) -> None:
        self.point = point
        self._matches = matches
        self._reached = threading.Event()
        self._released = threading.Event()

    def wait(self, seconds: float = 30.0) -> bool:
        """Whether an exchange came to the point within so many seconds; it stands there from then on."""
        return self._reached.wait(seconds)

    def release(self) -> None:
        """Let it go on; one that comes later is not stopped any more."""
        self._released.set()

    def _takes(self, point: str, method: str, path: str) -> bool:
        return (
            point == self.point
            and not self._reached.is_set()
            and (point == "connected" or self._matches(method, path))
        )

    def _stop(self) -> None:
        self._reached.set()
        self._released.wait(_PATIENCE)


def _anything(method: str, path: str) -> bool:
    return True


def _is_write(method: str, path: str) -> bool:
    return method not in ("GET", "HEAD")


class FaultProxy:
    """Stands between a client and the server at `upstream` (a URL that begins with http://).

    `latency` and `jitter` in seconds, before anything goes in either direction; `bandwidth` in bytes a second, each
    direction for itself. Begin it with `start` or as a context manager. Any thread may call any method.
    """

    def __init__(
        self,
        upstream: str,
        *,
        seed: int = 0,
        latency: float = 0.0,
        jitter: float = 0.0,
        bandwidth: float | None = None,
    ) -> None:
        parts = urlsplit(upstream)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("the server's URL has to begin with http://")
        self.seed = seed
        self.latency, self.jitter, self.bandwidth = latency, jitter, bandwidth
        self.done: Counter[str] = Counter()
        """How many exchanges each kind of mishap befell."""
        self.exchanges: list[Exchange] = []
        """Every exchange whose request was read, in order."""
        self._host, self._prefix = parts.hostname, parts.path
        local = self._host == "localhost" or self._host.endswith(".localhost")
        self._server = ("127.0.0.1" if local else self._host, parts.port or 80)
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._under_way = 0
        self._planned: list[tuple[Mishap, Callable[[str, str], bool]]] = []
        self._rates: dict[str, float] = {}
        self._rate_matches = _is_write
        self._holds: list[Hold] = []
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """What the client calls instead of the server: the same host name and path, another port."""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{shown}:{self._port}{self._prefix}"

    def start(self) -> FaultProxy:
        """Take calls from now on."""
        self.up()
        return self

    def up(self) -> None:
        """Take calls again, at the same address as before."""
        with self._lock:
            if self._listener is not None:
                return
            self._listener = socket.create_server(("127.0.0.1", self._port))
            self._port = int(self._listener.getsockname()[1])
            thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        thread.start()

    def down(self) -> None:
        """Refuse connections, and reset those that are open."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._open)
        if listener is not None:
            # accept() in another thread keeps a listener that is only closed.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in connections:
            _reset(connection)

    def close(self) -> None:
        """End everything; what is held goes on and finds its connection gone."""
        self.down()
        with self._lock:
            holds = list(self._holds)
        for hold in holds:
            hold.release()

    def __enter__(self) -> FaultProxy:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # what is ordered

    def befall(
        self, mishap: Mishap, *, times: int = 1, matches: Callable[[str, str], bool] = _is_write
    ) -> None:
        """It befalls the next so many exchanges whose method and path match; by default writes."""
        _check(mishap.kind)
        with self._lock:
            self._planned += [(mishap, matches)] * times

    def weather(self, rates: Mapping[str, float], *, matches: Callable[[str, str], bool] = _is_write) -> None:
        """From now on each kind befalls this share (0 to 1) of the exchanges that match, drawn from the seed."""
        for kind in rates:
            _check(kind)
        if sum(rates.values()) > 1:
            raise ValueError("more than every exchange cannot fail")
        with self._lock:
            self._rates, self._rate_matches = dict(rates), matches

    def heal(self) -> None:
        """Nothing that was ordered is done any more."""
        with self._lock:
            self._planned.clear()
            self._rates = {}

    def hold(self, point: str, *, matches: Callable[[str, str], bool] = _is_write) -> Hold:
        """Stop the next exchange that matches at one of `POINTS`. A connection matches always."""
        if point not in POINTS:
            raise ValueError(f"there is no point {point!r}; there are {', '.join(POINTS)}")
        hold = Hold(point, matches)
        with self._lock:
            self._holds.append(hold)
        return hold

    def idle(self, seconds: float = 30.0) -> bool:
        """Whether within so many seconds no request was on its way any more, late ones included."""
        with self._quiet:
            return self._quiet.wait_for(lambda: not self._under_way, seconds)

    # connections

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            # Half an answer is not kept back until the other half comes.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._listener is not listener:
                    _reset(client)
                    return
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # OSError and ValueError: one side is gone, or spoke something else than HTTP.
        with suppress(OSError, ValueError):
            self._reach("connected", "", "")
            reader = _Reader(client, self.bandwidth)
            while (request := reader.message()) is not None:
                if not self._exchange(client, request):
                    break
        with self._lock:
            self._open.discard(client)
        client.close()

    def _exchange(self, client: socket.socket, request: bytes) -> bool:
        """One request and its answer; whether the connection may be used again."""
        method, path = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")[:2]
        number, mishap = self._register(method, path)
        draw = random.Random(f"{self.seed} line {number}")
        try:
            self._reach("body sent", method, path)
            if mishap is not None:
                return self._fail(client, request, mishap, draw, (method, path))
            answer = self._ask(request, draw)
            self._answer(client, answer, draw, (method, path))
        finally:
            with self._quiet:
                self._under_way -= 1
                self._quiet.notify_all()
        return not _says_close(answer)

    def _register(self, method: str, path: str) -> tuple[int, Mishap | None]:
        with self._lock:
            number = len(self.exchanges)
            mishap = self._mishap(number, method, path)
            kind = mishap.kind if mishap else ""
            self._under_way += 1
            self.exchanges.append(Exchange(number=number, method=method, path=path, fault=kind))
            if mishap is not None:
                self.done[kind] += 1
        return number, mishap

    def _mishap(self, number: int, method: str, path: str) -> Mishap | None:
        for position, (mishap, matches) in enumerate(self._planned):
            if matches(method, path):
                del self._planned[position]
                return mishap
        if not self._rates or not self._rate_matches(method, path):
            return None
        drawn = random.Random(f"{self.seed} weather {number}").random()
        for kind, rate in self._rates.items():
            drawn -= rate
            if drawn < 0:
                return Mishap(kind=kind, seconds=0.2)
        return None

    def _reach(self, point: str, method: str, path: str) -> None:
        with self._lock:
            hold = next((each for each in self._holds if each._takes(point, method, path)), None)
            if hold is None:
                return
            self._holds.remove(hold)
        hold._stop()

    # exchanges

    def _ask(self, request: bytes, draw: random.Random) -> bytes:
        """The server's answer, whole."""
        self._pause(draw)
        with socket.create_connection(self._server, timeout=_PATIENCE) as server:
            server.sendall(request)
            answer = _Reader(server).message(of_head=request.startswith(b"HEAD "))
        if answer is None:
            raise ConnectionError("the server gave no answer")
        return answer

    def _answer(
        self, client: socket.socket, answer: bytes, draw: random.Random, what: tuple[str, str]
    ) -> None:
        self._pause(draw)
        half = len(answer) // 2
        self._send(client, answer[:half])
        self._reach("answer begun", *what)
        self._send(client, answer[half:])
        self._reach("answer read", *what)

    def _fail(
        self,
        client: socket.socket,
        request: bytes,
        mishap: Mishap,
        draw: random.Random,
        what: tuple[str, str],
    ) -> bool:
        kind = mishap.kind
        if kind == "reset":
            _reset(client)
        elif kind == "lost":
            _until_gone(client)
        elif kind == "cut request":
            self._part(request[: _within(mishap.after, request, draw)])
        elif kind == "late":
            client.shutdown(socket.SHUT_RDWR)
            time.sleep(mishap.seconds)
            self._ask(request, draw)
        else:
            return self._fail_after(client, self._ask(request, draw), request, mishap, draw, what)
        return False

    def _fail_after(
        self,
        client: socket.socket,
        answer: bytes,
        request: bytes,
        mishap: Mishap,
        draw: random.Random,
        what: tuple[str, str],
    ) -> bool:
        """What befalls the answer of a request that went through."""
        kind = mishap.kind
        if kind == "reset answer":
            _reset(client)
        elif kind == "silent":
            _until_gone(client)
        elif kind == "cut":
            self._send(client, answer[: _within(mishap.after, answer, draw)])
        elif kind == "slow":
            head, _, body = answer.partition(b"\r\n\r\n")
            client.sendall(head + b"\r\n\r\n")
            _trickle(client, body, mishap.seconds)
            return not _says_close(answer)
        elif kind == "repeat":
            self._ask(request, draw)
            self._answer(client, answer, draw, what)
            return not _says_close(answer)
        return False

    def _part(self, request: bytes) -> None:
        with socket.create_connection(self._server, timeout=_PATIENCE) as server:
            server.sendall(request)
            server.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                while server.recv(_PIECE):
                    pass

    def _pause(self, draw: random.Random) -> None:
        seconds = self.latency + self.jitter * draw.random()
        if seconds > 0:
            time.sleep(seconds)

    def _send(self, client: socket.socket, part: bytes) -> None:
        if self.bandwidth is None:
            client.sendall(part)
        else:
            _trickle(client, part, len(part) / self.bandwidth)


KINDS = frozenset(
    {
        "reset",
        "lost",
        "cut request",
        "swallow",
        "reset answer",
        "silent",
        "cut",
        "slow",
        "repeat",
        "late",
    }
)


def _check(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"there is no mishap {kind!r}; there are {', '.join(sorted(KINDS))}")


def _within(after: int | None, part: bytes, draw: random.Random) -> int:
    """A place at which something of `part` is missing."""
    return min(draw.randrange(len(part)) if after is None else after, len(part) - 1)


def _reset(connection: socket.socket) -> None:
    """End it so that the other side sees a reset."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def _until_gone(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.settimeout(_PATIENCE)
        while connection.recv(_PIECE):
            pass


def _trickle(connection: socket.socket, part: bytes, seconds: float) -> None:
    """Send it evenly over so many seconds."""
    steps = max(1, min(len(part), round(seconds / 0.02)))
    size = -(-len(part) // steps)
    for start in range(0, len(part), size or 1):
        connection.sendall(part[start : start + size])
        time.sleep(seconds / steps)


def _says_close(answer: bytes) -> bool:
    head = answer.partition(b"\r\n\r\n")[0].lower()
    framed = b"\r\ncontent-length:" in head or b"\r\ntransfer-encoding:" in head
    bodiless = head.split(b" ", 2)[1][:3] in (b"204", b"304")
    return b"\r\nconnection: close" in head or head.startswith(b"http/1.0") or not (framed or bodiless)


class _Reader:
    """Reads whole HTTP messages from a connection. Raises ValueError for what is none.

    It holds no handle of its own on the connection: one that is reset is gone at once.
    """

    def __init__(self, connection: socket.socket, bandwidth: float | None = None) -> None:
        self._connection = connection
        self._bandwidth = bandwidth
        self._kept = bytearray()

    def message(self, *, of_head: bool = False) -> bytes | None:
        """The next message as it came; None where the connection ended. `of_head`: the answer to a HEAD."""
        lines: list[bytes] = []
        while not lines or lines[-1] not in (b"\r\n", b""):
            lines.append(self._line())
        if len(lines) < 2 or not lines[-1]:
            return None
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (each.decode("latin-1").partition(":") for each in lines[1:])
        }
        return b"".join(lines) + (b"" if of_head else self._body(lines[0], headers))

    def _body(self, first: bytes, headers: Mapping[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", ""):
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        is_answer = first.startswith(b"HTTP/")
        bodiless = is_answer and first.split(b" ")[1][:3] in (b"204", b"304")
        return self._rest() if is_answer and not bodiless else b""

    def _chunks(self) -> bytes:
        parts = []
        while True:
            line = self._line()
            size = int(line.split(b";")[0], 16)
            parts += [line, self._exactly(size + 2)]
            if size == 0:
                return b"".join(parts)

    def _line(self) -> bytes:
        """Up to the next line feed; empty where the connection ended before one."""
        while (end := self._kept.find(b"\n")) < 0 and self._more():
            if len(self._kept) > _PIECE:
                raise ValueError("a line too long for HTTP")
        return self._take(end + 1)

    def _exactly(self, size: int) -> bytes:
        while len(self._kept) < size:
            if not self._more():
                raise ValueError("the message broke off")
        return self._take(size)

    def _rest(self) -> bytes:
        while self._more():
            pass
        return self._take(len(self._kept))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._kept[:size])
        del self._kept[:size]
        return taken

    def _more(self) -> bool:
        part = self._connection.recv(_PIECE if self._bandwidth is None else 1024)
        if self._connection.fileno() < 0:
            raise ConnectionError("it was closed while it was read")
        if part and self._bandwidth is not None:
            time.sleep(len(part) / self._bandwidth)
        self._kept += part
        return bool(part)
