"""How the central knows that a branch was restored or cloned: by its runs.

A branch counts its runs in a file outside its database and makes a random key for each. So one number with two keys
comes from two branches; a number below what was seen comes from a branch that was set back, unless that push was
only late. The central remembers the last runs of each origin and decides without a clock (hooks-docs/companion.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["REMEMBERED", "RunVerdict", "RunsSeen", "look_at_run", "seen_from_json"]

REMEMBERED = 50
"""Runs of an origin that are kept."""


class RunVerdict(str, Enum):
    CURRENT = "current"
    LATE = "late"
    """Of a run that is over: to be refused, as what it holds may have changed since."""
    RESTORED = "restored"
    CLONED = "cloned"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsSeen:
    keys: Mapping[int, str] = field(default_factory=dict)
    """Number of a run → its key, for the last runs."""
    late: int | None = None
    """A run that nobody had seen when a later one had come; at most one such run is believed to be late."""

    def as_json(self) -> dict[str, object]:
        return {"keys": [[run, key] for run, key in sorted(self.keys.items())], "late": self.late}


def seen_from_json(value: Mapping[str, object] | None) -> RunsSeen:
    """What `as_json` made; None for an origin that was never seen."""
    if value is None:
        return RunsSeen()
    keys, late = value["keys"], value["late"]
    assert isinstance(keys, list)
    return RunsSeen(keys=dict(keys), late=late if isinstance(late, int) else None)


def look_at_run(seen: RunsSeen, run: int, key: str) -> tuple[RunVerdict, RunsSeen]:
    """What a push of this run says of its branch, and what to remember now."""
    highest = max(seen.keys, default=-1)
    if run > highest:
        kept = sorted(seen.keys)[-(REMEMBERED - 1) :]
        return RunVerdict.CURRENT, RunsSeen(keys={**{each: seen.keys[each] for each in kept}, run: key})
    if run in seen.keys:
        if seen.keys[run] != key:
            return (RunVerdict.CLONED if run == highest else RunVerdict.RESTORED), seen
        return (RunVerdict.CURRENT if run == highest else RunVerdict.LATE), seen
    forgotten = len(seen.keys) >= REMEMBERED and run < min(seen.keys)
    if forgotten or seen.late not in (None, run):
        return RunVerdict.RESTORED, seen
    return RunVerdict.LATE, RunsSeen(keys=seen.keys, late=run)
