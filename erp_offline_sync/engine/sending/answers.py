"""What an answer of the central means for the request that it answers.

Every verdict of the classifier has one function here, found by one table; nothing is recorded but under the run's
lease token. Source: semantics, "Delivery on a plain central".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..circles import completed_by, left_out
from ..classify import Outcome, Verdict, retry_after_seconds
from ..config import CONTENTIONS_FREE, QUEUED_WAIT, RESTAMPS, RETRY_AFTER_LIMIT, UNANSWERED_BOOKED
from ..deciding.resolution import Resolutions
from ..errors import CentralUnavailable, LocalRefused
from ..model import Attempt, Document, Json, Operation, Readiness, Request, Status
from ..names import write_back
from ..ordering import Placer
from ..paths import document_path
from ..ports import Ports
from ..steps import beside_name, step_after_rename
from ..transitions import begun_anew, move
from ..values import differences
from .booking import Booking, Result, with_note
from .knowledge import Knowledge
from .line import Line
from .lookup import Lookup
from .marks import MARK, mark_of
from .outgoing import DOCSTATUS, links_in_body, row_names
from .pushed import HALF_DONE, is_pushed, item_values, rows_arrived

__all__ = ["Answers", "only_closes", "sent_values"]

_LOCKED = "DocumentLockedError"
_NAMES_IT = frozenset({Operation.CREATE, Operation.RENAME})
"""After these the document has a name at the central that it did not have before."""


class Answers:
    """Records what became of a request that was sent, or looked up."""

    def __init__(
        self,
        ports: Ports,
        line: Line,
        lookup: Lookup,
        knowledge: Knowledge,
        booking: Booking,
        resolutions: Resolutions,
    ) -> None:
        self._ports = ports
        self._resolutions = resolutions
        self._store = ports.store
        self._line = line
        self._lookup = lookup
        self._knowledge = knowledge
        self._booking = booking
        self._placer = Placer(ports.store, ports.ids)

    def take_up(self, answered: Sequence[tuple[Request, Outcome]]) -> None:
        """These are recorded next in this transaction: what is asked of each, a store is asked of all at once."""
        if not answered:
            return
        self._store.take_up([request for request, _ in answered])
        names: dict[str, set[str]] = {}
        for request, outcome in answered:
            if request.operation in _NAMES_IT and outcome.document is not None and request.resource_type:
                names.setdefault(request.resource_type, set()).add(str(outcome.document.get("name")))
        for doctype, some in names.items():
            self._store.documents_at_central(doctype, some)

    def record(self, request: Request, outcome: Outcome) -> Result:
        """What the answer means for the request. Raises CentralUnavailable where a look-up failed."""
        if outcome.effect_unknown:
            return self._in_doubt(request, outcome)
        return _BY_VERDICT[outcome.verdict](self, request, outcome)

    def _applied(self, request: Request, outcome: Outcome) -> Result:
        wanted = _wanted(request)
        answered, name, expected = outcome.document, outcome.name, None
        to_be_read = not only_closes(request, outcome)
        if to_be_read and outcome.read_back:
            return self.applied_before(request, name, outcome.version)
        if to_be_read:
            # A submit answers a version that is old already, and a long one is only queued: read it back.
            with self._store.transaction():
                known = self._store.document(request.line) if request.line else None
            doctype = known.doctype if known else str(request.resource_type)
            central_name = name or (known.central_name if known else None) or request.resource_id
            expected = answered
            try:
                answered = self._lookup.fetch(doctype, str(central_name)) or answered
                if expected is None and known is not None and answered is not None:
                    expected = _renamed(known, answered)
            except CentralUnavailable:
                # It had its effect all the same; the version is read before the next request about it.
                answered = None if answered is None else {**answered, "modified": None}
        if wanted and answered is not None and _docstatus(answered) != wanted:
            return self._deferred(request, outcome, answered)
        return self.close(
            request, outcome.verdict.value, answered=answered, name=name, outcome=outcome, expected=expected
        )

    def applied_before(self, request: Request, name: str | None, version: str | None) -> Result:
        """The central has a receipt for it: this was its name and version then. Raises CentralUnavailable."""
        with self._store.transaction():
            document = self._store.document(request.line) if request.line else None
        if document is None or request.operation in (Operation.DELETE, Operation.CALL):
            return self.close(request, "applied before")
        known = str(name or document.central_name or document.local_name)
        answered = self._lookup.fetch(document.doctype, known)
        wanted = _wanted(request)
        if answered is not None and request.operation is Operation.CREATE and _docstatus(answered) < wanted:
            # The receipt is of the insert; the submit was only queued there.
            return self._deferred(request, Outcome(verdict=Verdict.LATER, name=known), answered)
        renamed = answered is not None and request.operation is Operation.RENAME
        base = _renamed(document, answered or {}) if renamed else document.base or {}
        after = {**base, **_sent(request, base), "name": known, "modified": version}
        after["docstatus"] = wanted or _docstatus(base)
        if answered is None:
            # It is gone since, which the next request about it finds out.
            answered = {"name": known, "modified": version}
        expected = None if answered.get("modified") == version else after
        return self.close(request, "applied before", answered=answered, name=known, expected=expected)

    def _later(self, request: Request, outcome: Outcome) -> Result:
        """The companion has not done it yet: the same bytes again after a while, no attempt."""
        return self._booking.wait(
            self._booking.noted(request, outcome), Status.RETRY, self._asked_to_wait(outcome)
        )

    def _at_work(self, request: Request, outcome: Outcome) -> Result:
        noted = self._booking.noted(request, outcome)
        return self._booking.wait(noted, Status.IN_DOUBT, self._asked_to_wait(outcome))

    def _uncertain(self, request: Request, outcome: Outcome) -> Result:
        """There will be no receipt for it, whatever happened, and under this key it is never applied again: the
        document is looked up. A call cannot be."""
        outcome = replace(outcome, exc_type=HALF_DONE)
        if request.operation is Operation.CALL:
            return self._booking.needs_attention(request.altered(may_have_arrived=True), outcome)
        noted = self._booking.noted(request, outcome)
        return self._booking.doubted(noted.altered(may_have_arrived=True))

    def found_done(self, request: Request) -> Result | None:
        """Closed, or a conflict, by how its document stands at the central. None where what an update, submit or cancel
        was to bring is not there."""
        document, central = self._knowledge.stands(request)
        if central is None:
            return self._booking.conflict(request, None)
        if not self._arrived(request, document, central):
            return None
        return self._arrived_before(request, document, central, Outcome(verdict=Verdict.APPLIED))

    def _asked_to_wait(self, outcome: Outcome) -> float:
        low = self._ports.config.base_seconds
        asked = retry_after_seconds(
            outcome.retry_after, now=self._booking.now(), low=low, high=RETRY_AFTER_LIMIT
        )
        return low * QUEUED_WAIT if asked is None else asked

    def _deferred(self, request: Request, outcome: Outcome, answered: Json) -> Result:
        """The central queued the submit or cancel: looked at again later, no attempt. What was created is there
        and named; from now on only its submit is wanted."""
        later = self._booking.noted(request, replace(outcome, message="the central has queued it"))
        with self._store.transaction():
            document = self._store.document(request.line) if request.line else None
            if request.operation is Operation.CREATE and document is not None:
                document = self._known(request, document, answered, outcome.name, None)
                self._store.put_document(document)
                later = begun_anew(
                    later,
                    self._ports.ids.new_key(),
                    operation=Operation.SUBMIT,
                    method="PUT",
                    path=document_path(document.doctype, document.central_name),
                    body={},
                    unique={},
                    differences=self._differences(request, answered) or None,
                    error_message=later.error_message,
                )
            return self._booking.wait(later, Status.RETRY, self._ports.config.base_seconds * QUEUED_WAIT)

    def close(
        self,
        request: Request,
        event: str,
        *,
        answered: Json | None = None,
        name: str | None = None,
        outcome: Outcome | None = None,
        expected: Json | None = None,
    ) -> Result:
        """Synced: what the central answered is what we know of the document from now on. `expected`: how it
        should stand where the answer is a later look at it, with other people's changes perhaps."""

        def closed(refused: str | None) -> Result:
            return self._closed(
                request, event, answered, name, outcome=outcome, expected=expected, refused=refused
            )

        try:
            return closed(None)
        except LocalRefused as refused:
            # The central has it all the same.
            return closed(str(refused))

    def _closed(
        self,
        request: Request,
        event: str,
        answered: Json | None,
        name: str | None,
        *,
        outcome: Outcome | None,
        expected: Json | None,
        refused: str | None,
    ) -> Result:
        """One transaction. `refused`: why the branch's document did not take the result of a decision."""
        with self._store.transaction():
            now = self._store.now()
            document = self._store.document(request.line) if request.line else None
            if document is not None:
                document = self._known(request, document, answered, name, expected)
                if request.operation in _NAMES_IT and not request.body.get("merge"):
                    self._vanished_before(document)
                self._store.put_document(document)
            noted = with_note(
                request, Attempt(at=now, event=event, status=outcome.status if outcome else None)
            )
            going_on = None if document is None else self._going_on(noted, document)
            if going_on is not None:
                self._booking.save(move(going_on, Status.PENDING, readiness=Readiness.RECHECK))
                self._store.release(request.id)
                return Result.NONE
            if request.carries and document is not None:
                self._resolutions.arrived(request, document, answered, refused=refused)
            self._booking.save(
                move(
                    noted,
                    Status.SYNCED,
                    closed_at=now,
                    resource_version=document.version if document else None,
                    differences=self._differences(request, answered) or request.differences,
                    error_type=None,
                    error_message=None,
                    next_retry_at=None,
                )
            )
            self._store.release(request.id)
        self._name_here(request)
        return Result.SUCCESS

    def _going_on(self, request: Request, document: Document) -> Request | None:
        """The update that takes along what it could not; None where that was all."""
        left, values = left_out(request), {}
        if left:
            return completed_by(request, document, left, self._ports.ids.new_key())
        if request.operation is Operation.RENAME:
            values = beside_name(request.body)
        if not values:
            return None
        return step_after_rename(request, document, values, key=self._ports.ids.new_key())

    def _name_here(self, request: Request) -> None:
        """The policy may want the central's name here as well; where that is refused the document keeps its own."""
        policy = self._ports.policies.policy(str(request.resource_type))
        if request.operation is not Operation.CREATE or not request.line or not policy.names_written_back:
            return
        if not write_back(self._ports, self._placer, request.line):
            with self._store.transaction():
                refused = Attempt(at=self._store.now(), event="not renamed here")
                self._store.replace(with_note(self._store.get(request.id) or request, refused))

    def _known(
        self,
        request: Request,
        document: Document,
        answered: Json | None,
        name: str | None,
        expected: Json | None,
    ) -> Document:
        if request.operation is Operation.RENAME and name:
            # Read again before the next change, unless that was done just now.
            document = replace(
                document, central_name=name, version=None if answered is None else document.version
            )
        if answered is None or answered.get("name") is None:
            return document
        known = self._knowledge.as_known(document, answered, expected or answered, version=document.version)
        return replace(
            document,
            central_name=str(answered["name"]),
            rows=row_names(request.body, answered, document.rows),
            touched_at=self._store.now(),
            **known,
        )

    def _vanished_before(self, document: Document) -> None:
        """Its name was free at the central: what was known under it is not there any more."""
        names = [document.central_name] if document.central_name else []
        for other in self._store.documents_at_central(document.doctype, names):
            if other.id != document.id:
                self._store.put_document(replace(other, central_name=None, version=None, base=None, rows={}))

    def _arrived_before(
        self, request: Request, document: Document, central: Json, outcome: Outcome
    ) -> Result:
        """An earlier send of it had its effect, and perhaps somebody wrote after that."""
        base = document.base
        wanted = DOCSTATUS.get(request.operation, (base or {}).get("docstatus"))
        expected = None if base is None else {**base, **sent_values(request), "docstatus": wanted}
        return self.close(request, "arrived before", answered=central, outcome=outcome, expected=expected)

    def _differences(self, request: Request, answered: Json | None) -> dict[str, list[Any]]:
        if answered is None or request.operation in (Operation.RENAME, Operation.DELETE, Operation.CALL):
            return {}
        schema = self._ports.policies.schema(str(request.resource_type))
        linked = {link.path.split(".", 1)[0] for link in links_in_body(request)}
        sent = {field: value for field, value in request.body.items() if field not in linked}
        return differences(sent, answered, schema)

    def _stale(self, request: Request, outcome: Outcome) -> Result:
        """The version moved: no conflict yet. Perhaps it is our own earlier send, perhaps no synced field moved."""
        document, central = self._knowledge.stands(request, outcome.stands)
        if central is None:
            return self._booking.conflict(request, None)
        wanted = DOCSTATUS.get(request.operation)
        if (request.sends > 1 or request.may_have_arrived or wanted is not None) and self._arrived(
            request, document, central
        ):
            return self._arrived_before(request, document, central, outcome)
        if self._knowledge.moved(document, central):
            return self._booking.conflict(request, central)
        if request.restamps >= RESTAMPS:
            return self._booking.book(request.altered(restamps=0, wire=None, refused=True), outcome)
        self._knowledge.learn(
            request, document, version=str(central["modified"]), base=central, touched_at=self._booking.now()
        )
        with self._store.transaction():
            again = self._booking.noted(request, outcome).altered(
                restamps=request.restamps + 1, wire=None, refused=True
            )
            self._booking.save(move(again, Status.PENDING, readiness=Readiness.READY))
        return Result.NONE

    def found_moved(self, request: Request, central: Json) -> Result:
        """Looked at before it goes, the document has changed there: by an earlier send of it, or by others."""
        document, _ = self._knowledge.stands(request, central)
        if self.arrived_earlier(request, document, central):
            return self._arrived_before(request, document, central, Outcome(verdict=Verdict.APPLIED))
        return self._booking.conflict(request, central)

    def arrived_earlier(self, request: Request, document: Document, central: Json) -> bool:
        """Whether an earlier send of it, of which nothing was heard, made the document what it is there."""
        sent_before = request.wire is not None and (request.sends > 0 or request.may_have_arrived)
        return sent_before and self._arrived(request, document, central)

    def _said_to_conflict(self, request: Request, outcome: Outcome) -> Result:
        """A status alone, without a type, is the call's own word only; of a document it is looked at what is there."""
        if request.operation is Operation.CALL:
            return self._booking.conflict(request, None)
        if request.operation is Operation.CREATE:
            return self._taken(request, outcome)
        return self._stale(request, outcome)

    def _missing(self, request: Request, outcome: Outcome) -> Result:
        """Gone; but anything else that code over there looks for is answered in the same words, so it is looked up.

        Where the document is there, something else was missing, perhaps for a moment only: ERPNext says this of a
        submit that makes the first stock balance of an item beside another one that makes it.
        """
        if request.operation is Operation.DELETE:
            return self.close(request, "gone already", outcome=outcome)
        _, central = self._knowledge.stands(request)
        if central is None:
            return self._booking.conflict(request, None)
        return self._wait_for_creator(request, outcome) or self._refused(request, outcome)

    def _taken(self, request: Request, outcome: Outcome) -> Result:
        """A name or unique value is taken: by this very document, or by another."""
        if request.operation is not Operation.CREATE:
            return self._refused(request, outcome)
        central = self.find_given(request)
        if central is None:
            return self._booking.needs_attention(self._booking.noted(request, outcome), outcome)
        return self.found_by_name(request, central)

    def found_by_name(self, request: Request, central: Json) -> Result:
        """A create's name or unique value belongs to this document: ours where it is equal, else a conflict."""
        message = self._knowledge.anothers(str(request.resource_type), str(central["name"]), request.line)
        if message:
            return self._booking.needs_attention(request, Outcome(verdict=Verdict.TAKEN, message=message))
        mark = mark_of(request)
        if (mark and central.get(MARK) == mark) or self.holds_create(request, central):
            return self.close(request, "arrived before", answered=central)
        return self._booking.conflict(request, central)

    def find_given(self, request: Request) -> Json | None:
        """The central's document under the mark, a name or unique value that we gave."""
        doctype, mark = str(request.resource_type), mark_of(request)
        for field, value in {**({MARK: mark} if mark else {}), **request.unique}.items():
            name = (
                str(value)
                if field == "name"
                else next(iter(self._lookup.find(doctype, {field: value})), None)
            )
            found = self._lookup.fetch(doctype, name) if name else None
            if found is not None:
                return found
        return None

    def _wrong_state(self, request: Request, outcome: Outcome) -> Result:
        """Already in the wanted state: applied. Otherwise both sides moved the document."""
        if request.operation is Operation.CREATE:
            return self._refused(request, outcome)
        document, central = self._knowledge.stands(request)
        if central is not None and self._arrived(request, document, central):
            return self._arrived_before(request, document, central, outcome)
        if central is None and request.operation is Operation.DELETE:
            return self.close(request, "gone already", outcome=outcome)
        return self._booking.conflict(self._booking.noted(request, outcome), central)

    def _refused(self, request: Request, outcome: Outcome) -> Result:
        """An attempt, but for a submit, cancel or delete that turns out to be done already."""
        return self._done_already(request, outcome) or self._booking.book(
            request.altered(refused=True), outcome
        )

    def _done_already(self, request: Request, outcome: Outcome) -> Result | None:
        """A refused submit, cancel or delete is looked up before it counts as refused."""
        if request.operation not in (*DOCSTATUS, Operation.DELETE) or not request.line:
            return None
        document, central = self._knowledge.stands(request)
        if central is None and request.operation is Operation.DELETE:
            return self.close(request, "gone already", outcome=outcome)
        if central is not None and self._arrived(request, document, central):
            return self._arrived_before(request, document, central, outcome)
        return None

    def _refused_at_once(self, request: Request, outcome: Outcome) -> Result:
        return self._done_already(request, outcome) or self._booking.booked(
            self._booking.noted(request, outcome).altered(refused=True), outcome, attempts=1, at_once=True
        )

    def link_missing(self, request: Request, outcome: Outcome) -> Result:
        """Waits for the request that creates what it links to, where the outbox has one that does not wait for it."""
        return self._wait_for_creator(request, outcome) or self._refused_at_once(request, outcome)

    def _wait_for_creator(self, request: Request, outcome: Outcome) -> Result | None:
        with self._store.transaction():
            creator = self._creator(request)
        if creator is None:
            return None
        return self.wait_for(self._booking.noted(request, outcome).altered(refused=True), creator)

    def wait_for(self, request: Request, creator: Request, *, first: Request | None = None) -> Result:
        """What it links to is created by that one. `first`, which waits for this one in a circle, goes before both."""
        with self._store.transaction():
            why = f"{creator.resource_type} {creator.resource_id}, which it links to"
            waiting = move(request.altered(wire=None), Status.WAITING, readiness=Readiness.READY)
            self._booking.save(waiting.altered(waits_for=creator.id, waits_why=why))
            self._placer.raise_rank(creator, request.rank)
            if first is not None:
                current = self._store.get(first.id) or first
                self._store.replace(move(current, Status.PENDING, readiness=Readiness.RECHECK))
        return Result.NONE

    def _creator(self, request: Request) -> Request | None:
        creators = (self._placer.open_creator(link, request) for link in links_in_body(request))
        return next((creator for creator in creators if creator is not None), None)

    def _contention(self, request: Request, outcome: Outcome) -> Result:
        """A deadlock or lock time-out: the first three in a row are no attempt. A document that the central is still
        at work on is waited for, however long that takes."""
        if outcome.exc_type == _LOCKED:
            later = self._booking.noted(request, outcome).altered(
                contentions=request.contentions + 1, refused=True
            )
            return self._booking.wait(later, Status.RETRY, self._booking.delay(request.contentions))
        if request.contentions >= CONTENTIONS_FREE:
            return self._booking.book(request.altered(contentions=0, refused=True), outcome)
        later = self._booking.noted(request, outcome).altered(
            contentions=request.contentions + 1, refused=True
        )
        return self._booking.wait(
            later, Status.RETRY, self._ports.config.base_seconds * self._ports.ids.random()
        )

    def _not_now(self, request: Request, outcome: Outcome) -> Result:
        self._line.trip(outcome, request_id=request.id)
        return self._booking.give_back(request, outcome)

    def _not_sent(self, request: Request, outcome: Outcome) -> Result:
        """The bytes did not leave; what never left is made anew when it goes."""
        self._line.trip(outcome)
        unsent = request.altered(sends=request.sends - 1)
        if unsent.sends == 0:
            unsent = unsent.altered(sent_at=None, wire=None)
        return self._booking.give_back(unsent, outcome)

    def _server_error(self, request: Request, outcome: Outcome) -> Result:
        """Booked on the request only when the central then answers the probe; else it is the destination's."""
        if not self._line.probe():
            return self._booking.give_back(request, outcome)
        self._line.request_failed(request.id, outcome)
        return self._booking.book(request.altered(refused=True), outcome)

    def failed_perhaps(self, request: Request, outcome: Outcome) -> Result:
        """A push of this one request ended in a server error: it counts like any, and may have had its effect all
        the same, so that its receipt is asked before it goes again."""
        noted = self._booking.noted(request, outcome)
        if not self._line.probe():
            return self._booking.doubted(noted)
        self._line.request_failed(request.id, outcome)
        failed = noted.altered(unanswered=noted.unanswered + 1)
        return self._booking.booked(failed, outcome, attempts=1, waiting=Status.IN_DOUBT)

    def _configuration(self, request: Request, outcome: Outcome) -> Result:
        """The destination's, unless its probe is good: then it is what this one request asks for, and may not stop
        the others. A queued call to a place that is not there is the call's own fault."""
        if not self._line.probe():
            self._line.trip(outcome, request_id=request.id)
            return self._booking.give_back(request, outcome)
        if request.operation is Operation.CALL:
            return self._refused_at_once(request, outcome)
        self._line.request_failed(request.id, outcome)
        return self._booking.book(request.altered(refused=True), outcome)

    def _in_doubt(self, request: Request, outcome: Outcome) -> Result:
        """Sent, outcome unknown. Unanswered three times with a good probe after each, each counts an attempt."""
        request = self._booking.noted(request, outcome)
        if outcome.retry_after is not None:
            self._line.trip(outcome, request_id=request.id)
            return self._booking.doubted(request)
        if not self._line.probe():
            return self._booking.doubted(request)
        self._line.request_failed(request.id, outcome)
        unanswered = request.altered(unanswered=request.unanswered + 1)
        if unanswered.unanswered < UNANSWERED_BOOKED:
            return self._booking.doubted(unanswered)
        attempts = UNANSWERED_BOOKED if unanswered.unanswered == UNANSWERED_BOOKED else 1
        return self._booking.booked(unanswered, outcome, attempts=attempts, waiting=Status.IN_DOUBT)

    def _arrived(self, request: Request, document: Document, central: Json) -> bool:
        """The wanted state and all sent fields are found at the central."""
        if request.operation not in (*DOCSTATUS, Operation.UPDATE):
            return False
        names = {} if request.wire is None else sent_values(request)
        wanted = DOCSTATUS.get(request.operation)
        if is_pushed(request) and not rows_arrived(request, central):
            return False
        return self._lookup.holds(central, names, document.doctype, wanted)

    def holds_create(self, request: Request, central: Json) -> bool:
        docstatus = request.body.get("docstatus") or 0
        return self._lookup.holds(central, sent_values(request), str(request.resource_type), docstatus)


def _renamed(document: Document, answered: Json) -> Json:
    """What was known of a document, after its rename: a field that it is named by went along."""
    old, new = document.central_name, answered.get("name")
    return {
        field: new if value == old and answered.get(field) == new else value
        for field, value in (document.base or {}).items()
    }


def only_closes(request: Request, outcome: Outcome) -> bool:
    """Whether it was applied, and all that the answer means is known without a look at the central."""
    if outcome.verdict is not Verdict.APPLIED or outcome.effect_unknown:
        return False
    if outcome.read_back:
        return outcome.document is not None or request.operation in (Operation.DELETE, Operation.CALL)
    return request.operation is not Operation.RENAME and not (
        _wanted(request) and outcome.document is not None
    )


def _wanted(request: Request) -> int:
    """The docstatus that the request is to bring about; 0 where it moves none."""
    submits = request.operation is Operation.CREATE and str(request.body.get("docstatus")) == "1"
    return DOCSTATUS.get(request.operation, int(submits))


def _docstatus(document: Json) -> int:
    return int(document.get("docstatus") or 0)


def _sent(request: Request, base: Json) -> Json:
    """What the request made of these fields, tables included."""
    return item_values(request, base) if is_pushed(request) else sent_values(request)


_NOT_VALUES = frozenset({"modified", "docstatus", "name", MARK})


def sent_values(request: Request) -> Json:
    """The values that went over the line, in the central's names; of tables that went as patches, nothing."""
    if is_pushed(request):
        return item_values(request)
    body = json.loads(request.wire.body) if request.wire and request.wire.body else {}
    return {field: value for field, value in body.items() if field not in _NOT_VALUES}


_Record = Callable[[Answers, Request, Outcome], Result]

_BY_VERDICT: Mapping[Verdict, _Record] = {
    Verdict.APPLIED: Answers._applied,
    Verdict.STALE: Answers._stale,
    Verdict.MISSING: Answers._missing,
    Verdict.TAKEN: Answers._taken,
    Verdict.WRONG_STATE: Answers._wrong_state,
    Verdict.LINK_MISSING: Answers.link_missing,
    Verdict.CONFLICT: Answers._said_to_conflict,
    Verdict.REFUSED: Answers._refused,
    Verdict.REFUSED_AT_ONCE: Answers._refused_at_once,
    Verdict.NOT_NOW: Answers._not_now,
    Verdict.CREDENTIALS: Answers._not_now,
    Verdict.CONTENTION: Answers._contention,
    Verdict.SERVER_ERROR: Answers._server_error,
    Verdict.NOT_SENT: Answers._not_sent,
    Verdict.UNANSWERED: Answers._in_doubt,
    Verdict.CONFIGURATION: Answers._configuration,
    Verdict.LATER: Answers._later,
    Verdict.AT_WORK: Answers._at_work,
    Verdict.UNCERTAIN: Answers._uncertain,
}
