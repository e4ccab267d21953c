"""Which branch pushes here: an origin belongs to one user, and one that was cloned or restored is stopped.

Decided before any request of a push is looked at, in a transaction of its own. Nothing is merged: both sites are
refused until a manager says which of them goes on (clears `stopped` on its Sync Origin).
"""

import json

import frappe
from frappe import _
from frappe.utils import now_datetime

from erp_offline_sync.adapters.statements import for_update, insert
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.sending.seen_runs import RunVerdict, look_at_run, seen_from_json
from erp_offline_sync.receiver.claims import restart
from erp_offline_sync.receiver.contention import tried_again
from erp_offline_sync.receiver.errors import (
    LatePush,
    OriginCloned,
    OriginOfAnother,
    OriginRestored,
    OriginStopped,
)

DOCTYPE = "Sync Origin"
CLONED, RESTORED = "Cloned", "Restored"
STOPPED = {CLONED: OriginCloned, RESTORED: OriginRestored}

LAST_SEEN_EVERY = 60
"""Seconds."""
_COLUMNS = (
    "`user`, `site`, `home`, `run`, `runs_seen`, `low_water`, `last_seen`, "
    "`stopped`, `stopped_because`, `stopped_reason`"
)


def own(origin):
    """Refuse where the origin belongs to another user; one that nobody has is nobody's secret."""
    user = frappe.db.get_value(DOCTYPE, origin, "user")
    if user is not None and user != frappe.session.user:
        _refuse_foreign()


def admit(push):
    """Note the push on its origin; answers the origin's low-water mark. Commits.

    Raises OriginOfAnother, LatePush, or an OriginStopped: nothing of the push was looked at then.
    """
    low_water, refusal = tried_again(lambda: _admit(push))
    if refusal is None:
        return low_water
    return _refuse(refusal)


def let_in(push):
    """Refuse what `admit` would refuse of a branch that belongs to another user or is stopped. Writes nothing."""
    row = _find(push.origin)
    if row is None:
        return
    if row.user != frappe.session.user:
        _refuse_foreign()
    if row.stopped:
        _refuse(_why_stopped(row))


def _refuse(refusal):
    words, kind = refusal
    if issubclass(kind, OriginStopped):
        words = _("{0} Nothing of this branch is taken until somebody at the central lets it go on.").format(
            _sentence(words)
        )
    frappe.throw(words, kind)


def _sentence(words):
    return words if words.endswith((".", "!", "?", "。")) else f"{words}."


def _admit(push):
    """A look first: within a run nothing changes but the time of the last push, which is written once a minute."""
    frappe.db.rollback()
    row = _find(push.origin)
    if row is None:
        _register(push.origin)
        row = _find(push.origin)
    refusal, changes = _judged(push, row)
    if changes:
        restart()
        # Locked, as it is now: another push may have been faster.
        refusal, changes = _judged(push, _find(push.origin, for_update()))
        if changes:
            _write(push.origin, **changes)
        frappe.db.commit()
    if refusal and refusal[1] in (OriginCloned, OriginRestored) and changes:
        frappe.logger("offline_sync").error("origin %s stopped: %s", push.origin, refusal[1].__name__)
    return max(int(row.low_water or 0), push.low_water), refusal


def _judged(push, row):
    """Why the push is refused, as (words, class) or None; and what has to be written on the origin's row."""
    if row.user != frappe.session.user:
        _refuse_foreign()
    if row.stopped:
        return _why_stopped(row), {}
    if row.home and push.home and row.home != push.home:
        place = push.site or _("a site without a name")
        return _stop(
            CLONED, _("This identity was used by a site in another place, and comes from {0} now."), place
        )
    verdict, seen = look_at_run(seen_from_json(_parsed(row.runs_seen)), push.run, push.run_key)
    if verdict is RunVerdict.CLONED:
        return _stop(CLONED, _("Two sites push under this identity: both sent run {0}."), row.run)
    if verdict is RunVerdict.RESTORED:
        return _stop(
            RESTORED, _("The branch was set back to an earlier state: run {0} was seen before."), row.run
        )
    wanted = {"runs_seen": canonical_json(seen.as_json())}
    if verdict is RunVerdict.LATE:
        return (_("This push is of a run that is over."), LatePush), _moved(row, wanted)
    wanted |= {"run": push.run, "low_water": max(int(row.low_water or 0), push.low_water)}
    wanted |= {name: value for name, value in (("home", push.home), ("site", push.site)) if value}
    now = now_datetime()
    if row.last_seen is None or abs((now - row.last_seen).total_seconds()) >= LAST_SEEN_EVERY:
        wanted["last_seen"] = now
    return None, _moved(row, wanted)


def _why_stopped(row):
    return row.stopped_reason, STOPPED.get(row.stopped_because, OriginStopped)


def _moved(row, wanted):
    return {name: value for name, value in wanted.items() if row[name] != value}


def _find(origin, lock=""):
    rows = frappe.db.sql(
        f"SELECT {_COLUMNS} FROM `tab{DOCTYPE}` WHERE `name` = %s{lock}",  # noqa: S608
        (origin,),
        as_dict=True,
    )
    return rows[0] if rows else None


def _stop(because, words, detail):
    reason = words.format(detail)
    changes = {
        "stopped": 1,
        "stopped_because": because,
        "stopped_reason": reason,
        "stopped_at": now_datetime(),
    }
    return (reason, STOPPED[because]), changes


def _register(origin):
    user = frappe.session.user
    name = frappe.db.get_value("User", user, "full_name") or user
    row = {"name": origin, "user": user, "branch_name": name, "run": 0, "low_water": 0, "stopped": 0}
    insert(f"tab{DOCTYPE}", row, or_ignore=True)
    frappe.db.commit()


def _refuse_foreign():
    frappe.throw(_("This origin belongs to another user."), OriginOfAnother)


def _write(origin, **values):
    columns = ", ".join(f"`{column}` = %s" for column in values)
    frappe.db.sql(f"UPDATE `tab{DOCTYPE}` SET {columns} WHERE `name` = %s", (*values.values(), origin))  # noqa: S608


def _parsed(text):
    return json.loads(text) if text else None
