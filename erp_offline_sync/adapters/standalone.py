"""What the engine needs where there is no bench: no documents of its own, no meta, hooks from this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from datetime import datetime
from typing import Any

from erp_offline_sync.engine.errors import InvalidRequest, LocalRefused
from erp_offline_sync.engine.merge import Merged
from erp_offline_sync.engine.model import Conflict, Gap, Instant, Json, Policy, Reply, Schema, Wire
from erp_offline_sync.engine.registry import HookRegistry, conflict_data, read_answer

from .time_limit import TookTooLong, within

__all__ = ["NoCentral", "NoDocuments", "PlainPolicies", "RegisteredHooks", "StopFlag"]


class NoCentral:
    """The Central port of steps that send nothing, so that they need no settings of a central."""

    _UNSENT = Reply(gap=Gap.NOT_SENT, detail="no central is configured")

    @property
    def deadline(self) -> float:
        return 1.0

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        return self._UNSENT

    def fetch(self, doctype: str, name: str) -> Reply:
        return self._UNSENT

    def find(self, doctype: str, filters: Json) -> Reply:
        return self._UNSENT

    def find_created_since(self, doctype: str, since: datetime) -> Reply:
        return self._UNSENT

    def probe(self) -> Reply:
        return self._UNSENT

    def capabilities(self) -> Reply:
        return self._UNSENT

    def push(self, data: bytes) -> Reply:
        return self._UNSENT

    def rehearse(self, data: bytes) -> Reply:
        return self._UNSENT

    def receipts(self, origin: str, keys: Sequence[str]) -> Reply:
        return self._UNSENT

    def instant(self, wall_clock: str) -> Instant | None:
        return None


class NoDocuments:
    """The LocalDocuments port of an outbox that holds requests only."""

    def current(self, doctype: str, name: str) -> Json | None:
        return None

    def write(self, doctype: str, name: str, values: Json) -> None:
        """Nothing to write to: the caller reads the central's document itself."""

    def restore(self, doctype: str, name: str, values: Json) -> None:
        """Nothing to restore."""

    def delete(self, doctype: str, name: str) -> None:
        """Nothing to delete."""

    def rename(self, doctype: str, old: str, new: str) -> None:
        raise LocalRefused("There is no document here that could be renamed.")

    def set_docstatus(self, doctype: str, name: str, docstatus: int) -> None:
        raise LocalRefused("There is no document here that could be moved.")


class PlainPolicies:
    """The Policies port without meta: callers write the central's own names."""

    def __init__(
        self, policies: Mapping[str, Policy] | None = None, schemas: Mapping[str, Schema] | None = None
    ) -> None:
        self._policies = dict(policies or {})
        self._schemas = dict(schemas or {})

    def policy(self, doctype: str) -> Policy:
        return self._policies.get(doctype) or Policy(same_names=True)

    def schema(self, doctype: str) -> Schema | None:
        return self._schemas.get(doctype)


HOOK_SECONDS = 10.0
"""How long a conflict hook may run: less than what the lease has in hand beyond one delivery."""


class RegisteredHooks:
    """The Resolver port over the hooks registered in this process; a coroutine is awaited.

    `around` is entered for each hook, and what a hook changes in its data no other hook sees.
    """

    def __init__(
        self,
        registry: HookRegistry,
        *,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
        seconds: float = HOOK_SECONDS,
    ) -> None:
        self._registry = registry
        self._around = around
        self._seconds = seconds

    def decide(self, conflict: Conflict, merged: Merged | None) -> Mapping[str, Any] | None:
        for hook in self._registry.hooks(conflict.resource_type):
            name = getattr(hook, "__qualname__", type(hook).__name__)
            data = deepcopy(conflict_data(conflict, merged))
            try:
                with self._around():
                    answer = within(self._seconds, hook, conflict.id, data)
                wanted = read_answer(answer)
            except InvalidRequest as nonsense:
                return {"error": str(nonsense), "by": name}
            except TookTooLong:
                return {"error": f"it ran longer than {self._seconds:g} seconds", "by": name}
            except Exception as error:
                return {"error": f"{type(error).__name__}", "by": name}
            if wanted is not None:
                return {"resolution": wanted.resolution.value, "values": wanted.values, "by": name}
        return None


class StopFlag:
    """The Control port of a process: set by a signal handler or another thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason = "shutdown"

    def stop(self, reason: str = "shutdown") -> None:
        self._reason = reason
        self._event.set()

    def stop_reason(self) -> str | None:
        return self._reason if self._event.is_set() else None
