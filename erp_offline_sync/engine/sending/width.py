"""How many lanes a run uses, by what the central answers.

A lane more is worth having while it brings more; where the central has no more hands, or its requests stand in each
other's way, it only makes its users wait. So the number doubles at first, as long as that pays. From then on one more
and one less are tried in turn, and kept where they do better. A deadlock, or a central that is busy or silent, halves
it. Kept between runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..model import Json

__all__ = ["Width"]

_FIRST_WINDOW, _WINDOW = 0.05, 0.5
"""Seconds that each lane is watched, at least, before the number is judged: while it doubles, and later."""
_PAYS = 0.3
"""What more lanes have to bring, of what they would bring with nothing in their way."""
_PATIENCE = 3
"""Windows between two trials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """`lanes` at once. What they carried since that is their number: requests, and seconds of all of them."""

    lanes: int = 1
    steady: bool = False
    """It doubles no more."""
    before: tuple[int, float] | None = None
    """While a number is on trial: the one before it, and the requests a second that it carried."""
    rests: int = 0
    """Windows until the next trial."""
    fewer: bool = False
    """The next trial is with one less."""
    carried: int = 0
    seconds: float = 0.0
    landed: int = 0

    def flown(self, *, carried: int, seconds: float, most: int) -> Width:
        """After a flight with all lanes in use: so many requests were looked at in so many seconds."""
        seen = replace(
            self, carried=self.carried + carried, seconds=self.seconds + seconds, landed=self.landed + 1
        )
        window, enough = (_WINDOW, self.lanes) if self.steady else (_FIRST_WINDOW, -(-self.lanes // 2))
        if seen.landed < enough or seen.seconds < window * enough:
            return seen
        rate = self.lanes * seen.carried / seen.seconds
        if self.before is not None:
            kept = self._better(rate)
            if self.steady or kept != self.lanes:
                return Width(lanes=min(kept, most), steady=True, rests=_PATIENCE, fewer=not self.fewer)
        if self.rests:
            return Width(
                lanes=min(self.lanes, most), steady=self.steady, rests=self.rests - 1, fewer=self.fewer
            )
        return self._tried(rate, most)

    def halved(self) -> Width:
        """After an answer that says that it is too much at once."""
        return Width(lanes=max(1, self.lanes // 2), steady=True, rests=_PATIENCE)

    def _better(self, rate: float) -> int:
        """Of the number on trial and the one before it."""
        assert self.before is not None  # it is on trial
        few, many = sorted((self.before, (self.lanes, rate)))
        pays = many[1] >= few[1] * (1 + _PAYS * (many[0] / few[0] - 1))
        return many[0] if pays else few[0]

    def _tried(self, rate: float, most: int) -> Width:
        """On to the next trial, where there is another number to be tried."""
        wanted = self.lanes * 2 if not self.steady else self.lanes + (-1 if self.fewer else 1)
        lanes = max(1, min(wanted, most))
        if lanes == self.lanes:
            return Width(lanes=lanes, steady=True, fewer=not self.fewer)
        return Width(lanes=lanes, steady=self.steady, before=(self.lanes, rate), fewer=self.fewer)

    def to_json(self) -> Json:
        """What outlives a run."""
        return {"lanes": self.lanes, "steady": self.steady}

    @classmethod
    def from_json(cls, value: Any, *, most: int) -> Width:
        """What `to_json` made; a beginning where there is nothing yet."""
        if value is None:
            return cls()
        return cls(lanes=max(1, min(int(value["lanes"]), most)), steady=bool(value["steady"]))
