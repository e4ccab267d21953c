"""Which values are the same, and which fields count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_offline_sync.engine.model import FieldKind, Schema
from erp_offline_sync.engine.values import (
    FRAMEWORK_FIELDS,
    differences,
    is_rows,
    moved_fields,
    same_value,
    synced_values,
)

K = FieldKind
ROW = Schema(fields={"item": K.TEXT, "qty": K.NUMBER})
SALE = Schema(
    fields={"customer": K.TEXT, "total": K.NUMBER, "due": K.DATE, "settings": K.JSON}, tables={"items": ROW}
)

SAME = [
    (None, "", None),
    (None, 0, None),
    ("", 0, None),
    (0, False, None),
    ([], None, None),
    (1, 1.0, None),
    (1, "1", None),
    (0.1 + 0.2, 0.3, None),
    (1e15, 1e15 + 0.1, K.NUMBER),
    ("1.50", "1.5", K.NUMBER),
    ("1.50", 1.5, K.NUMBER),
    (None, "0", K.NUMBER),
    ("", 0.0, K.NUMBER),
    ([], "0.0", K.NUMBER),
    (True, 1, K.NUMBER),
    ("9:05:00", "09:05:00", K.TIME),
    ("09:05:00", "09:05:00.000000", K.TIME),
    ("09:05", "9:05:00", K.TIME),
    # Frappe pads no seconds that have a fraction, and rounds those that have too much of one.
    ("9:05:04.780435", "9:05:4.780435", K.TIME),
    ("9:05:04.500000", "9:05:4.5", K.TIME),
    ("2026-01-05 09:05:00", "2026-01-05T09:05:00.000000", K.DATETIME),
    ("2026-01-05 09:05:00", "2026-01-05 09:05:00", K.DATETIME),
    ("2026-01-05", "2026-01-05", K.DATE),
    ("", None, K.TEXT),
    ("7", 7, K.TEXT),
    ('{"a": 1, "b": 2}', '{"b":2,"a":1}', K.JSON),
    ('{"a": 1}', {"a": 1}, K.JSON),
    ("not json", "not json", K.JSON),
    (None, "", K.JSON),
]

DIFFERENT = [
    ("a", "b", None),
    ("a", "A", None),
    (1, 2, None),
    (1, "a", None),
    ("a", 1, None),
    (1, [1], None),
    ({"a": 1}, "x", None),
    (None, "x", None),
    ("0", "", K.TEXT),
    ("09:05:00", "9:05:00", K.TEXT),
    ("1.50", "1.5", K.TEXT),
    ("x", "1", K.NUMBER),
    (1.0, 1.0001, K.NUMBER),
    ("09:05:00", "09:05:01", K.TIME),
    ("9:05:04.5", "9:05:40.5", K.TIME),
    ("09:05:00", "09:05:00.5", K.TIME),
    ("09:05:00", "later", K.TIME),
    ("2026-01-05 09:05:00", "2026-01-06 09:05:00", K.DATETIME),
    ("2026-01-05", "2026-01-06", K.DATE),
    ('{"a": 1}', '{"a": 2}', K.JSON),
    ("not json", '{"a": 1}', K.JSON),
]


@pytest.mark.parametrize(("one", "other", "kind"), SAME)
def test_spellings_of_one_value_are_the_same(one: Any, other: Any, kind: FieldKind | None) -> None:
    assert same_value(one, other, kind)
    assert same_value(other, one, kind)


@pytest.mark.parametrize(("one", "other", "kind"), DIFFERENT)
def test_values_that_people_tell_apart_are_different(one: Any, other: Any, kind: FieldKind | None) -> None:
    assert not same_value(one, other, kind)
    assert not same_value(other, one, kind)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)


@given(SCALARS | st.lists(st.dictionaries(st.text(max_size=3), SCALARS, max_size=2), max_size=2), SCALARS)
def test_comparing_never_fails_and_does_not_depend_on_the_side(one: Any, other: Any) -> None:
    for kind in (None, *FieldKind):
        assert same_value(one, one, kind)
        assert same_value(one, other, kind) == same_value(other, one, kind)


def test_a_table_is_a_list_of_objects() -> None:
    assert is_rows([{"a": 1}])
    assert is_rows([])
    assert not is_rows([1])
    assert not is_rows("text")
    assert not is_rows({"a": 1})


def test_without_a_schema_every_field_but_the_frameworks_and_private_ones_counts() -> None:
    before = {**dict.fromkeys(FRAMEWORK_FIELDS, 1), "_user_tags": "x", "city": "Rome", "zip": ""}
    after = {**dict.fromkeys(FRAMEWORK_FIELDS, 2), "_user_tags": "y", "city": "Oslo", "zip": None}
    assert moved_fields(before, after, None) == ["city"]
    assert moved_fields({"city": "Rome"}, {}, None) == ["city"]


def test_with_a_schema_its_fields_and_tables_count_and_nothing_else() -> None:
    before = {"customer": "C-1", "outstanding": 5, "items": [{"item": "A", "qty": 1, "amount": 3}]}
    after = {"customer": "C-1", "outstanding": 0, "items": [{"item": "A", "qty": 1.0, "amount": 4}]}
    assert moved_fields(before, after, SALE) == []
    assert moved_fields(before, {**after, "items": [{"item": "B", "qty": 1}]}, SALE) == ["items"]
    assert moved_fields(before, {**after, "items": []}, SALE) == ["items"]
    assert moved_fields({"items": None}, {"items": []}, SALE) == []


def test_without_a_schema_rows_are_compared_in_order_and_without_their_names() -> None:
    one = {"items": [{"name": "r1", "item": "A"}, {"name": "r2", "item": "B"}]}
    other = {"items": [{"name": "x", "item": "A"}, {"name": "y", "item": "B"}]}
    assert moved_fields(one, other, None) == []
    assert moved_fields(one, {"items": other["items"][::-1]}, None) == ["items"]
    assert moved_fields(one, {"items": None}, None) == ["items"]
    assert moved_fields(one, {"items": "text"}, None) == ["items"]


def test_the_synced_values_of_a_document_are_its_schemas_fields_and_its_rows_with_their_names() -> None:
    sale = {
        "name": "S-1",
        "customer": "C-1",
        "outstanding": 3,
        "items": [{"name": "r1", "item": "A", "qty": 2, "amount": 6}],
    }
    assert synced_values(sale, SALE) == {
        "customer": "C-1",
        "items": [{"item": "A", "qty": 2, "name": "r1"}],
    }
    assert synced_values({"customer": "C-1"}, SALE) == {"customer": "C-1"}
    assert synced_values({"items": None}, SALE) == {"items": []}


def test_without_a_schema_the_synced_values_are_all_but_the_frameworks() -> None:
    sale = {"name": "S-1", "docstatus": 1, "_seen": "x", "total": 6, "tags": [], "codes": ["a"]}
    rows = {"items": [{"name": "r1", "idx": 1, "item": "A"}, {"item": "B"}]}
    assert synced_values({**sale, **rows}, None) == {
        "total": 6,
        "tags": [],
        "codes": ["a"],
        "items": [{"item": "A", "name": "r1"}, {"item": "B", "name": None}],
    }


def test_what_came_back_otherwise_than_sent_is_named_with_both_values() -> None:
    sent = {"customer": "C-1", "total": 5, "modified": "x", "items": [{"item": "A", "qty": 1}]}
    answered = {
        "customer": "C-2",
        "total": "5.0",
        "modified": "y",
        "items": [{"item": "A", "qty": 1, "u": 2}],
    }
    for schema in (None, SALE):
        assert differences(sent, answered, schema) == {"customer": ["C-1", "C-2"]}


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ({"note": "x"}, {}),
        ({"items": [{"item": "A"}]}, {}),
        ({"items": [{"item": "A"}]}, {"items": [{"item": "B"}]}),
        ({"items": [{"item": "A"}]}, {"items": [{"item": "A"}, {"item": "B"}]}),
        ({"items": [{"item": "A"}]}, {"items": "text"}),
        ({"items": []}, {"items": [{"item": "A"}]}),
    ],
)
def test_a_field_or_row_that_the_answer_lacks_or_adds_is_a_difference(
    sent: dict[str, Any], answered: dict[str, Any]
) -> None:
    """An absent field is how a central says that it does not know it."""
    for schema in (None, SALE):
        (field,) = sent
        assert differences(sent, answered, schema) == {field: [sent[field], answered.get(field)]}


def test_nothing_is_compared_in_carried_fields() -> None:
    rows = Schema(fields={"qty": FieldKind.NUMBER}, carried=frozenset({"sales_order"}))
    schema = Schema(fields={"note": FieldKind.TEXT}, tables={"items": rows}, carried=frozenset({"project"}))
    sent = {"note": "n", "project": "P-1", "items": [{"qty": 1, "sales_order": "SO-1"}]}
    answered = {"note": "n", "project": "", "items": [{"qty": 1, "sales_order": "SO-7"}]}
    assert differences(sent, answered, schema) == {}
    assert moved_fields(sent, answered, schema) == []
    assert differences({**sent, "unknown": 1}, answered, schema) == {"unknown": [1, None]}
