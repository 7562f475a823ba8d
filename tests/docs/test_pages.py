"""Links lead somewhere, pictures exist, marked commands run, and the site builds."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.documentation import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PICTURES = ("login", "logins", "home", "spawn", "notebook", "admin", "authorize", "terminal")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_each_link_leads_to_a_page_a_heading_or_a_picture(path: Path) -> None:
    for link in Page.read(path).links:
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.is_file(), f"{link} leads nowhere"
        if anchor:
            assert anchor in Page.read(file).anchors, f"{link} names no heading"


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_tables_are_whole(path: Path) -> None:
    Page.read(path).rows()


def test_each_page_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """Reads mkdocs.yml, whose own tags do not matter here."""

    def leaves(node: object) -> set[str]:
        if isinstance(node, dict):
            node = list(node.values())
        return {node} if isinstance(node, str) else set().union(*map(leaves, node))

    listed = leaves(yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"])
    found = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert found - {"benchmarks.md"} == listed - {"benchmarks.md"}


@pytest.mark.parametrize("title", PICTURES)
def test_a_picture_of_a_page_is_a_picture_of_a_fair_size(title: str) -> None:
    content = (ROOT / "docs" / "images" / f"{title}.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width >= 600 and height >= 200
    assert len(content) < 500_000


COMMANDS = [(name(path), block) for path in PAGES for block in Page.read(path).commands()]


@pytest.mark.parametrize(("page", "block"), COMMANDS, ids=lambda value: value.split("\n")[0])
def test_marked_commands_run(
    page: str, block: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")  # a short name: that of a state folder is bounded
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu"],
        input=block,
        env={**os.environ, "PATH": path, "JULIABOX_STATE": str(folder / "state")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"


def test_some_commands_are_marked() -> None:
    assert len(COMMANDS) >= 3


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "configuration" / "index.html").is_file()
