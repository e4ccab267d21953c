"""What claiming, acknowledging and counting cost beside a thousand rows and beside a million.

Two outboxes a size: one with everything ready, one with 99 % of the rows waiting behind one held request. The sizes
take turns. On SQLite here, on MariaDB through a site (saving.py).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.engine.model import Readiness, Status
from erp_offline_sync.engine.ports import Store
from erp_offline_sync.engine.transitions import move

from .figure import Figure, Plan, Run, at_most
from .measuring import Samples, compared
from .outboxes import ALL_READY, BATCH, WAITING, bulk

__all__ = ["PLANS", "measure", "steps_of"]

SIZES, SIZES_QUICK = (1_000, 10_000, 100_000, 1_000_000), (1_000, 20_000)
ROUNDS, ROUNDS_QUICK = 15, 5
HORIZON = timedelta(seconds=330)
TOKEN = 7
BODY = {
    "customer": "Walk-in",
    "items": [{"item_code": f"ITEM-{n}", "qty": 1, "rate": 9.5} for n in range(4)],
    "remarks": "x" * 200,
}
CLAIM, ACKNOWLEDGE, COUNT = "claim", "acknowledge", "counters"
_NAMES = {ALL_READY: "ready", WAITING: "waiting"}


def _plans() -> Iterator[Plan]:
    for scenario, name in _NAMES.items():
        yield Plan(
            id=f"outbox.claim.{name}",
            title=f"claim of 200, 1e6 rows against 1e3; {scenario}; SQLite",
            unit="×",
            goal=at_most(2.0),
        )
        yield Plan(
            id=f"outbox.acknowledge.{name}",
            title=f"acknowledge 200, a commit each, 1e6 rows against 1e3; {scenario}; SQLite",
            unit="×",
        )
        yield Plan(
            id=f"outbox.counters.{name}",
            title=f"counters at 1e6 rows; {scenario}; SQLite",
            unit="ms",
            goal=at_most(5.0),
        )


PLANS = tuple(_plans())


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One outbox to measure."""

    scenario: str
    rows: int
    store: SqliteStore


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    sizes = SIZES_QUICK if run.quick else SIZES
    boxes = []
    for scenario in _NAMES:
        if not any(plan.id.endswith(_NAMES[scenario]) for plan in plans):
            continue
        for rows in sizes:
            run.say(f"building an outbox of {rows:,} rows, {scenario}")
            path = run.folder / f"claim-{len(boxes)}.sqlite"
            bulk(path, scenario, rows, doctype="Sale", body=BODY)
            boxes.append(Box(scenario=scenario, rows=rows, store=SqliteStore(path)))
    taken: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(-1, ROUNDS_QUICK if run.quick else ROUNDS):
        for box in boxes:
            for step, seconds in steps_of(box.store, box.rows).items():
                if turn >= 0:
                    taken[_NAMES[box.scenario], step][box.rows].append(seconds * 1000)
    for box in boxes:
        box.store.close()
        run.folder.joinpath(f"claim-{boxes.index(box)}.sqlite").unlink()
    for plan in plans:
        _, step, name = plan.id.split(".")
        yield _figure(plan, {rows: Samples(tuple(values)) for rows, values in taken[name, step].items()})


def _figure(plan: Plan, taken: dict[int, Samples]) -> Figure:
    """Of the largest size, or against the smallest; the medians of all sizes beside it."""
    beside: dict[str, Any] = {
        f"ms_at_{rows:.0e}".replace("e+0", "e"): samples.median for rows, samples in taken.items()
    }
    small, large = taken[min(taken)], taken[max(taken)]
    if plan.unit == "ms":
        return plan.measured(large, **beside)
    limit = plan.goal.number if plan.goal else None
    return plan.measured(compared(large, small, goal=limit), **beside)


def steps_of(store: Store, rows: int) -> dict[str, float]:
    """Seconds that each step took, once; the outbox stands afterwards as before. Raises RuntimeError for an outbox
    that is not as it should be."""
    taken: dict[str, float] = {}
    with _Timed(taken, CLAIM), store.transaction():
        claimed = store.claim(store.due(store.now(), limit=BATCH, horizon=HORIZON), TOKEN)
    if len(claimed) != BATCH:
        raise RuntimeError(f"only {len(claimed)} of {rows} rows could be claimed")
    with store.transaction():
        now = store.now()
    ended = [move(request, Status.SYNCED, closed_at=now) for request in claimed]
    with _Timed(taken, ACKNOWLEDGE):
        for request in ended:
            with store.transaction():
                store.replace(request, token=TOKEN)
    with _Timed(taken, COUNT), store.transaction():
        counters = store.counters()
    if sum(counters.values()) != rows:
        raise RuntimeError(f"the counters say {sum(counters.values())} of {rows} rows")
    with store.transaction():
        for request in claimed:
            store.replace(
                replace(request, status=Status.PENDING, readiness=Readiness.READY, lease_token=None)
            )
    return taken


class _Timed:
    """Seconds that the block took, written under a name."""

    def __init__(self, taken: dict[str, float], step: str) -> None:
        self._taken, self._step = taken, step

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._taken[self._step] = time.perf_counter() - self._begin
