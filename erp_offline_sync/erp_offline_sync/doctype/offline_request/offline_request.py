"""One row of the outbox. Rows are written by capture and by the run, never through a form."""

import time
from datetime import timedelta

import frappe
from frappe import _
from frappe.model.document import Document

from erp_offline_sync.adapters.frappe_store import FrappeStore
from erp_offline_sync.engine.transitions import ENDS
from erp_offline_sync.field_levels import ReadByLevel
from erp_offline_sync.indexes import ensure_indexes

ENDED = tuple(sorted(status.value for status in ENDS))
CHUNK = 500
PURGE_SECONDS = 60


class OfflineRequest(ReadByLevel, Document):
    def validate(self):
        frappe.throw(_("An Offline Request is written by capture and by the sync run only."))

    def on_trash(self):
        if self.status not in ENDED:
            frappe.throw(_("An open Offline Request cannot be deleted. Discard it, with a reason."))

    @staticmethod
    def clear_old_logs(days=7):
        """Delete requests that ended more than so many days ago, in chunks, for at most a minute.

        Called by Log Settings. An open request is never deleted, however old. Commits after each chunk.
        """
        store = FrappeStore(frappe.db.commit, frappe.db.rollback)
        until = time.monotonic() + PURGE_SECONDS
        while time.monotonic() < until:
            with store.transaction():
                before = store.now() - timedelta(days=int(days))
                gone = store.purge(closed_before=before, limit=CHUNK)
            if gone < CHUNK:
                return


def on_doctype_update():
    ensure_indexes("Offline Request")
