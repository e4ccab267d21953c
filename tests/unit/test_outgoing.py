"""What goes over the line, and what an answer says about a document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import a_request

from erp_offline_sync.engine.model import Document, FieldKind, Link, Operation, Schema
from erp_offline_sync.engine.sending.outgoing import (
    build_wire,
    document_body,
    has_rows,
    links_in_body,
    row_names,
    with_names,
)

O = Operation  # noqa: E741
LINKED = Document(
    id="l1",
    doctype="Sale",
    local_name="S-1",
    central_name="SALE-7",
    rows={"a": "row1", "b": "row2"},
)


def sent(request: Any, document: Document | None = LINKED, **more: Any) -> tuple[str, str, Any]:
    wire = build_wire(request, document, **{"names": {}, "version": "v1", **more})
    return wire.method, wire.path, json.loads(wire.body) if wire.body is not None else None


def test_a_create_sends_its_own_fields_and_a_name_and_state_that_were_given() -> None:
    body = {
        "name": "S-1",
        "docstatus": 1,
        "owner": "ann",
        "total": 5,
        "tags": [],
        "items": [{"name": "a", "idx": 1, "item": "X"}],
    }
    assert sent(a_request(operation=O.CREATE, body=body)) == (
        "POST",
        "/api/resource/Sale",
        {"name": "S-1", "docstatus": 1, "total": 5, "tags": [], "items": [{"item": "X"}]},
    )
    unnamed = a_request(operation=O.CREATE, body={"name": "", "docstatus": 0, "total": 5})
    assert sent(unnamed)[2] == {"total": 5}


def test_an_update_sends_what_changed_under_the_version_and_the_centrals_name() -> None:
    request = a_request(body={"city": "Rome", "modified": "mine"})
    assert sent(request) == ("PUT", "/api/resource/Sale/SALE-7", {"city": "Rome", "modified": "v1"})


def test_a_document_that_the_central_never_named_goes_under_the_name_it_has_here() -> None:
    unlinked = Document(id="l1", doctype="Sale", local_name="S 1")
    assert sent(a_request(), unlinked)[1] == "/api/resource/Sale/S%201"


@pytest.mark.parametrize(("operation", "docstatus"), [(O.SUBMIT, 1), (O.CANCEL, 2)])
def test_submit_and_cancel_are_changes_of_the_state(operation: Operation, docstatus: int) -> None:
    request = a_request(operation=operation, body={"remark": "x"})
    method, _path, body = sent(request)
    assert (method, body) == ("PUT", {"remark": "x", "docstatus": docstatus, "modified": "v1"})


def test_a_delete_has_no_body() -> None:
    assert sent(a_request(operation=O.DELETE, body={})) == ("DELETE", "/api/resource/Sale/SALE-7", None)


def test_a_rename_names_the_central_document() -> None:
    assert sent(a_request(operation=O.RENAME, body={"new_name": "S-2"})) == (
        "POST",
        "/api/method/frappe.client.rename_doc",
        {"doctype": "Sale", "old_name": "SALE-7", "new_name": "S-2", "merge": 0},
    )


def test_a_merge_goes_into_the_document_that_the_central_calls_otherwise() -> None:
    """Under its local name it would be renamed, or merged into another document."""
    request = a_request(operation=O.RENAME, body={"new_name": "S-2", "merge": True})
    _method, _path, body = sent(request, names={"new_name": "SALE-9"})
    assert (body["new_name"], body["merge"]) == ("SALE-9", 1)


def test_a_plain_call_goes_as_it_was_queued() -> None:
    call = a_request(operation=O.CALL, method="POST", path="/api/method/x", body={"a": 1, "name": "n"})
    for document in (None, LINKED):
        assert sent(call, document) == ("POST", "/api/method/x", {"a": 1, "name": "n"})
    assert sent(a_request(method="GET", path="/api/method/x", body={}), None) == (
        "GET",
        "/api/method/x",
        None,
    )


def test_links_are_sent_under_the_centrals_names_also_those_of_rows() -> None:
    body = {"customer": "C-1", "items": [{"item": "A"}, {"item": "B"}]}
    names = {"customer": "CUST-7", "items.1.item": "ITEM-B"}
    changed = with_names(body, names)
    assert changed == {"customer": "CUST-7", "items": [{"item": "A"}, {"item": "ITEM-B"}]}
    assert body == {"customer": "C-1", "items": [{"item": "A"}, {"item": "B"}]}
    assert sent(a_request(operation=O.CREATE, body=body), names=names)[2] == changed


def test_only_links_whose_field_travels_are_looked_at() -> None:
    links = tuple(
        Link(path=path, doctype="Item", name="X")
        for path in ("brand", "items.0.item", "was:brand", "taxes.0.account")
    )
    request = a_request(body={"brand": "B", "items": []}, links=links)
    assert [link.path for link in links_in_body(request)] == ["brand", "items.0.item"]


CENTRAL = {
    "items": [
        {"name": "row1", "item": "A", "qty": 1, "note": "theirs", "idx": 1},
        {"name": "row2", "item": "B", "qty": 2, "note": None, "idx": 2},
    ]
}
BASE = [{"name": "a", "item": "A", "qty": 1}, {"name": "b", "item": "B", "qty": 2}]


def rows_sent(ours: Any, base: Any = BASE, central: Any = CENTRAL) -> Any:
    request = a_request(body={"items": ours}, base={"items": base})
    return sent(request, central=central)[2]["items"]


def test_a_changed_row_goes_whole_under_the_centrals_name_with_what_the_central_has_beside_it() -> None:
    ours = [{"name": "a", "item": "A", "qty": 9}, BASE[1]]
    assert rows_sent(ours) == [
        {"name": "row1", "item": "A", "qty": 9, "note": "theirs"},
        {"name": "row2", "item": "B", "qty": 2, "note": None},
    ]


def test_a_field_that_the_branch_did_not_change_keeps_the_centrals_newer_value() -> None:
    central = {"items": [{**CENTRAL["items"][0], "qty": 7}, CENTRAL["items"][1]]}
    (row, _other) = rows_sent([{"name": "a", "item": "Z", "qty": 1}, BASE[1]], central=central)
    assert (row["item"], row["qty"]) == ("Z", 7)


def test_a_new_row_goes_without_the_branchs_name_and_a_removed_one_does_not_go() -> None:
    """The central loses a row that it gets under a name it does not know."""
    assert rows_sent([BASE[1], {"name": "c", "item": "C", "qty": 3}]) == [
        {"name": "row2", "item": "B", "qty": 2, "note": None},
        {"item": "C", "qty": 3},
    ]


def test_a_row_that_the_branch_never_knew_stays() -> None:
    theirs = {"items": [*CENTRAL["items"], {"name": "row9", "item": "N", "qty": 1}]}
    assert rows_sent(BASE, central=theirs)[2] == {"name": "row9", "item": "N", "qty": 1}


@pytest.mark.parametrize("empty", [[], None])
def test_an_emptied_table_removes_the_known_rows_and_only_those(empty: Any) -> None:
    theirs = {"items": [*CENTRAL["items"], {"name": "row9", "item": "N"}]}
    assert rows_sent([], central=theirs) == [{"name": "row9", "item": "N"}]
    assert rows_sent(BASE, base=empty, central={"items": empty}) == [
        {"item": "A", "qty": 1},
        {"item": "B", "qty": 2},
    ]


def test_a_list_that_is_no_table_goes_as_it_is() -> None:
    request = a_request(body={"codes": ["a"], "flags": []}, base={"codes": [], "flags": ["x"]})
    assert sent(request)[2] == {"codes": ["a"], "flags": [], "modified": "v1"}


def test_rows_need_the_centrals_document() -> None:
    assert has_rows({"items": [{"a": 1}]})
    assert has_rows({"items": [], "city": "Rome"}), "a table that was emptied may have rows there"
    assert not has_rows({"city": "Rome"})


SCHEMA = Schema(fields={"total": FieldKind.NUMBER})


def test_a_document_sent_whole_has_its_synced_fields_and_its_state() -> None:
    document = {"name": "S-1", "total": 5, "status": "Paid", "docstatus": 1}
    assert document_body(document, SCHEMA) == {"total": 5, "docstatus": 1}
    assert document_body({"total": 5, "docstatus": 0}, SCHEMA) == {"total": 5}


def test_a_document_sent_whole_leaves_nothing_to_the_centrals_defaults() -> None:
    schema = Schema(
        fields={"total": FieldKind.NUMBER, "due": FieldKind.DATE},
        tables={"items": Schema(fields={"qty": FieldKind.NUMBER, "note": FieldKind.TEXT})},
    )
    document = {"total": None, "due": None, "items": [{"name": "a", "qty": None, "note": None}]}
    assert document_body(document, schema) == {
        "total": 0,
        "due": "",
        "items": [{"name": "a", "qty": 0, "note": ""}],
    }
    assert document_body({"total": None, "items": [{"qty": None}]}, None) == {
        "total": "",
        "items": [{"qty": "", "name": ""}],
    }


def test_a_document_sent_whole_keeps_the_name_that_the_branch_gives_and_the_policys_values() -> None:
    schema = Schema(
        fields={"total": FieldKind.NUMBER}, named_here=True, outgoing={"set_posting_time": 1, "total": 6}
    )
    assert document_body({"name": "S-1", "total": 5}, schema) == {
        "name": "S-1",
        "total": 6,
        "set_posting_time": 1,
    }


def test_rows_are_known_again_by_what_was_sent_and_otherwise_in_order() -> None:
    local = {"items": [{"name": "a", "item": "A"}, {"name": "b", "item": "B"}, {"item": "new"}]}
    swapped = {"items": [{"name": "r1", "item": "B"}, {"name": "r2", "item": "A"}, {"name": "r3"}]}
    assert row_names(local, swapped, {}) == {"a": "r2", "b": "r1"}
    changed = {"items": [{"name": "r1", "item": "x"}, {"name": "r2", "item": "y"}]}
    assert row_names(local, changed, {}) == {"a": "r1", "b": "r2"}


def test_row_names_that_are_known_stay_and_rows_without_a_counterpart_get_none() -> None:
    local = {"items": [{"name": "a", "item": "A"}, {"name": "b", "item": "B"}], "note": "x", "taxes": []}
    answered = {"items": [{"name": "r1", "item": "B"}]}
    assert row_names(local, answered, {"a": "r1"}) == {"a": "r1"}
    assert row_names(local, {"items": None}, {"z": "r9"}) == {"z": "r9"}
    assert row_names(local, {"items": "text"}, {}) == {}


def test_carried_fields_go_along_with_a_create_where_they_hold_something() -> None:
    rows = Schema(fields={"qty": FieldKind.NUMBER}, carried=frozenset({"sales_order", "delivered"}))
    schema = Schema(
        fields={"note": FieldKind.TEXT}, tables={"items": rows}, carried=frozenset({"project", "x"})
    )
    document = {
        "note": "n",
        "project": "P-1",
        "x": None,
        "items": [
            {"name": "a", "qty": 1, "sales_order": "SO-1", "delivered": 0},
            {"name": "b", "qty": 2, "sales_order": ""},
        ],
    }
    assert document_body(document, schema) == {
        "note": "n",
        "project": "P-1",
        "items": [{"name": "a", "qty": 1, "sales_order": "SO-1"}, {"name": "b", "qty": 2}],
    }
    assert document_body({"note": "n", "items": None}, schema) == {"note": "n", "items": []}
    assert document_body({"note": "n"}, schema) == {"note": "n"}
