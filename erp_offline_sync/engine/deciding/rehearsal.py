"""What a decision would change on both sides, found by making it and undoing it.

The engine's own code carries it out inside a transaction that is then rolled back, with the branch's documents
written on paper only: no save runs, nothing is sent, nothing stays. What the branch's own rules would refuse is
therefore not seen here. The request that would go next is made ready in it, as a push would carry it: what the
central would answer to it is asked afterwards (foretelling.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import LocalRefused
from ..merge import WHOLE, Change, Side, aligned_rows, merge
from ..model import Conflict, Document, Json, Operation, Readiness, Request, Resolution, Schema, Status
from ..names import in_local_names
from ..ordering import Placer
from ..ports import LocalDocuments, Ports
from ..sending.answers import Answers
from ..sending.booking import Booking
from ..sending.knowledge import Knowledge
from ..sending.line import Line
from ..sending.lookup import Lookup
from ..sending.preparation import Preparation
from ..steps import beside_name
from ..values import synced_values
from .resolution import Resolutions
from .sides import known_rows, taken_here
from .standing import docstatus_of

__all__ = ["Difference", "OnPaper", "Rehearsal", "differences_of", "rehearse"]

_STATE = "docstatus"
_TOKEN = 0
_NUMBER = 0
"""Of no run, and of no request that was sent."""
_MOVES = {Operation.SUBMIT: 1, Operation.CANCEL: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that changes; `key` as a choice names it, `*` for the document (True: it is there), `docstatus`."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Both sides before and after, in the branch's names; None where there is no document."""

    decided: Conflict
    here_before: Json | None
    here_after: Json | None
    there_before: Json | None
    there_after: Json | None
    schema: Schema | None
    next: Request | None = None
    """The request that would be sent next, with its bytes as an item of a push. None where nothing is sent, where
    it waits for another one, or where it cannot be made without asking the central."""

    def here(self) -> list[Difference]:
        return differences_of(self.here_before, self.here_after, self.schema)

    def there(self) -> list[Difference]:
        return differences_of(self.there_before, self.there_after, self.schema)


class OnPaper:
    """The LocalDocuments port over another: what is written stands here alone."""

    def __init__(self, documents: LocalDocuments) -> None:
        self._documents = documents
        self._written: dict[tuple[str, str], Json | None] = {}

    def current(self, doctype: str, name: str) -> Json | None:
        key = (doctype, name)
        return self._written[key] if key in self._written else self._documents.current(doctype, name)

    def write(self, doctype: str, name: str, values: Json) -> None:
        self._written[doctype, name] = {**self._there(doctype, name), **values}

    def restore(self, doctype: str, name: str, values: Json) -> None:
        self._written[doctype, name] = {**values, "name": name}

    def delete(self, doctype: str, name: str) -> None:
        self._written[doctype, name] = None

    def rename(self, doctype: str, old: str, new: str) -> None:
        self._written[doctype, new] = {**self._there(doctype, old), "name": new}
        self._written[doctype, old] = None

    def set_docstatus(self, doctype: str, name: str, docstatus: int) -> None:
        self._written[doctype, name] = {**self._there(doctype, name), _STATE: docstatus}

    def _there(self, doctype: str, name: str) -> Json:
        current = self.current(doctype, name)
        if current is None:
            raise LocalRefused(f"{doctype} {name} is not here any more.")
        return current


class _Untold:
    """The Events port of what does not come about."""

    def publish(self, event: str, payload: Json) -> None:
        """Nobody is told."""


class _Undone(Exception):
    """Ends the transaction of a rehearsal."""


def rehearse(
    ports: Ports,
    conflict_id: str,
    resolution: Resolution,
    *,
    by: str,
    choices: Mapping[str, Side | str] | None = None,
    rest: Side | None = None,
    values: Json | None = None,
) -> Rehearsal:
    """Raises what `Resolutions.apply` raises; nothing is changed either way."""
    paper = OnPaper(ports.documents)
    on_paper = replace(ports, documents=paper, events=_Untold())
    found: list[Rehearsal] = []
    try:
        with ports.store.transaction():
            decided = Resolutions(on_paper).apply(
                conflict_id, resolution, by=by, choices=choices, rest=rest, values=values
            )
            shown = _outcome(on_paper, decided)
            found.append(replace(shown, next=_next(on_paper, decided.line)))
            raise _Undone
    except _Undone:
        return found[0]


def _outcome(ports: Ports, decided: Conflict) -> Rehearsal:
    store = ports.store
    schema = ports.policies.schema(decided.resource_type) if decided.resource_type else None
    document = store.document(decided.line)
    server = decided.server_data
    there: Json | None = None
    if document is not None and server is not None:
        names = in_local_names(store, server, schema, known_rows(document.rows, server))
        there = {**names, _STATE: docstatus_of(server)}
    sent = sorted(
        (each for each in store.open_in_line(decided.line) if each.status is Status.PENDING),
        key=lambda each: each.seq,
    )
    is_new = any(each.operation is Operation.CREATE for each in sent)
    return Rehearsal(
        decided=decided,
        here_before=decided.local_data,
        here_after=_here(ports, decided, document, sent),
        there_before=None if is_new else there,
        there_after=_arrived(None if is_new else there, sent),
        schema=schema,
    )


def _next(ports: Ports, line: str) -> Request | None:
    """Placed, claimed and prepared as in a run."""
    store, placer = ports.store, Placer(ports.store, ports.ids)
    unplaced = [
        request
        for request in store.open_in_line(line)
        if request.status is Status.PENDING and request.readiness is not Readiness.READY
    ]
    for request in reversed(unplaced):
        placer.place(request)
    ready = [
        request
        for request in store.open_in_line(line)[-1:]
        if request.status is Status.PENDING and request.operation is not Operation.CALL
    ]
    prepared = _preparation(ports).items_at_once(store.claim(ready, _TOKEN), _NUMBER)
    return prepared[0] if prepared else None


def _preparation(ports: Ports) -> Preparation:
    line, lookup, resolutions = Line(ports), Lookup(ports), Resolutions(ports)
    booking = Booking(ports, line, resolutions)
    knowledge = Knowledge(ports, lookup, booking)
    answers = Answers(ports, line, lookup, knowledge, booking, resolutions)
    return Preparation(ports, lookup, knowledge, booking, answers)


def _here(ports: Ports, decided: Conflict, document: Document | None, sent: Iterable[Request]) -> Json | None:
    """The branch's document when all has arrived: only then it gets the result of a merge."""
    if document is None:
        return decided.local_data
    current = None if document.deleted else ports.documents.current(document.doctype, document.local_name)
    carried = any(each.carries for each in sent)
    if current is None or not carried:
        return current
    schema = ports.policies.schema(document.doctype)
    theirs, names = (
        synced_values(decided.values or {}, schema),
        (document.local_name, str(document.central_name)),
    )
    return {**current, **taken_here(current, theirs, schema, names=names)}


def _arrived(document: Json | None, sent: Iterable[Request]) -> Json | None:
    for request in sent:
        operation = request.operation
        if operation is Operation.DELETE:
            document = None
        elif operation is Operation.CREATE:
            document = {_STATE: 0, **request.body}
        else:
            state = _MOVES.get(operation, docstatus_of(document or {}))
            values = beside_name(request.body) if operation is Operation.RENAME else request.body
            document = {**(document or {}), **values, _STATE: state}
    return document


def differences_of(before: Json | None, after: Json | None, schema: Schema | None) -> list[Difference]:
    """What changes between two versions of one document: fields, rows, their order, the state."""
    if before is None or after is None:
        if before is after:
            return []
        return [Difference(key=WHOLE, before=before is not None, after=after is not None)]
    merged = merge(before, after, before, schema)
    found = [Difference(key=key, before=was, after=to) for key, (was, to) in merged.changed_here.items()]
    for table, changes in merged.rows_here.items():
        rows = aligned_rows(merged, table) or ({}, {}, {})
        for each in changes:
            key = f"{table}[{each.row}]"
            if each.change is Change.CHANGED:
                found += [
                    Difference(key=f"{key}.{column}", before=was, after=to)
                    for column, (was, to) in each.fields.items()
                ]
            elif each.change is not Change.MOVED:
                found.append(Difference(key=key, before=rows[0].get(each.row), after=rows[1].get(each.row)))
        if any(each.change is Change.MOVED for each in changes):
            found.append(Difference(key=f"{table}[]", before=list(rows[0]), after=list(rows[1])))
    if docstatus_of(before) != docstatus_of(after):
        found.append(Difference(key=_STATE, before=docstatus_of(before), after=docstatus_of(after)))
    return found
