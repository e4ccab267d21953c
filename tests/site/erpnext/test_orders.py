"""Documents that buttons make from each other: the central knows which row of an order was billed and delivered."""

from site_rig.erpnext_shop import COMPANY
from site_rig.erpnext_world import STORES, customer, days_from_now, invoice, row, stock_of


def order(branch, **values):
    """A submitted sales order of a new customer; its name."""
    buyer = branch.insert(customer())["name"]
    made = {
        "doctype": "Sales Order",
        "company": COMPANY,
        "customer": buyer,
        "delivery_date": days_from_now(branch, 7),
        "items": [row(qty=4), row("COFFEE", qty=1)],
        **values,
    }
    name = branch.insert(made)["name"]
    branch.submit("Sales Order", name)
    return name


def press(button, source, **values):
    """Runs on a site: makes a document from another by one of ERPNext's buttons, saves and submits it."""
    import frappe

    made = frappe.get_attr(button)(source)
    made.update(values)
    made.insert()
    made.submit()
    return made.name


DELIVER = "erpnext.selling.doctype.sales_order.sales_order.make_delivery_note"
BILL_DELIVERY = "erpnext.stock.doctype.delivery_note.delivery_note.make_sales_invoice"
BILL_ORDER = "erpnext.selling.doctype.sales_order.sales_order.make_sales_invoice"
TAKE_BACK = "erpnext.stock.doctype.delivery_note.delivery_note.make_sales_return"
CREDIT = "erpnext.accounts.doctype.sales_invoice.sales_invoice.make_sales_return"
RECEIVE = "erpnext.buying.doctype.purchase_order.purchase_order.make_purchase_receipt"
BILL_RECEIPT = "erpnext.stock.doctype.purchase_receipt.purchase_receipt.make_purchase_invoice"


def test_an_order_delivered_and_billed_offline_is_completed_at_the_central(trade):
    with trade.there.unreachable():
        ordered = order(trade.branch)
        delivered = trade.branch.run(press, DELIVER, ordered)
        billed = trade.branch.run(press, BILL_DELIVERY, delivered)
    trade.drain()
    fields = ("status", "per_billed", "per_delivered", "billing_status", "delivery_status")
    here, there = trade.branch.get("Sales Order", ordered), trade.at_the_central("Sales Order", ordered)
    assert here["status"] == "Completed"
    assert [there[field] for field in fields] == [here[field] for field in fields]
    note, bill = (
        trade.at_the_central("Delivery Note", delivered),
        trade.at_the_central("Sales Invoice", billed),
    )
    assert [each["so_detail"] for each in note["items"]] == [each["name"] for each in there["items"]]
    assert {each["against_sales_order"] for each in note["items"]} == {there["name"]}
    assert [each["dn_detail"] for each in bill["items"]] == [each["name"] for each in note["items"]]
    assert (note["status"], note["per_billed"]) == ("Completed", 100)


def test_an_order_billed_without_a_delivery_is_billed_at_the_central(trade):
    with trade.there.unreachable():
        ordered = order(trade.branch)
        trade.branch.run(press, BILL_ORDER, ordered, update_stock=1)
    trade.drain()
    there = trade.at_the_central("Sales Order", ordered)
    assert (there["status"], there["per_billed"], there["per_delivered"]) == ("Completed", 100, 100)


def test_what_is_brought_back_is_a_return_at_the_central(trade):
    before = stock_of(trade.there, "TEA")
    with trade.there.unreachable():
        ordered = order(trade.branch)
        delivered = trade.branch.run(press, DELIVER, ordered)
        brought = trade.branch.run(press, TAKE_BACK, delivered)
    trade.drain()
    there = trade.at_the_central("Delivery Note", brought)
    assert (there["is_return"], there["return_against"]) == (1, trade.name_there("Delivery Note", delivered))
    assert trade.at_the_central("Delivery Note", delivered)["status"] == "Return Issued"
    assert stock_of(trade.there, "TEA") == before


def test_a_credit_note_is_one_at_the_central(trade):
    with trade.there.unreachable():
        buyer = trade.branch.insert(customer())["name"]
        sold = trade.branch.insert(invoice(buyer, update_stock=1))["name"]
        trade.branch.submit("Sales Invoice", sold)
        credited = trade.branch.run(press, CREDIT, sold)
    trade.drain()
    there, first = (trade.at_the_central("Sales Invoice", name) for name in (credited, sold))
    assert (there["is_return"], there["return_against"]) == (1, first["name"])
    assert [each["sales_invoice_item"] for each in there["items"]] == [
        each["name"] for each in first["items"]
    ]
    assert first["status"] == trade.branch.get("Sales Invoice", sold)["status"]


def test_what_was_ordered_received_and_billed_offline_is_completed_at_the_central(trade):
    before = stock_of(trade.there, "TEA")
    with trade.there.unreachable():
        bought = {
            "doctype": "Purchase Order",
            "company": COMPANY,
            "supplier": "Hill Gardens",
            "schedule_date": days_from_now(trade.branch, 3),
            "items": [row(qty=5, rate=4, warehouse=STORES)],
        }
        ordered = trade.branch.insert(bought)["name"]
        trade.branch.submit("Purchase Order", ordered)
        # A day that has begun at both: the central refuses goods that come tomorrow.
        dated = {"set_posting_time": 1, "posting_date": days_from_now(trade.branch, -1)}
        received = trade.branch.run(press, RECEIVE, ordered, **dated)
        trade.branch.run(press, BILL_RECEIPT, received, bill_no="7")
    trade.drain()
    there = trade.at_the_central("Purchase Order", ordered)
    assert (there["status"], there["per_received"], there["per_billed"]) == ("Completed", 100, 100)
    assert stock_of(trade.there, "TEA") == before + 5
