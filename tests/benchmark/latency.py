"""From a save at the branch until it is applied at the central, on a healthy line, with a worker as benches have."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

from .figure import BENCH, Figure, Plan, Run, at_most
from .measuring import Samples, percentile
from .site_work import clear, send_to

__all__ = ["PLANS", "measure_on"]

SAVES, SAVES_QUICK = 60, 5
_BETWEEN = (0.2, 4.0)
"""Seconds between two saves."""
_PATIENCE = 30.0

P50 = Plan(
    id="latency.p50",
    title="save → applied at the central, companion: p50",
    unit="s",
    goal=at_most(1.0),
    needs=BENCH,
)
P95 = Plan(
    id="latency.p95",
    title="save → applied at the central, companion: p95",
    unit="s",
    goal=at_most(3.0),
    needs=BENCH,
)
PLANS = (P50, P95)


def measure_on(rig: Any, run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    from site_rig.client import Worker

    drawn, count = random.Random(run.seed), SAVES_QUICK if run.quick else SAVES
    clear(rig)
    worker = Worker(rig)
    worker.start()
    try:
        send_to(rig, rig.companion, rig.companion.url, sync_on_save=1, processing_interval=5000)
        rig.branch.run(saved, "warm up")
        _arrived(rig, 1)
        committed = {}
        for number in range(count):
            title = f"latency {number}"
            committed[title] = float(rig.branch.run(saved, title))
            time.sleep(drawn.uniform(*_BETWEEN))
        _arrived(rig, count + 1)
    finally:
        worker.stop()
    zone = ZoneInfo(rig.companion.time_zone)
    waits = []
    for note in rig.companion.documents("Shop Note", fields=["title", "creation"]):
        if note["title"] in committed:
            made = datetime.fromisoformat(str(note["creation"])).replace(tzinfo=zone).astimezone(timezone.utc)
            waits.append(made.timestamp() - committed[note["title"]])
    clear(rig)
    beside = {"saves": len(waits), "worst": max(waits)}
    found = {P50: Samples(tuple(waits)), P95: Samples((percentile(waits, 0.95),))}
    run.say(f"latency: p50 {found[P50].median:.2f} s, p95 {found[P95].median:.2f} s of {len(waits)}")
    yield from (plan.measured(found[plan], **beside) for plan in plans)


def _arrived(rig: Any, count: int) -> None:
    give_up = time.monotonic() + _PATIENCE
    while rig.companion.count("Shop Note") < count:
        if time.monotonic() > give_up:
            waiting = rig.branch.documents("Offline Request", fields=["status", "error_message"])
            states = Counter(f"{row['status']} {row['error_message'] or ''}".strip() for row in waiting)
            raise TimeoutError(f"{rig.companion.count('Shop Note')} of {count} notes arrived; {dict(states)}")
        time.sleep(0.2)


def saved(title):  # type: ignore[no-untyped-def]
    """Runs on the branch; answers when it was committed, as a Unix time."""
    import time

    import frappe

    frappe.get_doc({"doctype": "Shop Note", "title": title}).insert()
    frappe.db.commit()
    return time.time()
