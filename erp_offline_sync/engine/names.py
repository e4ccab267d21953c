"""One document under the names of both sites: links and child rows, here and there.

Names of linked documents differ between the sites, so that two values of a link field are compared and written
only after one was brought to the other's names. Works inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from .errors import LocalRefused
from .model import Document, Json, Link, Operation, Request, Schema
from .ordering import Placer
from .ports import Ports, Store
from .values import is_rows, synced_values

__all__ = [
    "document_links",
    "in_central_names",
    "in_local_names",
    "local_document",
    "other_owner",
    "write_back",
]

_Named = Callable[[str, str], str]
"""(doctype, name on one side) → name on the other."""


def in_central_names(store: Store, values: Json, schema: Schema | None) -> dict[str, Any]:
    """The branch's values with links under the names that the central has; rows keep the names they have here."""

    def named(doctype: str, name: str) -> str:
        document = store.document_named(doctype, name)
        return (document.central_name if document else None) or name

    return _translated(values, schema, named)


def in_local_names(
    store: Store, central: Json, schema: Schema | None, rows: Mapping[str, str]
) -> dict[str, Any]:
    """The central's synced values with links and rows under the names they have here. `rows`: local → central.

    What was merged here goes by the name of what it was merged into; what is not here, while another document has its
    name, by one that none has.
    """

    def named(doctype: str, name: str) -> str:
        return _local_name(store, doctype, name)

    values = _translated(synced_values(central, schema), schema, named)
    local_rows = {name: local for local, name in rows.items()}
    return {
        field: [{**row, "name": local_rows.get(str(row.get("name")))} for row in value]
        if value and is_rows(value)
        else value
        for field, value in values.items()
    }


def _local_name(store: Store, doctype: str, name: str) -> str:
    known = store.documents_at_central(doctype, [name])
    here = next((each for each in known if not each.deleted), None)
    if here is not None:
        return here.local_name
    going = [request for each in known for request in store.open_in_line(each.id, limit=1)]
    merged = next((into for request in going if (into := _merged_into(store, request)) is not None), None)
    if merged is not None:
        return merged.local_name
    namesake = store.document_named(doctype, name)
    return name if namesake is None or not (namesake.linked or going) else f"{name} (central)"


def _merged_into(store: Store, request: Request) -> Document | None:
    """What the document of this last open request of its line was merged into here; that may be merged as well."""
    if request.operation is not Operation.RENAME or not request.body.get("merge"):
        return None
    target = next((link.line for link in request.links if link.path == "new_name" and link.line), None)
    into = store.document(target) if target else None
    if into is None or not into.deleted:
        return into
    later = store.open_in_line(into.id, limit=1)
    return _merged_into(store, later[0]) if later else None


def other_owner(store: Store, doctype: str, central_name: str, line: str | None) -> Document | None:
    """Another document of this site that the central's one is known to be; a deleted one until its delete arrived."""
    known = store.documents_at_central(doctype, [central_name])
    return next(
        (
            each
            for each in known
            if each.id != line and (not each.deleted or store.open_in_line(each.id, limit=1))
        ),
        None,
    )


def write_back(ports: Ports, placer: Placer, line: str) -> bool:
    """Give the document of that line the central's name here too; False where the branch's own rules refuse, or
    the name is another's here. A transaction of its own."""
    store = ports.store
    try:
        with store.transaction():
            # What was saved under the old name finds its line by it.
            placer.place_all()
            document = store.document(line)
            if document is None or document.deleted or document.central_name in (None, document.local_name):
                return True
            if store.open_in_line(line, operations=(Operation.RENAME,), limit=1):
                return True  # somebody gave it another name meanwhile, which goes to the central
            new_name = str(document.central_name)
            if store.document_named(document.doctype, new_name) is not None:
                return False
            ports.documents.rename(document.doctype, document.local_name, new_name)
            store.put_document(replace(document, local_name=new_name))
    except LocalRefused:
        return False
    return True


def local_document(ports: Ports, document: Document) -> Json | None:
    """The branch's document as it stands. After its delete another one may have its name: that one is not it."""
    return None if document.deleted else ports.documents.current(document.doctype, document.local_name)


def document_links(values: Json, schema: Schema | None, known: Iterable[Link] = ()) -> tuple[Link, ...]:
    """What a document of this site links to: by its schema, and by the `known` links that its values still hold."""
    found = {link.path: link for link in known if _value_at(values, link.path) == link.name}
    if schema is not None:
        found |= {link.path: link for link in _by_schema(values, schema, "")}
    return tuple(found.values())


def _by_schema(values: Json, schema: Schema, prefix: str) -> Iterator[Link]:
    for field, doctype in _link_fields(values, schema):
        if values.get(field):
            yield Link(path=f"{prefix}{field}", doctype=doctype, name=str(values[field]))
    for table, row_schema in schema.tables.items():
        for position, row in enumerate(values.get(table) or ()):
            yield from _by_schema(row, row_schema, f"{prefix}{table}.{position}.")


def _link_fields(values: Json, schema: Schema) -> Iterator[tuple[str, str]]:
    """Each link field with the doctype that it names in this document."""
    yield from schema.links.items()
    for field, holds_doctype in schema.dynamic.items():
        if values.get(holds_doctype):
            yield field, str(values[holds_doctype])


def _value_at(values: Json, path: str) -> Any:
    table, _, rest = path.partition(".")
    value = values.get(table)
    if not rest:
        return value
    position, _, field = rest.partition(".")
    if not value or not is_rows(value) or not position.isdigit() or int(position) >= len(value):
        return None
    return value[int(position)].get(field)


def _translated(values: Json, schema: Schema | None, named: _Named) -> dict[str, Any]:
    changed = dict(values)
    if schema is None:
        return changed
    for field, doctype in _link_fields(values, schema):
        name = changed.get(field)
        if isinstance(name, str) and name:
            changed[field] = named(doctype, name)
    for table, row_schema in schema.tables.items():
        rows = changed.get(table)
        if rows and is_rows(rows):
            changed[table] = [_translated(row, row_schema, named) for row in rows]
    return changed
