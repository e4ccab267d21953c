"""What is on its way to the central, side by side.

Only the bytes of requests that wait for nothing open fly in lanes; they are prepared, marked and recorded one after
the other by the run itself, under its lease, so that every rule holds with many lanes as with one. Two creates that
draw from one counter of names are never on their way at once: the central would make one wait for the other.
Source: semantics, "Runs".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from ..classify import Outcome, Verdict
from ..identity import canonical_json
from ..model import Operation, Reply, Request, Schema
from ..ports import Central, Ports
from .booking import Result
from .line import BUSY, PROPER, Line
from .width import Width

__all__ = ["LANES", "Delivered", "Landing", "Lanes", "counter_of"]

LANES = "lanes"
_OK = 200
_STRAIN = frozenset({Verdict.CONTENTION, Verdict.NOT_NOW, Verdict.UNANSWERED})
"""Answers that say that it may be too much at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of one request. `outcome` None: nothing was sent for it."""

    request: Request
    result: Result
    outcome: Outcome | None = None


_Closed = Sequence[tuple[Request, Outcome]]
"""What an answer closes, where all that it takes is to be written down; else nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """An answer that came, after so many seconds. `timely`: nothing was heard since it left that closed the line."""

    reply: Reply
    seconds: float
    timely: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flight:
    """`wide`: how many lanes there were when it left; `trips`: how often the line had been closed by then.
    `closed_by`: see `Lanes.start`."""

    requests: int
    counters: frozenset[str]
    wide: int
    trips: int
    landed: Callable[[Landing], Iterator[Delivered]]
    closed_by: Callable[[Landing], _Closed]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrival:
    flight: _Flight
    landing: Landing
    closed: _Closed


def counter_of(request: Request, schema: Schema | None) -> str | None:
    """The counter from which the central takes the name of what this request creates; None where it takes none."""
    if request.operation is not Operation.CREATE or (schema is not None and schema.named_here):
        return None
    series = request.body.get("naming_series")
    if series:
        return f"{request.resource_type} {series}"
    return str(request.resource_type) if schema is not None and schema.counted else None


class Lanes:
    """One run's. `start` sends, `land` waits for one answer and records it by what was given with the start.

    `meanwhile` does a little of what else there is to do, and tells whether there may be more. `take_up` is told what
    is closed next in the transaction.
    """

    def __init__(
        self,
        ports: Ports,
        line: Line,
        *,
        meanwhile: Callable[[], bool],
        take_up: Callable[[_Closed], None],
    ) -> None:
        self._ports = ports
        self._meanwhile = meanwhile
        self._take_up = take_up
        self._store = ports.store
        self._line = line
        self._width = self._kept = Width()
        self._flights: dict[str, _Flight] = {}

    def begin(self) -> None:
        """As wide as the last run ended. What an earlier one left on its way is not waited for."""
        self._ports.flights.abandon()
        self._flights.clear()
        with self._store.transaction():
            text = self._store.get_meta(LANES)
        self._width = self._kept = Width.from_json(
            json.loads(text) if text else None, most=self._ports.config.sync_lanes
        )

    def keep(self) -> None:
        """For the next run, in the caller's transaction; nothing where it stands there already."""
        if self._width.to_json() != self._kept.to_json():
            self._store.set_meta(LANES, canonical_json(self._width.to_json()))

    @property
    def _most(self) -> int:
        return 1 if self._line.breaker.half_open else self._ports.config.sync_lanes

    @property
    def free(self) -> bool:
        """Whether one more may leave."""
        return len(self._flights) < self.wide

    @property
    def wide(self) -> int:
        """How many there are now."""
        return min(self._width.lanes, self._most)

    @property
    def single(self) -> bool:
        """One after the other."""
        return self.wide == 1

    @property
    def empty(self) -> bool:
        return not self._flights

    @property
    def on_their_way(self) -> int:
        """Requests that are on their way."""
        return sum(flight.requests for flight in self._flights.values())

    def may_leave(self, request: Request) -> bool:
        """Whether nothing on its way draws from the same counter of names."""
        return self._counter(request) not in self._drawn_from

    def side_by_side(self, requests: Iterable[Request]) -> list[Request]:
        """Which of these may leave now, one in each lane that is free."""
        room, drawn_from = self.wide - len(self._flights), self._drawn_from
        fit: list[Request] = []
        for request in requests:
            if len(fit) >= room:
                break
            counter = self._counter(request)
            if counter not in drawn_from:
                fit.append(request)
                drawn_from |= {counter} if counter else set()
        return fit

    @property
    def _drawn_from(self) -> set[str | None]:
        """The counters of names from which what is on its way draws."""
        return {counter for flight in self._flights.values() for counter in flight.counters}

    def _counter(self, request: Request) -> str | None:
        if request.operation is not Operation.CREATE:
            return None
        return counter_of(request, self._ports.policies.schema(str(request.resource_type)))

    def start(
        self,
        requests: Sequence[Request],
        call: Callable[[Central], Reply],
        landed: Callable[[Landing], Iterator[Delivered]],
        *,
        closed_by: Callable[[Landing], _Closed] = lambda landing: (),
    ) -> None:
        """Send these marked requests, with `call`; `landed` records what came of it. `closed_by`: what that closes
        where it takes nothing but writing, so that it may be done in one transaction with others."""
        ticket = self._ports.ids.new_key()
        counters = {counter for request in requests if (counter := self._counter(request)) is not None}
        self._flights[ticket] = _Flight(
            requests=len(requests),
            counters=frozenset(counters),
            wide=self._width.lanes,
            trips=self._line.trips,
            landed=landed,
            closed_by=closed_by,
        )
        self._ports.flights.start(ticket, call)

    def land(self, *, in_its_place: Callable[[], bool] | None = None) -> Generator[Delivered, None, bool]:
        """Wait for one of those on their way, and record it; with it, by one commit, others that have arrived by then,
        as long as that takes nothing but writing. Yields after each commit.

        Where the central answered properly, `in_its_place` may send before that is recorded, so that no lane waits
        for the branch; what it answered is returned.
        """
        flights = self._ports.flights
        while not flights.arrived() and self._meanwhile():
            pass
        full = len(self._flights) >= self._width.lanes
        arrivals = [self._arrived()]
        while arrivals[-1].closed and flights.arrived():
            arrivals.append(self._arrived())
        first = arrivals[0].landing
        well = first.timely and first.reply.status == _OK and self._line.breaker.closed
        left = well and in_its_place is not None and in_its_place()
        written = [arrival for arrival in arrivals if arrival.closed]
        with self._store.transaction() if written else nullcontext():
            self._take_up([closed for arrival in written for closed in arrival.closed])
            done = [list(arrival.flight.landed(arrival.landing)) for arrival in written]
        for arrival, delivered in zip(written, done, strict=True):
            yield from self._judged(arrival, delivered, full)
        for arrival in arrivals[len(written) :]:
            yield from self._judged(arrival, arrival.flight.landed(arrival.landing), full)
        return left

    def _arrived(self) -> _Arrival:
        """The next answer; waits for it."""
        landed = self._ports.flights.land()
        flight = self._flights.pop(landed.ticket)
        timely = flight.trips == self._line.trips
        landing = Landing(reply=landed.reply, seconds=landed.seconds, timely=timely)
        return _Arrival(flight=flight, landing=landing, closed=flight.closed_by(landing))

    def _judged(self, arrival: _Arrival, delivered: Iterable[Delivered], full: bool) -> Iterator[Delivered]:
        """Passes on what is recorded, and learns from it how many lanes are worth having. `full`: all were in use."""
        flight, trips = arrival.flight, self._line.trips
        carried, strained = 0, False
        for done in delivered:
            verdict = done.outcome.verdict if done.outcome is not None else None
            carried += verdict in PROPER
            strained |= verdict in _STRAIN
            yield done
        if strained or (self._line.trips > trips and self._line.breaker.reason == BUSY):
            self._width = self._width.halved()
        elif full and carried and flight.wide == self._width.lanes:
            self._width = self._width.flown(carried=carried, seconds=arrival.landing.seconds, most=self._most)
