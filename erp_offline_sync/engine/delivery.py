"""One request on its way: prepared, marked, sent by the run, and its answer recorded.

`prepare` fixes what is sent, at the first send only; repeats send the same bytes. Every verdict of the classifier
has one function here, found by one table. Nothing is recorded but under the run's lease token.
Source: semantics, "Delivery on a plain central".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from typing import Any

from .backoff import delay
from .classify import Outcome, Verdict
from .config import CONTENTIONS_FREE, HISTORY_KEPT, QUEUED_WAIT, RESTAMPS, UNANSWERED_BOOKED
from .errors import CentralUnavailable, LeaseLost
from .line import Line
from .lookup import Lookup
from .model import Attempt, Document, Json, Link, Operation, Readiness, Request, Status
from .names import in_central_names, local_document
from .ordering import Placer
from .outgoing import DOCSTATUS, build_wire, has_rows, links_in_body, row_names
from .paths import document_path
from .ports import Ports
from .resolution import Resolutions
from .transitions import OPEN, begun_anew, move
from .values import differences, moved_fields

__all__ = ["Delivery", "Result", "sent_values", "with_note"]


_LOCKED = "DocumentLockedError"


class Result(str, Enum):
    """What became of one request in this run."""

    SUCCESS = "success"
    FAILURE = "failure"
    CONFLICT = "conflict"
    NONE = "none"


class _Held(Exception):
    """The request cannot be sent as it is: a person is needed. Nothing left this site."""


class _Gone(Exception):
    """The document that the request is about is not at the central."""


class _Unmade(Exception):
    """What it links to is created by a later request."""


class _Moved(Exception):
    """The central's document changed in a synced field; `central` is how it stands."""

    def __init__(self, central: Json) -> None:
        super().__init__("moved")
        self.central = central


def with_note(request: Request, attempt: Attempt) -> Request:
    return replace(request, history=(*request.history, attempt)[-HISTORY_KEPT:])


class Delivery:
    """The steps of a run with one request. `token` is the lease's; the run sets it."""

    def __init__(self, ports: Ports, line: Line, lookup: Lookup, resolutions: Resolutions) -> None:
        self._ports = ports
        self._store = ports.store
        self._line = line
        self._lookup = lookup
        self._resolutions = resolutions
        self._placer = Placer(ports.store, ports.ids)
        self.token = 0

    # before it is sent

    def prepare(self, request: Request) -> Request | Result:
        """The request with its bytes, or what became of it where nothing need or can be sent.

        Raises CentralUnavailable where a look-up got no proper answer.
        """
        if request.wire is not None and request.operation not in (Operation.DELETE, Operation.RENAME):
            return request  # these two carry no version: what they are about is compared before each send
        with self._store.transaction():
            document = self._store.document(request.line) if request.line else None
        try:
            return self._with_wire(request, document)
        except _Held as held:
            return self._needs_attention(request, Outcome(verdict=Verdict.REFUSED_AT_ONCE, message=str(held)))
        except _Unmade:
            return self._link_missing(request, Outcome(verdict=Verdict.LINK_MISSING))
        except _Gone:
            if request.operation is Operation.DELETE:
                return self._close(request, "gone already")
            return self.conflict(request, None)
        except _Moved as moved:
            return self.conflict(request, moved.central)

    def _with_wire(self, request: Request, document: Document | None) -> Request:
        if document is None or request.operation is Operation.CALL:
            return _built(request, None)
        if request.operation is Operation.CREATE:
            return _built(request, document, names=self._names(request))
        if request.operation is Operation.RENAME and request.body.get("merge") and not request.overwrite:
            raise _Held("Merging two documents cannot be undone: confirm it with Retry, or discard it.")
        if not document.linked:
            document = self._adopt_own(request, document)
        central, version = None, self._version(request, document)
        if (
            version is None
            or has_rows(request.body)
            or request.operation in (Operation.DELETE, Operation.RENAME)
        ):
            central = self._lookup.fetch(document.doctype, str(document.central_name))
            if central is None:
                raise _Gone
            document, version = self._under_version(request, document, central, version)
        built = _built(request, document, names=self._names(request), version=version, central=central)
        return replace(built, resource_version=version)

    def _version(self, request: Request, document: Document) -> str | None:
        """Our own newer answer comes before the version that the caller knew."""
        given = request.resource_version
        if given and not (document.touched_at and document.touched_at >= request.created_at):
            return given
        return document.version

    def _under_version(
        self, request: Request, document: Document, central: Json, version: str | None
    ) -> tuple[Document, str]:
        """The document as it stands, where no synced field of it moved since the version we know."""
        now = str(central.get("modified") or "")
        unknown = version is None and document.base is None
        if now != version and not (unknown or request.overwrite) and self._moved(document, central):
            raise _Moved(central)
        return self._learn(request, document, version=now, base=central), now

    def _adopt_own(self, request: Request, document: Document) -> Document:
        """A document older than the app, before its first change: is the one of its name the same?

        Its name is the one it had then: a later rename has moved `local_name` already.
        """
        name = request.resource_id or document.local_name
        central = self._lookup.fetch(document.doctype, name)
        if central is None:
            if request.operation is Operation.DELETE:
                raise _Gone
            raise _Held(f"{document.doctype} {name} is not at the central. Send it whole, or discard this.")
        message = self._is_anothers(document.doctype, name, document.id)
        if message:
            raise _Held(message)
        before = self._before(document, name, central)
        if before is None:
            schema = self._ports.policies.schema(document.doctype)
            based = {field: central.get(field) for field in request.base or {}}
            if moved_fields(request.base or {}, based, schema) and not request.overwrite:
                raise _Moved(central)
            return self._learn(request, document, central_name=name)
        if not self._lookup.same_document(before, central, document.doctype):
            raise _Moved(central)
        return self._link(request, document, before, central)

    def _adopt_target(self, request: Request, link: Link, document: Document) -> str:
        """The central's name of a document that is linked to and was never sent."""
        with self._store.transaction():
            if self._creator_of(link, request) is not None:
                raise _Unmade
        central = self._lookup.fetch(link.doctype, link.name)
        if central is None:
            raise _Held(f"{link.doctype} {link.name}, which it links to, is not at the central.")
        message = self._is_anothers(link.doctype, link.name, document.id)
        if message:
            raise _Held(message)
        before = self._before(document, link.name, central)
        if before is not None and not self._lookup.same_document(before, central, link.doctype):
            raise _Held(f"{link.doctype} {link.name}, which it links to, is another document at the central.")
        return str(self._link(request, document, before or central, central).central_name)

    def _is_anothers(self, doctype: str, name: str, line: str | None) -> str | None:
        """Why the central's document of that name cannot be the one of this line."""
        other = self._lookup.other_owner(doctype, name, line)
        if other is None:
            return None
        return f"{doctype} {name} at the central is {other.local_name} here. Rename one of them, then retry."

    def _link(self, request: Request, document: Document, before: Json, central: Json) -> Document:
        """The same document, as it was here before its open changes. Where the central's differs already, its
        version counts as not known, so that its next change finds out."""
        known = self._as_known(document, central, before, version=None)
        return self._learn(
            request, document, central_name=str(central["name"]), rows=row_names(before, central, {}), **known
        )

    def _as_known(
        self, document: Document, central: Json, expected: Json, *, version: str | None
    ) -> dict[str, Any]:
        """Version and base after a look: the central's where it stands as expected. Otherwise somebody changed
        it there, which is found when the next request about it is sent."""
        schema = self._ports.policies.schema(document.doctype)
        same = (expected.get("docstatus") or 0) == (central.get("docstatus") or 0)
        if same and not moved_fields(expected, central, schema):
            return {"version": str(central.get("modified") or "") or None, "base": central}
        return {"version": version, "base": {**expected, "name": central["name"]}}

    def _before(self, document: Document, name: str, central: Json) -> dict[str, Any] | None:
        """The branch's document as it was before its open requests, in the central's names; None where the branch
        keeps no documents. `central` tells which field is the one that it is named by."""
        with self._store.transaction():
            local = self._local(document)
            later = self._store.open_in_line(document.id)
            last = later[0] if later else None
            if local is None and last is not None and last.operation is Operation.DELETE:
                local = last.base
            if local is None:
                return None
            before = {**local, "name": name}
            for request in later:
                moved = (
                    {"docstatus": DOCSTATUS[request.operation] - 1} if request.operation in DOCSTATUS else {}
                )
                before |= {**(request.base or {}), **moved}
                if request.operation is Operation.RENAME:
                    new_name = request.body["new_name"]
                    named_by = [field for field, value in before.items() if value == new_name]
                    before |= {field: name for field in named_by if central.get(field) == name}
            return in_central_names(self._store, before, self._ports.policies.schema(document.doctype))

    def _names(self, request: Request) -> dict[str, str]:
        """The central's names of what the body links to, by path."""
        names: dict[str, str] = {}
        for link in links_in_body(request):
            with self._store.transaction():
                target = self._store.document(link.line) if link.line else None
            if target is None or target.linked:
                names[link.path] = (target.central_name if target else None) or link.name
            elif self._ports.policies.policy(link.doctype).same_names:
                names[link.path] = link.name
            else:
                names[link.path] = self._adopt_target(request, link, target)
        return names

    def _moved(self, document: Document, central: Json) -> bool:
        """Whether the central's document changed in a way that the branch does not have as well."""
        base = document.base
        if not self._lookup.moved(document, central):
            return False
        if base is None or (base.get("docstatus") or 0) != (central.get("docstatus") or 0):
            return True
        schema = self._ports.policies.schema(document.doctype)
        with self._store.transaction():
            local = self._local(document)
            ours = None if local is None else in_central_names(self._store, local, schema)
        fields = moved_fields(base, central, schema)
        return ours is None or not set(fields).isdisjoint(moved_fields(ours, central, schema))

    def _local(self, document: Document) -> Json | None:
        """The branch's document under the name that it has now: a rename may just have been saved."""
        self._placer.place_all()
        current = self._store.document(document.id) or document
        return local_document(self._ports, current)

    def _learn(self, request: Request, document: Document, **changes: Any) -> Document:
        """Keep what the central said of a document, under the lease. What was placed meanwhile stays."""
        with self._store.transaction():
            current = self._store.get(request.id)
            if current is None or current.lease_token != self.token:
                raise LeaseLost("Another run took over this request.")
            learned = replace(self._store.document(document.id) or document, **changes)
            self._store.put_document(learned)
        return learned

    def mark(self, request: Request) -> Request:
        """Written in a commit of its own, just before the bytes leave."""
        with self._store.transaction():
            marked = move(
                request, Status.IN_FLIGHT, sent_at=self._store.now(), sends=request.sends + 1, refused=False
            )
            self.save(marked)
        return marked

    # after it was answered

    def record(self, request: Request, outcome: Outcome) -> Result:
        """What the answer means for the request. Raises CentralUnavailable where a look-up failed."""
        if outcome.effect_unknown:
            return self._in_doubt(request, outcome)
        return _BY_VERDICT[outcome.verdict](self, request, outcome)

    def give_back(self, request: Request, outcome: Outcome | None = None) -> Result:
        """To be sent again when the destination can be used: no attempt."""
        answered = outcome is not None and outcome.verdict is not Verdict.NOT_SENT
        given_back = replace(self._noted(request, outcome), refused=answered or request.refused)
        with self._store.transaction():
            self.save(move(given_back, Status.PENDING, readiness=Readiness.READY))
        return Result.NONE

    def look_failed(self, request_id: str, outcome: Outcome, *, doubt: bool = False) -> Result:
        """A look-up for it got no proper answer. With a good probe it is this request that asks for what cannot be
        looked at; it counts like a send that was answered so, and does not stop the others."""
        with self._store.transaction():
            request = self._store.get(request_id)
        if request is None or request.lease_token != self.token:
            raise LeaseLost("Another run took over this request.")
        noted = self._noted(request, outcome)
        waiting = Status.IN_DOUBT if doubt else Status.RETRY
        if outcome.verdict in _DESTINATIONS or outcome.retry_after is not None:
            self._line.trip(outcome, request_id=request_id)
            return self._stay(noted, doubt=doubt)
        if not self._line.probe():
            return self._stay(noted, doubt=doubt)
        self._line.request_failed(request_id, outcome)
        if outcome.effect_unknown:
            unanswered = replace(noted, unanswered=noted.unanswered + 1)
            if unanswered.unanswered < UNANSWERED_BOOKED:
                return self._stay(unanswered, doubt=doubt)
            return self._booked(unanswered, outcome, attempts=1, waiting=waiting)
        at_once = outcome.verdict is Verdict.REFUSED_AT_ONCE
        return self._booked(noted, outcome, attempts=1, at_once=at_once, waiting=waiting)

    def _stay(self, request: Request, *, doubt: bool) -> Result:
        """As before the look-up; a doubt waits until something else was tried."""
        if not doubt:
            return self.give_back(request)
        probe_at = self._line.breaker.next_probe_at
        with self._store.transaction():
            later = (probe_at or self._store.now()) + timedelta(seconds=self._ports.config.base_seconds)
            self.save(move(request, Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=later))
        return Result.NONE

    def book(self, request: Request, outcome: Outcome) -> Result:
        """One attempt; the last allowed one needs a person (G7)."""
        return self._booked(self._noted(request, outcome), outcome, attempts=1)

    def conflict(self, request: Request, central: Json | None) -> Result:
        """Both sides changed the document: recorded, and decided by hook or rule where one does."""
        noted = with_note(request, Attempt(at=self._now(), event="conflict"))
        conflict = self._resolutions.open(noted, central, token=self.token)
        self._resolutions.decide(conflict)
        return Result.CONFLICT

    def _applied(self, request: Request, outcome: Outcome) -> Result:
        wanted = DOCSTATUS.get(request.operation) or request.body.get("docstatus") or None
        answered, name, expected = outcome.document, outcome.name, None
        if request.operation is Operation.RENAME or (wanted and answered is not None):
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
        if wanted and answered is not None and (answered.get("docstatus") or 0) != wanted:
            return self._deferred(request, outcome, answered)
        return self._close(
            request, outcome.verdict.value, answered=answered, name=name, outcome=outcome, expected=expected
        )

    def _deferred(self, request: Request, outcome: Outcome, answered: Json) -> Result:
        """The central queued the submit or cancel: looked at again later, no attempt. What was created is there
        and named; from now on only its submit is wanted."""
        later = self._noted(request, replace(outcome, message="the central has queued it"))
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
            return self._wait(later, Status.RETRY, self._ports.config.base_seconds * QUEUED_WAIT)

    def _close(
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
        with self._store.transaction():
            now = self._store.now()
            document = self._store.document(request.line) if request.line else None
            if document is not None:
                document = self._known(request, document, answered, name, expected)
                self._store.put_document(document)
                if request.operation in (Operation.CREATE, Operation.RENAME) and not request.body.get(
                    "merge"
                ):
                    self._vanished_before(document)
            noted = with_note(
                request, Attempt(at=now, event=event, status=outcome.status if outcome else None)
            )
            self.save(
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
            self._store.set_links(request.id, request.seq, ())
            self._store.release(request.id)
        return Result.SUCCESS

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
        known = self._as_known(document, answered, expected or answered, version=document.version)
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
        return self._close(request, "arrived before", answered=central, outcome=outcome, expected=expected)

    def _differences(self, request: Request, answered: Json | None) -> dict[str, list[Any]]:
        if answered is None or request.operation in (Operation.RENAME, Operation.DELETE, Operation.CALL):
            return {}
        schema = self._ports.policies.schema(str(request.resource_type))
        linked = {link.path.split(".", 1)[0] for link in links_in_body(request)}
        sent = {field: value for field, value in request.body.items() if field not in linked}
        return differences(sent, answered, schema)

    def _stale(self, request: Request, outcome: Outcome) -> Result:
        """The version moved: no conflict yet. Perhaps it is our own earlier send, perhaps no synced field moved."""
        document, central = self._stands(request)
        if central is None:
            return self.conflict(request, None)
        wanted = DOCSTATUS.get(request.operation)
        if (request.sends > 1 or wanted is not None) and self._arrived(request, document, central):
            return self._arrived_before(request, document, central, outcome)
        if self._moved(document, central):
            return self.conflict(request, central)
        if request.restamps >= RESTAMPS:
            return self.book(replace(request, restamps=0, wire=None, refused=True), outcome)
        self._learn(request, document, version=str(central["modified"]), base=central, touched_at=self._now())
        with self._store.transaction():
            again = replace(
                self._noted(request, outcome), restamps=request.restamps + 1, wire=None, refused=True
            )
            self.save(move(again, Status.PENDING, readiness=Readiness.READY))
        return Result.NONE

    def _said_to_conflict(self, request: Request, outcome: Outcome) -> Result:
        """A status alone, without a type, is the call's own word only; of a document it is looked at what is there."""
        if request.operation is Operation.CALL:
            return self.conflict(request, None)
        if request.operation is Operation.CREATE:
            return self._taken(request, outcome)
        return self._stale(request, outcome)

    def _missing(self, request: Request, outcome: Outcome) -> Result:
        """Gone; but a document that this one links to is answered in the same words, so it is looked up."""
        if request.operation is Operation.DELETE:
            return self._close(request, "gone already", outcome=outcome)
        _, central = self._stands(request)
        return self.conflict(request, None) if central is None else self._link_missing(request, outcome)

    def _taken(self, request: Request, outcome: Outcome) -> Result:
        """A name or unique value is taken: by this very document, or by another."""
        if request.operation is not Operation.CREATE:
            return self._refused(request, outcome)
        central = self.find_given(request)
        if central is None:
            return self._needs_attention(self._noted(request, outcome), outcome)
        return self.found_by_name(request, central)

    def found_by_name(self, request: Request, central: Json) -> Result:
        """A create's name or unique value belongs to this document: ours where it is equal, else a conflict."""
        message = self._is_anothers(str(request.resource_type), str(central["name"]), request.line)
        if message:
            return self._needs_attention(request, Outcome(verdict=Verdict.TAKEN, message=message))
        if self.holds_create(request, central):
            return self._close(request, "arrived before", answered=central)
        return self.conflict(request, central)

    def find_given(self, request: Request) -> Json | None:
        """The central's document under a name or unique value that we gave."""
        doctype = str(request.resource_type)
        for field, value in request.unique.items():
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
        document, central = self._stands(request)
        if central is not None and self._arrived(request, document, central):
            return self._arrived_before(request, document, central, outcome)
        if central is None and request.operation is Operation.DELETE:
            return self._close(request, "gone already", outcome=outcome)
        return self.conflict(self._noted(request, outcome), central)

    def _refused(self, request: Request, outcome: Outcome) -> Result:
        """An attempt, but for a submit, cancel or delete that turns out to be done already."""
        return self._done_already(request, outcome) or self.book(replace(request, refused=True), outcome)

    def _done_already(self, request: Request, outcome: Outcome) -> Result | None:
        """A refused submit, cancel or delete is looked up before it counts as refused."""
        if request.operation not in (*DOCSTATUS, Operation.DELETE) or not request.line:
            return None
        document, central = self._stands(request)
        if central is None and request.operation is Operation.DELETE:
            return self._close(request, "gone already", outcome=outcome)
        if central is not None and self._arrived(request, document, central):
            return self._arrived_before(request, document, central, outcome)
        return None

    def _needs_attention(self, request: Request, outcome: Outcome) -> Result:
        return self._booked(
            replace(self._noted(request, outcome), refused=True), outcome, attempts=0, at_once=True
        )

    def _refused_at_once(self, request: Request, outcome: Outcome) -> Result:
        return self._done_already(request, outcome) or self._booked(
            replace(self._noted(request, outcome), refused=True), outcome, attempts=1, at_once=True
        )

    def _link_missing(self, request: Request, outcome: Outcome) -> Result:
        """Waits for the request that creates what it links to, where the outbox has one that does not wait for it."""
        with self._store.transaction():
            creator = self._creator(request)
            if creator is not None:
                waiting = replace(self._noted(request, outcome), refused=True, wire=None)
                why = f"{creator.resource_type} {creator.resource_id}, which it links to"
                self.save(
                    move(
                        waiting,
                        Status.WAITING,
                        readiness=Readiness.READY,
                        waits_for=creator.id,
                        waits_why=why,
                    )
                )
                self._placer.raise_rank(creator, request.rank)
                return Result.NONE
        return self._refused_at_once(request, outcome)

    def _creator(self, request: Request) -> Request | None:
        creators = (self._creator_of(link, request) for link in links_in_body(request))
        return next((creator for creator in creators if creator is not None), None)

    def _creator_of(self, link: Link, request: Request) -> Request | None:
        """The open request that creates what this links to, where it does not wait for the one that links."""
        for other in self._store.open_in_line(link.line) if link.line else ():
            if other.operation is Operation.CREATE and not self._waits(other, request.id):
                return other
        return None

    def _waits(self, request: Request, for_id: str) -> bool:
        current: Request | None = request
        while current is not None and current.status in OPEN:
            if current.id == for_id:
                return True
            current = self._store.get(current.waits_for) if current.waits_for else None
        return False

    def _contention(self, request: Request, outcome: Outcome) -> Result:
        """A deadlock or lock time-out: the first three in a row are no attempt. A document that the central is still
        at work on is waited for, however long that takes."""
        if outcome.exc_type == _LOCKED:
            later = replace(self._noted(request, outcome), contentions=request.contentions + 1, refused=True)
            return self._wait(later, Status.RETRY, self._delay(request.contentions))
        if request.contentions >= CONTENTIONS_FREE:
            return self.book(replace(request, contentions=0, refused=True), outcome)
        later = replace(self._noted(request, outcome), contentions=request.contentions + 1, refused=True)
        return self._wait(later, Status.RETRY, self._ports.config.base_seconds * self._ports.ids.random())

    def _not_now(self, request: Request, outcome: Outcome) -> Result:
        self._line.trip(outcome, request_id=request.id)
        return self.give_back(request, outcome)

    def _not_sent(self, request: Request, outcome: Outcome) -> Result:
        """The bytes did not leave; what never left is made anew when it goes."""
        self._line.trip(outcome)
        unsent = replace(request, sends=request.sends - 1)
        if unsent.sends == 0:
            unsent = replace(unsent, sent_at=None, wire=None)
        return self.give_back(unsent, outcome)

    def _server_error(self, request: Request, outcome: Outcome) -> Result:
        """Booked on the request only when the central then answers the probe; else it is the destination's."""
        if not self._line.probe():
            return self.give_back(request, outcome)
        self._line.request_failed(request.id, outcome)
        return self.book(replace(request, refused=True), outcome)

    def _configuration(self, request: Request, outcome: Outcome) -> Result:
        """The destination's, unless its probe is good: then it is what this one request asks for, and may not stop
        the others. A queued call to a place that is not there is the call's own fault."""
        if not self._line.probe():
            self._line.trip(outcome, request_id=request.id)
            return self.give_back(request, outcome)
        if request.operation is Operation.CALL:
            return self._refused_at_once(request, outcome)
        self._line.request_failed(request.id, outcome)
        return self.book(replace(request, refused=True), outcome)

    def _in_doubt(self, request: Request, outcome: Outcome) -> Result:
        """Sent, outcome unknown. Unanswered three times with a good probe after each, each counts an attempt."""
        request = self._noted(request, outcome)
        if outcome.retry_after is not None:
            self._line.trip(outcome, request_id=request.id)
            return self._doubted(request)
        if not self._line.probe():
            return self._doubted(request)
        self._line.request_failed(request.id, outcome)
        unanswered = replace(request, unanswered=request.unanswered + 1)
        if unanswered.unanswered < UNANSWERED_BOOKED:
            return self._doubted(unanswered)
        attempts = UNANSWERED_BOOKED if unanswered.unanswered == UNANSWERED_BOOKED else 1
        return self._booked(unanswered, outcome, attempts=attempts, waiting=Status.IN_DOUBT)

    def _doubted(self, request: Request) -> Result:
        with self._store.transaction():
            self.save(move(request, Status.IN_DOUBT, readiness=Readiness.READY, next_retry_at=None))
        return Result.NONE

    # helpers

    def _delay(self, n: int) -> float:
        """Seconds to wait after the failing answer `n`, counted from 0."""
        config = self._ports.config
        return delay(n, base=config.base_seconds, maximum=config.max_seconds, random=self._ports.ids.random())

    def _booked(
        self,
        request: Request,
        outcome: Outcome,
        *,
        attempts: int,
        at_once: bool = False,
        waiting: Status = Status.RETRY,
    ) -> Result:
        config = self._ports.config
        booked = replace(request, retry_count=request.retry_count + attempts, contentions=0)
        if waiting is Status.RETRY:
            booked = replace(booked, unanswered=0)
        if not at_once and booked.retry_count <= config.max_retries:
            return self._wait(booked, waiting, self._delay(booked.retry_count - 1))
        with self._store.transaction():
            self.save(move(booked, Status.NEEDS_ATTENTION, readiness=Readiness.READY, next_retry_at=None))
        return Result.FAILURE

    def _wait(self, request: Request, status: Status, seconds: float) -> Result:
        with self._store.transaction():
            at = self._store.now() + timedelta(seconds=seconds)
            self.save(move(request, status, readiness=Readiness.READY, next_retry_at=at))
        return Result.FAILURE if status is Status.RETRY else Result.NONE

    def _noted(self, request: Request, outcome: Outcome | None) -> Request:
        if outcome is None:
            return request
        attempt = Attempt(
            at=self._now(), event=outcome.verdict.value, status=outcome.status, exc_type=outcome.exc_type
        )
        return replace(
            with_note(request, attempt), error_type=outcome.exc_type, error_message=outcome.message or None
        )

    def _now(self) -> Any:
        with self._store.transaction():
            return self._store.now()

    def save(self, request: Request) -> None:
        """Inside a transaction; raises LeaseLost."""
        current = self._store.get(request.id)
        # What came to wait for it while it was on its way may have raised its rank.
        rank = request.rank if current is None else min(request.rank, current.rank)
        if not self._store.replace(replace(request, rank=rank), token=self.token):
            raise LeaseLost("Another run took over this request.")

    def _stands(self, request: Request) -> tuple[Document, Json | None]:
        """The document of the request, and how it stands at the central."""
        with self._store.transaction():
            document = self._store.document(str(request.line))
        if document is None:
            raise LeaseLost(f"The document of request {request.id} is not known any more.")
        return document, self._lookup.fetch(document.doctype, document.central_name or document.local_name)

    def _arrived(self, request: Request, document: Document, central: Json) -> bool:
        """The wanted state and all sent fields are found at the central."""
        if request.operation not in (*DOCSTATUS, Operation.UPDATE):
            return False
        names = {} if request.wire is None else sent_values(request)
        return self._lookup.holds(central, names, document.doctype, DOCSTATUS.get(request.operation))

    def holds_create(self, request: Request, central: Json) -> bool:
        docstatus = request.body.get("docstatus") or 0
        return self._lookup.holds(central, sent_values(request), str(request.resource_type), docstatus)


def _built(
    request: Request,
    document: Document | None,
    *,
    names: Mapping[str, str] | None = None,
    version: str | None = None,
    central: Json | None = None,
) -> Request:
    """With its bytes. One that none can be made of is held: it must not end the run again and again."""
    try:
        wire = build_wire(request, document, names=names or {}, version=version, central=central)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _Held(f"Nothing can be sent for it ({type(error).__name__}). Discard it.") from error
    return replace(request, wire=wire)


def _renamed(document: Document, answered: Json) -> Json:
    """What was known of a document, after its rename: a field that it is named by went along."""
    old, new = document.central_name, answered.get("name")
    return {
        field: new if value == old and answered.get(field) == new else value
        for field, value in (document.base or {}).items()
    }


def sent_values(request: Request) -> Json:
    """The values that went over the line, in the central's names."""
    body = json.loads(request.wire.body) if request.wire and request.wire.body else {}
    return {field: value for field, value in body.items() if field not in ("modified", "docstatus", "name")}


_DESTINATIONS = frozenset({Verdict.NOT_SENT, Verdict.NOT_NOW, Verdict.CREDENTIALS})
"""What a look-up is answered while the destination cannot be used."""

_Record = Callable[[Delivery, Request, Outcome], Result]

_BY_VERDICT: Mapping[Verdict, _Record] = {
    Verdict.APPLIED: Delivery._applied,
    Verdict.STALE: Delivery._stale,
    Verdict.MISSING: Delivery._missing,
    Verdict.TAKEN: Delivery._taken,
    Verdict.WRONG_STATE: Delivery._wrong_state,
    Verdict.LINK_MISSING: Delivery._link_missing,
    Verdict.CONFLICT: Delivery._said_to_conflict,
    Verdict.REFUSED: Delivery._refused,
    Verdict.REFUSED_AT_ONCE: Delivery._refused_at_once,
    Verdict.NOT_NOW: Delivery._not_now,
    Verdict.CREDENTIALS: Delivery._not_now,
    Verdict.CONTENTION: Delivery._contention,
    Verdict.SERVER_ERROR: Delivery._server_error,
    Verdict.NOT_SENT: Delivery._not_sent,
    Verdict.UNANSWERED: Delivery._in_doubt,
    Verdict.CONFIGURATION: Delivery._configuration,
}
