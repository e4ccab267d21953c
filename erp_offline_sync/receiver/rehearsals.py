"""What the central would answer to a push, found by carrying it out and undoing it.

The same code as a push's does it, in a transaction that is always rolled back: no receipt, no claim, no Sync Origin
is written. What would leave the database is held back: mail, jobs, realtime messages, and commits, after which
nothing could be undone. The flag `in_offline_rehearsal` tells the central's own code, for what only it knows.
"""

from contextlib import contextmanager
from functools import wraps

import frappe
import frappe.realtime
from frappe import _
from frappe.utils import background_jobs

from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.sending.push import PushOutcome, PushResult, Unreadable
from erp_offline_sync.receiver.contention import tried_again
from erp_offline_sync.receiver.deliveries import (
    APPLYING,
    Surroundings,
    begin,
    carried_out,
    left_to_a_job,
    unreadable,
)
from erp_offline_sync.receiver.refusals import refused, spoken

REHEARSING = "in_offline_rehearsal"
"""The flag of a request under which nothing leaves the database, and no job and no message is sent."""
_IMPLICIT = "ImplicitCommitError"
"""What Frappe raises of a statement that would commit by itself."""


class _Committed(Exception):
    """Code of the central would have committed."""


class _Nowhere:
    """A queue that takes nothing."""

    count = 0

    def enqueue_call(self, *_args, **given):
        return frappe._dict(id=given.get("job_id"))


def rehearsed(push):
    """The outcomes of the push's requests, each on the documents as they stand now. Commits nothing."""
    surroundings, outcomes = Surroundings(), []
    _guard(background_jobs, "get_queue", lambda *_args, **_given: _Nowhere())
    _guard(frappe.realtime, "emit_via_redis", lambda *_args, **_given: None)
    for request in push.requests:
        try:
            outcomes.append(_rehearse(request))
        finally:
            surroundings.put_back()
    return outcomes


def _rehearse(request):
    if isinstance(request, Unreadable):
        return unreadable(request)
    if request.operation is Operation.CALL:
        return _untold(request, _("What a call would do is not known before it is made."))
    frappe.flags[APPLYING] = frappe.flags[REHEARSING] = frappe.flags.mute_emails = True
    seen = _Seen()
    try:
        outcome = tried_again(lambda: _tried(request, seen))
    except Exception as error:
        message = spoken(error)
        frappe.db.rollback()
        frappe.clear_messages()
        seen.commits = seen.commits or type(error).__name__ == _IMPLICIT
        outcome = refused(request, error, message, logged=False)
    if seen.commits:
        return _untold(request, _("Code of the central commits in the middle of it."))
    if seen.rolls_back:
        return _untold(request, _("Code of the central rolls back in the middle of it."))
    return outcome


class _Seen:
    """What code of the central tried to do with the transaction."""

    commits = False
    rolls_back = False


def _tried(request, seen):
    begin()
    with _held_back(seen):
        effect, result = carried_out(request)
    frappe.db.rollback()
    return left_to_a_job(request, effect) if effect.unfinished else result


def _untold(request, why):
    return PushResult(id=request.id, outcome=PushOutcome.IN_DOUBT, name=request.name, message=why)


@contextmanager
def _held_back(seen):
    """Inside, this connection does not commit; documents that a job was to unlock are unlocked at the end."""
    database, locked = frappe.local.db, len(frappe.local.locked_documents)
    roll_back = database.rollback

    def commit(*_args, **_given):
        seen.commits = True
        raise _Committed

    def rollback(*, save_point=None):
        seen.rolls_back = seen.rolls_back or save_point is None
        return roll_back(save_point=save_point)

    database.commit, database.rollback = commit, rollback
    try:
        yield
    finally:
        del database.commit, database.rollback
        for document in frappe.local.locked_documents[locked:]:
            document.unlock()


def _guard(module, name, instead):
    """From now on `module.name` does `instead` within a rehearsal: of this thread's request, and of no other."""
    real = getattr(module, name)
    if getattr(real, "held_back", False):
        return

    @wraps(real)
    def guarded(*args, **given):
        flags = getattr(frappe.local, "flags", None) or {}
        return (instead if flags.get(REHEARSING) else real)(*args, **given)

    guarded.held_back = True
    setattr(module, name, guarded)
