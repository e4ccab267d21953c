"""Medians with their spread, arms that take turns, and comparisons that are refused where they say nothing.

The spread is the distance between the quartiles of what was measured. Two arms are measured A B A B …, so that what
else the machine does meets both alike, and their ratio is taken turn by turn.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Compared", "Samples", "compared", "interleaved", "percentile"]


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured, in the order in which it was; at least one value."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("nothing was measured")

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """Between the quartiles; of one value alone nothing is known, and it is 0."""
        if len(self.values) == 1:
            return 0.0
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return high - low

    def scaled(self, by: float) -> Samples:
        return Samples(tuple(value * by for value in self.values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How many times one arm is the other. `value` None: refused, and `refused` says why."""

    value: float | None
    spread: float
    refused: str | None = None


def compared(one: Samples, other: Samples, *, goal: float | None = None) -> Compared:
    """The ratio of two arms that took turns: the median over the turns, with its spread.

    Refused where the spread of either arm is larger than the difference of their medians. With `goal` the question is
    not which arm is larger, they may be alike, but on which side of that number their ratio lies: refused then where
    the spread of the ratio is larger than its distance to it. Raises ValueError for arms of different length.
    """
    turns = [first / second for first, second in zip(one.values, other.values, strict=True)]
    ratio = Samples(tuple(turns))
    if goal is not None:
        difference, wide, of_what = abs(goal - ratio.median), ratio.spread, "the distance to the goal"
    else:
        difference, wide = abs(one.median - other.median), max(one.spread, other.spread)
        of_what = "the difference"
    if wide > difference:
        return Compared(
            value=None,
            spread=ratio.spread,
            refused=f"the spread {wide:.3g} is larger than {of_what} {difference:.3g}",
        )
    return Compared(value=ratio.median, spread=ratio.spread)


def interleaved(
    arms: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    warm_up: int = 0,
    heard: Callable[[str, int, float], None] = lambda name, turn, value: None,
) -> dict[str, Samples]:
    """Each arm in turn, so many rounds; `warm_up` rounds before do not count. An arm answers what it measured.

    `heard` gets the arm's name, the round (from 0) and the value as they come.
    """
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(-warm_up, rounds):
        for name, measure in arms.items():
            gc.collect()
            value = measure()
            if turn >= 0:
                taken[name].append(value)
                heard(name, turn, value)
    return {name: Samples(tuple(values)) for name, values in taken.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1_000_000) * len(ordered) // 1_000_000) - 1)]
