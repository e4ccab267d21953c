"""What links to what, however it does: each document arrives after what it names, under the names it has there."""

import pytest
from site_rig.client import POLICIES, SiteError
from site_rig.world import make_older, requests_of, statuses

CUSTOMER = {"doctype": "Shop Customer", "customer_name": "Asha"}


@pytest.fixture
def apart(central, fresh_outbox):
    """The central's next numbers are others than the branch's."""
    for _ in range(3):
        central.insert({"doctype": "Shop Customer", "customer_name": "theirs"})


def with_item(branch, central):
    central.insert({"doctype": "Shop Item", "item_code": "TEA"})
    make_older(branch, {"doctype": "Shop Item", "item_code": "TEA"})


def sale_of(customer, *rows, **values):
    items = [{"item": "TEA", "qty": 1, "rate": 1, **row} for row in rows or ({},)]
    return {"doctype": "Shop Sale", "customer": customer, "items": items, **values}


def names(branch):
    """(type, name here) → name there."""
    fields = ["reference_doctype", "local_name", "central_name"]
    known = branch.documents("Synced Document", fields=fields)
    return {(row["reference_doctype"], row["local_name"]): row["central_name"] for row in known}


def ends(branch):
    return {status for _operation, status in statuses(branch)}


def insert_circle():
    """Runs on the branch: a customer and a note that name each other."""
    import frappe

    note = frappe.get_doc({"doctype": "Shop Note", "title": "circle"})
    note.set_new_name()
    customer = frappe.get_doc({"doctype": "Shop Customer", "customer_name": "Round", "favourite": note.name})
    customer.flags.ignore_links = True
    customer.insert()
    name = note.name
    note = frappe.get_doc({"doctype": "Shop Note", "title": "circle", "customer": customer.name})
    note.insert(set_name=name)
    return customer.name, note.name


def test_a_circle_of_two_new_documents_arrives_with_both_links(branch, central, settings, apart):
    settings()
    customer, note = branch.run(insert_circle)
    assert branch.get("Shop Customer", customer)["favourite"] == note
    assert branch.sync() == "done"
    assert statuses(branch) == [("update", "Synced"), ("create", "Synced")]
    there = names(branch)
    assert (
        central.get("Shop Customer", there["Shop Customer", customer])["favourite"]
        == there["Shop Note", note]
    )
    assert central.get("Shop Note", there["Shop Note", note])["customer"] == there["Shop Customer", customer]


def test_dynamic_links_of_a_document_and_of_its_rows_go_under_the_centrals_names(
    branch, central, settings, apart
):
    settings(policies=[*POLICIES, {"document_type": "Contact", "include_derived": 1}])
    with central.unreachable():
        customer = branch.insert(CUSTOMER)["name"]
        link = {"link_doctype": "Shop Customer", "link_name": customer}
        contact = branch.insert({"doctype": "Contact", "first_name": "Asha", "links": [link]})["name"]
        todo = {"doctype": "ToDo", "description": "call", "reference_type": "Shop Customer"}
        todo = branch.insert({**todo, "reference_name": customer})["name"]
        branch.sync()
    assert branch.sync(force=True) == "done"
    there = names(branch)
    assert there["Shop Customer", customer] != customer
    assert central.get("ToDo", there["ToDo", todo])["reference_name"] == there["Shop Customer", customer]
    (row,) = central.get("Contact", there["Contact", contact])["links"]
    assert (row["link_doctype"], row["link_name"]) == ("Shop Customer", there["Shop Customer", customer])
    branch.delete("Contact", contact)
    branch.sync()
    assert ends(branch) == {"Synced"}


def test_an_amendment_follows_the_sale_that_it_amends(branch, central, settings, apart):
    settings()
    with_item(branch, central)
    with central.unreachable():
        customer = branch.insert(CUSTOMER)["name"]
        sale = branch.insert(sale_of(customer))["name"]
        branch.submit("Shop Sale", sale)
        branch.cancel("Shop Sale", sale)
        amended = branch.insert(sale_of(customer, {"qty": 2}, amended_from=sale))["name"]
        branch.submit("Shop Sale", amended)
        branch.sync()
    assert branch.sync(force=True) == "done"
    there = names(branch)
    full = central.get("Shop Sale", there["Shop Sale", amended])
    assert (full["amended_from"], full["docstatus"]) == (there["Shop Sale", sale], 1)
    assert central.get("Shop Sale", there["Shop Sale", sale])["docstatus"] == 2
    assert ends(branch) == {"Synced"}


def test_a_tree_is_built_from_its_root(branch, central, settings, apart):
    settings(policies=[*POLICIES, {"document_type": "Shop Group"}])
    with central.unreachable():
        root = branch.insert({"doctype": "Shop Group", "group_name": "All", "is_group": 1})["name"]
        inner = {"doctype": "Shop Group", "group_name": "Tea", "is_group": 1, "parent_shop_group": root}
        inner = branch.insert(inner)["name"]
        leaf = branch.insert({"doctype": "Shop Group", "group_name": "Green", "parent_shop_group": inner})[
            "name"
        ]
        branch.save("Shop Group", leaf, parent_shop_group=root)
        branch.sync()
    assert branch.sync(force=True) == "done"
    there = {name: central.get("Shop Group", other) for (_type, name), other in names(branch).items()}
    assert there[inner]["parent_shop_group"] == there[leaf]["parent_shop_group"] == there[root]["name"]
    assert there[root]["lft"] < there[leaf]["lft"] < there[leaf]["rgt"] < there[root]["rgt"]
    assert ends(branch) == {"Synced", "Merged"}


def test_documents_of_one_order_group_keep_the_order_of_their_commits(branch, central, settings, apart):
    group = [
        {"document_type": "Shop Note", "order_group": "stock", "priority": 9},
        {"document_type": "ToDo", "order_group": "stock", "priority": 1},
    ]
    settings(policies=group)
    with central.unreachable():
        for number in range(3):
            branch.insert({"doctype": "Shop Note", "title": f"n{number}"})
            branch.insert({"doctype": "ToDo", "description": f"t{number}"})
    assert branch.sync(force=True) == "done"
    notes = central.documents("Shop Note", fields=["title as text", "creation"])
    todos = central.documents("ToDo", fields=["description as text", "creation"])
    arrived = [row["text"] for row in sorted([*notes, *todos], key=lambda row: str(row["creation"]))]
    assert arrived == ["n0", "t0", "n1", "t1", "n2", "t2"]


def test_named_read_only_links_go_along_and_nothing_is_compared_in_them(branch, central, settings, apart):
    named = {"also_send_fields": "items.order_sale\nitems.order_row"}
    settings(policies=[{**row, **(named if row["document_type"] == "Shop Sale" else {})} for row in POLICIES])
    with_item(branch, central)
    with central.unreachable():
        customer = branch.insert(CUSTOMER)["name"]
        order = branch.insert(sale_of(customer))
        row = {"order_sale": order["name"], "order_row": order["items"][0]["name"]}
        sale = branch.insert(sale_of(customer, row, {}))["name"]
        branch.save("Shop Sale", sale, remarks="mended before it left")
        branch.sync()
    assert branch.sync(force=True) == "done"
    there = names(branch)
    first, second = central.get("Shop Sale", there["Shop Sale", sale])["items"]
    ordered = central.get("Shop Sale", there["Shop Sale", order["name"]])
    assert (first["order_sale"], first["order_row"]) == (ordered["name"], ordered["items"][0]["name"])
    assert not second["order_sale"]
    assert ends(branch) <= {"Synced", "Merged"}
    central.run(compute, there["Shop Sale", sale])
    branch.save("Shop Sale", sale, remarks="again")
    assert branch.sync() == "done"
    assert branch.count("Sync Conflict") == 0


def compute(name):
    """Runs on the central: its own code changes what is read-only."""
    import frappe

    doc = frappe.get_doc("Shop Sale", name)
    doc.items[0].db_set("order_row", "computed here")
    doc.db_set("paid_amount", 1)


def test_without_being_named_read_only_links_stay_at_home(branch, central, settings, apart):
    settings()
    with_item(branch, central)
    customer = branch.insert(CUSTOMER)["name"]
    order = branch.insert(sale_of(customer))["name"]
    branch.insert(sale_of(customer, {"order_sale": order}))
    assert branch.sync() == "done"
    sales = [central.get("Shop Sale", row["name"]) for row in central.documents("Shop Sale")]
    assert [row["order_sale"] or None for sale in sales for row in sale["items"]] == [None, None]


def test_a_new_customer_takes_the_centrals_name_here_and_its_sales_follow(branch, central, settings, apart):
    here = {"naming": "Central's, Also Here"}
    settings(
        policies=[{**row, **(here if row["document_type"] == "Shop Customer" else {})} for row in POLICIES]
    )
    with_item(branch, central)
    with central.unreachable():
        old = branch.insert(CUSTOMER)["name"]
        sale = branch.insert(sale_of(old))["name"]
        branch.sync()
    assert branch.sync(force=True) == "done"
    (row,) = branch.documents("Shop Customer")
    assert row["name"] != old
    assert central.exists("Shop Customer", row["name"])
    assert branch.get("Shop Sale", sale)["customer"] == row["name"]
    assert statuses(branch) == [("create", "Synced"), ("create", "Synced")]
    branch.save("Shop Customer", row["name"], credit_limit=5)
    branch.save("Shop Sale", sale, remarks="found")
    assert branch.sync() == "done"
    assert central.get("Shop Customer", row["name"])["credit_limit"] == 5
    assert ends(branch) == {"Synced"}


def test_this_sites_names_reach_a_central_that_takes_them(branch, central, settings, apart):
    """Group names are random: what the branch calls it is kept where the central lets it, and is no harm elsewhere."""
    settings(policies=[{"document_type": "Shop Group", "naming": "This Site's"}])
    group = branch.insert({"doctype": "Shop Group", "group_name": "All", "is_group": 1})["name"]
    assert branch.sync() == "done"
    assert statuses(branch) == [("create", "Synced")]
    (there,) = central.documents("Shop Group")
    assert names(branch)["Shop Group", group] == there["name"]


def test_what_cannot_be_carried_or_renamed_is_refused_in_the_settings(settings):
    for wrong in (
        {"document_type": "Shop Sale", "also_send_fields": "items.nothing"},
        {"document_type": "Shop Sale", "also_send_fields": "items"},
        {"document_type": "Shop Group", "also_send_fields": "lft"},
        {"document_type": "Shop Sale", "naming": "Central's, Also Here"},
    ):
        with pytest.raises(SiteError) as refused:
            settings(policies=[wrong])
        assert refused.value.kind == "ValidationError"


def test_what_waits_says_for_what(branch, central, settings, apart):
    settings()
    with_item(branch, central)
    with central.unreachable():
        customer = branch.insert(CUSTOMER)["name"]
        branch.insert(sale_of(customer))
        branch.sync()
        (waiting,) = requests_of(branch, status="Waiting")
    assert waiting["waits_why"] == f"Shop Customer {customer}, which it links to"
