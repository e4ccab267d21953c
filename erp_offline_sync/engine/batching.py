"""How many requests one push takes, and how a request that spoils a whole push is found.

The size follows what pushes measure: it aims at 2 to 5 seconds. After a push that was refused or lost as a whole,
its requests go in halves until the one that spoils it is alone; nothing else is mixed in meanwhile, so that it is
found in log2(n) steps. Kept between runs: one run may see no more than one time-out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .model import Json

__all__ = ["AIM", "LARGEST", "Batching"]

AIM = 3.5
"""Seconds that a push shall take."""
LARGEST = 500
_SHORT, _LONG = 2.0, 5.0
_AT_MOST_TIMES = 4
"""A size grows by no more at once: what a few requests cost says little about many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """`size`: requests in the next push. `groups`: ids of requests that were in one spoilt push, which go by
    themselves."""

    size: int
    groups: tuple[tuple[str, ...], ...] = ()

    def chosen(self, due: Sequence[str], alone: Collection[str] = ()) -> list[str]:
        """Which of the due ids go together, in their order; `alone`: those that go with nothing else."""
        if not due:
            return []
        first = due[0]
        if first in alone:
            return [first]
        together = [name for name in due if name not in alone]
        for group in self.groups:
            if first in group:
                return [name for name in together if name in group][: self.size]
        suspects = {name for group in self.groups for name in group}
        return [name for name in together if name not in suspects][: self.size]

    def measured(self, *, sent: int, looked_at: int, seconds: float, most: int = LARGEST) -> Batching:
        """After a push that was answered: `looked_at` of the `sent` requests in so many seconds."""
        fitting = int(looked_at * AIM / max(seconds, 0.001))
        size = self.size
        if seconds > _LONG or looked_at < sent:
            size = min(size, fitting)
        elif seconds < _SHORT and sent >= size:
            size = max(size, min(size * _AT_MOST_TIMES, fitting))
        return replace(self, size=max(1, min(size, most)))

    def spoilt(self, ids: Sequence[str]) -> Batching:
        """After a push of these that was refused or lost as a whole although the central is well."""
        kept = self.cleared(ids).groups
        middle = (len(ids) + 1) // 2
        halves = (tuple(ids[:middle]), tuple(ids[middle:])) if len(ids) > 1 else ()
        return replace(self, groups=(*kept, *halves))

    def cleared(self, ids: Collection[str]) -> Batching:
        """After these were answered one by one: they are under no suspicion any more."""
        gone = set(ids)
        groups = (tuple(name for name in group if name not in gone) for group in self.groups)
        return replace(self, groups=tuple(group for group in groups if group))

    def to_json(self) -> Json:
        return {"size": self.size, "groups": [list(group) for group in self.groups]}

    @classmethod
    def from_json(cls, value: Any, *, size: int) -> Batching:
        """What `to_json` made; a beginning with `size` where there is nothing yet."""
        if value is None:
            return cls(size=size)
        return cls(size=int(value["size"]), groups=tuple(tuple(group) for group in value["groups"]))
