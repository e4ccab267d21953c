"""The five minutes of the README, as whoever looks after a shop would spend them."""

import json

import pytest
from site_rig.client import wait_until
from site_rig.erpnext_world import customer, invoice


@pytest.fixture
def untouched(branch, settings, opened):
    """The app is installed and nothing else is done."""
    settings(policies=[], enabled=0, central_url="", api_key="", api_secret="")


def test_two_commands_make_a_branch_whose_first_sale_arrives_by_itself(branch, central, untouched, worker):
    secret = branch.scratch("secret")
    secret.write_text(central.api_secret)
    given = ["--key", central.api_key, "--secret-file", str(secret)]
    branch.bench("offline-sync", "connect", central.url, *given)
    told = json.loads(branch.bench("offline-sync", "doctor", "--json", check=False).stdout)
    assert {check["name"]: check["state"] for check in told}["policies"] == "warning"
    added = branch.bench("offline-sync", "policies", "--add-erpnext").stdout
    assert "+ Sales Invoice: captured; also sends items.sales_order" in added
    assert "+ Item: same names on both sites" in added
    told = json.loads(branch.bench("offline-sync", "doctor", "--json", check=False).stdout)
    assert [check for check in told if check["state"] == "problem"] == []
    buyer = branch.insert(customer())["name"]
    sale = branch.insert(invoice(buyer))["name"]
    branch.submit("Sales Invoice", sale)
    wait_until(lambda: branch.count("Offline Request", {"status": "Synced"}) == 3)
    assert central.count("Sales Invoice", {"customer": buyer, "docstatus": 1}) == 1


def test_rows_that_stand_there_stay_as_they_are(branch, settings, untouched):
    own = {"document_type": "Sales Invoice", "also_send_fields": "items.sales_order", "priority": 2}
    settings(policies=[own])
    branch.bench("offline-sync", "policies", "--add-erpnext")
    kept = branch.get("Offline Sync Settings", "Offline Sync Settings")["policies"]
    (row,) = [row for row in kept if row["document_type"] == "Sales Invoice"]
    assert (row["also_send_fields"], row["priority"]) == ("items.sales_order", 2)
    assert len(kept) > 20
    assert branch.bench("offline-sync", "policies", "--add-erpnext").stdout.count("\n+ ") == 0


def test_a_new_row_gets_what_tells_a_return_from_a_sale(branch, settings, untouched):
    settings(policies=[{"document_type": "Delivery Note"}])
    (row,) = branch.get("Offline Sync Settings", "Offline Sync Settings")["policies"]
    assert row["also_send_fields"].split()[:2] == ["is_return", "return_against"]
    assert json.loads(row["set_values"]) == {"set_posting_time": 1}
