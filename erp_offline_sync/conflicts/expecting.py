"""Conflicts to be expected: changes that still wait here, of documents that moved at the central meanwhile.

Versions are compared in bulk, a few questions a call, and only while the line is up and nobody paused. A moved
version is not yet a conflict: whether synced fields differ is seen when the change is sent.
"""

import json
import time

import frappe
from frappe import _

from erp_offline_sync import bootstrap, permissions, settings
from erp_offline_sync.conflicts import reading, words
from erp_offline_sync.engine import status
from erp_offline_sync.engine.errors import OfflineSyncError
from erp_offline_sync.engine.sending.line import BREAKER, kept_breaker

PAGE = 200
"""Documents of one call."""
_SECONDS = 10
_ANSWER_SECONDS = 5
_NAMES_LONG = 3000
"""Characters of names in one question: it travels in an address, which servers cut at 8 kB."""


def expected(start, limit):
    """`{"asked_at", "reachable", "message", "rows"}`: of so many waiting documents, those that moved."""
    reading_store = reading.store()
    with reading_store.transaction():
        now = reading_store.now()
        closed = kept_breaker(reading_store.get_meta(BREAKER)).closed
        paused = status.paused_by(reading_store, now)
    answer = {"asked_at": now.isoformat(), "reachable": False, "message": None, "rows": []}
    values = settings.effective()
    if paused:
        return {**answer, "message": _("Sending is paused by {0}.").format(paused)}
    if not closed or not settings.is_branch(values):
        return {**answer, "message": _("The central cannot be asked now.")}
    waiting = _waiting(start, limit)
    try:
        central = bootstrap.site_central({**values, "central_request_timeout": _ANSWER_SECONDS})
    except OfflineSyncError as error:
        return {**answer, "message": str(error)}
    try:
        versions = _versions(central, waiting)
    finally:
        central.close()
    if versions is None:
        return {**answer, "message": _("The central cannot be asked now.")}
    moved = [
        each
        for each in waiting
        if versions.get((each.resource_type, each.central_name), each)["version"] != each.version
    ]
    return {**answer, "reachable": True, "rows": [_row(each, versions) for each in moved]}


def _waiting(start, limit):
    """The first waiting change of each document that the reader may read and that the central has."""
    allowed = permissions.query_conditions(doctype="Offline Request") or "1=1"
    return frappe.db.sql(
        "select min(`tabOffline Request`.`name`) as request, `tabOffline Request`.`resource_type`,"  # noqa: S608 - no values in it
        " `tabOffline Request`.`resource_id`, `tabSynced Document`.`central_name`, `tabSynced Document`.`version`"
        " from `tabOffline Request` join `tabSynced Document`"
        " on `tabSynced Document`.`reference_doctype` = `tabOffline Request`.`resource_type`"
        " and `tabSynced Document`.`local_name` = `tabOffline Request`.`resource_id`"
        " and `tabSynced Document`.`live` = '1'"
        " where `tabOffline Request`.`status` in ('Pending', 'Waiting', 'Retry Scheduled')"
        " and `tabOffline Request`.`operation` <> 'create'"
        " and coalesce(`tabSynced Document`.`version`, '') <> ''"
        " and coalesce(`tabSynced Document`.`central_name`, '') <> ''"
        f" and {allowed}"
        " group by `tabOffline Request`.`resource_type`, `tabOffline Request`.`resource_id`,"
        " `tabSynced Document`.`central_name`, `tabSynced Document`.`version`"
        f" order by min(`tabOffline Request`.`seq`) limit {max(0, min(limit, PAGE))} offset {max(0, start)}",
        as_dict=True,
    )


def _versions(central, waiting):
    """{(doctype, name there): {"version", "by"}}; None where the central does not answer."""
    until = time.monotonic() + _SECONDS
    found = {}
    by_doctype = {}
    for each in waiting:
        by_doctype.setdefault(each.resource_type, []).append(each.central_name)
    for doctype, names in by_doctype.items():
        for some in _in_parts(names):
            if time.monotonic() > until:
                return found
            reply = central.versions(doctype, some)
            rows = reply.body.get("data") if reply.status == 200 and isinstance(reply.body, dict) else None
            if not isinstance(rows, list):
                if reply.status is None or reply.status >= 500:
                    return None
                continue
            for row in rows:
                version = {"version": str(row.get("modified")), "by": row.get("modified_by")}
                found[doctype, str(row.get("name"))] = version
    return found


def _in_parts(names):
    part, length = [], 0
    for name in names:
        if part and length + len(json.dumps(name)) > _NAMES_LONG:
            yield part
            part, length = [], 0
        part.append(name)
        length += len(json.dumps(name)) + 1
    if part:
        yield part


def _row(waiting, versions):
    by = versions[waiting.resource_type, waiting.central_name]["by"]
    return {
        "request": waiting.request,
        "resource_type": waiting.resource_type,
        "resource_id": waiting.resource_id,
        "title": reading.title_of(waiting.resource_type, waiting.resource_id),
        "sentence": words.moved_there(by),
    }
