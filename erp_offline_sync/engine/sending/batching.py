"""How many requests one push takes, and how a request that spoils a whole push is found.

The size follows what pushes measure: it aims at 2 to 5 seconds. After a push that was refused or lost as a whole,
its requests go in halves until the one that spoils it is alone; nothing else is mixed in meanwhile, so that it is
found in log2(n) steps. Kept between runs: one run may see no more than one time-out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..model import Json

__all__ = ["AIM", "LARGEST", "Batching"]

AIM = 3.5
"""Seconds that a push shall take."""
LARGEST = 500
_SHORT, _LONG = 2.0, 5.0
_LEAST_BYTES = 64 * 1024
_SMALLEST_SHARE, _LARGEST_SHARE = 0.4, 1.5
"""Seconds that a share of what is left takes, at least, by how long the way is: below that it costs more than it
spares."""
_OF_A_SHARE = 10
"""The way there and back is at most one part in so many of a share."""
_LENGTHENS = 1.05
"""The way is taken to be longer by that with each push that does not show it is shorter: lines change."""
_TURNS = 2
"""Pushes that each lane is still to have when the last requests are shared out: one that the central is slow to take
up leaves its share to others."""
_AT_MOST_TIMES = 4
"""A size grows by no more at once: what a few requests cost says little about many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """`size`: requests in the next push. `groups`: ids of requests that were in one spoilt push, which go by
    themselves."""

    size: int
    groups: tuple[tuple[str, ...], ...] = ()
    most_bytes: int | None = None
    """A push of several is no larger: something on the way refused one of twice that size."""
    pace: float = 0.0
    """Requests a second while the central works on one push; 0 where none was measured yet."""
    way: float = 0.0
    """Seconds that a push cost beside the work on its requests, at least, lately: the way there and back. Of a central
    that does not tell how long it worked, all of them. 0 where none was measured."""

    def chosen(self, due: Sequence[str], alone: Collection[str] = ()) -> list[str]:
        """Which of the due ids go together, in their order: first what nothing is known against, then what is under
        suspicion, last those that failed `alone` before and go with nothing else."""
        suspects = {name for group in self.groups for name in group}
        free = [name for name in due if name not in alone and name not in suspects]
        for first in due if not free else ():
            for group in self.groups:
                if first in group and first not in alone:
                    return [name for name in due if name in group and name not in alone][: self.size]
        return free[: self.size] or list(due[:1])

    def measured(
        self, *, sent: int, looked_at: int, seconds: float, took: float | None = None, most: int = LARGEST
    ) -> Batching:
        """After a push that was answered: `looked_at` of the `sent` requests in so many seconds, of which the central
        worked for `took`."""
        fitting = int(looked_at * AIM / max(seconds, 0.001))
        size = self.size
        if seconds > _LONG or looked_at < sent:
            size = min(size, fitting)
        elif seconds < _SHORT and sent >= size:
            size = max(size, min(size * _AT_MOST_TIMES, fitting))
        way = max(0.001, seconds - (took or 0.0))
        pace = looked_at / max(seconds if took is None else took, 0.001)
        # Where the central does not tell how long it worked, a small push says nothing: it is on its way for longer.
        told = took is not None or sent >= self.size or not self.pace
        return replace(
            self,
            size=max(1, min(size, most)),
            pace=pace if told else self.pace,
            way=min(way, self.way * _LENGTHENS) if self.way else way,
        )

    def share(self, left: int, lanes: int) -> int:
        """The size of the next push where no more than `left` requests are to be sent: the last ones are shared out
        among the lanes, so that all of them end at about the same time."""
        if not self.pace:
            return self.size
        shares = lanes * _TURNS if lanes > 1 else 1
        seconds = max(_SMALLEST_SHARE, min((self.way or _LARGEST_SHARE) * _OF_A_SHARE, _LARGEST_SHARE))
        return max(1, min(self.size, max(-(-left // shares), int(self.pace * seconds))))

    def spoilt(self, ids: Sequence[str]) -> Batching:
        """After a push of these that was refused or lost as a whole although the central is well."""
        kept = self.cleared(ids).groups
        middle = (len(ids) + 1) // 2
        halves = (tuple(ids[:middle]), tuple(ids[middle:])) if len(ids) > 1 else ()
        return replace(self, groups=(*kept, *halves))

    def too_large(self, size: int) -> Batching:
        """After a push of several requests and so many bytes that was refused for its size."""
        return replace(self, most_bytes=max(_LEAST_BYTES, size // 2))

    def cleared(self, ids: Collection[str]) -> Batching:
        """After these were answered one by one: they are under no suspicion any more."""
        gone = set(ids)
        groups = (tuple(name for name in group if name not in gone) for group in self.groups)
        return replace(self, groups=tuple(group for group in groups if group))

    def to_json(self) -> Json:
        groups = [list(group) for group in self.groups]
        kept = {"size": self.size, "groups": groups, "most_bytes": self.most_bytes}
        return {**kept, "pace": round(self.pace, 3), "way": round(self.way, 3)}

    @classmethod
    def from_json(cls, value: Any, *, size: int) -> Batching:
        """What `to_json` made; a beginning with `size` where there is nothing yet."""
        if value is None:
            return cls(size=size)
        groups = tuple(tuple(group) for group in value["groups"])
        seen = {name: float(value.get(name) or 0) for name in ("pace", "way")}
        return cls(size=int(value["size"]), groups=groups, most_bytes=value["most_bytes"], **seen)
