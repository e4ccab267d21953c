"""Requests as people and scripts read them: one row each without values, and one request in full.

The keys are those of the doctype Offline Request; times are ISO 8601 UTC. Both commands print them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .actions import explain_each
from .model import Request
from .ports import Store

__all__ = ["request_detail", "request_rows"]


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def request_rows(
    store: Store, requests: Iterable[Request], *, held_back: str | None = None
) -> list[dict[str, Any]]:
    """What each request is about and why it has not been sent, without values; inside the caller's transaction.
    `held_back`: see `actions.explain`."""
    found = list(requests)
    reasons = explain_each(store, found, store.now(), held_back=held_back)
    return [
        {
            "name": request.id,
            "seq": request.seq,
            "status": request.status.value,
            "operation": request.operation.value,
            "resource_type": request.resource_type,
            "resource_id": request.resource_id,
            "method": request.method,
            "path": request.path,
            "priority": request.priority,
            "retry_count": request.retry_count,
            "next_retry_at": _iso(request.next_retry_at),
            "created_at": _iso(request.created_at),
            "closed_at": _iso(request.closed_at),
            "why": why,
        }
        for request, why in zip(found, reasons, strict=True)
    ]


def request_detail(store: Store, request: Request, *, held_back: str | None = None) -> dict[str, Any]:
    """One request with its values and what happened to it; for those who may read its document."""
    (row,) = request_rows(store, [request], held_back=held_back)
    return {
        **row,
        "idempotency_key": request.key,
        "replaces": request.replaces,
        "body": dict(request.body),
        "base": dict(request.base) if request.base is not None else None,
        "resource_version": request.resource_version,
        "unique": dict(request.unique),
        "links": [{"path": link.path, "doctype": link.doctype, "name": link.name} for link in request.links],
        "order_group": request.order_group,
        "repeatable": request.repeatable,
        "overwrite": request.overwrite,
        "apart": request.apart,
        "waits_for": request.waits_for,
        "sends": request.sends,
        "sent_at": _iso(request.sent_at),
        "error_type": request.error_type,
        "error_message": request.error_message,
        "differences": dict(request.differences) if request.differences is not None else None,
        "merged_into": request.merged_into,
        "closed_by": request.closed_by,
        "reason": request.reason,
        "history": [
            {
                "at": _iso(attempt.at),
                "event": attempt.event,
                "status": attempt.status,
                "exc_type": attempt.exc_type,
                "note": attempt.note,
            }
            for attempt in request.history
        ],
    }
