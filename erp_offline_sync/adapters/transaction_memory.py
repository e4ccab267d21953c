"""What one transaction of a site's outbox knows already, so that it asks the database once and not for each request.

All of it is true until the transaction ends, or until one of the methods here says what has changed. Only what this
transaction itself does can change it: engine transactions take turns, and those of web requests see one moment.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any

from erp_offline_sync.engine.model import Document, Operation

__all__ = ["TransactionMemory"]

Name = tuple[str, str]
"""(doctype, name)"""


@dataclass(slots=True, kw_only=True)
class TransactionMemory:
    """Empty at the beginning, and again after `forget`."""

    held: dict[Name, dict[str, Any]] = field(default_factory=dict)
    """Rows that are locked, by table and name, as they stand."""
    read: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Rows of documents that were read without a lock, by id, as they stand."""
    named: dict[Name, Document] = field(default_factory=dict)
    """Documents by their names here, as they stand."""
    unborn: set[str] = field(default_factory=set)
    """Ids that no document has."""
    alone: set[str] = field(default_factory=set)
    """Ids of requests that nothing waits for, and that link to nothing."""
    kept_names: set[Name] = field(default_factory=set)
    """Names that no open request takes from its document."""
    quiet: set[tuple[str, frozenset[Operation]]] = field(default_factory=set)
    """Lines in which nothing is open of these operations."""
    locked_metadata: dict[str, str | None] = field(default_factory=dict)
    """Values of metadata whose rows are locked, as they stand."""
    nobodys: set[Name] = field(default_factory=set)
    """Names at the central (doctype, name) that no document here is known to have."""
    _absent: dict[Name, set[str]] = field(default_factory=dict)

    def forget(self) -> None:
        """Everything."""
        for known in (self.held, self.read, self.named, self.locked_metadata, self._absent):
            known.clear()
        for some in (self.unborn, self.alone, self.kept_names, self.quiet, self.nobodys):
            some.clear()

    def is_absent(self, name: Name) -> bool:
        """Whether the database was asked for a document of that very name, and has none."""
        return name[1] in self._absent.get(_plain(name), ())

    def found_none(self, name: Name) -> None:
        self._absent.setdefault(_plain(name), set()).add(name[1])

    def document_changes(self, document: Document) -> None:
        """It is written next: new, under another name, or with other values. A database may take names for one that
        are not: none that is like its own is absent any more."""
        self._absent.pop(_plain((document.doctype, document.local_name)), None)
        self.named = {name: known for name, known in self.named.items() if known.id != document.id}
        self.read.pop(document.id, None)
        self.nobodys.discard((document.doctype, document.central_name or ""))

    def documents_are_locked(self) -> None:
        """They stand as of now: what was read before may be older."""
        self.named.clear()
        self.read.clear()

    def request_comes(self) -> None:
        self.kept_names.clear()
        self.quiet.clear()

    def line_stirs(self, line: str) -> None:
        """A request comes into it, or begins to count there."""
        self.quiet = {known for known in self.quiet if known[0] != line}


def _plain(name: Name) -> Name:
    """Without case, accents and blanks at the end, which most databases do not tell apart."""
    bare = (char for char in unicodedata.normalize("NFKD", name[1]) if not unicodedata.combining(char))
    return name[0], "".join(bare).casefold().rstrip()
