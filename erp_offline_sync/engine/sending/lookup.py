"""Asks the central how a document stands. Whatever is no proper answer is raised as CentralUnavailable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from ..classify import classify, read_document, read_names
from ..errors import CentralUnavailable
from ..model import Document, Json, Operation, Reply
from ..names import other_owner
from ..ports import Ports
from ..values import differences, moved_fields

__all__ = ["LookNeeded", "Lookup"]

CREATED_SHOWN = 1000
"""More names the central does not answer at once (port: find_created_since)."""
_LOOKED_AT = 50
"""No more documents are read to see whether one of them is meant."""


class LookNeeded(Exception):
    """The central has to be asked, which is not done here."""


class Lookup:
    """Reads only; no transaction is open meanwhile."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._barred = False

    @contextmanager
    def barred(self) -> Iterator[None]:
        """A transaction may be open meanwhile: what would fetch raises LookNeeded."""
        self._barred = True
        try:
            yield
        finally:
            self._barred = False

    def fetch(self, doctype: str, name: str) -> Json | None:
        """The central's document, None where it certainly is not there. Raises LookNeeded while looks are barred."""
        if self._barred:
            raise LookNeeded
        reply = self._ports.central.fetch(doctype, name)
        state, document = read_document(reply)
        if state == "unknown":
            raise _unavailable(reply)
        return document

    def find(self, doctype: str, filters: Json) -> list[str]:
        return self._names(self._ports.central.find(doctype, filters))

    def created_since(self, doctype: str, since: datetime) -> list[str] | None:
        """Documents that our API user made since then and that no request of ours is linked to; None where there
        are too many to see all of them."""
        names = self._names(self._ports.central.find_created_since(doctype, since))
        with self._ports.store.transaction():
            taken = {doc.central_name for doc in self._ports.store.documents_at_central(doctype, names)}
        left = [name for name in names if name not in taken]
        return None if len(names) >= CREATED_SHOWN or len(left) >= _LOOKED_AT else left

    def other_owner(self, doctype: str, central_name: str, line: str | None) -> Document | None:
        """Another document of this site that the central's one is known to be."""
        with self._ports.store.transaction():
            return other_owner(self._ports.store, doctype, central_name, line)

    def moved(self, document: Document, central: Json) -> bool:
        """Whether a synced field, or the docstatus, differs from what the central last answered."""
        base = document.base
        if base is None:
            return True
        return bool(
            (base.get("docstatus") or 0) != (central.get("docstatus") or 0)
            or moved_fields(base, central, self._ports.policies.schema(document.doctype))
        )

    def holds(self, central: Json, sent: Json, doctype: str, docstatus: int | None = None) -> bool:
        """Whether the central's document is in the wanted state and has every field that was sent."""
        if docstatus is not None and (central.get("docstatus") or 0) != docstatus:
            return False
        return not differences(sent, central, self._ports.policies.schema(doctype))

    def same_document(self, local: Json, central: Json, doctype: str) -> bool:
        """The same document though nothing was ever sent: made at the same instant, or equal in its synced fields."""
        if local.get("creation") and str(local["creation"]) == str(central.get("creation")):
            return True
        return not moved_fields(local, central, self._ports.policies.schema(doctype))

    def _names(self, reply: Reply) -> list[str]:
        names = read_names(reply)
        if names is None:
            raise _unavailable(reply)
        return names


def _unavailable(reply: Reply) -> CentralUnavailable:
    return CentralUnavailable(classify(reply, Operation.CALL))
