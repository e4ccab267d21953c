"""When the central comes back: how soon its branches notice, and how hard they knock.

Two hundred branches, each the real engine with its breaker on a clock of its own that is moved, not waited for. The
central is down for an hour; each branch saves something in the first ten minutes of it. Branches know nothing of each
other, so each is played by itself and their times are laid over one another.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from erp_offline_sync.adapters.standalone import StopFlag
from erp_offline_sync.bootstrap import Assembled
from erp_offline_sync.engine.model import Json, Reply, Wire
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.runs import send_forever
from erp_offline_sync.testing.clock import START, FrozenClock
from erp_offline_sync.testing.doubles import ports_around
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import ModelCentral

from .documents import NOTE, note
from .figure import Figure, Plan, Run, at_most
from .measuring import Samples, percentile
from .outboxes import create

__all__ = ["PLANS", "measure"]

BRANCHES, BRANCHES_QUICK = 200, 20
OUTAGE, OUTAGE_QUICK = 3600.0, 600.0
_SAVED_WITHIN = 600.0
_TICK, _BUDGET, _LINGER, _LINGER_OFFLINE, _END_OF_MINUTE = 60.0, 60.0, 5.0, 20.0, 57.0
"""Seconds; what tasks.py gives a run that the scheduler starts."""

AVERAGE = Plan(
    id="return.average",
    title="probes a second while 200 branches come back, mean",
    unit="/s",
    goal=at_most(10),
)
PEAK = Plan(id="return.peak", title="probes of 200 branches in the worst second", unit="/s", goal=at_most(25))
TRIED = Plan(
    id="return.tried",
    title="document requests that 200 branches send to a central they know is down",
    unit="",
    goal=at_most(0),
)
FOREVER = Plan(
    id="return.forever", title="central back → first request, run --forever, p95", unit="s", goal=at_most(30)
)
SCHEDULED = Plan(
    id="return.scheduler",
    title="central back → first request, the scheduler's ticks alone, p95",
    unit="s",
    goal=at_most(65),
)
PLANS = (AVERAGE, PEAK, TRIED, FOREVER, SCHEDULED)


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    branches, outage = (BRANCHES_QUICK, OUTAGE_QUICK) if run.quick else (BRANCHES, OUTAGE)
    run.say(f"{branches} branches, central down for {outage:.0f} s, run --forever")
    forever = [_played(run.seed, number, outage, _forever) for number in range(branches)]
    run.say("the same by the scheduler's ticks")
    ticks = [_played(run.seed, number, outage, _by_ticks) for number in range(branches)]
    found = {}
    for way, played in (("forever", forever), ("ticks", ticks)):
        seconds = Counter(int(at) for branch in played for at in branch.probes)
        # From when all of them know that it is down until the last has sent something.
        first, last = _saved_within(outage), max(branch.first for branch in played)
        of_all = sum(count for second, count in seconds.items() if second >= first)
        found[way] = (of_all / (last - first), max(seconds.values()))
    tried = sum(branch.tried for branch in (*forever, *ticks))
    waits = {
        name: [branch.first - outage for branch in played] for name, played in (("f", forever), ("t", ticks))
    }

    def one(plan: Plan, value: float, **beside: Any) -> Figure:
        return plan.measured(Samples((value,)), **beside)

    figures = {
        AVERAGE: one(AVERAGE, found["forever"][0], by_ticks=found["ticks"][0], branches=branches),
        PEAK: one(PEAK, float(found["forever"][1]), by_ticks=found["ticks"][1], branches=branches),
        TRIED: one(TRIED, float(tried), probes=sum(len(branch.probes) for branch in (*forever, *ticks))),
        FOREVER: one(
            FOREVER, percentile(waits["f"], 0.95), p50=percentile(waits["f"], 0.5), worst=max(waits["f"])
        ),
        SCHEDULED: one(
            SCHEDULED, percentile(waits["t"], 0.95), p50=percentile(waits["t"], 0.5), worst=max(waits["t"])
        ),
    }
    yield from (figures[plan] for plan in plans)


@dataclass
class _Branch:
    """What the central saw of one branch; times in seconds since it went down."""

    probes: list[float] = field(default_factory=list)
    tried: int = 0
    """Requests with documents while the branch knew that the central is down."""
    first: float = 0.0
    """The first request with a document that the central took."""


class _DownFor(ModelCentral):
    """A modelled central that is down until a moment, and writes down what it is asked."""

    back_at: datetime
    seen: _Branch
    taken: Callable[[], None]

    def probe(self) -> Reply:
        self.seen.probes.append(self._now())
        return self._as_it_is(super().probe)

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        if self._is_up():
            self.seen.first = self.seen.first or self._now()
            self.taken()
        elif self.seen.probes:
            self.seen.tried += 1
        return self._as_it_is(lambda: super(_DownFor, self).deliver(wire, key=key))

    def capabilities(self) -> Reply:
        return self._as_it_is(super().capabilities)

    def find(self, doctype: str, filters: Json) -> Reply:
        return self._as_it_is(lambda: super(_DownFor, self).find(doctype, filters))

    def fetch(self, doctype: str, name: str) -> Reply:
        return self._as_it_is(lambda: super(_DownFor, self).fetch(doctype, name))

    def _now(self) -> float:
        return (self.clock_now() - START).total_seconds()

    def _is_up(self) -> bool:
        return self.clock_now() >= self.back_at

    def _as_it_is(self, ask: Callable[[], Reply]) -> Reply:
        self.online = self._is_up()
        return ask()


def _saved_within(outage: float) -> float:
    return min(_SAVED_WITHIN, outage / 2)


def _played(
    seed: int,
    number: int,
    outage: float,
    live: Callable[[Assembled, FrozenClock, StopFlag, random.Random], None],
) -> _Branch:
    drawn = random.Random(f"{seed} branch {number}")
    clock, control = FrozenClock(START), StopFlag()
    store, central = MemoryStore(clock.now), _DownFor(clock.now)
    central.back_at, central.seen = START + timedelta(seconds=outage), _Branch()
    central.taken = control.stop
    ports = ports_around(store, central, clock, seed=drawn.getrandbits(32), control=control)
    clock.advance(drawn.uniform(0, _saved_within(outage)))
    with store.transaction():
        request = create(NOTE, "N-1", note(number, drawn), key=ports.ids.new_key(), now=store.now())
        store.add(request)
    live(Assembled(engine=SyncEngine(ports, holder=f"branch {number}"), ports=ports), clock, control, drawn)
    if not central.seen.first:
        raise RuntimeError(f"branch {number} has sent nothing although the central is back")
    return central.seen


def _forever(branch: Assembled, clock: FrozenClock, control: StopFlag, drawn: random.Random) -> None:
    send_forever(lambda: branch, control, clock)


def _by_ticks(branch: Assembled, clock: FrozenClock, control: StopFlag, drawn: random.Random) -> None:
    """One run a minute, at a second of it that differs between benches."""
    at = drawn.uniform(0, _TICK)
    while control.stop_reason() is None:
        rest = (at - clock.monotonic()) % _TICK
        # What is left by rounding is no time: it would never get to the next minute.
        clock.advance(rest if rest > 1.0 else rest + _TICK)
        second = clock.now().second
        branch.engine.run(
            budget=_BUDGET,
            linger=_LINGER,
            linger_offline=min(_LINGER_OFFLINE, max(0.0, _END_OF_MINUTE - second)),
        )
