"""Furnishes a site with ERPNext: a company with its accounts, and what a shop has before its first sale.

The same on each site, under the same names, as those of one firm are. May be run again.
"""

from __future__ import annotations

from typing import Any

COMPANY, ABBR, CURRENCY = "Tea House", "TH", "USD"
ROLES = (
    "Sales User",
    "Sales Manager",
    "Sales Master Manager",
    "Accounts User",
    "Accounts Manager",
    "Purchase User",
    "Purchase Manager",
    "Purchase Master Manager",
    "Stock User",
    "Stock Manager",
    "Item Manager",
)
_PRICE = 10.0


def furnish() -> None:
    """Commits nothing: the caller does."""
    import frappe

    if not frappe.db.exists("Company", COMPANY):
        _found_the_company()
    for document in _masters():
        _ensure(document)


def _found_the_company() -> None:
    import frappe
    from erpnext.setup.setup_wizard.setup_wizard import setup_company, setup_defaults, stage_fixtures

    year = frappe.utils.getdate().year
    stated = frappe._dict(
        company_name=COMPANY,
        company_abbr=ABBR,
        currency=CURRENCY,
        country="United States",
        chart_of_accounts="Standard",
        fy_start_date=f"{year}-01-01",
        fy_end_date=f"{year}-12-31",
    )
    for stage in (stage_fixtures, setup_company, setup_defaults):
        stage(stated)
    for other in (year - 1, year + 1):
        period = {"year_start_date": f"{other}-01-01", "year_end_date": f"{other}-12-31"}
        _ensure({"doctype": "Fiscal Year", "name": str(other), "year": str(other), **period})


def _masters() -> list[dict[str, Any]]:
    account = {
        "doctype": "Account",
        "name": f"Sales Tax - {ABBR}",
        "account_name": "Sales Tax",
        "company": COMPANY,
        "parent_account": f"Duties and Taxes - {ABBR}",
        "account_type": "Tax",
    }
    tax = {
        "charge_type": "On Net Total",
        "account_head": account["name"],
        "rate": 10,
        "description": "Sales Tax",
    }
    taxes = {
        "doctype": "Sales Taxes and Charges Template",
        "name": f"Ten Percent - {ABBR}",
        "title": "Ten Percent",
        "company": COMPANY,
        "taxes": [tax],
    }
    items = [
        _item("TEA", is_stock_item=1),
        _item("COFFEE", is_stock_item=1),
        _item("CARVING", is_stock_item=0),
        _item("KETTLE", is_stock_item=1, has_serial_no=1),
        _item("HONEY", is_stock_item=1, has_batch_no=1),
    ]
    supplier = {
        "doctype": "Supplier",
        "name": "Hill Gardens",
        "supplier_name": "Hill Gardens",
        "supplier_group": "All Supplier Groups",
    }
    return [account, taxes, *items, supplier]


def _item(code: str, **more: Any) -> dict[str, Any]:
    return {
        "doctype": "Item",
        "name": code,
        "item_code": code,
        "item_name": code.title(),
        "item_group": "Products",
        "stock_uom": "Nos",
        "standard_rate": _PRICE,
        "item_defaults": [{"company": COMPANY, "default_warehouse": f"Stores - {ABBR}"}],
        **more,
    }


def _ensure(document: dict[str, Any]) -> None:
    import frappe

    if not frappe.db.exists(document["doctype"], document["name"]):
        frappe.get_doc(document).insert()
