"""How near a drain comes to what the central needs by itself: a stand-in that takes as long as it is told.

Floor: documents × time of one document / writers of the central. No branch can be faster than that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence

from erp_offline_sync import bootstrap

from .central import CentralProcess
from .documents import NOTE, note
from .figure import Figure, Plan, Run, at_least
from .measuring import interleaved
from .outboxes import create, drained, fill

__all__ = ["PLANS", "measure"]

POINTS = ((20, 0, 5), (200, 0, 5), (50, 25, 50), (600, 100, 5))
"""Milliseconds: round trip, fixed cost of a request, cost of a document."""
WRITERS = 4
UNEVEN = 0.2
DOCUMENTS, ROUNDS = 10_000, 3
_FEW, _ONCE = 400, 1


def _id(point: tuple[int, int, int]) -> str:
    return "drain.efficiency." + "-".join(map(str, point))


PLANS = tuple(
    Plan(
        id=_id(point),
        title=f"floor / measured; {point[0]} ms line, {point[1]} ms a request, {point[2]} ms a document",
        unit="",
        goal=at_least(0.8),
    )
    for point in POINTS
)


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    documents, rounds = (_FEW, _ONCE) if run.quick else (DOCUMENTS, ROUNDS)
    points = {_id(point): point for point in POINTS}
    turn = iter(range(10_000))

    def arm(point: tuple[int, int, int]) -> Callable[[], float]:
        return lambda: _drain(run, point, documents, next(turn))

    def heard(name: str, turn: int, seconds: float) -> None:
        run.say(f"{name}: {documents} documents in {seconds:.1f} s")

    taken = interleaved({plan.id: arm(points[plan.id]) for plan in plans}, rounds, heard=heard)
    for plan in plans:
        floor = documents * points[plan.id][2] / 1000 / WRITERS
        seconds = taken[plan.id]
        efficiency = type(seconds)(tuple(floor / value for value in seconds.values))
        yield plan.measured(
            efficiency,
            documents=documents,
            floor_seconds=floor,
            seconds=seconds.median,
            documents_a_second=documents / seconds.median,
        )


def _drain(run: Run, point: tuple[int, int, int], documents: int, turn: int) -> float:
    """Seconds from the beginning of the run until the last is recorded."""
    line, request, document = (milliseconds / 1000 for milliseconds in point)
    drawn = random.Random(f"{run.seed} {turn}")
    path = run.folder / f"drain-{turn}.sqlite"
    with CentralProcess(
        companion=True,
        seconds_per_request=line + request,
        seconds_per_document=document,
        writers=WRITERS,
        uneven=UNEVEN,
        seed=run.seed,
    ) as central:
        outbox = bootstrap.standalone(central.settings, path=path)
        ids, now = outbox.ports.ids, outbox.ports.store.now()
        fill(
            outbox,
            (
                create(NOTE, f"N-{number}", note(number, drawn), key=ids.new_key(), now=now)
                for number in range(documents)
            ),
        )
        began = time.perf_counter()
        drained(outbox)
        seconds = time.perf_counter() - began
        outbox.close()
        if central.count(NOTE) != documents:
            raise RuntimeError(f"the central holds {central.count(NOTE)} documents of {documents}")
    path.unlink()
    return seconds
