"""Makes a new site one that people could work with: wizard done, time zone set, an API user with a key.

Run by a bench's Python inside its sites folder: `python -m site_rig.provision SITE TIME_ZONE`; prints
`{"user", "api_key", "api_secret"}` as its last line. May be run again.
"""

from __future__ import annotations

import json
import os
import secrets
import sys

API_USER = "api@shop.example"


def provision(site: str, time_zone: str) -> dict[str, str]:
    import frappe

    frappe.init(site, sites_path=os.getcwd())
    frappe.connect()
    try:
        frappe.set_user("Administrator")
        settings = frappe.get_doc("System Settings")
        settings.update(
            {"setup_complete": 1, "time_zone": time_zone, "language": "en", "enable_scheduler": 1}
        )
        settings.flags.ignore_mandatory = True
        settings.save()
        frappe.db.set_single_value("System Settings", "setup_complete", 1)
        if frappe.get_meta("Installed Application").has_field("is_setup_complete"):
            for row in frappe.get_all("Installed Application", pluck="name"):
                frappe.db.set_value("Installed Application", row, "is_setup_complete", 1)
        if "erpnext" in frappe.get_installed_apps():
            from .erpnext_shop import furnish

            furnish()
        api = _user()
        frappe.db.commit()
        frappe.clear_cache()
        return api
    finally:
        frappe.destroy()


def _user() -> dict[str, str]:
    import frappe

    if frappe.db.exists("User", API_USER):
        user = frappe.get_doc("User", API_USER)
    else:
        user = frappe.get_doc(
            {"doctype": "User", "email": API_USER, "first_name": "Branch", "send_welcome_email": 0}
        )
        user.insert()
    wanted = ("System Manager", "Shop User", *_erpnext_roles())
    user.add_roles(*(role for role in wanted if frappe.db.exists("Role", role)))
    user.reload()
    secret = secrets.token_hex(12)
    user.api_key = user.api_key or secrets.token_hex(12)
    user.api_secret = secret
    user.save()
    return {"user": API_USER, "api_key": user.api_key, "api_secret": secret}


def _erpnext_roles() -> list[str]:
    """Those that a branch's user needs for what a shop sells, buys, moves and is paid."""
    import frappe

    if "erpnext" not in frappe.get_installed_apps():
        return []
    from .erpnext_shop import ROLES

    return list(ROLES)


if __name__ == "__main__":
    result = json.dumps(provision(*sys.argv[1:3]))
    print(f"\n{result}")
