"""What the embedded store promises beyond the port: plans, several connections, a killed process, migrations."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from erp_offline_sync.adapters import sqlite_store
from erp_offline_sync.adapters.rows import REQUEST_COLUMNS, iso, request_to_row
from erp_offline_sync.adapters.sqlite_store import MIGRATIONS, SqliteStore
from erp_offline_sync.engine.errors import OfflineSyncError
from erp_offline_sync.engine.model import Readiness, Status
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.store_contract import CASES, WHEN, make_request

HORIZON = timedelta(hours=1)
SMALL = {"request_counters"}
"""Tables with a row a status: reading them whole is cheap."""
MAY_BE_WALKED = {
    "eos_req_new",
    "eos_req_recheck",
    "eos_req_ready",
    "eos_req_flight",
    "eos_req_oldest",
    "eos_req_number",
    "eos_con_queue",
    "eos_con_created",
}
"""Indexes that hold no more than what is asked for, in the order in which it is asked for."""


def test_no_statement_scans_or_sorts_a_table(tmp_path: Path) -> None:
    """Every statement that the contract makes the store run is put to the query planner."""
    statements: set[str] = set()
    for number, case in enumerate(CASES):
        if "megabyte" in case.__name__:
            continue
        clock = FrozenClock()
        with SqliteStore(tmp_path / f"{number}.sqlite", now=clock.now) as store:
            store._connection.set_trace_callback(statements.add)
            case(store, clock)
    checked = 0
    with SqliteStore(tmp_path / "plans.sqlite") as store:
        for statement in sorted(statements):
            if not statement.startswith(("SELECT", "UPDATE", "DELETE")):
                continue
            checked += 1
            for row in store._connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                detail = row["detail"]
                assert "TEMP B-TREE" not in detail, statement
                if detail.startswith("SCAN"):
                    assert set(detail.split()) & (SMALL | MAY_BE_WALKED), (statement, detail)
    assert checked > 100


def test_two_connections_never_claim_the_same_request(tmp_path: Path) -> None:
    """Each reads what is due first and claims later, so that both want the same rows."""
    path = tmp_path / "outbox.sqlite"
    with SqliteStore(path) as store, store.transaction():
        for number in range(120):
            store.replace(replace(store.add(make_request(f"r{number}")), readiness=Readiness.READY))
    claimed: dict[int, list[str]] = {}

    def claim_all(token: int) -> None:
        claimed[token] = []
        with SqliteStore(path) as own:
            while True:
                with own.transaction():
                    due = own.due(own.now(), limit=7, horizon=HORIZON)
                if not due:
                    return
                with own.transaction():
                    claimed[token] += [request.id for request in own.claim(due, token)]

    _in_threads(*(lambda token=token: claim_all(token) for token in (1, 2, 3)))
    everything = [request_id for ids in claimed.values() for request_id in ids]
    assert len(everything) == len(set(everything)) == 120
    with SqliteStore(path) as store, store.transaction():
        assert store.counters()[Status.IN_FLIGHT] == 120
        for token, ids in claimed.items():
            assert all(store.get(request_id).lease_token == token for request_id in ids)  # type: ignore[union-attr]


def test_connections_that_open_a_new_file_and_save_at_once_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"

    def save(prefix: str) -> None:
        with SqliteStore(path) as own:
            for number in range(15):
                with own.transaction():
                    own.add(make_request(f"{prefix}{number}"))

    _in_threads(*(lambda prefix=prefix: save(prefix) for prefix in "abc"))
    with SqliteStore(path) as store, store.transaction():
        assert len({request.seq for request in store.list_requests()}) == 45
        assert store.counters()[Status.PENDING] == 45


def test_opening_waits_for_a_process_that_is_just_making_the_file(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    maker.execute("BEGIN EXCLUSIVE")
    maker.execute("CREATE TABLE other (a TEXT)")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        SqliteStore(path, busy_timeout=0.05)
    release = threading.Timer(0.1, maker.rollback)
    release.start()
    with SqliteStore(path) as store, store.transaction():
        store.add(make_request("a"))
    release.join()
    maker.close()


KILLED = """
import os, signal, sys
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.engine.model import Status
from erp_offline_sync.engine.transitions import move
from erp_offline_sync.testing.store_contract import WHEN, make_request
store = SqliteStore(sys.argv[1])
with store.transaction():
    store.add(make_request("committed"))
with store.transaction():
    store.add(make_request("lost"))
    store.replace(move(store.get("committed"), Status.DISCARDED, closed_at=WHEN))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_its_last_commit(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with SqliteStore(path) as store, store.transaction():
        assert [request.id for request in store.list_requests(statuses=[Status.PENDING])] == ["committed"]
        assert store.counters()[Status.PENDING] == 1
        assert store.counters()[Status.DISCARDED] == 0


def test_a_file_is_opened_again_as_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with SqliteStore(path) as store, store.transaction():
        added = store.add(make_request("a"))
    with SqliteStore(path) as store, store.transaction():
        assert store.get("a") == added


def test_the_file_is_readable_by_its_owner_only_and_in_wal_mode(tmp_path: Path) -> None:
    """It holds documents of a business."""
    path = tmp_path / "outbox.sqlite"
    with SqliteStore(path) as store:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store._connection.execute("PRAGMA busy_timeout").fetchone()[0] == 30_000
        assert store._connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)


def test_a_store_in_memory_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SqliteStore(":memory:") as store, store.transaction():
        store.add(make_request("a"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(OfflineSyncError, match="upgrade"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_schema_is_brought_up_to_date_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was queued under an earlier schema is there under a later one; the first one lacked a column."""
    path = tmp_path / "outbox.sqlite"
    columns = tuple(column for column in REQUEST_COLUMNS if column != "number")
    monkeypatch.setattr(sqlite_store, "MIGRATIONS", MIGRATIONS[:1])
    with SqliteStore(path) as store, store.transaction():
        row = {**request_to_row(make_request("a")), "seq": 1, "is_open": 1, "created_at": iso(WHEN)}
        named = [*columns, "is_open", "created_at"]
        marks = ", ".join("?" for _ in named)
        statement = f"INSERT INTO offline_requests ({', '.join(named)}) VALUES ({marks})"
        store._connection.execute(statement, [row[column] for column in named])
    added = make_request("a", seq=1)
    later = (*MIGRATIONS, ("ALTER TABLE offline_requests ADD COLUMN colour TEXT",))
    monkeypatch.setattr(sqlite_store, "MIGRATIONS", later)
    with SqliteStore(path) as store, store.transaction():
        assert store.get("a") == added
        assert store._connection.execute("PRAGMA user_version").fetchone()[0] == len(later)


def test_a_failed_migration_leaves_the_schema_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "outbox.sqlite"
    SqliteStore(path).close()
    broken = (*MIGRATIONS, ("CREATE TABLE half (a TEXT)", "NO SUCH STATEMENT"))
    monkeypatch.setattr(sqlite_store, "MIGRATIONS", broken)
    with pytest.raises(sqlite3.OperationalError):
        SqliteStore(path)
    monkeypatch.undo()
    with SqliteStore(path) as store, store.transaction():
        store.add(make_request("a"))
        tables = store._connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall()
        assert tables == []


def test_a_folder_that_is_not_there_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        SqliteStore(tmp_path / "nowhere" / "outbox.sqlite")


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, and no outbox.\n" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        SqliteStore(path)


def test_a_transaction_waits_only_so_long_for_another_one(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with SqliteStore(path) as first, SqliteStore(path, busy_timeout=0.05) as second:
        with (
            first.transaction(),
            pytest.raises(sqlite3.OperationalError, match="locked"),
            second.transaction(),
        ):
            pass
        with second.transaction():
            second.add(make_request("a"))


def _in_threads(*targets: Callable[[], None]) -> None:
    """Run them at once; an exception in one of them is raised here."""
    errors: list[BaseException] = []

    def caught(target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=caught, args=[target]) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if errors:
        raise errors[0]
