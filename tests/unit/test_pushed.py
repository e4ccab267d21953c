"""What each outcome of a push means, and whether rows that went as patches are there."""

from __future__ import annotations

import pytest
from support import a_request

from erp_offline_sync.engine.classify import Verdict
from erp_offline_sync.engine.model import Document, Operation, Wire
from erp_offline_sync.engine.sending.push import PushOutcome, PushRequest, PushResult, RowPatch, item_text
from erp_offline_sync.engine.sending.pushed import (
    PUSH,
    build_item,
    can_be_pushed,
    item_values,
    needs_rows,
    outcome_of,
    rows_arrived,
)

SALE = Document(id="l1", doctype="Sale", local_name="S-1", central_name="SALE-1", rows={"a": "ra", "b": "rb"})
ROWS = [{"name": "ra", "qty": 1}, {"name": "rb", "qty": 2}]


@pytest.mark.parametrize(
    ("outcome", "exc_type", "operation", "verdict"),
    [
        ("applied", None, "create", Verdict.APPLIED),
        ("duplicate", None, "update", Verdict.APPLIED),
        ("conflict", None, "update", Verdict.STALE),
        ("conflict", "TimestampMismatchError", "update", Verdict.STALE),
        ("conflict", "DoesNotExistError", "update", Verdict.MISSING),
        ("conflict", "DuplicateEntryError", "create", Verdict.TAKEN),
        ("conflict", None, "create", Verdict.TAKEN),
        ("conflict", "TimestampMismatchError", "create", Verdict.TAKEN),
        ("conflict", "UpdateAfterSubmitError", "update", Verdict.WRONG_STATE),
        ("conflict", None, "call", Verdict.CONFLICT),
        ("rejected", None, "create", Verdict.REFUSED),
        ("rejected", "ValidationError", "create", Verdict.REFUSED),
        ("rejected", "MandatoryError", "create", Verdict.REFUSED_AT_ONCE),
        ("rejected", "PermissionError", "create", Verdict.REFUSED_AT_ONCE),
        ("rejected", "LinkValidationError", "create", Verdict.LINK_MISSING),
        ("rejected", "KeyError", "create", Verdict.REFUSED),
        ("rejected", "AuthenticationError", "create", Verdict.REFUSED),
        ("deferred", None, "submit", Verdict.LATER),
        ("deferred", "QueryDeadlockError", "submit", Verdict.CONTENTION),
        ("deferred", "SessionStopped", "submit", Verdict.LATER),
        ("running", None, "create", Verdict.AT_WORK),
        ("in_doubt", "KeyError", "create", Verdict.UNCERTAIN),
        ("too_old", None, "create", Verdict.REFUSED_AT_ONCE),
        ("mismatch", None, "create", Verdict.REFUSED_AT_ONCE),
    ],
)
def test_an_outcome_means_what_the_same_answer_by_plain_rest_means(
    outcome: str, exc_type: str | None, operation: str, verdict: Verdict
) -> None:
    status = {"PermissionError": 403, "KeyError": 500, "AuthenticationError": 401}.get(exc_type or "")
    result = PushResult(id="r", outcome=PushOutcome(outcome), exc_type=exc_type, status=status)
    assert outcome_of(result, Operation(operation)).verdict is verdict


def test_a_message_is_plain_text_and_says_what_is_waited_for() -> None:
    def message(outcome: PushOutcome, **more: str) -> str:
        return outcome_of(PushResult(id="r", outcome=outcome, **more), Operation.UPDATE).message

    assert message(PushOutcome.REJECTED, exc_type="E", message="<b>Too</b> late") == "Too late"
    assert message(PushOutcome.DEFERRED, waits_for="a background job") == "It waits for a background job"
    assert "E" in message(PushOutcome.REJECTED, exc_type="E")
    assert message(PushOutcome.APPLIED, message="created") == ""
    assert "receipts" in message(PushOutcome.TOO_OLD)


def test_a_wait_is_told_in_seconds() -> None:
    result = PushResult(id="r", outcome=PushOutcome.DEFERRED, retry_after=30.4)
    assert outcome_of(result, Operation.SUBMIT).retry_after == "30"


@pytest.mark.parametrize(
    ("rows", "there"),
    [
        ([{"name": "ra", "qty": 5}, {"name": "rc", "item": "C"}], True),
        ([{"name": "ra", "qty": 5}, {"name": "rc", "item": "C"}, {"name": "rd", "item": "D"}], True),
        ([{"name": "ra", "qty": 1}, {"name": "rc", "item": "C"}], False),
        ([{"name": "ra", "qty": 5}], False),
        ([{"name": "rc", "item": "C"}], False),
        ([{"name": "ra", "qty": 5}, {"name": "rb"}, {"name": "rc", "item": "C"}], False),
    ],
)
def test_rows_are_there_where_the_patch_has_nothing_left_to_change(
    rows: list[dict[str, object]], there: bool
) -> None:
    patch = RowPatch(changed={"ra": {"qty": 5}}, added=({"item": "C"},), removed=("rb",), order=("ra", None))
    item = PushRequest(
        id="r",
        number=1,
        operation=Operation.UPDATE,
        doctype="Sale",
        name="S",
        version="v",
        rows={"items": patch},
    )
    request = a_request(wire=Wire(method="POST", path=PUSH, body=item_text(item)))
    assert rows_arrived(request, {"items": rows}) is there
    assert [row.get("name") for row in item_values(request, {"items": ROWS})["items"]] == ["ra", None]


def test_an_emptied_table_takes_its_rows_away() -> None:
    request = a_request(
        body={"items": [], "tags": []}, base={"items": [{"name": "a"}], "tags": None}, line="l1"
    )
    assert not needs_rows(request, SALE)
    wire = build_item(request, SALE, number=1, names={}, version="v")
    sent = item_values(a_request(wire=wire), {"items": ROWS})
    assert sent["tags"] == []
    assert [row["name"] for row in sent["items"]] == ["rb"]


def test_rows_have_to_be_read_where_one_of_them_is_not_known() -> None:
    changed = {"items": [{"name": "a", "qty": 2}]}
    assert needs_rows(a_request(body=changed, base={"items": [{"name": "x", "qty": 1}]}), SALE)
    assert needs_rows(a_request(body=changed, base={}), SALE)
    assert not needs_rows(a_request(body=changed, base={"items": [{"name": "a", "qty": 1}]}), SALE)
    assert not needs_rows(a_request(body=changed, operation=Operation.CREATE), SALE)


def test_an_update_without_a_version_goes_only_because_somebody_allowed_it() -> None:
    wire = build_item(a_request(overwrite=True), SALE, number=1, names={}, version="")
    assert '"overwrite":true' in str(wire.body)


def test_a_name_that_the_branch_gives_travels_apart_from_the_values() -> None:
    request = a_request(operation=Operation.CREATE, body={"name": "S-1", "docstatus": 1, "total": 3})
    wire = build_item(request, SALE, number=1, names={}, version=None)
    assert '"set_name":"S-1"' in str(wire.body)
    assert item_values(a_request(wire=wire)) == {"total": 3}


def test_only_methods_and_documents_can_be_pushed() -> None:
    assert can_be_pushed(a_request(line="l1"))
    call = {"operation": Operation.CALL, "resource_type": None}
    assert can_be_pushed(a_request(**call, path="/api/method/shop.close"))
    assert not can_be_pushed(a_request(**call, path="/api/resource/Sale/x/y"))
