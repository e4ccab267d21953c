"""A modelled central without a network: documents in memory, answers as Frappe gives them, faults on demand.

For simulations and unit tests. The HTTP stand-in (`stand_in.py`) is its counterpart behind a real socket.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from erp_offline_sync.engine.model import Gap, Instant, Json, Reply, Wire
from erp_offline_sync.engine.values import FRAMEWORK_FIELDS

__all__ = ["Fault", "ModelCentral"]

_RESOURCE = re.compile(r"/api/resource/([^/]+)(?:/(.+))?")


@dataclass(frozen=True)
class Fault:
    """What happens to the next delivery: `applies` says whether the request has its effect first."""

    reply: Reply
    applies: bool = False


@dataclass
class ModelCentral:
    """The Central port. `clock_now` is its clock; `effects` lists every write that had an effect, in order."""

    clock_now: Callable[[], datetime]
    user: str = "branch@example.com"
    documents: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """{doctype: {name: document}}"""
    unique: Mapping[str, str] = field(default_factory=dict)
    """{doctype: field that is its name}"""
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """{doctype: {field: doctype it names}}"""
    online: bool = True
    faults: list[Fault] = field(default_factory=list)
    effects: list[tuple[str, str, str, Json]] = field(default_factory=list)
    """(key, what, doctype/name, body)"""
    delivered: list[tuple[str, Wire]] = field(default_factory=list)
    probes: int = 0
    deadline: float = 60.0
    _count: int = 0
    _tick: int = 0

    # the port

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        self.delivered.append((key, wire))
        if not self.online:
            return Reply(gap=Gap.NOT_SENT, detail="ConnectionRefusedError")
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and not fault.applies:
            return fault.reply
        reply = self.apply(wire, key)
        return reply if fault is None else fault.reply

    def fetch(self, doctype: str, name: str) -> Reply:
        if not self.online:
            return Reply(gap=Gap.NOT_SENT, detail="ConnectionRefusedError")
        document = self.documents.get(doctype, {}).get(name)
        return _ok({"data": copy.deepcopy(document)}) if document else _error(404, "DoesNotExistError")

    def find(self, doctype: str, filters: Json) -> Reply:
        if not self.online:
            return Reply(gap=Gap.NOT_SENT, detail="ConnectionRefusedError")
        found = [
            {"name": name}
            for name, document in self.documents.get(doctype, {}).items()
            if all(document.get(key) == value for key, value in filters.items())
        ]
        return _ok({"data": found[:20]})

    def find_created_since(self, doctype: str, since: datetime) -> Reply:
        if not self.online:
            return Reply(gap=Gap.NOT_SENT, detail="ConnectionRefusedError")
        text = _wall(since - timedelta(seconds=2))
        found = [
            {"name": name}
            for name, document in self.documents.get(doctype, {}).items()
            if document["owner"] == self.user and document["creation"] >= text
        ]
        return _ok({"data": found[:50]})

    def probe(self) -> Reply:
        self.probes += 1
        if not self.online:
            return Reply(gap=Gap.NOT_SENT, detail="ConnectionRefusedError")
        return _ok({"message": self.user})

    def instant(self, wall_clock: str) -> Instant | None:
        try:
            at = datetime.fromisoformat(wall_clock).replace(tzinfo=timezone.utc)
        except ValueError:
            return None
        return Instant(at=at, uncertainty=1.0)

    # what somebody at the central does

    def edit(self, doctype: str, name: str, **values: Any) -> None:
        """Somebody there changes a document."""
        document = self.documents[doctype][name]
        document.update(values)
        document["modified"] = self._version()
        document["modified_by"] = "boss@example.com"

    def insert(self, doctype: str, name: str, **values: Any) -> Json:
        """Somebody there makes a document."""
        return self._insert(doctype, {**values, "name": name}, owner="boss@example.com")

    def remove(self, doctype: str, name: str) -> None:
        """Somebody there deletes a document."""
        del self.documents[doctype][name]

    # how it answers

    def apply(self, wire: Wire, key: str) -> Reply:
        """The answer to a request that arrives; may be called again with the same bytes, as a network may."""
        body = json.loads(wire.body) if wire.body else {}
        match = _RESOURCE.fullmatch(wire.path)
        if match is None:
            return self._call(wire, body, key)
        doctype, name = _unquoted(match[1]), _unquoted(match[2]) if match[2] else None
        if wire.method == "POST":
            reply = self._post(doctype, body)
            what = "create"
        elif wire.method == "PUT":
            reply, what = self._put(doctype, str(name), body), "update"
        else:
            reply, what = self._delete(doctype, str(name)), "delete"
        if reply.status in (200, 202):
            stored = reply.body["data"] if isinstance(reply.body["data"], dict) else {"name": name}
            self.effects.append((key, what, f"{doctype}/{stored['name']}", body))
        return reply

    def _call(self, wire: Wire, body: Json, key: str) -> Reply:
        if wire.path == "/api/method/frappe.client.rename_doc":
            table = self.documents.get(body["doctype"], {})
            if body["old_name"] not in table:
                return _error(404, "DoesNotExistError")
            document = table.pop(body["old_name"])
            document["name"] = body["new_name"]
            table[body["new_name"]] = document
            self.effects.append((key, "rename", f"{body['doctype']}/{body['new_name']}", body))
            return _ok({"message": body["new_name"]})
        self.effects.append((key, "call", wire.path, body))
        return _ok({"message": "done"})

    def _missing_link(self, doctype: str, body: Json) -> bool:
        return any(
            body.get(field) and body[field] not in self.documents.get(target, {})
            for field, target in self.links.get(doctype, {}).items()
        )

    def _post(self, doctype: str, body: dict[str, Any]) -> Reply:
        if self._missing_link(doctype, body):
            return _error(417, "LinkValidationError")
        given = body.get(self.unique.get(doctype, ""))
        name = str(given) if given else body.get("name")
        if name and name in self.documents.get(doctype, {}):
            return _error(409, "DuplicateEntryError")
        return _ok({"data": copy.deepcopy(self._insert(doctype, {**body, "name": name}, owner=self.user))})

    def _insert(self, doctype: str, body: Json, *, owner: str) -> dict[str, Any]:
        self._count += 1
        name = body.get("name") or f"{doctype.upper()[:4]}-{self._count:05}"
        version = self._version()
        document = {
            **{key: self._rows(value) for key, value in body.items() if key not in FRAMEWORK_FIELDS},
            "doctype": doctype,
            "name": name,
            "owner": owner,
            "creation": version,
            "modified": version,
            "modified_by": owner,
            "docstatus": body.get("docstatus") or 0,
        }
        self.documents.setdefault(doctype, {})[str(name)] = document
        return document

    def _put(self, doctype: str, name: str, body: dict[str, Any]) -> Reply:
        document = self.documents.get(doctype, {}).get(name)
        if document is None:
            return _error(404, "DoesNotExistError")
        if "modified" in body and body["modified"] != document["modified"]:
            return _error(417, "TimestampMismatchError")
        was, wanted = document["docstatus"], body.get("docstatus", document["docstatus"])
        if (was, wanted) not in {(0, 0), (0, 1), (1, 1), (1, 2)}:
            return _error(417, "ValidationError" if was == 2 else "DocstatusTransitionError")
        if self._missing_link(doctype, body):
            return _error(417, "LinkValidationError")
        values = {key: self._rows(value) for key, value in body.items() if key not in FRAMEWORK_FIELDS}
        document.update(
            {**values, "docstatus": wanted, "modified": self._version(), "modified_by": self.user}
        )
        return _ok({"data": copy.deepcopy(document)})

    def _delete(self, doctype: str, name: str) -> Reply:
        document = self.documents.get(doctype, {}).get(name)
        if document is None:
            return _error(404, "DoesNotExistError")
        if document["docstatus"] == 1:
            return _error(417, "ValidationError")
        for other, fields in self.links.items():
            for field_name, target in fields.items():
                if target == doctype and any(
                    each.get(field_name) == name for each in self.documents.get(other, {}).values()
                ):
                    return _error(417, "LinkExistsError")
        del self.documents[doctype][name]
        return Reply(status=202, is_json=True, body={"data": "ok"})

    def _rows(self, value: Any) -> Any:
        if not isinstance(value, list):
            return copy.deepcopy(value)
        rows = []
        for row in value:
            self._count += 1
            rows.append({**row, "name": row.get("name") or f"r{self._count:06}"})
        return rows

    def _version(self) -> str:
        self._tick += 1
        return _wall(self.clock_now() + timedelta(microseconds=self._tick))


def _wall(at: datetime) -> str:
    return at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _unquoted(segment: str) -> str:
    return re.sub(r"(?:%[0-9A-Fa-f]{2})+", lambda m: bytes.fromhex(m[0].replace("%", "")).decode(), segment)


def _ok(body: Json) -> Reply:
    return Reply(status=200, is_json=True, body=body)


def _error(status: int, exc_type: str) -> Reply:
    return Reply(
        status=status, is_json=True, body={"exc_type": exc_type, "exception": f"frappe.exceptions.{exc_type}"}
    )
