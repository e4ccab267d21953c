"""What a shop with ERPNext does, in small sentences. The functions that say "runs on a site" travel as source."""

from __future__ import annotations

import itertools
import time
from datetime import date, timedelta
from typing import Any

from .client import SiteProcess
from .erpnext_shop import ABBR, COMPANY

Json = dict[str, Any]

STORES, SHELF = f"Stores - {ABBR}", f"Finished Goods - {ABBR}"
_APART = 50_000
_runs, _numbers = f"{int(time.time()):x}", itertools.count(1)


def some_name(word: str = "Asha") -> str:
    """A name that no site has."""
    return f"{word} {_runs}-{next(_numbers)}"


def customer(**values: Any) -> Json:
    return {
        "doctype": "Customer",
        "customer_name": some_name(),
        "customer_group": "Commercial",
        "territory": "All Territories",
        **values,
    }


def row(item: str = "TEA", **values: Any) -> Json:
    return {"item_code": item, "qty": 2, "rate": 10, "warehouse": STORES, **values}


def taxes() -> list[Json]:
    return [
        {
            "charge_type": "On Net Total",
            "account_head": f"Sales Tax - {ABBR}",
            "rate": 10,
            "description": "Sales Tax",
        }
    ]


def invoice(customer: str, *rows: Json, **values: Any) -> Json:
    return {
        "doctype": "Sales Invoice",
        "company": COMPANY,
        "customer": customer,
        "items": list(rows or (row(),)),
        "taxes": taxes(),
        **values,
    }


def ledgers(site: SiteProcess, voucher: str) -> Json:
    """`{"gl": [(account, debit, credit)], "stock": [(item, warehouse, quantity)], "dates": {…}}`, cancelled ones left out."""
    filters = {"voucher_no": voucher, "is_cancelled": 0}
    gl = site.documents("GL Entry", filters, fields=["account", "debit", "credit", "posting_date"])
    stock = site.documents(
        "Stock Ledger Entry", filters, fields=["item_code", "warehouse", "actual_qty", "posting_date"]
    )
    return {
        "gl": sorted((each["account"], each["debit"], each["credit"]) for each in gl),
        "stock": sorted((each["item_code"], each["warehouse"], each["actual_qty"]) for each in stock),
        "dates": {each["posting_date"] for each in (*gl, *stock)},
    }


def stock_of(site: SiteProcess, item: str, warehouse: str = STORES) -> float:
    found = site.documents("Bin", {"item_code": item, "warehouse": warehouse}, fields=["actual_qty"])
    return float(found[0]["actual_qty"]) if found else 0.0


def furnish_stock(company: str, warehouse: str, items: list[str], quantity: float) -> None:
    """Runs on a site: what was delivered weeks ago, as a document older than the app."""
    import frappe
    from frappe.utils import add_days, today

    frappe.flags.in_patch = True
    try:
        lacking = [
            item
            for item in items
            if (frappe.db.get_value("Bin", {"item_code": item, "warehouse": warehouse}, "actual_qty") or 0)
            < quantity
        ]
        if not lacking:
            return
        rows = [
            {"item_code": item, "qty": 10 * quantity, "t_warehouse": warehouse, "basic_rate": 4}
            for item in lacking
        ]
        receipt = {
            "doctype": "Stock Entry",
            "stock_entry_type": "Material Receipt",
            "company": company,
            "set_posting_time": 1,
            "posting_date": add_days(today(), -30),
            "posting_time": "08:00:00",
            "items": rows,
        }
        frappe.get_doc(receipt).insert().submit()
    finally:
        frappe.flags.in_patch = False


def count_apart(ahead: int) -> None:
    """Runs on a central: its next numbers are others than the branch's, as where many branches sell."""
    import frappe

    known = {name for (name,) in frappe.db.sql("select name from tabSeries")}
    year = frappe.utils.getdate().year
    series = (
        "ACC-SINV",
        "ACC-PAY",
        "SAL-ORD",
        "MAT-DN",
        "MAT-STE",
        "MAT-PRE",
        "PUR-ORD",
        "ACC-PINV",
        "MAT-MR",
        "SAL-QTN",
        "ACC-SINV-RET",
        "MAT-DN-RET",
    )
    for prefix in (f"{word}-{year}-" for word in series):
        if prefix not in known:
            frappe.db.sql("insert into tabSeries (name, current) values (%s, 0)", prefix)
        frappe.db.sql("update tabSeries set current = greatest(current, %s) where name = %s", (ahead, prefix))


def open_the_shop(site: SiteProcess) -> None:
    site.run(furnish_stock, COMPANY, STORES, ["TEA", "COFFEE"], 1000)
    if site.role != "branch":
        site.run(count_apart, _APART)


def days_from_now(site: SiteProcess, days: int) -> str:
    """By the site's clock."""
    return str(date.fromisoformat(site.call("frappe.utils.today")) + timedelta(days=days))
