"""A central on loopback that holds documents and answers as a Frappe site does, by rule.

What it answers was taken from running sites (hooks-docs/testing.md): versions, the silent overwrite without one, the
rows that vanish, defaults, states, links, names. tests/contract sends one list of requests to it and to real sites.
Faults are ordered ahead: answers that get lost, errors, a line that is down. Every request is one transaction.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from operator import eq, ge, gt, le, lt, ne
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from erp_offline_sync.engine.errors import MessageTooLarge, UnreadableMessage
from erp_offline_sync.engine.model import Reply, Wire
from erp_offline_sync.engine.sending.pushed import PUSH, RECEIPTS, REHEARSE
from erp_offline_sync.testing.model_companion import ModelCompanion

__all__ = ["API_KEY", "API_SECRET", "Call", "DocTypeRule", "Fault", "FieldRule", "Refusal", "StandInCentral"]

API_KEY = "stand-in-key"
API_SECRET = "stand-in-secret"  # opens nothing but this server
USER = "sync@branch.example"
_TABLE = "Table"
_NUMBERS: Mapping[str, Callable[[float], int | float]] = {
    "Int": int,
    "Check": lambda value: 1 if value else 0,
    "Float": float,
    "Currency": float,
}
_MOMENTS = frozenset({"Date", "Datetime", "Time"})
_OWN_FIELDS = ("name", "owner", "creation", "modified", "modified_by", "docstatus", "idx")
_ROW_FIELDS = ("parent", "parentfield", "parenttype")
_PAGE = "<!doctype html>\n<html lang=en>\n<title>{status} {title}</title>\n<h1>{title}</h1>\n"
_BODY_LIMIT = 25 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """One field. `options` is a link's doctype, a table's row doctype, or a select's choices, one a line."""

    fieldtype: str = "Data"
    options: str = ""
    default: Any = None
    """`Today` in a date field stands for the central's date."""
    required: bool = False
    unique: bool = False
    allow_on_submit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DocTypeRule:
    """One doctype, as far as its answers depend on it.

    `autoname`: `hash`, `prompt`, `field:<fieldname>`, `title:<fieldname>` (that field's value, with ` - 1` behind it
    where it is taken: a silent duplicate) or a series such as `INV-.YYYY.-.#####`.
    `validate` may change the document before it is stored, or raise Refusal.
    """

    name: str
    fields: Mapping[str, FieldRule]
    autoname: str = "hash"
    submittable: bool = False
    allow_rename: bool = True
    is_table: bool = False
    validate: Callable[[dict[str, Any], StandInCentral], None] | None = None


class Refusal(Exception):
    """An error as the framework raises it."""

    def __init__(self, status: int, exc_type: str, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.exc_type = exc_type
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that came in, with the status it was answered; None where the answer was withheld."""

    method: str
    path: str
    body: Any
    status: int | None
    key: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What happens to a request instead of its answer.

    With `status` it is answered so, as `exc_type` in JSON or as a page. Without, the connection is closed with no
    answer. `applies`: it is carried out first, and only its answer is lost or replaced.
    """

    status: int | None = None
    exc_type: str | None = None
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    page: str | None = None
    applies: bool = False
    delay: float = 0.0


@dataclass(slots=True)
class _Order:
    fault: Fault
    times: int
    matches: Callable[[str, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: Any = None
    page: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _Turn(threading.local):
    """Whether this thread is in a document's write."""

    taken = False


def _writes_document(method: str, segments: list[str]) -> bool:
    return method != "GET" and {"resource", "document"} & set(segments[2:4]) != set()


def is_write(method: str, path: str) -> bool:
    """Requests that carry documents or a call; look-ups and probes are not."""
    return method != "GET" and path not in (RECEIPTS, REHEARSE)


def anything(method: str, path: str) -> bool:
    return True


class StandInCentral:
    """Start with `with StandInCentral(rules) as central:` or `start()` and `close()`; address in `url`.

    `clock` gives aware UTC. `zone` and `clock_offset` are those of the central's own wall clock. With
    `takes_names` a create may name a hash-named document (Frappe 16).

    For benchmarks it is as slow as it is told: `seconds_per_request` for each request, all at once, and
    `seconds_per_document` for each document written, by so many `writers` at once. `uneven` draws each of these
    times from the seed, within that share of it.
    """

    def __init__(
        self,
        rules: Iterable[DocTypeRule],
        *,
        zone: str = "UTC",
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        clock_offset: timedelta = timedelta(0),
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
        user: str = USER,
        takes_names: bool = False,
        methods: Mapping[str, Callable[[dict[str, Any]], Any]] | None = None,
        seconds_per_request: float = 0.0,
        seconds_per_document: float = 0.0,
        writers: int = 1,
        uneven: float = 0.0,
        seed: int | None = None,
        companion: bool = False,
    ) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.zone = zone
        self.clock = clock
        self.clock_offset = clock_offset
        self.api_key, self.api_secret, self.user = api_key, api_secret, user
        self.takes_names = takes_names
        self.methods = dict(methods or {})
        self.seconds_per_request = seconds_per_request
        self.seconds_per_document = seconds_per_document
        self._uneven = uneven
        self._delays = random.Random(seed)
        self._turn = _Turn()
        self._writers = threading.BoundedSemaphore(writers)
        self.calls: list[Call] = []
        self.denied: set[str] = set()
        """Doctypes that our user has no permission for."""
        self._store: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in self.rules}
        self._series: dict[str, int] = {}
        self._orders: deque[_Order] = deque()
        self._random = random.Random(seed)
        self._last = datetime(1970, 1, 1, tzinfo=timezone.utc)
        self._lock = threading.RLock()
        self.has_companion = companion
        """Whether the app is installed there as well; may change while it runs."""
        self.companion = ModelCompanion(
            rest=self._rest,
            look=self._look,
            wall_clock=self._wall_clock,
            user=user,
            time_zone=zone,
            turn=self._writing,
            stopwatch=time.monotonic,
            undoing=self._undoing,
        )
        self._server: _Server | None = None
        # Holds the port while the server is down, so that nothing else gets it.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port: int = self._place.getsockname()[1]

    # the line

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> StandInCentral:
        return self.up()

    def up(self) -> StandInCentral:
        """Listen; does nothing where it does."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", self.port), self)
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def down(self) -> None:
        """Refuse connections and break those that are open; what was begun is carried out all the same."""
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.server_close()
            server.break_connections()

    def close(self) -> None:
        self.down()
        self._place.close()

    def __enter__(self) -> StandInCentral:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # faults

    def fault(self, fault: Fault, *, times: int = 1, matches: Callable[[str, str], bool] = is_write) -> None:
        """The next so many requests that match meet this; orders are served one after the other."""
        with self._lock:
            self._orders.append(_Order(fault, times, matches))

    def fail(
        self,
        status: int,
        exc_type: str | None = None,
        *,
        times: int = 1,
        message: str = "",
        page: str | None = None,
        retry_after: str | None = None,
        matches: Callable[[str, str], bool] = is_write,
    ) -> None:
        """The next so many requests are answered so, and not carried out."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        fault = Fault(status=status, exc_type=exc_type, message=message, page=page, headers=headers)
        self.fault(fault, times=times, matches=matches)

    def swallow(self, *, times: int = 1, matches: Callable[[str, str], bool] = is_write) -> None:
        """Carry the next so many requests out and lose their answers."""
        self.fault(Fault(applies=True), times=times, matches=matches)

    def drop(self, *, times: int = 1, matches: Callable[[str, str], bool] = is_write) -> None:
        """Break the connection of the next so many requests and carry nothing out."""
        self.fault(Fault(), times=times, matches=matches)

    def heal(self) -> None:
        """Forget the faults that are still ordered."""
        with self._lock:
            self._orders.clear()

    def _fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for order in self._orders:
                if order.matches(method, path):
                    order.times -= 1
                    if order.times <= 0:
                        self._orders.remove(order)
                    return order.fault
        return None

    # the central's own people

    def documents(self, doctype: str) -> list[dict[str, Any]]:
        """Every document of the doctype, by the order of their making."""
        with self._lock:
            return deepcopy(sorted(self._store[doctype].values(), key=lambda doc: str(doc["creation"])))

    def document(self, doctype: str, name: str) -> dict[str, Any] | None:
        with self._lock:
            return deepcopy(self._store[doctype].get(name))

    def insert(
        self, doctype: str, values: Mapping[str, Any], *, user: str = "Administrator"
    ) -> dict[str, Any]:
        """Somebody at the central makes a document. Raises Refusal."""
        with self._lock:
            return self._insert(self._rule(doctype), dict(values), user)

    def edit(
        self, doctype: str, name: str, values: Mapping[str, Any], *, user: str = "Administrator"
    ) -> dict[str, Any]:
        """Somebody at the central changes a document; no values only move its version. Raises Refusal."""
        with self._lock:
            return self._update(self._rule(doctype), name, dict(values), user)

    def remove(self, doctype: str, name: str) -> None:
        """Somebody at the central deletes a document, links or not."""
        with self._lock:
            del self._store[doctype][name]

    def dump_jsonl(self, path: str | Path) -> int:
        """Write every document, one a line, `doctype` first; answers how many."""
        lines = 0
        with self._lock, open(path, "w", encoding="utf-8") as file:
            for doctype in sorted(self._store):
                for document in self.documents(doctype):
                    file.write(json.dumps({"doctype": doctype, **document}, ensure_ascii=False) + "\n")
                    lines += 1
        return lines

    # time

    def moment(self) -> datetime:
        """The central's own time, aware UTC; no two writes get the same."""
        with self._lock:
            self._last = max(self.clock() + self.clock_offset, self._last + timedelta(microseconds=1))
            return self._last

    def _wall_clock(self) -> str:
        # str() leaves out microseconds that are zero, as the framework does.
        return str(self._at_the_wall(self.moment()))

    def _at_the_wall(self, moment: datetime) -> datetime:
        # Machines without a list of zones know this one all the same.
        zone = timezone.utc if self.zone == "UTC" else ZoneInfo(self.zone)
        return moment.astimezone(zone).replace(tzinfo=None)

    def today(self) -> str:
        """The central's date, as its own people see it."""
        return str(self._at_the_wall(self.clock() + self.clock_offset).date())

    # requests

    def answer(
        self, method: str, target: str, raw: bytes, authorization: str | None, key: str | None = None
    ) -> _Answer | None:
        """The answer to one request, None for none at all; what the HTTP side calls."""
        if self.seconds_per_request:
            time.sleep(self._drawn(self.seconds_per_request))
        path = urlsplit(target).path
        fault = self._fault_for(method, path)
        if fault is not None and fault.delay:
            time.sleep(fault.delay)
        body: Any = None
        answer: _Answer | None = None
        if fault is None or fault.applies:
            answer, body = self._carry_out(method, target, raw, authorization)
        if fault is not None:
            answer = self._answer_of(fault)
        with self._lock:
            at = self.clock()
            status = answer.status if answer else None
            self.calls.append(Call(method=method, path=target, body=body, status=status, key=key, at=at))
        return answer

    def _answer_of(self, fault: Fault) -> _Answer | None:
        if fault.status is None:
            return None
        if fault.exc_type is None and fault.page is None:
            page = _PAGE.format(status=fault.status, title="Error")
            return _Answer(status=fault.status, page=page, headers=fault.headers)
        if fault.page is not None:
            return _Answer(status=fault.status, page=fault.page, headers=fault.headers)
        body = _error(Refusal(fault.status, str(fault.exc_type), fault.message), version="v1")
        return _Answer(status=fault.status, body=body, headers=fault.headers)

    def _carry_out(
        self, method: str, target: str, raw: bytes, authorization: str | None
    ) -> tuple[_Answer, Any]:
        parts = urlsplit(target)
        segments = [unquote(segment) for segment in parts.path.rstrip("/").split("/")]
        version = "v2" if segments[1:3] == ["api", "v2"] else "v1"
        body: Any = None
        try:
            if len(raw) > _BODY_LIMIT:
                return _Answer(
                    status=413, page=_PAGE.format(status=413, title="Request Entity Too Large")
                ), None
            user = self._user_of(authorization)
            if self.has_companion and parts.path in (PUSH, REHEARSE):
                ask = self.companion.push if parts.path == PUSH else self.companion.rehearse
                return self._pushed(ask, raw, user), _unpacked(raw)
            body = _read_body(raw)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            with self._writing() if _writes_document(method, segments) else self._lock:
                # Every check comes before the first change, but a number is taken on the way.
                series = dict(self._series)
                try:
                    status, answered = self._route(method, segments, version, body, query, user)
                except Refusal:
                    self._series = series
                    raise
        except Refusal as refusal:
            if refusal.status == 405:
                return _Answer(status=405, page=_PAGE.format(status=405, title="Method Not Allowed")), body
            return _Answer(status=refusal.status, body=_error(refusal, version=version)), body
        return _Answer(status=status, body=answered), body

    def _pushed(self, ask: Callable[[bytes], Reply], raw: bytes, user: str) -> _Answer:
        if user == "Guest":
            raise Refusal(403, "PermissionError")
        try:
            reply = ask(raw)
        except MessageTooLarge as why:
            raise Refusal(413, type(why).__name__, str(why)) from why
        except UnreadableMessage as why:
            raise Refusal(400, type(why).__name__, str(why)) from why
        return _Answer(status=reply.status or 500, body=reply.body)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One document's write: a transaction by itself, which takes as long as it shall from its beginning. Within
        a push's turn it is the push's."""
        if not self.seconds_per_document or self._turn.taken:
            with self._lock:
                yield
            return
        with self._writers:
            end = time.monotonic() + self._drawn(self.seconds_per_document)
            self._turn.taken = True
            try:
                with self._lock:
                    yield
            finally:
                self._turn.taken = False
                time.sleep(max(0.0, end - time.monotonic()))

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        with self._lock:
            kept = deepcopy((self._store, self._series))
            try:
                yield
            finally:
                self._store, self._series = kept

    def _drawn(self, seconds: float) -> float:
        if not self._uneven:
            return seconds
        with self._lock:
            return seconds * self._delays.uniform(1 - self._uneven, 1 + self._uneven)

    def _look(self, doctype: str, name: str) -> dict[str, Any] | None:
        """The document as it is answered; None where there is none, or no such doctype."""
        document = self._store.get(doctype, {}).get(name)
        return None if document is None else _shown(deepcopy(document), self.rules[doctype])

    def _rest(self, wire: Wire, key: str) -> Reply:
        """One request of a push, as plain REST would carry it out."""
        raw = b"" if wire.body is None else wire.body.encode()
        token = f"token {self.api_key}:{self.api_secret}"
        answer, _ = self._carry_out(wire.method, wire.path, raw, token)
        return Reply(status=answer.status, is_json=answer.page is None, body=answer.body)

    def _user_of(self, authorization: str | None) -> str:
        if authorization is None:
            return "Guest"
        if authorization != f"token {self.api_key}:{self.api_secret}":
            raise Refusal(401, "AuthenticationError")
        return self.user

    def _route(
        self, method: str, segments: list[str], version: str, body: Any, query: dict[str, str], user: str
    ) -> tuple[int, Any]:
        rest = segments[2:]
        if rest[:1] in (["v1"], ["v2"]):
            rest = rest[1:]
        documents = "document" if version == "v2" else "resource"
        if segments[1:2] != ["api"] or len(rest) < 2 or rest[0] not in (documents, "method"):
            raise Refusal(404, "DoesNotExistError")
        if rest[0] == "method":
            answered = self._method(method, rest[1], {**query, **(body or {})}, user)
            return 200, {} if answered is None else {"message" if version == "v1" else "data": answered}
        doctype, name = rest[1], "/".join(rest[2:])
        allowed = ("GET", "PUT", "DELETE", "POST") if name else ("GET", "POST")
        if method not in allowed:
            raise Refusal(405, "MethodNotAllowed")
        if method == "GET" and not name:
            return 200, {"data": self._list(self._known(doctype, user, 404), query)}
        rule = self._known(doctype, user, 500)
        if method == "GET":
            return 200, {"data": _shown(self._get(rule, name), rule)}
        if method == "POST" and not name:
            return 200, {"data": _shown(self._insert(rule, dict(body or {}), user), rule)}
        if method == "PUT":
            return 200, {"data": _shown(self._update(rule, name, dict(body or {}), user), rule)}
        if method == "DELETE":
            self._delete(rule, name)
            return 202, {"data": "ok"}
        raise Refusal(417, "ValidationError", "Method not allowed")

    def _known(self, doctype: str, user: str, unknown: int) -> DocTypeRule:
        if doctype not in self.rules:
            if unknown == 404:
                raise Refusal(404, "DoesNotExistError", f"DocType {doctype} not found")
            module = doctype.lower().replace(" ", "_")
            raise Refusal(500, "ImportError", f"No module named 'frappe.core.doctype.{module}'")
        if user == "Guest" or doctype in self.denied:
            raise Refusal(403, "PermissionError", f"No permission for {doctype}")
        return self.rules[doctype]

    def _rule(self, doctype: str) -> DocTypeRule:
        return self.rules[doctype]

    def _method(self, verb: str, command: str, values: dict[str, Any], user: str) -> Any:
        if command == "ping":
            return "pong"
        if command in self.methods:
            return self.methods[command](values)
        known: dict[str, Callable[[], Any]] = {
            "frappe.auth.get_logged_user": lambda: user,
            "frappe.client.get_time_zone": lambda: {"time_zone": self.zone},
            "frappe.utils.change_log.get_versions": lambda: {
                "frappe": {"title": "Frappe Framework", "version": "15.55.1"}
            },
        }
        if self.has_companion and user != "Guest":
            known["erp_offline_sync.receiver.capabilities"] = lambda: self.companion.capabilities()["message"]
            known["erp_offline_sync.receiver.receipts"] = lambda: self.companion.receipts(values["ids"])[
                "message"
            ]
        if command in known:
            if user == "Guest" and command != "frappe.client.get_time_zone":
                raise Refusal(403, "PermissionError")
            return known[command]()
        client = command.removeprefix("frappe.client.")
        if client == command or client not in _CLIENT:
            app = command.partition(".")[0]
            reason = f"App {app} is not installed" if client == command else f"no attribute '{client}'"
            raise Refusal(417, "ValidationError", f"Failed to get method for command {command} with {reason}")
        if verb == "GET":
            raise Refusal(403, "PermissionError", "Not permitted")
        return self._client(client, values, user)

    def _client(self, verb: str, values: dict[str, Any], user: str) -> Any:
        """The calls of frappe.client that are about one document."""
        if verb in ("insert", "save", "submit"):
            document = _parsed(values.get("doc")) or {}
            rule = self._known(str(document.pop("doctype", "")), user, 500)
            if verb == "insert":
                return _shown(self._insert(rule, document, user), rule)
            if verb == "submit":
                document["docstatus"] = 1
            return _shown(self._update(rule, str(document.get("name")), document, user), rule)
        rule = self._known(str(values.get("doctype", "")), user, 500)
        name = str(values.get("name", values.get("old_name", "")))
        if verb == "set_value":
            given = _parsed(values.get("fieldname"))
            changed = given if isinstance(given, dict) else {str(given): values.get("value")}
            return _shown(self._update(rule, name, changed, user), rule)
        if verb == "cancel":
            return _shown(self._update(rule, name, {"docstatus": 2}, user), rule)
        if verb == "delete":
            self._delete(rule, name)
            return None
        return self._rename(rule, name, str(values.get("new_name", "")), bool(_parsed(values.get("merge"))))

    # documents

    def _get(self, rule: DocTypeRule, name: str) -> dict[str, Any]:
        document = self._store[rule.name].get(name)
        if document is None:
            raise Refusal(404, "DoesNotExistError", f"{rule.name} {name} not found")
        return document

    def _insert(self, rule: DocTypeRule, values: dict[str, Any], user: str) -> dict[str, Any]:
        now = self._wall_clock()
        docstatus = _docstatus(values)
        document: dict[str, Any] = {
            "name": None,
            "owner": user,
            "creation": now,
            "modified": now,
            "modified_by": user,
            "docstatus": docstatus,
            "idx": 0,
            **self._with_defaults(rule, values),
        }
        if docstatus == 2:
            raise _cannot_move(0, 2)
        for table, row_rule in self._tables(rule):
            document[table] = [
                self._new_row(row_rule, row, table, document, position, rule)
                for position, row in enumerate(values.get(table) or (), 1)
            ]
        self._check_links(rule, document)
        document["name"] = self._new_name(rule, document, values.get("name"))
        for table, _ in self._tables(rule):
            for row in document[table]:
                row["parent"] = document["name"]
        if rule.validate is not None:
            rule.validate(document, self)
        self._check_mandatory(rule, document)
        if document["name"] in self._store[rule.name]:
            raise Refusal(409, "DuplicateEntryError", f"{rule.name} {document['name']} already exists")
        self._check_unique(rule, document)
        self._store[rule.name][document["name"]] = document
        return document

    def _update(self, rule: DocTypeRule, name: str, values: dict[str, Any], user: str) -> dict[str, Any]:
        before = self._get(rule, name)
        if values.get("name", name) != name:
            raise Refusal(404, "DoesNotExistError", f"{rule.name} {values['name']} not found")
        document = deepcopy(before)
        if values.get("modified", before["modified"]) != before["modified"]:
            raise Refusal(
                417,
                "TimestampMismatchError",
                f"Error: Document has been modified after you have opened it ({before['modified']}, "
                f"{self._wall_clock()}). Please refresh to get the latest document.",
            )
        document["docstatus"] = _docstatus(values, before["docstatus"])
        action = _action(before["docstatus"], document["docstatus"])
        document.update(
            (fieldname, _converted(rule.fields[fieldname], value))
            for fieldname, value in values.items()
            if fieldname in rule.fields and rule.fields[fieldname].fieldtype != _TABLE
        )
        lost: dict[str, list[dict[str, Any]]] = {}
        for table, row_rule in self._tables(rule):
            if table in values:
                document[table], lost[table] = self._rows(row_rule, values[table], table, before, rule)
            for row in document[table]:
                row["docstatus"] = document["docstatus"]
        document["modified"], document["modified_by"] = self._wall_clock(), user
        self._check_links(rule, document)
        if rule.validate is not None and action != "cancel":
            rule.validate(document, self)
        if action != "cancel":
            self._check_mandatory(rule, document)
        if action == "update_after_submit":
            _check_after_submit(rule, before, document)
        if action == "cancel":
            self._check_not_linked(rule, name, submitted_only=True)
        self._check_unique(rule, document)
        self._store[rule.name][name] = document
        if not any(lost.values()):
            return document
        # A row under a name that no row has stands in this one answer, and nowhere else.
        answered = deepcopy(document)
        for table, rows in lost.items():
            answered[table] = sorted([*answered[table], *rows], key=lambda row: int(row["idx"]))
        return answered

    def _delete(self, rule: DocTypeRule, name: str) -> None:
        if name not in self._store[rule.name]:
            raise Refusal(404, "DoesNotExistError")
        if self._store[rule.name][name]["docstatus"] == 1:
            raise Refusal(
                417,
                "ValidationError",
                f"{rule.name} {name}: Submitted Record cannot be deleted. You must Cancel it first.",
            )
        self._check_not_linked(rule, name, submitted_only=False)
        del self._store[rule.name][name]

    def _rename(self, rule: DocTypeRule, old: str, new: str, merge: bool) -> str:
        document = self._get(rule, old)
        new = new.strip()
        taken = new in self._store[rule.name]
        if not rule.allow_rename:
            raise Refusal(417, "ValidationError", f"{rule.name} not allowed to be renamed")
        if taken and not merge:
            raise Refusal(417, "ValidationError", f"Another {rule.name} with name {new} exists")
        if merge and not taken:
            raise Refusal(417, "ValidationError", f"{rule.name} {new} does not exist")
        del self._store[rule.name][old]
        if not merge:
            document["name"] = new
            document["modified"] = self._wall_clock()
            kind, _, fieldname = rule.autoname.partition(":")
            if kind == "field":
                document[fieldname] = new
            for table, _ in self._tables(rule):
                for row in document[table]:
                    row["parent"] = new
            self._store[rule.name][new] = document
        for _, linking, fieldname in self._linking(rule.name, old):
            linking[fieldname] = new
        return new

    # parts of a document

    def _tables(self, rule: DocTypeRule) -> list[tuple[str, DocTypeRule]]:
        return [
            (name, self.rules[rules.options])
            for name, rules in rule.fields.items()
            if rules.fieldtype == _TABLE
        ]

    def _with_defaults(self, rule: DocTypeRule, values: Mapping[str, Any]) -> dict[str, Any]:
        """What is absent or null takes the default; what the doctype does not have is dropped."""
        given: dict[str, Any] = {}
        for name, rules in rule.fields.items():
            if rules.fieldtype == _TABLE:
                continue
            value = values.get(name)
            if value is None:
                value = self._default(rules)
            given[name] = _converted(rules, value)
        return given

    def _default(self, rules: FieldRule) -> Any:
        if rules.default == "Today":
            return self.today()
        if rules.default is None and rules.fieldtype == "Select":
            return rules.options.split("\n", 1)[0]
        return rules.default

    def _new_row(
        self,
        row_rule: DocTypeRule,
        values: Mapping[str, Any],
        table: str,
        parent: Mapping[str, Any],
        position: int,
        rule: DocTypeRule,
    ) -> dict[str, Any]:
        return {
            "name": self._hash(),
            "owner": parent["owner"],
            "creation": parent["creation"],
            "modified": parent["modified"],
            "modified_by": parent["modified_by"],
            "docstatus": parent["docstatus"],
            "idx": position,
            **self._with_defaults(row_rule, values),
            "parent": parent["name"],
            "parentfield": table,
            "parenttype": rule.name,
        }

    def _rows(
        self, row_rule: DocTypeRule, sent: Any, table: str, before: Mapping[str, Any], rule: DocTypeRule
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The rows that stay, and those that are answered but not kept. What was not sent is gone."""
        known = {row["name"]: row for row in before[table]}
        kept: list[dict[str, Any]] = []
        lost: list[dict[str, Any]] = []
        for position, values in enumerate(sent or (), 1):
            name = values.get("name")
            if not name:
                kept.append(self._new_row(row_rule, values, table, before, position, rule))
                continue
            # A row that is named is written whole: what was not sent of it is emptied.
            emptied = {
                fieldname: _converted(rules, values.get(fieldname))
                for fieldname, rules in row_rule.fields.items()
            }
            base = known.get(name) or self._new_row(row_rule, {}, table, before, position, rule)
            row = {**base, "name": name, "idx": position, **emptied}
            (kept if name in known else lost).append(row)
        return kept, lost

    def _hash(self) -> str:
        return "".join(self._random.choices("0123456789abcdefghijklmnopqrstuv", k=10))

    def _new_name(self, rule: DocTypeRule, document: Mapping[str, Any], given: Any) -> str:
        kind, _, fieldname = rule.autoname.partition(":")
        if kind == "prompt":
            if not given:
                raise Refusal(417, "ValidationError", "Please set the document name")
            return str(given)
        if kind in ("field", "title"):
            value = str(document.get(fieldname) or "").strip()
            if not value:
                raise Refusal(417, "ValidationError", f"{fieldname} is required")
            return self._free_title(rule, value) if kind == "title" else value
        if kind == "hash":
            wanted = str(given or "") if self.takes_names else ""
            return wanted if wanted and wanted not in self._store[rule.name] else self._hash()
        return self._next_of_series(rule.autoname)

    def _free_title(self, rule: DocTypeRule, title: str) -> str:
        name, number = title, 0
        while name in self._store[rule.name]:
            number += 1
            name = f"{title} - {number}"
        return name

    def _next_of_series(self, pattern: str) -> str:
        prefix, digits = "", 5
        for part in pattern.split("."):
            if part.startswith("#"):
                digits = len(part)
            else:
                prefix += self.today()[:4] if part == "YYYY" else part
        self._series[prefix] = self._series.get(prefix, 0) + 1
        return f"{prefix}{self._series[prefix]:0{digits}}"

    # checks

    def _check_links(self, rule: DocTypeRule, document: Mapping[str, Any]) -> None:
        missing: list[str] = []
        cancelled: list[str] = []
        self._look_at_links(rule, document, "", missing, cancelled)
        for table, row_rule in self._tables(rule):
            for row in document[table]:
                self._look_at_links(row_rule, row, f"Row #{row['idx']}: ", missing, cancelled)
        if missing:
            raise Refusal(417, "LinkValidationError", "Could not find " + ", ".join(missing))
        if cancelled and document["docstatus"] != 2:
            raise Refusal(
                417, "CancelledLinkError", "Cannot link cancelled document: " + ", ".join(cancelled)
            )

    def _look_at_links(
        self,
        rule: DocTypeRule,
        document: Mapping[str, Any],
        where: str,
        missing: list[str],
        cancelled: list[str],
    ) -> None:
        for fieldname, rules in rule.fields.items():
            value = document.get(fieldname)
            if rules.fieldtype != "Link" or not value:
                continue
            target = self._store[rules.options].get(str(value))
            label = f"{where}{fieldname.replace('_', ' ').title()}: {value}"
            if target is None:
                missing.append(label)
            elif target["docstatus"] == 2:
                cancelled.append(label)

    def _check_mandatory(self, rule: DocTypeRule, document: Mapping[str, Any]) -> None:
        missing = _missing(rule, document)
        for table, row_rule in self._tables(rule):
            for row in document[table]:
                missing += _missing(row_rule, row)
        if missing:
            raise Refusal(417, "MandatoryError", f"[{rule.name}, {document['name']}]: {', '.join(missing)}")

    def _check_unique(self, rule: DocTypeRule, document: Mapping[str, Any]) -> None:
        for fieldname, rules in rule.fields.items():
            value = document.get(fieldname)
            if not rules.unique or value is None:
                continue
            for name, other in self._store[rule.name].items():
                if name != document["name"] and other.get(fieldname) == value:
                    raise Refusal(417, "UniqueValidationError", f"{fieldname} must be unique")

    def _linking(self, doctype: str, name: str) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
        """Documents that link to this one: the document, the place of the link (it or a row), the field."""
        found = []
        for rule in self.rules.values():
            fields = [
                name for name, r in rule.fields.items() if r.fieldtype == "Link" and r.options == doctype
            ]
            rows = [
                (table, fieldname)
                for table, row_rule in self._tables(rule)
                for fieldname, r in row_rule.fields.items()
                if r.fieldtype == "Link" and r.options == doctype
            ]
            if not fields and not rows:
                continue
            for document in self._store[rule.name].values():
                found += [(document, document, f) for f in fields if document.get(f) == name]
                found += [
                    (document, row, f) for table, f in rows for row in document[table] if row.get(f) == name
                ]
        return found

    def _check_not_linked(self, rule: DocTypeRule, name: str, *, submitted_only: bool) -> None:
        own = self._store[rule.name][name]
        for document, _, _ in self._linking(rule.name, name):
            if document is own or (submitted_only and document["docstatus"] != 1):
                continue
            raise Refusal(
                417,
                "LinkExistsError",
                f"Cannot delete or cancel because {rule.name} {name} is linked with {document['name']}",
            )

    # lists

    def _list(self, rule: DocTypeRule, query: dict[str, str]) -> list[dict[str, Any]]:
        fields = _parsed(query.get("fields")) or ["name"]
        tests = _tests(_parsed(query.get("filters")) or [])
        limit = int(query.get("limit_page_length") or query.get("limit") or 20)
        known = {*_OWN_FIELDS, *rule.fields, *(_ROW_FIELDS if rule.is_table else ())}
        for fieldname, _, _ in tests:
            if fieldname not in known:
                raise Refusal(417, "DataError", f"Unknown column '{fieldname}'")
        rows = [
            document
            for document in self._store[rule.name].values()
            if all(_holds(document.get(fieldname), operator, value) for fieldname, operator, value in tests)
        ]
        rows.sort(key=lambda document: str(document["modified"]), reverse=True)
        names = [*known] if fields == ["*"] else fields
        return [{name: document.get(name) for name in names} for document in rows[: limit or None]]


_NUMBER = count(1)
_CLIENT = ("insert", "save", "submit", "cancel", "delete", "rename_doc", "set_value")


def _read_body(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refusal(500, "JSONDecodeError", str(error)) from None
    if not isinstance(body, dict):
        raise Refusal(500, "AttributeError", f"'{type(body).__name__}' object has no attribute 'pop'")
    return body


def _unpacked(raw: bytes) -> Any:
    """What a push holds, for those who look at `calls`; None where it is none."""
    with suppress(OSError, ValueError, EOFError, zlib.error):
        return json.loads(gzip.decompress(raw))
    return None


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError):
            return json.loads(value)
    return value


def _error(refusal: Refusal, *, version: str) -> dict[str, Any]:
    kind, message = refusal.exc_type, refusal.message
    if version == "v2":
        return {"errors": [{"type": kind, "message": message, "title": "Message", "indicator": "red"}]}
    body: dict[str, Any] = {"exc_type": kind}
    if refusal.status != 404:
        body["exception"] = f"frappe.exceptions.{kind}: {message}" if message else f"frappe.exceptions.{kind}"
    if message and refusal.status < 500:
        shown = {"message": message, "title": "Message", "indicator": "red", "raise_exception": 1}
        body["_server_messages"] = json.dumps([json.dumps(shown)])
    return body


def _shown(document: Mapping[str, Any], rule: DocTypeRule) -> dict[str, Any]:
    """The document as it is answered: without nulls, with its doctype and its rows last."""
    tables = {name: rules.options for name, rules in rule.fields.items() if rules.fieldtype == _TABLE}
    own = {name: value for name, value in document.items() if value is not None and name not in tables}
    rows = {
        table: [
            {**{name: value for name, value in row.items() if value is not None}, "doctype": options}
            for row in document.get(table) or ()
        ]
        for table, options in tables.items()
    }
    return {**own, "doctype": rule.name, **rows}


def _converted(rules: FieldRule, value: Any) -> Any:
    """The value as the column holds it."""
    number = _NUMBERS.get(rules.fieldtype)
    if number is not None:
        try:
            return number(float(value or 0))
        except (TypeError, ValueError):
            return number(0)
    if value == "" and (rules.fieldtype in _MOMENTS or rules.unique):
        return None
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def _docstatus(values: Mapping[str, Any], otherwise: int = 0) -> int:
    value = values.get("docstatus")
    return otherwise if value is None else int(value)


def _cannot_move(before: int, after: int) -> Refusal:
    words = ("Draft", "Submitted", "Cancelled")
    message = f"Cannot change docstatus from {before} ({words[before]}) to {after} ({words[after]})"
    return Refusal(417, "DocstatusTransitionError", message)


def _action(before: int, after: int) -> str:
    """What a save does; raises Refusal for moves that there are not."""
    if before == 2:
        raise Refusal(417, "ValidationError", "Cannot edit cancelled document")
    if after not in (0, 1, 2):
        raise Refusal(417, "ValidationError", "Invalid docstatus")
    if (before, after) in ((0, 2), (1, 0)):
        raise _cannot_move(before, after)
    return {(0, 0): "save", (0, 1): "submit", (1, 1): "update_after_submit", (1, 2): "cancel"}[before, after]


def _missing(rule: DocTypeRule, document: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, rules in rule.fields.items()
        if rules.required and (document.get(name) in (None, []) or not str(document.get(name)).strip())
    ]


def _check_after_submit(rule: DocTypeRule, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name, rules in rule.fields.items():
        if rules.allow_on_submit:
            continue
        old, new = before.get(name), after.get(name)
        if rules.fieldtype == _TABLE:
            old, new = ([_without_time(row) for row in rows or ()] for rows in (old, new))
        if old != new:
            raise Refusal(
                417,
                "UpdateAfterSubmitError",
                f"Not allowed to change <strong>{name}</strong> after submission",
            )


def _without_time(row: Mapping[str, Any]) -> dict[str, Any]:
    left_out = {"modified", "modified_by", "creation", "owner"}
    return {name: value for name, value in row.items() if name not in left_out}


def _tests(filters: Any) -> list[tuple[str, str, Any]]:
    """Filters in each of the forms that the list call takes."""
    if isinstance(filters, dict):
        pairs = filters.items()
        return [(name, *value) if isinstance(value, list) else (name, "=", value) for name, value in pairs]
    return [tuple(test[-3:]) for test in filters]


_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": eq,
    "!=": ne,
    ">": gt,
    ">=": ge,
    "<": lt,
    "<=": le,
}


def _holds(value: Any, operator: str, wanted: Any) -> bool:
    operator = operator.lower()
    if operator in ("in", "not in"):
        choices = wanted.split(",") if isinstance(wanted, str) else wanted
        return (str(value) in {str(choice) for choice in choices}) is (operator == "in")
    if operator == "like":
        pattern = re.escape(str(wanted)).replace("%", ".*")
        return re.fullmatch(pattern, str(value or ""), re.IGNORECASE | re.DOTALL) is not None
    left: Any
    right: Any
    if isinstance(value, int | float):
        left, right = float(value), float(wanted or 0)
    else:
        left, right = str(value or ""), str(wanted or "")
    return bool(_COMPARED[operator](left, right))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], central: StandInCentral) -> None:
        self.central = central
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `calls` has it."""

    def version_string(self) -> str:
        return "stand-in"

    def _serve(self) -> None:
        central = self.server.central
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = central.answer(
            self.command,
            self.path,
            raw,
            self.headers.get("Authorization"),
            self.headers.get("Idempotency-Key"),
        )
        if answer is None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        kind = "application/json" if answer.page is None else "text/html; charset=utf-8"
        content = (json.dumps(answer.body) if answer.page is None else answer.page).encode()
        moment = central.clock() + central.clock_offset
        headers = {
            "Date": _http_date(moment),
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "X-Frappe-Request-Id": f"stand-in-{next(_NUMBER)}",
            **answer.headers,
        }
        head = [f"HTTP/1.1 {answer.status} Answer", *(f"{name}: {value}" for name, value in headers.items())]
        # One packet: in two, the second waits for the acknowledgement of the first.
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1") + content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _http_date(moment: datetime) -> str:
    moment = moment.astimezone(timezone.utc)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment:%d} {month} {moment:%Y %H:%M:%S} GMT"
