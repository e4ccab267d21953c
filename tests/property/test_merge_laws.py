"""What holds for every merge, whatever both sides did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from erp_offline_sync.engine.merge import (
    Clash,
    ClashKind,
    RowChange,
    Side,
    merge,
    merge_data,
    resolve,
)
from erp_offline_sync.engine.merging.lines import merge_lines
from erp_offline_sync.engine.model import FieldKind, Schema
from erp_offline_sync.engine.values import moved_fields

K = FieldKind
few = settings(derandomize=True, max_examples=80, deadline=None)
many = settings(few, max_examples=500)

ROW = Schema(fields={"item": K.TEXT, "qty": K.NUMBER, "remark": K.TEXT})
SALE = Schema(
    fields={
        "customer": K.TEXT,
        "note": K.TEXT,
        "total": K.NUMBER,
        "paid": K.NUMBER,
        "due": K.DATE,
        "at": K.TIME,
        "extra": K.JSON,
    },
    tables={"items": ROW},
)

Document = dict[str, Any]

# Few values, so that both sides often meet; several spellings of some.
TEXT = st.sampled_from([None, "", "a", "b", "c"])
NUMBER = st.sampled_from([None, 0, 1, 1.0, 1.0000000001, 2, "2.00", 3])
LINES = st.lists(st.sampled_from(["", "one", "two", "three", "four"]), max_size=7).map("\n".join)
NOTE = st.none() | LINES
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "customer": TEXT,
    "note": NOTE,
    "total": NUMBER,
    "paid": st.sampled_from([0, 1, True, False, None]),
    "due": st.sampled_from([None, "2026-01-05", "2026-01-06"]),
    "at": st.sampled_from([None, "9:05:00", "09:05:00", "09:05:00.000000", "10:00:00"]),
    "extra": st.sampled_from([None, "{}", '{"a": 1}', {"a": 1}, {"a": 2}]),
}
COLUMNS: Mapping[str, st.SearchStrategy[Any]] = {"item": TEXT, "qty": NUMBER, "remark": NOTE}
OLD = ["r1", "r2", "r3", "r4"]
NEW = [[], [], [None], [None, None], ["n1"], ["n1", None], ["n2", "n1"]]
"""Names of the rows that a side adds; both sides may add one under the same name, or under none."""


@st.composite
def rows(draw: st.DrawFn, names: list[Any]) -> list[Document]:
    return [
        {"name": name, **{column: draw(values) for column, values in COLUMNS.items()}}
        if name
        else {column: draw(values) for column, values in COLUMNS.items()}
        for name in names
    ]


@st.composite
def bases(draw: st.DrawFn) -> Document:
    fields = {field: draw(values) for field, values in VALUES.items()}
    return {**fields, "items": draw(rows(OLD[: draw(st.integers(0, 4))]))}


@st.composite
def sides(draw: st.DrawFn, base: Document) -> Document:
    """The base after some edits: fields set, rows changed, removed, added and moved."""
    changed = draw(st.lists(st.sampled_from(list(VALUES)), max_size=3, unique=True))
    side = {**base, **{field: draw(VALUES[field]) for field in changed}}
    kept = []
    for row in base["items"]:
        what = draw(st.sampled_from(["keep", "keep", "change", "remove"]))
        if what == "change":
            column = draw(st.sampled_from(list(COLUMNS)))
            row = {**row, column: draw(COLUMNS[column])}
        if what != "remove":
            kept.append(row)
    if draw(st.integers(0, 3)) == 0:
        kept = list(draw(st.permutations(kept)))
    for row in draw(rows(draw(st.sampled_from(NEW)))):
        kept.insert(draw(st.integers(0, len(kept))), row)
    return {**side, "items": kept}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Document, Document, Document, Schema | None]:
    base = draw(bases())
    return base, draw(sides(base)), draw(sides(base)), draw(st.sampled_from([SALE, None]))


Case = tuple[Document, Document, Document, "Schema | None"]


@few
@given(cases())
def test_what_only_one_side_changed_is_what_comes_out(case: Case) -> None:
    """merge(base, x, base) = x, and the same from the other side."""
    base, side, _, schema = case
    for merged in (merge(base, side, base, schema), merge(base, base, side, schema)):
        assert merged.clashes == ()
        assert merged.values == side


@few
@given(cases())
def test_what_both_did_alike_is_done_once(case: Case) -> None:
    """merge(base, x, x) = x."""
    base, side, _, schema = case
    merged = merge(base, side, side, schema)
    assert merged.clashes == ()
    assert merged.values == side


def without_keys(changes: Mapping[str, tuple[RowChange, ...]]) -> dict[str, list[str]]:
    """Rows without a name are numbered by side, so that their keys change when the sides do."""
    return {
        table: sorted(
            repr((None if "+" in each.row else each.row, each.change, each.fields)) for each in found
        )
        for table, found in changes.items()
    }


@few
@given(cases())
def test_sides_swapped_give_the_same_merge_with_sides_swapped(case: Case) -> None:
    base, local, server, schema = case
    one, other = merge(base, local, server, schema), merge(base, server, local, schema)
    assert other.values == one.values
    assert [other.changed_here, other.changed_there] == [one.changed_there, one.changed_here]
    assert without_keys(other.rows_here) == without_keys(one.rows_there)
    assert without_keys(other.rows_there) == without_keys(one.rows_here)
    swapped = [replace(clash, local=clash.server, server=clash.local) for clash in other.clashes]
    assert by_key(swapped) == by_key(list(one.clashes))
    assert resolve(other, {}, rest=Side.SERVER) == resolve(one, {}, rest=Side.LOCAL)


def by_key(clashes: list[Clash]) -> dict[str, Clash]:
    """Without the sides by which an order names rows that have no name."""

    def unsided(keys: list[str]) -> list[str]:
        return ["+" if "+" in key else key for key in keys]

    orders = {
        clash.key: replace(
            clash, base=unsided(clash.base), local=unsided(clash.local), server=unsided(clash.server)
        )
        for clash in clashes
        if clash.kind is ClashKind.ORDER
    }
    return {clash.key: clash for clash in clashes} | orders


@few
@given(cases())
def test_applied_again_it_changes_nothing(case: Case) -> None:
    """Whichever side has got the result already, merged once more it is the result."""
    base, local, server, schema = case
    merged = merge(base, local, server, schema)
    ours, theirs = resolve(merged, {}, rest=Side.LOCAL), resolve(merged, {}, rest=Side.SERVER)
    for again, result in (
        (merge(base, local, ours, schema), ours),
        (merge(base, theirs, server, schema), theirs),
        (merge(ours, ours, ours, schema), ours),
    ):
        assert again.clashes == ()
        assert again.values == result
    if not merged.clashes:
        assert ours == theirs == merged.values


@few
@given(cases(), st.sampled_from(Side))
def test_what_one_side_alone_changed_wins_whatever_is_chosen_elsewhere(case: Case, rest: Side) -> None:
    """Field by field, row by row, and in each field of a row."""
    base, local, server, schema = case
    merged = merge(base, local, server, schema)
    resolved = resolve(merged, {}, rest)
    assert resolved is not None
    for side, changed, unchanged in (
        (local, merged.changed_here, merged.changed_there),
        (server, merged.changed_there, merged.changed_here),
    ):
        for field in changed.keys() - unchanged.keys():
            assert resolved[field] == side[field]
    for side, rows_changed, rows_unchanged in (
        (local, merged.rows_here, merged.rows_there),
        (server, merged.rows_there, merged.rows_here),
    ):
        if rows_changed and not rows_unchanged:
            # The other side may have spelled a value anew.
            assert not moved_fields(side, {**side, "items": resolved["items"]}, SALE)
    named = {row["name"]: row for row in resolved["items"] if "name" in row}
    before, here, there = (
        {row["name"]: row for row in document["items"] if "name" in row} for document in (base, local, server)
    )
    for name in before.keys() & here.keys() & there.keys():
        changes_here = changed_columns(merged.rows_here, name)
        changes_there = changed_columns(merged.rows_there, name)
        for column in changes_here - changes_there:
            assert named[name][column] == here[name][column]
        for column in changes_there - changes_here:
            assert named[name][column] == there[name][column]
    for added in (here.keys() ^ there.keys()) - before.keys():
        pairs = merged.paired.get("items", {})
        assert added in named or added in pairs or added in pairs.values()


def changed_columns(changes: Mapping[str, tuple[RowChange, ...]], row: str) -> set[str]:
    return {column for each in changes.get("items", ()) if each.row == row for column in each.fields}


@few
@given(cases(), st.sampled_from(Side))
def test_a_clash_goes_to_the_side_that_was_chosen(case: Case, side: Side) -> None:
    base, local, server, schema = case
    merged = merge(base, local, server, schema)
    choices = {clash.key: side for clash in merged.clashes}
    resolved = resolve(merged, choices)
    assert resolved == resolve(merged, {}, rest=side)
    for clash in merged.clashes:
        wanted = getattr(clash, side.value)
        if clash.kind is ClashKind.FIELD and clash.row is None:
            assert resolved is not None
            assert resolved[clash.field] == wanted
            assert clash.field not in (merged.values or {})
    assert resolve(merged, {"*": side}) == getattr(merged, side.value)


@few
@given(cases())
def test_a_merge_can_be_told_as_json(case: Case) -> None:
    base, local, server, schema = case
    told = merge_data(merge(base, local, server, schema))
    assert json.loads(json.dumps(told)) == told


def kept_by(site: str, document: Document, *, more: bool) -> Document:
    """With what a site writes of itself on the document and its rows, and fields that only it has."""
    own: Document = {"owner": site, "modified": f"by {site}", "idx": len(site), "docstatus": 0, "_seen": site}
    if more:
        own[f"only_{site}"] = own["computed"] = site
    stamped = [{**row, **own, "parent": site} for row in document["items"]]
    return {**document, **own, "name": site, "items": stamped}


@few
@given(cases())
def test_what_a_site_keeps_for_itself_changes_nothing(case: Case) -> None:
    """Framework fields never, and with a schema no field that it does not have."""
    base, local, server, schema = case
    plain = merge(base, local, server, schema)
    stamped = merge(
        *(
            kept_by(site, document, more=schema is not None)
            for site, document in (("base", base), ("here", local), ("there", server))
        ),
        schema,
    )
    assert merge_data(stamped) == merge_data(plain)
    assert stamped.paired == plain.paired


@many
@given(LINES, LINES, LINES)
def test_lines_obey_the_same_laws(base: str, one: str, other: str) -> None:
    assert merge_lines(base, one, base) == one
    assert merge_lines(base, one, one) == one
    merged = merge_lines(base, one, other)
    assert merge_lines(base, other, one) == merged
    if merged is not None:
        assert merge_lines(base, merged, other) == merge_lines(base, one, merged) == merged
        assert set(merged.split("\n")) <= {*base.split("\n"), *one.split("\n"), *other.split("\n")}
