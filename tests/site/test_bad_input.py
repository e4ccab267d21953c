"""Wrong input gets an answer that says what to write instead, and loses nothing of what was there."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from site_rig.client import SiteError
from site_rig.world import requests_of, statuses

API = "/api/method/erp_offline_sync.api."
NOTES = "/api/resource/Shop Note"
MB = 1024 * 1024


@pytest.fixture(scope="module")
def people(branch):
    return {
        "clerk": branch.user("clerk@shop.example", "Shop User", "Offline Sync User"),
        "manager": branch.user("manager@shop.example", "Shop User", "Offline Sync Manager"),
    }


@pytest.fixture
def clerk(people, connected):
    return people["clerk"]


@pytest.fixture
def manager(people, connected):
    return people["manager"]


def _said(answer: Any) -> str:
    """What the Desk would show."""
    told = answer.json()
    return f"{told.get('_server_messages', '')} {told.get('exception', '')} {told.get('exc', '')}"


def _queue(method: str = "POST", path: str = NOTES, body: Any = None, **more: Any) -> dict[str, Any]:
    return {"method": method, "path": path, "body": {} if body is None else body, **more}


WRONG_CALLS = {
    "a body that is no JSON": (_queue(body="{title: milk"), 417, "The body is not JSON"),
    "a body that is a list": (_queue(body="[1]"), 417, "must be a JSON object"),
    "a text for a body": (_queue(body='"milk"'), 417, "JSON"),
    "a body that does not fit": (
        _queue(path="/api/resource/Shop Sale", body={"items": "tea"}),
        417,
        "does not fit",
    ),
    "rows that are none": (
        _queue(path="/api/resource/Shop Sale", body={"items": ["tea"]}),
        417,
        "does not fit",
    ),
    "a path outside /api/": (_queue(path="/app/shop-note"), 417, "must begin with /api/"),
    "a file": (_queue(path="/private/files/secret.txt"), 417, "must begin with /api/"),
    "no path": (_queue(path=""), 417, "must begin with /api/"),
    "out of /api/ again": (_queue(path="/api/resource/../../files"), 417, "must not contain . or .."),
    "the same, encoded": (_queue(path="/api/resource/%2e%2e/x"), 417, "must not contain . or .."),
    "two lines": (_queue(path="/api/resource/Shop Note\r\nHost: evil"), 417, "line breaks"),
    "another host": (_queue(path="https://evil.example/api/resource/Shop Note"), 417, "Give the path alone"),
    "another host, without scheme": (_queue(path="//evil.example/api/x"), 417, "Give the path alone"),
    "a file of this machine": (_queue(path="file:///etc/passwd"), 417, "Give the path alone"),
    "a question": (_queue(method="GET"), 417, "GET changes nothing"),
    "an unknown method": (_queue(method="PATCH"), 417, "must be one of POST, PUT, DELETE"),
    "an unknown doctype": (_queue(path="/api/resource/Shop Nothing"), 404, "There is no document type"),
    "a doctype with a quote": (
        _queue(path="/api/resource/x` where 1; --"),
        404,
        "There is no document type",
    ),
    "a missing document": (
        _queue(method="PUT", path=f"{NOTES}/none", body={"title": "x"}, overwrite=1),
        404,
        "There is no Shop Note none here",
    ),
    "a delete of a missing document": (_queue(method="DELETE", path=f"{NOTES}/none"), 404, "There is no"),
    "no version": (_queue(method="PUT", path=f"{NOTES}/none", body={"title": "x"}), 417, "has no `modified`"),
    "a priority out of range": (_queue(priority=10), 417, "from 0 (goes first) to 9"),
    "a priority that is no number": (_queue(priority="high"), 417, "priority"),
}


@pytest.mark.parametrize("what", WRONG_CALLS)
def test_a_call_that_cannot_be_queued_is_refused_with_a_reason(what, branch, people, shared_branch):
    given, status, why = WRONG_CALLS[what]
    answer = people["clerk"].post(f"{API}enqueue_request", json=given)
    assert answer.status_code == status, answer.text
    assert why in _said(answer)
    assert requests_of(branch) == []
    assert branch.count("Error Log") == 0


@pytest.fixture(scope="module")
def shared_branch(rig):
    """A branch for tests of which each leaves nothing."""
    rig.empty()
    rig.set_up_branch()
    yield
    rig.set_up_branch([], enabled=0)
    rig.empty()


def test_a_body_over_the_limit_is_refused_where_it_is_queued_and_where_it_is_saved(branch, settings, people):
    """The save as a whole: what cannot travel must not stand here alone."""
    settings(max_body_mb=1)
    clerk = people["clerk"]
    note = branch.insert({"doctype": "Shop Note", "title": "small"})["name"]
    large = {"body": "x" * (MB + 10)}
    refused = [
        clerk.post(f"{API}enqueue_request", json=_queue(body=large)),
        clerk.post(NOTES, json=large),
        clerk.put(f"{NOTES}/{note}", json=large),
    ]
    assert [answer.status_code for answer in refused] == [417, 417, 417]
    assert "larger than 1,048,576 bytes" in _said(refused[0])
    assert all("1 MB at most" in _said(answer) for answer in refused[1:])
    assert statuses(branch) == [("create", "Pending")]
    assert (branch.count("Shop Note"), branch.get("Shop Note", note)["body"] or "") == (1, "")
    assert branch.sync() == "done"


def test_a_document_of_the_largest_size_travels_and_may_be_in_conflict_and_a_larger_one_is_refused(
    branch, central, settings, people
):
    """The database's own limit counts where it is smaller than the setting: three such texts stand in a conflict."""
    settings(default_strategy="Manual", max_body_mb=100)
    packet = branch.call("erp_offline_sync.settings.largest_statement")
    checks = {check["name"]: check for check in branch.call("erp_offline_sync.api.doctor")}
    largest = packet // 4 if packet else 6 * MB
    said = checks["body size"]
    assert said["state"] == ("warning" if packet else "ok")
    if packet:
        assert "max_allowed_packet" in said["message"]
        assert "max_allowed_packet = 400M" in said["todo"]
        refused = people["clerk"].post(NOTES, json={"title": "too large", "body": "x" * largest})
        assert refused.status_code == 417, refused.text[-400:]
        assert f"{largest / MB:g} MB at most travel" in _said(refused)
        queued = people["clerk"].post(f"{API}enqueue_request", json=_queue(body={"body": "x" * largest}))
        assert (queued.status_code, f"larger than {largest:,} bytes" in _said(queued)) == (417, True)
        assert (branch.count("Shop Note"), branch.count("Offline Request")) == (0, 0)
    # Every tenth character has to be quoted.
    text = ("nine more" + '"') * ((largest - 2000) // 11)
    note = branch.insert({"doctype": "Shop Note", "title": "both", "body": text})["name"]
    assert branch.sync() == "done"
    assert statuses(branch) == [("create", "Synced")]
    there = central.documents("Shop Note")[0]["name"]
    central.save("Shop Note", there, body=text.replace("nine", "five"))
    branch.save("Shop Note", note, body=text.replace("more", "less"))
    branch.sync()
    (conflict,) = branch.documents("Sync Conflict", fields=["name", "resolution_status"])
    assert conflict["resolution_status"] == "pending"
    assert statuses(branch) == [("create", "Synced"), ("update", "Conflict")]
    answer = people["clerk"].post(
        f"{API}resolve_conflict", json={"conflict_id": conflict["name"], "resolution": "local_wins"}
    )
    assert answer.ok, answer.text[-400:]
    assert branch.sync() == "done"
    assert central.get("Shop Note", there)["body"] == text.replace("more", "less")


WRONG_SETTINGS = {
    "an interval too short": ({"processing_interval": 999}, "between 1000 and 86400000"),
    "an interval too long": ({"processing_interval": 86_400_001}, "between 1000 and 86400000"),
    "a batch of none": ({"sync_batch_size": 0}, "between 1 and 1000"),
    "retries below none": ({"max_retries": -1}, "between 0 and 100"),
    "delays the wrong way round": (
        {"base_retry_delay": 5000, "max_retry_delay": 1000},
        "must not be smaller than base_retry_delay",
    ),
    "no URL": ({"central_url": ""}, "An enabled branch needs"),
    "no key": ({"api_key": ""}, "An enabled branch needs"),
    "a URL without a scheme": ({"central_url": "central.example"}, "https://"),
    "a URL of another kind": ({"central_url": "ftp://central.example"}, "https://"),
    "a URL with a password": ({"central_url": "https://ann:pw@central.example"}, "user"),
    "a URL with a query": ({"central_url": "https://central.example/?x=1"}, "query"),
    "a path that is not the API's": ({"allowed_paths": "/files/x"}, "not a path below /api/"),
    "half a window": ({"sync_window_start": "22:00"}, "a beginning and an end"),
    "a doctype twice": (
        {"policies": [{"document_type": "Shop Note"}, {"document_type": "Shop Note"}]},
        "already",
    ),
    "a ledger or a part of the set-up": ({"policies": [{"document_type": "User"}]}, "set-up"),
    "a child table": ({"policies": [{"document_type": "Shop Sale Item"}]}, "child table"),
}


@pytest.mark.parametrize("what", WRONG_SETTINGS)
def test_settings_that_cannot_be_used_are_refused_and_the_old_ones_stay(what, branch, people, shared_branch):
    given, why = WRONG_SETTINGS[what]
    path = "Offline Sync Settings/Offline Sync Settings"
    before = branch.get("Offline Sync Settings", "Offline Sync Settings")
    answer = people["manager"].put(f"/api/resource/{path}", json=given)
    assert answer.status_code == 417
    assert why in _said(answer), _said(answer)[:500]
    after = branch.get("Offline Sync Settings", "Offline Sync Settings")
    assert (after["modified"], after["central_url"]) == (before["modified"], before["central_url"])


@contextlib.contextmanager
def stated(branch: Any, **values: Any) -> Any:
    """In site_config.json, past the form's checks."""

    def write(values):
        from frappe.installer import update_site_config

        update_site_config("offline_sync", values or "None")

    branch.run(write, values)
    try:
        yield
    finally:
        branch.run(write, {})


def test_a_wrong_value_in_the_configuration_file_stops_runs_with_its_reason_and_loses_nothing(
    branch, central, manager
):
    with stated(branch, processing_interval=1):
        branch.insert({"doctype": "Shop Note", "title": "kept"})
        assert branch.sync() == branch.sync() == "failed"
        told = manager.get(f"{API}get_sync_status").json()["message"]
        assert told["state"] == "failed"
        assert "processing_interval must lie between 1000 and 86400000 ms, not 1" in told["reason"]
        checks = manager.post(f"{API}doctor").json()["message"]
        assert checks[0]["state"] == "problem"
        assert "processing_interval" in checks[0]["message"]
        assert branch.count("Error Log") == 1, "not one a minute"
    assert branch.sync() == "done"
    assert [note["title"] for note in central.documents("Shop Note")] == ["kept"]


@pytest.fixture
def conflict(branch, central, settings, people):
    """A conflict that waits for a person, and the request that it holds."""
    settings(default_strategy="Manual")
    note = branch.insert({"doctype": "Shop Note", "title": "both"})["name"]
    branch.sync()
    central.save("Shop Note", central.documents("Shop Note")[0]["name"], category="B")
    branch.save("Shop Note", note, category="A")
    branch.sync()
    (found,) = branch.documents("Sync Conflict")
    return found


def test_decisions_that_make_no_sense_are_refused_and_decide_nothing(branch, conflict, people):
    held, pending = conflict["local_request_id"], conflict["name"]
    cases = [
        (
            "resolve_conflict",
            {"conflict_id": pending, "resolution": "whatever"},
            417,
            "There are: local_wins",
        ),
        (
            "resolve_conflict",
            {"conflict_id": pending, "resolution": "merge"},
            417,
            "no side was chosen: category",
        ),
        ("resolve_conflict", {"conflict_id": "none", "resolution": "skip"}, 404, "There is no conflict none"),
        ("discard", {"name": held, "reason": ""}, 417, "needs a reason"),
        ("discard", {"name": held, "reason": "  "}, 417, "needs a reason"),
        ("discard", {"name": "none", "reason": "x"}, 404, "There is no request none"),
        ("retry", {"name": "none"}, 404, "There is no request none"),
        ("retry", {"name": held}, 417, "cannot be retried"),
        ("send_whole", {"name": held}, 417, "not at the central"),
    ]
    for function, given, status, why in cases:
        answer = people["clerk"].post(f"{API}{function}", json=given)
        assert answer.status_code == status, (function, given, answer.text)
        assert why in _said(answer), (function, given, _said(answer))
    of_managers = [
        ("clear_old_requests", {"days": -1}, "must not be negative"),
        ("clear_old_requests", {"days": "many"}, "days"),
        ("pause", {"reason": " "}, "Say why"),
        ("force_sync", {"doctypes": "[Shop Note"}, "not JSON"),
        ("force_sync", {"doctypes": '{"a": 1}'}, "a list such as"),
    ]
    for function, given, why in of_managers:
        answer = people["manager"].post(f"{API}{function}", json=given)
        assert answer.status_code == 417, (function, given, answer.text)
        assert why in _said(answer), (function, given, _said(answer))
    for given in ({"limit": -1}, {"offset": -5, "limit": 0}):
        answer = people["clerk"].get(f"{API}get_pending_conflicts", params=given)
        assert answer.json()["message"] == [], given
    (after,) = branch.documents("Sync Conflict")
    assert after["modified"] == conflict["modified"]
    assert statuses(branch) == [("create", "Synced"), ("update", "Conflict")]
    assert branch.count("Error Log") == 0


def test_a_conflict_is_decided_once(branch, conflict, people):
    given = {"conflict_id": conflict["name"], "resolution": "server_wins"}
    first = people["clerk"].post(f"{API}resolve_conflict", json=given)
    second = people["manager"].post(f"{API}resolve_conflict", json={**given, "resolution": "local_wins"})
    assert (first.status_code, second.status_code) == (200, 417)
    assert "clerk@shop.example already decided this conflict at " in _said(second)
    assert ": server_wins" in _said(second)


def test_later_requests_of_the_document_are_discarded_only_once_that_is_confirmed(branch, clerk):
    customer = branch.insert({"doctype": "Shop Customer", "customer_name": "a test"})["name"]
    branch.call("frappe.rename_doc", "Shop Customer", customer, "A test")
    first, second = (row["name"] for row in requests_of(branch))
    refused = clerk.post(f"{API}discard", json={"name": first, "reason": "a test sale"})
    assert refused.status_code == 417
    assert second in _said(refused)
    assert all(row["status"] in ("Pending", "Waiting") for row in requests_of(branch))
    given = {"name": first, "reason": "a test sale", "take_along": 1}
    assert clerk.post(f"{API}discard", json=given).json()["message"] == [first, second]
    rows = branch.documents("Offline Request", order_by="seq asc")
    assert [(row["status"], row["closed_by"], row["reason"]) for row in rows] == [
        ("Discarded", "clerk@shop.example", "a test sale")
    ] * 2


def test_the_app_is_not_uninstalled_while_a_request_is_open(branch, central, connected):
    """A dry run asks the same question as the real thing, and leaves everything in place."""
    uninstall = ("uninstall-app", "erp_offline_sync", "--yes", "--dry-run", "--no-backup")
    note = branch.insert({"doctype": "Shop Note", "title": "not yet there"})["name"]
    refused = branch.bench(*uninstall, check=False)
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "Requests are still open" in said
    assert f"create Shop Note {note} (Pending)" in said
    with pytest.raises(SiteError) as told:
        branch.call("erp_offline_sync.uninstall.before_uninstall")
    assert told.value.kind == "ValidationError"
    assert branch.sync() == "done"
    branch.bench(*uninstall)
    branch.save("Shop Note", note, title="goes on being captured")
    assert statuses(branch) == [("create", "Synced"), ("update", "Pending")]
