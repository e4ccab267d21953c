"""How runs begin, end and are ended: nothing that happens to a run, its worker or Redis loses or doubles a change."""

import json
import time

import pytest
from site_rig.client import wait_until
from site_rig.world import requests_of, statuses

NOTES = 3


def make_notes(count):
    import frappe

    names = []
    for number in range(count):
        names.append(frappe.get_doc({"doctype": "Shop Note", "title": f"note {number}"}).insert().name)
        frappe.db.commit()
    return names


def titles_at(central):
    return sorted(note["title"] for note in central.documents("Shop Note", fields=["title"]))


def expected(count):
    return sorted(f"note {number}" for number in range(count))


def ledger_of(branch):
    totals = branch.call("erp_offline_sync.console.status")["totals"]
    assert totals["captured"] == sum(value for key, value in totals.items() if key != "captured")
    return totals


def test_a_run_killed_after_any_of_its_steps_loses_nothing_and_sends_nothing_twice(
    branch, central, connected, rig
):
    """Every commit and every call of the central is once the last thing that a run does. At most four runs later all
    is there, and one more sends nothing again."""
    branch.run(make_notes, 1)
    steps = branch.kill_at("never").steps
    effects = sum(step == "commit" or step.startswith("central.") for step in steps)
    assert effects > 8
    for number in range(1, effects + 1):
        rig.empty()
        branch.run(make_notes, 2)
        crashed = branch.kill_at(f"effect#{number}")
        assert crashed.killed, number
        for _ in range(4):
            branch.sync(later=300, force=True)
            if {status for _, status in statuses(branch)} == {"Synced"}:
                break
        branch.sync(later=300, force=True)
        assert titles_at(central) == expected(2), (number, crashed.steps[-3:])
        assert {status for _, status in statuses(branch)} == {"Synced"}, number
        assert ledger_of(branch)["captured"] == 2


def test_a_save_reaches_a_healthy_central_by_itself(branch, central, connected, worker):
    """The wake-up after the commit, a real queue and a real worker."""
    branch.run(make_notes, 1)
    wait_until(lambda: titles_at(central) == expected(1), timeout=30)
    wait_until(lambda: statuses(branch) == [("create", "Synced")], timeout=10)


def test_redis_down_neither_fails_nor_delays_a_save_and_the_next_tick_sends_it(
    branch, central, connected, redis_down
):
    def timed(count):
        import time

        import frappe

        frappe.get_doc({"doctype": "Shop Note", "title": "warm"}).insert()
        frappe.db.rollback()
        started = time.monotonic()
        frappe.get_doc({"doctype": "Shop Note", "title": "note 0"}).insert()
        frappe.db.commit()
        return time.monotonic() - started

    with redis_down("queue"):
        seconds = branch.run(timed, 1)
        assert statuses(branch) == [("create", "Pending")]
    assert seconds < 4, "Redis' own patience would be longer"
    assert branch.scheduler_tick() == "done"
    assert titles_at(central) == expected(1)


def test_whoever_asks_for_a_run_gets_it_right_after_redis_was_away(rig, branch, settings, redis_down):
    settings(sync_on_save=1)
    with redis_down("queue"):
        branch.run(make_notes, 1)
    branch.call("erp_offline_sync.api.force_sync")
    assert len(rig.redis("KEYS", "rq:job:*offline-sync*")) == 1


def test_a_worker_stopped_during_a_run_leaves_its_outbox_in_order(branch, central, connected, worker):
    with central.hanging():
        # In a process of its own: one that has just seen Redis down does not try again for some seconds.
        branch.start(make_notes, 2).wait()
        wait_until(lambda: any(row["sends"] for row in requests_of(branch)), timeout=30)
        time.sleep(1)
        worker.kill()
    # What hung in the central's socket has its effect late, yet long before its own time limit.
    wait_until(lambda: titles_at(central) == expected(1), timeout=30)
    for _ in range(4):
        branch.sync(later=300, force=True)
    assert titles_at(central) == expected(2)
    assert {status for _, status in statuses(branch)} == {"Synced"}


def test_a_worker_that_is_asked_to_stop_ends_its_run_between_two_requests(branch, central, settings, worker):
    count = 60
    settings(sync_on_save=0)
    branch.run(make_notes, count)
    branch.call("erp_offline_sync.api.force_sync")
    wait_until(lambda: branch.count("Offline Request", {"status": "Synced"}) > 2, timeout=30)
    worker.stop()
    assert branch.count("Offline Request", {"status": "In Flight"}) == 0
    left = count - branch.count("Offline Request", {"status": "Synced"})
    assert left > 0
    assert branch.sync() == "done"
    assert titles_at(central) == expected(count)


def test_a_migration_stops_the_run_and_lets_it_go_on_afterwards(branch, central, connected):
    branch.run(make_notes, 40)
    running = branch.start_job(trigger="person")
    wait_until(lambda: branch.count("Offline Request", {"status": "Synced"}) > 1, timeout=30)
    branch.bench("migrate", "--skip-search-index")
    reason = running.wait(30)
    assert reason == "done" or "bench migrate" in reason
    assert branch.call("erp_offline_sync.console.status")["state"] == "idle"
    assert branch.sync() == "done"
    assert titles_at(central) == expected(40)


def test_of_four_runs_at_once_one_sends(branch, central, connected):
    branch.run(make_notes, 20)
    runs = [branch.start_job(trigger="person") for _ in range(4)]
    reasons = sorted(run.wait() for run in runs)
    assert "done" in reasons
    assert set(reasons) <= {"busy", "done"}
    assert titles_at(central) == expected(20)


def test_a_pause_holds_everything_back_until_somebody_resumes(branch, central, connected):
    branch.call("erp_offline_sync.api.pause", "stock taking")
    branch.run(make_notes, 1)
    assert branch.sync() == "paused by Administrator (stock taking)"
    assert titles_at(central) == []
    from site_rig.client import SiteError

    with pytest.raises(SiteError, match="stock taking"):
        branch.call("erp_offline_sync.api.force_sync")
    branch.call("erp_offline_sync.api.resume")
    assert branch.sync() == "done"
    assert titles_at(central) == expected(1)


def test_while_the_line_is_down_a_tick_stays_and_probes_and_then_sends(branch, central, connected):
    second = time.localtime().tm_sec
    if second > 30:
        time.sleep(61 - second)  # a tick's run ends with its minute
    central.down()
    try:
        branch.run(make_notes, 1)
        tick = branch.start_job(trigger="tick")
        wait_until(lambda: branch.call("erp_offline_sync.console.status")["line"] == "open", timeout=20)
        time.sleep(2)
    finally:
        central.up()
    assert tick.wait(70) == "done"
    assert titles_at(central) == expected(1)
    assert requests_of(branch)[0]["retry_count"] == 0


def test_a_transaction_that_stays_open_holds_up_no_other_save(site, branch, connected):
    """Capture only inserts: on MariaDB a second save needs nothing that the first one holds."""
    if site.db.db_type == "sqlite":
        # One writer at a time is this database's own rule; what counts is that reading goes on.
        site.get_doc({"doctype": "Shop Note", "title": "open"}).insert()
        assert branch.count("Offline Request") == 0
        return
    site.get_doc({"doctype": "Shop Note", "title": "open"}).insert()
    started = time.monotonic()
    branch.insert({"doctype": "Shop Note", "title": "other"})
    assert time.monotonic() - started < 10
    assert branch.count("Offline Request") == 1


def test_run_forever_sends_what_is_saved_and_ends_on_sigterm(branch, central, connected):
    with branch.bench_start("offline-sync", "run", "--forever") as process:
        try:
            branch.run(make_notes, 2)
            wait_until(lambda: process.poll() is not None or titles_at(central) == expected(2), timeout=30)
        finally:
            process.terminate()
            told = process.communicate(timeout=20)
    assert titles_at(central) == expected(2), (told, statuses(branch))
    assert process.returncode == 0, told


def test_the_status_says_what_a_person_needs(branch, central, connected):
    branch.run(make_notes, 1)
    branch.sync()
    told = branch.call("erp_offline_sync.api.get_sync_status")
    assert told["state"] == "idle"
    assert told["reason"] == "nothing due"
    assert told["stats"]["successCount"] == 1
    assert told["lastSyncTime"].endswith("+00:00")
    assert json.loads(json.dumps(told))["totals"]["applied"] == 1
