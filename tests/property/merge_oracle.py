"""Concurrent edits of one document, merged and compared: `python -m tests.property.merge_oracle [--edits 1000] [--json]`.

An edit is two scripts of steps, one for each side, played on one base. What has to come out is worked out from the
scripts by the rules of hooks-docs/semantics.md alone, with nothing of the engine: only `merged` calls it, at the end.
Every other edit lets both sides work on different fields; in the rest they meet in at least one.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Edit", "Expected", "expect", "faults", "main", "make_edit", "play"]

Document = dict[str, Any]
Row = dict[str, Any]

# The doctype: what a value means, and how it may be spelled.

TEXTS = ("customer", "territory", "status")
NUMBERS = ("total", "rate", "discount")
CHECKS = ("paid", "on_hold")
DATES = ("due", "delivery")
TIMES = ("opens", "closes")
DATA = ("settings",)
NOTES = ("note", "terms")
TABLES = ("items", "taxes")
SCALARS = (*TEXTS, *NUMBERS, *CHECKS, *DATES, *TIMES, *DATA)
COLUMNS = ("item", "qty", "text")
LINES = 14

SPELLINGS: dict[str, list[list[Any]]] = {
    "item": [[None, ""], ["ITEM-1"], ["ITEM-2"], ["ITEM-3"]],
    "qty": [[0, None], [1, 1.0, "1"], [2], [0.1 + 0.2, 0.3], [12]],
    "text": [["", None], ["blue"], ["red"]],
}
for _names, _spellings in (
    (TEXTS, [[None, ""], ["Rome"], ["Oslo"], ["Bonn"], ["rome"]]),
    (NUMBERS, [[None, 0, 0.0, "0"], [1, 1.0, "1.00"], [0.3, 0.1 + 0.2], [1e6, 1000000.0000001], [-7]]),
    (CHECKS, [[0, False, None], [1, True]]),
    (DATES, [[None, ""], ["2026-01-05"], ["2026-01-06"], ["2026-02-28"]]),
    (TIMES, [[None], ["9:05:00", "09:05:00", "09:05:00.000000"], ["10:00", "10:00:00"], ["23:59:59"]]),
    (DATA, [[None, ""], ['{"a": 1, "b": 2}', '{"b":2,"a":1}', {"a": 1, "b": 2}], [{"a": 2}]]),
):
    SPELLINGS |= dict.fromkeys(_names, _spellings)
"""By field: meanings, each with its spellings. No two meanings of one field are the same value."""


def meaning(name: str, value: Any) -> Any:
    """Which of the meanings it is; a long text is its lines."""
    if name in NOTES:
        return (value or "").split("\n")
    for number, spellings in enumerate(SPELLINGS[name]):
        if any(type(value) is type(each) and value == each for each in spellings):
            return number
    return value


# Steps of a script


class Set(NamedTuple):
    field: str
    value: Any


class Rewrite(NamedTuple):
    """The lines of the base from `start` up to `end` become these; with none of them, something is put in between."""

    field: str
    start: int
    end: int
    lines: tuple[str, ...]


class Cell(NamedTuple):
    field: str
    row: str
    column: str
    value: Any


class Remove(NamedTuple):
    field: str
    row: str


class Add(NamedTuple):
    field: str
    behind: str
    name: str | None
    values: tuple[tuple[str, Any], ...]


class Move(NamedTuple):
    field: str
    row: str
    behind: str | None
    """None: to the top."""


class Delete(NamedTuple):
    field: str = "*"


Step = Set | Rewrite | Cell | Remove | Add | Move | Delete
Script = list[Step]


@dataclass(frozen=True)
class Edit:
    """What both sides did at the same time."""

    number: int
    base: Document
    local: Script
    server: Script


@dataclass
class Expected:
    """What has to come out: where nothing clashes, by field, meanings; tables as `Table`."""

    deleted: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    clashes: set[str] = field(default_factory=set)


@dataclass
class Table:
    """Rows that the base has, in their order, and added ones, each with the row of the base that it stands behind."""

    old: list[tuple[str, tuple[Any, ...]]]
    added: list[tuple[str | None, tuple[Any, ...]]]


# Making edits


def make_edit(number: int, seed: int = 0) -> Edit:
    dice = random.Random(f"{seed}:{number}")
    base = _base(dice)
    everything = [*SCALARS, *NOTES, *NOTES, *TABLES, *TABLES, *TABLES]
    dice.shuffle(everything)
    local: Script = []
    server: Script = []
    if number % 2 == 0:
        targets = list(dict.fromkeys(everything))
        half = len(targets) // 2
        for script, own in ((local, targets[:half]), (server, targets[half:])):
            for target in dice.sample(own, dice.randint(1, 4)):
                _do(dice, base, script, target)
        return Edit(number, base, local, server)
    if dice.random() < 0.06:
        dice.choice((local, server)).append(Delete())
    for target in list(dict.fromkeys(everything))[: dice.randint(1, 3)]:
        _meet(dice, base, local, server, target)
    for script in (local, server):
        if dice.random() < 0.5:
            _do(dice, base, script, dice.choice(everything))
    return Edit(number, base, local, server)


def _base(dice: random.Random) -> Document:
    document: Document = {name: _any_value(dice, name) for name in SCALARS}
    for name in NOTES:
        document[name] = "\n".join(f"{name} line {line}" for line in range(LINES))
    for table in TABLES:
        document[table] = [
            {"name": f"{table}-{row}", **{column: _any_value(dice, column) for column in COLUMNS}}
            for row in range(dice.randint(3, 8))
        ]
    return document


def _any_value(dice: random.Random, name: str) -> Any:
    return dice.choice(dice.choice(SPELLINGS[name]))


def _do(dice: random.Random, base: Document, script: Script, target: str) -> None:
    """One or two steps on that field, as far as they fit what the side does already."""
    for _ in range(dice.randint(1, 2)):
        step = _step(dice, base, target)
        if _fits(script, step):
            script.append(step)


def _meet(dice: random.Random, base: Document, local: Script, server: Script, target: str) -> None:
    """Both sides do something to that field: alike, at the same place, or each anywhere in it."""
    first = _step(dice, base, target)
    how = dice.choice(("alike", "same place", "same place", "anywhere"))
    if how == "alike":
        second = _spelled_anew(dice, first)
    elif how == "same place":
        second = _against(dice, base, first)
    else:
        second = _step(dice, base, target)
    if _fits(local, first) and _fits(server, second):
        local.append(first)
        server.append(second)


def _step(dice: random.Random, base: Document, target: str) -> Step:
    if target in SCALARS:
        return Set(target, _any_value(dice, target))
    if target in NOTES:
        start = dice.randrange(LINES)
        return _rewriting(dice, target, start, start + dice.choice((0, 1, 1, 2)))
    rows = [row["name"] for row in base[target]]
    what = dice.choice((Cell, Cell, Cell, Remove, Add, Add, Move))
    if what is Cell:
        column = dice.choice(COLUMNS)
        return Cell(target, dice.choice(rows), column, _any_value(dice, column))
    if what is Remove:
        return Remove(target, dice.choice(rows))
    if what is Add:
        return _adding(dice, target, dice.choice(rows))
    row, behind = dice.sample([*rows, None], 2)
    return Move(target, row, behind) if row is not None else Move(target, rows[0], rows[-1])


def _rewriting(dice: random.Random, target: str, start: int, end: int) -> Rewrite:
    end = min(end, LINES)
    some = 1 if start == end else 0
    lines = tuple(f"new {dice.randrange(10**9)}" for _ in range(dice.randint(some, 2)))
    return Rewrite(target, start, end, lines)


def _adding(dice: random.Random, table: str, behind: str) -> Add:
    name = dice.choice((None, f"{table}-new-{dice.randrange(10**9)}"))
    values = {column: _any_value(dice, column) for column in COLUMNS}
    return Add(table, behind, name, tuple({**values, "item": f"NEW-{dice.randrange(10**9)}"}.items()))


def _spelled_anew(dice: random.Random, step: Step) -> Step:
    """The same once more; another spelling of its value, another name of its row."""
    if isinstance(step, Set):
        return step._replace(value=_respelled(dice, step.field, step.value))
    if isinstance(step, Cell):
        return step._replace(value=_respelled(dice, step.column, step.value))
    if isinstance(step, Add):
        name = dice.choice((None, f"{step.field}-new-{dice.randrange(10**9)}"))
        values = tuple((column, _respelled(dice, column, value)) for column, value in step.values)
        return step._replace(name=name, values=values)
    return step


def _respelled(dice: random.Random, name: str, value: Any) -> Any:
    number = meaning(name, value)
    return dice.choice(SPELLINGS[name][number]) if isinstance(number, int) else value


def _against(dice: random.Random, base: Document, step: Step) -> Step:
    """Another thing at the same place."""
    if isinstance(step, Set):
        return Set(step.field, _any_value(dice, step.field))
    if isinstance(step, Rewrite):
        near = min(max(0, step.start + dice.randint(-1, 1)), LINES)
        return _rewriting(dice, step.field, near, near + dice.randint(0, 1))
    if isinstance(step, Cell):
        if dice.random() < 0.3:
            return Remove(step.field, step.row)
        return Cell(step.field, step.row, step.column, _any_value(dice, step.column))
    if isinstance(step, Remove):
        column = dice.choice(COLUMNS)
        return Cell(step.field, step.row, column, _any_value(dice, column))
    if isinstance(step, Add):
        return _adding(dice, step.field, step.behind)
    rows = [row["name"] for row in base[step.field] if row["name"] != step.row]
    return Move(step.field, step.row, dice.choice([*rows, None]))


def _fits(script: Script, step: Step) -> bool:
    """Whether the two can be told apart in what comes of them: a side does one thing at a place."""
    return all(_apart(other, step) and _apart(step, other) for other in script)


def _apart(one: Step, other: Step) -> bool:
    if one.field != other.field:
        return True
    if isinstance(one, Rewrite) and isinstance(other, Rewrite):
        return one.end < other.start or other.end < one.start
    if isinstance(one, Remove):
        return getattr(other, "row", None) != one.row and getattr(other, "behind", None) != one.row
    if isinstance(one, Cell) and isinstance(other, Cell):
        return (one.row, one.column) != (other.row, other.column)
    return not (isinstance(one, (Set, Move)) and type(one) is type(other))


# Playing a script


def play(base: Document, script: Script) -> Document | None:
    """The document as the side has it afterwards; None where it is deleted."""
    document: Document = {**base, **{table: [dict(row) for row in base[table]] for table in TABLES}}
    # From the bottom up, so that the numbers of the lines above stay right.
    rewrites = [step for step in script if isinstance(step, Rewrite)]
    for step in sorted(rewrites, key=lambda each: each.start, reverse=True):
        lines = document[step.field].split("\n")
        lines[step.start : step.end] = step.lines
        document[step.field] = "\n".join(lines)
    for kind in (Set, Cell, Move, Add, Remove):
        for step in script:
            if isinstance(step, kind):
                _play(document, step)
    return None if Delete() in script else document


def _play(document: Document, step: Step) -> None:
    if isinstance(step, Set):
        document[step.field] = step.value
        return
    rows: list[Row] = document[step.field]
    if isinstance(step, Cell):
        rows[_place(rows, step.row)][step.column] = step.value
    elif isinstance(step, Remove):
        del rows[_place(rows, step.row)]
    elif isinstance(step, Move):
        row = rows.pop(_place(rows, step.row))
        rows.insert(0 if step.behind is None else _place(rows, step.behind) + 1, row)
    elif isinstance(step, Add):
        row = dict(step.values)
        if step.name is not None:
            row = {"name": step.name, **row}
        rows.insert(_place(rows, step.behind) + 1, row)


def _place(rows: list[Row], name: str) -> int:
    return next(place for place, row in enumerate(rows) if row.get("name") == name)


# What has to come out


def expect(edit: Edit) -> Expected:
    """From the scripts alone."""
    gone_here, gone_there = Delete() in edit.local, Delete() in edit.server
    if gone_here or gone_there:
        kept = edit.server if gone_here else edit.local
        if (gone_here and gone_there) or not _does_something(edit.base, kept):
            return Expected(deleted=True)
        return Expected(clashes={"*"})
    expected = Expected()
    for name in SCALARS:
        _expect_value(expected, edit, name)
    for name in NOTES:
        _expect_lines(expected, edit, name)
    for table in TABLES:
        _expect_rows(expected, edit, table)
    return expected


def _does_something(base: Document, script: Script) -> bool:
    alone = expect(Edit(0, base, script, []))
    nothing = expect(Edit(0, base, [], []))
    return alone.values != nothing.values


def _three(base: Any, local: Any, server: Any) -> tuple[bool, Any]:
    """(whether it can be decided, the meaning)."""
    if local in (base, server):
        return True, server
    return server == base, local


def _expect_value(expected: Expected, edit: Edit, name: str) -> None:
    base = meaning(name, edit.base[name])
    local, server = (
        next(
            (meaning(name, step.value) for step in script if isinstance(step, Set) and step.field == name),
            base,
        )
        for script in (edit.local, edit.server)
    )
    decided, value = _three(base, local, server)
    if decided:
        expected.values[name] = value
    else:
        expected.clashes.add(name)


def _expect_lines(expected: Expected, edit: Edit, name: str) -> None:
    local, server = (
        {step for step in script if isinstance(step, Rewrite) and step.field == name}
        for script in (edit.local, edit.server)
    )
    for one in local - server:
        for other in server - local:
            if one.start <= other.end and other.start <= one.end:
                expected.clashes.add(name)
                return
    lines = edit.base[name].split("\n")
    for step in sorted(local | server, key=lambda each: each.start, reverse=True):
        lines[step.start : step.end] = step.lines
    expected.values[name] = lines


def _expect_rows(expected: Expected, edit: Edit, table: str) -> None:
    clashes: set[str] = set()
    removed = [
        {step.row for step in script if isinstance(step, Remove) and step.field == table}
        for script in (edit.local, edit.server)
    ]
    old: dict[str, tuple[Any, ...]] = {}
    disputed: set[str] = set()
    for row in edit.base[table]:
        name = row["name"]
        cells = [_cells(script, table, row) for script in (edit.local, edit.server)]
        gone = [name in each for each in removed]
        if any(gone):
            if not all(gone) and cells[gone.index(False)] != _cells([], table, row):
                clashes.add(f"{table}[{name}]")
                disputed.add(name)
            continue
        values = []
        for column, base, local, server in zip(COLUMNS, _cells([], table, row), *cells, strict=True):
            decided, value = _three(base, local, server)
            values.append(value)
            if not decided:
                clashes.add(f"{table}[{name}].{column}")
        old[name] = tuple(values)
    lists = [
        [(row.get("name"), row) for row in (play(edit.base, _without_delete(script)) or {})[table]]
        for script in (edit.local, edit.server)
    ]
    names = [row["name"] for row in edit.base[table]]
    order = _expect_order(names, set(old), disputed, [[name for name, _ in rows] for rows in lists])
    if order is None:
        clashes.add(f"{table}[]")
    if order is None or clashes:
        expected.clashes |= clashes
        return
    added = [_added(rows, set(names), set(order)) for rows in lists]
    twice = list(added[0])
    for each in added[1]:
        if each in twice:
            twice.remove(each)
    # What both added alike is there once.
    both = [each for each in added[0] if each not in twice]
    everything = [*twice, *added[1]] if both else [*added[0], *added[1]]
    expected.values[table] = Table([(name, old[name]) for name in order], sorted(everything, key=repr))


def _cells(script: Script, table: str, row: Row) -> tuple[Any, ...]:
    changed = {
        step.column: step.value
        for step in script
        if isinstance(step, Cell) and (step.field, step.row) == (table, row["name"])
    }
    return tuple(meaning(column, changed.get(column, row[column])) for column in COLUMNS)


def _without_delete(script: Script) -> Script:
    return [step for step in script if not isinstance(step, Delete)]


def _expect_order(
    base: list[str], kept: set[str], disputed: set[str], sides: list[list[str | None]]
) -> list[str] | None:
    """Who alone moved rows decides; of both, nobody."""
    one, other = ([name for name in side if name in kept] for side in sides)
    if one == other:
        return one
    alive = kept | disputed
    still = [
        [name for name in side if name in alive] == [name for name in base if name in alive and name in side]
        for side in sides
    ]
    if still[0]:
        return other
    return one if still[1] else None


def _added(
    rows: Sequence[tuple[str | None, Row]], old: set[str], kept: set[str]
) -> list[tuple[str | None, tuple[Any, ...]]]:
    """The rows that the side added: the row that stays and that each stands behind, and its values."""
    found = []
    behind: str | None = None
    for name, row in rows:
        if name in kept:
            behind = name
        elif name not in old:
            found.append((behind, tuple(meaning(column, row[column]) for column in COLUMNS)))
    return found


# Comparing


def faults(edit: Edit, expected: Expected, values: Document | None, clashes: Iterable[str]) -> list[str]:
    """What is not as it has to be."""
    found = set(clashes)
    if found != expected.clashes:
        return [f"clashes: {sorted(found)} instead of {sorted(expected.clashes)}"]
    if values is None or expected.deleted:
        return [] if expected.deleted and values is None else ["deleted on one side of the comparison only"]
    wrong = []
    for name, wanted in expected.values.items():
        if name not in values:
            wrong.append(f"{name} is missing")
        elif isinstance(wanted, Table):
            if _as_table(values[name], {row["name"] for row in edit.base[name]}) != wanted:
                wrong.append(f"{name}: {values[name]} instead of {wanted}")
        elif meaning(name, values[name]) != wanted:
            wrong.append(f"{name}: {values[name]!r} instead of {wanted!r}")
    left_out = values.keys() - expected.values.keys()
    return wrong + [f"{name} is there, though it clashes" for name in sorted(left_out)]


def _as_table(rows: list[Row], old: set[str]) -> Table:
    named = [(row.get("name"), row) for row in rows]
    kept = {name for name, _ in named if name in old}
    return Table(
        [
            (name, tuple(meaning(column, row[column]) for column in COLUMNS))
            for name, row in named
            if name in kept
        ],
        sorted(_added(named, old, kept), key=repr),
    )


def merged(edit: Edit) -> tuple[Document | None, list[str]]:
    """What the engine makes of it: values, keys of the clashes."""
    from erp_offline_sync.engine.merge import merge
    from erp_offline_sync.engine.model import FieldKind, Schema

    kinds = {
        FieldKind.TEXT: (*TEXTS, *NOTES),
        FieldKind.NUMBER: (*NUMBERS, *CHECKS),
        FieldKind.DATE: DATES,
        FieldKind.TIME: TIMES,
        FieldKind.JSON: DATA,
    }
    row = Schema(fields={"item": FieldKind.TEXT, "qty": FieldKind.NUMBER, "text": FieldKind.TEXT})
    schema = Schema(
        fields={name: kind for kind, names in kinds.items() for name in names},
        tables=dict.fromkeys(TABLES, row),
    )
    result = merge(edit.base, play(edit.base, edit.local), play(edit.base, edit.server), schema)
    return None if result.values is None else dict(result.values), [clash.key for clash in result.clashes]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    summary = {"edits": given.edits, "clashing": 0, "decided": 0, "left_to_person": 0, "wrong": 0}
    for number in range(given.edits):
        edit = make_edit(number, given.seed)
        expected = expect(edit)
        values, clashes = merged(edit)
        summary["clashing"] += bool(expected.clashes)
        summary["left_to_person" if clashes else "decided"] += 1
        wrong = faults(edit, expected, values, clashes)
        if wrong:
            summary["wrong"] += 1
            print(f"seed {given.seed}, edit {number}: {'; '.join(wrong)}", file=sys.stderr)
    if given.json:
        print(json.dumps(summary))
    else:
        print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    return 1 if summary["wrong"] or summary["decided"] < given.edits - summary["clashing"] else 0


if __name__ == "__main__":
    sys.exit(main())
