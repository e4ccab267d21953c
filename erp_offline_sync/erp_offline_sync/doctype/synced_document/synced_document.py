"""What is known of one document on both sides. Its name is the document's line, which a rename keeps."""

from frappe.model.document import Document

from erp_offline_sync.field_levels import ReadByLevel
from erp_offline_sync.indexes import ensure_indexes


class SyncedDocument(ReadByLevel, Document):
    pass


def on_doctype_update():
    ensure_indexes("Synced Document")
