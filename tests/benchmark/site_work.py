"""What benchmarks have sites do. Functions that say "runs on a site" are sent as their source: they see their
arguments and what they import."""

from __future__ import annotations

from typing import Any

__all__ = ["clear", "drain", "fixtures", "insert_with_receipts", "made_here", "send_to"]

_TABLES = (
    "Offline Request",
    "Offline Request Link",
    "Synced Document",
    "Sync Conflict",
    "Sync Receipt",
    "Sync Origin",
    "Shop Sale",
    "Shop Sale Item",
    "Shop Customer",
    "Shop Item",
    "Shop Note",
    "Shop Group",
    "Error Log",
)
BRANCH_ROLE = "Offline Sync Branch"
CUSTOMER, ITEMS = "BENCH-CUSTOMER", tuple(f"BENCH-{number}" for number in range(5))
POLICIES = (
    {"document_type": "Shop Item", "same_names": 1},
    {"document_type": "Shop Customer"},
    {"document_type": "Shop Sale", "set_values": '{"set_posting_time": 1}'},
    {"document_type": "Shop Note"},
)
SAME_CUSTOMERS = tuple(
    {**policy, "same_names": 1} if policy["document_type"] == "Shop Customer" else policy
    for policy in POLICIES
)


def clear(rig: Any) -> None:
    """No request, receipt or test document anywhere; what runs have learned of the line stays."""
    for site in rig.sites:
        site.run(_emptied, list(_TABLES))
        site.run(fixtures, CUSTOMER, list(ITEMS))
    rig.redis("FLUSHALL")


def _emptied(doctypes):  # type: ignore[no-untyped-def]
    """Runs on a site."""
    import frappe

    for doctype in doctypes:
        if frappe.db.table_exists(doctype):
            frappe.db.sql(f"delete from `tab{doctype}`")
            frappe.cache.delete_keys(f"document_cache::{doctype}::")
    if frappe.db.table_exists("Sync Metadata"):
        frappe.db.sql("delete from `tabSync Metadata` where `name` not in ('origin', 'batching', 'lanes')")


def fixtures(customer, items):  # type: ignore[no-untyped-def]
    """Runs on a site: the customer and items that sales are about, known on every site under the same names."""
    import frappe

    frappe.flags.in_patch = True
    try:
        for name in items:
            frappe.get_doc({"doctype": "Shop Item", "item_code": name}).insert()
        frappe.get_doc({"doctype": "Shop Customer", "customer_name": customer}).insert(set_name=customer)
    finally:
        frappe.flags.in_patch = False


def made_here(doctype, documents):  # type: ignore[no-untyped-def]
    """Runs on a site: saves them, a commit each, as people and tills do."""
    import frappe

    for values in documents:
        frappe.get_doc({"doctype": doctype, **values}).insert()
        frappe.db.commit()


def drain():  # type: ignore[no-untyped-def]
    """Runs on a site: sends everything that is due, in this process; answers seconds and processor seconds."""
    import time

    import frappe

    from erp_offline_sync import bootstrap

    frappe.db.commit()
    office = bootstrap.site()
    began, busy = time.perf_counter(), time.process_time()
    reason, success = "time", 0
    while reason == "time":
        report = office.engine.run(budget=3600.0)
        reason, success = report.reason, success + report.stats.success
    taken = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}
    office.close()
    frappe.db.commit()
    return {**taken, "reason": reason, "success": success}


def insert_with_receipts(doctype, documents):  # type: ignore[no-untyped-def]
    """Runs on a central: what no way to deliver can be faster than. Each document in one transaction with a receipt,
    in one process, with nothing else done; answers seconds."""
    import time

    import frappe

    from erp_offline_sync.adapters.statements import insert

    began = time.perf_counter()
    for number, values in enumerate(documents):
        doc = frappe.get_doc({"doctype": doctype, **values}).insert()
        receipt = {
            "name": frappe.generate_hash(length=32),
            "origin": "floor",
            "request_id": frappe.generate_hash(length=32),
            "number": number,
            "fingerprint": frappe.generate_hash(length=64),
            "operation": "insert",
            "outcome": "applied",
            "reference_doctype": doctype,
            "reference_name": doc.name,
            "version": str(doc.modified),
        }
        insert("tabSync Receipt", receipt)
        frappe.db.commit()
    return time.perf_counter() - began


def send_to(rig: Any, site: Any, url: str, *, policies: Any = POLICIES, **values: Any) -> None:
    """The branch sends to that site from now on, by that URL; `values` are other settings."""
    from site_rig.client import make_user

    key, secret = site.api_key, site.api_secret
    if site is rig.companion:
        key, secret = site.run(make_user, "bench.till@shop.example", [BRANCH_ROLE, "Shop User"])
    rig.set_up_branch(
        policies, central_url=url, api_key=key, api_secret=secret, **{"sync_on_save": 0, **values}
    )
    rig.branch.run(_forget_companion)


def _forget_companion():  # type: ignore[no-untyped-def]
    """Runs on a site: it is asked anew whether the central has the app."""
    import frappe

    frappe.db.sql("delete from `tabSync Metadata` where `name` = 'companion'")
