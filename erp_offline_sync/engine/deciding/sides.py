"""Both sides of a conflict under the names of the branch, and what they come to.

Links and rows have other names at the central, so that the three documents are brought to the branch's before they
are merged. What no change of the branch touched counts as unchanged here: it may differ from the base only by what
the central's own code made of an earlier change. Works inside the caller's transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InvalidRequest
from ..merge import Merged, Side, merge, resolve
from ..model import Conflict, ConflictType, Document, Json, Request, Schema
from ..names import in_central_names, in_local_names
from ..ports import Store
from ..sending.outgoing import row_names
from ..values import is_rows, moved_fields, same_value, synced_values

__all__ = [
    "Sides",
    "common_base",
    "field_of",
    "known_rows",
    "matched_rows",
    "result_of",
    "sides_of",
    "taken_here",
]

_KEY = re.compile(r"(?P<field>[^\[\].]+)(\[(?P<row>[^\]]+)\](\.(?P<column>[^\[\].]+))?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Three documents in the branch's names; `rows` names every row of the central: local → central."""

    base: Json | None
    local: Json | None
    server: Json | None
    rows: Mapping[str, str]
    schema: Schema | None

    def merged(self) -> Merged:
        return merge(self.base, self.local, self.server, self.schema, precision=_precision(self.schema))

    def matched(self, merged: Merged) -> Sides:
        """With the rows that both sides added alike known as one, under the name that it has here."""
        names = {there: here for there, here in _paired(merged).items() if there in self.rows}
        if not names:
            return self
        rows = {names.get(local, local): central for local, central in self.rows.items()}
        return replace(self, rows=rows, server=_renamed_rows(self.server or {}, names))

    def moved(self, values: Json) -> list[str]:
        """The fields of a result in which it differs from what stands at the central."""
        server = self.server or {}
        return [
            field
            for field in moved_fields({**values, **server}, {**server, **values}, self.schema)
            if field in values
        ]


def sides_of(
    store: Store, conflict: Conflict, document: Document, held: Iterable[Request], schema: Schema | None
) -> Sides:
    """What is to be merged: the changes of the held requests, and those at the central."""
    changed = _changed_here(conflict, held)
    base, local, server = conflict.base_data, conflict.local_data, conflict.server_data
    if conflict.conflict_type is ConflictType.CREATE_CREATE:
        base = None
    elif base is not None and local is not None and changed:
        local = {**base, **{field: value for field, value in local.items() if field in changed}}
    rows = known_rows(document.rows, server or {})
    return Sides(
        base=base,
        local=local,
        server=None if server is None else in_local_names(store, server, schema, rows),
        rows=rows,
        schema=schema,
    )


def _changed_here(conflict: Conflict, held: Iterable[Request]) -> set[str]:
    """The fields that the branch changed; after a decision as its requests stood before."""
    if conflict.pending:
        chosen = {field_of(key) for key in conflict.choices or ()}
        return chosen | {field for request in held for field in request.body}
    forms: Mapping[str, Json] = (conflict.undo or {}).get("requests") or {}
    return {field for form in forms.values() for field in form["body"]}


def common_base(
    store: Store,
    document: Document | None,
    held: Iterable[Request],
    server: Json | None,
    schema: Schema | None,
) -> dict[str, Any]:
    """What both had in common, in the branch's names: the central's last answer, and under it what the changes were
    made from; where the central moved a field since, what the first of them was made from."""
    last = document.base if document else None
    known: dict[str, Any] = {}
    if document is not None and last is not None:
        known = {**last, **in_local_names(store, last, schema, known_rows(document.rows, last))}
    made_from: dict[str, Any] = {}
    for request in held:
        made_from = {**(request.base or {}), **made_from}
    still = set(known)
    if last is not None and server is not None:
        still -= set(moved_fields(last, {**last, **server}, schema))
    return {**known, **{field: value for field, value in made_from.items() if field not in still}}


def known_rows(rows: Mapping[str, str], central: Json) -> dict[str, str]:
    """Names of child rows, local → central, of every row of this document: one never seen has the central's name."""
    names, seen = dict(rows), set(rows.values())
    for value in central.values():
        for row in value if value and is_rows(value) else ():
            name = str(row.get("name"))
            if name not in seen:
                names[name if name not in names else f"{name} (central)"] = name
    return names


def matched_rows(
    store: Store, local: Json, central: Json, schema: Schema | None, known: Mapping[str, str]
) -> dict[str, str]:
    """The rows of the branch's document as those of the central that they are."""
    return row_names(in_central_names(store, synced_values(local, schema), schema), central, known)


def result_of(
    sides: Sides,
    merged: Merged,
    *,
    choices: Mapping[str, Side | str],
    rest: Side | None,
    values: Json,
) -> dict[str, Any]:
    """What both sides are to have: the merge with these choices, and over it these values.

    `values`: {field, or `table[row].field`: value}, rows as the merge names them. Raises InvalidRequest with what
    clashes and was not chosen, or for what is no synced field or row.
    """
    fields = {key: _known_key(key, sides.schema) for key in values}
    # A value that is given is a choice that is made.
    given = {clash.key: Side.LOCAL for clash in merged.clashes if _covers(clash.key, fields)}
    result = resolve(merged, {**given, **choices}, rest) or {}
    paired = _paired(merged)
    result = _renamed_rows(result, paired)
    for key, value in sorted(values.items(), key=lambda each: "[" in each[0]):
        field, row, column = fields[key]
        if row is None:
            if sides.schema is not None and field in sides.schema.tables and not is_rows(value):
                raise InvalidRequest(f"{field} is a table: its value is a list of rows.")
            result[field] = value
            continue
        rows = [dict(each) for each in result.get(field) or ()]
        found = [each for each in rows if str(each.get("name")) == paired.get(row, row)]
        if not found:
            raise InvalidRequest(f"{field} has no row {row}.")
        found[0][str(column)] = value
        result[field] = rows
    return result


def taken_here(
    current: Json, theirs: Json, schema: Schema | None, *, names: tuple[str, str]
) -> dict[str, Any]:
    """Those of the values that are to stand here in which the branch's document differs. `names` are its own, here
    and there."""
    # A field that it is named by follows the name, which stays what it is here.
    keep = {field for field, value in theirs.items() if value == names[1] and current.get(field) == names[0]}
    # Nor is what the policy sets on the way out anybody's change.
    sets = schema.outgoing if schema else {}
    keep |= {field for field, value in sets.items() if same_value(theirs.get(field), value)}
    differing = moved_fields({**theirs, **synced_values(current, schema)}, theirs, schema)
    return {field: theirs[field] for field in differing if field in theirs and field not in keep}


def field_of(key: str) -> str:
    """The field of the document that the key of a clash is about."""
    return key.partition("[")[0]


def _covers(key: str, fields: Mapping[str, tuple[str, str | None, str | None]]) -> bool:
    return key in fields or field_of(key) in fields


def _known_key(key: str, schema: Schema | None) -> tuple[str, str | None, str | None]:
    """Field, row and column that a value is for. Raises InvalidRequest."""
    match = _KEY.fullmatch(key)
    if match is None or (match["row"] and not match["column"]):
        raise InvalidRequest(f"{key!r} names neither a field nor a field of a row (`table[row].field`).")
    field, row, column = match["field"], match["row"], match["column"]
    if schema is not None:
        rows = schema.tables.get(field)
        known = field in schema.fields or rows is not None
        if not known or (row is not None and (rows is None or column not in rows.fields)):
            raise InvalidRequest(f"{key} is not a field that is synchronised.")
    return field, row, column


def _paired(merged: Merged) -> dict[str, str]:
    """{row there: row here}, for rows that have a name here."""
    return {
        there: here
        for table, pairs in merged.paired.items()
        for here, there in pairs.items()
        if any(str(row.get("name")) == here for row in (merged.local or {}).get(table) or ())
    }


def _renamed_rows(values: Json, names: Mapping[str, str]) -> dict[str, Any]:
    if not names:
        return dict(values)
    return {
        field: [{**row, "name": names.get(str(row.get("name")), row.get("name"))} for row in value]
        if value and is_rows(value)
        else value
        for field, value in values.items()
    }


def _precision(schema: Schema | None) -> dict[str, int]:
    if schema is None:
        return {}
    rows = {
        f"{table}.{field}": decimals
        for table, each in schema.tables.items()
        for field, decimals in each.precision.items()
    }
    return {**schema.precision, **rows}
