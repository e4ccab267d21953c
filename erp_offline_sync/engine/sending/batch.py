"""Many requests delivered at once, through the companion at the central.

Only requests that wait for nothing open are in a batch, no two of one document: they are independent of each other.
One commit marks all of them as sent; each outcome is recorded by the rules of a single answer. Several pushes may be
on their way side by side (lanes.py). Where no answer came all of its requests are In Doubt, and asked by receipt. A
push that is refused or lost as a whole although the central is well goes again in halves (batching.py); alone in a
push, a request is booked as a single answer would be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from ..classify import Outcome, Verdict
from ..errors import CentralUnavailable, LeaseLost
from ..identity import canonical_json
from ..model import Readiness, Request, Status
from ..ports import Ports
from ..transitions import move
from .answers import Answers, only_closes
from .batching import LARGEST, Batching
from .booking import Booking, Result
from .companion import STOPPED, Companion
from .lanes import Delivered, Landing, Lanes
from .line import Line
from .origin import NEXT_NUMBER
from .preparation import Preparation
from .push import Capabilities, Limits, PushAnswer, packed
from .pushed import can_be_pushed, outcome_of

__all__ = ["BATCHING", "Batches"]

BATCHING = "batching"
_PREPARED_AT_ONCE = _RECORDED_AT_ONCE = 100
"""In one transaction: whoever saves meanwhile waits for no more."""
_TOO_LARGE = 413
_NOT_FOUND = (404, 405)
"""Of a companion that was just spoken to: something on the way does not let one of the requests through."""
_PERHAPS_IN_PART = frozenset({Verdict.SERVER_ERROR, Verdict.CONTENTION})
"""Every request is a transaction of its own: those before the error may have had their effect."""
_DESTINATIONS = frozenset({Verdict.NOT_SENT, Verdict.NOT_NOW, Verdict.CREDENTIALS})
"""Nothing of the push was looked at, and not for what is in it."""


@dataclass(frozen=True, slots=True)
class _Flown:
    """What is kept of a request while it is on its way; the rest stands in the outbox."""

    id: str
    key: str


class Batches:
    """Delivers claimed requests in pushes.

    `renew` prolongs the run's lease, and raises LeaseLost without one; `interrupted` tells that the run shall end.
    """

    def __init__(
        self,
        ports: Ports,
        line: Line,
        lanes: Lanes,
        companion: Companion,
        preparation: Preparation,
        answers: Answers,
        booking: Booking,
        *,
        renew: Callable[[], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self._ports = ports
        self._store = ports.store
        self._line = line
        self._lanes = lanes
        self._companion = companion
        self._preparation = preparation
        self._answers = answers
        self._booking = booking
        self._renew = renew
        self._interrupted = interrupted
        self._batching = self._kept = Batching(size=ports.config.sync_batch_size)

    def load(self) -> None:
        """How pushes went in earlier runs; what is ended or gone since is under no suspicion."""
        with self._store.transaction():
            text = self._store.get_meta(BATCHING)
            kept = Batching.from_json(
                json.loads(text) if text else None, size=self._ports.config.sync_batch_size
            )
            names = [name for group in kept.groups for name in group]
            self._batching = self._kept = kept.cleared([name for name in names if not self._is_open(name)])

    def _is_open(self, request_id: str) -> bool:
        request = self._store.get(request_id)
        return request is not None and request.closed_at is None

    def keep(self) -> None:
        """For the next run, in the caller's transaction; nothing where it stands there already."""
        if self._batching == self._kept:
            return
        self._kept = self._batching
        self._store.set_meta(BATCHING, canonical_json(self._batching.to_json()))

    def size_of(self, left: int | None, lanes: int) -> int:
        """Of the next push, where so many are `left` in all; None: many more."""
        return self._batching.size if left is None else self._batching.share(left, lanes)

    def chosen(self, due: Sequence[Request]) -> list[Request]:
        """Which of the due requests go in one push; the first alone where it cannot be pushed."""
        if due and not can_be_pushed(due[0]):
            return [due[0]]
        fit: dict[str, Request] = {}
        lines: set[str] = set()
        for request in due:
            if can_be_pushed(request) and request.line not in lines:
                fit[request.id] = request
                lines |= {request.line} if request.line else set()
        alone = {name for name, request in fit.items() if _failed_alone(request)}
        return [fit[name] for name in self._batching.chosen(list(fit), alone)]

    def start(self, batch: Sequence[Request], capabilities: Capabilities) -> Iterator[Delivered]:
        """Push what was claimed, waiting for a lane where none is free; what is not sent in the end goes back. Yields
        what became of requests meanwhile, these or earlier ones, after each commit."""
        ready: list[Request] = []
        number = self._next_number()
        left = list(batch)
        while left:
            some = self._preparation.items_at_once(left[:_PREPARED_AT_ONCE], number)
            left = left[len(some) :]
            if not some:
                alone = self._alone(left.pop(0), number)
                if isinstance(alone, Delivered):
                    yield alone
                    if not self._line.usable():
                        break
                    continue
                some = [alone]
            number = max(number, *((request.number or 0) + 1 for request in some))
            ready += some
        while ready and self._line.usable() and not self._interrupted():
            going, data = self._fitting(ready, capabilities.limits)
            push = partial(self._push, going, data, number, capabilities)
            if push() or (yield from self._lanes.land(in_its_place=push)):
                ready = ready[len(going) :]
        self._booking.unclaim([*ready, *left])

    # before the push

    def _alone(self, request: Request, number: int) -> Request | Delivered:
        """Prepared with looks at the central, or what became of it."""
        try:
            prepared = self._preparation.prepare(request, number=number)
        except CentralUnavailable as trouble:
            prepared = self._booking.look_failed(request.id, trouble.outcome)
        return Delivered(request=request, result=prepared) if isinstance(prepared, Result) else prepared

    def _next_number(self) -> int:
        with self._store.transaction():
            return int(self._store.get_meta(NEXT_NUMBER) or 1)

    def _fitting(self, ready: Sequence[Request], limits: Limits) -> tuple[list[Request], bytes]:
        """As many of the first requests as one push may hold, and its bytes. One alone may be too large, which
        whatever takes it will say."""
        with self._store.transaction():
            lowest = self._store.lowest_number()
        going = list(ready[: limits.max_requests])
        most = min(limits.max_bytes, self._batching.most_bytes or limits.max_bytes)
        while True:
            numbers = [request.number or 0 for request in going]
            text = self._companion.text_of(going, min([*numbers, lowest or numbers[0]]))
            fits = len(text.encode()) <= limits.max_inflated_bytes
            data = packed(text) if fits or len(going) == 1 else b""
            if len(going) == 1 or (fits and len(data) <= most):
                return going, data
            going = going[: len(going) // 2]

    def _mark(self, going: Sequence[Request], number: int) -> None:
        """All of them as sent, in one commit."""
        with self._store.transaction():
            self._renew()
            self._store.take_up(going)
            self._store.set_meta(NEXT_NUMBER, str(number))
            now = self._store.now()
            for request in going:
                sent = move(request, Status.IN_FLIGHT, sent_at=now, sends=request.sends + 1, refused=False)
                self._booking.save(sent)

    # the push

    def _push(self, going: Sequence[Request], data: bytes, number: int, capabilities: Capabilities) -> bool:
        """Whether there was a lane for it."""
        if not self._lanes.free or not all(map(self._lanes.may_leave, going)):
            return False
        self._mark(going, number)
        flown, size = [_Flown(request.id, request.key) for request in going], len(data)
        self._lanes.start(
            going,
            lambda central: central.push(data),
            lambda landing: self._landed(flown, size, capabilities, landing),
        )
        return True

    def _landed(
        self, flown: Sequence[_Flown], size: int, capabilities: Capabilities, landing: Landing
    ) -> Iterator[Delivered]:
        outcome, answer = self._companion.read_push(landing.reply, [request.key for request in flown])
        if answer is None:
            yield from self._refused_whole(self._as_sent(flown), outcome, size)
            return
        looked_at = len(answer.outcomes)
        self._batching = self._batching.cleared([request.id for request in flown[:looked_at]]).measured(
            sent=len(flown),
            looked_at=looked_at,
            seconds=landing.seconds,
            took=answer.took,
            most=min(LARGEST, capabilities.limits.max_requests),
        )
        if looked_at and landing.timely:
            self._line.answered()
        elif not looked_at:
            self._line.trip(
                Outcome(verdict=Verdict.NOT_NOW, message="The central got to none of the requests")
            )
        yield from self._recorded(flown[:looked_at], answer)
        if looked_at < len(flown):
            self._booking.unsent(self._as_sent(flown[looked_at:]))

    def _as_sent(self, flown: Sequence[_Flown]) -> list[Request]:
        """As they were marked. Raises LeaseLost where another run has one of them by now."""
        with self._store.transaction():
            found = self._store.get_all([request.id for request in flown])
        if len(found) < len(flown) or any(request.lease_token != self._booking.token for request in found):
            raise LeaseLost("Another run took over these requests.")
        return found

    def _recorded(self, flown: Sequence[_Flown], answer: PushAnswer) -> Iterator[Delivered]:
        """Each outcome by its own rules; those that only close a request in one commit for many."""
        for first in range(0, len(flown), _RECORDED_AT_ONCE):
            told = answer.outcomes[first : first + _RECORDED_AT_ONCE]
            with self._store.transaction():
                self._renew()
                marked = self._as_sent(flown[first : first + _RECORDED_AT_ONCE])
                answered = [
                    (request, outcome_of(each, request.operation))
                    for request, each in zip(marked, told, strict=True)
                ]
                together = [pair for pair in answered if only_closes(*pair)]
                self._answers.take_up(together)
                done = [
                    Delivered(request=request, result=self._answers.record(request, outcome), outcome=outcome)
                    for request, outcome in together
                ]
            yield from done
            for request, outcome in answered:
                if not only_closes(request, outcome):
                    yield self._one(request, outcome)

    def _one(self, request: Request, outcome: Outcome) -> Delivered:
        self._renew()
        said = not outcome.effect_unknown and outcome.verdict is not Verdict.APPLIED
        if said and self._may_be_under_way(request):
            # An earlier push of it: the same key is safe then, and another one is not. Its receipt tells as long as
            # nothing else was said.
            request = request.altered(may_have_arrived=True)
        try:
            result = self._answers.record(request, outcome)
        except CentralUnavailable as trouble:
            # What the outcome means could not be looked up. Where it had its effect the receipt will tell.
            applied = outcome.verdict is Verdict.APPLIED
            result = self._booking.look_failed(request.id, trouble.outcome, doubt=applied)
        return Delivered(request=request, result=result, outcome=outcome)

    def _may_be_under_way(self, request: Request) -> bool:
        """A push of it was lost so shortly ago that it may still come to the central."""
        since = self._booking.now() - timedelta(seconds=self._ports.config.central_request_timeout)
        return any(
            attempt.event == Verdict.UNANSWERED.value and attempt.at > since for attempt in request.history
        )

    # the push as a whole

    def _refused_whole(self, marked: Sequence[Request], outcome: Outcome, size: int) -> Iterator[Delivered]:
        """No outcome of any request: whose fault it is decides what becomes of them."""
        if outcome.effect_unknown or outcome.verdict in _PERHAPS_IN_PART:
            yield from self._lost(marked, outcome)
        elif outcome.verdict in _DESTINATIONS or outcome.exc_type in STOPPED:
            tried = None if outcome.verdict is Verdict.NOT_SENT else marked[0].id
            self._booking.unsent(marked)
            self._line.trip(outcome, request_id=tried)
        elif outcome.status != _TOO_LARGE and self._companion.ask() is None:
            # There is no companion any more: they go by plain REST.
            self._booking.unsent(marked)
        elif outcome.verdict is Verdict.CONFIGURATION and outcome.status not in _NOT_FOUND:
            self._booking.unsent(marked)
            self._line.trip(outcome, request_id=marked[0].id)
        elif len(marked) > 1 and outcome.exc_type is None and outcome.status != _TOO_LARGE:
            # Not the companion's own word. Whichever it is about: those before it may have had their effect.
            yield from self._lost(marked, outcome)
        else:
            yield from self._spoilt(marked, outcome, size)

    def _lost(self, marked: Sequence[Request], outcome: Outcome) -> Iterator[Delivered]:
        """Sent, and what it did is not known: all In Doubt."""
        if len(marked) == 1 and not outcome.effect_unknown:
            result = self._answers.failed_perhaps(marked[0], outcome)
            yield Delivered(request=marked[0], result=result, outcome=outcome)
            return
        outcome = replace(outcome, verdict=Verdict.UNANSWERED, effect_unknown=True)
        if len(marked) == 1:
            yield self._one(marked[0], outcome)
            return
        well = outcome.retry_after is None and self._line.probe()
        if outcome.retry_after is not None:
            self._line.trip(outcome, request_id=marked[0].id)
        if well:
            self._halve(marked)
        with self._store.transaction():
            for request in marked:
                noted = self._booking.noted(request, outcome)
                doubted = move(noted, Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=None)
                self._booking.save(doubted)
        for request in marked:
            yield Delivered(request=request, result=Result.NONE, outcome=outcome)

    def _spoilt(self, marked: Sequence[Request], outcome: Outcome, size: int) -> Iterator[Delivered]:
        """Refused for what one of them is: in halves, until it is alone."""
        if len(marked) == 1:
            self._batching = self._batching.cleared([marked[0].id])
            yield self._one(marked[0], outcome)
            return
        if outcome.status == _TOO_LARGE:
            self._batching = self._batching.too_large(size)
        self._halve(marked)
        self._booking.unsent(marked)

    def _halve(self, marked: Sequence[Request]) -> None:
        self._batching = self._batching.spoilt([request.id for request in marked])
        with self._store.transaction():
            self.keep()


def _failed_alone(request: Request) -> bool:
    """It was unanswered when it was the only one."""
    return request.unanswered > 0
