"""The doctypes of a small shop, for the stand-in central: as far as their answers matter to a branch.

The posting date behaves as in ERPNext: without `set_posting_time` the central books on its own day.
"""

from __future__ import annotations

from typing import Any

from erp_offline_sync.testing.stand_in import DocTypeRule, FieldRule, Refusal, StandInCentral

__all__ = ["SHOP"]


def _total(document: dict[str, Any], central: StandInCentral) -> None:
    if not document.get("set_posting_time"):
        document["posting_date"] = central.today()
    if not document["items"]:
        raise Refusal(417, "MandatoryError", f"[Sales Invoice, {document['name']}]: items")
    for row in document["items"]:
        if row["qty"] <= 0:
            raise Refusal(417, "ValidationError", f"Row #{row['idx']}: the quantity must be positive")
        row["amount"] = round(row["qty"] * row["rate"], 2)
    document["grand_total"] = round(sum(row["amount"] for row in document["items"]), 2)
    document["status"] = "Unpaid" if document["docstatus"] == 1 else "Draft"


def _named(document: dict[str, Any], central: StandInCentral) -> None:
    document["item_name"] = document.get("item_name") or document["item_code"]


SHOP: tuple[DocTypeRule, ...] = (
    DocTypeRule(name="Role", autoname="field:role_name", fields={"role_name": FieldRule(unique=True)}),
    DocTypeRule(
        name="ToDo",
        fields={
            "status": FieldRule(fieldtype="Select", options="Open\nClosed\nCancelled", default="Open"),
            "priority": FieldRule(fieldtype="Select", options="High\nMedium\nLow", default="Medium"),
            "date": FieldRule(fieldtype="Date", default="Today"),
            "description": FieldRule(fieldtype="Text", required=True),
            "allocated_to": FieldRule(),
            "role": FieldRule(fieldtype="Link", options="Role"),
        },
    ),
    DocTypeRule(
        name="Customer",
        autoname="title:customer_name",
        fields={
            "customer_name": FieldRule(required=True),
            "customer_type": FieldRule(fieldtype="Select", options="Company\nIndividual", default="Company"),
            "customer_group": FieldRule(default="All Customer Groups"),
            "territory": FieldRule(default="All Territories"),
            "tax_id": FieldRule(),
            "email_id": FieldRule(),
            "mobile_no": FieldRule(),
            "credit_limit": FieldRule(fieldtype="Currency"),
            "disabled": FieldRule(fieldtype="Check"),
        },
    ),
    DocTypeRule(
        name="Item",
        autoname="field:item_code",
        fields={
            "item_code": FieldRule(required=True),
            "item_name": FieldRule(),
            "item_group": FieldRule(default="All Item Groups"),
            "stock_uom": FieldRule(default="Nos"),
            "standard_rate": FieldRule(fieldtype="Currency"),
            "is_stock_item": FieldRule(fieldtype="Check", default=1),
            "description": FieldRule(fieldtype="Text"),
            "disabled": FieldRule(fieldtype="Check"),
        },
        validate=_named,
    ),
    DocTypeRule(
        name="Sales Invoice Item",
        is_table=True,
        fields={
            "item_code": FieldRule(fieldtype="Link", options="Item", required=True),
            "description": FieldRule(fieldtype="Text"),
            "qty": FieldRule(fieldtype="Float", default=1),
            "rate": FieldRule(fieldtype="Currency"),
            "amount": FieldRule(fieldtype="Currency"),
        },
    ),
    DocTypeRule(
        name="Sales Invoice",
        autoname="ACC-SINV-.YYYY.-.#####",
        submittable=True,
        allow_rename=False,
        fields={
            "customer": FieldRule(fieldtype="Link", options="Customer", required=True),
            "posting_date": FieldRule(fieldtype="Date", default="Today"),
            "posting_time": FieldRule(fieldtype="Time"),
            "set_posting_time": FieldRule(fieldtype="Check"),
            "due_date": FieldRule(fieldtype="Date"),
            "remarks": FieldRule(fieldtype="Text", allow_on_submit=True),
            "grand_total": FieldRule(fieldtype="Currency"),
            "status": FieldRule(fieldtype="Data", allow_on_submit=True),
            "items": FieldRule(fieldtype="Table", options="Sales Invoice Item"),
        },
        validate=_total,
    ),
)
