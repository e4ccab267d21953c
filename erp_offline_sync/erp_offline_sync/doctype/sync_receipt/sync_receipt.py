"""The central's note that a request of a branch was applied; it is committed together with the effect."""

from frappe.model.document import Document

from erp_offline_sync.indexes import ensure_indexes


class SyncReceipt(Document):
    pass


def on_doctype_update():
    ensure_indexes("Sync Receipt")
