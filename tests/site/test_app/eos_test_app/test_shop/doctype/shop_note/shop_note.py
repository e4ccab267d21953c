import frappe
from frappe.model.document import Document


class ShopNote(Document):
    pass


@frappe.whitelist(methods=["POST"])
def insert_and_fail(title: str):
    """A request that goes wrong after its document was saved."""
    frappe.get_doc({"doctype": "Shop Note", "title": title}).insert()
    frappe.throw("and then it failed")
