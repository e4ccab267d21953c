"""What each answer of the central means for the request that it answers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import (
    CUSTOMER,
    LOST,
    NOT_SENT,
    OWN_NAMES,
    SCHEMAS,
    Branch,
    a_branch,
    body,
    drain,
    manual,
    older,
    page,
    refused,
    with_lanes,
)

from erp_offline_sync.adapters.standalone import NoDocuments
from erp_offline_sync.engine.config import HISTORY_KEPT, Config
from erp_offline_sync.engine.model import (
    Attempt,
    ConflictType,
    FieldKind,
    Operation,
    Policy,
    Reply,
    Status,
    Strategy,
)
from erp_offline_sync.engine.status import LAST_RUN

K, O = FieldKind, Operation  # noqa: E741


@pytest.fixture(params=[None, SCHEMAS], ids=["plain", "with-meta"])
def branch(request: pytest.FixtureRequest) -> Branch:
    return manual(schemas=request.param)


def first(branch: Branch, operation: Operation) -> str:
    """A request of that operation about a document that both sites have."""
    if operation is O.CREATE:
        return branch.create("Sale", "S-1", total=1)
    if operation is O.CALL:
        return branch.call()
    branch.synced("Sale", "S-1", total=1)
    if operation is O.CANCEL:
        branch.submit("Sale", "S-1")
        branch.run()
    return {
        O.UPDATE: lambda: branch.update("Sale", "S-1", total=2),
        O.SUBMIT: lambda: branch.submit("Sale", "S-1"),
        O.CANCEL: lambda: branch.cancel("Sale", "S-1"),
        O.DELETE: lambda: branch.delete("Sale", "S-1"),
        O.RENAME: lambda: branch.rename("Sale", "S-1", "S-2"),
    }[operation]()


@pytest.mark.parametrize("operation", O)
def test_an_applied_request_is_synced_and_says_when(branch: Branch, operation: Operation) -> None:
    request = first(branch, operation)
    branch.run()
    done = branch.get(request)
    assert (done.status, done.closed_at, done.retry_count) == (Status.SYNCED, branch.clock.now(), 0)
    assert done.history[-1].event == "applied"
    assert (done.error_type, done.error_message) == (None, None)


AT_ONCE = [
    refused(403, "PermissionError"),
    refused(417, "MandatoryError"),
    refused(500, "ImportError"),
    refused(500, "JSONDecodeError"),
    page(413),
    refused(417, "LinkValidationError"),
]


@pytest.mark.parametrize("operation", [O.CREATE, O.UPDATE, O.CALL])
@pytest.mark.parametrize("answer", AT_ONCE)
def test_what_waiting_will_not_help_needs_a_person_at_once(
    branch: Branch, operation: Operation, answer: Reply
) -> None:
    request = first(branch, operation)
    branch.answer(answer)
    branch.run()
    held = branch.get(request)
    assert (held.status, held.sends, held.retry_count) == (Status.NEEDS_ATTENTION, 1, 1)
    assert held.error_message


@pytest.mark.parametrize("operation", O)
def test_any_other_refusal_gets_three_retries_and_then_a_person(branch: Branch, operation: Operation) -> None:
    """Four sends: the first and three retries, each after a longer wait (G7)."""
    request = first(branch, operation)
    delivered = len(branch.central.delivered)
    waits = []
    for _ in range(3):
        branch.answer(refused(417, "ValidationError", "not on a Sunday"))
        branch.run()
        waiting = branch.get(request)
        assert waiting.status is Status.RETRY
        assert waiting.next_retry_at is not None
        wait = (waiting.next_retry_at - branch.clock.now()).total_seconds()
        waits.append(wait)
        branch.later(wait)
    assert [round(wait, 0) for wait in waits] == [1, 2, 4]
    branch.answer(refused(417, "ValidationError", "not on a Sunday"))
    branch.run()
    held = branch.get(request)
    assert (held.status, held.retry_count) == (Status.NEEDS_ATTENTION, 4)
    assert (held.error_type, held.error_message) == ("ValidationError", "not on a Sunday")
    assert len(branch.central.delivered) == delivered + 4


@pytest.mark.parametrize("retries", [0, 1])
def test_the_number_of_retries_can_be_set(retries: int) -> None:
    branch = a_branch(config=Config(max_retries=retries))
    branch.answer(*[refused(417, "ValidationError")] * 9)
    branch.create("Customer", "C-1")
    drain(branch)
    assert branch.statuses() == [Status.NEEDS_ATTENTION]
    assert len(branch.central.delivered) == retries + 1


CERTAIN = [
    refused(417, "MandatoryError"),
    refused(417, "ValidationError"),
    refused(417, "LinkValidationError"),
    refused(500, "QueryDeadlockError"),
    refused(500, "KeyError"),
    refused(409, "DuplicateEntryError"),
]


@pytest.mark.parametrize("answer", CERTAIN)
@pytest.mark.parametrize("times", [1, 4])
def test_to_save_a_refused_document_again_mends_it(branch: Branch, answer: Reply, times: int) -> None:
    """It certainly had no effect, so that the newer content goes instead, under a new key."""
    branch.answer(*[answer] * times)
    request = branch.create("Sale", "S-1", total=1)
    for _ in range(times):
        branch.run()
        branch.later(0 if times == 1 else 60)
    assert branch.get(request).refused
    branch.central.faults.clear()
    later = branch.update("Sale", "S-1", total=2)
    branch.run()
    assert (branch.status(request), branch.status(later)) == (Status.SYNCED, Status.MERGED)
    assert branch.get(request).replaces == request
    assert body(branch) == {"total": 2}


def test_what_may_have_arrived_is_not_mended(branch: Branch) -> None:
    branch.answer(LOST)
    request = branch.create("Sale", "S-1", total=1)
    branch.run()
    later = branch.update("Sale", "S-1", total=2)
    branch.run()
    assert (branch.status(request), branch.status(later)) == (Status.IN_DOUBT, Status.WAITING)
    drain(branch)
    assert (branch.status(request), branch.status(later)) == (Status.SYNCED, Status.SYNCED)


NOT_NOW = [
    page(408),
    page(425),
    refused(429, "TooManyRequestsError"),
    page(429),
    refused(503, "SessionStopped"),
    page(403),
    refused(401, "AuthenticationError"),
]


@pytest.mark.parametrize("answer", [*NOT_NOW, NOT_SENT, page(301), page(404), page(405)])
def test_what_is_the_destinations_is_no_attempt_and_goes_when_it_can_be_used_again(
    branch: Branch, answer: Reply
) -> None:
    request = branch.create("Customer", "C-1")
    branch.central.answers_all = answer
    for _ in range(5):
        branch.run()
        branch.later(3600)
    assert (branch.get(request).status, branch.get(request).retry_count) == (Status.PENDING, 0)
    branch.central.answers_all = None
    drain(branch)
    assert (branch.get(request).status, branch.get(request).retry_count) == (Status.SYNCED, 0)


@pytest.mark.parametrize("answer", [page(502), page(504), refused(500, None), refused(500, "KeyError"), LOST])
def test_an_outage_of_the_central_is_no_attempt_of_any_request(branch: Branch, answer: Reply) -> None:
    requests = [branch.create("Customer", f"C-{number}") for number in range(3)]
    branch.central.answers_all = answer
    for _ in range(20):
        branch.run()
        branch.later(3600)
    assert {branch.get(request).retry_count for request in requests} == {0}
    branch.central.answers_all = None
    drain(branch)
    assert {branch.status(request) for request in requests} == {Status.SYNCED}
    assert len(branch.names_there("Customer")) == 3


@pytest.mark.parametrize(
    "answer", [page(502), page(504), page(403), page(408), refused(500, "KeyError"), LOST, page(200)]
)
def test_one_request_that_never_gets_through_does_not_stop_the_others(branch: Branch, answer: Reply) -> None:
    """G3: a proxy that refuses one body, one that takes too long, one that crashes its worker."""
    deliver = branch.central.deliver

    def blocks_one(wire: Any, *, key: str) -> Reply:
        return answer if "poison" in str(wire.body) else deliver(wire, key=key)

    branch.central.deliver = blocks_one  # type: ignore[method-assign]
    poison = branch.create("Customer", "C-0", city="poison")
    others = [branch.create("Customer", f"C-{number}", city="Rome") for number in range(1, 25)]
    for _ in range(60):
        branch.run()
        branch.later(60)
    assert {branch.status(request) for request in others} == {Status.SYNCED}
    assert branch.status(poison) is not Status.SYNCED


def test_a_server_error_counts_where_the_central_is_well_otherwise(branch: Branch) -> None:
    branch.answer(*[refused(500, "KeyError")] * 4)
    request = branch.create("Customer", "C-1")
    drain(branch)
    assert (branch.status(request), branch.get(request).retry_count) == (Status.NEEDS_ATTENTION, 4)


def test_a_configuration_error_of_one_document_counts_where_the_probe_is_good(branch: Branch) -> None:
    """A path that a proxy does not let through, say."""
    branch.answer(*[page(405)] * 9)
    request = branch.create("Customer", "C-1")
    drain(branch)
    assert branch.status(request) is Status.NEEDS_ATTENTION


def test_a_call_to_a_place_that_is_not_there_is_its_own_fault(branch: Branch) -> None:
    branch.answer(page(404))
    call = branch.call()
    other = branch.create("Customer", "C-1")
    branch.run()
    assert branch.status(call) is Status.NEEDS_ATTENTION
    assert branch.status(other) is Status.SYNCED


@pytest.mark.parametrize("kind", ["QueryDeadlockError", "QueryTimeoutError"])
def test_the_first_three_deadlocks_in_a_row_are_no_attempt(branch: Branch, kind: str) -> None:
    request = branch.create("Customer", "C-1")
    for attempts in (0, 0, 0, 1):
        branch.answer(refused(500, kind))
        branch.run()
        kept = branch.get(request)
        assert (kept.status, kept.retry_count) == (Status.RETRY, attempts)
        assert kept.next_retry_at is not None
        assert kept.next_retry_at - branch.clock.now() <= timedelta(seconds=1.1)
        branch.later(2)
    branch.run()
    assert branch.status(request) is Status.SYNCED


def test_deadlocks_with_something_else_between_them_are_not_in_a_row(branch: Branch) -> None:
    deadlock, rule = refused(500, "QueryDeadlockError"), refused(417, "ValidationError")
    request = branch.create("Customer", "C-1")
    for answer in (deadlock, deadlock, rule, deadlock, deadlock, deadlock):
        branch.answer(answer)
        branch.run()
        branch.later(60)
    assert branch.get(request).retry_count == 1


def test_a_missing_link_waits_for_the_request_that_creates_it(branch: Branch) -> None:
    """The sale was saved first, so that it did not wait; the central misses the customer."""
    branch.central.links = {"Sale": {"customer": "Customer"}}
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1"}
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    customer = branch.create("Customer", "C-1", city="Rome", request={"order_group": "late"})
    branch.answer(refused(417, "LinkValidationError"))
    branch.run()
    assert [branch.status(request) for request in (sale, customer)] == [Status.SYNCED, Status.SYNCED]
    assert branch.get(sale).retry_count == 0
    assert body(branch)["customer"] == branch.line_of("Customer", "C-1").central_name


def test_a_missing_link_does_not_wait_for_what_waits_for_it(branch: Branch) -> None:
    """No circle: the customer names the sale that names the customer."""
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    customer = branch.create("Customer", "C-1", first_sale="S-1", links={"first_sale": "Sale"})
    other = branch.create("Sale", "S-2", customer="C-1", links=CUSTOMER)
    branch.answer(refused(417, "LinkValidationError"))
    branch.run()
    assert branch.status(sale) is Status.NEEDS_ATTENTION
    assert branch.get(customer).waits_for == sale
    assert branch.get(other).waits_for == customer


def test_a_missing_link_does_not_wait_for_an_update_of_what_it_names() -> None:
    branch = manual(policies={"Customer": Policy(same_names=True)})
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1"}
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(sale) is Status.NEEDS_ATTENTION


# versions that moved


def test_a_moved_version_without_a_moved_field_is_taken_over(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name)
    request = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert (branch.status(request), branch.get(request).retry_count) == (Status.SYNCED, 0)
    branch.assert_equal("Customer", "C-1")


def test_a_version_that_moves_all_the_time_is_an_attempt_after_three_tries(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    delivered = len(branch.central.delivered)
    deliver = branch.central.deliver

    def busy(wire: Any, *, key: str) -> Reply:
        branch.central.edit("Customer", name)
        return deliver(wire, key=key)

    branch.central.deliver = busy  # type: ignore[method-assign]
    request = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert (branch.status(request), branch.get(request).retry_count) == (Status.RETRY, 1)
    assert len(branch.central.delivered) == delivered + 4
    branch.central.deliver = deliver  # type: ignore[method-assign]
    drain(branch)
    assert branch.status(request) is Status.SYNCED


def test_a_field_that_moved_there_is_a_conflict(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    request = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.UPDATE_UPDATE
    assert branch.get(request).history[-1].event == "conflict"


def test_a_stale_answer_about_a_document_that_is_gone_is_a_conflict_with_its_deletion(
    branch: Branch,
) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    request = branch.update("Customer", "C-1", city="Rome")
    branch.central.remove("Customer", name)
    branch.answer(refused(417, "TimestampMismatchError"))
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.UPDATE_DELETE


def test_a_submit_that_the_central_did_already_is_applied(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1)
    branch.central.edit("Sale", name, docstatus=1)
    request = branch.submit("Sale", "S-1")
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.get(request).history[-1].event == "arrived before"
    branch.assert_equal("Sale", "S-1")


# missing and taken


def test_an_update_of_a_document_that_is_gone_is_a_conflict(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    branch.central.remove("Customer", name)
    request = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.UPDATE_DELETE


@pytest.mark.parametrize("operation", [O.UPDATE, O.SUBMIT, O.CANCEL, O.RENAME])
def test_a_missing_document_that_is_there_was_another_one_that_it_needs(operation: Operation) -> None:
    """A 404 about an item of the sale must not delete the branch's sale."""
    branch = a_branch(config=Config(default_strategy=Strategy.SERVER_WINS))
    request = first(branch, operation)
    branch.answer(refused(404, "DoesNotExistError", "Item X not found"))
    branch.run()
    assert branch.get(request).retry_count == 1
    assert branch.here("Sale", "S-2" if operation is O.RENAME else "S-1") is not None
    drain(branch)
    assert branch.status(request) is Status.SYNCED


def test_a_delete_of_a_document_that_is_gone_is_done(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    delete = branch.delete("Customer", "C-1")
    branch.central.remove("Customer", name)
    branch.run()
    assert branch.status(delete) is Status.SYNCED


@pytest.mark.parametrize(
    "answer",
    [refused(404, "DoesNotExistError"), refused(417, "LinkExistsError"), refused(417, "ValidationError")],
)
def test_a_refused_delete_is_done_where_the_document_is_gone(branch: Branch, answer: Reply) -> None:
    """An earlier send, or somebody else, was there first."""
    branch.synced("Customer", "C-1", city="Oslo")
    delete = branch.delete("Customer", "C-1")
    branch.answer(answer, applies=True)
    branch.run()
    assert branch.status(delete) is Status.SYNCED
    assert branch.get(delete).history[-1].event == "gone already"


def test_a_delete_of_what_others_link_to_there_is_a_conflict(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    branch.central.insert("Sale", "S-9", customer=name)
    delete = branch.delete("Customer", "C-1")
    branch.run()
    assert branch.status(delete) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.DELETE_UPDATE


UNIQUE = [("Customer", "code")]


def create(branch: Branch, **values: Any) -> str:
    given = {"code": "X", "city": "Rome", **values}
    return branch.create("Customer", "C-1", request={"unique": {"code": "X"}}, **given)


def test_a_taken_name_with_the_same_content_is_this_document() -> None:
    branch = manual(unique=UNIQUE)
    branch.central.insert("Customer", "X", code="X", city="Rome", more="theirs")
    request = create(branch)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.line_of("Customer", "C-1").central_name == "X"


def test_a_taken_name_with_other_content_is_a_conflict() -> None:
    branch = manual(unique=UNIQUE)
    branch.central.insert("Customer", "X", code="X", city="Bonn")
    request = create(branch)
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.CREATE_CREATE


def test_a_given_name_is_looked_up_by_itself() -> None:
    branch = manual()
    branch.central.insert("Customer", "C-1", city="Rome")
    request = branch.create(
        "Customer", "C-1", city="Rome", request={"unique": {"name": "C-1", "code": "none"}}
    )
    branch.answer(refused(409, "DuplicateEntryError"))
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.line_of("Customer", "C-1").central_name == "C-1"


def test_a_taken_value_that_nobody_has_needs_a_person() -> None:
    """Perhaps the user may not read who has it."""
    branch = manual()
    branch.answer(refused(417, "UniqueValidationError", "code is taken"))
    request = create(branch)
    branch.run()
    held = branch.get(request)
    assert (held.status, held.retry_count, held.sends) == (Status.NEEDS_ATTENTION, 0, 1)
    assert held.error_message == "code is taken"


def test_an_update_to_a_taken_value_is_an_attempt(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Oslo")
    branch.answer(refused(417, "UniqueValidationError"))
    request = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert (branch.status(request), branch.get(request).retry_count) == (Status.RETRY, 1)


# states


def test_a_create_into_a_wrong_state_is_an_attempt(branch: Branch) -> None:
    branch.answer(refused(417, "CancelledLinkError"))
    request = branch.create("Sale", "S-1")
    branch.run()
    assert branch.status(request) is Status.RETRY


@pytest.mark.parametrize("operation", [O.SUBMIT, O.CANCEL])
@pytest.mark.parametrize(
    "answer", [refused(417, "DocstatusTransitionError"), refused(417, "ValidationError")]
)
def test_a_refused_move_that_happened_all_the_same_is_applied(
    branch: Branch, operation: Operation, answer: Reply
) -> None:
    """ "Cannot edit cancelled document" is a plain ValidationError."""
    request = first(branch, operation)
    branch.answer(answer, applies=True)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.get(request).retry_count == 0
    branch.assert_equal("Sale", "S-1")


def test_a_state_that_forbids_the_change_is_a_conflict(branch: Branch) -> None:
    branch.synced("Sale", "S-1", total=1)
    branch.answer(refused(417, "UpdateAfterSubmitError"))
    request = branch.update("Sale", "S-1", total=2)
    branch.run()
    assert branch.status(request) is Status.CONFLICT


def test_a_state_that_forbids_the_change_of_what_is_gone_is_a_conflict_with_its_deletion(
    branch: Branch,
) -> None:
    name = branch.synced("Sale", "S-1", total=1)
    branch.answer(refused(417, "DocstatusTransitionError"))
    request = branch.submit("Sale", "S-1")
    branch.central.remove("Sale", name)
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.UPDATE_DELETE


QUEUED = Reply(status=200, is_json=True, body={"data": {"name": "S", "docstatus": 0, "modified": "v"}})


def test_a_submit_that_the_central_only_queued_is_looked_at_again(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1)
    request = branch.submit("Sale", "S-1")
    branch.answer(QUEUED)
    branch.run()
    kept = branch.get(request)
    assert (kept.status, kept.retry_count) == (Status.RETRY, 0)
    assert "queued" in str(kept.error_message)
    branch.central.edit("Sale", name, docstatus=1)
    drain(branch)
    assert branch.status(request) is Status.SYNCED
    branch.assert_equal("Sale", "S-1")


def test_a_submitted_create_that_the_central_only_queued_is_waited_for(branch: Branch) -> None:
    """Its name was answered, so that it is looked at and not sent again, however long the queue is."""
    branch.documents.documents["Sale", "S-1"] = {"name": "S-1", "total": 1, "docstatus": 1}
    request = branch.queue(O.CREATE, "Sale", "S-1", {"total": 1, "docstatus": 1})
    later = branch.update("Sale", "S-1", total=1, remark="x")
    answered = branch.central.insert("Sale", "SALE-7", total=1, docstatus=0)
    branch.central.documents["Sale"]["SALE-7"]["owner"] = branch.central.user
    branch.answer(*[Reply(status=200, is_json=True, body={"data": dict(answered)})] * 3)
    for _ in range(3):
        branch.run()
        branch.later(30)
        assert branch.status(request) not in (Status.SYNCED, Status.NEEDS_ATTENTION)
        assert branch.status(later) is Status.WAITING
    branch.central.edit("Sale", "SALE-7", docstatus=1)
    drain(branch)
    assert (branch.status(request), branch.status(later)) == (Status.SYNCED, Status.SYNCED)
    assert branch.names_there("Sale") == ["SALE-7"]
    done = branch.get(request)
    assert (done.retry_count, done.replaces) == (0, request)
    branch.assert_equal("Sale", "S-1")


def test_after_a_submit_the_version_is_read_back(branch: Branch) -> None:
    """The one in the answer is old already."""
    name = branch.synced("Sale", "S-1", total=1)
    branch.submit("Sale", "S-1")
    deliver = branch.central.deliver

    def old_version(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        return replace(reply, body={"data": {**reply.body["data"], "modified": "old"}})

    branch.central.deliver = old_version  # type: ignore[method-assign]
    branch.run()
    assert branch.line_of("Sale", "S-1").version == branch.central.documents["Sale"][name]["modified"]


@pytest.mark.parametrize("operation", [O.SUBMIT, O.RENAME])
def test_an_answer_counts_where_the_read_back_fails(branch: Branch, operation: Operation) -> None:
    name = branch.synced("Sale", "S-1", total=1)
    request = branch.submit("Sale", "S-1") if operation is O.SUBMIT else branch.rename("Sale", "S-1", "S-2")
    local = "S-1" if operation is O.SUBMIT else "S-2"
    deliver, fetch = branch.central.deliver, branch.central.fetch

    def goes_down(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        branch.central.fetch = lambda doctype, name: page(502)  # type: ignore[method-assign]
        return reply

    branch.central.deliver = goes_down  # type: ignore[method-assign]
    branch.run()
    assert branch.status(request) is Status.SYNCED
    branch.central.deliver, branch.central.fetch = deliver, fetch  # type: ignore[method-assign]
    branch.later(3600)
    branch.central.edit("Sale", name if operation is O.SUBMIT else "S-2")
    branch.update("Sale", local, total=5)
    drain(branch)
    branch.assert_equal("Sale", local)


# renames


def test_a_rename_follows_and_later_changes_and_links_go_under_the_new_name(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.rename("Customer", "C-1", "C-2")
    branch.update("Customer", "C-2", city="Rome")
    sale = branch.create("Sale", "S-1", customer="C-2", total=1, links=CUSTOMER)
    branch.run()
    assert branch.names_there("Customer") == ["C-2"]
    assert branch.status(sale) is Status.SYNCED
    branch.assert_equal("Customer", "C-2")


def test_a_rename_of_what_was_changed_there_is_a_conflict(branch: Branch) -> None:
    """A rename carries no version, so that it is compared first."""
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    request = branch.rename("Customer", "C-1", "C-2")
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.names_there("Customer") == [name]


def test_a_rename_of_what_is_gone_is_a_conflict_with_its_deletion(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    branch.central.remove("Customer", name)
    request = branch.rename("Customer", "C-1", "C-2")
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.UPDATE_DELETE


def test_a_document_of_which_nothing_is_known_but_its_name_can_be_renamed() -> None:
    branch = manual(documents=NoDocuments())
    branch.central.insert("Customer", "C-1", city="Oslo")
    request = branch.queue(O.RENAME, "Customer", "C-1", {"new_name": "C-2"})
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.line_of("Customer", "C-2").central_name == "C-2"


def test_a_delete_of_what_was_changed_there_is_a_conflict(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    request = branch.delete("Customer", "C-1")
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.names_there("Customer") == [name]


def test_a_merge_waits_for_a_person(branch: Branch) -> None:
    for name in ("C-1", "C-2"):
        branch.synced("Customer", name)
    request = branch.rename("Customer", "C-1", "C-2", merge=True)
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    assert "cannot be undone" in str(branch.get(request).error_message)


# what is kept of an answer


def test_what_the_central_made_of_it_is_shown_on_the_request(branch: Branch) -> None:
    deliver = branch.central.deliver

    def changes(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        data = {key: value for key, value in reply.body["data"].items() if key != "phone"}
        return replace(reply, body={"data": {**data, "city": "ROME"}})

    branch.central.deliver = changes  # type: ignore[method-assign]
    request = branch.create("Customer", "C-1", city="Rome", phone="1")
    branch.run()
    assert branch.get(request).differences == {"city": ["Rome", "ROME"], "phone": ["1", None]}


def test_a_link_under_another_name_is_no_difference() -> None:
    branch = manual(policies=OWN_NAMES)
    branch.synced("Customer", "C-1")
    request = branch.create("Sale", "S-1", customer="C-1", total=1, links=CUSTOMER)
    branch.run()
    assert branch.get(request).differences is None


def test_the_history_keeps_the_latest_steps_without_values(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    for _ in range(HISTORY_KEPT + 5):
        branch.answer(refused(500, "QueryDeadlockError", "city Rome"))
        branch.run()
        branch.later(3600)
        if branch.status(request) is Status.NEEDS_ATTENTION:
            break
    history = branch.get(request).history
    assert 0 < len(history) <= HISTORY_KEPT
    assert all(isinstance(step, Attempt) for step in history)
    assert {step.exc_type for step in history} == {"QueryDeadlockError"}
    assert "Rome" not in str(history)


def test_a_central_that_asks_to_wait_is_not_asked_before_that(branch: Branch) -> None:
    """Also where nobody knows whether the request had its effect."""
    branch.answer(page(503, retry_after="600"))
    request = branch.create("Customer", "C-1")
    branch.run()
    assert branch.status(request) is Status.IN_DOUBT
    branch.later(599)
    assert branch.run().reason == "busy"
    assert branch.central.probes == 0
    branch.later(1)
    drain(branch)
    assert branch.status(request) is Status.SYNCED


# the lease


def take_over(branch: Branch, request: str) -> None:
    """The row is another run's from now on."""
    with branch.store.transaction():
        current = branch.store.get(request)
        assert current is not None
        branch.store.replace(replace(current, lease_token=99))


def test_nothing_is_recorded_when_another_run_took_over(branch: Branch) -> None:
    """A zombie's late answer: the row is the other run's now."""
    deliver = branch.central.deliver
    request = branch.create("Customer", "C-1", city="Rome")

    def slow(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        branch.later(100_000)
        with branch.store.transaction():
            assert branch.store.acquire_lease("other", 60)
            current = branch.store.get(request)
            assert current is not None
            branch.store.replace(replace(current, lease_token=99))
        return reply

    branch.central.deliver = slow  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    assert branch.status(request) is Status.IN_FLIGHT
    assert branch.get(request).lease_token == 99


@pytest.mark.parametrize(
    "answer",
    [refused(417, "ValidationError"), refused(417, "LinkValidationError"), page(429), LOST, NOT_SENT],
)
def test_whatever_the_answer_is_it_is_not_recorded_without_the_lease(branch: Branch, answer: Reply) -> None:
    with_lanes(branch, 1)
    request = branch.create("Customer", "C-1", city="Rome")

    def slow(wire: Any, *, key: str) -> Reply:
        take_over(branch, request)
        return answer

    branch.central.deliver = slow  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    assert branch.get(request).lease_token == 99


def test_what_a_look_up_said_is_not_kept_without_the_lease(branch: Branch) -> None:
    older(branch, {"city": "Oslo", "phone": "1"}, city="Oslo", phone="1")
    request = branch.update("Customer", "C-1", city="Rome")
    fetch = branch.central.fetch

    def slow(doctype: str, name: str) -> Reply:
        take_over(branch, request)
        return fetch(doctype, name)

    branch.central.fetch = slow  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    assert not branch.line_of("Customer", "C-1").linked


def test_that_a_look_up_failed_is_not_counted_without_the_lease(branch: Branch) -> None:
    older(branch, {"city": "Oslo", "phone": "1"}, city="Oslo", phone="1")
    request = branch.update("Customer", "C-1", city="Rome")

    def slow(doctype: str, name: str) -> Reply:
        take_over(branch, request)
        return page(500)

    branch.central.fetch = slow  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    assert (branch.get(request).retry_count, branch.get(request).history) == (0, ())


def test_a_conflict_is_not_recorded_without_the_lease(branch: Branch) -> None:
    with_lanes(branch, 1)
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    request = branch.update("Customer", "C-1", city="Rome")
    deliver = branch.central.deliver

    def slow(wire: Any, *, key: str) -> Reply:
        take_over(branch, request)
        return deliver(wire, key=key)

    branch.central.deliver = slow  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    assert branch.status(request) is Status.IN_FLIGHT
    with branch.store.transaction():
        assert branch.store.conflicts(pending=False) == []


def test_a_document_that_is_not_known_any_more_ends_the_run_and_nothing_is_lost(branch: Branch) -> None:
    """Somebody deleted its row by hand."""
    branch.synced("Sale", "S-1", total=1)
    request = branch.submit("Sale", "S-1")
    branch.answer(refused(417, "ValidationError"))
    document = branch.store.document

    def forgotten(line: str) -> Any:
        return None if branch.central.delivered[1:] else document(line)

    branch.store.document = forgotten  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    branch.store.document = document  # type: ignore[method-assign]
    branch.later(3600)
    drain(branch)
    assert branch.status(request) is Status.SYNCED


def test_the_message_of_a_failing_configuration_is_shown(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.central.answers_all = page(301)
    branch.run()
    with branch.store.transaction():
        last = json.loads(branch.store.get_meta(LAST_RUN) or "{}")
    assert last["failed"]
    assert "301" in last["message"]


@pytest.mark.parametrize("status", [409, 412])
def test_a_bare_conflict_status_does_not_mean_that_the_document_is_gone(branch: Branch, status: int) -> None:
    """Something between the sites may say 409 to an update: what counts is the document at the central."""
    name = branch.synced("Customer", "C-1", city="Oslo")
    branch.answer(Reply(status=status, is_json=True, body={}))
    update = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(update) is Status.SYNCED
    assert branch.documents.current("Customer", "C-1") is not None
    assert branch.central.documents["Customer"][name]["city"] == "Rome"


def test_a_bare_conflict_status_on_a_create_looks_for_the_document(branch: Branch) -> None:
    branch.answer(Reply(status=409, is_json=True, body={}))
    create = branch.create("Customer", "C-1", city="Oslo")
    branch.run()
    assert branch.status(create) is Status.NEEDS_ATTENTION
