from frappe.model.document import Document


class ShopNote(Document):
    pass
