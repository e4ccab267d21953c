"""Run many seeds of the simulation: `python -m tests.property.simulate --seeds 1000 [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .checks import after_every_step, at_the_end, when_drained
from .world import World

__all__ = ["Played", "play"]

STEPS = 60


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
                f"#{world.queued[request.id]}: {request.status.value} {request.reason or ''} "
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", action="store_true", help="print the steps of seeds with violations")
    given = parser.parse_args(arguments)
    faults: Counter[str] = Counter()
    steps = violations = wedges = 0
    for seed in range(given.first, given.first + given.seeds):
        played = play(seed, given.steps)
        faults.update(played.faults)
        steps += len(played.steps)
        violations += len(played.violations)
        wedges += played.wedged
        if played.violations:
            print(f"seed {seed}: {'; '.join(played.violations[:3])}", file=sys.stderr)
            if given.trace:
                print("\n".join(played.steps), file=sys.stderr)
    summary = {
        "seeds": given.seeds,
        "steps": steps,
        "faults": dict(sorted(faults.items())),
        "violations": violations,
        "wedges": wedges,
    }
    if given.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    return 1 if violations or wedges else 0


if __name__ == "__main__":
    sys.exit(main())
