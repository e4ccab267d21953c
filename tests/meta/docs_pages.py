"""Just enough of Markdown to hold the documentation to the code: sections, tables, links, code words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "hooks-docs"

_FENCE = re.compile(r"^(```|~~~).*?^\1[^\S\n]*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)|<img\s[^>]*src=\"([^\"]+)\"")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Page:
    """One file of the documentation, or a part of it."""

    path: Path
    text: str

    @property
    def prose(self) -> str:
        """The text without code blocks."""
        return _FENCE.sub("", self.text)

    @property
    def words(self) -> frozenset[str]:
        """Everything that stands between single backticks."""
        return frozenset(_CODE.findall(self.prose))

    @property
    def links(self) -> list[str]:
        return [link or image for link, image in _LINK.findall(self.prose)]

    @property
    def anchors(self) -> frozenset[str]:
        """What `#…` may name here, by GitHub's rule."""
        return frozenset(_slug(title) for _, title in _HEADING.findall(self.prose))

    def section(self, title: str) -> Page:
        """What stands below the heading of that text, its sub-headings included. Backticks in it do not count."""
        masked = _FENCE.sub(lambda block: " " * len(block[0]), self.text)
        headings = list(_HEADING.finditer(masked))
        for position, heading in enumerate(headings):
            if heading[2].replace("`", "") != title:
                continue
            following = (after for after in headings[position + 1 :] if len(after[1]) <= len(heading[1]))
            end = next((after.start() for after in following), len(self.text))
            return Page(self.path, self.text[heading.end() : end])
        raise AssertionError(f"{self.path.name} has no heading {title!r}")

    def row(self, first: str) -> list[str]:
        """The cells of the table row that begins with this word in backticks."""
        for line in self.prose.splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            if cells and cells[0] == f"`{first}`":
                return cells
        raise AssertionError(f"{self.path.name} has no table row for `{first}`")

    def names(self, word: str) -> bool:
        """Whether the word stands in backticks, alone or at the head of a call or an assignment."""
        return any(code == word or re.match(rf"{re.escape(word)}[(\s=<]", code) for code in self.words)


def page(name: str) -> Page:
    path = DOCS / name if name != "README.md" else ROOT / name
    return Page(path, path.read_text(encoding="utf-8"))


def all_pages() -> list[Page]:
    return [
        Page(path, path.read_text(encoding="utf-8"))
        for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    ]


def _slug(title: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower())
    return kept.replace(" ", "-")
