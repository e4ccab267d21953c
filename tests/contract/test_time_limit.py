"""What runs too long is interrupted, and nothing else is."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from erp_offline_sync.adapters.time_limit import TookTooLong, within

LONG = 30.0


def counts_for_ever(*_arguments: Any) -> None:
    while True:
        pass


def test_what_is_in_time_answers_and_leaves_nothing_behind() -> None:
    threads = threading.active_count()
    assert within(LONG, lambda one, two: one + two, 1, 2) == 3
    assert threading.active_count() <= threads + 1


def test_what_runs_too_long_is_interrupted() -> None:
    began = time.monotonic()
    with pytest.raises(TookTooLong):
        within(0.05, counts_for_ever)
    assert time.monotonic() - began < LONG


def test_it_cannot_swallow_the_interruption_with_every_other_error() -> None:
    def stubborn() -> None:
        try:
            counts_for_ever()
        except Exception:
            counts_for_ever()

    with pytest.raises(TookTooLong):
        within(0.05, stubborn)


def test_what_it_raises_is_handed_on() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        within(LONG, fails)


def test_a_coroutine_is_interrupted_too() -> None:
    async def waits() -> None:
        await asyncio.sleep(LONG)

    with pytest.raises(TookTooLong):
        within(0.05, waits)


def test_a_coroutine_that_never_waits_is_interrupted_too() -> None:
    async def busy() -> None:
        counts_for_ever()

    with pytest.raises(TookTooLong):
        within(0.05, busy)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_comes_after_is_never_hit() -> None:
    """The moment of the end and that of the limit, as close together as can be. What comes in the middle of a
    destructor, Python drops with a warning."""
    for number in range(150):
        limit = 0.001 + number * 1e-5
        until = time.monotonic() + limit

        def just_in_time(until: float = until) -> str:
            while time.monotonic() < until:
                pass
            return "done"

        try:
            assert within(limit, just_in_time) == "done"
        except TookTooLong:
            continue
        for _ in range(200):
            pass
