"""Claim, acknowledge and counters of the outbox in a site's database, beside a thousand rows and beside many.

One table cannot have two sizes at once, so these sizes do not take turns: each is measured in one go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .figure import BENCH, Figure, Plan, Run, at_most
from .measuring import Samples, compared
from .site_work import clear

__all__ = ["PLANS", "measure_on"]

SIZES, SIZES_QUICK = (1_000, 1_000_000), (1_000, 20_000)
ROUNDS, ROUNDS_QUICK = 15, 5
_SCENARIOS = {"ready": "all ready", "waiting": "99 % waiting"}
PLANS = tuple(
    plan
    for name, scenario in _SCENARIOS.items()
    for plan in (
        Plan(
            id=f"outbox.site.claim.{name}",
            title=f"claim of 200, 1e6 rows against 1e3; {scenario}; the site's database",
            unit="×",
            goal=at_most(2.0),
            needs=BENCH,
        ),
        Plan(
            id=f"outbox.site.acknowledge.{name}",
            title=f"acknowledge 200, a commit each, 1e6 against 1e3; {scenario}; the site's database",
            unit="×",
            needs=BENCH,
        ),
        Plan(
            id=f"outbox.site.counters.{name}",
            title=f"counters at 1e6 rows; {scenario}; the site's database",
            unit="ms",
            goal=at_most(5.0),
            needs=BENCH,
        ),
    )
)


def measure_on(rig: Any, run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    sizes, rounds = (SIZES_QUICK, ROUNDS_QUICK) if run.quick else (SIZES, ROUNDS)
    for name in _SCENARIOS:
        of_kind = [plan for plan in plans if plan.id.endswith(f".{name}")]
        if not of_kind:
            continue
        taken: dict[int, dict[str, list[float]]] = {}
        for rows in sizes:
            clear(rig)
            run.say(f"building an outbox of {rows:,} rows in the site's database, {name}")
            rig.branch.run(filled, rows, 200 if name == "ready" else max(200, rows // 100), name)
            taken[rows] = rig.branch.run(steps, rows, rounds)
            told = {step: f"{Samples(tuple(values)).median:.1f} ms" for step, values in taken[rows].items()}
            run.say(f"{rows:,} rows, {name}: {told}")
        small, large = (taken[rows] for rows in (sizes[0], sizes[-1]))
        for plan in of_kind:
            step = plan.id.split(".")[2]
            one, other = Samples(tuple(large[step])), Samples(tuple(small[step]))
            beside = {"rows": sizes[-1], "ms_small": other.median, "ms_large": one.median}
            if plan.unit == "ms":
                yield plan.measured(one, **beside)
            else:
                limit = plan.goal.number if plan.goal else None
                yield plan.measured(compared(one, other, goal=limit), **beside)
    clear(rig)


def filled(rows, ready, scenario):  # type: ignore[no-untyped-def]
    """Runs on the branch: requests made from one, by the database itself."""
    import json

    import frappe

    from erp_offline_sync.adapters.frappe_store import FrappeStore
    from erp_offline_sync.engine.model import Operation, Readiness, Request

    store = FrappeStore(frappe.db.commit, frappe.db.rollback)
    with store.transaction():
        one = store.add(
            Request(
                id="template",
                key="template",
                seq=0,
                operation=Operation.CREATE,
                resource_type="Shop Note",
                resource_id="template",
                method="POST",
                path="/api/resource/Shop Note",
                body={"title": "note", "body": "x" * 200},
                created_at=store.now(),
                readiness=Readiness.READY,
            )
        )
    columns = frappe.db.get_table_columns("Offline Request")
    waiting = rows - ready if scenario == "waiting" else 0
    if frappe.db.db_type == "mariadb":
        frappe.db.sql(f"set session max_recursive_iterations = {rows + 10}")
        name = "concat('0194f000-0000-7000-8000-', lpad(i, 12, '0'))"
        line = "concat('line-', i)"
    else:
        name = "'0194f000-0000-7000-8000-' || substr('000000000000' || i, -12)"
        line = "'line-' || i"
    first = "'0194f000-0000-7000-8000-000000000001'"
    made = {
        "name": name,
        "idempotency_key": name,
        "seq": f"{int(one.seq)} + i",
        "resource_id": line,
        "line": f"case when i <= {waiting} then 'held' else {line} end",
        "status": f"case when i > {waiting} then 'Pending' when i = 1 then 'Needs Attention' else 'Waiting' end",
        "waits_for": f"case when i > 1 and i <= {waiting} then {first} else null end",
    }
    taken = ", ".join(made.get(column, f"t.`{column}`") for column in columns)
    listed = ", ".join(f"`{column}`" for column in columns)
    numbers = f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})"
    select = f"select {taken} from n, (select * from `tabOffline Request` where `name` = 'template') t"
    if frappe.db.db_type == "mariadb":
        statement = f"insert into `tabOffline Request` ({listed}) {numbers} {select}"
    else:
        statement = f"{numbers} insert into `tabOffline Request` ({listed}) {select}"
    frappe.db.sql(statement)
    frappe.db.sql("delete from `tabOffline Request` where `name` = 'template'")
    kept = dict(frappe.db.sql("select `status`, count(*) from `tabOffline Request` group by `status`"))
    frappe.db.commit()
    with store.transaction():
        before = json.loads(store.get_meta("counters") or "{}")
        store.set_meta("counters", json.dumps({**before, "Pending": 0, **kept, "seq": int(one.seq) + rows}))
    frappe.db.commit()
    if frappe.db.db_type == "mariadb":
        frappe.db.sql("analyze table `tabOffline Request`")


def steps(rows, rounds):  # type: ignore[no-untyped-def]
    """Runs on the branch: milliseconds of each step, by round."""
    import frappe

    from erp_offline_sync.adapters.frappe_store import FrappeStore
    from tests.benchmark.claim import steps_of

    store = FrappeStore(frappe.db.commit, frappe.db.rollback)
    found = {}
    for turn in range(-1, rounds):
        for step, seconds in steps_of(store, rows).items():
            if turn >= 0:
                found.setdefault(step, []).append(seconds * 1000)
    return found
