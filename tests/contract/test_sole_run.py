"""The embedded outbox's store, which sees whether the holder of a lease is still there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from erp_offline_sync.adapters.sole_run import SoleRunStore
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.store_contract import CASES, Case


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def store(path: Path, clock: FrozenClock) -> Iterator[SoleRunStore]:
    with SoleRunStore(path, now=clock.now) as store:
        yield store


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_it_keeps_the_contract(case: Case, store: SoleRunStore, clock: FrozenClock) -> None:
    case(store, clock)


def acquired(store: SoleRunStore, holder: str, seconds: float = 600) -> int | None:
    with store.transaction():
        lease = store.acquire_lease(holder, seconds)
    return lease.token if lease else None


def test_a_lease_whose_holder_is_gone_is_taken_over_at_once(
    path: Path, clock: FrozenClock, store: SoleRunStore
) -> None:
    with SoleRunStore(path, now=clock.now) as gone:
        first = acquired(gone, "killed")
        assert first is not None
        assert acquired(store, "too early") is None
    second = acquired(store, "next")
    assert second is not None
    assert second > first


def test_a_lease_that_ended_is_taken_over_from_a_holder_that_hangs(
    path: Path, clock: FrozenClock, store: SoleRunStore
) -> None:
    with SoleRunStore(path, now=clock.now) as hangs:
        assert acquired(hangs, "hangs", 60)
        clock.advance(61)
        assert acquired(store, "next", 60)
        assert acquired(hangs, "hangs", 60) is None


def test_a_lease_given_back_is_free_for_others(path: Path, clock: FrozenClock, store: SoleRunStore) -> None:
    with store.transaction():
        lease = store.acquire_lease("one", 600)
        assert lease is not None
        assert store.acquire_lease("one again", 600) is None
        store.release_lease(lease)
    with SoleRunStore(path, now=clock.now) as other:
        assert acquired(other, "two")


def test_an_outbox_in_memory_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SoleRunStore(":memory:") as store:
        assert acquired(store, "one")
        assert acquired(store, "two") is None
    assert list(tmp_path.iterdir()) == []
