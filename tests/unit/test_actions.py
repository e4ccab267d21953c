"""What people do with single requests, and what they are told about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import LOST, Branch, a_branch, refused

from erp_offline_sync.engine.actions import clear_old_requests, discard, explain, retry, send_whole
from erp_offline_sync.engine.errors import InvalidRequest, NotAllowed, NotFound, TakesAlong
from erp_offline_sync.engine.model import Operation, Status, Strategy
from erp_offline_sync.engine.status import pause
from erp_offline_sync.testing.memory_store import MemoryStore

MANDATORY = refused(417, "MandatoryError", "Tax Id is missing")
CUSTOMER = {"customer": "Customer"}


def put(branch: Branch, request: str, **changes: Any) -> None:
    """The row as some way led it there."""
    with branch.store.transaction():
        current = branch.store.get(request)
        assert current is not None
        branch.store.replace(replace(current, **changes))


def held(branch: Branch, name: str = "C-1") -> str:
    """A customer that the central refused."""
    branch.answer(MANDATORY)
    request = branch.create("Customer", name)
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    return request


@pytest.mark.parametrize("act", [retry, send_whole])
def test_an_unknown_request_is_not_found(branch: Branch, act: Any) -> None:
    with pytest.raises(NotFound, match="nope"):
        act(branch.ports, "nope", by="ann")


# retry


def test_retry_sends_a_held_request_again_with_all_its_retries(branch: Branch) -> None:
    request = held(branch)
    again = retry(branch.ports, request, by="ann")
    assert (again.status, again.retry_count) == (Status.PENDING, 0)
    assert (again.history[-1].event, again.history[-1].note) == ("retry", "ann")
    branch.run()
    assert branch.status(request) is Status.SYNCED


def test_retry_does_not_wait_for_the_scheduled_time(branch: Branch) -> None:
    branch.answer(refused(417, "ValidationError"))
    request = branch.create("Customer", "C-1")
    branch.run()
    assert branch.status(request) is Status.RETRY
    retry(branch.ports, request, by="ann")
    branch.run()
    assert branch.status(request) is Status.SYNCED


def test_retry_leaves_what_goes_anyway_as_it_is(branch: Branch) -> None:
    create = branch.create("Customer", "C-1")
    assert retry(branch.ports, create, by="ann") == branch.get(create)


@pytest.mark.parametrize(
    "status",
    [Status.SYNCED, Status.DISCARDED, Status.CONFLICT, Status.IN_FLIGHT, Status.IN_DOUBT],
)
def test_what_has_ended_is_on_its_way_or_to_be_decided_is_not_retried(branch: Branch, status: Status) -> None:
    request = branch.create("Customer", "C-1")
    put(branch, request, status=status)
    with pytest.raises(NotAllowed, match=status.value):
        retry(branch.ports, request, by="ann")


def test_retry_confirms_a_merge_of_two_documents(branch: Branch) -> None:
    for name in ("C-1", "C-2"):
        branch.synced("Customer", name)
    merge = branch.rename("Customer", "C-1", "C-2", merge=True)
    branch.run()
    assert branch.status(merge) is Status.NEEDS_ATTENTION
    assert len(branch.names_there("Customer")) == 2
    retry(branch.ports, merge, by="ann")
    branch.run()
    assert branch.status(merge) is Status.SYNCED
    assert branch.names_there("Customer") == [branch.line_of("Customer", "C-2").central_name]


def test_retry_looks_up_first_what_was_never_answered(branch: Branch) -> None:
    """It may have arrived after all."""
    branch.synced("Customer", "C-1", city="Oslo")
    branch.answer(*[LOST] * 4)
    request = branch.update("Customer", "C-1", city="Rome")
    for _ in range(5):
        branch.run()
        branch.later(60)
    assert branch.status(request) is Status.NEEDS_ATTENTION
    assert retry(branch.ports, request, by="ann").status is Status.IN_DOUBT
    branch.run()
    assert branch.status(request) is Status.SYNCED
    branch.assert_equal("Customer", "C-1")


def test_retry_is_no_leave_to_overwrite_what_others_changed(branch: Branch) -> None:
    """A document may have a field of that name."""
    branch.synced("Lead", "L-1", merge=0)
    branch.answer(MANDATORY)
    request = branch.update("Lead", "L-1", merge=1)
    branch.run()
    assert not retry(branch.ports, request, by="ann").overwrite
    branch.run()
    branch.answer(MANDATORY)
    rename = branch.rename("Lead", "L-1", "L-2")
    branch.run()
    assert not retry(branch.ports, rename, by="ann").overwrite


# discard


def test_discard_ends_a_request_with_person_and_reason(branch: Branch) -> None:
    request = held(branch)
    assert discard(branch.ports, request, reason="a test", by="ann") == [request]
    ended = branch.get(request)
    assert (ended.status, ended.closed_by, ended.reason) == (Status.DISCARDED, "ann", "a test")
    assert ended.closed_at == branch.clock.now()
    assert ended.history[-1].event == "discard"
    assert branch.ledger().discarded == 1


def test_discard_takes_along_every_later_request_however_long_the_line_is(branch: Branch) -> None:
    """None in the middle is left to be sent to a document that will never be there."""
    first = branch.create("Customer", "C-1")
    for number in range(1005):
        branch.update("Customer", "C-1", city=str(number), request={"apart": True})
    assert len(discard(branch.ports, first, reason="a test", by="ann", take_along=True)) == 1006
    assert branch.ledger().discarded == 1006


@pytest.mark.parametrize(("reason", "by"), [("", "ann"), ("  ", "ann"), ("a test", "")])
def test_discard_needs_a_reason_and_a_person(branch: Branch, reason: str, by: str) -> None:
    request = branch.create("Customer", "C-1")
    with pytest.raises(InvalidRequest, match="reason and a person"):
        discard(branch.ports, request, reason=reason, by=by)
    assert branch.status(request) is Status.PENDING


@pytest.mark.parametrize("status", [Status.IN_FLIGHT, Status.IN_DOUBT, Status.SYNCED, Status.DISCARDED])
def test_what_may_have_arrived_or_has_ended_is_not_discarded(branch: Branch, status: Status) -> None:
    request = branch.create("Customer", "C-1")
    put(branch, request, status=status)
    with pytest.raises(NotAllowed, match=status.value):
        discard(branch.ports, request, reason="a test", by="ann")


def test_later_requests_of_the_document_are_shown_first_and_then_go_along(branch: Branch) -> None:
    create = branch.create("Sale", "S-1")
    chain = [branch.submit("Sale", "S-1"), branch.cancel("Sale", "S-1")]
    branch.central.online = False
    branch.run()
    with pytest.raises(TakesAlong) as shown:
        discard(branch.ports, create, reason="a test", by="ann")
    assert shown.value.names == tuple(chain)
    assert branch.ledger().discarded == 0
    gone = discard(branch.ports, create, reason="a test", by="ann", take_along=True)
    assert gone == [create, *chain]
    assert set(branch.statuses()) == {Status.DISCARDED}


def test_earlier_requests_of_the_document_stay(branch: Branch) -> None:
    create, submit = branch.create("Sale", "S-1"), branch.submit("Sale", "S-1")
    branch.central.online = False
    branch.run()
    assert discard(branch.ports, submit, reason="a test", by="ann") == [submit]
    assert branch.status(create) is Status.PENDING


def test_what_waited_for_a_discarded_update_goes_on(branch: Branch) -> None:
    branch.synced("Customer", "C-1")
    branch.synced("Sale", "S-1", total=1)
    branch.answer(MANDATORY)
    sale = branch.update("Sale", "S-1", customer="C-1", links=CUSTOMER)
    branch.run()
    rename = branch.rename("Customer", "C-1", "C-2")
    branch.run()
    assert branch.status(rename) is Status.WAITING
    discard(branch.ports, sale, reason="a test", by="ann")
    branch.run()
    assert branch.status(rename) is Status.SYNCED


def test_a_discarded_submit_holds_what_waited_for_it_and_leaves_alone_what_did_not(branch: Branch) -> None:
    branch.synced("Sale", "S-1", total=1)
    early = branch.create("Payment", "P-0", sale="S-1", links={"sale": "Sale"})
    branch.answer(refused(417, "ValidationError"), MANDATORY)
    submit = branch.submit("Sale", "S-1")
    branch.run()
    late = branch.create("Payment", "P-1", sale="S-1", links={"sale": "Sale"})
    branch.run()
    assert [branch.status(request) for request in (early, submit, late)] == [
        Status.RETRY,
        Status.NEEDS_ATTENTION,
        Status.WAITING,
    ]
    discard(branch.ports, submit, reason="a test", by="ann")
    assert [branch.status(request) for request in (early, late)] == [Status.RETRY, Status.NEEDS_ATTENTION]


@pytest.mark.parametrize("sales", [1, 130])
def test_what_links_to_a_discarded_document_needs_a_person(sales: int) -> None:
    branch = a_branch()
    customer = held(branch)
    waiting = [
        branch.create("Sale", f"S-{number}", customer="C-1", links=CUSTOMER) for number in range(sales)
    ]
    other = branch.create("Sale", "S-x", customer="")
    branch.run()
    discard(branch.ports, customer, reason="a test", by="ann")
    branch.run()
    assert {branch.status(sale) for sale in waiting} == {Status.NEEDS_ATTENTION}
    assert "Customer C-1" in str(branch.get(waiting[0]).error_message)
    assert branch.status(other) is Status.SYNCED


def test_what_links_to_it_and_is_held_already_stays_as_it_is(branch: Branch) -> None:
    customer = held(branch)
    sales = [branch.create("Sale", f"S-{number}", customer="C-1", links=CUSTOMER) for number in range(3)]
    branch.run()
    for sale, status in zip(sales, (Status.NEEDS_ATTENTION, Status.CONFLICT, Status.IN_FLIGHT), strict=True):
        put(branch, sale, status=status, waits_for=None)
    discard(branch.ports, customer, reason="a test", by="ann")
    statuses = [branch.status(sale) for sale in sales]
    assert statuses == [Status.NEEDS_ATTENTION, Status.CONFLICT, Status.IN_FLIGHT]


def in_conflict(branch: Branch) -> list[str]:
    name = branch.synced("Sale", "S-1", total=1)
    branch.central.edit("Sale", name, total=2)
    requests = [branch.update("Sale", "S-1", total=3), branch.submit("Sale", "S-1")]
    branch.run()
    assert {branch.status(request) for request in requests} == {Status.CONFLICT}
    return requests


@pytest.fixture
def manual() -> Branch:
    branch = a_branch()
    object.__setattr__(branch.ports.config, "default_strategy", Strategy.MANUAL)
    return branch


def test_a_conflict_ends_with_the_last_request_that_it_held(manual: Branch) -> None:
    update, submit = in_conflict(manual)
    discard(manual.ports, submit, reason="a test", by="ann")
    assert manual.pending().id
    discard(manual.ports, update, reason="a test", by="ann")
    conflict = manual.conflict()
    assert (conflict.resolution_status, conflict.resolved_by) == ("resolved", "ann")
    assert conflict.reason == "discarded: a test"
    assert conflict.resolution is None


def test_a_call_can_be_discarded_too(branch: Branch) -> None:
    branch.answer(refused(403, "PermissionError"))
    call = branch.call()
    branch.run()
    assert discard(branch.ports, call, reason="a test", by="ann") == [call]


# send whole


def older(branch: Branch) -> str:
    """An update of a document that the central has not."""
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1", "city": "Oslo", "docstatus": 0}
    request = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    return request


def test_a_document_that_is_not_at_the_central_can_be_sent_whole(branch: Branch) -> None:
    request = older(branch)
    whole = send_whole(branch.ports, request, by="ann")
    assert (whole.operation, whole.body) == (Operation.CREATE, {"city": "Rome"})
    assert (whole.replaces, whole.history[-1].note) == (request, "ann")
    branch.run()
    assert branch.status(request) is Status.SYNCED
    branch.assert_equal("Customer", "C-1")


def test_only_what_needs_attention_and_is_not_at_the_central_can_be_sent_whole(branch: Branch) -> None:
    branch.synced("Customer", "C-1")
    branch.answer(MANDATORY)
    update = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    call = branch.call()
    for request in (update, call):
        with pytest.raises(NotAllowed, match="sent whole"):
            send_whole(branch.ports, request, by="ann")


def test_what_may_have_arrived_is_not_sent_whole(branch: Branch) -> None:
    """It would be there twice."""
    branch.answer(LOST)
    request = branch.create("Sale", "S-1", total=1)
    branch.central.insert("Sale", "S-9", total=9)
    branch.central.documents["Sale"]["S-9"]["owner"] = branch.central.user
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    with pytest.raises(NotAllowed, match="may have arrived"):
        send_whole(branch.ports, request, by="ann")


def test_what_is_not_here_any_more_cannot_be_sent_whole(branch: Branch) -> None:
    request = older(branch)
    del branch.documents.documents["Customer", "C-1"]
    with pytest.raises(NotAllowed, match="not here"):
        send_whole(branch.ports, request, by="ann")


# clearing


def test_only_ended_requests_are_cleared_and_only_old_ones(branch: Branch) -> None:
    branch.synced("Customer", "C-0")
    waiting = held(branch)
    branch.later(10 * 86_400)
    recent = branch.create("Customer", "C-2")
    branch.run()
    before = branch.ledger()
    assert clear_old_requests(branch.ports, 7) == 1
    assert [request.id for request in branch.requests()] == [waiting, recent]
    assert branch.ledger() == before


def test_clearing_goes_on_in_chunks_up_to_its_limit(branch: Branch) -> None:
    for _ in range(1001):
        with branch.store.transaction():
            created = branch.store.get(branch.call())
            assert created is not None
            branch.store.replace(replace(created, status=Status.DISCARDED, closed_at=branch.clock.now()))
    branch.later(86_400)
    assert clear_old_requests(branch.ports, 0, limit=500) == 500
    assert clear_old_requests(branch.ports, 0) == 501
    assert clear_old_requests(branch.ports, 0) == 0


def test_a_negative_age_is_refused(branch: Branch) -> None:
    with pytest.raises(InvalidRequest, match="negative"):
        clear_old_requests(branch.ports, -1)


# explaining


def why(branch: Branch, request: str) -> str:
    with branch.store.transaction():
        current = branch.store.get(request)
        assert current is not None
        return explain(branch.store, current, branch.clock.now())


def test_every_row_says_why_it_has_not_been_sent(branch: Branch) -> None:
    request = branch.create("Customer", "C-1")
    now = branch.clock.now()
    later = now + timedelta(hours=1)
    at = later.isoformat(timespec="seconds")
    for changes, expected in (
        ({}, "Goes with the next run."),
        (
            {"status": Status.WAITING, "waits_for": "r0", "waits_why": "an earlier change of this document"},
            "Waits for an earlier change of this document (request r0).",
        ),
        (
            {"status": Status.CONFLICT, "waits_for": None},
            "Both sides changed the document: somebody has to decide its conflict.",
        ),
        ({"status": Status.NEEDS_ATTENTION}, "Needs a person: see its history"),
        ({"error_type": "MandatoryError"}, "Needs a person: MandatoryError"),
        ({"error_message": "Tax Id is missing"}, "Needs a person: Tax Id is missing"),
        ({"status": Status.IN_FLIGHT}, "Is being sent."),
        (
            {"status": Status.RETRY, "next_retry_at": later},
            f"Next try {at}, after: Tax Id is missing",
        ),
        ({"error_message": None}, f"Next try {at}, after: MandatoryError"),
        ({"error_type": None}, f"Next try {at}, after: no answer"),
        ({"next_retry_at": now}, "Goes with the next run."),
        (
            {"status": Status.IN_DOUBT},
            "Was sent, but not answered; it is looked up with the next run.",
        ),
        ({"status": Status.SYNCED, "closed_at": later}, f"Synced {at}"),
        ({"status": Status.DISCARDED, "reason": "a test"}, f"Discarded {at} a test"),
        ({"closed_at": None}, "Discarded a test"),
    ):
        put(branch, request, **changes)
        assert why(branch, request) == expected


def test_while_paused_every_row_that_would_go_says_so(branch: Branch) -> None:
    request = branch.create("Customer", "C-1")
    with branch.store.transaction():
        pause(branch.store, by="ann", reason="stock taking")
    assert why(branch, request) == "Sending is paused by ann (stock taking)."


def test_outside_the_window_what_would_go_says_so_and_what_needs_a_person_still_does(branch: Branch) -> None:
    """The site knows why no run begins by itself; a row that a person has to look at is no matter of time."""
    request = branch.create("Customer", "C-1")
    closed = "Outside the sync window; it opens at 22:00."

    def told() -> str:
        with branch.store.transaction():
            current = branch.store.get(request)
            assert current is not None
            return explain(branch.store, current, branch.clock.now(), held_back=closed)

    assert told() == closed
    put(branch, request, status=Status.IN_FLIGHT)
    assert told() == "Is being sent."
    put(branch, request, status=Status.NEEDS_ATTENTION, error_message="Tax Id is missing")
    assert told() == "Needs a person: Tax Id is missing"


def test_while_the_central_cannot_be_used_every_row_that_would_go_says_so(branch: Branch) -> None:
    branch.central.online = False
    request = branch.create("Customer", "C-1")
    branch.run()
    at = (branch.clock.now() + timedelta(seconds=1)).isoformat(timespec="seconds")
    assert why(branch, request) == f"The central cannot be used (offline); next try {at}."
    branch.engine.line.load()
    with branch.store.transaction():
        branch.engine.line._keep(branch.engine.line.breaker.probe_at_once())
    assert why(branch, request) == "The central cannot be used (offline); next try now."


def test_what_was_sent_and_not_answered_can_be_retried_by_a_person_only(branch: Branch) -> None:
    """A call cannot be looked up."""
    branch.answer(LOST)
    call = branch.call()
    branch.run()
    assert branch.status(call) is Status.NEEDS_ATTENTION
    retry(branch.ports, call, by="ann")
    branch.run()
    assert branch.status(call) is Status.SYNCED
    assert isinstance(branch.store, MemoryStore)
