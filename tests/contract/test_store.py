"""The Store contract on the stores that need no bench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.engine.ports import Store
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.store_contract import CASES, Case


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, clock: FrozenClock, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(clock.now)
        return
    with SqliteStore(tmp_path / "outbox.sqlite", now=clock.now) as sqlite_store:
        yield sqlite_store


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_store_keeps_the_contract(case: Case, store: Store, clock: FrozenClock) -> None:
    case(store, clock)


def test_a_store_is_used_inside_a_transaction_only(store: Store) -> None:
    """Outside of one, a crash between two writes would leave half of them."""
    for call in (lambda: store.get("a"), lambda: store.set_meta("a", "1"), store.counters):
        with pytest.raises(RuntimeError, match="transaction"):
            call()


def test_a_lease_does_not_outlast_its_holder_by_the_jump_of_a_clock(store: Store, clock: FrozenClock) -> None:
    """The clock goes back by a year: the next run gets the lease after its length, not after a year."""
    with store.transaction():
        first = store.acquire_lease("killed", 60)
        assert first is not None
    clock.jump(-365 * 86400)
    with store.transaction():
        assert store.acquire_lease("next", 60) is None
    clock.advance(61)
    with store.transaction():
        second = store.acquire_lease("next", 60)
        assert second is not None
        assert second.token > first.token
