"""The state table and the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from erp_offline_sync.engine.errors import NotAllowed
from erp_offline_sync.engine.model import Operation, Request, Status
from erp_offline_sync.engine.transitions import ALLOWED, ENDS, LEDGER_COLUMN, OPEN, ledger, move, taken_back

REQUEST = Request(
    id="r1",
    key="r1",
    seq=1,
    operation=Operation.CREATE,
    resource_type="ToDo",
    resource_id="T-1",
    method="POST",
    path="/api/resource/ToDo",
    body={},
    created_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
)


def test_every_state_is_in_exactly_one_column_of_the_ledger() -> None:
    assert set(LEDGER_COLUMN) == set(Status)
    assert set(LEDGER_COLUMN.values()) == {"applied", "merged", "decided", "discarded", "held", "waiting"}


def test_the_ledger_adds_up_to_what_was_captured() -> None:
    counters = {status: 10**i for i, status in enumerate(Status)}
    assert ledger(counters).captured == sum(counters.values())


def test_an_end_is_never_left() -> None:
    assert {status for status in Status if not ALLOWED[status]} == ENDS


def test_every_open_state_can_reach_an_end() -> None:
    """Nothing can be stuck by the table itself."""
    for start in OPEN:
        reached, todo = {start}, [start]
        while todo:
            for following in ALLOWED[todo.pop()] - reached:
                reached.add(following)
                todo.append(following)
        assert reached & ENDS, start


def test_a_step_that_the_table_does_not_name_is_refused() -> None:
    with pytest.raises(NotAllowed, match="Synced"):
        move(replace(REQUEST, status=Status.SYNCED), Status.PENDING)


def test_an_end_is_left_where_a_decision_is_taken_back_alone() -> None:
    for status in (Status.PENDING, Status.WAITING, Status.DECIDED, Status.MERGED):
        again = taken_back(replace(REQUEST, status=status, merged_into="r2", closed_by="ann", reason="x"))
        assert (again.status, again.merged_into, again.closed_by, again.reason) == (
            Status.CONFLICT,
            None,
            None,
            None,
        )
    for status in set(Status) - {Status.PENDING, Status.WAITING, Status.DECIDED, Status.MERGED}:
        with pytest.raises(NotAllowed, match="went on since"):
            taken_back(replace(REQUEST, status=status))


def test_leaving_the_wait_forgets_what_was_waited_for_and_leaving_the_flight_forgets_the_lease() -> None:
    waiting = move(REQUEST, Status.WAITING, waits_for="r0", waits_why="an earlier change")
    assert waiting.waits_for == "r0"
    assert move(waiting, Status.PENDING).waits_for is None
    flying = move(REQUEST, Status.IN_FLIGHT, lease_token=7)
    assert flying.lease_token == 7
    assert move(flying, Status.SYNCED).lease_token is None
