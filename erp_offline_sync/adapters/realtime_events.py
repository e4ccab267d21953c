"""Events for the Desk, over Frappe's realtime: ids and counts, to those who may read conflicts.

A message without a room would reach every Desk user, so the room of the doctype Sync Conflict is named; the
Desk's JavaScript subscribes to it, which Frappe allows to its readers only.
"""

from __future__ import annotations

import frappe
from frappe.realtime import get_doctype_room

from erp_offline_sync.engine.events import PROGRESS, STATE_CHANGED
from erp_offline_sync.engine.model import Json

__all__ = ["RealtimeEvents"]

_FOR_PEOPLE = frozenset({STATE_CHANGED, PROGRESS})


class RealtimeEvents:
    """Published at once: the engine tells only what is committed."""

    def publish(self, event: str, payload: Json) -> None:
        if event in _FOR_PEOPLE:
            frappe.publish_realtime(event, dict(payload), room=get_doctype_room("Sync Conflict"))
