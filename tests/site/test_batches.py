"""Many requests at once: a branch and a central that both have the app, over a real line."""

import json
import os

import pytest
from site_rig.client import make_user
from site_rig.world import requests_of

MANY = int(os.environ.get("SITE_MANY_DOCUMENTS") or 150)
"""1,000 in the long run, and 500 around one that spoils every push."""
AROUND = MANY // 2 if MANY >= 1000 else 24
NOTE = "Shop Note"
BRANCH_ROLE = "Offline Sync Branch"
TILL = "pushing.till@shop.example"


def make_notes(count, odd=None):
    import frappe

    for number in range(count):
        title = (odd or {}).get(str(number)) or f"note {number:04}"
        frappe.get_doc({"doctype": "Shop Note", "title": title}).insert()
    frappe.db.commit()


def make_sales(count):
    """Customers and items, sales for them with rows, half of them submitted: in the order of their links."""
    import frappe

    items = [frappe.get_doc({"doctype": "Shop Item", "item_code": f"I-{n}"}).insert().name for n in range(3)]
    for number in range(count):
        customer = frappe.get_doc({"doctype": "Shop Customer", "customer_name": f"C {number}"}).insert()
        rows = [{"item": item, "qty": number + 1, "rate": 2} for item in items]
        sale = frappe.get_doc({"doctype": "Shop Sale", "customer": customer.name, "items": rows}).insert()
        sale.items[0].qty = 100
        sale.append("items", {"item": items[0], "qty": 7, "rate": 1})
        sale.save()
        if number % 2:
            sale.submit()
    frappe.db.commit()


@pytest.fixture
def till(settings, companion):
    """The branch sends to the central that has the app; answers how it is set up, for another URL or role."""

    def connect(url=None, roles=(BRANCH_ROLE, "Shop User"), **values):
        key, secret = companion.run(make_user, TILL, list(roles))
        settings(central_url=url or companion.url, api_key=key, api_secret=secret, **values)

    connect()
    return connect


def drained(branch):
    """A run ends after a minute, whatever is left."""
    return any(branch.sync(timeout=300) == "done" for _ in range(20))


def titles(companion):
    return sorted(note["title"] for note in companion.documents(NOTE, fields=["title"]))


def expected(count, odd=None):
    return sorted((odd or {}).get(str(number)) or f"note {number:04}" for number in range(count))


def by_status(branch):
    counted = {}
    for row in requests_of(branch):
        counted[row["status"]] = counted.get(row["status"], 0) + 1
    return counted


def pushed(branch):
    """How many of the requests went in a push."""
    return branch.count("Offline Request", {"number": (">", 0)})


def test_many_documents_go_in_few_pushes_and_each_leaves_a_receipt(branch, companion, till):
    branch.run(make_notes, MANY)
    assert drained(branch)
    assert by_status(branch) == {"Synced": MANY}
    assert titles(companion) == expected(MANY)
    assert companion.count("Sync Receipt", {"outcome": "applied"}) == MANY
    assert pushed(branch) == MANY
    # What the answer holds is what is known: the next change needs no look before it.
    name = branch.documents(NOTE, {"title": "note 0007"})[0]["name"]
    branch.save(NOTE, name, title="changed")
    assert branch.sync() == "done"
    assert companion.count(NOTE, {"title": "changed"}) == 1


def test_what_links_to_each_other_arrives_in_order_with_its_rows(branch, companion, till):
    count = 12
    branch.run(make_sales, count)
    assert drained(branch)
    assert set(by_status(branch)) <= {"Synced", "Merged"}
    here = {row["name"]: row for row in branch.documents("Shop Sale")}
    assert companion.count("Shop Sale") == len(here) == count
    assert companion.count("Shop Sale", {"docstatus": 1}) == count // 2
    for known in branch.documents("Synced Document", {"reference_doctype": "Shop Sale"}):
        there = companion.get("Shop Sale", known["central_name"])
        mine = branch.get("Shop Sale", known["local_name"])
        assert [(row["item"], row["qty"]) for row in there["items"]] == [
            (row["item"], row["qty"]) for row in mine["items"]
        ]
        assert there["docstatus"] == mine["docstatus"]


def test_one_that_the_central_breaks_on_harms_no_other(branch, companion, till):
    count = 40
    branch.run(make_notes, count, {"20": "breaks what applies it"})
    branch.sync()
    assert by_status(branch) == {"Synced": count - 1, "Retry Scheduled": 1}


def retitle_notes(titles):
    import frappe

    for old, new in titles.items():
        note = frappe.get_doc("Shop Note", {"title": old})
        note.update({"title": new, "body": "as it was sent"})
        note.save()
    frappe.db.commit()


def test_what_the_central_commits_and_fails_on_is_found_or_given_to_a_person(branch, companion, till):
    """The companion never applies it again under its id: a branch that asked again would ask for ever."""
    branch.run(make_notes, 3)
    branch.sync()
    branch.run(retitle_notes, {"note 0001": "half done by a push", "note 0002": "done by a push that fails"})
    assert branch.sync() == "done"
    updates = branch.documents(
        "Offline Request", {"operation": "update"}, fields=["resource_id", "status", "error_type"]
    )
    found = {row["resource_id"]: row for row in updates}
    by_title = {note["title"]: note["name"] for note in branch.documents(NOTE, fields=["title", "name"])}
    half, done = found[by_title["half done by a push"]], found[by_title["done by a push that fails"]]
    assert (half["status"], half["error_type"], done["status"]) == ("Needs Attention", "HalfDone", "Synced")
    assert companion.count("Sync Receipt", {"outcome": "in_doubt"}) == 2
    assert {note["body"] for note in companion.documents(NOTE, fields=["body"])} >= {
        "half of it",
        "as it was sent",
    }


@pytest.mark.parametrize("lanes", [1, 8])
def test_one_that_kills_every_worker_is_found_and_all_others_are_applied(branch, companion, till, lanes):
    """Each push that holds it is lost as a whole; what was applied before it is told by receipts. What other lanes
    had there is lost with the worker, and comes again when its claim has run out."""
    till(sync_lanes=lanes)
    count, poison = AROUND, str(AROUND // 2)
    odd = {poison: "kills every worker that applies it"}
    branch.run(make_notes, count, odd)
    for _ in range(20):
        branch.sync(timeout=300, later=60, force=True)
        if companion.count(NOTE) == count - 1:
            break
        companion.call("frappe.db.sql", "update `tabSync Receipt` set claimed_until = '2001-01-01'")
    assert titles(companion) == [title for title in expected(count, odd) if title != odd[poison]]
    assert by_status(branch)["Synced"] == count - 1
    assert companion.count("Sync Receipt", {"outcome": "applied"}) == count - 1


@pytest.mark.parametrize("kind", ["swallow", "reset", "cut"])
def test_where_the_answer_of_a_push_is_lost_nothing_is_lost_and_nothing_there_twice(
    branch, companion, till, kind
):
    from erp_offline_sync.testing.fault_proxy import FaultProxy, Mishap

    count = 30
    with FaultProxy(companion.url) as line:
        till(line.url)
        branch.run(make_notes, count)
        for _ in range(2):
            line.befall(Mishap(kind=kind), matches=lambda method, path: path.endswith("receiver.push"))
        branch.sync(timeout=300, force=True)
        branch.sync(timeout=300, later=60, force=True)
    assert by_status(branch) == {"Synced": count}
    assert titles(companion) == expected(count)
    assert {row["retry_count"] for row in requests_of(branch)} == {0}


def test_without_the_companion_s_leave_plain_rest_goes_on_and_pushes_come_back(branch, companion, till):
    till(roles=("Shop User",))
    branch.run(make_notes, 2)
    assert branch.sync() == "done"
    assert (by_status(branch), pushed(branch)) == ({"Synced": 2}, 0)
    till()
    branch.run(make_notes, 2)
    assert branch.sync(later=700) == "done"
    assert (by_status(branch), pushed(branch)) == ({"Synced": 4}, 2)
    till(roles=("Shop User",))
    branch.run(make_notes, 2)
    assert branch.sync() == "done"
    assert (by_status(branch), pushed(branch)) == ({"Synced": 6}, 2)
    assert companion.count(NOTE) == 6


def test_the_modelled_companions_answer_as_a_real_one_does(rig, companion, till):
    import requests
    from site_rig.client import SiteProcess

    from erp_offline_sync.adapters.companion_central import CompanionCentral
    from erp_offline_sync.testing.central_contract import RULES, doctype_documents
    from erp_offline_sync.testing.companion_contract import Pushing, observe
    from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral

    assert isinstance(companion, SiteProcess)
    companion.run(give_doctypes, doctype_documents())
    key, secret = companion.run(make_user, "contract@shop.example", [BRANCH_ROLE, "System Manager"])
    real = CompanionCentral(companion.url, key, secret)
    with StandInCentral(RULES, companion=True) as stand_in:
        modelled = CompanionCentral(stand_in.url, API_KEY, API_SECRET)
        origin = requests.utils.quote(os.urandom(6).hex())
        seen = [observe(Pushing(central, origin=f"o{origin}")) for central in (modelled, real)]
        modelled.close()
    real.close()
    differing = [
        f"{case}: {seen[0][case]} but {seen[1][case]}" for case in seen[0] if seen[0][case] != seen[1][case]
    ]
    assert not differing, "\n".join(differing)
    assert json.dumps(seen[1])


def give_doctypes(documents):
    import frappe

    for document in documents:
        if not frappe.db.exists("DocType", document["name"]):
            frappe.get_doc(document).insert()
            frappe.db.commit()
