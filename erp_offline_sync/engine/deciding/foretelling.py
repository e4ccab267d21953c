"""What the central would answer to a request, asked of its companion before anything is sent.

The question is a push of this one request, which the companion carries out and undoes. It is put only where a push
would go as well: the line is closed, nobody paused, and this site is known as the one that sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..classify import Verdict, classify
from ..errors import UnreadableMessage
from ..model import Operation, Reply, Request
from ..ports import Ports
from ..sending.companion import COMPANION, kept_capabilities
from ..sending.line import BREAKER, kept_breaker
from ..sending.origin import Origins, Standing
from ..sending.push import PushOutcome, PushResult, packed, parse_answer, push_text
from ..sending.pushed import outcome_of
from ..status import paused_by

__all__ = ["Foretelling", "Foretold", "foretold", "question"]

_KEY = "rehearsal"
_SECONDS = 10
_MOVED = "TimestampMismatchError"


class Foretold(str, Enum):
    """What would become of it at the central."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    """It was asked and cannot tell."""
    UNREACHED = "unreached"
    """No proper answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretelling:
    verdict: Foretold
    message: str = ""
    """Plain text for people; may hold a document's values."""


_FORETOLD: Mapping[PushOutcome, Foretold] = {
    PushOutcome.APPLIED: Foretold.ACCEPTED,
    PushOutcome.REJECTED: Foretold.REFUSED,
    PushOutcome.CONFLICT: Foretold.CONFLICT,
}
"""All others tell nothing."""


def question(ports: Ports, request: Request) -> bytes | None:
    """The push to be rehearsed, of a request prepared as one of its items; None where the central cannot be asked
    now, or not so. Opens transactions of its own."""
    standing, _why, origin = Origins(ports).look()
    store = ports.store
    with store.transaction():
        companion = kept_capabilities(store.get_meta(COMPANION))
        usable = kept_breaker(store.get_meta(BREAKER)).closed and paused_by(store, store.now()) is None
    if standing is not Standing.SAME or origin is None or not usable:
        return None
    if companion is None or not companion.rehearse:
        return None
    assert request.wire is not None  # it was prepared
    return packed(
        push_text(
            origin=origin.id,
            run=origin.run,
            run_key=_KEY,
            low_water=0,
            language=ports.language,
            seconds=_SECONDS,
            items=[request.wire.body or ""],
        )
    )


def foretold(reply: Reply, request: Request) -> Foretelling:
    """What the answer to the question says."""
    outcome = classify(reply, Operation.CALL)
    if outcome.verdict is not Verdict.APPLIED:
        # Of a line that is down the class of the error tells people nothing.
        said = outcome.message if reply.status is not None else ""
        return Foretelling(verdict=Foretold.UNREACHED, message=said)
    try:
        answer = parse_answer(reply.body.get("message"), [request.key])
    except UnreadableMessage as why:
        return Foretelling(verdict=Foretold.UNREACHED, message=str(why))
    for result in answer.outcomes:
        verdict = _FORETOLD.get(result.outcome, Foretold.UNKNOWN)
        return Foretelling(verdict=verdict, message=_words(result, verdict, request))
    return Foretelling(verdict=Foretold.UNREACHED)


def _words(result: PushResult, verdict: Foretold, request: Request) -> str:
    """What a person should read beside the verdict: that the document moved is told by that alone."""
    if verdict is Foretold.ACCEPTED or result.exc_type == _MOVED:
        return ""
    return outcome_of(result, request.operation).message
