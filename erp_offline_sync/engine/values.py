"""When two values of a field are the same, and which fields of a document count.

A version that moved is a conflict only where a value that travels differs (semantics: "Delivery on a plain
central"), so everything that asks "is it equal" asks here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .model import FieldKind, Json, Schema

__all__ = ["FRAMEWORK_FIELDS", "differences", "is_rows", "moved_fields", "same_value", "synced_values"]

FRAMEWORK_FIELDS = frozenset(
    {
        "name",
        "owner",
        "creation",
        "modified",
        "modified_by",
        "idx",
        "docstatus",
        "doctype",
        "parent",
        "parentfield",
        "parenttype",
    }
)

_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d[ T])?(?P<h>\d{1,2}):(?P<m>\d\d)(?::(?P<s>\d{1,2})(?:\.(?P<f>\d+))?)?"
)
_CLOSE = 1e-9


def _is_own(field: str) -> bool:
    return field in FRAMEWORK_FIELDS or field.startswith("_")


def is_rows(value: Any) -> bool:
    """A child table: a list of objects."""
    return isinstance(value, (list, tuple)) and all(isinstance(row, Mapping) for row in value)


def _number(value: Any) -> float | None:
    if value is None or value == "" or value == []:
        return 0.0
    if isinstance(value, (bool, int, float)):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _time(value: str) -> str | None:
    """One spelling for a time or datetime: Frappe writes 9:05:04.5, 09:05:04.500000 and 9:05:4.5 for one time."""
    match = _TIME.fullmatch(value)
    if match is None:
        return None
    day = (match["day"] or "").replace("T", " ")
    fraction = (match["f"] or "").rstrip("0")
    return f"{day}{int(match['h']):02}:{match['m']}:{int(match['s'] or 0):02}.{fraction}"


def _parsed(value: Any) -> Any:
    if value == "":
        return None
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def same_value(one: Any, other: Any, kind: FieldKind | None = None) -> bool:
    """Null, empty text and (for numbers) zero are alike; a float that differs in its last bits is the same."""
    if one == other:
        return True
    if kind is FieldKind.TEXT:
        return ("" if one is None else str(one)) == ("" if other is None else str(other))
    if kind is FieldKind.JSON:
        return bool(_parsed(one) == _parsed(other))
    if not one and not other:
        return True
    if kind is FieldKind.NUMBER or not (isinstance(one, str) and isinstance(other, str)):
        first, second = _number(one), _number(other)
        return (
            first is not None
            and second is not None
            and abs(first - second) <= _CLOSE * max(1.0, abs(first), abs(second))
        )
    first_time = _time(one)
    return first_time is not None and first_time == _time(other)


def _same_rows(one: Any, other: Any, schema: Schema | None) -> bool:
    ours, theirs = list(one or ()), list(other or ())
    return len(ours) == len(theirs) and all(
        not moved_fields(a, b, schema) for a, b in zip(ours, theirs, strict=True)
    )


def _fields(documents: Iterable[Json], schema: Schema | None) -> list[str]:
    if schema is not None:
        return [*schema.fields, *schema.tables]
    return sorted({field for document in documents for field in document if not _is_own(field)})


def _same_field(field: str, one: Any, other: Any, schema: Schema | None) -> bool:
    if schema is not None and field in schema.tables:
        return _same_rows(one, other, schema.tables[field])
    if schema is None and (one or other) and is_rows(one or []) and is_rows(other or []):
        return _same_rows(one, other, None)
    return same_value(one, other, schema.fields.get(field) if schema else None)


def moved_fields(before: Json, after: Json, schema: Schema | None) -> list[str]:
    """The synced fields in which the two documents differ. Without a schema every field but the framework's."""
    return [
        field
        for field in _fields((before, after), schema)
        if not _same_field(field, before.get(field), after.get(field), schema)
    ]


def synced_values(document: Json, schema: Schema | None) -> dict[str, Any]:
    """The document's synced fields; rows keep their synced fields and their `name`."""
    if schema is None:
        values = {field: value for field, value in document.items() if not _is_own(field)}
        return {
            field: [{**synced_values(row, None), "name": row.get("name")} for row in value]
            if value and is_rows(value)
            else value
            for field, value in values.items()
        }
    kept = {field: document[field] for field in schema.fields if field in document}
    for table, row_schema in schema.tables.items():
        if table in document:
            kept[table] = [
                {**synced_values(row, row_schema), "name": row.get("name")} for row in document[table] or ()
            ]
    return kept


def differences(sent: Json, answered: Json, schema: Schema | None) -> dict[str, list[Any]]:
    """Fields that came back otherwise than sent: {field: [sent, answered]}; an absent one is answered None.

    Only what was sent is compared: fields of rows that the central adds of itself are its own.
    """
    found: dict[str, list[Any]] = {}
    for field, value in sent.items():
        if _is_own(field) or (schema is not None and field in schema.carried):
            continue
        other = answered.get(field)
        if is_rows(value) and value:
            rows = list(other or ()) if is_rows(other or []) else []
            row_schema = schema.tables.get(field) if schema else None
            same = len(rows) == len(value) and all(
                not differences(row, answer, row_schema) for row, answer in zip(value, rows, strict=True)
            )
        else:
            same = _same_field(field, value, other, schema)
        if not same:
            found[field] = [value, other]
    return found
