"""The real transport against a stand-in central, and against peers that misbehave on the wire."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from erp_offline_sync.adapters import rest_central
from erp_offline_sync.adapters.companion_central import CompanionCentral
from erp_offline_sync.adapters.rest_central import RestCentral, check_url, mask
from erp_offline_sync.engine.classify import Verdict, classify, read_document, read_names, read_probe
from erp_offline_sync.engine.errors import SettingsError
from erp_offline_sync.engine.model import Gap, Operation, Reply, Wire
from erp_offline_sync.engine.paths import document_path
from erp_offline_sync.testing.shop import SHOP
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, USER, StandInCentral, anything

SECRET = "canary-secret-7f3a"
KEY = "canary-key-91bc"


def wire(method: str, path: str, body: Any = None) -> Wire:
    return Wire(method=method, path=path, body=None if body is None else json.dumps(body))


def todo(description: str = "x") -> Wire:
    return wire("POST", document_path("ToDo"), {"description": description})


def central_at(url: str, **options: Any) -> CompanionCentral:
    return CompanionCentral(url, KEY, SECRET, **options)


@pytest.fixture
def stand_in() -> Iterator[StandInCentral]:
    with StandInCentral(SHOP, zone="Asia/Kolkata") as central:
        yield central


@pytest.fixture
def central(stand_in: StandInCentral) -> Iterator[RestCentral]:
    central = RestCentral(stand_in.url, API_KEY, API_SECRET)
    yield central
    central.close()


class Peer:
    """A server of bytes: each connection's request is read, kept in `received`, and answered by `script`."""

    def __init__(
        self, script: Callable[[socket.socket], None], context: ssl.SSLContext | None = None
    ) -> None:
        self._script, self._context = script, context
        self.received: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(10)
            try:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
                self._serve(connection)
            except OSError:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        while True:
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = connection.recv(65536)
                if not chunk:
                    connection.close()
                    return
                head += chunk
            self.received.append(head)
            self._script(connection)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()
        self._thread.join(5)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(script: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Peer:
        peers.append(Peer(script, context))
        return peers[-1]

    yield make
    for one in peers:
        one.close()


def answering(
    content: bytes = b'{"data":{"name":"a"}}',
    *,
    status: str = "200 OK",
    kind: str = "application/json",
    more: str = "",
    length: int | None = None,
) -> Callable[[socket.socket], None]:
    """A script that answers so; with a `length` larger than the content it then closes."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{more}"
    head += f"Content-Length: {len(content) if length is None else length}\r\n\r\n"

    def script(connection: socket.socket) -> None:
        connection.sendall(head.encode() + content)
        if length is not None:
            connection.close()
            raise OSError

    return script


def closing(data: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.close()
        raise OSError

    return script


def sent(central: RestCentral, request: Wire | None = None) -> Reply:
    try:
        return central.deliver(request or todo(), key="key-1")
    finally:
        central.close()


# What the port promises


def test_a_document_goes_there_and_back(central: RestCentral, stand_in: StandInCentral) -> None:
    outcome = classify(central.deliver(todo("first"), key="key-1"), Operation.CREATE)
    assert outcome.verdict is Verdict.APPLIED
    state, document = read_document(central.fetch("ToDo", str(outcome.name)))
    assert (state, document) == ("found", outcome.document)
    assert read_document(central.fetch("ToDo", "nope")) == ("missing", None)
    call = stand_in.calls[0]
    assert (call.key, call.body) == ("key-1", {"description": "first"})


def test_names_of_every_kind_are_found_again(central: RestCentral, stand_in: StandInCentral) -> None:
    for name in ("50% off / #1 ?", "عميل", "a&b=c+d", "O'Brien;x", "..x", "~._-", 'q"uote'):
        stand_in.insert("Item", {"item_code": name})
        assert read_document(central.fetch("Item", name))[0] == "found"
        assert read_names(central.find("Item", {"item_code": name})) == [name]
        deleted = central.deliver(wire("DELETE", document_path("Item", name)), key="k")
        assert classify(deleted, Operation.DELETE).verdict is Verdict.APPLIED


def test_the_number_of_names_found_is_bounded(central: RestCentral, stand_in: StandInCentral) -> None:
    for _ in range(1010):
        stand_in.insert("ToDo", {"description": "same"}, user=USER)
    assert len(read_names(central.find("ToDo", {"description": "same"})) or []) == 20
    since = datetime.now(timezone.utc) - timedelta(hours=1)
    assert len(read_names(central.find_created_since("ToDo", since)) or []) == 1000


def test_versions_of_many_documents_are_asked_for_at_once(
    central: RestCentral, stand_in: StandInCentral
) -> None:
    there = {name: stand_in.insert("Item", {"item_code": name}) for name in ("50% off", "عميل", "a,b")}
    reply = central.versions("Item", [*there, "gone"])
    assert {row["name"]: (row["modified"], row["modified_by"]) for row in reply.body["data"]} == {
        name: (document["modified"], document["modified_by"]) for name, document in there.items()
    }


@pytest.mark.parametrize("hours", [-26, 0, 26])
def test_what_we_made_since_then_is_found_by_the_centrals_clock(hours: int) -> None:
    """Whatever its zone and clock: ours since then and nobody else's, and nothing from long before."""
    moment = [datetime(2026, 3, 29, 0, 30, tzinfo=timezone.utc)]
    clock = lambda: moment[0]  # noqa: E731
    offset = timedelta(hours=hours)
    with StandInCentral(SHOP, zone="Europe/Berlin", clock=clock, clock_offset=offset) as stand_in:
        central = RestCentral(stand_in.url, API_KEY, API_SECRET, clock_now=clock)
        stand_in.insert("ToDo", {"description": "before"}, user=USER)
        moment[0] += timedelta(minutes=10)
        since = moment[0]
        ours = stand_in.insert("ToDo", {"description": "ours"}, user=USER)["name"]
        stand_in.insert("ToDo", {"description": "theirs"})
        assert read_names(central.find_created_since("ToDo", since)) == [ours]
        central.close()


def test_what_was_made_in_the_hour_that_comes_twice_is_found() -> None:
    """Clocks are put back: ten minutes later the wall shows fifty minutes earlier."""
    moment = [datetime(2026, 10, 25, 0, 55, tzinfo=timezone.utc)]  # 02:55 in Berlin, for the first time
    clock = lambda: moment[0]  # noqa: E731
    with StandInCentral(SHOP, zone="Europe/Berlin", clock=clock) as stand_in:
        central = RestCentral(stand_in.url, API_KEY, API_SECRET, clock_now=clock)
        since = moment[0]
        moment[0] += timedelta(minutes=10)
        ours = stand_in.insert("ToDo", {"description": "ours"}, user=USER)
        assert ours["creation"].startswith("2026-10-25 02:05")
        assert read_names(central.find_created_since("ToDo", since)) == [ours["name"]]
        central.close()


def test_nothing_is_looked_for_where_our_user_is_not_known(stand_in: StandInCentral) -> None:
    stand_in.fail(503, "SessionStopped", matches=anything)
    central = RestCentral(stand_in.url, API_KEY, API_SECRET)
    reply = central.find_created_since("ToDo", datetime.now(timezone.utc))
    assert (reply.status, read_names(reply)) == (503, None)
    central.close()


def test_where_the_zone_is_not_told_more_is_looked_through(stand_in: StandInCentral) -> None:
    stand_in.fail(417, "ValidationError", times=99, matches=lambda _, path: path.endswith("get_time_zone"))
    central = RestCentral(stand_in.url, API_KEY, API_SECRET)
    ours = stand_in.insert("ToDo", {"description": "ours"}, user=USER)["name"]
    assert read_names(central.find_created_since("ToDo", datetime.now(timezone.utc))) == [ours]
    assert central.instant("2026-01-01 10:00:00") is None
    central.close()


def test_a_probe_learns_user_zone_and_clock(stand_in: StandInCentral) -> None:
    stand_in.clock_offset = timedelta(seconds=-300)
    central = RestCentral(stand_in.url, API_KEY, API_SECRET)
    assert central.clock_offset() is None
    assert read_probe(central.probe()).verdict is Verdict.APPLIED
    offset = central.clock_offset()
    assert offset is not None
    assert abs(offset.seconds + 300) <= offset.uncertainty <= 2
    assert (central.user, central.time_zone) == (USER, "Asia/Kolkata")
    assert central.server_info() == {"frappe": "15.55.1"}
    central.probe()
    asked = [call.path for call in stand_in.calls if call.path.endswith("get_time_zone")]
    assert len(asked) == 1
    central.close()


def test_versions_that_are_refused_are_unknown(stand_in: StandInCentral) -> None:
    central = RestCentral(stand_in.url, API_KEY, "wrong")
    assert central.server_info() is None
    assert read_probe(central.probe()).verdict is Verdict.CREDENTIALS
    assert (central.user, central.time_zone) == (None, None)
    central.close()


@pytest.mark.parametrize(
    ("zone", "text", "utc", "apart"),
    [
        ("Asia/Kolkata", "2026-01-01 10:00:00", "2026-01-01 04:30:00", 0),
        ("Asia/Kolkata", "2026-01-01 10:00:00.500000", "2026-01-01 04:30:00.5", 0),
        ("Europe/Berlin", "2026-07-01 10:00:00", "2026-07-01 08:00:00", 0),
        ("Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25 00:30:00", 3600),
        ("Europe/Berlin", "2026-03-29 02:30:00", "2026-03-29 00:30:00", 3600),
    ],
)
def test_a_wall_clock_time_is_brought_to_our_clock(zone: str, text: str, utc: str, apart: float) -> None:
    """The hour that comes twice, and the one that does not come, widen the uncertainty."""
    with StandInCentral(SHOP, zone=zone, clock_offset=timedelta(seconds=60)) as stand_in:
        central = RestCentral(stand_in.url, API_KEY, API_SECRET)
        instant = central.instant(text)
        assert instant is not None
        expected = datetime.fromisoformat(utc.ljust(26, "0") if "." in utc else utc).replace(
            tzinfo=timezone.utc
        )
        expected -= timedelta(seconds=60)
        assert abs((instant.at - expected).total_seconds()) <= instant.uncertainty
        assert apart < instant.uncertainty < apart + 2
        stand_in.down()
        assert central.instant(text) == instant
        central.close()


def test_what_is_no_time_or_of_no_zone_has_no_instant(stand_in: StandInCentral, central: RestCentral) -> None:
    for text in ("", "soon", "2026-01-01 10:00:00+00:00", "0001-01-01 00:00:00", None):
        assert central.instant(text) is None  # type: ignore[arg-type]
    assert stand_in.calls == []
    stand_in.zone = "Nowhere/Land"
    assert central.instant("2026-01-01 10:00:00") is None
    stand_in.down()
    other = RestCentral(stand_in.url, API_KEY, API_SECRET)
    assert other.instant("2026-01-01 10:00:00") is None


def test_headers_for_support_and_for_waiting_are_kept(stand_in: StandInCentral, central: RestCentral) -> None:
    stand_in.fail(429, "TooManyRequestsError", retry_after="17")
    reply = central.deliver(todo(), key="k")
    assert (reply.status, reply.retry_after) == (429, "17")
    assert str(reply.request_id).startswith("stand-in-")


@pytest.mark.parametrize("size", [1, 200_000])
def test_a_request_leaves_in_one_piece(
    central: RestCentral, stand_in: StandInCentral, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A process that is killed, or a line that ends, between head and body would leave a request without a body:
    the central makes an empty document of that."""
    pieces: list[bytes] = []
    send = HTTPConnection.send

    def noted(connection: HTTPConnection, data: bytes) -> None:
        pieces.append(bytes(data))
        send(connection, data)

    monkeypatch.setattr(HTTPConnection, "send", noted)
    sent = todo("x" * size)
    created = central.deliver(sent, key="k")
    assert classify(created, Operation.CREATE).verdict is Verdict.APPLIED
    (piece,) = pieces
    assert piece.startswith(b"POST /api/resource/ToDo")
    assert piece.endswith(b"\r\n\r\n" + str(sent.body).encode())


def test_one_connection_is_kept_and_given_up_when_it_has_been_idle(peer: Callable[..., Peer]) -> None:
    """A server may be closing it just then, and the request would be lost in doubt."""
    server = peer(answering())
    late = [0.0]
    central = central_at(server.url, monotonic=lambda: time.monotonic() + late[0])
    central.fetch("ToDo", "a")
    central.fetch("ToDo", "a")
    assert server.connections == 1
    late[0] = 5.0
    threading.Thread(target=central.fetch, args=("ToDo", "a")).start()
    deadline = time.monotonic() + 5
    while len(server.received) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.connections == 2
    time.sleep(0.05)
    central.close()


def test_a_central_that_was_away_is_reached_again(stand_in: StandInCentral, central: RestCentral) -> None:
    assert central.deliver(todo(), key="k").status == 200
    stand_in.down()
    assert central.deliver(todo(), key="k").gap is Gap.NOT_SENT
    stand_in.up()
    assert central.deliver(todo(), key="k").status == 200
    assert len(stand_in.documents("ToDo")) == 2


@pytest.mark.parametrize("path", ["/app/x", "/api/../x", "http://evil.example/api/x", "/api/x\r\nHost: evil"])
def test_a_path_that_leads_away_is_refused_before_anything_is_sent(
    path: str, central: RestCentral, stand_in: StandInCentral
) -> None:
    outcome = classify(central.deliver(wire("GET", path), key="k"), Operation.CALL)
    assert outcome.verdict is Verdict.REFUSED_AT_ONCE
    assert "Not sent" in outcome.message
    assert stand_in.calls == []


def test_a_path_that_was_typed_is_quoted(central: RestCentral, stand_in: StandInCentral) -> None:
    stand_in.insert("Customer", {"customer_name": "a b"})
    assert central.deliver(wire("GET", "/api/resource/Customer/a b"), key="k").status == 200


# Answers that do not come, or not whole


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_is_no_answer(applied: bool, stand_in: StandInCentral, central: RestCentral) -> None:
    """Whether the request was carried out looks the same from here."""
    (stand_in.swallow if applied else stand_in.drop)()
    reply = central.deliver(todo(), key="k")
    assert (reply.gap, reply.status) == (Gap.NO_ANSWER, None)
    assert len(stand_in.documents("ToDo")) == applied


def test_a_refused_connection_and_an_unknown_host_sent_nothing() -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        reply = sent(central_at(f"http://127.0.0.1:{place.getsockname()[1]}"))
    assert (reply.gap, reply.status) == (Gap.NOT_SENT, None)
    assert "refused" in reply.detail
    assert sent(central_at("https://no-such-host.invalid")).gap is Gap.NOT_SENT


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (released.wait(20), [])[1])
    began = time.monotonic()
    reply = sent(central_at("https://central.example", connect_timeout=0.3))
    released.set()
    assert reply.gap is Gap.NOT_SENT
    assert time.monotonic() - began < 2


def trickle(data: bytes) -> Callable[[socket.socket], None]:
    def script(connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)

    return script


def silence(connection: socket.socket) -> None:
    connection.recv(1)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SLOW = {
    "silence": silence,
    "slow head": trickle(b"HTTP/1.1 200 OK\r\nX-Filler: " + b"x" * 500),
    "slow body": trickle(HEAD + b"Content-Length: 500\r\n\r\n" + b" " * 500),
    "slow body to the end": trickle(HEAD + b'Connection: close\r\n\r\n{"data":{"name":"a"}}' + b" " * 500),
    "slow chunks": trickle(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100),
}


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
def test_a_peer_that_trickles_is_ended_at_the_deadline(script, peer: Callable[..., Peer]) -> None:
    """Each byte comes in time; the whole does not. What came until then is not believed."""
    server = peer(script)
    central = central_at(server.url, read_timeout=5.0, total_timeout=0.4)
    began = time.monotonic()
    reply = sent(central)
    assert time.monotonic() - began < 2.0 < central.deadline + 2
    assert (reply.gap, reply.detail) == (Gap.NO_ANSWER, "no answer in time")


def test_a_silent_peer_is_ended_at_the_read_timeout(peer: Callable[..., Peer]) -> None:
    began = time.monotonic()
    reply = sent(central_at(peer(silence).url, read_timeout=0.3))
    assert time.monotonic() - began < 2
    assert (reply.gap, reply.detail) == (Gap.NO_ANSWER, "no answer in time")


def test_a_peer_that_does_not_read_is_ended_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        central = central_at(f"http://127.0.0.1:{listener.getsockname()[1]}", total_timeout=0.4)
        reply = sent(central, todo("x" * 20_000_000))
        assert reply.gap is Gap.NO_ANSWER


def test_a_large_body_may_take_longer_than_a_connection(peer: Callable[..., Peer]) -> None:
    def script(connection: socket.socket) -> None:
        time.sleep(0.5)
        end = b""
        while end != b"}":  # how much of the body came along with the head is chance
            end = connection.recv(1 << 20)[-1:]
        answering()(connection)

    server = peer(script)
    reply = sent(central_at(server.url, connect_timeout=0.2, read_timeout=10), todo("x" * 8_000_000))
    assert reply.status == 200


def reset(connection: socket.socket) -> None:
    connection.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"data":')
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise OSError


CUT = {
    "reset in the body": reset,
    "closed in the body": answering(b'{"data":', length=100),
    "JSON cut off": closing(HEAD + b'Connection: close\r\n\r\n{"data":{"name"'),
    "chunk cut off": closing(HEAD + b'Transfer-Encoding: chunked\r\n\r\n40\r\n{"data":'),
    "chunks without end": closing(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "whole JSON, but shorter than said": answering(b'{"data":{"name":"a"}}', length=100),
    "packed, cut off": answering(gzip.compress(b"{}" * 500)[:-9], more="Content-Encoding: gzip\r\n"),
    "said to be packed": answering(b"{}", more="Content-Encoding: gzip\r\n"),
    "packed otherwise": answering(b"{}", more="Content-Encoding: br\r\n"),
    "no text": answering(b'{"data": "\xff\xfe"}'),
    "too deep": answering(b"[" * 200_000),
}


@pytest.mark.parametrize("pushed", [False, True], ids=["a request", "a push"])
@pytest.mark.parametrize("script", CUT.values(), ids=CUT.keys())
def test_an_answer_that_is_not_whole_is_no_answer(script, pushed: bool, peer: Callable[..., Peer]) -> None:
    central = central_at(peer(script).url)
    reply = central.push(b"").read() if pushed else sent(central)
    assert (reply.status, reply.gap, reply.is_json, reply.body) == (200, Gap.NO_ANSWER, False, None)
    outcome = classify(reply, Operation.CREATE)
    assert (outcome.verdict, outcome.effect_unknown) == (Verdict.UNANSWERED, True)


GARBAGE = {
    "no HTTP": closing(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing": closing(b""),
    "endless head": closing(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000 + b"\r\n"),
    "a bad length": closing(HEAD + b"Content-Length: -5\r\nContent-Length: 7\r\n\r\n{}"),
}


@pytest.mark.parametrize("script", GARBAGE.values(), ids=GARBAGE.keys())
def test_a_peer_that_speaks_no_http_gives_no_answer(script, peer: Callable[..., Peer]) -> None:
    assert sent(central_at(peer(script).url)).gap is Gap.NO_ANSWER


def test_a_packed_answer_is_unpacked(peer: Callable[..., Peer]) -> None:
    packed = gzip.compress(json.dumps({"data": {"name": "a", "text": "x" * 200_000}}).encode())
    reply = sent(central_at(peer(answering(packed, more="Content-Encoding: gzip\r\n")).url))
    assert read_document(reply)[0] == "found"


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_has_a_largest_size(
    packed: bool, peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bomb is not unpacked further than that."""
    monkeypatch.setattr(rest_central, "ANSWER_LIMIT", 1_000_000)
    content = b'"' + b"x" * 50_000_000 + b'"'
    if packed:
        server = peer(answering(gzip.compress(content, 1), more="Content-Encoding: gzip\r\n"))
    else:
        server = peer(answering(content))
    reply = sent(central_at(server.url))
    assert (reply.gap, reply.detail) == (Gap.NO_ANSWER, "the answer is too large")


def test_a_captive_portal_is_no_success(peer: Callable[..., Peer]) -> None:
    server = peer(answering(b"<html>log in</html>", kind="text/html; charset=utf-8"))
    reply = sent(central_at(server.url))
    assert (reply.status, reply.is_json, reply.detail) == (200, False, "text/html")
    outcome = classify(reply, Operation.CREATE)
    assert (outcome.verdict, outcome.effect_unknown) == (Verdict.NOT_NOW, True)


def test_a_page_that_calls_itself_nothing_or_nonsense_is_no_json(peer: Callable[..., Peer]) -> None:
    for kind in ("", "nonsense", "text/html\x01"):
        reply = sent(central_at(peer(answering(b"{}", kind=kind)).url))
        assert (reply.is_json, reply.detail) == (False, "no content type")


# Redirects, environment, cookies


def test_a_redirect_is_not_followed(peer: Callable[..., Peer]) -> None:
    other = peer(answering())
    for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
        server = peer(
            answering(b"<html>", status=status, kind="text/html", more=f"Location: {other.url}/api/x\r\n")
        )
        reply = sent(central_at(server.url))
        assert classify(reply, Operation.CREATE).verdict is Verdict.CONFIGURATION
    assert other.connections == 0


def test_nothing_is_taken_from_the_environment(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No proxy, no .netrc, no CA bundle: whoever sets these must not widen what is trusted."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    other = peer(answering())
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, other.url)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "no-such-file"))
    server = peer(answering(more="Set-Cookie: sid=Guest; Path=/\r\n"))
    central = central_at(server.url)
    for _ in range(2):
        assert central.deliver(todo(), key="k").status == 200
    central.close()
    assert other.connections == 0
    for head in server.received:
        assert f"Authorization: token {KEY}:{SECRET}".encode() in head
        assert b"Cookie" not in head


# Addresses


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://erp.example.com", "https://erp.example.com"),
        (" https://ERP.Example.com:8443/ ", "https://erp.example.com:8443"),
        ("https://erp.example.com/site/one/", "https://erp.example.com/site/one"),
        ("https://192.168.1.10", "https://192.168.1.10"),
        ("https://[fd00::7]:8000", "https://[fd00::7]:8000"),
        ("https://[64:ff9b::808:808]", "https://[64:ff9b::808:808]"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://branch.localhost:8000/", "http://branch.localhost:8000"),
        ("https://central_1:8000", "https://central_1:8000"),
    ],
)
def test_an_address_that_is_plain_is_used(url: str, used: str) -> None:
    assert check_url(url) == used


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "  ",
        "erp.example.com",
        "ftp://erp.example.com",
        "file:///etc/passwd",
        "gopher://erp.example.com",
        "https://",
        "https:///api",
        "https://user:pass@erp.example.com",
        "https://erp.example.com@evil.example",
        "https://@erp.example.com",
        "https://erp.example.com?x=1",
        "https://erp.example.com?",
        "https://erp.example.com/#x",
        "https://erp.example.com#",
        "https://erp.example.com\r\nHost: evil",
        "https://erp.example.com/a b",
        "https://erp.example.com\\@evil.example",
        "https://erp.example.com/../x",
        "https://erp.example.com//x",
        "https://erp.example.com/%2e%2e",
        "https://erp.example.com:0",
        "https://erp.example.com:99999",
        "https://erp.example.com:",
        "https://erp.example.com:x",
        "https://-erp.example.com",
        "https://erp..example.com",
        "https://ërp..example.com",
        "https://[::1",
        "https://[nonsense]",
        "http://erp.example.com",
        "http://192.168.1.10",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "https://169.254.169.254",
        "http://169.254.169.254/latest/meta-data",
        "https://[fe80::1]",
        "https://[fe80::1%25eth0]",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:169.254.169.254]",
        "https://[64:ff9b::a9fe:a9fe]",
        "https://[2002:a9fe:a9fe::1]",
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.1",
        "https://0177.0.0.1",
        "https://127.1",
        "https://1.2.3.4.",
        "https://0.0.0.0",
        "https://[::]",
        "https://224.0.0.1",
        "https://255.255.255.255",
    ],
)
def test_any_other_address_is_refused_before_it_is_used(url: Any) -> None:
    with pytest.raises(SettingsError, match="central"):
        check_url(url)


def test_without_tls_a_network_is_used_only_where_that_is_allowed() -> None:
    assert check_url("http://192.168.1.10:8000", allow_plain_http=True) == "http://192.168.1.10:8000"
    with pytest.raises(SettingsError):
        check_url("http://169.254.169.254", allow_plain_http=True)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    def look_up(*_: Any, **__: Any) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host, port in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "fe80::1", "::ffff:127.0.0.1", "224.0.0.1"]
)
def test_a_name_that_stands_for_a_forbidden_address_is_refused_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may be pointed elsewhere after the settings were checked."""
    resolving(monkeypatch, (address, 443))
    reply = sent(central_at("https://central.example"))
    assert reply.gap is Gap.TLS
    assert classify(reply, Operation.CREATE).verdict is Verdict.CONFIGURATION


def test_a_name_with_one_fit_address_is_called_there(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = peer(answering())
    resolving(monkeypatch, ("fe80::1", server.port), ("127.0.0.1", 1), ("127.0.0.1", server.port))
    reply = sent(central_at(f"http://central.example:{server.port}", allow_plain_http=True))
    assert reply.status == 200
    assert b"Host: central.example" in server.received[0]


def test_names_below_localhost_are_this_machine(peer: Callable[..., Peer]) -> None:
    server = peer(answering())
    reply = sent(central_at(f"http://site-one.localhost:{server.port}"))
    assert reply.status == 200
    assert f"Host: site-one.localhost:{server.port}".encode() in server.received[0]


def test_without_tls_a_name_that_moved_away_from_this_machine_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    central = central_at("http://127.0.0.1:9")
    monkeypatch.setattr(type(central._guard), "_resolve", lambda *_: [(socket.AF_INET, ("192.168.1.10", 9))])
    assert sent(central).gap is Gap.TLS


# TLS

# A CA and what it signed, made for these tests: for this address, for another host, and one that has expired.
CERTIFICATES = Path(__file__).parent / "tls"


def serving(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / "server.key")
    return context


def test_a_pinned_ca_is_trusted(peer: Callable[..., Peer]) -> None:
    server = peer(answering(), serving("good"))
    assert sent(central_at(server.url, ca_file=str(CERTIFICATES / "ca.pem"))).status == 200


@pytest.mark.parametrize(
    ("certificate", "pinned", "reason"),
    [
        ("good", False, "self-signed|local issuer"),
        ("other", True, "IP address mismatch"),
        ("expired", True, "expired"),
    ],
)
def test_a_connection_that_is_not_trusted_carries_nothing(
    certificate: str,
    pinned: bool,
    reason: str,
    peer: Callable[..., Peer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the environment cannot make it trusted."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(CERTIFICATES / "ca.pem"))
    server = peer(answering(), serving(certificate))
    ca_file = str(CERTIFICATES / "ca.pem") if pinned else None
    reply = sent(central_at(server.url, ca_file=ca_file))
    assert (reply.gap, reply.status) == (Gap.TLS, None)
    assert server.received == []
    assert re.search(reason, reply.detail)


def test_a_peer_without_tls_gets_nothing(stand_in: StandInCentral) -> None:
    reply = sent(central_at(stand_in.url.replace("http:", "https:")))
    assert reply.gap is Gap.TLS
    assert stand_in.calls == []


@pytest.mark.parametrize("wait", [{"connect_timeout": 0.3}, {"connect_timeout": 5.0, "total_timeout": 0.3}])
def test_a_peer_that_does_not_shake_hands_is_ended_and_got_nothing(wait: dict[str, float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        reply = sent(central_at(f"https://127.0.0.1:{listener.getsockname()[1]}", **wait))
        assert time.monotonic() - began < 2
        assert reply.gap is Gap.NOT_SENT


def test_a_ca_file_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CA file"):
        central_at("https://central.example", ca_file=str(tmp_path / "none.pem"))


def test_a_ca_file_that_holds_no_certificate_trusts_nobody(tmp_path: Path, peer: Callable[..., Peer]) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    server = peer(answering())
    reply = sent(central_at(server.url.replace("http:", "https:"), ca_file=str(tmp_path / "empty.pem")))
    assert reply.gap in (Gap.TLS, Gap.NOT_SENT)
    assert server.received == []


# Secrets


@pytest.mark.parametrize(
    ("key", "secret"), [("", "x"), ("x", ""), ("a:b", "c"), ("a", "b\r\nX: y"), ("a b", "c"), ("ä", "c")]
)
def test_credentials_that_cannot_be_sent_are_refused_without_being_shown(key: str, secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        RestCentral("https://central.example", key, secret)
    for text in (key, secret):
        assert len(text) < 3 or text not in str(caught.value)


def test_no_secret_leaves_by_text(peer: Callable[..., Peer], caplog: pytest.LogCaptureFixture) -> None:
    """Not by repr, details, or any log, whatever happens on the line."""
    caplog.set_level(logging.DEBUG)
    texts: list[str] = []
    for script in (answering(), closing(b""), reset, answering(b"x", status="500 Oops", kind="text/html")):
        central = central_at(peer(script).url)
        texts += [repr(sent(central)), repr(central), str(central)]
    unreachable = central_at("https://no-such-host.invalid")
    texts += [repr(sent(unreachable)), repr(vars(unreachable)), caplog.text]
    for text in texts:
        assert SECRET not in text
        assert KEY not in text


def test_an_end_from_outside_shows_no_secret_in_its_frames(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job's time limit may strike while bytes are sent; reports print every frame's variables."""

    class TimeLimit(BaseException):
        pass

    def struck(*_: Any) -> None:
        raise TimeLimit

    server = peer(answering())
    central = central_at(server.url)
    monkeypatch.setattr(type(central._guard), "begin_sending", struck)
    with pytest.raises(TimeLimit) as caught:
        central.deliver(todo(), key="k")
    report = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "_call" in report
    assert SECRET not in report
    central.close()


def test_masking_replaces_every_secret() -> None:
    assert mask("token k1:s1, s1s1", ["k1", "s1", ""]) == "token ***:***, ******"
    assert mask("abcd", ["ab", "abcd"]) == "***"
    assert central_at("https://central.example").mask(f"x {SECRET}") == "x ***"


def test_threads_wait_for_each_other(central: RestCentral, stand_in: StandInCentral) -> None:
    threads = [
        threading.Thread(target=central.deliver, args=(todo(str(i)),), kwargs={"key": "k"}) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(stand_in.documents("ToDo")) == 8


def test_nothing_stays_open(peer: Callable[..., Peer]) -> None:
    """A thousand runs in one process must not use up its files."""
    server = peer(answering())
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(20):
        assert sent(central_at(server.url)).status == 200
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after - before <= 25  # the peer's own ends
