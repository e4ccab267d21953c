"""The command `erp-offline-sync`: the outbox without a bench, in one SQLite file.

Each command reads its input, calls the engine and prints. What is expected to go wrong ends in one readable
sentence with what to do next, and in an exit code; a traceback is a bug. Values of documents are printed by `show` and
`conflicts` alone, the secret by nothing.
"""

from __future__ import annotations

import getpass
import importlib
import json
import logging
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import click

from erp_offline_sync import __version__, bootstrap
from erp_offline_sync.adapters.environment import NAMES, read_settings
from erp_offline_sync.adapters.standalone import StopFlag
from erp_offline_sync.adapters.system_clock import SystemClock, SystemIds
from erp_offline_sync.engine import actions, metrics, status
from erp_offline_sync.engine.calls import queued_call, under_local_names
from erp_offline_sync.engine.config import SETTINGS, parse
from erp_offline_sync.engine.deciding.resolution import resolutions_of
from erp_offline_sync.engine.errors import (
    AlreadyDecided,
    NotFound,
    OfflineSyncError,
    Paused,
    SettingsError,
    TakesAlong,
)
from erp_offline_sync.engine.events import PROGRESS
from erp_offline_sync.engine.listing import request_detail, request_rows
from erp_offline_sync.engine.model import Conflict, Json, Request, Resolution, Status
from erp_offline_sync.engine.ports import Store
from erp_offline_sync.engine.registry import conflict_data, parse_choices, parse_values
from erp_offline_sync.engine.sync import RunReport
from erp_offline_sync.engine.transitions import OPEN
from erp_offline_sync.exit_codes import DONE, NEEDS_PERSON, OFFLINE, REFUSED
from erp_offline_sync.runs import OTHER_RUN, exit_code, send_forever

__all__ = ["DONE", "NEEDS_PERSON", "OFFLINE", "REFUSED", "main"]

STOP_SECONDS = 9.0
"""After a signal a run has so long to end by itself; ten seconds is what supervisors grant."""
_WAIT_FOR_RUN = 10.0

_TODO: tuple[tuple[type[Exception], str], ...] = (
    (
        SettingsError,
        "Settings come from the environment, then from .env in this directory; `erp-offline-sync doctor` looks at "
        "all of them.",
    ),
    (Paused, "`erp-offline-sync resume` ends the pause."),
    (NotFound, "`erp-offline-sync list --all` and `conflicts` show what there is."),
    (AlreadyDecided, "`erp-offline-sync conflicts --all` shows how."),
)


@dataclass
class _Call:
    """What one call of the command was given, shared by its parts."""

    database: Path | None = None
    as_json: bool = False
    _settings: dict[str, str] | None = field(default=None, repr=False)

    @property
    def settings(self) -> dict[str, str]:
        if self._settings is None:
            self._settings = read_settings(os.environ, Path.cwd())
        return self._settings

    @property
    def path(self) -> Path:
        return self.database or Path(self.settings.get("database") or "outbox.sqlite")

    @contextmanager
    def outbox(self, *, make: bool = False, **options: Any) -> Iterator[bootstrap.Assembled]:
        """The engine over the outbox, without a central unless `connected`. An outbox that is not there is an
        empty one, and only `make` writes its file: a path typed wrong leaves nothing behind."""
        path: str | Path = self.path
        if not make and not self.path.exists():
            click.echo(f"There is no outbox at {self.path} yet; `enqueue` makes it.", err=True)
            path = ":memory:"
        assembled = bootstrap.standalone(
            self.settings, path=path, **{"connected": False, "registry": bootstrap.REGISTRY, **options}
        )
        try:
            yield assembled
        finally:
            assembled.close()


class _Commands(click.Group):
    """Catches, at the one boundary, what is expected to go wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except TakesAlong as along:
            names = "".join(f"\n  {name}" for name in along.names)
            _fail(ctx, along, f"{along}{names}", "Repeat it with --take-along to discard them as well.")
        except OfflineSyncError as refused:
            todo = next((todo for kind, todo in _TODO if isinstance(refused, kind)), "")
            _fail(ctx, refused, _with_environment_names(str(refused)), todo)
        except sqlite3.Error as error:
            path = ctx.find_object(_Call)
            where = path.path if path else "the outbox"
            todo = "See that it is an outbox, that the disk has room, and that you may write to it."
            _fail(ctx, error, f"{where} cannot be used: {error}", todo)
        except BrokenPipeError:
            raise
        except OSError as error:
            where = error.filename or "A file"
            _fail(ctx, error, f"{where}: {error.strerror or type(error).__name__}", "")


def _fail(ctx: click.Context, error: Exception, message: str, todo: str) -> None:
    message = message if message.endswith((".", "!", "?")) or "\n" in message else f"{message}."
    call = ctx.find_object(_Call)
    if call is not None and call.as_json:
        told = {"type": type(error).__name__, "message": message, "todo": todo}
        click.echo(json.dumps({"error": told}, ensure_ascii=False))
    else:
        click.secho(f"Error: {_clean(message)}", err=True, fg="red")
        if todo:
            click.echo(f"  → {todo}", err=True)
    ctx.exit(REFUSED)


def _with_environment_names(text: str) -> str:
    for name, setting in NAMES.items():
        text = re.sub(rf"(?<![A-Za-z_]){setting}(?![A-Za-z_])", name, text) if "_" in setting else text
    return text


def _clean(text: Any) -> str:
    """Text of others for a terminal: nothing in it can move the cursor or pass for something else."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in str(text)
    )


def _json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    def noted(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        ctx.ensure_object(_Call).as_json = value

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=noted,
        help="Print JSON, errors too; for scripts.",
    )(function)


def _print(call: _Call, value: Any, lines: list[str]) -> None:
    if call.as_json:
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        for line in lines:
            click.echo(line)


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no name for this user id, as in some containers
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "somebody"


_by = click.option(
    "--by", default=_me, show_default="you", help="Who decides this; it is kept with the request."
)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings: CENTRAL_URL, CENTRAL_API_KEY and CENTRAL_API_SECRET, from the environment or from a file .env "
    "in the current directory. `erp-offline-sync doctor` checks them.",
)
@click.option(
    "--db",
    "database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The outbox's file. Default: OFFLINE_SYNC_DB, else outbox.sqlite in the current directory.",
)
@click.version_option(__version__, prog_name="erp-offline-sync")
@click.pass_context
def main(ctx: click.Context, database: Path | None) -> None:
    """Queue changes for a central ERPNext or Frappe site, and send them when it can be reached.

    What you enqueue is kept in a file and sent once, in order, however long the line is down. Nothing leaves the
    outbox unsent unless you say so.

    \b
    Exit codes, of every command:
      0  done
      1  failed, or refused: the message says why and what to do
      2  the command was written wrongly
      3  done, but something needs a person: see `list` and `conflicts`
      4  the central cannot be used now: nothing is lost, try again later
    """
    ctx.ensure_object(_Call).database = database


# Queueing


@main.command()
@click.argument("method")
@click.argument("path")
@click.argument("body", required=False)
@click.option("--priority", type=int, default=5, show_default=True, help="0 goes first, 9 last.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Allow a change without the `modified` it was made on. It may undo what others did meanwhile.",
)
@click.option(
    "--repeatable",
    is_flag=True,
    help="For a call that is no document: it may safely be sent twice, where its answer got lost.",
)
@click.option(
    "--unique",
    "unique",
    multiple=True,
    metavar="FIELD",
    help="A field by whose value a new document can be found again, such as a receipt number. Repeat for more.",
)
@click.option(
    "--link",
    "links",
    multiple=True,
    metavar="FIELD=DOCTYPE",
    help="The field names a document that has to be there first: customer=Customer, items.0.item_code=Item.",
)
@click.option(
    "--local-name",
    metavar="NAME",
    help="What you call a new document whose name the central will give; use it in later calls and links.",
)
@click.option(
    "--order-group", metavar="NAME", help="Requests of one group go in the order of their queueing."
)
@_json_option
@click.pass_obj
def enqueue(
    call: _Call,
    /,
    method: str,
    path: str,
    body: str | None,
    links: tuple[str, ...],
    **options: Any,
) -> None:
    """Queue one call to the central; prints the request's name.

    METHOD is POST, PUT or DELETE. PATH begins with /api/. BODY is a JSON object, @FILE, or - for standard input.

    \b
    Examples:
      enqueue POST /api/resource/Customer '{"customer_name": "Ada"}' --unique customer_name
      enqueue PUT "/api/resource/ToDo/T-1" '{"status": "Closed", "modified": "2025-03-01 10:00:00.000001"}'
      enqueue POST "/api/resource/Sales Invoice" @sale.json --unique receipt_no --link customer=Customer
      enqueue DELETE /api/resource/ToDo/T-1
    """
    content = _read_body(body)
    pairs = dict(_pair(text) for text in links)
    limit = parse(call.settings).max_body_mb * 1024 * 1024
    key = SystemIds().new_key()
    # Looked at before the file is made: what is refused leaves nothing behind.
    request = queued_call(
        method, path, content, key=key, now=SystemClock().now(), max_bytes=limit, links=pairs, **options
    )
    with call.outbox(make=True) as outbox:
        store = outbox.ports.store
        with store.transaction():
            added = store.add(under_local_names(store, request))
            (row,) = request_rows(store, [added])
    _print(call, row, [added.id])


def _read_body(body: str | None) -> str | bytes:
    if body is None:
        return ""
    if body == "-":
        data: bytes = sys.stdin.buffer.read()
        return data
    if body.startswith("@"):
        try:
            return Path(body[1:]).read_bytes()
        except OSError as error:
            raise click.BadParameter(f"{body[1:]}: {error.strerror}", param_hint="BODY") from None
    return body


def _pair(text: str) -> tuple[str, str]:
    name, separator, doctype = text.partition("=")
    if not separator or not name or not doctype:
        raise click.BadParameter(
            f"{text!r}: write FIELD=DOCTYPE, such as customer=Customer", param_hint="--link"
        )
    return name, doctype


# Sending


@main.command()
@click.option("--forever", is_flag=True, help="Go on until SIGTERM or Ctrl-C; for a supervisor.")
@click.option(
    "--if-due",
    is_flag=True,
    help="While the central is down, do not ask it before its time; for a call by cron every minute.",
)
@click.option(
    "--doctype",
    "doctypes",
    multiple=True,
    metavar="DOCTYPE",
    help="Send only requests of this document type.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Stay so long for retries that fall due, and for a line that is down.",
)
@click.option(
    "--hooks",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="Import this Python module first; it may call erp_offline_sync.register_conflict_hook.",
)
@click.option("-v", "--verbose", is_flag=True, help="One line a request on standard error, without values.")
@_json_option
@click.pass_context
def run(
    ctx: click.Context,
    forever: bool,
    if_due: bool,
    doctypes: tuple[str, ...],
    wait: float,
    modules: tuple[str, ...],
    verbose: bool,
) -> None:
    """Send what is due.

    Sends until nothing is due, and ends with 0 where all went, 3 where something needs a person, 4 where the central
    cannot be used. SIGTERM and Ctrl-C end it within ten seconds; what was on its way is looked up by the next run.

    With --forever, a run starts whenever something is due, at least PROCESSING_INTERVAL milliseconds after the one
    before; while the central is down it is asked less and less often, at last twice a minute. It ends with 0.
    """
    call = ctx.ensure_object(_Call)
    if forever and (if_due or wait or call.as_json):
        raise click.UsageError("--forever goes with --doctype, --hooks and -v only.")
    _import_hooks(modules)
    if verbose or forever:
        _log_to_stderr()
    control, clock = StopFlag(), SystemClock()
    bar = _Bar(quiet=forever or call.as_json or not sys.stderr.isatty())
    with (
        call.outbox(make=True, connected=True, control=control, clock=clock, on_event=bar.heard) as outbox,
        _signals(control, clock),
        bar,
    ):
        chosen = list(doctypes) or None
        if forever:
            click.echo(f"Sending from {call.path} to {_url(outbox)}; Ctrl-C ends it.", err=True)
            report = send_forever(lambda: outbox, control, clock, doctypes=chosen)
        else:
            bar.total = _told(outbox.ports.store)["pendingCount"]
            report = outbox.engine.run(budget=float("inf"), linger=wait, doctypes=chosen, force=not if_due)
        told = {**_told(outbox.ports.store), "ended": report.reason, "run": report.stats.to_json()}
        code = DONE if forever else exit_code(outbox.ports.store, report, told)
    stats = report.stats
    lines = [
        f"{_ended(report, told)} {stats.success} sent, {stats.failure} failed, {stats.conflict} in conflict; "
        f"{told['pendingCount']} waiting, {told['totals']['held']} need a person."
    ]
    if told["totals"]["held"]:
        lines.append("`erp-offline-sync list` says what needs a person, and why.")
    _print(call, told, [_clean(line) for line in lines])
    ctx.exit(code)


def _url(outbox: bootstrap.Assembled) -> str:
    return str(getattr(outbox.ports.central, "url", "the central"))


def _ended(report: RunReport, told: Json) -> str:
    if report.reason == "done":
        return "Done:"
    if report.reason.startswith("stopped"):
        return "Stopped:"
    if told["line"] == "open":
        return f"The central cannot be used ({told['reason']}):"
    if report.reason in OTHER_RUN:
        return "Another run is at work, this one did nothing more:"
    return f"Ended ({report.reason}):"


def _import_hooks(modules: tuple[str, ...]) -> None:
    if modules and "" not in sys.path:
        sys.path.insert(0, "")
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise SettingsError(f"The hooks cannot be imported: {error}") from None


def _log_to_stderr() -> None:
    logger = logging.getLogger(bootstrap.LOGGER)
    if not logger.handlers:
        handler = logging.StreamHandler()
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)


@contextmanager
def _signals(control: StopFlag, clock: SystemClock) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask the run to end; what hangs is cut off before a supervisor does it."""
    timers: list[threading.Timer] = []

    def cut_off() -> None:
        # As safe as any kill: what was on its way is looked up by the next run.
        click.echo("An answer is still out; the next run looks up what became of it.", err=True)
        os._exit(DONE)

    def asked(number: int, frame: Any) -> None:
        control.stop("shutdown")
        clock.interrupt()
        if not timers:
            timer = threading.Timer(STOP_SECONDS, cut_off)
            timer.daemon = True
            timer.start()
            timers.append(timer)

    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError):  # not the main thread: somebody else's signals
            before[number] = signal.signal(number, asked)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bar:
    """A progress bar that appears with the first request; `total` is what waits at the start."""

    def __init__(self, *, quiet: bool, stream: Any = None) -> None:
        self.total = 0
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.done()

    def heard(self, event: str, payload: Json) -> None:
        if event == PROGRESS:
            self.show(payload["processed"], max(self.total, payload["total"]))

    def show(self, processed: int, total: int) -> None:
        if self._quiet or not total:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label="Sending", file=self._stream, show_pos=True)
            self._bar.render_progress()
        self._bar.length = max(total, processed)
        self._bar.update(max(0, processed - self._bar.pos))

    def done(self) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None


# Looking


def _told(store: Store) -> dict[str, Any]:
    with store.transaction():
        return status.sync_status(store)


@main.command("status")
@_json_option
@click.pass_context
def show_status(ctx: click.Context) -> None:
    """What waits, since when, and how the last run ended. Ends with 3 where something needs a person."""
    call = ctx.ensure_object(_Call)
    with call.outbox() as outbox:
        told = _told(outbox.ports.store)
    totals = told["totals"]
    last = told["stats"]
    lines = [
        f"State       {told['state']} ({told['reason']})"
        if told["reason"]
        else f"State       {told['state']}",
        f"Line        {told['line']}"
        + (f", {told['daysOffline']} days offline" if told["daysOffline"] else ""),
        f"Last sync   {told['lastSyncTime'] or 'never'}",
        f"Last run    {last['successCount']} sent, {last['failureCount']} failed, "
        f"{last['conflictCount']} in conflict, {last['lastSyncDuration']} ms",
        f"Waiting     {told['pendingCount']}"
        + (f", the oldest for {_span(told['oldestAge'])}" if told["oldestAge"] else ""),
        f"Conflicts   {told['conflictCount']}",
        "Ledger      " + ", ".join(f"{name} {count}" for name, count in totals.items()),
    ]
    _print(call, told, [_clean(line) for line in lines])
    ctx.exit(NEEDS_PERSON if totals["held"] else DONE)


def _span(seconds: int) -> str:
    return str(timedelta(seconds=seconds))


@main.command("metrics")
@click.option(
    "--days", type=click.IntRange(1, 90), default=7, show_default=True, help="The last so many days."
)
@_json_option
@click.pass_context
def show_metrics(ctx: click.Context, days: int) -> None:
    """What the runs of the last days sent, how long that had waited, and how often the central was not reached."""
    call = ctx.ensure_object(_Call)
    with call.outbox() as outbox, outbox.ports.store.transaction():
        told = metrics.read_metrics(outbox.ports.store, days=days)
    _print(call, told, metrics.metric_lines(told, timezone.utc))


_STATES = ", ".join(each.value for each in Status)


@main.command("list", short_help="Requests that are not ended, and why each has not been sent.")
@click.option(
    "--status", "states", multiple=True, metavar="STATE", help=f"Only requests in this state: {_STATES}."
)
@click.option("--doctype", help="Only requests about this document type.")
@click.option("--all", "everything", is_flag=True, help="Ended requests too.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option("--after", type=int, default=0, metavar="NUMBER", help="Go on behind this number.")
@_json_option
@click.pass_obj
def list_requests(
    call: _Call, states: tuple[str, ...], doctype: str | None, everything: bool, limit: int, after: int
) -> None:
    """Requests that are not ended, each with why it has not been sent and when it will be."""
    wanted = {_state(text) for text in states} or (None if everything else set(OPEN))
    with call.outbox() as outbox:
        store = outbox.ports.store
        with store.transaction():
            found = store.list_requests(statuses=wanted, doctype=doctype, limit=limit, after=after)
            rows = request_rows(store, found)
    lines = [line for row in rows for line in _row_lines(row)]
    if not rows:
        lines = ["Nothing to show."]
    elif len(rows) == limit:
        lines.append(f"There may be more: --after {rows[-1]['seq']}")
    _print(call, rows, lines)


def _state(text: str) -> Status:
    for each in Status:
        if each.value.casefold() == text.strip().casefold():
            return each
    raise click.BadParameter(f"{text!r} is no state. The states are: {_STATES}.", param_hint="--status")


_COLOURS = {
    Status.SYNCED: "green",
    Status.CONFLICT: "red",
    Status.NEEDS_ATTENTION: "red",
    Status.RETRY: "yellow",
    Status.IN_DOUBT: "yellow",
}


def _row_lines(row: Mapping[str, Any]) -> list[str]:
    about = f"{row['operation']} {row['resource_type'] or row['path']} {row['resource_id'] or ''}".strip()
    state = click.style(f"{row['status']:<16}", fg=_COLOURS.get(Status(row["status"])))
    number = f"#{row['seq']}"
    return [f"{number:<6}{state}{_clean(about)}", f"      {row['name']}", f"      {_clean(row['why'])}"]


def _find(store: Store, text: str) -> Request:
    """A request by its name, or by its number as `list` shows it."""
    found = store.get(text)
    number = text.removeprefix("#")
    if found is None and number.isascii() and number.isdigit() and len(number) < 19:
        found = next(iter(store.list_requests(after=int(number) - 1, limit=1)), None)
        if found is not None and found.seq != int(number):
            found = None
    if found is None:
        raise NotFound(f"There is no request {text[:60]}.")
    return found


@main.command()
@click.argument("name")
@_json_option
@click.pass_obj
def show(call: _Call, name: str) -> None:
    """One request with its values and everything that happened to it. NAME may be its number."""
    with call.outbox() as outbox:
        store = outbox.ports.store
        with store.transaction():
            detail = request_detail(store, _find(store, name))
    lines = []
    for key, value in detail.items():
        if value in (None, "", [], {}, False) or key == "history":
            continue
        text = json.dumps(value, ensure_ascii=False, indent=2) if isinstance(value, (dict, list)) else value
        lines.append(f"{key.replace('_', ' '):<18}{_clean(text)}")
    for attempt in detail["history"]:
        parts = (attempt["at"], attempt["event"], attempt["status"], attempt["exc_type"], attempt["note"])
        lines.append(f"{'history':<18}{_clean(' '.join(str(part) for part in parts if part))}")
    _print(call, detail, lines)


# What people do


@main.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every request that needs attention.")
@_by
@_json_option
@click.pass_obj
def retry(call: _Call, names: tuple[str, ...], everything: bool, by: str) -> None:
    """Send requests again with the next run, with all their retries. NAMES may be numbers."""
    if bool(names) == everything:
        raise click.UsageError("Name the requests, or say --all.")
    with call.outbox() as outbox:
        ports = outbox.ports
        with ports.store.transaction():
            held = {Status.NEEDS_ATTENTION}
            found = (
                ports.store.list_requests(statuses=held, limit=100_000)
                if everything
                else [_find(ports.store, name) for name in names]
            )
        again = [actions.retry(ports, request.id, by=by) for request in found]
        with ports.store.transaction():
            rows = request_rows(ports.store, again)
    _print(call, rows, [f"{row['name']} {row['status']}" for row in rows] or ["None needs attention."])


@main.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is kept with the request.")
@click.option("--take-along", is_flag=True, help="Discard the later requests of its document as well.")
@_by
@_json_option
@click.pass_obj
def discard(call: _Call, name: str, reason: str, take_along: bool, by: str) -> None:
    """End a request unsent, for good. NAME may be its number."""
    with call.outbox() as outbox:
        store = outbox.ports.store
        with store.transaction():
            request_id = _find(store, name).id
        gone = actions.discard(outbox.ports, request_id, reason=reason, by=by, take_along=take_along)
    _print(call, {"discarded": gone}, [f"{each} Discarded" for each in gone])


@main.command()
@click.option("--reason", default="", help="Why; whoever looks sees it.")
@_by
@_json_option
@click.pass_obj
def pause(call: _Call, reason: str, by: str) -> None:
    """Send nothing until `resume`. Queueing goes on."""
    with call.outbox(make=True) as outbox:
        store = outbox.ports.store
        with store.transaction():
            status.pause(store, by=by, reason=reason)
        ended = _wait_for_run(store)
    message = "Paused." if ended else "Paused; a run ends with the request that it is sending."
    _print(call, {"paused": True, "run_ended": ended}, [message])


def _wait_for_run(store: Store) -> bool:
    """Whether no run is at work any more; one that is has a few seconds."""
    until = time.monotonic() + _WAIT_FOR_RUN
    while True:
        with store.transaction():
            at_work = store.live_lease() is not None
        if not at_work or time.monotonic() >= until:
            return not at_work
        time.sleep(0.2)


@main.command()
@_json_option
@click.pass_obj
def resume(call: _Call) -> None:
    """End a pause."""
    with call.outbox() as outbox:
        store = outbox.ports.store
        with store.transaction():
            was = status.resume(store)
    _print(call, {"was_paused": was}, ["Resumed." if was else "It was not paused."])


@main.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Decided ones too.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@_json_option
@click.pass_context
def conflicts(ctx: click.Context, name: str | None, everything: bool, limit: int) -> None:
    """Documents that both sides changed, with what differs. Ends with 3 where one waits for a person."""
    call = ctx.ensure_object(_Call)
    with call.outbox() as outbox:
        store = outbox.ports.store
        with store.transaction():
            if name is not None:
                found = [_find_conflict(store, name)]
            else:
                found = store.conflicts(pending=not everything, limit=limit)
            waiting = store.count_conflicts()
        told = [outbox.engine.resolutions.data(each) for each in found]
    lines = [
        line for conflict, data in zip(found, told, strict=True) for line in _conflict_lines(conflict, data)
    ]
    _print(call, told, lines or ["No conflict waits for a person."])
    ctx.exit(NEEDS_PERSON if waiting else DONE)


def _find_conflict(store: Store, text: str) -> Conflict:
    """A conflict by its name, or the one that holds a request."""
    found = store.conflict(text)
    if found is None:
        with suppress(NotFound):
            line = _find(store, text).line
            found = store.pending_conflict(line) if line else None
    if found is None:
        raise NotFound(f"There is no conflict {text[:60]}.")
    return found


def _conflict_lines(conflict: Conflict, data: Json) -> list[str]:
    kind = conflict.conflict_type.value
    lines = [
        click.style(f"{conflict.resource_type} {_clean(conflict.resource_id)}", bold=True) + f"  {kind}",
        f"  {conflict.id}",
    ]
    if conflict.pending:
        lines.append(f"  waits for a person: {_clean(conflict.reason or '')}")
    else:
        how = conflict.resolution.value if conflict.resolution else "closed"
        lines.append(f"  {how}, by {_clean(conflict.resolved_by)}: {_clean(conflict.reason or '')}")
    here, there, base = conflict.local_data, conflict.server_data, conflict.base_data or {}
    if here is None or there is None:
        lines.append("  deleted here" if here is None else "  not at the central any more")
    for name in sorted({*(here or {}), *(there or {})}):
        values = [(each or {}).get(name) for each in (here, there)]
        if name not in _NOT_SHOWN and values[0] != values[1] and (here is None or name in here):
            before = f", was {_shown(base[name])}" if name in base else ""
            lines.append(f"  {name}: here {_shown(values[0])}, there {_shown(values[1])}{before}")
    if conflict.pending:
        lines += [
            f"  both changed {_clean(clash['key'])}" for clash in (data["merge"] or {}).get("clashes", ())
        ]
        possible = " | ".join(each.value for each in resolutions_of(conflict.conflict_type))
        lines.append(f"  → erp-offline-sync resolve {conflict.id} {possible}")
    return lines


_NOT_SHOWN = frozenset({"modified", "modified_by", "creation", "owner", "idx", "doctype"})


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _clean(text if len(text) <= 80 else f"{text[:79]}…")


@main.command()
@click.argument("name")
@click.argument("resolution", type=click.Choice([each.value for each in Resolution]))
@click.option(
    "--choice",
    "choices",
    multiple=True,
    metavar="KEY=SIDE",
    help="Of a merge: local or server, for what both sides changed. `conflicts` shows the keys.",
)
@click.option(
    "--values", metavar="JSON", help='Of a merge, or manual: what is to stand, as {"field": value}.'
)
@click.option("--reason", default="decided by a person", help="Why; it is kept with the conflict.")
@_by
@_json_option
@click.pass_obj
def resolve(
    call: _Call,
    name: str,
    resolution: str,
    choices: tuple[str, ...],
    values: str | None,
    reason: str,
    by: str,
) -> None:
    """Decide a conflict. NAME is the conflict's, or that of a request that it holds.

    \b
      local_wins   your change is sent again, over what the central has now
      server_wins  the central's document stays; your change is closed
      merge        what both sides changed is put together; --choice for what clashes
      manual       the same, with the --values that you give
      skip         nothing is written on either side; your change is closed
    """
    with call.outbox() as outbox:
        store = outbox.ports.store
        with store.transaction():
            conflict = _find_conflict(store, name)
        decided = outbox.engine.resolutions.apply(
            conflict.id,
            Resolution(resolution),
            by=by,
            reason=reason,
            choices=parse_choices(choices) or None,
            values=parse_values(values) or None,
        )
    _print(call, conflict_data(decided), [f"{decided.id} {resolution}"])


@main.command()
@click.argument("name")
@_by
@_json_option
@click.pass_obj
def undo(call: _Call, name: str, by: str) -> None:
    """Take the decision of a conflict back, while nothing of it was sent and nothing changed since."""
    with call.outbox() as outbox:
        again = outbox.engine.resolutions.undo(name, by=by)
    _print(call, conflict_data(again), [f"{again.id} waits for a decision again"])


@main.command()
@click.option(
    "--days",
    type=click.IntRange(0, 36_500),
    help="Only those that ended so many days ago. Default: RETENTION_DAYS, else "
    f"{SETTINGS['retention_days'].default}.",
)
@_json_option
@click.pass_obj
def purge(call: _Call, days: int | None) -> None:
    """Delete requests that have ended. What waits or needs a person is never deleted, however old."""
    with call.outbox() as outbox:
        kept = outbox.ports.config.retention_days if days is None else days
        deleted = actions.clear_old_requests(outbox.ports, kept)
    _print(call, {"deleted": deleted}, [f"{deleted} deleted."])


@main.command()
@_json_option
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """What keeps the outbox from being sent, and what to do about it.

    Ends with 1 where something has to be mended here, with 4 where the central cannot be used at the moment.
    """
    from erp_offline_sync import standalone_doctor as checkup

    call = ctx.ensure_object(_Call)
    found = checkup.checks(call.settings, database=call.path, directory=Path.cwd())
    marks = {
        checkup.OK: click.style("ok      ", fg="green"),
        checkup.WARNING: click.style("look    ", fg="yellow"),
        checkup.OFFLINE: click.style("offline ", fg="yellow"),
        checkup.PROBLEM: click.style("PROBLEM ", fg="red"),
    }
    lines = []
    for check in found:
        lines.append(f"{marks[check.state]}{check.name}: {_clean(_with_environment_names(check.message))}")
        if check.todo:
            lines.append(f"        → {check.todo}")
    states = {check.state for check in found}
    code = REFUSED if checkup.PROBLEM in states else OFFLINE if checkup.OFFLINE in states else DONE
    _print(call, {"ok": code == DONE, "checks": [check.as_dict() for check in found]}, lines)
    ctx.exit(code)


@main.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Leave the outbox (outbox.sqlite) and the central's documents (central.jsonl, one a line) there.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other sales.")
@_json_option
@click.pass_obj
def demo(call: _Call, keep: Path | None, seed: int) -> None:
    """See it work: a shop sells for three days without a line. Needs no settings and touches nothing of yours.

    It starts a stand-in central on this machine, queues sales while that is down, brings it up again and shows what
    became of each. With --json it prints the ledger: captured is the sum of applied, merged, decided, discarded, held
    and waiting.
    """
    from erp_offline_sync.demo import CENTRAL_FILE, OUTBOX_FILE, run_demo

    began = time.monotonic()
    counted = run_demo(keep=keep, seed=seed, tell=None if call.as_json else _storyteller())
    if call.as_json:
        click.echo(json.dumps(counted))
        return
    click.echo(f"\nThat took {time.monotonic() - began:.1f} s.")
    if keep is not None:
        click.echo(
            f"Count again: {keep / CENTRAL_FILE}, and erp-offline-sync --db {keep / OUTBOX_FILE} list --all"
        )
    else:
        click.echo("To look at the files yourself: erp-offline-sync demo --keep DIRECTORY")


def _storyteller() -> Any:
    from erp_offline_sync.demo import Teller

    class Storyteller(Teller):
        """Tells it on a terminal, in colour where there is any."""

        def __init__(self) -> None:
            self._bar = _Bar(quiet=not sys.stdout.isatty(), stream=sys.stdout)

        def heading(self, text: str) -> None:
            click.secho(f"\n{text}", bold=True, fg="cyan")

        def line(self, text: str, detail: str = "") -> None:
            click.echo(f"  {text}")
            if detail:
                click.secho(f"      {detail}", dim=True)

        def table(self, title: str, rows: list[tuple[str, Any]]) -> None:
            click.secho(f"  {title}", dim=True)
            width = max(len(name) for name, _ in rows)
            for name, value in rows:
                click.echo(f"  {name:<{width}} {value:>6}")

        def progress(self, payload: Json, total: int) -> None:
            self._bar.show(payload["processed"], max(total, payload["total"]))

        def progress_done(self) -> None:
            self._bar.done()

    return Storyteller()


if __name__ == "__main__":
    main(prog_name="erp-offline-sync")
