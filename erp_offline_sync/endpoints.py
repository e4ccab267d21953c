"""What all endpoints of this app have in common: a call that lacks a required parameter is refused by its name.

Frappe would answer 500 with a traceback, which tells the caller nothing and stands in the site's error log.
"""

import inspect
from functools import wraps

import frappe
from frappe import _


def needs_all_parameters(function):
    """Decorates a whitelisted function below `frappe.whitelist`: raises ValidationError (417) naming each parameter
    without a default that a call does not give."""
    signature = inspect.signature(function)
    required = [name for name, each in signature.parameters.items() if each.default is each.empty]

    @wraps(function)
    def called(*args, **given):
        there = signature.bind_partial(*args, **given).arguments
        missing = [name for name in required if name not in there]
        if missing:
            frappe.throw(_("Missing: {0}.").format(", ".join(missing)), title=_("Offline sync"))
        return function(*args, **given)

    return called
