"""One document under the names of both sites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import Branch, a_branch

from erp_offline_sync.adapters.standalone import NoDocuments
from erp_offline_sync.engine.model import Document, FieldKind, Link, Policy, Schema, Status
from erp_offline_sync.engine.names import document_links, in_central_names, in_local_names
from erp_offline_sync.engine.ordering import Placer

K = FieldKind
SALE = Schema(
    fields={"customer": K.TEXT, "total": K.NUMBER},
    tables={"items": Schema(fields={"item": K.TEXT, "qty": K.NUMBER}, links={"item": "Item"})},
    links={"customer": "Customer"},
)


@pytest.fixture
def linked(branch: Branch) -> Branch:
    """Customer C-1 is CUST-7 there, Item A is ITEM-A; a former C-1 was CUST-7 as well and is deleted here."""
    documents = [
        Document(id="l0", doctype="Customer", local_name="C-old", central_name="CUST-7", deleted=True),
        Document(id="l1", doctype="Customer", local_name="C-1", central_name="CUST-7"),
        Document(id="l2", doctype="Item", local_name="A", central_name="ITEM-A"),
        Document(id="l3", doctype="Item", local_name="unsent"),
    ]
    with branch.store.transaction():
        for document in documents:
            branch.store.put_document(document)
    return branch


HERE = {"customer": "C-1", "total": 5, "items": [{"name": "a", "item": "A"}, {"name": "b", "item": "unsent"}]}
THERE = {
    "name": "SALE-1",
    "customer": "CUST-7",
    "total": 5,
    "items": [{"name": "r1", "item": "ITEM-A", "qty": 1}, {"name": "r2", "item": "unsent", "qty": 2}],
}


def test_links_take_the_names_that_the_central_has_and_rows_keep_theirs(linked: Branch) -> None:
    with linked.store.transaction():
        values = in_central_names(linked.store, HERE, SALE)
    assert values == {
        "customer": "CUST-7",
        "total": 5,
        "items": [{"name": "a", "item": "ITEM-A"}, {"name": "b", "item": "unsent"}],
    }


def test_links_and_rows_take_the_names_that_they_have_here(linked: Branch) -> None:
    with linked.store.transaction():
        values = in_local_names(linked.store, THERE, SALE, {"a": "r1"})
    assert values == {
        "customer": "C-1",
        "total": 5,
        "items": [{"item": "A", "qty": 1, "name": "a"}, {"item": "unsent", "qty": 2, "name": None}],
    }


@pytest.mark.parametrize("customer", [None, "", 7, "nobody knows"])
def test_what_names_nothing_known_stays_as_it_is(linked: Branch, customer: Any) -> None:
    values = {"customer": customer, "items": None}
    with linked.store.transaction():
        assert in_central_names(linked.store, values, SALE) == values
        assert in_local_names(linked.store, values, SALE, {}) == {"customer": customer, "items": []}


def customer_here(branch: Branch, name: str) -> Any:
    """What a customer of the central is called here."""
    with branch.store.transaction():
        return in_local_names(branch.store, {"customer": name}, SALE, {})["customer"]


def placed(branch: Branch) -> None:
    with branch.store.transaction():
        Placer(branch.store, branch.ports.ids).place_all()


def test_what_was_merged_here_goes_by_the_name_of_what_it_was_merged_into() -> None:
    """The central has it until the merge arrives; the name may have been given away here meanwhile."""
    branch = a_branch()
    there = [branch.synced("Customer", name) for name in ("C-1", "C-2", "C-3")]
    branch.rename("Customer", "C-1", "C-2", merge=True)
    branch.rename("Customer", "C-2", "C-3", merge=True)
    branch.rename("Customer", "C-3", "C-9")
    branch.create("Customer", "CUST-00001")
    placed(branch)
    assert [customer_here(branch, name) for name in there] == ["C-9"] * 3


def test_what_is_not_here_takes_no_name_that_another_document_has() -> None:
    """Deleted here and not there yet, or never here at all: who has its name here is somebody else."""
    branch = a_branch()
    there = branch.synced("Customer", "C-1")
    branch.delete("Customer", "C-1")
    branch.create("Customer", there)
    branch.synced("Customer", "Ann")
    placed(branch)
    assert customer_here(branch, there) == f"{there} (central)"
    assert customer_here(branch, "Ann") == "Ann (central)"


def test_what_was_merged_into_something_deleted_since_is_not_here() -> None:
    branch = a_branch()
    one, _ = branch.synced("Customer", "C-1"), branch.synced("Customer", "C-2")
    branch.rename("Customer", "C-1", "C-2", merge=True)
    branch.delete("Customer", "C-2")
    branch.create("Customer", one)
    placed(branch)
    assert customer_here(branch, one) == f"{one} (central)"


def test_without_a_schema_only_rows_get_their_names(linked: Branch) -> None:
    with linked.store.transaction():
        assert in_central_names(linked.store, HERE, None) == HERE
        values = in_local_names(linked.store, THERE, None, {"a": "r1", "b": "r2"})
    assert values["customer"] == "CUST-7"
    assert [row["name"] for row in values["items"]] == ["a", "b"]


def link(path: str, doctype: str, name: str) -> Link:
    return Link(path=path, doctype=doctype, name=name)


def test_the_links_of_a_document_are_those_of_its_schema() -> None:
    assert set(document_links({**HERE, "items": [*HERE["items"], {"item": ""}]}, SALE)) == {
        link("customer", "Customer", "C-1"),
        link("items.0.item", "Item", "A"),
        link("items.1.item", "Item", "unsent"),
    }
    assert document_links({"customer": "", "items": None}, SALE) == ()


def test_without_a_schema_they_are_the_known_ones_that_its_values_still_hold() -> None:
    kept = [link("customer", "Customer", "C-1"), link("items.1.item", "Item", "unsent")]
    gone = [
        link("customer", "Customer", "C-9"),
        link("items.2.item", "Item", "A"),
        link("items.x.item", "Item", "A"),
        link("total.0.item", "Item", "A"),
        link("taxes.0.account", "Account", "A"),
        link("was:customer", "Customer", "C-0"),
    ]
    assert set(document_links(HERE, None, [*gone, *kept])) == set(kept)


def test_a_known_link_keeps_its_line() -> None:
    known = replace(link("customer", "Customer", "C-1"), line="l1")
    assert document_links(HERE, None, [known]) == (known,)


PAYMENT = Schema(fields={"party_type": K.TEXT, "party": K.TEXT}, dynamic={"party": "party_type"})


def test_a_link_whose_doctype_stands_in_another_field_is_a_link_where_that_is_given(linked: Branch) -> None:
    assert document_links({"party_type": "Customer", "party": "C-1"}, PAYMENT) == (
        link("party", "Customer", "C-1"),
    )
    for party_type in ("", None):
        assert document_links({"party_type": party_type, "party": "C-1"}, PAYMENT) == ()
    with linked.store.transaction():
        values = {"party_type": "Customer", "party": "C-1"}
        there = in_central_names(linked.store, values, PAYMENT)
        assert there == {"party_type": "Customer", "party": "CUST-7"}
        assert in_local_names(linked.store, there, PAYMENT, {}) == values
        nobody = {"party_type": "", "party": "C-1"}
        assert in_central_names(linked.store, nobody, PAYMENT) == nobody


# the central's name here as well


def a_branch_that_writes_back() -> Branch:
    return a_branch(policies={"Customer": Policy(names_written_back=True)})


def test_a_new_document_takes_the_centrals_name_here_and_what_waits_still_finds_it() -> None:
    branch = a_branch_that_writes_back()
    branch.create("Customer", "C-1", city="Oslo")
    sale = branch.create("Sale", "S-1", customer="C-1", links={"customer": "Customer"})
    branch.update("Customer", "C-1", city="Rome", request={"apart": True})
    assert branch.run().reason == "done"
    (name,) = branch.names_there("Customer")
    assert branch.here("Customer", "C-1") is None
    assert branch.line_of("Customer", name).local_name == name
    assert branch.status(sale) is Status.SYNCED
    assert set(branch.statuses()) == {Status.SYNCED}
    branch.update("Customer", name, city="Bonn")
    branch.run()
    branch.assert_equal("Customer", name)


def test_where_the_branch_refuses_the_name_the_document_keeps_its_own() -> None:
    branch = a_branch_that_writes_back()
    request = branch.create("Customer", "C-1")
    branch.documents.refuses = "linked"
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.get(request).history[-1].event == "not renamed here"
    assert branch.line_of("Customer", "C-1").linked


def test_a_name_that_another_document_has_here_is_not_taken() -> None:
    branch = a_branch_that_writes_back()
    branch.create("Customer", "CUST-00001", request={"priority": 9, "rank": 9})
    request = branch.create("Customer", "C-2")
    branch.run()
    assert branch.get(request).history[-1].event == "not renamed here"
    assert branch.line_of("Customer", "C-2").central_name == "CUST-00001"


def test_a_name_that_was_given_here_meanwhile_stays() -> None:
    branch = a_branch_that_writes_back()
    branch.create("Customer", "C-1")
    branch.rename("Customer", "C-1", "Asha")
    assert branch.run().reason == "done"
    assert branch.line_of("Customer", "Asha").central_name == "Asha"


def test_the_same_name_on_both_sites_is_left_alone() -> None:
    branch = a_branch(policies={"Customer": Policy(names_written_back=True)}, unique=[("Customer", "code")])
    request = branch.create("Customer", "C-1", code="C-1")
    branch.run()
    assert [attempt.event for attempt in branch.get(request).history] == ["applied"]


def test_without_documents_of_its_own_nothing_is_renamed() -> None:
    branch = a_branch(policies={"Customer": Policy(names_written_back=True)}, documents=NoDocuments())
    request = branch.create("Customer", "C-1")
    branch.run()
    assert branch.get(request).history[-1].event == "not renamed here"
