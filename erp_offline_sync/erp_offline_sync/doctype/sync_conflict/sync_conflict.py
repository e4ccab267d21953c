"""Both sides changed one document. Decided through erp_offline_sync.api, never through a form."""

from frappe.model.document import Document

from erp_offline_sync.field_levels import ReadByLevel
from erp_offline_sync.indexes import ensure_indexes


class SyncConflict(ReadByLevel, Document):
    pass


def on_doctype_update():
    ensure_indexes("Sync Conflict")
