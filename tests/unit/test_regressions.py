"""Stories in which the simulation, or thinking about it, found the engine wrong; each is told as small as it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import LOST, Branch, a_branch, drain, page, refused

from erp_offline_sync.engine import actions
from erp_offline_sync.engine.errors import AlreadyDecided, LocalRefused, NotAllowed
from erp_offline_sync.engine.model import (
    Conflict,
    ConflictType,
    FieldKind,
    Link,
    Operation,
    Policy,
    Reply,
    Resolution,
    Schema,
    Status,
    Strategy,
)
from erp_offline_sync.testing.model_central import Fault

TEXT = FieldKind.TEXT
CUSTOMER = Schema(fields={"title": TEXT, "city": TEXT, "group": TEXT}, links={"group": "Group"})
SALE = Schema(
    fields={"remark": TEXT, "customer": TEXT},
    links={"customer": "Customer"},
    tables={"items": Schema(fields={"item": TEXT, "qty": FieldKind.NUMBER})},
)
SCHEMAS = {"Customer": CUSTOMER, "Sale": SALE, "Group": Schema(fields={"title": TEXT})}
BY_HAND = {doctype: Policy(strategy=Strategy.MANUAL) for doctype in SCHEMAS}


@pytest.fixture
def branch() -> Branch:
    """People decide every conflict."""
    return a_branch(schemas=SCHEMAS, policies=BY_HAND)


def during_delivery(branch: Branch, act: Callable[[], None]) -> None:
    """`act` happens once, while the next request is on its way."""
    deliver = branch.central.deliver

    def busy(*args: Any, **more: Any) -> Reply:
        branch.central.deliver = deliver  # type: ignore[method-assign]
        act()
        return deliver(*args, **more)

    branch.central.deliver = busy  # type: ignore[method-assign]


def decide(branch: Branch, resolution: Resolution) -> Conflict:
    return branch.engine.resolutions.apply(branch.pending().id, resolution, by="ann")


def older(branch: Branch, doctype: str, name: str, **values: Any) -> None:
    """A document that both sites had before the app."""
    document = branch.central.insert(doctype, name, **values)
    branch.documents.documents[doctype, name] = {
        "name": name,
        "docstatus": 0,
        "creation": document["creation"],
        **values,
    }


# conflicts: the whole document, as it stands


def test_what_is_saved_while_a_conflict_is_open_is_kept_when_the_branch_wins(branch: Branch) -> None:
    """Only what nobody changed here takes the server's values."""
    name = branch.synced("Customer", "C-1", title="Ann", city="Rome")
    branch.central.edit("Customer", name, title="Hanna", city="Oslo")
    branch.update("Customer", "C-1", title="Anna")
    branch.run()
    branch.update("Customer", "C-1", city="Bonn")
    decide(branch, Resolution.LOCAL_WINS)
    branch.run()
    assert branch.here("Customer", "C-1") == {"name": "C-1", "docstatus": 0, "title": "Anna", "city": "Bonn"}
    branch.assert_equal("Customer", "C-1")


def test_what_is_saved_while_a_conflict_is_found_belongs_to_it(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", title="Ann", city="Rome")
    branch.central.edit("Customer", name, title="Hanna")
    branch.update("Customer", "C-1", title="Anna")
    later: list[str] = []
    during_delivery(branch, lambda: later.append(branch.update("Customer", "C-1", city="Bonn")))
    branch.run()
    assert branch.status(later[0]) is Status.CONFLICT
    assert branch.pending().local_changed_at == branch.get(later[0]).last_change


def test_a_document_changed_and_deleted_here_comes_back_where_the_server_wins(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", title="Ann")
    branch.update("Customer", "C-1", title="Anna")
    during_delivery(branch, lambda: None)
    branch.central.edit("Customer", name, title="Hanna")
    delete = branch.delete("Customer", "C-1")
    branch.run()
    assert branch.pending().conflict_type is ConflictType.DELETE_UPDATE
    decide(branch, Resolution.SERVER_WINS)
    assert branch.status(delete) is Status.DECIDED
    branch.assert_equal("Customer", "C-1")


def test_a_document_deleted_while_its_conflict_was_open_is_decided_as_deleted(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", title="Ann")
    branch.central.edit("Customer", name, title="Hanna")
    branch.update("Customer", "C-1", title="Anna")
    branch.run()
    assert branch.pending().conflict_type is ConflictType.UPDATE_UPDATE
    branch.delete("Customer", "C-1")
    decide(branch, Resolution.LOCAL_WINS)
    branch.run()
    assert branch.names_there("Customer") == []


def test_a_document_gone_on_both_sides_needs_nothing_more(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", title="Ann")
    update = branch.update("Customer", "C-1", title="Anna")
    branch.central.remove("Customer", name)
    branch.run()
    branch.delete("Customer", "C-1")
    decide(branch, Resolution.LOCAL_WINS)
    assert branch.status(update) is Status.DECIDED
    assert branch.names_there("Customer") == []


def test_a_document_made_and_deleted_here_leaves_another_one_of_its_name_alone() -> None:
    branch = a_branch(schemas=SCHEMAS, policies=BY_HAND, unique=[("Customer", "title")])
    branch.central.insert("Customer", "Ann", title="Ann", city="Oslo")
    create = branch.create("Customer", "C-1", title="Ann", city="Rome", request={"unique": {"title": "Ann"}})
    branch.run()
    assert branch.pending().conflict_type is ConflictType.CREATE_CREATE
    branch.delete("Customer", "C-1")
    decide(branch, Resolution.LOCAL_WINS)
    branch.run()
    assert branch.status(create) is Status.DECIDED
    assert branch.get(create).closed_by == "ann"
    assert branch.names_there("Customer") == ["Ann"]


def test_what_the_server_submitted_gets_its_values_before_it_is_submitted_here(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", remark="one")
    branch.central.edit("Sale", name, remark="two", docstatus=1)
    branch.update("Sale", "S-1", remark="three")
    branch.run()
    decide(branch, Resolution.SERVER_WINS)
    branch.assert_equal("Sale", "S-1")


def test_the_rows_of_the_branch_win_row_for_row(branch: Branch) -> None:
    """A row that the server added goes, a cell that it changed is changed back."""
    name = branch.synced("Sale", "S-1", items=[{"name": "a", "item": "nail", "qty": 1}])
    rows = branch.there("Sale", name)["items"]  # type: ignore[index]
    branch.central.edit("Sale", name, items=[{**rows[0], "qty": 9}, {"name": "x", "item": "saw", "qty": 1}])
    branch.update("Sale", "S-1", items=[{"name": "a", "item": "nut", "qty": 1}])
    branch.run()
    decide(branch, Resolution.LOCAL_WINS)
    branch.run()
    branch.assert_equal("Sale", "S-1")


def test_a_decision_of_a_person_stands_while_the_rule_is_looked_up(branch: Branch) -> None:
    """Found, and decided by a person before the run came to it."""
    name = branch.synced("Customer", "C-1", title="Ann")
    branch.central.edit("Customer", name, title="Hanna")
    branch.update("Customer", "C-1", title="Anna")

    def hook(conflict_id: str, conflict: Any) -> dict[str, str]:
        branch.engine.resolutions.apply(conflict_id, Resolution.SERVER_WINS, by="ann")
        return {"resolution": "manual"}

    branch.registry.register("Customer", hook)
    branch.run()
    with branch.store.transaction():
        assert branch.store.conflicts() == []
    with pytest.raises(AlreadyDecided, match="ann"):
        branch.engine.resolutions.apply(branch.conflict().id, Resolution.SKIP, by="bob")
    branch.assert_equal("Customer", "C-1")


def test_what_was_merged_here_cannot_be_taken_apart_for_the_server(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", title="Ann")
    branch.synced("Customer", "C-2", title="Anna")
    merge = branch.rename("Customer", "C-1", "C-2", merge=True)
    branch.run()
    assert branch.status(merge) is Status.NEEDS_ATTENTION
    with branch.store.transaction():
        branch.store.replace(replace(branch.get(merge), body={"new_name": "C-2", "merge": True}))
    update = branch.update("Customer", "C-2", title="Johanna")
    branch.run()
    assert branch.status(update) is Status.SYNCED
    branch.central.edit("Customer", name, title="Hanna")
    with branch.store.transaction():
        request = replace(branch.get(merge), status=Status.IN_FLIGHT, lease_token=1)
        branch.store.replace(request)
        conflict = branch.engine.resolutions.open(request, branch.there("Customer", name), token=1)
    assert conflict.local_data is None
    with pytest.raises(LocalRefused, match="merged"):
        decide(branch, Resolution.SERVER_WINS)
    decide(branch, Resolution.SKIP)
    assert branch.status(merge) is Status.DECIDED


def test_a_change_that_both_sides_made_is_no_conflict(branch: Branch) -> None:
    """A rename of ours rewrote a link at the central, as it did here."""
    branch.create("Group", "G", title="g", request={"unique": {"name": "G"}})
    branch.create("Customer", "C-1", links={"group": "Group"}, group="G", title="Ann")
    branch.run()
    name = str(branch.line_of("Customer", "C-1").central_name)
    group = str(branch.line_of("Group", "G").central_name)
    branch.central.links = {"Customer": {"group": "Group"}}
    branch.rename("Group", "G", "H")
    branch.documents.documents["Customer", "C-1"]["group"] = "H"
    branch.run()
    assert branch.there("Customer", name)["group"] != group  # type: ignore[index]
    branch.central.edit("Customer", name)
    update = branch.update("Customer", "C-1", title="Anna")
    branch.run()
    assert branch.status(update) is Status.SYNCED
    with branch.store.transaction():
        assert branch.store.conflicts(pending=False) == []


# which document is meant


def test_a_rename_before_the_first_change_arrived_does_not_hide_an_older_document(branch: Branch) -> None:
    older(branch, "Customer", "Ann", title="Ann", city="Rome")
    update = branch.update("Customer", "Ann", city="Bonn")
    rename = branch.rename("Customer", "Ann", "Anna")
    branch.run()
    assert (branch.status(update), branch.status(rename)) == (Status.SYNCED, Status.SYNCED)
    assert branch.there("Customer", "Anna")["city"] == "Bonn"  # type: ignore[index]


def test_a_rename_saved_while_the_document_is_looked_up_does_not_hide_it_either(branch: Branch) -> None:
    older(branch, "Customer", "Ann", title="Ann", city="Rome")
    branch.central.edit("Customer", "Ann", title="Hanna")
    branch.update("Customer", "Ann", city="Bonn")
    fetch = branch.central.fetch

    def slow(doctype: str, name: str) -> Reply:
        branch.central.fetch = fetch  # type: ignore[method-assign]
        branch.rename("Customer", "Ann", "Anna")
        return fetch(doctype, name)

    branch.central.fetch = slow  # type: ignore[method-assign]
    branch.run()
    assert branch.pending().conflict_type is ConflictType.UPDATE_UPDATE


def test_an_older_document_that_differs_already_is_looked_into_before_its_first_change(
    branch: Branch,
) -> None:
    """The same one by its creation; both sites are equal afterwards."""
    older(branch, "Customer", "Ann", title="Ann", city="Rome")
    branch.central.edit("Customer", "Ann", title="Hanna")
    branch.update("Customer", "Ann", city="Bonn")
    branch.run()
    decide(branch, Resolution.LOCAL_WINS)
    branch.run()
    branch.assert_equal("Customer", "Ann")
    assert branch.here("Customer", "Ann")["title"] == "Hanna"  # type: ignore[index]


def test_another_document_of_that_name_is_asked_about_as_one(branch: Branch) -> None:
    branch.central.insert("Customer", "Ann", title="Somebody else", city="Oslo")
    branch.documents.documents["Customer", "Ann"] = {"name": "Ann", "title": "Ann", "city": "Rome"}
    branch.update("Customer", "Ann", city="Bonn")
    branch.run()
    assert branch.pending().conflict_type is ConflictType.CREATE_CREATE
    decide(branch, Resolution.LOCAL_WINS)
    branch.run()
    branch.assert_equal("Customer", "Ann")


def test_a_document_with_open_changes_is_still_the_one_that_others_link_to(branch: Branch) -> None:
    """A link does not wait for updates of what it names."""
    older(branch, "Customer", "Ann", title="Ann", city="Rome")
    branch.central.rules.append(
        lambda doctype, body: refused(417, "ValidationError") if body.get("city") == "Bonn" else None
    )
    branch.update("Customer", "Ann", city="Bonn")
    sale = branch.create("Sale", "S-1", links={"customer": "Customer"}, customer="Ann", remark="one")
    branch.run()
    assert branch.status(sale) is Status.SYNCED


def test_a_document_of_the_central_is_at_most_one_of_ours(branch: Branch) -> None:
    """Its name differs here; another one of that name is not taken for it."""
    branch.central.unique = {"Customer": "title"}
    branch.create("Customer", "C-1", title="Ann", request={"unique": {"title": "Ann"}})
    branch.run()
    second = branch.create("Customer", "C-2", title="Ann", request={"unique": {"title": "Ann"}})
    sale = branch.create("Sale", "S-1", links={"customer": "Customer"}, customer="Ann")
    branch.documents.documents["Customer", "Ann"] = {"name": "Ann", "title": "Ann"}
    update = branch.update("Customer", "Ann", city="Bonn")
    branch.run()
    for request in (second, sale, update):
        assert branch.status(request) is Status.NEEDS_ATTENTION
        assert "is C-1 here" in str(branch.get(request).error_message)


def test_a_conflict_is_not_decided_onto_a_document_that_is_ours_already(branch: Branch) -> None:
    branch.central.unique = {"Customer": "title"}
    branch.central.insert("Customer", "Ann", title="Ann", city="Oslo")
    branch.create("Customer", "C-1", title="Ann", city="Rome", request={"unique": {"title": "Ann"}})
    branch.run()
    with branch.store.transaction():
        line = branch.line_of("Customer", "C-1")
        branch.store.put_document(replace(line, id="another", local_name="C-9", central_name="Ann"))
    with pytest.raises(NotAllowed, match="C-9"):
        decide(branch, Resolution.LOCAL_WINS)


def test_a_name_that_was_free_at_the_central_is_nobody_elses_any_more(branch: Branch) -> None:
    """Deleted there unseen, made anew here: the first one must not write into the second."""
    branch.central.unique = {"Group": "title"}
    first = branch.synced("Group", "A", title="red")
    branch.central.remove("Group", first)
    branch.synced("Group", "B", title="red")
    assert branch.line_of("Group", "B").central_name == first
    assert branch.line_of("Group", "A").central_name is None


def test_the_successor_of_a_deleted_document_is_not_written_in_its_name(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", title="Ann", city="Rome")
    branch.central.edit("Customer", name, title="Hanna")
    branch.update("Customer", "C-1", title="Anna")
    branch.run()
    held = branch.pending().local_request_id
    delete = branch.delete("Customer", "C-1")
    branch.run()
    actions.discard(branch.ports, delete, reason="kept there", by="ann")
    branch.create("Customer", "C-1", title="Another", city="Bonn")
    branch.run()
    decide(branch, Resolution.LOCAL_WINS)
    assert branch.status(held) is Status.PENDING
    here = branch.here("Customer", "C-1")
    assert here is not None
    assert (here["title"], here["city"]) == ("Another", "Bonn")


def test_a_rename_onto_a_name_waits_until_it_is_free(branch: Branch) -> None:
    for name in ("A", "B"):
        branch.synced("Group", name, title=name)
    delete = branch.delete("Group", "B")
    rename = branch.rename("Group", "A", "B")
    with branch.store.transaction():
        branch.engine._placer.place_all()
    assert branch.get(rename).waits_for == delete


# sent, and not answered


def test_a_retry_looks_for_what_may_have_arrived(branch: Branch) -> None:
    """The last of the unanswered sends had its effect."""
    create = branch.create("Customer", "C-1", title="Ann")
    branch.answer(*[LOST] * 3)
    branch.central.faults.append(Fault(LOST, applies=True))
    for _ in range(8):
        branch.run()
        branch.later(130)
    assert branch.status(create) is Status.NEEDS_ATTENTION
    with pytest.raises(NotAllowed, match="may have arrived"):
        actions.send_whole(branch.ports, create, by="ann")
    actions.retry(branch.ports, create, by="ann")
    assert branch.status(create) is Status.IN_DOUBT
    branch.later(130)
    branch.run()
    assert len(branch.names_there("Customer")) == 1


def test_a_retry_looks_for_what_no_look_up_found_out(branch: Branch) -> None:
    """The rename arrived and its answer did not; looking for it was answered with a page each time."""
    branch.synced("Customer", "C-1", title="Ann")
    rename = branch.rename("Customer", "C-1", "C-2")
    branch.answer(page(502, retry_after="1"), applies=True)
    branch.run()
    fetch = branch.central.fetch
    branch.central.fetch = lambda doctype, name: page(404)  # type: ignore[method-assign]
    drain(branch)
    assert branch.status(rename) is Status.NEEDS_ATTENTION
    branch.central.fetch = fetch  # type: ignore[method-assign]
    actions.retry(branch.ports, rename, by="ann")
    assert branch.status(rename) is Status.IN_DOUBT
    drain(branch)
    assert branch.status(rename) is Status.SYNCED
    assert branch.names_there("Customer") == ["C-2"]


def test_what_somebody_wrote_over_a_change_that_got_no_answer_is_seen(branch: Branch) -> None:
    """The repeat finds its own values there, and others that nobody here has."""
    name = branch.synced("Customer", "C-1", title="Ann", city="Rome")
    branch.central.faults.append(Fault(LOST, applies=True))
    update = branch.update("Customer", "C-1", title="Anna")
    probe = branch.central.probe

    def somebody_writes() -> Reply:
        branch.central.probe = probe  # type: ignore[method-assign]
        branch.central.edit("Customer", name, city="Oslo")
        return probe()

    branch.central.probe = somebody_writes  # type: ignore[method-assign]
    branch.run()
    assert branch.status(update) is Status.SYNCED
    branch.update("Customer", "C-1", title="Johanna")
    branch.run()
    decide(branch, Resolution.LOCAL_WINS)
    branch.run()
    branch.assert_equal("Customer", "C-1")
    assert branch.here("Customer", "C-1")["city"] == "Oslo"  # type: ignore[index]


def test_too_many_candidates_are_a_persons(branch: Branch) -> None:
    """The look-up shows a thousand at most: that the lost one is not among them says nothing."""
    create = branch.create("Customer", "C-1", title="Ann")
    branch.central.faults.append(Fault(LOST, late=100))
    branch.run()
    for number in range(1010):
        branch.create("Customer", f"C-9{number}", title=str(number))
    branch.run(budget=1e6)
    branch.later(125)
    branch.run()
    assert branch.status(create) is Status.NEEDS_ATTENTION
    assert "Too many" in str(branch.get(create).error_message)


def test_a_create_in_doubt_waits_anew_after_the_clock_was_set_back(branch: Branch) -> None:
    create = branch.create("Customer", "C-1", title="Ann")
    branch.central.faults.append(Fault(LOST, late=60))
    branch.run()
    branch.clock.jump(-86_400)
    branch.run()
    assert branch.status(create) is Status.IN_DOUBT
    branch.later(130)
    branch.central.clock_now = lambda: branch.clock.now() + timedelta(days=1)
    branch.run()
    assert len(branch.names_there("Customer")) == 1


# one request and the rest


@pytest.mark.parametrize("answer", [page(404), page(502), refused(500, "AttributeError"), LOST])
def test_one_request_that_is_always_answered_so_does_not_stop_the_others(
    branch: Branch, answer: Reply
) -> None:
    """The probe is good each time: it is not the central that is out of order."""
    bad = branch.create("Customer", "C-1", title="bad", request={"priority": 0, "rank": 0})
    others = [branch.create("Customer", f"C-{number}", title=str(number)) for number in range(2, 30)]
    deliver = branch.central.deliver
    branch.central.deliver = (  # type: ignore[method-assign]
        lambda wire, *, key: answer if '"bad"' in str(wire.body) else deliver(wire, key=key)
    )
    for _ in range(40):
        branch.run(budget=1e6)
        branch.later(60)
    assert {branch.status(other) for other in others} == {Status.SYNCED}
    assert branch.status(bad) is Status.NEEDS_ATTENTION


@pytest.mark.parametrize("answer", [refused(500, "AttributeError"), LOST], ids=["500", "time-out"])
def test_one_in_the_middle_of_five_hundred_holds_up_no_other_in_the_first_pass(
    branch: Branch, answer: Reply
) -> None:
    requests = [branch.create("Customer", f"C-{number}", title=str(number)) for number in range(500)]
    deliver = branch.central.deliver
    branch.central.deliver = (  # type: ignore[method-assign]
        lambda wire, *, key: answer if key == requests[250] else deliver(wire, key=key)
    )
    branch.run(budget=1e6)
    statuses = [branch.status(request) for request in requests]
    assert statuses.count(Status.SYNCED) == 499
    assert statuses[250] is not Status.SYNCED
    assert len(branch.names_there("Customer")) == 499


@pytest.mark.parametrize("answer", [refused(403, "PermissionError"), refused(500, "AttributeError"), LOST])
def test_one_document_that_cannot_be_looked_at_does_not_stop_the_others(
    branch: Branch, answer: Reply
) -> None:
    older(branch, "Customer", "Ann", title="Ann")
    bad = branch.update("Customer", "Ann", title="Anna")
    other = branch.create("Customer", "C-2", title="two")
    branch.central.fetch = lambda doctype, name: answer  # type: ignore[method-assign]
    for _ in range(40):
        branch.run(budget=1e6)
        branch.later(60)
    assert branch.status(other) is Status.SYNCED
    assert branch.status(bad) is Status.NEEDS_ATTENTION


@pytest.mark.parametrize("answer", [refused(403, "PermissionError"), refused(503, "SessionStopped"), LOST])
def test_a_doubt_that_cannot_be_looked_up_does_not_stop_the_others(branch: Branch, answer: Reply) -> None:
    name = branch.synced("Customer", "C-1", title="Ann")
    delete = branch.delete("Customer", "C-1")
    branch.central.faults.append(Fault(LOST))
    fetch = branch.central.fetch
    during_delivery(branch, lambda: setattr(branch.central, "fetch", lambda doctype, name: answer))
    branch.run()
    other = branch.create("Customer", "C-2", title="two")
    for _ in range(20):
        branch.run(budget=1e6)
        branch.later(60)
    assert branch.status(other) is Status.SYNCED
    branch.central.fetch = fetch  # type: ignore[method-assign]
    if branch.status(delete) is Status.NEEDS_ATTENTION:
        actions.retry(branch.ports, delete, by="ann")
    branch.run()
    assert name not in branch.names_there("Customer")


def test_what_nothing_can_be_sent_for_is_held_and_the_rest_goes(branch: Branch) -> None:
    """Its links name a row that its body does not have; a rename to nothing."""
    link = Link(path="items.7.item", doctype="Item", name="nail")
    broken = branch.queue(Operation.CREATE, "Sale", "S-1", {"items": []}, links=(link,))
    branch.synced("Customer", "C-9", title="nine")
    nowhere = branch.queue(Operation.RENAME, "Customer", "C-9", {"merge": False})
    other = branch.create("Customer", "C-2", title="two")
    branch.run()
    assert branch.status(broken) is Status.NEEDS_ATTENTION
    assert branch.status(nowhere) is Status.NEEDS_ATTENTION
    assert branch.status(other) is Status.SYNCED


def test_the_central_missing_a_link_is_not_the_document_gone(branch: Branch) -> None:
    """Both are answered with 404 and the same type."""
    name = branch.synced("Customer", "C-1", title="Ann")
    update = branch.update("Customer", "C-1", title="Anna")
    branch.answer(refused(404, "DoesNotExistError"))
    branch.run()
    assert branch.status(update) is Status.RETRY
    assert branch.here("Customer", "C-1") is not None
    assert branch.there("Customer", name) is not None


def test_three_lock_waits_are_free_in_a_row_only(branch: Branch) -> None:
    create = branch.create("Customer", "C-1", title="Ann")
    lock = refused(500, "QueryDeadlockError")
    branch.answer(lock, lock, refused(417, "ValidationError"), lock, lock)
    for _ in range(6):
        branch.run()
        branch.later(10)
    assert branch.status(create) is Status.SYNCED
    assert branch.get(create).retry_count == 1


def test_what_waits_for_a_request_on_its_way_raises_its_rank_for_good(branch: Branch) -> None:
    create = branch.create("Customer", "C-1", title="Ann")
    branch.answer(refused(417, "ValidationError"))

    def somebody_saves() -> None:
        more = {"rank": 1, "priority": 1}
        branch.create("Sale", "S-1", links={"customer": "Customer"}, customer="C-1", request=more)
        with branch.store.transaction():
            branch.engine._placer.place_all()

    during_delivery(branch, somebody_saves)
    branch.run()
    assert branch.status(create) is Status.RETRY
    assert branch.get(create).rank == 1


def test_discarding_takes_along_what_was_saved_a_moment_ago(branch: Branch) -> None:
    create = branch.create("Customer", "C-1", title="Ann")
    update = branch.update("Customer", "C-1", title="Anna")
    sale = branch.create("Sale", "S-1", links={"customer": "Customer"}, customer="C-1")
    with branch.store.transaction():
        branch.engine._placer.place_some(1)
    actions.discard(branch.ports, create, reason="a test", by="ann", take_along=True)
    assert branch.status(update) is Status.MERGED
    assert branch.status(sale) is Status.NEEDS_ATTENTION


def test_a_row_that_was_put_back_can_be_removed_again(branch: Branch) -> None:
    """It has its old name here and a new one at the central."""
    row = {"name": "a", "item": "nail", "qty": 1}
    name = branch.synced("Sale", "S-1", items=[row])
    for rows in ([], [row], []):
        branch.update("Sale", "S-1", items=rows)
        branch.run()
    assert branch.there("Sale", name)["items"] == []  # type: ignore[index]


def test_a_link_waits_for_what_is_made_whole_later(branch: Branch) -> None:
    """Another one stands under its name at the central, and even looks like it."""
    branch.documents.documents["Group", "G"] = {"name": "G", "title": "one"}
    branch.create("Customer", "C-1", links={"group": "Group"}, group="G", title="Ann")
    with branch.store.transaction():
        branch.engine._placer.place_all()
    update = branch.update("Group", "G", title="two")
    with branch.store.transaction():
        branch.engine._placer.place_all()
        held = replace(branch.get(update), status=Status.NEEDS_ATTENTION)
        branch.store.replace(held)
    actions.send_whole(branch.ports, update, by="ann")
    branch.central.insert("Group", "G", title="two")
    branch.run()
    assert branch.status(update) is Status.SYNCED
    group = branch.line_of("Group", "G").central_name
    assert group != "G"
    (customer,) = branch.central.documents["Customer"].values()
    assert customer["group"] == group


def test_what_is_deleted_here_is_its_document_until_the_delete_arrived(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", title="Ann")
    delete = branch.delete("Customer", "C-1")
    branch.answer(refused(403, "PermissionError"))
    branch.run()
    assert branch.status(delete) is Status.NEEDS_ATTENTION
    branch.documents.documents["Customer", name] = {"name": name, "title": "Ann"}
    update = branch.update("Customer", name, title="Anna")
    branch.run()
    assert branch.status(update) is Status.NEEDS_ATTENTION
    assert branch.there("Customer", name)["title"] == "Ann"  # type: ignore[index]


def test_a_conflict_can_always_be_left_as_it_is(branch: Branch) -> None:
    """Even where the central's document turned out to be another of ours."""
    name = branch.synced("Customer", "C-1", title="Ann")
    branch.central.edit("Customer", name, title="Hanna")
    update = branch.update("Customer", "C-1", title="Anna")
    branch.run()
    with branch.store.transaction():
        line = branch.line_of("Customer", "C-1")
        branch.store.put_document(replace(line, id="another", local_name="C-9"))
    decide(branch, Resolution.SKIP)
    assert branch.status(update) is Status.DECIDED


@pytest.mark.parametrize("operation", [Operation.RENAME, Operation.DELETE])
def test_another_document_made_under_the_old_name_is_not_the_one_in_doubt(
    branch: Branch, operation: Operation
) -> None:
    """The rename or delete had its effect, and somebody took the name before it was looked up."""
    name = branch.synced("Group", "G", title="one")
    branch.central.faults.append(Fault(LOST, applies=True))
    request = (
        branch.rename("Group", "G", "H") if operation is Operation.RENAME else branch.delete("Group", "G")
    )
    probe = branch.central.probe

    def somebody_makes_one() -> Reply:
        branch.central.probe = probe  # type: ignore[method-assign]
        branch.later(1)
        branch.central.insert("Group", name, title="another")
        return probe()

    branch.central.probe = somebody_makes_one  # type: ignore[method-assign]
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.there("Group", name)["title"] == "another"  # type: ignore[index]
    if operation is Operation.RENAME:
        assert branch.line_of("Group", "H").central_name == "H"


def test_a_submit_that_cannot_be_taken_back_here_keeps_the_conflict_open(branch: Branch) -> None:
    """Saved and submitted here while the central's draft was changed: the server's draft cannot be had any more."""
    name = branch.synced("Sale", "S-1", remark="one")
    branch.central.edit("Sale", name, remark="two")
    branch.update("Sale", "S-1", remark="three")
    branch.submit("Sale", "S-1")
    branch.run()
    assert branch.pending().conflict_type is ConflictType.UPDATE_UPDATE
    set_docstatus = branch.documents.set_docstatus

    def submitted(doctype: str, name: str, docstatus: int) -> None:
        if docstatus == 0:
            raise LocalRefused("it is submitted")
        set_docstatus(doctype, name, docstatus)

    branch.documents.set_docstatus = submitted  # type: ignore[method-assign]
    with pytest.raises(LocalRefused):
        decide(branch, Resolution.SERVER_WINS)
    assert branch.pending()
    assert branch.statuses()[1:] == [Status.CONFLICT, Status.CONFLICT]
