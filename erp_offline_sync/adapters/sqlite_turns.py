"""On Frappe's SQLite a run and the people who save take turns.

There a transaction that has read can no longer write once another one has committed: "database is locked", and
the save is lost. A run that records an answer many times a second would do that to every other save. So a web
request that may write holds a shared lock on a file of the site, and a run takes it for itself around each of
its transactions, which last milliseconds. Nobody waits long: after a while each goes on without the lock.

Other databases need none of this.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import frappe

__all__ = ["alone", "begin_request", "end_request"]

REQUEST_PATIENCE = 5.0
"""Seconds that a request waits for a run's transaction, should that process hang."""
RUN_PATIENCE = 1.0
"""Seconds that a run waits for the requests that are going on."""
REST = 10.0
"""Seconds for which a run asks no more, after it waited in vain: somebody's request takes long."""
_STEP = 0.002

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HELD = "offline_sync_turn"
_asks_again_at = 0.0


def begin_request() -> None:
    """Before each web request. Never raises."""
    if frappe.conf.get("db_type") != "sqlite" or frappe.request.method in _SAFE:
        return
    try:
        file = _open()
        _wait(file, fcntl.LOCK_SH, REQUEST_PATIENCE)
        setattr(frappe.local, _HELD, file)
        if not frappe.db.transaction_writes:
            # What was read on the way here is as old as the request: look at the database anew.
            frappe.db.rollback()
    except Exception as error:
        frappe.logger("offline_sync").warning("a request takes no turn: %s", type(error).__name__)


def end_request(response: Any = None, request: Any = None) -> None:
    """After each web request; closing the file gives the lock back."""
    file = _held()
    if file is not None:
        setattr(frappe.local, _HELD, None)
        file.close()


@contextmanager
def alone() -> Iterator[None]:
    """Around a run's transaction. Inside a web request it is part of that request's turn."""
    global _asks_again_at
    if _held() is not None or time.monotonic() < _asks_again_at:
        yield
        return
    with _open() as file:
        if not _wait(file, fcntl.LOCK_EX, RUN_PATIENCE):
            _asks_again_at = time.monotonic() + REST
        yield


def _held() -> IO[bytes] | None:
    file: IO[bytes] | None = getattr(frappe.local, _HELD, None)
    return file


def _open() -> IO[bytes]:
    folder = Path(frappe.get_site_path("locks"))
    folder.mkdir(exist_ok=True)
    return (folder / "offline_sync_turns").open("ab")


def _wait(file: IO[bytes], lock: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, lock | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_STEP)
        else:
            return True
