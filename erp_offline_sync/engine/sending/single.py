"""One request at a time, as plain REST takes them; several may be on their way side by side (lanes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..classify import classify
from ..errors import CentralUnavailable
from ..model import Request
from ..ports import Ports
from .answers import Answers
from .booking import Booking, Result
from .lanes import Delivered, Landing, Lanes
from .line import PROPER, Line
from .preparation import Preparation

__all__ = ["Singles"]


class Singles:
    """Sends claimed requests one by one. `renew` prolongs the run's lease, and raises LeaseLost without one."""

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
    ) -> None:
        self._store = ports.store
        self._line = line
        self._lanes = lanes
        self._preparation = preparation
        self._answers = answers
        self._booking = booking
        self._renew = renew

    def start(self, request: Request) -> Delivered | None:
        """Send it. Answers what became of it where nothing need or can be sent, or could not be made ready."""
        try:
            prepared = self._preparation.prepare(request)
            if isinstance(prepared, Result):
                return Delivered(request=request, result=prepared)
            with self._store.transaction():
                self._renew()
                marked = self._preparation.mark(prepared)
        except CentralUnavailable as trouble:
            return Delivered(request=request, result=self._booking.look_failed(request.id, trouble.outcome))
        wire = marked.wire
        assert wire is not None  # prepare answers requests with their bytes
        self._lanes.start(
            [marked],
            lambda central: central.deliver(wire, key=marked.key),
            lambda landing: self._landed(marked, landing),
        )
        return None

    def _landed(self, marked: Request, landing: Landing) -> Iterator[Delivered]:
        outcome = classify(landing.reply, marked.operation)
        try:
            result = self._answers.record(marked, outcome)
        except CentralUnavailable as trouble:
            # The answer itself said that nothing happened; only what it means could not be looked up.
            result = self._booking.look_failed(marked.id, trouble.outcome)
        else:
            if outcome.verdict in PROPER and not outcome.effect_unknown and landing.timely:
                self._line.answered()
        yield Delivered(request=marked, result=result, outcome=outcome)
