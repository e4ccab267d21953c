"""What somebody may queue, and the words with which everything else is refused."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from erp_offline_sync.engine.calls import parse_body, queued_call, under_local_names
from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.model import Document, Link, Operation, Request, Status
from erp_offline_sync.testing.memory_store import MemoryStore

NOW = datetime(2025, 3, 1, 8, 30, tzinfo=timezone.utc)
VERSION = "2025-02-28 17:01:02.000003"


def queue(method: str, path: str, body: Any = None, **options: Any) -> Request:
    return queued_call(method, path, body, **{"key": "k-1", "now": NOW, "max_bytes": 1000, **options})


def refusal(method: Any, path: Any, body: Any = None, **options: Any) -> str:
    with pytest.raises(InvalidRequest) as refused:
        queue(method, path, body, **options)
    return str(refused.value)


def test_a_create_holds_the_whole_document_and_stands_in_its_line() -> None:
    request = queue("post", "/api/resource/Sales Invoice", {"doctype": "Sales Invoice", "total": 5})
    assert (request.operation, request.resource_type, request.resource_id) == (
        Operation.CREATE,
        "Sales Invoice",
        None,
    )
    assert request.body == {"total": 5}
    assert (request.id, request.key, request.seq, request.status) == ("k-1", "k-1", 0, Status.PENDING)
    assert (request.created_at, request.last_change, request.method) == (NOW, NOW, "POST")


def test_a_document_that_the_central_names_can_have_a_name_here() -> None:
    request = queue("POST", "/api/resource/Customer", {"customer_name": "Ann"}, local_name="till-1-77")
    assert request.resource_id == "till-1-77"
    assert "name" not in request.body


def test_only_a_create_takes_a_name_of_its_own() -> None:
    assert "creates" in refusal("DELETE", "/api/resource/ToDo/1", local_name="mine")


def test_the_version_of_an_update_leaves_its_values() -> None:
    request = queue("PUT", "/api/resource/ToDo/T-1", {"modified": VERSION, "status": "Closed", "name": "T-1"})
    assert (request.operation, request.resource_id) == (Operation.UPDATE, "T-1")
    assert (request.body, request.resource_version) == ({"status": "Closed"}, VERSION)


def test_a_create_has_no_version() -> None:
    request = queue("POST", "/api/resource/ToDo", {"modified": VERSION, "description": "x"})
    assert (request.body, request.resource_version) == ({"description": "x"}, None)


def test_the_version_beside_the_values_of_a_client_call_is_found() -> None:
    body = {"doctype": "ToDo", "name": "T-1", "fieldname": "status", "value": "Closed", "modified": VERSION}
    request = queue("POST", "/api/method/frappe.client.set_value", body)
    assert (request.operation, request.body, request.resource_version) == (
        Operation.UPDATE,
        {"status": "Closed"},
        VERSION,
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/api/resource/ToDo/T-1", {"status": "Closed"}),
        ("PUT", "/api/resource/ToDo/T-1", {"status": "Closed", "modified": ""}),
        ("PUT", "/api/resource/ToDo/T-1", {"docstatus": 1}),
        ("PUT", "/api/resource/ToDo/T-1", {"docstatus": 2}),
        ("PUT", "/api/resource/ToDo/T-1?run=1", {"status": "Closed"}),
        ("PUT", "/api/method/some.app.call", {"status": "Closed"}),
        ("POST", "/api/method/frappe.client.save", {"doc": {"doctype": "ToDo", "name": "T-1"}}),
    ],
)
def test_a_change_without_a_version_is_refused_unless_overwriting_is_allowed(
    method: str, path: str, body: dict[str, Any]
) -> None:
    assert "`modified`" in refusal(method, path, body)
    request = queue(method, path, body, overwrite=True)
    assert request.overwrite
    assert request.resource_version is None


def test_a_cancel_by_its_own_call_needs_no_version() -> None:
    request = queue("POST", "/api/method/frappe.client.cancel", {"doctype": "Sale", "name": "S-1"})
    assert (request.operation, request.resource_id) == (Operation.CANCEL, "S-1")


def test_a_plain_call_keeps_its_body() -> None:
    body = {"modified": VERSION, "x": [1, 2.5, None, True, "é"]}
    request = queue("PUT", "/api/method/some.app.call", body, repeatable=True)
    assert (request.operation, request.resource_type, request.body) == (Operation.CALL, None, body)
    assert (request.resource_version, request.repeatable) == (VERSION, True)


def test_a_rename_says_the_new_name_and_whether_to_merge() -> None:
    body = {"doctype": "Customer", "old_name": "Ann", "new_name": "Anna", "merge": 1}
    request = queue("POST", "/api/method/frappe.client.rename_doc", body)
    assert (request.operation, request.resource_id) == (Operation.RENAME, "Ann")
    assert request.body == {"new_name": "Anna", "merge": True}


def test_links_name_the_documents_that_must_be_there_first() -> None:
    body = {"customer": "Ann", "items": [{"item_code": "TEA"}, {"item_code": "CUP"}]}
    links = {"customer": "Customer", "items.1.item_code": "Item"}
    request = queue("POST", "/api/resource/Sale", body, links=links)
    assert request.links == (
        Link(path="customer", doctype="Customer", name="Ann"),
        Link(path="items.1.item_code", doctype="Item", name="CUP"),
    )


@pytest.mark.parametrize(
    ("field", "doctype"),
    [
        ("nothing", "Customer"),
        ("customer", ""),
        ("total", "Customer"),
        ("items", "Item"),
        ("items.7.item_code", "Item"),
        ("items.x.item_code", "Item"),
        ("items.0.qty", "Item"),
        ("customer.0.name", "Customer"),
        ("tags.0.item_code", "Item"),
    ],
)
def test_a_link_without_a_name_in_the_body_is_refused(field: str, doctype: str) -> None:
    body = {"customer": "Ann", "total": 5, "items": [{"item_code": "TEA", "qty": 1}], "tags": ["a"]}
    assert repr(field) in refusal("POST", "/api/resource/Sale", body, links={field: doctype})


def test_unique_fields_are_kept_with_their_values() -> None:
    request = queue(
        "POST", "/api/resource/Sale", {"receipt_no": "R-7", "till": 0}, unique=["receipt_no", "till"]
    )
    assert request.unique == {"receipt_no": "R-7", "till": 0}


@pytest.mark.parametrize("field", ["missing", "empty", "rows"])
def test_a_unique_field_needs_a_value(field: str) -> None:
    assert repr(field) in refusal("POST", "/api/resource/Sale", {"empty": "", "rows": []}, unique=[field])


def test_only_a_create_has_unique_fields() -> None:
    assert "created" in refusal("DELETE", "/api/resource/Sale/1", unique=["receipt_no"])


def test_the_order_and_the_time_of_a_change_can_be_given() -> None:
    earlier = NOW - timedelta(days=3)
    request = queue("POST", "/api/resource/Sale", {}, priority=0, order_group="stock", changed_at=earlier)
    assert (request.priority, request.rank, request.order_group, request.last_change) == (
        0,
        0,
        "stock",
        earlier,
    )


@pytest.mark.parametrize("priority", [-1, 10, True, 2.0, "5", None])
def test_a_priority_outside_0_to_9_is_refused(priority: Any) -> None:
    assert "0" in refusal("POST", "/api/resource/Sale", {}, priority=priority)


@pytest.mark.parametrize(
    ("method", "words"),
    [("GET", "nothing to queue"), ("get", "nothing to queue"), ("PATCH", "POST, PUT, DELETE"), (7, "one of")],
)
def test_only_what_changes_something_is_queued(method: Any, words: str) -> None:
    assert words in refusal(method, "/api/resource/ToDo")


@pytest.mark.parametrize(
    "path",
    [
        "https://other.example/api/resource/ToDo",
        "HTTP://central.example/api/resource/ToDo",
        "//other.example/api/resource/ToDo",
        "  https://other.example/api/",
        "file:///etc/passwd",
    ],
)
def test_an_absolute_url_is_refused_whatever_its_host(path: str) -> None:
    assert "path alone" in refusal("POST", path)


@pytest.mark.parametrize("path", ["", "/app/todo", "api/resource/ToDo", "/api/../login", None, 5])
def test_a_path_outside_the_api_is_refused(path: Any) -> None:
    assert "path" in refusal("POST", path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "not JSON"),
        ("[1]", "a list"),
        ('"x"', "a text"),
        ("5", "a number"),
        ("null", "null"),
        ("true", "true or false"),
        ('{"x": NaN}', "cannot be written"),
        (b"\xff{}", "UTF-8"),
        ("[" * 100_000, "deeply"),
        ({"x": object()}, "cannot be written"),
        ({"x": {1, 2}}, "cannot be written"),
        ([("x", 1)], "a list"),
        ('{"x": "\\ud800"}', "surrogate"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: Any, words: str) -> None:
    assert words in refusal("POST", "/api/resource/ToDo", body, max_bytes=10_000_000)


def test_a_body_nested_without_end_is_refused() -> None:
    body: dict[str, Any] = {}
    nested = body
    for _ in range(100_000):
        nested["x"] = nested = {}
    assert "deeply" in refusal("POST", "/api/resource/ToDo", body, max_bytes=10_000_000)


@pytest.mark.parametrize("body", ["", "  \n", b"", None, {}])
def test_no_body_is_an_empty_object(body: Any) -> None:
    assert queue("POST", "/api/resource/ToDo", body).body == {}


def test_what_is_stored_is_what_json_makes_of_it() -> None:
    assert queue("POST", "/api/resource/ToDo", {1: (2, 3)}).body == {"1": [2, 3]}


@pytest.mark.parametrize("body", [{"x": "é" * 500}, '{"x": "' + "a" * 1000 + '"}', " " * 6001])
def test_a_body_over_the_limit_is_refused(body: Any) -> None:
    assert "1,000 bytes" in refusal("POST", "/api/resource/ToDo", body)


def test_white_space_does_not_count_as_body() -> None:
    assert queue("POST", "/api/resource/ToDo", '{"x":' + " " * 2000 + "1}").body == {"x": 1}


def test_a_version_must_be_text() -> None:
    assert "text" in refusal("PUT", "/api/resource/ToDo/1", {"modified": 20250301})


def test_text_is_read_as_an_object() -> None:
    assert parse_body(b'{"a": 1}') == {"a": 1}


def known(store: MemoryStore, local_name: str, central_name: str | None, *, deleted: bool = False) -> None:
    store.put_document(
        Document(
            id=f"line-{local_name}",
            doctype="Customer",
            local_name=local_name,
            central_name=central_name,
            deleted=deleted,
        )
    )


def test_a_document_may_be_named_as_the_central_names_it() -> None:
    """A call made after the sync, and its links, lead into the line of the call that made the document."""
    store = MemoryStore(lambda: NOW)
    with store.transaction():
        known(store, "till/7", "CUST-7")
        update = queue("PUT", "/api/resource/Customer/CUST-7", {"phone": "1"}, overwrite=True)
        assert under_local_names(store, update).resource_id == "till/7"
        sale = queue("POST", "/api/resource/Sale", {"customer": "CUST-7"}, links={"customer": "Customer"})
        assert under_local_names(store, sale).links[0].name == "till/7"


@pytest.mark.parametrize("name", ["till/7", "CUST-8", "CUST-9"])
def test_a_name_that_is_local_or_not_known_stays(name: str) -> None:
    store = MemoryStore(lambda: NOW)
    with store.transaction():
        known(store, "till/7", "CUST-7")
        known(store, "till/9", "CUST-9", deleted=True)
        request = queue("DELETE", f"/api/resource/Customer/{name}")
        assert under_local_names(store, request).resource_id == name


def test_a_new_document_keeps_the_name_that_it_is_given() -> None:
    store = MemoryStore(lambda: NOW)
    with store.transaction():
        known(store, "till/7", "CUST-7")
        request = queue("POST", "/api/resource/Customer", {}, local_name="CUST-7")
        assert under_local_names(store, request).resource_id == "CUST-7"
        plain = queue("POST", "/api/method/some.app.call")
        assert under_local_names(store, plain) == plain
