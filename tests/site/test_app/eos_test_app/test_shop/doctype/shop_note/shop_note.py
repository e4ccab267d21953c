import os
import signal
import time
from pathlib import Path

import frappe
from frappe.model.document import Document

HOSTILE = "<script>window.struck=1</script><img src=x onerror='window.struck=1'>\u202egnp.exe\u202c"


class ShopNote(Document):
    def on_update(self):
        PRANKS.get(self.title, _nothing)(self)


@frappe.whitelist(methods=["POST"])
def insert_and_fail(title: str):
    """A request that goes wrong after its document was saved."""
    frappe.get_doc({"doctype": "Shop Note", "title": title}).insert()
    frappe.throw("and then it failed")


# What code of a central may do in the middle of a save


def _nothing(note):
    pass


def _commits(note):
    frappe.db.commit()


def _commits_and_fails(note):
    frappe.db.commit()
    frappe.throw("half of it stands")


def _half_done_by_a_push(note):
    if frappe.flags.in_offline_push:
        note.db_set("body", "half of it")
        _commits_and_fails(note)


def _done_by_a_push_that_fails(note):
    if frappe.flags.in_offline_push:
        _commits_and_fails(note)


def _rolls_back(note):
    frappe.db.rollback()


def _leaves_a_mess(note):
    frappe.set_user("Guest")
    frappe.flags.ignore_permissions = True
    frappe.flags.in_import = True
    frappe.msgprint("a message nobody asked for")
    frappe.local.lang = "fr"
    frappe.local.response["http_status_code"] = 418
    frappe.throw("and fails")


def _becomes_guest(note):
    frappe.set_user("Guest")


def _deadlocks_twice(note):
    if _turn(note) < 3:
        raise frappe.QueryDeadlockError("of another transaction")


def _always_deadlocks(note):
    _turn(note)
    raise frappe.QueryDeadlockError("of another transaction")


def _kills_its_worker_once(note):
    if _turn(note) == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def _kills_every_worker_that_applies_it(note):
    if frappe.flags.in_offline_push:
        os.kill(os.getpid(), signal.SIGKILL)


def _breaks_what_applies_it(note):
    if frappe.flags.in_offline_push:
        raise KeyError("of some other code")


def _takes_its_time(note):
    Path(note.body).touch()
    time.sleep(2)


def _fails_after_the_commit(note):
    frappe.db.after_commit.add(lambda: 1 / 0)


def _writes_after_the_commit(note):
    """Nobody commits that: it is of no transaction of this request."""
    todo = {"doctype": "ToDo", "description": note.title}
    frappe.db.after_commit.add(lambda: frappe.get_doc(todo).insert(ignore_permissions=True))


def _refuses_pushes(note):
    if frappe.flags.in_offline_push:
        frappe.throw("The central takes no such note.")


def _refuses_at_length(note):
    """What the message holds is text, as what its author quotes in it may be anything."""
    if frappe.flags.in_offline_push:
        frappe.throw(frappe.utils.escape_html(HOSTILE + " " + "no-blank-in-it" * 30 + " A word more." * 150))


def _tells_others(note):
    """Mail, jobs and another document."""
    if not frappe.are_emails_muted():
        frappe.throw("mail would go out")
    frappe.enqueue("frappe.ping")
    frappe.enqueue("frappe.ping", enqueue_after_commit=True)
    frappe.get_doc({"doctype": "ToDo", "description": note.title}).insert(ignore_permissions=True)


def _breaks(note):
    raise KeyError(note.body)


def _tells_what_is_cached(note):
    """Of its customer, as code asks that is in a hurry."""
    about = ("Shop Customer", note.customer, "credit_limit")
    told = (frappe.db.get_value(*about, cache=True), frappe.get_cached_value(*about))
    note.db_set("body", "|".join(f"{limit:g}" for limit in told))


def _locks_two_others(note):
    """The body: a file for its turns, a sign of another session, and two notes. It locks the first, waits until the
    other session has the second, and asks for that."""
    turns, sign, first, second = note.body.split("|")
    _lock(first)
    _count(turns)
    until = time.monotonic() + 20
    while not os.path.exists(sign) and time.monotonic() < until:
        time.sleep(0.01)
    _lock(second)


def _lock(name):
    frappe.db.sql("update `tabShop Note` set `weight` = `weight` + 1 where `name` = %s", (name,))


def _turn(note):
    """How many times this was reached, whatever became of the transactions. The body names a file."""
    return _count(note.body)


def _count(path):
    with open(path, "a+b") as file:
        file.write(b".")
        return file.tell()


PRANKS = {
    "commits": _commits,
    "commits and fails": _commits_and_fails,
    "half done by a push": _half_done_by_a_push,
    "done by a push that fails": _done_by_a_push_that_fails,
    "rolls back": _rolls_back,
    "leaves a mess": _leaves_a_mess,
    "becomes guest": _becomes_guest,
    "deadlocks twice": _deadlocks_twice,
    "always deadlocks": _always_deadlocks,
    "tells what is cached": _tells_what_is_cached,
    "locks two others": _locks_two_others,
    "kills its worker once": _kills_its_worker_once,
    "kills every worker that applies it": _kills_every_worker_that_applies_it,
    "breaks what applies it": _breaks_what_applies_it,
    "takes its time": _takes_its_time,
    "writes after the commit": _writes_after_the_commit,
    "fails after the commit": _fails_after_the_commit,
    "refuses pushes": _refuses_pushes,
    "refuses at length": _refuses_at_length,
    "tells others": _tells_others,
    "breaks": _breaks,
}
