"""What the page for conflicts reads and decides, asked over REST as its users would.

Who may not read a document learns neither its values nor that it is in conflict.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

HOSTILE = "<script>alert(1)</script> =1+1 \u202etxt.exe\u202c ' 50% off \" ` \\"


def ask(call: Any, endpoint: str, /, *, ok: bool = True, **given: Any) -> Any:
    """What an endpoint answers; with `ok=False` the whole response."""
    answer = call.post(f"/api/method/erp_offline_sync.conflicts.{endpoint}", json=given)
    if not ok:
        return answer
    assert answer.ok, answer.text[-2000:]
    return answer.json()["message"]


@pytest.fixture
def manual(settings):
    """People decide."""
    settings(default_strategy="Manual")


@pytest.fixture
def clerk(branch):
    return branch.user("clerk@shop.example", "Shop User", "Offline Sync User")


def differ(branch: Any, central: Any, doctype: str, here: dict[str, Any], there: dict[str, Any]) -> str:
    """Save a document of the branch that was synced before on both sites, and find the conflict; its id."""
    (name,) = (row["name"] for row in branch.documents(doctype))
    (other,) = (row["name"] for row in central.documents(doctype))
    central.save(doctype, other, **there)
    branch.save(doctype, name, **here)
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict", {"resolution_status": "pending"})
    return conflict["name"]


def report(capsys: Any, what: str, seconds: float) -> None:
    with capsys.disabled():
        print(f"\n{what}: {seconds:.3f} s")


def field(conflict: dict[str, Any], path: str) -> dict[str, Any]:
    return next(each for each in conflict["fields"] if each["path"] == path)


# The list


def test_the_list_says_what_happened_to_which_document(branch, central, manual, clerk):
    note = branch.insert({"doctype": "Shop Note", "title": "Tea", "body": "a"})["name"]
    branch.sync()
    conflict = differ(branch, central, "Shop Note", {"category": "A"}, {"category": "B"})
    told = ask(clerk, "list_conflicts")
    assert (told["total"], told["counts"]) == (1, {"Shop Note": 1})
    (row,) = told["rows"]
    assert (row["name"], row["resource_type"], row["resource_id"]) == (conflict, "Shop Note", note)
    assert (row["title"], row["conflict_type"], row["may_decide"]) == ("Tea", "update_update", True)
    assert (row["changed_by"], row["server_changed_by"]) == ("Administrator", "Administrator")
    assert row["created_at"].endswith("+00:00")
    assert row["sentence"] == "Administrator changed it here, and Administrator changed it at the central."
    assert "local_data" not in row


def many(conflicts: list[dict[str, Any]]) -> None:
    """Runs on the branch: these conflicts, as a run would have left them."""
    import frappe

    from erp_offline_sync.adapters.frappe_store import FrappeStore
    from erp_offline_sync.adapters.rows import parse_iso
    from erp_offline_sync.engine.model import Conflict, ConflictType

    store = FrappeStore(frappe.db.commit, frappe.db.rollback)
    with store.transaction():
        now = store.now()
        for number, given in enumerate(conflicts):
            values = {
                "id": f"conflict-{number:04}",
                "line": f"line-{number}",
                "resource_type": "Shop Note",
                "resource_id": f"note-{number}",
                "local_request_id": f"request-{number}",
                "conflict_type": "update_update",
                "local_data": None,
                "base_data": None,
                "server_data": None,
                "server_version": None,
                **given,
            }
            values["conflict_type"] = ConflictType(values["conflict_type"])
            at = parse_iso(values.pop("at", None)) or now
            store.put_conflict(Conflict(**values, local_changed_at=at, created_at=at))


def test_the_list_is_filtered_searched_counted_and_paged(branch, manual, clerk):
    there = {"modified_by": "boss@central.example"}
    branch.run(
        many,
        [
            {"local_data": {"title": HOSTILE, "modified_by": "ann@shop.example"}, "server_data": there},
            {"local_data": {"title": "sale 100%s", "modified_by": "bob@shop.example"}, "server_data": there},
            {
                "local_data": {"title": "Sugar"},
                "conflict_type": "update_delete",
                "at": "2020-01-01T00:00:00+00:00",
            },
            {"resource_type": "Shop Item", "resource_id": "TEA", "local_data": {"item_code": "TEA"}},
        ],
    )

    def names(**filters: Any) -> list[int]:
        rows = ask(clerk, "list_conflicts", filters=filters)["rows"]
        return [int(row["name"].rpartition("-")[2]) for row in rows]

    assert names() == [2, 0, 1, 3]
    assert names(doctype="Shop Item") == [3]
    assert names(conflict_type="update_delete") == [2]
    assert names(older_than_days=30) == [2]
    assert names(changed_by="ann@shop.example") == [0]
    assert names(status="resolved") == []
    for text, found in (
        ("<script>", [0]),
        ("SUGAR", [2]),
        ("100%s", [1]),
        ("50%", [0]),
        ("' 5", [0]),
        ("note-1", [1]),
        ("shop item", [3]),
        ("_", []),
        ("\\", [0]),
        ("none", []),
    ):
        assert names(search=text) == found, text
    told = ask(clerk, "list_conflicts", filters=json.dumps({"doctype": "Shop Note"}), start=1, limit=1)
    assert [row["name"] for row in told["rows"]] == ["conflict-0000"]
    assert told["rows"][0]["title"] == HOSTILE
    assert (told["total"], told["counts"]) == (3, {"Shop Note": 3, "Shop Item": 1})


@pytest.mark.parametrize("filters", ["no JSON", "[1]", [1]])
def test_filters_that_are_none_are_refused_with_words(filters, branch, manual, clerk):
    answer = ask(clerk, "list_conflicts", ok=False, filters=filters)
    assert answer.status_code in (417, 400)
    assert "Traceback" not in answer.json().get("exception", "")


def test_a_thousand_pending_conflicts_are_listed_at_once(branch, manual, clerk, capsys):
    text = "word " * 4000
    branch.run(
        many,
        [{"local_data": {"title": f"n {n}", "body": text}, "server_data": {"body": text}} for n in range(10)],
    )
    branch.run(copy_conflicts, 990)
    ask(clerk, "list_conflicts")
    began = time.monotonic()
    told = ask(clerk, "list_conflicts", filters={"search": "n "})
    report(capsys, "list of 50 among 1,000 pending conflicts", time.monotonic() - began)
    assert (told["total"], len(told["rows"])) == (1000, 50)


def copy_conflicts(number: int) -> None:
    """Runs on the branch."""
    import frappe

    columns = [row for row in frappe.db.get_table_columns("Sync Conflict") if row not in ("name", "line")]
    quoted = ", ".join(f"`{column}`" for column in columns)
    for place in range(number):
        frappe.db.sql(
            f"insert into `tabSync Conflict` (`name`, `line`, {quoted})"
            f" select %s, %s, {quoted} from `tabSync Conflict` where `name` = 'conflict-0001'",
            (f"copy-{place}", f"copied-{place}"),
        )


# One conflict


def test_a_conflict_is_shown_field_by_field_with_the_labels_of_its_document(branch, central, manual, clerk):
    branch.insert({"doctype": "Shop Note", "title": "Tea", "body": "a\nb\nc", "weight": 1})
    branch.sync()
    conflict = differ(
        branch,
        central,
        "Shop Note",
        {"category": "A", "weight": 2, "body": "A\nb\nc", "title": HOSTILE},
        {"category": "B", "body": "a\nb\nC"},
    )
    told = ask(clerk, "get_conflict", name=conflict)
    assert told["clashes"] == ["category"]
    category = field(told, "category")
    assert (category["label"], category["fieldtype"], category["options"]) == (
        "Category",
        "Select",
        "\nA\nB\nC",
    )
    assert [category[key] for key in ("base", "local", "server", "result", "state")] == [
        "",
        "A",
        "B",
        None,
        "clash",
    ]
    weight = field(told, "weight")
    assert [weight[key] for key in ("base", "local", "server", "result", "state")] == [1, 2, 1, 2, "here"]
    body = field(told, "body")
    assert (body["result"], body["state"]) == ("A\nb\nC", "both")
    assert [line["op"] for line in body["lines"]] == ["local", "same", "server"]
    assert field(told, "title")["local"] == branch.documents("Shop Note")[0]["title"]
    assert told["resolutions"][:2] == ["local_wins", "server_wins"]
    assert (told["may_decide"], told["why_not"]) == (True, "")
    assert told["sides"]["local"]["user"] == "Administrator"
    assert told["sides"]["server"]["at"] == told["server_version"]
    assert told["docstatus"] == {"base": 0, "local": 0, "server": 0}
    assert told["sentence"].endswith("They changed one thing differently.")


def test_what_is_saved_here_while_a_conflict_is_open_is_shown(branch, central, manual, clerk):
    note = branch.insert({"doctype": "Shop Note", "title": "Tea"})["name"]
    branch.sync()
    conflict = differ(branch, central, "Shop Note", {"category": "A"}, {"category": "B"})
    branch.save("Shop Note", note, weight=7)
    told = ask(clerk, "get_conflict", name=conflict)
    assert (field(told, "weight")["local"], field(told, "weight")["state"]) == (7, "here")


def test_rows_stand_beside_each_other_under_the_names_of_this_site(branch, central, manual, clerk):
    for code in ("TEA", "RICE"):
        branch.insert({"doctype": "Shop Item", "item_code": code, "item_name": code})
    customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})["name"]
    sale = branch.insert(
        {
            "doctype": "Shop Sale",
            "customer": customer,
            "items": [{"item": "TEA", "qty": 1, "rate": 2}, {"item": "RICE", "qty": 1}],
        }
    )
    branch.sync()
    (there,) = central.documents("Shop Sale")
    rows = central.get("Shop Sale", there["name"])["items"]
    conflict = differ(
        branch,
        central,
        "Shop Sale",
        {"items": [{**sale["items"][0], "qty": 5}, {**sale["items"][1], "rate": 3}]},
        {"items": [{**rows[0], "qty": 9}, rows[1], {"item": "TEA", "qty": 4}]},
    )
    told = ask(clerk, "get_conflict", name=conflict)
    (table,) = told["tables"]
    first, second = (row["name"] for row in sale["items"])
    assert [(row["row"], row["state"]) for row in table["rows"]] == [
        (first, "clash"),
        (second, "here"),
        (table["rows"][2]["row"], "added_there"),
    ]
    assert told["clashes"] == [f"items[{first}].qty"]
    clash = table["rows"][0]
    assert [clash[side]["qty"] for side in ("base", "local", "server")] == [1, 5, 9]
    assert clash["clashes"] == ["qty"]
    assert "qty" not in clash["result"]
    assert {column["fieldname"]: column["label"] for column in table["columns"]}["qty"] == "Qty"
    assert field(told, "customer")["state"] == "same"


def test_a_document_that_is_gone_at_the_central_is_shown_as_it_was(branch, central, manual, clerk):
    note = branch.insert({"doctype": "Shop Note", "title": "Tea"})["name"]
    branch.sync()
    central.delete("Shop Note", central.documents("Shop Note")[0]["name"])
    branch.save("Shop Note", note, category="A")
    branch.sync()
    (row,) = ask(clerk, "list_conflicts")["rows"]
    assert row["conflict_type"] == "update_delete"
    told = ask(clerk, "get_conflict", name=row["name"])
    assert (told["deleted_here"], told["deleted_there"], told["clashes"]) == (False, True, ["*"])
    assert field(told, "category")["server"] is None


def wide(number: int, rows: int) -> None:
    """Runs on the branch: a note and a sale with so many custom fields and rows, in conflict."""
    import frappe

    from erp_offline_sync.adapters.frappe_store import FrappeStore
    from erp_offline_sync.engine.model import Conflict, ConflictType

    names = [f"wide_{place}" for place in range(number)]
    there = {field.fieldname for field in frappe.get_meta("Shop Sale").fields}
    for name in names:
        if name not in there:
            field = {"doctype": "Custom Field", "dt": "Shop Sale", "fieldname": name, "label": name}
            frappe.get_doc({**field, "name": f"Shop Sale-{name}", "fieldtype": "Small Text"}).db_insert()
    frappe.db.commit()
    frappe.clear_cache(doctype="Shop Sale")
    base = {name: f"value of {name}" for name in names}
    items = [
        {"name": f"row-{place}", "item": "TEA", "qty": place, "rate": 1, "note": "n"} for place in range(rows)
    ]
    local = {**base, **dict.fromkeys(names[::2], "here"), "items": [{**row, "qty": -1} for row in items]}
    server = {
        **base,
        **dict.fromkeys(names[::3], "there"),
        "items": [{**row, "rate": -1} for row in items],
    }
    store = FrappeStore(frappe.db.commit, frappe.db.rollback)
    with store.transaction():
        now = store.now()
        store.put_conflict(
            Conflict(
                id="wide",
                line="wide",
                resource_type="Shop Sale",
                resource_id="wide",
                local_request_id="wide",
                conflict_type=ConflictType.UPDATE_UPDATE,
                local_data=local,
                base_data={**base, "items": items},
                server_data=server,
                server_version="1",
                local_changed_at=now,
                created_at=now,
            )
        )


def narrow() -> None:
    """Runs on the branch."""
    import frappe

    frappe.db.delete("Custom Field", {"dt": "Shop Sale", "fieldname": ("like", "wide_%")})
    frappe.clear_cache(doctype="Shop Sale")


def test_a_conflict_of_500_fields_and_200_rows_is_shown(branch, manual, clerk, capsys):
    branch.run(wide, 500, 200)
    try:
        ask(clerk, "get_conflict", name="wide")
        began = time.monotonic()
        told = ask(clerk, "get_conflict", name="wide")
        report(capsys, "conflict of 500 fields and 200 rows", time.monotonic() - began)
    finally:
        branch.run(narrow)
    shown = [each for each in told["fields"] if each["path"].startswith("wide_")]
    assert (len(shown), len(told["tables"][0]["rows"])) == (500, 200)
    assert sum(each["state"] == "clash" for each in shown) == len(range(0, 500, 6))


# Deciding


def changes(told: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["path"]: (each["from"], each["to"]) for each in told}


@pytest.fixture
def clashing(branch, central, manual):
    """A note of which both sides changed the category, and each side something of its own; (note, conflict)."""
    note = branch.insert({"doctype": "Shop Note", "title": "Tea", "weight": 1, "body": "b"})["name"]
    branch.sync()
    here, there = {"category": "A", "weight": 2}, {"category": "B", "body": "c"}
    return note, differ(branch, central, "Shop Note", here, there)


def at_central(central: Any) -> dict[str, Any]:
    (row,) = central.documents("Shop Note")
    return row


def test_a_preview_shows_what_each_side_would_get_and_writes_nothing(branch, central, clashing, clerk):
    note, conflict = clashing
    before = (branch.get("Shop Note", note), branch.documents("Offline Request"), at_central(central))
    told = ask(clerk, "preview", name=conflict, resolution="local_wins")
    assert (told["asked"], told["problems"], told["server_moved"]) == ("branch", [], False)
    assert changes(told["here"]) == {"body": ("b", "c")}
    assert changes(told["there"]) == {"category": ("B", "A"), "weight": (1, 2)}
    assert {each["path"]: each["label"] for each in told["there"]} == {
        "category": "Category",
        "weight": "Weight",
    }
    told = ask(clerk, "preview", name=conflict, resolution="server_wins")
    assert changes(told["here"]) == {"body": ("b", "c"), "category": ("A", "B"), "weight": (2, 1)}
    assert told["there"] == []
    told = ask(clerk, "preview", name=conflict, resolution="merge", choices={"category": "server"})
    assert changes(told["here"]) == {"body": ("b", "c"), "category": ("A", "B")}
    assert changes(told["there"]) == {"weight": (1, 2)}
    told = ask(clerk, "preview", name=conflict, resolution="manual", values=json.dumps({"category": "C"}))
    assert changes(told["there"]) == {"category": ("B", "C"), "weight": (1, 2)}
    assert (branch.get("Shop Note", note), branch.documents("Offline Request"), at_central(central)) == before
    assert branch.documents("Sync Conflict")[0]["resolution_status"] == "pending"


def test_a_preview_names_what_this_site_would_refuse(branch, central, clashing, clerk):
    _, conflict = clashing

    def problems(resolution: str = "manual", **given: Any) -> dict[str, str]:
        told = ask(clerk, "preview", name=conflict, resolution=resolution, **given)
        return {each["field"]: each["message"] for each in told["problems"]}

    (message,) = problems("merge").values()
    assert "category" in message
    assert problems(values={"category": "nonsense"}) == {"category": "It is none of the options."}
    assert problems(values={"category": "C", "title": "x" * 200}) == {
        "title": "It is longer than 140 characters."
    }
    found = problems(values={"category": "C", "customer": HOSTILE})
    assert list(found) == ["customer"]
    assert list(problems(values={"category": "C", "owner": "me"})) == [None]
    told = ask(clerk, "preview", name=conflict, resolution="skip", server_version="another")
    assert (told["server_moved"], told["here"], told["there"]) == (True, [], [])


@pytest.fixture
def sale_in_conflict(branch, central, manual):
    """A sale of whose two rows both sites changed the first; (sale, conflict, names of its rows here)."""
    for code in ("TEA", "RICE"):
        branch.insert({"doctype": "Shop Item", "item_code": code, "item_name": code})
    customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})["name"]
    rows = [{"item": "TEA", "qty": 1, "rate": 2}, {"item": "RICE", "qty": 1, "rate": 2}]
    sale = branch.insert({"doctype": "Shop Sale", "customer": customer, "items": rows})
    branch.sync()
    (there,) = central.documents("Shop Sale")
    theirs = central.get("Shop Sale", there["name"])["items"]
    conflict = differ(
        branch,
        central,
        "Shop Sale",
        {"items": [{**sale["items"][0], "qty": 5}, {**sale["items"][1], "rate": 3}]},
        {"items": [{**theirs[0], "qty": 9}, theirs[1]]},
    )
    return sale["name"], conflict, [row["name"] for row in sale["items"]]


def test_single_fields_of_rows_are_written_by_hand(branch, central, sale_in_conflict, clerk):
    sale, conflict, (tea, rice) = sale_in_conflict
    (table,) = ask(clerk, "get_conflict", name=conflict)["tables"]
    assert [row["named"] for row in table["rows"]] == [True, True]
    values = {f"items[{tea}].qty": 7, f"items[{rice}].rate": 2.5}
    told = ask(clerk, "preview", name=conflict, resolution="manual", values=values)
    assert told["problems"] == []
    assert changes(told["here"]) == {f"items[{tea}].qty": (5, 7), f"items[{rice}].rate": (3, 2.5)}
    assert {each["label"] for each in told["here"]} == {"Items: Qty", "Items: Rate"}
    told = ask(clerk, "decide", name=conflict, resolution="manual", values=values)
    assert told["status"] == "decided", told
    branch.sync()
    (there,) = central.documents("Shop Sale")
    for document in (branch.get("Shop Sale", sale), central.get("Shop Sale", there["name"])):
        assert [(row["qty"], row["rate"]) for row in document["items"]] == [(7, 2), (1, 2.5)]


@pytest.mark.parametrize(
    ("column", "value"),
    [("qty", "many"), ("qty", {"a": 1}), ("qty", [1]), ("qty", True), ("item", {"a": 1}), ("item", [[1]])],
)
def test_what_can_be_no_value_of_a_field_is_refused_with_words(
    column, value, branch, sale_in_conflict, clerk
):
    _, conflict, (tea, _) = sale_in_conflict
    label = {"qty": "Qty", "item": "Item"}[column]
    for values in ({f"items[{tea}].{column}": value}, {"items": [{"name": tea, column: value}]}):
        told = ask(clerk, "preview", name=conflict, resolution="manual", values=values)
        assert [each["message"] for each in told["problems"]] == [f"Items: {label} cannot have this value."]
        told = ask(clerk, "decide", name=conflict, resolution="manual", values=values)
        assert (told["status"], told["message"]) == ("refused", f"Items: {label} cannot have this value.")
    assert branch.documents("Sync Conflict")[0]["resolution_status"] == "pending"


def test_a_row_that_is_not_there_and_a_field_that_is_not_synchronised_take_no_value(
    branch, sale_in_conflict, clerk
):
    _, conflict, (tea, _) = sale_in_conflict
    for key, why in (("items[nobody].qty", "no row nobody"), (f"items[{tea}].owner", "owner")):
        values = {f"items[{tea}].qty": 1, key: 2}
        told = ask(clerk, "decide", name=conflict, resolution="manual", values=values)
        assert (told["status"], why in told["message"]) == ("refused", True), told


def level_of(doctype: str, fieldname: str, number: int) -> None:
    """Runs on a site: the field's permission level."""
    import frappe

    frappe.db.delete("Property Setter", {"doc_type": doctype, "property": "permlevel"})
    if number:
        setter = {"doctype": doctype, "fieldname": fieldname, "property": "permlevel"}
        frappe.make_property_setter({**setter, "value": number, "property_type": "Int"})
    frappe.clear_cache(doctype=doctype)


def test_a_column_of_a_level_that_the_person_has_not_is_written_by_no_way(
    branch, central, sale_in_conflict, clerk
):
    """Neither as a cell nor inside a whole table, neither by the page's endpoint nor by the other one."""
    sale, conflict, (tea, rice) = sale_in_conflict
    # Nothing of that column differs: it is only written.
    branch.save(
        "Shop Sale", sale, items=[{**row, "rate": 2} for row in branch.get("Shop Sale", sale)["items"]]
    )
    branch.run(level_of, "Shop Sale Item", "rate", 1)
    try:
        for values in (
            {f"items[{tea}].qty": 7, f"items[{rice}].rate": 99},
            {"items": [{"name": tea, "qty": 7, "rate": 99}]},
        ):
            told = ask(clerk, "decide", name=conflict, resolution="manual", values=values)
            assert (told["status"], told["message"]) == (
                "refused",
                "You may not change these fields: Items: Rate.",
            )
            answer = clerk.post(
                "/api/method/erp_offline_sync.api.resolve_conflict",
                json={"conflict_id": conflict, "resolution": "manual", "values": values},
            )
            assert answer.status_code == 417
            assert "You may not change these fields" in answer.text
        (table,) = ask(clerk, "get_conflict", name=conflict)["tables"]
        assert "rate" not in {column["fieldname"] for column in table["columns"] if column["editable"]}
        told = ask(clerk, "decide", name=conflict, resolution="manual", values={f"items[{tea}].qty": 7})
        assert told["status"] == "decided", told
    finally:
        branch.run(level_of, "Shop Sale Item", "", 0)


def test_who_may_not_write_a_field_takes_no_decision_about_it_back(branch, central, manual, clerk):
    branch.insert({"doctype": "Shop Customer", "customer_name": "Asha", "credit_limit": 1})
    branch.sync()
    conflict = differ(branch, central, "Shop Customer", {"credit_limit": 71}, {"credit_limit": 72})
    ask(clerk, "decide", name=conflict, resolution="server_wins")
    branch.run(level_of, "Shop Customer", "credit_limit", 1)
    try:
        told = ask(clerk, "undo", name=conflict)
        other = clerk.post("/api/method/erp_offline_sync.api.undo_conflict", json={"conflict_id": conflict})
    finally:
        branch.run(level_of, "Shop Customer", "", 0)
    assert (told["status"], "Credit Limit" in told["message"]) == ("refused", True)
    assert other.status_code == 417
    assert branch.documents("Sync Conflict")[0]["resolution_status"] == "resolved"


def test_a_preview_names_what_is_mandatory_and_lacking(branch, central, manual, clerk):
    branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})
    branch.sync()
    conflict = differ(branch, central, "Shop Customer", {"credit_limit": 1}, {"credit_limit": 2})
    given = {"credit_limit": 3, "customer_name": ""}
    told = ask(clerk, "preview", name=conflict, resolution="manual", values=given)
    assert told["problems"] == [
        {"field": "customer_name", "label": "Customer Name", "message": "A value is missing."}
    ]


def test_a_decision_is_carried_out_and_the_second_person_is_told_who_was_faster(
    branch, central, clashing, clerk
):
    note, conflict = clashing
    manager = branch.user("manager@shop.example", "Shop User", "Offline Sync Manager")
    version = ask(clerk, "get_conflict", name=conflict)["server_version"]
    told = ask(
        clerk,
        "decide",
        name=conflict,
        resolution="merge",
        choices={"category": "server"},
        values={"title": HOSTILE},
        server_version=version,
    )
    assert (told["status"], told["conflict"]["resolution"], told["conflict"]["may_undo"]) == (
        "decided",
        "merge",
        True,
    )
    again = ask(manager, "decide", name=conflict, resolution="local_wins")
    assert again["status"] == "already_decided"
    assert again["message"] == "clerk@shop.example has decided this already: merged."
    assert again["conflict"]["resolved_by"] == "clerk@shop.example"
    told = ask(manager, "preview", name=conflict, resolution="local_wins")
    assert [each["message"] for each in told["problems"]] == [again["message"]]
    branch.sync()
    here, there = branch.get("Shop Note", note), at_central(central)
    for name in ("category", "weight", "body", "title"):
        assert here[name] == there[name], name
    assert (here["category"], here["weight"], here["body"]) == ("B", 2, "c")
    (row,) = ask(clerk, "list_conflicts", filters={"status": "resolved"})["rows"]
    assert (row["name"], row["resolution"], row["may_decide"]) == (conflict, "merge", False)
    # Both sides' values are kept, and what came of them.
    seen = ask(clerk, "get_conflict", name=conflict)
    assert {
        each["path"]: (each["base"] or None, each["local"], each["server"], each["result"])
        for each in seen["fields"]
        if each["state"] != "same"
    } == {
        "category": (None, "A", "B", "B"),
        "weight": (1, 2, 1, 2),
        "body": ("b", "b", "c", "c"),
    }
    assert (seen["clashes"], seen["resolutions"], seen["reason"]) == ([], [], "decided by a person")


def test_a_decision_about_what_the_person_did_not_see_is_not_made(branch, central, clashing, clerk):
    _, conflict = clashing
    told = ask(clerk, "decide", name=conflict, resolution="local_wins", server_version="2020-01-01 00:00:00")
    assert (told["status"], told["conflict"]["resolution_status"]) == ("server_moved", "pending")
    told = ask(clerk, "decide", name=conflict, resolution="merge")
    assert (told["status"], told["conflict"]["resolution_status"]) == ("refused", "pending")
    assert "category" in told["message"]
    assert ask(clerk, "decide", ok=False, name=conflict, resolution="nonsense").status_code == 417


def test_a_decision_is_taken_back_while_nothing_came_of_it(branch, central, clashing, clerk):
    note, conflict = clashing
    before = branch.get("Shop Note", note)
    ask(clerk, "decide", name=conflict, resolution="server_wins")
    assert branch.get("Shop Note", note)["category"] == "B"
    told = ask(clerk, "undo", name=conflict)
    assert (told["status"], told["conflict"]["resolution_status"]) == ("undone", "pending")
    after = branch.get("Shop Note", note)
    assert [after[name] for name in ("category", "weight", "body")] == [
        before[name] for name in ("category", "weight", "body")
    ]
    ask(clerk, "decide", name=conflict, resolution="local_wins")
    branch.sync()
    told = ask(clerk, "undo", name=conflict)
    assert (told["status"], told["conflict"]["resolution_status"]) == ("refused", "resolved")


def test_many_are_decided_alike_and_each_says_what_became_of_it(branch, central, manual, clerk):
    for number in range(3):
        branch.insert({"doctype": "Shop Note", "title": f"note {number}"})
    branch.sync()
    for row in central.documents("Shop Note"):
        central.save("Shop Note", row["name"], category="B" if row["title"] == "note 0" else "", body="there")
    for row in branch.documents("Shop Note"):
        branch.save("Shop Note", row["name"], category="A", weight=5)
    branch.sync()
    rows = ask(clerk, "list_conflicts")["rows"]
    names = {row["title"]: row["name"] for row in rows}
    wanted = [names[f"note {number}"] for number in range(3)] if len(names) == 3 else list(names.values())
    told = ask(clerk, "preview_many", names=[*wanted, "none"], resolution="merge")["results"]
    by_name = {each["name"]: each for each in told}
    clash = names["note 0"]
    assert (by_name[clash]["ok"], by_name["none"]["ok"]) == (False, False)
    others = [each for name, each in by_name.items() if name not in (clash, "none")]
    assert {(each["ok"], each["here"], each["there"]) for each in others} == {(True, 1, 2)}
    assert {each["message"] for each in others} == {"Changes here: 1; at the central: 2."}
    told = ask(clerk, "decide_many", names=[*wanted, "none"], resolution="merge")["results"]
    assert {each["name"]: each["ok"] for each in told} == {name: each["ok"] for name, each in by_name.items()}
    branch.sync()
    assert {row["name"] for row in ask(clerk, "list_conflicts")["rows"]} == {clash}
    assert ask(clerk, "decide_many", ok=False, names=["x"] * 201, resolution="skip").status_code == 200
    too_many = [str(number) for number in range(201)]
    assert ask(clerk, "decide_many", ok=False, names=too_many, resolution="skip").status_code == 417
    assert ask(clerk, "preview_many", ok=False, names=[1], resolution="skip").status_code == 417


# Before it comes to one


def test_a_waiting_change_of_a_document_that_moved_there_is_expected_to_clash(branch, central, manual, clerk):
    moved, still = (
        branch.insert({"doctype": "Shop Note", "title": title})["name"] for title in (HOSTILE, "still")
    )
    branch.sync()
    for row in central.documents("Shop Note"):
        if row["title"] != "still":
            central.save("Shop Note", row["name"], category="B")
    for name in (moved, still):
        branch.save("Shop Note", name, weight=3)
    branch.insert({"doctype": "Shop Note", "title": "new"})
    told = ask(clerk, "expected")
    assert (told["reachable"], told["message"]) == (True, None)
    (row,) = told["rows"]
    assert (row["resource_type"], row["resource_id"]) == ("Shop Note", moved)
    assert row["title"] == branch.get("Shop Note", moved)["title"]
    assert row["sentence"].startswith("Administrator changed it at the central")
    outsider = branch.user("outsider@shop.example", "Offline Sync User")
    assert ask(outsider, "expected")["rows"] == []
    assert ask(clerk, "expected", start=1, limit=1)["rows"] == []
    sent = central.count("Shop Note")
    with central.unreachable():
        told = ask(clerk, "expected")
    assert (told["reachable"], told["rows"]) == (False, [])
    assert central.count("Shop Note") == sent
    manager = branch.user("manager@shop.example", "Shop User", "Offline Sync Manager")
    manager.post("/api/method/erp_offline_sync.api.pause", json={"reason": "stock taking"})
    told = ask(clerk, "expected")
    manager.post("/api/method/erp_offline_sync.api.resume")
    assert (told["reachable"], told["rows"]) == (False, [])
    assert "stock taking" in told["message"]


# Who may


def test_a_conflict_is_only_there_for_those_who_may_read_its_document(branch, central, manual, clerk):
    mine, theirs = (
        branch.insert({"doctype": "Shop Customer", "customer_name": name})["name"]
        for name in ("Mine", "Theirs")
    )
    branch.sync()
    for there in central.documents("Shop Customer"):
        central.save("Shop Customer", there["name"], credit_limit=2)
    for name in (mine, theirs):
        branch.save("Shop Customer", name, credit_limit=1)
    branch.sync()
    ids = {
        row["resource_id"]: row["name"]
        for row in branch.documents("Sync Conflict", fields=["name", "resource_id"])
    }
    keeper = branch.user("keeper@shop.example", "Shop User", "Offline Sync Manager")
    friend = branch.user("friend@shop.example", "Offline Sync User")
    outsider = branch.user("outsider@shop.example", "Offline Sync User")

    def allow(customer):
        import frappe

        frappe.db.delete("User Permission", {"user": "keeper@shop.example"})
        frappe.db.delete("DocShare", {"user": "friend@shop.example"})
        permission = {"doctype": "User Permission", "user": "keeper@shop.example", "allow": "Shop Customer"}
        frappe.get_doc({**permission, "for_value": customer}).insert()
        frappe.share.add("Shop Customer", customer, "friend@shop.example", read=1)

    branch.run(allow, mine)
    for call, sees, decides in (
        (clerk, {mine, theirs}, {mine, theirs}),
        (keeper, {mine}, {mine}),
        (friend, {mine}, set()),
        (outsider, set(), set()),
    ):
        told = ask(call, "list_conflicts")
        assert {row["resource_id"] for row in told["rows"]} == sees
        assert {row["resource_id"] for row in told["rows"] if row["may_decide"]} == decides
        assert told["total"] == sum(told["counts"].values()) == len(sees)
        assert ask(call, "list_conflicts", filters={"search": "theirs"})["total"] == (theirs in sees)
        for customer, conflict in ids.items():
            answer = ask(call, "get_conflict", ok=False, name=conflict)
            assert answer.status_code == (200 if customer in sees else 403)
            for endpoint in ("decide", "preview", "undo"):
                if customer not in decides:
                    refused = ask(call, endpoint, ok=False, name=conflict, resolution="local_wins")
                    assert refused.status_code == 403, endpoint
                    assert customer not in refused.text
                    assert "Theirs" not in refused.text
            for endpoint in ("decide_many", "preview_many"):
                if customer not in decides:
                    (told,) = ask(call, endpoint, names=[conflict], resolution="local_wins")["results"]
                    assert (told["name"], told["ok"]) == (conflict, False)
                    assert customer not in str(told)
            if customer in sees:
                told = answer.json()["message"]
                assert told["may_decide"] == (customer in decides)
                assert bool(told["why_not"]) != (customer in decides)
            else:
                assert customer not in answer.text
                assert "Theirs" not in answer.text


def test_fields_of_a_level_that_the_reader_has_not_are_not_answered(branch, central, manual, clerk):
    branch.insert({"doctype": "Shop Customer", "customer_name": "Asha", "credit_limit": 1})
    branch.sync()
    conflict = differ(branch, central, "Shop Customer", {"credit_limit": 71}, {"credit_limit": 72})
    branch.run(level_of, "Shop Customer", "credit_limit", 1)
    try:
        answer = ask(clerk, "get_conflict", ok=False, name=conflict)
        told = answer.json()["message"]
        refused = ask(clerk, "decide", ok=False, name=conflict, resolution="server_wins")
        shown = ask(clerk, "preview", ok=False, name=conflict, resolution="server_wins")
    finally:
        branch.run(level_of, "Shop Customer", "", 0)
    assert not {"71", "72", "71.0", "72.0"} & set(answer.text.replace(",", " ").replace("}", " ").split())
    assert "credit_limit" not in {each["path"] for each in told["fields"]}
    assert (told["clashes"], told["clashes_unseen"]) == ([], 1)
    assert (told["may_decide"], told["why_not"]) == (False, "You may not change these fields: Credit Limit.")
    assert refused.json()["message"]["status"] == "refused"
    assert refused.json()["message"]["message"] == told["why_not"]
    assert [each["message"] for each in shown.json()["message"]["problems"]] == [told["why_not"]]
    assert shown.json()["message"]["here"] == []
    assert branch.documents("Sync Conflict")[0]["resolution_status"] == "pending"


# Who is told


@pytest.fixture
def no_reminders(branch):
    """Nobody has been told of anything before."""

    def forget():
        import frappe

        frappe.db.delete("Notification Log")

    branch.run(forget)
    yield
    branch.run(forget)


def reminders(branch: Any) -> dict[str, dict[str, Any]]:
    """{user: notification}."""
    fields = ["for_user", "document_type", "document_name", "subject", "link", "read", "email_content"]
    return {
        row["for_user"]: row for row in branch.documents("Notification Log", {"type": "Alert"}, fields=fields)
    }


def owned_by(doctype: str, name: str, user: str) -> None:
    """Runs on the branch."""
    import frappe

    frappe.db.set_value(doctype, name, "owner", user, update_modified=False)


def test_the_owner_and_the_managers_are_reminded_where_they_may_read_it_and_only_until_it_is_decided(
    branch, central, manual, clerk, no_reminders
):
    branch.user("cashier@shop.example", "Shop User")
    branch.user("manager@shop.example", "Shop User", "Offline Sync Manager")
    branch.user("boss@shop.example", "Offline Sync Manager")
    note = branch.insert({"doctype": "Shop Note", "title": HOSTILE})["name"]
    branch.run(owned_by, "Shop Note", note, "cashier@shop.example")
    branch.sync()
    conflict = differ(branch, central, "Shop Note", {"category": "A"}, {"category": "B"})
    told = reminders(branch)
    assert {"cashier@shop.example", "manager@shop.example"} <= set(told)
    assert not {"boss@shop.example", "clerk@shop.example", "Administrator"} & set(told)
    for row in told.values():
        assert (row["document_type"], row["document_name"], row["read"]) == ("Sync Conflict", conflict, 0)
        assert row["subject"].startswith("Shop Note: the two sites do not agree.")
        assert not row["email_content"]
        assert HOSTILE not in str(row)
    assert note in told["cashier@shop.example"]["link"]
    assert not told["manager@shop.example"]["link"]
    branch.save("Shop Note", note, weight=3)
    branch.sync()
    assert len(reminders(branch)) == len(told)
    clerk.post(
        "/api/method/erp_offline_sync.api.resolve_conflict",
        json={"conflict_id": conflict, "resolution": "server_wins"},
    )
    assert {row["read"] for row in reminders(branch).values()} == {1}


def test_what_a_rule_decides_reminds_nobody(branch, central, settings, no_reminders):
    settings(default_strategy="Server Wins")
    branch.user("manager@shop.example", "Shop User", "Offline Sync Manager")
    branch.insert({"doctype": "Shop Note", "title": "Tea"})
    branch.sync()
    central.save("Shop Note", central.documents("Shop Note")[0]["name"], category="B")
    branch.save("Shop Note", branch.documents("Shop Note")[0]["name"], category="A")
    branch.sync()
    assert branch.count("Sync Conflict", {"resolution_status": "resolved"}) == 1
    assert reminders(branch) == {}


def published(number: int) -> list[Any]:
    """Runs on the branch: what is published while so many conflicts are found and decided."""
    from dataclasses import replace

    import frappe

    from erp_offline_sync import bootstrap
    from erp_offline_sync.engine.model import Conflict, ConflictType

    told = []
    frappe.publish_realtime = lambda *args, **more: told.append([*args, more])
    store = bootstrap.site(connected=False).ports.store
    conflicts = []
    for place in range(number):
        now = frappe.utils.now_datetime().astimezone()
        conflicts.append(
            Conflict(
                id=f"told-{place}",
                line=f"told-{place}",
                resource_type="Shop Note",
                resource_id="none",
                local_request_id="none",
                conflict_type=ConflictType.UPDATE_UPDATE,
                local_data={"title": "secret"},
                base_data=None,
                server_data=None,
                server_version=None,
                local_changed_at=now,
                created_at=now,
            )
        )
    with store.transaction():
        for conflict in conflicts:
            store.put_conflict(conflict)
    found = len(told)
    with store.transaction():
        for conflict in conflicts:
            store.put_conflict(replace(conflict, reason="a person decides"))
    try:
        with store.transaction():
            store.put_conflict(replace(conflicts[0], reason="another reason"))
            raise RuntimeError
    except RuntimeError:
        pass
    with store.transaction():
        store.put_conflict(replace(conflicts[0], resolution_status="resolved", reason="skipped"))
    return [found, [each for each in told if each[0] == "sync-conflicts-changed"]]


def test_pages_hear_of_conflicts_by_their_ids_and_how_many_there_are(branch, manual, no_reminders):
    """In the room of those who may read conflicts; what is rolled back, or waits for a rule, is not told."""
    before, told = branch.run(published, 2)
    assert before == 0
    room = {"room": "branch.localhost:doctype:Sync Conflict"}
    assert [[event, message] for event, message, _ in told] == [
        ["sync-conflicts-changed", {"changed": ["told-0", "told-1"], "conflictCount": 2}],
        ["sync-conflicts-changed", {"changed": ["told-0"], "conflictCount": 1}],
    ]
    assert all(list(more) == list(room) and "Sync Conflict" in more["room"] for *_, more in told)
