"""Runs that a command starts one after the other: paced, patient while nothing may be sent, and ended when asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from erp_offline_sync.adapters.standalone import StopFlag
from erp_offline_sync.bootstrap import Assembled
from erp_offline_sync.engine.breaker import CLOSED
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Request, Status
from erp_offline_sync.engine.sending.line import BREAKER
from erp_offline_sync.engine.status import pause, resume, sync_status
from erp_offline_sync.engine.sync import RunReport, SyncEngine
from erp_offline_sync.exit_codes import DONE, NEEDS_PERSON, OFFLINE, REFUSED
from erp_offline_sync.runs import exit_code, send_forever, something_to_do
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import ports_around
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import ModelCentral
from erp_offline_sync.testing.store_contract import make_request

INTERVAL = 5.0


class EndsAfter(FrozenClock):
    """A clock by which somebody asks for the end after so many seconds."""

    def __init__(self, seconds: float, control: StopFlag) -> None:
        super().__init__()
        self._seconds, self._control = seconds, control
        self.sleeps = 0

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        assert self.sleeps < 10_000, "it spins"
        super().sleep(seconds)
        if self.monotonic() >= self._seconds:
            self._control.stop("shutdown")


class Shop:
    """An outbox, and the times at which its runs began."""

    def __init__(self, seconds: float) -> None:
        self.control = StopFlag()
        self.clock = EndsAfter(seconds, self.control)
        self.store = MemoryStore(self.clock.now)
        self.central = ModelCentral(self.clock.now)
        self.ports = ports_around(self.store, self.central, self.clock, control=self.control, config=Config())
        self.began: list[float] = []
        self.only: list[object] = []
        shop = self

        class Engine(SyncEngine):
            def run(self, **options: object) -> RunReport:  # type: ignore[override]
                shop.began.append(shop.clock.monotonic())
                shop.only.append(options["doctypes"])
                return super().run(**options)  # type: ignore[arg-type]

        self.outbox = Assembled(engine=Engine(self.ports, holder="shop"), ports=self.ports)

    def queue(self, name: str) -> Request:
        with self.store.transaction():
            return self.store.add(make_request(name, resource_id=None))

    def status(self, name: str) -> Status:
        with self.store.transaction():
            request = self.store.get(name)
        assert request is not None
        return request.status

    def forever(self, outbox: object = None, **options: object) -> RunReport:
        return send_forever(outbox or (lambda: self.outbox), self.control, self.clock, **options)  # type: ignore[arg-type]


def test_what_is_due_is_sent_and_nothing_else_costs_a_run() -> None:
    shop = Shop(20)
    shop.queue("a")
    report = shop.forever()
    assert shop.status("a") is Status.SYNCED
    assert len(shop.began) == 1
    assert (report.reason, report.stats.success) == ("stopped: shutdown", 1)


def test_a_new_row_starts_a_run_within_a_second_but_runs_keep_their_interval() -> None:
    shop = Shop(30)
    shop.queue("a")

    def outbox() -> Assembled:
        if shop.clock.monotonic() in (8.0, 8.5):
            shop.queue(f"at {shop.clock.monotonic()}")
        return shop.outbox

    shop.forever(outbox)
    first, second, *_ = shop.began
    assert second - first >= INTERVAL
    assert all(later - one >= INTERVAL for one, later in zip(shop.began, shop.began[1:], strict=False))


def test_while_paused_it_waits_without_a_run_and_without_spinning() -> None:
    shop = Shop(60)
    shop.queue("a")
    with shop.store.transaction():
        pause(shop.store, by="ann", reason="stock taking")
    shop.forever()
    assert shop.began == []
    assert shop.clock.sleeps <= 121


def test_while_nothing_may_be_sent_it_asks_again_each_second() -> None:
    """Outside the window, or while the site is no branch: rows that wait do not make it spin."""
    shop = Shop(60)
    shop.queue("a")
    asked: list[float] = []

    def outbox() -> Assembled | None:
        asked.append(shop.clock.monotonic())
        return shop.outbox if shop.clock.monotonic() >= 30 else None

    shop.forever(outbox)
    assert shop.began[0] == 30
    assert len([at for at in asked if at < 30]) == 30


def test_maintenance_is_waited_for() -> None:
    """It ends by itself; a supervisor would give up a process that ends again and again."""
    shop = Shop(60)
    shop.queue("a")

    class Control(StopFlag):
        def stop_reason(self) -> str | None:
            if shop.control.stop_reason():
                return "shutdown"
            return "maintenance" if shop.clock.monotonic() < 10 else None

    send_forever(lambda: shop.outbox, Control(), shop.clock)
    assert shop.began[0] >= 10
    assert shop.status("a") is Status.SYNCED


def test_every_run_keeps_to_the_doctypes() -> None:
    shop = Shop(30)
    shop.queue("a")
    shop.forever(doctypes=["Customer"])
    assert len(shop.only) > 1, "what is not asked for stays due"
    assert set(map(str, shop.only)) == {"['Customer']"}
    assert shop.status("a") is not Status.SYNCED


def test_a_line_that_is_down_waits_for_its_probe() -> None:
    shop = Shop(1)
    shop.queue("a")
    with shop.store.transaction():
        now = shop.store.now()
        down = CLOSED.trip(now, "offline", random=0.5, wait=20)
        shop.store.set_meta(BREAKER, canonical_json(down.to_json()))
    assert not something_to_do(shop.ports)
    shop.clock.advance(21)
    assert something_to_do(shop.ports)
    with shop.store.transaction():
        pause(shop.store, by="ann", reason="")
    assert not something_to_do(shop.ports)
    with shop.store.transaction():
        resume(shop.store)
    assert something_to_do(shop.ports)


@pytest.mark.parametrize(
    ("reason", "line", "held", "code"),
    [
        ("done", None, False, DONE),
        ("done", None, True, NEEDS_PERSON),
        ("offline", "offline", False, OFFLINE),
        ("offline", "offline", True, OFFLINE),
        ("offline", "credentials", False, REFUSED),
        ("busy", None, True, REFUSED),
        ("paused by ann", None, True, REFUSED),
    ],
)
def test_the_exit_code_of_one_run(reason: str, line: str | None, held: bool, code: int) -> None:
    shop = Shop(1)
    shop.queue("waits")
    with shop.store.transaction():
        if line:
            down = CLOSED.trip(shop.store.now(), line, random=0.5)
            shop.store.set_meta(BREAKER, canonical_json(down.to_json()))
        told = sync_status(shop.store)
    told["totals"]["held"] = int(held)
    assert exit_code(shop.store, replace(RunReport(reason="x"), reason=reason), told) == code
