"""What the engine says of conflicts and decisions, in the reader's language.

The engine is pure: it words its reasons and refusals in English, and so they are stored, and printed by commands.
Each of its sentences stands here once as a template. One that is to be read by a person is taken apart by it into
its values, and put together again in the translation; a value may be such a sentence itself. What is none of them,
such as what an app or Frappe says, stays as it is. Tests hold this table to the engine's own texts.
"""

import re
from functools import cache

import frappe

from erp_offline_sync.conflicts import words

_PART = "; "
"""Between sentences that stand in one."""


def _(template):
    """Marks what Frappe's commands find to be translated, for the reader of each moment."""
    return template


TEMPLATES = (
    # why a rule or hook decided so, or did not decide
    _("the branch wins by its policy"),
    _("the central wins by its policy"),
    _("a person decides by its policy"),
    _("what both sides changed goes together"),
    _("one side changed what the other has not any more"),
    _("both sides changed {0}"),
    _("changed here {0} s later"),
    _("changed there {0} s later"),
    _("the time of the central's change is not known"),
    _("both changes count as equally old"),
    _("a person decides"),
    _("a person decides now"),
    _("the central wins"),
    _("decided automatically {0} times within a day"),
    _("decided by {0}"),
    _("decided by a person"),
    _("{0} left it to a person"),
    _("{0} chose {1}, but: {2}"),
    _("{0} chose {1}, but it failed here: {2}"),
    _("The central's document was changed again after {0} decided"),
    _("The central has what {0} decided, but here: {1}"),
    _("{0} took back what {1} decided: {2}"),
    # hooks
    _("The hook failed: {0}"),
    _("a hook cannot be loaded ({0})"),
    _("it did not come to an end the last time, and is not asked again about this conflict"),
    _("it ran longer than {0} seconds"),
    _("A conflict hook must answer {'resolution': one of {0}} or None, not {1}."),
    _("The `values` that a conflict hook answers must be an object: {field: value}."),
    _("A conflict hook gives `values` with the resolution 'merge' alone."),
    # why something cannot be decided so
    _("There is no conflict {0}."),
    _("{0} already decided this conflict at {1} UTC: {2}."),
    _("{0} is not possible for a conflict of type {1}."),
    _("Values and choices belong to merge and manual, not to {0}."),
    _("A decision by hand needs the values that both sides are to have."),
    _("Both sides changed this, and no side was chosen: {0}."),
    _("A choice is 'local' or 'server': {0}."),
    _("{0} names neither a field nor a field of a row (`table[row].field`)."),
    _("{0} is not a field that is synchronised."),
    _("{0} is a table: its value is a list of rows."),
    _("{0} has no row {1}."),
    _("{0} is no field of the document that is created."),
    _("The central has no such document."),
    _("{0} {1} at the central is {2} here."),
    _("The central has this already, and nothing waits to be sent: it is only here that it differs."),
    _("{0} {1} is not known any more."),
    _("{0} {1} is not here any more."),
    _("{0} {1} cannot go from docstatus {2} to {3}."),
    _("It was merged into another document here and cannot be taken apart again."),
    _("saving it failed ({0})"),
    # why a decision cannot be taken back
    _("This conflict is not decided."),
    _("How it stood before was not kept, so that it cannot be taken back."),
    _("Its requests were deleted since, as old ones are."),
    _("What was decided has been sent to the central."),
    _("The document was changed again here since."),
    _("The central has answered about this document since."),
    _("The decision submitted or cancelled the document here, which cannot be taken back."),
)

_PLACE = re.compile(r"\{(\d)\}")


@cache
def _patterns():
    """(template, what fits it), the one that leaves least open first."""
    found = []
    for template in TEMPLATES:
        literal = [re.escape(each) for each in _PLACE.split(template)[::2]]
        found.append((template, re.compile("(.+?)".join(literal), re.DOTALL)))
    return sorted(found, key=lambda each: len(_PLACE.sub("", each[0])), reverse=True)


def told(text):
    """The text in the session's language, as far as it is the engine's; None and "" as they are."""
    if not text:
        return text
    parts = [_one(part) for part in text.split(_PART)]
    if None not in parts:
        return _PART.join(parts)
    return _one(text) or text


def _one(text):
    """One sentence in the session's language; None where the engine has none such."""
    for template, pattern in _patterns():
        if match := pattern.fullmatch(text):
            return _filled(frappe._(template), [_value(each) for each in match.groups()])
    return None


def _value(text):
    return words.decision(text) or words.decider(text) or told(text)


def _filled(template, values):
    """By hand: some templates, and what documents hold, have braces of their own."""
    return _PLACE.sub(lambda place: values[int(place[1])], template)
