"""What is told: two events for people with fixed keys, ids and counts only (G6).

Names and keys: hooks-docs/events.md. `stats` is of the current or last run; durations in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from .model import Json

__all__ = ["OUTCOME", "PROGRESS", "STATE_CHANGED", "Stats"]

STATE_CHANGED = "sync-state-changed"
PROGRESS = "sync-progress"
OUTCOME = "sync-outcome"
"""For the log only: what became of one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a run did so far."""

    success: int = 0
    failure: int = 0
    conflict: int = 0
    duration_ms: int = 0

    @property
    def processed(self) -> int:
        return self.success + self.failure + self.conflict

    def to_json(self) -> Json:
        return {
            "successCount": self.success,
            "failureCount": self.failure,
            "conflictCount": self.conflict,
            "lastSyncDuration": self.duration_ms,
        }

    def progress(self, total: int) -> Json:
        return {
            "processed": self.processed,
            "total": max(total, self.processed),
            "successCount": self.success,
            "failureCount": self.failure,
            "conflictCount": self.conflict,
        }

    @classmethod
    def from_json(cls, value: Json) -> Stats:
        return cls(
            success=int(value.get("successCount", 0)),
            failure=int(value.get("failureCount", 0)),
            conflict=int(value.get("conflictCount", 0)),
            duration_ms=int(value.get("lastSyncDuration", 0)),
        )
