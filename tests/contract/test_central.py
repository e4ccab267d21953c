"""The Central port's other side: what the stand-in answers, written down by hand and seen alike on real sites.

tests/site/test_central_contract.py sends the same list to a site of each bench at hand (seen equal on Frappe 15.55.1
with MariaDB and 16.0.0-dev with SQLite).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from erp_offline_sync.testing.central_contract import CASES, RULES, CallCentral, doctype_documents, observe
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral

EXPECTED: dict[str, list[Any]] = {
    "a_create_takes_defaults_for_what_is_absent_or_null": [
        ["A party", None, "Shop", 1, 0, 7, 0.0, None, 0, 0],
        ["A party", None, "Shop", 1, 0, 7, 0.0, None, 0, 0],
        ["A party", None, "Home", 0, 1, 0, 1.5, "", 0, 0, "2020-02-29"],
        True,
        True,
        True,
        ["A party", None, "Home", 0, 1, 0, 1.5, "", 0, 0, "2020-02-29"],
    ],
    "nulls_and_unknown_fields_are_not_answered": [False, False, False, False],
    "an_update_needs_the_current_version_or_none": [
        "200",
        "second",
        True,
        True,
        "417 TimestampMismatchError",
        "second",
        True,
        "200",
        "fourth",
    ],
    "an_update_without_a_change_moves_the_version_all_the_same": [True],
    "an_update_empties_what_is_null": [
        [None, 0, "Home", None, "A party"],
        [None, 0, "Home", None, "A party"],
        "417 MandatoryError",
    ],
    "another_name_in_an_update_is_not_found": ["404 DoesNotExistError"],
    "what_is_missing_is_not_found": [
        "404 DoesNotExistError",
        "404 DoesNotExistError",
        "404 DoesNotExistError",
        "404 DoesNotExistError",
        "404 DoesNotExistError",
    ],
    "a_delete_is_answered_202": ["202", {"data": "ok"}, "404 DoesNotExistError", "404 DoesNotExistError"],
    "wrong_calls_are_told_apart": [
        "500 ImportError",
        "417 ValidationError",
        "417 ValidationError",
        "405 page",
        "500 JSONDecodeError",
    ],
    "who_calls_matters": [
        "401 AuthenticationError",
        "403 PermissionError",
        "403 PermissionError",
        "200",
        True,
        ["time_zone"],
        {"message": "pong"},
    ],
    "a_required_field_must_be_there": ["417 MandatoryError", "417 MandatoryError", "417 ValidationError"],
    "a_link_must_name_something": [
        "417 LinkValidationError",
        "417 LinkValidationError",
        "200",
        "417 LinkValidationError",
    ],
    "what_is_taken_is_refused": [True, True, "200", True, "200", True, "417 ValidationError", True],
    "names_come_from_the_rule": [True, "EOS-", True, 1, 10],
    "any_text_can_be_a_name": [
        [True, ["50% of a #1?"], "200", "202"],
        [True, ["O'a/b c"], "200", "202"],
        [True, ["عميل جديد"], "200", "202"],
        [True, ['q"uo&te+s'], "200", "202"],
    ],
    "rows_get_names_from_the_central": [
        [2.0, 1.0],
        [1, 2],
        True,
        False,
        [["rows", "EOS Paper", 0], ["rows", "EOS Paper", 0]],
        True,
    ],
    "rows_sent_in_an_update_are_the_whole_table": [
        2,
        [True, False],
        [[1, 0.0, None], [2, 1.0, None]],
        [True, True],
        0,
        0,
    ],
    "a_row_under_an_unknown_name_is_answered_and_lost": ["200", [2.0, 3.0], [2.0]],
    "a_document_moves_from_draft_to_submitted_to_cancelled": [
        "200",
        1,
        [1],
        "417 TimestampMismatchError",
        "200",
        "417 UpdateAfterSubmitError",
        "200",
        "417 DocstatusTransitionError",
        "417 ValidationError",
        "200",
        2,
        [2],
        "417 ValidationError",
        "417 ValidationError",
        "202",
    ],
    "not_every_state_follows_every_other": [
        "417 DocstatusTransitionError",
        1,
        1,
        [1],
        "417 DocstatusTransitionError",
    ],
    "links_hold_what_they_name": ["417 LinkExistsError", "417 LinkExistsError", "202", "202", "202"],
    "submitted_documents_hold_what_they_link_to": [
        "200",
        "417 LinkExistsError",
        "200",
        "417 CancelledLinkError",
        "417 CancelledLinkError",
        "200",
    ],
    "lists_are_filtered": [True, True, [], True, True, [], 20, ["name"]],
    "a_rename_moves_the_links": [
        "200",
        True,
        "404 DoesNotExistError",
        True,
        True,
        "417 ValidationError",
        "404 DoesNotExistError",
        "417 ValidationError",
        "200",
        True,
        "404 DoesNotExistError",
    ],
    "the_client_calls_do_the_same": [
        "200",
        "200",
        "saved",
        "417 TimestampMismatchError",
        "200",
        "set",
        "200",
        1,
        "200",
        2,
        "200",
        {},
        "404 DoesNotExistError",
        "417 MandatoryError",
    ],
    "version_2_answers_documents_and_errors_in_its_own_shape": [
        "v2",
        "417 TimestampMismatchError",
        ["errors"],
        "200",
        "202",
    ],
}


@pytest.fixture(scope="module")
def call() -> Iterator[CallCentral]:
    with StandInCentral(RULES, zone="Asia/Kolkata") as central, requests.Session() as session:
        session.trust_env = False

        def call(method: str, path: str, body: Any = None, *, token: str = "good") -> tuple[int, Any]:
            secret = API_SECRET if token == "good" else "not-the-secret"
            headers = {} if token == "none" else {"Authorization": f"token {API_KEY}:{secret}"}
            data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
            answer = session.request(method, central.url + path, data=data, headers=headers, timeout=10)
            try:
                return answer.status_code, answer.json()
            except ValueError:
                return answer.status_code, None

        yield call


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_stand_in_answers_as_written_down(case: Any, call: CallCentral) -> None:
    assert case(call) == EXPECTED[case.__name__]


def test_every_case_is_written_down_and_can_be_repeated_on_one_site(call: CallCentral) -> None:
    assert set(EXPECTED) == {case.__name__ for case in CASES}
    assert observe(call) == EXPECTED


def test_the_doctypes_can_be_inserted_one_after_the_other() -> None:
    """Each link and table names a doctype that is there by then."""
    made: set[str] = set()
    for document in doctype_documents():
        made.add(document["name"])
        named = {f["options"] for f in document["fields"] if f["fieldtype"] in ("Link", "Table")}
        assert named <= made
        assert document["custom"] == 1
    assert len(made) == len(RULES)
