"""What a branch and the companion say to each other: a push, its answer, limits and capabilities (schema 1).

Pure: bytes in, values out, and the other way round. A push is gzip of canonical JSON. It is read whole or not at
all; one request in it that cannot be read is `Unreadable` by itself and harms no other. The fingerprint is over the
item as it travels, so that the text of an item, once sent, has to be sent again as it was. Child rows travel as
patches under the central's row names, so that rows which somebody else added there stay (hooks-docs/companion.md).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..errors import MessageTooLarge, UnknownSchema, UnreadableMessage
from ..identity import canonical_json, fingerprint
from ..model import Json, Operation
from ..values import FRAMEWORK_FIELDS, same_value

__all__ = [
    "LIMITS",
    "RECEIPTS_AT_ONCE",
    "REHEARSED_AT_ONCE",
    "SCHEMA",
    "Capabilities",
    "Limits",
    "Push",
    "PushAnswer",
    "PushOutcome",
    "PushRequest",
    "PushResult",
    "Receipt",
    "ReceiptState",
    "RowPatch",
    "Unreadable",
    "answer_body",
    "capabilities_body",
    "gone_rows",
    "inflated",
    "is_token",
    "item_text",
    "packed",
    "parse_answer",
    "parse_capabilities",
    "parse_push",
    "parse_receipts",
    "patched_rows",
    "push_text",
    "row_patch",
]

SCHEMA = 1
RECEIPTS_AT_ONCE = 200
"""Ids that one question for receipts may hold."""
REHEARSED_AT_ONCE = 5
"""Requests that may be rehearsed at once."""

_GZIP = 31
"""zlib's window bits for a gzip header; its time stays zero, so that the same push has the same bytes."""
_NAME_LENGTH = 140
_PATH_LENGTH = 2000
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one push may hold, and how long it may take."""

    max_bytes: int = 4 * 1024 * 1024
    """As it travels."""
    max_inflated_bytes: int = 32 * 1024 * 1024
    max_requests: int = 500
    seconds: int = 20
    """After so long no further request of a push is begun; the answer holds those that were."""


LIMITS = Limits()


class PushOutcome(str, Enum):
    """What became of one request at the central."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    """Applied before under this id; nothing was done now."""
    CONFLICT = "conflict"
    """The document is not what the branch took it for; nothing was done."""
    REJECTED = "rejected"
    """The central's rules refuse it; nothing was done."""
    DEFERRED = "deferred"
    """Nothing was done, or not all yet: the same id may come again after a while."""
    RUNNING = "running"
    """Another delivery of this id is at work at this moment."""
    IN_DOUBT = "in_doubt"
    """Code of the central committed in the middle: only the document tells what happened."""
    TOO_OLD = "too_old"
    """Below the branch's own low-water mark: receipts of that age may be gone."""
    MISMATCH = "mismatch"
    """The id came before with another content."""


class ReceiptState(str, Enum):
    APPLIED = "applied"
    RUNNING = "running"
    IN_DOUBT = "in_doubt"
    """Half of it may stand: only the document tells. It is never applied again under this id."""
    NONE = "none"
    """No effect under this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPatch:
    """The change of one child table. Names are the central's row names."""

    changed: Mapping[str, Json] = field(default_factory=dict)
    """Row name → its changed fields."""
    added: tuple[Json, ...] = ()
    removed: tuple[str, ...] = ()
    order: tuple[str | None, ...] = ()
    """The rows that the branch knows in their order; None stands for the next of `added`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    """One request on its way; documents, links and rows under the central's names.

    `version` is needed for all but creates and calls, unless `overwrite`. `values` are the changed fields, or for a
    create the whole body, child tables whole. A table in the `values` of an update takes the whole table's place,
    as in plain REST; `rows` changes one row by row.
    """

    id: str
    number: int
    """Given at the first send, per origin; it grows."""
    operation: Operation
    doctype: str | None = None
    name: str | None = None
    version: str | None = None
    overwrite: bool = False
    values: Json = field(default_factory=dict)
    rows: Mapping[str, RowPatch] = field(default_factory=dict)
    set_name: str | None = None
    """The name that a create shall have at the central."""
    new_name: str | None = None
    merge: bool = False
    method: str | None = None
    """With `path`, of a call."""
    path: str | None = None
    replaces: str | None = None
    fingerprint: str = ""
    """Set on what was parsed; building computes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A request of a push that is not what was agreed on. `why` names the field and holds no values."""

    id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One delivery. `run` grows with each run of the branch, `run_key` is made at random for it, `home` says where
    the branch lives: by these a restored or cloned branch is known (engine.seen_runs)."""

    origin: str
    run: int
    run_key: str
    home: str | None
    site: str | None
    """What people call the site."""
    low_water: int
    """The smallest number that the branch has not closed."""
    language: str | None
    seconds: float
    """How long the branch waits for the answer."""
    requests: tuple[PushRequest | Unreadable, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """The outcome of one request. `document` is the document as it stands at the central afterwards."""

    id: str
    outcome: PushOutcome
    name: str | None = None
    version: str | None = None
    docstatus: int | None = None
    document: Json | None = None
    status: int | None = None
    """Where nothing was applied: the HTTP status that plain REST would have answered."""
    exc_type: str | None = None
    field: str | None = None
    message: str | None = None
    """Plain text in the branch's language; may hold a document's values."""
    waits_for: str | None = None
    retry_after: float | None = None
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAnswer:
    """`outcomes` are those of the first requests of the push, in their order: the rest was not looked at."""

    time: str
    """The central's wall clock."""
    time_zone: str
    outcomes: tuple[PushResult, ...]
    took: float | None = None
    """Seconds that the central worked on them; older ones do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    state: ReceiptState
    name: str | None = None
    version: str | None = None
    docstatus: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    schemas: tuple[int, ...]
    version: str
    """Of the app at the central."""
    limits: Limits
    time: str
    time_zone: str
    user: str
    rehearse: bool = False
    """Whether it tells what it would answer, without doing it."""


# What is checked


def _is_text(value: Any, length: int = _NAME_LENGTH) -> bool:
    return isinstance(value, str) and 0 < len(value) <= length and _HALF.search(value) is None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _is_seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def is_token(value: Any) -> bool:
    """Whether it can be an origin or an id."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_TOKEN = re.compile(r"[A-Za-z0-9._:-]{1,140}")
"""What sites show and keep as it came: nothing that a page or a log could take for something else."""
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair: JSON can write it, no database can keep it."""
_METHODS = ("POST", "PUT", "DELETE")

_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, f"a text of 1 to {_NAME_LENGTH} characters"),
    "token": (
        is_token,
        "1 to 140 of the characters A-Z a-z 0-9 . _ : -",
    ),
    "text": (lambda value: isinstance(value, str), "a text"),
    "path": (lambda value: _is_text(value, _PATH_LENGTH), f"a text of 1 to {_PATH_LENGTH} characters"),
    "number": (_is_number, "a whole number of 0 or more"),
    "seconds": (_is_seconds, "a number of 0 or more"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "object": (_is_object, "an object"),
    "list": (_is_list, "a list"),
    "language": (
        lambda value: isinstance(value, str) and _LANGUAGE.fullmatch(value) is not None,
        "a language code",
    ),
    "operation": (
        lambda value: value in [each.value for each in Operation],
        f"one of {', '.join(each.value for each in Operation)}",
    ),
    "method": (lambda value: value in _METHODS, f"one of {', '.join(_METHODS)}"),
}

_PUSH = {
    "origin": "token",
    "run": "number",
    "run_key": "token",
    "home?": "token",
    "site?": "token",
    "low_water": "number",
    "seconds": "seconds",
    "requests": "list",
    "language?": "language",
}
_ITEM = {
    "id": "token",
    "number": "number",
    "operation": "operation",
    "fingerprint": "token",
    "replaces?": "token",
    "doctype?": "name",
    "name?": "name",
    "version?": "name",
    "overwrite?": "flag",
    "values?": "object",
    "rows?": "object",
    "set_name?": "name",
    "new_name?": "name",
    "merge?": "flag",
    "method?": "method",
    "path?": "path",
}
_ROWS = {"changed?": "object", "added?": "list", "removed?": "list", "order": "list"}
_ANSWER = {"time": "text", "time_zone": "text", "outcomes": "list", "took?": "seconds"}
_RESULT = {
    "id": "token",
    "outcome": "name",
    "name?": "text",
    "version?": "text",
    "docstatus?": "number",
    "document?": "object",
    "status?": "number",
    "exc_type?": "text",
    "field?": "text",
    "message?": "text",
    "waits_for?": "text",
    "retry_after?": "seconds",
}
_RECEIPT = {"outcome": "name", "name?": "text", "version?": "text", "docstatus?": "number"}
_CAPABILITIES = {
    "schema": "list",
    "version": "text",
    "max_bytes": "number",
    "max_inflated_bytes": "number",
    "max_requests": "number",
    "seconds": "number",
    "time": "text",
    "time_zone": "text",
    "user": "text",
    "rehearse?": "flag",
}

_NEEDED: Mapping[Operation, tuple[str, ...]] = {
    Operation.CREATE: ("doctype",),
    Operation.UPDATE: ("doctype", "name"),
    Operation.SUBMIT: ("doctype", "name"),
    Operation.CANCEL: ("doctype", "name"),
    Operation.DELETE: ("doctype", "name"),
    Operation.RENAME: ("doctype", "name", "new_name"),
    Operation.CALL: ("method", "path"),
}
_VERSIONED = frozenset(Operation) - {Operation.CREATE, Operation.CALL}


def _checked(value: Any, kinds: Mapping[str, str], where: str) -> dict[str, Any]:
    """The fields of an object, each of its kind; those with a question mark may be absent or null."""
    if not isinstance(value, Mapping):
        raise UnreadableMessage(f"{where} must be an object.")
    taken: dict[str, Any] = {}
    for key, kind in kinds.items():
        name, optional = key.rstrip("?"), key.endswith("?")
        given = value.get(name)
        if given is None and optional:
            continue
        fits, words = _KINDS[kind]
        if not fits(given):
            raise UnreadableMessage(f"{where}: `{name}` must be {words}.")
        taken[name] = given
    return taken


# Bytes


def packed(text: str) -> bytes:
    """The gzip of a text, always the same bytes for the same text. Raises UnreadableMessage where it is no text."""
    try:
        plain = text.encode()
    except UnicodeEncodeError:
        raise UnreadableMessage("Half of a surrogate pair is no valid text.") from None
    squeezed = zlib.compressobj(wbits=_GZIP)
    return squeezed.compress(plain) + squeezed.flush()


def inflated(data: bytes, limits: Limits = LIMITS) -> bytes:
    """What was packed, at most `max_inflated_bytes` of it: more is never made, whatever the header claims."""
    if len(data) > limits.max_bytes:
        raise MessageTooLarge(f"The push has more than {limits.max_bytes:,} bytes.")
    stream = zlib.decompressobj(wbits=_GZIP)
    try:
        plain = stream.decompress(data, limits.max_inflated_bytes + 1)
    except zlib.error:
        raise UnreadableMessage("The push is not gzip.") from None
    if len(plain) > limits.max_inflated_bytes:
        raise MessageTooLarge(f"The push unpacks to more than {limits.max_inflated_bytes:,} bytes.")
    if not stream.eof:
        raise UnreadableMessage("The push ends in the middle.")
    if stream.unused_data:
        raise UnreadableMessage("Something follows the push.")
    return plain


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _parsed(plain: bytes) -> Any:
    try:
        return json.loads(plain.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise UnreadableMessage("The push is not JSON in UTF-8.") from None


# A push


def item_text(request: PushRequest) -> str:
    """The canonical JSON of one request with its fingerprint: to be kept, and sent again as it is."""
    item: dict[str, Any] = {
        "id": request.id,
        "number": request.number,
        "replaces": request.replaces,
        "operation": request.operation.value,
    }
    if request.operation is Operation.CALL:
        item |= {"method": request.method, "path": request.path, "values": request.values}
    else:
        item |= {"doctype": request.doctype, "name": request.name}
    if request.operation in _VERSIONED:
        item |= {"version": request.version, "overwrite": request.overwrite}
    if request.operation is Operation.RENAME:
        item |= {"new_name": request.new_name, "merge": request.merge}
    elif request.operation not in (Operation.CALL, Operation.DELETE):
        item |= {"values": request.values}
    if request.operation is Operation.CREATE:
        item["set_name"] = request.set_name
    if request.rows:
        item["rows"] = {
            table: {
                "changed": dict(patch.changed),
                "added": list(patch.added),
                "removed": list(patch.removed),
                "order": list(patch.order),
            }
            for table, patch in request.rows.items()
        }
    return canonical_json({**item, "fingerprint": fingerprint(item)})


def push_text(
    *,
    origin: str,
    run: int,
    run_key: str,
    low_water: int,
    language: str | None,
    seconds: float,
    items: Sequence[str],
    home: str | None = None,
    site: str | None = None,
) -> str:
    """The canonical JSON of a push of these texts of items; the order is kept."""
    head = {
        "schema": SCHEMA,
        "origin": origin,
        "run": run,
        "run_key": run_key,
        "home": home,
        "site": site,
        "low_water": low_water,
        "language": language,
        "seconds": seconds,
        "requests": [],
    }
    before, after = canonical_json(head).split('"requests":[]')
    return f'{before}"requests":[{",".join(items)}]{after}'


def parse_push(data: bytes, limits: Limits = LIMITS) -> Push:
    """The push in these bytes. Raises UnknownSchema, MessageTooLarge or UnreadableMessage; nothing counts then.

    Requests that cannot be read come as `Unreadable` in their place; each has an id, and no two the same.
    """
    value = _parsed(inflated(data, limits))
    _known_schema(value)
    taken = _checked(value, _PUSH, "The push")
    items = taken["requests"]
    if len(items) > limits.max_requests:
        raise MessageTooLarge(f"The push has more than {limits.max_requests} requests.")
    seen: set[str] = set()
    for place, item in enumerate(items):
        key = _checked(item, {"id": "token"}, f"Request {place}")["id"]
        if key in seen:
            raise UnreadableMessage(f"Request {place} has the id of another one.")
        seen.add(key)
    return Push(
        origin=taken["origin"],
        run=taken["run"],
        run_key=taken["run_key"],
        home=taken.get("home"),
        site=taken.get("site"),
        low_water=taken["low_water"],
        language=taken.get("language"),
        seconds=float(taken["seconds"]),
        requests=tuple(_request(item) for item in items),
    )


def _known_schema(value: Any) -> None:
    schema = value.get("schema") if isinstance(value, Mapping) else None
    if not _is_number(schema):
        raise UnreadableMessage("There is no schema number.")
    if schema != SCHEMA:
        raise UnknownSchema(f"Schema {schema} is not known here, only {SCHEMA}.")


def _request(item: Json) -> PushRequest | Unreadable:
    try:
        return _readable(item)
    except UnreadableMessage as why:
        return Unreadable(id=item["id"], why=str(why))


def _readable(item: Json) -> PushRequest:
    taken = _checked(item, _ITEM, "The request")
    operation = Operation(taken["operation"])
    for needed in _NEEDED[operation]:
        if needed not in taken:
            raise UnreadableMessage(f"The request: `{needed}` is needed to {operation.value}.")
    if operation in _VERSIONED and "version" not in taken and not taken.get("overwrite"):
        raise UnreadableMessage("The request: without `version` it may go only with `overwrite`.")
    rows = {str(table): _row_patch(value, str(table)) for table, value in taken.get("rows", {}).items()}
    if rows and operation not in (Operation.UPDATE, Operation.SUBMIT, Operation.CANCEL):
        raise UnreadableMessage("The request: `rows` change only a document that is there.")
    if rows.keys() & taken.get("values", {}).keys():
        raise UnreadableMessage("The request: a table stands in `values` or in `rows`, not in both.")
    try:
        seen = fingerprint({key: value for key, value in item.items() if key != "fingerprint"})
    except (ValueError, RecursionError):
        raise UnreadableMessage("The request holds what canonical JSON cannot hold.") from None
    if seen != taken["fingerprint"]:
        raise UnreadableMessage("The request: `fingerprint` is not that of its content.")
    return PushRequest(**{**taken, "operation": operation, "rows": rows})


def _row_patch(value: Any, table: str) -> RowPatch:
    where = f"The rows of {table}"
    taken = _checked(value, _ROWS, where)
    changed, added = taken.get("changed", {}), taken.get("added", [])
    removed, order = taken.get("removed", []), taken["order"]
    known = [name for name in order if name is not None]
    if not all(map(_is_text, [*changed, *removed, *known])):
        raise UnreadableMessage(f"{where}: each row must be named by a text.")
    if not all(map(_is_object, [*changed.values(), *added])):
        raise UnreadableMessage(f"{where}: each row must be an object.")
    if len(order) - len(known) != len(added) or len(set(known)) != len(known):
        raise UnreadableMessage(f"{where}: `order` must hold each row once, and null for each added one.")
    if not changed.keys() <= set(known) or set(removed) & set(known):
        raise UnreadableMessage(f"{where}: changed rows stand in `order`, removed ones do not.")
    return RowPatch(changed=changed, added=tuple(added), removed=tuple(removed), order=tuple(order))


# Rows


def row_patch(
    before: Sequence[Json] | None, after: Sequence[Json] | None, names: Mapping[str, str]
) -> RowPatch:
    """What changed between two states of the branch's rows, which carry their local `name`.

    `names` maps them to the central's; a row that has none there yet is an added one. Links in `after` are already
    under the central's names; `before` as it was kept, so that a link is taken for changed where names differ.
    """
    earlier = {str(row.get("name")): row for row in before or ()}
    changed: dict[str, Json] = {}
    added: list[Json] = []
    order: list[str | None] = []
    for row in after or ():
        values = {key: value for key, value in row.items() if key not in FRAMEWORK_FIELDS}
        known = names.get(str(row.get("name")))
        order.append(known)
        if known is None:
            added.append(values)
            continue
        was = earlier.get(str(row.get("name")), {})
        moved = {key: value for key, value in values.items() if not same_value(value, was.get(key))}
        if moved:
            changed[known] = moved
    removed = [names[name] for name in earlier if name in names and names[name] not in order]
    return RowPatch(changed=changed, added=tuple(added), removed=tuple(removed), order=tuple(order))


def gone_rows(current: Sequence[Json], patch: RowPatch) -> list[str]:
    """The rows that the patch changes and that are there no more."""
    there = {row["name"] for row in current}
    return [name for name in patch.changed if name not in there]


def patched_rows(current: Sequence[Json], patch: RowPatch) -> list[dict[str, Any]]:
    """The rows after the patch: those that stay with their `name` and all their fields, added ones without a name.

    A row that the branch does not know stays behind the one that it followed.
    """
    there = {row["name"]: row for row in current}
    known = {name for name in patch.order if name is not None}
    behind: dict[str | None, list[dict[str, Any]]] = {}
    last: str | None = None
    for name, row in there.items():
        if name in known:
            last = name
        elif name not in patch.removed:
            behind.setdefault(last, []).append(dict(row))
    added = iter(patch.added)
    rows = behind.get(None, [])
    for place in patch.order:
        if place is None:
            rows.append({key: value for key, value in next(added).items() if key != "name"})
        elif place in there:
            rows += [{**there[place], **patch.changed.get(place, {}), "name": place}, *behind.get(place, [])]
    return rows


# Answers


def _given(value: Any, names: Sequence[str]) -> dict[str, Any]:
    found = {name: getattr(value, name) for name in names}
    return {name: each for name, each in found.items() if each is not None}


def answer_body(answer: PushAnswer) -> dict[str, Any]:
    """The answer as it stands under `message`; what is None is left out, but for the document of a conflict."""
    fields = [name for name in PushResult.__dataclass_fields__ if name != "outcome"]
    outcomes = []
    for result in answer.outcomes:
        body = {**_given(result, fields), "outcome": result.outcome.value}
        if result.outcome is PushOutcome.CONFLICT:
            body["document"] = result.document
        outcomes.append(body)
    said = {"schema": SCHEMA, "time": answer.time, "time_zone": answer.time_zone, "outcomes": outcomes}
    return said if answer.took is None else {**said, "took": round(answer.took, 3)}


def parse_answer(message: Any, ids: Sequence[str]) -> PushAnswer:
    """The answer to a push of requests with these ids, in their order; raises UnreadableMessage for anything else."""
    _known_schema(message)
    taken = _checked(message, _ANSWER, "The answer")
    results = [_checked(each, _RESULT, f"Outcome {place}") for place, each in enumerate(taken["outcomes"])]
    answered = [each["id"] for each in results]
    if answered != list(ids[: len(answered)]):
        raise UnreadableMessage("The outcomes are not those of the requests that were sent.")
    outcomes = []
    for each in results:
        outcome = _member(PushOutcome, each["outcome"])
        outcomes.append(PushResult(**{**each, "outcome": outcome}))
    return PushAnswer(**{**taken, "outcomes": tuple(outcomes)})


def _member(kind: Any, value: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise UnreadableMessage("An outcome that is not known here.") from None


def parse_receipts(message: Any, ids: Sequence[str]) -> dict[str, Receipt]:
    """The receipts under these ids, each of which must be answered; raises UnreadableMessage."""
    receipts = _checked(message, {"receipts": "object"}, "The answer")["receipts"]
    found = {}
    for key in ids:
        taken = _checked(receipts.get(key), _RECEIPT, "A receipt")
        state = _member(ReceiptState, taken.pop("outcome"))
        found[key] = Receipt(state=state, **taken)
    return found


def capabilities_body(capabilities: Capabilities) -> dict[str, Any]:
    limits = capabilities.limits
    return {
        "schema": list(capabilities.schemas),
        "version": capabilities.version,
        "max_bytes": limits.max_bytes,
        "max_inflated_bytes": limits.max_inflated_bytes,
        "max_requests": limits.max_requests,
        "seconds": limits.seconds,
        "time": capabilities.time,
        "time_zone": capabilities.time_zone,
        "user": capabilities.user,
        "rehearse": capabilities.rehearse,
    }


def parse_capabilities(message: Any) -> Capabilities:
    """What a companion says of itself. Raises UnknownSchema where it speaks none that is known here."""
    taken = _checked(message, _CAPABILITIES, "The companion's capabilities")
    if SCHEMA not in taken["schema"]:
        raise UnknownSchema(f"The companion does not know schema {SCHEMA}.")
    limits = {name: taken[name] for name in Limits.__dataclass_fields__}
    return Capabilities(
        schemas=tuple(taken["schema"]),
        version=taken["version"],
        limits=Limits(**limits),
        time=taken["time"],
        time_zone=taken["time_zone"],
        user=taken["user"],
        rehearse=taken.get("rehearse", False),
    )
