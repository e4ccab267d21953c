"""What people do to settings and outbox while nothing can be sent, and what is kept of others' documents."""

import json

from site_rig.client import wait_until
from site_rig.world import make_older, requests_of, statuses


def line_down_for_ten_minutes():
    """Runs on the branch: as after credentials that the central refused."""
    import json

    from erp_offline_sync import tasks
    from erp_offline_sync.engine.breaker import CLOSED
    from erp_offline_sync.engine.sending.line import BREAKER

    store = tasks.own_store()
    with store.transaction():
        tripped = CLOSED.trip(store.now(), "credentials", random=0.5, wait=600)
        store.set_meta(BREAKER, json.dumps(tripped.to_json()))


def lose_the_connection():
    """Runs on the branch: a restored site, say, that knows neither the central nor its key."""
    import frappe

    for field in ("central_url", "api_key"):
        frappe.db.set_single_value("Offline Sync Settings", field, "")
    frappe.db.commit()


def save_settings_again():
    import frappe

    frappe.get_doc("Offline Sync Settings").save()
    frappe.db.commit()


def save_settings_and_fail():
    import frappe

    frappe.get_doc("Offline Sync Settings").save()
    frappe.db.rollback()


def test_saving_the_settings_probes_at_once(branch, central, connected):
    """Not before its time otherwise, and not where the save was rolled back."""
    branch.run(line_down_for_ten_minutes)
    branch.insert({"doctype": "Shop Note", "title": "waits"})
    branch.run(save_settings_and_fail)
    branch.sync()
    assert statuses(branch) == [("create", "Pending")]
    branch.run(save_settings_again)
    assert branch.sync() == "done"
    assert central.count("Shop Note") == 1


def test_a_worker_is_woken_by_saved_settings(branch, central, connected, worker):
    branch.run(line_down_for_ten_minutes)
    branch.insert({"doctype": "Shop Note", "title": "waits"})
    branch.run(save_settings_again)
    wait_until(lambda: central.count("Shop Note") == 1, timeout=30)


def test_what_is_held_can_be_decided_without_a_central(branch, central, connected, settings):
    """Discard, retry, send whole and purge send nothing: no URL and no key are asked for."""
    names = [
        make_older(branch, {"doctype": "Shop Customer", "customer_name": f"older {number}"})["name"]
        for number in range(3)
    ]
    for name in names:
        branch.save("Shop Customer", name, credit_limit=5)
    branch.sync()
    held = [row["name"] for row in requests_of(branch)]
    assert {status for _, status in statuses(branch)} == {"Needs Attention"}
    branch.run(lose_the_connection)
    assert branch.sync() == "failed"
    assert branch.call("erp_offline_sync.api.retry", held[0])["status"] == "Pending"
    assert branch.call("erp_offline_sync.api.send_whole", held[1])["status"] == "Pending"
    assert branch.call("erp_offline_sync.api.discard", held[2], "not needed") == [held[2]]
    done = branch.bench("offline-sync", "discard", held[0], "--reason", "not needed", check=False)
    assert (done.returncode, done.stdout) == (0, f"{held[0]} Discarded\n"), done.stderr
    assert branch.call("erp_offline_sync.api.clear_old_requests", 0) == 2
    settings()
    assert branch.sync() == "done"
    assert central.count("Shop Customer") == 1


def clear_old_logs(days):
    import frappe
    from frappe.model.base_document import get_controller

    get_controller("Offline Request").clear_old_logs(days=days)
    frappe.db.commit()


def test_log_settings_deletes_ended_requests_only(branch, central, connected):
    for title in ("one", "two"):
        branch.insert({"doctype": "Shop Note", "title": title})
    branch.sync()
    branch.insert({"doctype": "Shop Note", "title": "waits"})
    branch.run(clear_old_logs, 1)
    assert branch.count("Offline Request") == 3
    branch.run(clear_old_logs, 0)
    assert statuses(branch) == [("create", "Pending")]
    assert branch.call("erp_offline_sync.console.status")["totals"]["applied"] == 2


def note_a_derived_document():
    import frappe

    from erp_offline_sync.adapters.frappe_store import derived_among, note_derived

    note_derived("Shop Customer", "Ada Lovelace")
    frappe.db.commit()
    found = derived_among([("Shop Customer", "Ada Lovelace"), ("Shop Customer", "Bob")])
    return [list(each) for each in found]


def test_notes_about_derived_documents_hold_no_name(branch, fresh_outbox):
    """Whoever may look at the app's own records learns no customer's name from them."""
    assert branch.run(note_a_derived_document) == [["Shop Customer", "Ada Lovelace"]]
    kept = branch.documents("Sync Metadata", {"name": ("like", "derived:%")}, ["*"])
    assert len(kept) == 1
    assert "Ada" not in json.dumps(kept, default=str)


def test_an_export_holds_every_open_request_with_its_values(branch, central, connected, tmp_path):
    """What is asked for before the app is taken away: with it each change could be made again by hand."""
    branch.insert({"doctype": "Shop Note", "title": "sent"})
    branch.sync()
    note = branch.insert({"doctype": "Shop Note", "title": "kept"})["name"]
    branch.insert({"doctype": "Shop Customer", "customer_name": "Ada"})
    copy = tmp_path / "outbox.jsonl"
    branch.bench("offline-sync", "export", "--file", str(copy))
    first, second = (json.loads(line) for line in copy.read_text().splitlines())
    assert (first["resource_id"], first["body"]["title"], first["base"]) == (note, "kept", None)
    assert (second["body"]["customer_name"], second["links"]) == ("Ada", [])
    assert copy.stat().st_mode & 0o077 == 0
    printed = branch.bench("offline-sync", "export").stdout.splitlines()
    assert [json.loads(line)["name"] for line in printed] == [first["name"], second["name"]]
    missing = branch.bench("offline-sync", "export", "--file", str(tmp_path / "none" / "x"), check=False)
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)


def test_outside_the_window_and_on_a_disabled_site_rows_say_so(branch, central, settings):
    def window_elsewhere():
        from frappe.utils import now_datetime

        hour = (now_datetime().hour + 2) % 24
        return [f"{hour:02d}:00", f"{(hour + 1) % 24:02d}:00"]

    opens, closes = branch.run(window_elsewhere)
    settings(sync_window_start=opens, sync_window_end=closes)
    branch.insert({"doctype": "Shop Note", "title": "waits"})
    (row,) = requests_of(branch)
    closed = f"Outside the sync window; it opens at {opens}."
    assert branch.call("erp_offline_sync.api.explain", row["name"]) == closed
    assert branch.call("erp_offline_sync.console.explain", row["name"]) == closed
    assert branch.call("erp_offline_sync.api.get_sync_status")["reason"] == closed
    settings(enabled=0)
    listed = json.loads(branch.bench("offline-sync", "list", "--json").stdout)
    assert [each["why"] for each in listed] == ["This site is not set up as a branch."]


def test_run_forever_waits_while_the_site_is_no_branch(branch, central, settings):
    """And goes on by itself once it is one again; a supervisor need not start it anew."""
    settings()
    branch.insert({"doctype": "Shop Note", "title": "waits"})
    settings(enabled=0)
    process = branch.bench_start("offline-sync", "run", "--forever")
    try:
        assert "not a branch" in process.stderr.readline()
        settings()
        wait_until(lambda: central.count("Shop Note") == 1, timeout=30)
        process.terminate()
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
