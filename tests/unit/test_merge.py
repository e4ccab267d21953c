"""Three-way merge: what both sides did to one document, and what is left to a person."""

from __future__ import annotations

import json
from typing import Any

import pytest

from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.merge import (
    WHOLE,
    Change,
    Clash,
    ClashKind,
    Merged,
    RowChange,
    Side,
    aligned_rows,
    merge,
    merge_data,
    resolve,
)
from erp_offline_sync.engine.merging.lines import compare_lines, merge_lines
from erp_offline_sync.engine.merging.sequence import Prefer, longest_rise, merge_order, moved
from erp_offline_sync.engine.model import FieldKind, Schema

K = FieldKind
HERE, THERE = Side.LOCAL, Side.SERVER
SALE = Schema(
    fields={
        "city": K.TEXT,
        "note": K.TEXT,
        "total": K.NUMBER,
        "paid": K.NUMBER,
        "due": K.DATE,
        "at": K.TIME,
        "since": K.DATETIME,
        "extra": K.JSON,
    },
    tables={"items": Schema(fields={"item": K.TEXT, "qty": K.NUMBER, "rate": K.NUMBER})},
)


def a_merge(field: str, base: Any, local: Any, server: Any, **more: Any) -> Merged:
    return merge({field: base}, {field: local}, {field: server}, SALE, **more)


def row(name: str | None, item: str = "A", qty: Any = 1, **more: Any) -> dict[str, Any]:
    return {**({"name": name} if name else {}), "item": item, "qty": qty, **more}


def table(base: list[Any], local: list[Any], server: list[Any], schema: Schema | None = SALE) -> Merged:
    return merge({"items": base}, {"items": local}, {"items": server}, schema)


def names(merged: Merged) -> list[Any]:
    assert merged.values is not None
    return [each.get("name", each["item"]) for each in merged.values["items"]]


def keys(merged: Merged) -> list[str]:
    return [clash.key for clash in merged.clashes]


# Fields


def test_each_side_gets_what_the_other_changed() -> None:
    merged = merge(
        {"city": "Oslo", "total": 1, "due": None, "paid": 1},
        {"city": "Rome", "total": 1, "due": None, "paid": 1},
        {"city": "Oslo", "total": 2, "due": "", "paid": 1},
        SALE,
    )
    assert merged.values == {"city": "Rome", "total": 2, "due": "", "paid": 1}
    assert merged.changed_here == {"city": ["Oslo", "Rome"]}
    assert merged.changed_there == {"total": [1, 2]}
    assert merged.clashes == ()


def test_what_both_changed_otherwise_clashes_and_is_left_out() -> None:
    merged = merge(
        {"city": "Oslo", "total": 1}, {"city": "Rome", "total": 1}, {"city": "Bonn", "total": 2}, SALE
    )
    assert merged.values == {"total": 2}
    assert merged.clashes == (
        Clash(kind=ClashKind.FIELD, field="city", base="Oslo", local="Rome", server="Bonn"),
    )
    assert keys(merged) == ["city"]


@pytest.mark.parametrize(
    ("field", "base", "local", "server", "value"),
    [
        ("city", None, "", "Rome", "Rome"),
        ("city", "", None, "Rome", "Rome"),
        ("extra", None, "", '{"a": 1}', '{"a": 1}'),
        ("extra", '{"a": 1, "b": 2}', {"b": 2, "a": 1}, "{}", "{}"),
        ("paid", 0, None, 1, 1),
        ("paid", "0", False, 1, 1),
        ("total", 0.3, 0.1 + 0.2, 5, 5),
        ("total", 10, "10.00", 12, 12),
        ("due", "2026-01-05", "2026-01-05", "2026-01-06", "2026-01-06"),
        ("at", "9:05:00", "09:05:00.000000", "10:00:00", "10:00:00"),
        ("since", "2026-01-05 09:05:00", "2026-01-05 9:05:00.0", None, None),
    ],
)
def test_another_spelling_is_no_change(field: str, base: Any, local: Any, server: Any, value: Any) -> None:
    merged = a_merge(field, base, local, server)
    assert merged.values == {field: value}
    assert (merged.changed_here, merged.clashes) == ({}, ())
    assert a_merge(field, base, server, local).values == {field: value}


@pytest.mark.parametrize(
    ("field", "base", "one", "other", "value"),
    [
        ("total", 5, None, 0, 0),
        ("city", "Oslo", None, "", ""),
        ("at", "8:00:00", "9:05:00", "09:05:00", "09:05:00"),
        ("paid", None, 0, "", 0),
    ],
)
def test_of_two_spellings_both_sides_take_the_same(
    field: str, base: Any, one: Any, other: Any, value: Any
) -> None:
    """Whether both changed it alike or neither did; the one that says something before the empty one."""
    for local, server in ((one, other), (other, one)):
        merged = a_merge(field, base, local, server)
        assert merged.clashes == ()
        assert merged.values is not None
        assert [merged.values[field]] == [value]
        assert type(merged.values[field]) is type(value)


def test_numbers_are_compared_at_their_precision_where_it_is_given() -> None:
    precision = {"total": 2, "items.rate": 1}
    assert keys(a_merge("total", 10.0, 10.0045, 12.0)) == ["total"]
    merged = a_merge("total", 10.0, 10.0045, 12.0, precision=precision)
    assert merged.values == {"total": 12.0}
    assert merged.changed_here == {}
    assert keys(a_merge("total", 10.0, 10.01, 12.0, precision=precision)) == ["total"]
    rows = [[row("r1", rate=rate)] for rate in (1.0, 1.04, 2.0)]
    in_rows = merge(*({"items": each} for each in rows), SALE, precision=precision)
    assert in_rows.values == {"items": rows[2]}


def test_precision_does_not_make_a_number_of_what_is_none() -> None:
    assert keys(a_merge("total", 1, "many", "few", precision={"total": 2})) == ["total"]
    assert keys(a_merge("total", 1, [1], 2, precision={"total": 2})) == ["total"]


def test_fields_that_the_schema_does_not_have_are_left_alone() -> None:
    """Nor do the framework's fields count where there is no schema."""
    local, server = (
        {"city": "Rome", "grand": 1, "modified": "1"},
        {"city": "Oslo", "grand": 2, "modified": "2"},
    )
    merged = merge({"city": "Oslo", "grand": 0, "modified": "0"}, local, server, SALE)
    assert merged.values == {"city": "Rome"}
    assert (merged.changed_here, merged.changed_there) == ({"city": ["Oslo", "Rome"]}, {})
    plain = merge(
        {"city": "Oslo", "modified": "0", "_seen": "0"},
        {"city": "Rome", "modified": "1", "_seen": "1"},
        {"city": "Oslo", "modified": "2", "_seen": "2"},
    )
    assert plain.values == {"city": "Rome"}
    assert plain.clashes == ()


def test_a_field_that_a_side_does_not_have_was_not_emptied_by_it() -> None:
    """A central may lack a field, or not show it to our user."""
    base = {"city": "Oslo", "total": 1, "items": [row("r1"), row("r2")]}
    merged = merge(base, {**base, "city": "Rome", "items": [row("r2")]}, {"total": 2}, SALE)
    assert merged.values == {"city": "Rome", "total": 2, "items": [row("r2")]}
    assert merged.changed_there == {"total": [1, 2]}
    swapped = merge(base, {"total": 2}, {**base, "city": "Rome", "items": [row("r2")]}, SALE)
    assert swapped.values == merged.values
    assert merge(base, {}, {}, SALE).values == {}
    in_a_row = table([row("r1", rate=5)], [row("r1", "B", rate=5)], [{"name": "r1", "qty": 2}])
    assert in_a_row.values == {"items": [row("r1", "B", 2, rate=5)]}


def test_without_a_base_what_differs_clashes_unless_a_side_is_empty() -> None:
    """Two documents made apart; what was left empty on one side is filled from the other."""
    merged = merge(
        None,
        {"city": "Rome", "total": 0, "due": "2026-01-05"},
        {"city": "Bonn", "total": 7, "due": "2026-01-05"},
        SALE,
    )
    assert merged.values == {"total": 7, "due": "2026-01-05"}
    assert keys(merged) == ["city"]
    assert (merged.deleted_here, merged.deleted_there) == (False, False)


# Text


TEXT = "one\ntwo\nthree\nfour\nfive"


def test_a_text_is_merged_line_by_line() -> None:
    merged = a_merge(
        "note", TEXT, TEXT.replace("two", "TWO"), TEXT.replace("four\n", "").replace("five", "five\nsix")
    )
    assert merged.values == {"note": "one\nTWO\nthree\nfive\nsix"}
    assert merged.clashes == ()


def test_changes_of_a_text_that_touch_clash() -> None:
    for local, server in (
        (TEXT.replace("two", "TWO"), TEXT.replace("two", "2")),
        (TEXT.replace("two", "TWO"), TEXT.replace("three", "3")),
        (TEXT + "\nsix", TEXT + "\n6"),
        (TEXT.replace("two", "TWO"), ""),
        (None, TEXT.replace("two", "TWO")),
    ):
        merged = a_merge("note", TEXT, local, server)
        assert keys(merged) == ["note"]
        assert merged.values == {}


def test_a_value_of_one_line_is_not_mixed() -> None:
    assert keys(a_merge("city", "Oslo", "Rome", "Bonn")) == ["city"]
    assert keys(a_merge("due", "2026-01-05", "2026-01-06", "2026-01-07")) == ["due"]


def test_only_text_is_merged_by_lines() -> None:
    """The lines of a JSON value do not stand for themselves."""
    data = ['{\n"a": 1,\n"b": 2\n}', '{\n"a": 7,\n"b": 2\n}', '{\n"a": 1,\n"b": 8\n}']
    assert keys(a_merge("extra", *data)) == ["extra"]
    assert merge({"note": 5}, {"note": "a\nb"}, {"note": "a\nc"}).clashes != ()


@pytest.mark.parametrize(
    ("base", "one", "other", "merged"),
    [
        ("a\nb\nc", "a\nb\nc", "x", "x"),
        ("a\nb\nc", "x", "a\nb\nc", "x"),
        ("a\nb\nc", "x\nb\nc", "x\nb\nc", "x\nb\nc"),
        ("a\nb\nc", "x\nb\nc", "a\nb\ny", "x\nb\ny"),
        ("a\nb\nc", "x\na\nb\nc", "a\nb\nc\ny", "x\na\nb\nc\ny"),
        # The same change of both once, beside one of a side's own.
        ("a\nb\nc\nd\ne", "A\nb\nc\nd\ne", "A\nb\nc\nd\nE", "A\nb\nc\nd\nE"),
        # Lines that repeat: they are told apart by those around them.
        ("-\na\n-\nb\n-\nc\n-", "-\nA\n-\nb\n-\nc\n-", "-\na\n-\nb\n-\nC\n-", "-\nA\n-\nb\n-\nC\n-"),
        # Lines that were moved are removed here and added there.
        ("a\nb\nc\nd\ne\nf", "b\na\nc\nd\ne\nf", "a\nb\nc\nd\nf\ne", "b\na\nc\nd\nf\ne"),
        ("a\nb\nc\nd\ne", "a\nc\nb\nd\ne", "a\nb\nc\nd\nX", "a\nc\nb\nd\nX"),
        ("a", "a\nb", "c\na", "c\na\nb"),
        ("", "a", "b", None),
        ("a\nb", "a\nx", "y\nb", None),
        ("a\nb\nc", "a\nc", "a\nB\nc", None),
        # Only copies of one line: which of them a side removed cannot be told.
        ("a\na\nb", "a\nb", "a\na\na\nb", None),
    ],
)
def test_lines(base: str, one: str, other: str, merged: str | None) -> None:
    assert merge_lines(base, one, other) == merged
    assert merge_lines(base, other, one) == merged


def test_a_merge_of_lines_that_reads_otherwise_afterwards_is_not_certain() -> None:
    """Between the changed lines stand only equal ones: what was changed cannot be read back."""
    assert merge_lines("a\n\n\nb", "A\n\n\nb", "a\n\n\nB") is None
    assert merge_lines("a\n\nb", "A\n\nb", "a\n\nB") == "A\n\nB"


def test_lines_are_shown_as_each_side_has_them() -> None:
    def taken_apart(base: str, one: str, other: str) -> list[tuple[str, str, str]]:
        stretches = compare_lines("\n".join(base), "\n".join(one), "\n".join(other))
        return [("".join(each.base), "".join(each.one), "".join(each.other)) for each in stretches]

    assert taken_apart("bc", "abc", "bc") == [("", "a", ""), ("bc", "bc", "bc")]
    assert taken_apart("bc", "abC", "bc") == [("", "a", ""), ("b", "b", "b"), ("c", "C", "c")]
    # What one side rewrote as a whole, the other changed in two places.
    assert taken_apart("abcd", "AbCd", "xyzd") == [("abc", "AbC", "xyz"), ("d", "d", "d")]


def test_a_long_text_of_equal_lines_costs_no_more_than_its_length() -> None:
    """Nothing is aligned by trial: 80,000 blank lines on each side, with one to tell them apart and without."""
    blank = "\n" * 40_000
    known = blank + "middle" + blank
    assert merge_lines("a" + known + "b", "A" + known + "b", "a" + known + "B") == "A" + known + "B"
    assert merge_lines("a" + blank + "b", "A" + blank + "\nb", "a\n" + blank + "B") is None


# Rows


BASE = [row("r1", "A"), row("r2", "B"), row("r3", "C")]


def test_rows_are_merged_one_by_one() -> None:
    """Changed here, removed there, added by both, moved by one."""
    local = [row("r1", "A", 5), row("r2", "B"), row("r3", "C"), row(None, "here")]
    server = [row("r3", "C"), row("r1", "A", rate=2), row("s1", "there")]
    merged = table([{**each, "rate": 1} for each in BASE], [{"rate": 1, **each} for each in local], server)
    assert merged.clashes == ()
    assert names(merged) == ["r3", "here", "r1", "s1"]
    assert merged.values is not None
    assert merged.values["items"][2] == row("r1", "A", 5, rate=2)
    assert merged.rows_here == {
        "items": (
            RowChange(row="r1", change=Change.CHANGED, fields={"qty": [1, 5]}),
            RowChange(row="local+1", change=Change.ADDED),
        )
    }
    assert merged.rows_there == {
        "items": (
            RowChange(row="r1", change=Change.CHANGED, fields={"rate": [1, 2]}),
            RowChange(row="s1", change=Change.ADDED),
            RowChange(row="r2", change=Change.REMOVED),
            RowChange(row="r3", change=Change.MOVED),
        )
    }
    assert (merged.changed_here, merged.changed_there) == ({}, {})


def test_a_field_of_a_row_clashes_by_itself() -> None:
    merged = table(BASE, [row("r1", "A", 5), *BASE[1:]], [row("r1", "A", 7), row("r2", "B", 9), BASE[2]])
    assert merged.values == {}
    assert merged.clashes == (
        Clash(kind=ClashKind.FIELD, field="items", row="r1", column="qty", base=1, local=5, server=7),
    )
    assert keys(merged) == ["items[r1].qty"]
    chosen = resolve(merged, {"items[r1].qty": THERE})
    assert chosen == {"items": [row("r1", "A", 7), row("r2", "B", 9), BASE[2]]}


@pytest.mark.parametrize("remover", Side)
def test_a_row_removed_here_and_changed_there_clashes(remover: Side) -> None:
    changed = [row("r1", "A"), row("r2", "B", 9), row("r3", "C")]
    removed = [row("r1", "A"), row("r3", "C")]
    merged = table(BASE, removed, changed) if remover is HERE else table(BASE, changed, removed)
    (clash,) = merged.clashes
    assert (clash.kind, clash.key, clash.base) == (ClashKind.ROW, "items[r2]", BASE[1])
    assert [clash.local, clash.server] == ([None, changed[1]] if remover is HERE else [changed[1], None])
    keeper = THERE if remover is HERE else HERE
    assert resolve(merged, {"items[r2]": keeper}) == {"items": changed}
    assert resolve(merged, {"items[r2]": remover}) == {"items": removed}


def test_a_row_removed_by_both_or_by_one_alone_is_gone() -> None:
    """Another spelling in it, or another place of it, does not keep it."""
    assert names(table(BASE, BASE[1:], BASE[1:])) == ["r2", "r3"]
    assert names(table(BASE, BASE[1:], [BASE[2], BASE[1], row("r1", "A", "1.0")])) == ["r3", "r2"]
    assert names(table(BASE, BASE[1:], [BASE[0], BASE[2]])) == ["r3"]


def test_what_both_added_alike_is_there_once() -> None:
    """Another spelling is no difference; a second one of the kind stays."""
    server = [*BASE, row("s1", "new", "2.0"), row("s2", "other")]
    local = [*BASE, row(None, "new", 2), row(None, "new", 2), row("n1", "third")]
    merged = table(BASE, local, server)
    assert names(merged) == ["r1", "r2", "r3", "s1", "s2", "new", "n1"]
    assert merged.paired == {"items": {"local+1": "s1"}}
    assert merged.clashes == ()


def test_of_several_alike_those_in_the_same_place_are_one() -> None:
    """So that a merge which one side has already adds nothing and moves nothing."""
    base, new = BASE[:2], row(None, "new")
    local, server = [*base, new], [new, base[0], new, base[1]]
    merged = table(base, local, server)
    assert names(merged) == ["r1", "new", "r2", "new"]
    assert merged.paired == {"items": {"local+1": "server+1"}}
    assert merged.values is not None
    again = table(base, local, merged.values["items"])
    assert again.values == merged.values
    assert again.paired == {"items": {"local+1": "server+2"}}


def test_a_table_that_would_come_out_otherwise_once_more_is_left_to_a_person() -> None:
    """Which of two alike rows is the other side's cannot be told here, and where it stands depends on it."""
    local = [row(None, "B", 0), row(None, "A"), row(None, "B", None)]
    server = [row(None, "A"), row("r1", "B", 0), row(None, "B", None)]
    merged = table([row("r1", "B", 0)], local, server)
    assert keys(merged) == ["items"]
    assert merged.clashes[0].kind is ClashKind.FIELD
    assert resolve(merged, {"items": HERE}) == {"items": local}
    assert resolve(merged, {}, rest=THERE) == {"items": server}


def test_two_names_of_one_added_row_become_one() -> None:
    """Each site named it before it knew of the other's; which row there is which here is told."""
    merged = table([], [row("b7", "new")], [row("a3", "new")])
    assert names(merged) == ["a3"]
    assert merged.paired == {"items": {"b7": "a3"}}
    assert table([], [row(None, "new")], [row(None, "new")]).values == {"items": [row(None, "new")]}


def test_rows_under_one_name_that_the_base_does_not_know_are_one_row() -> None:
    merged = table([], [row("n1", "A", 1)], [row("n1", "A", 2)])
    assert keys(merged) == ["items[n1].qty"]
    assert table([], [row("n1", "A", 0, rate=3)], [row("n1", "A", 2)]).values == {
        "items": [row("n1", "A", 2, rate=3)]
    }


def test_rows_are_alike_without_a_schema_as_well() -> None:
    base = [{"name": "r1", "item": "A"}]
    merged = table(
        base, [*base, {"item": "B", "qty": "2"}], [*base, {"name": "s1", "item": "B", "qty": 2}], None
    )
    assert merged.values == {
        "items": [*base, {"name": "s1", "item": "B", "qty": merged.values["items"][1]["qty"]}]
    }
    assert names(table(base, [*base, {"item": "B"}], [*base, {"name": "s1", "item": "C"}], None)) == [
        "r1",
        "s1",
        "B",
    ]


def test_the_order_is_that_of_the_side_that_moved_rows() -> None:
    r1, r2, r3 = BASE
    assert names(table(BASE, [r3, r1, r2], [r1, r2, r3])) == ["r3", "r1", "r2"]
    assert names(table(BASE, [r1, r2, r3], [r2, r1, r3])) == ["r2", "r1", "r3"]
    assert names(table(BASE, [r2, r1, r3], [r2, r1, r3])) == ["r2", "r1", "r3"]
    assert names(table(BASE, [r1, row(None, "X"), r2, r3], [r3, r1, r2])) == ["r3", "r1", "X", "r2"]


def test_rows_moved_by_both_sides_clash_in_their_order_alone() -> None:
    r1, r2, r3 = BASE
    merged = table(BASE, [r3, r1, r2], [r2, row("r1", "A", 9), r3])
    (clash,) = merged.clashes
    assert clash == Clash(
        kind=ClashKind.ORDER,
        field="items",
        base=["r1", "r2", "r3"],
        local=["r3", "r1", "r2"],
        server=["r2", "r1", "r3"],
    )
    assert clash.key == "items[]"
    assert resolve(merged, {"items[]": HERE}) == {"items": [r3, row("r1", "A", 9), r2]}
    assert resolve(merged, {"items[]": THERE}) == {"items": [r2, row("r1", "A", 9), r3]}
    assert resolve(merged, {}, rest=THERE) == {"items": [r2, row("r1", "A", 9), r3]}


def test_what_both_sides_put_in_one_place_stands_there_in_one_order() -> None:
    """Rows that have a name first; it does not matter which side is which."""
    local, server = [BASE[0], row(None, "here")], [BASE[0], row("s1", "there")]
    assert names(table(BASE[:1], local, server)) == ["r1", "s1", "here"]
    assert names(table(BASE[:1], server, local)) == ["r1", "s1", "here"]
    both = [[row(None, "y")], [row(None, "x")]]
    assert names(table([], *both)) == names(table([], *reversed(both))) == ["x", "y"]


def test_a_table_whose_rows_cannot_be_told_apart_is_one_value() -> None:
    nameless, changed = [row(None, "A"), row(None, "B")], [row(None, "A"), row(None, "C")]
    assert table(nameless, changed, nameless).values == {"items": changed}
    assert table(nameless, [row(None, "A", "1"), row(None, "B")], changed).values == {"items": changed}
    merged = table(nameless, changed, [])
    assert keys(merged) == ["items"]
    assert merged.changed_here == {"items": [nameless, changed]}
    assert resolve(merged, {"items": HERE}) == {"items": changed}
    assert resolve(merged, {}, rest=THERE) == {"items": []}
    twice = [row("r1", "A"), row("r1", "B")]
    assert keys(table(BASE, twice, BASE[1:])) == ["items"]


def test_what_is_no_table_is_compared_as_one_value() -> None:
    """An answer that has something else there must not end a run."""
    merged = table(BASE, "rows", BASE)  # type: ignore[arg-type]
    assert merged.values == {"items": "rows"}
    assert aligned_rows(merged, "items") is None
    assert keys(table(BASE, ["a"], ["b"], None)) == ["items"]


def test_rows_that_are_no_plain_objects_are_rows() -> None:
    from types import MappingProxyType

    local = tuple(MappingProxyType(each) for each in BASE[1:])
    assert table(BASE, local, BASE).values == {"items": BASE[1:]}  # type: ignore[arg-type]


def test_an_empty_table_is_an_empty_table() -> None:
    assert merge({"items": None}, {"items": []}, {"items": None}, SALE).values == {"items": []}
    assert table(BASE, [], BASE).values == {"items": []}
    assert table([], [], BASE, None).values == {"items": BASE}


# Deleted documents


def test_a_document_deleted_on_one_side_and_left_alone_on_the_other_is_to_be_deleted() -> None:
    base = {"city": "Oslo", "at": "9:00:00", "items": BASE}
    for merged in (
        merge(base, None, {**base, "at": "09:00:00", "modified": "x"}, SALE),
        merge(base, base, None, SALE),
        merge(base, None, None, SALE),
    ):
        assert merged.values is None
        assert merged.clashes == ()
        assert merged.deleted_here or merged.deleted_there
        assert resolve(merged, {}) is None


@pytest.mark.parametrize("change", [{"city": "Rome"}, {"items": BASE[1:]}, {"docstatus": 1}])
def test_a_document_deleted_on_one_side_and_changed_on_the_other_clashes(change: dict[str, Any]) -> None:
    """A change of its state is one as well."""
    rows = [{**each, "parent": "x"} for each in BASE]
    base = {"city": "Oslo", "items": rows, "modified": "0", "docstatus": 0}
    there = {**base, **change}
    merged = merge(base, None, there, SALE)
    (clash,) = merged.clashes
    assert (clash.kind, clash.key, clash.local) == (ClashKind.DOCUMENT, WHOLE, None)
    assert clash.base == {"city": "Oslo", "items": BASE}
    assert merged.values == {}
    assert merged.deleted_here
    assert resolve(merged, {WHOLE: HERE}) is None
    assert resolve(merged, {}, rest=THERE) == clash.server == merge(base, there, None, SALE).clashes[0].local
    assert clash.server is not None
    assert "parent" not in repr(clash.server)


def test_a_document_that_only_one_side_has_is_whole() -> None:
    """With no base it was not deleted but is new."""
    assert merge(None, {"city": "Rome", "x": 1, "items": BASE}, None, SALE).values == {
        "city": "Rome",
        "items": BASE,
    }
    assert merge(None, None, {"city": "Rome", "items": BASE}).values == {"city": "Rome", "items": BASE}
    assert merge(None, None, None).values is None


# Choosing


BOTH = merge(
    {"city": "Oslo", "total": 1, "due": None, "items": BASE},
    {
        "city": "Rome",
        "total": 5,
        "due": "2026-01-05",
        "items": [row("r1", "X"), row("r2", "Y"), row("n1", "N")],
    },
    {"city": "Bonn", "total": 1, "due": None, "items": [row("r1", "Z", 3), row("r2", "B"), row("r3", "D")]},
    SALE,
)


def test_every_clash_has_to_be_chosen() -> None:
    assert keys(BOTH) == ["city", "items[r1].item", "items[r3]"]
    with pytest.raises(InvalidRequest, match=r"items\[r1\]\.item, items\[r3\]"):
        resolve(BOTH, {"city": HERE})
    assert resolve(BOTH, {"city": HERE, "items[r1].item": THERE, "items[r3]": HERE}) == {
        "city": "Rome",
        "total": 5,
        "due": "2026-01-05",
        "items": [row("r1", "Z", 3), row("r2", "Y"), row("n1", "N")],
    }


def test_a_choice_may_be_a_word() -> None:
    """As it comes in JSON; another word is not taken for either side."""
    merged = a_merge("city", "Oslo", "Rome", "Bonn")
    assert resolve(merged, {"city": "local"}) == {"city": "Rome"}
    assert resolve(merged, {"city": "server"}) == {"city": "Bonn"}
    assert resolve(merged, {}, rest="local") == {"city": "Rome"}
    with pytest.raises(InvalidRequest, match="mine"):
        resolve(merged, {"city": "mine"})
    with pytest.raises(InvalidRequest, match="mine"):
        resolve(merged, {}, rest="mine")


def test_what_does_not_clash_can_be_chosen_as_well() -> None:
    """A field, a field of a row, a row, a whole table, everything; the widest key counts."""
    chosen = resolve(
        BOTH,
        {
            "total": THERE,
            "items[r1]": HERE,
            "items[r1].item": THERE,
            "items[r2].item": THERE,
            "items[n1]": THERE,
        },
        rest=HERE,
    )
    assert chosen == {
        "city": "Rome",
        "total": 1,
        "due": "2026-01-05",
        "items": [row("r1", "X"), row("r2", "B")],
    }
    whole_table = resolve(BOTH, {"items": HERE, "items[r1]": THERE}, rest=THERE)
    assert whole_table is not None
    assert whole_table["items"] == [row("r1", "X"), row("r2", "Y"), row("n1", "N")]
    assert resolve(BOTH, {WHOLE: THERE, "city": HERE}) == BOTH.server
    nameless = table(BASE, [*BASE, row(None, "N")], BASE)
    assert resolve(nameless, {"items[local+1]": THERE}) == {"items": BASE}
    moved_here = table(BASE, BASE[::-1], BASE)
    assert resolve(moved_here, {"items[]": THERE}) == {"items": BASE}


def test_a_choice_of_something_that_is_gone_is_ignored() -> None:
    """The server moved meanwhile, and what was chosen does not differ any more."""
    merged = a_merge("city", "Oslo", "Rome", "Oslo")
    assert resolve(merged, {"items[r9]": THERE, "items[r9].qty": THERE, "nothing": HERE}) == {"city": "Rome"}


def test_a_field_chosen_from_a_side_that_does_not_have_it_is_left_out() -> None:
    assert resolve(merge({"city": "Oslo"}, {"city": "Rome"}, {"total": 1}, SALE), {"city": THERE}) == {
        "total": 1
    }


def test_a_merge_is_told_as_json() -> None:
    told = merge_data(BOTH)
    assert set(told) == {
        *("values", "clashes", "changed_here", "changed_there", "rows_here", "rows_there", "paired"),
        *("deleted_here", "deleted_there"),
    }
    assert json.loads(json.dumps(told)) == told
    assert told["clashes"][1] == {
        "key": "items[r1].item",
        "kind": "field",
        "field": "items",
        "row": "r1",
        "column": "item",
        "base": "A",
        "local": "X",
        "server": "Z",
    }
    assert told["rows_here"]["items"][0] == {"row": "r1", "change": "changed", "fields": {"item": ["A", "X"]}}
    assert told["changed_there"] == {"city": ["Oslo", "Bonn"]}
    assert (told["deleted_here"], told["deleted_there"]) == (False, False)
    assert told["paired"] == {}
    assert told["values"] == {"total": 5, "due": "2026-01-05"}


# Order


def test_the_longest_rise_is_found() -> None:
    assert longest_rise([]) == []
    assert longest_rise([3, 1, 2, 0, 4]) == [1, 2, 4]
    assert [[3, 1, 2][place] for place in longest_rise([3, 1, 2])] == [1, 2]


def test_moved_names_the_fewest() -> None:
    assert moved("abcde", "abcde") == []
    assert moved("abcde", "eabcd") == ["e"]
    assert moved("abc", "xcaby") == ["c"]
    assert moved("abcd", "ad") == []


@pytest.mark.parametrize(
    ("base", "one", "other", "order"),
    [
        ("abc", "abc", "abc", "abc"),
        ("abc", "xabc", "abcy", "xabcy"),
        ("abc", "cab", "abyc", "caby"),
        ("abc", "cab", "bac", None),
        # New rows of both in two places: one order, whichever side is which.
        ("ab", "nab", "abn", "abn"),
        # A row that only one side has counts for whether it moved rows.
        ("abc", "cab", "ba", None),
        ("abc", "cna", "nab", "cnab"),
    ],
)
def test_orders(base: str, one: str, other: str, order: str | None) -> None:
    for sides in ((one, other), (other, one)):
        merged = merge_order(base, *sides, rank=str)
        assert (None if merged is None else "".join(merged)) == order


def test_a_side_can_be_preferred() -> None:
    assert merge_order("abc", "cab", "bacx", rank=str, prefer=Prefer.ONE) == list("cxab")
    assert merge_order("abc", "cab", "bacx", rank=str, prefer=Prefer.OTHER) == list("bacx")
