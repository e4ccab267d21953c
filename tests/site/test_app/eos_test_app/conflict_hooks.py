"""Conflict hooks as an app of the branch would have them. Two are named in hooks.py and decide by a document's title;
the others the site is told to keep by their path."""

import os
import signal
import time

import frappe

NOT_A_FUNCTION = "server_wins"


def local_wins(conflict_id: str, conflict: dict) -> dict:
    return {"resolution": "local_wins"}


def raises(conflict_id: str, conflict: dict) -> dict:
    raise RuntimeError(f"cannot decide {conflict['local_data']}")


def answers_nonsense(conflict_id: str, conflict: dict) -> dict:
    return {"resolution": "whatever"}


def becomes_guest(conflict_id: str, conflict: dict) -> dict:
    """A hook that does not clean up: another user, and a write nobody asked for."""
    frappe.get_doc({"doctype": "ToDo", "description": "left by a hook"}).insert(ignore_permissions=True)
    frappe.set_user("Guest")
    return {"resolution": "server_wins"}


def dies(conflict_id: str, conflict: dict) -> None:
    """Takes its worker with it."""
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(conflict_id: str, conflict: dict) -> None:
    """In a call that no interruption reaches."""
    time.sleep(600)


def by_title(conflict_id: str, conflict: dict) -> dict | None:
    title = (conflict["local_data"] or {}).get("title")
    while title == "hook: for ever":
        pass
    return {"resolution": "local_wins"} if title == "hook: of the type" else None


def for_all(conflict_id: str, conflict: dict) -> dict | None:
    title = (conflict["local_data"] or {}).get("title")
    return {"resolution": "skip"} if title == "hook: of all" else None


@frappe.whitelist(methods=["POST"])
def close_day(shop: str) -> None:
    """A call of the central that is answered with a conflict and nothing more."""
    frappe.local.response["http_status_code"] = 409
