"""A few of the edits whose result is worked out without the engine."""

from __future__ import annotations

import json

import pytest

from .merge_oracle import Expected, expect, faults, main, make_edit, merged


@pytest.mark.parametrize("seed", [1, 2])
def test_what_comes_out_is_what_both_scripts_say(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is wrong, and nothing is left to a person but what clashes by the scripts."""
    assert main(["--edits", "200", "--seed", str(seed), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    summary = json.loads(told.out)
    assert summary["edits"] == summary["decided"] + summary["left_to_person"] == 200
    assert summary["left_to_person"] == summary["clashing"] > 20
    assert summary["wrong"] == 0


def test_edits_of_different_fields_never_clash() -> None:
    """They are every other one."""
    assert not any(expect(make_edit(number)).clashes for number in range(0, 200, 2))


def test_an_edit_is_made_of_its_number() -> None:
    assert make_edit(7) == make_edit(7) != make_edit(7, seed=1)


def test_a_wrong_merge_is_seen() -> None:
    """So that "wrong: 0" says something: each field left out, changed or decided against the scripts is found."""
    edit = make_edit(0)
    expected = expect(edit)
    values, clashes = merged(edit)
    assert values is not None
    assert faults(edit, expected, values, clashes) == []
    assert faults(edit, expected, values, ["total"])
    assert faults(edit, expected, None, [])
    assert faults(edit, Expected(deleted=True), values, [])
    for field in expected.values:
        assert faults(edit, expected, {**values, field: [] if field in ("items", "taxes") else "else"}, [])
        assert faults(edit, expected, {name: each for name, each in values.items() if name != field}, [])
    rows = values["items"]
    assert faults(edit, expected, {**values, "items": rows[::-1]}, [])
    assert faults(edit, expected, {**values, "items": [*rows, {"item": "x", "qty": 1, "text": ""}]}, [])
