"""The Store port over the doctypes, inside a site: the contract that every store keeps, and what only a shared
database can show."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.model import Operation, Readiness, Status
from erp_offline_sync.engine.transitions import move
from erp_offline_sync.testing.store_contract import CASES, make_conflict, make_document, make_request

HORIZON = timedelta(seconds=400)


class Waits:
    """Time of a real database passes by itself."""

    def advance(self, seconds):
        time.sleep(seconds)


@pytest.fixture
def owning(fresh_outbox, site):
    """The store of a job: its transactions are its own."""
    from erp_offline_sync.adapters.frappe_store import FrappeStore

    return FrappeStore(site.db.commit, site.db.rollback)


@pytest.fixture
def joining(fresh_outbox, site):
    """The store of a web request: it joins the transaction that is open."""
    from erp_offline_sync.adapters.frappe_store import FrappeStore

    return FrappeStore(_never, _never, owns_transaction=False)


def _never():
    raise AssertionError("a joined transaction is neither committed nor rolled back")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_the_contract_in_transactions_of_its_own(case, owning):
    case(owning, Waits())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__.removeprefix("case_"))
def test_the_contract_in_the_callers_transaction(case, joining):
    case(joining, Waits())


def test_a_joined_transaction_undoes_only_its_own_part(joining, site):
    site.get_doc({"doctype": "ToDo", "description": "the caller's"}).insert()
    with pytest.raises(InvalidRequest), joining.transaction():
        _add_twice(joining)
    assert site.db.count("ToDo") == 1
    with joining.transaction():
        assert joining.get("a") is None


def _add_twice(store):
    store.add(make_request("a"))
    store.add(make_request("a"))


def test_a_transaction_of_its_own_drops_what_was_left_open_and_sees_the_present(owning, site, rig):
    """A job's MariaDB transaction would go on showing what it saw first."""
    with owning.transaction():
        assert owning.get("b") is None
    site.db.sql("select count(*) from `tabOffline Request`")
    rig.branch.run(_add_from_elsewhere)
    with owning.transaction():
        assert owning.get("b") is not None


def _add_from_elsewhere():
    import frappe

    from erp_offline_sync.adapters.frappe_store import FrappeStore
    from erp_offline_sync.testing.store_contract import make_request

    store = FrappeStore(frappe.db.commit, frappe.db.rollback)
    with store.transaction():
        store.add(make_request("b"))


def _in_thread(site, action):
    """Run `action(store)` on a connection of its own; answers the thread and where its result will stand."""
    from erp_offline_sync.adapters.frappe_store import FrappeStore

    name, path, result = site.local.site, site.local.sites_path, {}

    def work():
        import frappe

        frappe.init(name, sites_path=path, force=True)
        frappe.connect()
        frappe.set_user("Administrator")
        try:
            result["answer"] = action(FrappeStore(frappe.db.commit, frappe.db.rollback))
        except Exception as error:  # handed to the test
            result["error"] = error
        finally:
            frappe.destroy()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, result


def test_two_runs_cannot_have_the_lease_at_once(owning, site):
    """Both ask at the same moment, the very first time: one gets it, nobody an error."""
    gate = threading.Barrier(2)

    def acquire(store):
        gate.wait(10)
        with store.transaction():
            lease = store.acquire_lease("run", 60)
            time.sleep(0.2)
            return lease

    threads = [_in_thread(site, acquire) for _ in range(2)]
    for thread, _ in threads:
        thread.join(60)
    results = [result for _, result in threads]
    assert [result.get("error") for result in results] == [None, None]
    assert sum(result["answer"] is not None for result in results) == 1


def test_two_claims_share_no_request(owning, site):
    with owning.transaction():
        for number in range(10):
            added = owning.add(make_request(f"r{number}"))
            owning.replace(move(added, Status.PENDING, readiness=Readiness.READY))
    gate = threading.Barrier(2)

    def claim(token):
        def work(store):
            gate.wait(10)
            with store.transaction():
                due = store.due(store.now(), limit=10, horizon=HORIZON)
                return [request.id for request in store.claim(due, token)]

        return work

    threads = [_in_thread(site, claim(token)) for token in (1, 2)]
    for thread, _ in threads:
        thread.join(60)
    assert [result.get("error") for _, result in threads] == [None, None]
    first, second = (result["answer"] for _, result in threads)
    assert not set(first) & set(second)
    assert len(first) + len(second) == 10
    with owning.transaction():
        assert owning.counters()[Status.IN_FLIGHT] == 10


def test_a_run_in_the_middle_of_its_transaction_holds_up_no_save(owning, site):
    """Rows are locked by name: the place where new rows are added stays free on a site that has sent something.
    Frappe on SQLite has one writer at a time of itself."""
    with owning.transaction():
        for number in range(60):
            added = owning.add(make_request(f"r{number}"))
            owning.replace(move(added, Status.PENDING, readiness=Readiness.READY))
        owning.add(make_request("sent", status=Status.SYNCED, closed_at=owning.now()))
    if site.db.db_type == "sqlite":
        return
    with owning.transaction():
        due = owning.due(owning.now(), limit=60, horizon=HORIZON)
        owning.take_up(due)
        for request in owning.claim(due, 7):
            owning.replace(move(request, Status.IN_FLIGHT, sent_at=owning.now()), token=7)
        owning.put_document(make_document("d"))
        owning.put_conflict(make_conflict("c"))
        owning.set_links("r1", 1, ["line"])
        owning.release("nobody")
        owning.set_meta("breaker", "{}")
        began = time.monotonic()
        thread, result = _in_thread(site, _add_one)
        thread.join(60)
        took = time.monotonic() - began
    assert result.get("error") is None
    assert took < 5


def _add_one(store):
    """As capture does: an insert in a transaction that then stays open for a moment."""
    import frappe

    from erp_offline_sync.adapters.frappe_store import insert_request, next_place

    seq, now, _ = next_place()
    insert_request(make_request("saved", seq=seq, created_at=now))
    frappe.db.commit()


def test_the_times_people_read_are_the_sites_wall_clock(owning, site):
    from zoneinfo import ZoneInfo

    moment = datetime(2026, 7, 1, 12, 0, 0, 250000, tzinfo=timezone.utc)
    with owning.transaction():
        owning.add(make_request("a", changed_at=moment))
    (shown,) = site.db.sql("select changed_at from `tabOffline Request`")[0]
    zone = ZoneInfo(site.utils.get_system_timezone())
    assert shown == moment.astimezone(zone).replace(tzinfo=None)


def test_now_is_the_databases_time_in_utc(owning):
    with owning.transaction():
        assert abs(owning.now() - datetime.now(timezone.utc)) < timedelta(seconds=5)


def test_no_seq_is_given_twice_though_the_newest_requests_were_purged(owning):
    with owning.transaction():
        added = owning.add(make_request("a"))
        now = owning.now()
        owning.replace(move(added, Status.DISCARDED, closed_at=now - timedelta(days=1)))
        assert owning.purge(closed_before=now, limit=10) == 1
    with owning.transaction():
        assert owning.add(make_request("b")).seq > added.seq


def test_the_sequence_has_the_name_that_the_installation_gives_it(site):
    from erp_offline_sync import install
    from erp_offline_sync.adapters.frappe_store import SEQUENCE

    assert SEQUENCE == install.SEQUENCE


def test_nothing_waits_for_what_ended_at_the_same_moment(owning, site):
    """A run finds a request open and puts another behind it, while a person discards it: one of them waits."""
    with owning.transaction():
        first, second = owning.add(make_request("first")), owning.add(make_request("second"))
    seen = threading.Event()

    def discard(store):
        seen.wait(10)
        with store.transaction():
            store.replace(move(first, Status.DISCARDED, closed_at=store.now()))
            return store.release("first")

    thread, result = _in_thread(site, discard)
    with owning.transaction():
        assert owning.get("first").status is Status.PENDING
        seen.set()
        time.sleep(0.5)
        owning.replace(move(second, Status.WAITING, waits_for="first", waits_why="an earlier change"))
    thread.join(60)
    assert result == {"answer": 1}
    with owning.transaction():
        after = owning.get("second")
    assert (after.status, after.readiness) == (Status.PENDING, Readiness.RECHECK)


def test_saves_over_the_web_succeed_while_a_run_commits_all_the_time(settings, owning, site, branch):
    """On Frappe's SQLite a save fails where another process commits between its first read and its first write."""
    settings(sync_on_save=0)
    done = threading.Event()

    def run(store):
        commits = 0
        while not done.wait(0.001):
            with store.transaction():
                store.set_meta("breaker", str(commits))
            commits += 1
        return commits

    thread, result = _in_thread(site, run)
    try:
        statuses = [
            branch.rest.post("/api/resource/Shop Note", json={"title": f"note {number}"}).status_code
            for number in range(60)
        ]
    finally:
        done.set()
        thread.join(60)
    assert statuses == [200] * 60
    assert result["answer"] > 60, "as many commits as saves, or none was beside one"


def test_many_rows_are_written_by_few_statements_and_none_is_too_long(owning, site, monkeypatch):
    """A hundred rows at once, or a million characters: databases refuse statements of more than some megabytes."""
    count, long = 150, "é" * 300_000
    with owning.transaction():
        for number in range(count):
            owning.add(make_request(f"r{number}", line=f"d{number}"))
            owning.put_document(make_document(f"d{number}", local_name=f"D-{number}"))
    written = []
    run = site.db.sql

    def noted(query, values=(), *args, **more):
        if str(query).startswith(("INSERT", "UPDATE")) and "Metadata" not in str(query):
            written.append(sum(len(value) for value in values if isinstance(value, str)))
        return run(query, values, *args, **more)

    with owning.transaction():
        requests = [owning.get(f"r{number}") for number in range(count)]
        owning.take_up(requests)
        monkeypatch.setattr(site.db, "sql", noted)
        for number, request in enumerate(requests):
            body = {"text": long} if number < 8 else {"text": str(number)}
            owning.replace(request.altered(body=body, sends=1))
            known = {"local_name": f"D-{number}", "central_name": f"C-{number}"}
            owning.put_document(make_document(f"d{number}", **known))
    monkeypatch.undo()
    assert len(written) < 10
    assert max(written) < 1_300_000
    with owning.transaction():
        again = [owning.get(f"r{number}") for number in range(count)]
        assert [request.sends for request in again] == [1] * count
        assert [len(request.body["text"]) for request in again[:9]] == [300_000] * 8 + [1]
        assert again[149].body == {"text": "149"}
        assert [owning.document(f"d{number}").central_name for number in (0, 99, 100, 149)] == [
            "C-0",
            "C-99",
            "C-100",
            "C-149",
        ]


# ---------------------------------------------------------------- what a long outbox costs

LONG, EACH = 4000, 600
"""Rows that wait behind one held document, and others in each state."""

TABLE = "tabOffline Request"

LOOKS = {
    "unplaced": lambda store: store.unplaced(100),
    "count of unplaced": lambda store: store.count_unplaced(100),
    "due": lambda store: store.due(store.now(), limit=10, horizon=HORIZON),
    "due of a doctype": lambda store: store.due(
        store.now(), limit=10, horizon=HORIZON, doctypes=[make_request("any").resource_type]
    ),
    "claim": lambda store: store.claim(store.due(store.now(), limit=10, horizon=HORIZON), 7),
    "doubts": lambda store: store.doubts(store.now(), limit=10, horizon=HORIZON),
    "in flight": lambda store: store.in_flight(not_token=7, limit=10),
    "next due": lambda store: store.next_due_at(),
    "open in line": lambda store: store.open_in_line("long", limit=1),
    "open in line of some operations": lambda store: store.open_in_line(
        "long", before=LONG // 2, operations=(Operation.CREATE, Operation.SUBMIT)
    ),
    "open in group": lambda store: store.open_in_group("stock", before=LONG // 2),
    "waiters": lambda store: store.waiters("held", limit=10),
    "linkers": lambda store: store.linkers("l2", limit=10),
    "list": lambda store: store.list_requests(statuses={Status.NEEDS_ATTENTION, Status.CONFLICT}),
    "oldest open": lambda store: store.oldest_open(),
    "purge": lambda store: store.purge(closed_before=store.now(), limit=10),
}


@pytest.fixture
def long_outbox(owning, site):
    """The store, with rows written by bulk past it; the database knows how much there is."""
    from erp_offline_sync.adapters.frappe_store import _request_row, _Wall

    site.db.rollback()
    wall, rows = _Wall(), []
    for number in range(LONG):
        request = make_request(f"r{number}", line="long", order_group="stock")
        waiting = replace(request, status=Status.WAITING, waits_for="held", waits_why="an earlier change")
        rows.append(replace(waiting, operation=Operation.UPDATE, seq=number))
    for status in Status:
        for number in range(EACH):
            seq = LONG + len(rows)
            request = make_request(f"{status.name}-{number}", line=f"l{number}", created_at=NOON)
            closed = NOON if status.name in ("SYNCED", "MERGED", "DECIDED", "DISCARDED") else None
            due = NOON + timedelta(seconds=number)
            readiness = (Readiness.NEW, Readiness.RECHECK, Readiness.READY)[number % 3]
            rows.append(
                replace(
                    request, status=status, readiness=readiness, seq=seq, next_retry_at=due, closed_at=closed
                )
            )
    for start in range(0, len(rows), 200):
        some = [_request_row(request, wall) for request in rows[start : start + 200]]
        columns = list(some[0])
        marks = ", ".join([f"({', '.join(['%s'] * len(columns))})"] * len(some))
        quoted = ", ".join(f"`{column}`" for column in columns)
        site.db.sql(
            f"INSERT INTO `tabOffline Request` ({quoted}) VALUES {marks}",
            tuple(row[column] for row in some for column in columns),
        )
    site.db.commit()
    site.db.sql_ddl("ANALYZE" if site.db.db_type == "sqlite" else "ANALYZE TABLE `tabOffline Request`")
    return owning


NOON = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)


def test_a_look_into_a_long_outbox_walks_an_index_and_sorts_no_table(long_outbox, site, monkeypatch):
    """Each statement is put to the database's own planner, as those of the standalone store are."""
    asked = []
    run = site.db.sql

    def noted(query, values=(), *args, **more):
        asked.append((str(query), values))
        return run(query, values, *args, **more)

    with long_outbox.transaction():
        for name, look in LOOKS.items():
            asked.clear()
            monkeypatch.setattr(site.db, "sql", noted)
            look(long_outbox)
            monkeypatch.undo()
            plans = [
                (query, values) for query, values in asked if query.startswith("SELECT") and TABLE in query
            ]
            assert plans, name
            for query, values in plans:
                _is_cheap(site, query, values)


def _is_cheap(site, query, values):
    if site.db.db_type == "sqlite":
        steps = site.db.sql(f"EXPLAIN QUERY PLAN {query}", values, as_dict=True)
        tables = [step for step in steps if TABLE in step.detail]
        assert all(step.detail.startswith("SEARCH") for step in tables), (query, steps)
        # The first of several index ranges are put in order together; a table is not.
        sorted_here = {step.parent for step in steps if "TEMP B-TREE" in step.detail}
        assert not [step for step in tables if step.parent in sorted_here], (query, steps)
        return
    for step in site.db.sql(f"EXPLAIN {query}", values, as_dict=True):
        if not str(step.table or "").startswith(TABLE):
            continue
        assert step.type not in ("ALL", "index"), (query, step)
        assert step.key, (query, step)
        assert "filesort" not in (step.Extra or ""), (query, step)
