"""How a run in a Frappe worker hears that it should end.

RQ keeps a worker's SIGTERM from its jobs, but writes `shutdown_requested_date` into the worker's Redis hash; under
other supervisors the signal arrives. Maintenance mode is read from the file: `frappe.conf` is the copy of the
job's start.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import frappe

__all__ = ["RunControl", "stopping"]

_LOOK_EVERY = 0.5
_shutdown = threading.Event()
"""Set by `shutdown()` of this process: no run begins any more."""


def stopping() -> threading.Event:
    return _shutdown


class RunControl:
    """The Control port of a job. `listening` installs a SIGTERM handler where that is possible, and restores it."""

    def __init__(self) -> None:
        self._signalled = False
        self._looked_at = 0.0
        self._found: str | None = None

    def stop_reason(self) -> str | None:
        if self._signalled or _shutdown.is_set():
            return "shutdown"
        if time.monotonic() - self._looked_at >= _LOOK_EVERY:
            self._looked_at = time.monotonic()
            self._found = self._look()
        return self._found

    @contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    def _look(self) -> str | None:
        if frappe.get_site_config().get("maintenance_mode"):
            return "maintenance"
        return "shutdown" if _worker_is_going() else None


def _worker_is_going() -> bool:
    job: Any = getattr(frappe.local, "job", None)
    if not job:
        return False
    try:
        from rq import get_current_job

        current = get_current_job()
        name = getattr(current, "worker_name", None)
        if current is None or not name:
            return False
        return bool(current.connection.hget(f"rq:worker:{name}", "shutdown_requested_date"))
    except Exception:
        return False  # Redis holds no truth: without it the run simply goes on
