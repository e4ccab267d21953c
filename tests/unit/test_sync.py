"""The run: it claims, delivers, records, and goes on until nothing is due, its time is up, or it is told to stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support import LOST, NOT_SENT, Branch, a_branch, page, refused

from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.errors import Paused
from erp_offline_sync.engine.events import OUTCOME, PROGRESS, STATE_CHANGED
from erp_offline_sync.engine.model import Operation, Policy, Reply, Status
from erp_offline_sync.engine.status import LAST_SYNC, PENDING_COUNT, RUN_STARTED, pause, resume, sync_status
from erp_offline_sync.engine.sync import LEASE_MARGIN, SyncEngine

CUSTOMER = {"customer": "Customer"}


def meta(branch: Branch, key: str) -> str | None:
    with branch.store.transaction():
        return branch.store.get_meta(key)


def during(branch: Branch, number: int, act: Any) -> None:
    """Do something while the delivery of that number (1 is the first from now) is at the central."""
    deliver, seen = branch.central.deliver, len(branch.central.delivered)

    def delivered(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        if len(branch.central.delivered) == seen + number:
            act()
        return reply

    branch.central.deliver = delivered  # type: ignore[method-assign]


def customers(branch: Branch, count: int) -> list[str]:
    return [branch.create("Customer", f"C-{number}", city="Rome") for number in range(count)]


# the main job


def test_a_saved_document_reaches_the_central(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", customer_name="Ann")
    report = branch.run()
    assert (report.reason, report.stats.success) == ("done", 1)
    assert branch.status(request) is Status.SYNCED
    (document,) = branch.central.documents["Customer"].values()
    assert document["customer_name"] == "Ann"


def test_a_sale_arrives_after_its_customer_and_under_the_name_that_the_central_gave() -> None:
    """Its customer takes over its priority and goes before what was saved earlier."""
    branch = a_branch(policies={"Customer": Policy()})
    branch.create("Customer", "C-2", customer_name="Bob")
    branch.create("Customer", "C-1", customer_name="Ann")
    urgent = {"priority": 0, "rank": 0}
    sale = branch.create("Sale", "S-1", customer="C-1", total=5, links=CUSTOMER, request=urgent)
    with branch.store.transaction():
        assert branch.engine._placer.place_some(100) == 3
    assert branch.status(sale) is Status.WAITING
    branch.run()
    ann, bob = (branch.line_of("Customer", name).central_name for name in ("C-1", "C-2"))
    assert ann != "C-1"
    (there,) = branch.central.documents["Sale"].values()
    assert there["customer"] == ann
    arrived = [name for _key, _what, name, _body in branch.central.effects]
    assert arrived == [f"Customer/{ann}", f"Customer/{bob}", f"Sale/{there['name']}"]
    assert set(branch.statuses()) == {Status.SYNCED}


def test_updates_follow_the_create_under_the_name_and_version_that_the_central_gave(branch: Branch) -> None:
    branch.synced("Customer", "C-1", customer_name="Ann")
    branch.update("Customer", "C-1", customer_name="Anna")
    branch.run()
    assert branch.statuses() == [Status.SYNCED, Status.SYNCED]
    branch.assert_equal("Customer", "C-1")


def test_requests_of_one_document_arrive_in_the_order_of_their_commits(branch: Branch) -> None:
    """G2: each is another operation, so that none is taken in."""
    branch.create("Sale", "S-1", total=1)
    branch.submit("Sale", "S-1")
    branch.update("Sale", "S-1", remark="x")
    branch.cancel("Sale", "S-1")
    branch.delete("Sale", "S-1")
    branch.run()
    assert [what for _key, what, _name, _body in branch.central.effects] == [
        "create",
        "update",
        "update",
        "update",
        "delete",
    ]
    assert set(branch.statuses()) == {Status.SYNCED}


def test_a_stuck_request_holds_up_its_document_and_what_needs_it_and_nothing_else(branch: Branch) -> None:
    branch.answer(refused(417, "MandatoryError"))
    stuck = branch.create("Sale", "S-1", total=1)
    own = branch.submit("Sale", "S-1")
    needs = branch.create("Payment", "P-1", sale="S-1", links={"sale": "Sale"})
    free = [branch.create("Sale", "S-2", total=2), branch.create("Payment", "P-2"), branch.call()]
    branch.run()
    assert branch.status(stuck) is Status.NEEDS_ATTENTION
    assert [branch.status(request) for request in (own, needs)] == [Status.WAITING, Status.WAITING]
    assert {branch.status(request) for request in free} == {Status.SYNCED}


def test_nothing_is_lost_and_no_attempt_is_used_while_the_central_is_down(branch: Branch) -> None:
    branch.central.online = False
    branch.create("Customer", "C-1", customer_name="Ann")
    for number in range(30):
        branch.create("Sale", f"S-{number}", customer="C-1", links=CUSTOMER)
    for _ in range(10):
        branch.run(linger_offline=50)
        branch.later(600)
    assert len(branch.central.delivered) <= 1
    branch.central.online = True
    branch.later(40)
    assert branch.run().reason == "done"
    assert len(branch.central.documents["Sale"]) == 30
    assert {request.retry_count for request in branch.requests()} == {0}
    assert branch.ledger().applied == 31


def test_an_unanswered_create_is_found_and_not_made_twice(branch: Branch) -> None:
    branch.answer(LOST, applies=True)
    request = branch.create("Customer", "C-1", customer_name="Ann")
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Customer")) == 1


def test_the_later_write_wins_and_both_sides_are_equal_afterwards(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", customer_name="Ann", city="Rome")
    branch.later(60)
    branch.central.edit("Customer", name, city="Oslo")
    branch.later(60)
    branch.update("Customer", "C-1", customer_name="Anna")
    report = branch.run()
    assert report.stats.success == 1
    here = branch.here("Customer", "C-1")
    assert here is not None
    assert (here["customer_name"], here["city"]) == ("Anna", "Oslo")
    branch.assert_equal("Customer", "C-1")


# batches


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25])
def test_a_backlog_of_any_size_around_the_batch_is_drained_in_order(branch: Branch, count: int) -> None:
    for number in range(count):
        branch.call(body={"number": number})
    assert branch.run().stats.success == count
    assert [body["number"] for _key, _what, _name, body in branch.central.effects] == list(range(count))


def test_the_best_priority_goes_first_and_among_equals_the_oldest(branch: Branch) -> None:
    for number, rank in enumerate((5, 9, 0, 5, 0)):
        branch.call(body={"number": number}, rank=rank, priority=rank)
    branch.run()
    assert [body["number"] for _key, _what, _name, body in branch.central.effects] == [2, 4, 0, 3, 1]


def test_what_is_saved_during_a_run_goes_with_it(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    during(branch, 1, lambda: branch.create("Customer", "C-2"))
    assert branch.run().stats.success == 2


def test_a_save_just_before_the_lease_is_given_back_is_seen(branch: Branch) -> None:
    """It woke nobody, because a run was still there."""
    release, late = branch.store.release_lease, []

    def too_late(lease: Any) -> None:
        if not late:
            late.append(branch.create("Customer", "C-9"))
        release(lease)

    branch.store.release_lease = too_late  # type: ignore[method-assign]
    branch.create("Customer", "C-1")
    report = branch.run()
    assert branch.status(late[0]) is Status.SYNCED
    assert (report.reason, report.stats.success) == ("done", 2), "both parts are one run"
    with branch.store.transaction():
        assert sync_status(branch.store)["stats"]["successCount"] == 2


def test_what_another_run_took_on_meanwhile_does_not_change_what_this_one_did(branch: Branch) -> None:
    """It came too late to wake anybody, and another run has the lease when this one looks once more."""
    release = branch.store.release_lease

    def overtaken(lease: Any) -> None:
        branch.create("Customer", "C-9")
        release(lease)
        assert branch.store.acquire_lease("other", 60.0)

    branch.store.release_lease = overtaken  # type: ignore[method-assign]
    branch.create("Customer", "C-1")
    report = branch.run()
    assert (report.reason, report.stats.success) == ("done", 1)


def test_only_the_chosen_doctypes_go_and_nothing_is_waited_for(branch: Branch) -> None:
    customer = branch.create("Customer", "C-1")
    branch.answer(refused(417, "ValidationError"))
    sale = branch.create("Sale", "S-1", total=1)
    began = branch.clock.monotonic()
    assert branch.run(doctypes=["Sale"], linger=50).reason == "done"
    assert branch.clock.monotonic() == began
    assert [branch.status(request) for request in (customer, sale)] == [Status.PENDING, Status.RETRY]


# one run at a time


def test_a_second_run_ends_at_once(branch: Branch) -> None:
    seen: list[str] = []
    other = SyncEngine(branch.ports, holder="other")
    customers(branch, 2)
    during(branch, 1, lambda: seen.append(other.run().reason))
    assert branch.run().stats.success == 2
    assert seen == ["busy"]


def test_the_lease_is_longer_than_a_delivery_and_renewed_before_each() -> None:
    branch = a_branch(config=Config(sync_lanes=1))
    left: list[float] = []
    deliver = branch.central.deliver

    def slow(wire: Any, *, key: str) -> Reply:
        with branch.store.transaction():
            lease = branch.store.live_lease()
        assert lease is not None
        left.append((lease.expires_at - branch.clock.now()).total_seconds())
        branch.later(branch.central.deadline)
        return deliver(wire, key=key)

    branch.central.deliver = slow  # type: ignore[method-assign]
    customers(branch, 3)
    branch.run(budget=1e6)
    assert left == [branch.central.deadline + LEASE_MARGIN] * 3


def test_a_run_that_lost_its_lease_sends_nothing_more(branch: Branch) -> None:
    first, second = customers(branch, 2)

    def taken() -> None:
        branch.later(10_000)
        with branch.store.transaction():
            assert branch.store.acquire_lease("other", 60)

    during(branch, 1, taken)
    assert branch.run(budget=1e6).reason == "lease lost"
    assert len(branch.central.delivered) == 1
    branch.later(100)
    branch.run()
    assert {branch.status(request) for request in (first, second)} == {Status.SYNCED}
    assert len(branch.names_there("Customer")) == 2


def test_what_a_killed_run_had_claimed_goes_with_the_next(branch: Branch) -> None:
    """More of it than is looked at in one go."""
    requests = customers(branch, 250)
    with branch.store.transaction():
        placed = branch.engine._placer
        placed.place_all()
        due = branch.store.due(branch.clock.now(), limit=1000, horizon=timedelta(hours=6))
        assert len(branch.store.claim(due, 77)) == 250
    branch.run(budget=1e6)
    assert {branch.status(request) for request in requests} == {Status.SYNCED}


def test_an_error_of_the_engine_ends_the_run_and_the_next_one_goes_on(branch: Branch) -> None:
    customers(branch, 3)

    def broken() -> None:
        raise MemoryError("disk full")

    deliver = branch.central.deliver
    during(branch, 2, broken)
    with pytest.raises(MemoryError):
        branch.run()
    assert branch.events.of(STATE_CHANGED)[-1]["state"] == "failed"
    branch.central.deliver = deliver  # type: ignore[method-assign]
    branch.later(1000)
    assert branch.run().reason == "done"
    assert len(branch.names_there("Customer")) == 3


# ends


def test_a_run_ends_when_its_time_is_up(branch: Branch) -> None:
    customers(branch, 30)
    deliver = branch.central.deliver

    def slow(wire: Any, *, key: str) -> Reply:
        branch.later(1)
        return deliver(wire, key=key)

    branch.central.deliver = slow  # type: ignore[method-assign]
    assert branch.run(budget=5).reason == "time"
    assert 5 <= len(branch.central.delivered) <= 10
    assert Status.IN_FLIGHT not in branch.statuses()


def test_a_run_that_is_told_to_stop_gives_back_what_it_had_claimed(branch: Branch) -> None:
    customers(branch, 5)
    during(branch, 2, lambda: branch.control.stop("maintenance"))
    assert branch.run().reason == "stopped: maintenance"
    assert len(branch.central.delivered) == 2
    assert branch.statuses().count(Status.PENDING) == 3
    assert meta(branch, PENDING_COUNT) == "3"
    assert meta(branch, LAST_SYNC) is None


def test_a_run_does_not_give_back_what_another_run_took_over(branch: Branch) -> None:
    _first, second = customers(branch, 2)

    def taken_and_stopped() -> None:
        branch.control.stop()
        with branch.store.transaction():
            current = branch.store.get(second)
            assert current is not None
            branch.store.replace(replace(current, lease_token=99))

    during(branch, 1, taken_and_stopped)
    branch.run()
    assert (branch.status(second), branch.get(second).lease_token) == (Status.IN_FLIGHT, 99)


def test_placing_a_long_backlog_stops_as_well(branch: Branch) -> None:
    customers(branch, 250)
    branch.central.online = False
    unplaced, reads = branch.store.unplaced, []

    def stops(limit: int) -> Any:
        reads.append(limit)
        branch.control.stop()
        return unplaced(limit)

    branch.store.unplaced = stops  # type: ignore[method-assign]
    assert branch.run().reason == "stopped: shutdown"
    assert len(reads) == 1


def test_while_paused_nothing_leaves_not_even_a_probe(branch: Branch) -> None:
    customers(branch, 5)

    def ann_pauses() -> None:
        with branch.store.transaction():
            pause(branch.store, by="ann", reason="stock taking")

    during(branch, 2, ann_pauses)
    assert branch.run().reason == "paused by ann (stock taking)"
    assert len(branch.central.delivered) == 2
    assert branch.run().reason == "paused by ann (stock taking)"
    with pytest.raises(Paused, match="ann"):
        branch.run(force=True)
    assert (len(branch.central.delivered), branch.central.probes) == (2, 0)
    with branch.store.transaction():
        resume(branch.store)
    assert branch.run().stats.success == 3


def test_a_pause_holds_back_look_ups_too(branch: Branch) -> None:
    for number in range(2):
        branch.create("Sale", f"S-{number}", total=number)
    branch.answer(LOST, LOST)
    branch.run()
    branch.later(300)
    looked: list[str] = []
    look = branch.central.find_created_since

    def pauses(doctype: str, since: Any) -> Reply:
        looked.append(doctype)
        with branch.store.transaction():
            pause(branch.store, by="ann", reason="")
        return look(doctype, since)

    branch.central.find_created_since = pauses  # type: ignore[method-assign]
    assert branch.run().reason == "paused by ann"
    assert len(looked) == 1


# waiting


def test_a_run_waits_for_what_is_due_soon(branch: Branch) -> None:
    branch.answer(refused(417, "ValidationError"))
    request = branch.create("Customer", "C-1")
    assert branch.run(linger=10).reason == "done"
    assert branch.status(request) is Status.SYNCED


def test_what_is_saved_while_a_run_lingers_goes_at_once(branch: Branch) -> None:
    due, late = branch.store.due, []

    def then_a_save(*args: Any, **more: Any) -> Any:
        found = due(*args, **more)
        if not found and not late:
            late.append(branch.create("Customer", "C-9"))
        return found

    branch.store.due = then_a_save  # type: ignore[method-assign]
    assert branch.run(linger=10).stats.success == 1
    assert branch.clock.monotonic() == 0


def test_a_run_does_not_wait_for_what_is_due_later(branch: Branch) -> None:
    branch.answer(LOST)
    request = branch.create("Customer", "C-1")
    began = branch.clock.monotonic()
    branch.run(linger=10)
    assert branch.status(request) is Status.IN_DOUBT
    assert branch.clock.monotonic() == began


def test_an_idle_run_ends_at_once_however_long_it_may_linger(branch: Branch) -> None:
    began = branch.clock.monotonic()
    assert branch.run(linger=10, linger_offline=50).reason == "done"
    assert branch.clock.monotonic() == began


def test_while_the_line_is_down_and_rows_wait_a_run_stays_to_probe(branch: Branch) -> None:
    request = branch.create("Customer", "C-1")
    branch.central.online = False
    sleep = branch.clock.sleep

    def back_after_20_seconds(seconds: float) -> None:
        sleep(seconds)
        branch.central.online = branch.clock.monotonic() >= 20

    branch.clock.sleep = back_after_20_seconds  # type: ignore[method-assign]
    assert branch.run(linger_offline=50).reason == "done"
    assert branch.status(request) is Status.SYNCED
    assert branch.clock.monotonic() <= 50


def test_it_gives_the_worker_back_after_that_time(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.central.online = False
    assert branch.run(linger_offline=50).reason == "offline"
    assert 49 <= branch.clock.monotonic() <= 51
    assert branch.central.probes <= 8


def test_with_nothing_waiting_nobody_probes(branch: Branch) -> None:
    branch.synced("Customer", "C-1")
    branch.central.online = False
    branch.engine.line.probe()
    began = branch.clock.monotonic()
    assert branch.run(linger_offline=50).reason == "offline"
    assert branch.clock.monotonic() == began


def test_what_is_saved_while_the_line_is_down_is_placed_all_the_same(branch: Branch) -> None:
    """People see what it waits for, and it costs no time when the line is back."""
    branch.central.online = False
    branch.create("Customer", "C-1")
    branch.run()
    later = branch.update("Customer", "C-1", city="Rome")
    branch.run()
    assert branch.status(later) is Status.MERGED


def test_a_run_leaves_word_when_it_began(branch: Branch) -> None:
    """The scheduler's interval is counted from there, whatever becomes of the run."""
    began = branch.clock.now()
    customers(branch, 1)
    during(branch, 1, lambda: branch.later(30))
    branch.run()
    assert meta(branch, RUN_STARTED) == began.isoformat()


# the line


def test_while_the_breaker_is_open_no_document_leaves_and_a_wake_up_does_nothing(branch: Branch) -> None:
    branch.central.online = False
    branch.create("Customer", "C-1")
    branch.run()
    delivered, probes = len(branch.central.delivered), branch.central.probes
    for _ in range(5):
        assert branch.run().reason == "offline"
    assert (len(branch.central.delivered), branch.central.probes) == (delivered, probes)


def test_to_force_a_run_probes_once_at_once(branch: Branch) -> None:
    branch.central.answers_all = refused(401, "AuthenticationError", "bad token")
    branch.create("Customer", "C-1")
    assert branch.run().reason == "credentials"
    branch.central.answers_all = None
    assert branch.run().reason == "credentials"
    assert branch.run(force=True).reason == "done"
    assert branch.central.probes == 1


def test_after_an_outage_one_request_goes_first_as_a_trial(branch: Branch) -> None:
    customers(branch, 5)
    branch.central.online = False
    branch.run()
    branch.central.online = True
    branch.later(60)
    branch.answer(page(503))
    delivered = len(branch.central.delivered)
    branch.run()
    assert len(branch.central.delivered) == delivered + 1


def test_the_trial_is_another_one_than_those_that_failed(branch: Branch) -> None:
    blocked, *others = customers(branch, 3)
    deliver = branch.central.deliver

    def blocks_the_first(wire: Any, *, key: str) -> Reply:
        return page(403) if key == blocked else deliver(wire, key=key)

    branch.central.deliver = blocks_the_first  # type: ignore[method-assign]
    for _ in range(10):
        branch.run()
        branch.later(60)
    assert {branch.status(request) for request in others} == {Status.SYNCED}
    branch.central.deliver = deliver  # type: ignore[method-assign]
    branch.run()
    assert branch.status(blocked) is Status.SYNCED


@pytest.mark.parametrize("answer", [page(502), refused(500, "KeyError"), LOST])
def test_a_look_up_that_fails_with_the_line_sends_nothing_and_uses_no_attempt(
    branch: Branch, answer: Reply
) -> None:
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1", "city": "Oslo"}
    branch.central.insert("Customer", "C-1", city="Oslo")
    request = branch.update("Customer", "C-1", city="Rome")
    fetch = branch.central.fetch

    def goes_down(doctype: str, name: str) -> Reply:
        branch.central.answers_all = answer
        return answer

    branch.central.fetch = goes_down  # type: ignore[method-assign]
    for _ in range(5):
        branch.run()
        branch.later(60)
    assert (branch.status(request), branch.get(request).retry_count) == (Status.PENDING, 0)
    assert branch.central.delivered == []
    branch.central.fetch, branch.central.answers_all = fetch, None  # type: ignore[method-assign]
    branch.later(60)
    branch.run()
    assert branch.status(request) is Status.SYNCED


def test_a_look_up_that_always_fails_is_counted_for_its_request_and_stops_no_other(branch: Branch) -> None:
    """The central crashes over this one document, and answers all else."""
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1", "city": "Oslo"}
    branch.central.insert("Customer", "C-1", city="Oslo")
    poison = branch.update("Customer", "C-1", city="Rome")
    others = [branch.create("Sale", f"S-{number}", total=number) for number in range(15)]
    fetch = branch.central.fetch

    def crashes(doctype: str, name: str) -> Reply:
        return refused(500, "KeyError") if name == "C-1" else fetch(doctype, name)

    branch.central.fetch = crashes  # type: ignore[method-assign]
    for _ in range(30):
        branch.run()
        branch.later(60)
    assert {branch.status(request) for request in others} == {Status.SYNCED}
    assert branch.status(poison) is Status.NEEDS_ATTENTION


@pytest.mark.parametrize(
    "answer", [refused(417, "TimestampMismatchError"), refused(404, "DoesNotExistError"), refused(409, None)]
)
def test_an_answer_that_could_not_be_looked_into_uses_no_attempt(branch: Branch, answer: Reply) -> None:
    branch.synced("Sale", "S-1", total=1)
    request = branch.submit("Sale", "S-1")
    fetch = branch.central.fetch

    def goes_down() -> None:
        branch.central.fetch = lambda doctype, name: page(502)  # type: ignore[method-assign]

    branch.answer(answer)
    during(branch, 1, goes_down)
    branch.run()
    assert branch.status(request) in (Status.PENDING, Status.IN_DOUBT)
    branch.central.fetch = fetch  # type: ignore[method-assign]
    branch.later(600)
    branch.run()
    assert (branch.status(request), branch.get(request).retry_count) == (Status.SYNCED, 0)


# what is told


def test_people_hear_when_it_begins_how_far_it_is_and_when_it_ends(branch: Branch) -> None:
    customers(branch, 3)
    branch.run()
    states = branch.events.of(STATE_CHANGED)
    assert [state["state"] for state in states] == ["syncing", "idle"]
    assert [set(state) for state in states] == [{"state", "stats", "lastSyncTime", "reason"}] * 2
    assert states[-1]["lastSyncTime"] == meta(branch, LAST_SYNC)
    assert [progress["processed"] for progress in branch.events.of(PROGRESS)] == [0, 1, 2, 3]
    assert {progress["total"] for progress in branch.events.of(PROGRESS)} == {3}


def test_the_log_hears_what_became_of_each_request(branch: Branch) -> None:
    branch.answer(refused(417, "ValidationError", "city Rome"))
    request = branch.create("Customer", "C-1", city="Rome")
    branch.run()
    (outcome,) = branch.events.of(OUTCOME)
    assert (outcome["request"], outcome["doctype"], outcome["operation"]) == (request, "Customer", "create")
    assert (outcome["http_status"], outcome["exc_type"]) == (417, "ValidationError")
    assert (outcome["result"], outcome["status"]) == ("failure", "Retry Scheduled")
    assert outcome["next"]
    assert "Rome" not in str(outcome)


def test_stats_count_each_request_by_what_became_of_it() -> None:
    branch = a_branch(config=Config(max_retries=0))
    name = branch.synced("Customer", "C-0", city="Oslo")
    branch.central.edit("Customer", name, city="Bonn")
    branch.update("Customer", "C-0", city="Rome", request={"rank": 0})
    branch.create("Customer", "C-1", request={"rank": 1})
    branch.create("Customer", "C-2", request={"rank": 2})
    branch.central.faults = []
    deliver = branch.central.deliver

    def refuses_creates_once(wire: Any, *, key: str) -> Reply:
        if wire.method == "POST" and not branch.events.of("refused"):
            branch.events.publish("refused", {})
            return refused(417, "ValidationError")
        return deliver(wire, key=key)

    branch.central.deliver = refuses_creates_once  # type: ignore[method-assign]
    stats = branch.run().stats
    assert (stats.conflict, stats.failure, stats.success) == (1, 1, 1)


def test_a_run_remembers_when_everything_was_sent_and_what_is_left(branch: Branch) -> None:
    customers(branch, 2)
    branch.run()
    first = meta(branch, LAST_SYNC)
    assert first == branch.clock.now().isoformat()
    branch.central.online = False
    branch.later(60)
    branch.create("Customer", "C-9")
    branch.run()
    assert (meta(branch, LAST_SYNC), meta(branch, PENDING_COUNT)) == (first, "1")


def test_a_queued_call_is_sent_as_it_is(branch: Branch) -> None:
    call = branch.call(body={"shop": "Rome"})
    branch.answer(NOT_SENT)
    branch.run()
    branch.later(60)
    branch.run()
    assert branch.status(call) is Status.SYNCED
    assert branch.central.effects == [(call, "call", "/api/method/shop.close_day", {"shop": "Rome"})]
    assert branch.get(call).operation is Operation.CALL
