"""What a three-way merge costs: a document of 24 KB, and child tables of several sizes.

Both sides changed fields and rows, in different places and in one that clashes. Each site has its own owner and
times on document and rows, as real ones do. Milliseconds of this process's processor time, which the machine's other
work touches least; one document with every row changed on both sides shows the dear case.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from erp_offline_sync.engine.merge import merge
from erp_offline_sync.engine.model import FieldKind, Schema

from .figure import Figure, Plan, Run, at_most
from .measuring import compared, interleaved

__all__ = ["PLANS", "measure"]

DOCUMENT = Plan(
    id="merge.document", title="three-way merge of a document of 24 kB", unit="ms", goal=at_most(0.5)
)
ROWS = Plan(id="merge.rows", title="three-way merge, 1,000 child rows", unit="ms", goal=at_most(10.0))
GROWTH = Plan(id="merge.growth", title="three-way merge, 1,000 rows against 250", unit="×", goal=at_most(5.0))
PLANS = (DOCUMENT, ROWS, GROWTH)
FEW, MANY = 250, 1000
ROUNDS, ROUNDS_QUICK = 101, 11
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


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    rows = 1
    while len(json.dumps(document(rows))) < DOCUMENT_BYTES:
        rows += 1
    cases = {
        "document": case(document(rows)),
        "few": case(document(FEW)),
        "many": case(document(MANY)),
        "all": case(document(MANY), every_row=True),
    }
    for name, given in cases.items():
        result = merge(*given, SCHEMA)
        if not result.clashes or not (result.rows_here and result.rows_there):
            raise RuntimeError(f"{name}: the sides did not change what they should")

    def arm(given: Case) -> Callable[[], float]:
        def once() -> float:
            began = time.process_time()
            merge(*given, SCHEMA)
            return (time.process_time() - began) * 1000

        return once

    rounds = ROUNDS_QUICK if run.quick else ROUNDS
    run.say(f"merging, {rounds} rounds")
    arms = {name: arm(given) for name, given in cases.items()}
    # By itself: nothing is compared with it, and a merge of a thousand rows leaves nothing of it in the processor's cache.
    taken = interleaved({"document": arms.pop("document")}, rounds, warm_up=2)
    taken |= interleaved(arms, rounds, warm_up=2)
    found = {
        DOCUMENT: DOCUMENT.measured(taken["document"], rows=rows),
        ROWS: ROWS.measured(taken["many"], ms_every_row_changed=taken["all"].median),
        GROWTH: GROWTH.measured(
            compared(taken["many"], taken["few"], goal=5.0),
            ms_250=taken["few"].median,
            ms_1000=taken["many"].median,
        ),
    }
    yield from (found[plan] for plan in plans)


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
