"""How many lanes a run uses, by what the central answers.

A lane more is kept while it brings more; where the central has no more hands, or its requests stand in each other's
way, it only makes its users wait. So the width doubles as long as that pays, goes back where it did not, and tries
again after a while. A deadlock, or a central that is busy or silent, halves it. Kept between runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .model import Json

__all__ = ["Width"]

_WINDOW = 0.5
"""Seconds that each lane is watched, at least, before the width is judged."""
_PAYS = 0.3
"""What wider lanes have to bring, of what they would bring with nothing in their way."""
_PATIENCE = 3
"""Windows until a width that did not pay is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """`lanes` at once. What they carried since that is their number: requests, and seconds of all of them."""

    lanes: int = 1
    steady: bool = False
    """It doubles no more: it went back once."""
    narrower: tuple[int, float] | None = None
    """The width before this one, on trial, and the requests a second that it carried."""
    rests: int = 0
    """Windows until a wider one is tried."""
    carried: int = 0
    seconds: float = 0.0
    landed: int = 0

    def flown(self, *, carried: int, seconds: float, most: int) -> Width:
        """After a flight with all lanes in use: so many requests were looked at in so many seconds."""
        carried, seconds, landed = self.carried + carried, self.seconds + seconds, self.landed + 1
        if landed < self.lanes or seconds < _WINDOW * self.lanes:
            return replace(self, carried=carried, seconds=seconds, landed=landed)
        rate = self.lanes * carried / seconds
        if self.narrower is not None and not self._pays(rate):
            return Width(lanes=min(self.narrower[0], most), steady=True, rests=_PATIENCE)
        if self.rests:
            return Width(lanes=min(self.lanes, most), steady=self.steady, rests=self.rests - 1)
        wider = min(self.lanes + 1 if self.steady else self.lanes * 2, most)
        before = (self.lanes, rate) if wider > self.lanes else None
        return Width(lanes=wider, steady=self.steady, narrower=before)

    def halved(self) -> Width:
        """After an answer that says that it is too much at once."""
        return Width(lanes=max(1, self.lanes // 2), steady=True, rests=_PATIENCE)

    def _pays(self, rate: float) -> bool:
        assert self.narrower is not None  # it is on trial
        lanes, before = self.narrower
        return rate >= before * (1 + _PAYS * (self.lanes / lanes - 1))

    def to_json(self) -> Json:
        """What outlives a run."""
        return {"lanes": self.lanes, "steady": self.steady}

    @classmethod
    def from_json(cls, value: Any, *, most: int) -> Width:
        """What `to_json` made; a beginning where there is nothing yet."""
        if value is None:
            return cls()
        return cls(lanes=max(1, min(int(value["lanes"]), most)), steady=bool(value["steady"]))
