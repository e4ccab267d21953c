"""What the runs did, hour by hour: kept by each run at its end, in one row of metadata a day.

Only counts and durations. They are for the eye: a run that is killed takes what it had counted along, and the
ledger stays the truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

from .errors import InvalidRequest
from .identity import canonical_json
from .ports import Store
from .transitions import Ledger

__all__ = ["KEPT_DAYS", "Hour", "Metrics", "by_day", "metric_lines", "read_metrics"]

KEPT_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour or a day of runs. `unreached`: runs that ended without the central. `lag_*`: seconds from a save until
    the central had it, of the `applied`. `captured`, `waiting`, `held`: the ledger when the last run ended."""

    runs: int = 0
    unreached: int = 0
    applied: int = 0
    failures: int = 0
    conflicts: int = 0
    lag_seconds: float = 0.0
    lag_longest: float = 0.0
    captured: int = 0
    waiting: int = 0
    held: int = 0

    def joined(self, later: Hour) -> Hour:
        """Both together; what the ledger said is the later one's, unless no run ended in it."""
        ended = later if later.runs else self
        return Hour(
            runs=self.runs + later.runs,
            unreached=self.unreached + later.unreached,
            applied=self.applied + later.applied,
            failures=self.failures + later.failures,
            conflicts=self.conflicts + later.conflicts,
            lag_seconds=round(self.lag_seconds + later.lag_seconds, 3),
            lag_longest=max(self.lag_longest, later.lag_longest),
            captured=ended.captured,
            waiting=ended.waiting,
            held=ended.held,
        )


class Metrics:
    """Counts of one run, by the hour that they fell into."""

    def __init__(self) -> None:
        self._hours: dict[datetime, Hour] = {}

    def applied(self, at: datetime, lag: timedelta) -> None:
        """A request arrived that was saved `lag` ago."""
        seconds = max(0.0, round(lag.total_seconds(), 3))
        self._add(at, Hour(applied=1, lag_seconds=seconds, lag_longest=seconds))

    def failed(self, at: datetime) -> None:
        self._add(at, Hour(failures=1))

    def conflicted(self, at: datetime) -> None:
        self._add(at, Hour(conflicts=1))

    def ended(self, at: datetime, ledger: Ledger, *, reached: bool) -> None:
        """The run ended, and the ledger stood like this."""
        self._add(
            at,
            Hour(
                runs=1,
                unreached=0 if reached else 1,
                captured=ledger.captured,
                waiting=ledger.waiting,
                held=ledger.held,
            ),
        )

    def _add(self, at: datetime, counted: Hour) -> None:
        hour = at.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)
        self._hours[hour] = self._hours.get(hour, Hour()).joined(counted)

    def keep(self, store: Store) -> None:
        """Add what was counted to what the store has, inside the caller's transaction, and begin anew."""
        for hour, counted in sorted(self._hours.items()):
            key = _key(hour)
            day = _read(store, key)
            if not day:
                store.set_meta(_key(hour - timedelta(days=KEPT_DAYS)), None)
            number = f"{hour:%H}"
            day[number] = day.get(number, Hour()).joined(counted)
            store.set_meta(key, canonical_json({each: _written(day[each]) for each in day}))
        self._hours = {}


def read_metrics(store: Store, *, days: int) -> dict[str, Any]:
    """The hours of the last `days` days in which a run ended or sent something, oldest first, inside the caller's
    transaction: `{"days": n, "hours": [{"at": ISO 8601 UTC, …the fields of Hour}], "total": {…}}`.

    Raises InvalidRequest where `days` is not from 1 to 90.
    """
    if not 1 <= days <= KEPT_DAYS:
        raise InvalidRequest(f"Days are from 1 to {KEPT_DAYS}, not {days}.")
    now = store.now().astimezone(timezone.utc)
    since = now - timedelta(days=days)
    hours: list[tuple[datetime, Hour]] = []
    for ago in range(days, -1, -1):
        midnight = (now - timedelta(days=ago)).replace(hour=0, minute=0, second=0, microsecond=0)
        for number, hour in sorted(_read(store, _key(midnight)).items()):
            at = midnight.replace(hour=int(number))
            if at + timedelta(hours=1) > since:
                hours.append((at, hour))
    return {
        "days": days,
        "hours": [{"at": at.isoformat(), **asdict(hour)} for at, hour in hours],
        "total": asdict(_together(hour for _, hour in hours)),
    }


def by_day(answer: Mapping[str, Any], zone: tzinfo) -> list[tuple[str, Hour]]:
    """The hours of `read_metrics` put together by the days of that zone, oldest first."""
    days: dict[str, list[Hour]] = {}
    for row in answer["hours"]:
        values = dict(row)
        at = datetime.fromisoformat(values.pop("at")).astimezone(zone)
        days.setdefault(f"{at:%Y-%m-%d}", []).append(Hour(**values))
    return [(day, _together(hours)) for day, hours in days.items()]


def metric_lines(answer: Mapping[str, Any], zone: tzinfo) -> list[str]:
    """A table to print: one line a day, and one of all."""
    lines = ["day         applied  failures  conflicts  mean lag  longest  runs  unreached  waiting  held"]
    rows = [*by_day(answer, zone), ("together", Hour(**answer["total"]))]
    for day, hour in rows:
        mean = hour.lag_seconds / hour.applied if hour.applied else 0.0
        lines.append(
            f"{day:<10}  {hour.applied:>7}  {hour.failures:>8}  {hour.conflicts:>9}  {_span(mean):>8}"
            f"  {_span(hour.lag_longest):>7}  {hour.runs:>4}  {hour.unreached:>9}  {hour.waiting:>7}  {hour.held:>4}"
        )
    return lines


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _together(hours: Iterable[Hour]) -> Hour:
    total = Hour()
    for hour in hours:
        total = total.joined(hour)
    return total


def _key(at: datetime) -> str:
    return f"metrics:{at:%Y-%m-%d}"


def _read(store: Store, key: str) -> dict[str, Hour]:
    kept = json.loads(store.get_meta(key) or "{}")
    return {number: replace(Hour(), **values) for number, values in kept.items()}


def _written(hour: Hour) -> dict[str, Any]:
    return {name: value for name, value in asdict(hour).items() if value}
