"""What people do to settings and outbox while nothing can be sent, and what is kept of others' documents."""

import json

from site_rig.client import wait_until
from site_rig.world import make_older, requests_of, statuses


def line_down_for_ten_minutes():
    """Runs on the branch: as after credentials that the central refused."""
    import json

    from erp_offline_sync import tasks
    from erp_offline_sync.engine.breaker import CLOSED
    from erp_offline_sync.engine.line import BREAKER

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
    assert branch.sync() == "offline"
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
