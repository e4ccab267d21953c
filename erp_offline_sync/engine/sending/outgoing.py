"""What goes over the line for a request, and what an answer says about its document.

Pure functions: names of links, the version and the central's rows are handed in. Rules: hooks-docs/semantics.md,
"What is sent". The branch's own row names never travel (the central loses such rows), nor do the fields that
the framework sets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..identity import canonical_json
from ..model import Document, FieldKind, Json, Link, Operation, Request, Schema, Wire
from ..paths import document_path
from ..values import FRAMEWORK_FIELDS, is_rows, same_value, synced_values

__all__ = [
    "DOCSTATUS",
    "build_wire",
    "carried_values",
    "create_values",
    "document_body",
    "has_rows",
    "links_in_body",
    "row_names",
    "row_to_send",
    "rows_for_update",
    "with_names",
]

DOCSTATUS: Mapping[Operation, int] = {Operation.SUBMIT: 1, Operation.CANCEL: 2}
"""The state that these operations want."""

_RENAME = "/api/method/frappe.client.rename_doc"


def has_rows(body: Json) -> bool:
    """Whether a child table travels; one that was emptied is a table too."""
    return any(is_rows(value) for value in body.values())


def links_in_body(request: Request) -> tuple[Link, ...]:
    """The links whose field travels with this request."""
    return tuple(link for link in request.links if link.path.split(".", 1)[0] in request.body)


def with_names(body: Json, names: Mapping[str, str]) -> dict[str, Any]:
    """The body with the values at these paths replaced: `{"customer": "CUST-7", "items.2.item_code": "X"}`."""
    changed: dict[str, Any] = dict(body)
    for path, name in names.items():
        table, _, rest = path.partition(".")
        if not rest:
            changed[table] = name
            continue
        position, _, field = rest.partition(".")
        rows = [dict(row) for row in changed[table]]
        rows[int(position)][field] = name
        changed[table] = rows
    return changed


def row_to_send(row: Json) -> dict[str, Any]:
    return {field: value for field, value in row.items() if field not in FRAMEWORK_FIELDS}


def rows_for_update(ours: Any, before: Any, central: Any, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The whole table as the central shall hold it: its own last known rows with our changes over them.

    `ours` and `before` are the branch's rows (with local names) now and before the change. A row of the central that
    the branch never knew stays; one that the branch removed goes. Without `before` the caller wrote the table whole,
    under the central's own row names.
    """
    earlier = {row.get("name"): row for row in before or ()}
    theirs = {row["name"]: row for row in central or ()}
    known_here = {names[name] for name in earlier if name in names}
    sent: list[dict[str, Any]] = []
    for row in ours or ():
        local_name = row.get("name")
        central_row = theirs.get(names.get(str(local_name), str(local_name)))
        if central_row is None:
            sent.append(row_to_send(row))
            continue
        was = earlier.get(local_name, {})
        changed = {
            field: value for field, value in row_to_send(row).items() if not same_value(value, was.get(field))
        }
        sent.append({**row_to_send(central_row), **changed, "name": central_row["name"]})
    kept = {row["name"] for row in sent if "name" in row}
    for name, row in theirs.items():
        if before is not None and name not in kept and name not in known_here:
            sent.append({**row_to_send(row), "name": name})
    return sent


def build_wire(
    request: Request,
    document: Document | None,
    *,
    names: Mapping[str, str],
    version: str | None,
    central: Json | None = None,
) -> Wire:
    """The bytes of a request. `names` maps link paths to the central's names; `central` is the central's
    document under `version`, needed where a child table changed."""
    operation = request.operation
    if operation is Operation.CALL or document is None:
        body = canonical_json(request.body) if request.method != "GET" else None
        return Wire(method=request.method, path=request.path, body=body)
    doctype = document.doctype
    if operation is Operation.CREATE:
        values = create_values(with_names(request.body, names))
        return Wire(method="POST", path=document_path(doctype), body=canonical_json(values))
    central_name = document.central_name or document.local_name
    if operation is Operation.RENAME:
        renaming = {
            "doctype": doctype,
            "old_name": central_name,
            "new_name": with_names(request.body, names)["new_name"],
            "merge": 1 if request.body.get("merge") else 0,
        }
        return Wire(method="POST", path=_RENAME, body=canonical_json(renaming))
    path = document_path(doctype, central_name)
    if operation is Operation.DELETE:
        return Wire(method="DELETE", path=path, body=None)
    renamed = with_names(request.body, names)
    base = with_names(request.base or {}, {})
    changed = {
        field: rows_for_update(value, base.get(field), (central or {}).get(field), document.rows)
        if is_rows(value) and (value or is_rows(base.get(field) or []))
        else value
        for field, value in renamed.items()
        if field not in FRAMEWORK_FIELDS
    }
    if operation in DOCSTATUS:
        changed["docstatus"] = DOCSTATUS[operation]
    return Wire(method="PUT", path=path, body=canonical_json({**changed, "modified": version}))


def create_values(body: Json) -> dict[str, Any]:
    """A whole document for an insert: its own fields, and `name` and `docstatus` where they were given."""
    own = {field: value for field, value in body.items() if field not in FRAMEWORK_FIELDS}
    given = {field: body[field] for field in ("name", "docstatus") if body.get(field)}
    return {
        **{
            field: [row_to_send(row) for row in value] if value and is_rows(value) else value
            for field, value in own.items()
        },
        **given,
    }


def document_body(document: Json, schema: Schema | None) -> dict[str, Any]:
    """The body of a create for a document as it stands: its synced and carried fields, the policy's values on the way out, its
    name where the branch gives it, and its docstatus where it has one. Nothing is left empty that the central
    would fill with a default of its own."""
    body = _without_nulls(_carried_along(document, schema), schema)
    if schema is not None:
        body.update(schema.outgoing)
        if schema.named_here:
            body["name"] = document.get("name")
    if document.get("docstatus"):
        body["docstatus"] = document["docstatus"]
    return body


def _carried_along(document: Json, schema: Schema | None) -> dict[str, Any]:
    """The synced values, and those that only go along; of rows too."""
    values = synced_values(document, schema)
    if schema is None:
        return values
    for table, row_schema in schema.tables.items():
        if row_schema.carried and table in values:
            pairs = zip(values[table], document[table] or (), strict=True)
            values[table] = [{**_filled(row, row_schema.carried), **own} for own, row in pairs]
    return {**_filled(document, schema.carried), **values}


def carried_values(body: Json, schema: Schema | None) -> Iterator[tuple[str, Any]]:
    """Path and value of each carried field that the body holds."""
    if schema is None:
        return
    for field in schema.carried & body.keys():
        yield field, body[field]
    for table, row_schema in schema.tables.items():
        rows = body.get(table) or ()
        for position, row in enumerate(rows if row_schema.carried and is_rows(rows) else ()):
            yield from (
                (f"{table}.{position}.{field}", row[field]) for field in row_schema.carried & row.keys()
            )


def _filled(values: Json, fields: Collection[str]) -> dict[str, Any]:
    """Those that hold something: what is computed at the central is not emptied there."""
    return {field: values[field] for field in fields if values.get(field)}


def _without_nulls(values: Json, schema: Schema | None) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for field, value in values.items():
        if value is None:
            number = schema is not None and schema.fields.get(field) is FieldKind.NUMBER
            filled[field] = 0 if number else ""
        elif value and is_rows(value):
            filled[field] = [
                _without_nulls(row, schema.tables.get(field) if schema else None) for row in value
            ]
        else:
            filled[field] = value
    return filled


def row_names(local: Json, answered: Json, known: Mapping[str, str]) -> dict[str, str]:
    """Names of child rows, local → central, as the answer shows them; `local` is the body in local names.

    Rows are matched by the name that is known, then in order among those that carry the same sent values. A row
    that was removed and put back is another one at the central.
    """
    names = dict(known)
    for table, value in local.items():
        rows = answered.get(table)
        if not value or not is_rows(value) or not is_rows(rows or []):
            continue
        there = {str(row.get("name")) for row in rows or ()}
        free = [row for row in rows or () if row.get("name") not in set(names.values())]
        for row in value:
            local_name = row.get("name")
            if not local_name or names.get(str(local_name)) in there:
                continue
            last = free[0] if free and local_name not in names else None
            match = next((other for other in free if _alike(row, other)), last)
            if match is not None:
                free.remove(match)
                names[str(local_name)] = str(match["name"])
    return names


def _alike(row: Json, other: Json) -> bool:
    return all(same_value(value, other.get(field)) for field, value in row_to_send(row).items())
