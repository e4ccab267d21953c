"""Tells people that a conflict needs them, and pages that conflicts changed; after the commit, without values.

A page gets ids and a count in the room of the doctype Sync Conflict, and asks for what it may see. The document's
owner and the managers get a Notification Log each where they may read the document; it is marked as read when the
conflict no longer waits, whoever decided it.
"""

import frappe
from frappe import _
from frappe.desk.doctype.notification_settings.notification_settings import is_notifications_enabled
from frappe.realtime import get_doctype_room
from frappe.utils import escape_html, get_url_to_form

from erp_offline_sync import permissions
from erp_offline_sync.adapters.frappe_store import FrappeStore

CHANGED = "sync-conflicts-changed"
UNREAD_AT_MOST = 20
"""Who has so many unread ones needs the page, and no further reminder."""
_PEOPLE_AT_MOST = 50
_ABOUT = "Sync Conflict"


def tell(news):
    """`news`: a list of ConflictNews. Never raises: what is told is committed already."""
    changed = [each for each in news if each.waited or each.waits]
    if not changed:
        return
    try:
        _notify(changed)
        _publish(changed)
    except Exception as error:
        frappe.db.rollback()
        frappe.logger("offline_sync").error("people are not told of a conflict: %s", type(error).__name__)


def _publish(changed):
    count = frappe.db.sql("select count(*) from `tabSync Conflict` where `resolution_status` = 'pending'")[0][
        0
    ]
    told = {"changed": [each.conflict.id for each in changed], "conflictCount": int(count)}
    frappe.publish_realtime(CHANGED, told, room=get_doctype_room(_ABOUT))


def _notify(changed):
    store = FrappeStore(frappe.db.commit, frappe.db.rollback)
    with store.transaction():
        for each in changed:
            if not each.waits:
                _mark_read(each.conflict.id)
            elif not each.waited:
                for user in _people(each.conflict):
                    _remind(user, each.conflict)


def _mark_read(conflict_id):
    frappe.db.sql(
        "update `tabNotification Log` set `read` = 1"
        " where `document_type` = %s and `document_name` = %s and `read` = 0",
        (_ABOUT, conflict_id),
    )


def _people(conflict):
    """The document's owner and the managers, as far as they may read it."""
    doctype, name = conflict.resource_type, conflict.resource_id
    users = frappe.get_all(
        "Has Role", {"role": permissions.MANAGER, "parenttype": "User"}, pluck="parent", order_by="parent"
    )
    if doctype and frappe.db.exists("DocType", doctype) and frappe.db.exists(doctype, name):
        users.insert(0, frappe.db.get_value(doctype, name, "owner"))
    wanted = [user for user in dict.fromkeys(users) if user not in ("Administrator", "Guest")]
    there = set(
        frappe.get_all(
            "User", {"name": ("in", wanted), "enabled": 1, "user_type": "System User"}, pluck="name"
        )
    )
    may = (user for user in wanted if user in there and permissions.may_read(doctype, name, user))
    return [user for user, _number in zip(may, range(_PEOPLE_AT_MOST), strict=False)]


def _remind(user, conflict):
    unread = {"for_user": user, "document_type": _ABOUT, "read": 0}
    if not is_notifications_enabled(user) or frappe.db.count("Notification Log", unread) >= UNREAD_AT_MOST:
        return
    if frappe.db.exists("Notification Log", {**unread, "document_name": conflict.id}):
        return
    language = frappe.db.get_value("User", user, "language") or None
    doctype = escape_html(_(conflict.resource_type or "", lang=language))
    log = {
        "doctype": "Notification Log",
        "type": "Alert",
        "for_user": user,
        "from_user": "Administrator",
        "document_type": _ABOUT,
        "document_name": conflict.id,
    }
    if permissions.is_reader(user):
        log["subject"] = _("{0}: the two sites do not agree. Somebody has to decide.", lang=language).format(
            doctype
        )
    else:
        # Who may not see conflicts is led to the document.
        log["subject"] = _("{0}: the two sites do not agree. A manager has to decide.", lang=language).format(
            doctype
        )
        log["link"] = get_url_to_form(conflict.resource_type, conflict.resource_id)
    frappe.get_doc(log).insert(ignore_permissions=True)
