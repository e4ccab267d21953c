"""What is sold and to whom: customers with what ERPNext makes of them, items, prices; and what both sites changed."""

from site_rig.erpnext_shop import COMPANY
from site_rig.erpnext_world import STORES, customer, invoice, row, some_name


def sold_to(branch, buyer, **values):
    name = branch.insert(invoice(buyer, **values))["name"]
    branch.submit("Sales Invoice", name)
    return name


def test_contact_and_address_that_a_quick_entry_makes_arrive_with_the_customer(trade):
    with trade.there.unreachable():
        mail = f"{some_name('a').replace(' ', '.')}@shop.example"
        place = {"address_line1": "1 Tea Lane", "city": "Leeds", "country": "United Kingdom"}
        buyer = trade.branch.insert(customer(email_id=mail, mobile_no="+49 151 000", **place))["name"]
        here = trade.branch.get("Customer", buyer)
        sold = sold_to(trade.branch, buyer)
        contact, address = here["customer_primary_contact"], here["customer_primary_address"]
        assert trade.branch.get("Sales Invoice", sold)["contact_person"] == contact
        assert trade.branch.get("Sales Invoice", sold)["customer_address"] == address
    trade.drain()
    there = trade.at_the_central("Customer", buyer)
    assert there["customer_primary_contact"] == trade.name_there("Contact", contact)
    assert there["customer_primary_address"] == trade.name_there("Address", address)
    sale = trade.at_the_central("Sales Invoice", sold)
    assert sale["contact_person"] == there["customer_primary_contact"]
    assert sale["customer_address"] == there["customer_primary_address"]
    known = trade.there.documents("Contact Email", {"email_id": mail})
    assert [row["parent"] for row in known] == [there["customer_primary_contact"]]


def test_a_customer_with_an_address_made_by_hand_is_billed_to_it(trade):
    with trade.there.unreachable():
        buyer = trade.branch.insert(customer())["name"]
        link = {"link_doctype": "Customer", "link_name": buyer}
        address = trade.branch.insert(
            {
                "doctype": "Address",
                "address_title": buyer,
                "address_type": "Billing",
                "address_line1": "1 Tea Lane",
                "city": "Leeds",
                "country": "United Kingdom",
                "links": [link],
            }
        )["name"]
        contact = trade.branch.insert({"doctype": "Contact", "first_name": "Asha", "links": [link]})["name"]
        sold = sold_to(trade.branch, buyer, customer_address=address, contact_person=contact)
    trade.drain()
    there = trade.at_the_central("Sales Invoice", sold)
    assert there["customer_address"] == trade.name_there("Address", address)
    assert there["contact_person"] == trade.name_there("Contact", contact)


def test_a_customer_of_the_same_name_gets_another_one_at_the_central(trade):
    name = some_name("Asha")
    trade.there.insert(customer(customer_name=name))
    with trade.there.unreachable():
        buyer = trade.branch.insert(customer(customer_name=name))["name"]
        sold = sold_to(trade.branch, buyer)
    trade.drain()
    assert (buyer, trade.name_there("Customer", buyer)) == (name, f"{name} - 1")
    assert trade.at_the_central("Sales Invoice", sold)["customer"] == f"{name} - 1"
    trade.branch.save("Customer", buyer, website="asha.example")
    trade.drain()
    assert trade.at_the_central("Customer", buyer)["website"] == "asha.example"


def test_fields_of_a_customer_that_each_side_changed_are_merged(trade):
    buyer = trade.branch.insert(customer())["name"]
    trade.drain()
    trade.connect(default_strategy="Field Merge")
    trade.there.save("Customer", trade.name_there("Customer", buyer), website="there.example")
    trade.branch.save("Customer", buyer, customer_details="pays late")
    trade.drain()
    for site, name in ((trade.branch, buyer), (trade.there, trade.name_there("Customer", buyer))):
        found = site.get("Customer", name)
        assert (found["website"], found["customer_details"]) == ("there.example", "pays late")


def test_a_sale_at_the_central_is_no_change_of_the_customer(trade):
    """Submitting moves the versions of what the invoice is about; no field that travels is another."""
    buyer = trade.branch.insert(customer())["name"]
    trade.drain()
    sold_to(trade.there, trade.name_there("Customer", buyer))
    trade.branch.save("Customer", buyer, website="here.example")
    trade.drain()
    assert trade.branch.count("Sync Conflict") == 0


def test_an_item_with_its_defaults_and_its_price_is_sold_where_it_was_made(trade):
    code = some_name("JASMINE")
    items = {"document_type": "Item", "same_names": 1}
    trade.connect(and_policies=[items, {"document_type": "Item Price"}])
    with trade.there.unreachable():
        trade.branch.insert(
            {
                "doctype": "Item",
                "item_code": code,
                "item_group": "Products",
                "stock_uom": "Nos",
                "is_stock_item": 1,
                "item_defaults": [{"company": COMPANY, "default_warehouse": STORES}],
            }
        )
        price = {"doctype": "Item Price", "item_code": code, "price_list": "Standard Selling"}
        price = trade.branch.insert({**price, "price_list_rate": 12})["name"]
        line = {"item_code": code, "qty": 3, "t_warehouse": STORES, "basic_rate": 4}
        entry = {"doctype": "Stock Entry", "stock_entry_type": "Material Receipt", "company": COMPANY}
        receipt = trade.branch.insert({**entry, "items": [line]})["name"]
        trade.branch.submit("Stock Entry", receipt)
        buyer = trade.branch.insert(customer())["name"]
        sold_to(trade.branch, buyer, items=[row(code, rate=12)], update_stock=1)
    trade.drain()
    there = trade.there.get("Item", code)
    assert [(each["company"], each["default_warehouse"]) for each in there["item_defaults"]] == [
        (COMPANY, STORES)
    ]
    assert trade.at_the_central("Item Price", price)["price_list_rate"] == 12
    (stock,) = trade.there.documents("Bin", {"item_code": code})
    assert stock["actual_qty"] == 1
