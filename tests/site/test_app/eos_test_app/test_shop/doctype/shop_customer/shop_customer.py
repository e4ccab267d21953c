from frappe.model.document import Document


class ShopCustomer(Document):
    pass
