"""A branch as the central knows it. People change one field: whether its pushes are refused."""

import frappe
from frappe import _
from frappe.model.document import Document
from frappe.utils import now_datetime

from erp_offline_sync.indexes import ensure_indexes

CHANGED_BY_PEOPLE = ("stopped", "modified", "modified_by")


class SyncOrigin(Document):
    def validate(self):
        before = self.get_doc_before_save()
        if before is None:
            return
        for field in self.meta.get_valid_columns():
            if field not in CHANGED_BY_PEOPLE:
                self.set(field, before.get(field))
        if before.stopped == self.stopped:
            return
        if self.stopped:
            self.stopped_because = "By Hand"
            self.stopped_reason = self.flags.stopped_reason or _("Stopped by {0}").format(frappe.session.user)
            self.stopped_at = now_datetime()
        else:
            self.stopped_because = self.stopped_reason = self.stopped_at = None
            # Whichever of the two sites goes on, it is the one that pushes next.
            self.home = self.runs_seen = None


def on_doctype_update():
    ensure_indexes("Sync Origin")
