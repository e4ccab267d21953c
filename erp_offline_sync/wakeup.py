"""Wakes a run once what it should send is committed. No wake-up can fail a save, nor cost it more than a moment.

A mark in the queue's Redis says that a run is on its way: whoever sets it enqueues the run, the run clears it
before its first claim. Redis is asked through a connection of our own with short time limits; Frappe's own
waits for seconds. What goes wrong here is logged, and the next tick of the scheduler finds the row.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import frappe
import redis
from frappe.utils import get_bench_id
from redis.backoff import NoBackoff
from redis.retry import Retry

from erp_offline_sync import settings

RUN = "erp_offline_sync.tasks.run_offline_sync"
QUEUE = "long"
PATIENCE = 0.02
"""Seconds that connecting, and each answer, may take."""
PATIENCE_OF_A_PERSON = 2.0
"""The same where somebody asked for a run: a busy machine is no reason to refuse that."""
MARK_LASTS = 60
"""Seconds after which a mark no longer counts: the run it stood for was lost."""
REST = 5.0
"""Seconds without another try after Redis could not be reached."""

_FLAG = "offline_sync_wakes"
_clients: dict[tuple[Any, ...], redis.Redis] = {}
_rests_until = 0.0


def after_commit():
    """Wake a run when the open transaction is committed; once, however often it is called."""
    database = frappe.local.db
    if frappe.flags.get(_FLAG) is database:
        return
    frappe.flags[_FLAG] = database
    database.after_commit.add(_wake)
    database.after_rollback.add(_forget)


def _forget():
    frappe.flags.pop(_FLAG, None)


def _wake():
    _forget()
    try:
        enqueue_run(unless=_not_on_save)
    except Exception as error:
        _log("no run was woken", error)


def _not_on_save():
    return not settings.effective()["sync_on_save"]


def enqueue_run(trigger="save", *, force=False, doctypes=None, unless=None):
    """Put a run into the queue, at once; whether one is on its way now. Never raises.

    Nothing is queued where a run is on its way already, but for one that somebody forces or wants for some
    doctypes only. Redis is tried for a forced one even where it could not be reached a moment ago. `unless` is
    asked only where no run is on its way: then a save has asked Redis one thing, and the database nothing.
    """
    global _rests_until
    if time.monotonic() < _rests_until and not force:
        return False
    try:
        client = _client(PATIENCE_OF_A_PERSON if force else PATIENCE)
        is_new = bool(client.set(_mark(), 1, nx=True, ex=MARK_LASTS))
    except Exception as error:
        _rests_until = time.monotonic() + REST
        _log("Redis cannot be reached; the scheduler's next tick sends what waits", error)
        return False
    if not is_new and not force and not doctypes:
        return True
    messages = list(frappe.local.message_log)
    try:
        if unless is not None and unless():
            clear_mark()
            return False
        frappe.enqueue(
            RUN,
            queue=settings.effective().get("queue") or QUEUE,
            job_id=f"offline-sync-{uuid4()}",
            trigger=trigger,
            force=force,
            doctypes=doctypes,
        )
    except Exception as error:
        _log("the run could not be queued; the scheduler's next tick sends what waits", error)
        frappe.local.message_log = messages
        clear_mark()
        return False
    return True


def clear_mark():
    """From now on a save wakes a run again. Never raises."""
    try:
        _client().delete(_mark())
    except Exception as error:
        _log("the wake-up mark could not be cleared", error)


def _mark():
    # Of the form that the queue's access rules let a bench write, where its Redis has any.
    return f"rq:offline-sync-wake:{get_bench_id()}:{frappe.local.site}"


def _client(patience=PATIENCE):
    conf = frappe.conf
    if conf.get("redis_queue_sentinel_enabled"):
        from frappe.utils.background_jobs import get_redis_conn

        return get_redis_conn()
    user = password = None
    if conf.get("use_rq_auth"):
        user, password = conf.get("rq_username") or get_bench_id(), conf.get("rq_password")
    key = (conf.redis_queue, user, password, patience)
    if key not in _clients:
        _clients[key] = redis.Redis.from_url(
            conf.redis_queue,
            username=user,
            password=password,
            socket_connect_timeout=patience,
            socket_timeout=patience,
            retry=Retry(NoBackoff(), 0),
        )
    return _clients[key]


def _log(what, error):
    frappe.logger("offline_sync").warning("%s: %s", what, type(error).__name__)
