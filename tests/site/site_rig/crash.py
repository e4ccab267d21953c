"""Kills a sync run between any two of its steps, with nothing in the shipped code that knows of it.

A step is a call of the store, the central or the documents port, or a commit: what has an effect outside the process. Each is
written to a log, numbered from 1, when it is done; the process kills itself with SIGKILL right after the step
asked for: by number ("7"), by name ("central.deliver"), or by name and occurrence ("commit#3"). "never" only logs.
"effect#3" is the third step that leaves a trace outside the process: a commit, or a call of the central.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PORTS = (
    ("store", "erp_offline_sync.adapters.frappe_store", "Store"),
    ("central", "erp_offline_sync.adapters.companion_central", "Central"),
    ("documents", "erp_offline_sync.adapters.frappe_meta", "LocalDocuments"),
)
# Nothing has happened after these that was not so before, and some of them are called all the time.
_READING_ONLY = {"now", "get", "document", "conflict", "counters", "transaction", "instant", "current"}


class Crash:
    def __init__(self, at: str, log: Path) -> None:
        self._at = at
        self._log = log
        self._steps = 0
        self._seen: Counter[str] = Counter()

    def step(self, name: str) -> None:
        self._steps += 1
        self._seen[name] += 1
        with self._log.open("a") as log:
            log.write(f"{name}\n")
        reached = {str(self._steps), name, f"{name}#{self._seen[name]}"}
        if name == "commit" or name.startswith("central."):
            self._seen["effect"] += 1
            reached.add(f"effect#{self._seen['effect']}")
        if self._at in reached:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: type, method: str, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, method)

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self.step(name)
            return result

        setattr(owner, method, watched)


def arm(at: str, log: Path) -> None:
    from frappe.database.database import Database
    from frappe.database.mariadb.database import MariaDBDatabase

    crash = Crash(at, log)
    ports = importlib.import_module("erp_offline_sync.engine.ports")
    for label, module_name, port_name in _PORTS:
        module = importlib.import_module(module_name)
        verbs = {
            verb
            for verb, member in vars(getattr(ports, port_name)).items()
            if inspect.isfunction(member) and not verb.startswith("_")
        } - _READING_ONLY
        for _, adapter in inspect.getmembers(module, inspect.isclass):
            if adapter.__module__ == module_name and verbs <= set(dir(adapter)):
                for verb in verbs:
                    crash.watch(adapter, verb, f"{label}.{verb}")
    for owner in {Database, MariaDBDatabase, *_sqlite()}:
        if "commit" in vars(owner):
            crash.watch(owner, "commit", "commit")


def _sqlite() -> list[type]:
    try:
        from frappe.database.sqlite.database import SQLiteDatabase
    except ImportError:
        return []
    return [SQLiteDatabase]
