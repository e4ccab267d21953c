"""What a run writes on a request's row: it goes back, waits, is booked an attempt, or is held for a person.

Nothing is written but under the lease token that the request was claimed with.
Source: semantics, "Attempts, backoff, breaker".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from ..backoff import delay
from ..classify import Outcome, Verdict
from ..config import HISTORY_KEPT, UNANSWERED_BOOKED
from ..deciding.resolution import Resolutions
from ..errors import LeaseLost
from ..model import Attempt, Json, Readiness, Request, Status
from ..ports import Ports
from ..transitions import move
from .line import Line

__all__ = ["Booking", "Result", "with_note"]

_DESTINATIONS = frozenset({Verdict.NOT_SENT, Verdict.NOT_NOW, Verdict.CREDENTIALS})
"""What a look-up is answered while the destination cannot be used."""


class Result(str, Enum):
    """What became of one request in this run."""

    SUCCESS = "success"
    FAILURE = "failure"
    CONFLICT = "conflict"
    NONE = "none"


def with_note(request: Request, attempt: Attempt) -> Request:
    return request.altered(history=(*request.history, attempt)[-HISTORY_KEPT:])


class Booking:
    """`token` is the lease's; the run sets it. Every method commits, but for `save`."""

    def __init__(self, ports: Ports, line: Line, resolutions: Resolutions) -> None:
        self._ports = ports
        self._store = ports.store
        self._line = line
        self._resolutions = resolutions
        self.token = 0
        self._closed: dict[str, Request] = {}

    def save(self, request: Request) -> None:
        """Inside a transaction; raises LeaseLost."""
        if not self._store.replace(request, token=self.token):
            raise LeaseLost("Another run took over this request.")
        if request.closed_at is not None:
            self._closed[request.id] = request

    def as_it_stands(self, request_id: str) -> Request | None:
        """The request after its outcome was committed; None where it is gone. Asked once of each."""
        closed = self._closed.pop(request_id, None)
        if closed is not None:
            return closed
        with self._store.transaction():
            return self._store.get(request_id)

    def unclaim(self, requests: Sequence[Request]) -> None:
        """Claimed and not marked as sent: they go back as they stand in the store."""
        if not requests:
            return
        with self._store.transaction():
            for request in requests:
                current = self._store.get(request.id)
                if current is not None and current.lease_token == self.token:
                    self._store.replace(move(current, Status.PENDING, readiness=Readiness.READY))

    def unsent(self, requests: Sequence[Request]) -> None:
        """Marked as sent, and certainly nobody looked at them: as if they had not been. What was never looked at is
        made anew when it goes."""
        with self._store.transaction():
            for request in requests:
                back = request.altered(sends=request.sends - 1)
                if back.sends == 0:
                    back = back.altered(sent_at=None, wire=None)
                self.save(move(back, Status.PENDING, readiness=Readiness.READY))

    def give_back(self, request: Request, outcome: Outcome | None = None) -> Result:
        """To be sent again when the destination can be used: no attempt."""
        answered = outcome is not None and outcome.verdict is not Verdict.NOT_SENT
        given_back = self.noted(request, outcome).altered(refused=answered or request.refused)
        with self._store.transaction():
            self.save(move(given_back, Status.PENDING, readiness=Readiness.READY))
        return Result.NONE

    def look_failed(self, request_id: str, outcome: Outcome, *, doubt: bool = False) -> Result:
        """A look-up for it got no proper answer. With a good probe it is this request that asks for what cannot be
        looked at; it counts like a send that was answered so, and does not stop the others."""
        with self._store.transaction():
            request = self._store.get(request_id)
        if request is None or request.lease_token != self.token:
            raise LeaseLost("Another run took over this request.")
        noted = self.noted(request, outcome)
        waiting = Status.IN_DOUBT if doubt else Status.RETRY
        if outcome.verdict in _DESTINATIONS or outcome.retry_after is not None:
            self._line.trip(outcome, request_id=request_id)
            return self._stay(noted, doubt=doubt)
        if not self._line.probe():
            return self._stay(noted, doubt=doubt)
        self._line.request_failed(request_id, outcome)
        if outcome.effect_unknown:
            unanswered = noted.altered(unanswered=noted.unanswered + 1)
            if unanswered.unanswered < UNANSWERED_BOOKED:
                return self._stay(unanswered, doubt=doubt)
            return self.booked(unanswered, outcome, attempts=1, waiting=waiting)
        at_once = outcome.verdict is Verdict.REFUSED_AT_ONCE
        return self.booked(noted, outcome, attempts=1, at_once=at_once, waiting=waiting)

    def _stay(self, request: Request, *, doubt: bool) -> Result:
        """As before the look-up; a doubt waits until something else was tried."""
        if not doubt:
            return self.give_back(request)
        probe_at = self._line.breaker.next_probe_at
        with self._store.transaction():
            later = (probe_at or self._store.now()) + timedelta(seconds=self._ports.config.base_seconds)
            self.save(move(request, Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=later))
        return Result.NONE

    def book(self, request: Request, outcome: Outcome) -> Result:
        """One attempt; the last allowed one needs a person (G7)."""
        return self.booked(self.noted(request, outcome), outcome, attempts=1)

    def needs_attention(self, request: Request, outcome: Outcome) -> Result:
        return self.booked(
            self.noted(request, outcome).altered(refused=True), outcome, attempts=0, at_once=True
        )

    def booked(
        self,
        request: Request,
        outcome: Outcome,
        *,
        attempts: int,
        at_once: bool = False,
        waiting: Status = Status.RETRY,
    ) -> Result:
        config = self._ports.config
        booked = request.altered(retry_count=request.retry_count + attempts, contentions=0)
        if waiting is Status.RETRY:
            booked = booked.altered(unanswered=0)
        if not at_once and booked.retry_count <= config.max_retries:
            return self.wait(booked, waiting, self.delay(booked.retry_count - 1))
        if waiting is Status.IN_DOUBT:
            # Nobody knows more than before: a Retry looks for it once more.
            booked = booked.altered(unanswered=max(booked.unanswered, 1))
        with self._store.transaction():
            self.save(move(booked, Status.NEEDS_ATTENTION, readiness=Readiness.READY, next_retry_at=None))
        return Result.FAILURE

    def wait(self, request: Request, status: Status, seconds: float) -> Result:
        with self._store.transaction():
            at = self._store.now() + timedelta(seconds=seconds)
            self.save(move(request, status, readiness=Readiness.READY, next_retry_at=at))
        return Result.FAILURE if status is Status.RETRY else Result.NONE

    def delay(self, n: int) -> float:
        """Seconds to wait after the failing answer `n`, counted from 0."""
        config = self._ports.config
        return delay(n, base=config.base_seconds, maximum=config.max_seconds, random=self._ports.ids.random())

    def noted(self, request: Request, outcome: Outcome | None) -> Request:
        if outcome is None:
            return request
        attempt = Attempt(
            at=self.now(), event=outcome.verdict.value, status=outcome.status, exc_type=outcome.exc_type
        )
        return with_note(request, attempt).altered(
            error_type=outcome.exc_type, error_message=outcome.message or None
        )

    def doubted(self, request: Request) -> Result:
        with self._store.transaction():
            self.save(move(request, Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=None))
        return Result.NONE

    def conflict(self, request: Request, central: Json | None) -> Result:
        """Both sides changed the document: recorded, and decided by hook or rule where one does."""
        noted = with_note(request, Attempt(at=self.now(), event="conflict"))
        conflict = self._resolutions.open(noted, central, token=self.token)
        self._resolutions.decide(conflict)
        return Result.CONFLICT

    def now(self) -> datetime:
        with self._store.transaction():
            return self._store.now()
