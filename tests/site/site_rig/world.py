"""Small sentences that scenario tests are written in."""

from __future__ import annotations

from typing import Any

from .client import SiteProcess

_FIELDS = (
    "name",
    "operation",
    "status",
    "resource_type",
    "resource_id",
    "retry_count",
    "error_message",
    "waits_why",
    "seq",
    "sends",
)


def requests_of(branch: SiteProcess, **filters: Any) -> Any:
    """The outbox in the order of capture."""
    return branch.documents("Offline Request", filters, fields=_FIELDS, order_by="seq asc")


def statuses(branch: SiteProcess) -> list[tuple[str, str]]:
    return [(row["operation"], row["status"]) for row in requests_of(branch)]


def make_older(site: SiteProcess, document: dict[str, Any]) -> Any:
    """A document that was there before the app: it is made without being captured."""
    return site.run(insert_unseen, document)


def insert_unseen(document):  # type: ignore[no-untyped-def]
    """Runs on a site."""
    import frappe

    frappe.flags.in_patch = True
    try:
        return frappe.get_doc(document).insert()
    finally:
        frappe.flags.in_patch = False
