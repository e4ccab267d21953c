"""Which branch a site is: a copy sends nothing before somebody says what it is, a restored one looks first."""

import json
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from site_rig.client import make_user
from site_rig.world import requests_of, statuses

DONE, REFUSED, NEEDS_PERSON = 0, 1, 3
TILL = "one.of.two@shop.example"
KEPT_IN_A_BACKUP = (
    "Offline Request",
    "Offline Request Link",
    "Synced Document",
    "Sync Metadata",
    "Shop Note",
)


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


# With a companion: the central has a say


@pytest.fixture
def till(settings, branch, companion):
    """The branch pushes to the central that has the app, and did so before."""
    key, secret = companion.run(make_user, TILL, ["Offline Sync Branch", "Shop User"])

    def connect():
        settings(central_url=companion.url, api_key=key, api_secret=secret)

    connect()
    save(branch, "the first")
    assert branch.sync() == "done"
    file = Path(branch._rig.sites_path) / branch.name / "private" / "offline_sync_identity.json"
    yield SimpleNamespace(note=file, connect=connect)
    branch.run(forget)


def save(branch, title):
    return branch.insert({"doctype": "Shop Note", "title": title})["name"]


def save_after_a_while(branch, companion, title):
    """What the central made long before that moment can be told from it; minutes before, a person is asked."""
    companion.call("frappe.db.sql", "update `tabShop Note` set creation = '2001-01-01 00:00:00'")
    return save(branch, title)


def titles(site):
    return sorted(note["title"] for note in site.documents("Shop Note", fields=["title"]))


def dump(doctypes):
    """Runs on the branch: what a backup of its database would hold of these."""
    import frappe

    return {each: frappe.db.sql(f"select * from `tab{each}`", as_dict=True) for each in doctypes}


def load(kept):
    """Runs on the branch: the database is as it was."""
    import frappe

    for doctype, rows in kept.items():
        frappe.db.sql(f"delete from `tab{doctype}`")
        for row in rows:
            columns = ", ".join(f"`{column}`" for column in row)
            places = ", ".join(["%s"] * len(row))
            frappe.db.sql(f"insert into `tab{doctype}` ({columns}) values ({places})", tuple(row.values()))


def checks(site):
    return {check["name"]: check for check in site.call("erp_offline_sync.api.doctor")}


def assert_stopped_and_told(branch, companion, because):
    """Both sides say so, where people look, and what to do."""
    told = branch.call("erp_offline_sync.api.get_sync_status")
    assert told["state"] == "failed"
    assert "until somebody at the central lets it go on" in told["reason"]
    here = checks(branch)["outbox"]
    assert here["state"] == "problem"
    assert "clear-branch" in here["todo"]
    (there,) = [check for check in checks(companion).values() if check["name"].startswith("branch ")]
    (origin,) = companion.documents("Sync Origin")
    assert (there["state"], origin["stopped_because"]) == ("problem", because)
    assert f"clear-branch {origin['name']}" in there["todo"]
    shown = companion.bench("offline-sync", "doctor", check=False)
    assert shown.returncode == REFUSED
    assert "it pushes in vain" in shown.stdout
    assert "central_url" not in shown.stdout, "what only a branch needs is not asked of a central"
    return origin["name"]


def assert_everything_arrived(branch, companion, *expected):
    assert titles(companion) == sorted(expected)
    assert {status for _, status in statuses(branch)} <= {"Synced", "Merged"}
    assert {row["retry_count"] for row in requests_of(branch)} == {0}
    assert companion.count("Sync Receipt", {"outcome": "applied"}) == len(expected)


def test_a_moved_branch_is_stopped_by_the_central_until_somebody_there_lets_it_go_on(branch, companion, till):
    """The person here says that it is the branch; the one at the central sees that there is only one."""
    change(till.note, site="old.localhost")
    companion.call("frappe.db.sql", "update `tabSync Origin` set home = 'where it was before'")
    save(branch, "saved after the move")
    assert "copy or replacement?" in branch.sync()
    assert titles(companion) == ["the first"]
    branch.bench("offline-sync", "identity", "--replacement")
    assert branch.sync(force=True) == "configuration"
    assert titles(companion) == ["the first"]
    origin = assert_stopped_and_told(branch, companion, "Cloned")
    save(branch, "saved while it was stopped")
    branch.sync(force=True)
    assert checks(branch)["outbox"]["state"] == "problem", "also while it looks up what waits"
    assert branch.sync(force=True, later=600) == "configuration"
    assert titles(companion) == ["the first"]
    assert "may push again" in companion.bench("offline-sync", "clear-branch", origin).stdout
    assert branch.sync(force=True, later=1200) == "done"
    assert_everything_arrived(
        branch, companion, "the first", "saved after the move", "saved while it was stopped"
    )
    assert branch.call("erp_offline_sync.api.get_sync_status")["state"] == "idle"
    assert checks(companion)["branches"]["state"] == "ok"


def test_a_restored_database_goes_on_by_itself_and_what_is_new_gets_numbers_of_its_own(
    branch, companion, till
):
    """What was sent after the backup is known by its receipt; numbers that were given since are not given again."""
    save(branch, "in the backup")
    kept = branch.run(dump, KEPT_IN_A_BACKUP)
    for number in range(3):
        save(branch, f"after the backup {number}")
    assert branch.sync() == "done"
    branch.run(load, kept)
    save_after_a_while(branch, companion, "after the restore")
    branch.sync(force=True)
    assert "after the restore" not in titles(companion), "what was sent just before may still be on its way"
    assert branch.sync(force=True, later=600) == "done"
    lost = [f"after the backup {number}" for number in range(3)]
    assert_everything_arrived(branch, companion, "the first", "in the backup", *lost, "after the restore")
    assert titles(branch) == ["after the restore", "in the backup", "the first"]


def test_a_machine_that_was_set_back_as_a_whole_is_stopped_and_goes_on_when_it_is_cleared(
    branch, companion, till
):
    """Database and folder are as of the backup: nothing here shows it, and the central does."""
    save(branch, "in the backup")
    kept, noted = branch.run(dump, KEPT_IN_A_BACKUP), till.note.read_text()
    for number in range(3):
        save(branch, f"after the backup {number}")
        assert branch.sync() == "done"
    branch.run(load, kept)
    till.note.write_text(noted)
    save_after_a_while(branch, companion, "after the restore")
    assert branch.sync(force=True) == "configuration"
    before = titles(companion)
    assert "after the restore" not in before
    origin = assert_stopped_and_told(branch, companion, "Restored")
    companion.bench("offline-sync", "clear-branch", origin)
    branch.sync(force=True, later=600)
    assert branch.sync(force=True, later=1200) == "done"
    assert_everything_arrived(branch, companion, *before, "after the restore")
    assert branch.sync(force=True) == "done"


def test_of_two_sites_with_one_identity_neither_gets_through_and_the_other_becomes_a_copy(
    branch, companion, till
):
    """A copy of the whole machine: same name, same folder. Without its note it asks what it is."""
    kept, noted = branch.run(dump, KEPT_IN_A_BACKUP), till.note.read_text()
    save(branch, "of the original")
    assert branch.sync() == "done"
    original, original_note = branch.run(dump, KEPT_IN_A_BACKUP), till.note.read_text()
    # On the copy's machine
    branch.run(load, kept)
    till.note.write_text(noted)
    save(branch, "of the copy")
    assert branch.sync(force=True) == "configuration"
    origin = assert_stopped_and_told(branch, companion, "Cloned")
    till.note.unlink()
    assert "copy or replacement?" in branch.sync(force=True)
    branch.bench("offline-sync", "identity", "--copy")
    assert branch.run(kept_settings) == [0, "", False]
    # On the original's
    branch.run(load, original)
    till.note.write_text(original_note)
    till.connect()
    companion.bench("offline-sync", "clear-branch", origin)
    save(branch, "of the original again")
    assert branch.sync(force=True, later=600) == "done"
    assert_everything_arrived(branch, companion, "the first", "of the original", "of the original again")
