"""What the engine reads of the branch's doctypes and does to its documents, inside a site."""

from __future__ import annotations

import pytest

from erp_offline_sync.engine.errors import LocalRefused
from erp_offline_sync.engine.model import FieldKind


@pytest.fixture
def documents(settings, site):
    from erp_offline_sync.adapters.frappe_meta import FrappeLocalDocuments

    settings()
    return FrappeLocalDocuments()


@pytest.fixture
def sale(documents, site):
    """A sale of two rows, whose making is no concern of the test."""
    site.get_doc({"doctype": "Shop Item", "item_code": "TEA"}).insert()
    customer = site.get_doc({"doctype": "Shop Customer", "customer_name": "Amina"}).insert()
    items = [
        {"item": "TEA", "qty": 1, "rate": 2, "note": "a"},
        {"item": "TEA", "qty": 2, "rate": 2, "note": "b"},
    ]
    sale = {"doctype": "Shop Sale", "customer": customer.name, "items": items}
    made = site.get_doc({**sale, "set_posting_time": 1, "posting_date": "2026-01-02"}).insert()
    site.db.sql("delete from `tabOffline Request`")
    return made


def _captured(site):
    rows = site.db.sql("select operation, resource_type, resource_id from `tabOffline Request` order by seq")
    return [tuple(row) for row in rows]


def test_synced_fields_are_those_that_people_fill(documents):
    from erp_offline_sync.adapters.frappe_meta import schema_of

    schema = schema_of("Shop Sale")
    assert set(schema.fields) == {
        "naming_series",
        "customer",
        "set_posting_time",
        "posting_date",
        "posting_time",
        "due_date",
        "print_receipt",
        "remarks",
        "delivery_note",
        "amended_from",
    }
    assert schema.fields["posting_date"] is FieldKind.DATE
    assert schema.fields["print_receipt"] is FieldKind.NUMBER
    assert set(schema.tables["items"].fields) == {"item", "qty", "rate", "note"}
    assert schema.links == {"customer": "Shop Customer", "amended_from": "Shop Sale"}
    assert not schema.named_here


def test_a_field_that_is_added_counts_at_once(documents, site):
    from erp_offline_sync.adapters.frappe_meta import schema_of

    assert "eos_extra" not in schema_of("Shop Note").fields
    field = {"dt": "Shop Note", "fieldname": "eos_extra", "fieldtype": "Data", "label": "Extra"}
    made = site.get_doc({"doctype": "Custom Field", **field}).insert()
    try:
        assert "eos_extra" in schema_of("Shop Note").fields
    finally:
        made.delete()
        site.db.commit()
    assert "eos_extra" not in schema_of("Shop Note").fields


def test_policies_say_how_a_doctype_travels(documents):
    from erp_offline_sync.adapters.frappe_meta import FrappePolicies

    policies = FrappePolicies()
    assert policies.policy("Shop Item").same_names
    assert not policies.policy("Shop Customer").same_names
    assert policies.policy("User").same_names
    assert not policies.policy("No Such Doctype").same_names
    assert policies.schema("No Such Doctype") is None


def test_the_current_document_is_what_rest_would_answer(documents, sale):
    current = documents.current("Shop Sale", sale.name)
    assert current["posting_date"] == "2026-01-02"
    assert current["modified"] == str(sale.modified)
    assert [row["note"] for row in current["items"]] == ["a", "b"]
    assert documents.current("Shop Sale", "no such sale") is None
    assert documents.current("No Such Doctype", "x") is None


def test_a_write_is_a_real_save_and_is_not_captured(documents, sale, site):
    first = sale.items[0].name
    rows = [
        {"name": first, "item": "TEA", "qty": 5, "rate": 2},
        {"name": None, "item": "TEA", "qty": 1, "rate": 1, "note": "new"},
    ]
    documents.write("Shop Sale", sale.name, {"remarks": "O'Brien 50% %s", "items": rows})
    sale.reload()
    assert sale.remarks == "O'Brien 50% %s"
    assert [(row.qty, row.note) for row in sale.items] == [(5, "a"), (1, "new")]
    assert sale.items[0].name == first
    assert sale.total == 11
    assert _captured(site) == []


def test_what_is_no_synced_field_is_not_written(documents, sale):
    documents.write("Shop Sale", sale.name, {"total": 999, "owner": "Guest", "remarks": "x"})
    sale.reload()
    assert (sale.total, sale.owner) == (6, "Administrator")


def test_what_the_branch_refuses_says_why_and_leaves_no_message(documents, sale, site):
    saving = list(site.flags.currently_saving)
    with pytest.raises(LocalRefused, match="Due Date cannot be before Posting Date"):
        documents.write("Shop Sale", sale.name, {"due_date": "2020-01-01"})
    assert site.local.message_log == []
    assert site.flags.currently_saving == saving


def test_a_submitted_document_refuses_what_may_not_change_any_more(documents, sale):
    documents.set_docstatus("Shop Sale", sale.name, 1)
    with pytest.raises(LocalRefused):
        documents.write("Shop Sale", sale.name, {"remarks": "too late"})


def test_docstatus_moves_as_frappe_allows_it(documents, sale, site):
    documents.set_docstatus("Shop Sale", sale.name, 1)
    with pytest.raises(LocalRefused, match="cannot go"):
        documents.set_docstatus("Shop Sale", sale.name, 0)
    documents.set_docstatus("Shop Sale", sale.name, 2)
    documents.set_docstatus("Shop Sale", sale.name, 2)
    sale.reload()
    assert sale.docstatus == 2
    assert _captured(site) == []


def test_a_deleted_document_is_restored_under_its_name_and_its_rows_names(documents, sale, site):
    from erp_offline_sync.adapters.frappe_meta import read

    values = {**read(sale), "docstatus": 1}
    names = [row.name for row in sale.items]
    documents.delete("Shop Sale", sale.name)
    assert documents.current("Shop Sale", sale.name) is None
    values["items"].append({"name": None, "item": "TEA", "qty": 1, "rate": 0, "note": "theirs"})
    documents.restore("Shop Sale", sale.name, values)
    restored = site.get_doc("Shop Sale", sale.name)
    assert restored.docstatus == 1
    assert [row.name for row in restored.items][:2] == names
    assert [row.note for row in restored.items] == ["a", "b", "theirs"]
    assert _captured(site) == []


def test_a_cancelled_document_is_restored_as_cancelled(documents, sale, site):
    from erp_offline_sync.adapters.frappe_meta import read

    values = {**read(sale), "docstatus": 2}
    documents.delete("Shop Sale", sale.name)
    documents.restore("Shop Sale", sale.name, values)
    assert site.db.get_value("Shop Sale", sale.name, "docstatus") == 2


def test_a_document_that_others_link_to_is_not_deleted(documents, sale):
    with pytest.raises(LocalRefused, match=r"disable|linked"):
        documents.delete("Shop Customer", sale.customer)


def test_deleting_what_is_gone_is_no_error(documents):
    documents.delete("Shop Customer", "no such customer")


def test_a_user_without_permission_is_refused(documents, sale, site):
    site.set_user("Guest")
    try:
        with pytest.raises(LocalRefused):
            documents.write("Shop Sale", sale.name, {"remarks": "x"})
    finally:
        site.set_user("Administrator")


def test_what_the_caller_still_has_to_write_is_written_before_code_of_the_app_runs(documents, site):
    from erp_offline_sync.adapters.frappe_meta import FrappeLocalDocuments

    note = site.get_doc({"doctype": "Shop Note", "title": "milk", "body": "old"}).insert()
    found = []
    documents = FrappeLocalDocuments(
        first=lambda: found.append(site.db.get_value("Shop Note", note.name, "body"))
    )
    documents.write("Shop Note", note.name, {"body": "new"})
    documents.delete("Shop Note", note.name)
    documents.restore("Shop Note", note.name, {"title": "milk", "body": "again"})
    assert found == ["old", "new", None]
