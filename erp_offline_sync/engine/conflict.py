"""Which side a conflict goes to when no person is needed.

Last write wins compares two instants brought to one clock; a difference not larger than the measured uncertainty
counts as equal, and equal or missing goes the way that the setting `lww_uncertain` says.
Source: semantics, "Conflicts".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .merge import Merged, Side
from .model import Conflict, ConflictType, Instant, Json, Operation, Request, Resolution, Strategy

__all__ = ["Decision", "conflict_type", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`resolution` None: a person decides. `by` names the rule or hook; `reason` is shown with the conflict."""

    resolution: Resolution | None
    by: str
    reason: str
    rest: Side | None = None
    """Of a merge: where what clashes and is not in `values` goes."""
    values: Json = field(default_factory=dict)


def conflict_type(request: Request, *, gone: bool, state_moved: bool) -> ConflictType:
    """The type of a conflict that the central's document makes with a request; `gone`: it is not there."""
    if request.operation is Operation.CALL:
        return ConflictType.CALL
    if request.operation is Operation.CREATE:
        return ConflictType.CREATE_CREATE
    if gone:
        return ConflictType.UPDATE_DELETE
    if request.operation is Operation.DELETE:
        return ConflictType.DELETE_UPDATE
    if state_moved or request.operation is not Operation.UPDATE:
        return ConflictType.STATE
    return ConflictType.UPDATE_UPDATE


def decide(
    conflict: Conflict,
    *,
    strategy: Strategy,
    server_changed: Instant | None,
    uncertain: Resolution,
    merged: Merged | None = None,
    clashes: Strategy = Strategy.LAST_WRITE_WINS,
) -> Decision:
    """The decision by rule; `server_changed` is when the central's document was last written.

    `merged` is what both sides come to where this conflict can be merged; `clashes` decides the rest of a merge.
    """
    by = f"rule:{strategy.value}"
    if strategy is Strategy.LOCAL_WINS:
        return Decision(resolution=Resolution.LOCAL_WINS, by=by, reason="the branch wins by its policy")
    if strategy is Strategy.SERVER_WINS:
        return Decision(resolution=Resolution.SERVER_WINS, by=by, reason="the central wins by its policy")
    if strategy is Strategy.MANUAL:
        return Decision(resolution=None, by=by, reason="a person decides by its policy")
    if strategy is Strategy.FIELD_MERGE:
        return _merge(merged, clashes, _last_write(conflict, server_changed, uncertain, by))
    return _last_write(conflict, server_changed, uncertain, by)


_SIDES: Mapping[Resolution, Side] = {
    Resolution.LOCAL_WINS: Side.LOCAL,
    Resolution.SERVER_WINS: Side.SERVER,
}


def _merge(merged: Merged | None, clashes: Strategy, by_time: Decision) -> Decision:
    """`by_time` is what the last write decides."""
    if merged is not None and not merged.clashes:
        reason = "what both sides changed goes together"
        return Decision(resolution=Resolution.MERGE, by=by_time.by, reason=reason)
    where = "one side changed what the other has not any more"
    if merged is not None:
        where = f"both sides changed {', '.join(clash.key for clash in merged.clashes)}"
    if clashes is Strategy.MANUAL:
        return Decision(resolution=None, by=by_time.by, reason=f"{where}; a person decides")
    if merged is None or by_time.resolution is None:
        return replace(by_time, reason=f"{where}; {by_time.reason}")
    return Decision(
        resolution=Resolution.MERGE,
        by=by_time.by,
        reason=f"{where}; {by_time.reason}",
        rest=_SIDES[by_time.resolution],
    )


def _last_write(
    conflict: Conflict, server_changed: Instant | None, uncertain: Resolution, by: str
) -> Decision:
    if server_changed is None:
        return _uncertain(uncertain, by, "the time of the central's change is not known")
    lead = (conflict.local_changed_at - server_changed.at).total_seconds()
    if abs(lead) <= server_changed.uncertainty:
        return _uncertain(uncertain, by, "both changes count as equally old")
    if lead > 0:
        return Decision(resolution=Resolution.LOCAL_WINS, by=by, reason=f"changed here {lead:.0f} s later")
    return Decision(resolution=Resolution.SERVER_WINS, by=by, reason=f"changed there {-lead:.0f} s later")


def _uncertain(uncertain: Resolution, by: str, why: str) -> Decision:
    if uncertain is Resolution.MANUAL:
        return Decision(resolution=None, by=by, reason=f"{why}; a person decides")
    return Decision(resolution=Resolution.SERVER_WINS, by=by, reason=f"{why}; the central wins")
