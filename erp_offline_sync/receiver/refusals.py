"""What an error means for the branch: conflict, rejected or deferred, with a text for people in its language.

The class decides, by the same table by which a branch reads plain REST's answers (engine.classify).
"""

import json
import re
import traceback

import frappe

from erp_offline_sync.engine.classify import Verdict, told, verdict_of_type
from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.sending.push import PushOutcome, PushResult
from erp_offline_sync.receiver.contention import is_contention
from erp_offline_sync.receiver.effects import Differs, as_it_stands

_OUTCOMES = {
    Verdict.STALE: PushOutcome.CONFLICT,
    Verdict.TAKEN: PushOutcome.CONFLICT,
    Verdict.WRONG_STATE: PushOutcome.CONFLICT,
    Verdict.CONFLICT: PushOutcome.CONFLICT,
    Verdict.CONTENTION: PushOutcome.DEFERRED,
    Verdict.NOT_NOW: PushOutcome.DEFERRED,
}
"""All others are rejected."""
_AGAIN_AFTER = {Verdict.CONTENTION: 1, Verdict.NOT_NOW: 30}
_MANDATORY = re.compile(r"\]: (\w+)")


def spoken(error):
    """The message of what was raised, to be read before the messages are cleared. Plain text."""
    shown = [
        json.dumps(dict(each), default=str) for each in frappe.local.message_log if isinstance(each, dict)
    ]
    body = {"_server_messages": json.dumps(shown), "exception": f"{type(error).__name__}: {error}"}
    return told(body)


def refused(request, error, message, *, logged=True):
    """The PushResult for what was raised, after all was rolled back. `logged`: an error of the code here stands in
    the Error Log afterwards."""
    if isinstance(error, Differs):
        return _conflict(request, error.exc_type, 409, message="", name=error.name)
    exc_type = type(error).__name__
    verdict = Verdict.CONTENTION if is_contention(error) else verdict_of_type(exc_type, request.operation)
    status = getattr(error, "http_status_code", 500)
    outcome = _OUTCOMES.get(verdict, PushOutcome.REJECTED)
    if outcome is PushOutcome.CONFLICT:
        return _conflict(request, exc_type, status, message=message, name=_meant(request, verdict))
    if logged and verdict is None and status >= 500:
        _log(error)
    return PushResult(
        id=request.id,
        outcome=outcome,
        status=status,
        exc_type=exc_type,
        field=_field(error),
        message=message or None,
        retry_after=_AGAIN_AFTER.get(verdict),
    )


def _conflict(request, exc_type, status, *, message, name):
    try:
        document = as_it_stands(request.doctype, name) if request.doctype and name else None
    except frappe.PermissionError as error:
        said = spoken(error)
        return PushResult(
            id=request.id, outcome=PushOutcome.REJECTED, status=403, exc_type="PermissionError", message=said
        )
    return PushResult(
        id=request.id,
        outcome=PushOutcome.CONFLICT,
        status=status,
        exc_type=exc_type,
        message=message or None,
        name=name if document else None,
        version=str(document["modified"]) if document else None,
        docstatus=int(document["docstatus"]) if document else None,
        document=document,
    )


def _meant(request, verdict):
    """The document that stands in the way: the request's own; of a create the one with its name or unique value."""
    if request.operation is not Operation.CREATE:
        return request.name
    if verdict is not Verdict.TAKEN:
        return None
    for name in (request.set_name, request.values.get("name")):
        if name and frappe.db.exists(request.doctype, name):
            return str(name)
    for field in frappe.get_meta(request.doctype).get("fields", {"unique": 1}):
        value = request.values.get(field.fieldname)
        found = frappe.db.get_value(request.doctype, {field.fieldname: value}) if value else None
        if found:
            return str(found)
    return None


def _field(error):
    """The field that is missing, where Frappe names it."""
    found = _MANDATORY.search(str(error)) if isinstance(error, frappe.MandatoryError) else None
    return found[1] if found else None


def _log(error):
    """Where it was raised; commits. The error's own text may hold a document's values."""
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
    frappe.log_error(title=f"Offline sync push: {type(error).__name__}", message="".join(frames))
    frappe.db.commit()
