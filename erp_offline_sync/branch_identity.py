"""Which branch this site is, and what a person says of a site that may be a copy or a replacement.

A copy ends what the original has to send and forgets the original's key: it is a site of its own, and no branch
until somebody connects it. A replacement goes on as the same branch, and looks up what may have been sent.
"""

import frappe
from frappe import _

from erp_offline_sync import bootstrap, settings, wakeup
from erp_offline_sync.engine.actions import discard_all
from erp_offline_sync.engine.errors import NotAllowed
from erp_offline_sync.engine.sending.origin import Standing

COPY, REPLACEMENT = "copy", "replacement"


def told():
    """`{"origin", "run", "site", "path", "standing", "why"}` of this site; nothing is changed."""
    assembled = bootstrap.site(connected=False)
    standing, why, kept = assembled.engine.origins.look()
    note = assembled.ports.note
    return {
        "origin": kept.id if kept else None,
        "run": kept.run if kept else 0,
        "site": note.site,
        "path": note.path,
        "standing": standing.value,
        "why": why,
    }


def decide(answer, *, by):
    """Carry out what a person says; answers how many requests were discarded. Commits."""
    assembled = bootstrap.site(connected=False)
    origins = assembled.engine.origins
    if origins.look()[0] is not Standing.ASK:
        raise NotAllowed(_("This site is known as the branch that sent before: there is nothing to decide."))
    if answer == REPLACEMENT:
        origins.take_over()
        wakeup.enqueue_run(trigger="person", force=True)
        return 0
    reason = _("This site is a copy; the original sends what is its own.")
    gone = discard_all(assembled.ports, reason=reason, by=by)
    _forget_the_key()
    origins.begin_anew()
    return gone


def _forget_the_key():
    doc = frappe.get_doc(settings.SETTINGS)
    doc.enabled, doc.api_key, doc.api_secret = 0, "", ""
    doc.flags.ignore_permissions = True
    doc.save()
    frappe.db.commit()
