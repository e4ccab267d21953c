"""The line to the central: the breaker as it is kept between runs, and the probe.

While it is open no document's request leaves. Source: semantics, "Attempts, backoff, breaker".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from ..breaker import CLOSED, Breaker
from ..classify import Outcome, Verdict, read_probe, retry_after_seconds
from ..config import RETRY_AFTER_LIMIT
from ..identity import canonical_json
from ..ports import Ports

__all__ = ["BREAKER", "BUSY", "CENTRAL_USER", "LAST_REACHED", "PROPER", "Line", "kept_breaker"]

BREAKER = "breaker"
CENTRAL_USER = "central_user"
LAST_REACHED = "last_reached"

_KEPT_EVERY = timedelta(seconds=30)
"""How exactly it is kept when the central last answered: not one more write for each request."""

BUSY = "busy"
_REASON: Mapping[Verdict, str] = {
    Verdict.CREDENTIALS: "credentials",
    Verdict.CONFIGURATION: "configuration",
    Verdict.NOT_NOW: BUSY,
    Verdict.CONTENTION: BUSY,
    Verdict.SERVER_ERROR: "failing",
}
"""Everything else is "offline"."""

PROPER = frozenset(Verdict) - frozenset(_REASON) - {Verdict.NOT_SENT, Verdict.UNANSWERED} | {
    Verdict.CONTENTION
}
"""The central itself answered this request: it is there and at work."""


def kept_breaker(text: str | None) -> Breaker:
    """The breaker as it was kept; closed where there is none yet."""
    return Breaker.from_json(json.loads(text)) if text else CLOSED


class Line:
    """One destination's breaker. Its methods open transactions of their own."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.breaker = CLOSED
        self.trips = 0
        """How often it was found not usable: an answer to what left before that says nothing about it."""
        self._reached_at: datetime | None = None
        self.message: str | None = None
        """What the last thing said that kept the line from being used, for people."""

    def load(self) -> None:
        with self._ports.store.transaction():
            self.breaker = kept_breaker(self._ports.store.get_meta(BREAKER))

    def usable(self) -> bool:
        """Whether a request may leave now; probes where the time for that has come."""
        if self.breaker.closed or self.breaker.half_open:
            return True
        with self._ports.store.transaction():
            due = self.breaker.probe_due(self._ports.store.now())
        return due and self.probe()

    def probe(self) -> bool:
        """One cheap authenticated GET, at once."""
        outcome = read_probe(self._ports.central.probe())
        if outcome.verdict is not Verdict.APPLIED:
            self.trip(outcome)
            return False
        self._reached(self.breaker.probe_answered(), outcome.name)
        return True

    def answered(self) -> None:
        """The central answered a request properly."""
        self._reached(CLOSED, None)

    def trip(self, outcome: Outcome, *, request_id: str | None = None) -> None:
        """The destination cannot be used now; `outcome` is of that request, a look-up or a probe."""
        store = self._ports.store
        self.trips += 1
        self.message = outcome.message
        with store.transaction():
            now = store.now()
            wait = retry_after_seconds(
                outcome.retry_after, now=now, low=self._ports.config.base_seconds, high=RETRY_AFTER_LIMIT
            )
            reason = _REASON.get(outcome.verdict, "offline")
            self._keep(
                self.breaker.trip(
                    now, reason, random=self._ports.ids.random(), wait=wait, request_id=request_id
                )
            )

    def request_failed(self, request_id: str, outcome: Outcome) -> None:
        """A request failed although the probe after it was good."""
        self.message = outcome.message
        reason = "configuration" if outcome.verdict is Verdict.CONFIGURATION else "failing"
        with self._ports.store.transaction():
            now = self._ports.store.now()
            random = self._ports.ids.random()
            self._keep(self.breaker.request_failed(request_id, now, random=random, reason=reason))

    def _reached(self, breaker: Breaker, user: str | None) -> None:
        with self._ports.store.transaction():
            now = self._ports.store.now()
            if self._reached_at is None or abs(now - self._reached_at) >= _KEPT_EVERY:
                self._reached_at = now
                self._ports.store.set_meta(LAST_REACHED, now.isoformat())
            if user is not None:
                self._ports.store.set_meta(CENTRAL_USER, user)
            self._keep(breaker)

    def _keep(self, breaker: Breaker) -> None:
        if breaker != self.breaker:
            self.breaker = breaker
            self._ports.store.set_meta(BREAKER, canonical_json(breaker.to_json()))
