"""Names each thing that keeps a branch from syncing, and what to do about it.

Every check is one function that answers a `Check`; the lists at the end say in which order they are shown.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

import frappe
from frappe.model.workflow import get_workflow_name
from frappe.utils import cint, get_system_timezone

from erp_offline_sync import bootstrap, branch_identity, settings, tasks
from erp_offline_sync.engine import status
from erp_offline_sync.engine.classify import Verdict, read_probe
from erp_offline_sync.engine.config import parse
from erp_offline_sync.engine.errors import SettingsError
from erp_offline_sync.engine.model import Status, Wire
from erp_offline_sync.engine.sending.companion import read_capabilities
from erp_offline_sync.engine.sending.origin import SET_BACK, Standing
from erp_offline_sync.indexes import missing_indexes
from erp_offline_sync.receiver import branches

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_OFFSET_SHOWN = 30.0
"""Seconds by which the clocks may differ before people are told."""
_TICK = 60
_YOUNG = timedelta(days=7)
_RIGHTS = ("create", "write")

_WHAT_TO_DO = {
    Verdict.CREDENTIALS: "Enter the API key and secret of the branch's user at the central again.",
    Verdict.CONFIGURATION: "Look at the URL (scheme, host, path) and at the certificate: this is no Frappe site we trust.",
    Verdict.NOT_SENT: "Look at the line, the host's name and the port, and whether that port speaks https.",
    Verdict.UNANSWERED: "The central is reached but does not answer; look at it, or at what is between.",
    Verdict.NOT_NOW: "The central is busy or in maintenance; nothing to do here.",
    Verdict.SERVER_ERROR: "The central answers with an error of its own; look at its error log.",
}


@dataclass(frozen=True)
class Check:
    """One thing looked at. `todo` is empty where there is nothing to do."""

    name: str
    state: str
    message: str
    todo: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def _settings_complete(values: dict[str, Any]) -> Check:
    missing = [name for name in ("central_url", "api_key") if not values.get(name)]
    try:
        parse(values)
    except SettingsError as error:
        return _wrong(str(error), "Correct them in Offline Sync Settings or site_config.json.")
    try:
        if not settings.secret():
            missing.append("api_secret")
    except SettingsError as error:
        return _wrong(f"{error}.", "Enter the credentials again: this is a restored site without its key.")
    if missing:
        return _wrong(f"Missing: {', '.join(missing)}.", "Enter them in Offline Sync Settings.")
    if not settings.is_branch(values):
        return _wrong("This site is not enabled as a branch.", "Enable it in Offline Sync Settings.")
    return Check("settings", OK, f"Complete; central {values['central_url']}")


def _wrong(message: str, todo: str) -> Check:
    return Check("settings", PROBLEM, message, todo)


def connection_checks(values: dict[str, Any]) -> list[Check]:
    """What works between this site and the central; a handful of GETs, nothing is written there."""
    complete = _settings_complete(values)
    if complete.state == PROBLEM and "not enabled" not in complete.message:
        return [complete]
    try:
        central = bootstrap.site_central(values)
    except SettingsError as error:
        return [Check("url", PROBLEM, str(error), "Correct the URL in Offline Sync Settings.")]
    try:
        return [complete, *checks_of(central, values)]
    finally:
        central.close()


def checks_of(central: Any, values: dict[str, Any]) -> list[Check]:
    """What works with this central, whether or not the settings name it."""
    outcome = read_probe(central.probe())
    if outcome.verdict is not Verdict.APPLIED:
        return [Check("connection", PROBLEM, outcome.message, _WHAT_TO_DO.get(outcome.verdict, ""))]
    return [Check("connection", OK, f"Logged in as {outcome.name}"), *_central_checks(central, values)]


def _central_checks(central: Any, values: dict[str, Any]) -> list[Check]:
    checks = [_clock(central), _zone(central)]
    info = central.server_info()
    if info:
        versions = ", ".join(f"{app} {version}" for app, version in sorted(info.items()))
        checks.append(Check("version of the central", OK, versions))
    checks.append(_companion(central))
    doctypes = [row.document_type for row in frappe.get_doc(settings.SETTINGS).policies if row.enabled]
    refused = [check for doctype in doctypes if (check := _permission(central, doctype))]
    return [*checks, *refused, *_workflows(central, doctypes), _one_user(central, doctypes)]


def _companion(central: Any) -> Check:
    reply = central.capabilities()
    said = read_capabilities(reply)
    if reply.status == 403:
        return Check(
            "companion",
            WARNING,
            "The central has this app, and the branch's user may not push to it: requests leave one by one.",
            "At the central: bench --site SITE offline-sync add-branch NAME; connect with the key that it prints.",
        )
    if said is None:
        return Check(
            "companion",
            OK,
            "The central has no companion for this user: requests leave one by one, by plain REST.",
        )
    return Check("companion", OK, f"The central has this app ({said.version}): requests go many at a time.")


def _clock(central: Any) -> Check:
    offset = central.clock_offset()
    if offset is None:
        return Check(
            "clock", WARNING, "The central sends no Date header.", "Times of both sites cannot be compared."
        )
    seconds = offset.seconds
    message = f"The central's clock is {seconds:+.0f} s off ours."
    if abs(seconds) <= _OFFSET_SHOWN:
        return Check("clock", OK, message)
    return Check(
        "clock", WARNING, message, "Set both clocks by a time server; the offset is allowed for meanwhile."
    )


def _zone(central: Any) -> Check:
    here, there = get_system_timezone(), central.time_zone
    if there and here != there:
        return Check(
            "time zone",
            WARNING,
            f"Here {here}, at the central {there}.",
            "Dates and times travel as they are written; set both sites to one zone where they are one business.",
        )
    return Check(
        "time zone", OK, f"{here} on both sites" if there else f"{here} here, unknown at the central"
    )


def _permission(central: Any, doctype: str) -> Check | None:
    reply = central.find(doctype, {"name": "-"})
    if reply.status != 200:
        missing = "The central has no such document type, or it" if reply.status == 404 else "The central"
        message = f"{missing} answers {reply.status or 'nothing'} when asked for {doctype}."
    elif lacking := [right for right in _RIGHTS if not _has(central, doctype, right)]:
        message = f"The branch's user may not {' or '.join(lacking)} {doctype} at the central."
    else:
        return None
    todo = "Give the branch's user a role there that may do what the branch does."
    return Check(f"permission on {doctype}", PROBLEM, message, todo)


def _workflows(central: Any, doctypes: list[str]) -> list[Check]:
    """One for each document type that is under a workflow here; the central moves documents by the same rules."""
    names = {doctype: name for doctype in doctypes if (name := get_workflow_name(doctype))}
    roles = _roles_there(central) if names else set()
    return [_workflow(doctype, frappe.get_doc("Workflow", name), roles) for doctype, name in names.items()]


def _roles_there(central: Any) -> set[str] | None:
    """The roles of the branch's user at the central; None where it does not tell."""
    asked = urlencode({"uid": central.user})
    path = f"/api/method/frappe.core.doctype.user.user.get_roles?{asked}"
    reply = central.deliver(Wire(method="GET", path=path, body=None), key="")
    told = reply.body.get("message") if reply.status == 200 and isinstance(reply.body, dict) else None
    return set(told) if isinstance(told, list) else None


def _workflow(doctype: str, workflow: Any, roles: set[str] | None) -> Check:
    name = f"workflow of {doctype}"
    travels = f"{workflow.name}: a document travels in its first state, then one step a transition."
    needed = {row.allowed for row in workflow.transitions} | {row.allow_edit for row in workflow.states}
    if roles is None:
        return Check(
            name,
            WARNING,
            f"{travels} The central does not tell the roles of the branch's user.",
            f"See that it has them: {', '.join(sorted(needed))}.",
        )
    if lacking := sorted(needed - roles):
        return Check(
            name,
            WARNING,
            f"{travels} At the central the branch's user lacks: {', '.join(lacking)}.",
            "Give it these roles there; a step that needs another waits for a person.",
        )
    return Check(name, OK, travels)


def _has(central: Any, doctype: str, right: str) -> bool:
    """Whether the branch's user has the right there; one that is not told counts as given."""
    asked = urlencode({"doctype": doctype, "docname": "", "perm_type": right})
    path = f"/api/method/frappe.client.has_permission?{asked}"
    reply = central.deliver(Wire(method="GET", path=path, body=None), key="")
    told = reply.body.get("message") if reply.status == 200 and isinstance(reply.body, dict) else None
    return not isinstance(told, dict) or bool(told.get("has_permission", True))


def _one_user(central: Any, doctypes: list[str]) -> Check:
    name, todo = (
        "user of the key",
        "Give each branch a user of its own at the central: by it is found what is lost.",
    )
    if central.user == "Administrator":
        return Check(name, WARNING, "The key is Administrator's.", todo)
    found = [(len(strange), doctype) for doctype in doctypes if (strange := _not_ours(central, doctype))]
    if not found:
        return Check(name, OK, f"{central.user}; no other branch may use it")
    listed = ", ".join(f"{number} {doctype}" for number, doctype in found)
    message = f"{central.user} made documents there in the last week that this branch did not send: {listed}."
    return Check(name, WARNING, message, f"{todo} (Queued calls may have made them as well.)")


def _not_ours(central: Any, doctype: str) -> set[str]:
    """Names of young documents at the central, made by the branch's user, that this branch knows nothing of."""
    store = tasks.own_store()
    with store.transaction():
        if store.list_requests(statuses={Status.IN_DOUBT, Status.IN_FLIGHT}, doctype=doctype, limit=1):
            return set()
    reply = central.find_created_since(doctype, datetime.now(timezone.utc) - _YOUNG)
    rows = reply.body.get("data") if reply.status == 200 and isinstance(reply.body, dict) else None
    names = {str(row["name"]) for row in rows or ()}
    with store.transaction():
        known = store.documents_at_central(doctype, names) if names else []
    return names - {document.central_name for document in known}


def _scheduler(values: dict[str, Any]) -> Check:
    from frappe.utils.scheduler import is_dormant, is_scheduler_disabled, is_scheduler_inactive

    site = frappe.local.site
    if is_scheduler_disabled(verbose=False):
        return Check("scheduler", PROBLEM, "It is off.", f"bench --site {site} enable-scheduler")
    if is_scheduler_inactive(verbose=False):
        return Check(
            "scheduler",
            PROBLEM,
            "It is paused (maintenance mode?).",
            f"bench --site {site} set-maintenance-mode off",
        )
    if is_dormant():
        return Check(
            "scheduler",
            PROBLEM,
            "It takes the site for dormant, for nobody logged in for days, and runs its jobs once a day.",
            "Log in, or supervise `offline-sync run --forever`.",
        )
    job = frappe.db.get_value(
        "Scheduled Job Type", {"method": tasks.RUN}, ["name", "stopped", "last_execution"], as_dict=True
    )
    if not job or job.stopped:
        return Check(
            "scheduler",
            PROBLEM,
            "The job of the sync run is missing or stopped.",
            f"bench --site {site} migrate",
        )
    if not job.last_execution:
        return Check(
            "scheduler", WARNING, "It has not run the sync yet.", "See that `bench schedule` is running."
        )
    age = (frappe.utils.now_datetime() - job.last_execution).total_seconds()
    if age > 600:
        return Check(
            "scheduler",
            PROBLEM,
            f"Its last tick was {age / 60:.0f} minutes ago.",
            "See that `bench schedule` is running.",
        )
    return Check("scheduler", OK, f"Last tick {age:.0f} s ago")


def _tick(values: dict[str, Any]) -> Check:
    tick = cint(frappe.get_conf().get("scheduler_tick_interval")) or _default_tick()
    if tick <= _TICK:
        return Check("tick", OK, f"Every {tick} s")
    return Check(
        "tick",
        WARNING,
        f"The scheduler looks only every {tick} s.",
        "Set scheduler_tick_interval to 60 in common_site_config.json, or supervise `offline-sync run --forever`.",
    )


def _default_tick() -> int:
    from frappe.utils import scheduler

    return cint(getattr(scheduler, "DEFAULT_SCHEDULER_TICK", 60))


def _workers(values: dict[str, Any]) -> Check:
    from frappe.utils.background_jobs import get_workers

    queue = values.get("queue") or "long"
    try:
        names = {name for worker in get_workers() for name in worker.queue_names()}
    except Exception as error:
        return Check(
            "redis",
            PROBLEM,
            f"The queue's Redis cannot be reached ({type(error).__name__}).",
            "Start it: bench start, or supervisorctl.",
        )
    if not any(name.split(":")[-1] == queue for name in names):
        return Check(
            "worker",
            PROBLEM,
            f"No worker listens on the queue {queue}.",
            "Start one: bench worker --queue long,default,short",
        )
    return Check("worker", OK, f"Listening on {queue}")


def _indexes(values: dict[str, Any]) -> Check:
    missing = missing_indexes()
    if missing:
        return Check(
            "indexes",
            PROBLEM,
            f"Missing: {', '.join(map(str, missing))}.",
            f"bench --site {frappe.local.site} migrate",
        )
    return Check("indexes", OK, "All there")


def _body_size(values: dict[str, Any]) -> Check:
    stated = parse(values).max_body_mb
    largest, packet = settings.largest_body(values) / settings.MEGABYTE, settings.largest_statement()
    if packet is None or largest >= stated:
        return Check("body size", OK, f"{stated} MB at most travel")
    needed = stated * settings.STATEMENT_PARTS
    return Check(
        "body size",
        WARNING,
        f"{largest:.1f} MB at most travel, not {stated}: the database takes {packet / settings.MEGABYTE:.0f} MB in one"
        " statement (max_allowed_packet), and a larger save is refused.",
        f"Set max_allowed_packet = {needed}M in MariaDB's configuration, or max_body_mb in Offline Sync Settings to"
        f" {int(largest)}.",
    )


def _policies(values: dict[str, Any]) -> Check:
    rows = frappe.get_doc(settings.SETTINGS).policies
    captured = sum(1 for row in rows if row.enabled)
    if captured:
        return Check("policies", OK, f"{captured} document types are captured.")
    todo = "Offline Sync Settings, tab Documents: a row for each document type that shall travel."
    if "erpnext" in frappe.get_installed_apps():
        todo += f" For ERPNext: bench --site {frappe.local.site} offline-sync policies --add-erpnext"
    return Check("policies", WARNING, "No document type has a policy: nothing is captured.", todo)


def _outbox(values: dict[str, Any]) -> Check:
    store = tasks.own_store()
    with store.transaction():
        kept = status.sync_status(store)
        paused = status.paused_by(store, datetime.now(timezone.utc))
        refused = store.get_meta(SET_BACK)
    if paused:
        return Check(
            "outbox",
            WARNING,
            f"Sending is paused by {paused}.",
            f"bench --site {frappe.local.site} offline-sync resume",
        )
    failed = kept["state"] == status.FAILED
    if refused:
        message = kept["reason"] if failed else "It was set back, or has a twin; what waits is looked up."
        return Check(
            "outbox",
            PROBLEM,
            f"The central has stopped this branch: {message}",
            "There: bench --site SITE offline-sync branches, and once one site is left that sends, clear-branch NAME.",
        )
    if failed:
        return Check(
            "outbox",
            PROBLEM,
            f"The last run failed: {kept['reason']}",
            "Mend what it says, then Sync Now: the next good run ends this.",
        )
    held = kept["totals"]["held"]
    if held:
        return Check(
            "outbox",
            WARNING,
            f"{held} requests wait for a person.",
            "Open the list Offline Request, status Needs Attention or Conflict.",
        )
    return Check("outbox", OK, f"{kept['pendingCount']} waiting, state {kept['state']}")


_STOPPED_TODO = {
    "Cloned": "Find out which site is the branch. At the other: offline-sync identity --copy, or end its scheduler. "
    "Then here: {clear}; the branch has to push first.",
    "Restored": "See that no other site sends as this branch. Then here: {clear}; it looks up what waits first.",
}
"""By why the origin was stopped; else it was done by hand."""


def branch_checks() -> list[Check]:
    """Of a central: each branch that is refused here, and what to do; nothing where none ever pushed."""
    checks, pushing = [], 0
    for branch in branches.list_branches():
        for origin in branch["origins"]:
            if not origin["stopped"]:
                pushing += 1
                continue
            clear = f"bench --site {frappe.local.site} offline-sync clear-branch {origin['origin']}"
            todo = _STOPPED_TODO.get(origin["because"], "When it may go on: {clear}").format(clear=clear)
            message = f"Stopped since {(origin['since'] or '')[:16]}, it pushes in vain: {origin['reason']}"
            checks.append(Check(f"branch {branch['branch']}", PROBLEM, message, todo))
    if pushing:
        checks.append(Check("branches", OK, f"{pushing} push here"))
    return checks


def _identity(values: dict[str, Any]) -> Check:
    told = branch_identity.told()
    if told["standing"] == Standing.ASK.value:
        return Check(
            "identity",
            PROBLEM,
            f"This site may be a copy: {told['why']}. Nothing is sent.",
            f"bench --site {frappe.local.site} offline-sync identity --copy, or --replacement",
        )
    if told["standing"] == Standing.RESTORED.value:
        return Check(
            "identity", WARNING, f"A restored backup: {told['why']}.", "The next run looks up what waits."
        )
    return Check("identity", OK, f"Branch {told['origin'] or 'that has not sent yet'}, run {told['run']}")


_SITE: tuple[Callable[[dict[str, Any]], Check], ...] = (
    _scheduler,
    _tick,
    _workers,
    _indexes,
    _body_size,
    _identity,
    _policies,
    _outbox,
)


def site_checks() -> list[Check]:
    """Everything: the connection, the site's own machinery, and the branches that push here. A site that others push
    to and that sends nothing itself is a central: what only a branch needs is not looked at."""
    values = settings.effective()
    central = branch_checks()
    if central and not settings.is_branch(values):
        return [*central, _made(_indexes, values)]
    return [*connection_checks(values), *(_made(check, values) for check in _SITE), *central]


def _made(check: Callable[[dict[str, Any]], Check], values: dict[str, Any]) -> Check:
    """One that fails does not keep the others from being made."""
    try:
        return check(values)
    except Exception as error:
        name = check.__name__.strip("_")
        return Check(name, WARNING, f"It could not be looked at ({type(error).__name__}).", "")
