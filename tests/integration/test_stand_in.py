"""The stand-in central's own controls: the line, the faults, its people, its clock, the shop's doctypes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests

from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.sending.push import PushRequest, item_text, packed, push_text
from erp_offline_sync.engine.sending.pushed import PUSH
from erp_offline_sync.testing.shop import SHOP
from erp_offline_sync.testing.stand_in import (
    API_KEY,
    API_SECRET,
    DocTypeRule,
    Fault,
    FieldRule,
    Refusal,
    StandInCentral,
    anything,
)


@pytest.fixture
def central() -> Iterator[StandInCentral]:
    with StandInCentral(SHOP, zone="Asia/Kolkata", seed=1) as central:
        yield central


def send(central: StandInCentral, method: str, path: str, body: Any = None) -> requests.Response:
    headers = {"Authorization": f"token {API_KEY}:{API_SECRET}"}
    data = None if body is None else json.dumps(body)
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, central.url + path, data=data, headers=headers, timeout=10)


def make(central: StandInCentral, **values: Any) -> requests.Response:
    return send(central, "POST", "/api/resource/ToDo", {"description": "x", **values})


def test_a_line_that_is_down_refuses_and_comes_back_on_the_same_port(central: StandInCentral) -> None:
    port = central.port
    central.down()
    central.down()
    with pytest.raises(requests.ConnectionError):
        make(central)
    central.up()
    central.up()
    assert (make(central).status_code, central.port) == (200, port)


def test_orders_are_served_one_after_the_other_and_then_forgotten(central: StandInCentral) -> None:
    central.fail(429, retry_after="7", times=2)
    central.fail(417, "ValidationError", message="no")
    central.fail(502, page="<html>bad gateway</html>")
    statuses = [make(central).status_code for _ in range(5)]
    assert statuses == [429, 429, 417, 502, 200]
    assert [call.status for call in central.calls] == statuses
    assert len(central.documents("ToDo")) == 1
    central.fail(500, "KeyError", times=9)
    central.heal()
    assert make(central).status_code == 200


def test_only_writes_meet_an_order_unless_it_says_so(central: StandInCentral) -> None:
    central.fail(503, "SessionStopped")
    assert send(central, "GET", "/api/method/ping").status_code == 200
    assert make(central).status_code == 503
    central.fail(503, "SessionStopped", matches=anything)
    assert send(central, "GET", "/api/method/ping").status_code == 503


def test_a_swallowed_answer_was_carried_out_and_a_dropped_request_was_not(central: StandInCentral) -> None:
    central.swallow()
    central.drop()
    for expected in (1, 1):
        with pytest.raises(requests.ConnectionError):
            make(central)
        assert len(central.documents("ToDo")) == expected
    assert [call.status for call in central.calls] == [None, None]


def test_an_answer_may_be_replaced_after_the_request_was_carried_out(central: StandInCentral) -> None:
    central.fault(Fault(status=504, applies=True, delay=0.01))
    assert make(central).status_code == 504
    assert len(central.documents("ToDo")) == 1


def test_people_of_the_central_work_on_its_documents(central: StandInCentral) -> None:
    made = central.insert("ToDo", {"description": "theirs"})
    assert (made["owner"], made["status"]) == ("Administrator", "Open")
    moved = central.edit("ToDo", made["name"], {})
    assert moved["modified"] > made["modified"]
    assert central.edit("ToDo", made["name"], {"status": "Closed"})["status"] == "Closed"
    with pytest.raises(Refusal):
        central.insert("ToDo", {})
    central.remove("ToDo", made["name"])
    assert central.document("ToDo", made["name"]) is None


def test_documents_given_out_are_copies(central: StandInCentral) -> None:
    name = central.insert("ToDo", {"description": "x"})["name"]
    for copy in (central.documents("ToDo")[0], central.document("ToDo", name)):
        assert copy is not None
        copy["description"] = "changed"
    assert central.documents("ToDo")[0]["description"] == "x"


def test_the_dump_holds_one_document_a_line(central: StandInCentral, tmp_path: Path) -> None:
    central.insert("Item", {"item_code": "Tee – grün"})
    central.insert("Customer", {"customer_name": "Meyer"})
    assert central.dump_jsonl(tmp_path / "central.jsonl") == 2
    lines = [json.loads(line) for line in (tmp_path / "central.jsonl").read_text("utf-8").splitlines()]
    assert [(line["doctype"], line["name"]) for line in lines] == [
        ("Customer", "Meyer"),
        ("Item", "Tee – grün"),
    ]


def test_the_same_customer_twice_is_two_customers(central: StandInCentral) -> None:
    bodies = [
        send(central, "POST", "/api/resource/Customer", {"customer_name": "Rec Cust"}) for _ in range(3)
    ]
    assert [body.json()["data"]["name"] for body in bodies] == ["Rec Cust", "Rec Cust - 1", "Rec Cust - 2"]


def test_a_sale_is_booked_on_the_centrals_day_unless_it_brings_its_time(central: StandInCentral) -> None:
    central.insert("Customer", {"customer_name": "C"})
    central.insert("Item", {"item_code": "I"})
    body = {
        "customer": "C",
        "posting_date": "2020-01-05",
        "items": [{"item_code": "I", "qty": 2, "rate": 1.5}],
    }
    sale = send(central, "POST", "/api/resource/Sales Invoice", body).json()["data"]
    assert (sale["posting_date"], sale["grand_total"]) == (central.today(), 3.0)
    sale = send(central, "POST", "/api/resource/Sales Invoice", {**body, "set_posting_time": 1}).json()[
        "data"
    ]
    assert sale["posting_date"] == "2020-01-05"
    body["items"] = []
    assert send(central, "POST", "/api/resource/Sales Invoice", body).json()["exc_type"] == "MandatoryError"
    body["items"] = [{"item_code": "I", "qty": -1}]
    assert send(central, "POST", "/api/resource/Sales Invoice", body).json()["exc_type"] == "ValidationError"


def test_a_refused_create_gives_its_number_back(central: StandInCentral) -> None:
    central.insert("Customer", {"customer_name": "C"})
    central.insert("Item", {"item_code": "I"})
    body: dict[str, Any] = {"customer": "C", "items": [{"item_code": "I"}]}
    first = send(central, "POST", "/api/resource/Sales Invoice", body).json()["data"]["name"]
    assert send(central, "POST", "/api/resource/Sales Invoice", {**body, "items": []}).status_code == 417
    second = send(central, "POST", "/api/resource/Sales Invoice", body).json()["data"]["name"]
    assert int(second[-5:]) - int(first[-5:]) == 1


def test_its_wall_clock_has_a_zone_and_may_be_wrong() -> None:
    now = datetime(2026, 1, 31, 20, 0, tzinfo=timezone.utc)
    zone, offset = "Asia/Kolkata", timedelta(hours=1)
    with StandInCentral(SHOP, zone=zone, clock=lambda: now, clock_offset=offset) as central:
        assert central.insert("ToDo", {"description": "x"})["creation"] == "2026-02-01 02:30:00"
        assert central.insert("ToDo", {"description": "x"})["creation"] == "2026-02-01 02:30:00.000001"
        assert central.documents("ToDo")[0]["date"] == "2026-02-01"
        answer = send(central, "GET", "/api/method/frappe.client.get_time_zone")
        assert answer.json() == {"message": {"time_zone": "Asia/Kolkata"}}
        assert answer.headers["Date"] == "Sat, 31 Jan 2026 21:00:00 GMT"


def test_a_user_without_permission_is_refused(central: StandInCentral) -> None:
    central.denied.add("ToDo")
    assert make(central).json()["exc_type"] == "PermissionError"
    assert make(central).status_code == 403


def test_methods_of_other_apps_can_be_lent_to_it() -> None:
    def close_day(values: dict[str, Any]) -> str:
        if not values.get("day"):
            raise Refusal(417, "ValidationError", "which day?")
        return f"closed {values['day']}"

    with StandInCentral(SHOP, methods={"my_app.api.close_day": close_day}) as central:
        path = "/api/method/my_app.api.close_day"
        assert send(central, "POST", path, {"day": 3}).json() == {"message": "closed 3"}
        assert send(central, "POST", path, {}).status_code == 417


def test_version_16_takes_a_free_name_for_a_hash_named_document() -> None:
    with StandInCentral(SHOP, takes_names=True) as central:
        assert make(central, name="of-the-branch").json()["data"]["name"] == "of-the-branch"
        assert make(central, name="of-the-branch").json()["data"]["name"] != "of-the-branch"


def test_a_body_that_is_too_large_meets_the_proxy_first(central: StandInCentral) -> None:
    answer = make(central, description="x" * 27_000_000)
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "text/html; charset=utf-8")


def test_a_slow_central_takes_its_time() -> None:
    with StandInCentral(SHOP, seconds_per_request=0.05, seconds_per_document=0.05) as central:
        began = time.monotonic()
        make(central)
        assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([["points", ">", 1]], ["b", "c"]),
        ([["points", ">=", 2], ["points", "<", 3]], ["b"]),
        ([["points", "!=", 2]], ["a", "c"]),
        ([["points", "<=", "1"]], ["a"]),
        ([["Thing", "title", "like", "%EE%"]], ["c"]),
        ([["name", "not in", ["a", "b"]]], ["c"]),
        ({"points": ["in", "1,3"]}, ["a", "c"]),
        ({"title": "two"}, ["b"]),
        ([["title", "=", ""]], []),
    ],
)
def test_lists_take_filters_in_every_form(filters: Any, found: list[str]) -> None:
    rule = DocTypeRule(
        name="Thing", autoname="prompt", fields={"title": FieldRule(), "points": FieldRule(fieldtype="Int")}
    )
    with StandInCentral([rule]) as central:
        for name, title, points in (("a", "one", 1), ("b", "two", 2), ("c", "three", 3)):
            central.insert("Thing", {"name": name, "title": title, "points": points})
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                f"{central.url}/api/resource/Thing",
                params={"filters": json.dumps(filters), "fields": '["name", "points"]'},
                headers={"Authorization": f"token {API_KEY}:{API_SECRET}"},
                timeout=10,
            )
        assert sorted(row["name"] for row in answer.json()["data"]) == found


def test_an_unknown_field_or_doctype_is_no_list(central: StandInCentral) -> None:
    assert send(central, "GET", '/api/resource/ToDo?filters=[["nope","=",1]]').status_code == 417
    assert send(central, "GET", "/api/resource/Nope").status_code == 404


def a_push(keys: range) -> bytes:
    items = [
        item_text(
            PushRequest(
                id=f"key-{key}",
                number=key,
                operation=Operation.CREATE,
                doctype="ToDo",
                values={"description": f"{key}"},
            )
        )
        for key in keys
    ]
    return packed(
        push_text(origin="branch", run=1, run_key="k", low_water=1, language=None, seconds=60.0, items=items)
    )


def test_pushes_are_written_at_once_and_each_request_once() -> None:
    """Two that hold the same requests, and two that do not, by four writers with uneven times."""
    with StandInCentral(
        SHOP, companion=True, seconds_per_document=0.002, writers=4, uneven=0.5, seed=1
    ) as central:
        headers = {"Authorization": f"token {API_KEY}:{API_SECRET}", "Content-Type": "application/gzip"}

        def push(keys: range) -> list[str]:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.post(central.url + PUSH, data=a_push(keys), headers=headers, timeout=30)
            return [outcome["outcome"] for outcome in answer.json()["message"]["outcomes"]]

        with ThreadPoolExecutor(4) as senders:
            same, again, *others = senders.map(
                push, [range(1, 21), range(1, 21), range(21, 41), range(41, 61)]
            )
        assert others == [["applied"] * 20] * 2
        assert [sorted(pair) for pair in zip(same, again, strict=True)] == [["applied", "duplicate"]] * 20
        assert len(central.documents("ToDo")) == 60
