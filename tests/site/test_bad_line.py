"""Documents that link to each other over a line that swallows answers and resets connections, while runs are killed.

What went wrong is drawn from a seed; when a run is killed is drawn too, in exchanges that went over the line and in
parts of a second after the last of them.
"""

import os
import random
import time
from collections import Counter

import pytest
from site_rig.client import make_user, wait_until
from site_rig.world import requests_of

from erp_offline_sync.testing.fault_proxy import FaultProxy, Mishap

LONG = int(os.environ.get("SITE_MANY_DOCUMENTS") or 0) >= 1000
SEED = int(os.environ.get("SITE_BAD_LINE_SEED") or 4)
DOCUMENTS = 1000 if LONG else 120
BY_PLAIN_REST = 1000 if LONG else 40
KILLS = 10 if LONG else 3
AROUND = 500 if LONG else 20
"""Documents around one that never is answered."""
WEATHER = {"swallow": 0.1, "reset": 0.1}
ENDS = {"Synced", "Merged"}
UNDER_WAY = {"Pending", "In Flight", "Retry Scheduled", "In Doubt"}
TRADED = {"Shop Customer": "customer_name", "Shop Sale": "remarks", "Shop Note": "title"}
TILL = "bad.line@shop.example"


def trade(count):
    """Runs on the branch. By fours: a customer, a sale to them that is submitted, another one that is saved again,
    and a note about them; each in a transaction of its own."""
    import frappe

    item = frappe.get_doc({"doctype": "Shop Item", "item_code": "TEA"}).insert().name
    frappe.db.commit()
    for number in range(count):
        mark, kind = f"no {number:04}", number % 4
        if kind == 0:
            made = frappe.get_doc({"doctype": "Shop Customer", "customer_name": mark}).insert()
            customer = made.name
        elif kind == 3:
            frappe.get_doc({"doctype": "Shop Note", "title": mark, "customer": customer}).insert()
        else:
            rows = [{"item": item, "qty": number + 1, "rate": 2}]
            sale = {"doctype": "Shop Sale", "customer": customer, "remarks": mark, "items": rows}
            made = frappe.get_doc(sale).insert()
            frappe.db.commit()
            if kind == 1:
                made.submit()
            else:
                made.append("items", {"item": item, "qty": 7, "rate": 1})
                made.save()
        frappe.db.commit()


def say_more(step, turn):
    """Runs on the branch: every so many notes are changed, whatever became of what was said before."""
    import frappe

    for name in frappe.get_all("Shop Note", order_by="title asc", pluck="name")[turn::step]:
        note = frappe.get_doc("Shop Note", name)
        note.body = f"{note.body or ''}{turn}"
        note.save()
        frappe.db.commit()


def end_lease():
    """Runs on the branch: that of a killed run would last for most of a minute."""
    import json

    from erp_offline_sync import tasks

    store = tasks.own_store()
    with store.transaction():
        kept = json.loads(store.get_meta("run_lease"))
        store.set_meta("run_lease", json.dumps({**kept, "expires_at": "2001-01-01T00:00:00+00:00"}))


def anything(method, path):
    return True


@pytest.fixture
def line_to(settings):
    """`line_to(site, **settings)`: the branch sends over a line to that site, as a user who made nothing before."""
    lines = []

    def connect(site, *roles, **values):
        key, secret = site.run(make_user, TILL, ["Shop User", *roles])
        line = FaultProxy(site.url, seed=SEED).start()
        lines.append(line)
        values = {"central_request_timeout": 10, "max_retries": 20, **values}
        settings(central_url=line.url, api_key=key, api_secret=secret, **values)
        return line

    yield connect
    for line in lines:
        line.close()


def run_and_kill(branch, line, *, far):
    """Runs that are killed: each after up to `far` exchanges and up to half a second. Between them people go on."""
    draw, killed = random.Random(f"{SEED} kills"), 0
    while killed < KILLS:
        assert set(by_status(branch)) & UNDER_WAY, f"all was done after {killed} kills"
        running = branch.start_job(trigger="tick", force=True)
        until = len(line.exchanges) + draw.randint(1, far)
        wait_until(
            lambda until=until, run=running: len(line.exchanges) >= until or not run.alive(), 120, 0.01
        )
        time.sleep(draw.uniform(0, 0.5))
        running.kill()
        if running.join() == 0:
            continue  # by itself: at the end of a minute a run waits for no line
        killed += 1
        branch.run(end_lease)
        branch.run(say_more, KILLS, killed - 1)


def drain(branch, rounds=40):
    """Run until nothing moves any more but by a person."""
    for _ in range(rounds):
        branch.sync(timeout=300, trigger="tick", force=True)
        if not set(by_status(branch)) & UNDER_WAY:
            return
        time.sleep(1)


def by_status(branch):
    return Counter(row["status"] for row in requests_of(branch))


def outbox(branch):
    fields = ["name", "idempotency_key", "operation", "status", "resource_type", "resource_id", "line"]
    fields += ["retry_count", "error_message", "waits_for", "history"]
    return branch.documents("Offline Request", fields=fields, order_by="seq asc")


def marks(site):
    """Document type → what its documents there are known by."""
    return {
        doctype: Counter(row[field] for row in site.documents(doctype, fields=[field]))
        for doctype, field in TRADED.items()
    }


def known(branch):
    """(document type, name here) → name at the central."""
    return {
        (row["reference_doctype"], row["local_name"]): row["central_name"]
        for row in branch.documents("Synced Document")
    }


def assert_equal_on_both_sides(branch, there, names):
    """What stands here stands there, with what it links to, its state and its rows."""
    for doctype, fields in (
        ("Shop Note", ("title", "body", "customer")),
        ("Shop Sale", ("remarks", "customer", "docstatus", "total")),
    ):
        theirs = {row["name"]: row for row in there.documents(doctype, fields=["name", *fields])}
        for mine in branch.documents(doctype, fields=["name", *fields]):
            central_name = names.get((doctype, mine["name"]))
            if central_name is None:
                continue
            wanted = {**mine, "customer": names[("Shop Customer", mine["customer"])]}
            found = theirs[central_name]
            assert {field: found[field] for field in fields} == {field: wanted[field] for field in fields}


def assert_targets_are_older(branch, there, names):
    """No document came before the one that it links to."""
    made = {row["name"]: row["creation"] for row in there.documents("Shop Customer")}
    for doctype in ("Shop Sale", "Shop Note"):
        for row in there.documents(doctype, fields=["customer", "creation"]):
            assert made[row["customer"]] < row["creation"]


def test_by_the_companion_each_document_arrives_once_in_order_whatever_the_line_and_kills_do(
    branch, companion, line_to
):
    line = line_to(companion, "Offline Sync Branch", sync_batch_size=5)
    branch.run(trade, DOCUMENTS)
    line.weather(WEATHER, matches=anything)
    began = time.monotonic()
    run_and_kill(branch, line, far=6)
    drain(branch)
    print(
        f"\n{DOCUMENTS} documents in {time.monotonic() - began:.0f} s, {KILLS} kills; the line: {dict(line.done)}"
    )
    rows = outbox(branch)
    assert set(by_status(branch)) <= ENDS, [row for row in rows if row["status"] not in ENDS]
    assert set(line.done) == set(WEATHER)
    assert marks(companion) == marks(branch)
    assert {each for counted in marks(companion).values() for each in counted.values()} == {1}
    receipts = companion.documents(
        "Sync Receipt", {"outcome": "applied"}, fields=["request_id", "creation"], order_by="creation asc"
    )
    sent = [row for row in rows if row["status"] == "Synced"]
    assert sorted(row["request_id"] for row in receipts) == sorted(row["idempotency_key"] for row in sent)
    applied_at = {row["request_id"]: row["creation"] for row in receipts}
    last = {}
    for row in sent:
        at = applied_at[row["idempotency_key"]]
        assert last.get(row["line"], "") < str(at), (
            f"{row['name']} came before an earlier one of its document"
        )
        last[row["line"]] = str(at)
    names = known(branch)
    assert_targets_are_older(branch, companion, names)
    assert_equal_on_both_sides(branch, companion, names)


def test_by_plain_rest_nothing_is_there_twice_and_what_nobody_can_know_is_with_a_person(
    branch, central, line_to
):
    line = line_to(central)
    branch.run(trade, BY_PLAIN_REST)
    line.weather(WEATHER, matches=anything)
    began = time.monotonic()
    run_and_kill(branch, line, far=BY_PLAIN_REST // 3)
    drain(branch)
    print(
        f"\n{BY_PLAIN_REST} documents in {time.monotonic() - began:.0f} s, {KILLS} kills; the line: {dict(line.done)}; "
        f"{dict(by_status(branch))}"
    )
    rows = outbox(branch)
    conflicts = branch.documents("Sync Conflict")
    assert not conflicts, f"the branch alone changed anything: {conflicts}"
    assert set(by_status(branch)) <= ENDS | {"Needs Attention", "Waiting"}
    asked = [row for row in rows if row["status"] == "Needs Attention"]
    assert all("not answered" in row["error_message"] for row in asked), asked
    held = {row["name"] for row in rows if row["status"] not in ENDS}
    assert {row["waits_for"] for row in rows if row["status"] == "Waiting"} <= held
    assert set(line.done) == set(WEATHER)
    here, there, names = marks(branch), marks(central), known(branch)
    assert {each for counted in there.values() for each in counted.values()} == {1}
    with_a_person = {(row["resource_type"], row["resource_id"]) for row in rows if row["name"] in held}
    for doctype, field in TRADED.items():
        assert not there[doctype] - here[doctype]
        for mine in branch.documents(doctype, fields=["name", field]):
            arrived = mine[field] in there[doctype] and names.get((doctype, mine["name"]))
            assert arrived or (doctype, mine["name"]) in with_a_person, f"{doctype} {mine[field]} is nowhere"
    assert_targets_are_older(branch, central, names)
    if not held:
        assert_equal_on_both_sides(branch, central, names)
        assert there == here


def test_one_that_is_never_answered_holds_up_no_other(branch, central, line_to):
    """In the middle of many changes, by plain REST: the others arrive in the first run."""
    line = line_to(central)
    branch.run(make_notes, AROUND)
    while branch.sync(timeout=300) != "done":
        pass
    there = {row["title"]: row["name"] for row in central.documents("Shop Note", fields=["name", "title"])}
    poison = f"/{there[f'note {AROUND // 2:04}']}"

    def of_the_poison(method, path):
        return method == "PUT" and path.endswith(poison)

    branch.run(change_notes)
    line.befall(Mishap(kind="silent"), times=1000, matches=of_the_poison)
    branch.sync(timeout=300, trigger="tick", force=True)
    first_pass = by_status(branch)
    line.heal()
    assert first_pass["Synced"] == 2 * AROUND - 1
    assert central.count("Shop Note", {"body": "changed"}) >= AROUND - 1
    branch.run(end_lease)
    drain(branch)
    assert by_status(branch) == {"Synced": 2 * AROUND}
    assert central.count("Shop Note", {"body": "changed"}) == AROUND


def make_notes(count):
    """Runs on the branch."""
    import frappe

    for number in range(count):
        frappe.get_doc({"doctype": "Shop Note", "title": f"note {number:04}"}).insert()
    frappe.db.commit()


def change_notes():
    """Runs on the branch."""
    import frappe

    for name in frappe.get_all("Shop Note", order_by="title asc", pluck="name"):
        note = frappe.get_doc("Shop Note", name)
        note.body = "changed"
        note.save()
    frappe.db.commit()
