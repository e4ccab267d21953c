"""The machine's own clock and randomness: the only place that reads them."""

from __future__ import annotations

import secrets
import threading
import time
from datetime import datetime, timezone

from erp_offline_sync.engine.identity import uuid7

__all__ = ["SystemClock", "SystemIds"]


class SystemClock:
    """The Clock port. `interrupt` may be called from a signal handler or another thread."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        self._interrupted.wait(max(seconds, 0.0))

    def interrupt(self) -> None:
        """End the sleep that is going on, and every later one at once: the process is to stop."""
        self._interrupted.set()

    def now(self) -> datetime:
        """Wall-clock time, aware UTC; what a store without a clock of its own is given."""
        return datetime.now(timezone.utc)


class SystemIds:
    """The Ids port, from the operating system's randomness."""

    def new_key(self) -> str:
        return uuid7(time.time_ns() // 1_000_000, secrets.randbits(74))

    def random(self) -> float:
        return secrets.SystemRandom().random()
