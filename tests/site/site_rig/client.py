"""The tests' side of a rig: its sites, each with processes, a web server and REST, and what can be broken."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import json
import os
import signal
import socket
import subprocess
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from . import services

Json = dict[str, Any]
SETTINGS: Json = {"enabled": 1, "role": "Branch", "processing_interval": 1000, "sync_on_save": 1}
POLICIES: tuple[Json, ...] = (
    {"document_type": "Shop Item", "same_names": 1, "priority": 3},
    {"document_type": "Shop Customer"},
    {"document_type": "Shop Sale", "set_values": '{"set_posting_time": 1}'},
    {"document_type": "Shop Note"},
    {"document_type": "ToDo"},
)
_SYNC_JOB = "erp_offline_sync.tasks.run_offline_sync"
# What tests leave on a site, emptied before and after each test that asks for it.
_OURS = (
    "Offline Request",
    "Offline Request Link",
    "Synced Document",
    "Sync Conflict",
    "Sync Metadata",
    "Sync Receipt",
    "Sync Origin",
)
_TRADED = (
    "Shop Sale",
    "Shop Sale Item",
    "Shop Customer",
    "Shop Item",
    "Shop Note",
    "Shop Group",
    "ToDo",
    "Error Log",
)


class SiteError(Exception):
    """What was asked of a site raised there. `kind` is the exception's class name."""

    def __init__(self, kind: str, message: str, trace: str) -> None:
        super().__init__(f"{kind}: {message}\n{trace}")
        self.kind = kind
        self.message = message


class Rig:
    """Everything, read from the file and the socket that the driver handed over."""

    def __init__(self) -> None:
        self.facts: Json = json.loads(Path(os.environ["SITE_RIG"]).read_text())
        self._control = socket.socket(fileno=int(os.environ["SITE_RIG_CONTROL"]))
        self._control_lines = self._control.makefile("rw")
        self.folder = Path(self.facts["folder"])
        self.sites_path = self.facts["sites_path"]
        self.branch = SiteProcess(self, "branch")
        self.central = SiteProcess(self, "central")
        self.companion = SiteProcess(self, "companion") if "companion" in self.facts["sites"] else None

    @property
    def sites(self) -> list[SiteProcess]:
        return [site for site in (self.branch, self.central, self.companion) if site]

    def service(self, do: str, name: str, number: int = signal.SIGTERM) -> int | None:
        """start, stop (by that signal; SIGKILL takes its children too), pause (hang), resume, or pid."""
        self._control_lines.write(json.dumps({"do": do, "service": name, "signal": int(number)}) + "\n")
        self._control_lines.flush()
        answer = json.loads(self._control_lines.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["pid"]

    def redis(self, *words: str, which: str = "queue") -> Any:
        return services.redis_command(self.facts["ports"][f"redis_{which}"], *words)

    @contextlib.contextmanager
    def redis_down(self, *which: str) -> Iterator[None]:
        """Both Redis are gone, or the named ones ("queue", "cache"); they come back empty."""
        names = [f"redis_{name}" for name in which or ("queue", "cache")]
        for name in names:
            self.service("stop", name, signal.SIGKILL)
        try:
            yield
        finally:
            for name in names:
                self.service("start", name)

    def empty(self) -> None:
        """No request, no test document, no job and no wake mark anywhere."""
        for site in self.sites:
            site.run(empty_tables, [*_OURS, *_TRADED])
        self.redis("FLUSHALL")

    def set_up_branch(self, policies: Sequence[Json] | None = None, **values: Any) -> None:
        """The branch's settings become: the defaults, this central, the test doctypes' policies, and what is
        given here. Saved only where that is not what they are."""
        central = {
            "central_url": self.central.url,
            "api_key": self.central.api_key,
            "api_secret": self.central.api_secret,
        }
        rows = POLICIES if policies is None else policies
        self.branch.run(save_settings, {**SETTINGS, **central, **values, "policies": list(rows)})

    def close(self) -> None:
        for site in self.sites:
            site.close()
        self._control_lines.close()
        self._control.close()


def empty_tables(doctypes: list[str]) -> None:
    """Runs on a site: delete every row of those that it has, and forget what is cached of them."""
    import frappe

    for doctype in doctypes:
        if frappe.db.table_exists(doctype):
            # The branch's identity stays: without it the site would be a restored backup.
            kept = " where `name` <> 'origin'" if doctype == "Sync Metadata" else ""
            frappe.db.sql(f"delete from `tab{doctype}`{kept}")
            frappe.cache.delete_keys(f"document_cache::{doctype}::")


def save_settings(values: Json) -> None:
    """Runs on a site."""
    import frappe
    from frappe.utils.password import get_decrypted_password

    def stated(doc):
        framework = {"name", "owner", "creation", "modified", "modified_by", "idx", "docstatus", "api_secret"}
        rows = [doc, *doc.policies]
        return [
            {
                field: str(value or "")
                for field, value in row.get_valid_dict().items()
                if field not in framework and not field.startswith("parent")
            }
            for row in rows
        ]

    name = "Offline Sync Settings"
    doc, wanted = frappe.get_doc(name), frappe.new_doc(name)
    wanted.update(values)
    kept = get_decrypted_password(name, name, "api_secret", raise_exception=False)
    if stated(doc) == stated(wanted) and values.get("api_secret") in (None, kept):
        return
    doc.update({key: value for key, value in wanted.as_dict().items() if doc.meta.has_field(key)})
    doc.update(values)
    doc.save()


class Worker:
    """The bench's background worker, for all sites."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def start(self) -> None:
        self._rig.service("start", "worker")

    def stop(self) -> None:
        """As a deploy does: SIGTERM, and the job that runs may end first."""
        self._rig.service("stop", "worker")

    def kill(self) -> None:
        """The worker and the job that runs, at once."""
        self._rig.service("stop", "worker", signal.SIGKILL)

    @property
    def pid(self) -> int | None:
        return self._rig.service("pid", "worker")


class Rest:
    """A user's HTTP session with a site; paths are taken below its URL. Answers are `requests.Response`."""

    def __init__(self, url: str, key: str | None = None, secret: str | None = None) -> None:
        import requests

        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        if key:
            self.session.headers["Authorization"] = f"token {key}:{secret}"

    def request(self, method: str, path: str, **more: Any) -> Any:
        return self.session.request(method, self.url + path, timeout=60, allow_redirects=False, **more)

    def get(self, path: str, **more: Any) -> Any:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> Any:
        return self.request("POST", path, **more)

    def put(self, path: str, **more: Any) -> Any:
        return self.request("PUT", path, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.request("DELETE", path, **more)


@dataclass(frozen=True, kw_only=True)
class Crashed:
    """What became of a run that was told to crash: was it killed, and the steps that it had done, by name."""

    killed: bool
    steps: list[str]


class Running:
    """A job in a process of its own."""

    def __init__(self, agent: _Agent, pid: int, result: Path) -> None:
        self._agent = agent
        self.pid = pid
        self._result = result
        self._code: int | None = None

    def alive(self) -> bool:
        return self._poll(0) is None

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.alive():
            os.kill(self.pid, number)

    def join(self, timeout: float = 60.0) -> int:
        """Its exit code: 0, or minus the signal that ended it. Raises TimeoutError."""
        code = self._poll(timeout)
        if code is None:
            raise TimeoutError(f"process {self.pid} still runs after {timeout} s")
        return code

    def wait(self, timeout: float = 60.0) -> Any:
        """What the job answered. Raises SiteError where it raised, RuntimeError where it was killed."""
        code = self.join(timeout)
        if not self._result.exists():
            raise RuntimeError(f"process {self.pid} ended with {code} and answered nothing")
        return _unpack(json.loads(self._result.read_text()))

    def _poll(self, timeout: float) -> int | None:
        deadline = time.monotonic() + timeout
        while self._code is None:
            self._code = self._agent.ask(do="poll", pid=self.pid)
            if self._code is None and time.monotonic() >= deadline:
                break
            time.sleep(0.01)
        return self._code


class _Agent:
    def __init__(self, rig: Rig, site: str, purpose: str) -> None:
        self._one_at_a_time = threading.Lock()
        with (Path(rig.facts["logs"]) / f"{site}.{purpose}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [rig.facts["python"], "-m", "site_rig.agent", site],
                cwd=rig.sites_path,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def ask(self, **order: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        with self._one_at_a_time:
            self._process.stdin.write(json.dumps(order, default=str) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the site's process ended with {self._process.wait()}")
        return _unpack(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class SiteProcess:
    """One of the sites, as other processes see it: nothing here shares a transaction with the test."""

    _numbers = itertools.count(1)

    def __init__(self, rig: Rig, role: str) -> None:
        self._rig = rig
        self.role = role
        facts = rig.facts["sites"][role]
        self.name: str = facts["name"]
        self.url: str = facts["url"]
        self.port: int = rig.facts["ports"][role]
        self.time_zone: str = facts["time_zone"]
        self.apps: list[str] = facts["apps"]
        self.api_user: str = facts["user"]
        self.api_key: str = facts["api_key"]
        self.api_secret: str = facts["api_secret"]

    # in a process that stays

    @cached_property
    def _caller(self) -> _Agent:
        return _Agent(self._rig, self.name, "calls")

    @cached_property
    def _forker(self) -> _Agent:
        return _Agent(self._rig, self.name, "forks")

    def call(self, method: str, *args: Any, user: str | None = None, **kwargs: Any) -> Any:
        """A function by its dotted path, in one transaction, committed. Values travel as JSON."""
        return self._caller.ask(do="call", job=_job(method, args, kwargs, user))

    def run(self, function: Callable[..., Any], *args: Any, user: str | None = None, **kwargs: Any) -> Any:
        """A function of the test, sent as its source: it sees its arguments and what it imports."""
        return self._caller.ask(do="call", job=_job(function, args, kwargs, user))

    # in a process of its own

    def start(
        self,
        function: Callable[..., Any] | str,
        *args: Any,
        user: str | None = None,
        env: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> Running:
        """As `call` or `run`, in a process that can be waited for and killed."""
        return self._fork(_job(function, args, kwargs, user), env or {})

    def start_job(
        self, method: str = _SYNC_JOB, *, env: dict[str, str] | None = None, **kwargs: Any
    ) -> Running:
        """A background job as a worker runs it (Frappe's own wrapper), without queue or worker."""
        return self._fork({**_job(method, (), kwargs, None), "as_job": True}, env or {})

    def scheduler_tick(self, timeout: float = 90.0) -> Any:
        """What the scheduler would run once a minute, to its end."""
        return self.start_job().wait(timeout)

    def sync(self, timeout: float = 90.0, *, later: float = 0, **kwargs: Any) -> Any:
        """A run that a person asked for, to its end; answers why it ended. `later` runs it as if so many
        seconds had passed for the outbox: a killed run's lease lasts for minutes."""
        return self.start_job(env=_later(later), **{"trigger": "person", **kwargs}).wait(timeout)

    def kill_at(self, step: int | str, *, timeout: float = 90.0, later: float = 0, **kwargs: Any) -> Crashed:
        """A sync run that is killed right after a step (see `crash`): its number from 1, or its name.
        With "never" it goes through, and the answer lists all steps."""
        log = self.scratch("steps")
        env = {
            "ERP_OFFLINE_SYNC_CRASH_AT": str(step),
            "ERP_OFFLINE_SYNC_CRASH_LOG": str(log),
            **_later(later),
        }
        run = self.start_job(env=env, **{"trigger": "person", **kwargs})
        killed = run.join(timeout) == -signal.SIGKILL
        if not killed:
            run.wait()
        return Crashed(killed=killed, steps=log.read_text().split() if log.exists() else [])

    def _fork(self, job: Json, env: dict[str, str]) -> Running:
        result = self.scratch("result")
        pid = self._forker.ask(do="fork", job=job, env=env, result=str(result))
        return Running(self._forker, pid, result)

    def bench(
        self, *words: str, check: bool = True, timeout: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """`bench --site <this one> …`, to its end; output as text."""
        with self.bench_start(*words) as process:
            out, err = process.communicate(timeout=timeout)
        if check and process.returncode:
            raise RuntimeError(f"bench {' '.join(words)} ended with {process.returncode}\n{out}\n{err}")
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def bench_start(self, *words: str) -> subprocess.Popen[str]:
        argv = [self._rig.facts["python"], "-m", "frappe.utils.bench_helper", "frappe", "--site", self.name]
        return subprocess.Popen(
            [*argv, *words],
            cwd=self._rig.sites_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # its web server

    def down(self) -> None:
        """Its web server is gone: connections are refused."""
        self._rig.service("stop", f"{self.role}_web", signal.SIGKILL)

    def up(self) -> None:
        self._rig.service("start", f"{self.role}_web")

    @contextlib.contextmanager
    def unreachable(self) -> Iterator[None]:
        self.down()
        try:
            yield
        finally:
            self.up()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Connections are accepted and nothing answers, until the end of the block."""
        self._rig.service("pause", f"{self.role}_web")
        try:
            yield
        finally:
            self._rig.service("resume", f"{self.role}_web")

    @cached_property
    def rest(self) -> Rest:
        """As the API user: System Manager and Shop User."""
        return Rest(self.url, self.api_key, self.api_secret)

    @cached_property
    def guest(self) -> Rest:
        return Rest(self.url)

    def user(self, email: str, *roles: str) -> Rest:
        """A user with exactly these roles, made or changed; as that user."""
        key, secret = self.run(make_user, email, list(roles))
        return Rest(self.url, key, secret)

    # documents, each in a transaction of its own, as Administrator

    def insert(self, doc: Json) -> Json:
        def insert(doc):
            import frappe

            return frappe.get_doc(doc).insert()

        return self._as_a_request(insert, doc)

    def get(self, doctype: str, name: str) -> Json:
        return self.call("frappe.get_doc", doctype, name)

    def exists(self, doctype: str, name: str) -> bool:
        return bool(self.call("frappe.db.exists", doctype, name))

    def documents(
        self, doctype: str, filters: Any = None, fields: Any = ("*",), order_by: str = "creation asc"
    ) -> Any:
        return self.call("frappe.get_all", doctype, filters=filters, fields=list(fields), order_by=order_by)

    def count(self, doctype: str, filters: Any = None) -> int:
        return int(self.call("frappe.db.count", doctype, filters))

    def save(self, doctype: str, name: str, **values: Any) -> Json:
        def save(doctype, name, values):
            import frappe

            return frappe.get_doc(doctype, name).update(values).save()

        return self._as_a_request(save, doctype, name, values)

    def submit(self, doctype: str, name: str) -> Json:
        return self._move(doctype, name, "submit")

    def cancel(self, doctype: str, name: str) -> Json:
        return self._move(doctype, name, "cancel")

    def _move(self, doctype: str, name: str, move: str) -> Json:
        def to(doctype, name, move):
            import frappe

            doc = frappe.get_doc(doctype, name)
            getattr(doc, move)()
            return doc

        return self._as_a_request(to, doctype, name, move)

    def _as_a_request(self, change: Callable[..., Any], *args: Any) -> Any:
        """On SQLite a request of the Desk and a run take turns; a process like this one does not, and may be told
        that the database is locked. Nothing of the change is there then, and it is made again."""
        for wait in (0.1, 0.3, 1.0, 3.0, None):
            try:
                return self.run(change, *args)
            except SiteError as error:
                if wait is None or "database is locked" not in error.message:
                    raise
                time.sleep(wait)
        raise AssertionError("the last turn answers or raises")

    def delete(self, doctype: str, name: str) -> None:
        self.call("frappe.delete_doc", doctype, name)

    def scratch(self, name: str) -> Path:
        """A path that no one has written yet, for a process to leave a sign at."""
        path = self._rig.folder / "scratch" / f"{name}-{next(self._numbers)}"
        path.unlink(missing_ok=True)
        return path

    def close(self) -> None:
        for attribute in ("_caller", "_forker"):
            if attribute in self.__dict__:
                self.__dict__.pop(attribute).close()


def make_user(email: str, roles: list[str]) -> tuple[str, str]:
    """Runs on a site; answers the user's API key and a new secret."""
    import frappe

    if not frappe.db.exists("User", email):
        frappe.get_doc(
            {"doctype": "User", "email": email, "first_name": email, "send_welcome_email": 0}
        ).insert()
    user = frappe.get_doc("User", email)
    user.set("roles", [])
    user.append_roles(*roles)
    user.api_key = user.api_key or frappe.generate_hash(length=15)
    user.api_secret = secret = frappe.generate_hash(length=15)
    user.save()
    return user.api_key, secret


def wait_until(true: Callable[[], Any], timeout: float = 30.0, every: float = 0.1) -> Any:
    """What it answers once that is true. Raises TimeoutError with its last answer."""
    deadline = time.monotonic() + timeout
    while not (answer := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {timeout} s")
        time.sleep(every)
    return answer


def _later(seconds: float) -> dict[str, str]:
    return {"SITE_RIG_LATER": str(seconds)} if seconds else {}


def _job(method: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: Json, user: str | None) -> Json:
    job: Json = {"args": args, "kwargs": kwargs, "user": user}
    if isinstance(method, str):
        return {**job, "method": method}
    source = textwrap.dedent(inspect.getsource(method))
    return {**job, "method": method.__name__, "source": source}


def _unpack(answer: Json) -> Any:
    if "error" in answer:
        raise SiteError(answer["error"], answer["message"], answer["traceback"])
    return answer["result"]
