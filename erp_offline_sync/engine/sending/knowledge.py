"""What the branch knows of a document at the central, and whether somebody changed it there since."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import LeaseLost
from ..model import Document, Json, Request
from ..names import in_central_names, local_document
from ..ordering import Placer
from ..ports import Ports
from ..values import moved_fields
from .booking import Booking
from .lookup import Lookup

__all__ = ["Knowledge"]


class Knowledge:
    """Reads and keeps what is known of the documents that requests are about."""

    def __init__(self, ports: Ports, lookup: Lookup, booking: Booking) -> None:
        self._ports = ports
        self._store = ports.store
        self._lookup = lookup
        self._booking = booking
        self._placer = Placer(ports.store, ports.ids)

    def learn(self, request: Request, document: Document, **changes: Any) -> Document:
        """Keep what the central said of a document, under the lease. What was placed meanwhile stays."""
        with self._store.transaction():
            current = self._store.get(request.id)
            if current is None or current.lease_token != self._booking.token:
                raise LeaseLost("Another run took over this request.")
            learned = replace(self._store.document(document.id) or document, **changes)
            self._store.put_document(learned)
        return learned

    def as_known(
        self, document: Document, central: Json, expected: Json, *, version: str | None
    ) -> dict[str, Any]:
        """Version and base after a look: the central's where it stands as expected. Otherwise somebody changed
        it there, which is found when the next request about it is sent."""
        schema = self._ports.policies.schema(document.doctype)
        same = (expected.get("docstatus") or 0) == (central.get("docstatus") or 0)
        if same and not moved_fields(expected, central, schema):
            return {"version": str(central.get("modified") or "") or None, "base": central}
        return {"version": version, "base": {**expected, "name": central["name"]}}

    def moved(self, document: Document, central: Json) -> bool:
        """Whether the central's document changed in a way that the branch does not have as well."""
        base = document.base
        if not self._lookup.moved(document, central):
            return False
        if base is None or (base.get("docstatus") or 0) != (central.get("docstatus") or 0):
            return True
        schema = self._ports.policies.schema(document.doctype)
        with self._store.transaction():
            local = self.local(document)
            ours = None if local is None else in_central_names(self._store, local, schema)
        fields = moved_fields(base, central, schema)
        return ours is None or not set(fields).isdisjoint(moved_fields(ours, central, schema))

    def local(self, document: Document) -> Json | None:
        """The branch's document under the name that it has now: a rename may just have been saved."""
        self._placer.place_all()
        current = self._store.document(document.id) or document
        return local_document(self._ports, current)

    def anothers(self, doctype: str, name: str, line: str | None) -> str | None:
        """Why the central's document of that name cannot be the one of this line."""
        other = self._lookup.other_owner(doctype, name, line)
        if other is None:
            return None
        return f"{doctype} {name} at the central is {other.local_name} here. Rename one of them, then retry."

    def stands(self, request: Request, told: Json | None = None) -> tuple[Document, Json | None]:
        """The document of the request, and how it stands at the central: as it told just now, or is asked."""
        with self._store.transaction():
            document = self._store.document(str(request.line))
        if document is None:
            raise LeaseLost(f"The document of request {request.id} is not known any more.")
        central = told or self._lookup.fetch(document.doctype, document.central_name or document.local_name)
        return document, central
