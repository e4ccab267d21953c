"""Time and randomness that a test moves itself: the same seed gives the same run."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

from erp_offline_sync.engine.identity import uuid7

__all__ = ["START", "FrozenClock", "SeededIds"]

START = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)


class FrozenClock:
    """The Clock port, and a wall clock. Time passes only by `sleep` and `advance`."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start.astimezone(timezone.utc)
        self._monotonic = 0.0

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(max(seconds, 0.0))

    def now(self) -> datetime:
        """Wall-clock time, aware UTC."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        if seconds < 0:
            raise ValueError("time does not pass backwards; jump() moves the wall clock")
        self._monotonic += seconds
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a person or a time server does; no time passes."""
        self._now += timedelta(seconds=seconds)


class SeededIds:
    """The Ids port: keys by the clock's time and the seed's randomness."""

    def __init__(self, seed: int, clock: FrozenClock) -> None:
        self._random = random.Random(seed)
        self._clock = clock

    def new_key(self) -> str:
        return uuid7(int(self._clock.now().timestamp() * 1000), self._random.getrandbits(74))

    def random(self) -> float:
        return self._random.random()
