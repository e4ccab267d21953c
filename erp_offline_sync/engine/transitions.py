"""The one table of what may follow what, and which column of the ledger each state counts in.

Source: semantics, "States and the ledger". Every change of a request's status goes through `move`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import NotAllowed
from .model import Readiness, Request, Status

__all__ = ["ALLOWED", "ENDS", "LEDGER_COLUMN", "OPEN", "Ledger", "begun_anew", "ledger", "move", "taken_back"]

ENDS = frozenset({Status.SYNCED, Status.MERGED, Status.DECIDED, Status.DISCARDED})
OPEN = frozenset(Status) - ENDS

_BY_PEOPLE = {Status.DISCARDED, Status.CONFLICT, Status.DECIDED}

ALLOWED: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(
        {
            Status.PENDING,
            Status.WAITING,
            Status.IN_FLIGHT,
            Status.IN_DOUBT,
            Status.MERGED,
            Status.NEEDS_ATTENTION,
            *_BY_PEOPLE,
        }
    ),
    Status.WAITING: frozenset(
        {Status.PENDING, Status.WAITING, Status.MERGED, Status.NEEDS_ATTENTION, *_BY_PEOPLE}
    ),
    Status.IN_FLIGHT: frozenset(
        {
            Status.IN_FLIGHT,
            Status.PENDING,
            Status.WAITING,
            Status.RETRY,
            Status.IN_DOUBT,
            Status.CONFLICT,
            Status.NEEDS_ATTENTION,
            Status.SYNCED,
        }
    ),
    Status.RETRY: frozenset(
        {
            Status.RETRY,
            Status.PENDING,
            Status.IN_FLIGHT,
            Status.WAITING,
            Status.MERGED,
            Status.NEEDS_ATTENTION,
            *_BY_PEOPLE,
        }
    ),
    Status.IN_DOUBT: frozenset(
        {
            Status.IN_DOUBT,
            Status.PENDING,
            Status.IN_FLIGHT,
            Status.RETRY,
            Status.CONFLICT,
            Status.NEEDS_ATTENTION,
            Status.SYNCED,
        }
    ),
    Status.CONFLICT: frozenset({Status.CONFLICT, Status.PENDING, Status.SYNCED, Status.MERGED, *_BY_PEOPLE}),
    Status.NEEDS_ATTENTION: frozenset(
        {
            Status.NEEDS_ATTENTION,
            Status.PENDING,
            Status.IN_DOUBT,
            Status.MERGED,
            Status.SYNCED,
            *_BY_PEOPLE,
        }
    ),
    Status.SYNCED: frozenset(),
    Status.MERGED: frozenset(),
    Status.DECIDED: frozenset(),
    Status.DISCARDED: frozenset(),
}

LEDGER_COLUMN: Mapping[Status, str] = {
    Status.SYNCED: "applied",
    Status.MERGED: "merged",
    Status.DECIDED: "decided",
    Status.DISCARDED: "discarded",
    Status.CONFLICT: "held",
    Status.NEEDS_ATTENTION: "held",
    Status.PENDING: "waiting",
    Status.WAITING: "waiting",
    Status.IN_FLIGHT: "waiting",
    Status.RETRY: "waiting",
    Status.IN_DOUBT: "waiting",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """captured = applied + merged + decided + discarded + held + waiting, at every committed moment (G4)."""

    applied: int = 0
    merged: int = 0
    decided: int = 0
    discarded: int = 0
    held: int = 0
    waiting: int = 0

    @property
    def captured(self) -> int:
        return self.applied + self.merged + self.decided + self.discarded + self.held + self.waiting


def ledger(counters: Mapping[Status, int]) -> Ledger:
    """Add up counters by state into the ledger's columns."""
    columns = dict.fromkeys(set(LEDGER_COLUMN.values()), 0)
    for status, count in counters.items():
        columns[LEDGER_COLUMN[status]] += count
    return Ledger(**columns)


def move(request: Request, status: Status, **changes: Any) -> Request:
    """The request in its new state. Raises NotAllowed where the table has no such step."""
    if status not in ALLOWED[request.status]:
        raise NotAllowed(f"{request.id} is {request.status.value} and cannot become {status.value}.")
    if status is not Status.WAITING:
        changes = {"waits_for": None, "waits_why": None, **changes}
    if status is not Status.IN_FLIGHT:
        changes = {"lease_token": None, **changes}
    return request.altered(status=status, **changes)


_TAKEN_BACK = frozenset({Status.PENDING, Status.WAITING, Status.DECIDED, Status.MERGED})


def taken_back(request: Request, **changes: Any) -> Request:
    """Held by its conflict once more, because the decision is undone: the one way out of an end, for what had no
    effect since. Raises NotAllowed."""
    if request.status not in _TAKEN_BACK:
        raise NotAllowed(f"{request.id} is {request.status.value}: it went on since the decision.")
    free: dict[str, Any] = {"waits_for": None, "waits_why": None, "merged_into": None, "reason": None}
    ended: dict[str, Any] = {"closed_at": None, "closed_by": None}
    held = {"status": Status.CONFLICT, "readiness": Readiness.READY}
    return request.altered(**{**free, **ended, **held, **changes})


_ANEW: Mapping[str, Any] = {
    "retry_count": 0,
    "contentions": 0,
    "restamps": 0,
    "unanswered": 0,
    "refused": False,
    "may_have_arrived": False,
    "sends": 0,
    "sent_at": None,
    "wire": None,
    "number": None,
    "next_retry_at": None,
    "error_type": None,
    "error_message": None,
}


def begun_anew(request: Request, key: str, **changes: Any) -> Request:
    """The request under a new key, with nothing counted and nothing fixed: its content changes after an answer."""
    return request.altered(**{**_ANEW, "key": key, "replaces": request.key, **changes})
