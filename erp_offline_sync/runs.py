"""Runs that a command starts: one after the other for `--forever`, and the exit code of one.

The same on a bench and without: what differs is where the engine comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from erp_offline_sync.bootstrap import Assembled
from erp_offline_sync.engine import status
from erp_offline_sync.engine.events import Stats
from erp_offline_sync.engine.ports import Clock, Control, Ports, Store
from erp_offline_sync.engine.sending.line import BREAKER, kept_breaker
from erp_offline_sync.engine.sync import RunReport
from erp_offline_sync.exit_codes import DONE, NEEDS_PERSON, OFFLINE, REFUSED

__all__ = ["OTHER_RUN", "exit_code", "send_forever", "something_to_do"]

OTHER_RUN = ("busy", "lease lost")
"""Why a run ended that found another one at work."""

MAINTENANCE = "maintenance"
"""The stop reason that ends by itself: a run ends, `send_forever` waits."""

_BUDGET = 600.0
_LINGER_OFFLINE = 16.0
"""Seconds: the first four probes after a failure fall into them."""
_LOOK_AGAIN = 1.0
"""Seconds between two looks for something new while nothing is due."""
_NAP = 0.5
"""Seconds after which a sleep looks whether it should end."""


def send_forever(
    outbox: Callable[[], Assembled | None],
    control: Control,
    clock: Clock,
    *,
    doctypes: Collection[str] | None = None,
) -> RunReport:
    """Run whenever something is due, at least a processing interval after the run before, until `control` ends it.

    `outbox` gives the engine to send with; None while nothing may be sent, then it is asked again. The report is
    of all runs together.
    """
    stats = Stats()
    while not _ends(control):
        started = clock.monotonic()
        rest = _LOOK_AGAIN
        assembled = None if control.stop_reason() else outbox()
        if assembled is not None:
            interval = assembled.ports.config.processing_interval / 1000
            if something_to_do(assembled.ports):
                last = assembled.engine.run(
                    budget=_BUDGET, linger=interval, linger_offline=_LINGER_OFFLINE, doctypes=doctypes
                ).stats
                stats = Stats(
                    success=stats.success + last.success,
                    failure=stats.failure + last.failure,
                    conflict=stats.conflict + last.conflict,
                    duration_ms=stats.duration_ms + last.duration_ms,
                )
                rest = started + interval - clock.monotonic()
            else:
                rest = min(_LOOK_AGAIN, interval)
        _rest(max(rest, 0.0), control, clock)
    return RunReport(reason=f"stopped: {control.stop_reason()}", stats=stats)


def _ends(control: Control) -> bool:
    return control.stop_reason() not in (None, MAINTENANCE)


def _rest(seconds: float, control: Control, clock: Clock) -> None:
    """In naps: a signal's handler returns into the sleep."""
    while seconds > 0 and not _ends(control):
        clock.sleep(min(seconds, _NAP))
        seconds -= _NAP


def something_to_do(ports: Ports) -> bool:
    """Whether a run would find anything; costs no write to the disk."""
    store, horizon = ports.store, ports.config.horizon
    with store.transaction():
        now = store.now()
        if status.paused_by(store, now):
            return False
        breaker = kept_breaker(store.get_meta(BREAKER))
        if not breaker.closed:
            return breaker.probe_due(now) and store.oldest_open() is not None
        return bool(
            store.count_unplaced(1)
            or store.due(now, limit=1, horizon=horizon)
            or store.doubts(now, limit=1, horizon=horizon)
            or store.in_flight(not_token=0, limit=1)
        )


def exit_code(store: Store, report: RunReport, told: dict[str, Any]) -> int:
    """Of a single run; `told` is the sync status after it."""
    with store.transaction():
        breaker = kept_breaker(store.get_meta(BREAKER))
    if report.reason.startswith("paused") or breaker.at_fault:
        return REFUSED
    if breaker.state == "open" and told["pendingCount"]:
        return OFFLINE
    if report.reason in OTHER_RUN:
        return REFUSED
    return NEEDS_PERSON if told["totals"]["held"] else DONE
