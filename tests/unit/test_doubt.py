"""Sent and not answered: what became of it is looked up before anything else of its document goes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support import LOST, SCHEMAS, Branch, a_branch, manual, page, refused, with_lanes

from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import ConflictType, Operation, Policy, Reply, Status, Strategy, Wire
from erp_offline_sync.testing.model_central import Fault

O = Operation  # noqa: E741
TIMEOUT = Config().central_request_timeout
MANUAL = Config(default_strategy=Strategy.MANUAL)


@pytest.fixture
def branch() -> Branch:
    return a_branch(config=MANUAL)


def drain(branch: Branch, times: int = 8, seconds: float = 3600) -> None:
    for _ in range(times):
        branch.run()
        branch.later(seconds)


def sent(branch: Branch) -> int:
    return len(branch.central.delivered)


def request_of(branch: Branch, operation: Operation) -> str:
    """A request of that operation about a document that both sites have."""
    if operation is O.CREATE:
        return branch.create("Sale", "S-1", total=1)
    branch.synced("Sale", "S-1", total=1)
    if operation is O.CANCEL:
        branch.submit("Sale", "S-1")
        branch.run()
    return {
        O.UPDATE: lambda: branch.update("Sale", "S-1", total=2),
        O.SUBMIT: lambda: branch.submit("Sale", "S-1"),
        O.CANCEL: lambda: branch.cancel("Sale", "S-1"),
        O.DELETE: lambda: branch.delete("Sale", "S-1"),
        O.RENAME: lambda: branch.rename("Sale", "S-1", "S-2"),
    }[operation]()


DOCUMENTS = [O.CREATE, O.UPDATE, O.SUBMIT, O.CANCEL, O.DELETE, O.RENAME]
LOST_ANSWERS = [LOST, page(502), page(200), refused(500, None)]


@pytest.mark.parametrize("operation", DOCUMENTS)
@pytest.mark.parametrize("answer", LOST_ANSWERS)
@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "not-arrived"])
def test_it_has_its_effect_once_whether_or_not_it_arrived(
    branch: Branch, operation: Operation, answer: Reply, arrived: bool
) -> None:
    """G1, without an attempt used."""
    request = request_of(branch, operation)
    effects = len(branch.central.effects)
    branch.answer(answer, applies=arrived)
    drain(branch)
    done = branch.get(request)
    assert (done.status, done.retry_count) == (Status.SYNCED, 0)
    assert len(branch.central.effects) == effects + 1
    if operation is O.DELETE:
        assert branch.names_there("Sale") == []
    else:
        branch.assert_equal("Sale", "S-2" if operation is O.RENAME else "S-1")


@pytest.mark.parametrize("operation", [O.UPDATE, O.SUBMIT, O.CANCEL])
def test_what_carries_a_version_goes_again_at_once_with_the_same_bytes(
    branch: Branch, operation: Operation
) -> None:
    request = request_of(branch, operation)
    began = branch.clock.now()
    branch.answer(LOST)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.clock.now() == began
    assert branch.central.delivered[-1] == branch.central.delivered[-2]


@pytest.mark.parametrize("operation", [O.CREATE, O.DELETE, O.RENAME])
def test_not_there_counts_only_when_the_central_cannot_be_at_work_on_it_any_more(
    branch: Branch, operation: Operation
) -> None:
    request = request_of(branch, operation)
    branch.answer(LOST)
    branch.run()
    once = sent(branch)
    branch.later(TIMEOUT - 1)
    branch.run()
    assert (branch.status(request), sent(branch)) == (Status.IN_DOUBT, once)
    branch.later(1)
    branch.run()
    assert (branch.status(request), sent(branch)) == (Status.SYNCED, once + 1)


def test_one_that_arrives_late_is_found(branch: Branch) -> None:
    """The central was at work on it all the time."""
    branch.central.faults.append(Fault(LOST, late=60))
    branch.create("Sale", "S-1", total=1)
    drain(branch, seconds=30)
    assert branch.statuses() == [Status.SYNCED]
    assert len(branch.names_there("Sale")) == 1


def test_nothing_else_of_its_document_goes_before(branch: Branch) -> None:
    branch.answer(LOST)
    create = branch.create("Sale", "S-1", total=1)
    branch.run()
    later = [branch.update("Sale", "S-1", total=2), branch.submit("Sale", "S-1")]
    other = branch.create("Customer", "C-1")
    branch.run()
    assert branch.status(create) is Status.IN_DOUBT
    assert {branch.status(request) for request in later} == {Status.WAITING}
    assert branch.status(other) is Status.SYNCED
    drain(branch)
    assert set(branch.statuses()) == {Status.SYNCED}
    branch.assert_equal("Sale", "S-1")


# versions


def test_an_update_that_arrived_and_was_changed_again_is_applied_and_keeps_their_change(
    branch: Branch,
) -> None:
    name = branch.synced("Sale", "S-1", total=1, remark="")
    branch.answer(LOST, applies=True)
    branch.central.online = True
    deliver = branch.central.deliver

    def somebody_writes(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        if reply is LOST:
            branch.central.edit("Sale", name, remark="theirs")
        return reply

    branch.central.deliver = somebody_writes  # type: ignore[method-assign]
    request = branch.update("Sale", "S-1", total=2)
    branch.run()
    assert branch.status(request) is Status.SYNCED
    # Their change is found with the next change from here.
    branch.update("Sale", "S-1", remark="mine")
    branch.run()
    assert branch.pending().conflict_type is ConflictType.UPDATE_UPDATE


def test_an_update_that_did_not_arrive_before_somebody_elses_is_a_conflict(branch: Branch) -> None:
    name = branch.synced("Sale", "S-1", total=1)
    branch.answer(LOST)
    deliver = branch.central.deliver

    def somebody_writes(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        if reply is LOST:
            branch.central.edit("Sale", name, total=9)
        return reply

    branch.central.deliver = somebody_writes  # type: ignore[method-assign]
    request = branch.update("Sale", "S-1", total=2)
    branch.run()
    assert branch.status(request) is Status.CONFLICT


# creates


def unique_create(branch: Branch, **values: Any) -> str:
    return branch.create("Customer", "C-1", code="X", request={"unique": {"code": "X"}}, **values)


def test_a_create_is_found_by_a_value_that_we_gave() -> None:
    branch = a_branch(config=MANUAL, unique=[("Customer", "code")])
    branch.answer(LOST, applies=True)
    request = unique_create(branch, city="Rome")
    branch.run()
    assert branch.status(request) is Status.SYNCED
    assert branch.line_of("Customer", "C-1").central_name == "X"


def test_another_document_under_the_value_that_we_gave_is_a_conflict() -> None:
    branch = a_branch(config=MANUAL, unique=[("Customer", "code")])
    branch.central.insert("Customer", "X", code="X", city="Bonn")
    branch.answer(LOST)
    request = unique_create(branch, city="Rome")
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.CREATE_CREATE


@pytest.mark.parametrize(("docstatus", "expected"), [(1, Status.SYNCED), (0, Status.CONFLICT)])
def test_a_submitted_create_arrived_only_where_it_is_submitted(docstatus: int, expected: Status) -> None:
    branch = a_branch(config=MANUAL)
    branch.central.insert("Sale", "X", code="X", docstatus=docstatus)
    branch.documents.documents["Sale", "S-1"] = {"name": "S-1", "code": "X", "docstatus": 1}
    request = branch.queue(O.CREATE, "Sale", "S-1", {"code": "X", "docstatus": 1}, unique={"code": "X"})
    branch.answer(LOST)
    branch.run()
    assert branch.status(request) is expected


def ours(branch: Branch, name: str, **values: Any) -> None:
    """Another document that our API user made at the central meanwhile."""
    branch.central.insert("Sale", name, **values)
    branch.central.documents["Sale"][name]["owner"] = branch.central.user


@pytest.mark.parametrize(
    ("candidates", "named"),
    [
        ([{"total": 9}], ["X-0"]),
        ([{"total": 1}, {"total": 1}], ["X-0", "X-1"]),
        ([{"total": 1}, {"total": 9}], ["X-0", "X-1"]),
        ([{"total": 9}] * 7, ["X-0", "X-4"]),
    ],
)
def test_what_may_or_may_not_be_it_is_shown_to_a_person(
    branch: Branch, candidates: list[Any], named: list[str]
) -> None:
    branch.answer(LOST)
    request = branch.create("Sale", "S-1", total=1)
    for number, values in enumerate(candidates):
        ours(branch, f"X-{number}", **values)
    drain(branch)
    held = branch.get(request)
    assert held.status is Status.NEEDS_ATTENTION
    assert all(name in str(held.error_message) for name in named)
    assert "X-5" not in str(held.error_message)
    assert sent(branch) == 1


def lost_together(*totals: int) -> tuple[Branch, list[str]]:
    """Sales that were on their way side by side, each with its effect and without its answer."""
    branch = manual(schemas=SCHEMAS)
    with_lanes(branch, 4)
    branch.answer(*[LOST] * len(totals), applies=True)
    requests = [branch.create("Sale", f"S-{place}", total=total) for place, total in enumerate(totals)]
    branch.run(budget=1)
    return branch, requests


@pytest.mark.parametrize("totals", [(1, 2, 3), (1, 1, 1), (1, 2, 1)])
def test_creates_that_were_lost_side_by_side_are_told_apart(totals: tuple[int, ...]) -> None:
    branch, requests = lost_together(*totals)
    drain(branch)
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * len(totals)
    there = [branch.central.documents["Sale"][name]["total"] for name in branch.names_there("Sale")]
    assert sorted(there) == sorted(totals)
    named = {branch.line_of("Sale", f"S-{place}").central_name for place in range(len(totals))}
    assert len(named) == len(totals)


def test_one_more_that_equals_them_than_were_lost_is_shown_to_a_person() -> None:
    branch = manual(schemas=SCHEMAS)
    with_lanes(branch, 2)
    branch.answer(LOST, LOST, applies=True)
    deliver = branch.central.deliver

    def with_another(wire: Any, *, key: str) -> Reply:
        if not branch.names_there("Sale"):
            ours(branch, "X-0", total=1)
        return deliver(wire, key=key)

    branch.central.deliver = with_another  # type: ignore[method-assign]
    requests = [branch.create("Sale", f"S-{place}", total=1) for place in range(2)]
    drain(branch)
    assert [branch.status(request) for request in requests] == [
        Status.NEEDS_ATTENTION,
        Status.NEEDS_ATTENTION,
    ]


def test_more_candidates_than_can_be_seen_are_shown_to_a_person(branch: Branch) -> None:
    branch.answer(LOST)
    request = branch.create("Sale", "S-1", total=1)
    for number in range(50):
        ours(branch, f"X-{number}", total=9)
    drain(branch)
    assert branch.status(request) is Status.NEEDS_ATTENTION
    assert "Too many" in str(branch.get(request).error_message)
    assert sent(branch) == 1


def test_a_candidate_that_vanishes_while_it_is_looked_at_is_not_it(branch: Branch) -> None:
    branch.answer(LOST)
    request = branch.create("Sale", "S-1", total=1)
    ours(branch, "X-0", total=1)
    fetch = branch.central.fetch

    def gone(doctype: str, name: str) -> Reply:
        return refused(404, "DoesNotExistError")

    branch.central.fetch = gone  # type: ignore[method-assign]
    branch.run()
    branch.central.fetch = fetch  # type: ignore[method-assign]
    assert branch.status(request) is Status.NEEDS_ATTENTION


def test_what_stands_under_another_name_than_the_one_we_gave_is_no_candidate(branch: Branch) -> None:
    """Our own user made an equal one just then, whose request does not know of it yet."""
    body = canonical_json({"name": "C-2", "city": "Rome"})
    branch.central.apply(Wire(method="POST", path="/api/resource/Customer", body=body), "of another")
    values = {"name": "C-1", "city": "Rome"}
    request = branch.queue(Operation.CREATE, "Customer", "C-1", values, unique={"name": "C-1"})
    branch.answer(LOST)
    drain(branch, 4)
    assert branch.status(request) is Status.SYNCED
    assert branch.line_of("Customer", "C-1").central_name == "C-1"


def test_what_belongs_to_another_request_of_ours_is_no_candidate(branch: Branch) -> None:
    branch.create("Sale", "S-0", total=1)
    branch.run()
    branch.answer(LOST)
    request = branch.create("Sale", "S-1", total=1)
    drain(branch)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Sale")) == 2


def test_a_create_that_was_lost_is_found_although_the_clock_was_set_back(branch: Branch) -> None:
    branch.answer(LOST, applies=True)
    branch.central.faults[0] = Fault(LOST, applies=True)
    request = branch.create("Sale", "S-1", total=1)
    look = branch.central.find_created_since

    def fails(doctype: str, since: Any) -> Reply:
        return page(502)

    branch.central.find_created_since = fails  # type: ignore[method-assign]
    branch.run()
    branch.central.find_created_since = look  # type: ignore[method-assign]
    assert branch.status(request) is Status.IN_DOUBT
    branch.clock.jump(-3600)
    drain(branch)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Sale")) == 1


@pytest.mark.parametrize("operation", [O.CREATE, O.DELETE])
def test_with_a_clock_that_was_set_back_the_wait_begins_anew(branch: Branch, operation: Operation) -> None:
    request = request_of(branch, operation)
    branch.answer(LOST)
    branch.run()
    once = sent(branch)
    branch.clock.jump(-8 * 3600)
    branch.run()
    assert (branch.status(request), sent(branch)) == (Status.IN_DOUBT, once)
    branch.later(TIMEOUT)
    drain(branch)
    assert (branch.status(request), sent(branch)) == (Status.SYNCED, once + 1)


# renames


def test_a_rename_is_looked_up_under_the_name_that_was_sent() -> None:
    """A merge goes into the document that the central calls otherwise."""
    branch = a_branch(config=MANUAL, policies={"Customer": Policy()})
    names = [branch.synced("Customer", name) for name in ("C-1", "C-2")]
    merge = branch.rename("Customer", "C-1", "C-2", merge=True)
    with branch.store.transaction():
        waiting = branch.store.get(merge)
        assert waiting is not None
        branch.store.replace(replace(waiting, overwrite=True))
    branch.answer(LOST, applies=True)
    drain(branch)
    assert branch.status(merge) is Status.SYNCED
    assert branch.names_there("Customer") == [names[1]]


def test_a_rename_did_not_arrive_where_the_document_still_has_its_name(branch: Branch) -> None:
    """Though there is another one of the new name."""
    request = request_of(branch, O.RENAME)
    branch.central.insert("Sale", "S-2", total=9)
    branch.answer(LOST)
    drain(branch)
    assert branch.status(request) is Status.NEEDS_ATTENTION
    assert branch.central.documents["Sale"]["S-2"]["total"] == 9
    assert len(branch.names_there("Sale")) == 2


def test_a_rename_of_what_is_gone_under_both_names_is_a_conflict(branch: Branch) -> None:
    request = request_of(branch, O.RENAME)
    branch.answer(LOST, applies=True)
    deliver = branch.central.deliver

    def removes(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        if reply is LOST:
            branch.central.remove("Sale", "S-2")
        return reply

    branch.central.deliver = removes  # type: ignore[method-assign]
    branch.run()
    assert branch.status(request) is Status.CONFLICT
    assert branch.pending().conflict_type is ConflictType.UPDATE_DELETE


# calls


def test_a_call_cannot_be_looked_up_and_needs_a_person(branch: Branch) -> None:
    branch.answer(LOST, applies=True)
    call = branch.call()
    drain(branch)
    held = branch.get(call)
    assert (held.status, sent(branch)) == (Status.NEEDS_ATTENTION, 1)
    assert "cannot be looked up" in str(held.error_message)


def test_a_repeatable_call_is_sent_again(branch: Branch) -> None:
    branch.answer(LOST, applies=True)
    call = branch.call(repeatable=True)
    branch.run()
    assert (branch.status(call), sent(branch)) == (Status.SYNCED, 2)


# the look-up itself


@pytest.mark.parametrize("answer", [page(502), page(404), refused(401, "AuthenticationError"), LOST])
def test_without_a_proper_answer_to_the_look_up_it_stays_in_doubt(branch: Branch, answer: Reply) -> None:
    branch.answer(LOST, applies=True)
    request = branch.create("Sale", "S-1", total=1)
    branch.central.online = True
    deliver = branch.central.deliver

    def then_down(wire: Any, *, key: str) -> Reply:
        reply = deliver(wire, key=key)
        branch.central.answers_all = answer
        return reply

    branch.central.deliver = then_down  # type: ignore[method-assign]
    drain(branch)
    assert (branch.status(request), branch.get(request).retry_count) == (Status.IN_DOUBT, 0)
    branch.central.deliver = deliver  # type: ignore[method-assign]
    branch.central.answers_all = None
    drain(branch)
    assert branch.status(request) is Status.SYNCED
    assert len(branch.names_there("Sale")) == 1


def test_a_doubt_that_was_settled_meanwhile_is_left_alone(branch: Branch) -> None:
    """While the one before it was looked up."""
    first, second = (branch.create("Sale", f"S-{number}", total=number) for number in range(2))
    branch.answer(LOST, LOST)
    branch.run()
    look = branch.central.find_created_since

    def meanwhile(doctype: str, since: Any) -> Reply:
        with branch.store.transaction():
            current = branch.store.get(second)
            assert current is not None
            branch.store.replace(replace(current, status=Status.NEEDS_ATTENTION))
        return look(doctype, since)

    branch.central.find_created_since = meanwhile  # type: ignore[method-assign]
    branch.later(TIMEOUT)
    branch.run()
    assert [branch.status(request) for request in (first, second)] == [Status.SYNCED, Status.NEEDS_ATTENTION]


def test_the_lease_is_renewed_before_each_look_up(branch: Branch) -> None:
    for number in range(2):
        branch.create("Sale", f"S-{number}", total=number)
    branch.answer(LOST, LOST)
    branch.run()
    look, left = branch.central.find_created_since, []

    def slow(doctype: str, since: Any) -> Reply:
        with branch.store.transaction():
            lease = branch.store.live_lease()
        assert lease is not None
        left.append((lease.expires_at - branch.clock.now()).total_seconds())
        branch.later(branch.central.deadline)
        return look(doctype, since)

    branch.central.find_created_since = slow  # type: ignore[method-assign]
    branch.later(TIMEOUT)
    branch.run(budget=1e6)
    assert left == [branch.central.deadline + 30] * 2


def test_a_request_that_always_times_out_is_booked_after_three_times_and_stops_nothing(
    branch: Branch,
) -> None:
    """Three times unanswered beside a good probe: an attempt for each, and then one more."""
    branch.synced("Sale", "S-1", total=1)
    branch.answer(*[LOST] * 10)
    deliver = branch.central.deliver

    def slow(wire: Any, *, key: str) -> Reply:
        return (
            deliver(wire, key=key)
            if "S-1" in wire.path or wire.method == "PUT"
            else branch.central.apply(wire, key)
        )

    branch.central.deliver = slow  # type: ignore[method-assign]
    update = branch.update("Sale", "S-1", total=2)
    other = branch.create("Customer", "C-1")
    counts = []
    for _ in range(12):
        branch.run()
        counts.append(branch.get(update).retry_count)
        branch.later(60)
    assert branch.status(other) is Status.SYNCED
    assert set(counts) == {3, 4}
    assert branch.status(update) is Status.NEEDS_ATTENTION


def test_the_row_is_the_other_runs_when_another_one_took_over(branch: Branch) -> None:
    branch.answer(LOST)
    request = branch.create("Sale", "S-1", total=1)
    branch.run()
    look = branch.central.find_created_since

    def slow(doctype: str, since: Any) -> Reply:
        with branch.store.transaction():
            current = branch.store.get(request)
            assert current is not None
            branch.store.replace(replace(current, lease_token=99))
        return look(doctype, since)

    branch.central.find_created_since = slow  # type: ignore[method-assign]
    branch.later(TIMEOUT)
    assert branch.run().reason == "lease lost"
    assert branch.get(request).lease_token == 99


def test_a_document_that_is_not_known_any_more_leaves_it_in_doubt(branch: Branch) -> None:
    request = request_of(branch, O.DELETE)
    branch.answer(LOST)
    branch.run()
    document = branch.store.document
    branch.store.document = lambda line: None  # type: ignore[method-assign]
    branch.later(TIMEOUT)
    assert branch.run().reason == "lease lost"
    branch.store.document = document  # type: ignore[method-assign]
    branch.later(3600)
    branch.run()
    assert branch.status(request) is Status.SYNCED


def test_what_was_in_flight_when_its_run_was_killed_is_in_doubt_if_it_was_marked_as_sent(
    branch: Branch,
) -> None:
    """Unmarked, it certainly did not leave."""
    deliver = branch.central.deliver

    def killed(wire: Any, *, key: str) -> Reply:
        deliver(wire, key=key)
        raise KeyboardInterrupt

    requests = [branch.create("Sale", f"S-{number}", total=number) for number in range(3)]
    branch.central.deliver = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        branch.run()
    branch.central.deliver = deliver  # type: ignore[method-assign]
    assert [branch.status(request) for request in requests] == [Status.IN_FLIGHT] * 3
    assert [bool(branch.get(request).sent_at) for request in requests] == [True, False, False]
    assert branch.run().reason == "busy"
    branch.later(branch.central.deadline + 31)
    branch.run()
    assert [branch.status(request) for request in requests] == [Status.SYNCED] * 3
    totals = [document["total"] for document in branch.central.documents["Sale"].values()]
    assert sorted(totals) == [0, 1, 2]
    assert json.loads(str(branch.sent(0)[2])) == {"total": 0}
