"""Frappe's SQLite begins no transaction on a new connection: until the first commit or rollback every statement
stands by itself, and a save that fails, or whose process dies, would leave half of what it wrote."""

import frappe


def begin(*args, **kwargs):
    """Before a request or job does anything: a document and its row of the outbox come together or not at all."""
    if frappe.db and frappe.db.db_type == "sqlite":
        frappe.db.begin()  # does nothing where one is open
