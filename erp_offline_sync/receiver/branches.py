"""Branches as the central's people see them: their user and key, what they may write, and whether they may push.

A branch is a user with the role Offline Sync Branch and a key, without a password and without the Desk. What it may
write is given to the role by Frappe's own add_permission, which keeps a doctype's standard rules as they are.
"""

import hashlib
import re

import frappe
from frappe import _
from frappe.permissions import add_permission, update_permission_property

from erp_offline_sync.engine.errors import InvalidRequest, NotFound
from erp_offline_sync.policies import why_refused

ROLE = "Offline Sync Branch"
DOMAIN = "branch.offline-sync.invalid"
"""No mail can ever be sent there (RFC 2606)."""
RIGHTS = ("write", "create", "delete")
SUBMITTED = ("submit", "cancel", "amend")
ORIGIN = "Sync Origin"


def add_branch(name, doctypes=()):
    """Make the branch's user and key, and let the role write these doctypes. A branch that is there already gets
    a new secret. Answers what to enter at the branch; the secret cannot be read again. The caller commits."""
    name = (name or "").strip()
    if not name:
        raise InvalidRequest("Give the branch a name.")
    for doctype in doctypes:
        refusal = why_refused(doctype, operations=("insert",))
        if refusal:
            raise InvalidRequest(refusal)
    user = _user(name)
    user.api_key = user.api_key or frappe.generate_hash(length=15)
    user.api_secret = secret = frappe.generate_hash(length=32)
    user.save(ignore_permissions=True)
    for doctype in doctypes:
        _let_write(doctype)
    return {
        "branch": name,
        "user": user.name,
        "role": ROLE,
        "doctypes": writable(),
        "api_key": user.api_key,
        "api_secret": secret,
    }


def list_branches():
    """Each branch with its origins: `{branch, user, enabled, origins: [{origin, site, run, low_water, last_seen,
    stopped, because, reason, since}]}`."""
    users = frappe.get_all("Has Role", filters={"role": ROLE, "parenttype": "User"}, pluck="parent")
    found = []
    for user in frappe.get_all(
        "User", filters={"name": ("in", users)}, fields=["name", "full_name", "enabled"], order_by="full_name"
    ):
        origins = [_row(row) for row in _origins({"user": user.name})]
        found.append(
            {
                "branch": user.full_name,
                "user": user.name,
                "enabled": bool(user.enabled),
                "origins": origins,
            }
        )
    return found


def stop_branch(name, reason):
    """Refuse the branch's pushes from now on. Answers the origins that were stopped."""
    return _set_stopped(name, 1, reason)


def clear_branch(name):
    """Let the branch push again; the site that pushes first is taken for the branch. Answers the origins."""
    return _set_stopped(name, 0, None)


def writable():
    """The doctypes that the role may write by rules of its own."""
    rows = frappe.get_all("Custom DocPerm", filters={"role": ROLE, "write": 1}, pluck="parent")
    return sorted(set(rows))


def _user(name):
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    email = f"{slug or hashlib.sha256(name.encode()).hexdigest()[:12]}@{DOMAIN}"
    if frappe.db.exists("User", email):
        user = frappe.get_doc("User", email)
        if user.full_name != name:
            raise InvalidRequest(f"The name is too like that of the branch {user.full_name}.")
    else:
        user = frappe.get_doc(
            {"doctype": "User", "email": email, "first_name": name, "send_welcome_email": 0, "enabled": 1}
        )
        user.insert(ignore_permissions=True)
    user.append_roles(ROLE)
    return user


def _let_write(doctype):
    rights = RIGHTS + (SUBMITTED if frappe.get_meta(doctype).is_submittable else ())
    add_permission(doctype, ROLE)
    for right in rights:
        update_permission_property(doctype, ROLE, 0, right, 1)
    frappe.clear_messages()


def _origins(filters):
    fields = ["name", "branch_name", "user", "site", "run", "low_water", "last_seen", "stopped"]
    return frappe.get_all(
        ORIGIN,
        filters=filters,
        fields=[*fields, "stopped_because", "stopped_reason", "stopped_at"],
        order_by="last_seen desc",
    )


def _row(row):
    return {
        "origin": row.name,
        "site": row.site,
        "run": row.run,
        "low_water": row.low_water,
        "last_seen": str(row.last_seen) if row.last_seen else None,
        "stopped": bool(row.stopped),
        "because": row.stopped_because or None,
        "reason": row.stopped_reason or None,
        "since": str(row.stopped_at) if row.stopped_at else None,
    }


def _set_stopped(name, stopped, reason):
    rows = _origins({"branch_name": name}) or _origins({"name": name})
    if not rows:
        raise NotFound(_("No branch called {0} has pushed anything yet.").format(name))
    changed = []
    for row in rows:
        if bool(row.stopped) != bool(stopped):
            origin = frappe.get_doc(ORIGIN, row.name)
            origin.stopped = stopped
            origin.flags.stopped_reason = reason
            origin.save(ignore_permissions=True)
            changed.append(row.name)
    return changed
