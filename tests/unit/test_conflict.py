"""Which type a conflict has, and which side it goes to without a person."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support import NOON, a_conflict, a_request

from erp_offline_sync.engine.conflict import conflict_type, decide
from erp_offline_sync.engine.model import ConflictType, Instant, Operation, Resolution, Strategy

O, T, R = Operation, ConflictType, Resolution  # noqa: E741  a table of short rows


@pytest.mark.parametrize(
    ("operation", "gone", "state_moved", "expected"),
    [
        (O.UPDATE, False, False, T.UPDATE_UPDATE),
        (O.UPDATE, False, True, T.STATE),
        (O.UPDATE, True, False, T.UPDATE_DELETE),
        (O.SUBMIT, False, False, T.STATE),
        (O.CANCEL, False, True, T.STATE),
        (O.SUBMIT, True, False, T.UPDATE_DELETE),
        (O.RENAME, False, False, T.STATE),
        (O.RENAME, True, False, T.UPDATE_DELETE),
        (O.DELETE, False, False, T.DELETE_UPDATE),
        (O.DELETE, False, True, T.DELETE_UPDATE),
        (O.CREATE, False, False, T.CREATE_CREATE),
        (O.CREATE, True, False, T.CREATE_CREATE),
        (O.CALL, False, False, T.CALL),
        (O.CALL, True, False, T.CALL),
    ],
)
def test_the_type_follows_from_what_was_wanted_and_what_is_found(
    operation: Operation, gone: bool, state_moved: bool, expected: ConflictType
) -> None:
    request = a_request(operation=operation)
    assert conflict_type(request, gone=gone, state_moved=state_moved) is expected


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [(Strategy.LOCAL_WINS, R.LOCAL_WINS), (Strategy.SERVER_WINS, R.SERVER_WINS), (Strategy.MANUAL, None)],
)
def test_a_fixed_strategy_decides_whatever_the_clocks_say(
    strategy: Strategy, expected: Resolution | None
) -> None:
    for at in (NOON - timedelta(days=1), NOON + timedelta(days=1)):
        decision = decide(
            a_conflict(),
            strategy=strategy,
            server_changed=Instant(at=at, uncertainty=1),
            uncertain=R.SERVER_WINS,
        )
        assert decision.resolution is expected
        assert decision.by == f"rule:{strategy.value}"


@pytest.mark.parametrize(
    ("lead", "uncertainty", "uncertain", "expected"),
    [
        (61, 60, R.SERVER_WINS, R.LOCAL_WINS),
        (-61, 60, R.SERVER_WINS, R.SERVER_WINS),
        (60, 60, R.SERVER_WINS, R.SERVER_WINS),
        (60, 60, R.MANUAL, None),
        (-60, 60, R.MANUAL, None),
        (0, 0, R.SERVER_WINS, R.SERVER_WINS),
        (0, 0, R.MANUAL, None),
        (0.001, 0, R.MANUAL, R.LOCAL_WINS),
        (-0.001, 0, R.MANUAL, R.SERVER_WINS),
        (None, 0, R.SERVER_WINS, R.SERVER_WINS),
        (None, 0, R.MANUAL, None),
    ],
)
def test_the_last_write_wins_where_the_clocks_can_tell(
    lead: float | None, uncertainty: float, uncertain: Resolution, expected: Resolution | None
) -> None:
    """`lead`: how many seconds later the branch wrote; None: the central's time is not known."""
    changed = None
    if lead is not None:
        changed = Instant(at=NOON - timedelta(seconds=lead), uncertainty=uncertainty)
    decision = decide(
        a_conflict(), strategy=Strategy.LAST_WRITE_WINS, server_changed=changed, uncertain=uncertain
    )
    assert decision.resolution is expected
    assert decision.by == "rule:Last Write Wins"
    assert decision.reason
