"""The demo's ledger adds up, and whoever counts its files again comes to the same numbers."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest
from till import ROOT, runner

from erp_offline_sync.adapters import rest_central
from erp_offline_sync.cli import main
from erp_offline_sync.demo import LEDGER
from erp_offline_sync.testing import stand_in

COLUMNS = {
    "applied": ("Synced",),
    "merged": ("Merged",),
    "decided": ("Decided",),
    "discarded": ("Discarded",),
    "held": ("Conflict", "Needs Attention"),
    "waiting": ("Pending", "Waiting", "In Flight", "Retry Scheduled", "In Doubt"),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "files"


@pytest.fixture(scope="module")
def ledger(kept: Path) -> dict[str, int]:
    """Of a process of its own, without any setting."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CENTRAL_")}
    done = subprocess.run(
        [sys.executable, "-m", "erp_offline_sync", "demo", "--json", "--keep", str(kept)],
        cwd=kept.parent,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    told: dict[str, int] = json.loads(line)
    return told


def rows(kept: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(kept / "outbox.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def documents(kept: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (kept / "central.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_ledger_adds_up(ledger: dict[str, int]) -> None:
    assert tuple(ledger) == LEDGER
    assert ledger["captured"] == sum(ledger[column] for column in COLUMNS)
    assert ledger["captured"] >= 100
    assert ledger["waiting"] == 0
    assert all(ledger[column] >= 1 for column in COLUMNS if column != "waiting")
    assert ledger["conflicts"] >= 5
    assert (ledger["duplicates_at_central"], ledger["attempts_while_offline"]) == (0, 0)


def test_the_outbox_counts_to_the_same(ledger: dict[str, int], kept: Path) -> None:
    states = dict(rows(kept, "SELECT status, COUNT(*) FROM offline_requests GROUP BY status"))
    assert sum(states.values()) == ledger["captured"]
    for column, names in COLUMNS.items():
        assert sum(states.get(name, 0) for name in names) == ledger[column], column
    assert rows(kept, "SELECT COUNT(*) FROM sync_conflicts") == [(ledger["conflicts"],)]
    assert sorted(path.name for path in kept.iterdir()) == ["central.jsonl", "outbox.sqlite"]


def test_every_sale_that_was_applied_is_at_the_central_once(ledger: dict[str, int], kept: Path) -> None:
    """The central holds receipts that are not unique there: twice sent would be twice held."""
    sales = [document for document in documents(kept) if document["doctype"] == "Sales Invoice"]
    held = Counter(document["receipt_no"] for document in sales)
    assert max(held.values()) == 1
    queued = rows(
        kept,
        "SELECT json_extract(body, '$.receipt_no'), status FROM offline_requests"
        " WHERE operation = 'create' AND resource_type = 'Sales Invoice'",
    )
    assert set(held) == {receipt for receipt, status in queued if status == "Synced"}
    submitted = {document["receipt_no"] for document in sales if document["docstatus"] == 1}
    assert len(submitted) > 60
    for document in sales:
        assert document["total"] == pytest.approx(sum(row["amount"] for row in document["items"]))


def test_each_way_of_deciding_is_there(ledger: dict[str, int], kept: Path) -> None:
    decided = dict(rows(kept, "SELECT resolved_by || '/' || resolution, 1 FROM sync_conflicts"))
    assert set(decided) >= {
        "rule:Last Write Wins/local_wins",
        "rule:Last Write Wins/server_wins",
        "rule:Server Wins/server_wins",
        "hook:_head_office_sets_credit_limits/server_wins",
        "ann/skip",
    }


def test_the_story_can_be_told_again_in_the_same_place_and_needs_no_list_of_time_zones(
    kept: Path, ledger: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh machine may know no zone but UTC; which write was later is told all the same."""

    def none(key: str) -> None:
        raise ZoneInfoNotFoundError(key)

    monkeypatch.setattr(stand_in, "ZoneInfo", none)
    monkeypatch.setattr(rest_central, "ZoneInfo", none)
    result = runner().invoke(main, ["demo", "--keep", str(kept), "--seed", "7"])
    assert result.exit_code == 0
    for words in (
        "Monday",
        "Friday",
        "The ledger",
        "captured",
        "waits for a person",
        "duplicates at central",
    ):
        assert words in result.stdout
    assert "Ada Marsh (update_update): local_wins" in result.stdout


def test_an_outbox_that_is_no_demo_is_never_written_over(tmp_path: Path) -> None:
    real = tmp_path / "outbox.sqlite"
    env = {"OFFLINE_SYNC_DB": str(real)}
    assert runner().invoke(main, ["enqueue", "POST", "/api/resource/ToDo"], env=env).exit_code == 0
    result = runner().invoke(main, ["demo", "--keep", str(tmp_path)])
    assert result.exit_code == 1
    assert "another directory" in result.stderr
    assert runner().invoke(main, ["show", "1"], env=env).exit_code == 0
