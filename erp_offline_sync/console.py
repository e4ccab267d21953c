"""Helpers for `bench --site S console`: status(), sync_now(), explain(name)."""

from typing import Any

from erp_offline_sync import bootstrap, tasks
from erp_offline_sync.engine import actions
from erp_offline_sync.engine.errors import NotFound
from erp_offline_sync.engine.status import sync_status


def status() -> dict[str, Any]:
    """The sync status; its keys are those of the events."""
    store = tasks.own_store()
    with store.transaction():
        return sync_status(store)


def sync_now() -> str:
    """Run once, in this process; why it ended. Commits."""
    assembled = bootstrap.site()
    try:
        report = assembled.engine.run(budget=600, force=True)
    finally:
        assembled.ports.central.close()
    return f"{report.reason}: {report.stats.success} sent, {report.stats.failure} failed, {report.stats.conflict} in conflict"


def explain(name: str) -> str:
    """One line: why a request has not been sent, and when it will be."""
    store = tasks.own_store()
    with store.transaction():
        request = store.get(name)
        if request is None:
            raise NotFound(f"There is no request {name}.")
        return actions.explain(store, request, store.now())


def as_rows(store, requests) -> list[dict[str, Any]]:
    """Requests as they are listed, without values; inside the caller's transaction."""
    now = store.now()
    return [
        {
            "name": request.id,
            "seq": request.seq,
            "status": request.status.value,
            "operation": request.operation.value,
            "resource_type": request.resource_type,
            "resource_id": request.resource_id,
            "path": request.path,
            "priority": request.priority,
            "retry_count": request.retry_count,
            "next_retry_at": request.next_retry_at.isoformat() if request.next_retry_at else None,
            "created_at": request.created_at.isoformat(),
            "why": actions.explain(store, request, now),
        }
        for request in requests
    ]


def as_detail(store, request) -> dict[str, Any]:
    """One request with what it carries and what happened to it."""
    (row,) = as_rows(store, [request])
    history = [
        f"{attempt.at.isoformat(timespec='seconds')} {attempt.event} {attempt.status or ''} {attempt.exc_type or ''} {attempt.note}".rstrip()
        for attempt in request.history
    ]
    return {
        **row,
        "idempotency_key": request.key,
        "body": dict(request.body),
        "base": dict(request.base) if request.base is not None else None,
        "waits_for": request.waits_for,
        "error_type": request.error_type,
        "error_message": request.error_message,
        "differences": request.differences,
        "merged_into": request.merged_into,
        "replaces": request.replaces,
        "closed_by": request.closed_by,
        "reason": request.reason,
        "history": history,
    }
