"""What claiming, acknowledging and counting cost beside few rows and beside many.

    python -m tests.benchmark.claim [--rows 1000 1000000] [--rounds 9] [--dir DIR] [--json]

Two outboxes a size: one with everything ready, one with 99 % of the rows waiting behind one held request
(never fewer than 200 ready ones, so that each round has as much to claim). Prints medians in milliseconds and
the ratio of each size to the first. The sizes take turns, so that the machine's other work meets them alike.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from erp_offline_sync.adapters.rows import request_to_row
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.engine.model import Readiness, Request, Status
from erp_offline_sync.engine.transitions import move
from erp_offline_sync.testing.store_contract import WHEN, make_request

BATCH = 200
HORIZON = timedelta(seconds=330)
BODY = {
    "customer": "Walk-in",
    "items": [{"item_code": f"ITEM-{n}", "qty": 1, "rate": 9.5} for n in range(4)],
    "remarks": "x" * 200,
}
TOKEN = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One outbox to measure."""

    scenario: str
    rows: int
    store: SqliteStore


def build(path: Path, scenario: str, rows: int) -> Box:
    """An outbox of that size, written past the store: by bulk, with the indexes made at the end."""
    SqliteStore(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'offline_requests' AND sql NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    first = _columns(make_request("template", body=BODY))
    marks = ", ".join(f":{column}" for column in first)
    connection.executemany(
        f"INSERT INTO offline_requests ({', '.join(first)}) VALUES ({marks})", _rows(scenario, rows)
    )
    for _, statement in indexes:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO request_counters SELECT status, COUNT(*) FROM offline_requests GROUP BY status"
    )
    connection.execute("COMMIT")
    connection.close()
    return Box(scenario=scenario, rows=rows, store=SqliteStore(path))


def measure(box: Box) -> dict[str, float]:
    """Seconds that each step took, once; the box stands afterwards as before."""
    store, taken = box.store, {}
    with _timed(taken, "claim 200"), store.transaction():
        claimed = store.claim(store.due(store.now(), limit=BATCH, horizon=HORIZON), TOKEN)
    if len(claimed) != BATCH:
        raise SystemExit(f"{box.scenario}, {box.rows} rows: only {len(claimed)} could be claimed")
    ended = [move(request, Status.SYNCED, closed_at=WHEN) for request in claimed]
    with _timed(taken, "acknowledge 200, a commit each"):
        for request in ended:
            with store.transaction():
                store.replace(request, token=TOKEN)
    with _timed(taken, "counters"), store.transaction():
        counters = store.counters()
    if sum(counters.values()) != box.rows:
        raise SystemExit(f"{box.scenario}, {box.rows} rows: the counters say {sum(counters.values())}")
    with _timed(taken, "oldest open and next due"), store.transaction():
        store.oldest_open()
        store.next_due_at()
    with store.transaction():
        for request in claimed:
            store.replace(
                replace(request, status=Status.PENDING, readiness=Readiness.READY, lease_token=None)
            )
    return taken


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        boxes = []
        for scenario in ("all ready", "99 % waiting"):
            for rows in arguments.rows:
                boxes.append(build(Path(folder, f"{len(boxes)}.sqlite"), scenario, rows))
        for box in boxes:
            measure(box)
        samples: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for _ in range(arguments.rounds):
            for box in boxes:
                for step, seconds in measure(box).items():
                    samples[box.scenario, step][box.rows].append(seconds * 1000)
        for box in boxes:
            box.store.close()
    results = [
        {
            "outbox": scenario,
            "step": step,
            "median_ms": {str(rows): round(statistics.median(taken[rows]), 3) for rows in arguments.rows},
            "ratio": {
                str(rows): round(
                    statistics.median(taken[rows]) / statistics.median(taken[arguments.rows[0]]), 2
                )
                for rows in arguments.rows
            },
        }
        for (scenario, step), taken in samples.items()
    ]
    if arguments.json:
        print(json.dumps({"rounds": arguments.rounds, "results": results}, indent=2))
    else:
        _print_table(arguments.rows, results)


def _rows(scenario: str, rows: int) -> Iterator[dict[str, Any]]:
    """Columns of `rows` requests, made from one template: encoding each anew would take minutes."""
    ready = rows if scenario == "all ready" else max(BATCH, rows // 100)
    ready_row = _columns(make_request("template", body=BODY, readiness=Readiness.READY))
    held_row = {**ready_row, "status": Status.NEEDS_ATTENTION.value, "line": "held"}
    waiting_row = {
        **ready_row,
        "status": Status.WAITING.value,
        "line": "held",
        "waits_for": _name(1),
        "waits_why": "an earlier change of the same document",
    }
    for number in range(1, rows + 1):
        if scenario != "all ready" and number <= rows - ready:
            row = held_row if number == 1 else waiting_row
        else:
            row = {**ready_row, "line": f"line-{number}"}
        yield {
            **row,
            "name": _name(number),
            "idempotency_key": _name(number),
            "seq": number,
            "resource_id": f"SI-{number}",
        }


def _name(number: int) -> str:
    """As long and as ordered as the keys of a real outbox."""
    return f"0194f000-0000-7000-8000-{number:012x}"


def _columns(request: Request) -> dict[str, Any]:
    row = request_to_row(request)
    times = json.loads(row["times"])
    return {**row, "is_open": 1, "created_at": times["created_at"], "closed_at": None}


class _timed:
    """Seconds that the block took, written under a name."""

    def __init__(self, taken: dict[str, float], step: str) -> None:
        self._taken, self._step = taken, step

    def __enter__(self) -> None:
        self._begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._taken[self._step] = time.perf_counter() - self._begin


def _print_table(sizes: list[int], results: list[dict[str, Any]]) -> None:
    heads = [f"{rows:,}" for rows in sizes] + [f"× {rows:,}" for rows in sizes[1:]]
    print(f"{'outbox':<14}{'step (median, ms)':<34}" + "".join(f"{head:>14}" for head in heads))
    for result in results:
        cells = [f"{result['median_ms'][str(rows)]:.2f}" for rows in sizes]
        cells += [f"{result['ratio'][str(rows)]:.2f}" for rows in sizes[1:]]
        print(f"{result['outbox']:<14}{result['step']:<34}" + "".join(f"{cell:>14}" for cell in cells))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark.claim", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1_000, 1_000_000], help="sizes, smallest first"
    )
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each step (default 9)")
    parser.add_argument("--dir", type=Path, help="where the files are built (default: the temporary folder)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
