"""Paths of the central's API: built, read, refused."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.paths import (
    LONGEST_PATH,
    check_path,
    document_path,
    document_values,
    parse_resource,
    quote_segment,
)

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and not {".", ".."} & set(name.replace("\\", "/").split("/"))
)


@given(NAMES)
def test_a_quoted_segment_is_what_a_url_library_makes_of_it(name: str) -> None:
    assert quote_segment(name) == quote(name, safe="")
    assert unquote(quote_segment(name)) == name


@pytest.mark.parametrize("name", ["", ".", "..", "\ud800"])
def test_what_cannot_be_a_segment_is_refused(name: str) -> None:
    """A URL library would fold the dots away and call something else."""
    with pytest.raises(InvalidRequest):
        quote_segment(name)


def test_names_of_every_kind_make_a_path() -> None:
    assert document_path("Sales Invoice") == "/api/resource/Sales%20Invoice"
    assert document_path("Item", "50% / #1 ?") == "/api/resource/Item/50%25%20%2F%20%231%20%3F"
    assert document_path("Item", "عميل") == "/api/resource/Item/%D8%B9%D9%85%D9%8A%D9%84"


@given(NAMES, NAMES)
def test_a_path_made_for_a_document_is_read_back(doctype: str, name: str) -> None:
    path = document_path(doctype, name)
    if len(path) > LONGEST_PATH or name.endswith("/"):
        return
    assert parse_resource("DELETE", path, None) == (Operation.DELETE, doctype, name)


@pytest.mark.parametrize(
    "path",
    [
        "/api/resource/ToDo",
        "/api/resource/Sales Invoice/ACC-1",
        "/api/resource/User/a@b.example",
        "/api/method/frappe.client.insert",
        "/api/v2/document/ToDo/x/",
        "/api/resource/ToDo?run_method=a%20b&x=//y",
        "/api/resource/Item/a..b",
        "/api/resource/Item/عميل",
        "/api/resource/Item/a%2Fb",
    ],
)
def test_a_path_below_the_api_is_good(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        7,
        "",
        "api/resource/ToDo",
        "/app/todo",
        "/API/resource",
        "/api",
        "/api/",
        "/api/?x",
        "/api//resource",
        "/api/resource//x",
        "//169.254.169.254/api/x",
        "http://169.254.169.254/api/x",
        "https://user:pass@central.example/api/x",
        "file:///etc/passwd",
        "///api/x",
        "\\\\host\\api\\x",
        "/api/\\host",
        "/api/../x",
        "/api/resource/..",
        "/api/./x",
        "/api/%2e%2e/x",
        "/api/%2E%2e%2Fx",
        "/api/a%5c..%5cb",
        "/api/a%2f..%2fb",
        "/api/x\r\nHost: evil",
        "/api/x%0d%0aHost:%20evil",
        "/api/x\x00",
        "/api/x%00",
        "/api/x\u2028y",
        "/api/x#y",
        "/api/x%",
        "/api/x%zz",
        "/api/x?y=%",
        "/api/%ff",
        "/api/\ud800",
        "/api/" + "x" * LONGEST_PATH,
    ],
)
def test_any_other_path_is_refused_with_a_reason(path: Any) -> None:
    with pytest.raises(InvalidRequest, match="path"):
        check_path(path)


RESOURCES: list[tuple[str, str, Any, tuple[Operation, str | None, str | None], Any]] = [
    (
        "POST",
        "/api/resource/ToDo",
        {"description": "x"},
        (Operation.CREATE, "ToDo", None),
        {"description": "x"},
    ),
    (
        "post",
        "/api/resource/ToDo/",
        {"name": "a", "doctype": "ToDo"},
        (Operation.CREATE, "ToDo", "a"),
        {"name": "a"},
    ),
    ("POST", "/api/v1/resource/ToDo", {"name": 7}, (Operation.CREATE, "ToDo", "7"), {"name": 7}),
    ("POST", "/api/v2/document/ToDo", {"name": True}, (Operation.CREATE, "ToDo", None), {"name": True}),
    (
        "PUT",
        "/api/resource/Sales%20Invoice/a%2Fb",
        {"x": 1},
        (Operation.UPDATE, "Sales Invoice", "a/b"),
        {"x": 1},
    ),
    ("PUT", "/api/resource/Item/a/b", {"name": "a/b", "x": 1}, (Operation.UPDATE, "Item", "a/b"), {"x": 1}),
    ("PUT", "/api/resource/SI/a", {"docstatus": 1}, (Operation.SUBMIT, "SI", "a"), {"docstatus": 1}),
    ("PUT", "/api/resource/SI/a", {"docstatus": "2"}, (Operation.CANCEL, "SI", "a"), {"docstatus": "2"}),
    ("PUT", "/api/resource/SI/a", {"docstatus": 0}, (Operation.UPDATE, "SI", "a"), {"docstatus": 0}),
    ("PUT", "/api/resource/SI/a", {"docstatus": [1]}, (Operation.UPDATE, "SI", "a"), {"docstatus": [1]}),
    ("PUT", "/api/v2/document/SI/a", None, (Operation.UPDATE, "SI", "a"), {}),
    ("DELETE", "/api/resource/ToDo/x", {"a": 1}, (Operation.DELETE, "ToDo", "x"), {}),
    (
        "POST",
        "/api/method/frappe.client.insert",
        {"doc": {"doctype": "ToDo", "description": "x"}},
        (Operation.CREATE, "ToDo", None),
        {"description": "x"},
    ),
    (
        "POST",
        "/api/method/frappe.client.insert",
        {"doc": json.dumps({"doctype": "Item", "name": "a"})},
        (Operation.CREATE, "Item", "a"),
        {"name": "a"},
    ),
    (
        "POST",
        "/api/v2/method/frappe.client.save",
        {"doc": {"doctype": "Item", "name": "a", "x": 1}},
        (Operation.UPDATE, "Item", "a"),
        {"x": 1},
    ),
    (
        "POST",
        "/api/method/frappe.client.submit",
        {"doc": {"doctype": "SI", "name": "a"}},
        (Operation.SUBMIT, "SI", "a"),
        {"docstatus": 1},
    ),
    (
        "POST",
        "/api/method/frappe.client.cancel",
        {"doctype": "SI", "name": "a"},
        (Operation.CANCEL, "SI", "a"),
        {"docstatus": 2},
    ),
    (
        "DELETE",
        "/api/method/frappe.client.delete",
        {"doctype": "SI", "name": "a"},
        (Operation.DELETE, "SI", "a"),
        {},
    ),
    (
        "POST",
        "/api/method/frappe.client.rename_doc",
        {"doctype": "Item", "old_name": "a", "new_name": "b"},
        (Operation.RENAME, "Item", "a"),
        {"new_name": "b", "merge": False},
    ),
    (
        "POST",
        "/api/method/frappe.client.rename_doc",
        {"doctype": "Item", "old_name": "a", "new_name": "b", "merge": "true"},
        (Operation.RENAME, "Item", "a"),
        {"new_name": "b", "merge": True},
    ),
    (
        "POST",
        "/api/method/frappe.client.set_value",
        {"doctype": "Item", "name": "a", "fieldname": "x", "value": 1},
        (Operation.UPDATE, "Item", "a"),
        {"x": 1},
    ),
    (
        "POST",
        "/api/method/frappe.client.set_value",
        {"doctype": "Item", "name": "a", "fieldname": '{"x": 1, "y": 2}'},
        (Operation.UPDATE, "Item", "a"),
        {"x": 1, "y": 2},
    ),
    (
        "POST",
        "/api/method/frappe.client.set_value",
        {"doctype": "Item", "name": "a", "fieldname": {"x": 1}},
        (Operation.UPDATE, "Item", "a"),
        {"x": 1},
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "read", "values"), RESOURCES)
def test_a_queued_call_is_read_as_its_documents_operation(method, path, body, read, values) -> None:
    assert parse_resource(method, path, body) == read
    assert document_values(method, path, body) == values


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/resource/ToDo/x", None),
        ("PATCH", "/api/resource/ToDo/x", {"a": 1}),
        ("PUT", "/api/resource/ToDo", {"a": 1}),
        ("DELETE", "/api/resource/ToDo", None),
        ("POST", "/api/resource/ToDo/x", {"run_method": "close"}),
        ("POST", "/api/resource/ToDo?run_method=x", {}),
        ("POST", "/api/resource", {}),
        ("POST", "/api/v2", {}),
        ("POST", "/api/v2/resource/ToDo", {}),
        ("POST", "/api/document/ToDo", {}),
        ("DELETE", "/api/v2/document/ToDo/x/method/close", {}),
        ("POST", "/api/method/my.app.call", {"a": 1}),
        ("POST", "/api/method/frappe.client.insert/x", {"doc": {"doctype": "ToDo"}}),
        ("GET", "/api/method/frappe.client.insert", {"doc": {"doctype": "ToDo"}}),
        ("POST", "/api/method/frappe.client.insert", {"doc": "no json"}),
        ("POST", "/api/method/frappe.client.insert", {"doc": "[" * 100_000}),
        ("POST", "/api/method/frappe.client.insert", {"doc": {"name": "a"}}),
        ("POST", "/api/method/frappe.client.insert", {"doc": {"doctype": "Row", "parenttype": "SI"}}),
        ("POST", "/api/method/frappe.client.insert_many", {"docs": []}),
        ("POST", "/api/method/frappe.client.save", {"doc": {"doctype": "ToDo"}}),
        ("POST", "/api/method/frappe.client.cancel", {"doctype": "SI"}),
        ("POST", "/api/method/frappe.client.get", {"doctype": "SI", "name": "a"}),
        ("POST", "/api/method/frappe.client.rename_doc", {"doctype": "Item", "old_name": "a"}),
        ("POST", "/api/method/frappe.client.set_value", {"doctype": "Item", "name": "a"}),
    ],
)
def test_what_is_no_single_documents_operation_stays_a_call(method: str, path: str, body: Any) -> None:
    assert parse_resource(method, path, body) == (Operation.CALL, None, None)
    assert document_values(method, path, body) == (body or {})


def test_a_call_outside_the_api_is_refused_while_it_is_read() -> None:
    with pytest.raises(InvalidRequest, match="/api/"):
        parse_resource("POST", "http://evil.example/api/resource/ToDo", {})
