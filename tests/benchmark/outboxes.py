"""Outboxes to measure: filled as capture fills them, request by request, or by bulk where a million is wanted."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from erp_offline_sync.adapters.rows import document_to_row, request_to_row
from erp_offline_sync.adapters.sole_run import SoleRunStore
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.bootstrap import Assembled
from erp_offline_sync.engine.model import Document, Json, Operation, Readiness, Request, Status
from erp_offline_sync.engine.paths import document_path

from .documents import NOTE, note

__all__ = ["BATCH", "bulk", "create", "drained", "fill", "fill_with_notes", "update"]

BATCH = 200
"""How many are claimed and acknowledged at once where that is measured."""
_AT_ONCE = 500
_WHEN = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
ALL_READY, WAITING = "all ready", "99 % waiting"


def create(doctype: str, name: str, body: Json, *, key: str, now: datetime) -> Request:
    """A create as capture writes it."""
    return Request(
        id=key,
        key=key,
        seq=0,
        operation=Operation.CREATE,
        resource_type=doctype,
        resource_id=name,
        method="POST",
        path=document_path(doctype),
        body=body,
        created_at=now,
    )


def update(doctype: str, name: str, body: Json, base: Json, *, key: str, now: datetime) -> Request:
    """An update as capture writes it."""
    return Request(
        id=key,
        key=key,
        seq=0,
        operation=Operation.UPDATE,
        resource_type=doctype,
        resource_id=name,
        method="PUT",
        path=document_path(doctype, name),
        body=body,
        base=base,
        created_at=now,
    )


def fill(outbox: Assembled, requests: Iterable[Request]) -> None:
    """Put them in, many in one commit."""
    store = outbox.ports.store
    pending: list[Request] = []

    def put() -> None:
        with store.transaction():
            for request in pending:
                store.add(request)
        pending.clear()

    for request in requests:
        pending.append(request)
        if len(pending) == _AT_ONCE:
            put()
    put()


def fill_with_notes(outbox: Assembled, names: Iterable[str], drawn: random.Random) -> None:
    """A create of a small note for each name."""
    ids, now = outbox.ports.ids, outbox.ports.store.now()
    notes = ((name, note(number, drawn)) for number, name in enumerate(names))
    fill(outbox, (create(NOTE, name, body, key=ids.new_key(), now=now) for name, body in notes))


def drained(outbox: Assembled) -> None:
    """Run until nothing is due. Raises RuntimeError where it ends for another reason."""
    reason = "time"
    while reason == "time":
        reason = outbox.engine.run(budget=3600.0).reason
    if reason != "done":
        raise RuntimeError(f"the run ended with {reason!r}")


def bulk(path: Path, scenario: str, rows: int, *, doctype: str, body: Json, documents: bool = False) -> None:
    """An outbox of that size at `path`, written past the store, its indexes made at the end. `scenario`: all ready,
    or 99 % waiting behind one held request, with BATCH ready at least. With `documents` each has its Synced Document,
    so that it can be sent."""
    SqliteStore(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN"
        " ('offline_requests', 'synced_documents') AND sql NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    template = create(doctype, "template", body, key="template", now=_WHEN)
    _insert(connection, "offline_requests", _request_rows(template, scenario, rows))
    if documents:
        _insert(connection, "synced_documents", _document_rows(doctype, rows))
    for _, statement in indexes:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO request_counters SELECT status, COUNT(*) FROM offline_requests GROUP BY status"
    )
    connection.execute("COMMIT")
    connection.close()
    SoleRunStore(path).close()


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    columns = list(first)
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"
    )
    connection.execute(statement, first)
    connection.executemany(statement, rows)


def _request_rows(template: Request, scenario: str, rows: int) -> Iterator[dict[str, Any]]:
    """Made from one row: encoding each anew would take minutes."""
    ready = rows if scenario == ALL_READY else max(BATCH, rows // 100)
    row = request_to_row(template)
    ready_row = {
        **row,
        "readiness": int(Readiness.READY),
        "is_open": 1,
        "created_at": json.loads(row["times"])["created_at"],
        "closed_at": None,
    }
    held_row = {**ready_row, "status": Status.NEEDS_ATTENTION.value, "line": "held"}
    waiting_row = {
        **ready_row,
        "status": Status.WAITING.value,
        "line": "held",
        "waits_for": key_of(1),
        "waits_why": "an earlier change of the same document",
    }
    for number in range(1, rows + 1):
        if scenario != ALL_READY and number <= rows - ready:
            kind = held_row if number == 1 else waiting_row
        else:
            kind = {**ready_row, "line": key_of(number)}
        yield {
            **kind,
            "name": key_of(number),
            "idempotency_key": key_of(number),
            "seq": number,
            "resource_id": f"DOC-{number}",
        }


def _document_rows(doctype: str, rows: int) -> Iterator[dict[str, Any]]:
    template = document_to_row(Document(id="template", doctype=doctype, local_name="template"))
    for number in range(1, rows + 1):
        yield {**template, "name": key_of(number), "local_name": f"DOC-{number}"}


def key_of(number: int) -> str:
    """As long and as ordered as the keys of a real outbox."""
    return f"0194f000-0000-7000-8000-{number:012x}"
