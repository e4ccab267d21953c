"""What capture adds to a save at the branch: saves with it and without it take turns in one process.

"Without" has the same document events in place, with nothing behind them. What our code takes of each save is timed
from within as well: of a doctype that is not synced it is too little to show as a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .figure import BENCH, Figure, Plan, Run, at_most
from .measuring import Samples, percentile
from .site_work import CUSTOMER, ITEMS, POLICIES, clear, send_to

__all__ = ["PLANS", "measure_on"]

SAVES, SAVES_QUICK = 400, 20
ROWS = {"8kb": 22, "24kb": 70}
"""Child rows of a document of about so many bytes of JSON."""

P50 = {
    "8kb": Plan(
        id="save.p50.8kb", title="added to a save, 8 kB: p50", unit="ms", goal=at_most(2.0), needs=BENCH
    ),
    "24kb": Plan(
        id="save.p50.24kb", title="added to a save, 24 kB: p50", unit="ms", goal=at_most(5.0), needs=BENCH
    ),
}
P99 = Plan(id="save.p99", title="our code in a save, 24 kB: p99", unit="ms", goal=at_most(10.0), needs=BENCH)
OTHER = Plan(
    id="save.other",
    title="our code in a save of a doctype not synced: p50",
    unit="ms",
    goal=at_most(0.05),
    needs=BENCH,
)
PLANS = (*P50.values(), P99, OTHER)


def measure_on(rig: Any, run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    count = SAVES_QUICK if run.quick else SAVES
    clear(rig)
    send_to(rig, rig.companion, rig.companion.url, policies=POLICIES, sync_on_save=1)
    for size, rows in ROWS.items():
        if P50[size] not in plans and not (size == "24kb" and P99 in plans):
            continue
        sale = {
            "doctype": "Shop Sale",
            "customer": CUSTOMER,
            "items": [{"item": ITEMS[row % len(ITEMS)], "qty": row + 1, "rate": 9.5} for row in range(rows)],
        }
        told = rig.branch.run(saved_in_turn, sale, "remarks", count)
        run.say(f"saves of {told['bytes']} bytes: {_words(told)}")
        if P50[size] in plans:
            yield _added(P50[size], told)
        if size == "24kb" and P99 in plans:
            yield P99.measured(Samples((percentile(told["ours"], 0.99),)), saves=count, bytes=told["bytes"])
    if OTHER in plans:
        told = rig.branch.run(
            saved_in_turn, {"doctype": "Shop Group", "group_name": "bench"}, "group_name", count
        )
        run.say(f"saves of a doctype that is not synced: {_words(told)}")
        taken = Samples(tuple(told["ours"]))
        yield OTHER.measured(
            taken, saves=count, ms_with=_median(told["with"]), ms_without=_median(told["without"])
        )
    clear(rig)


def _added(plan: Plan, told: dict[str, Any]) -> Figure:
    """The difference of the medians; the spread is of the differences turn by turn."""
    added = Samples(tuple(one - other for one, other in zip(told["with"], told["without"], strict=True)))
    return plan.measured(
        added,
        bytes=told["bytes"],
        ms_with=_median(told["with"]),
        ms_without=_median(told["without"]),
        ratio=_median(told["with"]) / _median(told["without"]),
        p99_with=percentile(told["with"], 0.99),
        p99_without=percentile(told["without"], 0.99),
        saves=len(told["with"]),
    )


def _median(values: list[float]) -> float:
    return Samples(tuple(values)).median


def _words(told: dict[str, Any]) -> str:
    return f"{_median(told['with']):.2f} ms with, {_median(told['without']):.2f} ms without, ours {_median(told['ours']):.3f} ms"


def saved_in_turn(values, field, count):  # type: ignore[no-untyped-def]
    """Runs on the branch: one document, saved with capture and without in turn, a commit each. Milliseconds."""
    import time

    import frappe

    from erp_offline_sync import capture, wakeup

    handlers = (
        "before_save",
        "on_update",
        "on_submit",
        "on_update_after_submit",
        "on_cancel",
        "before_change",
        "on_change",
    )
    real = {name: getattr(capture, name) for name in handlers}
    wake = wakeup._wake
    ours = [0.0]

    def timed(function):
        def handler(*args, **kwargs):
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                ours[0] += time.perf_counter() - began

        return handler

    def nothing(doc, method=None):
        return None

    doc = frappe.get_doc(values).insert()
    frappe.db.commit()
    taken = {"with": [], "without": [], "ours": []}
    try:
        for number in range(-5, count):
            for way in ("with", "without"):
                for name in handlers:
                    setattr(capture, name, timed(real[name]) if way == "with" else nothing)
                wakeup._wake = timed(wake)
                doc = frappe.get_doc(doc.doctype, doc.name)
                doc.set(field, f"save {number} {way}")
                ours[0] = 0.0
                began = time.perf_counter()
                doc.save()
                frappe.db.commit()
                seconds = time.perf_counter() - began
                if number >= 0:
                    taken[way].append(seconds * 1000)
                    if way == "with":
                        taken["ours"].append(ours[0] * 1000)
    finally:
        for name in handlers:
            setattr(capture, name, real[name])
        wakeup._wake = wake
    return {**taken, "bytes": len(frappe.as_json(doc, indent=None))}
