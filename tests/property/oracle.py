"""Counts attempts from what the central answered, without the engine's help (G7).

Written from the semantics alone: "Attempts, backoff, breaker". Where the semantics leave a choice (a refusal that
turns out to be done already, a link that may be on its way) the oracle answers a range.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from erp_offline_sync.engine.model import Gap, Operation, Reply

__all__ = ["Answers"]

_FREE_IN_A_ROW = 3
_UNANSWERED = 3
_CONTENTION = {"QueryDeadlockError", "QueryTimeoutError"}
_LOCKED = "DocumentLockedError"
"""The central is still at work on it: never an attempt."""
_NO_ATTEMPT = {
    "TooManyRequestsError",
    "SessionStopped",
    "AuthenticationError",
    "DoesNotExistError",
    "DuplicateEntryError",
    "UniqueValidationError",
}
_LOOKED_UP = (Operation.SUBMIT, Operation.CANCEL, Operation.DELETE)
"""Refused, these may turn out to be done already."""
_STATE = {"DocstatusTransitionError", "UpdateAfterSubmitError", "CancelledLinkError", "LinkExistsError"}


@dataclass
class _Answer:
    reply: Reply
    probe_good: bool = False


@dataclass
class Answers:
    """What was answered to each idempotency key since it last began anew."""

    by_key: dict[str, list[_Answer]] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    """Keys whose last answer may not have been recorded: the process died or was overtaken."""
    looks: Counter[str] = field(default_factory=Counter)
    """Look-ups that got no proper answer, for each key they may have been made for."""
    _last: _Answer | None = None
    _last_key: str | None = None

    def got(self, key: str, reply: Reply) -> None:
        self._last, self._last_key = _Answer(reply), key
        self.by_key.setdefault(key, []).append(self._last)

    def probed(self, *, good: bool) -> None:
        """Only the first probe after an answer says whether the central was well then."""
        if self._last is not None:
            self._last.probe_good = good
            self._last = None

    def look_failed(self, key: str) -> None:
        self.looks[key] += 1

    def lost(self, key: str | None = None) -> None:
        """The run that gets this answer, or got the last one, may not record it."""
        key = key or self._last_key
        if key is not None:
            self.uncertain.add(key)

    def roughly(self, key: str) -> None:
        """A push's answer means what its outcomes and its receipts say: only an upper bound is kept of it."""
        self.uncertain.add(key)
        self.looks[key] = max(self.looks[key], 1)

    def forgive(self, key: str) -> None:
        """A person sends it again with all its retries."""
        self.by_key.pop(key, None)
        self.uncertain.discard(key)
        self.looks.pop(key, None)

    def forget_since(self, then: Answers) -> None:
        """The branch knows only what it knew then: what was answered since may be booked again, or not at all."""
        for key, answers in then.by_key.items():
            if len(answers) >= len(self.by_key.get(key, ())):
                self.by_key[key] = list(answers)
        for key, looks in then.looks.items():
            self.looks[key] = max(looks, self.looks[key])
        self.uncertain |= self.by_key.keys()

    def attempts(self, key: str, operation: Operation) -> tuple[int, int]:
        """The least and the most attempts that may be booked under this key."""
        low = high = in_a_row = unanswered = versions = 0
        for answer in self.by_key.get(key, ()):
            reply = answer.reply
            kind = _type_of(reply)
            if reply.gap is Gap.NOT_SENT:
                continue
            if kind == _LOCKED:
                in_a_row += 1
                continue
            if kind in _CONTENTION:
                in_a_row += 1
                if in_a_row > _FREE_IN_A_ROW:
                    low, high, in_a_row, unanswered = low + 1, high + 1, 0, 0
                continue
            if _says_nothing(reply):
                if answer.probe_good:
                    unanswered += 1
                    booked = _UNANSWERED if unanswered == _UNANSWERED else int(unanswered > _UNANSWERED)
                    low, high = low + booked, high + booked
                continue
            least, most = _counts(answer, kind, operation)
            if kind == "TimestampMismatchError":
                versions += 1
                most = int(versions > 3)
            low, high = low + least, high + most
            if most:
                in_a_row = unanswered = 0
        if key in self.uncertain:
            sent = sum(answer.reply.gap is not Gap.NOT_SENT for answer in self.by_key.get(key, ()))
            return 0, sent + _UNANSWERED * self.looks[key]
        if self.looks[key]:
            # Look-ups count like sends; which of them was this request's is not known here.
            return 0, high + _UNANSWERED * self.looks[key]
        return low, high


def _type_of(reply: Reply) -> str | None:
    return reply.body.get("exc_type") if reply.is_json and isinstance(reply.body, dict) else None


def _says_nothing(reply: Reply) -> bool:
    return reply.gap is Gap.NO_ANSWER or (reply.status in (200, 500, 502, 503, 504) and not reply.is_json)


def _counts(answer: _Answer, kind: str | None, operation: Operation) -> tuple[int, int]:
    status = answer.reply.status or 0
    if 200 <= status <= 299 or kind in _NO_ATTEMPT or status in (401, 408, 425, 429):
        return 0, 0
    if kind == "LinkValidationError" or (status == 409 and kind is None):
        return 0, 1
    if kind in _STATE:
        return (1, 1) if operation is Operation.CREATE else (0, 0)
    if status == 413:
        return (0 if operation in _LOOKED_UP else 1), 1
    if status >= 500 or not answer.reply.is_json:
        return (1, 1) if answer.probe_good else (0, 0)
    if kind == "ValidationError" and operation in _LOOKED_UP:
        return 0, 1
    if kind == "TimestampMismatchError":
        return 0, 0
    return 1, 1
