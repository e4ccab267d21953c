"""The exception tree: what callers may rely on when they catch."""

from __future__ import annotations

import pytest

from erp_offline_sync.engine import errors
from erp_offline_sync.engine.classify import Outcome, Verdict


@pytest.mark.parametrize("name", errors.__all__)
def test_everything_the_app_raises_is_caught_by_one_class_and_is_in_the_drawn_tree(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.OfflineSyncError)
    assert name in str(errors.__doc__)


def test_wrong_input_is_a_value_error_and_a_missing_thing_a_lookup_error() -> None:
    """Callers that know nothing of this app catch what Python has."""
    assert issubclass(errors.InvalidRequest, ValueError)
    assert issubclass(errors.SettingsError, ValueError)
    assert issubclass(errors.NotFound, LookupError)


def test_taking_along_names_what_would_go() -> None:
    assert errors.TakesAlong("2 later requests", ("a", "b")).names == ("a", "b")


def test_an_unavailable_central_carries_what_the_classifier_made_of_it() -> None:
    """Its text is the class of the answer: messages of the central may hold a document's values."""
    outcome = Outcome(verdict=Verdict.NOT_NOW, message="Ann Miller's invoice")
    error = errors.CentralUnavailable(outcome)
    assert error.outcome is outcome
    assert str(error) == "not now"
