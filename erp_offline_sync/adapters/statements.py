"""Statements on tables of a Frappe site, as its database wants them: MariaDB, PostgreSQL or Frappe's SQLite.

Values are bound: on Frappe's SQLite the query builder and `set_value` double every percent sign in a text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

import frappe

from .rows import Row

__all__ = [
    "CHUNK",
    "affected",
    "by",
    "by_name",
    "change_each",
    "change_together",
    "database_now",
    "delete",
    "for_update",
    "insert",
    "is_sqlite",
    "one_of",
    "quoted",
    "utc",
]

CHUNK = 200
"""Rows that one statement names at most."""


def is_sqlite() -> bool:
    return bool(frappe.db.db_type == "sqlite")


def for_update(*, skip_locked: bool = False) -> str:
    if is_sqlite():
        return ""
    return " FOR UPDATE SKIP LOCKED" if skip_locked else " FOR UPDATE"


def by(index: str) -> str:
    """Behind a table: rows are looked up by that index. Of a small table MariaDB would else read every row for a list
    of values, and lock each that it passes."""
    return f" FORCE INDEX ({index})" if frappe.db.db_type == "mariadb" else ""


def by_name() -> str:
    return by("PRIMARY")


def utc() -> str:
    return "clock_timestamp() AT TIME ZONE 'utc'" if frappe.db.db_type == "postgres" else "UTC_TIMESTAMP(6)"


def database_now() -> datetime:
    if is_sqlite():
        text = frappe.db.sql("SELECT strftime(%s, 'now')", ("%Y-%m-%dT%H:%M:%f",))[0][0]
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    moment: datetime = frappe.db.sql(f"SELECT {utc()}")[0][0]
    return moment.replace(tzinfo=timezone.utc)


def one_of(column: str, values: Collection[str] | None) -> tuple[str, tuple[str, ...]]:
    """` AND column IN (…)` and its values; nothing for None."""
    if values is None:
        return "", ()
    wanted = tuple(dict.fromkeys(values))
    return f" AND `{column}` IN ({', '.join(['%s'] * len(wanted))})", wanted


def quoted(columns: Iterable[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)


def insert(table: str, *rows: Row, or_ignore: bool = False, at: str | None = None) -> int:
    """Insert rows of the same columns with Frappe's own beside them; with `or_ignore` none whose name is taken.
    Answers how many. `at`: the site's wall clock, where it is known already."""
    now, user = at or frappe.utils.now(), frappe.session.user
    own = {"creation": now, "modified": now, "owner": user, "modified_by": user, "docstatus": 0, "idx": 0}
    ignore = " IGNORE" if or_ignore and frappe.db.db_type == "mariadb" else ""
    nothing = " ON CONFLICT DO NOTHING" if or_ignore and not ignore else ""
    columns, places, values = _listed([{**own, **row} for row in rows])
    frappe.db.sql(f"INSERT{ignore} INTO `{table}` ({columns}) VALUES {places}{nothing}", values)
    return affected()


def affected() -> int:
    """Rows that the last statement inserted or changed."""
    return int(frappe.db._cursor.rowcount)


def change_together(table: str, names: Sequence[str], changes: Row) -> None:
    """The same changes for all of these rows, which the caller has locked."""
    if not changes:
        return
    full = {**changes, **_by_whom()}
    columns = ", ".join(f"`{column}` = %s" for column in full)
    for start in range(0, len(names), CHUNK):
        some, values = one_of("name", names[start : start + CHUNK])
        frappe.db.sql(
            f"UPDATE `{table}`{by_name()} SET {columns} WHERE 1 = 1{some}",  # noqa: S608
            (*full.values(), *values),
        )


def change_each(table: str, rows: Sequence[Row]) -> None:
    """Each row's own changes, of the same columns, by one statement. A row has its `name`, is there, and the caller
    has locked it."""
    if len(rows) == 1:
        changes = {column: value for column, value in rows[0].items() if column != "name"}
        change_together(table, [str(rows[0]["name"])], changes)
        return
    # No database has an UPDATE of many rows to values of their own; an INSERT that finds its rows there is one.
    columns, places, values = _listed([{**row, **_by_whom()} for row in rows])
    if frappe.db.db_type == "mariadb":
        found, new = "ON DUPLICATE KEY UPDATE", "VALUES(`{0}`)"
    else:
        found, new = "ON CONFLICT (`name`) DO UPDATE SET", "excluded.`{0}`"
    changed = [column for column in (*rows[0], *_by_whom()) if column != "name"]
    each = ", ".join(f"`{column}` = {new.format(column)}" for column in changed)
    frappe.db.sql(f"INSERT INTO `{table}` ({columns}) VALUES {places} {found} {each}", values)  # noqa: S608


def delete(table: str, *names: str) -> None:
    if names:
        some, values = one_of("name", names)
        frappe.db.sql(f"DELETE FROM `{table}` WHERE 1 = 1{some}", values)  # noqa: S608


def _by_whom() -> Row:
    return {"modified": frappe.utils.now(), "modified_by": frappe.session.user}


def _listed(rows: Sequence[Row]) -> tuple[str, str, tuple[Any, ...]]:
    """Columns, places and values of rows that have the same columns in the same order."""
    one = f"({', '.join(['%s'] * len(rows[0]))})"
    return (
        quoted(rows[0]),
        ", ".join([one] * len(rows)),
        tuple(value for row in rows for value in row.values()),
    )
