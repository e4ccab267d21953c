"""Conflict hooks that the site keeps by their path: registered over REST, they decide in the run's own process."""

import pytest
from site_rig.client import wait_until
from site_rig.world import requests_of, statuses
from test_conflict_endpoints import ask

HOOKS = "eos_test_app.conflict_hooks"


@pytest.fixture
def manager(branch, connected):
    return branch.user("manager@shop.example", "Shop User", "Offline Sync Manager")


@pytest.fixture
def keep(manager):
    """`keep("raises")` registers that hook for notes."""

    def register(name, doctype="Shop Note"):
        given = {"doctype": doctype, "path": f"{HOOKS}.{name}"}
        return manager.post("/api/method/erp_offline_sync.api.register_conflict_hook", json=given)

    return register


def both_change(branch, central, title="both"):
    """A note that both sites change; by the clock the branch's change is the later one."""
    note = branch.insert({"doctype": "Shop Note", "title": title})["name"]
    branch.sync()
    there = central.documents("Shop Note", {"title": title})[0]["name"]
    central.save("Shop Note", there, category="B")
    branch.save("Shop Note", note, body="said here")
    return note, there


def the_conflict(branch):
    (conflict,) = branch.documents("Sync Conflict")
    return conflict


def test_a_kept_hook_decides_in_the_run(branch, central, keep):
    assert keep("local_wins").json()["message"] == {"Shop Note": [f"{HOOKS}.local_wins"]}
    note, there = both_change(branch, central)
    assert branch.sync() == "done"
    conflict = the_conflict(branch)
    assert (conflict["resolution"], conflict["resolved_by"]) == ("local_wins", "hook:local_wins")
    assert central.get("Shop Note", there)["body"] == "said here"
    assert branch.get("Shop Note", note)["category"] == "B"


def test_a_hook_is_found_under_the_doctypes_name_without_spaces_and_can_be_taken_back(
    branch, central, keep, manager
):
    assert keep("local_wins", doctype="ShopNote").ok
    path = "/api/method/erp_offline_sync.api.unregister_conflict_hook"
    assert manager.post(path, json={"doctype": "Shop Note"}).json()["message"] is True
    assert manager.post(path, json={"doctype": "Shop Note"}).json()["message"] is False
    both_change(branch, central)
    branch.sync()
    assert the_conflict(branch)["resolved_by"].startswith("rule:")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("raises", "The hook failed: RuntimeError"),
        ("answers_nonsense", "A conflict hook must answer"),
    ],
)
def test_a_hook_that_fails_leaves_the_conflict_to_a_person_and_says_so(name, why, branch, central, keep):
    keep(name)
    both_change(branch, central)
    branch.insert({"doctype": "Shop Note", "title": "another"})
    assert branch.sync() == "done"
    conflict = the_conflict(branch)
    assert (conflict["resolution_status"], conflict["resolution"]) == ("pending", None)
    assert why in conflict["reason"]
    assert "said here" not in conflict["reason"], (
        "a reason is told to more people than the document's readers"
    )
    assert statuses(branch) == [("create", "Synced"), ("update", "Conflict"), ("create", "Synced")]


def test_what_a_hook_does_to_the_session_and_the_database_ends_with_it(branch, central, keep):
    """It becomes Guest and writes a document: the run goes on as Administrator, the write is undone."""
    keep("becomes_guest")
    note, _ = both_change(branch, central)
    later = branch.insert({"doctype": "Shop Note", "title": "later"})["name"]
    assert branch.sync() == "done"
    conflict = the_conflict(branch)
    assert (conflict["resolution"], conflict["resolved_by"]) == ("server_wins", "hook:becomes_guest")
    here = branch.get("Shop Note", note)
    assert (here["category"], here["body"] or "", here["modified_by"]) == ("B", "", "Administrator")
    assert branch.count("ToDo", {"description": "left by a hook"}) == 0
    assert requests_of(branch, resource_id=later)[0]["status"] == "Synced"


def test_a_hook_that_kills_its_run_is_not_asked_again(branch, central, keep):
    keep("dies")
    both_change(branch, central)
    assert branch.start_job(trigger="person").join() == -9
    branch.insert({"doctype": "Shop Note", "title": "another"})
    assert branch.sync(later=300) == "done"
    conflict = the_conflict(branch)
    assert (conflict["resolution_status"], conflict["resolution"]) == ("pending", None)
    assert statuses(branch) == [("create", "Synced"), ("update", "Conflict"), ("create", "Synced")]


def test_while_a_hook_hangs_a_person_can_decide_and_the_next_run_sends_it(branch, central, keep, manager):
    keep("hangs")
    note, there = both_change(branch, central)
    run = branch.start_job(trigger="person")
    try:
        wait_until(lambda: branch.documents("Sync Conflict"))
        conflict = the_conflict(branch)["name"]
        seen = ask(manager, "get_conflict", name=conflict)
        assert (seen["resolution_status"], seen["reason"], seen["may_decide"]) == ("pending", None, True)
        assert ask(manager, "decide", name=conflict, resolution="local_wins")["status"] == "decided"
    finally:
        run.kill()
        run.join()
    assert branch.sync(later=300) == "done"
    assert the_conflict(branch)["resolved_by"] == "manager@shop.example"
    for document in (branch.get("Shop Note", note), central.get("Shop Note", there)):
        assert (document["category"], document["body"]) == ("B", "said here")


def test_a_hook_that_came_to_no_end_is_named_as_the_reason(branch, central, keep, manager):
    keep("hangs")
    both_change(branch, central)
    run = branch.start_job(trigger="person")
    wait_until(lambda: branch.documents("Sync Conflict"))
    wait_until(lambda: branch.exists("Sync Metadata", "hook_running"))
    run.kill()
    run.join()
    assert branch.sync(later=300) == "done"
    seen = ask(manager, "get_conflict", name=the_conflict(branch)["name"])
    assert seen["resolution_status"] == "pending"
    assert "it did not come to an end the last time" in seen["reason"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"doctype": "Shop Note", "path": f"{HOOKS}.none"}, "There is no function"),
        ({"doctype": "Shop Note", "path": f"{HOOKS}.NOT_A_FUNCTION"}, "There is no function"),
        ({"doctype": "Shop Note", "path": "eos_test_app.nowhere.hook"}, "There is no function"),
        ({"doctype": "Shop Note", "path": "os.system"}, "function of an installed app"),
        ({"doctype": "Shop Note", "path": ""}, "function of an installed app"),
        ({"doctype": "No Such Thing", "path": f"{HOOKS}.local_wins"}, "There is no document type"),
    ],
)
def test_what_is_no_hook_is_refused_when_it_is_registered(given, why, branch, manager):
    answer = manager.post("/api/method/erp_offline_sync.api.register_conflict_hook", json=given)
    assert 400 <= answer.status_code < 500
    assert why in answer.text
    assert not branch.exists("Sync Metadata", "conflict_hooks")
