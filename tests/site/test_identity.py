"""Which branch a site is: a copy sends nothing before somebody says what it is, a restored one looks first."""

import json
import stat
from pathlib import Path

import pytest
from site_rig.world import requests_of, statuses

DONE, REFUSED, NEEDS_PERSON = 0, 1, 3


@pytest.fixture
def note(branch, connected):
    """The file in the branch's folder; what a test does to it is undone."""
    branch.sync()
    file = Path(branch._rig.sites_path) / branch.name / "private" / "offline_sync_identity.json"
    yield file
    branch.run(forget)


def forget():
    """Runs on the branch: its next run makes a new identity."""
    from pathlib import Path

    import frappe

    Path(frappe.get_site_path("private", "offline_sync_identity.json")).unlink(missing_ok=True)
    frappe.db.sql("delete from `tabSync Metadata` where `name` in ('origin', 'identity_asks', 'paused')")


def change(note, **values):
    note.write_text(json.dumps({**json.loads(note.read_text()), **values}))


def as_of(run):
    """Runs on the branch: its database is as of that run."""
    import json

    from erp_offline_sync import tasks

    store = tasks.own_store()
    with store.transaction():
        kept = json.loads(store.get_meta("origin"))
        store.set_meta("origin", json.dumps({**kept, "run": run}))


def kept_settings():
    import frappe

    values = frappe.db.get_singles_dict("Offline Sync Settings")
    stated = frappe.db.exists("Property Setter", {"property": "offline_sync"})
    return [int(values["enabled"]), values.get("api_key") or "", bool(stated)]


def test_each_run_raises_the_number_in_a_file_for_the_benchs_user_only(branch, note):
    before = json.loads(note.read_text())
    branch.sync()
    after = json.loads(note.read_text())
    assert (after["id"], after["site"]) == (before["id"], branch.name)
    assert after["run"] > before["run"]
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    told = branch.call("erp_offline_sync.branch_identity.told")
    assert (told["standing"], told["origin"], told["run"]) == ("same", after["id"], after["run"])


def test_a_copy_sends_nothing_says_so_everywhere_and_ends_what_is_not_its_own(branch, central, note):
    branch.insert({"doctype": "Shop Note", "title": "the original sends this"})
    change(note, site="original.localhost")
    assert "copy or replacement?" in branch.sync()
    assert central.count("Shop Note") == 0
    shown = branch.bench("offline-sync", "identity", check=False)
    assert shown.returncode == NEEDS_PERSON
    assert "it was original.localhost in" in shown.stdout
    checks = {check["name"]: check for check in branch.call("erp_offline_sync.api.doctor")}
    assert checks["identity"]["state"] == "problem"
    told = branch.call("erp_offline_sync.api.get_sync_status")
    assert told["identity"].startswith("Is this site a copy")
    done = branch.bench("offline-sync", "identity", "--copy")
    assert "Discarded  1 requests" in done.stdout
    assert statuses(branch) == [("create", "Discarded")]
    assert branch.run(kept_settings) == [0, "", False]
    assert branch.call("erp_offline_sync.api.get_sync_status")["identity"] is None
    assert central.count("Shop Note") == 0
    again = branch.bench("offline-sync", "identity", "--copy", check=False)
    assert again.returncode == REFUSED


def test_a_replacement_without_the_file_goes_on_and_makes_nothing_twice(branch, central, note):
    origin = json.loads(note.read_text())["id"]
    lost = branch.insert({"doctype": "Shop Note", "title": "sent after the backup"})
    fresh = branch.insert({"doctype": "Shop Note", "title": "not sent yet"})
    central.rest.post("/api/resource/Shop Note", json={"title": "sent after the backup"})
    note.unlink()
    assert "copy or replacement?" in branch.sync()
    shown = branch.bench("offline-sync", "identity", "--replacement", "--json")
    assert (json.loads(shown.stdout)["origin"], json.loads(shown.stdout)["standing"]) == (origin, "same")
    assert branch.sync(later=600) == "done"
    rows = {row["resource_id"]: row for row in requests_of(branch)}
    assert rows[lost["name"]]["status"] == "Synced"
    assert rows[fresh["name"]]["status"] in ("Synced", "Needs Attention")
    titles = sorted(each["title"] for each in central.documents("Shop Note"))
    assert titles.count("sent after the backup") == 1


def test_a_restored_backup_is_noticed_and_what_waits_is_looked_up(branch, central, note):
    branch.insert({"doctype": "Shop Note", "title": "sent after the backup"})
    central.rest.post("/api/resource/Shop Note", json={"title": "sent after the backup"})
    branch.run(as_of, json.loads(note.read_text())["run"] - 2)
    assert branch.sync(later=600) == "done"
    assert statuses(branch) == [("create", "Synced")]
    assert central.count("Shop Note") == 1
