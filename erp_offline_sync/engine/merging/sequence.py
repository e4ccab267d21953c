"""The order of things that have names: what moved, and the three-way merge of an order.

Keys occur once in a sequence. Everything here grows with the number of keys (times its logarithm).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Any

__all__ = ["Prefer", "longest_rise", "merge_order", "moved"]


class Prefer(Enum):
    ONE = 0
    OTHER = 1


def longest_rise(numbers: Sequence[int]) -> list[int]:
    """Positions of a longest strictly rising subsequence, in their order."""
    # By length: where the rise ends that ends with the smallest number, and that number.
    ends: list[int] = []
    smallest: list[int] = []
    before: list[int] = []
    for position, number in enumerate(numbers):
        length = bisect_left(smallest, number)
        before.append(ends[length - 1] if length else -1)
        if length == len(ends):
            ends.append(position)
            smallest.append(number)
        else:
            ends[length], smallest[length] = position, number
    rise: list[int] = []
    position = ends[-1] if ends else -1
    while position >= 0:
        rise.append(position)
        position = before[position]
    return rise[::-1]


def moved(before: Collection[str], after: Collection[str]) -> list[str]:
    """The fewest keys that have to be moved to bring `before` into the order of `after`; others are ignored."""
    there = set(after)
    place = {key: position for position, key in enumerate(key for key in before if key in there)}
    kept = [key for key in after if key in place]
    if kept == list(place):
        return []
    stay = set(longest_rise([place[key] for key in kept]))
    return [key for position, key in enumerate(kept) if position not in stay]


def merge_order(
    base: Sequence[str],
    one: Sequence[str],
    other: Sequence[str],
    *,
    rank: Callable[[str], Any],
    prefer: Prefer | None = None,
) -> list[str] | None:
    """All keys of both sides in one order; None where both moved what the base has, and not to the same order.

    What only one side has stands behind what it stands behind there. `rank` orders what both sides put in the same
    place, so that the result does not depend on which side is which. `prefer`: the side that wins where both moved.
    """
    shared = set(one) & set(other)
    backbone = _backbone(base, one, other, shared, rank, prefer)
    if backbone is None:
        return None
    after_one, after_other = _followers(one, shared), _followers(other, shared)
    order: list[str] = []
    for key in (None, *backbone):
        if key is not None:
            order.append(key)
        if key not in after_one and key not in after_other:
            continue
        groups = [after[key] for after in (after_one, after_other) if key in after]
        if len(groups) > 1:
            groups.sort(key=lambda group: rank(group[0]))
        for group in groups:
            order += group
    return order


def _backbone(
    base: Sequence[str],
    one: Sequence[str],
    other: Sequence[str],
    shared: set[str],
    rank: Callable[[str], Any],
    prefer: Prefer | None,
) -> list[str] | None:
    """The order of what both sides have."""
    both_in_one = [key for key in one if key in shared]
    both_in_other = [key for key in other if key in shared]
    if both_in_one == both_in_other:
        return both_in_one
    if prefer is not None:
        return both_in_one if prefer is Prefer.ONE else both_in_other
    moved_in_one, moved_in_other = bool(moved(base, one)), bool(moved(base, other))
    if moved_in_one != moved_in_other:
        return both_in_one if moved_in_one else both_in_other
    if moved_in_one:
        return None
    # Only what both added stands differently.
    return min(both_in_one, both_in_other, key=lambda keys: [rank(key) for key in keys])


def _followers(keys: Sequence[str], shared: set[str]) -> dict[str | None, list[str]]:
    """What only this side has, by the shared key that it stands behind; None: at the beginning."""
    found: dict[str | None, list[str]] = {}
    anchor: str | None = None
    for key in keys:
        if key in shared:
            anchor = key
        else:
            found.setdefault(anchor, []).append(key)
    return found
