"""What a three-way merge costs: a document of 24 KB, and child tables of several sizes.

    python -m tests.benchmark.merge [--rows 250 500 1000] [--rounds 101] [--json]

Both sides changed fields and rows, in different places and in one that clashes. Each site has its own owner and
times on document and rows, as real ones do. Prints medians in milliseconds of this process's processor time, which
the machine's other work touches least, and of the clock on the wall; for the tables, the ratio to the first size.
One document with every row changed on both sides shows the dear case.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

from erp_offline_sync.engine.merge import merge
from erp_offline_sync.engine.model import FieldKind, Schema

DOCUMENT_BYTES = 24 * 1024
KINDS = (FieldKind.TEXT, FieldKind.TEXT, FieldKind.NUMBER, FieldKind.NUMBER, FieldKind.DATE, FieldKind.NUMBER)
FIELDS = {f"field_{number}": KINDS[number % len(KINDS)] for number in range(90)}
COLUMNS = {f"column_{number}": KINDS[number % len(KINDS)] for number in range(16)}
SCHEMA = Schema(fields={**FIELDS, "remarks": FieldKind.TEXT}, tables={"items": Schema(fields=COLUMNS)})

Document = dict[str, Any]
Case = tuple[Document, Document, Document]


def document(rows: int) -> Document:
    """As a site answers it: with the framework's fields on it and on each row."""
    return {
        **_framework("SINV-0001", 0),
        **{name: _value(kind, name) for name, kind in FIELDS.items()},
        "remarks": "\n".join(f"line {number} of what was agreed" for number in range(60)),
        "items": [
            {
                **_framework(f"row-{number:05}", number + 1),
                "parent": "SINV-0001",
                "parentfield": "items",
                **{name: _value(kind, f"{name}-{number}") for name, kind in COLUMNS.items()},
            }
            for number in range(rows)
        ],
    }


def case(base: Document, *, every_row: bool = False) -> Case:
    """The base and two sides that worked on it at the same time."""
    # Each read from JSON of its own, so that no two sides share a value.
    local, server = json.loads(json.dumps(base)), json.loads(json.dumps(base))
    for side, offset, owner in ((local, 0, "branch"), (server, 1, "central")):
        for row in (side, *side["items"]):
            row.update(owner=owner, modified_by=owner, modified=f"2026-01-05 1{offset}:00:00.000000")
        for number in range(offset, 12, 2):
            side[f"field_{number}"] = _value(FIELDS[f"field_{number}"], f"new by {owner}", 7.5 + offset)
        side["field_80"] = f"{owner} says so"
        lines = side["remarks"].split("\n")
        lines[10 + 30 * offset] = f"changed by {owner}"
        side["remarks"] = "\n".join(lines)
        rows = side["items"]
        for row in rows[offset :: 1 if every_row else 20]:
            row[f"column_{6 + offset}"] = f"changed by {owner}"
        rows.append({**rows[-1], "name": f"new-{owner}", "column_0": f"added by {owner}"})
        del rows[len(rows) // 2 + offset]
    return base, local, server


def main() -> None:
    arguments = _arguments()
    rows = 1
    while len(json.dumps(document(rows))) < DOCUMENT_BYTES:
        rows += 1
    whole = document(rows)
    cases: dict[str, Case] = {
        f"document of {len(json.dumps(whole)) / 1024:.0f} KB, {rows} rows": case(whole),
        **{f"{size} rows": case(document(size)) for size in arguments.rows},
        f"{arguments.rows[-1]} rows, all changed by both": case(document(arguments.rows[-1]), every_row=True),
    }
    samples: dict[str, tuple[list[float], list[float]]] = {}
    clashes: dict[str, int] = {}
    for name, given in cases.items():
        result = merge(*given, SCHEMA)
        if not result.clashes or not (result.rows_here and result.rows_there):
            raise SystemExit(f"{name}: the sides did not change what they should")
        clashes[name] = len(result.clashes)
        samples[name] = measure(given, arguments.rounds)
    sizes = {f"{size} rows" for size in arguments.rows}
    medians = {name: [statistics.median(each) for each in taken] for name, taken in samples.items()}
    first = medians[f"{arguments.rows[0]} rows"][0]
    results = [
        {
            "case": name,
            "median_ms": round(processor, 3),
            "wall_ms": round(wall, 3),
            "ratio": round(processor / first, 2) if name in sizes else None,
            "clashes": clashes[name],
        }
        for name, (processor, wall) in medians.items()
    ]
    if arguments.json:
        print(json.dumps({"rounds": arguments.rounds, "results": results}, indent=2))
        return
    print(f"{'merge (medians)':<36}{'processor':>13}{'wall':>13}{'ratio':>9}")
    for each in results:
        ratio = f"× {each['ratio']:.2f}" if each["ratio"] is not None else ""
        print(f"{each['case']:<36}{each['median_ms']:>10.3f} ms{each['wall_ms']:>10.3f} ms{ratio:>9}")


def measure(given: Case, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of processor time and on the wall, by round; the first two rounds do not count."""
    processor, wall = [], []
    for _ in range(rounds + 2):
        begin = time.process_time(), time.perf_counter()
        merge(*given, SCHEMA)
        processor.append((time.process_time() - begin[0]) * 1000)
        wall.append((time.perf_counter() - begin[1]) * 1000)
    return processor[2:], wall[2:]


def _framework(name: str, idx: int) -> Document:
    return {
        "name": name,
        "owner": "somebody",
        "creation": "2026-01-01 10:00:00.000000",
        "modified": "2026-01-01 10:00:00.000000",
        "modified_by": "somebody",
        "docstatus": 0,
        "idx": idx,
    }


def _value(kind: FieldKind, text: str, number: float = 12.5) -> Any:
    if kind is FieldKind.NUMBER:
        return number
    return "2026-01-05" if kind is FieldKind.DATE else text


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark.merge", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[250, 500, 1000], help="sizes of the table, smallest first"
    )
    parser.add_argument("--rounds", type=int, default=101, help="measurements of each case (default 101)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    main()
