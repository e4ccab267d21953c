"""Where a secret and a document's values may be found after all that a branch goes through, and where not.

One customer's name and one API secret, which occur nowhere else, go through captures and runs that end in every way.
Then each place is searched. A document's values are allowed in the document and in our own rows about it; the secret
is allowed nowhere but encrypted.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from site_rig.client import wait_until
from site_rig.world import make_older, requests_of

NAME = f"Zanzibar-Canary-7731-{uuid.uuid4().hex[:8]}"
SECRET = f"SecretCanary9{uuid.uuid4().hex}"
WRONG_SECRET = f"SecretCanary0{uuid.uuid4().hex}"
SECRETS = (SECRET, WRONG_SECRET)

ROWS_ABOUT_DOCUMENTS = {"Offline Request", "Synced Document", "Sync Conflict"}
THE_DOCUMENTS = {"Shop Customer", "Shop Note", "Shop Sale"}
THEIR_HISTORY = {f"Version of {doctype}" for doctype in THE_DOCUMENTS}


@dataclass
class Traces:
    """What was found, once everything had happened."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    """needle → tables and columns of the branch's database that hold it"""
    events: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


class LosingProxy(http.server.ThreadingHTTPServer):
    """Stands before the central: questions are answered, the answer to everything else is lost."""

    daemon_threads = True

    def __init__(self, central: Any) -> None:
        super().__init__(("127.0.0.1", 0), _Losing)
        self.central = central


class _Losing(http.server.BaseHTTPRequestHandler):
    def _forward(self) -> Any:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {
            name: self.headers[name] for name in ("Authorization", "Content-Type") if self.headers[name]
        }
        return self.server.central.guest.request(self.command, self.path, data=body, headers=headers)

    def do_GET(self) -> None:
        answer = self._forward()
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def do_POST(self) -> None:
        self._forward()
        self.close_connection = True

    do_PUT = do_DELETE = do_POST

    def log_message(self, *words: Any) -> None:
        """The test's output is for the tests."""


@contextlib.contextmanager
def losing_answers(central: Any) -> Iterator[str]:
    proxy = LosingProxy(central)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


@contextlib.contextmanager
def listening(port: int, heard: list[str]) -> Iterator[None]:
    """Everything that is published in the Redis of the realtime server."""
    import redis

    client = redis.Redis(port=port)
    channel = client.pubsub(ignore_subscribe_messages=True)
    channel.psubscribe("*")
    done = threading.Event()

    def listen() -> None:
        while not done.is_set():
            message = channel.get_message(timeout=0.1)
            if message:
                heard.append(message["data"].decode(errors="replace"))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        channel.close()
        client.close()


def api_user(secret: str) -> str:
    """Runs on the central: a user of this branch's own with that secret; answers the key."""
    import frappe

    email = "canary@shop.example"
    if not frappe.db.exists("User", email):
        user = frappe.get_doc({"doctype": "User", "email": email, "first_name": "C", "send_welcome_email": 0})
        user.insert()
    user = frappe.get_doc("User", email)
    user.add_roles("System Manager", "Shop User")
    user.reload()
    user.api_key = user.api_key or frappe.generate_hash(length=15)
    user.api_secret = secret
    user.save()
    return user.api_key


def run_that_breaks() -> None:
    """Runs on the branch, as a worker runs it: an error whose text and variables hold everything."""
    import frappe
    from frappe.utils.background_jobs import execute_job

    from erp_offline_sync.adapters.rest_central import RestCentral

    def deliver(self, wire, *, key):
        everything = f"{wire.body} {''.join(self._secrets)}"
        raise RuntimeError(everything)

    RestCentral.deliver = deliver
    method = "erp_offline_sync.tasks.run_offline_sync"
    execute_job(
        frappe.local.site, method, None, method, {"trigger": "person", "force": True}, user="Administrator"
    )


def execute_scheduled_jobs() -> None:
    """Runs on the branch: our jobs as the scheduler's worker executes them, with their log."""
    import frappe

    for name in frappe.get_all(
        "Scheduled Job Type", {"method": ("like", "erp_offline_sync.%")}, pluck="name"
    ):
        frappe.get_doc("Scheduled Job Type", name).execute()


def search_database(needles: list[str]) -> dict[str, list[str]]:
    """Runs on the branch: which table and column holds which text. Logs that wait in Redis are written first."""
    import frappe
    from frappe.deferred_insert import save_to_db

    save_to_db()
    frappe.db.commit()
    found = {needle: set() for needle in needles}
    own = "select table_name from information_schema.tables where table_schema = database()"
    mariadb = frappe.db.db_type == "mariadb"
    for table in frappe.db.sql_list(own) if mariadb else frappe.db.get_tables(cached=False):
        for row in frappe.db.sql(f"select * from `{table}`", as_dict=True):
            for column, value in row.items():
                text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
                for needle in needles:
                    if needle in text:
                        about = f" of {row['ref_doctype']}" if table == "tabVersion" else ""
                        found[needle].add(f"{table.removeprefix('tab')}{about}.{column}")
    return {needle: sorted(where) for needle, where in found.items()}


def search_redis(port: int) -> list[str]:
    """All that the queue's Redis holds, as text; RQ packs its jobs."""
    import redis

    client = redis.Redis(port=port)
    texts = []
    read = {
        b"string": lambda key: [client.get(key)],
        b"hash": lambda key: [part for pair in client.hgetall(key).items() for part in pair],
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": lambda key: [part for _, entry in client.xrange(key) for part in entry.values()],
    }
    for key in client.scan_iter():
        for value in (key, *read[client.type(key)](key)):
            with contextlib.suppress(zlib.error):
                value = zlib.decompress(value)
            texts.append(value.decode(errors="replace"))
    client.close()
    return texts


def our_logs(rig: Any, central: str) -> dict[str, str]:
    """What stands in the log folders of the bench and the branch. What the central, a plain Frappe on the same
    bench, logs of requests that it refuses is its own."""
    folders = (Path(rig.facts["logs"]), Path(rig.sites_path) / rig.branch.name / "logs")
    logs = {}
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        if not path.name.startswith("central"):
            entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", path.read_text(errors="replace"), flags=re.MULTILINE)
            logs[str(path)] = "".join(entry for entry in entries if f"Site: {central}" not in entry)
    return logs


@pytest.fixture(scope="module")
def traces(rig, branch, central):
    rig.empty()
    found = Traces()
    port = rig.facts["ports"]["redis_queue"]
    settings = {"api_key": central.run(api_user, SECRET), "api_secret": SECRET}
    rig.set_up_branch(**settings)
    rig.service("start", "worker")
    try:
        with listening(port, found.events):
            go_through_everything(rig, branch, central, settings, found)
            wait_until(lambda: any("idle" in event for event in found.events))
        found.jobs = search_redis(port)
    finally:
        rig.service("stop", "worker")
    found.tables = branch.run(search_database, [NAME, *SECRETS])
    found.logs = our_logs(rig, central.name)
    yield found
    rig.set_up_branch([], enabled=0)
    rig.empty()


def go_through_everything(
    rig: Any, branch: Any, central: Any, settings: dict[str, str], found: Traces
) -> None:
    clerk = branch.user("clerk@shop.example", "Shop User", "Offline Sync User")
    manager = branch.user("manager@shop.example", "Shop User", "Offline Sync Manager", "System Manager")
    api = "/api/method/erp_offline_sync.api."

    def ask(what: str, answer: Any) -> Any:
        found.answers[f"{len(found.answers)} {what}"] = answer.text
        return answer

    def customer(**values: Any) -> str:
        given = {"customer_name": NAME, **values}
        return ask("save", clerk.post("/api/resource/Shop Customer", json=given)).json()["data"]["name"]

    def all_done() -> bool:
        return not requests_of(branch, status=("in", ("Pending", "In Flight", "Retry Scheduled", "Waiting")))

    # Applied, by the worker.
    name = customer(mobile=f"{NAME}-1")
    wait_until(all_done)
    rig.service("stop", "worker")

    # A conflict about the document, decided by a rule, with a hook that fails, and by a person.
    there = central.documents("Shop Customer", {"customer_name": NAME})[0]["name"]
    for strategy, path in (("Last Write Wins", None), ("Manual", "eos_test_app.conflict_hooks.raises")):
        rig.set_up_branch(**settings, default_strategy=strategy)
        if path:
            ask("hook", manager.post(f"{api}register_conflict_hook", json={"doctype": "*", "path": path}))
        central.save("Shop Customer", there, credit_limit=7, customer_name=f"{NAME} there {strategy}")
        branch.save("Shop Customer", name, customer_name=f"{NAME} here {strategy}")
        branch.sync()
    for conflict in ask("conflicts", clerk.get(f"{api}get_pending_conflicts")).json()["message"]:
        given = {"conflict_id": conflict["name"], "resolution": "local_wins"}
        ask("resolve", clerk.post(f"{api}resolve_conflict", json=given))
    branch.sync()

    # Refused, for a unique value and for a link: the central's words hold the values.
    central.insert({"doctype": "Shop Customer", "customer_name": "another", "mobile": f"{NAME}-2"})
    customer(mobile=f"{NAME}-2")
    branch.sync()
    body = {"customer": NAME, "items": [{"item": NAME, "qty": 1}]}
    given = {"method": "POST", "path": "/api/resource/Shop Sale", "body": body}
    ask("enqueue", clerk.post(f"{api}enqueue_request", json=given))
    old = make_older(branch, {"doctype": "Shop Note", "title": NAME})["name"]
    branch.save("Shop Note", old, body=NAME)
    branch.sync()
    for row in requests_of(branch, status="Needs Attention"):
        ask("explain", clerk.get(f"{api}explain", params={"name": row["name"]}))

    # Not answered, then found; not reached; refused for its credentials.
    with losing_answers(central) as url:
        rig.set_up_branch(**settings, central_url=url)
        customer()
        branch.sync()
    rig.set_up_branch(**settings)
    branch.sync(later=600)
    with central.unreachable():
        customer()
        branch.sync(force=True)
        for what in ("test_connection", "doctor"):
            ask(what, manager.post(f"{api}{what}"))
    rig.set_up_branch(**{**settings, "api_secret": WRONG_SECRET})
    branch.sync(force=True)
    for what in ("test_connection", "doctor", "get_sync_status"):
        ask(what, manager.post(f"{api}{what}") if what != "get_sync_status" else manager.get(f"{api}{what}"))
    ask("status", manager.get(f"{api}get_sync_status"))

    # Errors: in the run, in a call, in a save; our jobs as the scheduler runs them.
    rig.set_up_branch(**settings)
    branch.start(run_that_breaks).join()
    for wrong in (
        {"method": "POST", "path": "/api/resource/Shop Customer", "body": f"{{{NAME}"},
        {"method": "POST", "path": "/api/resource/Shop Customer", "body": {"naming_series": [NAME]}},
        {"method": "POST", "path": "/api/resource/Shop Sale", "body": {"items": NAME}},
        {"method": "POST", "path": "/api/resource/Shop Sale", "body": {"items": [NAME]}},
        {"method": "POST", "path": "/api/resource/Shop Customer", "body": {"x": NAME}, "priority": NAME},
        {
            "method": "PUT",
            "path": f"/api/resource/Shop Customer/{NAME}",
            "body": {"x": NAME},
            "overwrite": NAME,
        },
    ):
        ask("bad input", clerk.post(f"{api}enqueue_request", json=wrong))
    ask("bad input", clerk.post(f"{api}force_sync", json={"doctypes": f"[{NAME}"}))
    rig.set_up_branch(**settings, max_body_mb=1)
    ask("too large", clerk.post("/api/resource/Shop Note", json={"body": NAME * 40_000}))
    branch.run(execute_scheduled_jobs)
    branch.sync(later=600)

    # Every way to ask for the settings.
    settings_path = "Offline Sync Settings/Offline Sync Settings"
    form = {"doctype": "Offline Sync Settings", "name": "Offline Sync Settings"}
    ask("rest", manager.get(f"/api/resource/{settings_path}"))
    ask("rest v2", manager.get(f"/api/v2/document/{settings_path}"))
    ask("form", manager.get("/api/method/frappe.desk.form.load.getdoc", params=form))
    ask("saved", manager.put(f"/api/resource/{settings_path}", json={"retention_days": 8}))
    field_of_it = {**form, "fieldname": "api_secret"}
    ask("value", manager.get("/api/method/frappe.client.get_value", params=field_of_it))
    ask(
        "single value",
        manager.get(
            "/api/method/frappe.client.get_single_value", params={**field_of_it, "field": "api_secret"}
        ),
    )
    ask("password", manager.get("/api/method/frappe.client.get_password", params=field_of_it))
    ask("doctor", manager.post(f"{api}doctor"))
    for words in (("doctor", "--json"), ("list", "--json", "--all")):
        done = branch.bench("offline-sync", *words, check=False)
        found.answers[f"bench {words[0]}"] = done.stdout + done.stderr


def test_the_canary_went_through_everything(traces, branch):
    """Otherwise all that follows would prove nothing."""
    ways = {(row["operation"], row["status"]) for row in requests_of(branch)}
    assert {("create", "Synced"), ("update", "Synced"), ("create", "Conflict")} <= ways, ways
    assert ("create", "Needs Attention") in ways
    decided = {row["resolved_by"] for row in branch.documents("Sync Conflict")}
    assert {"rule:Last Write Wins", "clerk@shop.example", None} <= decided, decided
    titles = {row["method"] for row in branch.documents("Error Log")}
    assert "Offline sync: RuntimeError" in titles
    assert any("run failed" in text for text in traces.logs.values())
    assert any('"sync-state-changed"' in event for event in traces.events)
    assert any("run_offline_sync" in job for job in traces.jobs)
    histories = " ".join(row["history"] or "" for row in branch.documents("Offline Request"))
    assert [event for event in ("applied", "unanswered", "conflict") if event not in histories] == []


def test_documents_values_are_in_the_document_and_our_rows_about_it_only(traces):
    where = {place.partition(".")[0] for place in traces.tables[NAME]}
    assert where >= ROWS_ABOUT_DOCUMENTS
    assert where - ROWS_ABOUT_DOCUMENTS - THE_DOCUMENTS - THEIR_HISTORY == set(), traces.tables[NAME]


@pytest.mark.parametrize("secret", SECRETS, ids=["good", "wrong"])
def test_the_secret_is_readable_nowhere_in_the_database(secret, traces):
    assert traces.tables[secret] == []


@pytest.mark.parametrize("needle", [NAME, *SECRETS], ids=["name", "secret", "wrong-secret"])
def test_no_log_job_or_event_holds_it(needle, traces):
    assert [path for path, text in traces.logs.items() if needle in text] == []
    assert [text for text in traces.events if needle in text] == []
    assert [text[:200] for text in traces.jobs if needle in text] == []


@pytest.mark.parametrize("secret", SECRETS, ids=["good", "wrong"])
def test_no_answer_tells_the_secret(secret, traces):
    assert [what for what, text in traces.answers.items() if secret in text] == []


def test_nothing_that_was_asked_ended_in_an_error_that_frappe_would_log_with_its_variables(traces, branch):
    ours = [row["method"] for row in branch.documents("Error Log")]
    assert {title for title in ours if not title.startswith("Offline sync: ")} == set()
