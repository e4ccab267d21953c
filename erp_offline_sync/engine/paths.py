"""Paths of the central's API: built, read and checked without a URL library.

A request that somebody queued names a document where its path or body does so in a known way; then the
engine treats it as that document's create, update and so on. Everything else stays a plain call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .errors import InvalidRequest
from .model import Json, Operation

__all__ = [
    "LONGEST_PATH",
    "check_path",
    "document_path",
    "document_values",
    "parse_resource",
    "quote_segment",
]

LONGEST_PATH = 2000
"""Characters. Servers refuse longer request lines at 4 to 8 kB, and one character takes up to 12 bytes quoted."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def quote_segment(text: str) -> str:
    """One path segment, percent-encoded as UTF-8; slashes too.

    Raises InvalidRequest for what cannot be a segment: nothing, `.`, `..`, half of a surrogate pair.
    """
    if text in ("", ".", ".."):
        raise InvalidRequest(f"{text!r} cannot stand in a path")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("The name is not valid text") from None
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in data)


def document_path(doctype: str, name: str | None = None) -> str:
    """`/api/resource/<doctype>[/<name>]`, quoted. Raises InvalidRequest as `quote_segment` does."""
    path = f"/api/resource/{quote_segment(doctype)}"
    return path if name is None else f"{path}/{quote_segment(name)}"


def check_path(path: Any) -> str:
    """The path itself where it may be called at the central; raises InvalidRequest, with the reason, otherwise.

    It begins with `/api/`, so that it can name no scheme, host or user, and never leaves it again.
    """
    if not isinstance(path, str) or not path.startswith("/api/"):
        raise InvalidRequest("The path must begin with /api/: other addresses cannot be called")
    if len(path) > LONGEST_PATH:
        raise InvalidRequest(f"The path is longer than {LONGEST_PATH} characters")
    if "\\" in path or "#" in path:
        raise InvalidRequest("The path must not contain a backslash or a # (write %23)")
    if _CONTROL.search(path):
        raise InvalidRequest("The path must not contain line breaks or control characters")
    before_query = path.partition("?")[0]
    segments = [_unquote(segment) for segment in before_query[1:].split("/")]
    _unquote(path)
    if "" in segments[:-1] or segments[1] == "":
        raise InvalidRequest("The path must not contain empty segments")
    for segment in segments:
        # An encoded slash or backslash could become a real one on the way.
        if any(part in (".", "..") for part in re.split(r"[/\\]", segment)):
            raise InvalidRequest("The path must not contain . or .. segments")
        if _CONTROL.search(segment):
            raise InvalidRequest("The path must not contain line breaks or control characters")
    return path


def parse_resource(method: str, path: str, body: Json | None) -> tuple[Operation, str | None, str | None]:
    """What a queued call does: its operation, doctype and document name.

    The name of a create is the one its body gives, if any; of a rename the old one. What cannot be read as one
    document's operation is `(Operation.CALL, None, None)`. Raises InvalidRequest as `check_path` does.
    """
    operation, doctype, name, _ = _read(method, path, body)
    return operation, doctype, name


def document_values(method: str, path: str, body: Json | None) -> Json:
    """The values that a queued call gives its document, without `doctype`, for an update also without `name`.

    For a rename `{"new_name", "merge"}`; for a delete nothing; for a plain call its body.
    """
    return _read(method, path, body)[3]


_Read = tuple[Operation, str | None, str | None, Json]


def _read(method: str, path: str, body: Json | None) -> _Read:
    check_path(path)
    method, values = method.upper(), dict(body or {})
    call: _Read = (Operation.CALL, None, None, values)
    if "?" in path:
        return call
    segments = [_unquote(segment) for segment in path.rstrip("/").split("/")[2:]]
    version = segments.pop(0) if segments[0] in ("v1", "v2") else "v1"
    kind, rest = (segments[0], segments[1:]) if segments else ("", [])
    if kind == "method" and len(rest) == 1:
        return _read_client(method, rest[0], values) or call
    if kind != ("document" if version == "v2" else "resource") or not rest:
        return call
    if version == "v2" and len(rest) >= 4 and rest[-2] == "method":
        return call
    # Names may hold slashes: the central takes everything after the doctype as the name.
    return _read_rest(method, rest[0], "/".join(rest[1:]), values) or call


def _read_rest(method: str, doctype: str, name: str, values: dict[str, Any]) -> _Read | None:
    if method == "POST" and not name:
        return _create(doctype, values)
    if method == "PUT" and name:
        return _save(doctype, name, values)
    if method == "DELETE" and name:
        return Operation.DELETE, doctype, name, {}
    return None


def _read_client(method: str, command: str, values: dict[str, Any]) -> _Read | None:
    """The calls of frappe.client that are about one document."""
    verb = command.removeprefix("frappe.client.")
    if verb == command or method not in ("POST", "PUT", "DELETE"):
        return None
    if verb in ("insert", "save", "submit"):
        doc = _parsed(values.get("doc"))
        if not isinstance(doc, Mapping):
            return None
        doctype, name = _text(doc.get("doctype")), _text(doc.get("name"))
        if doctype is None or "parenttype" in doc:
            return None
        if verb == "insert":
            return _create(doctype, dict(doc))
        docstatus = {"docstatus": 1} if verb == "submit" else {}
        return None if name is None else _save(doctype, name, {**doc, **docstatus})
    doctype = _text(values.get("doctype"))
    name = _text(values.get("old_name" if verb == "rename_doc" else "name"))
    if doctype is None or name is None:
        return None
    if verb == "cancel":
        return _save(doctype, name, {"docstatus": 2})
    if verb == "delete":
        return Operation.DELETE, doctype, name, {}
    if verb == "rename_doc":
        new_name = _text(values.get("new_name"))
        merge = bool(_parsed(values.get("merge") or False))
        renamed: _Read = (Operation.RENAME, doctype, name, {"new_name": new_name, "merge": merge})
        return None if new_name is None else renamed
    if verb == "set_value":
        changed = _changed(values.get("fieldname"), values.get("value"))
        return None if changed is None else _save(doctype, name, changed)
    return None


def _create(doctype: str, values: dict[str, Any]) -> _Read:
    values.pop("doctype", None)
    return Operation.CREATE, doctype, _text(values.get("name")), values


_MOVES: Mapping[Any, Operation] = {
    1: Operation.SUBMIT,
    "1": Operation.SUBMIT,
    2: Operation.CANCEL,
    "2": Operation.CANCEL,
}


def _save(doctype: str, name: str, values: dict[str, Any]) -> _Read:
    docstatus = values.get("docstatus")
    operation = (
        _MOVES.get(docstatus, Operation.UPDATE) if isinstance(docstatus, int | str) else Operation.UPDATE
    )
    left_out = ("doctype", "name")
    return operation, doctype, name, {key: value for key, value in values.items() if key not in left_out}


def _changed(field: Any, value: Any) -> dict[str, Any] | None:
    """What set_value sets: one field, or several as an object or its JSON text."""
    if isinstance(field, str):
        fields = _parsed(field)
        if not isinstance(fields, Mapping):
            return {field: value}
        field = fields
    return dict(field) if isinstance(field, Mapping) else None


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _unquote(text: str) -> str:
    """Percent-decoded; raises InvalidRequest for what is no escape or no UTF-8."""
    if any(match.group(1) is None for match in _ESCAPE.finditer(text)):
        raise InvalidRequest("The path holds a % that is no escape (write %25)")
    try:
        # Escapes give bytes; every other character stands for its own UTF-8.
        data = b"".join(
            bytes([int(part[1:], 16)]) if part.startswith("%") else part.encode()
            for part in re.split(r"(%[0-9A-Fa-f]{2})", text)
        )
        return data.decode()
    except UnicodeError:
        raise InvalidRequest("The path is not valid UTF-8") from None
