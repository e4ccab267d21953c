"""The real transport and the embedded stores over a line that fails in every way that a line can fail.

Whatever befalls requests, answers and look-ups: each document is at the central once, in order, and no answer of the
line costs a request an attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from erp_offline_sync.adapters.companion_central import CompanionCentral
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.engine.calls import queued_call, under_local_names
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.model import Request, Status
from erp_offline_sync.engine.ports import Store
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.engine.transitions import ENDS
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import ports_around
from erp_offline_sync.testing.fault_proxy import FaultProxy, Mishap
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.shop import SHOP
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral, anything

SALES = "/api/resource/Sales Invoice"
CUSTOMERS = "/api/resource/Customer"
FAULTS = (
    "reset",
    "lost",
    "cut request",
    "swallow",
    "reset answer",
    "silent",
    "cut",
    "slow",
    "late",
)


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
    with StandInCentral(SHOP) as central:
        central.insert("Item", {"item_code": "TEA"})
        yield central


@pytest.fixture
def line(central: StandInCentral) -> Iterator[FaultProxy]:
    with FaultProxy(central.url, seed=20) as line:
        yield line


@pytest.fixture
def clock() -> PatientClock:
    return PatientClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, clock: PatientClock, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(clock.now)
        return
    with SqliteStore(tmp_path / "outbox.sqlite", now=clock.now) as store:
        yield store


class Branch:
    """A branch's outbox, its engine and its transport through the line."""

    def __init__(self, store: Store, line: FaultProxy, clock: PatientClock) -> None:
        self.store, self.line, self.clock = store, line, clock
        self.rest = CompanionCentral(
            line.url, API_KEY, API_SECRET, connect_timeout=0.5, read_timeout=0.3, total_timeout=0.5
        )
        config = Config(central_request_timeout=10, max_retries=20)
        ports = ports_around(store, self.rest, clock, config=config)
        self.engine = SyncEngine(ports, holder="test")
        self._count = 0

    def queue(self, method: str, path: str, body: dict[str, object], **options: object) -> str:
        self._count += 1
        key = f"key-{self._count:04}"
        request = queued_call(
            method, path, body, key=key, now=self.clock.now(), max_bytes=1_000_000, **options
        )  # type: ignore[arg-type]
        with self.store.transaction():
            return self.store.add(under_local_names(self.store, request)).id

    def sell(self, number: int) -> None:
        """A new customer, a sale to them, and its submit; each needs the one before."""
        customer = f"till/{number}"
        self.queue(
            "POST",
            CUSTOMERS,
            {"customer_name": f"C {number}"},
            local_name=customer,
            unique=("customer_name",),
        )
        items = [{"item_code": "TEA", "qty": 1, "rate": 2.5}]
        sale = self.queue(
            "POST",
            SALES,
            {"customer": customer, "remarks": f"R-{number}", "items": items},
            links={"customer": "Customer", "items.0.item_code": "Item"},
            unique=("remarks",),
        )
        self.queue("PUT", f"{SALES}/{sale}", {"docstatus": 1}, overwrite=True)

    def run(self) -> None:
        self.engine.run(budget=600, linger=5)
        # Nothing may be on its way for longer than a central may take, and here hours pass in no time.
        assert self.line.idle()

    def drain(self, rounds: int = 60) -> None:
        """Run until nothing is open any more, or nothing moves but by a person."""
        for _ in range(rounds):
            self.run()
            if not {request.status for request in self.requests()} - ENDS - {Status.NEEDS_ATTENTION}:
                return
            self.clock.advance(11)

    def requests(self) -> list[Request]:
        with self.store.transaction():
            return self.store.list_requests(limit=10_000)


@pytest.fixture
def branch(store: Store, line: FaultProxy, clock: PatientClock) -> Iterator[Branch]:
    branch = Branch(store, line, clock)
    yield branch
    branch.rest.close()


def arrived(central: StandInCentral) -> list[tuple[str, int]]:
    return [(sale["remarks"], sale["docstatus"]) for sale in central.documents("Sales Invoice")]


def assert_each_once(branch: Branch, central: StandInCentral, count: int) -> None:
    requests = branch.requests()
    assert {request.status for request in requests} == {Status.SYNCED}
    assert {request.retry_count for request in requests} == {0}
    assert sorted(arrived(central)) == sorted((f"R-{number}", 1) for number in range(count))
    assert len(central.documents("Customer")) == count
    customers = {customer["name"]: customer["customer_name"] for customer in central.documents("Customer")}
    for sale in central.documents("Sales Invoice"):
        assert customers[sale["customer"]] == sale["remarks"].replace("R-", "C ")


@pytest.mark.parametrize("kind", FAULTS)
def test_a_mishap_at_any_write_is_made_good(
    branch: Branch, line: FaultProxy, central: StandInCentral, kind: str
) -> None:
    """Each of the three kinds of request meets it once."""
    branch.sell(0)
    for matches in ("/Customer", "/Sales"):
        line.befall(
            Mishap(kind=kind, seconds=0.05),
            matches=lambda method, path, matches=matches: method == "POST" and matches in path,
        )
    line.befall(Mishap(kind=kind, seconds=0.05), matches=lambda method, path: method == "PUT")
    branch.drain()
    assert line.done == {kind: 3}
    assert_each_once(branch, central, 1)


@pytest.mark.parametrize("kind", sorted({*FAULTS} - {"lost", "silent", "late"}))
def test_mishaps_at_look_ups_are_made_good_too(
    branch: Branch, line: FaultProxy, central: StandInCentral, kind: str
) -> None:
    """An answer is lost, and then every second look-up of what became of it."""
    branch.sell(0)
    line.befall(Mishap(kind="swallow"), times=3)
    line.weather({kind: 0.5}, matches=lambda method, path: method == "GET")
    for _ in range(6):
        branch.run()
        branch.clock.advance(11)
    line.heal()
    branch.drain()
    assert line.done[kind] > 0
    assert sorted(arrived(central)) == [("R-0", 1)]
    assert {request.status for request in branch.requests()} == {Status.SYNCED}


def test_bad_weather_over_everything_loses_and_doubles_nothing(
    branch: Branch, line: FaultProxy, central: StandInCentral
) -> None:
    """A tenth of the answers swallowed, a tenth of the connections reset, some answers cut, look-ups too."""
    for number in range(12):
        branch.sell(number)
    line.weather({"swallow": 0.1, "reset": 0.1, "cut": 0.05, "reset answer": 0.05}, matches=anything)
    branch.drain()
    line.heal()
    branch.drain()
    assert line.done.total() > 10
    assert sorted(arrived(central)) == sorted((f"R-{number}", 1) for number in range(12))
    assert len(central.documents("Customer")) == 12
    assert {request.status for request in branch.requests()} == {Status.SYNCED}


def test_a_line_that_is_down_in_the_middle_costs_nothing(
    branch: Branch, line: FaultProxy, central: StandInCentral
) -> None:
    for number in range(4):
        branch.sell(number)
    hold = line.hold("answer begun", matches=lambda method, path: method == "PUT")

    def cut_the_line() -> None:
        hold.wait()
        line.down()
        hold.release()

    thread = threading.Thread(target=cut_the_line)
    thread.start()
    branch.run()
    thread.join(10)
    assert [docstatus for _, docstatus in arrived(central)].count(1) == 1
    line.up()
    branch.clock.advance(60)
    branch.drain()
    assert_each_once(branch, central, 4)


def test_a_slow_and_narrow_line_is_only_slow(
    branch: Branch, line: FaultProxy, central: StandInCentral
) -> None:
    line.latency, line.jitter, line.bandwidth = 0.02, 0.02, 100_000
    for number in range(3):
        branch.sell(number)
    branch.run()
    assert_each_once(branch, central, 3)
