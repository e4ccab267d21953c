"""One request's effect on the documents here, by what Frappe's REST does: insert, save, submit, cancel, rename,
delete, or a whitelisted call, as the user whose key the branch has.

Nothing here commits or rolls back. A document is read under a lock and compared with the version that the branch
knew, byte for byte; whether a moved version is a conflict is the branch's to say, which knows the base.
"""

from dataclasses import dataclass
from urllib.parse import unquote

import frappe
import frappe.handler
from frappe import _
from frappe.model.base_document import get_controller
from frappe.model.document import Document

from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.sending.outgoing import DOCSTATUS
from erp_offline_sync.engine.sending.push import gone_rows, patched_rows

METHOD_PATH = "/api/method/"
NOT_CALLED = frozenset(
    {"login", "logout", "web_logout", "frappe.handler.logout", "frappe.handler.web_logout"}
)
"""About the session, which is the push's."""
_OURS = "erp_offline_sync.receiver."


class Differs(Exception):
    """The document is not what the branch took it for. `exc_type` as Frappe would name it; `name` of the document
    that is there instead, None where there is none."""

    def __init__(self, exc_type, doctype, name=None):
        super().__init__(exc_type)
        self.exc_type = exc_type
        self.doctype = doctype
        self.name = name


@dataclass(frozen=True)
class Effect:
    """`name` of the document afterwards, None for a call. `unfinished`: a background job here does the rest."""

    doctype: str | None = None
    name: str | None = None
    gone: bool = False
    unfinished: bool = False


def apply(request, *, queued=False):
    """Do it; answers the Effect. Raises Differs, and whatever Frappe raises. `queued`: it was left to a job before."""
    if request.doctype:
        try:
            frappe.get_meta(request.doctype)
        except frappe.DoesNotExistError:
            frappe.clear_messages()
            raise ImportError(_("There is no document type {0}.").format(request.doctype)) from None
    return _OPERATIONS[request.operation](request, queued)


def _create(request, queued):
    meta = frappe.get_meta(request.doctype)
    name = request.set_name
    if name is None and (meta.autoname or "").lower() == "prompt":
        name = request.values.get("name")
    if name and frappe.db.exists(request.doctype, name):
        raise Differs("DuplicateEntryError", request.doctype, str(name))
    document = frappe.get_doc({"doctype": request.doctype, **_own(meta, request.values)})
    if request.values.get("docstatus"):
        document.docstatus = int(request.values["docstatus"])
    document.insert(set_name=name or None)
    return Effect(doctype=request.doctype, name=str(document.name))


def _save(request, queued):
    document = _known(request)
    _fill(document, request)
    document.save()
    return Effect(doctype=request.doctype, name=str(document.name))


def _move(request, queued):
    wanted = DOCSTATUS[request.operation]
    move = request.operation.value
    if queued:
        document = _load(request)
        if document.docstatus == wanted:
            return Effect(doctype=request.doctype, name=str(document.name))
        if document.is_locked:
            # Frappe 15 would refuse with a class that says nothing.
            raise frappe.DocumentLockedError(_("A job of the central is at work on it."))
    document = _known(request)
    if document.docstatus == wanted:
        # Somebody moved it, and that is what the branch knows: there is nothing left to do.
        if request.values or request.rows:
            raise Differs("DocstatusTransitionError", request.doctype, str(document.name))
        document.check_permission(move)
        return Effect(doctype=request.doctype, name=str(document.name))
    if request.values or request.rows:
        _fill(document, request)
        if getattr(type(document), move) is not getattr(Document, move):
            # It may leave the rest to a job, which reads the document anew.
            document.save()
    getattr(document, move)()
    reached = frappe.db.get_value(request.doctype, document.name, "docstatus")
    return Effect(doctype=request.doctype, name=str(document.name), unfinished=reached != wanted)


def _delete(request, queued):
    if not frappe.db.exists(request.doctype, request.name):
        frappe.has_permission(request.doctype, "delete", throw=True)
        return Effect(doctype=request.doctype, name=request.name, gone=True)
    document = _known(request)
    frappe.delete_doc(request.doctype, document.name, ignore_missing=False)
    return Effect(doctype=request.doctype, name=request.name, gone=True)


def _rename(request, queued):
    document = _known(request)
    name = frappe.rename_doc(
        request.doctype, document.name, request.new_name, merge=request.merge, show_alert=False
    )
    return Effect(doctype=request.doctype, name=str(name))


def _call(request, queued):
    command = unquote(request.path.removeprefix(METHOD_PATH)).split("/")[0]
    allowed = command not in NOT_CALLED and not command.startswith(_OURS)
    if not request.path.startswith(METHOD_PATH) or not allowed:
        frappe.throw(_("That cannot be called by a push."), frappe.PermissionError)
    local, web = frappe.local, frappe.local.request
    kept = local.form_dict, local.response, web.method
    local.form_dict = frappe._dict(request.values)
    local.response = frappe._dict({"docs": []})
    web.method = request.method
    try:
        frappe.handler.execute_cmd(command)
    finally:
        local.form_dict, local.response, web.method = kept
    return Effect()


_OPERATIONS = {
    Operation.CREATE: _create,
    Operation.UPDATE: _save,
    Operation.SUBMIT: _move,
    Operation.CANCEL: _move,
    Operation.DELETE: _delete,
    Operation.RENAME: _rename,
    Operation.CALL: _call,
}


# documents


def _load(request):
    if not frappe.db.exists(request.doctype, request.name):
        frappe.has_permission(request.doctype, "read", throw=True)
        raise Differs("DoesNotExistError", request.doctype)
    return frappe.get_doc(request.doctype, request.name, for_update=True)


def _known(request):
    """The document, locked, as the branch knows it."""
    document = _load(request)
    if not request.overwrite and str(document.modified) != request.version:
        raise Differs("TimestampMismatchError", request.doctype, str(document.name))
    return document


def _fill(document, request):
    document.update(_own(document.meta, request.values, document))
    for table, patch in request.rows.items():
        field = document.meta.get_field(table)
        if field is None or field.fieldtype not in frappe.model.table_fields:
            continue
        rows = {str(row.name): row for row in document.get(table)}
        current = [{"name": name} for name in rows]
        if gone_rows(current, patch):
            raise Differs("TimestampMismatchError", request.doctype, str(document.name))
        document.set(table, _patched(patched_rows(current, patch), rows, frappe.get_meta(field.options)))


def _patched(planned, rows, meta):
    """The rows as planned: those that are there with their changes, and new ones."""
    made = []
    for place, values in enumerate(planned, start=1):
        row = rows.get(values.get("name"))
        if row is None:
            made.append({**_own(meta, values), "idx": place})
        else:
            row.update({**_own(meta, values), "idx": place})
            made.append(row)
    return made


def _own(meta, values, document=None):
    """The values that are fields of the doctype, those of its rows likewise. A row keeps its name only where the
    document has it: Frappe loses rows under a name that it does not know."""
    kept = {}
    for name, value in values.items():
        field = meta.get_field(name)
        if field is None or field.get("is_virtual"):
            continue
        if field.fieldtype in frappe.model.table_fields and isinstance(value, list):
            rows = {str(row.name) for row in document.get(name)} if document else set()
            child = frappe.get_meta(field.options)
            value = [
                {**_own(child, row), **({"name": row["name"]} if row.get("name") in rows else {})}
                for row in value
                if isinstance(row, dict)
            ]
        kept[name] = value
    return kept


def as_it_stands(doctype, name):
    """The document as the user may read it, read anew: no passwords and nothing of the Desk's own. None where it is
    gone; raises PermissionError where the user may not read it."""
    document = _read_anew(doctype, name)
    if document is None:
        return None
    document.check_permission("read")
    document.apply_fieldlevel_read_permissions()
    return _shown(document.meta, document.as_dict())


def _read_anew(doctype, name):
    """As `frappe.get_doc` answers it; None where it is gone. Frappe 15 puts the statements together with a parser and
    asks Redis first, which takes longer than they do."""
    meta = frappe.get_meta(doctype)
    if meta.issingle or get_controller(doctype).load_from_db is not Document.load_from_db:
        said = list(frappe.local.message_log)
        try:
            return frappe.get_doc(doctype, name)
        except frappe.DoesNotExistError:
            frappe.local.message_log = said
            return None
    found = frappe.db.sql(f"SELECT * FROM `tab{doctype}` WHERE `name` = %s", (name,), as_dict=True)  # noqa: S608
    if not found:
        return None
    tables = {field.fieldname: _rows_of(doctype, name, field) for field in meta.get_table_fields()}
    return frappe.get_doc({**found[0], "doctype": doctype, **tables})


def _rows_of(doctype, name, field):
    if frappe.get_meta(field.options).get("is_virtual"):
        return []
    return frappe.db.sql(
        f"""SELECT * FROM `tab{field.options}` WHERE `parent` = %s AND `parenttype` = %s AND `parentfield` = %s
        ORDER BY `idx`""",  # noqa: S608
        (name, doctype, field.fieldname),
        as_dict=True,
    )


def _shown(meta, values):
    shown = {}
    for name, value in values.items():
        field = meta.get_field(name)
        if name.startswith("_") or (field and field.fieldtype == "Password"):
            continue
        if field and field.fieldtype in frappe.model.table_fields:
            child = frappe.get_meta(field.options)
            value = [_shown(child, row) for row in value or ()]
        shown[name] = value
    return shown
