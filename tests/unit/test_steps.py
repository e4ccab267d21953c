"""A document under a workflow is created in its first state and moved by a step of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import NOT_SENT, Branch
from test_resolution import SCHEMAS, branch_with

from erp_offline_sync.engine.actions import send_whole
from erp_offline_sync.engine.deciding.rehearsal import rehearse
from erp_offline_sync.engine.errors import NotAllowed
from erp_offline_sync.engine.merge import Side
from erp_offline_sync.engine.model import Operation, Reply, Resolution, Status
from erp_offline_sync.engine.steps import in_first_state
from erp_offline_sync.testing.model_central import Fault

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


def older_and_renamed(**more: Any) -> Branch:
    """Both sites had it before, in another city; here only its name was changed since, by which goes its code."""
    branch = branch_with(schemas=SCHEMAS, **more)
    branch.central.insert("Customer", "C-1", code="C-1", city="Bonn", phone="1")
    branch.documents.documents["Customer", "C-1"] = {
        "name": "C-1",
        "code": "C-1",
        "city": "Oslo",
        "phone": "1",
    }
    branch.rename("Customer", "C-1", "C-2")
    branch.documents.documents["Customer", "C-2"]["code"] = "C-2"
    branch.run()
    return branch


@pytest.mark.parametrize("companion", [False, True], ids=["plain", "companion"])
@pytest.mark.parametrize(
    ("resolution", "more", "city"),
    [
        (Resolution.MERGE, {"rest": Side.LOCAL}, "Oslo"),
        (Resolution.MERGE, {"rest": Side.SERVER}, "Bonn"),
        (Resolution.MANUAL, {"rest": Side.SERVER, "values": {"city": "Rome"}}, "Rome"),
    ],
)
def test_what_a_decision_adds_to_a_rename_follows_under_the_new_name(
    resolution: Resolution, more: dict[str, Any], city: str, companion: bool
) -> None:
    branch = older_and_renamed(companion=companion)
    conflict = branch.pending()
    expected = rehearse(branch.ports, conflict.id, resolution, by="ann", **more)
    assert (expected.there_after or {})["city"] == city
    branch.engine.resolutions.apply(conflict.id, resolution, by="ann", **more)
    branch.run()
    assert branch.statuses() == [Status.SYNCED]
    assert branch.central.documents["Customer"]["C-2"]["city"] == city
    branch.assert_equal("Customer", "C-2")


def test_what_follows_a_rename_is_no_more_taken_back_than_the_rename() -> None:
    branch = older_and_renamed()
    conflict = branch.pending()
    branch.engine.resolutions.apply(conflict.id, Resolution.MERGE, by="ann", rest=Side.LOCAL)
    branch.answer(Reply(status=200, is_json=True, body={}), applies=True)
    branch.central.faults.append(Fault(NOT_SENT))
    branch.run()
    assert (branch.requests()[0].operation, branch.statuses()) == (Operation.UPDATE, [Status.PENDING])
    with pytest.raises(NotAllowed, match="has answered about this document since"):
        branch.engine.resolutions.undo(conflict.id, by="bob")


def test_a_rename_whose_decision_did_not_come_about_is_a_rename_still() -> None:
    """The central's document moved again before anything of the decision was sent."""
    branch = older_and_renamed()
    branch.engine.resolutions.apply(branch.pending().id, Resolution.MERGE, by="ann", rest=Side.LOCAL)
    branch.central.edit("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.pending().server_data["city"] == "Rome"  # type: ignore[index]
    assert branch.requests()[0].body == {"new_name": "C-2", "merge": False}
    branch.engine.resolutions.apply(branch.pending().id, Resolution.LOCAL_WINS, by="ann")
    branch.run()
    assert branch.statuses() == [Status.SYNCED]
    branch.assert_equal("Customer", "C-2")
