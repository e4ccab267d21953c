"""Three-way merge of a document: base, what stands here (local), what stands there (server).

The two sides stand alike: swapped, the merge is the same with sides swapped. What one side alone changed is taken;
what both changed and cannot be had together clashes, and is left out of the result until somebody chose. A field
that a side does not have (its central has none, or may not show it) is no change of that side.
Pure. Source: semantics, "Conflicts"; which values are the same: `values.same_value`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from .errors import InvalidRequest
from .merging.lines import merge_lines
from .merging.sequence import Prefer, merge_order, moved
from .merging.shape import EMPTY, Pick, Row, Shape, are_rows, name_of
from .model import Json, Schema

__all__ = [
    "WHOLE",
    "Change",
    "Clash",
    "ClashKind",
    "Merged",
    "RowChange",
    "Side",
    "aligned_rows",
    "merge",
    "merge_data",
    "resolve",
    "value_names",
]

WHOLE = "*"
"""Key of the document as a whole."""


class Side(str, Enum):
    LOCAL = "local"
    SERVER = "server"


class ClashKind(str, Enum):
    """What both sides changed otherwise."""

    FIELD = "field"
    """One value, of the document or of a row; or a table whose rows cannot be told apart."""
    ROW = "row"
    """A row that one side removed and the other changed."""
    ORDER = "order"
    """The order of a table's rows: both sides moved rows."""
    DOCUMENT = "document"
    """One side deleted the document, the other changed it."""


class Change(str, Enum):
    """What a side did to a row. One that it changed and moved is told twice."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """One thing to choose. None stands for a row or document that is not there on that side."""

    kind: ClashKind
    field: str
    """Field of the document; `WHOLE` for the document itself."""
    row: str | None = None
    column: str | None = None
    """Field of the row."""
    base: Any
    local: Any
    server: Any

    @property
    def key(self) -> str:
        """`city`, `items[ROW-1].qty`, `items[ROW-1]`, `items[]` for the order of the rows, `*`."""
        if self.kind is ClashKind.ORDER:
            return f"{self.field}[]"
        return _key(self.field, self.row, self.column)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row, by its name; one without a name by its side and its number among those: `local+1`."""

    row: str
    change: Change
    fields: Mapping[str, list[Any]] = field(default_factory=dict)
    """Where it is CHANGED: {field of the row: [before, after]}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What comes out of a merge, and what it was made of.

    `values` holds the synced fields (rows: with their `name`), None where the document is to be deleted. A field
    that clashes is not in it, nor a table with a clash in it: nothing of it may be written yet.
    """

    values: Json | None
    changed_here: Mapping[str, list[Any]]
    """{field: [before, after]}; a table is among them only where its rows cannot be told apart."""
    changed_there: Mapping[str, list[Any]]
    rows_here: Mapping[str, tuple[RowChange, ...]]
    """{table: what became of its rows}, for the tables that were changed."""
    rows_there: Mapping[str, tuple[RowChange, ...]]
    paired: Mapping[str, Mapping[str, str]]
    """{table: {row here: row there}}: added by both sides alike under two names, kept as one."""
    deleted_here: bool
    deleted_there: bool
    clashes: tuple[Clash, ...]
    base: Json | None
    local: Json | None
    server: Json | None
    schema: Schema | None
    precision: Mapping[str, int]


def merge(
    base: Json | None,
    local: Json | None,
    server: Json | None,
    schema: Schema | None = None,
    *,
    precision: Mapping[str, int] | None = None,
) -> Merged:
    """The changes of both sides since the base. None is a document that is not there.

    Links and rows are under one side's names already. A row that is not in the base, and not on the other side
    under its name, is new on its side; it needs no name. `precision`: decimals that count, by `field` or
    `table.field`; a number without an entry is compared as `same_value` does.
    """
    return _merge(base, local, server, schema, precision or {}, {}, None)


def resolve(
    merged: Merged, choices: Mapping[str, Side | str], rest: Side | str | None = None
) -> dict[str, Any] | None:
    """The values with these choices made; None where the document is to be deleted.

    `choices` names a side by the key of a clash, or by that of any field, row or field of a row, which is then
    taken from that side whether or not it clashes; by `WHOLE`, everything. The widest key counts. Keys that name
    nothing are ignored: what they named may be gone since. `rest` is the side of the clashes that are not named;
    without it each has to be. Raises InvalidRequest with the keys that are missing, or for what is no side.
    """
    try:
        sides = {key: Side(side) for key, side in choices.items()}
        others = None if rest is None else Side(rest)
    except ValueError as nonsense:
        raise InvalidRequest(f"A choice is 'local' or 'server': {nonsense}.") from None
    decided = _merge(merged.base, merged.local, merged.server, merged.schema, merged.precision, sides, others)
    if decided.clashes:
        missing = ", ".join(clash.key for clash in decided.clashes)
        raise InvalidRequest(f"Both sides changed this, and no side was chosen: {missing}.")
    return None if decided.values is None else dict(decided.values)


def value_names(merged: Merged) -> tuple[list[str], list[str]]:
    """The fields that were compared: those of one value, and the child tables."""
    merging = _Merging(merged.schema, merged.precision, {}, None)
    shape = Shape(merged.schema, merged.precision)
    documents = [shape.own(document or {}) for document in (merged.base, merged.local, merged.server)]
    single: list[str] = []
    tables: list[str] = []
    for name in merging._names(*documents):
        is_table = merging._is_table(name, *(document.get(name) for document in documents))
        (tables if is_table else single).append(name)
    return single, tables


def aligned_rows(
    merged: Merged, table: str
) -> tuple[Mapping[str, Json], Mapping[str, Json], Mapping[str, Json]] | None:
    """The rows of base, local and server, each by the key that clashes and choices name it by, in their order.

    None where the merge took the table as one value.
    """
    if table in merged.changed_here or table in merged.changed_there:
        return None
    merging = _Merging(merged.schema, merged.precision, {}, None)
    shape = merging._row_shape(table)
    base, local, server = (
        (document or {}).get(table, _ABSENT) for document in (merged.base, merged.local, merged.server)
    )
    base_rows = [] if base is _ABSENT else shape.picks(base or ())
    rows = [base_rows if side is _ABSENT else shape.picks(side or ()) for side in (local, server)]
    if None in map(name_of, base_rows):
        return None
    before = _keyed(base_rows, "base")
    here, there = _keyed(rows[0], Side.LOCAL.value), _keyed(rows[1], Side.SERVER.value)
    if [len(each) for each in (base_rows, *rows)] != [len(each) for each in (before, here, there)]:
        return None
    here, there = _under_one_key(dict(merged.paired.get(table, {})), here, there)
    three = (before, here, there)
    first, second, third = ({key: shape.row(pick) for key, pick in each.items()} for each in three)
    return first, second, third


def merge_data(merged: Merged) -> dict[str, Any]:
    """The merge as a JSON object, for hooks and pages; without the documents it was made of."""

    def rows(tables: Mapping[str, tuple[RowChange, ...]]) -> dict[str, Any]:
        return {
            table: [{"row": each.row, "change": each.change.value, "fields": each.fields} for each in changes]
            for table, changes in tables.items()
        }

    return {
        "values": merged.values,
        "changed_here": merged.changed_here,
        "changed_there": merged.changed_there,
        "rows_here": rows(merged.rows_here),
        "rows_there": rows(merged.rows_there),
        "paired": merged.paired,
        "deleted_here": merged.deleted_here,
        "deleted_there": merged.deleted_there,
        "clashes": [
            {
                "key": clash.key,
                "kind": clash.kind.value,
                "field": clash.field,
                "row": clash.row,
                "column": clash.column,
                "base": clash.base,
                "local": clash.local,
                "server": clash.server,
            }
            for clash in merged.clashes
        ],
    }


def _merge(
    base: Json | None,
    local: Json | None,
    server: Json | None,
    schema: Schema | None,
    precision: Mapping[str, int],
    choices: Mapping[str, Side],
    rest: Side | None,
) -> Merged:
    merging = _Merging(schema, precision, choices, rest)
    values = merging.document(base, local, server)
    return Merged(
        values=values,
        changed_here=merging.here.fields,
        changed_there=merging.there.fields,
        rows_here=merging.here.rows,
        rows_there=merging.there.rows,
        paired=merging.paired,
        deleted_here=base is not None and local is None,
        deleted_there=base is not None and server is None,
        clashes=tuple(merging.clashes),
        base=base,
        local=local,
        server=server,
        schema=schema,
        precision=precision,
    )


class _Missing(Enum):
    ABSENT = 0
    """The side has no such field."""
    CLASH = 1
    """No value came out."""


_ABSENT, _CLASH = _Missing.ABSENT, _Missing.CLASH


def _key(name: str, row: str | None, column: str | None) -> str:
    if row is None:
        return name
    return f"{name}[{row}]" if column is None else f"{name}[{row}].{column}"


def _spelling(value: Any) -> tuple[bool, str]:
    """Orders the spellings of one value: whichever side has which, the same one is taken."""
    return value in EMPTY, repr(value)


def _decided(same: Callable[[Any, Any], bool], base: Any, local: Any, server: Any, *, text: bool) -> Any:
    """The value that both sides' changes come to, or a clash."""
    if local is _ABSENT or server is _ABSENT:
        return server if local is _ABSENT else local
    if local == server or server == base:
        return local
    if local == base:
        return server
    changed_here, changed_there = not same(base, local), not same(base, server)
    if changed_here != changed_there:
        return local if changed_here else server
    if not changed_here or same(local, server):
        return min(local, server, key=_spelling)
    if text and all(value is None or isinstance(value, str) for value in (base, local, server)):
        lines = merge_lines(base or "", local or "", server or "")
        return _CLASH if lines is None else lines
    return _CLASH


def _state(document: Json) -> Any:
    return document.get("docstatus") or 0


_T = TypeVar("_T")


def _of(side: Side, local: _T, server: _T) -> _T:
    return local if side is Side.LOCAL else server


def _keyed(picks: list[Pick], side: str) -> dict[str, Pick]:
    """Rows by their keys, in their order."""
    keyed: dict[str, Pick] = {
        pick[0]: pick for pick in picks if isinstance(pick, tuple) and isinstance(pick[0], str)
    }
    if len(keyed) == len(picks):
        return keyed
    keyed = {}
    unnamed = 0
    for pick in picks:
        name = name_of(pick)
        if name is None:
            unnamed += 1
            name = f"{side}+{unnamed}"
        keyed[name] = pick
    return keyed


def _pairs(
    shape: Shape, before: dict[str, Pick], here: dict[str, Pick], there: dict[str, Pick]
) -> tuple[dict[str, str], bool]:
    """{key here: key there} of the rows that both sides added alike, and whether there is no other way to see it.

    Of several that are alike, those that stand behind the same row belong together.
    """
    new_here = {key: shape.row(here[key]) for key in here if key not in before and key not in there}
    new_there = {key: shape.row(there[key]) for key in there if key not in before and key not in here}
    pairs: dict[str, str] = {}
    if not new_here or not new_there:
        return pairs, True
    behind_here, behind_there = _behind(here, new_here), _behind(there, new_there)
    gists_here, gists_there = _by_gist(shape, new_here), _by_gist(shape, new_there)
    certain = True
    for gist, keys in gists_here.items():
        free = list(gists_there.get(gist, ()))
        several = len(keys) > 1 or len(free) > 1
        for same_place in (True, False):
            for key in keys:
                other = next(
                    (
                        each
                        for each in free
                        if key not in pairs
                        and (not same_place or behind_here[key] == behind_there[each])
                        and shape.alike(new_here[key], new_there[each])
                    ),
                    None,
                )
                if other is not None:
                    free.remove(other)
                    pairs[key] = other
                    certain = certain and not several
    return pairs, certain


def _behind(keys: Iterable[str], new: Container[str]) -> dict[str, str | None]:
    """{new key: the last one before it that is not new}."""
    found: dict[str, str | None] = {}
    anchor: str | None = None
    for key in keys:
        if key in new:
            found[key] = anchor
        else:
            anchor = key
    return found


def _by_gist(shape: Shape, rows: dict[str, Row]) -> dict[tuple[Any, ...], list[str]]:
    found: dict[tuple[Any, ...], list[str]] = {}
    for key, row in rows.items():
        found.setdefault(shape.gist(row), []).append(key)
    return found


def _under_one_key(
    pairs: dict[str, str], here: dict[str, Pick], there: dict[str, Pick]
) -> tuple[dict[str, Pick], dict[str, Pick]]:
    """Each pair under the smaller name of the two, so that the sides stand alike."""
    keys_here: dict[str, str] = {}
    keys_there: dict[str, str] = {}
    for key, other in pairs.items():
        names = [name for name in (name_of(here[key]), name_of(there[other])) if name is not None]
        keys_here[key] = keys_there[other] = min(names, default=key)
    return (
        {keys_here.get(key, key): pick for key, pick in here.items()},
        {keys_there.get(key, key): pick for key, pick in there.items()},
    )


@dataclass(slots=True)
class _Found:
    """What one side changed."""

    fields: dict[str, list[Any]] = field(default_factory=dict)
    rows: dict[str, tuple[RowChange, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.fields or self.rows)


class _Merging:
    """One merge under way: the choices made before it, and what it finds."""

    def __init__(
        self,
        schema: Schema | None,
        precision: Mapping[str, int],
        choices: Mapping[str, Side],
        rest: Side | None,
        *,
        trusting: bool = False,
    ) -> None:
        self._schema, self._precision = schema, precision
        self._choices, self._rest = choices, rest
        self._trusting = trusting
        self.here, self.there = _Found(), _Found()
        self.paired: dict[str, dict[str, str]] = {}
        self.clashes: list[Clash] = []

    def _clash(self, clash: Clash) -> Side | None:
        """The side chosen for it; None where nobody chose, and it is remembered."""
        side = self._choices.get(clash.key, self._rest)
        if side is None:
            self.clashes.append(clash)
        return side

    def _clash_of(self, clash: Clash) -> Any:
        """The value of the side chosen for it."""
        side = self._clash(clash)
        return _CLASH if side is None else _of(side, clash.local, clash.server)

    def document(self, base: Json | None, local: Json | None, server: Json | None) -> Row | None:
        shape = Shape(self._schema, self._precision)
        chosen = self._choices.get(WHOLE)
        if chosen is not None:
            return self._whole(shape, _of(chosen, local, server))
        # Where a side has no document, this tells what the other one changed.
        documents: tuple[Json, ...] = (base or {}, local or {}, server or {})
        if self._schema is None:
            documents = tuple(map(shape.own, documents))
        values = self._fields(shape, *documents)
        if local is not None and server is not None:
            return values
        kept = server if local is None else local
        if base is None or kept is None:
            return self._whole(shape, kept)
        if not (self.here or self.there or _state(base) != _state(kept)):
            return None
        value: Row | _Missing | None = self._clash_of(
            Clash(
                kind=ClashKind.DOCUMENT,
                field=WHOLE,
                base=self._whole(shape, base),
                local=self._whole(shape, local),
                server=self._whole(shape, server),
            )
        )
        return {} if isinstance(value, _Missing) else value

    def _whole(self, shape: Shape, document: Json | None) -> Row | None:
        if document is None:
            return None
        return {
            name: self._own_rows(name, value) if self._is_table(name, value) else value
            for name, value in shape.own(document).items()
        }

    def _own_rows(self, table: str, rows: Any) -> list[Row]:
        shape = self._row_shape(table)
        return [shape.row(pick) for pick in shape.picks(rows or ())]

    def _row_shape(self, table: str) -> Shape:
        return Shape(self._schema.tables[table] if self._schema else None, self._precision, f"{table}.")

    def _fields(self, shape: Shape, base: Json, local: Json, server: Json) -> Row:
        values: Row = {}
        for name in self._names(base, local, server):
            before = base.get(name)
            here, there = local.get(name, _ABSENT), server.get(name, _ABSENT)
            if here == before and there == before and not isinstance(before, (list, tuple)):
                values[name] = before
                continue
            if self._is_table(name, before, here, there):
                value = self._table(name, before, here, there)
            else:
                value = self._field(shape, name, before, here, there)
            if not isinstance(value, _Missing):
                values[name] = value
        return values

    def _names(self, *documents: Json) -> Iterable[str]:
        if self._schema is not None:
            return [*self._schema.fields, *self._schema.tables]
        return sorted({name for document in documents for name in document})

    def _is_table(self, name: str, *values: Any) -> bool:
        """By the schema; without one, where there are rows. What holds anything else is compared as one value."""
        if self._schema is not None and name not in self._schema.tables:
            return False
        filled = [value for value in values if value and not isinstance(value, _Missing)]
        return (bool(filled) or self._schema is not None) and all(map(are_rows, filled))

    def _field(self, shape: Shape, name: str, base: Any, local: Any, server: Any) -> Any:
        for value, found in ((local, self.here), (server, self.there)):
            if value is not _ABSENT and value != base and not shape.same(name, base, value):
                found.fields[name] = [base, value]
        return self._value(shape, name, None, None, base, local, server)

    def _value(
        self,
        shape: Shape,
        field: str,
        row: str | None,
        column: str | None,
        base: Any,
        local: Any,
        server: Any,
    ) -> Any:
        chosen = self._choices.get(_key(field, row, column)) if self._choices else None
        if chosen is not None:
            return _of(chosen, local, server)
        name = column or field

        def same(one: Any, other: Any) -> bool:
            return shape.same(name, one, other)

        value = _decided(same, base, local, server, text=shape.is_text(name))
        if value is _CLASH:
            return self._clash_of(
                Clash(
                    kind=ClashKind.FIELD,
                    field=field,
                    row=row,
                    column=column,
                    base=base,
                    local=local,
                    server=server,
                )
            )
        return value

    # child tables

    def _table(self, table: str, base: Any, local: Any, server: Any) -> Any:
        """Row by row; as one value where the rows of the base have no names to tell them apart by."""
        if local is _ABSENT and server is _ABSENT:
            return _ABSENT
        shape = self._row_shape(table)
        base_rows = shape.picks(base or ())
        rows_here = base_rows if local is _ABSENT else shape.picks(local or ())
        rows_there = base_rows if server is _ABSENT else shape.picks(server or ())
        chosen = self._choices.get(table)
        if chosen is not None:
            return [shape.row(pick) for pick in _of(chosen, rows_here, rows_there)]
        before = _keyed(base_rows, "base")
        here, there = _keyed(rows_here, Side.LOCAL.value), _keyed(rows_there, Side.SERVER.value)
        told_apart = None not in map(name_of, base_rows) and all(
            len(rows) == len(keyed)
            for rows, keyed in ((base_rows, before), (rows_here, here), (rows_there, there))
        )
        pairs, certain = _pairs(shape, before, here, there) if told_apart else ({}, True)
        if not told_apart or not (certain or self._is_stable(table, base, local, server)):
            three = ([shape.row(pick) for pick in picks] for picks in (base_rows, rows_here, rows_there))
            return self._whole_table(shape, table, *three)
        if pairs:
            self.paired[table] = pairs
            here, there = _under_one_key(pairs, here, there)
        clashes = len(self.clashes)
        merged = self._rows(shape, table, before, here, there)
        order = self._order(table, merged, list(before), list(here), list(there))
        if order is None or len(self.clashes) > clashes:
            return _CLASH
        return [merged[key] for key in order]

    def _rows(
        self, shape: Shape, table: str, before: dict[str, Pick], here: dict[str, Pick], there: dict[str, Pick]
    ) -> dict[str, Row]:
        """The rows that there are to be; one that clashes is empty: it may come to stand there."""
        touched: set[str] = set()
        for rows, found in ((here, self.here), (there, self.there)):
            other = [key for key, pick in rows.items() if before.get(key) != pick]
            removed = [key for key in before if key not in rows]
            touched.update(other, removed)
            changes = tuple(_row_changes(shape, before, rows, other, removed))
            if changes:
                found.rows[table] = changes
        merged: dict[str, Row] = {}
        for key in {**before, **here, **there}:
            if key not in touched:
                merged[key] = shape.row(before[key])
                continue
            whole = None if self._choices else _whole_row(before.get(key), here.get(key), there.get(key))
            if whole is not None:
                merged[key] = shape.row(whole)
                continue
            three = (None if key not in rows else shape.row(rows[key]) for rows in (before, here, there))
            row = self._row(shape, table, key, *three)
            if row is not None:
                merged[key] = {} if isinstance(row, _Missing) else row
        return merged

    def _whole_table(
        self, shape: Shape, table: str, base: list[Row], local: list[Row], server: list[Row]
    ) -> Any:
        for rows, found in ((local, self.here), (server, self.there)):
            if not shape.all_alike(base, rows):
                found.fields[table] = [base, rows]
        value = _decided(shape.all_alike, base, local, server, text=False)
        if value is _CLASH:
            clash = Clash(kind=ClashKind.FIELD, field=table, base=base, local=local, server=server)
            return self._clash_of(clash)
        return value

    def _is_stable(self, table: str, base: Any, local: Any, server: Any) -> bool:
        """Whether what comes out stays as it is when it is merged with either side again.

        Of several rows that are alike on one side, it cannot be told which of them the other side's is.
        """
        if self._trusting:
            return True

        def once(local: Any, server: Any, rest: Side | None) -> Any:
            merging = _Merging(self._schema, self._precision, {}, rest, trusting=True)
            return merging._table(table, base, local, server)

        ours, theirs = (once(local, server, side) for side in Side)
        return bool(once(local, ours, None) == ours and once(theirs, server, None) == theirs)

    def _row(
        self, shape: Shape, table: str, key: str, base: Row | None, local: Row | None, server: Row | None
    ) -> Row | _Missing | None:
        """The row that both sides' changes come to; None where there is none."""
        if self._choices:
            chosen = self._choices.get(_key(table, key, None))
            if chosen is not None:
                return _of(chosen, local, server)
        if local is None or server is None:
            kept = server if local is None else local
            if base is None or kept is None:
                return kept
            if not shape.changes(base, kept):
                return None
            clash = Clash(kind=ClashKind.ROW, field=table, row=key, base=base, local=local, server=server)
            row: Row | _Missing | None = self._clash_of(clash)
            return row
        before, merged = base or {}, {}
        for name in {**server, **local}:
            if name == "name":
                merged[name] = next(row[name] for row in (local, server) if str(row.get(name)) == key)
                continue
            here, there = local.get(name, _ABSENT), server.get(name, _ABSENT)
            if here == there:
                merged[name] = here
                continue
            value = self._value(shape, table, key, name, before.get(name), here, there)
            if not isinstance(value, _Missing):
                merged[name] = value
        return merged

    def _order(
        self, table: str, merged: dict[str, Row], base: list[str], local: list[str], server: list[str]
    ) -> list[str] | None:
        """The order of the merged rows; None where both sides moved rows, and nobody chose."""
        base, local, server = ([key for key in keys if key in merged] for keys in (base, local, server))
        if local == server:
            return local

        def rank(key: str) -> tuple[bool, str, str]:
            row = merged[key]
            named = "name" in row
            return not named, key if named else "", "" if named else repr(sorted(row.items()))

        chosen = self._choices.get(f"{table}[]")
        if chosen is None:
            order = merge_order(base, local, server, rank=rank)
            if order is not None:
                return order
            clash = Clash(kind=ClashKind.ORDER, field=table, base=base, local=local, server=server)
            chosen = self._clash(clash)
            if chosen is None:
                return None
        prefer = Prefer.ONE if chosen is Side.LOCAL else Prefer.OTHER
        return merge_order(base, local, server, rank=rank, prefer=prefer)


def _whole_row(base: Pick | None, local: Pick | None, server: Pick | None) -> Pick | None:
    """The side to take whole, where not both changed the row and both have the same fields; None: a closer look."""
    if local is None or server is None or isinstance(local, tuple) != isinstance(server, tuple):
        return None
    if isinstance(local, dict) and isinstance(server, dict) and local.keys() != server.keys():
        return None
    if local == server or server == base:
        return local
    return server if local == base else None


def _row_changes(
    shape: Shape, before: dict[str, Pick], after: dict[str, Pick], other: list[str], removed: list[str]
) -> Iterator[RowChange]:
    """`other`: rows that are not, letter for letter, as they were."""
    for key in other:
        if key not in before:
            yield RowChange(row=key, change=Change.ADDED)
            continue
        fields = shape.changes(shape.row(before[key]), shape.row(after[key]))
        if fields:
            yield RowChange(row=key, change=Change.CHANGED, fields=fields)
    for key in removed:
        yield RowChange(row=key, change=Change.REMOVED)
    for key in moved(before, after):
        yield RowChange(row=key, change=Change.MOVED)
