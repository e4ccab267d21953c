"""The Store port in memory: as faithful as a database and fast enough for long simulations.

A transaction keeps a journal of the entries it changed and puts them back when it raises. Tables keep their
own indexes, so that no call looks at every row. What is stored has passed through the codec of the real
stores: a value that no database could hold is refused here too, and a caller's later change of a body that
it handed in does not reach the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from erp_offline_sync.adapters import leases, rows
from erp_offline_sync.engine.errors import InvalidRequest, NotAllowed, NotFound
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

__all__ = ["MemoryStore"]

Value = TypeVar("Value")
Journal = list[Callable[[], None]]


class _Table(Generic[Value]):
    """Values by key, found again by the named indexes; an index function answers None to leave a value out."""

    def __init__(self, journal: Journal, **indexes: Callable[[Value], Hashable | None]) -> None:
        self._journal = journal
        self._values: dict[str, Value] = {}
        self._functions = indexes
        self._indexes: dict[str, dict[Hashable, dict[str, None]]] = {name: {} for name in indexes}

    def get(self, key: str) -> Value | None:
        return self._values.get(key)

    def all(self) -> Iterable[Value]:
        return self._values.values()

    def where(self, index: str, key: Hashable) -> list[Value]:
        return [self._values[name] for name in self._indexes[index].get(key, ())]

    def count(self, index: str, key: Hashable) -> int:
        return len(self._indexes[index].get(key, ()))

    def put(self, key: str, value: Value | None) -> None:
        """Set or, with None, delete."""
        old = self._values.get(key)
        self._journal.append(lambda: self._set(key, old))
        self._set(key, value)

    def _set(self, key: str, value: Value | None) -> None:
        old = self._values.pop(key, None)
        for name, function in self._functions.items():
            index = self._indexes[name]
            before = None if old is None else function(old)
            after = None if value is None else function(value)
            if before == after:
                continue
            if before is not None:
                del index[before][key]
                if not index[before]:
                    del index[before]
            if after is not None:
                index.setdefault(after, {})[key] = None
        if value is not None:
            self._values[key] = value


class MemoryStore:
    """See the port for what each method promises. `clock_now` is the database's time, aware UTC.

    One thread at a time is inside a transaction; others wait.
    """

    def __init__(self, clock_now: Callable[[], datetime]) -> None:
        self._clock_now = clock_now
        self._turn = threading.RLock()
        self._depth = 0
        self._journal: Journal = []
        self._last_seq = 0
        self._requests: _Table[Request] = _Table(
            self._journal,
            key=lambda request: request.key,
            status=lambda request: request.status,
            stage=lambda request: (request.status, request.readiness),
            line=lambda request: request.line if _is_open(request) else None,
            group=lambda request: request.order_group if _is_open(request) else None,
            name=lambda request: (request.resource_type, request.resource_id) if _is_open(request) else None,
            numbered=lambda request: True if request.number and _is_open(request) else None,
            waits=lambda request: request.waits_for if request.status is Status.WAITING else None,
        )
        self._edges: _Table[tuple[str, int, str]] = _Table(
            self._journal, request=lambda edge: edge[0], line=lambda edge: edge[2]
        )
        self._documents: _Table[Document] = _Table(
            self._journal,
            local=lambda document: None if document.deleted else (document.doctype, document.local_name),
            central=lambda document: (document.doctype, document.central_name) if document.linked else None,
        )
        self._conflicts: _Table[Conflict] = _Table(
            self._journal,
            line=lambda conflict: conflict.line,
            pending_line=lambda conflict: conflict.line if conflict.pending else None,
            pending=lambda conflict: conflict.pending,
        )
        self._counters: _Table[int] = _Table(self._journal)
        self._metadata: _Table[str] = _Table(self._journal)
        self._leases: _Table[str] = _Table(self._journal)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._turn:
            self._depth += 1
            try:
                yield
            except BaseException:
                if self._depth == 1:
                    for undo in reversed(self._journal):
                        undo()
                raise
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self._journal.clear()

    def now(self) -> datetime:
        return self._clock_now()

    # requests
    def add(self, request: Request) -> Request:
        self._inside()
        if self._requests.get(request.id) or self._requests.where("key", request.key):
            raise InvalidRequest(
                f"There is a request {request.id}, or one with its idempotency key, already."
            )
        added = _stored(request.altered(seq=self._last_seq + 1))
        self._last_seq = added.seq
        self._put(None, added)
        return added

    def get(self, request_id: str) -> Request | None:
        self._inside()
        return self._requests.get(request_id)

    def get_all(self, request_ids: Sequence[str]) -> list[Request]:
        return [request for name in request_ids if (request := self.get(name)) is not None]

    def take_up(self, requests: Sequence[Request]) -> None:
        self._inside()

    def replace(self, request: Request, *, token: int | None = None) -> bool:
        self._inside()
        old = self._requests.get(request.id)
        if token is not None and (old is None or old.lease_token != token):
            return False
        if old is None:
            raise NotFound(f"There is no request {request.id}.")
        if token is not None:
            request = request.altered(rank=min(request.rank, old.rank))
        if any(other.id != request.id for other in self._requests.where("key", request.key)):
            raise InvalidRequest(f"Another request has the idempotency key {request.key}.")
        self._put(old, _stored(request.altered(seq=old.seq)))
        return True

    def unplaced(self, limit: int) -> list[Request]:
        self._inside()
        found = self._requests.where("stage", (Status.PENDING, Readiness.NEW))
        found += self._requests.where("stage", (Status.PENDING, Readiness.RECHECK))
        return _by_seq(found)[:limit]

    def count_unplaced(self, most: int) -> int:
        return len(self.unplaced(most))

    def due(
        self, now: datetime, *, limit: int, horizon: timedelta, doctypes: Collection[str] | None = None
    ) -> list[Request]:
        self._inside()
        found = self._requests.where("stage", (Status.PENDING, Readiness.READY))
        found += [r for r in self._requests.where("status", Status.RETRY) if _has_come(r, now, horizon)]
        if doctypes is not None:
            found = [request for request in found if request.resource_type in doctypes]
        return sorted(found, key=lambda request: (request.rank, request.seq))[:limit]

    def claim(self, requests: Sequence[Request], token: int) -> list[Request]:
        self._inside()
        claimed = []
        for request in requests:
            old = self._requests.get(request.id)
            if old is None:
                continue
            if old.status in (Status.PENDING, Status.RETRY):
                new = move(old, Status.IN_FLIGHT, lease_token=token, sent_at=None)
                self._put(old, new)
                claimed.append(new)
            elif old.status is Status.IN_FLIGHT and old.lease_token == token:
                claimed.append(old)
        return claimed

    def in_flight(self, *, not_token: int, limit: int) -> list[Request]:
        self._inside()
        found = self._requests.where("status", Status.IN_FLIGHT)
        return _by_seq(request for request in found if request.lease_token != not_token)[:limit]

    def doubts(self, now: datetime, *, limit: int, horizon: timedelta) -> list[Request]:
        self._inside()
        found = self._requests.where("status", Status.IN_DOUBT)
        return _by_seq(request for request in found if _has_come(request, now, horizon))[:limit]

    def next_due_at(self) -> datetime | None:
        self._inside()
        found = self._requests.where("status", Status.RETRY) + self._requests.where("status", Status.IN_DOUBT)
        return min((request.next_retry_at for request in found if request.next_retry_at), default=None)

    def open_in_line(
        self,
        line: str,
        *,
        before: int | None = None,
        operations: Collection[Operation] | None = None,
        limit: int = 1000,
    ) -> list[Request]:
        self._inside()
        found = _by_seq(
            request
            for request in _below(self._requests.where("line", line), before)
            if operations is None or request.operation in operations
        )
        return found[::-1][:limit]

    def open_in_group(self, order_group: str, *, before: int) -> Request | None:
        self._inside()
        found = _by_seq(_below(self._requests.where("group", order_group), before))
        return found[-1] if found else None

    def open_on_name(
        self, doctype: str, name: str, operations: Collection[Operation], *, before: int
    ) -> list[Request]:
        self._inside()
        found = _below(self._requests.where("name", (doctype, name)), before)
        return _by_seq(request for request in found if request.operation in operations)

    def release(self, request_id: str) -> int:
        self._inside()
        waiting = self._requests.where("waits", request_id)
        for old in waiting:
            self._put(old, move(old, Status.PENDING, readiness=Readiness.RECHECK))
        return len(waiting)

    def waiters(self, request_id: str, *, limit: int = 100) -> list[Request]:
        self._inside()
        return _by_seq(self._requests.where("waits", request_id))[:limit]

    def list_requests(
        self,
        *,
        statuses: Collection[Status] | None = None,
        doctype: str | None = None,
        limit: int = 100,
        after: int = 0,
    ) -> list[Request]:
        self._inside()
        found: Iterable[Request] = self._requests.all()
        if statuses is not None:
            found = (r for status in set(statuses) for r in self._requests.where("status", status))
        return _by_seq(r for r in found if r.seq > after and doctype in (None, r.resource_type))[:limit]

    def purge(self, *, closed_before: datetime, limit: int) -> int:
        self._inside()
        ended = (request for status in ENDS for request in self._requests.where("status", status))
        old = [r for r in ended if r.closed_at is not None and r.closed_at < closed_before]
        for request in sorted(old, key=lambda request: request.closed_at or closed_before)[:limit]:
            self._requests.put(request.id, None)
            self.set_links(request.id, request.seq, ())
        return min(len(old), limit)

    # edges
    def set_links(self, request_id: str, seq: int, lines: Iterable[str]) -> None:
        self._inside()
        for _, _, line in self._edges.where("request", request_id):
            self._edges.put(f"{request_id} {line}", None)
        for line in set(lines):
            self._edges.put(f"{request_id} {line}", (request_id, seq, line))

    def linkers(self, line: str, *, before: int | None = None, limit: int = 100) -> list[Request]:
        self._inside()
        linking = (self._requests.get(request_id) for request_id, _, _ in self._edges.where("line", line))
        found = [r for r in linking if r is not None and _is_open(r) and r.line != line]
        return _by_seq(_below(found, before))[:limit]

    # documents
    def document(self, line: str) -> Document | None:
        self._inside()
        return self._documents.get(line)

    def document_named(self, doctype: str, local_name: str) -> Document | None:
        self._inside()
        found = self._documents.where("local", (doctype, local_name))
        return found[0] if found else None

    def documents_at_central(self, doctype: str, central_names: Collection[str]) -> list[Document]:
        self._inside()
        names = sorted(set(central_names))
        return [document for name in names for document in self._documents.where("central", (doctype, name))]

    def put_document(self, document: Document) -> None:
        self._inside()
        there = self.document_named(document.doctype, document.local_name)
        if not document.deleted and there is not None and there.id != document.id:
            raise NotAllowed(f"{document.doctype} {document.local_name} is the document {there.id} already.")
        self._documents.put(document.id, rows.row_to_document(rows.document_to_row(document)))

    # conflicts
    def put_conflict(self, conflict: Conflict) -> None:
        self._inside()
        there = self.pending_conflict(conflict.line)
        if conflict.pending and there is not None and there.id != conflict.id:
            raise NotAllowed(
                f"{conflict.resource_type} {conflict.resource_id} has a pending conflict already."
            )
        self._conflicts.put(conflict.id, rows.row_to_conflict(rows.conflict_to_row(conflict)))

    def conflict(self, conflict_id: str, *, lock: bool = False) -> Conflict | None:
        self._inside()
        return self._conflicts.get(conflict_id)

    def pending_conflict(self, line: str) -> Conflict | None:
        self._inside()
        found = self._conflicts.where("pending_line", line)
        return found[0] if found else None

    def conflicts(self, *, pending: bool = True, limit: int = 100, offset: int = 0) -> list[Conflict]:
        self._inside()
        found = self._conflicts.where("pending", True) if pending else self._conflicts.all()
        return sorted(found, key=lambda c: (c.created_at, c.id))[offset : offset + limit]

    def count_conflicts(self) -> int:
        self._inside()
        return self._conflicts.count("pending", True)

    def automatic_decisions(self, line: str, since: datetime) -> int:
        self._inside()
        return sum(
            conflict.resolved_at is not None
            and conflict.resolved_at >= since
            and (conflict.resolved_by or "").startswith(("rule:", "hook:"))
            for conflict in self._conflicts.where("line", line)
        )

    # lease, counters, metadata
    def acquire_lease(self, holder: str, seconds: float) -> Lease | None:
        self._inside()
        text, lease = leases.acquire(self._leases.get("run"), holder, seconds, self.now())
        self._leases.put("run", text)
        return lease

    def renew_lease(self, lease: Lease, seconds: float) -> Lease | None:
        self._inside()
        text, renewed = leases.renew(self._leases.get("run"), lease, seconds, self.now())
        self._leases.put("run", text)
        return renewed

    def release_lease(self, lease: Lease) -> None:
        self._inside()
        self._leases.put("run", leases.release(self._leases.get("run"), lease))

    def live_lease(self) -> Lease | None:
        self._inside()
        return leases.live(self._leases.get("run"), self.now())

    def counters(self) -> Mapping[Status, int]:
        self._inside()
        counted = {status: self._counters.get(status.value) or 0 for status in Status}
        counted[Status.PENDING] += self._requests.count("stage", (Status.PENDING, Readiness.NEW))
        return counted

    def oldest_open(self) -> datetime | None:
        self._inside()
        found = (r for status in Status if status not in ENDS for r in self._requests.where("status", status))
        return min((request.created_at for request in found), default=None)

    def lowest_number(self) -> int | None:
        self._inside()
        numbered = (request.number for request in self._requests.where("numbered", True))
        return min((number for number in numbered if number), default=None)

    def get_meta(self, key: str) -> str | None:
        self._inside()
        return self._metadata.get(key)

    def set_meta(self, key: str, value: str | None) -> None:
        self._inside()
        self._metadata.put(key, value)

    def _inside(self) -> None:
        if not self._depth:
            raise RuntimeError("the store is read and written inside transaction() only")

    def _put(self, old: Request | None, new: Request) -> None:
        """Write the row, move the counters and, at an end, forget what its document linked to."""
        self._requests.put(new.id, new)
        before, after = _counted(old), _counted(new)
        if before is not after:
            for status, step in ((before, -1), (after, 1)):
                if status is not None:
                    self._counters.put(status.value, (self._counters.get(status.value) or 0) + step)
        if not _is_open(new):
            self.set_links(new.id, new.seq, ())


def _stored(request: Request) -> Request:
    """The request as a database would give it back."""
    return rows.row_to_request(rows.request_to_row(request))


def _is_open(request: Request) -> bool:
    return request.status not in ENDS


def _counted(request: Request | None) -> Status | None:
    """The counter that holds this row; None for a new one, which capture only inserted."""
    if request is None or (request.status is Status.PENDING and request.readiness is Readiness.NEW):
        return None
    return request.status


def _has_come(request: Request, now: datetime, horizon: timedelta) -> bool:
    moment = request.next_retry_at
    return moment is None or moment <= now or moment > now + horizon


def _below(requests: Iterable[Request], before: int | None) -> Iterable[Request]:
    return (request for request in requests if before is None or request.seq < before)


def _by_seq(requests: Iterable[Request]) -> list[Request]:
    return sorted(requests, key=lambda request: request.seq)
