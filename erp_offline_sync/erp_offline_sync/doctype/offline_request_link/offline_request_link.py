"""Which open request's document links to which line; kept apart from the request so that it can be found by line."""

from frappe.model.document import Document

from erp_offline_sync.indexes import ensure_indexes


class OfflineRequestLink(Document):
    pass


def on_doctype_update():
    ensure_indexes("Offline Request Link")
