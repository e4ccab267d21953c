"""`offline-sync mark`: at a plain central a create whose answer got lost is found by its request's id."""

import pytest
from site_rig.world import requests_of, statuses

MARK = "offline_sync_request"
DONE, REFUSED = 0, 1


@pytest.fixture
def marked(branch, central, connected):
    central.run(forget_field)
    done = branch.bench("offline-sync", "mark", "Shop Note")
    assert "carry their request's id" in done.stdout
    yield
    branch.bench("offline-sync", "mark", "Shop Note", "--remove", check=False)


def forget_field():
    """Runs on the central: nothing is left of a run that was broken off."""
    import frappe

    frappe.db.delete("Custom Field", {"fieldname": "offline_sync_request"})
    frappe.clear_cache(doctype="Shop Note")


def field_there():
    """Runs on the central."""
    import frappe

    return frappe.db.get_value(
        "Custom Field", {"fieldname": "offline_sync_request"}, ["dt", "hidden", "no_copy"]
    )


def test_new_documents_carry_the_requests_id_until_they_do_not(branch, central, marked):
    assert list(central.run(field_there)) == ["Shop Note", 1, 1]
    branch.insert({"doctype": "Shop Note", "title": "one"})
    assert branch.sync() == "done"
    (request,) = requests_of(branch)
    (there,) = central.documents("Shop Note", fields=["name", MARK])
    assert there[MARK] == request["name"]
    again = branch.bench("offline-sync", "mark", "Shop Note")
    assert again.returncode == DONE
    branch.bench("offline-sync", "mark", "Shop Note", "--remove")
    assert central.run(field_there) is None
    branch.insert({"doctype": "Shop Note", "title": "two"})
    assert branch.sync() == "done"
    assert {status for _operation, status in statuses(branch)} == {"Synced"}


def test_of_two_equal_creates_the_one_in_doubt_is_found(branch, central, marked):
    """The run is killed after the effect; without a mark two equal documents would need a person."""
    branch.insert({"doctype": "Shop Note", "title": "same"})
    assert branch.kill_at("central.deliver").killed
    central.rest.post("/api/resource/Shop Note", json={"title": "same"})
    (there,) = central.documents("Shop Note", {MARK: ["is", "set"]}, fields=["name"])
    central.save("Shop Note", there["name"], body="changed there since")
    assert branch.sync(later=600) == "done"
    assert statuses(branch) == [("create", "Synced")]
    assert central.count("Shop Note") == 2


def test_what_has_no_policy_is_not_marked(branch, connected):
    done = branch.bench("offline-sync", "mark", "Shop Group", check=False)
    assert (done.returncode, "policy" in done.stderr) == (REFUSED, True)
