"""The rig itself: what every other site test takes for granted."""

import datetime


def test_each_site_answers_as_itself_on_its_own_port(branch, central):
    for one in (branch, central):
        assert one.guest.get("/api/method/ping").json() == {"message": "pong"}
        assert one.rest.get("/api/method/frappe.auth.get_logged_user").json() == {"message": one.api_user}
    assert branch.call("frappe.utils.get_site_path").endswith(branch.name)


def test_the_app_is_on_the_branch_and_not_on_the_central(branch, central):
    assert "erp_offline_sync" in branch.call("frappe.get_installed_apps")
    assert central.call("frappe.get_installed_apps") == ["frappe", "eos_test_app"]


def test_what_rest_inserts_at_the_central_is_there_for_its_processes(central, fresh_outbox):
    answer = central.rest.post("/api/resource/ToDo", json={"description": "O'Brien 50% off %s"})
    assert answer.status_code == 200
    name = answer.json()["data"]["name"]
    assert central.get("ToDo", name)["description"] == "O'Brien 50% off %s"


def test_the_two_sites_live_in_different_time_zones(branch, central):
    """Wall clocks of the two sites differ by hours, whatever zone the machine is in."""

    here, there = (datetime.datetime.fromisoformat(one.call("frappe.utils.now")) for one in (branch, central))
    assert datetime.timedelta(hours=9) < here - there < datetime.timedelta(hours=11)


def test_a_sale_gets_its_amounts_and_the_sites_own_date(central, fresh_outbox):
    customer = central.insert({"doctype": "Shop Customer", "customer_name": "Asha"})
    central.insert({"doctype": "Shop Item", "item_code": "TEA"})
    sale = {
        "doctype": "Shop Sale",
        "customer": customer["name"],
        "posting_date": "2020-02-02",
        "items": [{"item": "TEA", "qty": 3, "rate": 7.5}],
    }
    dated = central.insert({**sale, "set_posting_time": 1})
    undated = central.insert(sale)
    assert (dated["total"], dated["posting_date"], dated["customer_name"]) == (22.5, "2020-02-02", "Asha")
    assert undated["posting_date"] != "2020-02-02"
    submitted = central.submit("Shop Sale", dated["name"])
    assert (submitted["docstatus"], central.get("Shop Sale", dated["name"])["status"]) == (1, "Unpaid")


def test_a_test_in_the_branchs_own_process_leaves_nothing(site, branch, fresh_outbox):
    note = site.get_doc({"doctype": "Shop Note", "title": "unsaved"}).insert()
    assert site.db.exists("Shop Note", note.name)
    site.db.rollback()
    assert not branch.exists("Shop Note", note.name)


def test_a_process_of_the_branch_can_be_killed_and_its_transaction_with_it(branch, fresh_outbox):
    def save_and_linger(path):
        import pathlib
        import time

        import frappe

        frappe.get_doc({"doctype": "Shop Note", "title": "killed"}).insert()
        pathlib.Path(path).touch()
        time.sleep(60)

    from site_rig.client import wait_until

    saved = branch.scratch("saved")
    running = branch.start(save_and_linger, str(saved))
    wait_until(saved.exists)
    running.kill()
    assert running.join() == -9
    assert branch.count("Shop Note") == 0


def test_a_run_is_killed_after_the_step_asked_for_and_the_next_one_goes_through(branch, connected):
    """Numbers, names and effects name the same steps in every run, so a test can kill at each in turn."""
    branch.sync()  # the first one fills caches, and says so
    whole = branch.kill_at("never")
    assert not whole.killed
    assert whole.steps.count("commit") > 2
    second = branch.kill_at(2, later=300)
    assert (second.killed, second.steps) == (True, whole.steps[:2])
    effect = branch.kill_at("effect#1", later=600)
    assert (effect.killed, effect.steps[-1], len(effect.steps)) == (
        True,
        "commit",
        whole.steps.index("commit") + 1,
    )
    assert branch.sync() == "busy"
    assert branch.sync(later=900) == "done"


def test_a_web_server_goes_down_hangs_and_comes_back(central):
    import pytest
    import requests

    with central.unreachable(), pytest.raises(requests.ConnectionError):
        central.guest.get("/api/method/ping")
    with central.hanging(), pytest.raises(requests.Timeout):
        central.guest.session.get(central.url + "/api/method/ping", timeout=0.5)
    assert central.guest.get("/api/method/ping").ok


def test_redis_goes_down_and_comes_back_empty(rig, redis_down):
    import pytest

    rig.redis("SET", "rig", "here")
    with redis_down("queue"), pytest.raises(OSError):
        rig.redis("GET", "rig")
    assert rig.redis("GET", "rig") is None


def test_the_worker_runs_what_the_branch_queues(branch, worker, fresh_outbox):
    from site_rig.client import wait_until

    note = {"doctype": "Shop Note", "title": "made by the worker"}
    branch.call("frappe.enqueue", "frappe.client.insert", queue="long", doc=note)
    wait_until(lambda: branch.count("Shop Note", {"title": note["title"]}))


def test_a_users_roles_decide_what_rest_answers(branch):
    cashier = branch.user("cashier@shop.example", "Shop User")
    stranger = branch.user("stranger@shop.example")
    assert cashier.get("/api/resource/Shop Sale").status_code == 200
    assert stranger.get("/api/resource/Shop Sale").status_code == 403
