"""One value that a run keeps for the next: last sync time, counters, lease, breaker."""

from frappe.model.document import Document


class SyncMetadata(Document):
    pass
