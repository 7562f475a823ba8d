"""What the portal's pages are made of: libraries as published, and the hub's colours."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

from juliabox_services.portal import presentation

ROOT = Path(__file__).resolve().parents[2]
VENDOR = presentation.STATIC / "vendor"


def test_each_library_is_the_one_whose_checksum_was_recorded() -> None:
    recorded = dict(
        reversed(line.split(maxsplit=1)) for line in (VENDOR / "CHECKSUMS").read_text().splitlines()
    )
    shipped = {
        path.relative_to(VENDOR).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.glob("*/*")
    }
    assert shipped == recorded


def test_each_library_has_its_licence_and_stands_in_the_list() -> None:
    listed = (VENDOR / "README.md").read_text()
    for folder in VENDOR.iterdir():
        if folder.is_dir():
            name, _, version = folder.name.rpartition("-")
            assert (folder / "LICENSE").is_file(), folder.name
            assert f"| {name} | {version} |" in listed


def test_the_page_loads_nothing_from_elsewhere() -> None:
    found = []
    for path in (*presentation.TEMPLATES.rglob("*.html"), *presentation.STATIC.glob("**/*.js")):
        if VENDOR not in path.parents:
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            found += [f"{path.name}: {one}" for one in re.findall(r"https?://\S+|//cdn\S+", text)]
    assert found == []


def test_no_template_has_a_script_or_a_style_within_it() -> None:
    inline = re.compile(
        r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*(src=|type=\"application/json\"))"
    )
    found = [
        path.name
        for path in presentation.TEMPLATES.rglob("*.html")
        if inline.search(path.read_text())
    ]
    assert found == []


def colours(text: str, theme: str) -> dict[str, str]:
    """Return the variables of a theme in a style sheet."""
    block = re.search(rf'\[data-bs-theme="{theme}"\] \{{(.*?)\}}', text, re.DOTALL)
    assert block is not None
    return dict(re.findall(r"(--jb-[\w-]+): ([^;]+);", block[1]))


def test_portal_and_hub_have_the_same_colours() -> None:
    hub = (ROOT / "jupyterhub_config/static/juliabox.css").read_text()
    portal = (presentation.STATIC / "portal.css").read_text()
    for theme in ("light", "dark"):
        wanted = colours(hub, theme)
        assert wanted
        assert {name: colours(portal, theme).get(name) for name in wanted} == wanted


def test_data_stands_in_a_page_as_json_that_ends_no_script() -> None:
    text = presentation.as_json({"name": "</script><script>alert(1)</script>&\u2028"})
    assert not set("<>&\u2028") & set(text)
