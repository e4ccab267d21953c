"""When consecutive requests of one document become one.

Only requests that certainly had no effect are touched (never sent, or refused with an answer), and nothing is
taken past what it waits for. The earliest survives. Source: semantics, "Coalescing".
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from .model import FORMER, Link, Operation, Readiness, Request, Status
from .transitions import begun_anew, move

__all__ = ["cancel_out", "cancels_out", "certainly_had_no_effect", "merge", "mergeable"]

_STILL = frozenset({Status.PENDING, Status.WAITING, Status.RETRY, Status.NEEDS_ATTENTION})


def certainly_had_no_effect(request: Request) -> bool:
    known = request.sends == 0 or request.refused
    return request.status in _STILL and known and not request.may_have_arrived


def mergeable(first: Request, later: Request, blockers: Collection[Request]) -> bool:
    """`first` directly precedes `later` in its line; `blockers` is what `later` waits for apart from `first`."""
    return (
        first.operation in (Operation.CREATE, Operation.UPDATE)
        and later.operation is Operation.UPDATE
        and not first.apart
        and not later.apart
        and not first.body.get("amended_from")
        and not first.body.get("docstatus")
        # A create needs no version, so whether one may be left out says nothing about it.
        and (first.operation is Operation.CREATE or first.overwrite == later.overwrite)
        and certainly_had_no_effect(first)
        and certainly_had_no_effect(later)
        and all(blocker.seq < first.seq for blocker in blockers)
    )


def merge(first: Request, later: Request, *, new_key: str, now: datetime) -> tuple[Request, Request]:
    """Both as they are afterwards: `first` carries the change of both, `later` is Merged into it.

    What had been refused gets a new key and its retries back: to mend a document is to save it.
    """
    base = None
    if first.operation is Operation.UPDATE:
        base = {**(later.base or {}), **(first.base or {})}
    taken: dict[str, Any] = {
        "body": {**first.body, **later.body},
        "base": base,
        "links": _links(first, later),
        "unique": {field: later.body.get(field, value) for field, value in first.unique.items()},
        "changed_at": later.last_change,
        "rank": min(first.rank, later.rank),
        "priority": min(first.priority, later.priority),
        "wire": None,
    }
    if first.refused or first.status is Status.NEEDS_ATTENTION:
        first = begun_anew(first, new_key)
    survivor = move(first, Status.PENDING, readiness=Readiness.RECHECK, **taken)
    return survivor, move(
        later, Status.MERGED, merged_into=first.id, closed_at=now, readiness=Readiness.READY
    )


def _links(first: Request, later: Request) -> tuple[Link, ...]:
    """What the merged body links to, and what the central's document links to until it arrives."""
    again = {link.path for link in later.links}
    kept = (
        link
        for link in first.links
        if link.path.startswith(FORMER)
        or (link.path not in again and link.path.split(".", 1)[0] not in later.body)
    )
    return tuple(dict.fromkeys((*later.links, *kept)))


def cancels_out(create: Request, delete: Request) -> bool:
    """A create that certainly never arrived and the delete of the same document."""
    return (
        create.operation is Operation.CREATE
        and delete.operation is Operation.DELETE
        and certainly_had_no_effect(create)
        and certainly_had_no_effect(delete)
    )


def cancel_out(create: Request, delete: Request, *, now: datetime) -> tuple[Request, Request]:
    """Both Merged into each other: neither had an effect, and neither is sent."""

    def ended(request: Request, other: Request) -> Request:
        closed = request.altered(merged_into=other.id, closed_at=now, readiness=Readiness.READY)
        return move(closed, Status.MERGED, reason="created and deleted again before it was sent")

    return ended(create, delete), ended(delete, create)
