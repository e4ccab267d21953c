"""`bench --site S offline-sync …` as people and scripts use it, and the helpers for `bench console`."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from site_rig.client import SiteError, wait_until
from site_rig.world import make_older, requests_of, statuses

DONE, REFUSED, WRONG_USAGE, NEEDS_PERSON, OFFLINE = range(5)

COMMANDS = {
    "status": "3 where something needs a person",
    "run": "4 where the central cannot be reached",
    "enqueue": "Queue a call to the central",
    "list": "why each has not been sent",
    "show": "One request with its history",
    "export": "Every open request with its values",
    "retry": "Send requests again",
    "discard": "End a request unsent, for good",
    "pause": "Send nothing until",
    "resume": "End a pause",
    "conflicts": "3 where there are any",
    "resolve": "Decide a conflict",
    "undo": "while nothing of it was sent",
    "purge": "Delete ended requests",
    "connect": "Make this site a branch of the central",
    "policies": "a line a policy",
    "mark": "carry their request's id at a plain central",
    "identity": "Which branch this site is",
    "metrics": "how often the central was not reached",
    "doctor": "1 where there is a problem",
    "add-branch": "The secret is printed once",
    "branches": "3 where one is stopped",
    "stop-branch": "refuse a branch's pushes until",
    "clear-branch": "let a stopped branch push again",
}


def bench_helper(words: list[str], output: str) -> None:
    """Runs on the branch, in a process of its own, which it ends: what `bench --site … <words>` starts. Forked from
    one that has imported Frappe already, it costs a third of a new one."""
    import os
    import sys

    import frappe
    from frappe.utils.bench_helper import main

    site = frappe.local.site
    frappe.destroy()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    named = [] if words[0] == "--site" else ["--site", site]
    sys.argv = ["bench", "frappe", *named, *words]
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@pytest.fixture
def started(branch):
    """`started("status")`: its exit code, output and error output."""

    def call(*words: str) -> tuple[int, str, str]:
        output = branch.scratch("bench")
        code = branch.start(bench_helper, ["offline-sync", *words], str(output)).join()
        out, err = (Path(f"{output}.{name}").read_text() for name in ("out", "err"))
        assert "Traceback" not in out + err, out + err
        return code, out, err

    return call


@pytest.fixture
def bench(started):
    """`bench("status")`: its exit code and all it says."""

    def call(*words: str) -> tuple[int, str]:
        code, out, err = started(*words)
        return code, out + err

    return call


@pytest.fixture
def parsed(started):
    """`parsed("list")`: its exit code and what it prints as JSON."""

    def call(*words: str) -> tuple[int, Any]:
        code, out, _ = started(*words, "--json")
        return code, json.loads(out)

    return call


def all_helps() -> dict[str, str]:
    """Runs on the branch: the help of each command as bench's own helper finds it."""
    import click
    from click.testing import CliRunner
    from frappe.utils.bench_helper import get_app_commands

    group = get_app_commands("erp_offline_sync")["offline-sync"]
    names = group.list_commands(click.Context(group))
    asked = {name: CliRunner().invoke(group, [name, "--help"]) for name in names}
    return {name: " ".join(result.output.split()) for name, result in asked.items() if result.exit_code == 0}


def test_every_command_is_there_and_tells_what_it_does(branch):
    helps = branch.run(all_helps)
    assert sorted(helps) == sorted(COMMANDS)
    assert {name for name, text in COMMANDS.items() if text not in helps[name]} == set()
    help_of_all = branch.bench("offline-sync", "--help").stdout
    assert [name for name in COMMANDS if f"  {name} " not in help_of_all] == []


def test_status_run_and_list_tell_what_waits_and_why(branch, central, connected, bench, parsed):
    note = branch.insert({"doctype": "Shop Note", "title": "one"})["name"]
    code, told = parsed("status")
    assert (code, told["state"], told["pendingCount"], told["totals"]["waiting"]) == (DONE, "idle", 1, 1)
    with central.unreachable():
        code, told = parsed("run")
        assert (code, told["ended"], told["pendingCount"]) == (OFFLINE, "offline", 1)
        code, (row,) = parsed("list")
        assert (code, row["resource_id"], row["status"]) == (DONE, note, "Pending")
        assert row["why"].startswith("The central cannot be used (offline); next try ")
        code, text = bench("list")
        assert f"create Shop Note {note}" in text
        # Programs get UTC, people the clock of the site.
        assert re.search(r"next try \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\.$", row["why"])
        assert re.search(r"next try \d{4}-\d\d-\d\d \d\d:\d\d:\d\d IST\.$", text.strip())
    code, text = bench("run")
    assert (code, text.strip()) == (DONE, "done: 1 sent, 0 failed, 0 in conflict, 0 waiting")
    assert bench("list") == (DONE, "Nothing is open.\n")
    code, (row,) = parsed("list", "--all")
    assert (row["status"], row["why"][:6]) == ("Synced", "Synced")
    code, shown = parsed("show", row["name"])
    assert (code, shown["body"]["title"], shown["retry_count"]) == (DONE, "one", 0)
    assert "applied" in [attempt["event"] for attempt in shown["history"]]
    code, text = bench("status")
    assert "applied 1" in text
    synced = datetime.fromisoformat(parsed("status")[1]["lastSyncTime"]).astimezone(ZoneInfo("Asia/Kolkata"))
    assert f"Last sync  {synced:%Y-%m-%d %H:%M:%S} IST\n" in text
    code, text = bench("show", row["name"])
    assert re.search(r"^closed_at +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d IST$", text, re.MULTILINE)
    assert re.search(r"^history +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d IST applied", text, re.MULTILINE)
    assert "+00:00" not in text


def test_wrong_words_are_refused_with_what_would_be_right(branch, connected, bench):
    assert bench("show", "none") == (REFUSED, "There is no request none.\n")
    code, text = bench("list", "--status", "Nonsense")
    assert code == REFUSED
    assert "Needs Attention" in text
    assert bench("discard", "none")[0] == bench("pause")[0] == WRONG_USAGE
    code, text = bench("resolve", "none", "nonsense")
    assert code == WRONG_USAGE
    assert "local_wins" in text
    assert bench("resolve", "none", "skip") == (REFUSED, "There is no conflict none.\n")
    code, text = bench("enqueue", "POST", "https://evil.example/api/x")
    assert code == REFUSED
    assert "configured central only" in text
    assert requests_of(branch) == []


def test_a_run_is_refused_where_sending_is_paused_or_the_site_is_no_branch(branch, settings, bench, parsed):
    settings()
    branch.insert({"doctype": "Shop Note", "title": "waits"})
    assert bench("pause", "--reason", "stock taking") == (DONE, "Paused.\n")
    code, text = bench("run")
    assert code == REFUSED
    assert "Sending is paused by bench:" in text
    assert "(stock taking)" in text
    code, (row,) = parsed("list")
    assert "(stock taking)" in row["why"]
    assert "paused by bench:" in parsed("status")[1]["reason"]
    assert re.search(r"\(paused by bench:.* \(stock taking\) since 20.* IST\)", bench("status")[1])
    assert bench("resume") == (DONE, "Resumed.\n")
    assert bench("resume") == (DONE, "It was not paused.\n")
    assert statuses(branch) == [("create", "Pending")]
    settings(enabled=0)
    code, text = bench("run")
    assert code == REFUSED
    assert "not enabled as a branch" in text


def test_enqueue_prints_the_name_and_the_call_arrives(branch, central, connected, bench):
    code, name = bench("enqueue", "POST", "/api/resource/Shop Note", '{"title": "queued"}', "--priority", "0")
    assert code == DONE
    (row,) = branch.documents("Offline Request")
    assert (row["name"], row["priority"], row["operation"]) == (name.strip(), 0, "create")
    assert bench("run")[0] == DONE
    assert [note["title"] for note in central.documents("Shop Note")] == ["queued"]


def test_what_needs_a_person_is_retried_or_discarded(branch, central, connected, bench, parsed):
    """Discarding what others follow is confirmed first."""
    old = make_older(branch, {"doctype": "Shop Customer", "customer_name": "older than the app"})["name"]
    branch.save("Shop Customer", old, credit_limit=5)
    code, told = parsed("run")
    assert (code, told["totals"]["held"]) == (NEEDS_PERSON, 1)
    code, (row,) = parsed("list", "--status", "Needs Attention")
    assert "Send it whole, or discard this" in row["why"]
    assert bench("retry", "--all") == (DONE, f"{row['name']} Pending\n")
    assert parsed("run")[0] == NEEDS_PERSON
    branch.call("frappe.rename_doc", "Shop Customer", old, "Renamed")
    code, text = bench("discard", row["name"], "--reason", "never sent")
    later = requests_of(branch, operation="rename")[0]["name"]
    assert code == REFUSED
    assert "--take-along" in text
    assert later in text
    code, text = bench("discard", row["name"], "--reason", "never sent", "--take-along")
    assert (code, text) == (DONE, f"{row['name']} Discarded\n{later} Discarded\n")
    discarded = branch.documents("Offline Request")
    assert {(each["closed_by"][:6], each["reason"]) for each in discarded} == {("bench:", "never sent")}
    assert bench("purge", "--days", "0") == (DONE, "2 deleted\n")
    assert parsed("status")[1]["totals"]["discarded"] == 2, "the ledger counts what was purged"


def is_woken(rig: Any) -> bool:
    """Whether a run was put into the queue since this was asked last."""
    marks = rig.redis("KEYS", "rq:offline-sync-wake:*")
    rig.redis("FLUSHALL")
    return bool(marks)


def test_what_a_person_does_wakes_a_run(rig, branch, central, settings, bench):
    """From the shell and from the Desk: nobody waits for the next tick to see what became of it."""
    settings(default_strategy="Manual", sync_on_save=0)
    manager = branch.user("manager@shop.example", "Shop User", "Offline Sync Manager")
    notes = [branch.insert({"doctype": "Shop Note", "title": "both"})["name"] for _ in range(2)]
    branch.sync()
    for there in central.documents("Shop Note"):
        central.save("Shop Note", there["name"], category="B")
    for name in notes:
        branch.save("Shop Note", name, category="A")
    old = [make_older(branch, {"doctype": "Shop Note", "title": f"old {n}"})["name"] for n in range(2)]
    for name in old:
        branch.save("Shop Note", name, title="new")
    branch.sync()
    held = [row["name"] for row in requests_of(branch, status="Needs Attention")]
    conflicts = [row["name"] for row in branch.documents("Sync Conflict")]
    assert (len(held), len(conflicts)) == (2, 2)
    is_woken(rig)
    for words in (
        ("retry", held[0]),
        ("discard", held[0], "--reason", "typed twice"),
        ("resolve", conflicts[0], "local_wins"),
        ("resume",),
    ):
        assert bench(*words)[0] == DONE
        assert is_woken(rig), words
    for function, given in (
        ("retry", {"name": held[1]}),
        ("discard", {"name": held[1], "reason": "typed twice"}),
        ("resolve_conflict", {"conflict_id": conflicts[1], "resolution": "local_wins"}),
        ("resume", {}),
    ):
        assert manager.post(f"/api/method/erp_offline_sync.api.{function}", json=given).ok, function
        assert is_woken(rig), function
    assert bench("status")[0] == DONE
    assert not is_woken(rig)


def test_conflicts_are_listed_and_decided(branch, central, settings, bench, parsed):
    settings(default_strategy="Manual")
    note = branch.insert({"doctype": "Shop Note", "title": "both"})["name"]
    branch.sync()
    there = central.documents("Shop Note")[0]["name"]
    central.save("Shop Note", there, category="B")
    branch.save("Shop Note", note, category="A")
    assert parsed("run")[0] == NEEDS_PERSON
    code, (conflict,) = parsed("conflicts")
    assert (code, conflict["resource_id"], conflict["conflict_type"]) == (NEEDS_PERSON, note, "update_update")
    assert bench("resolve", conflict["name"], "local_wins") == (DONE, f"{conflict['name']} local_wins\n")
    code, text = bench("resolve", conflict["name"], "server_wins")
    assert code == REFUSED
    assert "already decided" in text
    assert bench("run")[0] == DONE
    assert central.get("Shop Note", there)["category"] == "A"
    assert bench("conflicts") == (DONE, "No conflict waits for a person.\n")


def _inserted(branch: Any) -> bool:
    """On SQLite a save that meets the run's own write is refused; people press Save again."""
    try:
        return bool(branch.insert({"doctype": "Shop Note", "title": "meanwhile"}))
    except SiteError as refused:
        if refused.kind != "QueryDeadlockError":
            raise
        return False


def test_run_forever_sends_what_comes_and_ends_on_sigterm(branch, central, connected):
    process = branch.bench_start("offline-sync", "run", "--forever")
    try:
        for number in (1, 2):
            wait_until(lambda: _inserted(branch))
            wait_until(lambda number=number: central.count("Shop Note") == number)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, "Traceback" in out + err) == (DONE, False)


def test_another_site_or_none_is_told_how_to_go_on(branch, central):
    without = central.bench("offline-sync", "status", check=False)
    assert without.returncode == REFUSED
    assert f"bench --site {central.name} install-app erp_offline_sync" in without.stderr
    asked = ["--site", "nosuch.localhost", "offline-sync", "status"]
    output = branch.scratch("bench")
    assert branch.start(bench_helper, asked, str(output)).join() == REFUSED
    out, err = (Path(f"{output}.{name}").read_text() for name in ("out", "err"))
    assert (out, err) == ("", "There is no site nosuch.localhost on this bench.\n")


# ---------------------------------------------------------------- the console


def test_the_consoles_helpers_answer_in_plain_values(branch, central, connected):
    branch.insert({"doctype": "Shop Note", "title": "from the console"})
    (row,) = requests_of(branch)
    assert branch.call("erp_offline_sync.console.explain", row["name"]) == "Goes with the next run."
    assert branch.call("erp_offline_sync.console.status")["pendingCount"] == 1
    sent = branch.call("erp_offline_sync.console.sync_now")
    assert sent == "done: 1 sent, 0 failed, 0 in conflict"
    assert central.count("Shop Note") == 1
    assert branch.call("erp_offline_sync.console.explain", row["name"]).startswith("Synced ")
    with pytest.raises(SiteError) as unknown:
        branch.call("erp_offline_sync.console.explain", "none")
    assert unknown.value.kind == "NotFound"


# ---------------------------------------------------------------- doctor


@pytest.fixture
def doctor(branch):
    """`doctor()`: what it finds, by name."""

    def examine() -> dict[str, dict[str, str]]:
        checks = branch.call("erp_offline_sync.api.doctor")
        assert all(check["todo"] for check in checks if check["state"] == "problem"), "and what to do"
        return {check["name"]: check for check in checks}

    return examine


def test_doctor_finds_a_healthy_branch_healthy(rig, branch, central, connected, worker):
    rig.service("start", "scheduler")
    try:
        branch.call("frappe.db.set_value", "Scheduled Job Type", _JOB, "last_execution", _now(branch))
        branch.sync()
        done = branch.bench("offline-sync", "doctor", "--json")
    finally:
        rig.service("stop", "scheduler")
    found = {check["name"]: check for check in json.loads(done.stdout)}
    assert [name for name, check in found.items() if check["state"] == "problem"] == []
    assert found["connection"]["message"] == f"Logged in as {central.api_user}"
    assert found["clock"]["state"] == "ok"
    assert "frappe" in found["version of the central"]["message"]
    assert (found["time zone"]["state"], found["time zone"]["message"]) == (
        "warning",
        "Here Asia/Kolkata, at the central America/New_York.",
    )


_JOB = {"method": "erp_offline_sync.tasks.run_offline_sync"}


def _now(branch: Any) -> str:
    return branch.call("frappe.utils.now")


def test_doctor_names_what_is_wrong_at_the_branch(rig, branch, connected, doctor, bench):
    """The scheduler off or silent, no worker, no Redis, sending paused, somebody asked for."""
    set_value = "frappe.db.set_value"
    system = ("System Settings", "System Settings", "enable_scheduler")
    branch.call(set_value, "Scheduled Job Type", _JOB, "last_execution", "2020-01-01 00:00:00")
    branch.call("erp_offline_sync.api.pause", "stock taking")
    found = doctor()
    assert (found["worker"]["state"], found["worker"]["message"]) == (
        "problem",
        "No worker listens on the queue long.",
    )
    assert (found["scheduler"]["state"], "minutes ago" in found["scheduler"]["message"]) == ("problem", True)
    assert "Sending is paused by Administrator (stock taking)" in found["outbox"]["message"]
    branch.call(set_value, *system, 0)
    try:
        with rig.redis_down("queue"):
            code, text = bench("doctor")
    finally:
        branch.call(set_value, *system, 1)
    assert code == REFUSED
    assert "NO  scheduler: It is off." in text
    assert f"→ bench --site {branch.name} enable-scheduler" in text
    assert "NO  redis: The queue's Redis cannot be reached" in text


@contextlib.contextmanager
def _plain_server() -> Iterator[int]:
    """Answers in plain text whatever it is asked, as web servers do on a port without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = server.accept()
                    with line:
                        line.recv(1000)
                        line.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_doctor_names_what_keeps_the_central_from_being_used(branch, central, settings, doctor):
    """Nothing there, no TLS where there should be, another kind of server, wrong credentials, a missing secret."""
    settings(central_url=f"http://127.0.0.1:{_closed_port()}")
    found = doctor()
    assert (found["connection"]["state"], "Look at the line" in found["connection"]["todo"]) == (
        "problem",
        True,
    )
    with _plain_server() as port:
        settings(central_url=f"https://127.0.0.1:{port}")
        found = doctor()
    assert (found["connection"]["state"], "certificate" in found["connection"]["todo"]) == ("problem", True)
    settings(central_url=f"{central.url}/elsewhere")
    found = doctor()
    assert (found["connection"]["state"], "URL" in found["connection"]["todo"]) == ("problem", True)
    settings(api_secret="not-the-secret")
    found = doctor()
    assert (found["connection"]["state"], "API key and secret" in found["connection"]["todo"]) == (
        "problem",
        True,
    )


def test_doctor_names_what_the_branchs_user_may_not_do_at_the_central(branch, central, settings, doctor):
    """Told before the first sale is refused: may not read it, or only read it."""
    from site_rig.client import make_user

    def as_user(*roles):
        key, secret = central.run(make_user, "reader@shop.example", list(roles))
        settings([{"document_type": "Shop Sale"}, {"document_type": "ToDo"}], api_key=key, api_secret=secret)
        return {name: check for name, check in doctor().items() if name.startswith("permission")}

    assert as_user("Shop User") == {}
    (refused,) = as_user().values()
    assert (refused["name"], refused["state"]) == ("permission on Shop Sale", "problem")
    assert "answers 403" in refused["message"]
    central.run(_may_read_only, "Shop Sale")
    try:
        (refused,) = as_user("Reader").values()
    finally:
        central.call("frappe.permissions.reset_perms", "Shop Sale")
    assert "may not create or write Shop Sale" in refused["message"]


def _may_read_only(doctype: str) -> None:
    """Runs on the central: the role Reader."""
    import frappe
    from frappe.permissions import add_permission

    if not frappe.db.exists("Role", "Reader"):
        frappe.get_doc({"doctype": "Role", "role_name": "Reader", "desk_access": 1}).insert()
    add_permission(doctype, "Reader", 0)


def test_doctor_names_a_key_that_others_use_too(branch, central, connected, doctor):
    """Documents made by the branch's user that the branch knows nothing of: what is in doubt could be theirs."""
    branch.insert({"doctype": "Shop Note", "title": "ours"})
    branch.sync()
    assert doctor()["user of the key"]["state"] == "ok"
    assert central.rest.post("/api/resource/Shop Note", json={"title": "of another branch"}).ok
    found = doctor()["user of the key"]
    assert found["state"] == "warning"
    assert "1 Shop Note" in found["message"]


def test_doctor_asks_for_the_credentials_again_after_a_restore_without_its_key(branch, connected, doctor):
    def other_key(key):
        import frappe
        from frappe.installer import update_site_config

        kept = frappe.get_site_config().get("encryption_key")
        update_site_config("encryption_key", key)
        return kept

    kept = branch.run(other_key, "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=")
    try:
        found = doctor()
    finally:
        branch.run(other_key, kept)
    assert found["settings"]["state"] == "problem"
    assert "Enter the credentials again" in found["settings"]["todo"]
