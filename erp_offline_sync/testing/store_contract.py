"""What every Store keeps, as plain functions: `case(store, time)` for each of `CASES`.

A case begins with an empty store. `time.advance(seconds)` lets time pass for the store: by moving a frozen
clock, or by really waiting. Nothing here needs a test framework, so that the suite also runs where the
database is, inside a bench. Words: a request's `seq` is given by the store; a request is "new" while it is
Pending with readiness NEW.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, Protocol

from erp_offline_sync.adapters.standalone import NoCentral
from erp_offline_sync.engine.deciding.resolution import Resolutions
from erp_offline_sync.engine.errors import InvalidRequest, NotAllowed, NotFound
from erp_offline_sync.engine.model import (
    Attempt,
    Conflict,
    ConflictType,
    Document,
    Link,
    Operation,
    Readiness,
    Request,
    Resolution,
    Status,
    Wire,
)
from erp_offline_sync.engine.ports import Store
from erp_offline_sync.engine.transitions import ALLOWED, ENDS, ledger, move
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import MemoryDocuments, ports_around

__all__ = ["CASES", "Case", "Time", "make_conflict", "make_document", "make_request"]

WHEN = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=timezone.utc)
HORIZON = timedelta(seconds=330)
AWKWARD = 'O\'Reilly "50 %" %s %(name)s \\ ; -- فاتورة المبيعات 🧾 é\u00a0\n\t_%'


class Time(Protocol):
    def advance(self, seconds: float) -> None:
        """Let so much time pass for the store."""


Case = Callable[[Store, Time], None]
CASES: list[Case] = []
"""Every case of the contract, in the order of this file."""


def _case(function: Case) -> Case:
    CASES.append(function)
    return function


def make_request(name: str, **changes: Any) -> Request:
    """A small create; `changes` are fields of Request."""
    request = Request(
        id=name,
        key=f"key-{name}",
        seq=0,
        operation=Operation.CREATE,
        resource_type="ToDo",
        resource_id=f"T-{name}",
        method="POST",
        path="/api/resource/ToDo",
        body={"description": name},
        created_at=WHEN,
    )
    return replace(request, **changes)


def make_document(name: str, **changes: Any) -> Document:
    """A document that the central does not know yet; `changes` are fields of Document."""
    return replace(Document(id=name, doctype="Customer", local_name=f"C-{name}"), **changes)


def make_conflict(name: str, **changes: Any) -> Conflict:
    """A pending conflict; `changes` are fields of Conflict."""
    conflict = Conflict(
        id=name,
        resource_type="Customer",
        resource_id="C-1",
        line=f"line-{name}",
        local_request_id="r1",
        conflict_type=ConflictType.UPDATE_UPDATE,
        local_data={"territory": "here"},
        base_data={"territory": "before"},
        server_data={"territory": "there"},
        server_version="2026-02-03 04:05:06.789012",
        local_changed_at=WHEN,
        created_at=WHEN,
    )
    return replace(conflict, **changes)


# ---------------------------------------------------------------- requests: writing and reading back


@_case
def case_a_request_comes_back_as_it_was_added(store: Store, time: Time) -> None:
    with store.transaction():
        added = store.add(make_request("a"))
        assert added == replace(make_request("a"), seq=added.seq)
        assert store.get("a") == added
    with store.transaction():
        assert store.get("a") == added


@_case
def case_several_are_read_in_the_order_asked_for(store: Store, time: Time) -> None:
    with store.transaction():
        added = {name: store.add(make_request(name)) for name in "abc"}
    with store.transaction():
        assert store.get_all([]) == []
        assert store.get_all(["c", "gone", "a"]) == [added["c"], added["a"]]
        changed = replace(added["b"], sends=1)
        store.replace(changed)
        assert store.get_all(["b", "a"]) == [changed, added["a"]]


@_case
def case_every_field_of_a_request_comes_back(store: Store, time: Time) -> None:
    full = _full_request()
    with store.transaction():
        added = store.add(full)
        assert added == replace(full, seq=added.seq)
    with store.transaction():
        assert store.get(full.id) == added
        plain = store.add(make_request("plain"))
        store.replace(replace(full, id="plain", key="key-plain", seq=plain.seq))
    with store.transaction():
        assert store.get("plain") == replace(full, id="plain", key="key-plain", seq=plain.seq)
        store.replace(plain)
    with store.transaction():
        assert store.get("plain") == plain


@_case
def case_none_and_empty_are_kept_apart(store: Store, time: Time) -> None:
    with store.transaction():
        empty = store.add(
            make_request(
                "a", base={}, differences={}, body={}, wire=Wire(method="GET", path="/api/x", body="")
            )
        )
        none = store.add(make_request("b", resource_type=None, resource_id=None, operation=Operation.CALL))
    with store.transaction():
        assert store.get("a") == empty
        assert store.get("b") == none


@_case
def case_awkward_texts_come_back_as_they_were(store: Store, time: Time) -> None:
    body = {"text": AWKWARD, AWKWARD: [AWKWARD, None, True, 0, 1.5, -(10**15), {"deep": [AWKWARD]}]}
    with store.transaction():
        store.add(
            make_request(
                "a",
                body=body,
                resource_id=AWKWARD,
                resource_type="It's % %s",
                reason=AWKWARD,
                line=AWKWARD,
                order_group=AWKWARD,
            )
        )
        store.set_meta("text", AWKWARD)
        store.put_document(make_document("d", local_name=AWKWARD, central_name=AWKWARD, base=body))
        store.put_conflict(make_conflict("c", line=AWKWARD, local_data=body, reason=AWKWARD))
    with store.transaction():
        request = store.get("a")
        assert request is not None
        assert request.body == body
        assert (request.resource_id, request.reason) == (AWKWARD, AWKWARD)
        assert store.open_in_line(AWKWARD) == [request]
        assert store.open_in_group(AWKWARD, before=request.seq + 1) == request
        assert store.open_on_name("It's % %s", AWKWARD, [Operation.CREATE], before=request.seq + 1) == [
            request
        ]
        assert store.get_meta("text") == AWKWARD
        document = store.document_named("Customer", AWKWARD)
        assert document is not None
        assert document.base == body
        assert store.documents_at_central("Customer", [AWKWARD]) == [document]
        conflict = store.pending_conflict(AWKWARD)
        assert conflict is not None
        assert (conflict.local_data, conflict.reason) == (body, AWKWARD)


@_case
def case_a_megabyte_of_text_is_kept(store: Store, time: Time) -> None:
    body = {"attachment": "ع%s'" * 350_000}
    with store.transaction():
        store.add(make_request("a", body=body))
    with store.transaction():
        request = store.get("a")
        assert request is not None
        assert request.body == body


@_case
def case_a_later_change_of_what_was_handed_in_does_not_reach_the_store(store: Store, time: Time) -> None:
    body = {"items": [{"qty": 1}]}
    with store.transaction():
        store.add(make_request("a", body=body))
        body["items"][0]["qty"] = 2
        request = store.get("a")
        assert request is not None
        assert request.body == {"items": [{"qty": 1}]}


@_case
def case_a_taken_id_is_refused_and_the_transaction_goes_on(store: Store, time: Time) -> None:
    with store.transaction():
        first = store.add(make_request("a"))
    with store.transaction():
        with _raises(InvalidRequest):
            store.add(make_request("a", key="another", body={"other": 1}))
        store.add(make_request("b"))
    with store.transaction():
        assert store.get("a") == first
        assert store.get("b") is not None
        assert store.counters()[Status.PENDING] == 2


@_case
def case_a_taken_idempotency_key_is_refused(store: Store, time: Time) -> None:
    with store.transaction():
        store.add(make_request("a"))
        with _raises(InvalidRequest):
            store.add(make_request("b", key="key-a"))
        assert store.get("b") is None
        other = store.add(make_request("c"))
        with _raises(InvalidRequest):
            store.replace(move(other, Status.DISCARDED, key="key-a", closed_at=WHEN))
        assert store.get("c") == other
        assert store.counters()[Status.PENDING] == 2


@_case
def case_seq_grows_and_is_not_given_twice(store: Store, time: Time) -> None:
    with store.transaction():
        seqs = [store.add(make_request(f"r{i}", seq=1000 - i)).seq for i in range(3)]
    with store.transaction():
        last = store.get("r2")
        assert last is not None
        store.replace(move(last, Status.DISCARDED, closed_at=WHEN))
        assert store.purge(closed_before=WHEN + timedelta(days=1), limit=10) == 1
    with store.transaction():
        seqs.append(store.add(make_request("r3")).seq)
    assert seqs == sorted(set(seqs))
    assert seqs[0] > 0


@_case
def case_what_is_not_there_is_none(store: Store, time: Time) -> None:
    with store.transaction():
        assert store.get("x") is None
        assert store.document("x") is None
        assert store.document_named("ToDo", "x") is None
        assert store.documents_at_central("ToDo", []) == []
        assert store.conflict("x") is None
        assert store.pending_conflict("x") is None
        assert store.live_lease() is None
        assert store.get_meta("x") is None
        assert store.oldest_open() is None
        assert store.next_due_at() is None
        assert store.claim([], 1) == []
        assert store.release("x") == 0
        assert store.open_in_group("x", before=10) is None
        assert ledger(store.counters()).captured == 0


@_case
def case_what_is_taken_up_is_read_and_written_as_ever(store: Store, time: Time) -> None:
    with store.transaction():
        first, second = (_ready(store, name, line=f"l-{name}") for name in ("a", "b"))
        _waiting(store, "c", "a", line="l-c")
        store.put_document(make_document("l-a"))
    with store.transaction():
        waiting = store.get("c")
        assert waiting is not None
        store.take_up([first, second, waiting, make_request("gone")])
        assert store.get("a") == first
        assert store.get("gone") is None
        flying = store.claim([first, second], 7)
        assert store.get("b") == flying[1]
        store.replace(flying[0].altered(sends=1))
        assert store.get("a") == flying[0].altered(sends=1)
        assert store.release("a") == 1
        released = store.get("c")
        assert released is not None
        assert released.status is Status.PENDING
        known = make_document("l-a", central_name="CUST-1")
        store.put_document(known)
        assert store.document("l-a") == known
        store.put_document(known.__class__(id="l-a", doctype=known.doctype, local_name="C-2"))
        with _raises(NotAllowed):
            store.put_document(make_document("l-b", local_name="C-2"))
    with store.transaction():
        ends = store.get("a")
        assert ends is not None
        assert (ends.sends, store.get("b"), store.get("c")) == (1, flying[1], released)


@_case
def case_a_better_rank_given_meanwhile_stays_where_the_token_is_asked_for(store: Store, time: Time) -> None:
    with store.transaction():
        claimed = store.claim([_ready(store, "a", rank=5)], 7)[0]
        store.replace(claimed.altered(rank=2))
        assert store.replace(claimed.altered(sends=1), token=7)
        kept = store.get("a")
        assert kept is not None
        assert (kept.rank, kept.sends) == (2, 1)
        store.replace(claimed.altered(rank=5))
        assert store.get("a") == claimed


# ---------------------------------------------------------------- transactions


@_case
def case_a_rolled_back_transaction_leaves_nothing(store: Store, time: Time) -> None:
    with _raises(_Crash), store.transaction():
        added = store.add(make_request("a", order_group="g"))
        store.replace(replace(added, readiness=Readiness.READY, line="l1"))
        store.set_links("a", added.seq, ["l2"])
        store.put_document(make_document("d", central_name="C"))
        store.put_conflict(make_conflict("c", line="l1"))
        store.acquire_lease("run", 60)
        store.set_meta("paused", "yes")
        raise _Crash
    with store.transaction():
        assert store.get("a") is None
        assert store.list_requests() == []
        assert store.open_in_line("l1") == []
        assert store.open_in_group("g", before=10**9) is None
        assert store.linkers("l2") == []
        assert store.document("d") is None
        assert store.document_named("Customer", "C-d") is None
        assert store.documents_at_central("Customer", ["C"]) == []
        assert store.conflict("c") is None
        assert store.count_conflicts() == 0
        assert store.live_lease() is None
        assert store.get_meta("paused") is None
        assert ledger(store.counters()).captured == 0
        assert store.oldest_open() is None
        again = store.add(make_request("a"))
        store.set_links("a", again.seq, [])
        assert store.unplaced(10) == [again]


@_case
def case_a_nested_transaction_joins_the_outer_one(store: Store, time: Time) -> None:
    with _raises(_Crash), store.transaction():
        with store.transaction():
            store.add(make_request("a"))
        assert store.get("a") is not None
        raise _Crash
    with store.transaction():
        assert store.get("a") is None
        with store.transaction():
            store.add(make_request("b"))
        store.add(make_request("c"))
    with store.transaction():
        assert [request.id for request in store.list_requests()] == ["b", "c"]


@_case
def case_a_crash_between_any_two_steps_leaves_the_last_commit(store: Store, time: Time) -> None:
    """A run's transaction is cut after each of its steps in turn; the store stands as before each time."""
    with store.transaction():
        ready = _ready(store, "ready", line="l1", order_group="g")
        flying = store.claim([_ready(store, "flying", line="l2")], 3)[0]
        _waiting(store, "waiting", "flying", line="l3")
        ended = store.add(make_request("ended"))
        store.replace(move(ended, Status.DISCARDED, closed_at=WHEN))
        store.set_links("ready", ready.seq, ["l2"])
        store.put_document(make_document("l1", central_name="C-1"))
        store.put_conflict(make_conflict("c", line="l3"))
        store.set_meta("last", "1")
        lease = store.acquire_lease("run", 600)
        assert lease is not None
    steps: list[Callable[[], object]] = [
        lambda: store.add(make_request("new")),
        lambda: store.claim([ready], 9),
        lambda: store.replace(move(flying, Status.SYNCED, closed_at=WHEN), token=3),
        lambda: store.release("flying"),
        lambda: store.set_links("waiting", flying.seq, ["l1", "l2"]),
        lambda: store.set_links("ready", ready.seq, ["l4"]),
        lambda: store.put_document(make_document("l1", central_name="C-2", deleted=True)),
        lambda: store.put_document(make_document("l9", local_name="C-l1")),
        lambda: store.put_conflict(_decided(make_conflict("c", line="l3"), WHEN)),
        lambda: store.purge(closed_before=WHEN + timedelta(days=1), limit=1),
        lambda: store.set_meta("last", None),
        lambda: store.set_meta("next", "2"),
        lambda: store.release_lease(lease),
    ]
    before = _everything(store)
    for crash_after in range(len(steps) + 1):
        with _raises(_Crash), store.transaction():
            for step in steps[:crash_after]:
                step()
            raise _Crash
        assert _everything(store) == before, f"after step {crash_after}"
    with store.transaction():
        for step in steps:
            step()
    assert _everything(store) != before


# ---------------------------------------------------------------- claim and fencing


@_case
def case_claim_makes_requests_in_flight_under_the_token(store: Store, time: Time) -> None:
    with store.transaction():
        ready = _ready(store, "a", sent_at=WHEN)
        retry = _retry(store, "b", WHEN)
    with store.transaction():
        claimed = store.claim([ready, retry], 7)
    assert [request.id for request in claimed] == ["a", "b"]
    for request in claimed:
        assert (request.status, request.lease_token, request.sent_at) == (Status.IN_FLIGHT, 7, None)
    assert claimed[0] == replace(ready, status=Status.IN_FLIGHT, lease_token=7, sent_at=None)
    with store.transaction():
        assert [store.get("a"), store.get("b")] == claimed
        assert store.counters()[Status.IN_FLIGHT] == 2
        assert store.due(WHEN, limit=10, horizon=HORIZON) == []


@_case
def case_claim_is_idempotent_under_one_token(store: Store, time: Time) -> None:
    with store.transaction():
        request = _ready(store, "a")
        [claimed] = store.claim([request], 7)
        assert store.claim([request], 7) == [claimed]
        sent = replace(claimed, sent_at=WHEN, sends=1)
        assert store.replace(sent, token=7)
        assert store.claim([request], 7) == [sent]
        assert store.claim([request], 8) == []
        assert store.counters()[Status.IN_FLIGHT] == 1


@_case
def case_only_what_may_go_is_claimed(store: Store, time: Time) -> None:
    with store.transaction():
        requests = []
        for status in Status:
            added = store.add(make_request(status.name))
            requests.append(replace(added, status=status, readiness=Readiness.READY))
            store.replace(requests[-1])
        requests.append(make_request("unknown"))
    with store.transaction():
        claimed = store.claim(requests, 7)
    assert {request.id for request in claimed} == {Status.PENDING.name, Status.RETRY.name}


@_case
def case_claim_answers_what_is_stored_and_not_what_it_was_handed(store: Store, time: Time) -> None:
    with store.transaction():
        stale = _ready(store, "a")
        store.replace(replace(stale, body={"description": "changed"}))
        gone = _ready(store, "b")
        store.replace(move(gone, Status.DISCARDED, closed_at=WHEN))
        [claimed] = store.claim([stale, gone], 7)
        assert claimed.body == {"description": "changed"}


@_case
def case_many_requests_are_claimed_at_once_in_the_order_handed_in(store: Store, time: Time) -> None:
    with store.transaction():
        requests = [_ready(store, f"r{i:03}") for i in range(450)]
    with store.transaction():
        claimed = store.claim(requests[::-1], 7)
        assert [request.id for request in claimed] == [request.id for request in requests[::-1]]
        assert store.counters()[Status.IN_FLIGHT] == 450


@_case
def case_what_is_claimed_at_once_keeps_what_is_its_own(store: Store, time: Time) -> None:
    """However many a store changes by one statement: of each only what the claim is about."""
    later = [WHEN + timedelta(seconds=number) for number in range(6)]
    with store.transaction():
        requests = [
            _ready(store, "a"),
            _retry(store, "b", later[1], sent_at=later[1], sends=1, retry_count=1),
            _ready(store, "c", sent_at=later[2], sends=2, error_message=AWKWARD),
            _retry(store, "d", later[3], rank=3, waits_why=AWKWARD),
            _ready(store, "e", body={"description": AWKWARD}),
        ]
        gone = make_request("gone")
    with store.transaction():
        claimed = store.claim([requests[0], gone, *requests[1:], requests[0]], 7)
    expected = [move(request, Status.IN_FLIGHT, lease_token=7, sent_at=None) for request in requests]
    assert claimed == [*expected, expected[0]]
    with store.transaction():
        assert [store.get(request.id) for request in requests] == expected
        assert store.counters()[Status.IN_FLIGHT] == len(requests)


@_case
def case_a_late_token_records_nothing(store: Store, time: Time) -> None:
    with store.transaction():
        [first] = store.claim([_ready(store, "a")], 7)
        assert store.replace(move(first, Status.PENDING))
        current = store.get("a")
        assert current is not None
        [second] = store.claim([current], 8)
        counters = dict(store.counters())
        assert not store.replace(move(first, Status.SYNCED, closed_at=WHEN), token=7)
        assert store.get("a") == second
        assert store.counters() == counters
        assert store.replace(move(second, Status.SYNCED, closed_at=WHEN), token=8)
        assert not store.replace(second, token=8)
        ended = store.get("a")
        assert ended is not None
        assert ended.status is Status.SYNCED


@_case
def case_replacing_what_is_not_there_is_refused(store: Store, time: Time) -> None:
    with store.transaction():
        assert not store.replace(make_request("a"), token=1)
        with _raises(NotFound):
            store.replace(make_request("a"))
        assert store.get("a") is None


@_case
def case_replacing_keeps_the_place_in_the_order(store: Store, time: Time) -> None:
    with store.transaction():
        added = store.add(make_request("a"))
        assert store.replace(replace(added, seq=added.seq + 100, key="new-key", replaces=added.key))
        assert store.get("a") == replace(added, key="new-key", replaces=added.key)


@_case
def case_what_was_written_is_found_by_every_look_after_it(store: Store, time: Time) -> None:
    """A store may hold writes back, and must not show it."""
    with store.transaction():
        names = ("goes", "retries", "waits", "doubted", "new")
        requests = [_ready(store, name, line=f"l-{name}") for name in names]
        store.put_document(make_document("l-goes"))
    with store.transaction():
        now = store.now()
        store.take_up(requests)
        store.put_document(make_document("l-made", local_name="Made"))
        store.put_document(make_document("l-made", local_name="Made", central_name="M-1"))
        known = store.documents_at_central(make_document("any").doctype, ["M-1"])
        assert [document.id for document in known] == ["l-made"]
        store.put_document(make_document("l-goes", central_name="M-2"))
        assert [document.id for document in store.documents_at_central(known[0].doctype, ["M-2"])] == [
            "l-goes"
        ]
        found = store.document_named(known[0].doctype, "Made")
        assert found is not None
        assert found.central_name == "M-1"
        goes, retries, waits, doubted, new = requests
        store.replace(move(goes, Status.IN_FLIGHT, lease_token=3, sent_at=now))
        assert [request.id for request in store.in_flight(not_token=4, limit=10)] == ["goes"]
        retry = move(move(retries, Status.IN_FLIGHT), Status.RETRY, next_retry_at=now)
        store.replace(retry)
        assert store.next_due_at() == now
        store.replace(move(waits, Status.WAITING, waits_for="goes", waits_why="an earlier change"))
        assert [request.id for request in store.waiters("goes")] == ["waits"]
        store.replace(move(move(doubted, Status.IN_FLIGHT), Status.IN_DOUBT, next_retry_at=None))
        assert [request.id for request in store.doubts(now, limit=10, horizon=HORIZON)] == ["doubted"]
        store.replace(replace(new, readiness=Readiness.RECHECK))
        assert store.count_unplaced(10) == 1
        assert [request.id for request in store.unplaced(10)] == ["new"]
        assert {request.id for request in store.due(now, limit=10, horizon=HORIZON)} == {"retries"}
        assert [request.id for request in store.list_requests(statuses={Status.WAITING})] == ["waits"]
        assert store.open_in_line("l-goes") == [store.get("goes")]
        counted = store.counters()
        assert {status: counted[status] for status in counted if counted[status]} == {
            Status.IN_FLIGHT: 1,
            Status.RETRY: 1,
            Status.WAITING: 1,
            Status.IN_DOUBT: 1,
            Status.PENDING: 1,
        }
        assert store.release("goes") == 1
        assert {request.id for request in store.unplaced(10)} == {"waits", "new"}


# ---------------------------------------------------------------- what is due


@_case
def case_unplaced_requests_come_by_seq(store: Store, time: Time) -> None:
    with store.transaction():
        first = store.add(make_request("a", rank=9))
        recheck = store.add(make_request("b"))
        recheck = replace(recheck, readiness=Readiness.RECHECK)
        store.replace(recheck)
        _ready(store, "c")
        last = store.add(make_request("d", rank=0))
        _waiting(store, "e", "d")
        assert store.unplaced(10) == [first, recheck, last]
        assert store.unplaced(2) == [first, recheck]
        assert [store.count_unplaced(most) for most in (1, 2, 3, 100)] == [1, 2, 3, 3]


@_case
def case_due_requests_come_by_rank_and_seq(store: Store, time: Time) -> None:
    with store.transaction():
        late = _ready(store, "a", rank=9)
        third = _ready(store, "b")
        fourth = _retry(store, "c", WHEN - timedelta(hours=1))
        fifth = _ready(store, "d")
        second = _retry(store, "e", WHEN, rank=2)
        first = _ready(store, "f", rank=0)
        store.add(make_request("new", rank=0))
        _waiting(store, "g", "f", rank=0)
        expected = [first, second, third, fourth, fifth, late]
        assert store.due(WHEN, limit=10, horizon=HORIZON) == expected
        for limit in range(7):
            assert store.due(WHEN, limit=limit, horizon=HORIZON) == expected[:limit]


@_case
def case_a_retry_is_due_when_its_time_has_come_or_a_clock_has_jumped(store: Store, time: Time) -> None:
    microsecond = timedelta(microseconds=1)
    with store.transaction():
        come = _retry(store, "come", WHEN)
        _retry(store, "not yet", WHEN + microsecond)
        _retry(store, "the longest", WHEN + HORIZON)
        jumped = _retry(store, "jumped", WHEN + HORIZON + microsecond)
        at_once = _retry(store, "at once", None)
        assert store.due(WHEN, limit=10, horizon=HORIZON) == [come, jumped, at_once]


@_case
def case_due_retries_beyond_the_limit_come_by_rank(store: Store, time: Time) -> None:
    """The best rank goes first however long others have been due; nothing is answered twice."""
    with store.transaction():
        for i in range(10):
            _retry(store, f"old{i}", WHEN - timedelta(days=1), rank=7)
        urgent = [_retry(store, f"urgent{i}", WHEN - timedelta(seconds=i), rank=1) for i in range(3)]
        due = store.due(WHEN, limit=5, horizon=HORIZON)
        assert due[:3] == urgent
        assert len({request.id for request in due}) == 5


@_case
def case_due_can_be_asked_for_some_doctypes(store: Store, time: Time) -> None:
    with store.transaction():
        item = _ready(store, "a", resource_type="Item", rank=9)
        customer = _retry(store, "b", WHEN, resource_type="Customer")
        _ready(store, "c", resource_type="ToDo")
        _ready(store, "d", resource_type=None)
        assert store.due(WHEN, limit=10, horizon=HORIZON, doctypes=["Item", "Customer"]) == [customer, item]
        assert store.due(WHEN, limit=1, horizon=HORIZON, doctypes={"Item", "Customer"}) == [customer]
        assert store.due(WHEN, limit=10, horizon=HORIZON, doctypes=[]) == []


@_case
def case_flights_under_other_tokens_are_found(store: Store, time: Time) -> None:
    with store.transaction():
        requests = [_ready(store, f"r{i}") for i in range(4)]
        old = store.claim(requests[2:], 3) + store.claim(requests[:1], 4)
        store.claim(requests[1:2], 5)
        found = store.in_flight(not_token=5, limit=10)
        assert [request.id for request in found] == ["r0", "r2", "r3"]
        assert {request.id for request in found} == {request.id for request in old}
        assert store.in_flight(not_token=5, limit=1) == found[:1]


@_case
def case_doubts_come_when_their_look_up_is_due(store: Store, time: Time) -> None:
    with store.transaction():
        doubts = [
            _doubt(store, "come", WHEN),
            _doubt(store, "at once", None),
            _doubt(store, "jumped", WHEN + HORIZON + timedelta(seconds=1)),
        ]
        _doubt(store, "not yet", WHEN + timedelta(seconds=1))
        _retry(store, "retry", WHEN)
        assert store.doubts(WHEN, limit=10, horizon=HORIZON) == doubts
        assert len(store.doubts(WHEN, limit=2, horizon=HORIZON)) == 2


@_case
def case_the_next_due_time_is_the_earliest_one(store: Store, time: Time) -> None:
    with store.transaction():
        _ready(store, "ready", next_retry_at=WHEN - timedelta(days=9))
        _retry(store, "at once", None)
        assert store.next_due_at() is None
        _retry(store, "retry", WHEN + timedelta(seconds=20))
        assert store.next_due_at() == WHEN + timedelta(seconds=20)
        doubt = _doubt(store, "doubt", WHEN + timedelta(seconds=10))
        assert store.next_due_at() == WHEN + timedelta(seconds=10)
        store.replace(move(doubt, Status.SYNCED, closed_at=WHEN))
        assert store.next_due_at() == WHEN + timedelta(seconds=20)


# ---------------------------------------------------------------- lines, groups, names, waits


@_case
def case_a_line_shows_its_open_requests_last_first(store: Store, time: Time) -> None:
    with store.transaction():
        requests = [_ready(store, f"r{i}", line="l1") for i in range(4)]
        _ready(store, "other", line="l2")
        store.add(make_request("unplaced"))
        store.replace(move(requests[1], Status.MERGED, closed_at=WHEN, merged_into="r0"))
        expected = [requests[3], requests[2], requests[0]]
        assert store.open_in_line("l1") == expected
        assert store.open_in_line("l1", before=requests[3].seq) == expected[1:]
        assert store.open_in_line("l1", limit=1) == expected[:1]
        assert store.open_in_line("l1", before=requests[2].seq, limit=1) == expected[2:]


@_case
def case_of_a_line_only_some_operations_are_asked_for(store: Store, time: Time) -> None:
    create, update, submit, cancel = (
        Operation.CREATE,
        Operation.UPDATE,
        Operation.SUBMIT,
        Operation.CANCEL,
    )
    with store.transaction():
        requests = [
            store.add(make_request(f"r{number}", line="l1", operation=operation))
            for number, operation in enumerate((create, update, submit, update, cancel))
        ]
        store.add(make_request("other", line="l2", operation=create))
        moves = [requests[4], requests[2], requests[0]]
        assert store.open_in_line("l1", operations=(create, submit, cancel)) == moves
        assert store.open_in_line("l1", operations=(create, submit, cancel), limit=2) == moves[:2]
        assert store.open_in_line("l1", operations=(create, submit), before=requests[2].seq) == moves[2:]
        assert store.open_in_line("l1", operations=(Operation.DELETE,)) == []
        assert store.open_in_line("l1", operations=()) == []
        store.replace(move(requests[0], Status.MERGED, closed_at=WHEN, merged_into="r1"))
        assert store.open_in_line("l1", operations=(create,)) == []


@_case
def case_held_requests_stay_in_their_line(store: Store, time: Time) -> None:
    with store.transaction():
        for status in Status:
            added = store.add(make_request(status.name, line="l1"))
            store.replace(replace(added, status=status, closed_at=WHEN))
        found = {request.status for request in store.open_in_line("l1")}
    assert found == set(Status) - ENDS


@_case
def case_the_last_open_request_of_a_group_is_found(store: Store, time: Time) -> None:
    with store.transaction():
        requests = [_ready(store, f"r{i}", order_group="stock") for i in range(3)]
        _ready(store, "other", order_group="money")
        last = _ready(store, "last")
        assert store.open_in_group("stock", before=last.seq) == requests[2]
        assert store.open_in_group("stock", before=requests[2].seq) == requests[1]
        store.replace(move(requests[1], Status.DISCARDED, closed_at=WHEN))
        assert store.open_in_group("stock", before=requests[2].seq) == requests[0]
        assert store.open_in_group("stock", before=requests[0].seq) is None


@_case
def case_open_requests_of_a_name_are_found_by_operation(store: Store, time: Time) -> None:
    with store.transaction():
        operations = [Operation.CREATE, Operation.RENAME, Operation.DELETE, Operation.UPDATE]
        requests = [
            _ready(store, f"r{i}", resource_id="C-1", operation=operation)
            for i, operation in enumerate(operations)
        ]
        _ready(store, "other doctype", resource_id="C-1", resource_type="Item", operation=Operation.DELETE)
        end = _ready(store, "other name", resource_id="C-2", operation=Operation.DELETE).seq
        wanted = [Operation.DELETE, Operation.RENAME]
        assert store.open_on_name("ToDo", "C-1", wanted, before=end) == requests[1:3]
        assert store.open_on_name("ToDo", "C-1", wanted, before=requests[2].seq) == requests[1:2]
        assert store.open_on_name("ToDo", "C-1", [], before=end) == []
        store.replace(move(requests[1], Status.DISCARDED, closed_at=WHEN))
        assert store.open_on_name("ToDo", "C-1", wanted, before=end) == requests[2:3]


@_case
def case_release_lets_all_that_waited_be_placed_again(store: Store, time: Time) -> None:
    with store.transaction():
        _ready(store, "first")
        waiting = [_waiting(store, f"w{i}", "first") for i in range(3)]
        other = _waiting(store, "other", "second")
        assert store.waiters("first") == waiting
        assert store.waiters("first", limit=2) == waiting[:2]
        assert store.release("first") == 3
        assert store.release("first") == 0
        assert store.waiters("first") == []
        assert store.waiters("second") == [other]
        released = store.unplaced(10)
        assert [request.id for request in released] == ["w0", "w1", "w2"]
        for before, after in zip(waiting, released, strict=True):
            assert after == replace(
                before, status=Status.PENDING, readiness=Readiness.RECHECK, waits_for=None, waits_why=None
            )
        counters = store.counters()
        assert (counters[Status.WAITING], counters[Status.PENDING]) == (1, 4)


@_case
def case_a_list_is_filtered_and_paged_by_seq(store: Store, time: Time) -> None:
    with store.transaction():
        requests = [
            _ready(store, "a"),
            _retry(store, "b", WHEN, resource_type="Item"),
            _waiting(store, "c", "a", resource_type="Item"),
            _ready(store, "d"),
        ]
        assert store.list_requests() == requests
        assert store.list_requests(limit=2) == requests[:2]
        assert store.list_requests(limit=2, after=requests[1].seq) == requests[2:]
        assert store.list_requests(statuses=[Status.WAITING, Status.PENDING]) == [
            requests[0],
            requests[2],
            requests[3],
        ]
        assert store.list_requests(statuses={Status.WAITING, Status.RETRY}, limit=1) == requests[1:2]
        assert store.list_requests(doctype="Item") == requests[1:3]
        assert store.list_requests(statuses=[Status.WAITING], doctype="Item", after=requests[1].seq) == [
            requests[2]
        ]
        assert store.list_requests(statuses=[]) == []


# ---------------------------------------------------------------- edges


@_case
def case_linkers_are_the_open_requests_of_other_lines(store: Store, time: Time) -> None:
    with store.transaction():
        first = _ready(store, "a", line="l1")
        own = _ready(store, "b", line="target")
        unplaced = store.add(make_request("c"))
        ended = _ready(store, "d", line="l2")
        last = _ready(store, "e", line="l3")
        for request in (last, first, own, unplaced, ended):
            store.set_links(request.id, request.seq, ["target", "elsewhere", "target"])
        assert store.linkers("target") == [first, unplaced, ended, last]
        store.replace(move(ended, Status.DISCARDED, closed_at=WHEN))
        assert store.linkers("target") == [first, unplaced, last]
        assert store.linkers("target", before=last.seq) == [first, unplaced]
        assert store.linkers("target", limit=1) == [first]
        assert store.linkers("elsewhere") == [first, own, unplaced, last]


@_case
def case_links_set_anew_replace_the_earlier_ones(store: Store, time: Time) -> None:
    with store.transaction():
        request = _ready(store, "a", line="l1")
        store.set_links("a", request.seq, ["x", "y"])
        store.set_links("a", request.seq, iter(["y", "z"]))
        assert store.linkers("x") == []
        assert store.linkers("y") == [request]
        assert store.linkers("z") == [request]
        store.set_links("a", request.seq, [])
        assert store.linkers("y") == []


# ---------------------------------------------------------------- documents


@_case
def case_every_field_of_a_document_comes_back(store: Store, time: Time) -> None:
    plain = make_document("d1")
    full = Document(
        id="d2",
        doctype="Sales Invoice",
        local_name="SI-1",
        central_name="ACC-SINV-0001",
        version="2026-01-01 10:11:12.131415",
        base={"name": "ACC-SINV-0001", "items": [{"name": "r1", "qty": 1.5}], "remarks": AWKWARD},
        rows={"local-row": "central-row"},
        touched_at=WHEN,
        deleted=True,
    )
    with store.transaction():
        store.put_document(plain)
        store.put_document(full)
    with store.transaction():
        assert store.document("d1") == plain
        assert store.document("d2") == full
        changed = replace(full, id="d1", deleted=False)
        store.put_document(changed)
        assert store.document("d1") == changed
        assert store.document_named("Customer", "C-d1") is None
        assert store.document_named("Sales Invoice", "SI-1") == changed


@_case
def case_the_name_of_a_deleted_document_is_free(store: Store, time: Time) -> None:
    with store.transaction():
        for number in range(3):
            document = make_document(f"d{number}", local_name="Till 1", central_name=f"T-{number}")
            store.put_document(document)
            assert store.document_named("Customer", "Till 1") == document
            store.put_document(replace(document, deleted=True))
            assert store.document_named("Customer", "Till 1") is None
        found = store.documents_at_central("Customer", ["T-0", "T-2", "T-9"])
        assert sorted(document.id for document in found) == ["d0", "d2"]
        assert store.documents_at_central("Item", ["T-0"]) == []


@_case
def case_two_documents_cannot_have_one_name(store: Store, time: Time) -> None:
    with store.transaction():
        first = make_document("d1", local_name="Till 1")
        store.put_document(first)
        with _raises(NotAllowed):
            store.put_document(make_document("d2", local_name="Till 1"))
        store.put_document(make_document("d3", local_name="Till 1", doctype="Item"))
        assert store.document_named("Customer", "Till 1") == first
        assert store.document("d2") is None


# ---------------------------------------------------------------- conflicts


@_case
def case_every_field_of_a_conflict_comes_back(store: Store, time: Time) -> None:
    pending = make_conflict("c1", base_data=None, server_data=None, server_version=None, local_data={})
    decided = replace(
        make_conflict("c2", local_data=None),
        conflict_type=ConflictType.DELETE_UPDATE,
        resolution_status="resolved",
        resolution=Resolution.SERVER_WINS,
        resolved_by="hook:shop.rules.decide",
        resolved_at=WHEN + timedelta(microseconds=1),
        reason=AWKWARD,
    )
    with store.transaction():
        store.put_conflict(pending)
        store.put_conflict(decided)
    with store.transaction():
        assert store.conflict("c1") == pending
        assert store.conflict("c2") == decided


@_case
def case_what_a_merge_came_to_and_how_it_stood_before_come_back(store: Store, time: Time) -> None:
    rows = [{"name": "row 1", "qty": 1.5, "note": None}, {"name": AWKWARD, "qty": 0, "note": AWKWARD}]
    merged = replace(
        _decided(make_conflict("c1"), WHEN),
        resolution=Resolution.MERGE,
        choices={"territory": "server", f"items[{AWKWARD}].qty": "local", "items[]": "local"},
        values={"territory": "there", "note": AWKWARD, "items": rows, "none": None, "empty": ""},
        undo={"requests": {"r1": {"body": {"items": rows}, "links": [["a", "B", "C", None]]}}, "added": []},
    )
    for conflict in (merged, make_conflict("c1", choices={"territory": "local"}, reason="taken back")):
        with store.transaction():
            store.put_conflict(conflict)
        with store.transaction():
            assert store.conflict("c1") == conflict
            assert store.conflict("c1", lock=True) == conflict


@_case
def case_a_decision_is_carried_out_and_taken_back(store: Store, time: Time) -> None:
    """By the engine's own code: a store that loses a part of it would send, or show, something else."""
    documents = MemoryDocuments({("Customer", "C-1"): {"name": "C-1", "city": "Rome", "code": AWKWARD}})
    resolutions = Resolutions(ports_around(store, NoCentral(), FrozenClock(WHEN), documents=documents))
    with store.transaction():
        store.put_document(
            make_document("l1", local_name="C-1", central_name="C-9", version="1", base={"city": "Oslo"})
        )
        request = _put(
            store,
            "r1",
            operation=Operation.UPDATE,
            resource_type="Customer",
            resource_id="C-1",
            line="l1",
            body={"city": "Rome", "code": AWKWARD},
            base={"city": "Oslo", "code": ""},
            readiness=Readiness.READY,
        )
        held = move(request, Status.CONFLICT, readiness=Readiness.READY)
        assert store.replace(held)
        store.put_conflict(
            make_conflict(
                "c1",
                line="l1",
                local_data=documents.current("Customer", "C-1"),
                base_data={"city": "Oslo", "code": ""},
                server_data={"name": "C-9", "modified": "2", "city": "Bonn", "code": ""},
                server_version="2",
            )
        )
        before = (store.get("r1"), store.document("l1"))
    for side, city in (("server", "Bonn"), ("local", "Rome")):
        resolutions.apply("c1", Resolution.MERGE, by="ann", choices={"city": side})
        with store.transaction():
            again, decided = store.get("r1"), store.conflict("c1")
            assert again is not None
            assert decided is not None
            assert (again.status, again.carries) == (Status.PENDING, "c1")
            assert again.body == ({"code": AWKWARD} if side == "server" else held.body)
            assert decided.values == {"city": city, "code": AWKWARD}
            assert store.pending_conflict("l1") is None
        resolutions.undo("c1", by="bob")
        with store.transaction():
            pending = store.pending_conflict("l1")
            assert pending is not None
            assert (pending.id, pending.undo, pending.values) == ("c1", None, None)
            stands = store.get("r1")
            assert stands is not None
            assert before[0] is not None
            assert (stands.status, stands.body, stands.base) == (Status.CONFLICT, held.body, held.base)
            assert store.document("l1") == before[1]


@_case
def case_a_line_has_one_pending_conflict_at_most(store: Store, time: Time) -> None:
    with store.transaction():
        first = make_conflict("c1", line="l1")
        store.put_conflict(first)
        with _raises(NotAllowed):
            store.put_conflict(make_conflict("c2", line="l1"))
        assert store.pending_conflict("l1") == first
        assert store.conflict("c2") is None
        store.put_conflict(replace(first, local_data={"territory": "changed"}))
        store.put_conflict(_decided(first, WHEN))
        assert store.pending_conflict("l1") is None
        store.put_conflict(make_conflict("c2", line="l1"))
        assert store.pending_conflict("l1") == make_conflict("c2", line="l1")
        assert store.count_conflicts() == 1


@_case
def case_conflicts_are_listed_oldest_first(store: Store, time: Time) -> None:
    """`pending=False` lists the decided ones as well."""
    with store.transaction():
        conflicts = [make_conflict(f"c{i}", created_at=WHEN + timedelta(seconds=-i)) for i in range(4)]
        conflicts[2] = _decided(conflicts[2], WHEN)
        for conflict in conflicts:
            store.put_conflict(conflict)
        oldest_first = conflicts[::-1]
        assert store.conflicts(pending=False) == oldest_first
        assert store.conflicts() == [c for c in oldest_first if c.pending]
        assert store.conflicts(limit=1, offset=1) == [conflicts[1]]
        assert store.conflicts(pending=False, limit=2, offset=3) == [conflicts[0]]
        assert store.count_conflicts() == 3


@_case
def case_automatic_decisions_of_a_line_are_counted(store: Store, time: Time) -> None:
    with store.transaction():
        deciders = ["rule:Last Write Wins", "hook:shop.decide", "a@example.com", "ruler@example.com"]
        for number, decider in enumerate(deciders):
            conflict = make_conflict(f"c{number}", line="l1")
            store.put_conflict(replace(_decided(conflict, WHEN), resolved_by=decider))
        store.put_conflict(_decided(make_conflict("old", line="l1"), WHEN - timedelta(days=2)))
        store.put_conflict(_decided(make_conflict("other", line="l2"), WHEN))
        store.put_conflict(make_conflict("pending", line="l1"))
        assert store.automatic_decisions("l1", WHEN - timedelta(days=1)) == 2
        assert store.automatic_decisions("l1", WHEN) == 2
        assert store.automatic_decisions("l1", WHEN + timedelta(microseconds=1)) == 0
        assert store.automatic_decisions("l1", WHEN - timedelta(days=3)) == 3


# ---------------------------------------------------------------- counters


@_case
def case_a_new_row_counts_as_pending_and_moves_on_like_any_other(store: Store, time: Time) -> None:
    with store.transaction():
        requests = [store.add(make_request(f"r{i}")) for i in range(5)]
        assert store.counters()[Status.PENDING] == 5
        store.replace(replace(requests[0], readiness=Readiness.READY))
        store.replace(move(requests[1], Status.DISCARDED, closed_at=WHEN))
        store.replace(move(requests[2], Status.WAITING, waits_for="r0"))
        store.claim([requests[3]], 1)
        counters = store.counters()
    assert {status: count for status, count in counters.items() if count} == {
        Status.PENDING: 2,
        Status.DISCARDED: 1,
        Status.WAITING: 1,
        Status.IN_FLIGHT: 1,
    }


@_case
def case_counters_add_up_after_every_step(store: Store, time: Time) -> None:
    """Random legal steps beside a plain tally: captured is what was added, whatever was purged or undone."""
    choose = random.Random(7)
    status_of: dict[str, Status] = {}
    purged = dict.fromkeys(Status, 0)
    for step in range(120):
        undone = choose.random() < 0.2
        before, purged_before = dict(status_of), dict(purged)
        with suppress(_Crash), store.transaction():
            _random_step(store, choose, status_of, purged, f"r{step}")
            if undone:
                raise _Crash
        if undone:
            status_of, purged = before, purged_before
        with store.transaction():
            counters = store.counters()
        expected = dict(purged)
        for status in status_of.values():
            expected[status] += 1
        assert {status: counters.get(status, 0) for status in Status} == expected, f"step {step}"
        assert ledger(counters).captured == len(status_of) + sum(purged.values())


@_case
def case_only_ends_are_purged_and_their_counters_stay(store: Store, time: Time) -> None:
    long_ago = WHEN - timedelta(days=400)
    with store.transaction():
        for status in Status:
            added = store.add(make_request(status.name, created_at=long_ago, line=status.name))
            store.replace(replace(added, status=status, closed_at=long_ago, readiness=Readiness.READY))
        recent = store.add(make_request("recent"))
        store.replace(move(recent, Status.DISCARDED, closed_at=WHEN))
        store.set_links(Status.PENDING.name, 1, ["l"])
        counters = dict(store.counters())
    with store.transaction():
        assert store.purge(closed_before=long_ago, limit=100) == 0
        assert store.purge(closed_before=WHEN, limit=3) == 3
        assert store.purge(closed_before=WHEN, limit=3) == 1
        assert store.purge(closed_before=WHEN, limit=3) == 0
        left = store.list_requests()
        assert {request.id for request in left} == {s.name for s in Status if s not in ENDS} | {"recent"}
        assert store.counters() == counters
        assert [request.id for request in store.linkers("l")] == [Status.PENDING.name]


@_case
def case_the_lowest_number_of_what_is_not_ended_is_known(store: Store, time: Time) -> None:
    with store.transaction():
        assert store.lowest_number() is None
        kept = {n: store.add(make_request(f"r{n}", number=n)) for n in (3, 1, 2**40)}
        store.add(make_request("never sent"))
        for number in sorted(kept):
            assert store.lowest_number() == number
            store.replace(move(kept[number], Status.DISCARDED, closed_at=WHEN))
        assert store.lowest_number() is None


@_case
def case_the_oldest_open_request_is_known(store: Store, time: Time) -> None:
    with store.transaction():
        requests = [
            store.add(make_request(f"r{i}", created_at=WHEN + timedelta(minutes=i))) for i in range(3)
        ]
        assert store.oldest_open() == WHEN
        store.replace(move(requests[0], Status.DISCARDED, closed_at=WHEN))
        assert store.oldest_open() == WHEN + timedelta(minutes=1)
        store.replace(move(requests[1], Status.NEEDS_ATTENTION))
        assert store.oldest_open() == WHEN + timedelta(minutes=1)


# ---------------------------------------------------------------- lease and metadata


@_case
def case_a_lease_is_exclusive_and_its_tokens_grow(store: Store, time: Time) -> None:
    with store.transaction():
        first = store.acquire_lease("run 1", 60)
        assert first is not None
        assert first.holder == "run 1"
        assert first.token > 0
        assert timedelta(0) < first.expires_at - store.now() <= timedelta(seconds=60)
    with store.transaction():
        assert store.acquire_lease("run 2", 60) is None
        assert store.acquire_lease("run 1", 60) is None
        assert store.live_lease() == first
        store.release_lease(first)
        assert store.live_lease() is None
    with store.transaction():
        second = store.acquire_lease("run 2", 60)
        assert second is not None
        assert second.token > first.token
        assert store.live_lease() == second


@_case
def case_a_lease_ends_by_itself(store: Store, time: Time) -> None:
    with store.transaction():
        first = store.acquire_lease("run 1", 0.2)
        assert first is not None
    time.advance(0.3)
    with store.transaction():
        assert store.live_lease() is None
        second = store.acquire_lease("run 2", 60)
        assert second is not None
        assert second.token > first.token


@_case
def case_a_renewed_lease_keeps_its_token_and_lasts_longer(store: Store, time: Time) -> None:
    with store.transaction():
        first = store.acquire_lease("run 1", 0.2)
        assert first is not None
        renewed = store.renew_lease(first, 60)
        assert renewed is not None
        assert renewed.token == first.token
        assert renewed.expires_at > first.expires_at
    time.advance(0.3)
    with store.transaction():
        assert store.live_lease() == renewed
        assert store.acquire_lease("run 2", 60) is None


@_case
def case_a_lost_lease_is_neither_renewed_nor_released(store: Store, time: Time) -> None:
    with store.transaction():
        lost = store.acquire_lease("run 1", 0.2)
        assert lost is not None
    time.advance(0.3)
    with store.transaction():
        taken = store.acquire_lease("run 2", 60)
        assert taken is not None
        assert store.renew_lease(lost, 60) is None
        store.release_lease(lost)
        assert store.live_lease() == taken
        store.release_lease(taken)
        assert store.renew_lease(taken, 60) is None
        assert store.live_lease() is None


@_case
def case_metadata_is_set_replaced_and_removed(store: Store, time: Time) -> None:
    with store.transaction():
        store.set_meta("last_sync", "1")
        store.set_meta("last_sync", "2")
        store.set_meta("empty", "")
        store.set_meta("long", "x" * 100_000)
    with store.transaction():
        assert store.get_meta("last_sync") == "2"
        assert store.get_meta("empty") == ""
        assert store.get_meta("long") == "x" * 100_000
        store.set_meta("last_sync", None)
        store.set_meta("never there", None)
        assert store.get_meta("last_sync") is None


# ---------------------------------------------------------------- what the cases share


class _Crash(Exception):
    """Stands for whatever cuts a transaction short."""


class _raises(AbstractContextManager[None]):
    """The block has to end with this exception."""

    def __init__(self, expected: type[Exception]) -> None:
        self._expected = expected

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        assert kind is not None, f"{self._expected.__name__} was not raised"
        return issubclass(kind, self._expected)


def _ready(store: Store, name: str, **changes: Any) -> Request:
    return _put(store, name, status=Status.PENDING, readiness=Readiness.READY, **changes)


def _retry(store: Store, name: str, at: datetime | None, **changes: Any) -> Request:
    return _put(store, name, status=Status.RETRY, readiness=Readiness.READY, next_retry_at=at, **changes)


def _doubt(store: Store, name: str, at: datetime | None) -> Request:
    return _put(
        store, name, status=Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=at, sent_at=WHEN
    )


def _waiting(store: Store, name: str, waits_for: str, **changes: Any) -> Request:
    return _put(
        store,
        name,
        status=Status.WAITING,
        readiness=Readiness.READY,
        waits_for=waits_for,
        waits_why="an earlier change",
        **changes,
    )


def _put(store: Store, name: str, **changes: Any) -> Request:
    request = replace(store.add(make_request(name)), **changes)
    assert store.replace(request)
    return request


def _decided(conflict: Conflict, at: datetime) -> Conflict:
    return replace(
        conflict,
        resolution_status="resolved",
        resolution=Resolution.LOCAL_WINS,
        resolved_by="rule:Local Wins",
        resolved_at=at,
    )


def _full_request() -> Request:
    return Request(
        id="full",
        key="0190-key",
        seq=0,
        operation=Operation.UPDATE,
        resource_type="Sales Invoice",
        resource_id="SI-1",
        method="PUT",
        path="/api/resource/Sales%20Invoice/SI-1",
        body={"remarks": AWKWARD, "items": [{"name": "a", "qty": 2}], "nothing": None},
        created_at=WHEN,
        base={"remarks": None, "items": []},
        links=(
            Link(path="customer", doctype="Customer", name="C'1", line="l9"),
            Link(path="items.0.item_code", doctype="Item", name="%s"),
        ),
        unique={"title": "T"},
        resource_version="2026-01-01 10:00:00.000001",
        changed_at=WHEN + timedelta(microseconds=1),
        repeatable=True,
        overwrite=True,
        priority=2,
        rank=1,
        order_group="stock",
        status=Status.IN_FLIGHT,
        readiness=Readiness.READY,
        line="l1",
        waits_for="other",
        waits_why="it names Customer C'1",
        retry_count=2,
        restamps=3,
        contentions=4,
        unanswered=5,
        next_retry_at=WHEN + timedelta(microseconds=2),
        lease_token=123456789012,
        sent_at=WHEN + timedelta(microseconds=3),
        sends=6,
        wire=Wire(method="PUT", path="/api/resource/Sales%20Invoice/SI-1", body='{"a":1}'),
        error_type="ValidationError",
        error_message=AWKWARD,
        refused=True,
        differences={"total": [1, 1.5]},
        merged_into="m",
        replaces="older-key",
        closed_at=WHEN + timedelta(microseconds=4),
        closed_by="a@example.com",
        reason="because",
        history=(
            Attempt(at=WHEN, event="refused", status=417, exc_type="ValidationError", note=AWKWARD),
            Attempt(at=WHEN + timedelta(seconds=1), event="retry"),
        ),
    )


def _everything(store: Store) -> list[object]:
    """What a reader can see after a commit."""
    with store.transaction():
        return [
            store.list_requests(),
            dict(store.counters()),
            store.oldest_open(),
            store.unplaced(10),
            store.due(WHEN, limit=10, horizon=HORIZON),
            store.in_flight(not_token=0, limit=10),
            [store.open_in_line(f"l{i}") for i in range(5)],
            [store.linkers(f"l{i}") for i in range(5)],
            store.waiters("flying"),
            [store.document("l1"), store.document("l9"), store.document_named("Customer", "C-l1")],
            store.documents_at_central("Customer", ["C-1", "C-2"]),
            store.conflicts(pending=False),
            store.count_conflicts(),
            store.live_lease(),
            [store.get_meta("last"), store.get_meta("next")],
        ]


def _random_step(
    store: Store,
    choose: random.Random,
    status_of: dict[str, Status],
    purged: dict[Status, int],
    name: str,
) -> None:
    """One step of capture, of a run or of a person; `status_of` and `purged` are the tally kept beside it."""
    action = choose.choice(["add", "move", "move", "move", "claim", "release", "purge"])
    known = sorted(status_of)
    if action == "add" or not known:
        store.add(make_request(name))
        status_of[name] = Status.PENDING
        return
    request = store.get(choose.choice(known))
    assert request is not None
    if action == "move" and ALLOWED[request.status]:
        status = choose.choice(sorted(ALLOWED[request.status]))
        changes: dict[str, Any] = {"readiness": choose.choice([request.readiness, Readiness.READY])}
        if status is Status.WAITING:
            changes["waits_for"] = choose.choice(known)
        if status in ENDS:
            changes["closed_at"] = WHEN
        store.replace(move(request, status, **changes))
        status_of[request.id] = status
    elif action == "claim":
        for claimed in store.claim([request], 5):
            status_of[claimed.id] = Status.IN_FLIGHT
    elif action == "release":
        for waiting in store.waiters(request.id):
            status_of[waiting.id] = Status.PENDING
        store.release(request.id)
    elif action == "purge":
        store.purge(closed_before=WHEN + timedelta(days=1), limit=2)
        for gone in known:
            if store.get(gone) is None:
                purged[status_of.pop(gone)] += 1
