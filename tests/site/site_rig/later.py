"""Runs a sync as if some time had passed: leases have ended, retries are due, a doubt may be decided.

Only the outbox's own clock is moved; the documents' times are Frappe's.
"""

from __future__ import annotations

import importlib
from datetime import timedelta


def move_clock(seconds: float) -> None:
    """Every look at the outbox's clock in this process, from now on."""
    module = importlib.import_module("erp_offline_sync.adapters.frappe_store")
    clock, ahead = module.database_now, timedelta(seconds=seconds)
    module.database_now = lambda: clock() + ahead
