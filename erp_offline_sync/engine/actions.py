"""What people do with single requests: retry, discard, send whole; and why one has not been sent.

Each is one transaction. Nothing leaves the outbox here but by a named person with a reason (G0), nor while it is
unknown what of it was sent: all raise NotAllowed in a restored backup that no run has looked at, and in a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from .breaker import Breaker
from .classify import Verdict
from .coalesce import certainly_had_no_effect
from .errors import InvalidRequest, NotAllowed, NotFound, TakesAlong
from .model import Attempt, Conflict, Document, Operation, Readiness, Request, Status
from .names import document_links, local_document
from .ordering import CHANGES_IDENTITY, Placer
from .paths import document_path
from .ports import Ports, Store
from .sending.booking import with_note
from .sending.line import BREAKER, kept_breaker
from .sending.origin import Origins
from .sending.outgoing import document_body
from .sending.pushed import NEEDS_NEW_KEY
from .status import paused_by
from .steps import in_first_state, step_after
from .transitions import ENDS, OPEN, begun_anew, move

__all__ = [
    "clear_old_requests",
    "discard",
    "discard_all",
    "explain",
    "explain_each",
    "retry",
    "send_whole",
]

_RETRYABLE = frozenset({Status.NEEDS_ATTENTION, Status.RETRY, Status.PENDING, Status.WAITING})
_DISCARDABLE = _RETRYABLE | {Status.CONFLICT}
_GOES_AGAIN = frozenset({Status.PENDING, Status.WAITING, Status.RETRY})
_PURGED_AT_ONCE = 500
_ALL = 1_000_000
_CANCELLED = 2


def _get(store: Store, request_id: str) -> Request:
    request = store.get(request_id)
    if request is None:
        raise NotFound(f"There is no request {request_id}.")
    return request


def retry(ports: Ports, request_id: str, *, by: str) -> Request:
    """Send it again at once, with all its retries. A merge that waits for a person is confirmed by this."""
    store = ports.store
    with store.transaction():
        Origins(ports).refuse_unless_known()
        request = _get(store, request_id)
        if request.status not in _RETRYABLE:
            raise NotAllowed(f"A request that is {request.status.value} cannot be retried.")
        if request.status is Status.PENDING or request.status is Status.WAITING:
            return request
        noted = with_note(request, Attempt(at=store.now(), event="retry", note=by))
        if request.error_type in NEEDS_NEW_KEY:
            # Who tries it again has looked whether it is there.
            noted = begun_anew(noted, ports.ids.new_key())
        again = noted.altered(
            retry_count=0,
            contentions=0,
            restamps=0,
            unanswered=0,
            next_retry_at=None,
            overwrite=request.overwrite or _is_merge(request),
        )
        if request.unanswered and not request.refused:
            # It may have arrived: it is looked up before it is sent again.
            again = move(again, Status.IN_DOUBT, readiness=Readiness.READY)
        else:
            again = move(again, Status.PENDING, readiness=Readiness.RECHECK)
        store.replace(again)
    return again


def _is_merge(request: Request) -> bool:
    return request.operation is Operation.RENAME and bool(request.body.get("merge"))


def discard(ports: Ports, request_id: str, *, reason: str, by: str, take_along: bool = False) -> list[str]:
    """End it unsent, for good; answers the ids of all requests that went with it.

    Later requests of the document go along: TakesAlong names them unless `take_along`. What links to the document
    is put into Needs Attention.
    """
    store = ports.store
    if not (reason or "").strip() or not by:
        raise InvalidRequest("Discarding needs a reason and a person.")
    with store.transaction():
        Origins(ports).refuse_unless_known()
        # What was saved meanwhile goes along too, or is held as well.
        Placer(store, ports.ids).place_all()
        request = _get(store, request_id)
        if request.status not in _DISCARDABLE:
            raise NotAllowed(f"A request that is {request.status.value} cannot be discarded.")
        if _may_have_arrived(request):
            raise NotAllowed(
                "It was sent and may have arrived: it cannot be discarded before the central answers."
            )
        in_line = store.open_in_line(request.line, limit=_ALL) if request.line else []
        later = sorted((other for other in in_line if other.seq > request.seq), key=lambda other: other.seq)
        if later and not take_along:
            names = tuple(other.id for other in later)
            raise TakesAlong(f"{len(later)} later requests of this document would be discarded too.", names)
        now = store.now()
        for each in [request, *later]:
            _hold_linkers(store, each)
            _end_discarded(store, each, by, reason, now)
        conflict = store.pending_conflict(request.line or request.id)
        if conflict is not None and not store.open_in_line(conflict.line, limit=1):
            store.put_conflict(_closed(conflict, by, f"discarded: {reason}", now))
    return [each.id for each in [request, *later]]


def _may_have_arrived(request: Request) -> bool:
    """Whether it waits to be sent again though nothing ever said that its send had no effect."""
    if request.status not in _GOES_AGAIN or request.refused or not request.sends:
        return False
    last = request.history[-1].event if request.history else None
    return request.sends > 1 or last != Verdict.NOT_NOW.value


def discard_all(ports: Ports, *, reason: str, by: str) -> int:
    """End every open request unsent, and close every conflict: they belong to the original of this copy. Answers
    how many requests; may be broken off and called again."""
    store, gone = ports.store, 0
    if not (reason or "").strip() or not by:
        raise InvalidRequest("Discarding needs a reason and a person.")
    while True:
        with store.transaction():
            page = store.list_requests(statuses=OPEN, limit=_PURGED_AT_ONCE)
            now = store.now()
            for request in page:
                if request.status in (Status.IN_FLIGHT, Status.IN_DOUBT):
                    request = move(request, Status.NEEDS_ATTENTION, readiness=Readiness.READY)
                _end_discarded(store, request, by, reason, now)
            for conflict in [] if page else store.conflicts(limit=_ALL):
                store.put_conflict(_closed(conflict, by, f"discarded: {reason}", now))
        gone += len(page)
        if not page:
            return gone


def _closed(conflict: Conflict, by: str, reason: str, now: datetime) -> Conflict:
    return replace(conflict, resolution_status="resolved", resolved_by=by, resolved_at=now, reason=reason)


def _end_discarded(store: Store, request: Request, by: str, reason: str, now: datetime) -> None:
    noted = with_note(request, Attempt(at=now, event="discard", note=by))
    store.replace(move(noted, Status.DISCARDED, closed_at=now, closed_by=by, reason=reason))
    store.release(request.id)


def _hold_linkers(store: Store, request: Request) -> None:
    """What links to a document that will never be created there cannot be sent as it is, nor what waits for a
    submit, cancel or rename of it that will never come."""
    if request.operation not in CHANGES_IDENTITY or not request.line:
        return
    for linker in store.linkers(request.line, limit=_ALL):
        if request.operation is not Operation.CREATE and linker.waits_for != request.id:
            continue
        if linker.status in (Status.PENDING, Status.WAITING, Status.RETRY):
            message = f"{request.resource_type} {request.resource_id}, which it links to, was discarded."
            store.replace(
                move(linker, Status.NEEDS_ATTENTION, readiness=Readiness.READY, error_message=message)
            )


def send_whole(ports: Ports, request_id: str, *, by: str) -> Request:
    """For a document that is not at the central: create it there as it stands here."""
    store = ports.store
    with store.transaction():
        Origins(ports).refuse_unless_known()
        request = _get(store, request_id)
        document: Document | None = store.document(request.line) if request.line else None
        if request.status is not Status.NEEDS_ATTENTION or document is None or document.linked:
            raise NotAllowed("Only a document that is not at the central can be sent whole.")
        if not certainly_had_no_effect(request):
            raise NotAllowed(
                "It was sent and may have arrived: look at the central, then retry or discard it."
            )
        current = local_document(ports, document)
        if current is None:
            raise NotAllowed("The document is not here any more.")
        if current.get("docstatus") == _CANCELLED:
            raise NotAllowed("The document is cancelled here, and the central never had it: discard this.")
        schema = ports.policies.schema(document.doctype)
        body, step = in_first_state(document_body(current, schema), schema)
        noted = with_note(request, Attempt(at=store.now(), event="send whole", note=by))
        whole = begun_anew(
            noted,
            ports.ids.new_key(),
            operation=Operation.CREATE,
            method="POST",
            path=document_path(document.doctype),
            body=body,
            base=None,
            links=document_links(body, schema, request.links),
        )
        whole = move(whole, Status.PENDING, readiness=Readiness.RECHECK)
        store.replace(whole)
        if step:
            store.add(step_after(whole, step, schema, key=ports.ids.new_key()))
    return whole


def clear_old_requests(ports: Ports, days: int, *, limit: int = 100_000) -> int:
    """Delete ended requests older than that, in chunks; held and waiting ones never. Answers how many."""
    if days < 0:
        raise InvalidRequest("days must not be negative.")
    store, deleted = ports.store, 0
    while deleted < limit:
        with store.transaction():
            before = store.now() - timedelta(days=days)
            gone = store.purge(closed_before=before, limit=_PURGED_AT_ONCE)
        deleted += gone
        if gone < _PURGED_AT_ONCE:
            break
    return deleted


def explain(store: Store, request: Request, now: datetime, *, held_back: str | None = None) -> str:
    """One line: why it has not been sent, and when it will be. `held_back`: why no run begins by itself at all,
    as a sentence."""
    return explain_each(store, [request], now, held_back=held_back)[0]


def explain_each(
    store: Store, requests: Iterable[Request], now: datetime, *, held_back: str | None = None
) -> list[str]:
    """`explain` of many; what holds for all of them is looked up once."""
    paused, breaker = paused_by(store, now), kept_breaker(store.get_meta(BREAKER))
    return [_why(request, now, paused, held_back, breaker) for request in requests]


def _why(request: Request, now: datetime, paused: str | None, held_back: str | None, breaker: Breaker) -> str:
    if request.status in ENDS:
        at = request.closed_at.isoformat(timespec="seconds") if request.closed_at else ""
        return " ".join(part for part in (request.status.value, at, request.reason or "") if part)
    if request.status is Status.WAITING:
        return f"Waits for {request.waits_why} (request {request.waits_for})."
    if request.status is Status.CONFLICT:
        return "Both sides changed the document: somebody has to decide its conflict."
    if request.status is Status.NEEDS_ATTENTION:
        return f"Needs a person: {request.error_message or request.error_type or 'see its history'}"
    if paused:
        return f"Sending is paused by {paused}."
    if held_back and request.status is not Status.IN_FLIGHT:
        return held_back
    if not breaker.closed:
        probe = breaker.next_probe_at
        when = probe.isoformat(timespec="seconds") if probe else "now"
        return f"The central cannot be used ({breaker.reason}); next try {when}."
    if request.status is Status.IN_FLIGHT:
        return "Is being sent."
    if request.next_retry_at and request.next_retry_at > now:
        when = request.next_retry_at.isoformat(timespec="seconds")
        said = request.error_message or request.error_type or "no answer"
        return f"Next try {when}, after: {said}"
    if request.status is Status.IN_DOUBT:
        return "Was sent, but not answered; it is looked up with the next run."
    return "Goes with the next run."
