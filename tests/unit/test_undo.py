"""A decision that is taken back: everything stands as before it, or it is said why not."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from support import Branch, refused
from test_resolution import SCHEMAS, TABLE, branch_with, in_conflict

from erp_offline_sync.adapters.standalone import NoDocuments
from erp_offline_sync.engine.actions import clear_old_requests
from erp_offline_sync.engine.errors import LocalRefused, NotAllowed, NotFound
from erp_offline_sync.engine.model import Conflict, ConflictType, Request, Resolution, Status, Strategy

R, T = Resolution, ConflictType

CELLS: list[tuple[ConflictType, Resolution, Any]] = [
    *(
        (kind, resolution, None)
        for kind, resolution in TABLE
        # A state that was moved does not go back.
        if (kind, resolution) != (T.STATE, R.SERVER_WINS)
    ),
    (T.UPDATE_UPDATE, R.MERGE, {"choices": {"city": "local"}}),
    (T.UPDATE_UPDATE, R.MERGE, {"choices": {"city": "server"}}),
    (T.UPDATE_UPDATE, R.MANUAL, {"values": {"city": "Paris"}}),
    (T.CREATE_CREATE, R.MERGE, {"choices": {"city": "local", "phone": "server"}}),
    (T.CREATE_CREATE, R.MANUAL, {"values": {"code": "C-2"}}),
    (T.CALL, R.LOCAL_WINS, None),
    (T.CALL, R.SERVER_WINS, None),
]


def content(request: Request) -> Any:
    """A request but for what counts its sends and names it at the central."""
    plain = replace(
        request, key="", replaces=None, wire=None, sent_at=None, sends=0, refused=False, resource_version=None
    )
    return replace(plain, error_type=None, error_message=None, resource_version=None)


def decided(branch: Branch, kind: ConflictType, resolution: Resolution, more: Any = None) -> Conflict:
    conflict = in_conflict(branch, kind)
    return branch.engine.resolutions.apply(conflict.id, resolution, by="ann", reason="looked", **(more or {}))


def undo(branch: Branch, conflict: Conflict) -> Conflict:
    return branch.engine.resolutions.undo(conflict.id, by="bob")


@pytest.mark.parametrize("schemas", [None, SCHEMAS], ids=["plain", "with-meta"])
@pytest.mark.parametrize(("kind", "resolution", "more"), CELLS)
def test_each_decision_can_be_taken_back_before_anything_is_sent(
    kind: ConflictType, resolution: Resolution, more: Any, schemas: Any
) -> None:
    branch = branch_with(schemas=schemas)
    conflict = in_conflict(branch, kind)
    before = [content(request) for request in branch.requests()]
    documents, ledger = copy.deepcopy(branch.documents.documents), branch.ledger()
    with branch.store.transaction():
        known = branch.store.document(conflict.line)
    branch.engine.resolutions.apply(conflict.id, resolution, by="ann", **(more or {}))

    again = undo(branch, conflict)
    assert again.pending
    assert (again.resolution, again.resolved_by, again.resolved_at, again.values) == (None,) * 4
    assert again.reason == f"bob took back what ann decided: {resolution.value}"
    assert branch.pending() == again
    assert [content(request) for request in branch.requests()] == before
    assert branch.ledger() == ledger
    with branch.store.transaction():
        assert branch.store.document(conflict.line) == known
    assert {key: _values(each) for key, each in branch.documents.documents.items()} == {
        key: _values(each) for key, each in documents.items()
    }
    # It stays with the person, and can be decided once more.
    branch.run()
    assert branch.pending() == again
    other = R.SKIP if kind is T.CALL else R.SERVER_WINS
    branch.engine.resolutions.apply(conflict.id, other, by="ann")
    assert branch.ledger().held == 0


def _values(document: dict[str, Any]) -> dict[str, Any]:
    return {"docstatus": 0, **document}


def test_a_decision_of_a_rule_that_is_taken_back_is_left_to_a_person() -> None:
    branch = branch_with(Strategy.SERVER_WINS)
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo")
    branch.central.edit("Customer", name, city="Bonn")
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    undo(branch, branch.conflict())
    branch.run()
    assert "bob took back what rule:Server Wins decided" in str(branch.pending().reason)


def test_what_was_sent_cannot_be_taken_back() -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, R.LOCAL_WINS)
    branch.run()
    with pytest.raises(NotAllowed, match="has been sent"):
        undo(branch, conflict)


def test_what_was_refused_and_waits_was_sent_too() -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, R.LOCAL_WINS)
    branch.answer(refused(417, "ValidationError"))
    branch.run()
    with pytest.raises(NotAllowed, match="has been sent"):
        undo(branch, conflict)


def test_what_a_run_has_taken_cannot_be_taken_back() -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, R.LOCAL_WINS)
    with branch.store.transaction():
        request = branch.store.get(conflict.local_request_id)
        assert request is not None
        branch.store.replace(replace(request, status=Status.IN_FLIGHT))
    with pytest.raises(NotAllowed, match="has been sent"):
        undo(branch, conflict)


@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS])
def test_after_another_change_here_it_cannot_be_taken_back(resolution: Resolution) -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, resolution)
    branch.update("Customer", "C-1", phone="9")
    before = branch.requests()
    with pytest.raises(NotAllowed, match="changed again here"):
        undo(branch, conflict)
    assert [each.body for each in branch.requests()] == [each.body for each in before]


def test_a_document_that_changed_without_a_request_is_seen_too() -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, R.SERVER_WINS)
    branch.documents.documents["Customer", "C-1"]["phone"] = "9"
    with pytest.raises(NotAllowed, match="changed again here"):
        undo(branch, conflict)


def test_after_the_central_answered_about_the_document_it_cannot_be_taken_back() -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, R.SERVER_WINS)
    document = branch.line_of("Customer", "C-1")
    with branch.store.transaction():
        branch.store.put_document(replace(document, version="2026-02-02 10:00:00.000000"))
    with pytest.raises(NotAllowed, match="answered about this document"):
        undo(branch, conflict)


def test_what_is_submitted_by_a_decision_is_not_made_a_draft_again() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, docstatus=1)
    branch.update("Sale", "S-1", remark="mine")
    branch.run()
    conflict = branch.pending()
    branch.engine.resolutions.apply(conflict.id, R.SERVER_WINS, by="ann")
    with pytest.raises(NotAllowed, match="submitted or cancelled"):
        undo(branch, conflict)
    assert not branch.conflict().pending


def test_where_the_branch_refuses_the_way_back_the_decision_stands() -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, R.SERVER_WINS)
    branch.documents.refuses = "the day is closed"
    with pytest.raises(LocalRefused, match="closed"):
        undo(branch, conflict)
    assert branch.conflict() == conflict


def test_requests_that_were_deleted_cannot_be_taken_back() -> None:
    branch = branch_with()
    conflict = decided(branch, T.UPDATE_UPDATE, R.SERVER_WINS)
    branch.later(1)
    clear_old_requests(branch.ports, 0)
    with pytest.raises(NotAllowed, match="deleted since"):
        undo(branch, conflict)


def test_an_open_conflict_and_an_unknown_one_have_no_decision() -> None:
    branch = branch_with()
    conflict = in_conflict(branch, T.UPDATE_UPDATE)
    with pytest.raises(NotAllowed, match="not decided"):
        undo(branch, conflict)
    with pytest.raises(NotFound):
        branch.engine.resolutions.undo("nope", by="bob")


def test_a_conflict_that_was_discarded_cannot_be_taken_back() -> None:
    branch = branch_with()
    conflict = in_conflict(branch, T.UPDATE_UPDATE)
    with branch.store.transaction():
        branch.store.put_conflict(replace(conflict, resolution_status="resolved", resolved_by="bob"))
    with pytest.raises(NotAllowed, match="was not kept"):
        undo(branch, conflict)


def test_without_documents_here_the_requests_come_back() -> None:
    branch = branch_with(documents=NoDocuments())
    conflict = decided(branch, T.UPDATE_UPDATE, R.SERVER_WINS)
    assert undo(branch, conflict).pending
    assert branch.status(conflict.local_request_id) is Status.CONFLICT
    branch.engine.resolutions.apply(conflict.id, R.LOCAL_WINS, by="ann")
    branch.later(1)
    branch.update("Customer", "C-1", phone="9")
    with pytest.raises(NotAllowed, match="changed again here"):
        undo(branch, conflict)


def test_what_links_to_it_is_kept_from_being_deleted_while_it_is_open_again() -> None:
    """Its requests link again to what they linked to."""
    branch = branch_with(schemas=SCHEMAS)
    branch.synced("Customer", "C-9", code="C-9")
    name = branch.synced("Sale", "S-1", total=1, customer="")
    branch.central.edit("Sale", name, total=5)
    update = branch.update("Sale", "S-1", total=2, customer="C-9", links={"customer": "Customer"})
    branch.run()
    conflict = branch.pending()
    branch.engine.resolutions.apply(conflict.id, R.SERVER_WINS, by="ann")
    undo(branch, conflict)
    with branch.store.transaction():
        line = branch.line_of("Customer", "C-9").id
        assert [each.id for each in branch.store.linkers(line)] == [update]
