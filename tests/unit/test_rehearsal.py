"""A rehearsal shows what a decision does, and does nothing of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support import Branch, a_branch, refused

from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.deciding.rehearsal import (
    Difference,
    OnPaper,
    Rehearsal,
    differences_of,
    rehearse,
)
from erp_offline_sync.engine.deciding.resolution import resolutions_of
from erp_offline_sync.engine.errors import AlreadyDecided, InvalidRequest, LocalRefused, NotFound
from erp_offline_sync.engine.merge import Side
from erp_offline_sync.engine.model import FieldKind, Resolution, Schema, Strategy
from erp_offline_sync.engine.values import moved_fields
from erp_offline_sync.testing.doubles import MemoryDocuments

R, K = Resolution, FieldKind
SCHEMAS = {
    "Customer": Schema(fields={"code": K.TEXT, "city": K.TEXT, "phone": K.TEXT}),
    "Sale": Schema(
        fields={"customer": K.TEXT, "total": K.NUMBER, "remark": K.TEXT},
        tables={"items": Schema(fields={"item": K.TEXT, "qty": K.NUMBER})},
        links={"customer": "Customer"},
    ),
}


def branch_in(situation: Callable[[Branch], None]) -> Branch:
    branch = a_branch(
        config=Config(default_strategy=Strategy.MANUAL), schemas=SCHEMAS, unique=[("Customer", "code")]
    )
    situation(branch)
    branch.run()
    return branch


def fields_changed(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    branch.update("Customer", "C-1", city="Rome")


def rows_changed(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1, remark="", items=[{"name": "a", "item": "A", "qty": 1}])
    (row,) = branch.central.documents["Sale"][name]["items"]
    branch.central.edit("Sale", name, items=[row, {"name": "there", "item": "T", "qty": 9}], remark="theirs")
    branch.update(
        "Sale", "S-1", items=[{"name": "a", "item": "A", "qty": 5}, {"name": "n", "item": "N", "qty": 1}]
    )


def gone_there(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.remove("Customer", name)
    branch.update("Customer", "C-1", city="Rome")


def gone_here(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, phone="2")
    branch.delete("Customer", "C-1")


def made_twice(branch: Branch) -> None:
    branch.central.insert("Customer", "C-1", code="C-1", city="Bonn", phone="2")
    branch.create("Customer", "C-1", code="C-1", city="Rome", phone="2", request={"unique": {"code": "C-1"}})


def submitted_here(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, remark="theirs")
    branch.submit("Sale", "S-1", total=2)


def renamed_here(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, remark="theirs")
    branch.update("Sale", "S-1", total=2)
    branch.rename("Sale", "S-1", "S-2")


def refused_call(branch: Branch) -> None:
    branch.answer(refused(409, None, "the day is closed"))
    branch.call()


SITUATIONS = (
    fields_changed,
    rows_changed,
    gone_there,
    gone_here,
    made_twice,
    submitted_here,
    renamed_here,
    refused_call,
)
OF_SALES = (rows_changed, submitted_here, renamed_here)
CELLS = [
    (situation, resolution)
    for situation in SITUATIONS
    for resolution in resolutions_of(branch_in(situation).pending().conflict_type)
]
"""Each situation with each resolution that is possible in it."""


def rehearsed(branch: Branch, resolution: Resolution, **more: Any) -> Rehearsal:
    conflict = branch.pending()
    given = {**wanted(conflict.resource_type, resolution), **more}
    return rehearse(branch.ports, conflict.id, resolution, by="ann", **given)


def decide(branch: Branch, resolution: Resolution) -> None:
    conflict = branch.pending()
    given = wanted(conflict.resource_type, resolution)
    branch.engine.resolutions.apply(conflict.id, resolution, by="ann", **given)


def wanted(doctype: str, resolution: Resolution) -> dict[str, Any]:
    if resolution is R.MANUAL:
        return {"rest": Side.LOCAL, "values": {"city" if doctype == "Customer" else "remark": "Kyiv"}}
    return {"rest": Side.LOCAL} if resolution is R.MERGE else {}


def alike(one: Any, other: Any, doctype: str) -> bool:
    if one is None or other is None:
        return one is other
    names = set(SCHEMAS[doctype].tables)

    def bare(document: Any) -> dict[str, Any]:
        """Rows by what they hold: their names are each site's own."""
        return {
            field: [{key: row.get(key) for key in ("item", "qty")} for row in value or ()]
            if field in names
            else value
            for field, value in document.items()
        }

    same_state = (one.get("docstatus") or 0) == (other.get("docstatus") or 0)
    return same_state and not moved_fields(bare(one), bare(other), SCHEMAS[doctype])


@pytest.mark.parametrize(
    ("situation", "resolution"), CELLS, ids=lambda value: getattr(value, "__name__", None) or value.value
)
def test_what_is_rehearsed_is_what_comes_about(
    situation: Callable[[Branch], None], resolution: Resolution
) -> None:
    """For each resolution of each situation, against the decision itself and the runs after it."""
    branch = branch_in(situation)
    shown = rehearsed(branch, resolution)
    decide(branch, resolution)
    for _ in range(4):
        branch.run()
    if situation is refused_call:
        assert (shown.here(), shown.there()) == ([], [])
        return
    doctype = "Sale" if situation in OF_SALES else "Customer"
    here = [document for (kind, _), document in branch.documents.documents.items() if kind == doctype] or [
        None
    ]
    there = list(branch.central.documents.get(doctype, {}).values()) or [None]
    assert len(here) == len(there) == 1
    assert alike(shown.here_after, here[0], doctype), (shown.here_after, here)
    assert alike(shown.there_after, there[0], doctype), (shown.there_after, there)


@pytest.mark.parametrize(
    ("situation", "resolution"), CELLS, ids=lambda value: getattr(value, "__name__", None) or value.value
)
def test_a_rehearsal_changes_nothing(situation: Callable[[Branch], None], resolution: Resolution) -> None:
    branch = branch_in(situation)
    before = (
        branch.requests(),
        branch.conflict(),
        copy.deepcopy(branch.documents.documents),
        branch.ledger(),
    )
    sent = len(branch.central.delivered)
    rehearsed(branch, resolution)
    assert (branch.requests(), branch.conflict(), branch.documents.documents, branch.ledger()) == before
    assert len(branch.central.delivered) == sent


def told(differences: list[Difference]) -> dict[str, Any]:
    return {each.key: (each.before, each.after) for each in differences}


def test_it_says_what_each_side_gets() -> None:
    branch = branch_in(fields_changed)
    shown = rehearsed(branch, R.LOCAL_WINS)
    assert told(shown.here()) == {"phone": ("1", "2")}
    assert told(shown.there()) == {"city": ("Oslo", "Rome")}
    assert told(rehearsed(branch, R.SERVER_WINS).here()) == {"city": ("Rome", "Oslo"), "phone": ("1", "2")}
    assert rehearsed(branch, R.SERVER_WINS).there() == []
    skipped = rehearsed(branch, R.SKIP)
    assert (skipped.here(), skipped.there()) == ([], [])
    by_hand = rehearsed(branch, R.MANUAL)
    assert told(by_hand.here()) == {"city": ("Rome", "Kyiv"), "phone": ("1", "2")}
    assert told(by_hand.there()) == {"city": ("Oslo", "Kyiv")}


def test_documents_that_come_and_go_are_told_as_a_whole() -> None:
    branch = branch_in(gone_there)
    assert told(rehearsed(branch, R.LOCAL_WINS).there()) == {"*": (False, True)}
    assert told(rehearsed(branch, R.SERVER_WINS).here()) == {"*": (True, False)}
    branch = branch_in(gone_here)
    assert told(rehearsed(branch, R.LOCAL_WINS).there()) == {"*": (True, False)}
    assert told(rehearsed(branch, R.SERVER_WINS).here()) == {"*": (False, True)}


def test_a_state_that_moves_is_told() -> None:
    branch = branch_in(submitted_here)
    assert told(rehearsed(branch, R.LOCAL_WINS).there()) == {"total": (1, 2), "docstatus": (0, 1)}
    assert told(rehearsed(branch, R.SERVER_WINS).here()) == {
        "total": (2, 1),
        "remark": ("", "theirs"),
        "docstatus": (1, 0),
    }


def test_rows_are_told_one_by_one() -> None:
    shown = rehearsed(branch_in(rows_changed), R.MERGE)
    assert {key: after for key, (_before, after) in told(shown.there()).items()} == {
        "items[a].qty": 5,
        "items[n]": {"name": "n", "item": "N", "qty": 1},
    }
    assert [key for key in told(shown.here()) if key.startswith("items")] == ["items[there]"]


def test_what_is_saved_while_it_waits_is_rehearsed_too() -> None:
    branch = branch_in(fields_changed)
    branch.update("Customer", "C-1", code="new")
    assert told(rehearsed(branch, R.LOCAL_WINS).there()) == {"city": ("Oslo", "Rome"), "code": ("C-1", "new")}


def test_what_cannot_be_decided_is_refused_as_a_decision_would_be() -> None:
    branch = branch_in(rows_changed)
    branch.update("Sale", "S-1", remark="ours")
    with pytest.raises(InvalidRequest, match="remark"):
        rehearsed(branch, R.MERGE, rest=None)
    with pytest.raises(NotFound):
        rehearse(branch.ports, "none", R.SKIP, by="ann")
    conflict = branch.pending()
    decide(branch, R.SKIP)
    with pytest.raises(AlreadyDecided):
        rehearse(branch.ports, conflict.id, R.SKIP, by="ann")


# On paper


def test_what_is_written_on_paper_stands_there_alone() -> None:
    documents = MemoryDocuments({("Customer", "C-1"): {"name": "C-1", "city": "Oslo"}})
    paper = OnPaper(documents)
    paper.write("Customer", "C-1", {"city": "Rome"})
    paper.set_docstatus("Customer", "C-1", 1)
    assert paper.current("Customer", "C-1") == {"name": "C-1", "city": "Rome", "docstatus": 1}
    paper.rename("Customer", "C-1", "C-2")
    assert (paper.current("Customer", "C-1"), paper.current("Customer", "C-2")) == (
        None,
        {"name": "C-2", "city": "Rome", "docstatus": 1},
    )
    with pytest.raises(LocalRefused):
        paper.write("Customer", "C-1", {"city": "Rome"})
    paper.delete("Customer", "C-2")
    assert paper.current("Customer", "C-2") is None
    paper.restore("Customer", "C-1", {"city": "Bonn"})
    assert paper.current("Customer", "C-1") == {"name": "C-1", "city": "Bonn"}
    assert documents.current("Customer", "C-1") == {"name": "C-1", "city": "Oslo"}


def test_differences_name_fields_rows_their_order_and_the_state() -> None:
    def row(name: str, qty: int) -> dict[str, Any]:
        return {"name": name, "item": name, "qty": qty}

    before = {"total": 1, "items": [row("a", 1), row("b", 1), row("c", 1)]}
    after = {"total": 2, "items": [row("c", 1), row("a", 5), row("n", 1)], "docstatus": 1}
    assert told(differences_of(before, after, SCHEMAS["Sale"])) == {
        "total": (1, 2),
        "items[a].qty": (1, 5),
        "items[n]": (None, row("n", 1)),
        "items[b]": (row("b", 1), None),
        "items[]": (["a", "b", "c"], ["c", "a", "n"]),
        "docstatus": (0, 1),
    }
    unnamed = differences_of({"items": [{"item": "A", "qty": 1}]}, {"items": []}, SCHEMAS["Sale"])
    assert told(unnamed) == {"items": ([{"item": "A", "qty": 1}], [])}
    assert differences_of(None, None, None) == []


@pytest.mark.parametrize("remark", ["set on the way out", "theirs"])
def test_what_the_policy_sets_on_the_way_out_is_no_change_here(remark: str) -> None:
    """As when the result arrives: it is not written into the branch's document."""
    sets = replace(SCHEMAS["Sale"], outgoing={"remark": "set on the way out"})
    branch = a_branch(
        config=Config(default_strategy=Strategy.MANUAL), schemas={**SCHEMAS, "Sale": sets}, unique=[]
    )
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.central.edit("Sale", name, remark=remark, total=5)
    branch.update("Sale", "S-1", total=2)
    branch.run()
    shown = rehearse(branch.ports, branch.pending().id, R.MERGE, by="ann", choices={"total": "local"})
    expected = {"remark": ("", "theirs")} if remark == "theirs" else {}
    assert {each.key: (each.before, each.after) for each in shown.here()} == expected
    branch.engine.resolutions.apply(branch.pending().id, R.MERGE, by="ann", choices={"total": "local"})
    branch.run()
    branch.run()
    here = branch.here("Sale", "S-1")
    assert here is not None
    assert (here["total"], here["remark"]) == (2, "theirs" if remark == "theirs" else "")
