"""What a branch relies on in a companion's answers: one list of pushes, for modelled centrals and for real ones.

`observe(central)` sends them and answers what was seen, case by case, without what differs by nature (names, times).
The doctypes are those of central_contract.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from erp_offline_sync.engine.model import Operation, Reply
from erp_offline_sync.engine.sending.push import PushRequest, RowPatch, item_text, packed, push_text
from erp_offline_sync.testing.central_contract import PAPER, PARTY, THING

__all__ = ["CASES", "Pushing", "observe"]

O = Operation  # noqa: E741


class _Companion(Protocol):
    def capabilities(self) -> Reply: ...
    def push(self, data: bytes) -> Reply: ...
    def receipts(self, origin: str, keys: list[str]) -> Reply: ...
    def rehearse(self, data: bytes) -> Reply: ...


class Pushing:
    """A branch that pushes requests one by one or many at once. `run` must be new to the central."""

    def __init__(self, central: _Companion, *, origin: str, run: int = 1) -> None:
        self.central = central
        self.origin = origin
        self.run = run
        self._number = 0

    def request(self, operation: Operation, **more: Any) -> PushRequest:
        self._number += 1
        key = f"{self.origin}-{self._number}"
        return PushRequest(**{"id": key, "number": self._number, "operation": operation, **more})

    def data(self, *requests: PushRequest) -> bytes:
        text = push_text(
            origin=self.origin,
            run=self.run,
            run_key=f"{self.origin}-{self.run}",
            low_water=1,
            language="en",
            seconds=60,
            items=[item_text(request) for request in requests],
        )
        return packed(text)

    def push(self, *requests: PushRequest) -> list[Any]:
        return self._outcomes(self.central.push(self.data(*requests)))

    def rehearse(self, *requests: PushRequest) -> list[Any]:
        return self._outcomes(self.central.rehearse(self.data(*requests)))

    def _outcomes(self, reply: Reply) -> list[Any]:
        reply = reply.read()
        if reply.status != 200:
            raise AssertionError(f"it was answered {reply.status}: {str(reply.body)[:300]}")
        outcomes: list[Any] = reply.body["message"]["outcomes"]
        return outcomes

    def one(self, operation: Operation, **more: Any) -> tuple[PushRequest, Any]:
        request = self.request(operation, **more)
        (outcome,) = self.push(request)
        return request, outcome

    def made(self, doctype: str, **values: Any) -> Any:
        """A new document, as answered."""
        _, outcome = self.one(O.CREATE, doctype=doctype, values=values)
        if outcome["outcome"] != "applied":
            raise AssertionError(f"not made: {str(outcome)[:300]}")
        return outcome["document"]

    def receipt(self, *requests: PushRequest) -> list[Any]:
        keys = [request.id for request in requests]
        receipts = self.central.receipts(self.origin, keys).body["message"]["receipts"]
        return [receipts[key] for key in keys]


def _on(document: Any) -> dict[str, Any]:
    return {"doctype": document["doctype"], "name": document["name"], "version": document["modified"]}


def _said(outcome: Mapping[str, Any]) -> str:
    kind = outcome.get("exc_type")
    return f"{outcome['outcome']} {kind}" if kind else str(outcome["outcome"])


def it_says_what_it_can_do(branch: Pushing) -> list[Any]:
    said = branch.central.capabilities().body["message"]
    return [1 in said["schema"], *(said[name] > 0 for name in ("max_bytes", "max_inflated_bytes", "seconds"))]


def a_create_is_answered_with_the_document(branch: Pushing) -> list[Any]:
    _, outcome = branch.one(O.CREATE, doctype=PARTY, values={"title": "O'Brien 50% off"})
    document = outcome["document"]
    return [
        _said(outcome),
        document["title"],
        outcome["name"] == document["name"],
        outcome["version"] == document["modified"],
        outcome["docstatus"],
    ]


def a_repeated_request_has_no_second_effect(branch: Pushing) -> list[Any]:
    request, first = branch.one(O.CREATE, doctype=PARTY, values={"title": "Twice"})
    (again,) = branch.push(request)
    (other,) = branch.push(replace(request, values={"title": "Another"}))
    same = all(again[key] == first[key] for key in ("name", "version", "docstatus"))
    seen = [_said(first), _said(again), same, again["document"]["title"], _said(other)]
    branch.one(O.UPDATE, **_on(first["document"]), values={"title": "Changed since"})
    (later,) = branch.push(request)
    return [*seen, _said(later), later["version"] == first["version"], later.get("document")]


def an_update_needs_the_current_version(branch: Pushing) -> list[Any]:
    document = branch.made(PARTY, title="A", note="first")
    _, outcome = branch.one(O.UPDATE, **_on(document), values={"note": "second"})
    _, stale = branch.one(O.UPDATE, **_on(document), values={"note": "third"})
    _, forced = branch.one(
        O.UPDATE, **{**_on(document), "version": None}, overwrite=True, values={"note": "4"}
    )
    return [
        _said(outcome),
        outcome["document"]["note"],
        _said(stale),
        stale["document"]["note"],
        stale["document"]["modified"] == outcome["version"],
        _said(forced),
    ]


def what_is_missing_is_a_conflict_and_a_delete_of_it_is_done(branch: Pushing) -> list[Any]:
    nowhere = {"doctype": PARTY, "name": "nowhere", "version": "2020-01-01 00:00:00"}
    _, update = branch.one(O.UPDATE, **nowhere, values={"note": "x"})
    _, delete = branch.one(O.DELETE, **nowhere)
    return [_said(update), update.get("document"), _said(delete)]


def rows_change_by_patches(branch: Pushing) -> list[Any]:
    for code in ("a", "b", "c"):
        branch.one(O.CREATE, doctype=THING, values={"code": f"{branch.origin} {code}"})
    thing = {code: f"{branch.origin} {code}" for code in "abc"}
    party = branch.made(PARTY, title="Buyer")
    rows = [{"thing": thing["a"], "qty": 1}, {"thing": thing["b"], "qty": 2, "remark": "kept"}]
    paper = branch.made(PAPER, party=party["name"], rows=rows)
    first, second = (row["name"] for row in paper["rows"])
    patch = RowPatch(
        changed={second: {"qty": 5}},
        added=({"thing": thing["c"], "qty": 7},),
        removed=(first,),
        order=(None, second),
    )
    _, outcome = branch.one(O.UPDATE, **_on(paper), rows={"rows": patch})
    seen = [[row["thing"][-1], row["qty"], row.get("remark")] for row in outcome["document"]["rows"]]
    lost = RowPatch(changed={first: {"qty": 9}}, order=(first,))
    _, gone = branch.one(O.UPDATE, **_on(outcome["document"]), rows={"rows": lost})
    return [_said(outcome), seen, _said(gone)]


def states_are_moved_and_answered_as_they_are_afterwards(branch: Pushing) -> list[Any]:
    party = branch.made(PARTY, title="Buyer")
    paper = branch.made(PAPER, party=party["name"])
    _, submitted = branch.one(O.SUBMIT, **_on(paper), values={"note": "done"})
    _, wrong = branch.one(O.DELETE, **_on(submitted["document"]))
    _, cancelled = branch.one(O.CANCEL, **_on(submitted["document"]))
    both = branch.made(PAPER, party=party["name"], docstatus=1)
    return [
        _said(submitted),
        submitted["document"]["note"],
        submitted["document"]["docstatus"],
        submitted["version"] == submitted["document"]["modified"],
        _said(wrong).partition(" ")[0],
        cancelled["document"]["docstatus"],
        both["docstatus"],
    ]


def names_are_given_and_changed(branch: Pushing) -> list[Any]:
    thing = branch.made(THING, code=f"{branch.origin} old")
    _, renamed = branch.one(O.RENAME, **_on(thing), new_name=f"{branch.origin} new")
    _, taken = branch.one(O.CREATE, doctype=THING, values={"code": f"{branch.origin} new"})
    _, deleted = branch.one(O.DELETE, **_on(renamed["document"]))
    return [
        _said(renamed),
        renamed["name"] == f"{branch.origin} new",
        renamed["document"]["code"] == f"{branch.origin} new",
        _said(taken).partition(" ")[0],
        _said(deleted),
    ]


def one_that_is_refused_harms_no_other(branch: Pushing) -> list[Any]:
    requests = [
        branch.request(O.CREATE, doctype=PARTY, values={"title": "before"}),
        branch.request(O.CREATE, doctype=PAPER, values={"party": "nowhere"}),
        branch.request(O.CREATE, doctype=PARTY, values={"note": "no title"}),
        branch.request(O.CREATE, doctype=PARTY, values={"title": "after"}),
    ]
    outcomes = branch.push(*requests)
    states = [receipt["outcome"] for receipt in branch.receipt(*requests)]
    return [[_said(outcome) for outcome in outcomes], states]


def a_refused_request_may_come_again_with_another_content(branch: Pushing) -> list[Any]:
    request, first = branch.one(O.CREATE, doctype=PARTY, values={"note": "no title"})
    (mended,) = branch.push(replace(request, values={"title": "mended"}))
    return [_said(first), _said(mended)]


def a_receipt_tells_name_version_and_state(branch: Pushing) -> list[Any]:
    request, outcome = branch.one(O.CREATE, doctype=PARTY, values={"title": "A"})
    never = branch.request(O.CREATE, doctype=PARTY, values={"title": "never sent"})
    receipt, none = branch.receipt(request, never)
    same = all(receipt[key] == outcome[key] for key in ("name", "version", "docstatus"))
    return [receipt["outcome"], same, none["outcome"]]


def a_rehearsal_tells_what_a_push_would_and_does_nothing(branch: Pushing) -> list[Any]:
    document = branch.made(PARTY, title="A", note="first")
    wanted = branch.request(O.UPDATE, **_on(document), values={"note": "second"})
    requests = [
        wanted,
        branch.request(O.UPDATE, **{**_on(document), "version": "2020-01-01 00:00:00"}, values={"note": "x"}),
        branch.request(O.CREATE, doctype=PARTY, values={"note": "no title"}),
        branch.request(O.CALL, method="POST", path="/api/method/frappe.ping"),
        branch.request(O.DELETE, **_on(document)),
    ]
    told = branch.rehearse(*requests)
    too_many = branch.central.rehearse(branch.data(*requests, branch.request(O.DELETE, **_on(document))))
    before = [receipt["outcome"] for receipt in branch.receipt(*requests)]
    (outcome,) = branch.push(wanted)
    can = branch.central.capabilities().body["message"]["rehearse"]
    return [
        can,
        [_said(each) for each in told],
        told[0]["document"]["note"],
        before,
        too_many.status,
        _said(outcome),
    ]


def what_is_no_push_is_refused_as_a_whole(branch: Pushing) -> list[Any]:
    data = branch.data(branch.request(O.CREATE, doctype=PARTY, values={"title": "A"}))
    broken = branch.central.push(data[:-9])
    plain = branch.central.push(b"{}")
    other = branch.central.push(packed(json.dumps({"schema": 99})))
    return [reply.status for reply in (broken, plain, other)]


CASES = (
    it_says_what_it_can_do,
    a_create_is_answered_with_the_document,
    a_repeated_request_has_no_second_effect,
    an_update_needs_the_current_version,
    what_is_missing_is_a_conflict_and_a_delete_of_it_is_done,
    rows_change_by_patches,
    states_are_moved_and_answered_as_they_are_afterwards,
    names_are_given_and_changed,
    one_that_is_refused_harms_no_other,
    a_refused_request_may_come_again_with_another_content,
    a_receipt_tells_name_version_and_state,
    a_rehearsal_tells_what_a_push_would_and_does_nothing,
    what_is_no_push_is_refused_as_a_whole,
)


def observe(branch: Pushing) -> dict[str, list[Any]]:
    """What each case sees. The central needs the contract's doctypes; documents stay behind."""
    return {case.__name__: case(branch) for case in CASES}
