"""What keeps an outbox without a bench from being sent, and what to do about each thing.

Every check is one function and answers Checks; one that fails does not keep the others from being made. Asking
the central is a handful of GETs; nothing is written, here or there.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from erp_offline_sync import bootstrap
from erp_offline_sync.adapters.rest_central import RestCentral, check_url
from erp_offline_sync.adapters.sole_run import SoleRunStore
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.engine.classify import Verdict, read_probe
from erp_offline_sync.engine.config import parse
from erp_offline_sync.engine.errors import OfflineSyncError, SettingsError
from erp_offline_sync.engine.model import Gap, Reply
from erp_offline_sync.engine.status import paused_by, sync_status

__all__ = ["OFFLINE", "OK", "PROBLEM", "WARNING", "Check", "checks"]

OK, WARNING, PROBLEM, OFFLINE = "ok", "warning", "problem", "offline"
"""`offline`: nothing is wrong here; the central cannot be used at the moment."""

_CLOCK_SHOWN = 30.0
"""Seconds by which the clocks may differ before people are told."""
_ROOM = 100 * 1024 * 1024
_OLDEST_KNOWN = 15
_SILENT = timedelta(days=1)

_TODO: Mapping[Verdict, str] = {
    Verdict.CREDENTIALS: (
        "Set CENTRAL_API_KEY and CENTRAL_API_SECRET anew: at the central, open the branch's user, API Access, "
        "Generate Keys."
    ),
    Verdict.CONFIGURATION: "See that CENTRAL_URL is the address under which a browser opens the central's login.",
    Verdict.NOT_SENT: "Look at this machine's network, the host's name and the port. Requests wait meanwhile.",
    Verdict.UNANSWERED: "The central is reached and does not answer: look at it, or at what is between.",
    Verdict.NOT_NOW: "The central is busy or in maintenance. Nothing to do here: requests wait meanwhile.",
    Verdict.CONTENTION: "The central is busy. Nothing to do here: requests wait meanwhile.",
    Verdict.SERVER_ERROR: "The central answers with an error of its own: its error log tells more.",
}
_LINE_DOWN = frozenset(
    {Verdict.NOT_SENT, Verdict.UNANSWERED, Verdict.NOT_NOW, Verdict.CONTENTION, Verdict.SERVER_ERROR}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at; `todo` is empty where there is nothing to do."""

    name: str
    state: str
    message: str
    todo: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def checks(settings: Mapping[str, Any], *, database: Path, directory: Path) -> list[Check]:
    """Everything, in the order in which it is worth mending."""
    return [
        *_settings(settings),
        *_env_file(directory / ".env"),
        *_connection(settings),
        *_outbox(database),
    ]


def _settings(settings: Mapping[str, Any]) -> Iterator[Check]:
    missing = [
        name
        for name, key in (
            ("CENTRAL_URL", "central_url"),
            ("CENTRAL_API_KEY", "api_key"),
            ("CENTRAL_API_SECRET", "api_secret"),
        )
        if not settings.get(key)
    ]
    if missing:
        yield Check(
            name="settings",
            state=PROBLEM,
            message=f"Missing: {', '.join(missing)}.",
            todo="Set them in the environment, or in a file .env in the directory where the command runs.",
        )
    try:
        parse(settings)
    except SettingsError as wrong:
        yield Check(
            name="settings", state=PROBLEM, message=str(wrong), todo="Correct the number, or leave it out."
        )
    else:
        if not missing:
            yield Check(name="settings", state=OK, message="Complete and within their ranges.")


def _env_file(path: Path) -> Iterator[Check]:
    with suppress(OSError):
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Check(
                name=".env",
                state=WARNING,
                message="Other users of this machine can read it, and the secret in it.",
                todo=f"chmod 600 {path}",
            )


def _connection(settings: Mapping[str, Any]) -> Iterator[Check]:
    url = settings.get("central_url")
    if not url:
        return
    try:
        checked = check_url(url)
    except SettingsError as wrong:
        yield Check(name="url", state=PROBLEM, message=f"{wrong}.", todo="Correct CENTRAL_URL.")
        return
    yield Check(name="url", state=OK, message=checked)
    if not (settings.get("api_key") and settings.get("api_secret")):
        return
    try:
        central = bootstrap.standalone_central(settings, parse(settings))
    except SettingsError as wrong:
        yield Check(
            name="settings",
            state=PROBLEM,
            message=f"{wrong}.",
            todo="Correct CENTRAL_API_KEY, CENTRAL_API_SECRET or CENTRAL_CA_FILE.",
        )
        return
    try:
        yield from _probed(central)
    finally:
        central.close()


def _probed(central: RestCentral) -> Iterator[Check]:
    reply = central.probe()
    outcome = read_probe(reply)
    if outcome.verdict is not Verdict.APPLIED:
        yield _unusable(reply, outcome.verdict, outcome.message)
        return
    yield Check(name="connection", state=OK, message=f"Logged in as {outcome.name}.")
    if outcome.name == "Administrator":
        yield Check(
            name="user",
            state=WARNING,
            message="The key is Administrator's.",
            todo="Give this outbox a user of its own at the central: what got lost on the way is looked up by it.",
        )
    yield from _clock(central)
    yield _zone(central)
    yield from _version(central)


def _unusable(reply: Reply, verdict: Verdict, message: str) -> Check:
    if reply.gap is Gap.TLS:
        todo = (
            "If the central has a certificate of your own authority, name its file in CENTRAL_CA_FILE; else its "
            "certificate, or this machine's clock, is wrong."
        )
        return Check(name="tls", state=PROBLEM, message=f"{message}.", todo=todo)
    if reply.status == 200 and not reply.is_json:
        todo = (
            "Something between answers with a page: log in to this network's portal, or correct CENTRAL_URL. "
            "Requests wait meanwhile."
        )
        return Check(
            name="connection",
            state=OFFLINE,
            message="A page came where the central should answer.",
            todo=todo,
        )
    name = "credentials" if verdict is Verdict.CREDENTIALS else "connection"
    said = message.rstrip(".") or verdict.value
    return Check(
        name=name,
        state=OFFLINE if verdict in _LINE_DOWN else PROBLEM,
        message=f"{said[:1].upper()}{said[1:]}.",
        todo=_TODO.get(verdict, ""),
    )


def _clock(central: RestCentral) -> Iterator[Check]:
    offset = central.clock_offset()
    if offset is None:
        yield Check(
            name="clock",
            state=WARNING,
            message="The central's answers carry no date.",
            todo="Where both sides changed a document, which was later cannot be told: the central wins.",
        )
        return
    off = offset.seconds
    shown = f"The central's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's."
    if abs(off) <= _CLOCK_SHOWN:
        yield Check(name="clock", state=OK, message=shown)
    else:
        yield Check(
            name="clock",
            state=WARNING,
            message=shown,
            todo="Set both clocks by a time server. The difference is measured and allowed for meanwhile.",
        )


def _zone(central: RestCentral) -> Check:
    there = central.time_zone
    if there is None:
        return Check(
            name="time zone",
            state=WARNING,
            message="The central does not tell its time zone.",
            todo="Where both sides changed a document, which was later cannot be told: the central wins.",
        )
    if central.instant("2024-01-01 00:00:00") is None:
        return Check(
            name="time zone",
            state=WARNING,
            message=f"The central's is {there}, which this machine does not know.",
            todo="pip install tzdata",
        )
    return Check(name="time zone", state=OK, message=f"The central's is {there}.")


def _version(central: RestCentral) -> Iterator[Check]:
    info = central.server_info()
    if not info:
        return
    told = ", ".join(f"{app} {version}" for app, version in sorted(info.items()))
    frappe = re.match(r"[0-9]+", info.get("frappe", ""))
    if frappe and int(frappe[0]) < _OLDEST_KNOWN:
        todo = f"It was tried with Frappe {_OLDEST_KNOWN} and 16; upgrade the central."
        yield Check(name="version of the central", state=WARNING, message=told, todo=todo)
    else:
        yield Check(name="version of the central", state=OK, message=told)


def _outbox(database: Path) -> Iterator[Check]:
    if not database.exists():
        yield Check(
            name="outbox",
            state=WARNING,
            message=f"There is none at {database} yet.",
            todo="`enqueue` makes it. If there should be one, name it with --db or OFFLINE_SYNC_DB.",
        )
        return
    room = shutil.disk_usage(database.resolve().parent).free
    if room < _ROOM:
        message = f"Only {room // 1_000_000} MB are free beside the outbox."
        yield Check(
            name="disk", state=PROBLEM, message=message, todo="Make room: nothing can be queued soon."
        )
    try:
        with SoleRunStore(database) as store:
            yield from _kept(store)
    except (OSError, sqlite3.Error, OfflineSyncError) as error:
        yield Check(
            name="outbox",
            state=PROBLEM,
            message=f"{database} cannot be used: {error}.",
            todo="Look at its permissions, and that it is an outbox; keep a copy before you mend it.",
        )


def _kept(store: SqliteStore) -> Iterable[Check]:
    with store.transaction():
        now = store.now()
        told = sync_status(store)
        paused = paused_by(store, now)
        lease = store.live_lease()
        last = told["lastSyncTime"]
    totals = told["totals"]
    yield Check(
        name="outbox", state=OK, message=f"{totals['captured']} queued so far, {totals['waiting']} waiting."
    )
    if paused:
        yield Check(
            name="pause",
            state=WARNING,
            message=f"Sending is paused by {paused}.",
            todo="`erp-offline-sync resume` when it shall go on.",
        )
    if totals["held"]:
        yield Check(
            name="held",
            state=WARNING,
            message=f"{totals['held']} requests need a person.",
            todo="`erp-offline-sync list` says why; then retry, discard or resolve.",
        )
    if lease is not None:
        yield Check(name="run", state=OK, message=f"One is at work ({lease.holder}).")
    elif totals["waiting"] and (last is None or now - datetime.fromisoformat(last) > _SILENT):
        since = f"since {last}" if last else "ever"
        yield Check(
            name="run",
            state=WARNING,
            message=f"No run has sent everything {since}.",
            todo="Let a supervisor (systemd, for example) keep `erp-offline-sync run --forever` going.",
        )
