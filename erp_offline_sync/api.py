"""The endpoints: each checks permission first, then only shapes the request and the answer.

Reading needs a role of this app, and permission on the document a row is about; deciding, retrying and discarding
need write permission on that document.
"""

import json
from datetime import datetime, timezone
from itertools import islice
from typing import Any

import frappe
from frappe import _
from frappe.utils import now_datetime

from erp_offline_sync import (
    bootstrap,
    erpnext_policies,
    field_levels,
    permissions,
    settings,
    tasks,
    wakeup,
)
from erp_offline_sync.adapters.frappe_store import FrappeStore
from erp_offline_sync.adapters.hook_resolvers import keep_hook, kept_hooks, remove_hook
from erp_offline_sync.adapters.system_clock import SystemIds
from erp_offline_sync.conflicts import deciding, sentences
from erp_offline_sync.doctor import connection_checks, site_checks
from erp_offline_sync.endpoints import needs_all_parameters
from erp_offline_sync.engine import actions, metrics, status
from erp_offline_sync.engine.calls import queued_call
from erp_offline_sync.engine.errors import OfflineSyncError, TakesAlong
from erp_offline_sync.engine.model import Operation, Resolution
from erp_offline_sync.engine.registry import conflict_data, same_doctype

_CONFLICTS_AT_MOST = 1000
_PAGE = 200
_EXPLAINED = 500

_WRITES_LIKE = {
    Operation.CREATE: "create",
    Operation.UPDATE: "write",
    Operation.SUBMIT: "submit",
    Operation.CANCEL: "cancel",
    Operation.DELETE: "delete",
    Operation.RENAME: "write",
}


def _readers_only():
    permissions.only_readers()


def _managers_only():
    if not permissions.is_manager():
        raise frappe.PermissionError(_("This needs the role Offline Sync Manager."))


def _may_decide_on(doctype, name):
    """Write permission on the document that a request or conflict is about."""
    if not permissions.may_write(doctype, name):
        raise frappe.PermissionError(_("You may not change the document that this is about."))


def _told(call, *args, **more):
    """What the engine refuses, as a message in the Desk instead of a traceback."""
    try:
        return call(*args, **more)
    except TakesAlong as along:
        frappe.throw(f"{along} {', '.join(along.names)}", title=_("Confirm what goes along"))
    except OfflineSyncError as error:
        frappe.throw(sentences.told(str(error)), title=_("Offline sync"))


def _unconnected():
    """What a decision needs: it sends nothing, so a site whose credentials are lost can make it too."""
    return _told(bootstrap.site, connected=False).ports


def _request_of(name):
    store = tasks.own_store()
    with store.transaction():
        request = store.get(name)
    if request is None:
        frappe.throw(_("There is no request {0}.").format(name), frappe.DoesNotExistError)
    return request


def _request_to_decide_on(name):
    _readers_only()
    request = _request_of(name)
    _may_decide_on(request.resource_type, request.resource_id)
    return request


@frappe.whitelist()
def get_sync_status() -> dict[str, Any]:
    """State, stats, last sync time, counts and reason; see hooks-docs/events.md for the keys."""
    _readers_only()
    store = tasks.own_store()
    with store.transaction():
        answer = status.sync_status(store)
    values = settings.effective()
    if answer["state"] == status.IDLE or not settings.is_branch(values):
        answer["reason"] = settings.held_back(values, now_datetime().time()) or answer["reason"]
    return answer


@frappe.whitelist()
def get_metrics(days: int = 7) -> dict[str, Any]:
    """What the runs of the last 1 to 90 days did, hour by hour; see hooks-docs/events.md for the keys."""
    _readers_only()
    store = tasks.own_store()
    with store.transaction():
        return _told(metrics.read_metrics, store, days=days)


@frappe.whitelist(methods=["POST"])
def force_sync(doctypes: str | list | None = None) -> dict[str, Any]:
    """Start a run now, probing at once where the line is down. `doctypes` limits it to these."""
    _readers_only()
    doctypes = _parsed(doctypes, _("The document types are not JSON."))
    if doctypes is not None and not (
        isinstance(doctypes, list) and all(isinstance(d, str) for d in doctypes)
    ):
        frappe.throw(_('The document types are a list such as ["Customer"].'), title=_("Offline sync"))
    store = tasks.own_store()
    with store.transaction():
        by = status.paused_by(store, store.now())
    if by:
        frappe.throw(_("Sending is paused by {0}. Resume it first.").format(by), title=_("Offline sync"))
    if not settings.is_branch(settings.effective()):
        frappe.throw(
            _("Enable this site as a branch in Offline Sync Settings first."), title=_("Offline sync")
        )
    if not wakeup.enqueue_run(trigger="person", force=True, doctypes=doctypes):
        frappe.throw(
            _(
                "The job queue cannot be reached. The next scheduler tick sends, or run: bench --site {0} offline-sync run"
            ).format(frappe.local.site),
            title=_("Offline sync"),
        )
    return get_sync_status()


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def pause(reason: str) -> dict[str, Any]:
    """Send nothing until `resume`; capture goes on."""
    _managers_only()
    if not (reason or "").strip():
        frappe.throw(_("Say why sending is paused."), title=_("Offline sync"))
    store = tasks.own_store()
    with store.transaction():
        status.pause(store, by=frappe.session.user, reason=reason)
    return get_sync_status()


@frappe.whitelist(methods=["POST"])
def resume() -> dict[str, Any]:
    """End a pause."""
    _managers_only()
    store = tasks.own_store()
    with store.transaction():
        status.resume(store)
    wakeup.enqueue_run(trigger="person")
    return get_sync_status()


@frappe.whitelist()
def get_pending_conflicts(limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
    """Conflicts that wait for a person, oldest first, of documents that the caller may read."""
    _readers_only()
    offset, limit = max(0, int(offset)), min(max(0, int(limit)), _CONFLICTS_AT_MOST)
    readable = (each for each in _pending() if permissions.may_read(each.resource_type, each.resource_id))
    resolutions = _told(bootstrap.site, connected=False).engine.resolutions
    return [_shown(resolutions.data(each)) for each in islice(readable, offset, offset + limit)]


def _shown(data):
    """A conflict as a hook gets it, without the fields that the caller may not read in the document."""
    return field_levels.as_read("Sync Conflict", data["resource_type"], data)


def _pending():
    """All of them, a page at a time: how many of a page the caller may read is known only afterwards."""
    store = tasks.own_store()
    begin = 0
    while True:
        with store.transaction():
            page = store.conflicts(limit=_PAGE, offset=begin)
        yield from page
        if len(page) < _PAGE:
            return
        begin += _PAGE


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def resolve_conflict(
    conflict_id: str,
    resolution: str,
    values: str | dict | None = None,
    choices: str | dict | None = None,
) -> dict[str, Any]:
    """Decide a conflict: local_wins, server_wins, merge, manual or skip. Of a merge, `choices` names a side ("local" or
    "server") for what clashes, `values` what is to stand whatever both sides have; manual needs them."""
    _readers_only()
    conflict = _conflict_to_decide_on(conflict_id)
    chosen_values, sides = _object(values), _object(choices)
    try:
        chosen = Resolution(resolution)
    except ValueError:
        allowed = ", ".join(choice.value for choice in Resolution)
        frappe.throw(_("{0} is not a resolution. There are: {1}.").format(resolution, allowed))
    if conflict.pending and (why := deciding.refusal(conflict, chosen, sides, chosen_values)):
        frappe.throw(why, title=_("Offline sync"))
    assembled = _told(bootstrap.site, connected=False)
    resolved = _told(
        assembled.engine.resolutions.apply,
        conflict_id,
        chosen,
        by=frappe.session.user,
        reason="decided by a person",
        choices=sides or None,
        values=chosen_values or None,
    )
    wakeup.enqueue_run(trigger="person")
    return _shown(conflict_data(resolved))


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def undo_conflict(conflict_id: str) -> dict[str, Any]:
    """Take a decision back, while nothing of it was sent and the document is unchanged since."""
    _readers_only()
    conflict = _conflict_to_decide_on(conflict_id)
    if not conflict.pending and (why := deciding.refusal(conflict, conflict.resolution, {}, {})):
        frappe.throw(why, title=_("Offline sync"))
    assembled = _told(bootstrap.site, connected=False)
    again = _told(assembled.engine.resolutions.undo, conflict_id, by=frappe.session.user)
    return _shown(conflict_data(again))


def _object(given):
    not_one = _("Values and choices must be JSON objects.")
    value = _parsed(given or "{}", not_one)
    if not isinstance(value, dict):
        frappe.throw(not_one, title=_("Offline sync"))
    return value


def _conflict_to_decide_on(conflict_id):
    store = tasks.own_store()
    with store.transaction():
        conflict = store.conflict(conflict_id)
    if conflict is None:
        frappe.throw(_("There is no conflict {0}.").format(conflict_id), frappe.DoesNotExistError)
    _may_decide_on(conflict.resource_type, conflict.resource_id)
    return conflict


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def clear_old_requests(days: int) -> int:
    """Delete ended requests older than so many days; held and waiting ones never. Answers how many."""
    _managers_only()
    return _told(actions.clear_old_requests, _unconnected(), int(days))


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def retry(name: str) -> dict[str, Any]:
    """Send a request again, with all its retries."""
    _request_to_decide_on(name)
    again = _told(actions.retry, _unconnected(), name, by=frappe.session.user)
    wakeup.enqueue_run(trigger="person")
    return {"name": again.id, "status": again.status.value}


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def discard(name: str, reason: str, take_along: bool | int = False) -> list[str]:
    """End a request unsent, for good. Later requests of its document go along once `take_along` confirms it."""
    _request_to_decide_on(name)
    gone = _told(
        actions.discard,
        _unconnected(),
        name,
        reason=reason,
        by=frappe.session.user,
        take_along=bool(int(take_along)),
    )
    wakeup.enqueue_run(trigger="person")
    return gone


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def send_whole(name: str) -> dict[str, Any]:
    """For a document that is not at the central: create it there as it stands here."""
    _request_to_decide_on(name)
    whole = _told(actions.send_whole, _unconnected(), name, by=frappe.session.user)
    wakeup.enqueue_run(trigger="person")
    return {"name": whole.id, "status": whole.status.value}


@frappe.whitelist()
@needs_all_parameters
def explain(name: str) -> str:
    """One line: why a request has not been sent, and when it will be."""
    _readers_only()
    request = _request_of(name)
    if not permissions.may_read(request.resource_type, request.resource_id):
        raise frappe.PermissionError(_("You may not read the document that this is about."))
    store = tasks.own_store()
    with store.transaction():
        return actions.explain(store, request, store.now(), held_back=settings.held_back_now())


@frappe.whitelist()
@needs_all_parameters
def explain_each(names: str | list) -> dict[str, str]:
    """`explain` of the requests on a page of a list; those that the caller may not read are left out."""
    _readers_only()
    names = _parsed(names, _("The names are not JSON."))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        frappe.throw(_("The names are a list of names of requests."), title=_("Offline sync"))
    if len(names) > _EXPLAINED:
        frappe.throw(_("Ask for at most {0} at a time.").format(_EXPLAINED), title=_("Offline sync"))
    readable = names and frappe.get_list(
        "Offline Request", {"name": ("in", names)}, pluck="name", limit_page_length=0
    )
    # Part of this call's own transaction: a page that is only looked at makes nobody wait.
    store = FrappeStore(frappe.db.commit, frappe.db.rollback, owns_transaction=False)
    with store.transaction():
        requests = [request for name in readable if (request := store.get(name))]
        reasons = actions.explain_each(store, requests, store.now(), held_back=settings.held_back_now())
    return {request.id: why for request, why in zip(requests, reasons, strict=True)}


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def enqueue_request(
    method: str,
    path: str,
    body: str | dict | None = None,
    priority: int = 5,
    overwrite: bool | int = False,
    repeatable: bool | int = False,
) -> str:
    """Queue a call to the central; answers the request's name. A caller may queue what it may do to that document
    here; other paths only Offline Sync Managers, from the list in the settings."""
    if frappe.session.user == "Guest":
        raise frappe.PermissionError(_("Log in first."))
    values = settings.effective()
    store = tasks.own_store()
    request = _told(
        queued_call,
        method,
        path,
        body,
        key=SystemIds().new_key(),
        now=datetime.now(timezone.utc),
        priority=int(priority),
        overwrite=bool(int(overwrite)),
        repeatable=bool(int(repeatable)),
        max_bytes=settings.largest_body(values),
    )
    _may_queue(request, values)
    with store.transaction():
        added = store.add(request)
    wakeup.enqueue_run(trigger="save")
    return added.id


def _parsed(given, otherwise):
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        frappe.throw(otherwise, title=_("Offline sync"))


def _may_queue(request, values):
    doctype, name = request.resource_type, request.resource_id
    if doctype and not frappe.db.exists("DocType", doctype):
        frappe.throw(_("There is no document type {0}.").format(doctype), frappe.DoesNotExistError)
    if request.operation is Operation.CALL or not doctype or permissions.is_set_up(doctype):
        _may_call(request.path, values)
        return
    is_new = request.operation is Operation.CREATE
    try:
        why = permissions.why_not_change(
            doctype, None if is_new else name, _rights(request), request.body, is_new=is_new
        )
    except frappe.DoesNotExistError:
        frappe.throw(_("There is no {0} {1} here.").format(_(doctype), name), frappe.DoesNotExistError)
    if why:
        raise frappe.PermissionError(why)


def _rights(request):
    if request.operation is Operation.CREATE and request.body.get("docstatus"):
        return ("create", "submit")
    return (_WRITES_LIKE[request.operation],)


def _may_call(path, values):
    """Other calls, and those to what sets the central up: it carries them out as the branch's user there, who may
    be allowed more than the caller is here."""
    _managers_only()
    allowed = (values.get("allowed_paths") or "").split()
    if path.split("?")[0] not in allowed:
        frappe.throw(
            _("{0} is not in the list of allowed paths of Offline Sync Settings.").format(path),
            frappe.PermissionError,
        )


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def register_conflict_hook(doctype: str, path: str) -> dict[str, Any]:
    """Keep a conflict hook, given as a dotted path, for all processes of this site."""
    _managers_only()
    if doctype != "*" and not any(
        same_doctype(known, doctype) for known in frappe.get_all("DocType", pluck="name")
    ):
        frappe.throw(_("There is no document type {0}.").format(doctype), frappe.DoesNotExistError)
    if path.split(".")[0] not in frappe.get_installed_apps():
        frappe.throw(_("A conflict hook is a function of an installed app."), title=_("Offline sync"))
    if not callable(_attribute(path)):
        frappe.throw(_("There is no function {0}.").format(path), title=_("Offline sync"))
    store = tasks.own_store()
    with store.transaction():
        keep_hook(store, doctype, path)
        return kept_hooks(store)


def _attribute(path):
    try:
        return frappe.get_attr(path)
    except (ImportError, AttributeError, ValueError, frappe.ValidationError):
        return None


@frappe.whitelist(methods=["POST"])
@needs_all_parameters
def unregister_conflict_hook(doctype: str) -> bool:
    """Whether the site kept a hook for the doctype."""
    _managers_only()
    store = tasks.own_store()
    with store.transaction():
        return remove_hook(store, doctype)


@frappe.whitelist()
def get_proposed_policies() -> list[dict[str, Any]]:
    """Rows of policies for ERPNext whose document types the settings have no row for; nothing is saved."""
    _managers_only()
    return erpnext_policies.lacking_rows()


@frappe.whitelist(methods=["POST"])
def test_connection() -> list[dict[str, Any]]:
    """What works between this site and the central, and what to do about the rest."""
    _managers_only()
    return [check.as_dict() for check in connection_checks(settings.effective())]


@frappe.whitelist(methods=["POST"])
def doctor() -> list[dict[str, Any]]:
    """Each thing that keeps this branch from syncing, and what to do."""
    _managers_only()
    return [check.as_dict() for check in site_checks()]


@frappe.whitelist(methods=["POST"])
def shutdown() -> bool:
    """No run begins in this process any more; whether the one in flight ended within ten seconds."""
    _managers_only()
    return tasks.shutdown()
