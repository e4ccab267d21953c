"""The circuit breaker of the destination: whether a request may leave, or only a probe.

closed: requests leave. open: only a probe, when its time has come. half-open: the probe was answered, one
request goes as a trial. Source: semantics, "Attempts, backoff, breaker". A change is a new value; it is kept
as JSON between runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .config import CREDENTIALS_PROBE, RETRY_AFTER_LIMIT
from .model import Json

__all__ = ["CLOSED", "Breaker"]

_THRESHOLD = 3
_REMEMBERED = 20
"""Requests that failed, so that each trial takes another one."""
_FIRST_PROBES = (1.0, 2.0, 4.0, 8.0)
_STEADY = (15.0, 30.0)
_FAULTS = frozenset({"credentials", "configuration"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """`reason`: offline, busy, failing, credentials or configuration; `failed` holds ids of different requests,
    the latest last."""

    failed: tuple[str, ...] = ()
    open_since: datetime | None = None
    reason: str | None = None
    probes: int = 0
    next_probe_at: datetime | None = None
    half_open: bool = False

    @property
    def closed(self) -> bool:
        return self.open_since is None

    @property
    def state(self) -> str:
        return "closed" if self.closed else "half-open" if self.half_open else "open"

    @property
    def at_fault(self) -> bool:
        """A person has to correct something: credentials or configuration."""
        return self.reason in _FAULTS

    @property
    def last_failed(self) -> str | None:
        return self.failed[-1] if self.failed else None

    def probe_due(self, now: datetime) -> bool:
        """A time further away than any probe can be was set by a clock that jumped, and is due."""
        at = self.next_probe_at
        return at is None or at <= now or at - now > timedelta(seconds=RETRY_AFTER_LIMIT)

    def trip(
        self,
        now: datetime,
        reason: str,
        *,
        random: float,
        wait: float | None = None,
        request_id: str | None = None,
    ) -> Breaker:
        """The destination cannot be used: open, and probe after the next step of the schedule, or `wait` seconds.
        `request_id`: what showed it, so that another is tried next."""
        if wait is None and reason in _FAULTS:
            wait = CREDENTIALS_PROBE
        if wait is None:
            low, high = _STEADY
            wait = (
                _FIRST_PROBES[self.probes]
                if self.probes < len(_FIRST_PROBES)
                else low + (high - low) * random
            )
        return replace(
            self,
            failed=self.failed if request_id is None else self._with(request_id),
            open_since=self.open_since or now,
            reason=reason,
            probes=self.probes + 1,
            next_probe_at=now + timedelta(seconds=wait),
            half_open=False,
        )

    def request_failed(
        self, request_id: str, now: datetime, *, random: float, reason: str = "failing"
    ) -> Breaker:
        """A request failed although the probe was good. One request counts once; three different ones open."""
        counted = replace(self, failed=self._with(request_id))
        if self.half_open or (len(counted.failed) >= _THRESHOLD and self.last_failed != request_id):
            return counted.trip(now, reason, random=random)
        return counted

    def trial(self, due: Sequence[str]) -> str | None:
        """Which of the due requests goes as the trial: one that did not fail, else the one that failed longest ago."""
        fresh = (request_id for request_id in due if request_id not in self.failed)
        again = (request_id for request_id in self.failed if request_id in due)
        return next(fresh, None) or next(again, None)

    def _with(self, request_id: str) -> tuple[str, ...]:
        kept = (failed for failed in self.failed if failed != request_id)
        return (*kept, request_id)[-_REMEMBERED:]

    def probe_answered(self) -> Breaker:
        """The probe was good: one request may go as a trial. What a person had to correct is corrected."""
        if self.closed:
            return self
        return replace(CLOSED, failed=self.failed) if self.at_fault else replace(self, half_open=True)

    def probe_at_once(self) -> Breaker:
        """A person asked for a try, or the settings changed."""
        return self if self.closed else replace(self, next_probe_at=None)

    def to_json(self) -> Json:
        return {
            "failed": list(self.failed),
            "open_since": self.open_since.isoformat() if self.open_since else None,
            "reason": self.reason,
            "probes": self.probes,
            "next_probe_at": self.next_probe_at.isoformat() if self.next_probe_at else None,
            "half_open": self.half_open,
        }

    @classmethod
    def from_json(cls, value: Json) -> Breaker:
        def instant(key: str) -> datetime | None:
            text = value.get(key)
            return datetime.fromisoformat(text) if text else None

        return cls(
            failed=tuple(value.get("failed") or ()),
            open_since=instant("open_since"),
            reason=value.get("reason"),
            probes=int(value.get("probes") or 0),
            next_probe_at=instant("next_probe_at"),
            half_open=bool(value.get("half_open")),
        )


CLOSED = Breaker()
"""Every proper answer to a request brings the breaker back here."""
