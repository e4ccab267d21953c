"""How near a drain comes to what the central needs by itself: a stand-in that takes as long as it is told.

Floor: documents × time of one document / writers of the central. No branch can be faster than that. A branch keeps
how many lanes its central has use for and how large pushes may be; so each outbox is drained twice, once by a branch
that never sent before and once by the same branch later.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

from erp_offline_sync import bootstrap

from .central import CentralProcess
from .documents import NOTE
from .figure import Figure, Plan, Run, at_least
from .measuring import Samples
from .outboxes import drained, fill_with_notes

__all__ = ["PLANS", "measure"]

POINTS = ((20, 0, 5), (200, 0, 5), (50, 25, 50), (600, 100, 5))
"""Milliseconds: round trip, fixed cost of a request, cost of a document."""
WRITERS = 4
UNEVEN = 0.2
DOCUMENTS, ROUNDS = 10_000, 3
_FEW, _ONCE = 400, 1


FIRST, LATER = "drain.first", "drain.efficiency"


def _id(kind: str, point: tuple[int, int, int]) -> str:
    return f"{kind}." + "-".join(map(str, point))


PLANS = tuple(
    Plan(
        id=_id(kind, point),
        title=f"floor / measured{whose}; {point[0]} ms line, {point[1]} ms a request, {point[2]} ms a document",
        unit="",
        goal=at_least(0.8),
    )
    for kind, whose in ((LATER, ""), (FIRST, ", a branch's very first"))
    for point in POINTS
)


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    documents, rounds = (_FEW, _ONCE) if run.quick else (DOCUMENTS, ROUNDS)
    by_id = {plan.id: plan for plan in plans}
    points = [point for point in POINTS if {_id(FIRST, point), _id(LATER, point)} & set(by_id)]
    taken: dict[str, list[float]] = {plan.id: [] for plan in plans}
    for turn, point in enumerate(points * rounds):
        drains = _drains(run, point, documents, turn, twice=_id(LATER, point) in by_id)
        for kind, seconds in zip((FIRST, LATER), drains, strict=False):
            run.say(f"{_id(kind, point)}: {documents} documents in {seconds:.1f} s")
            taken.setdefault(_id(kind, point), []).append(seconds)
    for point in points:
        floor = documents * point[2] / 1000 / WRITERS
        for plan in filter(None, map(by_id.get, (_id(LATER, point), _id(FIRST, point)))):
            seconds = Samples(tuple(taken[plan.id]))
            yield plan.measured(
                Samples(tuple(floor / value for value in seconds.values)),
                documents=documents,
                floor_seconds=floor,
                seconds=seconds.median,
                documents_a_second=documents / seconds.median,
            )


def _drains(
    run: Run, point: tuple[int, int, int], documents: int, turn: int, *, twice: bool
) -> Iterator[float]:
    """Seconds from the beginning of the run until the last is recorded: of a new branch, then of the same again."""
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
        for day in range(1 + twice):
            fill_with_notes(outbox, (f"N-{day}-{number}" for number in range(documents)), drawn)
            began = time.perf_counter()
            drained(outbox)
            yield time.perf_counter() - began
            if central.count(NOTE) != documents * (day + 1):
                raise RuntimeError(
                    f"the central holds {central.count(NOTE)} documents of {documents * (day + 1)}"
                )
        outbox.close()
    path.unlink()
