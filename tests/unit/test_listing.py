"""What a list shows of a request, and what only the request itself shows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from erp_offline_sync.engine.calls import queued_call
from erp_offline_sync.engine.listing import request_detail, request_rows
from erp_offline_sync.engine.model import Attempt, Request, Status
from erp_offline_sync.testing.memory_store import MemoryStore

NOW = datetime(2025, 3, 1, 8, 30, tzinfo=timezone.utc)


def stored(store: MemoryStore) -> Request:
    request = queued_call(
        "POST",
        "/api/resource/Sale",
        {"receipt_no": "R-1", "note": "canary", "customer": "Ann"},
        key="k-1",
        now=NOW,
        max_bytes=1000,
        unique=["receipt_no"],
        links={"customer": "Customer"},
    )
    return store.add(request)


def test_a_row_says_what_waits_and_why_and_holds_no_values() -> None:
    store = MemoryStore(lambda: NOW)
    with store.transaction():
        (row,) = request_rows(store, [stored(store)])
    assert (row["name"], row["status"], row["operation"]) == ("k-1", "Pending", "create")
    assert row["why"] == "Goes with the next run."
    assert (row["created_at"], row["next_retry_at"]) == ("2025-03-01T08:30:00+00:00", None)
    assert "canary" not in json.dumps(row)


def test_the_request_itself_shows_its_values_and_its_history() -> None:
    store = MemoryStore(lambda: NOW)
    with store.transaction():
        request = replace(
            stored(store),
            status=Status.RETRY,
            base={"note": "before"},
            differences={"note": ["canary", "other"]},
            next_retry_at=NOW + timedelta(seconds=5),
            history=(Attempt(at=NOW, event="refused", status=417, exc_type="ValidationError"),),
        )
        detail = request_detail(store, request)
    assert detail["body"] == {"receipt_no": "R-1", "note": "canary", "customer": "Ann"}
    assert (detail["base"], detail["differences"]) == ({"note": "before"}, {"note": ["canary", "other"]})
    assert detail["unique"] == {"receipt_no": "R-1"}
    assert detail["links"] == [{"path": "customer", "doctype": "Customer", "name": "Ann"}]
    assert detail["history"] == [
        {"at": NOW.isoformat(), "event": "refused", "status": 417, "exc_type": "ValidationError", "note": ""}
    ]
    assert json.loads(json.dumps(detail)) == detail


def test_what_a_request_lacks_is_null() -> None:
    store = MemoryStore(lambda: NOW)
    with store.transaction():
        detail = request_detail(store, stored(store))
    assert (detail["base"], detail["differences"], detail["sent_at"]) == (None, None, None)
