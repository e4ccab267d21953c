"""What an answer means: golden vectors, then answers made by hand.

The golden vectors (golden/frappe_responses.json) were recorded from running sites, Frappe 15.55.1 and
16.0.0-dev, ERPNext 15.90. What each means is written down here by hand.
"""

from __future__ import annotations

import json
import string
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_offline_sync.engine.classify import (
    MESSAGE_LIMIT,
    Outcome,
    Verdict,
    classify,
    http_date,
    read_document,
    read_failure,
    read_names,
    read_probe,
    retry_after_seconds,
)
from erp_offline_sync.engine.model import Gap, Operation, Reply

GOLDEN = json.loads((Path(__file__).parent / "golden" / "frappe_responses.json").read_text("utf-8"))
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=timezone.utc)
HTML = "text/html"
DOCUMENT = {"name": "abc", "modified": "2026-11-22 15:12:21.684342"}
TO_DOCUMENTS = (Operation.CREATE, Operation.UPDATE, Operation.SUBMIT, Operation.CANCEL)


def answered(status: int, body: Any = None, *, retry_after: str | None = None) -> Reply:
    return Reply(status=status, is_json=True, body=body, retry_after=retry_after)


def page(status: int, *, retry_after: str | None = None) -> Reply:
    return Reply(status=status, detail=HTML, retry_after=retry_after)


def error(status: int, exc_type: str, **more: Any) -> Reply:
    return answered(status, {"exc_type": exc_type, **more})


def reply_of(record: dict[str, Any]) -> Reply:
    if "body" in record:
        return answered(record["status"], record["body"])
    return page(record["status"])


# (frappe, method, path, case): operation, verdict, name answered, how the message begins
EXPECTED: dict[tuple[str, str, str, str], tuple[Operation, Verdict, str | None, str]] = {
    ("15.55.1", "POST", "/api/resource/ToDo", "create"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "lcd51en9uu",
        "",
    ),
    ("15.55.1", "PUT", "/api/resource/ToDo/lcd51en9uu", "update with the current version"): (
        Operation.UPDATE,
        Verdict.APPLIED,
        "lcd51en9uu",
        "",
    ),
    ("15.55.1", "PUT", "/api/resource/ToDo/lcd51en9uu", "update with a stale version"): (
        Operation.UPDATE,
        Verdict.STALE,
        None,
        "Error: Document has been modified after you have opened it (",
    ),
    ("15.55.1", "PUT", "/api/resource/ToDo/lcd51en9uu", "update without a version"): (
        Operation.UPDATE,
        Verdict.APPLIED,
        "lcd51en9uu",
        "",
    ),
    ("15.55.1", "POST", "/api/resource/Role", "create, duplicate primary key"): (
        Operation.CREATE,
        Verdict.TAKEN,
        None,
        "Role Guest already exists",
    ),
    ("15.55.1", "POST", "/api/resource/Role", "create, mandatory field missing"): (
        Operation.CREATE,
        Verdict.REFUSED,
        None,
        "Role Name is required",
    ),
    ("15.55.1", "POST", "/api/resource/User", "create, unique field clash"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "dup1@example.com",
        "",
    ),
    ("15.55.1", "POST", "/api/resource/User", "create, unique field clash (second)"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "dup2@example.com",
        "",
    ),
    ("15.55.1", "POST", "/api/resource/ToDo", "create, link target missing"): (
        Operation.CREATE,
        Verdict.LINK_MISSING,
        None,
        "Could not find Role: No Such Role",
    ),
    ("15.55.1", "POST", "/api/resource/ToDo", "create, name sent, autoname hash"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "81l5fv0fco",
        "",
    ),
    ("15.55.1", "PUT", "/api/resource/ToDo/nope", "update, document missing"): (
        Operation.UPDATE,
        Verdict.MISSING,
        None,
        "ToDo nope not found",
    ),
    ("15.55.1", "GET", "/api/resource/ToDo/nope", "get, document missing"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "ToDo nope not found",
    ),
    ("15.55.1", "DELETE", "/api/resource/ToDo/nope", "delete, document missing"): (
        Operation.DELETE,
        Verdict.MISSING,
        None,
        "HTTP 404: DoesNotExistError",
    ),
    ("15.55.1", "POST", "/api/resource/NoSuchDocType", "unknown doctype"): (
        Operation.CREATE,
        Verdict.REFUSED_AT_ONCE,
        None,
        "No module named 'frappe.core.doctype.nosuchdoctype'",
    ),
    ("15.55.1", "DELETE", "/api/resource/ToDo/lcd51en9uu", "delete"): (
        Operation.DELETE,
        Verdict.APPLIED,
        None,
        "",
    ),
    ("15.55.1", "DELETE", "/api/resource/Role/Guest", "delete while linked"): (
        Operation.DELETE,
        Verdict.WRONG_STATE,
        None,
        "Cannot delete or cancel because Role Guest is linked with Us",
    ),
    ("15.55.1", "POST", "/api/method/no_such_app.api.call", "unknown method"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "App no_such_app is not installed",
    ),
    ("15.55.1", "POST", "/api/method/frappe.client.no_such_call", "known app, unknown method"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "Failed to get method for command frappe.client.no_such_call ",
    ),
    ("15.55.1", "GET", "/api/resource/ToDo", "bad token"): (
        Operation.CALL,
        Verdict.CREDENTIALS,
        None,
        "HTTP 401: AuthenticationError",
    ),
    ("15.55.1", "GET", "/api/resource/ToDo", "malformed token"): (
        Operation.CALL,
        Verdict.CREDENTIALS,
        None,
        "HTTP 401: AuthenticationError",
    ),
    ("15.55.1", "POST", "/api/resource/ToDo", "guest write"): (
        Operation.CREATE,
        Verdict.REFUSED_AT_ONCE,
        None,
        "You need the 'create' permission on ToDo to perform this act",
    ),
    ("15.55.1", "POST", "/api/resource/ToDo", "bad json"): (
        Operation.CREATE,
        Verdict.REFUSED_AT_ONCE,
        None,
        "Expecting property name enclosed in double quotes: line 1 co",
    ),
    ("15.55.1", "PATCH", "/api/resource/ToDo", "wrong http verb"): (
        Operation.CALL,
        Verdict.CONFIGURATION,
        None,
        "HTTP 405: text/html",
    ),
    ("15.55.1", "GET", "/api/nope", "unknown route"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "HTTP 404: DoesNotExistError",
    ),
    ("15.55.1", "GET", "/api/resource/ToDo", "unknown site"): (
        Operation.CALL,
        Verdict.CONFIGURATION,
        None,
        "HTTP 404: text/html",
    ),
    ("15.55.1", "GET", "/api/method/ping", "ping"): (Operation.CALL, Verdict.APPLIED, None, ""),
    ("15.55.1", "GET", "/api/method/frappe.client.get_time_zone", "time zone"): (
        Operation.CALL,
        Verdict.APPLIED,
        None,
        "",
    ),
    ("15.55.1", "POST", "/api/v2/document/ToDo", "v2 create"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "qlh756cst0",
        "",
    ),
    ("15.55.1", "POST", "/api/v2/document/ToDo", "v2 create, name sent"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "1kf7hsg5t6",
        "",
    ),
    ("15.55.1", "PUT", "/api/v2/document/ToDo/nope", "v2 document missing"): (
        Operation.UPDATE,
        Verdict.MISSING,
        None,
        "ToDo nope not found",
    ),
    ("15.55.1", "POST", "/api/method/frappe.client.insert_many", "bulk insert"): (
        Operation.CALL,
        Verdict.APPLIED,
        None,
        "",
    ),
    ("15.55.1", "POST", "/api/method/frappe.client.insert_many", "bulk insert, one bad"): (
        Operation.CALL,
        Verdict.LINK_MISSING,
        None,
        "Could not find Role: No Such",
    ),
    (
        "15.55.1",
        "GET",
        '/api/resource/ToDo?filters=[["description","=","good-one"]]',
        "after a bad bulk insert, the good one is",
    ): (Operation.CALL, Verdict.APPLIED, None, ""),
    ("15.55.1", "POST", "/api/resource/Item", "ERPNext: create Item"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "ITEM-REC-1795378346",
        "",
    ),
    ("15.55.1", "POST", "/api/resource/Item", "ERPNext: create the same Item again"): (
        Operation.CREATE,
        Verdict.TAKEN,
        None,
        "Item ITEM-REC-1795378346 already exists",
    ),
    ("15.55.1", "POST", "/api/resource/Customer", "ERPNext: create Customer"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "Rec Cust",
        "",
    ),
    (
        "15.55.1",
        "POST",
        "/api/resource/Customer",
        "ERPNext: create the same Customer again (a second one appears)",
    ): (Operation.CREATE, Verdict.APPLIED, "Rec Cust - 1", ""),
    ("15.55.1", "POST", "/api/resource/Sales Invoice", "ERPNext: invoice for a missing customer"): (
        Operation.CREATE,
        Verdict.SERVER_ERROR,
        None,
        "'NoneType' object has no attribute 'payment_terms'",
    ),
    (
        "15.55.1",
        "POST",
        "/api/resource/Sales Invoice",
        "ERPNext: invoice with a missing item (404 on a create)",
    ): (Operation.CREATE, Verdict.REFUSED, None, "Item NO-SUCH not found"),
    ("15.55.1", "POST", "/api/resource/Sales Invoice", "ERPNext: invoice, mandatory field missing"): (
        Operation.CREATE,
        Verdict.REFUSED_AT_ONCE,
        None,
        "Error: Value missing for Sales Invoice: Payment Method",
    ),
    ("15.55.1", "POST", "/api/resource/Sales Invoice", "ERPNext: create invoice"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "ACC-SINV-2026-00003",
        "",
    ),
    (
        "15.55.1",
        "PUT",
        "/api/resource/Sales Invoice/ACC-SINV-2026-00003",
        "ERPNext: submit with the current version",
    ): (Operation.SUBMIT, Verdict.APPLIED, "ACC-SINV-2026-00003", ""),
    (
        "15.55.1",
        "PUT",
        "/api/resource/Sales Invoice/ACC-SINV-2026-00003",
        "ERPNext: submit again with the stale version",
    ): (
        Operation.SUBMIT,
        Verdict.STALE,
        None,
        "Error: Document has been modified after you have opened it (",
    ),
    (
        "15.55.1",
        "PUT",
        "/api/resource/Sales Invoice/ACC-SINV-2026-00003",
        "ERPNext: submit again without a version (accepted, saved anew)",
    ): (Operation.SUBMIT, Verdict.APPLIED, "ACC-SINV-2026-00003", ""),
    ("15.55.1", "PUT", "/api/resource/Sales Invoice/ACC-SINV-2026-00003", "ERPNext: edit after submit"): (
        Operation.UPDATE,
        Verdict.WRONG_STATE,
        None,
        "Not allowed to change Payment Due Date after submission from",
    ),
    ("15.55.1", "PUT", "/api/resource/Sales Invoice/ACC-SINV-2026-00003", "ERPNext: back to draft"): (
        Operation.UPDATE,
        Verdict.WRONG_STATE,
        None,
        "Cannot change docstatus from 1 (Submitted) to 0 (Draft)",
    ),
    (
        "15.55.1",
        "DELETE",
        "/api/resource/Sales Invoice/ACC-SINV-2026-00003",
        "ERPNext: delete a submitted invoice",
    ): (
        Operation.DELETE,
        Verdict.REFUSED,
        None,
        "Sales Invoice ACC-SINV-2026-00003: Submitted Record cannot b",
    ),
    ("15.55.1", "DELETE", "/api/resource/Item/ITEM-REC-1795378346", "ERPNext: delete an Item in use"): (
        Operation.DELETE,
        Verdict.WRONG_STATE,
        None,
        "You can disable this Item instead of deleting it.",
    ),
    ("15.55.1", "PUT", "/api/resource/Sales Invoice/ACC-SINV-2026-00003", "ERPNext: cancel"): (
        Operation.CANCEL,
        Verdict.APPLIED,
        "ACC-SINV-2026-00003",
        "",
    ),
    ("15.55.1", "PUT", "/api/resource/Sales Invoice/ACC-SINV-2026-00003", "ERPNext: cancel again"): (
        Operation.CANCEL,
        Verdict.REFUSED,
        None,
        "Cannot edit cancelled document",
    ),
    ("15.55.1", "POST", "/api/resource/Sales Invoice", "ERPNext: create already submitted"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "ACC-SINV-2026-00004",
        "",
    ),
    ("15.55.1", "PUT", "/api/resource/Sales Invoice/ACC-SINV-2026-00005", "ERPNext: draft to cancelled"): (
        Operation.CANCEL,
        Verdict.WRONG_STATE,
        None,
        "Cannot change docstatus from 0 (Draft) to 2 (Cancelled)",
    ),
    ("16.0.0-dev", "POST", "/api/resource/ToDo", "create"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "vmv0e3th56",
        "",
    ),
    ("16.0.0-dev", "PUT", "/api/resource/ToDo/vmv0e3th56", "update with the current version"): (
        Operation.UPDATE,
        Verdict.APPLIED,
        "vmv0e3th56",
        "",
    ),
    ("16.0.0-dev", "PUT", "/api/resource/ToDo/vmv0e3th56", "update with a stale version"): (
        Operation.UPDATE,
        Verdict.STALE,
        None,
        "Error: vmv0e3th56 (ToDo) has been modified after you have op",
    ),
    ("16.0.0-dev", "PUT", "/api/resource/ToDo/vmv0e3th56", "update without a version"): (
        Operation.UPDATE,
        Verdict.APPLIED,
        "vmv0e3th56",
        "",
    ),
    ("16.0.0-dev", "POST", "/api/resource/Role", "create, duplicate primary key"): (
        Operation.CREATE,
        Verdict.TAKEN,
        None,
        "('Role', 'Guest', IntegrityError('UNIQUE constraint failed: ",
    ),
    ("16.0.0-dev", "POST", "/api/resource/Role", "create, mandatory field missing"): (
        Operation.CREATE,
        Verdict.REFUSED,
        None,
        "Role Name is required",
    ),
    ("16.0.0-dev", "POST", "/api/resource/User", "create, unique field clash"): (
        Operation.CREATE,
        Verdict.TAKEN,
        None,
        "('User', 'dup1@example.com', IntegrityError('UNIQUE constrai",
    ),
    ("16.0.0-dev", "POST", "/api/resource/User", "create, unique field clash (second)"): (
        Operation.CREATE,
        Verdict.TAKEN,
        None,
        "User dup2@example.com already exists",
    ),
    ("16.0.0-dev", "POST", "/api/resource/ToDo", "create, link target missing"): (
        Operation.CREATE,
        Verdict.LINK_MISSING,
        None,
        "Could not find Role: No Such Role",
    ),
    ("16.0.0-dev", "POST", "/api/resource/ToDo", "create, name sent, autoname hash"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "vn4khpj3qt",
        "",
    ),
    ("16.0.0-dev", "PUT", "/api/resource/ToDo/nope", "update, document missing"): (
        Operation.UPDATE,
        Verdict.MISSING,
        None,
        "ToDo nope not found",
    ),
    ("16.0.0-dev", "GET", "/api/resource/ToDo/nope", "get, document missing"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "ToDo nope not found",
    ),
    ("16.0.0-dev", "DELETE", "/api/resource/ToDo/nope", "delete, document missing"): (
        Operation.DELETE,
        Verdict.MISSING,
        None,
        "HTTP 404: DoesNotExistError",
    ),
    ("16.0.0-dev", "POST", "/api/resource/NoSuchDocType", "unknown doctype"): (
        Operation.CREATE,
        Verdict.REFUSED_AT_ONCE,
        None,
        "No module named 'frappe.core.doctype.nosuchdoctype'",
    ),
    ("16.0.0-dev", "DELETE", "/api/resource/ToDo/vmv0e3th56", "delete"): (
        Operation.DELETE,
        Verdict.APPLIED,
        None,
        "",
    ),
    ("16.0.0-dev", "DELETE", "/api/resource/Role/Guest", "delete while linked"): (
        Operation.DELETE,
        Verdict.WRONG_STATE,
        None,
        "Cannot delete or cancel because Role Guest is linked with Us",
    ),
    ("16.0.0-dev", "POST", "/api/method/no_such_app.api.call", "unknown method"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "App no_such_app is not installed",
    ),
    ("16.0.0-dev", "POST", "/api/method/frappe.client.no_such_call", "known app, unknown method"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "Failed to get method for command frappe.client.no_such_call ",
    ),
    ("16.0.0-dev", "GET", "/api/resource/ToDo", "bad token"): (
        Operation.CALL,
        Verdict.CREDENTIALS,
        None,
        "HTTP 401: AuthenticationError",
    ),
    ("16.0.0-dev", "GET", "/api/resource/ToDo", "malformed token"): (
        Operation.CALL,
        Verdict.CREDENTIALS,
        None,
        "HTTP 401: AuthenticationError",
    ),
    ("16.0.0-dev", "POST", "/api/resource/ToDo", "guest write"): (
        Operation.CREATE,
        Verdict.REFUSED_AT_ONCE,
        None,
        "No permission for ToDo",
    ),
    ("16.0.0-dev", "POST", "/api/resource/ToDo", "bad json"): (
        Operation.CREATE,
        Verdict.REFUSED_AT_ONCE,
        None,
        "HTTP 500: JSONDecodeError",
    ),
    ("16.0.0-dev", "PATCH", "/api/resource/ToDo", "wrong http verb"): (
        Operation.CALL,
        Verdict.CONFIGURATION,
        None,
        "HTTP 405: text/html",
    ),
    ("16.0.0-dev", "GET", "/api/nope", "unknown route"): (
        Operation.CALL,
        Verdict.REFUSED,
        None,
        "HTTP 404: DoesNotExistError",
    ),
    ("16.0.0-dev", "GET", "/api/resource/ToDo", "unknown site"): (
        Operation.CALL,
        Verdict.CONFIGURATION,
        None,
        "HTTP 404: text/html",
    ),
    ("16.0.0-dev", "GET", "/api/method/ping", "ping"): (Operation.CALL, Verdict.APPLIED, None, ""),
    ("16.0.0-dev", "GET", "/api/method/frappe.client.get_time_zone", "time zone"): (
        Operation.CALL,
        Verdict.APPLIED,
        None,
        "",
    ),
    ("16.0.0-dev", "POST", "/api/v2/document/ToDo", "v2 create"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "vn9r8c65l3",
        "",
    ),
    ("16.0.0-dev", "POST", "/api/v2/document/ToDo", "v2 create, name sent"): (
        Operation.CREATE,
        Verdict.APPLIED,
        "v2-own-name-1795378352",
        "",
    ),
    ("16.0.0-dev", "PUT", "/api/v2/document/ToDo/nope", "v2 document missing"): (
        Operation.UPDATE,
        Verdict.MISSING,
        None,
        "ToDo nope not found",
    ),
    ("16.0.0-dev", "POST", "/api/method/frappe.client.insert_many", "bulk insert"): (
        Operation.CALL,
        Verdict.APPLIED,
        None,
        "",
    ),
    ("16.0.0-dev", "POST", "/api/method/frappe.client.insert_many", "bulk insert, one bad"): (
        Operation.CALL,
        Verdict.LINK_MISSING,
        None,
        "Could not find Role: No Such",
    ),
    (
        "16.0.0-dev",
        "GET",
        '/api/resource/ToDo?filters=[["description","=","good-one"]]',
        "after a bad bulk insert, the good one is",
    ): (Operation.CALL, Verdict.APPLIED, None, ""),
}


def key_of(record: dict[str, Any]) -> tuple[str, str, str, str]:
    return record["frappe"], record["method"], record["path"], record["case"]


def test_every_recorded_answer_has_its_expectation() -> None:
    assert {key_of(record) for record in GOLDEN} == set(EXPECTED)
    assert len(GOLDEN) == len(EXPECTED)


@pytest.mark.parametrize("record", GOLDEN, ids=lambda record: f"{record['frappe']} {record['case']}")
def test_a_recorded_answer_means_what_was_written_down(record: dict[str, Any]) -> None:
    operation, verdict, name, message = EXPECTED[key_of(record)]
    outcome = classify(reply_of(record), operation)
    assert (outcome.verdict, outcome.name) == (verdict, name)
    assert outcome.message.startswith(message)
    assert bool(outcome.message) == (verdict is not Verdict.APPLIED)
    assert outcome.effect_unknown is False
    assert outcome.status == record["status"]
    assert outcome.document == (record["body"]["data"] if name else None)


def test_of_the_recorded_reads_only_whole_answers_count() -> None:
    """A document, a list or a user that is not in the answer is never made up."""
    documents = {key_of(r): read_document(reply_of(r))[0] for r in GOLDEN if r["method"] == "GET"}
    missing = [key[3] for key, state in documents.items() if state == "missing"]
    assert sorted(missing) == ["get, document missing"] * 2 + ["unknown route"] * 2
    assert "found" not in documents.values()
    names = {key_of(r): read_names(reply_of(r)) for r in GOLDEN if r["method"] == "GET"}
    read = {key[0]: value for key, value in names.items() if value is not None}
    assert len(read) == 2
    assert read["16.0.0-dev"] == ["lr7dgr2hgr", "vnaptsst0n"]
    probes = {read_probe(reply_of(r)).verdict for r in GOLDEN if r["case"] in ("bad token", "time zone")}
    assert probes == {Verdict.CREDENTIALS, Verdict.NOT_NOW}


# By type


@pytest.mark.parametrize("body", [lambda t: {"exc_type": t}, lambda t: {"errors": [{"type": t}]}])
@pytest.mark.parametrize(
    ("status", "exc_type", "verdict"),
    [
        (417, "CancelledLinkError", Verdict.WRONG_STATE),
        (500, "QueryDeadlockError", Verdict.CONTENTION),
        (500, "QueryTimeoutError", Verdict.CONTENTION),
        (417, "DocumentLockedError", Verdict.CONTENTION),
        (429, "TooManyRequestsError", Verdict.NOT_NOW),
        (429, "RateLimitExceededError", Verdict.NOT_NOW),
        (503, "SessionStopped", Verdict.NOT_NOW),
        (503, "InReadOnlyMode", Verdict.NOT_NOW),
        (500, "QueueOverloaded", Verdict.NOT_NOW),
        (401, "SessionExpired", Verdict.CREDENTIALS),
        (400, "InvalidAuthorizationToken", Verdict.CREDENTIALS),
        (400, "InvalidAuthorizationHeader", Verdict.CREDENTIALS),
        (400, "InvalidAuthorizationPrefix", Verdict.CREDENTIALS),
        (404, "PageDoesNotExistError", Verdict.CONFIGURATION),
        (500, "ModuleNotFoundError", Verdict.REFUSED_AT_ONCE),
        (417, "InvalidQtyError", Verdict.REFUSED),
        (500, "OperationalError", Verdict.SERVER_ERROR),
    ],
)
def test_the_type_decides_in_both_versions_of_the_api(body, status, exc_type, verdict) -> None:
    outcome = classify(answered(status, body(exc_type)), Operation.UPDATE)
    assert (outcome.verdict, outcome.exc_type, outcome.effect_unknown) == (verdict, exc_type, False)


def test_a_type_that_python_has_too_is_told_apart_by_the_status() -> None:
    """The framework's PermissionError is 403, Python's own about a file is 500."""
    assert classify(error(403, "PermissionError"), Operation.CREATE).verdict is Verdict.REFUSED_AT_ONCE
    assert classify(error(500, "PermissionError"), Operation.CREATE).verdict is Verdict.SERVER_ERROR
    assert classify(error(409, "NameError"), Operation.CREATE).verdict is Verdict.CONFLICT
    assert classify(error(500, "NameError"), Operation.CREATE).verdict is Verdict.SERVER_ERROR


@pytest.mark.parametrize(
    ("exc_type", "status", "operation", "verdict"),
    [
        ("DoesNotExistError", 404, Operation.CREATE, Verdict.REFUSED),
        ("DoesNotExistError", 404, Operation.DELETE, Verdict.MISSING),
        ("DoesNotExistError", 404, Operation.RENAME, Verdict.MISSING),
        ("DoesNotExistError", 404, Operation.CALL, Verdict.REFUSED),
        ("TimestampMismatchError", 417, Operation.CREATE, Verdict.CONTENTION),
        ("TimestampMismatchError", 417, Operation.CANCEL, Verdict.STALE),
        ("TimestampMismatchError", 417, Operation.CALL, Verdict.CONFLICT),
        ("DuplicateEntryError", 409, Operation.CALL, Verdict.CONFLICT),
        ("DuplicateEntryError", 409, Operation.UPDATE, Verdict.TAKEN),
        ("UpdateAfterSubmitError", 417, Operation.CALL, Verdict.CONFLICT),
    ],
)
def test_what_a_type_means_depends_on_the_operation(exc_type, status, operation, verdict) -> None:
    assert classify(error(status, exc_type), operation).verdict is verdict


# By status


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize(
    ("status", "verdict", "unknown"),
    [
        (200, Verdict.NOT_NOW, True),
        (204, Verdict.NOT_NOW, True),
        (301, Verdict.CONFIGURATION, False),
        (302, Verdict.CONFIGURATION, False),
        (400, Verdict.NOT_NOW, False),
        (401, Verdict.CREDENTIALS, False),
        (403, Verdict.NOT_NOW, False),
        (404, Verdict.CONFIGURATION, False),
        (405, Verdict.CONFIGURATION, False),
        (407, Verdict.CONFIGURATION, False),
        (408, Verdict.NOT_NOW, False),
        (409, Verdict.NOT_NOW, False),
        (413, Verdict.REFUSED_AT_ONCE, False),
        (414, Verdict.REFUSED_AT_ONCE, False),
        (418, Verdict.NOT_NOW, False),
        (425, Verdict.NOT_NOW, False),
        (429, Verdict.NOT_NOW, False),
        (500, Verdict.NOT_NOW, True),
        (502, Verdict.NOT_NOW, True),
        (503, Verdict.NOT_NOW, True),
        (504, Verdict.NOT_NOW, True),
        (520, Verdict.NOT_NOW, True),
    ],
)
def test_a_page_is_never_success_and_never_the_requests_fault(operation, status, verdict, unknown) -> None:
    """Captive portals and proxies answer for the line; only what is too large is too large for good."""
    outcome = classify(page(status), operation)
    assert (outcome.verdict, outcome.effect_unknown) == (verdict, unknown)
    assert outcome.message == f"HTTP {status}: text/html"


@pytest.mark.parametrize(
    ("status", "verdict", "unknown"),
    [
        (400, Verdict.REFUSED_AT_ONCE, False),
        (403, Verdict.REFUSED_AT_ONCE, False),
        (404, Verdict.REFUSED, False),
        (409, Verdict.CONFLICT, False),
        (412, Verdict.CONFLICT, False),
        (413, Verdict.REFUSED_AT_ONCE, False),
        (417, Verdict.REFUSED, False),
        (422, Verdict.REFUSED_AT_ONCE, False),
        (429, Verdict.NOT_NOW, False),
        (500, Verdict.SERVER_ERROR, True),
        (501, Verdict.SERVER_ERROR, True),
        (503, Verdict.NOT_NOW, True),
    ],
)
def test_a_call_may_answer_an_error_without_a_type(status, verdict, unknown) -> None:
    outcome = classify(answered(status, {"message": "no"}), Operation.CALL)
    assert (outcome.verdict, outcome.effect_unknown, outcome.message) == (verdict, unknown, "no")


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, Verdict.NOT_NOW),
        (403, Verdict.NOT_NOW),
        (404, Verdict.CONFIGURATION),
        (413, Verdict.REFUSED_AT_ONCE),
        (500, Verdict.SERVER_ERROR),
        (502, Verdict.NOT_NOW),
    ],
)
def test_a_gateway_that_speaks_json_does_not_refuse_documents(status, verdict) -> None:
    """The framework names a type in every error about a document; what names none comes from between."""
    assert classify(answered(status, {"message": "no"}), Operation.UPDATE).verdict is verdict


@pytest.mark.parametrize("status", [400, 417])
def test_the_word_modified_counts_only_where_no_type_is_named(status: int) -> None:
    untyped = answered(status, {"message": "Document has been Modified by another user"})
    assert classify(untyped, Operation.UPDATE).verdict is Verdict.CONFLICT
    typed = answered(417, {"exc_type": "ValidationError", "_error_message": "modified"})
    assert classify(typed, Operation.UPDATE).verdict is Verdict.REFUSED
    failed = answered(500, {"message": "modified"})
    assert classify(failed, Operation.UPDATE).verdict is Verdict.SERVER_ERROR


@pytest.mark.parametrize("operation", list(Operation))
def test_409_and_412_without_a_type_are_conflicts(operation: Operation) -> None:
    assert classify(answered(409, {}), operation).verdict is Verdict.CONFLICT
    assert classify(answered(412, {}), operation).verdict is Verdict.CONFLICT


def test_an_informational_status_is_a_wrong_address() -> None:
    assert classify(page(101), Operation.UPDATE).verdict is Verdict.CONFIGURATION


@pytest.mark.parametrize("retry_after", ["120", "Sun, 22 Nov 2026 12:02:00 GMT", None, "NaN"])
def test_a_busy_central_keeps_its_retry_after(retry_after: str | None) -> None:
    for reply in (
        page(429, retry_after=retry_after),
        answered(503, {"exc_type": "SessionStopped"}, retry_after=retry_after),
    ):
        outcome = classify(reply, Operation.CREATE)
        assert (outcome.verdict, outcome.retry_after) == (Verdict.NOT_NOW, retry_after)


# No answer


@pytest.mark.parametrize(
    ("gap", "verdict", "unknown", "words"),
    [
        (Gap.NOT_SENT, Verdict.NOT_SENT, False, "Not sent"),
        (Gap.NO_ANSWER, Verdict.UNANSWERED, True, "No answer"),
        (Gap.TLS, Verdict.CONFIGURATION, False, "The connection is not trusted"),
        (None, Verdict.UNANSWERED, True, "No answer"),
    ],
)
def test_a_gap_says_whether_the_request_may_have_had_an_effect(gap, verdict, unknown, words) -> None:
    outcome = classify(Reply(gap=gap, detail="ReadTimeout"), Operation.CREATE)
    assert outcome == Outcome(verdict=verdict, effect_unknown=unknown, message=f"{words}: ReadTimeout")
    assert classify(Reply(gap=gap), Operation.CREATE).message == words


def test_a_gap_is_believed_before_a_status() -> None:
    """A body cut off in the middle: the status came, the answer did not."""
    outcome = classify(Reply(status=200, is_json=True, gap=Gap.NO_ANSWER), Operation.CALL)
    assert (outcome.verdict, outcome.effect_unknown) == (Verdict.UNANSWERED, True)


# Success needs its shape


@pytest.mark.parametrize("operation", TO_DOCUMENTS)
@pytest.mark.parametrize("key", ["data", "message"])
def test_a_document_with_a_name_is_success(operation: Operation, key: str) -> None:
    outcome = classify(answered(200, {key: DOCUMENT}), operation)
    assert (outcome.verdict, outcome.document, outcome.name) == (Verdict.APPLIED, DOCUMENT, "abc")
    assert classify(answered(200, {key: {"name": 7}}), operation).name == "7"


@pytest.mark.parametrize("operation", TO_DOCUMENTS)
@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "ok",
        {},
        {"data": None},
        {"data": []},
        {"data": {}},
        {"data": {"name": ""}},
        {"data": {"name": None}},
        {"data": {"name": True}},
        {"message": "ok"},
        {"data": DOCUMENT, "exc_type": "ValidationError"},
        {"data": DOCUMENT, "errors": [{"type": "ValidationError"}]},
    ],
)
def test_json_of_another_shape_is_no_success_but_may_have_had_an_effect(operation, body) -> None:
    outcome = classify(answered(200, body), operation)
    assert (outcome.verdict, outcome.effect_unknown) == (Verdict.NOT_NOW, True)
    assert outcome.document is None
    assert outcome.message


@pytest.mark.parametrize(
    ("status", "body"),
    [(202, {"data": "ok"}), (200, {}), (200, {"_server_messages": "[]"}), (200, {"message": None})],
)
def test_a_delete_is_answered_by_ok_or_by_nothing(status: int, body: Any) -> None:
    assert classify(answered(status, body), Operation.DELETE).verdict is Verdict.APPLIED


@pytest.mark.parametrize("body", [{"data": DOCUMENT}, {"logged_in": False}, {"message": "no"}, []])
def test_a_delete_answered_otherwise_is_in_doubt(body: Any) -> None:
    outcome = classify(answered(200, body), Operation.DELETE)
    assert (outcome.verdict, outcome.effect_unknown) == (Verdict.NOT_NOW, True)


def test_a_rename_answers_the_new_name() -> None:
    outcome = classify(answered(200, {"message": "New Name"}), Operation.RENAME)
    assert (outcome.verdict, outcome.name, outcome.document) == (Verdict.APPLIED, "New Name", None)
    for body in ({"message": " "}, {"message": None}, {}, {"data": DOCUMENT}):
        assert classify(answered(200, body), Operation.RENAME).verdict is Verdict.NOT_NOW


def test_a_call_succeeds_with_any_object() -> None:
    for body in ({}, {"message": [1]}, {"data": {}}):
        assert classify(answered(200, body), Operation.CALL).verdict is Verdict.APPLIED
    assert classify(answered(200, [1]), Operation.CALL).verdict is Verdict.NOT_NOW


# Messages


def shown(*messages: Any) -> str:
    return json.dumps([json.dumps(message) for message in messages])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {
                "_server_messages": shown(
                    {"message": "Price added", "alert": 1}, {"message": "why", "raise_exception": 1}
                ),
                "_error_message": "other",
            },
            "why",
        ),
        ({"_server_messages": shown({"message": "hint"}), "_error_message": "why"}, "why"),
        ({"_server_messages": shown({"message": "first"}, {"message": "why", "indicator": "red"})}, "why"),
        (
            {"_server_messages": shown({"message": "hint", "indicator": "orange"}), "exception": "a.B: why"},
            "why",
        ),
        ({"_server_messages": shown({"message": "only", "alert": 1})}, "only"),
        ({"_server_messages": json.dumps(["plain text"])}, "plain text"),
        ({"_server_messages": [{"message": "not even text"}]}, "not even text"),
        ({"_server_messages": '["cut off'}, "HTTP 417: ValidationError"),
        ({"_server_messages": "[" * 100_000}, "HTTP 417: ValidationError"),
        ({"_server_messages": json.dumps([json.dumps({"message": 7})])}, "HTTP 417: ValidationError"),
        ({"exception": "frappe.exceptions.ValidationError: why: because"}, "why: because"),
        ({"exception": "frappe.exceptions.ValidationError"}, "HTTP 417: ValidationError"),
        ({"exception": "something happened: here"}, "something happened: here"),
        ({"message": "why"}, "why"),
        (
            {"_error_message": "You need <strong>the&nbsp;key</strong><br>now &amp; here"},
            "You need the key now & here",
        ),
        ({"_error_message": "<ul><li>one</li><li>two</li></ul>"}, "one two"),
        ({"_error_message": "1 < 2 and 3 > 2"}, "1 < 2 and 3 > 2"),
        ({"_error_message": "a\r\nb\x00c\u202ed\ud800e"}, "a b c d e"),
        ({"_error_message": "<br><p></p>"}, "HTTP 417: ValidationError"),
        ({"_error_message": "x" * 501}, "x" * 499 + "…"),
    ],
)
def test_the_message_tells_the_reason_as_plain_text(body: dict[str, Any], message: str) -> None:
    assert (
        classify(answered(417, {"exc_type": "ValidationError", **body}), Operation.UPDATE).message == message
    )


def test_the_message_of_version_2_is_that_of_its_first_error() -> None:
    body = {
        "errors": [{"type": "LinkValidationError", "message": "Could not find <b>Role</b>"}, {"type": "X"}]
    }
    outcome = classify(answered(417, body), Operation.CREATE)
    assert (outcome.verdict, outcome.message) == (Verdict.LINK_MISSING, "Could not find Role")


@pytest.mark.parametrize("errors", [[], ["x"], "x", None, {"type": "ImportError"}])
def test_errors_of_another_shape_name_no_type(errors: Any) -> None:
    assert classify(answered(500, {"errors": errors}), Operation.CREATE).exc_type is None


@pytest.mark.parametrize(("named", "known"), [(5, None), (["X"], None), ("", None), ("X" * 200, "X" * 140)])
def test_a_type_is_a_text_and_no_longer_than_a_column(named: Any, known: str | None) -> None:
    assert classify(answered(417, {"exc_type": named}), Operation.CREATE).exc_type == known


def test_a_success_ends_with_the_last_of_its_statuses() -> None:
    last, next_one = (
        classify(answered(status, {"data": DOCUMENT}), Operation.UPDATE) for status in (299, 300)
    )
    assert (last.verdict, next_one.verdict) == (Verdict.APPLIED, Verdict.CONFIGURATION)
    odd, page_of_choices = (classify(answered(status, {}), Operation.UPDATE) for status in (299, 300))
    assert (odd.effect_unknown, page_of_choices.effect_unknown) == (True, False)


def test_a_success_that_names_an_error_is_not_refused_and_may_have_had_its_effect() -> None:
    outcome = classify(error(200, "MandatoryError"), Operation.CREATE)
    assert (outcome.verdict, outcome.effect_unknown) == (Verdict.NOT_NOW, True)


def test_json_without_anything_to_say_says_so() -> None:
    assert classify(answered(500, {}), Operation.CREATE).message == "HTTP 500: JSON without a message"
    assert classify(Reply(status=500), Operation.CREATE).message == "HTTP 500: no JSON"


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "message", "name", "exc_type", "errors", "type", "_server_messages", "exception"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.integers(100, 599), st.booleans(), TREES, st.sampled_from(list(Operation)))
def test_no_answer_makes_the_classifier_fail(status, is_json, body, operation) -> None:
    """Any JSON with any status gets a verdict and a short message, and only 2xx can be success."""
    reply = Reply(status=status, is_json=is_json, body=body)
    outcome = classify(reply, operation)
    assert len(outcome.message) <= MESSAGE_LIMIT
    assert "\n" not in outcome.message
    if outcome.verdict is Verdict.APPLIED:
        assert is_json
        assert 200 <= status <= 299
    read_document(reply)
    read_names(reply)
    assert read_probe(reply).effect_unknown is False


# Reads


def test_a_look_up_finds_misses_or_does_not_know() -> None:
    assert read_document(answered(200, {"data": DOCUMENT})) == ("found", DOCUMENT)
    assert read_document(error(404, "DoesNotExistError")) == ("missing", None)
    assert read_document(answered(404, {"errors": [{"type": "DoesNotExistError"}]})) == ("missing", None)


@pytest.mark.parametrize(
    "reply",
    [
        page(404),
        page(200),
        answered(404, {"message": "no route"}),
        answered(200, {"data": {}}),
        answered(200, {"message": DOCUMENT}),
        answered(200, None),
        error(403, "PermissionError"),
        error(500, "DoesNotExistError"),
        Reply(gap=Gap.NO_ANSWER),
        Reply(gap=Gap.NO_ANSWER, status=404, is_json=True, body={"exc_type": "DoesNotExistError"}),
    ],
)
def test_a_look_up_without_a_proper_answer_does_not_say_missing(reply: Reply) -> None:
    """ "Missing" lets a create be sent again: it must be the central's own word."""
    assert read_document(reply) == ("unknown", None)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (error(403, "PermissionError"), Verdict.REFUSED_AT_ONCE),
        (error(500, "ImportError"), Verdict.REFUSED_AT_ONCE),
        (error(404, "DoesNotExistError"), Verdict.REFUSED_AT_ONCE),
        (error(417, "DataError"), Verdict.REFUSED_AT_ONCE),
        (error(417, "LinkValidationError"), Verdict.REFUSED_AT_ONCE),
        (error(409, "DuplicateEntryError"), Verdict.REFUSED_AT_ONCE),
        (error(500, "AttributeError"), Verdict.SERVER_ERROR),
        (error(401, "AuthenticationError"), Verdict.CREDENTIALS),
        (error(500, "QueryDeadlockError"), Verdict.CONTENTION),
        (answered(200, {"data": {}}), Verdict.NOT_NOW),
        (page(200), Verdict.NOT_NOW),
        (page(502), Verdict.NOT_NOW),
        (page(404), Verdict.CONFIGURATION),
        (Reply(gap=Gap.NO_ANSWER), Verdict.UNANSWERED),
    ],
)
def test_a_refused_look_up_is_told_apart_from_a_destination_that_is_away(
    reply: Reply, verdict: Verdict
) -> None:
    """One doctype that may not be read must not hold up the others."""
    outcome = read_failure(reply)
    assert (outcome.verdict, outcome.effect_unknown) == (verdict, False)
    assert outcome.message


def test_names_are_read_only_where_every_row_has_one() -> None:
    assert read_names(answered(200, {"data": []})) == []
    assert read_names(answered(200, {"data": [{"name": "a"}, {"name": 2}]})) == ["a", "2"]
    for reply in (
        answered(200, {"data": [{"name": "a"}, {}]}),
        answered(200, {"data": ["a"]}),
        answered(200, {"data": {"name": "a"}}),
        answered(200, {}),
        answered(403, {"data": []}),
        page(200),
        Reply(gap=Gap.NO_ANSWER),
    ):
        assert read_names(reply) is None


def test_a_probe_is_good_only_with_a_users_name() -> None:
    outcome = read_probe(answered(200, {"message": "sync@branch.example"}))
    assert (outcome.verdict, outcome.name) == (Verdict.APPLIED, "sync@branch.example")


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (answered(200, {"message": "Guest"}), Verdict.CREDENTIALS),
        (error(401, "AuthenticationError"), Verdict.CREDENTIALS),
        (error(403, "PermissionError"), Verdict.CREDENTIALS),
        (answered(200, {}), Verdict.NOT_NOW),
        (answered(200, {"message": {"user": "x"}}), Verdict.NOT_NOW),
        (answered(200, {"message": " "}), Verdict.NOT_NOW),
        (answered(201, {"message": "x"}), Verdict.NOT_NOW),
        (answered(200, []), Verdict.NOT_NOW),
        (page(200), Verdict.NOT_NOW),
        (page(502), Verdict.NOT_NOW),
        (page(403), Verdict.NOT_NOW),
        (page(302), Verdict.CONFIGURATION),
        (page(404), Verdict.CONFIGURATION),
        (error(417, "ValidationError"), Verdict.CONFIGURATION),
        (error(404, "DoesNotExistError"), Verdict.CONFIGURATION),
        (error(409, "DuplicateEntryError"), Verdict.CONFIGURATION),
        (error(417, "LinkValidationError"), Verdict.CONFIGURATION),
        (error(500, "QueryDeadlockError"), Verdict.NOT_NOW),
        (error(500, "KeyError"), Verdict.SERVER_ERROR),
        (Reply(gap=Gap.NOT_SENT), Verdict.NOT_SENT),
        (Reply(gap=Gap.NO_ANSWER), Verdict.UNANSWERED),
        (Reply(gap=Gap.TLS), Verdict.CONFIGURATION),
    ],
)
def test_any_other_probe_says_what_is_wrong_with_the_destination(reply: Reply, verdict: Verdict) -> None:
    outcome = read_probe(reply)
    assert (outcome.verdict, outcome.effect_unknown) == (verdict, False)
    assert outcome.name is None
    assert outcome.message


# Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("0", 1.0),
        ("315360000", 21600.0),
        ("9" * 20, 21600.0),
        ("Sun, 22 Nov 2026 12:02:00 GMT", 120.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 1.0),
        ("Wed, 20 Nov 2036 12:00:00 GMT", 21600.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("NaN", None),
        ("inf", None),
        ("1e9", None),
        ("9" * 21, None),
        ("٥", None),
        ("soon", None),
        ("Sun, 32 Nov 2026 12:02:00 GMT", None),
        ("Sun, 00 Nov 2026 25:02:00 GMT", None),
        ("Sun, 22 Nov 2026 12:02:00", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text, now=NOW, low=1.0, high=21600.0) == seconds


@given(st.text(string.printable, max_size=30))
def test_garbage_never_makes_a_wait_outside_the_bounds(text: str) -> None:
    seconds = retry_after_seconds(text, now=NOW, low=1.0, high=21600.0)
    assert seconds is None or 1.0 <= seconds <= 21600.0


@given(st.integers(-(10**9), 10**9))
def test_a_date_of_http_is_read_back_as_it_was_written(offset: int) -> None:
    moment = NOW + timedelta(seconds=offset)
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    text = f"{days[moment.weekday()]}, {moment:%d} {months[moment.month - 1]} {moment:%Y %H:%M:%S} GMT"
    assert http_date(text) == moment


def test_a_leap_second_is_a_date_too() -> None:
    assert http_date("Sat, 31 Dec 2016 23:59:60 GMT") == datetime(
        2016, 12, 31, 23, 59, 59, tzinfo=timezone.utc
    )
    assert http_date(None) is None
