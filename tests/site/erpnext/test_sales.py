"""What a shop sells while its line is down: once at the central, booked once, on the day of the sale."""

import pytest
from site_rig.erpnext_world import STORES, customer, days_from_now, invoice, ledgers, row, stock_of

TOTALS = (
    "net_total",
    "total_taxes_and_charges",
    "grand_total",
    "rounded_total",
    "outstanding_amount",
    "status",
)
LEDGERS = ("GL Entry", "Stock Ledger Entry", "Payment Ledger Entry", "Bin", "Serial and Batch Bundle")


def sold(branch, **values):
    """An invoice to a new customer, submitted."""
    buyer = branch.insert(customer())["name"]
    made = branch.insert(invoice(buyer, **values))
    return buyer, branch.submit("Sales Invoice", made["name"])


@pytest.mark.parametrize("update_stock", [0, 1])
def test_a_customer_and_an_invoice_to_them_made_offline_are_booked_once(trade, update_stock):
    before = stock_of(trade.there, "TEA")
    with trade.there.unreachable():
        buyer, sale = sold(trade.branch, update_stock=update_stock)
        trade.branch.sync()
    trade.drain()
    assert trade.told() == [
        ("create", "Customer", "Synced"),
        ("create", "Sales Invoice", "Synced"),
        ("submit", "Sales Invoice", "Synced"),
    ]
    there = trade.at_the_central("Sales Invoice", sale["name"])
    assert there["name"] != sale["name"]
    assert there["docstatus"] == 1
    assert there["customer"] == trade.name_there("Customer", buyer)
    assert [there[field] for field in TOTALS] == [
        trade.branch.get("Sales Invoice", sale["name"])[field] for field in TOTALS
    ]
    assert there["grand_total"] == 22
    assert trade.there.count("Sales Invoice", {"customer": there["customer"]}) == 1
    assert ledgers(trade.there, there["name"])["gl"] == ledgers(trade.branch, sale["name"])["gl"] != []
    assert ledgers(trade.there, there["name"])["stock"] == ([("TEA", STORES, -2.0)] if update_stock else [])
    assert stock_of(trade.there, "TEA") == before - 2 * update_stock


def test_a_sale_of_three_days_ago_is_booked_on_its_day(trade):
    day = days_from_now(trade.branch, -3)
    dated = {"set_posting_time": 1, "posting_date": day, "posting_time": "11:12:13", "due_date": day}
    with trade.there.unreachable():
        _buyer, sale = sold(trade.branch, update_stock=1, **dated)
    trade.drain()
    there = trade.at_the_central("Sales Invoice", sale["name"])
    assert (there["posting_date"], there["posting_time"]) == (day, "11:12:13")
    assert ledgers(trade.there, there["name"])["dates"] == {day}


def test_a_sale_paid_in_cash_with_change_is_settled_at_the_central_too(trade):
    with trade.there.unreachable():
        paid = {"is_pos": 1, "update_stock": 1, "payments": [{"mode_of_payment": "Cash", "amount": 30}]}
        _buyer, sale = sold(trade.branch, **paid)
    here = trade.branch.get("Sales Invoice", sale["name"])
    assert (here["change_amount"], here["status"]) == (8, "Paid")
    trade.drain()
    there = trade.at_the_central("Sales Invoice", sale["name"])
    fields = ("paid_amount", "change_amount", "outstanding_amount", "status", "account_for_change_amount")
    assert [there[field] for field in fields] == [here[field] for field in fields]
    assert ledgers(trade.there, there["name"])["gl"] == ledgers(trade.branch, sale["name"])["gl"]


def test_a_sale_is_cancelled_and_amended_offline(trade):
    before = stock_of(trade.there, "TEA")
    with trade.there.unreachable():
        buyer, sale = sold(trade.branch, update_stock=1)
        trade.branch.cancel("Sales Invoice", sale["name"])
        amended = trade.branch.insert(invoice(buyer, row(qty=1), update_stock=1, amended_from=sale["name"]))[
            "name"
        ]
        trade.branch.submit("Sales Invoice", amended)
    trade.drain()
    first, second = (trade.at_the_central("Sales Invoice", name) for name in (sale["name"], amended))
    assert (first["docstatus"], second["docstatus"], second["amended_from"]) == (2, 1, first["name"])
    assert ledgers(trade.there, first["name"])["gl"] == []
    assert ledgers(trade.there, second["name"])["gl"] == ledgers(trade.branch, amended)["gl"]
    assert stock_of(trade.there, "TEA") == before - 1


def test_a_payment_of_an_invoice_made_offline_settles_it_at_the_central(trade):
    with trade.there.unreachable():
        _buyer, sale = sold(trade.branch)
        payment = trade.branch.run(pay, sale["name"])
    trade.drain()
    there = trade.at_the_central("Sales Invoice", sale["name"])
    assert (there["status"], there["outstanding_amount"]) == ("Paid", 0)
    paid = trade.at_the_central("Payment Entry", payment)
    assert [(ref["reference_name"], ref["allocated_amount"]) for ref in paid["references"]] == [
        (there["name"], 22)
    ]
    assert ledgers(trade.there, paid["name"])["gl"] == ledgers(trade.branch, payment)["gl"]


def pay(invoice):
    """Runs on a site: the button Payment of an invoice."""
    import frappe
    from erpnext.accounts.doctype.payment_entry.payment_entry import get_payment_entry

    entry = get_payment_entry("Sales Invoice", invoice)
    entry.update({"reference_no": "till 1", "reference_date": frappe.utils.today()})
    entry.insert()
    entry.submit()
    return entry.name
