"""What the Desk page for conflicts asks and tells: the endpoints, each of which checks permission first.

A conflict is shown to those who have a role of this app and may read the document; deciding needs write permission
on it. Of a document's fields only those are answered that the reader's permission levels allow.
"""

from typing import Any

import frappe

from erp_offline_sync import permissions
from erp_offline_sync.conflicts import deciding, expecting, previewing, reading
from erp_offline_sync.conflicts.asked import decision_of, names_of, parsed, resolution_of
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


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def preview(
    name: str,
    resolution: str,
    choices: str | dict | None = None,
    values: str | dict | None = None,
    server_version: str | None = None,
) -> dict[str, Any]:
    """What this decision would change here and there, what this site would refuse of it, and what the central would
    answer. Nothing is written."""
    permissions.only_readers()
    return previewing.previewed(name, *decision_of(resolution, choices, values), server_version, central=True)


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def decide(
    name: str,
    resolution: str,
    choices: str | dict | None = None,
    values: str | dict | None = None,
    server_version: str | None = None,
) -> dict[str, Any]:
    """Decide a conflict. `server_version` is the one that the person looked at: where it moved, nothing is done."""
    permissions.only_readers()
    return deciding.decided(name, *decision_of(resolution, choices, values), server_version)


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def preview_many(names: str | list, resolution: str) -> dict[str, Any]:
    """What deciding these the same way would change; at most 200."""
    permissions.only_readers()
    return previewing.previewed_many(names_of(names), resolution_of(resolution))


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def decide_many(names: str | list, resolution: str) -> dict[str, Any]:
    """Decide these the same way, each by itself; at most 200."""
    permissions.only_readers()
    return deciding.decided_many(names_of(names), resolution_of(resolution))


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def undo(name: str) -> dict[str, Any]:
    """Take a decision back, as long as nothing came of it."""
    permissions.only_readers()
    return deciding.undone(name)


@frappe.whitelist()
def expected(start: int = 0, limit: int = 100) -> dict[str, Any]:
    """Documents with changes that wait here and that moved at the central meanwhile; asks the central for versions."""
    permissions.only_readers()
    return expecting.expected(int(start), int(limit))
