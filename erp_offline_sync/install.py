"""What a site needs beside the doctypes: roles, a sequence, indexes, the settings' defaults, published policies.

Everything here may run any number of times.
"""

from datetime import datetime, timezone

import frappe
from frappe.utils import now_datetime

from erp_offline_sync.indexes import ensure_all_indexes

ROLES = {"Offline Sync Manager": 1, "Offline Sync User": 1, "Offline Sync Branch": 0}
"""Role → whether it opens the Desk; branches come with a key only."""
SEQUENCE = "offline_request_seq"
"""Numbers the requests on MariaDB and PostgreSQL; SQLite has no sequences."""
SETTINGS = "Offline Sync Settings"


def after_install():
    ensure_roles()
    if not frappe.db.get_singles_dict(SETTINGS):
        frappe.get_doc({"doctype": SETTINGS}).insert(ignore_permissions=True)
    _remember("installed_at", datetime.now(timezone.utc).isoformat())
    ensure_all_indexes()
    ensure_sequence()


def ensure_roles():
    for role, desk in ROLES.items():
        if not frappe.db.exists("Role", role):
            frappe.get_doc({"doctype": "Role", "role_name": role, "desk_access": desk}).insert(
                ignore_permissions=True
            )


def before_migrate():
    """Ask a run to stop before the schema moves. On a site where our tables are not there yet there is none."""
    if not frappe.db.table_exists("Sync Metadata", cached=False):
        return
    from erp_offline_sync.tasks import stop_for_migrate

    stop_for_migrate()


def after_migrate():
    from erp_offline_sync.erp_offline_sync.doctype.offline_sync_settings.offline_sync_settings import (
        publish_policies,
    )
    from erp_offline_sync.tasks import resume_after_migrate

    ensure_roles()
    ensure_all_indexes()
    ensure_sequence()
    ensure_settings()
    publish_policies()
    resume_after_migrate()


def ensure_settings():
    """A setting that a new version brings stands at its default, as if the form had been saved: a number that was
    never stored would be read as 0."""
    kept = frappe.db.get_singles_dict(SETTINGS)
    for field in frappe.get_meta(SETTINGS).fields:
        if kept and field.default and field.fieldname not in kept:
            frappe.db.set_single_value(SETTINGS, field.fieldname, field.default, update_modified=False)


def ensure_sequence():
    """Make the sequence, beginning after the last number given; commits."""
    if frappe.db.db_type == "sqlite":
        return
    if frappe.db.db_type == "mariadb":
        there = frappe.db.sql(
            """select 1 from information_schema.tables
            where table_schema = database() and table_type = 'SEQUENCE' and table_name = %s""",
            (SEQUENCE,),
        )
    else:
        there = frappe.db.sql("select 1 from pg_class where relkind = 'S' and relname = %s", (SEQUENCE,))
    if there:
        return
    last = frappe.db.sql("select max(seq) from `tabOffline Request`")[0][0] or 0
    # Without a cache: each connection would keep numbers of its own, and order would no longer follow commits.
    no_cache = "nocache" if frappe.db.db_type == "mariadb" else "cache 1"
    frappe.db.sql_ddl(f"create sequence {SEQUENCE} start with {int(last) + 1} {no_cache}")


def _remember(key, value):
    if frappe.db.exists("Sync Metadata", key):
        return
    now = now_datetime()
    row = frappe.get_doc(
        {
            "doctype": "Sync Metadata",
            "name": key,
            "key": key,
            "value": value,
            "updated_at": now,
            "owner": frappe.session.user,
            "modified_by": frappe.session.user,
            "creation": now,
            "modified": now,
        }
    )
    row.db_insert()
