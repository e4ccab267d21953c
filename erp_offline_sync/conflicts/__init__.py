"""What the Desk page for conflicts asks and tells: the endpoints, each of which checks permission first.

A conflict is shown to those who have a role of this app and may read the document; deciding needs write permission
on it. Of a document's fields only those are answered that the reader's permission levels allow.
"""

from typing import Any

import frappe

from erp_offline_sync import permissions
from erp_offline_sync.conflicts import reading
from erp_offline_sync.conflicts.asked import parsed
from erp_offline_sync.endpoints import needs_all_parameters


@frappe.whitelist()
def list_conflicts(filters: str | dict | None = None, start: int = 0, limit: int = 50) -> dict[str, Any]:
    """Conflicts of documents that the caller may read, oldest first; `filters`: doctype, conflict_type,
    older_than_days, changed_by, search, status ("pending" or "resolved", the latter last decided first)."""
    permissions.only_readers()
    return reading.listed(parsed(filters, dict), start=int(start), limit=int(limit))


@frappe.whitelist()
@needs_all_parameters
def get_conflict(name: str) -> dict[str, Any]:
    """One conflict with base, local, server and result of each field and row that the caller may read."""
    permissions.only_readers()
    return reading.shown(reading.readable(name))
