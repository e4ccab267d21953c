"""What is fixed before a request leaves: its bytes, the names of links, and documents older than the app."""

from __future__ import annotations

from typing import Any

import pytest
from support import (
    CUSTOMER,
    ITEMS,
    NOT_SENT,
    OWN_NAMES,
    SCHEMAS,
    Branch,
    a_branch,
    body,
    drain,
    manual,
    older,
    refused,
)

from erp_offline_sync.adapters.standalone import NoDocuments
from erp_offline_sync.engine.model import (
    ConflictType,
    FieldKind,
    Link,
    Operation,
    Policy,
    Schema,
    Status,
)

K, O = FieldKind, Operation  # noqa: E741


@pytest.fixture(params=[None, SCHEMAS], ids=["plain", "with-meta"])
def branch(request: pytest.FixtureRequest) -> Branch:
    return manual(schemas=request.param)


def test_an_update_goes_under_the_version_that_the_central_gave(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    version = branch.central.documents["Customer"][name]["modified"]
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert body(branch) == {"city": "Rome", "modified": version}
    branch.assert_equal("Customer", "C-1")


def test_repeats_send_the_same_bytes_under_the_same_key(branch: Branch) -> None:
    branch.answer(refused(417, "ValidationError"), refused(417, "ValidationError"))
    branch.create("Customer", "C-1", city="Rome")
    drain(branch)
    (one, two, three) = branch.central.delivered
    assert one == two == three


def test_what_never_left_is_made_anew(branch: Branch) -> None:
    """The document may have got another name or version meanwhile."""
    branch.answer(NOT_SENT)
    request = branch.create("Customer", "C-1", city="Rome")
    branch.run()
    assert (branch.get(request).wire, branch.get(request).sent_at, branch.get(request).sends) == (
        None,
        None,
        0,
    )
    branch.update("Customer", "C-1", city="Bonn")
    drain(branch)
    assert len(branch.names_there("Customer")) == 1
    branch.assert_equal("Customer", "C-1")


def test_what_left_before_stays_marked_as_sent(branch: Branch) -> None:
    branch.answer(refused(417, "ValidationError"), NOT_SENT)
    request = branch.create("Customer", "C-1", city="Rome")
    branch.run()
    branch.later(60)
    branch.run()
    kept = branch.get(request)
    assert (kept.status, kept.sends) == (Status.PENDING, 1)
    assert kept.wire is not None
    assert kept.sent_at is not None


def test_the_version_that_a_caller_knew_is_used_until_the_central_gave_us_a_newer_one() -> None:
    """A script queues two changes of what it read: the second is stale by the first."""
    branch = manual(documents=NoDocuments())
    branch.central.insert("Sale", "S-1", total=1)
    version = branch.central.documents["Sale"]["S-1"]["modified"]
    put = {"method": "PUT", "path": "/api/resource/Sale/S-1", "resource_version": version}
    branch.queue(O.UPDATE, "Sale", "S-1", {"total": 2}, **put)
    branch.queue(O.SUBMIT, "Sale", "S-1", {}, **put)
    branch.later(5)
    branch.run()
    assert branch.statuses() == [Status.SYNCED, Status.SYNCED]
    versions = [body(branch, number)["modified"] for number in range(2)]
    assert versions[0] == version < versions[1]
    assert len(branch.central.delivered) == 2


def test_an_update_that_may_overwrite_needs_no_version() -> None:
    branch = manual(documents=NoDocuments())
    branch.central.insert("Customer", "C-1", city="Oslo", phone="1")
    request = branch.queue(O.UPDATE, "Customer", "C-1", {"city": "Rome"}, base={"city": "x"}, overwrite=True)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.central.documents["Customer"]["C-1"]["city"] == "Rome"


def test_the_whole_table_goes_with_what_the_central_has_beside_our_change(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1, items=ITEMS)
    theirs = branch.central.documents["Sale"][name]["items"]
    for row in theirs:
        row["note"] = f"note of {row['item']}"
    branch.update(
        "Sale", "S-1", items=[ITEMS[0], {**ITEMS[1], "qty": 9}, {"name": "c", "item": "C", "qty": 3}]
    )
    branch.run()
    there = branch.central.documents["Sale"][name]["items"]
    assert [(row["item"], row["qty"], row.get("note")) for row in there] == [
        ("A", 1, "note of A"),
        ("B", 9, "note of B"),
        ("C", 3, None),
    ]
    assert [row["name"] for row in there[:2]] == [row["name"] for row in theirs]
    assert branch.line_of("Sale", "S-1").rows["c"] == there[2]["name"]


def test_a_table_that_was_changed_there_as_well_is_a_conflict(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1, items=ITEMS)
    rows = branch.central.documents["Sale"][name]["items"]
    branch.central.edit("Sale", name, items=[{**rows[0], "qty": 7}, rows[1]])
    branch.update("Sale", "S-1", items=[ITEMS[0], {**ITEMS[1], "qty": 9}])
    delivered = len(branch.central.delivered)
    branch.run()
    assert branch.pending().conflict_type is ConflictType.UPDATE_UPDATE
    assert len(branch.central.delivered) == delivered


def test_what_cannot_be_made_into_bytes_needs_a_person_and_stops_nothing(branch: Branch) -> None:
    odd = branch.queue(O.CREATE, "Sale", "S-1", {"items": 5}, links=(link("items.0.item", "Item", "A"),))
    other = branch.create("Customer", "C-1", city="Rome")
    assert branch.run().reason == "done"
    assert branch.status(odd) is Status.NEEDS_ATTENTION
    assert "Nothing can be sent" in str(branch.get(odd).error_message)
    assert branch.status(other) is Status.SYNCED


# links


def link(path: str, doctype: str, name: str) -> Link:
    return Link(path=path, doctype=doctype, name=name)


def test_a_link_goes_under_the_name_that_the_central_gave() -> None:
    branch = manual(policies=OWN_NAMES)
    customer = branch.synced("Customer", "C-1", city="Rome")
    assert customer != "C-1"
    branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    branch.run()
    assert body(branch)["customer"] == customer


def test_a_link_of_a_doctype_with_the_same_names_goes_as_it_is() -> None:
    branch = manual(policies={"Customer": Policy(same_names=True)})
    branch.central.insert("Customer", "C-1", city="Bonn")
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    branch.run()
    assert branch.status(sale) is Status.SYNCED
    assert not branch.line_of("Customer", "C-1").linked


@pytest.mark.parametrize(
    ("there", "here", "status", "why"),
    [
        ({"city": "Rome"}, {"city": "Rome"}, Status.SYNCED, None),
        ({"city": "Rome"}, None, Status.SYNCED, None),
        ({"city": "Bonn"}, {"city": "Rome"}, Status.NEEDS_ATTENTION, "is another document at the central"),
        (None, {"city": "Rome"}, Status.NEEDS_ATTENTION, "is not at the central"),
    ],
)
def test_a_link_to_a_document_older_than_the_app_goes_only_where_it_is_the_same(
    there: Any, here: Any, status: Status, why: str | None
) -> None:
    branch = manual(policies=OWN_NAMES)
    if there:
        branch.central.insert("Customer", "C-1", **there)
    if here:
        branch.documents.documents["Customer", "C-1"] = {"name": "C-1", **here}
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER)
    branch.run()
    assert branch.status(sale) is status
    if why is None:
        assert branch.line_of("Customer", "C-1").central_name == "C-1"
    else:
        assert why in str(branch.get(sale).error_message)
        assert branch.get(sale).retry_count == 0
        assert branch.central.delivered == []


def taken_by_another(branch: Branch, doctype: str = "Customer") -> str:
    """A document of ours whose name at the central is that of another, older one here. Answers that name."""
    name = branch.synced(doctype, "first", city="Rome")
    branch.documents.documents[doctype, name] = {"name": name, "city": "Rome", "docstatus": 0}
    return name


def test_two_documents_of_the_branch_do_not_become_one_at_the_central() -> None:
    branch = manual(policies=OWN_NAMES)
    name = taken_by_another(branch)
    update = branch.update("Customer", name, city="Bonn")
    sale = branch.create("Sale", "S-1", customer=name, links=CUSTOMER)
    delivered = len(branch.central.delivered)
    branch.run()
    for request in (update, sale):
        assert branch.status(request) is Status.NEEDS_ATTENTION
        assert "is first here" in str(branch.get(request).error_message)
    assert len(branch.central.delivered) == delivered


def test_a_created_document_does_not_become_one_that_another_of_the_branch_is() -> None:
    branch = manual(unique=[("Customer", "code")])
    branch.create("Customer", "first", code="X", city="Rome")
    branch.run()
    second = branch.create("Customer", "second", code="X", city="Rome", request={"unique": {"code": "X"}})
    branch.run()
    assert branch.status(second) is Status.NEEDS_ATTENTION
    assert "is first here" in str(branch.get(second).error_message)


def test_an_older_document_is_compared_as_it_was_before_its_open_changes() -> None:
    """The sale links to a customer whose own change has not gone yet."""
    branch = manual(policies=OWN_NAMES)
    branch.central.insert("Customer", "C-1", city="Oslo")
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1", "city": "Oslo"}
    sale = branch.create("Sale", "S-1", customer="C-1", links=CUSTOMER, request={"rank": 0})
    update = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert [branch.status(request) for request in (sale, update)] == [Status.SYNCED, Status.SYNCED]
    branch.assert_equal("Customer", "C-1")


# documents older than the app


def test_an_older_document_is_linked_by_its_name_where_it_is_the_same(branch: Branch) -> None:
    older(branch, {"city": "Oslo", "phone": "1"}, city="Oslo", phone="1")
    branch.update("Customer", "C-1", city="Rome")
    branch.update("Customer", "C-1", phone="2")
    branch.run()
    assert branch.line_of("Customer", "C-1").central_name == "C-1"
    branch.assert_equal("Customer", "C-1")


def test_an_older_document_made_at_the_same_instant_is_the_same_though_it_was_changed_there(
    branch: Branch,
) -> None:
    older(branch, {"city": "Oslo", "phone": "there"}, city="Oslo", phone="1")
    creation = branch.central.documents["Customer"]["C-1"]["creation"]
    branch.documents.documents["Customer", "C-1"]["creation"] = creation
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.pending().conflict_type is ConflictType.UPDATE_UPDATE


def test_an_older_document_that_differs_is_asked_about(branch: Branch) -> None:
    older(branch, {"city": "Bonn", "phone": "1"}, city="Oslo", phone="1")
    update = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.pending().conflict_type is ConflictType.CREATE_CREATE
    assert branch.status(update) is Status.CONFLICT
    assert branch.central.delivered == []


def test_an_older_document_that_is_not_there_needs_a_person(branch: Branch) -> None:
    older(branch, None, city="Oslo")
    update = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(update) is Status.NEEDS_ATTENTION
    assert "Send it whole" in str(branch.get(update).error_message)


def test_an_older_document_is_deleted_where_it_is_the_same(branch: Branch) -> None:
    older(branch, {"city": "Oslo", "phone": "1"}, city="Oslo", phone="1")
    delete = branch.delete("Customer", "C-1")
    branch.run()
    assert branch.status(delete) is Status.SYNCED
    assert branch.names_there("Customer") == []


def test_a_delete_of_an_older_document_that_is_not_there_is_done(branch: Branch) -> None:
    older(branch, None, city="Oslo")
    delete = branch.delete("Customer", "C-1")
    branch.run()
    assert branch.status(delete) is Status.SYNCED
    assert branch.get(delete).history[-1].event == "gone already"


def test_an_older_document_is_found_under_the_name_it_had_before_its_rename(branch: Branch) -> None:
    older(branch, {"city": "Oslo", "phone": "1"}, city="Oslo", phone="1")
    branch.rename("Customer", "C-1", "C-2")
    branch.update("Customer", "C-2", city="Rome")
    branch.run()
    assert branch.names_there("Customer") == ["C-2"]
    branch.assert_equal("Customer", "C-2")


def test_an_older_draft_is_submitted_where_it_is_the_same(branch: Branch) -> None:
    branch.central.insert("Sale", "S-1", total=1)
    branch.documents.documents["Sale", "S-1"] = {"name": "S-1", "total": 1, "docstatus": 0}
    branch.submit("Sale", "S-1")
    branch.cancel("Sale", "S-1")
    branch.run()
    assert branch.statuses() == [Status.SYNCED, Status.SYNCED]
    branch.assert_equal("Sale", "S-1")


@pytest.mark.parametrize(("there", "expected"), [("Oslo", Status.SYNCED), ("Bonn", Status.CONFLICT)])
def test_without_documents_of_our_own_only_the_changed_fields_are_compared(
    there: str, expected: Status
) -> None:
    branch = manual(documents=NoDocuments())
    branch.central.insert("Customer", "C-1", city=there, phone="theirs")
    update = branch.queue(O.UPDATE, "Customer", "C-1", {"city": "Rome"}, base={"city": "Oslo"})
    branch.run()
    assert branch.status(update) is expected


def test_carried_fields_take_the_centrals_names_of_linked_documents_and_of_their_rows() -> None:
    row = Schema(
        fields={"qty": FieldKind.NUMBER},
        links={"sales_order": "Order"},
        carried=frozenset({"sales_order", "so_detail", "weight"}),
    )
    order = Schema(fields={}, tables={"items": Schema(fields={"qty": FieldKind.NUMBER})})
    bill = Schema(fields={}, tables={"items": row}, carried=frozenset({"project"}))
    branch = a_branch(schemas={"Order": order, "Bill": bill})
    branch.central.links = {}
    branch.create("Order", "O-1", items=[{"name": "o-row", "qty": 1}])
    carried = {"sales_order": "O-1", "so_detail": "o-row", "weight": 3}
    branch.create(
        "Bill",
        "B-1",
        project="o-row?",
        items=[{"name": "b-row", "qty": 1, **carried}],
        links={"items.0.sales_order": "Order"},
    )
    assert branch.run().reason == "done"
    document = branch.line_of("Order", "O-1")
    (there,) = branch.central.documents["Bill"].values()
    (sent,) = there["items"]
    assert (sent["sales_order"], sent["so_detail"]) == (document.central_name, document.rows["o-row"])
    assert (sent["weight"], there["project"]) == (3, "o-row?")
    assert branch.requests()[-1].differences is None
