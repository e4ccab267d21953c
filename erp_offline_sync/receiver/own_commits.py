"""Notices where code of the central commits, or rolls back, in the middle of a request.

A commit inside a document's save leaves half an effect if the rest then fails. Frappe tells before each commit, so
the request's row is marked in that very commit: whoever dies after it leaves a request in doubt, never one that
would be applied again.
"""

import frappe

from erp_offline_sync.receiver.claims import doubt


class Transaction:
    """The transaction of one request's effect, begun. `broken`: something was committed before its end;
    `undone`: something of it was rolled back by somebody else."""

    def __init__(self, claimed):
        self._claimed = claimed
        self._ending = False
        self._committed = False
        self.broken = False
        self.undone = False
        self._listen()

    def commit(self):
        """Ours. What other apps want to do after it cannot make it undone: their errors are logged."""
        self._ending = True
        pending = frappe.db.after_commit
        pending.add(self._stands)
        pending._functions.rotate(1)  # before all others
        try:
            frappe.db.commit()
        except Exception as error:
            if not self._committed:
                raise
            _log(error)
            _run_rest(pending)

    def _listen(self):
        frappe.db.before_commit.add(self._before_commit)
        frappe.db.before_rollback.add(self._before_rollback)

    def _before_commit(self):
        if self._ending:
            return
        self.broken = True
        doubt(self._claimed)
        frappe.db.after_commit.add(self._listen)

    def _before_rollback(self):
        self.undone = True

    def _stands(self):
        self._committed = True


def _run_rest(pending):
    while pending._functions:
        try:
            pending.run()
        except Exception as error:
            _log(error)


def _log(error):
    frappe.logger("offline_sync").error("after a push's commit: %s", type(error).__name__)
