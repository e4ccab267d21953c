"""The indexes and unique keys of our doctypes, made on MariaDB, PostgreSQL and SQLite by one function.

Frappe's own ways are not enough. On SQLite its `add_index` passes over an index whose name is taken, and a
migrate that touches a column rebuilds the table without its indexes and its primary key. On MariaDB a migrate
drops single-column indexes that the doctype's JSON does not name. So each index here has a name of its own, at
least two columns, and is looked for by its columns; what is missing is made after each sync of the doctype,
after each migrate and after a custom field, and named by `doctor`.
"""

import frappe

UNIQUE = True

INDEXES = {
    "Offline Request": [
        ("eos_req_ready", ("status", "readiness", "queue_rank", "seq"), False),
        ("eos_req_new", ("status", "readiness", "seq"), False),
        ("eos_req_due", ("status", "due_at"), False),
        ("eos_req_line", ("line", "status", "seq"), False),
        ("eos_req_line_operation", ("line", "operation", "status", "seq"), False),
        ("eos_req_name", ("resource_type", "resource_id", "status", "seq"), False),
        ("eos_req_waits", ("waits_for", "status", "seq"), False),
        ("eos_req_group", ("order_group", "status", "seq"), False),
        ("eos_req_seq", ("seq", "name"), False),
        ("eos_req_number", ("status", "number"), False),
        ("eos_req_closed", ("status", "closed_at"), False),
        # docstatus is 0 in every row: the key alone is unique, and the index has two columns.
        ("eos_req_key", ("idempotency_key", "docstatus"), UNIQUE),
    ],
    "Offline Request Link": [
        ("eos_edge_line", ("line", "open", "seq"), False),
        ("eos_edge_request", ("request", "line"), False),
    ],
    "Synced Document": [
        ("eos_doc_local", ("reference_doctype", "local_name", "live"), UNIQUE),
        ("eos_doc_central", ("reference_doctype", "central_name"), False),
    ],
    "Sync Conflict": [
        ("eos_con_line", ("line", "resolution_status", "resolved_at"), False),
        ("eos_con_open", ("resolution_status", "creation"), False),
        ("eos_con_name", ("resource_type", "resource_id"), False),
        ("eos_con_request", ("local_request_id", "creation"), False),
    ],
    "Sync Metadata": [],
    "Sync Receipt": [
        ("eos_rec_request", ("request_id", "origin"), UNIQUE),
        ("eos_rec_number", ("origin", "number"), False),
        ("eos_rec_about", ("reference_doctype", "reference_name"), False),
    ],
    "Sync Origin": [
        ("eos_org_user", ("user", "last_seen"), False),
    ],
}
"""Doctype → (name of the index, its columns, whether it is unique)."""


def ensure_indexes(doctype):
    """Make what is missing. Commits, as every change of a schema does; raises where a unique key is violated."""
    for name, columns, unique in _missing(doctype):
        if name in _existing(doctype):
            _drop(doctype, name)
        _create(doctype, name, columns, unique)


def ensure_all_indexes():
    for doctype in INDEXES:
        ensure_indexes(doctype)


def after_custom_field(doc, method=None):
    """A custom field on one of our doctypes makes SQLite rebuild its table."""
    if doc.dt in INDEXES:
        frappe.db.after_commit.add(lambda: ensure_indexes(doc.dt))


def missing_indexes():
    """`["Offline Request: eos_req_ready (status, readiness, …)", …]`; empty where all is well."""
    return [
        f"{doctype}: {name} ({', '.join(columns)})"
        for doctype in INDEXES
        for name, columns, _unique in _missing(doctype)
    ]


def _missing(doctype):
    if not frappe.db.table_exists(doctype, cached=False):
        return []
    there = list(_existing(doctype).values())
    wanted = [*INDEXES[doctype], *_lost_primary_key(doctype)]
    return [
        (name, columns, unique)
        for name, columns, unique in wanted
        if not any(columns == have and (is_unique or not unique) for have, is_unique in there)
    ]


def _lost_primary_key(doctype):
    """On SQLite a rebuilt table has no primary key: a unique index on the name stands in for it."""
    if frappe.db.db_type != "sqlite":
        return []
    described = frappe.db.sql(f"PRAGMA table_info(`tab{doctype}`)", as_dict=True)
    if any(column.pk for column in described):
        return []
    return [(f"eos_pk_{frappe.scrub(doctype)}", ("name",), UNIQUE)]


def _existing(doctype):
    """`{index name: (columns in order, unique)}`."""
    table = f"tab{doctype}"
    if frappe.db.db_type == "sqlite":
        return {
            index.name: (
                tuple(
                    column.name
                    for column in frappe.db.sql(f"PRAGMA index_info(`{index.name}`)", as_dict=True)
                ),
                bool(index.unique),
            )
            for index in frappe.db.sql(f"PRAGMA index_list(`{table}`)", as_dict=True)
        }
    if frappe.db.db_type == "postgres":
        rows = frappe.db.sql(
            """select i.relname, a.attname, x.indisunique
            from pg_index x
            join pg_class i on i.oid = x.indexrelid
            join pg_class t on t.oid = x.indrelid
            join pg_namespace n on n.oid = t.relnamespace
            cross join lateral unnest(x.indkey) with ordinality as k(attnum, place)
            join pg_attribute a on a.attrelid = t.oid and a.attnum = k.attnum
            where t.relname = %s and n.nspname = current_schema()
            order by i.relname, k.place""",
            (table,),
        )
    else:
        rows = frappe.db.sql(
            """select index_name, column_name, non_unique = 0
            from information_schema.statistics
            where table_schema = database() and table_name = %s
            order by index_name, seq_in_index""",
            (table,),
        )
    found = {}
    for index, column, unique in rows:
        columns, _ = found.get(index, ((), unique))
        found[index] = ((*columns, column), bool(unique))
    return found


def _quote(name):
    return f'"{name}"' if frappe.db.db_type == "postgres" else f"`{name}`"


def _create(doctype, name, columns, unique):
    kind = "UNIQUE INDEX" if unique else "INDEX"
    quoted = ", ".join(_quote(column) for column in columns)
    frappe.db.sql_ddl(f"CREATE {kind} {_quote(name)} ON {_quote(f'tab{doctype}')} ({quoted})")


def _drop(doctype, name):
    on = f" ON {_quote(f'tab{doctype}')}" if frappe.db.db_type == "mariadb" else ""
    frappe.db.sql_ddl(f"DROP INDEX {_quote(name)}{on}")
