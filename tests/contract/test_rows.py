"""The codec between values and rows: what the stores' contract does not show."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from erp_offline_sync.adapters.rows import (
    CONFLICT_COLUMNS,
    DOCUMENT_COLUMNS,
    REQUEST_COLUMNS,
    conflict_to_row,
    document_to_row,
    iso,
    parse_iso,
    request_to_row,
    row_to_conflict,
    row_to_document,
    row_to_request,
)
from erp_offline_sync.testing.store_contract import WHEN, make_conflict, make_document, make_request


def test_a_row_has_the_named_columns_with_values_that_any_driver_binds() -> None:
    for row, columns in (
        (request_to_row(make_request("a", next_retry_at=WHEN)), REQUEST_COLUMNS),
        (document_to_row(make_document("d")), DOCUMENT_COLUMNS),
        (conflict_to_row(make_conflict("c")), CONFLICT_COLUMNS),
    ):
        assert tuple(row) == columns
        assert {type(value) for value in row.values()} <= {str, int, float, type(None)}


def test_columns_that_a_database_adds_are_ignored() -> None:
    extra = {"modified": "2026-01-01 00:00:00", "docstatus": 0}
    assert row_to_request({**request_to_row(make_request("a")), **extra}) == make_request("a")
    assert row_to_document({**document_to_row(make_document("d")), **extra}) == make_document("d")
    assert row_to_conflict({**conflict_to_row(make_conflict("c")), **extra}) == make_conflict("c")


def test_times_are_kept_to_the_microsecond_and_their_texts_sort_as_they_do() -> None:
    moments = [
        WHEN.replace(microsecond=0) + timedelta(microseconds=n) for n in (0, 1, 10, 999_999, 1_000_000)
    ]
    assert [parse_iso(iso(moment)) for moment in moments] == moments
    texts = [str(iso(moment)) for moment in moments]
    assert texts == sorted(texts)


def test_a_time_of_another_zone_is_stored_as_utc() -> None:
    elsewhere = WHEN.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert iso(elsewhere) == iso(WHEN)
    request = row_to_request(request_to_row(make_request("a", sent_at=elsewhere)))
    assert request.sent_at == WHEN
    assert request.sent_at.tzinfo is timezone.utc


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        request_to_row(make_request("a", sent_at=datetime(2026, 1, 1)))


def test_a_row_without_the_time_of_its_creation_is_refused() -> None:
    row = request_to_row(make_request("a"))
    with pytest.raises(ValueError, match="time"):
        row_to_request({**row, "times": '{"created_at":null}'})


def test_what_is_no_number_is_refused() -> None:
    """JSON has no NaN: the central could not read it."""
    with pytest.raises(ValueError, match="JSON"):
        request_to_row(replace(make_request("a"), body={"qty": float("nan")}))
