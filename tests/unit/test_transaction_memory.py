"""What a transaction of a site's outbox may still take as known after it has written something."""

from __future__ import annotations

import pytest

from erp_offline_sync.adapters.transaction_memory import TransactionMemory
from erp_offline_sync.engine.model import Document, Operation


def document(name: str = "Ann", line: str = "d-1") -> Document:
    return Document(id=line, doctype="Customer", local_name=name)


def test_a_name_is_absent_as_it_was_asked_for() -> None:
    known = TransactionMemory()
    known.found_none(("Customer", "Ann"))
    assert known.is_absent(("Customer", "Ann"))
    assert not known.is_absent(("Customer", "ANN")), "a database may tell them apart"
    assert not known.is_absent(("Supplier", "Ann"))


@pytest.mark.parametrize("name", ["Ann", "ANN", "ann ", "Änn"])
def test_a_document_that_comes_ends_what_is_known_of_names_like_its_own(name: str) -> None:
    known = TransactionMemory()
    for absent in ("Ann", "Bob"):
        known.found_none(("Customer", absent))
    known.document_changes(document(name))
    assert not known.is_absent(("Customer", "Ann"))
    assert known.is_absent(("Customer", "Bob"))


def test_a_document_that_changes_is_read_again_and_no_other() -> None:
    known = TransactionMemory()
    known.named |= {("Customer", "Ann"): document(), ("Customer", "Bob"): document("Bob", "d-2")}
    known.read |= {"d-1": {}, "d-2": {}}
    known.document_changes(document("Anna"))
    assert list(known.named) == [("Customer", "Bob")]
    assert list(known.read) == ["d-2"]


def test_what_is_locked_stands_as_of_now() -> None:
    known = TransactionMemory()
    known.named["Customer", "Ann"] = document()
    known.read["d-1"] = {}
    known.documents_are_locked()
    assert not known.named
    assert not known.read


def test_a_request_that_comes_may_take_a_name_and_stirs_its_line() -> None:
    renames = frozenset({Operation.RENAME})
    known = TransactionMemory()
    known.quiet |= {("d-1", renames), ("d-2", renames)}
    known.line_stirs("d-1")
    assert known.quiet == {("d-2", renames)}
    known.kept_names.add(("Customer", "Ann"))
    known.request_comes()
    assert not known.kept_names
    assert not known.quiet


def test_the_next_transaction_knows_nothing() -> None:
    known = TransactionMemory()
    known.held["a table", "a row"] = {}
    known.found_none(("Customer", "Ann"))
    known.unborn.add("d-1")
    known.alone.add("r-1")
    known.forget()
    assert known == TransactionMemory()
