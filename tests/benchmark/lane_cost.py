"""What it costs to have something carried beside the run: by a thread of the run, or by a job of another worker.

Nothing is sent: an answer that is there at once comes back, so that only the carrying is measured (ADR 16).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .figure import BENCH, Figure, Plan, Run
from .measuring import Samples
from .site_work import clear

__all__ = ["PLANS", "measure_on"]

TIMES, TIMES_QUICK = 60, 5

THREAD = Plan(id="lanes.thread", title="there and back by a thread of the run", unit="ms", needs=BENCH)
JOB = Plan(id="lanes.job", title="there and back by a job of an idle worker", unit="ms", needs=BENCH)
PLANS = (THREAD, JOB)


def measure_on(rig: Any, run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    from site_rig.client import Worker

    clear(rig)
    worker = Worker(rig)
    worker.start()
    try:
        told = rig.branch.run(there_and_back, TIMES_QUICK if run.quick else TIMES)
    finally:
        worker.stop()
    taken = {plan: Samples(tuple(told[plan.id])) for plan in (THREAD, JOB)}
    run.say(f"there and back: {taken[THREAD].median:.3f} ms by a thread, {taken[JOB].median:.1f} ms by a job")
    yield from (plan.measured(taken[plan], times=len(taken[plan].values)) for plan in plans)


def there_and_back(times):  # type: ignore[no-untyped-def]
    """Runs on the branch: a thread and a job in turn. Milliseconds by figure."""
    import time

    import frappe

    from erp_offline_sync.adapters.lane_threads import LaneThreads
    from erp_offline_sync.adapters.system_clock import SystemClock
    from erp_offline_sync.engine.model import Reply

    lanes = LaneThreads(lambda: None, SystemClock())

    def by_thread():
        lanes.start("ticket", lambda central: Reply(status=200))
        lanes.land()

    def by_job():
        job = frappe.enqueue("frappe.utils.now", queue="long")
        while job.get_status(refresh=True) not in ("finished", "failed"):
            time.sleep(0.001)
        if not job.is_finished:
            raise RuntimeError("the job failed")

    taken = {"lanes.thread": [], "lanes.job": []}
    try:
        for number in range(-2, times):
            for name, go in (("lanes.thread", by_thread), ("lanes.job", by_job)):
                began = time.perf_counter()
                go()
                if number >= 0:
                    taken[name].append((time.perf_counter() - began) * 1000)
    finally:
        lanes.close()
    return taken
