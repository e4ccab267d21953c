"""Requests that were sent and never answered: what became of them is looked up before anything else of their
document goes. A companion is asked for its receipts.

What carries a version cannot happen twice and goes again at once. Of the rest, "not there" counts only once the
central cannot be working on it any more (`central_request_timeout` after the send).
Source: semantics, "Delivery on a plain central", In doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from ..classify import Outcome, Verdict
from ..config import QUEUED_WAIT
from ..errors import CentralUnavailable, LeaseLost
from ..model import Document, Json, Operation, Readiness, Request, Status
from ..ports import Ports
from ..transitions import move
from .answers import Answers, sent_values
from .booking import Booking, Result
from .companion import Companion
from .lookup import Lookup
from .marks import mark_of
from .origin import restored, restored_at
from .preparation import Preparation
from .push import Receipt, ReceiptState
from .pushed import HALF_DONE, is_pushed

__all__ = ["Doubts"]

_CANDIDATES_SHOWN = 5
_LOOKED_AT = 100
"""Doubts that are looked at for creates that were lost at the same time."""
_FAR_BACK = timedelta(days=1)
_CLOCKS_APART = timedelta(minutes=10)
"""A backup may come back on a machine whose clock differs from the one on which its requests were saved."""


class Doubts:
    """Settles one In Doubt request at a time, under the run's lease token."""

    def __init__(
        self,
        ports: Ports,
        booking: Booking,
        answers: Answers,
        lookup: Lookup,
        preparation: Preparation,
        companion: Companion,
    ) -> None:
        self._ports = ports
        self._store = ports.store
        self._booking = booking
        self._answers = answers
        self._lookup = lookup
        self._preparation = preparation
        self._companion = companion

    def settle(self, request: Request) -> Result:
        """Raises CentralUnavailable where the look-up got no proper answer; the request stays In Doubt."""
        flying = self._flying(request)
        return Result.NONE if flying is None else self._look(flying)

    def _flying(self, request: Request) -> Request | None:
        with self._store.transaction():
            current = self._store.get(request.id)
            if current is None or current.status is not Status.IN_DOUBT:
                return None
            flying = move(current, Status.IN_FLIGHT, lease_token=self._booking.token)
            self._store.replace(flying)
        return flying

    def _look(self, flying: Request) -> Result:
        if flying.unsure and flying.operation is Operation.CREATE:
            # What it is compared with are the bytes that it would be sent as.
            prepared = self._preparation.prepare(flying)
            if isinstance(prepared, Result):
                return prepared
            flying = prepared
        return _BY_OPERATION[flying.operation](self, flying)

    def settle_by_receipt(self, requests: Sequence[Request]) -> Iterator[tuple[Request, Result]]:
        """The same for requests that a companion was sent: its receipts tell exactly. A request that may have
        gone another way as well, or whose effect left no receipt, is looked up where there is none."""
        flying = [each for request in requests if (each := self._flying(request)) is not None]
        if not flying:
            return
        try:
            receipts = self._companion.receipts([request.key for request in flying])
        except CentralUnavailable as trouble:
            if self._companion.ask() is not None:
                yield from self._unread(flying, trouble)
                return
            receipts = {}  # there is no companion any more
        for place, request in enumerate(flying):
            try:
                yield request, self._by_receipt(request, receipts.get(request.key))
            except CentralUnavailable as trouble:
                yield from self._unread(flying[place:], trouble)
                return

    def _unread(
        self, requests: Sequence[Request], trouble: CentralUnavailable
    ) -> Iterator[tuple[Request, Result]]:
        """The look-up failed at the first of them; the others stay as they were."""
        with self._store.transaction():
            until = self._store.now() + timedelta(seconds=self._ports.config.base_seconds)
        for request in requests[1:]:
            yield request, self.keep(request, until=until)
        yield requests[0], self._booking.look_failed(requests[0].id, trouble.outcome, doubt=True)

    def _by_receipt(self, request: Request, receipt: Receipt | None) -> Result:
        if receipt is not None and receipt.state is ReceiptState.APPLIED:
            return self._answers.applied_before(request, receipt.name, receipt.version)
        if receipt is not None and receipt.state is ReceiptState.RUNNING:
            with self._store.transaction():
                wait = QUEUED_WAIT * self._ports.config.base_seconds
                until = self._store.now() + timedelta(seconds=wait)
            return self.keep(request, until=until)
        if receipt is not None and receipt.state is ReceiptState.IN_DOUBT:
            return self._look(request.altered(error_type=HALF_DONE))
        if receipt is None or request.may_have_arrived:
            return self._look(request)
        return self._again(request, may_have_arrived=False)

    def keep(self, request: Request, *, until: datetime | None = None) -> Result:
        """Still not known: looked up again at that time."""
        with self._store.transaction():
            self._booking.save(move(request, Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=until))
        return Result.NONE

    def _carries_version(self, request: Request) -> Result:
        """The same bytes once more find out by themselves, where they are looked at once more."""
        if request.error_type != HALF_DONE:
            return self._again(request)
        return self._answers.found_done(request) or self._ask_half_done(request)

    def _ask_half_done(self, request: Request) -> Result:
        return self._ask(
            request,
            "Code of the central committed in the middle of it and did not come to its end: half of it may stand "
            "there. Look at the document, then retry or discard this request.",
            error_type=HALF_DONE,
        )

    def _again(self, request: Request, *, may_have_arrived: bool = True) -> Result:
        """The same bytes once more."""
        with self._store.transaction():
            again = request.altered(may_have_arrived=may_have_arrived, next_retry_at=None)
            self._booking.save(move(again, Status.PENDING, readiness=Readiness.READY))
        return Result.NONE

    def _not_there(self, request: Request) -> Result:
        """Sent again once the central cannot be at work on it any more; looked up again until then."""
        if request.error_type == HALF_DONE:
            return self._ask_half_done(request)
        patience = timedelta(seconds=self._ports.config.central_request_timeout)
        with self._store.transaction():
            now = self._store.now()
        # Until it came back with a backup this branch may have sent it once more, by plain REST too.
        sent_at, back_at = request.sent_at or now - _FAR_BACK, restored_at(request)
        since = max(sent_at, back_at or sent_at)
        if since > now:
            # The clock was set back: how long ago it was sent is not known, so the wait begins anew.
            long_ago = now - _FAR_BACK
            begun = request.altered(sent_at=min(sent_at, long_ago))
            return self.keep(restored(begun, long_ago) if back_at else begun, until=now + patience)
        until = since + patience
        if now < until:
            return self.keep(request, until=until)
        return self._again(_looked_up(request), may_have_arrived=False)

    def _candidates(self, request: Request) -> list[str] | None:
        """Documents at the central that may be what this create made; None where they are too many."""
        with self._store.transaction():
            now = self._store.now()
        # Where the clock was set back meanwhile, nobody knows when it was sent.
        sent_at = request.sent_at or now - _FAR_BACK
        since = sent_at if sent_at <= now else now - _FAR_BACK
        since -= _CLOCKS_APART if request.unsure or restored_at(request) else timedelta()
        return self._lookup.created_since(str(request.resource_type), since)

    def _delete(self, request: Request) -> Result:
        document = self._document(request)
        if self._still_there(document) is None:
            return self._answers.record(request, Outcome(verdict=Verdict.APPLIED))
        return self._not_there(request)

    def _still_there(self, document: Document) -> Json | None:
        """The document at the central; another one that was made under its name since is not it."""
        central = self._lookup.fetch(document.doctype, document.central_name or document.local_name)
        made = (document.base or {}).get("creation")
        if central is not None and made and str(central.get("creation")) != str(made):
            return None
        return central

    def _rename(self, request: Request) -> Result:
        document = self._document(request)
        new_name = str({**request.body, **sent_values(request)}["new_name"])
        old = self._still_there(document)
        if old is None and self._lookup.fetch(document.doctype, new_name) is not None:
            return self._answers.record(request, Outcome(verdict=Verdict.APPLIED, name=new_name))
        if old is None:
            return self._booking.conflict(request, None)
        return self._not_there(request)

    def _create(self, request: Request) -> Result:
        central = self._answers.find_given(request)
        if central is not None:
            return self._answers.found_by_name(request, central)
        if mark_of(request) is not None or "name" in request.unique:
            # Where it was given its name, nothing that stands under another one is it.
            return self._not_there(request)
        doctype = str(request.resource_type)
        names = self._candidates(request)
        if names is None:
            return self._ask(
                request,
                f"Sent, but not answered. Too many {doctype} documents were made at the central since then to see "
                "whether it is among them. Look there, then retry or discard this request.",
            )
        others = self._lost_beside(request)
        mine, names = self._told_apart(request, names, others)
        if mine and len(mine) == len(names):
            # As many that equal it as were lost and equal each other: whichever is whose.
            alike = sum(self._answers.holds_create(other, mine[0]) for other in others)
            if len(names) <= 1 + alike:
                return self._answers.found_by_name(request, mine[0])
        if not names:
            return self._not_there(request)
        shown = ", ".join(names[:_CANDIDATES_SHOWN])
        return self._ask(
            request,
            f"Sent, but not answered. These {doctype} documents at the central may be it: {shown}. "
            "Look at them, then retry or discard this request.",
        )

    def _told_apart(
        self, request: Request, names: Sequence[str], others: Sequence[Request]
    ) -> tuple[list[Json], list[str]]:
        """The candidates that equal what this create sent, and the names that are left without those that one of
        the others made: they equal what that one sent."""
        mine: list[Json] = []
        left: list[str] = []
        for name in names:
            candidate = self._lookup.fetch(str(request.resource_type), name)
            if candidate is not None and self._answers.holds_create(request, candidate):
                mine.append(candidate)
            elif candidate is not None and any(
                self._answers.holds_create(each, candidate) for each in others
            ):
                continue
            left.append(name)
        return mine, left

    def _lost_beside(self, request: Request) -> list[Request]:
        """Other creates of the doctype that were sent to be named there, and are in doubt."""
        horizon = self._ports.config.horizon
        with self._store.transaction():
            doubts = self._store.doubts(self._store.now() + horizon, limit=_LOOKED_AT, horizon=horizon)
        return [
            other
            for other in doubts
            if other.id != request.id
            and other.resource_type == request.resource_type
            and other.operation is Operation.CREATE
            and other.wire is not None
            and "name" not in other.unique
        ]

    def _call(self, request: Request) -> Result:
        if request.repeatable:
            return self._again(_looked_up(request))
        return self._ask(
            request,
            "Sent, but not answered. Whether the call had its effect cannot be looked up; look at the central, "
            "then retry or discard it.",
        )

    def _ask(self, request: Request, message: str, *, error_type: str | None = None) -> Result:
        with self._store.transaction():
            asked = _looked_up(request).altered(error_type=error_type, error_message=message, unanswered=0)
            self._booking.save(
                move(asked, Status.NEEDS_ATTENTION, readiness=Readiness.READY, next_retry_at=None)
            )
        return Result.FAILURE

    def _document(self, request: Request) -> Document:
        with self._store.transaction():
            document = self._store.document(str(request.line))
        if document is None:
            raise LeaseLost(f"The document of request {request.id} is not known any more.")
        return document


_BY_OPERATION: Mapping[Operation, Callable[[Doubts, Request], Result]] = {
    Operation.CREATE: Doubts._create,
    Operation.UPDATE: Doubts._carries_version,
    Operation.SUBMIT: Doubts._carries_version,
    Operation.CANCEL: Doubts._carries_version,
    Operation.DELETE: Doubts._delete,
    Operation.RENAME: Doubts._rename,
    Operation.CALL: Doubts._call,
}


def _looked_up(request: Request) -> Request:
    """Whatever a push of it was to bring: it is made anew in the form in which it goes next."""
    return request.altered(wire=None) if is_pushed(request) else request
