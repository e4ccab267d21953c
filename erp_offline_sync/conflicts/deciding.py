"""Decisions of people: who may, what they looked at, and the engine's own way of carrying them out.

Each is a transaction of its own. What was decided by somebody else, or moved at the central meanwhile, changes
nothing and comes back with the conflict as it stands.
"""

import frappe
from frappe import _

from erp_offline_sync import bootstrap, permissions, wakeup
from erp_offline_sync.conflicts import reading, sentences, words, written
from erp_offline_sync.conflicts.view import View
from erp_offline_sync.engine.deciding.presentation import compare
from erp_offline_sync.engine.errors import AlreadyDecided, OfflineSyncError
from erp_offline_sync.engine.model import Resolution

DECIDED = "decided"
ALREADY = "already_decided"
MOVED = "server_moved"
REFUSED = "refused"


def writable(name):
    """The conflict; refused to those who may not change its document."""
    conflict = reading.readable(name)
    if not permissions.may_write(conflict.resource_type, conflict.resource_id):
        raise frappe.PermissionError(_("You may not change the document that this is about."))
    return conflict


def decided(name, resolution, choices, values, server_version):
    """`{"status", "message", "conflict"}`. Refuses by PermissionError who may not change the document at all."""
    conflict = writable(name)
    if not conflict.pending:
        return _answer(ALREADY, name)
    if server_version and server_version != conflict.server_version:
        message = _("It was changed at the central again. Look at it once more.")
        return _answer(MOVED, name, message)
    if why := refusal(conflict, resolution, choices, values):
        return _answer(REFUSED, name, why)
    try:
        _site().engine.resolutions.apply(
            name,
            resolution,
            by=frappe.session.user,
            reason="decided by a person",
            **given(choices, values),
        )
    except AlreadyDecided:
        return _answer(ALREADY, name)
    except OfflineSyncError as refused:
        return _answer(REFUSED, name, sentences.told(str(refused)))
    wakeup.enqueue_run(trigger="person")
    return _answer(DECIDED, name, _("Decided."))


def decided_many(names, resolution):
    """One after the other; what one is refused for stops none of the others."""
    results = []
    for name in names:
        try:
            answer = decided(name, resolution, {}, {}, None)
        except (frappe.PermissionError, frappe.DoesNotExistError) as refused:
            frappe.clear_messages()
            results.append({"name": name, "ok": False, "message": str(refused)})
            continue
        results.append({"name": name, "ok": answer["status"] == DECIDED, "message": answer["message"]})
    return {"results": results}


def undone(name):
    """`{"status": "undone" or "refused", "message", "conflict"}`."""
    conflict = writable(name)
    if not conflict.pending and (why := refusal(conflict, conflict.resolution, {}, {})):
        return _answer(REFUSED, name, why)
    try:
        _site().engine.resolutions.undo(name, by=frappe.session.user)
    except OfflineSyncError as refused:
        return _answer(REFUSED, name, sentences.told(str(refused)))
    return _answer("undone", name, _("It waits for a decision again."))


def ports():
    """What a decision needs. It sends nothing: a site whose credentials are lost can decide too."""
    return _site().ports


def _site():
    try:
        return bootstrap.site(connected=False)
    except OfflineSyncError as error:
        frappe.throw(sentences.told(str(error)), title=_("Offline sync"))


def given(choices, values):
    """As the engine takes them: what was left out is none."""
    return {"choices": choices or None, "values": values or None}


def refusal(conflict, resolution, choices, values):
    """Why this person may not decide it so, None where they may: fields of a permission level that they may not
    write, or what can be no value. A decision writes what differs, as its own user, and Frappe would leave those
    fields out without a word."""
    if resolution is Resolution.SKIP:
        return None
    view = View(conflict.resource_type)
    labels = view.beyond_writing(compare(reading.merged_of(conflict)))
    keys = [*choices, *values, *(key for key, _cell in written.cells_of(values))]
    labels += [view.label_of_key(key) for key in keys if not view.changes_key(key)]
    if labels:
        return words.not_yours(labels)
    return " ".join(dict.fromkeys(written.nonsense(view, values))) or None


def _answer(status, name, message=None):
    row = reading.row_of(name)
    if status == ALREADY:
        message = words.decided_by(row)
    return {"status": status, "message": message, "conflict": row}
