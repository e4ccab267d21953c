"""Places requests: which line each stands in, what stands before it, what goes into an earlier one.

A request waits only for requests of a smaller `seq`, so no circle can arise. It is placed again whenever what it
waited for ends. Source: semantics, "Order, identity, links" and "Coalescing".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .coalesce import cancel_out, cancels_out, merge, mergeable
from .model import Document, Link, Operation, Readiness, Request, Status
from .ports import Ids, Store
from .transitions import ENDS, OPEN, move

__all__ = ["CHANGES_IDENTITY", "Placer"]

CHANGES_IDENTITY = (Operation.CREATE, Operation.SUBMIT, Operation.CANCEL, Operation.RENAME)
"""A link waits for these of what it names, not for its updates."""
_AT_ONCE = 100
_NEEDS_FREE = (Operation.CANCEL, Operation.DELETE, Operation.RENAME)
"""These wait for earlier requests of documents that linked here."""


class Placer:
    """Works inside the caller's transaction."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids

    def place_some(self, limit: int) -> int:
        """Place at most `limit` requests; answers how many were looked at."""
        requests = self._store.unplaced(limit)
        self._store.take_up(requests)
        for request in requests:
            # Placing changes earlier requests and waiting ones only: those that follow are still as they were read.
            self.place(request)
        return len(requests)

    def place_all(self) -> None:
        """Everything that was saved up to now: a person's step sees the whole line."""
        while self.place_some(_AT_ONCE):
            pass

    def place(self, request: Request) -> None:
        if request.line is None:
            request = self._into_line(request)
        if request.links:
            request = request.altered(links=tuple(self._resolved(link) for link in request.links))
        targets = [
            line
            for line in dict.fromkeys(link.line for link in request.links)
            if line and line != request.line
        ]
        if targets or request.readiness is not Readiness.NEW:
            self._store.set_links(request.id, request.seq, targets)
        before = self._before(request)
        others = self._blockers(request, targets)
        if before is not None and self._coalesced(before, request, others):
            return
        others = [blocker for blocker in others if not self._waits_for(blocker, request)]
        blockers = [*([before] if before else []), *others]
        for blocker in blockers:
            self.raise_rank(blocker, request.rank)
        if blockers:
            why = "an earlier change of this document" if before else _why(request, blockers[0])
            placed = move(
                request, Status.WAITING, readiness=Readiness.READY, waits_for=blockers[0].id, waits_why=why
            )
        elif request.unsure:
            placed = move(request, Status.IN_DOUBT, readiness=Readiness.READY, sent_at=request.created_at)
        else:
            placed = move(request, Status.PENDING, readiness=Readiness.READY)
        self._store.replace(placed)

    # lines

    def document(self, doctype: str, local_name: str, *, line: str | None = None) -> Document:
        """The document of that name, made where it is not known yet."""
        known = self._store.document_named(doctype, local_name)
        return known or self._put(
            Document(id=line or self._ids.new_key(), doctype=doctype, local_name=local_name)
        )

    def _put(self, document: Document) -> Document:
        self._store.put_document(document)
        return document

    def _into_line(self, request: Request) -> Request:
        if request.resource_type is None:
            return request
        name = request.resource_id or request.id
        known = self._store.document_named(request.resource_type, name)
        is_create = request.operation is Operation.CREATE
        if is_create and known and (known.linked or self._store.open_in_line(known.id, limit=1)):
            # Another document had this name and vanished unseen: its line ends, this one is new.
            self._store.put_document(replace(known, deleted=True))
            known = None
        if known is None:
            line = request.id if is_create else self._ids.new_key()
            known = self._put(Document(id=line, doctype=request.resource_type, local_name=name))
        if request.operation is Operation.DELETE:
            self._store.put_document(replace(known, deleted=True))
        elif request.operation is Operation.RENAME:
            self._store.put_document(self._renamed(known, request))
        return request.altered(line=known.id)

    def _renamed(self, document: Document, request: Request) -> Document:
        new_name = str(request.body.get("new_name") or document.local_name)
        if request.body.get("merge"):
            return replace(document, deleted=True)
        other = self._store.document_named(document.doctype, new_name)
        if other is not None and other.id != document.id:
            self._store.put_document(replace(other, deleted=True))
        return replace(document, local_name=new_name)

    def _resolved(self, link: Link) -> Link:
        return link if link.line else replace(link, line=self.document(link.doctype, link.name).id)

    # what stands before

    def _before(self, request: Request) -> Request | None:
        if request.line in (None, request.id):
            return None  # about no document, or the create that its line began with
        open_before = self._store.open_in_line(request.line, before=request.seq, limit=1)
        return open_before[0] if open_before else None

    def _blockers(self, request: Request, targets: Iterable[str]) -> list[Request]:
        """Open requests before this one, other than those of its own line."""
        store, seq = self._store, request.seq
        found: list[Request] = []
        name = _takes_name(request)
        if name and request.resource_type:
            on_name = store.open_on_name(
                request.resource_type, name, (Operation.DELETE, Operation.RENAME), before=seq
            )
            found += [other for other in on_name if other.line != request.line]
        for line in targets:
            found += store.open_in_line(line, before=seq, operations=CHANGES_IDENTITY)
        if request.operation in _NEEDS_FREE and request.line:
            found += store.linkers(request.line, before=seq)
        if request.order_group:
            earlier = store.open_in_group(request.order_group, before=seq)
            if earlier is not None and earlier.line != request.line:
                found.append(earlier)
        return list({other.id: other for other in found}.values())

    def _waits_for(self, blocker: Request, request: Request) -> bool:
        """Whether the blocker is itself held up by the request: a link can be found missing at the central only."""
        current: Request | None = blocker
        while current is not None and current.status is Status.WAITING and current.waits_for:
            if current.waits_for == request.id:
                return True
            current = self._store.get(current.waits_for)
        return False

    def open_creator(self, link: Link, request: Request) -> Request | None:
        """The open request that creates what this links to, where it does not wait for the one that links."""
        creates = self._store.open_in_line(link.line, operations=(Operation.CREATE,)) if link.line else []
        return next((other for other in creates if not self._hangs_on(other, request.id)), None)

    def _hangs_on(self, request: Request, for_id: str) -> bool:
        current: Request | None = request
        while current is not None and current.status in OPEN:
            if current.id == for_id:
                return True
            current = self._store.get(current.waits_for) if current.waits_for else None
        return False

    def raise_rank(self, blocker: Request, rank: int) -> None:
        """What others wait for goes as early as the best of them."""
        current: Request | None = blocker
        while current is not None and current.status not in ENDS and current.rank > rank:
            self._store.replace(current.altered(rank=rank))
            current = self._store.get(current.waits_for) if current.waits_for else None

    # coalescing

    def _coalesced(self, first: Request, later: Request, others: list[Request]) -> bool:
        now = self._store.now()
        if mergeable(first, later, others):
            survivor, gone = merge(first, later, new_key=self._ids.new_key(), now=now)
            self._store.replace(survivor)
            self._close(gone)
            # At once: what it links to now has to be known before anything after it is placed.
            self.place(survivor)
            return True
        if cancels_out(first, later) and first.line and not self._linked_to(first.line):
            for ended in cancel_out(first, later, now=now):
                self._close(ended)
            return True
        return False

    def _linked_to(self, line: str) -> bool:
        return bool(self._store.linkers(line, limit=1))

    def _close(self, request: Request) -> None:
        self._store.replace(request)
        self._store.release(request.id)


def _takes_name(request: Request) -> str | None:
    """The name that its document has afterwards and did not have before."""
    if request.operation is Operation.CREATE:
        return request.resource_id
    if request.operation is Operation.RENAME and not request.body.get("merge"):
        return str(request.body.get("new_name") or "") or None
    return None


def _why(request: Request, blocker: Request) -> str:
    if request.order_group and blocker.order_group == request.order_group:
        return f"the order of the group {request.order_group}"
    if blocker.resource_type == request.resource_type and blocker.resource_id == request.resource_id:
        return "an earlier document of the same name"
    if request.operation in _NEEDS_FREE and blocker.operation not in CHANGES_IDENTITY:
        return f"a change of {blocker.resource_type} that linked to it"
    return f"{blocker.resource_type} {blocker.resource_id}, which it links to"
