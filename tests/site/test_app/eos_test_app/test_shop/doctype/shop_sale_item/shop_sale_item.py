from frappe.model.document import Document


class ShopSaleItem(Document):
    pass
