"""A merge as a person reads it."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

import pytest

from erp_offline_sync.engine.deciding.presentation import (
    Comparison,
    FieldView,
    RowView,
    State,
    TableView,
    came_to,
    compare,
    decided,
)
from erp_offline_sync.engine.merge import Merged, Side, aligned_rows, merge, resolve, value_names
from erp_offline_sync.engine.merging.lines import Stretch, compare_lines, merge_lines
from erp_offline_sync.engine.model import Conflict, ConflictType, FieldKind, Resolution, Schema

K = FieldKind
SALE = Schema(
    fields={"city": K.TEXT, "note": K.TEXT, "total": K.NUMBER},
    tables={"items": Schema(fields={"item": K.TEXT, "qty": K.NUMBER, "rate": K.NUMBER})},
)


def row(name: str | None, item: str = "A", qty: Any = 1, rate: Any = 10) -> dict[str, Any]:
    return {**({"name": name} if name else {}), "item": item, "qty": qty, "rate": rate}


def of_field(base: Any, local: Any, server: Any, field: str = "city") -> FieldView:
    compared = compare(merge({field: base}, {field: local}, {field: server}, SALE))
    return next(each for each in compared.fields if each.key == field)


def of_rows(base: list[Any], local: list[Any], server: list[Any], schema: Schema | None = SALE) -> TableView:
    (table,) = compare(merge({"items": base}, {"items": local}, {"items": server}, schema)).tables
    return table


def states(table: TableView) -> dict[str, State]:
    return {each.row: each.state for each in table.rows}


# Fields


@pytest.mark.parametrize(
    ("base", "local", "server", "state", "result"),
    [
        ("Oslo", "Oslo", "Oslo", State.SAME, "Oslo"),
        ("Oslo", "Rome", "Oslo", State.HERE, "Rome"),
        ("Oslo", "Oslo", "Bonn", State.THERE, "Bonn"),
        ("Oslo", "Rome", "Rome", State.BOTH, "Rome"),
        ("Oslo", "Rome", "Bonn", State.CLASH, None),
        (None, "", None, State.SAME, ""),
    ],
)
def test_a_field_shows_its_three_values_what_came_out_and_who_changed_it(
    base: Any, local: Any, server: Any, state: State, result: Any
) -> None:
    view = of_field(base, local, server)
    assert (view.key, view.base, view.local, view.server) == ("city", base, local, server)
    assert (view.state, view.result, view.lines) == (state, result, ())


def test_fields_stand_in_the_order_of_the_schema_and_the_clashes_by_their_keys() -> None:
    compared = compare(merge({"city": "a", "total": 1}, {"city": "b", "total": 2}, {"city": "c"}, SALE))
    assert [each.key for each in compared.fields] == ["city", "note", "total"]
    assert compared.clashes == ("city",)


def test_without_a_schema_every_field_is_shown_but_the_frameworks() -> None:
    both = {"b": 1, "a": [{"name": "R", "x": 1}], "modified": "today", "_user_tags": ""}
    compared = compare(merge(both, both, both))
    assert ([each.key for each in compared.fields], [each.key for each in compared.tables]) == (["b"], ["a"])


# Lines


def test_a_text_of_several_lines_is_shown_line_by_line() -> None:
    view = of_field("a\nb\nc\nd\ne", "A\nb\nc\nd\ne", "a\nb\nC\nd\nE", "note")
    assert view.result == "A\nb\nC\nd\nE"
    assert view.lines == (
        {"op": "local", "base": ["a"], "local": ["A"], "server": ["a"]},
        {"op": "same", "base": ["b"], "local": [], "server": []},
        {"op": "server", "base": ["c"], "local": ["c"], "server": ["C"]},
        {"op": "same", "base": ["d"], "local": [], "server": []},
        {"op": "server", "base": ["e"], "local": ["e"], "server": ["E"]},
    )


def test_lines_that_both_sides_changed_otherwise_clash_and_alike_do_not() -> None:
    clashing = of_field("a\nb\nc\nd", "a\nX\nc\nD", "a\nY\nc\nD", "note")
    assert (clashing.state, clashing.result) == (State.CLASH, None)
    assert [line["op"] for line in clashing.lines] == ["same", "clash", "same", "both"]


def test_one_line_a_number_and_what_nobody_changed_have_no_lines() -> None:
    assert of_field("a", "b", "c", "note").lines == ()
    assert of_field("a\nb", "a\nb", "a\nb", "note").lines == ()
    assert of_field(1, 2, 3, "total").lines == ()
    assert of_field(None, "a\nb", None, "note").lines[0]["local"] == ["a", "b"]


@pytest.mark.parametrize(
    ("base", "one", "other"),
    [
        ("", "", ""),
        ("a", "a", "a"),
        ("a\nb\nc", "a\nc", "a\nb\nc\nd"),
        ("a\nb\nc", "x\na\nb\nc", "a\nb\nc"),
        ("a\nb\nc\nd\ne\nf", "a\nB1\nB2\nd\ne\nf", "a\nb\nC\nd\ne\nF"),
        ("a\nb", "", "a\nb\nc"),
        ("x\nx\nx", "x\nx", "x\nx\nx\nx"),
        ("a\nb\nc\nd\ne\nf\ng", "a\nd\nc\nb\ne\nf\nG", "g\nb\nc\nd\ne\nf\na"),
    ],
)
def test_the_stretches_are_the_three_texts_taken_apart(base: str, one: str, other: str) -> None:
    found = compare_lines(base, one, other)
    for side, text in (("base", base), ("one", one), ("other", other)):
        assert [line for stretch in found for line in getattr(stretch, side)] == text.split("\n")
    if merge_lines(base, one, other) is not None:
        assert not any(
            stretch.one != stretch.other and stretch.base not in (stretch.one, stretch.other)
            for stretch in found
        )
    alike = [stretch.base == stretch.one == stretch.other for stretch in found]
    assert not any(first == second for first, second in pairwise(alike))


def test_a_stretch_has_the_lines_of_all_three() -> None:
    assert compare_lines("a\nb", "a\nB", "a\nb") == [
        Stretch(base=("a",), one=("a",), other=("a",)),
        Stretch(base=("b",), one=("B",), other=("b",)),
    ]


# Rows


def test_each_row_stands_once_with_what_became_of_it() -> None:
    base = [row("same"), row("here"), row("there"), row("both"), row("clash"), row("cut"), row("gone")]
    local = [
        row("same"),
        row("here", qty=2),
        row("there"),
        row("both", qty=2),
        row("clash", qty=2, rate=11),
        row("gone"),
        row("new", "N"),
    ]
    server = [
        row("same"),
        row("here"),
        row("there", rate=9),
        row("both", rate=9),
        row("clash", qty=3),
        row("cut"),
        row(None, "M"),
    ]
    table = of_rows(base, local, server)
    assert states(table) == {
        "same": State.SAME,
        "here": State.HERE,
        "there": State.THERE,
        "both": State.BOTH,
        "clash": State.CLASH,
        "cut": State.REMOVED_HERE,
        "gone": State.REMOVED_THERE,
        "new": State.ADDED_HERE,
        "server+1": State.ADDED_THERE,
    }
    found = {each.row: each for each in table.rows}
    assert found["both"].result == row("both", qty=2, rate=9)
    assert found["clash"].clashes == ("qty",)
    assert found["clash"].result == {"name": "clash", "item": "A", "rate": 11}
    assert found["clash"].key == "items[clash]"
    assert found["cut"].result is None
    assert found["cut"].local is None
    assert found["gone"].result is None
    assert found["new"].result == row("new", "N")
    assert found["server+1"].result == row(None, "M")
    assert (table.state, table.whole, table.order) == (State.BOTH, False, None)


def test_a_row_that_one_side_removed_and_the_other_changed_clashes_as_a_row() -> None:
    table = of_rows([row("r")], [], [row("r", qty=2)])
    (only,) = table.rows
    assert (only.state, only.clashes, only.result, only.local) == (State.CLASH, (), None, None)


def test_a_row_that_both_removed_and_one_that_both_added_alike_go_together() -> None:
    table = of_rows([row("r"), row("k", "K")], [row("k", "K"), row("n", "N")], [row("k", "K"), row("m", "N")])
    assert states(table) == {"r": State.BOTH, "k": State.SAME, "m": State.BOTH}
    found = {each.row: each for each in table.rows}
    assert found["r"].result is None
    assert found["m"].result == row("m", "N")


def test_where_both_moved_rows_the_order_is_to_be_chosen() -> None:
    a, b, c = row("a", "A"), row("b", "B"), row("c", "C")
    table = of_rows([a, b, c], [c, a, b], [b, a, c])
    assert table.state is State.CLASH
    assert table.order == (("c", "a", "b"), ("b", "a", "c"))
    assert {each.row: each.result for each in table.rows} == {"a": a, "b": b, "c": c}


def test_rows_that_cannot_be_told_apart_are_one_value_and_stand_by_their_number() -> None:
    table = of_rows([row(None)], [row(None, qty=2), row(None, "B")], [row(None, qty=3)])
    assert (table.whole, table.state) == (True, State.CLASH)
    assert [each.row for each in table.rows] == ["1", "2"]
    assert [each.server for each in table.rows] == [row(None, qty=3), None]
    assert [each.result for each in table.rows] == [None, None]
    assert {each.key for each in table.rows} == {"items"}


def test_a_table_taken_as_one_value_from_the_side_that_changed_it() -> None:
    table = of_rows([row(None)], [row(None, qty=2)], [row(None)])
    assert (table.whole, table.state, table.rows[0].result) == (True, State.HERE, row(None, qty=2))


def test_unnamed_rows_that_nobody_changed_are_shown_as_they_are() -> None:
    table = of_rows([row(None)], [row(None)], [row(None)])
    assert (table.whole, table.state, len(table.rows)) == (True, State.SAME, 1)


def test_names_that_come_twice_make_a_table_one_value() -> None:
    twice = [row("r"), row("r")]
    assert of_rows([row("r")], twice, [row("r")]).whole
    assert of_rows(twice, twice, twice).whole


def test_a_table_that_a_side_does_not_have_is_that_of_the_base() -> None:
    (table,) = compare(merge({"items": [row("r")]}, {"items": [row("r", qty=2)]}, {}, SALE)).tables
    assert states(table) == {"r": State.HERE}
    (table,) = compare(merge({}, {"items": [row("r")]}, {}, SALE)).tables
    assert states(table) == {"r": State.ADDED_HERE}


# Documents that are not there


def deleted_here(server: dict[str, Any]) -> Comparison:
    base = {"city": "Oslo", "items": [row("r")]}
    return compare(merge(base, None, server, SALE))


def test_a_document_that_one_side_deleted_and_the_other_changed_clashes_as_a_whole() -> None:
    compared = deleted_here({"city": "Bonn", "items": [row("r", qty=2), row("s", "S")]})
    assert compared.clashes == ("*",)
    assert {each.key: (each.state, each.local, each.result) for each in compared.fields}["city"] == (
        State.THERE,
        None,
        None,
    )
    (table,) = compared.tables
    assert states(table) == {"r": State.THERE, "s": State.ADDED_THERE}
    assert {(each.local is None, each.result is None) for each in table.rows} == {(True, True)}


def test_a_document_deleted_here_alone_comes_out_as_none() -> None:
    compared = deleted_here({"city": "Oslo", "items": [row("r")]})
    assert compared.clashes == ()
    assert {each.result for each in compared.fields} == {None}
    assert [each.result for each in compared.tables[0].rows] == [None]


def test_a_new_document_of_one_side_comes_out_as_it_is() -> None:
    compared = compare(merge(None, {"city": "Rome", "items": [row("r")]}, None, SALE))
    assert compared.fields[0].result == "Rome"
    assert [each.result for each in compared.tables[0].rows] == [row("r")]
    assert [each.server for each in compared.tables[0].rows] == [None]


# Laws


def test_keys_are_those_that_choices_take() -> None:
    """Whatever a page names by a key is what a choice of that key decides."""
    merged = merge(
        {"city": "Oslo", "items": [row("a"), row("b", "B")]},
        {"city": "Rome", "items": [row("a", qty=2), row("b", "B")]},
        {"city": "Bonn", "items": [row("a", qty=3), row("b", "B", rate=9)]},
        SALE,
    )
    compared = compare(merged)
    named = [each.key for each in compared.fields if each.state is State.CLASH]
    named += [
        f"{each.key}.{column}" for table in compared.tables for each in table.rows for column in each.clashes
    ]
    assert sorted(named) == sorted(compared.clashes)
    chosen = resolve(merged, dict.fromkeys(named, Side.SERVER))
    assert chosen == {"city": "Bonn", "items": [row("a", qty=3), row("b", "B", rate=9)]}


def test_rows_and_fields_are_named_once() -> None:
    merged = merge({"city": 1, "items": [row("a")]}, {"items": []}, {"items": [row("a")]}, SALE)
    assert value_names(merged) == (["city", "note", "total"], ["items"])
    rows = aligned_rows(merged, "items")
    assert rows is not None
    assert [list(side) for side in rows] == [["a"], [], ["a"]]


def test_views_are_values() -> None:
    view = RowView(key="t[a]", row="a", state=State.SAME, base=None, local=None, server=None, result=None)
    with pytest.raises(AttributeError):
        view.row = "b"  # type: ignore[misc]
    assert isinstance(merge({}, {}, {}), Merged)


# After a decision


def made(resolution: Resolution, values: dict[str, Any] | None = None) -> Conflict:
    return Conflict(
        id="conflict-1",
        resource_type="Sale",
        resource_id="S-1",
        line="line-1",
        local_request_id="request-1",
        conflict_type=ConflictType.UPDATE_UPDATE,
        base_data=None,
        local_data=None,
        server_data=None,
        server_version=None,
        local_changed_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        created_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
        resolution=resolution,
        values=values,
    )


BASE = {"city": "Oslo", "note": "a", "items": [row("r1", qty=1), row("r2", qty=1)]}
HERE = {"city": "Rome", "note": "b", "items": [row("r1", qty=2), row("r2", qty=1)]}
THERE = {"city": "Bonn", "note": "a", "items": [row("r1", qty=3)]}
CHOSEN = {"city": "Kyiv", "items": [row("r1", qty=9)]}


@pytest.mark.parametrize(
    ("resolution", "values", "fields", "rows"),
    [
        (Resolution.LOCAL_WINS, None, ("Rome", "b"), {"r1": 2, "r2": None}),
        (Resolution.SERVER_WINS, None, ("Bonn", "a"), {"r1": 3, "r2": None}),
        (Resolution.MERGE, CHOSEN, ("Kyiv", "b"), {"r1": 9, "r2": None}),
        (Resolution.MANUAL, CHOSEN, ("Kyiv", "b"), {"r1": 9, "r2": None}),
        (Resolution.SKIP, None, (None, None), {"r1": None, "r2": None}),
    ],
)
def test_a_decision_shows_what_it_made_of_both_sides(
    resolution: Resolution, values: Any, fields: Any, rows: Any
) -> None:
    merged = merge(BASE, HERE, THERE, SALE)
    before = compare(merged)
    after = decided(before, came_to(made(resolution, values), merged))
    assert tuple(each.result for each in after.fields if each.key in ("city", "note")) == fields
    (table,) = after.tables
    assert {each.row: each.result and each.result["qty"] for each in table.rows} == rows
    assert after.clashes == ()
    # What both sides had stays.
    assert [(each.state, each.local, each.server) for each in after.fields] == [
        (each.state, each.local, each.server) for each in before.fields
    ]


def test_rows_that_cannot_be_told_apart_show_what_was_decided_by_their_number() -> None:
    merged = merge({"items": [row(None)]}, {"items": [row(None, qty=2)]}, {"items": [row(None, qty=3)]}, SALE)
    chosen = {"items": [row(None, qty=2), row(None, qty=3)]}
    (table,) = decided(compare(merged), came_to(made(Resolution.MERGE, chosen), merged)).tables
    assert [each.result and each.result["qty"] for each in table.rows] == [2]


@pytest.mark.parametrize(
    ("local", "server", "resolution"),
    [({"city": "Rome"}, None, Resolution.SERVER_WINS), (None, {"city": "Bonn"}, Resolution.LOCAL_WINS)],
)
def test_where_the_document_was_to_go_nothing_is_left(
    local: Any, server: Any, resolution: Resolution
) -> None:
    merged = merge({"city": "Oslo"}, local, server, SALE)
    assert came_to(made(resolution), merged) is None
    assert {each.result for each in decided(compare(merged), None).fields} == {None}
