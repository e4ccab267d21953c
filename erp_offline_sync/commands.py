"""`bench --site S offline-sync …`. Imported on every bench call, so the engine and HTTP are imported inside.

Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 something needs a person; 4 the central cannot be reached.
"""

import json
import os
import sys

import click

from erp_offline_sync.exit_codes import DONE, NEEDS_PERSON, OFFLINE, REFUSED, WRONG_USAGE

__all__ = ["DONE", "NEEDS_PERSON", "OFFLINE", "REFUSED", "WRONG_USAGE", "commands"]

_ONE_DAY = 86_400
"""Seconds that a single run lasts at most."""
_PAGE = 500


def _on_site(context, work):
    """Connect to the one site that was named, run `work()`, and turn refusals into a message and exit code 1."""
    import frappe

    from erp_offline_sync.engine.errors import OfflineSyncError, TakesAlong

    sites = context["sites"] if isinstance(context, dict) else context.sites  # a dict on Frappe 15
    if len(sites) != 1:
        click.echo("Name one site: bench --site SITE offline-sync …", err=True)
        return WRONG_USAGE
    (site,) = sites
    try:
        frappe.init(site=site)
        frappe.connect()
    except frappe.IncorrectSitePath:
        click.echo(f"There is no site {site} on this bench.", err=True)
        return REFUSED
    try:
        if "erp_offline_sync" not in frappe.get_installed_apps():
            click.echo(
                f"erp_offline_sync is not installed on {site}: bench --site {site} install-app erp_offline_sync",
                err=True,
            )
            return REFUSED
        code = work()
        frappe.db.commit()
        return code
    except TakesAlong as along:
        frappe.db.rollback()
        click.echo(
            f"{along} Repeat with --take-along to discard them as well:\n  " + "\n  ".join(along.names),
            err=True,
        )
        return REFUSED
    except (OfflineSyncError, frappe.ValidationError, frappe.PermissionError) as refused:
        frappe.db.rollback()
        click.echo(str(refused), err=True)
        return REFUSED
    finally:
        frappe.destroy()


def _command(*arguments, **options):
    """A subcommand that runs connected to its site and exits with the code that it answers."""
    from functools import wraps

    def decorate(function):
        @offline_sync.command(*arguments, **options)
        @click.pass_context
        @wraps(function)
        def called(context, **given):
            sys.exit(_on_site(context.obj, lambda: function(**given)))

        return called

    return decorate


def _print(value, as_json, lines):
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False) if as_json else "\n".join(lines))


def _by():
    import getpass

    return f"bench:{getpass.getuser()}"


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("offline-sync")
def offline_sync():
    """The outbox of this branch: what waits, why, and what to do about it.

    Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 something needs a person; 4 the central cannot be
    reached.
    """


@_command("status")
@_json
def show_status(as_json):
    """State, counts, last sync and reason. Exits with 3 where something needs a person."""
    from erp_offline_sync import tasks
    from erp_offline_sync.engine.status import sync_status
    from erp_offline_sync.wall_clock import by_the_sites_clock

    store = tasks.own_store()
    with store.transaction():
        told = sync_status(store)
    totals, reason = told["totals"], told["reason"]
    if reason.startswith("paused by"):
        reason = f"{reason} since {told['paused']['since']}"
    lines = [
        f"State      {told['state']}" + (f" ({by_the_sites_clock(reason)})" if reason else ""),
        f"Line       {told['line']}"
        + (f", {told['daysOffline']} days offline" if told["daysOffline"] else ""),
        f"Last sync  {by_the_sites_clock(told['lastSyncTime'] or 'never')}",
        f"Waiting    {told['pendingCount']}"
        + (f", oldest {told['oldestAge']} s" if told["oldestAge"] else ""),
        f"Conflicts  {told['conflictCount']}",
        "Ledger     " + ", ".join(f"{name} {count}" for name, count in totals.items()),
    ]
    _print(told, as_json, lines)
    return NEEDS_PERSON if totals["held"] else DONE


@_command("run")
@click.option("--forever", is_flag=True, help="Go on until SIGTERM; for a supervisor.")
@click.option("--doctype", "doctypes", multiple=True, help="Send only requests of this document type.")
@_json
def run(forever, doctypes, as_json):
    """Send what is due, with a progress bar. Exits with 4 where the central cannot be reached."""
    from erp_offline_sync import bootstrap, runs, settings, tasks
    from erp_offline_sync.adapters.run_control import RunControl
    from erp_offline_sync.adapters.system_clock import SystemClock
    from erp_offline_sync.engine.errors import SettingsError
    from erp_offline_sync.engine.status import sync_status

    if not forever and not settings.is_branch(settings.effective()):
        raise SettingsError("This site is not enabled as a branch: see Offline Sync Settings.")
    control, chosen = RunControl(), list(doctypes) or None
    with control.listening(), _Progress(quiet=as_json or forever) as progress:
        if forever:
            with _Branch(control) as branch:
                report = runs.send_forever(branch, control, SystemClock(), doctypes=chosen)
        else:
            assembled = bootstrap.site(on_event=progress, control=control)
            try:
                report = assembled.engine.run(budget=_ONE_DAY, force=True, doctypes=chosen)
            finally:
                assembled.disconnect()
    store = tasks.own_store()
    with store.transaction():
        told = {**sync_status(store), "ended": report.reason}
    stats = report.stats
    _print(
        told,
        as_json,
        [
            f"{report.reason}: {stats.success} sent, {stats.failure} failed, {stats.conflict} in conflict, {told['pendingCount']} waiting"
        ],
    )
    return DONE if forever else runs.exit_code(store, report, told)


class _Branch:
    """Gives --forever the engine by the settings as they are now; None while this site may not send."""

    def __init__(self, control):
        self._control = control
        self._assembled = None
        self._said = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._let_go()

    def __call__(self):
        import frappe

        from erp_offline_sync import bootstrap, settings, tasks
        from erp_offline_sync.engine.errors import SettingsError

        self._let_go()
        frappe.db.rollback()  # a transaction that is open sees the settings as they were
        try:
            why = tasks.why_no_run(settings.effective())
            if why is None:
                self._assembled = bootstrap.site(control=self._control)
        except SettingsError as wrong:
            why = str(wrong)
        if why != self._said:
            self._said = why
            click.echo(f"Waiting: {why}" if why else "Sending", err=True)
        return self._assembled

    def _let_go(self):
        assembled, self._assembled = self._assembled, None
        if assembled is not None:
            assembled.disconnect()


class _Progress:
    """Draws the run's progress; silent where it is told to be, or where nobody looks."""

    def __init__(self, *, quiet):
        self._bar = None
        self._quiet = quiet or not sys.stderr.isatty()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, event, payload):
        if self._quiet or event != "sync-progress" or not payload["total"]:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=payload["total"], label="Sending", file=sys.stderr)
            self._bar.render_progress()
        self._bar.length = max(payload["total"], payload["processed"])
        self._bar.update(payload["processed"] - self._bar.pos)


@_command("enqueue")
@click.argument("method")
@click.argument("path")
@click.argument("body", required=False)
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="0 goes first.")
@click.option("--overwrite", is_flag=True, help="Allow a PUT without a version.")
@click.option("--repeatable", is_flag=True, help="The call may be sent again where its outcome is unknown.")
def enqueue(method, path, body, priority, overwrite, repeatable):
    """Queue a call to the central, such as: enqueue POST /api/resource/ToDo '{"description": "x"}'"""
    from erp_offline_sync import api

    body = click.get_text_stream("stdin").read() if body == "-" else body
    click.echo(_as_administrator(api.enqueue_request, method, path, body, priority, overwrite, repeatable))
    return DONE


def _as_administrator(call, *arguments):
    import frappe

    frappe.set_user("Administrator")
    return call(*arguments)


@_command("list")
@click.option(
    "--status", "statuses", multiple=True, help="Only requests in this state, e.g. 'Needs Attention'."
)
@click.option("--doctype", help="Only requests about this document type.")
@click.option("--all", "everything", is_flag=True, help="Ended requests too.")
@click.option("--limit", type=int, default=100, show_default=True)
@_json
def list_requests(statuses, doctype, everything, limit, as_json):
    """Open requests, and why each has not been sent."""
    from erp_offline_sync import settings, tasks
    from erp_offline_sync.engine.errors import InvalidRequest
    from erp_offline_sync.engine.listing import request_rows
    from erp_offline_sync.engine.model import Status
    from erp_offline_sync.engine.transitions import OPEN

    try:
        wanted = {Status(each) for each in statuses} or (None if everything else OPEN)
    except ValueError:
        raise InvalidRequest(f"The states are: {', '.join(each.value for each in Status)}.") from None
    store = tasks.own_store()
    with store.transaction():
        found = store.list_requests(statuses=wanted, doctype=doctype, limit=limit)
        rows = request_rows(store, found, held_back=settings.held_back_now())
    _print(rows, as_json, [_row_line(row) for row in rows] or ["Nothing is open."])
    return DONE


def _row_line(row):
    from erp_offline_sync.wall_clock import by_the_sites_clock

    about = f"{row['operation']} {row['resource_type'] or row['path']} {row['resource_id'] or ''}".strip()
    return f"{row['name']}  {row['status']:<16} {about}\n    {by_the_sites_clock(row['why'])}"


@_command("show")
@click.argument("name")
@_json
def show(name, as_json):
    """One request with its history and what it sends."""
    from erp_offline_sync import settings, tasks
    from erp_offline_sync.engine.errors import NotFound
    from erp_offline_sync.engine.listing import request_detail
    from erp_offline_sync.wall_clock import by_the_sites_clock

    store = tasks.own_store()
    with store.transaction():
        request = store.get(name)
        if request is None:
            raise NotFound(f"There is no request {name}.")
        detail = request_detail(store, request, held_back=settings.held_back_now())
    # What the document says of times stays as it says it.
    lines = [
        f"{key:<18} {by_the_sites_clock(value) if key == 'why' or key.endswith('_at') else value}"
        for key, value in detail.items()
        if key != "history" and value not in (None, "", [], {}, False)
    ]
    for attempt in detail["history"]:
        parts = (attempt[key] for key in ("event", "status", "exc_type", "note"))
        said = " ".join([by_the_sites_clock(attempt["at"]), *(str(part) for part in parts if part)])
        lines.append(f"{'history':<18} {said}")
    _print(detail, as_json, lines)
    return DONE


@_command("export")
@click.option("--file", "file", type=click.Path(dir_okay=False), help="Write there; if not given, print.")
def export(file):
    """Every open request with its values, one JSON object a line: a copy to keep."""
    if file is None:
        for detail in _open_in_full():
            click.echo(json.dumps(detail, ensure_ascii=False))
        return DONE
    try:
        # The values are those of documents: for the bench's user only.
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        click.echo(f"{file} cannot be written: {error.strerror}.", err=True)
        return REFUSED
    with os.fdopen(opened, "w", encoding="utf-8") as lines:
        count = 0
        for detail in _open_in_full():
            lines.write(json.dumps(detail, ensure_ascii=False) + "\n")
            count += 1
    click.echo(f"{count} requests in {os.path.abspath(file)}")
    return DONE


def _open_in_full():
    """A page at a time: an outbox may hold more than fits into memory."""
    from erp_offline_sync import settings, tasks
    from erp_offline_sync.engine.listing import request_detail
    from erp_offline_sync.engine.transitions import OPEN

    store, after, held_back = tasks.own_store(), 0, settings.held_back_now()
    while True:
        with store.transaction():
            found = store.list_requests(statuses=OPEN, limit=_PAGE, after=after)
            page = [request_detail(store, request, held_back=held_back) for request in found]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1]["seq"]


@_command("retry")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every request that needs attention.")
def retry(names, everything):
    """Send requests again, with all their retries."""
    from erp_offline_sync import bootstrap, wakeup
    from erp_offline_sync.engine import actions
    from erp_offline_sync.engine.model import Status

    ports = bootstrap.site(connected=False).ports
    if everything:
        with ports.store.transaction():
            held = ports.store.list_requests(statuses={Status.NEEDS_ATTENTION}, limit=100_000)
        names = [request.id for request in held]
    for name in names:
        click.echo(f"{name} {actions.retry(ports, name, by=_by()).status.value}")
    wakeup.enqueue_run(trigger="person")
    return DONE


@_command("discard")
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is kept with the request.")
@click.option("--take-along", is_flag=True, help="Discard later requests of the same document as well.")
def discard(name, reason, take_along):
    """End a request unsent, for good."""
    from erp_offline_sync import bootstrap, wakeup
    from erp_offline_sync.engine import actions

    ports = bootstrap.site(connected=False).ports
    gone = actions.discard(ports, name, reason=reason, by=_by(), take_along=take_along)
    wakeup.enqueue_run(trigger="person")
    click.echo("\n".join(f"{each} Discarded" for each in gone))
    return DONE


@_command("pause")
@click.option("--reason", required=True, help="Why; people see it.")
def pause(reason):
    """Send nothing until `resume`; saves go on being captured."""
    from erp_offline_sync import tasks
    from erp_offline_sync.engine import status

    store = tasks.own_store()
    with store.transaction():
        status.pause(store, by=_by(), reason=reason)
    ended = tasks.wait_for_run(store, tasks.GRACE)
    click.echo("Paused." if ended else "Paused; the run in flight ends with its request.")
    return DONE


@_command("resume")
def resume():
    """End a pause."""
    from erp_offline_sync import tasks, wakeup
    from erp_offline_sync.engine import status

    store = tasks.own_store()
    with store.transaction():
        was = status.resume(store)
    wakeup.enqueue_run(trigger="person")
    click.echo("Resumed." if was else "It was not paused.")
    return DONE


@_command("conflicts")
@click.option("--limit", type=int, default=100, show_default=True)
@_json
def conflicts(limit, as_json):
    """Conflicts that wait for a person. Exits with 3 where there are any."""
    from erp_offline_sync import bootstrap

    assembled = bootstrap.site(connected=False)
    with assembled.ports.store.transaction():
        found = assembled.ports.store.conflicts(limit=limit)
    told = [assembled.engine.resolutions.data(each) for each in found]
    lines = [
        f"{each['name']}  {each['conflict_type']:<14} {each['resource_type']} {each['resource_id']}\n"
        f"    {each['reason'] or ''}{_clashes(each['merge'])}"
        for each in told
    ]
    _print(told, as_json, lines or ["No conflict waits for a person."])
    return NEEDS_PERSON if found else DONE


def _clashes(merge):
    """The keys that `resolve --choice` takes."""
    keys = [clash["key"] for clash in (merge or {}).get("clashes", ())]
    return f"\n    both changed: {', '.join(keys)}" if keys else ""


@_command("resolve")
@click.argument("name")
@click.argument("resolution", type=click.Choice(["local_wins", "server_wins", "merge", "manual", "skip"]))
@click.option(
    "--choice",
    "choices",
    multiple=True,
    metavar="KEY=SIDE",
    help="Of a merge: local or server, for what clashes.",
)
@click.option(
    "--values", metavar="JSON", help='Of a merge, or manual: what is to stand, as {"field": value}.'
)
def resolve(name, resolution, choices, values):
    """Decide a conflict. What both sides changed, and under which key, `conflicts` shows."""
    from erp_offline_sync import bootstrap, wakeup
    from erp_offline_sync.engine.model import Resolution
    from erp_offline_sync.engine.registry import parse_choices, parse_values

    engine = bootstrap.site(connected=False).engine
    engine.resolutions.apply(
        name,
        Resolution(resolution),
        by=_by(),
        reason="decided by a person",
        choices=parse_choices(choices) or None,
        values=parse_values(values) or None,
    )
    wakeup.enqueue_run(trigger="person")
    click.echo(f"{name} {resolution}")
    return DONE


@_command("undo")
@click.argument("name")
def undo(name):
    """Take a decision back, while nothing of it was sent and the document is unchanged since."""
    from erp_offline_sync import bootstrap

    again = bootstrap.site(connected=False).engine.resolutions.undo(name, by=_by())
    click.echo(f"{again.id} waits for a decision again")
    return DONE


@_command("connect")
@click.argument("url")
@click.option("--key", help="API key of the branch's user there; asked for if not given.")
@click.option(
    "--secret-file", type=click.Path(exists=True, dir_okay=False), help="File that holds the API secret."
)
@click.option("--ca-file", help="PEM file, where the certificate is signed by a private authority.")
@click.option("--link", "link", multiple=True, help="Link the documents of this type that both sites have.")
@click.option("--moved", is_flag=True, help="It is the same central under a new address.")
@click.option("--dry-run", is_flag=True, help="Look and tell; save and link nothing.")
@_json
def connect(url, key, secret_file, ca_file, link, moved, dry_run, as_json):
    """Make this site a branch of the central at URL: check everything, then save it. Exits with 3 where something is
    still to be mended.

    Key and secret come from --key and --secret-file, from CENTRAL_API_KEY and CENTRAL_API_SECRET, or are asked for.
    """
    from erp_offline_sync.connecting import connect as make_connection
    from erp_offline_sync.doctor import PROBLEM

    key = key or os.environ.get("CENTRAL_API_KEY") or _asked_for("API key")
    secret = (
        _content(secret_file) or os.environ.get("CENTRAL_API_SECRET") or _asked_for("API secret", hide=True)
    )
    if not key or not secret:
        click.echo("An API key and its secret are needed: --key and --secret-file.", err=True)
        return WRONG_USAGE
    told = make_connection(url, key, secret, ca_file=ca_file, link=link, moved=moved, dry_run=dry_run)
    checks = told["checks"]
    lines = [*_check_lines(checks), *map(_linked_line, told["linked"].items())]
    if told["saved"]:
        lines.append(
            "Connected. What the policies of Offline Sync Settings name is captured and sent from now on."
        )
    else:
        lines.append("Nothing was saved.")
    _print(told, as_json, lines)
    if not told["saved"] and not dry_run:
        return OFFLINE
    return NEEDS_PERSON if any(check["state"] == PROBLEM for check in checks) else DONE


def _asked_for(what, hide=False):
    return click.prompt(what, hide_input=hide, err=True).strip() if sys.stdin.isatty() else None


def _content(path):
    if not path:
        return None
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def _check_lines(checks):
    marks = {"ok": "ok ", "problem": "NO "}
    return [
        f"{marks.get(check['state'], '!  ')} {check['name']}: {check['message']}"
        + (f"\n      → {check['todo']}" if check["todo"] and check["state"] != "ok" else "")
        for check in checks
    ]


def _linked_line(linked):
    doctype, found = linked
    differing = f" ({', '.join(found['differing'])})" if found["differing"] else ""
    return (
        f"{doctype}: {found['linked']} linked, {found['known']} known already, {found['absent']} only here, "
        f"{found['differ']} of the same name made at another time{differing}"
    )


@_command("policies")
@click.option("--add-erpnext", is_flag=True, help="Add the rows proposed for ERPNext that are not there yet.")
@_json
def show_policies(add_erpnext, as_json):
    """How documents of each type travel, a line a policy."""
    import frappe

    from erp_offline_sync import erpnext_policies
    from erp_offline_sync.policies import lines as names_in
    from erp_offline_sync.settings import SETTINGS

    added = erpnext_policies.add_lacking_rows() if add_erpnext else []
    rows = [
        {
            "document_type": row.document_type,
            "enabled": bool(row.enabled),
            "operations": names_in(row.operations),
            "same_names": bool(row.same_names),
            "also_send_fields": names_in(row.also_send_fields),
            "set_values": json.loads(row.set_values or "{}"),
            "added": row.document_type in added,
        }
        for row in frappe.get_doc(SETTINGS).policies
    ]
    lines = [_policy_line(row) for row in rows] or ["There is no policy: nothing is captured."]
    _print(rows, as_json, lines)
    return DONE


def _policy_line(row):
    said = [
        "captured" + (f" ({', '.join(row['operations'])})" if row["operations"] else "")
        if row["enabled"]
        else "",
        "same names on both sites" if row["same_names"] else "",
        f"also sends {', '.join(row['also_send_fields'])}" if row["also_send_fields"] else "",
        f"sets {json.dumps(row['set_values'])}" if row["set_values"] else "",
    ]
    return (
        f"{'+' if row['added'] else ' '} {row['document_type']}: {'; '.join(part for part in said if part)}"
    )


@_command("mark")
@click.argument("doctype")
@click.option("--remove", is_flag=True, help="Take the field away again.")
@click.option(
    "--unique", is_flag=True, help="Let the central's database refuse a second one (not on SQLite)."
)
@click.option("--key", help="API key of somebody who may add fields at the central, for this once.")
@click.option(
    "--secret-file", type=click.Path(exists=True, dir_okay=False), help="File that holds their API secret."
)
def mark(doctype, remove, unique, key, secret_file):
    """Let new documents of DOCTYPE carry their request's id at a plain central, so that one in doubt is found."""
    from erp_offline_sync import marking

    admin = {"key": key, "secret": _content(secret_file)}
    click.echo(marking.unmark(doctype, **admin) if remove else marking.mark(doctype, unique=unique, **admin))
    return DONE


@_command("identity")
@click.option("--copy", "answer", flag_value="copy", help="This site is a copy: it is no branch any more.")
@click.option(
    "--replacement",
    "answer",
    flag_value="replacement",
    help="This site took the place of the branch, which sends no more.",
)
@_json
def identity(answer, as_json):
    """Which branch this site is. Where it may be a copy, nothing is sent until you say what it is; exits with 3."""
    from erp_offline_sync import branch_identity

    gone = branch_identity.decide(answer, by=_by()) if answer else 0
    told = branch_identity.told()
    asks = told["standing"] == "ask"
    lines = [
        f"Branch     {told['origin'] or 'has not sent yet'}",
        f"Run        {told['run']}",
        f"Site       {told['site']}, {told['path']}",
    ]
    if answer == "copy":
        lines += [
            f"Discarded  {gone} requests of the original",
            "This site is no branch now: it has no key, and captures and sends nothing. To make it one of its own, "
            "give it a user of its own at the central: offline-sync connect",
        ]
    if asks:
        lines += [
            f"Why asked  {told['why']}",
            "Nothing is sent. Say which it is:",
            "  --copy         the original goes on; this one ends the original's requests and forgets its key",
            "  --replacement  the original is gone for good; this one goes on as the same branch",
        ]
    _print(told, as_json, lines)
    return NEEDS_PERSON if asks else DONE


@_command("purge")
@click.option("--days", type=click.IntRange(0), default=7, show_default=True, help="Older than so many days.")
def purge(days):
    """Delete ended requests. What is held or waits is never deleted."""
    from erp_offline_sync import bootstrap
    from erp_offline_sync.engine.actions import clear_old_requests

    click.echo(f"{clear_old_requests(bootstrap.site(connected=False).ports, days)} deleted")
    return DONE


@_command("metrics")
@click.option(
    "--days", type=click.IntRange(1, 90), default=7, show_default=True, help="The last so many days."
)
@_json
def show_metrics(days, as_json):
    """What the runs of the last days sent, how long that had waited, and how often the central was not reached."""
    from zoneinfo import ZoneInfo

    from frappe.utils import get_system_timezone

    from erp_offline_sync import tasks
    from erp_offline_sync.engine.metrics import metric_lines, read_metrics

    store = tasks.own_store()
    with store.transaction():
        told = read_metrics(store, days=days)
    _print(told, as_json, metric_lines(told, ZoneInfo(get_system_timezone())))
    return DONE


@_command("doctor")
@_json
def doctor(as_json):
    """What keeps this branch from syncing, and what to do. Exits with 1 where there is a problem."""
    from erp_offline_sync.doctor import PROBLEM, site_checks

    checks = site_checks()
    told = [check.as_dict() for check in checks]
    _print(told, as_json, _check_lines(told))
    return REFUSED if any(check.state == PROBLEM for check in checks) else DONE


@_command("add-branch")
@click.argument("name")
@click.option("--doctype", "doctypes", multiple=True, help="Let branches write documents of this type.")
@_json
def add_branch(name, doctypes, as_json):
    """On the central: make a branch's user, role and key. The secret is printed once."""
    from erp_offline_sync.receiver import branches

    made = branches.add_branch(name, doctypes)
    lines = [
        f"Branch     {made['branch']}",
        f"User       {made['user']}",
        f"May write  {', '.join(made['doctypes']) or 'nothing yet: repeat with --doctype'}",
        f"Key        {made['api_key']}",
        f"Secret     {made['api_secret']}",
        "The secret is not shown again. Enter both at the branch.",
    ]
    _print(made, as_json, lines)
    return DONE


@_command("branches")
@_json
def list_branches(as_json):
    """On the central: the branches, and whether they may push. Exits with 3 where one is stopped."""
    from erp_offline_sync.receiver import branches

    found = branches.list_branches()
    lines = []
    for branch in found:
        lines.append(f"{branch['branch']}  {branch['user']}" + ("" if branch["enabled"] else "  disabled"))
        for origin in branch["origins"]:
            standing = f"STOPPED ({origin['because']}): {origin['reason']}" if origin["stopped"] else "pushes"
            lines.append(
                f"    {origin['origin']}  {origin['site'] or '-'}  last {origin['last_seen'] or 'never'}  {standing}"
            )
    _print(
        found, as_json, lines or ["There is no branch yet: bench --site SITE offline-sync add-branch NAME"]
    )
    stopped = any(origin["stopped"] for branch in found for origin in branch["origins"])
    return NEEDS_PERSON if stopped else DONE


@_command("stop-branch")
@click.argument("name")
@click.option("--reason", required=True, help="Why; the branch is told.")
def stop_branch(name, reason):
    """On the central: refuse a branch's pushes until `clear-branch`."""
    from erp_offline_sync.receiver import branches

    stopped = branches.stop_branch(name, reason)
    click.echo("\n".join(f"{each} stopped" for each in stopped) or "It was stopped already.")
    return DONE


@_command("clear-branch")
@click.argument("name")
def clear_branch(name):
    """On the central: let a stopped branch push again; the site that pushes first is taken for it."""
    from erp_offline_sync.receiver import branches

    cleared = branches.clear_branch(name)
    click.echo("\n".join(f"{each} may push again" for each in cleared) or "It was not stopped.")
    return DONE


commands = [offline_sync]
