"""Small sentences that scenario tests are written in."""

from __future__ import annotations

from typing import Any

from .client import SiteProcess, wait_until

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


def save_note(branch: SiteProcess, **values: Any) -> str:
    return str(branch.insert({"doctype": "Shop Note", "title": "one", **values})["name"])


def disagree(branch: SiteProcess, central: SiteProcess, title: str = "one") -> tuple[str, str]:
    """A note that both sites changed, its category to B there and to C here; answers its name and its conflict's."""
    name = save_note(branch, title=title, category="A")
    branch.sync()
    # Where a worker runs too, it may be the one that sends it, and finds the conflict.
    wait_until(lambda: central.documents("Shop Note", {"title": title}), timeout=20)
    (there,) = central.documents("Shop Note", {"title": title})
    wait_until(lambda: not branch.count("Offline Request", {"status": "In Flight"}), timeout=20)
    central.save("Shop Note", there["name"], category="B", weight=3)
    branch.save("Shop Note", name, category="C", title="two" if title == "one" else f"{title} here")
    branch.sync()
    wait_until(lambda: branch.documents("Sync Conflict", {"resource_id": name}), timeout=20)
    (conflict,) = branch.documents("Sync Conflict", {"resource_id": name})
    return name, str(conflict["name"])


def put(doctype, name, values):  # type: ignore[no-untyped-def]
    """Runs on a site: what a document's own rules would never let through."""
    import frappe

    for field, value in values.items():
        frappe.db.sql(f"update `tab{doctype}` set `{field}` = %s where name = %s", (value, name))
