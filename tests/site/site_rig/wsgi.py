"""One site a web server, whatever the Host header says: nothing resolves *.localhost, and a branch is given a
URL with a number in it."""

from __future__ import annotations

import os
from typing import Any


def application() -> Any:
    import frappe.app

    frappe.app._site = os.environ["SITE_RIG_SITE"]
    return frappe.app.application_with_statics()
