"""Frappe's own commands find what is to be translated, and what is translated reaches people."""

from __future__ import annotations

import csv
from pathlib import Path

import erp_offline_sync

GERMAN = Path(erp_offline_sync.__file__).parent / "translations" / "de.csv"


def lines(path):
    return set(path.read_text(encoding="utf-8").splitlines())


def test_frappes_commands_find_each_message_and_miss_no_german_one(branch, tmp_path):
    with GERMAN.open(encoding="utf-8", newline="") as rows:
        ours = {text for text, _, context in csv.reader(rows) if not context}
    for name, more in (("all", ["--all"]), ("lacking", [])):
        branch.bench(
            "get-untranslated", "--app", "erp_offline_sync", *more, "de", str(tmp_path / f"{name}.txt")
        )
    assert ours - lines(tmp_path / "all.txt") == set()
    assert ours & lines(tmp_path / "lacking.txt") == set()


def in_german(texts):
    """Runs on a site."""
    import frappe

    return [frappe._(text, "de", context) for text, context in texts]


def test_words_that_frappe_means_otherwise_have_a_meaning_of_their_own(branch):
    texts = [["Preview and Accept", None], ["Key", None], ["Key", "Keyboard"], ["State", "Document"]]
    assert branch.run(in_german, texts) == ["Vorschau und annehmen", "Schlüssel", "Taste", "Status"]
