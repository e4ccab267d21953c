"""What the scheduler and the job queue start. Each job may be killed at any point and run again.

Nothing that is raised here carries a document's values on: Frappe's own error log keeps the values of local
variables, so errors are caught and logged by class and place.
"""

import time
import traceback
from datetime import datetime, timedelta, timezone

import frappe
from frappe.utils import now_datetime

from erp_offline_sync import bootstrap, settings, wakeup
from erp_offline_sync.adapters.frappe_store import FrappeStore
from erp_offline_sync.adapters.run_control import RunControl, stopping
from erp_offline_sync.engine import status
from erp_offline_sync.engine.actions import clear_old_requests
from erp_offline_sync.engine.errors import Paused, SettingsError
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.sync import RunReport

RUN = "erp_offline_sync.tasks.run_offline_sync"
BUDGET = 60
"""Seconds after which a run hands over to its successor, so that it does not starve a bench with one worker."""
LINGER = 10
LINGER_OFFLINE = 20
"""Seconds that a tick's run stays to probe while the line is down: a bench with one worker has other work too."""
MIGRATION = "bench migrate"
GRACE = 10
"""Seconds that a shutdown or a migration waits for the run in progress."""


def why_no_run(values, *, force=False):
    """Why no run may begin now ("not a branch", "shutdown", "window"); None where one may."""
    if not settings.is_branch(values):
        return "not a branch"
    if stopping().is_set():
        return "shutdown"
    if not force and settings.window_opens(values, now_datetime().time()):
        return "window"
    return None


def run_offline_sync(trigger="tick", force=False, doctypes=None):
    """One sync run. `trigger`: "tick" (the scheduler), "save" (after a commit), "person"; answers why it ended."""
    values = settings.effective()
    wakeup.clear_mark()
    why = why_no_run(values, force=force)
    if why:
        return why
    if trigger == "tick" and not _interval_over(values):
        return "interval"
    user = frappe.session.user
    frappe.set_user("Administrator")
    try:
        report = _run(values, trigger=trigger, force=force, doctypes=doctypes)
        _stay_awake()
    finally:
        frappe.set_user(user)
    if report.reason == "time":
        wakeup.enqueue_run()
    return report.reason


def _run(values, *, trigger, force, doctypes):
    control = RunControl()
    try:
        with control.listening():
            assembled = bootstrap.site(control=control)
            try:
                interval = assembled.ports.config.processing_interval / 1000
                return assembled.engine.run(
                    budget=BUDGET,
                    linger=min(interval, LINGER),
                    linger_offline=_rest_of_minute() if trigger == "tick" else 0,
                    force=force,
                    doctypes=doctypes,
                )
            finally:
                assembled.disconnect()
    except (SettingsError, Paused) as error:
        _failed(type(error).__name__, str(error))
    except Exception as error:
        _failed(type(error).__name__, f"An error ended the run: {type(error).__name__} at {_place(error)}")
    return RunReport(reason="failed")


def _rest_of_minute():
    """Frappe 16 counts a job's next minute from its end: one that goes on into the next minute misses a tick."""
    return min(LINGER_OFFLINE, max(0, 57 - now_datetime().second))


def _failed(title, message):
    """The run's own state, a line in the log and an Error Log without values."""
    frappe.db.rollback()
    frappe.logger(bootstrap.LOGGER).error("run failed: %s", message)
    if _note_failure(message):
        frappe.log_error(title=f"Offline sync: {title}", message=message)
        frappe.db.commit()


def _place(error):
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-4:]))


def _note_failure(message):
    """Whether it is another than the last run's: what is wrong with the settings is not logged every minute."""
    store = own_store()
    kept = canonical_json({"reason": message, "failed": True, "message": message})
    with store.transaction():
        is_new = store.get_meta(status.LAST_RUN) != kept
        store.set_meta(status.LAST_RUN, kept)
    return is_new


def own_store():
    """The outbox in transactions of its own."""
    return FrappeStore(frappe.db.commit, frappe.db.rollback)


def _interval_over(values):
    """`processing_interval` is the least time between two runs' starts by the scheduler."""
    store = own_store()
    with store.transaction():
        started, now = store.get_meta(status.RUN_STARTED), store.now()
    if not started:
        return True
    since = (now - datetime.fromisoformat(started)).total_seconds()
    interval = int(values.get("processing_interval") or 5000) / 1000
    return since < 0 or since >= min(interval, 86_400) - 1


def _stay_awake():
    """Frappe 15 calls a site dormant that nobody logs in to for days, and then runs its jobs once a day."""
    store = own_store()
    with store.transaction():
        waiting = store.oldest_open() is not None
    if not waiting or not frappe.db.table_exists("Activity Log"):
        return
    day_ago = now_datetime() - timedelta(days=1)
    if not frappe.db.exists("Activity Log", {"creation": (">", day_ago)}):
        frappe.get_doc(
            {"doctype": "Activity Log", "subject": "Offline sync is at work", "status": "Success"}
        ).insert(ignore_permissions=True)
        frappe.db.commit()


def purge_old_requests():
    """Daily: delete ended requests older than `retention_days`; never one that is held or waits."""
    values = settings.effective()
    if not settings.is_branch(values):
        return
    try:
        assembled = bootstrap.site(connected=False)
    except SettingsError:
        return
    clear_old_requests(assembled.ports, assembled.ports.config.retention_days)


def stop_for_migrate():
    """Ask a run to end, wait for it, and leave a pause that ends by itself after a quarter of an hour."""
    store = own_store()
    with store.transaction():
        if status.paused_by(store, store.now()) is None:
            until = datetime.now(timezone.utc) + timedelta(minutes=15)
            status.pause(store, by=MIGRATION, reason="the schema is moving", until=until)
    wait_for_run(store, GRACE)


def resume_after_migrate():
    """Lift the pause of `stop_for_migrate`, and no other."""
    store = own_store()
    with store.transaction():
        status.resume(store, only_by=MIGRATION)


def wait_for_run(store, seconds):
    """Whether no run is left after at most so many seconds."""
    until = time.monotonic() + seconds
    while True:
        with store.transaction():
            if store.live_lease() is None:
                return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.2)


def shutdown():
    """This process begins no run any more, and waits at most ten seconds for the one in flight."""
    stopping().set()
    store = own_store()
    done = wait_for_run(store, GRACE)
    with store.transaction():
        waiting = status.ledger(store.counters()).waiting
        store.set_meta(status.PENDING_COUNT, str(waiting))
    return done
