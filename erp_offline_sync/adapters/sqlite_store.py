"""The Store port on one SQLite file, for a branch without a bench.

Every query walks an index from its first entry to its last, and the indexes are partial: a row lies only in
those that its state needs. So a call costs the same beside a thousand rows and beside a million, and rows
that wait are passed by none (tests/contract/test_sqlite_store.py asks the query planner). The conditions
below are written as the indexes have them, because SQLite takes a partial index for its own words only.

Committed is on disk: the file is in WAL mode with full synchronisation.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from erp_offline_sync.engine.errors import InvalidRequest, NotAllowed, NotFound, OfflineSyncError
from erp_offline_sync.engine.model import (
    Conflict,
    Document,
    Lease,
    Operation,
    Readiness,
    Request,
    Status,
)
from erp_offline_sync.engine.transitions import ENDS, move

from . import leases
from .rows import (
    CONFLICT_COLUMNS,
    DOCUMENT_COLUMNS,
    LIVE,
    REQUEST_COLUMNS,
    Row,
    conflict_to_row,
    document_to_row,
    due_at,
    iso,
    parse_iso,
    request_to_row,
    row_to_conflict,
    row_to_document,
    row_to_request,
)
from .system_clock import SystemClock

__all__ = ["MIGRATIONS", "SqliteStore"]

BUSY_TIMEOUT = 30.0
"""Seconds that a transaction waits for another process's; theirs are short."""

Item = TypeVar("Item")

_LEASE = "lease"
_ABOVE_ALL = 2**63 - 1
_BELOW_ALL = -(2**63)
_CHUNK = 400
"""Values bound at once; old builds of SQLite take 999."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE offline_requests (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            name TEXT NOT NULL UNIQUE,
            idempotency_key TEXT NOT NULL UNIQUE,
            operation TEXT NOT NULL,
            resource_type TEXT,
            resource_id TEXT,
            method TEXT NOT NULL,
            path TEXT NOT NULL,
            body TEXT NOT NULL,
            base TEXT,
            links TEXT NOT NULL,
            unique_values TEXT NOT NULL,
            resource_version TEXT,
            repeatable INTEGER NOT NULL,
            overwrite INTEGER NOT NULL,
            apart INTEGER NOT NULL,
            priority INTEGER NOT NULL,
            queue_rank INTEGER NOT NULL,
            order_group TEXT,
            status TEXT NOT NULL,
            readiness INTEGER NOT NULL,
            is_open INTEGER NOT NULL,
            line TEXT,
            waits_for TEXT,
            waits_why TEXT,
            retry_count INTEGER NOT NULL,
            restamps INTEGER NOT NULL,
            contentions INTEGER NOT NULL,
            unanswered INTEGER NOT NULL,
            due_at REAL NOT NULL,
            lease_token INTEGER NOT NULL,
            sends INTEGER NOT NULL,
            wire TEXT,
            error_type TEXT,
            error_message TEXT,
            refused INTEGER NOT NULL,
            may_have_arrived INTEGER NOT NULL,
            differences TEXT,
            merged_into TEXT,
            replaces TEXT,
            carries TEXT,
            created_at TEXT NOT NULL,
            closed_at TEXT,
            closed_by TEXT,
            reason TEXT,
            history TEXT NOT NULL,
            times TEXT NOT NULL
        )
        """,
        "CREATE INDEX eos_req_new ON offline_requests (seq) WHERE status = 'Pending' AND readiness = 0",
        "CREATE INDEX eos_req_recheck ON offline_requests (seq) WHERE status = 'Pending' AND readiness = 1",
        """
        CREATE INDEX eos_req_ready ON offline_requests (queue_rank, seq)
        WHERE status = 'Pending' AND readiness = 2
        """,
        """
        CREATE INDEX eos_req_ready_type ON offline_requests (resource_type, queue_rank, seq)
        WHERE status = 'Pending' AND readiness = 2
        """,
        """
        CREATE INDEX eos_req_retry ON offline_requests (queue_rank, due_at, seq)
        WHERE status = 'Retry Scheduled'
        """,
        """
        CREATE INDEX eos_req_retry_type ON offline_requests (resource_type, queue_rank, due_at, seq)
        WHERE status = 'Retry Scheduled'
        """,
        "CREATE INDEX eos_req_due ON offline_requests (due_at, seq) WHERE status = 'Retry Scheduled'",
        "CREATE INDEX eos_req_doubt ON offline_requests (due_at, seq) WHERE status = 'In Doubt'",
        "CREATE INDEX eos_req_flight ON offline_requests (seq, lease_token) WHERE status = 'In Flight'",
        "CREATE INDEX eos_req_line ON offline_requests (line, seq) WHERE is_open = 1",
        "CREATE INDEX eos_req_group ON offline_requests (order_group, seq) WHERE is_open = 1",
        "CREATE INDEX eos_req_name ON offline_requests (resource_type, resource_id, seq) WHERE is_open = 1",
        "CREATE INDEX eos_req_waits ON offline_requests (waits_for, seq) WHERE status = 'Waiting'",
        "CREATE INDEX eos_req_closed ON offline_requests (closed_at, seq) WHERE is_open = 0",
        "CREATE INDEX eos_req_oldest ON offline_requests (created_at) WHERE is_open = 1",
        "CREATE INDEX eos_req_status ON offline_requests (status, seq)",
        "CREATE INDEX eos_req_type ON offline_requests (resource_type, seq)",
        """
        CREATE TABLE offline_request_links (
            request TEXT NOT NULL,
            line TEXT NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (request, line)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX eos_edge_line ON offline_request_links (line, seq)",
        "CREATE TABLE request_counters (status TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE synced_documents (
            name TEXT PRIMARY KEY,
            reference_doctype TEXT NOT NULL,
            local_name TEXT NOT NULL,
            central_name TEXT,
            version TEXT,
            base TEXT,
            child_rows TEXT NOT NULL,
            deleted INTEGER NOT NULL,
            live TEXT NOT NULL,
            times TEXT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX eos_doc_local ON synced_documents (reference_doctype, local_name, live)",
        "CREATE INDEX eos_doc_central ON synced_documents (reference_doctype, central_name)",
        """
        CREATE TABLE sync_conflicts (
            name TEXT PRIMARY KEY,
            resource_type TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            line TEXT NOT NULL,
            local_request_id TEXT NOT NULL,
            conflict_type TEXT NOT NULL,
            local_data TEXT,
            base_data TEXT,
            server_data TEXT,
            server_version TEXT,
            resolution_status TEXT NOT NULL,
            resolution TEXT,
            resolved_by TEXT,
            resolved_at TEXT,
            reason TEXT,
            choices TEXT,
            result TEXT,
            undo TEXT,
            created_at TEXT NOT NULL,
            times TEXT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX eos_con_pending ON sync_conflicts (line) WHERE resolution_status = 'pending'",
        """
        CREATE INDEX eos_con_queue ON sync_conflicts (created_at, name) WHERE resolution_status = 'pending'
        """,
        "CREATE INDEX eos_con_created ON sync_conflicts (created_at, name)",
        "CREATE INDEX eos_con_decided ON sync_conflicts (line, resolved_at)",
        "CREATE TABLE sync_metadata (key TEXT PRIMARY KEY, value TEXT, updated_at TEXT NOT NULL) WITHOUT ROWID",
    ),
    ("CREATE INDEX eos_req_line_operation ON offline_requests (line, operation, seq) WHERE is_open = 1",),
    (
        "ALTER TABLE offline_requests ADD COLUMN number INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX eos_req_number ON offline_requests (number) WHERE is_open = 1 AND number > 0",
    ),
)
"""One step a version of the schema (`PRAGMA user_version`). A released step is never changed."""


def _select(what: str, source: str, rest: str) -> str:
    # Statements are put together from the words of this module alone; every value is bound.
    return f"SELECT {what} FROM {source} {rest}"  # noqa: S608


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({_marks(columns)})"  # noqa: S608


def _upsert(table: str, columns: Sequence[str]) -> str:
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column != "name")
    return f"{_insert(table, columns)} ON CONFLICT (name) DO UPDATE SET {changes}"


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" for _ in values)


_REQUEST_COLUMNS = (*REQUEST_COLUMNS, "is_open", "created_at", "closed_at")
_CONFLICT_COLUMNS = (*CONFLICT_COLUMNS, "created_at", "resolved_at")
_REQUEST = ", ".join(_REQUEST_COLUMNS)
_DOCUMENT = ", ".join(DOCUMENT_COLUMNS)
_CONFLICT = ", ".join(CONFLICT_COLUMNS)

_ADD = _insert("offline_requests", _REQUEST_COLUMNS)
_PUT_DOCUMENT = _upsert("synced_documents", DOCUMENT_COLUMNS)
_PUT_CONFLICT = _upsert("sync_conflicts", _CONFLICT_COLUMNS)
_COUNT_NEW = _select(
    "COUNT(*)", "offline_requests INDEXED BY eos_req_new", "WHERE status = 'Pending' AND readiness = 0"
)
_UNPLACED = tuple(
    _select("seq", f"offline_requests INDEXED BY {index}", f"WHERE {condition} ORDER BY seq LIMIT ?")
    for index, condition in (
        ("eos_req_new", "status = 'Pending' AND readiness = 0"),
        ("eos_req_recheck", "status = 'Pending' AND readiness = 1"),
    )
)


class _Held:
    """A request as its row stands in this transaction: only this store writes in it."""

    __slots__ = ("_request", "row")

    def __init__(self, row: Row, request: Request | None = None) -> None:
        self.row = row
        self._request = request

    @classmethod
    def of(cls, request: Request) -> _Held:
        return cls(_request_row(request), request)

    @property
    def request(self) -> Request:
        if self._request is None:
            self._request = row_to_request(self.row)
        return self._request

    def changed(self, before: _Held) -> list[str]:
        """The columns that differ: each one left out spares the indexes that it is part of."""
        row = before.row
        return [column for column, value in self.row.items() if value != row[column]]


class SqliteStore:
    """See the port for what each method promises.

    One store a thread and a process; any number of them may work on one file. `path` is made, readable by
    its owner only, where it does not exist. `now` is the database's time, aware UTC.
    Raises OfflineSyncError where the file was written by a later version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        now: Callable[[], datetime] | None = None,
        busy_timeout: float = BUSY_TIMEOUT,
    ) -> None:
        self._now = now or SystemClock().now
        self._depth = 0
        if os.fspath(path) != ":memory:":
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._held: dict[str, _Held] = {}
        self._moved: Counter[str] = Counter()
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._connection.row_factory = sqlite3.Row
            self._set_wal(busy_timeout)
            self._connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection; the store cannot be used again."""
        self._connection.close()

    def __enter__(self) -> SqliteStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            yield
            self._book()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0
            self._held.clear()
            self._moved.clear()

    def now(self) -> datetime:
        return self._now()

    # requests
    def add(self, request: Request) -> Request:
        row = _request_row(request)
        row["seq"] = None
        try:
            cursor = self._run(_ADD, [row[c] for c in _REQUEST_COLUMNS])
        except sqlite3.IntegrityError as error:
            raise InvalidRequest(
                f"There is a request {request.id}, or one with its idempotency key, already."
            ) from error
        row["seq"] = cursor.lastrowid
        self._count(None, row)
        return row_to_request(row)

    def get(self, request_id: str) -> Request | None:
        held = self._hold_one(request_id)
        return held.request if held else None

    def get_all(self, request_ids: Sequence[str]) -> list[Request]:
        return [held.request for held in self._hold(request_ids).values()]

    def take_up(self, requests: Sequence[Request]) -> None:
        self._hold([request.id for request in requests])

    def replace(self, request: Request, *, token: int | None = None) -> bool:
        held = self._hold_one(request.id)
        if token is not None and (held is None or held.row["lease_token"] != token):
            return False
        if held is None:
            raise NotFound(f"There is no request {request.id}.")
        rank = request.rank if token is None else min(request.rank, held.row["queue_rank"])
        new = _Held.of(request.altered(seq=held.row["seq"], rank=rank))
        changed = new.changed(held)
        if changed:
            try:
                self._update(changed, new.row, [held.row["seq"]])
            except sqlite3.IntegrityError as error:
                raise InvalidRequest(f"Another request has the idempotency key {request.key}.") from error
            self._count(held.row, new.row)
            self._held[request.id] = new
        if not new.row["is_open"]:
            self._run("DELETE FROM offline_request_links WHERE request = ?", [request.id])
        return True

    def unplaced(self, limit: int) -> list[Request]:
        found = [row["seq"] for statement in _UNPLACED for row in self._run(statement, [limit])]
        return self._load(sorted(found)[:limit])

    def count_unplaced(self, most: int) -> int:
        return min(most, sum(len(self._run(statement, [most]).fetchall()) for statement in _UNPLACED))

    def due(
        self, now: datetime, *, limit: int, horizon: timedelta, doctypes: Collection[str] | None = None
    ) -> list[Request]:
        found: list[tuple[int, int]] = []
        for doctype in [None] if doctypes is None else sorted(set(doctypes)):
            found += self._ready(doctype, limit)
            found += self._retries(doctype, due_at(now), due_at(now + horizon), limit)
        return self._load([seq for _, seq in sorted(found)[:limit]])

    def claim(self, requests: Sequence[Request], token: int) -> list[Request]:
        held = self._hold([request.id for request in requests])
        claimed: dict[str, Request] = {}
        alike: dict[tuple[tuple[str, Any], ...], list[int]] = {}
        for name, was in held.items():
            if was.request.status in (Status.PENDING, Status.RETRY):
                new = _Held.of(move(was.request, Status.IN_FLIGHT, lease_token=token, sent_at=None))
                changes = tuple((column, new.row[column]) for column in new.changed(was))
                alike.setdefault(changes, []).append(new.row["seq"])
                self._count(was.row, new.row)
                self._held[name] = new
                claimed[name] = new.request
            elif was.request.status is Status.IN_FLIGHT and was.row["lease_token"] == token:
                claimed[name] = was.request
        for changes, seqs in alike.items():
            for chunk in _chunks(seqs):
                self._update([column for column, _ in changes], dict(changes), chunk)
        return [claimed[request.id] for request in requests if request.id in claimed]

    def in_flight(self, *, not_token: int, limit: int) -> list[Request]:
        return self._requests(
            "offline_requests INDEXED BY eos_req_flight",
            "WHERE status = 'In Flight' AND lease_token <> ? ORDER BY seq LIMIT ?",
            [not_token, limit],
        )

    def doubts(self, now: datetime, *, limit: int, horizon: timedelta) -> list[Request]:
        found: list[int] = []
        for condition, moment in (("due_at <= ?", now), ("due_at > ?", now + horizon)):
            statement = _select(
                "seq",
                "offline_requests INDEXED BY eos_req_doubt",
                f"WHERE status = 'In Doubt' AND {condition} ORDER BY due_at, seq LIMIT ?",
            )
            found += [row["seq"] for row in self._run(statement, [due_at(moment), limit])]
        return self._load(sorted(found)[:limit])

    def next_due_at(self) -> datetime | None:
        found = []
        for index, status in (("eos_req_due", Status.RETRY), ("eos_req_doubt", Status.IN_DOUBT)):
            found += self._requests(
                f"offline_requests INDEXED BY {index}",
                f"WHERE status = '{status.value}' AND due_at > 0 ORDER BY due_at LIMIT 1",
                [],
            )
        return min((request.next_retry_at for request in found if request.next_retry_at), default=None)

    def open_in_line(
        self,
        line: str,
        *,
        before: int | None = None,
        operations: Collection[Operation] | None = None,
        limit: int = 1000,
    ) -> list[Request]:
        below = _ABOVE_ALL if before is None else before
        if operations is None:
            return self._requests(
                "offline_requests INDEXED BY eos_req_line",
                "WHERE is_open = 1 AND line = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
                [line, below, limit],
            )
        found: list[Request] = []
        for operation in set(operations):
            found += self._requests(
                "offline_requests INDEXED BY eos_req_line_operation",
                "WHERE is_open = 1 AND line = ? AND operation = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
                [line, operation.value, below, limit],
            )
        return sorted(found, key=lambda request: request.seq, reverse=True)[:limit]

    def open_in_group(self, order_group: str, *, before: int) -> Request | None:
        found = self._requests(
            "offline_requests INDEXED BY eos_req_group",
            "WHERE is_open = 1 AND order_group = ? AND seq < ? ORDER BY seq DESC LIMIT 1",
            [order_group, before],
        )
        return found[0] if found else None

    def open_on_name(
        self, doctype: str, name: str, operations: Collection[Operation], *, before: int
    ) -> list[Request]:
        wanted = [operation.value for operation in operations]
        if not wanted:
            return []
        return self._requests(
            "offline_requests INDEXED BY eos_req_name",
            "WHERE is_open = 1 AND resource_type = ? AND resource_id = ? AND seq < ?"
            f" AND operation IN ({_marks(wanted)}) ORDER BY seq",
            [doctype, name, before, *wanted],
        )

    def release(self, request_id: str) -> int:
        released = self._run(
            "UPDATE offline_requests SET status = ?, readiness = ?, waits_for = NULL, waits_why = NULL"
            " WHERE status = 'Waiting' AND waits_for = ?",
            [Status.PENDING.value, int(Readiness.RECHECK), request_id],
        ).rowcount
        if released:
            self._held.clear()
            self._moved[Status.WAITING.value] -= released
            self._moved[Status.PENDING.value] += released
        return released

    def waiters(self, request_id: str, *, limit: int = 100) -> list[Request]:
        return self._requests(
            "offline_requests INDEXED BY eos_req_waits",
            "WHERE status = 'Waiting' AND waits_for = ? ORDER BY seq LIMIT ?",
            [request_id, limit],
        )

    def list_requests(
        self,
        *,
        statuses: Collection[Status] | None = None,
        doctype: str | None = None,
        limit: int = 100,
        after: int = 0,
    ) -> list[Request]:
        found: list[int] = []
        for status in [None] if statuses is None else sorted(set(statuses)):
            conditions, values, index = ["seq > ?"], list[Any]([after]), ""
            if doctype is not None:
                conditions, index = [*conditions, "resource_type = ?"], "INDEXED BY eos_req_type"
                values.append(doctype)
            if status is not None:
                conditions, index = [*conditions, "status = ?"], "INDEXED BY eos_req_status"
                values.append(status.value)
            where = f"WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT ?"
            statement = _select("seq", f"offline_requests {index}", where)
            found += [row["seq"] for row in self._run(statement, [*values, limit])]
        return self._load(sorted(found)[:limit])

    def purge(self, *, closed_before: datetime, limit: int) -> int:
        statement = _select(
            "name",
            "offline_requests INDEXED BY eos_req_closed",
            "WHERE is_open = 0 AND closed_at < ? ORDER BY closed_at LIMIT ?",
        )
        names = [row["name"] for row in self._run(statement, [iso(closed_before), limit])]
        for name in names:
            self._run("DELETE FROM offline_request_links WHERE request = ?", [name])
            self._run("DELETE FROM offline_requests WHERE name = ?", [name])
        self._held.clear()
        return len(names)

    # edges
    def set_links(self, request_id: str, seq: int, lines: Iterable[str]) -> None:
        self._run("DELETE FROM offline_request_links WHERE request = ?", [request_id])
        for line in sorted(set(lines)):
            self._run(_insert("offline_request_links", ("request", "line", "seq")), [request_id, line, seq])

    def linkers(self, line: str, *, before: int | None = None, limit: int = 100) -> list[Request]:
        return self._requests(
            "offline_request_links AS edge INDEXED BY eos_edge_line"
            " CROSS JOIN offline_requests AS linking ON linking.name = edge.request",
            "WHERE edge.line = ? AND edge.seq < ? AND linking.is_open = 1"
            " AND (linking.line IS NULL OR linking.line <> ?) ORDER BY edge.seq LIMIT ?",
            [line, _ABOVE_ALL if before is None else before, line, limit],
            columns=", ".join(f"linking.{column}" for column in _REQUEST_COLUMNS),
        )

    # documents
    def document(self, line: str) -> Document | None:
        return self._document("WHERE name = ?", [line])

    def document_named(self, doctype: str, local_name: str) -> Document | None:
        return self._document(
            "WHERE reference_doctype = ? AND local_name = ? AND live = ?", [doctype, local_name, LIVE]
        )

    def documents_at_central(self, doctype: str, central_names: Collection[str]) -> list[Document]:
        found: list[Document] = []
        for names in _chunks(sorted(set(central_names))):
            statement = _select(
                _DOCUMENT,
                "synced_documents",
                f"WHERE reference_doctype = ? AND central_name IN ({_marks(names)})",
            )
            found += [row_to_document(_columns(row)) for row in self._run(statement, [doctype, *names])]
        return sorted(found, key=lambda document: (document.central_name or "", document.id))

    def put_document(self, document: Document) -> None:
        row = document_to_row(document)
        try:
            self._run(_PUT_DOCUMENT, [row[c] for c in DOCUMENT_COLUMNS])
        except sqlite3.IntegrityError as error:
            raise NotAllowed(
                f"{document.doctype} {document.local_name} is another document already."
            ) from error

    # conflicts
    def put_conflict(self, conflict: Conflict) -> None:
        row = conflict_to_row(conflict)
        row.update(created_at=iso(conflict.created_at), resolved_at=iso(conflict.resolved_at))
        try:
            self._run(_PUT_CONFLICT, [row[c] for c in _CONFLICT_COLUMNS])
        except sqlite3.IntegrityError as error:
            raise NotAllowed(
                f"{conflict.resource_type} {conflict.resource_id} has a pending conflict already."
            ) from error

    def conflict(self, conflict_id: str, *, lock: bool = False) -> Conflict | None:
        return self._conflict("WHERE name = ?", [conflict_id])

    def pending_conflict(self, line: str) -> Conflict | None:
        return self._conflict("WHERE resolution_status = 'pending' AND line = ?", [line])

    def conflicts(self, *, pending: bool = True, limit: int = 100, offset: int = 0) -> list[Conflict]:
        source, condition = (
            ("sync_conflicts INDEXED BY eos_con_queue", "WHERE resolution_status = 'pending'")
            if pending
            else ("sync_conflicts INDEXED BY eos_con_created", "")
        )
        statement = _select(_CONFLICT, source, f"{condition} ORDER BY created_at, name LIMIT ? OFFSET ?")
        return [row_to_conflict(_columns(row)) for row in self._run(statement, [limit, offset])]

    def count_conflicts(self) -> int:
        statement = _select(
            "COUNT(*)", "sync_conflicts INDEXED BY eos_con_queue", "WHERE resolution_status = 'pending'"
        )
        return int(self._run(statement, []).fetchone()[0])

    def automatic_decisions(self, line: str, since: datetime) -> int:
        statement = _select("resolved_by", "sync_conflicts", "WHERE line = ? AND resolved_at >= ?")
        found = self._run(statement, [line, iso(since)])
        return sum((row["resolved_by"] or "").startswith(("rule:", "hook:")) for row in found)

    # lease, counters, metadata
    def acquire_lease(self, holder: str, seconds: float) -> Lease | None:
        text, lease = leases.acquire(self.get_meta(_LEASE), holder, seconds, self.now())
        self.set_meta(_LEASE, text)
        return lease

    def renew_lease(self, lease: Lease, seconds: float) -> Lease | None:
        text, renewed = leases.renew(self.get_meta(_LEASE), lease, seconds, self.now())
        self.set_meta(_LEASE, text)
        return renewed

    def release_lease(self, lease: Lease) -> None:
        self.set_meta(_LEASE, leases.release(self.get_meta(_LEASE), lease))

    def live_lease(self) -> Lease | None:
        return leases.live(self.get_meta(_LEASE), self.now())

    def counters(self) -> Mapping[Status, int]:
        self._book()
        counted = dict.fromkeys(Status, 0)
        for row in self._run(_select("status, count", "request_counters", ""), []):
            counted[Status(row["status"])] = row["count"]
        counted[Status.PENDING] += self._run(_COUNT_NEW, []).fetchone()[0]
        return counted

    def oldest_open(self) -> datetime | None:
        statement = _select(
            "created_at",
            "offline_requests INDEXED BY eos_req_oldest",
            "WHERE is_open = 1 ORDER BY created_at LIMIT 1",
        )
        row = self._run(statement, []).fetchone()
        return parse_iso(row["created_at"]) if row else None

    def lowest_number(self) -> int | None:
        statement = _select(
            "number",
            "offline_requests INDEXED BY eos_req_number",
            "WHERE is_open = 1 AND number > 0 ORDER BY number LIMIT 1",
        )
        row = self._run(statement, []).fetchone()
        return row["number"] if row else None

    def get_meta(self, key: str) -> str | None:
        row = self._run("SELECT value FROM sync_metadata WHERE key = ?", [key]).fetchone()
        return None if row is None else row["value"]

    def set_meta(self, key: str, value: str | None) -> None:
        if value is None:
            self._run("DELETE FROM sync_metadata WHERE key = ?", [key])
        else:
            self._run(
                "INSERT OR REPLACE INTO sync_metadata (key, value, updated_at) VALUES (?, ?, ?)",
                [key, value, iso(self.now())],
            )

    def _run(self, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
        if not self._depth:
            raise RuntimeError("the store is read and written inside transaction() only")
        return self._connection.execute(statement, values)

    def _hold_one(self, request_id: str) -> _Held | None:
        return self._hold([request_id]).get(request_id)

    def _hold(self, names: Sequence[str]) -> dict[str, _Held]:
        """How these requests stand, without those that are gone; read once in a transaction."""
        held = self._held
        for chunk in _chunks([name for name in dict.fromkeys(names) if name not in held]):
            self._read(f"offline_requests WHERE name IN ({_marks(chunk)})", chunk)
        return {name: held[name] for name in names if name in held}

    def _read(self, rest: str, values: Sequence[Any], *, columns: str = _REQUEST) -> list[_Held]:
        held, found = self._held, []
        for row in self._run(f"SELECT {columns} FROM {rest}", values):  # noqa: S608
            name = row[0]
            if name not in held:
                held[name] = _Held(_columns(row))
            found.append(held[name])
        return found

    def _requests(
        self, source: str, rest: str, values: Sequence[Any], *, columns: str = _REQUEST
    ) -> list[Request]:
        return [held.request for held in self._read(f"{source} {rest}", values, columns=columns)]

    def _load(self, seqs: Sequence[int]) -> list[Request]:
        """The requests with these numbers, in this order."""
        found: dict[int, Request] = {}
        for chunk in _chunks(seqs):
            for request in self._requests("offline_requests", f"WHERE seq IN ({_marks(chunk)})", chunk):
                found[request.seq] = request
        return [found[seq] for seq in seqs]

    def _ready(self, doctype: str | None, limit: int) -> list[tuple[int, int]]:
        index, condition, values = _of_doctype("eos_req_ready", doctype)
        statement = _select(
            "queue_rank, seq",
            f"offline_requests INDEXED BY {index}",
            f"WHERE status = 'Pending' AND readiness = 2 {condition} ORDER BY queue_rank, seq LIMIT ?",
        )
        return [(row["queue_rank"], row["seq"]) for row in self._run(statement, [*values, limit])]

    def _retries(self, doctype: str | None, come: float, too_far: float, limit: int) -> list[tuple[int, int]]:
        """Retries that are due, best rank first. Where one rank has more than `limit`, those that have been
        due for longest: no index orders by rank and seq and passes over what is not due."""
        index, condition, values = _of_doctype("eos_req_retry", doctype)
        source = f"offline_requests INDEXED BY {index}"
        where = f"WHERE status = 'Retry Scheduled' {condition} AND queue_rank"
        next_rank = _select("queue_rank", source, f"{where} > ? ORDER BY queue_rank LIMIT 1")
        ranges = (
            (_select("seq", source, f"{where} = ? AND due_at <= ? ORDER BY due_at, seq LIMIT ?"), come),
            (_select("seq", source, f"{where} = ? AND due_at > ? ORDER BY due_at, seq LIMIT ?"), too_far),
        )
        found: list[tuple[int, int]] = []
        rank = _BELOW_ALL
        while len(found) < limit:
            row = self._run(next_rank, [*values, rank]).fetchone()
            if row is None:
                break
            rank = row["queue_rank"]
            for statement, moment in ranges:
                rows = self._run(statement, [*values, rank, moment, limit])
                found += [(rank, row["seq"]) for row in rows]
        return found

    def _update(self, columns: Sequence[str], row: Row, seqs: Sequence[int]) -> None:
        """Write these columns, alike in all of these rows."""
        changes = ", ".join(f"{column} = ?" for column in columns)
        self._run(
            f"UPDATE offline_requests SET {changes} WHERE seq IN ({_marks(seqs)})",  # noqa: S608
            [*(row[column] for column in columns), *seqs],
        )

    def _count(self, old: Row | None, new: Row) -> None:
        before, after = _counted(old), _counted(new)
        if before == after:
            return
        if before is not None:
            self._moved[before] -= 1
        if after is not None:
            self._moved[after] += 1

    def _book(self) -> None:
        """Move the counters by what this transaction did so far."""
        for status, step in self._moved.items():
            if step:
                self._run(
                    "INSERT INTO request_counters (status, count) VALUES (?, ?)"
                    " ON CONFLICT (status) DO UPDATE SET count = count + excluded.count",
                    [status, step],
                )
        self._moved.clear()

    def _document(self, where: str, values: Sequence[Any]) -> Document | None:
        row = self._run(_select(_DOCUMENT, "synced_documents", where), values).fetchone()
        return row_to_document(_columns(row)) if row else None

    def _conflict(self, where: str, values: Sequence[Any]) -> Conflict | None:
        row = self._run(_select(_CONFLICT, "sync_conflicts", where), values).fetchone()
        return row_to_conflict(_columns(row)) if row else None

    def _set_wal(self, patience: float) -> None:
        """Switch the file to WAL. Where two do so at once, SQLite refuses one without waiting: wait here."""
        give_up = time.monotonic() + patience
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= give_up:
                    raise
                time.sleep(0.01)

    def _migrate(self) -> None:
        with self.transaction():
            version = self._run("PRAGMA user_version", []).fetchone()[0]
            if version > len(MIGRATIONS):
                raise OfflineSyncError(
                    f"The outbox has schema {version}, this version knows {len(MIGRATIONS)}: upgrade first."
                )
            for step in MIGRATIONS[version:]:
                for statement in step:
                    self._run(statement, [])
            if version < len(MIGRATIONS):
                self._run(f"PRAGMA user_version = {len(MIGRATIONS)}", [])


def _request_row(request: Request) -> Row:
    """The codec's row, and the columns that this store's indexes need."""
    row = request_to_row(request)
    row["is_open"] = int(request.status not in ENDS)
    row["created_at"] = iso(request.created_at)
    row["closed_at"] = iso(request.closed_at)
    return row


def _columns(row: sqlite3.Row) -> Row:
    # dict(row) would look each column up by its name, one after the other: with fifty of them seven times as long.
    return dict(zip(row.keys(), row, strict=True))


def _counted(row: Row | None) -> str | None:
    """The counter that holds this row; None for a new one, which capture only inserted."""
    if row is None or (row["status"] == Status.PENDING.value and row["readiness"] == Readiness.NEW):
        return None
    return str(row["status"])


def _of_doctype(index: str, doctype: str | None) -> tuple[str, str, list[str]]:
    """The index, the condition and its values for requests of one doctype, or of any with None."""
    if doctype is None:
        return index, "", []
    return f"{index}_type", "AND resource_type = ?", [doctype]


def _chunks(values: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
