"""What an answer of the central means. Two tables decide: the type of exception first, then the status.

Messages are translated, so that no text is read to decide; the one exception is named at `_says_modified`.
An answer counts as the central's own only where it is JSON of the expected shape: proxies and captive portals
answer too, with any status. The verdict says who waits; `effect_unknown` says whether the request may have
had an effect all the same.

A call to a method that the central lacks is 417 ValidationError, like any business rule of a method that is
there. It is taken as a refusal of that one call: if it were the destination's fault, one misspelt call would
hold up every other request. Whether an app is there is asked by a probe of its own.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Literal

from .model import Gap, Json, Operation, Reply

__all__ = [
    "MESSAGE_LIMIT",
    "Outcome",
    "Verdict",
    "classify",
    "http_date",
    "read_document",
    "read_failure",
    "read_names",
    "read_probe",
    "retry_after_seconds",
    "told",
    "verdict_of_type",
]

MESSAGE_LIMIT = 500
"""Characters of an outcome's message."""


class Verdict(str, Enum):
    """What the engine does next."""

    APPLIED = "applied"
    STALE = "stale"
    """The version sent is not the document's version any more."""
    MISSING = "missing"
    """The central has no such document. A document that this one links to may be meant: look before deciding."""
    TAKEN = "taken"
    """The name or a unique value belongs to a document of the central."""
    WRONG_STATE = "wrong state"
    """The document, or one it hangs on, is in a state that forbids this."""
    LINK_MISSING = "link missing"
    """A link names what the central does not have (yet)."""
    CONFLICT = "conflict"
    """A conflict that is about no document, or that nobody named better."""
    REFUSED = "refused"
    """An attempt, retried: what it lacks may be on its way."""
    REFUSED_AT_ONCE = "refused at once"
    """Waiting will not help: a person looks at it."""
    NOT_NOW = "not now"
    """The destination waits; no attempt."""
    CONTENTION = "contention"
    """The central's transactions stood in each other's way: again soon."""
    SERVER_ERROR = "server error"
    """The central failed; the request's fault only where the central is well otherwise."""
    NOT_SENT = "not sent"
    UNANSWERED = "unanswered"
    CREDENTIALS = "credentials"
    CONFIGURATION = "configuration"
    """Address, route or trust are wrong for every request alike."""
    LATER = "later"
    """The companion did nothing yet: the same request may come again after a while; no attempt."""
    AT_WORK = "at work"
    """Another delivery of it is at work at this moment: ask for its receipt later."""
    UNCERTAIN = "uncertain"
    """Code at the central committed in the middle of it: only the document tells what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One reply, read.

    `message` is plain text for people and may hold a document's values: it is stored on the request and never
    logged. `document` is the answered document of an applied create, update, submit or cancel. `name` is the
    document's name as answered: of `document`, or the new one of a rename; for a probe the user's.
    `retry_after` is the header as it came, see `retry_after_seconds`.
    """

    verdict: Verdict
    effect_unknown: bool = False
    """The request may have had its effect, although no proper answer says so."""
    exc_type: str | None = None
    message: str = ""
    document: Json | None = None
    name: str | None = None
    stands: Json | None = None
    """How the document stands at the central, where an answer that is no success tells."""
    version: str | None = None
    """The version that the effect gave the document, where it is told apart from `document`."""
    read_back: bool = False
    """`document` was read after everything was done: there is nothing newer to fetch."""
    status: int | None = None
    retry_after: str | None = None


_BY_TYPE: Mapping[str, Verdict] = {
    "TimestampMismatchError": Verdict.STALE,
    "DoesNotExistError": Verdict.MISSING,
    "DuplicateEntryError": Verdict.TAKEN,
    "UniqueValidationError": Verdict.TAKEN,
    "DocstatusTransitionError": Verdict.WRONG_STATE,
    "UpdateAfterSubmitError": Verdict.WRONG_STATE,
    "CancelledLinkError": Verdict.WRONG_STATE,
    "LinkExistsError": Verdict.WRONG_STATE,
    "LinkValidationError": Verdict.LINK_MISSING,
    "MandatoryError": Verdict.REFUSED_AT_ONCE,
    "JSONDecodeError": Verdict.REFUSED_AT_ONCE,
    "ImportError": Verdict.REFUSED_AT_ONCE,
    "ModuleNotFoundError": Verdict.REFUSED_AT_ONCE,
    "QueryDeadlockError": Verdict.CONTENTION,
    "QueryTimeoutError": Verdict.CONTENTION,
    "DocumentLockedError": Verdict.CONTENTION,
    "TooManyRequestsError": Verdict.NOT_NOW,
    "RateLimitExceededError": Verdict.NOT_NOW,
    "SessionStopped": Verdict.NOT_NOW,
    "InReadOnlyMode": Verdict.NOT_NOW,
    "QueueOverloaded": Verdict.NOT_NOW,
    "AuthenticationError": Verdict.CREDENTIALS,
    "SessionExpired": Verdict.CREDENTIALS,
    "InvalidAuthorizationHeader": Verdict.CREDENTIALS,
    "InvalidAuthorizationPrefix": Verdict.CREDENTIALS,
    "InvalidAuthorizationToken": Verdict.CREDENTIALS,
    "PageDoesNotExistError": Verdict.CONFIGURATION,
}
"""Types that Python has too (PermissionError, NameError) are left to the status."""

_BY_OPERATION: Mapping[Operation, Mapping[Verdict, Verdict]] = {
    # A create carries no version and names no document: both tell of another document inside it.
    Operation.CREATE: {Verdict.STALE: Verdict.CONTENTION, Verdict.MISSING: Verdict.REFUSED},
    Operation.CALL: {
        Verdict.STALE: Verdict.CONFLICT,
        Verdict.TAKEN: Verdict.CONFLICT,
        Verdict.WRONG_STATE: Verdict.CONFLICT,
        Verdict.MISSING: Verdict.REFUSED,
    },
}

_BY_STATUS: tuple[tuple[int, int, Verdict, Verdict], ...] = (
    # from, to, said by the central itself, said by something else
    (0, 199, Verdict.CONFIGURATION, Verdict.CONFIGURATION),
    (200, 299, Verdict.NOT_NOW, Verdict.NOT_NOW),  # those of the wrong shape
    (300, 399, Verdict.CONFIGURATION, Verdict.CONFIGURATION),
    (400, 400, Verdict.REFUSED_AT_ONCE, Verdict.NOT_NOW),
    (401, 401, Verdict.CREDENTIALS, Verdict.CREDENTIALS),
    (403, 403, Verdict.REFUSED_AT_ONCE, Verdict.NOT_NOW),
    (404, 404, Verdict.REFUSED, Verdict.CONFIGURATION),
    (405, 405, Verdict.CONFIGURATION, Verdict.CONFIGURATION),
    (407, 407, Verdict.CONFIGURATION, Verdict.CONFIGURATION),
    (408, 408, Verdict.NOT_NOW, Verdict.NOT_NOW),
    (409, 409, Verdict.CONFLICT, Verdict.NOT_NOW),
    (412, 412, Verdict.CONFLICT, Verdict.NOT_NOW),
    (413, 415, Verdict.REFUSED_AT_ONCE, Verdict.REFUSED_AT_ONCE),
    (422, 422, Verdict.REFUSED_AT_ONCE, Verdict.NOT_NOW),
    (425, 425, Verdict.NOT_NOW, Verdict.NOT_NOW),
    (429, 429, Verdict.NOT_NOW, Verdict.NOT_NOW),
    (431, 431, Verdict.REFUSED_AT_ONCE, Verdict.REFUSED_AT_ONCE),
    (400, 499, Verdict.REFUSED, Verdict.NOT_NOW),
    (502, 504, Verdict.NOT_NOW, Verdict.NOT_NOW),
)
"""The first row that fits; above and between them all is a server error."""

_BY_GAP: Mapping[Gap, tuple[Verdict, str]] = {
    Gap.NOT_SENT: (Verdict.NOT_SENT, "Not sent"),
    Gap.NO_ANSWER: (Verdict.UNANSWERED, "No answer"),
    Gap.TLS: (Verdict.CONFIGURATION, "The connection is not trusted"),
}


def classify(reply: Reply, operation: Operation) -> Outcome:
    """What the reply to a request of that operation means. Never raises."""
    gap = reply.gap or (Gap.NO_ANSWER if reply.status is None else None)
    if gap is not None or reply.status is None:
        verdict, words = _BY_GAP[gap or Gap.NO_ANSWER]
        return Outcome(
            verdict=verdict,
            effect_unknown=gap is Gap.NO_ANSWER,
            message=_plain(f"{words}: {reply.detail}" if reply.detail else words),
        )

    status, body = reply.status, _object(reply)
    exc_type = _exc_type(body)
    if 200 <= status <= 299 and exc_type is None:
        applied = _applied(operation, body)
        if applied is not None:
            return replace(applied, status=status)

    return Outcome(
        verdict=_verdict(status, body, exc_type, operation),
        # A typed error is Frappe's word that it rolled back; an untyped one from behind a proxy says nothing.
        effect_unknown=200 <= status <= 299 or (status >= 500 and exc_type is None),
        exc_type=exc_type,
        message=_message(reply, body, exc_type),
        status=status,
        retry_after=reply.retry_after,
    )


def _verdict(status: int, body: Json | None, exc_type: str | None, operation: Operation) -> Verdict:
    typed = verdict_of_type(exc_type, operation) if status >= 400 and exc_type is not None else None
    if typed is not None:
        return typed
    if body is not None and exc_type is None and _says_modified(status, body):
        return Verdict.CONFLICT
    # Only calls answer errors without a type: a method may set any status. On a document it is a gateway's.
    own = body is not None and (exc_type is not None or operation is Operation.CALL)
    for low, high, by_central, by_other in _BY_STATUS:
        if low <= status <= high:
            return by_central if own else by_other
    return Verdict.NOT_NOW if body is None else Verdict.SERVER_ERROR


def _says_modified(status: int, body: Json) -> bool:
    """The last resort, for JSON that names no type: 409, 412, or a refusal with the word "modified"."""
    return status in (409, 412) or (400 <= status <= 499 and "modified" in _server_text(body).lower())


def _applied(operation: Operation, body: Json | None) -> Outcome | None:
    """The outcome where the body has the shape that this operation's success has, else None."""
    if body is None:
        return None
    if operation is Operation.CALL:
        return Outcome(verdict=Verdict.APPLIED)
    # /api/resource and v2 answer under "data", frappe.client.* under "message".
    value = body.get("data", body.get("message"))
    if operation is Operation.DELETE:
        # frappe.client.delete answers nothing at all.
        return Outcome(verdict=Verdict.APPLIED) if value == "ok" or (value is None and _bare(body)) else None
    if operation is Operation.RENAME:
        return (
            Outcome(verdict=Verdict.APPLIED, name=value) if isinstance(value, str) and value.strip() else None
        )
    name = _name(value)
    return None if name is None else Outcome(verdict=Verdict.APPLIED, document=value, name=name)


def _bare(body: Json) -> bool:
    """Nothing but the framework's own keys."""
    return all(key == "message" or key.startswith("_") for key in body)


def _name(value: Any) -> str | None:
    """The name of a document as answered; autoincrement names are numbers."""
    if not isinstance(value, Mapping):
        return None
    name = value.get("name")
    if isinstance(name, int) and not isinstance(name, bool):
        return str(name)
    return name if isinstance(name, str) and name else None


def _object(reply: Reply) -> Json | None:
    return reply.body if reply.is_json and isinstance(reply.body, Mapping) else None


def _exc_type(body: Json | None) -> str | None:
    """The exception's class: `exc_type` in v1, `errors[0].type` in v2."""
    if body is None:
        return None
    named = body.get("exc_type") or _first_error(body).get("type")
    return named[:140] if isinstance(named, str) and named else None


def _first_error(body: Json) -> Json:
    errors = body.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], Mapping):
        first: Json = errors[0]
        return first
    return {}


def verdict_of_type(exc_type: str, operation: Operation) -> Verdict | None:
    """What an exception of that class means, wherever it was raised; None where the status has to say."""
    verdict = _BY_TYPE.get(exc_type)
    return verdict and _BY_OPERATION.get(operation, {}).get(verdict, verdict)


# Messages


def told(body: Json) -> str:
    """Plain text of what Frappe's body of an error says: no tags, one line; empty where it says nothing."""
    return _plain(_server_text(body))


def _message(reply: Reply, body: Json | None, exc_type: str | None) -> str:
    text = told(body) if body is not None else ""
    if text:
        return text
    what = exc_type or reply.detail or ("JSON without a message" if reply.is_json else "no JSON")
    return _plain(f"HTTP {reply.status}: {what}")


def _server_text(body: Json) -> str:
    """The message that tells why: what was raised, the error message, what was shown last before it ended.

    Alerts and coloured hints come along with an error without being its reason.
    """
    shown = _server_messages(body)
    hints = [message for message in shown if message.get("alert") or message.get("indicator", "red") != "red"]
    candidates: list[Any] = [
        *(message.get("message") for message in shown if message.get("raise_exception")),
        body.get("_error_message"),
        *(message.get("message") for message in reversed(shown) if message not in hints),
        _first_error(body).get("message"),
        _after_class(body.get("exception")),
        *(message.get("message") for message in hints),
        body.get("message"),
    ]
    return next((text for text in candidates if isinstance(text, str) and text.strip()), "")


def _server_messages(body: Json) -> list[Json]:
    """`_server_messages` is JSON text of a list of JSON texts. What cannot be read is left out."""
    messages = _parsed(body.get("_server_messages"))
    if not isinstance(messages, list):
        return []
    read = (_parsed(message) for message in messages)
    return [message if isinstance(message, Mapping) else {"message": message} for message in read]


def _parsed(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _after_class(text: Any) -> str:
    """`frappe.exceptions.SomeError: why` without the class; nothing where no reason follows it."""
    if not isinstance(text, str):
        return ""
    head, _, reason = text.partition(": ")
    return text if " " in head else reason


_BREAKING = re.compile(r"<\s*/?\s*(?:br|p|div|li|ul|ol|tr|td|h[1-6])\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<(?:[/!]?[A-Za-z]|!--)[^<>]*>")


def _plain(text: str) -> str:
    """Readable text: no tags, no control or direction characters, one line, at most MESSAGE_LIMIT."""
    text = text[: 20 * MESSAGE_LIMIT]
    text = html.unescape(_TAG.sub("", _BREAKING.sub(" ", text)))
    text = "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in text)
    text = " ".join(text.split())
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"


# Reads


def read_document(reply: Reply) -> tuple[Literal["found", "missing", "unknown"], Json | None]:
    """A look-up of one document: found with it, missing by the central's own word, or unknown."""
    body = _object(reply)
    if reply.gap is not None or body is None:
        return "unknown", None
    if reply.status == 200:
        value = body.get("data")
        return ("found", value) if _name(value) is not None else ("unknown", None)
    missing = reply.status == 404 and _exc_type(body) == "DoesNotExistError"
    return ("missing" if missing else "unknown"), None


def read_names(reply: Reply) -> list[str] | None:
    """The names that a list call answered; None where it did not answer properly."""
    body = _object(reply)
    rows = body.get("data") if body is not None and reply.gap is None and reply.status == 200 else None
    if not isinstance(rows, list):
        return None
    names = [name for row in rows if (name := _name(row)) is not None]
    return names if len(names) == len(rows) else None


def read_failure(reply: Reply) -> Outcome:
    """Why a look-up was not answered, given a reply that `read_document` or `read_names` could not read.

    REFUSED_AT_ONCE: the central is well and refuses this one look-up (no permission, no such doctype, an error of
    its own type); it says nothing about the destination. SERVER_ERROR: either may be meant, a probe tells.
    Everything else is the destination's. A look-up has no effect, so that none is unknown.
    """
    outcome = classify(reply, Operation.CALL)
    verdict = _FAILURE_SAYS.get(outcome.verdict, outcome.verdict)
    message = outcome.message or "An answer, but not that of a Frappe site"
    return replace(outcome, verdict=verdict, effect_unknown=False, message=message)


_FAILURE_SAYS: Mapping[Verdict, Verdict] = {
    Verdict.APPLIED: Verdict.NOT_NOW,
    Verdict.REFUSED: Verdict.REFUSED_AT_ONCE,
    Verdict.CONFLICT: Verdict.REFUSED_AT_ONCE,
    Verdict.LINK_MISSING: Verdict.REFUSED_AT_ONCE,
}

_PROBE_SAYS: Mapping[Verdict, Verdict] = {
    # 200 in any other shape: not a Frappe site, or something between.
    Verdict.APPLIED: Verdict.NOT_NOW,
    # A proxy that drops the Authorization header makes a guest of us: 403.
    Verdict.REFUSED_AT_ONCE: Verdict.CREDENTIALS,
    Verdict.REFUSED: Verdict.CONFIGURATION,
    Verdict.CONFLICT: Verdict.CONFIGURATION,
    Verdict.LINK_MISSING: Verdict.CONFIGURATION,
    Verdict.CONTENTION: Verdict.NOT_NOW,
}


def read_probe(reply: Reply) -> Outcome:
    """The central's health: APPLIED, with the user as `name`, only for `{"message": <user>}` with status 200.

    Otherwise one of NOT_NOW, SERVER_ERROR, NOT_SENT, UNANSWERED, CREDENTIALS and CONFIGURATION.
    A probe has no effect, so that none is unknown.
    """
    outcome = classify(reply, Operation.CALL)
    body = _object(reply) or {}
    user = body.get("message")
    if outcome.verdict is Verdict.APPLIED and reply.status == 200 and isinstance(user, str) and user.strip():
        if user == "Guest":
            return replace(outcome, verdict=Verdict.CREDENTIALS, message="The central takes us for a guest")
        return replace(outcome, name=user)
    verdict = _PROBE_SAYS.get(outcome.verdict, outcome.verdict)
    message = outcome.message or "An answer, but not that of a Frappe site"
    return replace(outcome, verdict=verdict, effect_unknown=False, message=message)


# Retry-After

_SECONDS = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(text: str | None) -> datetime | None:
    """A date of HTTP (`Sun, 06 Nov 1994 08:49:37 GMT`) as aware UTC; None for anything else."""
    match = _DATE.fullmatch(text.strip()) if text else None
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    try:
        return datetime(
            int(year),
            _MONTHS.index(month) + 1,
            int(day),
            int(hour),
            int(minute),
            min(int(second), 59),  # a leap second
            tzinfo=timezone.utc,
        )
    except ValueError:
        return None


def retry_after_seconds(text: str | None, *, now: datetime, low: float, high: float) -> float | None:
    """How long a Retry-After header asks to wait, within [low, high] seconds.

    `text` is seconds or an HTTP date, compared with `now` (aware). None where it is absent or garbage, a
    negative number included: then the delay is the caller's own.
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text.strip()):
        seconds = float(text)
    else:
        date = http_date(text)
        if date is None:
            return None
        seconds = (date - now).total_seconds()
    return min(max(seconds, low), high)
