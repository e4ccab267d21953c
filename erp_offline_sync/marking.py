"""Adds the field of the mark to a doctype at a plain central, and takes it away again (engine/sending/marks.py)."""

import frappe
from frappe import _

from erp_offline_sync import bootstrap, settings
from erp_offline_sync.engine.errors import NotAllowed, SettingsError
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Wire
from erp_offline_sync.engine.paths import document_path
from erp_offline_sync.engine.sending.marks import MARK, mark_of
from erp_offline_sync.engine.transitions import OPEN
from erp_offline_sync.tasks import own_store

_PAGE = 500
_FIELD = "Custom Field"


def mark(doctype, *, unique=False, key=None, secret=None):
    """Add it there, see that the branch's user can look by it, and mark what is created from now on. Commits."""
    row = _policy_row(doctype)
    field = {
        "dt": doctype,
        "fieldname": MARK,
        "label": "Offline Sync Request",
        "fieldtype": "Data",
        "hidden": 1,
        "read_only": 1,
        "no_copy": 1,
        "print_hide": 1,
        # Not by itself: Frappe on SQLite would build the table anew without its primary key.
        "unique": 1 if unique else 0,
    }
    with _central() as ours, _central(key, secret) as theirs:
        there = theirs.fetch(_FIELD, _name(doctype)).status
        if there != 200:
            body = canonical_json(field)
            _done(theirs.deliver(Wire(method="POST", path=document_path(_FIELD), body=body), key=""), doctype)
        if ours.find(doctype, {MARK: "-"}).status != 200:
            raise SettingsError(
                _(
                    "The field is there, but the branch's user cannot look by it. Give that user read permission."
                )
            )
    _set_marked(row, 1)
    return _("New documents of {0} carry their request's id at the central from now on.").format(_(doctype))


def unmark(doctype, *, key=None, secret=None):
    """Mark nothing any more, then take the field away. Commits."""
    row = _policy_row(doctype)
    if _under_way(doctype):
        raise NotAllowed(
            _("A marked {0} is under way, and is found by its mark alone: send or discard it first.").format(
                _(doctype)
            )
        )
    _set_marked(row, 0)
    with _central(key, secret) as theirs:
        reply = theirs.deliver(
            Wire(method="DELETE", path=document_path(_FIELD, _name(doctype)), body=None), key=""
        )
        if reply.status != 404:
            _done(reply, doctype)
    return _("New documents of {0} carry nothing any more, and the field is gone at the central.").format(
        _(doctype)
    )


class _central:
    """The central as the branch's user, or as somebody else for this once."""

    def __init__(self, key=None, secret=None):
        if bool(key) != bool(secret):
            raise SettingsError(_("A key and its secret belong together: --key and --secret-file."))
        values = settings.effective()
        self._central = bootstrap.site_central({**values, **({"api_key": key} if key else {})}, secret=secret)

    def __enter__(self):
        return self._central

    def __exit__(self, *error):
        self._central.close()


def _name(doctype):
    return f"{doctype}-{MARK}"


def _policy_row(doctype):
    doc = frappe.get_doc(settings.SETTINGS)
    row = next((row for row in doc.policies if row.document_type == doctype and row.enabled), None)
    if row is None:
        raise NotAllowed(_("{0} is not captured: give it a policy first.").format(_(doctype)))
    return row


def _set_marked(row, value):
    doc = frappe.get_doc(settings.SETTINGS)
    for each in doc.policies:
        if each.document_type == row.document_type:
            each.marked = value
    doc.flags.ignore_permissions = True
    doc.save()
    frappe.db.commit()


def _done(reply, doctype):
    if reply.status in (200, 202):
        return
    if reply.status == 403:
        who = _(
            "The branch's user may not change fields at the central. Repeat with --key and --secret-file of"
        )
        raise SettingsError(f"{who} {_('an administrator there; they are used this once and not kept')}.")
    answered = reply.status or reply.detail
    raise SettingsError(
        _("The central did not change the fields of {0} (it answers {1}).").format(_(doctype), answered)
    )


def _under_way(doctype):
    """Whether an open create carries its mark already."""
    store, after = own_store(), 0
    while True:
        with store.transaction():
            page = store.list_requests(statuses=OPEN, doctype=doctype, limit=_PAGE, after=after)
        if any(mark_of(request) for request in page):
            return True
        if len(page) < _PAGE:
            return False
        after = page[-1].seq
