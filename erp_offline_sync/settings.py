"""The settings that count on this site: site_config.json first, then the Settings document, then the default.

The configuration file is read afresh: `frappe.conf` is the copy of when the job began.
"""

import frappe
from frappe.utils import cint
from frappe.utils.password import get_decrypted_password

SETTINGS = "Offline Sync Settings"
_NUMBERS = ("enabled", "sync_on_save")


def effective():
    """All settings but the secret, as a dict; numbers of the engine as they were written."""
    stated = frappe.get_site_config().get("offline_sync")
    values = {**frappe.db.get_singles_dict(SETTINGS), **(stated if isinstance(stated, dict) else {})}
    for name in _NUMBERS:
        values[name] = cint(values.get(name))
    values.setdefault("role", "Branch")
    values.pop("api_secret", None)
    return values


def secret():
    """The API secret of the central; empty where there is none. Raises frappe.ValidationError where the site's
    encryption key is not the one it was stored with (a restored site)."""
    stated = frappe.get_site_config().get("offline_sync")
    if isinstance(stated, dict) and stated.get("api_secret"):
        return stated["api_secret"]
    return get_decrypted_password(SETTINGS, SETTINGS, "api_secret", raise_exception=False) or ""


def is_branch(values):
    """Whether this site sends at all."""
    return bool(values["enabled"]) and values["role"] != "Central"


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
