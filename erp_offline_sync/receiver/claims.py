"""Claims and receipts: one row for each request, by which none is applied twice.

A request's claim is committed before its effect begins; the receipt is that row, finished in the transaction of the
effect. Whoever finishes must still hold the claim (its token), so that of two deliveries one is undone. A claim
whose time is over and that was not finished had no effect, except where the row says `in_doubt`: that is written,
by the commit itself, where code of the central commits in the middle. Time is the database's.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta

import frappe
from frappe.utils import add_days, now_datetime

from erp_offline_sync.adapters.statements import affected, database_now, for_update, insert
from erp_offline_sync.engine.sending.push import PushOutcome, PushResult, ReceiptState
from erp_offline_sync.receiver.contention import tried_again

DOCTYPE = "Sync Receipt"
OUTCOMES = ("claimed", "queued", "in_doubt", "applied")
CLAIMED, QUEUED, IN_DOUBT, APPLIED = OUTCOMES
CLAIM_SECONDS = 150
"""Longer than a web worker lives on one request (120 s)."""
KEPT_DAYS = 90
PURGE_SECONDS = 60
_PURGED_AT_ONCE = 1000
_NO_NAME = {"<", ">"}
"""No document can be called so: a branch asked to delete something that cannot be."""

_TABLE = f"`tab{DOCTYPE}`"
_COLUMNS = "`outcome`, `fingerprint`, `claim_token`, `claimed_until`, `reference_name`, `version`, `document_docstatus`"


@dataclass(frozen=True)
class Claim:
    """The right to apply one request. `queued`: it was handed to a background job of the central before."""

    row: str
    token: str
    queued: bool = False


class DatabaseTime:
    """The database's time, asked for once and carried on by this process: for the minute that a push takes."""

    def __init__(self):
        self._asked, self._began = database_now(), time.monotonic()

    def now(self):
        return self._asked + timedelta(seconds=time.monotonic() - self._began)


class Claims:
    """Those of one push. While a request is applied, the next one's is `reserved` in its transaction, so that one
    commit does for both: a claim is committed before its own effect begins either way."""

    def __init__(self, origin, low_water):
        self._origin = origin
        self._low_water = low_water
        self._clock = DatabaseTime()
        self._reserved = None

    def claim(self, request):
        """A Claim, committed; or the PushResult that says why there is none."""
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            if _is_begun():
                frappe.db.rollback()
            return reserved
        return tried_again(lambda: self._claim(request))

    def reserve(self, request):
        """A Claim that stands once the transaction under way is committed; None where there is no such request, or it is
        known already."""
        if request is None or request.number < self._low_water:
            return None
        return self._taken(request)

    def keep(self, reserved):
        """What was reserved is committed now."""
        self._reserved = reserved

    def end(self):
        """Withdraw what was reserved for a request that this push has no time for. Commits."""
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            withdraw(reserved)

    def _claim(self, request):
        """What is known already is answered by a look that waits for nobody, not even for an effect under way."""
        is_new = frappe.db.db_type != "sqlite" and request.number >= self._low_water
        if not is_new or _is_begun():
            frappe.db.rollback()
        # Nearly always nobody knows it. On SQLite whoever writes waits for all others who do: there it is looked
        # first.
        claimed = self._taken(request) if is_new else None
        if claimed is None:
            if is_new:
                # It locked the row of whoever has it.
                frappe.db.rollback()
            row, now = _row_name(self._origin, request.id), self._clock.now()
            found = _find(row)
            answer = _already(found, request, now) if found else None
            if answer is None and found is None and request.number < self._low_water:
                answer = PushResult(id=request.id, outcome=PushOutcome.TOO_OLD)
            if answer is not None:
                return answer
            turn_to_writing()
            claimed = _take_over(row, request, now) if found else self._taken(request)
        frappe.db.commit()
        # Another delivery was faster by a moment.
        return claimed or _running(request)

    def _taken(self, request):
        """A Claim of what nobody knows; None where somebody does."""
        claimed = Claim(row=_row_name(self._origin, request.id), token=secrets.token_hex(16))
        values = {
            "name": claimed.row,
            "origin": self._origin,
            "request_id": request.id,
            "number": request.number,
            "fingerprint": request.fingerprint,
            "operation": request.operation.value,
            "outcome": CLAIMED,
            "claim_token": claimed.token,
            "claimed_until": _until(self._clock.now()),
        }
        return claimed if insert(f"tab{DOCTYPE}", values, or_ignore=True) else None


def _is_begun():
    """Whether other apps did anything after the last commit, which would become part of ours."""
    waiting = (frappe.db.before_commit, frappe.db.after_commit)
    return bool(frappe.db.transaction_writes) or any(callbacks._functions for callbacks in waiting)


def _take_over(row, request, now):
    """The row was there and nobody's, by a look that took no lock: locked, it has to be so still."""
    found = _find(row, for_update())
    if found is None:
        return _running(request)
    answer = _already(found, request, now)
    if answer is not None:
        return answer
    claimed = Claim(row=row, token=secrets.token_hex(16), queued=found.outcome == QUEUED)
    _change(row, claim_token=claimed.token, claimed_until=_until(now))
    return claimed


def _until(now):
    return (now + timedelta(seconds=CLAIM_SECONDS)).isoformat(timespec="microseconds")


def _running(request):
    return PushResult(id=request.id, outcome=PushOutcome.RUNNING, retry_after=1)


def _already(found, request, now):
    """What an earlier delivery of this id has to say; None where it may be applied."""
    if found.fingerprint != request.fingerprint:
        return PushResult(id=request.id, outcome=PushOutcome.MISMATCH)
    if found.outcome == APPLIED:
        return PushResult(id=request.id, outcome=PushOutcome.DUPLICATE, **_known(found))
    if _is_live(found, now):
        return _running(request)
    if found.outcome == IN_DOUBT:
        return PushResult(id=request.id, outcome=PushOutcome.IN_DOUBT, name=found.reference_name)
    return None


def finish(claimed, *, doctype, name, version, docstatus):
    """Make the claim a receipt, in the transaction of the effect; False where another delivery took it over."""
    return _change(
        claimed.row,
        token=claimed.token,
        outcome=APPLIED,
        claim_token=None,
        claimed_until=None,
        reference_doctype=doctype,
        reference_name=None if name is None or set(name) & _NO_NAME else name,
        version=version,
        document_docstatus=docstatus or 0,
    )


def doubt(claimed):
    """In the transaction that somebody else commits: half of an effect may stand from now on."""
    if _holds(claimed):
        _change(claimed.row, outcome=IN_DOUBT)


def queue(claimed):
    """In the transaction that leaves the rest to a background job of the central."""
    if _holds(claimed):
        _change(claimed.row, outcome=QUEUED, claim_token=None, claimed_until=None)


def withdraw(claimed):
    """Nothing was done: the same id may come again. Commits. A row in doubt stays as it is, but for its claim."""

    def work():
        restart()
        found = _find(claimed.row, for_update())
        if found is not None and found.claim_token == claimed.token:
            if found.outcome == CLAIMED:
                frappe.db.sql(f"DELETE FROM {_TABLE} WHERE `name` = %s", (claimed.row,))  # noqa: S608
            else:
                _change(claimed.row, claim_token=None, claimed_until=None)
        frappe.db.commit()

    tried_again(work)


def receipt(origin, request_id):
    """What a branch is told of one of its requests."""
    found = _find(_row_name(origin, request_id))
    if found is None:
        return {"outcome": ReceiptState.NONE.value}
    if found.outcome == APPLIED:
        return {"outcome": ReceiptState.APPLIED.value, **_known(found)}
    if _is_live(found, database_now()) or found.outcome == QUEUED:
        return {"outcome": ReceiptState.RUNNING.value}
    state = ReceiptState.IN_DOUBT if found.outcome == IN_DOUBT else ReceiptState.NONE
    return {"outcome": state.value}


def purge_old_receipts(days=KEPT_DAYS, seconds=PURGE_SECONDS):
    """Daily: delete the receipts older than so many days that their branch has closed, a thousand at a time."""
    until = time.monotonic() + seconds
    before = add_days(now_datetime(), -days)
    deleted = 0
    for origin in frappe.get_all("Sync Origin", fields=["name", "low_water"]):
        while time.monotonic() < until:
            names = frappe.db.sql(
                f"""SELECT `name` FROM {_TABLE} WHERE `origin` = %s AND `number` < %s AND `modified` < %s
                LIMIT {_PURGED_AT_ONCE}""",  # noqa: S608
                (origin.name, origin.low_water or 0, before),
            )
            for (name,) in names:
                frappe.db.sql(f"DELETE FROM {_TABLE} WHERE `name` = %s", (name,))  # noqa: S608
            frappe.db.commit()
            deleted += len(names)
            if len(names) < _PURGED_AT_ONCE:
                break
    return deleted


# rows


def restart():
    """A transaction of its own, with a view of the present."""
    frappe.db.rollback()
    _take_the_turn()


def turn_to_writing():
    """From here on the transaction, which has done nothing but look at rows of ours, writes. On SQLite it begins
    anew for that; elsewhere what it writes, it sees as it is by then."""
    if frappe.db.db_type == "sqlite":
        restart()


def _take_the_turn():
    """On SQLite, the one write lock: a transaction that has read can no longer write once another one has written."""
    if frappe.db.db_type == "sqlite":
        frappe.db.sql(f"UPDATE {_TABLE} SET `outcome` = `outcome` WHERE `name` = ''")  # noqa: S608


def _holds(claimed):
    found = _find(claimed.row, for_update())
    return found is not None and found.claim_token == claimed.token


def _find(row, lock=""):
    rows = frappe.db.sql(
        f"SELECT {_COLUMNS} FROM {_TABLE} WHERE `name` = %s{lock}",  # noqa: S608
        (row,),
        as_dict=True,
    )
    return rows[0] if rows else None


def _change(row, *, token=None, **values):
    """Whether the row is there, and has that claim token where one is given."""
    full = {**values, "modified": frappe.utils.now()}
    columns = ", ".join(f"`{column}` = %s" for column in full)
    held, by = (" AND `claim_token` = %s", (token,)) if token else ("", ())
    frappe.db.sql(f"UPDATE {_TABLE} SET {columns} WHERE `name` = %s{held}", (*full.values(), row, *by))  # noqa: S608
    return affected() == 1


def _known(found):
    """What the receipt says of the document; a deleted one, or a call, has no version."""
    docstatus = found.document_docstatus if found.version else None
    return {"name": found.reference_name, "version": found.version, "docstatus": docstatus}


def _is_live(found, now):
    return (
        bool(found.claim_token)
        and bool(found.claimed_until)
        and found.claimed_until > now.isoformat(timespec="microseconds")
    )


def _row_name(origin, request_id):
    """The same for the same request, so that the primary key itself refuses a second claim."""
    return hashlib.sha256(f"{origin}\n{request_id}".encode()).hexdigest()[:40]
