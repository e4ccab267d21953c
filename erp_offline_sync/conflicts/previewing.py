"""What a decision would change here and there, and what both sites would say to it; nothing is written.

The engine rehearses the decision. The document that would come out is held against its own meta: what is
mandatory, links, options, lengths, and what may be changed after it was submitted. What would be sent next is shown
to the central, where its companion can tell what it would answer.
"""

from dataclasses import replace

import frappe
from frappe import _
from frappe.utils import cint, cstr, strip_html

from erp_offline_sync import bootstrap, settings
from erp_offline_sync.conflicts import deciding, reading, sentences, words
from erp_offline_sync.conflicts.view import View
from erp_offline_sync.engine.deciding.foretelling import Foretold, foretold, question
from erp_offline_sync.engine.deciding.rehearsal import rehearse
from erp_offline_sync.engine.errors import OfflineSyncError

_SHORT = frozenset(
    {"Autocomplete", "Color", "Data", "Dynamic Link", "Icon", "Link", "Phone", "Select"},
)


_NOT_ASKED = {"asked": False, "verdict": Foretold.UNKNOWN.value, "message": ""}


def previewed(name, resolution, choices, values, server_version, *, central=False):
    """The answer of the endpoint; with `central` it is asked as well, where it can tell."""
    conflict = deciding.writable(name)
    view = View(conflict.resource_type)
    answer = {
        "asked": "branch",
        "central": _NOT_ASKED,
        "here": [],
        "there": [],
        "problems": [],
        "server_moved": bool(server_version and server_version != conflict.server_version),
    }
    if not conflict.pending:
        return {**answer, "problems": [_problem(words.decided_by(reading.row_of(name)))]}
    if why := deciding.refusal(conflict, resolution, choices, values):
        return {**answer, "problems": [_problem(why)]}
    ports = deciding.ports()
    try:
        shown = rehearse(ports, name, resolution, by=frappe.session.user, **deciding.given(choices, values))
    except OfflineSyncError as refused:
        return {**answer, "problems": [_problem(sentences.told(str(refused)))]}
    here, there = shown.here(), shown.there()
    answer["here"] = [_shown(each, view) for each in here if view.sees_key(each.key)]
    answer["there"] = [_shown(each, view) for each in there if view.sees_key(each.key)]
    if shown.here_after is not None and here:
        answer["problems"] = problems(
            conflict.resource_type, conflict.resource_id, shown.here_after, here, view
        )
    if central and shown.next is not None:
        answer["central"] = _asked(ports, shown.next)
    return answer


def _asked(ports, request):
    """`{"asked", "verdict", "message"}`: what the central would make of the request, in the reader's language."""
    spoken = replace(ports, language=frappe.local.lang)
    data, values = question(spoken, request), settings.effective()
    if data is None or not settings.is_branch(values):
        return _NOT_ASKED
    try:
        central = bootstrap.site_central(values)
    except OfflineSyncError:
        return _NOT_ASKED
    frappe.db.rollback()  # nothing is open while it is asked
    try:
        told = foretold(central.rehearse(data), request)
    finally:
        central.close()
    return {"asked": True, "verdict": told.verdict.value, "message": told.message}


def previewed_many(names, resolution):
    """How many things each of them would change, and which of them would be refused."""
    results = []
    for name in names:
        try:
            shown = previewed(name, resolution, {}, {}, None)
        except (frappe.PermissionError, frappe.DoesNotExistError) as refused:
            frappe.clear_messages()
            results.append({"name": name, "ok": False, "message": str(refused), "here": 0, "there": 0})
            continue
        results.append(
            {
                "name": name,
                "ok": not shown["problems"],
                "message": " ".join(each["message"] for each in shown["problems"])
                or words.counted(len(shown["here"]), len(shown["there"])),
                "here": len(shown["here"]),
                "there": len(shown["there"]),
            }
        )
    return {"results": results}


def _shown(difference, view):
    return {
        "path": difference.key,
        "label": view.label_of_key(difference.key),
        "from": view.seen_value(difference.key, difference.before),
        "to": view.seen_value(difference.key, difference.after),
    }


def _problem(message, field=None, label=None):
    return {"field": field, "label": label, "message": message}


def problems(doctype, name, after, changed, view):
    """What Frappe would refuse of the document as it would stand: `{"field", "label", "message"}` each."""
    if not frappe.db.exists("DocType", doctype):
        return []
    doc = frappe.get_doc(doctype, name) if frappe.db.exists(doctype, name) else frappe.new_doc(doctype)
    keys = {each.key.partition("[")[0] for each in changed}
    fields = [df for df in doc.meta.fields if df.fieldname in after]
    found = []
    if cint(doc.docstatus) == 1:
        found += [
            _of(df, _("It cannot be changed after it was submitted."))
            for df in fields
            if df.fieldname in keys and not df.allow_on_submit
        ]
    for df in fields:
        value = after[df.fieldname]
        if df.fieldtype in frappe.model.table_fields:
            doc.set(df.fieldname, [])
            for row in value or ():
                doc.append(df.fieldname, {field: row[field] for field in row if field != "name"})
        else:
            doc.set(df.fieldname, value)
    for each in (doc, *doc.get_all_children()):
        found += _lacking(each)
        found += [problem for df in each.meta.fields if (problem := _unfit(each, df))]
    invalid, cancelled = doc.get_invalid_links()
    for fieldname, _name, message in (*invalid, *cancelled):
        df = doc.meta.get_field(fieldname)
        found.append(_problem(strip_html(message), fieldname, view.label(fieldname) if df else fieldname))
    return [each for each in found if view.sees_key(each["field"])]


def _lacking(doc):
    return [
        _of(doc.meta.get_field(fieldname), _("A value is missing."), doc.get("parentfield"))
        for fieldname, _message in doc._get_missing_mandatory_fields()
    ]


def _unfit(doc, df):
    value = doc.get(df.fieldname)
    if not isinstance(value, str) or not value:
        return None
    if df.fieldtype == "Select" and df.options and df.fieldname != "naming_series":
        options = [option.strip() for option in cstr(df.options).split("\n")]
        if value not in options and options != ["[Select]"] and options != ["Loading..."]:
            return _of(df, _("It is none of the options."), doc.get("parentfield"))
    longest = _longest(df)
    if longest and len(value) > longest:
        return _of(df, _("It is longer than {0} characters.").format(longest), doc.get("parentfield"))
    return None


def _longest(df):
    """Characters that the column holds where the database counts them, which the central's may do."""
    return cint(df.get("length")) or frappe.db.VARCHAR_LEN if df.fieldtype in _SHORT else 0


def _of(df, message, table=None):
    field = f"{table}[].{df.fieldname}" if table else df.fieldname
    return _problem(message, field, _(df.label or df.fieldname, context=df.parent))
