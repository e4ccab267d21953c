"""From the till to the central and back: the command, the engine, the outbox file and HTTP, all real.

Only the central is a stand-in. Every call of the command puts everything together anew, so that each step here
outlives a restart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from killing import POINTS
from till import KillingLab, NthWrite, Till

from erp_offline_sync.adapters.sole_run import SoleRunStore
from erp_offline_sync.adapters.system_clock import SystemClock
from erp_offline_sync.testing.fault_proxy import POINTS as LINE_POINTS
from erp_offline_sync.testing.fault_proxy import FaultProxy
from erp_offline_sync.testing.shop import SHOP
from erp_offline_sync.testing.stand_in import StandInCentral

SALES = "/api/resource/Sales Invoice"


@pytest.fixture
def central() -> Iterator[StandInCentral]:
    with StandInCentral(SHOP) as central:
        central.insert("Item", {"item_code": "TEA"})
        central.insert("Customer", {"customer_name": "Ada"})
        yield central


@pytest.fixture
def till(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, central: StandInCentral) -> Till:
    monkeypatch.chdir(tmp_path)
    return Till(tmp_path, central)


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on the outbox's clock is so far ahead."""
    monkeypatch.setattr(
        SystemClock, "now", lambda self: datetime.now(timezone.utc) + timedelta(seconds=seconds)
    )


def version(till: Till, doctype: str, name: str) -> str:
    document = till.central.document(doctype, name)
    assert document is not None
    return str(document["modified"])


# The line


def test_days_without_a_line_lose_nothing_and_use_no_attempt(till: Till) -> None:
    till.env["SYNC_LANES"] = "1"  # by several, sales may overtake each other
    till.central.down()
    for day in range(3):
        for number in range(4):
            till.sale(10 * day + number, docstatus=1)
        for _ in range(2):
            told = till.run(code=4)
            assert (told["ended"], told["pendingCount"]) == ("offline", 4 * (day + 1))
    assert {row["retry_count"] for row in till.json("list")} == {0}
    till.central.up()
    told = till.run()
    assert (told["ended"], told["line"], told["pendingCount"]) == ("done", "closed", 0)
    assert told["totals"]["applied"] == 12
    assert told["lastSyncTime"]
    assert till.receipts() == [f"R-{10 * day + number}" for day in range(3) for number in range(4)]


def test_a_line_that_breaks_in_the_middle_of_a_run_costs_nothing(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        till.sale(number)
    till.central.drop(times=1, matches=lambda method, path: len(till.receipts()) == 3 and method == "POST")
    till.central.fail(503, "SessionStopped", times=1, matches=lambda method, path: len(till.receipts()) == 5)
    assert till.run(code=4)["pendingCount"] > 0
    till.central.heal()
    later(monkeypatch, 11)
    till.run()
    assert sorted(till.receipts()) == [f"R-{number}" for number in range(6)]
    assert {row["retry_count"] for row in till.json("list", "--all")} == {0}


def test_rejected_credentials_stop_everything_and_use_no_attempt(till: Till) -> None:
    till.sale(1)
    right = till.env["CENTRAL_API_SECRET"]
    till.env["CENTRAL_API_SECRET"] = "wrong"
    assert till.run(code=1)["state"] == "failed"
    till.env["CENTRAL_API_SECRET"] = right
    assert till.run()["totals"]["applied"] == 1


def test_cron_does_not_ask_a_central_that_is_down_before_its_time(till: Till) -> None:
    till.sale(1)
    till.central.fail(429, "TooManyRequestsError", retry_after="60")
    assert till.run("--if-due", code=4)["reason"].startswith("busy")
    calls = len(till.central.calls)
    till.run("--if-due", code=4)
    assert len(till.central.calls) == calls
    assert till.run()["totals"]["applied"] == 1


# Order, links, names


def test_links_carry_the_name_that_the_central_gave(till: Till) -> None:
    """The central has an Ada already, so that the till's one gets another name there."""
    till.enqueue("POST", "/api/resource/Customer", {"customer_name": "Ada"}, "--local-name", "till-1/7")
    till.sale(1, customer="till-1/7")
    till.run()
    (sale,) = till.central.documents("Sales Invoice")
    assert sale["customer"] == "Ada - 1"


def test_a_sale_waits_for_its_customer_and_says_so(till: Till) -> None:
    till.central.fail(417, "ValidationError", times=10, matches=lambda method, path: "Customer" in path)
    till.enqueue("POST", "/api/resource/Customer", {"customer_name": "Bela"}, "--local-name", "bela")
    till.sale(1, customer="bela")
    till.run()
    (_, sale) = till.json("list")
    assert sale["status"] == "Waiting"
    assert "Customer bela, which it links to" in sale["why"]
    till.central.heal()
    till.run("--wait", "5")
    assert till.receipts() == ["R-1"]


def test_one_refused_request_holds_up_no_other_document(till: Till) -> None:
    wrong = till.sale(1, items=[{"item_code": "NOTHING", "qty": 1, "rate": 1}])
    for number in range(2, 6):
        till.sale(number)
    told = till.run(code=3)
    assert (told["totals"]["held"], told["totals"]["applied"]) == (1, 4)
    (row,) = till.json("list", "--status", "needs attention")
    assert row["name"] == wrong
    assert "NOTHING" in row["why"]
    till.central.insert("Item", {"item_code": "NOTHING"})
    till("retry", wrong)
    assert till.run()["totals"]["held"] == 0
    assert sorted(till.receipts()) == [f"R-{number}" for number in range(1, 6)]


def test_every_operation_arrives_under_either_name_of_the_document(till: Till) -> None:
    """The same document by the request that made it and by the central's name, in one line."""
    first = till.sale(1)
    till.enqueue("PUT", f"{SALES}/{first}", {"docstatus": 1}, "--overwrite")
    spare = till.sale(2)
    till.enqueue("POST", "/api/resource/Customer", {"customer_name": "Bela"})
    till.run()
    names = {document["remarks"]: document["name"] for document in till.central.documents("Sales Invoice")}
    till.enqueue(
        "PUT",
        f"{SALES}/{names['R-1']}",
        {"docstatus": 2, "modified": version(till, "Sales Invoice", names["R-1"])},
    )
    till.enqueue("DELETE", f"{SALES}/{spare}")
    till.enqueue(
        "POST",
        "/api/method/frappe.client.rename_doc",
        {"doctype": "Customer", "old_name": "Bela", "new_name": "Béla & Co"},
    )
    till.run()
    assert [document["docstatus"] for document in till.central.documents("Sales Invoice")] == [2]
    assert till.central.document("Customer", "Béla & Co")
    assert set(till.statuses()) == {"Synced"}


def test_what_was_typed_and_taken_back_never_leaves(till: Till) -> None:
    typed = till.sale(1)
    till.enqueue("DELETE", f"{SALES}/{typed}")
    till.run()
    assert till.statuses() == ["Merged", "Merged"]
    assert not [call for call in till.central.calls if call.method != "GET"]


def test_to_mend_a_refused_sale_is_to_queue_its_change(till: Till) -> None:
    sale = till.enqueue("POST", SALES, {"items": [{"item_code": "TEA"}], "remarks": "R-1"})
    till.run(code=3)
    till.enqueue("PUT", f"{SALES}/{sale}", {"customer": "Ada"}, "--overwrite", "--link", "customer=Customer")
    told = till.run()
    assert (told["totals"]["merged"], told["totals"]["held"]) == (1, 0)
    assert till.receipts() == ["R-1"]


def test_a_part_can_be_sent_alone(till: Till) -> None:
    till.enqueue("POST", "/api/resource/ToDo", {"description": "later"})
    till.sale(1)
    till.run("--doctype", "Sales Invoice")
    assert till.statuses() == ["Pending", "Synced"]


# In doubt


@pytest.mark.parametrize("options", [("--unique", "remarks"), ()], ids=["by a unique value", "by its maker"])
def test_a_create_whose_answer_got_lost_is_found_and_not_made_twice(
    till: Till, options: tuple[str, ...]
) -> None:
    till.central.swallow()
    body = {"customer": "Ada", "remarks": "R-1", "items": [{"item_code": "TEA", "qty": 1, "rate": 1}]}
    till.enqueue("POST", SALES, body, *options)
    till.run()
    assert (till.receipts(), till.statuses()) == (["R-1"], ["Synced"])


def test_a_create_that_never_arrived_goes_again_once_the_central_cannot_be_at_it_any_more(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    till.central.drop()
    till.sale(1)
    till.run()
    assert till.statuses() == ["In Doubt"]
    later(monkeypatch, 5)
    till.run()
    assert till.statuses() == ["In Doubt"]
    later(monkeypatch, 11)
    till.run()
    assert (till.receipts(), till.statuses()) == (["R-1"], ["Synced"])


@pytest.mark.parametrize("lost", ["swallow", "drop"])
def test_a_submit_whose_answer_got_lost_is_settled_at_once(till: Till, lost: str) -> None:
    sale = till.sale(1)
    till.run()
    till.enqueue("PUT", f"{SALES}/{sale}", {"docstatus": 1}, "--overwrite")
    getattr(till.central, lost)()
    till.run()
    (document,) = till.central.documents("Sales Invoice")
    assert (document["docstatus"], till.statuses()) == (1, ["Synced", "Synced"])


def test_a_call_whose_answer_got_lost_is_sent_again_only_where_that_is_allowed(till: Till) -> None:
    made: list[object] = []
    till.central.methods["shop.note"] = lambda values: made.append(values["n"])
    till.central.swallow(times=2)
    till.enqueue("POST", "/api/method/shop.note", {"n": 1})
    till.enqueue("POST", "/api/method/shop.note", {"n": 2}, "--repeatable")
    told = till.run(code=3)
    assert (told["totals"]["held"], told["totals"]["applied"]) == (1, 1)
    assert made == [1, 2, 2]


# Conflicts


def both_change(till: Till, *, later_there: bool) -> None:
    """One customer, changed here and there on the same version."""
    seen = version(till, "Customer", "Ada")
    if not later_there:
        till.central.clock_offset = timedelta(hours=-1)
        till.central.edit("Customer", "Ada", {"tax_id": "there"})
        till.central.clock_offset = timedelta(0)
    till.enqueue("PUT", "/api/resource/Customer/Ada", {"tax_id": "here", "modified": seen})
    if later_there:
        till.central.clock_offset = timedelta(hours=1)
        till.central.edit("Customer", "Ada", {"tax_id": "there"})
        till.central.clock_offset = timedelta(0)


@pytest.fixture
def yesterday(central: StandInCentral) -> None:
    """Ada was made long ago, so that her changes have room before now."""
    central._last = datetime(2020, 1, 1, tzinfo=timezone.utc)


@pytest.mark.usefixtures("yesterday")
@pytest.mark.parametrize("later_there", [False, True])
def test_the_later_change_wins(till: Till, later_there: bool) -> None:
    both_change(till, later_there=later_there)
    told = till.run()
    assert told["run"]["conflictCount"] == 1
    document = till.central.document("Customer", "Ada") or {}
    assert document["tax_id"] == ("there" if later_there else "here")
    (conflict,) = till.json("conflicts", "--all")
    assert conflict["resolution"] == ("server_wins" if later_there else "local_wins")
    assert conflict["resolved_by"] == "rule:Last Write Wins"
    assert till.statuses() == ["Decided" if later_there else "Synced"]


@pytest.mark.usefixtures("yesterday")
def test_a_registered_hook_decides_before_the_rule(till: Till, tmp_path: Path) -> None:
    (tmp_path / "till_hooks.py").write_text(
        "import erp_offline_sync\n"
        "async def central_keeps_tax_ids(conflict_id, conflict):\n"
        "    return {'resolution': 'server_wins'} if 'tax_id' in conflict['local_data'] else None\n"
        "erp_offline_sync.register_conflict_hook('Customer', central_keeps_tax_ids)\n"
    )
    both_change(till, later_there=False)
    try:
        till.run("--hooks", "till_hooks")
    finally:
        from erp_offline_sync import unregister_conflict_hook

        unregister_conflict_hook("Customer")
        sys.modules.pop("till_hooks", None)
    (conflict,) = till.json("conflicts", "--all")
    assert (conflict["resolution"], conflict["resolved_by"]) == ("server_wins", "hook:central_keeps_tax_ids")
    assert (till.central.document("Customer", "Ada") or {})["tax_id"] == "there"


@pytest.mark.usefixtures("yesterday")
@pytest.mark.parametrize(
    ("resolution", "there", "state"),
    [("local_wins", "here", "Synced"), ("server_wins", "there", "Decided"), ("skip", "there", "Decided")],
)
def test_what_no_rule_decides_waits_for_a_person_and_holds_only_its_document(
    till: Till, resolution: str, there: str, state: str
) -> None:
    till.env["DEFAULT_STRATEGY"] = "Manual"
    both_change(till, later_there=False)
    till.sale(1)
    told = till.run(code=3)
    assert (told["conflictCount"], till.receipts()) == (1, ["R-1"])
    (conflict,) = till.json("conflicts", code=3)
    assert (conflict["local_data"]["tax_id"], conflict["server_data"]["tax_id"]) == ("here", "there")
    till("resolve", conflict["name"], resolution, "--by", "ann", "--reason", "asked the customer")
    till.run()
    assert (till.central.document("Customer", "Ada") or {})["tax_id"] == there
    assert till.statuses() == [state, "Synced"]
    (decided,) = till.json("conflicts", "--all")
    assert (decided["resolution"], decided["resolved_by"], decided["reason"]) == (
        resolution,
        "ann",
        "asked the customer",
    )


def test_a_document_deleted_at_the_central_is_made_anew_where_the_till_wins(till: Till) -> None:
    till.env["DEFAULT_STRATEGY"] = "Local Wins"
    sale = till.sale(1)
    till.run()
    (document,) = till.central.documents("Sales Invoice")
    till.central.remove("Sales Invoice", document["name"])
    till.enqueue("PUT", f"{SALES}/{sale}", {"remarks": "R-1 again"}, "--overwrite")
    till.run()
    assert till.receipts() == ["R-1 again"]


# One run at a time, and runs that are killed


def test_two_runs_at_once_are_one(till: Till) -> None:
    till.sale(1)
    with SoleRunStore(till.db) as other:
        with other.transaction():
            assert other.acquire_lease("somebody else", 60)
        assert till.run(code=1)["ended"] == "busy"
    assert till.receipts() == []


def test_a_run_whose_process_is_gone_is_followed_at_once(till: Till) -> None:
    """Its lease looks live for minutes; the kernel knows better."""
    till.sale(1)
    with SoleRunStore(till.db) as other, other.transaction():
        other.acquire_lease("killed", 600)
    assert till.run()["ended"] == "done"
    assert till.receipts() == ["R-1"]


@pytest.fixture
def lab(till: Till) -> Iterator[KillingLab]:
    with closing(KillingLab(till)) as lab:
        yield lab


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills by signal")
def test_a_run_killed_between_any_two_of_its_steps_loses_and_doubles_nothing(
    till: Till, lab: KillingLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at every commit and around every call of the central, then one run more, over and over on one outbox."""
    step, killed = 0, True
    while killed:
        step += 1
        sale = till.sale(step)
        till.enqueue("PUT", f"{SALES}/{sale}", {"docstatus": 1}, "--overwrite")
        killed = lab.run("step", step)
        with monkeypatch.context() as ahead:
            later(ahead, 20)
            told = till.run()
        assert told["totals"]["applied"] == told["totals"]["captured"] == 2 * step, step
        documents = till.central.documents("Sales Invoice")
        sales = [document for document in documents if document["remarks"] == f"R-{step}"]
        assert [document["docstatus"] for document in sales] == [1], step
    assert step > 15


class Day:
    """One of each kind of request, about documents that are told apart by a number. The customer's change may go
    into its create."""

    def __init__(self, till: Till, number: int) -> None:
        self.till, self.number = till, number
        old = till.central.insert("ToDo", {"description": f"old {number}"})["name"]
        local = f"till/{number}"
        till.enqueue(
            "POST", "/api/resource/Customer", {"customer_name": f"C {number}"}, "--local-name", local
        )
        self.sale = till.sale(number, customer=local)
        till.enqueue("PUT", f"{SALES}/{self.sale}", {"docstatus": 1}, "--overwrite")
        till.enqueue("PUT", f"/api/resource/Customer/{local}", {"tax_id": f"T {number}"}, "--overwrite")
        names = {"doctype": "Customer", "old_name": local, "new_name": f"Renamed {number}"}
        till.enqueue("POST", "/api/method/frappe.client.rename_doc", names)
        till.enqueue("DELETE", f"/api/resource/ToDo/{old}")

    COUNT = 6

    def assert_each_once(self) -> None:
        central, number = self.till.central, self.number
        customers = [
            (each["name"], each["tax_id"])
            for each in central.documents("Customer")
            if each["customer_name"] == f"C {number}"
        ]
        assert customers == [(f"Renamed {number}", f"T {number}")]
        sales = [each for each in central.documents("Sales Invoice") if each["remarks"] == f"R-{number}"]
        assert [(each["docstatus"], each["customer"]) for each in sales] == [(1, f"Renamed {number}")]
        assert not [each for each in central.documents("ToDo") if each["description"] == f"old {number}"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills by signal")
@pytest.mark.parametrize("point", [*POINTS, *LINE_POINTS])
def test_a_run_killed_at_a_point_of_any_of_its_requests_loses_and_doubles_nothing(
    till: Till, lab: KillingLab, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """SIGKILL at the first, second, … time that a run comes to the point, until there is none left to be killed at."""
    with FaultProxy(till.central.url) as line:
        turn, killed = 0, True
        while killed:
            turn += 1
            day = Day(till, turn)
            if point in LINE_POINTS:
                hold = line.hold(point, matches=NthWrite(turn))
                killed = lab.run_until_held(hold, CENTRAL_URL=line.url)
            else:
                killed = lab.run(point, turn, CENTRAL_URL=line.url)
            assert line.idle()
            with monkeypatch.context() as ahead:
                later(ahead, 20)
                told = till.run()
            totals = told["totals"]
            assert totals["applied"] + totals["merged"] == totals["captured"] == Day.COUNT * turn, turn
            day.assert_each_once()
            if point == "connected":  # one connection serves a whole run
                break
    assert turn >= {"connected": 1, "claimed": 3, "before the lease is returned": 2}.get(point, Day.COUNT - 1)
