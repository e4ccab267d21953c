"""What happened, in words for people. They name users and sites, and no value of a document."""

import frappe
from frappe import _

from erp_offline_sync.engine.model import ConflictType


def sentence(conflict_type, here, there):
    """One sentence on a conflict; `here` and `there` are the people who changed the document, as they are called."""
    here, there = here or _("Somebody"), there or _("somebody")
    said = {
        ConflictType.UPDATE_UPDATE: _("{0} changed it here, and {1} changed it at the central."),
        ConflictType.UPDATE_DELETE: _("{0} changed it here, but at the central it is gone."),
        ConflictType.DELETE_UPDATE: _("{0} deleted it here, but {1} changed it at the central."),
        ConflictType.CREATE_CREATE: _(
            "{0} made it here, and the central has one of the same name or number that {1} changed last."
        ),
        ConflictType.STATE: _(
            "{0} changed it here, but in the state that {1} brought it to at the central that is not possible."
        ),
        ConflictType.CALL: _("The central refused a call of {0} as a conflict."),
    }
    return said[ConflictType(conflict_type)].format(here, there)


def extent(compared):
    """How much of it needs a choice, as a sentence; empty where nothing can be merged."""
    changed = sum(each.state.value != "same" for each in compared.fields) + sum(
        row.state.value != "same" for table in compared.tables for row in table.rows
    )
    if not compared.clashes:
        return _("Their changes go together.") if changed else _("No field differs.")
    if len(compared.clashes) == 1:
        return _("They changed one thing differently.")
    return _("They changed {0} things differently.").format(len(compared.clashes))


def decision(resolution):
    """What a resolution is called where it was decided; None where it is none."""
    return {
        "local_wins": _("this site wins"),
        "server_wins": _("the central wins"),
        "merge": _("merged"),
        "manual": _("by hand"),
        "skip": _("left different"),
    }.get(resolution)


def decider(by):
    """A rule or hook, as it stands for who decided; None where it is neither."""
    kind, _colon, name = (by or "").partition(":")
    if name and kind == "rule":
        return _("the rule {0}").format(_(name))
    if name and kind == "hook":
        return _("the hook {0}").format(name)
    return None


def decided_by(row):
    """Who was faster, and how it was decided."""
    who = decider(row.resolved_by) or row.resolved_by or _("Somebody")
    return _("{0} has decided this already: {1}.").format(who, decision(row.resolution) or _("closed"))


def not_yours(labels):
    """Fields that a decision would write and the reader may not."""
    return _("You may not change these fields: {0}.").format(", ".join(dict.fromkeys(labels)))


def counted(here, there):
    """What a decision changes, in numbers."""
    if not here and not there:
        return _("Nothing changes.")
    return _("Changes here: {0}; at the central: {1}.").format(here, there)


def moved_there(by):
    """Of a change that waits to be sent."""
    return _(
        "{0} changed it at the central since this site last heard of it: it may become a conflict."
    ).format(by or _("Somebody"))


def names_of(users):
    """{user: full name} of those users of this site that there are."""
    wanted = tuple(sorted({user for user in users if user}))
    if not wanted:
        return {}
    rows = frappe.db.sql(
        f"select name, full_name from `tabUser` where name in ({', '.join(['%s'] * len(wanted))})",  # noqa: S608 - placeholders
        wanted,
    )
    return {user: full_name for user, full_name in rows if full_name}
