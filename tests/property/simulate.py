"""Run many seeds of the simulation: `python -m tests.property.simulate --seeds 1000 [--jobs 2] [--json]`.

`--break list` names the defects that can be planted; `--break NAME` plants one and plays seeds until a guarantee is
seen broken, `--break all` each of them in turn.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .checks import after_every_step, at_the_end, when_drained
from .defects import DEFECTS, planted
from .world import World

__all__ = ["Played", "found_in", "play"]

STEPS = 60
LOOKED_AT = 300
"""Seeds within which a planted defect has to show itself."""


@dataclass
class Played:
    """What one seed did, and what was wrong."""

    seed: int
    steps: list[str]
    faults: Counter[str]
    violations: list[str] = field(default_factory=list)
    wedged: bool = False


def play(seed: int, steps: int = STEPS) -> Played:
    """One seed from its first step until everything has come to its end; stops at the first violation."""
    world = World(seed)
    played = Played(seed, world.steps, world.faults)
    try:
        _play(world, played, steps)
    except Exception:
        played.violations = [traceback.format_exc(limit=-8)]
    if played.violations:
        world.say("--- how they ended")
        for request in [*world.store.all_requests()]:
            world.say(
                f"    {request.seq} {request.operation.value} {request.resource_type} {request.resource_id} "
                f"#{world.queued.get(request.id)}: {request.status.value} {request.reason or ''} "
                f"{[attempt.event for attempt in request.history]}"
            )
    return played


def _play(world: World, played: Played, steps: int) -> None:
    for _ in range(steps):
        world.step()
        played.violations = after_every_step(world)
        if played.violations:
            return
    world.steps.append("--- everything is well again")
    world.make_good()
    if not world.drain_alone():
        played.wedged = True
        played.violations = [
            f"G3: {request.id} {request.status.value} goes on for ever" for request in world.open_requests()
        ]
        return
    played.violations = when_drained(world)
    if played.violations:
        return
    world.steps.append("--- people look at what is held")
    played.wedged = not world.ask_people()
    played.violations = at_the_end(world)


def found_in(name: str, seeds: Iterable[int], steps: int = STEPS) -> Played | None:
    """The first of the seeds in which the planted defect shows; None where it does in none."""
    with planted(name):
        return next((played for played in (play(seed, steps) for seed in seeds) if played.violations), None)


def _brief(seed: int, *, steps: int) -> Played:
    """As it goes from one process to another: the steps of a good seed are only counted."""
    played = play(seed, steps)
    if not played.violations and not played.wedged:
        played.steps = [""] * len(played.steps)
    return played


def _all(seeds: Sequence[int], steps: int, jobs: int) -> Iterator[Played]:
    one = partial(_brief, steps=steps)
    if jobs < 2:
        yield from map(one, seeds)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap_unordered(one, seeds, chunksize=20)


def _summary(given: argparse.Namespace) -> dict[str, Any]:
    faults: Counter[str] = Counter()
    steps = violations = wedges = 0
    for played in _all(range(given.first, given.first + given.seeds), given.steps, given.jobs):
        faults.update(played.faults)
        steps += len(played.steps)
        violations += len(played.violations)
        wedges += played.wedged
        if played.violations:
            print(f"seed {played.seed}: {'; '.join(played.violations[:3])}", file=sys.stderr, flush=True)
            if given.trace:
                print("\n".join(played.steps), file=sys.stderr)
    return {
        "seeds": given.seeds,
        "steps": steps,
        "faults": dict(sorted(faults.items())),
        "violations": violations,
        "wedges": wedges,
    }


def _broken(given: argparse.Namespace, name: str) -> dict[str, Any]:
    """Whether a planted defect shows, in which seed, and how."""
    found = found_in(name, range(given.first, given.first + min(given.seeds, LOOKED_AT)), given.steps)
    if found is not None and given.trace:
        print("\n".join(found.steps), file=sys.stderr)
    return {
        "defect": name,
        "found": found is not None,
        "seed": found.seed if found else None,
        "violation": found.violations[0].strip().splitlines()[-1] if found else None,
    }


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    print(json.dumps(told) if as_json else "\n".join(f"{name}: {value}" for name, value in told.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, help="how many (100; with --break at most 300)")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of one seed before all is made well")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--trace", action="store_true", help="print the steps of seeds with violations")
    parser.add_argument("--break", dest="defect", metavar="NAME", help="plant a defect; list, all")
    given = parser.parse_args(arguments)
    if given.defect is None:
        given.seeds = given.seeds or 100
        summary = _summary(given)
        _tell(summary, as_json=given.json)
        return 1 if summary["violations"] or summary["wedges"] else 0
    if given.defect == "list":
        _tell({defect.name: defect.sentence for defect in DEFECTS.values()}, as_json=given.json)
        return 0
    if given.defect != "all" and given.defect not in DEFECTS:
        parser.error(f"there is no defect {given.defect!r}; --break list names them")
    given.seeds = given.seeds or LOOKED_AT
    found = True
    for name in DEFECTS if given.defect == "all" else [given.defect]:
        told = _broken(given, name)
        _tell(told, as_json=given.json)
        found = found and told["found"]
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
