"""The fault proxy by itself: what each side gets of an exchange, by the bytes on real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from erp_offline_sync.testing.fault_proxy import POINTS, FaultProxy, Mishap
from erp_offline_sync.testing.shop import SHOP
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral

HEADERS = {"Authorization": f"token {API_KEY}:{API_SECRET}", "Content-Type": "application/json"}


@pytest.fixture
def central() -> Iterator[StandInCentral]:
    with StandInCentral(SHOP) as central:
        yield central


@pytest.fixture
def proxy(central: StandInCentral) -> Iterator[FaultProxy]:
    with FaultProxy(central.url, seed=7) as proxy:
        yield proxy


def connection(proxy: FaultProxy, timeout: float = 5.0) -> http.client.HTTPConnection:
    host, _, port = proxy.url.removeprefix("http://").partition(":")
    return http.client.HTTPConnection(host, int(port), timeout=timeout)


def make(proxy: FaultProxy, text: str = "x", *, over: http.client.HTTPConnection | None = None) -> int:
    """Make a ToDo through the proxy; the status."""
    if over is None:
        with closing(connection(proxy)) as line:
            return make(proxy, text, over=line)
    over.request("POST", "/api/resource/ToDo", json.dumps({"description": text}), HEADERS)
    with over.getresponse() as answer:
        assert json.loads(answer.read())["data"]["description"] == text
        return answer.status


def made(central: StandInCentral) -> list[str]:
    return [document["description"] for document in central.documents("ToDo")]


def test_a_line_without_faults_hands_everything_on(proxy: FaultProxy, central: StandInCentral) -> None:
    with closing(connection(proxy)) as line:
        for number in range(3):
            assert make(proxy, str(number), over=line) == 200
        line.request("GET", "/api/resource/ToDo", headers=HEADERS)
        assert len(json.loads(line.getresponse().read())["data"]) == 3
    assert [exchange.method for exchange in proxy.exchanges] == ["POST", "POST", "POST", "GET"]
    assert not proxy.done


@pytest.mark.parametrize(
    ("kind", "arrives", "error"),
    [
        ("reset", 0, ConnectionResetError),
        ("lost", 0, TimeoutError),
        ("cut request", 0, http.client.RemoteDisconnected),
        ("swallow", 1, http.client.RemoteDisconnected),
        ("reset answer", 1, ConnectionResetError),
        ("silent", 1, TimeoutError),
        ("cut", 1, (http.client.HTTPException, ValueError)),
        ("late", 1, http.client.RemoteDisconnected),
    ],
)
def test_a_mishap_befalls_one_exchange(
    proxy: FaultProxy,
    central: StandInCentral,
    kind: str,
    arrives: int,
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    proxy.befall(Mishap(kind=kind, after=40, seconds=0.05))
    with closing(connection(proxy, timeout=0.5)) as line, pytest.raises(error):
        make(proxy, "first", over=line)
    assert make(proxy, "second") == 200
    assert proxy.idle(5)
    assert sorted(made(central)) == ["first", "second"][1 - arrives :]
    assert proxy.done == {kind: 1}
    assert [exchange.fault for exchange in proxy.exchanges] == [kind, ""]


def test_an_answer_is_cut_at_any_byte(proxy: FaultProxy, central: StandInCentral) -> None:
    """Wherever it ends, what is missing shows: nobody takes a part for the whole."""
    for after in (0, 1, 12, 40, 100, 200, 250):
        proxy.befall(Mishap(kind="cut", after=after))
        with pytest.raises((http.client.HTTPException, OSError, ValueError)):
            make(proxy, str(after))
    assert len(made(central)) == 7


def test_a_repeated_request_arrives_twice_and_is_answered_once(
    proxy: FaultProxy, central: StandInCentral
) -> None:
    proxy.befall(Mishap(kind="repeat"))
    assert make(proxy) == 200
    assert made(central) == ["x", "x"]


def test_a_slow_body_takes_its_time(proxy: FaultProxy) -> None:
    proxy.befall(Mishap(kind="slow", seconds=0.3))
    began = time.monotonic()
    assert make(proxy) == 200
    assert time.monotonic() - began >= 0.25


def test_latency_and_bandwidth_hold_for_both_directions(central: StandInCentral) -> None:
    with FaultProxy(central.url, latency=0.1, jitter=0.02) as proxy:
        began = time.monotonic()
        make(proxy)
        assert time.monotonic() - began >= 0.2
    with FaultProxy(central.url, bandwidth=50_000) as proxy:
        began = time.monotonic()
        make(proxy, "x" * 10_000)
        assert time.monotonic() - began >= 0.35


def test_while_it_is_down_nobody_connects_and_open_connections_are_reset(
    proxy: FaultProxy, central: StandInCentral
) -> None:
    address = proxy.url
    with closing(connection(proxy)) as line:
        make(proxy, over=line)
        proxy.down()
        with pytest.raises(OSError):
            make(proxy, over=line)
    with pytest.raises(ConnectionRefusedError):
        make(proxy)
    proxy.up()
    assert proxy.url == address
    assert make(proxy) == 200
    assert len(made(central)) == 2


@pytest.mark.parametrize("point", POINTS)
def test_an_exchange_stands_at_a_point_until_it_is_released(
    proxy: FaultProxy, central: StandInCentral, point: str
) -> None:
    hold = proxy.hold(point)
    thread = threading.Thread(target=make, args=(proxy,), daemon=True)
    thread.start()
    assert hold.wait(5)
    assert len(made(central)) == (1 if point.startswith("answer") else 0)
    hold.release()
    thread.join(5)
    assert not thread.is_alive()
    assert len(made(central)) == 1
    assert make(proxy) == 200


def test_a_hold_waits_for_what_it_names(proxy: FaultProxy) -> None:
    hold = proxy.hold("body sent", matches=lambda method, path: path.endswith("Customer"))
    assert make(proxy) == 200
    assert not hold.wait(0.01)


def test_the_weather_is_the_seeds(central: StandInCentral) -> None:
    """The same seed, the same failures; about as many as were asked for."""

    def failures(seed: int) -> tuple[list[str], Counter[str]]:
        with FaultProxy(central.url, seed=seed) as proxy:
            proxy.weather({"swallow": 0.1, "reset": 0.1})
            for _ in range(100):
                with suppress(http.client.HTTPException, OSError):
                    make(proxy)
            return [exchange.fault for exchange in proxy.exchanges], proxy.done

    first, done = failures(1)
    assert first == failures(1)[0] != failures(2)[0]
    assert 4 <= done["swallow"] <= 20
    assert 4 <= done["reset"] <= 20


def test_what_is_healed_fails_no_more(proxy: FaultProxy) -> None:
    proxy.befall(Mishap(kind="reset"), times=5)
    proxy.weather({"reset": 1.0})
    proxy.heal()
    assert make(proxy) == 200


def test_what_there_is_not_is_said(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="there is no mishap"):
        proxy.befall(Mishap(kind="flood"))
    with pytest.raises(ValueError, match="there is no mishap"):
        proxy.weather({"flood": 0.1})
    with pytest.raises(ValueError, match="more than every"):
        proxy.weather({"reset": 0.6, "swallow": 0.6})
    with pytest.raises(ValueError, match="there is no point"):
        proxy.hold("lunch")
    with pytest.raises(ValueError, match="http://"):
        FaultProxy("https://example.com")


def test_the_host_of_the_server_stays_in_the_address(central: StandInCentral) -> None:
    """A site is chosen by its host name."""
    port = central.url.rpartition(":")[2]
    with FaultProxy(f"http://site-one.localhost:{port}") as proxy:
        assert proxy.url.startswith("http://site-one.localhost:")
        host = proxy.url.rpartition(":")[2]
        with closing(http.client.HTTPConnection("127.0.0.1", int(host), timeout=5)) as line:
            assert make(proxy, over=line) == 200


def test_who_speaks_something_else_is_hung_up_on(proxy: FaultProxy) -> None:
    port = int(proxy.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.sendall(b"nonsense\r\n\r\n")
        assert line.recv(10) == b""
    assert make(proxy) == 200
