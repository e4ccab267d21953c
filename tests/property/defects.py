"""Defects that can be planted, to see that the simulation would find them: `simulate --break NAME`.

Each replaces a step of the engine, of a store or of the modelled central with one that does not keep its promise, as
a programmer in a hurry might have written it, for as long as `planted` lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from erp_offline_sync.adapters import leases
from erp_offline_sync.engine import coalesce
from erp_offline_sync.engine.classify import Outcome, Verdict
from erp_offline_sync.engine.config import UNANSWERED_BOOKED
from erp_offline_sync.engine.deciding.resolution import Resolutions
from erp_offline_sync.engine.model import Lease, Operation, Readiness, Reply, Request, Status
from erp_offline_sync.engine.ordering import Placer
from erp_offline_sync.engine.sending import answers as answers_module
from erp_offline_sync.engine.sending import doubt, origin
from erp_offline_sync.engine.sending.answers import Answers
from erp_offline_sync.engine.sending.booking import Booking, Result
from erp_offline_sync.engine.sending.doubt import Doubts
from erp_offline_sync.engine.sending.origin import Origins, Standing
from erp_offline_sync.engine.sending.outgoing import links_in_body
from erp_offline_sync.engine.sending.preparation import Preparation
from erp_offline_sync.engine.sending.push import PushRequest, parse_push
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.engine.transitions import OPEN, begun_anew, move
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_companion import ModelCompanion

from .sites import DIED

__all__ = ["DEFECTS", "Defect", "planted"]


@dataclass(frozen=True)
class Defect:
    """`plant` changes things by the given function (holder, attribute or key, what stands there instead)."""

    name: str
    sentence: str
    plant: Callable[[Callable[[Any, str | Verdict | Operation, Any], None]], None]


DEFECTS: dict[str, Defect] = {}

_Change = Callable[[Any, Any, Any], None]


def _defect(name: str, sentence: str) -> Callable[[Callable[[_Change], None]], Callable[[_Change], None]]:
    def keep(plant: Callable[[_Change], None]) -> Callable[[_Change], None]:
        DEFECTS[name] = Defect(name, sentence, plant)
        return plant

    return keep


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The defect is there until this ends."""
    with ExitStack() as after:

        def change(holder: Any, place: Any, new: Any) -> None:
            if isinstance(holder, MutableMapping):
                after.callback(holder.__setitem__, place, holder[place])
                holder[place] = new
            else:
                after.callback(setattr, holder, place, getattr(holder, place))
                setattr(holder, place, new)

        DEFECTS[name].plant(change)
        yield


@_defect("no-fencing", "every lease has the same token, so that nobody can tell whose a claim is")
def _(change: _Change) -> None:
    grant = leases._grant
    change(leases, "_grant", lambda token, *others: grant(1, *others))


@_defect("late-answer-accepted", "a run whose lease was taken over records its answer all the same")
def _(change: _Change) -> None:
    written = MemoryStore.replace
    change(MemoryStore, "replace", lambda store, request, *, token=None: written(store, request))


@_defect("lease-never-renewed", "a run sends for as long as it likes under the lease it began with")
def _(change: _Change) -> None:
    change(SyncEngine, "_renew", lambda engine: None)


@_defect("ack-before-record", "a request is closed before what the central called it is kept")
def _(change: _Change) -> None:
    def close(
        answers: Answers,
        request: Request,
        event: str,
        *,
        answered: Any = None,
        name: Any = None,
        **others: Any,
    ) -> Result:
        store = answers._store
        with store.transaction():
            answers._booking.save(move(request, Status.SYNCED, closed_at=store.now()))
            store.set_links(request.id, request.seq, ())
            store.release(request.id)
        with store.transaction():
            document = store.document(request.line) if request.line else None
            if document is not None:
                expected = others.get("expected")
                store.put_document(answers._known(request, document, answered, name, expected))
        return Result.SUCCESS

    change(Answers, "close", close)


@_defect("new-key-on-retry", "a request that is sent again gets another idempotency key")
def _(change: _Change) -> None:
    mark = Preparation.mark

    def marked(preparation: Preparation, request: Request) -> Request:
        if request.sends:
            request = replace(request, key=preparation._ports.ids.new_key())
        return mark(preparation, request)

    change(Preparation, "mark", marked)


@_defect("coalesces-what-is-in-flight", "a change goes into an earlier one that may have arrived already")
def _(change: _Change) -> None:
    change(coalesce, "certainly_had_no_effect", lambda request: request.status in OPEN)


@_defect("order-by-priority-alone", "nothing waits for what came before it")
def _(change: _Change) -> None:
    change(Placer, "_before", lambda placer, request: None)
    change(Placer, "_blockers", lambda placer, request, targets: [])


@_defect("links-do-not-wait", "a request may go before what it links to")
def _(change: _Change) -> None:
    change(Placer, "_blockers", lambda placer, request, targets: [])


@_defect("attempt-while-offline", "a request that could not leave is booked an attempt")
def _(change: _Change) -> None:
    def booked(answers: Answers, request: Request, outcome: Outcome) -> Result:
        answers._line.trip(outcome)
        return answers._booking.book(request, outcome)

    change(answers_module._BY_VERDICT, Verdict.NOT_SENT, booked)


@_defect("purge-of-held-rows", "what needs a person is cleared away with what has ended")
def _(change: _Change) -> None:
    purge = MemoryStore.purge

    def purged(store: MemoryStore, *, closed_before: Any, limit: int) -> int:
        held = store._requests.where("status", Status.NEEDS_ATTENTION)
        for request in [each for each in held if each.created_at < closed_before]:
            store._requests.put(request.id, None)
        return purge(store, closed_before=closed_before, limit=limit)

    change(MemoryStore, "purge", purged)


@_defect("names-not-rewritten", "links are sent under the names that they have here")
def _(change: _Change) -> None:
    change(
        Preparation,
        "_names",
        lambda preparation, request, *, but_for=(): {
            link.path: link.name for link in links_in_body(request) if link not in but_for
        },
    )


@_defect("server-wins-over-newer-edit", "what was saved after a conflict was found is not looked at")
def _(change: _Change) -> None:
    change(Resolutions, "_taken_in", lambda resolutions, conflict: conflict)


def _sent_again(doubts: Doubts, request: Request) -> Result:
    return doubts._again(doubt._looked_up(request), may_have_arrived=False)


@_defect("doubt-sent-again", "a create whose answer was lost is sent again at once")
def _(change: _Change) -> None:
    change(doubt._BY_OPERATION, Operation.CREATE, _sent_again)


@_defect("too-early-not-there", "what is not found at once is taken as not arrived")
def _(change: _Change) -> None:
    change(Doubts, "_not_there", _sent_again)


@_defect("sent-counts-as-unsent", "what a killed run had sent is claimed anew like what it had not")
def _(change: _Change) -> None:
    def recover(engine: SyncEngine) -> None:
        store = engine._store
        with store.transaction():
            for orphan in store.in_flight(not_token=engine._booking.token, limit=1000):
                store.replace(move(orphan, Status.PENDING, readiness=Readiness.READY))

    change(SyncEngine, "_recover", recover)


@_defect("time-out-never-booked", "a request that is never answered is tried for ever")
def _(change: _Change) -> None:
    booked = Booking.booked

    def forgiving(booking: Booking, request: Request, outcome: Outcome, **options: Any) -> Result:
        if request.unanswered >= UNANSWERED_BOOKED:
            return booking.doubted(replace(request, unanswered=0))
        return booked(booking, request, outcome, **options)

    change(Booking, "booked", forgiving)


@_defect("rename-is-another-document", "what comes after a rename stands in a line of its own")
def _(change: _Change) -> None:
    change(Placer, "_renamed", lambda placer, document, request: document)


@_defect("merged-not-counted", "what went into another request is in no column of the ledger")
def _(change: _Change) -> None:
    put = MemoryStore._put

    def counted(store: MemoryStore, old: Request | None, new: Request) -> None:
        if new.status is Status.MERGED:
            store._requests.put(new.id, new)
            store.set_links(new.id, new.seq, ())
        else:
            put(store, old, new)

    change(MemoryStore, "_put", counted)


@_defect("restored-blindly", "a restored branch sends again what it may have sent since the backup")
def _(change: _Change) -> None:
    change(Origins, "_doubt_all", lambda origins: None)


@_defect("copy-sends", "a copy of the site takes itself for the original")
def _(change: _Change) -> None:
    change(origin, "judge", lambda kept, noted, **where: (Standing.SAME if kept else Standing.NEW, ""))


@_defect("lease-outlived", "a request is sent with less time left than its answer may take")
def _(change: _Change) -> None:
    def renewed(store: MemoryStore, lease: Lease, seconds: float) -> Lease | None:
        return renew(store, lease, seconds - 45.0)

    renew = MemoryStore.renew_lease
    change(MemoryStore, "renew_lease", renewed)


@_defect("receipt-outside-the-transaction", "the central keeps a receipt only after the effect was committed")
def _(change: _Change) -> None:
    push = ModelCompanion.push

    def pushed(companion: ModelCompanion, data: bytes) -> Reply:
        reply = push(companion, data)
        for key in [key for key, answer in companion.poison.items() if answer is DIED]:
            for request in parse_push(data, companion.limits).requests:
                if isinstance(request, PushRequest) and request.id == key and key not in companion.kept:
                    companion._carried_out(request)
        return reply

    change(ModelCompanion, "push", pushed)


@_defect("receipts-not-asked", "what a push left in doubt is pushed again under another key")
def _(change: _Change) -> None:
    def by_receipt(doubts: Doubts, request: Request, receipt: Any) -> Result:
        with doubts._store.transaction():
            anew = begun_anew(request, doubts._ports.ids.new_key())
            doubts._booking.save(move(anew, Status.PENDING, readiness=Readiness.READY))
        return Result.NONE

    change(Doubts, "_by_receipt", by_receipt)
