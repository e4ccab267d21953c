"""A document's values inside our own rows, as far as the reader's permission levels for that document go.

The fields that hold them have a permission level that no role has, so that lists, reports, exports and groups leave
them out; a row that is read alone carries them, without the fields that its reader may not read in the document.
"""

import json
from dataclasses import dataclass

import frappe

from erp_offline_sync import permissions
from erp_offline_sync.engine.model import FORMER


@dataclass(frozen=True)
class Hidden:
    """What a person may not read of a document: names of its fields, and of its tables' fields."""

    fields: frozenset
    rows: dict

    def __bool__(self):
        return bool(self.fields or any(self.rows.values()))

    def has(self, field, column=None):
        """Whether the field, or that column of its rows, is among them."""
        return field in self.fields or column in self.rows.get(field, ())

    def without(self, values):
        """A document's values, or some of them, without these."""
        return {
            field: self._rows(field, value) for field, value in values.items() if field not in self.fields
        }

    def _rows(self, table, value):
        hidden = self.rows.get(table)
        if not hidden:
            return value
        if isinstance(value, dict):
            return {field: inner for field, inner in value.items() if field not in hidden}
        return [self._rows(table, row) for row in value] if isinstance(value, list) else value


def hidden(doctype, user=None):
    levels = doctype and permissions.levels(doctype, "read", user)
    if not levels:
        return Hidden(frozenset(), {})
    meta = frappe.get_meta(doctype)
    return Hidden(
        _above(meta, levels),
        {
            table.fieldname: _above(frappe.get_meta(table.options), levels)
            for table in meta.get_table_fields()
        },
    )


def _above(meta, levels):
    return frozenset(df.fieldname for df in meta.fields if (df.permlevel or 0) not in levels)


def _document(values, beyond):
    return beyond.without(values)


def _differences(values, beyond):
    """A field's value as it was sent and as it came back."""
    return {
        field: [beyond.without({field: side})[field] for side in sides]
        for field, sides in values.items()
        if field not in beyond.fields
    }


def _links(values, beyond):
    """Their paths are such as "customer", "items.0.item_code", or "was:customer"."""
    found = []
    for link in values:
        field, _dot, rest = link[0].removeprefix(FORMER).partition(".")
        if not beyond.has(field, rest.partition(".")[2]):
            found.append(link)
    return found


def _wire(values, beyond):
    method, path, body = values
    return [method, path, body and json.dumps(beyond.without(json.loads(body)), ensure_ascii=False)]


def _nothing(values, beyond):
    """What takes a decision back: forms of requests and documents, which people do not read."""
    return {}


def _merge(values, beyond):
    """See `engine.merge.merge_data`."""

    def rows(tables):
        return {
            table: [
                {**each, "fields": {c: v for c, v in each["fields"].items() if not beyond.has(table, c)}}
                for each in changes
            ]
            for table, changes in tables.items()
            if not beyond.has(table)
        }

    def clash(told):
        sides = {side: told[side] for side in ("base", "local", "server")}
        if told["field"] and not told["column"]:
            sides = {
                side: beyond.without({told["field"]: value})[told["field"]] for side, value in sides.items()
            }
        return {**told, **sides}

    return {
        **values,
        "values": values["values"] and beyond.without(values["values"]),
        "changed_here": _differences(values["changed_here"], beyond),
        "changed_there": _differences(values["changed_there"], beyond),
        "rows_here": rows(values["rows_here"]),
        "rows_there": rows(values["rows_there"]),
        "clashes": [
            clash(each) for each in values["clashes"] if not beyond.has(each["field"], each["column"])
        ],
    }


VALUES = {
    "Offline Request": {
        "body": _document,
        "base": _document,
        "unique_values": _document,
        "differences": _differences,
        "links": _links,
        "wire": _wire,
    },
    "Synced Document": {"base": _document},
    "Sync Conflict": {
        "base_data": _document,
        "local_data": _document,
        "server_data": _document,
        "result": _document,
        "undo": _nothing,
    },
}
"""Our doctype → its fields that hold values of a document, and what takes those out that are hidden."""

ANSWERED = {"values": _document, "merge": _merge}
"""What an endpoint answers of a conflict beside its row."""


def as_read(doctype, about, values, user=None):
    """Of a row of our `doctype` about a document of the type `about`: the values as the user may read them.

    `values` holds the row's fields by name, as JSON text or parsed; fields that hold no values are passed over.
    """
    kept_back = hidden(about, user)
    shown = {}
    for field, without in {**VALUES[doctype], **ANSWERED}.items():
        value = values.get(field)
        if field not in values or not value or not kept_back:
            continue
        is_text = isinstance(value, str)
        read = without(json.loads(value) if is_text else value, kept_back)
        shown[field] = json.dumps(read, ensure_ascii=False) if is_text else read
    return {**values, **shown}


class ReadByLevel:
    """For the controllers of these doctypes: each way in which Frappe gives a document away goes through here."""

    def apply_fieldlevel_read_permissions(self):
        """Frappe would take the fields away whole, for nobody has their level."""
        kept = {field: self.get(field) for field in VALUES[self.doctype]}
        super().apply_fieldlevel_read_permissions()
        self.update(kept)

    def as_dict(self, *args, **kwargs):
        whole = super().as_dict(*args, **kwargs)
        about = self.get(permissions.ABOUT[self.doctype][0])
        whole.update(as_read(self.doctype, about, {f: whole[f] for f in VALUES[self.doctype] if f in whole}))
        return whole
