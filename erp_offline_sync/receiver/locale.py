"""Messages in the branch's language: what a person there reads why a request was refused."""

from contextlib import contextmanager

import frappe
from frappe.translate import get_all_languages


@contextmanager
def speaking(language):
    """The request's language is that one inside, where this site has it. A region that it lacks is left out."""
    before = frappe.local.lang
    there = set(get_all_languages()) if language else ()
    wanted = (language or "").replace("_", "-")
    found = next((each for each in (wanted, wanted.partition("-")[0]) if each in there), None)
    if found:
        frappe.local.lang = found
    try:
        yield
    finally:
        frappe.local.lang = before
