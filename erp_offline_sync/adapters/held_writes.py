"""Changes of rows that a transaction has locked or makes, held back until something is asked of their tables or the
transaction ends: then a statement writes a hundred of them, not one.

Nobody else can change these rows meanwhile, and what the transaction itself reads of them comes from what it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import statements
from .rows import Row

__all__ = ["HeldWrites"]

_ROWS_AT_ONCE = 100
_TEXT_AT_ONCE = 1_000_000
"""Characters of a statement's values, but for those of one row: databases limit what they take at once."""


class HeldWrites:
    """One transaction's. Rows of one table and the same columns are written together, in the order they came."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}
        self._new: set[tuple[str, str]] = set()

    def add(self, table: str, row: Row) -> None:
        """A row that is not there yet."""
        key = table, str(row["name"])
        self._rows[key] = row
        self._new.add(key)

    def change(self, table: str, name: str, changes: Row) -> None:
        """Columns of a row that is locked, or was added here."""
        if changes:
            self._rows.setdefault((table, name), {"name": name}).update(changes)

    def write(self) -> None:
        """All of it, to the database."""
        if not self._rows:
            return
        alike: dict[tuple[str, bool, tuple[str, ...]], list[Row]] = {}
        for key, row in self._rows.items():
            alike.setdefault((key[0], key in self._new, tuple(row)), []).append(row)
        self.forget()
        for (table, is_new, _), rows in alike.items():
            for some in _slices(rows):
                if is_new:
                    statements.insert(table, *some)
                else:
                    statements.change_each(table, some)

    def forget(self) -> None:
        self._rows.clear()
        self._new.clear()


def _slices(rows: Sequence[Row]) -> Iterator[list[Row]]:
    some: list[Row] = []
    text = 0
    for row in rows:
        size = sum(len(value) for value in row.values() if isinstance(value, str))
        if some and (len(some) == _ROWS_AT_ONCE or text + size > _TEXT_AT_ONCE):
            yield some
            some, text = [], 0
        some.append(row)
        text += size
    if some:
        yield some
