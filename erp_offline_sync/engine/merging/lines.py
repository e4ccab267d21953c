"""Three-way merge of a text, line by line.

Lines are aligned by those that occur once on both sides (patience), so that the cost grows with the text and a
line that repeats is never taken for another. Where that leaves a stretch unaligned, the stretch counts as
rewritten: more is left to a person, nothing is merged by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .sequence import longest_rise

__all__ = ["Stretch", "compare_lines", "merge_lines"]

_Hunk = tuple[int, int, tuple[str, ...]]
"""Lines of the base from, up to (not with), and what stands there instead."""

_DEPTH = 12
"""How often a stretch between aligned lines is aligned again: bounds the cost of a text made to be costly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Lines that stand together: as they were, and as each side has them."""

    base: tuple[str, ...]
    one: tuple[str, ...]
    other: tuple[str, ...]


def compare_lines(base: str, one: str, other: str) -> list[Stretch]:
    """The whole text in stretches, in its order; between two that a side changed stands one that nobody did.

    What `merge_lines` merges has no stretch that both sides changed otherwise.
    """
    lines = base.split("\n")
    sides = [sorted(_hunks(lines, text.split("\n"))) for text in (one, other)]
    stretches: list[Stretch] = []
    done = 0
    for start, end in _touched([hunk for hunks in sides for hunk in hunks]):
        if done < start:
            alike = tuple(lines[done:start])
            stretches.append(Stretch(base=alike, one=alike, other=alike))
        after = (_within(lines, hunks, start, end) for hunks in sides)
        stretches.append(Stretch(base=tuple(lines[start:end]), one=next(after), other=next(after)))
        done = end
    if done < len(lines):
        alike = tuple(lines[done:])
        stretches.append(Stretch(base=alike, one=alike, other=alike))
    return stretches


def _touched(hunks: list[_Hunk]) -> Iterator[tuple[int, int]]:
    """The stretches of the base that hunks cover; those that touch each other are one."""
    start, end = -1, -1
    for begin, stop, _ in sorted(hunks):
        if begin <= end:
            end = max(end, stop)
            continue
        if end >= 0:
            yield start, end
        start, end = begin, stop
    if end >= 0:
        yield start, end


def _within(lines: list[str], hunks: list[_Hunk], start: int, end: int) -> tuple[str, ...]:
    """What a side has in place of these lines of the base."""
    after: list[str] = []
    for begin, stop, instead in hunks:
        if begin < start or stop > end:
            continue
        after += lines[start:begin]
        after += instead
        start = stop
    return (*after, *lines[start:end])


def merge_lines(base: str, one: str, other: str) -> str | None:
    """The base with the changes of both sides; None where these touch each other and are not the same.

    Both sides stand alike: swapped, they give the same text. What comes out stays as it is when it is merged
    with either side again.
    """
    if one in (base, other):
        return other
    if other == base:
        return one
    lines = base.split("\n")
    changes = {*_hunks(lines, one.split("\n")), *_hunks(lines, other.split("\n"))}
    hunks = sorted(changes)
    if any(later[0] <= earlier[1] for earlier, later in pairwise(hunks)):
        return None
    merged = list(lines)
    for start, end, instead in reversed(hunks):
        merged[start:end] = instead
    # Beside lines that repeat, a change can be read in two ways: what reads otherwise now is not certain.
    return "\n".join(merged) if set(_hunks(lines, merged)) == changes else None


def _hunks(old: list[str], new: list[str]) -> Iterator[_Hunk]:
    """What was changed; between two of them stands at least one line that both have."""
    stretches = [(0, len(old), 0, len(new), _DEPTH)]
    while stretches:
        start, end, new_start, new_end, depth = stretches.pop()
        while start < end and new_start < new_end and old[start] == new[new_start]:
            start, new_start = start + 1, new_start + 1
        while start < end and new_start < new_end and old[end - 1] == new[new_end - 1]:
            end, new_end = end - 1, new_end - 1
        if start == end and new_start == new_end:
            continue
        both = start < end and new_start < new_end
        anchors = _anchors(old, new, start, end, new_start, new_end) if depth and both else []
        if not anchors:
            yield start, end, tuple(new[new_start:new_end])
            continue
        for anchor, new_anchor in anchors:
            if start < anchor or new_start < new_anchor:
                stretches.append((start, anchor, new_start, new_anchor, depth - 1))
            start, new_start = anchor + 1, new_anchor + 1
        stretches.append((start, end, new_start, new_end, depth - 1))


def _anchors(
    old: list[str], new: list[str], start: int, end: int, new_start: int, new_end: int
) -> list[tuple[int, int]]:
    """Positions of lines that occur once in both stretches, in an order that both share."""
    there = _once(new, new_start, new_end)
    both = [(place, there[line]) for line, place in _once(old, start, end).items() if line in there]
    places = [new_place for _, new_place in both]
    return both if places == sorted(places) else [both[place] for place in longest_rise(places)]


def _once(lines: list[str], start: int, end: int) -> dict[str, int]:
    places: dict[str, int] = {}
    repeated: set[str] = set()
    for place in range(start, end):
        line = lines[place]
        if line in places:
            repeated.add(line)
        else:
            places[line] = place
    return {line: place for line, place in places.items() if line not in repeated}
