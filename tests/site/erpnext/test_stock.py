"""What moves stock: once at the central, with the branch's serial and batch numbers."""

from site_rig.erpnext_shop import COMPANY
from site_rig.erpnext_world import SHELF, STORES, customer, invoice, ledgers, row, some_name, stock_of

IN_ORDER = [{"document_type": each, "order_group": "stock"} for each in ("Stock Entry", "Sales Invoice")]
"""What came in is booked before it is sold."""


def moved(branch, kind, *rows, **values):
    entry = {"doctype": "Stock Entry", "stock_entry_type": kind, "company": COMPANY, "items": list(rows)}
    name = branch.insert({**entry, **values})["name"]
    branch.submit("Stock Entry", name)
    return name


def received(branch, item, qty, **values):
    line = {"item_code": item, "qty": qty, "t_warehouse": STORES, "basic_rate": 4, **values}
    return moved(branch, "Material Receipt", line)


def test_what_is_received_and_moved_offline_is_in_stock_at_the_central_once(trade):
    before, shelf = stock_of(trade.there, "TEA"), stock_of(trade.there, "TEA", SHELF)
    with trade.there.unreachable():
        receipt = received(trade.branch, "TEA", 7)
        line = {"item_code": "TEA", "qty": 3, "s_warehouse": STORES, "t_warehouse": SHELF}
        moved(trade.branch, "Material Transfer", line)
    trade.drain()
    assert stock_of(trade.there, "TEA") == before + 4
    assert stock_of(trade.there, "TEA", SHELF) == shelf + 3
    there = trade.name_there("Stock Entry", receipt)
    assert ledgers(trade.there, there)["stock"] == [("TEA", STORES, 7.0)]
    assert ledgers(trade.there, there)["gl"] == ledgers(trade.branch, receipt)["gl"]


def test_a_serial_number_received_and_sold_offline_is_the_same_at_the_central(trade):
    trade.connect(and_policies=IN_ORDER)
    serial = some_name("K").replace(" ", "-")
    with trade.there.unreachable():
        received(trade.branch, "KETTLE", 1, serial_no=serial, use_serial_batch_fields=1)
        buyer = trade.branch.insert(customer())["name"]
        line = row("KETTLE", qty=1, serial_no=serial, use_serial_batch_fields=1)
        sold = trade.branch.insert(invoice(buyer, line, update_stock=1))["name"]
        trade.branch.submit("Sales Invoice", sold)
    assert trade.branch.get("Serial No", serial)["status"] == "Delivered"
    trade.drain()
    assert trade.there.get("Serial No", serial)["status"] == "Delivered"
    there = trade.name_there("Sales Invoice", sold)
    assert ledgers(trade.there, there)["stock"] == [("KETTLE", STORES, -1.0)]


def test_a_batch_that_was_made_offline_and_sold_is_the_same_at_the_central(trade):
    trade.connect(and_policies=IN_ORDER)
    with trade.there.unreachable():
        batch = trade.branch.insert({"doctype": "Batch", "batch_id": some_name("B"), "item": "HONEY"})["name"]
        received(trade.branch, "HONEY", 5, batch_no=batch, use_serial_batch_fields=1)
        buyer = trade.branch.insert(customer())["name"]
        line = row("HONEY", batch_no=batch, use_serial_batch_fields=1)
        sold = trade.branch.insert(invoice(buyer, line, update_stock=1))["name"]
        trade.branch.submit("Sales Invoice", sold)
    trade.drain()
    (line,) = trade.at_the_central("Sales Invoice", sold)["items"]
    assert line["batch_no"] == batch
    assert trade.there.get("Batch", batch)["batch_qty"] == 3
