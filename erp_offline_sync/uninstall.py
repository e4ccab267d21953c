"""Leaving a site: not while a change waits to travel, and without leaving anything behind."""

import frappe

from erp_offline_sync.engine.transitions import OPEN
from erp_offline_sync.install import SEQUENCE
from erp_offline_sync.policies import publish

SHOWN = 5
BLOCKS = ("Offline Sync Status", "Offline Sync Figures")
"""What the workspace shows on top; they come as fixtures."""


def before_uninstall():
    """Refuse while a request is open: uninstalling drops the outbox, and with it changes the central never got."""
    rows = []
    for status in sorted(status.value for status in OPEN):
        rows += frappe.get_all(
            "Offline Request",
            filters={"status": status},
            fields=["operation", "resource_type", "resource_id", "status"],
            order_by="seq",
            limit=SHOWN,
        )
    if not rows:
        return
    shown = "\n".join(
        f"  {row.operation} {row.resource_type or ''} {row.resource_id or ''} ({row.status})"
        for row in rows[:SHOWN]
    )
    site = frappe.local.site
    frappe.throw(
        "Requests are still open. Uninstalling now would lose these changes, among others:\n"
        f"{shown}\n"
        f"Let them drain (bench --site {site} offline-sync run), discard them with a reason, or keep a copy first:\n"
        f"  bench --site {site} offline-sync export > outbox.jsonl"
    )


def after_uninstall():
    """Take away what stands outside our tables. Frappe calls this after a dry run too: then nothing goes."""
    if "erp_offline_sync" in frappe.get_installed_apps():
        return
    publish({})
    for block in BLOCKS:
        frappe.delete_doc("Custom HTML Block", block, ignore_missing=True, force=True)
    if frappe.db.db_type != "sqlite":
        frappe.db.sql_ddl(f"drop sequence if exists {SEQUENCE}")
    frappe.db.commit()
