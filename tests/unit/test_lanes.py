"""Several pushes or requests on their way at once: what may be beside what, and what an answer does to the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support import (
    CUSTOMER,
    LOST,
    NOT_SENT,
    SCHEMAS,
    Branch,
    a_branch,
    a_request,
    drain,
    manual,
    most_at_once,
    refused,
    with_lanes,
)

from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.events import OUTCOME
from erp_offline_sync.engine.model import Operation, Reply, Schema, Status
from erp_offline_sync.engine.sending.lanes import LANES, counter_of
from erp_offline_sync.engine.sending.line import BREAKER
from erp_offline_sync.testing.doubles import MemoryFlights

KINDS = ["plain", "companion"]
BUSY = refused(429, "TooManyRequestsError")


def a_wide_branch(kind: str, lanes: int = 4, **more: Any) -> Branch:
    branch = a_branch(schemas=SCHEMAS, companion=kind == "companion", **more)
    with_lanes(branch, lanes)
    return branch


@pytest.fixture(params=KINDS)
def branch(request: pytest.FixtureRequest) -> Branch:
    return a_wide_branch(request.param)


def many(branch: Branch, count: int) -> list[str]:
    return [branch.create("Customer", f"C-{number}", city=f"City {number}") for number in range(count)]


def lands_last_first(branch: Branch) -> None:
    assert isinstance(branch.ports.flights, MemoryFlights)
    branch.ports.flights.land_next = lambda tickets: tickets[-1]


def lands_second_first(branch: Branch) -> None:
    assert isinstance(branch.ports.flights, MemoryFlights)
    branch.ports.flights.land_next = lambda tickets: tickets[:2][-1]


def each_call(branch: Branch, act: Callable[[int], Reply | None]) -> None:
    """`act` is given the number of the call, from 0, and may answer in the central's place."""
    count = 0
    for name in ("deliver", "push"):
        method = getattr(branch.central, name)

        def call(*given: Any, method: Any = method, **options: Any) -> Reply:
            nonlocal count
            number, count = count, count + 1
            answer = act(number)
            return answer if answer is not None else method(*given, **options)

        setattr(branch.central, name, call)


def test_what_does_not_depend_on_each_other_travels_side_by_side(branch: Branch) -> None:
    requests = many(branch, 60)
    lands_last_first(branch)
    branch.run()
    assert most_at_once(branch) == 4
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 60
    assert len(branch.names_there("Customer")) == 60


def test_one_lane_is_one_after_the_other(branch: Branch) -> None:
    with_lanes(branch, 1)
    many(branch, 30)
    branch.run()
    assert most_at_once(branch) == 1


def test_nothing_leaves_beside_what_it_depends_on(branch: Branch) -> None:
    """Updates of one customer in their order, and its sales after it; others travel meanwhile."""
    lands_last_first(branch)
    for number in range(12):
        name = f"C-{number}"
        branch.create("Customer", name, city="Rome")
        branch.create("Sale", f"S-{number}", customer=name, total=number, links=CUSTOMER)
        branch.submit("Sale", f"S-{number}")
    drain(branch)
    assert set(branch.statuses()) == {Status.SYNCED}
    assert most_at_once(branch) > 1
    for number in range(12):
        sale = branch.central.documents["Sale"][branch.line_of("Sale", f"S-{number}").central_name]
        customer = branch.line_of("Customer", f"C-{number}").central_name
        assert (sale["customer"], sale["docstatus"]) == (customer, 1)


COUNTED = {**SCHEMAS, "Sale": Schema(fields=SCHEMAS["Sale"].fields, counted=True)}


@pytest.mark.parametrize("kind", KINDS)
def test_two_creates_of_one_counter_of_names_are_never_beside_each_other(kind: str) -> None:
    branch = manual(schemas=COUNTED, companion=kind == "companion")
    with_lanes(branch, 4)
    aloft: list[int] = []
    flights = branch.ports.flights
    start, land = flights.start, flights.land

    def started(ticket: str, call: Any) -> None:
        before = len(branch.names_there("Sale"))
        start(ticket, call)
        if len(branch.names_there("Sale")) > before:
            aloft.append(int(ticket.replace("-", ""), 16))
            most.append(len(aloft))

    def landed() -> Any:
        one = land()
        number = int(one.ticket.replace("-", ""), 16)
        if number in aloft:
            aloft.remove(number)
        return one

    most: list[int] = []
    flights.start, flights.land = started, landed  # type: ignore[method-assign]
    for number in range(30):
        branch.create("Sale", f"S-{number}", total=number)
    many(branch, 30)
    branch.run()
    assert set(branch.statuses()) == {Status.SYNCED}
    assert max(most) == 1
    assert most_at_once(branch) > 1


@pytest.mark.parametrize(
    ("request_of", "schema", "counter"),
    [
        ({"operation": Operation.CREATE, "body": {"naming_series": "C-.#"}}, None, "Customer C-.#"),
        (
            {"operation": Operation.CREATE, "body": {"naming_series": "C-.#"}},
            Schema(fields={}),
            "Customer C-.#",
        ),
        ({"operation": Operation.CREATE, "body": {}}, Schema(fields={}, counted=True), "Customer"),
        ({"operation": Operation.CREATE, "body": {}}, Schema(fields={}), None),
        ({"operation": Operation.CREATE, "body": {}}, None, None),
        (
            {"operation": Operation.CREATE, "body": {"naming_series": "C-.#"}},
            Schema(fields={}, counted=True, named_here=True),
            None,
        ),
        ({"body": {"naming_series": "C-.#"}}, Schema(fields={}, counted=True), None),
    ],
)
def test_which_counter_a_request_draws_from(
    request_of: Any, schema: Schema | None, counter: str | None
) -> None:
    assert counter_of(a_request(**request_of), schema) == counter


def test_all_of_one_counter_at_the_front_do_not_hold_up_what_is_behind_them() -> None:
    branch = manual(schemas=COUNTED, companion=True)
    with_lanes(branch, 2)
    for number in range(30):
        branch.create("Sale", f"S-{number}", total=number)
    many(branch, 5)
    first_two: list[set[str | None]] = []
    push = branch.central.push

    def noted(data: bytes) -> Reply:
        reply = push(data)
        first_two.append({each.doctype for each in branch.central.companion.pushes[-1].requests})  # type: ignore[union-attr]
        return reply

    branch.central.push = noted  # type: ignore[method-assign]
    branch.run()
    assert first_two[:2] == [{"Sale"}, {"Customer"}]
    assert set(branch.statuses()) == {Status.SYNCED}


def test_no_more_leave_when_one_finds_the_line_closed(branch: Branch) -> None:
    requests = many(branch, 60)
    each_call(branch, lambda number: BUSY if number == 1 else None)
    lands_second_first(branch)
    branch.run()
    assert most_at_once(branch) > 1
    assert branch.engine.line.breaker.reason == "busy"
    assert {branch.status(request) for request in requests} == {Status.SYNCED, Status.PENDING}
    assert branch.get(requests[0]).retry_count == 0


def recorded_at_each_call(branch: Branch) -> list[int]:
    """How many requests were recorded when each of the calls began."""
    recorded: list[int] = []
    each_call(branch, lambda number: recorded.append(branch.statuses().count(Status.SYNCED)))
    return recorded


def test_a_push_leaves_in_the_place_of_one_that_landed_before_that_is_recorded() -> None:
    branch = a_wide_branch("companion", lanes=2, config=Config(sync_batch_size=10, sync_lanes=2))
    many(branch, 40)
    recorded = recorded_at_each_call(branch)
    branch.run()
    assert recorded == [0, 0, 0, 10]
    assert set(branch.statuses()) == {Status.SYNCED}


def test_a_request_leaves_in_the_place_of_one_that_landed_before_that_is_recorded() -> None:
    branch = a_wide_branch("plain", lanes=1, config=Config(sync_lanes=1))
    many(branch, 6)
    recorded = recorded_at_each_call(branch)
    branch.run()
    assert recorded == [0, 0, 1, 2, 3, 4]
    assert set(branch.statuses()) == {Status.SYNCED}


def test_no_request_leaves_in_the_place_of_one_that_was_not_applied() -> None:
    branch = a_wide_branch("plain", lanes=1, config=Config(sync_lanes=1))
    requests = many(branch, 3)
    seen: list[list[Status]] = []

    def first_refused(number: int) -> Reply | None:
        seen.append([branch.status(request) for request in requests])
        return refused(417, "ValidationError") if number == 0 else None

    each_call(branch, first_refused)
    branch.run()
    assert seen[1] == [Status.RETRY, Status.IN_FLIGHT, Status.IN_FLIGHT]


def test_answers_that_came_together_are_recorded_by_one_commit_and_told_after_it() -> None:
    branch = a_wide_branch("plain", config=Config(sync_lanes=4))
    many(branch, 12)
    publish, open_then = branch.events.publish, []

    def told(event: str, payload: Any) -> None:
        if event == OUTCOME:
            open_then.append(branch.get(payload["request"]).status is not Status.SYNCED)
            with pytest.raises(RuntimeError):
                branch.store.get(payload["request"])  # no transaction is open
        publish(event, payload)

    branch.events.publish = told  # type: ignore[method-assign]
    recorded = recorded_at_each_call(branch)
    branch.run()
    # The second four leave in the place of the first. The tenth ends a batch of ten.
    assert recorded == [0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 8, 8]
    assert open_then == [False] * 12


def test_an_answer_that_takes_a_look_is_recorded_after_those_that_only_close() -> None:
    branch = a_wide_branch("plain", config=Config(sync_lanes=4))
    many(branch, 4)
    branch.run()
    requests = [branch.update("Customer", f"C-{number}", city="Rome") for number in range(4)]
    recorded: list[list[bool]] = []
    for name in ("fetch", "find"):
        method = getattr(branch.central, name)

        def look(*given: Any, method: Any = method) -> Reply:
            recorded.append([branch.status(request) is Status.SYNCED for request in requests])
            return method(*given)

        setattr(branch.central, name, look)
    each_call(branch, lambda number: refused(417, "TimestampMismatchError") if number == 2 else None)
    branch.run()
    assert recorded[0] == [True, True, False, False]
    drain(branch)
    assert {branch.status(request) for request in requests} == {Status.SYNCED}


def test_a_run_that_lost_its_lease_records_none_of_the_answers_that_came_together() -> None:
    branch = a_wide_branch("plain", config=Config(sync_lanes=4))
    requests = many(branch, 4)

    def taken_over(number: int) -> None:
        if number == 3:
            with branch.store.transaction():
                current = branch.store.get(requests[2])
                assert current is not None
                branch.store.replace(replace(current, lease_token=99))

    each_call(branch, taken_over)
    assert branch.run().reason == "lease lost"
    assert Status.SYNCED not in branch.statuses()


def test_what_was_marked_before_the_process_stood_still_does_not_leave_after_it() -> None:
    branch = a_wide_branch("plain", config=Config(sync_lanes=4))
    requests = many(branch, 4)
    deliver, ages = branch.central.deliver, []

    def stands_still_after_the_first(wire: Any, *, key: str) -> Reply:
        request = next(branch.get(each) for each in requests if branch.get(each).key == key)
        assert request.sent_at is not None
        ages.append((branch.clock.now() - request.sent_at).total_seconds())
        reply = deliver(wire, key=key)
        if len(ages) == 1:
            branch.later(40)
        return reply

    branch.central.deliver = stands_still_after_the_first  # type: ignore[method-assign]
    branch.run(budget=1e6)
    assert ages == [0, 0, 0, 0]
    assert [branch.get(request).sends for request in requests] == [1] * 4
    assert set(branch.statuses()) == {Status.SYNCED}


def test_nothing_leaves_in_the_place_of_a_push_that_was_refused_or_lost() -> None:
    branch = a_wide_branch("companion", lanes=2, config=Config(sync_batch_size=10, sync_lanes=2))
    many(branch, 40)
    calls: list[int] = []

    def busy(number: int) -> Reply | None:
        calls.append(number)
        return BUSY if number == 0 else None

    each_call(branch, busy)
    branch.run()
    assert calls == [0, 1]
    assert not branch.engine.line.breaker.closed


def test_what_left_before_does_not_open_a_line_that_was_closed_since(branch: Branch) -> None:
    """The central asks for a pause of a minute; an answer to an earlier request comes after that."""
    many(branch, 60)
    busy = replace(BUSY, retry_after="60")
    each_call(branch, lambda number: busy if number == 1 else None)
    lands_second_first(branch)
    branch.run()
    assert not branch.engine.line.breaker.closed


def test_one_leaves_alone_after_an_outage(branch: Branch) -> None:
    many(branch, 60)
    branch.answer(NOT_SENT, NOT_SENT, NOT_SENT, NOT_SENT)
    branch.run()
    assert not branch.engine.line.breaker.closed
    beside: list[int] = []
    flights = branch.ports.flights
    assert isinstance(flights, MemoryFlights)
    flying = flights._flying
    each_call(branch, lambda number: beside.append(len(flying)))
    branch.later(60)
    branch.run()
    assert beside[0] == 0
    assert set(branch.statuses()) == {Status.SYNCED}
    assert most_at_once(branch) > 1


def width(branch: Branch) -> int:
    with branch.store.transaction():
        return int((branch.store.get_meta(LANES) or "")[len('{"lanes":') :].split(",")[0])


@pytest.mark.parametrize("answer", [refused(500, "QueryDeadlockError"), BUSY])
def test_too_much_at_once_halves_the_lanes_for_the_next_run_too(branch: Branch, answer: Reply) -> None:
    many(branch, 60)
    each_call(branch, lambda number: answer if number == 2 else None)
    branch.run()
    assert width(branch) == 2


def test_a_run_that_is_killed_leaves_in_doubt_what_was_on_its_way(branch: Branch) -> None:
    class Killed(BaseException):
        pass

    def dies(number: int) -> None:
        if number == 2:
            raise Killed

    requests = many(branch, 60)
    each_call(branch, dies)
    with pytest.raises(Killed):
        branch.run()
    before = len(branch.names_there("Customer"))
    assert before > 0
    branch.later(600)
    drain(branch)
    assert {branch.status(request) for request in requests} == {Status.SYNCED}
    assert len(branch.names_there("Customer")) == 60


def test_a_run_that_is_stopped_waits_for_what_is_on_its_way(branch: Branch) -> None:
    many(branch, 60)
    each_call(branch, lambda number: branch.control.stop() if number == 2 else None)
    assert branch.run().reason == "stopped: shutdown"
    assert Status.IN_FLIGHT not in branch.statuses()
    assert Status.IN_DOUBT not in branch.statuses()
    assert branch.statuses().count(Status.SYNCED) == len(branch.names_there("Customer"))


def test_what_is_lost_is_looked_up_when_nothing_is_on_its_way(branch: Branch) -> None:
    many(branch, 60)
    flights = branch.ports.flights
    assert isinstance(flights, MemoryFlights)
    looked: list[int] = []
    for name in ("receipts", "fetch", "find", "find_created_since"):
        method = getattr(branch.central, name)

        def look(*given: Any, method: Any = method) -> Reply:
            looked.append(len(flights._flying))
            reply: Reply = method(*given)
            return reply

        setattr(branch.central, name, look)
    each_call(branch, lambda number: LOST if number == 1 else None)
    drain(branch)
    assert looked
    assert set(looked) == {0}
    assert set(branch.statuses()) == {Status.SYNCED}


def test_a_large_backlog_is_placed_while_its_first_are_on_their_way(branch: Branch) -> None:
    many(branch, 1500)
    flights = branch.ports.flights
    assert isinstance(flights, MemoryFlights)
    flights.late = 2
    unplaced: list[int] = []

    def count(number: int) -> None:
        if number < 2:
            with branch.store.transaction():
                unplaced.append(len(branch.store.unplaced(10_000)))

    each_call(branch, count)
    branch.run(budget=1e6)
    assert unplaced[0] == 1400
    assert set(branch.statuses()) == {Status.SYNCED}


def test_pushes_are_full_while_the_backlog_holds_as_much() -> None:
    branch = a_wide_branch("companion", lanes=2, config=Config(sync_batch_size=450, sync_lanes=2))
    many(branch, 1800)
    branch.run(budget=1e6)
    assert [len(push.requests) for push in branch.central.companion.pushes[:3]] == [450] * 3


def test_lanes_that_were_found_outlive_a_run_that_begins_with_a_trial(branch: Branch) -> None:
    """The run before it ended between the probe and the request that was to go alone."""
    many(branch, 60)
    branch.answer(*[NOT_SENT] * 4)
    branch.run()
    with branch.store.transaction():
        breaker = json.loads(branch.store.get_meta(BREAKER) or "")
        branch.store.set_meta(BREAKER, json.dumps({**breaker, "half_open": True}))
    flights = branch.ports.flights
    assert isinstance(flights, MemoryFlights)
    flights.most = 0
    branch.later(60)
    branch.run()
    assert most_at_once(branch) > 1


def test_what_left_when_there_were_fewer_lanes_says_nothing_of_more() -> None:
    """The third call began beside one other, and lands beside three."""
    branch = a_branch(schemas=SCHEMAS)
    many(branch, 16)
    each_call(branch, lambda number: branch.clock.advance(1.0 if number < 3 else 2.0))
    branch.run()
    assert most_at_once(branch) == 4


def test_what_waits_at_the_front_of_a_large_backlog_does_not_hide_the_rest(branch: Branch) -> None:
    first = branch.create("Customer", "C-first", city="Rome")
    for number in range(1200):
        branch.update("Customer", "C-first", city=str(number), request={"apart": True})
    other = branch.create("Customer", "C-other", city="Oslo")
    each_call(branch, lambda number: refused(417, "MandatoryError") if number == 0 else None)
    branch.run(budget=1e6)
    assert branch.status(other) is Status.SYNCED
    assert branch.status(first) is not Status.SYNCED
