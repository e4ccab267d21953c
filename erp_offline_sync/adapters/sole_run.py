"""The embedded outbox, which knows when the holder of a lease is dead.

A lease outlives a process that was killed, by minutes; on one machine nobody need wait for that. A run keeps a
lock on a file beside the outbox, and the kernel lets go of it when the process ends, however it ends. Whoever gets
the lock knows that a lease that still looks live has nobody behind it. (The outbox is in WAL mode, so all its
processes are on one machine.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from erp_offline_sync.engine.model import Lease

from .sqlite_store import BUSY_TIMEOUT, SqliteStore

try:
    import fcntl
except ImportError:  # Windows: a dead run's lease is waited for
    fcntl = None  # type: ignore[assignment]

__all__ = ["SoleRunStore"]


class SoleRunStore(SqliteStore):
    """The Store port; `acquire_lease` takes a dead process's lease over at once."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        now: Callable[[], datetime] | None = None,
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        super().__init__(path, now=now, busy_timeout=busy_timeout)
        self._lock_path = None if os.fspath(path) == ":memory:" else f"{os.fspath(path)}-run"
        self._lock: int | None = None

    def acquire_lease(self, holder: str, seconds: float) -> Lease | None:
        if self._lock is None and self._take_lock():
            dead = self.live_lease()
            if dead is not None:
                super().release_lease(dead)
        return super().acquire_lease(holder, seconds)

    def release_lease(self, lease: Lease) -> None:
        super().release_lease(lease)
        self._drop_lock()

    def close(self) -> None:
        self._drop_lock()
        super().close()

    def _take_lock(self) -> bool:
        if self._lock_path is None or fcntl is None:
            return False
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def _drop_lock(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None
