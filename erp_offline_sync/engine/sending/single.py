"""One request at a time, as plain REST takes them; several may be on their way side by side (lanes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..classify import Outcome, classify
from ..errors import CentralUnavailable
from ..model import Request
from ..ports import Ports
from .answers import Answers, only_closes
from .booking import Booking, Result
from .lanes import Delivered, Landing, Lanes
from .line import PROPER, Line
from .preparation import Preparation

__all__ = ["Singles"]

_LEAVES_WITHIN = 5.0
"""Seconds between the mark and the bytes. A run that stood still does not send what it marked before that."""


class Singles:
    """Sends claimed requests one by one. `renew` prolongs the run's lease, and raises LeaseLost without one;
    `interrupted` tells whether the run has to stop."""

    def __init__(
        self,
        ports: Ports,
        line: Line,
        lanes: Lanes,
        preparation: Preparation,
        answers: Answers,
        booking: Booking,
        *,
        renew: Callable[[], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self._clock = ports.clock
        self._store = ports.store
        self._line = line
        self._lanes = lanes
        self._preparation = preparation
        self._answers = answers
        self._booking = booking
        self._renew = renew
        self._interrupted = interrupted

    def start(self, batch: Iterable[Request]) -> Iterator[Delivered]:
        """Send what was claimed, as many side by side as there are lanes free; what is not sent in the end goes back.
        Yields what became of requests meanwhile, these or earlier ones, after each commit."""
        left = list(batch)
        while left and self._line.usable():
            going = self._lanes.side_by_side(left)
            if not going:
                yield from self._lanes.land(in_its_place=lambda: self._leave_at_once(left))
            elif not self._leave_at_once(left):
                if self._interrupted():
                    break
                # It needs a look at the central first.
                left.remove(going[0])
                ready = self._made_ready(going[0])
                if isinstance(ready, Delivered):
                    yield ready
                else:
                    self._leave([ready], self._clock.monotonic())
        self._booking.unclaim(left)

    def _leave_at_once(self, left: list[Request]) -> bool:
        """Take out of `left`, mark by one commit and send as many as there are lanes free, as far as there is nothing
        to ask the central first and nothing in the way; whether any went."""
        going = self._lanes.side_by_side(left)
        if not going:
            return False
        with self._store.transaction():
            prepared = [] if self._interrupted() else self._preparation.at_once(going)
            marked = self._marked(prepared) if prepared else []
        marked_at = self._clock.monotonic()
        gone = {request.id for request in marked}
        left[:] = [request for request in left if request.id not in gone]
        self._leave(marked, marked_at)
        return bool(marked)

    def _leave(self, marked: Sequence[Request], marked_at: float) -> None:
        for place, request in enumerate(marked):
            if self._clock.monotonic() - marked_at > _LEAVES_WITHIN:
                # This process stood still, and another run may have taken over.
                self._booking.unsent(marked[place:])
                return
            self._send(request)

    def _made_ready(self, request: Request) -> Request | Delivered:
        """Made ready with looks at the central and marked as sent; or what became of it."""
        try:
            prepared = self._preparation.prepare(request)
        except CentralUnavailable as trouble:
            prepared = self._booking.look_failed(request.id, trouble.outcome)
        if isinstance(prepared, Result):
            return Delivered(request=request, result=prepared)
        return self._marked([prepared])[0]

    def _marked(self, prepared: Sequence[Request]) -> list[Request]:
        with self._store.transaction():
            self._renew()
            return [self._preparation.mark(request) for request in prepared]

    def _send(self, marked: Request) -> None:
        wire = marked.wire
        assert wire is not None  # prepare answers requests with their bytes
        self._lanes.start(
            [marked],
            lambda central: central.deliver(wire, key=marked.key),
            lambda landing: self._landed(marked, landing),
            closed_by=lambda landing: self._closed_by(marked, landing),
        )

    def _closed_by(self, marked: Request, landing: Landing) -> list[tuple[Request, Outcome]]:
        outcome = classify(landing.reply, marked.operation)
        return [(marked, outcome)] if only_closes(marked, outcome) else []

    def _landed(self, marked: Request, landing: Landing) -> Iterator[Delivered]:
        outcome = classify(landing.reply, marked.operation)
        result = self._recorded(marked, outcome, landing)
        yield Delivered(request=marked, result=result, outcome=outcome)

    def _recorded(self, marked: Request, outcome: Outcome, landing: Landing) -> Result:
        try:
            result = self._answers.record(marked, outcome)
        except CentralUnavailable as trouble:
            # The answer itself said that nothing happened; only what it means could not be looked up.
            return self._booking.look_failed(marked.id, trouble.outcome)
        if outcome.verdict in PROPER and not outcome.effect_unknown and landing.timely:
            self._line.answered()
        return result
