"""The far end of `client.SiteProcess`: a process of a site, as a web worker or a background worker is one.

`python -m site_rig.agent SITE`, inside the sites folder. One JSON job a line in, one JSON answer a line out:
`call` runs a job here, in one transaction that is committed or rolled back; `fork` runs it in a child that may be
killed, told to crash, or left alone, and `poll` asks what became of that. An agent is used for one or the other: a
process that forks holds no connection and no thread of Frappe's.
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any


def main(site: str) -> None:
    # What Frappe prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A forked child then starts at once.
    import frappe.utils.background_jobs  # noqa: F401

    import erp_offline_sync.tasks  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        answer = {"call": call, "fork": fork, "poll": poll}[order.pop("do")](site=site, **order)
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()


def call(*, site: str, job: dict[str, Any]) -> dict[str, Any]:
    import frappe

    try:
        frappe.init(site, sites_path=os.getcwd(), force=True)
        frappe.connect()
        frappe.db.rollback()  # begins a transaction; Frappe on SQLite has none open on a new connection
        frappe.set_user(job.get("user") or "Administrator")
        result = _run(job)
        frappe.db.commit()
        return {"result": result}
    except BaseException as error:
        if frappe.db:
            frappe.db.rollback()
        return _failure(error)
    finally:
        frappe.destroy()


def fork(*, site: str, job: dict[str, Any], env: dict[str, str], result: str) -> dict[str, Any]:
    child = os.fork()
    if child:
        return {"result": child}
    # The child must never fall back into the loop above, whatever happens.
    try:
        os.environ.update(env)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if "SITE_RIG_LATER" in os.environ:
            from . import later

            later.move_clock(float(os.environ["SITE_RIG_LATER"]))
        if "ERP_OFFLINE_SYNC_CRASH_AT" in os.environ:
            from . import crash

            crash.arm(os.environ["ERP_OFFLINE_SYNC_CRASH_AT"], Path(os.environ["ERP_OFFLINE_SYNC_CRASH_LOG"]))
        answer = _as_job(site, job) if job.get("as_job") else call(site=site, job=job)
        Path(result + ".part").write_text(json.dumps(answer, default=str))
        os.replace(result + ".part", result)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def poll(*, site: str, pid: int) -> dict[str, Any]:
    """None while it runs; else its exit code, negative where a signal ended it."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return {"result": os.waitstatus_to_exitcode(status) if done else None}


def _as_job(site: str, job: dict[str, Any]) -> dict[str, Any]:
    """As a background worker runs it: Frappe's own wrapper makes the connection, commits, logs and ends it."""
    from frappe.utils.background_jobs import execute_job

    try:
        done = execute_job(
            site, job["method"], None, job["method"], job["kwargs"], user=job.get("user") or "Administrator"
        )
        return {"result": done}
    except BaseException as error:
        return _failure(error)


def _run(job: dict[str, Any]) -> Any:
    import frappe
    from frappe.model.document import Document

    if "source" in job:
        names: dict[str, Any] = {"__builtins__": builtins, "__name__": "site_test"}
        exec(compile(job["source"], f"<{job['method']}>", "exec"), names)
        method = names[job["method"]]
    elif job["method"].startswith("frappe.db."):
        method = getattr(frappe.db, job["method"].removeprefix("frappe.db."))
    else:
        method = frappe.get_attr(job["method"])
    result = method(*job["args"], **job["kwargs"])
    return result.as_dict() if isinstance(result, Document) else result


def _failure(error: BaseException) -> dict[str, Any]:
    return {
        "error": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


if __name__ == "__main__":
    main(sys.argv[1])
