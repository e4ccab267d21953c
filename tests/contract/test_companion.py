"""The companion's side of the Central port: what modelled centrals answer to pushes, written down by hand.

tests/site/test_companion_contract.py sends the same list to a site with the app.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from erp_offline_sync.adapters.companion_central import CompanionCentral
from erp_offline_sync.engine.identity import fingerprint
from erp_offline_sync.testing.central_contract import PAPER, RULES, THING
from erp_offline_sync.testing.companion_contract import CASES, Pushing, observe
from erp_offline_sync.testing.model_central import ModelCentral, refusal
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral

EXPECTED: dict[str, list[Any]] = {
    "it_says_what_it_can_do": [True, True, True, True],
    "a_create_is_answered_with_the_document": ["applied", "O'Brien 50% off", True, True, 0],
    "a_repeated_request_has_no_second_effect": [
        *("applied", "duplicate", True, "Twice", "mismatch"),
        *("duplicate", True, None),
    ],
    "an_update_needs_the_current_version": [
        "applied",
        "second",
        "conflict TimestampMismatchError",
        "second",
        True,
        "applied",
    ],
    "what_is_missing_is_a_conflict_and_a_delete_of_it_is_done": [
        "conflict DoesNotExistError",
        None,
        "applied",
    ],
    "rows_change_by_patches": [
        "applied",
        [["c", 7, None], ["b", 5, "kept"]],
        "conflict TimestampMismatchError",
    ],
    "states_are_moved_and_answered_as_they_are_afterwards": ["applied", "done", 1, True, "rejected", 2, 1],
    "names_are_given_and_changed": ["applied", True, True, "conflict", "applied"],
    "one_that_is_refused_harms_no_other": [
        ["applied", "rejected LinkValidationError", "rejected MandatoryError", "applied"],
        ["applied", "none", "none", "applied"],
    ],
    "a_refused_request_may_come_again_with_another_content": ["rejected MandatoryError", "applied"],
    "a_receipt_tells_name_version_and_state": ["applied", True, "none"],
    "a_rehearsal_tells_what_a_push_would_and_does_nothing": [
        True,
        ["applied", "conflict TimestampMismatchError", "rejected MandatoryError", "in_doubt", "applied"],
        "second",
        ["none"] * 5,
        413,
        "applied",
    ],
    "what_is_no_push_is_refused_as_a_whole": [400, 400, 400],
}


def a_model() -> ModelCentral:
    """With the rules of the contract's doctypes, as far as a model without fields has them."""
    moments = (datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc) + timedelta(seconds=n) for n in range(10**6))
    central = ModelCentral(lambda: next(moments))
    central.has_companion = True
    central.unique = {THING: "code"}
    central.links = {PAPER: {"party": "EOS Party", "rows.thing": THING}}
    central.rules.append(
        lambda doctype, values: (
            refusal(417, "MandatoryError")
            if doctype == "EOS Party" and set(values) == {"note"} and values["note"] == "no title"
            else None
        )
    )
    return central


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandInCentral]:
    with StandInCentral(RULES, companion=True, seed=1) as central:
        yield central


@pytest.fixture(scope="module")
def behind_http(stand_in: StandInCentral) -> Iterator[CompanionCentral]:
    central = CompanionCentral(stand_in.url, API_KEY, API_SECRET)
    yield central
    central.close()


@pytest.fixture(params=["model", "stand-in"])
def branch(request: pytest.FixtureRequest, behind_http: CompanionCentral) -> Pushing:
    central = a_model() if request.param == "model" else behind_http
    return Pushing(central, origin=fingerprint(request.node.name)[:20])


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.__name__))
def test_modelled_companions_keep_the_contract(case: Any, branch: Pushing) -> None:
    assert case(branch) == EXPECTED[case.__name__]


def test_every_case_is_expected(behind_http: CompanionCentral) -> None:
    assert observe(Pushing(behind_http, origin="all")) == EXPECTED


def test_a_central_without_the_app_answers_like_one_that_never_heard_of_it(
    stand_in: StandInCentral, behind_http: CompanionCentral
) -> None:
    stand_in.has_companion = False
    plain = ModelCentral(lambda: datetime.now(timezone.utc))
    try:
        for central in (plain, behind_http):
            replies = [central.capabilities(), central.receipts("o", ["a"])]
            assert {reply.status for reply in replies} == {417}
            assert {reply.body["exc_type"] for reply in replies} == {"ValidationError"}
    finally:
        stand_in.has_companion = True


def test_strangers_are_refused(stand_in: StandInCentral) -> None:
    stranger = CompanionCentral(stand_in.url, "wrong", "wrong")
    assert stranger.push(b"x").status == 401
    assert stranger.capabilities().status == 401
    assert stranger.rehearse(b"x").status == 401
    stranger.close()
