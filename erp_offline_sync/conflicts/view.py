"""What one reader sees of a document in conflict: labels and formats of its meta, and the fields that the reader's
permission levels allow to see and to change. Values stay raw: the page shows them as text.
"""

import re

import frappe
from frappe import _

from erp_offline_sync import permissions
from erp_offline_sync.engine.merge import WHOLE

_KEY = re.compile(r"(?P<field>[^\[\].]+)(?P<row>\[(?P<name>[^\]]*)\])?(\.(?P<column>[^\[\].]+))?")
"""`field`, `table[row]`, `table[row].column`, `table[]`: as a merge names them."""
_TITLES = 200


class View:
    """The fields of one doctype, for the session's user. What is shown is asked for its link titles afterwards."""

    def __init__(self, doctype):
        self._meta = frappe.get_meta(doctype) if frappe.db.exists("DocType", doctype) else None
        self._read = permissions.levels(doctype, "read")
        self._write = permissions.levels(doctype, "write")
        self._known = {}
        self._links = {}

    def _field(self, name, table=None):
        """None where the document type has no such field any more, or is not here."""
        key = (table, name)
        if key not in self._known:
            meta = self._meta
            if meta and table:
                df = meta.get_field(table)
                meta = frappe.get_meta(df.options) if df and df.options else None
            self._known[key] = meta and meta.get_field(name)
        return self._known[key]

    def sees(self, name, table=None):
        df = self._field(name, table)
        return self._read is None or (df is not None and df.permlevel in self._read)

    def changes(self, name, table=None):
        df = self._field(name, table)
        return self._write is None or (df is not None and df.permlevel in self._write)

    def sees_key(self, key):
        """The same of what a key of a merge names."""
        return self._all_of(key, self.sees)

    def changes_key(self, key):
        return self._all_of(key, self.changes)

    def _all_of(self, key, may):
        match = _KEY.fullmatch(key or WHOLE)
        if match is None or match["field"] in (WHOLE, "docstatus", "name"):
            return True
        column = match["column"]
        return may(match["field"]) and (not column or may(column, match["field"]))

    def fieldtype_of_key(self, key):
        """None where the document type has no such field; of a row as a whole too."""
        match = _KEY.fullmatch(key)
        if match is None or (match["row"] and not match["column"]):
            return None
        table = match["field"] if match["column"] else None
        df = self._field(match["column"] or match["field"], table)
        return df and df.fieldtype

    def label(self, name, table=None):
        return self._labelled(name, table)["label"]

    def label_of_key(self, key):
        """What people call a field, row or column."""
        match = _KEY.fullmatch(key)
        if key == WHOLE or match is None:
            return _("The document")
        if key == "docstatus":
            return _("State", context="Document")
        label = self.label(match["field"])
        if match["column"]:
            return f"{label}: {self.label(match['column'], match['field'])}"
        return _("{0}: order of the rows").format(label) if match["row"] and not match["name"] else label

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
        columns = [name for name in self._columns(view.rows) if self.sees(name, view.key)]
        for name in columns:
            if self._is_link(name, view.key):
                sides = (side for row in view.rows for side in (row.base, row.local, row.server) if side)
                self._gather(name, *(side.get(name) for side in sides), table=view.key)
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
            "rows": [self._row(view, row, columns) for row in view.rows],
        }

    def _columns(self, rows):
        return list(
            dict.fromkeys(
                name
                for row in rows
                for side in (row.base, row.local, row.server)
                for name in side or ()
                if name != "name"
            )
        )

    def _row(self, table, view, columns):
        every = (view.base, view.local, view.server)
        sides = {
            side: values and {name: values[name] for name in columns if name in values}
            for side, values in (
                ("base", view.base),
                ("local", view.local),
                ("server", view.server),
                ("result", view.result),
            )
        }
        return {
            "path": view.key,
            "row": view.row,
            "state": view.state.value,
            **sides,
            "clashes": [name for name in view.clashes if name in columns],
            # A value is written into a row by its name.
            "named": not table.whole and any(side and str(side.get("name")) == view.row for side in every),
        }

    def seen_value(self, key, value):
        """The value of a key of a merge, rows without the columns that the reader may not see."""
        table = key.partition("[")[0]
        if isinstance(value, dict):
            return {name: each for name, each in value.items() if name == "name" or self.sees(name, table)}
        if isinstance(value, list):
            return [self.seen_value(key, each) for each in value]
        return value

    def _is_link(self, name, table=None):
        df = self._field(name, table)
        return df is not None and df.fieldtype == "Link" and bool(df.options)

    def _gather(self, name, *values, table=None):
        if self._is_link(name, table):
            links = self._links.setdefault(self._field(name, table).options, set())
            links.update(str(value) for value in values if value)

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
        labels = [self.label(name) for name in found if not self.changes(name)]
        for table in compared.tables:
            rows = [row for row in table.rows if row.state.value != "same"]
            if rows and not self.changes(table.key):
                labels.append(self.label(table.key))
            labels += [
                self.label(name, table.key)
                for name in self._columns(rows)
                if not self.changes(name, table.key) and any(_differs(row, name) for row in rows)
            ]
        return labels

    def link_titles(self):
        """{"Customer::CUST-1": title}, as Frappe's own Desk keys them, of documents that the reader may read."""
        titles = {}
        for doctype, names in self._links.items():
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


def _differs(row, name):
    sides = [side.get(name) for side in (row.base, row.local, row.server) if side]
    return any(value != sides[0] for value in sides)
