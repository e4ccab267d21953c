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
from erp_offline_sync.conflicts import words
from erp_offline_sync.engine.merge import merge
from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.names import in_local_names
from erp_offline_sync.engine.presentation import compare
from erp_offline_sync.engine.resolution import resolutions_of
from erp_offline_sync.engine.values import is_rows

PAGE = 200
"""The most rows that one call answers."""
_TITLES = 200

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
        f"select {', '.join(f'`{column}`' for column in _COLUMNS)} from `tabSync Conflict`"  # noqa: S608 - values are escaped
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
        doctype = row.resource_type
        pending = row.resolution_status == "pending"
        if pending and doctype not in everywhere:
            everywhere[doctype] = permissions.writes_all(doctype)
        times = json.loads(row.pop("times") or "{}")
        row.update(
            title=row.title or row.resource_id,
            created_at=times.get("created_at"),
            local_changed_at=times.get("local_changed_at"),
            resolved_at=times.get("resolved_at"),
            sentence=words.sentence(
                row.conflict_type, people.get(row.changed_by) or row.changed_by, row.server_changed_by
            ),
            may_decide=pending and (everywhere[doctype] or permissions.may_write(doctype, row.resource_id)),
            may_undo=False,
        )
        rows.append(row)
    return rows


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
    columns = ", ".join(f"`{column}`" for column in _COLUMNS)
    (row,) = _rows(
        frappe.db.sql(
            f"select {columns} from `tabSync Conflict` where `name` = %s",  # noqa: S608 - names of our own
            (name,),
            as_dict=True,
        )
    )
    return row


def merged_of(conflict):
    """Both sides' changes, in the names of this site; here it is the document as it stands now, while it is open."""
    reading, policies = store(), FrappePolicies()
    with reading.transaction():
        document = reading.document(conflict.line)
        rows = document.rows if document else {}
        schema = policies.schema(conflict.resource_type)
        local = conflict.local_data
        requests = reading.open_in_line(conflict.line, limit=1) if conflict.pending else []
        if requests and requests[0].operation is not Operation.DELETE and document and not document.deleted:
            local = FrappeLocalDocuments().current(document.doctype, document.local_name) or local
        base, server = (
            data and in_local_names(reading, data, schema, rows)
            for data in (conflict.base_data, conflict.server_data)
        )
        if base:
            base = {field: _rows_named(value, conflict.base_data[field]) for field, value in base.items()}
    return merge(base, local, server, schema)


def _rows_named(value, before):
    """Rows of the base that are under this site's names already keep them."""
    if not value or not is_rows(value):
        return value
    return [
        row if row.get("name") else {**row, "name": was.get("name")}
        for row, was in zip(value, before, strict=True)
    ]


def shown(conflict):
    """The whole answer of get_conflict."""
    merged = merged_of(conflict)
    compared = compare(merged)
    view = _View(conflict.resource_type)
    fields = [view.field(each) for each in compared.fields if view.sees(each.key)]
    tables = [view.table(each) for each in compared.tables if view.sees(each.key)]
    row = row_of(conflict.id)
    why_not = "" if row.may_decide else _("You may not change this document.")
    if row.may_decide and (beyond := view.beyond_writing(compared)):
        why_not = _("You may not change these fields: {0}.").format(", ".join(beyond))
    clashes = view.seen_clashes(merged)
    possible = resolutions_of(conflict.conflict_type) if conflict.pending else []
    return {
        **row,
        "sentence": f"{row.sentence} {words.extent(compared)}".strip(),
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
        "resolutions": [each.value for each in possible],
        "may_decide": row.may_decide and not why_not,
        "why_not": why_not,
        "link_titles": _link_titles(view.links),
    }


def _sides(conflict, row):
    """Who changed it, when and where. The central's time is its own wall clock, with no zone."""
    server = conflict.server_data or {}
    host = urlsplit(settings.effective().get("central_url") or "").hostname
    return {
        "local": {"user": row.changed_by, "at": row.local_changed_at, "site": frappe.local.site},
        "server": {"user": row.server_changed_by, "at": server.get("modified"), "site": host},
    }


class _View:
    """The fields of a doctype as one reader may see and change them; `links` gathers what they link to."""

    def __init__(self, doctype):
        self._meta = frappe.get_meta(doctype) if frappe.db.exists("DocType", doctype) else None
        self._read = permissions.levels(doctype, "read")
        self._write = permissions.levels(doctype, "write")
        self.links = {}

    def _field(self, name, table=None):
        meta = self._meta and (frappe.get_meta(self._meta.get_field(table).options) if table else self._meta)
        return meta and meta.get_field(name)

    def sees(self, name, table=None):
        df = self._field(name, table)
        return self._read is None or (df is not None and df.permlevel in self._read)

    def changes(self, name, table=None):
        df = self._field(name, table)
        return self._write is None or (df is not None and df.permlevel in self._write)

    def _labelled(self, name, table=None):
        df = self._field(name, table)
        if df is None:
            return {"label": name, "fieldtype": "Data", "options": None, "precision": None}
        return {
            "label": _(df.label or name, context=df.parent),
            "fieldtype": df.fieldtype,
            "options": df.options,
            "precision": df.precision,
        }

    def field(self, view):
        self._gather(view.key, view.base, view.local, view.server)
        return {
            "path": view.key,
            **self._labelled(view.key),
            "state": view.state.value,
            "base": view.base,
            "local": view.local,
            "server": view.server,
            "result": view.result,
            "editable": self.changes(view.key),
            "lines": list(view.lines),
        }

    def table(self, view):
        columns = [name for name in self._columns(view) if self.sees(name, view.key)]
        return {
            "path": view.key,
            **self._labelled(view.key),
            "state": view.state.value,
            "whole": view.whole,
            "order": view.order and {"local": list(view.order[0]), "server": list(view.order[1])},
            "editable": self.changes(view.key),
            "columns": [
                {
                    "fieldname": name,
                    **self._labelled(name, view.key),
                    "editable": self.changes(name, view.key),
                }
                for name in columns
            ],
            "rows": [self._row(view.key, row, columns) for row in view.rows],
        }

    def _columns(self, view):
        return list(
            dict.fromkeys(
                name
                for row in view.rows
                for side in (row.base, row.local, row.server)
                for name in side or ()
                if name != "name"
            )
        )

    def _row(self, table, view, columns):
        sides = {
            side: values and {name: values[name] for name in columns if name in values}
            for side, values in (
                ("base", view.base),
                ("local", view.local),
                ("server", view.server),
                ("result", view.result),
            )
        }
        for name in columns:
            self._gather(name, *(values and values.get(name) for values in sides.values()), table=table)
        return {
            "path": view.key,
            "row": view.row,
            "state": view.state.value,
            **sides,
            "clashes": [name for name in view.clashes if name in columns],
        }

    def _gather(self, name, *values, table=None):
        df = self._field(name, table)
        if df is not None and df.fieldtype == "Link" and df.options:
            self.links.setdefault(df.options, set()).update(str(value) for value in values if value)

    def seen_clashes(self, merged):
        """Keys of the clashes in fields that the reader may see."""
        return [
            clash.key
            for clash in merged.clashes
            if clash.field == "*"
            or (self.sees(clash.field) and (not clash.column or self.sees(clash.column, clash.field)))
        ]

    def beyond_writing(self, compared):
        """Labels of fields that differ and that the reader may not change: a decision would change them."""
        found = [each.key for each in compared.fields if each.state.value != "same"]
        labels = [self._labelled(name)["label"] for name in found if not self.changes(name)]
        for table in compared.tables:
            if any(row.state.value != "same" for row in table.rows) and not self.changes(table.key):
                labels.append(self._labelled(table.key)["label"])
        return labels


def _link_titles(links):
    """{"Customer::CUST-1": title}, as Frappe's own Desk keys them, of documents that the reader may read."""
    titles = {}
    for doctype, names in links.items():
        if not frappe.db.exists("DocType", doctype):
            continue
        meta = frappe.get_meta(doctype)
        if not (meta.show_title_field_in_link and meta.title_field) or not frappe.has_permission(doctype):
            continue
        wanted = sorted(names)
        for start in range(0, len(wanted), _TITLES):
            found = frappe.get_list(
                doctype,
                filters={"name": ("in", wanted[start : start + _TITLES])},
                fields=["name", meta.title_field],
                limit_page_length=_TITLES,
            )
            titles |= {f"{doctype}::{each.name}": each.get(meta.title_field) for each in found}
    return titles
