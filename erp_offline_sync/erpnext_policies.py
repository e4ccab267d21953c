"""What is proposed for ERPNext: rows of policies for what a shop makes, and for what both sites have alike.

Which of it fits a site is asked of the site's Meta, since fields come and go between versions.
"""

import frappe

from erp_offline_sync.settings import SETTINGS

CAPTURED = (
    "Customer",
    "Address",
    "Contact",
    "Quotation",
    "Sales Order",
    "Delivery Note",
    "Sales Invoice",
    "Payment Entry",
    "Material Request",
    "Purchase Order",
    "Purchase Receipt",
    "Purchase Invoice",
    "Batch",
    "Stock Entry",
)

_SETTLED = {
    # Made in the save of a customer from what was typed into its quick entry, which no field of it keeps.
    "Address": {"include_derived": 1},
    "Contact": {"include_derived": 1},
    # Named by its number, which is printed on the goods; often made by a Stock Entry in its own save.
    "Batch": {"same_names": 1, "include_derived": 1},
}

SAME_NAMES = (
    "Account",
    "Bank Account",
    "Brand",
    "Campaign",
    "Company",
    "Cost Center",
    "Customer Group",
    "Fiscal Year",
    "Incoterm",
    "Industry Type",
    "Item",
    "Item Group",
    "Item Tax Template",
    "Lead Source",
    "Manufacturer",
    "Market Segment",
    "Mode of Payment",
    "POS Profile",
    "Payment Term",
    "Payment Terms Template",
    "Price List",
    "Project",
    "Purchase Taxes and Charges Template",
    "Sales Partner",
    "Sales Person",
    "Sales Taxes and Charges Template",
    "Shipping Rule",
    "Stock Entry Type",
    "Supplier",
    "Supplier Group",
    "Tax Category",
    "Terms and Conditions",
    "Territory",
    "UOM",
    "Warehouse",
)

_ADVANCES = tuple(
    f"advances.{field}"
    for field in ("reference_type", "reference_name", "reference_row", "remarks", "advance_amount")
)

CARRIED = {
    "Delivery Note": (
        "is_return",
        "return_against",
        "items.against_sales_order",
        "items.so_detail",
        "items.against_sales_invoice",
        "items.si_detail",
        "items.dn_detail",
    ),
    "Purchase Invoice": (
        "return_against",
        "items.purchase_order",
        "items.po_detail",
        "items.purchase_receipt",
        "items.pr_detail",
        "items.purchase_invoice_item",
        *_ADVANCES,
    ),
    "Purchase Order": ("items.material_request", "items.material_request_item"),
    "Purchase Receipt": (
        "is_return",
        "return_against",
        "items.purchase_order",
        "items.purchase_order_item",
        "items.purchase_invoice",
        "items.purchase_invoice_item",
        "items.purchase_receipt_item",
    ),
    "Sales Invoice": (
        "items.sales_order",
        "items.so_detail",
        "items.delivery_note",
        "items.dn_detail",
        "items.sales_invoice_item",
        *_ADVANCES,
    ),
    "Sales Order": ("items.prevdoc_docname", "items.quotation_item"),
    "Stock Entry": (
        "outgoing_stock_entry",
        "items.against_stock_entry",
        "items.ste_detail",
        "items.material_request",
        "items.material_request_item",
    ),
}
"""Read-only fields that a button fills in and the central cannot know: what a document was made from, down to the
row. Without them the central books the document and leaves open what it was made from, and takes a return for
another sale."""


def proposed_rows():
    """Rows for the settings' table of policies, for the document types that this site has; none without ERPNext."""
    if not _is_here("Sales Invoice"):
        return []
    captured = [
        {"document_type": doctype, **_SETTLED.get(doctype, {}), **filled_in(doctype)}
        for doctype in CAPTURED
        if _is_here(doctype)
    ]
    alike = [
        {"document_type": doctype, "enabled": 0, "same_names": 1}
        for doctype in SAME_NAMES
        if _is_here(doctype)
    ]
    return [*captured, *alike]


def lacking_rows():
    """Those of them whose document types the settings have no row for."""
    stated = {row.document_type for row in frappe.get_doc(SETTINGS).policies}
    return [row for row in proposed_rows() if row["document_type"] not in stated]


def add_lacking_rows():
    """Save them into the settings, as the session's user; answers the document types."""
    rows = lacking_rows()
    if rows:
        doc = frappe.get_doc(SETTINGS)
        doc.extend("policies", rows)
        doc.save()
    return [row["document_type"] for row in rows]


def filled_in(doctype):
    """What a new row for a document type gets where nothing is entered, by its field."""
    meta = frappe.get_meta(doctype)
    values = {}
    if meta.has_field("set_posting_time") and meta.has_field("posting_time"):
        # ERPNext books a voucher at the time of its arrival unless this is set.
        values["set_values"] = '{"set_posting_time": 1}'
    carried = [name for name in CARRIED.get(doctype, ()) if _has(meta, name)]
    if carried:
        values["also_send_fields"] = "\n".join(carried)
    return values


def _is_here(doctype):
    return bool(frappe.db.exists("DocType", doctype))


def _has(meta, name):
    table, _dot, inner = name.partition(".")
    if not inner:
        return meta.has_field(name)
    return meta.has_field(table) and frappe.get_meta(meta.get_options(table)).has_field(inner)
