"""Merge and manual: both sides become the result, the central first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import Branch, a_branch, page, refused
from test_resolution import SCHEMAS, branch_with, create_create, hook, update_update

from erp_offline_sync.adapters.standalone import NoDocuments
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.deciding.presentation import State, compare
from erp_offline_sync.engine.errors import InvalidRequest, LocalRefused, NotAllowed
from erp_offline_sync.engine.merge import Side
from erp_offline_sync.engine.model import (
    Conflict,
    ConflictType,
    Json,
    Operation,
    Policy,
    Resolution,
    Status,
    Strategy,
)

R, T = Resolution, ConflictType
BOTH = pytest.mark.parametrize("schemas", [None, SCHEMAS], ids=["plain", "with-meta"])


def apply(branch: Branch, resolution: Resolution = R.MERGE, **more: Any) -> Conflict:
    return branch.engine.resolutions.apply(branch.pending().id, resolution, by="ann", **more)


def here(branch: Branch, doctype: str = "Customer", name: str = "C-1") -> dict[str, Any]:
    document = branch.here(doctype, name)
    assert document is not None
    return document


def there(branch: Branch, doctype: str = "Customer") -> dict[str, Any]:
    (document,) = branch.central.documents[doctype].values()
    return document


def clashing(branch: Branch) -> None:
    """Both changed the city; the phone was changed there, the code here."""
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, city="Bonn", phone="2")
    branch.update("Customer", "C-1", city="Rome", code="D-1")
    branch.run()


# the rule


@BOTH
def test_what_does_not_clash_is_merged_without_anybody(schemas: Any) -> None:
    branch = branch_with(Strategy.FIELD_MERGE, schemas=schemas)
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    update = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    conflict = branch.conflict()
    assert (conflict.resolution, conflict.resolved_by) == (R.MERGE, "rule:Field Merge")
    assert conflict.reason == "what both sides changed goes together"
    assert branch.status(update) is Status.SYNCED
    assert (here(branch)["city"], here(branch)["phone"]) == ("Rome", "2")
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize(("here_later", "city"), [(True, "Rome"), (False, "Bonn")])
def test_what_clashes_goes_to_the_last_write_and_the_rest_is_merged(here_later: bool, city: str) -> None:
    branch = branch_with(Strategy.FIELD_MERGE, schemas=SCHEMAS)
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    if here_later:
        branch.central.edit("Customer", name, city="Bonn", phone="2")
        branch.later(60)
    branch.update("Customer", "C-1", city="Rome", code="D-1")
    if not here_later:
        branch.later(60)
        branch.central.edit("Customer", name, city="Bonn", phone="2")
    branch.run()
    branch.run()
    conflict = branch.conflict()
    assert conflict.resolution is R.MERGE
    assert "both sides changed city; changed" in str(conflict.reason)
    assert {key: here(branch)[key] for key in ("city", "phone", "code")} == {
        "city": city,
        "phone": "2",
        "code": "D-1",
    }
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize("where", ["site", "policy"])
def test_what_clashes_may_be_left_to_a_person(where: str) -> None:
    manual = Strategy.MANUAL
    config = Config(
        default_strategy=Strategy.FIELD_MERGE,
        merge_clashes=manual if where == "site" else Strategy.LAST_WRITE_WINS,
    )
    policies = {"Customer": Policy(merge_clashes=manual)} if where == "policy" else None
    branch = a_branch(config=config, policies=policies)
    clashing(branch)
    assert branch.pending().reason == "both sides changed city; a person decides"


def test_a_merge_whose_clashes_count_as_equally_old_goes_as_the_setting_says() -> None:
    for uncertain, pending in ((R.SERVER_WINS, False), (R.MANUAL, True)):
        branch = a_branch(config=Config(default_strategy=Strategy.FIELD_MERGE, lww_uncertain=uncertain))
        clashing(branch)
        assert branch.conflict().pending is pending


@pytest.mark.parametrize("clashes", [Strategy.LAST_WRITE_WINS, Strategy.MANUAL])
def test_what_cannot_be_merged_goes_as_what_clashes(clashes: Strategy) -> None:
    branch = a_branch(config=Config(default_strategy=Strategy.FIELD_MERGE, merge_clashes=clashes))
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo")
    branch.central.remove("Customer", name)
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    conflict = branch.conflict()
    assert conflict.conflict_type is T.UPDATE_DELETE
    assert conflict.pending is (clashes is Strategy.MANUAL)


# a person


@BOTH
@pytest.mark.parametrize(("side", "city"), [("local", "Rome"), ("server", "Bonn")])
def test_a_person_chooses_a_side_for_each_clash(side: str, city: str, schemas: Any) -> None:
    branch = branch_with(schemas=schemas)
    clashing(branch)
    decided = apply(branch, choices={"city": side})
    assert decided.choices == {"city": side}
    assert decided.values is not None
    assert decided.values["city"] == city
    before = dict(here(branch))
    assert before["phone"] == "1", "nothing is written here before the central has accepted"
    branch.run()
    branch.run()
    expected = {"city": city, "phone": "2", "code": "D-1"}
    assert {key: there(branch)[key] for key in expected} == expected
    branch.assert_equal("Customer", "C-1")
    branch.update("Customer", "C-1", city="Kyiv")
    branch.run()
    branch.assert_equal("Customer", "C-1")
    assert branch.ledger().waiting == branch.ledger().held == 0


def test_without_a_choice_it_says_what_clashes_and_nothing_happens() -> None:
    branch = branch_with()
    clashing(branch)
    conflict = branch.pending()
    with pytest.raises(InvalidRequest, match="no side was chosen: city"):
        apply(branch)
    assert branch.pending() == conflict


@BOTH
def test_by_hand_the_values_are_what_both_sides_get(schemas: Any) -> None:
    branch = branch_with(schemas=schemas)
    clashing(branch)
    decided = apply(branch, R.MANUAL, values={"city": "Paris"})
    assert (decided.resolution, decided.choices) == (R.MANUAL, None)
    branch.run()
    branch.run()
    assert (here(branch)["city"], here(branch)["phone"], here(branch)["code"]) == ("Paris", "2", "D-1")
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize("values", [None, {}])
def test_by_hand_without_values_is_refused(values: Any) -> None:
    branch = branch_with()
    clashing(branch)
    with pytest.raises(InvalidRequest, match="needs the values"):
        apply(branch, R.MANUAL, values=values)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"naming": "x"}, "naming is not a field"),
        ({"items[a].weight": 1}, "not a field"),
        ({"total[a].qty": 1}, "not a field"),
        ({"items[nobody].qty": 1}, "no row nobody"),
        ({"items[a]": {}}, "names neither"),
        ({"items.0.qty": 1}, "names neither"),
        ({"items": "none"}, "is a table"),
    ],
)
def test_values_are_of_synced_fields_and_rows_that_are_there(values: Any, why: str) -> None:
    branch = with_rows()
    with pytest.raises(InvalidRequest, match=why):
        apply(branch, R.MANUAL, values={"total": 1, **values})


@pytest.mark.parametrize("more", [{"choices": {"city": "local"}}, {"values": {"city": "Rome"}}])
def test_choices_and_values_belong_to_a_merge(more: Any) -> None:
    branch = branch_with()
    clashing(branch)
    with pytest.raises(InvalidRequest, match="belong to merge and manual"):
        apply(branch, R.LOCAL_WINS, **more)


def test_a_side_has_a_name() -> None:
    branch = branch_with()
    clashing(branch)
    with pytest.raises(InvalidRequest, match="'local' or 'server'"):
        apply(branch, choices={"city": "mine"})


# hooks


def test_a_hook_merges_and_gives_values_for_what_clashes() -> None:
    branch = branch_with()
    branch.registry.register("*", hook({"resolution": "merge", "values": {"city": "Paris"}}))
    clashing(branch)
    branch.run()
    conflict = branch.conflict()
    assert (conflict.resolution, conflict.reason) == (R.MERGE, "decided by hook:hook.<locals>.decides")
    assert (here(branch)["city"], here(branch)["phone"]) == ("Paris", "2")
    branch.assert_equal("Customer", "C-1")


def test_a_merge_of_a_hook_that_leaves_clashes_open_needs_a_person() -> None:
    branch = branch_with()
    branch.registry.register("*", hook({"resolution": "merge"}))
    clashing(branch)
    assert "no side was chosen: city" in str(branch.pending().reason)


def test_a_hook_sees_what_both_sides_come_to() -> None:
    branch, seen = branch_with(), []

    def looks(conflict_id: str, data: Any) -> None:
        seen.append(data["merge"])

    branch.registry.register("*", looks)
    clashing(branch)
    (merge,) = seen
    assert merge["values"]["phone"] == "2"
    assert [(clash["base"], clash["local"], clash["server"]) for clash in merge["clashes"]] == [
        ("Oslo", "Rome", "Bonn")
    ]
    assert branch.engine.resolutions.data(branch.pending())["merge"] == merge


def test_a_call_has_nothing_to_merge() -> None:
    branch = branch_with()
    branch.answer(refused(409, None, "the day is closed"))
    branch.call()
    branch.run()
    assert branch.engine.resolutions.data(branch.pending())["merge"] is None


# rows

ROWS: list[dict[str, Any]] = [
    {"name": "a", "item": "A", "qty": 1},
    {"name": "b", "item": "B", "qty": 1},
    {"name": "c", "item": "C", "qty": 1},
]


def with_rows(schemas: Any = SCHEMAS, **more: Any) -> Branch:
    """Here: A has 3, C is gone, D is new. There: B has 5, N is new."""
    branch = branch_with(schemas=schemas, **more)
    name = branch.synced("Sale", "S-1", total=1, remark="", items=ROWS)
    rows = branch.central.documents["Sale"][name]["items"]
    changed = [rows[0], {**rows[1], "qty": 5}, rows[2], {"name": "n1", "item": "N", "qty": 7}]
    branch.central.edit("Sale", name, items=changed)
    branch.update("Sale", "S-1", items=[{**ROWS[0], "qty": 3}, ROWS[1], {"name": "d", "item": "D", "qty": 4}])
    branch.run()
    assert branch.pending().conflict_type is T.UPDATE_UPDATE
    return branch


@BOTH
def test_tables_are_merged_row_by_row_and_the_rows_are_the_same_afterwards(schemas: Any) -> None:
    branch = with_rows(schemas)
    apply(branch)
    branch.run()
    branch.run()
    expected = [("A", 3), ("B", 5), ("D", 4), ("N", 7)]
    for side in (here(branch, "Sale", "S-1"), there(branch, "Sale")):
        assert sorted((row["item"], row["qty"]) for row in side["items"]) == expected
    branch.assert_equal("Sale", "S-1")
    rows = [{**row, "qty": row["qty"] + 1} for row in here(branch, "Sale", "S-1")["items"]]
    branch.update("Sale", "S-1", items=rows)
    branch.run()
    branch.assert_equal("Sale", "S-1")
    assert sorted(row["qty"] for row in there(branch, "Sale")["items"]) == [4, 5, 6, 8]


@pytest.mark.parametrize(("row", "item"), [("b", "B"), ("d", "D"), ("n1", "N")])
def test_one_field_of_one_row_may_be_given(row: str, item: str) -> None:
    """Of one that both have, that was added here, or there."""
    branch = with_rows()
    apply(branch, R.MANUAL, values={f"items[{row}].qty": 9})
    branch.run()
    branch.run()
    assert {row["item"]: row["qty"] for row in there(branch, "Sale")["items"]}[item] == 9
    branch.assert_equal("Sale", "S-1")


def test_a_whole_table_may_be_given() -> None:
    branch = with_rows()
    apply(branch, R.MANUAL, values={"items": [ROWS[1], {"item": "Z", "qty": 2}]})
    branch.run()
    branch.run()
    assert [(row["item"], row["qty"]) for row in there(branch, "Sale")["items"]] == [("B", 1), ("Z", 2)]
    branch.assert_equal("Sale", "S-1")


def test_a_row_that_both_added_alike_stays_one() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1, remark="", items=ROWS[:1])
    rows = branch.central.documents["Sale"][name]["items"]
    branch.central.edit("Sale", name, items=[*rows, {"name": "a-there", "item": "N", "qty": 7}], remark="r")
    branch.update("Sale", "S-1", items=[ROWS[0], {"name": "new-here", "item": "N", "qty": 7}], total=2)
    branch.run()
    apply(branch)
    branch.run()
    branch.run()
    assert [row["item"] for row in there(branch, "Sale")["items"]] == ["A", "N"]
    assert [row["name"] for row in here(branch, "Sale", "S-1")["items"]] == ["a", "new-here"]
    assert there(branch, "Sale")["items"][1]["name"] == "a-there"
    branch.assert_equal("Sale", "S-1")


def test_a_field_of_a_row_that_both_added_alike_may_be_given_under_the_name_it_is_shown_by() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1, remark="", items=ROWS[:1])
    rows = branch.central.documents["Sale"][name]["items"]
    branch.central.edit("Sale", name, items=[*rows, {"name": "a-there", "item": "N", "qty": 7}], remark="r")
    branch.update("Sale", "S-1", items=[ROWS[0], {"name": "new-here", "item": "N", "qty": 7}], total=2)
    branch.run()
    merged = branch.engine.resolutions.merged(branch.pending())
    assert merged is not None
    shown = next(row for row in compare(merged).tables[0].rows if row.state is State.BOTH)
    apply(branch, R.MANUAL, values={f"{shown.key}.qty": 9})
    branch.run()
    branch.run()
    for side in (here(branch, "Sale", "S-1"), there(branch, "Sale")):
        assert [(row["item"], row["qty"]) for row in side["items"]] == [("A", 1), ("N", 9)]
    branch.assert_equal("Sale", "S-1")


def test_links_are_compared_and_merged_under_the_names_they_have_here() -> None:
    branch = branch_with(schemas=SCHEMAS)
    other = branch.synced("Customer", "C-9", code="theirs")
    assert other != "C-9"
    name = branch.synced("Sale", "S-1", total=1, customer="", remark="")
    branch.central.edit("Sale", name, customer=other)
    branch.update("Sale", "S-1", total=2, remark="x")
    branch.run()
    assert apply(branch).values is not None
    branch.run()
    branch.run()
    assert here(branch, "Sale", "S-1")["customer"] == "C-9"
    assert there(branch, "Sale")["customer"] == other
    assert there(branch, "Sale")["total"] == 2


# what the central's own code made of an earlier change


def test_what_the_central_writes_otherwise_than_it_was_sent_is_no_change_of_anybody() -> None:
    branch = branch_with(Strategy.FIELD_MERGE, schemas=SCHEMAS)
    name = branch.synced("Customer", "C-1", code="C-1", city="oslo", phone="1")
    with branch.store.transaction():
        document = branch.line_of("Customer", "C-1")
        capital = {**(document.base or {}), "city": "Oslo"}
        branch.store.put_document(replace(document, base=capital))
    branch.central.documents["Customer"][name]["city"] = "Oslo"
    branch.central.edit("Customer", name, phone="2")
    branch.update("Customer", "C-1", city="rome", code="D")
    branch.run()
    assert branch.conflict().reason == "what both sides changed goes together"
    branch.assert_equal("Customer", "C-1")


# several requests, steps and state


def test_the_changes_of_all_held_requests_travel_in_the_first() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, total=9)
    first = branch.update("Sale", "S-1", total=2)
    branch.run()
    later = branch.update("Sale", "S-1", remark="mine")
    submit = branch.submit("Sale", "S-1", remark="end")
    branch.run()
    apply(branch, choices={"total": "local"})
    branch.run()
    branch.run()
    assert [branch.status(each) for each in (first, later, submit)] == [
        Status.SYNCED,
        Status.MERGED,
        Status.SYNCED,
    ]
    assert branch.get(later).merged_into == first
    assert (there(branch, "Sale")["total"], there(branch, "Sale")["remark"]) == (2, "end")
    branch.assert_equal("Sale", "S-1")


def test_steps_of_a_workflow_stay_steps() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Customer", "C-1", code="new", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    steps = [
        branch.update("Customer", "C-1", code="seen", request={"apart": True}),
        branch.update("Customer", "C-1", code="good", city="Rome", request={"apart": True}),
    ]
    branch.update("Customer", "C-1", phone="3")
    branch.run()
    before = len(branch.central.effects)
    apply(branch, choices={"phone": "local"})
    branch.run()
    branch.run()
    assert [branch.status(step) for step in steps] == [Status.SYNCED, Status.SYNCED]
    assert len(branch.central.effects) == before + 3
    assert (there(branch)["code"], there(branch)["city"], there(branch)["phone"]) == ("good", "Rome", "3")
    branch.assert_equal("Customer", "C-1")


def test_a_step_that_is_given_up_is_not_sent() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Customer", "C-1", code="new", city="Oslo", phone="1")
    branch.central.edit("Customer", name, code="bad", phone="2")
    step = branch.update("Customer", "C-1", code="good", request={"apart": True})
    branch.run()
    apply(branch, choices={"code": "server"})
    branch.run()
    assert branch.status(step) is Status.DECIDED
    branch.assert_equal("Customer", "C-1")
    assert here(branch)["code"] == "bad"


def test_a_step_alone_takes_along_what_else_is_to_change() -> None:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Customer", "C-1", code="new", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2", city="Bonn")
    step = branch.update("Customer", "C-1", code="good", city="Rome", request={"apart": True})
    branch.run()
    apply(branch, R.MANUAL, values={"city": "Paris", "phone": "7"})
    branch.run()
    branch.run()
    assert branch.status(step) is Status.SYNCED
    assert (there(branch)["code"], there(branch)["city"], there(branch)["phone"]) == ("good", "Paris", "7")
    branch.assert_equal("Customer", "C-1")


def test_a_rename_goes_on_after_the_merge() -> None:
    branch = branch_with(schemas=SCHEMAS)
    clashing(branch)
    rename = branch.rename("Customer", "C-1", "C-2")
    apply(branch, choices={"city": "local"})
    branch.run()
    branch.run()
    assert branch.status(rename) is Status.SYNCED
    assert branch.names_there("Customer") == ["C-2"]
    # The code is what the central names it by: it went along with the name.
    for side in (here(branch, name="C-2"), there(branch)):
        assert (side["city"], side["phone"]) == ("Rome", "2")


def test_a_result_that_the_central_has_already_is_written_here_at_once() -> None:
    branch = branch_with(schemas=SCHEMAS)
    clashing(branch)
    sent = len(branch.central.delivered)
    apply(branch, choices={"city": "server", "code": "server"})
    assert (here(branch)["city"], here(branch)["phone"], here(branch)["code"]) == ("Bonn", "2", "C-1")
    assert branch.ledger().decided == 1
    branch.run()
    assert len(branch.central.delivered) == sent
    branch.assert_equal("Customer", "C-1")


# two documents of one name


@BOTH
def test_two_documents_of_one_name_become_one(schemas: Any) -> None:
    branch = branch_with(schemas=schemas)
    create_create(branch)
    branch.run()
    apply(branch, choices={"city": "local", "phone": "server"})
    branch.run()
    branch.run()
    assert (there(branch)["city"], there(branch)["phone"]) == ("Rome", "2")
    assert branch.line_of("Customer", "C-1").central_name == "C-1"
    branch.assert_equal("Customer", "C-1")


def test_a_submitted_create_is_merged_and_submitted() -> None:
    branch = branch_with(schemas=SCHEMAS)
    branch.central.unique = {"Sale": "total"}
    branch.central.insert("Sale", "7", total=7, remark="theirs")
    branch.documents.documents["Sale", "S-1"] = {"name": "S-1", "total": 7, "remark": "x", "docstatus": 1}
    body = {"total": 7, "remark": "x", "docstatus": 1}
    branch.queue(Operation.CREATE, "Sale", "S-1", body, unique={"total": 7})
    branch.run()
    apply(branch, choices={"remark": "local"})
    branch.run()
    branch.run()
    assert there(branch, "Sale")["docstatus"] == 1
    branch.assert_equal("Sale", "S-1")


def test_two_documents_of_one_name_are_kept_apart_under_another() -> None:
    branch = branch_with(schemas=SCHEMAS)
    create_create(branch)
    branch.run()
    later = branch.update("Customer", "C-1", phone="9")
    apply(branch, R.MANUAL, values={"code": "C-2"})
    branch.run()
    branch.run()
    assert sorted(branch.names_there("Customer"))[0] == "C-1"
    assert branch.central.documents["Customer"]["C-1"]["city"] == "Bonn"
    line = branch.line_of("Customer", "C-1")
    assert line.central_name == "C-2"
    theirs = branch.there("Customer", "C-2")
    assert theirs is not None
    assert (theirs["code"], theirs["city"], theirs["phone"]) == ("C-2", "Rome", "9")
    # The code follows the name, which stays what it is here.
    assert (here(branch)["code"], here(branch)["city"], here(branch)["phone"]) == ("C-1", "Rome", "9")
    assert branch.status(later) in (Status.SYNCED, Status.MERGED)


def test_a_name_for_what_is_kept_apart_may_be_taken_as_well() -> None:
    branch = branch_with(schemas=SCHEMAS)
    create_create(branch)
    branch.central.insert("Customer", "C-2", code="C-2", city="Bern")
    branch.run()
    apply(branch, R.MANUAL, values={"code": "C-2"})
    branch.run()
    again = branch.pending()
    assert again.conflict_type is T.CREATE_CREATE
    assert again.server_data is not None
    assert again.server_data["city"] == "Bern"
    apply(branch, R.MANUAL, values={"code": "C-3"})
    branch.run()
    assert sorted(branch.names_there("Customer")) == ["C-1", "C-2", "C-3"]
    assert branch.line_of("Customer", "C-1").central_name == "C-3"


def test_the_result_of_a_merge_can_be_seen_before() -> None:
    branch = branch_with()
    clashing(branch)
    conflict, resolutions = branch.pending(), branch.engine.resolutions
    with pytest.raises(InvalidRequest, match="no side was chosen: city"):
        resolutions.result(conflict)
    result = resolutions.result(conflict, choices={"city": "server"}, values={"phone": "7"})
    assert (result["city"], result["phone"], result["code"]) == ("Bonn", "7", "D-1")
    assert branch.pending() == conflict


def test_a_merge_is_of_the_document_as_it_stands_now() -> None:
    branch = branch_with()
    clashing(branch)
    branch.update("Customer", "C-1", city="Bonn")
    branch.run()
    merged = branch.engine.resolutions.merged(branch.pending())
    assert merged is not None
    assert merged.clashes == ()


def test_a_document_that_is_not_known_any_more_cannot_be_merged() -> None:
    branch = branch_with()
    clashing(branch)
    branch.store.document = lambda line: None  # type: ignore[method-assign]
    with pytest.raises(NotAllowed, match="not known any more"):
        apply(branch, choices={"city": "local"})


def test_a_result_whose_conflict_was_deleted_by_hand_arrives_all_the_same() -> None:
    branch = branch_with()
    clashing(branch)
    apply(branch, choices={"city": "local"})
    branch.store.conflict = lambda conflict_id, *, lock=False: None  # type: ignore[method-assign]
    branch.run()
    assert there(branch)["city"] == "Rome"


def test_what_is_kept_apart_is_given_fields_that_it_has() -> None:
    branch = branch_with(schemas=SCHEMAS)
    create_create(branch)
    branch.run()
    with pytest.raises(InvalidRequest, match="colour is no field"):
        apply(branch, R.MANUAL, values={"code": "C-2", "colour": "red"})


def test_an_older_document_that_differs_can_be_merged() -> None:
    branch = branch_with(schemas=SCHEMAS)
    branch.central.insert("Customer", "C-1", code="C-1", city="Bonn", phone="2")
    branch.documents.documents["Customer", "C-1"] = {
        "name": "C-1",
        "code": "C-1",
        "city": "Oslo",
        "phone": "",
    }
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.pending().conflict_type is T.CREATE_CREATE
    apply(branch, R.MANUAL, values={"city": "Rome"})
    branch.run()
    branch.run()
    assert (there(branch)["city"], there(branch)["phone"]) == ("Rome", "2")
    branch.assert_equal("Customer", "C-1")


# what happens until the central has accepted


def test_what_is_changed_here_meanwhile_stays_on_top() -> None:
    branch = branch_with(schemas=SCHEMAS)
    clashing(branch)
    apply(branch, choices={"city": "server"})
    branch.answer(page(502))
    branch.run()
    later = branch.update("Customer", "C-1", city="Kyiv")
    branch.later(300)
    branch.run()
    branch.run()
    assert branch.status(later) in (Status.SYNCED, Status.MERGED)
    assert (here(branch)["city"], here(branch)["phone"]) == ("Kyiv", "2")
    branch.assert_equal("Customer", "C-1")


@pytest.mark.parametrize("on_its_way", [False, True], ids=["waiting", "on-its-way"])
def test_what_is_changed_here_meanwhile_and_back_again_stays_too(on_its_way: bool) -> None:
    """What still has to go to the central stands here as it will stand there."""
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, city="Bonn", phone="2")
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    apply(branch, choices={"city": "local"})
    branch.update("Customer", "C-1", city="Kyiv")

    def back_again() -> None:
        branch.rename("Customer", "C-1", "C-2")
        branch.update("Customer", "C-2", city="Rome")

    deliver = branch.central.deliver

    def meanwhile(*given: Any, **more: Any) -> Any:
        branch.central.deliver = deliver  # type: ignore[method-assign]
        back_again()
        return deliver(*given, **more)

    if on_its_way:
        branch.central.deliver = meanwhile  # type: ignore[method-assign]
    else:
        back_again()
    branch.run()
    branch.run()
    for side in (here(branch, name="C-2"), there(branch)):
        assert (side["city"], side["phone"]) == ("Rome", "2")


def test_rows_that_are_changed_here_meanwhile_and_back_again_stay_too() -> None:
    branch = branch_with(schemas=SCHEMAS)
    rows = [{"name": "r1", "item": "A", "qty": 1}]
    name = branch.synced("Sale", "S-1", total=1, items=rows)
    (row,) = branch.central.documents["Sale"][name]["items"]
    branch.central.edit("Sale", name, total=2, items=[row, {"name": "n1", "item": "B", "qty": 5}])
    branch.update("Sale", "S-1", total=3)
    branch.run()
    apply(branch, choices={"total": "local"})
    branch.update("Sale", "S-1", items=[{"name": "r1", "item": "A", "qty": 2}])
    branch.rename("Sale", "S-1", "S-2")
    branch.update("Sale", "S-2", items=[{"name": "r1", "item": "A", "qty": 1}])
    branch.run()
    branch.run()
    assert [(each["item"], each["qty"]) for each in here(branch, "Sale", "S-2")["items"]] == [
        ("A", 1),
        ("B", 5),
    ]
    branch.assert_equal("Sale", "S-2")


@pytest.mark.parametrize("by_person", [True, False])
def test_where_the_central_moves_meanwhile_it_comes_back_with_what_was_chosen(by_person: bool) -> None:
    branch = branch_with(Strategy.MANUAL if by_person else Strategy.FIELD_MERGE, schemas=SCHEMAS)
    clashing(branch) if by_person else None
    if not by_person:
        name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
        branch.central.edit("Customer", name, phone="2")
        branch.update("Customer", "C-1", city="Rome")

        def moves_again(doctype: str, name: str) -> Any:
            reply = fetch(doctype, name)
            if not moved:
                moved.append(True)
                branch.central.edit("Customer", name, code="E-1")
            return reply

        moved: list[bool] = []
        fetch = branch.central.fetch
        branch.central.fetch = moves_again  # type: ignore[method-assign]
        branch.run()
        branch.run()
        assert (here(branch)["city"], here(branch)["phone"], here(branch)["code"]) == ("Rome", "2", "E-1")
        branch.assert_equal("Customer", "C-1")
        return
    first = branch.pending()
    apply(branch, choices={"city": "server"})
    (name,) = branch.names_there("Customer")
    branch.central.edit("Customer", name, city="Bern", phone="3")
    branch.run()
    again = branch.pending()
    assert again.id != first.id
    assert again.choices == {"city": "server"}
    assert "changed again after ann decided" in str(again.reason)
    assert again.base_data == first.base_data
    assert again.server_data is not None
    assert again.server_data["city"] == "Bern"
    merged = branch.engine.resolutions.merged(again)
    assert merged is not None
    assert [clash.key for clash in merged.clashes] == ["city"]
    # Their choice stands; it may be made again or otherwise.
    apply(branch)
    branch.run()
    branch.run()
    assert (here(branch)["city"], here(branch)["phone"], here(branch)["code"]) == ("Bern", "3", "D-1")
    branch.assert_equal("Customer", "C-1")


def test_what_came_back_links_to_what_was_chosen_here_meanwhile() -> None:
    """Not to what it linked to when it was decided."""
    branch = branch_with(schemas=SCHEMAS)
    for number in (1, 2):
        branch.synced("Customer", f"C-{number}", code=f"{number}")
    name = branch.synced("Sale", "S-1", total=1)
    branch.central.edit("Sale", name, total=2)
    branch.update("Sale", "S-1", links={"customer": "Customer"}, total=3, customer="C-1")
    branch.run()
    apply(branch, choices={"total": "local"})
    branch.update("Sale", "S-1", links={"customer": "Customer"}, customer="C-2")
    branch.central.edit("Sale", name, total=4)
    branch.run()
    apply(branch, R.LOCAL_WINS)
    branch.run()
    assert there(branch, "Sale")["total"] == 3
    assert there(branch, "Sale")["customer"] == branch.line_of("Customer", "C-2").central_name


@pytest.mark.parametrize("resolution", [R.LOCAL_WINS, R.SERVER_WINS])
def test_what_came_back_can_be_decided_in_any_way(resolution: Resolution) -> None:
    branch = branch_with(schemas=SCHEMAS)
    clashing(branch)
    step = branch.update("Customer", "C-1", phone="8", request={"apart": True})
    apply(branch, choices={"city": "server", "phone": "local"})
    later = branch.update("Customer", "C-1", phone="9", request={"apart": True})
    (name,) = branch.names_there("Customer")
    branch.central.edit("Customer", name, city="Bern", code="F-1")
    branch.run()
    assert branch.status(later) is Status.CONFLICT
    apply(branch, resolution)
    branch.run()
    branch.run()
    branch.assert_equal("Customer", "C-1")
    assert there(branch)["city"] == ("Rome" if resolution is R.LOCAL_WINS else "Bern")
    assert branch.status(step) in (Status.SYNCED, Status.DECIDED, Status.MERGED)


def refusing_after_the_answer(branch: Branch) -> None:
    clashing(branch)
    apply(branch, choices={"city": "local"})
    branch.documents.refuses = "the day is closed"
    branch.run()


def test_a_result_that_the_branch_refuses_stays_open_until_a_person_closes_it() -> None:
    branch = branch_with(schemas=SCHEMAS)
    refusing_after_the_answer(branch)
    conflict = branch.pending()
    assert "The central has what ann decided, but here: the day is closed" in str(conflict.reason)
    assert branch.ledger().applied == 2
    assert there(branch)["phone"] == "2"
    assert here(branch)["phone"] == "1"
    for resolution in (R.LOCAL_WINS, R.MERGE):
        with pytest.raises(NotAllowed, match="has this already"):
            apply(branch, resolution)
    branch.documents.refuses = None
    apply(branch, R.SERVER_WINS)
    branch.assert_equal("Customer", "C-1")


def test_what_stayed_open_is_the_conflict_of_a_later_change_too() -> None:
    branch = branch_with(schemas=SCHEMAS)
    refusing_after_the_answer(branch)
    conflict = branch.pending()
    branch.documents.refuses = None
    (name,) = branch.names_there("Customer")
    branch.central.edit("Customer", name, phone="5")
    branch.update("Customer", "C-1", phone="6")
    branch.run()
    assert branch.pending().id == conflict.id
    apply(branch, R.SERVER_WINS)
    branch.assert_equal("Customer", "C-1")


def test_what_was_delivered_since_counts_when_what_stayed_open_is_closed() -> None:
    branch = branch_with(schemas=SCHEMAS)
    refusing_after_the_answer(branch)
    branch.documents.refuses = None
    branch.update("Customer", "C-1", code="Z-1")
    branch.run()
    assert there(branch)["code"] == "Z-1"
    apply(branch, R.SERVER_WINS)
    assert here(branch)["code"] == "Z-1"
    branch.assert_equal("Customer", "C-1")


def test_an_error_inside_the_save_of_a_result_stays_open_too() -> None:
    branch = branch_with(schemas=SCHEMAS)
    clashing(branch)
    apply(branch, choices={"city": "local"})

    def broken(doctype: str, name: str, values: Json) -> None:
        raise AttributeError("city of Ann")

    branch.documents.write = broken  # type: ignore[method-assign]
    branch.run()
    assert "saving it failed (AttributeError)" in str(branch.pending().reason)


def test_where_the_branch_keeps_no_documents_the_central_gets_the_result() -> None:
    branch = branch_with(documents=NoDocuments())
    clashing(branch)
    apply(branch, choices={"city": "local"})
    branch.run()
    branch.run()
    assert (there(branch)["city"], there(branch)["phone"]) == ("Rome", "2")
    assert branch.ledger().held == branch.ledger().waiting == 0


def test_a_document_deleted_here_meanwhile_is_not_written() -> None:
    branch = branch_with(schemas=SCHEMAS)
    clashing(branch)
    apply(branch, choices={"city": "local"})
    branch.delete("Customer", "C-1")
    branch.run()
    branch.run()
    assert branch.names_there("Customer") == []
    assert branch.here("Customer", "C-1") is None


def test_a_rest_may_be_named_for_what_was_not_chosen() -> None:
    branch = branch_with(schemas=SCHEMAS)
    clashing(branch)
    apply(branch, rest=Side.SERVER)
    branch.run()
    branch.run()
    assert here(branch)["city"] == "Bonn"
    branch.assert_equal("Customer", "C-1")


def test_a_document_that_is_gone_on_one_side_cannot_be_merged() -> None:
    branch = branch_with()
    update_update(branch)
    branch.run()
    del branch.documents.documents["Customer", "C-1"]
    with branch.store.transaction():
        branch.store.put_conflict(replace(branch.pending(), server_data=None, conflict_type=T.CREATE_CREATE))
    with pytest.raises((NotAllowed, LocalRefused)):
        apply(branch)
