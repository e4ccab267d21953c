"""When requests of one document become one: only what certainly had no effect, and never past a blocker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import NOON, a_request

from erp_offline_sync.engine.coalesce import (
    cancel_out,
    cancels_out,
    certainly_had_no_effect,
    merge,
    mergeable,
)
from erp_offline_sync.engine.model import Link, Operation, Readiness, Request, Status, Wire
from erp_offline_sync.engine.transitions import ENDS

LATER = NOON + timedelta(minutes=1)
O = Operation  # noqa: E741


def first(**changes: Any) -> Request:
    return a_request(**{"seq": 5, **changes})


def later(**changes: Any) -> Request:
    return a_request(**{"id": "r2", "key": "r2", "seq": 8, "created_at": LATER, **changes})


@pytest.mark.parametrize(
    ("status", "sends", "was_refused", "expected"),
    [
        (Status.PENDING, 0, False, True),
        (Status.WAITING, 0, False, True),
        (Status.NEEDS_ATTENTION, 0, False, True),
        (Status.RETRY, 1, True, True),
        (Status.NEEDS_ATTENTION, 4, True, True),
        (Status.PENDING, 1, False, False),
        (Status.RETRY, 2, False, False),
        (Status.NEEDS_ATTENTION, 3, False, False),
        (Status.IN_FLIGHT, 0, False, False),
        (Status.IN_DOUBT, 1, True, False),
        (Status.CONFLICT, 1, True, False),
        *((status, 0, False, False) for status in sorted(ENDS)),
    ],
)
def test_only_what_was_never_sent_or_was_refused_certainly_had_no_effect(
    status: Status, sends: int, was_refused: bool, expected: bool
) -> None:
    assert certainly_had_no_effect(first(status=status, sends=sends, refused=was_refused)) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (O.CREATE, O.UPDATE, True),
        (O.UPDATE, O.UPDATE, True),
        *((one, O.UPDATE, False) for one in (O.SUBMIT, O.CANCEL, O.DELETE, O.RENAME, O.CALL)),
        *((O.UPDATE, other, False) for other in O if other is not O.UPDATE),
        *((O.CREATE, other, False) for other in O if other is not O.UPDATE),
    ],
)
def test_only_creates_and_updates_take_updates_in(one: Operation, other: Operation, expected: bool) -> None:
    assert mergeable(first(operation=one), later(operation=other), ()) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"body": {"amended_from": "S-0"}},
        {"body": {"docstatus": 1}},
        {"status": Status.IN_DOUBT, "sends": 1},
    ],
)
def test_amendments_submitted_creates_and_what_may_have_arrived_take_nothing_in(
    changes: dict[str, Any],
) -> None:
    assert not mergeable(first(operation=O.CREATE, **changes), later(), ())


@pytest.mark.parametrize(("operation", "expected"), [(O.CREATE, True), (O.UPDATE, False)])
def test_a_leave_to_overwrite_does_not_spread_to_another_update(operation: Operation, expected: bool) -> None:
    """A create needs no version, so that it does not matter there."""
    assert mergeable(first(operation=operation), later(overwrite=True), ()) is expected


def test_a_step_of_its_own_is_neither_taken_in_nor_takes_anything_in() -> None:
    """Such as a workflow's transition: the central refuses a document that is created behind it."""
    update = later(operation=O.UPDATE)
    assert mergeable(first(), update, ())
    assert not mergeable(first(), replace(update, apart=True), ())
    assert not mergeable(first(operation=O.UPDATE, apart=True), update, ())


def test_nothing_that_may_have_arrived_is_taken_in() -> None:
    assert not mergeable(first(), later(sends=1), ())


def test_nothing_is_taken_past_what_it_waits_for() -> None:
    """An update may link to a document that was made after the first request: the link would come before it."""
    before, between = a_request(id="b", key="b", seq=4), a_request(id="c", key="c", seq=6)
    assert mergeable(first(), later(), [before])
    assert not mergeable(first(), later(), [before, between])


def test_the_survivor_carries_both_changes_on_the_first_base() -> None:
    one = first(body={"city": "Rome", "zip": "1"}, base={"city": "Oslo", "zip": ""}, rank=4, priority=4)
    other = later(body={"city": "Bonn", "phone": "2"}, base={"city": "Rome", "phone": ""}, rank=2)
    survivor, gone = merge(one, other, new_key="new", now=LATER)
    assert survivor.body == {"city": "Bonn", "zip": "1", "phone": "2"}
    assert survivor.base == {"city": "Oslo", "zip": "", "phone": ""}
    assert survivor.changed_at == LATER
    assert (survivor.rank, survivor.priority) == (2, 4)
    assert (survivor.status, survivor.readiness) == (Status.PENDING, Readiness.RECHECK)
    assert (survivor.id, survivor.key, survivor.seq) == ("r1", "r1", 5)
    assert (gone.status, gone.merged_into, gone.closed_at) == (Status.MERGED, "r1", LATER)


def test_a_create_has_no_base_and_is_found_by_the_unique_values_that_travel() -> None:
    create = first(operation=O.CREATE, body={"tax_id": "1", "code": "A"}, unique={"tax_id": "1", "code": "A"})
    survivor, _gone = merge(create, later(body={"tax_id": "2"}), new_key="new", now=LATER)
    assert survivor.base is None
    assert survivor.unique == {"tax_id": "2", "code": "A"}


def test_a_change_without_a_base_can_be_taken_in() -> None:
    survivor, _gone = merge(first(base=None), later(base=None), new_key="new", now=LATER)
    assert survivor.base == {}


@pytest.mark.parametrize(
    "before",
    [
        {"status": Status.NEEDS_ATTENTION, "sends": 1, "refused": True, "retry_count": 4},
        {"status": Status.RETRY, "sends": 2, "refused": True, "retry_count": 2, "next_retry_at": LATER},
        {"status": Status.NEEDS_ATTENTION},
    ],
)
def test_to_mend_a_refused_document_is_to_save_it(before: dict[str, Any]) -> None:
    """A new key, because the content changed after an answer, and the retries back."""
    wire = Wire(method="PUT", path="/x", body="{}")
    held = first(wire=wire, error_type="MandatoryError", error_message="no", contentions=2, **before)
    survivor, _gone = merge(held, later(), new_key="new", now=LATER)
    assert (survivor.key, survivor.replaces, survivor.status) == ("new", "r1", Status.PENDING)
    assert (survivor.retry_count, survivor.contentions, survivor.sends) == (0, 0, 0)
    assert (survivor.next_retry_at, survivor.wire, survivor.refused) == (None, None, False)
    assert (survivor.error_type, survivor.error_message) == (None, None)


def test_what_was_never_sent_keeps_its_key() -> None:
    survivor, _gone = merge(first(), later(), new_key="new", now=LATER)
    assert (survivor.key, survivor.replaces) == ("r1", None)


def link(path: str, name: str) -> Link:
    return Link(path=path, doctype="Item", name=name, line=f"line of {name}")


def test_the_survivor_links_to_what_its_body_names_now() -> None:
    """A table that came anew brings its own links; fields that did not change keep theirs."""
    create = first(
        operation=O.CREATE,
        body={"brand": "B", "items": [{"code": "X"}, {"code": "Y"}]},
        links=(link("brand", "B"), link("items.0.code", "X"), link("items.1.code", "Y")),
    )
    update = later(body={"items": [{"code": "Z"}]}, links=(link("items.0.code", "Z"),))
    survivor, _gone = merge(create, update, new_key="new", now=LATER)
    assert set(survivor.links) == {link("brand", "B"), link("items.0.code", "Z")}


def test_the_survivor_still_says_what_the_central_links_to_until_it_arrives() -> None:
    """What deletes or renames the former brand waits for this change, taken in or not."""
    one = first(body={"brand": "B"}, links=(link("brand", "B"), link("was:brand", "A")))
    two = later(body={"city": "Rome"}, links=(link("brand", "B"),))
    survivor, _gone = merge(one, two, new_key="new", now=LATER)
    assert set(survivor.links) == {link("brand", "B"), link("was:brand", "A")}
    assert len(survivor.links) == 2


@pytest.mark.parametrize(
    ("create", "delete", "expected"),
    [
        ({}, {}, True),
        ({"status": Status.NEEDS_ATTENTION, "sends": 2, "refused": True}, {}, True),
        ({"sends": 1}, {}, False),
        ({"status": Status.IN_DOUBT, "sends": 1}, {}, False),
        ({}, {"sends": 1}, False),
        ({"operation": O.UPDATE}, {}, False),
        ({}, {"operation": O.UPDATE}, False),
    ],
)
def test_a_create_that_never_arrived_and_its_delete_cancel_out(
    create: dict[str, Any], delete: dict[str, Any], expected: bool
) -> None:
    one, other = first(**{"operation": O.CREATE, **create}), later(**{"operation": O.DELETE, **delete})
    assert cancels_out(one, other) is expected


def test_what_cancels_out_is_merged_into_each_other_and_says_why() -> None:
    one = replace(first(operation=O.CREATE), status=Status.WAITING, waits_for="x")
    for ended, into in zip(cancel_out(one, later(operation=O.DELETE), now=LATER), ("r2", "r1"), strict=True):
        assert (ended.status, ended.merged_into, ended.closed_at) == (Status.MERGED, into, LATER)
        assert ended.reason == "created and deleted again before it was sent"
        assert ended.waits_for is None
