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


def told_in_german(texts):
    """Runs on a site."""
    import frappe

    from erp_offline_sync.conflicts import sentences

    frappe.local.lang = "de"
    return [sentences.told(text) for text in texts]


def test_what_the_engine_says_of_conflicts_is_told_in_the_readers_language(branch):
    said = {
        "a person decides by its policy": "nach der Richtlinie entscheidet ein Mensch",
        "both sides changed title, items[a1].qty; changed here 12 s later": (
            "beide Seiten änderten title, items[a1].qty; hier 12 s später geändert"
        ),
        "asha@shop.example took back what ravi@shop.example decided: local_wins": (
            "asha@shop.example nahm zurück, was ravi@shop.example entschied: diese Seite gilt"
        ),
        # One sentence in another.
        "rule:Local Wins chose local_wins, but: The central has no such document.": (
            "die Regel Lokal gilt wählte: diese Seite gilt. Aber: Die Zentrale hat kein solches Dokument."
        ),
        "The hook failed: it ran longer than 10 seconds": (
            "Der Hook ist gescheitert: er lief länger als 10 Sekunden"
        ),
        "A conflict hook must answer {'resolution': one of merge, skip} or None, not list.": (
            "Ein Konflikt-Hook antwortet mit {'resolution': eines von merge, skip} oder None, nicht mit list."
        ),
        # What is not the engine's stays as it is, signs and all.
        "rule:Local Wins chose skip, but: <b>50% {0} %s</b>; no": (
            "die Regel Lokal gilt wählte: verschieden belassen. Aber: <b>50% {0} %s</b>; no"
        ),
        "Value missing for Shop Note: Title": "Value missing for Shop Note: Title",
        "": "",
    }
    assert branch.run(told_in_german, list(said)) == list(said.values())
