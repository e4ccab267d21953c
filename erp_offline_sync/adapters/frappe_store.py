"""The Store port over the app's doctypes, for MariaDB, PostgreSQL and Frappe's SQLite.

Rows are written by statements with bound values: on Frappe's SQLite the query builder and `set_value` double
every percent sign in a text. Rows are locked by name: a scan would lock the place where ordinary saves add theirs.
Everything that grows with the backlog walks an index from `erp_offline_sync.indexes`; where a call needs several
index ranges, each gives at most what was asked for.

Frappe's datetime columns hold the site's wall clock, for people and for lists. What the engine reads is the
exact UTC of the column `times`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from secrets import token_hex
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import frappe

from erp_offline_sync.engine.errors import InvalidRequest, NotAllowed, NotFound
from erp_offline_sync.engine.identity import canonical_json, fingerprint
from erp_offline_sync.engine.model import (
    Conflict,
    Document,
    Lease,
    Operation,
    Readiness,
    Request,
    Status,
)
from erp_offline_sync.engine.transitions import ENDS, OPEN, move

from . import leases
from .held_writes import HeldWrites
from .rows import (
    CONFLICT_COLUMNS,
    DOCUMENT_COLUMNS,
    LIVE,
    REQUEST_COLUMNS,
    Row,
    conflict_to_row,
    document_to_row,
    due_at,
    parse_iso,
    request_to_row,
    row_to_conflict,
    row_to_document,
    row_to_request,
)
from .sqlite_turns import alone
from .statements import (
    CHUNK,
    by,
    by_name,
    change_together,
    database_now,
    delete,
    for_update,
    insert,
    is_sqlite,
    one_of,
    quoted,
    utc,
)
from .transaction_memory import TransactionMemory

__all__ = [
    "SEQUENCE",
    "ConflictNews",
    "FrappeStore",
    "Place",
    "derived_among",
    "forget_derived",
    "insert_request",
    "is_in_outbox",
    "next_place",
    "note_derived",
]

SEQUENCE = "offline_request_seq"
"""Gives `seq` on MariaDB and PostgreSQL; made when the app is installed. Frappe's SQLite has no sequences and
takes the largest plus one."""

_REQUESTS = "tabOffline Request"
_EDGES = "tabOffline Request Link"
_DOCUMENTS = "tabSynced Document"
_CONFLICTS = "tabSync Conflict"
_METADATA = "tabSync Metadata"

_COUNTERS = "counters"
_LEASE = "run_lease"
_TOP = "seq"
"""In the counters: the largest `seq` counted, so that a purge gives none away a second time."""

_NAME_TAKING = (Operation.DELETE.value, Operation.RENAME.value)
_RETRIES_SEEN = 200
"""How many of the longest due retries are put in order of rank at a time, at least."""

_UNPLACED = (Readiness.NEW, Readiness.RECHECK)
_OPEN = tuple(sorted(status.value for status in OPEN))
_ENDED = tuple(sorted(status.value for status in ENDS))

_LONGEST: Mapping[str, int] = {
    "error_type": 140,
    "error_message": 10_000,
    "waits_why": 10_000,
    "reason": 10_000,
}
"""Characters that the columns for people hold; what a central writes there has no limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictNews:
    """A conflict as it was just written; `waited`: for a person, before."""

    conflict: Conflict
    waited: bool

    @property
    def waits(self) -> bool:
        """For a person: nothing has decided it, and it says why."""
        return self.conflict.pending and bool(self.conflict.reason)


@dataclass(frozen=True, slots=True)
class _Part:
    """One index range of requests: a condition, its values, and an order that the index has."""

    where: str
    values: tuple[Any, ...] = ()
    order: str = "`seq`"
    limit: int = CHUNK


class FrappeStore:
    """See the port for what each method promises.

    `owns_transaction`: a job's store begins each transaction with a rollback, so that it sees the present,
    and commits it. A web request's or console's store joins the transaction that is open: nothing is
    committed, and on an exception only what this store's transaction did is undone.

    `on_conflicts` is told after a commit of its own which conflicts were written; it must not raise.
    """

    def __init__(
        self,
        commit: Callable[[], None],
        rollback: Callable[[], None],
        *,
        owns_transaction: bool = True,
        on_conflicts: Callable[[Sequence[ConflictNews]], None] | None = None,
    ) -> None:
        self._commit = commit
        self._rollback = rollback
        self._owns = owns_transaction
        self._on_conflicts = on_conflicts
        self._news: dict[str, ConflictNews] = {}
        self._known = TransactionMemory()
        self._held_back = HeldWrites()
        self._began: datetime | None = None
        self._depth = 0
        self._moved: Counter[str] = Counter()
        self._top_seq = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        with alone() if self._owns and is_sqlite() else nullcontext():
            yield from self._outermost()
        news, self._news = list(self._news.values()), {}
        if news and self._owns and self._on_conflicts is not None:
            self._on_conflicts(news)

    def _outermost(self) -> Iterator[None]:
        save_point = self._begin()
        self._depth = 1
        try:
            yield
            self._held_back.write()
            self._book()
            if save_point is None:
                self._commit()
            else:
                frappe.db.release_savepoint(save_point)
        except BaseException:
            self._news.clear()
            self._undo(save_point)
            raise
        finally:
            self._depth = 0
            self._began = None
            self._held_back.forget()
            self._known.forget()
            self._moved.clear()
            self._top_seq = 0

    def _begin(self) -> str | None:
        if not self._owns:
            save_point = f"eos_{token_hex(6)}"
            frappe.db.savepoint(save_point)
            return save_point
        self._rollback()
        if is_sqlite():
            # Take the one write lock now. A transaction that has read cannot take it once another has written.
            frappe.db.sql(f"UPDATE `{_METADATA}` SET `value` = `value` WHERE `name` = ''")  # noqa: S608
        else:
            self._take_turn()
        return None

    def _take_turn(self) -> None:
        """One engine transaction at a time: what it reads must still be so when it writes. Saves never wait here.

        The lock comes before the first plain read, so that the view of the database begins after it.
        """
        if not self._lock_meta(_COUNTERS):
            # Two that lock the gap where the row will be could neither insert it.
            self._rollback()
            insert(_METADATA, {"name": _COUNTERS, "key": _COUNTERS}, or_ignore=True)
            self._commit()
            self._lock_meta(_COUNTERS)

    def _undo(self, save_point: str | None) -> None:
        if save_point is None:
            self._rollback()
            return
        try:
            frappe.db.rollback(save_point=save_point)
        except Exception:
            # A deadlock has undone the whole transaction already, save point included; the cause is on its way.
            frappe.logger("offline_sync").info("The transaction was gone before it could be undone.")

    def now(self) -> datetime:
        """The database's time, asked once in a transaction."""
        if self._began is None or not self._depth:
            self._began = database_now()
        return self._began

    # requests
    def add(self, request: Request) -> Request:
        self._inside()
        taken = self._ask(
            f"SELECT `name` FROM `{_REQUESTS}` WHERE `name` = %s OR `idempotency_key` = %s LIMIT 1",  # noqa: S608
            (request.id, request.key),
        )
        if taken:
            raise InvalidRequest(
                f"There is a request {request.id}, or one with its idempotency key, already."
            )
        added = request.altered(seq=next_place().seq)
        insert_request(added)
        self._known.request_comes()
        self._count(None, added)
        return added

    def get(self, request_id: str) -> Request | None:
        self._inside()
        row = self._row(_REQUESTS, REQUEST_COLUMNS, request_id)
        return row_to_request(row) if row else None

    def get_all(self, request_ids: Sequence[str]) -> list[Request]:
        self._inside()
        if self._owns:
            self._hold(_REQUESTS, REQUEST_COLUMNS, request_ids)
        return [request for name in request_ids if (request := self.get(name)) is not None]

    def take_up(self, requests: Sequence[Request]) -> None:
        self._inside()
        if not self._owns:
            return  # locks would last as long as the web request does, which may wait for the central
        self._hold(_REQUESTS, REQUEST_COLUMNS, [request.id for request in requests])
        self._hold(_DOCUMENTS, DOCUMENT_COLUMNS, [request.line for request in requests if request.line])
        self._known.documents_are_locked()
        names = [request.id for request in requests]
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            waited, values = one_of("waits_for", chunk)
            linking, ids = one_of("request", chunk)
            found = self._ask(
                f"SELECT `waits_for` FROM `{_REQUESTS}`{by('eos_req_waits')}"  # noqa: S608
                f" WHERE `status` = 'Waiting'{waited}{for_update()}",
                values,
            ) + self._ask(f"SELECT `request` FROM `{_EDGES}` WHERE 1 = 1{linking}", ids)  # noqa: S608
            self._known.alone.update(set(chunk) - {name for (name,) in found})
        self._look_ahead([request for request in requests if request.line is None])

    def _look_ahead(self, requests: Sequence[Request]) -> None:
        """What is asked of each request that is to be placed, and mostly finds nothing: once for all of a doctype.

        Where it finds anything, it is asked of each: this database may take two names for one.
        """
        names: dict[str, set[str]] = {}
        for request in requests:
            if request.resource_type and request.resource_id:
                names.setdefault(request.resource_type, set()).add(request.resource_id)
        for doctype, some in names.items():
            for start in range(0, len(some), CHUNK):
                chunk = sorted(some)[start : start + CHUNK]
                keys = [(doctype, name) for name in chunk]
                named, values = one_of("local_name", chunk)
                if not self._documents(
                    f"`reference_doctype` = %s AND `live` = %s{named}", (doctype, LIVE, *values)
                ):
                    for key in keys:
                        self._known.found_none(key)
                about, values = one_of("resource_id", chunk)
                taking, operations = one_of("operation", _NAME_TAKING)
                is_open, states = one_of("status", _OPEN)
                if not self._ask(
                    f"SELECT `name` FROM `{_REQUESTS}` WHERE `resource_type` = %s"  # noqa: S608
                    f"{about}{is_open}{taking} LIMIT 1",
                    (doctype, *values, *states, *operations),
                ):
                    self._known.kept_names.update(keys)
        ids = [request.id for request in requests]
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            some_ids, values = one_of("name", chunk)
            if not self._ask(f"SELECT `name` FROM `{_DOCUMENTS}` WHERE 1 = 1{some_ids} LIMIT 1", values):  # noqa: S608
                self._known.unborn.update(chunk)

    def replace(self, request: Request, *, token: int | None = None) -> bool:
        self._inside()
        row = self._row(_REQUESTS, REQUEST_COLUMNS, request.id, lock=True)
        if token is not None and (row is None or int(row["lease_token"] or 0) != token):
            return False
        if row is None:
            raise NotFound(f"There is no request {request.id}.")
        if request.key != row["idempotency_key"] and self._has_key(request.key):
            raise InvalidRequest(f"Another request has the idempotency key {request.key}.")
        rank = request.rank if token is None else min(request.rank, int(row["queue_rank"]))
        self._put(row, request.altered(seq=int(row["seq"]), rank=rank))
        return True

    def count_unplaced(self, most: int) -> int:
        self._inside()
        pending = (
            f"SELECT 1 FROM `{_REQUESTS}` WHERE `status` = 'Pending' AND `readiness` = %s LIMIT {int(most)}"  # noqa: S608
        )
        counts = (
            self._ask(f"SELECT COUNT(*) FROM ({pending}) AS `some`", (int(stage),))  # noqa: S608
            for stage in _UNPLACED
        )
        return min(most, sum(int(count) for ((count,),) in counts))

    def unplaced(self, limit: int) -> list[Request]:
        pending = "`status` = 'Pending' AND `readiness` = %s"
        return self._first(
            [_Part(pending, (int(stage),), limit=limit) for stage in _UNPLACED],
            limit=limit,
        )

    def due(
        self, now: datetime, *, limit: int, horizon: timedelta, doctypes: Collection[str] | None = None
    ) -> list[Request]:
        if doctypes is not None and not doctypes:
            return []
        only, values = one_of("resource_type", doctypes)
        seen = max(limit, _RETRIES_SEEN)
        ready = f"`status` = 'Pending' AND `readiness` = 2{only}"
        come, far = (f"`status` = 'Retry Scheduled' AND `due_at` {sign} %s{only}" for sign in ("<=", ">"))
        return self._first(
            [
                _Part(ready, values, "`queue_rank`, `seq`", limit),
                _Part(come, (due_at(now), *values), "`due_at`", seen),
                _Part(far, (due_at(now + horizon), *values), "`due_at`", seen),
            ],
            limit=limit,
            by_rank=True,
        )

    def claim(self, requests: Sequence[Request], token: int) -> list[Request]:
        self._inside()
        rows = self._free_rows(_REQUESTS, REQUEST_COLUMNS, [request.id for request in requests])
        claimed: dict[str, Request] = {}
        alike: dict[tuple[tuple[str, Any], ...], list[str]] = {}
        for name in dict.fromkeys(request.id for request in requests if request.id in rows):
            old = row_to_request(rows[name])
            if old.status in (Status.PENDING, Status.RETRY):
                new = move(old, Status.IN_FLIGHT, lease_token=token, sent_at=None)
                alike.setdefault(tuple(self._changes(rows[name], new).items()), []).append(name)
                self._count(rows[name], new)
                claimed[name] = new
            elif old.status is Status.IN_FLIGHT and old.lease_token == token:
                claimed[name] = old
        for changes, names in alike.items():
            change_together(_REQUESTS, names, dict(changes))
            for name in names:
                self._known.held.get((_REQUESTS, name), {}).update(changes)
        return [claimed[request.id] for request in requests if request.id in claimed]

    def in_flight(self, *, not_token: int, limit: int) -> list[Request]:
        parts = _each_stage(Status.IN_FLIGHT, "`lease_token` <> %s", (not_token,), limit=limit)
        return self._first(parts, limit=limit)

    def doubts(self, now: datetime, *, limit: int, horizon: timedelta) -> list[Request]:
        come = "(`due_at` <= %s OR `due_at` > %s)"
        values = (due_at(now), due_at(now + horizon))
        return self._first(_each_stage(Status.IN_DOUBT, come, values, limit=limit), limit=limit)

    def next_due_at(self) -> datetime | None:
        self._inside()
        found = []
        for status in (Status.RETRY, Status.IN_DOUBT):
            part = _Part("`status` = %s AND `due_at` > 0", (status.value,), "`due_at`", 1)
            found += [request.next_retry_at for request in self._first([part], limit=1)]
        return min((moment for moment in found if moment), default=None)

    def open_in_line(
        self,
        line: str,
        *,
        before: int | None = None,
        operations: Collection[Operation] | None = None,
        limit: int = 1000,
    ) -> list[Request]:
        if operations is None:
            parts = _each_open("`line` = %s", (line,), before=before, limit=limit)
        elif not operations or self._is_quiet(line, frozenset(operations)):
            return []
        else:
            parts = [
                part
                for operation in set(operations)
                for part in _each_open(
                    "`line` = %s AND `operation` = %s", (line, operation.value), before=before, limit=limit
                )
            ]
        return self._first(parts, limit=limit, descending=True)

    def _is_quiet(self, line: str, operations: frozenset[Operation]) -> bool:
        """Whether nothing of that kind is open in the line at all. Asked once of what many link to."""
        self._inside()
        if (line, operations) not in self._known.quiet:
            wanted, values = one_of("operation", sorted(operation.value for operation in operations))
            is_open, states = one_of("status", _OPEN)
            if self._ask(
                f"SELECT `name` FROM `{_REQUESTS}` WHERE `line` = %s{is_open}{wanted} LIMIT 1",  # noqa: S608
                (line, *states, *values),
            ):
                return False
            self._known.quiet.add((line, operations))
        return True

    def open_in_group(self, order_group: str, *, before: int) -> Request | None:
        parts = _each_open("`order_group` = %s", (order_group,), before=before, limit=1)
        found = self._first(parts, limit=1, descending=True)
        return found[0] if found else None

    def open_on_name(
        self, doctype: str, name: str, operations: Collection[Operation], *, before: int
    ) -> list[Request]:
        self._inside()
        wanted_values = {operation.value for operation in operations}
        if not operations or (
            (doctype, name) in self._known.kept_names and wanted_values <= set(_NAME_TAKING)
        ):
            return []
        wanted, values = one_of("operation", sorted(wanted_values))
        is_open, states = one_of("status", _OPEN)
        rows = self._ask(
            f"SELECT `name` FROM `{_REQUESTS}` WHERE `resource_type` = %s AND `resource_id` = %s"  # noqa: S608
            f"{is_open} AND `seq` < %s{wanted} ORDER BY `seq`",
            (doctype, name, *states, before, *values),
        )
        return self._load([found for (found,) in rows])

    def release(self, request_id: str) -> int:
        self._inside()
        if request_id in self._known.alone:
            return 0
        waiting, values = "WHERE `waits_for` = %s AND `status` = 'Waiting'", (request_id,)
        # A locking read sees also what another transaction has just committed.
        count = len(self._ask(f"SELECT `name` FROM `{_REQUESTS}` {waiting}{for_update()}", values))  # noqa: S608
        if count:
            self._known.forget()
            self._ask(
                f"UPDATE `{_REQUESTS}` SET `status` = 'Pending', `readiness` = %s, `lease_token` = 0,"  # noqa: S608
                f" `waits_for` = NULL, `waits_why` = NULL, `modified` = %s {waiting}",
                (int(Readiness.RECHECK), frappe.utils.now(), *values),
            )
            self._move(Status.WAITING.value, Status.PENDING.value, count)
        return count

    def waiters(self, request_id: str, *, limit: int = 100) -> list[Request]:
        part = _Part("`waits_for` = %s AND `status` = 'Waiting'", (request_id,), limit=limit)
        return self._first([part], limit=limit)

    def list_requests(
        self,
        *,
        statuses: Collection[Status] | None = None,
        doctype: str | None = None,
        limit: int = 100,
        after: int = 0,
    ) -> list[Request]:
        only, values = ("", ()) if doctype is None else one_of("resource_type", [doctype])
        if statuses is None:
            return self._first([_Part(f"`seq` > %s{only}", (after, *values), limit=limit)], limit=limit)
        # Without a bound that excludes nothing, for which MariaDB would take another index, and sort.
        beyond, begin = ("`seq` > %s", (after,)) if after else ("1 = 1", ())
        parts = [
            part
            for status in set(statuses)
            for part in _each_stage(status, f"{beyond}{only}", (*begin, *values), limit=limit)
        ]
        return self._first(parts, limit=limit)

    def purge(self, *, closed_before: datetime, limit: int) -> int:
        self._inside()
        purged = 0
        # The column is wall clock and may be an hour off where a zone's clocks were put back.
        before = _Wall().text(closed_before + timedelta(hours=2))
        for status in _ENDED:
            rows = self._ask(
                f"SELECT `name`, `times` FROM `{_REQUESTS}`"  # noqa: S608
                " WHERE `status` = %s AND `closed_at` < %s ORDER BY `closed_at` LIMIT %s",
                (status, before, limit - purged),
            )
            for name, times in rows:
                closed_at = parse_iso(json.loads(times).get("closed_at"))
                if closed_at is None or closed_at >= closed_before:
                    continue
                self.set_links(name, 0, ())
                delete(_REQUESTS, name)
                self._known.held.pop((_REQUESTS, name), None)
                purged += 1
        return purged

    # edges
    def set_links(self, request_id: str, seq: int, lines: Iterable[str]) -> None:
        self._inside()
        lines = set(lines)
        if not lines and request_id in self._known.alone:
            return
        self._known.alone.discard(request_id)
        there = dict(
            self._ask(
                f"SELECT `line`, `name` FROM `{_EDGES}` WHERE `request` = %s",  # noqa: S608
                (request_id,),
            )
        )
        delete(_EDGES, *(there[line] for line in sorted(there.keys() - lines)))
        edges = [
            {
                "name": fingerprint([request_id, line]),
                "request": request_id,
                "seq": seq,
                "line": line,
                "open": 1,
            }
            for line in sorted(lines - there.keys())
        ]
        if edges:
            insert(_EDGES, *edges)

    def linkers(self, line: str, *, before: int | None = None, limit: int = 100) -> list[Request]:
        self._inside()
        found: list[Request] = []
        after = -1
        while len(found) < limit:
            below, values = ("", ()) if before is None else (" AND `seq` < %s", (before,))
            edges = self._ask(
                f"SELECT `request`, `seq` FROM `{_EDGES}` WHERE `line` = %s AND `open` = 1"  # noqa: S608
                f" AND `seq` > %s{below} ORDER BY `seq` LIMIT {CHUNK}",
                (line, after, *values),
            )
            linking = self._load([request for request, _ in edges])
            found += [r for r in linking if r.status in OPEN and r.line != line]
            if len(edges) < CHUNK:
                break
            after = int(edges[-1][1])
        return found[:limit]

    # documents
    def document(self, line: str) -> Document | None:
        self._inside()
        row = self._known.read.get(line) or self._row(_DOCUMENTS, DOCUMENT_COLUMNS, line)
        if row and self._owns:
            self._known.read[line] = row
        return row_to_document(row) if row else None

    def document_named(self, doctype: str, local_name: str) -> Document | None:
        self._inside()
        name = (doctype, local_name)
        if self._known.is_absent(name):
            return None
        if name in self._known.named:
            return self._known.named[name]
        found = self._documents(
            "`reference_doctype` = %s AND `local_name` = %s AND `live` = %s", (doctype, local_name, LIVE)
        )
        if not found:
            self._known.found_none(name)
            return None
        if self._owns:
            self._known.named[name] = found[0]
        return found[0]

    def documents_at_central(self, doctype: str, central_names: Collection[str]) -> list[Document]:
        self._inside()
        nobodys = self._known.nobodys
        names, found = sorted({name for name in central_names if (doctype, name) not in nobodys}), []
        for start in range(0, len(names), CHUNK):
            some, values = one_of("central_name", names[start : start + CHUNK])
            found += self._documents(f"`reference_doctype` = %s{some}", (doctype, *values))
        # This database may take two names for one where the central does not.
        wanted = set(names)
        known = [document for document in found if document.central_name in wanted]
        if self._owns:
            nobodys.update((doctype, name) for name in wanted - {str(each.central_name) for each in known})
        return known

    def put_document(self, document: Document) -> None:
        self._inside()
        name = (document.doctype, document.local_name)
        if not document.deleted and not self._known.is_absent(name) and not self._has_its_name(document):
            there = self.document_named(*name)
            if there is not None and there.id != document.id:
                raise NotAllowed(
                    f"{document.doctype} {document.local_name} is the document {there.id} already."
                )
        self._known.document_changes(document)
        row = document_to_row(document)
        row["touched_at"] = self._wall.text(document.touched_at)
        self._upsert(_DOCUMENTS, DOCUMENT_COLUMNS, row)

    # conflicts
    def put_conflict(self, conflict: Conflict) -> None:
        self._inside()
        there = self.pending_conflict(conflict.line)
        if conflict.pending and there is not None and there.id != conflict.id:
            raise NotAllowed(
                f"{conflict.resource_type} {conflict.resource_id} has a pending conflict already."
            )
        row = conflict_to_row(conflict)
        row["local_changed_at"] = self._wall.text(conflict.local_changed_at)
        row["resolved_at"] = self._wall.text(conflict.resolved_at)
        row["creation"] = self._wall.text(conflict.created_at)
        row.update(_for_people(conflict))
        if row["reason"] is not None:
            row["reason"] = row["reason"][: _LONGEST["reason"]]
        old = self._upsert(_CONFLICTS, CONFLICT_COLUMNS, row)
        known = self._news.get(conflict.id)
        waited = (
            known.waited if known else bool(old and old["resolution_status"] == "pending" and old["reason"])
        )
        self._news[conflict.id] = ConflictNews(conflict=conflict, waited=waited)

    def conflict(self, conflict_id: str, *, lock: bool = False) -> Conflict | None:
        self._inside()
        row = self._row(_CONFLICTS, CONFLICT_COLUMNS, conflict_id, lock=lock)
        return row_to_conflict(row) if row else None

    def pending_conflict(self, line: str) -> Conflict | None:
        found = self._conflicts("`line` = %s AND `resolution_status` = 'pending'", (line,), limit=1)
        return found[0] if found else None

    def conflicts(self, *, pending: bool = True, limit: int = 100, offset: int = 0) -> list[Conflict]:
        where = "`resolution_status` = 'pending'" if pending else "1 = 1"
        return self._conflicts(where, (), limit=limit, offset=offset)

    def count_conflicts(self) -> int:
        self._inside()
        count = f"SELECT COUNT(*) FROM `{_CONFLICTS}` WHERE `resolution_status` = 'pending'"  # noqa: S608
        return int(self._ask(count)[0][0])

    def automatic_decisions(self, line: str, since: datetime) -> int:
        decided = self._conflicts("`line` = %s AND `resolution_status` = 'resolved'", (line,), limit=CHUNK)
        return sum(
            conflict.resolved_at is not None
            and conflict.resolved_at >= since
            and (conflict.resolved_by or "").startswith(("rule:", "hook:"))
            for conflict in decided
        )

    # lease, counters, metadata
    def acquire_lease(self, holder: str, seconds: float) -> Lease | None:
        return self._change_lease(lambda text, now: leases.acquire(text, holder, seconds, now))

    def renew_lease(self, lease: Lease, seconds: float) -> Lease | None:
        return self._change_lease(lambda text, now: leases.renew(text, lease, seconds, now))

    def release_lease(self, lease: Lease) -> None:
        self._change_lease(lambda text, now: (leases.release(text, lease), None))

    def live_lease(self) -> Lease | None:
        self._inside()
        return leases.live(_meta(_LEASE), database_now())

    def counters(self) -> Mapping[Status, int]:
        self._inside()
        kept = json.loads(self.get_meta(_COUNTERS) or "{}")
        counted = {status: int(kept.get(status.value, 0)) + self._moved[status.value] for status in Status}
        new = f"SELECT COUNT(*) FROM `{_REQUESTS}` WHERE `status` = 'Pending' AND `readiness` = 0"  # noqa: S608
        counted[Status.PENDING] += int(self._ask(new)[0][0])
        return counted

    def oldest_open(self) -> datetime | None:
        self._inside()
        # The first of each state in the order of commits; among a few dozen the oldest is found exactly.
        parts = [part for status in sorted(OPEN) for part in _each_stage(status, "1 = 1", (), limit=1)]
        found = self._first(parts, limit=len(parts))
        return min((request.created_at for request in found), default=None)

    def lowest_number(self) -> int | None:
        where = "`status` = %s AND `number` > 0"
        parts = [_Part(where, (status,), "`number`", 1) for status in _OPEN]
        numbers = (request.number for request in self._first(parts, limit=len(parts)))
        return min((number for number in numbers if number), default=None)

    def get_meta(self, key: str) -> str | None:
        self._inside()
        return _meta(key)

    def set_meta(self, key: str, value: str | None) -> None:
        self._inside()
        locked = self._known.locked_metadata
        if value is None:
            locked.pop(key, None)
            delete(_METADATA, key)
            return
        row = {"value": value, "updated_at": self._wall.text(self.now())}
        if key in locked or frappe.db.sql(f"SELECT `name` FROM `{_METADATA}` WHERE `name` = %s", (key,)):  # noqa: S608
            change_together(_METADATA, [key], row)
        else:
            insert(_METADATA, {"name": key, "key": key, **row})
        if key in locked:
            locked[key] = value

    # within
    def _inside(self) -> None:
        if not self._depth:
            raise RuntimeError("the store is read and written inside transaction() only")

    @cached_property
    def _wall(self) -> _Wall:
        return _Wall()

    def _hold(self, table: str, columns: Sequence[str], names: Sequence[str]) -> None:
        """Lock these rows by one statement. What another transaction has locked is waited for when it is needed."""
        wanted = [name for name in names if (table, name) not in self._known.held]
        for name, row in self._free_rows(table, columns, wanted).items():
            self._known.held[table, name] = row

    def _row(self, table: str, columns: Sequence[str], name: str, *, lock: bool = False) -> Row | None:
        held = self._known.held.get((table, name))
        if held is not None:
            return held
        # A joined transaction may have begun long ago: a lock makes it read the row as it stands now.
        suffix = for_update() if lock or not self._owns else ""
        rows = self._ask(
            f"SELECT {quoted(columns)} FROM `{table}` WHERE `name` = %s{suffix}",  # noqa: S608
            (name,),
            as_dict=True,
        )
        return dict(rows[0]) if rows else None

    def _free_rows(self, table: str, columns: Sequence[str], names: Sequence[str]) -> dict[str, Row]:
        """The rows of these names, locked; without those that are gone or that another transaction has locked."""
        found: dict[str, Row] = {}
        for start in range(0, len(names), CHUNK):
            some, values = one_of("name", names[start : start + CHUNK])
            rows = self._ask(
                f"SELECT {quoted(columns)} FROM `{table}`{by_name()}"  # noqa: S608
                f" WHERE 1 = 1{some}{for_update(skip_locked=True)}",
                values,
                as_dict=True,
            )
            found.update({row["name"]: dict(row) for row in rows})
        return found

    def _ask(self, query: str, values: tuple[Any, ...] = (), **how: Any) -> Any:
        """What a statement about requests, documents, links or conflicts answers, after all that came before it."""
        self._held_back.write()
        return frappe.db.sql(query, values, **how)

    def write_out(self) -> None:
        """Before code that is not the store's runs in the same transaction: what it finds in the tables is all."""
        self._held_back.write()

    def _change(self, table: str, name: str, changes: Row) -> None:
        held = self._known.held.get((table, name))
        if held is None:
            self._held_back.write()
            change_together(table, [name], changes)
        else:
            self._held_back.change(table, name, changes)
            held.update(changes)

    def _has_its_name(self, document: Document) -> bool:
        """Whether its row, which is locked, stands under its name already."""
        held = self._known.held.get((_DOCUMENTS, document.id))
        return held is not None and (held["reference_doctype"], held["local_name"], held["live"]) == (
            document.doctype,
            document.local_name,
            LIVE,
        )

    def _has_key(self, key: str) -> bool:
        return bool(
            self._ask(f"SELECT `name` FROM `{_REQUESTS}` WHERE `idempotency_key` = %s", (key,))  # noqa: S608
        )

    def _put(self, row: Row, request: Request) -> None:
        """Write what differs from the row, move the counters and, at an end, forget what the document linked to."""
        changes = self._changes(row, request)
        self._count(row, request)
        if request.waits_for:
            self._known.alone.discard(request.waits_for)
        was = (row["line"], row["operation"], row["status"] in _ENDED)
        if request.line and was != (request.line, request.operation.value, False):
            self._known.line_stirs(request.line)
        self._change(_REQUESTS, request.id, changes)
        if request.status in ENDS:
            self.set_links(request.id, request.seq, ())

    def _changes(self, row: Row, request: Request) -> Row:
        """What differs from the row. The columns of the wall clock say nothing that `times` does not."""
        new = _request_row(request, self._wall)
        moved = row["times"] != new["times"]
        return {
            column: value
            for column, value in new.items()
            if (row[column] != value if column in row else moved)
        }

    def _count(self, old: Row | None, request: Request) -> None:
        before = _counter(old["status"], old["readiness"]) if old else None
        after = _counter(request.status.value, request.readiness)
        self._move(before, after)
        if after is not None:
            self._top_seq = max(self._top_seq, request.seq)

    def _move(self, before: str | None, after: str | None, count: int = 1) -> None:
        if before == after:
            return
        if before is not None:
            self._moved[before] -= count
        if after is not None:
            self._moved[after] += count

    def _book(self) -> None:
        """Move the counters by what this transaction did: last, so that their row is locked for a moment only."""
        if not self._top_seq and not any(self._moved.values()):
            return
        before = self._locked_meta(_COUNTERS)
        kept = json.loads(before or "{}")
        for status, step in self._moved.items():
            kept[status] = int(kept.get(status, 0)) + step
        kept[_TOP] = max(int(kept.get(_TOP, 0)), self._top_seq)
        after = canonical_json(kept)
        if after != before:
            self.set_meta(_COUNTERS, after)

    def _locked_meta(self, key: str) -> str | None:
        """The value, in a row that is locked; made where there is none."""
        if key not in self._known.locked_metadata:
            # Without turns two could lock the gap where the row will be, and neither could insert it.
            there = self._lock_meta(key) if self._owns or _meta(key) is not None else False
            if not there:
                insert(_METADATA, {"name": key, "key": key}, or_ignore=True)
                self._lock_meta(key)
        return self._known.locked_metadata.get(key)

    def _lock_meta(self, key: str) -> bool:
        """Whether there is such a row."""
        rows = frappe.db.sql(
            f"SELECT `value` FROM `{_METADATA}` WHERE `name` = %s{for_update()}",  # noqa: S608
            (key,),
        )
        if rows:
            self._known.locked_metadata[key] = rows[0][0]
        return bool(rows)

    def _change_lease(
        self, change: Callable[[str | None, datetime], tuple[str | None, Lease | None]]
    ) -> Lease | None:
        self._inside()
        before = self._locked_meta(_LEASE)
        text, lease = change(before, self.now())
        if text != before:
            self.set_meta(_LEASE, text)
        return lease

    def _first(
        self, parts: Sequence[_Part], *, limit: int, by_rank: bool = False, descending: bool = False
    ) -> list[Request]:
        """The first requests of several index ranges taken together."""
        self._inside()
        if not parts or limit <= 0:
            return []
        # Asked for a rank that is not needed, MariaDB takes an index that has it, and sorts.
        rank = "`queue_rank`" if by_rank else "0 AS `queue_rank`"
        ranges = [
            f"SELECT * FROM (SELECT `name`, {rank}, `seq` FROM `{_REQUESTS}` WHERE {part.where}"  # noqa: S608
            f" ORDER BY {part.order} LIMIT {int(part.limit)}) AS `part_{number}`"
            for number, part in enumerate(parts)
        ]
        values = tuple(value for part in parts for value in part.values)
        found = {
            name: (rank if by_rank else 0, seq)
            for name, rank, seq in self._ask(" UNION ALL ".join(ranges), values)
        }
        return self._load(sorted(found, key=found.__getitem__, reverse=descending)[:limit])

    def _load(self, names: Sequence[str]) -> list[Request]:
        """The requests of these names, in that order; those that are gone are left out."""
        found: dict[str, Request] = {}
        for start in range(0, len(names), CHUNK):
            some, values = one_of("name", names[start : start + CHUNK])
            rows = self._ask(
                f"SELECT {quoted(REQUEST_COLUMNS)} FROM `{_REQUESTS}` WHERE 1 = 1{some}",  # noqa: S608
                values,
                as_dict=True,
            )
            found.update({row["name"]: row_to_request(row) for row in rows})
        return [found[name] for name in names if name in found]

    def _documents(self, where: str, values: tuple[Any, ...]) -> list[Document]:
        self._inside()
        rows = self._ask(
            f"SELECT {quoted(DOCUMENT_COLUMNS)} FROM `{_DOCUMENTS}` WHERE {where} ORDER BY `name`",  # noqa: S608
            values,
            as_dict=True,
        )
        return [row_to_document(row) for row in rows]

    def _conflicts(
        self, where: str, values: tuple[Any, ...], *, limit: int, offset: int = 0
    ) -> list[Conflict]:
        self._inside()
        rows = self._ask(
            f"SELECT {quoted(CONFLICT_COLUMNS)} FROM `{_CONFLICTS}` WHERE {where}"  # noqa: S608
            " ORDER BY `creation`, `name` LIMIT %s OFFSET %s",
            (*values, limit, offset),
            as_dict=True,
        )
        return [row_to_conflict(row) for row in rows]

    def _upsert(self, table: str, columns: Sequence[str], row: Row) -> Row | None:
        """The row as it was; None where it is new."""
        unborn = table == _DOCUMENTS and row["name"] in self._known.unborn
        old = None if unborn else self._row(table, columns, row["name"], lock=True)
        self._known.unborn.discard(row["name"])
        if unborn:
            self._held_back.add(table, row)
            self._known.held[table, row["name"]] = dict(row)
            return None
        if old is None:
            insert(table, row)
            return None
        changes = {
            column: value for column, value in row.items() if column not in old or old[column] != value
        }
        before = dict(old)
        self._change(table, row["name"], changes)
        return before


class Place(NamedTuple):
    """Where a row comes in the outbox, and when by the database's clock. `derived`: something that it links to is
    noted as derived (`derived_among` tells which)."""

    seq: int
    now: datetime
    derived: bool


def next_place(links: Iterable[tuple[str, str]] = ()) -> Place:
    """The place of the next row, which links to these (doctype, name). The caller holds the lock of the document
    that the row is about."""
    some, values = one_of("name", tuple(_derived_key(*link) for link in links))
    noted = f"SELECT 1 FROM `{_METADATA}` WHERE 1 = 1{some}"  # noqa: S608
    if not is_sqlite():
        # One question: a save waits for the answer.
        derived = f"EXISTS ({noted})" if values else "0"
        seq, moment, derived = frappe.db.sql(f"SELECT NEXTVAL({_sequence()}), {utc()}, {derived}", values)[0]
        return Place(int(seq), moment.replace(tzinfo=timezone.utc), bool(derived))
    # Whoever has written holds the one write lock, so nobody else takes this number.
    counted = json.loads(_meta(_COUNTERS) or "{}").get(_TOP, 0)
    seq = max(_number(f"SELECT MAX(`seq`) FROM `{_REQUESTS}`"), int(counted)) + 1  # noqa: S608
    return Place(seq, database_now(), bool(values) and bool(frappe.db.sql(f"{noted} LIMIT 1", values)))


def insert_request(request: Request) -> None:
    """Add a row to the outbox inside the caller's transaction: touches no other row, commits nothing.

    A taken id or key is an error of the database.
    """
    row = _request_row(request, _Wall())
    known = {column: value for column, value in row.items() if value is not None}
    insert(_REQUESTS, known, at=row["created_at"])


def note_derived(doctype: str, name: str) -> None:
    """Remember that code inside another document's save made this one: links to it do not travel.

    The key is a fingerprint and there is no value: who may see the row learns no name from it.
    """
    key = _derived_key(doctype, name)
    insert(_METADATA, {"name": key, "key": key}, or_ignore=True)


def forget_derived(doctype: str, name: str) -> bool:
    """Whether there was such a note; it is gone."""
    key = _derived_key(doctype, name)
    if _meta(key) is None:
        return False
    delete(_METADATA, key)
    return True


def derived_among(documents: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those (doctype, name) that are noted as derived and that the central is not known to have."""
    by_key = {_derived_key(*document): document for document in documents}
    if not by_key:
        return set()
    some, values = one_of("name", tuple(by_key))
    noted = frappe.db.sql(f"SELECT `name` FROM `{_METADATA}` WHERE 1 = 1{some}", values)  # noqa: S608
    return {by_key[key] for (key,) in noted if not _is_linked(*by_key[key])}


def _is_linked(doctype: str, name: str) -> bool:
    rows = frappe.db.sql(
        f"SELECT `central_name` FROM `{_DOCUMENTS}`"  # noqa: S608
        " WHERE `reference_doctype` = %s AND `local_name` = %s AND `live` = %s",
        (doctype, name, LIVE),
    )
    return bool(rows and rows[0][0])


def _derived_key(doctype: str, name: str) -> str:
    return f"derived:{fingerprint([doctype, name])}"


def is_in_outbox(request_id: str) -> bool:
    """Whether this transaction sees such a row."""
    return bool(
        frappe.db.sql(f"SELECT `name` FROM `{_REQUESTS}` WHERE `name` = %s", (request_id,))  # noqa: S608
    )


def _for_people(conflict: Conflict) -> Row:
    """What lists of conflicts show and search, so that they need not read both documents."""
    here, there = conflict.local_data or {}, conflict.server_data or {}
    title = _title_field(conflict.resource_type)
    row = {
        "title": here.get(title) or there.get(title) if title else None,
        "changed_by": here.get("modified_by") or _last_saver(conflict.line),
        "server_changed_by": there.get("modified_by"),
    }
    return {column: str(value)[:140] if value else None for column, value in row.items()}


def _title_field(doctype: str) -> str | None:
    """The field that a document is called by where that is not its name; none that only some may read."""
    if not frappe.db.exists("DocType", doctype):
        return None
    meta = frappe.get_meta(doctype)
    field = meta.get_field(meta.get_title_field())
    return field.fieldname if field and not field.permlevel else None


def _last_saver(line: str) -> str | None:
    """Who made the last request of the line: of a document that is deleted, nothing else says so."""
    rows = frappe.db.sql(
        f"SELECT `owner` FROM `{_REQUESTS}` WHERE `line` = %s ORDER BY `seq` DESC LIMIT 1",  # noqa: S608
        (line,),
    )
    return rows[0][0] if rows else None


def _sequence() -> str:
    return f"'{SEQUENCE}'" if frappe.db.db_type == "postgres" else SEQUENCE


class _Wall:
    """Instants as the site's wall clock shows them."""

    def __init__(self) -> None:
        self._zone = ZoneInfo(frappe.utils.get_system_timezone())

    def text(self, moment: datetime | None) -> str | None:
        if moment is None:
            return None
        return moment.astimezone(self._zone).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _request_row(request: Request, wall: _Wall) -> Row:
    row = request_to_row(request)
    for column, longest in _LONGEST.items():
        if row[column] is not None:
            row[column] = row[column][:longest]
    for column in ("created_at", "changed_at", "next_retry_at", "sent_at", "closed_at"):
        row[column] = wall.text(getattr(request, column))
    return row


def _counter(status: str, readiness: int) -> str | None:
    """The counter that holds such a row; None for a new one, which capture only inserted."""
    if status == Status.PENDING.value and readiness == Readiness.NEW:
        return None
    return status


def _each_stage(status: Status, where: str, values: tuple[Any, ...], *, limit: int) -> list[_Part]:
    """The first requests of a state: with both columns given, the index on (status, readiness, seq) has their order."""
    return [
        _Part(
            f"`status` = %s AND `readiness` = %s AND {where}",
            (status.value, int(stage), *values),
            limit=limit,
        )
        for stage in Readiness
    ]


def _each_open(where: str, values: tuple[Any, ...], *, before: int | None, limit: int) -> list[_Part]:
    """The last open requests, one index range a state."""
    below, bound = ("", ()) if before is None else (" AND `seq` < %s", (before,))
    return [
        _Part(f"{where} AND `status` = %s{below}", (*values, status, *bound), "`seq` DESC", limit)
        for status in _OPEN
    ]


def _number(query: str) -> int:
    return int(frappe.db.sql(query)[0][0] or 0)


def _meta(key: str) -> str | None:
    rows = frappe.db.sql(f"SELECT `value` FROM `{_METADATA}` WHERE `name` = %s", (key,))  # noqa: S608
    return rows[0][0] if rows else None
