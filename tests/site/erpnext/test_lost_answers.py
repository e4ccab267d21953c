"""An answer is lost on the way: what it was about is booked once all the same."""

import pytest
from site_rig.erpnext_world import STORES, customer, invoice, ledgers, stock_of

from erp_offline_sync.testing.fault_proxy import FaultProxy, Mishap

WAITED = 130
"""Seconds after which "not there" counts, by plain REST."""


def is_create(method, path):
    return method == "POST" and "Sales%20Invoice" in path


def is_move(method, path):
    return method == "PUT" and "Sales%20Invoice" in path


def is_push(method, path):
    return path.endswith("receiver.push")


@pytest.mark.parametrize("lost", ["create", "submit"])
def test_an_invoice_whose_answer_was_lost_is_booked_once(trade, lost):
    plain = trade.there.role == "central"
    before = stock_of(trade.there, "TEA")
    buyer = trade.branch.insert(customer())["name"]
    trade.drain()
    with FaultProxy(trade.there.url) as line:
        trade.connect(url=line.url)
        sale = trade.branch.insert(invoice(buyer, update_stock=1))["name"]
        if lost == "submit":
            trade.drain()
        trade.branch.submit("Sales Invoice", sale)
        matches = (is_create if lost == "create" else is_move) if plain else is_push
        line.befall(Mishap(kind="swallow"), matches=matches)
        trade.branch.sync(force=True, timeout=300)
        assert line.done["swallow"] == 1
        trade.drain(later=WAITED, timeout=300)
    there = trade.name_there("Sales Invoice", sale)
    assert trade.there.count("Sales Invoice", {"customer": trade.name_there("Customer", buyer)}) == 1
    assert ledgers(trade.there, there)["gl"] == ledgers(trade.branch, sale)["gl"]
    assert ledgers(trade.there, there)["stock"] == [("TEA", STORES, -2.0)]
    assert stock_of(trade.there, "TEA") == before - 2
