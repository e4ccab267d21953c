"""A create that carries its request's id is found by it, whatever became of the document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import LOST, Branch, a_branch, a_request

from erp_offline_sync.engine.model import Operation, Policy, Status, Wire
from erp_offline_sync.engine.sending.marks import MARK, mark_of, with_mark


@pytest.fixture
def branch() -> Branch:
    return a_branch(policies={"Customer": Policy(marked=True, same_names=True)})


def only(branch: Branch) -> dict[str, Any]:
    (there,) = branch.central.documents["Customer"].values()
    return dict(there)


def test_a_create_carries_its_key_and_is_not_shown_as_a_difference(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    branch.create("Sale", "S-1")
    branch.run()
    assert only(branch)[MARK] == branch.get(request).key
    assert branch.get(request).differences is None
    assert MARK not in json.loads(branch.sent()[2] or "{}")
    branch.update("Customer", "C-1", city="Oslo")
    branch.run()
    assert MARK not in json.loads(branch.sent()[2] or "{}")


def test_in_doubt_it_is_found_by_its_mark_though_somebody_changed_it_since(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    branch.create("Customer", "C-2", city="Rome")
    branch.answer(LOST, applies=True)
    branch.run()
    for name in branch.names_there("Customer"):
        branch.central.edit("Customer", name, city="Bonn")
    branch.later(600)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


def test_in_doubt_and_not_there_it_goes_again_whatever_else_was_made_meanwhile(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", city="Rome")
    branch.answer(LOST)
    branch.run()
    assert branch.status(request) is Status.IN_DOUBT
    body = json.dumps({"city": "Rome"})
    branch.central.apply(Wire(method="POST", path="/api/resource/Customer", body=body), "else")
    branch.later(600)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


def test_a_second_one_under_the_mark_is_the_same(branch: Branch) -> None:
    """The field is unique there: the repeat is refused, and the first one found."""
    branch.central.unique["Customer"] = MARK
    request = branch.create("Customer", "C-1", city="Rome")
    key = branch.get(request).key
    body = json.dumps({"city": "Oslo", MARK: key})
    branch.central.apply(Wire(method="POST", path="/api/resource/Customer", body=body), "earlier")
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 1


def test_only_a_create_with_bytes_of_its_own_has_a_mark() -> None:
    create = a_request(operation=Operation.CREATE)
    assert mark_of(create) is None
    wire = Wire(method="POST", path="/api/resource/Customer", body=json.dumps(with_mark(create).body))
    assert mark_of(a_request(operation=Operation.CREATE, wire=wire)) == "r1"
    assert mark_of(a_request(wire=wire)) is None
    empty = Wire(method="POST", path="/api/resource/Customer", body=None)
    assert mark_of(a_request(operation=Operation.CREATE, wire=empty)) is None
