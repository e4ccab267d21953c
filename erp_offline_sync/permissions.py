"""Who may read rows that carry a document's values: a role of this app, and permission on that document.

One rule, in two forms: `has_permission` for one row, `query_conditions` for lists, reports, exports and counts.
Where a user may read only some documents of a doctype (user permissions, if owner, shares), rows about documents
that are gone are not shown to that user.
"""

import frappe
import frappe.client
import frappe.desk.reportview
from frappe.model.db_query import DatabaseQuery
from frappe.permissions import get_role_permissions

MANAGER = "Offline Sync Manager"
USER = "Offline Sync User"
ADMINISTRATOR = "System Manager"

ABOUT = {
    "Offline Request": ("resource_type", "resource_id"),
    "Synced Document": ("reference_doctype", "local_name"),
    "Sync Conflict": ("resource_type", "resource_id"),
}
"""Our doctype → its fields that name the document it is about."""

COUNTED = frozenset({*ABOUT, "Offline Request Link", "Sync Metadata"})

READING = frozenset({"read", "select", "print", "email", "report", "export"})
NOTHING = "1=0"


def has_permission(doc, ptype=None, user=None, debug=False):
    """True or False, never None: None means "allowed" to Frappe 15 and "denied" to 16."""
    user = user or frappe.session.user
    if user == "Administrator":
        return True
    if (ptype or "read") not in READING or not is_reader(user):
        return False
    type_field, name_field = ABOUT[doc.doctype]
    return may_read(doc.get(type_field), doc.get(name_field), user)


def query_conditions(user=None, doctype=None):
    """SQL for the rows of one of our doctypes that the user may read."""
    user = user or frappe.session.user
    if user == "Administrator":
        return ""
    if not is_reader(user):
        return NOTHING
    type_field, name_field = (f"`tab{doctype}`.`{field}`" for field in ABOUT[doctype])
    whole, parts = [], []
    for about in _types_in(doctype):
        if not frappe.db.exists("DocType", about):
            if is_manager(user):
                whole.append(about)
            continue
        condition = _readable(about, user)
        if condition == "":
            whole.append(about)
        elif condition:
            names = f"select `tab{about}`.`name` from `tab{about}` where {condition}"  # noqa: S608 - a doctype's own table
            parts.append(f"({type_field} = {_quoted(about)} and {name_field} in ({names}))")
    if whole:
        parts.append(f"{type_field} in ({', '.join(map(_quoted, whole))})")
    if is_manager(user):
        parts.append(f"coalesce({type_field}, '') = ''")
    return f"({' or '.join(parts)})" if parts else NOTHING


@frappe.whitelist()
def get_count(
    doctype: str, filters: str | dict | list | None = None, debug: bool = False, cache: bool = False
):
    """Stands in for frappe.client.get_count, which counts without asking for permission: with filters on a
    request's body it would answer questions about documents that the caller may not read."""
    if doctype not in COUNTED:
        return frappe.client.get_count(doctype, filters, debug, cache)
    frappe.local.form_dict = frappe._dict(doctype=doctype, filters=filters or [], fields=[])
    return frappe.desk.reportview.get_count()


def is_reader(user=None):
    return bool({USER, MANAGER, ADMINISTRATOR} & set(frappe.get_roles(user)))


def is_manager(user=None):
    return bool({MANAGER, ADMINISTRATOR} & set(frappe.get_roles(user)))


def may_read(doctype, name, user=None):
    """Whether the user may read the document that a row is about."""
    user = user or frappe.session.user
    if user == "Administrator":
        return True
    if not doctype or not frappe.db.exists("DocType", doctype):
        return is_manager(user)
    if name and frappe.db.exists(doctype, name):
        document = frappe.get_doc(doctype, name)
        return bool(frappe.has_permission(doctype, "read", doc=document, user=user))
    return _readable(doctype, user) == ""


def may_write(doctype, name, user=None):
    """Whether the user may change the document that a row is about; where it is gone, all documents of its type."""
    user = user or frappe.session.user
    if user == "Administrator":
        return True
    if not doctype or not frappe.db.exists("DocType", doctype):
        return is_manager(user)
    if name and frappe.db.exists(doctype, name):
        return bool(frappe.has_permission(doctype, "write", doc=frappe.get_doc(doctype, name), user=user))
    return _readable(doctype, user) == "" and bool(frappe.has_permission(doctype, "write", user=user))


def _types_in(doctype):
    """The document types that occur in the column, one seek of an index each."""
    field = ABOUT[doctype][0]
    found = []
    last = ""
    while True:
        row = frappe.db.sql(
            f"select `{field}` from `tab{doctype}` where `{field}` > %s order by `{field}` limit 1",  # noqa: S608 - names of our own
            (last,),
        )
        if not row:
            return found
        last = row[0][0]
        found.append(last)


def _readable(doctype, user):
    """SQL for the documents of a doctype that the user may read; "" for all, None for none."""
    meta = frappe.get_meta(doctype)
    if meta.istable or meta.issingle or meta.get("is_virtual"):
        return "" if is_manager(user) else None
    rights = get_role_permissions(meta, user=user)
    if not rights.get("read"):
        return _shared(doctype, user)
    query = DatabaseQuery(doctype, user=user)
    condition = query.build_match_conditions()
    if "read" in (rights.get("if_owner") or {}):
        owned = f"`tab{doctype}`.`owner` = {_quoted(user)}"
        condition = f"({condition}) and ({owned})" if condition else owned
        if shared := _shared(doctype, user):
            condition = f"({condition}) or ({shared})"
    return condition


def _shared(doctype, user):
    names = frappe.share.get_shared(doctype, user, rights=["read"])
    if not names:
        return None
    return f"`tab{doctype}`.`name` in ({', '.join(map(_quoted, names))})"


def _quoted(text):
    return frappe.db.escape(text, percent=False)
