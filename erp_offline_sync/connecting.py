"""Makes this site a branch of a central: everything is checked first, then the settings are saved.

Documents that both sites have are linked by name and time of creation, so that their first change need not ask.
What has the same name and another time of creation may be another document: it is told, and left as it is.
"""

import json
from dataclasses import replace
from urllib.parse import quote, urlencode

import frappe
from frappe import _
from frappe.utils import get_datetime

from erp_offline_sync import bootstrap, permissions, settings
from erp_offline_sync.adapters.frappe_meta import FrappeLocalDocuments, schema_of
from erp_offline_sync.adapters.rest_central import check_url
from erp_offline_sync.adapters.system_clock import SystemIds
from erp_offline_sync.doctor import PROBLEM, WARNING, Check, checks_of
from erp_offline_sync.engine.errors import InvalidRequest, SettingsError
from erp_offline_sync.engine.model import Document, Wire
from erp_offline_sync.engine.names import in_central_names
from erp_offline_sync.engine.paths import document_path
from erp_offline_sync.engine.sending.outgoing import row_names
from erp_offline_sync.tasks import own_store

PAGE = 500
_SHOWN = 10


def connect(url, key, secret, *, ca_file=None, link=(), moved=False, dry_run=False):
    """`{"url", "saved", "checks": [...], "linked": {doctype: {"linked", "known", "differ", "differing", "absent"}}}`.
    Commits.

    Raises SettingsError where the address or the credentials cannot be used at all, InvalidRequest for a doctype
    that cannot be linked. Nothing is saved where the central was not reached as its user.
    """
    values = {**settings.effective(), "central_url": url.strip().rstrip("/"), "api_key": key}
    if ca_file:
        values["ca_file"] = ca_file
    for doctype in link:
        _refuse_unlinkable(doctype)
    check_url(values["central_url"], allow_plain_http=bool(values.get("allow_plain_http")))
    _refuse_other_central(values["central_url"], moved)
    central = bootstrap.site_central(values, secret=secret)
    try:
        checks = checks_of(central, values)
        if checks[0].state == PROBLEM:
            return {"url": values["central_url"], "saved": False, "checks": _told(checks), "linked": {}}
        checks += _overridden()
        linked = {doctype: _link(central, doctype, dry_run) for doctype in link}
    finally:
        central.close()
    if not dry_run:
        _save(values, secret)
    return {"url": values["central_url"], "saved": not dry_run, "checks": _told(checks), "linked": linked}


def _told(checks):
    return [check.as_dict() for check in checks]


def _refuse_unlinkable(doctype):
    if not frappe.db.exists("DocType", doctype):
        raise InvalidRequest(_("There is no document type {0}.").format(doctype))
    meta = frappe.get_meta(doctype)
    if meta.istable or meta.issingle or meta.get("is_virtual") or permissions.is_set_up(doctype):
        raise InvalidRequest(_("Documents of {0} cannot be linked.").format(_(doctype)))


def _refuse_other_central(url, moved):
    """What is known of documents at one central does not hold at another."""
    before = settings.effective().get("central_url")
    if moved or not before or before == url:
        return
    if frappe.db.sql("select 1 from `tabSynced Document` where central_name is not null limit 1"):
        raise SettingsError(
            _(
                "This branch has sent to {0} so far. Where that central only has a new address, repeat with --moved; "
                "another central needs a branch that begins anew."
            ).format(before)
        )


def _overridden():
    stated = frappe.get_site_config().get("offline_sync")
    names = [
        name
        for name in ("enabled", "role", "central_url", "api_key", "api_secret", "ca_file")
        if isinstance(stated, dict) and name in stated
    ]
    if not names:
        return []
    todo = "Take them out of its dict offline_sync, where they are not what you want."
    return [Check("site_config.json", WARNING, f"It overrules what is saved here: {', '.join(names)}.", todo)]


def _save(values, secret):
    doc = frappe.get_doc(settings.SETTINGS)
    doc.update({name: values.get(name) for name in ("central_url", "api_key", "ca_file")})
    doc.api_secret, doc.enabled, doc.role = secret, 1, "Branch"
    doc.flags.ignore_permissions = True
    doc.save()
    frappe.db.commit()


# documents that both sites have


def _link(central, doctype, dry_run):
    """How many were linked, were linked before, have another time of creation there, and are here alone."""
    there = dict(_theirs(central, doctype))
    found = {"linked": 0, "known": 0, "differ": [], "absent": 0}
    for name, creation in _ours(doctype):
        if name not in there:
            found["absent"] += 1
        elif there[name] != creation:
            found["differ"].append(name)
        elif _is_known(doctype, name):
            found["known"] += 1
        else:
            found["linked"] += dry_run or _linked(central, doctype, name)
    return {**found, "differ": len(found["differ"]), "differing": found["differ"][:_SHOWN]}


def _ours(doctype):
    after = ""
    while True:
        rows = frappe.db.sql(
            f"select `name`, `creation` from `tab{doctype}` where `name` > %s order by `name` limit {PAGE}",  # noqa: S608
            (after,),
        )
        yield from ((str(name), get_datetime(creation)) for name, creation in rows)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _theirs(central, doctype):
    """(name, creation) of the central's; raises SettingsError where it does not list them."""
    begin = 0
    while True:
        asked = {
            "fields": json.dumps(["name", "creation"]),
            "order_by": "name asc",
            "limit_start": begin,
            "limit_page_length": PAGE,
        }
        path = f"{document_path(doctype)}?{urlencode(asked, quote_via=quote)}"
        reply = central.deliver(Wire(method="GET", path=path, body=None), key="")
        rows = reply.body.get("data") if reply.status == 200 and isinstance(reply.body, dict) else None
        if rows is None:
            raise SettingsError(_("The central does not list its documents of {0}.").format(_(doctype)))
        yield from ((str(row["name"]), get_datetime(row["creation"])) for row in rows)
        if len(rows) < PAGE:
            return
        begin += PAGE


def _is_known(doctype, name):
    store = own_store()
    with store.transaction():
        known = store.document_named(doctype, name)
        return bool(known and (known.linked or store.open_in_line(known.id, limit=1)))


def _linked(central, doctype, name):
    """Link one; what differs in its values is found when it is changed: its base is the branch's document."""
    schema, local = schema_of(doctype), FrappeLocalDocuments().current(doctype, name)
    if local is None:
        return 0
    answered = {}
    if any(local.get(table) for table in schema.tables):
        reply = central.fetch(doctype, name)
        answered = reply.body.get("data") if reply.status == 200 and isinstance(reply.body, dict) else None
        if not answered:
            return 0
    store = own_store()
    with store.transaction():
        before = in_central_names(store, local, schema)
        if answered:
            before = _under_their_rows(before, schema, row_names(before, answered, {}))
        document = store.document_named(doctype, name)
        if document is None:
            document = Document(id=SystemIds().new_key(), doctype=doctype, local_name=name)
        rows = row_names(in_central_names(store, local, schema), answered, {})
        store.put_document(replace(document, central_name=name, rows=rows, base=before, version=None))
    return 1


def _under_their_rows(values, schema, names):
    return {
        field: [{**row, "name": names.get(row.get("name"), row.get("name"))} for row in value or ()]
        if field in schema.tables
        else value
        for field, value in values.items()
    }
