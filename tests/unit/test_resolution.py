"""Conflicts: opened with everything open of their document, decided by hook, rule or person, and carried out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from support import Branch, a_branch, refused

from erp_offline_sync.adapters.standalone import NoDocuments
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.deciding.resolution import resolutions_of
from erp_offline_sync.engine.errors import AlreadyDecided, LocalRefused, NotAllowed, NotFound
from erp_offline_sync.engine.model import (
    Conflict,
    ConflictType,
    Document,
    FieldKind,
    Operation,
    Policy,
    Resolution,
    Schema,
    Status,
    Strategy,
)

T, R, K = ConflictType, Resolution, FieldKind
ROW = Schema(fields={"item": K.TEXT, "qty": K.NUMBER})
SCHEMAS = {
    "Customer": Schema(fields={"code": K.TEXT, "city": K.TEXT, "phone": K.TEXT}),
    "Sale": Schema(
        fields={"customer": K.TEXT, "total": K.NUMBER, "remark": K.TEXT},
        tables={"items": ROW},
        links={"customer": "Customer"},
    ),
}
MANUAL = Config(default_strategy=Strategy.MANUAL)


def branch_with(strategy: Strategy = Strategy.MANUAL, *, schemas: Any = None, **more: Any) -> Branch:
    return a_branch(
        config=Config(default_strategy=strategy), schemas=schemas, unique=[("Customer", "code")], **more
    )


def apply(branch: Branch, resolution: Resolution, conflict: Conflict | None = None) -> Conflict:
    pending = conflict or branch.pending()
    return branch.engine.resolutions.apply(pending.id, resolution, by="ann", reason="looked at it")


# one situation a type: what both sides did to one document


def update_update(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, city="Bonn", phone="2")
    branch.update("Customer", "C-1", city="Rome")


def update_delete(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.remove("Customer", name)
    branch.update("Customer", "C-1", city="Rome")


def delete_update(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    branch.delete("Customer", "C-1")


def create_create(branch: Branch) -> None:
    branch.central.insert("Customer", "C-1", code="C-1", city="Bonn", phone="2")
    branch.create("Customer", "C-1", code="C-1", city="Rome", phone="1", request={"unique": {"code": "C-1"}})


def state(branch: Branch) -> None:
    """Submitted here, changed there."""
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, remark="theirs")
    branch.submit("Sale", "S-1", total=2)


def call(branch: Branch) -> None:
    branch.answer(refused(409, None, "the day is closed"))
    branch.call()


SITUATIONS: dict[ConflictType, Callable[[Branch], None]] = {
    T.UPDATE_UPDATE: update_update,
    T.UPDATE_DELETE: update_delete,
    T.DELETE_UPDATE: delete_update,
    T.CREATE_CREATE: create_create,
    T.STATE: state,
    T.CALL: call,
}


def in_conflict(branch: Branch, kind: ConflictType) -> Conflict:
    SITUATIONS[kind](branch)
    branch.run()
    conflict = branch.pending()
    assert conflict.conflict_type is kind
    return conflict


# the table: what each resolution does to each type


@dataclass(frozen=True)
class Cell:
    """What stands on both sides after the decision and the next run; None: no document."""

    here: dict[str, Any] | None
    there: dict[str, Any] | None
    ends: Status = Status.SYNCED
    doctype: str = "Customer"
    name: str = "C-1"


ROME = {"city": "Rome", "phone": "1", "docstatus": 0}
BONN = {"city": "Bonn", "phone": "2", "docstatus": 0}

TABLE: dict[tuple[ConflictType, Resolution], Cell] = {
    (T.UPDATE_UPDATE, R.LOCAL_WINS): Cell({"city": "Rome", "phone": "2"}, {"city": "Rome", "phone": "2"}),
    (T.UPDATE_UPDATE, R.SERVER_WINS): Cell(BONN, BONN, Status.DECIDED),
    (T.UPDATE_UPDATE, R.SKIP): Cell(ROME, BONN, Status.DECIDED),
    (T.UPDATE_DELETE, R.LOCAL_WINS): Cell(ROME, ROME),
    (T.UPDATE_DELETE, R.SERVER_WINS): Cell(None, None, Status.DECIDED),
    (T.UPDATE_DELETE, R.SKIP): Cell(ROME, None, Status.DECIDED),
    (T.DELETE_UPDATE, R.LOCAL_WINS): Cell(None, None),
    (T.DELETE_UPDATE, R.SERVER_WINS): Cell(
        {"city": "Oslo", "phone": "2"}, {"city": "Oslo", "phone": "2"}, Status.DECIDED
    ),
    (T.DELETE_UPDATE, R.SKIP): Cell(None, {"city": "Oslo", "phone": "2"}, Status.DECIDED),
    (T.CREATE_CREATE, R.LOCAL_WINS): Cell(ROME, ROME),
    (T.CREATE_CREATE, R.SERVER_WINS): Cell(BONN, BONN, Status.DECIDED),
    (T.CREATE_CREATE, R.SKIP): Cell(ROME, BONN, Status.DECIDED),
    (T.STATE, R.LOCAL_WINS): Cell(
        {"total": 2, "remark": "theirs", "docstatus": 1},
        {"total": 2, "remark": "theirs", "docstatus": 1},
        doctype="Sale",
        name="S-1",
    ),
    (T.STATE, R.SERVER_WINS): Cell(
        {"total": 1, "remark": "theirs", "docstatus": 0},
        {"total": 1, "remark": "theirs", "docstatus": 0},
        Status.DECIDED,
        doctype="Sale",
        name="S-1",
    ),
    (T.STATE, R.SKIP): Cell(
        {"total": 2, "remark": "", "docstatus": 1},
        {"total": 1, "remark": "theirs", "docstatus": 0},
        Status.DECIDED,
        doctype="Sale",
        name="S-1",
    ),
}


def shows(document: dict[str, Any] | None, expected: dict[str, Any] | None) -> bool:
    if document is None or expected is None:
        return document is expected
    return {field: document.get(field) for field in expected} == expected


@pytest.mark.parametrize("schemas", [None, SCHEMAS], ids=["plain", "with-meta"])
@pytest.mark.parametrize(("kind", "resolution"), TABLE, ids=lambda value: value.value)
def test_each_resolution_does_to_each_type_what_the_table_says(
    kind: ConflictType, resolution: Resolution, schemas: Any
) -> None:
    cell = TABLE[kind, resolution]
    branch = branch_with(schemas=schemas)
    conflict = in_conflict(branch, kind)
    held = conflict.local_request_id
    central_before = copy.deepcopy(branch.central.documents)
    writes = len(branch.central.effects)

    resolved = apply(branch, resolution)
    assert (resolved.resolution, resolved.resolved_by) == (resolution, "ann")
    assert (resolved.resolved_at, resolved.reason) == (branch.clock.now(), "looked at it")
    assert branch.run().reason == "done"

    assert branch.status(held) is cell.ends
    assert shows(branch.here(cell.doctype, cell.name), cell.here)
    (there,) = list(branch.central.documents.get(cell.doctype, {}).values()) or [None]
    assert shows(there, cell.there)
    if cell.ends is Status.DECIDED:
        assert branch.get(held).reason == f"conflict {conflict.id}"
        assert branch.get(held).closed_by == "ann"
        assert len(branch.central.effects) == writes
        assert branch.central.documents == central_before
    if resolution is not R.SKIP and cell.here is not None:
        branch.assert_equal(cell.doctype, cell.name)
        # The next change goes through: both sides know each other's document again.
        branch.update(cell.doctype, cell.name, **{"city": "Kyiv"} if cell.doctype == "Customer" else {})
        branch.run()
        branch.assert_equal(cell.doctype, cell.name)
    assert branch.ledger().waiting == branch.ledger().held == 0


@pytest.mark.parametrize(
    ("resolution", "ends", "sent"),
    [
        (R.LOCAL_WINS, Status.SYNCED, 2),
        (R.SERVER_WINS, Status.DECIDED, 1),
        (R.SKIP, Status.DECIDED, 1),
    ],
)
def test_a_call_is_sent_again_or_given_up(resolution: Resolution, ends: Status, sent: int) -> None:
    branch = branch_with()
    conflict = in_conflict(branch, T.CALL)
    apply(branch, resolution)
    branch.run()
    again = branch.get(conflict.local_request_id)
    assert again.status is ends
    assert len(branch.central.delivered) == sent
    if ends is Status.SYNCED:
        assert again.replaces == again.id != again.key


@pytest.mark.parametrize("kind", [T.UPDATE_DELETE, T.DELETE_UPDATE, T.STATE, T.CALL])
@pytest.mark.parametrize("resolution", [R.MERGE, R.MANUAL])
def test_what_the_table_does_not_name_is_refused_and_nothing_happens(
    kind: ConflictType, resolution: Resolution
) -> None:
    branch = branch_with()
    conflict = in_conflict(branch, kind)
    with pytest.raises(NotAllowed, match=f"{resolution.value} is not possible"):
        apply(branch, resolution)
    assert branch.pending() == conflict


def test_the_table_under_test_is_whole() -> None:
    for kind in ConflictType:
        for resolution in (R.LOCAL_WINS, R.SERVER_WINS, R.SKIP):
            assert kind is T.CALL or (kind, resolution) in TABLE


# refusals


@pytest.mark.parametrize(
    ("kind", "resolution"),
    [
        (T.UPDATE_UPDATE, R.LOCAL_WINS),
        (T.UPDATE_UPDATE, R.SERVER_WINS),
        (T.UPDATE_DELETE, R.SERVER_WINS),
        (T.DELETE_UPDATE, R.SERVER_WINS),
        (T.CREATE_CREATE, R.SERVER_WINS),
        (T.STATE, R.LOCAL_WINS),
        (T.STATE, R.SERVER_WINS),
    ],
)
def test_where_the_branchs_rules_refuse_nothing_happens_and_it_stays_open(
    kind: ConflictType, resolution: Resolution
) -> None:
    branch = branch_with()
    conflict = in_conflict(branch, kind)
    before = branch.requests()
    branch.documents.refuses = "linked to a closed day"
    with pytest.raises(LocalRefused, match="closed day"):
        apply(branch, resolution)
    assert branch.pending() == conflict
    assert branch.requests() == before


@pytest.mark.parametrize("kind", ConflictType)
def test_a_decision_that_the_branch_refuses_leaves_it_to_a_person_with_the_reason(
    kind: ConflictType,
) -> None:
    branch = branch_with(Strategy.SERVER_WINS)
    branch.documents.refuses = "linked to a closed day"
    SITUATIONS[kind](branch)
    branch.run()
    conflict = branch.conflict()
    if kind is T.CALL:
        assert not conflict.pending
        return
    assert conflict.pending
    assert "Server Wins chose server_wins, but: linked to a closed day" in str(conflict.reason)


def test_an_error_inside_a_save_of_the_branch_leaves_it_to_a_person_and_the_run_goes_on() -> None:
    """Some app's hook that is broken; what it says may hold values."""
    branch = branch_with(Strategy.SERVER_WINS)

    def broken(doctype: str, name: str, values: Any) -> None:
        raise AttributeError("city of Ann")

    branch.documents.write = broken  # type: ignore[method-assign]
    update_update(branch)
    other = branch.create("Sale", "S-1", total=1)
    assert branch.run().reason == "done"
    assert branch.status(other) is Status.SYNCED
    reason = str(branch.pending().reason)
    assert "failed here: AttributeError" in reason
    assert "Ann" not in reason


def test_the_second_of_two_people_hears_who_was_faster() -> None:
    branch = branch_with()
    conflict = in_conflict(branch, T.UPDATE_UPDATE)
    apply(branch, R.SERVER_WINS)
    with pytest.raises(AlreadyDecided, match=r"ann already decided this conflict at .*: server_wins"):
        branch.engine.resolutions.apply(conflict.id, R.LOCAL_WINS, by="bob")


def test_a_conflict_that_was_discarded_says_so_to_the_second_person() -> None:
    branch = branch_with()
    conflict = in_conflict(branch, T.UPDATE_UPDATE)
    with branch.store.transaction():
        branch.store.put_conflict(replace(conflict, resolution_status="resolved", resolved_by="bob"))
    with pytest.raises(AlreadyDecided, match="bob already decided"):
        branch.engine.resolutions.apply(conflict.id, R.LOCAL_WINS, by="ann")


def test_a_rule_does_not_undo_what_somebody_decided_while_it_was_looked_up() -> None:
    branch = branch_with(Strategy.MANUAL)

    class Slow:
        def decide(self, conflict: Conflict, merged: Any) -> Any:
            branch.engine.resolutions.apply(conflict.id, R.SKIP, by="ann", reason="quick")
            return None

    object.__setattr__(branch.ports, "resolver", Slow())
    update_update(branch)
    branch.run()
    conflict = branch.conflict()
    assert (conflict.resolution, conflict.resolved_by, conflict.reason) == (R.SKIP, "ann", "quick")


def test_a_document_that_is_not_known_any_more_can_only_be_skipped() -> None:
    """Somebody deleted its row by hand."""
    branch = branch_with()
    in_conflict(branch, T.UPDATE_UPDATE)
    branch.store.document = lambda line: None  # type: ignore[method-assign]
    with pytest.raises(NotAllowed, match="not known any more"):
        apply(branch, R.SERVER_WINS)
    apply(branch, R.SKIP)
    assert branch.ledger().decided == 1


@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS])
def test_what_the_central_has_not_cannot_be_taken_from_there(resolution: Resolution) -> None:
    branch = branch_with()
    conflict = in_conflict(branch, T.CREATE_CREATE)
    with branch.store.transaction():
        branch.store.put_conflict(replace(conflict, server_data=None))
    with pytest.raises(NotAllowed, match="no such document"):
        apply(branch, resolution)


@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS])
def test_a_document_of_the_central_that_is_another_one_here_is_not_taken_twice(
    resolution: Resolution,
) -> None:
    """Linked to the other one while the conflict was open."""
    branch = branch_with()
    in_conflict(branch, T.CREATE_CREATE)
    with branch.store.transaction():
        other = Document(id="l9", doctype="Customer", local_name="C-9", central_name="C-1")
        branch.store.put_document(other)
    with pytest.raises(NotAllowed, match="is C-9 here"):
        apply(branch, resolution)
    assert branch.pending().pending


def test_an_unknown_conflict_is_not_found(branch: Branch) -> None:
    with pytest.raises(NotFound):
        branch.engine.resolutions.apply("nope", R.SKIP, by="ann")


# opening


def test_a_conflict_takes_in_every_open_request_of_its_document_and_no_other() -> None:
    branch = branch_with()
    name = branch.synced("Sale", "S-1", total=1)
    other = branch.synced("Customer", "C-1", code="C-1")
    branch.central.edit("Sale", name, total=9)
    chain = [branch.update("Sale", "S-1", total=2), branch.submit("Sale", "S-1")]
    free = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert [branch.status(request) for request in chain] == [Status.CONFLICT, Status.CONFLICT]
    assert branch.status(free) is Status.SYNCED
    assert branch.there("Customer", other) is not None
    assert branch.pending().conflict_type is T.UPDATE_UPDATE


def test_it_shows_the_document_as_it_stands_here_and_there_and_what_it_was_before() -> None:
    branch = branch_with()
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, city="Bonn")
    branch.update("Customer", "C-1", city="Rome")
    branch.later(30)
    conflict_at = branch.clock.now()
    branch.update("Customer", "C-1", phone="7")
    branch.run()
    conflict = branch.pending()
    assert conflict.local_data is not None
    assert conflict.server_data is not None
    assert conflict.base_data is not None
    assert (conflict.local_data["city"], conflict.local_data["phone"]) == ("Rome", "7")
    assert conflict.server_data["city"] == "Bonn"
    assert (conflict.base_data["city"], conflict.base_data["phone"]) == ("Oslo", "1")
    assert conflict.server_version == branch.central.documents["Customer"][name]["modified"]
    assert conflict.local_changed_at == conflict_at
    assert (conflict.resource_type, conflict.resource_id) == ("Customer", "C-1")


def test_where_the_branch_keeps_no_documents_it_is_put_together_from_the_requests() -> None:
    branch = branch_with(documents=NoDocuments())
    name = branch.synced("Sale", "S-1", total=1, remark="x")
    branch.central.edit("Sale", name, total=9)
    branch.update("Sale", "S-1", total=2)
    branch.submit("Sale", "S-1", remark="y")
    branch.run()
    local = branch.pending().local_data
    assert local is not None
    assert (local["total"], local["remark"]) == (2, "y")
    apply(branch, R.SERVER_WINS)
    assert branch.ledger().decided == 2


def test_what_is_saved_while_a_conflict_is_open_is_decided_with_it() -> None:
    branch = branch_with()
    conflict = in_conflict(branch, T.UPDATE_UPDATE)
    later = branch.update("Customer", "C-1", phone="7")
    branch.run()
    assert branch.status(later) is Status.WAITING
    newest = branch.update("Customer", "C-1", city="Kyiv")
    apply(branch, R.LOCAL_WINS, conflict)
    branch.run()
    branch.assert_equal("Customer", "C-1")
    here = branch.here("Customer", "C-1")
    assert here is not None
    assert (here["city"], here["phone"]) == ("Kyiv", "7")
    assert branch.status(newest) in (Status.SYNCED, Status.MERGED)


def test_what_is_deleted_while_its_conflict_is_open_is_a_delete_against_their_change() -> None:
    branch = branch_with()
    in_conflict(branch, T.UPDATE_UPDATE)
    branch.delete("Customer", "C-1")
    apply(branch, R.LOCAL_WINS)
    branch.run()
    assert branch.names_there("Customer") == []
    assert branch.conflict().conflict_type is T.DELETE_UPDATE


def test_a_decision_about_a_document_without_open_requests_is_kept_all_the_same() -> None:
    """Its requests were ended by somebody in the meantime."""
    branch = branch_with()
    conflict = in_conflict(branch, T.UPDATE_UPDATE)
    with branch.store.transaction():
        held = branch.store.get(conflict.local_request_id)
        assert held is not None
        branch.store.replace(replace(held, status=Status.DISCARDED))
    resolved = apply(branch, R.SERVER_WINS)
    assert not resolved.pending


# who decides


@pytest.mark.parametrize(
    ("strategy", "here_later", "expected"),
    [
        (Strategy.LOCAL_WINS, False, R.LOCAL_WINS),
        (Strategy.SERVER_WINS, True, R.SERVER_WINS),
        (Strategy.LAST_WRITE_WINS, True, R.LOCAL_WINS),
        (Strategy.LAST_WRITE_WINS, False, R.SERVER_WINS),
    ],
)
def test_the_strategy_decides_where_no_hook_does(
    strategy: Strategy, here_later: bool, expected: Resolution
) -> None:
    branch = branch_with(strategy)
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo")
    if here_later:
        branch.central.edit("Customer", name, city="Bonn")
        branch.later(60)
    branch.update("Customer", "C-1", city="Rome")
    if not here_later:
        branch.later(60)
        branch.central.edit("Customer", name, city="Bonn")
    branch.run()
    conflict = branch.conflict()
    assert (conflict.resolution, conflict.resolved_by) == (expected, f"rule:{strategy.value}")
    branch.assert_equal("Customer", "C-1")


def test_the_strategy_of_a_doctype_comes_before_the_sites() -> None:
    branch = branch_with(Strategy.LOCAL_WINS, policies={"Customer": Policy(strategy=Strategy.MANUAL)})
    update_update(branch)
    branch.run()
    assert branch.pending().reason == "a person decides by its policy"


def test_a_deletion_has_no_time_so_that_the_last_write_is_not_known() -> None:
    for uncertain, pending in ((R.SERVER_WINS, False), (R.MANUAL, True)):
        branch = a_branch(config=Config(lww_uncertain=uncertain))
        update_delete(branch)
        branch.run()
        assert branch.conflict().pending is pending


def hook(answer: Any) -> Callable[[str, Any], Any]:
    def decides(conflict_id: str, data: Any) -> Any:
        return answer

    return decides


@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS, R.SKIP])
def test_a_hook_decides_before_any_rule(resolution: Resolution) -> None:
    branch = branch_with()
    branch.registry.register("Customer", hook({"resolution": resolution.value}))
    update_update(branch)
    branch.run()
    conflict = branch.conflict()
    assert conflict.resolution is resolution
    assert str(conflict.resolved_by).startswith("hook:")


def test_a_hook_may_leave_it_to_a_person() -> None:
    branch = branch_with(Strategy.SERVER_WINS)
    branch.registry.register("*", hook({"resolution": "manual"}))
    update_update(branch)
    branch.run()
    assert "left it to a person" in str(branch.pending().reason)


def test_a_hook_that_does_not_want_it_leaves_it_to_the_rule() -> None:
    branch = branch_with(Strategy.SERVER_WINS)
    branch.registry.register("*", hook(None))
    update_update(branch)
    branch.run()
    assert branch.conflict().resolved_by == "rule:Server Wins"


def test_a_hook_that_fails_leaves_it_to_a_person() -> None:
    branch = branch_with(Strategy.SERVER_WINS)

    def fails(conflict_id: str, data: Any) -> Any:
        raise ZeroDivisionError

    branch.registry.register("*", fails)
    update_update(branch)
    branch.run()
    assert "The hook failed: ZeroDivisionError" in str(branch.pending().reason)


@pytest.mark.parametrize("answer", [{"resolution": "hope", "by": "x"}, {"by": "x"}, {"resolution": None}])
def test_a_resolver_that_answers_nonsense_leaves_it_to_a_person(answer: Any) -> None:
    branch = branch_with(Strategy.SERVER_WINS)

    class Nonsense:
        def decide(self, conflict: Conflict, merged: Any) -> Any:
            return answer

    object.__setattr__(branch.ports, "resolver", Nonsense())
    update_update(branch)
    branch.run()
    assert "must answer" in str(branch.pending().reason)


def test_after_three_automatic_decisions_on_one_document_in_a_day_a_person_decides() -> None:
    branch = branch_with(Strategy.SERVER_WINS)
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo")
    for number in range(4):
        branch.central.edit("Customer", name, city=f"there {number}")
        branch.update("Customer", "C-1", city=f"here {number}")
        branch.run()
    assert "decided automatically 3 times" in str(branch.pending().reason)
    apply(branch, R.SERVER_WINS)
    branch.later(timedelta(days=1).total_seconds() + 1)
    branch.central.edit("Customer", name, city="there again")
    branch.update("Customer", "C-1", city="here again")
    branch.run()
    assert not branch.conflict().pending


# what stands behind a cell


def test_made_anew_it_goes_whole_under_its_new_name_and_links_follow() -> None:
    branch = branch_with(schemas=SCHEMAS)
    in_conflict(branch, T.UPDATE_DELETE)
    branch.update("Customer", "C-1", phone="9")
    sale = branch.create("Sale", "S-1", customer="C-1", total=1, links={"customer": "Customer"})
    apply(branch, R.LOCAL_WINS)
    branch.run()
    (name,) = branch.names_there("Customer")
    assert branch.line_of("Customer", "C-1").central_name == name
    assert branch.status(sale) is Status.SYNCED
    (there,) = branch.central.documents["Sale"].values()
    assert there["customer"] == name
    branch.assert_equal("Customer", "C-1")


def test_made_anew_a_submitted_document_is_submitted() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1)
    branch.central.remove("Sale", name)
    submit = branch.submit("Sale", "S-1", remark="x")
    branch.run()
    apply(branch, R.LOCAL_WINS)
    branch.run()
    assert branch.status(submit) is Status.SYNCED
    branch.assert_equal("Sale", "S-1")


def test_gone_on_both_sides_there_is_nothing_to_make_anew() -> None:
    branch = branch_with()
    in_conflict(branch, T.UPDATE_DELETE)
    branch.delete("Customer", "C-1")
    apply(branch, R.LOCAL_WINS)
    branch.run()
    assert branch.names_there("Customer") == []
    assert branch.ledger().held == branch.ledger().waiting == 0


def test_a_document_that_is_gone_here_already_is_not_deleted_twice() -> None:
    branch = branch_with()
    in_conflict(branch, T.UPDATE_DELETE)
    del branch.documents.documents["Customer", "C-1"]
    apply(branch, R.SERVER_WINS)
    assert branch.ledger().decided == 1


def test_values_come_here_under_the_names_that_linked_documents_have_here() -> None:
    branch = branch_with(schemas=SCHEMAS)
    other = branch.synced("Customer", "C-9", code="theirs")
    assert other != "C-9"
    name = branch.synced("Sale", "S-1", total=1, customer="")
    branch.central.edit("Sale", name, customer=other, total=5)
    branch.update("Sale", "S-1", total=2)
    branch.run()
    apply(branch, R.SERVER_WINS)
    here = branch.here("Sale", "S-1")
    assert here is not None
    assert (here["customer"], here["total"]) == ("C-9", 5)


def test_a_field_that_a_document_is_named_by_stays_what_it_is_here() -> None:
    """It follows the name, and the names differ."""
    branch = a_branch(config=MANUAL)
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, code=name, city="Bonn", phone=name)
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    apply(branch, R.SERVER_WINS)
    here = branch.here("Customer", "C-1")
    assert here is not None
    assert (here["code"], here["city"], here["phone"]) == ("C-1", "Bonn", name)


@pytest.mark.parametrize("remark", ["set on the way out", "theirs"])
def test_what_the_policy_sets_on_the_way_out_does_not_come_back(remark: str) -> None:
    """A submitted document would not take it."""
    sets = replace(SCHEMAS["Sale"], outgoing={"remark": "set on the way out"})
    branch = branch_with(schemas={**SCHEMAS, "Sale": sets})
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, remark=remark, total=5)
    branch.update("Sale", "S-1", total=2)
    branch.run()
    apply(branch, R.SERVER_WINS)
    here = branch.here("Sale", "S-1")
    assert here is not None
    assert (here["total"], here["remark"]) == (5, "theirs" if remark == "theirs" else "")


@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS])
def test_what_waited_for_a_document_in_conflict_goes_on_when_it_is_decided(resolution: Resolution) -> None:
    branch = branch_with()
    in_conflict(branch, T.CREATE_CREATE)
    sale = branch.create("Sale", "S-1", customer="C-1", total=1, links={"customer": "Customer"})
    branch.run()
    assert branch.status(sale) is Status.WAITING
    apply(branch, resolution)
    branch.run()
    assert branch.status(sale) is Status.SYNCED


ITEMS = [{"name": "a", "item": "A", "qty": 1}, {"name": "b", "item": "B", "qty": 1}]


@pytest.mark.parametrize("schemas", [None, SCHEMAS], ids=["plain", "with-meta"])
@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS])
def test_rows_are_the_same_rows_on_both_sides_afterwards(resolution: Resolution, schemas: Any) -> None:
    branch = branch_with(schemas=schemas)
    name = branch.synced("Sale", "S-1", total=1, remark="", items=ITEMS)
    theirs = branch.central.documents["Sale"][name]["items"]
    added = {"name": "n1", "item": "N", "qty": 7}
    branch.central.edit("Sale", name, items=[theirs[0], {**theirs[1], "qty": 5}, added], remark="r")
    branch.update("Sale", "S-1", items=[{**ITEMS[0], "qty": 3}, ITEMS[1]])
    branch.run()
    assert branch.pending().conflict_type is T.UPDATE_UPDATE
    apply(branch, resolution)
    branch.run()
    there = branch.central.documents["Sale"][name]["items"]
    here = branch.here("Sale", "S-1")
    assert here is not None
    values = [[(row["item"], row["qty"]) for row in rows] for rows in (here["items"], there)]
    expected = [("A", 1), ("B", 5), ("N", 7)] if resolution is R.SERVER_WINS else [("A", 3), ("B", 1)]
    assert values == [expected, expected]
    # A later change of one row finds the right row over there.
    rows = [dict(row) for row in here["items"]]
    rows[1]["qty"] = 8
    branch.update("Sale", "S-1", items=rows)
    branch.run()
    branch.assert_equal("Sale", "S-1")
    assert [row["qty"] for row in branch.central.documents["Sale"][name]["items"]][1] == 8


def test_a_draft_changed_here_that_was_submitted_there_is_submitted_here_too() -> None:
    """The state is not what was changed here, so that it takes the server's."""
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, docstatus=1)
    branch.update("Sale", "S-1", remark="mine")
    branch.run()
    assert branch.pending().conflict_type is T.STATE
    apply(branch, R.LOCAL_WINS)
    branch.run()
    branch.assert_equal("Sale", "S-1")
    assert branch.central.documents["Sale"][name]["remark"] == "mine"


def test_what_was_cancelled_there_is_not_cancelled_here_by_keeping_our_change() -> None:
    """The central takes no change of it any more: somebody has to look."""
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.submit("Sale", "S-1")
    branch.run()
    branch.central.edit("Sale", name, docstatus=2)
    update = branch.update("Sale", "S-1", remark="mine")
    branch.run()
    apply(branch, R.LOCAL_WINS)
    for _ in range(5):
        branch.run()
        branch.later(60)
    assert branch.status(update) is Status.NEEDS_ATTENTION
    here = branch.here("Sale", "S-1")
    assert here is not None
    assert here["docstatus"] == 1


def test_the_servers_state_comes_here_with_the_servers_values() -> None:
    """Once it is submitted here it would not take them."""
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, docstatus=1, total=7)
    branch.update("Sale", "S-1", total=3)
    branch.run()
    apply(branch, R.SERVER_WINS)
    here = branch.here("Sale", "S-1")
    assert here is not None
    assert (here["total"], here["docstatus"]) == (7, 1)


def test_the_state_of_a_document_that_is_not_kept_here_is_only_learned() -> None:
    branch = branch_with(documents=NoDocuments())
    name = branch.synced("Sale", "S-1", total=1)
    branch.central.edit("Sale", name, docstatus=1)
    branch.update("Sale", "S-1", total=3)
    branch.run()
    apply(branch, R.SERVER_WINS)
    assert branch.line_of("Sale", "S-1").version == branch.central.documents["Sale"][name]["modified"]


def test_a_submitted_create_that_meets_a_draft_of_its_name_submits_that_one() -> None:
    branch = branch_with(schemas=SCHEMAS)
    branch.central.unique = {"Sale": "total"}
    branch.central.insert("Sale", "7", total=7, remark="theirs")
    branch.documents.documents["Sale", "S-1"] = {"name": "S-1", "total": 7, "remark": "x", "docstatus": 1}
    body = {"total": 7, "remark": "x", "docstatus": 1}
    create = branch.queue(Operation.CREATE, "Sale", "S-1", body, unique={"total": 7})
    cancel = branch.cancel("Sale", "S-1")
    branch.run()
    assert branch.pending().conflict_type is T.CREATE_CREATE
    apply(branch, R.LOCAL_WINS)
    branch.run()
    assert [branch.status(create), branch.status(cancel)] == [Status.SYNCED, Status.SYNCED]
    branch.assert_equal("Sale", "S-1")


def test_a_restored_document_does_not_take_the_name_of_a_new_one() -> None:
    """Deleted here, changed there, and the name was given to another document meanwhile."""
    branch = branch_with()
    in_conflict(branch, T.DELETE_UPDATE)
    create = branch.create("Customer", "C-1", code="new", city="Kyiv")
    with pytest.raises((LocalRefused, NotAllowed)):
        apply(branch, R.SERVER_WINS)
    assert branch.pending().pending
    assert branch.here("Customer", "C-1") == {"name": "C-1", "docstatus": 0, "code": "new", "city": "Kyiv"}
    assert branch.status(create) in (Status.PENDING, Status.WAITING)


def older(branch: Branch) -> None:
    """On both sides before the app, and another document each."""
    branch.central.insert("Customer", "C-1", code="C-1", city="Bonn", phone="2")
    branch.documents.documents["Customer", "C-1"] = {
        "name": "C-1",
        "code": "other",
        "city": "Oslo",
        "phone": "1",
    }


@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS])
def test_an_older_document_that_differs_is_the_same_or_another_as_a_person_says(
    resolution: Resolution,
) -> None:
    branch = branch_with()
    older(branch)
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.pending().conflict_type is T.CREATE_CREATE
    apply(branch, resolution)
    branch.run()
    branch.assert_equal("Customer", "C-1")
    assert branch.line_of("Customer", "C-1").central_name == "C-1"


def test_an_older_document_renamed_here_gets_its_new_name_there_where_it_is_the_same() -> None:
    branch = branch_with()
    older(branch)
    rename = branch.rename("Customer", "C-1", "C-2")
    branch.run()
    assert branch.pending().conflict_type is T.CREATE_CREATE
    apply(branch, R.LOCAL_WINS)
    branch.run()
    assert branch.status(rename) is Status.SYNCED
    assert branch.names_there("Customer") == ["C-2"]


def test_made_and_deleted_here_while_the_central_has_another_leaves_that_one_alone() -> None:
    branch = branch_with()
    in_conflict(branch, T.CREATE_CREATE)
    branch.delete("Customer", "C-1")
    apply(branch, R.LOCAL_WINS)
    branch.run()
    assert branch.names_there("Customer") == ["C-1"]
    assert branch.central.documents["Customer"]["C-1"]["city"] == "Bonn"
    assert branch.ledger().held == branch.ledger().waiting == 0


def test_what_is_possible_for_a_type_is_told_in_the_order_of_the_resolutions() -> None:
    """Nothing can be merged where one side has no document."""
    assert resolutions_of(ConflictType.UPDATE_DELETE) == [
        Resolution.LOCAL_WINS,
        Resolution.SERVER_WINS,
        Resolution.SKIP,
    ]
