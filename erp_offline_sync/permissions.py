"""Who may read rows that carry a document's values: a role of this app, and permission on that document.

One rule, in two forms: `has_permission` for one row, `query_conditions` for lists, reports, exports and counts.
Where a user may read only some documents of a doctype (user permissions, if owner, shares), rows about documents
that are gone are not shown to that user.
"""

import frappe
import frappe.client
import frappe.desk.reportview
from frappe import _
from frappe.model.db_query import DatabaseQuery
from frappe.permissions import get_role_permissions, get_user_permissions

from erp_offline_sync.endpoints import needs_all_parameters
from erp_offline_sync.policies import OUR_MODULE, SETUP_MODULES

MANAGER = "Offline Sync Manager"
USER = "Offline Sync User"
ADMINISTRATOR = "System Manager"

ABOUT = {
    "Offline Request": ("resource_type", "resource_id"),
    "Synced Document": ("reference_doctype", "local_name"),
    "Sync Conflict": ("resource_type", "resource_id"),
    "Sync Receipt": ("reference_doctype", "reference_name"),
}
"""Our doctype → its fields that name the document it is about."""

COUNTED = frozenset({*ABOUT, "Offline Request Link", "Sync Metadata", "Sync Origin"})

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
            parts.append(f"({type_field} = {quoted(about)} and {name_field} in ({names}))")
    if whole:
        parts.append(f"{type_field} in ({', '.join(map(quoted, whole))})")
    if is_manager(user):
        parts.append(f"coalesce({type_field}, '') = ''")
    return f"({' or '.join(parts)})" if parts else NOTHING


def may_see_origin(doc, ptype=None, user=None, debug=False):
    """A branch as the central knows it is the managers' to see, and to stop. Always True or False."""
    user = user or frappe.session.user
    return user == "Administrator" or ((ptype or "read") in READING | {"write"} and is_manager(user))


def origin_conditions(user=None, doctype=None):
    user = user or frappe.session.user
    return "" if user == "Administrator" or is_manager(user) else NOTHING


@frappe.whitelist()
@needs_all_parameters
def get_count(
    doctype: str, filters: str | dict | list | None = None, debug: bool = False, cache: bool = False
) -> int | None:
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
        return _is_allowed("read", frappe.get_doc(doctype, name), user)
    return _readable(doctype, user) == ""


def may_write(doctype, name, user=None):
    """Whether the user may change the document that a row is about; where it is gone, all documents of its type."""
    user = user or frappe.session.user
    if user == "Administrator":
        return True
    if not doctype or not frappe.db.exists("DocType", doctype):
        return is_manager(user)
    if name and frappe.db.exists(doctype, name):
        return _is_allowed("write", frappe.get_doc(doctype, name), user)
    return _readable(doctype, user) == "" and bool(frappe.has_permission(doctype, "write", user=user))


def writes_all(doctype, user=None):
    """Whether the user may change each document of the type, so that none has to be looked at. False where that
    depends on the document."""
    user = user or frappe.session.user
    if user == "Administrator":
        return True
    if not doctype or not frappe.db.exists("DocType", doctype):
        return is_manager(user)
    asked = frappe.get_hooks("has_permission")
    rights = get_role_permissions(frappe.get_meta(doctype), user=user)
    restricted = "write" in (rights.get("if_owner") or {}) or get_user_permissions(user)
    return bool(rights.get("write")) and not (restricted or asked.get(doctype) or asked.get("*"))


def levels(doctype, right, user=None):
    """The permission levels of a document's fields that the user has, once the document itself is allowed; None
    for all."""
    user = user or frappe.session.user
    if user == "Administrator" or not frappe.db.exists("DocType", doctype):
        return None
    return {0, *frappe.get_meta(doctype).get_permlevel_access(right, user=user)}


def only_readers():
    """Refuses who has no role of this app."""
    if not is_reader():
        raise frappe.PermissionError(_("This needs the role Offline Sync User or Offline Sync Manager."))


def _is_allowed(right, document, user):
    """Asked in the middle of another question, Frappe would add to that one's explanation which document it was
    that the user may not read."""
    told = frappe.flags.get("has_permission_check_logs")
    length = len(told or ())
    try:
        return bool(frappe.has_permission(document.doctype, right, doc=document, user=user))
    finally:
        if told is not None:
            del told[length:]


def why_not_change(doctype, name, rights, values, *, is_new):
    """Why the user may not do that to the document here, for people; None where it is allowed.

    `rights` such as ("write",). Asked of the document as it stands and as `values` would make it: a user who is
    restricted to some links, or from some fields, is so for what is queued as well. Raises DoesNotExistError.
    """
    stands = None if is_new else _known(doctype, name, rights)
    becomes = frappe.new_doc(doctype) if stands is None else frappe.get_doc(doctype, name)
    meta = becomes.meta
    try:
        becomes.update({field: value for field, value in values.items() if meta.has_field(field)})
    except (TypeError, ValueError, AttributeError):
        frappe.throw(_("The body does not fit the fields of {0}.").format(_(doctype)))
    if frappe.session.user == "Administrator":
        return None
    if stands is not None and stands.docstatus == 1 and "write" in rights:
        rights = ("submit",)
    for right in rights:
        if not all(frappe.has_permission(doctype, right, doc=each) for each in (stands or becomes, becomes)):
            return _("You may not do that to {0} {1}.").format(_(doctype), name or "")
    if beyond := _beyond(becomes, values):
        return _("You may not change {0} of {1}.").format(", ".join(beyond), _(doctype))
    return None


def _known(doctype, name, rights):
    if not frappe.db.exists(doctype, name):
        for right in rights:
            frappe.has_permission(doctype, right, throw=True)
        raise frappe.DoesNotExistError
    return frappe.get_doc(doctype, name)


def _beyond(document, values):
    """Fields among the values of a permission level that the user may not write at."""
    levels = document.get_permlevel_access("write")
    found = [df.fieldname for df in document.meta.get_high_permlevel_fields() if df.fieldname in values]
    found = [name for name in found if document.meta.get_field(name).permlevel not in levels]
    for table in document.meta.get_table_fields():
        for df in frappe.get_meta(table.options).get_high_permlevel_fields():
            rows = values.get(table.fieldname) or ()
            if df.permlevel not in levels and any(df.fieldname in row for row in rows):
                found.append(f"{table.fieldname}.{df.fieldname}")
    return found


def is_set_up(doctype):
    """Whether documents of this type say how a site works: users, roles, scripts, fields, this app's own."""
    meta = frappe.get_meta(doctype)
    return meta.module == OUR_MODULE or (meta.module in SETUP_MODULES and not meta.custom)


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
        owned = f"`tab{doctype}`.`owner` = {quoted(user)}"
        condition = f"({condition}) and ({owned})" if condition else owned
        if shared := _shared(doctype, user):
            condition = f"({condition}) or ({shared})"
    return condition


def _shared(doctype, user):
    names = frappe.share.get_shared(doctype, user, rights=["read"])
    if not names:
        return None
    return f"`tab{doctype}`.`name` in ({', '.join(map(quoted, names))})"


def quoted(text):
    """A text as a literal, for statements that are run without values."""
    literal = frappe.db.escape(text, percent=False)
    # Frappe's SQLite takes %s for the place of a value wherever it stands.
    return literal.replace("%s", "%' || 's") if frappe.db.db_type == "sqlite" else literal
