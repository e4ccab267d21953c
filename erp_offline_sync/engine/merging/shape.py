"""The fields of a document or of its rows, as a merge sees them: which count, and when two values are the same.

Rows are picked, not copied: of a long table most are the same on both sides, and a tuple of their values tells so
at a fraction of the cost of an object. A row that lacks a field, or a name, is an object from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from ..model import FieldKind, Json, Schema
from ..values import FRAMEWORK_FIELDS, is_rows, same_value

__all__ = ["EMPTY", "Pick", "Row", "Shape", "are_rows", "name_of"]

EMPTY = (None, "")

Row = dict[str, Any]
Pick = tuple[Any, ...] | Row
"""The name and the synced fields of a row: only their values, or an object."""


def are_rows(value: Any) -> bool:
    """A child table; what was read from JSON is told without a look at each row."""
    return (isinstance(value, list) and {*map(type, value)} == {dict}) or is_rows(value)


def name_of(pick: Pick) -> str | None:
    name = pick[0] if isinstance(pick, tuple) else pick.get("name")
    return None if name is None else str(name)


class Shape:
    """Made of a schema, or without one of `values`' rules: every field but the framework's.

    `precision`: decimals that count, by field; `table` is what the fields of this shape begin with there.
    """

    def __init__(self, schema: Schema | None, precision: Mapping[str, int], table: str = "") -> None:
        self._kinds = schema.fields if schema else None
        self._names = [*schema.fields, *schema.tables] if schema else None
        self._decimals = {
            name[len(table) :]: decimals for name, decimals in precision.items() if name.startswith(table)
        }
        self._row_names = ("name", *(self._names or ()))
        self._values: Callable[[Json], tuple[Any, ...]] | None = (
            itemgetter(*self._row_names) if self._names else None
        )

    # which count

    def own(self, document: Json) -> Row:
        """Its synced fields."""
        if self._names is None:
            return {
                name: value
                for name, value in document.items()
                if name not in FRAMEWORK_FIELDS and not name.startswith("_")
            }
        return {name: document[name] for name in self._names if name in document}

    def picks(self, rows: Iterable[Json]) -> list[Pick]:
        picked: list[Pick] = []
        values = self._values
        for row in rows:
            name = row.get("name")
            if not name:
                picked.append(self.own(row))
                continue
            if values is not None:
                try:
                    picked.append(values(row))
                    continue
                except KeyError:
                    pass
            picked.append({"name": name, **self.own(row)})
        return picked

    def row(self, pick: Pick) -> Row:
        # As many values as names: the one was picked by the other, and to count them takes a quarter of the time.
        return dict(zip(self._row_names, pick, strict=False)) if isinstance(pick, tuple) else pick

    # when two are the same

    def same(self, name: str, one: Any, other: Any) -> bool:
        if one == other or (one in EMPTY and other in EMPTY):
            return True
        if same_value(one, other, self._kinds.get(name) if self._kinds is not None else None):
            return True
        decimals = self._decimals.get(name)
        return decimals is not None and _close(one, other, decimals)

    def is_text(self, name: str) -> bool:
        """Whether it is merged line by line."""
        return self._kinds is None or self._kinds.get(name) is FieldKind.TEXT

    def changes(self, before: Row, after: Row) -> dict[str, list[Any]]:
        """{field: [before, after]}; a field that is absent afterwards was not changed."""
        return {
            name: [was, value]
            for name, value in after.items()
            if (was := before.get(name)) != value and name != "name" and not self.same(name, was, value)
        }

    def alike(self, one: Row, other: Row) -> bool:
        """But for their names."""
        return not self.changes(one, other) and not self.changes(other, one)

    def all_alike(self, one: list[Row], other: list[Row]) -> bool:
        return len(one) == len(other) and all(map(self.alike, one, other))

    def gist(self, row: Row) -> tuple[Any, ...]:
        """The same for rows that are alike; others seldom share it."""
        if self._kinds is None:
            # Neither a number nor a time, each of which has more than one spelling.
            words = (
                (name, value) for name, value in row.items() if isinstance(value, str) and name != "name"
            )
            return tuple(sorted(word for word in words if word[1][:1].isalpha()))
        texts = (row.get(name) for name, kind in self._kinds.items() if kind is FieldKind.TEXT)
        return tuple("" if text is None else str(text) for text in texts)


def _close(one: Any, other: Any, decimals: int) -> bool:
    try:
        return abs(float(one or 0) - float(other or 0)) < 0.5 * 10.0**-decimals
    except (TypeError, ValueError):
        return False
