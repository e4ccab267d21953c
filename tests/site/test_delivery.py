"""A save at the branch arrives at the central: each way in which a document can change, over a real line."""

import datetime

import pytest
from site_rig.world import make_older, requests_of, statuses

NASTY = "O'Brien 50% off %s \u0639\u0631\u0628\u064a"
CUSTOMER = {"doctype": "Shop Customer", "customer_name": "Asha"}


def sale_of(customer, *items, **values):
    rows = [{"item": item, "qty": qty, "rate": rate} for item, qty, rate in items]
    return {"doctype": "Shop Sale", "customer": customer, "items": rows, **values}


def with_item(branch, central, code="TEA"):
    central.insert({"doctype": "Shop Item", "item_code": code})
    make_older(branch, {"doctype": "Shop Item", "item_code": code})


def test_a_saved_document_has_its_row_and_arrives(branch, central, connected):
    note = branch.insert({"doctype": "Shop Note", "title": "hello"})
    (row,) = requests_of(branch)
    assert (row["operation"], row["status"], row["resource_id"]) == ("create", "Pending", note["name"])
    assert branch.sync() == "done"
    assert statuses(branch) == [("create", "Synced")]
    (arrived,) = central.documents("Shop Note")
    assert arrived["title"] == "hello"


def test_a_rolled_back_save_leaves_no_row(site, branch, connected):
    site.get_doc({"doctype": "Shop Note", "title": "never"}).insert()
    assert site.db.count("Offline Request") == 1
    site.db.rollback()
    assert branch.count("Offline Request") == 0


def test_a_request_that_fails_after_a_save_leaves_neither_document_nor_row(branch, connected):
    """Over HTTP, on a connection of its own: Frappe's SQLite begins no transaction there by itself."""
    method = "/api/method/eos_test_app.test_shop.doctype.shop_note.shop_note.insert_and_fail"
    answer = branch.rest.post(method, json={"title": "half"})
    assert answer.status_code == 417
    assert (branch.count("Shop Note"), branch.count("Offline Request")) == (0, 0)
    assert branch.rest.post("/api/resource/Shop Note", json={"title": "whole"}).status_code == 200
    assert (branch.count("Shop Note"), branch.count("Offline Request")) == (1, 1)


def test_a_text_with_quotes_and_percent_signs_arrives_as_it_was_typed(branch, central, connected):
    note = branch.insert({"doctype": "Shop Note", "title": NASTY, "body": NASTY * 100})
    branch.sync()
    branch.save("Shop Note", note["name"], title=f"{NASTY}!")
    branch.sync()
    (arrived,) = central.documents("Shop Note")
    assert (arrived["title"], arrived["body"]) == (f"{NASTY}!", NASTY * 100)


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


@pytest.mark.parametrize("lanes", [1, 8])
def test_two_hundred_saves_while_the_central_is_down_are_there_once_and_in_order(
    branch, central, settings, fresh_outbox, lanes
):
    """In the order of their commits by one lane; by several, what does not depend on each other may overtake."""
    settings(sync_lanes=lanes)

    def make_many(count):
        import frappe

        for number in range(count):
            frappe.get_doc({"doctype": "Shop Note", "title": f"{number:03}"}).insert()
            frappe.db.commit()

    with central.unreachable():
        branch.run(make_many, 200)
        for _ in range(3):
            branch.sync()
            branch.sync(later=60)
        assert branch.count("Offline Request", {"status": "Pending"}) == 200
    assert branch.sync(force=True) == "done"
    titles = [note["title"] for note in central.documents("Shop Note", fields=["title"])]
    assert sorted(titles) == [f"{number:03}" for number in range(200)]
    assert lanes > 1 or titles == sorted(titles)
    assert branch.count("Offline Request", {"status": "Synced", "retry_count": 0}) == 200


def test_a_sale_with_rows_is_submitted_and_cancelled(branch, central, connected):
    with_item(branch, central)
    customer = branch.insert(CUSTOMER)
    sale = branch.insert(sale_of(customer["name"], ("TEA", 2, 3), ("TEA", 1, 1.5)))
    branch.submit("Shop Sale", sale["name"])
    assert branch.sync() == "done"
    (there,) = central.documents("Shop Sale")
    full = central.get("Shop Sale", there["name"])
    assert (full["docstatus"], full["total"], len(full["items"])) == (1, 7.5, 2)
    branch.cancel("Shop Sale", sale["name"])
    assert branch.sync() == "done"
    assert central.get("Shop Sale", there["name"])["docstatus"] == 2
    assert {status for _, status in statuses(branch)} == {"Synced"}


def test_a_customer_made_offline_and_the_sale_that_links_to_it(branch, central, connected):
    """The customer gets another name at the central; the sale follows it there."""
    with_item(branch, central)
    somebody = {"doctype": "Shop Customer", "customer_name": "somebody else"}
    if make_older(branch, somebody)["name"] == central.insert(somebody)["name"]:
        central.insert(somebody)  # the next numbers of both series differ
    with central.unreachable():
        customer = branch.insert(CUSTOMER)
        branch.insert(sale_of(customer["name"], ("TEA", 2, 3)))
        branch.sync()
        assert {row["status"] for row in requests_of(branch)} <= {"Pending", "Waiting"}
    assert branch.sync(force=True) == "done"
    (known,) = central.documents("Shop Customer", {"customer_name": "Asha"})
    (there,) = central.documents("Shop Sale")
    assert known["name"] != customer["name"]
    assert there["customer"] == known["name"]
    assert all(row["retry_count"] == 0 for row in requests_of(branch))


def test_a_sale_of_three_days_ago_is_booked_on_its_day(branch, central, connected):
    """By the policy's value on the way out: the branch itself never set "set_posting_time"."""
    with_item(branch, central)
    customer = branch.insert(CUSTOMER)
    day = (datetime.date.today() - datetime.timedelta(days=3)).isoformat()

    def sell_then(sale, day):
        import frappe

        doc = frappe.get_doc(sale)
        doc.validate = lambda: None
        doc.posting_date, doc.posting_time = day, "09:05:00"
        return doc.insert()

    branch.run(sell_then, sale_of(customer["name"], ("TEA", 1, 4)), day)
    assert branch.sync() == "done"
    (there,) = central.documents("Shop Sale")
    assert str(there["posting_date"]) == day


def test_a_check_box_with_default_one_arrives_unchecked(branch, central, connected):
    branch.insert({"doctype": "Shop Note", "title": "plain", "pinned": 0, "weight": 0})
    branch.sync()
    (there,) = central.documents("Shop Note")
    assert (there["pinned"], there["weight"]) == (0, 0)


def test_rows_are_added_changed_and_removed_and_none_is_lost(branch, central, connected):
    with_item(branch, central)
    customer = branch.insert(CUSTOMER)
    sale = branch.insert(sale_of(customer["name"], ("TEA", 1, 1), ("TEA", 2, 2), ("TEA", 3, 3)))
    branch.sync()

    def change_rows(name):
        import frappe

        doc = frappe.get_doc("Shop Sale", name)
        doc.items[0].qty = 10
        doc.remove(doc.items[1])
        doc.append("items", {"item": "TEA", "qty": 4, "rate": 4})
        doc.save()

    (there,) = central.documents("Shop Sale")
    before = {row["idx"]: row["name"] for row in central.get("Shop Sale", there["name"])["items"]}
    branch.run(change_rows, sale["name"])
    assert branch.sync() == "done"
    rows = central.get("Shop Sale", there["name"])["items"]
    assert sorted((row["qty"], row["rate"]) for row in rows) == [(3, 3), (4, 4), (10, 1)]
    kept = {row["name"] for row in rows}
    assert {before[1], before[3]} <= kept
    assert before[2] not in kept


def test_a_document_older_than_the_app_is_found_by_its_name(branch, central, connected):
    """The same item on both sites: linked. One that the central has not: a person is asked."""
    with_item(branch, central)
    make_older(branch, {"doctype": "Shop Item", "item_code": "MILK"})
    branch.save("Shop Item", "TEA", item_name="Green tea")
    branch.save("Shop Item", "MILK", item_name="Oat milk")
    branch.sync()
    assert central.get("Shop Item", "TEA")["item_name"] == "Green tea"
    held = requests_of(branch, status="Needs Attention")
    assert [row["resource_id"] for row in held] == ["MILK"]
    assert "Send it whole" in held[0]["error_message"]
    branch.call("erp_offline_sync.api.send_whole", held[0]["name"])
    branch.sync()
    assert central.get("Shop Item", "MILK")["item_name"] == "Oat milk"


def test_a_version_that_moved_with_no_field_changed_is_no_conflict(branch, central, connected):
    """A payment at the central moves the sale's version, its status and a read-only amount."""
    with_item(branch, central)
    customer = branch.insert(CUSTOMER)
    sale = branch.insert(sale_of(customer["name"], ("TEA", 1, 5)))
    branch.submit("Shop Sale", sale["name"])
    branch.sync()
    (there,) = central.documents("Shop Sale")
    central.call("eos_test_app.test_shop.doctype.shop_sale.shop_sale.pay", there["name"], 5)
    branch.cancel("Shop Sale", sale["name"])
    assert branch.sync() == "done"
    assert central.get("Shop Sale", there["name"])["docstatus"] == 2
    assert branch.count("Sync Conflict") == 0


def test_a_customer_is_renamed_and_its_sales_go_on_finding_it(branch, central, connected):
    with_item(branch, central)
    customer = branch.insert(CUSTOMER)
    branch.sync()
    branch.call("frappe.rename_doc", "Shop Customer", customer["name"], "Asha & Sons")
    branch.insert(sale_of("Asha & Sons", ("TEA", 1, 5)))
    assert branch.sync() == "done"
    assert central.exists("Shop Customer", "Asha & Sons")
    (there,) = central.documents("Shop Sale")
    assert there["customer"] == "Asha & Sons"


def test_between_sites_in_two_time_zones_times_arrive_as_they_were_written(branch, central, connected):
    """And what is compared, versions and times of creation, is not confused by the hours between."""
    note = branch.insert({"doctype": "Shop Note", "title": "one", "seen_at": "2026-03-29 02:30:00"})
    branch.sync()
    branch.save("Shop Note", note["name"], title="two")
    assert branch.sync() == "done"
    (there,) = central.documents("Shop Note")
    assert (there["title"], str(there["seen_at"])[:19]) == ("two", "2026-03-29 02:30:00")
    assert branch.count("Sync Conflict") == 0


def test_the_later_write_wins_whatever_the_zones_and_both_sites_end_equal(branch, central, connected):
    note = branch.insert({"doctype": "Shop Note", "title": "one", "category": "A"})
    branch.sync()
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], category="B")
    branch.run(save_later, note["name"], 120)
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict")
    assert (conflict["resolution"], conflict["resolution_status"]) == ("local_wins", "resolved")
    branch.sync()
    ours, theirs = branch.get("Shop Note", note["name"]), central.get("Shop Note", there["name"])
    for one in (ours, theirs):
        assert (one["title"], one["category"]) == ("two", "B")


def save_later(name, seconds):
    """As if the branch had saved that much later than the central."""
    import datetime
    import json

    import frappe

    frappe.get_doc("Shop Note", name).update({"title": "two"}).save()
    row = frappe.get_last_doc("Offline Request")
    times = json.loads(row.times)
    at = datetime.datetime.fromisoformat(times["changed_at"].replace("Z", "+00:00"))
    times["changed_at"] = (at + datetime.timedelta(seconds=seconds)).isoformat()
    frappe.db.sql("update `tabOffline Request` set times = %s where name = %s", (json.dumps(times), row.name))


def test_an_older_change_gives_way_and_the_branch_gets_the_centrals_values(branch, central, connected):
    note = branch.insert({"doctype": "Shop Note", "title": "one", "category": "A"})
    branch.sync()
    (there,) = central.documents("Shop Note")
    branch.run(save_later, note["name"], -600)
    central.save("Shop Note", there["name"], category="B")
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict")
    assert (conflict["resolution"], conflict["resolved_by"]) == ("server_wins", "rule:Last Write Wins")
    ours, theirs = branch.get("Shop Note", note["name"]), central.get("Shop Note", there["name"])
    for one in (ours, theirs):
        assert (one["title"], one["category"]) == ("one", "B")
    assert statuses(branch) == [("create", "Synced"), ("update", "Decided")]
    assert branch.sync() == "done"
    assert branch.count("Offline Request") == 2, "what came from the central is not captured"
