"""What people see of the whole: state, reason, ledger, last sync time, days offline.

The state is computed from the lease and the last run, never stored alone: a killed run cannot leave "syncing"
behind. Keys: hooks-docs/events.md.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from .errors import InvalidRequest
from .events import Stats
from .identity import canonical_json
from .ports import Store
from .sending.line import BREAKER, LAST_REACHED, kept_breaker
from .transitions import ledger

__all__ = [
    "FAILED",
    "IDENTITY_ASKS",
    "LAST_RUN",
    "LAST_STATS",
    "LAST_SYNC",
    "PAUSED",
    "PENDING_COUNT",
    "RUN_STARTED",
    "pause",
    "pause_of",
    "paused_by",
    "resume",
    "sync_status",
]

LAST_SYNC = "last_sync_time"
LAST_STATS = "last_stats"
LAST_RUN = "last_run"
RUN_STARTED = "run_started"
PENDING_COUNT = "pending_count"
PAUSED = "paused"
IDENTITY_ASKS = "identity_asks"
"""Why nothing is sent before a person has said whether this site is a copy or a replacement."""

IDLE, SYNCING, FAILED = "idle", "syncing", "failed"


def pause(store: Store, *, by: str, reason: str, until: datetime | None = None) -> None:
    """Nothing is sent from now on, look-ups included; capture goes on. `until`: it ends by itself."""
    if not by:
        raise InvalidRequest("Say who pauses.")
    kept = {"by": by, "reason": reason, "since": store.now().isoformat()}
    store.set_meta(PAUSED, canonical_json({**kept, "until": until.isoformat() if until else None}))


def resume(store: Store, *, only_by: str | None = None) -> bool:
    """Whether it was paused. With `only_by` a pause of somebody else stays."""
    text = store.get_meta(PAUSED)
    if text is None or (only_by is not None and json.loads(text)["by"] != only_by):
        return False
    store.set_meta(PAUSED, None)
    return True


def pause_of(store: Store, now: datetime) -> dict[str, Any] | None:
    """`{"by", "reason", "since", "until"}`, the last two ISO 8601 in UTC; None where sending is not paused."""
    text = store.get_meta(PAUSED)
    if text is None:
        return None
    kept: dict[str, Any] = json.loads(text)
    return None if kept["until"] and datetime.fromisoformat(kept["until"]) <= now else kept


def paused_by(store: Store, now: datetime) -> str | None:
    """Who paused, and why: "ann (stock taking)"; None where sending is not paused."""
    pause = pause_of(store, now)
    return None if pause is None else _named(pause)


def _named(pause: dict[str, Any]) -> str:
    return f"{pause['by']} ({pause['reason']})" if pause["reason"] else str(pause["by"])


def sync_status(store: Store) -> dict[str, Any]:
    """The status as `get_sync_status` answers it. Inside the caller's transaction; costs the same at any size."""
    now = store.now()
    breaker = kept_breaker(store.get_meta(BREAKER))
    last_run = json.loads(store.get_meta(LAST_RUN) or "{}")
    totals = ledger(store.counters())
    lease = store.live_lease()
    oldest = store.oldest_open()
    reached = store.get_meta(LAST_REACHED)
    paused = pause_of(store, now)
    # Half-open: the central answered its probe, and the next request only has to show it.
    away = breaker.state == "open"
    if lease is not None:
        state, reason = SYNCING, ""
    elif last_run.get("failed"):
        state, reason = FAILED, str(last_run.get("message") or last_run.get("reason") or "")
    else:
        state = IDLE
        reason = str(last_run.get("reason") or "no run yet")
        reason = "nothing due" if reason == "done" else reason
        if away and breaker.open_since is not None:
            reason = f"{breaker.reason} since {breaker.open_since.isoformat(timespec='seconds')}"
    if paused is not None and lease is None:
        reason = f"paused by {_named(paused)}"
    days = (now - datetime.fromisoformat(reached)).total_seconds() / 86400 if reached else None
    return {
        "state": state,
        "stats": Stats.from_json(json.loads(store.get_meta(LAST_STATS) or "{}")).to_json(),
        "lastSyncTime": store.get_meta(LAST_SYNC),
        "pendingCount": totals.waiting,
        "conflictCount": store.count_conflicts(),
        "oldestAge": round((now - oldest).total_seconds()) if oldest else None,
        "daysOffline": round(days, 2) if days is not None and away else 0,
        "reason": reason,
        "paused": paused,
        "line": breaker.state,
        "identity": store.get_meta(IDENTITY_ASKS),
        "totals": {
            "captured": totals.captured,
            "applied": totals.applied,
            "merged": totals.merged,
            "decided": totals.decided,
            "discarded": totals.discarded,
            "held": totals.held,
            "waiting": totals.waiting,
        },
    }
