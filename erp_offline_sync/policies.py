"""Which doctypes may be captured, and how a policy gets onto the doctype's Meta.

Capture asks the Meta of a document on every save of the site, so a policy is published as a Property Setter
(property `offline_sync`, canonical JSON): it is read with the Meta, is the same in every process the moment
the settings are committed, and costs nothing where there is none.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache

import frappe
from frappe import _

from erp_offline_sync.engine.model import DEFAULT_PRIORITY

PROPERTY = "offline_sync"
OPERATIONS = ("insert", "update", "submit", "update_after_submit", "cancel", "rename", "delete")
OWN_NAMES, CENTRALS_NAMES_HERE = "This Site's", "Central's, Also Here"
"""What `naming` says beside nothing: the central gives the name, and the document keeps its own here."""
OUR_MODULE = "ERP Offline Sync"

LEDGERS = frozenset(
    {
        "Account Closing Balance",
        "Advance Payment Ledger Entry",
        "Bin",
        "Closing Stock Balance",
        "GL Entry",
        "Leave Ledger Entry",
        "Loyalty Point Entry",
        "Payment Ledger Entry",
        "Process Payment Reconciliation Log",
        "Repost Accounting Ledger",
        "Repost Item Valuation",
        "Repost Payment Ledger",
        "Serial and Batch Bundle",
        "Stock Closing Balance",
        "Stock Ledger Entry",
    }
)
"""Written by the vouchers they belong to; the central writes its own."""

LOGS = frozenset(
    {
        "Comment",
        "Communication",
        "Deleted Document",
        "Document Follow",
        "Email Queue",
        "Email Queue Recipient",
        "Error Snapshot",
        "Event Sync Log",
        "Integration Request",
        "Prepared Report",
        "Route History",
        "SMS Log",
        "Submission Queue",
        "Unhandled Email",
        "Version",
    }
)

SETUP_MODULES = frozenset({"Automation", "Core", "Custom", "Email", "Integrations", "Printing", "Workflow"})
"""Frappe's own: users, roles, doctypes, fields, scripts, mail and keys of one site. Doctypes that people
made themselves are free to stand there."""

ACKNOWLEDGED = frozenset({"POS Invoice"})
"""Only with the operations written out: their closing books again, and one side alone may close."""

SAME_EVERYWHERE = frozenset({"Country", "Currency", "DocType", "Language", "Module Def", "Role"})
"""Ship with Frappe under the same names: a link to them always goes under its own name."""


@dataclass(frozen=True)
class DoctypePolicy:
    """One row of the settings. `captured` is False for a row that only says how links travel."""

    captured: bool = True
    operations: frozenset = frozenset(OPERATIONS)
    priority: int = DEFAULT_PRIORITY
    order_group: str | None = None
    same_names: bool = False
    excluded_fields: frozenset = frozenset()
    also_send_fields: frozenset = frozenset()
    naming: str | None = None
    marked: bool = False
    captured_db_set_fields: frozenset = frozenset()
    set_values: dict = field(default_factory=dict, hash=False)
    include_derived: bool = False
    strategy: str | None = None
    merge_clashes: str | None = None


def policy_of(meta):
    """The policy of a captured doctype, from its Meta; None where nothing of it is captured."""
    text = meta.get(PROPERTY)
    if not text:
        return None
    policy = _parse(text)
    return policy if policy.captured else None


def stated_policy(meta):
    """The policy that the settings state for a doctype, captured or not; None where they state none."""
    text = meta.get(PROPERTY)
    return _parse(text) if text else None


def same_names(doctype):
    """Whether documents of this doctype carry the same names on both sites."""
    if doctype in SAME_EVERYWHERE:
        return True
    if not frappe.db.exists("DocType", doctype):
        return False
    policy = stated_policy(frappe.get_meta(doctype))
    return bool(policy and policy.same_names)


@lru_cache(maxsize=512)
def _parse(text):
    stated = json.loads(text)
    sets = {
        key: frozenset(stated[key])
        for key in ("operations", "excluded_fields", "also_send_fields", "captured_db_set_fields")
        if key in stated
    }
    return DoctypePolicy(**{**stated, **sets})


def why_refused(doctype, operations=()):
    """Why documents of this doctype cannot be captured, for people; None where they can.

    `operations` are those that the policy writes out; empty for "all".
    """
    if not doctype or not frappe.db.exists("DocType", doctype):
        return _("There is no document type {0}.").format(doctype)
    meta = frappe.get_meta(doctype)
    if meta.module == OUR_MODULE:
        return _("{0} belongs to the synchronisation itself.").format(_(doctype))
    if meta.istable:
        return _("{0} is a child table: it travels with its parent.").format(_(doctype))
    if meta.issingle:
        return _("{0} is a single document of this site.").format(_(doctype))
    if meta.get("is_virtual"):
        return _("{0} is virtual: it has no rows of its own.").format(_(doctype))
    if doctype in LEDGERS:
        return _("{0} is a ledger: the central writes its own entries from the documents it gets.").format(
            _(doctype)
        )
    if _is_log(doctype):
        return _("{0} is a log of this site.").format(_(doctype))
    if not meta.custom and meta.module in SETUP_MODULES:
        return _("{0} is part of the set-up of this site.").format(_(doctype))
    if meta.in_create:
        return _("{0} is written by code only (User Cannot Create).").format(_(doctype))
    if doctype in ACKNOWLEDGED and not operations:
        return _(
            "{0} is booked again when it is closed. Write out the operations to capture (such as insert, submit) "
            "where only the central closes."
        ).format(_(doctype))
    return None


def _is_log(doctype):
    return (
        doctype in LOGS
        or doctype.endswith(" Log")
        or doctype in frappe.get_hooks("default_log_clearing_doctypes", {})
    )


def lines(text):
    """The non-empty lines of a Small Text, commas allowed too."""
    return [part.strip() for part in (text or "").replace(",", "\n").splitlines() if part.strip()]


def stated_json(row):
    """Canonical JSON of one row of Offline Sync Settings."""
    stated = {
        "captured": bool(row.enabled),
        "operations": sorted(lines(row.operations)) or sorted(OPERATIONS),
        "priority": frappe.utils.cint(row.priority),
        "order_group": row.order_group or None,
        "same_names": bool(row.same_names),
        "excluded_fields": sorted(lines(row.excluded_fields)),
        "also_send_fields": sorted(lines(row.also_send_fields)),
        "naming": row.naming or None,
        "marked": bool(row.marked),
        "captured_db_set_fields": sorted(lines(row.captured_db_set_fields)),
        "set_values": json.loads(row.set_values or "{}"),
        "include_derived": bool(row.include_derived),
        "strategy": row.strategy or None,
        "merge_clashes": row.merge_clashes or None,
    }
    return json.dumps(stated, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def publish(wanted):
    """Make the Property Setters those of `{doctype: JSON text}`: what is new or changed is written, what is no
    longer wanted goes. Joins the caller's transaction; does nothing where all is as wanted."""
    published = {
        row.doc_type: row
        for row in frappe.get_all(
            "Property Setter", filters={"property": PROPERTY}, fields=["name", "doc_type", "value"]
        )
    }
    for doctype in published.keys() - wanted.keys():
        frappe.delete_doc("Property Setter", published[doctype].name, ignore_permissions=True, force=True)
        _forget_meta(doctype)
    for doctype, text in wanted.items():
        if doctype in published and published[doctype].value == text:
            continue
        setter = frappe.get_doc(
            {
                "doctype": "Property Setter",
                "doctype_or_field": "DocType",
                "doc_type": doctype,
                "property": PROPERTY,
                "property_type": "Text",
                "value": text,
                "is_system_generated": 1,
            }
        )
        setter.flags.ignore_permissions = True
        setter.flags.validate_fields_for_doctype = False
        setter.insert()
        _forget_meta(doctype)


def _forget_meta(doctype):
    """Now, for this transaction; and after the commit, since others may have read the old one meanwhile."""
    frappe.clear_cache(doctype=doctype)
    frappe.db.after_commit.add(lambda: frappe.clear_cache(doctype=doctype))
