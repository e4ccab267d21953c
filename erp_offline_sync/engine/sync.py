"""The sync run: claim, deliver, record, and go on until nothing is due.

One run a destination: it holds the lease, renews it before each delivery and records nothing without it. Memory
does not grow with the backlog. Source: semantics, "Runs".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .classify import Outcome, Verdict
from .deciding.resolution import Resolutions
from .errors import CentralUnavailable, LeaseLost, Paused
from .events import OUTCOME, PROGRESS, STATE_CHANGED, Stats
from .identity import canonical_json
from .metrics import Metrics
from .model import Attempt, Lease, Readiness, Request, Status
from .ordering import Placer
from .ports import Ports
from .sending.answers import Answers
from .sending.batch import Batches
from .sending.booking import Booking, Result, with_note
from .sending.companion import Companion
from .sending.doubt import Doubts
from .sending.knowledge import Knowledge
from .sending.lanes import Delivered, Lanes
from .sending.line import Line
from .sending.lookup import Lookup
from .sending.origin import Origins
from .sending.preparation import Preparation
from .sending.push import Capabilities
from .sending.pushed import can_be_pushed, is_pushed
from .sending.single import Singles
from .status import FAILED, LAST_RUN, LAST_STATS, LAST_SYNC, PENDING_COUNT, RUN_STARTED, paused_by
from .transitions import ledger, move

__all__ = ["RunReport", "SyncEngine"]

LEASE_MARGIN = 30.0
"""Seconds that a lease is longer than one delivery's deadline."""
_PLACED_AT_ONCE = 100
_FOUND = frozenset({Result.SUCCESS, Result.CONFLICT})
"""A doubt that ended so was settled by the central's own answers."""
_COUNTED = 5000
"""So many that are not placed yet are counted: where there are more, pushes are full."""
_LOOKED_BEYOND = 8
"""Batches that are looked at for something that may leave beside what is on its way."""
_SLICE = 0.5
"""Seconds between two looks while a run lingers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did, and why it ended: "done", "offline", "stopped: …", "paused by …", "time", "busy" …"""

    reason: str
    stats: Stats = field(default_factory=Stats)


class SyncEngine:
    """`run` may be called at any time, from anywhere; all but one at a time end at once with "busy"."""

    def __init__(self, ports: Ports, *, holder: str) -> None:
        self._ports = ports
        self._store = ports.store
        self._holder = holder
        self.line = Line(ports)
        self.origins = Origins(ports)
        lookup = Lookup(ports)
        self.resolutions = Resolutions(ports)
        self._booking = Booking(ports, self.line, self.resolutions)
        knowledge = Knowledge(ports, lookup, self._booking)
        self._answers = Answers(ports, self.line, lookup, knowledge, self._booking, self.resolutions)
        self._preparation = Preparation(ports, lookup, knowledge, self._booking, self._answers)
        self._companion = Companion(ports, lambda: self.origins.current)
        self._doubts = Doubts(ports, self._booking, self._answers, lookup, self._preparation, self._companion)
        self._placer = Placer(ports.store, ports.ids)
        self._lanes = Lanes(ports, self.line, meanwhile=self._place_more, take_up=self._answers.take_up)
        self._singles = Singles(
            ports,
            self.line,
            self._lanes,
            self._preparation,
            self._answers,
            self._booking,
            renew=self._renew,
            interrupted=self._interrupted,
        )
        self._batches = Batches(
            ports,
            self.line,
            self._lanes,
            self._companion,
            self._preparation,
            self._answers,
            self._booking,
            renew=self._renew,
            interrupted=self._interrupted,
        )
        self._lease: Lease | None = None
        self._stats = Stats()
        self._metrics = Metrics()
        self._total = 0
        self._until = 0.0
        self._more_to_place = False

    def run(
        self,
        *,
        budget: float = 60.0,
        linger: float = 0.0,
        linger_offline: float = 0.0,
        doctypes: Collection[str] | None = None,
        force: bool = False,
    ) -> RunReport:
        """Drain what is due, for at most `budget` seconds.

        `linger` is how long (seconds) the run waits for something due soon, `linger_offline` how long it stays to
        probe while the line is down and rows wait. `force` probes once at once. With `doctypes` only requests of
        these are sent (and nothing is waited for).
        """
        if force:
            self._refuse_where_paused()
        started = self._ports.clock.monotonic()
        self._until = started + budget
        self._stats, self._total = Stats(), 0
        report = self._run_once(started, linger, linger_offline, doctypes, force)
        if report.reason == "done" and self._came_meanwhile():
            # A save that came just before the lease was given back woke nobody.
            again = self._run_once(started, linger, linger_offline, doctypes, False)
            if again.reason != "busy":
                report = again
        return report

    def _refuse_where_paused(self) -> None:
        with self._store.transaction():
            by = paused_by(self._store, self._store.now())
        if by:
            raise Paused(f"Sending is paused by {by}. Resume it first.")

    def _came_meanwhile(self) -> bool:
        with self._store.transaction():
            return bool(self._store.count_unplaced(1))

    def _run_once(
        self,
        started: float,
        linger: float,
        linger_offline: float,
        doctypes: Collection[str] | None,
        force: bool,
    ) -> RunReport:
        """From taking the lease to giving it back. What is counted is of the whole run, which began at `started`."""
        if not self._take_lease():
            return RunReport(reason="busy")
        try:
            self._begin()
            if force:
                self.line.breaker = self.line.breaker.probe_at_once()
            reason = self._drain(linger, linger_offline, doctypes)
        except LeaseLost:
            self._lease = None
            return RunReport(reason="lease lost", stats=self._stats)
        except Exception as error:
            self._end(started, f"{type(error).__name__}: an error ended the run", failed=True)
            raise
        at_fault = self.line.breaker.at_fault
        self._end(started, reason, failed=at_fault)
        return RunReport(reason=reason, stats=self._stats)

    # the loop

    def _drain(self, linger: float, linger_offline: float, doctypes: Collection[str] | None) -> str:
        clock = self._ports.clock
        idle_since: float | None = None
        while True:
            reason = self._why_end()
            if reason:
                self._land_all()
                return reason
            self._recover()
            usable = self.line.usable()
            if not usable:
                self._land_all()
            # After an outage what failed is tried last, doubts too.
            progressed = usable and (
                self._settle_doubts(self.line.breaker.failed)
                or self._send_batch(doctypes)
                or self._land_one()
                # Or what a restored backup holds, which became a doubt when it was placed.
                or self._settle_doubts(())
            )
            if progressed:
                idle_since = None
                continue
            if not usable:
                self._place_all()
            idle_since = idle_since if idle_since is not None else clock.monotonic()
            patience = linger if usable and self.line.breaker.closed else linger_offline
            if usable and doctypes is not None:
                return "done"
            wait = self._until_due(usable)
            left = idle_since + patience - clock.monotonic()
            if wait is None or left <= 0 or (usable and wait > left):
                return "done" if usable else self.line.breaker.reason or "offline"
            clock.sleep(max(0.0, min(wait, left, _SLICE)))

    def _why_end(self) -> str | None:
        stop = self._ports.control.stop_reason()
        if stop:
            return f"stopped: {stop}"
        with self._store.transaction():
            by = paused_by(self._store, self._store.now())
        if by:
            return f"paused by {by}"
        return "time" if self._ports.clock.monotonic() >= self._until else None

    def _until_due(self, usable: bool) -> float | None:
        """Seconds until something may happen; None where nothing is waited for."""
        with self._store.transaction():
            now = self._store.now()
            if usable and self._store.count_unplaced(1):
                return 0.0
            if not usable:
                at: datetime | None = self.line.breaker.next_probe_at
                if not self._anything_open():
                    return None
            else:
                at = self._store.next_due_at()
        return None if at is None else max(0.0, (at - now).total_seconds())

    def _anything_open(self) -> bool:
        return self._store.oldest_open() is not None

    def _recover(self) -> None:
        """What a run that is gone had claimed: unsent goes back, sent is in doubt."""
        token = self._booking.token
        while True:
            with self._store.transaction():
                orphans = self._store.in_flight(not_token=token, limit=_PLACED_AT_ONCE)
                if orphans:
                    self._renew()
                for orphan in orphans:
                    if orphan.sent_at is None:
                        back = move(orphan, Status.PENDING, readiness=Readiness.READY)
                    else:
                        # It may come to the central later than what is sent next.
                        noted = with_note(orphan, Attempt(at=orphan.sent_at, event=Verdict.UNANSWERED.value))
                        back = move(noted, Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=None)
                    self._store.replace(back)
            if len(orphans) < _PLACED_AT_ONCE:
                return

    def _settle_doubts(self, but_for: Collection[str]) -> bool:
        """Look up what is in doubt; whether anything was looked at."""
        passed_over = but_for if self.line.breaker.half_open else ()
        limit = self._batch_size()
        with self._store.transaction():
            due = self._store.doubts(
                self._store.now(), limit=limit + len(passed_over), horizon=self._ports.config.horizon
            )
        doubts = [request for request in due if request.id not in passed_over][:limit]
        if doubts:
            # What is on its way may be what is looked for.
            self._land_all()
        left = self._asked_by_receipt(doubts)
        for request in left:
            if self._interrupted():
                break
            self._renew()
            try:
                result = self._doubts.settle(request)
            except CentralUnavailable as trouble:
                self._count(request, self._booking.look_failed(request.id, trouble.outcome, doubt=True))
                break
            if result in _FOUND:
                self.line.answered()
            self._count(request, result)
            self._tell(request, result)
        return bool(doubts)

    def _asked_by_receipt(self, doubts: list[Request]) -> list[Request]:
        """Settle what a companion was sent by its receipts; answers those that have to be looked up."""
        asked = [request for request in doubts if is_pushed(request) or request.unsure]
        if not asked or self._interrupted() or self._companion.capabilities() is None:
            return doubts
        self._renew()
        for request, result in self._doubts.settle_by_receipt(asked):
            self._renew()
            if result in _FOUND:
                self.line.answered()
            self._count(request, result)
            self._tell(request, result)
        known = {request.id for request in asked}
        return [request for request in doubts if request.id not in known] if self.line.usable() else []

    def _place_some(self) -> bool:
        """Whether there was anything to place, and may be more."""
        with self._store.transaction():
            looked_at = self._placer.place_some(_PLACED_AT_ONCE)
            if looked_at:
                self._renew()
        self._more_to_place = bool(looked_at)
        return self._more_to_place and not self._ports.control.stop_reason()

    def _place_more(self) -> bool:
        """Of the backlog, while an answer is waited for; what is saved meanwhile has its turn with the next batch."""
        return self._more_to_place and self._place_some()

    def _place_all(self) -> None:
        while self._place_some():
            pass

    def _place_for(self, doctypes: Collection[str] | None) -> None:
        """So much that something can go. The rest is placed meanwhile, while something is on its way."""
        while self._place_some():
            if self._due(1, doctypes):
                return

    def _place_enough(self, size: int, doctypes: Collection[str] | None) -> None:
        """So that a large push is full, where the backlog holds as much."""
        if size <= _PLACED_AT_ONCE or not self._more_to_place:
            return
        lacking = size - len(self._due(size, doctypes))
        while lacking > 0 and self._place_some():
            lacking -= _PLACED_AT_ONCE

    def _send_batch(self, doctypes: Collection[str] | None) -> bool:
        """Claim a batch and send it; whether there was one. Its last answers may still be on their way."""
        self._place_for(doctypes)
        capabilities = self._companion.capabilities() if self._due(1, doctypes) else None
        batch = self._claimed(capabilities, doctypes)
        if not batch:
            return False
        self._total = self._stats.processed + self._lanes.on_their_way + len(batch)
        self._progress()
        if capabilities is not None and can_be_pushed(batch[0]):
            self._book(self._batches.start(batch, capabilities))
        else:
            self._book(self._singles.start(batch))
        if self._lanes.single:
            self._land_all()
        return True

    def _claimed(self, capabilities: Capabilities | None, doctypes: Collection[str] | None) -> list[Request]:
        """What goes together next."""
        size = self._batch_size() if capabilities is None else self._push_size()
        self._place_enough(size, doctypes)
        with self._store.transaction():
            due = self._trial_first(self._due_beside(size, doctypes), doctypes)
            chosen = due if capabilities is None else self._batches.chosen(due)
            return self._store.claim(chosen, self._booking.token)

    def _land_one(self) -> bool:
        """Wait for an answer and record it; whether anything was on its way."""
        if self._lanes.empty:
            return False
        self._book(self._lanes.land())
        return True

    def _land_all(self) -> None:
        while self._land_one():
            pass

    def _book(self, delivered: Iterable[Delivered]) -> None:
        for done in delivered:
            self._count(done.request, done.result)
            self._tell(done.request, done.result, done.outcome)

    def _due_beside(self, limit: int, doctypes: Collection[str] | None) -> list[Request]:
        """What may leave beside that which is on its way."""
        due = self._due(limit, doctypes)
        if self._lanes.empty:
            return due
        free = list(filter(self._lanes.may_leave, due))
        if free or len(due) < limit:
            return free or due
        return list(filter(self._lanes.may_leave, self._due(limit * _LOOKED_BEYOND, doctypes)))[:limit] or due

    def _due(self, limit: int, doctypes: Collection[str] | None) -> list[Request]:
        with self._store.transaction():
            horizon = self._ports.config.horizon
            return self._store.due(self._store.now(), limit=limit, horizon=horizon, doctypes=doctypes)

    def _batch_size(self) -> int:
        return 1 if self.line.breaker.half_open else self._ports.config.sync_batch_size

    def _push_size(self) -> int:
        if self.line.breaker.half_open:
            return 1
        with self._store.transaction():
            more = self._store.count_unplaced(_COUNTED) == _COUNTED
            left = None if more else self._store.counters()[Status.PENDING]
        return self._batches.size_of(left, self._lanes.wide)

    def _trial_first(self, due: list[Request], doctypes: Collection[str] | None) -> list[Request]:
        """After an outage another request than those that failed is tried, where there is one."""
        breaker = self.line.breaker
        if not breaker.half_open or not due or due[0].id not in breaker.failed:
            return due
        limit = len(breaker.failed) + 1
        more = self._due(limit, doctypes)
        trial = breaker.trial([request.id for request in more])
        return [request for request in more if request.id == trial] or due

    # bookkeeping

    def _interrupted(self) -> bool:
        with self._store.transaction():
            paused = paused_by(self._store, self._store.now())
        late = self._ports.clock.monotonic() >= self._until
        return bool(late or paused or self._ports.control.stop_reason())

    def _lease_seconds(self) -> float:
        return self._ports.central.deadline + LEASE_MARGIN

    def _take_lease(self) -> bool:
        with self._store.transaction():
            self._lease = self._store.acquire_lease(self._holder, self._lease_seconds())
        if self._lease is None:
            return False
        self._booking.token = self._lease.token
        return True

    def _renew(self) -> None:
        """Before each delivery; a lease that was taken over ends the run."""
        with self._store.transaction():
            self._lease = self._store.renew_lease(self._held(), self._lease_seconds())
        self._held()

    def _held(self) -> Lease:
        if self._lease is None:
            raise LeaseLost("Another run took over.")
        return self._lease

    def _begin(self) -> None:
        with self._store.transaction():
            self._store.set_meta(RUN_STARTED, self._store.now().isoformat())
        self.origins.begin()
        self.line.load()
        self._lanes.begin()
        self._batches.load()
        self._publish_state("syncing", "")
        self.resolutions.decide_forgotten()

    def _end(self, started: float, reason: str, *, failed: bool) -> None:
        self.origins.end()
        elapsed = self._ports.clock.monotonic() - started
        self._stats = replace(self._stats, duration_ms=round(elapsed * 1000))
        with self._store.transaction():
            now = self._store.now()
            if reason == "done":
                self._store.set_meta(LAST_SYNC, now.isoformat())
            totals = ledger(self._store.counters())
            self._store.set_meta(PENDING_COUNT, str(totals.waiting))
            self._metrics.ended(now, totals, reached=self.line.breaker.closed)
            self._metrics.keep(self._store)
            self._batches.keep()
            self._lanes.keep()
            self._store.set_meta(LAST_STATS, canonical_json(self._stats.to_json()))
            message = self.line.message if failed else None
            self._store.set_meta(
                LAST_RUN, canonical_json({"reason": reason, "failed": failed, "message": message})
            )
            self._store.release_lease(self._held())
        self._lease = None
        self._publish_state(FAILED if failed else "idle", reason)

    def _count(self, request: Request, result: Result) -> None:
        counted = {
            Result.SUCCESS: {"success": self._stats.success + 1},
            Result.FAILURE: {"failure": self._stats.failure + 1},
            Result.CONFLICT: {"conflict": self._stats.conflict + 1},
            Result.NONE: {},
        }
        self._stats = replace(self._stats, **counted[result])
        if result is not Result.NONE:
            self._progress()

    def _measure(self, request: Request, result: Result, now: datetime) -> None:
        if result is Result.SUCCESS:
            self._metrics.applied(now, now - request.created_at)
        elif result is Result.CONFLICT:
            self._metrics.conflicted(now)
        elif result is Result.FAILURE:
            self._metrics.failed(now)

    def _progress(self) -> None:
        self._ports.events.publish(PROGRESS, self._stats.progress(self._total))

    def _publish_state(self, state: str, reason: str) -> None:
        with self._store.transaction():
            last = self._store.get_meta(LAST_SYNC)
        payload: dict[str, Any] = {"state": state, "stats": self._stats.to_json(), "lastSyncTime": last}
        self._ports.events.publish(STATE_CHANGED, {**payload, "reason": reason})

    def _tell(self, request: Request, result: Result, outcome: Outcome | None = None) -> None:
        """One line for the log: no values, and no names, which may be people's. Without an outcome nothing was
        sent: the request was looked up, or is held."""
        current = self._booking.as_it_stands(request.id)
        self._measure(request, result, (current and current.closed_at) or self._booking.now())
        self._ports.events.publish(
            OUTCOME,
            {
                "request": request.id,
                "doctype": request.resource_type,
                "operation": request.operation.value,
                "http_status": outcome.status if outcome else None,
                "exc_type": outcome.exc_type if outcome else None,
                "verdict": outcome.verdict.value if outcome else "looked up",
                "why": current.history[-1].event if current and current.history else None,
                "result": result.value,
                "status": current.status.value if current else None,
                "next": current.next_retry_at.isoformat() if current and current.next_retry_at else None,
            },
        )
