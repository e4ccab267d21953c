"""The Flights port: the lanes' threads, and the double without threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from erp_offline_sync.adapters.lane_threads import LaneThreads
from erp_offline_sync.adapters.standalone import NoCentral
from erp_offline_sync.adapters.system_clock import SystemClock
from erp_offline_sync.engine.model import Reply
from erp_offline_sync.engine.ports import Flights
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import MemoryFlights


class Closable(NoCentral):
    """A central that says when it was closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def opened() -> list[Closable]:
    return []


@pytest.fixture
def threads(opened: list[Closable]) -> Iterator[LaneThreads]:
    def open_central() -> Closable:
        opened.append(Closable())
        return opened[-1]

    flights = LaneThreads(open_central, SystemClock())
    yield flights
    flights.close()


@pytest.fixture(params=["threads", "memory"])
def flights(request: pytest.FixtureRequest, threads: LaneThreads) -> Flights:
    return threads if request.param == "threads" else MemoryFlights(NoCentral(), FrozenClock())


def reply(status: int) -> Any:
    return lambda central: Reply(status=status)


def test_each_answer_lands_once_under_its_ticket(flights: Flights) -> None:
    for number in range(5):
        flights.start(f"t{number}", reply(200 + number))
    landed = {(each := flights.land()).ticket: each.reply.status for _ in range(5)}
    assert landed == {f"t{number}": 200 + number for number in range(5)}
    with pytest.raises(LookupError):
        flights.land()


def test_an_answer_has_arrived_until_it_landed(flights: Flights) -> None:
    assert not flights.arrived()
    flights.start("t", reply(200))
    until = time.monotonic() + 10
    while not flights.arrived():
        assert time.monotonic() < until
    flights.land()
    assert not flights.arrived()


def test_what_was_abandoned_does_not_land(flights: Flights) -> None:
    flights.start("old", reply(200))
    flights.abandon()
    with pytest.raises(LookupError):
        flights.land()
    flights.start("new", reply(201))
    assert flights.land().ticket == "new"


def test_the_seconds_are_those_of_the_call() -> None:
    clock = FrozenClock()
    flights = MemoryFlights(NoCentral(), clock)

    def slow(central: Any) -> Reply:
        clock.advance(3)
        return Reply(status=200)

    flights.start("t", slow)
    clock.advance(60)
    assert flights.land().seconds == 3


def test_they_fly_at_the_same_time_each_over_a_central_of_its_own(
    threads: LaneThreads, opened: list[Closable]
) -> None:
    together = threading.Barrier(3, timeout=10)
    used: list[Any] = []

    def meet(central: Any) -> Reply:
        together.wait()
        used.append(central)
        return Reply(status=200)

    for number in range(3):
        threads.start(str(number), meet)
    assert {threads.land().ticket for _ in range(3)} == {"0", "1", "2"}
    assert len({id(central) for central in used}) == 3 == len(opened)


def test_a_lane_is_used_again(threads: LaneThreads, opened: list[Closable]) -> None:
    for number in range(4):
        threads.start(str(number), reply(200))
        threads.land()
    assert len(opened) == 1


def test_an_error_of_a_call_is_raised_where_it_lands(threads: LaneThreads) -> None:
    def broken(central: Any) -> Reply:
        raise ZeroDivisionError

    threads.start("t", broken)
    with pytest.raises(ZeroDivisionError):
        threads.land()
    threads.start("u", reply(200))
    assert threads.land().ticket == "u"


def test_closed_connections_are_closed_also_of_a_lane_that_is_still_under_way(
    threads: LaneThreads, opened: list[Closable]
) -> None:
    go_on = threading.Event()

    def waits(central: Any) -> Reply:
        go_on.wait(10)
        return Reply(status=200)

    threads.start("idle", reply(200))
    threads.land()
    threads.start("first", waits)
    threads.start("second", waits)
    threads.close()
    assert not any(central.closed.is_set() for central in opened)
    go_on.set()
    assert all(central.closed.wait(10) for central in opened)


def test_the_threads_do_not_keep_a_process_alive(threads: LaneThreads) -> None:
    threads.start("t", reply(200))
    threads.land()
    lanes = [thread for thread in threading.enumerate() if thread.name == "offline-sync-lane"]
    assert lanes
    assert all(thread.daemon for thread in lanes)
