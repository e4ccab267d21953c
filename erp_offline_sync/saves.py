"""Which saves, deletes and renames are going on around a document's event, read off the call stack.

Frappe's own list of documents being saved keeps one whose save failed (frappe.flags.currently_saving), so a
later save in the same request would look like a part of it. The stack cannot be wrong about what is running.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import unwrap
from typing import Any

from frappe.model.delete_doc import delete_doc
from frappe.model.document import Document
from frappe.model.rename_doc import rename_doc
from frappe.modules.import_file import import_doc


@dataclass(frozen=True, slots=True)
class Step:
    """One call that is running. `doc` is the document in memory, where there is one."""

    kind: str
    """insert, save, db_set, delete, rename or import."""
    doctype: str = ""
    name: str = ""
    doc: Any = None
    merge: bool = False
    reload: bool = False
    """A delete that only makes way for the same document read from a file."""
    may_be_there: bool = False
    """An insert that passes over a row that is there already."""

    def is_about(self, doctype: str, name: str) -> bool:
        return self.doctype == doctype and self.name == name


def running() -> list[Step]:
    """The calls around the caller, innermost first."""
    found: list[Step] = []
    frame = sys._getframe(1)
    while frame is not None:
        read = _READERS.get(frame.f_code)
        if read is not None:
            step = read(frame.f_locals)
            # save() of a new document calls insert(): one save, not two.
            inner = found[-1] if found else None
            if not (step.kind == "save" and inner and inner.kind == "insert" and inner.doc is step.doc):
                found.append(step)
        frame = frame.f_back
    return found


def _of_document(kind: str) -> Callable[[Mapping[str, Any]], Step]:
    def read(variables: Mapping[str, Any]) -> Step:
        doc = variables["self"]
        ignores = bool(variables.get("ignore_if_duplicate"))
        return Step(kind, doc.doctype, str(doc.name), doc, may_be_there=kind == "insert" and ignores)

    return read


def _delete(variables: Mapping[str, Any]) -> Step:
    doctype, name = str(variables.get("doctype")), str(variables.get("name"))
    return Step("delete", doctype, name, variables.get("doc"), reload=bool(variables.get("for_reload")))


def _rename(variables: Mapping[str, Any]) -> Step:
    doctype, old = str(variables.get("doctype")), str(variables.get("old"))
    return Step("rename", doctype, old, merge=bool(variables.get("merge")))


_READERS: Mapping[Any, Callable[[Mapping[str, Any]], Step]] = {
    Document.insert.__code__: _of_document("insert"),
    Document._save.__code__: _of_document("save"),
    Document.db_set.__code__: _of_document("db_set"),
    unwrap(delete_doc).__code__: _delete,
    unwrap(rename_doc).__code__: _rename,
    unwrap(import_doc).__code__: lambda variables: Step("import"),
}
