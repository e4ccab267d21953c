"""What the endpoints make of their arguments."""

import json

import frappe
from frappe import _

from erp_offline_sync.engine.model import Resolution

AT_ONCE = 200
"""The most conflicts of one call."""


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
        _refuse(_("An argument is not a {0} in JSON.").format(kind.__name__))
    return given


def names_of(given):
    """Ids of conflicts, each once."""
    names = list(dict.fromkeys(parsed(given, list)))
    if not all(isinstance(name, str) for name in names):
        _refuse(_("The conflicts are not a list of their ids."))
    if len(names) > AT_ONCE:
        _refuse(_("These are more than {0} conflicts at once.").format(AT_ONCE))
    return names


def decision_of(resolution, choices, values):
    """(Resolution, {key: side}, {key: value}) of what is to be decided or shown beforehand."""
    return resolution_of(resolution), parsed(choices, dict), parsed(values, dict)


def resolution_of(given):
    try:
        return Resolution(given)
    except ValueError:
        allowed = ", ".join(choice.value for choice in Resolution)
        _refuse(_("{0} is not a resolution. There are: {1}.").format(given, allowed))


def _refuse(words):
    frappe.throw(words, title=_("Offline sync"))
