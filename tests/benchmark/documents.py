"""The documents that are sent in benchmarks: a small one, and an invoice as large as a real one.

Values are drawn, so that they pack worse than what shops write. About half of an invoice's fields are empty, as
in ERPNext; where a number or a text stands depends on the field alone.
"""

from __future__ import annotations

import random
from typing import Any

from erp_offline_sync.engine.model import FieldKind, Schema
from erp_offline_sync.testing.stand_in import DocTypeRule, FieldRule

__all__ = ["INVOICE", "INVOICE_SCHEMA", "NOTE", "RULES", "changed_head", "changed_row", "invoice", "note"]

NOTE, INVOICE = "Note", "Large Invoice"
_KINDS = ("Currency", "Data", "Float", "Data", "Date", "Currency", "Check", "Data")
_WORDS = [
    "north",
    "south",
    "till",
    "paper",
    "river",
    "stone",
    "market",
    "green",
    "price",
    "copper",
    "window",
    "harbour",
    "paint",
]
_LENGTHS = {"items": (8, 95), "taxes": (2, 28)}
_HEAD = 185


def _names(table: str, count: int) -> dict[str, str]:
    """Field → fieldtype."""
    return {f"{table}_field_{number:03}": _KINDS[number % len(_KINDS)] for number in range(count)}


_FIELDS = _names("invoice", _HEAD)
_ROWS = {table: _names(table, count) for table, (_, count) in _LENGTHS.items()}


def _rules(fields: dict[str, str]) -> dict[str, FieldRule]:
    return {name: FieldRule(fieldtype=kind) for name, kind in fields.items()}


def _kinds(fields: dict[str, str]) -> dict[str, FieldKind]:
    kinds = {"Data": FieldKind.TEXT, "Date": FieldKind.DATE}
    return {name: kinds.get(kind, FieldKind.NUMBER) for name, kind in fields.items()}


RULES = (
    DocTypeRule(
        name=NOTE,
        fields={name: FieldRule() for name in ("title", "category", "text")}
        | {"day": FieldRule(fieldtype="Date")},
    ),
    *(
        DocTypeRule(name=f"Large {table}", fields=_rules(fields), is_table=True)
        for table, fields in _ROWS.items()
    ),
    DocTypeRule(
        name=INVOICE,
        fields={
            **_rules(_FIELDS),
            **{table: FieldRule(fieldtype="Table", options=f"Large {table}") for table in _ROWS},
        },
    ),
)
INVOICE_SCHEMA = Schema(
    fields=_kinds(_FIELDS), tables={table: Schema(fields=_kinds(fields)) for table, fields in _ROWS.items()}
)


def note(number: int, drawn: random.Random) -> dict[str, Any]:
    """A few hundred bytes."""
    return {
        "title": f"Note {number}",
        "category": drawn.choice(_WORDS),
        "day": "2026-01-05",
        "text": " ".join(drawn.choices(_WORDS, k=30)),
    }


def invoice(number: int, drawn: random.Random) -> dict[str, Any]:
    """24 kB of JSON, with the branch's own names of document and rows, and nulls and zeros where nothing was entered."""
    rows = {
        table: [
            {"name": f"{number}-{table}-{place}", "idx": place + 1, **_values(_ROWS[table], drawn)}
            for place in range(count)
        ]
        for table, (count, _) in _LENGTHS.items()
    }
    return {"name": f"INV-{number}", **_values(_FIELDS, drawn), **rows}


def changed_head(document: dict[str, Any], drawn: random.Random) -> dict[str, Any]:
    """Three of its own fields are others."""
    return {**document, **{f"invoice_field_{place:03}": _value(place, drawn) for place in (8, 9, 13)}}


def changed_row(document: dict[str, Any], drawn: random.Random) -> dict[str, Any]:
    """The same, and two fields of one row."""
    rows = [dict(row) for row in document["items"]]
    rows[3] |= {f"items_field_{place:03}": _value(place, drawn) for place in (0, 1)}
    return {**changed_head(document, drawn), "items": rows}


def _values(fields: dict[str, str], drawn: random.Random) -> dict[str, Any]:
    empty = {"Data": None, "Date": None}
    return {
        name: empty.get(kind, 0) if place % 2 else _value(place, drawn)
        for place, (name, kind) in enumerate(fields.items())
    }


def _value(place: int, drawn: random.Random) -> Any:
    kind = _KINDS[place % len(_KINDS)]
    if kind in ("Currency", "Float"):
        return round(drawn.uniform(1, 5000), 2)
    if kind == "Check":
        return 1
    if kind == "Date":
        return f"2026-{drawn.randint(1, 12):02}-{drawn.randint(1, 28):02}"
    return " ".join(drawn.choices(_WORDS, k=2))
