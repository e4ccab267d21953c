import frappe
from frappe.model.document import Document
from frappe.utils import flt, getdate, nowdate, nowtime


class ShopSale(Document):
    """Behaves as ERPNext's invoices do where that matters to a sync: the site's own date unless told otherwise,
    computed amounts, a status that moves without a save."""

    def validate(self):
        if not self.set_posting_time:
            self.posting_date = nowdate()
            self.posting_time = nowtime()
        if self.due_date and getdate(self.due_date) < getdate(self.posting_date):
            frappe.throw(frappe._("Due Date cannot be before Posting Date"))
        for row in self.items:
            row.amount = flt(row.qty) * flt(row.rate)
        self.total = sum(row.amount for row in self.items)
        self.status = ("Draft", "Unpaid", "Cancelled")[self.docstatus]

    def submit(self):
        """As ERPNext's large vouchers do."""
        if self.remarks == "leave it to a job":
            return self.queue_action("submit")
        return self._submit()

    def on_submit(self):
        self.db_set("status", "Unpaid")

    def on_cancel(self):
        self.db_set("status", "Cancelled")


@frappe.whitelist(methods=["POST"])
def pay(sale: str, amount: float) -> dict:
    """A payment at the counter: moves `modified`, status and a read-only amount, and no field that people fill."""
    doc = frappe.get_doc("Shop Sale", sale)
    doc.check_permission("write")
    paid = flt(doc.paid_amount) + flt(amount)
    doc.db_set({"paid_amount": paid, "status": "Paid" if paid >= doc.total else "Unpaid"})
    return {"paid_amount": doc.paid_amount, "status": doc.status, "modified": str(doc.modified)}
