"""How documents of one type travel; checked and published by Offline Sync Settings."""

from frappe.model.document import Document


class OfflineSyncPolicy(Document):
    pass
