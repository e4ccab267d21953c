"""What a save of the branch writes into the outbox, seen from inside the site, before anything is sent."""

from __future__ import annotations

import contextlib
import time

import pytest

AWKWARD = "O'Brien 50% off %s %(name)s \\ فاتورة"


@pytest.fixture
def outbox(settings, site):
    """`outbox()` the requests written so far, by seq. The test doctypes are captured."""
    settings()
    return lambda: _requests(site)


def _requests(site):
    from erp_offline_sync.adapters.frappe_store import FrappeStore

    store = FrappeStore(lambda: None, lambda: None, owns_transaction=False)
    with store.transaction():
        return store.list_requests(limit=1000)


def _operations(outbox):
    return [(request.operation.value, request.resource_type) for request in outbox()]


def _note(site, **values):
    return site.get_doc({"doctype": "Shop Note", "title": "milk", **values}).insert()


def _customer(site, **values):
    return site.get_doc({"doctype": "Shop Customer", "customer_name": "Amina", **values}).insert()


def _item(site, code="TEA"):
    return site.get_doc({"doctype": "Shop Item", "item_code": code, "item_name": code.title()}).insert()


def _sale(site, *rows, customer=None, **values):
    customer = customer or _customer(site).name
    items = [{"item": item, "qty": qty, "rate": rate} for item, qty, rate in rows]
    return site.get_doc({"doctype": "Shop Sale", "customer": customer, "items": items, **values}).insert()


# ---------------------------------------------------------------- one row a save


def test_an_insert_writes_the_whole_document(outbox, site):
    note = _note(site, pinned=0, seen_at=None)
    (row,) = outbox()
    assert row.operation.value == "create"
    assert (row.resource_type, row.resource_id) == ("Shop Note", note.name)
    assert row.body == {
        "title": "milk",
        "body": "",
        "pinned": 0,
        "seen_at": "",
        "weight": 2.5,
        "category": "",
        "customer": "",
    }
    assert (row.method, row.path) == ("POST", "/api/resource/Shop%20Note")
    assert row.key == row.id
    assert row.base is None
    assert row.status.value == "Pending"


def test_a_rollback_leaves_no_row(outbox, site):
    _note(site)
    site.db.rollback()
    assert outbox() == []


def test_an_update_writes_what_changed_and_what_it_was(outbox, site):
    note = _note(site, weight=1)
    note.title, note.weight = "bread", 2
    note.save()
    row = outbox()[-1]
    assert row.operation.value == "update"
    assert row.body == {"title": "bread", "weight": 2.0}
    assert row.base == {"title": "milk", "weight": 1.0}
    assert (row.method, row.path) == ("PUT", f"/api/resource/Shop%20Note/{note.name}")


def test_a_save_that_changes_no_synced_field_writes_no_row(outbox, site):
    note = _note(site)
    note.save()
    site.get_doc("Shop Note", note.name).save()
    assert _operations(outbox) == [("create", "Shop Note")]


def test_an_emptied_field_goes_as_empty_and_not_as_null(outbox, site):
    """Null, or a field left out, would take the central's default."""
    note = _note(site, seen_at="2026-01-02 03:04:05", weight=7)
    note.update({"title": None, "pinned": 0, "seen_at": None, "weight": None})
    note.save()
    assert outbox()[-1].body == {"title": "", "pinned": 0, "seen_at": "", "weight": 0.0}


def test_texts_are_kept_to_the_letter(outbox, site):
    note = _note(site, title=AWKWARD)
    note.title = f"{AWKWARD}!"
    note.save()
    created, updated = outbox()
    assert created.body["title"] == AWKWARD
    assert (updated.base, updated.body) == ({"title": AWKWARD}, {"title": f"{AWKWARD}!"})


def test_a_delete_keeps_what_the_document_was(outbox, site):
    note = _note(site)
    site.delete_doc("Shop Note", note.name)
    row = outbox()[-1]
    assert (row.operation.value, row.resource_id, row.body) == ("delete", note.name, {})
    assert row.base["title"] == "milk"
    assert row.base["creation"] == str(note.creation)


def test_a_rename_is_one_row(outbox, site):
    customer = _customer(site)
    old = customer.name
    site.rename_doc("Shop Customer", old, "AMINA")
    assert _operations(outbox) == [("create", "Shop Customer"), ("rename", "Shop Customer")]
    row = outbox()[-1]
    assert (row.resource_id, row.body) == (old, {"new_name": "AMINA", "merge": False})


def test_a_merge_is_one_row_and_its_delete_is_not_another(outbox, site):
    one, other = _customer(site), _customer(site, customer_name="Amina A.")
    site.rename_doc("Shop Customer", one.name, other.name, merge=True)
    row = outbox()[-1]
    assert _operations(outbox)[2:] == [("rename", "Shop Customer")]
    assert row.body == {"new_name": other.name, "merge": True}
    assert [(link.path, link.name) for link in row.links][:1] == [("new_name", other.name)]
    site.delete_doc("Shop Customer", other.name)
    assert _operations(outbox)[3:] == [("delete", "Shop Customer")]


# ---------------------------------------------------------------- submittable documents and their rows


def test_a_sale_with_rows_goes_through_its_life_a_row_a_step(outbox, site):
    _item(site)
    sale = _sale(site, ("TEA", 2, 5), remarks="first", set_posting_time=1)
    sale.remarks = "second"
    sale.submit()
    sale.delivery_note = "left at the door"
    sale.save()
    sale.cancel()
    rows = [row for row in outbox() if row.resource_type == "Shop Sale"]
    assert [row.operation.value for row in rows] == ["create", "submit", "update", "cancel"]
    create, submit, update, cancel = rows
    (row,) = create.body["items"]
    assert row == {"item": "TEA", "qty": 2.0, "rate": 5.0, "note": "", "name": sale.items[0].name}
    assert "docstatus" not in create.body
    assert (submit.base, submit.body) == ({"remarks": "first"}, {"remarks": "second"})
    assert update.body == {"delivery_note": "left at the door"}
    assert cancel.body == {}


def test_computed_fetched_and_read_only_fields_do_not_travel(outbox, site):
    _item(site)
    sale = _sale(site, ("TEA", 2, 5))
    body = outbox()[-1].body
    assert sale.total == 10
    assert not {"total", "status", "customer_name", "paid_amount"} & set(body)
    assert "amount" not in body["items"][0]


def test_a_document_submitted_as_it_is_inserted_is_one_create(outbox, site):
    _item(site)
    customer = _customer(site).name
    _sale(site, ("TEA", 1, 1), customer=customer, docstatus=1)
    (row,) = (row for row in outbox() if row.resource_type == "Shop Sale")
    assert (row.operation.value, row.body["docstatus"]) == ("create", 1)


def test_a_changed_table_is_whole_on_both_sides(outbox, site):
    _item(site, "TEA")
    _item(site, "RICE")
    sale = _sale(site, ("TEA", 1, 1), ("RICE", 2, 2), set_posting_time=1)
    tea, rice = (row.name for row in sale.items)
    sale.items[0].qty = 9
    sale.remove(sale.items[1])
    added = sale.append("items", {"item": "RICE", "qty": 3, "rate": 2})
    sale.save()
    row = outbox()[-1]
    assert set(row.body) == {"items"}
    assert [(each["name"], each["qty"]) for each in row.base["items"]] == [(tea, 1.0), (rice, 2.0)]
    assert [(each["name"], each["qty"]) for each in row.body["items"]] == [(tea, 9.0), (added.name, 3.0)]


def test_rows_in_another_order_are_a_change(outbox, site):
    _item(site)
    sale = _sale(site, ("TEA", 1, 1), ("TEA", 1, 1), set_posting_time=1)
    sale.items.reverse()
    for place, row in enumerate(sale.items, 1):
        row.idx = place
    sale.save()
    assert set(outbox()[-1].body) == {"items"}


def test_an_amendment_says_what_it_amends(outbox, site):
    _item(site)
    sale = _sale(site, ("TEA", 1, 1))
    sale.submit()
    sale.cancel()
    amended = site.copy_doc(sale)
    amended.amended_from = sale.name
    amended.docstatus = 0
    amended.insert()
    row = outbox()[-1]
    assert (row.operation.value, row.resource_id) == ("create", amended.name)
    assert row.body["amended_from"] == sale.name
    assert ("amended_from", sale.name) in {(link.path, link.name) for link in row.links}


# ---------------------------------------------------------------- links, names, policy


def test_links_are_kept_with_their_place(outbox, site):
    _item(site, "TEA")
    _item(site, "RICE")
    customer = _customer(site).name
    _sale(site, ("TEA", 1, 1), ("RICE", 1, 1), customer=customer)
    links = {(link.path, link.doctype, link.name) for link in outbox()[-1].links}
    assert links == {
        ("customer", "Shop Customer", customer),
        ("items.0.item", "Shop Item", "TEA"),
        ("items.1.item", "Shop Item", "RICE"),
    }


def test_a_link_that_is_taken_away_is_remembered(outbox, site):
    """A delete of what it named has to wait for the change that lets go of it."""
    customer = _customer(site).name
    note = _note(site, customer=customer)
    note.customer = None
    note.save()
    (link,) = outbox()[-1].links
    assert (link.name, link.path) == (customer, "was:customer")


def test_links_to_what_every_site_has_of_itself_are_not_kept(outbox, site):
    site.get_doc({"doctype": "ToDo", "description": "count", "allocated_to": "Administrator"}).insert()
    (row,) = outbox()
    assert row.body["allocated_to"] == "Administrator"
    assert row.links == ()


def test_a_dynamic_link_is_kept(outbox, site):
    customer = _customer(site).name
    todo = {"description": "call", "reference_type": "Shop Customer", "reference_name": customer}
    site.get_doc({"doctype": "ToDo", **todo}).insert()
    assert ("reference_name", "Shop Customer", customer) in {
        (link.path, link.doctype, link.name) for link in outbox()[-1].links
    }


def test_unique_values_by_which_it_can_be_found_again(outbox, site):
    _item(site, "TEA")
    _customer(site, mobile="0700 1")
    assert [dict(row.unique) for row in outbox()] == [{"item_code": "TEA"}, {"mobile": "0700 1"}]


def test_values_set_on_the_way_out_go_with_a_create(outbox, site):
    _item(site)
    _sale(site, ("TEA", 1, 1), set_posting_time=1, posting_date="2026-01-05", posting_time="09:08:07")
    body = outbox()[-1].body
    assert (body["set_posting_time"], body["posting_date"]) == (1, "2026-01-05")
    _sale(site, ("TEA", 1, 1))
    assert outbox()[-1].body["set_posting_time"] == 1


def test_only_the_operations_of_the_policy_are_captured(settings, site):
    settings(policies=[{"document_type": "Shop Note", "operations": "insert, delete", "priority": 2}])
    note = _note(site)
    note.title = "bread"
    note.save()
    site.delete_doc("Shop Note", note.name)
    assert [(row.operation.value, row.priority, row.rank) for row in _requests(site)] == [
        ("create", 2, 2),
        ("delete", 2, 2),
    ]


def test_excluded_fields_do_not_travel(settings, site):
    policy = {"document_type": "Shop Sale", "excluded_fields": "remarks\nitems.note"}
    settings(policies=[policy, {"document_type": "Shop Item"}, {"document_type": "Shop Customer"}])
    _item(site)
    sale = _sale(site, ("TEA", 1, 1), remarks="secret", set_posting_time=1)
    body = _requests(site)[-1].body
    assert "remarks" not in body
    assert "note" not in body["items"][0]
    sale.remarks = "another"
    sale.save()
    assert len(_requests(site)) == 3


def test_a_doctype_without_a_policy_is_left_alone(settings, site):
    settings(policies=[])
    _note(site)
    assert _requests(site) == []


def test_a_branch_that_is_switched_off_captures_nothing(settings, site):
    settings(enabled=0)
    _note(site)
    assert _requests(site) == []


@pytest.mark.parametrize("flag", ["in_install", "in_migrate", "in_patch", "in_fixtures"])
def test_nothing_is_captured_while_the_site_is_being_built(outbox, site, flag):
    site.flags[flag] = True
    _note(site)
    site.flags[flag] = False
    assert outbox() == []


def test_a_document_being_applied_is_not_captured_and_others_are(outbox, site):
    from erp_offline_sync.adapters.frappe_meta import applying

    note, other = _note(site), _note(site)
    with applying("Shop Note", note.name):
        for each in (note, other):
            each.title = "from the central"
            each.save()
    assert [(row.operation.value, row.resource_id) for row in outbox()[2:]] == [("update", other.name)]


def test_what_is_too_large_is_refused_at_the_save(settings, site):
    settings(max_body_mb=1)
    with pytest.raises(site.ValidationError, match="1 MB at most"):
        _note(site, body="x" * (1 << 20))
    site.db.rollback()
    assert _requests(site) == []


# ---------------------------------------------------------------- db_set


def test_db_set_is_not_seen_unless_the_policy_names_the_field(settings, site):
    settings(policies=[{"document_type": "Shop Note", "captured_db_set_fields": "category"}])
    note = _note(site, category="A")
    note.db_set("title", "unseen")
    note.db_set("category", "B")
    note.db_set("category", "B")
    created, update = _requests(site)
    assert (created.operation.value, update.operation.value) == ("create", "update")
    assert (update.base, update.body) == ({"category": "A"}, {"category": "B"})


def test_db_set_knows_what_it_writes_over_after_a_save_of_the_same_object(settings, site):
    settings(policies=[{"document_type": "Shop Note", "captured_db_set_fields": "category"}])
    note = _note(site, category="A")
    note.category = "B"
    note.save()
    note.db_set("category", "C")
    assert [row.base for row in _requests(site)[1:]] == [{"category": "A"}, {"category": "B"}]


# ---------------------------------------------------------------- documents inside each other's saves


def _in_event(monkeypatch, site, doctype, event, action):
    """The doctype's own code does `action(doc)` at that event."""
    monkeypatch.setattr(type(site.new_doc(doctype)), event, action, raising=False)


def test_what_code_makes_inside_a_save_is_derived(outbox, site, monkeypatch):
    _in_event(monkeypatch, site, "Shop Customer", "after_insert", lambda doc: _note(site, customer=doc.name))
    _customer(site)
    assert _operations(outbox) == [("create", "Shop Customer")]


def test_links_to_derived_documents_are_left_out(outbox, site, monkeypatch):
    _in_event(monkeypatch, site, "Shop Note", "after_insert", lambda doc: _customer(site))
    _note(site)
    derived = site.get_last_doc("Shop Customer").name
    monkeypatch.undo()
    note = _note(site, customer=derived)
    row = outbox()[-1]
    assert row.resource_id == note.name
    assert "customer" not in row.body
    assert row.links == ()


def test_a_policy_may_include_derived_documents(settings, site, monkeypatch):
    settings(
        policies=[{"document_type": "Shop Customer"}, {"document_type": "Shop Note", "include_derived": 1}]
    )
    _in_event(monkeypatch, site, "Shop Customer", "after_insert", lambda doc: _note(site, customer=doc.name))
    _customer(site)
    assert sorted(row.resource_type for row in _requests(site)) == ["Shop Customer", "Shop Note"]


def test_what_is_made_inside_a_save_that_does_not_travel_is_captured(settings, site, monkeypatch):
    settings(policies=[{"document_type": "Shop Note"}])
    _in_event(monkeypatch, site, "Shop Customer", "after_insert", lambda doc: _note(site, customer=doc.name))
    _customer(site)
    assert [row.resource_type for row in _requests(site)] == ["Shop Note"]


def test_a_failed_save_does_not_make_later_ones_derived(outbox, site):
    """Frappe keeps a document whose save failed in its list of those being saved."""
    with pytest.raises(site.ValidationError), contextlib.redirect_stdout(None):
        site.get_doc({"doctype": "Shop Note", "category": "no such category"}).insert()
    assert site.flags.currently_saving
    _customer(site)
    assert _operations(outbox) == [("create", "Shop Customer")]


def test_a_save_inside_its_own_insert_is_one_create_of_what_it_became(outbox, site, monkeypatch):
    def again(doc):
        doc.title = "saved twice"
        doc.save()

    _in_event(monkeypatch, site, "Shop Note", "after_insert", again)
    _note(site)
    (row,) = outbox()
    assert (row.operation.value, row.body["title"]) == ("create", "saved twice")


def test_a_submit_inside_its_own_insert_is_one_create(outbox, site, monkeypatch):
    _item(site)
    customer = _customer(site).name
    _in_event(monkeypatch, site, "Shop Sale", "after_insert", lambda doc: doc.submit())
    _sale(site, ("TEA", 1, 1), customer=customer)
    (row,) = (row for row in outbox() if row.resource_type == "Shop Sale")
    assert (row.operation.value, row.body["docstatus"]) == ("create", 1)


@pytest.mark.parametrize("same_object", [True, False])
def test_saves_inside_their_own_save_lose_nothing_and_keep_their_order(
    outbox, site, monkeypatch, same_object
):
    note = _note(site)

    def again(doc):
        if doc.category:
            return
        inner = doc if same_object else site.get_doc("Shop Note", doc.name)
        inner.category = "A"
        inner.save()

    _in_event(monkeypatch, site, "Shop Note", "on_update", again)
    note.title = "outer"
    note.save()
    updates = outbox()[1:]
    assert updates[0].base["title"] == "milk"
    merged = {}
    for row in updates:
        assert all(merged.get(field, value) == value for field, value in row.base.items())
        merged.update(row.body)
    assert merged == {"title": "outer", "category": "A"}


def test_the_same_object_saved_again_writes_only_its_second_change(outbox, site):
    note = _note(site)
    for title in ("one", "two"):
        note.title = title
        note.save()
    assert [(row.base, row.body) for row in outbox()[1:]] == [
        ({"title": "milk"}, {"title": "one"}),
        ({"title": "one"}, {"title": "two"}),
    ]


def test_an_insert_that_passes_over_a_row_that_is_there_is_no_create(outbox, site):
    there = _customer(site)
    again = site.get_doc({"doctype": "Shop Customer", "customer_name": "Another"})
    again.insert(set_name=there.name, ignore_if_duplicate=True)
    assert len(outbox()) == 1


# ---------------------------------------------------------------- beside other transactions


def test_a_transaction_that_stays_open_holds_up_no_other_save(settings, site, rig):
    """Capture only inserts: two saves of different documents share no locked row. Frappe on SQLite has one
    writer at a time of itself, so there the first is committed before."""
    settings()
    _note(site)
    if site.db.db_type == "sqlite":
        site.db.commit()
    began = time.monotonic()
    rig.branch.run(_insert_a_note)
    assert time.monotonic() - began < 5
    site.db.commit()
    requests = _requests(site)
    assert len(requests) == 2
    assert len({row.seq for row in requests}) == 2


def _insert_a_note():
    import frappe

    frappe.get_doc({"doctype": "Shop Note", "title": "another desk"}).insert()


def test_capture_updates_no_row(outbox, site, monkeypatch):
    statements = []
    database = type(site.local.db)
    real = database.sql

    def spy(self, query, *args, **kwargs):
        statements.append(str(query))
        return real(self, query, *args, **kwargs)

    monkeypatch.setattr(database, "sql", spy)
    note = _note(site)
    note.title = "x"
    note.save()
    ours = [s for s in statements if "Offline" in s or "Sync" in s]
    assert [s for s in ours if s.lstrip()[:6].upper() in ("UPDATE", "DELETE")] == []
    assert sum(s.lstrip()[:6].upper() == "INSERT" for s in ours) == 2


# ---------------------------------------------------------------- waking a run


@pytest.fixture(autouse=True)
def _redis_is_asked_again():
    """After a failure Redis is left alone for a while, in the whole process."""
    from erp_offline_sync import wakeup

    wakeup._rests_until = 0.0
    yield
    wakeup._rests_until = 0.0


def _wake_ups(rig):
    return list(rig.redis("KEYS", "rq:job:*offline-sync*") or [])


def test_many_saves_in_one_transaction_wake_one_run(settings, site, rig):
    settings()
    rig.redis("FLUSHALL")  # saved settings wake a run too
    for _ in range(5):
        _note(site)
    assert _wake_ups(rig) == []
    site.db.commit()
    assert len(_wake_ups(rig)) == 1
    _note(site)
    site.db.commit()
    assert len(_wake_ups(rig)) == 1


def test_a_rolled_back_save_wakes_nothing_and_the_next_one_does(settings, site, rig):
    settings()
    rig.redis("FLUSHALL")  # saved settings wake a run too
    _note(site)
    site.db.rollback()
    site.db.commit()
    assert _wake_ups(rig) == []
    _note(site)
    site.db.commit()
    assert len(_wake_ups(rig)) == 1


def test_no_run_is_woken_where_the_settings_say_so(settings, site, rig):
    settings(sync_on_save=0)
    _note(site)
    site.db.commit()
    assert _wake_ups(rig) == []


def _slowest_wake_up():
    from erp_offline_sync import wakeup

    took = []
    for _ in range(3):
        wakeup._rests_until = 0.0
        began = time.perf_counter()
        wakeup._wake()
        took.append(time.perf_counter() - began)
    return max(took)


def test_redis_down_costs_a_save_next_to_nothing_and_raises_nothing(settings, site, redis_down):
    settings()
    _note(site)
    site.db.commit()
    with redis_down("queue"):
        _note(site)
        site.db.commit()
        assert _slowest_wake_up() < 0.05
    assert len(_requests(site)) == 2


def test_redis_that_hangs_costs_a_save_next_to_nothing_and_raises_nothing(settings, site, rig):
    settings()
    _note(site)
    site.db.commit()
    rig.service("pause", "redis_queue")
    try:
        assert _slowest_wake_up() < 0.05
    finally:
        rig.service("resume", "redis_queue")


def test_a_full_queue_is_no_error_of_the_save(settings, site, monkeypatch, rig):
    """Frappe 16 refuses to queue more than a few hundred jobs, with a message to the user."""
    settings()

    def full(*args, **kwargs):
        site.throw("Queue Overloaded")

    monkeypatch.setattr(site, "enqueue", full)
    _note(site)
    site.db.commit()
    assert site.local.message_log == []
    monkeypatch.undo()
    _note(site)
    site.db.commit()
    assert len(_wake_ups(rig)) == 1
