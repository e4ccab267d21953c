"""A save at the branch arrives at the central: each way in which a document can change, over a real line."""

import datetime

import pytest

NASTY = "O'Brien 50% off %s \u0639\u0631\u0628\u064a"


def requests_of(branch, **filters):
    fields = ["name", "operation", "status", "resource_type", "resource_id", "retry_count", "error_message", "seq", "history"]
    return branch.documents("Offline Request", filters, fields=fields, order_by="seq asc")


def statuses(branch):
    return [(row["operation"], row["status"]) for row in requests_of(branch)]


def test_a_saved_document_has_its_row_and_arrives(branch, central, connected):
    note = branch.insert({"doctype": "Shop Note", "title": NASTY})
    (row,) = requests_of(branch)
    assert (row["operation"], row["status"], row["resource_id"]) == ("create", "Pending", note["name"])
    assert branch.sync() == "done"
    assert statuses(branch) == [("create", "Synced")]
    (arrived,) = central.documents("Shop Note")
    assert arrived["title"] == NASTY


def test_a_rolled_back_save_leaves_no_row(site, branch, connected):
    site.get_doc({"doctype": "Shop Note", "title": "never"}).insert()
    assert site.db.count("Offline Request") == 1
    site.db.rollback()
    assert branch.count("Offline Request") == 0


def test_a_change_and_a_delete_follow_under_the_centrals_name_and_version(branch, central, connected):
    note = branch.insert({"doctype": "Shop Note", "title": "one"})
    branch.sync()
    branch.save("Shop Note", note["name"], title="two")
    assert branch.sync() == "done"
    (there,) = central.documents("Shop Note")
    assert there["title"] == "two"
    branch.delete("Shop Note", note["name"])
    assert branch.sync() == "done"
    assert central.documents("Shop Note") == []
    assert statuses(branch) == [("create", "Synced"), ("update", "Synced"), ("delete", "Synced")]


def test_a_customer_made_offline_and_a_submitted_sale_that_links_to_it(branch, central, connected):
    central.insert({"doctype": "Shop Item", "item_code": "TEA"})
    branch.run(make_item, "TEA")
    with central.unreachable():
        customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})
        day = (datetime.date.today() - datetime.timedelta(days=3)).isoformat()
        sale = branch.insert(
            {
                "doctype": "Shop Sale",
                "customer": customer["name"],
                "set_posting_time": 1,
                "posting_date": day,
                "items": [{"item": "TEA", "qty": 2, "rate": 3}],
            }
        )
        branch.submit("Shop Sale", sale["name"])
        branch.sync()
        assert {row["status"] for row in requests_of(branch)} <= {"Pending", "Waiting"}
    assert branch.sync(force=True) == "done"
    (there,) = central.documents("Shop Sale")
    (known,) = central.documents("Shop Customer")
    assert there["customer"] == known["name"]
    assert there["docstatus"] == 1
    assert str(there["posting_date"]) == day
    assert all(row["retry_count"] == 0 for row in requests_of(branch))
    branch.cancel("Shop Sale", sale["name"])
    assert branch.sync() == "done"
    assert central.get("Shop Sale", there["name"])["docstatus"] == 2


def make_item(code):
    import frappe

    frappe.flags.in_patch = True  # as if it had been there before the app
    try:
        return frappe.get_doc({"doctype": "Shop Item", "item_code": code}).insert()
    finally:
        frappe.flags.in_patch = False
