"""Each type of conflict, made for real between two sites, and what each resolution makes of it on both."""

import pytest
from site_rig.world import statuses

API = "/api/method/erp_offline_sync.api."
CLOSE_DAY = "/api/method/eos_test_app.conflict_hooks.close_day"


@pytest.fixture
def manual(settings):
    settings(default_strategy="Manual", allowed_paths=CLOSE_DAY)


@pytest.fixture
def manager(branch, manual):
    roles = ("Shop User", "Offline Sync Manager", "System Manager")
    return branch.user("manager@shop.example", *roles)


# one situation a type: what both sites did to one document


def update_update(branch, central, manager):
    name = branch.insert({"doctype": "Shop Note", "title": "both", "category": "A"})["name"]
    branch.sync()
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], category="B", weight=3)
    branch.save("Shop Note", name, category="C", body="said here")
    return "Shop Note", name


def update_delete(branch, central, manager):
    name = branch.insert({"doctype": "Shop Note", "title": "both", "category": "A"})["name"]
    branch.sync()
    (there,) = central.documents("Shop Note")
    central.delete("Shop Note", there["name"])
    branch.save("Shop Note", name, category="C", body="said here")
    return "Shop Note", name


def delete_update(branch, central, manager):
    name = branch.insert({"doctype": "Shop Note", "title": "both", "category": "A"})["name"]
    branch.sync()
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], category="B", weight=3)
    branch.delete("Shop Note", name)
    return "Shop Note", name


def create_create(branch, central, manager):
    central.insert({"doctype": "Shop Item", "item_code": "TEA", "item_name": "green", "standard_rate": 2})
    branch.insert({"doctype": "Shop Item", "item_code": "TEA", "item_name": "black"})
    return "Shop Item", "TEA"


def state(branch, central, manager):
    branch.insert({"doctype": "Shop Item", "item_code": "TEA"})
    customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})["name"]
    rows = [{"item": "TEA", "qty": 1, "rate": 2}]
    name = branch.insert({"doctype": "Shop Sale", "customer": customer, "items": rows})["name"]
    branch.sync()
    (there,) = central.documents("Shop Sale")
    central.save("Shop Sale", there["name"], delivery_note="theirs")
    branch.submit("Shop Sale", name)
    return "Shop Sale", name


def call(branch, central, manager):
    given = {"method": "POST", "path": CLOSE_DAY, "body": {"shop": "Rome"}, "repeatable": 1}
    assert manager.post(f"{API}enqueue_request", json=given).ok
    return None, None


SITUATIONS = {
    "update_update": update_update,
    "update_delete": update_delete,
    "delete_update": delete_update,
    "create_create": create_create,
    "state": state,
    "call": call,
}
GONE = "gone"
OURS = {"category": "C", "body": "said here"}
THEIRS = {"category": "B", "weight": 3, "body": None}

CELLS = [
    # type, resolution, more, what stands here, what stands there
    ("update_update", "local_wins", {}, {**OURS, "weight": 3}, {**OURS, "weight": 3}),
    ("update_update", "server_wins", {}, THEIRS, THEIRS),
    ("update_update", "skip", {}, OURS, THEIRS),
    (
        "update_update",
        "merge",
        {"choices": {"category": "server"}},
        {"category": "B", "weight": 3, "body": "said here"},
        {"category": "B", "weight": 3, "body": "said here"},
    ),
    (
        "update_update",
        "manual",
        {"values": {"category": "", "title": "settled"}},
        {"category": None, "title": "settled", "weight": 3, "body": "said here"},
        {"category": None, "title": "settled", "weight": 3, "body": "said here"},
    ),
    ("update_delete", "local_wins", {}, OURS, OURS),
    ("update_delete", "server_wins", {}, GONE, GONE),
    ("update_delete", "skip", {}, OURS, GONE),
    ("delete_update", "local_wins", {}, GONE, GONE),
    ("delete_update", "server_wins", {}, THEIRS, THEIRS),
    ("delete_update", "skip", {}, GONE, THEIRS),
    ("create_create", "local_wins", {}, {"item_name": "black"}, {"item_name": "black"}),
    (
        "create_create",
        "server_wins",
        {},
        {"item_name": "green", "standard_rate": 2},
        {"item_name": "green", "standard_rate": 2},
    ),
    ("create_create", "skip", {}, {"item_name": "black"}, {"item_name": "green"}),
    (
        "create_create",
        "merge",
        {"choices": {"item_name": "local"}},
        {"item_name": "black", "standard_rate": 2},
        {"item_name": "black", "standard_rate": 2},
    ),
    (
        "create_create",
        "manual",
        {"values": {"item_name": "white"}},
        {"item_name": "white", "standard_rate": 2},
        {"item_name": "white", "standard_rate": 2},
    ),
    (
        "state",
        "local_wins",
        {},
        {"docstatus": 1, "delivery_note": "theirs"},
        {"docstatus": 1, "delivery_note": "theirs"},
    ),
    (
        "state",
        "skip",
        {},
        {"docstatus": 1, "delivery_note": None},
        {"docstatus": 0, "delivery_note": "theirs"},
    ),
    ("call", "local_wins", {}, None, None),
    ("call", "server_wins", {}, None, None),
    ("call", "skip", {}, None, None),
]


def stands(site, doctype, expected):
    documents = site.documents(doctype, fields=[*expected] if expected != GONE else ["name"])
    if expected == GONE:
        assert documents == []
        return
    (document,) = documents
    empty = (None, "", 0)
    assert {
        field: None if value in empty else value for field, value in document.items() if field in expected
    } == {field: None if value in empty else value for field, value in expected.items()}


@pytest.mark.parametrize(("kind", "resolution", "more", "here", "there"), CELLS)
def test_each_resolution_does_to_each_type_what_the_table_says(
    kind, resolution, more, here, there, branch, central, manager
):
    doctype, _name = SITUATIONS[kind](branch, central, manager)
    assert branch.sync() == "done"
    (conflict,) = branch.documents("Sync Conflict")
    assert (conflict["conflict_type"], conflict["resolution_status"]) == (kind, "pending")
    given = {"conflict_id": conflict["name"], "resolution": resolution, **more}
    answer = manager.post(f"{API}resolve_conflict", json=given)
    assert answer.ok, answer.text
    for _ in range(2):
        assert branch.sync(later=1) == "done"
    decided = branch.get("Sync Conflict", conflict["name"])
    if kind != "call" or resolution != "local_wins":
        # The central still does not close the day; there it would be a conflict once more.
        assert (decided["resolution"], decided["resolved_by"]) == (resolution, "manager@shop.example")
        assert {status for _, status in statuses(branch)} <= {"Synced", "Decided", "Merged"}, statuses(branch)
    if doctype:
        stands(branch, doctype, here)
        stands(central, doctype, there)
    assert branch.count("Error Log") == 0


@pytest.mark.parametrize(
    ("kind", "resolution", "why"),
    [
        ("update_delete", "merge", "not possible"),
        ("delete_update", "manual", "not possible"),
        ("update_update", "merge", "no side was chosen: category"),
        ("update_update", "manual", "needs the values"),
        ("state", "server_wins", "after submission"),
    ],
)
def test_what_cannot_be_is_refused_and_the_conflict_stays(kind, resolution, why, branch, central, manager):
    SITUATIONS[kind](branch, central, manager)
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict")
    given = {"conflict_id": conflict["name"], "resolution": resolution}
    answer = manager.post(f"{API}resolve_conflict", json=given)
    assert answer.status_code == 417
    assert why in answer.text
    (after,) = branch.documents("Sync Conflict")
    assert after == conflict


def test_child_rows_are_merged_and_stay_the_same_rows_on_both_sites(branch, central, settings):
    settings(default_strategy="Field Merge")
    for code in ("TEA", "NUT", "OIL"):
        for site in (central, branch):
            site.insert({"doctype": "Shop Item", "item_code": code})
    branch.sync()
    customer = branch.insert({"doctype": "Shop Customer", "customer_name": "Asha"})["name"]
    rows = [{"item": "TEA", "qty": 1, "rate": 2}, {"item": "NUT", "qty": 1, "rate": 2}]
    sale = branch.insert({"doctype": "Shop Sale", "customer": customer, "items": rows})
    branch.sync()
    (there,) = central.documents("Shop Sale")
    theirs = central.get("Shop Sale", there["name"])["items"]
    changed = [{**theirs[0]}, {**theirs[1], "qty": 5}, {"item": "OIL", "qty": 7, "rate": 1}]
    central.save("Shop Sale", there["name"], items=changed)
    ours = branch.get("Shop Sale", sale["name"])["items"]
    branch.save("Shop Sale", sale["name"], items=[{**ours[0], "qty": 3}, {**ours[1]}])
    assert branch.sync() == "done"
    (conflict,) = branch.documents("Sync Conflict")
    assert (conflict["resolution"], conflict["resolved_by"]) == ("merge", "rule:Field Merge")

    def told(site, name):
        return [(row["item"], row["qty"]) for row in site.get("Shop Sale", name)["items"]]

    expected = [("TEA", 3), ("NUT", 5), ("OIL", 7)]
    assert told(branch, sale["name"]) == told(central, there["name"]) == expected
    ours = branch.get("Shop Sale", sale["name"])["items"]
    branch.save("Shop Sale", sale["name"], items=[*ours[:2], {**ours[2], "qty": 8}])
    assert branch.sync() == "done"
    assert told(branch, sale["name"]) == told(central, there["name"]) == [*expected[:2], ("OIL", 8)]


@pytest.mark.parametrize(
    ("site_wide", "of_the_type", "decided"),
    [
        ("Last Write Wins", None, True),
        ("Manual", None, False),
        ("Last Write Wins", "Manual", False),
        ("Manual", "Last Write Wins", True),
    ],
)
def test_what_clashes_in_a_merge_goes_as_the_settings_say(
    site_wide, of_the_type, decided, branch, central, settings, manager
):
    policy = {"document_type": "Shop Note", **({"merge_clashes": of_the_type} if of_the_type else {})}
    settings(policies=[policy], default_strategy="Field Merge", merge_clashes=site_wide)
    _, name = update_update(branch, central, manager)
    # Far enough apart, so that it is certain who was later.
    branch.run(later_by_an_hour, name)
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict")
    if decided:
        assert (conflict["resolution"], conflict["resolved_by"]) == ("merge", "rule:Field Merge")
        assert "both sides changed category" in conflict["reason"]
        for site in (branch, central):
            stands(site, "Shop Note", {"category": "C", "weight": 3, "body": "said here"})
        return
    assert (conflict["resolution_status"], conflict["resolution"]) == ("pending", None)
    assert conflict["reason"] == "both sides changed category; a person decides"
    given = {"conflict_id": conflict["name"], "resolution": "merge", "choices": {"category": "server"}}
    answer = manager.post(f"{API}resolve_conflict", json=given)
    assert answer.ok, answer.text
    branch.sync(later=1)
    for site in (branch, central):
        stands(site, "Shop Note", {"category": "B", "weight": 3, "body": "said here"})


def later_by_an_hour(name):
    """Runs on the branch: the change that waits was made an hour later."""
    from dataclasses import replace
    from datetime import timedelta

    from erp_offline_sync import tasks

    store = tasks.own_store()
    with store.transaction():
        for request in store.list_requests(doctype="Shop Note"):
            if request.operation.value == "update":
                made = request.created_at + timedelta(hours=1)
                store.replace(replace(request, created_at=made, changed_at=made))


def test_where_the_central_moves_meanwhile_the_conflict_comes_back_with_the_choices(branch, central, manager):
    update_update(branch, central, manager)
    branch.sync()
    (first,) = branch.documents("Sync Conflict")
    given = {"conflict_id": first["name"], "resolution": "merge", "choices": {"category": "local"}}
    assert manager.post(f"{API}resolve_conflict", json=given).ok
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], category="A", weight=9)
    branch.sync(later=1)
    (again,) = branch.documents("Sync Conflict", {"resolution_status": "pending"})
    assert again["name"] != first["name"]
    assert "changed again after manager@shop.example decided" in again["reason"]
    (told,) = manager.get(f"{API}get_pending_conflicts").json()["message"]
    assert told["choices"] == {"category": "local"}
    assert manager.post(
        f"{API}resolve_conflict",
        json={"conflict_id": again["name"], "resolution": "merge", "choices": {"category": "local"}},
    ).ok
    branch.sync(later=1)
    for site in (branch, central):
        stands(site, "Shop Note", {"category": "C", "weight": 9, "body": "said here"})


@pytest.mark.parametrize("resolution", ["local_wins", "server_wins"])
def test_a_decision_is_taken_back_while_nothing_was_sent(resolution, branch, central, manager):
    _, name = update_update(branch, central, manager)
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict")
    before = branch.get("Shop Note", name)
    given = {"conflict_id": conflict["name"], "resolution": resolution}
    assert manager.post(f"{API}resolve_conflict", json=given).ok
    answer = manager.post(f"{API}undo_conflict", json={"conflict_id": conflict["name"]})
    assert answer.ok, answer.text
    assert statuses(branch) == [("create", "Synced"), ("update", "Conflict")]
    after = branch.get("Shop Note", name)
    assert {field: after[field] for field in ("category", "weight", "body")} == {
        field: before[field] for field in ("category", "weight", "body")
    }
    assert manager.post(f"{API}resolve_conflict", json={**given, "resolution": "local_wins"}).ok
    branch.sync(later=1)
    for site in (branch, central):
        stands(site, "Shop Note", {**OURS, "weight": 3})
    refused = manager.post(f"{API}undo_conflict", json={"conflict_id": conflict["name"]})
    assert refused.status_code == 417
    assert "has been sent" in refused.text


@pytest.mark.parametrize(
    ("title", "resolution", "by"),
    [("hook: of the type", "local_wins", "hook:by_title"), ("hook: of all", "skip", "hook:for_all")],
)
def test_hooks_that_an_app_names_decide(title, resolution, by, branch, central, connected):
    branch.insert({"doctype": "Shop Note", "title": title, "category": "A"})
    branch.sync()
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], category="B")
    (here,) = branch.documents("Shop Note")
    branch.save("Shop Note", here["name"], category="C")
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict")
    assert (conflict["resolution"], conflict["resolved_by"]) == (resolution, by)


def test_a_hook_that_runs_too_long_leaves_the_conflict_to_a_person_and_the_run_goes_on(
    branch, central, connected
):
    branch.insert({"doctype": "Shop Note", "title": "hook: for ever", "category": "A"})
    branch.sync()
    (there,) = central.documents("Shop Note")
    central.save("Shop Note", there["name"], category="B")
    (here,) = branch.documents("Shop Note")
    branch.save("Shop Note", here["name"], category="C")
    branch.insert({"doctype": "Shop Note", "title": "another"})
    assert branch.sync() == "done"
    (conflict,) = branch.documents("Sync Conflict")
    assert conflict["resolution_status"] == "pending"
    assert "ran longer than 10 seconds" in conflict["reason"]
    assert central.count("Shop Note", {"title": "another"}) == 1
