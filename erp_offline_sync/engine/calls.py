"""Makes a request out of a call that somebody wants to queue: a method, a path and a body.

The command line and the Frappe API both come here, so that the same input is refused with the same words.
Where the call is one document's operation it stands in that document's line like any save; all others are plain
calls. Source: hooks-docs/semantics.md, "Queued calls".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .errors import InvalidRequest
from .identity import canonical_json
from .model import DEFAULT_PRIORITY, Json, Link, Operation, Request
from .paths import check_path, document_values, parse_resource
from .ports import Store

__all__ = ["LOWEST_PRIORITY", "METHODS", "parse_body", "queued_call", "under_local_names"]

METHODS = ("POST", "PUT", "DELETE")
LOWEST_PRIORITY = 9
"""0 goes first."""

_ABSOLUTE = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:)?//")
_LINK = re.compile(r"(?P<field>\w+)|(?P<table>\w+)\.(?P<row>[0-9]{1,6})\.(?P<cell>\w+)")
_LONGER_AS_TEXT = 6
"""Indents and escapes make text longer than its canonical form; what is longer still is not read at all."""
_NEEDS_VERSION = (Operation.UPDATE, Operation.SUBMIT)


def parse_body(text: str | bytes) -> Json:
    """The JSON object that the text holds; no text at all is an empty one. Raises InvalidRequest."""
    if not text.strip():
        return {}
    try:
        body = json.loads(text)
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8 text.") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None
    except ValueError as wrong:
        raise InvalidRequest(f"The body is not JSON: {wrong}.") from None
    return _object(body)


def queued_call(
    method: str,
    path: str,
    body: Json | str | bytes | None = None,
    *,
    key: str,
    now: datetime,
    max_bytes: int,
    priority: int = DEFAULT_PRIORITY,
    local_name: str | None = None,
    links: Mapping[str, str] | None = None,
    unique: Collection[str] = (),
    order_group: str | None = None,
    changed_at: datetime | None = None,
    repeatable: bool = False,
    overwrite: bool = False,
) -> Request:
    """A new request; raises InvalidRequest, saying what to write instead, and nothing is stored then.

    `body` is an object or its JSON text, at most `max_bytes` as canonical JSON. `local_name`: what a document is
    called here whose name the central will give; links to it are sent under the central's. `links`: field →
    doctype (`{"customer": "Customer", "items.0.item_code": "Item"}`). `unique`: fields by whose values a create can
    be found again; `name` where the central keeps a given one. `repeatable`: a plain call may be sent twice.
    `overwrite`: a change without the `modified` it was made on.
    """
    verb = _method(method)
    checked = _path(path)
    values = _body(body, max_bytes)
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= LOWEST_PRIORITY:
        raise InvalidRequest(
            f"The priority must be a whole number from 0 (goes first) to {LOWEST_PRIORITY} (goes last)."
        )
    operation, doctype, name = parse_resource(verb, checked, values)
    content = dict(document_values(verb, checked, values))
    version = _version(operation, content, values)
    if version is None and not overwrite and (verb == "PUT" or operation in _NEEDS_VERSION):
        raise InvalidRequest(
            "The body has no `modified`: without the version that the change was made on it would overwrite what "
            "others changed meanwhile. Add it as the central gave it, or allow overwriting."
        )
    if local_name is not None:
        if operation is not Operation.CREATE:
            raise InvalidRequest("Only a document that the call creates can be given a name here.")
        name = local_name
    return Request(
        id=key,
        key=key,
        seq=0,
        operation=operation,
        resource_type=doctype,
        resource_id=name,
        method=verb,
        path=checked,
        body=content,
        links=tuple(_link(content, field, target) for field, target in (links or {}).items()),
        unique=_unique(operation, content, unique),
        resource_version=version,
        created_at=now,
        changed_at=changed_at,
        repeatable=repeatable,
        overwrite=overwrite,
        priority=priority,
        rank=priority,
        order_group=order_group,
    )


def under_local_names(store: Store, request: Request) -> Request:
    """The request with documents under the names they have here; inside the caller's transaction.

    Where there is no bench, people know a document by its name here before it was sent, and by the central's
    afterwards. Both have to lead into one line.
    """
    name = request.resource_id
    if request.resource_type and name and request.operation is not Operation.CREATE:
        name = _local_name(store, request.resource_type, name)
    links = tuple(replace(link, name=_local_name(store, link.doctype, link.name)) for link in request.links)
    return request.altered(resource_id=name, links=links)


def _local_name(store: Store, doctype: str, name: str) -> str:
    if store.document_named(doctype, name) is not None:
        return name
    known = [each for each in store.documents_at_central(doctype, [name]) if not each.deleted]
    return known[0].local_name if known else name


def _method(method: Any) -> str:
    verb = method.strip().upper() if isinstance(method, str) else ""
    if verb == "GET":
        raise InvalidRequest("GET changes nothing, so there is nothing to queue.")
    if verb not in METHODS:
        raise InvalidRequest(f"The method must be one of {', '.join(METHODS)}, not {str(method)[:20]!r}.")
    return verb


def _path(path: Any) -> str:
    if isinstance(path, str) and _ABSOLUTE.match(path):
        raise InvalidRequest(
            "Give the path alone, such as /api/resource/Customer: requests go to the configured central only."
        )
    return check_path(path)


def _body(body: Any, max_bytes: int) -> dict[str, Any]:
    """The body as what JSON makes of it, so that what is stored is what will be sent."""
    if isinstance(body, (str, bytes)):
        if len(body) > _LONGER_AS_TEXT * max_bytes:
            raise _too_large(max_bytes)
        body = parse_body(body)
    try:
        text = canonical_json(_object({} if body is None else body))
        size = len(text.encode())
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None
    except UnicodeEncodeError:
        raise InvalidRequest("The body holds half of a surrogate pair, which is no valid text.") from None
    except (TypeError, ValueError) as wrong:
        raise InvalidRequest(f"The body cannot be written as JSON: {wrong}.") from None
    if size > max_bytes:
        raise _too_large(max_bytes)
    values: dict[str, Any] = json.loads(text)
    return values


def _too_large(max_bytes: int) -> InvalidRequest:
    return InvalidRequest(f"The body is larger than {max_bytes:,} bytes: send large files apart.")


def _object(body: Any) -> Json:
    if not isinstance(body, Mapping):
        kind = {list: "a list", tuple: "a list", str: "a text", bool: "true or false", type(None): "null"}
        raise InvalidRequest(
            f'The body must be a JSON object such as {{"field": "value"}}, not {kind.get(type(body), "a number")}.'
        )
    return body


def _version(operation: Operation, content: dict[str, Any], values: Json) -> str | None:
    """The version token, taken out of the values of a document; a plain call keeps its body as it is."""
    if operation is Operation.CALL:
        given = content.get("modified")
    else:
        given = content.pop("modified", None) or values.get("modified")
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        raise InvalidRequest("`modified` must be the text that the central gave.")
    return None if operation is Operation.CREATE else given


def _link(content: Json, path: str, doctype: str) -> Link:
    match = _LINK.fullmatch(path)
    value: Any = None
    if match and match["field"]:
        value = content.get(path)
    elif match:
        rows, row = content.get(match["table"]), int(match["row"])
        if isinstance(rows, list) and row < len(rows) and isinstance(rows[row], Mapping):
            value = rows[row].get(match["cell"])
    if not doctype or not isinstance(value, str) or not value:
        raise InvalidRequest(
            f"The link {path!r} must name a field, or table.row.field, that holds a name in the body, and a doctype."
        )
    return Link(path=path, doctype=doctype, name=value)


def _unique(operation: Operation, content: Json, fields: Collection[str]) -> dict[str, Any]:
    if fields and operation is not Operation.CREATE:
        raise InvalidRequest("Unique fields are of use only where a document is created.")
    for field in fields:
        if not isinstance(content.get(field), (str, int, float)) or content[field] == "":
            raise InvalidRequest(f"The unique field {field!r} has no value in the body.")
    return {field: content[field] for field in fields}
