"""Deadlocks and lock time-outs at the central are tried again here, before the branch hears of them.

A deadlock undoes the whole transaction, save points included, and Frappe runs nothing again by itself. So what is
tried again begins with a rollback and builds its documents anew.
"""

import random
import time

import frappe

TRIES = 3
_PAUSE = 0.1
"""Seconds before the second try; each further one waits twice as long, both by up to half more."""
_CHANGED_SINCE_READ = 1020
"""MariaDB's number for a row that moved after the transaction's view of it began."""


def is_contention(error):
    """Whether transactions stood in each other's way."""
    if isinstance(error, frappe.QueryDeadlockError | frappe.QueryTimeoutError):
        return True
    return bool(getattr(error, "args", None)) and error.args[0] == _CHANGED_SINCE_READ


def tried_again(work):
    """What `work()` answers; it is called up to three times, and what it raises at last is raised."""
    for turn in range(TRIES):
        try:
            return work()
        except Exception as error:
            frappe.db.rollback()
            if turn + 1 == TRIES or not is_contention(error):
                raise
        time.sleep(_PAUSE * 2**turn * random.uniform(1, 1.5))  # noqa: S311 - no secret
