"""Keys and fingerprints."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_offline_sync.engine.identity import canonical_json, fingerprint, uuid7

MILLISECONDS = st.integers(0, (1 << 48) - 1)
RANDOMNESS = st.integers(0, (1 << 74) - 1)


@given(MILLISECONDS, RANDOMNESS)
def test_a_key_is_a_version_7_uuid_of_the_rfc_variant(milliseconds: int, randomness: int) -> None:
    key = UUID(uuid7(milliseconds, randomness))
    assert key.version == 7
    assert key.variant == "specified in RFC 4122"
    assert key.int >> 80 == milliseconds


@given(MILLISECONDS, RANDOMNESS, MILLISECONDS, RANDOMNESS)
def test_keys_sort_by_time_and_differ_by_randomness(t1: int, r1: int, t2: int, r2: int) -> None:
    first, second = uuid7(t1, r1), uuid7(t2, r2)
    assert (first == second) == ((t1, r1) == (t2, r2))
    if t1 < t2:
        assert first < second


@pytest.mark.parametrize(("milliseconds", "randomness"), [(-1, 0), (1 << 48, 0), (0, -1), (0, 1 << 74)])
def test_what_does_not_fit_is_refused(milliseconds: int, randomness: int) -> None:
    with pytest.raises(ValueError, match="fit"):
        uuid7(milliseconds, randomness)


def test_the_same_content_has_the_same_fingerprint_whatever_the_order_of_its_keys() -> None:
    assert fingerprint({"b": 1, "a": [1, {"d": 2, "c": 3}]}) == fingerprint(
        {"a": [1, {"c": 3, "d": 2}], "b": 1}
    )
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_canonical_json_keeps_text_as_it_is_and_refuses_what_json_has_not() -> None:
    assert canonical_json({"b": "é", "a": 1}) == '{"a":1,"b":"é"}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"a": float("nan")})
