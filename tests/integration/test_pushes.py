"""Pushes by the real transport and the embedded store, over a line that loses answers and connections."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from erp_offline_sync.adapters.companion_central import CompanionCentral
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.engine import actions
from erp_offline_sync.engine.calls import queued_call, under_local_names
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.model import Request, Status
from erp_offline_sync.engine.sending.push import LIMITS
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.engine.transitions import ENDS
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import ports_around
from erp_offline_sync.testing.fault_proxy import FaultProxy
from erp_offline_sync.testing.shop import SHOP
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, Fault, StandInCentral

CUSTOMERS = "/api/resource/Customer"
COUNT = 60


class PatientClock(FrozenClock):
    """Real time, but waiting takes none: a sleep only sets the clock forward."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def now(self) -> datetime:
        return datetime.now(timezone.utc) + timedelta(seconds=self._ahead)

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def central() -> Iterator[StandInCentral]:
    with StandInCentral(SHOP, companion=True) as central:
        yield central


class Till:
    """An outbox in a file, its engine and its transport."""

    def __init__(self, url: str, path: Path) -> None:
        self.clock = PatientClock()
        self.store = SqliteStore(path, now=self.clock.now)
        self.central = CompanionCentral(
            url, API_KEY, API_SECRET, connect_timeout=1, read_timeout=5, total_timeout=6
        )
        config = Config(central_request_timeout=10, sync_batch_size=20)
        self.ports = ports_around(self.store, self.central, self.clock, config=config)
        self.engine = SyncEngine(self.ports, holder="test")

    def close(self) -> None:
        self.central.close()
        self.store.close()

    def queue(self, count: int) -> None:
        for number in range(count):
            body = {"customer_name": f"C {number:03}"}
            request = queued_call(
                "POST", CUSTOMERS, body, key=f"key-{number:04}", now=self.clock.now(), max_bytes=100_000
            )
            with self.store.transaction():
                self.store.add(under_local_names(self.store, request))

    def drain(self, rounds: int = 40) -> None:
        for _ in range(rounds):
            self.engine.run(budget=600, linger=5)
            if set(self.statuses()) <= ENDS:
                return
            self.clock.advance(11)

    def requests(self) -> list[Request]:
        with self.store.transaction():
            return self.store.list_requests(limit=1000)

    def statuses(self) -> list[Status]:
        return [request.status for request in self.requests()]

    def unfinished(self) -> set[str]:
        """Names of the customers whose request has not come to its end."""
        return {request.body["customer_name"] for request in self.requests() if request.status not in ENDS}

    def try_again(self) -> None:
        """What waits for a person."""
        for request in self.requests():
            if request.status is Status.NEEDS_ATTENTION:
                actions.retry(self.ports, request.id, by="ann")


def names(central: StandInCentral) -> list[str]:
    return sorted(customer["customer_name"] for customer in central.documents("Customer"))


def expected(count: int) -> list[str]:
    return [f"C {number:03}" for number in range(count)]


def test_a_branch_without_a_bench_pushes_too(central: StandInCentral, tmp_path: Path) -> None:
    till = Till(central.url, tmp_path / "outbox.sqlite")
    till.queue(COUNT)
    till.drain(2)
    till.close()
    assert names(central) == expected(COUNT)
    pushes = [call for call in central.calls if call.path.endswith("receiver.push")]
    assert len(pushes) <= COUNT / 5
    assert [call for call in central.calls if call.method == "POST"] == pushes


@pytest.mark.parametrize("seed", [1, 7])
def test_over_a_line_that_loses_answers_and_connections_each_document_arrives_once(
    central: StandInCentral, tmp_path: Path, seed: int
) -> None:
    """Where six of ten exchanges fail, some requests are not answered until a person is asked. What is not there is
    never anything but theirs, or still on its way; on a good line they try it again, and all is there."""
    central.companion.limits = replace(LIMITS, max_requests=4)
    with FaultProxy(central.url, seed=seed) as line:
        till = Till(line.url, tmp_path / "outbox.sqlite")
        till.queue(COUNT)
        line.weather({"swallow": 0.25, "reset": 0.25, "cut": 0.1})
        till.drain()
        assert set(line.done) & {"swallow", "reset", "cut"}
        there = names(central)
        assert len(set(there)) == len(there)
        assert set(expected(COUNT)) - set(there) <= till.unfinished()
        line.heal()
        till.try_again()
        till.drain()
        assert till.statuses() == [Status.SYNCED] * COUNT
        till.close()
    assert names(central) == expected(COUNT)
    assert sorted(central.companion.kept) == [f"key-{number:04}" for number in range(COUNT)]


def test_a_push_that_is_too_large_for_something_on_the_way_goes_in_parts(
    central: StandInCentral, tmp_path: Path
) -> None:
    def is_push(method: str, path: str) -> bool:
        return path.endswith("receiver.push")

    central.fault(Fault(status=413), times=2, matches=is_push)
    till = Till(central.url, tmp_path / "outbox.sqlite")
    till.queue(COUNT)
    till.drain()
    assert till.statuses() == [Status.SYNCED] * COUNT
    till.close()
    assert names(central) == expected(COUNT)
