"""Who sends: a copy pauses before one request leaves, and a restored backup looks before it sends again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from support import LOST, Branch, a_branch, a_request, page, refused

from erp_offline_sync.engine.actions import discard, discard_all, retry, send_whole
from erp_offline_sync.engine.coalesce import certainly_had_no_effect
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.errors import InvalidRequest, NotAllowed, SettingsError
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Operation, Readiness, Reply, Request, Resolution, Status, Wire
from erp_offline_sync.engine.sending.companion import COMPANION
from erp_offline_sync.engine.sending.origin import (
    LEAP,
    NEXT_NUMBER,
    ORIGIN,
    SET_BACK,
    TOLD,
    Origin,
    Origins,
    Standing,
    judge,
    kept_origin,
)
from erp_offline_sync.engine.status import IDENTITY_ASKS, pause, paused_by, resume, sync_status
from erp_offline_sync.testing.doubles import MemoryNote
from erp_offline_sync.testing.model_central import Fault

HERE = {"site": "a.example", "path": "/sites/a.example"}
ELSEWHERE = {"site": "b.example", "path": "/sites/b.example"}
KEPT = Origin(id="o1", run=7, **HERE)
TIMEOUT = Config().central_request_timeout


class LockedNote(MemoryNote):
    """A folder that takes no file any more, once `locked`."""

    locked = False

    def write(self, text: str) -> None:
        if self.locked:
            raise SettingsError("The note cannot be written.")
        super().write(text)


@pytest.fixture
def note() -> LockedNote:
    return LockedNote()


@pytest.fixture
def branch(note: LockedNote) -> Branch:
    return a_branch(note=note)


def origin(branch: Branch) -> Origin:
    with branch.store.transaction():
        kept = kept_origin(branch.store)
    assert kept is not None
    return kept


def set_origin(branch: Branch, origin: Origin | None) -> None:
    with branch.store.transaction():
        branch.store.set_meta(ORIGIN, origin.to_json() if origin else None)


def asked(branch: Branch) -> str | None:
    with branch.store.transaction():
        return sync_status(branch.store)["identity"]


def paused(branch: Branch) -> str | None:
    with branch.store.transaction():
        return paused_by(branch.store, branch.store.now())


def restored(branch: Branch, *, runs: int = 1) -> None:
    """As if the database were as of so many runs ago."""
    kept = origin(branch)
    set_origin(branch, replace(kept, run=kept.run - 2 * runs))


def run_each(branch: Branch, seconds: float, times: int = 8) -> None:
    for _ in range(times):
        branch.run()
        branch.later(seconds)


def sent_meanwhile(branch: Branch, doctype: str, **values: str) -> None:
    """The branch itself sent this, and does not know it any more."""
    branch.central.apply(
        Wire(method="POST", path=f"/api/resource/{doctype}", body=canonical_json(values)), "lost"
    )


# the judgement


def test_a_first_run_makes_an_identity_and_each_further_one_raises_its_number() -> None:
    assert judge(None, None, **HERE, used=True) == (Standing.NEW, "")
    assert judge(KEPT, KEPT, **HERE, used=True) == (Standing.SAME, "")


def test_a_database_behind_the_note_was_restored_and_one_ahead_of_it_was_not() -> None:
    standing, why = judge(KEPT, replace(KEPT, run=9), **HERE, used=True)
    assert (standing, why) == (Standing.RESTORED, "the database is as of run 7, and 9 was reached")
    assert judge(KEPT, replace(KEPT, run=3), **HERE, used=True)[0] is Standing.SAME


def test_a_database_without_an_identity_beside_a_note_for_this_place_was_restored() -> None:
    assert judge(None, KEPT, **HERE, used=True)[0] is Standing.RESTORED


def test_a_new_database_in_a_copied_folder_is_new_while_it_sent_nothing() -> None:
    elsewhere = replace(KEPT, **ELSEWHERE)
    assert judge(None, elsewhere, **HERE, used=False)[0] is Standing.NEW
    assert judge(None, elsewhere, **HERE, used=True) == (
        Standing.ASK,
        "the note in this site's folder was written for b.example in /sites/b.example",
    )


@pytest.mark.parametrize(
    ("kept", "noted", "why"),
    [
        (KEPT, None, "missing"),
        (KEPT, replace(KEPT, id="o2"), "two branches"),
        (replace(KEPT, **ELSEWHERE), KEPT, "it was b.example in /sites/b.example before"),
        (KEPT, replace(KEPT, path="/backup/a.example"), "it was a.example in /backup/a.example before"),
        (replace(KEPT, site="b.example"), replace(KEPT, site="b.example"), "it was b.example"),
    ],
)
def test_another_site_path_or_note_is_asked_about(kept: Origin, noted: Origin | None, why: str) -> None:
    standing, said = judge(kept, noted, **HERE, used=True)
    assert standing is Standing.ASK
    assert why in said


@pytest.mark.parametrize("text", [None, "", "{", "[]", "7", '{"id": "o1"}', '{"id": "o", "run": "x"}'])
def test_a_note_that_cannot_be_read_is_none(text: str | None) -> None:
    assert Origin.from_json(text) is None


def test_an_origin_is_read_as_it_was_written() -> None:
    assert Origin.from_json(KEPT.to_json()) == KEPT


# in a run


def test_each_run_raises_its_number_at_both_ends_in_database_and_note(
    branch: Branch, note: LockedNote
) -> None:
    branch.run()
    first = origin(branch)
    assert (first.run, first.site, first.path) == (2, note.site, note.path)
    assert Origin.from_json(note.text) == first == branch.engine.origins.current
    branch.run()
    assert (origin(branch).id, origin(branch).run) == (first.id, 4)


def test_without_a_note_there_is_an_identity_all_the_same() -> None:
    branch = a_branch()
    branch.run()
    branch.run()
    assert origin(branch).run == 4
    assert Origins(branch.ports).look()[0] is Standing.SAME


def test_a_copy_sends_nothing_and_asks(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-1")
    note.site, note.path = "copy.example", "/sites/copy.example"
    branch.create("Customer", "C-2")
    calls = len(branch.central.delivered)
    branch.central.online = False  # not even a probe would be answered
    assert branch.run().reason.startswith(
        "paused by identity check (copy or replacement? it was branch.example"
    )
    assert len(branch.central.delivered) == calls
    assert branch.engine.origins.current is None
    assert "Is this site a copy" in str(asked(branch))


def test_a_resumed_copy_pauses_again_and_an_older_pause_stays(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-1")
    note.text = None
    with branch.store.transaction():
        pause(branch.store, by="ann", reason="stock taking")
    branch.run()
    assert paused(branch) == "ann (stock taking)"
    for _ in range(2):
        with branch.store.transaction():
            resume(branch.store)
        assert "identity check" in branch.run().reason


def test_moved_back_it_goes_on_by_itself(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-1")
    note.path = "/elsewhere"
    branch.create("Customer", "C-2")
    branch.run()
    note.path = "/sites/branch.example"
    assert branch.run().reason == "done"
    assert (asked(branch), paused(branch)) == (None, None)
    assert len(branch.names_there("Customer")) == 2


def test_a_backup_made_during_the_first_run_asks_where_its_note_is_missing(
    branch: Branch, note: LockedNote
) -> None:
    """Something may have left by then, and on another machine nothing but the number tells."""
    branch.create("Customer", "C-1")
    backups: list[str | None] = []

    def back_up(doctype: str, body: object) -> None:
        with branch.store.transaction():
            backups.append(branch.store.get_meta(ORIGIN))

    branch.central.rules.append(back_up)
    branch.run()
    with branch.store.transaction():
        branch.store.set_meta(ORIGIN, backups[0])
    note.text = None
    assert Origins(branch.ports).look()[0] is Standing.ASK


def test_nothing_is_sent_while_the_note_cannot_be_written(branch: Branch, note: LockedNote) -> None:
    branch.create("Customer", "C-1")
    note.locked = True
    with pytest.raises(SettingsError):
        branch.run()
    assert branch.central.delivered == []
    note.locked = False
    assert branch.run().reason == "done"
    assert branch.names_there("Customer") != []


def test_a_note_that_locks_during_a_run_does_not_fail_it(branch: Branch, note: LockedNote) -> None:
    branch.create("Customer", "C-1")
    deliver = branch.central.deliver

    def then_lock(wire: object, *, key: str) -> object:
        note.locked = True
        return deliver(wire, key=key)  # type: ignore[arg-type]

    branch.central.deliver = then_lock  # type: ignore[method-assign,assignment]
    assert branch.run().reason == "done"
    assert Origin.from_json(note.text) == replace(origin(branch), run=1)


# a restored backup


def test_a_create_that_was_sent_after_the_backup_is_found_and_not_made_twice(branch: Branch) -> None:
    branch.synced("Customer", "C-0", city="Oslo")
    request = branch.create("Customer", "C-1", city="Rome")
    sent_meanwhile(branch, "Customer", city="Rome")
    restored(branch)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2
    assert [attempt.event for attempt in branch.get(request).history] == ["restored", "arrived before"]


def test_a_create_that_was_sent_days_before_the_backup_was_restored_is_found(branch: Branch) -> None:
    branch.synced("Customer", "C-0", city="Oslo")
    request = branch.create("Customer", "C-1", city="Rome")
    sent_meanwhile(branch, "Customer", city="Rome")
    branch.later(3 * 24 * 3600)
    restored(branch)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


def test_a_create_is_found_though_the_backup_came_back_under_another_clock(branch: Branch) -> None:
    """By this machine's clock it was saved only after the central had made it."""
    branch.synced("Customer", "C-0", city="Oslo")
    sent_meanwhile(branch, "Customer", city="Rome")
    branch.later(300)
    request = branch.create("Customer", "C-1", city="Rome")
    restored(branch)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


def test_what_was_not_sent_after_the_backup_goes_once_nothing_can_be_on_its_way(branch: Branch) -> None:
    branch.synced("Customer", "C-0")
    create = branch.create("Customer", "C-1", city="Rome")
    sale = branch.create("Sale", "S-1", customer="C-1", links={"customer": "Customer"})
    update = branch.update("Customer", "C-0", city="Bonn")
    branch.later(3600)
    restored(branch)
    branch.run()
    # What carries a version cannot happen twice.
    assert branch.status(update) is Status.SYNCED
    branch.later(TIMEOUT - 1)
    branch.run()
    assert branch.status(create) is Status.IN_DOUBT
    branch.later(1)
    branch.run()
    branch.later(TIMEOUT)
    assert branch.run().reason == "done"
    assert [branch.status(each) for each in (create, sale, update)] == [Status.SYNCED] * 3
    assert len(branch.names_there("Customer")) == 2
    assert len(branch.names_there("Sale")) == 1
    branch.assert_equal("Customer", "C-0")


@pytest.mark.parametrize("in_doubt", [False, True], ids=["not-sent", "in-doubt"])
def test_a_create_that_was_on_its_way_when_the_backup_was_restored_is_made_once(
    branch: Branch, in_doubt: bool
) -> None:
    """Sent after the backup, and so late that the restored branch looks before it arrives."""
    branch.synced("Customer", "C-0")
    request = branch.create("Customer", "C-1", city="Rome")
    if in_doubt:
        branch.answer(LOST)
        branch.run()
    branch.later(TIMEOUT)
    backup, sends = branch.get(request), len(branch.central.delivered)
    branch.central.faults.append(Fault(LOST, late=TIMEOUT - 1))
    branch.run()
    assert len(branch.central.delivered) == sends + 1
    with branch.store.transaction():
        branch.store.replace(backup)
    restored(branch)
    run_each(branch, TIMEOUT / 4)
    branch.central.arrive()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


@pytest.mark.parametrize("backed_up", ["not-sent", "in-doubt", "pushed-in-doubt"])
def test_a_create_that_plain_rest_had_on_its_way_is_made_once_though_there_is_a_companion_now(
    note: LockedNote, backed_up: str
) -> None:
    """It leaves no receipt, and arrives after the restored branch has asked for one."""
    branch = a_branch(note=note, companion=backed_up == "pushed-in-doubt")
    branch.synced("Customer", "C-0")
    request = branch.create("Customer", "C-1", city="Rome")
    receipts = branch.central.receipts
    branch.central.receipts = lambda origin, keys: page(502)  # type: ignore[method-assign]
    if backed_up != "not-sent":
        branch.answer(LOST)
        branch.run()
        assert branch.status(request) is Status.IN_DOUBT
    branch.central.receipts = receipts  # type: ignore[method-assign]
    branch.later(TIMEOUT)
    backup, sends = branch.get(request), len(branch.central.delivered)
    with branch.store.transaction():
        known = branch.store.get_meta(COMPANION)
    branch.central.has_companion = False
    branch.central.faults.append(Fault(LOST, late=TIMEOUT - 1))
    for _ in range(4):
        if len(branch.central.delivered) == sends:
            branch.later(3600)
            branch.run()
    assert len(branch.central.delivered) == sends + 1
    branch.central.has_companion = True
    with branch.store.transaction():
        branch.store.replace(backup)
        branch.store.set_meta(COMPANION, known)
    restored(branch)
    run_each(branch, TIMEOUT / 4)
    branch.central.arrive()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


def test_the_wait_begins_anew_where_the_clock_was_set_back_after_the_restore(branch: Branch) -> None:
    branch.synced("Customer", "C-0")
    request = branch.create("Customer", "C-1", city="Rome")
    restored(branch)
    branch.run()
    branch.clock.jump(-24 * 3600)
    run_each(branch, TIMEOUT)
    assert branch.status(request) is Status.SYNCED


def test_what_was_in_doubt_in_the_backup_is_found_by_a_machine_of_another_clock(branch: Branch) -> None:
    """When it was sent was noted by the clock that the branch had before."""
    branch.synced("Customer", "C-0")
    request = branch.create("Customer", "C-1", city="Rome")
    deliver = branch.central.deliver

    def lost(*given: Any, **options: Any) -> Reply:
        deliver(*given, **options)
        made = list(branch.central.documents["Customer"].values())[-1]
        earlier = datetime.fromisoformat(made["creation"]) - timedelta(seconds=5)
        made["creation"] = earlier.isoformat(sep=" ", timespec="microseconds")
        return LOST

    branch.central.deliver = lost  # type: ignore[method-assign]
    branch.run()
    assert branch.status(request) is Status.IN_DOUBT
    restored(branch)
    run_each(branch, TIMEOUT)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


def test_a_backup_that_is_restored_twice_is_waited_for_twice(branch: Branch) -> None:
    branch.synced("Customer", "C-0")
    request = branch.create("Customer", "C-1", city="Rome")
    for _ in range(2):
        restored(branch)
        branch.run()
        branch.later(TIMEOUT - 1)
    branch.run()
    assert branch.status(request) is Status.IN_DOUBT
    assert [attempt.event for attempt in branch.get(request).history] == ["restored"]


def test_what_is_new_at_a_restored_branch_gets_no_number_that_was_given_before(note: LockedNote) -> None:
    """The companion takes a number below what was closed for one whose receipt may be gone."""
    branch = a_branch(note=note, companion=True)
    branch.synced("Customer", "C-0")
    with branch.store.transaction():
        next_number = branch.store.get_meta(NEXT_NUMBER)
    for name in ("C-1", "C-2", "C-3"):
        branch.synced("Customer", name)
    restored(branch)
    with branch.store.transaction():
        branch.store.set_meta(NEXT_NUMBER, next_number)
    request = branch.create("Customer", "C-4")
    branch.run()
    branch.later(TIMEOUT)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.get(request).number == int(next_number or 0) + LEAP


def test_an_update_that_was_sent_after_the_backup_is_no_conflict(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo", note="x")
    update = branch.update("Customer", "C-1", city="Rome")
    branch.central.edit("Customer", name, city="Rome")
    branch.update("Customer", "C-1", note="y")  # not taken into the one that may have arrived
    restored(branch)
    branch.run()
    assert branch.status(update) is Status.SYNCED
    assert branch.statuses()[-1] is Status.SYNCED
    assert branch.there("Customer", name)["note"] == "y"  # type: ignore[index]


def test_a_rename_that_was_sent_after_the_backup_is_not_tried_again(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1")
    rename = branch.rename("Customer", "C-1", "C-9")
    table = branch.central.documents["Customer"]
    table["C-9"] = {**table.pop(name), "name": "C-9"}
    restored(branch)
    branch.run()
    assert branch.status(rename) is Status.SYNCED
    assert branch.line_of("Customer", "C-9").central_name == "C-9"


def test_a_create_that_cannot_be_made_ready_for_the_look_is_held(branch: Branch) -> None:
    branch.synced("Customer", "C-0")
    branch.documents.documents["Item", "I-1"] = {"name": "I-1"}
    schema_less = branch.create("Sale", "S-1", item="I-1", links={"item": "Item"})
    restored(branch)
    branch.ports.policies._policies["Item"] = replace(  # type: ignore[attr-defined]
        branch.ports.policies.policy("Item"), same_names=False
    )
    branch.run()
    assert branch.status(schema_less) is Status.NEEDS_ATTENTION


def test_a_restored_database_with_many_rows_marks_them_all_and_once(branch: Branch) -> None:
    branch.synced("Customer", "C-0")
    requests = [branch.create("Customer", f"C-{number}") for number in range(1, 260)]
    restored(branch)
    branch.control.stop()
    branch.run()
    rows = [branch.get(each) for each in requests]
    assert all(row.unsure and len(row.history) == 1 for row in rows)
    kept = origin(branch)
    set_origin(branch, replace(kept, run=kept.run - 2))
    branch.run()
    assert all(len(branch.get(each).history) == 1 for each in requests)


def test_a_database_from_before_the_identity_takes_that_of_the_note(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-1")
    before = origin(branch)
    request = branch.create("Customer", "C-2")
    set_origin(branch, None)
    branch.run()
    assert (origin(branch).id, origin(branch).run) == (before.id, before.run + 2)
    assert branch.get(request).history[0].event == "restored"


@pytest.mark.parametrize("status", [s for s in Status if s.value not in ("Merged", "Decided", "Discarded")])
def test_each_open_state_stays_what_it_is_or_is_looked_at_anew(branch: Branch, status: Status) -> None:
    branch.synced("Customer", "C-0")
    with branch.store.transaction():
        branch.store.add(
            a_request(
                id="x",
                key="x",
                status=status,
                readiness=Readiness.READY,
                refused=True,
                sends=2,
                lease_token=77 if status is Status.IN_FLIGHT else None,
                waits_for="y" if status is Status.WAITING else None,
            )
        )
    restored(branch)
    branch.control.stop()
    branch.run()
    row: Request = branch.get("x")
    looked_at = {Status.PENDING, Status.RETRY, Status.IN_FLIGHT}
    assert row.status is (Status.PENDING if status in looked_at else status)
    assert row.unsure is (status not in (Status.SYNCED, Status.IN_DOUBT))
    assert (row.readiness is Readiness.RECHECK) is (status in looked_at)
    if row.unsure:
        assert not certainly_had_no_effect(row)


def test_what_needed_a_person_in_the_backup_is_looked_up_when_it_is_tried_again(branch: Branch) -> None:
    branch.synced("Customer", "C-0")
    request = branch.create("Customer", "C-1", city="Rome")
    branch.answer(refused(403, "PermissionError"))
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    restored(branch)
    sent_meanwhile(branch, "Customer", city="Rome")
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION
    retry(branch.ports, request, by="ann")
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2


# people, before a run has looked


def test_a_create_and_its_delete_do_not_cancel_out_before_a_run_has_looked_what_was_sent(
    branch: Branch,
) -> None:
    branch.synced("Customer", "C-0")
    create = branch.create("Customer", "C-1", city="Rome")
    other = branch.create("Customer", "C-2", city="Bonn")
    sent_meanwhile(branch, "Customer", city="Rome")
    deleted = branch.delete("Customer", "C-1")
    restored(branch)
    with pytest.raises(NotAllowed, match="restored from a backup"):
        discard(branch.ports, other, reason="a test", by="ann")
    assert {branch.get(each).readiness for each in (create, other, deleted)} == {Readiness.NEW}
    run_each(branch, TIMEOUT)
    assert branch.status(create) is branch.status(deleted) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 2  # C-0 and C-2


@pytest.mark.parametrize("why", ["restored", "told by the companion", "a copy"])
def test_nobody_decides_about_what_may_have_been_sent_since(
    branch: Branch, note: LockedNote, why: str
) -> None:
    first, second = (branch.synced("Customer", each, city="Oslo") for each in ("C-1", "C-2"))
    for here, there in (("C-1", first), ("C-2", second)):
        branch.update("Customer", here, city="Rome")
        branch.central.edit("Customer", there, city="Bonn")
    branch.registry.register("Customer", lambda _id, _data: {"resolution": "manual"})
    branch.run()
    resolutions = branch.engine.resolutions
    with branch.store.transaction():
        decided, pending = (conflict.id for conflict in branch.store.conflicts())
    resolutions.apply(decided, Resolution.LOCAL_WINS, by="ann")
    request = branch.create("Customer", "C-3")
    if why == "restored":
        restored(branch)
    elif why == "a copy":
        note.path = "/copy"
    else:
        with branch.store.transaction():
            branch.store.set_meta(SET_BACK, TOLD)
    steps: list[Callable[[], object]] = [
        lambda: retry(branch.ports, request, by="ann"),
        lambda: discard(branch.ports, request, reason="a test", by="ann"),
        lambda: send_whole(branch.ports, request, by="ann"),
        lambda: resolutions.apply(pending, Resolution.SKIP, by="ann"),
        lambda: resolutions.undo(decided, by="ann"),
    ]
    for step in steps:
        with pytest.raises(NotAllowed, match="copy, or the replacement" if why == "a copy" else "backup"):
            step()
    if why == "a copy":
        branch.engine.origins.take_over()
    branch.run()
    with pytest.raises(NotAllowed, match="Only a document that is not at the central"):
        send_whole(branch.ports, request, by="ann")
    assert resolutions.apply(pending, Resolution.SKIP, by="ann").resolved_by == "ann"


# what a person says


def test_a_replacement_goes_on_under_the_same_identity_and_looks_first(
    branch: Branch, note: LockedNote
) -> None:
    branch.synced("Customer", "C-0")
    before = origin(branch)
    request = branch.create("Customer", "C-1")
    note.text = None
    branch.run()
    branch.engine.origins.take_over()
    after = origin(branch)
    assert (after.id, after.run) == (before.id, before.run + LEAP + 1)
    assert branch.get(request).unsure
    branch.later(3600)
    assert branch.run().reason == "done"
    assert branch.status(request) is Status.SYNCED
    assert (asked(branch), paused(branch)) == (None, None)


def test_a_site_moved_with_its_note_has_nothing_in_doubt(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-0")
    before = origin(branch)
    request = branch.create("Customer", "C-1")
    note.path = "/new/home"
    branch.engine.origins.take_over()
    assert (origin(branch).run, origin(branch).path) == (before.run + 1, "/new/home")
    assert not branch.get(request).unsure


def test_a_moved_site_whose_database_is_older_looks_first(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-0")
    request = branch.create("Customer", "C-1")
    restored(branch)
    note.path = "/new/home"
    branch.engine.origins.take_over()
    assert branch.get(request).unsure
    assert origin(branch).run == 3


def test_the_folder_of_another_branch_does_not_give_its_number(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-0")
    note.text = replace(KEPT, run=999_999_999).to_json()
    before = origin(branch)
    branch.engine.origins.take_over()
    assert (origin(branch).id, origin(branch).run) == (before.id, before.run + LEAP + 1)


def test_an_old_database_in_the_folder_of_another_takes_over_from_that(
    branch: Branch, note: LockedNote
) -> None:
    request = branch.create("Customer", "C-0")
    note.text = KEPT.to_json()
    branch.run()
    branch.engine.origins.take_over()
    assert (origin(branch).id, origin(branch).run) == ("o1", 8)
    assert branch.get(request).unsure


def test_a_copy_begins_anew_without_the_originals_requests(branch: Branch, note: LockedNote) -> None:
    branch.synced("Customer", "C-0")
    before = origin(branch)
    pending = branch.create("Customer", "C-1")
    doubted = branch.create("Customer", "C-2")
    with branch.store.transaction():
        flying = replace(branch.get(doubted), status=Status.IN_DOUBT, readiness=Readiness.READY)
        branch.store.replace(flying)
    branch.update("Customer", "C-0", city="Rome")
    branch.central.edit("Customer", branch.names_there("Customer")[0], city="Bonn")
    conflicting = branch.queue(Operation.CALL, None, None, {}, path="/api/method/x")
    note.path = "/copy"
    assert discard_all(branch.ports, reason="a copy", by="ann") == 4
    branch.engine.origins.begin_anew()
    after = origin(branch)
    assert after.id != before.id
    assert (after.run, after.path) == (1, "/copy")
    for request in (pending, doubted, conflicting):
        assert (branch.status(request), branch.get(request).closed_by) == (Status.DISCARDED, "ann")
    assert branch.ledger().waiting == branch.ledger().held == 0
    assert branch.run().reason == "done"


def test_open_conflicts_of_the_original_are_closed_at_its_copy(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", city="Oslo")
    branch.registry.register("Customer", lambda _id, _data: {"resolution": "manual"})
    branch.update("Customer", "C-1", city="Rome")
    branch.central.edit("Customer", name, city="Bonn")
    branch.run()
    assert branch.pending()
    assert discard_all(branch.ports, reason="a copy", by="ann") == 1
    assert branch.conflict().resolved_by == "ann"
    with branch.store.transaction():
        assert branch.store.count_conflicts() == 0


def test_discarding_all_needs_a_reason_and_a_person(branch: Branch) -> None:
    with pytest.raises(InvalidRequest):
        discard_all(branch.ports, reason=" ", by="ann")


def test_where_nothing_is_asked_nothing_is_decided(branch: Branch) -> None:
    branch.run()
    with pytest.raises(NotAllowed):
        branch.engine.origins.take_over()
    with pytest.raises(NotAllowed):
        branch.engine.origins.begin_anew()
    with branch.store.transaction():
        assert branch.store.get_meta(IDENTITY_ASKS) is None
