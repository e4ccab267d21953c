"""What people see of the whole: computed, never stored alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support import Branch, page, refused

from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.status import pause, paused_by, resume, sync_status


def status(branch: Branch) -> dict[str, Any]:
    with branch.store.transaction():
        return sync_status(branch.store)


def test_before_the_first_run_it_is_idle_and_says_so(branch: Branch) -> None:
    shown = status(branch)
    assert (shown["state"], shown["reason"], shown["line"]) == ("idle", "no run yet", "closed")
    assert shown["lastSyncTime"] is shown["oldestAge"] is None
    assert (shown["pendingCount"], shown["conflictCount"], shown["daysOffline"]) == (0, 0, 0)
    assert set(shown["totals"].values()) == {0}


def test_new_rows_are_counted_before_a_run_has_seen_them(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.later(90)
    branch.create("Customer", "C-2")
    shown = status(branch)
    assert (shown["pendingCount"], shown["totals"]["captured"], shown["oldestAge"]) == (2, 2, 90)


def test_after_a_run_it_is_idle_and_says_what_was_done(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.run()
    shown = status(branch)
    assert (shown["state"], shown["reason"]) == ("idle", "nothing due")
    assert shown["stats"]["successCount"] == 1
    assert shown["lastSyncTime"] == branch.clock.now().isoformat()
    assert shown["totals"] == {
        "captured": 1,
        "applied": 1,
        "merged": 0,
        "decided": 0,
        "discarded": 0,
        "held": 0,
        "waiting": 0,
    }


def test_it_is_syncing_while_a_run_holds_the_lease_and_not_a_second_longer(branch: Branch) -> None:
    """A run that was killed cannot leave `syncing` behind."""
    with branch.store.transaction():
        branch.store.acquire_lease("killed", 60)
    assert status(branch)["state"] == "syncing"
    branch.later(61)
    assert status(branch)["state"] == "idle"


def test_while_the_central_cannot_be_reached_it_says_since_when_and_for_how_many_days(
    branch: Branch,
) -> None:
    branch.synced("Customer", "C-1")
    branch.later(86_400)
    branch.central.online = False
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    since = branch.clock.now()
    branch.later(2 * 86_400)
    shown = status(branch)
    assert (shown["state"], shown["line"], shown["daysOffline"]) == ("idle", "open", 3)
    assert shown["reason"] == f"offline since {since.isoformat(timespec='seconds')}"
    assert shown["oldestAge"] == 2 * 86_400


def test_a_central_that_answers_its_probe_again_is_not_offline(branch: Branch) -> None:
    """Also where nothing is left to send that could close the breaker."""
    branch.central.online = False
    branch.create("Customer", "C-1")
    branch.run()
    branch.central.online = True
    branch.later(60)
    assert branch.engine.line.probe()
    branch.later(86_400)
    shown = status(branch)
    assert (shown["line"], shown["daysOffline"]) == ("half-open", 0)
    assert "since" not in shown["reason"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(refused(401, "AuthenticationError", "Invalid token"), "Invalid token"), (page(302), "302")],
)
def test_what_a_person_has_to_correct_is_a_failure_with_its_reason(
    branch: Branch, answer: Any, reason: str
) -> None:
    branch.create("Customer", "C-1")
    branch.central.answers_all = answer
    branch.run()
    shown = status(branch)
    assert shown["state"] == "failed"
    assert reason in shown["reason"]
    branch.central.answers_all = None
    branch.run(force=True)
    assert status(branch)["state"] == "idle"


def test_a_run_that_an_error_ended_is_failed_until_a_good_one(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    deliver = branch.central.deliver

    def broken(*_args: Any, **_more: Any) -> Any:
        raise RuntimeError("secret value")

    branch.central.deliver = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        branch.run()
    shown = status(branch)
    assert shown["state"] == "failed"
    assert "RuntimeError" in shown["reason"]
    assert "secret" not in shown["reason"]
    branch.central.deliver = deliver  # type: ignore[method-assign]
    branch.run()
    assert status(branch)["state"] == "idle"


def test_while_paused_it_says_who_paused_and_why(branch: Branch) -> None:
    with branch.store.transaction():
        pause(branch.store, by="ann", reason="stock taking")
    shown = status(branch)
    assert shown["reason"] == "paused by ann (stock taking)"
    since = branch.clock.now().isoformat()
    assert shown["paused"] == {"by": "ann", "reason": "stock taking", "since": since, "until": None}
    with branch.store.transaction():
        branch.store.acquire_lease("run", 60)
    assert (status(branch)["reason"], status(branch)["paused"]["by"]) == ("", "ann")
    with branch.store.transaction():
        resume(branch.store)
    assert status(branch)["paused"] is None


# pause and resume


def test_a_pause_lasts_until_it_is_resumed(branch: Branch) -> None:
    store = branch.store
    with store.transaction():
        pause(store, by="ann", reason="")
        assert paused_by(store, branch.clock.now() + timedelta(days=400)) == "ann"
        assert resume(store)
        assert paused_by(store, branch.clock.now()) is None
        assert not resume(store)


def test_a_pause_may_end_by_itself(branch: Branch) -> None:
    """As the one that a migration leaves."""
    store, now = branch.store, branch.clock.now()
    with store.transaction():
        pause(store, by="migrate", reason="update", until=now + timedelta(minutes=15))
        assert paused_by(store, now) == "migrate (update)"
        assert paused_by(store, now + timedelta(minutes=15)) is None


def test_a_migration_does_not_lift_the_pause_of_a_person(branch: Branch) -> None:
    store = branch.store
    with store.transaction():
        pause(store, by="ann", reason="stock taking")
        assert not resume(store, only_by="migrate")
        assert paused_by(store, branch.clock.now())
        assert resume(store, only_by="ann")


def test_nobody_pauses_without_a_name(branch: Branch) -> None:
    with branch.store.transaction(), pytest.raises(InvalidRequest, match="who"):
        pause(branch.store, by="", reason="x")
