"""Placing: which line a request stands in, what stands before it, what goes into an earlier one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import Branch, a_branch

from erp_offline_sync.engine.model import Link, Operation, Readiness, Status
from erp_offline_sync.engine.ordering import Placer
from erp_offline_sync.engine.transitions import move

O = Operation  # noqa: E741
CUSTOMER = {"customer": "Customer"}


def place(branch: Branch, limit: int = 100) -> None:
    placer = Placer(branch.store, branch.ports.ids)
    with branch.store.transaction():
        while placer.place_some(limit):
            pass


def waits_for(branch: Branch, request: str) -> str | None:
    placed = branch.get(request)
    assert (placed.status is Status.WAITING) == (placed.waits_for is not None)
    return placed.waits_for


def end(branch: Branch, request: str, status: Status = Status.SYNCED) -> None:
    """As the run records it: its end, and what waited for it is placed again."""
    with branch.store.transaction():
        current = branch.store.get(request)
        assert current is not None
        flying = move(current, Status.IN_FLIGHT, lease_token=1) if status is Status.SYNCED else current
        branch.store.replace(move(flying, status, closed_at=branch.store.now()))
        branch.store.set_links(request, current.seq, ())
        branch.store.release(request)
    place(branch)


def hold(branch: Branch, request: str) -> None:
    with branch.store.transaction():
        current = branch.store.get(request)
        assert current is not None
        branch.store.replace(move(current, Status.NEEDS_ATTENTION))


def known(branch: Branch, doctype: str, name: str, **values: Any) -> None:
    """A document that the central has, without a request of ours."""
    branch.documents.documents[doctype, name] = {"name": name, **values}
    with branch.store.transaction():
        document = Placer(branch.store, branch.ports.ids).document(doctype, name)
        branch.store.put_document(replace(document, central_name=f"{name} there"))


def test_what_stands_alone_is_ready_at_once(branch: Branch) -> None:
    request = branch.create("Customer", "C-1")
    place(branch)
    placed = branch.get(request)
    assert (placed.status, placed.readiness) == (Status.PENDING, Readiness.READY)
    assert placed.line == branch.line_of("Customer", "C-1").id


def test_a_call_has_no_line_and_waits_for_nothing(branch: Branch) -> None:
    calls = [branch.call(), branch.call()]
    place(branch)
    assert [branch.get(call).line for call in calls] == [None, None]
    assert [waits_for(branch, call) for call in calls] == [None, None]


def test_a_call_about_a_document_stands_in_its_line(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    update = branch.update("Customer", "C-1", city="Rome")
    call = branch.queue(O.CALL, "Customer", "C-1", {})
    place(branch)
    assert waits_for(branch, call) == update


def test_a_create_without_a_name_has_a_line_of_its_own(branch: Branch) -> None:
    creates = [branch.queue(O.CREATE, "Customer", None, {}) for _ in range(2)]
    place(branch)
    assert [branch.get(create).line for create in creates] == creates
    assert [waits_for(branch, create) for create in creates] == [None, None]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_requests_of_one_document_wait_for_each_other_in_the_order_of_their_commits(limit: int) -> None:
    branch = a_branch()
    known(branch, "Sale", "S-1")
    chain = [branch.submit("Sale", "S-1"), branch.cancel("Sale", "S-1"), branch.delete("Sale", "S-1")]
    place(branch, limit)
    assert [waits_for(branch, request) for request in chain] == [None, chain[0], chain[1]]
    assert branch.get(chain[1]).waits_why == "an earlier change of this document"
    end(branch, chain[0])
    assert waits_for(branch, chain[1]) is None


def test_a_request_that_took_another_in_is_placed_again(branch: Branch) -> None:
    create, update = branch.create("Customer", "C-1"), branch.update("Customer", "C-1", city="Rome")
    placer = Placer(branch.store, branch.ports.ids)
    with branch.store.transaction():
        assert [placer.place_some(1) for _ in range(3)] == [1, 1, 0]
    assert branch.get(update).merged_into == create
    assert branch.get(create).readiness is Readiness.READY


# a line is a document's identity


def test_a_rename_keeps_the_line_and_frees_the_old_name(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    line = branch.line_of("Customer", "C-1")
    rename = branch.rename("Customer", "C-1", "C-2")
    update = branch.update("Customer", "C-2", city="Rome")
    place(branch)
    assert branch.line_of("Customer", "C-2").id == line.id == branch.get(update).line
    assert waits_for(branch, update) == rename
    with branch.store.transaction():
        assert branch.store.document_named("Customer", "C-1") is None


def test_a_rename_onto_the_name_of_a_document_that_vanished_unseen_takes_the_name(branch: Branch) -> None:
    for name in ("C-1", "C-2"):
        known(branch, "Customer", name)
    vanished, line = branch.line_of("Customer", "C-2").id, branch.line_of("Customer", "C-1").id
    branch.rename("Customer", "C-1", "C-2")
    place(branch)
    assert branch.line_of("Customer", "C-2").id == line
    with branch.store.transaction():
        gone = branch.store.document(vanished)
    assert gone is not None
    assert gone.deleted


def test_a_rename_to_the_name_it_has_changes_nothing(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    branch.queue(O.RENAME, "Customer", "C-1", {"new_name": "C-1"})
    place(branch)
    assert not branch.line_of("Customer", "C-1").deleted


def test_a_merge_ends_the_line_of_the_document_that_goes(branch: Branch) -> None:
    for name in ("C-1", "C-2"):
        known(branch, "Customer", name)
    gone, stays = branch.line_of("Customer", "C-1").id, branch.line_of("Customer", "C-2")
    branch.rename("Customer", "C-1", "C-2", merge=True)
    place(branch)
    assert branch.line_of("Customer", "C-2") == stays
    with branch.store.transaction():
        merged = branch.store.document(gone)
    assert merged is not None
    assert merged.deleted


def test_a_merge_waits_for_the_create_of_the_document_that_stays(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    create = branch.create("Customer", "C-2")
    merge = branch.rename("Customer", "C-1", "C-2", merge=True)
    place(branch)
    assert waits_for(branch, merge) == create


def test_a_create_under_a_name_that_was_freed_is_another_document_and_waits_for_the_name(
    branch: Branch,
) -> None:
    known(branch, "Customer", "C-1")
    old = branch.line_of("Customer", "C-1").id
    delete = branch.delete("Customer", "C-1")
    create = branch.create("Customer", "C-1")
    place(branch)
    assert waits_for(branch, create) == delete
    assert branch.get(create).waits_why == "an earlier document of the same name"
    assert branch.get(create).line != old


def test_a_create_under_a_name_that_a_rename_frees_waits_for_the_rename(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    rename = branch.rename("Customer", "C-1", "C-2")
    create = branch.create("Customer", "C-1")
    place(branch)
    assert waits_for(branch, create) == rename


@pytest.mark.parametrize("linked", [True, False])
def test_a_create_under_the_name_of_a_document_that_vanished_unseen_begins_a_line(linked: bool) -> None:
    """Deleted by SQL, say: the old document's requests are not the new one's."""
    branch = a_branch()
    if linked:
        known(branch, "Customer", "C-1")
    else:
        branch.create("Customer", "C-1")
        place(branch)
    old = branch.line_of("Customer", "C-1").id
    create = branch.create("Customer", "C-1")
    place(branch)
    assert branch.get(create).line == branch.line_of("Customer", "C-1").id != old


def test_a_create_takes_the_line_that_a_link_to_its_name_began(branch: Branch) -> None:
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    place(branch)
    create = branch.create("Customer", "C-1")
    place(branch)
    (link,) = branch.get(sale).links
    assert link.line == branch.get(create).line


# links


@pytest.mark.parametrize("operation", [O.CREATE, O.SUBMIT, O.CANCEL, O.RENAME])
def test_a_request_waits_for_what_its_links_need(operation: Operation) -> None:
    branch = a_branch()
    known(branch, "Customer", "C-1")
    other = branch.queue(operation, "Customer", "C-1", {"new_name": "C-1"})
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    place(branch)
    assert waits_for(branch, sale) == other
    assert branch.get(sale).waits_why == "Customer C-1, which it links to"
    end(branch, other)
    assert waits_for(branch, sale) is None


def test_a_link_does_not_wait_for_updates(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    branch.update("Customer", "C-1", city="Rome")
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    place(branch)
    assert waits_for(branch, sale) is None


def test_a_link_does_not_wait_for_what_was_committed_after_it(branch: Branch) -> None:
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    customer = branch.create("Customer", "C-1")
    place(branch)
    assert [waits_for(branch, request) for request in (sale, customer)] == [None, None]


def test_a_link_to_itself_waits_for_nothing(branch: Branch) -> None:
    create = branch.create("Customer", "C-1", parent_customer="C-1", links={"parent_customer": "Customer"})
    place(branch)
    assert waits_for(branch, create) is None


def test_a_link_goes_along_with_a_later_rename_of_what_it_names(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    place(branch)
    branch.rename("Customer", "C-1", "C-2")
    place(branch)
    (link,) = branch.get(sale).links
    assert link.line == branch.line_of("Customer", "C-2").id


def test_what_waits_for_two_goes_when_both_have_ended(branch: Branch) -> None:
    one, two = branch.create("Customer", "C-1"), branch.create("Customer", "C-2")
    sale = branch.create(
        "Sale",
        "S-1",
        customer="C-1",
        payer="C-2",
        again="C-1",
        links={"customer": "Customer", "payer": "Customer", "again": "Customer"},
    )
    place(branch)
    for ended in (one, two):
        assert waits_for(branch, sale) == ended
        end(branch, ended)
    assert waits_for(branch, sale) is None


@pytest.mark.parametrize("operation", [O.CANCEL, O.DELETE, O.RENAME])
def test_what_would_take_a_document_away_waits_for_those_that_linked_to_it(operation: Operation) -> None:
    branch = a_branch()
    known(branch, "Customer", "C-1")
    known(branch, "Sale", "S-1")
    sale = branch.update("Sale", "S-1", customer="C-1", links=CUSTOMER)
    request = branch.queue(operation, "Customer", "C-1", {"new_name": "C-9"})
    place(branch)
    assert waits_for(branch, request) == sale
    assert branch.get(request).waits_why == "a change of Sale that linked to it"


def test_it_waits_as_well_for_those_that_linked_to_it_before_their_change(branch: Branch) -> None:
    known(branch, "Customer", "C-1")
    known(branch, "Sale", "S-1", customer="C-1")
    former = Link(path="was:customer", doctype="Customer", name="C-1")
    sale = branch.queue(O.UPDATE, "Sale", "S-1", {"customer": "C-2"}, base={}, links=(former,))
    delete = branch.delete("Customer", "C-1")
    place(branch)
    assert waits_for(branch, delete) == sale


@pytest.mark.parametrize("between", [0, 2])
def test_what_waits_for_a_request_is_not_waited_for_by_it(between: int) -> None:
    """A link was found missing at the central only, so that an earlier request waits for a later one."""
    branch = a_branch()
    known(branch, "Customer", "C-1")
    sale = branch.create("Sale", "S-0", customer="C-1", links=CUSTOMER)
    chain = [
        branch.create("Sale", f"S-{n + 1}", before=f"S-{n}", links={"before": "Sale"}) for n in range(between)
    ]
    delete = branch.delete("Customer", "C-1")
    place(branch)
    with branch.store.transaction():
        waiting = branch.store.get(sale)
        assert waiting is not None
        last = chain[-1] if chain else delete
        for request, blocker in ((sale, last), *zip(chain, [delete, *chain], strict=False)):
            current = branch.store.get(request)
            assert current is not None
            branch.store.replace(move(current, Status.WAITING, waits_for=blocker, waits_why="x"))
        current = branch.store.get(delete)
        assert current is not None
        branch.store.replace(replace(current, status=Status.PENDING, readiness=Readiness.RECHECK))
    place(branch)
    assert waits_for(branch, delete) is None


# rank and groups


def test_what_is_waited_for_goes_as_early_as_the_best_that_waits(branch: Branch) -> None:
    known(branch, "Territory", "T")
    rename = branch.rename("Territory", "T", "U")
    customer = branch.create("Customer", "C-1", territory="U", links={"territory": "Territory"})
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER, request={"priority": 0, "rank": 0})
    place(branch)
    assert [branch.get(request).rank for request in (rename, customer, sale)] == [0, 0, 0]
    assert branch.get(rename).priority == 5


def test_what_does_not_matter_does_not_hold_back_what_it_waits_for(branch: Branch) -> None:
    customer = branch.create("Customer", "C-1")
    branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER, request={"priority": 9, "rank": 9})
    place(branch)
    assert branch.get(customer).rank == 5


def test_a_group_keeps_the_order_of_capture_over_its_doctypes(branch: Branch) -> None:
    stock = {"request": {"order_group": "stock"}}
    receipt = branch.create("Purchase Receipt", "R-1", **stock)
    note = branch.create("Delivery Note", "N-1", **stock)
    other = branch.create("Customer", "C-1")
    place(branch)
    assert [waits_for(branch, request) for request in (receipt, note, other)] == [None, receipt, None]
    assert branch.get(note).waits_why == "the order of the group stock"
    end(branch, receipt)
    assert waits_for(branch, note) is None


def test_a_group_of_one_document_is_its_line(branch: Branch) -> None:
    known(branch, "Delivery Note", "N-1")
    submit = branch.queue(O.SUBMIT, "Delivery Note", "N-1", {}, order_group="stock")
    cancel = branch.queue(O.CANCEL, "Delivery Note", "N-1", {}, order_group="stock")
    place(branch)
    assert waits_for(branch, cancel) == submit
    assert branch.get(cancel).waits_why == "an earlier change of this document"


# coalescing where it is placed


def test_saves_before_the_first_send_travel_as_one(branch: Branch) -> None:
    create = branch.create("Customer", "C-1", city="Rome")
    updates = [branch.update("Customer", "C-1", city=city) for city in ("Oslo", "Bonn")]
    place(branch)
    assert [branch.status(update) for update in updates] == [Status.MERGED, Status.MERGED]
    assert [branch.get(update).merged_into for update in updates] == [create, create]
    assert [branch.get(update).closed_at for update in updates] == [branch.clock.now()] * 2
    assert branch.get(create).body["city"] == "Bonn"
    assert waits_for(branch, create) is None


def test_what_waited_for_a_request_that_was_taken_in_is_placed_again(branch: Branch) -> None:
    known(branch, "Sale", "S-1")
    submit = branch.submit("Sale", "S-1")
    update = branch.update("Sale", "S-1", remark="x")
    again = branch.update("Sale", "S-1", remark="y")
    cancel = branch.cancel("Sale", "S-1")
    place(branch)
    assert branch.get(again).merged_into == update
    assert waits_for(branch, cancel) == update
    assert waits_for(branch, update) == submit


def test_an_update_that_links_to_something_made_in_between_goes_by_itself(branch: Branch) -> None:
    """Taken into the first, its link would travel before what it names."""
    known(branch, "Sale", "S-1")
    first = branch.update("Sale", "S-1", remark="x")
    customer = branch.create("Customer", "C-1")
    second = branch.update("Sale", "S-1", customer="C-1", links=CUSTOMER)
    place(branch)
    assert waits_for(branch, second) == first
    end(branch, first)
    assert waits_for(branch, second) == customer
    end(branch, customer)
    assert waits_for(branch, second) is None


def test_a_document_made_and_deleted_before_it_was_sent_never_travels(branch: Branch) -> None:
    create, delete = branch.create("Customer", "C-1"), branch.delete("Customer", "C-1")
    place(branch)
    assert branch.statuses() == [Status.MERGED, Status.MERGED]
    assert (branch.get(create).merged_into, branch.get(delete).merged_into) == (delete, create)


def test_it_travels_where_something_open_links_to_it(branch: Branch) -> None:
    create = branch.create("Customer", "C-1")
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    delete = branch.delete("Customer", "C-1")
    place(branch)
    assert waits_for(branch, sale) == create
    assert waits_for(branch, delete) == create


def test_to_mend_a_document_that_needs_attention_is_to_save_it(branch: Branch) -> None:
    create = branch.create("Customer", "C-1", tax="")
    place(branch)
    hold(branch, create)
    branch.update("Customer", "C-1", tax="12")
    place(branch)
    mended = branch.get(create)
    assert (mended.status, mended.body) == (Status.PENDING, {"tax": "12"})
    assert mended.replaces == create
    assert mended.key not in ("", None, create)
