"""What Frappe's Meta says of documents, and the branch's own documents.

`schema_of` is the one function that says which fields are synced (semantics, G5). Everything else here goes
by it: what capture writes down, what links are looked at, what the engine compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from importlib import import_module
from typing import Any

import frappe
from frappe.model.meta import get_field_precision
from frappe.model.workflow import get_workflow_name

from erp_offline_sync.engine.errors import LocalRefused
from erp_offline_sync.engine.model import FieldKind, Json, Link, Policy, Schema, Strategy

__all__ = [
    "FrappeLocalDocuments",
    "FrappePolicies",
    "applying",
    "convert_values",
    "is_applied",
    "links_of",
    "may_be_carried",
    "names_itself",
    "read",
    "schema_of",
    "unique_values",
]

_stated = import_module("erp_offline_sync.policies")
"""Untyped, as everything on Frappe's side of this boundary."""

_KINDS: Mapping[str, FieldKind] = {
    **dict.fromkeys(
        ("Check", "Int", "Long Int", "Float", "Currency", "Percent", "Rating", "Duration"), FieldKind.NUMBER
    ),
    "Date": FieldKind.DATE,
    "Datetime": FieldKind.DATETIME,
    "Time": FieldKind.TIME,
    "JSON": FieldKind.JSON,
    "Geolocation": FieldKind.JSON,
}
"""Every other field that holds a value is text."""

_ROUNDED = frozenset({"Float", "Currency", "Percent"})
_KEPT_DECIMALS = 9

_TABLES = frozenset({"Table", "Table MultiSelect"})
_NO_VALUE = frozenset(
    {
        "Section Break",
        "Column Break",
        "Tab Break",
        "HTML",
        "Button",
        "Image",
        "Fold",
        "Heading",
        "Read Only",
        "Password",
    }
)
"""Layout, what is shown only, and secrets."""
_TREE_FIELDS = frozenset({"lft", "rgt", "old_parent"})
"""Each site counts its own tree."""
_AMENDED_FROM = "amended_from"
"""Read-only in every form, yet it is what an amendment says of itself."""
_NAMED_BY_CALLER = frozenset({"prompt", "uuid"})

_APPLYING = "offline_sync_applying"


@dataclass(frozen=True, slots=True)
class _Shape:
    """The schema of a doctype beside how its values become JSON. `metas` are what it was derived from."""

    schema: Schema
    convert: Mapping[str, Callable[[Any], Any]]
    links: Mapping[str, str]
    """Link field → doctype, but for those whose documents each site has of its own (`_is_local`)."""
    dynamic: Mapping[str, str]
    """Dynamic Link field → field that holds its doctype."""
    tables: Mapping[str, _Shape]
    metas: tuple[Any, ...]

    def is_current(self) -> bool:
        return all(frappe.get_meta(meta.name) is meta for meta in self.metas)


def schema_of(doctype: str) -> Schema:
    """The synced fields of a doctype: all but those that the policy excludes, that are read-only, fetched,
    virtual, secret or of the framework, and those that hold no value. Raises DoesNotExistError."""
    return _shape(doctype).schema


def _shape(doctype: str) -> _Shape:
    shapes: dict[str, _Shape] | None = getattr(frappe.local, "offline_sync_shapes", None)
    if shapes is None:
        shapes = frappe.local.offline_sync_shapes = {}
    shape = shapes.get(doctype)
    if shape is None or not shape.is_current():
        meta = frappe.get_meta(doctype)
        policy = _stated.stated_policy(meta)
        excluded = policy.excluded_fields if policy else frozenset()
        shapes[doctype] = shape = _derive(
            meta,
            excluded,
            carried=policy.also_send_fields if policy else frozenset(),
            outgoing=policy.set_values if policy else {},
            named_here=bool(policy and policy.naming == _stated.OWN_NAMES),
        )
    return shape


def _derive(
    meta: Any,
    excluded: frozenset[str],
    *,
    carried: frozenset[str],
    outgoing: Mapping[str, Any],
    named_here: bool = False,
) -> _Shape:
    fields: dict[str, FieldKind] = {}
    convert: dict[str, Callable[[Any], Any]] = {}
    links: dict[str, str] = {}
    dynamic: dict[str, str] = {}
    precision: dict[str, int] = {}
    tables: dict[str, _Shape] = {}
    along: set[str] = set()
    for field in meta.fields:
        name = field.fieldname
        synced = name not in excluded and _is_synced(meta, field)
        if not synced and not (name in carried and may_be_carried(meta, field)):
            continue
        if field.fieldtype in _TABLES:
            child = frappe.get_meta(field.options)
            if not child.get("is_virtual"):
                tables[name] = _derive(
                    child, _within(excluded, name), carried=_within(carried, name), outgoing={}
                )
            continue
        if synced:
            fields[name] = _KINDS.get(field.fieldtype, FieldKind.TEXT)
        else:
            along.add(name)
        convert[name] = _CONVERT.get(field.fieldtype, _text)
        if field.fieldtype in _ROUNDED:
            precision[name] = _decimals(field)
        if field.fieldtype == "Link" and field.options:
            # A field that names a row goes under the row's name there, with the document that has the row.
            if synced or not frappe.get_meta(field.options).istable:
                links[name] = field.options
        elif field.fieldtype == "Dynamic Link" and field.options:
            dynamic[name] = field.options
    schema = Schema(
        fields=fields,
        tables={name: shape.schema for name, shape in tables.items()},
        links=links,
        dynamic=dynamic,
        carried=frozenset(along),
        required=frozenset(
            field.fieldname
            for field in meta.fields
            if field.fieldname in fields and (field.reqd or field.get("mandatory_depends_on"))
        ),
        named_here=named_here or names_itself(meta),
        counted=_is_counted(meta),
        outgoing=outgoing,
        precision=precision,
    )
    metas = (meta, *(child for shape in tables.values() for child in shape.metas))
    travelling = {name: doctype for name, doctype in links.items() if not _is_local(doctype)}
    return _Shape(schema, convert, travelling, dynamic, tables, metas)


def _decimals(field: Any) -> int:
    """Decimals that a number is shown and rounded with; at most what a column of it keeps."""
    return min(int(get_field_precision(field)), _KEPT_DECIMALS)


def _within(names: frozenset[str], table: str) -> frozenset[str]:
    return frozenset(name.partition(".")[2] for name in names if name.startswith(f"{table}."))


def may_be_carried(meta: Any, field: Any) -> bool:
    """Whether a field that is not synced can go along with a new document all the same."""
    return not (
        field.fieldtype in _NO_VALUE
        or field.fieldtype in _TABLES
        or field.get("is_virtual")
        or (field.fieldname in _TREE_FIELDS and meta.get("is_tree"))
    )


def _is_synced(meta: Any, field: Any) -> bool:
    if field.fieldname == _AMENDED_FROM:
        return True
    return not (
        field.fieldtype in _NO_VALUE
        or (field.fieldtype == "Link" and field.options in _stated.LEDGERS)
        or field.read_only
        or field.get("is_virtual")
        or (field.fetch_from and not field.fetch_if_empty)
        or (field.fieldname in _TREE_FIELDS and meta.get("is_tree"))
    )


def read(doc: Any) -> dict[str, Any]:
    """The synced values of a document as JSON, rows complete and each with its `name`.

    What is empty is '' or 0 by its type: a field left out, or null, would take the other site's default.
    """
    shape = _shape(doc.doctype)
    values = _values(doc, shape)
    for table, row_shape in shape.tables.items():
        values[table] = [{**_values(row, row_shape), "name": row.name} for row in doc.get(table) or ()]
    return values


def convert_values(doctype: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Columns read from the database, as `read` would give them; what is no synced field is left out."""
    convert = _shape(doctype).convert
    return {field: convert[field](value) for field, value in row.items() if field in convert}


def _values(doc: Any, shape: _Shape) -> dict[str, Any]:
    return {field: convert(doc.get(field)) for field, convert in shape.convert.items()}


def links_of(doc: Any) -> tuple[Link, ...]:
    """What the document's synced fields and rows link to, but for what each site has of its own (`_is_local`)."""
    shape = _shape(doc.doctype)
    found = list(_links(doc, shape, ""))
    for table, row_shape in shape.tables.items():
        for position, row in enumerate(doc.get(table) or ()):
            found += _links(row, row_shape, f"{table}.{position}.")
    return tuple(found)


def _links(doc: Any, shape: _Shape, prefix: str) -> Iterator[Link]:
    for field, doctype in shape.links.items():
        name = doc.get(field)
        if name:
            yield Link(path=f"{prefix}{field}", doctype=doctype, name=str(name))
    for field, options in shape.dynamic.items():
        name, doctype = doc.get(field), doc.get(options)
        if name and doctype and not _is_local(doctype):
            yield Link(path=f"{prefix}{field}", doctype=str(doctype), name=str(name))


def _is_local(doctype: str) -> bool:
    """Documents that both sites have of themselves, such as countries, users and roles: never captured, so a
    link to one goes under its own name."""
    if doctype in _stated.SAME_EVERYWHERE:
        return True
    if not frappe.db.exists("DocType", doctype, cache=True):
        return False
    meta = frappe.get_meta(doctype)
    return bool(meta.module in _stated.SETUP_MODULES and not meta.custom)


def unique_values(doc: Any) -> dict[str, Any]:
    """The values by which the document can be found again at the central, whatever name it got there."""
    meta, values = doc.meta, read(doc)
    autoname = str(meta.autoname or "")
    named_by = autoname.partition(":")[2] if autoname.lower().startswith("field:") else None
    fields = [field.fieldname for field in meta.fields if field.unique or field.fieldname == named_by]
    found = {field: values[field] for field in fields if values.get(field)}
    return {**found, "name": doc.name} if names_itself(meta) else found


def names_itself(meta: Any) -> bool:
    """Whether whoever makes a document of this doctype gives its name."""
    return str(meta.autoname or "").lower() in _NAMED_BY_CALLER


def _is_counted(meta: Any) -> bool:
    """Whether its names are taken from a counter: one row of one table, that each insert locks."""
    autoname = str(meta.autoname or "").lower()
    return autoname.startswith("naming_series:") or "#" in autoname


def _text(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _json(value: Any) -> Any:
    return (
        json.dumps(value, separators=(",", ":"), default=str)
        if isinstance(value, dict | list)
        else _text(value)
    )


def _whole(value: Any) -> int:
    return int(frappe.utils.cint(value))


def _check(value: Any) -> int:
    return 1 if frappe.utils.cint(value) else 0


def _float(value: Any) -> float:
    return float(frappe.utils.flt(value))


_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "Check": _check,
    "Int": _whole,
    "Long Int": _whole,
    "Float": _float,
    "Currency": _float,
    "Percent": _float,
    "Rating": _float,
    "Duration": _float,
    "JSON": _json,
    "Geolocation": _json,
}


class FrappePolicies:
    """The Policies port, from the Meta. One for each run: what it answered once does not change."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}
        self._schemas: dict[str, Schema | None] = {}

    def policy(self, doctype: str) -> Policy:
        if doctype not in self._policies:
            stated = _stated.stated_policy(frappe.get_meta(doctype)) if _exists(doctype) else None
            self._policies[doctype] = Policy(
                strategy=Strategy(stated.strategy) if stated and stated.strategy else None,
                merge_clashes=Strategy(stated.merge_clashes) if stated and stated.merge_clashes else None,
                same_names=_is_local(doctype) or bool(stated and stated.same_names),
                marked=bool(stated and stated.marked),
                names_written_back=bool(stated and stated.naming == _stated.CENTRALS_NAMES_HERE),
            )
        return self._policies[doctype]

    def schema(self, doctype: str) -> Schema | None:
        if doctype not in self._schemas:
            self._schemas[doctype] = self._with_workflow(doctype) if _exists(doctype) else None
        return self._schemas[doctype]

    @staticmethod
    def _with_workflow(doctype: str) -> Schema:
        schema, name = schema_of(doctype), get_workflow_name(doctype)
        if not name:
            return schema
        workflow = frappe.get_cached_doc("Workflow", name)
        return replace(schema, first_state=(workflow.workflow_state_field, workflow.states[0].state))


def _exists(doctype: str) -> bool:
    return bool(frappe.db.exists("DocType", doctype))


@contextmanager
def applying(doctype: str, name: str) -> Iterator[None]:
    """While open, changes of this one document are not captured; those of any other are."""
    before: frozenset[tuple[str, str]] = frappe.flags.get(_APPLYING) or frozenset()
    frappe.flags[_APPLYING] = before | {(doctype, name)}
    try:
        yield
    finally:
        frappe.flags[_APPLYING] = before


def is_applied(doctype: str, name: str) -> bool:
    return (doctype, name) in (frappe.flags.get(_APPLYING) or ())


class FrappeLocalDocuments:
    """The LocalDocuments port: real saves, deletes and submits as the session's user, by the branch's own rules.

    After LocalRefused half of a save may stand in the open transaction: the caller rolls it back. `first` is called
    before code of the document's app runs.
    """

    def __init__(self, first: Callable[[], None] | None = None) -> None:
        self._first = first

    @contextmanager
    def _changing(self, doctype: str, *names: str) -> Iterator[None]:
        if self._first is not None:
            self._first()
        with _refusals(), ExitStack() as flags:
            for name in names:
                flags.enter_context(applying(doctype, name))
            yield

    def current(self, doctype: str, name: str) -> Json | None:
        doc = self._get(doctype, name)
        return _plain(doc.as_dict(no_nulls=False)) if doc else None

    def write(self, doctype: str, name: str, values: Json) -> None:
        with self._changing(doctype, name):
            doc = self._existing(doctype, name)
            shape = _shape(doctype)
            for field, value in values.items():
                if field in shape.tables:
                    _set_rows(doc, field, value or ())
                elif field in shape.convert:
                    doc.set(field, value)
            doc.save()

    def restore(self, doctype: str, name: str, values: Json) -> None:
        with self._changing(doctype, name):
            shape = _shape(doctype)
            docstatus = int(values.get("docstatus") or 0)
            doc = frappe.new_doc(doctype)
            # Frappe inserts no cancelled document: it is submitted first.
            doc.docstatus = min(docstatus, 1)
            for field, value in values.items():
                if field in shape.tables:
                    _set_rows(doc, field, value or ())
                elif field in shape.convert:
                    doc.set(field, value)
            for row in doc.get_all_children():
                row.name = row.name or frappe.generate_hash(length=10)
            doc.insert(set_name=name, set_child_names=False)
            if docstatus == 2:
                doc.cancel()

    def delete(self, doctype: str, name: str) -> None:
        with self._changing(doctype, name):
            frappe.delete_doc(doctype, name)

    def set_docstatus(self, doctype: str, name: str, docstatus: int) -> None:
        with self._changing(doctype, name):
            doc = self._existing(doctype, name)
            if (doc.docstatus, docstatus) == (0, 1):
                doc.submit()
            elif (doc.docstatus, docstatus) == (1, 2):
                doc.cancel()
            elif doc.docstatus != docstatus:
                raise LocalRefused(
                    f"{doctype} {name} cannot go from docstatus {int(doc.docstatus)} to {docstatus}."
                )

    def rename(self, doctype: str, old: str, new: str) -> None:
        with self._changing(doctype, old, new):
            self._existing(doctype, old)
            frappe.rename_doc(doctype, old, new, show_alert=False, rebuild_search=False)

    def _existing(self, doctype: str, name: str) -> Any:
        doc = self._get(doctype, name)
        if doc is None:
            raise LocalRefused(f"{doctype} {name} is not here any more.")
        return doc

    def _get(self, doctype: str, name: str) -> Any | None:
        if not _exists(doctype):
            return None
        # Through SQL: on SQLite, Frappe's own look-up misses a name that holds a percent sign.
        if not frappe.db.sql(f"SELECT `name` FROM `tab{doctype}` WHERE `name` = %s", (name,)):  # noqa: S608
            return None
        return frappe.get_doc(doctype, name)


def _set_rows(doc: Any, table: str, rows: Any) -> None:
    """Rows that are there keep what is not given; a row without a known name is new; the others go."""
    there = {row.name: row for row in doc.get(table) or ()}
    doc.set(table, [])
    for values in rows:
        given = {field: value for field, value in values.items() if field != "name"}
        row = there.get(values.get("name"))
        if row is None:
            row = doc.append(table, given)
            if values.get("name"):
                row.name = values["name"]
        else:
            row.update(given)
            doc.append(table, row)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the branch's rules refuse into LocalRefused, and leave no trace of it in the process."""
    messages = list(frappe.local.message_log)
    saving = list(frappe.flags.currently_saving or ())
    try:
        yield
    except (frappe.ValidationError, frappe.PermissionError) as refused:
        said = [_said(message) for message in frappe.local.message_log[len(messages) :]]
        reason = frappe.utils.strip_html(str(refused) or " ".join(said)) or type(refused).__name__
        raise LocalRefused(reason) from refused
    finally:
        frappe.local.message_log = messages
        frappe.flags.currently_saving = saving


def _said(message: Any) -> str:
    parsed = json.loads(message) if isinstance(message, str) else message
    return str(parsed.get("message") or "")


def _plain(value: Any) -> Any:
    """The document as the REST interface would give it."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime | date | time | timedelta):
        return str(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
