"""The one exception tree. A leaf says what the caller should do.

OfflineSyncError
├── InvalidRequest        the caller's input is wrong: correct it and call again; nothing was stored
├── SettingsError         a setting is missing or out of range: an administrator corrects the settings
├── NotFound              no such request, conflict or document: look the name up again
├── NotAllowed            this state does not allow that step: read the reason, choose another step
│   ├── AlreadyDecided    somebody else was faster: read what they decided
│   └── TakesAlong        the step would take other requests along: show them, then confirm
├── CentralUnavailable    the line or the central cannot answer now: nothing is lost, go on when it can
├── Paused                sending is paused: resume first
├── UnreadableMessage     a push or its answer is not what was agreed on: nothing of it was looked at
│   ├── UnknownSchema     the other side speaks another version: update the older of the two
│   └── MessageTooLarge   more bytes than allowed: send fewer requests at once
├── LeaseLost             another run took over: stop without recording anything
└── LocalRefused          the branch's own rules refuse the values: leave the conflict open, show the reason
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyDecided",
    "CentralUnavailable",
    "InvalidRequest",
    "LeaseLost",
    "LocalRefused",
    "MessageTooLarge",
    "NotAllowed",
    "NotFound",
    "OfflineSyncError",
    "Paused",
    "SettingsError",
    "TakesAlong",
    "UnknownSchema",
    "UnreadableMessage",
]


class OfflineSyncError(Exception):
    """Anything this app refuses or gives up, with a message that a person can act on."""


class InvalidRequest(OfflineSyncError, ValueError):
    """The input is wrong; nothing was stored."""


class SettingsError(OfflineSyncError, ValueError):
    """A setting is missing or out of range."""


class NotFound(OfflineSyncError, LookupError):
    """No such request, conflict or document."""


class NotAllowed(OfflineSyncError):
    """The state of the thing does not allow this step."""


class AlreadyDecided(NotAllowed):
    """The conflict was decided by somebody else in the meantime."""


class TakesAlong(NotAllowed):
    """The step takes other requests along; `names` lists them, so that a person can confirm."""

    def __init__(self, message: str, names: tuple[str, ...]) -> None:
        super().__init__(message)
        self.names = names


class Paused(OfflineSyncError):
    """Sending is paused until somebody resumes it."""


class UnreadableMessage(OfflineSyncError, ValueError):
    """What came over the line cannot be read; the text says where, and holds no values of documents."""


class UnknownSchema(UnreadableMessage):
    """A schema version that this side does not know."""


class MessageTooLarge(UnreadableMessage):
    """More bytes, packed or unpacked, or more requests than allowed."""


class LeaseLost(OfflineSyncError):
    """The lease belongs to another run now; nothing may be recorded under the old token."""


class LocalRefused(OfflineSyncError):
    """The branch's own rules refuse the write (submitted, linked, no permission)."""


class CentralUnavailable(OfflineSyncError):
    """A look-up got no proper answer; `outcome` is what the classifier made of it."""

    def __init__(self, outcome: Any) -> None:
        super().__init__(outcome.verdict.value)
        self.outcome = outcome
