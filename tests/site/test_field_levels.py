"""Values of a field that a person may not read in the document are not shown to that person in our rows either."""

from __future__ import annotations

import json
from typing import Any

import pytest
from site_rig.world import requests_of

HERE, THERE, BEFORE, RATE = "91919191", "82828282", "73737373", "64646464"
"""Amounts that occur nowhere else."""
CANARIES = (HERE, THERE, BEFORE, RATE)
HIDDEN = (("Shop Customer", "credit_limit"), ("Shop Sale Item", "rate"), ("Shop Sale Item", "amount"))
VALUES = {
    "Offline Request": ("body", "base", "wire", "differences", "links", "unique_values"),
    "Synced Document": ("base",),
    "Sync Conflict": ("base_data", "local_data", "server_data"),
}


def raise_levels(hidden: list[list[str]]) -> None:
    """Runs on the branch: those fields need a level that only auditors have."""
    import frappe
    from frappe.custom.doctype.property_setter.property_setter import make_property_setter
    from frappe.permissions import add_permission

    if not frappe.db.exists("Role", "Shop Auditor"):
        frappe.get_doc({"doctype": "Role", "role_name": "Shop Auditor", "desk_access": 1}).insert()
    for doctype, field in hidden:
        make_property_setter(doctype, field, "permlevel", 1, "Int")
    for doctype in ("Shop Customer", "Shop Sale"):
        add_permission(doctype, "Shop Auditor", 1)
    frappe.clear_cache()


def lower_levels(hidden: list[list[str]]) -> None:
    """Runs on the branch."""
    import frappe
    from frappe.permissions import reset_perms

    for doctype, _ in hidden:
        frappe.db.delete("Property Setter", {"doc_type": doctype, "property": "permlevel"})
    for doctype in ("Shop Customer", "Shop Sale"):
        reset_perms(doctype)
    frappe.clear_cache()


@pytest.fixture(scope="module")
def rows(rig, branch, central):
    """A customer in conflict and a sale that waits, with amounts that only some may read: doctype → names."""
    rig.empty()
    rig.set_up_branch(default_strategy="Manual")
    hidden = [list(pair) for pair in HIDDEN]
    branch.run(raise_levels, hidden)
    customer = {"doctype": "Shop Customer", "customer_name": "Asha", "credit_limit": int(BEFORE)}
    name = branch.insert(customer)["name"]
    branch.sync()
    (there,) = central.documents("Shop Customer")
    central.save("Shop Customer", there["name"], credit_limit=int(THERE))
    branch.save("Shop Customer", name, credit_limit=int(HERE), mobile="1")
    branch.sync()
    branch.insert({"doctype": "Shop Item", "item_code": "TEA"})
    sale = {"customer": name, "items": [{"item": "TEA", "qty": 1, "rate": int(RATE)}]}
    branch.insert({"doctype": "Shop Sale", **sale})
    assert sorted(row["status"] for row in requests_of(branch)) == [
        "Conflict",
        "Pending",
        "Pending",
        "Synced",
    ]
    yield {doctype: [row["name"] for row in branch.documents(doctype)] for doctype in VALUES}
    branch.run(lower_levels, hidden)
    rig.set_up_branch([], enabled=0)
    rig.empty()


@pytest.fixture(scope="module")
def clerk(branch, rows):
    return branch.user("levelled@shop.example", "Shop User", "Offline Sync Manager")


@pytest.fixture(scope="module")
def auditor(branch, rows):
    return branch.user("auditor@shop.example", "Shop User", "Shop Auditor", "Offline Sync User")


def _alone(call: Any, doctype: str, name: str) -> dict[str, str]:
    """How Frappe hands out one document."""
    run = {"dt": doctype, "dn": name, "method": "add_comment", "args": json.dumps({"text": "seen"})}
    client = {"doctype": doctype, "name": name}
    return {
        "v1": call.get(f"/api/resource/{doctype}/{name}").text,
        "v2": call.get(f"/api/v2/document/{doctype}/{name}").text,
        "client": call.get("/api/method/frappe.client.get", params=client).text,
        "form": call.get("/api/method/frappe.desk.form.load.getdoc", params=client).text,
        "method": call.post("/api/method/run_doc_method", data=run).text,
    }


def _together(call: Any, doctype: str) -> dict[str, str]:
    """How it hands out many."""
    fields = ["name", *VALUES[doctype]]
    quoted = json.dumps([f"`tab{doctype}`.`{field}`" for field in fields])
    view = {"doctype": doctype, "fields": quoted, "page_length": 100}
    export = {"doctype": doctype, "fields": quoted, "file_format_type": "CSV", "title": doctype}
    client = {"doctype": doctype, "fields": fields}
    value = {"doctype": doctype, "fieldname": json.dumps(list(VALUES[doctype])), "filters": "{}"}
    answers = {
        "list": call.get(f"/api/resource/{doctype}", params={"fields": '["*"]'}),
        "named": call.get(f"/api/resource/{doctype}", params={"fields": json.dumps(fields)}),
        "v2": call.get(f"/api/v2/document/{doctype}", params={"fields": json.dumps(fields)}),
        "client": call.post("/api/method/frappe.client.get_list", json=client),
        "value": call.get("/api/method/frappe.client.get_value", params=value),
        "view": call.post("/api/method/frappe.desk.reportview.get", data=view),
        "export": call.post("/api/method/frappe.desk.reportview.export_query", data=export),
    }
    for field in VALUES[doctype]:
        group = {"doctype": doctype, "current_filters": "[]", "field": field}
        path = "/api/method/frappe.desk.listview.get_group_by_count"
        answers[f"groups of {field}"] = call.post(path, data=group)
    return {way: answer.text for way, answer in answers.items()}


def _found(texts: dict[str, str]) -> dict[str, list[str]]:
    found = {way: [canary for canary in CANARIES if canary in text] for way, text in texts.items()}
    return {way: canaries for way, canaries in found.items() if canaries}


@pytest.mark.parametrize("doctype", VALUES)
def test_a_row_read_alone_shows_the_fields_that_its_reader_may_read_in_the_document(
    doctype, rows, clerk, auditor
):
    expected = {"Offline Request": 3, "Synced Document": 1, "Sync Conflict": 3}[doctype]
    seen = {}
    for name in rows[doctype]:
        texts = _alone(clerk, doctype, name)
        assert _found(texts) == {}, name
        assert name in texts["v1"], "the row itself is shown"
        for way, canaries in _found(_alone(auditor, doctype, name)).items():
            seen.setdefault(way, set()).update(canaries)
    assert {way: len(canaries) for way, canaries in seen.items()} == dict.fromkeys(
        ("v1", "v2", "client", "form", "method"), expected
    )


def test_what_is_left_of_a_body_is_whole(branch, rows, clerk):
    (update,) = requests_of(branch, status="Conflict")
    shown = clerk.get(f"/api/resource/Offline Request/{update['name']}").json()["data"]
    assert json.loads(shown["body"]) == {"mobile": "1"}
    assert json.loads(shown["base"]) == {"mobile": ""}
    (create,) = requests_of(branch, resource_type="Shop Sale")
    body = json.loads(clerk.get(f"/api/resource/Offline Request/{create['name']}").json()["data"]["body"])
    assert {"item", "qty"} <= set(body["items"][0])
    assert {"rate", "amount"} & set(body["items"][0]) == set()


@pytest.mark.parametrize("doctype", VALUES)
def test_lists_reports_exports_and_groups_show_no_values_at_all(doctype, rows, clerk, auditor):
    for call in (clerk, auditor):
        texts = _together(call, doctype)
        assert _found(texts) == {}
        assert all(name in texts["list"] for name in rows[doctype])


def test_the_endpoints_show_of_a_conflict_what_its_reader_may_read(rows, clerk, auditor):
    (name,) = rows["Sync Conflict"]
    told = {}
    for person, call in (("clerk", clerk), ("auditor", auditor)):
        pending = call.get("/api/method/erp_offline_sync.api.get_pending_conflicts").text
        one = call.get("/api/method/erp_offline_sync.conflicts.get_conflict", params={"name": name}).text
        assert name in pending
        told[person] = _found({"pending": pending, "one": one})
    assert told["clerk"] == {}
    assert {way: sorted(found) for way, found in told["auditor"].items()} == {
        "pending": sorted((HERE, THERE, BEFORE)),
        "one": sorted((HERE, THERE, BEFORE)),
    }
