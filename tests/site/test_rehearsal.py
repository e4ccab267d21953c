"""What a central with the companion would answer, asked before anything is sent; and that nothing of it stays there."""

from __future__ import annotations

from typing import Any

import pytest
from site_rig.client import make_user
from test_conflict_endpoints import ask, differ
from test_receiver import BRANCH_ROLE, CAPABILITIES, NOTE, Till, told

from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.sending.push import PushRequest, parse_answer

REHEARSE = "/api/method/erp_offline_sync.receiver.rehearse"
KEPT = ("Sync Receipt", "Sync Origin", "Email Queue", "Error Log", "ToDo", "Version", "Comment", NOTE)
POST = {"Content-Type": "application/gzip"}


@pytest.fixture
def till(rig: Any, companion: Any) -> Till:
    rig.empty()
    return Till(companion.user("till@shop.example", BRANCH_ROLE, "Shop User"))


def send(till: Till, *requests: PushRequest, **changed: Any) -> Any:
    return till.rest.post(REHEARSE, data=till.body(*requests, **changed), headers=POST)


def rehearse(till: Till, *requests: PushRequest, **changed: Any) -> list[Any]:
    answer = send(till, *requests, **changed)
    assert answer.status_code == 200, answer.text
    return list(parse_answer(answer.json()["message"], [each.id for each in requests]).outcomes)


def jobs() -> int:
    """Runs on the central: how many jobs wait in its queues."""
    from frappe.utils.background_jobs import get_queue, get_queues_timeout

    return sum(get_queue(name).count for name in get_queues_timeout())


def everything(companion: Any) -> Any:
    counted = {doctype: companion.count(doctype) for doctype in KEPT}
    notes = sorted((row["name"], row["title"], row["modified"]) for row in companion.documents(NOTE))
    return counted, notes, companion.run(jobs)


# The endpoint


def test_it_tells_what_a_push_would_and_nothing_stays(till: Till, companion: Any) -> None:
    note = till.done(till.note("a note", weight=1))
    on = {"doctype": NOTE, "name": note.name, "version": note.version}
    before = everything(companion)
    update, stale, refused, create, call = (
        till.request(Operation.UPDATE, **on, values={"weight": 2}),
        till.request(Operation.UPDATE, **{**on, "version": "2020-01-01 00:00:00"}, values={"weight": 2}),
        till.request(Operation.UPDATE, **on, values={"title": "refuses pushes"}),
        till.note("tells others"),
        till.request(Operation.CALL, method="POST", path="/api/method/frappe.ping"),
    )
    outcomes = rehearse(till, update, stale, refused, create, call)
    assert [each.outcome.value for each in outcomes] == [
        *("applied", "conflict", "rejected", "applied", "in_doubt")
    ], [each.message for each in outcomes]
    assert outcomes[0].document["weight"] == 2
    assert outcomes[2].message == "The central takes no such note."
    assert everything(companion) == before
    assert till.receipts(update, stale, refused, create, call) == ["none"] * 5
    assert till.outcomes(update) == ["applied"]


@pytest.mark.parametrize("title", ["commits", "commits and fails", "rolls back"])
def test_what_would_end_the_transaction_cannot_be_told(till: Till, companion: Any, title: str) -> None:
    before = everything(companion)
    first, bad, last = till.note("before"), till.note(title), till.note("after")
    outcomes = rehearse(till, first, bad, last)
    assert [each.outcome.value for each in outcomes] == ["applied", "in_doubt", "applied"]
    assert "Code of the central" in outcomes[1].message
    assert everything(companion) == before


@pytest.mark.parametrize("title", ["breaks", "leaves a mess", "always deadlocks", "fails after the commit"])
def test_what_fails_in_it_leaves_nothing_behind(
    till: Till, companion: Any, title: str, tmp_path: Any
) -> None:
    before = everything(companion)
    expected = {"always deadlocks": "deferred", "fails after the commit": "applied"}.get(title, "rejected")
    outcomes = rehearse(till, till.note(title, body=str(tmp_path / "turns")), till.note("after"))
    assert [each.outcome.value for each in outcomes] == [expected, "applied"]
    assert everything(companion) == before


def test_jobs_of_other_requests_go_on(till: Till, companion: Any) -> None:
    rehearse(till, till.note("tells others"))
    before = companion.run(jobs)
    companion.insert({"doctype": NOTE, "title": "after a rehearsal"})
    till.rest.get(CAPABILITIES)
    assert companion.run(jobs) == before


def test_who_may_not_push_may_not_rehearse(till: Till, companion: Any) -> None:
    assert told(send(till, *[till.note() for _ in range(6)])) == (413, "PushTooLarge")
    till.done(till.note())
    other = Till(companion.user("other@shop.example", BRANCH_ROLE, "Shop User"), origin=till.origin)
    assert told(send(other, other.note())) == (403, "OriginOfAnother")
    companion.run(stop, till.origin)
    assert told(send(till, till.note()))[0] == 409
    stranger = Till(companion.user("clerk@shop.example", "Shop User"))
    assert told(send(stranger, stranger.note())) == (403, "PermissionError")


def stop(origin: str) -> None:
    """Runs on the central."""
    import frappe

    frappe.db.set_value("Sync Origin", origin, {"stopped": 1, "stopped_reason": "looked at"})
    frappe.db.commit()


# The preview of a decision


@pytest.fixture
def conflict(settings: Any, branch: Any, companion: Any) -> str:
    """Both sides changed a note; people decide, and the central has the companion."""
    key, secret = companion.run(make_user, "till@shop.example", [BRANCH_ROLE, "Shop User"])
    settings(default_strategy="Manual", central_url=companion.url, api_key=key, api_secret=secret)
    branch.insert({"doctype": NOTE, "title": "Tea", "weight": 1})
    branch.sync()
    return differ(branch, companion, NOTE, {"category": "A", "weight": 2}, {"category": "B"})


@pytest.fixture
def clerk(branch: Any) -> Any:
    return branch.user("clerk@shop.example", "Shop User", "Offline Sync User")


def central_says(clerk: Any, conflict: str, resolution: str = "local_wins", **given: Any) -> dict[str, Any]:
    return dict(ask(clerk, "preview", name=conflict, resolution=resolution, **given)["central"])


def test_a_preview_says_what_the_central_would_answer(
    branch: Any, companion: Any, conflict: str, clerk: Any
) -> None:
    before = everything(companion), branch.documents("Offline Request"), branch.documents("Sync Conflict")
    assert central_says(clerk, conflict) == {"asked": True, "verdict": "accepted", "message": ""}
    refused = central_says(clerk, conflict, "manual", values={"title": "refuses pushes", "category": "C"})
    assert (refused["asked"], refused["verdict"]) == (True, "refused")
    assert "The central takes no such note." in refused["message"]
    unknown = central_says(clerk, conflict, "manual", values={"title": "commits", "category": "C"})
    assert (unknown["asked"], unknown["verdict"]) == (True, "unknown")
    assert "commits in the middle" in unknown["message"]
    assert central_says(clerk, conflict, "server_wins")["asked"] is False
    after = everything(companion), branch.documents("Offline Request"), branch.documents("Sync Conflict")
    assert after == before
    assert ask(clerk, "decide", name=conflict, resolution="local_wins")["status"] == "decided"
    branch.sync()
    (note,) = companion.documents(NOTE)
    assert (note["category"], note["weight"]) == ("A", 2)
    assert branch.count("Sync Conflict", {"resolution_status": "pending"}) == 0


def test_a_preview_says_that_the_document_moved_again(companion: Any, conflict: str, clerk: Any) -> None:
    (note,) = companion.documents(NOTE)
    companion.save(NOTE, note["name"], category="C")
    assert central_says(clerk, conflict)["verdict"] == "conflict"


def test_a_central_that_is_gone_is_asked_in_vain(rig: Any, conflict: str, clerk: Any) -> None:
    rig.service("stop", "companion_web")
    told = central_says(clerk, conflict)
    assert told == {"asked": True, "verdict": "unreached", "message": ""}


def test_while_sending_is_paused_the_central_is_not_asked(branch: Any, conflict: str, clerk: Any) -> None:
    branch.rest.post("/api/method/erp_offline_sync.api.pause", json={"reason": "stock taking"})
    assert central_says(clerk, conflict) == {"asked": False, "verdict": "unknown", "message": ""}
