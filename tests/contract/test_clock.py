"""The Clock and Ids ports, on the machine's clock and on the one that tests move."""

from __future__ import annotations

import threading
import time
from datetime import timedelta, timezone
from uuid import UUID

import pytest

from erp_offline_sync.adapters.system_clock import SystemClock, SystemIds
from erp_offline_sync.testing.clock import FrozenClock, SeededIds

Clocks = FrozenClock | SystemClock
Keys = SeededIds | SystemIds


@pytest.fixture(params=[FrozenClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clocks:
    return request.param()


@pytest.fixture(params=["seeded", "system"])
def ids(request: pytest.FixtureRequest) -> Keys:
    return SystemIds() if request.param == "system" else SeededIds(1, FrozenClock())


def test_time_passes_while_sleeping(clock: Clocks) -> None:
    before, wall_before = clock.monotonic(), clock.now()
    clock.sleep(0.02)
    assert clock.monotonic() - before >= 0.02
    assert clock.now() - wall_before >= timedelta(seconds=0.019)
    clock.sleep(-1)
    assert clock.monotonic() >= before


def test_wall_clock_time_is_aware_utc(clock: Clocks) -> None:
    assert clock.now().tzinfo is timezone.utc


def test_keys_are_version_7_and_never_the_same(ids: Keys) -> None:
    keys = [ids.new_key() for _ in range(1000)]
    assert len(set(keys)) == 1000
    assert {UUID(key).version for key in keys} == {7}


def test_random_numbers_lie_between_0_and_1(ids: Keys) -> None:
    numbers = [ids.random() for _ in range(1000)]
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) > 900


def test_an_interrupt_ends_the_sleep_that_goes_on_and_the_next_ones() -> None:
    clock = SystemClock()
    threading.Timer(0.02, clock.interrupt).start()
    begin = time.monotonic()
    clock.sleep(30)
    clock.sleep(30)
    assert time.monotonic() - begin < 10


def test_a_jump_moves_the_wall_clock_alone() -> None:
    clock = FrozenClock()
    before = clock.now()
    clock.jump(-3600)
    assert clock.now() - before == timedelta(hours=-1)
    assert clock.monotonic() == 0
    clock.advance(60)
    assert clock.now() - before == timedelta(minutes=-59)
    assert clock.monotonic() == 60


def test_time_does_not_pass_backwards() -> None:
    with pytest.raises(ValueError, match="jump"):
        FrozenClock().advance(-1)


def test_one_seed_gives_the_same_keys_and_time_orders_them() -> None:
    first, second, other = (FrozenClock() for _ in range(3))
    ids = SeededIds(5, first)
    assert ids.new_key() == SeededIds(5, second).new_key() != SeededIds(6, other).new_key()
    keys = []
    for _ in range(5):
        first.advance(0.001)
        keys.append(ids.new_key())
    assert keys == sorted(keys)
