"""Reading of our Markdown pages: headings, tables, links and code blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[[^\]]*\]\(([^()\s]+)\)")
_CELL = re.compile(r"(?<!\\)\|")

Row = dict[str, str]


@dataclass(frozen=True)
class Page:
    """One page."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> Page:
        """Read a page; a missing one fails the test that asks for it."""
        return cls(path, path.read_text())

    @property
    def prose(self) -> str:
        """The text without its code blocks."""
        return _FENCE.sub("", self.text)

    @property
    def headings(self) -> list[str]:
        """Titles of all sections, in order."""
        return re.findall(r"^#{1,6} (.+?)\s*$", self.prose, re.MULTILINE)

    @property
    def anchors(self) -> set[str]:
        """What a link may name behind ``#``, as the documentation's builder makes it."""
        return {_slug(heading) for heading in self.headings}

    @property
    def links(self) -> list[str]:
        """Targets of links and pictures, those to other hosts left out."""
        targets = [target for _, target in _LINK.findall(self.prose)]
        return [one for one in targets if "://" not in one and not one.startswith("mailto:")]

    def section(self, heading: str) -> Page:
        """Return what stands below a heading, up to the next heading of any level."""
        found = re.search(
            rf"^#{{1,6}} {re.escape(heading)}\s*$\n(.*?)(?=^#{{1,6}} |\Z)",
            self.text,
            re.MULTILINE | re.DOTALL,
        )
        assert found is not None, f"{self.path.name} has no heading {heading!r}"
        return Page(self.path, found[1])

    def rows(self) -> list[Row]:
        """Return the rows of all tables, each as column title -> cell."""
        found: list[Row] = []
        titles: list[str] = []
        for line in self.prose.splitlines():
            if not line.startswith("|"):
                titles = []
                continue
            cells = [cell.strip() for cell in _CELL.split(line)[1:-1]]
            if not titles:
                titles = cells
            elif not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                assert len(cells) == len(titles), f"{self.path.name}: {line}"
                found.append(dict(zip(titles, cells, strict=True)))
        return found

    def commands(self) -> list[str]:
        """Return the shell blocks that are marked to be run."""
        marked = re.compile(r"<!-- run -->\n" + _FENCE.pattern[1:], re.MULTILINE | re.DOTALL)
        return [block[2] for block in marked.findall(self.text)]


def code(cell: str) -> list[str]:
    """Return what stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def _slug(heading: str) -> str:
    plain = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
    return re.sub(r"[-\s]+", "-", plain)
