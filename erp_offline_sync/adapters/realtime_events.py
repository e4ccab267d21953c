"""Events for the Desk, over Frappe's realtime: ids and counts, to those who may read conflicts.

A message without a room would reach every Desk user, so the room of the doctype Sync Conflict is named; the
Desk's JavaScript subscribes to it, which Frappe allows to its readers only.
"""

from __future__ import annotations

import time

import frappe
from frappe.realtime import get_doctype_room

from erp_offline_sync.engine.events import PROGRESS, STATE_CHANGED
from erp_offline_sync.engine.model import Json

__all__ = ["RealtimeEvents"]

_FOR_PEOPLE = frozenset({STATE_CHANGED, PROGRESS})
_PROGRESS_EVERY = 0.25
"""Seconds between two messages of how far a run is, but for the last: nobody sees more of them."""


class RealtimeEvents:
    """Published at once: the engine tells only what is committed."""

    def __init__(self) -> None:
        self._progress_at = 0.0

    def publish(self, event: str, payload: Json) -> None:
        if event == PROGRESS and not self._progress_is_due(payload):
            return
        if event in _FOR_PEOPLE:
            frappe.publish_realtime(event, dict(payload), room=get_doctype_room("Sync Conflict"))

    def _progress_is_due(self, payload: Json) -> bool:
        now = time.monotonic()
        if payload["processed"] < payload["total"] and now - self._progress_at < _PROGRESS_EVERY:
            return False
        self._progress_at = now
        return True
