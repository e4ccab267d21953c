"""What the endpoints make of their arguments."""

import json

import frappe
from frappe import _


def parsed(given, kind):
    """An argument that may come as JSON text; empty where it was left out."""
    if given is None or given == "":
        return kind()
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    if not isinstance(given, kind):
        frappe.throw(_("An argument is not a {0} in JSON.").format(kind.__name__), title=_("Offline sync"))
    return given
