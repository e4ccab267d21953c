"""Idempotency keys and fingerprints.

A key is made once, before the first attempt (style, rule 7). A fingerprint is taken over canonical JSON, so
that the same content has the same fingerprint wherever it is computed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

__all__ = ["canonical_json", "fingerprint", "uuid7"]


def uuid7(milliseconds: int, randomness: int) -> str:
    """A version 7 UUID (RFC 9562) from Unix milliseconds and 74 random bits."""
    if not 0 <= milliseconds < 1 << 48:
        raise ValueError("milliseconds do not fit in 48 bits")
    if not 0 <= randomness < 1 << 74:
        raise ValueError("randomness does not fit in 74 bits")
    high, low = randomness >> 62, randomness & ((1 << 62) - 1)
    return str(UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
# Made once: `json.dumps` would make one for each value.


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces and no escapes but the necessary ones. Raises ValueError on NaN."""
    return _CANONICAL.encode(value)


def fingerprint(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
