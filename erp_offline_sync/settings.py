"""The settings that count on this site: site_config.json first, then the Settings document, then the default.

The configuration file is read afresh: `frappe.conf` is the copy of when the job began.
"""

import frappe
from frappe import _
from frappe.utils import cint, now_datetime
from frappe.utils.password import get_decrypted_password

from erp_offline_sync.engine.config import SETTINGS as NUMBERS
from erp_offline_sync.engine.errors import SettingsError

SETTINGS = "Offline Sync Settings"
MEGABYTE = 1024 * 1024
STATEMENT_PARTS = 4
"""A statement has room for so many bodies: a conflict keeps three in one row, and quotes in them take more there."""
_NUMBERS = ("enabled", "sync_on_save")


def effective():
    """All settings but the secret, as a dict; numbers of the engine as they were written."""
    stated = {name: value for name, value in _stated().items() if name != "api_secret"}
    # Every save that is captured asks: Frappe's own way to put this question together takes five times as long.
    kept = frappe.db.sql("select `field`, `value` from `tabSingles` where `doctype` = %s", (SETTINGS,))
    values = {**dict(kept), **stated}
    for name in _NUMBERS:
        values[name] = cint(values.get(name))
    values.setdefault("role", "Branch")
    values.pop("api_secret", None)
    return values


def _stated():
    stated = frappe.get_site_config().get("offline_sync")
    return stated if isinstance(stated, dict) else {}


def secret():
    """The API secret of the central; empty where there is none. Raises SettingsError where the site's encryption
    key is not the one it was stored with (a restored site)."""
    stated = _stated().get("api_secret")
    if stated:
        return stated
    messages = list(frappe.local.message_log)
    try:
        kept = get_decrypted_password(SETTINGS, SETTINGS, "api_secret", raise_exception=False)
    except frappe.ValidationError:  # Frappe 15; 16 answers nothing instead
        kept = None
        frappe.local.message_log = messages
    if kept is None and _is_kept():
        raise SettingsError("The API secret cannot be decrypted: enter the credentials again")
    return kept or ""


def _is_kept():
    return bool(
        frappe.db.sql(
            "select 1 from `__Auth` where doctype = %s and name = %s and fieldname = %s and encrypted = 1",
            (SETTINGS, SETTINGS, "api_secret"),
        )
    )


def largest_body(values):
    """Bytes that what one request carries may have."""
    stated = cint(values.get("max_body_mb") or NUMBERS["max_body_mb"].default) * MEGABYTE
    packet = largest_statement()
    return stated if packet is None else min(stated, packet // STATEMENT_PARTS)


def largest_statement():
    """Bytes that the database takes in one statement; None where it has no such limit."""
    if frappe.db.db_type != "mariadb":
        return None
    return int(frappe.db.sql("select @@max_allowed_packet")[0][0])


def is_branch(values):
    """Whether this site sends at all."""
    return bool(values["enabled"]) and values["role"] != "Central"


def held_back(values, now):
    """Why this site sends nothing by itself now, as a sentence; None where it does. `now` as in `window_opens`."""
    if not is_branch(values):
        return _("This site is not set up as a branch.")
    opens = window_opens(values, now)
    return _("Outside the sync window; it opens at {0}.").format(opens) if opens else None


def held_back_now():
    return held_back(effective(), now_datetime().time())


def window_opens(values, now):
    """None inside the window in which requests may be sent, or where there is none; else when it opens ("22:00").

    `now` is the site's wall clock (datetime.time).
    """
    start, end = (str(values.get(name) or "")[:5] for name in ("sync_window_start", "sync_window_end"))
    if not start or not end or start == end:
        return None
    at = now.strftime("%H:%M")
    inside = start <= at < end if start < end else at >= start or at < end
    return None if inside else start
