"""Many requests in one push: what is sent, what each outcome means, and what happens where none comes."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from support import (
    ITEMS,
    LOST,
    NOT_SENT,
    SCHEMAS,
    Branch,
    a_branch,
    a_request,
    drain,
    manual,
    older,
    page,
    refused,
)

from erp_offline_sync.engine import actions
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.errors import NotAllowed
from erp_offline_sync.engine.model import Landed, Link, Operation, Reply, Status
from erp_offline_sync.engine.sending.batch import BATCHING
from erp_offline_sync.engine.sending.companion import COMPANION, Companion
from erp_offline_sync.engine.sending.origin import SET_BACK
from erp_offline_sync.engine.sending.push import LIMITS, PushRequest
from erp_offline_sync.engine.sending.pushed import HALF_DONE
from erp_offline_sync.engine.status import sync_status
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.testing.model_central import Fault

POISON = Reply(status=500, is_json=True, body={"exc_type": "OSError"})


@pytest.fixture(params=[None, SCHEMAS], ids=["plain", "with-meta"])
def branch(request: pytest.FixtureRequest) -> Branch:
    return manual(schemas=request.param, companion=True)


def many(branch: Branch, count: int, doctype: str = "Customer") -> list[str]:
    return [branch.create(doctype, f"C-{number}", city=f"City {number}") for number in range(count)]


def pushed(branch: Branch, number: int = -1) -> list[PushRequest]:
    """The requests of one push."""
    requests = branch.central.companion.pushes[number].requests
    return [request for request in requests if isinstance(request, PushRequest)]


def sizes(branch: Branch) -> list[int]:
    return [len(push.requests) for push in branch.central.companion.pushes]


def meta(branch: Branch, key: str) -> Any:
    with branch.store.transaction():
        return json.loads(branch.store.get_meta(key) or "null")


# what is sent


def test_many_requests_go_in_one_push_and_nothing_by_plain_rest(branch: Branch) -> None:
    many(branch, 8)
    assert branch.run().stats.success == 8
    assert sizes(branch) == [8]
    assert branch.central.delivered == []
    assert branch.statuses() == [Status.SYNCED] * 8
    for number in range(8):
        branch.assert_equal("Customer", f"C-{number}")


def test_a_push_says_who_sends_and_numbers_its_requests(branch: Branch) -> None:
    many(branch, 3)
    branch.run()
    first = branch.central.companion.pushes[-1]
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    second = branch.central.companion.pushes[-1]
    assert first.origin == second.origin
    assert second.run > first.run
    assert [request.number for request in pushed(branch, -2)] == [1, 2, 3]
    assert [request.number for request in pushed(branch)] == [4]
    assert (first.low_water, second.low_water) == (1, 4)
    assert [request.number for request in branch.requests()] == [1, 2, 3, 4]


def test_the_low_water_mark_is_the_smallest_number_that_is_not_closed(branch: Branch) -> None:
    branch.central.rules.append(
        lambda _, body: refused(417, "MandatoryError") if body["city"] == "" else None
    )
    branch.create("Customer", "C-1", city="")
    branch.create("Customer", "C-2", city="Rome")
    branch.run()
    branch.create("Customer", "C-3", city="Rome")
    branch.run()
    assert branch.central.companion.pushes[-1].low_water == 1


def test_what_links_to_another_goes_after_it_and_under_its_name(branch: Branch) -> None:
    customer = branch.create("Customer", "C-1", city="Rome")
    sale = branch.create("Sale", "S-1", customer="C-1", links={"customer": "Customer"})
    branch.create("Customer", "C-2", city="Rome")
    branch.run()
    assert [{request.id for request in push.requests} for push in branch.central.companion.pushes][1] == {
        sale
    }
    assert customer not in {request.id for request in pushed(branch)}
    assert pushed(branch)[0].values["customer"] == branch.line_of("Customer", "C-1").central_name


def test_two_changes_of_one_document_never_go_together(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Oslo")
    branch.update("Customer", "C-1", city="Rome", request={"apart": True})
    branch.update("Customer", "C-1", city="Bonn", request={"apart": True})
    branch.run()
    assert sizes(branch)[-2:] == [1, 1]
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize("operation", list(Operation))
def test_every_operation_goes_in_a_push_without_a_look_before(branch: Branch, operation: Operation) -> None:
    act = {
        Operation.CREATE: lambda: branch.create("Customer", "C-2", city="Rome"),
        Operation.UPDATE: lambda: branch.update("Customer", "C-1", city="Rome"),
        Operation.SUBMIT: lambda: branch.submit("Customer", "C-1"),
        Operation.CANCEL: lambda: branch.cancel("Customer", "C-1"),
        Operation.DELETE: lambda: branch.delete("Customer", "C-1"),
        Operation.RENAME: lambda: branch.rename("Customer", "C-1", "C-9"),
        Operation.CALL: branch.call,
    }
    branch.synced("Customer", "C-1", city="Oslo")
    if operation is Operation.CANCEL:
        branch.submit("Customer", "C-1")
        branch.run()
    reads: list[str] = []
    branch.central.fetch = lambda doctype, name: reads.append(name)  # type: ignore[assignment, func-returns-value]
    request = act[operation]()
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert pushed(branch)[0].operation is operation
    assert reads == []
    assert branch.central.delivered == []
    if operation in (Operation.UPDATE, Operation.SUBMIT, Operation.CANCEL):
        branch.assert_equal("Customer", "C-1")


def test_a_submit_needs_no_second_look_for_its_version(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    branch.submit("Customer", "C-1")
    branch.run()
    there = branch.there("Customer", name)
    assert there is not None
    assert branch.line_of("Customer", "C-1").version == there["modified"]


def test_rows_go_as_patches_and_what_others_added_stays(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", items=ITEMS)
    there = branch.there("Sale", name)
    assert there is not None
    rows = branch.line_of("Sale", "S-1").rows
    branch.update(
        "Sale", "S-1", items=[{"name": "a", "item": "A", "qty": 5}, {"name": "c", "item": "C", "qty": 9}]
    )
    branch.run()
    (request,) = pushed(branch)
    assert request.values == {}
    patch = request.rows["items"]
    assert patch.changed == {rows["a"]: {"qty": 5}}
    assert patch.added == ({"item": "C", "qty": 9},)
    assert patch.removed == (rows["b"],)
    branch.assert_equal("Sale", "S-1")
    assert set(branch.line_of("Sale", "S-1").rows) >= {"a", "c"}


def test_rows_that_are_not_known_here_are_read_first(branch: Branch) -> None:
    """The caller wrote the table under the central's own row names, and nothing is known of it before."""
    name = branch.synced("Sale", "S-1", items=ITEMS)
    there = branch.there("Sale", name)
    assert there is not None
    one = {**there["items"][0], "qty": 7}
    branch.documents.documents["Sale", "S-1"]["items"] = [one]
    branch.queue(Operation.UPDATE, "Sale", "S-1", {"items": [one]}, base={})
    branch.run()
    (request,) = pushed(branch)
    assert [row["qty"] for row in request.values["items"]] == [7]
    assert [row["qty"] for row in branch.there("Sale", name)["items"]] == [7]  # type: ignore[index]


def test_a_call_to_no_method_goes_by_itself(branch: Branch) -> None:
    call = branch.call("/api/resource/Customer/x/unknown/path")
    other = branch.create("Customer", "C-1", city="Rome")
    branch.run()
    assert [key for key, _ in branch.central.delivered] == [call]
    assert [request.id for request in pushed(branch)] == [other]


def test_what_a_push_may_hold_is_asked_and_kept_to(branch: Branch) -> None:
    branch.central.companion.limits = replace(LIMITS, max_requests=3)
    many(branch, 7)
    branch.run()
    assert sizes(branch) == [3, 3, 1]


@pytest.mark.parametrize("limit", ["max_bytes", "max_inflated_bytes"])
def test_a_push_is_no_larger_than_the_companion_takes(branch: Branch, limit: str) -> None:
    branch.central.companion.limits = replace(LIMITS, **{limit: 700})
    many(branch, 9)
    branch.run()
    assert branch.statuses() == [Status.SYNCED] * 9
    assert max(sizes(branch)) < 9


def test_one_that_is_too_large_alone_needs_a_person_and_stops_nothing(branch: Branch) -> None:
    branch.central.companion.limits = replace(LIMITS, max_inflated_bytes=2000)
    large = branch.create("Customer", "C-1", city="x" * 3000)
    small = branch.create("Customer", "C-2", city="Rome")
    branch.run()
    assert branch.status(large) is Status.NEEDS_ATTENTION
    assert branch.status(small) is Status.SYNCED


# outcomes


def refusing(branch: Branch, exc_type: str, status: int = 417) -> None:
    branch.central.rules.append(
        lambda _, body: refused(status, exc_type, "why") if body.get("city") == "X" else None
    )


@pytest.mark.parametrize(
    ("exc_type", "status"),
    [
        ("ValidationError", Status.RETRY),
        ("MandatoryError", Status.NEEDS_ATTENTION),
        ("PermissionError", Status.NEEDS_ATTENTION),
        ("KeyError", Status.RETRY),
        ("QueryDeadlockError", Status.RETRY),
        ("LinkValidationError", Status.NEEDS_ATTENTION),
    ],
)
def test_one_that_is_refused_harms_no_other_and_is_booked_as_a_single_answer(
    branch: Branch, exc_type: str, status: Status
) -> None:
    refusing(branch, exc_type, 403 if exc_type == "PermissionError" else 417)
    good = many(branch, 4)
    bad = branch.create("Customer", "C-X", city="X")
    good.append(branch.create("Customer", "C-9", city="Rome"))
    branch.run()
    assert [branch.status(request) for request in good] == [Status.SYNCED] * 5
    assert branch.status(bad) is status
    assert branch.get(bad).error_type == exc_type
    contention = exc_type == "QueryDeadlockError"
    assert branch.get(bad).retry_count == (0 if contention else 1)
    assert len(sizes(branch)) == 1


def test_a_conflict_is_opened_with_the_document_that_the_answer_holds(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, city="Bonn")
    branch.update("Customer", "C-1", city="Rome")
    branch.central.fetch = None  # type: ignore[assignment, method-assign]
    branch.run()
    assert branch.pending().server_data["city"] == "Bonn"  # type: ignore[index]


def test_a_moved_version_without_a_moved_field_is_taken_over(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name)
    request = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(request) is Status.SYNCED
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize("act", ["update", "delete", "rename", "submit"])
def test_what_is_gone_there_is_a_conflict_or_done(branch: Branch, act: str) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    branch.central.remove("Customer", name)
    request = {
        "update": lambda: branch.update("Customer", "C-1", city="Rome"),
        "delete": lambda: branch.delete("Customer", "C-1"),
        "rename": lambda: branch.rename("Customer", "C-1", "C-9"),
        "submit": lambda: branch.submit("Customer", "C-1"),
    }[act]()
    branch.run()
    assert branch.status(request) is (Status.SYNCED if act == "delete" else Status.CONFLICT)


def test_a_rename_or_delete_of_what_others_changed_is_a_conflict(branch: Branch) -> None:
    for number, act in enumerate((branch.delete, lambda d, n: branch.rename(d, n, "C-9"))):
        name = branch.synced("Customer", f"C-{number}", city="Oslo")
        branch.central.edit("Customer", name, city="Bonn")
        request = act("Customer", f"C-{number}")
        branch.run()
        assert branch.status(request) is Status.CONFLICT


def test_a_taken_name_is_asked_about(branch: Branch) -> None:
    branch.central.unique = {"Customer": "code"}
    branch.central.insert("Customer", "A", code="A", city="Bonn")
    request = branch.create("Customer", "C-1", code="A", city="Rome", request={"unique": {"code": "A"}})
    branch.run()
    assert branch.status(request) is Status.CONFLICT


def test_a_call_that_conflicts_waits_for_a_person(branch: Branch) -> None:
    answer = branch.central.companion.rest
    branch.central.companion.rest = lambda wire, key: (
        refused(409, "NameError") if "shop" in wire.path else answer(wire, key)
    )
    request = branch.call()
    branch.run()
    assert branch.status(request) is Status.CONFLICT


def test_a_submit_that_the_central_only_queued_comes_again_until_it_is_done(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Oslo")
    branch.central.queues = frozenset({"Customer"})
    request = branch.submit("Customer", "C-1")
    branch.run()
    assert branch.status(request) is Status.RETRY
    assert branch.get(request).retry_count == 0
    drain(branch)
    assert branch.status(request) is Status.SYNCED
    branch.assert_equal("Customer", "C-1")


def test_a_submitted_create_that_the_central_only_queued_is_waited_for(branch: Branch) -> None:
    branch.central.queues = frozenset({"Customer"})
    request = branch.create("Customer", "C-1", city="Oslo", docstatus=1)
    drain(branch)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 1
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize("seconds", [1, 60], ids=["queued still", "done meanwhile"])
def test_a_submitted_create_that_was_only_queued_and_not_answered_is_waited_for(
    branch: Branch, seconds: int
) -> None:
    """Its receipt is of the insert alone. What is known then has its state: a later change is no conflict."""
    branch.central.queues = frozenset({"Customer"})
    request = branch.create("Customer", "C-1", city="Oslo", docstatus=1)
    branch.central.faults.append(Fault(LOST, applies=True))
    branch.central.queue_seconds = 30
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    branch.central.probe = probe  # type: ignore[method-assign]
    branch.later(seconds)
    branch.run()
    assert branch.status(request) is (Status.RETRY if seconds < 30 else Status.SYNCED)
    drain(branch)
    branch.assert_equal("Customer", "C-1")
    assert branch.status(request) is Status.SYNCED
    later = branch.update("Customer", "C-1", city="Rome")
    drain(branch)
    assert branch.status(later) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 1


def test_what_another_delivery_is_at_work_on_is_asked_by_receipt_later(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    branch.central.companion.at_work.add(request)
    branch.run()
    assert branch.status(request) is Status.IN_DOUBT
    branch.later(3)
    branch.run()
    assert branch.status(request) is Status.IN_DOUBT
    assert sizes(branch) == [1]
    branch.central.companion.at_work.clear()
    drain(branch, 2)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 1


@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE, Operation.CALL])
def test_what_committed_in_the_middle_is_looked_up_and_not_done_twice(
    branch: Branch, operation: Operation
) -> None:
    branch.synced("Customer", "C-1", city="Oslo")
    act = {
        Operation.CREATE: lambda: branch.create("Customer", "C-2", city="Rome"),
        Operation.UPDATE: lambda: branch.update("Customer", "C-1", city="Rome"),
        Operation.CALL: branch.call,
    }
    request = act[operation]()
    branch.central.companion.uncertain.add(request)
    branch.run()
    effects = [effect for effect in branch.central.effects if effect[0] == request]
    assert len(effects) == 1
    wanted = Status.NEEDS_ATTENTION if operation is Operation.CALL else Status.SYNCED
    assert branch.status(request) is wanted


@pytest.mark.parametrize(
    "operation", [Operation.CREATE, Operation.UPDATE, Operation.SUBMIT, Operation.DELETE, Operation.CALL]
)
def test_what_is_half_done_needs_a_person_at_once_and_goes_again_under_a_new_key(
    branch: Branch, operation: Operation
) -> None:
    """Code of the central committed in the middle and failed: the companion never applies it under its key again."""
    branch.synced("Customer", "C-1", city="Oslo")
    branch.synced("Sale", "S-1", total=1)
    request = {
        Operation.CREATE: lambda: branch.create("Customer", "C-2", city="Rome"),
        Operation.UPDATE: lambda: branch.update("Customer", "C-1", city="Rome"),
        Operation.SUBMIT: lambda: branch.submit("Sale", "S-1"),
        Operation.DELETE: lambda: branch.delete("Customer", "C-1"),
        Operation.CALL: branch.call,
    }[operation]()
    branch.central.companion.doubted.add(request)
    before = len(branch.central.companion.pushes)
    branch.run()
    held = branch.get(request)
    assert (held.status, held.error_type) == (Status.NEEDS_ATTENTION, HALF_DONE)
    assert len(branch.central.companion.pushes) == before + 1
    actions.retry(branch.ports, request, by="ann")
    drain(branch)
    assert branch.status(request) is Status.SYNCED
    assert branch.get(request).error_type is None
    effects = [effect for effect in branch.central.effects if effect[0] == branch.get(request).key]
    assert len(effects) == 1


def test_what_is_half_done_to_a_document_that_is_gone_since_is_a_conflict(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    request = branch.update("Customer", "C-1", city="Rome")
    branch.central.companion.doubted.add(request)
    del branch.central.documents["Customer"][name]
    branch.run()
    assert branch.status(request) is Status.CONFLICT


def test_what_is_said_to_be_half_done_by_its_receipt_alone_needs_a_person_too(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Oslo")
    request = branch.update("Customer", "C-1", city="Rome")
    branch.central.companion.doubted.add(request)
    branch.central.faults.append(Fault(LOST, applies=True))
    drain(branch)
    held = branch.get(request)
    assert (held.status, held.error_type) == (Status.NEEDS_ATTENTION, HALF_DONE)


def test_what_the_central_knows_with_another_content_needs_a_person(branch: Branch) -> None:
    """It cannot happen by itself: it shows a branch whose past was changed."""
    request = branch.create("Customer", "C-1", city="Rome")
    other = branch.create("Customer", "C-2", city="Rome")
    branch.run()
    kept = branch.central.companion.kept
    again = branch.create("Customer", "C-3", city="Rome")
    kept[again] = kept[request]
    branch.run()
    assert branch.status(again) is Status.NEEDS_ATTENTION
    assert "another content" in str(branch.get(again).error_message)
    assert branch.status(other) is Status.SYNCED


def test_what_the_central_did_not_get_to_goes_again_without_an_attempt(branch: Branch) -> None:
    branch.central.companion.looks_at = 4
    requests = many(branch, 10)
    branch.run()
    assert sizes(branch)[0] == 10
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 10
    assert {branch.get(request).retry_count for request in requests} == {0}
    assert {branch.get(request).sends for request in requests} == {1}


def test_a_central_that_gets_to_nothing_is_busy(branch: Branch) -> None:
    branch.central.companion.looks_at = 0
    many(branch, 3)
    assert branch.run().reason == "busy"
    assert branch.statuses() == [Status.PENDING] * 3
    branch.central.companion.looks_at = None
    drain(branch, 2)
    assert branch.statuses() == [Status.SYNCED] * 3


# no answer


@pytest.mark.parametrize("applies", [True, False])
@pytest.mark.parametrize("answer", [LOST, page(502), page(200), POISON], ids=["lost", "502", "portal", "500"])
def test_a_push_without_an_answer_is_asked_by_receipt_and_nothing_happens_twice(
    branch: Branch, answer: Reply, applies: bool
) -> None:
    branch.synced("Customer", "C-0", city="Oslo")
    requests = [
        branch.create("Customer", "C-1", city="Rome"),
        branch.create("Customer", "C-2", city="Rome"),
        branch.update("Customer", "C-0", city="Bonn"),
        branch.call(),
    ]
    branch.answer(answer, applies=applies)
    branch.run()
    drain(branch, 2)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 4
    assert {branch.get(request).retry_count for request in requests} == {0}
    for request in requests:
        assert len([effect for effect in branch.central.effects if effect[0] == request]) == 1
    assert len(branch.names_there("Customer")) == 3
    for name in ("C-0", "C-1", "C-2"):
        branch.assert_equal("Customer", name)


def test_all_of_a_batch_are_in_doubt_while_the_line_is_down(branch: Branch) -> None:
    requests = many(branch, 3)
    branch.central.faults.append(Fault(LOST, applies=True))
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    assert branch.statuses() == [Status.IN_DOUBT] * 3
    branch.central.probe = probe  # type: ignore[method-assign]
    drain(branch, 2)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 3
    assert len(branch.names_there("Customer")) == 3


def test_a_document_changed_by_others_since_is_known_as_it_was_left(branch: Branch) -> None:
    """Its receipt tells the version that our change gave it: what came later is theirs, and found."""
    name = branch.synced("Sale", "S-1", items=ITEMS, total=1)
    request = branch.update("Sale", "S-1", items=[{**ITEMS[0], "qty": 5}, ITEMS[1]])
    branch.central.faults.append(Fault(LOST, applies=True))
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    branch.central.edit("Sale", name, total=7)
    branch.central.probe = probe  # type: ignore[method-assign]
    branch.later(60)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    branch.update("Sale", "S-1", total=3)
    branch.run()
    assert branch.pending().server_data["total"] == 7  # type: ignore[index]


def test_what_was_applied_and_is_gone_since_is_applied(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Oslo")
    request = branch.submit("Customer", "C-1")
    branch.central.faults.append(Fault(LOST, applies=True))
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    branch.central.documents["Customer"].clear()
    branch.central.probe = probe  # type: ignore[method-assign]
    branch.later(60)
    branch.run()
    assert branch.status(request) is Status.SYNCED


def test_a_push_that_never_left_is_made_anew(branch: Branch) -> None:
    requests = many(branch, 3)
    branch.answer(NOT_SENT)
    branch.run()
    assert branch.statuses() == [Status.PENDING] * 3
    assert {branch.get(request).sends for request in requests} == {0}
    drain(branch, 2)
    assert branch.statuses() == [Status.SYNCED] * 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refused(429, "RateLimitExceededError"), "busy"),
        (refused(503, "SessionStopped"), "busy"),
        (refused(401, "AuthenticationError"), "credentials"),
        (refused(403, "OriginOfAnother"), "configuration"),
        (refused(409, "OriginCloned"), "configuration"),
        (refused(409, "OriginStopped"), "configuration"),
        (refused(409, "LatePush"), "busy"),
        (Reply(status=302, detail="text/html"), "configuration"),
    ],
    ids=["429", "503", "401", "another", "cloned", "stopped", "late", "redirect"],
)
def test_what_is_the_destinations_is_nobodys_attempt(branch: Branch, answer: Reply, reason: str) -> None:
    many(branch, 3)
    branch.answer(answer)
    assert branch.run().reason == reason
    assert branch.statuses() == [Status.PENDING] * 3
    assert {request.retry_count for request in branch.requests()} == {0}
    drain(branch, 2)
    assert branch.statuses() == [Status.SYNCED] * 3


def test_a_push_of_a_run_that_is_over_is_not_now_and_asks_nobody(branch: Branch) -> None:
    """Another run has pushed since. The next one goes on within seconds, and nothing says that it failed."""
    many(branch, 3)
    branch.answer(refused(409, "LatePush"))
    branch.run()
    with branch.store.transaction():
        assert sync_status(branch.store)["state"] == "idle"
    branch.later(2)
    branch.run()
    drain(branch, 2)
    assert branch.statuses() == [Status.SYNCED] * 3
    assert {request.retry_count for request in branch.requests()} == {0}


@pytest.mark.parametrize("told", ["OriginCloned", "OriginRestored"])
def test_a_branch_that_is_told_it_was_set_back_looks_up_what_waits_once_and_goes_on_when_cleared(
    branch: Branch, told: str
) -> None:
    """Some of it was sent after the backup, and the numbers that follow were given."""
    sent = branch.create("Customer", "C-1", city="Rome")
    with branch.store.transaction():
        before = branch.store.get(sent)
    assert before is not None
    branch.run()
    document = branch.line_of("Customer", "C-1")
    with branch.store.transaction():
        branch.store.replace(replace(before, line=document.id))
        branch.store.put_document(replace(document, central_name=None, version=None, base=None))
    branch.central.companion.low_waters = dict.fromkeys(branch.central.companion.runs, 500)
    branch.later(3600)
    unsent = branch.create("Sale", "S-1", total=5)
    for _ in range(3):
        branch.answer(refused(409, told, "The branch was set back."))
        branch.run()
        branch.later(400)
    branch.run()
    branch.later(400)
    assert branch.run().reason == "done"
    assert [branch.status(each) for each in (sent, unsent)] == [Status.SYNCED] * 2
    assert len(branch.names_there("Customer")) == len(branch.names_there("Sale")) == 1
    assert [event.event for event in branch.get(unsent).history].count("restored") == 1
    assert meta(branch, SET_BACK) is None
    later = branch.create("Customer", "C-3")
    branch.run()
    assert branch.status(later) is Status.SYNCED


@pytest.mark.parametrize("known", ["a lower number", "another content"])
def test_what_shows_that_the_past_was_changed_is_held_and_goes_anew_once_a_person_has_looked(
    branch: Branch, known: str
) -> None:
    branch.synced("Customer", "C-0")
    companion = branch.central.companion
    request = branch.create("Customer", "C-1", city="Rome")
    if known == "a lower number":
        companion.low_waters = dict.fromkeys(companion.runs, 500)
    else:
        companion.kept[request] = replace(next(iter(companion.kept.values())), fingerprint="of another")
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    assert "Look whether it is there" in str(branch.get(request).error_message)
    branch.run()
    actions.retry(branch.ports, request, by="ann")
    branch.later(3600)
    drain(branch, 3)
    assert branch.status(request) is Status.SYNCED
    assert branch.get(request).replaces == request
    assert len(branch.names_there("Customer")) == 2


def test_a_push_that_asks_to_wait_and_may_have_arrived_is_not_asked_about_before_that(branch: Branch) -> None:
    many(branch, 2)
    branch.answer(page(503, retry_after="600"), applies=True)
    branch.run()
    assert branch.statuses() == [Status.IN_DOUBT] * 2
    branch.later(300)
    branch.run()
    assert branch.statuses() == [Status.IN_DOUBT] * 2
    branch.later(301)
    branch.run()
    drain(branch, 2)
    assert branch.statuses() == [Status.SYNCED] * 2


def test_a_call_whose_code_commits_is_carried_out_once_and_held(branch: Branch) -> None:
    """Also one that may be repeated: it would end like this each time."""
    request = branch.call(repeatable=True)
    branch.central.companion.uncertain.add(request)
    branch.run()
    drain(branch, 3)
    assert branch.status(request) is Status.NEEDS_ATTENTION
    assert "committed in the middle" in str(branch.get(request).error_message)
    assert [effect[1] for effect in branch.central.effects] == ["call"]


def test_what_a_push_may_still_bring_is_looked_up_before_it_goes_by_plain_rest(branch: Branch) -> None:
    """The companion has no receipt of it yet, and then the central says that it has no companion."""
    request = branch.create("Customer", "C-1", city="Rome")
    call = branch.call()
    branch.central.faults.append(Fault(LOST, late=100))
    branch.answer(refused(429, "RateLimitExceededError"))
    branch.run()
    assert branch.get(request).sends == 1
    branch.central.has_companion = False
    branch.later(601)
    drain(branch, 4)
    assert branch.status(request) is Status.SYNCED
    assert branch.status(call) is Status.NEEDS_ATTENTION
    assert len(branch.names_there("Customer")) == 1
    assert [effect[1] for effect in branch.central.effects] == ["create", "call"]


def test_what_a_push_may_still_bring_is_not_mended_under_another_key(branch: Branch) -> None:
    """It was refused on the way the second time, while the first push had not arrived yet."""
    request = branch.create("Customer", "C-1", city="Rome")
    branch.central.faults.append(Fault(LOST, late=100))
    branch.answer(page(413))
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    branch.update("Customer", "C-1", city="Bonn")
    branch.later(601)
    drain(branch, 4)
    if branch.status(request) is Status.NEEDS_ATTENTION:
        actions.retry(branch.ports, request, by="ann")
        drain(branch, 4)
    assert len(branch.names_there("Customer")) == 1
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize("applies", [True, False])
def test_a_call_that_was_not_answered_twice_is_settled_by_its_receipt(branch: Branch, applies: bool) -> None:
    """Both pushes were under one key: nobody has to look whether it had its effect."""
    call = branch.call()
    branch.answer(page(200))
    branch.answer(LOST, applies=applies)
    branch.run()
    drain(branch, 2)
    assert branch.status(call) is Status.SYNCED
    assert [effect[1] for effect in branch.central.effects] == ["call"]


def test_what_a_dead_run_pushed_may_still_come_after_a_later_push_was_refused() -> None:
    """Nothing that was refused just then is taken for certainly not there: here it would be made and forgotten."""
    branch = a_branch(companion=True, config=Config(max_retries=0))
    request = branch.create("Customer", "C-1", city="Rome")
    branch.central.faults.append(Fault(LOST, late=100))
    land = branch.ports.flights.land

    def killed() -> Landed:
        raise KeyboardInterrupt

    branch.ports.flights.land = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        branch.run()
    branch.ports.flights.land = land  # type: ignore[method-assign]
    branch.later(95)
    branch.answer(refused(417, "ValidationError"))
    SyncEngine(branch.ports, holder="the next").run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    branch.delete("Customer", "C-1")
    branch.later(60)
    branch.run()
    assert branch.get(request).merged_into is None
    assert branch.status(request) is Status.NEEDS_ATTENTION


def test_what_a_push_may_still_bring_is_not_discarded(branch: Branch) -> None:
    """Discarded, it would be at the central all the same."""
    call = branch.call()
    branch.central.faults.append(Fault(LOST, late=100))
    branch.answer(refused(429, "RateLimitExceededError"))
    branch.run()
    assert branch.status(call) is Status.PENDING
    with pytest.raises(NotAllowed, match="may have arrived"):
        actions.discard(branch.ports, call, reason="not wanted", by="ann")
    branch.later(120)
    branch.run()
    assert branch.status(call) is Status.SYNCED


def test_what_was_answered_with_not_now_alone_may_be_discarded(branch: Branch) -> None:
    branch.central.has_companion = False
    call = branch.call()
    branch.answer(refused(429, "RateLimitExceededError"))
    branch.run()
    assert branch.get(call).sends == 1
    assert actions.discard(branch.ports, call, reason="not wanted", by="ann") == [call]


def test_what_no_push_brought_goes_by_plain_rest_once_it_was_looked_up(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    branch.answer(LOST, refused(429, "RateLimitExceededError"))
    branch.run()
    branch.central.has_companion = False
    branch.later(601)
    drain(branch, 4)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.central.delivered) == len(branch.names_there("Customer")) == 1


# the one that spoils them all


@pytest.mark.parametrize(
    "answer", [LOST, POISON, page(413), page(404)], ids=["time-out", "500", "413", "404"]
)
def test_one_that_spoils_every_push_is_found_and_the_others_go_in_the_first_pass(answer: Reply) -> None:
    branch = manual(companion=True)
    requests = many(branch, 500)
    poison = requests[250]
    with branch.store.transaction():
        branch.store.set_meta(BATCHING, json.dumps({"size": 500, "groups": [], "most_bytes": None}))
    branch.central.companion.poison[poison] = answer
    branch.run()
    others = [request for request in requests if request != poison]
    assert {branch.status(request) for request in others} == {Status.SYNCED}
    assert branch.status(poison) is not Status.SYNCED
    with_it = [push for push in branch.central.companion.pushes if poison in {r.id for r in push.requests}]
    assert len(with_it) <= 10 + 3
    assert len(branch.names_there("Customer")) == 499
    drain(branch, 12)
    assert branch.status(poison) is Status.NEEDS_ATTENTION
    later = branch.create("Customer", "C-999", city="Rome")
    branch.run()
    assert branch.status(later) is Status.SYNCED


def test_a_page_for_an_answer_says_nothing_of_the_others_in_the_push(branch: Branch) -> None:
    """What was deleted here meanwhile is there already, and is deleted there too."""
    done, refused_one = many(branch, 2)
    branch.central.companion.poison[refused_one] = page(404)
    push, deleted = branch.central.push, []

    def meanwhile(data: bytes) -> Reply:
        if not deleted:
            deleted.append(branch.delete("Customer", "C-0"))
        return push(data)

    branch.central.push = meanwhile  # type: ignore[method-assign]
    drain(branch)
    assert [branch.status(each) for each in (done, *deleted)] == [Status.SYNCED] * 2
    assert branch.names_there("Customer") == []


def test_the_search_goes_on_in_the_next_run_of_another_process(branch: Branch) -> None:
    """A time-out lasts longer than a run: each run sees one."""
    requests = many(branch, 8)
    branch.central.companion.poison[requests[5]] = LOST
    push = branch.central.push

    def in_vain(data: bytes) -> Reply:
        reply = push(data)
        if reply is LOST:
            branch.clock.advance(131)
        return reply

    branch.central.push = in_vain  # type: ignore[method-assign]
    for _ in range(6):
        SyncEngine(branch.ports, holder="another").run()
        branch.later(10)
    assert [branch.status(request) for request in requests if request != requests[5]] == [Status.SYNCED] * 7
    assert sizes(branch)[:3] == [8, 3, 2]


def test_something_on_the_way_that_refuses_large_pushes_makes_them_smaller(branch: Branch) -> None:
    push = branch.central.push
    branch.central.push = lambda data: page(413) if len(data) > 600 else push(data)  # type: ignore[method-assign]
    requests = many(branch, 10)
    branch.run()
    assert {branch.status(request) for request in requests} == {Status.SYNCED}


# with and without


def test_without_a_companion_everything_goes_by_plain_rest_and_it_is_asked_seldom() -> None:
    branch = a_branch()
    asked = counted(branch)
    for number in range(5):
        branch.create("Customer", f"C-{number}", city="Rome")
        branch.run()
    assert len(branch.central.delivered) == 5
    assert len(asked) == 1
    branch.later(700)
    branch.create("Customer", "C-9", city="Rome")
    branch.run()
    assert len(asked) == 2


def counted(branch: Branch) -> list[str]:
    asked: list[str] = []
    capabilities = branch.central.capabilities

    def count() -> Reply:
        asked.append("asked")
        return capabilities()

    branch.central.capabilities = count  # type: ignore[method-assign]
    return asked


def test_a_companion_that_comes_and_goes_is_noticed_and_nothing_happens_twice(branch: Branch) -> None:
    branch.central.has_companion = False
    branch.create("Customer", "C-1", city="Rome")
    branch.run()
    assert sizes(branch) == []
    branch.central.has_companion = True
    branch.later(700)
    branch.create("Customer", "C-2", city="Rome")
    branch.run()
    assert sizes(branch) == [1]
    branch.central.has_companion = False
    gone = [branch.create("Customer", "C-3", city="Rome"), branch.update("Customer", "C-1", city="Bonn")]
    branch.run()
    assert [branch.status(request) for request in gone] == [Status.SYNCED] * 2
    assert len(branch.central.delivered) == 3
    assert len(branch.names_there("Customer")) == 3
    branch.assert_equal("Customer", "C-1")


def test_what_is_in_doubt_when_the_companion_goes_is_looked_up(branch: Branch) -> None:
    branch.synced("Sale", "S-1", items=ITEMS)
    requests = [
        branch.create("Customer", "C-1", city="Rome"),
        branch.update(
            "Sale", "S-1", items=[{**ITEMS[0], "qty": 5}, ITEMS[1], {"name": "c", "item": "C", "qty": 1}]
        ),
    ]
    branch.answer(LOST, applies=True)
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    assert [branch.status(request) for request in requests] == [Status.IN_DOUBT] * 2
    branch.central.probe = probe  # type: ignore[method-assign]
    branch.central.has_companion = False
    drain(branch, 3)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 2
    assert len(branch.names_there("Customer")) == 1
    branch.assert_equal("Sale", "S-1")


def test_what_was_sent_by_plain_rest_is_looked_up_though_there_is_a_companion_now(branch: Branch) -> None:
    branch.central.has_companion = False
    request = branch.create("Customer", "C-1", city="Rome")
    branch.answer(LOST, applies=True)
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    branch.central.probe = probe  # type: ignore[method-assign]
    branch.central.has_companion = True
    drain(branch, 3)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 1
    assert sizes(branch) == []


@pytest.mark.parametrize("answer", [page(502), NOT_SENT, refused(503, "SessionStopped")])
def test_a_companion_that_cannot_be_asked_now_is_taken_as_it_was_known(branch: Branch, answer: Reply) -> None:
    many(branch, 1)
    branch.run()
    branch.later(700)
    branch.central.capabilities = lambda: answer  # type: ignore[method-assign]
    asked = counted(branch)
    for number in range(3):
        branch.create("Customer", f"C-{number}9", city="Rome")
        branch.run()
    assert sizes(branch) == [1, 1, 1, 1]
    assert len(asked) == 1
    branch.later(61)
    branch.create("Customer", "C-99", city="Rome")
    branch.run()
    assert len(asked) == 2


@pytest.mark.parametrize("said", [{"schema": [99]}, "yes", None])
def test_a_companion_of_another_version_is_none(branch: Branch, said: Any) -> None:
    branch.central.capabilities = lambda: Reply(status=200, is_json=True, body={"message": said})  # type: ignore[method-assign]
    many(branch, 2)
    branch.run()
    assert len(branch.central.delivered) == 2
    assert meta(branch, COMPANION)["said"] is None


def test_a_restored_branch_asks_for_receipts_before_it_looks_for_documents(branch: Branch) -> None:
    """What it takes for unsent may have been sent by itself after the backup."""
    request = branch.create("Customer", "C-1", city="Rome")
    with branch.store.transaction():
        before = branch.store.get(request)
    assert before is not None
    branch.run()
    document = branch.line_of("Customer", "C-1")
    with branch.store.transaction():
        restored = replace(before, status=Status.IN_DOUBT, may_have_arrived=True, line=document.id)
        branch.store.replace(restored)
        branch.store.put_document(replace(document, central_name=None, version=None, base=None))
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.line_of("Customer", "C-1").linked
    assert len(branch.names_there("Customer")) == 1


def test_receipts_that_cannot_be_read_leave_the_doubts_as_they_are(branch: Branch) -> None:
    requests = many(branch, 3)
    branch.answer(LOST, applies=True)
    receipts = branch.central.receipts
    for answer in (
        page(502),
        Reply(status=200, is_json=True, body={"message": {}}),
        refused(417, "ValidationError"),
    ):
        branch.central.receipts = lambda origin, keys, answer=answer: answer  # type: ignore[method-assign, misc]
        branch.run()
        assert [branch.status(request) for request in requests] == [Status.IN_DOUBT] * 3
        branch.later(3600)
    branch.central.receipts = receipts  # type: ignore[method-assign]
    drain(branch, 3)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 3


def test_links_of_a_push_are_looked_up_like_any(branch: Branch) -> None:
    request = branch.queue(
        Operation.CREATE,
        "Sale",
        "S-1",
        {"customer": "C-7"},
        links=(Link(path="customer", doctype="Customer", name="C-7"),),
    )
    branch.ports.policies.policy("Customer")
    branch.run()
    assert branch.status(request) in (Status.NEEDS_ATTENTION, Status.SYNCED)


def test_a_large_outbox_goes_in_growing_pushes() -> None:
    branch = a_branch(companion=True, config=Config(sync_lanes=1))
    many(branch, 300)
    push = branch.central.push

    def slowly(data: bytes) -> Reply:
        reply = push(data)
        branch.clock.advance(0.5 + 0.01 * len(branch.central.companion.pushes[-1].requests))
        return reply

    branch.central.push = slowly  # type: ignore[method-assign]
    branch.run()
    assert sizes(branch) == [10, 40, 155, 95]
    assert branch.statuses() == [Status.SYNCED] * 300


def test_a_smaller_setting_begins_smaller() -> None:
    branch = a_branch(companion=True, config=Config(sync_batch_size=2))
    for number in range(5):
        branch.create("Customer", f"C-{number}", city="Rome")
    branch.run()
    assert sizes(branch)[0] == 2


# what is rare


@pytest.mark.parametrize("outcomes", [[], [{"id": "another", "outcome": "applied"}], "none"])
def test_an_answer_that_cannot_be_read_is_no_answer(branch: Branch, outcomes: Any) -> None:
    requests = many(branch, 2)
    message = {"schema": 1, "time": "", "time_zone": "", "outcomes": outcomes}
    branch.answer(Reply(status=200, is_json=True, body={"message": message}), applies=True)
    branch.run()
    drain(branch, 3)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 2
    assert len(branch.names_there("Customer")) == 2


@pytest.mark.parametrize("text", [b'{"message": {"sch', b'"\xff"', b"[" * 200_000])
def test_an_answer_that_is_no_json_when_it_is_read_is_no_answer(branch: Branch, text: bytes) -> None:
    requests = many(branch, 2)
    branch.answer(Reply(status=200, is_json=True, unread=zlib.compress(text)), applies=True)
    branch.run()
    assert branch.get(requests[0]).history[0].event == "unanswered"
    drain(branch, 3)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 2
    assert len(branch.names_there("Customer")) == 2


def test_a_push_that_is_refused_for_what_is_in_it_goes_in_halves(branch: Branch) -> None:
    requests = many(branch, 8)
    push = branch.central.push

    def strict(data: bytes) -> Reply:
        if requests[3].encode() in gzip.decompress(data):
            return refused(400, "UnreadableMessage")
        return push(data)

    branch.central.push = strict  # type: ignore[method-assign]
    branch.run()
    assert [branch.status(request) for request in requests if request != requests[3]] == [Status.SYNCED] * 7
    assert branch.status(requests[3]) is Status.NEEDS_ATTENTION


def test_two_requests_of_one_document_are_never_chosen_together() -> None:
    branch = manual(companion=True)
    one, other = (replace(a_request(id=name), line="l1") for name in "ab")
    assert branch.engine._batches.chosen([one, other]) == [one]


def test_nobody_pushes_who_does_not_know_who_it_is() -> None:
    branch = manual(companion=True)
    assert Companion(branch.ports, lambda: None).capabilities() is None


def fails_to_read(branch: Branch, answer: Reply) -> None:
    branch.central.fetch = lambda doctype, name: answer  # type: ignore[method-assign]


@pytest.mark.parametrize("answer", [NOT_SENT, page(502), refused(403, "PermissionError")])
def test_a_look_up_before_a_push_that_fails_holds_up_that_one_or_the_line(
    branch: Branch, answer: Reply
) -> None:
    older(branch, {"city": "Oslo"}, city="Oslo")
    requests = [branch.create("Customer", "C-7", city="Rome"), branch.update("Customer", "C-1", city="Rome")]
    requests.append(branch.create("Customer", "C-8", city="Rome"))
    fetch = branch.central.fetch
    fails_to_read(branch, answer)
    branch.run()
    line_is_down = answer.status != 403
    others = [branch.status(requests[0]), branch.status(requests[2])]
    assert others == [Status.PENDING if line_is_down else Status.SYNCED] * 2
    assert {branch.get(request).sends for request in requests if line_is_down} <= {0}
    branch.central.fetch = fetch  # type: ignore[method-assign]
    drain(branch, 3)
    wanted = Status.SYNCED if line_is_down else Status.NEEDS_ATTENTION
    assert branch.status(requests[1]) is wanted


def test_a_refusal_whose_meaning_cannot_be_looked_up_comes_again(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Oslo")
    request = branch.submit("Customer", "C-1")
    refusal = branch.central.rules
    refusal.append(lambda doctype, values: refused(417, "ValidationError"))
    fetch = branch.central.fetch
    fails_to_read(branch, page(502))
    branch.run()
    assert branch.status(request) is Status.PENDING
    assert branch.get(request).retry_count == 0
    refusal.clear()
    branch.central.fetch = fetch  # type: ignore[method-assign]
    drain(branch, 3)
    assert branch.status(request) is Status.SYNCED


def test_a_repeated_request_whose_document_cannot_be_read_now_stays_in_doubt(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    first = branch.update("Customer", "C-1", city="Rome")
    second = branch.create("Customer", "C-2", city="Rome")
    kept = branch.central.companion.kept
    look = branch.central.companion.look
    answers = branch.central.push
    branch.central.push = lambda data: (answers(data), answers(data))[1]  # type: ignore[method-assign, func-returns-value]
    branch.central.companion.look = lambda doctype, named: (
        None if kept.get(first) and kept.get(second) else look(doctype, named)
    )
    fetch = branch.central.fetch
    fails_to_read(branch, page(502))
    branch.run()
    assert [branch.status(request) for request in (first, second)] == [Status.IN_DOUBT] * 2
    branch.central.fetch = fetch  # type: ignore[method-assign]
    branch.central.push = answers  # type: ignore[method-assign]
    branch.central.companion.look = look
    drain(branch, 3)
    assert [branch.status(request) for request in (first, second)] == [Status.SYNCED] * 2
    assert len(branch.names_there("Customer")) == 2
    assert branch.there("Customer", name)["city"] == "Rome"  # type: ignore[index]


def test_a_receipt_whose_document_cannot_be_read_now_leaves_the_others_in_doubt_too(branch: Branch) -> None:
    requests = many(branch, 3)
    branch.answer(LOST, applies=True)
    fetch = branch.central.fetch
    fails_to_read(branch, page(502))
    branch.run()
    assert [branch.status(request) for request in requests] == [Status.IN_DOUBT] * 3
    branch.central.fetch = fetch  # type: ignore[method-assign]
    drain(branch, 3)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 3
    assert len(branch.names_there("Customer")) == 3


def test_the_companion_may_go_between_the_push_and_the_question_for_receipts(branch: Branch) -> None:
    requests = many(branch, 2)
    push = branch.central.push

    def last(data: bytes) -> Reply:
        push(data)
        branch.central.has_companion = False
        return LOST

    branch.central.push = last  # type: ignore[method-assign]
    drain(branch, 3)
    # Two alike creates cannot be told apart without it: a person looks at them, and nothing is there twice.
    assert len(branch.names_there("Customer")) == 2
    assert {branch.status(request) for request in requests} <= {Status.SYNCED, Status.NEEDS_ATTENTION}


def test_a_run_that_shall_end_pushes_nothing_more(branch: Branch) -> None:
    requests = many(branch, 2)
    at_once = branch.engine._preparation.items_at_once

    def stopped_meanwhile(requests: Any, number: int) -> Any:
        branch.control.stop("shutdown")
        return at_once(requests, number)

    branch.engine._preparation.items_at_once = stopped_meanwhile  # type: ignore[method-assign]
    branch.run()
    assert sizes(branch) == []
    assert [branch.status(request) for request in requests] == [Status.PENDING] * 2
    assert {branch.get(request).wire for request in requests} == {None}


def test_rows_that_did_not_arrive_and_were_changed_there_are_a_conflict(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", items=ITEMS)
    request = branch.update("Sale", "S-1", items=[{**ITEMS[0], "qty": 5}, ITEMS[1]])
    branch.answer(LOST)
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    there = branch.there("Sale", name)
    assert there is not None
    branch.central.edit("Sale", name, items=[{**there["items"][0], "qty": 9}])
    branch.central.probe = probe  # type: ignore[method-assign]
    drain(branch, 2)
    assert branch.status(request) is Status.CONFLICT


def test_a_merge_waits_for_a_person_before_it_is_pushed(branch: Branch) -> None:
    branch.synced("Customer", "C-1", city="Rome")
    branch.synced("Customer", "C-2", city="Oslo")
    merge = branch.rename("Customer", "C-1", "C-2", merge=True)
    branch.run()
    assert branch.status(merge) is Status.NEEDS_ATTENTION


def test_what_was_sent_before_stays_so_where_the_central_does_not_get_to_it_again(branch: Branch) -> None:
    requests = many(branch, 3)
    branch.answer(LOST)
    branch.central.companion.looks_at = 1
    branch.run()
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 3
    assert {branch.get(request).sends for request in requests} == {2}


def test_what_is_in_doubt_no_more_is_not_asked_about(branch: Branch) -> None:
    request = many(branch, 1)[0]
    branch.run()
    asked = branch.engine._doubts.settle_by_receipt([branch.get(request)])
    assert list(asked) == []


@pytest.mark.parametrize("applies", [True, False])
def test_a_rename_in_doubt_is_looked_up_when_the_companion_goes(branch: Branch, applies: bool) -> None:
    branch.synced("Customer", "C-1", city="Rome")
    request = branch.rename("Customer", "C-1", "C-9")
    branch.answer(LOST, applies=applies)
    probe = branch.central.probe
    branch.central.probe = lambda: NOT_SENT  # type: ignore[method-assign]
    branch.run()
    branch.central.probe = probe  # type: ignore[method-assign]
    branch.central.has_companion = False
    drain(branch, 3)
    assert branch.status(request) is Status.SYNCED
    assert branch.names_there("Customer") == ["C-9"]


def test_a_server_error_of_a_single_push_counts_where_the_central_is_well_otherwise(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    branch.answer(POISON, applies=True)
    branch.run()
    assert branch.get(request).retry_count == 1
    assert branch.status(request) is Status.IN_DOUBT
    drain(branch, 2)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 1


def test_a_server_error_of_a_central_that_is_not_well_is_nobodys_attempt(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    branch.answer(POISON)
    probe = branch.central.probe
    branch.central.probe = lambda: page(502)  # type: ignore[method-assign]
    branch.run()
    assert branch.get(request).retry_count == 0
    branch.central.probe = probe  # type: ignore[method-assign]
    drain(branch, 2)
    assert branch.status(request) is Status.SYNCED


def test_a_run_records_no_answer_about_what_another_run_has_by_now(branch: Branch) -> None:
    """It stood still, and the one that took over may have found out more."""
    requests = many(branch, 3)
    push = branch.central.push

    def slow(data: bytes) -> Reply:
        reply = push(data)
        with branch.store.transaction():
            taken = branch.store.get(requests[1])
            assert taken is not None
            branch.store.replace(replace(taken, lease_token=99))
        return reply

    branch.central.push = slow  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    assert branch.status(requests[0]) is Status.IN_FLIGHT


def test_a_run_that_lost_its_lease_closes_no_line_for_the_next(branch: Branch) -> None:
    """A zombie's push is refused as a whole after another run took its requests over."""
    requests = many(branch, 3)

    def slow(data: bytes) -> Reply:
        with branch.store.transaction():
            for request in requests:
                current = branch.store.get(request)
                assert current is not None
                branch.store.replace(replace(current, lease_token=99))
        return refused(429, "TooManyRequestsError", retry_after="60")

    branch.central.push = slow  # type: ignore[method-assign]
    assert branch.run().reason == "lease lost"
    branch.engine.line.load()
    assert branch.engine.line.breaker.closed
