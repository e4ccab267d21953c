"""The settings of this site. What is wrong is refused with every reason at once, and nothing is stored.

The key `offline_sync` of site_config.json overrides each setting; it is looked at here too, so that a URL that
stands there need not be entered twice.
"""

import json
import re

import frappe
from frappe import _
from frappe.model.document import Document
from frappe.utils import cint

from erp_offline_sync import erpnext_policies, policies, wakeup
from erp_offline_sync.adapters.frappe_meta import may_be_carried
from erp_offline_sync.adapters.frappe_store import FrappeStore
from erp_offline_sync.adapters.rest_central import check_url
from erp_offline_sync.engine.config import SETTINGS, parse
from erp_offline_sync.engine.errors import SettingsError
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.sending.line import BREAKER, kept_breaker


class OfflineSyncSettings(Document):
    def validate(self):
        self.central_url = (self.central_url or "").strip().rstrip("/")
        self.api_key = (self.api_key or "").strip()
        self.fill_in_new_policies()
        problems = [
            *self.wrong_numbers(),
            *self.wrong_connection(),
            *self.wrong_window(),
            *self.wrong_paths(),
            *self.wrong_policies(),
        ]
        if problems:
            frappe.throw("<br>".join(problems), title=_("The settings cannot be used"))

    def on_update(self):
        publish_policies(self)
        if cint(self.effective("enabled")) and self.effective("role") != "Central":
            probe_at_once()

    def get_password(self, fieldname="password", raise_exception=True):
        """The secret is for the sync run, which reads it from the site's vault; no document hands it out."""
        frappe.throw(_("The secret cannot be read."), frappe.PermissionError)

    def fill_in_new_policies(self):
        """What ERPNext needs beside the fields that people enter; a row that was saved once stays as it is."""
        for row in self.policies:
            if row.is_new() and row.enabled and frappe.db.exists("DocType", row.document_type):
                row.update(
                    {
                        field: value
                        for field, value in erpnext_policies.filled_in(row.document_type).items()
                        if not row.get(field)
                    }
                )

    def wrong_numbers(self):
        """Of the values that count: what site_config.json overrides is checked there, not here."""
        try:
            parse({**self.as_dict(no_nulls=True), **overrides()})
        except SettingsError as error:
            return [self.with_labels(part) for part in str(error).rstrip(".").split("; ")]
        return []

    def with_labels(self, problem):
        for name in SETTINGS:
            if problem.startswith(f"{name} ") and self.meta.has_field(name):
                return f"{_(self.meta.get_label(name))} [{name}]{problem[len(name) :]}."
        return f"{problem}."

    def wrong_connection(self):
        url = overrides().get("central_url") or self.central_url
        if url and (why := why_url_refused(url)):
            return [why]
        if not self.effective("enabled") or self.effective("role") == "Central":
            return []
        missing = [
            _(self.meta.get_label(name))
            for name in ("central_url", "api_key", "api_secret")
            if not self.effective(name)
        ]
        if missing:
            return [_("An enabled branch needs: {0}.").format(", ".join(missing))]
        return []

    def wrong_window(self):
        times = [self.effective(name) for name in ("sync_window_start", "sync_window_end")]
        if not any(times):
            return []
        if not all(time and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", str(time)) for time in times):
            return [_("A sync window has a beginning and an end, each as HH:MM.")]
        return [_("The sync window is empty: it begins when it ends.")] if times[0] == times[1] else []

    def wrong_paths(self):
        return [
            _("{0} is not a path below /api/.").format(path)
            for path in (self.allowed_paths or "").split()
            if not path.startswith("/api/") or ".." in path or "?" in path or "#" in path
        ]

    def wrong_policies(self):
        problems = []
        seen = set()
        for row in self.policies:
            where = _("Row {0} ({1})").format(row.idx, row.document_type)
            if row.document_type in seen:
                problems.append(f"{where}: " + _("there is a policy for this document type already."))
            seen.add(row.document_type)
            problems += [f"{where}: {why}" for why in wrong_policy(row)]
        return problems

    def effective(self, name):
        value = overrides().get(name)
        return self.get(name) if value is None else value


def overrides():
    """The dict `offline_sync` of site_config.json."""
    stated = frappe.conf.get("offline_sync")
    return stated if isinstance(stated, dict) else {}


def probe_at_once():
    """What kept the line down may just have been corrected: the next run probes, and one is woken. Part of the
    save: nothing is committed here."""
    store = FrappeStore(frappe.db.commit, frappe.db.rollback, owns_transaction=False)
    with store.transaction():
        breaker = kept_breaker(store.get_meta(BREAKER))
        if not breaker.closed:
            store.set_meta(BREAKER, canonical_json(breaker.probe_at_once().to_json()))
    wakeup.after_commit()


def publish_policies(settings=None):
    """Put the policies onto the doctypes' Meta; takes them away while this site is no enabled branch."""
    settings = settings or frappe.get_doc("Offline Sync Settings")
    wanted = {}
    if cint(settings.effective("enabled")) and settings.effective("role") != "Central":
        wanted = {
            row.document_type: policies.stated_json(row)
            for row in settings.policies
            if (row.enabled or row.same_names) and frappe.db.exists("DocType", row.document_type)
        }
    policies.publish(wanted)


def why_url_refused(url):
    """Why this cannot be the central's URL; None where it can. The rule is that of the central's adapter."""
    try:
        check_url(url, allow_plain_http=bool(overrides().get("allow_plain_http")))
    except SettingsError as error:
        return f"{error}."
    return None


def wrong_policy(row):
    stated = policies.lines(row.operations)
    if row.enabled and (why := policies.why_refused(row.document_type, stated)):
        return [why]
    if not frappe.db.exists("DocType", row.document_type):
        return [_("There is no document type {0}.").format(row.document_type)]
    meta = frappe.get_meta(row.document_type)
    problems = [
        _("{0} is not an operation. There are: {1}.").format(operation, ", ".join(policies.OPERATIONS))
        for operation in stated
        if operation not in policies.OPERATIONS
    ]
    if not 0 <= cint(row.priority) <= 9:
        problems.append(_("the priority lies between 0 and 9."))
    for name in policies.lines(row.excluded_fields):
        if not _has_field(meta, name):
            problems.append(_("there is no field {0} to exclude.").format(name))
    problems += [
        _("{0} is no field that could go along with a new document.").format(name)
        for name in policies.lines(row.also_send_fields)
        if not _may_go_along(meta, name)
    ]
    if row.naming == policies.CENTRALS_NAMES_HERE and (not meta.allow_rename or meta.is_submittable):
        problems.append(_("documents of this type cannot be renamed here."))
    for name in policies.lines(row.captured_db_set_fields):
        if not meta.has_field(name):
            problems.append(_("there is no field {0} to capture.").format(name))
    return problems + _wrong_values(meta, row.set_values)


def _may_go_along(meta, name):
    table, _dot, inner = name.partition(".")
    if inner:
        options = meta.get_options(table) if meta.has_field(table) else None
        return bool(options) and _may_go_along(frappe.get_meta(options), inner)
    field = meta.get_field(name)
    return field is not None and may_be_carried(meta, field)


def _has_field(meta, name):
    table, _dot, inner = name.partition(".")
    if not inner:
        return meta.has_field(name)
    options = meta.get_options(table) if meta.has_field(table) else None
    return bool(options) and frappe.get_meta(options).has_field(inner)


def _wrong_values(meta, text):
    if not (text or "").strip():
        return []
    try:
        values = json.loads(text)
    except ValueError:
        return [_("the values set on the way out are not JSON.")]
    if not isinstance(values, dict):
        return [_("the values set on the way out are not an object such as {0}.").format('{"field": 1}')]
    return [
        _("there is no field {0} to set a value of.").format(name)
        for name in values
        if not meta.has_field(name)
    ]
