"""Conflicts as they are shown: the list by SQL under the reader's permissions, one in full by its merge.

Nothing here writes. The list reads no document's values but the title; one conflict answers the fields of the
reader's permission levels only.
"""

import json
from datetime import timedelta
from urllib.parse import urlsplit

import frappe
from frappe import _
from frappe.utils import cint, now_datetime

from erp_offline_sync import permissions, settings
from erp_offline_sync.adapters.frappe_meta import FrappeLocalDocuments, FrappePolicies
from erp_offline_sync.adapters.frappe_store import FrappeStore
from erp_offline_sync.conflicts import sentences, words
from erp_offline_sync.conflicts.view import View
from erp_offline_sync.engine.deciding.presentation import came_to, compare, decided
from erp_offline_sync.engine.deciding.resolution import resolutions_of
from erp_offline_sync.engine.deciding.standing import Standing
from erp_offline_sync.engine.merge import merge

PAGE = 200
"""The most rows that one call answers."""

_COLUMNS = (
    "name",
    "resource_type",
    "resource_id",
    "title",
    "conflict_type",
    "changed_by",
    "server_changed_by",
    "reason",
    "resolution_status",
    "resolution",
    "resolved_by",
    "times",
)
_SHOWN = ", ".join(f"`{column}`" for column in _COLUMNS) + ", `undo` is not null as `kept`"

# the list


def listed(filters, *, start, limit):
    """`{"total", "counts", "rows"}`: the counts by doctype leave the filter on the doctype out."""
    about = _condition({key: value for key, value in filters.items() if key != "doctype"})
    counts = dict(
        frappe.db.sql(
            "select `resource_type`, count(*) from `tabSync Conflict`"  # noqa: S608 - values are escaped
            f" where {about} group by `resource_type`"
        )
    )
    doctype = filters.get("doctype")
    wanted = about if not doctype else f"{about} and `resource_type` = {_quoted(doctype)}"
    order = "`creation` asc" if _pending(filters) else "`resolved_at` desc"
    rows = frappe.db.sql(
        f"select {_SHOWN} from `tabSync Conflict`"  # noqa: S608 - values are escaped
        f" where {wanted} order by {order}, `name` limit {max(0, min(limit, PAGE))} offset {max(0, start)}",
        as_dict=True,
    )
    return {
        "total": counts.get(doctype, 0) if doctype else sum(counts.values()),
        "counts": counts,
        "rows": _rows(rows),
    }


def _pending(filters):
    return filters.get("status") != "resolved"


def _condition(filters):
    """SQL for what the reader may see of it. Values are written into it, as the permissions are: a text that
    holds a percent sign would be taken for a place of a value beside those."""
    parts = [f"`resolution_status` = {_quoted('pending' if _pending(filters) else 'resolved')}"]
    if allowed := permissions.query_conditions(doctype="Sync Conflict"):
        parts.append(allowed)
    for column in ("conflict_type", "changed_by"):
        if filters.get(column):
            parts.append(f"`{column}` = {_quoted(filters[column])}")
    if days := cint(filters.get("older_than_days")):
        before = now_datetime() - timedelta(days=min(max(days, 0), 36_500))
        parts.append(f"`creation` < {_quoted(before.isoformat(sep=' '))}")
    if search := str(filters.get("search") or "").strip().lower():
        columns = ("resource_id", "title", "resource_type")
        found = [f"{_place()}(lower(coalesce(`{column}`, '')), {_quoted(search)}) > 0" for column in columns]
        parts.append(f"({' or '.join(found)})")
    return " and ".join(parts)


def _place():
    """Where a text stands in another: no sign in it has a meaning of its own, as it would with LIKE."""
    return "strpos" if frappe.db.db_type == "postgres" else "instr"


def _quoted(value):
    return permissions.quoted(str(value))


def _rows(found):
    people = words.names_of(row.changed_by for row in found)
    everywhere = {}
    rows = []
    for row in found:
        pending = row.resolution_status == "pending"
        times = json.loads(row.pop("times") or "{}")
        row.update(
            title=row.title or row.resource_id,
            reason=sentences.told(row.reason),
            created_at=times.get("created_at"),
            local_changed_at=times.get("local_changed_at"),
            resolved_at=times.get("resolved_at"),
            sentence=words.sentence(
                row.conflict_type, people.get(row.changed_by) or row.changed_by, row.server_changed_by
            ),
            may_decide=pending and _may_write(everywhere, row),
            may_undo=bool(row.pop("kept")) and _may_write(everywhere, row),
        )
        rows.append(row)
    return rows


def _may_write(everywhere, row):
    """`everywhere`: {doctype: whether that holds for all documents}, as far as it was asked."""
    doctype = row.resource_type
    if doctype not in everywhere:
        everywhere[doctype] = permissions.writes_all(doctype)
    return everywhere[doctype] or permissions.may_write(doctype, row.resource_id)


# one conflict


def store():
    """Reads in the transaction that the request has open, and takes no turn from a run."""
    return FrappeStore(frappe.db.commit, frappe.db.rollback, owns_transaction=False)


def readable(name):
    """The conflict; refused to those who may not read its document."""
    reading = store()
    with reading.transaction():
        conflict = reading.conflict(name)
    if conflict is None:
        frappe.throw(_("There is no conflict {0}.").format(name), frappe.DoesNotExistError)
    if not permissions.may_read(conflict.resource_type, conflict.resource_id):
        raise frappe.PermissionError(_("You may not read the document that this is about."))
    return conflict


def row_of(name):
    """The conflict as the list shows it."""
    (row,) = _rows(
        frappe.db.sql(
            f"select {_SHOWN} from `tabSync Conflict` where `name` = %s",  # noqa: S608 - names of our own
            (name,),
            as_dict=True,
        )
    )
    return row


def merged_of(conflict):
    """Both sides' changes, in the names of this site; here it is the document as it stands now, while it is open."""
    reading, policies = store(), FrappePolicies()
    with reading.transaction():
        merged = Standing(reading, FrappeLocalDocuments(), policies).merged(conflict)
    if merged is not None:
        return merged
    schema = policies.schema(conflict.resource_type)
    return merge(conflict.base_data, conflict.local_data, conflict.server_data, schema)


def shown(conflict):
    """The whole answer of get_conflict."""
    merged = merged_of(conflict)
    compared = compare(merged)
    extent = words.extent(compared)
    if not conflict.pending:
        compared = decided(compared, came_to(conflict, merged))
    view = View(conflict.resource_type)
    fields = [view.field(each) for each in compared.fields if view.sees(each.key)]
    tables = [view.table(each) for each in compared.tables if view.sees(each.key)]
    row = row_of(conflict.id)
    why_not = "" if row.may_decide else _("You may not change this document.")
    if row.may_decide and (beyond := view.beyond_writing(compared)):
        why_not = words.not_yours(beyond)
    clashes = view.seen_clashes(merged) if conflict.pending else []
    possible = resolutions_of(conflict.conflict_type) if conflict.pending else []
    return {
        **row,
        "sentence": f"{row.sentence} {extent}".strip(),
        "server_version": conflict.server_version,
        "sides": _sides(conflict, row),
        "docstatus": {
            side: data and cint(data.get("docstatus"))
            for side, data in (
                ("base", conflict.base_data),
                ("local", merged.local),
                ("server", conflict.server_data),
            )
        },
        "deleted_here": merged.local is None,
        "deleted_there": merged.server is None,
        "fields": fields,
        "tables": tables,
        "clashes": clashes,
        "clashes_unseen": len(compared.clashes) - len(clashes),
        "choices": {key: side for key, side in (conflict.choices or {}).items() if view.sees_key(key)},
        "resolutions": [each.value for each in possible],
        "may_decide": row.may_decide and not why_not,
        "why_not": why_not,
        "link_titles": view.link_titles(),
    }


def title_of(doctype, name):
    """What people call a document; its name where that is its title, or not for everybody to read."""
    if not frappe.db.exists("DocType", doctype):
        return name
    meta = frappe.get_meta(doctype)
    field = meta.get_field(meta.get_title_field())
    if field is None or field.permlevel:
        return name
    rows = frappe.db.sql(f"select `{field.fieldname}` from `tab{doctype}` where `name` = %s", (name,))  # noqa: S608 - names of its meta
    return rows[0][0] if rows and rows[0][0] else name


def _sides(conflict, row):
    """Who changed it, when and where. The central's time is its own wall clock, with no zone."""
    server = conflict.server_data or {}
    host = urlsplit(settings.effective().get("central_url") or "").hostname
    return {
        "local": {"user": row.changed_by, "at": row.local_changed_at, "site": frappe.local.site},
        "server": {"user": row.server_changed_by, "at": server.get("modified"), "site": host},
    }
