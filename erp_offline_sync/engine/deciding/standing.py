"""A conflict as it stands now: with what was saved since it was found, and what both sides come to.

The page that shows a conflict and the decision that is made of it look through this, so that nobody decides on
something else than was seen. Nothing is written: changes that no run has placed yet are found by their document's
name. Works inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..conflict import conflict_type
from ..merge import Merged
from ..model import Conflict, ConflictType, Document, Json, Operation, Request, Schema, Status
from ..ports import LocalDocuments, Policies, Store
from .sides import Sides, sides_of

__all__ = ["Standing", "docstatus_of", "is_gone", "merges"]

_CHANGES = (Operation.UPDATE, Operation.SUBMIT, Operation.CANCEL, Operation.DELETE)
_AFTER_ALL = 2**62


class Standing:
    """Reads a store and the branch's documents."""

    def __init__(self, store: Store, documents: LocalDocuments, policies: Policies) -> None:
        self._store = store
        self._documents = documents
        self._policies = policies

    def merged(self, conflict: Conflict) -> Merged | None:
        """What both sides changed and come to, as long as it is open with how the branch's document stands now; None
        where the conflict is of no document."""
        sides = self.sides(self.now(conflict))
        return None if sides is None else sides.merged()

    def now(self, conflict: Conflict) -> Conflict:
        """An open conflict with the document as it stands here now, and with what its open requests were made from."""
        if conflict.conflict_type is ConflictType.CALL or not conflict.pending:
            return conflict
        document = self._store.document(conflict.line)
        conflict = self._after_arrival(conflict, document)
        line = self._line(conflict, document)
        if not line:
            return conflict
        base = dict(conflict.base_data or {})
        for request in line:
            base = {**(request.base or {}), **base}
        return replace(
            conflict,
            conflict_type=self.type_of(line, document, conflict.server_data, conflict.base_data or {}),
            local_data=self.local(line, document, base),
            base_data=base or None,
        )

    def sides(self, conflict: Conflict) -> Sides | None:
        """Both sides in the branch's names; None where the conflict is of no document."""
        document = self._store.document(conflict.line)
        if document is None or conflict.conflict_type is ConflictType.CALL:
            return None
        line = self._line(conflict, document) if conflict.pending else []
        return sides_of(self._store, conflict, document, line, self.schema(conflict.resource_type))

    def schema(self, doctype: str | None) -> Schema | None:
        return self._policies.schema(doctype) if doctype else None

    def document(self, document: Document) -> Json | None:
        """The branch's document as it stands. After its delete another one may have its name: that one is not it."""
        return None if document.deleted else self._documents.current(document.doctype, document.local_name)

    def type_of(
        self, line: list[Request], document: Document | None, server: Json | None, base: Json
    ) -> ConflictType:
        """By the first open request, or by the delete where the document is deleted here."""
        deleted = is_gone(line[-1]) and line[0].operation is not Operation.CREATE
        state_moved = server is not None and docstatus_of(server) != docstatus_of(base)
        subject = line[-1] if deleted else line[0]
        if document is not None and not document.linked and server is not None and not deleted:
            # Nothing was sent of it yet: the same document, or another of its name?
            return ConflictType.CREATE_CREATE
        return conflict_type(subject, gone=server is None, state_moved=state_moved)

    def local(self, line: list[Request], document: Document | None, base: Json) -> Json | None:
        """The document as it stands; put together from its requests where the branch keeps no documents."""
        if is_gone(line[-1]):
            return None
        current = None if document is None else self.document(document)
        if current is not None:
            return current
        combined: dict[str, Any] = dict(base)
        for request in line:
            combined.update(request.body)
        return combined

    def _line(self, conflict: Conflict, document: Document | None) -> list[Request]:
        """The open requests of the document in the order of their commits; those too that no run has placed yet."""
        line = sorted(self._store.open_in_line(conflict.line), key=lambda each: each.seq)
        if document is None or document.deleted:
            # Whatever is saved under its name now is another document.
            return line
        doctype, name = document.doctype, document.local_name
        for request in self._store.open_on_name(doctype, name, _CHANGES, before=_AFTER_ALL):
            if request.line is None:
                line.append(request)
                if request.operation is Operation.DELETE:
                    break
        return line

    def _after_arrival(self, conflict: Conflict, document: Document | None) -> Conflict:
        """One whose result the central has already, and the branch refused: what the central answered last counts."""
        first = self._store.get(conflict.local_request_id)
        if document is None or (first is not None and first.status is not Status.SYNCED):
            return conflict
        return replace(
            conflict,
            server_data=document.base,
            server_version=document.version,
            local_data=self.document(document),
        )


def merges(request: Request) -> bool:
    return request.operation is Operation.RENAME and bool(request.body.get("merge"))


def is_gone(last: Request) -> bool:
    """Whether the branch's document is not here any more after its last open request."""
    return last.operation is Operation.DELETE or merges(last)


def docstatus_of(document: Mapping[str, Any]) -> int:
    return int(document.get("docstatus") or 0)
