"""A push, request by request: claim, effect and receipt, answer. One bad request harms no other.

Two transactions a request (hooks-docs/adr/0009-two-transactions.md), the second of which claims the next one. After each one everything that Frappe keeps
for a web request is put back, so that the next one finds what a request of its own would find.
"""

import copy
import json
import time
from dataclasses import replace
from itertools import zip_longest

import frappe

from erp_offline_sync.engine.sending.push import LIMITS, PushOutcome, PushResult, Unreadable
from erp_offline_sync.receiver import claims
from erp_offline_sync.receiver.contention import tried_again
from erp_offline_sync.receiver.effects import apply, as_it_stands
from erp_offline_sync.receiver.own_commits import Transaction
from erp_offline_sync.receiver.refusals import refused, spoken

APPLYING = "in_offline_push"
"""The flag under which nothing is captured into an outbox of this site."""
_JOB_TAKES = 30
"""Seconds after which it is worth asking for what a background job does."""
_ROLLED_BACK = "Code of the central rolled back in the middle of this."


class _HalfDone(Exception):
    """Code of the central committed, and the rest failed. The cause is what failed."""


class _RolledBack(frappe.ValidationError):
    """Code of the central undid a part of the request and went on."""


def receive(push, low_water):
    """The outcomes of the push's requests, in their order, as many as there was time for; at least one's. Commits."""
    began, size, outcomes = time.monotonic(), 0, []
    seconds = min(LIMITS.seconds, push.seconds / 2)
    surroundings, of_push = Surroundings(), claims.Claims(push.origin, low_water)
    try:
        for request, following in zip_longest(push.requests, push.requests[1:]):
            if outcomes and (time.monotonic() - began >= seconds or size >= LIMITS.max_inflated_bytes):
                break
            stands = False
            try:
                outcome = _deliver(request, of_push, None if isinstance(following, Unreadable) else following)
                stands = outcome.outcome is PushOutcome.APPLIED
            finally:
                surroundings.put_back(stands=stands)
            outcomes.append(outcome)
            size += len(json.dumps(outcome.document, default=str)) if outcome.document else 0
    finally:
        # What other apps did after the last commit is not of any request.
        frappe.db.rollback()
        of_push.end()
    return outcomes


def unreadable(request):
    """What is answered to a request that is not what was agreed on."""
    return PushResult(
        id=request.id,
        outcome=PushOutcome.REJECTED,
        status=400,
        exc_type="UnreadableMessage",
        message=request.why,
    )


def _deliver(request, of_push, following):
    """Its outcome. `of_push`: the Claims; `following`: the request after it that can be claimed, or None."""
    if isinstance(request, Unreadable):
        return unreadable(request)
    claimed = of_push.claim(request)
    if isinstance(claimed, PushResult):
        return _with_document(request, claimed)
    frappe.flags[APPLYING] = True
    try:
        return tried_again(lambda: _apply(request, claimed, of_push, following))
    except Exception as error:
        message = spoken(error)
        frappe.db.rollback()
        frappe.clear_messages()
        if isinstance(error, _HalfDone):
            answer = PushResult(
                id=request.id,
                outcome=PushOutcome.IN_DOUBT,
                name=request.name,
                exc_type=type(error.__cause__).__name__,
                message=message or None,
            )
        else:
            answer = refused(request, error, message)
        claims.withdraw(claimed)
        return answer


def _apply(request, claimed, of_push, following):
    begin()
    transaction = Transaction(claimed)
    try:
        effect, result = carried_out(request, queued=claimed.queued)
        if transaction.undone:
            raise _RolledBack(_ROLLED_BACK)
    except Exception as error:
        if transaction.broken:
            raise _HalfDone from error
        raise
    if effect.unfinished:
        claims.queue(claimed)
        transaction.commit()
        return left_to_a_job(request, effect)
    kept = {"name": result.name, "version": result.version, "docstatus": result.docstatus}
    if not claims.finish(claimed, doctype=effect.doctype, **kept):
        # It took so long that another delivery took it over.
        frappe.db.rollback()
        return PushResult(id=request.id, outcome=PushOutcome.RUNNING, retry_after=1)
    reserved = of_push.reserve(following)
    transaction.commit()
    of_push.keep(reserved)
    return result


def begin():
    """A transaction of a request's own, and no messages of what was before. What was before it was committed or
    undone."""
    claims.turn_to_writing()
    frappe.clear_messages()
    frappe.flags.currently_saving = []


def carried_out(request, *, queued=False):
    """The request's Effect, done and not committed, and the PushResult if it ends so."""
    user = frappe.session.user
    effect = apply(request, queued=queued)
    if frappe.session.user != user:
        frappe.set_user(user)
    return effect, _result(request, effect)


def left_to_a_job(request, effect):
    return PushResult(
        id=request.id,
        outcome=PushOutcome.DEFERRED,
        name=effect.name,
        waits_for="a background job of the central",
        retry_after=_JOB_TAKES,
    )


def _result(request, effect):
    """What is answered once this is committed: the document as it stands, read anew."""
    applied = PushResult(id=request.id, outcome=PushOutcome.APPLIED, name=effect.name)
    if effect.name is None or effect.gone:
        return applied
    try:
        document = stands = as_it_stands(effect.doctype, effect.name)
    except frappe.PermissionError:
        # A user may be allowed to write what it may not read.
        document, columns = None, ["modified", "docstatus"]
        stands = frappe.db.get_value(effect.doctype, effect.name, columns, as_dict=True)
    if stands is None:
        raise _RolledBack(_ROLLED_BACK)
    version, docstatus = str(stands["modified"]), int(stands["docstatus"] or 0)
    return replace(applied, version=version, docstatus=docstatus, document=document)


def _with_document(request, result):
    """A repeated request is answered as the first time, as long as the document has not moved since."""
    if result.outcome is not PushOutcome.DUPLICATE or not request.doctype or not result.version:
        return result
    try:
        document = as_it_stands(request.doctype, result.name)
    except frappe.PermissionError:
        return result
    if document is None or str(document["modified"]) != result.version:
        return result
    return replace(result, document=document)


class Surroundings:
    """What Frappe keeps for the time of a web request, as it was before the first of a push's requests."""

    def __init__(self):
        self._user = frappe.session.user
        self._language = frappe.local.lang
        self._flags = {**frappe.local.flags, "currently_saving": []}
        self._response = copy.copy(frappe.local.response)

    def put_back(self, *, stands=False):
        """`stands`: what was done meanwhile is committed, so that what is cached of it is true. Then definitions of
        document types and the like stay in this process's cache, as they do through any job that saves many
        documents; values and documents that were looked up do not."""
        if not stands:
            frappe.db.rollback()
        if frappe.session.user != self._user:
            frappe.set_user(self._user)
        frappe.local.lang = self._language
        frappe.local.flags.clear()
        frappe.local.flags.update({**self._flags, "currently_saving": []})
        frappe.local.response = copy.copy(self._response)
        frappe.clear_messages()
        frappe.local.error_log = []
        cached, values = (frappe.local.cache, frappe.db.value_cache) if stands else ({}, {})
        frappe.local.cache = {key: value for key, value in cached.items() if self._outlives_a_request(key)}
        # By the name of a doctype: settings, which Frappe forgets when they are saved. Other values it does not forget.
        frappe.db.value_cache = {key: value for key, value in values.items() if isinstance(key, str)}
        if getattr(frappe.local, "request_cache", None) is not None:
            frappe.local.request_cache.clear()

    def _outlives_a_request(self, key):
        """Of Frappe's cache: no document, which code over there may have changed in memory, but the user's own, by
        which Frappe looks whether documents are followed each time that one is saved."""
        text = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
        return "document_cache" not in text or text.endswith(f"document_cache::User::{self._user}")
