"""A document under a workflow is created in its first state and moved by a step of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import Branch
from test_resolution import SCHEMAS, branch_with

from erp_offline_sync.engine.actions import send_whole
from erp_offline_sync.engine.errors import NotAllowed
from erp_offline_sync.engine.model import Operation, Resolution, Status
from erp_offline_sync.engine.steps import in_first_state

WORKFLOW = {"Customer": replace(SCHEMAS["Customer"], first_state=("phone", "new"))}


@pytest.mark.parametrize(
    ("body", "created", "step"),
    [
        ({"phone": "good", "city": "x"}, {"phone": "new", "city": "x"}, {"phone": "good"}),
        ({"phone": "new"}, {"phone": "new"}, {}),
        ({"phone": ""}, {"phone": ""}, {}),
        ({"city": "x"}, {"city": "x"}, {}),
        ({"phone": "good", "docstatus": 1}, {"phone": "good", "docstatus": 1}, {}),
    ],
)
def test_a_later_state_is_left_for_a_step(body: Any, created: Any, step: Any) -> None:
    assert in_first_state(body, WORKFLOW["Customer"]) == (created, step)
    assert in_first_state(body, SCHEMAS["Customer"]) == (body, {})
    assert in_first_state(body, None) == (body, {})


def gone_at_the_central(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="new")
    branch.central.remove("Customer", name)
    branch.update("Customer", "C-1", phone="good", request={"apart": True})
    branch.run()


def states_sent(branch: Branch) -> list[Any]:
    return [body["phone"] for _, _, _, body in branch.central.effects if "phone" in body][1:]


def test_made_anew_it_is_created_in_the_first_state_and_moved() -> None:
    branch = branch_with(schemas=WORKFLOW)
    gone_at_the_central(branch)
    branch.engine.resolutions.apply(branch.pending().id, Resolution.LOCAL_WINS, by="ann")
    branch.run()
    branch.run()
    assert states_sent(branch) == ["new", "good"]
    branch.assert_equal("Customer", "C-1")
    assert branch.ledger().waiting == branch.ledger().held == 0


def test_what_a_decision_added_goes_when_it_is_taken_back() -> None:
    branch = branch_with(schemas=WORKFLOW)
    gone_at_the_central(branch)
    conflict = branch.pending()
    branch.engine.resolutions.apply(conflict.id, Resolution.LOCAL_WINS, by="ann")
    branch.engine.resolutions.undo(conflict.id, by="bob")
    assert [request.status for request in branch.requests()][1:] == [Status.CONFLICT, Status.DISCARDED]
    assert branch.requests()[-1].closed_by == "bob"
    branch.engine.resolutions.apply(conflict.id, Resolution.LOCAL_WINS, by="ann")
    branch.run()
    branch.run()
    branch.assert_equal("Customer", "C-1")
    with pytest.raises(NotAllowed, match="has been sent"):
        branch.engine.resolutions.undo(conflict.id, by="bob")


def test_a_whole_document_is_sent_in_the_first_state_and_moved() -> None:
    branch = branch_with(schemas=WORKFLOW)
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1", "code": "C-1", "phone": "new"}
    update = branch.update("Customer", "C-1", phone="good", request={"apart": True})
    branch.run()
    assert branch.status(update) is Status.NEEDS_ATTENTION
    send_whole(branch.ports, update, by="ann")
    branch.run()
    branch.run()
    assert [(request.operation, request.status) for request in branch.requests()] == [
        (Operation.CREATE, Status.SYNCED),
        (Operation.UPDATE, Status.SYNCED),
    ]
    branch.assert_equal("Customer", "C-1")
